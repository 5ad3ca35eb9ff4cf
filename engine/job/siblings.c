/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subtasks of an operator have the same states: a checkpoint describes each state once for all
 * of them. So who registers one is told at once if another subtask has it as something else, and
 * not by checkpoints that abort, or by one that cannot be restored.
 *
 * A subtask registers in its own thread, at any time. It changes its lists of states under
 * job->lock, and looks at the others' under it; its own it reads freely. Types, names and the
 * present schema of a state never change once it is registered.
 */
#include "engine/job/job.h"

#include "engine/states/keyed.h"
#include "engine/states/operator_state.h"

#include <string.h>

void crn_siblings_lock(struct cairn_task *task)
{
    if (task->job != NULL)
        crn_mutex_lock(&task->job->lock);
}

void crn_siblings_unlock(struct cairn_task *task)
{
    if (task->job != NULL)
        crn_mutex_unlock(&task->job->lock);
}

static int fail_other(const struct cairn_task *task, const cairn_state_info *info,
                      const struct cairn_task *sibling, const cairn_state_info *theirs,
                      cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer mine = {0};
    CRN_AUTO_BUFFER struct cairn_buffer other = {0};
    if (crn_state_describe(info, &mine) < 0 || crn_state_describe(theirs, &other) < 0)
        return crn_err_nomem(reterr);
    return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                        "state '%s' of operator '%s' is %s in subtask %u, and cannot be registered "
                        "as %s in subtask %u%s",
                        info->name, task->uid, (const char *)other.data, sibling->options.subtask,
                        (const char *)mine.data, task->options.subtask,
                        info->schema_count > 0 && theirs->schema_count > 0 ? " with another schema"
                                                                           : "");
}

static const cairn_state_info *find_state(const struct cairn_task *task, const char *name)
{
    for (const struct crn_keyed *keyed = task->keyed; keyed != NULL; keyed = keyed->next)
        if (strcmp(keyed->info.name, name) == 0)
            return &keyed->info;
    const struct crn_operator_state *state = crn_operator_states_find(task->operators, name);
    return state != NULL ? &state->info : NULL;
}

int crn_siblings_check_locked(const struct cairn_task *task, const cairn_state_info *info,
                              cairn_error **reterr)
{
    const struct cairn_job *job = task->job;
    for (size_t i = 0; job != NULL && i < job->task_count; i++) {
        const struct cairn_task *sibling = job->tasks[i];
        /* One that is still being opened is bound by the restored checkpoint, as all are. */
        if (sibling == task || strcmp(sibling->uid, task->uid) != 0 || !atomic_load(&sibling->open))
            continue;
        const cairn_state_info *theirs = find_state(sibling, info->name);
        if (theirs != NULL && !crn_state_is_same(theirs, info))
            return fail_other(task, info, sibling, theirs, reterr);
    }
    return 0;
}

void crn_task_prefix_error(const struct cairn_task *task, cairn_error **reterr)
{
    crn_err_prefix(reterr, "operator '%s'", task->uid);
    if (task->job != NULL)
        crn_err_prefix(reterr, "job '%s'", task->job->name);
}
