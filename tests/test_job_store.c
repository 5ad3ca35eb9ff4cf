/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a running job gets on with a store that misbehaves: answers that are not true, a log
 * that cannot be written for long, uploads that hang, a key that cannot be removed, listings of
 * what was not asked for, a vtable of an older release. Nothing live is lost (P1, P5), nothing dead
 * stays for good (P6), no writer is held up (P3), whoever waits is told. Method: stores between the
 * job and the memory store that do each of these, and a fake backend whose holds are counted.
 */
#include "tests/support/gate_store.h"
#include "tests/support/job_fixture.h"
#include "tests/support/odd_store.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"
#include "tests/support/fake_state.h"

#include <stddef.h>
#include <string.h>

static struct fixture f;
static cairn_store *odd; /* around f.store */

static void setup(void)
{
    fixture_init(&f, false);
    odd = odd_store_open(f.store);
    f.options.store = odd;
}

static void teardown(void)
{
    cairn_store_close(odd);
    fixture_done(&f);
}

static void expect_event(cairn_task *task, cairn_event_type type, uint64_t id)
{
    cairn_event event;
    ck_ok(cairn_task_wait(task, 20000, &event, reterr));
    ck_assert_int_eq(event.type, type);
    ck_assert_uint_eq(event.checkpoint_id, id);
}

/* ------------------------------------------------------------------------------------------ *
 * A log that cannot be written
 * ------------------------------------------------------------------------------------------ */

static const struct {
    int first, later;
} lies[] = {
    {CAIRN_EUNAVAIL, CAIRN_EIO},    {CAIRN_EUNAVAIL, CAIRN_EUNAVAIL},
    {CAIRN_EUNAVAIL, CAIRN_ENOSPC}, {CAIRN_EUNAVAIL, CAIRN_EACCES},
    {CAIRN_EIO, CAIRN_EIO},         {CAIRN_EIO, CAIRN_ENOSPC},
    {CAIRN_EUNKNOWN, CAIRN_EACCES},
};

/* The record stands, whatever the store said then and says since: nothing that it references goes,
 * neither while it is tried nor when the job is closed (P1, P5). */
START_TEST(test_a_create_that_happened_keeps_its_objects)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 3;
    oracle_init(&oracle);
    f.options.checkpoint_timeout_ms = 300;
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 20);
    odd_store_lie(odd, lies[_i].first, lies[_i].later);
    ck_fails(subject_checkpoint(&s, false, NULL, reterr), CAIRN_EUNKNOWN, "checkpoint 2");
    subject_close(&s);
    odd_store_lie(odd, 0, 0);
    ck_assert(store_has(f.store, "job/MANIFEST-chk2"));
    oracle_check_store(&oracle, &f, odd, "job");
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr));
    store_check_tidy(f.store, "job");
}
END_TEST

/* The store is back. Polls until a checkpoint is complete: all events of the one that was tried all
 * the time have come before. */
static void get_over(struct subject *s, struct pump *pump)
{
    int r = CAIRN_EUNAVAIL;
    pump_start(pump, s->tasks, SUBJECT_TASKS);
    for (int i = 0; i < 20 && r < 0; i++)
        r = cairn_job_checkpoint(s->job, NULL, NULL, NULL);
    ck_assert_int_eq(r, 0);
    pump_stop(pump);
    ck_assert_int_eq(pump->code, 0);
    cairn_event event = {0};
    for (unsigned i = 0; i < SUBJECT_TASKS; i += event.type == CAIRN_EVENT_NONE) {
        ck_ok(cairn_task_poll(s->tasks[i], &event, reterr)); /* what the pump has left */
        pump->completed += event.type == CAIRN_EVENT_COMPLETED;
        pump->aborted += event.type == CAIRN_EVENT_ABORTED;
    }
}

static const struct {
    int store_says, waiter_gets;
    bool completes;
} refusals[] = {
    {CAIRN_EUNAVAIL, CAIRN_EUNKNOWN, true}, /* the record may stand: it is tried on */
    {CAIRN_EIO, CAIRN_EUNKNOWN, true},
    {CAIRN_ENOSPC, CAIRN_EUNAVAIL, false}, /* it does not: now the abort is tried */
    {CAIRN_EACCES, CAIRN_EUNAVAIL, false},
};

/* Nobody waits for the store longer than the timeout, every time. The id is resolved when it is
 * back, tasks are told how, and the job works on. */
START_TEST(test_waiters_hear_of_a_log_that_cannot_be_written)
{
    struct subject s;
    struct pump pump = {0};
    uint64_t began_us = crn_now_us();
    f.options.checkpoint_timeout_ms = 300;
    ck_ok(subject_open(&f, "job", &s, reterr));
    fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_CREATE,
                                            .mode = CRN_FAULT_BEFORE,
                                            .at = 1,
                                            .and_after = true,
                                            .code = refusals[_i].store_says});
    ck_fails(subject_checkpoint(&s, false, NULL, reterr), refusals[_i].waiter_gets,
             "'job/MANIFEST-chk2'");
    ck_assert_uint_ge(crn_now_us() - began_us, 300000);
    ck_fails(cairn_job_checkpoint(s.job, NULL, NULL, reterr), refusals[_i].waiter_gets,
             "checkpoint 2");
    ck_assert(!store_has(f.store, "job/MANIFEST-chk2"));
    fixture_disarm(&f, CRN_FAULT_ANY);
    get_over(&s, &pump);
    ck_assert_uint_ge(pump.completed, (refusals[_i].completes ? 2 : 1) * SUBJECT_TASKS);
    ck_assert_uint_eq(pump.aborted, refusals[_i].completes ? 0 : SUBJECT_TASKS);
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* Not ours, not readable, and nothing above it that would make it another writer's: the job waits
 * for somebody to look at it, and says which object it is. */
START_TEST(test_a_broken_record_in_the_way)
{
    struct subject s;
    struct pump pump = {0};
    f.options.checkpoint_timeout_ms = 300;
    ck_ok(subject_open(&f, "job", &s, reterr));
    store_put_text(f.store, "job/MANIFEST-chk2", "not a manifest");
    ck_fails(subject_checkpoint(&s, false, NULL, reterr), CAIRN_EUNAVAIL, "'job/MANIFEST-chk2'");
    store_remove(f.store, "job/MANIFEST-chk2");
    get_over(&s, &pump);
    ck_assert_uint_eq(pump.aborted, SUBJECT_TASKS);
    ck_assert_uint_eq(pump.completed, SUBJECT_TASKS);
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Uploads that hang
 * ------------------------------------------------------------------------------------------ */

static struct {
    const struct crn_state_ops *real;
    struct crn_state_ops ops;
    atomic_uint barriers, captures, releases;
    bool later_ones_wait; /* captures after the first, until they are cancelled */
} holds;

static int counted_barrier(struct crn_state_db *db, struct crn_barrier *ret, cairn_error **reterr)
{
    atomic_fetch_add(&holds.barriers, 1);
    return holds.real->barrier(db, ret, reterr);
}

static int counted_capture(struct crn_state_db *db, const struct crn_barrier *barrier,
                           const char *directory, const atomic_bool *cancelled,
                           struct crn_capture *ret, cairn_error **reterr)
{
    bool is_first = atomic_fetch_add(&holds.captures, 1) == 0;
    while (holds.later_ones_wait && !is_first && !atomic_load(cancelled))
        crn_sleep_us(1000);
    return holds.real->capture(db, barrier, directory, cancelled, ret, reterr);
}

static void counted_release(struct crn_state_db *db)
{
    atomic_fetch_add(&holds.releases, 1);
    holds.real->release(db);
}

static int counted_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                        cairn_error **reterr)
{
    CRN_TRY(crn_fake_state_open(config, ret_db, reterr));
    holds.real = (*ret_db)->ops;
    holds.ops = *holds.real;
    holds.ops.barrier = counted_barrier;
    holds.ops.capture = counted_capture;
    holds.ops.release = counted_release;
    (*ret_db)->ops = &holds.ops;
    return 0;
}

static void wait_for(const atomic_uint *count, unsigned n)
{
    for (int i = 0; i < 10000 && atomic_load(count) < n; i++)
        crn_sleep_us(1000);
    ck_assert_uint_eq(atomic_load(count), n);
}

/* P3: the only transfer thread hangs in the first task's first upload. The other tasks' writers are
 * let go all the same, by their capture's end, or else by the attempt's. */
START_TEST(test_a_capture_does_not_wait_for_uploads)
{
    struct subject s;
    cairn_store *gate = gate_store_open(f.store);
    holds.later_ones_wait = _i == 1;
    f.backend.open = counted_open;
    f.options.store = gate;
    f.options.transfer_threads = 1;
    if (holds.later_ones_wait)
        f.options.checkpoint_timeout_ms = 500;
    ck_ok(subject_open(&f, "job", &s, reterr));
    gate_stop_at(gate, CRN_FAULT_PUT, 1, GATE_BEFORE);
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    expect_event(s.tasks[0], CAIRN_EVENT_BARRIER, 2);
    ck_assert(gate_wait_stopped(gate, NULL));
    expect_event(s.tasks[1], CAIRN_EVENT_BARRIER, 2);
    expect_event(s.tasks[2], CAIRN_EVENT_BARRIER, 2);
    wait_for(&holds.releases, SUBJECT_TASKS);
    ck_assert_uint_eq(atomic_load(&holds.captures), SUBJECT_TASKS);
    ck_assert_uint_eq(gate_calls(gate), 1); /* it still hangs */
    gate_let_go(gate);
    expect_event(s.tasks[0], _i == 0 ? CAIRN_EVENT_COMPLETED : CAIRN_EVENT_ABORTED, 2);
    subject_close(&s);
    ck_assert_uint_eq(atomic_load(&holds.releases), atomic_load(&holds.barriers));
    store_check_tidy(f.store, "job");
    cairn_store_close(gate);
}
END_TEST

#define RATE_FILES 8
#define RATE_FILE_BYTES 15000u
#define RATE_FILE_US UINT64_C(150000) /* what one of them takes at the limit */

static int decline_first(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    int *calls = context;
    (void)task, (void)checkpoint_id;
    return ++*calls == 1 ? CAIRN_EIO : 0;
}

static void open_rate_tasks(cairn_job **job, cairn_task *tasks[2], int *calls)
{
    static char big[RATE_FILE_BYTES];
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    ck_ok(fixture_open_job(&f, "job", job, reterr));
    ck_ok(cairn_task_open(*job, "uploads", NULL, &tasks[0], reterr));
    options.before_barrier = decline_first;
    options.context = calls;
    ck_ok(cairn_task_open(*job, "declines", &options, &tasks[1], reterr));
    for (int i = 0; i < RATE_FILES; i++) {
        const char name[] = {(char)('a' + i), 0};
        cairn_value *value;
        ck_ok(cairn_value_state(tasks[0], name, CAIRN_BYTES, NULL, &value, reterr));
        ck_assert_int_eq(cairn_task_set_key(tasks[0], "k", 1), 0);
        ck_ok(cairn_value_put(value, big, sizeof big, reterr));
    }
    ck_ok(cairn_job_start(*job, reterr));
}

/* Eight uploads have booked their turns when the attempt is given up. Only the first was sent: the
 * next attempt waits for that one, not for seven more. */
START_TEST(test_turns_of_a_cancelled_attempt_are_free_again)
{
    cairn_job *job;
    cairn_task *tasks[2];
    struct pump pump = {0};
    int calls = 0;
    f.options.transfer_threads = RATE_FILES;
    f.options.pack_below_bytes = 1; /* one turn for each */
    f.options.upload_bytes_per_sec = RATE_FILE_BYTES * UINT64_C(1000000) / RATE_FILE_US;
    open_rate_tasks(&job, tasks, &calls);
    ck_ok(cairn_job_trigger(job, NULL, reterr));
    expect_event(tasks[0], CAIRN_EVENT_BARRIER, 2);
    crn_sleep_us(RATE_FILE_US / 3); /* all of them wait for their turns */
    uint64_t cancelled_us = crn_now_us();
    cairn_event event;
    ck_ok(cairn_task_poll(tasks[1], &event, reterr));
    ck_assert_int_eq(calls, 1);
    expect_event(tasks[0], CAIRN_EVENT_ABORTED, 2);
    pump_start(&pump, tasks, CRN_COUNT(tasks));
    ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr));
    pump_stop(&pump);
    uint64_t took_us = crn_now_us() - cancelled_us;
    ck_assert_uint_ge(took_us, (RATE_FILES - 2) * RATE_FILE_US); /* there is a limit */
    ck_assert_uint_lt(took_us, (2 * RATE_FILES - 2) * RATE_FILE_US);
    cairn_job_close(job);
    cairn_task_close(tasks[0]);
    cairn_task_close(tasks[1]);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * A key that cannot be removed
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_one_stuck_key_is_all_that_stays)
{
    static const char *const stuck[] = {"job/MANIFEST-chk1", "job/shared/e1-c2-"};
    struct oracle oracle;
    struct subject s;
    uint64_t random = 31;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    odd_store_refuse(odd, CRN_FAULT_REMOVE, stuck[_i], CAIRN_EACCES);
    for (int i = 0; i < 7; i++) {
        oracle_mutate(&oracle, &s, &random, 10);
        ck_ok(subject_checkpoint(&s, true, NULL, reterr));
    }
    cairn_usage usage = CAIRN_USAGE_INIT;
    size_t left = store_count(f.store, stuck[_i]);
    ck_assert_uint_ge(left, 1);
    for (int i = 0; i < 5000 && usage.dead_count != left; i++) { /* removed behind our back */
        crn_sleep_us(1000);
        ck_ok(cairn_job_usage(f.store, "job", &usage, reterr));
    }
    ck_assert_uint_eq(usage.dead_count, left);
    ck_assert_uint_eq(store_count(f.store, "job/MANIFEST-chk"), _i == 0 ? 2 : 1);
    odd_store_refuse(odd, 0, NULL, 0);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr)); /* tried again, and now it goes */
    subject_close(&s);
    store_check_tidy(f.store, "job");
    ck_assert_uint_eq(store_count(f.store, stuck[_i]), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Stores that others wrote
 * ------------------------------------------------------------------------------------------ */

/* Every call that takes a store; all of them end with this code. */
static void call_all(int code)
{
    cairn_job *job = NULL;
    cairn_log *log = NULL;
    cairn_snapshot *snapshot = NULL;
    cairn_explanation *explanation = NULL;
    cairn_usage usage = CAIRN_USAGE_INIT;
    char **names = NULL;
    size_t count = 0;
    CRN_AUTO_FREE char *directory = fixture_dir(&f, "restored");
    ck_assert_int_eq(cairn_store_jobs(odd, &names, &count, NULL), code);
    ck_assert_uint_eq(count, code == 0 ? 1 : 0);
    cairn_names_free(names, count);
    ck_assert_int_eq(cairn_log_open(odd, "job", &log, NULL), code);
    cairn_log_close(log);
    ck_assert_int_eq(cairn_snapshot_open(odd, "job", 0, &snapshot, NULL), code);
    cairn_snapshot_close(snapshot);
    ck_assert_int_eq(cairn_job_usage(odd, "job", &usage, NULL), code);
    ck_assert_int_eq(cairn_explain(odd, "job", "MANIFEST-chk2", &explanation, NULL), code);
    cairn_explanation_close(explanation);
    ck_assert_int_eq(cairn_verify(odd, "job", NULL, NULL, NULL), code);
    ck_assert_int_eq(cairn_gc(odd, "job", NULL, NULL, NULL), code);
    ck_assert_int_eq(cairn_restore_to(odd, "job", directory, NULL, NULL, NULL), code);
    ck_assert_int_eq(fixture_open_job(&f, "job", &job, NULL), code);
    cairn_job_close(job);
}

static void work(struct oracle *oracle)
{
    struct subject s;
    uint64_t random = 5;
    f.options.num_retained = 10;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_ptr_null(oracle_compare(oracle, &s));
    for (int i = 0; i < 3; i++) {
        oracle_mutate(oracle, &s, &random, 20);
        ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    }
    subject_close(&s);
}

/* P11: keys from outside the prefix, shorter than it, and such that would be something within. */
START_TEST(test_a_store_that_lists_too_much)
{
    struct oracle oracle;
    oracle_init(&oracle);
    odd_store_babble(odd);
    work(&oracle);
    work(&oracle);
    call_all(0);
    oracle_check_store(&oracle, &f, odd, "job");
    store_check_tidy(f.store, "job");
}
END_TEST

/* A backend that was built before the optional methods were there. */
START_TEST(test_a_vtable_without_the_optional_methods)
{
    static const size_t sizes[] = {offsetof(cairn_store_ops, link_out),
                                   offsetof(cairn_store_ops, reap),
                                   offsetof(cairn_store_ops, reap) + 1};
    struct oracle oracle;
    oracle_init(&oracle);
    odd_store_cut(odd, sizes[_i]);
    work(&oracle);
    work(&oracle);
    call_all(0);
    oracle_check_store(&oracle, &f, odd, "job");
}
END_TEST

/* ... or before a method without which there is no store: refused before it is looked for. */
START_TEST(test_a_vtable_that_ends_too_early)
{
    cairn_job *job;
    struct oracle oracle;
    oracle_init(&oracle);
    work(&oracle);
    size_t before = store_count(f.store, "");
    odd_store_cut(odd, offsetof(cairn_store_ops, remove) + (_i == 0 ? 0 : 1));
    call_all(CAIRN_EINVAL);
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "struct_size");
    ck_assert_uint_eq(store_count(f.store, ""), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job store");
    TCase *tcase = tcase_create("odd stores");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_a_create_that_happened_keeps_its_objects, 0,
                        (int)CRN_COUNT(lies));
    tcase_add_loop_test(tcase, test_waiters_hear_of_a_log_that_cannot_be_written, 0,
                        (int)CRN_COUNT(refusals));
    tcase_add_test(tcase, test_a_broken_record_in_the_way);
    tcase_add_loop_test(tcase, test_a_capture_does_not_wait_for_uploads, 0, 2);
    tcase_add_test(tcase, test_turns_of_a_cancelled_attempt_are_free_again);
    tcase_add_loop_test(tcase, test_one_stuck_key_is_all_that_stays, 0, 2);
    tcase_add_test(tcase, test_a_store_that_lists_too_much);
    tcase_add_loop_test(tcase, test_a_vtable_without_the_optional_methods, 0, 3);
    tcase_add_loop_test(tcase, test_a_vtable_that_ends_too_early, 0, 2);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
