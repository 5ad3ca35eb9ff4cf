/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job tells of snapshots that have ended is true: how, why, for which task, how long each
 * part of it took and how much there is, in the status, in the histograms and in the log's line;
 * and it remembers it, in bounded memory, over restarts, too. Method: a job whose tasks poll only
 * when the test says so, decline, or do not poll at all.
 */
#include "engine/status/ended.h"
#include "tests/support/status_kit.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;

static void setup(void)
{
    watch_fixture_init(&f);
}

static void teardown(void)
{
    fixture_done(&f);
}

START_TEST(a_complete_checkpoint_in_full)
{
    struct subject s;
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT, second = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, &first, reterr));
    ck_ok(subject_checkpoint(&s, false, &second, reterr));
    struct crn_job_status *status = take_when_idle(s.job);
    ck_assert_uint_eq(status->ended_count, 2);
    const struct crn_ended *ended = status->ended[0], *before = status->ended[1];
    ck_assert_uint_eq(ended->id, second.id); /* newest first */
    ck_assert_uint_eq(before->id, first.id);
    ck_assert(before->is_full && !ended->is_full && !ended->is_earlier);
    ck_assert_uint_eq(ended->epoch, 1);
    ck_assert_uint_eq(ended->full_bytes, second.full_bytes);
    ck_assert_uint_eq(ended->new_bytes, second.new_bytes);
    ck_assert_uint_eq(ended->file_count, second.file_count);
    ck_assert_uint_eq(ended->new_file_count, second.new_file_count);
    ck_assert_uint_eq(ended->stall_max_us, second.barrier_max_us);
    ck_assert_uint_ge(ended->duration_us, second.duration_us);
    ck_assert_uint_ge(ended->duration_us, ended->commit_us);
    ck_assert_int_ge(ended->end_time_ms, ended->trigger_time_ms);
    ck_assert_str_eq(ended->reason, "");
    ck_assert_uint_eq(ended->task_count, SUBJECT_TASKS);
    uint64_t bytes = 0, files = 0, stall = 0, delay = 0;
    for (size_t i = 0; i < ended->task_count; i++) {
        ck_assert_int_eq(ended->tasks[i].phase, CRN_PART_ACKED);
        ck_assert_str_eq(ended->tasks[i].uid, i == 0 ? "tally" : "words");
        bytes += ended->tasks[i].full_bytes;
        files += ended->tasks[i].file_count;
        stall = ended->tasks[i].stall_us > stall ? ended->tasks[i].stall_us : stall;
        delay = ended->tasks[i].start_delay_us > delay ? ended->tasks[i].start_delay_us : delay;
    }
    ck_assert_uint_eq(bytes, second.full_bytes);
    ck_assert_uint_eq(files, second.file_count);
    ck_assert_uint_eq(stall, second.barrier_max_us);
    ck_assert_uint_eq(delay, ended->start_delay_max_us);
    ck_assert_uint_le(delay, ended->duration_us);
    ck_assert_uint_eq(status->histograms.duration_us.count, 2);
    ck_assert_uint_eq(status->histograms.commit_us.count, 2);
    ck_assert_uint_eq(status->histograms.new_bytes.sum, first.new_bytes + second.new_bytes);
    ck_assert_uint_eq(status->histograms.stall_us.count, 2 * SUBJECT_TASKS);
    ck_assert_uint_eq(status->histograms.upload_us.count, 2 * SUBJECT_TASKS);
    ck_assert_uint_eq(status->histograms.align_us.count, 0);
    crn_status_free(status);

    char field[60];
    check_line("checkpoint_complete", CAIRN_LOG_INFO, "type=incremental");
    check_line("checkpoint_complete", CAIRN_LOG_INFO, "outcome=complete");
    (void)snprintf(field, sizeof field, "checkpoint_id=%llu", (unsigned long long)second.id);
    check_line("checkpoint_complete", CAIRN_LOG_INFO, field);
    (void)snprintf(field, sizeof field, "new_bytes=%llu", (unsigned long long)second.new_bytes);
    check_line("checkpoint_complete", CAIRN_LOG_INFO, field);
    (void)snprintf(field, sizeof field, "stall_us=%llu", (unsigned long long)second.barrier_max_us);
    check_line("checkpoint_complete", CAIRN_LOG_INFO, field);
    subject_close(&s);
}
END_TEST

static int decline(void *context, cairn_task *task, uint64_t id)
{
    (void)task;
    (void)id;
    return *(bool *)context ? CAIRN_EIO : 0;
}

/* Who it was, why, and how far the others came. */
START_TEST(a_checkpoint_that_a_task_declines)
{
    cairn_job *job;
    cairn_task *tasks[2];
    bool declines = true;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "good", NULL, &tasks[0], reterr));
    options.before_barrier = decline;
    options.context = &declines;
    ck_ok(cairn_task_open(job, "bad", &options, &tasks[1], reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_ok(cairn_job_trigger(job, NULL, reterr));
    crn_status_free(take_in_phase(job, 0, CRN_PART_WAITING));
    poll_once(tasks[0], CAIRN_EVENT_BARRIER);
    crn_status_free(take_in_phase(job, 1, CRN_PART_ACKED));
    poll_once(tasks[1], CAIRN_EVENT_NONE);
    struct crn_job_status *status = take_when_failed(job, 1);
    ck_assert_uint_eq(status->counts.failed_in_row, 1);
    ck_assert_uint_eq(status->counts.completed, 0);
    ck_assert(!status->has_latest);
    const struct crn_ended *ended = status->ended[0];
    ck_assert_int_eq(ended->outcome, CRN_OUTCOME_FAILED);
    ck_assert_str_eq(ended->failed_uid, "bad");
    ck_assert_uint_eq(ended->failed_subtask, 0);
    ck_assert_ptr_nonnull(strstr(ended->reason, "operator 'bad' subtask 0"));
    ck_assert_ptr_nonnull(strstr(ended->reason, "CAIRN_EIO"));
    ck_assert_uint_eq(ended->task_count, 2);
    ck_assert_int_eq(ended->tasks[0].phase, CRN_PART_ACKED);
    ck_assert_int_eq(ended->tasks[1].phase, CRN_PART_WAITING);
    ck_assert_uint_gt(ended->tasks[0].full_bytes, 0);
    ck_assert_uint_eq(ended->tasks[1].full_bytes, 0);
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "operator=bad");
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "tasks_done=1");
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "code=CAIRN_EIO");
    ck_assert_uint_eq(status->histograms.duration_us.count, 0);
    crn_status_free(status);

    /* The next one that completes ends the row. */
    declines = false;
    struct pump pump = {.store = f.store};
    pump_start(&pump, tasks, 2);
    ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr));
    pump_stop(&pump);
    status = take_when_idle(job);
    ck_assert_uint_eq(status->counts.failed, 1);
    ck_assert_uint_eq(status->counts.failed_in_row, 0);
    ck_assert_uint_eq(status->counts.completed, 1);
    crn_status_free(status);
    cairn_job_close(job);
    cairn_task_close(tasks[0]);
    cairn_task_close(tasks[1]);
}
END_TEST

START_TEST(a_task_that_does_not_poll)
{
    struct subject s;
    f.options.checkpoint_timeout_ms = 400;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    crn_status_free(take_in_phase(s.job, 0, CRN_PART_WAITING));
    poll_once(s.tasks[0], CAIRN_EVENT_BARRIER);
    poll_once(s.tasks[2], CAIRN_EVENT_BARRIER);
    crn_status_free(take_in_phase(s.job, 0, CRN_PART_ACKED));
    crn_status_free(take_in_phase(s.job, 1, CRN_PART_ACKED));
    struct crn_job_status *status = take_when_failed(s.job, 1);
    const struct crn_ended *ended = status->ended[0];
    ck_assert_str_eq(ended->failed_uid, "words");
    ck_assert_uint_eq(ended->failed_subtask, 1);
    ck_assert_uint_ge(ended->duration_us, 400000);
    ck_assert_ptr_nonnull(strstr(ended->reason, "did not poll in time"));
    check_line("checkpoint_failed", CAIRN_LOG_WARNING, "code=CAIRN_ETIMEOUT");
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* What the job's own end cuts short is no failure. */
START_TEST(a_job_that_is_closed_in_between)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    struct crn_job_status *before = take_in_phase(s.job, 0, CRN_PART_WAITING);
    subject_close(&s);
    check_line("checkpoint_cancelled", CAIRN_LOG_INFO, "outcome=cancelled");
    ck_assert_int_eq(before->in_flight[0].phase, CRN_SNAPSHOT_TASKS); /* it is what it was */
    crn_status_free(before);
}
END_TEST

START_TEST(a_failed_savepoint)
{
    struct subject s;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = f.store;
    options.timeout_ms = 40;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_fails(cairn_savepoint(s.job, &options, NULL, reterr), CAIRN_EABORTED, "timed out");
    struct crn_job_status *status = take_when_failed(s.job, 1);
    ck_assert_uint_eq(status->counts.savepoints_failed, 1);
    ck_assert_uint_eq(status->counts.failed, 0);
    ck_assert_uint_eq(status->counts.failed_in_row, 0);
    ck_assert_int_eq(status->ended[0]->kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_ptr_nonnull(strstr(status->ended[0]->reason, "timed out"));
    check_line("savepoint_failed", CAIRN_LOG_WARNING, "type=canonical");
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* One with this id and so many tasks of two operators. */
static const struct crn_ended *make_ended(uint64_t id, size_t task_count)
{
    struct crn_ended_task tasks[20] = {0};
    ck_assert_uint_le(task_count, CRN_COUNT(tasks));
    for (size_t i = 0; i < task_count; i++) {
        tasks[i].uid = i < task_count / 2 ? "first" : "second";
        tasks[i].subtask = (uint32_t)i;
    }
    const struct crn_ended *ended = crn_ended_copy(&(struct crn_ended){
        .id = id,
        .location = "there",
        .reason = "because",
        .failed_uid = "first",
        .tasks = tasks,
        .task_count = task_count,
    });
    ck_assert_ptr_nonnull(ended);
    return ended;
}

/* Entries stay in the order of ids in which order they ever come; only the newest of large jobs
 * keep their tasks; whoever looks keeps what he has. */
START_TEST(the_past_is_kept_in_order)
{
    static const uint64_t ids[] = {3, 1, 2, 5, 4, 3};
    struct crn_past past = {.tasks_max = 25};
    for (size_t i = 0; i < CRN_COUNT(ids); i++)
        crn_past_add(&past, make_ended(ids[i], 10));
    ck_assert_uint_eq(past.count, 5); /* 3 was replaced */
    for (size_t i = 0; i < past.count; i++) {
        const struct crn_ended *ended = past.entries[i];
        ck_assert_uint_eq(ended->id, 5 - i);
        ck_assert_uint_eq(ended->task_count, i < 2 ? 10 : 0);
        ck_assert_str_eq(ended->reason, "because");
    }
    ck_assert_str_eq(past.entries[0]->tasks[4].uid, "first");
    ck_assert_str_eq(past.entries[0]->tasks[5].uid, "second");
    const struct crn_ended *held = crn_ended_ref(past.entries[0]);
    for (uint64_t id = 6; id < 6 + CRN_STATUS_ENDED_MAX; id++)
        crn_past_add(&past, make_ended(id, 20));
    crn_past_add(&past, make_ended(1, 1)); /* older than all */
    ck_assert_uint_eq(past.count, CRN_STATUS_ENDED_MAX);
    ck_assert_uint_eq(past.entries[CRN_STATUS_ENDED_MAX - 1]->id, 6);
    ck_assert_uint_eq(past.entries[0]->task_count, 20); /* the newest always */
    ck_assert_uint_eq(past.entries[1]->task_count, 0);
    ck_assert_uint_eq(held->tasks[9].subtask, 9);
    crn_ended_unref(held);
    crn_past_done(&past);
}
END_TEST

START_TEST(the_history_is_bounded)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    for (unsigned i = 0; i < CRN_STATUS_ENDED_MAX + 6; i++)
        ck_ok(subject_checkpoint(&s, false, &info, reterr));
    struct crn_job_status *status = take_when_idle(s.job);
    ck_assert_uint_eq(status->ended_count, CRN_STATUS_ENDED_MAX);
    ck_assert_uint_eq(status->counts.completed, CRN_STATUS_ENDED_MAX + 6);
    for (unsigned i = 0; i < CRN_STATUS_ENDED_MAX; i++)
        ck_assert_uint_eq(status->ended[i]->id, info.id - i);
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Over restarts
 * ------------------------------------------------------------------------------------------ */

START_TEST(reasons_and_durations_survive)
{
    struct subject s;
    cairn_checkpoint_info last = CAIRN_CHECKPOINT_INFO_INIT;
    f.options.checkpoint_timeout_ms = 50;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    struct crn_job_status *status = take_when_failed(s.job, 1);
    uint64_t failed_id = status->ended[0]->id;
    CRN_AUTO_FREE char *reason = strdup(status->ended[0]->reason);
    crn_status_free(status);
    subject_close(&s);
    f.options.checkpoint_timeout_ms = 0;
    for (int run = 0; run < 3; run++) { /* the failure is history only, in the end */
        ck_ok(subject_open(&f, "job", &s, reterr));
        ck_ok(subject_checkpoint(&s, false, &last, reterr));
        subject_close(&s);
    }
    ck_ok(subject_open(&f, "job", &s, reterr));
    status = take_status(s.job);
    ck_assert(status->has_restored && status->has_latest);
    ck_assert_uint_eq(status->latest.id, last.id);
    ck_assert_int_gt(status->latest_end_time_ms, 0);
    ck_assert_uint_eq(status->counts.completed + status->counts.failed, 0); /* of this run */
    size_t fences = 0, complete = 0;
    const struct crn_ended *failed = NULL, *newest = NULL;
    for (size_t i = 0; i < status->ended_count; i++) {
        const struct crn_ended *ended = status->ended[i];
        ck_assert(ended->is_earlier);
        ck_assert_uint_lt(ended->epoch, status->epoch);
        if (i > 0)
            ck_assert_uint_lt(ended->id, status->ended[i - 1]->id);
        fences += ended->kind == CAIRN_RECORD_FENCE;
        complete += ended->kind == CAIRN_RECORD_CHECKPOINT;
        failed = ended->id == failed_id ? ended : failed;
        newest = ended->id == last.id ? ended : newest;
    }
    ck_assert_uint_eq(fences, 4);
    ck_assert_uint_eq(complete, 3);
    ck_assert(failed != NULL && newest != NULL);
    ck_assert_int_eq(failed->outcome, CRN_OUTCOME_FAILED);
    ck_assert_str_eq(failed->reason, reason);
    ck_assert_uint_ge(failed->duration_us, 50000);
    ck_assert_uint_eq(newest->full_bytes, last.full_bytes);
    ck_assert_uint_eq(newest->stall_max_us, last.barrier_max_us);
    ck_assert_uint_eq(newest->task_count, SUBJECT_TASKS); /* it is retained: its tasks are known */
    crn_status_free(status);
    subject_close(&s);
}
END_TEST

START_TEST(a_job_that_was_taken_over)
{
    struct subject s, second;
    struct fixture other = f;
    (void)snprintf(other.local_dir, sizeof other.local_dir, "%s/other", f.root);
    other.options.local_dir = other.local_dir;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_open(&other, "job", &second, reterr));
    ck_fails(subject_checkpoint(&s, false, NULL, reterr), CAIRN_EFENCED, "taken over");
    struct crn_job_status *status = take_when_idle(s.job);
    ck_assert_int_eq(status->state, CAIRN_JOB_FENCED);
    ck_assert_ptr_nonnull(strstr(status->stop_reason, "taken over"));
    ck_assert_uint_eq(status->counts.failed, 0);
    crn_status_free(status);
    subject_close(&s);
    subject_close(&second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status-past");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_complete_checkpoint_in_full);
    tcase_add_test(tcase, a_checkpoint_that_a_task_declines);
    tcase_add_test(tcase, a_task_that_does_not_poll);
    tcase_add_test(tcase, a_job_that_is_closed_in_between);
    tcase_add_test(tcase, a_failed_savepoint);
    tcase_add_test(tcase, the_past_is_kept_in_order);
    tcase_add_test(tcase, the_history_is_bounded);
    tcase_add_test(tcase, reasons_and_durations_survive);
    tcase_add_test(tcase, a_job_that_was_taken_over);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
