/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Canonical files of one subtask, read where they lie: an index first, then blocks of the state and
 * the key groups that are wanted, each verified (P8). Nothing is written to the local disk.
 *
 * A subtask's files have disjoint ranges of key groups, so that one file after another gives the
 * order of keys. A file that overlaps its neighbour is damage: entries would come twice.
 */

#include "engine/inspect/cat.h"
#include "engine/transfer/object_input.h"
#include <string.h>

struct crn_cat_input {
    const struct crn_file *file;
    struct crn_object_input object;
    struct crn_canonical_reader *reader; /* NULL: not open, and so is object */
};

static int by_key_group(const void *a, const void *b)
{
    const struct crn_cat_input *x = a, *y = b;
    uint32_t first = x->file->info.key_group_first, second = y->file->info.key_group_first;
    return (first > second) - (first < second);
}

static int list_inputs(struct crn_cat_source *source, cairn_error **reterr)
{
    const struct crn_subtask *subtask = source->subtask;
    source->inputs = calloc(subtask->file_count + 1, sizeof *source->inputs);
    if (source->inputs == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < subtask->file_count; i++) {
        if (subtask->files[i].info.role == CAIRN_FILE_CANONICAL)
            source->inputs[source->input_count++].file = &subtask->files[i];
    }
    qsort(source->inputs, source->input_count, sizeof *source->inputs, by_key_group);
    for (size_t i = 1; i < source->input_count; i++) {
        const cairn_file_info *low = &source->inputs[i - 1].file->info;
        const cairn_file_info *high = &source->inputs[i].file->info;
        if (low->key_group_last >= high->key_group_first)
            return crn_err_fail(reterr, CAIRN_ECORRUPT, high->object,
                                "operator '%s': files '%s' and '%s' have key groups in common",
                                source->op->info.uid, low->name, high->name);
    }
    return 0;
}

/* The file itself must be what the manifest says, or one of another operator could pass. */
static int check_header(const struct crn_cat_source *source, const struct crn_cat_input *input,
                        cairn_error **reterr)
{
    const struct crn_canonical_header *header = crn_canonical_header(input->reader);
    const cairn_file_info *info = &input->file->info;
    if (header->max_parallelism == source->op->info.max_parallelism &&
        header->key_group_first == info->key_group_first &&
        header->key_group_last == info->key_group_last)
        return 0;
    return crn_err_fail(reterr, CAIRN_ECORRUPT, input->object.input.object,
                        "'%s' holds key groups %u to %u of %u, its manifest says %u to %u of %u",
                        input->object.input.object, header->key_group_first, header->key_group_last,
                        header->max_parallelism, info->key_group_first, info->key_group_last,
                        source->op->info.max_parallelism);
}

static int open_input(const struct crn_cat_source *source, struct crn_cat_input *input,
                      cairn_error **reterr)
{
    if (input->reader != NULL)
        return 0;
    const cairn_snapshot *snapshot = source->filter->snapshot;
    CRN_TRY(
        crn_object_input_init(&input->object, snapshot->store, snapshot->job, input->file, reterr));
    int r = crn_canonical_open(&input->object.input, &input->reader, reterr);
    if (r == 0)
        r = check_header(source, input, reterr);
    if (r < 0) {
        crn_canonical_close(CRN_TAKE(input->reader));
        crn_object_input_done(&input->object);
    }
    return r;
}

int crn_cat_canonical_begin(struct crn_cat_source *source, const cairn_state_info *state,
                            cairn_error **reterr)
{
    (void)state; /* source->state is its name */
    source->next_input = 0;
    return source->inputs == NULL ? list_inputs(source, reterr) : 0;
}

/* 1: a scan of the next file that has something of the state; 0: there is none. */
static int next_scan(struct crn_cat_source *source, cairn_error **reterr)
{
    while (source->next_input < source->input_count) {
        struct crn_cat_input *input = &source->inputs[source->next_input++];
        const cairn_file_info *info = &input->file->info;
        uint32_t first = info->key_group_first > source->key_group_first ? info->key_group_first
                                                                         : source->key_group_first;
        uint32_t last = info->key_group_last < source->key_group_last ? info->key_group_last
                                                                      : source->key_group_last;
        if (first > last)
            continue;
        CRN_TRY(open_input(source, input, reterr));
        int state = crn_canonical_state(input->reader, source->state);
        if (state < 0)
            continue;
        CRN_TRY(crn_canonical_scan(input->reader, state, first, last, &source->scan, reterr));
        return 1;
    }
    return 0;
}

/* Less than, equal to or above zero: before, within or behind the entries of the wanted key. */
static int compare_prefix(const struct crn_cat_source *source,
                          const struct crn_canonical_entry *entry)
{
    const struct cairn_buffer *prefix = &source->prefix;
    if (prefix->size == 0)
        return 0;
    size_t common = entry->key_size < prefix->size ? entry->key_size : prefix->size;
    int order = memcmp(entry->key, prefix->data, common);
    return order != 0 ? order : entry->key_size < prefix->size ? -1 : 0;
}

int crn_cat_canonical_next(struct crn_cat_source *source, const uint8_t **ret_key,
                           size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                           cairn_error **reterr)
{
    struct crn_canonical_entry entry;
    for (;;) {
        int r = source->scan == NULL ? next_scan(source, reterr) : 1;
        if (r <= 0)
            return r;
        r = crn_canonical_next(source->scan, &entry, reterr);
        if (r < 0)
            return r;
        int order = r == 0 ? 1 : compare_prefix(source, &entry);
        if (order == 0)
            break;
        if (order > 0)
            crn_cat_canonical_end(source);
    }
    *ret_key = entry.key;
    *ret_key_size = entry.key_size;
    *ret_value = entry.value;
    *ret_value_size = entry.value_size;
    return 1;
}

void crn_cat_canonical_end(struct crn_cat_source *source)
{
    if (source->scan != NULL)
        crn_canonical_scan_end(source->scan);
    source->scan = NULL;
}

void crn_cat_canonical_suspend(struct crn_cat_source *source)
{
    for (size_t i = 0; i < source->input_count; i++) {
        struct crn_cat_input *input = &source->inputs[i];
        if (input->reader == NULL)
            continue;
        crn_canonical_close(input->reader);
        crn_object_input_done(&input->object);
    }
    free(source->inputs);
    source->inputs = NULL;
    source->input_count = 0;
}
