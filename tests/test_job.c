/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what a running job promises (P1 to P7) while nothing is damaged: open, start, poll,
 * checkpoint, subsume, abort, close, being replaced. Method: a small job of three subtasks, an
 * oracle beside it, and a store that counts and refuses calls. The fake backend over the memory
 * store; what depends on the backend again with the heap, and with RocksDB over a directory.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

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

static void setup_heap(void)
{
    fixture_init(&f, false);
    f.backend = crn_heap_backend;
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Checkpoints and what comes back
 * ------------------------------------------------------------------------------------------ */

/* Twelve lives of a job, several checkpoints in each: what was checkpointed last comes back, what
 * came after it does not. */
START_TEST(test_round_trips)
{
    struct oracle now, stored;
    uint64_t random = 1 + (uint64_t)_i, last_id = 0;
    oracle_init(&now);
    stored = now;
    f.options.num_retained = 1 + (uint32_t)_i % 3;
    f.options.inline_threshold_bytes = _i % 2 == 0 ? 0 : 1;
    for (int life = 0; life < 12; life++) {
        struct subject s;
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        ck_ok(subject_open(&f, "job", &s, reterr));
        ck_assert_int_eq(cairn_job_restored(s.job, &info), last_id != 0);
        ck_assert_uint_eq(info.id, last_id);
        const char *why = oracle_compare(&stored, &s);
        ck_assert_msg(why == NULL, "life %d: %s", life, why);
        now = stored;
        for (uint64_t n = oracle_random(&random) % 5; n > 0; n--) {
            oracle_mutate(&now, &s, &random, 15);
            ck_ok(subject_checkpoint(&s, oracle_random(&random) % 4 == 0, &info, reterr));
            ck_assert_uint_gt(info.id, last_id);
            last_id = info.id;
            stored = now;
        }
        oracle_mutate(&now, &s, &random, 10); /* never stored */
        subject_close(&s);
        store_check_tidy(f.store, "job");
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * What is uploaded, and what is kept
 * ------------------------------------------------------------------------------------------ */

/* P4: count the puts. What the newest checkpoint stores already is not put again, unless asked. */
START_TEST(test_known_files_are_not_put_again)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 7;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    f.options.pack_below_bytes = 1; /* so that each is put by itself */
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 40);
    fixture_disarm(&f, CRN_FAULT_PUT);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_uint_eq(crn_fault_store_calls(f.store), info.file_count);
    ck_assert_uint_eq(info.new_file_count, info.file_count);
    ck_assert_uint_eq(info.is_full, 1); /* there was nothing to share */
    uint64_t files = info.file_count;

    /* Nothing was written: only the databases' small files and the operator state are new. */
    fixture_disarm(&f, CRN_FAULT_PUT);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_uint_eq(info.file_count, files);
    ck_assert_uint_lt(info.new_file_count, files);
    ck_assert_uint_eq(crn_fault_store_calls(f.store), info.new_file_count);
    ck_assert_uint_eq(info.is_full, 0);

    fixture_disarm(&f, CRN_FAULT_PUT);
    ck_ok(subject_checkpoint(&s, true, &info, reterr));
    ck_assert_uint_eq(crn_fault_store_calls(f.store), files);
    ck_assert_uint_eq(info.new_file_count, files);
    ck_assert_uint_eq(info.is_full, 1);
    subject_close(&s);

    /* Also across a restart: the restored checkpoint is the base (M03). */
    ck_ok(subject_open(&f, "job", &s, reterr));
    fixture_disarm(&f, CRN_FAULT_PUT);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_uint_lt(crn_fault_store_calls(f.store), files);
    ck_assert_uint_eq(info.is_full, 0);
    subject_close(&s);
}
END_TEST

static size_t complete_checkpoints(const char *job)
{
    cairn_log *log = NULL;
    size_t complete = 0;
    ck_ok(cairn_log_open(f.store, job, &log, reterr));
    for (size_t i = 0; i < cairn_log_size(log); i++)
        complete += cairn_log_at(log, i)->state == CAIRN_STATE_COMPLETE;
    cairn_log_close(log);
    return complete;
}

/* After every checkpoint, exactly num_retained are there, and exactly their objects (P5, P6). */
START_TEST(test_retention_leaves_what_is_live)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 11;
    oracle_init(&oracle);
    f.options.num_retained = (uint32_t)_i;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (size_t n = 1; n <= 12; n++) {
        oracle_mutate(&oracle, &s, &random, 10);
        ck_ok(subject_checkpoint(&s, n % 5 == 0, NULL, reterr));
        ck_assert_uint_eq(complete_checkpoints("job"), n < (size_t)_i ? n : (size_t)_i);
    }
    subject_close(&s); /* the driver has removed all when it ends */
    store_check_tidy(f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Events
 * ------------------------------------------------------------------------------------------ */

static cairn_event next_event(cairn_task *task)
{
    cairn_event event = {0};
    ck_ok(cairn_task_wait(task, 5000, &event, reterr));
    return event;
}

static void expect_event(cairn_task *task, cairn_event_type type, uint64_t id)
{
    cairn_event event = next_event(task);
    ck_assert_int_eq(event.type, type);
    ck_assert_uint_eq(event.checkpoint_id, id);
}

static void open_one_task(cairn_job **job, cairn_task **task, const cairn_task_options *options)
{
    ck_ok(fixture_open_job(&f, "one", job, reterr));
    ck_ok(cairn_task_open(*job, "op", options, task, reterr));
    ck_ok(cairn_job_start(*job, reterr));
}

START_TEST(test_events_come_in_order)
{
    cairn_job *job;
    cairn_task *task;
    cairn_event event;
    open_one_task(&job, &task, NULL);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    ck_ok(cairn_job_trigger(job, NULL, reterr));
    expect_event(task, CAIRN_EVENT_BARRIER, 2);
    ck_ok(cairn_job_trigger(job, NULL, reterr)); /* begins once 2 is complete */
    event = next_event(task);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, 2);
    ck_assert_uint_eq(event.subsumed_id, 0);
    expect_event(task, CAIRN_EVENT_BARRIER, 3);
    event = next_event(task);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, 3);
    ck_assert_uint_eq(event.subsumed_id, 2);
    ck_ok(cairn_task_wait(task, 1, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    cairn_job_close(job);
    cairn_task_close(task);
}
END_TEST

static int refuse_second(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    int *calls = context;
    (void)task;
    ck_assert_uint_eq(checkpoint_id, (uint64_t)*calls + 2);
    return ++*calls == 2 ? CAIRN_EIO : 0;
}

START_TEST(test_before_barrier_can_decline)
{
    cairn_job *job;
    cairn_task *task;
    int calls = 0;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.before_barrier = refuse_second;
    options.context = &calls;
    open_one_task(&job, &task, &options);
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    ck_fails(cairn_task_checkpoint(task, NULL, NULL, reterr), CAIRN_EABORTED, "before_barrier");
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    ck_assert_int_eq(calls, 3);
    expect_event(task, CAIRN_EVENT_COMPLETED, 2);
    expect_event(task, CAIRN_EVENT_ABORTED, 3);
    expect_event(task, CAIRN_EVENT_COMPLETED, 4);
    cairn_job_close(job);
    cairn_task_close(task);
}
END_TEST

static int decline_from_twelve(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    (void)context, (void)task;
    return checkpoint_id >= 12 ? CAIRN_EIO : 0;
}

/* A task that does not poll for long: of 20 checkpoints the newest 16; of ones that completed and
 * then 20 that did not, all that completed and the newest others. */
START_TEST(test_events_that_are_not_fetched)
{
    cairn_job *job;
    cairn_task *task;
    cairn_event event;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    open_one_task(&job, &task, NULL);
    for (int i = 0; i < 20; i++) /* ids 2 to 21 */
        ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    for (uint64_t id = 6; id <= 21; id++)
        expect_event(task, CAIRN_EVENT_COMPLETED, id);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    cairn_job_close(job);
    cairn_task_close(task);

    f.options.start_empty = 1;
    options.before_barrier = decline_from_twelve;
    ck_ok(fixture_open_job(&f, "two", &job, reterr));
    ck_ok(cairn_task_open(job, "op", &options, &task, reterr));
    ck_ok(cairn_job_start(job, reterr));
    for (int i = 0; i < 10; i++) /* ids 2 to 11 */
        ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    for (int i = 0; i < 20; i++) /* ids 12 to 31 */
        ck_fails(cairn_task_checkpoint(task, NULL, NULL, reterr), CAIRN_EABORTED, "declined");
    for (uint64_t id = 2; id <= 11; id++)
        expect_event(task, CAIRN_EVENT_COMPLETED, id);
    for (uint64_t id = 26; id <= 31; id++)
        expect_event(task, CAIRN_EVENT_ABORTED, id);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    cairn_job_close(job);
    cairn_task_close(task);
}
END_TEST

/* What a barrier was taken for has an outcome, also when later attempts fail in a row. */
START_TEST(test_a_taken_barrier_is_told_its_outcome)
{
    struct subject s;
    f.options.checkpoint_timeout_ms = 100;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    expect_event(s.tasks[0], CAIRN_EVENT_BARRIER, 2); /* the other tasks never poll */
    for (uint64_t id = 3; id <= 4; id++) {
        expect_event(s.tasks[1], CAIRN_EVENT_BARRIER, id - 1);
        expect_event(s.tasks[1], CAIRN_EVENT_ABORTED, id - 1);
        ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    }
    expect_event(s.tasks[1], CAIRN_EVENT_BARRIER, 4);
    expect_event(s.tasks[1], CAIRN_EVENT_ABORTED, 4);
    for (uint64_t id = 2; id <= 4; id++)
        expect_event(s.tasks[0], CAIRN_EVENT_ABORTED, id);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Attempts that fail
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_a_task_that_never_polls_times_the_attempt_out)
{
    struct subject s;
    cairn_event event;
    f.options.checkpoint_timeout_ms = 60;
    ck_ok(subject_open(&f, "job", &s, reterr));
    /* Nobody polls tasks 1 and 2. */
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_EABORTED,
             "did not poll in time");
    ck_ok(cairn_task_poll(s.tasks[1], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_ABORTED); /* and no barrier of a dead attempt */
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* A task with a gate that has no barrier waits itself: it is the source that hangs. */
START_TEST(test_a_timeout_blames_who_is_waited_for)
{
    const cairn_gate_options inputs = {.struct_size = sizeof inputs, .channel_count = 1};
    cairn_job *job;
    cairn_task *source, *fed;
    cairn_gate *gate;
    f.options.checkpoint_timeout_ms = 60;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "source", NULL, &source, reterr));
    ck_ok(cairn_task_open(job, "fed", NULL, &fed, reterr));
    ck_ok(cairn_gate_open(fed, &inputs, &gate, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_fails(cairn_job_checkpoint(job, NULL, NULL, reterr), CAIRN_EABORTED,
             "one of them 'source' subtask 0, which did not poll in time");
    cairn_job_close(job);
    cairn_task_close(source);
    cairn_task_close(fed);
}
END_TEST

START_TEST(test_an_upload_that_fails_aborts_and_cleans_up)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 3;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 30);
    fixture_arm(&f,
                (struct crn_fault_plan){
                    .ops = CRN_FAULT_PUT, .mode = CRN_FAULT_BEFORE, .at = 3, .code = CAIRN_ENOSPC});
    ck_fails(subject_checkpoint(&s, false, NULL, reterr), CAIRN_EABORTED, "injected failure");
    fixture_disarm(&f, CRN_FAULT_ANY);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* The record was written, every reply was lost, and then a try fails for sure. That says nothing of
 * the earlier ones: the checkpoint is complete, and nobody else has taken the job over. */
START_TEST(test_a_commit_in_doubt_is_never_given_up)
{
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    fixture_arm(&f,
                (struct crn_fault_plan){
                    .ops = CRN_FAULT_LIST, .mode = CRN_FAULT_BEFORE, .at = 1, .and_after = true});
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    struct pump pump = {0};
    pump_start(&pump, s.tasks, SUBJECT_TASKS);
    while (crn_fault_store_calls(f.store) < 6) /* all looks above the new record fail */
        crn_sleep_us(1000);
    fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_CREATE,
                                            .mode = CRN_FAULT_BEFORE,
                                            .at = 1,
                                            .and_after = true,
                                            .code = CAIRN_ENOSPC});
    while (crn_fault_store_calls(f.store) < 2)
        crn_sleep_us(1000);
    ck_assert(store_has(f.store, "job/MANIFEST-chk2"));
    fixture_disarm(&f, CRN_FAULT_ANY);
    for (int i = 0; i < 4000 && cairn_job_last_checkpoint(s.job, &info) == 0; i++)
        crn_sleep_us(1000);
    pump_stop(&pump);
    ck_assert_int_eq(pump.code, 0);
    ck_assert_uint_eq(info.id, 2);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* Maintenance of another process resolves the id that is in flight: that one attempt is lost. */
START_TEST(test_gc_in_mid_checkpoint_costs_one_attempt)
{
    struct oracle oracle;
    struct subject s;
    cairn_event event;
    uint64_t random = 5;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 30);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    oracle_mutate(&oracle, &s, &random, 30);
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    do
        event = next_event(s.tasks[0]);
    while (event.type != CAIRN_EVENT_BARRIER);
    size_t before = store_count(f.store, "job/");
    for (int i = 0; i < 5000 && store_count(f.store, "job/") == before; i++)
        crn_sleep_us(1000); /* until the first task's uploads show */
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr));
    struct pump pump = {0};
    pump_start(&pump, s.tasks, SUBJECT_TASKS);
    ck_ok(cairn_job_checkpoint(s.job, NULL, NULL, reterr));
    pump_stop(&pump);
    ck_assert_int_eq(pump.code, 0);
    ck_assert_uint_ge(pump.aborted, 1);
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * When checkpoints are taken
 * ------------------------------------------------------------------------------------------ */

static uint64_t completed_within(uint64_t interval_ms, uint64_t min_pause_ms, uint64_t run_ms)
{
    struct subject s;
    struct pump pump = {0};
    f.options.checkpoint_interval_ms = interval_ms;
    f.options.min_pause_ms = min_pause_ms;
    ck_ok(subject_open(&f, "job", &s, reterr));
    pump_start(&pump, s.tasks, SUBJECT_TASKS);
    crn_sleep_us(run_ms * 1000);
    pump_stop(&pump);
    subject_close(&s);
    return pump.completed / SUBJECT_TASKS;
}

START_TEST(test_periodic_checkpoints_and_the_pause_between)
{
    ck_assert_uint_ge(completed_within(5, 0, 600), 3);
    ck_assert_uint_le(completed_within(5, 250, 600), 3);
    ck_assert_uint_eq(completed_within(60000, 0, 50), 0);
}
END_TEST

struct asking {
    cairn_job *job;
    bool full;
    int r;
    cairn_checkpoint_info info;
    pthread_t thread;
};

static void *ask(void *arg)
{
    struct asking *asking = arg;
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    options.full = asking->full;
    asking->r = cairn_job_checkpoint(asking->job, &options, &asking->info, NULL);
    return NULL;
}

/* Everybody who asks gets a checkpoint that began afterwards, of the kind that was asked for. */
START_TEST(test_who_asks_gets_an_outcome)
{
    struct subject s;
    struct asking asking[8];
    struct pump pump = {0};
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (unsigned i = 0; i < CRN_COUNT(asking); i++) {
        asking[i] =
            (struct asking){.job = s.job, .full = i % 2 == 1, .info = CAIRN_CHECKPOINT_INFO_INIT};
        ck_ok(crn_thread_start(&asking[i].thread, "test-ask", ask, &asking[i], reterr));
    }
    crn_sleep_us(20000); /* most of them wait by now */
    pump_start(&pump, s.tasks, SUBJECT_TASKS);
    for (unsigned i = 0; i < CRN_COUNT(asking); i++) {
        ck_assert_int_eq(pthread_join(asking[i].thread, NULL), 0);
        ck_assert_int_eq(asking[i].r, 0);
        ck_assert(asking[i].info.is_full >= asking[i].full);
    }
    pump_stop(&pump);
    ck_assert_uint_le(pump.completed / SUBJECT_TASKS, CRN_COUNT(asking));
    subject_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job");
    TCase *tcase = tcase_create("memory");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_memory, teardown);
    tcase_add_loop_test(tcase, test_round_trips, 0, 4);
    tcase_add_test(tcase, test_known_files_are_not_put_again);
    tcase_add_loop_test(tcase, test_retention_leaves_what_is_live, 1, 4);
    tcase_add_test(tcase, test_events_come_in_order);
    tcase_add_test(tcase, test_before_barrier_can_decline);
    tcase_add_test(tcase, test_events_that_are_not_fetched);
    tcase_add_test(tcase, test_a_taken_barrier_is_told_its_outcome);
    tcase_add_test(tcase, test_a_task_that_never_polls_times_the_attempt_out);
    tcase_add_test(tcase, test_a_timeout_blames_who_is_waited_for);
    tcase_add_test(tcase, test_an_upload_that_fails_aborts_and_cleans_up);
    tcase_add_test(tcase, test_a_commit_in_doubt_is_never_given_up);
    tcase_add_test(tcase, test_gc_in_mid_checkpoint_costs_one_attempt);
    tcase_add_test(tcase, test_periodic_checkpoints_and_the_pause_between);
    tcase_add_test(tcase, test_who_asks_gets_an_outcome);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("disk");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_disk, teardown);
    tcase_add_loop_test(tcase, test_round_trips, 0, 2);
    tcase_add_test(tcase, test_known_files_are_not_put_again);
    tcase_add_loop_test(tcase, test_retention_leaves_what_is_live, 2, 3);
    tcase_add_test(tcase, test_an_upload_that_fails_aborts_and_cleans_up);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("heap");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_heap, teardown);
    tcase_add_loop_test(tcase, test_round_trips, 0, 4);
    tcase_add_loop_test(tcase, test_retention_leaves_what_is_live, 1, 4);
    tcase_add_test(tcase, test_events_come_in_order);
    tcase_add_test(tcase, test_an_upload_that_fails_aborts_and_cleans_up);
    tcase_add_test(tcase, test_gc_in_mid_checkpoint_costs_one_attempt);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
