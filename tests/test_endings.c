/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves how a job ends while it is open, with a thread for each task:
 *   - of a stop with savepoint the tasks see DRAIN, STOPPING and STOPPED in this order, nothing in
 *     between, and nothing after it; if it fails, whatever store operation it was that failed, they
 *     see ABORTED, the job runs on, and has lost nothing;
 *   - who cancels a job, or lets it fail, finds its checkpoints, or none, as the options say; never
 *     anything else, whatever operation of the removal fails, or kills the process (P5, P6);
 *   - a job that was taken over removes nothing (P7).
 */
#include "tests/support/followers.h"
#include "tests/support/oracle.h"

#include "backends/storage/storage.h"
#include "cairn/inspect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct fixture f;
static struct subject s;
static struct oracle oracle;
static struct followers followers;
static uint64_t seed;
static cairn_store *target; /* of savepoints: a fault store of its own */

static void open_job(void)
{
    ck_ok(subject_open(&f, "job", &s, reterr));
}

static void setup(void)
{
    cairn_store *inner = NULL;
    fixture_init(&f, false);
    ck_ok(crn_memory_store_open(&inner, reterr));
    ck_ok(crn_fault_store_open(inner, &target, reterr));
    f.options.savepoint_store = target;
    oracle_init(&oracle);
    seed = 11;
    s = (struct subject){0};
}

static void teardown(void)
{
    if (s.job != NULL)
        subject_close(&s);
    cairn_store_close(target);
    fixture_done(&f);
}

static void mutate(void)
{
    oracle_mutate(&oracle, &s, &seed, 40);
}

static void checkpoint(void)
{
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
}

static void check_state(void)
{
    const char *why = oracle_compare(&oracle, &s);
    ck_assert_msg(why == NULL, "%s", why);
}

static cairn_savepoint_options stop_options(bool drain)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.stop = 1;
    options.drain = drain;
    return options;
}

static int stop(bool drain, cairn_savepoint_info *ret, cairn_error **reterr)
{
    const cairn_savepoint_options options = stop_options(drain);
    return cairn_savepoint(s.job, &options, ret, reterr);
}

/* What every task has seen of the stop: this, and nothing else. */
static void check_stopped(bool drain, uint64_t id)
{
    const unsigned long long n = id;
    CRN_AUTO_FREE char *expected = NULL;
    if (drain)
        ck_ok(
            crn_str_printf(&expected, reterr, "drain %llu, stopping %llu, stopped %llu", n, n, n));
    else
        ck_ok(crn_str_printf(&expected, reterr, "stopping %llu, stopped %llu", n, n));
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        CRN_AUTO_FREE char *story = follower_story(&followers.each[i]);
        ck_assert_str_eq(story, expected);
    }
}

/* The record of that id in the job's log or a savepoint's directory. */
static const cairn_record_info *find_record(const cairn_log *log, uint64_t id)
{
    for (size_t i = 0; i < cairn_log_size(log); i++)
        if (cairn_log_at(log, i)->id == id)
            return cairn_log_at(log, i);
    return NULL;
}

static void check_is_stop(cairn_store *store, const char *name, uint64_t id, bool is_stop)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(store, name, &log, reterr));
    const cairn_record_info *record = find_record(log, id);
    ck_assert_ptr_nonnull(record);
    ck_assert_int_eq(record->kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_int_eq(record->is_stop, is_stop);
    cairn_log_close(log);
}

/* ------------------------------------------------------------------------------------------ *
 * A process that dies
 * ------------------------------------------------------------------------------------------ */

/* What it tells this one: its state as of its newest checkpoint, and at its end. NULL: it is this
 * one. */
static struct oracle *shown;

static void open_directory(const char *path, cairn_store **ret)
{
    cairn_store *inner = NULL;
    ck_ok(crn_posix_store_open(path, CRN_TRANSFER_AUTO, true, &inner, reterr));
    ck_ok(crn_fault_store_open(inner, ret, reterr));
}

/* Both stores are directories from now on, so that they outlive a process; in memory, if there is
 * such a place. */
static void be_on_disk(void)
{
    CRN_AUTO_FREE char *saved = fixture_dir(&f, "saved");
    cairn_store_close(f.store);
    cairn_store_close(target);
    open_directory(f.store_dir, &f.store);
    open_directory(saved, &target);
    f.options.store = f.store;
    f.options.savepoint_store = target;
    shown =
        mmap(NULL, 2 * sizeof *shown, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(shown != MAP_FAILED);
}

/* No job is open in this process while another one does this, and dies. Then the stores are as it
 * left them. */
static void run_and_die(void (*live)(struct crn_fault_plan), struct crn_fault_plan plan)
{
    CRN_AUTO_FREE char *saved = fixture_dir(&f, "saved");
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        live(plan);
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
              (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    cairn_store_close(f.store);
    cairn_store_close(target);
    open_directory(f.store_dir, &f.store);
    open_directory(saved, &target);
    f.options.store = f.store;
    if (f.options.savepoint_store != NULL)
        f.options.savepoint_store = target;
}

/* ------------------------------------------------------------------------------------------ *
 * Stop with savepoint
 * ------------------------------------------------------------------------------------------ */

START_TEST(a_stop_is_seen_in_order)
{
    const bool drain = _i == 1;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    open_job();
    mutate();
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_RUNNING);
    followers_start(&followers, &s);
    ck_ok(stop(drain, &info, reterr));
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_STOPPED);
    followers_wait(&followers);
    check_stopped(drain, info.id);
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        const struct follower *follower = &followers.each[i];
        const cairn_barrier *barrier = &follower->events[drain].barrier;
        ck_assert_uint_eq(barrier->checkpoint_id, info.id);
        ck_assert_uint_eq(barrier->flags, CAIRN_BARRIER_SAVEPOINT);
        ck_assert_int_ne(barrier->trigger_time_ms, 0);
        ck_assert_int_eq(follower->code, CAIRN_ECLOSED);
        ck_assert_msg(strstr(follower->message, info.location) != NULL, "%s", follower->message);
    }
    check_is_stop(f.store, "job", info.id, true);
    check_is_stop(target, info.location, info.id, true);
    ck_fails(cairn_job_trigger(s.job, NULL, reterr), CAIRN_ECLOSED, "was stopped with savepoint");
    ck_fails(cairn_savepoint(s.job, NULL, NULL, reterr), CAIRN_ECLOSED, "was stopped");
    ck_ok(cairn_job_cancel(s.job, reterr)); /* it has ended already */
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_STOPPED);
    check_state(); /* it can be read as long as it is open */
}
END_TEST

/* An ordinary one stops nothing, and says so; and each barrier says what it is. */
START_TEST(barriers_tell_what_they_are_of)
{
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_savepoint_info second = CAIRN_SAVEPOINT_INFO_INIT;
    open_job();
    followers_start(&followers, &s);
    ck_ok(cairn_job_checkpoint(s.job, NULL, &first, reterr));
    ck_ok(cairn_savepoint(s.job, NULL, &second, reterr));
    followers_leave(&followers);
    check_is_stop(f.store, "job", second.id, false);
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        const cairn_event *events = followers.each[i].events;
        ck_assert_int_eq(events[0].type, CAIRN_EVENT_BARRIER);
        ck_assert_uint_eq(events[0].barrier.checkpoint_id, first.id);
        ck_assert_int_eq(events[0].barrier.trigger_time_ms, first.trigger_time_ms);
        ck_assert_uint_eq(events[0].barrier.flags, 0);
        ck_assert_int_eq(events[2].type, CAIRN_EVENT_BARRIER);
        ck_assert_uint_eq(events[2].barrier.checkpoint_id, second.id);
        ck_assert_uint_eq(events[2].barrier.flags, CAIRN_BARRIER_SAVEPOINT);
        ck_assert_int_eq(events[3].type, CAIRN_EVENT_SAVEPOINT);
    }
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_RUNNING);
}
END_TEST

START_TEST(contradictions_are_refused)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    open_job();
    options.drain = 1;
    ck_fails(cairn_savepoint(s.job, &options, NULL, reterr), CAIRN_EINVAL, "drain needs stop");
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_RUNNING);
    ck_assert_int_eq(cairn_job_get_state(NULL), CAIRN_EINVAL);
    ck_fails(cairn_job_cancel(NULL, reterr), CAIRN_EINVAL, "NULL");
}
END_TEST

/* The task that asks takes its barrier itself: only STOPPED comes to its poll. */
START_TEST(a_task_can_stop_its_job)
{
    const cairn_savepoint_options options = stop_options(true);
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    struct pump pump = {0};
    cairn_event event;
    open_job();
    mutate();
    pump_start(&pump, &s.tasks[1], SUBJECT_TASKS - 1);
    ck_ok(cairn_task_savepoint(s.tasks[0], &options, &info, reterr));
    pump_stop(&pump);
    ck_ok(cairn_task_poll(s.tasks[0], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_STOPPED);
    ck_assert_uint_eq(event.checkpoint_id, info.id);
    ck_fails(cairn_task_poll(s.tasks[0], &event, reterr), CAIRN_ECLOSED, "was stopped");
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_ECLOSED, "was stopped");
}
END_TEST

/* Those who ask for a stop one after another: the first one ends the job, and the rest hear it. */
START_TEST(a_second_stop_comes_too_late)
{
    const cairn_savepoint_options options = stop_options(false);
    cairn_savepoint_handle *first = NULL, *second = NULL;
    open_job();
    ck_ok(cairn_savepoint_begin(s.job, &options, &first, reterr));
    ck_ok(cairn_savepoint_begin(s.job, &options, &second, reterr));
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_STOPPING);
    ck_ok(cairn_job_trigger(s.job, NULL, reterr)); /* which waits for the stop to fail */
    followers_start(&followers, &s);
    ck_ok(cairn_savepoint_wait(first, UINT64_MAX, NULL, reterr));
    ck_fails(cairn_savepoint_wait(second, UINT64_MAX, NULL, reterr), CAIRN_ECLOSED, "was stopped");
    followers_wait(&followers);
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_STOPPED);
    cairn_savepoint_close(first);
    cairn_savepoint_close(second);
}
END_TEST

/* One that cannot be: the job has its state, its checkpoints and its tasks, and goes on. */
static void check_goes_on(void)
{
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_RUNNING);
    check_state();
    mutate();
    checkpoint();
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}

START_TEST(a_stop_that_is_not_polled_for_in_time_is_aborted)
{
    cairn_savepoint_options options = stop_options(true);
    cairn_savepoint_handle *handle = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    options.timeout_ms = 100;
    open_job();
    mutate();
    ck_ok(cairn_savepoint_begin(s.job, &options, &handle, reterr));
    cairn_event event = {0};
    for (int i = 0; i < 1000 && event.type != CAIRN_EVENT_STOPPING; i++)
        ck_ok(cairn_task_wait(s.tasks[0], 100, &event, reterr)); /* the others sleep */
    ck_assert_int_eq(event.type, CAIRN_EVENT_STOPPING);
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_STOPPING);
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EABORTED, "timed out");
    ck_ok(cairn_savepoint_status(handle, &info, reterr));
    cairn_savepoint_close(handle);
    ck_ok(cairn_task_wait(s.tasks[0], 1000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_ABORTED);
    ck_ok(cairn_task_wait(s.tasks[1], 1000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_DRAIN);
    ck_ok(cairn_task_wait(s.tasks[1], 1000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_ABORTED);
    check_goes_on();
}
END_TEST

/* Who sleeps through many events still hears what became of the stop that it waits for. */
START_TEST(the_outcome_of_a_stop_is_not_crowded_out)
{
    cairn_savepoint_options options = stop_options(false);
    cairn_event event = {0};
    cairn_savepoint_handle *handle = NULL;
    f.options.checkpoint_timeout_ms = 5;
    options.timeout_ms = 300;
    open_job();
    ck_ok(cairn_savepoint_begin(s.job, &options, &handle, reterr));
    for (int i = 0; i < 1000 && event.type != CAIRN_EVENT_STOPPING; i++)
        ck_ok(cairn_task_wait(s.tasks[0], 100, &event, reterr));
    const uint64_t id = event.checkpoint_id;
    ck_assert_int_eq(cairn_savepoint_wait(handle, UINT64_MAX, NULL, NULL), CAIRN_EABORTED);
    cairn_savepoint_close(handle);
    for (int i = 0; i < 20; i++) /* nobody polls */
        ck_assert_int_eq(cairn_job_checkpoint(s.job, NULL, NULL, NULL), CAIRN_EABORTED);
    ck_ok(cairn_task_poll(s.tasks[0], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_ABORTED);
    ck_assert_uint_eq(event.checkpoint_id, id);
}
END_TEST

/* The k-th operation on the job's store or the target fails during the stop. */
static void stop_under_fault(cairn_store *store, struct crn_fault_plan plan)
{
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    f.options.checkpoint_timeout_ms = 400;
    open_job();
    mutate();
    checkpoint();
    mutate();
    followers_start(&followers, &s);
    crn_fault_store_arm(store, &plan);
    int r = stop(true, &info, NULL);
    crn_fault_store_arm(store, &(struct crn_fault_plan){.mode = CRN_FAULT_NEVER});
    if (r == CAIRN_EUNKNOWN || r == CAIRN_EUNAVAIL) { /* overdue: it is tried on, and ends now */
        for (int i = 0; i < 5000 && cairn_job_get_state(s.job) == CAIRN_JOB_STOPPING; i++)
            crn_sleep_us(1000);
        r = cairn_job_get_state(s.job) == CAIRN_JOB_STOPPED ? 0 : CAIRN_EABORTED;
        info.id = followers.each[0].events[0].checkpoint_id;
    }
    if (r == 0) {
        followers_wait(&followers);
        check_stopped(true, info.id);
        subject_close(&s);
        store_check_tidy(f.store, "job");
        oracle_check_store(&oracle, &f, f.store, "job");
        return;
    }
    followers_leave(&followers);
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        const struct follower *follower = &followers.each[i];
        const unsigned count = atomic_load(&follower->count);
        ck_assert_int_eq(follower->code, 0);
        /* One that had no id at all is told by its handle only. */
        ck_assert(count == 0 || follower->events[count - 1].type == CAIRN_EVENT_ABORTED);
    }
    check_goes_on();
}

START_TEST(a_stop_survives_a_fault_in_its_target)
{
    static const struct crn_fault_plan plans[] = {
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .code = CAIRN_EIO},
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_LOST_REPLY},
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .code = CAIRN_ENOSPC, .and_after = true},
    };
    struct crn_fault_plan plan = plans[_i % 3];
    plan.at = (uint64_t)_i / 3 + 1;
    stop_under_fault(target, plan);
}
END_TEST

START_TEST(a_stop_survives_a_fault_in_the_jobs_store)
{
    static const struct crn_fault_plan plans[] = {
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .code = CAIRN_EUNAVAIL},
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_LOST_REPLY},
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .code = CAIRN_EUNAVAIL, .and_after = true},
    };
    struct crn_fault_plan plan = plans[_i % 3];
    plan.at = (uint64_t)_i / 3 + 1;
    stop_under_fault(f.store, plan);
}
END_TEST

static bool kills_target;

static void stop_and_die(struct crn_fault_plan plan)
{
    open_job();
    mutate();
    checkpoint();
    shown[0] = oracle;
    mutate();
    shown[1] = oracle;
    followers_start(&followers, &s);
    crn_fault_store_arm(kills_target ? target : f.store, &plan);
    (void)stop(true, NULL, NULL); /* or it was killed */
    followers_wait(&followers);
    subject_close(&s);
}

static bool was_stopped(void)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    const bool is_stop = cairn_log_at(log, cairn_log_size(log) - 1)->is_stop != 0;
    cairn_log_close(log);
    return is_stop;
}

/* SIGKILL right before or after the k-th operation on either store. Where the log stands, there the
 * next start goes on, and what is no savepoint is removed by it (P6). */
START_TEST(a_stop_that_is_killed_has_happened_or_not)
{
    be_on_disk();
    CRN_AUTO_FREE char *saved = fixture_dir(&f, "saved");
    kills_target = _i % 4 >= 2;
    if (!kills_target) { /* a store that is lent has no name by which the next start could find it
                          */
        f.options.savepoint_store = NULL;
        f.options.savepoint_uri = saved;
    }
    run_and_die(stop_and_die,
                (struct crn_fault_plan){.ops = CRN_FAULT_ANY,
                                        .mode = _i % 2 == 0 ? CRN_FAULT_KILL : CRN_FAULT_KILL_AFTER,
                                        .at = (uint64_t)_i / 4 + 1});
    const bool has_happened = was_stopped();
    open_job();
    const char *why = oracle_compare(&shown[has_happened], &s);
    ck_assert_msg(why == NULL, "%s", why);
    oracle = shown[has_happened];
    mutate();
    checkpoint();
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
    /* A manifest without a pointer is a savepoint, too: the user's. */
    char **names = NULL;
    size_t count = 0;
    ck_ok(cairn_store_jobs(target, &names, &count, reterr));
    ck_assert_uint_le(count, 1);
    ck_assert_uint_ge(count, has_happened);
    if (count == 0 && !kills_target)
        ck_assert_uint_eq(store_count(target, ""), 0);
    cairn_names_free(names, count);
    ck_assert_int_eq(munmap(shown, 2 * sizeof *shown), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Cancelled and failed
 * ------------------------------------------------------------------------------------------ */

static uint64_t newest_id(void)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    uint64_t id = cairn_log_at(log, cairn_log_size(log) - 1)->id;
    cairn_log_close(log);
    return id;
}

static void check_started_empty(uint64_t above)
{
    struct oracle empty;
    oracle_init(&empty);
    open_job();
    ck_assert_int_eq(cairn_job_restored(s.job, NULL), 0);
    const char *why = oracle_compare(&empty, &s);
    ck_assert_msg(why == NULL, "%s", why);
    ck_assert_uint_gt(newest_id(), above);
    oracle = empty;
    mutate();
    checkpoint();
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}

START_TEST(who_cancels_keeps_the_checkpoints)
{
    open_job();
    mutate();
    checkpoint();
    followers_start(&followers, &s);
    ck_ok(cairn_job_cancel(s.job, reterr));
    followers_wait(&followers);
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_CANCELLED);
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        ck_assert_int_eq(followers.each[i].code, CAIRN_ECANCELED);
        ck_assert_str_eq(followers.each[i].message, "job 'job' was cancelled");
    }
    ck_fails(cairn_job_checkpoint(s.job, NULL, NULL, reterr), CAIRN_ECANCELED, "was cancelled");
    ck_ok(cairn_job_cancel(s.job, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
    open_job();
    check_state();
}
END_TEST

START_TEST(who_cancels_may_remove_the_checkpoints)
{
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    f.options.on_cancel = CAIRN_DELETE;
    f.options.num_retained = 3;
    open_job();
    for (int i = 0; i < 3; i++) {
        mutate();
        checkpoint();
    }
    followers_start(&followers, &s);
    ck_ok(cairn_savepoint(s.job, NULL, &info, reterr));
    followers_leave(&followers);
    const uint64_t before = newest_id();
    ck_ok(cairn_job_cancel(s.job, reterr));
    subject_close(&s);
    ck_assert_uint_eq(store_count(f.store, "job/"), 1); /* the record that says so */
    store_check_tidy(f.store, "job");
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    const cairn_record_info *record = find_record(log, before + 1);
    ck_assert_int_eq(record->kind, CAIRN_RECORD_FENCE);
    ck_assert_msg(strstr(record->reason, "cancelled") != NULL, "%s", record->reason);
    ck_assert_uint_eq(record->log_start, record->id);
    cairn_log_close(log);
    ck_ok(cairn_log_open(target, info.location, &log, reterr)); /* which is the user's */
    cairn_log_close(log);
    check_started_empty(before + 1);
}
END_TEST

/* What is in flight is aborted first; who waits for it hears why. */
START_TEST(cancelling_ends_what_is_in_flight)
{
    const cairn_savepoint_options options = stop_options(false);
    cairn_savepoint_handle *handle = NULL;
    f.options.on_cancel = CAIRN_DELETE;
    open_job();
    mutate();
    checkpoint();
    ck_ok(cairn_savepoint_begin(s.job, &options, &handle, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    cairn_event event = {0};
    if (_i == 1) /* one task is in it already */
        for (int i = 0; i < 1000 && event.type != CAIRN_EVENT_STOPPING; i++)
            ck_ok(cairn_task_wait(s.tasks[0], 100, &event, reterr));
    ck_ok(cairn_job_cancel(s.job, reterr));
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EABORTED, "cancelled");
    cairn_savepoint_close(handle);
    ck_fails(cairn_task_poll(s.tasks[0], &event, reterr), CAIRN_ECANCELED, "cancelled");
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_CANCELLED);
    subject_close(&s);
    ck_assert_uint_eq(store_count(target, ""), 0);
    check_started_empty(1);
}
END_TEST

START_TEST(only_a_job_that_runs_is_cancelled)
{
    cairn_job *job = NULL;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_assert_int_eq(cairn_job_get_state(job), CAIRN_JOB_OPEN);
    ck_fails(cairn_job_cancel(job, reterr), CAIRN_EINVAL, "not started");
    ck_assert_int_eq(cairn_job_get_state(job), CAIRN_JOB_OPEN);
    cairn_job_close(job);
}
END_TEST

/* A job that fails by tolerable_failures, of a store that takes no object. */
START_TEST(a_job_that_failed_leaves_what_its_options_say)
{
    const bool removes = _i == 1;
    f.options.on_failure = removes ? CAIRN_DELETE : CAIRN_RETAIN;
    f.options.on_cancel = removes ? CAIRN_RETAIN : CAIRN_DELETE; /* the other one counts not */
    f.options.tolerable_failures = 1;
    open_job();
    mutate();
    checkpoint();
    const uint64_t before = newest_id();
    followers_start(&followers, &s);
    fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_PUT,
                                            .mode = CRN_FAULT_BEFORE,
                                            .at = 1,
                                            .and_after = true,
                                            .code = CAIRN_ENOSPC});
    for (int i = 0; i < 2; i++)
        ck_assert_int_lt(cairn_job_checkpoint(s.job, NULL, NULL, NULL), 0);
    followers_wait(&followers);
    fixture_disarm(&f, 0);
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_FAILED);
    ck_assert_int_eq(followers.each[0].code, CAIRN_EFAILED);
    ck_fails(cairn_job_trigger(s.job, NULL, reterr), CAIRN_EFAILED, "has failed");
    subject_close(&s);
    if (removes) {
        check_started_empty(before);
        return;
    }
    store_check_tidy(f.store, "job");
    open_job();
    check_state();
}
END_TEST

/* P7: the checkpoints are another process's. */
START_TEST(a_job_that_was_taken_over_removes_nothing)
{
    struct fixture other = f;
    struct subject heir;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "heir");
    f.options.on_cancel = CAIRN_DELETE;
    open_job();
    mutate();
    checkpoint();
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &heir, reterr));
    if (_i == 1) { /* it knows */
        ck_assert_int_eq(subject_checkpoint(&s, false, NULL, NULL), CAIRN_EFENCED);
        ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_FENCED);
    }
    ck_ok(cairn_job_cancel(s.job, reterr));
    subject_close(&s);
    const char *why = oracle_compare(&oracle, &heir);
    ck_assert_msg(why == NULL, "%s", why);
    ck_ok(subject_checkpoint(&heir, false, NULL, reterr));
    subject_close(&heir);
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr)); /* what the other one tried in vain */
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The removal fails, or is killed
 * ------------------------------------------------------------------------------------------ */

/* Old state or none, and one collection makes it tidy. */
static void check_all_or_nothing(void)
{
    struct oracle empty;
    oracle_init(&empty);
    f.options.on_cancel = CAIRN_RETAIN;
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr));
    store_check_tidy(f.store, "job");
    open_job();
    const bool is_there = cairn_job_restored(s.job, NULL) == 1;
    const char *why = oracle_compare(is_there ? &oracle : &empty, &s);
    ck_assert_msg(why == NULL, "%s", why);
    if (!is_there)
        oracle = empty;
    mutate();
    checkpoint();
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}

static void cancel_and_remove(struct crn_fault_plan plan)
{
    f.options.on_cancel = CAIRN_DELETE;
    f.options.num_retained = 2;
    open_job();
    for (int i = 0; i < 3; i++) {
        mutate();
        checkpoint();
    }
    if (shown != NULL)
        shown[0] = oracle;
    fixture_arm(&f, plan);
    ck_ok(cairn_job_cancel(s.job, reterr));
    subject_close(&s);
    fixture_disarm(&f, 0);
}

START_TEST(a_removal_that_fails_is_all_or_nothing)
{
    static const struct crn_fault_plan plans[] = {
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .code = CAIRN_EIO},
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_LOST_REPLY},
        {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_SHORT, .code = CAIRN_EACCES, .and_after = true},
    };
    struct crn_fault_plan plan = plans[_i % 3];
    plan.at = (uint64_t)_i / 3 + 1;
    cancel_and_remove(plan);
    check_all_or_nothing();
}
END_TEST

START_TEST(a_removal_that_is_killed_is_all_or_nothing)
{
    be_on_disk();
    run_and_die(cancel_and_remove,
                (struct crn_fault_plan){.ops = CRN_FAULT_ANY,
                                        .mode = _i % 2 == 0 ? CRN_FAULT_KILL : CRN_FAULT_KILL_AFTER,
                                        .at = (uint64_t)_i / 2 + 1});
    oracle = shown[0];
    check_all_or_nothing();
    ck_assert_int_eq(munmap(shown, 2 * sizeof *shown), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("endings");
    TCase *tcase = tcase_create("stop");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_stop_is_seen_in_order, 0, 2);
    tcase_add_test(tcase, barriers_tell_what_they_are_of);
    tcase_add_test(tcase, contradictions_are_refused);
    tcase_add_test(tcase, a_task_can_stop_its_job);
    tcase_add_test(tcase, a_second_stop_comes_too_late);
    tcase_add_test(tcase, a_stop_that_is_not_polled_for_in_time_is_aborted);
    tcase_add_test(tcase, the_outcome_of_a_stop_is_not_crowded_out);
    tcase_add_loop_test(tcase, a_stop_survives_a_fault_in_its_target, 0, 3 * 14);
    tcase_add_loop_test(tcase, a_stop_survives_a_fault_in_the_jobs_store, 0, 3 * 10);
    tcase_add_loop_test(tcase, a_stop_that_is_killed_has_happened_or_not, 0, 4 * 12);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("end");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, who_cancels_keeps_the_checkpoints);
    tcase_add_test(tcase, who_cancels_may_remove_the_checkpoints);
    tcase_add_loop_test(tcase, cancelling_ends_what_is_in_flight, 0, 2);
    tcase_add_test(tcase, only_a_job_that_runs_is_cancelled);
    tcase_add_loop_test(tcase, a_job_that_failed_leaves_what_its_options_say, 0, 2);
    tcase_add_loop_test(tcase, a_job_that_was_taken_over_removes_nothing, 0, 2);
    tcase_add_loop_test(tcase, a_removal_that_fails_is_all_or_nothing, 0, 3 * 12);
    tcase_add_loop_test(tcase, a_removal_that_is_killed_is_all_or_nothing, 0, 2 * 12);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
