/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn/sink.h promises of two-phase sinks: a transaction becomes visible if and only
 * if a checkpoint that holds it is complete, through restarts, aborted checkpoints, savepoints,
 * stops, the end of the input and another parallelism. (Calls that fail: test_two_phase_fault.c.)
 * Method: transactions that are entries of a table, which counts what is done to them; a job whose
 * tasks are all polled by this thread. What a crash leaves is made by closing the job before its
 * events are fetched; a killed process is test_file_sink_crash's matter.
 */
#include "tests/support/tx_table.h"

#include "engine/sinks/two_phase.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * The diagram
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_visible_when_complete)
{
    struct service s;
    open_service(&s, 1);
    checkpoint(&s);
    ck_assert_uint_eq(table.calls[BEGIN], 0); /* nothing was written */
    unsigned a = write_to(&s, 0);
    ck_assert_uint_eq(write_to(&s, 0), a);
    ck_calls(a, PREPARE, 0);
    uint64_t id = take_checkpoint(&s);
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 0);
    unsigned b = write_to(&s, 0);
    ck_assert_uint_ne(a, b);
    cairn_event event = poll_one(&s, 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, id);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, PREPARE, 0);
    checkpoint(&s);
    ck_calls(a, COMMIT, 1); /* and never again */
    ck_calls(b, COMMIT, 1);
    close_service(&s);
    ck_assert_uint_eq(table.calls[ABORT], 0);
}
END_TEST

/* What a crash leaves at each point of a transaction's life; see the diagram in sink.h. */
START_TEST(test_restarts)
{
    struct service s;
    open_service(&s, 1);
    unsigned noted = write_to(&s, 0);
    checkpoint(&s); /* committed, and still in the state of checkpoint 1 */
    unsigned complete = write_to(&s, 0);
    take_checkpoint(&s); /* complete, but the task does not know */
    unsigned active = write_to(&s, 0);
    close_service(&s);
    ck_calls(complete, COMMIT, 0);
    ck_calls(active, ABORT, 1);
    ck_calls(complete, ABORT, 0);

    open_service(&s, 1);
    ck_calls(noted, COMMIT, 1); /* checkpoint 2 does not have it any more */
    ck_calls(complete, COMMIT, 1);
    ck_calls(active, COMMIT, 0);
    close_service(&s);

    /* Committed once more, as nothing was noted since. */
    open_service(&s, 1);
    ck_calls(complete, COMMIT, 2);
    checkpoint(&s);
    close_service(&s);
    open_service(&s, 1);
    ck_calls(complete, COMMIT, 2);
    ck_calls(active, COMMIT, 0);
    close_service(&s);
}
END_TEST

/* Aborted: nothing is taken back, and the next one commits all. */
START_TEST(test_aborted_checkpoint)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    fixture_arm(&f,
                (struct crn_fault_plan){
                    .ops = CRN_FAULT_PUT, .at = 1, .mode = CRN_FAULT_BEFORE, .code = CAIRN_ENOSPC});
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_EABORTED, "");
    fixture_disarm(&f, 0);
    drain_events(&s);
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 0);
    unsigned b = write_to(&s, 0);
    ck_assert_uint_ne(a, b);
    checkpoint(&s);
    ck_assert_uint_eq(table.all[a].committed_as, 1);
    ck_assert_uint_eq(table.all[b].committed_as, 2);
    close_service(&s);
    ck_assert_uint_eq(table.calls[ABORT], 0);
}
END_TEST

/* An older checkpoint completes after a later barrier, and late transactions wait for their own. */
START_TEST(test_ids)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t first = take_checkpoint(&s);
    unsigned sealed = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    unsigned active = write_to(&s, 0);
    ck_assert_uint_ne(sealed, active);
    ck_calls(sealed, PREPARE, 1);
    drain_events(&s); /* first is complete */
    ck_calls(a, COMMIT, 1);
    ck_calls(sealed, COMMIT, 0);
    post(&s, CAIRN_EVENT_COMPLETED, first);
    drain_events(&s);
    ck_calls(sealed, COMMIT, 0);
    checkpoint(&s);
    ck_assert_uint_eq(table.all[a].committed_as, 1);
    ck_assert_uint_eq(table.all[sealed].committed_as, 2);
    ck_assert_uint_eq(table.all[active].committed_as, 3);

    /* Sealed and never in a barrier: no checkpoint can hold it. */
    unsigned lost = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    close_service(&s);
    ck_calls(lost, ABORT, 1);
    ck_assert_uint_eq(table.calls[ABORT], 1);
}
END_TEST

/* Of several that wait for one event all are committed, in order, in one poll. */
START_TEST(test_full_mailbox)
{
    struct service s;
    unsigned n[2 * CRN_MAILBOX_SIZE];
    open_service(&s, 1);
    drain_events(&s);
    for (size_t i = 0; i < CRN_COUNT(n); i++) {
        n[i] = write_to(&s, 0);
        ck_ok(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr)); /* its events stay */
    }
    ck_assert_uint_eq(table.committed, 0);
    drain_events(&s);
    for (unsigned i = 0; i < CRN_COUNT(n); i++) {
        ck_calls(n[i], COMMIT, 1);
        ck_assert_uint_eq(table.all[n[i]].committed_as, i + 1);
    }
    close_service(&s);
}
END_TEST

/* A flood of other events does not take with it what tells the sinks to commit. */
START_TEST(test_mailbox_keeps_the_newest_completed)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    post(&s, CAIRN_EVENT_COMPLETED, id + 1);
    for (uint64_t i = 0; i < 2 * CRN_MAILBOX_SIZE; i++)
        post(&s, CAIRN_EVENT_SAVEPOINT, id + 2 + i);
    cairn_event event = poll_one(&s, 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, id + 1);
    ck_calls(a, COMMIT, 1);
    for (uint64_t i = CRN_MAILBOX_SIZE - 1; i > 0; i--)
        ck_assert_uint_eq(poll_one(&s, 0).checkpoint_id, id + 2 + 2 * CRN_MAILBOX_SIZE - i);
    close_service(&s);
}
END_TEST

/* Which events commit: COMPLETED and STOPPED, and no other. */
START_TEST(test_events)
{
    static const cairn_event_type others[] = {
        CAIRN_EVENT_BARRIER,     CAIRN_EVENT_ABORTED, CAIRN_EVENT_SAVEPOINT,
        CAIRN_EVENT_INDEPENDENT, CAIRN_EVENT_DRAIN,   CAIRN_EVENT_STOPPING,
    };
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    for (size_t i = 0; i < CRN_COUNT(others); i++) {
        post(&s, others[i], 9);
        ck_assert_int_eq(poll_one(&s, 0).type, others[i]);
    }
    ck_calls(a, COMMIT, 0);
    ck_assert_uint_eq(table.calls[SWEEP], 0);
    post(&s, CAIRN_EVENT_STOPPED, 9);
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_STOPPED);
    ck_calls(a, COMMIT, 1);
    ck_assert_uint_eq(table.calls[SWEEP], 1);
    close_service(&s);
}
END_TEST

static void savepoint(const struct service *s, char name[64])
{
    cairn_savepoint_options o = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    o.target_store = f.store;
    ck_ok(cairn_task_savepoint(s->tasks[0], &o, &info, reterr));
    (void)snprintf(name, 64, "savepoint-job-%llu", (unsigned long long)info.id);
}

/* A savepoint commits nothing; the next checkpoint does, and so does who starts from it. */
START_TEST(test_savepoint)
{
    struct service s;
    char name[64];
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    savepoint(&s, name);
    ck_calls(a, PREPARE, 1);
    drain_events(&s);
    ck_calls(a, COMMIT, 0);
    unsigned later = write_to(&s, 0);
    if (_i == 1)
        checkpoint(&s);
    ck_calls(a, COMMIT, _i == 1);
    close_service(&s);

    f.options.restore_store = f.store;
    f.options.restore_name = name;
    open_tasks(&s, "another", 1);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_calls(a, COMMIT, _i == 1 ? 2 : 1);
    ck_calls(later, COMMIT, _i == 1);
    close_service(&s);
}
END_TEST

/* Stopped with a savepoint: its output is committed before the task is told so, and the next start,
 * which goes on from there, may commit it again. */
START_TEST(test_stop)
{
    struct service s;
    cairn_savepoint_options o = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_event event = {0};
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    o.target_store = f.store;
    o.stop = 1;
    ck_ok(cairn_savepoint_begin(s.job, &o, NULL, reterr));
    while (event.type != CAIRN_EVENT_STOPPING)
        ck_ok(cairn_task_wait(s.tasks[0], 1000, &event, reterr));
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 0);
    table.results[COMMIT] = CAIRN_EUNAVAIL;
    int r;
    while ((r = cairn_task_wait(s.tasks[0], 1000, &event, NULL)) == 0)
        ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    ck_assert_int_eq(r, CAIRN_EUNAVAIL);
    table.results[COMMIT] = 0;
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_STOPPED);
    ck_calls(a, COMMIT, 1);
    ck_assert_uint_eq(table.calls[SWEEP], 1);
    close_service(&s);
    open_service(&s, 2);
    ck_calls(a, COMMIT, 2);
    close_service(&s);
    ck_assert_uint_eq(table.begun, 1);
}
END_TEST

/* The input has ended: what is active is prepared then, is in the checkpoints that are taken
 * without the task's thread from then on, and in no earlier one. */
START_TEST(test_finish)
{
    struct service s;
    const void *d;
    size_t size;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t first = take_checkpoint(&s);
    unsigned b = write_to(&s, 0);
    let_fail(PREPARE, _i == 1);
    ck_says(cairn_task_finish(s.tasks[0], reterr), "prepare");
    table.results[PREPARE] = 0;
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    ck_calls(b, PREPARE, 1);
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "after cairn_task_finish()");
    ck_assert_uint_eq(poll_one(&s, 0).checkpoint_id, first);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 0);
    ck_ok(cairn_job_checkpoint(s.job, NULL, NULL, reterr)); /* nobody polls */
    if (_i == 1) {                                          /* nobody ever learns of it */
        close_service(&s);
        ck_calls(b, ABORT, 0);
        open_service(&s, 1);
        ck_calls(b, COMMIT, 1);
        close_service(&s);
        return;
    }
    cairn_event event = {0};
    while (event.type != CAIRN_EVENT_COMPLETED)
        ck_ok(cairn_task_wait(s.tasks[0], 1000, &event, reterr));
    ck_calls(b, COMMIT, 1);
    ck_ok(cairn_job_checkpoint(s.job, NULL, NULL, reterr)); /* has it no more */
    close_service(&s);
    open_service(&s, 1);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* Prepared by 2 subtasks, committed by 3, and then by 1: each once. */
START_TEST(test_rescale)
{
    struct service s;
    open_service(&s, 2);
    for (uint32_t i = 0; i < 7; i++) {
        (void)write_to(&s, i % 2);
        ck_ok(crn_two_phase_seal(s.sinks[i % 2], reterr));
    }
    take_checkpoint(&s);
    close_service(&s);
    ck_assert_uint_eq(table.committed, 0);
    open_service(&s, 3);
    ck_assert_uint_eq(table.committed, table.begun);
    for (uint32_t i = 0; i < 3; i++)
        (void)write_to(&s, i);
    take_checkpoint(&s);
    close_service(&s);
    ck_assert_uint_eq(table.committed, table.begun - 3);
    open_service(&s, 1);
    ck_assert_uint_eq(table.committed, table.begun);
    checkpoint(&s);
    close_service(&s);
    for (unsigned n = 0; n < table.begun; n++)
        ck_calls(n, COMMIT, 1);
}
END_TEST

/* Once in a run, in subtask 0, at the first checkpoint that is complete. */
START_TEST(test_sweep)
{
    struct service s;
    for (unsigned life = 1; life <= 2; life++) {
        open_service(&s, 3);
        ck_assert_uint_eq(table.calls[SWEEP], life - 1);
        take_checkpoint(&s);
        for (uint32_t i = 3; i-- > 0;) {
            ck_assert_uint_eq(table.calls[SWEEP], life - 1);
            ck_assert_int_eq(poll_one(&s, i).type, CAIRN_EVENT_COMPLETED);
        }
        checkpoint(&s);
        ck_assert_uint_eq(table.calls[SWEEP], life);
        close_service(&s);
    }
}
END_TEST

/* The bytes of docs/format.md, "Prepared transactions" (P10). */
START_TEST(test_format)
{
    struct service s;
    cairn_operator_list *list;
    const void *data;
    size_t size;
    open_service(&s, 1);
    take_checkpoint(&s);
    (void)write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    close_service(&s);
    open_tasks(&s, "job", 1);
    ck_ok(cairn_operator_list_state(s.tasks[0], "out", CAIRN_SPLIT, CAIRN_BYTES, &list, reterr));
    ck_assert_uint_eq(cairn_operator_list_size(list), 1);
    ck_assert_int_eq(cairn_operator_list_at(list, 0, &data, &size), 0);
    ck_assert_uint_eq(id, 3); /* after the fence and the first checkpoint */
    ck_assert_uint_eq(size, 13);
    ck_assert_int_eq(memcmp(data, "\1\0\0\0\0\0\0\0\3tx-0", 13), 0);
    close_service(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("two_phase");
    TCase *tc = tcase_create("two_phase");
    tcase_add_checked_fixture(tc, table_setup, table_teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_visible_when_complete);
    tcase_add_test(tc, test_restarts);
    tcase_add_test(tc, test_aborted_checkpoint);
    tcase_add_test(tc, test_ids);
    tcase_add_test(tc, test_full_mailbox);
    tcase_add_test(tc, test_mailbox_keeps_the_newest_completed);
    tcase_add_test(tc, test_events);
    tcase_add_loop_test(tc, test_savepoint, 0, 2);
    tcase_add_test(tc, test_stop);
    tcase_add_loop_test(tc, test_finish, 0, 2);
    tcase_add_test(tc, test_rescale);
    tcase_add_test(tc, test_sweep);
    tcase_add_test(tc, test_format);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
