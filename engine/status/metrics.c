/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's status in Prometheus' text format 0.0.4. Names follow its conventions: base units
 * (seconds, bytes), counters end in _total. They are stable, and docs/operations.md lists them all.
 *
 * Pure: a picture in, text out. One table row per figure; samples of one name stand together, as
 * the format demands, so the tasks are gone through once for each.
 */
#include "engine/status/status.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct writer {
    struct cairn_buffer *out;
    const struct crn_job_status *status;
    char *job; /* as a label's value */
    int result;
};

enum unit {
    UNIT_ONE,
    UNIT_US, /* microseconds, told as seconds */
    UNIT_MS
};

/* A number somewhere in a struct. */
struct figure {
    const char *name, *type, *help;
    size_t offset, width;
    enum unit unit;
};

#define STATUS(member)                                                                             \
    offsetof(struct crn_job_status, member), sizeof(((struct crn_job_status *)0)->member)
#define TASK(member)                                                                               \
    offsetof(struct crn_status_task, member), sizeof(((struct crn_status_task *)0)->member)

/* clang-format off */
static const struct figure job_figures[] = {
    {"cairn_job_epoch", "gauge", "Incarnation of the job: grows with each start.",
     STATUS(epoch), UNIT_ONE},
    {"cairn_job_start_time_seconds", "gauge", "When the job was opened, Unix time.",
     STATUS(start_time_ms), UNIT_MS},
    {"cairn_checkpoint_interval_seconds", "gauge",
     "Setting checkpoint.interval; 0: no checkpoint begins by itself.",
     STATUS(checkpoint_interval_ms), UNIT_MS},
    {"cairn_checkpoint_timeout_seconds", "gauge", "Setting checkpoint.timeout.",
     STATUS(checkpoint_timeout_ms), UNIT_MS},
    {"cairn_checkpoints_completed_total", "counter", "Checkpoints that are complete.",
     STATUS(counts.completed), UNIT_ONE},
    {"cairn_checkpoints_failed_total", "counter",
     "Checkpoints that were declined, timed out or could not be committed.",
     STATUS(counts.failed), UNIT_ONE},
    {"cairn_checkpoints_subsumed_total", "counter",
     "Checkpoints that a later one had overtaken.", STATUS(counts.subsumed), UNIT_ONE},
    {"cairn_checkpoints_cancelled_total", "counter",
     "Checkpoints that were given up because the job ended.",
     STATUS(counts.cancelled), UNIT_ONE},
    {"cairn_checkpoints_failed_in_a_row", "gauge",
     "Failed checkpoints since the last complete one.", STATUS(counts.failed_in_row), UNIT_ONE},
    {"cairn_savepoints_completed_total", "counter", "Savepoints that are complete.",
     STATUS(counts.savepoints_completed), UNIT_ONE},
    {"cairn_savepoints_failed_total", "counter", "Savepoints that failed.",
     STATUS(counts.savepoints_failed), UNIT_ONE},
    {"cairn_savepoints_waiting", "gauge", "Savepoints that were asked for and have not begun.",
     STATUS(savepoints_waiting), UNIT_ONE},
    {"cairn_store_requests_total", "counter",
     "Requests to the store by this process, repeated ones included; 0 if it is a directory.",
     STATUS(store_requests), UNIT_ONE},
    {"cairn_store_sent_bytes_total", "counter", "Bytes in the bodies of these requests.",
     STATUS(store_sent_bytes), UNIT_ONE},
    {"cairn_store_received_bytes_total", "counter", "Bytes in the bodies of the answers.",
     STATUS(store_received_bytes), UNIT_ONE},
};

/* Only while there is a complete checkpoint. */
static const struct figure last_figures[] = {
    {"cairn_checkpoint_last_id", "gauge", "Id of the newest complete checkpoint.",
     STATUS(latest.id), UNIT_ONE},
    {"cairn_checkpoint_last_timestamp_seconds", "gauge",
     "When the newest complete checkpoint was begun, Unix time: what is lost after a crash.",
     STATUS(latest.trigger_time_ms), UNIT_MS},
    {"cairn_checkpoint_last_duration_seconds", "gauge", "Of the newest complete checkpoint.",
     STATUS(latest.duration_us), UNIT_US},
    {"cairn_checkpoint_last_stall_seconds", "gauge",
     "Longest time that one task's thread spent in the barrier of the newest complete checkpoint.",
     STATUS(latest.barrier_max_us), UNIT_US},
    {"cairn_checkpoint_last_size_bytes", "gauge",
     "All that the newest complete checkpoint references.", STATUS(latest.full_bytes), UNIT_ONE},
    {"cairn_checkpoint_last_new_bytes", "gauge",
     "What the newest complete checkpoint added to the store.",
     STATUS(latest.new_bytes), UNIT_ONE},
    {"cairn_checkpoint_last_requests", "gauge",
     "Requests to the store that the newest complete checkpoint took.", STATUS(latest.requests),
     UNIT_ONE},
    {"cairn_checkpoint_last_sent_bytes", "gauge", "Bytes in the bodies of these requests.",
     STATUS(latest.sent_bytes), UNIT_ONE},
    {"cairn_checkpoint_last_files", "gauge",
     "Files that the newest complete checkpoint references.", STATUS(latest.file_count), UNIT_ONE},
};

/* Only of a coordinator. */
static const struct figure cluster_figures[] = {
    {"cairn_workers", "gauge", "Worker processes that have joined.", STATUS(worker_count), UNIT_ONE},
    {"cairn_workers_wanted", "gauge", "Setting cluster.workers: how many the job needs.",
     STATUS(workers_wanted), UNIT_ONE},
    {"cairn_workers_lost", "gauge", "Of the workers that have joined, those that are lost.",
     STATUS(workers_lost), UNIT_ONE},
    {"cairn_worker_timeout_seconds", "gauge",
     "Setting cluster.worker-timeout: a worker that is silent for so long is lost.",
     STATUS(worker_timeout_ms), UNIT_MS},
};

static const struct figure task_figures[] = {
    {"cairn_task_keys_total", "counter", "Times that a key was set: records, as a rule.",
     TASK(keys_set), UNIT_ONE},
    {"cairn_task_finished", "gauge", "1: the task's input has ended.",
     TASK(is_finished), UNIT_ONE},
    {"cairn_task_events_waiting", "gauge", "Events that the task has not fetched by polling.",
     TASK(events_waiting), UNIT_ONE},
    {"cairn_task_barriers_total", "counter", "Barriers that the task has taken.",
     TASK(stats.barriers), UNIT_ONE},
    {"cairn_task_barrier_last_seconds", "gauge",
     "Time that the task's thread spent in the last barrier.",
     TASK(stats.barrier_last_us), UNIT_US},
    {"cairn_task_barrier_max_seconds", "gauge", "Longest time in a barrier.",
     TASK(stats.barrier_max_us), UNIT_US},
    {"cairn_task_holds_total", "counter", "Times that a full memtable had to wait for a capture.",
     TASK(stats.hold_count), UNIT_ONE},
    {"cairn_task_hold_seconds_total", "counter", "Time that writes spent in these holds.",
     TASK(stats.hold_us), UNIT_US},
    {"cairn_task_backpressure_seconds_total", "counter",
     "Delays put on writes because compaction lags.", TASK(stats.backpressure_us), UNIT_US},
    {"cairn_task_memtable_bytes", "gauge", "Memory of the task's memtables.",
     TASK(stats.memtable_bytes), UNIT_ONE},
    {"cairn_task_level0_files", "gauge", "Files in level 0, most of any state.",
     TASK(stats.level0_files), UNIT_ONE},
};

/* Only of tasks that have a gate. */
static const struct figure gate_figures[] = {
    {"cairn_gate_records_total", "counter", "Records that came through the task's gate.",
     TASK(gate.records), UNIT_ONE},
    {"cairn_gate_barriers_total", "counter", "Barriers that the gate has taken.",
     TASK(gate.barriers), UNIT_ONE},
    {"cairn_gate_given_up_total", "counter",
     "Alignments that a later barrier or a cancellation ended.", TASK(gate.given_up), UNIT_ONE},
    {"cairn_gate_overtaken_total", "counter", "Barriers that overtook records.",
     TASK(gate.overtaken), UNIT_ONE},
    {"cairn_gate_aligning", "gauge", "1: some channels' barriers have come, others' have not.",
     TASK(gate_is_aligning), UNIT_ONE},
    {"cairn_gate_alignment_last_seconds", "gauge",
     "First barrier to the taking of the state, last time.",
     TASK(gate.alignment_last_us), UNIT_US},
    {"cairn_gate_alignment_max_seconds", "gauge", "The same, longest time.",
     TASK(gate.alignment_max_us), UNIT_US},
    {"cairn_gate_in_flight_bytes", "gauge", "Records in flight in the last checkpoint.",
     TASK(gate.in_flight_bytes), UNIT_ONE},
};

static const struct {
    const char *name, *help;
    size_t offset;
    enum unit unit;
} histograms[] = {
    {"cairn_checkpoint_duration_seconds", "Trigger to commit of complete checkpoints.",
     offsetof(struct crn_status_histograms, duration_us), UNIT_US},
    {"cairn_checkpoint_stall_seconds", "Time of one task's thread in a barrier.",
     offsetof(struct crn_status_histograms, stall_us), UNIT_US},
    {"cairn_checkpoint_alignment_seconds",
     "First barrier to the taking of the state, of tasks that had to align.",
     offsetof(struct crn_status_histograms, align_us), UNIT_US},
    {"cairn_checkpoint_capture_seconds", "Flush of memtables and links of one task.",
     offsetof(struct crn_status_histograms, capture_us), UNIT_US},
    {"cairn_checkpoint_upload_seconds", "Uploads of one task.",
     offsetof(struct crn_status_histograms, upload_us), UNIT_US},
    {"cairn_checkpoint_commit_seconds", "Writing the record to the job's log.",
     offsetof(struct crn_status_histograms, commit_us), UNIT_US},
    {"cairn_checkpoint_new_bytes", "What a checkpoint added to the store.",
     offsetof(struct crn_status_histograms, new_bytes), UNIT_ONE},
};
/* clang-format on */

/* ------------------------------------------------------------------------------------------ *
 * Text
 * ------------------------------------------------------------------------------------------ */

#define PUT(w, ...)                                                                                \
    do {                                                                                           \
        if ((w)->result == 0)                                                                      \
            (w)->result = crn_buf_printf((w)->out, __VA_ARGS__);                                   \
    } while (0)

/* A label's value between its quotes. NULL: no memory. */
static char *escape(const char *text)
{
    struct cairn_buffer out = {0};
    int r = crn_buf_append(&out, "", 0);
    for (const char *p = text; r == 0 && *p != '\0'; p++)
        r = *p == '\n'                ? crn_buf_append(&out, "\\n", 2)
            : *p == '"' || *p == '\\' ? crn_buf_printf(&out, "\\%c", *p)
                                      : crn_buf_append(&out, p, 1);
    char *escaped = r == 0 ? crn_buf_take_text(&out) : NULL;
    crn_buf_done(&out);
    return escaped;
}

static void put_head(struct writer *w, const char *name, const char *type, const char *help)
{
    PUT(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct writer *w, uint64_t value, enum unit unit)
{
    char text[32];
    int n = unit == UNIT_ONE ? snprintf(text, sizeof text, "%" PRIu64, value)
            : unit == UNIT_MS
                ? snprintf(text, sizeof text, "%" PRIu64 ".%03" PRIu64, value / 1000, value % 1000)
                : snprintf(text, sizeof text, "%" PRIu64 ".%06" PRIu64, value / 1000000,
                           value % 1000000);
    if (unit != UNIT_ONE) {
        while (text[n - 1] == '0')
            n--;
        n -= text[n - 1] == '.';
    }
    PUT(w, "%.*s", n, text);
}

static uint64_t read_figure(const void *in, const struct figure *figure)
{
    const uint8_t *at = (const uint8_t *)in + figure->offset;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;
    switch (figure->width) {
    case sizeof u8:
        memcpy(&u8, at, sizeof u8);
        return u8;
    case sizeof u32:
        memcpy(&u32, at, sizeof u32);
        return u32;
    default:
        memcpy(&u64, at, sizeof u64);
        return u64;
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Families
 * ------------------------------------------------------------------------------------------ */

static void put_info(struct writer *w)
{
    put_head(w, "cairn_job_info", "gauge", "What the job runs with; always 1.");
    PUT(w, "cairn_job_info{job_name=\"%s\",version=\"%s\",backend=\"%s\"} 1\n", w->job,
        w->status->library_version, w->status->state_backend);
}

static void put_state(struct writer *w)
{
    put_head(w, "cairn_job_state", "gauge", "1 for the state that the job is in, else 0.");
    for (int state = CAIRN_JOB_OPEN; state <= CAIRN_JOB_FENCED; state++)
        PUT(w, "cairn_job_state{job_name=\"%s\",state=\"%s\"} %d\n", w->job,
            crn_job_state_word((cairn_job_state)state), state == (int)w->status->state);
}

static void put_job_figures(struct writer *w, const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_head(w, figures[i].name, figures[i].type, figures[i].help);
        PUT(w, "%s{job_name=\"%s\"} ", figures[i].name, w->job);
        put_value(w, read_figure(w->status, &figures[i]), figures[i].unit);
        PUT(w, "\n");
    }
}

static void put_role(struct writer *w)
{
    put_head(w, "cairn_cluster_role", "gauge",
             "1 for what this process is in its job: alone in it, coordinator or worker; else 0.");
    for (int role = CAIRN_ALONE; role <= CAIRN_WORKER; role++)
        PUT(w, "cairn_cluster_role{job_name=\"%s\",role=\"%s\"} %d\n", w->job,
            crn_role_word((cairn_role)role), role == (int)w->status->role);
}

static void put_workers(struct writer *w)
{
    const struct crn_job_status *status = w->status;
    put_job_figures(w, cluster_figures, CRN_COUNT(cluster_figures));
    if (status->worker_count > 0)
        put_head(w, "cairn_worker_silent_seconds", "gauge",
                 "Since the last sign of life that the coordinator has seen of a worker.");
    for (size_t i = 0; i < status->worker_count; i++) {
        CRN_AUTO_FREE char *name = escape(status->workers[i].name);
        if (name == NULL)
            w->result = CAIRN_ENOMEM;
        PUT(w, "cairn_worker_silent_seconds{job_name=\"%s\",worker=\"%s\"} ", w->job, name);
        put_value(w, status->workers[i].silent_us, UNIT_US);
        PUT(w, "\n");
    }
}

static void put_in_flight(struct writer *w)
{
    const struct crn_job_status *status = w->status;
    uint64_t counts[2] = {0}, oldest_us = 0;
    for (size_t i = 0; i < status->in_flight_count; i++) {
        counts[status->in_flight[i].kind == CAIRN_RECORD_SAVEPOINT]++;
        if (status->in_flight[i].age_us > oldest_us)
            oldest_us = status->in_flight[i].age_us;
    }
    put_head(w, "cairn_snapshots_in_flight", "gauge", "Snapshots that have begun and not ended.");
    for (int i = 0; i < 2; i++)
        PUT(w, "cairn_snapshots_in_flight{job_name=\"%s\",kind=\"%s\"} %" PRIu64 "\n", w->job,
            crn_record_kind_word(i == 0 ? CAIRN_RECORD_CHECKPOINT : CAIRN_RECORD_SAVEPOINT),
            counts[i]);
    put_head(w, "cairn_snapshot_oldest_age_seconds", "gauge",
             "Age of the oldest snapshot in flight; 0: there is none.");
    PUT(w, "cairn_snapshot_oldest_age_seconds{job_name=\"%s\"} ", w->job);
    put_value(w, oldest_us, UNIT_US);
    PUT(w, "\n");
}

static void put_task_figures(struct writer *w, char *const *uids, const struct figure *figures,
                             size_t count, bool of_gates)
{
    const struct crn_job_status *status = w->status;
    for (size_t i = 0; i < count; i++) {
        bool has_head = false;
        for (size_t t = 0; t < status->task_count; t++) {
            if (status->tasks[t].is_remote) /* its worker tells */
                continue;
            if (of_gates && !status->tasks[t].has_gate)
                continue;
            if (!has_head)
                put_head(w, figures[i].name, figures[i].type, figures[i].help);
            has_head = true;
            PUT(w, "%s{job_name=\"%s\",operator=\"%s\",subtask=\"%" PRIu32 "\"} ", figures[i].name,
                w->job, uids[t], status->tasks[t].subtask);
            put_value(w, read_figure(&status->tasks[t], &figures[i]), figures[i].unit);
            PUT(w, "\n");
        }
    }
}

static void put_histogram(struct writer *w, const char *name, const char *help,
                          const struct crn_histogram *h, enum unit unit)
{
    uint64_t seen = 0;
    put_head(w, name, "histogram", help);
    for (uint32_t i = 0; i < h->scale->count; i++) {
        seen += h->buckets[i];
        PUT(w, "%s_bucket{job_name=\"%s\",le=\"", name, w->job);
        put_value(w, crn_histogram_bound(h, i), unit);
        PUT(w, "\"} %" PRIu64 "\n", seen);
    }
    PUT(w, "%s_bucket{job_name=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, w->job, h->count);
    PUT(w, "%s_sum{job_name=\"%s\"} ", name, w->job);
    put_value(w, h->sum, unit);
    PUT(w, "\n%s_count{job_name=\"%s\"} %" PRIu64 "\n", name, w->job, h->count);
}

static void put_all(struct writer *w, char *const *uids)
{
    const struct crn_job_status *status = w->status;
    put_info(w);
    put_state(w);
    put_job_figures(w, job_figures, CRN_COUNT(job_figures));
    put_role(w);
    if (status->role == CAIRN_COORDINATOR)
        put_workers(w);
    put_in_flight(w);
    if (status->has_latest)
        put_job_figures(w, last_figures, CRN_COUNT(last_figures));
    for (size_t i = 0; i < CRN_COUNT(histograms); i++)
        put_histogram(w, histograms[i].name, histograms[i].help,
                      (const void *)((const uint8_t *)&status->histograms + histograms[i].offset),
                      histograms[i].unit);
    put_task_figures(w, uids, task_figures, CRN_COUNT(task_figures), false);
    put_task_figures(w, uids, gate_figures, CRN_COUNT(gate_figures), true);
}

int crn_metrics_write(const struct crn_job_status *status, struct cairn_buffer *out)
{
    struct writer w = {.out = out, .status = status, .job = escape(status->job)};
    char **uids = calloc(status->task_count + 1, sizeof(*uids));
    w.result = w.job == NULL || uids == NULL ? CAIRN_ENOMEM : 0;
    for (size_t t = 0; w.result == 0 && t < status->task_count; t++) {
        uids[t] = escape(status->tasks[t].uid);
        w.result = uids[t] == NULL ? CAIRN_ENOMEM : 0;
    }
    if (w.result == 0)
        put_all(&w, uids);
    for (size_t t = 0; uids != NULL && t < status->task_count; t++)
        free(uids[t]);
    free(uids);
    free(w.job);
    return w.result;
}

int cairn_job_metrics(cairn_job *job, char **ret_text, cairn_error **reterr)
{
    if (job == NULL || ret_text == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "job or ret_text is NULL");
    struct crn_job_status *status = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    CRN_TRY(crn_status_take(job, &status, reterr));
    int r = crn_metrics_write(status, &out);
    crn_status_free(status);
    char *text = r == 0 ? crn_buf_take_text(&out) : NULL;
    if (text == NULL)
        return crn_err_nomem(reterr);
    *ret_text = text;
    return 0;
}
