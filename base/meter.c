/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts of requests. Which one is open is the thread's own business, so that no store and no
 * engine call has to be handed one; the figures are atomic, since several threads work for the same
 * checkpoint.
 */
#include "base/meter.h"

#include <stddef.h>

static _Thread_local struct crn_meter *open_meter;

struct crn_meter *crn_meter_enter(struct crn_meter *meter)
{
    struct crn_meter *before = open_meter;
    open_meter = meter;
    return before;
}

void crn_meter_leave(struct crn_meter *before)
{
    open_meter = before;
}

void crn_meter_charge(uint64_t sent_bytes, uint64_t received_bytes)
{
    for (struct crn_meter *meter = open_meter; meter != NULL; meter = meter->parent) {
        atomic_fetch_add_explicit(&meter->requests, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&meter->sent_bytes, sent_bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&meter->received_bytes, received_bytes, memory_order_relaxed);
    }
}
