/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_PARALLEL_H
#define CAIRN_BENCH_PARALLEL_H

#include "tools/bench/bench.h"

/* Call fn(context, i) for every i below count, each in a thread of its own; the calling thread is
 * one of them. @return the failure of the lowest i that failed. */
int bench_parallel(uint32_t count, int (*fn)(void *context, uint32_t i, cairn_error **reterr),
                   void *context, cairn_error **reterr);

#endif
