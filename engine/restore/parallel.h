/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_PARALLEL_H
#define CRN_ENGINE_PARALLEL_H

#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pieces of work 0..count-1, each once, by the calling thread and helpers of its own. */
struct crn_parallel {
    size_t count;
    uint32_t threads;
    const char *name; /* of the helpers */
    int (*work)(void *context, size_t i, cairn_error **reterr);
    void *context;
    atomic_bool stop; /* a piece has failed: those under way may end early, with any error */
    atomic_size_t next;
};
/* 0, or the first failure's error. Returns when no piece is under way any more. */
int crn_parallel_run(struct crn_parallel *parallel, cairn_error **reterr);

#endif
