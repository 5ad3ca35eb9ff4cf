/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processes of a job tell about it is true, in whichever of them one asks: the coordinator
 * shows its workers, their tasks, and for whom of them a snapshot waits; a worker shows what it
 * heard, and sends who gives it an order to its coordinator; counts and lines of the log are of all
 * tasks of a checkpoint, also in a coordinator that has none itself. Method: the handles of a
 * coordinator and of two workers over one store in memory, whose tasks poll when the test says so;
 * and clients of their endpoints.
 */
#include "tests/support/cluster_kit.h"
#include "tests/support/control_kit.h"
#include "tests/support/status_kit.h"

#include <stdio.h>
#include <string.h>

static struct crew crew;

/* The newest line of the coordinator's log about a snapshot that has ended. */
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_line[2000];

static void note_line(void *context, const cairn_log_line *line)
{
    (void)context;
    pthread_mutex_lock(&line_lock);
    if (strcmp(line->component, "checkpoint") == 0 && line->level <= CAIRN_LOG_INFO)
        (void)snprintf(last_line, sizeof last_line, "%s", line->message);
    pthread_mutex_unlock(&line_lock);
}

/* It comes right after the counts. */
static void check_last_line(const char *part)
{
    bool is_there = false;
    for (int i = 0; i < 1000 && !is_there; i++) {
        pthread_mutex_lock(&line_lock);
        is_there = strstr(last_line, part) != NULL;
        pthread_mutex_unlock(&line_lock);
        if (!is_there)
            crn_sleep_us(2000);
    }
    ck_assert_msg(is_there, "no '%s' in '%s'", part, last_line);
}

static char addresses[1 + CREW_WORKERS_MAX][300];

static void setup(void)
{
    static char names[CREW_WORKERS_MAX][40];
    crew_init(&crew, 2);
    last_line[0] = '\0';
    for (uint32_t i = 0; i <= CREW_WORKERS_MAX; i++) {
        cairn_job_options *o = &crew.members[i].f.options;
        (void)snprintf(addresses[i], sizeof addresses[i], "unix:%s/%u.sock", crew.f.root, i);
        o->control = addresses[i];
        if (i == 0) {
            o->log = note_line;
            continue;
        }
        (void)snprintf(names[i - 1], sizeof names[i - 1], "worker \"%u\"", i);
        o->worker_name = names[i - 1];
    }
}

static void teardown(void)
{
    crew_done(&crew);
}

static cairn_job *worker_job(uint32_t member)
{
    return crew.members[member].job;
}

/* Which worker has subtask `subtask` of "words". */
static uint32_t member_of(uint32_t subtask)
{
    for (uint32_t i = 1; i <= crew.workers; i++)
        if (crew.members[i].index == subtask)
            return i;
    ck_abort_msg("nobody has subtask %u", subtask);
}

static const struct crn_status_worker *worker_named(const struct crn_job_status *status,
                                                    const char *name)
{
    for (size_t i = 0; i < status->worker_count; i++)
        if (strcmp(status->workers[i].name, name) == 0)
            return &status->workers[i];
    ck_abort_msg("no worker '%s'", name);
}

static void poll_until(uint32_t member, cairn_event_type type)
{
    ck_assert_int_gt(crew_await_event(&crew, member, type), 0);
}

static void *start(void *arg)
{
    struct crew_member *m = arg;
    ck_assert_int_lt(cairn_job_start(m->job, NULL), 0);
    return NULL;
}

static struct crn_job_status *take_when_joined(size_t workers)
{
    for (int i = 0; i < 2000; i++) {
        struct crn_job_status *status = take_status(crew_job(&crew));
        if (status->worker_count == workers)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("%zu workers do not come", workers);
}

/* ------------------------------------------------------------------------------------------ *
 * Who is there
 * ------------------------------------------------------------------------------------------ */

START_TEST(a_coordinator_shows_its_workers)
{
    crew_must_start(&crew);
    struct crn_job_status *status = take_status(crew_job(&crew));
    ck_assert_int_eq(status->role, CAIRN_COORDINATOR);
    ck_assert_str_eq(status->worker_name, "");
    ck_assert_uint_eq(status->workers_wanted, 2);
    ck_assert_uint_eq(status->worker_count, 2);
    ck_assert_uint_eq(status->workers_lost, 0);
    for (uint32_t i = 1; i <= 2; i++) {
        const struct crn_status_worker *worker =
            worker_named(status, crew.members[i].f.options.worker_name);
        ck_assert_uint_eq(worker->pid, (uint64_t)getpid());
        ck_assert_str_eq(worker->host, status->host);
        ck_assert_uint_eq(worker->task_count, 1);
        ck_assert_uint_lt(worker->silent_us, 3000000);
        ck_assert(!worker->is_lost);
    }
    ck_assert_uint_eq(status->workers[0].index, 0);
    ck_assert_uint_eq(status->workers[1].index, 1);
    ck_assert_uint_eq(status->task_count, 2);
    for (uint32_t i = 0; i < 2; i++) { /* by uid, then subtask, whatever the workers' order */
        const struct crn_status_task *task = &status->tasks[i];
        ck_assert_str_eq(task->uid, "words");
        ck_assert_str_eq(task->name, "words");
        ck_assert(task->is_remote && !task->has_record && !task->has_gate);
        ck_assert_uint_eq(task->subtask, i);
        ck_assert_uint_eq(task->parallelism, 2);
        ck_assert_uint_eq(task->max_parallelism, 128);
        ck_assert_uint_eq(task->key_group_first, i * 64);
        ck_assert_uint_eq(task->key_group_last, i * 64 + 63);
        ck_assert_str_eq(status->workers[task->worker].name,
                         crew.members[member_of(i)].f.options.worker_name);
    }
    crew_close(&crew);
    ck_assert_str_eq(status->tasks[1].uid, "words"); /* the picture stays */
    crn_status_free(status);
}
END_TEST

/* Before the start those are there that have come so far. */
START_TEST(a_coordinator_that_waits_shows_who_has_come)
{
    pthread_t threads[2];
    crew.members[0].f.options.join_timeout_ms = 60000;
    ck_assert_int_eq(crew_open(&crew, 0), 0);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, start, &crew.members[0]), 0);
    struct crn_job_status *status = take_when_joined(0);
    ck_assert_int_eq(status->state, CAIRN_JOB_OPEN);
    ck_assert_uint_eq(status->task_count, 0);
    crn_status_free(status);
    ck_assert_int_eq(crew_open(&crew, 1), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, start, &crew.members[1]), 0);
    status = take_when_joined(1);
    ck_assert_uint_eq(status->workers_wanted, 2);
    ck_assert_str_eq(status->workers[0].name, "worker \"1\"");
    ck_assert_uint_eq(status->task_count, 1);
    ck_assert_str_eq(status->tasks[0].uid, "words");
    crn_status_free(status);
    crew_close_member(&crew, 0); /* neither has to wait until time is out */
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

/* Its own tasks stand among those of the workers, with all their figures. */
START_TEST(tasks_of_all_processes_stand_together)
{
    crew.has_tally = true;
    crew_must_start(&crew);
    crew_write(&crew, 1);
    struct crn_job_status *status = take_status(crew_job(&crew));
    ck_assert_uint_eq(status->task_count, 3);
    ck_assert_str_eq(status->tasks[0].uid, "tally");
    ck_assert(!status->tasks[0].is_remote);
    ck_assert_str_eq(status->tasks[2].uid, "words");
    ck_assert(status->tasks[2].is_remote);
    crn_status_free(status);
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    check_last_line("3 tasks");
    status = take_when_idle(crew_job(&crew));
    ck_assert_uint_eq(status->ended[0]->task_count, 3);
    ck_assert_uint_eq(status->histograms.stall_us.count, 3);
    ck_assert_uint_eq(status->histograms.duration_us.count, 1);
    ck_assert(status->has_latest);
    ck_assert_uint_eq(status->latest.id, info.id);
    ck_assert_uint_eq(status->tasks[0].stats.barriers, 1);
    for (size_t i = 1; i <= 2; i++) {
        ck_assert(status->tasks[i].has_record && !status->tasks[i].is_finished);
        ck_assert_uint_eq(status->tasks[i].stats.barrier_last_us,
                          status->ended[0]->tasks[i].stall_us);
    }
    crn_status_free(status);
}
END_TEST

START_TEST(a_worker_shows_what_it_heard)
{
    crew_must_start(&crew);
    struct crn_job_status *status = take_status(worker_job(1));
    ck_assert_int_eq(status->role, CAIRN_WORKER);
    ck_assert_int_eq(status->state, CAIRN_JOB_RUNNING);
    ck_assert_str_eq(status->worker_name, "worker \"1\"");
    ck_assert_uint_eq(status->epoch, cairn_job_epoch(crew_job(&crew)));
    ck_assert_uint_eq(status->worker_count + status->workers_wanted, 0);
    ck_assert_uint_eq(status->task_count, 1);
    ck_assert(!status->tasks[0].is_remote);
    crn_status_free(status);
    crn_sleep_us(300000);
    status = take_status(worker_job(1));
    const uint64_t silence_us = status->post_age_us;
    ck_assert_uint_ge(silence_us, 250000);
    crn_status_free(status);
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    status = take_when_idle(worker_job(1)); /* it has read that this one is complete */
    ck_assert_uint_lt(status->post_age_us, silence_us);
    ck_assert_uint_eq(status->counts.completed, 1);
    ck_assert_uint_eq(status->latest.id, info.id);
    ck_assert_uint_eq(status->ended[0]->task_count, 1);
    crn_status_free(status);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * In flight
 * ------------------------------------------------------------------------------------------ */

static struct crn_job_status *take_when_acked(size_t workers)
{
    for (int i = 0; i < 2000; i++) {
        struct crn_job_status *status = take_status(crew_job(&crew));
        if (status->in_flight_count == 1 && status->in_flight[0].workers_acked == workers)
            return status;
        crn_status_free(status);
        crn_sleep_us(2000);
    }
    ck_abort_msg("%zu workers do not acknowledge", workers);
}

START_TEST(who_holds_a_checkpoint_up)
{
    crew_must_start(&crew);
    crew_write(&crew, 1);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    struct crn_job_status *status = take_when_acked(0);
    const struct crn_status_snapshot *s = &status->in_flight[0];
    ck_assert_int_eq(s->phase, CRN_SNAPSHOT_TASKS);
    ck_assert_uint_eq(s->worker_count, 2);
    ck_assert_uint_eq(s->part_count, 2);
    ck_assert_uint_eq(s->phase_counts[CRN_PART_WAITING], 2);
    crn_status_free(status);

    poll_until(member_of(1), CAIRN_EVENT_BARRIER);
    status = take_when_acked(1);
    s = &status->in_flight[0];
    ck_assert_int_eq(s->phase, CRN_SNAPSHOT_TASKS);
    for (uint32_t i = 0; i < 2; i++) { /* parts by subtask, acknowledgements by worker */
        ck_assert_str_eq(s->parts[i].uid, "words");
        ck_assert_uint_eq(s->parts[i].subtask, i);
        ck_assert_int_eq(s->parts[i].phase, i == 1 ? CRN_PART_ACKED : CRN_PART_WAITING);
        ck_assert_uint_eq(s->acked[status->tasks[i].worker], i == 1);
    }
    ck_assert_uint_eq(s->phase_counts[CRN_PART_WAITING], 1);
    ck_assert_uint_eq(s->phase_counts[CRN_PART_ACKED], 1);
    ck_assert_uint_gt(s->total_bytes, 0);
    ck_assert_uint_eq(s->done_bytes, s->total_bytes);
    crn_status_free(status);

    /* The worker that is through waits for the other, and knows no timeout. */
    status = take_status(worker_job(member_of(1)));
    ck_assert_uint_eq(status->in_flight_count, 1);
    ck_assert_int_eq(status->in_flight[0].phase, CRN_SNAPSHOT_COMMITTING);
    ck_assert_uint_eq(status->in_flight[0].timeout_left_us, UINT64_MAX);
    ck_assert_uint_eq(status->in_flight[0].worker_count, 0);
    crn_status_free(status);

    poll_until(member_of(0), CAIRN_EVENT_BARRIER);
    status = take_when_idle(crew_job(&crew));
    ck_assert_uint_eq(status->counts.completed, 1);
    check_last_line("2 tasks");
    crn_status_free(status);
}
END_TEST

/* One that fails tells how far each came, in all processes. */
START_TEST(a_checkpoint_that_fails)
{
    crew.members[0].f.options.checkpoint_timeout_ms = 300;
    crew_must_start(&crew);
    crew_write(&crew, 1);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    poll_until(member_of(1), CAIRN_EVENT_BARRIER);
    struct crn_job_status *status = take_when_failed(crew_job(&crew), 1);
    const struct crn_ended *ended = status->ended[0];
    ck_assert_int_eq(ended->outcome, CRN_OUTCOME_FAILED);
    ck_assert_uint_eq(status->counts.failed_in_row, 1);
    ck_assert_uint_eq(ended->task_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const bool is_acked = ended->tasks[i].subtask == 1;
        ck_assert_int_eq(ended->tasks[i].phase, is_acked ? CRN_PART_ACKED : CRN_PART_WAITING);
        ck_assert_int_eq(ended->tasks[i].full_bytes > 0, is_acked);
    }
    ck_assert_msg(strstr(ended->reason, crew.members[member_of(0)].f.options.worker_name) != NULL,
                  "'%s' does not name who was late", ended->reason);
    check_last_line("1 of 2 tasks done");
    crn_status_free(status);
    poll_until(member_of(0), CAIRN_EVENT_ABORTED);
    status = take_when_failed(worker_job(member_of(0)), 1);
    ck_assert_uint_eq(status->counts.failed_in_row, 1);
    ck_assert_uint_eq(status->ended[0]->task_count, 1);
    crn_status_free(status);
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    crew.members[0].f.options.checkpoint_timeout_ms = 0;
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    status = take_when_idle(worker_job(member_of(0)));
    ck_assert_uint_eq(status->counts.failed_in_row, 0);
    crn_status_free(status);
}
END_TEST

START_TEST(a_stop_is_seen_everywhere)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle;
    crew_must_start(&crew);
    options.target_uri = crew.savepoints;
    options.format = CAIRN_NATIVE;
    options.stop = true;
    ck_ok(cairn_savepoint_begin(crew_job(&crew), &options, &handle, reterr));
    struct crn_job_status *status = take_when_acked(0);
    ck_assert_int_eq(status->state, CAIRN_JOB_STOPPING);
    ck_assert(status->in_flight[0].is_stop);
    crn_status_free(status);
    for (int i = 0; cairn_job_get_state(worker_job(1)) != CAIRN_JOB_STOPPING; i++) {
        ck_assert_int_lt(i, 2000);
        crn_sleep_us(2000);
    }
    poll_until(1, CAIRN_EVENT_STOPPING);
    poll_until(2, CAIRN_EVENT_STOPPING);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr));
    cairn_savepoint_close(handle);
    poll_until(1, CAIRN_EVENT_STOPPED);
    ck_assert_int_eq(cairn_job_get_state(worker_job(1)), CAIRN_JOB_STOPPED);
    ck_assert_int_eq(cairn_job_get_state(crew_job(&crew)), CAIRN_JOB_STOPPED);
    status = take_status(worker_job(1));
    ck_assert_int_eq(status->ended[0]->kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_uint_eq(status->counts.savepoints_completed, 1);
    crn_status_free(status);
}
END_TEST

START_TEST(a_worker_that_is_lost)
{
    crew_must_start(&crew);
    crew_close_member(&crew, 1);
    for (int i = 0; cairn_job_get_state(crew_job(&crew)) != CAIRN_JOB_FAILED; i++) {
        ck_assert_int_lt(i, 3000);
        crn_sleep_us(2000);
    }
    struct crn_job_status *status = take_status(crew_job(&crew));
    ck_assert_uint_eq(status->workers_lost, 1);
    ck_assert(worker_named(status, "worker \"1\"")->is_lost);
    ck_assert(!worker_named(status, "worker \"2\"")->is_lost);
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "has lost worker 'worker \"1\"'"));
    crn_status_free(status);
    ck_assert_int_eq(crew_await_error(&crew, 2), CAIRN_EFAILED);
    status = take_status(worker_job(2));
    ck_assert_int_eq(status->state, CAIRN_JOB_FAILED);
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "has lost worker 'worker \"1\"'"));
    crn_status_free(status);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Endpoints and metrics
 * ------------------------------------------------------------------------------------------ */

static struct answer ask(uint32_t member, const char *method, const char *path, const char *body)
{
    return request_at(addresses[member], NULL, method, path, body);
}

START_TEST(a_coordinators_endpoint)
{
    crew_must_start(&crew);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    poll_until(member_of(0), CAIRN_EVENT_BARRIER);
    struct crn_job_status *status = take_when_acked(1);
    char path[80];
    (void)snprintf(path, sizeof path, "/v1/checkpoints/%d", (int)status->in_flight[0].id);
    crn_status_free(status);
    AUTO_ANSWER job = ask(0, "GET", "/v1/job", NULL);
    ck_assert_str_eq(text_of(&job, "role"), "coordinator");
    ck_assert_ptr_null(text_of(&job, "worker_name"));
    ck_assert_ptr_null(member(&job, "last_post_age_us"));
    ck_assert_int_eq(number_of(&job, "workers_wanted"), 2);
    ck_assert_int_eq(number_of(&job, "worker_count"), 2);
    ck_assert_int_eq(number_of(&job, "workers_lost"), 0);
    ck_assert_int_eq(number_of(&job, "task_count"), 2);
    AUTO_ANSWER workers = ask(0, "GET", "/v1/workers", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&workers, "workers")), 2);
    ck_assert_ptr_nonnull(strstr(workers.body, "\"name\":\"worker \\\"1\\\"\""));
    AUTO_ANSWER tasks = ask(0, "GET", "/v1/tasks", NULL);
    ck_assert_ptr_nonnull(strstr(tasks.body, "\"keys_set\":null"));
    AUTO_ANSWER operators = ask(0, "GET", "/v1/operators", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&operators, "operators")), 1);
    ck_assert_ptr_nonnull(strstr(operators.body, "\"states\":null"));
    AUTO_ANSWER one = ask(0, "GET", path, NULL);
    ck_assert_int_eq(number_of(&one, "in_flight.workers_waiting"), 1);
    ck_assert_int_eq(number_of(&one, "in_flight.workers_acked"), 1);
    ck_assert_int_eq(number_of(&one, "in_flight.tasks_acked"), 1);
    ck_assert_uint_eq(json_object_array_length(member(&one, "workers")), 2);
    ck_assert_ptr_nonnull(strstr(one.body, "\"is_acked\":true"));
    ck_assert_ptr_nonnull(strstr(one.body, "\"is_acked\":false"));
    poll_until(member_of(1), CAIRN_EVENT_BARRIER);
}
END_TEST

START_TEST(a_workers_endpoint_sends_orders_away)
{
    crew_must_start(&crew);
    AUTO_ANSWER job = ask(1, "GET", "/v1/job", NULL);
    ck_assert_str_eq(text_of(&job, "role"), "worker");
    ck_assert_str_eq(text_of(&job, "worker_name"), "worker \"1\"");
    ck_assert_int_ge(number_of(&job, "last_post_age_us"), 0);
    ck_assert_int_eq(number_of(&job, "worker_count"), 0);
    static const char *const orders[] = {"/v1/checkpoints", "/v1/savepoints", "/v1/stop",
                                         "/v1/cancel"};
    for (size_t i = 0; i < CRN_COUNT(orders); i++)
        ck_refused(ask(1, "POST", orders[i], "{}"), 409, "CAIRN_EUNSUPPORTED",
                   "ask its coordinator");
    ck_fails(cairn_job_trigger(worker_job(1), NULL, reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_fails(cairn_job_cancel(worker_job(1), reterr), CAIRN_EUNSUPPORTED, "coordinator");
    ck_assert_int_eq(cairn_job_get_state(worker_job(1)), CAIRN_JOB_RUNNING);
    AUTO_ANSWER workers = ask(1, "GET", "/v1/workers", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&workers, "workers")), 0);
}
END_TEST

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

START_TEST(metrics_of_each_role)
{
    char *text;
    crew_must_start(&crew);
    ck_ok(cairn_job_metrics(crew_job(&crew), &text, reterr));
    ck_assert(has(text, "cairn_cluster_role{job_name=\"job\",role=\"coordinator\"} 1\n"));
    ck_assert(has(text, "cairn_cluster_role{job_name=\"job\",role=\"alone\"} 0\n"));
    ck_assert(has(text, "cairn_workers{job_name=\"job\"} 2\n"));
    ck_assert(has(text, "cairn_workers_wanted{job_name=\"job\"} 2\n"));
    ck_assert(has(text, "cairn_workers_lost{job_name=\"job\"} 0\n"));
    ck_assert(has(text, "cairn_worker_timeout_seconds{job_name=\"job\"} 3\n"));
    ck_assert(
        has(text, "cairn_worker_silent_seconds{job_name=\"job\",worker=\"worker \\\"2\\\"\"} 0"));
    ck_assert(!has(text, "cairn_task_")); /* the workers tell of theirs */
    free(text);
    ck_ok(cairn_job_metrics(worker_job(1), &text, reterr));
    ck_assert(has(text, "cairn_cluster_role{job_name=\"job\",role=\"worker\"} 1\n"));
    ck_assert(!has(text, "cairn_workers{"));
    ck_assert(has(text, "cairn_task_barriers_total{job_name=\"job\",operator=\"words\""));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster_status");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_coordinator_shows_its_workers);
    tcase_add_test(tcase, a_coordinator_that_waits_shows_who_has_come);
    tcase_add_test(tcase, tasks_of_all_processes_stand_together);
    tcase_add_test(tcase, a_worker_shows_what_it_heard);
    tcase_add_test(tcase, who_holds_a_checkpoint_up);
    tcase_add_test(tcase, a_checkpoint_that_fails);
    tcase_add_test(tcase, a_stop_is_seen_everywhere);
    tcase_add_test(tcase, a_worker_that_is_lost);
    tcase_add_test(tcase, a_coordinators_endpoint);
    tcase_add_test(tcase, a_workers_endpoint_sends_orders_away);
    tcase_add_test(tcase, metrics_of_each_role);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
