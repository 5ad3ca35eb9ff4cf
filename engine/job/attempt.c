/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt at a checkpoint or a savepoint: what happens in the background between a task's
 * barrier and its acknowledgement.
 *
 * Capture: files of the database as of the barrier are hard-linked into <task's dir>/chk-<id> (P2:
 * proven by the state backend), and the writer is released. Diff: files that the base already
 * stores are referenced, the rest is new (P4; origin.c). Upload: one pool job per new file or group
 * of small ones (packs.c), largest first; the smallest are inlined. Acknowledgement: when the last
 * upload of the task has ended. A canonical savepoint has no capture: the files are planned
 * (dump.c), and each is written by the pool job that uploads it. Several attempts may be at it at a
 * time, but one capture per database.
 *
 * attempt->running counts barriers, captures and uploads that have not ended; the driver deletes
 * what was uploaded only when it is zero (P5). A part is written by one thread at a time: the
 * task's at the barrier, then the capture's; uploads write to files of their own. The staging
 * directory goes when the part's last upload has ended; a crash leaves it to the next open (P6).
 */
#include "engine/job/job.h"

#include "base/file.h"
#include "engine/cluster/leader.h"
#include "engine/gate/gate.h"
#include "engine/job/outgoing.h"
#include "engine/savepoint/savepoint.h"

#include <stdio.h>
#include <string.h>

/* A record of its own for what the part will contribute: one operator with one subtask. */
static int draft_part(struct crn_part *part)
{
    part->draft = crn_record_new();
    part->described = part->draft == NULL ? NULL : crn_record_add_operator(part->draft);
    return part->described == NULL || crn_operator_add_subtask(part->described) == NULL
               ? CAIRN_ENOMEM
               : 0;
}

int crn_attempt_new_locked(struct cairn_job *job, const struct crn_action *action,
                           struct crn_attempt **ret, cairn_error **reterr)
{
    crn_mutex_assert_held(&job->lock);
    struct crn_attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return crn_err_nomem(reterr);
    attempt->parts = calloc(job->task_count + 1, sizeof *attempt->parts);
    if (attempt->parts == NULL) {
        free(attempt);
        return crn_err_nomem(reterr);
    }
    attempt->job = job;
    attempt->meter.parent = &job->meter;
    attempt->id = action->id;
    attempt->full = action->full;
    attempt->store = job->store;
    attempt->prefix = job->name;
    attempt->started_us = crn_now_us();
    attempt->part_count = job->task_count;
    for (size_t i = 0; i < job->task_count; i++) {
        attempt->parts[i].attempt = attempt;
        attempt->parts[i].has_base = action->full; /* which is none */
        attempt->parts[i].task = job->tasks[i];
        /* One of each is the capture's own: the part cannot finish while it still submits. */
        atomic_init(&attempt->parts[i].uploads_left, 1);
        atomic_init(&attempt->parts[i].dumps_left, 1);
        atomic_fetch_add(&job->tasks[i]->runtime->refs, 1);
        if (draft_part(&attempt->parts[i]) < 0) {
            crn_attempt_free(attempt);
            return crn_err_nomem(reterr);
        }
    }
    *ret = attempt;
    return 0;
}

void crn_attempt_free(struct crn_attempt *attempt)
{
    if (attempt == NULL)
        return;
    for (size_t i = 0; i < attempt->part_count; i++) {
        struct crn_part *part = &attempt->parts[i];
        if (part->task != NULL)
            crn_task_unref(part->task);
        crn_record_free(part->draft);
        crn_buf_done(&part->operator_state);
        crn_in_flight_done(&part->in_flight);
        crn_file_done(&part->in_flight_file);
        free(part->staging);
        free(part->origins);
        free(part->dump_states);
    }
    free(attempt->parts);
    crn_remote_parts_free(attempt);
    for (size_t i = 0; i < attempt->uploaded_count; i++)
        free(attempt->uploaded[i]);
    free(attempt->uploaded);
    cairn_error_free(attempt->error);
    cairn_error_free(attempt->log_error);
    crn_record_free(attempt->record);
    crn_savepoint_run_free(attempt->savepoint);
    free(attempt);
}

cairn_barrier crn_attempt_barrier(const struct crn_attempt *attempt)
{
    return (cairn_barrier){
        .checkpoint_id = attempt->id,
        .trigger_time_ms = attempt->trigger_time_ms,
        .flags = attempt->savepoint != NULL ? CAIRN_BARRIER_SAVEPOINT : 0,
    };
}

bool crn_attempt_is_dump(const struct crn_attempt *attempt)
{
    /* A backend whose own files are canonical has nothing else to give. */
    return attempt->savepoint != NULL && attempt->savepoint->handle->format == CAIRN_CANONICAL &&
           strcmp(attempt->job->backend->file_kind, CRN_FILE_KIND_CANONICAL) != 0;
}

bool crn_attempt_is_whole_locked(const struct crn_attempt *attempt)
{
    crn_mutex_assert_held(&attempt->job->lock);
    for (size_t i = 0; i < attempt->part_count; i++)
        if (!attempt->parts[i].acked)
            return false;
    for (size_t i = 0; i < attempt->remote_count; i++)
        if (attempt->remotes[i].record == NULL)
            return false;
    return true;
}

void crn_attempt_decline_locked(struct crn_attempt *attempt, const struct crn_part *part, int code,
                                cairn_error **error)
{
    crn_mutex_assert_held(&attempt->job->lock);
    if (!attempt->declined) {
        attempt->declined = true;
        if (attempt->error == NULL) {
            attempt->error = CRN_TAKE(*error);
            attempt->failed_part = part;
            if (attempt->error == NULL)
                (void)crn_err_fail(&attempt->error, code, NULL, "%s", cairn_error_text(code));
        }
    }
    /* Only now: what ends early because of it must not be taken for the reason. */
    atomic_store(&attempt->cancelled, true);
    crn_flight_withdraw_locked(attempt);
    crn_cond_signal(&attempt->job->wake_driver);
}

static void decline(struct crn_attempt *attempt, const struct crn_part *part, int code,
                    cairn_error *error)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_lock(&job->lock);
    crn_attempt_decline_locked(attempt, part, code, &error);
    crn_mutex_unlock(&job->lock);
    cairn_error_free(error);
}

void crn_attempt_decline(struct crn_attempt *attempt, int code, cairn_error *error)
{
    decline(attempt, NULL, code, error);
}

void crn_part_decline(struct crn_part *part, int code, cairn_error *error)
{
    crn_err_prefix(&error, "operator '%s' subtask %u", part->task->uid,
                   part->task->options.subtask);
    decline(part->attempt, part, code, error);
}

void crn_attempt_enter(struct crn_attempt *attempt)
{
    crn_mutex_lock(&attempt->job->lock);
    attempt->running++;
    crn_mutex_unlock(&attempt->job->lock);
}

/* The attempt may be gone right after this. */
void crn_attempt_leave(struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_lock(&job->lock);
    attempt->running--;
    crn_cond_signal(&job->wake_driver);
    crn_cond_broadcast(&job->wake_waiters); /* a task that is being closed waits for this, too */
    crn_mutex_unlock(&job->lock);
}

int crn_attempt_note_upload(struct crn_attempt *attempt, const char *key)
{
    char *copy = crn_str_dup_n(key, strlen(key));
    int r = copy == NULL ? CAIRN_ENOMEM : 0;
    crn_mutex_lock(&attempt->job->lock);
    if (r == 0 && attempt->uploaded_count == attempt->uploaded_capacity) {
        size_t capacity = attempt->uploaded_capacity == 0 ? 32 : attempt->uploaded_capacity * 2;
        char **uploaded = realloc(attempt->uploaded, capacity * sizeof *uploaded);
        if (uploaded != NULL) {
            attempt->uploaded = uploaded;
            attempt->uploaded_capacity = capacity;
        } else {
            r = CAIRN_ENOMEM;
        }
    }
    if (r == 0)
        attempt->uploaded[attempt->uploaded_count++] = CRN_TAKE(copy);
    crn_mutex_unlock(&attempt->job->lock);
    free(copy);
    return r;
}

/* All uploads of the part have ended, or the part failed: its links are of no more use. */
static void remove_staging(struct crn_part *part)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (part->staging != NULL && crn_file_remove_tree(part->staging, &error) < 0)
        crn_log_write(&part->attempt->job->log, CAIRN_LOG_WARNING, "checkpoint",
                      "staging directory is left until the next open: %s",
                      cairn_error_message(error));
}

static void finish_part(struct crn_part *part)
{
    struct crn_attempt *attempt = part->attempt;
    struct cairn_job *job = attempt->job;
    cairn_error *error = NULL;
    int r = crn_part_add_in_flight(part, &error);
    if (r < 0)
        crn_part_decline(part, r, error);
    remove_staging(part);
    part->described->subtasks[0].info.upload_us = crn_now_us() - part->upload_started_us;
    crn_mutex_lock(&job->lock);
    part->acked = !atomic_load(&attempt->cancelled);
    if (part->acked) {
        atomic_store(&part->phase, CRN_PART_ACKED);
        part->next = attempt->acks;
        attempt->acks = part;
    }
    crn_cond_signal(&job->wake_driver);
    crn_mutex_unlock(&job->lock);
}

void crn_part_upload_ended(struct crn_part *part)
{
    if (atomic_fetch_sub(&part->uploads_left, 1) == 1)
        finish_part(part);
}

struct upload_job {
    struct crn_part *part;
    size_t first; /* index in the subtask's files */
    size_t count;
    struct crn_file *files[]; /* several: they become one object */
};

/* A dump's file is written first, in the same thread. */
static bool is_to_be_written(const struct crn_part *part, const struct crn_file *file)
{
    return part->snapshot != NULL && file->info.role == CAIRN_FILE_CANONICAL;
}

static void upload_main(void *arg)
{
    struct upload_job *upload = arg;
    struct crn_part *part = upload->part;
    struct crn_attempt *attempt = part->attempt;
    struct crn_file *file = upload->files[0];
    const struct crn_origin *origin = file->info.role == CAIRN_FILE_TABLE && part->origins != NULL
                                          ? &part->origins[upload->first]
                                          : NULL;
    cairn_error *error = NULL;
    CRN_AUTO_FREE char *path = NULL;
    int r = atomic_load(&attempt->cancelled)
                ? crn_err_fail(&error, CAIRN_ECANCELED, NULL, "the attempt was cancelled")
                : crn_str_printf(&path, &error, "%s/%s", part->staging, file->info.name);
    bool is_dump = is_to_be_written(part, file);
    if (r == 0 && is_dump)
        r = crn_dump_write(part, path, file, &error);
    if (is_dump)
        crn_dump_done(part);
    if (r == 0)
        r = crn_upload_files(part, upload->files, upload->count, origin, &error);
    free(upload);
    if (r < 0)
        crn_part_decline(part, r, error);
    crn_part_upload_ended(part);
    crn_attempt_leave(attempt);
}

static int submit_upload(struct crn_part *part, const size_t *order, size_t count,
                         cairn_error **reterr)
{
    struct crn_file *files = part->described->subtasks[0].files;
    struct upload_job *upload = malloc(sizeof *upload + count * sizeof upload->files[0]);
    if (upload == NULL)
        return crn_err_nomem(reterr);
    *upload = (struct upload_job){.part = part, .first = order[0], .count = count};
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        upload->files[i] = &files[order[i]];
        bytes += upload->files[i]->info.size;
    }
    crn_attempt_enter(part->attempt);
    atomic_fetch_add(&part->uploads_left, 1);
    bool is_dump = is_to_be_written(part, upload->files[0]);
    if (is_dump)
        atomic_fetch_add(&part->dumps_left, 1);
    if (crn_pool_submit(part->attempt->job->pool, bytes, upload_main, upload) < 0) {
        /* The capture holds one of each count: these are not the last. */
        if (is_dump)
            crn_dump_done(part);
        atomic_fetch_sub(&part->uploads_left, 1);
        crn_attempt_leave(part->attempt);
        free(upload);
        return crn_err_nomem(reterr);
    }
    return 0;
}

/* Index of a table's state among the described ones. */
static int state_index(const struct crn_operator *described, const char *name, uint32_t *ret,
                       cairn_error **reterr)
{
    for (size_t i = 0; i < described->state_count; i++)
        if (strcmp(described->states[i].name, name) == 0) {
            *ret = (uint32_t)i;
            return 0;
        }
    return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL,
                        "captured table of state '%s', which no descriptor names", name);
}

/* What the capture found, as files of the subtask; tables first, so that the diff sees one array.
 */
static int take_captured(struct crn_part *part, struct crn_capture *capture, size_t *ret_tables,
                         cairn_error **reterr)
{
    struct crn_subtask *subtask = &part->described->subtasks[0];
    *ret_tables = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < capture->count; i++) {
            cairn_file_info *info = &capture->files[i].info;
            bool is_table = info->role == CAIRN_FILE_TABLE;
            if (is_table != (pass == 0) || info->role == 0) /* 0: moved in the first pass */
                continue;
            struct crn_file *file = crn_subtask_add_file(subtask);
            if (file == NULL)
                return crn_err_nomem(reterr);
            file->info = *info; /* strings move, too */
            memset(info, 0, sizeof *info);
            if (is_table) {
                CRN_TRY(state_index(part->described, file->info.state, &file->state, reterr));
                ++*ret_tables;
            }
        }
    subtask->info.flush_us = capture->flush_us;
    subtask->info.capture_us = capture->capture_us;
    return 0;
}

/* Operator state is one more small file, next to the database's. */
static int stage_operator_state(struct crn_part *part, cairn_error **reterr)
{
    static const char name[] = "operator-state";
    if (part->operator_state.size == 0)
        return 0;
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", part->staging, name));
    CRN_TRY(crn_file_write_new(path, part->operator_state.data, part->operator_state.size, false,
                               reterr));
    struct crn_file *file = crn_subtask_add_file(&part->described->subtasks[0]);
    if (file == NULL || crn_record_set_text(&file->info.name, name) < 0)
        return crn_err_nomem(reterr);
    file->info.role = CAIRN_FILE_OPERATOR_STATE;
    file->info.size = part->operator_state.size;
    return 0;
}

/* Everything that is not referenced. All files are known: the array does not move any more. */
static int submit_uploads(struct crn_part *part, cairn_error **reterr)
{
    struct crn_subtask *subtask = &part->described->subtasks[0];
    const struct crn_savepoint_run *run = part->attempt->savepoint;
    uint64_t bytes = 0;
    for (size_t i = 0; i < subtask->file_count; i++)
        if (subtask->files[i].info.object == NULL)
            bytes += subtask->files[i].info.size;
    atomic_store(&part->phase, CRN_PART_UPLOADING);
    if (part->snapshot == NULL)
        atomic_fetch_add(run != NULL ? &run->handle->total_bytes : &part->attempt->total_bytes,
                         bytes);
    CRN_AUTO_FREE size_t *order = calloc(subtask->file_count + 1, sizeof *order);
    CRN_AUTO_FREE size_t *ends = calloc(subtask->file_count + 1, sizeof *ends);
    if (order == NULL || ends == NULL)
        return crn_err_nomem(reterr);
    size_t groups = 0;
    CRN_TRY(crn_packs_group(part, order, ends, &groups, reterr));
    for (size_t i = 0, begin = 0; i < groups; begin = ends[i++])
        CRN_TRY(submit_upload(part, order + begin, ends[i] - begin, reterr));
    return 0;
}

/* The database's part: its files. */
static int capture_files(struct crn_part *part, cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    struct cairn_task *task = part->task;
    struct crn_capture capture = {0};
    size_t tables = 0;
    int r = part->staging == NULL ? crn_err_nomem(reterr) : 0;
    if (r == 0)
        r = task->db->ops->capture(task->db, &part->barrier, part->staging, &attempt->cancelled,
                                   &capture, reterr);
    task->db->ops->release(task->db);
    crn_flight_captured(part);
    part->upload_started_us = crn_now_us();
    if (r == 0)
        r = take_captured(part, &capture, &tables, reterr);
    crn_capture_done(&capture);
    return r < 0 ? r : crn_part_find_origins(part, tables, reterr);
}

static int capture_part(struct crn_part *part, cairn_error **reterr)
{
    (void)crn_str_printf(&part->staging, NULL, "%s/chk-%llu", part->task->runtime->directory,
                         (unsigned long long)part->attempt->id);
    if (part->snapshot == NULL) {
        CRN_TRY(capture_files(part, reterr)); /* in any case: it releases the barrier */
    } else {
        part->upload_started_us = crn_now_us();
        if (part->staging == NULL)
            return crn_err_nomem(reterr);
        CRN_TRY(crn_dump_plan(part, reterr));
    }
    CRN_TRY(stage_operator_state(part, reterr));
    return submit_uploads(part, reterr);
}

static void capture_main(void *arg)
{
    struct crn_part *part = arg;
    struct crn_attempt *attempt = part->attempt;
    cairn_error *error = NULL;
    int r = capture_part(part, &error);
    if (r < 0)
        crn_part_decline(part, r, error);
    if (part->snapshot != NULL)
        crn_dump_done(part);
    crn_part_upload_ended(part);
    crn_attempt_leave(attempt);
}

void crn_part_captured_begin(struct crn_part *part)
{
    if (part->snapshot != NULL) /* which holds nothing but itself */
        crn_flight_captured(part);
    if (crn_pool_submit(part->attempt->job->capture_pool, 0, capture_main, part) == 0)
        return;
    const struct crn_state_ops *ops = part->task->db->ops;
    cairn_error *error = NULL;
    if (part->snapshot != NULL) {
        ops->release_snapshot(part->snapshot);
    } else {
        ops->release(part->task->db);
        crn_flight_captured(part);
    }
    crn_part_decline(part, crn_err_nomem(&error), error);
    crn_attempt_leave(part->attempt);
}
