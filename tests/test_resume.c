/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start that is cut short, and the next one: what was downloaded is not downloaded again. The
 * process is killed with SIGKILL at the k-th get of a table, for every k, and the gets of the next
 * start are counted; its state is compared with an oracle (P2, P8). Once the job has started
 * nothing is kept any more. And a start that downloads ends when the job is closed.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "backends/storage/storage.h"
#include "base/file.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static struct fixture f;
static struct oracle stored;
static cairn_store *fixture_store;
/* Over a directory that never links, so that it can be shared with a process that is killed. */
static cairn_store_ops counting_ops;
static int (*real_get)(cairn_store *, const char *, uint64_t, uint64_t, cairn_sink *,
                       cairn_error **);
static atomic_uint gets, kill_at, fail_at;

static int count_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                     cairn_sink *sink, cairn_error **reterr)
{
    unsigned n = strstr(key, "/shared/") != NULL ? atomic_fetch_add(&gets, 1) + 1 : 0;
    if (n > 0 && n == atomic_load(&kill_at))
        (void)raise(SIGKILL);
    if (n > 0 && n == atomic_load(&fail_at))
        return crn_err_fail(reterr, CAIRN_EIO, key, "'%s' fails", key);
    return real_get(store, key, offset, size, sink, reterr);
}

static void setup(void)
{
    struct subject s;
    cairn_store *inner;
    uint64_t random = 11;
    fixture_init(&f, false);
    ck_ok(crn_posix_store_open(f.store_dir, CRN_TRANSFER_COPY, true, &inner, reterr));
    counting_ops = *inner->ops;
    real_get = counting_ops.get;
    counting_ops.get = count_get;
    inner->ops = &counting_ops;
    fixture_store = f.store;
    ck_ok(crn_fault_store_open(inner, &f.store, reterr));
    f.options.store = f.store;
    f.options.transfer_threads = 1;
    f.options.pack_below_bytes = 1;
    oracle_init(&stored);
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (int i = 0; i < 3; i++) {
        oracle_mutate(&stored, &s, &random, 30);
        ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    }
    subject_close(&s);
}

static void teardown(void)
{
    cairn_store_close(fixture_store);
    fixture_done(&f);
}

static bool is_kept_there(void)
{
    CRN_AUTO_FREE char *kept = fixture_dir(&f, "local/fetched");
    return crn_file_is_dir(kept);
}

/* Opens and starts, and compares. @return gets of tables */
static unsigned start(void)
{
    struct subject s;
    atomic_store(&gets, 0);
    ck_ok(subject_open(&f, "job", &s, reterr));
    unsigned n = atomic_load(&gets);
    ck_assert_ptr_null(oracle_compare(&stored, &s));
    ck_assert(!is_kept_there());
    subject_close(&s);
    return n;
}

/* Not as a test does it: nothing is torn down. */
static void start_and_be_killed(unsigned k)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct subject s;
        atomic_store(&gets, 0);
        atomic_store(&kill_at, k);
        (void)subject_open(&f, "job", &s, NULL);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

START_TEST(a_killed_start_is_gone_on_with)
{
    if (_i == 1) { /* several tables in one object */
        struct subject s;
        f.options.pack_below_bytes = 0;
        ck_ok(subject_open(&f, "job", &s, reterr));
        ck_ok(subject_checkpoint(&s, true, NULL, reterr));
        subject_close(&s);
    }
    unsigned all = start();
    ck_assert_uint_ge(all, _i == 1 ? 2 : 4);
    ck_assert_uint_eq(start(), all);
    for (unsigned k = 1; k <= all; k++) {
        start_and_be_killed(k);
        ck_assert(is_kept_there() || k == 1);
        ck_assert_uint_eq(start(), all - (k - 1));
    }
}
END_TEST

/* Killed again and again, always one get further. */
START_TEST(every_start_gets_further)
{
    unsigned all = start();
    for (unsigned k = 1; k < all; k++)
        start_and_be_killed(2);
    ck_assert_uint_eq(start(), 1);
}
END_TEST

/* A start that failed, and was closed in an orderly way, is gone on with as well. */
START_TEST(a_failed_start_is_gone_on_with)
{
    struct subject s;
    unsigned all = start();
    for (unsigned k = 1; k <= all; k++) {
        atomic_store(&gets, 0);
        atomic_store(&fail_at, k);
        ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EIO, "/shared/");
        atomic_store(&fail_at, 0);
        ck_assert_uint_eq(start(), all - (k - 1));
    }
}
END_TEST

/* What is kept for another checkpoint than the one that is chosen goes before it takes up space. */
START_TEST(what_the_chosen_checkpoint_does_not_have_goes)
{
    struct subject s;
    cairn_job *job;
    char **names;
    size_t count;
    CRN_AUTO_FREE char *kept = fixture_dir(&f, "local/fetched");
    start_and_be_killed(3);
    ck_ok(crn_file_list_dir(kept, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_ge(count, 2);
    f.options.start_empty = 1;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    cairn_job_close(job);
    ck_ok(crn_file_list_dir(kept, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_eq(count, 0);
    f.options.start_empty = 0;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_ptr_null(oracle_compare(&stored, &s));
    subject_close(&s);
}
END_TEST

START_TEST(a_file_of_that_name_is_not_ours)
{
    struct subject s;
    CRN_AUTO_FREE char *kept = fixture_dir(&f, "local/fetched");
    ck_ok(crn_file_write_new(kept, "mine", 4, false, reterr));
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EINVAL, "'fetched'");
    ck_assert_int_eq(unlink(kept), 0);
    (void)start();
}
END_TEST

/* Twice as many subtasks: two of them need each table, and it comes once. */
START_TEST(a_table_that_two_subtasks_need_comes_once)
{
    cairn_job *job;
    cairn_task *tasks[2 * SUBJECT_WORDS];
    unsigned all = start();
    atomic_store(&gets, 0);
    f.options.allow_non_restored_state = 1;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    for (uint32_t i = 0; i < CRN_COUNT(tasks); i++) {
        cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
        options.parallelism = CRN_COUNT(tasks);
        options.subtask = i;
        options.key_type = CAIRN_INT64;
        ck_ok(cairn_task_open(job, "words", &options, &tasks[i], reterr));
    }
    ck_assert_uint_ge(atomic_load(&gets), 2);
    ck_assert_uint_le(atomic_load(&gets), all);
    cairn_job_close(job);
    for (size_t i = 0; i < CRN_COUNT(tasks); i++)
        cairn_task_close(tasks[i]);
}
END_TEST

struct opener {
    pthread_t thread;
    cairn_job *job;
    int result;
};

static void *open_words(void *arg)
{
    struct opener *opener = arg;
    cairn_task *task;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = SUBJECT_WORDS;
    options.key_type = CAIRN_INT64;
    opener->result = cairn_task_open(opener->job, "words", &options, &task, NULL);
    return NULL;
}

/* At a byte per second it would take a day. */
START_TEST(closing_the_job_ends_a_download)
{
    struct opener opener = {0};
    f.options.download_bytes_per_sec = 1;
    f.options.transfer_threads = 4;
    ck_ok(fixture_open_job(&f, "job", &opener.job, reterr));
    fixture_disarm(&f, CRN_FAULT_GET);
    ck_ok(crn_thread_start(&opener.thread, "opener", open_words, &opener, reterr));
    /* The first request goes at once, and has booked the time of all others. */
    while (crn_fault_store_calls(f.store) == 0)
        crn_sleep_us(1000);
    cairn_job_close(opener.job);
    ck_assert_int_eq(pthread_join(opener.thread, NULL), 0);
    ck_assert_int_eq(opener.result, CAIRN_ECLOSED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resume");
    TCase *tcase = tcase_create("resume");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_killed_start_is_gone_on_with, 0, 2);
    tcase_add_test(tcase, every_start_gets_further);
    tcase_add_test(tcase, a_failed_start_is_gone_on_with);
    tcase_add_test(tcase, what_the_chosen_checkpoint_does_not_have_goes);
    tcase_add_test(tcase, a_file_of_that_name_is_not_ours);
    tcase_add_test(tcase, a_table_that_two_subtasks_need_comes_once);
    tcase_add_test(tcase, closing_the_job_ends_a_download);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
