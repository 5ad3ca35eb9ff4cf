/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One try at one request. Everything that libcurl is told about it is told anew each time, since a
 * handle may have served any other request before.
 *
 * A body that is refused early (a failed precondition, say) may have been sent in part: what the
 * server answered counts. A body that arrives is counted against what was wanted; the status alone
 * is not enough. Redirects are not followed: the signature would be for another host.
 */
#include "backends/storage/s3/http.h"

#include "base/meter.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CONNECT_TIMEOUT_MS 3000L
#define STALL_BYTES_PER_SEC 1024L
#define STALL_SECONDS 20L
#define SKEW_ALLOWED_MS 300000 /* servers allow 15 minutes, some 5 */
#define MS_PER_MIB 1000u       /* a body may take so long on top of the request's own time */

/* What the callbacks of one try share. */
struct attempt {
    struct crn_s3_request *request;
    const struct crn_s3_config *config;
    struct crn_s3_reply *reply;
    CURL *easy;
    uint64_t started_us;
    uint64_t sent;     /* position in the body */
    uint64_t received; /* of the answer's body */
    int code;          /* of a source or a sink, or memory */
    cairn_error *error;
    bool too_large, is_strange;
    bool has_head; /* of the answer, to its end */
    uint64_t retry_after_ms;
    int64_t server_ms; /* from the Date header; 0: none */
};

/* ---- what is sent ---- */

static size_t send_body(char *to, size_t one, size_t count, void *context)
{
    struct attempt *attempt = context;
    struct crn_s3_request *request = attempt->request;
    uint64_t left = crn_s3_body_size(request) - attempt->sent;
    size_t n = one * count < left ? one * count : (size_t)left;
    if (n == 0)
        return 0;
    if (request->source == NULL) {
        memcpy(to, (const char *)request->body + attempt->sent, n);
    } else {
        attempt->code =
            request->source->read(request->source, attempt->sent, to, n, &attempt->error);
        if (attempt->code < 0)
            return CURL_READFUNC_ABORT;
    }
    attempt->sent += n;
    return n;
}

/* curl starts over when a kept connection turns out to be dead. */
static int rewind_body(void *context, curl_off_t offset, int origin)
{
    struct attempt *attempt = context;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    attempt->sent = 0;
    return CURL_SEEKFUNC_OK;
}

/* ---- what arrives ---- */

static bool is_good(const struct attempt *attempt)
{
    long status = 0;
    curl_easy_getinfo(attempt->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

/* A range that the object does not have to its end is answered with what there is; a server, or a
 * cache, that does not know ranges sends the whole object. */
static int check_range(const struct crn_s3_request *request, cairn_error **reterr)
{
    if (request->range_end == 0)
        return 0;
    /* All of it, which the length will show, is a range, too. */
    if (request->given_start == UINT64_MAX && request->range_start == 0)
        return 0;
    if (request->given_start != request->range_start)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, request->key,
                            "bytes of object '%s' from %llu on were asked for, and the server "
                            "sends others",
                            request->key, (unsigned long long)request->range_start);
    if (request->total_size < request->range_end)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, request->key,
                            "object '%s' has %llu bytes, and %llu are asked for", request->key,
                            (unsigned long long)request->total_size,
                            (unsigned long long)request->range_end);
    return 0;
}

/* How long the body of a good answer is to be. UINT64_MAX: nothing says so. */
static uint64_t wanted_bytes(const struct crn_s3_request *request)
{
    return request->sink_size != UINT64_MAX ? request->sink_size : request->content_length;
}

static size_t take_body(char *data, size_t one, size_t count, void *context)
{
    struct attempt *attempt = context;
    struct crn_s3_request *request = attempt->request;
    size_t n = one * count;
    if (request->sink == NULL || !is_good(attempt)) {
        attempt->too_large = n > CRN_S3_REPLY_BYTES_MAX - request->reply.size;
        if (!attempt->too_large && crn_buf_append(&request->reply, data, n) < 0)
            attempt->code = crn_err_nomem(&attempt->error);
        return attempt->too_large || attempt->code < 0 ? 0 : n;
    }
    if (request->wants_etag && request->etag[0] == 0) {
        attempt->is_strange = true;
        return 0;
    }
    attempt->code = check_range(request, &attempt->error);
    if (attempt->code < 0)
        return 0;
    if (wanted_bytes(request) == UINT64_MAX || /* without a length it may have no end */
        n > wanted_bytes(request) - attempt->received) {
        attempt->too_large = true;
        return 0;
    }
    attempt->code =
        request->sink->write(request->sink, attempt->received, data, n, &attempt->error);
    attempt->received += n;
    return attempt->code < 0 ? 0 : n;
}

/* The value of a header of that name, trimmed, into `ret`. */
static bool header_value(const char *line, size_t size, const char *name, char *ret,
                         size_t ret_size)
{
    size_t n = strlen(name);
    if (size <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return false;
    const char *value = line + n + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    size_t length = (size_t)(end - value);
    if (length >= ret_size)
        return false; /* nothing that we could use */
    memcpy(ret, value, length);
    ret[length] = 0;
    return true;
}

static int64_t http_time_ms(const char *text)
{
    struct tm tm = {0};
    return strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) != NULL ? (int64_t)timegm(&tm) * 1000
                                                                    : 0;
}

/* "bytes 0-9/1000" */
static void take_range(struct crn_s3_request *request, const char *value)
{
    unsigned long long start, end, total;
    if (sscanf(value, "bytes %llu-%llu/%llu", &start, &end, &total) == 3) {
        request->given_start = start;
        request->total_size = total;
    }
}

static size_t take_header(char *line, size_t one, size_t count, void *context)
{
    struct attempt *attempt = context;
    struct crn_s3_request *request = attempt->request;
    size_t size = one * count;
    char value[256];
    if (size > 5 && strncmp(line, "HTTP/", 5) == 0) { /* of the last answer, not of 100 Continue */
        request->etag[0] = 0;
        request->content_length = request->total_size = request->given_start = UINT64_MAX;
        request->modified_ms = 0;
        request->bucket_region[0] = 0;
        attempt->has_head = false;
    } else if (size <= 2) { /* the empty line */
        attempt->has_head = true;
    } else if (header_value(line, size, "etag", value, sizeof request->etag)) {
        memcpy(request->etag, value, strlen(value) + 1);
    } else if (header_value(line, size, "content-length", value, sizeof value)) {
        request->content_length = strtoull(value, NULL, 10);
    } else if (header_value(line, size, "content-range", value, sizeof value)) {
        take_range(request, value);
    } else if (header_value(line, size, "last-modified", value, sizeof value)) {
        request->modified_ms = http_time_ms(value);
    } else if (header_value(line, size, "date", value, sizeof value)) {
        attempt->server_ms = http_time_ms(value);
    } else if (header_value(line, size, "x-amz-bucket-region", value,
                            sizeof request->bucket_region)) {
        if (crn_text_is_clean(value, strlen(value)))
            memcpy(request->bucket_region, value, strlen(value) + 1);
    } else if (header_value(line, size, "retry-after", value, sizeof value)) {
        attempt->retry_after_ms = strtoull(value, NULL, 10) * 1000;
    }
    return size;
}

/* ---- what libcurl is told ---- */

static void set_method(CURL *easy, struct crn_s3_request *request, struct attempt *attempt)
{
    uint64_t size = crn_s3_body_size(request);
    bool has_body =
        size > 0 || strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0;
    if (strcmp(request->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (has_body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, send_body);
        curl_easy_setopt(easy, CURLOPT_READDATA, attempt);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_body);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, attempt);
    }
    if (strcmp(request->method, "HEAD") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static uint64_t timeout_for(const struct crn_s3_config *c, uint64_t bytes)
{
    return c->request_timeout_ms + (bytes >> 20) * MS_PER_MIB;
}

/* What is read whole has no size before the answer begins; curl cannot be told then, so it asks. */
static int check_time(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                      curl_off_t up_now)
{
    const struct attempt *attempt = context;
    (void)now, (void)up_total, (void)up_now;
    uint64_t allowed_ms = timeout_for(attempt->config, total > 0 ? (uint64_t)total : 0);
    return crn_now_us() - attempt->started_us > allowed_ms * 1000;
}

static void set_time(struct attempt *attempt, CURL *easy)
{
    const struct crn_s3_request *request = attempt->request;
    const bool is_whole = request->sink != NULL && request->sink_size == UINT64_MAX;
    uint64_t bytes = request->sink != NULL ? request->sink_size : crn_s3_body_size(request);
    uint64_t timeout_ms = is_whole ? 0 : timeout_for(attempt->config, bytes);
    attempt->started_us = crn_now_us();
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > LONG_MAX ? LONG_MAX : (long)timeout_ms);
    if (!is_whole)
        return;
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, check_time);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, attempt);
}

static void set_connection(const struct crn_s3 *s3, CURL *easy, char *error_text)
{
    const struct crn_s3_config *c = &s3->config;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_SEC);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)CRN_S3_IO_BYTES);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)CRN_S3_IO_BYTES);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text);
    if (c->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
}

/* ---- the try ---- */

/* A body that came short, or long, under a good status; or a head without its end, which curl takes
 * for one if the connection ends in an orderly way. */
static void check_length(const struct attempt *attempt)
{
    const struct crn_s3_request *request = attempt->request;
    if (attempt->reply->transport == CURLE_OK && !attempt->has_head)
        attempt->reply->transport = CURLE_PARTIAL_FILE;
    if (attempt->reply->transport != CURLE_OK || request->sink == NULL || !is_good(attempt) ||
        attempt->received == wanted_bytes(request))
        return;
    attempt->reply->transport = CURLE_PARTIAL_FILE;
}

static int run(struct crn_s3 *s3, struct attempt *attempt, struct curl_slist *headers,
               const struct crn_s3_target *target, char *error_text)
{
    CURL *easy = attempt->easy;
    struct crn_s3_request *request = attempt->request;
    curl_easy_reset(easy);
    set_connection(s3, easy, error_text);
    set_time(attempt, easy);
    set_method(easy, request, attempt);
    curl_easy_setopt(easy, CURLOPT_URL, (const char *)target->url.data);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, attempt);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, attempt);
    /* On a connection that it has used before, curl sends a request again by itself when there is
     * no answer: what has happened twice could not be told from what somebody else has done. */
    if (request->once_sent)
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    attempt->reply->transport = curl_easy_perform(easy);
    if (attempt->reply->transport == CURLE_ABORTED_BY_CALLBACK) { /* check_time()'s */
        attempt->reply->transport = CURLE_OPERATION_TIMEDOUT;
        error_text[0] = 0;
    }
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &request->status);
    curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &attempt->reply->certificate);
    curl_off_t uploaded = 0;
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    atomic_fetch_add(&s3->counters.requests, 1);
    atomic_fetch_add(&s3->counters.sent_bytes, (uint64_t)uploaded);
    atomic_fetch_add(&s3->counters.received_bytes, attempt->received + request->reply.size);
    crn_meter_charge((uint64_t)uploaded, attempt->received + request->reply.size);
    check_length(attempt);
    /* Whoever has all of the body may act on it. */
    attempt->reply->was_sent = attempt->sent == crn_s3_body_size(request);
    attempt->reply->status = request->status;
    attempt->reply->is_strange = is_good(attempt) && request->wants_etag && request->etag[0] == 0;
    if (attempt->is_strange) /* it was not read to its end */
        attempt->reply->transport = CURLE_OK;
    return attempt->code;
}

/* An answer to HEAD has no body, so the refusal has to be guessed from the clocks. */
static void learn_skew(struct crn_s3 *s3, const struct crn_s3_request *request,
                       const struct attempt *attempt, struct crn_s3_error_body *body)
{
    static const char code[] = "RequestTimeTooSkewed";
    int64_t skew_ms = attempt->server_ms - crn_wall_ms();
    if (attempt->server_ms == 0)
        return;
    if (request->status == 403 && body->code[0] == 0 &&
        llabs(skew_ms - (int64_t)atomic_load(&s3->skew_ms)) > SKEW_ALLOWED_MS)
        memcpy(body->code, code, sizeof code);
    if (strcmp(body->code, code) == 0)
        atomic_store(&s3->skew_ms, skew_ms);
}

int crn_s3_try(struct crn_s3 *s3, struct crn_s3_connection *connection,
               struct crn_s3_request *request, struct crn_s3_reply *ret_reply,
               struct crn_s3_error_body *ret_body, uint64_t *ret_retry_after_ms,
               char error_text[CURL_ERROR_SIZE], cairn_error **reterr)
{
    CRN_CLEANUP(crn_s3_target_done) struct crn_s3_target target = {0};
    struct curl_slist *headers = NULL;
    char hash[CRN_S3_HASH_HEX];
    struct attempt attempt = {
        .request = request, .config = &s3->config, .reply = ret_reply, .easy = connection->easy};
    *ret_reply = (struct crn_s3_reply){.code = "", .message = ""};
    error_text[0] = 0;
    crn_buf_clear(&request->reply);
    request->status = 0;
    CRN_TRY(crn_s3_payload_hash(s3, request, hash, reterr));
    int r = crn_s3_target_make(s3, request, &target);
    if (r == 0)
        r = crn_s3_headers_make(s3, request, &target, hash, &headers);
    if (r == 0)
        r = run(s3, &attempt, headers, &target, error_text);
    curl_slist_free_all(headers);
    if (attempt.code < 0)
        return crn_err_move(reterr, &attempt.error, attempt.code);
    if (r < 0)
        return crn_err_nomem(reterr);
    if (attempt.too_large)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, request->key,
                            "the server sends more than was asked for");
    /* A 200 may hold an error, too; only small answers are worth a look. */
    if (request->sink == NULL || !is_good(&attempt))
        crn_s3_read_error(request->reply.data, request->reply.size, ret_body);
    else
        *ret_body = (struct crn_s3_error_body){0};
    ret_reply->code = ret_body->code;
    ret_reply->message = ret_body->message;
    *ret_retry_after_ms = attempt.retry_after_ms;
    learn_skew(s3, request, &attempt, ret_body);
    return 0;
}
