/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a running job for a checkpoint, and waiting for the outcome.
 *
 * A request gets a ticket. The driver hands requests to the coordinator; the attempt that begins
 * next serves all tickets given out so far, or a newer one that subsumes it does. Who waits links a
 * waiter into the job; the driver fills it in (outcome.c, settle_waiters) when the attempt that
 * serves its ticket has an outcome. Several requests that wait become one checkpoint.
 */
#include "engine/job/ending.h"

#include "engine/options.h"

int crn_job_check_running_locked(const struct cairn_job *job, cairn_error **reterr)
{
    if (job->closed || job->closing)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
    if (!job->started)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' is not started: call cairn_job_start() once every task is "
                            "open",
                            job->name);
    if (job->fenced) {
        cairn_error *error = crn_err_copy(job->fence_error);
        return crn_err_move(reterr, &error, CAIRN_EFENCED);
    }
    return job->ending != CRN_ENDING_NONE ? crn_ending_check_locked(job, reterr) : 0;
}

int crn_job_check_orders_locked(const struct cairn_job *job, cairn_error **reterr)
{
    if (job->follower != NULL)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                            "this process is a worker of job '%s': ask its coordinator", job->name);
    return crn_job_check_running_locked(job, reterr);
}

static int request_locked(struct cairn_job *job, const cairn_trigger_options *options,
                          struct crn_waiter *waiter, cairn_error **reterr)
{
    CRN_TRY(crn_job_check_orders_locked(job, reterr));
    job->tickets++;
    job->requested_full |= options->full != 0;
    if (waiter != NULL) {
        waiter->ticket = job->tickets;
        waiter->next = job->waiters;
        job->waiters = waiter;
    }
    crn_cond_signal(&job->wake_driver);
    return 0;
}

int crn_job_request(struct cairn_job *job, const cairn_trigger_options *options,
                    struct crn_waiter *waiter, cairn_error **reterr)
{
    cairn_trigger_options o;
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_trigger_options", reterr));
    crn_mutex_lock(&job->lock);
    int r = request_locked(job, &o, waiter, reterr);
    crn_mutex_unlock(&job->lock);
    return r;
}

int crn_waiter_outcome(struct crn_waiter *waiter, cairn_checkpoint_info *ret_info,
                       cairn_error **reterr)
{
    if (waiter->code < 0)
        return crn_err_move(reterr, &waiter->error, waiter->code);
    if (ret_info == NULL)
        return 0;
    return crn_options_out(ret_info, &waiter->info, sizeof waiter->info, "cairn_checkpoint_info",
                           reterr);
}

int cairn_job_trigger(cairn_job *job, const cairn_trigger_options *options, cairn_error **reterr)
{
    if (job == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job is NULL");
    return crn_job_request(job, options, NULL, reterr);
}

int cairn_job_checkpoint(cairn_job *job, const cairn_trigger_options *options,
                         cairn_checkpoint_info *ret_info, cairn_error **reterr)
{
    if (job == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job is NULL");
    struct crn_waiter waiter = {0};
    /* The job may be closed from here on, which ends the wait: it must not be freed before. */
    atomic_fetch_add(&job->refs, 1);
    int r = crn_job_request(job, options, &waiter, reterr);
    if (r < 0) {
        crn_job_unref(job);
        return r;
    }
    crn_mutex_lock(&job->lock);
    while (!waiter.done)
        crn_cond_wait(&job->wake_waiters, &job->lock);
    crn_mutex_unlock(&job->lock);
    crn_job_unref(job);
    return crn_waiter_outcome(&waiter, ret_info, reterr);
}
