/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cluster.h promises of a job that runs: who may join, what is refused, and that
 * checkpoints and savepoints of several processes are those of a job. Method: the roles are handles
 * in one process, on one store in memory (tests/support/cluster_kit.h); the state is compared with
 * what was written. What happens when one of them is lost is test_cluster_loss.c's matter, and when
 * it is killed test_cluster_crash.c's.
 */
#include "tests/support/cluster_kit.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

static struct crew crew;

static void setup(void)
{
    crew_init(&crew, 3);
}

static void teardown(void)
{
    crew_done(&crew);
}

/* ------------------------------------------------------------------------------------------ *
 * Checkpoints
 * ------------------------------------------------------------------------------------------ */

/* All closed, and opened again. */
static void restart(void)
{
    crew_close(&crew);
    crew_must_start(&crew);
}

START_TEST(state_is_of_one_moment)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    ck_assert_uint_gt(info.id, 0);
    restart();
    for (uint32_t i = 0; i <= crew.workers; i++) {
        cairn_checkpoint_info restored = CAIRN_CHECKPOINT_INFO_INIT;
        ck_assert_int_eq(cairn_job_restored(crew.members[i].job, &restored), 1);
        ck_assert_uint_eq(restored.id, info.id);
        ck_assert_uint_eq(cairn_job_epoch(crew.members[i].job), info.epoch + 1);
    }
    crew_check(&crew);
}
END_TEST

/* Also in the workers' own views of it (P4), restarts in between included. */
START_TEST(what_is_stored_is_not_stored_again)
{
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT, second = first, third = first,
                          full = first;
    crew_must_start(&crew);
    for (unsigned i = 0; i < 4; i++)
        crew_write(&crew, i);
    ck_ok(crew_checkpoint(&crew, false, &first, reterr));
    crew_write(&crew, 1);
    ck_ok(crew_checkpoint(&crew, false, &second, reterr));
    ck_assert_uint_eq(second.is_full, 0);
    ck_assert_uint_lt(second.new_file_count, second.file_count);
    restart();
    ck_ok(crew_checkpoint(&crew, false, &third, reterr));
    ck_assert_uint_eq(third.is_full, 0);
    ck_assert_uint_lt(third.new_file_count, third.file_count);
    ck_ok(crew_checkpoint(&crew, true, &full, reterr));
    ck_assert_uint_eq(full.is_full, 1);
    ck_assert_uint_eq(full.new_file_count, full.file_count);
    crew_check(&crew);
    restart();
    crew_check(&crew);
}
END_TEST

/* What each worker hears, polled one after another. */
static void await_everywhere(cairn_event_type type, uint64_t id)
{
    for (uint32_t i = 1; i <= crew.workers; i++) {
        const int64_t heard = crew_await_event(&crew, i, type);
        ck_assert_msg(heard > 0 && (id == 0 || heard == (int64_t)id), "worker %u heard of %d", i,
                      (int)heard);
    }
}

START_TEST(tasks_hear_of_it)
{
    cairn_event event;
    crew_must_start(&crew);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    int64_t id = crew_await_event(&crew, 1, CAIRN_EVENT_BARRIER);
    ck_assert_int_gt(id, 0);
    ck_assert_int_eq(crew_await_event(&crew, 2, CAIRN_EVENT_BARRIER), id);
    ck_assert_int_eq(cairn_task_poll(crew.members[1].task, &event, NULL), 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE); /* the third has not taken its barrier */
    ck_assert_int_eq(crew_await_event(&crew, 3, CAIRN_EVENT_BARRIER), id);
    for (uint32_t i = 1; i <= crew.workers; i++)
        ck_assert_int_eq(crew_await_event(&crew, i, CAIRN_EVENT_COMPLETED), id);
}
END_TEST

/* The coordinator's own task is part of it, and names of objects do not meet (P5). */
START_TEST(coordinator_with_a_task)
{
    int64_t n = 0;
    crew.has_tally = true;
    crew_must_start(&crew);
    for (unsigned i = 0; i < 5; i++) {
        crew_write(&crew, i);
        ck_assert_int_eq(cairn_task_set_key_int64(crew.members[0].task, 7), 0);
        ck_ok(cairn_value_put_int64(crew.members[0].count, i, reterr));
        ck_ok(crew_checkpoint(&crew, i == 3, NULL, reterr));
    }
    restart();
    crew_check(&crew);
    ck_assert_int_eq(cairn_task_set_key_int64(crew.members[0].task, 7), 0);
    ck_ok(cairn_value_get_int64(crew.members[0].count, &n, reterr));
    ck_assert_int_eq(n, 4);
}
END_TEST

static atomic_bool refuses;

static int refuse_in_one(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    (void)context, (void)checkpoint_id;
    return atomic_load(&refuses) && task == crew.members[2].task ? CAIRN_ENOSPC : 0;
}

static int count_object(void *context, const char *key, const cairn_object_stat *stat)
{
    const char *mark = ((void **)context)[0];
    (void)stat;
    *(size_t *)((void **)context)[1] += strstr(key, mark) != NULL;
    return 0;
}

/* Waits until there are objects of an attempt, or none any more; false: that does not come. */
static bool await_objects(int64_t id, bool some)
{
    char mark[32];
    size_t count = 0;
    void *context[] = {mark, &count};
    (void)snprintf(mark, sizeof mark, "-c%lld-", (long long)id);
    for (int i = 0; i < 1000; i++) {
        count = 0;
        ck_ok(crew.f.store->ops->list(crew.f.store, "", count_object, context, reterr));
        if ((count > 0) == some)
            return true;
        crn_sleep_us(5000);
    }
    return false;
}

/* The reason comes from another process; and a worker that had uploaded its part takes it away,
 * without waiting for a checkpoint or a collector (P6). */
START_TEST(declined_by_a_worker)
{
    crew.before_barrier = refuse_in_one;
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    atomic_store(&refuses, true);
    crew_write(&crew, 1);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    int64_t id = crew_await_event(&crew, 1, CAIRN_EVENT_BARRIER);
    ck_assert(await_objects(id, true));
    ck_assert_int_eq(crew_await_event(&crew, 2, CAIRN_EVENT_ABORTED), id); /* which it declines */
    ck_assert_int_eq(crew_await_event(&crew, 1, CAIRN_EVENT_ABORTED), id);
    ck_assert_int_eq(crew_await_event(&crew, 3, CAIRN_EVENT_ABORTED), id);
    ck_assert(await_objects(id, false));
    ck_fails(crew_checkpoint(&crew, false, NULL, reterr), CAIRN_EABORTED, "'words' subtask 1");
    atomic_store(&refuses, false);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    restart();
    crew_check(&crew);
}
END_TEST

START_TEST(finished_in_a_worker)
{
    cairn_snapshot *snapshot;
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(cairn_task_finish(crew.members[2].task, reterr));
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    ck_ok(cairn_snapshot_open(crew.f.store, "job", info.id, &snapshot, reterr));
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(cairn_snapshot_subtask(snapshot, 0, i)->is_finished, i == 1);
    cairn_snapshot_close(snapshot);
    for (uint32_t i = 1; i <= crew.workers; i += 2)
        ck_ok(cairn_task_finish(crew.members[i].task, reterr));
    ck_ok(cairn_job_checkpoint(crew_job(&crew), NULL, NULL, reterr)); /* nobody polls */
    restart();
    crew_check(&crew);
}
END_TEST

/* A barrier comes through a channel before its worker has looked at the store: the worker looks
 * then. */
START_TEST(barrier_before_its_trigger)
{
    cairn_gate_options options = CAIRN_GATE_OPTIONS_INIT;
    cairn_gate *gate;
    cairn_event event = {0};
    options.channel_count = 1;
    crew.members[2].f.options.poll_interval_ms = 1500;
    for (uint32_t i = 0; i <= crew.workers; i++)
        ck_assert_int_eq(crew_open(&crew, i), 0);
    ck_ok(cairn_gate_open(crew.members[2].task, &options, &gate, reterr));
    crew_must_start(&crew);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    for (uint64_t end_us = crn_now_us() + 5000000;
         event.type != CAIRN_EVENT_BARRIER && crn_now_us() < end_us;)
        ck_ok(cairn_task_wait(crew.members[1].task, 50, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_BARRIER);
    ck_ok(cairn_gate_barrier(gate, 0, &event.barrier, reterr));
    const uint64_t id = event.checkpoint_id;
    ck_ok(cairn_task_poll(crew.members[2].task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_BARRIER);
    ck_assert_uint_eq(event.checkpoint_id, id);
    ck_assert_int_eq(crew_await_event(&crew, 3, CAIRN_EVENT_BARRIER), (int64_t)event.checkpoint_id);
    ck_assert_int_eq(crew_await_event(&crew, 1, CAIRN_EVENT_COMPLETED),
                     (int64_t)event.checkpoint_id);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Savepoints
 * ------------------------------------------------------------------------------------------ */

START_TEST(savepoints_are_whole)
{
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    crew_use(&crew, &crn_heap_backend);
    crew_must_start(&crew);
    crew_write(&crew, 0);
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle;
    options.target_uri = crew.savepoints;
    ck_ok(cairn_savepoint_begin(crew_job(&crew), &options, &handle, reterr));
    await_everywhere(CAIRN_EVENT_BARRIER, 0);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, &info, reterr));
    cairn_savepoint_close(handle);
    await_everywhere(CAIRN_EVENT_SAVEPOINT, info.id);
    crew_close(&crew);
    /* From there, whatever the job has had; and with another number of workers. */
    crew.members[0].f.options.restore_uri = info.location;
    crew.workers = 2;
    crew_must_start(&crew);
    crew_check(&crew);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    await_everywhere(CAIRN_EVENT_BARRIER, 0);
    await_everywhere(CAIRN_EVENT_INDEPENDENT, 0);
}
END_TEST

START_TEST(native_savepoints_are_whole)
{
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_savepoint(&crew, CAIRN_NATIVE, false, &info, reterr));
    crew_close(&crew);
    crew.members[0].f.options.restore_uri = info.location;
    crew_must_start(&crew);
    crew_check(&crew);
}
END_TEST

START_TEST(savepoint_where_workers_cannot_go)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_store *memory;
    ck_ok(cairn_store_open("memory:", &memory, reterr));
    options.target_store = memory;
    crew_must_start(&crew);
    ck_fails(cairn_savepoint(crew_job(&crew), &options, NULL, reterr), CAIRN_EUNSUPPORTED, "URI");
    crew_close(&crew);
    cairn_store_close(memory);
}
END_TEST

START_TEST(stop_with_savepoint)
{
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_event event;
    crew_use(&crew, &crn_heap_backend);
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_savepoint(&crew, CAIRN_CANONICAL, true, &info, reterr));
    for (uint32_t i = 1; i <= crew.workers; i++) {
        (void)crew_await_event(&crew, i, CAIRN_EVENT_STOPPED); /* unless the pump had it */
        ck_assert_int_eq(crew_await_error(&crew, i), CAIRN_ECLOSED);
        ck_assert_int_eq(cairn_job_get_state(crew.members[i].job), CAIRN_JOB_STOPPED);
    }
    ck_assert_int_eq(cairn_job_get_state(crew_job(&crew)), CAIRN_JOB_STOPPED);
    crew_close(&crew);
    crew.workers = 5;
    crew_must_start(&crew);
    crew_check(&crew);
    ck_ok(cairn_task_poll(crew.members[1].task, &event, reterr));
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Who may do what
 * ------------------------------------------------------------------------------------------ */

START_TEST(workers_give_no_orders)
{
    crew_must_start(&crew);
    cairn_job *worker = crew.members[1].job;
    cairn_task *task = crew.members[1].task;
    cairn_savepoint_options savepoint = CAIRN_SAVEPOINT_OPTIONS_INIT;
    savepoint.target_uri = crew.savepoints;
    ck_fails(cairn_job_trigger(worker, NULL, reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_fails(cairn_job_checkpoint(worker, NULL, NULL, reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_fails(cairn_task_checkpoint(task, NULL, NULL, reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_fails(cairn_savepoint(worker, &savepoint, NULL, reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_fails(cairn_savepoint_begin(worker, &savepoint, NULL, reterr), CAIRN_EUNSUPPORTED,
             "coordinator");
    ck_fails(cairn_task_savepoint(task, &savepoint, NULL, reterr), CAIRN_EUNSUPPORTED,
             "coordinator");
    ck_fails(cairn_job_cancel(worker, reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr)); /* no harm done */
}
END_TEST

START_TEST(no_coordinator)
{
    crew.members[1].f.options.join_timeout_ms = 60;
    ck_assert_int_eq(crew_open(&crew, 1), CAIRN_ETIMEOUT);
    ck_assert_ptr_nonnull(strstr(crew.members[1].message, "coordinator"));
    ck_assert_ptr_null(crew.members[1].job);
}
END_TEST

/* The message says how many have come; and when the others have, it may be tried again. */
START_TEST(too_few_workers)
{
    crew.members[0].f.options.join_timeout_ms = 200;
    ck_assert_int_eq(crew_open(&crew, 0), 0);
    ck_fails(cairn_job_start(crew_job(&crew), reterr), CAIRN_ETIMEOUT, "0 of 3 workers");
    crew.members[0].f.options.join_timeout_ms = 5000;
    crew_close_member(&crew, 0);
    crew_must_start(&crew);
}
END_TEST

/* A worker is told when its coordinator gives up. */
START_TEST(coordinator_gives_up)
{
    crew.members[0].f.options.join_timeout_ms = 150;
    ck_assert_int_eq(crew_open(&crew, 0), 0);
    ck_assert_int_eq(crew_open(&crew, 1), 0);
    ck_fails(cairn_job_start(crew_job(&crew), reterr), CAIRN_ETIMEOUT, "of 3 workers");
    crew_close_member(&crew, 0);
    ck_fails(cairn_job_start(crew.members[1].job, reterr), CAIRN_EFAILED, "open the job again");
}
END_TEST

/* Two processes for one subtask: the job does not start, and says which one it is. */
START_TEST(a_subtask_in_two_processes)
{
    crew.members[0].f.options.worker_timeout_ms = 500; /* one may be dead, and the other its heir */
    crew.members[3].index = 0;
    ck_assert_int_eq(crew_start(&crew), CAIRN_EEXIST);
    ck_assert_ptr_nonnull(strstr(crew.members[0].message, "'words' subtask 0"));
    crew.members[3].index = 2;
    crew_must_start(&crew);
}
END_TEST

/* The same when there is no time to find out whether one of them is dead. */
START_TEST(two_processes_and_little_time)
{
    crew.members[0].f.options.join_timeout_ms = 300;
    crew.members[3].index = 0;
    ck_assert_int_eq(crew_start(&crew), CAIRN_EEXIST);
}
END_TEST

/* A worker more than are needed is not let in once the job runs. */
START_TEST(a_worker_too_many)
{
    crew_must_start(&crew);
    crew.members[4].f.options.join_timeout_ms = 100;
    crew.members[4].index = 1;
    ck_assert_int_eq(crew_open(&crew, 4), CAIRN_ETIMEOUT);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
}
END_TEST

static void open_other(uint32_t member, uint32_t subtask, uint32_t parallelism, cairn_type key_type)
{
    struct crew_member *m = &crew.members[member];
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.subtask = subtask;
    options.parallelism = parallelism;
    options.key_type = key_type;
    ck_ok(cairn_task_open(m->job, "other", &options, &m->task, reterr));
}

/* Every subtask has to be somewhere, opened alike. */
static const struct misfit {
    uint32_t subtask, parallelism; /* of the third worker; the others have 0 and 1 of 3 */
    cairn_type key_type;
    const char *message;
} misfits[] = {
    {1, 3, CAIRN_INT64, "'other' subtask 1 is in two processes"},
    {2, 3, CAIRN_STRING, "keys of type"},
    {3, 4, CAIRN_INT64, "different parallelism"},
};

START_TEST(subtasks_that_do_not_fit)
{
    const struct misfit *misfit = &misfits[_i];
    crew.members[0].f.options.worker_timeout_ms = 500;
    for (uint32_t i = 0; i <= 3; i++) {
        struct crew_member *m = &crew.members[i];
        m->f.options.worker_count = i == 0 ? 3 : 0;
        ck_ok(fixture_open_job(&m->f, "job", &m->job, reterr));
    }
    open_other(1, 0, 3, CAIRN_INT64);
    open_other(2, 1, 3, CAIRN_INT64);
    open_other(3, misfit->subtask, misfit->parallelism, misfit->key_type);
    ck_assert_int_eq(crew_start(&crew), _i == 0 ? CAIRN_EEXIST : CAIRN_EINVAL);
    ck_assert_msg(strstr(crew.members[0].message, misfit->message) != NULL, "'%s'",
                  crew.members[0].message);
}
END_TEST

START_TEST(a_subtask_that_is_nowhere)
{
    crew_open(&crew, 0);
    crew.workers = 4; /* but there are three of them */
    for (uint32_t i = 1; i <= 3; i++)
        ck_assert_int_eq(crew_open(&crew, i), 0);
    crew.workers = 3;
    ck_assert_int_eq(crew_start(&crew), CAIRN_EINVAL);
    ck_assert_msg(strstr(crew.members[0].message, "subtask 3 is not open") != NULL, "'%s'",
                  crew.members[0].message);
}
END_TEST

struct seen_workers {
    uint32_t count;
    uint32_t subtasks;
};

static int see_worker(void *context, const cairn_worker_info *worker)
{
    struct seen_workers *seen = context;
    ck_assert_uint_eq(worker->index, seen->count++);
    ck_assert_uint_eq(worker->struct_size, sizeof *worker);
    ck_assert_uint_eq(worker->pid, (uint64_t)getpid());
    ck_assert_uint_gt(strlen(worker->host), 0);
    ck_assert_uint_lt(worker->silent_ms, 3000);
    ck_assert_uint_eq(worker->is_lost, 0);
    seen->subtasks += worker->subtask_count;
    return seen->count == 7 || strcmp(worker->name, "bob") == 0 ? 5 : 0;
}

START_TEST(workers_are_known)
{
    struct seen_workers seen = {0}, again = {0}, none = {0};
    for (uint32_t i = 1; i <= 3; i++)
        crew.members[i].f.options.worker_name = i == 1 ? "ann" : i == 2 ? "cy" : "dee";
    crew_must_start(&crew);
    ck_assert_int_eq(cairn_job_each_worker(crew_job(&crew), see_worker, &seen), 0);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_uint_eq(seen.subtasks, 3);
    again.count = 0;
    ck_assert_int_eq(cairn_job_each_worker(crew.members[1].job, see_worker, &none), 0);
    ck_assert_uint_eq(none.count, 0);
    ck_assert_int_eq(cairn_job_each_worker(NULL, see_worker, &none), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_job_each_worker(crew_job(&crew), NULL, &none), CAIRN_EINVAL);
    crew_close(&crew);
    crew.members[1].f.options.worker_name = "bob";
    crew.workers = 1;
    crew_must_start(&crew);
    ck_assert_int_eq(cairn_job_each_worker(crew_job(&crew), see_worker, &again), 5);
    ck_assert_uint_eq(cairn_job_epoch(NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster");
    TCase *checkpoints = tcase_create("checkpoints"), *savepoints = tcase_create("savepoints");
    TCase *rules = tcase_create("rules");
    TCase *const all[] = {checkpoints, savepoints, rules};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tcase_set_timeout(all[i], 30);
        tcase_add_checked_fixture(all[i], setup, teardown);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(checkpoints, state_is_of_one_moment);
    tcase_add_test(checkpoints, what_is_stored_is_not_stored_again);
    tcase_add_test(checkpoints, tasks_hear_of_it);
    tcase_add_test(checkpoints, coordinator_with_a_task);
    tcase_add_test(checkpoints, declined_by_a_worker);
    tcase_add_test(checkpoints, finished_in_a_worker);
    tcase_add_test(checkpoints, barrier_before_its_trigger);
    tcase_add_test(savepoints, savepoints_are_whole);
    tcase_add_test(savepoints, native_savepoints_are_whole);
    tcase_add_test(savepoints, savepoint_where_workers_cannot_go);
    tcase_add_test(savepoints, stop_with_savepoint);
    tcase_add_test(rules, workers_give_no_orders);
    tcase_add_test(rules, no_coordinator);
    tcase_add_test(rules, too_few_workers);
    tcase_add_test(rules, coordinator_gives_up);
    tcase_add_test(rules, a_subtask_in_two_processes);
    tcase_add_test(rules, two_processes_and_little_time);
    tcase_add_test(rules, a_worker_too_many);
    tcase_add_loop_test(rules, subtasks_that_do_not_fit, 0, sizeof misfits / sizeof misfits[0]);
    tcase_add_test(rules, a_subtask_that_is_nowhere);
    tcase_add_test(rules, workers_are_known);
    return crn_test_run(suite);
}
