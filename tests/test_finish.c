/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn.h promises of tasks whose input has ended, over all state backends:
 *   - their state cannot be changed or read any more, and every call says why;
 *   - checkpoints and savepoints hold it as it was, while their thread polls for nothing, also when
 * all tasks have finished; manifests tell which have;
 *   - their events come, but no barrier;
 *   - a task that is restored from it has that state, and goes on.
 * A task that finishes while others write and checkpoints are taken loses nothing, whatever the
 * moment.
 */
#include "tests/support/followers.h"
#include "tests/support/oracle.h"

#include "base/file.h"
#include "cairn/inspect.h"

#include <string.h>

enum kind { FAKE, ROCKSDB, HEAP, KINDS };

static struct fixture f;
static struct subject s;
static struct oracle oracle;
static uint64_t seed;

static void init(enum kind kind)
{
    fixture_init(&f, kind != FAKE);
    if (kind == HEAP)
        f.backend = crn_heap_backend;
    oracle_init(&oracle);
    seed = 3;
}

static void setup(void)
{
    init(FAKE);
}

static void teardown(void)
{
    if (s.job != NULL)
        subject_close(&s);
    fixture_done(&f);
}

static void open_job(void)
{
    ck_ok(subject_open(&f, "job", &s, reterr));
}

static void mutate(void)
{
    oracle_mutate(&oracle, &s, &seed, 60);
}

static void check_state(void)
{
    const char *why = oracle_compare(&oracle, &s);
    ck_assert_msg(why == NULL, "%s", why);
}

static void reopen(void)
{
    subject_close(&s);
    store_check_tidy(f.store, "job");
    open_job();
    check_state();
}

/* Which subtasks the newest checkpoint, or a savepoint's directory, says have finished. */
static unsigned finished_in(cairn_store *store, const char *name, uint64_t id)
{
    cairn_snapshot *snapshot = NULL;
    unsigned finished = 0, bit = 1;
    const cairn_subtask_info *subtask;
    ck_ok(cairn_snapshot_open(store, name, id, &snapshot, reterr));
    for (size_t o = 0; cairn_snapshot_operator(snapshot, o) != NULL; o++)
        for (size_t i = 0; (subtask = cairn_snapshot_subtask(snapshot, o, i)) != NULL; i++) {
            finished |= subtask->is_finished ? bit : 0;
            bit <<= 1;
        }
    cairn_snapshot_close(snapshot);
    return finished;
}

/* "tally" is before "words" in a manifest. */
enum { TALLY = 1, WORDS_0 = 2, WORDS_1 = 4 };

/* ------------------------------------------------------------------------------------------ *
 * Its state
 * ------------------------------------------------------------------------------------------ */

START_TEST(its_state_is_left_alone)
{
    cairn_task *words, *tally;
    cairn_iterator *open_one = NULL, *another = NULL;
    cairn_value *value = NULL;
    cairn_operator_list *list = NULL;
    cairn_entry entry;
    uint8_t bytes[8] = {0};
    open_job();
    words = s.tasks[0];
    tally = s.tasks[SUBJECT_WORDS];
    mutate();
    ck_ok(cairn_task_iterate(words, "count", &open_one, reterr));
    ck_ok(cairn_task_finish(words, reterr));
    ck_ok(cairn_task_finish(words, reterr));
    ck_ok(cairn_task_finish(tally, reterr));
    static const char has_finished[] = "operator 'words' subtask 0 has finished";
    int64_t key = 0;
    while (subject_of_key(key) != 0)
        key++;
    ck_assert_int_eq(cairn_task_set_key_int64(words, key), CAIRN_EINVAL);
    ck_fails(cairn_value_put_int64(s.count[0], 1, reterr), CAIRN_EINVAL, has_finished);
    ck_assert_int_eq(cairn_task_set_namespace(words, "a", 1), CAIRN_EINVAL);
    ck_fails(cairn_list_add_int64(s.events[0], 1, reterr), CAIRN_EINVAL, has_finished);
    ck_fails(cairn_value_state(words, "more", CAIRN_INT64, NULL, &value, reterr), CAIRN_EINVAL,
             has_finished);
    ck_fails(cairn_operator_list_state(words, "more", CAIRN_SPLIT, CAIRN_INT64, &list, reterr),
             CAIRN_EINVAL, has_finished);
    ck_fails(cairn_task_iterate(words, "count", &another, reterr), CAIRN_EINVAL, has_finished);
    ck_fails(cairn_iterator_next(open_one, &entry, reterr), CAIRN_ECLOSED, "");
    cairn_iterator_close(open_one);
    ck_fails(cairn_operator_list_clear(s.offset, reterr), CAIRN_EINVAL, "has finished");
    ck_fails(cairn_operator_list_add_int64(s.offset, 1, reterr), CAIRN_EINVAL, "has finished");
    ck_fails(cairn_broadcast_put(s.rules, bytes, 8, bytes, 8, reterr), CAIRN_EINVAL,
             "has finished");
    ck_fails(cairn_broadcast_remove(s.rules, bytes, 8, reterr), CAIRN_EINVAL, "has finished");
    cairn_task_stats stats = CAIRN_TASK_STATS_INIT;
    ck_ok(cairn_task_get_stats(words, &stats, reterr));
    ck_ok(cairn_task_checkpoint(s.tasks[1], NULL, NULL, reterr));
    reopen();
}
END_TEST

START_TEST(only_a_task_that_runs_finishes)
{
    struct followers followers;
    cairn_job *job = NULL;
    cairn_task *task = NULL;
    ck_fails(cairn_task_finish(NULL, reterr), CAIRN_EINVAL, "NULL");
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "one", NULL, &task, reterr));
    ck_fails(cairn_task_finish(task, reterr), CAIRN_EINVAL, "not started");
    cairn_job_close(job);
    ck_fails(cairn_task_finish(task, reterr), CAIRN_ECLOSED, "closed");
    cairn_task_close(task);
    open_job();
    followers_start(&followers, &s);
    ck_ok(cairn_job_cancel(s.job, reterr));
    followers_wait(&followers);
    ck_fails(cairn_task_finish(s.tasks[0], reterr), CAIRN_ECANCELED, "cancelled");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Checkpoints of it
 * ------------------------------------------------------------------------------------------ */

/* Nobody polls the two that have finished. */
START_TEST(checkpoints_hold_its_state)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    teardown();
    init((enum kind)(_i / 2));
    const bool is_after_checkpoint = _i % 2 == 1;
    open_job();
    mutate();
    if (is_after_checkpoint)
        ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    mutate();
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    ck_ok(cairn_task_finish(s.tasks[SUBJECT_WORDS], reterr));
    for (int i = 0; i < 3; i++)
        ck_ok(cairn_task_checkpoint(s.tasks[1], NULL, &info, reterr));
    ck_assert_uint_eq(finished_in(f.store, "job", info.id), TALLY | WORDS_0);
    reopen();
    mutate(); /* it runs again */
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_uint_eq(finished_in(f.store, "job", info.id), 0);
    reopen();
}
END_TEST

START_TEST(savepoints_hold_its_state)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_store *target = NULL;
    teardown();
    init((enum kind)(_i / 2));
    ck_ok(cairn_store_open("memory:", &target, reterr));
    options.format = _i % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    options.target_store = target;
    open_job();
    mutate();
    for (size_t i = 0; i < SUBJECT_TASKS; i++)
        ck_ok(cairn_task_finish(s.tasks[i], reterr));
    ck_ok(cairn_savepoint(s.job, &options, &info, reterr));
    ck_assert_uint_eq(finished_in(target, info.location, info.id), TALLY | WORDS_0 | WORDS_1);
    subject_close(&s);
    f.options.restore_store = target;
    f.options.restore_name = info.location;
    open_job();
    check_state();
    subject_close(&s);
    cairn_store_close(target);
}
END_TEST

/* Nobody polls at all. */
START_TEST(checkpoints_go_on_when_all_have_finished)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    f.options.checkpoint_interval_ms = _i == 0 ? 0 : 10;
    f.options.max_concurrent = 3;
    open_job();
    mutate();
    for (size_t i = 0; i < SUBJECT_TASKS; i++)
        ck_ok(cairn_task_finish(s.tasks[i], reterr));
    for (int i = 0; i < 3; i++) {
        uint64_t last = info.id;
        if (_i == 0)
            ck_ok(cairn_job_checkpoint(s.job, NULL, &info, reterr));
        for (int wait = 0; wait < 5000 && info.id == last; wait++) {
            (void)cairn_job_last_checkpoint(s.job, &info);
            crn_sleep_us(1000);
        }
        ck_assert_uint_gt(info.id, last);
    }
    ck_assert_uint_eq(finished_in(f.store, "job", info.id), TALLY | WORDS_0 | WORDS_1);
    f.options.checkpoint_interval_ms = 0;
    reopen();
}
END_TEST

START_TEST(its_events_come_but_no_barrier)
{
    struct followers followers;
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT, second = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_store *target = NULL;
    CRN_AUTO_FREE char *expected = NULL;
    ck_ok(cairn_store_open("memory:", &target, reterr));
    options.target_store = target;
    options.stop = 1;
    options.drain = 1;
    open_job();
    ck_ok(subject_checkpoint(&s, false, &first, reterr));
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    followers_start(&followers, &s);
    ck_ok(cairn_job_checkpoint(s.job, NULL, &second, reterr));
    ck_ok(cairn_savepoint(s.job, &options, &info, reterr));
    followers_wait(&followers);
    ck_ok(crn_str_printf(&expected, reterr, "completed %llu, drain %llu, stopped %llu",
                         (unsigned long long)second.id, (unsigned long long)info.id,
                         (unsigned long long)info.id));
    CRN_AUTO_FREE char *story = follower_story(&followers.each[0]);
    ck_assert_str_eq(story, expected);
    ck_assert_int_eq(followers.each[0].code, CAIRN_ECLOSED);
    subject_close(&s);
    cairn_store_close(target);
}
END_TEST

START_TEST(it_can_ask_for_a_checkpoint)
{
    struct pump pump = {0};
    cairn_event event;
    open_job();
    mutate();
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    pump_start(&pump, &s.tasks[1], SUBJECT_TASKS - 1);
    ck_ok(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr));
    pump_stop(&pump);
    ck_ok(cairn_task_wait(s.tasks[0], 1000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_ok(cairn_task_wait(s.tasks[0], 1, &event, reterr)); /* nothing is due: it waits */
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    reopen();
}
END_TEST

/* The barrier was asked for, but not taken: the driver takes it over. */
START_TEST(a_barrier_that_is_due_is_taken_over)
{
    cairn_event event;
    struct pump pump = {0};
    open_job();
    mutate();
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    pump_start(&pump, &s.tasks[1], SUBJECT_TASKS - 1);
    for (int i = 0; i < 5000 && !(atomic_load(&s.tasks[0]->runtime->pending) & CRN_PENDING_BARRIER);
         i++)
        crn_sleep_us(1000);
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    ck_ok(cairn_task_wait(s.tasks[0], 10000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    pump_stop(&pump);
    ck_assert_uint_eq(finished_in(f.store, "job", event.checkpoint_id), WORDS_0);
    reopen();
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The last callback
 * ------------------------------------------------------------------------------------------ */

struct source {
    uint64_t calls, last_id;
    int answer;
    cairn_operator_list *position;
};

static int store_position(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct source *source = context;
    (void)task;
    source->calls++;
    source->last_id = checkpoint_id;
    if (source->answer < 0)
        return source->answer;
    CRN_TRY(cairn_operator_list_clear(source->position, NULL));
    return cairn_operator_list_add_int64(source->position, (int64_t)source->calls, NULL);
}

static cairn_task *open_source(struct source *source, cairn_job **ret_job)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_task *task = NULL;
    options.before_barrier = store_position;
    options.context = source;
    ck_ok(fixture_open_job(&f, "job", ret_job, reterr));
    ck_ok(cairn_task_open(*ret_job, "source", &options, &task, reterr));
    ck_ok(cairn_operator_list_state(task, "position", CAIRN_SPLIT, CAIRN_INT64, &source->position,
                                    reterr));
    ck_ok(cairn_job_start(*ret_job, reterr));
    return task;
}

/* A source that stores its position in before_barrier has stored the last one. */
START_TEST(the_callback_has_a_last_turn)
{
    struct source source = {0};
    cairn_job *job = NULL;
    const void *data = NULL;
    size_t size = 0;
    cairn_task *task = open_source(&source, &job);
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    ck_assert_uint_eq(source.calls, 1);
    ck_assert_uint_ne(source.last_id, 0);
    source.answer = CAIRN_EIO;
    ck_fails(cairn_task_finish(task, reterr), CAIRN_EIO, "before_barrier declined");
    source.answer = 0;
    ck_ok(cairn_operator_list_clear(source.position, reterr)); /* it has not finished */
    ck_ok(cairn_task_finish(task, reterr));
    ck_assert_uint_eq(source.calls, 3);
    ck_assert_uint_eq(source.last_id, 0);
    ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr));
    ck_assert_uint_eq(source.calls, 3);
    cairn_job_close(job);
    cairn_task_close(task);
    source = (struct source){0};
    task = open_source(&source, &job);
    ck_assert_int_eq(cairn_operator_list_at(source.position, 0, &data, &size), 0);
    ck_assert_int_eq(cairn_decode_int64(data), 3);
    cairn_job_close(job);
    cairn_task_close(task);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * At any moment
 * ------------------------------------------------------------------------------------------ */

#define RUN_TASKS 4u
#define RUN_RECORDS 1500

/* A thread that counts records under one key of its own, with its position, and finishes. */
struct runner {
    cairn_task *task;
    cairn_value *sum;
    cairn_operator_list *position;
    int64_t first, key;
    pthread_t thread;
};

static int note_position(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct runner *runner = context;
    (void)task, (void)checkpoint_id;
    CRN_TRY(cairn_operator_list_clear(runner->position, NULL));
    return cairn_operator_list_add_int64(runner->position, runner->first, NULL);
}

static void *run(void *arg)
{
    struct runner *runner = arg;
    cairn_event event;
    while (runner->first < RUN_RECORDS) {
        int64_t sum = 0;
        ck_assert_int_eq(cairn_task_set_key_int64(runner->task, runner->key), 0);
        ck_assert_int_ge(cairn_value_get_int64(runner->sum, &sum, NULL), 0);
        ck_assert_int_eq(cairn_value_put_int64(runner->sum, sum + runner->first, NULL), 0);
        runner->first++;
        ck_assert_int_eq(cairn_task_poll(runner->task, &event, NULL), 0);
        if (runner->first % 256 == 0)
            crn_sleep_us(300);
    }
    ck_assert_int_eq(cairn_task_finish(runner->task, NULL), 0);
    return NULL;
}

static void open_runners(struct runner runners[RUN_TASKS], cairn_job **ret_job)
{
    const void *data;
    size_t size;
    ck_ok(fixture_open_job(&f, "job", ret_job, reterr));
    for (uint32_t i = 0; i < RUN_TASKS; i++) {
        struct runner *runner = &runners[i];
        cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
        *runner = (struct runner){0};
        options.parallelism = RUN_TASKS;
        options.subtask = i;
        options.key_type = CAIRN_INT64;
        options.before_barrier = note_position;
        options.context = runner;
        ck_ok(cairn_task_open(*ret_job, "runner", &options, &runner->task, reterr));
        ck_ok(cairn_value_state(runner->task, "sum", CAIRN_INT64, NULL, &runner->sum, reterr));
        ck_ok(cairn_operator_list_state(runner->task, "position", CAIRN_SPLIT, CAIRN_INT64,
                                        &runner->position, reterr));
        if (cairn_operator_list_at(runner->position, 0, &data, &size) == 0)
            runner->first = cairn_decode_int64(data);
        uint8_t key[8];
        do
            cairn_encode_int64(++runner->key, key);
        while (cairn_subtask_of_key(key, sizeof key, RUN_TASKS, 128) != (int)i);
    }
    ck_ok(cairn_job_start(*ret_job, reterr));
}

static void close_runners(struct runner runners[RUN_TASKS], cairn_job *job)
{
    cairn_job_close(job);
    for (size_t i = 0; i < RUN_TASKS; i++)
        cairn_task_close(runners[i].task);
}

/* Each checkpoint is one moment of every task, whether it had finished or not: what its state says
 * is what its position says. Stopped at any of them and started again, they come to the same end.
 */
START_TEST(no_moment_is_the_wrong_one)
{
    struct runner runners[RUN_TASKS];
    cairn_job *job = NULL;
    teardown();
    init((enum kind)_i);
    f.options.checkpoint_interval_ms = 1;
    f.options.max_concurrent = 2;
    for (int life = 0;; life++) {
        bool is_over = true;
        open_runners(runners, &job);
        for (size_t i = 0; i < RUN_TASKS; i++) {
            int64_t sum = 0;
            const int64_t n = runners[i].first;
            ck_assert_int_eq(cairn_task_set_key_int64(runners[i].task, runners[i].key), 0);
            ck_assert_int_ge(cairn_value_get_int64(runners[i].sum, &sum, NULL), 0);
            ck_assert_int_eq(sum, n * (n - 1) / 2);
            is_over &= n == RUN_RECORDS;
        }
        if (is_over || life == 20) {
            close_runners(runners, job);
            ck_assert(is_over);
            return;
        }
        for (size_t i = 0; i < RUN_TASKS; i++)
            ck_ok(crn_thread_start(&runners[i].thread, "runner", run, &runners[i], reterr));
        for (size_t i = 0; i < RUN_TASKS; i++)
            ck_assert_int_eq(pthread_join(runners[i].thread, NULL), 0);
        if (life > 1) /* else it is lost with what came after the last checkpoint */
            ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr));
        close_runners(runners, job);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("finish");
    TCase *tcase = tcase_create("finish");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, its_state_is_left_alone);
    tcase_add_test(tcase, only_a_task_that_runs_finishes);
    tcase_add_loop_test(tcase, checkpoints_hold_its_state, 0, 2 * KINDS);
    tcase_add_loop_test(tcase, savepoints_hold_its_state, 0, 2 * KINDS);
    tcase_add_loop_test(tcase, checkpoints_go_on_when_all_have_finished, 0, 2);
    tcase_add_test(tcase, its_events_come_but_no_barrier);
    tcase_add_test(tcase, it_can_ask_for_a_checkpoint);
    tcase_add_test(tcase, a_barrier_that_is_due_is_taken_over);
    tcase_add_test(tcase, the_callback_has_a_last_turn);
    tcase_add_loop_test(tcase, no_moment_is_the_wrong_one, 0, KINDS);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
