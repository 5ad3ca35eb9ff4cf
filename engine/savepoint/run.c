/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One savepoint from its turn to its end, as the driver sees it. The objects are attempt.c's and
 * dump.c's.
 *
 * Order (P1): intent durable in the job -> objects -> flush -> manifest in the directory -> pointer
 * record in the job's log. Then the intent goes. If the id comes to be anything else (aborted,
 * another writer's), the savepoint is withdrawn: manifest, then objects, then the intent. So a
 * crash at any point leaves a whole savepoint, or an intent that leads to what is left (P6).
 *
 * What is not known is not guessed. A pointer that may stand is tried again like a checkpoint's
 * record, and nothing is withdrawn meanwhile. A manifest that may stand in the target is tried
 * again until the deadline; after it the id is aborted, which harms nobody, but the objects are
 * left to the intent: a late manifest must find them.
 *
 * A writer that was overtaken looks at the log before it writes the manifest: whoever took over may
 * be removing its objects already.
 *
 * Driver thread, without locks.
 */
#include "engine/savepoint/savepoint.h"

#include "backends/storage/storage.h"
#include "engine/job/ending.h"
#include "engine/savepoint/directory.h"

#include <string.h>

#define WITHDRAW_TRIES 3

/* ------------------------------------------------------------------------------------------ *
 * Beginning
 * ------------------------------------------------------------------------------------------ */

void crn_savepoint_run_free(struct crn_savepoint_run *run)
{
    if (run == NULL)
        return;
    crn_savepoint_unref(run->handle);
    crn_record_free(run->previous.record);
    free(run->previous.name);
    crn_record_free(run->record);
    free(run->name);
    free(run->location);
    free(run->intent);
    free(run);
}

/* A store without a name cannot be found again after a crash, so that an intent would say nothing.
 */
static int put_intent(struct cairn_job *job, const struct crn_savepoint_target *target,
                      struct crn_savepoint_run *run, uint64_t id, cairn_error **reterr)
{
    if (target->root == NULL && !target->is_beside)
        return 0;
    uint64_t number = atomic_fetch_add(&job->next_object, 1);
    int r = crn_intent_put(job->store, job->name, job->epoch, id, number,
                           target->is_beside ? "" : target->root, run->name, &run->intent, reterr);
    if (r == CAIRN_EUNKNOWN)
        job->gc_wanted = true;
    return r;
}

static int find_place(struct cairn_job *job, struct crn_savepoint_run *run, uint64_t id,
                      cairn_error **reterr)
{
    const struct crn_savepoint_target *target = &run->handle->target;
    CRN_TRY(crn_savepoint_free_name(target->store, job->name, id, &run->name, reterr));
    CRN_TRY(crn_savepoint_location(target, run->name, &run->location, reterr));
    CRN_TRY(put_intent(job, target, run, id, reterr));
    if (run->handle->link_previous)
        crn_savepoint_find_previous(target->store, job, id, &run->previous);
    return 0;
}

int crn_savepoint_prepare(struct cairn_job *job, struct cairn_savepoint_handle *handle, uint64_t id,
                          struct crn_savepoint_run **ret, cairn_error **reterr)
{
    *ret = calloc(1, sizeof **ret);
    if (*ret == NULL)
        return crn_err_nomem(reterr);
    (*ret)->handle = handle;
    return find_place(job, *ret, id, reterr);
}

struct cairn_savepoint_handle *crn_savepoint_next(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    struct cairn_savepoint_handle *handle = job->savepoints;
    if (handle != NULL) {
        job->savepoints = handle->next;
        handle->next = NULL;
    }
    crn_mutex_unlock(&job->lock);
    return handle;
}

void crn_savepoint_barrier_taken(struct crn_attempt *attempt)
{
    struct crn_savepoint_run *run = attempt->savepoint;
    if (atomic_fetch_sub(&run->barriers_left, 1) == 1)
        crn_savepoint_begun(run->handle, attempt->id, run->location, attempt->started_us);
}

/* ------------------------------------------------------------------------------------------ *
 * Committing
 * ------------------------------------------------------------------------------------------ */

/* Two records of one savepoint: one is all of it, the other says where it is. */
static int build_records(struct crn_attempt *attempt, cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    struct crn_savepoint_run *run = attempt->savepoint;
    CRN_AUTO_RECORD struct crn_record *pointer = NULL;
    CRN_AUTO_RECORD struct crn_record *whole = NULL;
    CRN_TRY(crn_publish_new_record(job, attempt->id, CAIRN_RECORD_SAVEPOINT, &pointer, reterr));
    CRN_TRY(crn_publish_new_head(job, attempt->id, CAIRN_RECORD_SAVEPOINT, &whole, reterr));
    memcpy(pointer->info.uuid, whole->info.uuid, sizeof pointer->info.uuid);
    whole->info.trigger_time_ms = pointer->info.trigger_time_ms = attempt->trigger_time_ms;
    whole->info.duration_us = pointer->info.duration_us = crn_now_us() - attempt->started_us;
    whole->info.format = pointer->info.format = run->handle->format;
    whole->info.is_stop = pointer->info.is_stop = run->handle->stop;
    CRN_TRY(crn_publish_merge_parts(whole, attempt, reterr));
    if (crn_record_set_text(&pointer->info.location, run->location) < 0)
        return crn_err_nomem(reterr);
    crn_publish_note_cost(attempt, &whole->info);
    crn_publish_note_cost(attempt, &pointer->info);
    crn_record_finish(whole);
    crn_record_finish(pointer);
    CRN_TRY(crn_record_validate(whole, reterr));
    run->record = CRN_TAKE(whole);
    attempt->record = CRN_TAKE(pointer);
    return 0;
}

/* Has somebody resolved this id? Then the log is to be asked who, and no manifest is written. */
static bool is_overtaken(const struct crn_attempt *attempt)
{
    const struct cairn_job *job = attempt->job;
    char manifest[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    cairn_object_stat stat;
    crn_key_manifest(manifest, attempt->id);
    return crn_joblog_key(job->name, manifest, &key, NULL) == 0 &&
           job->store->ops->stat(job->store, key, &stat, NULL) == 0;
}

enum crn_event_kind crn_savepoint_write_manifest(struct crn_attempt *attempt, cairn_error **reterr)
{
    struct crn_savepoint_run *run = attempt->savepoint;
    if (run->manifest == CRN_MANIFEST_STANDS)
        return CRN_EVENT_COMMIT_OK;
    if (run->record == NULL && build_records(attempt, reterr) < 0)
        return CRN_EVENT_COMMIT_FAILED;
    if (is_overtaken(attempt))
        return CRN_EVENT_COMMIT_OK;
    int r = crn_savepoint_publish(attempt->store, attempt->prefix, run->record, reterr);
    if (r == 0)
        run->manifest = CRN_MANIFEST_STANDS;
    else if (r == CAIRN_EEXIST)
        run->manifest = CRN_MANIFEST_ANOTHERS;
    else if (r == CAIRN_EUNKNOWN)
        run->manifest = CRN_MANIFEST_MAY_APPEAR;
    else if (run->manifest == CRN_MANIFEST_NONE)
        run->manifest = CRN_MANIFEST_REFUSED;
    if (r == CAIRN_EUNKNOWN && crn_now_us() < attempt->deadline_us)
        return CRN_EVENT_COMMIT_UNKNOWN;
    return r < 0 ? CRN_EVENT_COMMIT_FAILED : CRN_EVENT_COMMIT_OK;
}

/* ------------------------------------------------------------------------------------------ *
 * Ending
 * ------------------------------------------------------------------------------------------ */

/* Who waits in a task's thread. */
static void wake_tasks(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < job->task_count; i++)
        crn_cond_broadcast(&job->tasks[i]->runtime->wake);
    crn_mutex_unlock(&job->lock);
}

/* Who hears of it finds the job running on. */
static void end_failed(struct cairn_job *job, struct cairn_savepoint_handle *handle, int code,
                       const cairn_error *error)
{
    if (handle->stop)
        crn_ending_stop_failed(job);
    crn_savepoint_end(handle, code, error, NULL);
    wake_tasks(job);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys of uploads that were tried again under another name: nothing references them. */
void crn_savepoint_remove_superseded(struct crn_attempt *attempt, const struct crn_record *record)
{
    CRN_AUTO_FREE const char **live = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    size_t live_count = 0, dead = 0;
    if (crn_log_live_objects(&record, 1, &live, &live_count) < 0 ||
        live_count == attempt->uploaded_count)
        return;
    for (size_t i = 0; i < attempt->uploaded_count; i++) {
        char *key = attempt->uploaded[i];
        if (bsearch(&key, live, live_count, sizeof *live, compare_keys) != NULL)
            continue;
        attempt->uploaded[i] = attempt->uploaded[dead];
        attempt->uploaded[dead++] = key;
    }
    if (crn_savepoint_withdraw(attempt->store, attempt->prefix, 0, attempt->uploaded, dead,
                               &error) < 0)
        crn_log_write(&attempt->job->log, CAIRN_LOG_WARNING, "savepoint",
                      "up to %zu objects of no use are left in savepoint '%s': %s", dead,
                      attempt->savepoint->location, cairn_error_message(error));
}

/* The id is resolved, and what the intent led to is whole or gone. */
static void drop_intent(struct crn_attempt *attempt)
{
    if (attempt->savepoint->intent != NULL)
        crn_garbage_add(attempt->job, attempt->savepoint->intent);
    crn_garbage_remove(attempt->job);
}

void crn_savepoint_complete(struct crn_attempt *attempt)
{
    const struct crn_savepoint_run *run = attempt->savepoint;
    const cairn_record_info *record = &run->record->info;
    cairn_savepoint_info info = {
        .full_bytes = record->full_bytes,
        .linked_bytes = atomic_load(&run->linked_bytes),
        .file_count = record->file_count,
        .duration_us = crn_now_us() - attempt->started_us,
        .barrier_max_us = record->barrier_max_us,
    };
    crn_savepoint_remove_superseded(attempt, run->record);
    drop_intent(attempt);
    crn_savepoint_end(run->handle, 0, NULL, &info);
    wake_tasks(attempt->job);
}

/* A few tries: a directory that is left is no savepoint, but it takes its space. */
static int withdraw(struct crn_attempt *attempt, cairn_error **reterr)
{
    const struct crn_savepoint_run *run = attempt->savepoint;
    bool may_be_ours =
        run->manifest == CRN_MANIFEST_STANDS || run->manifest == CRN_MANIFEST_REFUSED;
    uint64_t id = may_be_ours ? attempt->id : 0;
    if (run->manifest == CRN_MANIFEST_MAY_APPEAR)
        return crn_err_fail(reterr, CAIRN_EUNKNOWN, run->location,
                            "whether its manifest was written is not known");
    for (int tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = crn_savepoint_withdraw(attempt->store, attempt->prefix, id, attempt->uploaded,
                                       attempt->uploaded_count, &error);
        if (r == 0 || tries == WITHDRAW_TRIES || cairn_error_class_of(r) != CAIRN_CLASS_RETRY)
            return r == 0 ? 0 : crn_err_move(reterr, &error, r);
        crn_sleep_us(10000u << tries);
    }
}

int crn_savepoint_make_room(struct crn_attempt *attempt)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = withdraw(attempt, &error);
    if (r < 0) {
        attempt->job->gc_wanted |= attempt->savepoint->intent != NULL;
        crn_log_write(&attempt->job->log, CAIRN_LOG_WARNING, "savepoint",
                      "what was written to '%s' is not removed yet: %s",
                      attempt->savepoint->location, cairn_error_message(error));
        return r;
    }
    for (size_t i = 0; i < attempt->uploaded_count; i++)
        free(attempt->uploaded[i]);
    attempt->uploaded_count = 0;
    return 0;
}

/* Codes of their own for what the caller can mend; the rest is an abort like any other. */
static int code_of(const cairn_error *error)
{
    int code = cairn_error_code(error);
    bool is_telling = cairn_error_class_of(code) == CAIRN_CLASS_LOCAL || code == CAIRN_EEXIST ||
                      code == CAIRN_ECLOSED || code == CAIRN_EFENCED;
    return is_telling ? code : CAIRN_EABORTED;
}

/* What this machine or the target refused is told with the place and the system's errno: the
 * object's key alone is nothing that a person could look at. */
static void describe_failure(const struct cairn_job *job,
                             const struct cairn_savepoint_handle *handle, uint64_t id,
                             const cairn_error *why, cairn_error **ret)
{
    const int code = code_of(why);
    const char *root = cairn_error_class_of(code) == CAIRN_CLASS_LOCAL ? handle->target.root : NULL;
    CRN_AUTO_FREE char *message = NULL;
    if (crn_str_printf(&message, ret, "savepoint %llu of job '%s' was aborted: %s%s%s%s",
                       (unsigned long long)id, job->name,
                       why != NULL ? cairn_error_message(why) : "the job was closed",
                       root != NULL ? "; its target is '" : "", root != NULL ? root : "",
                       root != NULL ? "'" : "") == 0)
        (void)cairn_error_set(ret, code, root != NULL ? root : cairn_error_object(why),
                              cairn_error_errno(why), message);
}

void crn_savepoint_fail(struct cairn_job *job, struct cairn_savepoint_handle *handle, uint64_t id,
                        const cairn_error *why)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    describe_failure(job, handle, id, why, &error);
    end_failed(job, handle, cairn_error_code(error), error);
}

void crn_savepoint_give_up(struct cairn_job *job, struct cairn_savepoint_handle *handle,
                           struct crn_savepoint_run *run, uint64_t id, const cairn_error *why)
{
    /* Nothing was put under it. */
    if (run != NULL && run->intent != NULL) {
        crn_garbage_add(job, run->intent);
        crn_garbage_remove(job);
    }
    crn_savepoint_fail(job, handle, id, why);
    if (run != NULL)
        crn_savepoint_run_free(run); /* with the handle */
    else
        crn_savepoint_unref(handle);
}

void crn_savepoint_fail_waiting(struct cairn_job *job, const cairn_error *why)
{
    for (;;) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        struct cairn_savepoint_handle *handle = crn_savepoint_next(job);
        if (handle == NULL)
            return;
        (void)crn_err_fail(&error, code_of(why), cairn_error_object(why),
                           "the savepoint did not begin: %s", cairn_error_message(why));
        end_failed(job, handle, cairn_error_code(error), error);
        crn_savepoint_unref(handle);
    }
}

void crn_savepoint_tell_overdue(struct cairn_job *job, int code, const cairn_error *error)
{
    crn_mutex_lock(&job->lock);
    for (struct cairn_savepoint_handle *h = job->savepoints; h != NULL; h = h->next)
        crn_savepoint_note_overdue(h, code, error);
    for (size_t i = 0; i < job->attempt_count; i++)
        if (job->attempts[i]->savepoint != NULL)
            crn_savepoint_note_overdue(job->attempts[i]->savepoint->handle, code, error);
    crn_mutex_unlock(&job->lock);
    wake_tasks(job);
}

/* The job is closed while the store does not tell whether the log has the pointer. */
static void fail_in_doubt(struct crn_attempt *attempt)
{
    const struct crn_savepoint_run *run = attempt->savepoint;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_EUNKNOWN, run->location,
                       "savepoint %llu of job '%s' is whole in '%s', but the job was closed before "
                       "it was known whether its log tells of it: %s",
                       (unsigned long long)attempt->id, attempt->job->name, run->location,
                       cairn_error_message(attempt->log_error));
    end_failed(attempt->job, run->handle, CAIRN_EUNKNOWN, error);
}

/* What workers have put there, they remove, if they live to do it: so the next collection looks,
 * too. */
static void keep_intent(struct crn_attempt *attempt)
{
    attempt->job->gc_wanted |= attempt->savepoint->intent != NULL;
}

void crn_savepoint_discard(struct crn_attempt *attempt, bool is_resolved)
{
    const bool is_gone = !attempt->in_doubt && crn_savepoint_make_room(attempt) == 0;
    /* What a server carries out after we gave up is found by a collection later on, if it is told
     * where: the intent stays until then. */
    const bool may_come_late = atomic_load(&attempt->may_come_late);
    if (is_gone && is_resolved && attempt->remote_count == 0 && !may_come_late)
        drop_intent(attempt);
    else if (attempt->remote_count > 0)
        keep_intent(attempt);
    if (attempt->in_doubt && !attempt->job->fenced) {
        fail_in_doubt(attempt);
        return;
    }
    crn_savepoint_fail(attempt->job, attempt->savepoint->handle, attempt->id, attempt->error);
}
