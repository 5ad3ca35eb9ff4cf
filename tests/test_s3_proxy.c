/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a store behind a network that cuts, delays, doubles, reorders, swallows and spoils
 * what is said tells the truth (P1, P7, P8): 0 only of what is there, no wrong bytes, nothing that
 * is doubled or comes late does harm; and that a job goes on through all of it, loses nothing, and
 * leaves nothing behind (P2, P5, P6). Method: a proxy of our own in front of a server of our own;
 * test_s3_storm.c does the same with a real one.
 */
#include "tests/support/oracle.h"
#include "tests/support/s3/fake_kit.h"
#include "tests/support/s3/proxy.h"
#include "tests/support/s3/storm.h"

#include "backends/storage/storage.h"
#include "cairn/inspect.h"
#include "cairn/savepoint.h"

#include <stdio.h>
#include <string.h>

static struct proxy *proxy;
static cairn_store *through;

static int open_through(const char *options, cairn_store **ret, cairn_error **reterr)
{
    char rest[256];
    struct crn_s3_config config;
    (void)snprintf(rest, sizeof rest, "//cairn/t?endpoint=http://127.0.0.1:%u%s", proxy_port(proxy),
                   options);
    CRN_TRY(crn_s3_config_from_uri(rest, "s3://cairn/t", &config, reterr));
    return crn_s3_store_open_config(&config, false, ret, reterr);
}

static void setup(void)
{
    fake_kit_open();
    proxy = proxy_start(fake_port(fake), NULL);
    ck_assert_int_eq(open_through("&retry_ms=6000&request_timeout_ms=400", &through, NULL), 0);
}

static void teardown(void)
{
    through->ops->close(through);
    proxy_stop(proxy);
    fake_kit_close();
}

#define ONCE(...) proxy_add(proxy, &(struct proxy_rule){.times = 1, __VA_ARGS__})

static int put_bytes(cairn_store *to, const char *key, const void *data, size_t size,
                     cairn_error **reterr)
{
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, data, size);
    return to->ops->put(to, key, &source.source, &how, reterr);
}

static int count_key(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)key, (void)stat;
    ++*(uint64_t *)context;
    return 0;
}

/* ---- one fault at a time ---- */

/* Whatever happens to the only try, what is said of it is so. */
START_TEST(a_create_tells_the_truth)
{
    static const uint64_t places[] = {0, 1, 40, 200, 700, 100000};
    const enum proxy_what what = (enum proxy_what)_i;
    for (size_t i = 0; i < CRN_COUNT(places); i++) {
        char key[16], full[20];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_BUFFER struct cairn_buffer found = {0};
        (void)snprintf(key, sizeof key, "k%zu", i);
        (void)snprintf(full, sizeof full, "t/%s", key);
        ONCE(.method = "PUT", .what = what, .at = what == PROXY_DELAY ? 50 : places[i]);
        int r = through->ops->create(through, key, "ours", 4, &error);
        const bool is_there = fake_get(fake, full, &found);
        const char *why = cairn_error_message(error);
        if (r == 0)
            ck_assert_msg(is_there, "%s: 0, but it is not there", key);
        else if (r != CAIRN_EUNKNOWN && r != CAIRN_EEXIST) /* that: it was doubled */
            ck_assert_msg(!is_there, "%s: %s, but it is there: %s", key, cairn_error_name(r), why);
        if (r == CAIRN_EEXIST)
            ck_assert(what == PROXY_DUPLICATE && is_there);
        if (is_there)
            ck_assert_str_eq((char *)found.data, "ours");
        if (what == PROXY_PASS || what == PROXY_DELAY || what == PROXY_REPLAY)
            ck_assert_int_eq(r, 0);
    }
    ck_assert_uint_eq(proxy_count(proxy, what) >= CRN_COUNT(places), 1);
}
END_TEST

/* What may be repeated is repeated until it is there, once and right. */
START_TEST(what_may_be_repeated_succeeds)
{
    const enum proxy_what what = (enum proxy_what)_i;
    const uint64_t at = what == PROXY_DELAY || what == PROXY_REPLAY || what == PROXY_HOLD ? 50 : 99;
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const char *keys[] = {"old"};
    ck_assert_int_eq(put_text("old", "will go", NULL), 0);
    for (int i = 0; i < 5; i++) {
        static const char *const methods[] = {"PUT", "GET", "HEAD", "POST", "GET"};
        ONCE(.method = methods[i], .what = what, .at = at);
    }
    int r = put_bytes(through, "k", "bytes", 5, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    r = crn_store_get_bytes(through, "k", 100, &got, &error);
    if (what == PROXY_GARBAGE && r < 0) /* a head of which nothing can be made is none to trust */
        cairn_error_free(CRN_TAKE(error));
    else
        ck_assert_msg(r == 0 && got.size == 5, "%s", cairn_error_message(error));
    r = through->ops->remove(through, keys, 1, &error);
    ck_assert_msg(r == 0 || what == PROXY_GARBAGE, "%s", cairn_error_message(error));
    proxy_clear(proxy);
    ck_assert_int_eq(through->ops->remove(through, keys, 1, NULL), 0);
    expect_stored("k", "bytes");
    expect_stored("old", NULL);
}
END_TEST

/* The second answer is a refusal; the engine, which knows what it wrote, is the one to see through
 * it, and put() compares. */
START_TEST(a_doubled_put_is_our_own)
{
    for (int i = 0; i < 3; i++)
        ONCE(.method = "PUT", .what = PROXY_DUPLICATE);
    ck_assert_int_eq(put_bytes(through, "k", "bytes", 5, NULL), 0);
    expect_stored("k", "bytes");
    /* somebody else's is somebody else's, doubled or not */
    fake_put(fake, "t/l", "theirs");
    ck_assert_int_eq(put_bytes(through, "l", "bytes", 5, NULL), CAIRN_EEXIST);
    ck_assert_int_eq(through->ops->create(through, "l", "ours", 4, NULL), CAIRN_EEXIST);
    expect_stored("l", "theirs");
}
END_TEST

/* What was removed appears again when its request does, and never over what is there by then. */
START_TEST(an_old_request_is_a_ghost)
{
    const char *keys[] = {"gone", "kept"};
    for (int i = 0; i < 2; i++)
        ONCE(.method = "PUT", .in = keys[i], .what = PROXY_REPLAY, .at = PROXY_LATER);
    ck_assert_int_eq(through->ops->create(through, "gone", "old", 3, NULL), 0);
    ck_assert_int_eq(through->ops->create(through, "kept", "old", 3, NULL), 0);
    ck_assert_int_eq(through->ops->remove(through, keys, 2, NULL), 0);
    ck_assert_int_eq(through->ops->create(through, "kept", "new", 3, NULL), 0);
    proxy_release(proxy);
    expect_stored("gone",
                  "old"); /* which is why names are never used again, and logs have a begin */
    expect_stored("kept", "new");
}
END_TEST

/* The request is held back, others pass it, and it comes in the end. */
START_TEST(a_create_comes_after_its_successor)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ONCE(.method = "PUT", .in = "chk1", .what = PROXY_HOLD, .at = PROXY_LATER);
    int r = through->ops->create(through, "chk1", "first", 5, &error);
    expect_error(r, CAIRN_EUNKNOWN, &error, "not known", "'chk1'");
    ck_assert_int_eq(through->ops->create(through, "chk2", "second", 6, NULL), 0);
    expect_stored("chk1", NULL);
    proxy_release(proxy);
    expect_stored("chk1", "first");
    /* and if somebody else had it meanwhile, it is his */
    ONCE(.method = "PUT", .in = "chk3", .what = PROXY_HOLD, .at = PROXY_LATER);
    ck_assert_int_eq(through->ops->create(through, "chk3", "late", 4, NULL), CAIRN_EUNKNOWN);
    ck_assert_int_eq(through->ops->create(through, "chk3", "theirs", 6, NULL), 0);
    proxy_release(proxy);
    expect_stored("chk3", "theirs");
}
END_TEST

/* A line that is dead, but does not say so. */
START_TEST(a_half_open_connection_is_given_up)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const uint64_t start_us = crn_now_us();
    proxy_add(proxy, &(struct proxy_rule){.times = 1000, .what = PROXY_BLACK_HOLE});
    cairn_object_stat stat;
    cairn_store *hasty;
    ck_assert_int_eq(open_through("&retry_ms=1500&request_timeout_ms=300", &hasty, NULL), 0);
    int r = hasty->ops->stat(hasty, "k", &stat, &error);
    expect_error(r, CAIRN_ETIMEOUT, &error, "'k'", NULL);
    ck_assert_uint_lt(crn_now_us() - start_us, 4000000);
    proxy_clear(proxy);
    ck_assert_int_eq(hasty->ops->stat(hasty, "k", &stat, NULL), CAIRN_ENOTFOUND);
    hasty->ops->close(hasty);
}
END_TEST

/* A head that ends too early, in an orderly way, is no answer: a status without the rest of it says
 * nothing. */
START_TEST(half_a_head_is_no_answer)
{
    static const char *const methods[] = {"PUT", "HEAD", "GET", "POST", "DELETE"};
    const char *keys[] = {"gone"};
    for (uint64_t at = 1; at < 130; at += 16) {
        char key[16];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_BUFFER struct cairn_buffer got = {0};
        (void)snprintf(key, sizeof key, "k%u", (unsigned)at);
        proxy_clear(proxy);
        for (size_t i = 0; i < CRN_COUNT(methods); i++)
            ONCE(.method = methods[i], .what = PROXY_TRUNCATE, .at = at);
        int r = put_bytes(through, key, "bytes", 5, &error);
        if (r == 0)
            r = crn_store_get_bytes(through, key, 100, &got, &error);
        if (r == 0)
            r = through->ops->remove(through, keys, 1, &error);
        ck_assert_msg(r == 0, "after %u bytes: %s", (unsigned)at, cairn_error_message(error));
        ck_assert_uint_eq(got.size, 5);
        proxy_clear(proxy);
        ONCE(.method = "GET", .what = PROXY_TRUNCATE, .at = at);
        uint64_t count = 0;
        r = through->ops->list(through, "", count_key, &count, &error);
        ck_assert_msg(r == 0, "after %u bytes: %s", (unsigned)at, cairn_error_message(error));
        ck_assert_uint_eq(count, at / 16 + 1);
    }
}
END_TEST

/* Kept connections that a box between has forgotten. */
START_TEST(connections_that_are_gone_are_made_anew)
{
    for (int i = 0; i < 5; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%d", i);
        ck_assert_int_eq(put_bytes(through, key, "bytes", 5, NULL), 0);
        proxy_cut_all(proxy);
        ck_assert_int_eq(through->ops->create(through, key + 1, "text", 4, NULL), 0);
        proxy_cut_all(proxy);
    }
}
END_TEST

/* ---- large objects ---- */

START_TEST(parts_come_whole_through_all_of_it)
{
    enum { SIZE = (11 << 20) + 5 };
    const unsigned whats = 1u << PROXY_CUT_REQUEST | 1u << PROXY_CUT_REPLY | 1u << PROXY_TRUNCATE |
                           1u << PROXY_DELAY | 1u << PROXY_DUPLICATE | 1u << PROXY_GARBAGE;
    cairn_store *parts;
    CRN_AUTO_FREE uint8_t *data = malloc(SIZE);
    CRN_AUTO_BUFFER struct cairn_buffer found = {0};
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    ck_assert_int_eq(
        open_through("&part_bytes=5MiB&multipart_bytes=5MiB&retry_ms=20000", &parts, NULL), 0);
    unsigned stored = 0;
    for (unsigned i = 0; i < 6; i++) {
        char key[16];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        (void)snprintf(key, sizeof key, "large%u", i);
        proxy_set_chance(proxy, i + 1, 200, whats);
        int r = put_bytes(parts, key, data, SIZE, &error);
        proxy_clear(proxy);
        crn_buf_clear(&found);
        (void)snprintf(key, sizeof key, "t/large%u", i);
        const bool is_there = fake_get(fake, key, &found);
        ck_assert_msg(r != 0 || is_there, "0, but it is not there");
        ck_assert(!is_there || (found.size == SIZE && memcmp(found.data, data, SIZE) == 0));
        stored += r == 0;
    }
    ck_assert_uint_ge(stored, 3);
    uint64_t count;
    ck_assert_int_eq(parts->ops->reap(parts, "", 0, &count, NULL), 0);
    ck_assert_uint_eq(fake_uploads(fake), 0);
    parts->ops->close(parts);
}
END_TEST

/* ---- a job ---- */

START_TEST(a_job_goes_on)
{
    cairn_store *hasty;
    /* The second time so much goes wrong, and so little is tried again, that checkpoints fail. */
    const bool is_worse = _i;
    ck_assert_int_eq(open_through(is_worse ? "&retry_ms=120&request_timeout_ms=100"
                                           : "&retry_ms=3000&request_timeout_ms=300",
                                  &hasty, NULL),
                     0);
    const char *seed = getenv("CAIRN_SEED");
    const struct storm storm = {
        .proxy = proxy,
        .store = hasty,
        .direct = store,
        .seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)_i + 1,
        .of_thousand = is_worse ? 300 : 100,
        .checkpoints = 16,
        .on_disk = false,
    };
    storm_run(&storm);
    hasty->ops->close(hasty);
}
END_TEST

/* ---- ghosts in a job's log ---- */

struct small_job {
    struct fixture f;
    struct subject s;
    struct oracle oracle;
    uint64_t random;
};

static void small_job_init(struct small_job *job, cairn_store *to)
{
    *job = (struct small_job){.random = 11};
    fixture_init(&job->f, false);
    job->f.options.store = to;
    job->f.options.tolerable_failures = 0; /* any number */
    job->f.options.checkpoint_timeout_ms = 1500;
    oracle_init(&job->oracle);
    ck_ok(subject_open(&job->f, "job", &job->s, reterr));
}

static int small_job_checkpoint(struct small_job *job)
{
    oracle_mutate(&job->oracle, &job->s, &job->random, 15);
    return subject_checkpoint(&job->s, false, NULL, NULL);
}

static void small_job_reopen(struct small_job *job)
{
    subject_close(&job->s);
    ck_ok(subject_open(&job->f, "job", &job->s, reterr));
    const char *why = oracle_compare(&job->oracle, &job->s);
    ck_assert_msg(why == NULL, "%s", why);
}

static void small_job_end(struct small_job *job)
{
    ck_assert_int_eq(small_job_checkpoint(job), 0);
    small_job_reopen(job);
    subject_close(&job->s);
    ck_ok(cairn_gc(store, "job", NULL, NULL, reterr));
    store_check_tidy(store, "job");
    fixture_done(&job->f);
}

/* Everything that was ever put is put once more, when most of it has been removed: manifests that
 * were subsumed, and what they referenced. */
START_TEST(a_log_that_comes_again_is_ignored)
{
    struct small_job job;
    small_job_init(&job, through);
    proxy_add(proxy, &(struct proxy_rule){.method = "PUT",
                                          .in = "/job/",
                                          .times = 10000,
                                          .what = PROXY_REPLAY,
                                          .at = PROXY_LATER});
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(small_job_checkpoint(&job), 0);
    const size_t before = store_count(store, "job/");
    proxy_clear(proxy);
    proxy_release(proxy);
    ck_assert(store_has(store, "job/MANIFEST-chk2"));
    ck_assert_uint_gt(store_count(store, "job/"), before);
    ck_assert_int_eq(small_job_checkpoint(&job), 0);
    small_job_reopen(&job);
    small_job_end(&job);
    ck_assert(!store_has(store, "job/MANIFEST-chk2"));
}
END_TEST

static void *release(void *arg)
{
    while (proxy_count(proxy, PROXY_DELAY) == 0)
        crn_sleep_us(1000);
    proxy_release(proxy);
    return arg;
}

/* A commit is held back until its writer has given up and been replaced. If it comes before the
 * successor's fence, it is a checkpoint, and the successor begins with it; if after, it is none. */
START_TEST(a_commit_meets_the_next_writer)
{
    const bool is_first = _i;
    struct small_job job;
    struct oracle last;
    pthread_t thread;
    cairn_store *hasty;
    ck_assert_int_eq(open_through("&retry_ms=400&request_timeout_ms=300", &hasty, NULL), 0);
    small_job_init(&job, hasty);
    ck_assert_int_eq(small_job_checkpoint(&job), 0);
    last = job.oracle;
    /* the newest id is 2: the fence was 1 */
    proxy_add(proxy, &(struct proxy_rule){.method = "PUT",
                                          .in = "MANIFEST-chk3",
                                          .times = 10000,
                                          .what = PROXY_HOLD,
                                          .at = PROXY_LATER});
    ck_assert_int_lt(small_job_checkpoint(&job), 0);
    subject_close(&job.s);
    proxy_clear(proxy);
    ck_assert(!store_has(store, "job/MANIFEST-chk3"));
    if (is_first) {
        ONCE(.method = "PUT", .in = "MANIFEST-chk3", .what = PROXY_DELAY, .at = 200);
        ck_assert_int_eq(crn_thread_start(&thread, "release", release, NULL, NULL), 0);
    }
    ck_ok(subject_open(&job.f, "job", &job.s, reterr));
    if (is_first)
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    else
        job.oracle = last;
    const char *why = oracle_compare(&job.oracle, &job.s);
    ck_assert_msg(why == NULL, "%s", why);
    proxy_release(proxy);
    small_job_end(&job);
    hasty->ops->close(hasty);
}
END_TEST

/* The objects of a savepoint that failed are removed, but some of them come only then: one
 * collection finds them, far away from the job's own directory (P6). */
START_TEST(what_comes_late_of_a_savepoint_is_collected)
{
    struct small_job job;
    cairn_store *hasty;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    struct pump pump = {0};
    ck_assert_int_eq(open_through("&retry_ms=300&request_timeout_ms=200", &hasty, NULL), 0);
    small_job_init(&job, hasty);
    ck_assert_int_eq(small_job_checkpoint(&job), 0);
    proxy_add(proxy, &(struct proxy_rule){.method = "PUT",
                                          .in = "/savepoint-job-",
                                          .times = 10000,
                                          .what = PROXY_HOLD,
                                          .at = PROXY_LATER});
    options.target_store = hasty;
    pump_start(&pump, &job.s.tasks[1], SUBJECT_TASKS - 1);
    int r = cairn_task_savepoint(job.s.tasks[0], &options, NULL, NULL);
    pump_stop(&pump);
    ck_assert_int_eq(r, CAIRN_EABORTED);
    proxy_clear(proxy);
    ck_assert_uint_eq(store_count(store, "savepoint-job-"), 0);
    ck_assert_int_eq(small_job_checkpoint(&job), 0);
    proxy_release(proxy);
    ck_assert_uint_gt(store_count(store, "savepoint-job-"), 0);
    ck_ok(cairn_gc(store, "job", NULL, NULL, reterr));
    ck_assert_uint_eq(store_count(store, "savepoint-job-"), 0);
    small_job_end(&job);
    hasty->ops->close(hasty);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_proxy");
    TCase *tcase = tcase_create("proxy");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_create_tells_the_truth, PROXY_PASS, PROXY_ANSWER);
    tcase_add_loop_test(tcase, what_may_be_repeated_succeeds, PROXY_PASS, PROXY_ANSWER);
    tcase_add_test(tcase, a_doubled_put_is_our_own);
    tcase_add_test(tcase, an_old_request_is_a_ghost);
    tcase_add_test(tcase, a_create_comes_after_its_successor);
    tcase_add_test(tcase, a_half_open_connection_is_given_up);
    tcase_add_test(tcase, half_a_head_is_no_answer);
    tcase_add_test(tcase, connections_that_are_gone_are_made_anew);
    tcase_add_test(tcase, parts_come_whole_through_all_of_it);
    tcase_add_test(tcase, a_log_that_comes_again_is_ignored);
    tcase_add_loop_test(tcase, a_commit_meets_the_next_writer, 0, 2);
    tcase_add_test(tcase, what_comes_late_of_a_savepoint_is_collected);
    suite_add_tcase(suite, tcase);
    TCase *storm = tcase_create("storm");
    tcase_set_timeout(storm, 60);
    tcase_add_checked_fixture(storm, setup, teardown);
    tcase_add_loop_test(storm, a_job_goes_on, 0, 2);
    suite_add_tcase(suite, storm);
    return crn_test_run(suite);
}
