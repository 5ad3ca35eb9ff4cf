/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_ENDPOINT_H
#define CRN_ENGINE_CONTROL_ENDPOINT_H

#include "base/error.h"
#include <stdint.h>

/* Where a control endpoint is to listen: cairn_job_options.control and control_token, understood.
 */
enum crn_endpoint_kind {
    CRN_ENDPOINT_NONE,
    CRN_ENDPOINT_RUN_DIR, /* a socket of the job's name in the run directory */
    CRN_ENDPOINT_PATH,    /* a socket with this path */
    CRN_ENDPOINT_TCP4,
    CRN_ENDPOINT_TCP6
};
struct crn_endpoint_wanted {
    enum crn_endpoint_kind kind;
    char *path;    /* PATH */
    uint16_t port; /* TCP; 0: any */
    char *token;   /* TCP */
};
/* Pure. control NULL: none. CAIRN_EINVAL with a sentence that says what would be right. */
int crn_endpoint_parse(const char *control, const char *token, struct crn_endpoint_wanted *ret,
                       cairn_error **reterr);
void crn_endpoint_wanted_done(struct crn_endpoint_wanted *wanted);

/* A socket that listens. Initialise with CRN_ENDPOINT_CLOSED. */
struct crn_endpoint {
    int fd;
    char *path;    /* of a unix socket, to be removed; NULL: it is TCP */
    char *address; /* "unix:/path", "http://127.0.0.1:8125" */
};
#define CRN_ENDPOINT_CLOSED                                                                        \
    {                                                                                              \
        -1, NULL, NULL                                                                             \
    }
/* CAIRN_EINVAL (the path is too long, the run directory is not ours), CAIRN_EBUSY (somebody listens
 * there), CAIRN_EACCES, CAIRN_EIO. */
int crn_endpoint_open(const struct crn_endpoint_wanted *wanted, const char *job,
                      struct crn_endpoint *ret, cairn_error **reterr);
/* Removes the socket's file, too. */
void crn_endpoint_close(struct crn_endpoint *endpoint);

/* The run directory as the environment gives it. Must be freed. */
int crn_endpoint_run_dir(char **ret_path, cairn_error **reterr);

#endif
