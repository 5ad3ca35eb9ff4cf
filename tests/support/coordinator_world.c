/* SPDX-License-Identifier: Apache-2.0 */
/* The world around a coordinator: every rule of engine/job/coordinator.h, decided a second time
 * from the events alone. */
#include "tests/support/coordinator_world.h"

#include <check.h>
#include <string.h>

void world_init(struct world *w, uint64_t interval_us, uint64_t min_pause_us, uint64_t tasks)
{
    memset(w, 0, sizeof *w);
    w->tasks = tasks;
    w->interval_us = interval_us;
    w->min_pause_us = min_pause_us;
    w->next_periodic_us = UINT64_MAX;
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

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static bool is_periodic_due(const struct world *w)
{
    return w->now_us >= w->next_periodic_us && w->now_us >= w->not_before_us;
}

static void judge_begin_checkpoint(struct world *w, const struct crn_action *action)
{
    bool asked = w->tickets > w->taken;
    ck_assert_msg(asked || is_periodic_due(w), "a checkpoint that nobody asked for");
    ck_assert_msg(asked || !w->savepoint_waits || w->savepoint,
                  "periodic checkpoints starve a savepoint");
    ck_assert_uint_eq(action->ticket, w->tickets); /* serves everybody who asked before */
    ck_assert(action->full == w->full_asked);
    w->full_asked = false;
    w->taken = w->tickets;
    w->next_periodic_us = w->interval_us > 0 ? sum_of(w->now_us, w->interval_us) : UINT64_MAX;
    w->deadline_us = sum_of(w->now_us, w->c.timeout_us);
}

static void judge_begin_savepoint(struct world *w, const struct crn_action *action)
{
    ck_assert_msg(w->savepoint_waits, "a savepoint that nobody asked for");
    ck_assert_msg(w->tickets == w->taken, "a requested checkpoint goes first");
    ck_assert_msg(!w->savepoint || !is_periodic_due(w), "savepoints starve a periodic checkpoint");
    ck_assert_uint_eq(action->ticket, w->taken); /* serves none of them */
    ck_assert(!action->full);
    w->savepoint_waits = false;
    w->deadline_us = sum_of(w->now_us, SAVEPOINT_TIMEOUT_US);
}

static void judge_begin(struct world *w, const struct crn_action *action)
{
    ck_assert_msg(!w->open, "one attempt at a time");
    ck_assert_msg(w->started && !w->close_sent && !w->fenced, "begins only while it runs");
    ck_assert_uint_eq(action->id, w->log_head + 1); /* ids are dense */
    if (action->savepoint)
        judge_begin_savepoint(w, action);
    else
        judge_begin_checkpoint(w, action);
    w->savepoint = action->savepoint;
    w->open = true;
    w->cancelled = w->drained = w->commit_runs = w->abort_runs = false;
    w->in_doubt = w->stands_aborted = w->wants_retry = w->overdue = false;
    memset(w->task_acked, 0, sizeof w->task_acked);
    w->id = action->id;
    w->ticket = action->ticket;
}

/* A savepoint leaves alone when the next periodic checkpoint is due. */
static void attempt_ended(struct world *w)
{
    w->open = false;
    if (!w->savepoint)
        w->not_before_us = sum_of(w->now_us, w->min_pause_us);
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
        if (w->savepoint)
            w->savepoints++;
        else
            w->checkpoints++;
        attempt_ended(w);
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
        attempt_ended(w);
        break;
    case CRN_ACTION_OVERDUE:
        ck_assert_msg(w->now_us >= w->deadline_us && !w->stands_aborted,
                      "OVERDUE before the deadline, or of what is resolved");
        ck_assert(all_acked(w) || w->cancelled);
        ck_assert_msg(event->kind != CRN_EVENT_TICK || !w->overdue,
                      "OVERDUE again, before a try that may succeed");
        w->overdue = true;
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
        ck_assert(event->kind == CRN_EVENT_COMMIT_FENCED && !w->fenced);
        ck_assert_msg(!w->open || w->cancelled, "fenced with an attempt that goes on");
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
    ck_assert(action->savepoint == w->savepoint);
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
void world_step(struct world *w, struct crn_coordinator_event event)
{
    struct crn_actions actions;
    event.now_us = w->now_us;
    w->c.acked = w->acked;
    crn_coordinator_step(&w->c, &event, &actions);
    for (size_t i = 0; i < actions.count; i++)
        judge(w, &actions.items[i], &event);
    ck_assert_uint_eq(w->c.head_id, w->log_head);
    ck_assert(w->c.savepoint_waits == w->savepoint_waits);
    ck_assert_msg(w->open || w->closed || w->close_sent || w->fenced || !w->started ||
                      (!w->savepoint_waits && w->tickets == w->taken),
                  "idle although somebody waits");
    ck_assert_msg(!w->stands_aborted || !w->drained || !w->open,
                  "resolved and drained, but not DISCARDed (P6)");
    if (w->open && w->wants_retry)
        ck_assert_uint_ne(crn_coordinator_next_tick_us(&w->c), UINT64_MAX);
}

/* ------------------------------------------------------------------------------------------ *
 * What can happen next
 * ------------------------------------------------------------------------------------------ */

/* The driver reports a drained attempt only once it was cancelled, an ack only before. */
bool world_can(const struct world *w, unsigned move)
{
    bool running = w->open && w->c.phase == CRN_PHASE_RUNNING;
    if (w->closed)
        return false;
    switch (move) {
    case MOVE_REQUEST:
    case MOVE_REQUEST_FULL:
        return !w->close_sent;
    case MOVE_SAVEPOINT:
        return !w->close_sent && !w->savepoint_waits;
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
    world_step(w, (struct crn_coordinator_event){
                      .kind = CRN_EVENT_REQUEST, .id = w->tickets, .full = full});
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
    world_step(w, (struct crn_coordinator_event){.kind = kinds[move], .id = w->id});
}

void world_play(struct world *w, unsigned move)
{
    switch (move) {
    case MOVE_REQUEST:
    case MOVE_REQUEST_FULL:
        play_request(w, move == MOVE_REQUEST_FULL);
        break;
    case MOVE_SAVEPOINT:
        w->savepoint_waits = true;
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_SAVEPOINT,
                                                     .timeout_us = SAVEPOINT_TIMEOUT_US});
        break;
    case MOVE_TICK: {
        uint64_t next_us = crn_coordinator_next_tick_us(&w->c);
        w->now_us = next_us > w->now_us ? next_us : w->now_us;
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_TICK});
        break;
    }
    case MOVE_DECLINE:
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_DECLINE, .id = w->id});
        break;
    case MOVE_DRAINED:
        w->drained = true;
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_DRAINED, .id = w->id});
        break;
    case MOVE_BEGIN_FAILED:
        /* The driver tells the waiters itself, and nothing was done under the id. */
        attempt_ended(w);
        settle(w, w->ticket);
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_BEGIN_FAILED, .id = w->id});
        break;
    case MOVE_CLOSE:
        w->close_sent = true;
        world_step(w, (struct crn_coordinator_event){.kind = CRN_EVENT_CLOSE});
        break;
    default:
        if (move >= MOVE_ACK) {
            w->task_acked[move - MOVE_ACK] = true;
            world_step(w, (struct crn_coordinator_event){
                              .kind = CRN_EVENT_ACK, .id = w->id, .task = move - MOVE_ACK});
        } else {
            play_result(w, move);
        }
        break;
    }
}

void world_start(struct world *w)
{
    w->started = true;
    w->log_head = 7;
    if (w->interval_us > 0)
        w->next_periodic_us = sum_of(w->now_us, w->interval_us);
    world_step(w, (struct crn_coordinator_event){
                      .kind = CRN_EVENT_START, .id = 7, .task = (uint32_t)w->tasks});
}

/* ------------------------------------------------------------------------------------------ *
 * Nothing gets stuck
 * ------------------------------------------------------------------------------------------ */

/* From now on all goes well. Everybody who asked gets an outcome; if the job closes, it ends. */
void world_check_ends(struct world w)
{
    static const unsigned good[] = {MOVE_COMMIT_OK, MOVE_ABORT_OK, MOVE_DRAINED,
                                    MOVE_ACK,       MOVE_ACK + 1,  MOVE_ACK + 2,
                                    MOVE_ACK + 3,   MOVE_ACK + 4,  MOVE_TICK};
    for (unsigned steps = 0; steps < 200; steps++) {
        bool over = w.close_sent
                        ? w.closed
                        : w.fenced || (w.settled == w.tickets && !w.savepoint_waits && !w.open);
        if (over)
            return;
        unsigned i = 0;
        while (i < sizeof good / sizeof good[0] && !world_can(&w, good[i]))
            i++;
        ck_assert_msg(i < sizeof good / sizeof good[0], "stuck in phase %d", (int)w.c.phase);
        world_play(&w, good[i]);
    }
    ck_abort_msg("no end in sight in phase %d", (int)w.c.phase);
}

void world_check_closes(struct world w)
{
    if (w.started && !w.close_sent)
        world_play(&w, MOVE_CLOSE);
    world_check_ends(w);
}
