/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_CHECKPOINT_H
#define CAIRN_BENCH_CHECKPOINT_H

#include "tools/bench/method.h"

/* Shared by checkpoint.c (runs) and checkpoint_report.c (says). */

#define BENCH_METHODS_MAX 6
#define BENCH_RESTORES 3

struct bench_sample {
    uint32_t round; /* 0: the first and full one */
    size_t method;
    int result; /* 0, or the code with which the checkpoint failed */
    bool quiet; /* nothing else ran when the window began */
    uint64_t wall_ns;
    uint64_t cpu_ns; /* of the process without the writer's thread */
    struct bench_window window;
    struct bench_cost cost;
    uint64_t store_bytes;   /* in files that appeared in the store */
    uint64_t changed_bytes; /* keys and values that differ from the previous round */
};

struct bench_restore_sample {
    size_t method;
    uint32_t repeat;
    uint64_t wall_ns, cpu_ns;
    uint64_t open_ns; /* of RocksDB on the result */
    uint64_t bytes;
};

struct bench_checkpoint_run {
    const struct bench_options *options;
    struct bench_workload workload;
    const struct bench_method_ops *methods[BENCH_METHODS_MAX];
    size_t method_count;
    struct bench_sample *samples; /* in the order in which they were taken */
    size_t sample_count;
    struct bench_restore_sample restores[BENCH_METHODS_MAX * BENCH_RESTORES];
    size_t restore_count;
};

int bench_checkpoint_report(const struct bench_checkpoint_run *run, cairn_error **reterr);

#endif
