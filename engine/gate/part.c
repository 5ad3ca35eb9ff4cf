/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in flight on their way into a checkpoint.
 *
 * The part of a task whose barrier overtook records is not finished when its database is stored:
 * the gate holds one of part->uploads_left until the last of these records is known, and its
 * records are stored, as one more file of the subtask (P1). No thread waits meanwhile.
 *
 * Who lets go of that count is settled under job->lock by gate->logging, which each of these takes
 * away: the task's thread when all is there (hand over) or cannot be kept (abandon), and the driver
 * when the attempt is over for whatever reason (forget), so that an attempt ends also if its task
 * never polls again.
 *
 * Lock: job->lock around gate->logging and attempt->running; the rest goes to the pool.
 */
#include "engine/gate/gate.h"

#include <string.h>

#define IN_FLIGHT_NAME "in-flight"

void crn_gate_attach(struct cairn_gate *gate, struct crn_part *part)
{
    struct cairn_job *job = gate->task->job;
    crn_mutex_lock(&job->lock);
    /* Of one that was cancelled meanwhile the driver has forgotten the gates: it ends without
     * them. */
    if (!atomic_load(&part->attempt->cancelled)) {
        atomic_fetch_add(&part->uploads_left, 1);
        gate->logging = part;
    }
    crn_mutex_unlock(&job->lock);
}

/* The part that waits, which stays valid until crn_attempt_leave(). NULL: the attempt is over. */
static struct crn_part *detach(struct cairn_gate *gate)
{
    struct cairn_job *job = gate->task->job;
    crn_mutex_lock(&job->lock);
    struct crn_part *part = CRN_TAKE(gate->logging);
    if (part != NULL)
        part->attempt->running++;
    crn_mutex_unlock(&job->lock);
    return part;
}

/* In a thread of the pool: the bytes of a checkpoint may be many. */
static int store_records(struct crn_part *part, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    struct crn_file *file = &part->in_flight_file;
    if (atomic_load(&part->attempt->cancelled))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "the attempt was cancelled");
    CRN_TRY(crn_in_flight_seal(&part->in_flight, &sealed, reterr));
    crn_in_flight_done(&part->in_flight);
    if (crn_record_set_text(&file->info.name, IN_FLIGHT_NAME) < 0)
        return crn_err_nomem(reterr);
    file->info.role = CAIRN_FILE_IN_FLIGHT;
    file->info.size = sealed.size;
    return crn_upload_bytes(part, sealed.data, file, reterr);
}

static void store_main(void *arg)
{
    struct crn_part *part = arg;
    struct crn_attempt *attempt = part->attempt;
    cairn_error *error = NULL;
    int r = part->in_flight.count > 0 ? store_records(part, &error) : 0;
    if (r < 0)
        crn_part_decline(part, r, error);
    crn_part_upload_ended(part);
    crn_attempt_leave(attempt);
}

void crn_gate_hand_over(struct cairn_gate *gate)
{
    struct crn_part *part = detach(gate);
    cairn_error *error = NULL;
    gate->log_id = 0;
    crn_figure_set(&gate->figures.in_flight_bytes, gate->log.bytes.size);
    if (part == NULL) {
        crn_in_flight_done(&gate->log);
        return;
    }
    part->in_flight = gate->log;
    gate->log = (struct crn_in_flight){0};
    if (crn_pool_submit(part->task->job->pool, part->in_flight.bytes.size, store_main, part) == 0)
        return;
    crn_part_decline(part, crn_err_nomem(&error), error);
    crn_part_upload_ended(part);
    crn_attempt_leave(part->attempt);
}

void crn_gate_abandon(struct cairn_gate *gate, int code, cairn_error *error)
{
    struct crn_part *part = detach(gate);
    uint64_t id = gate->log_id;
    crn_in_flight_done(&gate->log);
    gate->log_id = 0;
    if (part != NULL) {
        crn_part_decline(part, code, CRN_TAKE(error));
        crn_part_upload_ended(part);
        crn_attempt_leave(part->attempt);
    }
    cairn_error_free(error);
    crn_gate_step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_WITHDRAW, .id = id});
}

void crn_gates_forget(struct crn_attempt *attempt)
{
    struct cairn_job *job = attempt->job;
    for (size_t i = 0; i < attempt->part_count; i++) {
        struct crn_part *part = &attempt->parts[i];
        struct cairn_gate *gate = part->task->gate;
        if (gate == NULL)
            continue;
        crn_mutex_lock(&job->lock);
        bool was_logging = gate->logging == part;
        if (was_logging)
            gate->logging = NULL;
        atomic_fetch_or(&part->task->runtime->pending, CRN_PENDING_GATE);
        crn_cond_broadcast(&part->task->runtime->wake);
        crn_mutex_unlock(&job->lock);
        if (was_logging)
            crn_part_upload_ended(part);
    }
}

void crn_gate_refuse(struct cairn_gate *gate, uint64_t id, int code, cairn_error *error)
{
    struct cairn_job *job = gate->task->job;
    crn_mutex_lock(&job->lock);
    struct crn_part *part = crn_flight_refuse_locked(gate->task, id);
    if (part != NULL)
        part->attempt->running++;
    crn_mutex_unlock(&job->lock);
    if (part != NULL) {
        crn_part_decline(part, code, CRN_TAKE(error));
        crn_attempt_leave(part->attempt);
    }
    cairn_error_free(error);
}

int crn_part_add_in_flight(struct crn_part *part, cairn_error **reterr)
{
    struct crn_subtask *subtask = &part->described->subtasks[0];
    if (part->in_flight_file.info.role != CAIRN_FILE_IN_FLIGHT)
        return 0;
    struct crn_file *file = crn_subtask_add_file(subtask);
    if (file == NULL)
        return crn_err_nomem(reterr);
    *file = part->in_flight_file; /* what it points to moves, too */
    memset(&part->in_flight_file, 0, sizeof part->in_flight_file);
    subtask->info.in_flight_bytes = file->info.size;
    return 0;
}
