/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a record that are slices of packs, looked at together: what one of them says of an
 * object must fit what the others say of it. A reader that fetches a pack in ranges may then trust
 * that no byte is asked for twice under two names, and whoever sums up what is stored may take a
 * pack's size from any of its slices.
 *
 * The same slice may be there several times: after a change of parallelism several subtasks
 * reference one table.
 */
#include "manifest/internal.h"
#include <inttypes.h>
#include <string.h>

/* Calls for every slice; `slices` NULL only counts. */
static size_t collect(const struct crn_record *record, const struct crn_file **slices)
{
    size_t count = 0;
    for (size_t i = 0; i < record->operator_count; i++) {
        const struct crn_operator *op = &record->operators[i];
        for (size_t j = 0; j < op->subtask_count; j++)
            for (size_t k = 0; k < op->subtasks[j].file_count; k++) {
                const struct crn_file *file = &op->subtasks[j].files[k];
                if (!crn_file_is_slice(file))
                    continue;
                if (slices != NULL)
                    slices[count] = file;
                count++;
            }
    }
    return count;
}

bool crn_record_has_slices(const struct crn_record *record)
{
    return collect(record, NULL) > 0;
}

static int by_place(const void *a, const void *b)
{
    const cairn_file_info *x = &(*(const struct crn_file *const *)a)->info;
    const cairn_file_info *y = &(*(const struct crn_file *const *)b)->info;
    const int order = strcmp(x->object, y->object);
    if (order != 0)
        return order;
    if (x->object_offset != y->object_offset)
        return x->object_offset < y->object_offset ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

static bool is_fitting(const cairn_file_info *one, const cairn_file_info *next)
{
    if (strcmp(one->object, next->object) != 0)
        return true;
    const bool is_same = one->object_offset == next->object_offset && one->size == next->size;
    return one->object_size == next->object_size &&
           (is_same || one->object_offset + one->size <= next->object_offset);
}

int crn_rules_slices(const struct crn_record *record, cairn_error **reterr)
{
    const size_t count = collect(record, NULL);
    if (count == 0)
        return 0;
    CRN_AUTO_FREE const struct crn_file **slices = calloc(count, sizeof(*slices));
    if (slices == NULL)
        return crn_err_nomem(reterr);
    (void)collect(record, slices);
    qsort(slices, count, sizeof(*slices), by_place);
    for (size_t i = 1; i < count; i++) {
        const struct crn_rule_scope scope = {.record = record, .file = slices[i], .reterr = reterr};
        const cairn_file_info *one = &slices[i - 1]->info, *next = &slices[i]->info;
        if (!is_fitting(one, next))
            return crn_rule_broken(&scope, "R15",
                                   "it overlaps with '%s' in '%s', or they differ about the "
                                   "object's size",
                                   one->name, next->object);
    }
    return 0;
}
