/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what a job makes of a log with damage in it (P8, P11): if the newest manifest is harmed,
 * in whatever way, opening fails with the code of that harm and names that manifest, and nothing in
 * the store changes; if only older ones are, the newest checkpoint is restored, a warning names
 * what is damaged, and the damage goes with the next checkpoints. The exception is the lowest
 * manifest: without it the log looks as if its newest were lost, so going on takes a word. Method:
 * two logs with known contents, one that has all its checkpoints and one that has dropped some;
 * every harm to every manifest. The fake backend over the memory store.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;
static struct oracle stored; /* in the newest checkpoint */
static uint64_t newest;      /* its id */
static char warnings[4096];
static struct crn_mutex warnings_lock;

static void note_warning(void *context, cairn_log_level level, const char *component,
                         const char *message)
{
    (void)context, (void)level, (void)component;
    crn_mutex_lock(&warnings_lock);
    size_t n = strlen(warnings);
    (void)snprintf(warnings + n, sizeof warnings - n, "%s\n", message);
    crn_mutex_unlock(&warnings_lock);
}

static void take_checkpoints(int count)
{
    struct subject s;
    uint64_t random = 41 + newest;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (int i = 0; i < count; i++) {
        oracle_mutate(&stored, &s, &random, 25);
        ck_ok(subject_checkpoint(&s, false, &info, reterr));
    }
    newest = info.id;
    subject_close(&s);
}

static void setup(void)
{
    fixture_init(&f, false);
    crn_mutex_init(&warnings_lock, CRN_RANK_LEAF);
    warnings[0] = 0;
    newest = 0;
    oracle_init(&stored);
    f.options.num_retained = 3;
    take_checkpoints(3); /* 2, 3, 4: the log begins with the first */
    f.options.log = note_warning;
    f.options.log_level = CAIRN_LOG_WARNING;
}

static void teardown(void)
{
    crn_mutex_done(&warnings_lock);
    fixture_done(&f);
}

/* From now on two are kept, and each one drops another: 7 and 8, the log begins with 7. */
static void go_on(void)
{
    f.options.num_retained = 2;
    take_checkpoints(3);
    ck_assert_uint_eq(newest, 8);
    ck_assert(!store_has(f.store, "job/MANIFEST-chk6"));
}

static void key_of(uint64_t id, char key[64])
{
    (void)snprintf(key, 64, "job/MANIFEST-chk%llu", (unsigned long long)id);
}

static int code_of(enum store_harm harm)
{
    return harm == HARM_NEWER    ? CAIRN_EVERSION
           : harm == HARM_REMOVE ? CAIRN_EMISSING
                                 : CAIRN_ECORRUPT;
}

static void expect_refused(int code, const char *object)
{
    struct subject s;
    cairn_error *error = NULL;
    size_t before = store_count(f.store, "");
    int r = subject_open(&f, "job", &s, &error);
    ck_assert_msg(r == code && strcmp(cairn_error_object(error), object) == 0 &&
                      strstr(cairn_error_message(error), object) != NULL,
                  "%s, object '%s': %s", cairn_error_name(r), cairn_error_object(error),
                  cairn_error_message(error));
    cairn_error_free(error);
    ck_assert_uint_eq(store_count(f.store, ""), before);
}

static void expect_newest(void)
{
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
    ck_assert_uint_eq(info.id, newest);
    ck_assert_ptr_null(oracle_compare(&stored, &s));
    subject_close(&s);
}

/* ------------------------------------------------------------------------------------------ *
 * The newest
 * ------------------------------------------------------------------------------------------ */

/* Without its manifest the newest one of a log that has dropped nothing looks like one that a crash
 * cut short: that case is only in the other log. */
START_TEST(test_newest_of_all)
{
    store_harm(f.store, "job/MANIFEST-chk4", (enum store_harm)_i);
    expect_refused(code_of((enum store_harm)_i), "job/MANIFEST-chk4");
}
END_TEST

START_TEST(test_newest_of_a_log_that_drops)
{
    go_on();
    store_harm(f.store, "job/MANIFEST-chk8", (enum store_harm)_i);
    expect_refused(code_of((enum store_harm)_i), "job/MANIFEST-chk8");
    f.options.restore_fallback = 1; /* the word: go back to 7, and on from there */
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
    ck_assert_uint_eq(info.id, 7);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

START_TEST(test_newest_below_a_fence)
{
    struct subject s;
    go_on();
    ck_ok(subject_open(&f, "job", &s, reterr));
    subject_close(&s);
    store_harm(f.store, "job/MANIFEST-chk8", (enum store_harm)_i);
    expect_refused(code_of((enum store_harm)_i), "job/MANIFEST-chk8");
}
END_TEST

/* What lies far above is the newest there is, readable or not; the ids between cost nothing. */
START_TEST(test_garbage_far_away)
{
    static const char *const keys[] = {"job/MANIFEST-chk900000",
                                       "job/MANIFEST-chk9223372036854775807",
                                       "job/MANIFEST-chk18446744073709551615"};
    const char *key = keys[_i];
    store_put_text(f.store, key, "garbage");
    expect_refused(CAIRN_ECORRUPT, key);
    f.options.restore_fallback = 1;
    if (_i == 2) { /* no fence can stand above it */
        expect_refused(CAIRN_ECORRUPT, key);
        return;
    }
    expect_newest();
    ck_assert_msg(strstr(warnings, key) != NULL, "%s", warnings);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Older ones
 * ------------------------------------------------------------------------------------------ */

static void expect_damage_to_pass(const char *key, bool looks_like_a_lost_newest)
{
    if (looks_like_a_lost_newest) {
        expect_refused(CAIRN_EMISSING, key);
        f.options.restore_fallback = 1;
    }
    expect_newest();
    if (!looks_like_a_lost_newest)
        ck_assert_msg(strstr(warnings, key) != NULL, "no warning names '%s': %s", key, warnings);
    f.options.num_retained = 1;
    take_checkpoints(1);
    warnings[0] = 0;
    f.options.restore_fallback = 0;
    expect_newest();
    ck_assert_str_eq(warnings, "");
    store_check_tidy(f.store, "job");
}

START_TEST(test_older_one)
{
    char key[64];
    const uint64_t id = 2 + (uint64_t)_i / HARMS;
    const enum store_harm harm = (enum store_harm)(_i % HARMS);
    key_of(id, key);
    store_harm(f.store, key, harm);
    expect_damage_to_pass(key, harm == HARM_REMOVE && id == 2);
}
END_TEST

START_TEST(test_older_one_of_a_log_that_drops)
{
    go_on();
    store_harm(f.store, "job/MANIFEST-chk7", (enum store_harm)_i);
    expect_damage_to_pass("job/MANIFEST-chk7", _i == HARM_REMOVE);
}
END_TEST

/* Named by its id, an older one that is damaged is refused as itself. */
START_TEST(test_older_one_by_id)
{
    store_harm(f.store, "job/MANIFEST-chk3", (enum store_harm)_i);
    f.options.restore_checkpoint_id = 3;
    expect_refused(code_of((enum store_harm)_i), "job/MANIFEST-chk3");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job damage");
    TCase *tcase = tcase_create("damage");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_newest_of_all, 0, HARM_REMOVE);
    tcase_add_loop_test(tcase, test_newest_of_a_log_that_drops, 0, HARMS);
    tcase_add_loop_test(tcase, test_newest_below_a_fence, 0, HARMS);
    tcase_add_loop_test(tcase, test_garbage_far_away, 0, 3);
    tcase_add_loop_test(tcase, test_older_one, 0, 2 * HARMS);
    tcase_add_loop_test(tcase, test_older_one_of_a_log_that_drops, 0, HARMS);
    tcase_add_loop_test(tcase, test_older_one_by_id, 0, HARMS);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
