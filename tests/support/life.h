/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_LIFE_H
#define CRN_TESTS_LIFE_H

#include "tests/support/life_oracle.h"

/*
 * The subject of tests that do whole lives of a job: two operators with every kind of state, at any
 * parallelism, with schemas and expiry that change from start to start, beside an oracle that is a
 * struct of plain arrays, so that a copy of it is a snapshot.
 *
 * Needs no Check: what goes wrong is returned. All tasks belong to one thread.
 */

struct life;
struct life_task {
    struct life *life;
    unsigned op, subtask;
    cairn_task *task;
    cairn_value *blob, *record, *aging;
    cairn_list *list, *rows, *aged;
    cairn_map *map;
    cairn_reducing *sum;
    cairn_operator_list *split, *everybody;
    cairn_broadcast *rules;
};

struct life {
    struct life_oracle oracle;
    struct life_task tasks[LIFE_OPS][LIFE_TASKS_MAX];
    cairn_serializer *serializers[LIFE_VERSIONS];
    cairn_struct *structs[LIFE_VERSIONS];
    /* The caller's: called in each task's barrier. May be NULL. */
    void (*at_barrier)(void *context, const struct life_task *task, uint64_t id);
    void *context;
};

/* How an operator is opened. */
struct life_plan {
    uint32_t parallelism;
    uint8_t version; /* of the struct's schema */
    bool expires;
    uint8_t skips; /* states that are not registered: they are kept as they are stored */
};

int life_init(struct life *life, cairn_error **reterr);
void life_done(struct life *life); /* no task may be open */

/* Opens all tasks. The oracle must be that of the snapshot that the job was restored from; it
 * becomes what that snapshot is under the new plans. */
int life_open(struct life *life, cairn_job *job, const struct life_plan plans[LIFE_OPS],
              cairn_error **reterr);
void life_close(struct life *life); /* all tasks; the job was closed before */

/* What `random` says, to state and oracle alike. Entries of the broadcast map are the same in all
 * tasks only between snapshots: with_rules says whether now is such a time. */
int life_step(struct life *life, uint64_t random, bool with_rules, cairn_error **reterr);
/* The structs of one task are rewritten under the present schema. */
int life_migrate(struct life *life, unsigned op, unsigned subtask, const char *state,
                 cairn_error **reterr);
/* NULL: every task has the oracle's state to the last entry. Else what differs; static text. */
const char *life_check(struct life *life);

#endif
