/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_SIGN_H
#define CRN_STORAGE_S3_SIGN_H

#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* AWS signature version 4. Pure: no clock, no connection; whoever has the same parts gets the same
 * signature. */

#define CRN_S3_HASH_HEX 65 /* SHA-256 in hexadecimal digits, with its end */
#define CRN_S3_UNSIGNED "UNSIGNED-PAYLOAD"
#define CRN_S3_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct crn_s3_pair {
    const char *name, *value;
};

/* Append `text` percent-encoded as the signature wants it: all but A-Z a-z 0-9 - . _ ~, and '/' if
 * keep_slash. CAIRN_ENOMEM. */
int crn_s3_encode(struct cairn_buffer *out, const char *text, bool keep_slash);
/* A query of unencoded pairs, as it stands in the URL and in the signature: sorted, each with '='.
 * The pairs are sorted in place. */
int crn_s3_encode_query(struct cairn_buffer *out, struct crn_s3_pair *pairs, size_t count);

struct crn_s3_signing {
    const char *access_key, *secret_key, *region;
    const char *amz_date; /* "20260521T093000Z" */
    const char *method;
    const char *path;  /* encoded, begins with '/' */
    const char *query; /* encoded and sorted; "" for none */
    /* Every header that is signed: host, and all x-amz-... ones. Names in small letters; sorted in
     * place. */
    struct crn_s3_pair *headers;
    size_t header_count;
    const char *payload_hash; /* hexadecimal, or CRN_S3_UNSIGNED */
};
/* Append the value of the Authorization header. CAIRN_ENOMEM, CAIRN_EINTERNAL. */
int crn_s3_sign(const struct crn_s3_signing *signing, struct cairn_buffer *out);

void crn_s3_hash_hex(const uint8_t hash[32], char ret[CRN_S3_HASH_HEX]);
int crn_s3_hash(const void *data, size_t size, char ret[CRN_S3_HASH_HEX]);

#endif
