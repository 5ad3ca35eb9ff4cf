/* SPDX-License-Identifier: Apache-2.0 */
/* The job as a whole, its tasks and its settings, as JSON. Pure. */
#include "engine/control/view.h"

#include <string.h>

const char *crn_view_format(cairn_savepoint_format format)
{
    return format == CAIRN_NATIVE ? "native" : "canonical";
}

void crn_view_error(struct crn_json_out *out, const char *key, int code, const cairn_error *error)
{
    const char *message = cairn_error_message(error);
    crn_json_begin(out, key, '{');
    crn_json_text(out, "code", cairn_error_name(code));
    crn_json_text(out, "message", message[0] != '\0' ? message : cairn_error_text(code));
    crn_json_some_text(out, "object", cairn_error_object(error));
    crn_json_end(out, '}');
}

void crn_view_u64_if(struct crn_json_out *out, const char *key, bool is_known, uint64_t value)
{
    if (is_known)
        crn_json_u64(out, key, value);
    else
        crn_json_null(out, key);
}

void crn_view_counts(const struct crn_job_status *status, struct crn_json_out *out)
{
    const struct crn_status_counts *counts = &status->counts;
    crn_json_begin(out, "counts", '{');
    crn_json_u64(out, "completed", counts->completed);
    crn_json_u64(out, "failed", counts->failed);
    crn_json_u64(out, "subsumed", counts->subsumed);
    crn_json_u64(out, "cancelled", counts->cancelled);
    crn_json_u64(out, "failed_in_a_row", counts->failed_in_row);
    crn_json_u64(out, "savepoints_completed", counts->savepoints_completed);
    crn_json_u64(out, "savepoints_failed", counts->savepoints_failed);
    crn_json_end(out, '}');
}

static void put_last(const struct crn_job_status *status, struct crn_json_out *out)
{
    const cairn_checkpoint_info *last = &status->latest;
    if (!status->has_latest) {
        crn_json_null(out, "last_checkpoint");
        return;
    }
    crn_json_begin(out, "last_checkpoint", '{');
    crn_json_u64(out, "id", last->id);
    crn_json_u64(out, "epoch", last->epoch);
    crn_json_bool(out, "is_full", last->is_full != 0);
    crn_json_i64(out, "trigger_time_ms", last->trigger_time_ms);
    if (status->latest_end_time_ms != 0)
        crn_json_i64(out, "end_time_ms", status->latest_end_time_ms);
    else
        crn_json_null(out, "end_time_ms");
    crn_json_u64(out, "duration_us", last->duration_us);
    crn_json_u64(out, "stall_max_us", last->barrier_max_us);
    crn_json_u64(out, "full_bytes", last->full_bytes);
    crn_json_u64(out, "new_bytes", last->new_bytes);
    crn_json_u64(out, "file_count", last->file_count);
    crn_json_u64(out, "new_file_count", last->new_file_count);
    crn_json_u64(out, "requests", last->requests);
    crn_json_u64(out, "sent_bytes", last->sent_bytes);
    crn_json_end(out, '}');
}

static void put_restored(const struct crn_job_status *status, struct crn_json_out *out)
{
    if (!status->has_restored) {
        crn_json_null(out, "restored");
        return;
    }
    crn_json_begin(out, "restored", '{');
    crn_json_u64(out, "checkpoint_id", status->restored.id);
    crn_json_some_text(out, "location", status->restored_from);
    crn_json_end(out, '}');
}

/* Tasks are sorted by uid. */
static size_t count_operators(const struct crn_job_status *status)
{
    size_t n = 0;
    for (size_t i = 0; i < status->task_count; i++)
        n += i == 0 || strcmp(status->tasks[i].uid, status->tasks[i - 1].uid) != 0;
    return n;
}

void crn_view_job(const struct crn_job_status *status, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "name", status->job);
    crn_json_text(out, "state", crn_job_state_word(status->state));
    crn_json_some_text(out, "reason", status->stop_reason);
    crn_json_u64(out, "epoch", status->epoch);
    crn_json_u64(out, "pid", status->pid);
    crn_json_text(out, "host", status->host);
    crn_json_text(out, "library_version", status->library_version);
    crn_json_text(out, "state_backend", status->state_backend);
    crn_json_text(out, "store", status->store);
    crn_json_some_text(out, "store_caveat", status->store_caveat);
    crn_json_text(out, "role", crn_role_word(status->role));
    crn_json_some_text(out, "worker_name", status->worker_name);
    crn_view_u64_if(out, "last_post_age_us", status->role == CAIRN_WORKER, status->post_age_us);
    crn_json_u64(out, "workers_wanted", status->workers_wanted);
    crn_json_u64(out, "worker_count", status->worker_count);
    crn_json_u64(out, "workers_lost", status->workers_lost);
    crn_json_i64(out, "now_time_ms", status->now_ms);
    crn_json_i64(out, "start_time_ms", status->start_time_ms);
    crn_json_u64(out, "operator_count", count_operators(status));
    crn_json_u64(out, "task_count", status->task_count);
    crn_json_u64(out, "in_flight_count", status->in_flight_count);
    crn_json_u64(out, "savepoints_waiting", status->savepoints_waiting);
    put_restored(status, out);
    put_last(status, out);
    crn_view_counts(status, out);
    crn_json_end(out, '}');
}

static void put_gate(const struct crn_status_task *task, struct crn_json_out *out)
{
    if (!task->has_gate) {
        crn_json_null(out, "gate");
        return;
    }
    crn_json_begin(out, "gate", '{');
    crn_json_u64(out, "channel_count", task->gate_channels);
    crn_json_bool(out, "is_aligning", task->gate_is_aligning);
    crn_json_u64(out, "records", task->gate.records);
    crn_json_u64(out, "barriers", task->gate.barriers);
    crn_json_u64(out, "given_up", task->gate.given_up);
    crn_json_u64(out, "overtaken", task->gate.overtaken);
    crn_json_u64(out, "align_last_us", task->gate.alignment_last_us);
    crn_json_u64(out, "align_max_us", task->gate.alignment_max_us);
    crn_json_u64(out, "in_flight_bytes", task->gate.in_flight_bytes);
    crn_json_end(out, '}');
}

/* Of a task in a worker the coordinator knows who it is, and what the last checkpoint says. */
static void put_task(const struct crn_status_task *task, struct crn_json_out *out)
{
    const bool is_here = !task->is_remote;
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "uid", task->uid);
    crn_json_text(out, "name", task->name);
    crn_json_u64(out, "subtask", task->subtask);
    crn_json_u64(out, "parallelism", task->parallelism);
    crn_json_u64(out, "max_parallelism", task->max_parallelism);
    crn_json_u64(out, "key_group_first", task->key_group_first);
    crn_json_u64(out, "key_group_last", task->key_group_last);
    crn_view_u64_if(out, "worker", task->is_remote, task->worker);
    crn_json_bool(out, "is_finished", task->is_finished);
    crn_view_u64_if(out, "keys_set", is_here, task->keys_set);
    crn_view_u64_if(out, "events_waiting", is_here, task->events_waiting);
    crn_view_u64_if(out, "barriers", is_here, task->stats.barriers);
    crn_view_u64_if(out, "stall_last_us", is_here || task->has_record, task->stats.barrier_last_us);
    crn_view_u64_if(out, "stall_max_us", is_here, task->stats.barrier_max_us);
    crn_view_u64_if(out, "hold_count", is_here, task->stats.hold_count);
    crn_view_u64_if(out, "hold_us", is_here, task->stats.hold_us);
    crn_view_u64_if(out, "backpressure_us", is_here, task->stats.backpressure_us);
    crn_view_u64_if(out, "memtable_bytes", is_here, task->stats.memtable_bytes);
    crn_view_u64_if(out, "level0_files", is_here, task->stats.level0_files);
    put_gate(task, out);
    crn_json_end(out, '}');
}

void crn_view_tasks(const struct crn_job_status *status, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_i64(out, "now_time_ms", status->now_ms);
    crn_json_begin(out, "tasks", '[');
    for (size_t i = 0; i < status->task_count; i++)
        put_task(&status->tasks[i], out);
    crn_json_end(out, ']');
    crn_json_end(out, '}');
}

static void put_worker(const struct crn_status_worker *worker, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_u64(out, "index", worker->index);
    crn_json_text(out, "name", worker->name);
    crn_json_text(out, "host", worker->host);
    crn_json_u64(out, "pid", worker->pid);
    crn_json_u64(out, "task_count", worker->task_count);
    crn_json_u64(out, "silent_us", worker->silent_us);
    crn_json_bool(out, "is_lost", worker->is_lost);
    crn_json_end(out, '}');
}

void crn_view_workers(const struct crn_job_status *status, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_i64(out, "now_time_ms", status->now_ms);
    crn_json_begin(out, "workers", '[');
    for (size_t i = 0; i < status->worker_count; i++)
        put_worker(&status->workers[i], out);
    crn_json_end(out, ']');
    crn_json_end(out, '}');
}

void crn_view_config(const struct crn_job_status *status, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_begin(out, "settings", '{');
    for (size_t i = 0; i < status->option_count; i++)
        crn_json_some_text(out, status->options[i].name, status->options[i].value);
    crn_json_end(out, '}');
    crn_json_end(out, '}');
}
