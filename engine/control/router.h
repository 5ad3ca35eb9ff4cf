/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_ROUTER_H
#define CRN_ENGINE_CONTROL_ROUTER_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* Which request is meant: from method and target to a route and its arguments. Pure. */

enum crn_route_id {
    CRN_ROUTE_JOB,
    CRN_ROUTE_TASKS,
    CRN_ROUTE_WORKERS,
    CRN_ROUTE_OPERATORS,
    CRN_ROUTE_CONFIG,
    CRN_ROUTE_CHECKPOINTS,
    CRN_ROUTE_CHECKPOINT,
    CRN_ROUTE_TAKE_CHECKPOINT,
    CRN_ROUTE_TAKE_SAVEPOINT,
    CRN_ROUTE_STOP,
    CRN_ROUTE_CANCEL,
    CRN_ROUTE_TRIGGERS,
    CRN_ROUTE_TRIGGER,
    CRN_ROUTE_METRICS
};

/* A query parameter: a number within two bounds. */
struct crn_route_parameter {
    const char *name; /* NULL: there is none */
    uint64_t min, max, otherwise;
};
#define CRN_ROUTE_PARAMETERS 2u
struct crn_route {
    enum crn_route_id id;
    const char *method; /* "GET", "POST" */
    const char *path;   /* a segment in braces stands for any one */
    struct crn_route_parameter parameters[CRN_ROUTE_PARAMETERS];
};
const struct crn_route *crn_routes(size_t *ret_count);

#define CRN_TARGET_MAX 1024u
#define CRN_SEGMENT_MAX 63u

struct crn_routed {
    const struct crn_route *route;
    char segment[CRN_SEGMENT_MAX + 1];         /* for the one in braces; else "" */
    uint64_t parameters[CRN_ROUTE_PARAMETERS]; /* values, in the route's order */
};
/* HEAD goes where GET goes. @return 0, CAIRN_ENOTFOUND (no such path), CAIRN_EUNSUPPORTED (not with
 * this method: *ret_allow is a list of those with which, static), CAIRN_EINVAL (the query). */
int crn_router_find(const char *method, const char *target, struct crn_routed *ret,
                    const char **ret_allow, cairn_error **reterr);

#endif
