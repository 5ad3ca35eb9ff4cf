/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds through the participants of a task, which see its barriers and events.
 *
 * Order matters twice. barrier() runs after the service's before_barrier, which may still write to
 * a sink, and before operator state is encoded, which has to contain what a sink prepares (P2).
 * event() runs before poll gives the event away: when the service learns that a checkpoint is
 * complete, its output is visible.
 *
 * The list belongs to the task's own thread. It grows under job->lock, so that sinks which are
 * opened in other threads can be looked for (file_sink.c).
 */
#include "engine/job/participant.h"

#include "base/cleanup.h"
#include "engine/job/job.h"

void crn_participant_add(struct cairn_task *task, struct crn_participant *p)
{
    struct crn_participant **last = &task->participants;
    p->next = NULL;
    crn_mutex_lock(&task->job->lock);
    while (*last != NULL)
        last = &(*last)->next;
    *last = p;
    crn_mutex_unlock(&task->job->lock);
}

static const char sinks_function[] = "a sink's function";

int crn_participants_barrier(struct cairn_task *task, uint64_t checkpoint_id, cairn_error **reterr)
{
    int r = 0;
    task->inside = sinks_function;
    for (struct crn_participant *p = task->participants; r == 0 && p != NULL; p = p->next)
        r = p->barrier(p, checkpoint_id, reterr);
    task->inside = NULL;
    return r;
}

int crn_participants_event(struct cairn_task *task, const cairn_event *event, cairn_error **reterr)
{
    int r = 0;
    task->inside = sinks_function;
    for (struct crn_participant *p = task->participants; r == 0 && p != NULL; p = p->next)
        r = p->event(p, event, reterr);
    task->inside = NULL;
    return r;
}

int crn_participants_finish(struct cairn_task *task, cairn_error **reterr)
{
    int r = 0;
    task->inside = sinks_function;
    for (struct crn_participant *p = task->participants; r == 0 && p != NULL; p = p->next)
        r = p->finish(p, reterr);
    task->inside = NULL;
    return r;
}

void crn_participants_close(struct cairn_task *task)
{
    for (struct crn_participant *p = task->participants; p != NULL; p = p->next)
        p->close(p);
}

void crn_participants_free(struct cairn_task *task)
{
    while (task->participants != NULL) {
        struct crn_participant *p = task->participants;
        task->participants = p->next;
        p->free(p);
    }
}
