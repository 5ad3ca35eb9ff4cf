/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_GATE_H
#define CAIRN_GATE_H

/*
 * Gates: one point of all inputs of a task. cairn.h includes this; what it says of errors, NULL and options
 * structs holds here.
 *
 * A job of several operators has to cut all of its streams at the same records. The tasks that read from
 * outside (sources) take their barriers when they poll, and send each one on among their records. A task that
 * is fed by others has a gate: it tells the gate what comes out of its input channels, and polls; the gate
 * decides when this task's barrier is due. How records travel (queues, sockets) is the service's business.
 *
 *     while (cairn_gate_restored(gate, &c, &data, &size) == 1)
 *         process the record
 *     while (some channel has not ended) {
 *         if (cairn_task_poll(task, &event, &error) < 0)
 *             end this task
 *         if (event.type == CAIRN_EVENT_BARRIER || event.type == CAIRN_EVENT_STOPPING)
 *             send_to_all_outputs(&event.barrier);
 *         if (event.type == CAIRN_EVENT_STOPPING)
 *             cairn_task_wait() until STOPPED, or ABORTED of the same id
 *         take an element from some channel c for which cairn_gate_is_blocked(gate, c) is 0, if there is one
 *         a record:   cairn_gate_record(gate, c, data, size, &error), then process it
 *         a barrier:  cairn_gate_barrier(gate, c, &barrier, &error)
 *         the end:    cairn_gate_end(gate, c, &error)
 *     }
 *     cairn_task_finish(), or go on polling
 *
 * What comes out of a channel cannot be told from within before_barrier, `collect` or a sink's functions, nor can
 * these poll: CAIRN_EINVAL.
 *
 * MODES, from the job's options, after Flink's.
 *   exactly once, aligned    a channel whose barrier has come is blocked until all have come; then the task's
 *                            state is taken. The default, and what savepoints always do.
 *   at least once            nothing is blocked; state is taken when the last barrier has come.
 *   unaligned                state is taken at the first barrier. Records of the other channels that come
 *                            before their barrier are *in flight*: they are copied into the checkpoint, and
 *                            handed out again after a restore (cairn_gate_restored()).
 *   unaligned after a while  aligned_timeout_ms: aligned, and unaligned when a barrier takes longer.
 * A barrier that is due is taken by the next poll, which waits while the database is still captured for an
 * earlier one. A channel that has ended counts as if its barrier had come. A barrier of a later checkpoint gives
 * up the earlier one that its channel has not brought, as does CAIRN_BARRIER_CANCELLED. What the job gives up, after a
 * timeout say, its gates give up by themselves. When every channel has ended, the task takes its barriers when it
 * polls, as a source does; until then cairn_task_checkpoint() and cairn_task_savepoint() are CAIRN_EINVAL.
 *
 * OVERTAKING. With unaligned checkpoints under load a barrier should not queue behind the records that it
 * overtakes. A channel that can look ahead tells of a barrier as soon as it has arrived behind queued records
 * (cairn_gate_announce()), and the gate asks for these records by `collect`. The barrier stays where it is, and
 * is given to cairn_gate_barrier() when it comes out. Without `collect`, records count as they come out.
 *
 * THREADS. A gate belongs to its task: same thread.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Size of an encoded barrier. */
#define CAIRN_BARRIER_BYTES 24
/** A barrier as bytes for a stream: all byte orders are one. docs/format.md has them. */
CAIRN_API void cairn_barrier_encode(const cairn_barrier *barrier, uint8_t out[CAIRN_BARRIER_BYTES]);
/** @return 0, or CAIRN_ECORRUPT: these are not the bytes of a barrier. */
CAIRN_API CAIRN_MUST_CHECK int cairn_barrier_decode(const void *data, size_t size,
                                                    cairn_barrier *ret_barrier);

/** What may become of in-flight records when a checkpoint is restored with another parallelism of the task. */
typedef enum cairn_partitioning {
    CAIRN_PARTITION_FIXED = 0,  /* nothing: such a restore is CAIRN_EMISMATCH (pointwise and broadcast
                                   connections; and channels whose records must not be reordered) */
    CAIRN_PARTITION_BY_KEY = 1, /* each goes to the subtask that owns its key: needs key_of */
    CAIRN_PARTITION_ANY = 2     /* any subtask may process any: they are dealt out */
} cairn_partitioning;

typedef struct cairn_gate_options {
    uint32_t struct_size;
    uint32_t channel_count;          /* 1 to 65,536 */
    uint64_t max_in_flight_bytes;    /* of one checkpoint of this task, lengths included; more abort it, with a
                                        reason that says so. 0: 64 MiB; at most 4 GiB - 1 */
    cairn_partitioning partitioning;
    /* The key of a record, for CAIRN_PARTITION_BY_KEY; encoded as for cairn_task_set_key(). Return 0, or a
     * negative code, which then is the restore's. */
    int (*key_of)(void *context, const void *record, size_t size, const void **ret_key,
                  size_t *ret_key_size);
    /* Give every record that is queued in the channel in front of the barrier to cairn_gate_collect(); called
     * from cairn_task_poll(). Return 0, or a negative code to abort the checkpoint. NULL: see OVERTAKING. */
    int (*collect)(void *context, cairn_gate *gate, uint32_t channel, const cairn_barrier *barrier);
    void *context;
} cairn_gate_options;
#define CAIRN_GATE_OPTIONS_INIT                                                                    \
    {sizeof(cairn_gate_options), 0, 0, (cairn_partitioning)0, 0, 0, 0}

/** Open the gate of a task: at most one, before cairn_job_start(). It goes with the task.
 * @return 0; CAIRN_EEXIST (it has one), CAIRN_EINVAL (an option; the job has started), CAIRN_EMISMATCH (the
 *         restored checkpoint has in-flight records that cannot be dealt out to this parallelism),
 *         CAIRN_ECORRUPT, CAIRN_EVERSION (of those records), CAIRN_ECLOSED, CAIRN_ENOMEM, what key_of gave. */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_open(cairn_task *task, const cairn_gate_options *options,
                                               cairn_gate **ret_gate, cairn_error **reterr);

/** The next in-flight record of the restored checkpoint: process all of them before anything from a channel.
 * Within a channel they come in their order. Those that were not fetched yet are part of every checkpoint.
 * @param ret_channel  the channel it came from when it was stored; may be NULL.
 * @return 1 and the record, valid until the next call; 0: there are no more; CAIRN_ECLOSED. */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_restored(cairn_gate *gate, uint32_t *ret_channel,
                                                   const void **ret_data, size_t *ret_size);

/** Must nothing be taken from this channel for now? @return 1 or 0; 1 for one that has ended or is none. */
CAIRN_API int cairn_gate_is_blocked(const cairn_gate *gate, uint32_t channel);

/** A record has come out of a channel, and is going to be processed right after this call.
 * @return 0; CAIRN_EINVAL (no such channel, it is blocked or has ended, a barrier is due: poll first, or
 *         restored records are left: cairn_gate_restored() first), CAIRN_ECLOSED. What cannot be kept of an in-flight record aborts that checkpoint, not this call. */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_record(cairn_gate *gate, uint32_t channel, const void *data,
                                                 size_t size, cairn_error **reterr);
/** A barrier, or CAIRN_BARRIER_CANCELLED, has come out of a channel. Poll before the next record.
 * A barrier that is late, double, or of a checkpoint that this job does not know is ignored.
 * @return 0, CAIRN_EINVAL (no such channel, it is blocked or has ended), CAIRN_ECLOSED. */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_barrier(cairn_gate *gate, uint32_t channel,
                                                  const cairn_barrier *barrier, cairn_error **reterr);
/** A barrier has arrived in a channel behind records that are still queued. May be left out; see OVERTAKING.
 * @return as cairn_gate_barrier(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_announce(cairn_gate *gate, uint32_t channel,
                                                   const cairn_barrier *barrier, cairn_error **reterr);
/** From `collect` only: one record that is queued in front of the barrier.
 * @return 0, CAIRN_EINVAL (not from collect), CAIRN_ENOSPC (over max_in_flight_bytes), CAIRN_ENOMEM. */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_collect(cairn_gate *gate, const void *data, size_t size);
/** A channel has ended: nothing more will come out of it.
 * @return as cairn_gate_barrier(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_end(cairn_gate *gate, uint32_t channel, cairn_error **reterr);

/** Counters since the gate was opened. */
typedef struct cairn_gate_stats {
    uint32_t struct_size;
    uint64_t records;
    uint64_t barriers;           /* taken */
    uint64_t given_up;           /* alignments that were overtaken by a later one, or cancelled */
    uint64_t overtaken;          /* barriers taken unaligned */
    uint64_t alignment_last_us;  /* first barrier to the taking of the state */
    uint64_t alignment_max_us;
    uint64_t in_flight_bytes;    /* of the last checkpoint */
} cairn_gate_stats;
#define CAIRN_GATE_STATS_INIT {sizeof(cairn_gate_stats), 0, 0, 0, 0, 0, 0, 0}
CAIRN_API CAIRN_MUST_CHECK int cairn_gate_get_stats(const cairn_gate *gate, cairn_gate_stats *ret_stats,
                                                    cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
