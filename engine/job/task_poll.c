/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safe point of a task's own thread: poll, the barrier, the mailbox.
 *
 * poll() costs one atomic load when runtime->pending is zero. Else, in this order: a stop (fenced,
 * or the state backend failed) is reported for ever; waiting events are delivered, oldest first, so
 * that COMPLETED n is seen before the barrier of n + 1; then the barrier is taken. A task with a
 * gate takes the one that its gate says is due.
 *
 * The barrier (P2, P3): before_barrier callback, participants (sinks prepare), operator state and
 * descriptors copied, the state backend's barrier (a memtable switch; for a canonical savepoint a
 * snapshot), then the rest goes to the pool (attempt.c). Nothing in it waits for a flush, a link or
 * an upload of Cairn's.
 *
 * Lock: job->lock for the mailbox and the hand-over; never held while the callback or the backend
 * runs.
 */
#include "engine/savepoint/savepoint.h"

#include "engine/gate/gate.h"
#include "engine/options.h"

#include <string.h>

/* A full mailbox makes room by forgetting the oldest ABORTED, else the oldest event: a later
 * COMPLETED stands for what was before it. */
static size_t least_needed(const struct crn_task_runtime *runtime)
{
    for (size_t i = 0; i < runtime->mailbox_count; i++)
        if (runtime->mailbox[i].type == CAIRN_EVENT_ABORTED)
            return i;
    return 0;
}

static void drop_event(struct crn_task_runtime *runtime, size_t i)
{
    runtime->mailbox_count--;
    memmove(&runtime->mailbox[i], &runtime->mailbox[i + 1],
            (runtime->mailbox_count - i) * sizeof runtime->mailbox[0]);
}

void crn_task_post(struct cairn_task *task, const cairn_event *event)
{
    struct crn_task_runtime *runtime = task->runtime;
    crn_mutex_assert_held(&task->job->lock);
    if (runtime->mailbox_count == CRN_MAILBOX_SIZE)
        drop_event(runtime, least_needed(runtime));
    runtime->mailbox[runtime->mailbox_count++] = *event;
    atomic_fetch_or(&runtime->pending, CRN_PENDING_EVENT);
    crn_cond_broadcast(&runtime->wake);
}

void crn_task_stop_locked(struct cairn_task *task, int code, const cairn_error *error)
{
    struct crn_task_runtime *runtime = task->runtime;
    crn_mutex_assert_held(&task->job->lock);
    if (runtime->stop_code == 0) {
        runtime->stop_code = code;
        runtime->stop_error = crn_err_copy(error);
    }
    atomic_fetch_or(&runtime->pending, CRN_PENDING_STOPPED);
    crn_cond_broadcast(&runtime->wake);
}

/* The oldest event, which participants see first: it leaves the mailbox when all of them are
 * content. Meanwhile a full mailbox may have lost it to a newer one. */
static int deliver_event(struct cairn_task *task, const cairn_event *event, cairn_error **reterr)
{
    struct crn_task_runtime *runtime = task->runtime;
    int r = crn_participants_event(task, event, reterr);
    if (r < 0)
        crn_err_prefix(reterr, "operator '%s' subtask %u", task->uid, task->options.subtask);
    CRN_TRY(r);
    crn_mutex_lock(&task->job->lock);
    for (size_t i = 0; i < runtime->mailbox_count; i++)
        if (runtime->mailbox[i].type == event->type &&
            runtime->mailbox[i].checkpoint_id == event->checkpoint_id) {
            drop_event(runtime, i);
            break;
        }
    if (runtime->mailbox_count == 0)
        atomic_fetch_and(&runtime->pending, ~(unsigned)CRN_PENDING_EVENT);
    crn_mutex_unlock(&task->job->lock);
    return 0;
}

/* What belongs to the checkpoint besides the database: copied here, in the task's thread. */
static int describe_part(struct crn_part *part, cairn_error **reterr)
{
    struct cairn_task *task = part->task;
    struct crn_subtask *subtask = &part->described->subtasks[0];
    CRN_TRY(crn_operator_states_encode(task->operators, &part->operator_state, reterr));
    CRN_TRY(crn_keyed_describe(task, part->described, reterr));
    CRN_TRY(crn_operator_states_describe(task->operators, part->described, reterr));
    subtask->info.index = task->options.subtask;
    subtask->info.key_group_first = task->key_group_first;
    subtask->info.key_group_last = task->key_group_last;
    memcpy(subtask->info.generation, task->runtime->generation, sizeof subtask->info.generation);
    const char *kind = crn_attempt_is_dump(part->attempt) ? CRN_FILE_KIND_CANONICAL
                                                          : task->job->backend->file_kind;
    if (crn_record_set_text(&subtask->info.backend, kind) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int take_barrier(struct crn_part *part, cairn_error **reterr)
{
    struct cairn_task *task = part->task;
    const cairn_task_options *o = &task->options;
    if (o->before_barrier != NULL) {
        int r = o->before_barrier(o->context, task, part->attempt->id);
        if (r < 0)
            return crn_err_fail(reterr, r, NULL,
                                "the service's before_barrier declined with %s (%d)",
                                cairn_error_name(r), r);
    }
    if (task->gate != NULL)
        CRN_TRY(crn_gate_prepare(task->gate, part, reterr));
    CRN_TRY(crn_participants_barrier(task, part->attempt->id, reterr));
    CRN_TRY(describe_part(part, reterr));
    if (crn_attempt_is_dump(part->attempt))
        return task->db->ops->snapshot(task->db, &part->snapshot, reterr);
    return task->db->ops->barrier(task->db, &part->barrier, reterr);
}

static int run_barrier(struct crn_part *part, cairn_event *ret_event)
{
    struct cairn_task *task = part->task;
    struct crn_task_runtime *runtime = task->runtime;
    struct crn_attempt *attempt = part->attempt;
    cairn_error *error = NULL;
    uint64_t began_us = crn_now_us();
    uint64_t id = attempt->id;
    int r = take_barrier(part, &error);
    uint64_t took_us = crn_now_us() - began_us;
    crn_figure_add(&runtime->barriers, 1);
    crn_figure_set(&runtime->barrier_last_us, took_us);
    if (took_us > crn_figure_get(&runtime->barrier_max_us))
        crn_figure_set(&runtime->barrier_max_us, took_us);
    if (r < 0) {
        crn_part_decline(part, r, error);
        crn_attempt_leave(attempt);
        if (task->gate != NULL)
            crn_gate_not_taken(task->gate, id);
        *ret_event = (cairn_event){0};
        return 0; /* the ABORTED event follows */
    }
    struct crn_subtask *subtask = &part->described->subtasks[0];
    subtask->info.start_delay_us = began_us - attempt->started_us;
    subtask->info.barrier_us = took_us;
    subtask->info.sequence = part->barrier.sequence;
    *ret_event = (cairn_event){
        .type = CAIRN_EVENT_BARRIER, .checkpoint_id = id, .barrier = crn_attempt_barrier(attempt)};
    if (attempt->savepoint != NULL)
        crn_savepoint_barrier_taken(attempt);
    if (task->gate != NULL)
        crn_gate_taken(task->gate, part, began_us);
    atomic_store(&part->phase, CRN_PART_CAPTURING);
    crn_part_captured_begin(part); /* the attempt may be gone after it */
    if (task->gate != NULL)
        crn_gate_turn(task->gate);
    return 0;
}

static int not_pollable(struct cairn_task *task, cairn_error **reterr)
{
    struct crn_task_runtime *runtime = task->runtime;
    unsigned pending = atomic_load(&runtime->pending);
    if (!atomic_load(&task->open))
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL,
                            "operator '%s' subtask %u: its job or task is closed", task->uid,
                            task->options.subtask);
    if (pending & CRN_PENDING_NOT_STARTED)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' is not started: call cairn_job_start() once every task is "
                            "open",
                            task->job->name);
    if (pending & CRN_PENDING_STOPPED) {
        crn_mutex_lock(&task->job->lock);
        cairn_error *error = crn_err_copy(runtime->stop_error);
        int code = runtime->stop_code;
        crn_mutex_unlock(&task->job->lock);
        return crn_err_move(reterr, &error, code);
    }
    return 0;
}

/* The barrier that the task is to take now; with a gate, the one that the gate says is due, which
 * may have to be asked without the lock. NULL: none. */
static struct crn_part *due_part_locked(struct cairn_task *task)
{
    struct crn_task_runtime *runtime = task->runtime;
    struct cairn_gate *gate = task->gate;
    crn_mutex_assert_held(&task->job->lock);
    if (gate == NULL)
        return runtime->requested;
    while (atomic_load(&runtime->pending) & (CRN_PENDING_BARRIER | CRN_PENDING_GATE)) {
        struct crn_part *part = crn_gate_due_locked(gate);
        if (part != NULL)
            return part;
        crn_mutex_unlock(&task->job->lock);
        crn_gate_turn(gate);
        crn_mutex_lock(&task->job->lock);
    }
    return NULL;
}

/* This task has been asked for a barrier: it is in it from now on. */
static struct crn_part *take_request_locked(struct crn_task_runtime *runtime)
{
    struct crn_part *part = CRN_TAKE(runtime->requested);
    part->taken = true;
    part->attempt->running++;
    atomic_fetch_and(&runtime->pending, ~(unsigned)CRN_PENDING_BARRIER);
    return part;
}

static int poll_slow(struct cairn_task *task, cairn_event *ret_event, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    struct crn_part *part = NULL;
    CRN_TRY(not_pollable(task, reterr));
    cairn_event event = {0};
    /* Also when an event is delivered first: what it tells of may have freed channels. */
    if (task->gate != NULL && crn_gate_is_wanted(task->gate))
        crn_gate_turn(task->gate);
    crn_mutex_lock(&job->lock);
    if (runtime->mailbox_count > 0)
        event = runtime->mailbox[0];
    else if (due_part_locked(task) != NULL)
        part = take_request_locked(runtime);
    crn_mutex_unlock(&job->lock);
    if (event.type != CAIRN_EVENT_NONE)
        CRN_TRY(deliver_event(task, &event, reterr));
    *ret_event = event;
    return part == NULL ? 0 : run_barrier(part, ret_event);
}

int cairn_task_poll(cairn_task *task, cairn_event *ret_event, cairn_error **reterr)
{
    if (__builtin_expect(task == NULL || ret_event == NULL, 0))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task or ret_event is NULL");
    if (__builtin_expect(atomic_load_explicit(&task->runtime->pending, memory_order_acquire) == 0 &&
                             atomic_load_explicit(&task->open, memory_order_relaxed),
                         1)) {
        *ret_event = (cairn_event){0};
        return 0;
    }
    return poll_slow(task, ret_event, reterr);
}

int cairn_task_wait(cairn_task *task, uint64_t timeout_ms, cairn_event *ret_event,
                    cairn_error **reterr)
{
    if (task == NULL || ret_event == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task or ret_event is NULL");
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    CRN_TRY(not_pollable(task, reterr));
    uint64_t deadline_us = crn_now_us();
    deadline_us = timeout_ms > (UINT64_MAX - deadline_us) / 1000 ? UINT64_MAX
                                                                 : deadline_us + timeout_ms * 1000;
    if (task->gate != NULL && crn_gate_clock_us(task->gate) < deadline_us)
        deadline_us = crn_gate_clock_us(task->gate);
    crn_mutex_lock(&job->lock);
    while ((atomic_load(&runtime->pending) & ~(unsigned)CRN_PENDING_CLOCK) == 0 &&
           atomic_load(&task->open))
        if (!crn_cond_wait_until(&runtime->wake, &job->lock, deadline_us))
            break;
    crn_mutex_unlock(&job->lock);
    return cairn_task_poll(task, ret_event, reterr);
}

static void unlink_waiter_locked(struct cairn_job *job, const struct crn_waiter *waiter)
{
    for (struct crn_waiter **p = &job->waiters; *p != NULL; p = &(*p)->next)
        if (*p == waiter) {
            *p = waiter->next;
            return;
        }
}

/* The barrier of whatever is in flight, if this task has not taken it. The lock is released while
 * it runs; its failure becomes the attempt's outcome. */
static bool take_barrier_in_turn(struct cairn_task *task)
{
    struct cairn_job *job = task->job;
    crn_mutex_assert_held(&job->lock);
    if (due_part_locked(task) == NULL)
        return false;
    struct crn_part *part = take_request_locked(task->runtime);
    cairn_event event;
    crn_mutex_unlock(&job->lock);
    (void)run_barrier(part, &event);
    crn_mutex_lock(&job->lock);
    return true;
}

/* A barrier that comes through channels is not taken by a thread that does not read them. */
static int check_takes_barriers(const struct cairn_task *task, cairn_error **reterr)
{
    if (task->gate == NULL || crn_gate_has_ended(task->gate))
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "operator '%s' subtask %u gets its barriers through its gate: ask for the "
                        "snapshot in another thread, and go on reading the channels",
                        task->uid, task->options.subtask);
}

int cairn_task_checkpoint(cairn_task *task, const cairn_trigger_options *options,
                          cairn_checkpoint_info *ret_info, cairn_error **reterr)
{
    if (task == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task is NULL");
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    struct crn_waiter waiter = {0};
    CRN_TRY(not_pollable(task, reterr));
    CRN_TRY(check_takes_barriers(task, reterr));
    CRN_TRY(crn_job_request(job, options, &waiter, reterr));
    crn_mutex_lock(&job->lock);
    while (!waiter.done && !(atomic_load(&runtime->pending) & CRN_PENDING_STOPPED))
        if (!take_barrier_in_turn(task))
            crn_cond_wait(&runtime->wake, &job->lock);
    bool done = waiter.done;
    if (!done)
        unlink_waiter_locked(job, &waiter);
    crn_mutex_unlock(&job->lock);
    return done ? crn_waiter_outcome(&waiter, ret_info, reterr) : not_pollable(task, reterr);
}

int cairn_task_savepoint(cairn_task *task, const cairn_savepoint_options *options,
                         cairn_savepoint_info *ret_info, cairn_error **reterr)
{
    if (task == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task is NULL");
    struct cairn_job *job = task->job;
    struct cairn_savepoint_handle *handle = NULL;
    CRN_TRY(not_pollable(task, reterr));
    CRN_TRY(check_takes_barriers(task, reterr));
    CRN_TRY(crn_savepoint_request(job, options, &handle, reterr));
    crn_mutex_lock(&job->lock);
    /* Also when the task was stopped: the handle ends, and a store that was lent is in use till
     * then.
     */
    while (!crn_savepoint_is_settled(handle))
        if (!take_barrier_in_turn(task))
            crn_cond_wait(&task->runtime->wake, &job->lock);
    crn_mutex_unlock(&job->lock);
    int r = crn_savepoint_outcome(handle, ret_info, reterr);
    crn_savepoint_unref(handle);
    return r;
}

int cairn_task_get_stats(cairn_task *task, cairn_task_stats *ret_stats, cairn_error **reterr)
{
    if (task == NULL || ret_stats == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task or ret_stats is NULL");
    if (!atomic_load(&task->open))
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL,
                            "operator '%s' subtask %u: its job or task is closed", task->uid,
                            task->options.subtask);
    struct crn_state_stats state = {0};
    task->db->ops->stats(task->db, &state);
    const struct crn_task_runtime *runtime = task->runtime;
    cairn_task_stats stats = {
        .struct_size = sizeof stats,
        .barriers = crn_figure_get(&runtime->barriers),
        .barrier_last_us = crn_figure_get(&runtime->barrier_last_us),
        .barrier_max_us = crn_figure_get(&runtime->barrier_max_us),
        .hold_count = state.hold_count,
        .hold_us = state.hold_us,
        .backpressure_us = state.backpressure_us,
        .memtable_bytes = state.memtable_bytes,
        .level0_files = state.level0_files,
    };
    return crn_options_out(ret_stats, &stats, sizeof stats, "cairn_task_stats", reterr);
}
