/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_COORDINATOR_INTERNAL_H
#define CRN_ENGINE_COORDINATOR_INTERNAL_H

#include "engine/job/coordinator.h"

/* What the coordinator's own files share. */

static inline uint64_t crn_later_us(uint64_t now_us, uint64_t delay_us)
{
    return delay_us > UINT64_MAX - now_us ? UINT64_MAX : now_us + delay_us;
}

/* coordinator_begin.c: at most one attempt, and when the next one is due if nothing else happens.
 */
void crn_coordinator_begin_if_due(struct crn_coordinator *c, uint64_t now_us,
                                  struct crn_actions *out);
uint64_t crn_coordinator_next_begin_us(const struct crn_coordinator *c);

/* coordinator_flights.c: the list of attempts in flight, which says what is always true of it. */

/* The number of tasks is known: each slot gets its row of acknowledgements. */
void crn_flights_start(struct crn_coordinator *c);
/* The next id's, without acknowledgements and ACKING. There is room. */
struct crn_flight *crn_flights_add(struct crn_coordinator *c);
void crn_flights_remove(struct crn_coordinator *c, struct crn_flight *flight);
/* The unresolved one with this id, in constant time. NULL: none. */
struct crn_flight *crn_flights_find(struct crn_coordinator *c, uint64_t id);
/* The resolved one, which drains, with this id. NULL: none. */
struct crn_flight *crn_flights_find_draining(struct crn_coordinator *c, uint64_t id);
/* How many are resolved: these come first. */
size_t crn_flights_resolved(const struct crn_coordinator *c);
/* The only one whose record may be tried. NULL: all are resolved. */
struct crn_flight *crn_flights_oldest(struct crn_coordinator *c);
size_t crn_flights_count(const struct crn_coordinator *c, bool savepoints);
/* Its barrier was withdrawn. */
bool crn_flight_is_cancelled(const struct crn_flight *flight);
/* Its record was tried, and waits for the next try. */
bool crn_flight_waits_for_retry(const struct crn_flight *flight);
/* Adds an action. flight NULL: it is about the whole job. */
struct crn_action *crn_flight_act(const struct crn_flight *flight, struct crn_actions *out,
                                  enum crn_action_kind kind);

#endif
