/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two snapshots of one job, compared by what is stored: a file is in both if both reference the
 * same object, of a pack the same slice, or hold the same bytes inline under the same name. Objects
 * are never read: an object's name is used once, so equal names are equal bytes.
 */

#include "engine/inspect/snapshot.h"
#include <string.h>

struct side_file {
    const struct crn_operator *op;
    const struct crn_subtask *subtask;
    const struct crn_file *file;
};

struct side {
    struct side_file *files; /* sorted by compare_files() */
    size_t count;
};

struct cairn_diff {
    cairn_diff_entry *entries;
    size_t count;
};

static int compare_inlined(const struct crn_file *a, const struct crn_file *b)
{
    int order = strcmp(a->info.name, b->info.name);
    if (order != 0)
        return order;
    if (a->info.size != b->info.size)
        return a->info.size < b->info.size ? -1 : 1;
    return a->info.size > 0 ? memcmp(a->inlined, b->inlined, a->info.size) : 0;
}

/* By operator, subtask, then stored object and place in it; inlined files before the others. */
static int compare_files(const void *a, const void *b)
{
    const struct side_file *x = a, *y = b;
    int order = strcmp(x->op->info.uid, y->op->info.uid);
    if (order != 0)
        return order;
    if (x->subtask->info.index != y->subtask->info.index)
        return x->subtask->info.index < y->subtask->info.index ? -1 : 1;
    const char *object_x = x->file->info.object, *object_y = y->file->info.object;
    if (object_x == NULL || object_y == NULL) {
        if (object_x == object_y)
            return compare_inlined(x->file, y->file);
        return object_x == NULL ? -1 : 1;
    }
    order = strcmp(object_x, object_y);
    if (order != 0)
        return order;
    uint64_t offset_x = x->file->info.object_offset, offset_y = y->file->info.object_offset;
    return (offset_x > offset_y) - (offset_x < offset_y);
}

static size_t count_files(const struct crn_record *record)
{
    size_t count = 0;
    for (size_t o = 0; o < record->operator_count; o++) {
        for (size_t s = 0; s < record->operators[o].subtask_count; s++)
            count += record->operators[o].subtasks[s].file_count;
    }
    return count;
}

static void side_done(struct side *side)
{
    free(side->files);
}

static int side_init(struct side *side, const struct crn_record *record, cairn_error **reterr)
{
    side->files = calloc(count_files(record) + 1, sizeof *side->files);
    if (side->files == NULL)
        return crn_err_nomem(reterr);
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++) {
            const struct crn_subtask *subtask = &op->subtasks[s];
            for (size_t f = 0; f < subtask->file_count; f++)
                side->files[side->count++] = (struct side_file){op, subtask, &subtask->files[f]};
        }
    }
    qsort(side->files, side->count, sizeof *side->files, compare_files);
    return 0;
}

static void add_entry(struct cairn_diff *diff, int change, const struct side_file *file)
{
    diff->entries[diff->count++] = (cairn_diff_entry){.change = change,
                                                      .operator_uid = file->op->info.uid,
                                                      .subtask = file->subtask->info.index,
                                                      .file = &file->file->info};
}

static void merge(const struct side *first, const struct side *second, struct cairn_diff *diff)
{
    size_t i = 0, j = 0;
    while (i < first->count || j < second->count) {
        int order;
        if (i == first->count)
            order = 1;
        else if (j == second->count)
            order = -1;
        else
            order = compare_files(&first->files[i], &second->files[j]);
        if (order < 0) {
            add_entry(diff, -1, &first->files[i++]);
        } else if (order > 0) {
            add_entry(diff, +1, &second->files[j++]);
        } else {
            add_entry(diff, 0, &second->files[j++]);
            i++;
        }
    }
}

int cairn_diff_open(const cairn_snapshot *first, const cairn_snapshot *second,
                    cairn_diff **ret_diff, cairn_error **reterr)
{
    CRN_CLEANUP(side_done) struct side a = {0};
    CRN_CLEANUP(side_done) struct side b = {0};
    if (first == NULL || second == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a snapshot to compare is NULL");
    if (strcmp(first->job, second->job) != 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, second->job,
                            "snapshots of the jobs '%s' and '%s' have no object in common",
                            first->job, second->job);
    CRN_TRY(side_init(&a, first->record, reterr));
    CRN_TRY(side_init(&b, second->record, reterr));
    struct cairn_diff *diff = calloc(1, sizeof *diff);
    if (diff != NULL)
        diff->entries = calloc(a.count + b.count + 1, sizeof *diff->entries);
    if (diff == NULL || diff->entries == NULL) {
        cairn_diff_close(diff);
        return crn_err_nomem(reterr);
    }
    merge(&a, &b, diff);
    *ret_diff = diff;
    return 0;
}

size_t cairn_diff_size(const cairn_diff *diff)
{
    return diff == NULL ? 0 : diff->count;
}

const cairn_diff_entry *cairn_diff_at(const cairn_diff *diff, size_t i)
{
    return diff != NULL && i < diff->count ? &diff->entries[i] : NULL;
}

void cairn_diff_close(cairn_diff *diff)
{
    if (diff == NULL)
        return;
    free(diff->entries);
    free(diff);
}
