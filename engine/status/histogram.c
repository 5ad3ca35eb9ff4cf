/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms with fixed exponential buckets: durations and sizes differ by orders of magnitude, and
 * what an operator asks is which order it is.
 *
 * The bounds never change, so that counts of different moments, runs and jobs can be added and
 * subtracted, as Prometheus does.
 */
#include "engine/status/histogram.h"

#include <assert.h>

const struct crn_histogram_scale crn_scale_stall_us = {.first = 10, .shift = 1, .count = 21};
const struct crn_histogram_scale crn_scale_duration_us = {.first = 1000, .shift = 1, .count = 21};
const struct crn_histogram_scale crn_scale_bytes = {.first = 1024, .shift = 2, .count = 16};

void crn_histogram_init(struct crn_histogram *histogram, const struct crn_histogram_scale *scale)
{
    assert(scale->count <= CRN_HISTOGRAM_BUCKETS_MAX);
    *histogram = (struct crn_histogram){.scale = scale};
}

uint64_t crn_histogram_bound(const struct crn_histogram *histogram, uint32_t i)
{
    const struct crn_histogram_scale *scale = histogram->scale;
    return i < scale->count ? scale->first << (scale->shift * i) : UINT64_MAX;
}

void crn_histogram_add(struct crn_histogram *histogram, uint64_t value)
{
    uint32_t i = 0;
    while (value > crn_histogram_bound(histogram, i))
        i++;
    histogram->buckets[i]++;
    histogram->count++;
    histogram->sum = value > UINT64_MAX - histogram->sum ? UINT64_MAX : histogram->sum + value;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t crn_histogram_quantile(const struct crn_histogram *histogram, uint32_t percent)
{
    /* Values that must not be above the answer: rounded up, and at least one. */
    uint64_t wanted =
        histogram->count / 100 * percent + (histogram->count % 100 * percent + 99) / 100;
    uint64_t seen = 0;
    if (histogram->count == 0)
        return 0;
    for (uint32_t i = 0; i <= histogram->scale->count; i++) {
        uint64_t bound = crn_histogram_bound(histogram, i);
        seen += histogram->buckets[i];
        if (seen > 0 && seen >= wanted)
            return bound < histogram->max ? bound : histogram->max;
    }
    return histogram->max;
}
