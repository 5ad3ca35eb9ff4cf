/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker does when its coordinator says something.
 *
 * Posts come in order, each once. An id is triggered, and later told as complete or aborted; an
 * attempt that this worker could not even begin is declined, and then told as aborted like any
 * other.
 *
 * What was uploaded for an aborted id is removed by who uploaded it, when the id stands as aborted
 * and nothing of the attempt runs (P5, P6). What a worker cannot remove any more, because it ends,
 * the job's next start collects.
 *
 * The follower's thread; store calls are made without the lock.
 */
#include "engine/cluster/follower_internal.h"

#include "backends/storage/storage.h"
#include "engine/gate/gate.h"
#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"
#include "engine/status/recorder.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Beginning
 * ------------------------------------------------------------------------------------------ */

/* A base that may be gone from the log is none. */
static void limit_bases_locked(struct crn_attempt *attempt, const struct crn_trigger *trigger)
{
    const struct cairn_job *job = attempt->job;
    const bool has_base = job->base_id != 0 && job->base_id >= trigger->floor_id;
    for (size_t i = 0; i < attempt->part_count; i++)
        attempt->parts[i].has_base |= !has_base || crn_attempt_is_dump(attempt);
}

static void attach_savepoint(struct crn_attempt *attempt, struct crn_savepoint_run *run)
{
    attempt->savepoint = run;
    attempt->store = run->handle->target.store;
    attempt->prefix = run->name;
    atomic_store(&run->barriers_left, (unsigned)attempt->part_count);
}

static int begin_locked(struct cairn_job *job, const struct crn_trigger *trigger,
                        struct crn_savepoint_run **run, cairn_error **reterr)
{
    struct crn_attempt *attempt = NULL;
    const struct crn_action action = {.id = trigger->id, .full = trigger->is_full};
    CRN_TRY(crn_attempt_new_locked(job, &action, &attempt, reterr));
    attempt->trigger_time_ms = trigger->trigger_time_ms;
    attempt->timeout_us = attempt->deadline_us = UINT64_MAX; /* the coordinator's to say */
    if (*run != NULL)
        attach_savepoint(attempt, CRN_TAKE(*run));
    limit_bases_locked(attempt, trigger);
    crn_flight_add_locked(job, attempt);
    if (job->task_lost) {
        cairn_error *error = NULL;
        int r = crn_err_fail(&error, CAIRN_EABORTED, NULL, "%s was closed, its state would be lost",
                             job->lost_task != NULL ? job->lost_task : "a task");
        crn_attempt_decline_locked(attempt, NULL, r, &error);
        cairn_error_free(error);
        return 0;
    }
    crn_ending_announce_locked(attempt);
    crn_flight_request_locked(attempt);
    return 0;
}

static void decline_unbegun(struct crn_follower *follower, uint64_t id, int code,
                            const cairn_error *why)
{
    const char *text = cairn_error_message(why);
    CRN_AUTO_MAIL struct crn_mail mail = {.kind = CRN_MAIL_DECLINE,
                                          .id = id,
                                          .code = code,
                                          .text = crn_str_dup_n(text, strlen(text))};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    /* If that fails, too, the attempt times out. */
    if (mail.text != NULL && crn_follower_send(follower, &mail, &error) < 0)
        crn_log_write(&follower->job->log, CAIRN_LOG_WARNING, "cluster",
                      "checkpoint %llu could not begin here, and that cannot be told: %s",
                      (unsigned long long)id, cairn_error_message(error));
}

static void on_trigger(struct crn_follower *follower, const struct crn_trigger *trigger)
{
    struct cairn_job *job = follower->job;
    struct crn_savepoint_run *run = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = 0;
    if (trigger->is_savepoint)
        r = crn_savepoint_join(job, trigger, &run, &error);
    crn_mutex_lock(&job->lock);
    if (r == 0 && job->attempt_count == CRN_FLIGHTS_MAX)
        r = crn_err_fail(&error, CAIRN_EBUSY, NULL, "what is left of earlier ones is still ending");
    if (r == 0)
        r = begin_locked(job, trigger, &run, &error);
    crn_mutex_unlock(&job->lock);
    crn_savepoint_run_free(run);
    if (r < 0)
        decline_unbegun(follower, trigger->id, r, error);
}

/* ------------------------------------------------------------------------------------------ *
 * Outcomes
 * ------------------------------------------------------------------------------------------ */

/* Records that nothing is built on any more: neither the newest parts nor those in flight. */
static void forget_old_bases(struct cairn_job *job)
{
    struct crn_joblog *log = &job->joblog;
    size_t kept = 0;
    crn_mutex_lock(&job->lock);
    uint64_t needed = crn_flight_lowest_base_locked(job, NULL);
    if (needed == 0 || needed > job->base_id)
        needed = job->base_id;
    for (size_t i = 0; i < log->count; i++) {
        if (log->entries[i].id >= needed) {
            log->entries[kept++] = log->entries[i];
            continue;
        }
        if (log->entries[i].record == job->restored)
            job->restored = NULL;
        crn_record_free(log->entries[i].record);
    }
    log->count = kept;
    crn_mutex_unlock(&job->lock);
}

static void complete_checkpoint(struct crn_follower *follower, struct crn_attempt *attempt,
                                uint64_t subsumed_id)
{
    struct cairn_job *job = follower->job;
    struct crn_joblog *log = &job->joblog;
    static const struct crn_hash128 no_hash;
    struct crn_joblog_entry *entries =
        reallocarray(log->entries, log->count + 1, sizeof *log->entries);
    struct crn_record *record = attempt->record;
    crn_recorder_complete(attempt, record);
    crn_outcome_add_superseded(job, attempt, record);
    if (entries != NULL) { /* else the next one builds on what there is */
        log->entries = entries;
        crn_publish_append_head(job, CRN_TAKE(attempt->record), &no_hash);
        crn_publish_adopt_bases(attempt, record);
    }
    cairn_checkpoint_info info;
    crn_publish_info(&record->info, &info);
    crn_mutex_lock(&job->lock);
    job->last = info;
    job->has_last = true;
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    crn_attempt_free(attempt);
    forget_old_bases(job);
    crn_outcome_post(job, &(cairn_event){.type = CAIRN_EVENT_COMPLETED,
                                         .checkpoint_id = info.id,
                                         .subsumed_id = subsumed_id});
    crn_garbage_remove(job);
}

static void end_savepoint(struct crn_follower *follower, struct crn_attempt *attempt)
{
    struct cairn_job *job = follower->job;
    crn_recorder_complete(attempt, attempt->record);
    crn_savepoint_remove_superseded(attempt, attempt->record);
    crn_mutex_lock(&job->lock);
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    crn_attempt_free(attempt);
}

static void on_aborted(struct crn_follower *follower, struct crn_attempt *attempt, uint64_t id,
                       const char *why)
{
    struct cairn_job *job = follower->job;
    if (attempt != NULL) {
        crn_mutex_lock(&job->lock);
        if (attempt->error == NULL)
            (void)crn_err_fail(&attempt->error, CAIRN_EABORTED, NULL, "%s", why);
        atomic_store(&attempt->cancelled, true);
        crn_flight_withdraw_locked(attempt);
        crn_mutex_unlock(&job->lock);
        crn_gates_forget(attempt);
        crn_recorder_aborted(attempt);
    }
    crn_outcome_post(job, &(cairn_event){.type = CAIRN_EVENT_ABORTED, .checkpoint_id = id});
    crn_mutex_lock(&job->lock);
    if (attempt != NULL)
        attempt->aborted = true; /* it goes when nothing of it runs */
    crn_mutex_unlock(&job->lock);
}

void crn_follower_discard(struct crn_follower *follower, struct crn_attempt *attempt)
{
    struct cairn_job *job = follower->job;
    crn_recorder_over(attempt);
    for (size_t i = 0; i < attempt->uploaded_count && attempt->savepoint == NULL; i++)
        crn_garbage_add(job, attempt->uploaded[i]);
    crn_mutex_lock(&job->lock);
    crn_outcome_take_out_locked(job, attempt);
    crn_mutex_unlock(&job->lock);
    if (attempt->savepoint != NULL)
        (void)crn_savepoint_make_room(attempt); /* which says what went wrong */
    crn_attempt_free(attempt);
    crn_garbage_remove(job);
    forget_old_bases(job);
}

/* ------------------------------------------------------------------------------------------ *
 * The end
 * ------------------------------------------------------------------------------------------ */

void crn_follower_end(struct crn_follower *follower, enum crn_ending how, const cairn_error *error)
{
    struct cairn_job *job = follower->job;
    crn_mutex_lock(&job->lock);
    bool is_first = crn_ending_begin_locked(job, how, error);
    crn_mutex_unlock(&job->lock);
    follower->has_ended = true;
    if (is_first)
        crn_tell(&job->log, how == CRN_ENDING_CANCELLED ? CAIRN_LOG_INFO : CAIRN_LOG_ERROR, "job",
                 CRN_FACTS(.told = how == CRN_ENDING_CANCELLED ? CRN_TOLD_JOB_CANCELLED
                                                               : CRN_TOLD_JOB_FAILED,
                           .error = error),
                 "%s", cairn_error_message(error));
}

void crn_follower_replaced(struct crn_follower *follower, const char *words)
{
    struct cairn_job *job = follower->job;
    follower->has_ended = true;
    free(job->successor);
    job->successor = words != NULL && *words != '\0' ? crn_str_dup_n(words, strlen(words)) : NULL;
    crn_outcome_fenced(job);
}

static void on_ended(struct crn_follower *follower, const struct crn_post *post)
{
    const struct cairn_job *job = follower->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const bool is_cancelled = post->code == CAIRN_ECANCELED;
    const bool is_failure = post->code == CAIRN_EFAILED;
    if (is_cancelled || is_failure)
        (void)crn_err_fail(&error, post->code, NULL, "%s", post->text);
    else
        (void)crn_err_fail(&error, CAIRN_EFAILED, NULL,
                           "the coordinator of job '%s' has ended: %s; close the job and open it "
                           "again, to go on under the next one",
                           job->name, post->text);
    crn_follower_end(follower,
                     is_cancelled ? CRN_ENDING_CANCELLED
                     : is_failure ? CRN_ENDING_FAILED
                                  : CRN_ENDING_LOST,
                     error);
}

/* Complete without its acknowledgement? Then it is not of this job. */
static bool is_acknowledged(const struct crn_attempt *attempt)
{
    return attempt != NULL && attempt->told && attempt->record != NULL && !attempt->aborted;
}

static void on_stopped(struct crn_follower *follower, struct crn_attempt *attempt,
                       const struct crn_post *post)
{
    struct cairn_job *job = follower->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_ECLOSED, post->text,
                       "job '%s' was stopped with savepoint %llu in '%s': close it; the next start "
                       "goes on from there",
                       job->name, (unsigned long long)post->id, post->text);
    if (is_acknowledged(attempt) && attempt->savepoint != NULL)
        end_savepoint(follower, attempt);
    crn_mutex_lock(&job->lock);
    const bool is_first = crn_ending_begin_locked(job, CRN_ENDING_STOPPED, error);
    crn_mutex_unlock(&job->lock);
    follower->has_ended = true;
    if (!is_first)
        return;
    crn_outcome_post(job, &(cairn_event){.type = CAIRN_EVENT_STOPPED, .checkpoint_id = post->id});
    crn_tell(
        &job->log, CAIRN_LOG_INFO, "job",
        CRN_FACTS(.told = CRN_TOLD_JOB_STOPPED, .checkpoint_id = post->id, .location = post->text),
        "%s", cairn_error_message(error));
}

static void on_savepoint(struct crn_follower *follower, struct crn_attempt *attempt, uint64_t id)
{
    if (is_acknowledged(attempt) && attempt->savepoint != NULL)
        end_savepoint(follower, attempt);
    crn_outcome_post(follower->job,
                     &(cairn_event){.type = CAIRN_EVENT_SAVEPOINT, .checkpoint_id = id});
}

static void note_seen(struct crn_follower *follower, uint64_t id)
{
    struct cairn_job *job = follower->job;
    crn_mutex_lock(&job->lock);
    if (id > follower->seen_id)
        follower->seen_id = id;
    follower->post_us = crn_now_us();
    crn_cond_broadcast(&follower->changed);
    crn_mutex_unlock(&job->lock);
}

void crn_follower_obey(struct crn_follower *follower, const struct crn_post *post)
{
    struct cairn_job *job = follower->job;
    const uint64_t id = post->kind == CRN_POST_TRIGGER ? post->trigger.id : post->id;
    struct crn_attempt *attempt = crn_flight_find(job, id);
    switch (post->kind) {
    case CRN_POST_TRIGGER:
        on_trigger(follower, &post->trigger);
        break;
    case CRN_POST_COMPLETE:
        if (is_acknowledged(attempt) && attempt->savepoint == NULL)
            complete_checkpoint(follower, attempt, post->subsumed_id);
        break;
    case CRN_POST_ABORTED:
        on_aborted(follower, attempt, id, post->text);
        break;
    case CRN_POST_SAVEPOINT:
        on_savepoint(follower, attempt, id);
        break;
    case CRN_POST_STOPPED:
        on_stopped(follower, attempt, post);
        break;
    case CRN_POST_INDEPENDENT:
        crn_outcome_release_source(job, id);
        break;
    case CRN_POST_ENDED:
        on_ended(follower, post);
        break;
    case CRN_POST_REPLACED:
        crn_follower_replaced(follower, post->text);
        break;
    case CRN_POST_PLAN:
    case CRN_POST_START:
        break; /* read before */
    }
    note_seen(follower, id);
}
