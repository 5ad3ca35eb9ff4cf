/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a control endpoint: made when the job opens, which is when its options are judged;
 * open from start to close.
 *
 * A job is closed in two steps around the stop of its driver. crn_control_leave() waits until the
 * endpoint's thread has let go of the job, and it does not take it up again: a handler never meets
 * a job that is being taken apart, and never waits for the job's end. Orders under way wait for the
 * driver, so their threads can only be waited for when it has stopped: crn_control_stop().
 *
 * Crash: a socket's file is left; endpoint.c says what becomes of it.
 */
#include "engine/control/server.h"

#include "engine/job/job.h"
#include "engine/status/fields.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define SECOND_US ((uint64_t)1000000)

static void wake(void *context)
{
    struct crn_control *control = context;
    const uint64_t one = 1;
    (void)!write(control->wake_fd, &one, sizeof one); /* full only if it is awake */
}

int crn_control_new(struct cairn_job *job, const char *address, const char *token,
                    struct crn_control **ret, cairn_error **reterr)
{
    struct crn_endpoint_wanted wanted = {0};
    CRN_TRY(crn_endpoint_parse(address, token, &wanted, reterr));
    if (wanted.kind == CRN_ENDPOINT_NONE)
        return 0;
    struct crn_control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        crn_endpoint_wanted_done(&wanted);
        return crn_err_nomem(reterr);
    }
    control->job = job;
    control->wanted = wanted;
    control->limits = (struct crn_control_limits){.request_us = 10 * SECOND_US,
                                                  .idle_us = 60 * SECOND_US,
                                                  .answer_us = 30 * SECOND_US,
                                                  .linger_us = SECOND_US};
    control->endpoint = (struct crn_endpoint)CRN_ENDPOINT_CLOSED;
    control->wake_fd = -1;
    crn_mutex_init(&control->lock, CRN_RANK_LEAF);
    crn_cond_init(&control->looked);
    *ret = control;
    return 0;
}

struct crn_control_limits *crn_control_limits(struct crn_control *control)
{
    return &control->limits;
}

static int open_parts(struct crn_control *control, cairn_error **reterr)
{
    control->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control->wake_fd < 0)
        return crn_err_os(reterr, errno, NULL, "control endpoint");
    CRN_TRY(crn_endpoint_open(&control->wanted, control->job->name, &control->endpoint, reterr));
    CRN_TRY(crn_server_open(control, reterr));
    return crn_thread_start(&control->thread, "cairn-control", crn_server_run, control, reterr);
}

static void close_parts(struct crn_control *control)
{
    crn_endpoint_close(&control->endpoint); /* first: nobody comes to a socket that is closed */
    crn_server_close(control);
    crn_triggers_done(&control->triggers);
    if (control->wake_fd >= 0)
        (void)close(control->wake_fd); /* nothing can be lost in it */
    control->wake_fd = -1;
}

int crn_control_start(struct crn_control *control, cairn_error **reterr)
{
    if (control == NULL)
        return 0;
    crn_triggers_init(&control->triggers, control->job, wake, control);
    control->phase = CRN_CONTROL_SERVING;
    int r = open_parts(control, reterr);
    control->is_running = r == 0;
    if (r < 0) {
        crn_err_prefix(reterr, "job '%s'", control->job->name);
        close_parts(control);
    }
    return r;
}

void crn_control_announce(struct crn_control *control)
{
    if (control == NULL)
        return;
    crn_mutex_lock(&control->lock);
    control->address = CRN_TAKE(control->endpoint.address);
    crn_mutex_unlock(&control->lock);
    struct crn_fields fields;
    crn_fields_of(CRN_FACTS(.told = CRN_TOLD_CONTROL_OPEN), &fields);
    crn_fields_text(&fields, CRN_FIELD_ADDRESS, control->address);
    crn_fields_write(&control->job->log, CAIRN_LOG_INFO, "control", &fields,
                     "job '%s': the control endpoint is at '%s'", control->job->name,
                     control->address);
}

static void enter(struct crn_control *control, enum crn_control_phase phase)
{
    crn_mutex_lock(&control->lock);
    control->phase = phase;
    while (control->is_looking)
        crn_cond_wait(&control->looked, &control->lock);
    crn_mutex_unlock(&control->lock);
    wake(control);
}

void crn_control_leave(struct crn_control *control)
{
    if (control == NULL || !control->is_running)
        return;
    enter(control, CRN_CONTROL_LEAVING);
    crn_triggers_refuse(&control->triggers);
}

void crn_control_stop(struct crn_control *control)
{
    if (control == NULL || !control->is_running)
        return;
    enter(control, CRN_CONTROL_CLOSING);
    (void)pthread_join(control->thread, NULL); /* cannot fail: it is joined once */
    control->is_running = false;
    close_parts(control);
}

void crn_control_free(struct crn_control *control)
{
    if (control == NULL)
        return;
    free(control->address);
    crn_endpoint_wanted_done(&control->wanted);
    crn_cond_done(&control->looked);
    crn_mutex_done(&control->lock);
    free(control);
}

const char *crn_control_address(struct crn_control *control)
{
    if (control == NULL)
        return "";
    crn_mutex_lock(&control->lock);
    const char *address = control->address;
    crn_mutex_unlock(&control->lock);
    return address == NULL ? "" : address;
}
