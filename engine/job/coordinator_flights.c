/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator's list of attempts in flight. Always true of it:
 *   - oldest first, ids ascending; the resolved ones, which drain, are all older than the others,
 *     since ids are resolved in order;
 *   - the unresolved ones have every id from their oldest's to head_id, so that one is found by
 *     counting back from the end, whatever the number of attempts or tasks is;
 *   - each of the CRN_FLIGHTS_MAX slots, used or not, has a row of acknowledgements of its own.
 *     Rows never move: a slot that changes its place takes the pointer along.
 */
#include "engine/job/coordinator_internal.h"

#include <assert.h>
#include <string.h>

void crn_flights_start(struct crn_coordinator *c)
{
    for (size_t i = 0; i < CRN_FLIGHTS_MAX; i++)
        c->flights[i].acked = c->acked + i * c->task_count;
}

struct crn_flight *crn_flights_add(struct crn_coordinator *c)
{
    assert(c->flight_count < CRN_FLIGHTS_MAX);
    struct crn_flight *flight = &c->flights[c->flight_count++];
    *flight = (struct crn_flight){.phase = CRN_FLIGHT_ACKING,
                                  .id = ++c->head_id,
                                  .acked = flight->acked,
                                  .retry_at_us = UINT64_MAX};
    memset(flight->acked, 0, c->task_count);
    return flight;
}

void crn_flights_remove(struct crn_coordinator *c, struct crn_flight *flight)
{
    struct crn_flight *last = &c->flights[--c->flight_count];
    assert(flight <= last);
    uint8_t *row = flight->acked;
    memmove(flight, flight + 1, (size_t)(last - flight) * sizeof *flight);
    *last = (struct crn_flight){.acked = row};
}

struct crn_flight *crn_flights_find(struct crn_coordinator *c, uint64_t id)
{
    if (id > c->head_id || c->head_id - id >= c->flight_count)
        return NULL;
    struct crn_flight *flight = &c->flights[c->flight_count - 1 - (c->head_id - id)];
    return flight->id == id && flight->phase != CRN_FLIGHT_DRAINING ? flight : NULL;
}

struct crn_flight *crn_flights_find_draining(struct crn_coordinator *c, uint64_t id)
{
    size_t resolved = crn_flights_resolved(c);
    for (size_t i = 0; i < resolved; i++)
        if (c->flights[i].id == id)
            return &c->flights[i];
    return NULL;
}

size_t crn_flights_resolved(const struct crn_coordinator *c)
{
    size_t i = 0;
    while (i < c->flight_count && c->flights[i].phase == CRN_FLIGHT_DRAINING)
        i++;
    return i;
}

struct crn_flight *crn_flights_oldest(struct crn_coordinator *c)
{
    size_t i = crn_flights_resolved(c);
    return i < c->flight_count ? &c->flights[i] : NULL;
}

size_t crn_flights_count(const struct crn_coordinator *c, bool savepoints)
{
    size_t count = 0;
    for (size_t i = 0; i < c->flight_count; i++)
        count += c->flights[i].savepoint == savepoints;
    return count;
}

bool crn_flight_is_cancelled(const struct crn_flight *flight)
{
    return flight->phase == CRN_FLIGHT_DOOMED || flight->phase == CRN_FLIGHT_ABORTING ||
           flight->phase == CRN_FLIGHT_DRAINING;
}

bool crn_flight_waits_for_retry(const struct crn_flight *flight)
{
    return flight->retry_at_us != UINT64_MAX;
}

struct crn_action *crn_flight_act(const struct crn_flight *flight, struct crn_actions *out,
                                  enum crn_action_kind kind)
{
    assert(out->count < CRN_ACTIONS_MAX);
    struct crn_action *action = &out->items[out->count++];
    *action = (struct crn_action){.kind = kind};
    if (flight != NULL) {
        action->id = flight->id;
        action->full = flight->full;
        action->savepoint = flight->savepoint;
        action->stop = flight->stop;
        action->ticket = flight->ticket;
        action->after_ticket = flight->after_ticket;
    }
    return action;
}
