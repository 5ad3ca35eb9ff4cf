/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker of a job of several processes: opening, joining, and the thread that takes the place of
 * the driver. follower.h has the rules.
 *
 * The thread does one thing at a time: tell what came of attempts, look for posts, show that it is
 * alive, remove what is dead. A mail that cannot be sent is sent again in the next round; the
 * attempt that it is about waits with it. One that may have been sent is put again as it was,
 * before anything else: the coordinator takes each number once.
 *
 * A worker that has heard nothing for worker_timeout_ms looks at the job's log, and then less and
 * less often: its board may have been removed with those of all old epochs before it came to read
 * the last post.
 *
 * Lock: job->lock.
 */
#include "engine/cluster/follower_internal.h"

#include "engine/gate/gate.h"
#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/fields.h"

#include <string.h>
#include <unistd.h>

#define INDEX_SHIFT 40u /* of running numbers: room for 10^12 objects of each worker and epoch */
#define CATCH_UP_US 10000000u
#define LOOK_RETRY_US 50000u
#define PATIENCE_MAX 6u /* of one whose coordinator has nothing to say: times 64 */
#define LOG_REQUESTS 3u /* about, to look at the log */

void crn_follower_free(struct crn_follower *follower)
{
    if (follower == NULL)
        return;
    free(follower->plan.source_location);
    free(follower->name);
    crn_unsettled_done(&follower->unsettled);
    crn_cond_done(&follower->changed);
    free(follower);
}

static int name_worker(struct crn_follower *follower, cairn_error **reterr)
{
    const struct cairn_job *job = follower->job;
    if (job->options.worker_name != NULL)
        return crn_str_printf(&follower->name, reterr, "%s", job->options.worker_name);
    return crn_str_printf(&follower->name, reterr, "%s:%ld", job->host, (long)getpid());
}

/* What a checkpoint promises is the same in all processes. */
static void take_over_options(struct cairn_job *job, const struct crn_plan *plan)
{
    job->options.checkpoint_mode = (cairn_checkpoint_mode)plan->checkpoint_mode;
    job->options.unaligned = plan->unaligned;
    job->options.aligned_timeout_ms = plan->aligned_timeout_ms;
}

int crn_follower_open(struct cairn_job *job, cairn_error **reterr)
{
    struct crn_follower *follower = calloc(1, sizeof *follower);
    if (follower == NULL)
        return crn_err_nomem(reterr);
    job->follower = follower;
    follower->job = job;
    follower->board = (struct crn_board){job->store, job->name, 0};
    follower->next_post = 2;
    follower->next_mail = 1;
    crn_random_bytes(follower->uuid, sizeof follower->uuid);
    crn_pace_init(&follower->pace, job->options.requests_per_minute);
    crn_cond_init(&follower->changed);
    CRN_TRY(name_worker(follower, reterr));
    CRN_TRY(crn_follower_find_plan(follower, reterr));
    follower->post_us = crn_now_us();
    job->epoch = follower->board.epoch;
    take_over_options(job, &follower->plan);
    int r = crn_follower_choose(follower, reterr);
    if (r < 0)
        return crn_job_blame_successor(job, r, reterr);
    crn_tell(&job->log, CAIRN_LOG_INFO, "job",
             CRN_FACTS(.told = CRN_TOLD_JOB_OPENED, .epoch = job->epoch,
                       .restored_id = job->restored_info.id),
             "job '%s': worker '%s' of epoch %llu; restored checkpoint: %llu", job->name,
             follower->name, (unsigned long long)job->epoch,
             (unsigned long long)job->restored_info.id);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Mails
 * ------------------------------------------------------------------------------------------ */

int crn_follower_send(struct crn_follower *follower, struct crn_mail *mail, cairn_error **reterr)
{
    mail->epoch = follower->board.epoch;
    mail->number = follower->next_mail;
    mail->seen = follower->next_post - 1;
    memcpy(mail->worker, follower->uuid, sizeof mail->worker);
    crn_pace_book(&follower->pace, crn_now_us(), 1);
    const int r = crn_board_send(&follower->board, mail, &follower->unsettled, reterr);
    if (r == 0 || r == CAIRN_EUNKNOWN)
        follower->next_mail++;
    CRN_TRY(r);
    follower->sent_us = crn_now_us();
    return 0;
}

static int send_leave(struct crn_follower *follower, const char *why)
{
    CRN_AUTO_MAIL struct crn_mail mail = {
        .kind = CRN_MAIL_LEAVE, .code = CAIRN_ECLOSED, .text = crn_str_dup_n(why, strlen(why))};
    return crn_follower_send(follower, &mail, NULL);
}

static void send_alive_if_due(struct crn_follower *follower)
{
    const uint64_t interval_us = crn_us_of_ms(follower->job->options.heartbeat_ms);
    CRN_AUTO_MAIL struct crn_mail mail = {.kind = CRN_MAIL_ALIVE};
    if (follower->unsettled.bytes.size == 0 &&
        crn_now_us() < crn_pace_next_us(&follower->pace, follower->sent_us, interval_us))
        return;
    if (crn_follower_send(follower, &mail, NULL) < 0)
        follower->sent_us = crn_now_us() - interval_us / 2; /* sooner than else */
}

/* ------------------------------------------------------------------------------------------ *
 * Joining
 * ------------------------------------------------------------------------------------------ */

static int fill_subtask(struct crn_joined_subtask *to, const struct cairn_task *task)
{
    to->uid = crn_str_dup_n(task->uid, strlen(task->uid));
    to->name = crn_str_dup_n(task->options.name, strlen(task->options.name));
    to->subtask = task->options.subtask;
    to->parallelism = task->options.parallelism;
    to->max_parallelism = task->max_parallelism;
    to->key_type = task->options.key_type;
    to->namespace_type = task->options.namespace_type;
    return to->uid == NULL || to->name == NULL ? CAIRN_ENOMEM : 0;
}

static int fill_join_locked(const struct crn_follower *follower, struct crn_mail *mail)
{
    const struct cairn_job *job = follower->job;
    mail->kind = CRN_MAIL_JOIN;
    mail->pid = (uint64_t)getpid();
    mail->name = crn_str_dup_n(follower->name, strlen(follower->name));
    mail->host = crn_str_dup_n(job->host, strlen(job->host));
    mail->subtasks = calloc(job->task_count + 1, sizeof *mail->subtasks);
    if (mail->name == NULL || mail->host == NULL || mail->subtasks == NULL)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < job->task_count; i++) {
        mail->subtask_count++;
        if (fill_subtask(&mail->subtasks[i], job->tasks[i]) < 0)
            return CAIRN_ENOMEM;
    }
    return 0;
}

static int send_join(struct crn_follower *follower, cairn_error **reterr)
{
    struct cairn_job *job = follower->job;
    CRN_AUTO_MAIL struct crn_mail mail = {0};
    if (follower->next_mail > 1)
        return 0; /* by a start that failed */
    crn_mutex_lock(&job->lock);
    int r = fill_join_locked(follower, &mail);
    crn_mutex_unlock(&job->lock);
    return r < 0 ? crn_err_nomem(reterr) : crn_follower_send(follower, &mail, reterr);
}

static int take_start(struct crn_follower *follower, const struct crn_post *post,
                      cairn_error **reterr)
{
    struct cairn_job *job = follower->job;
    for (size_t i = 0; i < post->member_count; i++)
        if (memcmp(post->members[i].worker, follower->uuid, sizeof follower->uuid) == 0) {
            /* Below the first worker's are the coordinator's own. */
            atomic_store(&job->next_object, ((uint64_t)post->members[i].index + 1) << INDEX_SHIFT);
            follower->next_post++;
            follower->heard_us = follower->looked_us = crn_now_us();
            crn_mutex_lock(&job->lock);
            follower->joined = true;
            follower->post_us = follower->heard_us;
            crn_mutex_unlock(&job->lock);
            return 0;
        }
    return crn_err_fail(reterr, CAIRN_EEXIST, NULL,
                        "job '%s' has started without worker '%s': its subtasks are in other "
                        "processes, or worker_count is too low",
                        job->name, follower->name);
}

static int fail_not_started(const struct crn_follower *follower, const struct crn_post *post,
                            cairn_error **reterr)
{
    const bool is_replaced = post->kind == CRN_POST_REPLACED;
    return crn_err_fail(reterr, is_replaced ? CAIRN_EFENCED : CAIRN_EFAILED, NULL,
                        "the coordinator that worker '%s' of job '%s' waited for %s%s: open the "
                        "job again",
                        follower->name, follower->job->name,
                        is_replaced ? "was replaced by " : "did not start the job: ",
                        post->text != NULL ? post->text : "");
}

/* 1: wait on. */
static int look_for_start(struct crn_follower *follower, cairn_error **reterr)
{
    CRN_AUTO_POST struct crn_post post = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_pace_book(&follower->pace, crn_now_us(), 1);
    int r = crn_board_read_post(&follower->board, follower->next_post, &post, &error);
    if (r == CAIRN_ENOTFOUND || cairn_error_class_of(r) == CAIRN_CLASS_RETRY)
        return 1;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    if (post.kind == CRN_POST_START)
        return take_start(follower, &post, reterr);
    follower->has_ended = true;
    return fail_not_started(follower, &post, reterr);
}

static bool is_closing(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    bool closing = job->closing;
    crn_mutex_unlock(&job->lock);
    return closing;
}

static void wait_until_or_closing(struct crn_follower *follower, uint64_t due_us)
{
    struct cairn_job *job = follower->job;
    crn_mutex_lock(&job->lock);
    while (!job->closing && crn_now_us() < due_us)
        (void)crn_cond_wait_until(&follower->changed, &job->lock, due_us);
    crn_mutex_unlock(&job->lock);
}

void crn_follower_closing_locked(struct cairn_job *job)
{
    crn_mutex_assert_held(&job->lock);
    if (job->follower != NULL)
        crn_cond_broadcast(&job->follower->changed);
}

int crn_follower_join(struct cairn_job *job, cairn_error **reterr)
{
    struct crn_follower *follower = job->follower;
    if (follower == NULL || follower->joined)
        return 0;
    const uint64_t wait_us = crn_us_of_ms(job->options.join_timeout_ms);
    const uint64_t began_us = crn_now_us();
    CRN_TRY(send_join(follower, reterr));
    for (;;) {
        const uint64_t looked_us = crn_now_us();
        int r = look_for_start(follower, reterr);
        if (r <= 0)
            return r;
        if (is_closing(job))
            return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
        if (crn_now_us() - began_us >= wait_us)
            return crn_err_fail(reterr, CAIRN_ETIMEOUT, NULL,
                                "worker '%s' of job '%s' was not called upon within %llu ms: its "
                                "coordinator waits for other workers, or is gone",
                                follower->name, job->name,
                                (unsigned long long)job->options.join_timeout_ms);
        send_alive_if_due(follower);
        const uint64_t next_us = crn_pace_next_us(&follower->pace, looked_us,
                                                  crn_us_of_ms(job->options.poll_interval_ms));
        const uint64_t left_us = wait_us - (looked_us - began_us);
        wait_until_or_closing(follower,
                              next_us - looked_us < left_us ? next_us : looked_us + left_us);
    }
}

void crn_follower_leave(struct cairn_job *job)
{
    struct crn_follower *follower = job->follower;
    if (follower != NULL && follower->next_mail > 1 && !follower->has_ended)
        (void)send_leave(follower, "it was closed"); /* or it is found silent */
}

/* ------------------------------------------------------------------------------------------ *
 * The thread
 * ------------------------------------------------------------------------------------------ */

/* Is somebody else there, of whom no post has told? */
static void look_for_successor(struct crn_follower *follower)
{
    CRN_AUTO_FREE char *words = crn_job_find_successor(follower->job);
    follower->heard_us = crn_now_us();
    follower->patience += follower->patience < PATIENCE_MAX;
    crn_pace_book(&follower->pace, follower->heard_us, LOG_REQUESTS);
    if (words != NULL)
        crn_follower_replaced(follower, words);
}

static void look(struct crn_follower *follower)
{
    struct cairn_job *job = follower->job;
    int r = 0;
    while (r == 0 && !follower->has_ended) {
        CRN_AUTO_POST struct crn_post post = {0};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        crn_pace_book(&follower->pace, crn_now_us(), 1);
        r = crn_board_read_post(&follower->board, follower->next_post, &post, &error);
        if (r == 0) {
            follower->next_post++;
            follower->heard_us = crn_now_us();
            follower->patience = 0;
            crn_follower_obey(follower, &post);
        } else if (r != CAIRN_ENOTFOUND && cairn_error_class_of(r) != CAIRN_CLASS_RETRY &&
                   r != CAIRN_ENOMEM) {
            crn_err_prefix(&error, "worker '%s' cannot go on", follower->name);
            (void)send_leave(follower, cairn_error_message(error)); /* or it is found silent */
            crn_follower_end(follower, CRN_ENDING_LOST, error);
        } else if (r != CAIRN_ENOTFOUND && follower->look_failures++ == 0) {
            crn_log_write(&job->log, CAIRN_LOG_WARNING, "cluster",
                          "job '%s': the coordinator cannot be heard, trying again: %s", job->name,
                          cairn_error_message(error));
        }
    }
    if (r == 0 || r == CAIRN_ENOTFOUND)
        follower->look_failures = 0;
    follower->looked_us = crn_now_us();
    if (!follower->has_ended && (follower->looked_us - follower->heard_us) >> follower->patience >
                                    crn_us_of_ms(job->options.worker_timeout_ms))
        look_for_successor(follower);
    crn_mutex_lock(&job->lock);
    follower->catching = 0;
    crn_cond_broadcast(&follower->changed);
    crn_mutex_unlock(&job->lock);
}

/* When there is something to do though nobody says so. */
static uint64_t due_us_locked(const struct crn_follower *follower)
{
    const cairn_job_options *o = &follower->job->options;
    uint64_t look_us =
        crn_pace_next_us(&follower->pace, follower->looked_us, crn_us_of_ms(o->poll_interval_ms));
    uint64_t alive_us =
        crn_pace_next_us(&follower->pace, follower->sent_us, crn_us_of_ms(o->heartbeat_ms));
    if (follower->catching > 0)
        look_us = follower->looked_us + LOOK_RETRY_US / 10;
    return look_us < alive_us ? look_us : alive_us;
}

static void wait_for_work(struct crn_follower *follower, bool was_told)
{
    struct cairn_job *job = follower->job;
    crn_mutex_lock(&job->lock);
    for (;;) {
        if (crn_driver_is_finished_due_locked(job)) {
            crn_mutex_unlock(&job->lock);
            crn_finish_take_barriers(job);
            crn_mutex_lock(&job->lock);
            continue;
        }
        uint64_t due_us = due_us_locked(follower);
        const bool has_fact = was_told && crn_follower_has_fact_locked(follower);
        if (!was_told && crn_now_us() + LOOK_RETRY_US < due_us)
            due_us = crn_now_us() + LOOK_RETRY_US;
        if (job->closing || has_fact || crn_now_us() >= due_us)
            break;
        if (!crn_cond_wait_until(&job->wake_driver, &job->lock, due_us) && !was_told)
            break;
    }
    crn_mutex_unlock(&job->lock);
}

static bool is_look_due(struct crn_follower *follower)
{
    struct cairn_job *job = follower->job;
    crn_mutex_lock(&job->lock);
    const bool is_wanted = follower->catching > 0;
    crn_mutex_unlock(&job->lock);
    return is_wanted ||
           crn_now_us() >= crn_pace_next_us(&follower->pace, follower->looked_us,
                                            crn_us_of_ms(job->options.poll_interval_ms));
}

/* Nothing in the store is touched: their ids are not ours to resolve. */
static void leave_attempts(struct crn_follower *follower)
{
    struct cairn_job *job = follower->job;
    for (;;) {
        crn_mutex_lock(&job->lock);
        struct crn_attempt *attempt = job->attempt_count > 0 ? job->attempts[0] : NULL;
        if (attempt != NULL) {
            atomic_store(&attempt->cancelled, true);
            crn_flight_withdraw_locked(attempt);
        }
        crn_mutex_unlock(&job->lock);
        if (attempt == NULL)
            return;
        crn_gates_forget(attempt);
        crn_mutex_lock(&job->lock);
        crn_outcome_take_out_locked(job, attempt);
        crn_mutex_unlock(&job->lock);
        crn_recorder_over(attempt);
        crn_attempt_free(attempt);
    }
}

void *crn_follower_main(void *arg)
{
    struct cairn_job *job = arg;
    struct crn_follower *follower = job->follower;
    bool was_told = true;
    while (!is_closing(job) && !follower->has_ended) {
        wait_for_work(follower, was_told);
        was_told = crn_follower_tell_facts(follower);
        if (is_look_due(follower) && !is_closing(job))
            look(follower);
        if (!follower->has_ended)
            send_alive_if_due(follower);
    }
    crn_follower_leave(job);
    leave_attempts(follower);
    crn_mutex_lock(&job->lock);
    follower->over = true;
    crn_cond_broadcast(&follower->changed);
    crn_mutex_unlock(&job->lock);
    return NULL;
}

void crn_follower_catch_up(struct cairn_job *job, uint64_t id)
{
    struct crn_follower *follower = job->follower;
    if (follower == NULL)
        return;
    const uint64_t deadline_us = crn_now_us() + CATCH_UP_US;
    crn_mutex_lock(&job->lock);
    while (follower->joined && !follower->over && !job->closing && follower->seen_id < id) {
        follower->catching = 1;
        crn_cond_signal(&job->wake_driver);
        if (!crn_cond_wait_until(&follower->changed, &job->lock, deadline_us))
            break;
    }
    crn_mutex_unlock(&job->lock);
}

/* ------------------------------------------------------------------------------------------ *
 * For who watches
 * ------------------------------------------------------------------------------------------ */

const char *crn_follower_name(const struct cairn_job *job)
{
    return job->follower->name;
}

uint64_t crn_follower_post_us_locked(const struct cairn_job *job)
{
    crn_mutex_assert_held(&job->lock);
    return job->follower->post_us;
}
