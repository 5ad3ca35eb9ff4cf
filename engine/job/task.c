/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: open (restore, or start empty), shut, close.
 *
 * Local directories: <local_dir>/t<ordinal>/db holds the database, .../source-<i> what a restore
 * with another parallelism needs for a while, .../chk-<id> a capture while it is uploaded. Files
 * are linked out of the store where it can, so a restore on one file system moves no bytes; RocksDB
 * never writes into a table, so the store's objects are safe.
 *
 * What a restore makes of the stored subtasks is the matter of engine/restore/. Here it becomes the
 * base of the next increment, if the files are of the job's own log; those of a snapshot elsewhere
 * are none, the first checkpoint stores everything anew.
 *
 * States of a task: open -> shut (job closed, or task closed) -> freed. crn_task_shut() closes the
 * database; the handle stays for calls that come too late.
 *
 * Lock: job->lock for the job's list of tasks. Crash: local files only.
 */
#include "engine/job/barrier.h"

#include "base/file.h"
#include "base/text.h"
#include "engine/gate/gate.h"
#include "engine/options.h"
#include "engine/restore/match.h"
#include "engine/restore/restore.h"
#include "engine/restore/source.h"
#include "engine/states/keyed.h"
#include "engine/transfer/fetch.h"

#include <string.h>

static int check_options(struct cairn_job *job, const char *uid, cairn_task_options *o,
                         cairn_error **reterr)
{
    if (uid == NULL && o->name == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': an operator needs a uid, or at least a name to make one of",
                            job->name);
    if (uid == NULL)
        uid = o->name;
    if (!crn_text_is_name(uid))
        return crn_err_fail(
            reterr, CAIRN_EINVAL, NULL,
            "job '%s': an operator's uid is 1 to 255 bytes of UTF-8 without control "
            "characters",
            job->name);
    if (o->name != NULL && !crn_text_is_name(o->name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': its name is not 1 to 255 bytes of clean UTF-8", uid);
    if (o->parallelism == 0)
        o->parallelism = 1;
    if (o->parallelism > CRN_MAX_KEY_GROUPS)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "operator '%s': parallelism %u, at most %u",
                            uid, o->parallelism, CRN_MAX_KEY_GROUPS);
    if (o->subtask >= o->parallelism)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': there is no subtask %u: parallelism %u has 0 to %u",
                            uid, o->subtask, o->parallelism, o->parallelism - 1);
    if (o->max_parallelism > CRN_MAX_KEY_GROUPS ||
        (o->max_parallelism != 0 && o->max_parallelism < o->parallelism))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': max_parallelism %u, not within %u (the parallelism) to "
                            "%u",
                            uid, o->max_parallelism, o->parallelism, CRN_MAX_KEY_GROUPS);
    if ((unsigned)o->key_type > CAIRN_STRING || (unsigned)o->namespace_type > CAIRN_STRING)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': there is no type %d for keys or %d for namespaces", uid,
                            (int)o->key_type, (int)o->namespace_type);
    return 0;
}

static const struct crn_operator *find_stored(const struct cairn_job *job, const char *uid)
{
    for (size_t i = 0; job->restored != NULL && i < job->restored->operator_count; i++)
        if (strcmp(job->restored->operators[i].info.uid, uid) == 0)
            return &job->restored->operators[i];
    return NULL;
}

static int check_stored(const struct cairn_job *job, const struct crn_operator *stored,
                        const cairn_task_options *o, cairn_error **reterr)
{
    const struct crn_match_operator wanted = {
        .parallelism = o->parallelism,
        .max_parallelism = o->max_parallelism,
        .key_type = o->key_type,
        .namespace_type = o->namespace_type,
    };
    int r = crn_match_operator(&stored->info, &wanted, reterr);
    if (r < 0)
        crn_err_prefix(reterr, "%s %llu",
                       job->restored->info.kind == CAIRN_RECORD_SAVEPOINT ? "savepoint"
                                                                          : "checkpoint",
                       (unsigned long long)job->restored->info.id);
    return r;
}

static int copy_text(const char **field, cairn_error **reterr)
{
    if (*field == NULL)
        return 0;
    *field = crn_str_dup_n(*field, strlen(*field));
    return *field == NULL ? crn_err_nomem(reterr) : 0;
}

/* The task owns its strings, also when only some could be copied. */
static int take_options(struct cairn_task *task, const char *uid, const cairn_task_options *options,
                        cairn_error **reterr)
{
    cairn_task_options *o = &task->options;
    *o = *options;
    if (o->name == NULL)
        o->name = uid;
    int r = copy_text(&o->name, reterr);
    int r2 = copy_text(&o->rocksdb_options, r == 0 ? reterr : NULL);
    task->has_made_uid = uid == NULL; /* made when it is registered */
    task->uid = uid != NULL ? crn_str_dup_n(uid, strlen(uid)) : NULL;
    if (r == 0 && r2 == 0 && uid != NULL && task->uid == NULL)
        return crn_err_nomem(reterr);
    return r < 0 ? r : r2;
}

static int fill_in(struct cairn_task *task, const struct crn_operator *stored, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    const cairn_task_options *o = &task->options;
    task->max_parallelism = o->max_parallelism != 0 ? o->max_parallelism
                            : stored != NULL        ? stored->info.max_parallelism
                                                    : crn_default_max_parallelism(o->parallelism);
    crn_key_group_range(o->subtask, o->parallelism, task->max_parallelism, &task->key_group_first,
                        &task->key_group_last);
    task->now_ms = job->options.now_ms;
    task->now_context = job->options.now_context;
    crn_random_bytes(task->runtime->generation, sizeof task->runtime->generation);
    return crn_operator_states_new(&task->operators, reterr);
}

static int copy_stored_states(struct cairn_task *task, const struct crn_operator *stored,
                              cairn_error **reterr)
{
    task->stored = calloc(stored->state_count + 1, sizeof *task->stored);
    if (task->stored == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < stored->state_count; i++) {
        if (crn_state_copy(&task->stored[i], &stored->states[i]) < 0)
            return crn_err_nomem(reterr);
        task->stored_count++;
    }
    return 0;
}

/* Operator state of all subtasks: union lists need every one. */
static int restore_operator_state(struct cairn_task *task, const struct crn_operator *stored,
                                  cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    struct cairn_buffer *blobs = calloc(stored->subtask_count, sizeof *blobs);
    int r = blobs == NULL ? crn_err_nomem(reterr) : 0;
    for (size_t s = 0; r == 0 && s < stored->subtask_count; s++) {
        const struct crn_subtask *subtask = &stored->subtasks[s];
        for (size_t f = 0; r == 0 && f < subtask->file_count; f++)
            if (subtask->files[f].info.role == CAIRN_FILE_OPERATOR_STATE)
                r = crn_fetch_bytes(job->source.store, job->source.name, &subtask->files[f],
                                    &job->downloads, &blobs[s], reterr);
    }
    if (r == 0)
        r = crn_operator_states_restore(task->operators, blobs, stored->subtask_count,
                                        task->options.subtask, task->options.parallelism, reterr);
    for (size_t s = 0; blobs != NULL && s < stored->subtask_count; s++)
        crn_buf_done(&blobs[s]);
    free(blobs);
    return r;
}

static struct crn_state_config database_config(const struct cairn_task *task)
{
    const struct cairn_job *job = task->job;
    return (struct crn_state_config){
        .memtable_bytes = task->options.memtable_bytes,
        .extra_options = task->options.rocksdb_options,
        .memory = job->memory,
        .log = job->log,
        .now_ms = task->now_ms,
        .now_context = task->now_context,
        .max_parallelism = task->max_parallelism,
        .key_group_first = task->key_group_first,
        .key_group_last = task->key_group_last,
    };
}

static int restore_database(struct cairn_task *task, const struct crn_operator *stored,
                            cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    struct crn_restored restored;
    const struct crn_restore_request request = {
        .store = job->source.store,
        .prefix = job->source.name,
        .op = stored,
        .backend = job->backend,
        .config = database_config(task),
        .key_group_first = task->key_group_first,
        .key_group_last = task->key_group_last,
        .directory = runtime->directory,
        .threads = job->options.transfer_threads,
        .downloads = &job->downloads,
    };
    uint64_t begin_us = crn_now_us();
    CRN_TRY(crn_restore_database(&request, &restored, reterr));
    task->db = restored.db;
    runtime->restored_files = restored.files;
    runtime->base = job->source.is_foreign ? NULL : restored.files;
    crn_log_write(&job->log, CAIRN_LOG_DEBUG, "restore",
                  "operator '%s' subtask %u: %s, %llu bytes read, %llu bytes of entries loaded, in "
                  "%llu ms, of which files took %llu",
                  task->uid, task->options.subtask,
                  restored.is_same ? "files as they were" : "key groups dealt out anew",
                  (unsigned long long)restored.bytes_read,
                  (unsigned long long)restored.bytes_loaded,
                  (unsigned long long)(crn_now_us() - begin_us) / 1000,
                  (unsigned long long)restored.fetch_us / 1000);
    return 0;
}

static int open_empty(struct cairn_task *task, cairn_error **reterr)
{
    CRN_AUTO_FREE char *directory = NULL;
    struct crn_state_config config = database_config(task);
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/db", task->runtime->directory));
    CRN_TRY(crn_file_make_dirs(directory, reterr));
    config.directory = directory;
    return task->job->backend->open(&config, &task->db, reterr);
}

/* The task is registered, and the job cannot start before it is open: what it restores from stays.
 */
static int restore_and_open(struct cairn_task *task, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    const struct crn_operator *stored = find_stored(job, task->uid);
    if (stored != NULL)
        CRN_TRY(check_stored(job, stored, &task->options, reterr));
    CRN_TRY(fill_in(task, stored, reterr));
    CRN_TRY(crn_str_printf(&runtime->directory, reterr, "%s/t%u", job->local_dir, task->ordinal));
    if (stored != NULL) {
        CRN_TRY(copy_stored_states(task, stored, reterr));
        CRN_TRY(restore_operator_state(task, stored, reterr));
        CRN_TRY(restore_database(task, stored, reterr));
    } else {
        CRN_TRY(open_empty(task, reterr));
    }
    crn_mutex_lock(&job->lock);
    atomic_store(&task->open, true);
    crn_cond_broadcast(&job->wake_waiters); /* the job may be waiting for it, to close */
    crn_mutex_unlock(&job->lock);
    return 0;
}

void crn_task_unref(struct cairn_task *task)
{
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    if (atomic_fetch_sub(&runtime->refs, 1) != 1)
        return;
    crn_participants_free(task);
    crn_gate_free(task->gate);
    crn_keyed_free_all(task);
    crn_operator_states_free(task->operators);
    for (size_t i = 0; i < task->stored_count; i++)
        crn_state_done(&task->stored[i]);
    free(task->stored);
    if (runtime->restored_files != NULL)
        crn_subtask_done(runtime->restored_files);
    free(runtime->restored_files);
    free((void *)(uintptr_t)task->options.name);
    free((void *)(uintptr_t)task->options.rocksdb_options);
    free(task->uid);
    crn_cond_done(&runtime->wake);
    cairn_error_free(runtime->stop_error);
    free(runtime->directory);
    crn_finish_free(runtime);
    free(runtime);
    free(task);
    crn_job_unref(job);
}

/* Operators in the order of opening, by name: a subtask whose operator has been opened joins it. */
static int make_uid_locked(const struct cairn_job *job, struct cairn_task *task,
                           cairn_error **reterr)
{
    size_t operators = 0;
    for (size_t i = 0; i < job->task_count; i++) {
        const struct cairn_task *other = job->tasks[i];
        if (other->has_made_uid && strcmp(other->options.name, task->options.name) == 0) {
            task->uid = crn_str_dup_n(other->uid, strlen(other->uid));
            return task->uid == NULL ? crn_err_nomem(reterr) : 0;
        }
        bool is_first = true;
        for (size_t k = 0; k < i && is_first; k++)
            is_first = strcmp(job->tasks[k]->uid, other->uid) != 0;
        operators += is_first;
    }
    CRN_TRY(crn_str_printf(&task->uid, reterr, "%s#%zu", task->options.name, operators + 1));
    if (!crn_text_is_name(task->uid))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s' has no uid, and its name is too long to make one of",
                            task->options.name);
    crn_log_write(&job->log, CAIRN_LOG_WARNING, "job",
                  "job '%s': operator '%s' has no uid and gets '%s': rename it, or open operators "
                  "in another order, and its state is not found again",
                  job->name, task->options.name, task->uid);
    return 0;
}

static int register_locked(struct cairn_job *job, struct cairn_task *task, cairn_error **reterr)
{
    if (job->closed || job->closing)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
    if (job->started)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' has started: open every task before cairn_job_start()",
                            job->name);
    if (task->uid == NULL)
        CRN_TRY(make_uid_locked(job, task, reterr));
    for (size_t i = 0; i < job->task_count; i++)
        if (strcmp(job->tasks[i]->uid, task->uid) == 0 &&
            job->tasks[i]->options.subtask == task->options.subtask)
            return crn_err_fail(reterr, CAIRN_EEXIST, NULL,
                                "subtask %u of operator '%s' is open already",
                                task->options.subtask, task->uid);
    struct cairn_task **tasks = realloc(job->tasks, (job->task_count + 1) * sizeof(*tasks));
    if (tasks == NULL)
        return crn_err_nomem(reterr);
    job->tasks = tasks;
    tasks[job->task_count++] = task;
    task->ordinal = job->next_ordinal++;
    return 0;
}

static bool is_registered_locked(const struct cairn_task *task)
{
    const struct cairn_job *job = task->job;
    for (size_t i = 0; i < job->task_count; i++)
        if (job->tasks[i] == task)
            return true;
    return false;
}

void crn_task_unregister_locked(struct cairn_task *task)
{
    struct cairn_job *job = task->job;
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; i < job->task_count; i++)
        if (job->tasks[i] == task) {
            memmove(&job->tasks[i], &job->tasks[i + 1],
                    (job->task_count - i - 1) * sizeof *job->tasks);
            job->task_count--;
            crn_cond_broadcast(&task->runtime->wake);
            crn_cond_broadcast(&job->wake_waiters);
            return;
        }
}

static struct cairn_task *new_task(struct cairn_job *job)
{
    struct cairn_task *task = calloc(1, sizeof *task);
    struct crn_task_runtime *runtime = calloc(1, sizeof *runtime);
    if (task == NULL || runtime == NULL) {
        free(task);
        free(runtime);
        return NULL;
    }
    task->job = job;
    task->runtime = runtime;
    crn_cond_init(&runtime->wake);
    atomic_init(&runtime->refs, 1);
    atomic_init(&runtime->pending, CRN_PENDING_NOT_STARTED);
    atomic_fetch_add(&job->refs, 1);
    return task;
}

/* Nobody else cancels a restore. */
static int fail_closed(const struct cairn_job *job, cairn_error **reterr)
{
    if (reterr != NULL)
        cairn_error_free(CRN_TAKE(*reterr));
    return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' was closed meanwhile", job->name);
}

int cairn_task_open(cairn_job *job, const char *uid, const cairn_task_options *options,
                    cairn_task **ret_task, cairn_error **reterr)
{
    cairn_task_options o;
    if (job == NULL || ret_task == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job or ret_task is NULL");
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_task_options", reterr));
    CRN_TRY(check_options(job, uid, &o, reterr));
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&job->meter);
    struct cairn_task *task = new_task(job);
    if (task == NULL)
        return crn_err_nomem(reterr);
    int r = take_options(task, uid, &o, reterr);
    if (r == 0) {
        crn_mutex_lock(&job->lock);
        r = register_locked(job, task, reterr);
        crn_mutex_unlock(&job->lock);
        if (r == 0) {
            r = restore_and_open(task, reterr);
            if (r == CAIRN_ECANCELED)
                r = fail_closed(job, reterr);
            if (r < 0)
                r = crn_job_blame_successor(job, r, reterr);
            if (r < 0)
                r = crn_import_blame_source(job, r, reterr);
            if (r < 0 && task->runtime->directory != NULL)
                (void)crn_file_remove_tree(task->runtime->directory, NULL); /* else the next open */
            if (r < 0) {
                crn_mutex_lock(&job->lock);
                crn_task_unregister_locked(task);
                crn_mutex_unlock(&job->lock);
            }
        }
    }
    if (r < 0) {
        crn_err_prefix(reterr, "job '%s', operator '%s' subtask %u", job->name,
                       uid != NULL ? uid : o.name, o.subtask);
        crn_task_unref(task);
        return r;
    }
    *ret_task = task;
    return 0;
}

void crn_task_shut(struct cairn_task *task)
{
    if (!atomic_exchange(&task->open, false))
        return;
    crn_keyed_detach(task);
    task->db->ops->close(task->db);
    task->db = NULL;
}

/* One that is whole goes on to its commit: to cancel it here would let go of what its record, which
 * may be on its way, references (P5). */
static void lose_task_locked(struct crn_attempt *attempt, const struct cairn_task *task)
{
    if (crn_attempt_is_whole_locked(attempt))
        return;
    if (!attempt->declined) {
        attempt->declined = true;
        if (attempt->error == NULL)
            (void)crn_err_fail(&attempt->error, CAIRN_EABORTED, NULL,
                               "operator '%s' subtask %u was closed", task->uid,
                               task->options.subtask);
    }
    atomic_store(&attempt->cancelled, true);
    crn_flight_withdraw_locked(attempt);
}

static bool is_any_running_locked(const struct cairn_job *job)
{
    for (size_t i = 0; i < job->attempt_count; i++)
        if (job->attempts[i]->running > 0)
            return true;
    return false;
}

/* No barrier, capture or upload of this task runs any more, nor will one begin. The attempts may go
 * on: that they were aborted has to be stored, and the store may be out for long. */
static void leave_attempts_locked(struct cairn_job *job, struct cairn_task *task)
{
    if (job->started && !job->closing && !job->task_lost) {
        job->task_lost = true;
        (void)crn_str_printf(&job->lost_task, NULL, "operator '%s' subtask %u", task->uid,
                             task->options.subtask); /* only words: may stay NULL */
    }
    for (size_t i = 0; i < job->attempt_count; i++)
        lose_task_locked(job->attempts[i], task);
    crn_cond_signal(&job->wake_driver);
    while (is_any_running_locked(job))
        crn_cond_wait(&job->wake_waiters, &job->lock);
}

void cairn_task_close(cairn_task *task)
{
    if (task == NULL)
        return;
    struct cairn_job *job = task->job;
    crn_participants_close(task);
    crn_mutex_lock(&job->lock);
    if (!job->closing)
        leave_attempts_locked(job, task);
    /* A job that is closing shuts its tasks itself, and must be through with this one. */
    while ((job->closing && is_registered_locked(task)) || task->runtime->visitors > 0)
        crn_cond_wait(&job->wake_waiters, &job->lock);
    crn_task_unregister_locked(task);
    crn_mutex_unlock(&job->lock);
    crn_task_shut(task);
    crn_task_unref(task);
}
