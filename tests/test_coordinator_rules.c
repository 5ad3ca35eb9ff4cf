/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the rules of engine/job/coordinator.h that concern times, turns, subsumption, failures and
 * stopping, one by one and by name. The world of test_coordinator.c judges each step here as well;
 * what is checked on top is that the schedule gets where the rule says.
 */
#include "tests/support/coordinator_world.h"
#include "tests/support/tap.h"

static struct world w;

/* With one task, as soon as the settings are filled in. */
static void begin_world(const struct crn_coordinator_settings *settings)
{
    world_init(&w, settings, 1);
    world_start(&w);
}

static struct crn_coordinator_settings concurrent(uint32_t max_concurrent)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.max_concurrent = max_concurrent;
    return settings;
}

/* Everything by the id: positions change when an attempt is gone. */
static size_t place_of(uint64_t id)
{
    const struct attempt *attempt = world_find(&w, id);
    if (attempt == NULL)
        ck_abort_msg("attempt %d is not in flight", (int)id);
    return (size_t)(attempt - w.attempts);
}

static void ack(uint64_t id)
{
    world_play(&w, (unsigned)(MOVE_ACK + place_of(id) * MAX_TASKS));
}

static void decline(uint64_t id)
{
    world_play(&w, (unsigned)(MOVE_DECLINE + place_of(id)));
}

static void drain(uint64_t id)
{
    world_play(&w, (unsigned)(MOVE_DRAINED + place_of(id)));
}

static void complete(uint64_t id)
{
    ack(id);
    world_play(&w, MOVE_COMMIT_OK);
}

static void fail_one(uint64_t id)
{
    decline(id);
    world_play(&w, MOVE_ABORT_OK);
    drain(id);
}

static enum crn_flight_phase phase_of(uint64_t id)
{
    return w.c.flights[place_of(id)].phase;
}

/* ------------------------------------------------------------------------------------------ *
 * Times
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_periodic_interval_counts_from_begin_to_begin)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.interval_us = 100;
    world_init(&w, &settings, 1);
    w.now_us = 1000;
    world_start(&w);
    ck_assert_uint_eq(w.count, 0);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1100);
    world_play(&w, MOVE_TICK);
    w.now_us = 1150; /* shorter than the interval: the next is due 100 after the begin */
    complete(8);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1200);
    world_play(&w, MOVE_TICK);
    w.now_us = 1999; /* longer: the next begins at once, and only one */
    complete(9);
    ck_assert_uint_eq(w.count, 1);
    complete(10);
    ck_assert_uint_eq(w.count, 0);
}
END_TEST

START_TEST(test_min_pause_holds_periodic_ones_back_but_not_requests)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.interval_us = 100;
    settings.min_pause_us = 500;
    begin_world(&settings);
    world_play(&w, MOVE_TICK);
    w.now_us = 300;
    complete(8);
    ck_assert_uint_eq(w.count, 0);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 800);
    w.now_us = 400;
    world_play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(w.count, 1);
}
END_TEST

START_TEST(test_an_attempt_ends_at_its_deadline)
{
    struct crn_coordinator_settings settings = world_settings();
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_SAVEPOINT); /* which has one of its own, and an earlier one */
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), SAVEPOINT_TIMEOUT_US);
    world_play(&w, MOVE_TICK);
    ck_assert_int_eq(phase_of(9), CRN_FLIGHT_DOOMED);
    ck_assert_int_eq(phase_of(8), CRN_FLIGHT_ACKING);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), TIMEOUT_US);
    world_play(&w, MOVE_TICK);
    ck_assert_int_eq(phase_of(8), CRN_FLIGHT_ABORTING);
}
END_TEST

START_TEST(test_retries_wait_longer_each_time_up_to_a_limit)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.timeout_us = UINT64_MAX;
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    ack(8);
    uint64_t waited = 0;
    for (int i = 0; i < 20; i++) {
        world_play(&w, MOVE_COMMIT_UNKNOWN);
        uint64_t wait = crn_coordinator_next_tick_us(&w.c) - w.now_us;
        ck_assert_uint_ge(wait, waited);
        ck_assert_uint_le(wait, RETRY_LATEST_US);
        waited = wait;
        world_play(&w, MOVE_TICK);
        ck_assert_int_eq(w.record, RECORD_COMMIT);
    }
    ck_assert_uint_eq(waited, RETRY_LATEST_US);
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.checkpoints, 1);
}
END_TEST

/* A store that does not let the log be written: waiters are told at the first deadline of all that
 * wait for it, even of one behind the one that is tried, and the id is tried on. */
START_TEST(test_waiters_are_told_when_the_log_cannot_be)
{
    struct crn_coordinator_settings settings = concurrent(2);
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    ack(8);
    w.now_us = 1000;
    world_play(&w, MOVE_COMMIT_UNKNOWN);
    world_play(&w, MOVE_SAVEPOINT); /* 9, whose deadline is earlier */
    uint64_t deadline_us = w.now_us + SAVEPOINT_TIMEOUT_US;
    ck_assert_uint_lt(deadline_us, TIMEOUT_US);
    ack(9);
    for (int i = 0; i < 40 && !w.attempts[0].told; i++) {
        world_play(&w, MOVE_TICK);
        if (w.record == RECORD_COMMIT)
            world_play(&w, MOVE_COMMIT_UNKNOWN);
        ck_assert(w.attempts[0].told == (w.now_us >= deadline_us));
    }
    ck_assert(w.attempts[0].told);
    ck_assert_uint_lt(w.now_us, TIMEOUT_US);
    while (w.record != RECORD_COMMIT)
        world_play(&w, MOVE_TICK);
    world_play(&w, MOVE_COMMIT_OK);
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.checkpoints + w.savepoints, 2);
}
END_TEST

START_TEST(test_times_at_the_end_of_the_clock_do_not_wrap)
{
    struct crn_coordinator_settings settings = {.interval_us = UINT64_MAX,
                                                .timeout_us = UINT64_MAX,
                                                .min_pause_us = UINT64_MAX,
                                                .max_concurrent = 1};
    world_init(&w, &settings, 1);
    w.now_us = UINT64_MAX - 5;
    world_start(&w);
    world_play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), UINT64_MAX);
    complete(8);
    ck_assert_uint_eq(w.count, 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Turns
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_requests_that_wait_become_one_and_keep_full)
{
    struct crn_coordinator_settings settings = world_settings();
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST_FULL);
    world_play(&w, MOVE_REQUEST);
    ck_assert(!w.attempts[0].full);
    complete(8);
    ck_assert_uint_eq(world_unserved(&w), 2);
    ck_assert(w.attempts[place_of(9)].full); /* one for both that waited */
    complete(9);
    ck_assert_uint_eq(world_unserved(&w), 0);
    ck_assert_uint_eq(w.count, 0);
}
END_TEST

START_TEST(test_at_most_max_concurrent_checkpoints_and_one_savepoint)
{
    struct crn_coordinator_settings settings = concurrent(CRN_CONCURRENT_MAX);
    begin_world(&settings);
    for (unsigned i = 0; i < CRN_CONCURRENT_MAX + 2; i++)
        world_play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(w.count, CRN_CONCURRENT_MAX);
    world_play(&w, MOVE_SAVEPOINT);
    ck_assert_uint_eq(w.count, CRN_FLIGHTS_MAX);
    world_play(&w, MOVE_SAVEPOINT);
    ck_assert_uint_eq(w.count, CRN_FLIGHTS_MAX);
    ck_assert(w.savepoint_waits);
    complete(8);
    ck_assert_uint_eq(w.head, 17); /* one for both that waited */
}
END_TEST

START_TEST(test_savepoints_and_periodic_checkpoints_take_turns)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.interval_us = 100;
    begin_world(&settings);
    world_play(&w, MOVE_TICK);
    complete(8);
    for (uint64_t id = 9; id < 9 + 2 * 6; id += 6) {
        w.now_us += 500; /* a checkpoint is due as well, and had the last turn */
        world_play(&w, MOVE_SAVEPOINT);
        ck_assert(w.attempts[0].savepoint);
        world_play(&w, MOVE_TICK);
        complete(id);
        complete(id + 1);
        world_play(&w, MOVE_SAVEPOINT);
        complete(id + 2);
        w.now_us += 500; /* now the savepoint had it */
        world_play(&w, MOVE_SAVEPOINT);
        ck_assert(!w.attempts[0].savepoint);
        world_play(&w, MOVE_TICK);
        complete(id + 3);
        complete(id + 4);
        world_play(&w, MOVE_REQUEST);
        complete(id + 5);
    }
    ck_assert_uint_eq(w.savepoints, 6);
}
END_TEST

START_TEST(test_a_savepoint_moves_no_checkpoint)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.interval_us = 1000;
    settings.min_pause_us = 300;
    begin_world(&settings);
    world_play(&w, MOVE_SAVEPOINT);
    w.now_us = 950;
    complete(8);
    ck_assert_uint_eq(w.count, 0);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1000);
}
END_TEST

START_TEST(test_a_requested_checkpoint_goes_before_a_savepoint)
{
    struct crn_coordinator_settings settings = world_settings();
    world_init(&w, &settings, 1);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_REQUEST_FULL);
    world_start(&w);
    ck_assert(!w.attempts[0].savepoint && w.attempts[0].full);
    ck_assert_uint_eq(w.count, 1); /* one begins at each step */
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 0);
    world_play(&w, MOVE_TICK);
    ck_assert(w.attempts[1].savepoint && !w.attempts[1].full);
}
END_TEST

START_TEST(test_every_nth_checkpoint_is_full)
{
    struct crn_coordinator_settings settings = concurrent(2);
    settings.full_every = 3;
    begin_world(&settings);
    for (uint64_t id = 8; id < 17; id++) {
        world_play(&w, MOVE_REQUEST);
        ck_assert(w.attempts[0].full == ((id - 8) % 3 == 2));
        complete(id);
    }
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    ck_assert(!w.attempts[0].full && !w.attempts[1].full);
    complete(17);
    world_play(&w, MOVE_REQUEST); /* the third, if the one in flight gets there */
    ck_assert(w.attempts[place_of(19)].full);
    fail_one(18);
    fail_one(19);
    world_play(&w, MOVE_REQUEST); /* neither did */
    ck_assert(!w.attempts[place_of(20)].full);
    complete(20);
    world_play(&w, MOVE_REQUEST);
    ck_assert(w.attempts[place_of(21)].full);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Several at a time
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_ids_are_resolved_in_order)
{
    struct crn_coordinator_settings settings = concurrent(3);
    begin_world(&settings);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    decline(9);
    ack(10);
    ck_assert_int_eq(w.record, RECORD_NONE); /* for the savepoint */
    ck_assert_int_eq(phase_of(9), CRN_FLIGHT_DOOMED);
    ck_assert_int_eq(phase_of(10), CRN_FLIGHT_READY);
    complete(8);
    world_play(&w, MOVE_ABORT_OK);
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.log_head, 10);
    ck_assert_int_eq(phase_of(9), CRN_FLIGHT_DRAINING); /* and holds nobody up */
}
END_TEST

START_TEST(test_a_newer_checkpoint_subsumes_older_ones_and_serves_their_requests)
{
    struct crn_coordinator_settings settings = concurrent(3);
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    decline(9); /* whose request is not another's */
    ack(10);
    ck_assert_uint_eq(w.subsumed, 1);
    world_play(&w, MOVE_ABORT_OK);
    ck_assert_uint_eq(world_unserved(&w), 3);
    world_play(&w, MOVE_ABORT_OK);
    ck_assert_uint_eq(world_unserved(&w), 2);
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(world_unserved(&w), 0);
    ck_assert_uint_eq(w.failures, 0);
}
END_TEST

START_TEST(test_a_full_checkpoint_is_subsumed_by_a_full_one_only)
{
    struct crn_coordinator_settings settings = concurrent(4);
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST_FULL);
    world_play(&w, MOVE_REQUEST);
    ack(10);
    ck_assert_uint_eq(w.subsumed, 0);
    ck_assert_int_eq(phase_of(8), CRN_FLIGHT_ACKING); /* the full one is in the way */
    decline(9);
    ck_assert_uint_eq(w.subsumed, 1); /* it was */
    world_play(&w, MOVE_ABORT_OK);
    world_play(&w, MOVE_ABORT_OK);
    world_play(&w, MOVE_COMMIT_OK);
    drain(8);
    drain(9);
    world_play(&w, MOVE_REQUEST_FULL);
    world_play(&w, MOVE_REQUEST_FULL);
    ack(12);
    ck_assert_uint_eq(w.subsumed, 2);
}
END_TEST

START_TEST(test_savepoints_neither_subsume_nor_are_subsumed)
{
    struct crn_coordinator_settings settings = concurrent(2);
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_REQUEST);
    ack(9);
    ck_assert_uint_eq(w.subsumed, 0);
    ack(10);
    ck_assert_uint_eq(w.subsumed, 1); /* only 8 */
    world_play(&w, MOVE_ABORT_OK);
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.savepoints, 1);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Failing, stopping, closing
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_too_many_failures_in_a_row_end_the_job)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.tolerable_failures = 1;
    settings.interval_us = 10 * (uint64_t)TIMEOUT_US;
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    fail_one(8);
    world_play(&w, MOVE_REQUEST);
    complete(9); /* begins the count anew */
    world_play(&w, MOVE_SAVEPOINT);
    fail_one(10); /* does not count */
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_TICK); /* timed out */
    world_play(&w, MOVE_ABORT_OK);
    drain(11);
    ck_assert(!w.failed);
    world_play(&w, MOVE_REQUEST);
    ack(12);
    world_play(&w, MOVE_COMMIT_FAILED);
    ck_assert(w.failed);
    world_play(&w, MOVE_ABORT_OK);
    drain(12);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_SAVEPOINT);
    ck_assert_uint_eq(w.count, 0); /* nothing begins any more */
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), UINT64_MAX);
    world_play(&w, MOVE_CLOSE);
    ck_assert(w.closed);
}
END_TEST

START_TEST(test_without_tolerance_the_first_failure_ends_the_job)
{
    struct crn_coordinator_settings settings = concurrent(2);
    settings.tolerable_failures = 0;
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    ack(9);
    ck_assert(!w.failed); /* being subsumed is no failure */
    world_play(&w, MOVE_ABORT_OK);
    world_play(&w, MOVE_COMMIT_TAKEN);
    ck_assert(!w.failed); /* nor is an id that maintenance took */
    drain(8);
    drain(9);
    world_play(&w, MOVE_REQUEST);
    decline(10);
    ck_assert(w.failed);
}
END_TEST

START_TEST(test_nothing_begins_once_a_stop_waits_until_it_has_failed)
{
    struct crn_coordinator_settings settings = concurrent(2);
    begin_world(&settings);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_STOP);
    world_play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(w.count, 1); /* the stop waits for the other savepoint */
    complete(8);
    ck_assert(w.attempts[0].stop);
    world_play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(w.count, 1);
    decline(9);
    ck_assert_uint_eq(w.count, 1);
    world_play(&w, MOVE_ABORT_OK);
    ck_assert_uint_eq(w.count, 2); /* the job goes on */
    ck_assert(!w.attempts[1].savepoint);
}
END_TEST

START_TEST(test_nothing_begins_after_a_stop_with_savepoint)
{
    struct crn_coordinator_settings settings = concurrent(2);
    settings.interval_us = 1000;
    begin_world(&settings);
    world_play(&w, MOVE_TICK);
    world_play(&w, MOVE_STOP);
    complete(8);
    complete(9);
    ck_assert(w.stopped);
    w.now_us += 5000;
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_SAVEPOINT);
    ck_assert_uint_eq(w.count, 0);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), UINT64_MAX);
    world_play(&w, MOVE_CLOSE);
    ck_assert(w.closed);
}
END_TEST

START_TEST(test_a_stop_that_cannot_begin_holds_nobody_back)
{
    struct crn_coordinator_settings settings = concurrent(1);
    begin_world(&settings);
    world_play(&w, MOVE_STOP);
    world_play(&w, MOVE_BEGIN_FAILED);
    world_play(&w, MOVE_REQUEST);
    ck_assert(!w.attempts[place_of(8)].savepoint); /* the id was free */
}
END_TEST

START_TEST(test_closing_commits_what_is_whole_and_aborts_the_rest)
{
    struct crn_coordinator_settings settings = concurrent(3);
    begin_world(&settings);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    ack(9);
    world_play(&w, MOVE_CLOSE);
    world_play(&w, MOVE_ABORT_OK);
    world_play(&w, MOVE_COMMIT_OK);
    world_play(&w, MOVE_ABORT_OK);
    ck_assert_uint_eq(w.checkpoints, 1);
    drain(10);
    ck_assert(!w.closed);
    drain(8);
    ck_assert(w.closed);
}
END_TEST

START_TEST(test_closing_does_not_wait_for_a_store_that_is_away)
{
    struct crn_coordinator_settings settings = concurrent(2);
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    decline(8);
    world_play(&w, MOVE_ABORT_FAILED);
    world_play(&w, MOVE_CLOSE);
    ck_assert(w.closed);
}
END_TEST

START_TEST(test_a_fenced_job_still_removes_what_is_resolved)
{
    struct crn_coordinator_settings settings = concurrent(2);
    begin_world(&settings);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST);
    decline(8);
    world_play(&w, MOVE_ABORT_OK);
    ack(9);
    world_play(&w, MOVE_COMMIT_FENCED);
    ck_assert_uint_eq(w.count, 1);
    world_play(&w, MOVE_CLOSE);
    ck_assert(!w.closed);
    drain(8); /* P6 */
    ck_assert(w.closed);
}
END_TEST

static void add_several(TCase *tcase)
{
    tcase_add_test(tcase, test_ids_are_resolved_in_order);
    tcase_add_test(tcase, test_a_newer_checkpoint_subsumes_older_ones_and_serves_their_requests);
    tcase_add_test(tcase, test_a_full_checkpoint_is_subsumed_by_a_full_one_only);
    tcase_add_test(tcase, test_savepoints_neither_subsume_nor_are_subsumed);
}

static void add_ends(TCase *tcase)
{
    tcase_add_test(tcase, test_too_many_failures_in_a_row_end_the_job);
    tcase_add_test(tcase, test_without_tolerance_the_first_failure_ends_the_job);
    tcase_add_test(tcase, test_nothing_begins_once_a_stop_waits_until_it_has_failed);
    tcase_add_test(tcase, test_nothing_begins_after_a_stop_with_savepoint);
    tcase_add_test(tcase, test_a_stop_that_cannot_begin_holds_nobody_back);
    tcase_add_test(tcase, test_closing_commits_what_is_whole_and_aborts_the_rest);
    tcase_add_test(tcase, test_closing_does_not_wait_for_a_store_that_is_away);
    tcase_add_test(tcase, test_a_fenced_job_still_removes_what_is_resolved);
}

int main(void)
{
    Suite *suite = suite_create("coordinator_rules");
    TCase *tcase = tcase_create("rules");
    tcase_set_timeout(tcase, 20);
    tcase_add_test(tcase, test_periodic_interval_counts_from_begin_to_begin);
    tcase_add_test(tcase, test_min_pause_holds_periodic_ones_back_but_not_requests);
    tcase_add_test(tcase, test_an_attempt_ends_at_its_deadline);
    tcase_add_test(tcase, test_retries_wait_longer_each_time_up_to_a_limit);
    tcase_add_test(tcase, test_waiters_are_told_when_the_log_cannot_be);
    tcase_add_test(tcase, test_times_at_the_end_of_the_clock_do_not_wrap);
    tcase_add_test(tcase, test_requests_that_wait_become_one_and_keep_full);
    tcase_add_test(tcase, test_at_most_max_concurrent_checkpoints_and_one_savepoint);
    tcase_add_test(tcase, test_savepoints_and_periodic_checkpoints_take_turns);
    tcase_add_test(tcase, test_a_savepoint_moves_no_checkpoint);
    tcase_add_test(tcase, test_a_requested_checkpoint_goes_before_a_savepoint);
    tcase_add_test(tcase, test_every_nth_checkpoint_is_full);
    add_several(tcase);
    add_ends(tcase);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
