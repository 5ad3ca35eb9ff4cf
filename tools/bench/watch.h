/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_WATCH_H
#define CAIRN_BENCH_WATCH_H

#include "tools/bench/bench.h"

#include "cairn/store.h"
#include <stdatomic.h>

/* A store that passes everything on to another one, and keeps what was asked of it. */
struct bench_watch {
    cairn_store base; /* first: this is the store */
    cairn_store *inner;
    atomic_uint_fast64_t puts, put_bytes, others;
    atomic_uint_fast64_t last_put_ns;           /* when the last put returned */
    atomic_uint_fast64_t create_ns, created_ns; /* of the last create: called, returned */
    atomic_uint_fast64_t created_bytes;
};
void bench_watch_init(struct bench_watch *watch, cairn_store *inner);
/* Count from 0 again. */
void bench_watch_reset(struct bench_watch *watch);

#endif
