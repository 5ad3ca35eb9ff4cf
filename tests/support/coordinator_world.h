/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_COORDINATOR_WORLD_H
#define CRN_TESTS_COORDINATOR_WORLD_H

#include "engine/job/coordinator.h"

#include <check.h>

/* A model of the world around a coordinator: tasks, a store, a log, people who ask. It offers the
 * events that the driver could bring next, and judges every action that comes back; a wrong one
 * fails the test. */

#define MAX_TASKS 5u
#define MAX_TICKETS 64u /* not served at once */
#define TIMEOUT_US 1000000u
#define SAVEPOINT_TIMEOUT_US 700000u
#define RETRY_EARLIEST_US 10000u
#define RETRY_LATEST_US 5000000u
#define FIRST_ID 8u
#define GOOD_MOVES_MAX 400u /* until it is over */

/* As ck_assert_msg(), which tells the parent process where it is each time that it is passed. */
#define must(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)

/* An attempt in flight, as the world knows it. */
struct attempt {
    uint64_t id, deadline_us;
    bool savepoint, stop, full;
    bool cancelled, drained;
    bool aborted; /* its id stands so in the log */
    bool in_doubt;
    bool told;    /* waiters know that the log cannot be told */
    uint8_t acks; /* a bit per task */
};

/* The record that the driver tries to commit. */
enum record { RECORD_NONE, RECORD_COMMIT, RECORD_ABORT };

/* What the world knows; everything that the coordinator must not get wrong is decided here again,
 * from the events alone. */
struct world {
    struct crn_coordinator c;
    uint8_t acked[CRN_FLIGHTS_MAX * MAX_TASKS];
    struct crn_coordinator_settings settings;
    uint64_t now_us;
    uint32_t tasks;
    bool started, close_sent, fenced, failed, stopped, closed;
    struct attempt attempts[CRN_FLIGHTS_MAX]; /* oldest first */
    size_t count;
    uint64_t head;     /* newest id that was given out */
    uint64_t log_head; /* newest id that stands in the log */
    enum record record;
    bool in_vain; /* the oldest one's record was tried, and waits for the next try */
    uint64_t in_vain_since_us;
    bool just_begun; /* the newest one, by the last step */
    uint64_t next_periodic_us, not_before_us;
    bool savepoint_waits, stop_waits, last_was_savepoint;
    uint64_t tickets, taken;
    uint16_t owner[MAX_TICKETS]; /* id of the attempt that is to serve ticket number `index` mod
                                    MAX_TICKETS; 0: nobody yet, UINT16_MAX: it was served */
    bool full_asked;             /* by a ticket that no attempt has taken */
    uint32_t failures, since_full;
    uint64_t checkpoints, savepoints, aborted, subsumed; /* ended so */
    uint64_t savepoints_asked;
};

/* What can happen next. */
enum move {
    MOVE_REQUEST,
    MOVE_REQUEST_FULL,
    MOVE_SAVEPOINT,
    MOVE_STOP,
    MOVE_TICK, /* at the time that the coordinator asked for */
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
    MOVE_DECLINE, /* of the oldest attempt; the next ones of the others */
    MOVE_DRAINED = MOVE_DECLINE + CRN_FLIGHTS_MAX,
    MOVE_ACK = MOVE_DRAINED + CRN_FLIGHTS_MAX, /* of the oldest attempt's first task */
    MOVES = MOVE_ACK + CRN_FLIGHTS_MAX * MAX_TASKS
};

/* One checkpoint at a time, none by itself, any number of failures. */
struct crn_coordinator_settings world_settings(void);
void world_init(struct world *w, const struct crn_coordinator_settings *settings, uint32_t tasks);
void world_copy(struct world *to, const struct world *from);
void world_start(struct world *w);
/* One event into the coordinator, its actions into the model. */
void world_step(struct world *w, struct crn_coordinator_event event);
bool world_can(const struct world *w, unsigned move);
void world_play(struct world *w, unsigned move);
/* Has everybody who asked an outcome, or has the job ended? */
bool world_is_over(const struct world *w);
/* Something that goes well. @return false: nothing can */
bool world_play_well(struct world *w);
/* From now on all goes well. Everybody who asked gets an outcome; if the job closes, it ends. */
void world_check_ends(const struct world *w);
/* The same, closing it first. */
void world_check_closes(const struct world *w);

/* coordinator_judge.c: one action that the coordinator took because of `event`; then the state
 * after all of them. `before` is the last action of the same step, NULL: it is the first. */
void judge_action(struct world *w, const struct crn_action *action, const struct crn_action *before,
                  const struct crn_coordinator_event *event);
void judge_state(const struct world *w, const struct crn_coordinator_event *event);
bool attempt_is_acked(const struct world *w, const struct attempt *attempt);
const struct attempt *world_find(const struct world *w, uint64_t id); /* NULL: none */
/* The unresolved attempt whose id is next in the log. NULL: none. */
const struct attempt *world_oldest(const struct world *w);
size_t world_unserved(const struct world *w);
void world_serve_all(struct world *w);
void world_remove(struct world *w, struct attempt *attempt);

#endif
