/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_TWO_PHASE_H
#define CRN_ENGINE_TWO_PHASE_H

#include "engine/job/task.h"

/* What sinks built on the two-phase helper need besides cairn/sink.h. */

/* As cairn_two_phase_open(). The context is the sink's from success on: free_context (may be NULL)
 * ends it with the task. */
int crn_two_phase_open(struct cairn_task *task, const char *name,
                       const cairn_two_phase_functions *functions,
                       void (*free_context)(void *context), cairn_two_phase **ret_sink,
                       cairn_error **reterr);
/* The context of a participant that was opened so, with this function; NULL: it is something else.
 */
void *crn_two_phase_context(struct crn_participant *p, void (*free_context)(void *context));
/* 0 if transactions may be begun now: CAIRN_ECLOSED, CAIRN_EINVAL (not started, or finished). */
int crn_two_phase_check_writable(const cairn_two_phase *sink, cairn_error **reterr);
/* Prepare the active transaction before its barrier, so that another can be begun: it belongs to
 * the next checkpoint all the same. On failure it stays active. */
int crn_two_phase_seal(cairn_two_phase *sink, cairn_error **reterr);
/* Abort the active transaction, if there is one. */
void crn_two_phase_drop(cairn_two_phase *sink);

#endif
