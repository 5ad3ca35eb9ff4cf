/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing: up to a thousand keys in one request; and what interrupted calls left: unfinished
 * multipart uploads, and objects of probes. All of it may be repeated: what is gone already is
 * success.
 */
#include "backends/storage/s3/methods.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_PER_REQUEST 1000u

static int make_body(const struct crn_s3 *s3, const char *const *keys, size_t n,
                     struct cairn_buffer *body)
{
    static const char head[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
                               "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                               "<Quiet>true</Quiet>";
    if (crn_buf_append(body, head, sizeof head - 1) < 0)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (crn_buf_printf(body, "<Object><Key>") < 0 ||
            crn_s3_xml_escape(body, s3->config.prefix) < 0 ||
            crn_s3_xml_escape(body, keys[i]) < 0 || crn_buf_printf(body, "</Key></Object>") < 0)
            return CAIRN_ENOMEM;
    return crn_buf_printf(body, "</Delete>");
}

/* Servers want it for this request, whatever the signature says. */
static int content_md5(const struct cairn_buffer *body, char ret[32])
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    if (EVP_Digest(body->data, body->size, sum, NULL, EVP_md5(), NULL) != 1)
        return CAIRN_EUNSUPPORTED;
    (void)EVP_EncodeBlock((unsigned char *)ret, sum, 16);
    return 0;
}

static int remove_some(struct crn_s3 *s3, const char *const *keys, size_t n, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer body = {0};
    struct crn_s3_delete_failure failure;
    char md5[32];
    if (make_body(s3, keys, n, &body) < 0)
        return crn_err_nomem(reterr);
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {.method = "POST", .body = body.data, .body_size = body.size};
    crn_s3_request_query(&request, "delete", "");
    if (content_md5(&body, md5) == 0)
        crn_s3_request_header(&request, "Content-MD5", md5);
    CRN_TRY(crn_s3_perform(s3, &request, reterr));
    CRN_TRY(crn_s3_read_delete(request.reply.data, request.reply.size, &failure, reterr));
    if (failure.code[0] == 0)
        return 0;
    const struct crn_s3_reply reply = {
        .status = 400, .code = failure.code, .message = failure.message};
    struct crn_s3_verdict verdict = crn_s3_judge(&reply);
    return crn_err_fail(reterr, verdict.code, failure.key,
                        "'%s' in bucket '%s' was not removed: %s: %s", failure.key,
                        s3->config.bucket, failure.code, failure.message);
}

int crn_s3_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_AUTO_FREE const char **batch = calloc(KEYS_PER_REQUEST, sizeof *batch);
    int first = 0;
    if (batch == NULL)
        return crn_err_nomem(reterr);
    for (size_t at = 0; at < n;) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        size_t count = 0;
        int r = 0;
        for (; at < n && count < KEYS_PER_REQUEST && r == 0; at++) {
            r = crn_store_check_key(keys[at], &error);
            if (r == 0)
                batch[count++] = keys[at];
        }
        if (r < 0 && first == 0)
            first = crn_err_move(reterr, &error, r);
        cairn_error_free(CRN_TAKE(error));
        r = count > 0 ? remove_some(s3, batch, count, &error) : 0;
        if (r < 0 && first == 0)
            first = crn_err_move(reterr, &error, r);
    }
    return first;
}

/* ---- unfinished uploads ---- */

struct reaping {
    struct crn_s3 *s3;
    int64_t before_ms;
    uint64_t count;
};

static int abort_upload(void *context, const char *key, const char *upload_id, int64_t initiated_ms)
{
    struct reaping *reaping = context;
    const char *prefix = reaping->s3->config.prefix;
    if (initiated_ms == 0 || initiated_ms > reaping->before_ms ||
        strncmp(key, prefix, strlen(prefix)) != 0)
        return 0;
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {.method = "DELETE", .key = key + strlen(prefix)};
    crn_s3_request_query(&request, "uploadId", upload_id);
    int r = crn_s3_perform(reaping->s3, &request, NULL);
    reaping->count += r == 0;
    return r == CAIRN_ENOTFOUND ? 0 : r;
}

static bool same_marker(const struct cairn_buffer *a, const struct cairn_buffer *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

int crn_s3_reap(cairn_store *store, const char *prefix, uint64_t min_age_ms, uint64_t *ret_count,
                cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    struct reaping reaping = {.s3 = s3};
    struct crn_s3_uploads_page page = {0};
    CRN_AUTO_FREE char *full = NULL;
    int64_t now_ms = crn_wall_ms() + atomic_load(&s3->skew_ms);
    reaping.before_ms = min_age_ms < (uint64_t)now_ms ? now_ms - (int64_t)min_age_ms : 0;
    CRN_TRY(crn_str_printf(&full, reterr, "%s%s", s3->config.prefix, prefix));
    int r;
    do {
        CRN_CLEANUP(crn_s3_request_done) struct crn_s3_request request = {.method = "GET"};
        CRN_AUTO_BUFFER struct cairn_buffer key = page.key_marker, id = page.id_marker;
        page.key_marker = page.id_marker = (struct cairn_buffer){0};
        crn_s3_request_query(&request, "uploads", "");
        crn_s3_request_query(&request, "prefix", full);
        if (key.size > 0)
            crn_s3_request_query(&request, "key-marker", (const char *)key.data);
        if (id.size > 0)
            crn_s3_request_query(&request, "upload-id-marker", (const char *)id.data);
        r = crn_s3_perform(s3, &request, reterr);
        if (r == 0)
            r = crn_s3_read_uploads(request.reply.data, request.reply.size, abort_upload, &reaping,
                                    &page, reterr);
        if (r == 0 && page.is_truncated && same_marker(&page.key_marker, &key) &&
            same_marker(&page.id_marker, &id))
            r = crn_err_fail(reterr, CAIRN_ECORRUPT, full,
                             "the listing of unfinished uploads in bucket '%s' does not end",
                             s3->config.bucket);
    } while (r == 0 && page.is_truncated);
    crn_buf_done(&page.key_marker);
    crn_buf_done(&page.id_marker);
    if (r == 0)
        r = crn_s3_reap_probes(s3, reaping.before_ms, &reaping.count, reterr);
    if (r == 0 && ret_count != NULL)
        *ret_count = reaping.count;
    return r;
}
