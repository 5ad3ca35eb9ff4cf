/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a gate lets go of what is given up (P2): whoever gives an attempt up, a channel, the
 * job or the task itself, and whenever, before its barrier, within it, or with records on their way
 * into the checkpoint, no channel stays blocked, nothing waits for a barrier that never comes, and
 * the next checkpoint goes its way. Method: as in test_gate.c, the test is the network; attempts
 * time out, are cancelled in band, are refused by before_barrier, or grow too large.
 */
#include "tests/support/gate_rig.h"

#include <string.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, false);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Given up
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_cancelled_in_band)
{
    struct rig rig;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    cairn_barrier cancelled = barrier;
    cancelled.flags = CAIRN_BARRIER_CANCELLED;
    rig_barrier(&rig, 0, 1, &cancelled);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    rig_record(&rig, 0, 0, 1);
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    rig_barrier(&rig, 0, 1, &barrier); /* late */
    rig_expect_nothing(rig.tasks[0]);
    ck_assert_uint_eq(rig_stats(&rig, 0).given_up, 1);
    cairn_barrier next = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &next);
    rig_barrier(&rig, 0, 1, &next);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}
END_TEST

/* The attempt times out while a channel waits: it is let go without a word from the channels. */
START_TEST(test_given_up_by_the_job)
{
    struct rig rig;
    f.options.checkpoint_timeout_ms = 30;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_expect_nothing(rig.tasks[0]);
    ck_assert_uint_eq(rig_stats(&rig, 0).barriers, 0);
    rig_close(&rig);
}
END_TEST

static int decline(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    (void)task, (void)checkpoint_id;
    return *(const int *)context;
}

/* The barrier cannot be taken: the channels go on, and so does the next checkpoint. */
START_TEST(test_declined_at_the_barrier)
{
    struct rig rig = {.count = 1};
    int answer = CAIRN_EABORTED;
    cairn_gate_options options = plain;
    cairn_task_options task_options = CAIRN_TASK_OPTIONS_INIT;
    task_options.before_barrier = decline;
    task_options.context = &answer;
    options.channel_count = 1;
    ck_ok(fixture_open_job(&f, "job", &rig.job, reterr));
    ck_ok(cairn_task_open(rig.job, "source", NULL, &rig.source, reterr));
    ck_ok(cairn_task_open(rig.job, "sum", &task_options, &rig.tasks[0], reterr));
    ck_ok(cairn_gate_open(rig.tasks[0], &options, &rig.gates[0], reterr));
    ck_ok(cairn_job_start(rig.job, reterr));
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    answer = 0;
    barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * What happens inside before_barrier
 * ------------------------------------------------------------------------------------------ */

/* A job whose gate's task has this callback. */
static void open_with_callback(struct rig *ret, unsigned channels, void *context,
                               int (*before_barrier)(void *context, cairn_task *task, uint64_t id))
{
    cairn_gate_options options = plain;
    cairn_task_options task_options = CAIRN_TASK_OPTIONS_INIT;
    task_options.before_barrier = before_barrier;
    task_options.context = context;
    options.channel_count = channels;
    *ret = (struct rig){.count = 1};
    ck_ok(fixture_open_job(&f, "job", &ret->job, reterr));
    ck_ok(cairn_task_open(ret->job, "source", NULL, &ret->source, reterr));
    ck_ok(cairn_task_open(ret->job, "sum", &task_options, &ret->tasks[0], reterr));
    ck_ok(cairn_operator_list_state(ret->tasks[0], "seen", CAIRN_SPLIT, CAIRN_INT64, &ret->seen[0],
                                    reterr));
    ck_ok(cairn_gate_open(ret->tasks[0], &options, &ret->gates[0], reterr));
    ck_ok(cairn_job_start(ret->job, reterr));
}

/* Until the job has given up the checkpoint. */
static int dawdle(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    bool *dawdles = context, is_over = !*dawdles;
    (void)checkpoint_id;
    for (; !is_over; crn_sleep_us(1000)) {
        crn_mutex_lock(&task->job->lock);
        is_over = task->runtime->mailbox_count > 0;
        crn_mutex_unlock(&task->job->lock);
    }
    *dawdles = false;
    return 0;
}

/* The job gives a checkpoint up while its barrier is being taken: nothing waits for its records in
 * flight, though some come. */
START_TEST(test_given_up_in_the_barrier)
{
    struct rig rig;
    bool dawdles = true;
    f.options.unaligned = 1;
    f.options.checkpoint_timeout_ms = 100;
    open_with_callback(&rig, 2, &dawdles, dawdle);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    rig_wait(rig.source, CAIRN_EVENT_ABORTED);
    for (size_t left = 1; left > 0; crn_sleep_us(1000)) { /* till the attempt is gone */
        crn_mutex_lock(&rig.job->lock);
        left = rig.job->attempt_count;
        crn_mutex_unlock(&rig.job->lock);
    }
    rig_record(&rig, 0, 1, 1);
    rig_barrier(&rig, 0, 1, &barrier);
    ck_assert_uint_eq(rig_stats(&rig, 0).given_up, 1);
    barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

struct meddler {
    cairn_gate *gate;
    cairn_barrier barrier;
    unsigned calls;
};

/* Everything that could move a barrier that is being taken. */
static int meddle(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct meddler *m = context;
    cairn_barrier later = m->barrier;
    later.checkpoint_id = checkpoint_id + 1;
    if (m->calls++ > 0)
        return 0;
    const char *const why = "before_barrier";
    cairn_event event;
    crn_mutex_lock(&task->job->lock); /* poll has something to do */
    crn_task_post(task, &(cairn_event){.type = CAIRN_EVENT_INDEPENDENT, .checkpoint_id = 1});
    crn_mutex_unlock(&task->job->lock);
    ck_fails(cairn_task_poll(task, &event, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_task_wait(task, 0, &event, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_task_checkpoint(task, NULL, NULL, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_task_savepoint(task, NULL, NULL, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_task_finish(task, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_gate_record(m->gate, 1, "", 0, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_gate_announce(m->gate, 1, &later, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_gate_barrier(m->gate, 1, &later, reterr), CAIRN_EINVAL, why);
    ck_fails(cairn_gate_end(m->gate, 1, reterr), CAIRN_EINVAL, why);
    return 0;
}

/* The barrier that is being taken stays the one that it is. */
START_TEST(test_calls_from_before_barrier)
{
    struct rig rig;
    struct meddler m = {0};
    f.options.unaligned = 1;
    open_with_callback(&rig, 2, &m, meddle);
    m.gate = rig.gates[0];
    m.barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &m.barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(m.calls, 1);
    rig_barrier(&rig, 0, 1, &m.barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}

/* ------------------------------------------------------------------------------------------ *
 * Ends of attempts with records on their way
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_bounded)
{
    struct rig rig;
    cairn_gate_options options = plain;
    options.max_in_flight_bytes = 25; /* two records of ten bytes */
    rig_set_unaligned(&f, 0);
    rig_open(&f, 1, &options, &rig);
    for (int round = 0; round < 2; round++) {
        cairn_barrier barrier = rig_trigger(&rig);
        rig_barrier(&rig, 0, 0, &barrier);
        rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
        rig_record(&rig, 0, 1, 1);
        rig_record(&rig, 0, 1, 2);
        if (round == 0)
            rig_record(&rig, 0, 1, 3); /* processed, but the checkpoint cannot keep it */
        else
            rig_barrier(&rig, 0, 1, &barrier);
        rig_wait(rig.tasks[0], round == 0 ? CAIRN_EVENT_ABORTED : CAIRN_EVENT_COMPLETED);
    }
    rig_close(&rig);
    rig_open(&f, 1, &options, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2, 3));
    rig_expect_restored(&rig, 0, VALUES(1, 1, 1, 2));
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

/* The job gives the attempt up, closes, or the task closes, while records are logged: nothing waits
 * for a barrier that never comes. */
START_TEST(test_ends_while_logging)
{
    struct rig rig;
    rig_set_unaligned(&f, 0);
    if (_i == 0)
        f.options.checkpoint_timeout_ms = 30;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    if (_i == 0) {
        rig_wait(rig.source, CAIRN_EVENT_ABORTED); /* the subtask does not even poll */
        rig_record(&rig, 0, 1, 2);
        rig_barrier(&rig, 0, 1, &barrier);
        rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
        ck_assert_uint_eq(rig_stats(&rig, 0).given_up, 1);
    } else if (_i == 2) {
        cairn_task_close(CRN_TAKE(rig.tasks[0]));
    }
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_restored(&rig, 0, NOTHING);
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

static Suite *gate_suite(void)
{
    Suite *suite = suite_create("gate_given_up");
    TCase *tcase = tcase_create("gate_given_up");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_cancelled_in_band);
    tcase_add_test(tcase, test_given_up_by_the_job);
    tcase_add_test(tcase, test_declined_at_the_barrier);
    tcase_add_test(tcase, test_given_up_in_the_barrier);
    tcase_add_test(tcase, test_calls_from_before_barrier);
    tcase_add_test(tcase, test_bounded);
    tcase_add_loop_test(tcase, test_ends_while_logging, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(gate_suite());
}
