/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what becomes of a savepoint that was asked for, from its turn to the start from it: tasks
 * learn of it by its id, each waits for its turn and has its own timeout, whoever waits for it is
 * told what is known when the job closes, a writer that is fenced withdraws it (P7), and a job that
 * starts from it depends on nothing of it from its first checkpoint on (P9). Method: tasks that are
 * not polled, stores that hang or fail at the moment in question, and handles that are asked.
 */
#include "tests/support/gate_store.h"
#include "tests/support/taker.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Turns, ends and races
 * ------------------------------------------------------------------------------------------ */

static int note_id(void *context, cairn_task *task, uint64_t id)
{
    (void)task;
    *(uint64_t *)context = id;
    return 0;
}

/* One task of a job of its own, polled here: every event can be seen. */
START_TEST(test_events_and_before_barrier_have_its_id)
{
    struct taker t;
    cairn_job *job = NULL;
    cairn_task *task = NULL;
    uint64_t barrier_id = 0;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_task_options task_options = CAIRN_TASK_OPTIONS_INIT;
    cairn_event event;
    taker_init(&t, FAKE);
    subject_close(&t.s);
    task_options.before_barrier = note_id;
    task_options.context = &barrier_id;
    ck_ok(fixture_open_job(&t.f, "other", &job, reterr));
    ck_ok(cairn_task_open(job, "op", &task_options, &task, reterr));
    ck_ok(cairn_job_start(job, reterr));
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(cairn_task_savepoint(task, &options, &info, reterr));
    ck_assert_uint_eq(barrier_id, info.id);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_SAVEPOINT);
    ck_assert_uint_eq(event.checkpoint_id, info.id);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    ck_assert_int_eq(cairn_job_last_checkpoint(job, NULL), 0);
    cairn_job_close(job);
    cairn_task_close(task);
    taker_done(&t);
}
END_TEST

/* Nobody polls, so that the first one times out; the one behind it waits for its turn. */
START_TEST(test_each_has_its_own_timeout_and_turn)
{
    struct taker t;
    struct pump pump = {0};
    cairn_savepoint_handle *first = NULL, *second = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_CANONICAL);
    options.timeout_ms = 20;
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &first, reterr));
    options.timeout_ms = 0;
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &second, reterr));
    ck_ok(cairn_savepoint_begin(t.s.job, &options, NULL, reterr));
    ck_fails(cairn_savepoint_wait(first, UINT64_MAX, NULL, reterr), CAIRN_EABORTED,
             "timed out after 20 ms");
    ck_ok(cairn_savepoint_status(first, &info, reterr));
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_FAILED);
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    ck_ok(cairn_savepoint_wait(second, UINT64_MAX, &info, reterr));
    while (!store_has(t.target, "savepoint-job-4/MANIFEST-chk4")) /* nobody holds its handle */
        crn_sleep_us(1000);
    pump_stop(&pump);
    ck_assert_uint_eq(info.id, 3); /* 2 was resolved as aborted */
    expect_state(&t, t.target, 3, &t.oracle);
    cairn_savepoint_close(first);
    cairn_savepoint_close(second);
    taker_done(&t);
}
END_TEST

START_TEST(test_closing_the_job_ends_them)
{
    struct taker t;
    cairn_savepoint_handle *flying = NULL, *waiting = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &flying, reterr));
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &waiting, reterr));
    subject_close(&t.s);
    ck_assert_int_eq(cairn_savepoint_wait(flying, UINT64_MAX, NULL, NULL), CAIRN_ECLOSED);
    ck_assert_int_eq(cairn_savepoint_wait(waiting, 0, &info, NULL), CAIRN_ECLOSED);
    ck_ok(cairn_savepoint_status(waiting, &info, reterr));
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_FAILED);
    cairn_savepoint_close(flying);
    cairn_savepoint_close(waiting);
    ck_assert_uint_eq(store_count(t.target, ""), 0);
    taker_done(&t);
}
END_TEST

/* The job is closed while its store does not tell whether the log has the pointer: what stands in
 * the target is a savepoint, and nobody says otherwise. */
START_TEST(test_closing_in_doubt_says_so)
{
    struct taker t;
    struct pump pump = {0};
    cairn_savepoint_handle *handle = NULL;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_CANONICAL);
    fixture_arm(&t.f,
                (struct crn_fault_plan){.ops = CRN_FAULT_CREATE,
                                        .mode = _i == 0 ? CRN_FAULT_BEFORE : CRN_FAULT_LOST_REPLY,
                                        .at = 1,
                                        .and_after = true,
                                        .code = CAIRN_EUNKNOWN});
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    while (!crn_fault_store_fired(t.f.store))
        crn_sleep_us(1000);
    pump_stop(&pump);
    fixture_arm(&t.f, (struct crn_fault_plan){.ops = CRN_FAULT_ANY,
                                              .mode = CRN_FAULT_BEFORE,
                                              .at = 1,
                                              .and_after = true,
                                              .code = CAIRN_EUNAVAIL});
    subject_close(&t.s);
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EUNKNOWN,
             "is whole in 'savepoint-job-2'");
    fixture_disarm(&t.f, CRN_FAULT_ANY);
    expect_state(&t, t.target, 2, &t.oracle);
    cairn_savepoint_close(handle);
    taker_done(&t);
}
END_TEST

/* Another process takes the job over while the savepoint's first object, or its manifest, is under
 * way: the writer learns it, and nothing of the savepoint is left (P7). */
START_TEST(test_a_fenced_writer_withdraws_its_savepoint)
{
    struct taker t;
    struct pump pump = {0};
    struct subject successor;
    atomic_bool never = false;
    cairn_savepoint_handle *handle = NULL;
    taker_init(&t, FAKE);
    cairn_store *gate = gate_store_open(t.target);
    mutate(&t);
    checkpoint(&t);
    cairn_savepoint_options options = options_for(gate, CAIRN_CANONICAL);
    gate_stop_at(gate, _i == 0 ? CRN_FAULT_PUT : CRN_FAULT_CREATE, 1,
                 _i == 1 ? GATE_BEFORE : GATE_AFTER);
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    ck_assert(gate_wait_stopped(gate, &never));
    struct fixture other = t.f;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&t.f, "successor");
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &successor, reterr));
    gate_let_go(gate);
    ck_assert_int_eq(cairn_savepoint_wait(handle, UINT64_MAX, NULL, NULL), CAIRN_EFENCED);
    pump_stop(&pump);
    cairn_event event;
    ck_assert_int_eq(cairn_task_poll(t.s.tasks[0], &event, NULL), CAIRN_EFENCED);
    cairn_savepoint_close(handle);
    ck_assert_uint_eq(store_count(t.target, ""), 0);
    ck_assert_ptr_null(oracle_compare(&t.oracle, &successor));
    subject_close(&successor);
    taker_done(&t);
    cairn_store_close(gate);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The way back
 * ------------------------------------------------------------------------------------------ */

/* A job that starts from a savepoint without claim lets the store copy what it can, and depends on
 * nothing from its first checkpoint on. */
START_TEST(test_the_first_checkpoint_lets_go_of_the_source)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.f.store, CAIRN_NATIVE);
    ck_ok(take(&t, &options, &info, reterr));
    subject_close(&t.s);
    CRN_AUTO_FREE char *name = name_of(info.id);
    t.f.options.restore_store = t.f.store;
    t.f.options.restore_name = name;
    ck_ok(subject_open(&t.f, "heir", &t.s, reterr));
    fixture_disarm(&t.f, CRN_FAULT_COPY);
    cairn_trigger_options trigger = CAIRN_TRIGGER_OPTIONS_INIT;
    struct pump pump = {0};
    pump_start(&pump, &t.s.tasks[1], SUBJECT_TASKS - 1);
    ck_ok(cairn_task_checkpoint(t.s.tasks[0], &trigger, &first, reterr));
    pump_stop(&pump);
    ck_assert_uint_gt(crn_fault_store_calls(t.f.store), 0);
    ck_assert(first.is_full);
    cairn_event event;
    ck_ok(cairn_task_poll(t.s.tasks[0], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_ok(cairn_task_poll(t.s.tasks[0], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_INDEPENDENT);
    ck_assert_uint_eq(event.checkpoint_id, first.id);
    mutate(&t);
    cairn_checkpoint_info second = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_checkpoint(&t.s, false, &second, reterr));
    ck_assert(!second.is_full);
    subject_close(&t.s); /* what was subsumed is removed by then */
    store_check_tidy(t.f.store, "heir");
    t.f.options.restore_store = NULL;
    t.f.options.restore_name = NULL;
    ck_ok(subject_open(&t.f, "heir", &t.s, reterr));
    ck_assert_ptr_null(oracle_compare(&t.oracle, &t.s));
    taker_done(&t);
}

int main(void)
{
    Suite *suite = suite_create("savepoint_life");
    TCase *tcase = tcase_create("savepoint_life");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_events_and_before_barrier_have_its_id);
    tcase_add_test(tcase, test_each_has_its_own_timeout_and_turn);
    tcase_add_test(tcase, test_closing_the_job_ends_them);
    tcase_add_loop_test(tcase, test_closing_in_doubt_says_so, 0, 2);
    tcase_add_loop_test(tcase, test_a_fenced_writer_withdraws_its_savepoint, 0, 3);
    tcase_add_test(tcase, test_the_first_checkpoint_lets_go_of_the_source);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
