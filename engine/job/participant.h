/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_PARTICIPANT_H
#define CRN_ENGINE_PARTICIPANT_H

#include "base/error.h"

struct cairn_task;

/* Something attached to a task that takes part in its barriers and sees its events before poll
 * delivers them: a two-phase sink. Embedded in what it is; linked into task->participants by
 * crn_participant_add() in the order of registration. Every function is called in the task's own
 * thread, without a lock held; none may be NULL. */
struct crn_participant {
    struct crn_participant *next;
    /* The task is in the barrier of this id; its state is described after this. Negative: the
     * checkpoint is declined. */
    int (*barrier)(struct crn_participant *p, uint64_t checkpoint_id, cairn_error **reterr);
    /* An event is about to be delivered. Negative: it stays in the mailbox, is poll's result, and
     * comes again, so what was done for it must be done once only. */
    int (*event)(struct crn_participant *p, const cairn_event *event, cairn_error **reterr);
    /* The task's input has ended, its state is taken as it is after this; no barrier() follows. */
    int (*finish)(struct crn_participant *p, cairn_error **reterr);
    /* The task is being closed by its owner. The job may be closed already. */
    void (*close)(struct crn_participant *p);
    void (*free)(struct crn_participant *p);
};

void crn_participant_add(struct cairn_task *task, struct crn_participant *p);

/* All of a task's, in order; the first failure ends the round. */
int crn_participants_barrier(struct cairn_task *task, uint64_t checkpoint_id, cairn_error **reterr);
int crn_participants_event(struct cairn_task *task, const cairn_event *event, cairn_error **reterr);
int crn_participants_finish(struct cairn_task *task, cairn_error **reterr);
void crn_participants_close(struct cairn_task *task);
void crn_participants_free(struct cairn_task *task);

#endif
