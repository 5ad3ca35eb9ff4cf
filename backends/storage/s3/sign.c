/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS signature version 4, as Amazon's documentation gives it: a canonical form of the request, its
 * hash in a string to sign, and an HMAC of that under a key that is derived from the secret, the
 * day and the region.
 *
 * What is encoded here is what goes over the wire: the caller builds the URL from the same buffers,
 * so that the two cannot differ.
 */
#include "backends/storage/s3/sign.h"

#include "cairn/cairn.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define DATE_SIZE 8 /* of amz_date: the day */

static bool is_kept(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int crn_s3_encode(struct cairn_buffer *out, const char *text, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++) {
        char coded[3] = {'%', digits[*p >> 4], digits[*p & 15]};
        bool kept = is_kept(*p) || (keep_slash && *p == '/');
        int r = crn_buf_append(out, kept ? (const void *)p : coded, kept ? 1 : sizeof coded);
        if (r < 0)
            return r;
    }
    return 0;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct crn_s3_pair *first = a, *second = b;
    int r = strcmp(first->name, second->name);
    return r != 0 ? r : strcmp(first->value, second->value);
}

static int append_text(struct cairn_buffer *out, const char *text)
{
    return crn_buf_append(out, text, strlen(text));
}

int crn_s3_encode_query(struct cairn_buffer *out, struct crn_s3_pair *pairs, size_t count)
{
    /* No name that is used here begins another one, so encoding does not change their order. */
    if (count > 1)
        qsort(pairs, count, sizeof *pairs, compare_pairs);
    for (size_t i = 0; i < count; i++)
        if ((i > 0 && append_text(out, "&") < 0) || crn_s3_encode(out, pairs[i].name, false) < 0 ||
            append_text(out, "=") < 0 || crn_s3_encode(out, pairs[i].value, false) < 0)
            return CAIRN_ENOMEM;
    return 0;
}

void crn_s3_hash_hex(const uint8_t hash[32], char ret[CRN_S3_HASH_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        ret[2 * i] = digits[hash[i] >> 4];
        ret[2 * i + 1] = digits[hash[i] & 15];
    }
    ret[64] = 0;
}

int crn_s3_hash(const void *data, size_t size, char ret[CRN_S3_HASH_HEX])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (EVP_Digest(data, size, hash, NULL, EVP_sha256(), NULL) != 1)
        return CAIRN_EINTERNAL;
    crn_s3_hash_hex(hash, ret);
    return 0;
}

static int hmac(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret[32])
{
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, (int)key_size, data, size, ret, &n) != NULL && n == 32
               ? 0
               : CAIRN_EINTERNAL;
}

static int signing_key(const struct crn_s3_signing *s, uint8_t key[32])
{
    CRN_AUTO_BUFFER struct cairn_buffer secret = {0};
    static const char service[] = "s3", end[] = "aws4_request";
    if (append_text(&secret, "AWS4") < 0 || append_text(&secret, s->secret_key) < 0)
        return CAIRN_ENOMEM;
    int r = hmac(secret.data, secret.size, s->amz_date, DATE_SIZE, key);
    OPENSSL_cleanse(secret.data, secret.size);
    if (r < 0 || hmac(key, 32, s->region, strlen(s->region), key) < 0 ||
        hmac(key, 32, service, sizeof service - 1, key) < 0 ||
        hmac(key, 32, end, sizeof end - 1, key) < 0)
        return CAIRN_EINTERNAL;
    return 0;
}

/* Blanks at both ends do not count. */
static int append_trimmed(struct cairn_buffer *out, const char *value)
{
    value += strspn(value, " \t");
    size_t n = strlen(value);
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
        n--;
    return crn_buf_append(out, value, n);
}

static int append_names(struct cairn_buffer *out, const struct crn_s3_signing *s)
{
    for (size_t i = 0; i < s->header_count; i++)
        if ((i > 0 && append_text(out, ";") < 0) || append_text(out, s->headers[i].name) < 0)
            return CAIRN_ENOMEM;
    return 0;
}

static int canonical_request(const struct crn_s3_signing *s, struct cairn_buffer *out)
{
    if (append_text(out, s->method) < 0 || append_text(out, "\n") < 0 ||
        append_text(out, s->path) < 0 || append_text(out, "\n") < 0 ||
        append_text(out, s->query) < 0 || append_text(out, "\n") < 0)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < s->header_count; i++)
        if (append_text(out, s->headers[i].name) < 0 || append_text(out, ":") < 0 ||
            append_trimmed(out, s->headers[i].value) < 0 || append_text(out, "\n") < 0)
            return CAIRN_ENOMEM;
    if (append_text(out, "\n") < 0 || append_names(out, s) < 0 || append_text(out, "\n") < 0 ||
        append_text(out, s->payload_hash) < 0)
        return CAIRN_ENOMEM;
    return 0;
}

static int append_scope(struct cairn_buffer *out, const struct crn_s3_signing *s)
{
    return crn_buf_append(out, s->amz_date, DATE_SIZE) < 0 || append_text(out, "/") < 0 ||
                   append_text(out, s->region) < 0 || append_text(out, "/s3/aws4_request") < 0
               ? CAIRN_ENOMEM
               : 0;
}

static int string_to_sign(const struct crn_s3_signing *s, struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer request = {0};
    char hash[CRN_S3_HASH_HEX];
    int r = canonical_request(s, &request);
    if (r == 0)
        r = crn_s3_hash(request.data, request.size, hash);
    if (r < 0)
        return r;
    return append_text(out, "AWS4-HMAC-SHA256\n") < 0 || append_text(out, s->amz_date) < 0 ||
                   append_text(out, "\n") < 0 || append_scope(out, s) < 0 ||
                   append_text(out, "\n") < 0 || append_text(out, hash) < 0
               ? CAIRN_ENOMEM
               : 0;
}

int crn_s3_sign(const struct crn_s3_signing *s, struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    uint8_t key[32], signature[32];
    char hex[CRN_S3_HASH_HEX];
    if (s->header_count > 1)
        qsort(s->headers, s->header_count, sizeof *s->headers, compare_pairs);
    int r = string_to_sign(s, &text);
    if (r == 0)
        r = signing_key(s, key);
    if (r == 0)
        r = hmac(key, sizeof key, text.data, text.size, signature);
    OPENSSL_cleanse(key, sizeof key);
    if (r < 0)
        return r;
    crn_s3_hash_hex(signature, hex);
    return append_text(out, "AWS4-HMAC-SHA256 Credential=") < 0 ||
                   append_text(out, s->access_key) < 0 || append_text(out, "/") < 0 ||
                   append_scope(out, s) < 0 || append_text(out, ", SignedHeaders=") < 0 ||
                   append_names(out, s) < 0 || append_text(out, ", Signature=") < 0 ||
                   append_text(out, hex) < 0
               ? CAIRN_ENOMEM
               : 0;
}
