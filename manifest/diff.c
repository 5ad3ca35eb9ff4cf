/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files need not be uploaded again (P4)? The answer is a function of its two arguments and of
 * nothing else: no table of names outlives a restore or a compaction, so none can go stale.
 *
 * A file number is used once in the life of a database, but a database that was thrown away and
 * restored to an older point hands the same numbers out again. So a number only nominates; the
 * witnesses decide, and in doubt the file is new. A wrong "new" costs an upload, a wrong "known"
 * costs the data.
 */
#include "manifest/manifest.h"
#include <string.h>

static int by_number(const void *a, const void *b)
{
    const struct crn_file *x = *(const struct crn_file *const *)a;
    const struct crn_file *y = *(const struct crn_file *const *)b;
    return (x->info.number > y->info.number) - (x->info.number < y->info.number);
}

static bool same_bytes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool same_file(const cairn_file_info *a, const cairn_file_info *b)
{
    return a->size == b->size && a->sequence_first == b->sequence_first &&
           a->sequence_last == b->sequence_last && a->name != NULL && b->name != NULL &&
           strcmp(a->name, b->name) == 0 &&
           !(a->has_crc32c && b->has_crc32c && a->crc32c != b->crc32c) &&
           same_bytes(a->smallest, a->smallest_size, b->smallest, b->smallest_size) &&
           same_bytes(a->largest, a->largest_size, b->largest, b->largest_size);
}

/* The base's tables by ascending number. */
static size_t index_tables(const struct crn_subtask *base, const struct crn_file **tables)
{
    size_t count = 0;
    bool sorted = true;
    for (size_t i = 0; i < base->file_count; i++) {
        const struct crn_file *file = &base->files[i];
        if (file->info.role != CAIRN_FILE_TABLE)
            continue;
        sorted = sorted && (count == 0 || by_number(&tables[count - 1], &file) < 0);
        tables[count++] = file;
    }
    if (!sorted)
        qsort(tables, count, sizeof(*tables), by_number);
    return count;
}

static const struct crn_file *find_table(const struct crn_file *const *tables, size_t count,
                                         const struct crn_file *wanted)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (tables[middle]->info.number < wanted->info.number)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < count && tables[low]->info.number == wanted->info.number;
    /* A number that the base has twice says nothing. */
    const bool twice = found && low + 1 < count && by_number(&tables[low], &tables[low + 1]) == 0;
    return found && !twice && same_file(&tables[low]->info, &wanted->info) ? tables[low] : NULL;
}

int crn_diff_tables(const struct crn_subtask *base, const struct crn_file *captured, size_t count,
                    const struct crn_file **ret_base)
{
    for (size_t i = 0; i < count; i++)
        ret_base[i] = NULL;
    if (base == NULL || base->file_count == 0 || count == 0)
        return 0;
    CRN_AUTO_FREE const struct crn_file **tables = calloc(base->file_count, sizeof(*tables));
    if (tables == NULL)
        return CAIRN_ENOMEM;
    const size_t table_count = index_tables(base, tables);
    for (size_t i = 0; i < count; i++)
        if (captured[i].info.role == CAIRN_FILE_TABLE)
            ret_base[i] = find_table(tables, table_count, &captured[i]);
    return 0;
}
