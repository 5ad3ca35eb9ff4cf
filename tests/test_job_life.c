/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves how jobs end and are replaced (P7, P11): calls in the wrong order, tasks and waiters in
 * use while the job closes, a second writer. Method: threads that wait in every call that can wait,
 * while another one ends what they wait for. The fake backend over the memory store; iterators and
 * shared memory again with RocksDB over a directory.
 */
#include "tests/support/fake_state.h"
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;

static void setup_memory(void)
{
    fixture_init(&f, false);
}

static void setup_disk(void)
{
    fixture_init(&f, true);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Calls in the wrong order
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_calls_before_start_and_after)
{
    cairn_job *job;
    cairn_task *task, *second;
    cairn_event event;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "no task");
    options.parallelism = 2;
    ck_ok(cairn_task_open(job, "op", &options, &task, reterr));
    ck_fails(cairn_task_open(job, "op", &options, &second, reterr), CAIRN_EEXIST, "open already");
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "subtask 1 is not open");
    ck_fails(cairn_task_poll(task, &event, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_task_wait(task, 5, &event, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_task_checkpoint(task, NULL, NULL, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_job_trigger(job, NULL, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_job_checkpoint(job, NULL, NULL, reterr), CAIRN_EINVAL, "not started");
    options.subtask = 1;
    options.max_parallelism = 64;
    ck_ok(cairn_task_open(job, "op", &options, &second, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "different parallelism");
    cairn_task_close(second); /* before the start that costs nothing */
    options.max_parallelism = 0;
    ck_ok(cairn_task_open(job, "op", &options, &second, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "started before");
    ck_fails(cairn_task_open(job, "late", NULL, &task, reterr), CAIRN_EINVAL, "has started");
    ck_assert_int_eq(cairn_job_last_checkpoint(job, &info), 0);
    ck_assert_int_eq(cairn_job_restored(job, &info), 0);
    cairn_job_close(job);
    cairn_task_close(task);
    cairn_task_close(second);
    cairn_job_close(NULL);
    cairn_task_close(NULL);
}
END_TEST

/* The record that was restored from is subsumed by now: a late task must not look into it. */
START_TEST(test_a_late_task_of_a_restored_job)
{
    struct subject s;
    cairn_task *late;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = 5;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, true, NULL, reterr));
    ck_fails(cairn_task_open(s.job, "words", &options, &late, reterr), CAIRN_EINVAL, "has started");
    subject_close(&s);
}
END_TEST

START_TEST(test_a_task_closed_while_the_job_runs)
{
    struct subject s;
    struct pump pump = {0};
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr)); /* an attempt waits for it */
    cairn_task_close(s.tasks[2]);
    s.tasks[2] = NULL;
    pump_start(&pump, s.tasks, 2);
    ck_fails(cairn_job_checkpoint(s.job, NULL, NULL, reterr), CAIRN_EABORTED,
             "operator 'tally' subtask 0 was closed");
    ck_fails(cairn_job_checkpoint(s.job, NULL, NULL, reterr), CAIRN_EABORTED,
             "operator 'tally' subtask 0 was closed");
    pump_stop(&pump);
    ck_assert_int_eq(pump.code, 0); /* the others may go on working */
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* That the attempt is over cannot be stored: this must not hold up who closes the task, nor the
 * job. */
START_TEST(test_a_task_closed_while_the_store_is_out)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    fixture_arm(&f,
                (struct crn_fault_plan){
                    .ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .at = 1, .and_after = true});
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    cairn_event event = {0};
    ck_ok(cairn_task_wait(s.tasks[0], 5000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_BARRIER); /* its uploads fail from now on */
    while (!crn_fault_store_fired(f.store))
        crn_sleep_us(1000);
    for (unsigned i = 0; i < SUBJECT_TASKS; i++)
        cairn_task_close(CRN_TAKE(s.tasks[i]));
    subject_close(&s);
    fixture_disarm(&f, CRN_FAULT_ANY);
    ck_ok(subject_open(&f, "job", &s, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Closing under load
 * ------------------------------------------------------------------------------------------ */

struct sleeper {
    struct subject *s;
    unsigned task;
    int r;
    pthread_t thread;
};

static void *sleep_in_wait(void *arg)
{
    struct sleeper *sleeper = arg;
    cairn_event event;
    do
        sleeper->r = cairn_task_wait(sleeper->s->tasks[sleeper->task], UINT64_MAX, &event, NULL);
    while (sleeper->r == 0);
    return NULL;
}

static void *sleep_in_job_checkpoint(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->r = cairn_job_checkpoint(sleeper->s->job, NULL, NULL, NULL);
    return NULL;
}

static void *sleep_in_task_checkpoint(void *arg)
{
    struct sleeper *sleeper = arg;
    cairn_task *task = sleeper->s->tasks[sleeper->task];
    while ((sleeper->r = cairn_task_checkpoint(task, NULL, NULL, NULL)) == CAIRN_EABORTED)
        continue;
    return NULL;
}

static void *use_until_closed(void *arg)
{
    struct sleeper *sleeper = arg;
    sleep_in_wait(sleeper);
    cairn_task_close(sleeper->s->tasks[sleeper->task]); /* as a service's worker would */
    sleeper->s->tasks[sleeper->task] = NULL;
    return NULL;
}

/* One thread in each call that waits, and a checkpoint that nobody lets end. */
START_TEST(test_closing_ends_every_wait)
{
    for (int round = 0; round < 10; round++) {
        struct subject s;
        struct sleeper sleepers[4] = {
            {.s = &s, .task = 0}, {.s = &s, .task = 1}, {.s = &s}, {.s = &s}};
        void *(*const mains[4])(void *) = {sleep_in_wait, use_until_closed, sleep_in_job_checkpoint,
                                           sleep_in_job_checkpoint};
        ck_ok(subject_open(&f, "job", &s, reterr));
        for (size_t i = 0; i < CRN_COUNT(sleepers); i++)
            ck_ok(crn_thread_start(&sleepers[i].thread, "test-sleeper", mains[i], &sleepers[i],
                                   reterr));
        crn_sleep_us(2000 * (uint64_t)(round % 4));
        cairn_job *job = s.job;
        if (round % 4 == 0)
            crn_sleep_us(20000); /* all of them certainly wait */
        cairn_job_close(job);
        for (size_t i = 0; i < CRN_COUNT(sleepers); i++) {
            ck_assert_int_eq(pthread_join(sleepers[i].thread, NULL), 0);
            int r = sleepers[i].r;
            ck_assert_msg(r == CAIRN_ECLOSED || (i >= 2 && r == CAIRN_EABORTED),
                          "sleeper %zu got %s", i, cairn_error_name(r));
        }
        cairn_task_close(s.tasks[0]);
        cairn_task_close(s.tasks[2]);
    }
}
END_TEST

/* A task that takes its time to open. */
struct slow_open {
    cairn_job *job;
    cairn_task *task;
    pthread_t thread;
};
static atomic_bool slow_began, slow_ended;

static int open_slowly(const struct crn_state_config *config, struct crn_state_db **ret_db,
                       cairn_error **reterr)
{
    atomic_store(&slow_began, true);
    crn_sleep_us(100000);
    int r = crn_fake_state_open(config, ret_db, reterr);
    atomic_store(&slow_ended, true);
    return r;
}

static void *slow_open_main(void *arg)
{
    struct slow_open *slow = arg;
    ck_ok(cairn_task_open(slow->job, "op", NULL, &slow->task, reterr));
    return NULL;
}

/* It needs the store and the local directory until it is through, whoever owns them. */
START_TEST(test_closing_waits_for_a_task_that_opens)
{
    struct slow_open slow = {0};
    cairn_event event;
    f.backend.open = open_slowly;
    ck_ok(fixture_open_job(&f, "job", &slow.job, reterr));
    ck_ok(crn_thread_start(&slow.thread, "opener", slow_open_main, &slow, reterr));
    while (!atomic_load(&slow_began))
        crn_sleep_us(1000);
    cairn_job_close(slow.job);
    ck_assert(atomic_load(&slow_ended));
    ck_assert_int_eq(pthread_join(slow.thread, NULL), 0);
    ck_fails(cairn_task_poll(slow.task, &event, reterr), CAIRN_ECLOSED, "closed");
    cairn_task_close(slow.task);
}
END_TEST

START_TEST(test_closing_ends_a_tasks_own_checkpoint)
{
    struct subject s;
    struct sleeper sleeper = {.s = &s, .task = 1};
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(crn_thread_start(&sleeper.thread, "test-sleeper", sleep_in_task_checkpoint, &sleeper,
                           reterr));
    crn_sleep_us(20000);
    cairn_job_close(s.job);
    ck_assert_int_eq(pthread_join(sleeper.thread, NULL), 0);
    ck_assert_int_eq(sleeper.r, CAIRN_ECLOSED);
    s.job = NULL;
    subject_close(&s);
}
END_TEST

/* Handles of a closed job: every call says so, none crashes. */
START_TEST(test_handles_outlive_their_job)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 4;
    cairn_event event;
    cairn_iterator *iterator;
    cairn_entry entry;
    const void *data;
    size_t size;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 60);
    ck_ok(cairn_task_iterate(s.tasks[0], "count", &iterator, reterr));
    ck_ok(cairn_iterator_next(iterator, &entry, reterr));
    ck_assert_int_eq(cairn_task_set_key_int64(s.tasks[2], 0), 0);
    ck_ok(cairn_map_get(s.names, "name 1", 6, &data, &size, reterr)); /* a pin in the database */
    cairn_job_close(s.job);
    s.job = NULL;
    ck_fails(cairn_iterator_next(iterator, &entry, reterr), CAIRN_ECLOSED, "");
    cairn_iterator_close(iterator);
    ck_fails(cairn_task_poll(s.tasks[0], &event, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_task_wait(s.tasks[0], 1000, &event, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_value_put_int64(s.count[0], 1, reterr), CAIRN_ECLOSED, "");
    ck_fails(cairn_map_get(s.names, "name 1", 6, &data, &size, reterr), CAIRN_ECLOSED, "");
    ck_assert_int_eq(cairn_task_set_key_int64(s.tasks[0], 1), CAIRN_ECLOSED);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Two writers
 * ------------------------------------------------------------------------------------------ */

/* P7: who was replaced learns it at its next checkpoint, by every way of asking, for ever. */
START_TEST(test_a_second_writer_fences_the_first)
{
    struct oracle oracle;
    struct subject first, second;
    struct fixture elsewhere = f;
    uint64_t random = 6;
    char who[64];
    cairn_event event;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    elsewhere.options.local_dir = local_dir;
    (void)snprintf(who, sizeof who, "taken over by process %ld on '", (long)getpid());
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &first, reterr));
    oracle_mutate(&oracle, &first, &random, 20);
    ck_ok(subject_checkpoint(&first, false, NULL, reterr));
    ck_ok(subject_open(&elsewhere, "job", &second, reterr));
    ck_assert_ptr_null(oracle_compare(&oracle, &second));
    ck_ok(
        cairn_task_poll(first.tasks[0], &event, reterr)); /* nothing is lost: it may not know yet */
    ck_fails(subject_checkpoint(&first, false, NULL, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_task_poll(first.tasks[1], &event, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_task_wait(first.tasks[2], 1000, &event, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_job_trigger(first.job, NULL, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_job_checkpoint(first.job, NULL, NULL, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_task_poll(first.tasks[1], &event, reterr), CAIRN_EFENCED, who);
    oracle_mutate(&oracle, &second, &random, 20);
    ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    subject_close(&first);
    ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    subject_close(&second);
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr)); /* what the zombie had uploaded */
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* The same when the successor's fence is long gone: the newest record tells. */
START_TEST(test_a_writer_that_was_left_behind)
{
    struct subject first, second;
    struct fixture elsewhere = f;
    char who[64];
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    elsewhere.options.local_dir = local_dir;
    (void)snprintf(who, sizeof who, "taken over by process %ld on '", (long)getpid());
    ck_ok(subject_open(&f, "job", &first, reterr));
    ck_ok(subject_open(&elsewhere, "job", &second, reterr)); /* id 2 is its fence */
    for (int i = 0; i < 2; i++)
        ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    ck_assert(!store_has(f.store, "job/MANIFEST-chk2"));
    ck_fails(subject_checkpoint(&first, false, NULL, reterr), CAIRN_EFENCED, who);
    subject_close(&first);
    ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    subject_close(&second);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Around the job
 * ------------------------------------------------------------------------------------------ */

struct log_book {
    struct crn_mutex lock;
    unsigned lines, complete, bad;
};

static void note_line(void *context, const cairn_log_line *line)
{
    struct log_book *book = context;
    crn_mutex_lock(&book->lock);
    book->lines++;
    book->complete += line->level == CAIRN_LOG_INFO && strcmp(line->component, "checkpoint") == 0 &&
                      strstr(line->message, "complete") != NULL;
    book->bad += strchr(line->message, '\n') != NULL || line->level > CAIRN_LOG_INFO;
    crn_mutex_unlock(&book->lock);
}

START_TEST(test_log_lines)
{
    struct log_book book = {0};
    struct subject s;
    crn_mutex_init(&book.lock, CRN_RANK_LEAF);
    f.options.log = note_line;
    f.options.log_context = &book;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_assert_uint_eq(book.complete, 2);
    ck_assert_uint_eq(book.bad, 0);
    unsigned lines = book.lines;
    f.options.log_level = CAIRN_LOG_ERROR;
    ck_ok(subject_open(&f, "job", &s, reterr));
    subject_close(&s);
    ck_assert_uint_eq(book.lines, lines);
    crn_mutex_done(&book.lock);
}
END_TEST

/* Several jobs in one process on one memory budget, which may be let go as soon as they are open.
 */
START_TEST(test_jobs_that_share_memory)
{
    enum { JOBS = 3 };
    struct subject s[JOBS];
    struct oracle oracles[JOBS];
    char *dirs[JOBS];
    cairn_memory *memory;
    uint64_t random = 12;
    ck_ok(cairn_memory_new(16 << 20, &memory, reterr));
    f.options.memory = memory;
    for (unsigned i = 0; i < JOBS; i++) {
        const char name[] = {(char)('a' + i), 0};
        f.options.local_dir = dirs[i] = fixture_dir(&f, name);
        oracle_init(&oracles[i]);
        ck_ok(subject_open(&f, name, &s[i], reterr));
    }
    f.options.local_dir = f.local_dir;
    cairn_memory_release(memory);
    f.options.memory = NULL;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < JOBS; i++) {
            oracle_mutate(&oracles[i], &s[i], &random, 30);
            ck_ok(subject_checkpoint(&s[i], false, NULL, reterr));
        }
    for (unsigned i = 0; i < JOBS; i++) {
        const char name[] = {(char)('a' + i), 0};
        subject_close(&s[i]);
        oracle_check_store(&oracles[i], &f, f.store, name);
        free(dirs[i]);
    }
}
END_TEST

static void add_to_both(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_a_late_task_of_a_restored_job);
    tcase_add_test(tcase, test_handles_outlive_their_job);
    tcase_add_test(tcase, test_a_second_writer_fences_the_first);
    tcase_add_test(tcase, test_a_writer_that_was_left_behind);
    tcase_add_test(tcase, test_jobs_that_share_memory);
}

int main(void)
{
    Suite *suite = suite_create("job life");
    TCase *tcase = tcase_create("memory");
    tcase_add_checked_fixture(tcase, setup_memory, teardown);
    add_to_both(tcase);
    tcase_add_test(tcase, test_calls_before_start_and_after);
    tcase_add_test(tcase, test_a_task_closed_while_the_job_runs);
    tcase_add_test(tcase, test_a_task_closed_while_the_store_is_out);
    tcase_add_test(tcase, test_closing_ends_every_wait);
    tcase_add_test(tcase, test_closing_waits_for_a_task_that_opens);
    tcase_add_test(tcase, test_closing_ends_a_tasks_own_checkpoint);
    tcase_add_test(tcase, test_log_lines);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("disk");
    tcase_add_checked_fixture(tcase, setup_disk, teardown);
    add_to_both(tcase);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
