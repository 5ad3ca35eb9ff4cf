/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of routes, and finding one. Pure.
 *
 * The target is what stands in the request's first line, as it came: no path of ours has a
 * character that needs escaping, so what is escaped is another path. Everything in it is untrusted
 * (P11).
 */
#include "engine/control/router.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

#define NONE                                                                                       \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
static const struct crn_route routes[] = {
    {CRN_ROUTE_JOB, "GET", "/v1/job", NONE},
    {CRN_ROUTE_TASKS, "GET", "/v1/tasks", NONE},
    {CRN_ROUTE_WORKERS, "GET", "/v1/workers", NONE},
    {CRN_ROUTE_OPERATORS, "GET", "/v1/operators", NONE},
    {CRN_ROUTE_CONFIG, "GET", "/v1/config", NONE},
    {CRN_ROUTE_CHECKPOINTS,
     "GET",
     "/v1/checkpoints",
     {{"limit", 1, 1000, 100}, {"before", 1, INT64_MAX, 0}}},
    {CRN_ROUTE_TAKE_CHECKPOINT, "POST", "/v1/checkpoints", NONE},
    {CRN_ROUTE_CHECKPOINT, "GET", "/v1/checkpoints/{id}", NONE},
    {CRN_ROUTE_TAKE_SAVEPOINT, "POST", "/v1/savepoints", NONE},
    {CRN_ROUTE_STOP, "POST", "/v1/stop", NONE},
    {CRN_ROUTE_CANCEL, "POST", "/v1/cancel", NONE},
    {CRN_ROUTE_TRIGGERS, "GET", "/v1/triggers", NONE},
    {CRN_ROUTE_TRIGGER, "GET", "/v1/triggers/{trigger_id}", {{"wait_ms", 0, 30000, 0}}},
    {CRN_ROUTE_METRICS, "GET", "/metrics", NONE},
};

const struct crn_route *crn_routes(size_t *ret_count)
{
    *ret_count = CRN_COUNT(routes);
    return routes;
}

/* Does the path fit? What stands for the segment in braces goes to `segment`. */
static bool fits(const char *pattern, const char *path, size_t n, char segment[CRN_SEGMENT_MAX + 1])
{
    const char *brace = strchr(pattern, '{');
    size_t fixed = brace == NULL ? strlen(pattern) : (size_t)(brace - pattern);
    segment[0] = '\0';
    if (brace == NULL)
        return n == fixed && memcmp(path, pattern, n) == 0;
    if (n <= fixed || n - fixed > CRN_SEGMENT_MAX || memcmp(path, pattern, fixed) != 0 ||
        memchr(path + fixed, '/', n - fixed) != NULL)
        return false;
    memcpy(segment, path + fixed, n - fixed);
    segment[n - fixed] = '\0';
    return true;
}

static int take_number(const char *text, size_t n, const struct crn_route_parameter *parameter,
                       uint64_t *ret, cairn_error **reterr)
{
    uint64_t value = 0;
    bool is_number = n > 0 && n <= 19; /* less than 2^64 in any case */
    for (size_t i = 0; i < n && is_number; i++) {
        is_number = text[i] >= '0' && text[i] <= '9';
        value = 10 * value + (uint64_t)(text[i] - '0');
    }
    if (!is_number || value < parameter->min || value > parameter->max)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "parameter '%s' is a number from %" PRIu64 " to %" PRIu64,
                            parameter->name, parameter->min, parameter->max);
    *ret = value;
    return 0;
}

/* name=value&name=value. The later one of the same name counts. */
static int take_query(const char *query, struct crn_routed *ret, cairn_error **reterr)
{
    while (*query != '\0') {
        size_t n = strcspn(query, "&"), name = strcspn(query, "=&"), i = 0;
        const struct crn_route_parameter *all = ret->route->parameters;
        while (i < CRN_ROUTE_PARAMETERS && (all[i].name == NULL || strlen(all[i].name) != name ||
                                            memcmp(all[i].name, query, name) != 0))
            i++;
        if (i == CRN_ROUTE_PARAMETERS && n > 0)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "%s has no parameter '%.*s'",
                                ret->route->path, (int)(name < 64 ? name : 64), query);
        if (n > 0) {
            size_t skip = name < n ? name + 1 : n;
            CRN_TRY(take_number(query + skip, n - skip, &all[i], &ret->parameters[i], reterr));
        }
        query += n + (query[n] == '&');
    }
    return 0;
}

static const char *allowed_for(const char *path, size_t n)
{
    char segment[CRN_SEGMENT_MAX + 1];
    bool get = false, post = false;
    for (size_t i = 0; i < CRN_COUNT(routes); i++)
        if (fits(routes[i].path, path, n, segment)) {
            get |= strcmp(routes[i].method, "GET") == 0;
            post |= strcmp(routes[i].method, "POST") == 0;
        }
    return get && post ? "GET, HEAD, POST" : get ? "GET, HEAD" : post ? "POST" : NULL;
}

int crn_router_find(const char *method, const char *target, struct crn_routed *ret,
                    const char **ret_allow, cairn_error **reterr)
{
    size_t n = strcspn(target, "?");
    const char *query = target[n] == '?' ? target + n + 1 : target + n;
    if (n > 1 && target[n - 1] == '/')
        n--;
    struct crn_routed routed = {0};
    for (size_t i = 0; i < CRN_COUNT(routes) && routed.route == NULL; i++)
        if (strcmp(strcmp(method, "HEAD") == 0 ? "GET" : method, routes[i].method) == 0 &&
            fits(routes[i].path, target, n, routed.segment))
            routed.route = &routes[i];
    if (routed.route == NULL) {
        const char *allow = allowed_for(target, n);
        int shown = (int)(n < 128 ? n : 128);
        if (allow == NULL)
            return crn_err_fail(reterr, CAIRN_ENOTFOUND, NULL, "there is no path '%.*s'", shown,
                                target);
        *ret_allow = allow;
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL, "'%.*s' is for %s", shown, target,
                            allow);
    }
    for (size_t i = 0; i < CRN_ROUTE_PARAMETERS; i++)
        routed.parameters[i] = routed.route->parameters[i].otherwise;
    CRN_TRY(take_query(query, &routed, reterr));
    *ret = routed;
    return 0;
}
