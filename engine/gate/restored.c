/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in flight on their way back: what a gate has to hand out after a restore.
 *
 * With the parallelism of the snapshot each subtask gets its own records as they were stored. With
 * another one it depends on how the channels were partitioned, which only the service knows: by key
 * they follow the key groups, as the state does; where any subtask will do they are dealt out in
 * turn; else no distribution is right, and the restore is refused. All of it happens before the job
 * starts, so that a refusal costs nothing but the attempt.
 *
 * Files are verified as they come in (P8), and then checked record by record (P11).
 */
#include "engine/gate/gate.h"

#include "engine/restore/source.h"
#include "engine/transfer/fetch.h"

#include <string.h>

static const struct crn_file *find_file(const struct crn_subtask *subtask)
{
    for (size_t i = 0; i < subtask->file_count; i++)
        if (subtask->files[i].info.role == CAIRN_FILE_IN_FLIGHT)
            return &subtask->files[i];
    return NULL;
}

static bool has_in_flight(const struct crn_operator *op)
{
    for (size_t i = 0; i < op->subtask_count; i++)
        if (find_file(&op->subtasks[i]) != NULL)
            return true;
    return false;
}

static const struct crn_operator *find_stored(const struct cairn_job *job, const char *uid)
{
    for (size_t i = 0; job->restored != NULL && i < job->restored->operator_count; i++)
        if (strcmp(job->restored->operators[i].info.uid, uid) == 0)
            return &job->restored->operators[i];
    return NULL;
}

static int fetch_records(struct cairn_job *job, const struct crn_subtask *subtask,
                         struct crn_in_flight *to, cairn_error **reterr)
{
    const struct crn_file *file = find_file(subtask);
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    if (file == NULL)
        return 0;
    CRN_TRY(crn_fetch_bytes(job->source.store, job->source.name, file, &job->downloads, &sealed,
                            reterr));
    int r = crn_in_flight_unseal(sealed.data, sealed.size, to, reterr);
    if (r < 0)
        crn_err_prefix(reterr, "file '%s' of subtask %u", file->info.name, subtask->info.index);
    return r;
}

static int deal_all(struct cairn_gate *gate, const struct crn_operator *stored,
                    cairn_error **reterr)
{
    const struct cairn_task *task = gate->task;
    struct crn_dealing dealing = {
        .partitioning = gate->options.partitioning,
        .key_of = gate->options.key_of,
        .context = gate->options.context,
        .subtask = task->options.subtask,
        .parallelism = task->options.parallelism,
        .max_parallelism = task->max_parallelism,
    };
    if (dealing.partitioning == CAIRN_PARTITION_FIXED && has_in_flight(stored))
        return crn_err_fail(
            reterr, CAIRN_EMISMATCH, NULL,
            "the checkpoint has records in flight, which cannot be dealt out to parallelism %u "
            "while the gate's partitioning is CAIRN_PARTITION_FIXED: restore with the stored "
            "parallelism, %u, or from an aligned checkpoint or a savepoint",
            task->options.parallelism, stored->info.parallelism);
    for (size_t i = 0; i < stored->subtask_count; i++) {
        CRN_CLEANUP(crn_in_flight_done) struct crn_in_flight records = {0};
        CRN_TRY(fetch_records(task->job, &stored->subtasks[i], &records, reterr));
        CRN_TRY(crn_in_flight_deal(&dealing, &records, &gate->restored, reterr));
    }
    return 0;
}

int crn_gate_restore(struct cairn_gate *gate, cairn_error **reterr)
{
    const struct cairn_task *task = gate->task;
    struct cairn_job *job = task->job;
    const struct crn_operator *stored = find_stored(job, task->uid);
    if (stored == NULL)
        return 0;
    int r =
        stored->info.parallelism == task->options.parallelism
            ? fetch_records(job, &stored->subtasks[task->options.subtask], &gate->restored, reterr)
            : deal_all(gate, stored, reterr);
    if (r < 0) {
        r = crn_job_blame_successor(job, r, reterr);
        crn_err_prefix(reterr, "job '%s', gate of operator '%s' subtask %u", job->name, task->uid,
                       task->options.subtask);
        return r;
    }
    gate->restored_left = gate->restored.count;
    if (gate->restored_left > 0)
        gate->hold |= CRN_GATE_HOLD_RESTORED;
    return 0;
}

static bool has_gate(const struct cairn_job *job, const char *uid)
{
    for (size_t i = 0; i < job->task_count; i++)
        if (strcmp(job->tasks[i]->uid, uid) == 0 && job->tasks[i]->gate == NULL)
            return false;
    return true;
}

int crn_gates_check_locked(const struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer lost = {0};
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; job->restored != NULL && i < job->restored->operator_count; i++) {
        const struct crn_operator *op = &job->restored->operators[i];
        if (has_in_flight(op) && !has_gate(job, op->info.uid) &&
            crn_buf_printf(&lost, "%s'%s'", lost.size > 0 ? ", " : "", op->info.uid) < 0)
            return crn_err_nomem(reterr);
    }
    if (lost.size == 0)
        return 0;
    if (!job->options.allow_non_restored_state)
        return crn_err_fail(reterr, CAIRN_ENONRESTORED, NULL,
                            "checkpoint %llu of job '%s' has records in flight of operators with "
                            "a task that opened no gate: %s; call cairn_gate_open(), or set "
                            "allow_non_restored_state to drop them",
                            (unsigned long long)job->restored_info.id, job->restored->job,
                            (const char *)lost.data);
    crn_log_write(&job->log, CAIRN_LOG_WARNING, "job",
                  "job '%s': dropping records in flight of operators with a task that has no gate: "
                  "%s",
                  job->name, (const char *)lost.data);
    return 0;
}
