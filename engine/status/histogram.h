/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_HISTOGRAM_H
#define CRN_ENGINE_STATUS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/*
 * How often which values occurred, in buckets whose bounds double or quadruple. Pure, without
 * memory of its own; whoever shares one between threads has a lock for it.
 */

#define CRN_HISTOGRAM_BUCKETS_MAX 24u

/* Bucket i counts values up to first << (shift * i), and what no bucket before it did. */
struct crn_histogram_scale {
    uint64_t first;
    uint32_t shift;
    uint32_t count; /* of buckets; one more takes what is beyond the last */
};
extern const struct crn_histogram_scale crn_scale_stall_us;    /* 10 us to 10 s */
extern const struct crn_histogram_scale crn_scale_duration_us; /* 1 ms to 17 min */
extern const struct crn_histogram_scale crn_scale_bytes;       /* 1 KiB to 1 TiB */

struct crn_histogram {
    const struct crn_histogram_scale *scale; /* static */
    uint64_t buckets[CRN_HISTOGRAM_BUCKETS_MAX + 1];
    uint64_t count;
    uint64_t sum; /* stops at UINT64_MAX */
    uint64_t max; /* 0: no value yet */
};

void crn_histogram_init(struct crn_histogram *histogram, const struct crn_histogram_scale *scale);
void crn_histogram_add(struct crn_histogram *histogram, uint64_t value);
/* Upper bound of bucket i, which is among its values; UINT64_MAX: of the last one. */
uint64_t crn_histogram_bound(const struct crn_histogram *histogram, uint32_t i);
/* An upper bound of the value that `percent` of 100 values do not exceed, as exact as the buckets
 * are and never above the largest value; 0: there is no value. */
uint64_t crn_histogram_quantile(const struct crn_histogram *histogram, uint32_t percent);

#endif
