/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes at the wrong moment, or from nobody, harms no process of a job: who joins when the job
 * has just started does not belong to it (P2); posts that no coordinator of ours would make end a
 * worker at worst (P11); a worker that waits to be called upon can be closed at once; and who
 * cannot read what it is told says so before it goes. Method: roles in one process, a gate in the
 * coordinator's view of the store, and posts made by the test.
 */
#include "engine/cluster/follower_internal.h"
#include "engine/log/joblog.h"
#include "tests/support/cluster_kit.h"
#include "tests/support/gate_store.h"
#include "tests/support/status_kit.h"

#include <stdio.h>
#include <string.h>

static struct crew crew;

static void setup(void)
{
    crew_init(&crew, 1);
}

static void teardown(void)
{
    crew_done(&crew);
}

static void *start(void *arg)
{
    struct crew_member *m = arg;
    cairn_error *error = NULL;
    m->code = cairn_job_start(m->job, &error);
    (void)snprintf(m->message, sizeof m->message, "%s", cairn_error_message(error));
    cairn_error_free(error);
    return NULL;
}

static void begin_start(uint32_t member)
{
    struct crew_member *m = &crew.members[member];
    ck_assert_int_eq(pthread_create(&m->thread, NULL, start, m), 0);
}

static int end_start(uint32_t member)
{
    ck_assert_int_eq(pthread_join(crew.members[member].thread, NULL), 0);
    return crew.members[member].code;
}

static void await_workers(size_t count)
{
    for (int i = 0;; i++) {
        struct crn_job_status *status = take_status(crew_job(&crew));
        const bool are_there = status->worker_count == count;
        crn_status_free(status);
        if (are_there)
            return;
        ck_assert_int_lt(i, 2000);
        crn_sleep_us(2000);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Joining
 * ------------------------------------------------------------------------------------------ */

/* Its JOIN is read before the start, and taken after it. */
START_TEST(who_joins_as_the_job_starts)
{
    static const atomic_bool never;
    struct crew_member *boss = &crew.members[0], *second = &crew.members[2];
    cairn_store *gate = gate_store_open(boss->f.store);
    boss->f.options.store = gate;
    crew.members[1].f.options.heartbeat_ms = 2500; /* no other mail is read meanwhile */
    crew.members[1].f.options.worker_name = "first";
    second->f.options.worker_name = "second";
    second->f.options.heartbeat_ms = 2500;
    second->index = 0; /* with the first one's subtask */
    ck_assert_int_eq(crew_open(&crew, 0), 0);
    ck_assert_int_eq(crew_open(&crew, 1), 0);
    begin_start(1);
    await_workers(1);
    gate_stop_at(gate, CRN_FAULT_GET, 1, GATE_AFTER);
    ck_assert_int_eq(crew_open(&crew, 2), 0);
    begin_start(2);
    ck_assert(gate_wait_stopped(gate, &never));
    ck_ok(cairn_job_start(boss->job, reterr));
    gate_let_go(gate);
    ck_assert_msg(end_start(1) == 0, "%s", crew.members[1].message);
    ck_assert_msg(end_start(2) == CAIRN_EEXIST, "%d: %s", second->code, second->message);
    struct crn_job_status *status = take_status(crew_job(&crew));
    ck_assert_uint_eq(status->worker_count, 1);
    ck_assert_str_eq(status->workers[0].name, "first");
    crn_status_free(status);
    crew_close_member(&crew, 2); /* whose leaving is nobody's loss */
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    crew_write(&crew, 1);
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    ck_assert_int_eq(cairn_job_get_state(crew_job(&crew)), CAIRN_JOB_RUNNING);
    crew_close(&crew);
    cairn_store_close(gate);
}
END_TEST

/* Though it looks at the store once a minute only. */
START_TEST(a_worker_that_waits_can_be_closed)
{
    crew.members[0].f.options.worker_count = 2;
    crew.members[1].f.options.requests_per_minute = 1;
    crew.members[1].f.options.join_timeout_ms = 300000;
    ck_assert_int_eq(crew_open(&crew, 0), 0);
    ck_assert_int_eq(crew_open(&crew, 1), 0);
    begin_start(1);
    await_workers(1);
    const uint64_t began_us = crn_now_us();
    crew_close_member(&crew, 1);
    ck_assert_int_eq(end_start(1), CAIRN_ECLOSED);
    ck_assert_uint_lt(crn_now_us() - began_us, 5000000);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Posts that nobody would make
 * ------------------------------------------------------------------------------------------ */

static struct crn_board board(void)
{
    return (struct crn_board){crew.f.store, "job", cairn_job_epoch(crew_job(&crew))};
}

static uint64_t next_number(void)
{
    const struct crn_board b = board();
    for (uint64_t number = 3;; number++) {
        CRN_AUTO_POST struct crn_post post = {0};
        if (crn_board_read_post(&b, number, &post, NULL) == CAIRN_ENOTFOUND)
            return number;
    }
}

static void post(enum crn_post_kind kind, uint64_t id)
{
    const struct crn_board b = board();
    static char text[] = "nobody";
    struct crn_post made = {.kind = kind,
                            .number = next_number(),
                            .id = id,
                            .text = kind == CRN_POST_STOPPED ? text : NULL};
    ck_ok(crn_board_post(&b, &made, reterr));
}

/* The worker's task has not polled: there is nothing that could be complete. */
static uint64_t begin_checkpoint(void)
{
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    struct crn_job_status *status = take_in_phase(crew.members[1].job, 0, CRN_PART_WAITING);
    const uint64_t id = status->in_flight[0].id;
    crn_status_free(status);
    crn_sleep_us(50000); /* it is done with that post */
    return id;
}

/* Once the worker has read a post after this moment. */
static void check_nothing_complete(uint64_t since_us)
{
    struct crn_job_status *status = take_status(crew.members[1].job);
    for (int i = 0; crn_now_us() - status->post_age_us <= since_us; i++) {
        ck_assert_int_lt(i, 2000);
        crn_status_free(status);
        crn_sleep_us(2000);
        status = take_status(crew.members[1].job);
    }
    ck_assert_uint_eq(status->counts.completed + status->counts.savepoints_completed, 0);
    crn_status_free(status);
}

/* No signs of life, so that the numbers of mails are known, and each file is an object. */
static void be_quiet(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        crew.members[i].f.options.heartbeat_ms = 60000;
        crew.members[i].f.options.worker_timeout_ms = 120000;
        crew.members[i].f.options.pack_below_bytes = 1;
    }
}

/* What only a checkpoint itself has is its own; tables may be of an earlier one. */
static void rename_private(struct crn_subtask *subtask, uint64_t id)
{
    for (size_t i = 0; i < subtask->file_count; i++) {
        struct crn_file *file = &subtask->files[i];
        char object[CRN_KEY_MAX];
        if (file->info.role == CAIRN_FILE_TABLE)
            continue;
        crn_key_object(object, false, file->info.epoch, id, 900 + i, file->info.name);
        file->info.checkpoint_id = id;
        if (file->info.object != NULL)
            ck_assert_int_eq(crn_record_set_text(&file->info.object, object), 0);
    }
}

/* What the worker acknowledged for an earlier checkpoint, said again for another one. */
static void acknowledge_as(uint64_t id, const struct crn_record *earlier, bool with_subtasks)
{
    const struct crn_board b = board();
    struct crn_unsettled unsettled = {0};
    struct crn_mail mail = {.kind = CRN_MAIL_ACK, .number = 4, .seen = 3, .id = id};
    mail.epoch = b.epoch;
    memcpy(mail.worker, crew.members[1].job->follower->uuid, sizeof mail.worker);
    mail.record = crn_record_new();
    mail.record->info.kind = CAIRN_RECORD_CHECKPOINT;
    mail.record->info.id = id;
    mail.record->info.epoch = b.epoch;
    mail.record->info.base_id = earlier->info.id;
    for (size_t i = 0; with_subtasks && i < earlier->operator_count; i++) {
        struct crn_operator *op = crn_record_add_operator(mail.record);
        ck_assert_int_eq(crn_operator_copy(op, &earlier->operators[i]), 0);
        for (size_t k = 0; k < op->subtask_count; k++)
            rename_private(&op->subtasks[k], id);
    }
    crn_record_finish(mail.record);
    ck_ok(crn_board_send(&b, &mail, &unsettled, reterr));
    crn_unsettled_done(&unsettled);
    crn_mail_done(&mail);
}

/* An acknowledgement that is not of the worker's own subtasks (P2), or builds on what the log need
 * not have any more (P5), is a failure of that checkpoint. */
START_TEST(acknowledged_as_it_cannot_be)
{
    static const char *const words[] = {"with other subtasks than it has", "may be gone"};
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    CRN_AUTO_RECORD struct crn_record *earlier = NULL;
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    be_quiet();
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    ck_ok(crn_joblog_read_record(crew.f.store, "job", info.id, &earlier, NULL, NULL, reterr));
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    const uint64_t id = begin_checkpoint();
    acknowledge_as(id, earlier, _i == 1);
    ck_assert_int_eq(crew_await_event(&crew, 1, CAIRN_EVENT_ABORTED), (int64_t)id);
    ck_ok(crn_joblog_read_record(crew.f.store, "job", id, &record, NULL, NULL, reterr));
    ck_assert_msg(strstr(record->info.reason, words[_i]) != NULL, "%s", record->info.reason);
}
END_TEST

START_TEST(told_of_what_it_did_not_acknowledge)
{
    static const enum crn_post_kind kinds[] = {CRN_POST_COMPLETE, CRN_POST_SAVEPOINT,
                                               CRN_POST_STOPPED};
    crew_must_start(&crew);
    const uint64_t id = begin_checkpoint(), began_us = crn_now_us();
    post(kinds[_i], id);
    check_nothing_complete(began_us);
    const int state = cairn_job_get_state(crew.members[1].job);
    ck_assert_int_eq(state, kinds[_i] == CRN_POST_STOPPED ? CAIRN_JOB_STOPPED : CAIRN_JOB_RUNNING);
}
END_TEST

/* It acknowledged a checkpoint, and is told of a savepoint of that id. */
START_TEST(told_of_a_checkpoint_as_something_else)
{
    static const enum crn_post_kind kinds[] = {CRN_POST_SAVEPOINT, CRN_POST_STOPPED};
    static const atomic_bool never;
    cairn_store *gate = gate_store_open(crew.members[0].f.store);
    crew.members[0].f.options.store = gate;
    crew.members[1].f.options.heartbeat_ms = 2500;
    crew_must_start(&crew);
    crew_write(&crew, 1);
    const uint64_t id = begin_checkpoint();
    gate_stop_at(gate, CRN_FAULT_GET, 1, GATE_BEFORE); /* of its acknowledgement */
    ck_assert_int_eq(crew_await_event(&crew, 1, CAIRN_EVENT_BARRIER), (int64_t)id);
    ck_assert(gate_wait_stopped(gate, &never));
    const uint64_t began_us = crn_now_us();
    post(kinds[_i], id);
    check_nothing_complete(began_us);
    gate_let_go(gate);
    crew_close(&crew);
    cairn_store_close(gate);
}
END_TEST

/* It cannot go on; its coordinator need not wait until it is found silent. */
START_TEST(a_post_that_cannot_be_read)
{
    char key[100];
    crew.members[0].f.options.worker_timeout_ms = 60000;
    crew_must_start(&crew);
    (void)snprintf(key, sizeof key, "job/cluster/e%d/post-%d",
                   (int)cairn_job_epoch(crew_job(&crew)), (int)next_number());
    store_put_text(crew.f.store, key, "this is no post");
    ck_assert_int_eq(crew_await_error(&crew, 1), CAIRN_EFAILED);
    ck_assert_ptr_nonnull(strstr(crew.members[1].message, "cannot go on"));
    for (int i = 0; cairn_job_get_state(crew_job(&crew)) != CAIRN_JOB_FAILED; i++) {
        ck_assert_int_lt(i, 2000);
        crn_sleep_us(2000);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Leaving
 * ------------------------------------------------------------------------------------------ */

static size_t files_in(const char *directory)
{
    cairn_store *store;
    if (access(directory, F_OK) != 0)
        return 0;
    ck_ok(cairn_store_open(directory, &store, reterr));
    const size_t count = store_count(store, "");
    cairn_store_close(store);
    return count;
}

/* What it put there is gone after the next start and collection (P6), though it removed nothing. */
START_TEST(a_worker_leaves_in_the_middle_of_a_savepoint)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle;
    crew.workers = 2;
    crew.members[2].f.options.worker_name = "the other one";
    crew_must_start(&crew);
    crew_write(&crew, 1);
    options.target_uri = crew.savepoints;
    options.format = CAIRN_NATIVE;
    ck_ok(cairn_savepoint_begin(crew_job(&crew), &options, &handle, reterr));
    ck_assert_int_gt(crew_await_event(&crew, 1, CAIRN_EVENT_BARRIER), 0);
    for (int i = 0; files_in(crew.savepoints) == 0; i++) {
        ck_assert_int_lt(i, 2000);
        crn_sleep_us(2000);
    }
    struct crn_job_status *status = take_status(crew_job(&crew));
    while (status->in_flight_count > 0 && status->in_flight[0].workers_acked == 0) {
        crn_status_free(status);
        crn_sleep_us(2000);
        status = take_status(crew_job(&crew));
    }
    crn_status_free(status);
    crew_close_member(&crew, 1);
    ck_assert_int_lt(cairn_savepoint_wait(handle, UINT64_MAX, NULL, NULL), 0);
    cairn_savepoint_close(handle);
    crew_close(&crew);
    crew_must_start(&crew);
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(crew_checkpoint(&crew, false, &info, reterr));
    crew_close(&crew);
    ck_assert_uint_eq(files_in(crew.savepoints), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster_moments");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, who_joins_as_the_job_starts);
    tcase_add_test(tcase, a_worker_that_waits_can_be_closed);
    tcase_add_loop_test(tcase, acknowledged_as_it_cannot_be, 0, 2);
    tcase_add_loop_test(tcase, told_of_what_it_did_not_acknowledge, 0, 3);
    tcase_add_loop_test(tcase, told_of_a_checkpoint_as_something_else, 0, 2);
    tcase_add_test(tcase, a_post_that_cannot_be_read);
    tcase_add_test(tcase, a_worker_leaves_in_the_middle_of_a_savepoint);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
