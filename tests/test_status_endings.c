/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job tells while several checkpoints are in flight, and when it ends: the phase of each
 * attempt, which one was subsumed by which, how many failed in a row; the states from STOPPING to
 * STOPPED, CANCELLED and FAILED, with the reason and the event in the log; what was cut short by an
 * end is no failure. Method: a store that holds the uploads of an attempt until the test lets them
 * go, and tasks that poll only when the test says so.
 */
#include "tests/support/gate_store.h"
#include "tests/support/status_kit.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;
static cairn_store *shared; /* what is stored; f.store is a view of it in which puts can be held */
static struct subject s;

static void setup(void)
{
    watch_fixture_init(&f);
    shared = f.store;
    f.store = f.options.store = gate_store_open(shared);
    f.options.max_concurrent = 2;
    f.options.inline_threshold_bytes = 1; /* so that each task sends something */
}

static void teardown(void)
{
    cairn_store_close(f.store);
    f.store = shared;
    fixture_done(&f);
}

static void start_pump(struct pump *pump)
{
    *pump = (struct pump){.store = s.store};
    pump_start(pump, s.tasks, SUBJECT_TASKS);
}

/* A picture in which so many are in flight and the newest has been acknowledged by so many tasks.
 */
static struct crn_job_status *take_in_flight(size_t count, uint32_t acked)
{
    for (int i = 0; i < 4000; i++) {
        struct crn_job_status *status = take_status(s.job);
        if (status->in_flight_count == count &&
            (count == 0 || status->in_flight[count - 1].phase_counts[CRN_PART_ACKED] == acked))
            return status;
        crn_status_free(status);
        crn_sleep_us(1000);
    }
    ck_abort_msg("there are never %zu in flight, %u acked", count, acked);
}

START_TEST(one_overtakes_another)
{
    struct pump pump;
    f.options.transfer_threads = 64; /* held uploads keep theirs */
    ck_ok(subject_open(&f, "job", &s, reterr));
    gate_hold(f.store, 2);
    gate_hold(f.store, 3);
    start_pump(&pump);
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    gate_wait_held(f.store, 2, 1);
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    gate_wait_held(f.store, 3, 1);
    struct crn_job_status *status = take_in_flight(2, 0);
    ck_assert_uint_eq(status->in_flight[0].id, 2); /* by id */
    ck_assert_uint_eq(status->in_flight[1].id, 3);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(status->in_flight[i].phase, CRN_SNAPSHOT_TASKS);
        ck_assert_uint_eq(status->in_flight[i].part_count, SUBJECT_TASKS);
        ck_assert_uint_lt(status->in_flight[i].done_bytes, status->in_flight[i].total_bytes);
    }
    crn_status_free(status);
    gate_release(f.store, 3);
    for (;;) { /* 3 is through, and dooms 2, whose uploads hang still */
        status = take_status(s.job);
        if (status->in_flight_count > 0 && status->in_flight[0].phase == CRN_SNAPSHOT_ABORTING)
            break;
        crn_status_free(status);
        crn_sleep_us(1000);
    }
    ck_assert_uint_eq(status->in_flight[0].id, 2);
    ck_assert_ptr_nonnull(strstr(status->in_flight[0].reason, "subsumed by checkpoint 3"));
    crn_status_free(status);
    gate_release(f.store, 2);
    status = take_in_flight(0, 0);
    pump_stop(&pump);
    ck_assert_uint_eq(status->counts.completed, 1);
    ck_assert_uint_eq(status->counts.subsumed, 1);
    ck_assert_uint_eq(status->counts.failed + status->counts.failed_in_row, 0);
    ck_assert_uint_eq(status->ended[0]->id, 3);
    ck_assert_int_eq(status->ended[0]->outcome, CRN_OUTCOME_COMPLETE);
    ck_assert_uint_eq(status->ended[1]->id, 2);
    ck_assert_int_eq(status->ended[1]->outcome, CRN_OUTCOME_SUBSUMED);
    check_line("checkpoint_subsumed", CAIRN_LOG_INFO, "checkpoint_id=2");
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

START_TEST(a_job_that_is_stopped)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle;
    struct pump pump;
    options.target_store = f.store;
    options.stop = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_savepoint_begin(s.job, &options, &handle, reterr));
    struct crn_job_status *status = take_in_flight(1, 0);
    ck_assert_int_eq(status->state, CAIRN_JOB_STOPPING);
    ck_assert(status->in_flight[0].is_stop);
    ck_assert_str_eq(status->stop_reason, "");
    crn_status_free(status);
    start_pump(&pump);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr));
    pump_stop(&pump);
    cairn_savepoint_close(handle);
    status = take_in_flight(0, 0);
    ck_assert_int_eq(status->state, CAIRN_JOB_STOPPED);
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "was stopped with savepoint"));
    ck_assert(status->ended[0]->is_stop);
    ck_assert_uint_eq(status->counts.savepoints_completed, 1);
    check_line("job_stopped", CAIRN_LOG_INFO, "checkpoint_id=2");
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

START_TEST(a_job_that_is_cancelled)
{
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    crn_status_free(take_in_phase(s.job, 0, CRN_PART_WAITING));
    ck_ok(cairn_job_cancel(s.job, reterr));
    struct crn_job_status *status = take_in_flight(0, 0);
    ck_assert_int_eq(status->state, CAIRN_JOB_CANCELLED);
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "cancelled"));
    ck_assert_int_eq(status->ended[0]->outcome, CRN_OUTCOME_CANCELLED);
    ck_assert_uint_eq(status->counts.cancelled, 1);
    ck_assert_uint_eq(status->counts.failed + status->counts.failed_in_row, 0);
    crn_status_free(status);
    subject_close(&s);
    check_line("job_cancelled", CAIRN_LOG_INFO, "event=job_cancelled");
}
END_TEST

START_TEST(a_job_that_fails)
{
    f.options.checkpoint_timeout_ms = 30;
    f.options.tolerable_failures = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (uint64_t i = 1; i <= 2; i++) {
        ck_ok(cairn_job_trigger(s.job, NULL, reterr));
        struct crn_job_status *status = take_when_failed(s.job, i);
        ck_assert_uint_eq(status->counts.failed_in_row, i);
        crn_status_free(status);
    }
    struct crn_job_status *status = NULL;
    for (;;) {
        status = take_status(s.job);
        if (status->state == CAIRN_JOB_FAILED)
            break;
        crn_status_free(status);
        crn_sleep_us(1000);
    }
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "2 checkpoints in a row"));
    check_line("job_failed", CAIRN_LOG_ERROR, "code=CAIRN_EFAILED");
    struct cairn_buffer text = {0};
    ck_assert_int_eq(crn_metrics_write(status, &text), 0);
    ck_assert_ptr_nonnull(
        strstr((const char *)text.data, "cairn_job_state{job_name=\"job\",state=\"failed\"} 1\n"));
    crn_buf_done(&text);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

START_TEST(a_task_that_has_finished)
{
    struct pump pump;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_task_finish(s.tasks[2], reterr));
    start_pump(&pump);
    ck_ok(cairn_job_checkpoint(s.job, NULL, NULL, reterr));
    pump_stop(&pump);
    struct crn_job_status *status = take_in_flight(0, 0);
    ck_assert(status->tasks[0].is_finished && !status->tasks[1].is_finished);
    ck_assert(status->ended[0]->tasks[0].is_finished && !status->ended[0]->tasks[1].is_finished);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status-endings");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, one_overtakes_another);
    tcase_add_test(tcase, a_job_that_is_stopped);
    tcase_add_test(tcase, a_job_that_is_cancelled);
    tcase_add_test(tcase, a_job_that_fails);
    tcase_add_test(tcase, a_task_that_has_finished);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
