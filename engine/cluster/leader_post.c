/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a coordinator tells its workers. The outbox holds posts in order, without numbers: a post
 * gets its number when it is tried, and keeps it and its uuid until it is known to stand. One that
 * cannot be made for want of memory ends the job: a worker that misses a post would keep an attempt
 * for ever.
 *
 * Lock: job->lock for the outbox; the leader's thread empties it, without the lock while it posts.
 */
#include "engine/cluster/leader_internal.h"

#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"

#include <string.h>

#define RETRY_FIRST_US 20000u
#define RETRY_MAX_US 2000000u

void crn_outgoing_free(struct crn_outgoing *outgoing)
{
    if (outgoing == NULL)
        return;
    crn_post_done(&outgoing->post);
    free(outgoing);
}

void crn_leader_post_locked(struct crn_leader *leader, struct crn_outgoing *outgoing)
{
    struct crn_outgoing **end = &leader->outbox;
    while (*end != NULL)
        end = &(*end)->next;
    *end = outgoing;
    crn_cond_signal(&leader->wake);
}

int crn_outgoing_new(enum crn_post_kind kind, const char *text, struct crn_outgoing **ret,
                     cairn_error **reterr)
{
    struct crn_outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing == NULL)
        return crn_err_nomem(reterr);
    outgoing->post.kind = kind;
    if (text != NULL)
        outgoing->post.text = crn_str_dup_n(text, strlen(text));
    if (text != NULL && outgoing->post.text == NULL) {
        free(outgoing);
        return crn_err_nomem(reterr);
    }
    *ret = outgoing;
    return 0;
}

void crn_leader_tell(struct cairn_job *job, enum crn_post_kind kind, uint64_t id,
                     uint64_t subsumed_id, int code, const char *text)
{
    struct crn_leader *leader = job->leader;
    struct crn_outgoing *outgoing = NULL;
    cairn_error *error = NULL;
    if (leader == NULL)
        return;
    int r = crn_outgoing_new(kind, text, &outgoing, &error);
    crn_mutex_lock(&job->lock);
    if (r == 0) {
        outgoing->post.id = id;
        outgoing->post.subsumed_id = subsumed_id;
        outgoing->post.code = code;
        crn_leader_post_locked(leader, outgoing);
    } else {
        (void)crn_ending_begin_locked(job, CRN_ENDING_LOST, error);
    }
    crn_mutex_unlock(&job->lock);
    cairn_error_free(error);
}

static int fill_trigger(const struct crn_attempt *attempt, struct crn_trigger *t,
                        cairn_error **reterr)
{
    const struct crn_savepoint_run *run = attempt->savepoint;
    *t = (struct crn_trigger){
        .id = attempt->id,
        .is_full = attempt->full,
        .trigger_time_ms = attempt->trigger_time_ms,
        .floor_id = attempt->remote_floor,
        .is_savepoint = run != NULL,
    };
    if (run == NULL)
        return 0;
    const struct crn_savepoint_target *target = &run->handle->target;
    t->format = run->handle->format;
    t->stop = run->handle->stop;
    t->drain = run->handle->drain;
    CRN_TRY(crn_str_printf(&t->directory, reterr, "%s", run->name));
    return target->is_beside ? 0 : crn_str_printf(&t->target, reterr, "%s", target->root);
}

int crn_leader_trigger_locked(struct crn_attempt *attempt, cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    struct crn_leader *leader = job->leader;
    struct crn_outgoing *outgoing = NULL;
    crn_mutex_assert_held(&job->lock);
    if (leader == NULL)
        return 0;
    if (leader->replaced) {
        cairn_error *error = crn_err_copy(leader->error);
        return crn_err_move(reterr, &error, CAIRN_EFENCED);
    }
    attempt->remotes = calloc(leader->worker_count, sizeof *attempt->remotes);
    if (attempt->remotes == NULL)
        return crn_err_nomem(reterr);
    attempt->remote_count = leader->worker_count;
    /* A base that may be on its way out of the log is none: flights.c. */
    attempt->remote_floor =
        job->base_id < job->committing_start ? job->committing_start : job->base_id;
    CRN_TRY(crn_outgoing_new(CRN_POST_TRIGGER, NULL, &outgoing, reterr));
    int r = fill_trigger(attempt, &outgoing->post.trigger, reterr);
    if (r == 0)
        crn_leader_post_locked(leader, outgoing);
    else
        crn_outgoing_free(outgoing);
    return r;
}

/* Whoever has the number now has taken the job over. That is the log's to say, so something has to
 * be tried there: see leader.h. */
void crn_leader_note_replaced(struct crn_leader *leader, cairn_error **error)
{
    struct cairn_job *job = leader->job;
    crn_tell(&job->log, CAIRN_LOG_WARNING, "cluster",
             CRN_FACTS(.told = CRN_TOLD_COORDINATOR_REPLACED, .error = *error), "%s",
             cairn_error_message(*error));
    crn_mutex_lock(&job->lock);
    leader->replaced = true;
    leader->error = CRN_TAKE(*error);
    for (size_t i = 0; i < job->attempt_count; i++) {
        if (crn_attempt_is_whole_locked(job->attempts[i]))
            continue; /* its record is tried anyway */
        cairn_error *copy = crn_err_copy(leader->error);
        crn_attempt_decline_locked(job->attempts[i], NULL, CAIRN_EFENCED, &copy);
        cairn_error_free(copy);
    }
    if (job->started) /* what is in flight may only be draining */
        job->tickets++;
    crn_cond_signal(&job->wake_driver);
    crn_cond_broadcast(&leader->changed);
    crn_mutex_unlock(&job->lock);
}

/* 0: it stands. Else it is to be tried again, or nothing is any more. */
static int try_post(struct crn_leader *leader, struct crn_post *post)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    post->number = leader->next_post;
    crn_pace_book(&leader->pace, crn_now_us(), 1);
    int r = crn_board_post(&leader->board, post, &error);
    if (r == 0) {
        leader->next_post++;
        return 0;
    }
    if (r == CAIRN_EFENCED)
        crn_leader_note_replaced(leader, &error);
    else
        crn_log_write(&leader->job->log, CAIRN_LOG_WARNING, "cluster",
                      "job '%s': the workers cannot be told yet, trying again: %s",
                      leader->job->name, cairn_error_message(error));
    return r;
}

/* Everything that waits, in order. Gives when to try again; UINT64_MAX: nothing is left. */
uint64_t crn_leader_empty_outbox(struct crn_leader *leader, uint32_t *tries)
{
    struct cairn_job *job = leader->job;
    uint64_t again_us = UINT64_MAX;
    crn_mutex_lock(&job->lock);
    while (leader->outbox != NULL && again_us == UINT64_MAX) {
        struct crn_outgoing *outgoing = leader->outbox;
        int r = leader->replaced ? 0 : CAIRN_EUNAVAIL;
        if (r < 0) {
            leader->is_posting = true;
            crn_mutex_unlock(&job->lock);
            r = try_post(leader, &outgoing->post);
            crn_mutex_lock(&job->lock);
            leader->is_posting = false;
        }
        if (r < 0 && !leader->replaced) {
            uint64_t pause_us = (uint64_t)RETRY_FIRST_US << (*tries < 7 ? *tries : 7);
            again_us = crn_now_us() + (pause_us < RETRY_MAX_US ? pause_us : RETRY_MAX_US);
            ++*tries;
            continue;
        }
        *tries = 0;
        leader->outbox = outgoing->next;
        crn_outgoing_free(outgoing);
        crn_cond_broadcast(&leader->changed);
    }
    crn_mutex_unlock(&job->lock);
    return again_us;
}
