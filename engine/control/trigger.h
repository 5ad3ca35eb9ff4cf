/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_TRIGGER_H
#define CRN_ENGINE_CONTROL_TRIGGER_H

#include "engine/control/triggers.h"

/* One order, for triggers.c and view_triggers.c. */
struct crn_trigger {
    /* Constant once it is in the table. */
    struct crn_triggers *triggers;
    uint64_t number;
    struct crn_order order;
    int64_t time_ms;
    pthread_t thread;
    /* Endpoint's thread. */
    bool is_joined;
    /* Guarded by triggers->lock. */
    uint64_t after_id;              /* its checkpoint has a higher id */
    cairn_savepoint_handle *handle; /* while its savepoint is under way; its thread's */
    cairn_savepoint_info savepoint; /* id 0: there is none */
    cairn_checkpoint_info checkpoint;
    bool is_over;
    uint64_t asked_us; /* when a client wanted to know last */
    bool is_told;      /* that it is over */
    int64_t end_time_ms;
    int code;
    cairn_error *error;
};

#endif
