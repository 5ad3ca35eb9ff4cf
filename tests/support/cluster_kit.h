/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CLUSTER_KIT_H
#define CRN_TESTS_CLUSTER_KIT_H

#include "tests/support/job_fixture.h"

/* A job of several processes in one: a handle for each role, all on one store in memory. Each
 * member sees the store through a fault store of its own. Helpers fail the test that runs on any
 * error that they do not return. */

#define CREW_WORKERS_MAX 5u
#define CREW_KEYS 30

struct crew;

/* A process: member 0 is the coordinator, the others are workers. */
struct crew_member {
    struct crew *crew;
    uint32_t index;   /* of a worker: which subtask of "words" it has */
    struct fixture f; /* its options; store is a view of the crew's */
    char name[32], local_dir[260];
    cairn_job *job;
    cairn_task *task;   /* workers: "words"; a coordinator with tasks: "tally" */
    cairn_value *count; /* int64 by int64 key */
    pthread_t thread;
    int code; /* of opening and starting */
    cairn_error *error;
    char message[1000];
};

struct crew {
    struct fixture f;     /* the place, and the store itself */
    char savepoints[260]; /* a directory in it */
    uint32_t workers;
    bool has_tally; /* the coordinator has a task, too */
    struct crew_member members[1 + CREW_WORKERS_MAX];
    int64_t counts[CREW_KEYS]; /* what the state has to be */
    int (*before_barrier)(void *context, cairn_task *task,
                          uint64_t checkpoint_id); /* of workers' tasks */
    void *context;
};

void crew_init(struct crew *crew, uint32_t workers);
void crew_use(struct crew *crew,
              const struct crn_state_backend *backend); /* the fake one is used else */
void crew_done(struct crew *crew);
/* Open the job and the task in it. crew_start() does that for all of them and starts them, at once;
 * a member that fails is closed. @return 0, or the first error by index, whose text is in the
 * member's message */
int crew_open(struct crew *crew, uint32_t member);
int crew_start(struct crew *crew);
void crew_close(struct crew *crew);
void crew_close_member(struct crew *crew, uint32_t member);
/* crew_start() that has to succeed. */
void crew_must_start(struct crew *crew);

cairn_job *crew_job(struct crew *crew);                    /* the coordinator's */
uint32_t crew_owner(const struct crew *crew, int64_t key); /* member */
/* Add one to some of the keys, in the state and in `counts`. */
void crew_write(struct crew *crew, unsigned seed);
/* The state is `counts`. */
void crew_check(struct crew *crew);

/* All tasks that are open are polled in a thread meanwhile. */
void crew_pump(struct crew *crew, struct pump *pump);
int crew_checkpoint(struct crew *crew, bool full, cairn_checkpoint_info *ret, cairn_error **reterr);
int crew_savepoint(struct crew *crew, cairn_savepoint_format format, bool stop,
                   cairn_savepoint_info *ret, cairn_error **reterr);
/* Poll a member's task until it gives this event (its id, or 0: it did not come in time), or an
 * error. */
int64_t crew_await_event(struct crew *crew, uint32_t member, cairn_event_type type);
/* Until poll gives an error: which, with its text in the member's message; 0: it does not. */
int crew_await_error(struct crew *crew, uint32_t member);

#endif
