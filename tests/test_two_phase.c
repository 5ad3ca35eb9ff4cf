/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn/sink.h promises of two-phase sinks: a transaction becomes visible if and only
 * if a checkpoint that holds it is complete, whatever fails, is restored or is rescaled in between.
 * Method: transactions that are entries of a table, which counts what is done to them and can let
 * each call fail; a job whose tasks are all polled by this thread. What a crash leaves is made by
 * closing the job before its events are fetched; a killed process is test_file_sink's matter.
 */
#include "tests/support/job_fixture.h"

#include "engine/sinks/two_phase.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Transactions in a table
 * ------------------------------------------------------------------------------------------ */

enum call { BEGIN, PREPARE, COMMIT, ABORT, SWEEP, CALLS };

struct transaction {
    unsigned calls[CALLS];
    unsigned committed_as; /* place in the order of first commits, from 1 */
};
static struct {
    struct transaction all[300];
    unsigned begun, committed;
    unsigned calls[CALLS];
    int results[CALLS]; /* what a call gives instead of being carried out */
    bool with_error;    /* and it makes an error of its own */
    bool without_description;
    unsigned fail_from; /* commits from this transaction on are what fails */
} table;

static int refuse(enum call call, cairn_error **reterr)
{
    table.calls[call]++;
    if (table.results[call] < 0 && table.with_error)
        return cairn_error_set(reterr, table.results[call], NULL, 0, "the table is on strike");
    return table.results[call];
}

static unsigned number_of(const void *description, size_t size)
{
    char text[16] = {0};
    ck_assert_uint_lt(size, sizeof text);
    memcpy(text, description, size);
    ck_assert_int_eq(strncmp(text, "tx-", 3), 0);
    unsigned n = (unsigned)strtoul(text + 3, NULL, 10);
    ck_assert_uint_lt(n, table.begun);
    return n;
}

static int tx_begin(void *context, cairn_buffer *description, cairn_error **reterr)
{
    char text[16];
    (void)context;
    int r = refuse(BEGIN, reterr);
    if (r != 0 || table.without_description)
        return r;
    ck_assert_uint_lt(table.begun, CRN_COUNT(table.all));
    int n = snprintf(text, sizeof text, "tx-%u", table.begun);
    table.all[table.begun++].calls[BEGIN]++;
    return cairn_buffer_append(description, text, (size_t)n);
}

static int tx_prepare(void *context, const void *description, size_t size, cairn_error **reterr)
{
    (void)context;
    struct transaction *t = &table.all[number_of(description, size)];
    int r = refuse(PREPARE, reterr);
    t->calls[PREPARE] += r == 0;
    return r;
}

static int tx_commit(void *context, const void *description, size_t size, cairn_error **reterr)
{
    (void)context;
    unsigned n = number_of(description, size);
    struct transaction *t = &table.all[n];
    ck_assert_uint_gt(t->calls[PREPARE], 0);
    int r = n < table.fail_from ? 0 : refuse(COMMIT, reterr);
    if (r == 0 && t->calls[COMMIT]++ == 0)
        t->committed_as = ++table.committed;
    return r;
}

static int tx_abort(void *context, const void *description, size_t size, cairn_error **reterr)
{
    (void)context;
    table.all[number_of(description, size)].calls[ABORT]++;
    return refuse(ABORT, reterr);
}

static int tx_sweep(void *context, cairn_error **reterr)
{
    (void)context;
    return refuse(SWEEP, reterr);
}

static const cairn_two_phase_functions functions = {tx_begin, tx_prepare, tx_commit,
                                                    tx_abort, tx_sweep,   NULL};

/* ------------------------------------------------------------------------------------------ *
 * A job
 * ------------------------------------------------------------------------------------------ */

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, false);
    memset(&table, 0, sizeof table);
}

static void teardown(void)
{
    fixture_done(&f);
}

#define SUBTASKS_MAX 4
struct service {
    cairn_job *job;
    cairn_task *tasks[SUBTASKS_MAX];
    cairn_two_phase *sinks[SUBTASKS_MAX];
    uint32_t parallelism;
};

static void open_tasks(struct service *s, const char *job, uint32_t parallelism)
{
    *s = (struct service){.parallelism = parallelism};
    ck_ok(fixture_open_job(&f, job, &s->job, reterr));
    for (uint32_t i = 0; i < parallelism; i++) {
        cairn_task_options o = CAIRN_TASK_OPTIONS_INIT;
        o.parallelism = parallelism;
        o.subtask = i;
        ck_ok(cairn_task_open(s->job, "writer", &o, &s->tasks[i], reterr));
    }
}

static void open_service(struct service *s, uint32_t parallelism)
{
    open_tasks(s, "job", parallelism);
    for (uint32_t i = 0; i < parallelism; i++)
        ck_ok(cairn_two_phase_open(s->tasks[i], "out", &functions, &s->sinks[i], reterr));
    ck_ok(cairn_job_start(s->job, reterr));
}

static void close_service(struct service *s)
{
    cairn_job_close(s->job);
    for (uint32_t i = 0; i < s->parallelism; i++)
        cairn_task_close(s->tasks[i]);
}

/* The number of the transaction that output goes to. */
static unsigned write_to(const struct service *s, uint32_t subtask)
{
    const void *description;
    size_t size;
    ck_ok(cairn_two_phase_current(s->sinks[subtask], &description, &size, reterr));
    return number_of(description, size);
}

static cairn_event poll_one(const struct service *s, uint32_t subtask)
{
    cairn_event event;
    ck_ok(cairn_task_poll(s->tasks[subtask], &event, reterr));
    return event;
}

static void wait_for_completed(cairn_task *task, uint64_t id)
{
    const struct crn_task_runtime *runtime = task->runtime;
    for (bool is_there = false; !is_there; crn_sleep_us(50)) {
        crn_mutex_lock(&task->job->lock);
        for (size_t i = 0; i < runtime->mailbox_count; i++)
            is_there |= runtime->mailbox[i].type == CAIRN_EVENT_COMPLETED &&
                        runtime->mailbox[i].checkpoint_id == id;
        crn_mutex_unlock(&task->job->lock);
    }
}

/* Barriers of all tasks, and the checkpoint is over: its events wait in the mailboxes. */
static uint64_t take_checkpoint(const struct service *s)
{
    cairn_event event = {0};
    ck_ok(cairn_job_trigger(s->job, NULL, reterr));
    for (uint32_t i = 0; i < s->parallelism; i++)
        while ((event = poll_one(s, i)).type != CAIRN_EVENT_BARRIER)
            crn_sleep_us(100);
    for (uint32_t i = 0; i < s->parallelism; i++)
        wait_for_completed(s->tasks[i], event.checkpoint_id);
    return event.checkpoint_id;
}

static void drain_events(const struct service *s)
{
    for (uint32_t i = 0; i < s->parallelism; i++)
        while (poll_one(s, i).type != CAIRN_EVENT_NONE)
            ;
}

static uint64_t checkpoint(const struct service *s)
{
    uint64_t id = take_checkpoint(s);
    for (uint32_t i = 0; i < s->parallelism; i++)
        ck_assert_int_eq(poll_one(s, i).type, CAIRN_EVENT_COMPLETED);
    return id;
}

static void post(const struct service *s, cairn_event_type type, uint64_t id)
{
    const cairn_event event = {.type = type, .checkpoint_id = id};
    crn_mutex_lock(&s->job->lock);
    crn_task_post(s->tasks[0], &event);
    crn_mutex_unlock(&s->job->lock);
}

static void let_fail(enum call call, bool with_error)
{
    table.results[call] = CAIRN_ENOSPC;
    table.with_error = with_error;
}

#define ck_says(call_, which)                                                                      \
    ck_fails(call_, CAIRN_ENOSPC, table.with_error ? "on strike" : which " gave CAIRN_ENOSPC")

#define ck_calls(n, call, count) ck_assert_uint_eq(table.all[n].calls[call], count)

/* ------------------------------------------------------------------------------------------ *
 * The diagram
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_visible_when_complete)
{
    struct service s;
    open_service(&s, 1);
    checkpoint(&s);
    ck_assert_uint_eq(table.calls[BEGIN], 0); /* nothing was written */
    unsigned a = write_to(&s, 0);
    ck_assert_uint_eq(write_to(&s, 0), a);
    ck_calls(a, PREPARE, 0);
    uint64_t id = take_checkpoint(&s);
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 0);
    unsigned b = write_to(&s, 0);
    ck_assert_uint_ne(a, b);
    cairn_event event = poll_one(&s, 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, id);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, PREPARE, 0);
    checkpoint(&s);
    ck_calls(a, COMMIT, 1); /* and never again */
    ck_calls(b, COMMIT, 1);
    close_service(&s);
    ck_assert_uint_eq(table.calls[ABORT], 0);
}
END_TEST

/* What a crash leaves at each point of a transaction's life; see the diagram in sink.h. */
START_TEST(test_restarts)
{
    struct service s;
    open_service(&s, 1);
    unsigned noted = write_to(&s, 0);
    checkpoint(&s); /* committed, and still in the state of checkpoint 1 */
    unsigned complete = write_to(&s, 0);
    take_checkpoint(&s); /* complete, but the task does not know */
    unsigned active = write_to(&s, 0);
    close_service(&s);
    ck_calls(complete, COMMIT, 0);
    ck_calls(active, ABORT, 1);
    ck_calls(complete, ABORT, 0);

    open_service(&s, 1);
    ck_calls(noted, COMMIT, 1); /* checkpoint 2 does not have it any more */
    ck_calls(complete, COMMIT, 1);
    ck_calls(active, COMMIT, 0);
    close_service(&s);

    /* Committed once more, as nothing was noted since. */
    open_service(&s, 1);
    ck_calls(complete, COMMIT, 2);
    checkpoint(&s);
    close_service(&s);
    open_service(&s, 1);
    ck_calls(complete, COMMIT, 2);
    ck_calls(active, COMMIT, 0);
    close_service(&s);
}
END_TEST

/* Aborted: nothing is taken back, and the next one commits all. */
START_TEST(test_aborted_checkpoint)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    fixture_arm(&f,
                (struct crn_fault_plan){
                    .ops = CRN_FAULT_PUT, .at = 1, .mode = CRN_FAULT_BEFORE, .code = CAIRN_ENOSPC});
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_EABORTED, "");
    fixture_disarm(&f, 0);
    drain_events(&s);
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 0);
    unsigned b = write_to(&s, 0);
    ck_assert_uint_ne(a, b);
    checkpoint(&s);
    ck_assert_uint_eq(table.all[a].committed_as, 1);
    ck_assert_uint_eq(table.all[b].committed_as, 2);
    close_service(&s);
    ck_assert_uint_eq(table.calls[ABORT], 0);
}
END_TEST

/* An older checkpoint completes after a later barrier, and late transactions wait for their own. */
START_TEST(test_ids)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t first = take_checkpoint(&s);
    unsigned sealed = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    unsigned active = write_to(&s, 0);
    ck_assert_uint_ne(sealed, active);
    ck_calls(sealed, PREPARE, 1);
    drain_events(&s); /* first is complete */
    ck_calls(a, COMMIT, 1);
    ck_calls(sealed, COMMIT, 0);
    post(&s, CAIRN_EVENT_COMPLETED, first);
    drain_events(&s);
    ck_calls(sealed, COMMIT, 0);
    checkpoint(&s);
    ck_assert_uint_eq(table.all[a].committed_as, 1);
    ck_assert_uint_eq(table.all[sealed].committed_as, 2);
    ck_assert_uint_eq(table.all[active].committed_as, 3);

    /* Sealed and never in a barrier: no checkpoint can hold it. */
    unsigned lost = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    close_service(&s);
    ck_calls(lost, ABORT, 1);
    ck_assert_uint_eq(table.calls[ABORT], 1);
}
END_TEST

/* Of several that wait for one event all are committed, in order, in one poll. */
START_TEST(test_full_mailbox)
{
    struct service s;
    unsigned n[2 * CRN_MAILBOX_SIZE];
    open_service(&s, 1);
    drain_events(&s);
    for (size_t i = 0; i < CRN_COUNT(n); i++) {
        n[i] = write_to(&s, 0);
        ck_ok(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr)); /* its events stay */
    }
    ck_assert_uint_eq(table.committed, 0);
    drain_events(&s);
    for (unsigned i = 0; i < CRN_COUNT(n); i++) {
        ck_calls(n[i], COMMIT, 1);
        ck_assert_uint_eq(table.all[n[i]].committed_as, i + 1);
    }
    close_service(&s);
}
END_TEST

/* A flood of other events does not take with it what tells the sinks to commit. */
START_TEST(test_mailbox_keeps_the_newest_completed)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    post(&s, CAIRN_EVENT_COMPLETED, id + 1);
    for (uint64_t i = 0; i < 2 * CRN_MAILBOX_SIZE; i++)
        post(&s, CAIRN_EVENT_SAVEPOINT, id + 2 + i);
    cairn_event event = poll_one(&s, 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, id + 1);
    ck_calls(a, COMMIT, 1);
    for (uint64_t i = CRN_MAILBOX_SIZE - 1; i > 0; i--)
        ck_assert_uint_eq(poll_one(&s, 0).checkpoint_id, id + 2 + 2 * CRN_MAILBOX_SIZE - i);
    close_service(&s);
}
END_TEST

/* Which events commit: COMPLETED and STOPPED, and no other. */
START_TEST(test_events)
{
    static const cairn_event_type others[] = {
        CAIRN_EVENT_BARRIER,     CAIRN_EVENT_ABORTED, CAIRN_EVENT_SAVEPOINT,
        CAIRN_EVENT_INDEPENDENT, CAIRN_EVENT_DRAIN,   CAIRN_EVENT_STOPPING,
    };
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    for (size_t i = 0; i < CRN_COUNT(others); i++) {
        post(&s, others[i], 9);
        ck_assert_int_eq(poll_one(&s, 0).type, others[i]);
    }
    ck_calls(a, COMMIT, 0);
    ck_assert_uint_eq(table.calls[SWEEP], 0);
    post(&s, CAIRN_EVENT_STOPPED, 9);
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_STOPPED);
    ck_calls(a, COMMIT, 1);
    ck_assert_uint_eq(table.calls[SWEEP], 1);
    close_service(&s);
}
END_TEST

static void savepoint(const struct service *s, char name[64])
{
    cairn_savepoint_options o = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    o.target_store = f.store;
    ck_ok(cairn_task_savepoint(s->tasks[0], &o, &info, reterr));
    (void)snprintf(name, 64, "savepoint-job-%llu", (unsigned long long)info.id);
}

/* A savepoint commits nothing; the next checkpoint does, and so does who starts from it. */
START_TEST(test_savepoint)
{
    struct service s;
    char name[64];
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    savepoint(&s, name);
    ck_calls(a, PREPARE, 1);
    drain_events(&s);
    ck_calls(a, COMMIT, 0);
    unsigned later = write_to(&s, 0);
    if (_i == 1)
        checkpoint(&s);
    ck_calls(a, COMMIT, _i == 1);
    close_service(&s);

    f.options.restore_store = f.store;
    f.options.restore_name = name;
    open_tasks(&s, "another", 1);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_calls(a, COMMIT, _i == 1 ? 2 : 1);
    ck_calls(later, COMMIT, _i == 1);
    close_service(&s);
}
END_TEST

/* Stopped with a savepoint: its output is committed before the task is told so, and the next start,
 * which goes on from there, may commit it again. */
START_TEST(test_stop)
{
    struct service s;
    cairn_savepoint_options o = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_event event = {0};
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    o.target_store = f.store;
    o.stop = 1;
    ck_ok(cairn_savepoint_begin(s.job, &o, NULL, reterr));
    while (event.type != CAIRN_EVENT_STOPPING)
        ck_ok(cairn_task_wait(s.tasks[0], 1000, &event, reterr));
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 0);
    table.results[COMMIT] = CAIRN_EUNAVAIL;
    int r;
    while ((r = cairn_task_wait(s.tasks[0], 1000, &event, NULL)) == 0)
        ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    ck_assert_int_eq(r, CAIRN_EUNAVAIL);
    table.results[COMMIT] = 0;
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_STOPPED);
    ck_calls(a, COMMIT, 1);
    ck_assert_uint_eq(table.calls[SWEEP], 1);
    close_service(&s);
    open_service(&s, 2);
    ck_calls(a, COMMIT, 2);
    close_service(&s);
    ck_assert_uint_eq(table.begun, 1);
}
END_TEST

/* The input has ended: what is active is prepared then, is in the checkpoints that are taken
 * without the task's thread from then on, and in no earlier one. */
START_TEST(test_finish)
{
    struct service s;
    const void *d;
    size_t size;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t first = take_checkpoint(&s);
    unsigned b = write_to(&s, 0);
    let_fail(PREPARE, _i == 1);
    ck_says(cairn_task_finish(s.tasks[0], reterr), "prepare");
    table.results[PREPARE] = 0;
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    ck_ok(cairn_task_finish(s.tasks[0], reterr));
    ck_calls(b, PREPARE, 1);
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "after cairn_task_finish()");
    ck_assert_uint_eq(poll_one(&s, 0).checkpoint_id, first);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 0);
    ck_ok(cairn_job_checkpoint(s.job, NULL, NULL, reterr)); /* nobody polls */
    if (_i == 1) {                                          /* nobody ever learns of it */
        close_service(&s);
        ck_calls(b, ABORT, 0);
        open_service(&s, 1);
        ck_calls(b, COMMIT, 1);
        close_service(&s);
        return;
    }
    cairn_event event = {0};
    while (event.type != CAIRN_EVENT_COMPLETED)
        ck_ok(cairn_task_wait(s.tasks[0], 1000, &event, reterr));
    ck_calls(b, COMMIT, 1);
    ck_ok(cairn_job_checkpoint(s.job, NULL, NULL, reterr)); /* has it no more */
    close_service(&s);
    open_service(&s, 1);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 1);
    close_service(&s);
}
END_TEST

static int refuse_to_prepare(void *context, const void *description, size_t size,
                             cairn_error **reterr)
{
    (void)context, (void)description, (void)size, (void)reterr;
    return CAIRN_EIO;
}

/* A sink whose neighbour keeps the task from finishing goes on, too, and its output since then is
 * as any other. */
START_TEST(test_finish_fails_halfway)
{
    struct service s;
    cairn_two_phase *neighbour;
    cairn_two_phase_functions others = functions;
    const void *d;
    size_t size;
    others.prepare = refuse_to_prepare;
    open_tasks(&s, "job", 1);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_ok(cairn_two_phase_open(s.tasks[0], "too", &others, &neighbour, reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    unsigned a = write_to(&s, 0);
    ck_ok(cairn_two_phase_current(neighbour, &d, &size, reterr));
    ck_fails(cairn_task_finish(s.tasks[0], reterr), CAIRN_EIO, "sink 'too'");
    ck_calls(a, PREPARE, 1);
    unsigned b = write_to(&s, 0);
    ck_assert_uint_ne(a, b);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    close_service(&s);
    ck_calls(a, ABORT, 1); /* no checkpoint can hold them */
    ck_calls(b, ABORT, 1);
}
END_TEST

/* Prepared by 2 subtasks, committed by 3, and then by 1: each once. */
START_TEST(test_rescale)
{
    struct service s;
    open_service(&s, 2);
    for (uint32_t i = 0; i < 7; i++) {
        (void)write_to(&s, i % 2);
        ck_ok(crn_two_phase_seal(s.sinks[i % 2], reterr));
    }
    take_checkpoint(&s);
    close_service(&s);
    ck_assert_uint_eq(table.committed, 0);
    open_service(&s, 3);
    ck_assert_uint_eq(table.committed, table.begun);
    for (uint32_t i = 0; i < 3; i++)
        (void)write_to(&s, i);
    take_checkpoint(&s);
    close_service(&s);
    ck_assert_uint_eq(table.committed, table.begun - 3);
    open_service(&s, 1);
    ck_assert_uint_eq(table.committed, table.begun);
    checkpoint(&s);
    close_service(&s);
    for (unsigned n = 0; n < table.begun; n++)
        ck_calls(n, COMMIT, 1);
}
END_TEST

/* Once in a run, in subtask 0, at the first checkpoint that is complete. */
START_TEST(test_sweep)
{
    struct service s;
    for (unsigned life = 1; life <= 2; life++) {
        open_service(&s, 3);
        ck_assert_uint_eq(table.calls[SWEEP], life - 1);
        take_checkpoint(&s);
        for (uint32_t i = 3; i-- > 0;) {
            ck_assert_uint_eq(table.calls[SWEEP], life - 1);
            ck_assert_int_eq(poll_one(&s, i).type, CAIRN_EVENT_COMPLETED);
        }
        checkpoint(&s);
        ck_assert_uint_eq(table.calls[SWEEP], life);
        close_service(&s);
    }
}
END_TEST

/* The bytes of docs/format.md, "Prepared transactions" (P10). */
START_TEST(test_format)
{
    struct service s;
    cairn_operator_list *list;
    const void *data;
    size_t size;
    open_service(&s, 1);
    take_checkpoint(&s);
    (void)write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    close_service(&s);
    open_tasks(&s, "job", 1);
    ck_ok(cairn_operator_list_state(s.tasks[0], "out", CAIRN_SPLIT, CAIRN_BYTES, &list, reterr));
    ck_assert_uint_eq(cairn_operator_list_size(list), 1);
    ck_assert_int_eq(cairn_operator_list_at(list, 0, &data, &size), 0);
    ck_assert_uint_eq(id, 3); /* after the fence and the first checkpoint */
    ck_assert_uint_eq(size, 13);
    ck_assert_int_eq(memcmp(data, "\1\0\0\0\0\0\0\0\3tx-0", 13), 0);
    close_service(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Calls that fail
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_begin_fails)
{
    struct service s;
    const void *d;
    size_t size;
    open_service(&s, 1);
    let_fail(BEGIN, _i == 1);
    ck_says(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), "begin");
    checkpoint(&s); /* nothing to prepare */
    table.results[BEGIN] = 1;
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "begin gave 1, which is no result");
    table.results[BEGIN] = 0;
    table.without_description = true;
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "description of 0 bytes");
    table.without_description = false;
    unsigned a = write_to(&s, 0);
    checkpoint(&s);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* The checkpoint is aborted and says why; the transaction is still the one to write to. */
START_TEST(test_prepare_fails)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    let_fail(PREPARE, _i == 1);
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_EABORTED, "sink 'out'");
    ck_says(crn_two_phase_seal(s.sinks[0], reterr), "prepare");
    drain_events(&s);
    ck_assert_uint_eq(write_to(&s, 0), a);
    table.results[PREPARE] = 0;
    checkpoint(&s);
    ck_calls(a, PREPARE, 1);
    ck_calls(a, COMMIT, 1);
    ck_assert_uint_eq(table.begun, 1);
    close_service(&s);
}
END_TEST

/* Poll says so again and again, and gives nothing else; what was committed is not repeated. */
START_TEST(test_commit_fails)
{
    struct service s;
    cairn_event event = {.checkpoint_id = 77};
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    unsigned b = write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    table.fail_from = b;
    let_fail(COMMIT, _i == 1);
    post(&s, CAIRN_EVENT_DRAIN, 0);
    for (int i = 0; i < 3; i++)
        ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "commit");
    ck_fails(cairn_task_wait(s.tasks[0], 0, &event, reterr), CAIRN_ENOSPC,
             "operator 'writer' subtask 0: sink 'out'");
    ck_assert_uint_eq(event.checkpoint_id, 77);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 0);
    table.results[COMMIT] = 0;
    event = poll_one(&s, 0);
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_assert_uint_eq(event.checkpoint_id, id);
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_DRAIN);
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* The event that could not be delivered is lost to newer ones: those commit what it would have. */
START_TEST(test_commit_fails_with_a_full_mailbox)
{
    struct service s;
    cairn_event event;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    uint64_t id = take_checkpoint(&s);
    let_fail(COMMIT, false);
    ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "commit");
    for (uint64_t i = 1; i <= CRN_MAILBOX_SIZE; i++)
        post(&s, CAIRN_EVENT_COMPLETED, id + i);
    ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "commit");
    table.results[COMMIT] = 0;
    ck_assert_uint_eq(poll_one(&s, 0).checkpoint_id, id + 1);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
}
END_TEST

/* Opening says so, and may be tried again; meanwhile nothing is forgotten. */
START_TEST(test_commit_fails_at_open)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    ck_ok(crn_two_phase_seal(s.sinks[0], reterr));
    unsigned b = write_to(&s, 0);
    take_checkpoint(&s);
    close_service(&s);

    open_tasks(&s, "job", 1);
    table.fail_from = b;
    let_fail(COMMIT, _i == 1);
    for (int i = 0; i < 2; i++)
        ck_says(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr), "commit");
    if (_i == 0) { /* a service that goes on all the same: the state stays what it is */
        ck_ok(cairn_job_start(s.job, reterr));
        checkpoint(&s);
        close_service(&s);
        open_tasks(&s, "job", 1);
    }
    table.results[COMMIT] = 0;
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 1);
    ck_ok(cairn_job_start(s.job, reterr));
    checkpoint(&s);
    close_service(&s);
    ck_assert_uint_eq(table.committed, 2);
}
END_TEST

/* What a subtask without the sink still has prepared is not garbage. */
START_TEST(test_sweep_waits_for_every_subtask)
{
    struct service s;
    open_service(&s, 2);
    unsigned a = write_to(&s, 0), b = write_to(&s, 1);
    take_checkpoint(&s);
    close_service(&s);
    open_tasks(&s, "job", 2);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    ck_calls(a, COMMIT, 1);
    ck_calls(b, COMMIT, 0);
    checkpoint(&s);
    ck_assert_uint_eq(table.calls[SWEEP], 0);
    close_service(&s);
    open_service(&s, 2);
    ck_calls(b, COMMIT, 1);
    checkpoint(&s);
    ck_assert_uint_eq(table.calls[SWEEP], 1);
    close_service(&s);
}
END_TEST

START_TEST(test_sweep_fails)
{
    struct service s;
    cairn_event event;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    take_checkpoint(&s);
    let_fail(SWEEP, _i == 1);
    for (int i = 0; i < 2; i++)
        ck_says(cairn_task_poll(s.tasks[0], &event, reterr), "sweep");
    ck_calls(a, COMMIT, 1);
    table.results[SWEEP] = 0;
    ck_assert_int_eq(poll_one(&s, 0).type, CAIRN_EVENT_COMPLETED);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
}
END_TEST

START_TEST(test_abort_fails)
{
    struct service s;
    open_service(&s, 1);
    unsigned a = write_to(&s, 0);
    let_fail(ABORT, _i == 1);
    close_service(&s);
    ck_calls(a, ABORT, 1);
}
END_TEST

/* abort and sweep may be left out. */
START_TEST(test_optional_functions)
{
    struct service s;
    cairn_two_phase_functions fewer = functions;
    fewer.abort = NULL;
    fewer.sweep = NULL;
    open_tasks(&s, "job", 1);
    ck_ok(cairn_two_phase_open(s.tasks[0], "out", &fewer, &s.sinks[0], reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    unsigned a = write_to(&s, 0);
    checkpoint(&s);
    (void)write_to(&s, 0);
    ck_calls(a, COMMIT, 1);
    close_service(&s);
    ck_assert_uint_eq(table.calls[ABORT] + table.calls[SWEEP], 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Bad input
 * ------------------------------------------------------------------------------------------ */

/* Elements that a writer of this library would never have put there (P11). */
START_TEST(test_hostile_state)
{
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *words;
    } cases[] = {
        {"", 0, CAIRN_ECORRUPT, "is no prepared transaction"},
        {"\0\0\0\0\0\0\0\0\1tx-0", 13, CAIRN_ECORRUPT, "is no prepared transaction"},
        {"\2\0\0\0\0\0\0\0\1tx-0", 13, CAIRN_EVERSION, "version 2"},
        {"\1\0\0\0\0\0\0", 7, CAIRN_ECORRUPT, "is cut off"},
        {"\1\0\0\0\0\0\0\0\1", 9, CAIRN_ECORRUPT, "is cut off"},
    };
    struct service s;
    cairn_operator_list *list;
    table.begun = 1;
    table.all[0].calls[PREPARE] = 1;
    open_tasks(&s, "job", 1);
    ck_ok(cairn_operator_list_state(s.tasks[0], "out", CAIRN_SPLIT, CAIRN_BYTES, &list, reterr));
    ck_ok(cairn_operator_list_add(list, "\1\0\0\0\0\0\0\0\1tx-0", 13, reterr));
    ck_ok(cairn_operator_list_add(list, cases[_i].bytes, cases[_i].size, reterr));
    ck_ok(cairn_job_start(s.job, reterr));
    checkpoint(&s);
    close_service(&s);

    open_tasks(&s, "job", 1);
    ck_fails(cairn_two_phase_open(s.tasks[0], "out", &functions, &s.sinks[0], reterr),
             cases[_i].code, cases[_i].words);
    ck_assert_uint_eq(table.calls[COMMIT], 0);
    close_service(&s);
}
END_TEST

START_TEST(test_refusals)
{
    struct service s;
    const void *d;
    size_t size;
    cairn_two_phase *sink = NULL;
    cairn_operator_list *list;
    open_tasks(&s, "job", 1);
    cairn_task *task = s.tasks[0];
    for (int i = 0; i < 3; i++) {
        cairn_two_phase_functions fewer = functions;
        if (i == 0)
            fewer.begin = NULL;
        else if (i == 1)
            fewer.prepare = NULL;
        else
            fewer.commit = NULL;
        ck_fails(cairn_two_phase_open(task, "out", &fewer, &sink, reterr), CAIRN_EINVAL,
                 "needs the functions");
    }
    ck_fails(cairn_two_phase_open(NULL, "out", &functions, &sink, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_two_phase_open(task, "out", &functions, NULL, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_two_phase_open(task, "out", NULL, &sink, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_two_phase_open(task, NULL, &functions, &sink, reterr), CAIRN_EINVAL, "name");
    ck_fails(cairn_two_phase_open(task, "", &functions, &sink, reterr), CAIRN_EINVAL, "name");
    ck_ok(cairn_operator_list_state(task, "taken", CAIRN_SPLIT, CAIRN_BYTES, &list, reterr));
    ck_fails(cairn_two_phase_open(task, "taken", &functions, &sink, reterr), CAIRN_EEXIST, "taken");
    ck_assert_ptr_null(sink);

    ck_ok(cairn_two_phase_open(task, "out", &functions, &s.sinks[0], reterr));
    ck_fails(cairn_two_phase_open(task, "out", &functions, &sink, reterr), CAIRN_EEXIST, "out");
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_EINVAL,
             "before cairn_job_start()");
    ck_ok(cairn_job_start(s.job, reterr));
    ck_fails(cairn_two_phase_open(task, "late", &functions, &sink, reterr), CAIRN_EINVAL,
             "has started");
    ck_fails(cairn_two_phase_current(NULL, &d, &size, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_two_phase_current(s.sinks[0], NULL, &size, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, NULL, reterr), CAIRN_EINVAL, "NULL");
    (void)write_to(&s, 0);
    checkpoint(&s);
    cairn_job_close(s.job);
    ck_fails(cairn_two_phase_current(s.sinks[0], &d, &size, reterr), CAIRN_ECLOSED, "");
    ck_fails(cairn_two_phase_open(task, "later", &functions, &sink, reterr), CAIRN_ECLOSED, "");
    cairn_task_close(task);

    open_tasks(&s, "job", 1); /* its state is a list of bytes, and nothing else */
    cairn_value *value;
    ck_fails(cairn_value_state(s.tasks[0], "out", CAIRN_BYTES, NULL, &value, reterr),
             CAIRN_EMISMATCH, "out");
    close_service(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("two_phase");
    TCase *tc = tcase_create("two_phase");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_visible_when_complete);
    tcase_add_test(tc, test_restarts);
    tcase_add_test(tc, test_aborted_checkpoint);
    tcase_add_test(tc, test_ids);
    tcase_add_test(tc, test_full_mailbox);
    tcase_add_test(tc, test_mailbox_keeps_the_newest_completed);
    tcase_add_test(tc, test_events);
    tcase_add_loop_test(tc, test_savepoint, 0, 2);
    tcase_add_test(tc, test_stop);
    tcase_add_loop_test(tc, test_finish, 0, 2);
    tcase_add_test(tc, test_finish_fails_halfway);
    tcase_add_test(tc, test_rescale);
    tcase_add_test(tc, test_sweep);
    tcase_add_test(tc, test_format);
    tcase_add_loop_test(tc, test_begin_fails, 0, 2);
    tcase_add_loop_test(tc, test_prepare_fails, 0, 2);
    tcase_add_loop_test(tc, test_commit_fails, 0, 2);
    tcase_add_test(tc, test_commit_fails_with_a_full_mailbox);
    tcase_add_loop_test(tc, test_commit_fails_at_open, 0, 2);
    tcase_add_test(tc, test_sweep_waits_for_every_subtask);
    tcase_add_loop_test(tc, test_sweep_fails, 0, 2);
    tcase_add_loop_test(tc, test_abort_fails, 0, 2);
    tcase_add_test(tc, test_optional_functions);
    tcase_add_loop_test(tc, test_hostile_state, 0, 5);
    tcase_add_test(tc, test_refusals);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
