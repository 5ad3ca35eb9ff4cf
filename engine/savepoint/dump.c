/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task's part of a canonical savepoint: from a snapshot of its database to canonical files.
 *
 * The snapshot was taken at the barrier and holds nobody back (P3). The task's key groups are cut
 * into ranges, one file each, which the transfer threads write and upload in parallel; small state
 * is one file. Tables of a checkpoint that is in flight as well go first: their size is known.
 *
 * part->dumps_left counts files that are not written yet, and the planner; the last one releases
 * the snapshot, long before the uploads end. running (attempt.c) covers all of it, so the database
 * is open.
 */
#include "engine/savepoint/savepoint.h"

#include "backends/state/canonical.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define RANGE_BYTES ((uint64_t)16 << 20) /* of files, at least, for a range of its own */

static bool is_keyed(const cairn_state_info *state)
{
    return state->kind < CAIRN_KIND_OPERATOR_LIST;
}

/* An estimate, compressed and by whole memtables: enough to choose the number of files by, but no
 * measure of what is going to be read. */
static uint64_t database_bytes(const struct cairn_task *task)
{
    CRN_AUTO_FREE char *directory = NULL;
    char **names = NULL;
    size_t count = 0;
    struct crn_state_stats stats = {0};
    task->db->ops->stats(task->db, &stats);
    uint64_t bytes = stats.memtable_bytes;
    if (crn_str_printf(&directory, NULL, "%s/db", task->runtime->directory) < 0 ||
        crn_file_list_dir(directory, &names, &count, NULL) < 0)
        return bytes;
    for (size_t i = 0; i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        uint64_t size;
        if (crn_str_printf(&path, NULL, "%s/%s", directory, names[i]) == 0 &&
            crn_file_size(path, &size, NULL) == 0)
            bytes += size;
    }
    crn_file_free_names(names, count);
    return bytes;
}

/* As many as there are threads for, but each worth a file. */
static uint32_t count_ranges(const struct crn_part *part, uint64_t bytes)
{
    const struct cairn_task *task = part->task;
    uint64_t parts = part->attempt->part_count;
    uint64_t ranges = (task->job->options.transfer_threads + parts - 1) / parts;
    uint64_t groups = task->key_group_last - task->key_group_first + 1;
    ranges = ranges < bytes / RANGE_BYTES ? ranges : bytes / RANGE_BYTES;
    ranges = ranges < groups ? ranges : groups;
    return ranges > 0 ? (uint32_t)ranges : 1;
}

static int add_file(struct crn_part *part, uint32_t first, uint32_t last, cairn_error **reterr)
{
    char name[48];
    (void)snprintf(name, sizeof name, "groups-%05u-%05u", first, last);
    struct crn_file *file = crn_subtask_add_file(&part->described->subtasks[0]);
    if (file == NULL || crn_record_set_text(&file->info.name, name) < 0)
        return crn_err_nomem(reterr);
    file->info.role = CAIRN_FILE_CANONICAL;
    file->info.key_group_first = first;
    file->info.key_group_last = last;
    return 0;
}

static int list_states(struct crn_part *part, cairn_error **reterr)
{
    const struct crn_operator *described = part->described;
    part->dump_states = calloc(described->state_count + 1, sizeof *part->dump_states);
    if (part->dump_states == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < described->state_count; i++)
        if (is_keyed(&described->states[i]))
            part->dump_states[part->dump_state_count++] = described->states[i].name;
    return 0;
}

int crn_dump_plan(struct crn_part *part, cairn_error **reterr)
{
    const struct cairn_task *task = part->task;
    CRN_TRY(crn_file_make_dirs(part->staging, reterr));
    CRN_TRY(list_states(part, reterr));
    if (part->dump_state_count == 0)
        return 0;
    uint64_t bytes = database_bytes(task);
    uint64_t ranges = count_ranges(part, bytes);
    uint64_t groups = task->key_group_last - task->key_group_first + 1;
    for (uint64_t i = 0; i < ranges; i++)
        CRN_TRY(add_file(part, task->key_group_first + (uint32_t)(groups * i / ranges),
                         task->key_group_first + (uint32_t)(groups * (i + 1) / ranges) - 1,
                         reterr));
    return 0;
}

int crn_dump_write(struct crn_part *part, const char *path, struct crn_file *file,
                   cairn_error **reterr)
{
    const struct cairn_task *task = part->task;
    struct crn_canonical_summary summary;
    const struct crn_canonical_dump dump = {
        .db = task->db,
        .snapshot = part->snapshot,
        .header =
            {
                .max_parallelism = task->max_parallelism,
                .key_group_first = file->info.key_group_first,
                .key_group_last = file->info.key_group_last,
                .states = part->dump_states,
                .state_count = part->dump_state_count,
            },
        .path = path,
        .cancelled = &part->attempt->cancelled,
        .done_bytes = &part->attempt->savepoint->handle->done_bytes,
    };
    CRN_TRY(crn_canonical_write(&dump, &summary, reterr));
    file->info.size = summary.size;
    file->info.entry_count = summary.entry_count;
    file->info.has_xxh3 = 1;
    memcpy(file->info.xxh3, summary.xxh3.bytes, sizeof file->info.xxh3);
    file->info.has_crc32c = 1;
    file->info.crc32c = summary.crc32c;
    file->info.has_identity = 1;
    memcpy(file->info.identity, summary.identity, sizeof file->info.identity);
    return 0;
}

void crn_dump_done(struct crn_part *part)
{
    if (atomic_fetch_sub(&part->dumps_left, 1) == 1)
        part->task->db->ops->release_snapshot(part->snapshot);
}
