/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that requests are signed as Amazon's own examples are: the four of its documentation of
 * signature version 4 for S3, with their keys and dates, and the order, encoding and trimming that
 * no example has.
 */
#include "backends/storage/s3/sign.h"
#include "tests/support/tap.h"

#include <string.h>

#define ACCESS "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define HOST "examplebucket.s3.amazonaws.com"
#define DATE "20130524T000000Z"

static void expect(struct crn_s3_signing *s, const char *names, const char *signature)
{
    CRN_AUTO_BUFFER struct cairn_buffer out = {0}, wanted = {0};
    s->access_key = ACCESS;
    s->secret_key = SECRET;
    s->region = "us-east-1";
    s->amz_date = DATE;
    ck_assert_int_eq(crn_s3_sign(s, &out), 0);
    ck_assert_int_eq(crn_buf_printf(&wanted,
                                    "AWS4-HMAC-SHA256 Credential=%s/20130524/us-east-1/s3/"
                                    "aws4_request, SignedHeaders=%s, Signature=%s",
                                    ACCESS, names, signature),
                     0);
    ck_assert_str_eq((const char *)out.data, (const char *)wanted.data);
}

START_TEST(test_get_object)
{
    struct crn_s3_pair headers[] = {{"x-amz-date", DATE},
                                    {"host", HOST},
                                    {"x-amz-content-sha256", CRN_S3_EMPTY_HASH},
                                    {"range", "bytes=0-9"}};
    struct crn_s3_signing s = {.method = "GET",
                               .path = "/test.txt",
                               .query = "",
                               .headers = headers,
                               .header_count = 4,
                               .payload_hash = CRN_S3_EMPTY_HASH};
    expect(&s, "host;range;x-amz-content-sha256;x-amz-date",
           "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}
END_TEST

START_TEST(test_put_object)
{
    static const char body[] = "Welcome to Amazon S3.";
    char hash[CRN_S3_HASH_HEX];
    CRN_AUTO_BUFFER struct cairn_buffer path = {0};
    ck_assert_int_eq(crn_s3_hash(body, sizeof body - 1, hash), 0);
    ck_assert_int_eq(crn_s3_encode(&path, "/test$file.text", true), 0);
    ck_assert_str_eq((const char *)path.data, "/test%24file.text");
    struct crn_s3_pair headers[] = {{"host", HOST},
                                    {"date", "  Fri, 24 May 2013 00:00:00 GMT "},
                                    {"x-amz-date", DATE},
                                    {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                    {"x-amz-content-sha256", hash}};
    struct crn_s3_signing s = {.method = "PUT",
                               .path = (const char *)path.data,
                               .query = "",
                               .headers = headers,
                               .header_count = 5,
                               .payload_hash = hash};
    expect(&s, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
           "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}
END_TEST

static void expect_query(struct crn_s3_pair *pairs, size_t count, const char *query,
                         const char *signature)
{
    CRN_AUTO_BUFFER struct cairn_buffer encoded = {0};
    struct crn_s3_pair headers[] = {
        {"host", HOST}, {"x-amz-date", DATE}, {"x-amz-content-sha256", CRN_S3_EMPTY_HASH}};
    ck_assert_int_eq(crn_s3_encode_query(&encoded, pairs, count), 0);
    ck_assert_str_eq((const char *)encoded.data, query);
    struct crn_s3_signing s = {.method = "GET",
                               .path = "/",
                               .query = (const char *)encoded.data,
                               .headers = headers,
                               .header_count = 3,
                               .payload_hash = CRN_S3_EMPTY_HASH};
    expect(&s, "host;x-amz-content-sha256;x-amz-date", signature);
}

START_TEST(test_queries)
{
    struct crn_s3_pair lifecycle[] = {{"lifecycle", ""}};
    struct crn_s3_pair list[] = {{"prefix", "J"}, {"max-keys", "2"}};
    expect_query(lifecycle, 1,
                 "lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    expect_query(list, 2, "max-keys=2&prefix=J",
                 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}
END_TEST

START_TEST(test_encoding)
{
    CRN_AUTO_BUFFER struct cairn_buffer path = {0}, query = {0};
    struct crn_s3_pair pairs[] = {{"prefix", "a/b c+d=e&f~g%h"}, {"delimiter", "/"}};
    ck_assert_int_eq(crn_s3_encode(&path, "/b/\xc3\xa9 +=%'()!*~&-._/x", true), 0);
    ck_assert_str_eq((const char *)path.data, "/b/%C3%A9%20%2B%3D%25%27%28%29%21%2A~%26-._/x");
    ck_assert_int_eq(crn_s3_encode_query(&query, pairs, 2), 0);
    ck_assert_str_eq((const char *)query.data, "delimiter=%2F&prefix=a%2Fb%20c%2Bd%3De%26f~g%25h");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_sign");
    TCase *tc = tcase_create("vectors");
    tcase_add_test(tc, test_get_object);
    tcase_add_test(tc, test_put_object);
    tcase_add_test(tc, test_queries);
    tcase_add_test(tc, test_encoding);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
