/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_FETCH_PLAN_H
#define CRN_ENGINE_FETCH_PLAN_H

#include "engine/transfer/fetch.h"

/* What a fetch has to do: pieces, largest first, each of them one thread's unless it goes in
 * ranges. */

/* A file, or several slices of one object in order of their offsets. */
struct crn_fetch_piece {
    const struct crn_file **files; /* in the plan's `files` */
    size_t count;
    uint64_t bytes;
};

struct crn_fetch_plan {
    const struct crn_file **files;
    struct crn_fetch_piece *pieces;
    size_t piece_count;
    uint64_t range_bytes; /* 0: everything goes whole */
    uint64_t total_bytes;
};
int crn_fetch_plan_make(const struct crn_fetch_request *request, struct crn_fetch_plan *ret,
                        cairn_error **reterr);
void crn_fetch_plan_done(struct crn_fetch_plan *plan);
/* Of the first of the piece's files; unique among those of the fetch. */
size_t crn_fetch_plan_ordinal(const struct crn_fetch_plan *plan,
                              const struct crn_fetch_piece *piece);
bool crn_fetch_plan_in_ranges(const struct crn_fetch_plan *plan,
                              const struct crn_fetch_piece *piece);
/* How many threads have something to do, at most `threads`. */
uint32_t crn_fetch_plan_threads(const struct crn_fetch_plan *plan, uint32_t threads);

#endif
