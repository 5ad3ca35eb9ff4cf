/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_CLUSTER_H
#define CAIRN_CLUSTER_H

/*
 * A job of several processes, on any hosts, that share nothing but the store. cairn.h includes this.
 *
 * ROLES (cairn_job_options.role). One process is the coordinator: it takes the job over, begins checkpoints and
 * savepoints, and commits them. Workers have the tasks: each process opens its own subtasks, under the same job
 * name and store as the coordinator, and with a local_dir of its own. The coordinator may have tasks as well. All
 * calls are those of a job in one process; what is different:
 *
 *   cairn_job_open()    of a worker waits until a coordinator has opened the job, and restores from what that has
 *                       chosen: what to start from, checkpoint_mode, unaligned and the like are the coordinator's
 *                       to say, and a worker's own options for them do not count. CAIRN_ETIMEOUT after
 *                       join_timeout_ms: no coordinator came.
 *   cairn_job_start()   of a worker tells the coordinator which subtasks are here, and waits for its word; of the
 *                       coordinator it waits for worker_count workers, and until every subtask of every operator is
 *                       in one of the processes. CAIRN_ETIMEOUT after join_timeout_ms: the message says what is
 *                       missing. CAIRN_EEXIST: a subtask is in two processes, or the job has started without this
 *                       worker. CAIRN_EFENCED: the coordinator that was waited for, or is, has been replaced.
 *                       CAIRN_EFAILED: it ended without starting.
 *   checkpoints, savepoints, stops and cancelling are asked of the coordinator; of a worker that is
 *                       CAIRN_EUNSUPPORTED. Savepoints must go where all processes can open the place: to a URI.
 *   cairn_task_poll()   is the same everywhere. A gate's barriers travel through the service's own channels
 *                       between processes as they do between threads.
 *
 * HOW THEY TALK. Through small objects in the job's directory, below cluster/e<epoch>/ (docs/format.md): the
 * coordinator makes a dense sequence of posts, which each worker reads in order; each worker makes a sequence of mails,
 * which the coordinator lists. Every worker looks for the next post each poll_interval_ms, by one request; so a barrier
 * reaches it half an interval late on average, and so does an outcome. docs/operations.md has what a checkpoint costs in
 * requests. Clocks need not agree.
 *
 * WHEN A PROCESS IS LOST. State must go back to one checkpoint in all processes at once, so the whole job starts
 * again:
 *   a worker      that ends, or is not heard of for worker_timeout_ms, fails the job: poll gives CAIRN_EFAILED in
 *                 every process (CAIRN_JOB_FAILED); checkpoints stay whatever on_failure says. One that comes back
 *                 late finds the same and can neither acknowledge nor commit anything.
 *   the coordinator  may be replaced at any time by another one, which opens the job: poll gives CAIRN_EFENCED in the
 *                 workers of the old one, and in the old one itself, should it still run. Of two coordinators at most
 *                 one commits a checkpoint: the log's create-if-absent decides, as between any two writers of a job.
 *                 Until then workers go on without checkpoints.
 * In each case: close the job, open it again. `cairn run` does that for a service that just ends.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A worker, as its coordinator knows it. Texts are valid during the call. */
typedef struct cairn_worker_info {
    uint32_t struct_size;
    uint32_t index;          /* 0 to worker_count - 1 */
    const char *name;
    const char *host;
    uint64_t pid;
    uint32_t subtask_count;
    uint64_t silent_ms;      /* since the last sign of life that the coordinator has seen */
    uint8_t is_lost;
} cairn_worker_info;

/** @return 0 to go on; anything else ends the round, which then returns that value. */
typedef int (*cairn_worker_fn)(void *context, const cairn_worker_info *worker);

/** The workers that have joined, in the order of index. Those of a coordinator; of any other job there are none.
 * fn must not call into the job.
 * @return 0, what fn returned, or CAIRN_EINVAL. */
CAIRN_API int cairn_job_each_worker(cairn_job *job, cairn_worker_fn fn, void *context);

/** Which incarnation of the job this is: grows by one at every takeover, and is the same in all processes of one. Where
 * tasks in several processes send one another records, each side tells it to the other when they connect, and refuses
 * who has another one: a process of an earlier incarnation that does not know yet that it is over must not feed
 * this one. @return 0 if job is NULL. */
CAIRN_API uint64_t cairn_job_epoch(const cairn_job *job);

#ifdef __cplusplus
}
#endif
#endif
