/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an attempt ends, or the job: who is told, and what becomes of what an attempt put in the
 * store. The driver carries out the coordinator's last actions here.
 *
 * Waiters are told under job->lock; tasks by events in their mailboxes. A savepoint's handle is
 * told when nothing of the job uses its target any more (engine/savepoint/run.c).
 *
 * Driver thread; store calls are made without the lock.
 */
#include "engine/cluster/leader.h"
#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"

#include <string.h>

void crn_outcome_settle_waiters(struct cairn_job *job, uint64_t after, uint64_t ticket, int code,
                                const cairn_error *error)
{
    crn_mutex_lock(&job->lock);
    for (struct crn_waiter **p = &job->waiters; *p != NULL;) {
        struct crn_waiter *waiter = *p;
        if (waiter->ticket <= after || waiter->ticket > ticket) {
            p = &waiter->next;
            continue;
        }
        *p = waiter->next;
        waiter->code = code;
        if (code < 0)
            waiter->error = crn_err_copy(error);
        else
            waiter->info = job->last;
        waiter->done = true;
    }
    crn_cond_broadcast(&job->wake_waiters);
    for (size_t i = 0; i < job->task_count; i++)
        crn_cond_broadcast(&job->tasks[i]->runtime->wake);
    crn_mutex_unlock(&job->lock);
}

void crn_outcome_post(struct cairn_job *job, const cairn_event *event)
{
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < job->task_count; i++)
        crn_task_post(job->tasks[i], event);
    crn_mutex_unlock(&job->lock);
}

const char *crn_outcome_word(const struct crn_attempt *attempt)
{
    return attempt->savepoint != NULL ? "savepoint" : "checkpoint";
}

/* Keys of uploads that were tried again under another name: dead once the id is resolved. */
void crn_outcome_add_superseded(struct cairn_job *job, const struct crn_attempt *attempt,
                                const struct crn_record *record)
{
    const char **live = NULL;
    size_t live_count = 0;
    if (crn_log_live_objects(&record, 1, &live, &live_count) < 0) {
        job->gc_wanted = true;
        return;
    }
    size_t new_objects = 0;
    for (size_t i = 0; i < live_count; i++)
        new_objects += crn_key_parse(live[i]).id == attempt->id;
    /* The usual case: every key that was tried is referenced. */
    for (size_t i = 0; new_objects != attempt->uploaded_count && i < attempt->uploaded_count; i++) {
        bool is_live = false;
        for (size_t j = 0; j < live_count && !is_live; j++)
            is_live = strcmp(live[j], attempt->uploaded[i]) == 0;
        if (!is_live)
            crn_garbage_add(job, attempt->uploaded[i]);
    }
    free(live);
}

/* The last pool threads may still be on their way out of it. */
static void wait_until_left_locked(struct cairn_job *job, const struct crn_attempt *attempt)
{
    crn_mutex_assert_held(&job->lock);
    while (attempt->running > 0)
        crn_cond_wait(&job->wake_driver, &job->lock);
}

/* Nothing runs for it any more, and nobody finds it. */
void crn_outcome_take_out_locked(struct cairn_job *job, struct crn_attempt *attempt)
{
    wait_until_left_locked(job, attempt);
    crn_flight_remove_locked(job, attempt);
}

/* What could not be collected before. */
static void collect_if_wanted(struct cairn_job *job)
{
    if (!job->gc_wanted)
        return;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    job->gc_wanted = crn_job_collect(job, true, &error) < 0;
    if (job->gc_wanted)
        crn_tell(&job->log, CAIRN_LOG_WARNING, "gc",
                 CRN_FACTS(.told = CRN_TOLD_LEFTOVERS_STAY, .error = error),
                 "job '%s': leftovers stay for now: %s", job->name, cairn_error_message(error));
}

/* Everything that was restored from elsewhere is the job's own now. */
void crn_outcome_release_source(struct cairn_job *job, uint64_t id)
{
    if (!job->source.is_foreign || job->source.released)
        return;
    crn_mutex_lock(&job->lock);
    job->source.released = true;
    while (job->source.copiers > 0) /* of attempts behind this one; one copy each, at most */
        crn_cond_wait(&job->wake_driver, &job->lock);
    crn_mutex_unlock(&job->lock);
    const char *from = job->source.location != NULL ? job->source.location : job->source.name;
    crn_tell(&job->log, CAIRN_LOG_INFO, "checkpoint",
             CRN_FACTS(.told = CRN_TOLD_JOB_INDEPENDENT, .checkpoint_id = id, .location = from),
             "job '%s': since checkpoint %llu nothing depends on '%s', from which it was started",
             job->name, (unsigned long long)id, from);
    crn_outcome_post(job, &(cairn_event){.type = CAIRN_EVENT_INDEPENDENT, .checkpoint_id = id});
    crn_leader_tell(job, CRN_POST_INDEPENDENT, id, 0, 0, NULL);
}

static void complete_savepoint(struct cairn_job *job, struct crn_attempt *attempt)
{
    crn_recorder_complete(attempt, attempt->savepoint->record);
    crn_mutex_lock(&job->lock);
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    (void)crn_subsume(job); /* before the first checkpoint each record begins the log anew */
    const bool is_stop = attempt->savepoint->handle->stop;
    crn_leader_tell(job, is_stop ? CRN_POST_STOPPED : CRN_POST_SAVEPOINT, attempt->id, 0, 0,
                    is_stop ? attempt->savepoint->location : NULL);
    if (is_stop)
        crn_ending_stopped(attempt);
    else
        crn_outcome_post(
            job, &(cairn_event){.type = CAIRN_EVENT_SAVEPOINT, .checkpoint_id = attempt->id});
    crn_savepoint_complete(attempt);
    crn_attempt_free(attempt);
}

static void complete_checkpoint(struct cairn_job *job, struct crn_attempt *attempt,
                                const struct crn_action *action)
{
    const struct crn_record *record = job->joblog.entries[job->joblog.count - 1].record;
    cairn_checkpoint_info info;
    crn_publish_info(&record->info, &info);
    crn_recorder_complete(attempt, record);
    crn_mutex_lock(&job->lock);
    job->last = info;
    job->has_last = true;
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    crn_outcome_add_superseded(job, attempt, record);
    uint64_t subsumed = crn_subsume(job);
    crn_attempt_free(attempt);
    crn_outcome_post(job, &(cairn_event){.type = CAIRN_EVENT_COMPLETED,
                                         .checkpoint_id = info.id,
                                         .subsumed_id = subsumed});
    crn_leader_tell(job, CRN_POST_COMPLETE, info.id, subsumed, 0, NULL);
    crn_outcome_release_source(job, info.id);
    crn_outcome_settle_waiters(job, action->after_ticket, action->ticket, 0, NULL);
    crn_garbage_remove(job);
    collect_if_wanted(job);
}

void crn_outcome_complete(struct cairn_job *job, const struct crn_action *action)
{
    struct crn_attempt *attempt = crn_flight_find(job, action->id);
    if (action->savepoint)
        complete_savepoint(job, attempt);
    else
        complete_checkpoint(job, attempt, action);
}

void crn_outcome_aborted(struct cairn_job *job, const struct crn_action *action)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_mutex_lock(&job->lock);
    struct crn_attempt *attempt = crn_flight_find_locked(job, action->id);
    const char *why =
        attempt->error != NULL ? cairn_error_message(attempt->error) : "the job was closed";
    (void)crn_err_fail(&error, CAIRN_EABORTED, cairn_error_object(attempt->error),
                       "%s %llu of job '%s' was aborted: %s", crn_outcome_word(attempt),
                       (unsigned long long)attempt->id, job->name, why);
    crn_mutex_unlock(&job->lock);
    crn_recorder_aborted(attempt);
    crn_outcome_post(job,
                     &(cairn_event){.type = CAIRN_EVENT_ABORTED, .checkpoint_id = attempt->id});
    crn_leader_tell(job, CRN_POST_ABORTED, attempt->id, 0, 0, cairn_error_message(error));
    crn_outcome_settle_waiters(job, action->after_ticket, action->ticket, CAIRN_EABORTED, error);
}

/* The id stands as aborted and no upload runs: nothing can come to need these objects. */
void crn_outcome_discard(struct cairn_job *job, const struct crn_action *action)
{
    struct crn_attempt *attempt = crn_flight_find(job, action->id);
    crn_recorder_over(attempt);
    for (size_t i = 0; i < attempt->uploaded_count && attempt->savepoint == NULL; i++)
        crn_garbage_add(job, attempt->uploaded[i]);
    crn_mutex_lock(&job->lock);
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    (void)crn_subsume(job); /* before the first checkpoint each record begins the log anew */
    if (attempt->savepoint != NULL)
        crn_savepoint_discard(attempt, true);
    crn_attempt_free(attempt);
    crn_garbage_remove(job);
}

/* Forget the attempt without touching the job in the store: its id may not be ours, or may be
 * committed yet. Waits for its uploads, which end early. A savepoint that cannot be committed any
 * more is withdrawn: no successor will look for it. */
void crn_outcome_leave(struct cairn_job *job, const struct crn_action *action)
{
    crn_mutex_lock(&job->lock);
    struct crn_attempt *attempt = crn_flight_find_locked(job, action->id);
    wait_until_left_locked(job, attempt);
    if (job->fence_error != NULL) { /* whatever else came of it */
        cairn_error_free(attempt->error);
        attempt->error = crn_err_copy(job->fence_error);
    }
    crn_mutex_unlock(&job->lock);
    crn_recorder_over(attempt);
    crn_mutex_lock(&job->lock);
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    if (attempt->savepoint != NULL)
        crn_savepoint_discard(attempt, false);
    crn_attempt_free(attempt);
}

/* Nobody waits longer than the timeout for a store that does not let the log be written. Tasks hear
 * the outcome when there is one. */
void crn_outcome_overdue(struct cairn_job *job, const struct crn_action *action)
{
    const struct crn_attempt *attempt = crn_flight_find(job, action->id);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int code = attempt->in_doubt ? CAIRN_EUNKNOWN : CAIRN_EUNAVAIL;
    (void)crn_err_fail(&error, code, cairn_error_object(attempt->log_error),
                       "the outcome of %s %llu of job '%s' cannot be written to the log, which is "
                       "still tried: %s",
                       crn_outcome_word(attempt), (unsigned long long)attempt->id, job->name,
                       cairn_error_message(attempt->log_error));
    crn_outcome_settle_waiters(job, 0, UINT64_MAX, code, error);
    crn_savepoint_tell_overdue(job, code, error);
}

void crn_outcome_fenced(struct cairn_job *job)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (job->successor == NULL) /* the log went on without showing by whom */
        job->successor = crn_job_find_successor(job);
    (void)crn_err_fail(&error, CAIRN_EFENCED, NULL,
                       "job '%s' was taken over by %s: stop, this process can commit nothing any "
                       "more",
                       job->name, job->successor != NULL ? job->successor : "another process");
    crn_tell(&job->log, CAIRN_LOG_ERROR, "job",
             CRN_FACTS(.told = CRN_TOLD_JOB_FENCED, .error = error), "%s",
             cairn_error_message(error));
    crn_mutex_lock(&job->lock);
    job->fenced = true;
    job->fence_error = crn_err_copy(error);
    for (size_t i = 0; i < job->task_count; i++)
        crn_task_stop_locked(job->tasks[i], CAIRN_EFENCED, error);
    crn_mutex_unlock(&job->lock);
    crn_outcome_settle_waiters(job, 0, UINT64_MAX, CAIRN_EFENCED, error);
    crn_savepoint_fail_waiting(job, error);
}

/* More failures in a row than the job is to survive. */
void crn_outcome_failed(struct cairn_job *job)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const struct crn_coordinator *c = &job->coordinator;
    crn_mutex_lock(&job->lock);
    (void)crn_err_fail(&error, CAIRN_EFAILED, cairn_error_object(job->last_failure),
                       "job '%s' has failed: %u checkpoints in a row did not complete, and "
                       "tolerable_failures is %u; the last of them was %s",
                       job->name, c->failures, c->settings.tolerable_failures,
                       cairn_error_message(job->last_failure));
    bool is_first = crn_ending_begin_locked(job, CRN_ENDING_FAILED, error);
    crn_mutex_unlock(&job->lock);
    if (!is_first)
        return;
    crn_tell(&job->log, CAIRN_LOG_ERROR, "job",
             CRN_FACTS(.told = CRN_TOLD_JOB_FAILED, .error = error), "%s",
             cairn_error_message(error));
    crn_outcome_settle_waiters(job, 0, UINT64_MAX, CAIRN_EFAILED, error);
    crn_savepoint_fail_waiting(job, error);
}
