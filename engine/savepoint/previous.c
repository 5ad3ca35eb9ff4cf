/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest earlier native savepoint of a job in a store, for savepoints that link their tables
 * from it.
 *
 * It is the user's: it may be damaged, half removed or somebody else's by now. So nothing depends
 * on it. A table is taken from it only if every witness of its identity agrees, RocksDB's own
 * checksum among them; whatever goes wrong, the bytes are sent instead.
 *
 * Driver thread, without locks.
 */
#include "engine/savepoint/savepoint.h"

#include "base/text.h"
#include "engine/savepoint/directory.h"

#include <string.h>

#define CANDIDATES_MAX 8u /* newest ones that are looked at */

struct candidates {
    const char *job;
    uint64_t below;
    uint64_t ids[CANDIDATES_MAX]; /* descending */
    size_t count;
};

/* Segments of the store that are directories of this job's savepoints: "savepoint-<job>-<id>/". */
static int note_candidate(void *context, const char *segment, const cairn_object_stat *stat)
{
    struct candidates *c = context;
    CRN_AUTO_FREE char *name = NULL;
    const char *dash = strrchr(segment, '-');
    if (stat != NULL || dash == NULL)
        return 0;
    uint64_t id = strtoull(dash + 1, NULL, 10);
    if (id == 0 || id >= c->below || crn_savepoint_name(c->job, id, &name, NULL) < 0 ||
        strncmp(segment, name, strlen(name)) != 0 || strcmp(segment + strlen(name), "/") != 0)
        return 0;
    size_t at = 0;
    while (at < c->count && c->ids[at] > id)
        at++;
    if (at == CANDIDATES_MAX)
        return 0;
    size_t moved = c->count < CANDIDATES_MAX ? c->count - at : CANDIDATES_MAX - 1 - at;
    memmove(&c->ids[at + 1], &c->ids[at], moved * sizeof c->ids[0]);
    c->ids[at] = id;
    c->count += c->count < CANDIDATES_MAX;
    return 0;
}

static bool is_usable(const struct crn_record *record, const struct cairn_job *job, uint64_t id)
{
    return record->info.id == id && record->info.kind == CAIRN_RECORD_SAVEPOINT &&
           crn_record_is_restorable(record) && record->info.format == CAIRN_NATIVE &&
           strcmp(record->job, job->name) == 0;
}

void crn_savepoint_find_previous(cairn_store *store, const struct cairn_job *job, uint64_t id,
                                 struct crn_savepoint_previous *ret)
{
    struct candidates candidates = {.job = job->name, .below = id};
    *ret = (struct crn_savepoint_previous){0};
    if (store->ops->list_segments(store, "", note_candidate, &candidates, NULL) < 0)
        return;
    for (size_t i = 0; i < candidates.count && ret->record == NULL; i++) {
        CRN_AUTO_FREE char *name = NULL;
        CRN_AUTO_RECORD struct crn_record *record = NULL;
        uint64_t candidate = candidates.ids[i];
        if (crn_savepoint_name(job->name, candidate, &name, NULL) < 0 ||
            crn_joblog_read_record(store, name, candidate, &record, NULL, NULL, NULL) < 0 ||
            !is_usable(record, job, candidate))
            continue;
        ret->record = CRN_TAKE(record);
        ret->name = CRN_TAKE(name);
    }
}

const struct crn_subtask *crn_savepoint_previous_subtask(const struct crn_savepoint_run *run,
                                                         const struct cairn_task *task)
{
    const struct crn_record *record = run->previous.record;
    for (size_t o = 0; record != NULL && o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        if (strcmp(op->info.uid, task->uid) == 0 && task->options.subtask < op->subtask_count)
            return &op->subtasks[task->options.subtask];
    }
    return NULL;
}
