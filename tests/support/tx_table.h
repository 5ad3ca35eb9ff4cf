/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_TX_TABLE_H
#define CRN_TESTS_TX_TABLE_H

#include "tests/support/job_fixture.h"

/* Transactions of two-phase sinks that are entries of a table, which counts what is done to them
 * and can let each call fail; and a job with such sinks, whose tasks are all polled by the thread
 * of the test. */

enum call { BEGIN, PREPARE, COMMIT, ABORT, SWEEP, CALLS };

struct transaction {
    unsigned calls[CALLS];
    unsigned committed_as; /* place in the order of first commits, from 1 */
};
extern struct tx_table {
    struct transaction all[300];
    unsigned begun, committed;
    unsigned calls[CALLS];
    int results[CALLS]; /* what a call gives instead of being carried out */
    bool with_error;    /* and it makes an error of its own */
    bool without_description;
    unsigned fail_from; /* commits from this transaction on are what fails */
} table;
extern const cairn_two_phase_functions functions;
extern struct fixture f;

void table_setup(void);
void table_teardown(void);

#define SUBTASKS_MAX 4
struct service {
    cairn_job *job;
    cairn_task *tasks[SUBTASKS_MAX]; /* of operator "writer" */
    cairn_two_phase *sinks[SUBTASKS_MAX];
    uint32_t parallelism;
};
/* Without sinks, and not started. */
void open_tasks(struct service *s, const char *job, uint32_t parallelism);
/* The job "job" with a sink "out" in each task, started. */
void open_service(struct service *s, uint32_t parallelism);
void close_service(struct service *s);

/* The number of the transaction that output goes to. */
unsigned write_to(const struct service *s, uint32_t subtask);
cairn_event poll_one(const struct service *s, uint32_t subtask);
void drain_events(const struct service *s);
/* Barriers of all tasks, and the checkpoint is over: its events wait in the mailboxes. */
uint64_t take_checkpoint(const struct service *s);
/* The same, and every task learns that it is complete. */
uint64_t checkpoint(const struct service *s);
/* Into the mailbox of the first task. */
void post(const struct service *s, cairn_event_type type, uint64_t id);

/* With CAIRN_ENOSPC, until table.results[call] is 0 again; and with or without an error. */
void let_fail(enum call call, bool with_error);
/* What fails because of let_fail() says so. */

#define ck_says(call_, which)                                                                      \
    ck_fails(call_, CAIRN_ENOSPC, table.with_error ? "on strike" : which " gave CAIRN_ENOSPC")

#define ck_calls(n, call, count) ck_assert_uint_eq(table.all[n].calls[call], count)

#endif
