/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator of snapshots as a pure state machine; coordinator.h has its states and
 * invariants.
 */
#include "engine/job/coordinator.h"

#include <assert.h>
#include <string.h>

/* A record whose outcome is not known, or that the store refuses for now, is tried again after this
 * long, doubling up to the maximum. */
#define RETRY_FIRST_US 50000u
#define RETRY_MAX_US 5000000u

void crn_coordinator_init(struct crn_coordinator *c, uint64_t interval_us, uint64_t timeout_us,
                          uint64_t min_pause_us, uint8_t *acked)
{
    memset(c, 0, sizeof *c);
    c->interval_us = interval_us;
    c->timeout_us = timeout_us;
    c->min_pause_us = min_pause_us;
    c->acked = acked;
    c->phase = CRN_PHASE_STOPPED;
    c->next_periodic_us = UINT64_MAX;
    c->retry_at_us = UINT64_MAX;
}

static struct crn_action *act(struct crn_coordinator *c, struct crn_actions *out,
                              enum crn_action_kind kind)
{
    assert(out->count < CRN_ACTIONS_MAX);
    struct crn_action *action = &out->items[out->count++];
    *action = (struct crn_action){
        .kind = kind, .id = c->id, .full = c->full, .savepoint = c->savepoint, .ticket = c->taken};
    return action;
}

static uint64_t later(uint64_t now_us, uint64_t delay_us)
{
    return delay_us > UINT64_MAX - now_us ? UINT64_MAX : now_us + delay_us;
}

static void schedule_retry(struct crn_coordinator *c, uint64_t now_us)
{
    uint32_t doublings = c->retries < 10 ? c->retries : 10;
    uint64_t delay = (uint64_t)RETRY_FIRST_US << doublings;
    c->retries++;
    c->retry_at_us = later(now_us, delay < RETRY_MAX_US ? delay : RETRY_MAX_US);
}

static void begin(struct crn_coordinator *c, uint64_t now_us, uint64_t timeout_us,
                  struct crn_actions *out)
{
    c->phase = CRN_PHASE_RUNNING;
    c->id = c->head_id + 1;
    c->ack_count = 0;
    c->drained = false;
    c->overdue = false;
    c->retries = 0;
    c->retry_at_us = UINT64_MAX;
    memset(c->acked, 0, c->task_count);
    c->deadline_us = later(now_us, timeout_us);
    act(c, out, CRN_ACTION_BEGIN);
}

static void begin_checkpoint(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    c->savepoint = false;
    c->full = c->requested_full;
    c->requested_full = false;
    c->taken = c->requested;
    if (c->interval_us > 0)
        c->next_periodic_us = later(now_us, c->interval_us);
    begin(c, now_us, c->timeout_us, out);
}

static void begin_savepoint(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    c->savepoint = true;
    c->full = false;
    c->savepoint_waits = false;
    begin(c, now_us, c->savepoint_timeout_us, out);
}

static void begin_if_due(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    if (c->phase != CRN_PHASE_IDLE || c->closing)
        return;
    bool asked = c->requested > c->taken;
    bool periodic = now_us >= c->next_periodic_us && now_us >= c->not_before_us;
    /* c->savepoint is still what the last attempt was. */
    if (asked || (periodic && (c->savepoint || !c->savepoint_waits)))
        begin_checkpoint(c, now_us, out);
    else if (c->savepoint_waits)
        begin_savepoint(c, now_us, out);
}

/* The attempt is over and nothing of it is left to do. */
static void to_idle(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    c->phase = CRN_PHASE_IDLE;
    if (!c->savepoint)
        c->not_before_us = later(now_us, c->min_pause_us);
    c->retry_at_us = UINT64_MAX;
    if (c->closing) {
        c->phase = CRN_PHASE_CLOSED;
        act(c, out, CRN_ACTION_CLOSED);
        return;
    }
    begin_if_due(c, now_us, out);
}

static void to_aborting(struct crn_coordinator *c, bool timed_out, struct crn_actions *out)
{
    c->phase = CRN_PHASE_ABORTING;
    c->retries = 0;
    c->retry_at_us = UINT64_MAX;
    act(c, out, CRN_ACTION_CANCEL)->timed_out = timed_out;
    act(c, out, CRN_ACTION_ABORT);
}

static void resolved_as_aborted(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    c->head_id = c->id;
    c->retry_at_us = UINT64_MAX;
    act(c, out, CRN_ACTION_ABORTED);
    if (!c->drained) {
        c->phase = CRN_PHASE_DRAINING;
        return;
    }
    act(c, out, CRN_ACTION_DISCARD);
    to_idle(c, now_us, out);
}

static void to_fenced(struct crn_coordinator *c, struct crn_actions *out)
{
    c->phase = CRN_PHASE_FENCED;
    c->next_periodic_us = UINT64_MAX;
    c->retry_at_us = UINT64_MAX;
    act(c, out, CRN_ACTION_CANCEL);
    act(c, out, CRN_ACTION_FENCED); /* before LEAVE, which waits for uploads */
    act(c, out, CRN_ACTION_LEAVE);
    if (c->closing) {
        c->phase = CRN_PHASE_CLOSED;
        act(c, out, CRN_ACTION_CLOSED);
    }
}

static void on_close(struct crn_coordinator *c, struct crn_actions *out)
{
    if (c->closing)
        return;
    c->closing = true;
    switch (c->phase) {
    case CRN_PHASE_STOPPED:
    case CRN_PHASE_IDLE:
    case CRN_PHASE_FENCED:
        c->phase = CRN_PHASE_CLOSED;
        act(c, out, CRN_ACTION_CLOSED);
        break;
    case CRN_PHASE_RUNNING:
        to_aborting(c, false, out);
        break;
    case CRN_PHASE_COMMITTING:
    case CRN_PHASE_ABORTING:
        /* Only waiting for another try: not worth holding a closing service up. Whoever opens the
         * job next resolves the id. A try that runs reports back to us first. */
        if (c->retry_at_us != UINT64_MAX) {
            c->phase = CRN_PHASE_CLOSED;
            act(c, out, CRN_ACTION_CANCEL);
            act(c, out, CRN_ACTION_LEAVE);
            act(c, out, CRN_ACTION_CLOSED);
        }
        break;
    case CRN_PHASE_DRAINING:
    case CRN_PHASE_CLOSED:
        break;
    }
}

static void to_overdue(struct crn_coordinator *c, struct crn_actions *out)
{
    c->overdue = true;
    act(c, out, CRN_ACTION_OVERDUE);
}

static void on_tick(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    if (c->phase == CRN_PHASE_RUNNING && now_us >= c->deadline_us) {
        to_aborting(c, true, out);
        return;
    }
    bool unresolved = c->phase == CRN_PHASE_COMMITTING || c->phase == CRN_PHASE_ABORTING;
    if (now_us >= c->retry_at_us) {
        c->retry_at_us = UINT64_MAX;
        if (unresolved)
            act(c, out, c->phase == CRN_PHASE_COMMITTING ? CRN_ACTION_COMMIT : CRN_ACTION_ABORT);
    } else if (unresolved && !c->overdue && now_us >= c->deadline_us) {
        to_overdue(c, out);
    }
    begin_if_due(c, now_us, out);
}

static void on_ack(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                   struct crn_actions *out)
{
    /* Late, duplicate and unknown acknowledgements change nothing. */
    if (c->phase != CRN_PHASE_RUNNING || event->id != c->id || event->task >= c->task_count ||
        c->acked[event->task])
        return;
    c->acked[event->task] = 1;
    if (++c->ack_count < c->task_count)
        return;
    c->phase = CRN_PHASE_COMMITTING;
    c->retries = 0;
    act(c, out, CRN_ACTION_COMMIT);
}

/* A try that could not settle the id: again later, unless the job is closing. Who asked since the
 * deadline hears of each try that fails, and never before one that may succeed. */
static void try_again_later(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    if (!c->closing) {
        schedule_retry(c, now_us);
        if (now_us >= c->deadline_us)
            to_overdue(c, out);
        return;
    }
    c->phase = CRN_PHASE_CLOSED;
    act(c, out, CRN_ACTION_CANCEL);
    act(c, out, CRN_ACTION_LEAVE);
    act(c, out, CRN_ACTION_CLOSED);
}

static void on_commit_result(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                             struct crn_actions *out)
{
    if (c->phase != CRN_PHASE_COMMITTING || event->id != c->id)
        return;
    switch (event->kind) {
    case CRN_EVENT_COMMIT_OK:
        c->head_id = c->id;
        act(c, out, CRN_ACTION_COMPLETE);
        to_idle(c, event->now_us, out);
        break;
    case CRN_EVENT_COMMIT_TAKEN:
        act(c, out, CRN_ACTION_CANCEL);
        resolved_as_aborted(c, event->now_us, out);
        break;
    case CRN_EVENT_COMMIT_FAILED:
        to_aborting(c, false, out);
        break;
    default:
        try_again_later(c, event->now_us, out);
        break;
    }
}

static void on_drained(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                       struct crn_actions *out)
{
    if (event->id != c->id)
        return;
    c->drained = true;
    if (c->phase != CRN_PHASE_DRAINING)
        return;
    act(c, out, CRN_ACTION_DISCARD);
    to_idle(c, event->now_us, out);
}

void crn_coordinator_step(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                          struct crn_actions *ret)
{
    ret->count = 0;
    if (c->phase == CRN_PHASE_CLOSED)
        return;
    switch (event->kind) {
    case CRN_EVENT_START:
        assert(c->phase == CRN_PHASE_STOPPED);
        c->phase = CRN_PHASE_IDLE;
        c->task_count = event->task;
        c->head_id = event->id;
        if (c->interval_us > 0)
            c->next_periodic_us = later(event->now_us, c->interval_us);
        begin_if_due(c, event->now_us, ret);
        break;
    case CRN_EVENT_REQUEST:
        /* One event may stand for several tickets: one checkpoint serves them all. */
        if (event->id > c->requested)
            c->requested = event->id;
        c->requested_full |= event->full;
        begin_if_due(c, event->now_us, ret);
        break;
    case CRN_EVENT_SAVEPOINT:
        assert(!c->savepoint_waits);
        c->savepoint_waits = true;
        c->savepoint_timeout_us = event->timeout_us;
        begin_if_due(c, event->now_us, ret);
        break;
    case CRN_EVENT_TICK:
        on_tick(c, event->now_us, ret);
        break;
    case CRN_EVENT_BEGIN_FAILED:
        /* The id is free still. Requests wait for no other try: they were told. */
        if (c->phase == CRN_PHASE_RUNNING && event->id == c->id)
            to_idle(c, event->now_us, ret);
        break;
    case CRN_EVENT_ACK:
        on_ack(c, event, ret);
        break;
    case CRN_EVENT_DECLINE:
        if (c->phase == CRN_PHASE_RUNNING && event->id == c->id)
            to_aborting(c, false, ret);
        break;
    case CRN_EVENT_COMMIT_OK:
    case CRN_EVENT_COMMIT_TAKEN:
    case CRN_EVENT_COMMIT_UNKNOWN:
    case CRN_EVENT_COMMIT_FAILED:
        on_commit_result(c, event, ret);
        break;
    case CRN_EVENT_COMMIT_FENCED:
        /* Only a record that we tried to commit can tell; anything else is an old answer. */
        if ((c->phase == CRN_PHASE_COMMITTING || c->phase == CRN_PHASE_ABORTING) &&
            event->id == c->id)
            to_fenced(c, ret);
        break;
    case CRN_EVENT_ABORT_OK:
        if (c->phase == CRN_PHASE_ABORTING && event->id == c->id)
            resolved_as_aborted(c, event->now_us, ret);
        break;
    case CRN_EVENT_ABORT_FAILED:
        if (c->phase == CRN_PHASE_ABORTING && event->id == c->id)
            try_again_later(c, event->now_us, ret);
        break;
    case CRN_EVENT_DRAINED:
        on_drained(c, event, ret);
        break;
    case CRN_EVENT_CLOSE:
        on_close(c, ret);
        break;
    }
}

uint64_t crn_coordinator_next_tick_us(const struct crn_coordinator *c)
{
    switch (c->phase) {
    case CRN_PHASE_IDLE: {
        if (c->requested > c->taken || c->savepoint_waits)
            return 0;
        if (c->next_periodic_us == UINT64_MAX)
            return UINT64_MAX;
        return c->next_periodic_us > c->not_before_us ? c->next_periodic_us : c->not_before_us;
    }
    case CRN_PHASE_RUNNING:
        return c->deadline_us;
    case CRN_PHASE_COMMITTING:
    case CRN_PHASE_ABORTING:
        return c->overdue || c->retry_at_us < c->deadline_us ? c->retry_at_us : c->deadline_us;
    default:
        return UINT64_MAX;
    }
}
