/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver: one thread per job around the pure coordinator. It turns what tasks, pool threads and
 * callers left under job->lock into events, feeds them to the coordinator, and has its actions
 * carried out (actions.c): store calls happen here, never under the lock.
 *
 * Everything that other threads report is a fact in a struct (acked, declined, running, requests),
 * not a message: nothing can get lost, and reporting cannot fail for want of memory.
 *
 * An action may have a result that the coordinator has to hear of. It waits in job->results until
 * all actions of its step are carried out, in order; then it is fed before any new fact. That an
 * attempt could not begin goes before the rest: until then the coordinator takes it for the newest.
 */
#include "engine/cluster/follower.h"
#include "engine/cluster/leader.h"
#include "engine/restore/source.h"
#include "engine/savepoint/savepoint.h"

#include <assert.h>
#include <string.h>

/* A capture mostly waits for a flush: as many threads as tasks, within reason. */
#define CAPTURE_THREADS_MAX 32u

void crn_driver_result(struct cairn_job *job, enum crn_event_kind kind, uint64_t id)
{
    struct crn_coordinator_event *to = &job->results[job->result_count];
    assert(job->result_count < CRN_RESULTS_MAX);
    if (kind == CRN_EVENT_BEGIN_FAILED && job->result_count > 0) {
        memmove(&job->results[1], &job->results[0], job->result_count * sizeof job->results[0]);
        to = &job->results[0];
    }
    *to = (struct crn_coordinator_event){.kind = kind, .id = id};
    job->result_count++;
}

/* With all that follows from it. */
static void feed(struct cairn_job *job, struct crn_coordinator_event event)
{
    for (;;) {
        struct crn_actions actions;
        event.now_us = crn_now_us();
        crn_coordinator_step(&job->coordinator, &event, &actions);
        for (size_t i = 0; i < actions.count; i++)
            crn_action_carry_out(job, &actions.items[i]);
        if (job->result_count == 0)
            return;
        event = job->results[0];
        job->result_count--;
        memmove(&job->results[0], &job->results[1], job->result_count * sizeof job->results[0]);
    }
}

bool crn_driver_is_finished_due_locked(const struct cairn_job *job)
{
    for (size_t i = 0; job->finished_count > 0 && i < job->task_count; i++)
        if (job->tasks[i]->runtime->finished && crn_flight_next_locked(job->tasks[i]) != NULL)
            return true;
    return false;
}

/* What an attempt has to tell. */
static bool next_fact_of(struct crn_attempt *attempt, struct crn_coordinator_event *ret)
{
    ret->id = attempt->id;
    if (attempt->acks != NULL) {
        struct crn_part *part = attempt->acks;
        attempt->acks = CRN_TAKE(part->next);
        ret->kind = CRN_EVENT_ACK;
        ret->task = (uint32_t)(part - attempt->parts);
        return true;
    }
    if (attempt->remote_acks != NULL) {
        struct crn_remote_part *remote = attempt->remote_acks;
        attempt->remote_acks = CRN_TAKE(remote->next);
        ret->kind = CRN_EVENT_ACK;
        ret->task = (uint32_t)(attempt->part_count + (size_t)(remote - attempt->remotes));
        return true;
    }
    if (attempt->declined && !attempt->decline_reported) {
        attempt->decline_reported = true;
        ret->kind = CRN_EVENT_DECLINE;
        return true;
    }
    if (atomic_load(&attempt->cancelled) && attempt->running == 0 && !attempt->drain_reported) {
        attempt->drain_reported = true;
        ret->kind = CRN_EVENT_DRAINED;
        return true;
    }
    return false;
}

/* One fact that the coordinator has not heard of yet. false: none. */
static bool next_fact(struct cairn_job *job, struct crn_coordinator_event *ret)
{
    bool ends = job->closing || job->ending != CRN_ENDING_NONE;
    for (size_t i = 0; i < job->attempt_count; i++) {
        *ret = (struct crn_coordinator_event){0};
        if (next_fact_of(job->attempts[i], ret))
            return true;
    }
    *ret = (struct crn_coordinator_event){0};
    if (job->tickets_told < job->tickets) {
        ret->kind = CRN_EVENT_REQUEST;
        ret->id = job->tickets_told = job->tickets;
        ret->full = job->requested_full;
        job->requested_full = false;
        return true;
    }
    if (job->savepoints != NULL && !job->coordinator.savepoint_waits && !ends) {
        ret->kind = CRN_EVENT_SAVEPOINT;
        ret->timeout_us = crn_us_of_ms(job->savepoints->timeout_ms);
        ret->stop = job->savepoints->stop;
        return true;
    }
    if (ends && job->coordinator.phase != CRN_PHASE_CLOSING) {
        ret->kind = CRN_EVENT_CLOSE;
        return true;
    }
    return false;
}

/* The next event: a fact, or that time has passed. Nobody polls for a finished task: what its
 * barriers need is done here in between. */
static void wait_for_event(struct cairn_job *job, struct crn_coordinator_event *ret)
{
    crn_mutex_lock(&job->lock);
    while (!next_fact(job, ret)) {
        if (crn_driver_is_finished_due_locked(job)) {
            crn_mutex_unlock(&job->lock);
            crn_finish_take_barriers(job);
            crn_mutex_lock(&job->lock);
            continue;
        }
        uint64_t tick_us = crn_coordinator_next_tick_us(&job->coordinator);
        if (tick_us == UINT64_MAX) {
            crn_cond_wait(&job->wake_driver, &job->lock);
        } else if (!crn_cond_wait_until(&job->wake_driver, &job->lock, tick_us)) {
            *ret = (struct crn_coordinator_event){.kind = CRN_EVENT_TICK};
            break;
        }
    }
    crn_mutex_unlock(&job->lock);
}

static void *driver_main(void *arg)
{
    struct cairn_job *job = arg;
    struct crn_coordinator_event event = {.kind = CRN_EVENT_START, .id = job->joblog.head_id};
    crn_mutex_lock(&job->lock);
    event.task = (uint32_t)job->task_count + crn_leader_worker_count(job);
    crn_mutex_unlock(&job->lock);
    feed(job, event);
    crn_release_claimed(job);
    while (job->coordinator.phase != CRN_PHASE_CLOSED) {
        wait_for_event(job, &event);
        feed(job, event);
    }
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_mutex_lock(&job->lock);
    if (job->end_error != NULL)
        error = crn_err_copy(job->end_error);
    else
        (void)crn_err_fail(&error, CAIRN_ECLOSED, NULL, "job '%s' was closed", job->name);
    crn_mutex_unlock(&job->lock);
    crn_outcome_settle_waiters(job, 0, UINT64_MAX, cairn_error_code(error), error);
    crn_savepoint_fail_waiting(job, error);
    crn_ending_settle(job);
    if (!job->fenced) /* else the successor tells the workers */
        crn_leader_tell(job, CRN_POST_ENDED, 0, 0, cairn_error_code(error),
                        cairn_error_message(error));
    return NULL;
}

/* docs: cairn_job_options. */
static struct crn_coordinator_settings settings_of(const cairn_job_options *o)
{
    return (struct crn_coordinator_settings){
        .interval_us = crn_us_of_ms(o->checkpoint_interval_ms),
        .timeout_us = crn_us_of_ms(o->checkpoint_timeout_ms),
        .min_pause_us = crn_us_of_ms(o->min_pause_ms),
        .max_concurrent = o->max_concurrent,
        /* The coordinator survives that many, the options say 0 for any number. */
        .tolerable_failures = o->tolerable_failures == 0 ? UINT32_MAX
                              : o->tolerable_failures == CAIRN_TOLERATE_NONE
                                  ? 0
                                  : o->tolerable_failures,
        .full_every = o->full_every,
    };
}

int crn_driver_start(struct cairn_job *job, cairn_error **reterr)
{
    const struct crn_coordinator_settings settings = settings_of(&job->options);
    crn_coordinator_init(&job->coordinator, &settings, job->acked);
    uint32_t captures =
        job->task_count < CAPTURE_THREADS_MAX ? (uint32_t)job->task_count : CAPTURE_THREADS_MAX;
    if (captures == 0) /* a coordinator whose workers have all tasks */
        captures = 1;
    CRN_TRY(crn_pool_new(captures, "cairn-capture", &job->capture_pool, reterr));
    int r = crn_thread_start(&job->driver, "cairn-driver",
                             job->follower != NULL ? crn_follower_main : driver_main, job, reterr);
    if (r < 0)
        crn_pool_free(CRN_TAKE(job->capture_pool));
    job->driver_running = r == 0;
    return r;
}

void crn_driver_stop(struct cairn_job *job)
{
    if (!job->driver_running)
        return;
    crn_mutex_lock(&job->lock);
    crn_cond_signal(&job->wake_driver);
    crn_mutex_unlock(&job->lock);
    (void)pthread_join(job->driver, NULL); /* it was started, and nobody else joins it */
    job->driver_running = false;
    crn_pool_free(CRN_TAKE(job->capture_pool));
}
