/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots in flight and those that have ended, as JSON. Pure. */
#include "engine/control/view.h"

static void put_in_flight(const struct crn_status_snapshot *snapshot, const char *key,
                          struct crn_json_out *out)
{
    static const char *const counts[CRN_PART_PHASES] = {
        "tasks_waiting", "tasks_aligning", "tasks_capturing", "tasks_uploading", "tasks_acked"};
    const bool is_savepoint = snapshot->kind == CAIRN_RECORD_SAVEPOINT;
    crn_json_begin(out, key, '{');
    crn_json_u64(out, "id", snapshot->id);
    crn_json_text(out, "kind", crn_record_kind_word(snapshot->kind));
    crn_json_text(out, "phase", crn_snapshot_phase_word(snapshot->phase));
    crn_json_bool(out, "is_full", snapshot->is_full);
    crn_json_bool(out, "is_stop", snapshot->is_stop);
    crn_json_text(out, "format", is_savepoint ? crn_view_format(snapshot->format) : NULL);
    crn_json_some_text(out, "location", snapshot->location);
    crn_json_some_text(out, "reason", snapshot->reason);
    crn_json_i64(out, "trigger_time_ms", snapshot->trigger_time_ms);
    crn_json_u64(out, "age_us", snapshot->age_us);
    if (snapshot->timeout_left_us == UINT64_MAX)
        crn_json_null(out, "timeout_left_us");
    else
        crn_json_u64(out, "timeout_left_us", snapshot->timeout_left_us);
    crn_json_u64(out, "done_bytes", snapshot->done_bytes);
    crn_json_u64(out, "total_bytes", snapshot->total_bytes);
    for (size_t i = 0; i < CRN_PART_PHASES; i++)
        crn_json_u64(out, counts[i], snapshot->phase_counts[i]);
    crn_json_u64(out, "workers_waiting", snapshot->worker_count - snapshot->workers_acked);
    crn_json_u64(out, "workers_acked", snapshot->workers_acked);
    crn_json_end(out, '}');
}

static void put_ended(const struct crn_ended *ended, const char *key, struct crn_json_out *out)
{
    const bool is_savepoint = ended->kind == CAIRN_RECORD_SAVEPOINT;
    const bool has_task = ended->failed_uid[0] != '\0';
    crn_json_begin(out, key, '{');
    crn_json_u64(out, "id", ended->id);
    crn_json_u64(out, "epoch", ended->epoch);
    crn_json_text(out, "kind", crn_record_kind_word(ended->kind));
    crn_json_text(out, "outcome", crn_outcome_text(ended->outcome));
    crn_json_bool(out, "is_earlier", ended->is_earlier);
    crn_json_bool(out, "is_full", ended->is_full);
    crn_json_bool(out, "is_stop", ended->is_stop);
    crn_json_text(out, "format", is_savepoint ? crn_view_format(ended->format) : NULL);
    crn_json_some_text(out, "location", ended->location);
    crn_json_some_text(out, "reason", ended->reason);
    crn_json_some_text(out, "failed_uid", ended->failed_uid);
    if (has_task)
        crn_json_u64(out, "failed_subtask", ended->failed_subtask);
    else
        crn_json_null(out, "failed_subtask");
    crn_json_i64(out, "trigger_time_ms", ended->trigger_time_ms);
    crn_json_i64(out, "end_time_ms", ended->end_time_ms);
    crn_json_u64(out, "duration_us", ended->duration_us);
    crn_json_u64(out, "stall_max_us", ended->stall_max_us);
    crn_json_u64(out, "align_max_us", ended->align_max_us);
    crn_json_u64(out, "flush_max_us", ended->flush_max_us);
    crn_json_u64(out, "capture_max_us", ended->capture_max_us);
    crn_json_u64(out, "upload_max_us", ended->upload_max_us);
    crn_json_u64(out, "commit_us", ended->commit_us);
    crn_json_u64(out, "full_bytes", ended->full_bytes);
    crn_json_u64(out, "new_bytes", ended->new_bytes);
    crn_json_u64(out, "in_flight_bytes", ended->in_flight_bytes);
    crn_json_u64(out, "file_count", ended->file_count);
    crn_json_u64(out, "new_file_count", ended->new_file_count);
    crn_json_u64(out, "requests", ended->requests);
    crn_json_u64(out, "sent_bytes", ended->sent_bytes);
    crn_json_end(out, '}');
}

void crn_view_checkpoints(const struct crn_job_status *status, uint64_t limit, uint64_t before,
                          struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_i64(out, "now_time_ms", status->now_ms);
    crn_view_counts(status, out);
    crn_json_begin(out, "in_flight", '[');
    for (size_t i = 0; i < status->in_flight_count; i++)
        put_in_flight(&status->in_flight[i], NULL, out);
    crn_json_end(out, ']');
    crn_json_begin(out, "history", '[');
    uint64_t shown = 0;
    size_t i = 0;
    for (; i < status->ended_count && shown < limit; i++)
        if (before == 0 || status->ended[i]->id < before) {
            put_ended(status->ended[i], NULL, out);
            shown++;
        }
    crn_json_end(out, ']');
    if (i < status->ended_count && shown > 0)
        crn_json_u64(out, "next_before", status->ended[i - 1]->id);
    else
        crn_json_null(out, "next_before");
    crn_json_end(out, '}');
}

/* The names of figures, in one place for tasks that have them and those that have none yet. */
static const char *const figures[] = {
    "start_delay_us", "align_us",  "stall_us",   "flush_us",       "capture_us",     "upload_us",
    "full_bytes",     "new_bytes", "file_count", "new_file_count", "in_flight_bytes"};
#define FIGURES (sizeof figures / sizeof figures[0])

static void put_part(const struct crn_status_part *part, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "uid", part->uid);
    crn_json_u64(out, "subtask", part->subtask);
    crn_json_text(out, "phase", crn_part_phase_word(part->phase));
    for (size_t i = 0; i < FIGURES; i++)
        crn_json_null(out, figures[i]);
    crn_json_null(out, "is_finished");
    crn_json_end(out, '}');
}

static void put_ended_task(const struct crn_ended_task *task, struct crn_json_out *out)
{
    const uint64_t values[FIGURES] = {task->start_delay_us, task->align_us,       task->stall_us,
                                      task->flush_us,       task->capture_us,     task->upload_us,
                                      task->full_bytes,     task->new_bytes,      task->file_count,
                                      task->new_file_count, task->in_flight_bytes};
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "uid", task->uid);
    crn_json_u64(out, "subtask", task->subtask);
    crn_json_text(out, "phase", crn_part_phase_word(task->phase));
    for (size_t i = 0; i < FIGURES; i++)
        crn_json_u64(out, figures[i], values[i]);
    crn_json_bool(out, "is_finished", task->is_finished);
    crn_json_end(out, '}');
}

/* Who has acknowledged with all its tasks; of one that has ended that is not known any more. */
static void put_workers(const struct crn_job_status *status,
                        const struct crn_status_snapshot *snapshot, struct crn_json_out *out)
{
    if (snapshot == NULL) {
        crn_json_null(out, "workers");
        return;
    }
    crn_json_begin(out, "workers", '[');
    for (size_t i = 0; i < snapshot->worker_count; i++) {
        crn_json_begin(out, NULL, '{');
        crn_json_u64(out, "index", i);
        crn_json_text(out, "name", status->workers[i].name);
        crn_json_bool(out, "is_acked", snapshot->acked[i]);
        crn_json_end(out, '}');
    }
    crn_json_end(out, ']');
}

bool crn_view_checkpoint(const struct crn_job_status *status, uint64_t id, struct crn_json_out *out)
{
    const struct crn_status_snapshot *in_flight = NULL;
    const struct crn_ended *ended = NULL;
    for (size_t i = 0; i < status->in_flight_count; i++)
        if (status->in_flight[i].id == id)
            in_flight = &status->in_flight[i];
    for (size_t i = 0; i < status->ended_count && in_flight == NULL && ended == NULL; i++)
        if (status->ended[i]->id == id)
            ended = status->ended[i];
    if (in_flight == NULL && ended == NULL)
        return false;
    crn_json_begin(out, NULL, '{');
    if (in_flight != NULL)
        put_in_flight(in_flight, "in_flight", out);
    else
        crn_json_null(out, "in_flight");
    if (ended != NULL)
        put_ended(ended, "ended", out);
    else
        crn_json_null(out, "ended");
    put_workers(status, in_flight, out);
    if (ended != NULL && ended->task_count == 0) {
        crn_json_null(out, "tasks");
    } else {
        crn_json_begin(out, "tasks", '[');
        for (size_t i = 0; in_flight != NULL && i < in_flight->part_count; i++)
            put_part(&in_flight->parts[i], out);
        for (size_t i = 0; ended != NULL && i < ended->task_count; i++)
            put_ended_task(&ended->tasks[i], out);
        crn_json_end(out, ']');
    }
    crn_json_end(out, '}');
    return true;
}
