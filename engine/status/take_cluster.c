/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other processes of a job, for a picture of it: a coordinator's workers with their tasks, and
 * in a worker, when its coordinator was heard.
 *
 * A coordinator has heard of a remote task when its worker joined, and hears of its part of a
 * snapshot when all parts of that worker are acknowledged; so a remote task waits, or is done.
 * Figures of it are those of the newest checkpoint's record.
 *
 * Locks: as in take.c; workers are held from the first step to the last.
 */
#include "engine/status/take.h"

#include "backends/state/keys.h"
#include "engine/cluster/follower.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Under the lock
 * ------------------------------------------------------------------------------------------ */

void crn_gather_workers_locked(struct crn_gathering *g)
{
    const struct cairn_job *job = g->job;
    crn_mutex_assert_held(&job->lock);
    if (job->follower != NULL)
        g->post_us = crn_follower_post_us_locked(job);
    for (size_t i = 0; i < crn_leader_worker_count(job); i++)
        crn_leader_hold_locked(job, i, &g->workers[g->worker_count++]);
}

void crn_gather_acks_locked(const struct crn_attempt *attempt, struct crn_status_snapshot *s)
{
    s->worker_count = attempt->remote_count;
    for (size_t i = 0; i < attempt->remote_count; i++) {
        const struct crn_record *record = attempt->remotes[i].record;
        s->acked[i] = record != NULL;
        s->workers_acked += record != NULL;
        if (record != NULL) { /* how much it is, one hears when it is there */
            s->done_bytes += record->info.new_bytes;
            s->total_bytes += record->info.new_bytes;
        }
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Without the lock
 * ------------------------------------------------------------------------------------------ */

static int fill_worker(struct crn_status_worker *ret, const struct crn_worker_view *view)
{
    *ret = (struct crn_status_worker){
        .pid = view->pid,
        .index = view->index,
        .task_count = view->subtask_count,
        .silent_us = view->silent_us,
        .is_lost = view->is_lost,
    };
    CRN_TRY(crn_status_dup(&ret->name, view->name));
    return crn_status_dup(&ret->host, view->host);
}

static int fill_remote_task(struct crn_status_task *ret, uint32_t worker,
                            const struct crn_joined_subtask *subtask)
{
    *ret = (struct crn_status_task){
        .is_remote = true,
        .worker = worker,
        .subtask = subtask->subtask,
        .parallelism = subtask->parallelism,
        .max_parallelism = subtask->max_parallelism,
        .stats = CAIRN_TASK_STATS_INIT,
    };
    crn_key_group_range(subtask->subtask, subtask->parallelism, subtask->max_parallelism,
                        &ret->key_group_first, &ret->key_group_last);
    CRN_TRY(crn_status_dup(&ret->uid, subtask->uid));
    return crn_status_dup(&ret->name, subtask->name);
}

/* `first`: the worker's first task in status->tasks. */
static void add_parts(struct crn_job_status *status, uint32_t worker, size_t first, size_t count)
{
    for (size_t f = 0; f < status->in_flight_count; f++) {
        struct crn_status_snapshot *s = &status->in_flight[f];
        if (worker >= s->worker_count)
            continue; /* it could not be triggered */
        const enum crn_part_phase phase = s->acked[worker] ? CRN_PART_ACKED : CRN_PART_WAITING;
        s->phase_counts[phase] += (uint32_t)count;
        for (size_t i = first; i < first + count; i++)
            s->parts[s->part_count++] = (struct crn_status_part){
                .uid = status->tasks[i].uid,
                .subtask = status->tasks[i].subtask,
                .phase = phase,
            };
    }
}

int crn_gather_cluster(struct crn_gathering *g)
{
    const struct cairn_job *job = g->job;
    struct crn_job_status *status = g->status;
    const bool is_coordinator = job->leader != NULL;
    status->role = job->options.role;
    status->workers_wanted = is_coordinator ? job->options.worker_count : 0;
    status->worker_timeout_ms = job->options.worker_timeout_ms;
    if (job->follower != NULL)
        status->post_age_us = crn_now_us() - g->post_us;
    CRN_TRY(
        crn_status_dup(&status->worker_name, job->follower != NULL ? crn_follower_name(job) : ""));
    for (size_t w = 0; w < g->worker_count; w++) {
        const struct crn_worker_view *view = &g->workers[w];
        const size_t first = status->task_count;
        status->worker_count++;
        status->workers_lost += view->is_lost;
        CRN_TRY(fill_worker(&status->workers[w], view));
        for (size_t i = 0; i < view->subtask_count; i++) {
            status->task_count++;
            CRN_TRY(fill_remote_task(&status->tasks[first + i], view->index, &view->subtasks[i]));
        }
        add_parts(status, view->index, first, view->subtask_count);
    }
    return 0;
}

static int compare_to_task(const void *key, const void *element)
{
    const struct crn_ended_task *ended = key;
    const struct crn_status_task *task = element;
    int order = strcmp(ended->uid, task->uid);
    return order != 0 ? order : (ended->subtask > task->subtask) - (ended->subtask < task->subtask);
}

static const struct crn_ended *newest_checkpoint(const struct crn_job_status *status)
{
    for (size_t i = 0; i < status->ended_count; i++) {
        const struct crn_ended *ended = status->ended[i];
        if (ended->kind == CAIRN_RECORD_CHECKPOINT && ended->outcome == CRN_OUTCOME_COMPLETE)
            return ended->is_earlier ? NULL : ended;
    }
    return NULL;
}

void crn_gather_last_figures(struct crn_job_status *status)
{
    const struct crn_ended *ended = status->worker_count > 0 ? newest_checkpoint(status) : NULL;
    for (size_t i = 0; ended != NULL && i < ended->task_count; i++) {
        struct crn_status_task *task = bsearch(&ended->tasks[i], status->tasks, status->task_count,
                                               sizeof *status->tasks, compare_to_task);
        if (task == NULL || !task->is_remote)
            continue;
        task->has_record = true;
        task->is_finished = ended->tasks[i].is_finished;
        task->stats.barrier_last_us = ended->tasks[i].stall_us;
    }
}
