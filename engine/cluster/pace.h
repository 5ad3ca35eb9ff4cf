/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLUSTER_PACE_H
#define CRN_ENGINE_CLUSTER_PACE_H

#include <stdint.h>

/*
 * When a process looks at the store again, and shows that it is alive: as often as its intervals
 * say, but within requests_per_minute. Pure.
 *
 * Each request of this kind books its share of a minute; the next look comes when that is over.
 * What a checkpoint needs is sent at once and books too, so that looks give way to it. Nothing
 * waits for more than a minute's budget.
 */
struct crn_pace {
    uint64_t share_us; /* of one request; 0: no budget */
    uint64_t free_at_us;
};

static inline void crn_pace_init(struct crn_pace *pace, uint32_t requests_per_minute)
{
    *pace = (struct crn_pace){.share_us =
                                  requests_per_minute == 0 ? 0 : 60000000u / requests_per_minute};
}

static inline void crn_pace_book(struct crn_pace *pace, uint64_t now_us, uint64_t requests)
{
    if (pace->share_us == 0)
        return;
    const uint64_t from_us = pace->free_at_us > now_us ? pace->free_at_us : now_us;
    const uint64_t most_us = now_us + 60000000u;
    pace->free_at_us = from_us + requests * pace->share_us;
    if (pace->free_at_us > most_us)
        pace->free_at_us = most_us;
}

/* The next look, if the last one was at `last_us`. */
static inline uint64_t crn_pace_next_us(const struct crn_pace *pace, uint64_t last_us,
                                        uint64_t interval_us)
{
    const uint64_t due_us = interval_us > UINT64_MAX - last_us ? UINT64_MAX : last_us + interval_us;
    return due_us > pace->free_at_us ? due_us : pace->free_at_us;
}

#endif
