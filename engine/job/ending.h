/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_ENDING_H
#define CRN_ENGINE_ENDING_H

#include "engine/job/job.h"

/* How a job ends, but by being closed: ending.c, and retention.c for what becomes of its
 * checkpoints. */

/* How the job stands. Lock held. */
cairn_job_state crn_ending_state_locked(const struct cairn_job *job);
/* May something still be asked of the job? 0, or why it has ended. Lock held. */
int crn_ending_check_locked(const struct cairn_job *job, cairn_error **reterr);
/* The first one stands: false, if there was one already. Else `error` is what tasks and callers
 * hear from now on, and the driver winds up. Lock held. */
bool crn_ending_begin_locked(struct cairn_job *job, enum crn_ending how, const cairn_error *error);
/* A savepoint with which the job is to stop was asked for, or has failed. */
void crn_ending_stop_asked_locked(struct cairn_job *job);
void crn_ending_stop_failed(struct cairn_job *job);
/* It begins: before any task is asked for its barrier. Lock held. */
void crn_ending_announce_locked(struct crn_attempt *attempt);
/* It is complete. */
void crn_ending_stopped(struct crn_attempt *attempt);

/* retention.c. Driver, when nothing is in flight any more. Never fails: what cannot be done is
 * logged. */
void crn_retention_remove(struct cairn_job *job, const char *reason);

#endif
