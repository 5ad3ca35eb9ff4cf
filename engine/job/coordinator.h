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
 * The coordinator as a whole:
 *   STOPPED --START--> RUNNING --CLOSE--> CLOSING --nothing in flight--> CLOSED
 *                         |  a record of another writer            |
 *                         +--> FENCED --CLOSE----------------------+
 * and each attempt in flight, oldest first, ids ascending, those of unresolved ones without gaps:
 *   ACKING --all tasks acked--> READY --older ones resolved--> COMMITTING --> gone (complete)
 *     |  decline, timeout, subsumed, closing: CANCEL                | taken, failed
 *     v                                                             v
 *   DOOMED ------------older ones resolved----------------> ABORTING --resolved--> DRAINING -->
 * gone
 *
 * The log is dense, so ids are resolved in order: only the oldest unresolved attempt can be
 * COMMITTING or ABORTING. One that is resolved as aborted stays DRAINING until its uploads have
 * ended, and holds nobody up but counts as in flight.
 *
 * Subsumption: a checkpoint that gets READY dooms the older checkpoints that are still ACKING: they
 * are of no use any more. Who asked for one of those is served by the newer one. Savepoints are
 * neither subsumed nor do they subsume; a checkpoint waits for an older savepoint. One that is full
 * is subsumed by a full one only: who asked for it would be served by less, and a job whose full
 * checkpoints take longer than its interval would never get one. While such a one is ACKING,
 * those before it are not subsumed either. READY has no deadline.
 *
 * Beginning, while neither closing nor failed: a checkpoint that was asked for; else a savepoint
 * that waits and a periodic checkpoint that is due take turns. At most max_concurrent checkpoints
 * and one savepoint are in flight. Of a savepoint with which the job stops: once it waits, no other
 * attempt begins, until it has failed. One savepoint waits here at a time; the driver keeps the
 * others in line.
 *
 * Every full_every-th checkpoint is full: those in flight are counted as if they were going to be
 * complete, unless they cannot be any more.
 *
 * Failures: checkpoints in a row that were declined, timed out or could not be committed count,
 * each once; a completed one sets the count to zero. More than tolerable_failures of them: FAIL,
 * and nothing begins any more; the driver then sends CLOSE. Savepoints, subsumed attempts, taken
 * ids and what ends because of CLOSE do not count.
 *
 * The log cannot be told: a record that was tried in vain is tried again, later each time. When a
 * deadline of an attempt that waits for the log is over, OVERDUE tells everybody who waits, once,
 * and then after each try that fails. CLOSE leaves (LEAVE) all unresolved attempts as soon as no
 * try runs that may succeed: whoever opens the job next resolves their ids. A READY attempt is
 * still committed when the job closes, if those before it can be resolved.
 *
 * Order of a step's actions: first what is about attempts that are over or are cancelled, and
 * FAIL; then at most one BEGIN; then, last, at most one COMMIT or ABORT. So results may be fed from
 * within carrying an action out: BEGIN_FAILED right after its BEGIN, and the outcome of a record as
 * the last thing. CLOSED is the last action of all. If more than one attempt is due to begin, the
 * next tick is at once.
 *
 * Invariants, checked by tests/test_coordinator.c over random and exhaustive schedules:
 *   - ids are dense, each is resolved (COMMIT or ABORT record) before the next one (the log);
 *   - COMMIT is asked for only after every task acknowledged this very id (P1);
 *   - what was uploaded is DISCARDed only after the id was resolved as aborted and all uploads have
 *     ended (P5), and always then (P6);
 *   - an outcome that is not known stays COMMITTING and is tried again: it is never guessed;
 *   - after FENCED nothing is committed any more (P7);
 *   - a savepoint serves no request for a checkpoint, and the reverse;
 *   - at most max_concurrent checkpoints are in flight;
 *   - each ticket is served by exactly one COMPLETE, ABORTED or the end.
 */

#define CRN_CONCURRENT_MAX 8u                     /* checkpoints */
#define CRN_FLIGHTS_MAX (CRN_CONCURRENT_MAX + 1u) /* and a savepoint */

enum crn_coordinator_phase {
    CRN_PHASE_STOPPED,
    CRN_PHASE_RUNNING,
    CRN_PHASE_FENCED,
    CRN_PHASE_CLOSING,
    CRN_PHASE_CLOSED
};

enum crn_flight_phase {
    CRN_FLIGHT_ACKING,
    CRN_FLIGHT_READY,
    CRN_FLIGHT_COMMITTING,
    CRN_FLIGHT_DOOMED,   /* cancelled; to be resolved as aborted in its turn */
    CRN_FLIGHT_ABORTING, /* the aborted record is being committed */
    CRN_FLIGHT_DRAINING  /* resolved; uploads of the dead attempt are still ending */
};

enum crn_event_kind {
    CRN_EVENT_START,        /* tasks: their number; id: the log's head */
    CRN_EVENT_REQUEST,      /* id: the newest ticket given out to who asks; full: for any of them */
    CRN_EVENT_SAVEPOINT,    /* timeout_us, stop: one is asked for; not while another waits */
    CRN_EVENT_TICK,         /* time passed */
    CRN_EVENT_BEGIN_FAILED, /* the newest attempt could not even be made: its id is free again.
                               Comes right after its BEGIN, before anything else */
    CRN_EVENT_ACK,          /* task, id */
    CRN_EVENT_DECLINE,      /* id (of a task's or the driver's failure) */
    CRN_EVENT_COMMIT_OK,    /* id */
    CRN_EVENT_COMMIT_TAKEN, /* the id was resolved as aborted by maintenance */
    CRN_EVENT_COMMIT_FENCED,  /* also for the aborted record */
    CRN_EVENT_COMMIT_UNKNOWN, /* the outcome could not be learnt */
    CRN_EVENT_COMMIT_FAILED,  /* it did not happen */
    CRN_EVENT_ABORT_OK,       /* the aborted record (ours or another's) stands */
    CRN_EVENT_ABORT_FAILED,   /* it does not stand yet, or that is not known */
    CRN_EVENT_DRAINED,        /* id: cancelled, and no upload of the attempt runs any more */
    CRN_EVENT_CLOSE
};

struct crn_coordinator_event {
    enum crn_event_kind kind;
    uint64_t now_us;
    uint64_t id;
    uint32_t task;
    bool full;
    bool stop;
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
    CRN_ACTION_FENCED,  /* tell tasks and waiters; once, id 0 */
    CRN_ACTION_FAIL,    /* too many failures: end the job; once, id 0 */
    CRN_ACTION_CLOSED   /* nothing is in flight: the driver may end; id 0 */
};

/* Why an attempt is cancelled. */
enum crn_cancel_reason {
    CRN_CANCEL_DECLINED, /* the driver knows */
    CRN_CANCEL_TIMEOUT,
    CRN_CANCEL_SUBSUMED, /* by the checkpoint `by` */
    CRN_CANCEL_CLOSING,
    CRN_CANCEL_FENCED,
    CRN_CANCEL_TAKEN
};

struct crn_action {
    enum crn_action_kind kind;
    uint64_t id;
    bool full;
    bool savepoint;                /* the attempt is one */
    bool stop;                     /* with which the job stops */
    enum crn_cancel_reason reason; /* CANCEL */
    uint64_t by;                   /* CANCEL: the subsuming checkpoint */
    /* BEGIN, COMPLETE, ABORTED: it serves the requests after `after_ticket` up to `ticket` that
     * nobody has served yet; others in flight serve the others. Both 0: none. */
    uint64_t ticket, after_ticket;
};
#define CRN_ACTIONS_MAX 40
struct crn_actions {
    struct crn_action items[CRN_ACTIONS_MAX];
    size_t count;
};

struct crn_flight {
    enum crn_flight_phase phase;
    uint64_t id;
    bool full, savepoint, stop;
    bool drained;
    bool overdue;  /* the deadline is over, waiters were told; the id is still tried */
    bool subsumed; /* its requests are another's now */
    uint32_t ack_count;
    uint8_t *acked; /* task_count bytes of the caller's */
    uint64_t deadline_us, retry_at_us;
    uint32_t retries;
    uint64_t ticket, after_ticket; /* as in its actions */
};

struct crn_coordinator_settings {
    uint64_t interval_us; /* 0: no periodic checkpoints */
    uint64_t timeout_us;  /* > 0 */
    uint64_t min_pause_us;
    uint32_t max_concurrent;     /* 1 to CRN_CONCURRENT_MAX */
    uint32_t tolerable_failures; /* UINT32_MAX: any number */
    uint32_t full_every;         /* 0: never by itself */
};

struct crn_coordinator {
    struct crn_coordinator_settings settings; /* constant */
    /* State; read by tests and the driver, changed by crn_coordinator_step() only. */
    enum crn_coordinator_phase phase;
    struct crn_flight flights[CRN_FLIGHTS_MAX]; /* oldest first */
    size_t flight_count;
    uint32_t task_count;
    uint8_t *acked;   /* CRN_FLIGHTS_MAX times task_count bytes, the caller's; a row per flight */
    uint64_t head_id; /* newest id that was given out */
    uint64_t next_periodic_us, not_before_us;
    uint64_t requested; /* newest ticket given out */
    uint64_t taken;     /* tickets that an attempt has taken over */
    bool requested_full;
    bool savepoint_waits, stop_waits;
    bool last_was_savepoint;       /* for the turns */
    uint64_t savepoint_timeout_us; /* of the one that waits */
    uint32_t failures;             /* in a row */
    uint32_t since_full;           /* complete checkpoints since the last full one */
    bool failed;
    bool stopped; /* a savepoint with which the job stops is complete: nothing begins any more */
};

void crn_coordinator_init(struct crn_coordinator *coordinator,
                          const struct crn_coordinator_settings *settings, uint8_t *acked);
/* In O(flights) whatever the number of tasks is, but for BEGIN, which clears its acks. */
void crn_coordinator_step(struct crn_coordinator *coordinator,
                          const struct crn_coordinator_event *event, struct crn_actions *ret);
/* When the next TICK is of use; UINT64_MAX: never. */
uint64_t crn_coordinator_next_tick_us(const struct crn_coordinator *coordinator);

#endif
