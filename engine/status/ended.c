/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots that have ended, as they are remembered: immutable and counted, so that whoever asks
 * for the job's status gets the history by reference, however many tasks the job has.
 *
 * One piece of memory each: the struct, its tasks, then all texts. Tasks of one operator follow
 * each other and share their uid.
 */
#include "engine/status/ended.h"

#include <string.h>

static size_t text_size(const char *text)
{
    return strlen(text) + 1;
}

static bool shares_uid(const struct crn_ended *ended, size_t i)
{
    return i > 0 && strcmp(ended->tasks[i].uid, ended->tasks[i - 1].uid) == 0;
}

static const char *put_text(char **at, const char *text)
{
    size_t n = text_size(text);
    char *put = memcpy(*at, text, n);
    *at += n;
    return put;
}

const struct crn_ended *crn_ended_copy(const struct crn_ended *from)
{
    size_t texts =
        text_size(from->location) + text_size(from->reason) + text_size(from->failed_uid);
    for (size_t i = 0; i < from->task_count; i++)
        texts += shares_uid(from, i) ? 0 : text_size(from->tasks[i].uid);
    struct crn_ended *ended =
        malloc(sizeof *ended + from->task_count * sizeof *from->tasks + texts);
    if (ended == NULL)
        return NULL;
    struct crn_ended_task *tasks = (struct crn_ended_task *)(ended + 1);
    char *at = (char *)(tasks + from->task_count);
    memcpy(ended, from, sizeof *ended);
    atomic_init(&ended->refs, 1);
    ended->location = put_text(&at, from->location);
    ended->reason = put_text(&at, from->reason);
    ended->failed_uid = put_text(&at, from->failed_uid);
    ended->tasks = from->task_count > 0 ? tasks : NULL;
    for (size_t i = 0; i < from->task_count; i++) {
        tasks[i] = from->tasks[i];
        tasks[i].uid = shares_uid(from, i) ? tasks[i - 1].uid : put_text(&at, from->tasks[i].uid);
    }
    return ended;
}

const struct crn_ended *crn_ended_ref(const struct crn_ended *ended)
{
    atomic_fetch_add(&((struct crn_ended *)(uintptr_t)ended)->refs, 1);
    return ended;
}

void crn_ended_unref(const struct crn_ended *ended)
{
    struct crn_ended *owned = (struct crn_ended *)(uintptr_t)ended;
    if (owned != NULL && atomic_fetch_sub(&owned->refs, 1) == 1)
        free(owned);
}

void crn_ended_task_of(const char *uid, const struct crn_subtask *subtask, uint64_t id,
                       struct crn_ended_task *ret)
{
    const cairn_subtask_info *info = &subtask->info;
    *ret = (struct crn_ended_task){
        .uid = uid,
        .subtask = info->index,
        .phase = CRN_PART_ACKED,
        .is_finished = info->is_finished != 0,
        .start_delay_us = info->start_delay_us,
        .align_us = info->align_us,
        .stall_us = info->barrier_us,
        .flush_us = info->flush_us,
        .capture_us = info->capture_us,
        .upload_us = info->upload_us,
        .in_flight_bytes = info->in_flight_bytes,
        .file_count = subtask->file_count,
    };
    for (size_t i = 0; i < subtask->file_count; i++) {
        const cairn_file_info *file = &subtask->files[i].info;
        ret->full_bytes += file->size;
        if (file->checkpoint_id == id) {
            ret->new_bytes += file->size;
            ret->new_file_count++;
        }
    }
}

static void raise_to(uint64_t *most, uint64_t value)
{
    if (value > *most)
        *most = value;
}

void crn_ended_add(struct crn_ended *ended, const struct crn_ended_task *task)
{
    raise_to(&ended->stall_max_us, task->stall_us);
    raise_to(&ended->align_max_us, task->align_us);
    raise_to(&ended->flush_max_us, task->flush_us);
    raise_to(&ended->capture_max_us, task->capture_us);
    raise_to(&ended->upload_max_us, task->upload_us);
    raise_to(&ended->start_delay_max_us, task->start_delay_us);
    ended->full_bytes += task->full_bytes;
    ended->new_bytes += task->new_bytes;
    ended->in_flight_bytes += task->in_flight_bytes;
    ended->file_count += task->file_count;
    ended->new_file_count += task->new_file_count;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

void crn_ended_of_info(const cairn_record_info *info, struct crn_ended *ret)
{
    *ret = (struct crn_ended){
        .id = info->id,
        .epoch = info->epoch,
        .kind = info->kind,
        .outcome = info->kind == CAIRN_RECORD_ABORTED ? CRN_OUTCOME_FAILED : CRN_OUTCOME_COMPLETE,
        .is_full = info->is_full != 0,
        .is_stop = info->is_stop != 0,
        .format = info->format,
        .location = or_empty(info->location),
        .reason = or_empty(info->reason),
        .failed_uid = "",
        .trigger_time_ms = info->trigger_time_ms,
        .end_time_ms = info->commit_time_ms,
        .duration_us = info->duration_us,
        .stall_max_us = info->barrier_max_us,
        .full_bytes = info->full_bytes,
        .new_bytes = info->new_bytes,
        .file_count = info->file_count,
        .new_file_count = info->new_file_count,
        .requests = info->requests,
        .sent_bytes = info->sent_bytes,
    };
}

int crn_ended_take_tasks(struct crn_ended *ended, const struct crn_record *record,
                         struct crn_ended_task **ret_tasks)
{
    size_t count = 0;
    for (size_t i = 0; i < record->operator_count; i++)
        count += record->operators[i].subtask_count;
    struct crn_ended_task *tasks = calloc(count + 1, sizeof *tasks);
    size_t at = 0;
    ended->full_bytes = ended->new_bytes = ended->in_flight_bytes = 0;
    ended->file_count = ended->new_file_count = 0;
    for (size_t i = 0; i < record->operator_count; i++)
        for (size_t s = 0; s < record->operators[i].subtask_count; s++) {
            struct crn_ended_task task;
            crn_ended_task_of(record->operators[i].info.uid, &record->operators[i].subtasks[s],
                              record->info.id, &task);
            crn_ended_add(ended, &task);
            if (tasks != NULL)
                tasks[at++] = task;
        }
    ended->tasks = *ret_tasks = tasks;
    ended->task_count = at;
    return tasks == NULL ? CAIRN_ENOMEM : 0;
}

const char *crn_ended_type_word(const struct crn_ended *ended)
{
    if (ended->kind == CAIRN_RECORD_SAVEPOINT)
        return ended->format == CAIRN_NATIVE ? "native" : "canonical";
    if (ended->kind != CAIRN_RECORD_CHECKPOINT)
        return "";
    return ended->is_full ? "full" : "incremental";
}

/* Entries of large jobs lose their tasks, oldest first. */
static void drop_tasks(struct crn_past *past)
{
    size_t tasks = 0;
    for (size_t i = 0; i < past->count; i++) {
        const struct crn_ended *ended = past->entries[i];
        tasks += ended->task_count;
        if (i == 0 || tasks <= past->tasks_max || ended->task_count == 0)
            continue;
        struct crn_ended without = *ended;
        without.tasks = NULL;
        without.task_count = 0;
        const struct crn_ended *copy = crn_ended_copy(&without);
        if (copy == NULL)
            continue;
        crn_ended_unref(ended);
        past->entries[i] = copy;
    }
}

void crn_past_add(struct crn_past *past, const struct crn_ended *ended)
{
    size_t at = 0;
    while (at < past->count && past->entries[at]->id > ended->id)
        at++;
    if (at < past->count && past->entries[at]->id == ended->id) {
        crn_ended_unref(past->entries[at]);
        past->entries[at] = ended;
    } else if (at == CRN_STATUS_ENDED_MAX) { /* older than all that there is room for */
        crn_ended_unref(ended);
        return;
    } else {
        if (past->count == CRN_STATUS_ENDED_MAX)
            crn_ended_unref(past->entries[--past->count]);
        memmove(&past->entries[at + 1], &past->entries[at],
                (past->count - at) * sizeof past->entries[0]);
        past->entries[at] = ended;
        past->count++;
    }
    drop_tasks(past);
}

void crn_past_done(struct crn_past *past)
{
    while (past->count > 0)
        crn_ended_unref(past->entries[--past->count]);
}
