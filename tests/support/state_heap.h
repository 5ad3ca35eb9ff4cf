/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_STATE_HEAP_H
#define CRN_TESTS_STATE_HEAP_H

/* What the tests of the heap backend share, beside what all backends have. */

#include "tests/support/state_any.h"

static inline struct crn_state_db *open_heap(uint64_t memtable_bytes)
{
    struct crn_state_db *db = NULL;
    struct crn_state_config config = {.directory = "/nowhere",
                                      .memtable_bytes = memtable_bytes,
                                      .max_parallelism = 128,
                                      .key_group_last = 127};
    ck_ok(crn_heap_open(&config, &db, reterr));
    return db;
}

static inline uint64_t held_bytes(struct crn_state_db *db)
{
    struct crn_state_stats stats;
    db->ops->stats(db, &stats);
    return stats.memtable_bytes;
}

static inline uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline void put_number(struct crn_state_db *db, struct crn_state *state, uint64_t key,
                              uint64_t value)
{
    ck_ok(db->ops->put(db, state, &key, sizeof(key), &value, sizeof(value), reterr));
}

#endif
