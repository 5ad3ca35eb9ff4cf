/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_CONTROL_H
#define CRN_ENGINE_CONTROL_CONTROL_H

#include "base/error.h"
#include <stdint.h>

/*
 * The control endpoint of a job: HTTP on a unix socket or loopback TCP, as docs/rest.md says.
 *
 * One thread (server.c) does all of it, so that a job with an endpoint has one thread more, and
 * each order under way has another one (triggers.c). NULL for a control is fine: the job has none.
 */
struct crn_control;
struct cairn_job;

/* What cairn_job_open() does: understand the options, of which nothing is needed afterwards. *ret
 * NULL: no endpoint is wanted. CAIRN_EINVAL. */
int crn_control_new(struct cairn_job *job, const char *address, const char *token,
                    struct crn_control **ret, cairn_error **reterr);
/* Listen and answer. Not under job->lock. On failure nothing is left open, and it may be tried
 * again. CAIRN_EBUSY, CAIRN_EINVAL, CAIRN_EACCES, CAIRN_EIO. */
int crn_control_start(struct crn_control *control, cairn_error **reterr);
/* The job is going to be closed: from now on the job is not looked at, and no order is taken; how
 * triggers stand can still be asked. Not under job->lock. */
void crn_control_leave(struct crn_control *control);
/* After crn_control_leave(), when the job's driver has stopped: wait for the orders' threads, tell
 * who waits how they ended, and close. */
void crn_control_stop(struct crn_control *control);
void crn_control_free(struct crn_control *control);
/* The job has started: its endpoint stays where it is, and may be told. Once. */
void crn_control_announce(struct crn_control *control);
/* Where it listens, or listened; "" before that. Valid until it is freed. */
const char *crn_control_address(struct crn_control *control);

/* How long a client may take; for tests to shorten before the start. */
struct crn_control_limits {
    uint64_t request_us; /* from a request's first line to its end */
    uint64_t idle_us;    /* from the end of one request to the next one's first line */
    uint64_t answer_us;  /* to take a response */
    uint64_t linger_us;  /* while closing, for who has not asked for the outcome yet */
};
struct crn_control_limits *crn_control_limits(struct crn_control *control);

#endif
