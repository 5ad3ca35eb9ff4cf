/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keyed state of one subtask, as composite keys and stored values. What the subtask's files are
 * decides who reads them; what both must keep to is settled here: the key groups that are wanted.
 * They are never more than the subtask's own, since files that were taken over from another
 * parallelism may hold entries of others.
 */

#include "base/file.h"
#include "engine/inspect/cat.h"
#include <inttypes.h>
#include <string.h>

static int choose_reader(struct crn_cat_source *source, cairn_error **reterr)
{
    const char *backend = source->subtask->info.backend;
    source->is_canonical = strcmp(backend, CRN_FILE_KIND_CANONICAL) == 0;
    if (source->is_canonical || strcmp(backend, crn_rocksdb_backend.file_kind) == 0)
        return 0;
    return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, source->op->info.uid,
                        "operator '%s' was stored by the state backend '%s', which this library "
                        "does not have",
                        source->op->info.uid, backend);
}

static int choose_range(struct crn_cat_source *source, cairn_error **reterr)
{
    const struct crn_cat_filter *filter = source->filter;
    const cairn_subtask_info *subtask = &source->subtask->info;
    uint32_t max_parallelism = source->op->info.max_parallelism;
    source->key_group_first = subtask->key_group_first;
    source->key_group_last = subtask->key_group_last;
    if (!filter->has_key)
        return 0;
    uint32_t group = crn_key_group_of(filter->key, filter->key_size, max_parallelism);
    if (group < subtask->key_group_first || group > subtask->key_group_last) {
        source->key_group_first = 1;
        source->key_group_last = 0;
        return 0;
    }
    source->key_group_first = source->key_group_last = group;
    return crn_key_start(&source->prefix, group, max_parallelism, filter->key, filter->key_size) < 0
               ? crn_err_nomem(reterr)
               : 0;
}

int crn_cat_source_open(struct crn_cat_source *source, struct crn_cat_filter *filter,
                        size_t ordinal, const struct crn_operator *op,
                        const struct crn_subtask *subtask, cairn_error **reterr)
{
    *source = (struct crn_cat_source){.filter = filter, .op = op, .subtask = subtask};
    CRN_TRY(choose_reader(source, reterr));
    CRN_TRY(choose_range(source, reterr));
    return crn_str_printf(&source->directory, reterr, "%s/%zu-%" PRIu32, filter->scratch, ordinal,
                          subtask->info.index);
}

int crn_cat_source_begin(struct crn_cat_source *source, const cairn_state_info *state,
                         cairn_error **reterr)
{
    source->state = state->name;
    if (source->key_group_first > source->key_group_last)
        return 0;
    return source->is_canonical ? crn_cat_canonical_begin(source, state, reterr)
                                : crn_cat_native_begin(source, state, reterr);
}

int crn_cat_source_next(struct crn_cat_source *source, const uint8_t **ret_key,
                        size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                        cairn_error **reterr)
{
    if (source->key_group_first > source->key_group_last)
        return 0;
    return source->is_canonical ? crn_cat_canonical_next(source, ret_key, ret_key_size, ret_value,
                                                         ret_value_size, reterr)
                                : crn_cat_native_next(source, ret_key, ret_key_size, ret_value,
                                                      ret_value_size, reterr);
}

void crn_cat_source_end(struct crn_cat_source *source)
{
    crn_cat_native_end(source);
    crn_cat_canonical_end(source);
}

void crn_cat_source_suspend(struct crn_cat_source *source)
{
    crn_cat_source_end(source);
    crn_cat_native_suspend(source);
    crn_cat_canonical_suspend(source);
}

void crn_cat_source_close(struct crn_cat_source *source)
{
    if (source->filter == NULL)
        return;
    crn_cat_source_suspend(source);
    if (source->directory != NULL)
        (void)crn_file_remove_tree(source->directory, NULL); /* cairn_cat_close() tries once more */
    free(source->directory);
    crn_buf_done(&source->prefix);
    *source = (struct crn_cat_source){0};
}
