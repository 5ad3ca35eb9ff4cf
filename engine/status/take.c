/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a running job. Three steps: under job->lock, what changes (who is there, how far
 * each snapshot is) is copied into memory that was made before; without the lock, texts are copied
 * and databases are asked for their figures; under the lock again, what was held is let go.
 *
 * While it goes on, the job counts a visitor, so that its tasks stay open, and each task that was
 * open one of its own, so that its database does.
 *
 * Locks: job->lock, for moments; the recorder's, without it. No store call is made.
 */
#include "engine/status/take.h"

#include "engine/gate/gate.h"
#include "engine/job/ending.h"
#include "engine/savepoint/savepoint.h"
#include "engine/status/ended.h"
#include "engine/status/options.h"

#include <string.h>

static size_t flight_count(const struct cairn_job *job)
{
    return job->attempt_count;
}

static const struct crn_attempt *flight_at(const struct cairn_job *job, size_t i)
{
    return job->attempts[i];
}

/* ------------------------------------------------------------------------------------------ *
 * Under the lock
 * ------------------------------------------------------------------------------------------ */

static void take_tasks_locked(struct crn_gathering *g)
{
    const struct cairn_job *job = g->job;
    for (size_t i = 0; i < job->task_count; i++) {
        struct cairn_task *task = job->tasks[i];
        if (!atomic_load(&task->open))
            continue; /* it is being opened */
        struct crn_status_task *t = &g->status->tasks[g->task_count];
        t->events_waiting = task->runtime->mailbox_count;
        t->is_finished = task->runtime->finished;
        if (task->gate != NULL) {
            t->has_gate = true;
            t->gate_channels = task->gate->options.channel_count;
            t->gate_is_aligning = crn_figure_get(&task->gate->figures.aligning_id) != 0;
            crn_gate_read_figures(task->gate, &t->gate);
        }
        atomic_fetch_add(&task->runtime->refs, 1);
        task->runtime->visitors++;
        g->tasks[g->task_count++] = task;
    }
}

/* Its parts that are here have been counted, and who acknowledged elsewhere. */
static enum crn_snapshot_phase phase_of(const struct crn_attempt *attempt,
                                        const struct crn_status_snapshot *s)
{
    if (atomic_load(&attempt->cancelled))
        return CRN_SNAPSHOT_ABORTING;
    const bool is_whole = s->phase_counts[CRN_PART_ACKED] == attempt->part_count &&
                          s->workers_acked == attempt->remote_count;
    return is_whole ? CRN_SNAPSHOT_COMMITTING : CRN_SNAPSHOT_TASKS;
}

static enum crn_part_phase phase_of_part(const struct crn_part *part)
{
    const struct cairn_gate *gate = part->task->gate;
    enum crn_part_phase phase = (enum crn_part_phase)atomic_load(&part->phase);
    bool is_aligning = phase == CRN_PART_WAITING && gate != NULL &&
                       crn_figure_get(&gate->figures.aligning_id) == part->attempt->id;
    return is_aligning ? CRN_PART_ALIGNING : phase;
}

static void take_flight_locked(struct crn_gathering *g, size_t f, uint64_t now_us)
{
    const struct crn_attempt *attempt = flight_at(g->job, f);
    const struct crn_savepoint_run *run = attempt->savepoint;
    struct crn_status_snapshot *s = &g->status->in_flight[f];
    s->id = attempt->id;
    s->kind = run != NULL ? CAIRN_RECORD_SAVEPOINT : CAIRN_RECORD_CHECKPOINT;
    s->is_full = attempt->full;
    s->trigger_time_ms = attempt->trigger_time_ms;
    s->age_us = now_us - attempt->started_us;
    s->timeout_left_us = attempt->deadline_us == UINT64_MAX ? UINT64_MAX
                         : attempt->deadline_us > now_us    ? attempt->deadline_us - now_us
                                                            : 0;
    s->done_bytes = atomic_load(run != NULL ? &run->handle->done_bytes : &attempt->done_bytes);
    s->total_bytes = atomic_load(run != NULL ? &run->handle->total_bytes : &attempt->total_bytes);
    s->part_count = attempt->part_count;
    for (size_t i = 0; i < attempt->part_count; i++) {
        const struct crn_part *part = &attempt->parts[i];
        s->parts[i].phase = phase_of_part(part);
        s->parts[i].subtask = part->task->options.subtask;
        s->phase_counts[s->parts[i].phase]++;
        g->owners[f * g->room.parts + i] = part->task;
    }
    crn_gather_acks_locked(attempt, s);
    s->phase = phase_of(attempt, s);
    if (run != NULL) {
        s->format = run->handle->format;
        s->is_stop = run->handle->stop;
        if (run->location != NULL) /* one that found no place is on its way into the log, too */
            s->location = crn_str_dup_n(run->location, strlen(run->location));
    }
    if (s->phase == CRN_SNAPSHOT_ABORTING)
        g->reasons[f] = crn_err_copy(attempt->error);
}

static struct crn_room room_needed_locked(const struct cairn_job *job)
{
    struct crn_room room = {
        .tasks = job->task_count,
        .flights = flight_count(job),
        .workers = crn_leader_worker_count(job),
        .remote_tasks = crn_leader_subtask_count_locked(job),
    };
    for (size_t i = 0; i < room.flights; i++)
        if (flight_at(job, i)->part_count > room.parts)
            room.parts = flight_at(job, i)->part_count;
    return room;
}

static void take_locked(struct crn_gathering *g)
{
    struct cairn_job *job = g->job;
    struct crn_job_status *status = g->status;
    uint64_t now_us = crn_now_us();
    status->state = crn_ending_state_locked(job);
    status->has_latest = job->has_last;
    status->latest = job->last;
    g->stop_error = crn_err_copy(job->end_error != NULL ? job->end_error : job->fence_error);
    for (const struct cairn_savepoint_handle *h = job->savepoints; h != NULL; h = h->next)
        status->savepoints_waiting++;
    take_tasks_locked(g);
    crn_gather_workers_locked(g);
    status->in_flight_count = flight_count(job);
    for (size_t f = 0; f < status->in_flight_count; f++)
        take_flight_locked(g, f, now_us);
}

/* ------------------------------------------------------------------------------------------ *
 * Memory for it
 * ------------------------------------------------------------------------------------------ */

static void free_room(struct crn_gathering *g)
{
    struct crn_job_status *status = g->status;
    for (size_t f = 0; status->in_flight != NULL && f < g->room.flights; f++) {
        free(status->in_flight[f].parts);
        free(status->in_flight[f].acked);
    }
    free(status->in_flight);
    free(status->tasks);
    free(status->workers);
    free(g->tasks);
    free(g->owners);
    free(g->reasons);
    free(g->workers);
    status->in_flight = NULL;
    status->tasks = NULL;
    status->workers = NULL;
    g->workers = NULL;
    g->tasks = NULL;
    g->owners = NULL;
    g->reasons = NULL;
}

static int make_room(struct crn_gathering *g, struct crn_room room)
{
    struct crn_job_status *status = g->status;
    free_room(g);
    g->room = room;
    status->tasks = calloc(room.tasks + room.remote_tasks + 1, sizeof *status->tasks);
    status->workers = calloc(room.workers + 1, sizeof *status->workers);
    status->in_flight = calloc(room.flights + 1, sizeof *status->in_flight);
    g->tasks = calloc(room.tasks + 1, sizeof(*g->tasks));
    g->owners = calloc(room.flights * room.parts + 1, sizeof(*g->owners));
    g->reasons = calloc(room.flights + 1, sizeof(*g->reasons));
    g->workers = calloc(room.workers + 1, sizeof *g->workers);
    if (status->tasks == NULL || status->in_flight == NULL || g->tasks == NULL ||
        g->owners == NULL || g->reasons == NULL || status->workers == NULL || g->workers == NULL)
        return CAIRN_ENOMEM;
    for (size_t f = 0; f < room.flights; f++) {
        struct crn_status_snapshot *s = &status->in_flight[f];
        s->parts = calloc(room.parts + room.remote_tasks + 1, sizeof *s->parts);
        s->acked = calloc(room.workers + 1, sizeof *s->acked);
        if (s->parts == NULL || s->acked == NULL)
            return CAIRN_ENOMEM;
    }
    return 0;
}

/* Tasks and snapshots may come while the memory for them is made: then it is made again. */
static int take_all(struct crn_gathering *g, cairn_error **reterr)
{
    struct cairn_job *job = g->job;
    for (;;) {
        crn_mutex_lock(&job->lock);
        struct crn_room needed = room_needed_locked(job);
        bool fits = g->tasks != NULL && needed.tasks <= g->room.tasks &&
                    needed.flights <= g->room.flights && needed.parts <= g->room.parts &&
                    needed.workers <= g->room.workers &&
                    needed.remote_tasks <= g->room.remote_tasks;
        if (fits)
            take_locked(g);
        crn_mutex_unlock(&job->lock);
        if (fits)
            return 0;
        if (make_room(g, needed) < 0)
            return crn_err_nomem(reterr);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Without the lock
 * ------------------------------------------------------------------------------------------ */

int crn_status_dup(char **ret, const char *text)
{
    *ret = crn_str_dup_n(text, strlen(text));
    return *ret == NULL ? CAIRN_ENOMEM : 0;
}

static int fill_task(struct crn_status_task *ret, struct cairn_task *task)
{
    ret->subtask = task->options.subtask;
    ret->parallelism = task->options.parallelism;
    ret->max_parallelism = task->max_parallelism;
    ret->key_group_first = task->key_group_first;
    ret->key_group_last = task->key_group_last;
    ret->keys_set = crn_figure_get(&task->keys_set);
    ret->stats = (cairn_task_stats)CAIRN_TASK_STATS_INIT;
    CRN_TRY(crn_status_dup(&ret->uid, task->uid));
    CRN_TRY(crn_status_dup(&ret->name, task->options.name));
    return cairn_task_get_stats(task, &ret->stats, NULL);
}

/* Tasks and parts are in the same order, but for tasks that were closed. */
static void name_parts(struct crn_gathering *g)
{
    for (size_t f = 0; f < g->status->in_flight_count; f++) {
        struct crn_status_snapshot *s = &g->status->in_flight[f];
        size_t t = 0;
        for (size_t i = 0; i < s->part_count; i++) {
            const struct cairn_task *owner = g->owners[f * g->room.parts + i];
            size_t at = t;
            while (at < g->task_count && g->tasks[at] != owner)
                at++;
            s->parts[i].uid = at < g->task_count ? g->status->tasks[at].uid : "";
            t = at < g->task_count ? at + 1 : t;
        }
    }
}

static int compare_tasks(const void *a, const void *b)
{
    const struct crn_status_task *x = a, *y = b;
    int order = strcmp(x->uid, y->uid);
    return order != 0 ? order : (x->subtask > y->subtask) - (x->subtask < y->subtask);
}

static int compare_parts(const void *a, const void *b)
{
    const struct crn_status_part *x = a, *y = b;
    int order = strcmp(x->uid, y->uid);
    return order != 0 ? order : (x->subtask > y->subtask) - (x->subtask < y->subtask);
}

static int fill_tasks(struct crn_gathering *g)
{
    struct crn_job_status *status = g->status;
    for (size_t i = 0; i < g->task_count; i++) {
        status->task_count++;
        CRN_TRY(fill_task(&status->tasks[i], g->tasks[i]));
    }
    name_parts(g);
    CRN_TRY(crn_gather_cluster(g));
    if (status->task_count > 1)
        qsort(status->tasks, status->task_count, sizeof *status->tasks, compare_tasks);
    for (size_t f = 0; f < status->in_flight_count; f++) {
        struct crn_status_snapshot *s = &status->in_flight[f];
        qsort(s->parts, s->part_count, sizeof *s->parts, compare_parts);
        if (s->location == NULL)
            CRN_TRY(crn_status_dup(&s->location, "")); /* for want of memory, or it has none */
        const char *reason = g->reasons[f] != NULL ? cairn_error_message(g->reasons[f]) : "";
        CRN_TRY(crn_status_dup(&s->reason, reason));
    }
    return 0;
}

static void fill_latest(struct crn_job_status *status, const struct cairn_job *job)
{
    status->has_restored = job->restored_info.id != 0;
    status->restored = job->restored_info;
    if (!status->has_latest && status->has_restored && status->restored_from[0] == '\0') {
        status->has_latest = true;
        status->latest = job->restored_info;
    }
    for (size_t i = 0; status->has_latest && i < status->ended_count; i++)
        if (status->ended[i]->id == status->latest.id) {
            status->latest_end_time_ms = status->ended[i]->end_time_ms;
            return;
        }
}

static int fill_job(struct crn_gathering *g, cairn_error **reterr)
{
    struct crn_job_status *status = g->status;
    struct cairn_job *job = g->job;
    status->epoch = job->epoch;
    status->pid = (uint64_t)getpid();
    status->now_ms = job->options.now_ms(job->options.now_context);
    status->checkpoint_interval_ms = job->options.checkpoint_interval_ms;
    status->checkpoint_timeout_ms = job->options.checkpoint_timeout_ms;
    status->library_version = cairn_version();
    status->state_backend = job->backend->name;
    status->store_requests = atomic_load(&job->meter.requests);
    status->store_sent_bytes = atomic_load(&job->meter.sent_bytes);
    status->store_received_bytes = atomic_load(&job->meter.received_bytes);
    memcpy(status->host, job->host, sizeof status->host);
    const char *why = g->stop_error != NULL ? cairn_error_message(g->stop_error) : "";
    if (crn_status_dup(&status->job, job->name) < 0 ||
        crn_status_dup(&status->stop_reason, why) < 0 || fill_tasks(g) < 0)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_recorder_take(job->recorder, status, reterr));
    fill_latest(status, job);
    crn_gather_last_figures(status);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * All of it
 * ------------------------------------------------------------------------------------------ */

static int begin_visit(struct cairn_job *job, cairn_error **reterr)
{
    crn_mutex_lock(&job->lock);
    bool is_closing = job->closing || job->closed;
    job->visitors += !is_closing;
    crn_mutex_unlock(&job->lock);
    return is_closing ? crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "job '%s' is closed", job->name)
                      : 0;
}

static void end_visit(struct crn_gathering *g)
{
    struct cairn_job *job = g->job;
    const struct crn_job_status *status = g->status;
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < g->task_count; i++)
        g->tasks[i]->runtime->visitors--;
    job->visitors--;
    crn_cond_broadcast(&job->wake_waiters);
    atomic_fetch_add(&job->refs, 1); /* not gone before the last line */
    crn_mutex_unlock(&job->lock);
    for (size_t i = 0; i < g->task_count; i++)
        crn_task_unref(g->tasks[i]);
    for (size_t f = 0; g->reasons != NULL && f < g->room.flights; f++)
        cairn_error_free(g->reasons[f]);
    for (size_t w = 0; w < g->worker_count; w++)
        crn_leader_let_go(&g->workers[w]);
    cairn_error_free(g->stop_error);
    for (size_t f = status->in_flight_count; status->in_flight != NULL && f < g->room.flights;
         f++) { /* which were not needed */
        free(status->in_flight[f].parts);
        free(status->in_flight[f].acked);
    }
    free(g->tasks);
    free(g->owners);
    free(g->reasons);
    free(g->workers);
    crn_job_unref(job);
}

int crn_status_take(struct cairn_job *job, struct crn_job_status **ret, cairn_error **reterr)
{
    struct crn_gathering g = {.job = job};
    CRN_TRY(begin_visit(job, reterr));
    struct crn_job_status nothing = {0}, *status = calloc(1, sizeof *status);
    g.status = status != NULL ? status : &nothing;
    int r = status == NULL ? crn_err_nomem(reterr) : take_all(&g, reterr);
    if (r == 0)
        r = fill_job(&g, reterr);
    end_visit(&g);
    if (r < 0)
        crn_status_free(status);
    else
        *ret = status;
    return r;
}

void crn_status_free(struct crn_job_status *status)
{
    if (status == NULL)
        return;
    for (size_t i = 0; i < status->task_count; i++) {
        free(status->tasks[i].uid);
        free(status->tasks[i].name);
    }
    free(status->tasks);
    for (size_t f = 0; f < status->in_flight_count; f++) {
        free(status->in_flight[f].location);
        free(status->in_flight[f].reason);
        free(status->in_flight[f].parts);
        free(status->in_flight[f].acked);
    }
    free(status->in_flight);
    for (size_t w = 0; w < status->worker_count; w++) {
        free(status->workers[w].name);
        free(status->workers[w].host);
    }
    free(status->workers);
    free(status->worker_name);
    for (size_t i = 0; i < status->ended_count; i++)
        crn_ended_unref(status->ended[i]);
    free(status->ended);
    crn_status_options_free(status->options, status->option_count);
    free(status->job);
    free(status->store);
    free(status->store_caveat);
    free(status->stop_reason);
    free(status->restored_from);
    free(status);
}
