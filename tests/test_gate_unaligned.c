/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what gate.h promises of barriers that overtake records (P2), through the public calls: the
 * state is the one at the first barrier, and what was overtaken is in flight, once, and comes back
 * as records after a restore; from queues, with and without a time in which barriers are aligned,
 * and at the end of the input. Savepoints have nothing in flight. Method: as in test_gate.c, the
 * test is the network, closes the job, and looks at what the next start gets back.
 */
#include "tests/support/gate_rig.h"

#include <string.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, false);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Unaligned
 * ------------------------------------------------------------------------------------------ */

/* State at the first barrier; what the other channel still brings in front of its own comes back as
 * records, once. _i: without and with inlining of small files. */
START_TEST(test_unaligned)
{
    struct rig rig;
    rig_set_unaligned(&f, 0);
    f.options.inline_threshold_bytes = _i == 0 ? 0 : 1;
    rig_open(&f, 1, &plain, &rig);
    rig_record(&rig, 0, 0, 1);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1); /* until poll */
    ck_fails(cairn_gate_record(rig.gates[0], 1, "", 0, reterr), CAIRN_EINVAL, "barrier is due");
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    rig_record(&rig, 0, 0, 2);
    rig_record(&rig, 0, 1, 3);
    rig_record(&rig, 0, 0, 4);
    rig_record(&rig, 0, 1, 5);
    rig_expect_nothing(rig.tasks[0]); /* not complete: records are on their way */
    rig_barrier(&rig, 0, 1, &barrier);
    rig_record(&rig, 0, 1, 6);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    cairn_gate_stats stats = rig_stats(&rig, 0);
    ck_assert_uint_eq(stats.overtaken, 1);
    ck_assert_uint_eq(stats.in_flight_bytes, 2 * (2 + sizeof(int64_t)));
    ck_assert_uint_eq(rig_count_files(&f, CAIRN_FILE_IN_FLIGHT), 1);
    rig_close(&rig);
    store_check_tidy(f.store, "job");

    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1));
    ck_fails(cairn_gate_record(rig.gates[0], 0, "", 0, reterr), CAIRN_EINVAL, "come first");
    rig_expect_restored(&rig, 0, VALUES(1, 3, 1, 5));
    rig_expect_restored(&rig, 0, NOTHING);
    rig_record(&rig, 0, 0, 2);
    rig_close(&rig);
}
END_TEST

/* Records that were restored and not fetched are in the next checkpoint, in front of new ones;
 * those that were fetched are not. */
START_TEST(test_restored_records_stay_until_fetched)
{
    struct rig rig;
    const void *data;
    size_t size;
    rig_set_unaligned(&f, 0);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    rig_record(&rig, 0, 1, 2);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    ck_assert_int_eq(cairn_gate_restored(rig.gates[0], NULL, &data, &size), 1);
    barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_expect_restored(&rig, 0, VALUES(1, 2));
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    rig_expect_restored(&rig, 0, VALUES(1, 2, 1, 3));
    barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_count_files(&f, CAIRN_FILE_IN_FLIGHT), 0);
    rig_close(&rig);
}
END_TEST

/* A savepoint holds no records in flight, so it is aligned; and refused as long as some are left.
 */
START_TEST(test_savepoints_are_aligned)
{
    struct rig rig;
    cairn_savepoint_handle *handle;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    rig_set_unaligned(&f, 0);
    f.options.savepoint_store = f.store;
    options.format = _i == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    rig_open(&f, 1, &plain, &rig);
    ck_ok(cairn_savepoint_begin(rig.job, &options, &handle, reterr));
    cairn_event event = rig_wait(rig.source, CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.barrier.flags, CAIRN_BARRIER_SAVEPOINT);
    rig_record(&rig, 0, 1, 1);
    rig_announce(&rig, 0, 0, &event.barrier);
    rig_expect_nothing(rig.tasks[0]);
    rig_barrier(&rig, 0, 0, &event.barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    rig_expect_nothing(rig.tasks[0]);
    rig_record(&rig, 0, 1, 2);
    rig_barrier(&rig, 0, 1, &event.barrier);
    event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.barrier.flags, CAIRN_BARRIER_SAVEPOINT);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr));
    cairn_savepoint_close(handle);
    ck_assert_uint_eq(rig_stats(&rig, 0).overtaken, 0);

    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    ck_ok(cairn_savepoint_begin(rig.job, &options, &handle, reterr));
    barrier = rig_wait(rig.source, CAIRN_EVENT_BARRIER).barrier;
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EABORTED,
             "not processed yet");
    cairn_savepoint_close(handle);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Overtaking what is queued
 * ------------------------------------------------------------------------------------------ */

struct queue {
    int64_t values[8];
    size_t count;
    int answer;
    unsigned calls, refused;
};

static int collect_queue(void *context, cairn_gate *gate, uint32_t channel,
                         const cairn_barrier *barrier)
{
    struct queue *queue = context;
    ck_assert_uint_eq(channel, 0);
    ck_assert_uint_gt(barrier->checkpoint_id, 0);
    queue->calls++;
    for (size_t i = 0; i < queue->count; i++)
        if (cairn_gate_collect(gate, &queue->values[i], sizeof queue->values[i]) < 0)
            queue->refused++; /* and not told: the gate knows */
    return queue->answer;
}

/* The barrier is behind two records: they are in flight, and processed as well. */
START_TEST(test_collected)
{
    struct rig rig;
    struct queue queue = {.values = {1, 2}, .count = 2};
    cairn_gate_options options = plain;
    options.collect = collect_queue;
    options.context = &queue;
    rig_set_unaligned(&f, 0);
    rig_open(&f, 1, &options, &rig);
    ck_assert_int_eq(cairn_gate_collect(rig.gates[0], "", 0), CAIRN_EINVAL);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(queue.calls, 1);
    rig_record(&rig, 0, 0, 1);
    rig_record(&rig, 0, 1, 3);
    rig_record(&rig, 0, 0, 2);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED); /* although the first barrier is still queued */
    rig_barrier(&rig, 0, 0, &barrier);
    rig_expect_nothing(rig.tasks[0]);
    rig_close(&rig);
    rig_open(&f, 1, &options, &rig);
    rig_expect_seen(&rig, 0, NOTHING);
    rig_expect_restored(&rig, 0, VALUES(0, 1, 0, 2, 1, 3));
    rig_close(&rig);
}
END_TEST

/* Without `collect` they count as they come out. */
START_TEST(test_announced_without_collect)
{
    struct rig rig;
    rig_set_unaligned(&f, 0);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_end(&rig, 0, 1);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_restored(&rig, 0, VALUES(0, 1));
    rig_close(&rig);
}
END_TEST

/* `collect` fails, or what it gives is too much: the checkpoint is aborted, the records go on. */
START_TEST(test_collect_fails)
{
    struct rig rig;
    struct queue queue = {.values = {1, 2}, .count = 2};
    cairn_gate_options options = plain;
    options.collect = collect_queue;
    options.context = &queue;
    if (_i == 0)
        queue.answer = CAIRN_EIO;
    else
        options.max_in_flight_bytes = 12;
    rig_set_unaligned(&f, 0);
    rig_open(&f, 1, &options, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_uint_eq(queue.refused, (unsigned)_i);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_expect_nothing(rig.tasks[0]);
    queue = (struct queue){.count = 0};
    barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Unaligned after a while
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_timeout_switches)
{
    struct rig rig;
    cairn_event event;
    rig_set_unaligned(&f, 100);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    rig_record(&rig, 0, 1, 1);
    rig_expect_nothing(rig.tasks[0]);
    /* A long wait ends when the time is over: nothing else would wake it. */
    uint64_t began_us = crn_now_us();
    ck_ok(cairn_task_wait(rig.tasks[0], 20000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_BARRIER);
    ck_assert_uint_lt(crn_now_us() - began_us, 10000000);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    rig_record(&rig, 0, 0, 2);
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_stats(&rig, 0).overtaken, 1);
    ck_assert_uint_ge(rig_stats(&rig, 0).alignment_last_us, 50000);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1));
    rig_expect_restored(&rig, 0, VALUES(1, 3));
    rig_close(&rig);
}
END_TEST

/* In time: aligned, nothing in flight. Late already when the first barrier comes: at once. */
START_TEST(test_timeout_around_the_barrier)
{
    struct rig rig;
    rig_set_unaligned(&f, _i == 0 ? 60000 : 1);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    crn_sleep_us(2000);
    rig_barrier(&rig, 0, 0, &barrier);
    if (_i == 0)
        rig_expect_nothing(rig.tasks[0]);
    else
        rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    rig_barrier(&rig, 0, 1, &barrier);
    if (_i == 0)
        rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_count_files(&f, CAIRN_FILE_IN_FLIGHT), (size_t)_i);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The end of the input
 * ------------------------------------------------------------------------------------------ */

/* A task finishes when every channel has ended, and nothing is left of what was restored; what was
 * still logged is complete then. The driver takes its barriers. */
START_TEST(test_finish_when_all_has_come_out)
{
    struct rig rig;
    struct pump pump = {0};
    rig_set_unaligned(&f, 0);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    rig_end(&rig, 0, 0);
    ck_fails(cairn_task_finish(rig.tasks[0], reterr), CAIRN_EINVAL, "has not ended");
    rig_end(&rig, 0, 1); /* so the record is all that was in flight */
    ck_ok(cairn_task_finish(rig.tasks[0], reterr));
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    rig_end(&rig, 0, 0);
    rig_end(&rig, 0, 1);
    ck_fails(cairn_task_finish(rig.tasks[0], reterr), CAIRN_EINVAL, "not fetched");
    rig_expect_restored(&rig, 0, VALUES(1, 1));
    ck_ok(cairn_task_finish(rig.tasks[0], reterr));
    pump_start(&pump, &rig.source, 1);
    ck_ok(cairn_job_checkpoint(rig.job, NULL, NULL, reterr));
    pump_stop(&pump);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}
END_TEST

static Suite *gate_suite(void)
{
    Suite *suite = suite_create("gate_unaligned");
    TCase *tcase = tcase_create("gate_unaligned");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_unaligned, 0, 2);
    tcase_add_test(tcase, test_restored_records_stay_until_fetched);
    tcase_add_loop_test(tcase, test_savepoints_are_aligned, 0, 2);
    tcase_add_test(tcase, test_collected);
    tcase_add_test(tcase, test_announced_without_collect);
    tcase_add_loop_test(tcase, test_collect_fails, 0, 2);
    tcase_add_test(tcase, test_timeout_switches);
    tcase_add_loop_test(tcase, test_timeout_around_the_barrier, 0, 2);
    tcase_add_test(tcase, test_finish_when_all_has_come_out);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(gate_suite());
}
