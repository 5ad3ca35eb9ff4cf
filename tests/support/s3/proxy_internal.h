/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_PROXY_INTERNAL_H
#define CRN_TESTS_S3_PROXY_INTERNAL_H

#include "base/buffer.h"
#include "tests/support/s3/proxy.h"

#include <openssl/ssl.h>
#include <stdlib.h>

/* Its threads run in the test's process, where they cannot fail a test: they end it. */
#define proxy_must(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct stream {
    int fd; /* -1: closed */
    SSL *tls;
};

/* One message, with its head: "PUT ... \r\n\r\n" and a body. */
struct request {
    struct cairn_buffer bytes; /* as it goes to the server */
    char method[16], target[2048];
};

/* proxy_http.c. false: the other side has ended it, or it is no HTTP. */
bool stream_write(struct stream *s, const void *data, size_t n);
void stream_reset(struct stream *s); /* closes it, not in an orderly way */
void stream_close(struct stream *s);
bool stream_connect(struct stream *s, unsigned port);
/* Reads all of a request, and bids a client that asks to go on. */
bool request_read(struct stream *s, struct request *ret);
void request_done(struct request *request);
bool reply_read(struct stream *s, const char *method, struct cairn_buffer *ret);

#endif
