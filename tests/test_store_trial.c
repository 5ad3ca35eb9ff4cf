/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that cairn_store_test() finds a store that does not keep what it promises, says what, and
 * leaves nothing behind; and finds nothing wrong with one that does. Method: the fake S3 server,
 * rightly and lying.
 */
#include "tests/support/s3/fake_kit.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

struct seen {
    unsigned count, stop_at;
    char broken[1024];
};

static int take(void *context, const cairn_trial *trial)
{
    struct seen *seen = context;
    ck_assert_uint_ge(trial->struct_size, sizeof *trial);
    ck_assert_int_eq(trial->code == 0, *trial->seen == 0);
    if (trial->code < 0)
        (void)snprintf(seen->broken + strlen(seen->broken),
                       sizeof seen->broken - strlen(seen->broken), "%s: %s\n", trial->promise,
                       trial->seen);
    return ++seen->count == seen->stop_at ? 77 : 0;
}

static int run_with(cairn_store *tried, cairn_store *other, struct seen *seen,
                    cairn_store_test_report *report, cairn_error **reterr)
{
    cairn_store_test_options options = CAIRN_STORE_TEST_OPTIONS_INIT;
    options.writers = 8;
    options.rounds = 12;
    options.trial = take;
    options.context = seen;
    options.others = &other;
    options.other_count = other != NULL;
    return cairn_store_test(tried, &options, report, reterr);
}

static int run(cairn_store *tried, struct seen *seen, cairn_store_test_report *report,
               cairn_error **reterr)
{
    return run_with(tried, NULL, seen, report, reterr);
}

static void expect_clean(void)
{
    CRN_AUTO_FREE char *keys = list_keys(false, NULL);
    ck_assert_str_eq(keys, "");
}

START_TEST(an_honest_store_passes)
{
    cairn_store_test_report report = CAIRN_STORE_TEST_REPORT_INIT;
    struct seen seen = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = run(store, &seen, &report, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    ck_assert_str_eq(seen.broken, "");
    ck_assert_uint_eq(report.broken, 0);
    ck_assert_uint_eq(report.tried, seen.count);
    expect_clean();
}
END_TEST

START_TEST(a_lying_store_is_found_out)
{
    cairn_store_test_report report = CAIRN_STORE_TEST_REPORT_INIT;
    struct seen seen = {0};
    fake_set_lying(fake, true);
    ck_assert_int_eq(run(store, &seen, &report, NULL), 0);
    ck_assert_uint_ge(report.broken, 2);
    ck_assert_msg(strstr(seen.broken, "create makes a key only if it is absent: a key was created "
                                      "that exists") != NULL,
                  "%s", seen.broken);
    ck_assert_msg(strstr(seen.broken, "exactly one creates a key: ") != NULL, "%s", seen.broken);
    expect_clean();
}
END_TEST

/* Two gateways that do not know of each other: each is honest by itself. */
START_TEST(ways_that_do_not_meet_are_found_out)
{
    cairn_store_test_report report = CAIRN_STORE_TEST_REPORT_INIT;
    struct seen seen = {0};
    cairn_store *other = NULL;
    ck_assert_int_eq(cairn_store_open("memory:", &other, NULL), 0);
    ck_assert_int_eq(run_with(store, other, &seen, &report, NULL), 0);
    ck_assert_uint_eq(report.broken, 1);
    ck_assert_msg(strstr(seen.broken, "exactly one creates a key: 2 of 8 writers") != NULL, "%s",
                  seen.broken);
    cairn_store_close(other);
    expect_clean();
}
END_TEST

START_TEST(a_test_can_be_ended)
{
    cairn_store_test_report report = CAIRN_STORE_TEST_REPORT_INIT;
    struct seen seen = {.stop_at = 3};
    ck_assert_int_eq(run(store, &seen, &report, NULL), 77);
    ck_assert_uint_eq(seen.count, 3);
    expect_clean();
    cairn_store_test_options options = CAIRN_STORE_TEST_OPTIONS_INIT;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    options.rounds = UINT32_MAX;
    ck_assert_int_eq(cairn_store_test(store, &options, NULL, &error), CAIRN_EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_trial");
    TCase *tcase = tcase_create("trials");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, fake_kit_open, fake_kit_close);
    tcase_add_test(tcase, an_honest_store_passes);
    tcase_add_test(tcase, a_lying_store_is_found_out);
    tcase_add_test(tcase, ways_that_do_not_meet_are_found_out);
    tcase_add_test(tcase, a_test_can_be_ended);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
