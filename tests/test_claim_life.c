/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a source, and of its owner, after a claim: it is kept until a job runs on what it
 * took, gone afterwards, and nobody loses state without a word (P5, P6, P7, P8). Method: starts
 * that get stuck between open and start, damage that shows only when a task reads, and services
 * that are started again with options of before; the log callback is read.
 */
#include "tests/support/claim_kit.h"

#include "cairn/inspect.h"
#include "engine/log/joblog.h"

#include <stdio.h>
#include <string.h>

static char said[8192]; /* warnings, a line each */
static char noted[512]; /* the last source that was passed over */

static void hear(void *context, const cairn_log_line *line)
{
    size_t n = strlen(said);
    (void)context;
    if (line->level == CAIRN_LOG_WARNING)
        (void)snprintf(said + n, sizeof said - n, "%s\n", line->message);
    if (line->level == CAIRN_LOG_INFO && strstr(line->message, "passed over") != NULL)
        (void)snprintf(noted, sizeof noted, "%s", line->message);
}

/* Job "src" has two checkpoints, the newer of which is also savepoint SAVEPOINT. */
static void setup(void)
{
    struct subject src;
    fixture_init(&f, false);
    oracle_init(&oracle);
    seed = 11;
    f.options.log = hear;
    ck_ok(subject_open(&f, "src", &src, reterr));
    oracle_mutate(&oracle, &src, &seed, 60);
    ck_ok(subject_checkpoint(&src, false, NULL, reterr));
    subject_close(&src);
    savepoint_of_checkpoint(f.store, "src", SAVEPOINT);
    said[0] = '\0';
}

static void teardown(void)
{
    fixture_done(&f);
}

/* Opens and closes, without a start. */
static void open_only(const char *job_name)
{
    cairn_job *job;
    ck_ok(fixture_open_job(&f, job_name, &job, reterr));
    cairn_job_close(job);
}

/* It starts, has the state, and takes a checkpoint. */
static void run(const char *job_name)
{
    struct subject s;
    ck_ok(subject_open(&f, job_name, &s, reterr));
    check_state(&s);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
}

static size_t count_imports(const char *job_name)
{
    cairn_log *log;
    size_t count = 0;
    ck_ok(cairn_log_open(f.store, job_name, &log, reterr));
    for (size_t i = 0; i < cairn_log_size(log); i++)
        count += cairn_log_at(log, i)->kind == CAIRN_RECORD_CHECKPOINT;
    cairn_log_close(log);
    return count;
}

/* ------------------------------------------------------------------------------------------ *
 * Until the job has started
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_a_start_that_fails_leaves_the_source)
{
    const char *source = _i == 0 ? SAVEPOINT : "src";
    size_t objects = store_count(f.store, source) + (_i == 0 ? 1 : 2); /* mark, and fence */
    start_from(source, CAIRN_CLAIM);
    for (int tries = 0; tries < 3; tries++) {
        cairn_job *job;
        open_only("target");
        ck_assert_uint_eq(store_count(f.store, source), objects);
        ck_assert_uint_eq(count_imports("target"), 1);
        ck_fails(fixture_open_job(&f, "rival", &job, reterr), CAIRN_EEXIST, "job 'target'");
    }
    run("target");
    ck_assert_uint_eq(store_count(f.store, source), _i);
    store_check_tidy(f.store, "target");
}
END_TEST

START_TEST(test_a_claim_that_is_not_used_is_given_up)
{
    const char *source = _i % 2 == 0 ? SAVEPOINT : "src";
    CRN_AUTO_FREE char *mark = NULL;
    struct oracle begin = oracle;
    ck_ok(crn_joblog_key(source, CRN_MARK_CLAIMED, &mark, reterr));
    start_from(source, CAIRN_CLAIM);
    open_only("target");
    size_t objects = store_count(f.store, source);
    ck_assert(store_has(f.store, mark));
    if (_i < 4)
        start_from(source, _i < 2 ? CAIRN_NO_CLAIM : CAIRN_LEGACY);
    else {
        start_from(NULL, CAIRN_NO_CLAIM);
        f.options.start_empty = 1;
        oracle_init(&oracle);
    }
    run("target");
    ck_assert_ptr_nonnull(strstr(said, "is given up"));
    start_from(NULL, CAIRN_NO_CLAIM);
    f.options.start_empty = 0;
    run("target");
    ck_assert(!store_has(f.store, mark));
    ck_assert_uint_eq(store_count(f.store, source), objects - 1);
    oracle = begin;
    start_from(source, CAIRN_NO_CLAIM);
    run("other");
}
END_TEST

START_TEST(test_damage_that_a_task_finds_names_the_original)
{
    struct subject s;
    CRN_AUTO_FREE char *key = store_live_object(f.store, SAVEPOINT, false);
    store_damage(f.store, key);
    start_from(SAVEPOINT, (cairn_claim_mode)_i);
    size_t objects = store_count(f.store, SAVEPOINT);
    ck_fails(subject_open(&f, "target", &s, reterr), CAIRN_ECORRUPT, key);
    ck_fails(subject_open(&f, "target", &s, reterr), CAIRN_ECORRUPT,
             "taken over from '" SAVEPOINT "'");
    ck_assert_uint_eq(store_count(f.store, SAVEPOINT), objects + (_i == CAIRN_CLAIM));
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The job whose state it was
 * ------------------------------------------------------------------------------------------ */

/* What its processes told one another. */
static void put_messages(const char *source)
{
    static const char *const keys[] = {"cluster/e9/post-1",
                                       "cluster/e9/mail-00112233445566778899aabbccddeeff-1"};
    for (size_t i = 0; i < CRN_COUNT(keys); i++) {
        CRN_AUTO_FREE char *key = NULL;
        ck_ok(crn_joblog_key(source, keys[i], &key, reterr));
        store_put_text(f.store, key, "said");
    }
}

START_TEST(test_a_claimed_job_is_not_started_by_accident)
{
    cairn_job *job;
    put_messages("src");
    start_from("src", CAIRN_CLAIM);
    run("target");
    start_from(NULL, CAIRN_NO_CLAIM);
    for (int tries = 0; tries < 2; tries++)
        ck_fails(fixture_open_job(&f, "src", &job, reterr), CAIRN_EFENCED,
                 "job 'src' was claimed by job 'target': start that one; start_empty");
    ck_assert_uint_eq(store_count(f.store, "src"), 1);
    start_from("src", (cairn_claim_mode)_i);
    ck_fails(fixture_open_job(&f, "third", &job, reterr), CAIRN_ENOTFOUND,
             "claimed by job 'target'");
    cairn_log *log;
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_fails(cairn_log_open(f.store, "src", &log, reterr), CAIRN_ENOTFOUND,
             "'src' was claimed by job 'target'");
    ck_fails(cairn_job_usage(f.store, "src", &usage, reterr), CAIRN_ENOTFOUND, "job 'target'");
    ck_fails(cairn_gc(f.store, "src", NULL, NULL, reterr), CAIRN_ENOTFOUND, "job 'target'");
}
END_TEST

/* The claimer could not remove all of it, and is not asked again. */
START_TEST(test_what_a_claimer_left_can_be_disposed_of)
{
    const char *source = _i == 0 ? SAVEPOINT : "src";
    cairn_dispose_options options = CAIRN_DISPOSE_OPTIONS_INIT;
    CRN_AUTO_FREE char *foreign = NULL;
    ck_ok(crn_joblog_key(source, "notes.txt", &foreign, reterr));
    store_put_text(f.store, foreign, "not Cairn's");
    if (_i == 1)
        put_messages(source);
    start_from(source, CAIRN_CLAIM);
    /* manifests go, objects do not */
    fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_REMOVE,
                                            .mode = CRN_FAULT_BEFORE,
                                            .at = _i == 0 ? 2 : 4,
                                            .and_after = true,
                                            .code = CAIRN_EACCES});
    struct subject s;
    ck_ok(subject_open(&f, "target", &s, reterr));
    subject_close(&s);
    fixture_disarm(&f, CRN_FAULT_ANY);
    ck_assert_ptr_nonnull(strstr(said, "tried again at the next start"));
    ck_assert_uint_gt(store_count(f.store, source), 2);
    ck_fails(cairn_dispose(f.store, source, NULL, NULL, reterr), CAIRN_EBUSY, "'target'");
    options.force = 1;
    ck_ok(cairn_dispose(f.store, source, &options, NULL, reterr));
    ck_assert_uint_eq(store_count(f.store, source), 1);
    ck_assert(store_has(f.store, foreign));
}
END_TEST

START_TEST(test_a_new_life_where_a_job_was_claimed)
{
    struct oracle begin = oracle;
    start_from("src", CAIRN_CLAIM);
    run("target");
    start_from(NULL, CAIRN_NO_CLAIM);
    f.options.start_empty = 1;
    put_messages("src"); /* by a process that has not noticed; workers would take it for theirs */
    cairn_job *job;
    ck_fails(fixture_open_job(&f, "src", &job, reterr), CAIRN_EFENCED, "dispose --force");
    f.options.start_empty = 0;
    run("target"); /* which removes what has come */
    f.options.start_empty = 1;
    oracle_init(&oracle);
    run("src");
    ck_assert(!store_has(f.store, "src/" CRN_MARK_CLAIMED));
    f.options.start_empty = 0;
    struct oracle anew = oracle;
    oracle = begin;
    run("target"); /* which knows that it has claimed it */
    oracle = anew;
    run("src");
    store_check_tidy(f.store, "src");
}
END_TEST

START_TEST(test_a_claim_under_way_leaves_no_room_for_a_new_life)
{
    cairn_job *job;
    start_from("src", CAIRN_CLAIM);
    open_only("target");
    start_from(NULL, CAIRN_NO_CLAIM);
    f.options.start_empty = 1;
    ck_fails(fixture_open_job(&f, "src", &job, reterr), CAIRN_EFENCED, "not removed everything");
    f.options.start_empty = 0;
    run("target");
    ck_assert_uint_eq(store_count(f.store, "src"), 1);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * What is lost with a word
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_an_empty_start_after_one_from_elsewhere)
{
    start_from(SAVEPOINT, CAIRN_NO_CLAIM);
    open_only("target");
    ck_assert_str_eq(said, "");
    start_from(NULL, CAIRN_NO_CLAIM);
    for (int tries = 0; tries < 2; tries++) {
        said[0] = '\0';
        open_only("target");
        ck_assert_ptr_nonnull(strstr(said, "started from '" SAVEPOINT "' and has no checkpoint"));
    }
    said[0] = '\0';
    f.options.start_empty = 1;
    open_only("target");
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(test_own_progress_that_is_dropped)
{
    start_from(SAVEPOINT, (cairn_claim_mode)_i);
    run("target");
    ck_assert_str_eq(said, "");
    start_from("src", (cairn_claim_mode)_i);
    open_only("target");
    ck_assert_ptr_nonnull(strstr(said, "own checkpoint"));
    ck_assert_ptr_nonnull(strstr(said, "restore_only_if_new would keep it"));
    said[0] = '\0';
    f.options.restore_only_if_new = 1;
    ck_assert_str_eq(noted, "");
    open_only("target");
    ck_assert_str_eq(said, "");
    ck_assert_ptr_nonnull(strstr(noted, "'src' is passed over"));
    noted[0] = '\0';
    if (_i == CAIRN_CLAIM)
        return;           /* 'src' is target's already, and nobody else's */
    open_only("another"); /* which has nothing of its own */
    ck_assert_str_eq(noted, "");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * A directory that is not a store
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_a_jobs_directory_is_no_store)
{
    cairn_job *job;
    struct subject s;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle;
    CRN_AUTO_FREE char *inner = NULL;
    CRN_AUTO_FREE char *whole = NULL;
    fixture_done(&f);
    fixture_init(&f, true);
    ck_ok(subject_open(&f, "src", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    savepoint_of_checkpoint(f.store, "src", SAVEPOINT);
    ck_ok(crn_str_printf(&inner, reterr, "%s/%s", f.store_dir, _i == 0 ? "src" : SAVEPOINT));
    ck_ok(crn_str_printf(&whole, reterr, "the store is '%s'", f.store_dir));
    options.target_uri = inner;
    ck_fails(cairn_savepoint_begin(s.job, &options, &handle, reterr), CAIRN_EINVAL, whole);
    subject_close(&s);
    f.options.store = NULL;
    f.options.store_uri = inner;
    ck_fails(fixture_open_job(&f, "src", &job, reterr), CAIRN_EINVAL, whole);
    ck_assert_uint_eq(store_count(f.store, SAVEPOINT "/src"), 0);
    ck_assert_uint_eq(store_count(f.store, "src/src"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim_life");
    TCase *tcase = tcase_create("claim_life");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_a_start_that_fails_leaves_the_source, 0, 2);
    tcase_add_loop_test(tcase, test_a_claim_that_is_not_used_is_given_up, 0, 6);
    tcase_add_loop_test(tcase, test_damage_that_a_task_finds_names_the_original, CAIRN_CLAIM,
                        CAIRN_LEGACY + 1);
    tcase_add_loop_test(tcase, test_a_claimed_job_is_not_started_by_accident, 0, 3);
    tcase_add_loop_test(tcase, test_what_a_claimer_left_can_be_disposed_of, 0, 2);
    tcase_add_test(tcase, test_a_new_life_where_a_job_was_claimed);
    tcase_add_test(tcase, test_a_claim_under_way_leaves_no_room_for_a_new_life);
    tcase_add_test(tcase, test_an_empty_start_after_one_from_elsewhere);
    tcase_add_loop_test(tcase, test_own_progress_that_is_dropped, 0, 3);
    tcase_add_loop_test(tcase, test_a_jobs_directory_is_no_store, 0, 2);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
