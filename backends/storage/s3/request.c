/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request until there is an outcome: tries, verdicts, pauses. What is told of a failure is what a
 * person needs: bucket and key, what the server said, what to check.
 */
#include "backends/storage/s3/http.h"

#include <stdlib.h>
#include <string.h>

void crn_s3_request_done(struct crn_s3_request *request)
{
    crn_buf_done(&request->reply);
}

static int tell(const struct crn_s3 *s3, const struct crn_s3_request *request,
                const struct crn_s3_reply *reply, const struct crn_s3_verdict *verdict,
                const char *error_text, cairn_error **reterr)
{
    const char *key = request->key != NULL ? request->key : "";
    const bool has_key = *key != 0; /* else it is about the bucket */
    const char *before = has_key ? "'" : "", *after = has_key ? "' in " : "";
    const char *advice_sep = verdict->advice != NULL ? "; " : "";
    const char *advice = verdict->advice != NULL ? verdict->advice : "";
    /* Worth telling only if it is not the one that we use. */
    const char *region =
        strcmp(request->bucket_region, s3->config.region) != 0 ? request->bucket_region : "";
    const char *region_sep = *region != 0 ? "; the bucket is in region '" : "";
    if (reply->transport != CURLE_OK)
        return crn_err_fail(reterr, verdict->code, key, "%s of %s%s%sbucket '%s' at '%s': %s%s%s",
                            request->method, before, key, after, s3->config.bucket, s3->config.host,
                            *error_text != 0 ? error_text : curl_easy_strerror(reply->transport),
                            advice_sep, advice);
    return crn_err_fail(reterr, verdict->code, key,
                        "%s of %s%s%sbucket '%s' at '%s': HTTP status %ld%s%s%s%s%s%s%s%s%s",
                        request->method, before, key, after, s3->config.bucket, s3->config.host,
                        reply->status, *reply->code != 0 ? ", " : "", reply->code,
                        *reply->message != 0 ? ": " : "", reply->message, advice_sep, advice,
                        region_sep, region, *region != 0 ? "'" : "");
}

int crn_s3_perform(struct crn_s3 *s3, struct crn_s3_request *request, cairn_error **reterr)
{
    struct crn_s3_retry retry = {.budget = &s3->budget,
                                 .give_up_at_us = crn_now_us() + s3->config.retry_ms * 1000};
    bool was_skewed = false;
    request->tries = 0;
    request->was_ambiguous = false;
    for (;;) {
        struct crn_s3_connection *connection;
        struct crn_s3_reply reply;
        struct crn_s3_error_body body;
        char error_text[CURL_ERROR_SIZE];
        uint64_t retry_after_ms = 0, wait_us = 0;
        CRN_TRY(crn_s3_connection_take(s3, &connection, reterr));
        int r =
            crn_s3_try(s3, connection, request, &reply, &body, &retry_after_ms, error_text, reterr);
        crn_s3_connection_give(s3, connection, r == 0 && reply.transport == CURLE_OK);
        if (r < 0) { /* ours, but the server may have done its part */
            request->was_ambiguous |= reply.was_sent;
            return r;
        }
        struct crn_s3_verdict verdict = crn_s3_judge(&reply);
        request->tries++;
        retry.tries = request->tries;
        request->was_ambiguous |= verdict.is_ambiguous;
        if (verdict.code == 0) {
            crn_s3_budget_give(&s3->budget);
            return 0;
        }
        bool again = verdict.try_again && !(verdict.is_skewed && was_skewed) &&
                     !(verdict.is_ambiguous && request->once_sent);
        was_skewed |= verdict.is_skewed;
        if (verdict.is_skewed && again)
            continue; /* with the server's time; its answer was quick */
        if (!again || !crn_s3_retry_next(&retry, crn_now_us(), crn_random_u64(),
                                         verdict.is_slow_down, retry_after_ms, &wait_us))
            return tell(s3, request, &reply, &verdict, error_text, reterr);
        atomic_fetch_add(&s3->counters.repeated, 1);
        crn_sleep_us(wait_us);
    }
}
