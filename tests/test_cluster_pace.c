/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that requests_per_minute bounds what a process of a cluster spends on looks and signs of
 * life, that without a budget the intervals alone decide, and that a checkpoint's own requests push
 * looks back by no more than a minute. Method: hours of a pretended clock, counted.
 */
#include "engine/cluster/pace.h"

#include "tests/support/tap.h"

#define MINUTE_US UINT64_C(60000000)

/* Looks at the store as often as it may, each with `burst` more requests that do not wait. Gives
 * the requests in the busiest of `minutes`. */
static uint64_t busiest_minute(uint32_t budget, uint64_t interval_us, uint64_t burst,
                               uint64_t minutes, uint64_t *ret_looks)
{
    struct crn_pace pace;
    uint64_t now_us = 1000, in_minute = 0, most = 0, minute = 0;
    crn_pace_init(&pace, budget);
    for (*ret_looks = 0; now_us < minutes * MINUTE_US; ++*ret_looks) {
        uint64_t looked_us = now_us;
        crn_pace_book(&pace, now_us, 1 + burst);
        if (now_us / MINUTE_US != minute) {
            minute = now_us / MINUTE_US;
            in_minute = 0;
        }
        in_minute += 1 + burst;
        most = in_minute > most ? in_minute : most;
        now_us = crn_pace_next_us(&pace, looked_us, interval_us);
        ck_assert_uint_ge(now_us, looked_us + interval_us);
    }
    return most;
}

START_TEST(without_a_budget_intervals_decide)
{
    uint64_t looks;
    ck_assert_uint_eq(busiest_minute(0, 10000, 5, 3, &looks), 36000);
    ck_assert_uint_eq(looks, 18000);
}
END_TEST

START_TEST(a_budget_bounds_what_is_spent)
{
    static const uint32_t budgets[] = {1, 7, 60, 600, 6000};
    uint64_t looks;
    /* One more may fall into a minute than its share: the one at its begin. */
    ck_assert_uint_le(busiest_minute(budgets[_i], 1000, 0, 120, &looks), budgets[_i] + 1);
    ck_assert_uint_ge(looks, (uint64_t)budgets[_i] * 120 - budgets[_i] / 10 - 1); /* and is used */
}
END_TEST

START_TEST(a_checkpoint_pushes_looks_back)
{
    uint64_t looks;
    ck_assert_uint_le(busiest_minute(60, 1000, 9, 120, &looks), 70);
    ck_assert_uint_eq(looks, 120 * 60 / 10);
}
END_TEST

START_TEST(nothing_waits_for_more_than_a_minute)
{
    struct crn_pace pace;
    crn_pace_init(&pace, 10);
    for (int i = 0; i < 1000; i++)
        crn_pace_book(&pace, 5, 1000000);
    ck_assert_uint_eq(crn_pace_next_us(&pace, 5, 1), 5 + MINUTE_US);
    ck_assert_uint_eq(crn_pace_next_us(&pace, 5, UINT64_MAX), UINT64_MAX);
}
END_TEST

static Suite *pace_suite(void)
{
    Suite *suite = suite_create("cluster_pace");
    TCase *tcase = tcase_create("cluster_pace");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, without_a_budget_intervals_decide);
    tcase_add_loop_test(tcase, a_budget_bounds_what_is_spent, 0, 5);
    tcase_add_test(tcase, a_checkpoint_pushes_looks_back);
    tcase_add_test(tcase, nothing_waits_for_more_than_a_minute);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(pace_suite());
}
