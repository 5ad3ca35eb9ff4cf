/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each route answers. A handler fills a reply or fails; failures become replies in one place.
 *
 * In the endpoint's thread. A picture of the job is taken under the control's promise not to look
 * at a job that is being closed (crn_control_enter_job()), and written after that. Orders are only
 * handed to their own threads here.
 */
#include "engine/control/server.h"

#include "engine/control/view.h"
#include "engine/job/job.h"

#include <stdio.h>
#include <string.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void crn_reply_done(struct crn_reply *reply)
{
    crn_buf_done(&reply->body);
}

/* By the class, but for codes that have a status of their own. */
static unsigned status_of(int code)
{
    if (code == CAIRN_ENOTFOUND)
        return 404;
    if (code == CAIRN_ECLOSED)
        return 503;
    if (code == CAIRN_EUNSUPPORTED) /* of this process, which is a worker */
        return 409;
    switch (cairn_error_class_of(code)) {
    case CAIRN_CLASS_CALLER:
        return 400;
    case CAIRN_CLASS_STATE:
        return 409;
    case CAIRN_CLASS_RETRY:
        return 503;
    case CAIRN_CLASS_NONE:
    case CAIRN_CLASS_INTERNAL:
    case CAIRN_CLASS_DATA:
    case CAIRN_CLASS_LOCAL:
        break;
    }
    return 500;
}

void crn_reply_fail(struct crn_reply *reply, int code, const cairn_error *error)
{
    if (reply->status == 0 || reply->status < 400)
        reply->status = status_of(code);
    reply->content_type = NULL;
    reply->wait_us = 0;
    crn_buf_clear(&reply->body);
    struct crn_json_out out = {.buffer = &reply->body};
    crn_json_begin(&out, NULL, '{');
    crn_view_error(&out, "error", code, error);
    crn_json_end(&out, '}');
    if (out.failed) /* the status has to do */
        crn_buf_clear(&reply->body);
}

static int no_longer(cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "the job is being closed");
}

static int take_status(struct crn_control *control, struct crn_job_status **ret,
                       cairn_error **reterr)
{
    if (!crn_control_enter_job(control))
        return no_longer(reterr);
    int r = crn_status_take(control->job, ret, reterr);
    crn_control_leave_job(control);
    return r;
}

static int metrics(struct crn_control *control, struct crn_reply *reply, cairn_error **reterr)
{
    char *text = NULL;
    if (!crn_control_enter_job(control))
        return no_longer(reterr);
    int r = cairn_job_metrics(control->job, &text, reterr);
    crn_control_leave_job(control);
    if (r == 0 && crn_buf_append(&reply->body, text, strlen(text)) < 0)
        r = crn_err_nomem(reterr);
    free(text);
    reply->content_type = METRICS_TYPE;
    return r;
}

static int operators(struct crn_control *control, struct crn_json_out *out, cairn_error **reterr)
{
    if (!crn_control_enter_job(control))
        return no_longer(reterr);
    int r = crn_view_operators(control->job, out, reterr);
    crn_control_leave_job(control);
    return r;
}

static int one_checkpoint(const struct crn_job_status *status, const struct crn_routed *routed,
                          struct crn_json_out *out, cairn_error **reterr)
{
    uint64_t id = 0;
    size_t n = strlen(routed->segment);
    bool is_id = n > 0 && n <= 19 && strspn(routed->segment, "0123456789") == n;
    for (size_t i = 0; i < n && is_id; i++)
        id = 10 * id + (uint64_t)(routed->segment[i] - '0');
    if (!is_id || id == 0 || !crn_view_checkpoint(status, id, out))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, NULL,
                            "checkpoint '%s' is not in flight, nor in the history that a running "
                            "job keeps",
                            routed->segment);
    return 0;
}

static int look_at_job(struct crn_control *control, const struct crn_routed *routed,
                       struct crn_json_out *out, cairn_error **reterr)
{
    struct crn_job_status *status = NULL;
    int r = 0;
    CRN_TRY(take_status(control, &status, reterr));
    switch (routed->route->id) {
    case CRN_ROUTE_TASKS:
        crn_view_tasks(status, out);
        break;
    case CRN_ROUTE_WORKERS:
        crn_view_workers(status, out);
        break;
    case CRN_ROUTE_CONFIG:
        crn_view_config(status, out);
        break;
    case CRN_ROUTE_CHECKPOINTS:
        crn_view_checkpoints(status, routed->parameters[0], routed->parameters[1], out);
        break;
    case CRN_ROUTE_CHECKPOINT:
        r = one_checkpoint(status, routed, out, reterr);
        break;
    default:
        crn_view_job(status, out);
        break;
    }
    crn_status_free(status);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * Orders
 * ------------------------------------------------------------------------------------------ */

static int take_order(struct crn_control *control, enum crn_order_kind kind, const void *body,
                      size_t size, struct crn_reply *reply, struct crn_json_out *out,
                      cairn_error **reterr)
{
    CRN_CLEANUP(crn_order_done) struct crn_order order = {0};
    uint64_t number = 0;
    bool is_full = false;
    CRN_TRY(crn_order_read(kind, body, size, &order, reterr));
    if (!crn_control_enter_job(control))
        return no_longer(reterr);
    int r = crn_triggers_submit(&control->triggers, &order, &number, &is_full, reterr);
    crn_control_leave_job(control);
    if (is_full)
        reply->status = 429;
    CRN_TRY(r);
    char id[CRN_TRIGGER_ID_SIZE];
    crn_trigger_id(&control->triggers, number, id);
    (void)snprintf(reply->location, sizeof reply->location, "/v1/triggers/%s", id);
    reply->status = 202;
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "trigger_id", id);
    crn_json_text(out, "location", reply->location);
    crn_json_end(out, '}');
    return 0;
}

static int triggers(struct crn_control *control, const struct crn_routed *routed,
                    struct crn_reply *reply, struct crn_json_out *out, cairn_error **reterr)
{
    uint64_t epoch = 0, number = 0;
    struct crn_job_status *status = NULL;
    bool is_one = routed->route->id == CRN_ROUTE_TRIGGER;
    if (is_one && (crn_trigger_id_parse(routed->segment, &epoch, &number) < 0 ||
                   epoch != control->job->epoch))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, NULL,
                            epoch != 0 && epoch != control->job->epoch
                                ? "trigger '%s' is of another run of the job: `cairn ls` has what "
                                  "became of it"
                                : "there is no trigger '%s'",
                            routed->segment);
    if (is_one && routed->parameters[0] > 0 &&
        crn_triggers_is_over(&control->triggers, number) == 0) {
        reply->wait_number = number;
        reply->wait_us = routed->parameters[0] * 1000;
        return 0;
    }
    /* Without a picture of the job a little less is known. */
    if (crn_triggers_wants_status(&control->triggers))
        (void)take_status(control, &status, NULL);
    int r = 0;
    if (!is_one)
        crn_triggers_write_all(&control->triggers, status, out);
    else if (crn_triggers_write(&control->triggers, number, status, out) < 0)
        r = crn_err_fail(reterr, CAIRN_ENOTFOUND, NULL,
                         "there is no trigger '%s': the latest %u are kept", routed->segment,
                         CRN_TRIGGERS_KEPT);
    crn_status_free(status);
    return r;
}

static int answer(struct crn_control *control, const struct crn_routed *routed, const void *body,
                  size_t body_size, struct crn_reply *reply, cairn_error **reterr)
{
    struct crn_json_out out = {.buffer = &reply->body};
    int r = 0;
    switch (routed->route->id) {
    case CRN_ROUTE_JOB:
    case CRN_ROUTE_TASKS:
    case CRN_ROUTE_WORKERS:
    case CRN_ROUTE_CONFIG:
    case CRN_ROUTE_CHECKPOINTS:
    case CRN_ROUTE_CHECKPOINT:
        r = look_at_job(control, routed, &out, reterr);
        break;
    case CRN_ROUTE_OPERATORS:
        r = operators(control, &out, reterr);
        break;
    case CRN_ROUTE_TAKE_CHECKPOINT:
        r = take_order(control, CRN_ORDER_CHECKPOINT, body, body_size, reply, &out, reterr);
        break;
    case CRN_ROUTE_TAKE_SAVEPOINT:
        r = take_order(control, CRN_ORDER_SAVEPOINT, body, body_size, reply, &out, reterr);
        break;
    case CRN_ROUTE_STOP:
        r = take_order(control, CRN_ORDER_STOP, body, body_size, reply, &out, reterr);
        break;
    case CRN_ROUTE_CANCEL:
        r = take_order(control, CRN_ORDER_CANCEL, body, body_size, reply, &out, reterr);
        break;
    case CRN_ROUTE_TRIGGERS:
    case CRN_ROUTE_TRIGGER:
        r = triggers(control, routed, reply, &out, reterr);
        break;
    case CRN_ROUTE_METRICS:
        r = metrics(control, reply, reterr);
        break;
    }
    if (r == 0 && out.failed)
        r = crn_err_nomem(reterr);
    return r;
}

void crn_handle(struct crn_control *control, const struct crn_routed *routed, const void *body,
                size_t body_size, struct crn_reply *reply)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    reply->status = 0;
    int r = answer(control, routed, body, body_size, reply, &error);
    if (r < 0)
        crn_reply_fail(reply, r, error);
    else if (reply->status == 0)
        reply->status = 200;
}
