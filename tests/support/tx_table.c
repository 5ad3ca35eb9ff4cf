/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions in a table, and a job whose sinks have them; see tx_table.h. */
#include "tests/support/tx_table.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Transactions in a table
 * ------------------------------------------------------------------------------------------ */

struct tx_table table;

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

const cairn_two_phase_functions functions = {tx_begin, tx_prepare, tx_commit,
                                             tx_abort, tx_sweep,   NULL};

/* ------------------------------------------------------------------------------------------ *
 * A job
 * ------------------------------------------------------------------------------------------ */

struct fixture f;

void table_setup(void)
{
    fixture_init(&f, false);
    memset(&table, 0, sizeof table);
}

void table_teardown(void)
{
    fixture_done(&f);
}

void open_tasks(struct service *s, const char *job, uint32_t parallelism)
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

void open_service(struct service *s, uint32_t parallelism)
{
    open_tasks(s, "job", parallelism);
    for (uint32_t i = 0; i < parallelism; i++)
        ck_ok(cairn_two_phase_open(s->tasks[i], "out", &functions, &s->sinks[i], reterr));
    ck_ok(cairn_job_start(s->job, reterr));
}

void close_service(struct service *s)
{
    cairn_job_close(s->job);
    for (uint32_t i = 0; i < s->parallelism; i++)
        cairn_task_close(s->tasks[i]);
}

unsigned write_to(const struct service *s, uint32_t subtask)
{
    const void *description;
    size_t size;
    ck_ok(cairn_two_phase_current(s->sinks[subtask], &description, &size, reterr));
    return number_of(description, size);
}

cairn_event poll_one(const struct service *s, uint32_t subtask)
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

uint64_t take_checkpoint(const struct service *s)
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

void drain_events(const struct service *s)
{
    for (uint32_t i = 0; i < s->parallelism; i++)
        while (poll_one(s, i).type != CAIRN_EVENT_NONE)
            ;
}

uint64_t checkpoint(const struct service *s)
{
    uint64_t id = take_checkpoint(s);
    for (uint32_t i = 0; i < s->parallelism; i++)
        ck_assert_int_eq(poll_one(s, i).type, CAIRN_EVENT_COMPLETED);
    return id;
}

void post(const struct service *s, cairn_event_type type, uint64_t id)
{
    const cairn_event event = {.type = type, .checkpoint_id = id};
    crn_mutex_lock(&s->job->lock);
    crn_task_post(s->tasks[0], &event);
    crn_mutex_unlock(&s->job->lock);
}

void let_fail(enum call call, bool with_error)
{
    table.results[call] = CAIRN_ENOSPC;
    table.with_error = with_error;
}
