/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_FAULT_H
#define CRN_STORAGE_FAULT_H

#include "cairn/store.h"
#include <stdatomic.h>
#include <stdbool.h>

/*
 * A store decorator that counts calls and makes the k-th of a set of operations fail. For tests;
 * not in libcairn. Thread-safe.
 */
enum crn_fault_op {
    CRN_FAULT_PUT = 1 << 0,
    CRN_FAULT_CREATE = 1 << 1,
    CRN_FAULT_FLUSH = 1 << 2,
    CRN_FAULT_GET = 1 << 3,
    CRN_FAULT_STAT = 1 << 4,
    CRN_FAULT_LIST = 1 << 5, /* list and list_segments */
    CRN_FAULT_REMOVE = 1 << 6,
    CRN_FAULT_LINK_OUT = 1 << 7,
    CRN_FAULT_COPY = 1 << 8,
    CRN_FAULT_ANY = (1 << 9) - 1
};
enum crn_fault_mode {
    CRN_FAULT_NEVER,
    CRN_FAULT_BEFORE,     /* fails with `code`, nothing happened */
    CRN_FAULT_LOST_REPLY, /* happens, then fails with CAIRN_EUNKNOWN */
    CRN_FAULT_SHORT,     /* put: half the bytes are read, then `code`; get: half are delivered, then
                            `code`; remove: the first half of the keys; others as BEFORE */
    CRN_FAULT_FLIP,      /* get: one bit of what is delivered is wrong, no error; others pass */
    CRN_FAULT_KILL,      /* raise(SIGKILL), nothing happened */
    CRN_FAULT_KILL_AFTER /* happens, then raise(SIGKILL) */
};
struct crn_fault_plan {
    unsigned ops; /* set of crn_fault_op */
    enum crn_fault_mode mode;
    uint64_t at;       /* the at-th call (from 1) of these ops */
    bool and_after;    /* all later ones too */
    int code;          /* such as CAIRN_EUNAVAIL */
    uint64_t delay_us; /* sleep before every call of these ops (to widen races); 0: none */
};

/* Takes ownership of inner. */
int crn_fault_store_open(cairn_store *inner, cairn_store **ret_store, cairn_error **reterr);
void crn_fault_store_arm(cairn_store *store, const struct crn_fault_plan *plan); /* counts from 0 */
uint64_t crn_fault_store_calls(cairn_store *store); /* calls of the plan's ops since armed */
bool crn_fault_store_fired(cairn_store *store);
cairn_store *crn_fault_store_inner(cairn_store *store);

#endif
