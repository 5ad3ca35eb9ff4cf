/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_OBJECT_SIDE_H
#define CAIRN_BENCH_OBJECT_SIDE_H

#include "tools/bench/bench.h"

/* What the benchmarks over object stores share: places in a bucket, and rclone at the same server.
 */

/* "s3://bucket/a?b=c" and "x" to "s3://bucket/a/x?b=c"; options ("b=c", or NULL) are added. */
int bench_object_uri(const char *uri, const char *place, const char *options, char **ret,
                     cairn_error **reterr);
bool bench_is_s3(const char *uri);
/* Remove everything in a store, which is then as before. */
int bench_empty_store(cairn_store *store, cairn_error **reterr);

/* Requests to the store that the job's log counts for a checkpoint. */
int bench_requests_of(cairn_store *store, const char *job, uint64_t id, double *ret,
                      cairn_error **reterr);

/* What a child process took. */
struct bench_child {
    double wall_ms, cpu_ms, peak_mb;
};
/* `rclone copy from to` with so many transfers at once. One of both is a local directory, the other
 * a path in the bucket of the URI ("x" is "<bucket>/<prefix>/x"): to_store says which. Keys come
 * from the environment, as Cairn's do. */
int bench_rclone_copy(const char *uri, const char *local_dir, const char *place, bool to_store,
                      uint32_t transfers, struct bench_child *ret, cairn_error **reterr);
/* Is there such a program? */
bool bench_has_rclone(void);

/* The process's resident memory: begin to watch its peak from what it is now. */
struct bench_memory {
    uint64_t start_bytes;
};
int bench_memory_start(struct bench_memory *ret, cairn_error **reterr);
/* How far above its start it has been, in 2^20 bytes. */
int bench_memory_peak(const struct bench_memory *memory, double *ret_mb, cairn_error **reterr);

#endif
