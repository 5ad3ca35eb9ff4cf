/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: open (fetch, verify, restore), shut, close.
 *
 * Local directories: <local_dir>/t<ordinal>/db holds the database, .../chk-<id> a capture while it
 * is uploaded. Files are linked out of the store where it can, so a restore on one file system
 * moves no bytes; RocksDB never writes into a table, so the store's objects are safe.
 *
 * States of a task: open -> shut (job closed, or task closed) -> freed. crn_task_shut() closes the
 * database; the handle stays for calls that come too late.
 *
 * Lock: job->lock for the job's list of tasks. Crash: local files only.
 */
#include "engine/job/job.h"

#include "base/file.h"
#include "base/text.h"
#include "engine/transfer/fetch.h"
#include "engine/states/keyed.h"
#include "engine/options.h"

#include <string.h>

static int check_options(struct cairn_job *job, const char *uid, cairn_task_options *o,
                         cairn_error **reterr)
{
    if (uid == NULL || !crn_text_is_name(uid))
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
    const cairn_operator_info *info = &stored->info;
    if (info->parallelism != o->parallelism)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                            "operator '%s' has parallelism %u in checkpoint %llu, opened with %u",
                            info->uid, info->parallelism, (unsigned long long)job->restored_id,
                            o->parallelism);
    if (o->max_parallelism != 0 && info->max_parallelism != o->max_parallelism)
        return crn_err_fail(
            reterr, CAIRN_EMISMATCH, NULL,
            "operator '%s' has max_parallelism %u in checkpoint %llu, opened with %u", info->uid,
            info->max_parallelism, (unsigned long long)job->restored_id, o->max_parallelism);
    if (info->key_type != o->key_type || info->namespace_type != o->namespace_type)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                            "operator '%s' has keys of type %s and namespaces of type %s in "
                            "checkpoint %llu, opened with %s and %s",
                            info->uid, crn_type_name(info->key_type),
                            crn_type_name(info->namespace_type),
                            (unsigned long long)job->restored_id, crn_type_name(o->key_type),
                            crn_type_name(o->namespace_type));
    const char *backend = stored->subtasks[o->subtask].info.backend;
    if (strcmp(backend, job->backend->file_kind) != 0)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                            "operator '%s' was stored by the state backend '%s' in checkpoint "
                            "%llu; this library has '%s'",
                            info->uid, backend, (unsigned long long)job->restored_id,
                            job->backend->name);
    return 0;
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
    task->uid = crn_str_dup_n(uid, strlen(uid));
    if (r == 0 && r2 == 0 && task->uid == NULL)
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
                r = crn_fetch_bytes(job->store, job->name, &subtask->files[f], &blobs[s], reterr);
    }
    if (r == 0)
        r = crn_operator_states_restore(task->operators, blobs, stored->subtask_count,
                                        task->options.subtask, task->options.parallelism, reterr);
    for (size_t s = 0; blobs != NULL && s < stored->subtask_count; s++)
        crn_buf_done(&blobs[s]);
    free(blobs);
    return r;
}

static int fetch_database(struct cairn_task *task, const struct crn_subtask *subtask,
                          const char *directory, bool *ret_restored, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    CRN_AUTO_FREE const struct crn_file **files = calloc(subtask->file_count + 1, sizeof *files);
    if (files == NULL)
        return crn_err_nomem(reterr);
    size_t count = 0;
    for (size_t f = 0; f < subtask->file_count; f++)
        if (subtask->files[f].info.role != CAIRN_FILE_OPERATOR_STATE)
            files[count++] = &subtask->files[f];
    struct crn_fetch_request request = {
        .store = job->store,
        .job = job->name,
        .files = files,
        .count = count,
        .directory = directory,
        .link = true,
        .threads = job->options.transfer_threads,
    };
    uint64_t bytes;
    *ret_restored = count > 0;
    return crn_fetch(&request, &bytes, reterr);
}

static int open_database(struct cairn_task *task, const char *directory, bool restored,
                         cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    CRN_AUTO_FREE cairn_state_info *keyed = calloc(task->stored_count + 1, sizeof *keyed);
    if (keyed == NULL)
        return crn_err_nomem(reterr);
    size_t count = 0;
    for (size_t i = 0; i < task->stored_count; i++)
        if (task->stored[i].kind < CAIRN_KIND_OPERATOR_LIST)
            keyed[count++] = task->stored[i];
    struct crn_state_config config = {
        .directory = directory,
        .restored = restored,
        .memtable_bytes = task->options.memtable_bytes,
        .extra_options = task->options.rocksdb_options,
        .memory = job->memory,
        .log = job->log,
        .now_ms = task->now_ms,
        .now_context = task->now_context,
        .states = keyed,
        .state_count = count,
    };
    return job->backend->open(&config, &task->db, reterr);
}

/* The task is registered, and the job cannot start before it is open: what it restores from stays.
 */
static int restore_and_open(struct cairn_task *task, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    const struct crn_operator *stored = find_stored(job, task->uid);
    CRN_AUTO_FREE char *directory = NULL;
    bool restored = false;
    if (stored != NULL)
        CRN_TRY(check_stored(job, stored, &task->options, reterr));
    CRN_TRY(fill_in(task, stored, reterr));
    CRN_TRY(crn_str_printf(&runtime->directory, reterr, "%s/t%u", job->local_dir, task->ordinal));
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/db", runtime->directory));
    CRN_TRY(crn_file_make_dirs(directory, reterr));
    if (stored != NULL) {
        const struct crn_subtask *subtask = &stored->subtasks[task->options.subtask];
        CRN_TRY(copy_stored_states(task, stored, reterr));
        CRN_TRY(restore_operator_state(task, stored, reterr));
        CRN_TRY(fetch_database(task, subtask, directory, &restored, reterr));
        runtime->base = subtask;
    }
    CRN_TRY(open_database(task, directory, restored, reterr));
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
    crn_keyed_free_all(task);
    crn_operator_states_free(task->operators);
    for (size_t i = 0; i < task->stored_count; i++)
        free((void *)(uintptr_t)task->stored[i].name);
    free(task->stored);
    free((void *)(uintptr_t)task->options.name);
    free((void *)(uintptr_t)task->options.rocksdb_options);
    free(task->uid);
    crn_cond_done(&runtime->wake);
    cairn_error_free(runtime->stop_error);
    free(runtime->directory);
    free(runtime);
    free(task);
    crn_job_unref(job);
}

static int register_locked(struct cairn_job *job, struct cairn_task *task, const char *uid,
                           cairn_error **reterr)
{
    if (job->closed || job->closing)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name);
    if (job->started)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' has started: open every task before cairn_job_start()",
                            job->name);
    for (size_t i = 0; i < job->task_count; i++)
        if (strcmp(job->tasks[i]->uid, uid) == 0 &&
            job->tasks[i]->options.subtask == task->options.subtask)
            return crn_err_fail(reterr, CAIRN_EEXIST, NULL,
                                "subtask %u of operator '%s' is open already",
                                task->options.subtask, uid);
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

int cairn_task_open(cairn_job *job, const char *uid, const cairn_task_options *options,
                    cairn_task **ret_task, cairn_error **reterr)
{
    cairn_task_options o;
    if (job == NULL || ret_task == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job or ret_task is NULL");
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_task_options", reterr));
    CRN_TRY(check_options(job, uid, &o, reterr));
    struct cairn_task *task = new_task(job);
    if (task == NULL)
        return crn_err_nomem(reterr);
    int r = take_options(task, uid, &o, reterr);
    if (r == 0) {
        crn_mutex_lock(&job->lock);
        r = register_locked(job, task, uid, reterr);
        crn_mutex_unlock(&job->lock);
        if (r == 0) {
            r = restore_and_open(task, reterr);
            if (r < 0)
                r = crn_job_blame_successor(job, r, reterr);
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
        crn_err_prefix(reterr, "job '%s', operator '%s' subtask %u", job->name, uid, o.subtask);
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

/* No barrier, capture or upload of this task runs any more, nor will one begin. The attempt may go
 * on: that it was aborted has to be stored, and the store may be out for long. */
static void leave_attempt_locked(struct cairn_job *job, struct cairn_task *task)
{
    if (job->started && !job->closing && !job->task_lost) {
        job->task_lost = true;
        (void)crn_str_printf(&job->lost_task, NULL, "operator '%s' subtask %u", task->uid,
                             task->options.subtask); /* only words: may stay NULL */
    }
    struct crn_attempt *attempt = job->attempt;
    if (attempt == NULL)
        return;
    atomic_store(&attempt->cancelled, true);
    if (!attempt->declined) {
        attempt->declined = true;
        if (attempt->error == NULL)
            (void)crn_err_fail(&attempt->error, CAIRN_EABORTED, NULL,
                               "operator '%s' subtask %u was closed", task->uid,
                               task->options.subtask);
    }
    task->runtime->requested = NULL;
    crn_cond_signal(&job->wake_driver);
    while (job->attempt == attempt && attempt->running > 0)
        crn_cond_wait(&job->wake_waiters, &job->lock);
}

void cairn_task_close(cairn_task *task)
{
    if (task == NULL)
        return;
    struct cairn_job *job = task->job;
    crn_mutex_lock(&job->lock);
    if (!job->closing)
        leave_attempt_locked(job, task);
    /* A job that is closing shuts its tasks itself, and must be through with this one. */
    while (job->closing && is_registered_locked(task))
        crn_cond_wait(&job->wake_waiters, &job->lock);
    crn_task_unregister_locked(task);
    crn_mutex_unlock(&job->lock);
    crn_task_shut(task);
    crn_task_unref(task);
}
