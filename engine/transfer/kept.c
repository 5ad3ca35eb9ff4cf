/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Downloaded files that outlive the restore that downloaded them: their names, and which of them
 * are still of use.
 *
 * Nothing in this directory is trusted: a crash may have lost what was not synced yet, and whoever
 * takes a file out of it reads and verifies it first (P8). So nothing needs to be synced here.
 *
 * No locks: names are unique by content, and each step is one link, rename or unlink.
 * @crash What is there stays, and is used or removed by the next start.
 */
#include "engine/transfer/kept.h"

#include "base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool crn_kept_name(const struct crn_file *file, char ret[CRN_KEPT_NAME_MAX])
{
    const cairn_file_info *info = &file->info;
    char sum[2 * sizeof info->xxh3 + 1];
    if (info->object == NULL)
        return false;
    uint64_t place = crn_hash64_seeded(info->object, strlen(info->object), info->object_offset);
    if (info->has_xxh3)
        crn_hex(info->xxh3, sizeof info->xxh3, sum);
    else
        (void)snprintf(sum, sizeof sum, "%08" PRIx32, info->crc32c);
    (void)snprintf(ret, CRN_KEPT_NAME_MAX, "%s-%" PRIu64 "-%016" PRIx64, sum, info->size, place);
    return true;
}

int crn_kept_path(const char *directory, const struct crn_file *file, const char *suffix,
                  char **ret_path, cairn_error **reterr)
{
    char name[CRN_KEPT_NAME_MAX];
    if (directory == NULL || !crn_kept_name(file, name))
        return 0;
    return crn_str_printf(ret_path, reterr, "%s/%s%s", directory, name, suffix);
}

void crn_kept_add(const char *directory, const struct crn_file *file, const char *path)
{
    CRN_AUTO_FREE char *kept = NULL;
    if (crn_kept_path(directory, file, "", &kept, NULL) < 0 || kept == NULL)
        return;
    if (link(path, kept) < 0 && errno == ENOENT && crn_file_make_dirs(directory, NULL) == 0)
        (void)link(path, kept); /* else it will have to be downloaded again */
}

static int compare_names(const void *a, const void *b)
{
    return memcmp(a, b, CRN_KEPT_NAME_MAX);
}

/* Sorted. */
static int list_wanted(const struct crn_record *record, char (**ret_names)[CRN_KEPT_NAME_MAX],
                       size_t *ret_count, cairn_error **reterr)
{
    size_t total = 0, count = 0;
    for (size_t o = 0; record != NULL && o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++)
            total += record->operators[o].subtasks[s].file_count;
    char(*names)[CRN_KEPT_NAME_MAX] = calloc(total + 1, sizeof *names);
    if (names == NULL)
        return crn_err_nomem(reterr);
    for (size_t o = 0; record != NULL && o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++) {
            const struct crn_subtask *subtask = &record->operators[o].subtasks[s];
            for (size_t f = 0; f < subtask->file_count; f++)
                count += crn_kept_name(&subtask->files[f], names[count]);
        }
    qsort(names, count, sizeof *names, compare_names);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

static bool is_wanted(const char *entry, char (*names)[CRN_KEPT_NAME_MAX], size_t count)
{
    char name[CRN_KEPT_NAME_MAX] = {0};
    size_t n = strcspn(entry, "."), suffix = strlen(CRN_KEPT_PARTIAL);
    if (n >= sizeof name ||
        (entry[n] != 0 && strncmp(entry + n, CRN_KEPT_PARTIAL, suffix + 1) != 0))
        return false;
    memcpy(name, entry, n);
    return bsearch(name, names, count, sizeof *names, compare_names) != NULL;
}

int crn_kept_prune(const char *directory, const struct crn_record *record, cairn_error **reterr)
{
    CRN_AUTO_FREE char(*wanted)[CRN_KEPT_NAME_MAX] = NULL;
    char **names = NULL;
    size_t wanted_count = 0, count = 0;
    if (!crn_file_is_dir(directory))
        return 0;
    CRN_TRY(list_wanted(record, &wanted, &wanted_count, reterr));
    CRN_TRY(crn_file_list_dir(directory, &names, &count, reterr));
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (is_wanted(names[i], wanted, wanted_count))
            continue;
        r = crn_str_printf(&path, reterr, "%s/%s", directory, names[i]);
        if (r == 0)
            r = crn_file_remove_tree(path, reterr);
    }
    crn_file_free_names(names, count);
    return r;
}
