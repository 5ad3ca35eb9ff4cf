/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLUSTER_FOLLOWER_H
#define CRN_ENGINE_CLUSTER_FOLLOWER_H

#include "engine/job/job.h"
#include "manifest/cluster.h"

/*
 * A worker's side of a job of several processes (include/cairn/cluster.h). Instead of the driver
 * and its coordinator runs one thread that reads the coordinator's posts in order, does to the
 * tasks here what the driver would, and tells the coordinator what came of it:
 *
 *   TRIGGER      an attempt with a part for every task here: barrier, capture, upload as ever
 *   all acked    flush, one record of all parts, ACK; from then on it waits for the outcome
 *   declined     DECLINE; the same
 *   COMPLETE     the record becomes what later parts build on; tasks hear of it
 *   ABORTED      what was uploaded is removed as soon as nothing runs (P6): the id is resolved,
 *                and nobody can come to need it (P5)
 *   ENDED,       the job is over for this process: polls fail, and nothing in the store is
 *   REPLACED     touched any more (P7)
 *
 * job->joblog has no log here: it holds the records of this worker's own parts that are still built
 * upon, and the restored one. job->coordinator is not used.
 *
 * Names of objects are unique though several processes share an epoch: running numbers begin with
 * the worker's index, which START gives, plus one: those below are the coordinator's (P5).
 *
 * Lock: job->lock as everywhere; store calls are made without it.
 */

struct crn_follower;

/* Instead of taking the job over: wait for a coordinator, and learn what to restore. */
int crn_follower_open(struct cairn_job *job, cairn_error **reterr);
/* NULL is fine. */
void crn_follower_free(struct crn_follower *follower);
/* In the thread that starts the job, without the lock: join, and wait for START. */
int crn_follower_join(struct cairn_job *job, cairn_error **reterr);
/* job->closing is set: whoever waits for START goes on. Lock held; nothing in a job that is no
 * worker. */
void crn_follower_closing_locked(struct cairn_job *job);
/* The thread's function; its argument is the job. */
void *crn_follower_main(void *arg);
/* It was not started, and is not going to be: the coordinator need not wait for it. */
void crn_follower_leave(struct cairn_job *job);
/* A barrier of this id has come through a channel, perhaps sooner than the post that asks for it:
 * read on until that is known, for some seconds at most. In a task's thread, without the lock;
 * nothing in a job that is no worker. */
void crn_follower_catch_up(struct cairn_job *job, uint64_t id);

/* For who watches, of a worker. Lock held for the second. */
const char *crn_follower_name(const struct cairn_job *job);        /* constant after open */
uint64_t crn_follower_post_us_locked(const struct cairn_job *job); /* when its coordinator last
                                                                      said something */

#endif
