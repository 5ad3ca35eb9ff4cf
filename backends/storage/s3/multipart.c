/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large objects in parts: several at once, by threads of this call. A source can only be read in
 * order, so whichever thread is free reads the next part into a buffer of its own, under a lock,
 * and sends it without one. Memory: PARTS_AT_ONCE buffers of part_bytes, and of all uploads of a
 * store PART_BUFFERS_MAX: when many run at once, each goes on with fewer threads.
 *
 * The object appears when the upload is completed; until then there is nothing under its key, and
 * afterwards it is whole. A failure aborts the upload; what a crash leaves is removed by reap().
 * A completion whose reply was lost may be answered with NoSuchUpload when it is repeated: then the
 * key's size tells.
 */
#include "backends/storage/s3/methods.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_AT_ONCE 4u
#define PART_BUFFERS_MAX 8u
#define PARTS_MAX 10000u

struct upload {
    struct crn_s3 *s3;
    const char *key;
    cairn_source *source;
    const char *id;
    uint64_t part_bytes;
    uint32_t part_count;
    char (*etags)[128];
    /* Guarded by lock. */
    struct crn_mutex lock;
    uint32_t next_part;
    int code; /* the first failure */
    cairn_error *error;
};

static int begin(struct upload *upload, struct cairn_buffer *id, cairn_error **reterr)
{
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {.method = "POST", .key = upload->key};
    crn_s3_request_query(&request, "uploads", "");
    CRN_TRY(crn_s3_perform(upload->s3, &request, reterr));
    return crn_s3_read_element(request.reply.data, request.reply.size, "UploadId", id, reterr);
}

static int send_part(struct upload *upload, uint32_t part, const void *data, size_t size,
                     cairn_error **reterr)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", part + 1);
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = "PUT", .key = upload->key, .body = data, .body_size = size};
    crn_s3_request_query(&request, "partNumber", number);
    crn_s3_request_query(&request, "uploadId", upload->id);
    CRN_TRY(crn_s3_perform(upload->s3, &request, reterr));
    if (request.etag[0] == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, upload->key,
                            "the server gave no ETag for part %u of '%s'", part + 1, upload->key);
    memcpy(upload->etags[part], request.etag, sizeof request.etag);
    return 0;
}

static void note_failure(struct upload *upload, int code, cairn_error *error)
{
    crn_mutex_lock(&upload->lock);
    if (upload->code == 0) {
        upload->code = code;
        upload->error = error;
        error = NULL;
    }
    crn_mutex_unlock(&upload->lock);
    cairn_error_free(error);
}

/* false: there is none left, or it has failed. The lock is held while the source is read. */
static bool next_part(struct upload *upload, void *buffer, uint32_t *ret_part, size_t *ret_size)
{
    cairn_error *error = NULL;
    int r = 0;
    crn_mutex_lock(&upload->lock);
    bool has = upload->code == 0 && upload->next_part < upload->part_count;
    if (has) {
        uint64_t at = (uint64_t)upload->next_part * upload->part_bytes;
        uint64_t left = upload->source->size - at;
        *ret_part = upload->next_part++;
        *ret_size = (size_t)(left < upload->part_bytes ? left : upload->part_bytes);
        r = upload->source->read(upload->source, at, buffer, *ret_size, &error);
    }
    crn_mutex_unlock(&upload->lock);
    if (r < 0)
        note_failure(upload, r, error);
    return has && r == 0;
}

/* Leave to have a buffer; false: none is left, and nobody is to wait for one. Who has one gives it
 * back without waiting for another, so waiting ends. */
static bool take_buffer(struct crn_s3 *s3, bool wait)
{
    crn_mutex_lock(&s3->lock);
    while (wait && s3->part_buffers == PART_BUFFERS_MAX)
        crn_cond_wait(&s3->free_part, &s3->lock);
    bool has = s3->part_buffers < PART_BUFFERS_MAX;
    s3->part_buffers += has;
    crn_mutex_unlock(&s3->lock);
    return has;
}

static void give_buffer(struct crn_s3 *s3)
{
    crn_mutex_lock(&s3->lock);
    s3->part_buffers--;
    crn_cond_signal(&s3->free_part);
    crn_mutex_unlock(&s3->lock);
}

/* With leave for a buffer, which is given back. */
static void *send_parts(void *context)
{
    struct upload *upload = context;
    void *buffer = malloc((size_t)upload->part_bytes);
    cairn_error *error = NULL;
    uint32_t part;
    size_t size;
    if (buffer == NULL)
        note_failure(upload, crn_err_nomem(&error), error);
    while (buffer != NULL && next_part(upload, buffer, &part, &size)) {
        error = NULL;
        int r = send_part(upload, part, buffer, size, &error);
        if (r < 0)
            note_failure(upload, r, error);
    }
    free(buffer);
    give_buffer(upload->s3);
    return NULL;
}

static int send_all(struct upload *upload, cairn_error **reterr)
{
    pthread_t threads[PARTS_AT_ONCE - 1];
    size_t started = 0;
    CRN_AUTO_ERROR cairn_error *ignored = NULL;
    (void)take_buffer(upload->s3, true);
    /* Fewer do it as well. */
    for (; started < CRN_COUNT(threads) && started + 1 < upload->part_count; started++) {
        if (!take_buffer(upload->s3, false))
            break;
        if (crn_thread_start(&threads[started], "cairn-parts", send_parts, upload, &ignored) < 0) {
            give_buffer(upload->s3);
            break;
        }
    }
    (void)send_parts(upload);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL); /* it was started, and nobody else joins it */
    return upload->code < 0 ? crn_err_move(reterr, &upload->error, upload->code) : 0;
}

static int list_parts(const struct upload *upload, struct cairn_buffer *body)
{
    if (crn_buf_printf(body, "<CompleteMultipartUpload>") < 0)
        return CAIRN_ENOMEM;
    for (uint32_t i = 0; i < upload->part_count; i++)
        if (crn_buf_printf(body, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1) < 0 ||
            crn_s3_xml_escape(body, upload->etags[i]) < 0 ||
            crn_buf_printf(body, "</ETag></Part>") < 0)
            return CAIRN_ENOMEM;
    return crn_buf_printf(body, "</CompleteMultipartUpload>");
}

static int complete(struct upload *upload, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer body = {0}, etag = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    if (list_parts(upload, &body) < 0)
        return crn_err_nomem(reterr);
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = "POST", .key = upload->key, .body = body.data, .body_size = body.size};
    crn_s3_request_query(&request, "uploadId", upload->id);
    int r = crn_s3_perform(upload->s3, &request, &error);
    /* A 200 without a result is somebody else's. */
    bool in_doubt = request.was_ambiguous || r == 0;
    if (r == 0)
        r = crn_s3_read_element(request.reply.data, request.reply.size, "ETag", &etag, &error);
    if (r == 0)
        return 0;
    /* libcurl, too, sends a request again when a kept connection turns out to be dead, and the
     * upload that the first one has completed is not there for the second. */
    if ((in_doubt || r == CAIRN_ENOTFOUND) &&
        crn_s3_stat(&upload->s3->base, upload->key, &stat, NULL) == 0 &&
        stat.size == upload->source->size)
        return 0;
    if (in_doubt)
        return crn_err_fail(reterr, CAIRN_EUNKNOWN, upload->key,
                            "whether '%s' was stored is not known: %s", upload->key,
                            cairn_error_message(error));
    return crn_err_move(reterr, &error, r);
}

static void abort_upload(struct upload *upload)
{
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {.method = "DELETE", .key = upload->key};
    crn_s3_request_query(&request, "uploadId", upload->id);
    (void)crn_s3_perform(upload->s3, &request, NULL); /* else it is reaped one day */
}

int crn_s3_put_parts(struct crn_s3 *s3, const char *key, cairn_source *source, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer id = {0};
    struct upload upload = {
        .s3 = s3, .key = key, .source = source, .part_bytes = s3->config.part_bytes};
    while (source->size / upload.part_bytes >= PARTS_MAX)
        upload.part_bytes *= 2;
    upload.part_count = (uint32_t)((source->size + upload.part_bytes - 1) / upload.part_bytes);
    upload.etags = calloc(upload.part_count, sizeof *upload.etags);
    if (upload.etags == NULL)
        return crn_err_nomem(reterr);
    crn_mutex_init(&upload.lock, CRN_RANK_LEAF);
    int r = begin(&upload, &id, reterr);
    if (r == 0) {
        upload.id = (const char *)id.data;
        r = send_all(&upload, reterr);
        if (r == 0)
            r = complete(&upload, reterr);
        if (r < 0 && r != CAIRN_EUNKNOWN)
            abort_upload(&upload);
    }
    crn_mutex_done(&upload.lock);
    cairn_error_free(upload.error);
    free(upload.etags);
    return r;
}
