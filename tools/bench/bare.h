/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_BARE_H
#define CAIRN_BENCH_BARE_H

#include "tools/bench/raw.h"

/* What RocksDB itself needs for what Cairn does to a whole state: read it, write it in bulk, put it
 * entry by entry. Threads share the work by ranges of key groups, as Cairn's do. */

/* Read everything once, over a snapshot. */
int bench_bare_scan(struct bench_raw *raw, uint32_t threads, uint64_t keys, cairn_error **reterr);

/* A state in memory, sorted: raw key and value of each entry, one after the other. */
struct bench_entries {
    uint8_t *data;
    uint64_t count;
    size_t value_size;
};
int bench_entries_collect(const struct bench_raw *raw, const struct bench_workload *workload,
                          struct bench_entries *ret, cairn_error **reterr);
void bench_entries_done(struct bench_entries *entries);

/* Write them as tables into dir (a new database's, open as raw) and let it take them. */
int bench_bare_load(struct bench_raw *raw, const char *dir, const struct bench_entries *entries,
                    uint32_t threads, cairn_error **reterr);

/* Put what `from` has of key groups first .. last into `to`, in batches of 2 MB. */
int bench_bare_reinsert(const struct bench_raw *from, struct bench_raw *to, uint32_t first,
                        uint32_t last, cairn_error **reterr);

#endif
