/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what a job makes of a log with damage in it (P8, P11): if the newest manifest is harmed,
 * in whatever way, opening fails with the code of that harm and names that manifest, and nothing in
 * the store changes; if only older ones are, the newest checkpoint is restored, a warning names
 * what is damaged, and the damage goes with the next checkpoints. The exception is the lowest
 * manifest: without it the log looks as if its newest were lost, so going on takes a word. With the
 * newest manifests or all of them gone, everybody who reads the job says which, and start_empty
 * goes on above what is lost. Method:
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

static void note_warning(void *context, const cairn_log_line *line)
{
    (void)context;
    crn_mutex_lock(&warnings_lock);
    size_t n = strlen(warnings);
    (void)snprintf(warnings + n, sizeof warnings - n, "%s\n", line->message);
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

/* ------------------------------------------------------------------------------------------ *
 * Lost at the top
 * ------------------------------------------------------------------------------------------ */

static void remove_manifests(uint64_t first, uint64_t last)
{
    for (uint64_t id = first; id <= last; id++) {
        char key[64];
        key_of(id, key);
        store_harm(f.store, key, HARM_REMOVE);
    }
}

static void expect_reader(int r, cairn_error *error, const char *what)
{
    ck_assert_msg(r == CAIRN_EMISSING && strstr(cairn_error_message(error), what) != NULL, "%s: %s",
                  cairn_error_name(r), cairn_error_message(error));
    cairn_error_free(error);
}

/* Whoever reads the job says the same as whoever starts it. */
static void expect_readers_see(const char *what)
{
    cairn_error *error = NULL;
    cairn_snapshot *snapshot = NULL;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    cairn_usage usage = CAIRN_USAGE_INIT;
    int r = cairn_verify(f.store, "job", NULL, &report, &error);
    expect_reader(r, CRN_TAKE(error), what);
    r = cairn_gc(f.store, "job", NULL, NULL, &error);
    expect_reader(r, CRN_TAKE(error), what);
    r = cairn_job_usage(f.store, "job", &usage, &error);
    expect_reader(r, CRN_TAKE(error), what);
    ck_assert_uint_eq(usage.dead_count, 0);
    r = cairn_snapshot_open(f.store, "job", 0, &snapshot, &error);
    expect_reader(r, CRN_TAKE(error), what);
}

/* What was there is given up, and nothing of it is left; names and ids go on above it. */
static void expect_a_new_beginning(uint64_t lost)
{
    struct subject s;
    oracle_init(&stored);
    f.options.start_empty = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(cairn_job_restored(s.job, NULL), 0);
    ck_assert_ptr_null(oracle_compare(&stored, &s));
    subject_close(&s);
    char fence[64];
    key_of(lost + 1, fence);
    ck_assert(store_has(f.store, fence));
    ck_assert_uint_eq(store_count(f.store, "job/"), 1);
    f.options.start_empty = 0;
    warnings[0] = 0;
    take_checkpoints(2);
    ck_assert_uint_eq(newest, lost + 4);
    expect_newest();
    ck_assert_str_eq(warnings, "");
    store_check_tidy(f.store, "job");
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        ck_assert_uint_gt(cairn_log_at(log, i)->id, lost);
        ck_assert_uint_ge(cairn_log_at(log, i)->epoch, 2); /* above that of the lost objects */
    }
    cairn_log_close(log);
}

START_TEST(test_all_manifests_lost)
{
    const char *what = "'job' has objects up to id 4 but no manifest";
    char **names = NULL;
    size_t count = 0;
    struct subject s;
    cairn_log *log = NULL;
    cairn_error *error = NULL;
    remove_manifests(2, 4);
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EMISSING, what);
    f.options.restore_fallback = 1;
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EMISSING, what);
    f.options.restore_fallback = 0;
    expect_readers_see(what);
    int r = cairn_log_open(f.store, "job", &log, &error);
    expect_reader(r, error, what);
    ck_ok(cairn_store_jobs(f.store, &names, &count, reterr));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "job");
    cairn_names_free(names, count);
    expect_a_new_beginning(4);
}
END_TEST

/* One of a log that drops. Of one that does not it shows by objects alone: more ids have some than
 * can have been in flight, or they are of an epoch whose fence is not there. */
START_TEST(test_newest_manifests_lost)
{
    static const struct {
        uint64_t first, lost;
        const char *what;
    } cases[] = {{8, 8, "'job/MANIFEST-chk8' is the first"},
                 {6, 8, "'job/MANIFEST-chk6' is the first"},
                 {5, 6, "'job/MANIFEST-chk5' is the first"}};
    const uint64_t lost = cases[_i].lost, first = cases[_i].first;
    const char *what = cases[_i].what;
    cairn_log *log = NULL;
    struct subject s;
    if (_i == 0) {
        go_on();
    } else {
        f.options.num_retained = 9;
        take_checkpoints((int)(lost - 5));
    }
    remove_manifests(first, lost);
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EMISSING, what);
    expect_readers_see(what);
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        ck_assert_int_eq(record->state == CAIRN_STATE_UNREADABLE, record->id >= first);
        if (record->id >= first)
            ck_assert_msg(strstr(record->reason, what) != NULL, "%s", record->reason);
    }
    cairn_log_close(log);
    f.options.num_retained = 3;
    if (_i > 0)
        expect_a_new_beginning(lost);
}
END_TEST

/* It is alive, and its log was removed behind its back. */
START_TEST(test_a_writer_of_the_lost_log_is_fenced)
{
    struct subject old, s;
    struct fixture second = f;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    ck_ok(subject_open(&f, "job", &old, reterr)); /* 5 */
    ck_ok(subject_checkpoint(&old, false, NULL, reterr));
    remove_manifests(3, 6); /* what it has in memory is not there any more */
    second.options.local_dir = local_dir;
    second.options.start_empty = 1;
    ck_ok(subject_open(&second, "job", &s, reterr));
    ck_assert_int_eq(subject_checkpoint(&old, false, NULL, NULL), CAIRN_EFENCED);
    subject_close(&old);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr)); /* what the old one had uploaded */
    store_check_tidy(f.store, "job");
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
    tcase_add_test(tcase, test_all_manifests_lost);
    tcase_add_loop_test(tcase, test_newest_manifests_lost, 0, 3);
    tcase_add_test(tcase, test_a_writer_of_the_lost_log_is_fenced);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
