/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safe point of a task's own thread: poll, the mailbox, the turn of the barrier (barrier.c).
 *
 * poll() costs one atomic load when runtime->pending is zero. Else, in this order: an end (fenced,
 * cancelled, failed) is reported for ever; waiting events are delivered, oldest first, so that
 * COMPLETED n is seen before the barrier of n + 1; then the barrier is taken. A task with a gate
 * takes the one that its gate says is due. STOPPED is the last event: after it the job has ended
 * for this task.
 *
 * Lock: job->lock for the mailbox and the hand-over; never held while a callback or the backend
 * runs.
 */
#include "engine/job/barrier.h"

#include "engine/gate/gate.h"
#include "engine/options.h"
#include "engine/savepoint/savepoint.h"

#include <string.h>

/* A full mailbox makes room by forgetting the oldest ABORTED, else the oldest event. The newest
 * COMPLETED stands for all before it, so it stays; and a task that was to stop waits for the
 * outcome. */
static size_t least_needed(const struct crn_task_runtime *runtime)
{
    size_t oldest = 0, newest_completed = runtime->mailbox_count;
    for (size_t i = 0; i < runtime->mailbox_count; i++)
        if (runtime->mailbox[i].type == CAIRN_EVENT_COMPLETED)
            newest_completed = i;
    for (size_t i = runtime->mailbox_count; i-- > 0;)
        if (i != newest_completed && runtime->mailbox[i].checkpoint_id != runtime->stopping_id)
            oldest = i;
    for (size_t i = oldest; i < runtime->mailbox_count; i++)
        if (runtime->mailbox[i].type == CAIRN_EVENT_ABORTED &&
            runtime->mailbox[i].checkpoint_id != runtime->stopping_id)
            return i;
    return oldest;
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

static void remove_event_locked(struct crn_task_runtime *runtime, size_t i)
{
    drop_event(runtime, i);
    if (runtime->mailbox_count == 0)
        atomic_fetch_and(&runtime->pending, ~(unsigned)CRN_PENDING_EVENT);
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
    if (task->finished && task->participants != NULL)
        crn_finish_refresh(task);
    crn_mutex_lock(&task->job->lock);
    for (size_t i = 0; i < runtime->mailbox_count; i++)
        if (runtime->mailbox[i].type == event->type &&
            runtime->mailbox[i].checkpoint_id == event->checkpoint_id) {
            remove_event_locked(runtime, i);
            break;
        }
    if (event->type == CAIRN_EVENT_STOPPED)
        crn_task_stop_locked(task, CAIRN_ECLOSED, task->job->end_error);
    crn_mutex_unlock(&task->job->lock);
    return 0;
}

int crn_task_check_outside(const struct cairn_task *task, cairn_error **reterr)
{
    if (task->inside == NULL)
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "operator '%s' subtask %u: this cannot be called from %s, which runs in "
                        "the middle of a barrier or an event",
                        task->uid, task->options.subtask, task->inside);
}

int crn_task_check_pollable(struct cairn_task *task, cairn_error **reterr)
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
    return crn_task_check_outside(task, reterr);
}

/* Nothing may come out of a channel before the barrier that is due, so there is nothing better to
 * do. false: something else came. */
static bool wait_until_free_locked(struct cairn_task *task)
{
    struct crn_task_runtime *runtime = task->runtime;
    if (runtime->mailbox_count > 0 || (atomic_load(&runtime->pending) & CRN_PENDING_STOPPED) ||
        !atomic_load(&task->open))
        return false;
    crn_cond_wait(&runtime->wake, &task->job->lock);
    return true;
}

/* The barrier that the task is to take now; with a gate, the one that the gate says is due, which
 * may have to be asked without the lock. NULL: none, or the driver takes it. */
static struct crn_part *due_part_locked(struct cairn_task *task)
{
    struct crn_task_runtime *runtime = task->runtime;
    struct cairn_gate *gate = task->gate;
    crn_mutex_assert_held(&task->job->lock);
    if (runtime->finished) { /* nobody asks its gate any more */
        atomic_fetch_and(&runtime->pending, ~(unsigned)(CRN_PENDING_GATE | CRN_PENDING_CLOCK));
        return NULL;
    }
    if (gate == NULL)
        return crn_flight_next_locked(task);
    while (atomic_load(&runtime->pending) & (CRN_PENDING_BARRIER | CRN_PENDING_GATE)) {
        struct crn_part *part = crn_gate_due_locked(gate);
        if (part != NULL)
            return part;
        if (crn_gate_has_to_wait_locked(gate)) {
            if (!wait_until_free_locked(task))
                return NULL;
            continue;
        }
        crn_mutex_unlock(&task->job->lock);
        crn_gate_turn(gate);
        crn_mutex_lock(&task->job->lock);
    }
    return NULL;
}

static int poll_slow(struct cairn_task *task, cairn_event *ret_event, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    struct crn_task_runtime *runtime = task->runtime;
    struct crn_part *part = NULL;
    CRN_TRY(crn_task_check_pollable(task, reterr));
    cairn_event event = {0};
    /* Also when an event is delivered first: what it tells of may have freed channels. */
    if (task->gate != NULL && !task->finished && crn_gate_is_wanted(task->gate))
        crn_gate_turn(task->gate);
    crn_mutex_lock(&job->lock);
    if (runtime->mailbox_count == 0)
        part = due_part_locked(task);
    if (runtime->mailbox_count > 0) /* perhaps only since then */
        event = runtime->mailbox[0];
    else if (part != NULL)
        crn_flight_take_locked(part);
    crn_mutex_unlock(&job->lock);
    if (event.type != CAIRN_EVENT_NONE)
        CRN_TRY(deliver_event(task, &event, reterr));
    else if (part != NULL)
        event = crn_barrier_run(part);
    *ret_event = event;
    return 0;
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
    CRN_TRY(crn_task_check_pollable(task, reterr));
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

/* It would come after the barrier that it is to announce. */
static void forget_drain_locked(struct crn_task_runtime *runtime, uint64_t id)
{
    for (size_t i = 0; i < runtime->mailbox_count; i++)
        if (runtime->mailbox[i].type == CAIRN_EVENT_DRAIN &&
            runtime->mailbox[i].checkpoint_id == id) {
            remove_event_locked(runtime, i);
            return;
        }
}

/* The next barrier that this task is asked for. The lock is released while it runs. */
static bool take_barrier_in_turn(struct cairn_task *task)
{
    struct cairn_job *job = task->job;
    crn_mutex_assert_held(&job->lock);
    struct crn_part *part = due_part_locked(task);
    if (part == NULL)
        return false;
    crn_flight_take_locked(part);
    forget_drain_locked(task->runtime, part->attempt->id);
    crn_mutex_unlock(&job->lock);
    (void)crn_barrier_run(part); /* who called it knows; its failure becomes the attempt's */
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
    CRN_TRY(crn_task_check_pollable(task, reterr));
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
    return done ? crn_waiter_outcome(&waiter, ret_info, reterr)
                : crn_task_check_pollable(task, reterr);
}

int cairn_task_savepoint(cairn_task *task, const cairn_savepoint_options *options,
                         cairn_savepoint_info *ret_info, cairn_error **reterr)
{
    if (task == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task is NULL");
    struct cairn_job *job = task->job;
    struct cairn_savepoint_handle *handle = NULL;
    CRN_TRY(crn_task_check_pollable(task, reterr));
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
