/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a job: is everything there that a checkpoint needs?
 *
 * Of each operator that has a task every subtask must be there, here or in a worker, all opened
 * alike; and everything that was restored must have a task to go to. A coordinator first waits for
 * its workers, and a worker for its coordinator's word (engine/cluster/). Then the driver begins,
 * or in a worker what takes its place.
 *
 * Lock: job->lock for the checks and the start; not while others are waited for.
 */
#include "engine/job/job.h"

#include "engine/cluster/follower.h"
#include "engine/cluster/leader.h"
#include "engine/gate/gate.h"
#include "engine/states/keyed.h"
#include "engine/status/fields.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Subtasks
 * ------------------------------------------------------------------------------------------ */

struct subtasks {
    struct crn_remote_task *items; /* sorted by uid and number */
    size_t count;
};

static void subtasks_done(struct subtasks *subtasks)
{
    free(subtasks->items);
}

static struct crn_remote_task of_task(const struct cairn_task *task)
{
    return (struct crn_remote_task){
        .uid = task->uid,
        .subtask = task->options.subtask,
        .parallelism = task->options.parallelism,
        .max_parallelism = task->max_parallelism,
        .key_type = task->options.key_type,
        .namespace_type = task->options.namespace_type,
    };
}

static int compare_subtasks(const void *a, const void *b)
{
    const struct crn_remote_task *x = a, *y = b;
    int order = strcmp(x->uid, y->uid);
    return order != 0 ? order : (x->subtask > y->subtask) - (x->subtask < y->subtask);
}

/* Those here and those of the workers. Texts are borrowed. */
static int list_subtasks_locked(const struct cairn_job *job, struct subtasks *ret,
                                cairn_error **reterr)
{
    struct crn_remote_task remote;
    size_t remote_count = 0;
    while (crn_leader_task_locked(job, remote_count, &remote))
        remote_count++;
    ret->items = calloc(job->task_count + remote_count + 1, sizeof *ret->items);
    if (ret->items == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < job->task_count; i++)
        ret->items[ret->count++] = of_task(job->tasks[i]);
    while (crn_leader_task_locked(job, ret->count - job->task_count, &remote))
        ret->items[ret->count++] = remote;
    qsort(ret->items, ret->count, sizeof *ret->items, compare_subtasks);
    return 0;
}

static int check_alike(const struct cairn_job *job, const struct crn_remote_task *task,
                       const struct crn_remote_task *sibling, cairn_error **reterr)
{
    if (sibling->parallelism != task->parallelism ||
        sibling->max_parallelism != task->max_parallelism)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': subtasks of operator '%s' were opened with "
                            "different parallelism or max_parallelism",
                            job->name, task->uid);
    if (sibling->key_type != task->key_type || sibling->namespace_type != task->namespace_type)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': operator '%s' has keys of type %s and namespaces of type %s "
                            "in subtask %u, but %s and %s in subtask %u",
                            job->name, task->uid, crn_type_name(task->key_type),
                            crn_type_name(task->namespace_type), task->subtask,
                            crn_type_name(sibling->key_type),
                            crn_type_name(sibling->namespace_type), sibling->subtask);
    return 0;
}

/* Every subtask of every opened operator must be there: a checkpoint without one would not be
 * whole. */
static int check_subtasks(const struct cairn_job *job, const struct subtasks *subtasks,
                          cairn_error **reterr)
{
    for (size_t i = 0, first = 0; i < subtasks->count; i++) {
        const struct crn_remote_task *task = &subtasks->items[i];
        const struct crn_remote_task *next = i + 1 < subtasks->count ? task + 1 : NULL;
        const uint32_t wanted = (uint32_t)(i - first);
        if (i > first && task[-1].subtask == task->subtask)
            return crn_err_fail(reterr, CAIRN_EEXIST, NULL,
                                "job '%s': operator '%s' subtask %u is in two processes", job->name,
                                task->uid, task->subtask);
        CRN_TRY(check_alike(job, &subtasks->items[first], task, reterr));
        const bool is_last = next == NULL || strcmp(next->uid, task->uid) != 0;
        if (task->subtask != wanted || (is_last && wanted + 1 != task->parallelism))
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "job '%s': operator '%s' has parallelism %u but subtask %u is "
                                "not open",
                                job->name, task->uid, task->parallelism,
                                task->subtask != wanted ? wanted : wanted + 1);
        if (is_last)
            first = i + 1;
    }
    return 0;
}

bool crn_start_has_doubles_locked(const struct cairn_job *job)
{
    CRN_CLEANUP(subtasks_done) struct subtasks subtasks = {0};
    if (list_subtasks_locked(job, &subtasks, NULL) < 0)
        return false; /* the start itself will tell */
    for (size_t i = 1; i < subtasks.count; i++)
        if (compare_subtasks(&subtasks.items[i - 1], &subtasks.items[i]) == 0)
            return true;
    return false;
}

static int check_open_locked(const struct cairn_job *job, cairn_error **reterr)
{
    for (size_t i = 0; i < job->task_count; i++)
        if (!atomic_load(&job->tasks[i]->open))
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "job '%s': operator '%s' subtask %u is still being opened",
                                job->name, job->tasks[i]->uid, job->tasks[i]->options.subtask);
    return 0;
}

static bool has_operator(const struct subtasks *subtasks, const char *uid)
{
    for (size_t i = 0; i < subtasks->count; i++)
        if (strcmp(subtasks->items[i].uid, uid) == 0)
            return true;
    return false;
}

/* Lists in `lost` what has state but no task, if that is allowed. */
static int check_restored(const struct cairn_job *job, const struct subtasks *subtasks,
                          struct cairn_buffer *lost, cairn_error **reterr)
{
    for (size_t i = 0; job->restored != NULL && i < job->restored->operator_count; i++) {
        const struct crn_operator *op = &job->restored->operators[i];
        if (!has_operator(subtasks, op->info.uid))
            if (crn_buf_printf(lost, "%s'%s' (%zu subtasks)", lost->size > 0 ? ", " : "",
                               op->info.uid, op->subtask_count) < 0)
                return crn_err_nomem(reterr);
    }
    if (lost->size == 0 || job->options.allow_non_restored_state)
        return 0;
    return crn_err_fail(reterr, CAIRN_ENONRESTORED, NULL,
                        "checkpoint %llu of job '%s' has state of operators that no task opened: "
                        "%s; open them, or set allow_non_restored_state to drop it",
                        (unsigned long long)job->restored_info.id, job->restored->job,
                        (const char *)lost->data);
}

/* A worker sees only its own; its coordinator checks the whole. */
static int check_whole_locked(const struct cairn_job *job, struct cairn_buffer *lost,
                              cairn_error **reterr)
{
    CRN_CLEANUP(subtasks_done) struct subtasks subtasks = {0};
    CRN_TRY(check_open_locked(job, reterr));
    if (job->follower != NULL)
        return 0;
    CRN_TRY(list_subtasks_locked(job, &subtasks, reterr));
    CRN_TRY(check_subtasks(job, &subtasks, reterr));
    crn_buf_clear(lost);
    return check_restored(job, &subtasks, lost, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * The start
 * ------------------------------------------------------------------------------------------ */

static int check_startable_locked(const struct cairn_job *job, cairn_error **reterr)
{
    if (job->closed || job->closing)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
    if (job->started || job->starting)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job '%s' was started before", job->name);
    if (job->task_count == 0 && job->leader == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job '%s' has no task", job->name);
    return 0;
}

static int start_locked(struct cairn_job *job, struct cairn_buffer *lost, cairn_error **reterr)
{
    if (job->closing)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
    CRN_TRY(check_whole_locked(job, lost, reterr));
    CRN_TRY(crn_gates_check_locked(job, reterr));
    free(job->acked); /* of a start that failed */
    job->acked = calloc(CRN_FLIGHTS_MAX, job->task_count + crn_leader_worker_count(job));
    if (job->acked == NULL)
        return crn_err_nomem(reterr);
    job->base_id = job->restored_id;
    CRN_TRY(crn_leader_begin_locked(job, reterr));
    CRN_TRY(crn_driver_start(job, reterr));
    job->started = true;
    for (size_t i = 0; i < job->task_count; i++)
        atomic_fetch_and(&job->tasks[i]->runtime->pending, ~(unsigned)CRN_PENDING_NOT_STARTED);
    return 0;
}

/* A worker's tasks must all be open before it joins with them. */
static int wait_for_others(struct cairn_job *job, cairn_error **reterr)
{
    crn_mutex_lock(&job->lock);
    int r = check_open_locked(job, reterr);
    crn_mutex_unlock(&job->lock);
    CRN_TRY(r);
    CRN_TRY(crn_leader_gather(job, reterr));
    return crn_follower_join(job, reterr);
}

int cairn_job_start(cairn_job *job, cairn_error **reterr)
{
    if (job == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job is NULL");
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&job->meter);
    CRN_AUTO_BUFFER struct cairn_buffer lost = {0};
    crn_mutex_lock(&job->lock);
    int r = check_startable_locked(job, reterr);
    job->starting = r == 0;
    crn_mutex_unlock(&job->lock);
    CRN_TRY(r);
    r = crn_control_start(job->control, reterr); /* it takes its time, and can fail */
    if (r == 0)
        r = wait_for_others(job, reterr);
    crn_mutex_lock(&job->lock);
    if (r == 0)
        r = start_locked(job, &lost, reterr);
    crn_mutex_unlock(&job->lock);
    if (r == 0) {
        crn_job_remove_kept(job);
        crn_control_announce(job->control);
    } else {
        crn_control_leave(job->control);
        crn_control_stop(job->control);
    }
    crn_mutex_lock(&job->lock);
    job->starting = false; /* from here on the endpoint is of whoever closes */
    crn_cond_broadcast(&job->wake_waiters);
    crn_mutex_unlock(&job->lock);
    if (r == 0 && lost.size > 0)
        crn_tell(&job->log, CAIRN_LOG_WARNING, "job",
                 CRN_FACTS(.told = CRN_TOLD_STATE_DROPPED, .reason = (const char *)lost.data),
                 "job '%s': dropping the state of operators without a task: %s", job->name,
                 (const char *)lost.data);
    return r;
}
