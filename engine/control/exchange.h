/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_EXCHANGE_H
#define CRN_ENGINE_CONTROL_EXCHANGE_H

#include "engine/control/server.h"
#include <microhttpd.h>

/* A connection, and how long it has been in its phase. Endpoint's thread only, as all in here. */
struct crn_peer {
    struct crn_peer *previous, *next; /* in control->peers */
    int fd;                           /* the daemon's */
    enum crn_peer_phase {
        CRN_PEER_IDLE,      /* no request has begun */
        CRN_PEER_REQUEST,   /* its first line is there */
        CRN_PEER_WAITING,   /* for a trigger */
        CRN_PEER_ANSWERING, /* it takes its response */
        CRN_PEER_CUT        /* shut down: the daemon is going to notice */
    } phase;
    uint64_t since_us;
};
void crn_peer_enter(struct crn_peer *peer, enum crn_peer_phase phase);

/* A request, from its first line to the end of its response. */
struct crn_exchange {
    struct crn_control *control;
    struct crn_peer *peer;
    struct MHD_Connection *connection;
    char target[CRN_TARGET_MAX + 1];     /* as it came; "": it is longer */
    bool has_begun;                      /* the daemon has told of it once, with its headers */
    bool is_too_large, is_out_of_memory; /* its body */
    struct cairn_buffer body;
    /* Waiting for a trigger. */
    bool has_waited;
    uint64_t wait_number, wait_until_us;
    struct crn_exchange *next; /* in control->waiting */
};
struct crn_exchange *crn_exchange_new(struct crn_control *control, const char *target,
                                      struct MHD_Connection *connection);
void crn_exchange_free(struct crn_exchange *exchange);
/* A part of the body. What is over the limit is read, so that the client gets to hear of it, and
 * dropped. */
void crn_exchange_take(struct crn_exchange *exchange, const char *data, size_t size);
/* The request is whole: answer it, or suspend it. */
enum MHD_Result crn_exchange_answer(struct crn_exchange *exchange, const char *method);

#endif
