/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what the start after a stop with savepoint does, over all state backends:
 *   - a plain start goes on from exactly the state that the job was stopped with, any number of
 * times, until a checkpoint of its own is complete, after which nothing depends on the savepoint;
 *   - what else a start is told to begin from wins;
 *   - a savepoint that is not at its place any more, or is another one, is an error that tells the
 * ways out, and never a silent step back; each of these ways works.
 */
#include "tests/support/followers.h"
#include "tests/support/oracle.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

enum kind { FAKE, ROCKSDB, HEAP, KINDS };

static struct fixture f;
static struct subject s;
static struct oracle oracle, earlier; /* at the stop; at the newest checkpoint before it */
static uint64_t seed;
static char *saved; /* the directory that savepoints go to */
static cairn_savepoint_info info;

static void init(enum kind kind)
{
    fixture_init(&f, kind != FAKE);
    if (kind == HEAP)
        f.backend = crn_heap_backend;
    saved = fixture_dir(&f, "saved");
    f.options.savepoint_uri = saved;
    oracle_init(&oracle);
    seed = 5;
}

static void setup(void)
{
    init(FAKE);
}

static void teardown(void)
{
    if (s.job != NULL)
        subject_close(&s);
    free(saved);
    fixture_done(&f);
}

static void open_job(void)
{
    ck_ok(subject_open(&f, "job", &s, reterr));
}

static void mutate(void)
{
    oracle_mutate(&oracle, &s, &seed, 40);
}

static void checkpoint(void)
{
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
}

static void check_has(const struct oracle *expected)
{
    const char *why = oracle_compare(expected, &s);
    ck_assert_msg(why == NULL, "%s", why);
}

static void stop_with(const cairn_savepoint_options *options)
{
    struct followers followers;
    info = (cairn_savepoint_info)CAIRN_SAVEPOINT_INFO_INIT;
    followers_start(&followers, &s);
    ck_ok(cairn_savepoint(s.job, options, &info, reterr));
    followers_wait(&followers);
    subject_close(&s);
}

static void stop(cairn_savepoint_format format)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.stop = 1;
    options.format = format;
    stop_with(&options);
}

/* A checkpoint, more state, and a stop. */
static void live_and_stop(void)
{
    open_job();
    mutate();
    checkpoint();
    earlier = oracle;
    mutate();
    stop(CAIRN_CANONICAL);
}

static int try_open(cairn_error **reterr)
{
    return subject_open(&f, "job", &s, reterr);
}

/* Where the newest record says that its writer was started from; "" if from its own log. */
static void check_source(const char *location)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    ck_assert_str_eq(cairn_log_at(log, cairn_log_size(log) - 1)->source_location, location);
    cairn_log_close(log);
}

START_TEST(a_plain_start_goes_on_from_it)
{
    const cairn_savepoint_format formats[] = {CAIRN_CANONICAL, CAIRN_NATIVE};
    cairn_checkpoint_info restored = CAIRN_CHECKPOINT_INFO_INIT;
    teardown();
    init((enum kind)(_i / 2));
    open_job();
    mutate();
    checkpoint();
    mutate();
    stop(formats[_i % 2]);
    for (int i = 0; i < 3; i++) { /* starts that get no further */
        open_job();
        ck_assert_int_eq(cairn_job_restored(s.job, &restored), 1);
        ck_assert_uint_eq(restored.id, info.id);
        check_has(&oracle);
        check_source(info.location);
        subject_close(&s);
    }
    open_job();
    mutate();
    struct followers followers;
    followers_start(&followers, &s);
    ck_ok(cairn_job_checkpoint(s.job, NULL, &restored, reterr));
    ck_assert_uint_gt(restored.id, info.id);
    followers_leave(&followers);
    CRN_AUTO_FREE char *story = follower_story(&followers.each[0]);
    ck_assert_ptr_nonnull(strstr(story, "independent"));
    subject_close(&s);
    ck_ok(crn_file_remove_tree(saved, reterr)); /* nothing depends on it */
    store_check_tidy(f.store, "job");
    open_job();
    check_has(&oracle);
    check_source("");
}
END_TEST

START_TEST(a_job_without_a_checkpoint_goes_on_from_it)
{
    open_job();
    mutate();
    stop(CAIRN_NATIVE);
    for (int i = 0; i < 3; i++) {
        open_job();
        check_has(&oracle);
        subject_close(&s);
    }
    open_job();
    mutate();
    stop(CAIRN_NATIVE); /* and the second one counts */
    for (int i = 0; i < 3; i++) {
        open_job();
        check_has(&oracle);
        check_source(info.location);
        subject_close(&s);
    }
    ck_assert_uint_le(store_count(f.store, "job/"), 5); /* from there on */
}
END_TEST

/* The plain savepoint that somebody takes later does not stand in its way. */
START_TEST(only_a_stop_counts)
{
    live_and_stop();
    open_job();
    mutate();
    struct followers followers;
    followers_start(&followers, &s);
    ck_ok(cairn_savepoint(s.job, NULL, NULL, reterr));
    followers_leave(&followers);
    subject_close(&s);
    open_job();
    check_source(info.location);
    /* And below a checkpoint it counts no more. */
    oracle_init(&oracle);
    subject_close(&s);
    f.options.start_empty = 1;
    open_job();
    f.options.start_empty = 0;
    mutate();
    checkpoint();
    subject_close(&s);
    open_job();
    check_has(&oracle);
    check_source("");
}
END_TEST

START_TEST(what_is_named_wins)
{
    live_and_stop();
    f.options.prefer_checkpoint = 1;
    open_job();
    check_has(&earlier);
    subject_close(&s);
    f.options.prefer_checkpoint = 0;
    f.options.restore_checkpoint_id = 2;
    open_job();
    check_has(&earlier);
    subject_close(&s);
    f.options.restore_checkpoint_id = 0;
    f.options.restore_fallback = 1;
    open_job();
    check_has(&earlier);
    subject_close(&s);
    f.options.restore_fallback = 0;
    f.options.restore_store = f.store; /* its own directory: the newest checkpoint in it */
    f.options.restore_name = "job";
    open_job();
    check_has(&earlier);
    subject_close(&s);
    f.options.restore_store = NULL;
    f.options.restore_name = NULL;
    open_job(); /* none of them has got to a checkpoint */
    check_has(&oracle);
}
END_TEST

/* A service that is always started with the same restore_uri. */
START_TEST(only_if_new_goes_on_from_it)
{
    struct oracle first;
    open_job();
    mutate();
    first = oracle;
    struct followers followers;
    cairn_savepoint_info origin = CAIRN_SAVEPOINT_INFO_INIT;
    followers_start(&followers, &s);
    ck_ok(cairn_savepoint(s.job, NULL, &origin, reterr));
    followers_leave(&followers);
    subject_close(&s);
    f.options.restore_uri = origin.location;
    f.options.restore_only_if_new = 1;
    ck_ok(subject_open(&f, "heir", &s, reterr));
    check_has(&first);
    mutate();
    stop(CAIRN_CANONICAL);
    ck_ok(subject_open(&f, "heir", &s, reterr));
    check_has(&oracle);
    subject_close(&s);
    f.options.prefer_checkpoint = 1; /* it has none: back to where it came from */
    ck_ok(subject_open(&f, "heir", &s, reterr));
    check_has(&first);
    subject_close(&s);
    f.options.prefer_checkpoint = 0;
    f.options.restore_only_if_new = 0;
    ck_ok(subject_open(&f, "heir", &s, reterr));
    check_has(&first);
    subject_close(&s);
    ck_ok(crn_file_remove_tree(saved, reterr));
    f.options.restore_only_if_new = 1;
    ck_fails(subject_open(&f, "heir", &s, reterr), CAIRN_ENOTFOUND,
             "prefer_checkpoint to start again from what restore_uri");
}
END_TEST

START_TEST(one_that_was_moved_is_asked_for)
{
    CRN_AUTO_FREE char *moved = fixture_dir(&f, "moved");
    live_and_stop();
    ck_assert_int_eq(rename(info.location, moved), 0);
    cairn_error *error = NULL;
    ck_assert_int_eq(try_open(&error), CAIRN_ENOTFOUND);
    const char *message = cairn_error_message(error);
    ck_assert_msg(strstr(message, info.location) != NULL, "%s", message);
    ck_assert_msg(strstr(message, "set restore_uri") != NULL, "%s", message);
    ck_assert_msg(strstr(message, "prefer_checkpoint to go back to checkpoint 2") != NULL, "%s",
                  message);
    ck_assert_str_eq(cairn_error_object(error), info.location);
    cairn_error_free(error);
    f.options.restore_uri = moved;
    open_job();
    check_has(&oracle);
    subject_close(&s);
    f.options.restore_uri = NULL;
    ck_assert_int_eq(try_open(NULL), CAIRN_ENOTFOUND); /* still */
    f.options.prefer_checkpoint = 1;
    open_job();
    check_has(&earlier);
    mutate();
    checkpoint();
    subject_close(&s);
    f.options.prefer_checkpoint = 0;
    open_job(); /* the checkpoint is newer */
    check_source("");
}
END_TEST

/* Not even whole directories are left. */
START_TEST(one_that_is_gone_is_asked_for)
{
    open_job();
    mutate();
    stop(CAIRN_CANONICAL);
    ck_ok(crn_file_remove_tree(saved, reterr));
    ck_fails(try_open(reterr), CAIRN_ENOTFOUND,
             "prefer_checkpoint to start empty: the job has no checkpoint");
    f.options.prefer_checkpoint = 1;
    open_job();
    oracle_init(&oracle);
    check_has(&oracle);
}
END_TEST

START_TEST(another_one_in_its_place_is_refused)
{
    CRN_AUTO_FREE char *other_root = fixture_dir(&f, "other");
    live_and_stop();
    const cairn_savepoint_info first = info;
    cairn_store *store = f.options.store;
    cairn_store *empty = NULL; /* the same job in another store: same names, same ids */
    ck_ok(cairn_store_open("memory:", &empty, reterr));
    f.options.store = empty;
    f.options.savepoint_uri = other_root;
    oracle_init(&oracle);
    live_and_stop();
    f.options.store = store;
    f.options.savepoint_uri = saved;
    ck_assert_uint_eq(first.id, info.id);
    ck_ok(crn_file_remove_tree(first.location, reterr));
    ck_assert_int_eq(rename(info.location, first.location), 0);
    ck_fails(try_open(reterr), CAIRN_ENOTFOUND, "another savepoint is at this place now");
    cairn_store_close(empty);
}
END_TEST

START_TEST(a_damaged_one_is_an_error)
{
    CRN_AUTO_FREE char *path = NULL;
    live_and_stop();
    ck_ok(crn_str_printf(&path, reterr, "%s/MANIFEST-chk%llu", info.location,
                         (unsigned long long)info.id));
    ck_assert_int_eq(truncate(path, 40), 0);
    ck_fails(try_open(reterr), CAIRN_ECORRUPT, "was stopped with savepoint");
}
END_TEST

/* A lent store has no name by which it could be found again. */
START_TEST(a_lent_store_has_to_be_lent_again)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_store *lent = NULL;
    ck_ok(cairn_store_open("memory:", &lent, reterr));
    options.stop = 1;
    options.target_store = lent;
    open_job();
    mutate();
    stop_with(&options);
    ck_fails(try_open(reterr), CAIRN_ENOTFOUND, "give this store as savepoint_store");
    f.options.savepoint_uri = NULL;
    f.options.savepoint_store = lent;
    open_job();
    check_has(&oracle);
    subject_close(&s);
    f.options.savepoint_store = NULL;
    f.options.restore_store = lent;
    f.options.restore_name = info.location;
    open_job();
    check_has(&oracle);
    mutate();
    checkpoint();
    subject_close(&s);
    cairn_store_close(lent);
    f.options.restore_store = NULL;
    f.options.restore_name = NULL;
    open_job();
    check_has(&oracle);
}
END_TEST

/* The job's own store, beside the job, is at hand. */
START_TEST(beside_the_job_it_is_found)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.stop = 1;
    options.target_store = f.store;
    open_job();
    mutate();
    stop_with(&options);
    open_job();
    check_has(&oracle);
}
END_TEST

/* P7, P5: a claim whose removal was cut short belongs to what the job was stopped with. */
START_TEST(a_claim_stays_with_the_state)
{
    struct followers followers;
    cairn_savepoint_info origin = CAIRN_SAVEPOINT_INFO_INIT;
    open_job();
    mutate();
    followers_start(&followers, &s);
    ck_ok(cairn_savepoint(s.job, NULL, &origin, reterr));
    followers_leave(&followers);
    subject_close(&s);
    f.options.restore_uri = origin.location;
    f.options.claim_mode = CAIRN_CLAIM;
    ck_ok(subject_open(&f, "heir", &s, reterr));
    mutate();
    stop(CAIRN_CANONICAL);
    f.options.restore_uri = NULL;
    f.options.claim_mode = CAIRN_NO_CLAIM;
    ck_ok(subject_open(&f, "heir", &s, reterr));
    check_has(&oracle);
    subject_close(&s);
    CRN_AUTO_FREE char *mark = NULL;
    ck_ok(crn_str_printf(&mark, reterr, "%s/CLAIMED", origin.location));
    ck_assert_int_ne(access(mark, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stopped");
    TCase *tcase = tcase_create("start");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_plain_start_goes_on_from_it, 0, 2 * KINDS);
    tcase_add_test(tcase, a_job_without_a_checkpoint_goes_on_from_it);
    tcase_add_test(tcase, only_a_stop_counts);
    tcase_add_test(tcase, what_is_named_wins);
    tcase_add_test(tcase, only_if_new_goes_on_from_it);
    tcase_add_test(tcase, one_that_was_moved_is_asked_for);
    tcase_add_test(tcase, one_that_is_gone_is_asked_for);
    tcase_add_test(tcase, another_one_in_its_place_is_refused);
    tcase_add_test(tcase, a_damaged_one_is_an_error);
    tcase_add_test(tcase, a_lent_store_has_to_be_lent_again);
    tcase_add_test(tcase, beside_the_job_it_is_found);
    tcase_add_test(tcase, a_claim_stays_with_the_state);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
