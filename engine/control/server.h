/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_SERVER_H
#define CRN_ENGINE_CONTROL_SERVER_H

#include "engine/control/control.h"
#include "engine/control/endpoint.h"
#include "engine/control/router.h"
#include "engine/control/triggers.h"

/* What the parts of the endpoint share. */

struct MHD_Daemon;
struct crn_peer;     /* a connection: server.c */
struct crn_exchange; /* a request: exchange.c */

enum crn_control_phase {
    CRN_CONTROL_SERVING,
    CRN_CONTROL_LEAVING, /* the job is not to be looked at */
    CRN_CONTROL_CLOSING  /* tell who waits, and end */
};

struct crn_control {
    /* Constant from start to stop. */
    struct cairn_job *job;
    struct crn_endpoint_wanted wanted;
    struct crn_control_limits limits;
    struct crn_endpoint endpoint;
    int wake_fd; /* an eventfd: something has changed for the endpoint's thread */
    bool is_running;
    pthread_t thread;
    struct crn_triggers triggers;
    /* Guarded by lock, which nothing else is taken under. */
    struct crn_mutex lock;
    struct crn_cond looked;
    char *address; /* NULL: the job has not started */
    enum crn_control_phase phase;
    bool is_looking; /* the endpoint's thread has the job in its hands */
    /* Endpoint's thread. */
    struct MHD_Daemon *daemon;
    int event_fd; /* the daemon's */
    struct crn_peer *peers;
    struct crn_exchange *waiting; /* suspended, until their trigger is over */
};

/* server.c */
int crn_server_open(struct crn_control *control, cairn_error **reterr);
void *crn_server_run(void *control);
void crn_server_close(struct crn_control *control);
enum crn_control_phase crn_control_phase(struct crn_control *control);
/* Look at the job: false, if that is over. */
bool crn_control_enter_job(struct crn_control *control);
void crn_control_leave_job(struct crn_control *control);

/* A response, to be filled in. */
struct crn_reply {
    unsigned status; /* 0: by the error's code */
    struct cairn_buffer body;
    const char *content_type; /* NULL: JSON */
    const char *allow;        /* NULL: none */
    char location[96];        /* "": none */
    uint64_t wait_number;     /* answer when this trigger is over, */
    uint64_t wait_us;         /* or after so long; 0: now */
};
void crn_reply_done(struct crn_reply *reply);
/* handlers.c: what a request is answered with. A failure is part of the reply. */
void crn_handle(struct crn_control *control, const struct crn_routed *routed, const void *body,
                size_t body_size, struct crn_reply *reply);
void crn_reply_fail(struct crn_reply *reply, int code, const cairn_error *error);

#endif
