/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: open and close.
 *
 * Opening takes the job over (job_restore.c: fence, choice of what to restore), then removes what a
 * crash left (reconcile.c). The driver thread begins with cairn_job_start(). Closing aborts what is
 * in flight, joins the driver and the pool, and shuts the tasks; the memory of the job lives on
 * until the last task handle is closed, so that a late call gets CAIRN_ECLOSED and not a crash.
 *
 * Locks: job->lock only. Crash: see cairn_job_open().
 */
#include "engine/job/job.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/backends.h"
#include "engine/cluster/board.h"
#include "engine/cluster/follower.h"
#include "engine/cluster/leader.h"
#include "engine/gate/gate.h"
#include "engine/options.h"
#include "engine/restore/source.h"
#include "engine/states/keyed.h"
#include "engine/status/fields.h"
#include "engine/stores.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 600000u
#define DEFAULT_TRANSFER_THREADS 4u
#define MAX_TRANSFER_THREADS 256u
#define DEFAULT_INLINE_BYTES 16384u
#define DEFAULT_POLL_MS 1000u
#define DEFAULT_HEARTBEAT_MS 10000u
#define DEFAULT_WORKER_TIMEOUT_MS 50000u
#define DEFAULT_JOIN_TIMEOUT_MS 300000u
#define DEFAULT_MEMORY_BYTES ((uint64_t)256 << 20)

static int64_t system_now_ms(void *context)
{
    (void)context;
    return crn_wall_ms();
}

/* What to start from is said once. */
static int check_restore_options(const struct cairn_job *job, cairn_error **reterr)
{
    const cairn_job_options *o = &job->options;
    const bool has_source = o->restore_uri != NULL || o->restore_store != NULL;
    if (o->start_empty && (o->restore_checkpoint_id != 0 || o->restore_fallback))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': start_empty contradicts restore_checkpoint_id and "
                            "restore_fallback",
                            job->name);
    if (o->restore_checkpoint_id != 0 && o->restore_fallback)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': restore_fallback is for the newest checkpoint, not for a "
                            "named one",
                            job->name);
    if (o->restore_uri != NULL && o->restore_uri[0] == '\0')
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': restore_uri is empty: NULL is for none", job->name);
    if (o->restore_uri != NULL && o->restore_store != NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': set restore_uri or restore_store, not both", job->name);
    if ((o->restore_store != NULL) != (o->restore_name != NULL))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': restore_store and restore_name go together", job->name);
    if (has_source && (o->start_empty || o->restore_fallback))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': restore_uri and restore_store contradict start_empty and "
                            "restore_fallback",
                            job->name);
    if ((unsigned)o->claim_mode > CAIRN_LEGACY)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job '%s': there is no claim mode %d",
                            job->name, (int)o->claim_mode);
    if (!has_source && (o->claim_mode != CAIRN_NO_CLAIM || o->restore_only_if_new))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': claim_mode and restore_only_if_new need restore_uri or "
                            "restore_store",
                            job->name);
    return 0;
}

/* When checkpoints are taken, and what they promise. */
static int check_checkpoint_options(const struct cairn_job *job, cairn_error **reterr)
{
    const cairn_job_options *o = &job->options;
    if (o->max_concurrent > CRN_CONCURRENT_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': max_concurrent is %u, at most %u", job->name,
                            o->max_concurrent, CRN_CONCURRENT_MAX);
    if ((unsigned)o->checkpoint_mode > CAIRN_AT_LEAST_ONCE)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job '%s': there is no checkpoint mode %d",
                            job->name, (int)o->checkpoint_mode);
    if ((unsigned)o->on_cancel > CAIRN_DELETE || (unsigned)o->on_failure > CAIRN_DELETE)
        return crn_err_fail(
            reterr, CAIRN_EINVAL, NULL,
            "job '%s': on_cancel is %d and on_failure %d: there is 0 (retain) and 1 "
            "(delete)",
            job->name, (int)o->on_cancel, (int)o->on_failure);
    if (o->unaligned && o->checkpoint_mode != CAIRN_EXACTLY_ONCE)
        return crn_err_fail(
            reterr, CAIRN_EINVAL, NULL,
            "job '%s': unaligned needs exactly once: at least once holds no channel "
            "back, so there is nothing to overtake",
            job->name);
    if (o->unaligned && o->max_concurrent > 1)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': unaligned needs max_concurrent 1, not %u: one barrier at a "
                            "time may overtake",
                            job->name, o->max_concurrent);
    if (o->aligned_timeout_ms != 0 && !o->unaligned)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': aligned_timeout_ms says when to stop being aligned, and "
                            "needs unaligned",
                            job->name);
    return 0;
}

/* A job of several processes: cluster.h. */
static int take_cluster_options(struct cairn_job *job, cairn_error **reterr)
{
    cairn_job_options *o = &job->options;
    if ((unsigned)o->role > CAIRN_WORKER)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job '%s': there is no role %d", job->name,
                            (int)o->role);
    o->worker_count = o->worker_count != 0 ? o->worker_count : 1;
    o->poll_interval_ms = o->poll_interval_ms != 0 ? o->poll_interval_ms : DEFAULT_POLL_MS;
    o->heartbeat_ms = o->heartbeat_ms != 0 ? o->heartbeat_ms : DEFAULT_HEARTBEAT_MS;
    o->worker_timeout_ms =
        o->worker_timeout_ms != 0 ? o->worker_timeout_ms : DEFAULT_WORKER_TIMEOUT_MS;
    o->join_timeout_ms = o->join_timeout_ms != 0 ? o->join_timeout_ms : DEFAULT_JOIN_TIMEOUT_MS;
    if (o->role == CAIRN_ALONE)
        return 0;
    if (o->worker_count > CRN_LIMIT_WORKERS)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job '%s': worker_count is %u, at most %u",
                            job->name, o->worker_count, CRN_LIMIT_WORKERS);
    if (o->worker_timeout_ms <= o->heartbeat_ms)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': worker_timeout_ms is %llu, and heartbeat_ms %llu: a worker "
                            "would be taken for lost between two signs of life",
                            job->name, (unsigned long long)o->worker_timeout_ms,
                            (unsigned long long)o->heartbeat_ms);
    if (o->worker_name != NULL && !crn_text_is_name(o->worker_name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': worker_name is not 1 to 255 bytes of clean UTF-8",
                            job->name);
    return 0;
}

static int take_control_options(struct cairn_job *job, cairn_error **reterr)
{
    int r = crn_control_new(job, job->options.control, job->options.control_token, &job->control,
                            reterr);
    if (r < 0)
        crn_err_prefix(reterr, "job '%s'", job->name);
    job->options.control_token = NULL; /* the control's alone */
    return r;
}

static int take_options(struct cairn_job *job, const cairn_job_options *options,
                        cairn_error **reterr)
{
    cairn_job_options *o = &job->options;
    CRN_TRY(crn_options_in(o, sizeof *o, options, "cairn_job_options", reterr));
    if (o->store_uri == NULL && o->store == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': no store is given: set store_uri (the setting 'store'), or "
                            "store to an open one",
                            job->name);
    if (o->store_uri != NULL && o->store != NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': store_uri and store are both set: one of them is enough",
                            job->name);
    if (o->local_dir == NULL || o->local_dir[0] == '\0')
        return crn_err_fail(
            reterr, CAIRN_EINVAL, NULL,
            "job '%s': local_dir (the setting 'local-dir') is required: a directory for "
            "its databases",
            job->name);
    if (o->inline_threshold_bytes > CRN_LIMIT_INLINE)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': inline_threshold_bytes is %u, at most %u", job->name,
                            o->inline_threshold_bytes, CRN_LIMIT_INLINE);
    if (o->transfer_threads > MAX_TRANSFER_THREADS)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': transfer_threads is %u, at most %u", job->name,
                            o->transfer_threads, MAX_TRANSFER_THREADS);
    if (o->savepoint_uri != NULL && o->savepoint_uri[0] == '\0')
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': savepoint_uri is empty: NULL is for none", job->name);
    if (o->savepoint_uri != NULL && o->savepoint_store != NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': set at most one of savepoint_uri and savepoint_store",
                            job->name);
    CRN_TRY(check_restore_options(job, reterr));
    CRN_TRY(check_checkpoint_options(job, reterr));
    CRN_TRY(take_cluster_options(job, reterr));
    CRN_TRY(take_control_options(job, reterr));
    if (job->backend == NULL) {
        int r = crn_backend_find(o->state_backend, &job->backend, reterr);
        if (r < 0) {
            crn_err_prefix(reterr, "job '%s'", job->name);
            return r;
        }
    }
    if (o->checkpoint_timeout_ms == 0)
        o->checkpoint_timeout_ms = DEFAULT_TIMEOUT_MS;
    if (o->max_concurrent == 0)
        o->max_concurrent = 1;
    if (o->num_retained == 0)
        o->num_retained = 1;
    if (o->transfer_threads == 0)
        o->transfer_threads = DEFAULT_TRANSFER_THREADS;
    if (o->inline_threshold_bytes == 0)
        o->inline_threshold_bytes = DEFAULT_INLINE_BYTES;
    if (o->state_memory_bytes == 0)
        o->state_memory_bytes = DEFAULT_MEMORY_BYTES;
    if (o->log_level == 0)
        o->log_level = CAIRN_LOG_INFO;
    if (o->now_ms == NULL)
        o->now_ms = system_now_ms;
    job->log = (struct crn_log){o->log, o->log_context, o->log_level, job->name};
    if (o->savepoint_uri != NULL) {
        job->savepoint_uri = crn_str_dup_n(o->savepoint_uri, strlen(o->savepoint_uri));
        if (job->savepoint_uri == NULL)
            return crn_err_nomem(reterr);
    }
    return crn_file_make_absolute(o->local_dir, &job->local_dir, reterr);
}

/* The workers of an earlier incarnation are to learn that it is over. They find out by themselves,
 * if they cannot be told. */
static void tell_predecessors(struct cairn_job *job)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *words = NULL;
    const struct crn_board board = {job->store, job->name, job->epoch};
    int r = crn_str_printf(&words, &error, "process %ld on '%s' (epoch %llu)", (long)getpid(),
                           job->host, (unsigned long long)job->epoch);
    if (r == 0)
        r = crn_board_replace(&board, words, &error);
    if (r < 0)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "cluster",
                      "job '%s': workers of an earlier coordinator could not be told that it was "
                      "replaced: %s",
                      job->name, cairn_error_message(error));
}

/* The job is ours: from here on others hear of it. */
static int open_cluster(struct cairn_job *job, cairn_error **reterr)
{
    tell_predecessors(job);
    /* A worker of before may still be putting objects: they go with the first checkpoint. */
    job->gc_wanted |= job->options.role == CAIRN_COORDINATOR;
    return job->options.role == CAIRN_COORDINATOR ? crn_leader_open(job, reterr) : 0;
}

static int open_parts(struct cairn_job *job, cairn_error **reterr)
{
    if (job->options.store != NULL) {
        CRN_TRY(crn_store_check(job->options.store, reterr));
        job->store = job->options.store;
    } else {
        CRN_TRY(cairn_store_open(job->options.store_uri, &job->store, reterr));
        job->owns_store = true;
        if (crn_posix_store_is_new(job->store))
            crn_tell(&job->log, CAIRN_LOG_WARNING, "job",
                     CRN_FACTS(.told = CRN_TOLD_STORE_CREATED,
                               .location = crn_posix_store_root(job->store)),
                     "job '%s': the store '%s' was not there: it has been created and is empty",
                     job->name, crn_posix_store_root(job->store));
    }
    const char *caveat = cairn_store_caveat(job->store);
    if (caveat != NULL)
        crn_tell(&job->log, CAIRN_LOG_WARNING, "job",
                 CRN_FACTS(.told = CRN_TOLD_STORE_CAVEAT, .reason = caveat), "job '%s': %s",
                 job->name, caveat);
    CRN_TRY(crn_job_lock_local_dir(job, reterr)); /* before the store is asked anything */
    CRN_TRY(crn_store_check_is_root(job->store, reterr));
    if (job->options.memory != NULL) {
        job->memory = job->options.memory;
        crn_memory_retain(job->memory);
    } else {
        CRN_TRY(cairn_memory_new(job->options.state_memory_bytes, &job->memory, reterr));
    }
    CRN_TRY(crn_pool_new(job->options.transfer_threads, "cairn-transfer", &job->pool, reterr));
    CRN_TRY(crn_job_empty_local_dir(job, reterr));
    if (job->options.role == CAIRN_WORKER) { /* the coordinator has taken the job over */
        CRN_TRY(crn_follower_open(job, reterr));
        CRN_TRY(crn_job_prune_kept(job, reterr));
        return crn_recorder_open(job, &job->recorder, reterr);
    }
    CRN_TRY(crn_job_take_over(job, reterr));
    CRN_TRY(crn_job_prune_kept(job, reterr));
    CRN_TRY(crn_recorder_open(job, &job->recorder, reterr));
    CRN_TRY(open_cluster(job, reterr));
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (crn_job_collect(job, false, &error) < 0) {
        job->gc_wanted = true;
        crn_tell(&job->log, CAIRN_LOG_WARNING, "job",
                 CRN_FACTS(.told = CRN_TOLD_LEFTOVERS_STAY, .error = error),
                 "job '%s': leftovers were not removed, tried again after the next checkpoint: %s",
                 job->name, cairn_error_message(error));
    }
    return 0;
}

int crn_job_open(const char *name, const cairn_job_options *options,
                 const struct crn_job_seams *seams, cairn_job **ret_job, cairn_error **reterr)
{
    if (name == NULL || ret_job == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "name or ret_job is NULL");
    if (!crn_text_is_job_name(name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a job's name is 1 to 128 bytes of UTF-8 without '/' and control "
                            "characters, not starting with '.'");
    struct cairn_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return crn_err_nomem(reterr);
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&job->meter);
    job->lock_fd = -1;
    job->backend = seams->backend;
    atomic_init(&job->refs, 1);
    crn_mutex_init(&job->lock, CRN_RANK_JOB);
    crn_cond_init(&job->wake_driver);
    crn_cond_init(&job->wake_waiters);
    if (gethostname(job->host, sizeof job->host - 1) != 0)
        memcpy(job->host, "unknown", sizeof "unknown");
    job->name = crn_str_dup_n(name, strlen(name));
    int r = job->name == NULL ? crn_err_nomem(reterr) : take_options(job, options, reterr);
    crn_rate_init(&job->upload_rate, job->options.upload_bytes_per_sec);
    crn_downloads_init(&job->downloads, job->options.transfer_threads,
                       job->options.download_bytes_per_sec, r == 0 ? crn_job_kept_dir(job) : NULL);
    if (r == 0)
        r = open_parts(job, reterr);
    if (r < 0) {
        job->closed = true;
        crn_leader_close(job);
        crn_pool_free(CRN_TAKE(job->pool));
        crn_job_unref(job);
        return r;
    }
    *ret_job = job;
    return 0;
}

int cairn_job_open(const char *name, const cairn_job_options *options, cairn_job **ret_job,
                   cairn_error **reterr)
{
    static const struct crn_job_seams seams = {NULL};
    return crn_job_open(name, options, &seams, ret_job, reterr);
}

void crn_job_unref(struct cairn_job *job)
{
    if (atomic_fetch_sub(&job->refs, 1) != 1)
        return;
    crn_recorder_free(job->recorder);
    crn_leader_free(job->leader);
    crn_follower_free(job->follower);
    crn_control_free(job->control);
    crn_source_done(&job->source);
    crn_joblog_done(&job->joblog);
    for (size_t i = 0; i < job->garbage_count; i++)
        free(job->garbage[i]);
    free(job->garbage);
    free(job->skipped);
    free(job->successor);
    cairn_error_free(job->fence_error);
    cairn_error_free(job->end_error);
    cairn_error_free(job->last_failure);
    free(job->acked);
    free(job->tasks);
    free(job->lost_task);
    if (job->memory != NULL)
        cairn_memory_release(job->memory);
    if (job->owns_store)
        cairn_store_close(job->store);
    if (job->lock_fd >= 0)
        (void)close(job->lock_fd); /* nothing was written through it */
    crn_cond_done(&job->wake_waiters);
    crn_cond_done(&job->wake_driver);
    crn_downloads_done(&job->downloads);
    crn_rate_done(&job->upload_rate);
    crn_mutex_done(&job->lock);
    free(job->savepoint_uri);
    free(job->local_dir);
    free(job->name);
    free(job);
}

const char *cairn_job_control_address(cairn_job *job)
{
    return job == NULL ? "" : crn_control_address(job->control);
}

static int give_info(const cairn_checkpoint_info *from, cairn_checkpoint_info *ret_info)
{
    return ret_info == NULL
               ? 1
               : (crn_options_out(ret_info, from, sizeof *from, "cairn_checkpoint_info", NULL) < 0
                      ? CAIRN_EINVAL
                      : 1);
}

int cairn_job_restored(cairn_job *job, cairn_checkpoint_info *ret_info)
{
    if (job == NULL)
        return CAIRN_EINVAL;
    return job->restored_info.id == 0 ? 0 : give_info(&job->restored_info, ret_info);
}

int cairn_job_last_checkpoint(cairn_job *job, cairn_checkpoint_info *ret_info)
{
    if (job == NULL)
        return CAIRN_EINVAL;
    crn_mutex_lock(&job->lock);
    bool has = job->has_last;
    cairn_checkpoint_info last = job->last;
    crn_mutex_unlock(&job->lock);
    return has ? give_info(&last, ret_info) : 0;
}

void cairn_job_close(cairn_job *job)
{
    if (job == NULL)
        return;
    crn_mutex_lock(&job->lock);
    job->closing = true;
    if (job->ending == CRN_ENDING_NONE)
        job->ending = CRN_ENDING_CLOSED;
    crn_leader_closing_locked(job);
    crn_follower_closing_locked(job);
    while (job->starting) /* it waits for other processes, and has heard of this */
        crn_cond_wait(&job->wake_waiters, &job->lock);
    crn_mutex_unlock(&job->lock);
    crn_control_leave(job->control);
    const bool has_run = job->driver_running;
    crn_downloads_cancel(&job->downloads);
    crn_driver_stop(job);
    if (!has_run) { /* the others wait for its start */
        crn_follower_leave(job);
        crn_leader_tell(job, CRN_POST_ENDED, 0, 0, CAIRN_ECLOSED,
                        "it was closed before it started");
    }
    crn_leader_close(job);
    crn_pool_free(CRN_TAKE(job->pool));
    crn_control_stop(job->control); /* all that its orders wait for has ended */
    crn_mutex_lock(&job->lock);
    while (job->visitors > 0)
        crn_cond_wait(&job->wake_waiters, &job->lock);
    while (job->task_count > 0) {
        struct cairn_task *task = job->tasks[job->task_count - 1];
        if (!atomic_load(&task->open)) { /* it is being opened, and needs store and directory */
            crn_cond_wait(&job->wake_waiters, &job->lock);
            continue;
        }
        crn_mutex_unlock(&job->lock);
        crn_task_shut(task);
        crn_mutex_lock(&job->lock);
        crn_task_unregister_locked(task); /* it may be freed from now on */
    }
    job->closed = true;
    crn_mutex_unlock(&job->lock);
    if (job->owns_store) {
        cairn_store_close(CRN_TAKE(job->store));
        job->owns_store = false;
    }
    if (job->lock_fd >= 0) {
        (void)close(job->lock_fd); /* nothing was written through it */
        job->lock_fd = -1;
    }
    crn_job_unref(job);
}
