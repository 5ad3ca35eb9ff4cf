/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the invariants of engine/coordinator.h (P1, P5, P6, P7) without a thread or a clock.
 *
 * A model of the world around the coordinator (tasks, a store, a log, people who ask) offers the
 * events that the driver could bring next, and judges every action that comes back. Two ways to
 * choose the events:
 *   exhaustive   all reachable states of 2 tasks and 3 checkpoints, each with every event, and from
 *                each of them the way to CLOSED;
 *   random       more than a million steps with up to 5 tasks, periodic checkpoints, pauses and
 * real retry times; with events that are late, repeated or of nobody thrown in, which must change
 * nothing. The seed is printed; CAIRN_SEED=<number> replays it.
 */
#include "engine/coordinator.h"

#include "base/thread.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_TASKS 5u
#define TIMEOUT_US 1000000u

/* What the world knows; everything that the coordinator must not get wrong is decided here again,
 * from the events alone. */
struct world {
    struct crn_coordinator c; /* its `acked` is set at each step: a world may be copied */
    uint8_t acked[MAX_TASKS];
    uint64_t now_us;
    uint64_t tasks;
    bool started, close_sent, fenced, closed;
    uint64_t log_head;    /* newest id that stands in the log */
    uint64_t checkpoints; /* committed */
    uint64_t tickets, settled;
    bool full_asked; /* by a ticket that no attempt has taken */
    /* The attempt in flight. */
    bool open, cancelled, drained, commit_runs, abort_runs, in_doubt, stands_aborted;
    bool wants_retry; /* a record is neither committed nor given up: only time may try it again */
    uint64_t id, ticket, deadline_us;
    bool task_acked[MAX_TASKS];
};

static void world_init(struct world *w, uint64_t interval_us, uint64_t min_pause_us, uint64_t tasks)
{
    memset(w, 0, sizeof *w);
    w->tasks = tasks;
    crn_coordinator_init(&w->c, interval_us, TIMEOUT_US, min_pause_us, w->acked);
}

static bool all_acked(const struct world *w)
{
    for (uint64_t i = 0; i < w->tasks; i++)
        if (!w->task_acked[i])
            return false;
    return true;
}

/* ------------------------------------------------------------------------------------------ *
 * Judging actions
 * ------------------------------------------------------------------------------------------ */

static void judge_begin(struct world *w, const struct crn_action *action)
{
    ck_assert_msg(!w->open, "one attempt at a time");
    ck_assert_msg(w->started && !w->close_sent && !w->fenced, "begins only while it runs");
    ck_assert_uint_eq(action->id, w->log_head + 1); /* ids are dense */
    ck_assert_uint_eq(action->ticket, w->tickets);  /* serves everybody who asked before */
    ck_assert(action->full == w->full_asked);
    w->full_asked = false;
    w->open = true;
    w->cancelled = w->drained = w->commit_runs = w->abort_runs = false;
    w->in_doubt = w->stands_aborted = w->wants_retry = false;
    memset(w->task_acked, 0, sizeof w->task_acked);
    w->id = action->id;
    w->ticket = action->ticket;
    w->deadline_us = w->now_us + TIMEOUT_US;
}

static void judge_commit(struct world *w)
{
    ck_assert_msg(all_acked(w), "COMMIT only after every task acknowledged this id (P1)");
    ck_assert_msg(!w->cancelled && !w->stands_aborted && !w->fenced, "COMMIT of a dead attempt");
    ck_assert_msg(!w->commit_runs && !w->abort_runs, "one record at a time");
    w->commit_runs = true;
    w->wants_retry = false;
}

static void judge_abort(struct world *w)
{
    ck_assert_msg(w->cancelled && !w->stands_aborted, "ABORT of a live or resolved attempt");
    ck_assert_msg(!w->in_doubt, "an outcome that is not known was guessed");
    ck_assert_msg(!w->commit_runs && !w->abort_runs && !w->fenced, "one record at a time");
    w->abort_runs = true;
    w->wants_retry = false;
}

static void settle(struct world *w, uint64_t ticket)
{
    ck_assert_uint_ge(ticket, w->settled);
    ck_assert_uint_le(ticket, w->tickets);
    w->settled = ticket;
}

static void judge_outcome(struct world *w, const struct crn_action *action,
                          const struct crn_coordinator_event *event)
{
    switch (action->kind) {
    case CRN_ACTION_COMPLETE:
        ck_assert_int_eq(event->kind, CRN_EVENT_COMMIT_OK);
        ck_assert(!w->cancelled);
        w->log_head = w->id;
        w->checkpoints++;
        w->open = false;
        settle(w, action->ticket);
        ck_assert_uint_eq(action->ticket, w->ticket);
        break;
    case CRN_ACTION_ABORTED:
        ck_assert(event->kind == CRN_EVENT_ABORT_OK || event->kind == CRN_EVENT_COMMIT_TAKEN);
        ck_assert(w->cancelled && !w->stands_aborted);
        w->stands_aborted = true;
        w->log_head = w->id;
        settle(w, action->ticket);
        ck_assert_uint_eq(action->ticket, w->ticket);
        break;
    case CRN_ACTION_DISCARD:
        ck_assert_msg(w->stands_aborted, "DISCARD before the id is resolved (P5)");
        ck_assert_msg(w->drained, "DISCARD while uploads run (P5)");
        w->open = false;
        break;
    default: /* LEAVE */
        ck_assert_msg(w->cancelled && !w->stands_aborted, "LEAVE of what must be DISCARDed (P6)");
        ck_assert_msg(event->kind == CRN_EVENT_COMMIT_FENCED || w->close_sent,
                      "an attempt is left only when fenced or closing");
        w->open = false;
        break;
    }
}

static void judge(struct world *w, const struct crn_action *action,
                  const struct crn_coordinator_event *event)
{
    ck_assert_msg(!w->closed, "an action after CLOSED");
    if (action->kind == CRN_ACTION_BEGIN) {
        judge_begin(w, action);
        return;
    }
    if (action->kind == CRN_ACTION_FENCED) {
        ck_assert(event->kind == CRN_EVENT_COMMIT_FENCED && !w->open && !w->fenced);
        w->fenced = true;
        settle(w, w->tickets);
        return;
    }
    if (action->kind == CRN_ACTION_CLOSED) {
        ck_assert(w->close_sent && !w->open);
        w->closed = true;
        settle(w, w->tickets);
        return;
    }
    ck_assert_msg(w->open, "action %d without an attempt", (int)action->kind);
    ck_assert_uint_eq(action->id, w->id);
    if (action->kind == CRN_ACTION_CANCEL) {
        ck_assert(!action->timed_out || w->now_us >= w->deadline_us);
        w->cancelled = true;
    } else if (action->kind == CRN_ACTION_COMMIT) {
        judge_commit(w);
    } else if (action->kind == CRN_ACTION_ABORT) {
        judge_abort(w);
    } else {
        judge_outcome(w, action, event);
    }
}

/* One event into the coordinator, its actions into the model. */
static void step(struct world *w, struct crn_coordinator_event event)
{
    struct crn_actions actions;
    event.now_us = w->now_us;
    w->c.acked = w->acked;
    crn_coordinator_step(&w->c, &event, &actions);
    for (size_t i = 0; i < actions.count; i++)
        judge(w, &actions.items[i], &event);
    ck_assert_uint_eq(w->c.head_id, w->log_head);
    ck_assert_msg(!w->stands_aborted || !w->drained || !w->open,
                  "resolved and drained, but not DISCARDed (P6)");
    if (w->open && w->wants_retry)
        ck_assert_uint_ne(crn_coordinator_next_tick_us(&w->c), UINT64_MAX);
}

/* ------------------------------------------------------------------------------------------ *
 * What can happen next
 * ------------------------------------------------------------------------------------------ */

enum move {
    MOVE_REQUEST,
    MOVE_REQUEST_FULL,
    MOVE_TICK, /* at the time that the coordinator asked for */
    MOVE_DECLINE,
    MOVE_DRAINED,
    MOVE_COMMIT_OK,
    MOVE_COMMIT_TAKEN,
    MOVE_COMMIT_FENCED,
    MOVE_COMMIT_UNKNOWN,
    MOVE_COMMIT_FAILED,
    MOVE_ABORT_OK,
    MOVE_ABORT_FENCED,
    MOVE_ABORT_FAILED,
    MOVE_BEGIN_FAILED,
    MOVE_CLOSE,
    MOVE_ACK, /* of task 0; the next ones of the others */
    MOVES = MOVE_ACK + MAX_TASKS
};

/* The driver reports a drained attempt only once it was cancelled, an ack only before. */
static bool is_possible(const struct world *w, unsigned move)
{
    bool running = w->open && w->c.phase == CRN_PHASE_RUNNING;
    if (w->closed)
        return false;
    switch (move) {
    case MOVE_REQUEST:
    case MOVE_REQUEST_FULL:
        return !w->close_sent;
    case MOVE_TICK:
        return crn_coordinator_next_tick_us(&w->c) != UINT64_MAX;
    case MOVE_DECLINE:
        return running;
    case MOVE_DRAINED:
        return w->open && w->cancelled && !w->drained;
    case MOVE_COMMIT_FAILED:
        return w->commit_runs && !w->in_doubt;
    case MOVE_COMMIT_OK:
    case MOVE_COMMIT_TAKEN:
    case MOVE_COMMIT_FENCED:
    case MOVE_COMMIT_UNKNOWN:
        return w->commit_runs;
    case MOVE_ABORT_OK:
    case MOVE_ABORT_FENCED:
    case MOVE_ABORT_FAILED:
        return w->abort_runs;
    case MOVE_BEGIN_FAILED:
        for (uint64_t i = 0; i < w->tasks; i++)
            if (w->task_acked[i])
                return false;
        return running;
    case MOVE_CLOSE:
        return !w->close_sent;
    default:
        return running && move - MOVE_ACK < w->tasks && !w->task_acked[move - MOVE_ACK];
    }
}

static void play_request(struct world *w, bool full)
{
    w->full_asked |= full;
    w->tickets++;
    step(w,
         (struct crn_coordinator_event){.kind = CRN_EVENT_REQUEST, .id = w->tickets, .full = full});
}

static void play_result(struct world *w, unsigned move)
{
    static const enum crn_event_kind kinds[] = {
        [MOVE_COMMIT_OK] = CRN_EVENT_COMMIT_OK,
        [MOVE_COMMIT_TAKEN] = CRN_EVENT_COMMIT_TAKEN,
        [MOVE_COMMIT_FENCED] = CRN_EVENT_COMMIT_FENCED,
        [MOVE_COMMIT_UNKNOWN] = CRN_EVENT_COMMIT_UNKNOWN,
        [MOVE_COMMIT_FAILED] = CRN_EVENT_COMMIT_FAILED,
        [MOVE_ABORT_OK] = CRN_EVENT_ABORT_OK,
        [MOVE_ABORT_FENCED] = CRN_EVENT_COMMIT_FENCED,
        [MOVE_ABORT_FAILED] = CRN_EVENT_ABORT_FAILED,
    };
    w->commit_runs = w->abort_runs = false;
    w->in_doubt |= move == MOVE_COMMIT_UNKNOWN;
    w->wants_retry = move == MOVE_COMMIT_UNKNOWN || move == MOVE_ABORT_FAILED;
    if (w->close_sent)
        w->wants_retry = false;
    if (move == MOVE_COMMIT_TAKEN)
        w->in_doubt = false; /* the id is somebody else's: now it is known */
    step(w, (struct crn_coordinator_event){.kind = kinds[move], .id = w->id});
}

static void play(struct world *w, unsigned move)
{
    switch (move) {
    case MOVE_REQUEST:
    case MOVE_REQUEST_FULL:
        play_request(w, move == MOVE_REQUEST_FULL);
        break;
    case MOVE_TICK: {
        uint64_t next_us = crn_coordinator_next_tick_us(&w->c);
        w->now_us = next_us > w->now_us ? next_us : w->now_us;
        step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
        break;
    }
    case MOVE_DECLINE:
        step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_DECLINE, .id = w->id});
        break;
    case MOVE_DRAINED:
        w->drained = true;
        step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_DRAINED, .id = w->id});
        break;
    case MOVE_BEGIN_FAILED:
        /* The driver tells the waiters itself, and nothing was done under the id. */
        w->open = false;
        settle(w, w->ticket);
        step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_BEGIN_FAILED, .id = w->id});
        break;
    case MOVE_CLOSE:
        w->close_sent = true;
        step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_CLOSE});
        break;
    default:
        if (move >= MOVE_ACK) {
            w->task_acked[move - MOVE_ACK] = true;
            step(w, (struct crn_coordinator_event){
                        .kind = CRN_EVENT_ACK, .id = w->id, .task = move - MOVE_ACK});
        } else {
            play_result(w, move);
        }
        break;
    }
}

static void play_start(struct world *w)
{
    w->started = true;
    w->log_head = 7;
    step(w, (struct crn_coordinator_event){
                .kind = CRN_EVENT_START, .id = 7, .task = (uint32_t)w->tasks});
}

/* ------------------------------------------------------------------------------------------ *
 * Nothing gets stuck
 * ------------------------------------------------------------------------------------------ */

/* From now on all goes well. Everybody who asked gets an outcome; if the job closes, it ends. */
static void check_ends(struct world w)
{
    static const unsigned good[] = {MOVE_COMMIT_OK, MOVE_ABORT_OK, MOVE_DRAINED,
                                    MOVE_ACK,       MOVE_ACK + 1,  MOVE_ACK + 2,
                                    MOVE_ACK + 3,   MOVE_ACK + 4,  MOVE_TICK};
    for (unsigned steps = 0; steps < 200; steps++) {
        bool over = w.close_sent ? w.closed : w.fenced || (w.settled == w.tickets && !w.open);
        if (over)
            return;
        unsigned i = 0;
        while (i < sizeof good / sizeof good[0] && !is_possible(&w, good[i]))
            i++;
        ck_assert_msg(i < sizeof good / sizeof good[0], "stuck in phase %d", (int)w.c.phase);
        play(&w, good[i]);
    }
    ck_abort_msg("no end in sight in phase %d", (int)w.c.phase);
}

static void check_closes(struct world w)
{
    if (w.started && !w.close_sent)
        play(&w, MOVE_CLOSE);
    check_ends(w);
}

/* ------------------------------------------------------------------------------------------ *
 * Every reachable state of a small world
 * ------------------------------------------------------------------------------------------ */

#define SMALL_TASKS 2u
#define SMALL_CHECKPOINTS 3u
#define SMALL_WAITING 2u /* requests that wait at once */
#define STATES_MAX (1u << 14)

/* All that can influence what happens next, without absolute times, ids and tickets. */
struct state_key {
    uint8_t phase, checkpoints, waiting, unsettled, acks, retries;
    uint8_t flags[16];
};

static struct state_key key_of(const struct world *w)
{
    struct state_key key;
    memset(&key, 0, sizeof key);
    key.phase = (uint8_t)w->c.phase;
    key.checkpoints = (uint8_t)w->checkpoints;
    key.waiting = (uint8_t)(w->c.requested - w->c.taken);
    key.unsettled = (uint8_t)(w->tickets - w->settled);
    key.retries = (uint8_t)(w->c.retries < 3 ? w->c.retries : 3);
    for (unsigned i = 0; i < SMALL_TASKS; i++)
        key.acks |=
            (uint8_t)((w->task_acked[i] && w->open) << i | (w->acked[i] && w->open) << (i + 4));
    const bool flags[16] = {
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
    };
    for (unsigned i = 0; i < 16; i++)
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
    if (move != MOVE_REQUEST && move != MOVE_REQUEST_FULL)
        return true;
    return w->checkpoints < SMALL_CHECKPOINTS && w->c.requested - w->c.taken < SMALL_WAITING &&
           w->tickets - w->settled < 2 * SMALL_WAITING;
}

START_TEST(test_every_reachable_state)
{
    struct explored *explored = calloc(1, sizeof *explored);
    ck_assert_ptr_nonnull(explored);
    struct world w;
    world_init(&w, 0, 0, SMALL_TASKS);
    play_start(&w);
    discover(explored, &w);
    uint64_t transitions = 0;
    for (size_t i = 0; i < explored->count; i++) {
        check_ends(explored->queue[i]);
        check_closes(explored->queue[i]);
        for (unsigned move = 0; move < MOVES; move++) {
            struct world next = explored->queue[i];
            if (!is_possible(&next, move) || !is_small(&next, move))
                continue;
            play(&next, move);
            transitions++;
            discover(explored, &next);
        }
    }
    printf("# exhaustive: %zu states, %" PRIu64 " transitions\n", explored->count, transitions);
    ck_assert_uint_gt(explored->count, 500);
    free(explored);
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
        play(&w, MOVE_REQUEST); /* before START: waits */
    play_start(&w);
    while (steps < length && !w.closed) {
        unsigned move = (unsigned)(next_random(random) % MOVES);
        if (next_random(random) % 4 == 0) {
            play_nonsense(&w, random);
            steps++;
        }
        if (!is_possible(&w, move) || !is_chosen(move, random))
            continue;
        if (move != MOVE_TICK)
            w.now_us += next_random(random) % 1000;
        play(&w, move);
        steps++;
    }
    check_ends(w);
    check_closes(w);
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
        play(w, MOVE_ACK + i);
    play(w, MOVE_COMMIT_OK);
}

START_TEST(test_periodic_interval_counts_from_begin_to_begin)
{
    struct world w;
    world_init(&w, 100, 0, 1);
    w.now_us = 1000;
    play_start(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1100);
    play(&w, MOVE_TICK);
    w.now_us = 1150; /* shorter than the interval: the next is due 100 after the begin */
    complete_attempt(&w);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 1200);
    play(&w, MOVE_TICK);
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
    play_start(&w);
    play(&w, MOVE_TICK);
    w.now_us = 300;
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), 800);
    w.now_us = 400;
    play(&w, MOVE_REQUEST);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
}
END_TEST

START_TEST(test_timeout_ends_the_attempt_at_its_deadline)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    play_start(&w);
    play(&w, MOVE_REQUEST);
    ck_assert_uint_eq(crn_coordinator_next_tick_us(&w.c), TIMEOUT_US);
    w.now_us = TIMEOUT_US - 1;
    step(&w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
    play(&w, MOVE_TICK);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_ABORTING);
}
END_TEST

START_TEST(test_retries_wait_longer_each_time_up_to_a_limit)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    play_start(&w);
    play(&w, MOVE_REQUEST);
    play(&w, MOVE_ACK);
    uint64_t waited = 0;
    for (int i = 0; i < 20; i++) {
        play(&w, MOVE_COMMIT_UNKNOWN);
        uint64_t wait = crn_coordinator_next_tick_us(&w.c) - w.now_us;
        ck_assert_uint_ge(wait, waited);
        ck_assert_uint_le(wait, 5000000);
        waited = wait;
        play(&w, MOVE_TICK);
        ck_assert(w.commit_runs);
    }
    play(&w, MOVE_COMMIT_OK);
    ck_assert_uint_eq(w.checkpoints, 1);
}
END_TEST

START_TEST(test_times_at_the_end_of_the_clock_do_not_wrap)
{
    struct world w;
    world_init(&w, UINT64_MAX, UINT64_MAX, 1);
    w.c.timeout_us = UINT64_MAX;
    w.now_us = UINT64_MAX - 5;
    play_start(&w);
    play(&w, MOVE_REQUEST);
    step(&w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
    ck_assert_int_eq(w.c.phase, CRN_PHASE_RUNNING);
    complete_attempt(&w);
    ck_assert_int_eq(w.c.phase, CRN_PHASE_IDLE);
}
END_TEST

START_TEST(test_requests_that_wait_become_one_and_keep_full)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    play_start(&w);
    play(&w, MOVE_REQUEST);
    play(&w, MOVE_REQUEST_FULL);
    play(&w, MOVE_REQUEST);
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

int main(void)
{
    Suite *suite = suite_create("coordinator");
    TCase *tcase = tcase_create("schedules");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_every_reachable_state);
    tcase_add_test(tcase, test_random_schedules);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("times");
    tcase_add_test(tcase, test_periodic_interval_counts_from_begin_to_begin);
    tcase_add_test(tcase, test_min_pause_holds_periodic_ones_back_but_not_requests);
    tcase_add_test(tcase, test_timeout_ends_the_attempt_at_its_deadline);
    tcase_add_test(tcase, test_retries_wait_longer_each_time_up_to_a_limit);
    tcase_add_test(tcase, test_times_at_the_end_of_the_clock_do_not_wrap);
    tcase_add_test(tcase, test_requests_that_wait_become_one_and_keep_full);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
