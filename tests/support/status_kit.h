/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_STATUS_KIT_H
#define CRN_TESTS_STATUS_KIT_H

#include "engine/status/status.h"
#include "tests/support/job_fixture.h"

/* For tests of what a job tells about itself. Helpers fail the running test. */

/* The log is written down: every line is checked to have the job's name first, only listed fields,
 * each once, and numbers that are numbers. */
void watch_fixture_init(struct fixture *f);
/* The newest line with this event has this level, and this "name=value" among its fields. */
void check_line(const char *event, cairn_log_level level, const char *field);

struct crn_job_status *take_status(cairn_job *job);
/* A picture in which nothing is in flight any more. */
struct crn_job_status *take_when_idle(cairn_job *job);
/* The same, and so many checkpoints and savepoints have failed. */
struct crn_job_status *take_when_failed(cairn_job *job, uint64_t failed);
/* A picture in which one snapshot is in flight, and its task `i` (by uid, then subtask) is in this
 * phase. */
struct crn_job_status *take_in_phase(cairn_job *job, size_t i, enum crn_part_phase phase);
void poll_once(cairn_task *task, cairn_event_type expected);

#endif
