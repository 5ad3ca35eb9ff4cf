/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_MEASURE_H
#define CAIRN_BENCH_MEASURE_H

#include "tools/bench/bench.h"

uint64_t bench_now_ns(void);          /* monotonic */
uint64_t bench_process_cpu_ns(void);  /* of all threads */
uint64_t bench_thread_cpu_ns(void);   /* of the calling thread */
uint64_t bench_thread_switches(void); /* involuntary context switches of the calling thread */
void bench_sleep_us(uint64_t us);

/* Wait until the process's threads have been idle for a while: flushes and compactions of every
 * open database are over, so that what follows is charged to one method only. Sets *ret_quiet to
 * false if they still work after two minutes. @return 0 or CAIRN_ECANCELED. */
int bench_settle(bool *ret_quiet, cairn_error **reterr);

/* What the process has read and written so far, by the kernel's account. */
struct bench_io {
    uint64_t read_bytes, written_bytes; /* by system calls, from page cache or not */
    uint64_t disk_read_bytes;           /* that a device had to deliver */
};
int bench_read_io(struct bench_io *ret, cairn_error **reterr);

/* Quantile q (0..1) of n values by the nearest-rank rule; sorts them. 0 for none. */
double bench_quantile(double *values, size_t n, double q);

#endif
