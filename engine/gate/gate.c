/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates: the public calls.
 *
 * A record costs a look at its channel's flags when nothing is special. Barriers and ends are
 * events of the alignment (alignment.h), which decides; before each of them the gate asks the job
 * which checkpoints it wants, so that a barrier of one that was given up changes nothing.
 *
 * Threads: the task's own.
 */
#include "engine/gate/gate.h"

#include "engine/cluster/follower.h"
#include "engine/job/barrier.h"
#include "engine/options.h"

#define MAX_IN_FLIGHT_DEFAULT (64u << 20)

static enum crn_alignment_mode mode_of(const cairn_job_options *o)
{
    if (o->checkpoint_mode == CAIRN_AT_LEAST_ONCE)
        return CRN_ALIGN_AT_LEAST_ONCE;
    if (!o->unaligned)
        return CRN_ALIGN_ALIGNED;
    return o->aligned_timeout_ms == 0 ? CRN_ALIGN_UNALIGNED : CRN_ALIGN_TIMED;
}

static int check_options(const struct cairn_task *task, cairn_gate_options *o, cairn_error **reterr)
{
    if (o->channel_count < 1 || o->channel_count > CRN_CHANNELS_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': a gate has 1 to %u channels, not %u", task->uid,
                            CRN_CHANNELS_MAX, o->channel_count);
    if (o->max_in_flight_bytes > UINT32_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': max_in_flight_bytes is %llu, at most %u", task->uid,
                            (unsigned long long)o->max_in_flight_bytes, UINT32_MAX);
    if ((unsigned)o->partitioning > CAIRN_PARTITION_ANY)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': there is no partitioning %d", task->uid,
                            (int)o->partitioning);
    if (o->partitioning == CAIRN_PARTITION_BY_KEY && o->key_of == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': CAIRN_PARTITION_BY_KEY needs key_of", task->uid);
    if (o->max_in_flight_bytes == 0)
        o->max_in_flight_bytes = MAX_IN_FLIGHT_DEFAULT;
    return 0;
}

static int fail_closed(const struct cairn_task *task, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECLOSED, NULL,
                        "operator '%s' subtask %u: its job or task is closed", task->uid,
                        task->options.subtask);
}

/* A job that starts meanwhile, in another thread, would not know of the gate. */
static int check_openable(const struct cairn_task *task, cairn_error **reterr)
{
    struct cairn_job *job = task->job;
    crn_mutex_lock(&job->lock);
    bool started = job->started;
    crn_mutex_unlock(&job->lock);
    if (!atomic_load(&task->open))
        return fail_closed(task, reterr);
    if (started)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' has started: open gates before cairn_job_start()", job->name);
    if (task->gate != NULL)
        return crn_err_fail(reterr, CAIRN_EEXIST, NULL,
                            "operator '%s' subtask %u has a gate already", task->uid,
                            task->options.subtask);
    return 0;
}

void crn_gate_free(struct cairn_gate *gate)
{
    if (gate == NULL)
        return;
    free(gate->alignment.channels);
    free(gate->alignment.flags);
    crn_in_flight_done(&gate->log);
    crn_in_flight_done(&gate->restored);
    free(gate);
}

static void cleanup_gate(struct cairn_gate **gate)
{
    crn_gate_free(*gate);
}

int cairn_gate_open(cairn_task *task, const cairn_gate_options *options, cairn_gate **ret_gate,
                    cairn_error **reterr)
{
    cairn_gate_options o;
    if (task == NULL || ret_gate == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "task or ret_gate is NULL");
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_gate_options", reterr));
    CRN_TRY(check_options(task, &o, reterr));
    CRN_TRY(check_openable(task, reterr));
    CRN_CLEANUP(cleanup_gate) struct cairn_gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return crn_err_nomem(reterr);
    struct crn_alignment_channel *channels = calloc(o.channel_count, sizeof *channels);
    uint8_t *flags = calloc(o.channel_count, sizeof *flags);
    gate->task = task;
    gate->options = o;
    gate->clock_us = UINT64_MAX;
    crn_alignment_init(&gate->alignment, mode_of(&task->job->options), o.collect != NULL,
                       o.channel_count, channels, flags);
    if (channels == NULL || flags == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_gate_restore(gate, reterr));
    crn_mutex_lock(&task->job->lock); /* others look at it from now on */
    *ret_gate = task->gate = CRN_TAKE(gate);
    crn_mutex_unlock(&task->job->lock);
    return 0;
}

int cairn_gate_restored(cairn_gate *gate, uint32_t *ret_channel, const void **ret_data,
                        size_t *ret_size)
{
    uint32_t channel;
    if (gate == NULL || ret_data == NULL || ret_size == NULL)
        return CAIRN_EINVAL;
    if (!atomic_load(&gate->task->open))
        return CAIRN_ECLOSED;
    if (!crn_in_flight_next(&gate->restored.bytes, &gate->restored_at, &channel, ret_data,
                            ret_size)) {
        crn_in_flight_done(&gate->restored);
        gate->restored_at = 0;
        gate->hold &= ~(unsigned)CRN_GATE_HOLD_RESTORED;
        return 0;
    }
    gate->restored_left--;
    if (ret_channel != NULL)
        *ret_channel = channel;
    return 1;
}

/* ------------------------------------------------------------------------------------------ *
 * What comes out of a channel
 * ------------------------------------------------------------------------------------------ */

static int check_channel(const struct cairn_gate *gate, uint32_t channel, cairn_error **reterr)
{
    if (gate == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "gate is NULL");
    const struct cairn_task *task = gate->task;
    if (!atomic_load(&task->open))
        return fail_closed(task, reterr);
    CRN_TRY(crn_task_check_outside(task, reterr));
    if (channel >= gate->alignment.channel_count)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s' subtask %u: its gate has no channel %u, only %u",
                            task->uid, task->options.subtask, channel,
                            gate->alignment.channel_count);
    uint8_t flags = gate->alignment.flags[channel];
    if (flags & (CRN_CHANNEL_ENDED | CRN_CHANNEL_BLOCKED))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "operator '%s' subtask %u: channel %u %s",
                            task->uid, task->options.subtask, channel,
                            flags & CRN_CHANNEL_ENDED
                                ? "has ended"
                                : "is blocked: its barrier waits for those of the others");
    return 0;
}

int cairn_gate_is_blocked(const cairn_gate *gate, uint32_t channel)
{
    if (gate == NULL)
        return CAIRN_EINVAL;
    return channel >= gate->alignment.channel_count || (gate->hold & CRN_GATE_HOLD_DUE) != 0 ||
           (gate->alignment.flags[channel] & (CRN_CHANNEL_BLOCKED | CRN_CHANNEL_ENDED)) != 0;
}

/* What cannot be kept ends the checkpoint, not the record. */
static void log_record(struct cairn_gate *gate, uint32_t channel, const void *data, size_t size)
{
    cairn_error *error = NULL;
    int r =
        crn_in_flight_append(&gate->log, channel, data, size, gate->options.max_in_flight_bytes);
    if (r == CAIRN_ENOSPC)
        (void)crn_err_fail(&error, r, NULL,
                           "records in flight need more than max_in_flight_bytes, which is %llu: "
                           "allow more, or keep less in the channels",
                           (unsigned long long)gate->options.max_in_flight_bytes);
    if (r < 0)
        crn_gate_abandon(gate, r, error);
}

static int record_slowly(struct cairn_gate *gate, uint32_t channel, const void *data, size_t size,
                         cairn_error **reterr)
{
    CRN_TRY(check_channel(gate, channel, reterr));
    if (data == NULL && size > 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "data is NULL");
    if (gate->hold != 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "operator '%s' subtask %u: %s",
                            gate->task->uid, gate->task->options.subtask,
                            gate->hold & CRN_GATE_HOLD_DUE
                                ? "a barrier is due: call cairn_task_poll() before the next record"
                                : "records of the restored checkpoint come first: fetch them with "
                                  "cairn_gate_restored() until there are no more");
    crn_figure_add(&gate->figures.records, 1);
    if (gate->alignment.flags[channel] & CRN_CHANNEL_LOGGED)
        log_record(gate, channel, data, size);
    return 0;
}

int cairn_gate_record(cairn_gate *gate, uint32_t channel, const void *data, size_t size,
                      cairn_error **reterr)
{
    if (__builtin_expect(gate == NULL || channel >= gate->alignment.channel_count ||
                             (gate->alignment.flags[channel] | gate->hold) != 0 ||
                             !atomic_load_explicit(&gate->task->open, memory_order_relaxed),
                         0))
        return record_slowly(gate, channel, data, size, reterr);
    crn_figure_add(&gate->figures.records, 1);
    return 0;
}

int cairn_gate_barrier(cairn_gate *gate, uint32_t channel, const cairn_barrier *barrier,
                       cairn_error **reterr)
{
    CRN_TRY(check_channel(gate, channel, reterr));
    if (barrier == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "barrier is NULL");
    bool is_cancelled = (barrier->flags & CAIRN_BARRIER_CANCELLED) != 0;
    crn_follower_catch_up(gate->task->job, barrier->checkpoint_id);
    crn_gate_sync(gate);
    if (!is_cancelled)
        crn_gate_note_sign(gate, barrier->checkpoint_id);
    crn_gate_step(gate, &(struct crn_alignment_event){
                            .kind = is_cancelled ? CRN_ALIGN_CANCEL : CRN_ALIGN_BARRIER,
                            .channel = channel,
                            .id = barrier->checkpoint_id,
                        });
    return 0;
}

int cairn_gate_announce(cairn_gate *gate, uint32_t channel, const cairn_barrier *barrier,
                        cairn_error **reterr)
{
    CRN_TRY(check_channel(gate, channel, reterr));
    if (barrier == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "barrier is NULL");
    if (barrier->flags & CAIRN_BARRIER_CANCELLED)
        return 0; /* it ends something when it comes out */
    crn_follower_catch_up(gate->task->job, barrier->checkpoint_id);
    crn_gate_sync(gate);
    crn_gate_note_sign(gate, barrier->checkpoint_id);
    crn_gate_step(gate, &(struct crn_alignment_event){
                            .kind = CRN_ALIGN_ANNOUNCE,
                            .channel = channel,
                            .id = barrier->checkpoint_id,
                        });
    return 0;
}

int cairn_gate_collect(cairn_gate *gate, const void *data, size_t size)
{
    if (gate == NULL || !gate->is_collecting || (data == NULL && size > 0))
        return CAIRN_EINVAL;
    int r = crn_in_flight_append(&gate->log, gate->collecting_channel, data, size,
                                 gate->options.max_in_flight_bytes);
    if (gate->collect_code == 0)
        gate->collect_code = r;
    return r;
}

int cairn_gate_end(cairn_gate *gate, uint32_t channel, cairn_error **reterr)
{
    CRN_TRY(check_channel(gate, channel, reterr));
    crn_gate_sync(gate);
    crn_gate_step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_END, .channel = channel});
    return 0;
}

void crn_gate_read_figures(const struct cairn_gate *gate, cairn_gate_stats *ret)
{
    const struct crn_gate_figures *f = &gate->figures;
    *ret = (cairn_gate_stats){
        .struct_size = sizeof *ret,
        .records = crn_figure_get(&f->records),
        .barriers = crn_figure_get(&f->barriers),
        .given_up = crn_figure_get(&f->given_up),
        .overtaken = crn_figure_get(&f->overtaken),
        .alignment_last_us = crn_figure_get(&f->alignment_last_us),
        .alignment_max_us = crn_figure_get(&f->alignment_max_us),
        .in_flight_bytes = crn_figure_get(&f->in_flight_bytes),
    };
}

int cairn_gate_get_stats(const cairn_gate *gate, cairn_gate_stats *ret_stats, cairn_error **reterr)
{
    if (gate == NULL || ret_stats == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "gate or ret_stats is NULL");
    cairn_gate_stats stats;
    crn_gate_read_figures(gate, &stats);
    return crn_options_out(ret_stats, &stats, sizeof stats, "cairn_gate_stats", reterr);
}
