/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a running job: counts, histograms and the last snapshots that ended, with figures
 * of each task. What was before this run comes from the log: its records and the history that
 * the newest carries, so that a restart loses nothing of it but details.
 *
 * A snapshot that fails is told twice. As soon as its id stands as aborted it is counted, logged
 * and remembered; the figures of its tasks are still being written then by the threads that bring
 * it to its end. When these are through, what is remembered is replaced by the same with figures.
 *
 * Memory is bounded: entries by CRN_STATUS_ENDED_MAX, and of jobs with very many tasks only the
 * newest entries keep these. One that there is no memory for is left out; it is in the log.
 *
 * Lock: recorder->lock, under which only memory is touched. A crash loses what is here, and the log
 * has what is needed of it.
 */
#include "engine/status/recorder.h"

#include "backends/storage/storage.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/ended.h"
#include "engine/status/options.h"

#include <string.h>

/* Of all entries of this run together, and of all earlier ones: some 10 MB each. */
#define TASKS_KEPT_MAX 65536u

struct crn_recorder {
    /* Constant. */
    int64_t start_time_ms;
    char *store, *store_caveat; /* "": none */
    char *restored_from;        /* "": the job's own log, or nothing */
    struct crn_status_option *options;
    size_t option_count;
    struct crn_past earlier;
    /* Guarded by lock. */
    struct crn_mutex lock;
    struct crn_past past;
    struct crn_status_counts counts;
    struct crn_status_histograms histograms;
};

void crn_recorder_free(struct crn_recorder *recorder)
{
    if (recorder == NULL)
        return;
    crn_past_done(&recorder->past);
    crn_past_done(&recorder->earlier);
    crn_status_options_free(recorder->options, recorder->option_count);
    free(recorder->store);
    free(recorder->store_caveat);
    free(recorder->restored_from);
    crn_mutex_done(&recorder->lock);
    free(recorder);
}

/* ------------------------------------------------------------------------------------------ *
 * Earlier runs
 * ------------------------------------------------------------------------------------------ */

/* record NULL: its tasks are not known. */
static int add_earlier(struct crn_recorder *recorder, const cairn_record_info *info,
                       const struct crn_record *record)
{
    struct crn_ended ended;
    struct crn_ended_task *tasks = NULL;
    crn_ended_of_info(info, &ended);
    ended.is_earlier = true;
    int r = record != NULL && record->operator_count > 0
                ? crn_ended_take_tasks(&ended, record, &tasks)
                : 0;
    const struct crn_ended *copy = r == 0 ? crn_ended_copy(&ended) : NULL;
    free(tasks);
    if (copy == NULL)
        return CAIRN_ENOMEM;
    crn_past_add(&recorder->earlier, copy);
    return 0;
}

static int read_log(struct crn_recorder *recorder, const struct crn_joblog *log, uint64_t epoch)
{
    const struct crn_record *head = log->count > 0 ? log->entries[log->count - 1].record : NULL;
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_record *record = log->entries[i].record;
        if (record != NULL && record->info.epoch < epoch)
            CRN_TRY(add_earlier(recorder, &record->info, record));
    }
    for (size_t i = 0; head != NULL && i < head->history_count; i++) {
        const cairn_record_info *info = &head->history[i].info;
        if (info->epoch < epoch && info->id < log->entries[0].id) /* the rest was in the log */
            CRN_TRY(add_earlier(recorder, info, NULL));
    }
    return 0;
}

static void init(struct crn_recorder *recorder)
{
    struct crn_status_histograms *h = &recorder->histograms;
    crn_mutex_init(&recorder->lock, CRN_RANK_LEAF);
    recorder->past.tasks_max = recorder->earlier.tasks_max = TASKS_KEPT_MAX;
    crn_histogram_init(&h->duration_us, &crn_scale_duration_us);
    crn_histogram_init(&h->stall_us, &crn_scale_stall_us);
    crn_histogram_init(&h->align_us, &crn_scale_duration_us);
    crn_histogram_init(&h->capture_us, &crn_scale_duration_us);
    crn_histogram_init(&h->upload_us, &crn_scale_duration_us);
    crn_histogram_init(&h->commit_us, &crn_scale_duration_us);
    crn_histogram_init(&h->new_bytes, &crn_scale_bytes);
}

int crn_recorder_open(struct cairn_job *job, struct crn_recorder **ret, cairn_error **reterr)
{
    struct crn_recorder *recorder = calloc(1, sizeof *recorder);
    if (recorder == NULL)
        return crn_err_nomem(reterr);
    init(recorder);
    const char *root = crn_posix_store_root(job->store);
    const char *uri = job->options.store_uri;
    const char *caveat = cairn_store_caveat(job->store);
    recorder->start_time_ms = job->options.now_ms(job->options.now_context);
    int r = crn_str_printf(&recorder->store, NULL, "%s",
                           root != NULL  ? root
                           : uri != NULL ? uri
                                         : "a store of the service's");
    if (r == 0)
        r = crn_str_printf(&recorder->store_caveat, NULL, "%s", caveat != NULL ? caveat : "");
    if (r == 0)
        r = crn_str_printf(&recorder->restored_from, NULL, "%s",
                           !job->source.is_foreign        ? ""
                           : job->source.location != NULL ? job->source.location
                                                          : job->source.name);
    if (r == 0)
        r = crn_status_options_new(&job->options, &recorder->options, &recorder->option_count);
    if (r == 0)
        r = read_log(recorder, &job->joblog, job->epoch);
    if (r < 0) {
        crn_recorder_free(recorder);
        return crn_err_nomem(reterr);
    }
    *ret = recorder;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * This run
 * ------------------------------------------------------------------------------------------ */

static void describe_attempt(const struct crn_attempt *attempt, struct crn_ended *ret)
{
    const struct crn_savepoint_run *run = attempt->savepoint;
    *ret = (struct crn_ended){
        .id = attempt->id,
        .epoch = attempt->job->epoch,
        .kind = run != NULL ? CAIRN_RECORD_SAVEPOINT : CAIRN_RECORD_CHECKPOINT,
        .is_full = attempt->full,
        .is_stop = run != NULL && run->handle->stop,
        .format = run != NULL ? run->handle->format : CAIRN_CANONICAL,
        .location = run != NULL && run->location != NULL ? run->location : "",
        .reason = "",
        .failed_uid = "",
        .trigger_time_ms = attempt->trigger_time_ms,
    };
}

static void set_end(struct crn_attempt *attempt, struct crn_ended *ended)
{
    const struct cairn_job *job = attempt->job;
    if (attempt->end.at_us == 0) {
        attempt->end.at_us = crn_now_us();
        attempt->end.time_ms = job->options.now_ms(job->options.now_context);
    }
    cairn_record_info cost;
    crn_publish_note_cost(attempt, &cost);
    ended->requests = cost.requests;
    ended->sent_bytes = cost.sent_bytes;
    ended->end_time_ms = attempt->end.time_ms;
    ended->duration_us = attempt->end.at_us - attempt->started_us;
    if (attempt->commit_started_us != 0)
        ended->commit_us = attempt->end.at_us - attempt->commit_started_us;
}

/* Who was first with a reason; the job's end has none of its own. */
static void set_failure(struct crn_attempt *attempt, struct crn_ended *ended, cairn_error **error)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_lock(&job->lock);
    const struct crn_part *failed = attempt->failed_part;
    *error = crn_err_copy(attempt->error);
    crn_mutex_unlock(&job->lock);
    int code = cairn_error_code(*error);
    ended->outcome = attempt->subsumed ? CRN_OUTCOME_SUBSUMED
                     : code == 0 || attempt->ends_with_job || code == CAIRN_EFENCED
                         ? CRN_OUTCOME_CANCELLED
                         : CRN_OUTCOME_FAILED;
    ended->reason = *error != NULL ? cairn_error_message(*error) : "the job was closed";
    if (failed != NULL) {
        ended->failed_uid = failed->task->uid;
        ended->failed_subtask = failed->task->options.subtask;
    }
}

/* Of a worker all tasks, when it has acknowledged with them. */
static uint32_t count_acked(const struct crn_ended *ended)
{
    uint32_t acked = 0;
    for (size_t i = 0; i < ended->task_count; i++)
        acked += ended->tasks[i].phase == CRN_PART_ACKED;
    return acked;
}

/* Where the others are is the coordinator's to say, or in a worker what it heard. */
static uint64_t failed_in_row(const struct cairn_job *job, const struct crn_status_counts *counts,
                              const struct crn_ended *ended)
{
    if (job->follower == NULL)
        return job->coordinator.failures;
    return ended->outcome == CRN_OUTCOME_COMPLETE ? 0
           : ended->outcome == CRN_OUTCOME_FAILED ? counts->failed_in_row + 1
                                                  : counts->failed_in_row;
}

static void count_locked(struct crn_recorder *recorder, const struct crn_ended *ended,
                         const struct cairn_job *job)
{
    struct crn_status_counts *counts = &recorder->counts;
    bool is_complete = ended->outcome == CRN_OUTCOME_COMPLETE;
    if (ended->kind == CAIRN_RECORD_SAVEPOINT) {
        counts->savepoints_completed += is_complete;
        counts->savepoints_failed += !is_complete;
        return;
    }
    counts->completed += is_complete;
    counts->failed += ended->outcome == CRN_OUTCOME_FAILED;
    counts->subsumed += ended->outcome == CRN_OUTCOME_SUBSUMED;
    counts->cancelled += ended->outcome == CRN_OUTCOME_CANCELLED;
    counts->failed_in_row = failed_in_row(job, counts, ended);
}

static void measure_locked(struct crn_recorder *recorder, const struct crn_ended *ended)
{
    struct crn_status_histograms *h = &recorder->histograms;
    crn_histogram_add(&h->duration_us, ended->duration_us);
    crn_histogram_add(&h->commit_us, ended->commit_us);
    crn_histogram_add(&h->new_bytes, ended->new_bytes);
    for (size_t i = 0; i < ended->task_count; i++) {
        const struct crn_ended_task *task = &ended->tasks[i];
        crn_histogram_add(&h->stall_us, task->stall_us);
        crn_histogram_add(&h->capture_us, task->flush_us + task->capture_us);
        crn_histogram_add(&h->upload_us, task->upload_us);
        if (task->align_us > 0)
            crn_histogram_add(&h->align_us, task->align_us);
    }
}

static void remember(struct crn_attempt *attempt, const struct crn_ended *ended, bool is_new)
{
    struct crn_recorder *recorder = attempt->job->recorder;
    const struct crn_ended *copy = crn_ended_copy(ended);
    crn_mutex_lock(&recorder->lock);
    if (is_new)
        count_locked(recorder, ended, attempt->job);
    if (is_new && ended->outcome == CRN_OUTCOME_COMPLETE && ended->kind == CAIRN_RECORD_CHECKPOINT)
        measure_locked(recorder, ended);
    if (copy != NULL)
        crn_past_add(&recorder->past, copy);
    crn_mutex_unlock(&recorder->lock);
}

/* Also without memory for them. */
static size_t count_tasks(const struct crn_record *record)
{
    size_t count = 0;
    for (size_t i = 0; i < record->operator_count; i++)
        count += record->operators[i].subtask_count;
    return count;
}

void crn_recorder_complete(struct crn_attempt *attempt, const struct crn_record *record)
{
    struct crn_ended ended;
    CRN_AUTO_FREE struct crn_ended_task *tasks = NULL;
    describe_attempt(attempt, &ended);
    set_end(attempt, &ended);
    ended.outcome = CRN_OUTCOME_COMPLETE;
    ended.is_full = record->info.is_full != 0;
    ended.requests = record->info.requests;
    ended.sent_bytes = record->info.sent_bytes;
    (void)crn_ended_take_tasks(&ended, record, &tasks); /* without memory: no tasks */
    remember(attempt, &ended, true);
    const struct crn_savepoint_run *run = attempt->savepoint;
    crn_tell_ended(&attempt->job->log, &ended, 0, (uint32_t)count_tasks(record),
                   run != NULL ? atomic_load(&run->linked_bytes) : 0);
}

void crn_recorder_aborted(struct crn_attempt *attempt)
{
    struct crn_ended ended;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    describe_attempt(attempt, &ended);
    set_end(attempt, &ended);
    set_failure(attempt, &ended, &error);
    struct crn_ended_task *tasks = crn_recorder_tasks_of(attempt, false, &ended);
    remember(attempt, &ended, true);
    attempt->end.told = true;
    crn_tell_ended(&attempt->job->log, &ended, cairn_error_code(error), count_acked(&ended), 0);
    free(tasks);
}

void crn_recorder_over(struct crn_attempt *attempt)
{
    struct crn_ended ended;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE struct crn_ended_task *tasks = NULL;
    if (!attempt->end.told)
        crn_recorder_aborted(attempt);
    /* Of a savepoint, what is to stand in its directory; a worker only has its part. */
    const struct crn_record *record =
        attempt->savepoint != NULL && attempt->savepoint->record != NULL
            ? attempt->savepoint->record
            : attempt->record;
    describe_attempt(attempt, &ended);
    set_end(attempt, &ended);
    set_failure(attempt, &ended, &error);
    if (record != NULL && record->operator_count > 0)
        (void)crn_ended_take_tasks(&ended, record, &tasks); /* without memory: no tasks */
    else
        tasks = crn_recorder_tasks_of(attempt, true, &ended);
    remember(attempt, &ended, false);
}

static void give(const struct crn_past *past, struct crn_job_status *status)
{
    for (size_t i = 0; i < past->count; i++)
        status->ended[status->ended_count++] = crn_ended_ref(past->entries[i]);
}

int crn_recorder_take(struct crn_recorder *recorder, struct crn_job_status *status,
                      cairn_error **reterr)
{
    status->start_time_ms = recorder->start_time_ms;
    status->store = crn_str_dup_n(recorder->store, strlen(recorder->store));
    status->store_caveat = crn_str_dup_n(recorder->store_caveat, strlen(recorder->store_caveat));
    status->ended = calloc(2 * CRN_STATUS_ENDED_MAX, sizeof(*status->ended));
    status->restored_from = crn_str_dup_n(recorder->restored_from, strlen(recorder->restored_from));
    if (status->store == NULL || status->store_caveat == NULL || status->restored_from == NULL ||
        status->ended == NULL ||
        crn_status_options_copy(recorder->options, recorder->option_count, &status->options) < 0)
        return crn_err_nomem(reterr);
    status->option_count = recorder->option_count;
    crn_mutex_lock(&recorder->lock);
    give(&recorder->past, status);
    status->counts = recorder->counts;
    status->histograms = recorder->histograms;
    crn_mutex_unlock(&recorder->lock);
    give(&recorder->earlier, status);
    return 0;
}
