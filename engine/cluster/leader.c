/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator of a job of several processes: who belongs to it, and what is posted. leader.h
 * has the rules; leader_mail.c reads what the workers say.
 *
 * Lock: job->lock. Threads: any for the outbox, the leader's own for the store.
 */
#include "engine/cluster/leader_internal.h"

#include "engine/job/ending.h"
#include "engine/status/fields.h"

#include <stdio.h>
#include <string.h>

#define CLOSE_WAIT_US 5000000u

void crn_remote_worker_unref(struct crn_remote_worker *worker)
{
    if (worker == NULL || atomic_fetch_sub(&worker->refs, 1) != 1)
        return;
    for (size_t i = 0; i < worker->subtask_count; i++) {
        free(worker->subtasks[i].uid);
        free(worker->subtasks[i].name);
    }
    free(worker->subtasks);
    free(worker->name);
    free(worker->host);
    free(worker);
}

void crn_leader_free(struct crn_leader *leader)
{
    if (leader == NULL)
        return;
    for (size_t i = 0; i < leader->worker_count; i++)
        crn_remote_worker_unref(leader->workers[i]);
    free(leader->workers);
    while (leader->outbox != NULL) {
        struct crn_outgoing *next = leader->outbox->next;
        crn_outgoing_free(leader->outbox);
        leader->outbox = next;
    }
    cairn_error_free(leader->error);
    cairn_error_free(leader->loss);
    crn_cond_done(&leader->wake);
    crn_cond_done(&leader->changed);
    free(leader);
}

void crn_remote_parts_free(struct crn_attempt *attempt)
{
    for (size_t i = 0; i < attempt->remote_count; i++)
        crn_record_free(attempt->remotes[i].record);
    free(attempt->remotes);
}

uint32_t crn_leader_worker_count(const struct cairn_job *job)
{
    return job->leader == NULL ? 0 : (uint32_t)job->leader->worker_count;
}

/* ------------------------------------------------------------------------------------------ *
 * Workers that are gone
 * ------------------------------------------------------------------------------------------ */

void crn_leader_lose_locked(struct crn_leader *leader, struct crn_remote_worker *worker,
                            const char *why)
{
    struct cairn_job *job = leader->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_mutex_assert_held(&job->lock);
    if (worker->is_lost)
        return;
    worker->is_lost = true;
    if (!leader->started || job->ending != CRN_ENDING_NONE || job->closing)
        return;
    (void)crn_err_fail(&error, CAIRN_EFAILED, NULL,
                       "job '%s' has lost worker '%s' (process %llu on '%s'), which %s: close it "
                       "and open it again in every process, and it goes on from its newest "
                       "checkpoint",
                       job->name, worker->name, (unsigned long long)worker->pid, worker->host, why);
    if (crn_ending_begin_locked(job, CRN_ENDING_LOST, error))
        leader->loss = CRN_TAKE(error);
}

/* The log's lines are written without the lock. */
static void tell_news(struct crn_leader *leader)
{
    struct cairn_job *job = leader->job;
    crn_mutex_lock(&job->lock);
    CRN_AUTO_ERROR cairn_error *loss = CRN_TAKE(leader->loss);
    for (size_t i = 0; i < leader->worker_count; i++) {
        struct crn_worker_view worker;
        if (leader->workers[i]->is_told)
            continue;
        leader->workers[i]->is_told = true;
        crn_leader_hold_locked(job, i, &worker);
        crn_mutex_unlock(&job->lock);
        crn_log_write(&job->log, CAIRN_LOG_INFO, "cluster",
                      "job '%s': worker '%s' (process %llu on '%s') has come, with %zu subtasks",
                      job->name, worker.name, (unsigned long long)worker.pid, worker.host,
                      worker.subtask_count);
        crn_leader_let_go(&worker);
        crn_mutex_lock(&job->lock); /* who has moved meanwhile is told of the next time */
    }
    crn_mutex_unlock(&job->lock);
    if (loss != NULL)
        crn_tell(&job->log, CAIRN_LOG_ERROR, "job",
                 CRN_FACTS(.told = CRN_TOLD_JOB_FAILED, .error = loss), "%s",
                 cairn_error_message(loss));
}

/* As of the last listing that succeeded: while nobody could be heard, and while this very process
 * stood still, nobody was silent. */
static bool is_silent(const struct crn_leader *leader, const struct crn_remote_worker *worker)
{
    return !worker->is_lost && leader->listed_us >= worker->heard_us &&
           leader->listed_us - worker->heard_us >=
               crn_us_of_ms(leader->job->options.worker_timeout_ms);
}

static void lose_silent_locked(struct crn_leader *leader)
{
    for (size_t i = 0; i < leader->worker_count; i++) {
        struct crn_remote_worker *worker = leader->workers[i];
        char why[96];
        if (!is_silent(leader, worker))
            continue;
        (void)snprintf(why, sizeof why, "has not been heard of for %llu ms",
                       (unsigned long long)((leader->listed_us - worker->heard_us) / 1000));
        crn_leader_lose_locked(leader, worker, why);
    }
}

/* A coordinator that was replaced while it stood still hears nothing from its workers either: they
 * are with its successor. It must not end as if they were lost, since whoever starts it again then
 * would have it take the job back. */
static bool find_successor(struct crn_leader *leader)
{
    struct cairn_job *job = leader->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *words = crn_job_find_successor(job);
    if (words == NULL)
        return false;
    (void)crn_err_fail(&error, CAIRN_EFENCED, NULL, "job '%s' was taken over by %s", job->name,
                       words);
    crn_leader_note_replaced(leader, &error);
    return true;
}

static void check_silence(struct crn_leader *leader)
{
    struct cairn_job *job = leader->job;
    bool is_any = false;
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < leader->worker_count; i++)
        is_any |= is_silent(leader, leader->workers[i]);
    const bool is_open = leader->started && job->ending == CRN_ENDING_NONE && !leader->replaced;
    const bool is_over = leader->replaced;
    crn_mutex_unlock(&job->lock);
    if (!is_any || is_over || (is_open && find_successor(leader)))
        return;
    crn_mutex_lock(&job->lock);
    lose_silent_locked(leader);
    crn_mutex_unlock(&job->lock);
}

/* ------------------------------------------------------------------------------------------ *
 * The thread
 * ------------------------------------------------------------------------------------------ */

static uint64_t look_interval_us_locked(const struct crn_leader *leader)
{
    const struct cairn_job *job = leader->job;
    const bool expects = leader->gathering || job->attempt_count > 0;
    uint64_t ms = job->options.poll_interval_ms;
    if (!expects && job->options.heartbeat_ms > ms)
        ms = job->options.heartbeat_ms;
    return crn_us_of_ms(ms);
}

/* Until there is something to post, a look is due, or it ends. */
static bool wait_for_work(struct crn_leader *leader, uint64_t looked_us, uint64_t again_us)
{
    struct cairn_job *job = leader->job;
    crn_mutex_lock(&job->lock);
    for (;;) {
        uint64_t due_us =
            crn_pace_next_us(&leader->pace, looked_us, look_interval_us_locked(leader));
        if (again_us < due_us)
            due_us = again_us;
        bool has_post = leader->outbox != NULL && again_us == UINT64_MAX;
        if (leader->stopping || has_post || crn_now_us() >= due_us)
            break;
        (void)crn_cond_wait_until(&leader->wake, &job->lock, due_us);
    }
    bool goes_on = !leader->stopping;
    crn_mutex_unlock(&job->lock);
    return goes_on;
}

/* Who only waits for workers posts nothing, and so does not meet its successor's post: they may be
 * with that. */
static void look_for_successor(struct crn_leader *leader)
{
    struct cairn_job *job = leader->job;
    CRN_AUTO_POST struct crn_post post = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_mutex_lock(&job->lock);
    const bool waits = leader->gathering && !leader->started && !leader->replaced;
    crn_mutex_unlock(&job->lock);
    if (!waits)
        return;
    crn_pace_book(&leader->pace, crn_now_us(), 1);
    if (crn_board_read_post(&leader->board, leader->next_post, &post, &error) < 0)
        return;
    (void)crn_err_fail(&error, CAIRN_EFENCED, NULL, "job '%s': %s", job->name,
                       post.kind == CRN_POST_REPLACED && post.text[0] != '\0'
                           ? post.text
                           : "another coordinator has taken over");
    crn_leader_note_replaced(leader, &error);
}

static bool is_look_due(struct crn_leader *leader, uint64_t looked_us)
{
    crn_mutex_lock(&leader->job->lock);
    uint64_t interval_us = look_interval_us_locked(leader);
    crn_mutex_unlock(&leader->job->lock);
    return crn_now_us() >= crn_pace_next_us(&leader->pace, looked_us, interval_us);
}

static void *leader_main(void *arg)
{
    struct crn_leader *leader = arg;
    struct cairn_job *job = leader->job;
    uint64_t looked_us = crn_now_us(), again_us = UINT64_MAX;
    uint32_t tries = 0;
    while (wait_for_work(leader, looked_us, again_us)) {
        again_us = crn_leader_empty_outbox(leader, &tries);
        if (!is_look_due(leader, looked_us))
            continue;
        crn_leader_read_mails(leader);
        look_for_successor(leader);
        looked_us = crn_now_us();
        check_silence(leader);
        tell_news(leader);
        crn_mutex_lock(&job->lock);
        crn_cond_broadcast(&leader->changed);
        crn_mutex_unlock(&job->lock);
    }
    (void)crn_leader_empty_outbox(leader, &tries);
    return NULL;
}

/* ------------------------------------------------------------------------------------------ *
 * Opening and closing
 * ------------------------------------------------------------------------------------------ */

static int fill_plan(const struct cairn_job *job, struct crn_plan *plan, cairn_error **reterr)
{
    const cairn_job_options *o = &job->options;
    plan->checkpoint_mode = o->checkpoint_mode;
    plan->unaligned = o->unaligned != 0;
    plan->aligned_timeout_ms = o->aligned_timeout_ms;
    if (job->restored == NULL)
        return 0;
    plan->restored_id = job->restored->info.id;
    memcpy(plan->restored_uuid, job->restored->info.uuid, sizeof plan->restored_uuid);
    plan->is_stop = job->source.is_stop;
    if (!job->source.is_foreign)
        return 0;
    if (strchr(job->source.location, '/') == NULL)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                            "job '%s': '%s' is only a name in a store that was lent to this "
                            "process, and its workers cannot open that: set restore_uri",
                            job->name, job->source.location);
    return crn_str_printf(&plan->source_location, reterr, "%s", job->source.location);
}

static int post_plan(struct crn_leader *leader, cairn_error **reterr)
{
    CRN_AUTO_POST struct crn_post post = {.kind = CRN_POST_PLAN, .number = 1};
    CRN_TRY(fill_plan(leader->job, &post.plan, reterr));
    int r = crn_board_post(&leader->board, &post, reterr);
    leader->next_post = 2;
    return r;
}

int crn_leader_open(struct cairn_job *job, cairn_error **reterr)
{
    struct crn_leader *leader = calloc(1, sizeof *leader);
    if (leader == NULL)
        return crn_err_nomem(reterr);
    leader->job = job;
    leader->board = (struct crn_board){job->store, job->name, job->epoch};
    leader->removed_posts = 3;
    crn_pace_init(&leader->pace, job->options.requests_per_minute);
    crn_cond_init(&leader->wake);
    crn_cond_init(&leader->changed);
    job->leader = leader;
    CRN_TRY(post_plan(leader, reterr));
    CRN_TRY(crn_thread_start(&leader->thread, "cairn-leader", leader_main, leader, reterr));
    leader->has_thread = true;
    return 0;
}

void crn_leader_close(struct cairn_job *job)
{
    struct crn_leader *leader = job->leader;
    if (leader == NULL || !leader->has_thread)
        return;
    const uint64_t deadline_us = crn_now_us() + CLOSE_WAIT_US;
    crn_mutex_lock(&job->lock);
    while ((leader->outbox != NULL || leader->is_posting) &&
           crn_cond_wait_until(&leader->changed, &job->lock, deadline_us))
        ;
    leader->stopping = true;
    leader->replaced |= leader->outbox != NULL; /* what is left is not tried any more */
    crn_cond_signal(&leader->wake);
    crn_mutex_unlock(&job->lock);
    (void)pthread_join(leader->thread, NULL); /* ours, joined once */
    leader->has_thread = false;
}

/* ------------------------------------------------------------------------------------------ *
 * Gathering
 * ------------------------------------------------------------------------------------------ */

bool crn_leader_task_locked(const struct cairn_job *job, size_t i, struct crn_remote_task *ret)
{
    const struct crn_leader *leader = job->leader;
    crn_mutex_assert_held(&job->lock);
    for (size_t w = 0; leader != NULL && w < leader->worker_count; w++) {
        const struct crn_remote_worker *worker = leader->workers[w];
        if (i >= worker->subtask_count) {
            i -= worker->subtask_count;
            continue;
        }
        const struct crn_joined_subtask *subtask = &worker->subtasks[i];
        *ret = (struct crn_remote_task){
            .uid = subtask->uid,
            .subtask = subtask->subtask,
            .parallelism = subtask->parallelism,
            .max_parallelism = subtask->max_parallelism,
            .key_type = (cairn_type)subtask->key_type,
            .namespace_type = (cairn_type)subtask->namespace_type,
        };
        return true;
    }
    return false;
}

static int fail_gather_locked(const struct crn_leader *leader, cairn_error **reterr)
{
    const struct cairn_job *job = leader->job;
    return crn_err_fail(reterr, CAIRN_ETIMEOUT, NULL,
                        "job '%s' cannot start: %zu of %u workers came within %llu ms: start the "
                        "others, or set worker_count to what there is",
                        job->name, leader->worker_count, job->options.worker_count,
                        (unsigned long long)job->options.join_timeout_ms);
}

/* Those that are silent before it starts are let go: perhaps they died, and come again. */
static void forget_silent_locked(struct crn_leader *leader)
{
    size_t kept = 0;
    for (size_t i = 0; i < leader->worker_count; i++)
        if (leader->workers[i]->is_lost)
            crn_remote_worker_unref(leader->workers[i]);
        else
            leader->workers[kept++] = leader->workers[i];
    leader->worker_count = kept;
}

/* One that died and came again under another name has its subtasks twice, until the first is found
 * silent. If both live on, it is for the start to refuse. */
static bool has_enough_locked(const struct crn_leader *leader, uint64_t *doubled_us)
{
    const struct cairn_job *job = leader->job;
    const uint64_t now_us = crn_now_us();
    if (leader->worker_count < job->options.worker_count)
        return false;
    if (!crn_start_has_doubles_locked(job))
        return true;
    if (*doubled_us == 0)
        *doubled_us = now_us;
    return now_us - *doubled_us > crn_us_of_ms(job->options.worker_timeout_ms);
}

void crn_leader_closing_locked(struct cairn_job *job)
{
    crn_mutex_assert_held(&job->lock);
    if (job->leader != NULL)
        crn_cond_broadcast(&job->leader->changed);
}

int crn_leader_gather(struct cairn_job *job, cairn_error **reterr)
{
    struct crn_leader *leader = job->leader;
    const uint64_t wait_us = crn_us_of_ms(job->options.join_timeout_ms);
    uint64_t now_us = crn_now_us();
    const uint64_t deadline_us = wait_us > UINT64_MAX - now_us ? UINT64_MAX : now_us + wait_us;
    uint64_t doubled_us = 0;
    int r = 0;
    if (leader == NULL)
        return 0;
    crn_mutex_lock(&job->lock);
    leader->gathering = true;
    crn_cond_signal(&leader->wake);
    for (;;) {
        forget_silent_locked(leader);
        if (job->closing)
            r = crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
        else if (leader->replaced)
            r = crn_err_fail(reterr, CAIRN_EFENCED, NULL, "%s", cairn_error_message(leader->error));
        if (r < 0 || has_enough_locked(leader, &doubled_us))
            break;
        if (!crn_cond_wait_until(&leader->changed, &job->lock, deadline_us)) {
            if (leader->worker_count < job->options.worker_count)
                r = fail_gather_locked(leader, reterr);
            break; /* those that are there twice: the start says which */
        }
    }
    leader->gathering = r == 0; /* acknowledgements of START are looked for, too */
    crn_mutex_unlock(&job->lock);
    return r;
}

int crn_leader_begin_locked(struct cairn_job *job, cairn_error **reterr)
{
    struct crn_leader *leader = job->leader;
    struct crn_outgoing *outgoing = NULL;
    crn_mutex_assert_held(&job->lock);
    if (leader == NULL)
        return 0;
    for (size_t i = 0; i < leader->worker_count; i++)
        if (leader->workers[i]->is_lost)
            return crn_err_fail(reterr, CAIRN_ETIMEOUT, NULL,
                                "job '%s' cannot start: worker '%s' has come, but is not heard of "
                                "any more: start the job again",
                                job->name, leader->workers[i]->name);
    CRN_TRY(crn_outgoing_new(CRN_POST_START, NULL, &outgoing, reterr));
    struct crn_post *post = &outgoing->post;
    post->members = calloc(leader->worker_count, sizeof *post->members);
    if (post->members == NULL) {
        crn_outgoing_free(outgoing);
        return crn_err_nomem(reterr);
    }
    post->member_count = leader->worker_count;
    for (size_t i = 0; i < leader->worker_count; i++) {
        leader->workers[i]->index = post->members[i].index = (uint32_t)i;
        memcpy(post->members[i].worker, leader->workers[i]->uuid, sizeof post->members[i].worker);
    }
    leader->started = true;
    leader->gathering = false;
    crn_leader_post_locked(leader, outgoing);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Who is there
 * ------------------------------------------------------------------------------------------ */

const char *crn_leader_find_late_locked(const struct crn_attempt *attempt, size_t *ret_waiting)
{
    const char *late = NULL;
    *ret_waiting = 0;
    for (size_t i = 0; i < attempt->remote_count; i++)
        if (attempt->remotes[i].record == NULL) {
            ++*ret_waiting;
            late = late != NULL ? late : attempt->job->leader->workers[i]->name;
        }
    return late;
}
