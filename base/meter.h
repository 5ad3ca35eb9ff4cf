/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_METER_H
#define CRN_BASE_METER_H

#include "base/cleanup.h"
#include <stdatomic.h>
#include <stdint.h>

/* An account of what is spent on requests. Whoever works for something opens its account for the
 * thread; whoever sends a request charges what is open. Threads that are started meanwhile have it
 * open, too. What is charged to an account is charged to its parents. */
struct crn_meter {
    struct crn_meter *parent; /* NULL: none */
    atomic_uint_fast64_t requests, sent_bytes, received_bytes;
};
/* Opens it for this thread; returns what was open, for crn_meter_leave(). NULL: nothing is. An
 * account must stay until everybody has left it. */
struct crn_meter *crn_meter_enter(struct crn_meter *meter);
void crn_meter_leave(struct crn_meter *before);
/* Of what crn_meter_enter() returned: left at the end of the scope. */
static inline void crn_cleanup_meter(struct crn_meter **before)
{
    crn_meter_leave(*before);
}
#define CRN_AUTO_METER __attribute__((unused)) CRN_CLEANUP(crn_cleanup_meter)
/* One request, with the sizes of its bodies. */
void crn_meter_charge(uint64_t sent_bytes, uint64_t received_bytes);

#endif
