/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Schemas of a keyed state: which tags its values have, and what each means to the serializer that
 * the state was registered with.
 *
 * Every value begins with the tag of the schema that it was written under. Registration compares
 * all stored schemas with the given one and refuses the state before anything is changed if one of
 * them cannot be read; so the program that wrote it still finds its state as it was. A schema that
 * is not the newest stored one gets the next tag, and tags never change their meaning: another
 * subtask may have values under each.
 *
 * Values are converted when they are read. What is written has the present tag. A tag that was
 * migrated away is not listed any more but stays readable here, for iterators that began before.
 *
 * Proved by tests/test_schema_evolution.c.
 */

#include "engine/restore/match.h"
#include "engine/serializers/serializer.h"
#include "engine/states/keyed.h"
#include <string.h>

#define TAG_SIZE_MAX 5u

struct reading {
    cairn_compatibility how;
    struct crn_converter *converter; /* made when the first such value is read */
};

struct crn_schemas {
    cairn_serializer *serializer;
    uint32_t present;
    cairn_state_info known;        /* its schemas: every tag that a value may have */
    struct reading *readings;      /* of each of them but the present one */
    struct cairn_buffer tagged;    /* a value to be written, behind its tag */
    struct cairn_buffer converted; /* a value that is read in order to write */
};

int crn_schemas_check_option(const cairn_state_info *info, const cairn_serializer *serializer,
                             cairn_error **reterr)
{
    const char *type = crn_type_name(info->value_type);
    if (crn_type_has_schemas(info->value_type) && serializer == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s': values of type %s need a serializer", info->name, type);
    if (serializer != NULL && serializer->type != info->value_type)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s': values are of type %s, and the serializer '%s' is of "
                            "type %s",
                            info->name, type, serializer->schema.name,
                            crn_type_name(serializer->type));
    return 0;
}

void crn_schemas_free(struct crn_schemas *schemas)
{
    if (schemas == NULL)
        return;
    for (size_t i = 0; schemas->readings != NULL && i < schemas->known.schema_count; i++)
        crn_converter_free(schemas->readings[i].converter);
    free(schemas->readings);
    crn_state_done(&schemas->known);
    crn_buf_done(&schemas->tagged);
    crn_buf_done(&schemas->converted);
    cairn_serializer_release(schemas->serializer);
    free(schemas);
}

/* ------------------------------------------------------------------------------------------ *
 * Registration
 * ------------------------------------------------------------------------------------------ */

static int compare_stored(struct crn_schemas *schemas, size_t i, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    return crn_match_schema(&schemas->known, i, schemas->serializer, &schemas->readings[i].how,
                            &why, reterr);
}

/* The given schema at the end of the list, under the next tag. */
static int append_present(struct crn_schemas *schemas, cairn_state_info *info, cairn_error **reterr)
{
    cairn_schema_info schema = schemas->serializer->schema;
    const size_t count = info->schema_count;
    schema.tag = count > 0 ? info->schemas[count - 1].tag + 1 : 0;
    if (count > 0 && schema.tag == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "state '%s' has no schema tag left",
                            info->name);
    int r = crn_state_add_schema(info, &schema);
    if (r == 0)
        r = crn_state_add_schema(&schemas->known, &schema);
    if (r == CAIRN_EINVAL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s' has values under %zu schemas, and there can be no more: "
                            "cairn_task_migrate() with the last one forgets the others",
                            info->name, count);
    schemas->present = schema.tag;
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static int fill(struct crn_schemas *schemas, const cairn_state_info *stored, cairn_state_info *info,
                cairn_error **reterr)
{
    const size_t count = stored != NULL ? stored->schema_count : 0;
    if (crn_state_copy(&schemas->known, info) < 0)
        return crn_err_nomem(reterr);
    schemas->readings = calloc(count + 1, sizeof(*schemas->readings));
    if (schemas->readings == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < count; i++)
        CRN_TRY(compare_stored(schemas, i, reterr));
    if (count == 0 || !crn_schema_is_same(&info->schemas[count - 1], &schemas->serializer->schema))
        return append_present(schemas, info, reterr);
    schemas->present = info->schemas[count - 1].tag;
    return 0;
}

int crn_schemas_new(const cairn_serializer *serializer, const cairn_state_info *stored,
                    cairn_state_info *info, struct crn_schemas **ret, cairn_error **reterr)
{
    struct crn_schemas *schemas = calloc(1, sizeof(*schemas));
    if (schemas == NULL)
        return crn_err_nomem(reterr);
    schemas->serializer = crn_serializer_retain(serializer);
    int r = fill(schemas, stored, info, reterr);
    if (r < 0) {
        crn_schemas_free(schemas);
        return r;
    }
    *ret = schemas;
    return 0;
}

/* Siblings look at the list meanwhile. */
void crn_schemas_forget(struct crn_keyed *keyed)
{
    crn_siblings_lock(keyed->task);
    cairn_schema_info *schemas = (cairn_schema_info *)(uintptr_t)keyed->info.schemas;
    const size_t last = keyed->info.schema_count - 1;
    for (size_t i = 0; i < last; i++) {
        free((void *)(uintptr_t)schemas[i].name);
        free((void *)(uintptr_t)schemas[i].bytes);
    }
    schemas[0] = schemas[last];
    keyed->info.schema_count = 1;
    crn_siblings_unlock(keyed->task);
}

int crn_schemas_merge(cairn_state_info *state, const cairn_state_info *other)
{
    cairn_state_info bare = *state, merged;
    bare.schema_count = 0;
    int r = crn_state_copy(&merged, &bare);
    size_t a = 0, b = 0;
    while (r == 0 && (a < state->schema_count || b < other->schema_count)) {
        const cairn_schema_info *left = a < state->schema_count ? &state->schemas[a] : NULL;
        const cairn_schema_info *right = b < other->schema_count ? &other->schemas[b] : NULL;
        bool is_both = left != NULL && right != NULL && left->tag == right->tag;
        bool is_left = right == NULL || (left != NULL && left->tag <= right->tag);
        if (is_both && !crn_schema_is_same(left, right))
            r = CAIRN_EMISMATCH;
        else
            r = crn_state_add_schema(&merged, is_left ? left : right);
        a += is_left;
        b += is_both || !is_left;
    }
    if (r < 0) {
        crn_state_done(&merged);
        return r;
    }
    crn_state_done(state);
    *state = merged;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Values
 * ------------------------------------------------------------------------------------------ */

int crn_keyed_check_schema(const struct crn_keyed *keyed, const void *data, size_t size,
                           cairn_error **reterr)
{
    CRN_TRY(crn_keyed_check_bytes(keyed, "value", CAIRN_BYTES, data, size,
                                  CRN_VALUE_SIZE_MAX - TAG_SIZE_MAX, reterr));
    const cairn_serializer *serializer = keyed->schemas->serializer;
    if (__builtin_expect(crn_serializer_is_value(serializer, data, size), 1))
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "state '%s': these %zu bytes are no value of its schema '%s'",
                        keyed->info.name, size, serializer->schema.name);
}

struct cairn_buffer *crn_keyed_converted(struct crn_keyed *keyed)
{
    return keyed->schemas != NULL ? &keyed->schemas->converted : &keyed->task->result;
}

int crn_keyed_tag(struct crn_keyed *keyed, const void **data, size_t *size, cairn_error **reterr)
{
    struct crn_schemas *schemas = keyed->schemas;
    struct cairn_buffer *tagged = &schemas->tagged;
    crn_scratch_trim(tagged);
    crn_buf_clear(tagged);
    if (crn_buf_reserve(tagged, TAG_SIZE_MAX + *size) < 0 ||
        crn_buf_append_varint(tagged, schemas->present) < 0 ||
        crn_buf_append(tagged, *data, *size) < 0)
        return crn_err_nomem(reterr);
    *data = tagged->data;
    *size = tagged->size;
    return 0;
}

bool crn_keyed_tag_is_present(const struct crn_keyed *keyed, const uint8_t *data, size_t size)
{
    uint32_t tag;
    return crn_value_split_tag(&data, &size, &tag) && tag == keyed->schemas->present;
}

static int convert(struct crn_keyed *keyed, size_t i, const uint8_t **data, size_t *size,
                   struct cairn_buffer *converted, cairn_error **reterr)
{
    struct crn_schemas *schemas = keyed->schemas;
    struct reading *reading = &schemas->readings[i];
    int r = 0;
    if (reading->converter == NULL)
        r = crn_converter_new(schemas->serializer, &schemas->known.schemas[i], &reading->converter,
                              reterr);
    crn_scratch_trim(converted);
    if (r == 0)
        r = crn_convert(reading->converter, *data, *size, converted, reterr);
    if (r == 0 && converted->size > CRN_VALUE_SIZE_MAX - TAG_SIZE_MAX)
        r = crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the converted value has %zu bytes",
                         converted->size);
    if (r == 0 && !crn_serializer_is_value(schemas->serializer, converted->data, converted->size))
        r = crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "the converted value is none");
    if (r < 0) {
        crn_err_prefix(reterr, "state '%s' of task '%s', schema %u", keyed->info.name,
                       keyed->task->uid, schemas->known.schemas[i].tag);
        return r;
    }
    *data = converted->data;
    *size = converted->size;
    return 0;
}

int crn_keyed_untag(struct crn_keyed *keyed, const uint8_t **data, size_t *size,
                    struct cairn_buffer *converted, cairn_error **reterr)
{
    struct crn_schemas *schemas = keyed->schemas;
    uint32_t tag;
    if (!crn_value_split_tag(data, size, &tag))
        return crn_keyed_corrupt(keyed, "a value is too short for its schema's tag", reterr);
    if (__builtin_expect(tag == schemas->present, 1))
        return 0;
    for (size_t i = 0; i < schemas->known.schema_count; i++)
        if (schemas->known.schemas[i].tag == tag)
            return schemas->readings[i].how == CAIRN_COMPATIBLE_AS_IS
                       ? 0
                       : convert(keyed, i, data, size, converted, reterr);
    return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                        "state '%s' of task '%s': a value has the schema %u, which is not known",
                        keyed->info.name, keyed->task->uid, tag);
}
