/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single objects: put, create, get, stat.
 *
 * put() and create() both ask with `If-None-Match: *`, so neither ever changes an object. They
 * differ in what they do when the key is taken: for create() somebody else was first, unless an
 * ambiguous try of our own was; put() compares, since it may be repeated.
 *
 * After an ambiguous try of create() the key is read back. The same bytes: ours, or as good as ours
 * (records have a uuid, so nobody else writes these bytes). Other bytes: CAIRN_EEXIST. Nothing
 * there is no proof of failure, since the request may still be on its way: CAIRN_EUNKNOWN (P1, P7).
 */
#include "backends/storage/s3/methods.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define COMPARE_BYTES ((size_t)256 << 10)

int crn_s3_flush(cairn_store *store, cairn_error **reterr)
{
    (void)store, (void)reterr;
    return 0; /* what a request has stored is durable when it is answered */
}

static int check_key(const struct crn_s3 *s3, const char *key, cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    size_t n = strlen(key) + strlen(s3->config.prefix);
    return n <= CRN_STORE_KEY_MAX
               ? 0
               : crn_err_fail(reterr, CAIRN_EINVAL, key,
                              "key '%s' is %zu bytes long with the store's prefix, at most %d", key,
                              n, CRN_STORE_KEY_MAX);
}

/* ---- reading ---- */

static int size_of(struct crn_s3 *s3, const char *key, uint64_t *ret_size, cairn_error **reterr)
{
    cairn_object_stat stat;
    CRN_TRY(crn_s3_stat(&s3->base, key, &stat, reterr));
    *ret_size = stat.size;
    return 0;
}

int crn_s3_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
               cairn_sink *sink, cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    char range[64];
    CRN_TRY(check_key(s3, key, reterr));
    const bool is_whole = offset == 0 && size == UINT64_MAX;
    /* What is known beforehand needs no question, nor does all of it; an empty range cannot be
     * asked for. */
    if (!is_whole && (size == UINT64_MAX || size == 0)) {
        uint64_t total;
        CRN_TRY(size_of(s3, key, &total, reterr));
        CRN_TRY(crn_store_check_range(key, total, offset, size, &size, reterr));
    }
    if (size == 0)
        return 0;
    if (!is_whole && offset > UINT64_MAX - size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key, "object '%s' does not have that range",
                            key);
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = "GET",
        .key = key,
        .sink = sink,
        .sink_size = size,
        .range_start = offset,
        .range_end = is_whole ? 0 : offset + size,
        .wants_etag = true,
    };
    if (is_whole)
        return crn_s3_perform(s3, &request, reterr);
    (void)snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)offset,
                   (unsigned long long)(offset + size - 1));
    crn_s3_request_header(&request, "Range", range);
    return crn_s3_perform(s3, &request, reterr);
}

int crn_s3_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_TRY(check_key(s3, key, reterr));
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {.method = "HEAD", .key = key, .wants_etag = true};
    CRN_TRY(crn_s3_perform(s3, &request, reterr));
    if (request.content_length == UINT64_MAX)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "the server does not tell the size of '%s' in bucket '%s'", key,
                            s3->config.bucket);
    *ret_stat = (cairn_object_stat){request.content_length, request.modified_ms};
    return 0;
}

/* ---- comparing what is there with what should be ---- */

struct comparison {
    cairn_sink sink;
    cairn_source *source;
    bool differs;
    uint8_t piece[COMPARE_BYTES];
};

static int compare_piece(cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                         cairn_error **reterr)
{
    struct comparison *comparison = (struct comparison *)sink;
    if (offset == 0)
        comparison->differs = false;
    for (size_t done = 0; done < n;) {
        size_t step = n - done < COMPARE_BYTES ? n - done : COMPARE_BYTES;
        CRN_TRY(comparison->source->read(comparison->source, offset + done, comparison->piece, step,
                                         reterr));
        comparison->differs |= memcmp(comparison->piece, (const uint8_t *)data + done, step) != 0;
        done += step;
    }
    return 0;
}

int crn_s3_has_bytes(struct crn_s3 *s3, const char *key, cairn_source *source, cairn_error **reterr)
{
    uint64_t size;
    CRN_TRY(size_of(s3, key, &size, reterr));
    if (size != source->size)
        return 0;
    CRN_AUTO_FREE struct comparison *comparison = calloc(1, sizeof *comparison);
    if (comparison == NULL)
        return crn_err_nomem(reterr);
    comparison->sink.write = compare_piece;
    comparison->source = source;
    int r = size == 0 ? 0 : crn_s3_get(&s3->base, key, 0, size, &comparison->sink, reterr);
    return r < 0 ? r : !comparison->differs;
}

static int raise_exists(const struct crn_s3 *s3, const char *key, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EEXIST, key, "object '%s' in bucket '%s' exists already", key,
                        s3->config.bucket);
}

/* ---- writing ---- */

static void only_if_absent(const struct crn_s3 *s3, struct crn_s3_request *request)
{
    /* A server that does not know the header would refuse the whole request. */
    if (!s3->config.single_writer_unsafe)
        crn_s3_request_header(request, "If-None-Match", "*");
}

static int settle_put(struct crn_s3 *s3, const char *key, cairn_source *source,
                      cairn_error **reterr)
{
    int r = crn_s3_has_bytes(s3, key, source, reterr);
    return r < 0 ? r : r == 1 ? 0 : raise_exists(s3, key, reterr);
}

int crn_s3_put(cairn_store *store, const char *key, cairn_source *source, cairn_put_how *ret_how,
               cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    CRN_TRY(check_key(s3, key, reterr));
    *ret_how = CAIRN_PUT_COPIED;
    bool in_parts = source->size >= s3->config.multipart_bytes;
    /* Neither parts nor a server without the header know of "only if absent". Nobody else writes
     * under a data object's name, so asking first is enough. */
    if (in_parts || s3->config.single_writer_unsafe) {
        int r = crn_s3_stat(store, key, &stat, &error);
        if (r == 0)
            return settle_put(s3, key, source, reterr);
        if (r != CAIRN_ENOTFOUND)
            return crn_err_move(reterr, &error, r);
        cairn_error_free(CRN_TAKE(error));
    }
    if (in_parts)
        return crn_s3_put_parts(s3, key, source, reterr);
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = "PUT", .key = key, .source = source, .wants_etag = true};
    only_if_absent(s3, &request);
    int r = crn_s3_perform(s3, &request, &error);
    if (r == CAIRN_EEXIST)
        return settle_put(s3, key, source, reterr);
    if (r < 0 && request.was_ambiguous && crn_s3_has_bytes(s3, key, source, NULL) == 1)
        return 0;
    /* After all tries it may still appear. */
    if (r < 0 && request.was_ambiguous)
        return crn_err_fail(reterr, CAIRN_EUNKNOWN, key, "whether '%s' was stored is not known: %s",
                            key, cairn_error_message(error));
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

/* What an ambiguous create has come to, as far as it can be told. */
static int read_back(struct crn_s3 *s3, const char *key, const void *data, size_t size,
                     const cairn_error *why, cairn_error **reterr)
{
    struct crn_bytes_source source;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_bytes_source_init(&source, data, size);
    int r = crn_s3_has_bytes(s3, key, &source.source, &error);
    if (r == 1)
        return 0;
    if (r == 0)
        return raise_exists(s3, key, reterr);
    return crn_err_fail(reterr, CAIRN_EUNKNOWN, key,
                        "whether '%s' was created in bucket '%s' is not known: %s", key,
                        s3->config.bucket, cairn_error_message(why));
}

int crn_s3_create(cairn_store *store, const char *key, const void *data, size_t size,
                  cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(check_key(s3, key, reterr));
    if (s3->config.single_writer_unsafe) {
        cairn_object_stat stat;
        int r = crn_s3_stat(store, key, &stat, &error);
        if (r == 0)
            return raise_exists(s3, key, reterr);
        if (r != CAIRN_ENOTFOUND)
            return crn_err_move(reterr, &error, r);
        cairn_error_free(CRN_TAKE(error));
    }
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = "PUT",
        .key = key,
        .body = data,
        .body_size = size,
        .once_sent = true,
        .wants_etag = true,
    };
    only_if_absent(s3, &request);
    int r = crn_s3_perform(s3, &request, &error);
    if (r == 0)
        return 0;
    if (request.was_ambiguous)
        return read_back(s3, key, data, size, error, reterr);
    return r == CAIRN_EEXIST ? raise_exists(s3, key, reterr) : crn_err_move(reterr, &error, r);
}
