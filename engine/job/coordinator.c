/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator of snapshots as a pure state machine. coordinator.h has its states, its rules and
 * its invariants (P1, P5, P6, P7); coordinator_flights.c the list of attempts; coordinator_begin.c
 * when one begins.
 *
 * Every handler changes what its event is about, and ends with go_on(), which does what follows
 * from the state alone: subsume, begin an attempt, try the oldest one's record, end. An event that
 * is late, repeated or of nobody returns before that and changes nothing.
 */
#include "engine/job/coordinator_internal.h"

#include <assert.h>
#include <string.h>

/* A record whose outcome is not known, or that the store refuses for now, is tried again after this
 * long, doubling up to the maximum. */
#define RETRY_FIRST_US 50000u
#define RETRY_MAX_US 5000000u

void crn_coordinator_init(struct crn_coordinator *c,
                          const struct crn_coordinator_settings *settings, uint8_t *acked)
{
    assert(settings->max_concurrent >= 1 && settings->max_concurrent <= CRN_CONCURRENT_MAX);
    memset(c, 0, sizeof *c);
    c->settings = *settings;
    c->acked = acked;
    c->phase = CRN_PHASE_STOPPED;
    c->next_periodic_us = UINT64_MAX;
}

/* ------------------------------------------------------------------------------------------ *
 * Going on and ending
 * ------------------------------------------------------------------------------------------ */

static struct crn_action *cancel(struct crn_flight *flight, enum crn_cancel_reason reason,
                                 struct crn_actions *out)
{
    struct crn_action *action = crn_flight_act(flight, out, CRN_ACTION_CANCEL);
    action->reason = reason;
    flight->phase = CRN_FLIGHT_DOOMED;
    flight->retries = 0;
    flight->retry_at_us = UINT64_MAX;
    return action;
}

/* It is of no use any more; whoever asked for it is served by the newer one. */
static void subsume(struct crn_flight *older, struct crn_flight *newer, struct crn_actions *out)
{
    if (older->ticket > 0) {
        newer->ticket = newer->ticket > 0 ? newer->ticket : older->ticket;
        newer->after_ticket = older->after_ticket;
        older->ticket = older->after_ticket = 0;
    }
    older->subsumed = true;
    cancel(older, CRN_CANCEL_SUBSUMED, out)->by = newer->id;
}

/* From the newest to the oldest, up to a full one that is still on its way and that the newer one
 * cannot replace: who asked for those before it would else hear of that one's end. */
static void subsume_acking(struct crn_coordinator *c, struct crn_actions *out)
{
    struct crn_flight *ready = NULL;
    for (size_t i = c->flight_count; i-- > 0;) {
        struct crn_flight *flight = &c->flights[i];
        if (flight->savepoint)
            continue;
        if (flight->phase == CRN_FLIGHT_READY && (ready == NULL || (flight->full && !ready->full)))
            ready = flight;
        if (flight->phase != CRN_FLIGHT_ACKING || ready == NULL)
            continue;
        if (flight->full && !ready->full)
            ready = NULL;
        else
            subsume(flight, ready, out);
    }
}

static void try_oldest(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_oldest(c);
    if (flight == NULL || flight->phase == CRN_FLIGHT_ACKING)
        return;
    if (flight->phase == CRN_FLIGHT_READY)
        flight->phase = CRN_FLIGHT_COMMITTING;
    else if (flight->phase == CRN_FLIGHT_DOOMED)
        flight->phase = CRN_FLIGHT_ABORTING;
    else if (crn_flight_waits_for_retry(flight) && now_us >= flight->retry_at_us)
        flight->retry_at_us = UINT64_MAX;
    else
        return;
    crn_flight_act(flight, out,
                   flight->phase == CRN_FLIGHT_COMMITTING ? CRN_ACTION_COMMIT : CRN_ACTION_ABORT);
}

/* What follows from the state and the time. */
static void go_on(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    subsume_acking(c, out);
    crn_coordinator_begin_if_due(c, now_us, out);
    try_oldest(c, now_us, out);
    if (c->phase == CRN_PHASE_CLOSING && c->flight_count == 0) {
        c->phase = CRN_PHASE_CLOSED;
        crn_flight_act(NULL, out, CRN_ACTION_CLOSED);
    }
}

/* Declined, timed out or not committed. */
static void fail(struct crn_coordinator *c, struct crn_flight *flight,
                 enum crn_cancel_reason reason, struct crn_actions *out)
{
    cancel(flight, reason, out);
    if (flight->savepoint || c->phase != CRN_PHASE_RUNNING || c->failed)
        return;
    c->failures += c->failures < UINT32_MAX;
    if (c->failures > c->settings.tolerable_failures) {
        c->failed = true;
        crn_flight_act(NULL, out, CRN_ACTION_FAIL);
    }
}

/* Nothing of it is left to do. */
static void end(struct crn_coordinator *c, struct crn_flight *flight, uint64_t now_us)
{
    if (!flight->savepoint)
        c->not_before_us = crn_later_us(now_us, c->settings.min_pause_us);
    crn_flights_remove(c, flight);
}

static void discard(struct crn_coordinator *c, struct crn_flight *flight, uint64_t now_us,
                    struct crn_actions *out)
{
    crn_flight_act(flight, out, CRN_ACTION_DISCARD);
    end(c, flight, now_us);
}

static void resolved_as_aborted(struct crn_coordinator *c, struct crn_flight *flight,
                                uint64_t now_us, struct crn_actions *out)
{
    crn_flight_act(flight, out, CRN_ACTION_ABORTED);
    flight->phase = CRN_FLIGHT_DRAINING;
    if (flight->drained)
        discard(c, flight, now_us, out);
}

static void resolved_as_complete(struct crn_coordinator *c, struct crn_flight *flight,
                                 uint64_t now_us, struct crn_actions *out)
{
    crn_flight_act(flight, out, CRN_ACTION_COMPLETE);
    if (!flight->savepoint) {
        c->failures = 0;
        c->since_full = flight->full ? 0 : c->since_full + 1;
    }
    c->stopped |= flight->stop;
    end(c, flight, now_us);
}

/* Whoever opens the job next resolves these ids: the log is dense, so no attempt behind one that is
 * given up can be resolved either. Ids that are resolved already drain as ever. */
static void leave_unresolved(struct crn_coordinator *c, enum crn_cancel_reason reason,
                             struct crn_actions *out)
{
    size_t first = crn_flights_resolved(c);
    for (size_t i = first; i < c->flight_count; i++)
        if (!crn_flight_is_cancelled(&c->flights[i]))
            cancel(&c->flights[i], reason, out);
    if (reason == CRN_CANCEL_FENCED)
        crn_flight_act(NULL, out, CRN_ACTION_FENCED); /* before LEAVE, which waits for uploads */
    while (first < c->flight_count) {
        crn_flight_act(&c->flights[first], out, CRN_ACTION_LEAVE);
        crn_flights_remove(c, &c->flights[first]);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Events
 * ------------------------------------------------------------------------------------------ */

static void on_start(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                     struct crn_actions *out)
{
    assert(c->phase == CRN_PHASE_STOPPED);
    c->phase = CRN_PHASE_RUNNING;
    c->task_count = event->task;
    c->head_id = event->id;
    crn_flights_start(c);
    if (c->settings.interval_us > 0)
        c->next_periodic_us = crn_later_us(event->now_us, c->settings.interval_us);
    go_on(c, event->now_us, out);
}

static void on_ack(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                   struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_find(c, event->id);
    if (flight == NULL || flight->phase != CRN_FLIGHT_ACKING || event->task >= c->task_count ||
        flight->acked[event->task])
        return;
    flight->acked[event->task] = 1;
    if (++flight->ack_count < c->task_count)
        return;
    flight->phase = CRN_FLIGHT_READY;
    go_on(c, event->now_us, out);
}

static void on_decline(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                       struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_find(c, event->id);
    if (flight == NULL || flight->phase != CRN_FLIGHT_ACKING)
        return;
    fail(c, flight, CRN_CANCEL_DECLINED, out);
    go_on(c, event->now_us, out);
}

/* The id is free again. Requests wait for no other try: they were told. */
static void on_begin_failed(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                            struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_find(c, event->id);
    if (flight == NULL || flight->id != c->head_id || flight->phase != CRN_FLIGHT_ACKING ||
        flight->ack_count > 0)
        return;
    c->head_id--;
    end(c, flight, event->now_us);
    go_on(c, event->now_us, out);
}

/* Nobody waits longer than a timeout for a store that does not let the log be written: the first
 * deadline counts of all that wait for it, the one that is tried and those behind it. */
static uint64_t overdue_at_us(const struct crn_coordinator *c)
{
    uint64_t at_us = UINT64_MAX;
    for (size_t i = crn_flights_resolved(c); i < c->flight_count; i++)
        if (c->flights[i].phase != CRN_FLIGHT_ACKING && c->flights[i].deadline_us < at_us)
            at_us = c->flights[i].deadline_us;
    return at_us;
}

static void to_overdue(struct crn_flight *flight, struct crn_actions *out)
{
    flight->overdue = true;
    crn_flight_act(flight, out, CRN_ACTION_OVERDUE);
}

/* A try that could not settle the id: again later, unless the job is closing. Who asked since the
 * deadline hears of each try that fails, and never before one that may succeed. */
static void try_again_later(struct crn_coordinator *c, struct crn_flight *flight, uint64_t now_us,
                            struct crn_actions *out)
{
    if (c->phase == CRN_PHASE_CLOSING) {
        leave_unresolved(c, CRN_CANCEL_CLOSING, out);
        return;
    }
    uint64_t delay_us = (uint64_t)RETRY_FIRST_US << (flight->retries < 10 ? flight->retries : 10);
    flight->retries++;
    flight->retry_at_us = crn_later_us(now_us, delay_us < RETRY_MAX_US ? delay_us : RETRY_MAX_US);
    if (now_us >= overdue_at_us(c))
        to_overdue(flight, out);
}

/* Is its record being tried, and can that end so? Anything else is an old answer. */
static bool awaits(const struct crn_flight *flight, enum crn_event_kind result)
{
    if (flight == NULL || crn_flight_waits_for_retry(flight))
        return false;
    bool of_abort = result == CRN_EVENT_ABORT_OK || result == CRN_EVENT_ABORT_FAILED;
    if (flight->phase == CRN_FLIGHT_ABORTING)
        return of_abort || result == CRN_EVENT_COMMIT_FENCED;
    return flight->phase == CRN_FLIGHT_COMMITTING && !of_abort;
}

static void on_result(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                      struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_find(c, event->id);
    if (!awaits(flight, event->kind))
        return;
    switch (event->kind) {
    case CRN_EVENT_COMMIT_OK:
        resolved_as_complete(c, flight, event->now_us, out);
        break;
    case CRN_EVENT_COMMIT_TAKEN:
        cancel(flight, CRN_CANCEL_TAKEN, out);
        resolved_as_aborted(c, flight, event->now_us, out);
        break;
    case CRN_EVENT_COMMIT_FAILED:
        fail(c, flight, CRN_CANCEL_DECLINED, out);
        break;
    case CRN_EVENT_COMMIT_FENCED:
        if (c->phase == CRN_PHASE_RUNNING)
            c->phase = CRN_PHASE_FENCED;
        leave_unresolved(c, CRN_CANCEL_FENCED, out);
        break;
    case CRN_EVENT_ABORT_OK:
        resolved_as_aborted(c, flight, event->now_us, out);
        break;
    default:
        try_again_later(c, flight, event->now_us, out);
        break;
    }
    go_on(c, event->now_us, out);
}

static void on_drained(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                       struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_find_draining(c, event->id);
    if (flight != NULL) {
        discard(c, flight, event->now_us, out);
        go_on(c, event->now_us, out);
        return;
    }
    flight = crn_flights_find(c, event->id);
    if (flight != NULL && crn_flight_is_cancelled(flight))
        flight->drained = true;
}

static void on_tick(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    for (size_t i = 0; i < c->flight_count; i++)
        if (c->flights[i].phase == CRN_FLIGHT_ACKING && now_us >= c->flights[i].deadline_us)
            fail(c, &c->flights[i], CRN_CANCEL_TIMEOUT, out);
    struct crn_flight *oldest = crn_flights_oldest(c);
    if (oldest != NULL && crn_flight_waits_for_retry(oldest) && now_us < oldest->retry_at_us &&
        !oldest->overdue && now_us >= overdue_at_us(c))
        to_overdue(oldest, out);
    go_on(c, now_us, out);
}

static void on_close(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    if (c->phase == CRN_PHASE_CLOSING)
        return;
    c->phase = CRN_PHASE_CLOSING;
    struct crn_flight *oldest = crn_flights_oldest(c);
    /* Only waiting for another try is not worth holding a closing service up. A try that runs
     * reports back to us first. */
    if (oldest != NULL && crn_flight_waits_for_retry(oldest))
        leave_unresolved(c, CRN_CANCEL_CLOSING, out);
    for (size_t i = 0; i < c->flight_count; i++)
        if (c->flights[i].phase == CRN_FLIGHT_ACKING)
            cancel(&c->flights[i], CRN_CANCEL_CLOSING, out);
    go_on(c, now_us, out);
}

void crn_coordinator_step(struct crn_coordinator *c, const struct crn_coordinator_event *event,
                          struct crn_actions *ret)
{
    ret->count = 0;
    if (c->phase == CRN_PHASE_CLOSED)
        return;
    switch (event->kind) {
    case CRN_EVENT_START:
        on_start(c, event, ret);
        break;
    case CRN_EVENT_REQUEST:
        /* One event may stand for several tickets: one checkpoint serves them all. */
        if (event->id > c->requested)
            c->requested = event->id;
        c->requested_full |= event->full;
        go_on(c, event->now_us, ret);
        break;
    case CRN_EVENT_SAVEPOINT:
        assert(!c->savepoint_waits);
        c->savepoint_waits = true;
        c->stop_waits = event->stop;
        c->savepoint_timeout_us = event->timeout_us;
        go_on(c, event->now_us, ret);
        break;
    case CRN_EVENT_TICK:
        on_tick(c, event->now_us, ret);
        break;
    case CRN_EVENT_BEGIN_FAILED:
        on_begin_failed(c, event, ret);
        break;
    case CRN_EVENT_ACK:
        on_ack(c, event, ret);
        break;
    case CRN_EVENT_DECLINE:
        on_decline(c, event, ret);
        break;
    case CRN_EVENT_COMMIT_OK:
    case CRN_EVENT_COMMIT_TAKEN:
    case CRN_EVENT_COMMIT_FENCED:
    case CRN_EVENT_COMMIT_UNKNOWN:
    case CRN_EVENT_COMMIT_FAILED:
    case CRN_EVENT_ABORT_OK:
    case CRN_EVENT_ABORT_FAILED:
        on_result(c, event, ret);
        break;
    case CRN_EVENT_DRAINED:
        on_drained(c, event, ret);
        break;
    case CRN_EVENT_CLOSE:
        on_close(c, event->now_us, ret);
        break;
    }
}

static uint64_t earlier(uint64_t a_us, uint64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

uint64_t crn_coordinator_next_tick_us(const struct crn_coordinator *c)
{
    uint64_t next_us = crn_coordinator_next_begin_us(c);
    for (size_t i = 0; i < c->flight_count; i++) {
        const struct crn_flight *flight = &c->flights[i];
        if (flight->phase == CRN_FLIGHT_ACKING)
            next_us = earlier(next_us, flight->deadline_us);
        if (crn_flight_waits_for_retry(flight)) {
            next_us = earlier(next_us, flight->retry_at_us);
            if (!flight->overdue)
                next_us = earlier(next_us, overdue_at_us(c));
        }
    }
    return next_us;
}
