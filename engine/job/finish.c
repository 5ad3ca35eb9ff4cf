/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks whose input has ended.
 *
 * Their state goes into every later checkpoint, but their thread need not poll for that: the driver
 * takes their barriers. What belongs to a checkpoint besides the database is copied when the task
 * finishes, so no other thread ever looks at the task's own lists; from then on nothing in the
 * database changes, and the state calls refuse. Only sinks go on: they commit when poll delivers
 * COMPLETED, and what they have prepared is operator state, so the copy is made anew then.
 *
 * The driver finds a finished task's barrier among what is requested (flights.c), and a capture
 * thread takes it, since the database may make it wait.
 *
 * Lock: job->lock for the copy and the hand-over.
 */
#include "engine/job/barrier.h"

#include "engine/gate/gate.h"
#include "engine/states/keyed.h"

#include <string.h>

/* The copy: one operator with its states and one subtask. */
struct crn_final {
    struct crn_record *draft; /* owns `op` */
    struct crn_operator *op;
    struct cairn_buffer operator_state;
};

static void free_final(struct crn_final *final)
{
    if (final == NULL)
        return;
    crn_record_free(final->draft);
    crn_buf_done(&final->operator_state);
    free(final);
}

static void cleanup_final(struct crn_final **final)
{
    free_final(*final);
}

void crn_finish_free(struct crn_task_runtime *runtime)
{
    free_final(CRN_TAKE(runtime->final));
}

static int new_final(struct cairn_task *task, struct crn_final **ret, cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_final) struct crn_final *final = calloc(1, sizeof *final);
    if (final == NULL)
        return crn_err_nomem(reterr);
    final->draft = crn_record_new();
    final->op = final->draft != NULL ? crn_record_add_operator(final->draft) : NULL;
    if (final->op == NULL || crn_operator_add_subtask(final->op) == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_barrier_describe(task, final->op, &final->operator_state, reterr));
    *ret = CRN_TAKE(final);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Finishing, in the task's thread
 * ------------------------------------------------------------------------------------------ */

/* What comes out of a gate is input, too. */
static int check_gate(struct cairn_task *task, cairn_error **reterr)
{
    struct cairn_gate *gate = task->gate;
    if (gate == NULL)
        return 0;
    if (gate->restored_left > 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "%llu records in flight of the restored checkpoint are not fetched: "
                            "call cairn_gate_restored() until there are no more",
                            (unsigned long long)gate->restored_left);
    if (!crn_gate_has_ended(gate))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a channel of its gate has not ended: see cairn_gate_end()");
    crn_gate_turn(gate); /* what a checkpoint still waited for is there */
    return 0;
}

/* Sources store their positions in the callback, and sinks prepare: for the last time. */
static int take_last_turn(struct cairn_task *task, cairn_error **reterr)
{
    CRN_TRY(crn_barrier_call_service(task, 0, reterr));
    return crn_participants_finish(task, reterr);
}

static void freeze(struct cairn_task *task, struct crn_final *final)
{
    struct cairn_job *job = task->job;
    task->finished = true;
    task->has_key = false;
    task->refused = (struct crn_refused_key){.why = CRN_REFUSED_FINISHED};
    crn_task_unpin(task, &task->pin);
    crn_iterators_detach(task);
    crn_mutex_lock(&job->lock);
    task->runtime->final = final;
    task->runtime->finished = true;
    job->finished_count++;
    crn_flight_refresh_locked(job); /* a barrier may be due already */
    crn_mutex_unlock(&job->lock);
}

int cairn_task_finish(cairn_task *task, cairn_error **reterr)
{
    if (task == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task is NULL");
    struct crn_final *final = NULL;
    CRN_TRY(crn_task_check_pollable(task, reterr));
    if (task->finished)
        return 0;
    int r = check_gate(task, reterr);
    if (r == 0)
        r = take_last_turn(task, reterr);
    if (r == 0)
        r = new_final(task, &final, reterr);
    if (r < 0) {
        crn_err_prefix(reterr, "operator '%s' subtask %u cannot finish", task->uid,
                       task->options.subtask);
        return r;
    }
    freeze(task, final);
    return 0;
}

void crn_finish_refresh(struct cairn_task *task)
{
    struct crn_final *final = NULL;
    /* Without memory the old copy stays: what was committed since is committed once more after a
     * restore, which sinks allow. */
    if (new_final(task, &final, NULL) < 0)
        return;
    crn_mutex_lock(&task->job->lock);
    struct crn_final *old = task->runtime->final;
    task->runtime->final = final;
    crn_mutex_unlock(&task->job->lock);
    free_final(old);
}

/* ------------------------------------------------------------------------------------------ *
 * Its barriers, in the background
 * ------------------------------------------------------------------------------------------ */

static int copy_final(struct crn_part *part, const struct crn_final *final)
{
    struct crn_operator *op = part->described;
    const cairn_subtask_info *from = &final->op->subtasks[0].info;
    cairn_subtask_info *to = &op->subtasks[0].info;
    for (size_t i = 0; i < final->op->state_count; i++) {
        cairn_state_info *state = crn_operator_add_state(op);
        if (state == NULL || crn_state_copy(state, &final->op->states[i]) < 0)
            return CAIRN_ENOMEM;
    }
    to->index = from->index;
    to->key_group_first = from->key_group_first;
    to->key_group_last = from->key_group_last;
    memcpy(to->generation, from->generation, sizeof to->generation);
    return crn_buf_append(&part->operator_state, final->operator_state.data,
                          final->operator_state.size);
}

int crn_finish_describe(struct crn_part *part, cairn_error **reterr)
{
    struct cairn_job *job = part->task->job;
    crn_mutex_lock(&job->lock);
    int r = copy_final(part, part->task->runtime->final);
    crn_mutex_unlock(&job->lock);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static void barrier_main(void *arg)
{
    crn_barrier_run_finished(arg);
}

/* All that are due, linked. Once taken a part is in no other list before its acknowledgement. */
static struct crn_part *take_due(struct cairn_job *job)
{
    struct crn_part *due = NULL;
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < job->task_count; i++) {
        struct crn_part *part =
            job->tasks[i]->runtime->finished ? crn_flight_next_locked(job->tasks[i]) : NULL;
        if (part == NULL)
            continue;
        crn_flight_take_locked(part);
        part->next = due;
        due = part;
    }
    crn_mutex_unlock(&job->lock);
    return due;
}

void crn_finish_take_barriers(struct cairn_job *job)
{
    for (struct crn_part *next, *part = take_due(job); part != NULL; part = next) {
        struct crn_attempt *attempt = part->attempt;
        cairn_error *error = NULL;
        next = CRN_TAKE(part->next);
        if (crn_pool_submit(job->capture_pool, 0, barrier_main, part) == 0)
            continue;
        int r = crn_err_nomem(&error);
        crn_flight_captured(part);
        crn_attempt_decline(attempt, r, error);
        crn_attempt_leave(attempt);
    }
}
