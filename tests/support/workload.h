/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_WORKLOAD_H
#define CRN_TESTS_WORKLOAD_H

#include "cairn/cairn.h"
#include <stdbool.h>

/*
 * A stream of operations on every kind of state that is a pure function of (seed, subtask,
 * position), and the oracle that belongs to it: plain arrays in memory. A task that was restored
 * tells its position (operator state), the oracle replays the stream up to it, and the two must
 * agree in everything. So a test can crash wherever it likes and still knows what the state must
 * be.
 */

#define WORKLOAD_KEYS 64u
#define WORKLOAD_LIST_MAX 12u
#define WORKLOAD_MAP_KEYS 6u
#define WORKLOAD_BLOB_MAX 16384u

struct workload_slot {
    bool has_blob, has_sum, has_mean;
    uint64_t blob_of; /* position of the operation that wrote the blob: its bytes follow from it */
    int64_t sum;
    int64_t folded, folded_count;
    uint32_t list_count;
    int64_t list[WORKLOAD_LIST_MAX];
    bool has_map[WORKLOAD_MAP_KEYS];
    int64_t map[WORKLOAD_MAP_KEYS];
};

struct workload {
    uint64_t seed;
    uint32_t subtask, parallelism;
    uint64_t position;           /* operations done */
    int64_t keys[WORKLOAD_KEYS]; /* that this subtask owns */
    struct workload_slot slots[WORKLOAD_KEYS];

    cairn_task *task;
    cairn_value *blob;
    cairn_list *list;
    cairn_map *map;
    cairn_reducing *sum;
    cairn_aggregating *mean;
    cairn_operator_list *positions; /* split: this subtask's position */
    cairn_operator_list *everybody; /* union: (subtask, position) of all */
    cairn_broadcast *shared;

    /* These are the caller's, set before workload_open(). */
    uint32_t blob_max; /* blobs are shorter than this; 0: 600. Part of what the stream is. */
    /* Called at each barrier, with the position that belongs to the checkpoint. May be NULL. */
    void (*at_barrier)(void *context, const struct workload *workload, uint64_t checkpoint_id);
    void *context;
};

/* Opens the task with all its states, takes the restored position, replays the oracle. */
int workload_open(struct workload *workload, cairn_job *job, uint64_t seed, uint32_t subtask,
                  uint32_t parallelism, uint64_t memtable_bytes, cairn_error **reterr);
/* The next operation, on the state and on the oracle. */
int workload_step(struct workload *workload, cairn_error **reterr);
/* NULL: state and oracle agree in everything. Else what differs first; static text. */
const char *workload_check(struct workload *workload);
uint64_t workload_random(uint64_t x); /* a well-mixed function of x */

#endif
