/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLUSTER_LEADER_H
#define CRN_ENGINE_CLUSTER_LEADER_H

#include "engine/job/job.h"
#include "manifest/cluster.h"

/*
 * The coordinator's side of a job of several processes (include/cairn/cluster.h). The pure
 * coordinator and the driver are those of any job: to them a worker is one more that has to
 * acknowledge. What is said to the workers goes into an outbox; one thread of its own makes the
 * posts, in order, and reads the mails. So the driver never waits for a post, and a post whose
 * outcome is not known is tried again before the next one.
 *
 *   open     PLAN is posted: workers may join. The thread begins.
 *   gather   (cairn_job_start) until worker_count workers and all subtasks are there
 *   begin    START says who belongs to it; from now on nobody joins
 *   run      TRIGGER, COMPLETE, ABORTED ... as the driver says; ACKs become facts for it
 *   end      ENDED, when the driver has
 *
 * Invariants:
 *
 *   - A worker's part of attempt N is taken once, from its own mail, and only if it has exactly
 *     the subtasks that the worker joined with (P2).
 *
 *   - A worker may build on a checkpoint that is not below attempt->remote_floor, which stays in
 *     the log until the attempt is over (P5); what builds on less is declined.
 *
 *   - After a post's number was found to be another's, nothing is posted any more: a successor has
 *     replaced this coordinator. The log decides, so every attempt in flight is declined, and one
 *     more is asked for: its record meets the successor's (P7).
 *
 *   - A post is removed when every worker has read the one after it; the newest never is, so that
 *     whoever comes later knows where the sequence ends. Mails are removed once read.
 *
 * A worker that is not heard of for worker_timeout_ms, or leaves, ends the job (CRN_ENDING_LOST).
 * Time in which the store cannot be listed does not count against anybody.
 *
 * Lock: job->lock for members and the outbox; store calls are made without it.
 */

struct crn_leader;

/* The job has been taken over. */
int crn_leader_open(struct cairn_job *job, cairn_error **reterr);
/* Nothing of the job runs any more: waits for the last posts, for some seconds at most. NULL is
 * fine. */
void crn_leader_close(struct cairn_job *job);
void crn_leader_free(struct crn_leader *leader);

/* In the thread that starts the job, without the lock. CAIRN_ETIMEOUT, CAIRN_EEXIST, CAIRN_ECLOSED,
 * CAIRN_EFENCED. */
int crn_leader_gather(struct cairn_job *job, cairn_error **reterr);
/* job->closing is set: whoever gathers goes on. Lock held; nothing without workers. */
void crn_leader_closing_locked(struct cairn_job *job);
/* Lock held: workers have their indexes, and START is on its way. */
int crn_leader_begin_locked(struct cairn_job *job, cairn_error **reterr);
uint32_t crn_leader_worker_count(const struct cairn_job *job); /* 0: no coordinator of others */

/* What a check of all subtasks sees of a worker's. */
struct crn_remote_task {
    const char *uid;
    uint32_t subtask, parallelism, max_parallelism;
    cairn_type key_type, namespace_type;
};
/* All workers' subtasks, one after another. false: there is no i-th. */
bool crn_leader_task_locked(const struct cairn_job *job, size_t i, struct crn_remote_task *ret);

/* Driver thread; lock held for the first. The trigger of an attempt that is about to be added:
 * makes its remote parts. On failure nothing has happened. CAIRN_EFENCED: replaced. */
int crn_leader_trigger_locked(struct crn_attempt *attempt, cairn_error **reterr);
/* What became of an id, or of the job. Without the lock. Texts are copied. Nothing without workers.
 */
void crn_leader_tell(struct cairn_job *job, enum crn_post_kind kind, uint64_t id,
                     uint64_t subsumed_id, int code, const char *text);
/* Who has not acknowledged, for words: the name of one; NULL: everybody has. */
const char *crn_leader_find_late_locked(const struct crn_attempt *attempt, size_t *ret_waiting);
void crn_remote_parts_free(struct crn_attempt *attempt);

/* leader_show.c, for who watches. A worker with what it joined with: valid until it is let go. The
 * rest is of the moment. */
struct crn_worker_view {
    struct crn_remote_worker *worker; /* held */
    const char *name, *host;
    uint64_t pid;
    const struct crn_joined_subtask *subtasks;
    size_t subtask_count;
    uint32_t index; /* its place in attempt->remotes, too */
    uint64_t silent_us;
    bool is_lost;
};
/* i is below crn_leader_worker_count(). */
void crn_leader_hold_locked(const struct cairn_job *job, size_t i, struct crn_worker_view *ret);
void crn_leader_let_go(struct crn_worker_view *view); /* with or without the lock; zeros are fine */
size_t crn_leader_subtask_count_locked(const struct cairn_job *job); /* of all workers */

#endif
