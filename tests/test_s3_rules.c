/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the rules that decide what becomes of a request to S3: what a reply means (P7: what may
 * have happened is never called a failure), when it is tried again, and for how long. Pure code,
 * and tables.
 */
#include "backends/storage/s3/failure.h"
#include "backends/storage/s3/retry.h"
#include "backends/storage/s3/xml.h"
#include "base/error.h"
#include "tests/support/tap.h"

#include <string.h>

static struct crn_s3_verdict judge(CURLcode transport, long status, const char *code, bool was_sent)
{
    const struct crn_s3_reply reply = {.transport = transport,
                                       .status = status,
                                       .code = code,
                                       .message = "",
                                       .was_sent = was_sent};
    return crn_s3_judge(&reply);
}

START_TEST(replies)
{
    static const struct {
        long status;
        const char *s3_code;
        int code;
        bool again, ambiguous;
    } cases[] = {
        {200, "", 0, false, false},
        {204, "", 0, false, false},
        {200, "InternalError", CAIRN_EUNAVAIL, true, true},
        {200, "SomethingNew", CAIRN_EUNAVAIL, true, true},
        {412, "", CAIRN_EEXIST, false, false},
        {412, "PreconditionFailed", CAIRN_EEXIST, false, false},
        {409, "", CAIRN_EUNAVAIL, true, false},
        {409, "ConditionalRequestConflict", CAIRN_EUNAVAIL, true, false},
        {500, "", CAIRN_EUNAVAIL, true, true},
        {502, "", CAIRN_EUNAVAIL, true, true},
        {503, "", CAIRN_EUNAVAIL, true, true},
        {503, "SlowDown", CAIRN_EUNAVAIL, true, false},
        {504, "", CAIRN_EUNAVAIL, true, true},
        {599, "", CAIRN_EUNAVAIL, true, true},
        {408, "", CAIRN_ETIMEOUT, true, true},
        {429, "", CAIRN_EUNAVAIL, true, false},
        {400, "RequestTimeout", CAIRN_ETIMEOUT, true, false},
        {400, "", CAIRN_EINVAL, false, false},
        {403, "", CAIRN_EACCES, false, false},
        {404, "NoSuchKey", CAIRN_ENOTFOUND, false, false},
        {416, "", CAIRN_ECORRUPT, false, false},
        {418, "", CAIRN_EUNSUPPORTED, false, false},
        {501, "", CAIRN_EUNSUPPORTED, false, false},
        {507, "", CAIRN_ENOSPC, false, false},
        {302, "", CAIRN_EINVAL, false, false},
    };
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        struct crn_s3_verdict v = judge(CURLE_OK, cases[i].status, cases[i].s3_code, true);
        ck_assert_msg(v.code == cases[i].code && v.try_again == cases[i].again &&
                          v.is_ambiguous == cases[i].ambiguous,
                      "%ld '%s': %d %d %d", cases[i].status, cases[i].s3_code, v.code, v.try_again,
                      v.is_ambiguous);
    }
    ck_assert(judge(CURLE_OK, 403, "RequestTimeTooSkewed", true).is_skewed);
    ck_assert(judge(CURLE_OK, 503, "", true).is_slow_down);
    const struct crn_s3_reply strange = {
        .status = 200, .code = "", .message = "", .is_strange = true};
    struct crn_s3_verdict v = crn_s3_judge(&strange);
    ck_assert(v.code == CAIRN_ECORRUPT && v.is_ambiguous && !v.try_again);
}
END_TEST

/* Whatever breaks after the request was sent may have happened; before, it has not. */
START_TEST(broken_connections)
{
    static const CURLcode codes[] = {CURLE_SEND_ERROR,          CURLE_RECV_ERROR,
                                     CURLE_GOT_NOTHING,         CURLE_OPERATION_TIMEDOUT,
                                     CURLE_PARTIAL_FILE,        CURLE_WEIRD_SERVER_REPLY,
                                     CURLE_UNSUPPORTED_PROTOCOL};
    for (size_t i = 0; i < CRN_COUNT(codes); i++)
        for (int sent = 0; sent < 2; sent++)
            ck_assert_int_eq(judge(codes[i], 0, "", sent).is_ambiguous, sent);
    ck_assert(!judge(CURLE_COULDNT_CONNECT, 0, "", true).is_ambiguous);
    ck_assert(!judge(CURLE_COULDNT_RESOLVE_HOST, 0, "", true).is_ambiguous);
    ck_assert(!judge(CURLE_PEER_FAILED_VERIFICATION, 0, "", false).try_again);
}
END_TEST

START_TEST(pauses_grow_and_end)
{
    struct crn_s3_budget budget;
    uint64_t wait;
    crn_s3_budget_init(&budget);
    for (uint32_t tries = 1; tries < 12; tries++) {
        struct crn_s3_retry retry = {&budget, UINT64_MAX, tries};
        ck_assert(crn_s3_retry_next(&retry, 0, UINT64_MAX, false, 0, &wait));
        ck_assert_uint_le(wait, 20000000);
        ck_assert(crn_s3_retry_next(&retry, 0, 0, false, 0, &wait));
        ck_assert_uint_eq(wait, 0); /* full jitter */
        ck_assert(crn_s3_retry_next(&retry, 0, 0, true, 700, &wait));
        ck_assert_uint_eq(wait, 700000);
        ck_assert(crn_s3_retry_next(&retry, 0, 0, true, UINT64_MAX, &wait));
        ck_assert_uint_eq(wait, 20000000);
    }
    struct crn_s3_retry over = {&budget, UINT64_MAX, 12};
    ck_assert(!crn_s3_retry_next(&over, 0, 0, false, 0, &wait));
    struct crn_s3_retry late = {&budget, 1000, 1};
    ck_assert(!crn_s3_retry_next(&late, 1000, 0, false, 0, &wait));
    ck_assert(!crn_s3_retry_next(&late, 500, 0, false, 1, &wait)); /* not beyond the end */
    ck_assert(crn_s3_retry_next(&late, 500, 0, false, 0, &wait));
}
END_TEST

/* Many failures at once: each call still has its first repetition, and no more. */
START_TEST(the_budget_is_the_stores)
{
    struct crn_s3_budget budget;
    uint64_t wait;
    unsigned granted = 0;
    crn_s3_budget_init(&budget);
    while (crn_s3_budget_take(&budget))
        granted++;
    ck_assert_uint_eq(granted, CRN_S3_BUDGET_MAX / CRN_S3_BUDGET_COST);
    struct crn_s3_retry first = {&budget, UINT64_MAX, 1}, second = {&budget, UINT64_MAX, 2};
    ck_assert(crn_s3_retry_next(&first, 0, 0, false, 0, &wait));
    ck_assert(!crn_s3_retry_next(&second, 0, 0, false, 0, &wait));
    for (int i = 0; i < CRN_S3_BUDGET_COST; i++)
        crn_s3_budget_give(&budget);
    ck_assert(crn_s3_retry_next(&second, 0, 0, false, 0, &wait));
    ck_assert(!crn_s3_retry_next(&second, 0, 0, false, 0, &wait));
    for (int i = 0; i < 10000; i++)
        crn_s3_budget_give(&budget);
    ck_assert_int_eq(atomic_load(&budget.tokens), CRN_S3_BUDGET_MAX);
}
END_TEST

START_TEST(times_and_texts)
{
    ck_assert_int_eq(crn_s3_parse_time("1970-01-01T00:00:01.250Z"), 1250);
    ck_assert_int_eq(crn_s3_parse_time("1970-01-01T00:00:01Z"), 1000);
    ck_assert_int_eq(crn_s3_parse_time("yesterday"), 0);
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    ck_assert_int_eq(crn_s3_xml_escape(&out, "a<b>&\"c'"), 0);
    ck_assert_str_eq((const char *)out.data, "a&lt;b&gt;&amp;&quot;c'");
    struct crn_s3_error_body body;
    static const char spaced[] = " \n<?xml version=\"1.0\"?><Error><Code>X</Code></Error>";
    crn_s3_read_error(spaced, sizeof spaced - 1, &body);
    ck_assert(body.is_error);
    ck_assert_str_eq(body.code, "X");
    crn_s3_read_error("<html>", 6, &body);
    ck_assert(!body.is_error && body.code[0] == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_rules");
    TCase *tcase = tcase_create("rules");
    tcase_set_timeout(tcase, 20);
    tcase_add_test(tcase, replies);
    tcase_add_test(tcase, broken_connections);
    tcase_add_test(tcase, pauses_grow_and_end);
    tcase_add_test(tcase, the_budget_is_the_stores);
    tcase_add_test(tcase, times_and_texts);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
