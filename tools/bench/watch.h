/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_WATCH_H
#define CAIRN_BENCH_WATCH_H

#include "tools/bench/bench.h"

#include "cairn/store.h"
#include <stdatomic.h>

/* What was asked of a store; may be in memory that several processes share. */
struct bench_watch_counts {
    atomic_uint_fast64_t puts, others;
    atomic_uint_fast64_t last_put_ns;           /* when the last upload returned */
    atomic_uint_fast64_t create_ns, created_ns; /* of the last manifest: called, returned */
    atomic_uint_fast64_t created_bytes;
};

/* A store that passes everything on to another one. What the processes of a job tell one another is
 * no upload. */
struct bench_watch {
    cairn_store base; /* first: this is the store */
    cairn_store *inner;
    struct bench_watch_counts *counts;
};
void bench_watch_init(struct bench_watch *watch, cairn_store *inner,
                      struct bench_watch_counts *counts);
/* Count from 0 again. */
void bench_watch_reset(struct bench_watch_counts *counts);

#endif
