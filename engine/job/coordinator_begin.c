/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the coordinator begins which attempt: what was asked for goes first, a savepoint and a
 * periodic checkpoint take turns, and a savepoint with which the job stops is the last.
 *
 * A step begins at most one attempt, so that BEGIN_FAILED can only be about the newest; if another
 * one is due, the next TICK is at once.
 */
#include "engine/job/coordinator_internal.h"

/* Is a savepoint with which the job stops in flight, or has it succeeded? */
static bool stop_has_begun(const struct crn_coordinator *c)
{
    for (size_t i = crn_flights_resolved(c); i < c->flight_count; i++)
        if (c->flights[i].stop)
            return true;
    return c->stopped;
}

static bool may_begin_checkpoint(const struct crn_coordinator *c)
{
    return c->phase == CRN_PHASE_RUNNING && !c->failed && !c->stop_waits && !stop_has_begun(c) &&
           crn_flights_count(c, false) < c->settings.max_concurrent;
}

static bool may_begin_savepoint(const struct crn_coordinator *c)
{
    return c->phase == CRN_PHASE_RUNNING && !c->failed && c->savepoint_waits &&
           !stop_has_begun(c) && crn_flights_count(c, true) == 0;
}

/* Attempts in flight count as if they were going to be complete, but for those that cannot be. */
static bool is_full_due(const struct crn_coordinator *c)
{
    uint32_t since_full = c->since_full;
    for (size_t i = 0; i < c->flight_count; i++)
        if (!c->flights[i].savepoint && !crn_flight_is_cancelled(&c->flights[i]))
            since_full = c->flights[i].full ? 0 : since_full + 1;
    return c->settings.full_every > 0 && since_full >= c->settings.full_every - 1;
}

static void begin_checkpoint(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    bool full = c->requested_full || is_full_due(c);
    struct crn_flight *flight = crn_flights_add(c);
    flight->full = full;
    flight->deadline_us = crn_later_us(now_us, c->settings.timeout_us);
    if (c->requested > c->taken) {
        flight->ticket = c->requested;
        flight->after_ticket = c->taken;
    }
    c->taken = c->requested;
    c->requested_full = false;
    c->last_was_savepoint = false;
    if (c->settings.interval_us > 0)
        c->next_periodic_us = crn_later_us(now_us, c->settings.interval_us);
    crn_flight_act(flight, out, CRN_ACTION_BEGIN);
}

static void begin_savepoint(struct crn_coordinator *c, uint64_t now_us, struct crn_actions *out)
{
    struct crn_flight *flight = crn_flights_add(c);
    flight->savepoint = true;
    flight->stop = c->stop_waits;
    flight->deadline_us = crn_later_us(now_us, c->savepoint_timeout_us);
    c->savepoint_waits = c->stop_waits = false;
    c->last_was_savepoint = true;
    crn_flight_act(flight, out, CRN_ACTION_BEGIN);
}

void crn_coordinator_begin_if_due(struct crn_coordinator *c, uint64_t now_us,
                                  struct crn_actions *out)
{
    bool savepoint = may_begin_savepoint(c);
    bool checkpoint = may_begin_checkpoint(c);
    bool asked = c->requested > c->taken;
    bool periodic = now_us >= c->next_periodic_us && now_us >= c->not_before_us;
    if (checkpoint && (asked || (periodic && (!savepoint || c->last_was_savepoint))))
        begin_checkpoint(c, now_us, out);
    else if (savepoint)
        begin_savepoint(c, now_us, out);
}

uint64_t crn_coordinator_next_begin_us(const struct crn_coordinator *c)
{
    if (may_begin_savepoint(c))
        return 0;
    if (!may_begin_checkpoint(c))
        return UINT64_MAX;
    if (c->requested > c->taken)
        return 0;
    return c->next_periodic_us > c->not_before_us ? c->next_periodic_us : c->not_before_us;
}
