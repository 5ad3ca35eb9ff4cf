/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy that the server makes: between buckets and prefixes of one server and one key. Objects
 * over 5 GiB would have to be copied in parts; those are left to the caller, who sends them.
 *
 * No server is trusted with "only if absent" here (some ignore it): the key is asked for first,
 * which is enough, since nobody else writes under a data object's name.
 */
#include "backends/storage/s3/methods.h"

#include <string.h>

#define PIECE_BYTES ((size_t)4 << 20)
#define COPY_BYTES_MAX ((uint64_t)5 << 30)

static bool is_same_server(const struct crn_s3 *a, const struct crn_s3 *b)
{
    return strcmp(a->config.host, b->config.host) == 0 &&
           strcmp(a->config.scheme, b->config.scheme) == 0 &&
           strcmp(a->config.access_key, b->config.access_key) == 0;
}

/* An object as a source, for comparing it with another one. */
struct remote {
    cairn_source source;
    cairn_store *store;
    const char *key;
    struct cairn_buffer piece; /* from `start` on */
    uint64_t start;
};

struct piece_sink {
    cairn_sink sink;
    struct cairn_buffer *piece;
};

static int take_piece(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct piece_sink *sink = (struct piece_sink *)base;
    if (offset == 0)
        crn_buf_clear(sink->piece);
    return crn_buf_append(sink->piece, data, n) < 0 ? crn_err_nomem(reterr) : 0;
}

static int read_remote(cairn_source *base, uint64_t offset, void *data, size_t n,
                       cairn_error **reterr)
{
    struct remote *remote = (struct remote *)base;
    struct piece_sink sink = {.sink = {.write = take_piece}, .piece = &remote->piece};
    if (offset < remote->start || offset + n > remote->start + remote->piece.size) {
        uint64_t left = base->size - offset;
        uint64_t size = left < PIECE_BYTES ? left : PIECE_BYTES;
        crn_buf_clear(&remote->piece);
        remote->start = offset;
        CRN_TRY(crn_s3_get(remote->store, remote->key, offset, size > n ? size : n, &sink.sink,
                           reterr));
    }
    memcpy(data, remote->piece.data + (offset - remote->start), n);
    return 0;
}

/* What is there already may be what an earlier try made. */
static int settle_copy(struct crn_s3 *s3, const char *key, cairn_store *from, const char *from_key,
                       uint64_t size, cairn_error **reterr)
{
    struct remote remote = {
        .source = {.size = size, .read = read_remote}, .store = from, .key = from_key};
    int r = crn_s3_has_bytes(s3, key, &remote.source, reterr);
    crn_buf_done(&remote.piece);
    return r < 0    ? r
           : r == 1 ? 0
                    : crn_err_fail(reterr, CAIRN_EEXIST, key, "object '%s' exists already", key);
}

int crn_s3_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                cairn_put_how *ret_how, cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_AUTO_BUFFER struct cairn_buffer source = {0}, etag = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat wanted, stat;
    CRN_TRY(crn_store_check_key(key, reterr));
    CRN_TRY(crn_store_check_key(from_key, reterr));
    if (from->ops != store->ops || !is_same_server(s3, crn_s3_of(from)))
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, key, "the source is on another server");
    CRN_TRY(crn_s3_stat(from, from_key, &wanted, reterr));
    if (wanted.size > COPY_BYTES_MAX)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, key, "the source is over 5 GiB");
    int r = crn_s3_stat(store, key, &stat, &error);
    if (ret_how != NULL)
        *ret_how = CAIRN_PUT_CLONED;
    if (r == 0)
        return settle_copy(s3, key, from, from_key, wanted.size, reterr);
    if (r != CAIRN_ENOTFOUND)
        return crn_err_move(reterr, &error, r);
    cairn_error_free(CRN_TAKE(error));
    if (crn_buf_printf(&source, "/%s/", crn_s3_of(from)->config.bucket) < 0 ||
        crn_s3_encode(&source, crn_s3_of(from)->config.prefix, true) < 0 ||
        crn_s3_encode(&source, from_key, true) < 0)
        return crn_err_nomem(reterr);
    CRN_CLEANUP(crn_s3_request_done) struct crn_s3_request request = {.method = "PUT", .key = key};
    request.signed_headers[request.signed_header_count++] =
        (struct crn_s3_pair){"x-amz-copy-source", (const char *)source.data};
    r = crn_s3_perform(s3, &request, &error);
    bool in_doubt = request.was_ambiguous || r == 0;
    if (r == 0)
        r = crn_s3_read_element(request.reply.data, request.reply.size, "ETag", &etag, &error);
    if (r == 0)
        return 0;
    /* The reply was lost, or is somebody else's: what is there tells. */
    if (in_doubt && settle_copy(s3, key, from, from_key, wanted.size, NULL) == 0)
        return 0;
    if (in_doubt)
        return crn_err_fail(reterr, CAIRN_EUNKNOWN, key, "whether '%s' was copied is not known: %s",
                            key, cairn_error_message(error));
    return crn_err_move(reterr, &error, r);
}
