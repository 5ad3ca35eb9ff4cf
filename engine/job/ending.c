/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a job ends while its handle is open: cancelled, stopped with a savepoint, failed.
 *
 *   cancelled, failed   every task's poll fails from now on; what is in flight is aborted
 *   stopped             DRAIN, if asked for, comes to every task before its barrier is due; the
 *                       barrier's event is STOPPING; when the savepoint is in the log, STOPPED.
 *                       That is the last event: whoever polls after it hears that the job has ended
 *
 * From the moment a stop is asked for until it has failed no other attempt begins (coordinator.c),
 * so between its STOPPING and the outcome no barrier comes to a task, and what sinks have prepared
 * is exactly what the savepoint holds. If it fails, ABORTED tells the tasks to go on.
 *
 * In each case the driver gets CLOSE and winds up in the background; its last act is what the
 * options say of the checkpoints, and cairn_job_close() waits for it. The first ending stands: a
 * job that is cancelled while its last savepoint is being committed is a cancelled one, though the
 * savepoint may come to stand. A job that was taken over has nothing to decide any more (P7).
 *
 * Lock: job->lock.
 */
#include "engine/job/ending.h"

#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"

#include <assert.h>

/* What is asked of a job afterwards. */
static int code_of(enum crn_ending ending)
{
    switch (ending) {
    case CRN_ENDING_CANCELLED:
        return CAIRN_ECANCELED;
    case CRN_ENDING_FAILED:
    case CRN_ENDING_LOST:
        return CAIRN_EFAILED;
    case CRN_ENDING_STOPPED:
    case CRN_ENDING_CLOSED:
        return CAIRN_ECLOSED;
    case CRN_ENDING_NONE:
        break;
    }
    return 0;
}

int crn_ending_check_locked(const struct cairn_job *job, cairn_error **reterr)
{
    crn_mutex_assert_held(&job->lock);
    cairn_error *error = crn_err_copy(job->end_error);
    return crn_err_move(reterr, &error, code_of(job->ending));
}

bool crn_ending_begin_locked(struct cairn_job *job, enum crn_ending how, const cairn_error *error)
{
    crn_mutex_assert_held(&job->lock);
    if (job->ending != CRN_ENDING_NONE)
        return false;
    job->ending = how;
    job->end_error = crn_err_copy(error);
    /* A job that has stopped tells its tasks by an event. */
    for (size_t i = 0; i < job->task_count && how != CRN_ENDING_STOPPED; i++)
        crn_task_stop_locked(job->tasks[i], code_of(how), error);
    crn_cond_signal(&job->wake_driver);
    return true;
}

/* ------------------------------------------------------------------------------------------ *
 * Stop with savepoint
 * ------------------------------------------------------------------------------------------ */

static void post_locked(struct cairn_job *job, const cairn_event *event)
{
    for (size_t i = 0; i < job->task_count; i++)
        crn_task_post(job->tasks[i], event);
}

void crn_ending_stop_asked_locked(struct cairn_job *job)
{
    crn_mutex_assert_held(&job->lock);
    job->stops++;
}

void crn_ending_stop_failed(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    assert(job->stops > 0);
    job->stops--;
    crn_mutex_unlock(&job->lock);
}

void crn_ending_announce_locked(struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_assert_held(&job->lock);
    if (attempt->savepoint == NULL || !attempt->savepoint->handle->stop)
        return;
    for (size_t i = 0; i < job->task_count; i++)
        job->tasks[i]->runtime->stopping_id = attempt->id;
    if (attempt->savepoint->handle->drain)
        post_locked(job, &(cairn_event){.type = CAIRN_EVENT_DRAIN, .checkpoint_id = attempt->id});
}

void crn_ending_stopped(struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_ECLOSED, attempt->savepoint->location,
                       "job '%s' was stopped with savepoint %llu in '%s': close it; the next start "
                       "goes on from there",
                       job->name, (unsigned long long)attempt->id, attempt->savepoint->location);
    crn_mutex_lock(&job->lock);
    const bool has_stopped = crn_ending_begin_locked(job, CRN_ENDING_STOPPED, error);
    if (has_stopped)
        post_locked(job, &(cairn_event){.type = CAIRN_EVENT_STOPPED, .checkpoint_id = attempt->id});
    crn_mutex_unlock(&job->lock);
    if (has_stopped)
        crn_tell(&job->log, CAIRN_LOG_INFO, "job",
                 CRN_FACTS(.told = CRN_TOLD_JOB_STOPPED, .checkpoint_id = attempt->id,
                           .location = attempt->savepoint->location),
                 "%s", cairn_error_message(error));
}

/* ------------------------------------------------------------------------------------------ *
 * The end
 * ------------------------------------------------------------------------------------------ */

void crn_ending_settle(struct cairn_job *job)
{
    const cairn_job_options *o = &job->options;
    crn_mutex_lock(&job->lock);
    const enum crn_ending ending = job->ending;
    const bool fenced = job->fenced;
    crn_mutex_unlock(&job->lock);
    const cairn_retention left = ending == CRN_ENDING_CANCELLED ? o->on_cancel
                                 : ending == CRN_ENDING_FAILED  ? o->on_failure
                                                                : CAIRN_RETAIN;
    if (ending == CRN_ENDING_CANCELLED)
        crn_tell(&job->log, CAIRN_LOG_INFO, "job", CRN_FACTS(.told = CRN_TOLD_JOB_CANCELLED),
                 "job '%s' is cancelled: its checkpoints %s", job->name,
                 left == CAIRN_DELETE ? "go" : "stay");
    if (left == CAIRN_DELETE && !fenced)
        crn_retention_remove(job, ending == CRN_ENDING_CANCELLED
                                      ? "cancelled: checkpoints removed, as on_cancel says"
                                      : "failed: checkpoints removed, as on_failure says");
}

static int cancel_locked(struct cairn_job *job, cairn_error **reterr)
{
    if (job->follower != NULL)
        return crn_job_check_orders_locked(job, reterr);
    if (job->closed || job->closing)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
    if (!job->started)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' is not started: there is nothing to cancel, close it",
                            job->name);
    if (job->fenced)
        return 0;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_ECANCELED, NULL, "job '%s' was cancelled", job->name);
    (void)crn_ending_begin_locked(job, CRN_ENDING_CANCELLED, error); /* or it has ended already */
    return 0;
}

int cairn_job_cancel(cairn_job *job, cairn_error **reterr)
{
    if (job == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job is NULL");
    crn_mutex_lock(&job->lock);
    int r = cancel_locked(job, reterr);
    crn_mutex_unlock(&job->lock);
    return r;
}

/* A worker hears of a stop when its barriers are asked for. */
static bool is_asked_to_stop_locked(const struct cairn_job *job)
{
    for (size_t i = 0; job->follower != NULL && i < job->attempt_count; i++) {
        const struct crn_attempt *attempt = job->attempts[i];
        if (attempt->savepoint != NULL && attempt->savepoint->handle->stop && !attempt->aborted)
            return true;
    }
    return false;
}

cairn_job_state crn_ending_state_locked(const struct cairn_job *job)
{
    crn_mutex_assert_held(&job->lock);
    switch (job->ending) {
    case CRN_ENDING_CANCELLED:
        return CAIRN_JOB_CANCELLED;
    case CRN_ENDING_STOPPED:
        return CAIRN_JOB_STOPPED;
    case CRN_ENDING_FAILED:
    case CRN_ENDING_LOST:
        return CAIRN_JOB_FAILED;
    case CRN_ENDING_NONE:
    case CRN_ENDING_CLOSED:
        break;
    }
    if (job->fenced)
        return CAIRN_JOB_FENCED;
    if (!job->started)
        return CAIRN_JOB_OPEN;
    return job->stops > 0 || is_asked_to_stop_locked(job) ? CAIRN_JOB_STOPPING : CAIRN_JOB_RUNNING;
}

int cairn_job_get_state(cairn_job *job)
{
    if (job == NULL)
        return CAIRN_EINVAL;
    crn_mutex_lock(&job->lock);
    int state = (int)crn_ending_state_locked(job);
    crn_mutex_unlock(&job->lock);
    return state;
}

uint64_t cairn_job_epoch(const cairn_job *job)
{
    return job == NULL ? 0 : job->epoch; /* of its opening: never changes */
}
