/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a sink's call that fails loses nothing and makes nothing visible that should not be
 * (cairn/sink.h): each of them is told, by the call that it is due to, and made again, and what was
 * done already is not repeated; and that calls and states that make no sense are refused (P11).
 * Method: as in test_two_phase.c, with a table of transactions that lets the calls fail on demand.
 */
#include "tests/support/tx_table.h"

#include "engine/sinks/two_phase.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Calls that fail
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_begin_fails)
{
    struct service s;
    const void *d;
    size_t size;
    open_service(&s, 1);
    let_fail(BEGIN, _i == 1);
    ck_says(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), "begin");
    checkpoint(&s); /* nothing to prepare */
    table.results[BEGIN] = 1;
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "begin gave 1, which is no result");
    table.results[BEGIN] = 0;
    table.without_description = true;
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "description of 0 bytes");
    table.without_description = false;
    unsigned a = write_to(&s, 0);
    checkpoint(&s);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* The checkpoint is aborted and says why; the transaction is still the one to write to. */
START_TEST(test_prepare_fails)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    let_fail(PREPARE, _i == 1);
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_EABORTED, "sink 'out'");
    ck_says(crn_two_phase_seal(s.sinks[0], reterr), "prepare");
    drain_events(&s);
    ck_assert_uint_eq(write_to(&s, 0), a);
    table.results[PREPARE] = 0;
    checkpoint(&s);
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 1);
    ck_assert_uint_eq(table.begun, 1);
    close_service(&s);
}
END_TEST

/* Poll says so again and again, and gives nothing else; what was committed is not repeated. */
START_TEST(test_commit_fails)
{
    struct service s;
    cairn_event event = {.checkpoint_id = 77};
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    unsigned b = write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    table.fail_from = b;
    let_fail(COMMIT, _i == 1);
    post(&s, CAIRN_EVENT_DRAIN, 0);
    for (int i = 0; i < 3; i++)
        ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "commit");
    ck_fails(cairn_task_wait(s.tasks[0], 0, &event, reterr), CAIRN_ENOSPC,
             "operator 'writer' subtask 0: sink 'out'");
    ck_assert_uint_eq(event.checkpoint_id, 77);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 0);
    table.results[COMMIT] = 0;
    event = poll_one(&s, 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, id);
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_DRAIN);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* The event that could not be delivered is lost to newer ones: those commit what it would have. */
START_TEST(test_commit_fails_with_a_full_mailbox)
{
    struct service s;
    cairn_event event;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    let_fail(COMMIT, false);
    ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "commit");
    for (uint64_t i = 1; i <= CRN_MAILBOX_SIZE; i++)
        post(&s, CAIRN_EVENT_COMPLETED, id + i);
    ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "commit");
    table.results[COMMIT] = 0;
    ck_assert_uint_eq(poll_one(&s, 0).checkpoint_id, id + 1);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* Opening says so, and may be tried again; meanwhile nothing is forgotten. */
START_TEST(test_commit_fails_at_open)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    unsigned b = write_to(&s, 0);
    take_checkpoint(&s);
    close_service(&s);

    open_tasks(&s, "job", 1);
    table.fail_from = b;
    let_fail(COMMIT, _i == 1);
    for (int i = 0; i < 2; i++)
        ck_says(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr), "commit");
    if (_i == 0) { /* a service that goes on all the same: the state stays what it is */
        ck_ok(cairn_job_start(s.job, reterr));
        checkpoint(&s);
        close_service(&s);
        open_tasks(&s, "job", 1);
    }
    table.results[COMMIT] = 0;
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 1);
    ck_ok(cairn_job_start(s.job, reterr));
    checkpoint(&s);
    close_service(&s);
    ck_assert_uint_eq(table.committed, 2);
}
END_TEST

/* What a subtask without the sink still has prepared is not garbage. */
START_TEST(test_sweep_waits_for_every_subtask)
{
    struct service s;
    open_service(&s, 2);
    unsigned a = write_to(&s, 0), b = write_to(&s, 1);
    take_checkpoint(&s);
    close_service(&s);
    open_tasks(&s, "job", 2);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 0);
    checkpoint(&s);
    ck_assert_uint_eq(table.calls[SWEEP], 0);
    close_service(&s);
    open_service(&s, 2);
    ck_calls(b, COMMIT, 1);
    checkpoint(&s);
    ck_assert_uint_eq(table.calls[SWEEP], 1);
    close_service(&s);
}
END_TEST

START_TEST(test_sweep_fails)
{
    struct service s;
    cairn_event event;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    take_checkpoint(&s);
    let_fail(SWEEP, _i == 1);
    for (int i = 0; i < 2; i++)
        ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "sweep");
    ck_calls(a, COMMIT, 1);
    table.results[SWEEP] = 0;
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_COMPLETED);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
}
END_TEST

START_TEST(test_abort_fails)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    let_fail(ABORT, _i == 1);
    close_service(&s);
    ck_calls(a, ABORT, 1);
}
END_TEST

/* abort and sweep may be left out. */
START_TEST(test_optional_functions)
{
    struct service s;
    cairn_two_phase_functions fewer = functions;
    fewer.abort = NULL;
    fewer.sweep = NULL;
    open_tasks(&s, "job", 1);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &fewer, &s.sinks[0], reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    unsigned a = write_to(&s, 0);
    checkpoint(&s);
    (void)write_to(&s, 0);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
    ck_assert_uint_eq(table.calls[ABORT] + table.calls[SWEEP], 0);
}
END_TEST

static int refuse_to_prepare(void *context, const void *description, size_t size,
                             cairn_error **reterr)
{
    (void)context, (void)description, (void)size, (void)reterr;
    return CAIRN_EIO;
}

/* A sink whose neighbour keeps the task from finishing goes on, too, and its output since then is
 * as any other. */
START_TEST(test_finish_fails_halfway)
{
    struct service s;
    cairn_two_phase *neighbour;
    cairn_two_phase_functions others = functions;
    const void *d;
    size_t size;
    others.prepare = refuse_to_prepare;
    open_tasks(&s, "job", 1);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_ok(cairn_two_phase_open(s.tasks[0], "too", &others, &neighbour, reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    unsigned a = write_to(&s, 0);
    ck_ok(cairn_two_phase_current(neighbour, &d, &size, reterr));
    ck_fails(cairn_task_finish(s.tasks[0], reterr), CAIRN_EIO, "sink 'too'");
    ck_calls(a, PREPARE, 1);
    unsigned b = write_to(&s, 0);
    ck_assert_uint_ne(a, b);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    close_service(&s);
    ck_calls(a, ABORT, 1); /* no checkpoint can hold them */
    ck_calls(b, ABORT, 1);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Bad input
 * ------------------------------------------------------------------------------------------ */

/* Elements that a writer of this library would never have put there (P11). */
START_TEST(test_hostile_state)
{
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *words;
    } cases[] = {
        {"", 0, CAIRN_ECORRUPT, "is no prepared transaction"},
        {"\0\0\0\0\0\0\0\0\1tx-0", 13, CAIRN_ECORRUPT, "is no prepared transaction"},
        {"\2\0\0\0\0\0\0\0\1tx-0", 13, CAIRN_EVERSION, "version 2"},
        {"\1\0\0\0\0\0\0", 7, CAIRN_ECORRUPT, "is cut off"},
        {"\1\0\0\0\0\0\0\0\1", 9, CAIRN_ECORRUPT, "is cut off"},
    };
    struct service s;
    cairn_operator_list *list;
    table.begun = 1;
    table.all[0].calls[PREPARE] = 1;
    open_tasks(&s, "job", 1);
    ck_ok(cairn_operator_list_state(s.tasks[0], "out", CAIRN_SPLIT, CAIRN_BYTES, &list, reterr));
    ck_ok(cairn_operator_list_add(list, "\1\0\0\0\0\0\0\0\1tx-0", 13, reterr));
    ck_ok(cairn_operator_list_add(list, cases[_i].bytes, cases[_i].size, reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    checkpoint(&s);
    close_service(&s);

    open_tasks(&s, "job", 1);
    ck_fails(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr),
             cases[_i].code, cases[_i].words);
    ck_assert_uint_eq(table.calls[COMMIT], 0);
    close_service(&s);
}
END_TEST

START_TEST(test_refusals)
{
    struct service s;
    const void *d;
    size_t size;
    cairn_two_phase *sink = NULL;
    cairn_operator_list *list;
    open_tasks(&s, "job", 1);
    cairn_task *task = s.tasks[0];
    for (int i = 0; i < 3; i++) {
        cairn_two_phase_functions fewer = functions;
        if (i == 0)
            fewer.begin = NULL;
        else if (i == 1)
            fewer.prepare = NULL;
        else
            fewer.commit = NULL;
        ck_fails(cairn_two_phase_open(task, "out", &fewer, &sink, reterr), CAIRN_EINVAL,
                 "needs the functions");
    }
    ck_fails(cairn_two_phase_open(NULL, "out", &functions, &sink, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_two_phase_open(task, "out", &functions, NULL, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_two_phase_open(task, "out", NULL, &sink, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_two_phase_open(task, NULL, &functions, &sink, reterr), CAIRN_EINVAL, "name");
    ck_fails(cairn_two_phase_open(task, "", &functions, &sink, reterr), CAIRN_EINVAL, "name");
    ck_ok(cairn_operator_list_state(task, "taken", CAIRN_SPLIT, CAIRN_BYTES, &list, reterr));
    ck_fails(cairn_two_phase_open(task, "taken", &functions, &sink, reterr), CAIRN_EEXIST, "taken");
    ck_assert_ptr_null(sink);

    ck_ok(cairn_two_phase_open(task, "out", &functions, &s.sinks[0], reterr));
    ck_fails(cairn_two_phase_open(task, "out", &functions, &sink, reterr), CAIRN_EEXIST, "out");
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "before cairn_job_start()");
    ck_ok(cairn_job_start(s.job, reterr));
    ck_fails(cairn_two_phase_open(task, "late", &functions, &sink, reterr), CAIRN_EINVAL,
             "has started");
    ck_fails(cairn_two_phase_current(NULL, &d, &size, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_two_phase_current(s.sinks[0], NULL, &size, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, NULL, reterr), CAIRN_EINVAL, "NULL");
    (void)write_to(&s, 0);
    checkpoint(&s);
    cairn_job_close(s.job);
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_ECLOSED, "");
    ck_fails(cairn_two_phase_open(task, "later", &functions, &sink, reterr), CAIRN_ECLOSED, "");
    cairn_task_close(task);

    open_tasks(&s, "job", 1); /* its state is a list of bytes, and nothing else */
    cairn_value *value;
    ck_fails(cairn_value_state(s.tasks[0], "out", CAIRN_BYTES, NULL, &value, reterr),
             CAIRN_EMISMATCH, "out");
    close_service(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("two_phase_fault");
    TCase *tc = tcase_create("two_phase_fault");
    tcase_add_checked_fixture(tc, table_setup, table_teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, test_begin_fails, 0, 2);
    tcase_add_loop_test(tc, test_prepare_fails, 0, 2);
    tcase_add_loop_test(tc, test_commit_fails, 0, 2);
    tcase_add_test(tc, test_commit_fails_with_a_full_mailbox);
    tcase_add_loop_test(tc, test_commit_fails_at_open, 0, 2);
    tcase_add_test(tc, test_sweep_waits_for_every_subtask);
    tcase_add_loop_test(tc, test_sweep_fails, 0, 2);
    tcase_add_loop_test(tc, test_abort_fails, 0, 2);
    tcase_add_test(tc, test_optional_functions);
    tcase_add_test(tc, test_finish_fails_halfway);
    tcase_add_loop_test(tc, test_hostile_state, 0, 5);
    tcase_add_test(tc, test_refusals);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
