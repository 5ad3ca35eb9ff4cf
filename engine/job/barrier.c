/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task in its barrier (P2, P3): before_barrier callback, participants (sinks prepare), operator
 * state and descriptors copied, the state backend's barrier (a memtable switch; for a canonical
 * savepoint a snapshot), then the rest goes to the pool (attempt.c). Nothing in it waits for a
 * flush, a link or an upload of Cairn's.
 *
 * Of a task that has finished it is taken in a capture thread, of what finish.c has kept: the
 * callback and the sinks had their last turn then, and nobody writes to the database any more.
 *
 * No locks.
 */
#include "engine/job/barrier.h"

#include "engine/gate/gate.h"
#include "engine/savepoint/savepoint.h"

#include <string.h>

int crn_barrier_describe(struct cairn_task *task, struct crn_operator *op,
                         struct cairn_buffer *operator_state, cairn_error **reterr)
{
    cairn_subtask_info *info = &op->subtasks[0].info;
    crn_buf_clear(operator_state);
    CRN_TRY(crn_operator_states_encode(task->operators, operator_state, reterr));
    CRN_TRY(crn_keyed_describe(task, op, reterr));
    CRN_TRY(crn_operator_states_describe(task->operators, op, reterr));
    info->index = task->options.subtask;
    info->key_group_first = task->key_group_first;
    info->key_group_last = task->key_group_last;
    memcpy(info->generation, task->runtime->generation, sizeof info->generation);
    return 0;
}

/* Everything that belongs to the checkpoint besides the database is in the part. */
static int enter_database(struct crn_part *part, cairn_error **reterr)
{
    struct cairn_task *task = part->task;
    const bool is_dump = crn_attempt_is_dump(part->attempt);
    const char *kind = is_dump ? CRN_FILE_KIND_CANONICAL : task->job->backend->file_kind;
    if (crn_record_set_text(&part->described->subtasks[0].info.backend, kind) < 0)
        return crn_err_nomem(reterr);
    return is_dump ? task->db->ops->snapshot(task->db, &part->snapshot, reterr)
                   : task->db->ops->barrier(task->db, &part->barrier, reterr);
}

int crn_barrier_call_service(struct cairn_task *task, uint64_t checkpoint_id, cairn_error **reterr)
{
    const cairn_task_options *o = &task->options;
    if (o->before_barrier == NULL)
        return 0;
    task->inside = "before_barrier";
    int r = o->before_barrier(o->context, task, checkpoint_id);
    task->inside = NULL;
    return r >= 0
               ? 0
               : crn_err_fail(reterr, r, NULL, "the service's before_barrier declined with %s (%d)",
                              cairn_error_name(r), r);
}

static int take(struct crn_part *part, cairn_error **reterr)
{
    struct cairn_task *task = part->task;
    CRN_TRY(crn_barrier_call_service(task, part->attempt->id, reterr));
    if (task->gate != NULL)
        CRN_TRY(crn_gate_prepare(task->gate, part, reterr));
    CRN_TRY(crn_participants_barrier(task, part->attempt->id, reterr));
    CRN_TRY(crn_barrier_describe(task, part->described, &part->operator_state, reterr));
    return enter_database(part, reterr);
}

static int take_finished(struct crn_part *part, cairn_error **reterr)
{
    CRN_TRY(crn_finish_describe(part, reterr));
    part->described->subtasks[0].info.is_finished = 1;
    return enter_database(part, reterr);
}

/* The rest is done in the background: the part may be gone right after this. */
static int hand_over(struct crn_part *part, int r, cairn_error *error, uint64_t began_us)
{
    struct crn_attempt *attempt = part->attempt;
    if (r < 0) {
        crn_flight_captured(part);
        crn_part_decline(part, r, error);
        crn_attempt_leave(attempt);
        return r;
    }
    cairn_subtask_info *info = &part->described->subtasks[0].info;
    info->start_delay_us = began_us - attempt->started_us;
    info->barrier_us = crn_now_us() - began_us;
    info->sequence = part->barrier.sequence;
    if (attempt->savepoint != NULL)
        crn_savepoint_barrier_taken(attempt);
    atomic_store(&part->phase, CRN_PART_CAPTURING);
    crn_part_captured_begin(part);
    return 0;
}

static cairn_event event_of(const struct crn_attempt *attempt)
{
    const struct crn_savepoint_run *savepoint = attempt->savepoint;
    return (cairn_event){
        .type = savepoint != NULL && savepoint->handle->stop ? CAIRN_EVENT_STOPPING
                                                             : CAIRN_EVENT_BARRIER,
        .checkpoint_id = attempt->id,
        .barrier = crn_attempt_barrier(attempt),
    };
}

static void note_stall(struct crn_task_runtime *runtime, uint64_t took_us)
{
    crn_figure_add(&runtime->barriers, 1);
    crn_figure_set(&runtime->barrier_last_us, took_us);
    if (took_us > crn_figure_get(&runtime->barrier_max_us))
        crn_figure_set(&runtime->barrier_max_us, took_us);
}

cairn_event crn_barrier_run(struct crn_part *part)
{
    struct cairn_gate *gate = part->task->gate;
    struct crn_task_runtime *runtime = part->task->runtime;
    cairn_error *error = NULL;
    const cairn_event event = event_of(part->attempt);
    const uint64_t began_us = crn_now_us();
    int r = take(part, &error);
    note_stall(runtime, crn_now_us() - began_us);
    if (r == 0 && gate != NULL)
        crn_gate_taken(gate, part, began_us);
    if (hand_over(part, r, error, began_us) < 0) {
        if (gate != NULL)
            crn_gate_not_taken(gate, event.checkpoint_id);
        return (cairn_event){0};
    }
    if (gate != NULL)
        crn_gate_turn(gate);
    return event;
}

void crn_barrier_run_finished(struct crn_part *part)
{
    cairn_error *error = NULL;
    const uint64_t began_us = crn_now_us();
    int r = take_finished(part, &error);
    (void)hand_over(part, r, error, began_us); /* a failure has been told */
}
