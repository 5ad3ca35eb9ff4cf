/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_AUDIT_H
#define CAIRN_BENCH_AUDIT_H

#include "tools/bench/workload.h"

/* Is a state, in however many databases it lies, what the workload wrote: every entry genuine, none
 * newer than max_version, and each key there exactly once. */
struct bench_audit {
    const struct bench_workload *workload;
    uint32_t max_version;
    uint64_t count;
    uint8_t *seen; /* a bit per index */
    struct bench_record scratch;
};

int bench_audit_begin(struct bench_audit *audit, const struct bench_workload *workload,
                      uint32_t max_version, cairn_error **reterr);
/* key: as the caller of Cairn knows it (BENCH_KEY_SIZE) or as stored (BENCH_RAW_KEY_SIZE). */
int bench_audit_entry(struct bench_audit *audit, const void *key, size_t key_size,
                      const void *value, size_t value_size, cairn_error **reterr);
/* After the last entry: none is missing. */
int bench_audit_end(const struct bench_audit *audit, cairn_error **reterr);
void bench_audit_done(struct bench_audit *audit);

#endif
