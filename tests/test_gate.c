/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what gate.h promises (P2) through the public calls: which records a checkpoint has in its
 * state, which in flight, and which not at all, in every mode; that a gate lets go of what is given
 * up, and that records in flight come back after a restore. (To whom with another parallelism:
 * test_gate_restore.c.) Method: a job in which the test itself is the network: it says what comes
 * out of which channel when, closes the job, and looks at what the next start gets back.
 */
#include "tests/support/gate_rig.h"

#include <string.h>

static struct fixture f;

static void setup(void)
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

#define VALUES(...) ((const int64_t[]){__VA_ARGS__, -1})
#define NOTHING ((const int64_t[]){-1})

static const cairn_gate_options plain = CAIRN_GATE_OPTIONS_INIT;

/* ------------------------------------------------------------------------------------------ *
 * Aligned
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_aligned)
{
    struct rig rig;
    rig_open(&f, 1, &plain, &rig);
    rig_record(&rig, 0, 0, 1);
    cairn_barrier barrier = rig_trigger(&rig);
    ck_assert_uint_eq(barrier.flags, 0);
    ck_assert_int_gt(barrier.trigger_time_ms, 0);
    rig_record(&rig, 0, 1, 2);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 0);
    ck_fails(cairn_gate_record(rig.gates[0], 0, "", 0, reterr), CAIRN_EINVAL, "is blocked");
    ck_fails(cairn_gate_barrier(rig.gates[0], 0, &barrier, reterr), CAIRN_EINVAL, "is blocked");
    rig_expect_nothing(rig.tasks[0]);
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1);
    ck_fails(cairn_gate_record(rig.gates[0], 1, "", 0, reterr), CAIRN_EINVAL, "is blocked");
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    ck_assert_uint_eq(event.barrier.checkpoint_id, barrier.checkpoint_id);
    ck_assert_int_eq(event.barrier.trigger_time_ms, barrier.trigger_time_ms);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 0);
    rig_record(&rig, 0, 0, 4); /* behind the barrier: not in it */
    event = rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    cairn_gate_stats stats = rig_stats(&rig, 0);
    ck_assert_uint_eq(stats.records, 4);
    ck_assert_uint_eq(stats.barriers, 1);
    ck_assert_uint_eq(stats.given_up + stats.overtaken + stats.in_flight_bytes, 0);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2, 3));
    rig_expect_restored(&rig, 0, NOTHING);
    rig_close(&rig);
}
END_TEST

/* A source takes its barrier when it polls; so does a task whose channels have all ended. */
START_TEST(test_ended_channels)
{
    struct rig rig;
    rig_open(&f, 1, &plain, &rig);
    rig_end(&rig, 0, 1);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1);
    ck_fails(cairn_gate_end(rig.gates[0], 1, reterr), CAIRN_EINVAL, "has ended");
    cairn_barrier barrier = rig_trigger(&rig);
    rig_expect_nothing(rig.tasks[0]);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.source, CAIRN_EVENT_COMPLETED);
    barrier = rig_trigger(&rig);
    rig_record(&rig, 0, 0, 2);
    rig_end(&rig, 0, 0); /* counts as its barrier */
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.source, CAIRN_EVENT_COMPLETED);
    barrier = rig_trigger(&rig);
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    rig_wait(rig.source, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_stats(&rig, 0).barriers, 3);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2));
    rig_close(&rig);
}
END_TEST

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
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * At least once
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_at_least_once)
{
    struct rig rig;
    f.options.checkpoint_mode = CAIRN_AT_LEAST_ONCE;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    rig_record(&rig, 0, 0, 2); /* behind the barrier, in the state all the same */
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1, 2, 3));
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Unaligned
 * ------------------------------------------------------------------------------------------ */

static void set_unaligned(uint64_t timeout_ms)
{
    f.options.unaligned = 1;
    f.options.aligned_timeout_ms = timeout_ms;
}

/* State at the first barrier; what the other channel still brings in front of its own comes back as
 * records, once. _i: without and with inlining of small files. */
START_TEST(test_unaligned)
{
    struct rig rig;
    set_unaligned(0);
    f.options.inline_threshold_bytes = _i == 0 ? 0 : 1;
    rig_open(&f, 1, &plain, &rig);
    rig_record(&rig, 0, 0, 1);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1); /* until poll */
    ck_fails(cairn_gate_record(rig.gates[0], 1, "", 0, reterr), CAIRN_EINVAL, "barrier is due");
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
    rig_record(&rig, 0, 0, 2);
    rig_record(&rig, 0, 1, 3);
    rig_record(&rig, 0, 0, 4);
    rig_record(&rig, 0, 1, 5);
    rig_expect_nothing(rig.tasks[0]); /* not complete: records are on their way */
    rig_barrier(&rig, 0, 1, &barrier);
    rig_record(&rig, 0, 1, 6);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    cairn_gate_stats stats = rig_stats(&rig, 0);
    ck_assert_uint_eq(stats.overtaken, 1);
    ck_assert_uint_eq(stats.in_flight_bytes, 2 * (2 + sizeof(int64_t)));
    ck_assert_uint_eq(rig_count_files(&f, CAIRN_FILE_IN_FLIGHT), 1);
    rig_close(&rig);
    store_check_tidy(f.store, "job");

    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1));
    ck_fails(cairn_gate_record(rig.gates[0], 0, "", 0, reterr), CAIRN_EINVAL, "come first");
    rig_expect_restored(&rig, 0, VALUES(1, 3, 1, 5));
    rig_expect_restored(&rig, 0, NOTHING);
    rig_record(&rig, 0, 0, 2);
    rig_close(&rig);
}
END_TEST

/* Records that were restored and not fetched are in the next checkpoint, in front of new ones;
 * those that were fetched are not. */
START_TEST(test_restored_records_stay_until_fetched)
{
    struct rig rig;
    const void *data;
    size_t size;
    set_unaligned(0);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    rig_record(&rig, 0, 1, 2);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    ck_assert_int_eq(cairn_gate_restored(rig.gates[0], NULL, &data, &size), 1);
    barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_expect_restored(&rig, 0, VALUES(1, 2));
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    rig_expect_restored(&rig, 0, VALUES(1, 2, 1, 3));
    barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_count_files(&f, CAIRN_FILE_IN_FLIGHT), 0);
    rig_close(&rig);
}
END_TEST

/* A savepoint holds no records in flight, so it is aligned; and refused as long as some are left.
 */
START_TEST(test_savepoints_are_aligned)
{
    struct rig rig;
    cairn_savepoint_handle *handle;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    set_unaligned(0);
    f.options.savepoint_store = f.store;
    options.format = _i == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    rig_open(&f, 1, &plain, &rig);
    ck_ok(cairn_savepoint_begin(rig.job, &options, &handle, reterr));
    cairn_event event = rig_wait(rig.source, CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.barrier.flags, CAIRN_BARRIER_SAVEPOINT);
    rig_record(&rig, 0, 1, 1);
    rig_announce(&rig, 0, 0, &event.barrier);
    rig_expect_nothing(rig.tasks[0]);
    rig_barrier(&rig, 0, 0, &event.barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    rig_expect_nothing(rig.tasks[0]);
    rig_record(&rig, 0, 1, 2);
    rig_barrier(&rig, 0, 1, &event.barrier);
    event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.barrier.flags, CAIRN_BARRIER_SAVEPOINT);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr));
    cairn_savepoint_close(handle);
    ck_assert_uint_eq(rig_stats(&rig, 0).overtaken, 0);

    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    ck_ok(cairn_savepoint_begin(rig.job, &options, &handle, reterr));
    barrier = rig_wait(rig.source, CAIRN_EVENT_BARRIER).barrier;
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EABORTED,
             "not processed yet");
    cairn_savepoint_close(handle);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Overtaking what is queued
 * ------------------------------------------------------------------------------------------ */

struct queue {
    int64_t values[8];
    size_t count;
    int answer;
    unsigned calls, refused;
};

static int collect_queue(void *context, cairn_gate *gate, uint32_t channel,
                         const cairn_barrier *barrier)
{
    struct queue *queue = context;
    ck_assert_uint_eq(channel, 0);
    ck_assert_uint_gt(barrier->checkpoint_id, 0);
    queue->calls++;
    for (size_t i = 0; i < queue->count; i++)
        if (cairn_gate_collect(gate, &queue->values[i], sizeof queue->values[i]) < 0)
            queue->refused++; /* and not told: the gate knows */
    return queue->answer;
}

/* The barrier is behind two records: they are in flight, and processed as well. */
START_TEST(test_collected)
{
    struct rig rig;
    struct queue queue = {.values = {1, 2}, .count = 2};
    cairn_gate_options options = plain;
    options.collect = collect_queue;
    options.context = &queue;
    set_unaligned(0);
    rig_open(&f, 1, &options, &rig);
    ck_assert_int_eq(cairn_gate_collect(rig.gates[0], "", 0), CAIRN_EINVAL);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(queue.calls, 1);
    rig_record(&rig, 0, 0, 1);
    rig_record(&rig, 0, 1, 3);
    rig_record(&rig, 0, 0, 2);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED); /* although the first barrier is still queued */
    rig_barrier(&rig, 0, 0, &barrier);
    rig_expect_nothing(rig.tasks[0]);
    rig_close(&rig);
    rig_open(&f, 1, &options, &rig);
    rig_expect_seen(&rig, 0, NOTHING);
    rig_expect_restored(&rig, 0, VALUES(0, 1, 0, 2, 1, 3));
    rig_close(&rig);
}
END_TEST

/* Without `collect` they count as they come out. */
START_TEST(test_announced_without_collect)
{
    struct rig rig;
    set_unaligned(0);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_end(&rig, 0, 1);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_restored(&rig, 0, VALUES(0, 1));
    rig_close(&rig);
}
END_TEST

/* `collect` fails, or what it gives is too much: the checkpoint is aborted, the records go on. */
START_TEST(test_collect_fails)
{
    struct rig rig;
    struct queue queue = {.values = {1, 2}, .count = 2};
    cairn_gate_options options = plain;
    options.collect = collect_queue;
    options.context = &queue;
    if (_i == 0)
        queue.answer = CAIRN_EIO;
    else
        options.max_in_flight_bytes = 12;
    set_unaligned(0);
    rig_open(&f, 1, &options, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_uint_eq(queue.refused, (unsigned)_i);
    rig_record(&rig, 0, 0, 1);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_expect_nothing(rig.tasks[0]);
    queue = (struct queue){.count = 0};
    barrier = rig_trigger(&rig);
    rig_announce(&rig, 0, 0, &barrier);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Unaligned after a while
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_timeout_switches)
{
    struct rig rig;
    cairn_event event;
    set_unaligned(100);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 1);
    rig_record(&rig, 0, 1, 1);
    rig_expect_nothing(rig.tasks[0]);
    /* A long wait ends when the time is over: nothing else would wake it. */
    uint64_t began_us = crn_now_us();
    ck_ok(cairn_task_wait(rig.tasks[0], 20000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_BARRIER);
    ck_assert_uint_lt(crn_now_us() - began_us, 10000000);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    rig_record(&rig, 0, 0, 2);
    rig_record(&rig, 0, 1, 3);
    rig_barrier(&rig, 0, 1, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_stats(&rig, 0).overtaken, 1);
    ck_assert_uint_ge(rig_stats(&rig, 0).alignment_last_us, 50000);
    rig_close(&rig);
    rig_open(&f, 1, &plain, &rig);
    rig_expect_seen(&rig, 0, VALUES(1));
    rig_expect_restored(&rig, 0, VALUES(1, 3));
    rig_close(&rig);
}
END_TEST

/* In time: aligned, nothing in flight. Late already when the first barrier comes: at once. */
START_TEST(test_timeout_around_the_barrier)
{
    struct rig rig;
    set_unaligned(_i == 0 ? 60000 : 1);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    crn_sleep_us(2000);
    rig_barrier(&rig, 0, 0, &barrier);
    if (_i == 0)
        rig_expect_nothing(rig.tasks[0]);
    else
        rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    rig_barrier(&rig, 0, 1, &barrier);
    if (_i == 0)
        rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(rig_count_files(&f, CAIRN_FILE_IN_FLIGHT), (size_t)_i);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Ends of attempts with records on their way
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_bounded)
{
    struct rig rig;
    cairn_gate_options options = plain;
    options.max_in_flight_bytes = 25; /* two records of ten bytes */
    set_unaligned(0);
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
    set_unaligned(0);
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

/* ------------------------------------------------------------------------------------------ *
 * Several checkpoints at a time
 * ------------------------------------------------------------------------------------------ */

/* The next barrier comes while the database is still captured for the one before: poll waits with
 * it, so that it keeps its place. */
START_TEST(test_waits_for_the_capture)
{
    enum { ROUNDS = 12, KEYS = 20000 };
    struct rig rig;
    cairn_value *value;
    cairn_event event;
    f.options.max_concurrent = 3;
    rig_open_tasks(&f, 1, &rig);
    cairn_gate_options options = plain;
    options.channel_count = 2;
    ck_ok(cairn_gate_open(rig.tasks[0], &options, &rig.gates[0], reterr));
    ck_ok(cairn_value_state(rig.tasks[0], "value", CAIRN_INT64, NULL, &value, reterr));
    ck_ok(cairn_job_start(rig.job, reterr));
    uint64_t last = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int64_t key = 0; key < KEYS; key++) {
            ck_assert_int_eq(cairn_task_set_key_int64(rig.tasks[0], key), 0);
            ck_ok(cairn_value_put_int64(value, round, reterr));
        }
        for (int i = 0; i < 2; i++) {
            cairn_barrier barrier = rig_trigger(&rig);
            rig_barrier(&rig, 0, 0, &barrier);
            rig_barrier(&rig, 0, 1, &barrier);
            /* Events of earlier ones may come first, but never nothing. */
            do {
                ck_ok(cairn_task_poll(rig.tasks[0], &event, reterr));
                ck_assert_int_ne(event.type, CAIRN_EVENT_NONE);
            } while (event.type != CAIRN_EVENT_BARRIER);
            ck_assert_uint_eq(event.checkpoint_id, barrier.checkpoint_id);
            ck_assert_uint_gt(event.checkpoint_id, last);
            last = event.checkpoint_id;
        }
    }
    do
        event = rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    while (event.checkpoint_id != last);
    rig_close(&rig);
    store_check_tidy(f.store, "job");
}
END_TEST

/* At least once, the channels may be several checkpoints apart. */
START_TEST(test_several_pending)
{
    struct rig rig;
    f.options.max_concurrent = 3;
    f.options.checkpoint_mode = CAIRN_AT_LEAST_ONCE;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barriers[3];
    for (int i = 0; i < 3; i++) {
        barriers[i] = rig_trigger(&rig);
        rig_barrier(&rig, 0, 0, &barriers[i]);
        rig_expect_nothing(rig.tasks[0]);
    }
    for (int i = 0; i < 3; i++) {
        rig_barrier(&rig, 0, 1, &barriers[i]);
        cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
        ck_assert_uint_eq(event.checkpoint_id, barriers[i].checkpoint_id);
    }
    rig_close(&rig);
}
END_TEST

/* A later barrier in a channel that owes an earlier one: that one is declined, and the later one
 * goes its way. */
START_TEST(test_skipped)
{
    struct rig rig;
    f.options.max_concurrent = 2;
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier first = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &first);
    cairn_barrier second = rig_trigger(&rig);
    rig_barrier(&rig, 0, 1, &second);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 0), 0);
    ck_assert_int_eq(cairn_gate_is_blocked(rig.gates[0], 1), 1);
    cairn_event event = rig_wait(rig.tasks[0], CAIRN_EVENT_ABORTED);
    ck_assert_uint_eq(event.checkpoint_id, first.checkpoint_id);
    rig_barrier(&rig, 0, 0, &second);
    event = rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, second.checkpoint_id);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Bad calls
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_bad_options)
{
    struct rig rig;
    cairn_gate *gate;
    cairn_gate_options options = plain;
    rig_open_tasks(&f, 1, &rig);
    ck_fails(cairn_gate_open(NULL, &options, &gate, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "not 0");
    ck_fails(cairn_gate_open(rig.tasks[0], NULL, &gate, reterr), CAIRN_EINVAL, "not 0");
    options.channel_count = 65537;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "65536");
    options.channel_count = 65536;
    options.max_in_flight_bytes = 1ull << 32;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL,
             "max_in_flight_bytes");
    options.max_in_flight_bytes = 0;
    options.partitioning = (cairn_partitioning)3;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "partitioning");
    options.partitioning = CAIRN_PARTITION_BY_KEY;
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EINVAL, "key_of");
    options.partitioning = CAIRN_PARTITION_ANY;
    ck_ok(cairn_gate_open(rig.tasks[0], &options, &gate, reterr));
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EEXIST, "a gate");
    ck_ok(cairn_job_start(rig.job, reterr));
    ck_fails(cairn_gate_open(rig.source, &options, &gate, reterr), CAIRN_EINVAL, "has started");
    rig_close(&rig);
}
END_TEST

START_TEST(test_bad_calls)
{
    struct rig rig;
    const void *data;
    size_t size;
    cairn_barrier barrier = {.checkpoint_id = 1};
    cairn_gate_stats stats = CAIRN_GATE_STATS_INIT;
    rig_open(&f, 1, &plain, &rig);
    cairn_gate *gate = rig.gates[0];
    ck_fails(cairn_gate_record(NULL, 0, "", 0, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_record(gate, 2, "", 0, reterr), CAIRN_EINVAL, "no channel 2");
    ck_fails(cairn_gate_barrier(gate, 0, NULL, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_barrier(gate, 2, &barrier, reterr), CAIRN_EINVAL, "no channel 2");
    ck_fails(cairn_gate_announce(gate, 0, NULL, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_gate_end(gate, 2, reterr), CAIRN_EINVAL, "no channel 2");
    ck_assert_int_eq(cairn_gate_is_blocked(gate, 2), 1);
    ck_assert_int_eq(cairn_gate_is_blocked(NULL, 0), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gate_restored(gate, NULL, NULL, &size), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gate_restored(NULL, NULL, &data, &size), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gate_collect(NULL, "", 0), CAIRN_EINVAL);
    ck_fails(cairn_gate_get_stats(NULL, &stats, reterr), CAIRN_EINVAL, "NULL");
    /* Barriers that this job does not know, wild ones among them. */
    barrier.checkpoint_id = UINT64_MAX;
    barrier.flags = UINT32_MAX & ~(uint32_t)CAIRN_BARRIER_CANCELLED;
    rig_barrier(&rig, 0, 0, &barrier);
    rig_announce(&rig, 0, 1, &barrier);
    barrier.flags = CAIRN_BARRIER_CANCELLED;
    rig_barrier(&rig, 0, 0, &barrier);
    rig_announce(&rig, 0, 1, &barrier);
    ck_assert_int_eq(cairn_gate_is_blocked(gate, 0), 0);
    rig_expect_nothing(rig.tasks[0]);
    ck_fails(cairn_task_checkpoint(rig.tasks[0], NULL, NULL, reterr), CAIRN_EINVAL, "its gate");
    cairn_job_close(rig.job);
    ck_fails(cairn_gate_record(gate, 0, "", 0, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_gate_barrier(gate, 0, &barrier, reterr), CAIRN_ECLOSED, "closed");
    ck_assert_int_eq(cairn_gate_restored(gate, NULL, &data, &size), CAIRN_ECLOSED);
    ck_ok(cairn_gate_get_stats(gate, &stats, reterr));
    rig.job = NULL;
    rig_close(&rig);
}
END_TEST

/* A task finishes when every channel has ended, and nothing is left of what was restored; what was
 * still logged is complete then. The driver takes its barriers. */
START_TEST(test_finish_when_all_has_come_out)
{
    struct rig rig;
    struct pump pump = {0};
    set_unaligned(0);
    rig_open(&f, 1, &plain, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    rig_barrier(&rig, 0, 0, &barrier);
    rig_wait(rig.tasks[0], CAIRN_EVENT_BARRIER);
    rig_record(&rig, 0, 1, 1);
    rig_end(&rig, 0, 0);
    ck_fails(cairn_task_finish(rig.tasks[0], reterr), CAIRN_EINVAL, "has not ended");
    rig_end(&rig, 0, 1); /* so the record is all that was in flight */
    ck_ok(cairn_task_finish(rig.tasks[0], reterr));
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);

    rig_open(&f, 1, &plain, &rig);
    rig_end(&rig, 0, 0);
    rig_end(&rig, 0, 1);
    ck_fails(cairn_task_finish(rig.tasks[0], reterr), CAIRN_EINVAL, "not fetched");
    rig_expect_restored(&rig, 0, VALUES(1, 1));
    ck_ok(cairn_task_finish(rig.tasks[0], reterr));
    pump_start(&pump, &rig.source, 1);
    ck_ok(cairn_job_checkpoint(rig.job, NULL, NULL, reterr));
    pump_stop(&pump);
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}
END_TEST

/* A task whose channels have ended is a source: it may take a checkpoint in its own thread. */
START_TEST(test_own_checkpoint_after_the_end)
{
    struct rig rig;
    struct pump pump = {0};
    rig_open(&f, 1, &plain, &rig);
    rig_end(&rig, 0, 0);
    rig_end(&rig, 0, 1);
    pump_start(&pump, &rig.source, 1);
    ck_ok(cairn_task_checkpoint(rig.tasks[0], NULL, NULL, reterr));
    pump_stop(&pump);
    ck_assert_uint_eq(rig_stats(&rig, 0).barriers, 1);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Barriers as bytes
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_encoded_barriers)
{
    static const cairn_barrier barriers[] = {
        {1, 0, 0},
        {UINT64_MAX, INT64_MAX, CAIRN_BARRIER_SAVEPOINT},
        {0x0102030405060708u, INT64_MIN, CAIRN_BARRIER_CANCELLED},
    };
    for (size_t i = 0; i < sizeof barriers / sizeof barriers[0]; i++) {
        uint8_t bytes[CAIRN_BARRIER_BYTES + 1];
        cairn_barrier got;
        cairn_barrier_encode(&barriers[i], bytes);
        ck_assert_int_eq(cairn_barrier_decode(bytes, CAIRN_BARRIER_BYTES, &got), 0);
        ck_assert_uint_eq(got.checkpoint_id, barriers[i].checkpoint_id);
        ck_assert_int_eq(got.trigger_time_ms, barriers[i].trigger_time_ms);
        ck_assert_uint_eq(got.flags, barriers[i].flags);
        for (size_t n = 0; n <= sizeof bytes; n++)
            if (n != CAIRN_BARRIER_BYTES)
                ck_assert_int_eq(cairn_barrier_decode(bytes, n, &got), CAIRN_ECORRUPT);
        for (size_t bit = 0; bit < 8 * CAIRN_BARRIER_BYTES; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ck_assert_int_eq(cairn_barrier_decode(bytes, CAIRN_BARRIER_BYTES, &got),
                             CAIRN_ECORRUPT);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}
END_TEST

static Suite *gate_suite(void)
{
    Suite *suite = suite_create("gate");
    TCase *tcase = tcase_create("gate");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_aligned);
    tcase_add_test(tcase, test_ended_channels);
    tcase_add_test(tcase, test_cancelled_in_band);
    tcase_add_test(tcase, test_given_up_by_the_job);
    tcase_add_test(tcase, test_declined_at_the_barrier);
    tcase_add_test(tcase, test_given_up_in_the_barrier);
    tcase_add_test(tcase, test_calls_from_before_barrier);
    tcase_add_test(tcase, test_at_least_once);
    tcase_add_loop_test(tcase, test_unaligned, 0, 2);
    tcase_add_test(tcase, test_restored_records_stay_until_fetched);
    tcase_add_loop_test(tcase, test_savepoints_are_aligned, 0, 2);
    tcase_add_test(tcase, test_collected);
    tcase_add_test(tcase, test_announced_without_collect);
    tcase_add_loop_test(tcase, test_collect_fails, 0, 2);
    tcase_add_test(tcase, test_timeout_switches);
    tcase_add_loop_test(tcase, test_timeout_around_the_barrier, 0, 2);
    tcase_add_test(tcase, test_bounded);
    tcase_add_loop_test(tcase, test_ends_while_logging, 0, 3);
    tcase_add_test(tcase, test_several_pending);
    tcase_add_test(tcase, test_skipped);
    tcase_add_test(tcase, test_bad_options);
    tcase_add_test(tcase, test_bad_calls);
    tcase_add_test(tcase, test_own_checkpoint_after_the_end);
    tcase_add_test(tcase, test_finish_when_all_has_come_out);
    tcase_add_test(tcase, test_encoded_barriers);
    suite_add_tcase(suite, tcase);
    TCase *disk = tcase_create("disk");
    tcase_set_timeout(disk, 60);
    tcase_add_checked_fixture(disk, setup_disk, teardown);
    tcase_add_test(disk, test_waits_for_the_capture);
    suite_add_tcase(suite, disk);
    return suite;
}

int main(void)
{
    return crn_test_run(gate_suite());
}
