/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coordinator's workers for who watches: the job's status, and cairn_job_each_worker().
 *
 * What a worker said when it joined is constant and counted, so that whoever needs many texts holds
 * the worker under job->lock, and copies them without it. Before the start a worker may be let go
 * meanwhile; from then on all stay.
 *
 * Lock: job->lock.
 */
#include "engine/cluster/leader_internal.h"

static uint64_t silent_us(const struct crn_remote_worker *worker, uint64_t now_us)
{
    return now_us > worker->heard_us ? now_us - worker->heard_us : 0;
}

void crn_leader_hold_locked(const struct cairn_job *job, size_t i, struct crn_worker_view *ret)
{
    crn_mutex_assert_held(&job->lock);
    struct crn_remote_worker *worker = job->leader->workers[i];
    atomic_fetch_add(&worker->refs, 1);
    *ret = (struct crn_worker_view){
        .worker = worker,
        .name = worker->name,
        .host = worker->host,
        .pid = worker->pid,
        .subtasks = worker->subtasks,
        .subtask_count = worker->subtask_count,
        .index = (uint32_t)i,
        .silent_us = silent_us(worker, crn_now_us()),
        .is_lost = worker->is_lost,
    };
}

void crn_leader_let_go(struct crn_worker_view *view)
{
    crn_remote_worker_unref(view->worker);
    view->worker = NULL;
}

size_t crn_leader_subtask_count_locked(const struct cairn_job *job)
{
    size_t count = 0;
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; i < crn_leader_worker_count(job); i++)
        count += job->leader->workers[i]->subtask_count;
    return count;
}

static int show_locked(const struct crn_leader *leader, cairn_worker_fn fn, void *context)
{
    int r = 0;
    const uint64_t now_us = crn_now_us();
    for (size_t i = 0; i < leader->worker_count && r == 0; i++) {
        const struct crn_remote_worker *worker = leader->workers[i];
        const cairn_worker_info info = {
            .struct_size = sizeof info,
            .index = (uint32_t)i,
            .name = worker->name,
            .host = worker->host,
            .pid = worker->pid,
            .subtask_count = (uint32_t)worker->subtask_count,
            .silent_ms = silent_us(worker, now_us) / 1000,
            .is_lost = worker->is_lost,
        };
        r = fn(context, &info);
    }
    return r;
}

int cairn_job_each_worker(cairn_job *job, cairn_worker_fn fn, void *context)
{
    if (job == NULL || fn == NULL)
        return CAIRN_EINVAL;
    crn_mutex_lock(&job->lock);
    int r = job->leader == NULL ? 0 : show_locked(job->leader, fn, context);
    crn_mutex_unlock(&job->lock);
    return r;
}
