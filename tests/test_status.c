/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job tells about itself is true: its tasks and their counters, what is in flight and for
 * whom it waits, what ended, how, why and for which task; the same in the log's line and its
 * fields, whose names are exactly those that docs/operations.md lists; over restarts, too (P9). And
 * looking disturbs nobody: pictures are taken by several threads while checkpoints run, tasks close
 * and the job ends, and outlive it. Method: a job whose tasks poll only when the test says so.
 */
#include "engine/status/fields.h"
#include "engine/status/status.h"
#include "tests/support/job_fixture.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;

/* ------------------------------------------------------------------------------------------ *
 * The log, as a callback sees it
 * ------------------------------------------------------------------------------------------ */

#define LINES_MAX 400
static struct {
    pthread_mutex_t lock;
    size_t count;
    struct {
        cairn_log_level level;
        char message[600], fields[900]; /* "name=value name=value " */
        char event[40];
    } lines[LINES_MAX];
} book = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_known_field(const char *name)
{
    for (int i = 0; i < CRN_FIELD_COUNT; i++)
        if (strcmp(crn_field_name((enum crn_field)i), name) == 0)
            return true;
    return strcmp(name, "job") == 0;
}

static void write_down(void *context, const cairn_log_line *line)
{
    (void)context;
    pthread_mutex_lock(&book.lock);
    ck_assert_uint_lt(book.count, LINES_MAX);
    size_t at = 0, i = book.count++;
    book.lines[i].level = line->level;
    (void)snprintf(book.lines[i].message, sizeof book.lines[i].message, "%s", line->message);
    for (size_t k = 0; k < line->field_count; k++) {
        const cairn_log_field *field = &line->fields[k];
        at += (size_t)snprintf(book.lines[i].fields + at, sizeof book.lines[i].fields - at,
                               "%s=%s ", field->name, field->value);
        ck_assert_uint_lt(at, sizeof book.lines[i].fields);
        ck_assert_msg(is_known_field(field->name), "field '%s'", field->name);
        if (field->is_number)
            ck_assert_uint_eq(strspn(field->value, "0123456789"), strlen(field->value));
        if (strcmp(field->name, "event") == 0)
            (void)snprintf(book.lines[i].event, sizeof book.lines[i].event, "%s", field->value);
        for (size_t other = 0; other < k; other++)
            ck_assert_str_ne(line->fields[other].name, field->name);
    }
    ck_assert_msg(line->field_count > 0 && strcmp(line->fields[0].name, "job") == 0, "%s",
                  line->message);
    pthread_mutex_unlock(&book.lock);
}

/* The newest line of an event; fails the test if there is none. */
static size_t find_line(const char *event)
{
    for (size_t i = book.count; i-- > 0;)
        if (strcmp(book.lines[i].event, event) == 0)
            return i;
    ck_abort_msg("no line with event %s", event);
}

static void check_line(const char *event, cairn_log_level level, const char *field)
{
    size_t i = find_line(event);
    char wanted[200];
    ck_assert_int_eq(book.lines[i].level, level);
    (void)snprintf(wanted, sizeof wanted, " %s ", field);
    ck_assert_msg(strstr(book.lines[i].fields, wanted) != NULL, "no '%s' in '%s'", field,
                  book.lines[i].fields);
}

static void setup(void)
{
    fixture_init(&f, false);
    book.count = 0;
    f.options.log = write_down;
    f.options.log_level = CAIRN_LOG_DEBUG;
    f.options.num_retained = 2;
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Helpers
 * ------------------------------------------------------------------------------------------ */

static struct crn_job_status *take(cairn_job *job)
{
    struct crn_job_status *status = NULL;
    ck_ok(crn_status_take(job, &status, reterr));
    ck_assert_ptr_nonnull(status);
    return status;
}

static void set_key(cairn_task *task, int64_t key)
{
    ck_assert_int_eq(cairn_task_set_key_int64(task, key), 0);
}

static const char *option(const struct crn_job_status *status, const char *name)
{
    for (size_t i = 0; i < status->option_count; i++)
        if (strcmp(status->options[i].name, name) == 0)
            return status->options[i].value;
    return NULL;
}

static void poll_once(cairn_task *task, cairn_event_type expected)
{
    cairn_event event;
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, expected);
}

/* A picture in which nothing is in flight any more. */
static struct crn_job_status *take_when_idle(cairn_job *job)
{
    for (int i = 0; i < 2000; i++) {
        struct crn_job_status *status = take(job);
        if (status->in_flight_count == 0)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("something is in flight for ever");
}

static struct crn_job_status *take_when_failed(cairn_job *job, uint64_t failed)
{
    for (int i = 0; i < 2000; i++) {
        struct crn_job_status *status = take_when_idle(job);
        if (status->counts.failed + status->counts.savepoints_failed == failed)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("it does not fail");
}

/* A picture in which task `i` (by uid and subtask) is in this phase. */
static struct crn_job_status *take_in_phase(cairn_job *job, size_t i, enum crn_part_phase phase)
{
    for (int tries = 0; tries < 2000; tries++) {
        struct crn_job_status *status = take(job);
        if (status->in_flight_count == 1 && status->in_flight[0].parts[i].phase == phase)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("task %zu does not get to %s", i, crn_part_phase_word(phase));
}

/* ------------------------------------------------------------------------------------------ *
 * The job and its tasks
 * ------------------------------------------------------------------------------------------ */

START_TEST(a_job_that_is_open)
{
    cairn_job *job;
    cairn_task *task;
    f.options.checkpoint_interval_ms = 90000;
    f.options.tolerable_failures = CAIRN_TOLERATE_NONE;
    f.options.state_memory_bytes = (uint64_t)64 << 20;
    f.options.control_token = "a token that nobody sees";
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "op", NULL, &task, reterr));
    struct crn_job_status *status = take(job);
    ck_assert_str_eq(status->job, "job");
    ck_assert_int_eq(status->state, CAIRN_JOB_OPEN);
    ck_assert_uint_eq(status->epoch, 1);
    ck_assert_uint_eq(status->pid, (uint64_t)getpid());
    ck_assert_str_ne(status->host, "");
    ck_assert_str_eq(status->library_version, cairn_version());
    ck_assert_int_le(status->start_time_ms, status->now_ms);
    ck_assert_str_eq(status->stop_reason, "");
    ck_assert_str_eq(status->restored_from, "");
    ck_assert(!status->has_restored && !status->has_latest);
    ck_assert_uint_eq(status->task_count, 1);
    ck_assert_uint_eq(status->in_flight_count + status->ended_count, 0);
    ck_assert_uint_eq(status->checkpoint_interval_ms, 90000);
    ck_assert_uint_eq(status->checkpoint_timeout_ms, 600000);
    ck_assert_str_eq(option(status, "checkpoint.interval"), "90s");
    ck_assert_str_eq(option(status, "checkpoint.timeout"), "10min");
    ck_assert_str_eq(option(status, "checkpoint.tolerable-failures"), "none");
    ck_assert_str_eq(option(status, "checkpoint.mode"), "exactly-once");
    ck_assert_str_eq(option(status, "checkpoint.unaligned"), "false");
    ck_assert_str_eq(option(status, "state.memory"), "64MiB");
    ck_assert_str_eq(option(status, "local-dir"), f.local_dir);
    for (size_t i = 0; i < status->option_count; i++)
        ck_assert_ptr_null(strstr(status->options[i].value, "nobody sees"));
    cairn_job_close(job);
    cairn_task_close(task);
    ck_assert_str_eq(status->tasks[0].uid, "op"); /* the picture stays */
    crn_status_free(status);
}
END_TEST

START_TEST(tasks_and_their_counters)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    struct crn_job_status *before = take(s.job);
    uint64_t keys_before = before->tasks[0].keys_set;
    crn_status_free(before);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(cairn_task_set_key(s.tasks[2], "no int64", 3), CAIRN_EINVAL);
        set_key(s.tasks[2], 0);
    }
    for (int64_t key = 0; key < 40; key++)
        set_key(s.tasks[subject_of_key(key)], key);
    struct crn_job_status *status = take(s.job);
    ck_assert_int_eq(status->state, CAIRN_JOB_RUNNING);
    ck_assert_uint_eq(status->task_count, SUBJECT_TASKS);
    static const char *const uids[] = {"tally", "words", "words"}; /* by uid, then subtask */
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        const struct crn_status_task *t = &status->tasks[i];
        ck_assert_str_eq(t->uid, uids[i]);
        ck_assert_uint_eq(t->subtask, i == 2);
        ck_assert_uint_eq(t->parallelism, i == 0 ? 1 : 2);
        ck_assert_uint_eq(t->max_parallelism, 128);
        ck_assert_uint_eq(t->key_group_first, i == 2 ? 64 : 0);
        ck_assert_uint_eq(t->key_group_last, i == 1 ? 63 : 127);
        ck_assert(!t->has_gate && !t->is_finished);
        ck_assert_uint_eq(t->stats.barriers + t->events_waiting, 0);
    }
    ck_assert_uint_eq(status->tasks[0].keys_set,
                      keys_before + 10); /* those that were refused do not count */
    ck_assert_uint_eq(status->tasks[1].keys_set + status->tasks[2].keys_set, 40);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * In flight
 * ------------------------------------------------------------------------------------------ */

START_TEST(a_checkpoint_on_its_way)
{
    struct subject s;
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    options.full = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, &options, reterr));
    struct crn_job_status *status = take_in_phase(s.job, 0, CRN_PART_WAITING);
    const struct crn_status_snapshot *snapshot = &status->in_flight[0];
    ck_assert_int_eq(snapshot->phase, CRN_SNAPSHOT_TASKS);
    ck_assert_int_eq(snapshot->kind, CAIRN_RECORD_CHECKPOINT);
    ck_assert(snapshot->is_full && !snapshot->is_stop);
    ck_assert_uint_eq(snapshot->phase_counts[CRN_PART_WAITING], SUBJECT_TASKS);
    ck_assert_uint_le(snapshot->timeout_left_us + snapshot->age_us, (uint64_t)600000 * 1000);
    ck_assert_uint_gt(snapshot->timeout_left_us, 0);
    ck_assert_str_eq(snapshot->location, "");
    ck_assert_str_eq(snapshot->reason, "");
    ck_assert_uint_eq(snapshot->part_count, SUBJECT_TASKS);
    ck_assert_str_eq(snapshot->parts[0].uid, "tally");
    ck_assert_str_eq(snapshot->parts[2].uid, "words");
    ck_assert_uint_eq(snapshot->parts[2].subtask, 1);
    crn_status_free(status);

    poll_once(s.tasks[2], CAIRN_EVENT_BARRIER); /* "tally" is through, the others have not begun */
    status = take_in_phase(s.job, 0, CRN_PART_ACKED);
    snapshot = &status->in_flight[0];
    ck_assert_uint_eq(snapshot->phase_counts[CRN_PART_ACKED], 1);
    ck_assert_uint_eq(snapshot->phase_counts[CRN_PART_WAITING], 2);
    ck_assert_uint_gt(snapshot->total_bytes, 0);
    ck_assert_uint_eq(snapshot->done_bytes, snapshot->total_bytes);
    ck_assert_uint_eq(status->tasks[0].stats.barriers, 1);
    uint64_t id = snapshot->id;
    crn_status_free(status);

    poll_once(s.tasks[0], CAIRN_EVENT_BARRIER);
    poll_once(s.tasks[1], CAIRN_EVENT_BARRIER);
    status = take_when_idle(s.job);
    ck_assert_uint_eq(status->counts.completed, 1);
    ck_assert(status->has_latest);
    ck_assert_uint_eq(status->latest.id, id);
    ck_assert_int_eq(status->latest_end_time_ms, status->ended[0]->end_time_ms);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* For which channel's barrier does a task wait, and how long did it? */
START_TEST(a_gate_that_aligns)
{
    cairn_job *job;
    cairn_task *task;
    cairn_gate *gate;
    cairn_gate_options options = CAIRN_GATE_OPTIONS_INIT;
    options.channel_count = 2;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "sum", NULL, &task, reterr));
    ck_ok(cairn_gate_open(task, &options, &gate, reterr));
    ck_ok(cairn_job_start(job, reterr));
    for (int i = 0; i < 5; i++)
        ck_ok(cairn_gate_record(gate, 0, "r", 1, reterr));
    ck_ok(cairn_job_trigger(job, NULL, reterr));
    struct crn_job_status *status = take_in_phase(job, 0, CRN_PART_WAITING);
    cairn_barrier barrier = {.checkpoint_id = status->in_flight[0].id};
    ck_assert(status->tasks[0].has_gate && !status->tasks[0].gate_is_aligning);
    ck_assert_uint_eq(status->tasks[0].gate_channels, 2);
    ck_assert_uint_eq(status->tasks[0].gate.records, 5);
    crn_status_free(status);
    ck_ok(cairn_gate_barrier(gate, 0, &barrier, reterr));
    status = take(job);
    ck_assert(status->tasks[0].gate_is_aligning);
    ck_assert_int_eq(status->in_flight[0].parts[0].phase, CRN_PART_ALIGNING);
    ck_assert_uint_eq(status->in_flight[0].phase_counts[CRN_PART_ALIGNING], 1);
    crn_status_free(status);
    crn_sleep_us(3000);
    ck_ok(cairn_gate_barrier(gate, 1, &barrier, reterr));
    poll_once(task, CAIRN_EVENT_BARRIER);
    status = take_when_idle(job);
    ck_assert(!status->tasks[0].gate_is_aligning);
    ck_assert_uint_eq(status->tasks[0].gate.barriers, 1);
    ck_assert_uint_ge(status->ended[0]->tasks[0].align_us, 3000);
    ck_assert_uint_eq(status->ended[0]->align_max_us, status->tasks[0].gate.alignment_last_us);
    ck_assert_uint_eq(status->histograms.align_us.count, 1);
    crn_status_free(status);
    cairn_job_close(job);
    cairn_task_close(task);
}
END_TEST

START_TEST(a_savepoint_on_its_way)
{
    struct subject s;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle, *second;
    options.target_store = f.store;
    options.format = CAIRN_NATIVE;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_savepoint_begin(s.job, &options, &handle, reterr));
    struct crn_job_status *status = take_in_phase(s.job, 1, CRN_PART_WAITING);
    ck_ok(cairn_savepoint_begin(s.job, &options, &second, reterr));
    ck_assert_int_eq(status->in_flight[0].kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_int_eq(status->in_flight[0].format, CAIRN_NATIVE);
    ck_assert_ptr_nonnull(strstr(status->in_flight[0].location, "savepoint-job-"));
    crn_status_free(status);
    status = take(s.job);
    ck_assert_uint_eq(status->savepoints_waiting, 1);
    crn_status_free(status);
    struct pump pump = {.store = s.store};
    pump_start(&pump, s.tasks, SUBJECT_TASKS);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr));
    ck_ok(cairn_savepoint_wait(second, UINT64_MAX, NULL, reterr));
    pump_stop(&pump);
    status = take_when_idle(s.job);
    ck_assert_uint_eq(status->counts.savepoints_completed, 2);
    ck_assert_uint_eq(status->counts.completed, 0);
    ck_assert_uint_eq(status->savepoints_waiting, 0);
    const struct crn_ended *ended = status->ended[0];
    ck_assert_int_eq(ended->kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_int_eq(ended->outcome, CRN_OUTCOME_COMPLETE);
    ck_assert_ptr_nonnull(strstr(ended->location, "savepoint-job-"));
    ck_assert_uint_eq(ended->new_bytes, ended->full_bytes);
    ck_assert_uint_eq(ended->task_count, SUBJECT_TASKS);
    ck_assert_uint_eq(status->histograms.duration_us.count, 0); /* they are of checkpoints */
    check_line("savepoint_complete", CAIRN_LOG_INFO, "type=native");
    cairn_savepoint_close(handle);
    cairn_savepoint_close(second);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * What ended
 * ------------------------------------------------------------------------------------------ */

START_TEST(a_complete_checkpoint_in_full)
{
    struct subject s;
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT, second = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, &first, reterr));
    ck_ok(subject_checkpoint(&s, false, &second, reterr));
    struct crn_job_status *status = take_when_idle(s.job);
    ck_assert_uint_eq(status->ended_count, 2);
    const struct crn_ended *ended = status->ended[0], *before = status->ended[1];
    ck_assert_uint_eq(ended->id, second.id); /* newest first */
    ck_assert_uint_eq(before->id, first.id);
    ck_assert(before->is_full && !ended->is_full && !ended->is_earlier);
    ck_assert_uint_eq(ended->epoch, 1);
    ck_assert_uint_eq(ended->full_bytes, second.full_bytes);
    ck_assert_uint_eq(ended->new_bytes, second.new_bytes);
    ck_assert_uint_eq(ended->file_count, second.file_count);
    ck_assert_uint_eq(ended->new_file_count, second.new_file_count);
    ck_assert_uint_eq(ended->stall_max_us, second.barrier_max_us);
    ck_assert_uint_ge(ended->duration_us, second.duration_us);
    ck_assert_uint_ge(ended->duration_us, ended->commit_us);
    ck_assert_int_ge(ended->end_time_ms, ended->trigger_time_ms);
    ck_assert_str_eq(ended->reason, "");
    ck_assert_uint_eq(ended->task_count, SUBJECT_TASKS);
    uint64_t bytes = 0, files = 0, stall = 0, delay = 0;
    for (size_t i = 0; i < ended->task_count; i++) {
        ck_assert_int_eq(ended->tasks[i].phase, CRN_PART_ACKED);
        ck_assert_str_eq(ended->tasks[i].uid, i == 0 ? "tally" : "words");
        bytes += ended->tasks[i].full_bytes;
        files += ended->tasks[i].file_count;
        stall = ended->tasks[i].stall_us > stall ? ended->tasks[i].stall_us : stall;
        delay = ended->tasks[i].start_delay_us > delay ? ended->tasks[i].start_delay_us : delay;
    }
    ck_assert_uint_eq(bytes, second.full_bytes);
    ck_assert_uint_eq(files, second.file_count);
    ck_assert_uint_eq(stall, second.barrier_max_us);
    ck_assert_uint_eq(delay, ended->start_delay_max_us);
    ck_assert_uint_le(delay, ended->duration_us);
    ck_assert_uint_eq(status->histograms.duration_us.count, 2);
    ck_assert_uint_eq(status->histograms.commit_us.count, 2);
    ck_assert_uint_eq(status->histograms.new_bytes.sum, first.new_bytes + second.new_bytes);
    ck_assert_uint_eq(status->histograms.stall_us.count, 2 * SUBJECT_TASKS);
    ck_assert_uint_eq(status->histograms.upload_us.count, 2 * SUBJECT_TASKS);
    ck_assert_uint_eq(status->histograms.align_us.count, 0);
    crn_status_free(status);

    char field[60];
    check_line("checkpoint_complete", CAIRN_LOG_INFO, "type=incremental");
    check_line("checkpoint_complete", CAIRN_LOG_INFO, "outcome=complete");
    (void)snprintf(field, sizeof field, "checkpoint_id=%llu", (unsigned long long)second.id);
    check_line("checkpoint_complete", CAIRN_LOG_INFO, field);
    (void)snprintf(field, sizeof field, "new_bytes=%llu", (unsigned long long)second.new_bytes);
    check_line("checkpoint_complete", CAIRN_LOG_INFO, field);
    (void)snprintf(field, sizeof field, "stall_us=%llu", (unsigned long long)second.barrier_max_us);
    check_line("checkpoint_complete", CAIRN_LOG_INFO, field);
    subject_close(&s);
}
END_TEST

static int decline(void *context, cairn_task *task, uint64_t id)
{
    (void)task;
    (void)id;
    return *(bool *)context ? CAIRN_EIO : 0;
}

/* Who it was, why, and how far the others came. */
START_TEST(a_checkpoint_that_a_task_declines)
{
    cairn_job *job;
    cairn_task *tasks[2];
    bool declines = true;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "good", NULL, &tasks[0], reterr));
    options.before_barrier = decline;
    options.context = &declines;
    ck_ok(cairn_task_open(job, "bad", &options, &tasks[1], reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_ok(cairn_job_trigger(job, NULL, reterr));
    crn_status_free(take_in_phase(job, 0, CRN_PART_WAITING));
    poll_once(tasks[0], CAIRN_EVENT_BARRIER);
    crn_status_free(take_in_phase(job, 1, CRN_PART_ACKED));
    poll_once(tasks[1], CAIRN_EVENT_NONE);
    struct crn_job_status *status = take_when_failed(job, 1);
    ck_assert_uint_eq(status->counts.failed_in_row, 1);
    ck_assert_uint_eq(status->counts.completed, 0);
    ck_assert(!status->has_latest);
    const struct crn_ended *ended = status->ended[0];
    ck_assert_int_eq(ended->outcome, CRN_OUTCOME_FAILED);
    ck_assert_str_eq(ended->failed_uid, "bad");
    ck_assert_uint_eq(ended->failed_subtask, 0);
    ck_assert_ptr_nonnull(strstr(ended->reason, "operator 'bad' subtask 0"));
    ck_assert_ptr_nonnull(strstr(ended->reason, "CAIRN_EIO"));
    ck_assert_uint_eq(ended->task_count, 2);
    ck_assert_int_eq(ended->tasks[0].phase, CRN_PART_ACKED);
    ck_assert_int_eq(ended->tasks[1].phase, CRN_PART_WAITING);
    ck_assert_uint_gt(ended->tasks[0].full_bytes, 0);
    ck_assert_uint_eq(ended->tasks[1].full_bytes, 0);
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "operator=bad");
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "tasks_done=1");
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "code=CAIRN_EIO");
    ck_assert_uint_eq(status->histograms.duration_us.count, 0);
    crn_status_free(status);

    /* The next one that completes ends the row. */
    declines = false;
    struct pump pump = {.store = f.store};
    pump_start(&pump, tasks, 2);
    ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr));
    pump_stop(&pump);
    status = take_when_idle(job);
    ck_assert_uint_eq(status->counts.failed, 1);
    ck_assert_uint_eq(status->counts.failed_in_row, 0);
    ck_assert_uint_eq(status->counts.completed, 1);
    crn_status_free(status);
    cairn_job_close(job);
    cairn_task_close(tasks[0]);
    cairn_task_close(tasks[1]);
}
END_TEST

START_TEST(a_task_that_does_not_poll)
{
    struct subject s;
    f.options.checkpoint_timeout_ms = 400;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    crn_status_free(take_in_phase(s.job, 0, CRN_PART_WAITING));
    poll_once(s.tasks[0], CAIRN_EVENT_BARRIER);
    poll_once(s.tasks[2], CAIRN_EVENT_BARRIER);
    crn_status_free(take_in_phase(s.job, 0, CRN_PART_ACKED));
    crn_status_free(take_in_phase(s.job, 1, CRN_PART_ACKED));
    struct crn_job_status *status = take_when_failed(s.job, 1);
    const struct crn_ended *ended = status->ended[0];
    ck_assert_str_eq(ended->failed_uid, "words");
    ck_assert_uint_eq(ended->failed_subtask, 1);
    ck_assert_uint_ge(ended->duration_us, 400000);
    ck_assert_ptr_nonnull(strstr(ended->reason, "did not poll in time"));
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "code=CAIRN_ETIMEOUT");
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* What the job's own end cuts short is no failure. */
START_TEST(a_job_that_is_closed_in_between)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    struct crn_job_status *before = take_in_phase(s.job, 0, CRN_PART_WAITING);
    subject_close(&s);
    check_line("checkpoint_cancelled", CAIRN_LOG_INFO, "outcome=cancelled");
    ck_assert_int_eq(before->in_flight[0].phase, CRN_SNAPSHOT_TASKS); /* it is what it was */
    crn_status_free(before);
}
END_TEST

START_TEST(a_failed_savepoint)
{
    struct subject s;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = f.store;
    options.timeout_ms = 40;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_fails(cairn_savepoint(s.job, &options, NULL, reterr), CAIRN_EABORTED, "timed out");
    struct crn_job_status *status = take_when_failed(s.job, 1);
    ck_assert_uint_eq(status->counts.savepoints_failed, 1);
    ck_assert_uint_eq(status->counts.failed, 0);
    ck_assert_uint_eq(status->counts.failed_in_row, 0);
    ck_assert_int_eq(status->ended[0]->kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_ptr_nonnull(strstr(status->ended[0]->reason, "timed out"));
    check_line("savepoint_failed", CAIRN_LOG_WARNING, "type=canonical");
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

START_TEST(the_history_is_bounded)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    for (unsigned i = 0; i < CRN_STATUS_ENDED_MAX + 6; i++)
        ck_ok(subject_checkpoint(&s, false, &info, reterr));
    struct crn_job_status *status = take_when_idle(s.job);
    ck_assert_uint_eq(status->ended_count, CRN_STATUS_ENDED_MAX);
    ck_assert_uint_eq(status->counts.completed, CRN_STATUS_ENDED_MAX + 6);
    for (unsigned i = 0; i < CRN_STATUS_ENDED_MAX; i++)
        ck_assert_uint_eq(status->ended[i]->id, info.id - i);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Over restarts
 * ------------------------------------------------------------------------------------------ */

START_TEST(reasons_and_durations_survive)
{
    struct subject s;
    cairn_checkpoint_info last = CAIRN_CHECKPOINT_INFO_INIT;
    f.options.checkpoint_timeout_ms = 50;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    struct crn_job_status *status = take_when_failed(s.job, 1);
    uint64_t failed_id = status->ended[0]->id;
    CRN_AUTO_FREE char *reason = strdup(status->ended[0]->reason);
    crn_status_free(status);
    subject_close(&s);
    f.options.checkpoint_timeout_ms = 0;
    for (int run = 0; run < 3; run++) { /* the failure is history only, in the end */
        ck_ok(subject_open(&f, "job", &s, reterr));
        ck_ok(subject_checkpoint(&s, false, &last, reterr));
        subject_close(&s);
    }
    ck_ok(subject_open(&f, "job", &s, reterr));
    status = take(s.job);
    ck_assert(status->has_restored && status->has_latest);
    ck_assert_uint_eq(status->latest.id, last.id);
    ck_assert_int_gt(status->latest_end_time_ms, 0);
    ck_assert_uint_eq(status->counts.completed + status->counts.failed, 0); /* of this run */
    size_t fences = 0, complete = 0;
    const struct crn_ended *failed = NULL, *newest = NULL;
    for (size_t i = 0; i < status->ended_count; i++) {
        const struct crn_ended *ended = status->ended[i];
        ck_assert(ended->is_earlier);
        ck_assert_uint_lt(ended->epoch, status->epoch);
        if (i > 0)
            ck_assert_uint_lt(ended->id, status->ended[i - 1]->id);
        fences += ended->kind == CAIRN_RECORD_FENCE;
        complete += ended->kind == CAIRN_RECORD_CHECKPOINT;
        failed = ended->id == failed_id ? ended : failed;
        newest = ended->id == last.id ? ended : newest;
    }
    ck_assert_uint_eq(fences, 4);
    ck_assert_uint_eq(complete, 3);
    ck_assert(failed != NULL && newest != NULL);
    ck_assert_int_eq(failed->outcome, CRN_OUTCOME_FAILED);
    ck_assert_str_eq(failed->reason, reason);
    ck_assert_uint_ge(failed->duration_us, 50000);
    ck_assert_uint_eq(newest->full_bytes, last.full_bytes);
    ck_assert_uint_eq(newest->stall_max_us, last.barrier_max_us);
    ck_assert_uint_eq(newest->task_count, SUBJECT_TASKS); /* it is retained: its tasks are known */
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

START_TEST(a_job_that_was_taken_over)
{
    struct subject s, second;
    struct fixture other = f;
    (void)snprintf(other.local_dir, sizeof other.local_dir, "%s/other", f.root);
    other.options.local_dir = other.local_dir;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_open(&other, "job", &second, reterr));
    ck_fails(subject_checkpoint(&s, false, NULL, reterr), CAIRN_EFENCED, "taken over");
    struct crn_job_status *status = take_when_idle(s.job);
    ck_assert_int_eq(status->state, CAIRN_JOB_FENCED);
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "taken over"));
    ck_assert_uint_eq(status->counts.failed, 0);
    crn_status_free(status);
    subject_close(&s);
    subject_close(&second);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Threads
 * ------------------------------------------------------------------------------------------ */

struct watcher {
    cairn_job *job;
    pthread_t thread;
    uint64_t pictures;
    int code;
};

static void *watch(void *arg)
{
    struct watcher *watcher = arg;
    for (;;) {
        struct crn_job_status *status = NULL;
        watcher->code = crn_status_take(watcher->job, &status, NULL);
        if (watcher->code < 0)
            return NULL;
        struct cairn_buffer text = {0};
        (void)crn_metrics_write(status, &text);
        crn_buf_done(&text);
        crn_status_free(status);
        __atomic_fetch_add(&watcher->pictures, 1, __ATOMIC_RELAXED);
    }
}

/* Pictures until the job is closed; a task is closed meanwhile, and a savepoint taken. */
START_TEST(looking_disturbs_nobody)
{
    struct subject s;
    struct watcher watchers[2];
    ck_ok(subject_open(&f, "job", &s, reterr));
    cairn_job *job = s.job;
    atomic_fetch_add(&job->refs, 1); /* a call may begin right beside close here */
    for (int i = 0; i < 2; i++) {
        watchers[i] = (struct watcher){.job = job};
        ck_assert_int_eq(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]), 0);
    }
    for (int i = 0; i < 10; i++) {
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        ck_ok(subject_checkpoint(&s, i % 2 == 0, &info, reterr));
        for (int64_t key = 0; key < 100; key++)
            set_key(s.tasks[subject_of_key(key)], key);
    }
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = f.store;
    struct pump pump = {.store = s.store};
    pump_start(&pump, s.tasks, SUBJECT_TASKS);
    ck_ok(cairn_savepoint(s.job, &options, NULL, reterr));
    pump_stop(&pump);
    cairn_task_close(s.tasks[1]);
    s.tasks[1] = NULL;
    while (__atomic_load_n(&watchers[0].pictures, __ATOMIC_RELAXED) < 20)
        crn_sleep_us(1000);
    subject_close(&s);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(watchers[i].thread, NULL), 0);
        ck_assert_int_eq(watchers[i].code, CAIRN_ECLOSED);
    }
    crn_job_unref(job);
}
END_TEST

START_TEST(metrics_of_a_running_job)
{
    struct subject s;
    char *text = NULL;
    ck_assert_int_eq(cairn_job_metrics(NULL, &text, NULL), CAIRN_EINVAL);
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_fails(cairn_job_metrics(s.job, NULL, reterr), CAIRN_EINVAL, "ret_text");
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(cairn_job_metrics(s.job, &text, reterr));
    ck_assert_ptr_nonnull(strstr(text, "cairn_checkpoints_completed_total{job_name=\"job\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(
        text, "cairn_task_barriers_total{job_name=\"job\",operator=\"words\",subtask=\"1\"} 1\n"));
    free(text);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The handbook
 * ------------------------------------------------------------------------------------------ */

START_TEST(the_handbook_lists_exactly_these_fields)
{
    static char doc[1 << 20];
    FILE *file = fopen(CRN_TEST_SOURCE_ROOT "/docs/operations.md", "r");
    ck_assert_ptr_nonnull(file);
    doc[fread(doc, 1, sizeof doc - 1, file)] = '\0';
    ck_assert_int_eq(fclose(file), 0);
    char *begin = strstr(doc, "| field | what |");
    ck_assert_ptr_nonnull(begin);
    char *end = strstr(begin, "\n\n");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    size_t rows = 0;
    for (const char *p = begin; (p = strstr(p, "\n| `")) != NULL; p++)
        rows++;
    ck_assert_uint_eq(rows, CRN_FIELD_COUNT + 1); /* and the job's name */
    for (int i = 0; i < CRN_FIELD_COUNT; i++) {
        char row[80];
        (void)snprintf(row, sizeof row, "\n| `%s` |", crn_field_name((enum crn_field)i));
        ck_assert_msg(strstr(begin, row) != NULL, "docs/operations.md has no row for '%s'",
                      crn_field_name((enum crn_field)i));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_job_that_is_open);
    tcase_add_test(tcase, tasks_and_their_counters);
    tcase_add_test(tcase, a_checkpoint_on_its_way);
    tcase_add_test(tcase, a_gate_that_aligns);
    tcase_add_test(tcase, a_savepoint_on_its_way);
    tcase_add_test(tcase, a_complete_checkpoint_in_full);
    tcase_add_test(tcase, a_checkpoint_that_a_task_declines);
    tcase_add_test(tcase, a_task_that_does_not_poll);
    tcase_add_test(tcase, a_job_that_is_closed_in_between);
    tcase_add_test(tcase, a_failed_savepoint);
    tcase_add_test(tcase, the_history_is_bounded);
    tcase_add_test(tcase, reasons_and_durations_survive);
    tcase_add_test(tcase, a_job_that_was_taken_over);
    tcase_add_test(tcase, looking_disturbs_nobody);
    tcase_add_test(tcase, metrics_of_a_running_job);
    tcase_add_test(tcase, the_handbook_lists_exactly_these_fields);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
