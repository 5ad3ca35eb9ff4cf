/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far each task came with a snapshot that is not complete: of those that are here, and of the
 * workers', which a coordinator knows only as acknowledged or not.
 *
 * Driver thread. job->lock for moments: a worker may acknowledge what is over.
 */
#include "engine/cluster/leader.h"
#include "engine/status/ended.h"
#include "engine/status/recorder.h"

#include <string.h>

static const struct crn_subtask *find_subtask(const struct crn_record *record, const char *uid,
                                              uint32_t subtask)
{
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; strcmp(op->info.uid, uid) == 0 && s < op->subtask_count; s++)
            if (op->subtasks[s].info.index == subtask)
                return &op->subtasks[s];
    }
    return NULL;
}

/* A worker's. The workers are constant while there are attempts. */
static size_t tasks_of_worker(const struct crn_worker_view *worker, uint64_t id,
                              const struct crn_record *record, bool with_figures,
                              struct crn_ended_task *tasks)
{
    for (size_t i = 0; i < worker->subtask_count; i++) {
        const struct crn_joined_subtask *joined = &worker->subtasks[i];
        const struct crn_subtask *known = with_figures && record != NULL
                                              ? find_subtask(record, joined->uid, joined->subtask)
                                              : NULL;
        if (known != NULL)
            crn_ended_task_of(joined->uid, known, id, &tasks[i]);
        tasks[i].uid = joined->uid;
        tasks[i].subtask = joined->subtask;
        tasks[i].phase = record != NULL ? CRN_PART_ACKED : CRN_PART_WAITING;
    }
    return worker->subtask_count;
}

static size_t tasks_of_workers(const struct crn_attempt *attempt, bool with_figures,
                               struct crn_ended_task *tasks)
{
    struct cairn_job *job = attempt->job;
    size_t count = 0;
    for (size_t w = 0; w < attempt->remote_count; w++) {
        struct crn_worker_view worker;
        crn_mutex_lock(&job->lock);
        crn_leader_hold_locked(job, w, &worker);
        const struct crn_record *record = attempt->remotes[w].record;
        crn_mutex_unlock(&job->lock);
        count += tasks_of_worker(&worker, attempt->id, record, with_figures, tasks + count);
        crn_leader_let_go(&worker); /* which is there as long as the job */
    }
    return count;
}

static size_t count_remote(const struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_lock(&job->lock);
    const size_t count = attempt->remote_count > 0 ? crn_leader_subtask_count_locked(job) : 0;
    crn_mutex_unlock(&job->lock);
    return count;
}

struct crn_ended_task *crn_recorder_tasks_of(const struct crn_attempt *attempt, bool with_figures,
                                             struct crn_ended *ended)
{
    struct crn_ended_task *tasks =
        calloc(attempt->part_count + count_remote(attempt) + 1, sizeof *tasks);
    size_t count = attempt->part_count;
    for (size_t i = 0; tasks != NULL && i < attempt->part_count; i++) {
        const struct crn_part *part = &attempt->parts[i];
        if (with_figures)
            crn_ended_task_of(part->task->uid, &part->described->subtasks[0], attempt->id,
                              &tasks[i]);
        tasks[i].uid = part->task->uid;
        tasks[i].subtask = part->task->options.subtask;
        tasks[i].phase = (enum crn_part_phase)atomic_load(&part->phase);
    }
    if (tasks != NULL)
        count += tasks_of_workers(attempt, with_figures, tasks + count);
    for (size_t i = 0; tasks != NULL && i < count; i++)
        crn_ended_add(ended, &tasks[i]);
    ended->tasks = tasks;
    ended->task_count = tasks != NULL ? count : 0;
    return tasks;
}
