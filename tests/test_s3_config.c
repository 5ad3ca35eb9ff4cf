/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves how an S3 store's settings come together: URIs, options, the environment and the files of
 * AWS's tools, in the order that cairn/s3.h gives; that what is not understood is refused (P11),
 * and that no key gets into a message. Method: tables, and files in a temporary home.
 */
#include "backends/storage/s3/credentials.h"
#include "base/file.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

static char home[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/.aws/%s", home, name);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void setup(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE"};
    char path[128];
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        ck_assert_int_eq(unsetenv(names[i]), 0);
    (void)snprintf(home, sizeof home, "/tmp/cairn-home-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    (void)snprintf(path, sizeof path, "%s/.aws", home);
    ck_assert_int_eq(crn_file_make_dirs(path, NULL), 0);
    ck_assert_int_eq(setenv("HOME", home, 1), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(crn_file_remove_tree(home, NULL), 0);
}

static void set_keys(void)
{
    ck_assert_int_eq(setenv("AWS_ACCESS_KEY_ID", "envkey", 1), 0);
    ck_assert_int_eq(setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1), 0);
}

static void read_uri(const char *rest, struct crn_s3_config *ret)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_s3_config_from_uri(rest, "s3:test", ret, &error);
    ck_assert_msg(r == 0, "%s: %s", rest, cairn_error_message(error));
}

static void expect_refused(const char *rest, const char *word)
{
    struct crn_s3_config config;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_msg(crn_s3_config_from_uri(rest, "s3:test", &config, &error) == CAIRN_EINVAL, "%s",
                  rest);
    ck_assert_msg(strstr(cairn_error_message(error), word) != NULL, "%s: %s", rest,
                  cairn_error_message(error));
    ck_assert_ptr_null(strstr(cairn_error_message(error), "envsecret"));
}

START_TEST(uris_and_defaults)
{
    struct crn_s3_config c;
    set_keys();
    read_uri("//bucket", &c);
    ck_assert_str_eq(c.prefix, "");
    ck_assert_str_eq(c.scheme, "https");
    ck_assert_str_eq(c.host, "s3.us-east-1.amazonaws.com");
    ck_assert(!c.path_style && !c.unsigned_payload && !c.single_writer_unsafe);
    ck_assert_uint_eq(c.max_connections, 16);
    ck_assert_uint_eq(c.part_bytes, 16 << 20);
    ck_assert_uint_eq(c.multipart_bytes, 128 << 20);
    crn_s3_config_done(&c);
    read_uri("//my.bucket/a%20b/c/?endpoint=http://10.0.0.7:9000/&region=eu-1&part_bytes=8MiB&"
             "multipart_bytes=32MiB&max_connections=3&request_timeout_ms=700&retry_ms=900&"
             "single_writer=unsafe&ca_file=/a%26b.pem",
             &c);
    ck_assert_str_eq(c.bucket, "my.bucket");
    ck_assert_str_eq(c.prefix, "a b/c/");
    ck_assert_str_eq(c.scheme, "http");
    ck_assert_str_eq(c.host, "10.0.0.7:9000");
    ck_assert_str_eq(c.region, "eu-1");
    ck_assert_str_eq(c.ca_file, "/a&b.pem");
    ck_assert(c.path_style && c.single_writer_unsafe);
    ck_assert_uint_eq(c.part_bytes, 8 << 20);
    ck_assert_uint_eq(c.multipart_bytes, 32 << 20);
    ck_assert_uint_eq(c.max_connections, 3);
    ck_assert_uint_eq(c.request_timeout_ms, 700);
    ck_assert_uint_eq(c.retry_ms, 900);
    crn_s3_config_done(&c);
    read_uri("//bucket?endpoint=https://h&path_style=false&payload=unsigned&part_bytes=200MiB", &c);
    ck_assert(!c.path_style && c.unsigned_payload);
    ck_assert_uint_eq(c.multipart_bytes, 200 << 20);
    crn_s3_config_done(&c);
}
END_TEST

START_TEST(what_is_not_understood_is_refused)
{
    static const char *const cases[][2] = {
        {"bucket", "s3://bucket"},
        {"//", "bucket"},
        {"//ab", "bucket"},
        {"//-ab", "bucket"},
        {"//a..b", "bucket"},
        {"//a_b%41", "bucket"},
        {"//bucket/a//b", "prefix"},
        {"//bucket/../x", "prefix"},
        {"//bucket/a%zz", "hexadecimal"},
        {"//bucket/a%00", "hexadecimal"},
        {"//bucket/a%", "hexadecimal"},
        {"//bucket?endpoint", "no value"},
        {"//bucket?endpoint=", "a text"},
        {"//bucket?endpoint=ftp://h", "http://"},
        {"//bucket?endpoint=h:9000", "http://"},
        {"//bucket?endpoint=http://", "http://"},
        {"//bucket?endpoint=http://h/path", "http://"},
        {"//bucket?endpoint=http://user@h", "http://"},
        {"//bucket?access_key=k", "one of"},
        {"//bucket?secret_key=k", "one of"},
        {"//bucket?Region=x", "one of"},
        {"//bucket?path_style=maybe", "true or false"},
        {"//bucket?payload=none", "signed or unsigned"},
        {"//bucket?payload=unsigned&endpoint=http://h", "https"},
        {"//bucket?single_writer=safe", "unsafe"},
        {"//bucket?part_bytes=1MiB", "5 MiB"},
        {"//bucket?part_bytes=2GiB", "1 GiB"},
        {"//bucket?part_bytes=99999999999999GiB", "a number"},
        {"//bucket?part_bytes=-1", "a number"},
        {"//bucket?part_bytes=8MB", "a number"},
        {"//bucket?part_bytes=32MiB&multipart_bytes=8MiB", "part_bytes"},
        {"//bucket?max_connections=257", "256"},
        {"//bucket?max_connections=99999999999", "256"},
        {"//bucket?retry_ms=0", "a number"},
        {"//bucket?retry_ms=18446744073709551615", "a day"},
        {"//bucket?request_timeout_ms=99999999999", "a day"},
    };
    set_keys();
    for (size_t i = 0; i < CRN_COUNT(cases); i++)
        expect_refused(cases[i][0], cases[i][1]);
}
END_TEST

START_TEST(credentials_come_in_order)
{
    struct crn_s3_config c;
    expect_refused("//bucket", "no credentials");
    write_file("credentials", "# mine\n[default]\naws_access_key_id = filekey\n"
                              "aws_secret_access_key=filesecret\n\n[ work ]\n"
                              "aws_access_key_id=workkey\r\naws_secret_access_key=a=b=c\r\n"
                              "aws_session_token = worktoken\n[half]\naws_access_key_id=k\n");
    write_file("config", "[default]\nregion = file-1\n[profile work]\nregion=work-1\n");
    read_uri("//bucket", &c);
    ck_assert_str_eq(c.access_key, "filekey");
    ck_assert_str_eq(c.secret_key, "filesecret");
    ck_assert_ptr_null(c.session_token);
    ck_assert_str_eq(c.region, "file-1");
    crn_s3_config_done(&c);
    read_uri("//bucket?profile=work", &c);
    ck_assert_str_eq(c.access_key, "workkey");
    ck_assert_str_eq(c.secret_key, "a=b=c");
    ck_assert_str_eq(c.session_token, "worktoken");
    ck_assert_str_eq(c.region, "work-1");
    crn_s3_config_done(&c);
    expect_refused("//bucket?profile=half", "only one of");
    expect_refused("//bucket?profile=nobody", "'nobody'");
    /* the environment is before the default profile, but not before one that is asked for */
    set_keys();
    ck_assert_int_eq(setenv("AWS_REGION", "env-1", 1), 0);
    read_uri("//bucket", &c);
    ck_assert_str_eq(c.access_key, "envkey");
    ck_assert_str_eq(c.region, "env-1");
    crn_s3_config_done(&c);
    read_uri("//bucket?profile=work&region=uri-1", &c);
    ck_assert_str_eq(c.access_key, "workkey");
    ck_assert_str_eq(c.region, "uri-1");
    crn_s3_config_done(&c);
    ck_assert_int_eq(setenv("AWS_SECRET_ACCESS_KEY", "", 1), 0);
    expect_refused("//bucket", "AWS_SECRET_ACCESS_KEY is not");
}
END_TEST

START_TEST(endpoints_come_in_order)
{
    struct crn_s3_config c;
    set_keys();
    ck_assert_int_eq(setenv("AWS_ENDPOINT_URL", "http://general:1", 1), 0);
    read_uri("//bucket", &c);
    ck_assert_str_eq(c.host, "general:1");
    ck_assert(c.path_style);
    crn_s3_config_done(&c);
    ck_assert_int_eq(setenv("AWS_ENDPOINT_URL_S3", "https://special:2", 1), 0);
    read_uri("//bucket", &c);
    ck_assert_str_eq(c.host, "special:2");
    crn_s3_config_done(&c);
    read_uri("//bucket?endpoint=http://mine:3", &c);
    ck_assert_str_eq(c.host, "mine:3");
    crn_s3_config_done(&c);
}
END_TEST

START_TEST(options_carry_keys)
{
    cairn_s3_options o = CAIRN_S3_OPTIONS_INIT;
    struct crn_s3_config c;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    set_keys();
    o.bucket = "bucket";
    o.access_key = "given";
    ck_assert_int_eq(crn_s3_config_from_options(&o, &c, &error), CAIRN_EINVAL);
    o.secret_key = "secret";
    o.session_token = "token";
    ck_assert_int_eq(crn_s3_config_from_options(&o, &c, NULL), 0);
    ck_assert_str_eq(c.access_key, "given");
    ck_assert_str_eq(c.secret_key, "secret");
    ck_assert_str_eq(c.session_token, "token");
    crn_s3_config_done(&c);
    o.prefix = "a/";
    ck_assert_int_eq(crn_s3_config_from_options(&o, &c, NULL), CAIRN_EINVAL);
    o.bucket = NULL;
    ck_assert_int_eq(crn_s3_config_from_options(&o, &c, NULL), CAIRN_EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_config");
    TCase *tcase = tcase_create("config");
    tcase_set_timeout(tcase, 20);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, uris_and_defaults);
    tcase_add_test(tcase, what_is_not_understood_is_refused);
    tcase_add_test(tcase, credentials_come_in_order);
    tcase_add_test(tcase, endpoints_come_in_order);
    tcase_add_test(tcase, options_carry_keys);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
