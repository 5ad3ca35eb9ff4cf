/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_S3_H
#define CAIRN_S3_H

/*
 * Stores in S3-compatible object stores. cairn.h includes this; what it says of errors, NULL and options
 * structs holds here. Everything but the keys can also stand in a URI:
 *
 *     s3://bucket/prefix?endpoint=http://10.0.0.7:9000&region=eu-1&ca_file=/etc/ssl/rgw.pem
 *
 * WHAT CAIRN NEEDS of the server: the ordinary requests (PUT, GET with a range, HEAD, DELETE, multi-delete,
 * ListObjectsV2, multipart upload), listings that show what was put before, and PUT with `If-None-Match: *` that
 * creates a key at most once whoever races for it. The last is what keeps two writers of a job apart, and it is
 * tried out each time a store is opened for writing. A store that does not have it, or takes the header and
 * ignores it, is refused, unless the caller vouches for there being one writer at a time (single_writer=unsafe).
 * cairn_store_caveat() then says so of the store, the log and the status of every job that opens with it, and
 * every command of the `cairn` tool that looks at it.
 *
 * CREDENTIALS, the first that is there: the options below; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
 * AWS_SESSION_TOKEN; the profile (option, AWS_PROFILE, else "default") in AWS_SHARED_CREDENTIALS_FILE or
 * ~/.aws/credentials, whose region may also be in AWS_CONFIG_FILE or ~/.aws/config. Region: option, AWS_REGION,
 * AWS_DEFAULT_REGION, the profile's, else us-east-1. Endpoint: option, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
 * else AWS's own for the region. No key is ever in a message, a manifest or a log line.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cairn_s3_options {
    uint32_t struct_size;
    const char *bucket;           /* required */
    const char *prefix;           /* of all keys; NULL or "": none. No '/' at either end */
    const char *endpoint;         /* "https://host:port"; NULL: see CREDENTIALS */
    const char *region;
    const char *access_key;       /* with secret_key; NULL: see CREDENTIALS */
    const char *secret_key;
    const char *session_token;
    const char *profile;
    const char *ca_file;          /* certificates to trust, PEM; NULL: the system's */
    int path_style;               /* 1: https://host/bucket/key, -1: https://bucket.host/key; 0: the first if an
                                     endpoint is given, else the second */
    uint32_t max_connections;     /* at once; 0: 16; at most 256 */
    uint64_t part_bytes;          /* of multipart uploads and of ranges that are read at once; 0: 16 MiB; 5 MiB to
                                     1 GiB. A store has at most eight parts to be sent in memory */
    uint64_t multipart_bytes;     /* objects from this size on go in parts; 0: 128 MiB */
    uint64_t request_timeout_ms;  /* of a small request; larger ones get a second per MiB on top. 0: 30,000 */
    uint64_t retry_ms;            /* how long one call may try again altogether; 0: 120,000 */
    uint8_t unsigned_payload;     /* 1: bodies are not part of the signature: for https only */
    uint8_t single_writer_unsafe; /* 1: the server cannot create at most once, and nobody but the caller sees to it
                                     that no two processes write to a job */
} cairn_s3_options;
#define CAIRN_S3_OPTIONS_INIT                                                                      \
    {sizeof(cairn_s3_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** Open a store in a bucket, which must exist; and find out what it can do: one small object is made and
 * removed below the prefix.
 * @return 0; CAIRN_EINVAL (an option, no credentials), CAIRN_EACCES (keys or rights), CAIRN_ENOTFOUND (no such
 *         bucket), CAIRN_EUNSUPPORTED (it cannot create at most once: the message says what to do),
 *         CAIRN_EUNAVAIL, CAIRN_ETIMEOUT, CAIRN_ENOMEM. */
CAIRN_API CAIRN_MUST_CHECK int cairn_s3_store_open(const cairn_s3_options *options,
                                                   cairn_store **ret_store, cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
