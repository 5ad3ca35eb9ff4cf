/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the invariants of engine/job/coordinator.h (P1, P5, P6, P7) without a thread or a clock.
 *
 * A model of the world around the coordinator (tasks, a store, a log, people who ask) offers the
 * events that the driver could bring next, and judges every action that comes back. Two ways to
 * choose the events:
 *   exhaustive   all reachable states of 2 tasks, 2 checkpoints and a savepoint, with and without
 *                periodic ones, each with every event, and from each of them the way to CLOSED;
 *   random       more than a million steps with up to 5 tasks, periodic checkpoints, pauses and
 * real retry times; with events that are late, repeated or of nobody thrown in, which must change
 * nothing. The seed is printed; CAIRN_SEED=<number> replays it.
 */
#include "base/thread.h"
#include "tests/support/coordinator_world.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Every reachable state of a small world
 * ------------------------------------------------------------------------------------------ */

#define SMALL_TASKS 2u
#define SMALL_CHECKPOINTS 2u
#define SMALL_WAITING 2u /* requests that wait at once */
#define SMALL_SAVEPOINTS 1u
#define STATES_MAX (1u << 16)

/* All that can influence what happens next, without absolute times, ids and tickets. */
struct state_key {
    uint8_t phase, checkpoints, savepoints, waiting, unsettled, acks, retries;
    uint8_t flags[19];
};

static struct state_key key_of(const struct world *w)
{
    struct state_key key;
    memset(&key, 0, sizeof key);
    key.phase = (uint8_t)w->c.phase;
    key.checkpoints =
        (uint8_t)(w->checkpoints < SMALL_CHECKPOINTS ? w->checkpoints : SMALL_CHECKPOINTS);
    key.savepoints = (uint8_t)w->savepoints;
    key.waiting = (uint8_t)(w->c.requested - w->c.taken);
    key.unsettled = (uint8_t)(w->tickets - w->settled);
    key.retries = (uint8_t)(w->c.retries < 3 ? w->c.retries : 3);
    for (unsigned i = 0; i < SMALL_TASKS; i++)
        key.acks |=
            (uint8_t)((w->task_acked[i] && w->open) << i | (w->acked[i] && w->open) << (i + 4));
    const bool flags[sizeof key.flags] = {
        w->close_sent,
        w->fenced,
        w->closed,
        w->full_asked,
        w->open,
        w->cancelled && w->open,
        w->drained && w->open,
        w->commit_runs,
        w->abort_runs,
        w->in_doubt && w->open,
        w->stands_aborted && w->open,
        w->c.full,
        w->c.drained && w->open,
        w->c.requested_full,
        w->c.retry_at_us <= w->now_us,
        w->c.retry_at_us == UINT64_MAX,
        w->c.savepoint,
        w->savepoint_waits,
        w->now_us >= w->c.next_periodic_us && w->now_us >= w->c.not_before_us,
    };
    for (unsigned i = 0; i < sizeof key.flags; i++)
        key.flags[i] = flags[i];
    return key;
}

struct explored {
    struct state_key keys[2 * STATES_MAX];
    bool used[2 * STATES_MAX];
    struct world queue[STATES_MAX];
    size_t count;
};

/* Adds a world to those to be looked at, unless its like was seen. */
static void discover(struct explored *explored, const struct world *w)
{
    struct state_key key = key_of(w);
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < sizeof key; i++)
        hash = (hash ^ ((const uint8_t *)&key)[i]) * 1099511628211u;
    size_t at = hash % (2 * STATES_MAX);
    while (explored->used[at] && memcmp(&explored->keys[at], &key, sizeof key) != 0)
        at = (at + 1) % (2 * STATES_MAX);
    if (explored->used[at])
        return;
    ck_assert_msg(explored->count < STATES_MAX, "the small world is not small");
    explored->used[at] = true;
    explored->keys[at] = key;
    explored->queue[explored->count++] = *w;
}

static bool is_small(const struct world *w, unsigned move)
{
    if (move == MOVE_SAVEPOINT)
        return w->savepoints + (w->open && w->savepoint) < SMALL_SAVEPOINTS;
    if (move != MOVE_REQUEST && move != MOVE_REQUEST_FULL)
        return true;
    return w->checkpoints < SMALL_CHECKPOINTS && w->c.requested - w->c.taken < SMALL_WAITING &&
           w->tickets - w->settled < 2 * SMALL_WAITING;
}

static void explore(uint64_t interval_us)
{
    struct explored *explored = calloc(1, sizeof *explored);
    ck_assert_ptr_nonnull(explored);
    struct world w;
    world_init(&w, interval_us, 0, SMALL_TASKS);
    world_start(&w);
    discover(explored, &w);
    uint64_t transitions = 0;
    for (size_t i = 0; i < explored->count; i++) {
        world_check_ends(explored->queue[i]);
        world_check_closes(explored->queue[i]);
        for (unsigned move = 0; move < MOVES; move++) {
            struct world next = explored->queue[i];
            if (!world_can(&next, move) || !is_small(&next, move))
                continue;
            world_play(&next, move);
            transitions++;
            discover(explored, &next);
        }
    }
    printf("# exhaustive: %zu states, %" PRIu64 " transitions\n", explored->count, transitions);
    ck_assert_uint_gt(explored->count, 500);
    free(explored);
}

START_TEST(test_every_reachable_state)
{
    explore(0);
}
END_TEST

/* So often that the next one is due as soon as any time has passed. */
START_TEST(test_every_reachable_state_with_periodic_ones)
{
    explore(1);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Long random schedules
 * ------------------------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool same_coordinator(const struct crn_coordinator *a, const struct crn_coordinator *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Late, repeated and unknown: none of it may have any effect. */
static void play_nonsense(struct world *w, uint64_t *random)
{
    static const enum crn_event_kind kinds[] = {
        CRN_EVENT_ACK,           CRN_EVENT_DECLINE,        CRN_EVENT_COMMIT_OK,
        CRN_EVENT_COMMIT_TAKEN,  CRN_EVENT_COMMIT_UNKNOWN, CRN_EVENT_COMMIT_FAILED,
        CRN_EVENT_COMMIT_FENCED, CRN_EVENT_ABORT_OK,       CRN_EVENT_ABORT_FAILED,
        CRN_EVENT_BEGIN_FAILED,  CRN_EVENT_DRAINED};
    struct crn_coordinator_event event = {
        .kind = kinds[next_random(random) % (sizeof kinds / sizeof kinds[0])],
        .id = w->id - 1 + 2 * (next_random(random) % 2), /* before or after the attempt's */
        .task = (uint32_t)(next_random(random) % (MAX_TASKS + 2)),
    };
    if (event.kind == CRN_EVENT_ACK && next_random(random) % 2 == 0) {
        event.id = w->id; /* the right id, but from nobody, twice, or too late */
        if (w->c.phase == CRN_PHASE_RUNNING && event.task < w->tasks && !w->task_acked[event.task])
            event.task = UINT32_MAX;
    }
    struct crn_coordinator before = w->c;
    uint8_t acked[MAX_TASKS];
    memcpy(acked, w->acked, sizeof acked);
    struct crn_actions actions;
    event.now_us = w->now_us;
    crn_coordinator_step(&w->c, &event, &actions);
    ck_assert_msg(actions.count == 0, "a stale event of kind %d caused action %d", (int)event.kind,
                  (int)actions.items[0].kind);
    ck_assert(same_coordinator(&before, &w->c));
    ck_assert(memcmp(acked, w->acked, sizeof acked) == 0);
}

/* Bad luck is rarer than progress, else no schedule gets far; closing is rare. */
static bool is_chosen(unsigned move, uint64_t *random)
{
    switch (move) {
    case MOVE_COMMIT_FENCED:
    case MOVE_ABORT_FENCED:
    case MOVE_CLOSE:
        return next_random(random) % 200 == 0;
    case MOVE_BEGIN_FAILED:
    case MOVE_DECLINE:
    case MOVE_TICK:
        return next_random(random) % 8 == 0;
    default:
        return true;
    }
}

/* One schedule, from START until it is closed or long enough. @return its number of steps */
static uint64_t random_schedule(uint64_t *random)
{
    struct world w;
    uint64_t interval_us = next_random(random) % 2 == 0 ? 0 : 1 + next_random(random) % 400000;
    uint64_t min_pause_us = next_random(random) % 2 == 0 ? 0 : 1 + next_random(random) % 400000;
    uint64_t steps = 0, length = 20 + next_random(random) % 400;
    world_init(&w, interval_us, min_pause_us, 1 + next_random(random) % MAX_TASKS);
    w.now_us = 1 + next_random(random) % 1000000;
    if (next_random(random) % 8 == 0)
        world_play(&w, MOVE_REQUEST); /* before START: waits */
    if (next_random(random) % 8 == 0)
        world_play(&w, MOVE_SAVEPOINT);
    world_start(&w);
    while (steps < length && !w.closed) {
        unsigned move = (unsigned)(next_random(random) % MOVES);
        if (next_random(random) % 4 == 0) {
            play_nonsense(&w, random);
            steps++;
        }
        if (!world_can(&w, move) || !is_chosen(move, random))
            continue;
        if (move != MOVE_TICK)
            w.now_us += next_random(random) % 1000;
        world_play(&w, move);
        steps++;
    }
    world_check_ends(w);
    world_check_closes(w);
    return steps;
}

static uint64_t seed_of_run(void)
{
    const char *given = getenv("CAIRN_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : crn_random_u64();
    printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
    (void)fflush(stdout); /* a failing child must not take it along */
    return seed;
}

START_TEST(test_random_schedules)
{
    uint64_t random = seed_of_run();
    uint64_t steps = 0, schedules = 0, until_us = crn_now_us() + 5000000;
    while (steps < 1500000 && (steps < 1000000 || crn_now_us() < until_us)) {
        steps += random_schedule(&random);
        schedules++;
    }
    printf("# random: %" PRIu64 " schedules, %" PRIu64 " steps\n", schedules, steps);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Times, told by name
 * ------------------------------------------------------------------------------------------ */

static void complete_attempt(struct world *w)
{
    ck_assert_int_eq(w->c.phase, CRN_PHASE_RUNNING);
    for (unsigned i = 0; i < w->tasks; i++)
        world_play(w, MOVE_ACK + i);
    world_play(w, MOVE_COMMIT_OK);
}

START_TEST(test_periodic_interval_counts_from_begin_to_begin)
{
    struct world w;
    world_init(&w, 100, 0, 1);
    w.now_us = 1000;
    world_start(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1100);
    world_play(&w, MOVE_TICK);
    w.now_us = 1150; /* shorter than the interval: the next is due 100 after the begin */
    complete_attempt(&w);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1200);
    world_play(&w, MOVE_TICK);
    w.now_us = 1999; /* longer: the next begins at once, and only one */
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
}
END_TEST

START_TEST(test_min_pause_holds_periodic_ones_back_but_not_requests)
{
    struct world w;
    world_init(&w, 100, 500, 1);
    world_start(&w);
    world_play(&w, MOVE_TICK);
    w.now_us = 300;
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 800);
    w.now_us = 400;
    world_play(&w, MOVE_REQUEST);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
}
END_TEST

START_TEST(test_timeout_ends_the_attempt_at_its_deadline)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    world_start(&w);
    world_play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), TIMEOUT_US);
    w.now_us = TIMEOUT_US - 1;
    world_step(&w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
    world_play(&w, MOVE_TICK);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_ABORTING);
}
END_TEST

START_TEST(test_retries_wait_longer_each_time_up_to_a_limit)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    w.c.timeout_us = UINT64_MAX;
    world_start(&w);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_ACK);
    uint64_t waited = 0;
    for (int i = 0; i < 20; i++) {
        world_play(&w, MOVE_COMMIT_UNKNOWN);
        uint64_t wait = crn_coordinator_next_tick_us(&w.c) - w.now_us;
        ck_assert_uint_ge(wait, waited);
        ck_assert_uint_le(wait, 5000000);
        waited = wait;
        world_play(&w, MOVE_TICK);
        ck_assert(w.commit_runs);
    }
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.checkpoints, 1);
}
END_TEST

/* A store that does not let the log be written: after the deadline waiters are told at each try,
 * and the id is tried on until it is known. */
START_TEST(test_waiters_are_told_when_the_log_cannot_be)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    world_start(&w);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_ACK);
    uint64_t deadline_us = w.c.deadline_us;
    bool told = false;
    for (int i = 0; i < 40 && !told; i++) {
        world_play(&w, MOVE_COMMIT_UNKNOWN);
        told |= w.overdue;
        while (!w.commit_runs) {
            uint64_t next_us = crn_coordinator_next_tick_us(&w.c);
            ck_assert(told || next_us <= deadline_us);
            world_play(&w, MOVE_TICK);
            told |= w.overdue;
            ck_assert(!told || w.now_us >= deadline_us);
        }
    }
    ck_assert(told);
    world_play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.checkpoints, 1);
}
END_TEST

START_TEST(test_times_at_the_end_of_the_clock_do_not_wrap)
{
    struct world w;
    world_init(&w, UINT64_MAX, UINT64_MAX, 1);
    w.c.timeout_us = UINT64_MAX;
    w.now_us = UINT64_MAX - 5;
    world_start(&w);
    world_play(&w, MOVE_REQUEST);
    world_step(&w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
}
END_TEST

START_TEST(test_requests_that_wait_become_one_and_keep_full)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    world_start(&w);
    world_play(&w, MOVE_REQUEST);
    world_play(&w, MOVE_REQUEST_FULL);
    world_play(&w, MOVE_REQUEST);
    ck_assert(!w.c.full);
    complete_attempt(&w);
    ck_assert_uint_eq(w.settled, 1);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING); /* one for both that waited */
    ck_assert(w.c.full);
    complete_attempt(&w);
    ck_assert_uint_eq(w.settled, 3);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
}
END_TEST

START_TEST(test_savepoints_and_periodic_checkpoints_take_turns)
{
    struct world w;
    world_init(&w, 100, 0, 1);
    world_start(&w);
    world_play(&w, MOVE_TICK);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(!w.savepoint);
        world_play(&w, MOVE_SAVEPOINT); /* there is always one that waits */
        w.now_us += 500;                /* and always a checkpoint that is due */
        complete_attempt(&w);
        ck_assert(w.savepoint);
        world_play(&w, MOVE_SAVEPOINT);
        w.now_us += 500;
        complete_attempt(&w);
        ck_assert(!w.savepoint);
        complete_attempt(&w);
        ck_assert(w.savepoint);
        w.now_us += 500;
        complete_attempt(&w);
    }
    ck_assert_uint_eq(w.savepoints, 6);
    ck_assert_uint_eq(w.checkpoints, 6);
}
END_TEST

START_TEST(test_a_savepoint_moves_no_checkpoint)
{
    struct world w;
    world_init(&w, 1000, 300, 1);
    world_start(&w);
    world_play(&w, MOVE_SAVEPOINT);
    w.now_us = 950;
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1000);
}
END_TEST

START_TEST(test_a_requested_checkpoint_goes_before_a_savepoint)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    world_start(&w);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_SAVEPOINT);
    world_play(&w, MOVE_REQUEST_FULL);
    complete_attempt(&w);
    ck_assert(!w.savepoint && w.c.full);
    complete_attempt(&w);
    ck_assert(w.savepoint && !w.c.full);
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
}
END_TEST

START_TEST(test_a_savepoint_has_its_own_deadline)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    world_start(&w);
    world_play(&w, MOVE_SAVEPOINT);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), SAVEPOINT_TIMEOUT_US);
    world_play(&w, MOVE_TICK);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_ABORTING);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coordinator");
    TCase *tcase = tcase_create("schedules");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_every_reachable_state);
    tcase_add_test(tcase, test_every_reachable_state_with_periodic_ones);
    tcase_add_test(tcase, test_random_schedules);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("times");
    tcase_add_test(tcase, test_periodic_interval_counts_from_begin_to_begin);
    tcase_add_test(tcase, test_min_pause_holds_periodic_ones_back_but_not_requests);
    tcase_add_test(tcase, test_timeout_ends_the_attempt_at_its_deadline);
    tcase_add_test(tcase, test_retries_wait_longer_each_time_up_to_a_limit);
    tcase_add_test(tcase, test_waiters_are_told_when_the_log_cannot_be);
    tcase_add_test(tcase, test_times_at_the_end_of_the_clock_do_not_wrap);
    tcase_add_test(tcase, test_requests_that_wait_become_one_and_keep_full);
    tcase_add_test(tcase, test_savepoints_and_periodic_checkpoints_take_turns);
    tcase_add_test(tcase, test_a_savepoint_moves_no_checkpoint);
    tcase_add_test(tcase, test_a_requested_checkpoint_goes_before_a_savepoint);
    tcase_add_test(tcase, test_a_savepoint_has_its_own_deadline);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
