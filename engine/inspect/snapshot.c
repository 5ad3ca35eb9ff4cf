/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One checkpoint or savepoint, by its manifest. The whole log is read to find it, although its key
 * is known: a record of the right name may lie below the log's begin, and such a one must not be
 * believed. Which one is the newest the objects have a say in, too.
 */

#include "engine/inspect/snapshot.h"
#include "engine/log/joblog.h"
#include <string.h>

static struct crn_record *take_record(struct crn_joblog *log, uint64_t id)
{
    for (size_t i = 0; i < log->count; i++) {
        if (log->entries[i].id == id)
            return CRN_TAKE(log->entries[i].record);
    }
    return NULL;
}

int cairn_snapshot_open(cairn_store *store, const char *job, uint64_t id,
                        cairn_snapshot **ret_snapshot, cairn_error **reterr)
{
    CRN_CLEANUP(crn_joblog_done) struct crn_joblog log = {0};
    const struct crn_record *record;

    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    if (id == 0)
        CRN_TRY(crn_joblog_read_judged(store, job, &log, reterr));
    else
        CRN_TRY(crn_joblog_read(store, job, &log, reterr));
    CRN_TRY(crn_joblog_find(&log, id, &record, reterr));
    struct cairn_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return crn_err_nomem(reterr);
    snapshot->store = store;
    snapshot->record = take_record(&log, record->info.id);
    snapshot->job = CRN_TAKE(log.job);
    *ret_snapshot = snapshot;
    return 0;
}

void cairn_snapshot_close(cairn_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    crn_record_free(snapshot->record);
    free(snapshot->job);
    free(snapshot);
}

const cairn_record_info *cairn_snapshot_record(const cairn_snapshot *snapshot)
{
    return snapshot == NULL ? NULL : &snapshot->record->info;
}

const char *cairn_snapshot_job(const cairn_snapshot *snapshot)
{
    return snapshot == NULL ? NULL : snapshot->record->job;
}

size_t cairn_snapshot_operators(const cairn_snapshot *snapshot)
{
    return snapshot == NULL ? 0 : snapshot->record->operator_count;
}

static const struct crn_operator *operator_at(const cairn_snapshot *snapshot, size_t op)
{
    return op < cairn_snapshot_operators(snapshot) ? &snapshot->record->operators[op] : NULL;
}

static const struct crn_subtask *subtask_at(const cairn_snapshot *snapshot, size_t op,
                                            size_t subtask)
{
    const struct crn_operator *found = operator_at(snapshot, op);
    return found != NULL && subtask < found->subtask_count ? &found->subtasks[subtask] : NULL;
}

const cairn_operator_info *cairn_snapshot_operator(const cairn_snapshot *snapshot, size_t op)
{
    const struct crn_operator *found = operator_at(snapshot, op);
    return found != NULL ? &found->info : NULL;
}

const cairn_state_info *cairn_snapshot_state(const cairn_snapshot *snapshot, size_t op,
                                             size_t state)
{
    const struct crn_operator *found = operator_at(snapshot, op);
    return found != NULL && state < found->state_count ? &found->states[state] : NULL;
}

const cairn_subtask_info *cairn_snapshot_subtask(const cairn_snapshot *snapshot, size_t op,
                                                 size_t subtask)
{
    const struct crn_subtask *found = subtask_at(snapshot, op, subtask);
    return found != NULL ? &found->info : NULL;
}

const cairn_file_info *cairn_snapshot_file(const cairn_snapshot *snapshot, size_t op,
                                           size_t subtask, size_t file)
{
    const struct crn_subtask *found = subtask_at(snapshot, op, subtask);
    return found != NULL && file < found->file_count ? &found->files[file].info : NULL;
}
