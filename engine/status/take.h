/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_TAKE_H
#define CRN_ENGINE_STATUS_TAKE_H

#include "engine/cluster/leader.h"
#include "engine/status/status.h"

/* What take.c (this process) and take_cluster.c (the others of the job) share. */

/* What one gathering has room for, or there is. */
struct crn_room {
    size_t tasks, flights, parts; /* here; parts: of each flight */
    size_t workers, remote_tasks;
};

struct crn_gathering {
    struct cairn_job *job;
    struct crn_job_status *status;
    struct crn_room room;
    struct cairn_task **tasks; /* with a reference and a visit each */
    size_t task_count;
    const struct cairn_task **owners; /* of the parts of all flights; compared only */
    cairn_error **reasons;            /* one per flight */
    cairn_error *stop_error;
    struct crn_worker_view *workers; /* held */
    size_t worker_count;
    uint64_t post_us; /* in a worker: crn_follower_post_us_locked() */
};

int crn_status_dup(char **ret, const char *text);

/* Under job->lock: the workers, and who of them has acknowledged. */
void crn_gather_workers_locked(struct crn_gathering *g);
void crn_gather_acks_locked(const struct crn_attempt *attempt, struct crn_status_snapshot *s);
/* Without it. Workers, and their tasks behind those that are here; the same in each flight's parts.
 * 0 or CAIRN_ENOMEM. */
int crn_gather_cluster(struct crn_gathering *g);
/* What the newest checkpoint of this run tells of remote tasks; `tasks` and `ended` are there. */
void crn_gather_last_figures(struct crn_job_status *status);

#endif
