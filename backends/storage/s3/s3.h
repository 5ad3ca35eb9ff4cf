/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_S3_H
#define CRN_STORAGE_S3_S3_H

#include "backends/storage/storage.h"
#include "base/thread.h"
#include "cairn/s3.h"
#include <curl/curl.h>
#include <stdatomic.h>

/*
 * The S3 backend, from the bottom up:
 *
 *   sign.c         SigV4: pure; a request's parts in, its Authorization out
 *   credentials.c  keys, region and endpoint from options, environment and files
 *   config.c       options and URI to struct crn_s3_config: checked, owned
 *   xml.c          listings, multi-delete results, error bodies, multipart replies (expat)
 *   failure.c      pure: what an HTTP status, an error code or a transport failure means for a call
 *   retry.c        full jitter, a budget for the whole store, deadlines
 *   message.c      a request as it goes out: target, hash of the body, signed headers
 *   http.c         one attempt at one request on one pooled connection
 *   request.c      attempts until there is an outcome: http.c, failure.c and retry.c together
 *   objects.c      put, create, get, stat
 *   multipart.c    put of large objects in parts, several at once
 *   list.c         list and list_segments, page by page
 *   remove.c       multi-delete; reap of unfinished multipart uploads
 *   probe.c        what a server can do, found out at open
 *   s3.c           open, close, the vtable
 *
 * Threads: every method may run in any number of threads. A connection (curl easy handle) is used
 * by one request at a time; the pool hands them out, at most max_connections of them, and a call
 * that finds none waits.
 *
 * Memory: bodies are read from sources and given to sinks in pieces of CRN_S3_IO_BYTES; nothing is
 * kept whole but what create() is given, listing pages and error bodies (bounded). A source that
 * cannot be read at any offset by several threads is read once, part by part, into part buffers.
 *
 * Outcomes (P1, P7): a request that may have reached the server and got no clear answer is
 * CAIRN_EUNKNOWN for create(), never a guess; put() is repeated, since its bytes are always the
 * same and names are unique.
 */

struct crn_s3_config {
    char *bucket, *prefix; /* prefix "" or ending with '/' */
    char *scheme, *host;   /* "https", "s3.example.com:9000": what the Host header has */
    bool path_style;
    char *region;
    char *access_key, *secret_key, *session_token; /* NULL token: none */
    char *ca_file;
    char *root; /* see crn_s3_store_root() */
    uint32_t max_connections;
    uint64_t part_bytes, multipart_bytes, request_timeout_ms, retry_ms;
    bool unsigned_payload, single_writer_unsafe;
};
int crn_s3_config_from_options(const cairn_s3_options *options, struct crn_s3_config *ret,
                               cairn_error **reterr);
/* What stands behind "s3:". The URI is for messages. */
int crn_s3_config_from_uri(const char *rest, const char *uri, struct crn_s3_config *ret,
                           cairn_error **reterr);
void crn_s3_config_done(struct crn_s3_config *config);

/* What tells one place from another, and opens it again where keys, region and certificates are the
 * same: "s3://bucket/prefix?endpoint=http://host:port". NULL: it is no bucket. */
const char *crn_s3_store_root(const cairn_store *store);
/* Is the store's root the directory `name` of the other one, or below it? */
bool crn_s3_store_is_within(const cairn_store *store, const cairn_store *other, const char *name);

int crn_s3_store_open_config(struct crn_s3_config *config /* taken */, bool probe,
                             cairn_store **ret_store, cairn_error **reterr);

#endif
