/* SPDX-License-Identifier: Apache-2.0 */
/* The world around a coordinator: what can happen next, and what it makes happen. The judge is in
 * coordinator_judge.c. */
#include "tests/support/coordinator_world.h"

#include <string.h>

struct crn_coordinator_settings world_settings(void)
{
    return (struct crn_coordinator_settings){
        .timeout_us = TIMEOUT_US, .max_concurrent = 1, .tolerable_failures = UINT32_MAX};
}

void world_init(struct world *w, const struct crn_coordinator_settings *settings, uint32_t tasks)
{
    memset(w, 0, sizeof *w);
    w->settings = *settings;
    w->tasks = tasks;
    w->head = w->log_head = FIRST_ID - 1;
    w->next_periodic_us = UINT64_MAX;
    world_serve_all(w);
    crn_coordinator_init(&w->c, settings, w->acked);
}

/* The coordinator keeps pointers into memory that is the world's. */
void world_copy(struct world *to, const struct world *from)
{
    *to = *from;
    to->c.acked = to->acked;
    for (size_t i = 0; i < CRN_FLIGHTS_MAX && from->started; i++)
        to->c.flights[i].acked = to->acked + (from->c.flights[i].acked - from->acked);
}

void world_step(struct world *w, struct crn_coordinator_event event)
{
    struct crn_actions actions;
    event.now_us = w->now_us;
    w->just_begun = false;
    crn_coordinator_step(&w->c, &event, &actions);
    for (size_t i = 0; i < actions.count; i++)
        judge_action(w, &actions.items[i], i > 0 ? &actions.items[i - 1] : NULL, &event);
    if (w->started)
        judge_state(w, &event);
    must(event.kind != CRN_EVENT_TICK || actions.count > 0,
         "a tick that was asked for, but for nothing: the driver would spin");
}

/* ------------------------------------------------------------------------------------------ *
 * What can happen next
 * ------------------------------------------------------------------------------------------ */

static bool can_record(const struct world *w, unsigned move)
{
    const struct attempt *oldest = world_oldest(w);
    switch (move) {
    case MOVE_COMMIT_FAILED:
        return w->record == RECORD_COMMIT && !oldest->in_doubt;
    case MOVE_COMMIT_OK:
    case MOVE_COMMIT_TAKEN:
    case MOVE_COMMIT_FENCED:
    case MOVE_COMMIT_UNKNOWN:
        return w->record == RECORD_COMMIT;
    default:
        return w->record == RECORD_ABORT;
    }
}

/* Of one attempt: acknowledgements and declines come while nobody has withdrawn the barrier, and
 * the driver reports a drained attempt only once it was cancelled. */
static bool can_attempt(const struct world *w, unsigned move)
{
    unsigned index = move >= MOVE_ACK       ? (move - MOVE_ACK) / MAX_TASKS
                     : move >= MOVE_DRAINED ? move - MOVE_DRAINED
                                            : move - MOVE_DECLINE;
    if (index >= w->count)
        return false;
    const struct attempt *a = &w->attempts[index];
    if (move >= MOVE_ACK) {
        unsigned task = (move - MOVE_ACK) % MAX_TASKS;
        return !a->cancelled && task < w->tasks && (a->acks >> task & 1) == 0;
    }
    if (move >= MOVE_DRAINED)
        return a->cancelled && !a->drained;
    return !a->cancelled && !attempt_is_acked(w, a);
}

bool world_can(const struct world *w, unsigned move)
{
    if (w->closed)
        return false;
    switch (move) {
    case MOVE_REQUEST:
    case MOVE_REQUEST_FULL:
        return !w->close_sent && (w->tickets < MAX_TICKETS - 1 ||
                                  w->owner[(w->tickets + 1) % MAX_TICKETS] == UINT16_MAX);
    case MOVE_SAVEPOINT:
    case MOVE_STOP:
        return !w->close_sent && !w->savepoint_waits;
    case MOVE_TICK:
        return crn_coordinator_next_tick_us(&w->c) != UINT64_MAX;
    case MOVE_BEGIN_FAILED:
        return w->just_begun;
    case MOVE_CLOSE:
        return !w->close_sent;
    default:
        return move < MOVE_DECLINE ? can_record(w, move) : can_attempt(w, move);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Making it happen
 * ------------------------------------------------------------------------------------------ */

static void play_request(struct world *w, bool full)
{
    w->full_asked |= full;
    w->tickets++;
    w->owner[w->tickets % MAX_TICKETS] = 0;
    world_step(w, (struct crn_coordinator_event){
                      .kind = CRN_EVENT_REQUEST, .id = w->tickets, .full = full});
}

static void play_savepoint(struct world *w, bool stop)
{
    w->savepoint_waits = true;
    w->savepoints_asked++;
    w->stop_waits = stop;
    world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_SAVEPOINT,
                                                 .stop = stop,
                                                 .timeout_us = SAVEPOINT_TIMEOUT_US});
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
    const struct attempt *oldest = world_oldest(w);
    w->record = RECORD_NONE;
    w->in_vain = move == MOVE_COMMIT_UNKNOWN || move == MOVE_ABORT_FAILED;
    w->in_vain_since_us = w->now_us;
    w->attempts[oldest - w->attempts].in_doubt |= move == MOVE_COMMIT_UNKNOWN;
    world_step(w, (struct crn_coordinator_event){.kind = kinds[move], .id = oldest->id});
}

/* The driver tells the waiters itself, and nothing was done under the id. */
static void play_begin_failed(struct world *w)
{
    struct attempt *newest = &w->attempts[w->count - 1];
    uint64_t id = newest->id;
    for (unsigned i = 0; i < MAX_TICKETS; i++)
        if (w->owner[i] == id)
            w->owner[i] = UINT16_MAX;
    world_remove(w, newest);
    w->head--;
    world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_BEGIN_FAILED, .id = id});
}

static void play_attempt(struct world *w, unsigned move)
{
    struct crn_coordinator_event event = {.kind = CRN_EVENT_DECLINE};
    unsigned index = move - MOVE_DECLINE;
    if (move >= MOVE_ACK) {
        index = (move - MOVE_ACK) / MAX_TASKS;
        event.kind = CRN_EVENT_ACK;
        event.task = (move - MOVE_ACK) % MAX_TASKS;
        w->attempts[index].acks |= (uint8_t)(1u << event.task);
    } else if (move >= MOVE_DRAINED) {
        index = move - MOVE_DRAINED;
        event.kind = CRN_EVENT_DRAINED;
        w->attempts[index].drained = true;
    }
    event.id = w->attempts[index].id;
    world_step(w, event);
}

void world_play(struct world *w, unsigned move)
{
    switch (move) {
    case MOVE_REQUEST:
    case MOVE_REQUEST_FULL:
        play_request(w, move == MOVE_REQUEST_FULL);
        break;
    case MOVE_SAVEPOINT:
    case MOVE_STOP:
        play_savepoint(w, move == MOVE_STOP);
        break;
    case MOVE_TICK: {
        uint64_t next_us = crn_coordinator_next_tick_us(&w->c);
        w->now_us = next_us > w->now_us ? next_us : w->now_us;
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
        break;
    }
    case MOVE_BEGIN_FAILED:
        play_begin_failed(w);
        break;
    case MOVE_CLOSE:
        w->close_sent = true;
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_CLOSE});
        break;
    default:
        if (move >= MOVE_DECLINE)
            play_attempt(w, move);
        else
            play_result(w, move);
        break;
    }
}

void world_start(struct world *w)
{
    w->started = true;
    if (w->settings.interval_us > 0)
        w->next_periodic_us = w->settings.interval_us > UINT64_MAX - w->now_us
                                  ? UINT64_MAX
                                  : w->now_us + w->settings.interval_us;
    world_step(w, (struct crn_coordinator_event){
                      .kind = CRN_EVENT_START, .id = FIRST_ID - 1, .task = w->tasks});
}

/* ------------------------------------------------------------------------------------------ *
 * Nothing gets stuck
 * ------------------------------------------------------------------------------------------ */

bool world_is_over(const struct world *w)
{
    if (w->close_sent)
        return w->closed;
    if (w->failed)
        return true; /* the driver sends CLOSE */
    bool heard = world_unserved(w) == 0 && !w->savepoint_waits;
    return w->count == 0 && (w->fenced || w->stopped || heard);
}

bool world_play_well(struct world *w)
{
    static const unsigned good[] = {MOVE_COMMIT_OK, MOVE_ABORT_OK};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        if (world_can(w, good[i])) {
            world_play(w, good[i]);
            return true;
        }
    for (unsigned move = MOVE_DRAINED; move < MOVES; move++)
        if (world_can(w, move)) {
            world_play(w, move);
            return true;
        }
    if (!world_can(w, MOVE_TICK))
        return false;
    world_play(w, MOVE_TICK);
    return true;
}

void world_check_ends(const struct world *from)
{
    struct world w;
    world_copy(&w, from);
    for (unsigned steps = 0; steps < GOOD_MOVES_MAX && !world_is_over(&w); steps++)
        must(world_play_well(&w), "stuck in phase %d with %zu attempts", (int)w.c.phase, w.count);
    must(world_is_over(&w), "no end in sight in phase %d", (int)w.c.phase);
}

void world_check_closes(const struct world *from)
{
    struct world w;
    world_copy(&w, from);
    if (w.started && !w.close_sent)
        world_play(&w, MOVE_CLOSE);
    world_check_ends(&w);
}
