/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_ORDER_H
#define CRN_ENGINE_CONTROL_ORDER_H

#include "cairn/savepoint.h"
#include <stdbool.h>

/* What a client asks a job to do: the body of a POST, understood. */
enum crn_order_kind { CRN_ORDER_CHECKPOINT, CRN_ORDER_SAVEPOINT, CRN_ORDER_STOP, CRN_ORDER_CANCEL };
const char *crn_order_word(enum crn_order_kind kind);

struct crn_order {
    enum crn_order_kind kind;
    bool full;          /* CHECKPOINT */
    bool has_savepoint; /* SAVEPOINT, STOP: yes; CANCEL: if it is asked for */
    cairn_savepoint_format format;
    char *target; /* NULL: the job's own */
    bool link_previous;
    bool drain;
};
#define CRN_BODY_MAX 65536u
/* body.c, pure. No bytes are an empty object. CAIRN_EINVAL names the field. */
int crn_order_read(enum crn_order_kind kind, const void *body, size_t size, struct crn_order *ret,
                   cairn_error **reterr);
void crn_order_done(struct crn_order *order);

#endif
