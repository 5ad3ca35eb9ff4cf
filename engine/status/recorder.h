/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_RECORDER_H
#define CRN_ENGINE_STATUS_RECORDER_H

#include "base/log.h"
#include "engine/status/status.h"

/*
 * The memory of a running job: what became of its snapshots. The driver tells it how each one ends,
 * by one call, which also writes the line of the log; crn_status_take() reads it.
 */

struct crn_record;
struct crn_recorder;
struct crn_attempt;

/* When the job has been taken over: notes what it is, and what its log tells of earlier runs. 0 or
 * CAIRN_ENOMEM. */
int crn_recorder_open(struct cairn_job *job, struct crn_recorder **ret, cairn_error **reterr);
void crn_recorder_free(struct crn_recorder *recorder); /* NULL is fine */

/* Driver thread, without locks, while the attempt is there. Complete: `record` has its tasks; the
 * log has it, or the pointer to it. Aborted: that stands, though uploads may still be ending. Over:
 * it is not complete and nothing of it runs any more; also of one that was never told as aborted.
 */
void crn_recorder_complete(struct crn_attempt *attempt, const struct crn_record *record);
void crn_recorder_aborted(struct crn_attempt *attempt);
void crn_recorder_over(struct crn_attempt *attempt);

/* Fills in ended, counts, histograms, options, store and start. 0 or CAIRN_ENOMEM. */
int crn_recorder_take(struct crn_recorder *recorder, struct crn_job_status *status,
                      cairn_error **reterr);

/* recorder_tasks.c: the tasks of one that is not complete, here and in workers, in an array to be
 * freed, which `ended` gets with their figures. with_figures: no thread works on the parts any
 * more; what was to be its record has taken the figures out of them. NULL: no memory. */
struct crn_ended_task *crn_recorder_tasks_of(const struct crn_attempt *attempt, bool with_figures,
                                             struct crn_ended *ended);
/* tell.c: the line of the log about a snapshot that has ended. */
void crn_tell_ended(const struct crn_log *log, const struct crn_ended *ended, int code,
                    uint32_t tasks_done, uint64_t linked_bytes);

#endif
