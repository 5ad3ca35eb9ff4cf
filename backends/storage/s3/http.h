/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_HTTP_H
#define CRN_STORAGE_S3_HTTP_H

#include "backends/storage/s3/failure.h"
#include "backends/storage/s3/retry.h"
#include "backends/storage/s3/s3.h"
#include "backends/storage/s3/sign.h"
#include "backends/storage/s3/xml.h"

#define CRN_S3_PAIRS_MAX 8u
#define CRN_S3_REPLY_BYTES_MAX ((size_t)16 << 20) /* of a listing's page, or an error */

/* A request, as often as it has to be tried. The caller fills in the first part; everything in it
 * must stay until the call returns. */
struct crn_s3_request {
    const char *method;
    const char *key; /* as the store's caller has it; NULL: the bucket itself */
    struct crn_s3_pair query[CRN_S3_PAIRS_MAX];
    size_t query_count;
    struct crn_s3_pair signed_headers[CRN_S3_PAIRS_MAX]; /* x-amz-..., small letters */
    size_t signed_header_count;
    struct crn_s3_pair headers[CRN_S3_PAIRS_MAX]; /* others */
    size_t header_count;
    /* The body: memory, or all of a source. */
    const void *body;
    size_t body_size;
    cairn_source *source;
    /* Where the body of a good answer goes; NULL: into `reply`. */
    cairn_sink *sink;
    uint64_t sink_size; /* exactly so many bytes are wanted; UINT64_MAX: what the server has */
    uint64_t range_start, range_end; /* of the object; end 0: no range was asked for */
    /* It is repeated until it succeeds or time is over, unless its outcome is ambiguous and
     * this is set: then the first ambiguous one ends it. */
    bool once_sent;
    bool wants_etag; /* a good answer has one: what has none is not of S3 */

    /* The last answer. */
    long status;
    struct cairn_buffer reply;
    char etag[128];
    uint64_t content_length; /* UINT64_MAX: none was told */
    uint64_t total_size;     /* of the object, from Content-Range; UINT64_MAX */
    uint64_t given_start;    /* of the range, ditto */
    int64_t modified_ms;
    char bucket_region[64]; /* where the server says that the bucket is; "": it does not */
    uint32_t tries;
    bool was_ambiguous; /* some try may have happened without our learning it */
};
void crn_s3_request_done(struct crn_s3_request *request);
static inline void crn_s3_request_query(struct crn_s3_request *r, const char *name,
                                        const char *value)
{
    r->query[r->query_count++] = (struct crn_s3_pair){name, value};
}
static inline void crn_s3_request_header(struct crn_s3_request *r, const char *name,
                                         const char *value)
{
    r->headers[r->header_count++] = (struct crn_s3_pair){name, value};
}

struct crn_s3_connection {
    struct crn_s3_connection *next; /* in the pool */
    CURL *easy;
};

struct crn_s3_counters {
    atomic_uint_fast64_t requests, repeated, sent_bytes, received_bytes;
};

/* The store. */
struct crn_s3 {
    cairn_store base;
    struct crn_s3_config config;
    struct crn_s3_budget budget;
    atomic_llong skew_ms; /* the server's clock minus ours */
    struct crn_s3_counters counters;
    /* Guarded by lock. */
    struct crn_mutex lock;
    struct crn_cond free_connection;
    struct crn_s3_connection *idle;
    uint32_t open_connections;
    struct crn_cond free_part;
    uint32_t part_buffers; /* in use: multipart.c */
};

/* connections.c */
int crn_s3_connection_take(struct crn_s3 *s3, struct crn_s3_connection **ret, cairn_error **reterr);
/* Broken ones are not kept. */
void crn_s3_connection_give(struct crn_s3 *s3, struct crn_s3_connection *connection, bool is_good);
void crn_s3_connections_close(struct crn_s3 *s3);

/* message.c: what goes to the server. Of the target all texts are zero-terminated. */
#define CRN_S3_IO_BYTES ((size_t)256 << 10) /* that are read or sent at once */
struct crn_s3_target {
    struct cairn_buffer host, path, query, url;
};
void crn_s3_target_done(struct crn_s3_target *target);
int crn_s3_target_make(const struct crn_s3 *s3, struct crn_s3_request *request,
                       struct crn_s3_target *t);
int crn_s3_payload_hash(const struct crn_s3 *s3, const struct crn_s3_request *request,
                        char ret[CRN_S3_HASH_HEX], cairn_error **reterr);
int crn_s3_headers_make(struct crn_s3 *s3, struct crn_s3_request *request,
                        const struct crn_s3_target *t, const char *hash, struct curl_slist **ret);
static inline uint64_t crn_s3_body_size(const struct crn_s3_request *request)
{
    return request->source != NULL ? request->source->size : request->body_size;
}

/* http.c: one try on one connection. 0 and *ret_reply, or an error that is not the server's: of the
 * source or the sink, or memory. error_text: CURL_ERROR_SIZE bytes. */
int crn_s3_try(struct crn_s3 *s3, struct crn_s3_connection *connection,
               struct crn_s3_request *request, struct crn_s3_reply *ret_reply,
               struct crn_s3_error_body *ret_body, uint64_t *ret_retry_after_ms,
               char error_text[CURL_ERROR_SIZE], cairn_error **reterr);

/* request.c: tries until there is an outcome. 0, or the verdict's code with an error that names
 * bucket and key, what the server said and what to check. */
int crn_s3_perform(struct crn_s3 *s3, struct crn_s3_request *request, cairn_error **reterr);

#endif
