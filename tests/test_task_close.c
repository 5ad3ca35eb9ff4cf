/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a task may be closed at any moment of a checkpoint that all tasks have acknowledged:
 * its id is resolved as if nothing had happened, what it references stays (P5), what it leaves goes
 * (P6), and the job can be closed afterwards. Method: a store that stops the driver in the middle
 * of a commit while the test closes a task; the fake backend over the memory store.
 */
#include "tests/support/gate_store.h"
#include "tests/support/job_fixture.h"

#include "cairn/inspect.h"

static struct fixture f;
static cairn_store *shared, *gate; /* what is stored, and the job's view of it */
static struct subject s;

static void setup(void)
{
    fixture_init(&f, false);
    shared = f.store;
    gate = f.store = f.options.store = gate_store_open(shared);
    f.options.max_concurrent = 3;
    f.options.num_retained = 1;
    f.options.transfer_threads = 32; /* held uploads keep theirs */
}

static void teardown(void)
{
    cairn_store_close(gate);
    f.store = shared;
    fixture_done(&f);
}

static void write_some(int64_t base)
{
    for (int64_t key = base; key < base + 20; key++) {
        unsigned t = subject_of_key(key);
        ck_assert_int_eq(cairn_task_set_key_int64(s.tasks[t], key), 0);
        ck_assert_int_eq(cairn_value_put_int64(s.count[t], base, NULL), 0);
    }
}

/* Checkpoint 2, whose tables the next ones share. */
static void open_with_base(void)
{
    ck_ok(subject_open(&f, "job", &s, reterr));
    write_some(0);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
}

/* Every task has taken the barrier of `id`, of changed state, and no upload of it can end. */
static void begin(uint64_t id, bool full)
{
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    cairn_event event;
    options.full = full;
    gate_hold(gate, id);
    write_some((int64_t)id * 100);
    ck_ok(cairn_job_trigger(s.job, &options, reterr));
    for (unsigned taken = 0; taken < SUBJECT_TASKS; crn_sleep_us(100))
        for (unsigned t = 0; t < SUBJECT_TASKS; t++) {
            ck_ok(cairn_task_poll(s.tasks[t], &event, reterr));
            taken += event.type == CAIRN_EVENT_BARRIER;
        }
    gate_wait_held(gate, id, SUBJECT_TASKS);
}

/* All parts are acknowledged, though the driver need not have heard of it. */
static void wait_acked(uint64_t id)
{
    for (bool all = false; !all; crn_sleep_us(100)) {
        crn_mutex_lock(&s.job->lock);
        const struct crn_attempt *attempt = crn_flight_find_locked(s.job, id);
        ck_assert_ptr_nonnull(attempt);
        all = attempt->running == 0;
        for (size_t i = 0; i < attempt->part_count; i++)
            all = all && attempt->parts[i].acked;
        crn_mutex_unlock(&s.job->lock);
    }
}

static void close_task(void)
{
    cairn_task_close(s.tasks[SUBJECT_TASKS - 1]);
    s.tasks[SUBJECT_TASKS - 1] = NULL;
}

static cairn_record_kind kind_of(uint64_t id)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(shared, "job", &log, reterr));
    cairn_record_kind kind = cairn_log_at(log, cairn_log_size(log) - 1)->kind;
    ck_assert_uint_eq(cairn_log_at(log, cairn_log_size(log) - 1)->id, id);
    cairn_log_close(log);
    return kind;
}

static void check_whole(void)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    options.full = 1;
    ck_ok(cairn_verify(shared, "job", &options, NULL, reterr));
    store_check_tidy(shared, "job");
}

/* Two wait for the log, on one base: the older one does not let go of it before the newer is done.
 */
START_TEST(test_two_wait_for_the_log)
{
    open_with_base();
    begin(3, true);
    begin(4, false);
    gate_stop_at(gate, CRN_FAULT_FLUSH, 1, GATE_BEFORE);
    gate_release(gate, 3);
    ck_assert(gate_wait_stopped(gate, NULL));
    gate_release(gate, 4);
    wait_acked(4);
    close_task();
    gate_let_go(gate);
    subject_close(&s);
    ck_assert_int_eq(kind_of(4), CAIRN_RECORD_CHECKPOINT);
    check_whole();
}
END_TEST

/* The log cannot be told for a while, and by then a collector has the id. */
START_TEST(test_a_collector_is_faster)
{
    open_with_base();
    begin(3, false);
    gate_stop_at(gate, CRN_FAULT_FLUSH, 1, GATE_BEFORE);
    gate_release(gate, 3);
    ck_assert(gate_wait_stopped(gate, NULL));
    crn_fault_store_arm(shared, &(struct crn_fault_plan){.ops = CRN_FAULT_FLUSH,
                                                         .mode = CRN_FAULT_BEFORE,
                                                         .at = 1,
                                                         .code = CAIRN_EUNAVAIL});
    close_task();
    gate_let_go(gate);
    ck_ok(cairn_gc(shared, "job", NULL, NULL, reterr));
    ck_assert_int_eq(kind_of(3), CAIRN_RECORD_ABORTED);
    crn_sleep_us(200000); /* the driver has tried again, and knows */
    subject_close(&s);
    check_whole();
}
END_TEST

/* It is aborted after all, and its error is its own. */
START_TEST(test_it_cannot_be_committed)
{
    open_with_base();
    begin(3, false);
    gate_stop_at(gate, CRN_FAULT_FLUSH, 1, GATE_BEFORE);
    gate_release(gate, 3);
    ck_assert(gate_wait_stopped(gate, NULL));
    crn_fault_store_arm(shared, &(struct crn_fault_plan){.ops = CRN_FAULT_FLUSH,
                                                         .mode = CRN_FAULT_BEFORE,
                                                         .at = 1,
                                                         .code = CAIRN_ENOSPC});
    close_task();
    gate_let_go(gate);
    subject_close(&s);
    ck_assert_int_eq(kind_of(3), CAIRN_RECORD_ABORTED);
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(shared, "job", &log, reterr));
    const char *reason = cairn_log_at(log, cairn_log_size(log) - 1)->reason;
    ck_assert_msg(strstr(reason, "was closed") == NULL, "'%s'", reason);
    cairn_log_close(log);
    check_whole();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("task_close");
    TCase *tcase = tcase_create("acknowledged");
    tcase_set_timeout(tcase, 20);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_two_wait_for_the_log);
    tcase_add_test(tcase, test_a_collector_is_faster);
    tcase_add_test(tcase, test_it_cannot_be_committed);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
