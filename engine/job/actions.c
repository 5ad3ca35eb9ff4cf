/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the coordinator wants done to an attempt: begin it, cancel it, commit or abort its id. How
 * one ends is the matter of outcome.c.
 *
 * Begin: the attempt is made and every task asked for its barrier, or nothing is done under the id,
 * which stays free. Cancel: no task takes the barrier any more, and uploads end early; the reason
 * is noted first, so that what ends because of it is not taken for it. Commit and abort: publish.c,
 * and what follows from a log that could not be told.
 *
 * Driver thread; store calls are made without the lock. What came of an action is an event of its
 * own (crn_driver_result), which the coordinator hears of after all actions of the step.
 */
#include "engine/cluster/leader.h"
#include "engine/gate/gate.h"
#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"

/* ------------------------------------------------------------------------------------------ *
 * Beginning
 * ------------------------------------------------------------------------------------------ */

/* Nothing was done under this id: it stays free. */
static void begin_failed(struct cairn_job *job, const struct crn_action *action,
                         const cairn_error *why)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_EABORTED, NULL, "checkpoint %llu of job '%s' cannot begin: %s",
                       (unsigned long long)action->id, job->name, cairn_error_message(why));
    crn_tell(&job->log, CAIRN_LOG_ERROR, "checkpoint",
             CRN_FACTS(.told = CRN_TOLD_SNAPSHOT_NOT_BEGUN, .kind = "checkpoint",
                       .checkpoint_id = action->id, .error = why),
             "%s", cairn_error_message(error));
    crn_outcome_settle_waiters(job, action->after_ticket, action->ticket, CAIRN_EABORTED, error);
    crn_driver_result(job, CRN_EVENT_BEGIN_FAILED, action->id);
}

static void attach_savepoint(struct crn_attempt *attempt, struct crn_savepoint_run *run)
{
    attempt->savepoint = run;
    attempt->store = run->handle->target.store;
    attempt->prefix = run->name;
    attempt->timeout_us = crn_us_of_ms(run->handle->timeout_ms);
    atomic_store(&run->barriers_left,
                 (unsigned)attempt->part_count + crn_leader_worker_count(attempt->job));
    for (size_t i = 0; i < attempt->part_count; i++)
        attempt->parts[i].has_base |= crn_attempt_is_dump(attempt); /* which is none */
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
    attempt->timeout_us = crn_us_of_ms(job->options.checkpoint_timeout_ms);
    if (*run != NULL)
        attach_savepoint(attempt, CRN_TAKE(*run));
    attempt->deadline_us = attempt->timeout_us > UINT64_MAX - attempt->started_us
                               ? UINT64_MAX
                               : attempt->started_us + attempt->timeout_us;
    if (*obstacle == NULL)
        (void)crn_leader_trigger_locked(attempt, obstacle); /* which then says why */
    crn_flight_add_locked(job, attempt);
    if (*obstacle == NULL) {
        crn_ending_announce_locked(attempt);
        crn_flight_request_locked(attempt);
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

static void begin_checkpoint(struct cairn_job *job, const struct crn_action *action)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_savepoint_run *none = NULL;
    cairn_error *no_obstacle = NULL;
    if (begin(job, action, &none, &no_obstacle, &error) < 0)
        begin_failed(job, action, error);
    else
        crn_tell(&job->log, CAIRN_LOG_DEBUG, "checkpoint",
                 CRN_FACTS(.told = CRN_TOLD_SNAPSHOT_BEGUN, .kind = "checkpoint",
                           .checkpoint_id = action->id),
                 "job '%s': checkpoint %llu begins%s", job->name, (unsigned long long)action->id,
                 action->full ? " (full)" : "");
}

static void begin_savepoint(struct cairn_job *job, const struct crn_action *action)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct cairn_savepoint_handle *handle = crn_savepoint_next(job);
    CRN_AUTO_ERROR cairn_error *obstacle = NULL;
    struct crn_savepoint_run *run = NULL;
    int r = crn_savepoint_prepare(job, handle, action->id, &run, &obstacle);
    r = run == NULL ? crn_err_move(&error, &obstacle, r)
                    : begin(job, action, &run, &obstacle, &error);
    if (r == 0) {
        crn_tell(&job->log, CAIRN_LOG_DEBUG, "savepoint",
                 CRN_FACTS(.told = CRN_TOLD_SNAPSHOT_BEGUN, .kind = "savepoint",
                           .checkpoint_id = action->id),
                 "job '%s': savepoint %llu begins", job->name, (unsigned long long)action->id);
        return;
    }
    crn_tell(&job->log, CAIRN_LOG_ERROR, "savepoint",
             CRN_FACTS(.told = CRN_TOLD_SNAPSHOT_NOT_BEGUN, .kind = "savepoint",
                       .checkpoint_id = action->id, .error = error),
             "job '%s': savepoint %llu cannot begin: %s", job->name, (unsigned long long)action->id,
             cairn_error_message(error));
    crn_savepoint_give_up(job, handle, run, action->id, error);
    crn_driver_result(job, CRN_EVENT_BEGIN_FAILED, action->id);
}

/* ------------------------------------------------------------------------------------------ *
 * Committing and aborting
 * ------------------------------------------------------------------------------------------ */

/* The log cannot be told the outcome now: it is tried again, and waiters may have to hear why. */
static void keep_log_error(struct crn_attempt *attempt, cairn_error **error)
{
    crn_tell(&attempt->job->log, CAIRN_LOG_WARNING, crn_outcome_word(attempt),
             CRN_FACTS(.told = CRN_TOLD_OUTCOME_NOT_WRITTEN, .kind = crn_outcome_word(attempt),
                       .checkpoint_id = attempt->id, .error = *error),
             "job '%s': the outcome of %s %llu is not in the log yet, trying again: %s",
             attempt->job->name, crn_outcome_word(attempt), (unsigned long long)attempt->id,
             cairn_error_message(*error));
    cairn_error_free(attempt->log_error);
    attempt->log_error = CRN_TAKE(*error);
}

static void commit(struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    enum crn_event_kind result = crn_publish_commit(attempt, &error);
    if (result == CRN_EVENT_COMMIT_UNKNOWN) {
        keep_log_error(attempt, &error);
    } else if (result != CRN_EVENT_COMMIT_OK) {
        crn_mutex_lock(&job->lock);
        if (attempt->error == NULL)
            attempt->error = CRN_TAKE(error);
        crn_mutex_unlock(&job->lock);
    }
    crn_driver_result(job, result, attempt->id);
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

static void abort_id(struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
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
    crn_driver_result(job, result, attempt->id);
}

/* ------------------------------------------------------------------------------------------ *
 * Cancelling
 * ------------------------------------------------------------------------------------------ */

/* How likely it is that the others wait for this one, and in which words. A task with a gate that
 * has no barrier yet waits itself, for whoever feeds it. */
static int blame(const struct crn_part *part, const char **ret_words)
{
    const struct crn_task_runtime *runtime = part->task->runtime;
    if (part->taken) {
        *ret_words = "was still uploading";
        return 2;
    }
    if (runtime->capturing) {
        *ret_words = "was still being captured for an earlier one";
        return 3;
    }
    if (part->task->gate != NULL) {
        *ret_words = "waited for a barrier in one of its inputs, or did not poll";
        return 1;
    }
    *ret_words = "did not poll in time";
    return 4;
}

static void describe_timeout(struct crn_attempt *attempt, cairn_error **ret)
{
    size_t waiting = 0;
    const struct crn_part *late = NULL;
    const char *late_words = NULL;
    int most = 0;
    for (size_t i = 0; i < attempt->part_count; i++) {
        const char *words;
        if (attempt->parts[i].acked)
            continue;
        waiting++;
        int rank = blame(&attempt->parts[i], &words);
        if (rank > most) {
            most = rank;
            late = &attempt->parts[i];
            late_words = words;
        }
    }
    attempt->failed_part = late;
    size_t waiting_workers = 0;
    const char *late_worker = crn_leader_find_late_locked(attempt, &waiting_workers);
    if (late == NULL && late_worker != NULL) {
        (void)crn_err_fail(ret, CAIRN_ETIMEOUT, NULL,
                           "timed out after %llu ms; %zu of %zu workers had not acknowledged, one "
                           "of them '%s'",
                           (unsigned long long)attempt->timeout_us / 1000, waiting_workers,
                           attempt->remote_count, late_worker);
        return;
    }
    if (late == NULL) { /* the last one has only just */
        (void)crn_err_fail(ret, CAIRN_ETIMEOUT, NULL,
                           "timed out after %llu ms, right before the last task acknowledged",
                           (unsigned long long)attempt->timeout_us / 1000);
        return;
    }
    (void)crn_err_fail(ret, CAIRN_ETIMEOUT, NULL,
                       "timed out after %llu ms; %zu of %zu tasks had not acknowledged, one of "
                       "them '%s' subtask %u, which %s",
                       (unsigned long long)attempt->timeout_us / 1000, waiting, attempt->part_count,
                       late->task->uid, late->task->options.subtask, late_words);
}

/* In the log's words, if nobody gave a reason before. */
static void describe_reason_locked(struct crn_attempt *attempt, const struct crn_action *action)
{
    const struct cairn_job *job = attempt->job;
    if (attempt->error != NULL)
        return;
    switch (action->reason) {
    case CRN_CANCEL_TIMEOUT:
        describe_timeout(attempt, &attempt->error);
        break;
    case CRN_CANCEL_SUBSUMED:
        attempt->subsumed = true;
        (void)crn_err_fail(&attempt->error, CAIRN_EABORTED, NULL, "subsumed by checkpoint %llu",
                           (unsigned long long)action->by);
        break;
    case CRN_CANCEL_CLOSING:
        attempt->ends_with_job = true;
        if (job->end_error != NULL)
            attempt->error = crn_err_copy(job->end_error);
        else
            (void)crn_err_fail(&attempt->error, CAIRN_ECLOSED, NULL, "the job was closed");
        break;
    case CRN_CANCEL_DECLINED:
    case CRN_CANCEL_FENCED:
    case CRN_CANCEL_TAKEN:
        break;
    }
}

/* What the job is to say of it if there are too many. */
static void note_failure_locked(struct crn_attempt *attempt, const struct crn_action *action)
{
    struct cairn_job *job = attempt->job;
    bool counts = action->reason == CRN_CANCEL_DECLINED || action->reason == CRN_CANCEL_TIMEOUT;
    if (!counts || action->savepoint)
        return;
    cairn_error_free(CRN_TAKE(job->last_failure));
    (void)crn_err_fail(&job->last_failure, CAIRN_EABORTED, cairn_error_object(attempt->error),
                       "checkpoint %llu: %s", (unsigned long long)attempt->id,
                       cairn_error_message(attempt->error));
}

static void cancel(struct crn_attempt *attempt, const struct crn_action *action)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_lock(&job->lock);
    describe_reason_locked(attempt, action);
    note_failure_locked(attempt, action);
    atomic_store(&attempt->cancelled, true);
    crn_flight_withdraw_locked(attempt);
    crn_mutex_unlock(&job->lock);
    crn_gates_forget(attempt);
}

void crn_action_carry_out(struct cairn_job *job, const struct crn_action *action)
{
    switch (action->kind) {
    case CRN_ACTION_BEGIN:
        if (action->savepoint)
            begin_savepoint(job, action);
        else
            begin_checkpoint(job, action);
        break;
    case CRN_ACTION_COMMIT:
        commit(crn_flight_find(job, action->id));
        break;
    case CRN_ACTION_COMPLETE:
        crn_outcome_complete(job, action);
        break;
    case CRN_ACTION_CANCEL:
        cancel(crn_flight_find(job, action->id), action);
        break;
    case CRN_ACTION_ABORT:
        abort_id(crn_flight_find(job, action->id));
        break;
    case CRN_ACTION_ABORTED:
        crn_outcome_aborted(job, action);
        break;
    case CRN_ACTION_DISCARD:
        crn_outcome_discard(job, action);
        break;
    case CRN_ACTION_LEAVE:
        crn_outcome_leave(job, action);
        break;
    case CRN_ACTION_OVERDUE:
        crn_outcome_overdue(job, action);
        break;
    case CRN_ACTION_FENCED:
        crn_outcome_fenced(job);
        break;
    case CRN_ACTION_FAIL:
        crn_outcome_failed(job);
        break;
    case CRN_ACTION_CLOSED:
        break;
    }
}
