/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the invariants of engine/job/coordinator.h (P1, P5, P6, P7) without a thread or a clock.
 *
 * A model of the world around the coordinator (tasks, a store, a log, people who ask) offers the
 * events that the driver could bring next, and judges every action that comes back. Two ways to
 * choose the events:
 *   exhaustive   all reachable states of 2 tasks, 3 checkpoints and a savepoint, one or two
 *                checkpoints at a time, each state with every event, and from each of them a way
 *                to an end, in which everybody has heard, or the job is CLOSED;
 *   random       millions of steps with up to 5 tasks, up to 8 checkpoints at a time, periodic and
 *                full ones, pauses, real retry times and any number of tolerable failures; with
 *                events that are late, repeated or of nobody thrown in, which must change nothing.
 *                The seed is printed; CAIRN_SEED=<number> replays it.
 * The rules that concern times and turns are also told one by one, in test_coordinator_rules.c.
 */
#include "base/hash.h"
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
#define SMALL_CHECKPOINTS 3u
#define SMALL_SAVEPOINTS 1u
#define SEEN_MAX (1u << 21)
#define PENDING_MAX 4096u /* deepest first: a schedule is not long */

/* All that can influence what happens next, without absolute times, ids and tickets. */
struct state_key {
    uint8_t bytes[256];
    size_t size;
};

static void add(struct state_key *key, uint64_t value, uint64_t limit)
{
    must(key->size < sizeof key->bytes, "a key too long");
    key->bytes[key->size++] = (uint8_t)(value < limit ? value : limit);
}

static uint8_t swap_if(bool swap, uint8_t acks)
{
    static const uint8_t swapped[] = {0, 2, 1, 3};
    return swap ? swapped[acks] : acks;
}

static void add_attempt(struct state_key *key, const struct world *w, size_t index, bool swap)
{
    const struct attempt *a = &w->attempts[index];
    const struct crn_flight *flight = &w->c.flights[index];
    bool in_vain = flight->retry_at_us != UINT64_MAX;
    unsigned asked = 0;
    for (unsigned i = 0; i < MAX_TICKETS; i++)
        asked += w->owner[i] == a->id;
    add(key, a->id - FIRST_ID - w->log_head, 255);
    add(key, flight->phase, 255);
    add(key, swap_if(swap, a->acks), 255);
    add(key, swap_if(swap, (uint8_t)(flight->acked[0] + 2u * flight->acked[1])), 255);
    add(key, a->savepoint + 2u * a->stop + 4u * a->full + 8u * a->cancelled + 16u * a->drained,
        255);
    add(key, a->aborted + 2u * a->in_doubt + 4u * a->told + 8u * flight->overdue, 255);
    add(key, flight->drained + 2u * in_vain + 4u * flight->subsumed, 255);
    add(key, asked, 255);
    add(key, flight->ticket > 0 ? flight->ticket - flight->after_ticket : 0, 255);
    add(key, w->now_us >= a->deadline_us, 1);
    for (size_t i = 0; i < w->count; i++)
        add(key,
            (a->deadline_us < w->attempts[i].deadline_us) +
                2u * (in_vain && flight->retry_at_us < w->attempts[i].deadline_us),
            3);
}

static uint64_t hash_of(const struct world *w, bool swap)
{
    struct state_key key = {.size = 0};
    const struct crn_coordinator *c = &w->c;
    bool is_time = w->now_us >= c->next_periodic_us && w->now_us >= c->not_before_us;
    add(&key, c->phase, 255);
    add(&key, w->close_sent + 2u * w->fenced + 4u * w->failed + 8u * w->stopped + 16u * w->closed,
        255);
    add(&key, w->record + 4u * w->in_vain + 8u * w->just_begun + 16u * is_time, 255);
    add(&key, w->savepoint_waits + 2u * w->stop_waits + 4u * c->last_was_savepoint, 255);
    add(&key, w->full_asked + 2u * c->requested_full + 4u * c->failed + 8u * c->stopped, 255);
    add(&key, w->settings.interval_us > 0 ? 0 : w->tickets, SMALL_CHECKPOINTS);
    add(&key, world_unserved(w), 255);
    add(&key, c->requested - c->taken, 255);
    add(&key, w->savepoints_asked, SMALL_SAVEPOINTS);
    add(&key, c->failures, w->settings.tolerable_failures < 8 ? 8 : 0);
    add(&key, c->since_full, w->settings.full_every);
    for (size_t i = 0; i < w->count; i++)
        add_attempt(&key, w, i, swap);
    return crn_hash64_of(key.bytes, key.size);
}

/* It makes no difference which of the two tasks is which. */
static uint64_t key_of(const struct world *w)
{
    uint64_t key = hash_of(w, false), swapped = hash_of(w, true);
    return (key < swapped ? key : swapped) | 1;
}

struct key_set {
    uint64_t keys[2 * SEEN_MAX]; /* 0: free */
    size_t count;
};

/* @return the key's place, or where it would have it */
static uint64_t *place_in(struct key_set *set, uint64_t key)
{
    size_t at = (key >> 1) % (2 * SEEN_MAX);
    while (set->keys[at] != 0 && set->keys[at] != key)
        at = (at + 1) % (2 * SEEN_MAX);
    return &set->keys[at];
}

/* @return false: it was there */
static bool add_key(struct key_set *set, uint64_t key)
{
    uint64_t *place = place_in(set, key);
    if (*place == key)
        return false;
    must(set->count < SEEN_MAX, "the small world is not small");
    *place = key;
    set->count++;
    return true;
}

struct explored {
    struct key_set seen;
    struct key_set end; /* if all goes well from there on */
    uint64_t transitions;
    struct world pending[PENDING_MAX]; /* seen, but nobody looked at what comes after */
    size_t pending_count;
};

static void discover(struct explored *explored, const struct world *w)
{
    if (!add_key(&explored->seen, key_of(w)))
        return;
    must(explored->pending_count < PENDING_MAX, "the small world is not small");
    world_copy(&explored->pending[explored->pending_count++], w);
}

/* As world_check_ends(), but each state is gone through once only. */
static void check_ends(struct explored *explored, const struct world *from)
{
    struct world w;
    uint64_t path[GOOD_MOVES_MAX];
    size_t length = 0;
    world_copy(&w, from);
    while (!world_is_over(&w)) {
        uint64_t key = key_of(&w);
        if (*place_in(&explored->end, key) == key)
            break;
        must(length < GOOD_MOVES_MAX, "no end in sight");
        path[length++] = key;
        must(world_play_well(&w), "stuck in phase %d with %zu attempts", (int)w.c.phase, w.count);
    }
    while (length > 0)
        (void)add_key(&explored->end, path[--length]);
}

/* It would not be, with every kind of request at every time: the job is asked to stop only where
 * checkpoints come one at a time, for a full one only last, and where there are periodic ones only
 * while nobody waits. The random schedules have no such limits. */
static bool is_small(const struct world *w, unsigned move)
{
    if (move == MOVE_STOP && w->settings.max_concurrent > 1)
        return false;
    if (move == MOVE_SAVEPOINT || move == MOVE_STOP)
        return w->savepoints_asked < SMALL_SAVEPOINTS;
    if (move != MOVE_REQUEST && move != MOVE_REQUEST_FULL)
        return true;
    if (w->settings.interval_us > 0)
        return move == MOVE_REQUEST && world_unserved(w) == 0;
    return w->tickets < SMALL_CHECKPOINTS &&
           (move == MOVE_REQUEST || w->tickets == SMALL_CHECKPOINTS - 1);
}

static void explore_from(struct explored *explored, const struct world *from)
{
    check_ends(explored, from); /* CLOSE is one of the moves, so this holds for closing as well */
    for (unsigned move = 0; move < MOVES; move++) {
        if (!world_can(from, move) || !is_small(from, move))
            continue;
        struct world next;
        world_copy(&next, from);
        world_play(&next, move);
        explored->transitions++;
        discover(explored, &next);
    }
}

static void explore(const struct crn_coordinator_settings *settings)
{
    struct explored *explored = calloc(1, sizeof *explored);
    must(explored != NULL, "no memory");
    struct world w;
    world_init(&w, settings, SMALL_TASKS);
    world_start(&w);
    discover(explored, &w);
    while (explored->pending_count > 0) {
        world_copy(&w, &explored->pending[--explored->pending_count]);
        explore_from(explored, &w);
    }
    printf("# exhaustive: %zu states, %" PRIu64 " transitions\n", explored->seen.count,
           explored->transitions);
    (void)fflush(stdout);
    must(explored->seen.count > 5000, "too small to prove anything");
    free(explored);
}

START_TEST(test_every_reachable_state_one_at_a_time)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.tolerable_failures = 1;
    explore(&settings);
}
END_TEST

START_TEST(test_every_reachable_state_two_at_a_time)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.max_concurrent = 2;
    explore(&settings);
}
END_TEST

/* So often that the next one is due as soon as any time has passed. */
START_TEST(test_every_reachable_state_with_periodic_ones)
{
    struct crn_coordinator_settings settings = world_settings();
    settings.interval_us = 1;
    explore(&settings);
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

static uint64_t below(uint64_t *random, uint64_t limit)
{
    return next_random(random) % limit;
}

/* Could the driver send this now, and mean it? */
static bool is_real(const struct world *w, const struct crn_coordinator_event *event)
{
    const struct attempt *a = world_find(w, event->id);
    if (a == NULL)
        return false;
    bool acking = !a->cancelled && !attempt_is_acked(w, a);
    switch (event->kind) {
    case CRN_EVENT_ACK:
        return acking && event->task < w->tasks && (a->acks >> event->task & 1) == 0;
    case CRN_EVENT_DECLINE:
        return acking;
    case CRN_EVENT_DRAINED:
        return a->cancelled && !a->drained;
    case CRN_EVENT_BEGIN_FAILED:
        return acking && a->id == w->head && a->acks == 0;
    case CRN_EVENT_ABORT_OK:
    case CRN_EVENT_ABORT_FAILED:
        return w->record == RECORD_ABORT && a->id == w->log_head + 1;
    case CRN_EVENT_COMMIT_FENCED:
        return w->record != RECORD_NONE && a->id == w->log_head + 1;
    default:
        return w->record == RECORD_COMMIT && a->id == w->log_head + 1;
    }
}

/* Late, repeated and unknown: none of it may have any effect. */
static void play_nonsense(struct world *w, uint64_t *random)
{
    static const enum crn_event_kind kinds[] = {
        CRN_EVENT_ACK,           CRN_EVENT_ACK,           CRN_EVENT_DECLINE,
        CRN_EVENT_COMMIT_OK,     CRN_EVENT_COMMIT_TAKEN,  CRN_EVENT_COMMIT_UNKNOWN,
        CRN_EVENT_COMMIT_FAILED, CRN_EVENT_COMMIT_FENCED, CRN_EVENT_ABORT_OK,
        CRN_EVENT_ABORT_FAILED,  CRN_EVENT_BEGIN_FAILED,  CRN_EVENT_DRAINED};
    struct crn_coordinator_event event = {
        .kind = kinds[below(random, sizeof kinds / sizeof kinds[0])],
        .id = w->head + 2 - below(random, FIRST_ID + 1),
        .now_us = w->now_us,
        .task = (uint32_t)below(random, MAX_TASKS + 1),
    };
    if (event.kind == CRN_EVENT_ACK && is_real(w, &event))
        event.task = below(random, 2) == 0 ? w->tasks : UINT32_MAX;
    if (is_real(w, &event))
        return;
    struct crn_coordinator before = w->c;
    uint8_t acked[sizeof w->acked];
    memcpy(acked, w->acked, sizeof acked);
    struct crn_actions actions;
    crn_coordinator_step(&w->c, &event, &actions);
    must(actions.count == 0, "a stale event of kind %d caused action %d", (int)event.kind,
         (int)actions.items[0].kind);
    must(memcmp(&before, &w->c, sizeof before) == 0, "a stale event of kind %d counted",
         (int)event.kind);
    must(memcmp(acked, w->acked, sizeof acked) == 0, "a stale acknowledgement counted");
}

/* Bad luck is rarer than progress, else no schedule gets far; closing is rare. */
static bool is_chosen(const struct world *w, unsigned move, uint64_t *random)
{
    switch (move) {
    case MOVE_COMMIT_FENCED:
    case MOVE_ABORT_FENCED:
        return below(random, 200) == 0;
    case MOVE_CLOSE:
        return below(random, w->failed || w->stopped || w->fenced ? 8 : 200) == 0;
    case MOVE_STOP:
        return below(random, 40) == 0;
    case MOVE_TICK:
        return below(random, 4) == 0;
    case MOVE_BEGIN_FAILED:
    case MOVE_COMMIT_TAKEN:
        return below(random, 8) == 0;
    default:
        return move < MOVE_DECLINE || move >= MOVE_DRAINED || below(random, 8) == 0;
    }
}

/* Any move, but those of attempts that are there are as likely as the others. */
static unsigned any_move(const struct world *w, uint64_t *random)
{
    unsigned move = (unsigned)below(random, MOVE_DECLINE + 8);
    if (move < MOVE_DECLINE)
        return move;
    unsigned index = (unsigned)below(random, w->count + 1);
    if (index >= CRN_FLIGHTS_MAX)
        index = 0;
    if (move == MOVE_DECLINE)
        return MOVE_DECLINE + index;
    if (move <= MOVE_DECLINE + 2)
        return MOVE_DRAINED + index;
    return MOVE_ACK + index * MAX_TASKS + (unsigned)below(random, w->tasks);
}

static uint64_t none_or(uint64_t *random, uint64_t limit)
{
    return below(random, 2) == 0 ? 0 : 1 + below(random, limit);
}

/* One schedule, from START until it is closed or long enough. @return its number of steps */
static uint64_t random_schedule(uint64_t *random)
{
    struct crn_coordinator_settings settings = {
        .interval_us = none_or(random, 400000),
        .timeout_us = TIMEOUT_US,
        .min_pause_us = none_or(random, 400000),
        .max_concurrent = 1 + (uint32_t)below(random, CRN_CONCURRENT_MAX),
        .tolerable_failures =
            below(random, 2) == 0 ? UINT32_MAX : (uint32_t)(below(random, 4) * below(random, 4)),
        .full_every = (uint32_t)none_or(random, 4),
    };
    struct world w;
    uint64_t steps = 0, length = 20 + below(random, 1000);
    world_init(&w, &settings, 1 + (uint32_t)below(random, MAX_TASKS));
    w.now_us = 1 + below(random, 1000000);
    if (below(random, 8) == 0)
        world_play(&w, MOVE_REQUEST); /* before START: waits */
    if (below(random, 8) == 0)
        world_play(&w, MOVE_SAVEPOINT);
    world_start(&w);
    while (steps < length && !w.closed) {
        unsigned move = any_move(&w, random);
        if (below(random, 4) == 0) {
            play_nonsense(&w, random);
            steps++;
        }
        if (!world_can(&w, move) || !is_chosen(&w, move, random))
            continue;
        if (move != MOVE_TICK && move != MOVE_BEGIN_FAILED)
            w.now_us += below(random, 1000);
        world_play(&w, move);
        steps++;
    }
    world_check_ends(&w);
    world_check_closes(&w);
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
    while (steps < 4000000 && (steps < 1000000 || crn_now_us() < until_us)) {
        steps += random_schedule(&random);
        schedules++;
    }
    printf("# random: %" PRIu64 " schedules, %" PRIu64 " steps\n", schedules, steps);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coordinator");
    TCase *tcase = tcase_create("schedules");
    tcase_set_timeout(tcase, 200);
    tcase_add_test(tcase, test_every_reachable_state_one_at_a_time);
    tcase_add_test(tcase, test_every_reachable_state_two_at_a_time);
    tcase_add_test(tcase, test_every_reachable_state_with_periodic_ones);
    tcase_add_test(tcase, test_random_schedules);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
