/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a server whose certificate is not right is not talked to, and that the error says
 * what to check (P11): another issuer, out of date, too early, for another host, no TLS at all; and
 * that what is right works, also over connections that break. Method: a proxy of our own that
 * speaks TLS before a server of our own, with certificates that the test issues itself.
 */
#include "tests/support/s3/certificates.h"
#include "tests/support/s3/fake_kit.h"
#include "tests/support/s3/proxy.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

static char dir[64];

static void setup(void)
{
    fake_kit_open();
    (void)snprintf(dir, sizeof dir, "/tmp/cairn-tls-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    certificates_issuer(dir, "ours");
    certificates_issuer(dir, "theirs");
}

static void teardown(void)
{
    ck_assert_int_eq(crn_file_remove_tree(dir, NULL), 0);
    fake_kit_close();
}

static struct proxy *start(const char *issuer, const struct certificate *certificate)
{
    char certificate_file[128], key_file[128];
    const struct proxy_tls tls = {certificate_file, key_file};
    certificates_issue(dir, issuer, "server", certificate);
    (void)snprintf(certificate_file, sizeof certificate_file, "%s/server.pem", dir);
    (void)snprintf(key_file, sizeof key_file, "%s/server.key", dir);
    return proxy_start(fake_port(fake), &tls);
}

static int open_tls(unsigned port, const char *more, cairn_store **ret, cairn_error **reterr)
{
    char rest[256];
    struct crn_s3_config config;
    (void)snprintf(rest, sizeof rest,
                   "//cairn/t?endpoint=https://127.0.0.1:%u&ca_file=%s/ours.pem&retry_ms=4000%s",
                   port, dir, more);
    CRN_TRY(crn_s3_config_from_uri(rest, "s3://cairn/t", &config, reterr));
    return crn_s3_store_open_config(&config, true, ret, reterr);
}

START_TEST(certificates_are_checked)
{
    static const struct {
        const char *issuer;
        struct certificate certificate;
        const char *word; /* NULL: it is right */
    } cases[] = {
        {"ours", {"IP:127.0.0.1", -1, 1}, NULL},
        {"theirs", {"IP:127.0.0.1", -1, 1}, "give its issuer as ca_file"},
        {"ours", {"IP:127.0.0.1", -3, -1}, "has expired, or this machine's clock"},
        {"ours", {"IP:127.0.0.1", 1, 3}, "not valid yet, or this machine's clock"},
        {"ours", {"DNS:s3.example.org", -1, 1}, "for another host"},
    };
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        struct proxy *proxy = start(cases[i].issuer, &cases[i].certificate);
        cairn_store *opened = NULL;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = open_tls(proxy_port(proxy), "", &opened, &error);
        if (cases[i].word == NULL) {
            ck_assert_msg(r == 0, "%s", cairn_error_message(error));
            ck_assert_int_eq(opened->ops->create(opened, "k", "v", 1, NULL), 0);
            expect_stored("k", "v");
            opened->ops->close(opened);
        } else {
            expect_error(r, CAIRN_EINVAL, &error, cases[i].word, "127.0.0.1");
            ck_assert_uint_eq(proxy_requests(proxy), 0);
        }
        proxy_stop(proxy);
    }
}
END_TEST

START_TEST(a_server_without_tls_is_an_error)
{
    cairn_store *opened;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    expect_error(open_tls(fake_port(fake), "&retry_ms=500", &opened, &error), CAIRN_ETIMEOUT,
                 &error, "SSL", NULL);
}
END_TEST

START_TEST(what_breaks_is_made_anew)
{
    const unsigned whats = 1u << PROXY_CUT_REQUEST | 1u << PROXY_CUT_REPLY | 1u << PROXY_TRUNCATE |
                           1u << PROXY_DUPLICATE | 1u << PROXY_HOLD | 1u << PROXY_REPLAY;
    struct proxy *proxy = start("ours", &(struct certificate){"IP:127.0.0.1", -1, 1});
    cairn_store *opened;
    ck_assert_int_eq(open_tls(proxy_port(proxy), "&request_timeout_ms=1000", &opened, NULL), 0);
    proxy_set_chance(proxy, 9, 250, whats);
    for (int i = 0; i < 40; i++) {
        char key[16];
        struct crn_bytes_source source;
        cairn_put_how how;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        (void)snprintf(key, sizeof key, "k%d", i);
        crn_bytes_source_init(&source, key, strlen(key));
        int r = opened->ops->put(opened, key, &source.source, &how, &error);
        ck_assert_msg(r == 0, "%s", cairn_error_message(error));
        expect_stored(key, key);
    }
    opened->ops->close(opened);
    proxy_stop(proxy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_tls");
    TCase *tcase = tcase_create("tls");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, certificates_are_checked);
    tcase_add_test(tcase, a_server_without_tls_is_an_error);
    tcase_add_test(tcase, what_breaks_is_made_anew);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
