/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attempts in flight, oldest first, and what they want of the tasks: barriers.
 *
 * A task's barriers wait in runtime->requested, in order of id. One is due when no capture has the
 * database, which has room for one barrier at a time; CRN_PENDING_BARRIER says that one is, so that
 * poll costs nothing while none is. A task with a gate takes the one whose barrier has come through
 * its channels, and is told by CRN_PENDING_GATE to look. Of a finished task the driver takes it
 * (finish.c).
 *
 * What an increment may build on is chosen when it is captured: the newest checkpoint that is
 * confirmed then (P4). From that moment until the attempt is over its id is a floor for the log's
 * begin, so that neither this job nor a collector removes what it references (P5). A record that is
 * being committed has its begin fixed already; until it is known whether it stands, the checkpoint
 * below that begin is no base for anybody new, and barriers wait.
 *
 * Lock: job->lock for all of it; crn_flight_find() takes it.
 */
#include "engine/job/job.h"

#include <assert.h>
#include <string.h>

struct crn_attempt *crn_flight_find_locked(const struct cairn_job *job, uint64_t id)
{
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; i < job->attempt_count; i++)
        if (job->attempts[i]->id == id)
            return job->attempts[i];
    return NULL;
}

struct crn_attempt *crn_flight_find(struct cairn_job *job, uint64_t id)
{
    crn_mutex_lock(&job->lock);
    struct crn_attempt *attempt = crn_flight_find_locked(job, id);
    crn_mutex_unlock(&job->lock);
    return attempt;
}

void crn_flight_add_locked(struct cairn_job *job, struct crn_attempt *attempt)
{
    crn_mutex_assert_held(&job->lock);
    assert(job->attempt_count < CRN_FLIGHTS_MAX); /* the coordinator counts */
    job->attempts[job->attempt_count++] = attempt;
}

void crn_flight_remove_locked(struct cairn_job *job, const struct crn_attempt *attempt)
{
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; i < job->attempt_count; i++)
        if (job->attempts[i] == attempt) {
            job->attempt_count--;
            memmove(&job->attempts[i], &job->attempts[i + 1],
                    (job->attempt_count - i) * sizeof(*job->attempts));
            break;
        }
    crn_cond_broadcast(&job->wake_waiters); /* a task that is being closed */
}

/* ------------------------------------------------------------------------------------------ *
 * Barriers
 * ------------------------------------------------------------------------------------------ */

/* The newest checkpoint may be on its way out of the log, and its successor is not confirmed. */
static bool is_base_in_doubt(const struct cairn_job *job)
{
    return job->base_id != 0 && job->base_id < job->committing_start;
}

bool crn_flight_is_free_locked(const struct cairn_task *task)
{
    crn_mutex_assert_held(&task->job->lock);
    return !task->runtime->capturing && !is_base_in_doubt(task->job);
}

struct crn_part *crn_flight_next_locked(const struct cairn_task *task)
{
    return crn_flight_is_free_locked(task) ? task->runtime->requested : NULL;
}

/* What the task is asked for, or whether it is free, has changed. */
static void refresh_task(struct cairn_task *task)
{
    struct crn_task_runtime *runtime = task->runtime;
    if (task->gate != NULL && !runtime->finished) { /* which has to find out what is due */
        atomic_fetch_or(&runtime->pending, CRN_PENDING_GATE);
        crn_cond_broadcast(&runtime->wake);
        return;
    }
    const bool is_due = crn_flight_next_locked(task) != NULL;
    if (is_due && runtime->finished)
        crn_cond_signal(&task->job->wake_driver); /* poll has nothing to do */
    if (!is_due || runtime->finished) {
        atomic_fetch_and(&runtime->pending, ~(unsigned)CRN_PENDING_BARRIER);
        return;
    }
    atomic_fetch_or(&runtime->pending, CRN_PENDING_BARRIER);
    crn_cond_broadcast(&runtime->wake);
}

void crn_flight_refresh_locked(struct cairn_job *job)
{
    for (size_t i = 0; i < job->task_count; i++)
        if (job->tasks[i]->runtime->requested != NULL)
            refresh_task(job->tasks[i]);
}

void crn_flight_request_locked(struct crn_attempt *attempt)
{
    crn_mutex_assert_held(&attempt->job->lock);
    for (size_t i = 0; i < attempt->part_count; i++) {
        struct crn_part *part = &attempt->parts[i];
        struct crn_part **end = &part->task->runtime->requested;
        while (*end != NULL)
            end = &(*end)->next;
        *end = part;
        refresh_task(part->task);
    }
}

/* false: it was not there. */
static bool withdraw(struct crn_part *part)
{
    for (struct crn_part **p = &part->task->runtime->requested; *p != NULL; p = &(*p)->next)
        if (*p == part) {
            *p = CRN_TAKE(part->next);
            refresh_task(part->task);
            return true;
        }
    return false;
}

void crn_flight_withdraw_locked(struct crn_attempt *attempt)
{
    crn_mutex_assert_held(&attempt->job->lock);
    for (size_t i = 0; i < attempt->part_count; i++)
        (void)withdraw(&attempt->parts[i]); /* or it has been taken */
}

struct crn_part *crn_flight_refuse_locked(struct cairn_task *task, uint64_t id)
{
    struct crn_part *part = task->runtime->requested;
    crn_mutex_assert_held(&task->job->lock);
    while (part != NULL && part->attempt->id != id)
        part = part->next;
    if (part != NULL)
        (void)withdraw(part); /* which finds it */
    return part;
}

void crn_flight_take_locked(struct crn_part *part)
{
    struct crn_task_runtime *runtime = part->task->runtime;
    assert(!runtime->capturing);
    runtime->capturing = true;
    bool was_requested = withdraw(part);
    assert(was_requested);
    (void)was_requested;
    part->taken = true;
    part->attempt->running++;
}

void crn_flight_captured(struct crn_part *part)
{
    struct cairn_job *job = part->attempt->job;
    crn_mutex_lock(&job->lock);
    part->task->runtime->capturing = false;
    refresh_task(part->task);
    crn_mutex_unlock(&job->lock);
}

/* ------------------------------------------------------------------------------------------ *
 * Bases
 * ------------------------------------------------------------------------------------------ */

int crn_flight_choose_base(struct crn_part *part, cairn_error **reterr)
{
    struct cairn_job *job = part->attempt->job;
    int r = 0;
    crn_mutex_lock(&job->lock);
    /* One that is over holds nothing in the log. */
    if (atomic_load(&part->attempt->cancelled)) {
        r = CAIRN_ECANCELED;
    } else if (!part->has_base) {
        part->has_base = true;
        part->base = part->task->runtime->base;
        part->base_id = part->base != NULL ? job->base_id : 0;
        assert(part->base_id == 0 || !is_base_in_doubt(job));
    }
    crn_mutex_unlock(&job->lock);
    return r == 0 ? 0 : crn_err_fail(reterr, r, NULL, "the attempt was cancelled");
}

uint64_t crn_flight_lowest_base_locked(const struct cairn_job *job,
                                       const struct crn_attempt *except)
{
    uint64_t lowest = 0;
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; i < job->attempt_count; i++) {
        const struct crn_attempt *attempt = job->attempts[i];
        if (attempt == except || (atomic_load(&attempt->cancelled) && attempt->running == 0))
            continue;
        if (attempt->remote_count > 0 && !attempt->full && attempt->remote_floor != 0 &&
            (lowest == 0 || attempt->remote_floor < lowest))
            lowest = attempt->remote_floor;
        for (size_t k = 0; k < attempt->part_count; k++) {
            const struct crn_part *part = &attempt->parts[k];
            uint64_t id = part->has_base ? part->base_id : job->base_id;
            if (id != 0 && (lowest == 0 || id < lowest))
                lowest = id;
        }
    }
    return lowest;
}
