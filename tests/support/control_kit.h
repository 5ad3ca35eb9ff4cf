/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CONTROL_KIT_H
#define CRN_TESTS_CONTROL_KIT_H

#include "engine/control/control.h"
#include "tests/support/job_fixture.h"

#include <json-c/json.h>

/* A job with a control endpoint, its tasks polling in a thread, and clients of two kinds: a real
 * one (libcurl) for what clients do, and a bare socket for what they should not. */

#define CONTROLLED_TASKS 3
struct controlled {
    struct fixture f;
    cairn_job *job;
    cairn_task *tasks[CONTROLLED_TASKS]; /* two of "words", one of "tally" */
    struct pump pump;
    bool is_pumping;
    char *run_dir, *savepoints;
    struct crn_control_limits limits; /* zeros: the usual ones */
};
/* The run directory is in the fixture's place from now on. Tests may change c->f.options. */
void controlled_init(struct controlled *c, bool on_disk);
void controlled_open(struct controlled *c);  /* not started yet */
void controlled_start(struct controlled *c); /* opens it, if it is not, and its tasks poll */
void controlled_close(struct controlled *c);
void controlled_done(struct controlled *c);
void controlled_pump(struct controlled *c);
void controlled_stop_pump(struct controlled *c);

struct answer {
    unsigned status;
    char headers[2048];
    char *body;               /* "" if there is none */
    struct json_object *json; /* NULL: it is none */
};
void answer_done(struct answer *answer);
#define AUTO_ANSWER CRN_CLEANUP(answer_done) struct answer

/* With libcurl. body NULL: none. token NULL: none. */
struct answer request(const struct controlled *c, const char *method, const char *path,
                      const char *body);
struct answer request_at(const char *address, const char *token, const char *method,
                         const char *path, const char *body);

/* Bare: a connection to a unix socket or a loopback port. */
int bare_open(const char *address);
/* False: the other side has closed. */
bool bare_send(int fd, const void *data, size_t size);
bool bare_text(int fd, const char *text);
/* One response, its body by Content-Length or to the end; status 0: the connection was closed
 * without one. */
struct answer bare_read(int fd);
/* Nothing more comes, within two seconds. */
bool bare_is_closed(int fd);

/* A member by its path, such as "counts.completed"; fails the test if it is not there. */
struct json_object *member(const struct answer *answer, const char *path);
const char *text_of(const struct answer *answer, const char *path); /* NULL for null */
int64_t number_of(const struct answer *answer, const char *path);
/* The request fails with this status and code, and words that have this part. */
void ck_refused(struct answer answer, unsigned status, const char *code, const char *part);

/* Poll until it is over. `answer` is that of the order. */
struct answer follow(const struct controlled *c, const struct answer *answer);

#endif
