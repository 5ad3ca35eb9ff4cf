/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_COORDINATOR_WORLD_H
#define CRN_TESTS_COORDINATOR_WORLD_H

#include "engine/job/coordinator.h"

/* A model of the world around a coordinator: tasks, a store, a log, people who ask. It offers the
 * events that the driver could bring next, and judges every action that comes back; a wrong one
 * fails the test. */

#define MAX_TASKS 5u
#define TIMEOUT_US 1000000u
#define SAVEPOINT_TIMEOUT_US 700000u

/* What the world knows; everything that the coordinator must not get wrong is decided here again,
 * from the events alone. */
struct world {
    struct crn_coordinator c; /* its `acked` is set at each step: a world may be copied */
    uint8_t acked[MAX_TASKS];
    uint64_t now_us;
    uint64_t tasks;
    bool started, close_sent, fenced, closed;
    uint64_t log_head;    /* newest id that stands in the log */
    uint64_t checkpoints; /* committed */
    uint64_t savepoints;
    uint64_t interval_us, min_pause_us, next_periodic_us, not_before_us;
    bool savepoint_waits;
    uint64_t tickets, settled;
    bool full_asked; /* by a ticket that no attempt has taken */
    uint64_t taken;  /* by the newest attempt at a checkpoint */
    /* The attempt in flight, or the last one. */
    bool savepoint;
    bool open, cancelled, drained, commit_runs, abort_runs, in_doubt, stands_aborted;
    bool overdue;     /* waiters were told once */
    bool wants_retry; /* a record is neither committed nor given up: only time may try it again */
    uint64_t id, ticket, deadline_us;
    bool task_acked[MAX_TASKS];
};

/* What can happen next. */
enum move {
    MOVE_REQUEST,
    MOVE_REQUEST_FULL,
    MOVE_SAVEPOINT,
    MOVE_TICK, /* at the time that the coordinator asked for */
    MOVE_DECLINE,
    MOVE_DRAINED,
    MOVE_COMMIT_OK,
    MOVE_COMMIT_TAKEN,
    MOVE_COMMIT_FENCED,
    MOVE_COMMIT_UNKNOWN,
    MOVE_COMMIT_FAILED,
    MOVE_ABORT_OK,
    MOVE_ABORT_FENCED,
    MOVE_ABORT_FAILED,
    MOVE_BEGIN_FAILED,
    MOVE_CLOSE,
    MOVE_ACK, /* of task 0; the next ones of the others */
    MOVES = MOVE_ACK + MAX_TASKS
};

void world_init(struct world *w, uint64_t interval_us, uint64_t min_pause_us, uint64_t tasks);
void world_start(struct world *w);
/* One event into the coordinator, its actions into the model. */
void world_step(struct world *w, struct crn_coordinator_event event);
bool world_can(const struct world *w, unsigned move);
void world_play(struct world *w, unsigned move);
/* From now on all goes well. Everybody who asked gets an outcome; if the job closes, it ends. */
void world_check_ends(struct world w);
/* The same, closing it first. */
void world_check_closes(struct world w);

#endif
