/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When `cairn run` starts a service again, without clock and processes: delays stay within a tenth
 * of what was asked for and below the most, restarts add up to the limit and no further, a long run
 * begins the row anew, and no number of restarts overflows anything. What a person may not ask for
 * is in tests/cli/restarts.sh.
 */
#include "tests/support/tap.h"
#include "tools/cli/run.h"

#include <stdlib.h>

static struct cli_restart parse(struct cli_args args)
{
    struct cli_restart restart;
    ck_assert_int_eq(cli_restart_parse(&args, &restart, NULL), 0);
    return restart;
}

/* The next delay, of a run that failed after that time. */
static uint64_t next(struct cli_restart *restart, uint64_t run_ms, uint32_t random)
{
    uint64_t delay_ms = UINT64_MAX;
    ck_assert(cli_restart_next(restart, run_ms, random, &delay_ms));
    return delay_ms;
}

START_TEST(defaults)
{
    struct cli_restart restart = parse((struct cli_args){0});
    ck_assert(restart.exponential && restart.limit == CLI_RESTART_ANY);
    ck_assert_uint_eq(restart.delay_ms, 1000);
    ck_assert_uint_eq(restart.max_delay_ms, 60000);
    ck_assert_uint_eq(restart.reset_after_ms, 3600000);
}
END_TEST

START_TEST(fixed_is_fixed)
{
    struct cli_restart restart =
        parse((struct cli_args){.backoff = "fixed", .delay = "250ms", .restart = "3"});
    uint64_t delay_ms = 7;
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_eq(next(&restart, i, i * 12345), 250);
    ck_assert(!cli_restart_next(&restart, 0, 0, &delay_ms));
    ck_assert(!cli_restart_next(&restart, 3599999, 0, &delay_ms));
    ck_assert_uint_eq(delay_ms, 7);
    /* A run of an hour was a good one. */
    ck_assert_uint_eq(next(&restart, 3600000, 0), 250);
    ck_assert_uint_eq(restart.count, 1);
}
END_TEST

START_TEST(none_is_none)
{
    struct cli_restart restart = parse((struct cli_args){.restart = "none"});
    uint64_t delay_ms;
    ck_assert(!cli_restart_next(&restart, UINT64_MAX, 0, &delay_ms));
    restart = parse((struct cli_args){.restart = "0"});
    ck_assert(!cli_restart_next(&restart, 0, 0, &delay_ms));
}
END_TEST

/* Half as long again each time, whatever the random numbers are: the extremes are tried, too. */
START_TEST(exponential_grows)
{
    struct cli_restart restart = parse((struct cli_args){.delay = "1s", .max_delay = "10min"});
    double expected = 1000;
    for (int i = 0; i < 200; i++) {
        struct cli_restart copy = restart;
        uint32_t spread = (uint32_t)(expected / 5);
        uint64_t low = next(&copy, 1, 0);
        copy = restart;
        uint64_t high = next(&copy, 1, spread > 2 ? spread - 1 : 0);
        uint64_t any = next(&restart, 1, (uint32_t)i * 2654435761u);
        ck_assert_msg(low >= (uint64_t)(expected * 0.899) &&
                          high <= (uint64_t)(expected * 1.101) + 1,
                      "%d: %llu to %llu instead of %f", i, (unsigned long long)low,
                      (unsigned long long)high, expected);
        ck_assert(any >= (uint64_t)(expected * 0.899) && any <= (uint64_t)(expected * 1.101) + 1);
        if (expected >= 1000 && i < 5)
            ck_assert_uint_lt(low, high); /* they do differ */
        expected = expected * 1.5 < 600000 ? expected * 1.5 : 600000;
    }
    /* A good run, and it begins small again. */
    ck_assert_uint_le(next(&restart, 3600000, 99), 1101);
}
END_TEST

START_TEST(nothing_overflows)
{
    struct cli_restart restart = parse(
        (struct cli_args){.delay = "1000000h", .max_delay = "1000000h", .reset_after = "1000000h"});
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert_uint_le(next(&restart, 5, UINT32_MAX - i), UINT64_C(3600000000000) / 10 * 11);
    restart = parse((struct cli_args){.delay = "1ms", .restart = "18446744073709551614"});
    restart.count = UINT64_MAX - 2;
    ck_assert_uint_le(next(&restart, 5, 1), 66000);
    uint64_t delay_ms;
    ck_assert(!cli_restart_next(&restart, 5, 1, &delay_ms));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restart");
    TCase *tests = tcase_create("restart");
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, defaults);
    tcase_add_test(tests, fixed_is_fixed);
    tcase_add_test(tests, none_is_none);
    tcase_add_test(tests, exponential_grows);
    tcase_add_test(tests, nothing_overflows);
    suite_add_tcase(suite, tests);
    return crn_test_run(suite);
}
