/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a request to the control endpoint (P11): the first line is method and target,
 * the rest is the body of each kind of order. What is accepted means the same when it is said again
 * in its plainest form; what is refused comes with a code of the documented ones and words.
 */
#include "base/buffer.h"
#include "engine/control/order.h"
#include "engine/control/router.h"
#include "engine/control/triggers.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void must_be_told(int r, const cairn_error *error)
{
    crn_fuzz_must((r < 0) == (error != NULL));
    crn_fuzz_must(r == 0 || cairn_error_message(error)[0] != '\0');
}

/* The route's own path with the segment, and all parameters. */
static void check_route(const struct crn_routed *routed)
{
    char target[CRN_TARGET_MAX + 200];
    const char *path = routed->route->path;
    struct crn_routed again = {0};
    const char *allow = NULL;
    int n =
        snprintf(target, sizeof target, "%.*s%s", (int)strcspn(path, "{"), path, routed->segment);
    for (size_t i = 0; i < CRN_ROUTE_PARAMETERS; i++) {
        const struct crn_route_parameter *p = &routed->route->parameters[i];
        uint64_t value = routed->parameters[i];
        if (p->name == NULL || value == p->otherwise)
            continue;
        crn_fuzz_must(value >= p->min && value <= p->max);
        n += snprintf(target + n, sizeof target - (size_t)n, "%c%s=%" PRIu64,
                      strchr(target, '?') ? '&' : '?', p->name, value);
    }
    crn_fuzz_must(crn_router_find(routed->route->method, target, &again, &allow, NULL) == 0);
    crn_fuzz_must(again.route == routed->route);
    crn_fuzz_must(strcmp(again.segment, routed->segment) == 0);
    crn_fuzz_must(memcmp(again.parameters, routed->parameters, sizeof again.parameters) == 0);
}

static void try_route(const char *method, const char *target)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_routed routed = {0};
    const char *allow = NULL;
    int r = crn_router_find(method, target, &routed, &allow, &error);
    must_be_told(r, error);
    crn_fuzz_must(r == 0 || r == CAIRN_ENOTFOUND || r == CAIRN_EUNSUPPORTED || r == CAIRN_EINVAL);
    crn_fuzz_must((r == CAIRN_EUNSUPPORTED) == (allow != NULL));
    if (r < 0)
        return;
    check_route(&routed);
    uint64_t epoch, number;
    char id[64];
    if (crn_trigger_id_parse(routed.segment, &epoch, &number) == 0) {
        (void)snprintf(id, sizeof id, "%" PRIu64 "-%" PRIu64, epoch, number);
        crn_fuzz_must(strcmp(id, routed.segment) == 0);
    }
}

static void try_order(enum crn_order_kind kind, const void *body, size_t size)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_CLEANUP(crn_order_done) struct crn_order order = {0};
    int r = crn_order_read(kind, body, size, &order, &error);
    must_be_told(r, error);
    crn_fuzz_must(r == 0 || r == CAIRN_EINVAL || r == CAIRN_ENOMEM);
    if (r < 0)
        return;
    crn_fuzz_must(order.kind == kind);
    crn_fuzz_must(order.target == NULL || (order.has_savepoint && order.target[0] != '\0'));
    crn_fuzz_must(kind == CRN_ORDER_CHECKPOINT || !order.full);
    crn_fuzz_must(kind == CRN_ORDER_STOP || !order.drain);
    crn_fuzz_must(kind == CRN_ORDER_SAVEPOINT || !order.link_previous);
    crn_fuzz_must(order.format == CAIRN_CANONICAL || order.format == CAIRN_NATIVE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_FREE char *line = crn_str_dup_n(data, size);
    if (line == NULL)
        return 0;
    char *rest = line;
    const char *method = strsep(&rest, " ");
    if (rest != NULL) {
        const char *target = strsep(&rest, "\n");
        if (strlen(target) <= CRN_TARGET_MAX)
            try_route(method, target);
    }
    size_t at = rest == NULL ? 0 : (size_t)(rest - line);
    for (int kind = CRN_ORDER_CHECKPOINT; kind <= CRN_ORDER_CANCEL; kind++)
        try_order((enum crn_order_kind)kind, data + at, size - at);
    return 0;
}
