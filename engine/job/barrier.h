/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_BARRIER_H
#define CRN_ENGINE_BARRIER_H

#include "engine/job/job.h"

/* barrier.c. What belongs to a checkpoint besides the database, as it is now, into an operator with
 * one subtask. Task's thread. */
int crn_barrier_describe(struct cairn_task *task, struct crn_operator *op,
                         struct cairn_buffer *operator_state, cairn_error **reterr);
/* The service's before_barrier, if it has one. Task's thread. */
int crn_barrier_call_service(struct cairn_task *task, uint64_t checkpoint_id, cairn_error **reterr);
/* The task is in the barrier of a part that it took (crn_flight_take_locked): take its state, and
 * hand it over. What poll delivers: nothing, if it failed, which aborts the attempt. */
cairn_event crn_barrier_run(struct crn_part *part);
/* The same of a task that has finished. A capture thread. */
void crn_barrier_run_finished(struct crn_part *part);

/* finish.c. What a finished task has left, into the part. Any thread. */
int crn_finish_describe(struct crn_part *part, cairn_error **reterr);
/* Its participants have changed that: task's thread. */
void crn_finish_refresh(struct cairn_task *task);
void crn_finish_free(struct crn_task_runtime *runtime);

/* task_poll.c: 0, or what poll returns before it looks at anything. */
int crn_task_check_pollable(struct cairn_task *task, cairn_error **reterr);
/* CAIRN_EINVAL inside the service's function that task->inside names. */
int crn_task_check_outside(const struct cairn_task *task, cairn_error **reterr);

#endif
