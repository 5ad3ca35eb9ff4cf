/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be opened on what is stored, and the words for it. cairn_task_open() and cairn_check()
 * both ask here, so that the answer before a start is the answer at the start.
 *
 * Parallelism may always change: key groups are dealt out anew. max_parallelism, key and namespace
 * types are in every stored key, so they may not. Of a state, kind and types may not change; expiry
 * may be switched on and off (registering rewrites the state), and schemas as far as the serializer
 * says. Pure: nothing is read or changed.
 */
#include "engine/restore/match.h"

#include "engine/serializers/serializer.h"
#include "engine/states/keyed.h"

#include <string.h>

int crn_match_operator(const cairn_operator_info *stored, const struct crn_match_operator *wanted,
                       cairn_error **reterr)
{
    if (wanted->max_parallelism != 0 && stored->max_parallelism != wanted->max_parallelism)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                            "operator '%s' is stored with max_parallelism %u, not %u: keys belong "
                            "to key groups by it; leave it 0 to take the stored one, or make a "
                            "savepoint with another one with `cairn edit --max-parallelism`",
                            stored->uid, stored->max_parallelism, wanted->max_parallelism);
    if (wanted->parallelism > stored->max_parallelism)
        return crn_err_fail(
            reterr, CAIRN_EMISMATCH, NULL,
            "operator '%s' is stored with max_parallelism %u, so its parallelism "
            "cannot be %u; make a savepoint with a higher one with `cairn edit --max-parallelism`",
            stored->uid, stored->max_parallelism, wanted->parallelism);
    if (stored->key_type != wanted->key_type || stored->namespace_type != wanted->namespace_type)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                            "operator '%s' is stored with keys of type %s and namespaces of type "
                            "%s, not %s and %s: open it with the stored types, or with another uid "
                            "to start it empty",
                            stored->uid, crn_type_name(stored->key_type),
                            crn_type_name(stored->namespace_type), crn_type_name(wanted->key_type),
                            crn_type_name(wanted->namespace_type));
    return 0;
}

bool crn_match_is_alike(const cairn_state_info *stored, const cairn_state_info *wanted)
{
    bool is_map = stored->kind == CAIRN_KIND_MAP || stored->kind == CAIRN_KIND_BROADCAST;
    return stored->kind == wanted->kind && stored->value_type == wanted->value_type &&
           (!is_map || stored->map_key_type == wanted->map_key_type);
}

int crn_match_types(const cairn_state_info *stored, const cairn_state_info *wanted,
                    cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer was = {0};
    CRN_AUTO_BUFFER struct cairn_buffer is = {0};
    if (crn_match_is_alike(stored, wanted))
        return 0;
    if (crn_state_describe(stored, &was) < 0 || crn_state_describe(wanted, &is) < 0)
        return crn_err_nomem(reterr);
    return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                        "state '%s' is stored as %s, and cannot be registered as %s", wanted->name,
                        (const char *)was.data, (const char *)is.data);
}

int crn_match_schema(const cairn_state_info *stored, size_t i, const cairn_serializer *serializer,
                     cairn_compatibility *ret_how, struct cairn_buffer *why, cairn_error **reterr)
{
    const cairn_schema_info *schema = &stored->schemas[i];
    int r = crn_serializer_compare(serializer, stored->value_type, schema, ret_how, why, reterr);
    if (r < 0) {
        crn_err_prefix(reterr, "state '%s', schema %u", stored->name, schema->tag);
        return r;
    }
    if (*ret_how != CAIRN_INCOMPATIBLE)
        return 0;
    return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL, "state '%s' cannot be read: %.*s",
                        stored->name, (int)why->size,
                        why->data != NULL ? (const char *)why->data : "");
}

/* Is it one of the parts of a list with "; " between them? */
static bool has_part(const struct cairn_buffer *list, const struct cairn_buffer *part)
{
    for (size_t at = 0; at + part->size <= list->size; at++)
        if (memcmp(list->data + at, part->data, part->size) == 0 &&
            (at + part->size == list->size || list->data[at + part->size] == ';'))
            return true;
    return false;
}

/* Older schemas often differ in the same way: each way is told once. */
static int add_migration(struct cairn_buffer *how, const struct cairn_buffer *why)
{
    CRN_AUTO_BUFFER struct cairn_buffer told = {0};
    if (crn_buf_printf(&told, "after migration%s%.*s", why->size > 0 ? ": " : "", (int)why->size,
                       why->data != NULL ? (const char *)why->data : "") < 0)
        return CAIRN_ENOMEM;
    if (has_part(how, &told))
        return 0;
    return crn_buf_printf(how, "%s%.*s", how->size > 0 ? "; " : "", (int)told.size,
                          (const char *)told.data);
}

/* Values may have been written under any of the stored schemas, so each must do. */
static int match_schemas(const cairn_state_info *stored, const cairn_serializer *serializer,
                         struct cairn_buffer *how, cairn_error **reterr)
{
    for (size_t i = 0; i < stored->schema_count; i++) {
        CRN_AUTO_BUFFER struct cairn_buffer why = {0};
        cairn_compatibility found = CAIRN_COMPATIBLE_AS_IS;
        CRN_TRY(crn_match_schema(stored, i, serializer, &found, &why, reterr));
        if (found == CAIRN_COMPATIBLE_AFTER_MIGRATION && add_migration(how, &why) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

int crn_match_state(const cairn_state_info *stored, const cairn_state_info *wanted,
                    const cairn_serializer *serializer, struct cairn_buffer *how,
                    cairn_error **reterr)
{
    CRN_TRY(crn_match_types(stored, wanted, reterr));
    if ((stored->ttl_ms > 0) != (wanted->ttl_ms > 0) &&
        crn_buf_printf(how, "rewritten, since expiry is switched %s",
                       wanted->ttl_ms > 0 ? "on" : "off") < 0)
        return crn_err_nomem(reterr);
    return serializer != NULL ? match_schemas(stored, serializer, how, reterr) : 0;
}
