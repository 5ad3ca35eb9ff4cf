/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a running job for a savepoint, and following it.
 *
 * A handle is shared by who asked and by the job, and outlives either. It goes into the job's queue
 * and leaves it when the driver begins it; from then on the attempt holds it (run.c). It ends
 * exactly once, when nothing of the job uses the target any more: a store that the caller has lent
 * may be closed then.
 *
 * Locks: job->lock for the queue, handle->lock for the outcome; the second may be taken under the
 * first. Progress is counted in atomics.
 */
#include "engine/savepoint/savepoint.h"

#include "engine/job/ending.h"
#include "engine/cluster/leader.h"
#include "engine/options.h"

#include <stdio.h>
#include <string.h>

struct cairn_savepoint_handle *crn_savepoint_handle_new(void)
{
    struct cairn_savepoint_handle *handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        return NULL;
    atomic_init(&handle->refs, 1);
    crn_mutex_init(&handle->lock, CRN_RANK_LEAF);
    crn_cond_init(&handle->changed);
    handle->info.struct_size = sizeof handle->info;
    return handle;
}

void crn_savepoint_unref(struct cairn_savepoint_handle *handle)
{
    if (handle == NULL || atomic_fetch_sub(&handle->refs, 1) != 1)
        return;
    crn_savepoint_target_close(&handle->target);
    cairn_error_free(handle->error);
    crn_cond_done(&handle->changed);
    crn_mutex_done(&handle->lock);
    free(handle);
}

static void cleanup_handle(struct cairn_savepoint_handle **handle)
{
    crn_savepoint_unref(*handle);
}

static int new_handle(struct cairn_job *job, const cairn_savepoint_options *o,
                      struct cairn_savepoint_handle **ret, cairn_error **reterr)
{
    if (o->format != CAIRN_CANONICAL && o->format != CAIRN_NATIVE)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "there is no savepoint format %d",
                            (int)o->format);
    if (o->drain && !o->stop)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': drain needs stop: only a job that ends sends on what it is "
                            "still gathering",
                            job->name);
    struct cairn_savepoint_handle *handle = crn_savepoint_handle_new();
    if (handle == NULL)
        return crn_err_nomem(reterr);
    bool is_canonical = strcmp(job->backend->file_kind, CRN_FILE_KIND_CANONICAL) == 0;
    handle->format = is_canonical ? CAIRN_CANONICAL : o->format;
    handle->link_previous = o->link_previous != 0 && handle->format == CAIRN_NATIVE;
    handle->stop = o->stop != 0;
    handle->drain = o->drain != 0;
    handle->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : job->options.checkpoint_timeout_ms;
    handle->info.format = handle->format;
    int r = crn_savepoint_target_open(job, o, &handle->target, reterr);
    if (r == 0 && job->leader != NULL && handle->target.root == NULL && !handle->target.is_beside)
        r = crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                         "job '%s': its workers cannot open a store that was lent to this process: "
                         "name the savepoint's target by a URI",
                         job->name);
    if (r < 0)
        crn_savepoint_unref(handle);
    else
        *ret = handle;
    return r;
}

static void enqueue_locked(struct cairn_job *job, struct cairn_savepoint_handle *handle)
{
    struct cairn_savepoint_handle **end = &job->savepoints;
    while (*end != NULL)
        end = &(*end)->next;
    *end = handle;
    atomic_fetch_add(&handle->refs, 1);
    if (handle->stop)
        crn_ending_stop_asked_locked(job);
    crn_cond_signal(&job->wake_driver);
}

int crn_savepoint_request(struct cairn_job *job, const cairn_savepoint_options *options,
                          struct cairn_savepoint_handle **ret, cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_handle) struct cairn_savepoint_handle *handle = NULL;
    cairn_savepoint_options o;
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_savepoint_options", reterr));
    crn_mutex_lock(&job->lock);
    int r = crn_job_check_orders_locked(job, reterr);
    if (r == 0) {
        job->visitors++; /* closing waits: the job's store is looked at */
        crn_mutex_unlock(&job->lock);
        r = new_handle(job, &o, &handle, reterr);
        crn_mutex_lock(&job->lock);
        if (r == 0)
            r = crn_job_check_running_locked(job, reterr);
        if (r == 0)
            enqueue_locked(job, handle);
        job->visitors--;
        crn_cond_broadcast(&job->wake_waiters);
    }
    crn_mutex_unlock(&job->lock);
    if (r == 0)
        *ret = CRN_TAKE(handle);
    return r;
}

void crn_savepoint_begun(struct cairn_savepoint_handle *handle, uint64_t id, const char *location,
                         uint64_t started_us)
{
    crn_mutex_lock(&handle->lock);
    handle->started_us = started_us;
    handle->info.phase = CAIRN_SAVEPOINT_WRITING;
    handle->info.id = id;
    (void)snprintf(handle->info.location, sizeof handle->info.location, "%s", location);
    crn_mutex_unlock(&handle->lock);
}

static void take_sizes(cairn_savepoint_info *to, const cairn_savepoint_info *from)
{
    to->full_bytes = from->full_bytes;
    to->linked_bytes = from->linked_bytes;
    to->file_count = from->file_count;
    to->duration_us = from->duration_us;
    to->barrier_max_us = from->barrier_max_us;
}

void crn_savepoint_end(struct cairn_savepoint_handle *handle, int code, const cairn_error *error,
                       const cairn_savepoint_info *info)
{
    crn_mutex_lock(&handle->lock);
    if (handle->target.owns_store) {
        cairn_store *store = CRN_TAKE(handle->target.store);
        handle->target.owns_store = false;
        crn_mutex_unlock(&handle->lock);
        cairn_store_close(store);
        crn_mutex_lock(&handle->lock);
    }
    cairn_error_free(CRN_TAKE(handle->error)); /* that it was overdue */
    handle->over = true;
    handle->code = code;
    if (code < 0)
        handle->error = crn_err_copy(error);
    handle->info.phase = code < 0 ? CAIRN_SAVEPOINT_FAILED : CAIRN_SAVEPOINT_COMPLETE;
    if (info != NULL)
        take_sizes(&handle->info, info);
    else if (handle->started_us != 0)
        handle->info.duration_us = crn_now_us() - handle->started_us;
    crn_cond_broadcast(&handle->changed);
    crn_mutex_unlock(&handle->lock);
}

void crn_savepoint_note_overdue(struct cairn_savepoint_handle *handle, int code,
                                const cairn_error *error)
{
    crn_mutex_lock(&handle->lock);
    if (!handle->over && !handle->overdue) {
        handle->overdue = true;
        handle->code = code;
        handle->error = crn_err_copy(error);
        crn_cond_broadcast(&handle->changed);
    }
    crn_mutex_unlock(&handle->lock);
}

/* Who waits in a call of its own hears of a store that does not let the log be written, and may
 * leave; not with a store of the caller's still in use. */
static bool is_settled_locked(const struct cairn_savepoint_handle *handle)
{
    return handle->over || (handle->overdue && !handle->target.is_lent);
}

bool crn_savepoint_is_settled(struct cairn_savepoint_handle *handle)
{
    crn_mutex_lock(&handle->lock);
    bool is_settled = is_settled_locked(handle);
    crn_mutex_unlock(&handle->lock);
    return is_settled;
}

static void look(struct cairn_savepoint_handle *handle, cairn_savepoint_info *ret)
{
    *ret = handle->info;
    ret->done_bytes = atomic_load(&handle->done_bytes);
    ret->total_bytes = atomic_load(&handle->total_bytes);
    bool is_short = ret->total_bytes > 0 && ret->total_bytes < ret->done_bytes;
    if (is_short || ret->phase == CAIRN_SAVEPOINT_COMPLETE)
        ret->total_bytes = ret->done_bytes;
    if (ret->phase == CAIRN_SAVEPOINT_WRITING)
        ret->duration_us = crn_now_us() - handle->started_us;
}

int crn_savepoint_outcome(struct cairn_savepoint_handle *handle, cairn_savepoint_info *ret_info,
                          cairn_error **reterr)
{
    cairn_savepoint_info info;
    crn_mutex_lock(&handle->lock);
    int code = handle->code;
    cairn_error *error = code < 0 ? crn_err_copy(handle->error) : NULL;
    look(handle, &info);
    crn_mutex_unlock(&handle->lock);
    if (code < 0)
        return crn_err_move(reterr, &error, code);
    return ret_info == NULL
               ? 0
               : crn_options_out(ret_info, &info, sizeof info, "cairn_savepoint_info", reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * The public calls
 * ------------------------------------------------------------------------------------------ */

int cairn_savepoint_begin(cairn_job *job, const cairn_savepoint_options *options,
                          cairn_savepoint_handle **ret_handle, cairn_error **reterr)
{
    if (job == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job is NULL");
    struct cairn_savepoint_handle *handle = NULL;
    CRN_TRY(crn_savepoint_request(job, options, &handle, reterr));
    if (ret_handle != NULL)
        *ret_handle = handle;
    else
        crn_savepoint_unref(handle);
    return 0;
}

int cairn_savepoint_status(cairn_savepoint_handle *handle, cairn_savepoint_info *ret_info,
                           cairn_error **reterr)
{
    if (handle == NULL || ret_info == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "handle or ret_info is NULL");
    cairn_savepoint_info info;
    crn_mutex_lock(&handle->lock);
    look(handle, &info);
    crn_mutex_unlock(&handle->lock);
    return crn_options_out(ret_info, &info, sizeof info, "cairn_savepoint_info", reterr);
}

int cairn_savepoint_wait(cairn_savepoint_handle *handle, uint64_t timeout_ms,
                         cairn_savepoint_info *ret_info, cairn_error **reterr)
{
    if (handle == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "handle is NULL");
    uint64_t deadline_us = crn_now_us();
    deadline_us = timeout_ms > (UINT64_MAX - deadline_us) / 1000 ? UINT64_MAX
                                                                 : deadline_us + timeout_ms * 1000;
    crn_mutex_lock(&handle->lock);
    bool in_time = true;
    while (!handle->over && in_time)
        if (deadline_us == UINT64_MAX)
            crn_cond_wait(&handle->changed, &handle->lock);
        else
            in_time = crn_cond_wait_until(&handle->changed, &handle->lock, deadline_us);
    bool over = handle->over;
    crn_mutex_unlock(&handle->lock);
    return over ? crn_savepoint_outcome(handle, ret_info, reterr)
                : crn_err_fail(reterr, CAIRN_ETIMEOUT, NULL,
                               "the savepoint goes on: it has not ended within %llu ms",
                               (unsigned long long)timeout_ms);
}

void cairn_savepoint_close(cairn_savepoint_handle *handle)
{
    crn_savepoint_unref(handle);
}

int cairn_savepoint(cairn_job *job, const cairn_savepoint_options *options,
                    cairn_savepoint_info *ret_info, cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_handle) struct cairn_savepoint_handle *handle = NULL;
    CRN_TRY(cairn_savepoint_begin(job, options, &handle, reterr));
    crn_mutex_lock(&handle->lock);
    while (!is_settled_locked(handle))
        crn_cond_wait(&handle->changed, &handle->lock);
    crn_mutex_unlock(&handle->lock);
    return crn_savepoint_outcome(handle, ret_info, reterr);
}
