/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms count every value once, in the bucket whose bound is the first that is not below it;
 * bounds grow and never change; quantiles are upper bounds. Checked at each bound, one below and
 * one above, at both ends of the range, and with many values against a sorted array.
 */
#include "engine/status/histogram.h"
#include "tests/support/tap.h"

static const struct crn_histogram_scale *const scales[] = {
    &crn_scale_stall_us, &crn_scale_duration_us, &crn_scale_bytes};
#define SCALES ((int)(sizeof scales / sizeof scales[0]))

START_TEST(bounds_grow_and_are_as_promised)
{
    static const uint64_t firsts[] = {10, 1000, 1024};
    static const uint64_t lasts[] = {10485760, UINT64_C(1048576000), UINT64_C(1) << 40};
    struct crn_histogram h;
    crn_histogram_init(&h, scales[_i]);
    uint32_t count = scales[_i]->count;
    ck_assert_uint_le(count, CRN_HISTOGRAM_BUCKETS_MAX);
    ck_assert_uint_eq(crn_histogram_bound(&h, 0), firsts[_i]);
    ck_assert_uint_eq(crn_histogram_bound(&h, count - 1), lasts[_i]);
    ck_assert_uint_eq(crn_histogram_bound(&h, count), UINT64_MAX);
    for (uint32_t i = 1; i <= count; i++)
        ck_assert_uint_gt(crn_histogram_bound(&h, i), crn_histogram_bound(&h, i - 1));
}
END_TEST

START_TEST(a_value_is_counted_where_it_belongs)
{
    for (uint32_t i = 0; i < scales[_i]->count; i++) {
        struct crn_histogram h;
        crn_histogram_init(&h, scales[_i]);
        uint64_t bound = crn_histogram_bound(&h, i);
        crn_histogram_add(&h, bound - 1);
        crn_histogram_add(&h, bound);
        crn_histogram_add(&h, bound + 1);
        ck_assert_uint_eq(h.buckets[i], 2); /* the bound itself is among its values */
        ck_assert_uint_eq(h.buckets[i + 1], 1);
        ck_assert_uint_eq(h.count, 3);
        ck_assert_uint_eq(h.sum, 3 * bound);
        ck_assert_uint_eq(h.max, bound + 1);
    }
}
END_TEST

START_TEST(the_ends_of_the_range)
{
    struct crn_histogram h;
    crn_histogram_init(&h, scales[_i]);
    ck_assert_uint_eq(crn_histogram_quantile(&h, 50), 0);
    crn_histogram_add(&h, 0);
    ck_assert_uint_eq(h.buckets[0], 1);
    crn_histogram_add(&h, UINT64_MAX);
    crn_histogram_add(&h, UINT64_MAX);
    ck_assert_uint_eq(h.buckets[scales[_i]->count], 2);
    ck_assert_uint_eq(h.sum, UINT64_MAX); /* stops there */
    ck_assert_uint_eq(crn_histogram_quantile(&h, 99), UINT64_MAX);
}
END_TEST

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Never below the true one, and at most one bucket above it. */
START_TEST(quantiles_are_upper_bounds)
{
    enum { VALUES = 997 };
    static uint64_t values[VALUES];
    struct crn_histogram h;
    uint64_t random = 88172645463325252u;
    crn_histogram_init(&h, scales[_i]);
    for (int i = 0; i < VALUES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        values[i] = (random >> 20) >> (random % 43);
        crn_histogram_add(&h, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    for (uint32_t percent = 0; percent <= 100; percent++) {
        size_t rank = (percent * VALUES + 99) / 100;
        uint64_t exact = values[rank == 0 ? 0 : rank - 1];
        uint64_t told = crn_histogram_quantile(&h, percent);
        ck_assert_uint_ge(told, exact);
        ck_assert_uint_le(told, h.max);
        uint32_t bucket = 0;
        while (exact > crn_histogram_bound(&h, bucket))
            bucket++;
        ck_assert_uint_le(told, crn_histogram_bound(&h, bucket));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, bounds_grow_and_are_as_promised, 0, SCALES);
    tcase_add_loop_test(tcase, a_value_is_counted_where_it_belongs, 0, SCALES);
    tcase_add_loop_test(tcase, the_ends_of_the_range, 0, SCALES);
    tcase_add_loop_test(tcase, quantiles_are_upper_bounds, 0, SCALES);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
