/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as it goes to the server: host, path and query, the hash of its body, and the headers
 * with the signature over all of them.
 *
 * Over http what is sent is part of the signature, so that nobody between can change it: then a
 * body is read once to be hashed, and again to be sent. Where the source has a local file, that is
 * read for the hash.
 */
#include "backends/storage/s3/http.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPECT_BYTES ((uint64_t)1 << 20)

/* A local file, as a source. */
struct file_source {
    cairn_source source;
    int fd;
    const char *path;
};

static int read_file(cairn_source *source, uint64_t offset, void *data, size_t n,
                     cairn_error **reterr)
{
    const struct file_source *file = (struct file_source *)source;
    return crn_file_pread_all(file->fd, data, n, offset, file->path, reterr);
}

static int hash_source(cairn_source *source, char ret[CRN_S3_HASH_HEX], cairn_error **reterr)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    CRN_AUTO_FREE uint8_t *piece = malloc(CRN_S3_IO_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int r = piece == NULL || context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1
                ? crn_err_nomem(reterr)
                : 0;
    for (uint64_t at = 0; r == 0 && at < source->size;) {
        size_t n =
            source->size - at < CRN_S3_IO_BYTES ? (size_t)(source->size - at) : CRN_S3_IO_BYTES;
        r = source->read(source, at, piece, n, reterr);
        if (r == 0 && EVP_DigestUpdate(context, piece, n) != 1)
            r = crn_err_nomem(reterr);
        at += n;
    }
    if (r == 0 && EVP_DigestFinal_ex(context, hash, NULL) != 1)
        r = crn_err_nomem(reterr);
    EVP_MD_CTX_free(context);
    if (r == 0)
        crn_s3_hash_hex(hash, ret);
    return r;
}

/* The file that the source reads, while nothing has to wait for a limit, or to be hashed otherwise,
 * as when it is sent. 1: done. 0: there is none that can be read. */
static int hash_file(const cairn_source *source, char ret[CRN_S3_HASH_HEX], cairn_error **reterr)
{
    CRN_AUTO_FD int fd =
        source->link_path != NULL ? open(source->link_path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    struct file_source file = {
        .source = {.size = source->size, .read = read_file}, .fd = fd, .path = source->link_path};
    CRN_TRY(hash_source(&file.source, ret, reterr));
    return 1;
}

/* Over http, what is sent is part of the signature, so that nobody between can change it. */
int crn_s3_payload_hash(const struct crn_s3 *s3, const struct crn_s3_request *request,
                        char ret[CRN_S3_HASH_HEX], cairn_error **reterr)
{
    if (request->source == NULL && request->body_size == 0) {
        memcpy(ret, CRN_S3_EMPTY_HASH, sizeof CRN_S3_EMPTY_HASH);
        return 0;
    }
    if (s3->config.unsigned_payload) {
        memcpy(ret, CRN_S3_UNSIGNED, sizeof CRN_S3_UNSIGNED);
        return 0;
    }
    if (request->source != NULL) {
        int r = hash_file(request->source, ret, reterr);
        if (r != 0)
            return r < 0 ? r : 0;
        request->source->is_looked_at = 1;
        r = hash_source(request->source, ret, reterr);
        request->source->is_looked_at = 0;
        return r;
    }
    return crn_s3_hash(request->body, request->body_size, ret) < 0 ? crn_err_nomem(reterr) : 0;
}

void crn_s3_target_done(struct crn_s3_target *target)
{
    crn_buf_done(&target->host);
    crn_buf_done(&target->path);
    crn_buf_done(&target->query);
    crn_buf_done(&target->url);
}

static int append_text(struct cairn_buffer *buffer, const char *text)
{
    return crn_buf_append(buffer, text, strlen(text));
}

int crn_s3_target_make(const struct crn_s3 *s3, struct crn_s3_request *request,
                       struct crn_s3_target *t)
{
    const struct crn_s3_config *c = &s3->config;
    bool has_query = request->query_count > 0;
    if ((!c->path_style && crn_buf_printf(&t->host, "%s.", c->bucket) < 0) ||
        append_text(&t->host, c->host) < 0 || append_text(&t->path, "/") < 0)
        return CAIRN_ENOMEM;
    if (c->path_style && append_text(&t->path, c->bucket) < 0)
        return CAIRN_ENOMEM;
    if (request->key != NULL && ((c->path_style && append_text(&t->path, "/") < 0) ||
                                 crn_s3_encode(&t->path, c->prefix, true) < 0 ||
                                 crn_s3_encode(&t->path, request->key, true) < 0))
        return CAIRN_ENOMEM;
    if (append_text(&t->query, "") < 0 ||
        crn_s3_encode_query(&t->query, request->query, request->query_count) < 0)
        return CAIRN_ENOMEM;
    return crn_buf_printf(&t->url, "%s://%s%s%s%s", c->scheme, (const char *)t->host.data,
                          (const char *)t->path.data, has_query ? "?" : "",
                          has_query ? (const char *)t->query.data : "");
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    CRN_AUTO_BUFFER struct cairn_buffer line = {0};
    if (crn_buf_printf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *more = curl_slist_append(*list, (const char *)line.data);
    if (more != NULL)
        *list = more;
    return more != NULL;
}

int crn_s3_headers_make(struct crn_s3 *s3, struct crn_s3_request *request,
                        const struct crn_s3_target *t, const char *hash, struct curl_slist **ret)
{
    const struct crn_s3_config *c = &s3->config;
    CRN_AUTO_BUFFER struct cairn_buffer authorization = {0};
    struct crn_s3_pair headers[CRN_S3_PAIRS_MAX + 4];
    size_t count = 0;
    char date[32];
    struct tm tm;
    time_t now = (time_t)((crn_wall_ms() + atomic_load(&s3->skew_ms)) / 1000);
    (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    headers[count++] = (struct crn_s3_pair){"host", (const char *)t->host.data};
    headers[count++] = (struct crn_s3_pair){"x-amz-date", date};
    headers[count++] = (struct crn_s3_pair){"x-amz-content-sha256", hash};
    if (c->session_token != NULL)
        headers[count++] = (struct crn_s3_pair){"x-amz-security-token", c->session_token};
    for (size_t i = 0; i < request->signed_header_count; i++)
        headers[count++] = request->signed_headers[i];
    const struct crn_s3_signing signing = {
        .access_key = c->access_key,
        .secret_key = c->secret_key,
        .region = c->region,
        .amz_date = date,
        .method = request->method,
        .path = (const char *)t->path.data,
        .query = t->query.data != NULL ? (const char *)t->query.data : "",
        .headers = headers,
        .header_count = count,
        .payload_hash = hash,
    };
    int r = crn_s3_sign(&signing, &authorization);
    if (r < 0)
        return r;
    if (!add_header(ret, "Authorization", (const char *)authorization.data))
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (!add_header(ret, headers[i].name, headers[i].value))
            return CAIRN_ENOMEM;
    /* Asking first saves sending what will be refused, but costs a turn. */
    if (crn_s3_body_size(request) < EXPECT_BYTES && !add_header(ret, "Expect", ""))
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < request->header_count; i++)
        if (!add_header(ret, request->headers[i].name, request->headers[i].value))
            return CAIRN_ENOMEM;
    return 0;
}
