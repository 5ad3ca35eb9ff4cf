/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Entries of one keyed state of one subtask, decoded: keys taken apart, lists given out by element,
 * time stamps and schema tags taken off.
 *
 * The bytes passed their checksums but were written by another program run, perhaps by another
 * release: a key, a value or a list that cannot be taken apart is CAIRN_ECORRUPT (P11).
 */

#include "backends/state/values.h"
#include "engine/inspect/cat.h"
#include <inttypes.h>

static const cairn_state_info *info_of(const struct crn_cat_keyed *keyed)
{
    return &keyed->op->states[keyed->state];
}

static int fail_entry(const struct crn_cat_keyed *keyed, const char *what, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, keyed->op->info.uid,
                        "state '%s' of operator '%s' has %s that cannot be decoded",
                        info_of(keyed)->name, keyed->op->info.uid, what);
}

int crn_cat_keyed_begin(struct crn_cat_keyed *keyed, struct crn_cat_source *source, size_t state,
                        cairn_error **reterr)
{
    *keyed = (struct crn_cat_keyed){.source = source, .op = source->op, .state = state};
    return crn_cat_source_begin(source, info_of(keyed), reterr);
}

void crn_cat_keyed_end(struct crn_cat_keyed *keyed)
{
    if (keyed->source != NULL)
        crn_cat_source_end(keyed->source);
    *keyed = (struct crn_cat_keyed){0};
}

static void fill_key(const struct crn_cat_keyed *keyed, cairn_cat_entry *ret)
{
    const struct crn_key_parts *parts = &keyed->parts;
    *ret = (cairn_cat_entry){.state = keyed->state, .key_group = parts->key_group};
    ret->entry.key = parts->key;
    ret->entry.key_size = parts->key_size;
    ret->entry.ns = parts->ns;
    ret->entry.ns_size = parts->ns_size;
    if (info_of(keyed)->kind == CAIRN_KIND_MAP) {
        ret->entry.map_key = parts->map_key;
        ret->entry.map_key_size = parts->map_key_size;
    }
}

/* Takes the tag off, and finds the schema that it stands for. */
static int fill_value(const struct crn_cat_keyed *keyed, const uint8_t *data, size_t size,
                      cairn_cat_entry *ret, cairn_error **reterr)
{
    const cairn_state_info *info = info_of(keyed);
    uint32_t tag;
    if (crn_type_has_schemas(info->value_type)) {
        if (!crn_value_split_tag(&data, &size, &tag))
            return fail_entry(keyed, "a value", reterr);
        for (size_t i = 0; i < info->schema_count && ret->schema == NULL; i++) {
            if (info->schemas[i].tag == tag)
                ret->schema = &info->schemas[i];
        }
        if (ret->schema == NULL)
            return crn_err_fail(reterr, CAIRN_ECORRUPT, keyed->op->info.uid,
                                "state '%s' of operator '%s' has a value of schema %" PRIu32
                                ", which its manifest does not know",
                                info->name, keyed->op->info.uid, tag);
    }
    ret->entry.value = data;
    ret->entry.value_size = size;
    return 0;
}

/* The next element of the list that the source stands on: 1, or 0 if it has no more. */
static int next_element(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr)
{
    struct crn_list_element element;
    int r = crn_list_next_element(&keyed->list, info_of(keyed)->ttl_ms != 0, &element);
    if (r < 0)
        return fail_entry(keyed, "a list", reterr);
    if (r == 0)
        return 0;
    fill_key(keyed, ret);
    ret->element = keyed->element++;
    ret->written_ms = element.written_ms;
    CRN_TRY(fill_value(keyed, element.data, element.size, ret, reterr));
    return 1;
}

/* The source's next entry: 1 and *ret is filled; 1 and keyed->list is, if it is a list; 0: the
 * state's end. */
static int next_entry(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr)
{
    const cairn_state_info *info = info_of(keyed);
    const uint8_t *value, *data;
    size_t value_size, size;

    int r = crn_cat_source_next(keyed->source, &keyed->key, &keyed->key_size, &value, &value_size,
                                reterr);
    if (r <= 0)
        return r;
    if (!crn_key_split(keyed->key, keyed->key_size, keyed->op->info.max_parallelism,
                       &keyed->parts) ||
        (info->kind != CAIRN_KIND_MAP && keyed->parts.map_key_size > 0))
        return fail_entry(keyed, "a key", reterr);
    if (info->kind == CAIRN_KIND_LIST) {
        keyed->list = (struct crn_reader){.data = value, .size = value_size};
        keyed->element = 0;
        return 1;
    }
    fill_key(keyed, ret);
    if (!crn_value_split(value, value_size, info->ttl_ms != 0, &ret->written_ms, &data, &size))
        return fail_entry(keyed, "a value", reterr);
    CRN_TRY(fill_value(keyed, data, size, ret, reterr));
    return 1;
}

int crn_cat_keyed_next(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr)
{
    bool is_list = info_of(keyed)->kind == CAIRN_KIND_LIST;
    for (;;) {
        if (is_list && crn_reader_left(&keyed->list) > 0)
            return next_element(keyed, ret, reterr);
        int r = next_entry(keyed, ret, reterr);
        if (r <= 0 || !is_list)
            return r;
    }
}
