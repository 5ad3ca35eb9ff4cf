/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a savepoint goes where it is told to or nowhere: every bad target is an error with
 * its reason, what somebody else has there is left alone, and a target that is full or cannot be
 * looked at costs an id in the log (P6), and leaves nothing behind in either place. Method: a job
 * that takes savepoints into directories and stores that are wrong, taken or failing, and is asked
 * for the next one.
 */
#include "tests/support/taker.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Targets
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_bad_targets_are_refused)
{
    struct taker t;
    taker_init(&t, ROCKSDB);
    CRN_AUTO_FREE char *file = fixture_dir(&t.f, "a-file");
    CRN_AUTO_FREE char *within = fixture_dir(&t.f, "store/job");
    CRN_AUTO_FREE char *below = fixture_dir(&t.f, "store/job/deep/er");
    CRN_AUTO_FREE char *local = fixture_dir(&t.f, "local/savepoints");
    CRN_AUTO_FREE char *link = fixture_dir(&t.f, "link");
    CRN_AUTO_FREE char *deep = fixture_dir(&t.f, "store/job/deep");
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_store *store = NULL;
    /* A job knows where its store is only if it has no decorator. */
    subject_close(&t.s);
    ck_ok(crn_posix_store_open(t.f.store_dir, CRN_TRANSFER_AUTO, true, &store, reterr));
    t.f.options.store = store;
    ck_ok(subject_open(&t.f, "job", &t.s, reterr));
    ck_fails(take(&t, NULL, NULL, reterr), CAIRN_EINVAL, "where is the savepoint to go");
    ck_ok(crn_file_write_new(file, "x", 1, false, reterr));
    options.target_uri = file;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "a-file");
    options.target_uri = "memory:";
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "memory:");
    options.target_uri = "";
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "target_uri is empty");
    options.target_uri = "gopher://x";
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "gopher");
    ck_assert_int_eq(symlink(within, link), 0);
    const char *inside[] = {within, below, link};
    for (size_t i = 0; i < CRN_COUNT(inside); i++) {
        options.target_uri = inside[i];
        ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "the job's own directory");
    }
    ck_assert(!crn_file_is_dir(deep)); /* what looking made is gone */
    options.target_uri = local;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "local_dir");
    options.target_store = t.target;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "at most one");
    options.target_uri = NULL;
    options.format = (cairn_savepoint_format)2;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "format");
    subject_close(&t.s);
    cairn_store_close(store);
    taker_done(&t);
}
END_TEST

START_TEST(test_the_jobs_store_and_its_default_are_targets)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    subject_close(&t.s);
    t.f.options.savepoint_store = t.f.store; /* the directory stands beside the job's */
    ck_ok(subject_open(&t.f, "job", &t.s, reterr));
    mutate(&t);
    ck_ok(take(&t, NULL, &info, reterr));
    expect_whole(t.f.store, info.id);
    expect_state(&t, t.f.store, info.id, &t.oracle);
    store_check_tidy(t.f.store, "job");
    subject_close(&t.s);
    t.f.options.savepoint_uri = "memory:";
    cairn_job *job = NULL;
    ck_fails(fixture_open_job(&t.f, "job", &job, reterr), CAIRN_EINVAL, "at most one");
    taker_done(&t);
}
END_TEST

/* A savepoint of the job's earlier life, from which nothing is taken: it may be of another store.
 */
START_TEST(test_what_is_in_the_way_is_left_alone)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    store_put_text(t.target, "savepoint-job-2/note", "the user's");
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(take(&t, &options, &info, reterr));
    ck_assert_uint_eq(info.id, 2);
    ck_assert_str_eq(info.location, "savepoint-job-2-b");
    ck_assert_uint_eq(store_count(t.target, "savepoint-job-2/"), 1);
    ck_assert(store_has(t.target, "savepoint-job-2-b/MANIFEST-chk2"));
    store_check_tidy(t.f.store, "job");
    options.link_previous = 1; /* it is found under that name */
    ck_ok(take(&t, &options, &info, reterr));
    ck_assert_str_eq(info.location, "savepoint-job-3");
    ck_assert_uint_gt(info.linked_bytes, 0);
    taker_done(&t);
}
END_TEST

static void expect_aborted(struct taker *t, uint64_t id, const char *reason)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(t->f.store, "job", &log, reterr));
    const cairn_record_info *record = cairn_log_at(log, cairn_log_size(log) - 1);
    ck_assert_uint_eq(record->id, id);
    ck_assert_int_eq(record->state, CAIRN_STATE_ABORTED);
    ck_assert_msg(strstr(record->reason, reason) != NULL, "%s", record->reason);
    cairn_log_close(log);
}

/* What the system refuses is told with the target's path: an object's key says not where. */
START_TEST(test_a_refusal_names_the_target)
{
    struct taker t;
    cairn_error *error = NULL;
    taker_init(&t, ROCKSDB);
    mutate(&t);
    store_put_text(t.f.store, "savepoint-job-2", "a file where a directory is to be");
    cairn_savepoint_options options = options_for(NULL, CAIRN_NATIVE);
    options.target_uri = t.f.store_dir;
    int r = take(&t, &options, NULL, &error);
    ck_assert_msg(cairn_error_class_of(r) == CAIRN_CLASS_LOCAL, "%s", cairn_error_message(error));
    ck_assert_str_eq(cairn_error_object(error), t.f.store_dir);
    ck_assert(strstr(cairn_error_message(error), t.f.store_dir) != NULL);
    ck_assert_int_eq(cairn_error_errno(error), ENOTDIR);
    cairn_error_free(error);
    taker_done(&t);
}
END_TEST

/* Every name of the id is taken, or the target cannot be looked at: the attempt is in the log, and
 * the next one has a fresh id. */
START_TEST(test_an_attempt_that_finds_no_place_is_in_the_log)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    store_put_text(t.target, "savepoint-job-2/note", "the user's");
    for (char suffix = 'b'; suffix <= 'z'; suffix++) {
        char key[64];
        (void)snprintf(key, sizeof key, "savepoint-job-2-%c/note", suffix);
        store_put_text(t.target, key, "the user's");
    }
    ck_fails(take(&t, &options, &info, reterr), CAIRN_EEXIST, "cairn dispose");
    ck_assert_uint_eq(store_count(t.target, ""), 26);
    store_check_tidy(t.f.store, "job");
    expect_aborted(&t, 2, "savepoint-job-2");
    crn_fault_store_arm(
        t.target, &(struct crn_fault_plan){.ops = CRN_FAULT_LIST,
                                           .mode = CRN_FAULT_BEFORE,
                                           .at = 2, /* the first looks whether it is a store */
                                           .code = CAIRN_EACCES});
    ck_fails(take(&t, &options, &info, reterr), CAIRN_EACCES, "savepoint 3");
    expect_aborted(&t, 3, "");
    ck_ok(take(&t, &options, &info, reterr));
    ck_assert_uint_eq(info.id, 4);
    checkpoint(&t);
    taker_done(&t);
}
END_TEST

/* Who looks at the job while such an attempt is on its way into the log sees one without a place.
 */
START_TEST(test_an_attempt_without_a_place_can_be_looked_at)
{
    struct taker t;
    cairn_savepoint_handle *handle = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    crn_fault_store_arm(
        t.target, &(struct crn_fault_plan){.ops = CRN_FAULT_LIST,
                                           .mode = CRN_FAULT_BEFORE,
                                           .at = 2, /* the first looks whether it is a store */
                                           .code = CAIRN_EACCES});
    fixture_arm(&t.f, (struct crn_fault_plan){.ops = CRN_FAULT_CREATE, .delay_us = 100000});
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    while (info.phase != CAIRN_SAVEPOINT_FAILED) {
        CRN_AUTO_FREE char *text = NULL;
        ck_ok(cairn_job_metrics(t.s.job, &text, reterr));
        ck_ok(cairn_savepoint_status(handle, &info, reterr));
    }
    cairn_savepoint_close(handle);
    taker_done(&t);
}
END_TEST

/* Two jobs of one name may share a target. What the other one has completed while ours went on is
 * its own, whatever becomes of ours. */
START_TEST(test_a_manifest_of_somebody_else_stays)
{
    struct taker t;
    cairn_savepoint_handle *handle = NULL;
    cairn_event event = {CAIRN_EVENT_NONE, 0, 0};
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    options.timeout_ms = 200;
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    while (event.type != CAIRN_EVENT_BARRIER) /* the directory was empty; other tasks do not poll */
        ck_ok(cairn_task_poll(t.s.tasks[0], &event, reterr));
    store_put_text(t.target, "savepoint-job-2/MANIFEST-chk2", "the other's");
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EABORTED, "timed out");
    ck_assert(store_has(t.target, "savepoint-job-2/MANIFEST-chk2"));
    ck_assert_uint_eq(store_count(t.target, ""), 1);
    cairn_savepoint_close(handle);
    taker_done(&t);
}
END_TEST

START_TEST(test_a_full_target_leaves_nothing)
{
    for (uint64_t at = 1; at < 12; at++) {
        struct taker t;
        taker_init(&t, FAKE);
        mutate(&t);
        crn_fault_store_arm(t.target, &(struct crn_fault_plan){.ops = CRN_FAULT_PUT,
                                                               .mode = CRN_FAULT_SHORT,
                                                               .at = at,
                                                               .and_after = true,
                                                               .code = CAIRN_ENOSPC});
        cairn_savepoint_options options =
            options_for(t.target, at % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE);
        int r = take(&t, &options, NULL, NULL);
        bool fired = crn_fault_store_fired(t.target);
        ck_assert_int_eq(r, fired ? CAIRN_ENOSPC : 0);
        if (fired)
            ck_assert_uint_eq(store_count(t.target, ""), 0);
        store_check_tidy(t.f.store, "job");
        checkpoint(&t);
        taker_done(&t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("savepoint_targets");
    TCase *tcase = tcase_create("savepoint_targets");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_bad_targets_are_refused);
    tcase_add_test(tcase, test_the_jobs_store_and_its_default_are_targets);
    tcase_add_test(tcase, test_what_is_in_the_way_is_left_alone);
    tcase_add_test(tcase, test_a_refusal_names_the_target);
    tcase_add_test(tcase, test_an_attempt_that_finds_no_place_is_in_the_log);
    tcase_add_test(tcase, test_an_attempt_without_a_place_can_be_looked_at);
    tcase_add_test(tcase, test_a_manifest_of_somebody_else_stays);
    tcase_add_test(tcase, test_a_full_target_leaves_nothing);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
