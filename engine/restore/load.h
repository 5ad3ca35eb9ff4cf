/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_RESTORE_LOAD_H
#define CRN_ENGINE_RESTORE_LOAD_H

#include "backends/state/canonical.h"
#include "backends/state/state.h"

/* Entries into a database, many ranges at a time. */

/* The composite keys of the key groups first..last (inclusive). */
struct crn_group_range {
    uint8_t bounds[2][2];
    struct crn_state_range range; /* points into bounds: must not move */
};
void crn_group_range_init(struct crn_group_range *range, uint32_t first, uint32_t last,
                          uint32_t max_parallelism);

/* The entries of one state and some key groups: from a canonical file, or from another database. */
struct crn_load_unit {
    struct crn_canonical_reader *reader; /* NULL: from the snapshot */
    int number;                          /* of the state in the canonical file */
    const struct crn_state_ops *ops;     /* of the snapshot's database */
    struct crn_state_snapshot *snapshot;
    struct crn_state *from;
    struct crn_state *to;
    uint32_t key_group_first, key_group_last;
    uint64_t stored_bytes; /* about; for progress and order */
};

struct crn_load {
    struct crn_state_db *db; /* nobody else uses it meanwhile */
    const struct crn_load_unit *units;
    size_t count;
    uint32_t max_parallelism;
    uint32_t threads;
    const atomic_bool *cancelled; /* may be NULL */
    /* stored_bytes more are done; one call at a time. Non-zero: cancel. */
    int (*tick)(void *context, uint64_t bytes);
    void *tick_context;
};
/* All or an error; what was loaded before an error is of no use. *ret_bytes: keys and values. */
int crn_load_run(const struct crn_load *load, uint64_t *ret_bytes, cairn_error **reterr);

#endif
