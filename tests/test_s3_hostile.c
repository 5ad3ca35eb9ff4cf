/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what the S3 backend makes of servers, and of what stands between, that answer wrongly, in
 * part or not at all (P11): an error that says what to check, never a wrong success and never a
 * crash. Method: a server of our own that does as it is told, answer by answer.
 */
#include "tests/support/s3/fake_kit.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define ONCE(...) fake_add(fake, &(struct fake_rule){.times = 1, __VA_ARGS__})
#define ALWAYS(...) fake_add(fake, &(struct fake_rule){.times = UINT32_MAX, __VA_ARGS__})

static const char html[] = "<!DOCTYPE html><html><body><p>Please log in</body></html>";

#define ETAG "ETag: \"e\"\r\n"

/* ---- answers of somebody else ---- */

START_TEST(a_page_in_place_of_an_answer_is_no_success)
{
    CRN_AUTO_FREE char *page = fake_answer(200, "Content-Type: text/html\r\n", html);
    CRN_AUTO_ERROR cairn_error *error = NULL, *listing = NULL, *put = NULL, *removal = NULL;
    const char *key = "k";
    ALWAYS(.what = FAKE_REFUSE, .answer = page);
    expect_error(create_text("k", "v", &error), CAIRN_EUNKNOWN, &error, "'k'", "proxy");
    expect_error(put_text("k", "v", &put), CAIRN_EUNKNOWN, &put, "'k'", "proxy");
    ck_assert_ptr_null(list_keys(false, &listing));
    expect_error(cairn_error_code(listing), CAIRN_ECORRUPT, &listing, "not the XML of S3", "proxy");
    expect_error(store->ops->remove(store, &key, 1, &removal), CAIRN_ECORRUPT, &removal, "proxy",
                 NULL);
    expect_stored("k", NULL);
}
END_TEST

START_TEST(well_formed_strangers_are_no_success_either)
{
    CRN_AUTO_FREE char *page = fake_answer(200, NULL, "<html><p>fine</p></html>");
    CRN_AUTO_ERROR cairn_error *listing = NULL, *removal = NULL, *reaping = NULL;
    const char *key = "k";
    uint64_t count;
    ALWAYS(.what = FAKE_REFUSE, .answer = page);
    ck_assert_ptr_null(list_keys(false, &listing));
    expect_error(cairn_error_code(listing), CAIRN_ECORRUPT, &listing, "lacks", NULL);
    expect_error(store->ops->remove(store, &key, 1, &removal), CAIRN_ECORRUPT, &removal, "lacks",
                 NULL);
    expect_error(store->ops->reap(store, "", 0, &count, &reaping), CAIRN_ECORRUPT, &reaping,
                 "lacks", NULL);
}
END_TEST

START_TEST(redirects_are_not_followed)
{
    static const unsigned statuses[] = {301, 302, 307, 308};
    for (size_t i = 0; i < CRN_COUNT(statuses); i++) {
        CRN_AUTO_FREE char *away =
            fake_answer(statuses[i], "Location: http://127.0.0.1:1/elsewhere\r\n", "");
        CRN_AUTO_ERROR cairn_error *error = NULL;
        ONCE(.what = FAKE_REFUSE, .answer = away);
        expect_error(create_text("k", "v", &error), CAIRN_EINVAL, &error, "endpoint and region",
                     NULL);
    }
    expect_stored("k", NULL);
}
END_TEST

/* Servers of the bucket's region say which one it is. */
START_TEST(redirects_say_where_the_bucket_is)
{
    static const struct {
        unsigned status;
        const char *s3_code;
        int code;
    } cases[] = {{301, "PermanentRedirect", CAIRN_EINVAL},
                 {307, "TemporaryRedirect", CAIRN_EUNAVAIL},
                 {400, "AuthorizationHeaderMalformed", CAIRN_EINVAL}};
    cairn_object_stat stat;
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        CRN_AUTO_FREE char *away = fake_error(cases[i].status, cases[i].s3_code,
                                              "Location: http://127.0.0.1:1/elsewhere\r\n"
                                              "x-amz-bucket-region: eu-far-7\r\n");
        CRN_AUTO_ERROR cairn_error *error = NULL, *head = NULL;
        fake_clear(fake);
        ALWAYS(.what = FAKE_REFUSE, .answer = away);
        expect_error(put_text("k", "v", &error), cases[i].code, &error, "region", "'eu-far-7'");
        if (cases[i].status == 301) /* of HEAD only the status is there, and the headers */
            expect_error(store->ops->stat(store, "k", &stat, &head), CAIRN_EINVAL, &head,
                         "endpoint and region", "'eu-far-7'");
    }
    /* what is not a region's name is not told */
    CRN_AUTO_FREE char *odd =
        fake_error(301, "PermanentRedirect", "x-amz-bucket-region: \033[1m\r\n");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    fake_clear(fake);
    ONCE(.what = FAKE_REFUSE, .answer = odd);
    expect_error(put_text("k", "v", &error), CAIRN_EINVAL, &error, "region", NULL);
    ck_assert_ptr_null(strchr(cairn_error_message(error), '\033'));
    expect_stored("k", NULL);
}
END_TEST

/* ---- addresses and tokens ---- */

START_TEST(a_bucket_may_be_in_the_hosts_name)
{
    char rest[128], host[64];
    struct crn_s3_config config;
    cairn_store *other;
    const unsigned port = fake_port(fake);
    fake_set_hosts(fake, true);
    (void)snprintf(rest, sizeof rest, "//cairn/t?endpoint=http://localhost:%u&path_style=false",
                   port);
    ck_assert_int_eq(crn_s3_config_from_uri(rest, "s3://cairn/t", &config, NULL), 0);
    ck_assert_int_eq(crn_s3_store_open_config(&config, true, &other, NULL), 0);
    ck_assert_int_eq(other->ops->create(other, "k", "v", 1, NULL), 0);
    expect_stored("k", "v");
    CRN_AUTO_FREE char *head = fake_last_head(fake);
    (void)snprintf(host, sizeof host, "cairn.localhost:%u\r\n", port);
    ck_assert_msg(strstr(head, "PUT /t/k HTTP/1.1\r\n") != NULL, "%s", head);
    ck_assert_msg(strstr(head, host) != NULL, "%s", head);
    other->ops->close(other);
}
END_TEST

/* It is sent, and it is part of what is signed. */
START_TEST(a_session_token_goes_with_each_request)
{
    cairn_store *other;
    CRN_AUTO_FREE char *expired = fake_error(400, "ExpiredToken", NULL);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(setenv("AWS_SESSION_TOKEN", "a+token/of==some&length", 1), 0);
    ck_assert_int_eq(fake_kit_store("", false, &other, NULL), 0);
    ck_assert_int_eq(unsetenv("AWS_SESSION_TOKEN"), 0);
    ck_assert_int_eq(other->ops->create(other, "k", "v", 1, NULL), 0);
    CRN_AUTO_FREE char *head = fake_last_head(fake);
    ck_assert_msg(strstr(head, "x-amz-security-token: a+token/of==some&length\r\n") != NULL, "%s",
                  head);
    const char *names = strstr(head, "SignedHeaders=");
    ck_assert_ptr_nonnull(names);
    const char *end = strchr(names, ',');
    const char *token = strstr(names, "x-amz-security-token");
    ck_assert(end != NULL && token != NULL && token < end);
    ONCE(.what = FAKE_REFUSE, .answer = expired);
    expect_error(other->ops->create(other, "l", "v", 1, &error), CAIRN_EACCES, &error,
                 "session token has expired", NULL);
    ck_assert_ptr_null(strstr(cairn_error_message(error), "a+token"));
    other->ops->close(other);
}
END_TEST

/* What may be limited in its rate. */
struct counted_source {
    cairn_source source;
    uint64_t looked_at, sent;
};

static int read_counted(cairn_source *source, uint64_t offset, void *data, size_t n,
                        cairn_error **reterr)
{
    struct counted_source *counted = (struct counted_source *)source;
    (void)reterr;
    memset(data, (int)(offset >> 10), n);
    *(source->is_looked_at ? &counted->looked_at : &counted->sent) += n;
    return 0;
}

START_TEST(what_is_read_to_be_signed_is_not_on_its_way)
{
    struct counted_source counted = {.source = {.size = 3u << 20, .read = read_counted}};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;
    int r = store->ops->put(store, "k", &counted.source, &how, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    ck_assert_uint_eq(counted.looked_at, counted.source.size);
    ck_assert_uint_eq(counted.sent, counted.source.size);
    ck_assert_int_eq(counted.source.is_looked_at, 0);
}
END_TEST

START_TEST(a_body_without_an_end_is_bounded)
{
    CRN_AUTO_ERROR cairn_error *listing = NULL, *error = NULL, *reading = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    fake_put(fake, "t/k", "0123456789");
    ALWAYS(.method = "GET", .what = FAKE_ENDLESS);
    ALWAYS(.method = "PUT", .what = FAKE_ENDLESS);
    ck_assert_ptr_null(list_keys(false, &listing));
    expect_error(cairn_error_code(listing), CAIRN_ECORRUPT, &listing, "more than was asked", NULL);
    expect_error(crn_store_get_bytes(store, "k", 100, &got, &reading), CAIRN_ECORRUPT, &reading,
                 "more than was asked", NULL);
    /* whatever it sends, it may have stored it */
    expect_error(create_text("new", "v", &error), CAIRN_EUNKNOWN, &error, "not known", NULL);
}
END_TEST

START_TEST(an_answer_that_is_no_http_is_an_error)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ALWAYS(.method = "PUT", .what = FAKE_REFUSE, .answer = "220 mail.example.com ESMTP\r\n");
    expect_error(create_text("k", "v", &error), CAIRN_EUNKNOWN, &error, "not known", NULL);
    expect_stored("k", NULL);
}
END_TEST

/* ---- what is read ---- */

struct keeping_sink {
    cairn_sink sink;
    struct cairn_buffer *to;
};

static int keep(cairn_sink *base, uint64_t offset, const void *data, size_t n, cairn_error **reterr)
{
    struct keeping_sink *sink = (struct keeping_sink *)base;
    (void)reterr;
    if (offset == 0)
        crn_buf_clear(sink->to);
    return crn_buf_append(sink->to, data, n);
}

static int read_range(uint64_t offset, uint64_t size, struct cairn_buffer *got,
                      cairn_error **reterr)
{
    struct keeping_sink sink = {.sink = {.write = keep}, .to = got};
    return store->ops->get(store, "k", offset, size, &sink.sink, reterr);
}

/* The length that was announced does not come: tried again, and then it does. */
START_TEST(a_cut_body_is_read_again)
{
    fake_put(fake, "t/k", "0123456789");
    for (unsigned cut = 0; cut < 170; cut += 7) {
        CRN_AUTO_BUFFER struct cairn_buffer got = {0};
        unsigned before = fake_requests(fake);
        fake_clear(fake);
        ONCE(.method = "GET", .what = FAKE_CUT_OUT, .at = cut);
        ck_assert_int_eq(read_range(2, 5, &got, NULL), 0);
        ck_assert_uint_eq(got.size, 5);
        ck_assert_int_eq(memcmp(got.data, "23456", 5), 0);
        ck_assert_uint_gt(fake_requests(fake), before);
    }
}
END_TEST

START_TEST(a_body_that_is_always_cut_is_an_error)
{
    CRN_AUTO_FREE char *cut = fake_answer(206, ETAG "Content-Range: bytes 2-6/10\r\n", "234");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    ALWAYS(.method = "GET", .what = FAKE_REFUSE, .answer = cut);
    expect_error(read_range(2, 5, &got, &error), CAIRN_EUNAVAIL, &error, "'k'", NULL);
}
END_TEST

START_TEST(another_range_is_not_taken_for_ours)
{
    static const char *const ranges[] = {ETAG "Content-Range: bytes 3-7/10\r\n",
                                         ETAG "Content-Range: bytes 0-4/10\r\n",
                                         ETAG "Content-Range: bytes */10\r\n",
                                         ETAG "Content-Range: nonsense\r\n",
                                         ETAG,
                                         ""};
    for (size_t i = 0; i < CRN_COUNT(ranges); i++) {
        CRN_AUTO_FREE char *answer = fake_answer(206, ranges[i], "abcde");
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_BUFFER struct cairn_buffer got = {0};
        ONCE(.method = "GET", .what = FAKE_REFUSE, .answer = answer);
        expect_error(read_range(2, 5, &got, &error), CAIRN_ECORRUPT, &error, "'k'", NULL);
        ck_assert_uint_eq(got.size, 0);
    }
    /* a server without ranges: the whole object */
    CRN_AUTO_FREE char *whole = fake_answer(200, ETAG, "0123456789");
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ALWAYS(.method = "GET", .what = FAKE_REFUSE, .answer = whole);
    ck_assert_int_eq(read_range(0, 10, &got, NULL), 0);
    ck_assert_int_eq(memcmp(got.data, "0123456789", 10), 0);
    expect_error(read_range(2, 5, &got, &error), CAIRN_ECORRUPT, &error, NULL, NULL);
}
END_TEST

START_TEST(a_size_that_is_not_told_is_an_error)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    ONCE(.method = "HEAD", .what = FAKE_REFUSE, .answer = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n\r\n");
    expect_error(store->ops->stat(store, "k", &stat, &error), CAIRN_ECORRUPT, &error, "size",
                 "'k'");
}
END_TEST

/* ---- listings ---- */

#define LISTING(items, more, token)                                                                \
    "<ListBucketResult>" items "<IsTruncated>" more "</IsTruncated><NextContinuationToken>" token  \
    "</NextContinuationToken></ListBucketResult>"
#define ITEM(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"
#define SEGMENT(name) "<CommonPrefixes><Prefix>" name "</Prefix></CommonPrefixes>"

START_TEST(listings_that_are_not_right_are_refused)
{
    static const struct {
        const char *body, *word;
        bool segments;
    } cases[] = {
        {LISTING(ITEM("t/b") ITEM("t/a"), "false", ""), "not in order", false},
        {LISTING(ITEM("t/a") ITEM("t/a"), "false", ""), "not in order", false},
        {LISTING(ITEM("t/a"), "true", "again"), "not in order", false},
        {LISTING(ITEM("other/a"), "false", ""), "not in order", false},
        {LISTING("", "true", "again"), "does not end", false},
        {LISTING("", "true", ""), "does not say where", false},
        {LISTING(SEGMENT("t/a/"), "true", "again"), "not in order", true},
        {LISTING(SEGMENT("t/b/") SEGMENT("t/a/"), "false", ""), "not in order", true},
        {LISTING("<Contents><Key>t/a</Key></Contents>", "false", ""), "lacks", false},
        {LISTING("<Contents><Size>1</Size></Contents>", "false", ""), "lacks", false},
        {LISTING("<Contents><Key>t/a</Key><Size>-1</Size></Contents>", "false", ""), "lacks",
         false},
        {"<ListBucketResult>" ITEM("t/a"), "not the XML", false},
        {"", "not the XML", false},
        {"<!DOCTYPE l [<!ENTITY a \"aaaa\">]><ListBucketResult/>", "a document type", false},
    };
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        CRN_AUTO_FREE char *answer = fake_answer(200, NULL, cases[i].body);
        CRN_AUTO_ERROR cairn_error *error = NULL;
        fake_clear(fake);
        ALWAYS(.method = "GET", .what = FAKE_REFUSE, .answer = answer);
        CRN_AUTO_FREE char *keys = list_keys(cases[i].segments, &error);
        ck_assert_msg(keys == NULL, "%zu: %s", i, keys);
        expect_error(cairn_error_code(error), CAIRN_ECORRUPT, &error, cases[i].word, NULL);
    }
}
END_TEST

START_TEST(listings_have_pages)
{
    char wanted[4096] = "", segments[4096] = "", key[32];
    fake_set_page(fake, 3);
    for (unsigned i = 0; i < 20; i++) {
        size_t n = strlen(wanted), m = strlen(segments);
        (void)snprintf(key, sizeof key, "t/%02u/x", i);
        fake_put(fake, key, "1");
        (void)snprintf(wanted + n, sizeof wanted - n, "%02u/x\n", i);
        (void)snprintf(segments + m, sizeof segments - m, "%02u/\n", i);
    }
    fake_put(fake, "elsewhere/x", "1");
    CRN_AUTO_FREE char *keys = list_keys(false, NULL);
    CRN_AUTO_FREE char *names = list_keys(true, NULL);
    ck_assert_str_eq(keys, wanted);
    ck_assert_str_eq(names, segments);
}
END_TEST

/* ---- statuses ---- */

START_TEST(slow_down_is_heeded)
{
    CRN_AUTO_FREE char *slow = fake_error(503, "SlowDown", NULL);
    fake_add(fake, &(struct fake_rule){.times = 3, .what = FAKE_REFUSE, .answer = slow});
    ck_assert_int_eq(create_text("k", "v", NULL), 0);
    ck_assert_uint_eq(fake_requests(fake), 4);
    expect_stored("k", "v");
}
END_TEST

START_TEST(the_server_says_when_to_come_again)
{
    CRN_AUTO_FREE char *slow = fake_error(503, "SlowDown", "Retry-After: 1\r\n");
    ONCE(.what = FAKE_REFUSE, .answer = slow);
    uint64_t start = crn_now_us();
    ck_assert_int_eq(create_text("k", "v", NULL), 0);
    ck_assert_uint_ge(crn_now_us() - start, 1000000);
    /* and not later than we have time */
    CRN_AUTO_FREE char *never = fake_error(503, "SlowDown", "Retry-After: 100000\r\n");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ALWAYS(.what = FAKE_REFUSE, .answer = never);
    expect_error(create_text("l", "v", &error), CAIRN_EUNAVAIL, &error, "SlowDown", NULL);
}
END_TEST

/* 409: two met, and neither may have won. 412: somebody was first. */
START_TEST(a_conflict_is_no_loss)
{
    CRN_AUTO_FREE char *conflict = fake_error(409, "ConditionalRequestConflict", NULL);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    fake_add(fake, &(struct fake_rule){.times = 2, .what = FAKE_REFUSE, .answer = conflict});
    ck_assert_int_eq(create_text("k", "v", NULL), 0);
    expect_error(create_text("k", "w", &error), CAIRN_EEXIST, &error, "'k'", "exists already");
    expect_stored("k", "v");
}
END_TEST

START_TEST(an_error_under_a_good_status_is_an_error)
{
    CRN_AUTO_FREE char *error_body = fake_error(200, "InternalError", NULL);
    cairn_put_how how;
    /* a copy, which is tried again */
    fake_put(fake, "t/from", "0123456789");
    ONCE(.method = "PUT", .what = FAKE_REFUSE, .answer = error_body);
    ck_assert_int_eq(store->ops->copy(store, "to", store, "from", &how, NULL), 0);
    expect_stored("to", "0123456789");
    /* a completion, which is tried again, too */
    cairn_store *parts;
    ck_assert_int_eq(
        fake_kit_store("&part_bytes=5MiB&multipart_bytes=5MiB&retry_ms=4000", false, &parts, NULL),
        0);
    CRN_AUTO_FREE char *data = calloc(1, (11 << 20) + 1);
    memset(data, 'x', 11 << 20);
    struct crn_bytes_source source;
    crn_bytes_source_init(&source, data, 11 << 20);
    ONCE(.method = "POST", .in = "uploadId=", .what = FAKE_REFUSE, .answer = error_body);
    ck_assert_int_eq(parts->ops->put(parts, "large", &source.source, &how, NULL), 0);
    expect_stored("large", data);
    /* and whose reply was lost: the upload is over, and the object is there */
    crn_bytes_source_init(&source, data, 11 << 20);
    ONCE(.method = "POST", .in = "uploadId=", .what = FAKE_CUT_OUT, .at = 0);
    ck_assert_int_eq(parts->ops->put(parts, "lost", &source.source, &how, NULL), 0);
    expect_stored("lost", data);
    ck_assert_uint_eq(fake_uploads(fake), 0);
    parts->ops->close(parts);
}
END_TEST

START_TEST(an_upload_that_fails_is_taken_back)
{
    CRN_AUTO_FREE char *denied = fake_error(403, "AccessDenied", NULL);
    CRN_AUTO_FREE char *no_etag = fake_answer(200, NULL, "");
    const char *answers[] = {denied, no_etag};
    static const int codes[] = {CAIRN_EACCES, CAIRN_ECORRUPT};
    cairn_store *parts;
    ck_assert_int_eq(
        fake_kit_store("&part_bytes=5MiB&multipart_bytes=5MiB&retry_ms=4000", false, &parts, NULL),
        0);
    CRN_AUTO_FREE char *data = calloc(1, 11 << 20);
    for (size_t i = 0; i < CRN_COUNT(answers); i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        struct crn_bytes_source source;
        cairn_put_how how;
        crn_bytes_source_init(&source, data, 11 << 20);
        fake_clear(fake);
        ONCE(.method = "PUT", .in = "partNumber=3", .what = FAKE_REFUSE, .answer = answers[i]);
        expect_error(parts->ops->put(parts, "large", &source.source, &how, &error), codes[i],
                     &error, "'large'", NULL);
        ck_assert_uint_eq(fake_uploads(fake), 0);
        expect_stored("large", NULL);
    }
    parts->ops->close(parts);
}
END_TEST

START_TEST(a_wrong_clock_is_set_right_once)
{
    static const int64_t hours[] = {5, -5};
    for (size_t i = 0; i < CRN_COUNT(hours); i++) {
        char key[8];
        cairn_object_stat stat;
        fake_set_clock(fake, hours[i] * 3600000);
        (void)snprintf(key, sizeof key, "k%zu", i);
        unsigned before = fake_requests(fake);
        /* also when the first to be refused has no body that would say why */
        if (i == 1)
            ck_assert_int_eq(store->ops->stat(store, "k0", &stat, NULL), 0);
        ck_assert_int_eq(create_text(key, "v", NULL), 0);
        ck_assert_uint_eq(fake_requests(fake) - before, 2 + i);
        expect_stored(key, "v");
    }
    /* a server that is never content */
    CRN_AUTO_FREE char *skewed = fake_error(403, "RequestTimeTooSkewed", NULL);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ALWAYS(.what = FAKE_REFUSE, .answer = skewed);
    expect_error(create_text("n", "v", &error), CAIRN_EACCES, &error, "clock", NULL);
}
END_TEST

START_TEST(refusals_say_what_to_check)
{
    static const struct {
        unsigned status;
        const char *s3_code;
        int code;
        const char *word;
    } cases[] = {
        {403, "InvalidAccessKeyId", CAIRN_EACCES, "access key"},
        {403, "SignatureDoesNotMatch", CAIRN_EACCES, "secret key"},
        {403, "AccessDenied", CAIRN_EACCES, "rights"},
        {400, "AuthorizationHeaderMalformed", CAIRN_EINVAL, "region"},
        {301, "PermanentRedirect", CAIRN_EINVAL, "region"},
        {404, "NoSuchBucket", CAIRN_ENOTFOUND, "no such bucket"},
        {400, "ExpiredToken", CAIRN_EACCES, "expired"},
        {403, "QuotaExceeded", CAIRN_ENOSPC, "quota"},
        {501, "NotImplemented", CAIRN_EUNSUPPORTED, NULL},
    };
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        CRN_AUTO_FREE char *answer = fake_error(cases[i].status, cases[i].s3_code, NULL);
        CRN_AUTO_ERROR cairn_error *error = NULL;
        unsigned before = fake_requests(fake);
        ONCE(.what = FAKE_REFUSE, .answer = answer);
        expect_error(put_text("k", "v", &error), cases[i].code, &error, cases[i].s3_code,
                     cases[i].word);
        ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "cairn"));
        ck_assert_ptr_null(strstr(cairn_error_message(error), "testsecret"));
        ck_assert_uint_eq(fake_requests(fake), before + 1);
    }
}
END_TEST

/* Some were removed, some not: it is the failure that is told, not what was missing anyway. */
START_TEST(a_removal_that_failed_in_part_is_a_failure)
{
    CRN_AUTO_FREE char *answer = fake_answer(
        200, NULL,
        "<DeleteResult><Error><Key>t/a</Key><Code>NoSuchKey</Code></Error><Error><Key>t/b</Key>"
        "<Code>AccessDenied</Code></Error></DeleteResult>");
    CRN_AUTO_FREE char *missing = fake_answer(
        200, NULL,
        "<DeleteResult><Error><Key>t/a</Key><Code>NoSuchKey</Code></Error></DeleteResult>");
    const char *keys[] = {"a", "b"};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ONCE(.method = "POST", .what = FAKE_REFUSE, .answer = answer);
    expect_error(store->ops->remove(store, keys, 2, &error), CAIRN_EACCES, &error, "b", NULL);
    ONCE(.method = "POST", .what = FAKE_REFUSE, .answer = missing);
    ck_assert_int_eq(store->ops->remove(store, keys, 2, NULL), 0);
}
END_TEST

/* ---- the probe ---- */

START_TEST(servers_that_cannot_keep_writers_apart_are_refused)
{
    cairn_store *probed;
    CRN_AUTO_ERROR cairn_error *lies = NULL, *lacks = NULL, *missing = NULL;
    CRN_AUTO_FREE char *none = fake_error(501, "NotImplemented", NULL);
    CRN_AUTO_FREE char *no_bucket = fake_error(404, "NoSuchBucket", NULL);
    ck_assert_int_eq(fake_kit_store("", true, &probed, NULL), 0);
    probed->ops->close(probed);
    fake_set_lying(fake, true);
    expect_error(fake_kit_store("", true, &probed, &lies), CAIRN_EUNSUPPORTED, &lies, "overwrites",
                 "single_writer=unsafe");
    ck_assert_int_eq(fake_kit_store("&single_writer=unsafe", true, &probed, NULL), 0);
    probed->ops->close(probed);
    fake_set_lying(fake, false);
    ONCE(.method = "PUT", .what = FAKE_REFUSE, .answer = none);
    expect_error(fake_kit_store("", true, &probed, &lacks), CAIRN_EUNSUPPORTED, &lacks,
                 "only if it is absent", "single_writer=unsafe");
    ONCE(.method = "PUT", .what = FAKE_REFUSE, .answer = no_bucket);
    expect_error(fake_kit_store("", true, &probed, &missing), CAIRN_ENOTFOUND, &missing,
                 "no such bucket", NULL);
    CRN_AUTO_FREE char *left = list_keys(false, NULL);
    ck_assert_str_eq(left, "");
}
END_TEST

/* A process that dies while it tries a store out leaves an object, which belongs to no job. */
START_TEST(what_a_probe_left_is_reaped)
{
#define NAME "probe-0123456789abcdef0123456789abcdef"
    static const char *const others[] = {"probe-x", (NAME "0"), (NAME "/x"), ("job/" NAME),
                                         "probe-0123456789ABCDEF0123456789abcdef"};
    uint64_t count = 0;
    fake_put(fake, "t/" NAME, "the first");
    for (size_t i = 0; i < CRN_COUNT(others); i++) {
        char key[80];
        (void)snprintf(key, sizeof key, "t/%s", others[i]);
        fake_put(fake, key, "theirs");
    }
    /* it may be in use */
    ck_assert_int_eq(store->ops->reap(store, "job/", UINT64_MAX, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    expect_stored(NAME, "the first");
    ck_assert_int_eq(store->ops->reap(store, "job/", 3600000, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    expect_stored(NAME, NULL);
    for (size_t i = 0; i < CRN_COUNT(others); i++)
        expect_stored(others[i], "theirs");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_hostile");
    TCase *tcase = tcase_create("answers");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, fake_kit_open, fake_kit_close);
    tcase_add_test(tcase, a_page_in_place_of_an_answer_is_no_success);
    tcase_add_test(tcase, well_formed_strangers_are_no_success_either);
    tcase_add_test(tcase, redirects_are_not_followed);
    tcase_add_test(tcase, redirects_say_where_the_bucket_is);
    tcase_add_test(tcase, a_bucket_may_be_in_the_hosts_name);
    tcase_add_test(tcase, a_session_token_goes_with_each_request);
    tcase_add_test(tcase, what_is_read_to_be_signed_is_not_on_its_way);
    tcase_add_test(tcase, a_body_without_an_end_is_bounded);
    tcase_add_test(tcase, an_answer_that_is_no_http_is_an_error);
    tcase_add_test(tcase, a_cut_body_is_read_again);
    tcase_add_test(tcase, a_body_that_is_always_cut_is_an_error);
    tcase_add_test(tcase, another_range_is_not_taken_for_ours);
    tcase_add_test(tcase, a_size_that_is_not_told_is_an_error);
    tcase_add_test(tcase, listings_that_are_not_right_are_refused);
    tcase_add_test(tcase, listings_have_pages);
    tcase_add_test(tcase, slow_down_is_heeded);
    tcase_add_test(tcase, the_server_says_when_to_come_again);
    tcase_add_test(tcase, a_conflict_is_no_loss);
    tcase_add_test(tcase, an_error_under_a_good_status_is_an_error);
    tcase_add_test(tcase, an_upload_that_fails_is_taken_back);
    tcase_add_test(tcase, a_wrong_clock_is_set_right_once);
    tcase_add_test(tcase, refusals_say_what_to_check);
    tcase_add_test(tcase, a_removal_that_failed_in_part_is_a_failure);
    tcase_add_test(tcase, servers_that_cannot_keep_writers_apart_are_refused);
    tcase_add_test(tcase, what_a_probe_left_is_reaped);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
