/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_GATE_RIG_H
#define CRN_TESTS_GATE_RIG_H

#include "cairn/gate.h"
#include "tests/support/job_fixture.h"

/* A job of a source and some subtasks with gates, all driven by one thread: the test is the network
 * between them. Each subtask notes what it processes in operator state. */

#define RIG_TASKS_MAX 4u

struct rig {
    cairn_job *job;
    cairn_task *source;
    cairn_task *tasks[RIG_TASKS_MAX]; /* of operator "sum" */
    cairn_gate *gates[RIG_TASKS_MAX]; /* NULL: it has none */
    cairn_operator_list *seen[RIG_TASKS_MAX];
    unsigned count;
};

/* As they are by default. */
extern const cairn_gate_options plain;
/* Checkpoints are unaligned, after so long; 0: at once. */
void rig_set_unaligned(struct fixture *f, uint64_t timeout_ms);

/* Up to the tasks. */
void rig_open_tasks(const struct fixture *f, unsigned count, struct rig *ret);
/* With gates; started. options.channel_count 0: two. */
void rig_open(const struct fixture *f, unsigned count, const cairn_gate_options *options,
              struct rig *ret);
void rig_close(struct rig *rig);

/* Ask for a checkpoint, and have the source take its barrier. */
cairn_barrier rig_trigger(struct rig *rig);
/* The next event of the source, or of a subtask, that is one of this type, within some seconds;
 * others are passed over. */
cairn_event rig_wait(cairn_task *task, cairn_event_type type);
/* Nothing is due: poll gives no event. */
void rig_expect_nothing(cairn_task *task);

/* A record comes out of a channel and is processed. */
void rig_record(struct rig *rig, unsigned subtask, uint32_t channel, int64_t value);
void rig_barrier(struct rig *rig, unsigned subtask, uint32_t channel, const cairn_barrier *barrier);
void rig_announce(struct rig *rig, unsigned subtask, uint32_t channel,
                  const cairn_barrier *barrier);
void rig_end(struct rig *rig, unsigned subtask, uint32_t channel);

/* What the next two expect. */
#define VALUES(...) ((const int64_t[]){__VA_ARGS__, -1})
#define NOTHING ((const int64_t[]){-1})
/* What the subtask has processed, or got back as state: exactly these, in this order; ends with -1.
 */
void rig_expect_seen(const struct rig *rig, unsigned subtask, const int64_t *values);
/* What the gate hands out after a restore: exactly these, as pairs of channel and value; ends with
 * -1. They are not processed. */
void rig_expect_restored(struct rig *rig, unsigned subtask, const int64_t *pairs);
cairn_gate_stats rig_stats(const struct rig *rig, unsigned subtask);
/* Files of this role in the newest checkpoint in the store; and the key of the first one, which is
 * not inlined: to be freed. */
size_t rig_count_files(const struct fixture *f, cairn_file_role role);
char *rig_find_file(const struct fixture *f, cairn_file_role role);

#endif
