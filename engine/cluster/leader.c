/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator of a job of several processes: who belongs to it, and what is posted. leader.h
 * has the rules; leader_mail.c reads what the workers say.
 *
 * The outbox holds posts in order, without numbers: a post gets its number when it is tried, and
 * keeps it and its uuid until it is known to stand. One that cannot be made for want of memory ends
 * the job: a worker that misses a post would keep an attempt for ever.
 *
 * Lock: job->lock. Threads: any for the outbox, the leader's own for the store.
 */
#include "engine/cluster/leader_internal.h"

#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"

#include <stdio.h>
#include <string.h>

#define RETRY_FIRST_US 20000u
#define RETRY_MAX_US 2000000u
#define CLOSE_WAIT_US 5000000u

void crn_remote_worker_free(struct crn_remote_worker *worker)
{
    if (worker == NULL)
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

static void free_outgoing(struct crn_outgoing *outgoing)
{
    if (outgoing == NULL)
        return;
    crn_post_done(&outgoing->post);
    free(outgoing);
}

void crn_leader_free(struct crn_leader *leader)
{
    if (leader == NULL)
        return;
    for (size_t i = 0; i < leader->worker_count; i++)
        crn_remote_worker_free(leader->workers[i]);
    free(leader->workers);
    while (leader->outbox != NULL) {
        struct crn_outgoing *next = leader->outbox->next;
        free_outgoing(leader->outbox);
        leader->outbox = next;
    }
    cairn_error_free(leader->error);
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
    return job->leader == NULL ? 0 : job->options.worker_count;
}

/* ------------------------------------------------------------------------------------------ *
 * The outbox
 * ------------------------------------------------------------------------------------------ */

static void enqueue_locked(struct crn_leader *leader, struct crn_outgoing *outgoing)
{
    struct crn_outgoing **end = &leader->outbox;
    while (*end != NULL)
        end = &(*end)->next;
    *end = outgoing;
    crn_cond_signal(&leader->wake);
}

static int new_outgoing(enum crn_post_kind kind, const char *text, struct crn_outgoing **ret,
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
    int r = new_outgoing(kind, text, &outgoing, &error);
    crn_mutex_lock(&job->lock);
    if (r == 0) {
        outgoing->post.id = id;
        outgoing->post.subsumed_id = subsumed_id;
        outgoing->post.code = code;
        enqueue_locked(leader, outgoing);
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
    CRN_TRY(new_outgoing(CRN_POST_TRIGGER, NULL, &outgoing, reterr));
    int r = fill_trigger(attempt, &outgoing->post.trigger, reterr);
    if (r == 0)
        enqueue_locked(leader, outgoing);
    else
        free_outgoing(outgoing);
    return r;
}

/* Whoever has the number now has taken the job over. That is the log's to say, so something has to
 * be tried there: see leader.h. */
static void note_replaced(struct crn_leader *leader, cairn_error **error)
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
    if (job->attempt_count == 0 && job->started)
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
        note_replaced(leader, &error);
    else
        crn_log_write(&leader->job->log, CAIRN_LOG_WARNING, "cluster",
                      "job '%s': the workers cannot be told yet, trying again: %s",
                      leader->job->name, cairn_error_message(error));
    return r;
}

/* Everything that waits, in order. Gives when to try again; UINT64_MAX: nothing is left. */
static uint64_t empty_outbox(struct crn_leader *leader, uint32_t *tries)
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
        free_outgoing(outgoing);
        crn_cond_broadcast(&leader->changed);
    }
    crn_mutex_unlock(&job->lock);
    return again_us;
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
    (void)crn_ending_begin_locked(job, CRN_ENDING_LOST, error);
    crn_tell(&job->log, CAIRN_LOG_ERROR, "job",
             CRN_FACTS(.told = CRN_TOLD_JOB_FAILED, .error = error), "%s",
             cairn_error_message(error));
}

static void check_silence_locked(struct crn_leader *leader)
{
    const uint64_t timeout_us = crn_us_of_ms(leader->job->options.worker_timeout_ms);
    const uint64_t now_us = crn_now_us();
    for (size_t i = 0; i < leader->worker_count && !leader->was_blind; i++) {
        struct crn_remote_worker *worker = leader->workers[i];
        if (worker->is_lost || now_us - worker->heard_us < timeout_us)
            continue;
        char why[96];
        (void)snprintf(why, sizeof why, "has not been heard of for %llu ms",
                       (unsigned long long)((now_us - worker->heard_us) / 1000));
        crn_leader_lose_locked(leader, worker, why);
    }
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
        again_us = empty_outbox(leader, &tries);
        if (!is_look_due(leader, looked_us))
            continue;
        crn_leader_read_mails(leader);
        looked_us = crn_now_us();
        crn_mutex_lock(&job->lock);
        check_silence_locked(leader);
        crn_cond_broadcast(&leader->changed);
        crn_mutex_unlock(&job->lock);
    }
    (void)empty_outbox(leader, &tries);
    crn_mutex_lock(&job->lock);
    leader->over = true;
    crn_cond_broadcast(&leader->changed);
    crn_mutex_unlock(&job->lock);
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
            crn_remote_worker_free(leader->workers[i]);
        else
            leader->workers[kept++] = leader->workers[i];
    leader->worker_count = kept;
}

int crn_leader_gather(struct cairn_job *job, cairn_error **reterr)
{
    struct crn_leader *leader = job->leader;
    const uint64_t wait_us = crn_us_of_ms(job->options.join_timeout_ms);
    uint64_t now_us = crn_now_us();
    const uint64_t deadline_us = wait_us > UINT64_MAX - now_us ? UINT64_MAX : now_us + wait_us;
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
        if (r < 0 || leader->worker_count >= job->options.worker_count)
            break;
        if (!crn_cond_wait_until(&leader->changed, &job->lock, deadline_us)) {
            r = fail_gather_locked(leader, reterr);
            break;
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
    CRN_TRY(new_outgoing(CRN_POST_START, NULL, &outgoing, reterr));
    struct crn_post *post = &outgoing->post;
    post->members = calloc(leader->worker_count, sizeof *post->members);
    if (post->members == NULL) {
        free_outgoing(outgoing);
        return crn_err_nomem(reterr);
    }
    post->member_count = leader->worker_count;
    for (size_t i = 0; i < leader->worker_count; i++) {
        leader->workers[i]->index = post->members[i].index = (uint32_t)i;
        memcpy(post->members[i].worker, leader->workers[i]->uuid, sizeof post->members[i].worker);
    }
    leader->started = true;
    leader->gathering = false;
    enqueue_locked(leader, outgoing);
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

static int show_locked(const struct crn_leader *leader, cairn_worker_fn fn, void *context)
{
    int r = 0;
    const uint64_t now_us = crn_now_us();
    for (size_t i = 0; i < leader->worker_count && r == 0; i++) {
        const struct crn_remote_worker *worker = leader->workers[i];
        const cairn_worker_info info = {
            .struct_size = sizeof info,
            .index = (uint32_t)i,
            .name = worker->name,
            .host = worker->host,
            .pid = worker->pid,
            .subtask_count = (uint32_t)worker->subtask_count,
            .silent_ms = (now_us - worker->heard_us) / 1000,
            .is_lost = worker->is_lost,
        };
        r = fn(context, &info);
    }
    return r;
}

int cairn_job_each_worker(cairn_job *job, cairn_worker_fn fn, void *context)
{
    if (job == NULL || fn == NULL)
        return CAIRN_EINVAL;
    crn_mutex_lock(&job->lock);
    int r = job->leader == NULL ? 0 : show_locked(job->leader, fn, context);
    crn_mutex_unlock(&job->lock);
    return r;
}
