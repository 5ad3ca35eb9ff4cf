/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver: one thread per job around the pure coordinator. It turns what tasks, pool threads and
 * callers left under job->lock into events, feeds them to the coordinator, and carries its actions
 * out: store calls happen here, never under the lock.
 *
 * Everything that other threads report is a fact in a struct (acked, declined, running, requests),
 * not a message: nothing can get lost, and reporting cannot fail for want of memory.
 */
#include "engine/gate/gate.h"
#include "engine/restore/source.h"
#include "engine/savepoint/savepoint.h"

#include <string.h>

/* A capture mostly waits for a flush: as many threads as tasks, within reason. */
#define CAPTURE_THREADS_MAX 32u

/* Times that somebody made as long as can be mean: never. */
static uint64_t us_of_ms(uint64_t ms)
{
    return ms > UINT64_MAX / 1000 ? UINT64_MAX : ms * 1000;
}

static void carry_out(struct cairn_job *job, const struct crn_actions *actions);

static void feed_event(struct cairn_job *job, struct crn_coordinator_event *event)
{
    struct crn_actions actions;
    event->now_us = crn_now_us();
    crn_coordinator_step(&job->coordinator, event, &actions);
    carry_out(job, &actions);
}

static void feed(struct cairn_job *job, enum crn_event_kind kind, uint64_t id, uint32_t task,
                 bool full)
{
    feed_event(job,
               &(struct crn_coordinator_event){.kind = kind, .id = id, .task = task, .full = full});
}

/* Nothing was done under this id: it stays free. */
static void begin_failed(struct cairn_job *job, const struct crn_action *action,
                         const cairn_error *why)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_EABORTED, NULL, "checkpoint %llu of job '%s' cannot begin: %s",
                       (unsigned long long)action->id, job->name, cairn_error_message(why));
    crn_log_write(&job->log, CAIRN_LOG_ERROR, "checkpoint", "%s", cairn_error_message(error));
    crn_outcome_settle_waiters(job, action->ticket, CAIRN_EABORTED, error);
    feed(job, CRN_EVENT_BEGIN_FAILED, action->id, 0, false);
}

static void request_barriers_locked(struct crn_attempt *attempt)
{
    for (size_t i = 0; i < attempt->part_count; i++) {
        struct crn_task_runtime *runtime = attempt->parts[i].task->runtime;
        runtime->requested = &attempt->parts[i];
        atomic_fetch_or(&runtime->pending, CRN_PENDING_BARRIER);
        crn_cond_broadcast(&runtime->wake);
    }
}

/* Takes the run on success. An obstacle: no task is asked for its barrier, and the attempt goes the
 * way of all that fail, so that its id is resolved and the log has the reason. */
static int begin_locked(struct cairn_job *job, const struct crn_action *action,
                        int64_t trigger_time_ms, struct crn_savepoint_run **run,
                        cairn_error **obstacle, cairn_error **reterr)
{
    struct crn_attempt *attempt = NULL;
    if (job->task_lost)
        return crn_err_fail(reterr, CAIRN_EABORTED, NULL, "%s was closed, its state would be lost",
                            job->lost_task != NULL ? job->lost_task : "a task");
    CRN_TRY(crn_attempt_new_locked(job, action, &attempt, reterr));
    attempt->trigger_time_ms = trigger_time_ms;
    attempt->timeout_us = us_of_ms(job->options.checkpoint_timeout_ms);
    if (*run != NULL) {
        attempt->savepoint = CRN_TAKE(*run);
        attempt->store = attempt->savepoint->handle->target.store;
        attempt->prefix = attempt->savepoint->name;
        attempt->timeout_us = us_of_ms(attempt->savepoint->handle->timeout_ms);
        atomic_store(&attempt->savepoint->barriers_left, (unsigned)attempt->part_count);
    }
    attempt->deadline_us = attempt->timeout_us > UINT64_MAX - attempt->started_us
                               ? UINT64_MAX
                               : attempt->started_us + attempt->timeout_us;
    job->attempt = attempt;
    if (*obstacle == NULL) {
        request_barriers_locked(attempt);
    } else {
        attempt->error = CRN_TAKE(*obstacle);
        attempt->declined = true;
        atomic_store(&attempt->cancelled, true);
    }
    return 0;
}

static int begin(struct cairn_job *job, const struct crn_action *action,
                 struct crn_savepoint_run **run, cairn_error **obstacle, cairn_error **reterr)
{
    int64_t trigger_time_ms = job->options.now_ms(job->options.now_context);
    crn_mutex_lock(&job->lock);
    int r = begin_locked(job, action, trigger_time_ms, run, obstacle, reterr);
    crn_mutex_unlock(&job->lock);
    return r;
}

static void do_begin_checkpoint(struct cairn_job *job, const struct crn_action *action)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_savepoint_run *none = NULL;
    cairn_error *no_obstacle = NULL;
    if (begin(job, action, &none, &no_obstacle, &error) < 0)
        begin_failed(job, action, error);
    else
        crn_log_write(&job->log, CAIRN_LOG_DEBUG, "checkpoint",
                      "job '%s': checkpoint %llu begins%s", job->name,
                      (unsigned long long)action->id, action->full ? " (full)" : "");
}

static void do_begin_savepoint(struct cairn_job *job, const struct crn_action *action)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct cairn_savepoint_handle *handle = crn_savepoint_next(job);
    CRN_AUTO_ERROR cairn_error *obstacle = NULL;
    struct crn_savepoint_run *run = NULL;
    int r = crn_savepoint_prepare(job, handle, action->id, &run, &obstacle);
    r = run == NULL ? crn_err_move(&error, &obstacle, r)
                    : begin(job, action, &run, &obstacle, &error);
    if (r == 0) {
        crn_log_write(&job->log, CAIRN_LOG_DEBUG, "savepoint", "job '%s': savepoint %llu begins",
                      job->name, (unsigned long long)action->id);
        return;
    }
    crn_log_write(&job->log, CAIRN_LOG_ERROR, "savepoint",
                  "job '%s': savepoint %llu cannot begin: %s", job->name,
                  (unsigned long long)action->id, cairn_error_message(error));
    crn_savepoint_give_up(job, handle, run, action->id, error);
    feed(job, CRN_EVENT_BEGIN_FAILED, action->id, 0, false);
}

/* The log cannot be told the outcome now: it is tried again, and waiters may have to hear why. */
static void keep_log_error(struct crn_attempt *attempt, cairn_error **error)
{
    crn_log_write(&attempt->job->log, CAIRN_LOG_WARNING, crn_outcome_word(attempt),
                  "job '%s': the outcome of %s %llu is not in the log yet, trying again: %s",
                  attempt->job->name, crn_outcome_word(attempt), (unsigned long long)attempt->id,
                  cairn_error_message(*error));
    cairn_error_free(attempt->log_error);
    attempt->log_error = CRN_TAKE(*error);
}

static void do_commit(struct cairn_job *job)
{
    struct crn_attempt *attempt = job->attempt;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    uint64_t id = attempt->id;
    enum crn_event_kind result = crn_publish_commit(attempt, &error);
    if (result == CRN_EVENT_COMMIT_UNKNOWN)
        keep_log_error(attempt, &error);
    else if (result != CRN_EVENT_COMMIT_OK) {
        crn_mutex_lock(&job->lock);
        if (attempt->error == NULL)
            attempt->error = CRN_TAKE(error);
        crn_mutex_unlock(&job->lock);
    }
    feed(job, result, id, 0, false);
}

/* The log could not be told, perhaps because this very attempt has filled the store: then its
 * objects are in the way of the record that would let them go. No one else can come to reference
 * them, so unless a commit may have happened they go at once (P5). */
static void make_room(struct cairn_job *job, struct crn_attempt *attempt)
{
    crn_mutex_lock(&job->lock);
    bool wait = attempt->running > 0 || attempt->in_doubt;
    crn_mutex_unlock(&job->lock);
    if (wait || attempt->uploaded_count == 0)
        return;
    if (attempt->savepoint != NULL) {
        (void)crn_savepoint_make_room(attempt); /* which says what went wrong */
        return;
    }
    for (size_t i = 0; i < attempt->uploaded_count; i++) {
        crn_garbage_add(job, attempt->uploaded[i]);
        free(attempt->uploaded[i]);
    }
    attempt->uploaded_count = 0;
    crn_garbage_remove(job);
}

static void do_abort(struct cairn_job *job)
{
    struct crn_attempt *attempt = job->attempt;
    uint64_t id = attempt->id;
    crn_mutex_lock(&job->lock);
    CRN_AUTO_ERROR cairn_error *error = crn_err_copy(attempt->error);
    crn_mutex_unlock(&job->lock);
    const char *reason = cairn_error_message(error);
    CRN_AUTO_ERROR cairn_error *log_error = NULL;
    enum crn_event_kind result =
        crn_publish_abort(attempt, reason[0] != '\0' ? reason : "the job was closed", &log_error);
    if (result == CRN_EVENT_ABORT_FAILED) {
        keep_log_error(attempt, &log_error);
        make_room(job, attempt);
    }
    feed(job, result, id, 0, false);
}

/* No task takes this attempt's barrier any more, and its uploads end early. */
static void do_cancel(struct cairn_job *job, const struct crn_action *action)
{
    struct crn_attempt *attempt = job->attempt;
    crn_mutex_lock(&job->lock);
    if (!action->timed_out && job->closing && attempt->error == NULL)
        (void)crn_err_fail(&attempt->error, CAIRN_ECLOSED, NULL, "the job was closed");
    if (action->timed_out && attempt->error == NULL) {
        size_t waiting = 0;
        const struct crn_part *late = NULL;
        for (size_t i = 0; i < attempt->part_count; i++)
            if (!attempt->parts[i].acked) {
                waiting++;
                late = &attempt->parts[i];
            }
        attempt->failed_part = late;
        (void)crn_err_fail(
            &attempt->error, CAIRN_ETIMEOUT, NULL,
            "timed out after %llu ms; %zu of %zu tasks had not acknowledged, one of "
            "them '%s' subtask %u, which %s",
            (unsigned long long)attempt->timeout_us / 1000, waiting, attempt->part_count,
            late != NULL ? late->task->uid : "", late != NULL ? late->task->options.subtask : 0,
            late != NULL && late->taken ? "was still uploading" : "did not poll in time");
    }
    /* After the reason is set: what ends early because of it must not be taken for the reason. */
    atomic_store(&attempt->cancelled, true);
    for (size_t i = 0; i < attempt->part_count; i++) {
        struct crn_part *part = &attempt->parts[i];
        if (part->task->runtime->requested == part) {
            part->task->runtime->requested = NULL;
            atomic_fetch_and(&part->task->runtime->pending, ~(unsigned)CRN_PENDING_BARRIER);
        }
    }
    crn_mutex_unlock(&job->lock);
    crn_gates_forget(attempt);
}

static void carry_out(struct cairn_job *job, const struct crn_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct crn_action *action = &actions->items[i];
        switch (action->kind) {
        case CRN_ACTION_BEGIN:
            if (action->savepoint)
                do_begin_savepoint(job, action);
            else
                do_begin_checkpoint(job, action);
            break;
        case CRN_ACTION_COMMIT:
            do_commit(job);
            break;
        case CRN_ACTION_COMPLETE:
            crn_outcome_complete(job, action);
            break;
        case CRN_ACTION_CANCEL:
            do_cancel(job, action);
            break;
        case CRN_ACTION_ABORT:
            do_abort(job);
            break;
        case CRN_ACTION_ABORTED:
            crn_outcome_aborted(job, action);
            break;
        case CRN_ACTION_DISCARD:
            crn_outcome_discard(job);
            break;
        case CRN_ACTION_LEAVE:
            crn_outcome_leave(job);
            break;
        case CRN_ACTION_OVERDUE:
            crn_outcome_overdue(job);
            break;
        case CRN_ACTION_FENCED:
            crn_outcome_fenced(job);
            break;
        case CRN_ACTION_CLOSED:
            break;
        }
    }
}

/* One fact that the coordinator has not heard of yet. false: none. */
static bool next_fact(struct cairn_job *job, struct crn_coordinator_event *ret)
{
    struct crn_attempt *attempt = job->attempt;
    *ret = (struct crn_coordinator_event){0};
    if (attempt != NULL) {
        ret->id = attempt->id;
        for (size_t i = 0; i < attempt->part_count; i++)
            if (attempt->parts[i].acked && !attempt->parts[i].reported) {
                attempt->parts[i].reported = true;
                ret->kind = CRN_EVENT_ACK;
                ret->task = (uint32_t)i;
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
    }
    if (job->tickets_told < job->tickets) {
        ret->kind = CRN_EVENT_REQUEST;
        ret->id = job->tickets_told = job->tickets;
        ret->full = job->requested_full;
        job->requested_full = false;
        return true;
    }
    if (job->savepoints != NULL && !job->coordinator.savepoint_waits && !job->closing) {
        ret->kind = CRN_EVENT_SAVEPOINT;
        ret->timeout_us = us_of_ms(job->savepoints->timeout_ms);
        return true;
    }
    if (job->closing && !job->coordinator.closing) {
        ret->kind = CRN_EVENT_CLOSE;
        return true;
    }
    return false;
}

static void *driver_main(void *arg)
{
    struct cairn_job *job = arg;
    crn_mutex_lock(&job->lock);
    uint32_t task_count = (uint32_t)job->task_count;
    crn_mutex_unlock(&job->lock);
    feed(job, CRN_EVENT_START, job->joblog.head_id, task_count, false);
    crn_release_claimed(job);
    while (job->coordinator.phase != CRN_PHASE_CLOSED) {
        struct crn_coordinator_event event;
        crn_mutex_lock(&job->lock);
        bool has_fact;
        while (!(has_fact = next_fact(job, &event))) {
            uint64_t tick_us = crn_coordinator_next_tick_us(&job->coordinator);
            if (tick_us == UINT64_MAX)
                crn_cond_wait(&job->wake_driver, &job->lock);
            else if (!crn_cond_wait_until(&job->wake_driver, &job->lock, tick_us))
                break;
        }
        crn_mutex_unlock(&job->lock);
        if (has_fact)
            feed_event(job, &event);
        else
            feed(job, CRN_EVENT_TICK, 0, 0, false);
    }
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_ECLOSED, NULL, "job '%s' was closed", job->name);
    crn_outcome_settle_waiters(job, UINT64_MAX, CAIRN_ECLOSED, error);
    crn_savepoint_fail_waiting(job, error);
    return NULL;
}

int crn_driver_start(struct cairn_job *job, cairn_error **reterr)
{
    const cairn_job_options *o = &job->options;
    crn_coordinator_init(&job->coordinator, us_of_ms(o->checkpoint_interval_ms),
                         us_of_ms(o->checkpoint_timeout_ms), us_of_ms(o->min_pause_ms), job->acked);
    uint32_t captures =
        job->task_count < CAPTURE_THREADS_MAX ? (uint32_t)job->task_count : CAPTURE_THREADS_MAX;
    CRN_TRY(crn_pool_new(captures, "cairn-capture", &job->capture_pool, reterr));
    int r = crn_thread_start(&job->driver, "cairn-driver", driver_main, job, reterr);
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
