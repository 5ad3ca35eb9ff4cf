/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what gate.h promises of aligned barriers (P2) through the public calls: which records a
 * checkpoint has in its state, and which not, exactly once and at least once, with channels that
 * end and with several checkpoints at a time; that bad calls are refused; and the bytes of a
 * barrier. (Attempts that are given up: test_gate_given_up.c; records in flight:
 * test_gate_unaligned.c, and to whom with another parallelism: test_gate_restore.c.) Method: a job
 * in which the test itself is the network: it says what comes out of which channel when, closes the
 * job, and looks at what the next start gets back.
 */
#include "tests/support/gate_rig.h"

#include <string.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, false);
}

static void setup_disk(void)
{
    fixture_init(&f, true);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Aligned
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_aligned)
{
    struct rig rig;
    rig_open(&f, 1, &plain, &rig);
    rig_record(&rig, 0, 0, 1);
    cairn_barrier barrier = rig_trigger(&rig);
    ck_assert_uint_eq(barrier.flags, 0);
    ck_assert_int_gt(barrier.trigger_time_ms, 0);
    rig_record(&rig, 0, 1, 2);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 0);
    ck_fails(cairn_gate_record(rig.gates[0], 0, "", 0, reterr), CAIRN_EINVAL, "is blocked");
    ck_fails(cairn_gate_barrier(rig.gates[0], 0, &barrier, reterr), CAIRN_EINVAL, "is blocked");
    rig_expect_nothing(rig.tasks[0]);
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1);
    ck_fails(cairn_gate_record(rig.gates[0], 1, "", 0, reterr), CAIRN_EINVAL, "is blocked");
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    ck_assert_uint_eq(event.barrier.checkpoint_id, barrier.checkpoint_id);
    ck_assert_int_eq(event.barrier.trigger_time_ms, barrier.trigger_time_ms);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 0);
    rig_record(&rig, 0, 0, 4); /* behind the barrier: not in it */
    event = rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    cairn_gate_stats stats = rig_stats(&rig, 0);
    ck_assert_uint_eq(stats.records, 4);
    ck_assert_uint_eq(stats.barriers, 1);
    ck_assert_uint_eq(stats.given_up + stats.overtaken + stats.in_flight_bytes, 0);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2, 3));
    rig_expect_restored(&rig, 0, NOTHING);
    rig_close(&rig);
}
END_TEST

/* A source takes its barrier when it polls; so does a task whose channels have all ended. */
START_TEST(test_ended_channels)
{
    struct rig rig;
    rig_open(&f, 1, &plain, &rig);
    rig_end(&rig, 0, 1);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1);
    ck_fails(cairn_gate_end(rig.gates[0], 1, reterr), CAIRN_EINVAL, "has ended");
    cairn_barrier barrier = rig_trigger(&rig);
    rig_expect_nothing(rig.tasks[0]);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.source, CAIRN_EVENT_COMPLETED);
    barrier = rig_trigger(&rig);
    rig_record(&rig, 0, 0, 2);
    rig_end(&rig, 0, 0); /* counts as its barrier */
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.source, CAIRN_EVENT_COMPLETED);
    barrier = rig_trigger(&rig);
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    rig_wait(rig.source, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_stats(&rig, 0).barriers, 3);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2));
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * At least once
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_at_least_once)
{
    struct rig rig;
    f.options.checkpoint_mode = CAIRN_AT_LEAST_ONCE;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    rig_record(&rig, 0, 0, 2); /* behind the barrier, in the state all the same */
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2, 3));
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Several checkpoints at a time
 * ------------------------------------------------------------------------------------------ */

/* The next barrier comes while the database is still captured for the one before: poll waits with
 * it, so that it keeps its place. */
START_TEST(test_waits_for_the_capture)
{
    enum { ROUNDS = 12, KEYS = 20000 };
    struct rig rig;
    cairn_value *value;
    cairn_event event;
    f.options.max_concurrent = 3;
    rig_open_tasks(&f, 1, &rig);
    cairn_gate_options options = plain;
    options.channel_count = 2;
    ck_ok(cairn_gate_open(rig.tasks[0], &options, &rig.gates[0], reterr));
    ck_ok(cairn_value_state(rig.tasks[0], "value", CAIRN_INT64, NULL, &value, reterr));
    ck_ok(cairn_job_start(rig.job, reterr));
    uint64_t last = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int64_t key = 0; key < KEYS; key++) {
            ck_assert_int_eq(cairn_task_set_key_int64(rig.tasks[0], key), 0);
            ck_ok(cairn_value_put_int64(value, round, reterr));
        }
        for (int i = 0; i < 2; i++) {
            cairn_barrier barrier = rig_trigger(&rig);
            rig_barrier(&rig, 0, 0, &barrier);
            rig_barrier(&rig, 0, 1, &barrier);
            /* Events of earlier ones may come first, but never nothing. */
            do {
                ck_ok(cairn_task_poll(rig.tasks[0], &event, reterr));
                ck_assert_int_ne(event.type, CAIRN_EVENT_NONE);
            } while (event.type != CAIRN_EVENT_BARRIER);
            ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
            ck_assert_uint_gt(event.checkpoint_id, last);
            last = event.checkpoint_id;
        }
    }
    do
        event = rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    while (event.checkpoint_id != last);
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

/* At least once, the channels may be several checkpoints apart. */
START_TEST(test_several_pending)
{
    struct rig rig;
    f.options.max_concurrent = 3;
    f.options.checkpoint_mode = CAIRN_AT_LEAST_ONCE;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barriers[3];
    for (int i = 0; i < 3; i++) {
        barriers[i] = rig_trigger(&rig);
        rig_barrier(&rig, 0, 0, &barriers[i]);
        rig_expect_nothing(rig.tasks[0]);
    }
    for (int i = 0; i < 3; i++) {
        rig_barrier(&rig, 0, 1, &barriers[i]);
        cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
        ck_assert_uint_eq(event.checkpoint_id, barriers[i].checkpoint_id);
    }
    rig_close(&rig);
}
END_TEST

/* A later barrier in a channel that owes an earlier one: that one is declined, and the later one
 * goes its way. */
START_TEST(test_skipped)
{
    struct rig rig;
    f.options.max_concurrent = 2;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier first = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &first);
    cairn_barrier second = rig_trigger(&rig);
    rig_barrier(&rig, 0, 1, &second);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1);
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_uint_eq(event.checkpoint_id, first.checkpoint_id);
    rig_barrier(&rig, 0, 0, &second);
    event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, second.checkpoint_id);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}

/* ------------------------------------------------------------------------------------------ *
 * Bad calls
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_bad_options)
{
    struct rig rig;
    cairn_gate *gate;
    cairn_gate_options options = plain;
    rig_open_tasks(&f, 1, &rig);
    ck_fails(cairn_gate_open(NULL, &options, &gate, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "not 0");
    ck_fails(cairn_gate_open(rig.tasks[0], NULL, &gate, reterr), CAIRN_EINVAL, "not 0");
    options.channel_count = 65537;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "65536");
    options.channel_count = 65536;
    options.max_in_flight_bytes = 1ull << 32;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL,
             "max_in_flight_bytes");
    options.max_in_flight_bytes = 0;
    options.partitioning = (cairn_partitioning)3;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "partitioning");
    options.partitioning = CAIRN_PARTITION_BY_KEY;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "key_of");
    options.partitioning = CAIRN_PARTITION_ANY;
    ck_ok(cairn_gate_open(rig.tasks[0], &options, &gate, reterr));
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EEXIST, "a gate");
    ck_ok(cairn_job_start(rig.job, reterr));
    ck_fails(cairn_gate_open(rig.source, &options, &gate, reterr), CAIRN_EINVAL, "has started");
    rig_close(&rig);
}
END_TEST

START_TEST(test_bad_calls)
{
    struct rig rig;
    const void *data;
    size_t size;
    cairn_barrier barrier = {.checkpoint_id = 1};
    cairn_gate_stats stats = CAIRN_GATE_STATS_INIT;
    rig_open(&f, 1, &plain, &rig);
    cairn_gate *gate = rig.gates[0];
    ck_fails(cairn_gate_record(NULL, 0, "", 0, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_record(gate, 2, "", 0, reterr), CAIRN_EINVAL, "no channel 2");
    ck_fails(cairn_gate_barrier(gate, 0, NULL, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_barrier(gate, 2, &barrier, reterr), CAIRN_EINVAL, "no channel 2");
    ck_fails(cairn_gate_announce(gate, 0, NULL, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_end(gate, 2, reterr), CAIRN_EINVAL, "no channel 2");
    ck_assert_int_eq(cairn_gate_is_blocked(gate, 2), 1);
    ck_assert_int_eq(cairn_gate_is_blocked(NULL, 0), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gate_restored(gate, NULL, NULL, &size), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gate_restored(NULL, NULL, &data, &size), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gate_collect(NULL, "", 0), CAIRN_EINVAL);
    ck_fails(cairn_gate_get_stats(NULL, &stats, reterr), CAIRN_EINVAL, "NULL");
    /* Barriers that this job does not know, wild ones among them. */
    barrier.checkpoint_id = UINT64_MAX;
    barrier.flags = UINT32_MAX & ~(uint32_t)CAIRN_BARRIER_CANCELLED;
    rig_barrier(&rig, 0, 0, &barrier);
    rig_announce(&rig, 0, 1, &barrier);
    barrier.flags = CAIRN_BARRIER_CANCELLED;
    rig_barrier(&rig, 0, 0, &barrier);
    rig_announce(&rig, 0, 1, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(gate, 0), 0);
    rig_expect_nothing(rig.tasks[0]);
    ck_fails(cairn_task_checkpoint(rig.tasks[0], NULL, NULL, reterr), CAIRN_EINVAL, "its gate");
    cairn_job_close(rig.job);
    ck_fails(cairn_gate_record(gate, 0, "", 0, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_gate_barrier(gate, 0, &barrier, reterr), CAIRN_ECLOSED, "closed");
    ck_assert_int_eq(cairn_gate_restored(gate, NULL, &data, &size), CAIRN_ECLOSED);
    ck_ok(cairn_gate_get_stats(gate, &stats, reterr));
    rig.job = NULL;
    rig_close(&rig);
}

/* A task whose channels have ended is a source: it may take a checkpoint in its own thread. */
START_TEST(test_own_checkpoint_after_the_end)
{
    struct rig rig;
    struct pump pump = {0};
    rig_open(&f, 1, &plain, &rig);
    rig_end(&rig, 0, 0);
    rig_end(&rig, 0, 1);
    pump_start(&pump, &rig.source, 1);
    ck_ok(cairn_task_checkpoint(rig.tasks[0], NULL, NULL, reterr));
    pump_stop(&pump);
    ck_assert_uint_eq(rig_stats(&rig, 0).barriers, 1);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Barriers as bytes
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_encoded_barriers)
{
    static const cairn_barrier barriers[] = {
        {1, 0, 0},
        {UINT64_MAX, INT64_MAX, CAIRN_BARRIER_SAVEPOINT},
        {0x0102030405060708u, INT64_MIN, CAIRN_BARRIER_CANCELLED},
    };
    for (size_t i = 0; i < sizeof barriers / sizeof barriers[0]; i++) {
        uint8_t bytes[CAIRN_BARRIER_BYTES + 1];
        cairn_barrier got;
        cairn_barrier_encode(&barriers[i], bytes);
        ck_assert_int_eq(cairn_barrier_decode(bytes, CAIRN_BARRIER_BYTES, &got), 0);
        ck_assert_uint_eq(got.checkpoint_id, barriers[i].checkpoint_id);
        ck_assert_int_eq(got.trigger_time_ms, barriers[i].trigger_time_ms);
        ck_assert_uint_eq(got.flags, barriers[i].flags);
        for (size_t n = 0; n <= sizeof bytes; n++)
            if (n != CAIRN_BARRIER_BYTES)
                ck_assert_int_eq(cairn_barrier_decode(bytes, n, &got), CAIRN_ECORRUPT);
        for (size_t bit = 0; bit < 8 * CAIRN_BARRIER_BYTES; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ck_assert_int_eq(cairn_barrier_decode(bytes, CAIRN_BARRIER_BYTES, &got),
                             CAIRN_ECORRUPT);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}
END_TEST

static Suite *gate_suite(void)
{
    Suite *suite = suite_create("gate");
    TCase *tcase = tcase_create("gate");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_aligned);
    tcase_add_test(tcase, test_ended_channels);
    tcase_add_test(tcase, test_at_least_once);
    tcase_add_test(tcase, test_several_pending);
    tcase_add_test(tcase, test_skipped);
    tcase_add_test(tcase, test_bad_options);
    tcase_add_test(tcase, test_bad_calls);
    tcase_add_test(tcase, test_own_checkpoint_after_the_end);
    tcase_add_test(tcase, test_encoded_barriers);
    suite_add_tcase(suite, tcase);
    TCase *disk = tcase_create("disk");
    tcase_set_timeout(disk, 60);
    tcase_add_checked_fixture(disk, setup_disk, teardown);
    tcase_add_test(disk, test_waits_for_the_capture);
    suite_add_tcase(suite, disk);
    return suite;
}

int main(void)
{
    return crn_test_run(gate_suite());
}
