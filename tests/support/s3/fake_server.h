/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_FAKE_SERVER_H
#define CRN_TESTS_S3_FAKE_SERVER_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * An S3 server of our own, on loopback, that keeps its objects in memory and does what is wanted of
 * it wrongly. It knows one bucket, plain and conditional PUT, GET with a range, HEAD, DELETE,
 * multi-delete, ListObjectsV2 and multipart uploads; it does not look at signatures, but at dates.
 * A failure inside of it ends the test.
 */

enum fake_what {
    FAKE_REFUSE,     /* answer with `answer`, and do nothing */
    FAKE_DO_AND_SAY, /* do it, but answer with `answer` */
    FAKE_CUT_IN,     /* read only `at` bytes of the request, then close the connection */
    FAKE_CUT_OUT,    /* do it, send only `at` bytes of the answer, then close */
    FAKE_STALL,      /* do nothing and say nothing for `at` ms, then do it */
    FAKE_ENDLESS,    /* a good status without a length, and a body without an end */
};

struct fake_rule {
    const char *method; /* NULL: any */
    const char *in;     /* the target has this in it; NULL: any */
    unsigned skip;      /* so many that fit are served as usual before */
    unsigned times;     /* then it holds for so many */
    enum fake_what what;
    uint64_t at;
    const char *answer; /* all of it, from "HTTP/1.1" on */
};

struct fake;
struct fake *fake_start(void);
void fake_stop(struct fake *fake);
unsigned fake_port(const struct fake *fake);
/* Rules are asked in the order they were added. Texts must stay as long as the rule may hold. */
void fake_add(struct fake *fake, const struct fake_rule *rule);
void fake_clear(struct fake *fake); /* of rules */
void fake_set_clock(struct fake *fake, int64_t ahead_ms);
void fake_set_page(struct fake *fake, unsigned keys);
/* Where it ignores If-None-Match, as some servers do. */
void fake_set_lying(struct fake *fake, bool is_lying);
/* Refuse any other bucket, and requests that are not signed with this access key. The texts must
 * stay. */
void fake_set_owner(struct fake *fake, const char *bucket, const char *credential);

/* Where the bucket is in the host's name, not in the path. */
void fake_set_hosts(struct fake *fake, bool has_hosts);
/* The head of the last request that was read; free it. NULL: there was none. */
char *fake_last_head(struct fake *fake);

/* The object, with all of the bucket's key: false if there is none. Waits until no request is under
 * way. */
bool fake_get(struct fake *fake, const char *key, struct cairn_buffer *ret);
void fake_put(struct fake *fake, const char *key, const char *text);
unsigned fake_requests(struct fake *fake); /* that were read whole or were cut */
unsigned fake_uploads(struct fake *fake);  /* unfinished ones */

/* An answer with an S3 error in it, for rules: free it. */
char *fake_error(unsigned status, const char *code, const char *more_headers);
char *fake_answer(unsigned status, const char *headers, const char *body);

#endif
