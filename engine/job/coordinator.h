/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_COORDINATOR_H
#define CRN_ENGINE_COORDINATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * When to begin, commit and abort snapshots, which are checkpoints and savepoints: a pure state
 * machine. Events in, actions out; no clock, no thread, no I/O, no memory of its own, so that a
 * test can run it through millions of schedules. driver.c feeds it and carries the actions out.
 *
 *   STOPPED --START--> IDLE --due or asked--> RUNNING --all tasks acked--> COMMITTING --> IDLE
 *                                              |  decline, timeout             | taken, failed
 *                                              v                               v
 *                                           ABORTING --resolved--> DRAINING --drained--> IDLE
 *   COMMITTING, ABORTING --fenced--> FENCED
 *   any of them --CLOSE--> (ABORTING, DRAINING) --> CLOSED
 *
 * Both kinds go the same way. Whose turn it is, in IDLE: a checkpoint that was asked for; else a
 * savepoint that waits and a periodic checkpoint that is due take turns, so that neither starves
 * the other. A savepoint has a deadline of its own, and leaves alone when the next periodic
 * checkpoint is due. One savepoint waits here at a time; the driver keeps the others in line.
 *
 * Invariants, checked by tests/test_coordinator.c over random and exhaustive schedules:
 *   - one attempt at a time; its id is the log's head + 1 and is resolved (COMMIT or ABORT record)
 *     before the next begins (the log is dense);
 *   - COMMIT is asked for only after every task acknowledged this very id (P1);
 *   - what was uploaded is DISCARDed only after the id was resolved as aborted and all uploads have
 *     ended (P5), and always then (P6);
 *   - an outcome that is not known stays COMMITTING and is tried again: it is never guessed;
 *   - after FENCED nothing is committed any more (P7);
 *   - a savepoint serves no request for a checkpoint, and the reverse.
 */

enum crn_coordinator_phase {
    CRN_PHASE_STOPPED,
    CRN_PHASE_IDLE,
    CRN_PHASE_RUNNING,
    CRN_PHASE_COMMITTING,
    CRN_PHASE_ABORTING, /* the aborted record is being committed */
    CRN_PHASE_DRAINING, /* resolved; uploads of the dead attempt are still ending */
    CRN_PHASE_FENCED,
    CRN_PHASE_CLOSED
};

enum crn_event_kind {
    CRN_EVENT_START,     /* tasks: their number; id: the log's head */
    CRN_EVENT_REQUEST,   /* id: the newest ticket given out to who asks; full: for any of them */
    CRN_EVENT_SAVEPOINT, /* timeout_us: one is asked for; not while another waits: savepoint_waits
                          */
    CRN_EVENT_TICK,      /* time passed */
    CRN_EVENT_BEGIN_FAILED,  /* the attempt could not even be made: nothing happened under its id */
    CRN_EVENT_ACK,           /* task, id */
    CRN_EVENT_DECLINE,       /* id (of a task's or the driver's failure) */
    CRN_EVENT_COMMIT_OK,     /* id */
    CRN_EVENT_COMMIT_TAKEN,  /* the id was resolved as aborted by maintenance */
    CRN_EVENT_COMMIT_FENCED, /* also for the aborted record */
    CRN_EVENT_COMMIT_UNKNOWN, /* the outcome could not be learnt */
    CRN_EVENT_COMMIT_FAILED,  /* it did not happen */
    CRN_EVENT_ABORT_OK,       /* the aborted record (ours or another's) stands */
    CRN_EVENT_ABORT_FAILED,   /* it does not stand yet, or that is not known */
    CRN_EVENT_DRAINED,        /* no upload of the attempt runs any more */
    CRN_EVENT_CLOSE
};

struct crn_coordinator_event {
    enum crn_event_kind kind;
    uint64_t now_us;
    uint64_t id;
    uint32_t task;
    bool full;
    uint64_t timeout_us;
};

enum crn_action_kind {
    CRN_ACTION_BEGIN,    /* ask every task for the barrier of id */
    CRN_ACTION_COMMIT,   /* commit the snapshot's record */
    CRN_ACTION_COMPLETE, /* it is committed: tell tasks and waiters, subsume */
    CRN_ACTION_CANCEL,   /* withdraw the barrier, stop uploads */
    CRN_ACTION_ABORT,    /* commit the aborted record */
    CRN_ACTION_ABORTED,  /* it stands: tell tasks and waiters */
    CRN_ACTION_DISCARD,  /* delete what the attempt uploaded */
    CRN_ACTION_LEAVE,   /* forget the attempt without deleting: fenced, or its outcome is unknown */
    CRN_ACTION_OVERDUE, /* past the deadline the log cannot be told the outcome: tell waiters */
    CRN_ACTION_FENCED,  /* tell tasks and waiters */
    CRN_ACTION_CLOSED   /* nothing is in flight: the driver may end */
};

struct crn_action {
    enum crn_action_kind kind;
    uint64_t id;
    bool full;
    bool savepoint;  /* the attempt is one */
    bool timed_out;  /* CANCEL: because of the timeout */
    uint64_t ticket; /* BEGIN, COMPLETE, ABORTED: requests up to this one are served by it */
};
#define CRN_ACTIONS_MAX 8
struct crn_actions {
    struct crn_action items[CRN_ACTIONS_MAX];
    size_t count;
};

struct crn_coordinator {
    /* Settings; constant. */
    uint64_t interval_us, timeout_us, min_pause_us; /* interval 0: none; timeout > 0 */
    /* State; read by tests and the driver, changed by crn_coordinator_step() only. */
    enum crn_coordinator_phase phase;
    uint64_t head_id;
    uint64_t id; /* of the attempt in flight, or the last one */
    bool full;
    bool savepoint; /* what it is */
    bool drained;
    bool overdue; /* the deadline is over, waiters were told; the id is still tried */
    bool closing;
    uint32_t task_count, ack_count;
    uint8_t *acked; /* task_count bytes, the caller's */
    uint64_t deadline_us, next_periodic_us, not_before_us, retry_at_us;
    uint32_t retries;
    uint64_t requested; /* newest ticket given out */
    uint64_t taken;     /* tickets taken over by the attempt in flight or served before */
    bool requested_full;
    bool savepoint_waits;
    uint64_t savepoint_timeout_us; /* of the one that waits */
};

void crn_coordinator_init(struct crn_coordinator *coordinator, uint64_t interval_us,
                          uint64_t timeout_us, uint64_t min_pause_us, uint8_t *acked);
void crn_coordinator_step(struct crn_coordinator *coordinator,
                          const struct crn_coordinator_event *event, struct crn_actions *ret);
/* When the next TICK is of use; UINT64_MAX: never. */
uint64_t crn_coordinator_next_tick_us(const struct crn_coordinator *coordinator);

#endif
