/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job tells about itself is true: its tasks and their counters, and what is in flight and
 * for whom it waits; its lines of the log have the names that docs/operations.md lists, and no
 * other. And looking disturbs nobody: pictures are taken by several threads while checkpoints run,
 * tasks close and the job ends, and outlive it. Method: a job whose tasks poll only when the test
 * says so.
 */
#include "engine/status/fields.h"
#include "tests/support/status_kit.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;

static void setup(void)
{
    watch_fixture_init(&f);
}

static void teardown(void)
{
    fixture_done(&f);
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
    f.options.control_token = "a-token-that-nobody-sees";
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "op", NULL, &task, reterr));
    struct crn_job_status *status = take_status(job);
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
        ck_assert_ptr_null(strstr(status->options[i].value, "nobody-sees"));
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
    struct crn_job_status *before = take_status(s.job);
    uint64_t keys_before = before->tasks[0].keys_set;
    crn_status_free(before);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(cairn_task_set_key(s.tasks[2], "no int64", 3), CAIRN_EINVAL);
        set_key(s.tasks[2], 0);
    }
    for (int64_t key = 0; key < 40; key++)
        set_key(s.tasks[subject_of_key(key)], key);
    struct crn_job_status *status = take_status(s.job);
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
    status = take_status(job);
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
    status = take_status(s.job);
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

/* The table that begins with this line has exactly these rows. */
static void check_table(const char *doc, const char *first_line, const char *(*word)(int),
                        int count)
{
    const char *begin = strstr(doc, first_line);
    ck_assert_msg(begin != NULL, "docs/operations.md has no table '%s'", first_line);
    const char *end = strstr(begin, "\n\n");
    ck_assert_ptr_nonnull(end);
    CRN_AUTO_FREE char *table = strndup(begin, (size_t)(end - begin));
    int rows = 0;
    for (const char *p = table; (p = strstr(p, "\n| `")) != NULL; p++)
        rows++;
    ck_assert_msg(rows == count, "'%s' has %d rows, not %d", first_line, rows, count);
    for (int i = 0; i < count; i++) {
        char row[80];
        (void)snprintf(row, sizeof row, "\n| `%s` |", word(i));
        ck_assert_msg(strstr(table, row) != NULL, "no row for '%s'", word(i));
    }
}

/* The job's name is a field of every line. */
static const char *field_word(int i)
{
    return i == CRN_FIELD_COUNT ? "job" : crn_field_name((enum crn_field)i);
}

static const char *told_word(int i)
{
    return crn_told_word((enum crn_told)i);
}

START_TEST(the_handbook_lists_exactly_these)
{
    static char doc[1 << 20];
    FILE *file = fopen(CRN_TEST_SOURCE_ROOT "/docs/operations.md", "r");
    ck_assert_ptr_nonnull(file);
    doc[fread(doc, 1, sizeof doc - 1, file)] = '\0';
    ck_assert_int_eq(fclose(file), 0);
    check_table(doc, "| field | what |", field_word, CRN_FIELD_COUNT + 1);
    check_table(doc, "| event | level | when |", told_word, CRN_TOLD_COUNT);
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
    tcase_add_test(tcase, looking_disturbs_nobody);
    tcase_add_test(tcase, metrics_of_a_running_job);
    tcase_add_test(tcase, the_handbook_lists_exactly_these);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
