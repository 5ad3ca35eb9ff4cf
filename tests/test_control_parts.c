/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the parts of the control endpoint one by one: what addresses are understood and which are
 * refused with a sentence; who may get at its sockets, and that neither a live socket nor anybody's
 * file is ever removed for one; that all that is written is valid JSON, whatever is in a text; and
 * that trigger ids have one form.
 * Real sockets in a directory of the test's own.
 */
#include "base/file.h"
#include "engine/control/endpoint.h"
#include "engine/control/json_out.h"
#include "engine/control/triggers.h"
#include "tests/support/job_fixture.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char root[64];

static void setup(void)
{
    (void)snprintf(root, sizeof root, "/tmp/cairn-parts-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(setenv("CAIRN_RUN_DIR", root, 1), 0);
}

static void teardown(void)
{
    ck_ok(crn_file_remove_tree(root, reterr));
}

/* ------------------------------------------------------------------------------------------ *
 * Addresses
 * ------------------------------------------------------------------------------------------ */

#define TOKEN "0123456789abcdef"

START_TEST(addresses_are_understood)
{
    static const struct {
        const char *text;
        enum crn_endpoint_kind kind;
        uint16_t port;
    } good[] = {{NULL, CRN_ENDPOINT_NONE, 0},
                {"unix", CRN_ENDPOINT_RUN_DIR, 0},
                {"unix:/a", CRN_ENDPOINT_PATH, 0},
                {"tcp:127.0.0.1:0", CRN_ENDPOINT_TCP4, 0},
                {"tcp:127.0.0.1:65535", CRN_ENDPOINT_TCP4, 65535},
                {"tcp:[::1]:8125", CRN_ENDPOINT_TCP6, 8125}};
    for (size_t i = 0; i < CRN_COUNT(good); i++) {
        struct crn_endpoint_wanted wanted = {0};
        ck_ok(crn_endpoint_parse(good[i].text, TOKEN, &wanted, reterr));
        ck_assert_int_eq(wanted.kind, good[i].kind);
        ck_assert_uint_eq(wanted.port, good[i].port);
        ck_assert_int_eq(wanted.token != NULL,
                         strncmp(good[i].text ? good[i].text : "", "tcp", 3) == 0);
        crn_endpoint_wanted_done(&wanted);
    }
}
END_TEST

START_TEST(other_addresses_are_refused)
{
    static const struct {
        const char *text, *token, *part;
    } bad[] = {{"", NULL, "is not 'unix'"},
               {"unix:", NULL, "is not 'unix'"},
               {"unix:relative", NULL, "is not 'unix'"},
               {"unix:/directory/", NULL, "is not 'unix'"},
               {"http://127.0.0.1:80", TOKEN, "is not 'unix'"},
               {"tcp:0.0.0.0:80", TOKEN, "loopback only"},
               {"tcp:127.0.0.2:80", TOKEN, "loopback only"},
               {"tcp:localhost:80", TOKEN, "loopback only"},
               {"tcp:[::]:80", TOKEN, "loopback only"},
               {"tcp:10.0.0.1:80", TOKEN, "loopback only"},
               {"tcp:127.0.0.1", TOKEN, "loopback only"},
               {"tcp:127.0.0.1:", TOKEN, "port"},
               {"tcp:127.0.0.1:65536", TOKEN, "port"},
               {"tcp:127.0.0.1:-1", TOKEN, "port"},
               {"tcp:127.0.0.1:8125x", TOKEN, "port"},
               {"tcp:127.0.0.1:80", NULL, "needs control_token"},
               {"tcp:127.0.0.1:80", "", "needs control_token"},
               {"tcp:127.0.0.1:80", "0123456789abcde", "15 bytes"},
               {"tcp:127.0.0.1:80", "0123456789abcdef 0", "not visible"},
               {"tcp:127.0.0.1:80", "0123456789abcdef\xc3\xa4", "not visible"}};
    for (size_t i = 0; i < CRN_COUNT(bad); i++) {
        struct crn_endpoint_wanted wanted = {0};
        ck_fails(crn_endpoint_parse(bad[i].text, bad[i].token, &wanted, reterr), CAIRN_EINVAL,
                 bad[i].part);
    }
    char token[300];
    struct crn_endpoint_wanted wanted = {0};
    memset(token, 'x', sizeof token);
    token[257] = '\0';
    ck_fails(crn_endpoint_parse("tcp:127.0.0.1:80", token, &wanted, reterr), CAIRN_EINVAL, "257");
    token[256] = '\0';
    ck_ok(crn_endpoint_parse("tcp:127.0.0.1:80", token, &wanted, reterr));
    crn_endpoint_wanted_done(&wanted);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Sockets
 * ------------------------------------------------------------------------------------------ */

static int open_at(const char *control, const char *job, struct crn_endpoint *ret,
                   cairn_error **reterr)
{
    CRN_CLEANUP(crn_endpoint_wanted_done) struct crn_endpoint_wanted wanted = {0};
    *ret = (struct crn_endpoint)CRN_ENDPOINT_CLOSED;
    CRN_TRY(crn_endpoint_parse(control, TOKEN, &wanted, reterr));
    return crn_endpoint_open(&wanted, job, ret, reterr);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int r = connect(fd, (const struct sockaddr *)&address, sizeof address);
    ck_assert_int_eq(close(fd), 0);
    return r;
}

/* What a process that was killed leaves. */
static void leave_dead(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_ne(connect_to(path), 0);
    ck_assert_int_eq(access(path, F_OK), 0);
}

START_TEST(sockets_are_for_their_owner)
{
    struct crn_endpoint endpoint;
    struct stat st;
    char run[100], expected[200];
    mode_t before = umask(0);
    (void)snprintf(run, sizeof run, "%s/run", root);
    ck_assert_int_eq(setenv("CAIRN_RUN_DIR", run, 1), 0);
    ck_ok(open_at("unix", "orders/über \"x\"", &endpoint, reterr));
    (void)umask(before);
    (void)snprintf(expected, sizeof expected, "%s/orders___ber__x_.%ld.sock", run, (long)getpid());
    ck_assert_str_eq(endpoint.path, expected);
    ck_assert_int_eq(strncmp(endpoint.address, "unix:/", 6), 0);
    ck_assert_str_eq(endpoint.address + 5, expected);
    ck_assert_int_eq(stat(run, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(stat(endpoint.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(connect_to(endpoint.path), 0);
    crn_endpoint_close(&endpoint);
    ck_assert_int_ne(access(expected, F_OK), 0);
}
END_TEST

START_TEST(foreign_run_directories_are_refused)
{
    struct crn_endpoint endpoint;
    char link[100], missing[100];
    ck_assert_int_eq(chmod(root, 0770), 0);
    ck_fails(open_at("unix", "job", &endpoint, reterr), CAIRN_EACCES, "others may write");
    ck_assert_int_eq(chmod(root, 0700), 0);
    (void)snprintf(link, sizeof link, "%s/link", root);
    ck_assert_int_eq(symlink(root, link), 0);
    ck_assert_int_eq(setenv("CAIRN_RUN_DIR", link, 1), 0);
    ck_fails(open_at("unix", "job", &endpoint, reterr), CAIRN_EIO, link);
    (void)snprintf(missing, sizeof missing, "%s/a/b", root);
    ck_assert_int_eq(setenv("CAIRN_RUN_DIR", missing, 1), 0);
    ck_fails(open_at("unix", "job", &endpoint, reterr), CAIRN_EIO, missing);
    if (geteuid() == 0) {
        ck_assert_int_eq(setenv("CAIRN_RUN_DIR", root, 1), 0);
        ck_assert_int_eq(chown(root, 65534, 65534), 0);
        ck_fails(open_at("unix", "job", &endpoint, reterr), CAIRN_EACCES, "another user");
        ck_assert_int_eq(chown(root, 0, 0), 0);
    }
}
END_TEST

START_TEST(run_directory_by_environment)
{
    CRN_AUTO_FREE char *own = NULL, *xdg = NULL, *none = NULL;
    char expected[64];
    (void)snprintf(expected, sizeof expected, "/tmp/cairn-%u", (unsigned)geteuid());
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0);
    ck_ok(crn_endpoint_run_dir(&own, reterr));
    ck_assert_str_eq(own, root);
    ck_assert_int_eq(setenv("CAIRN_RUN_DIR", "", 1), 0);
    ck_ok(crn_endpoint_run_dir(&xdg, reterr));
    ck_assert_str_eq(xdg, "/run/user/7/cairn");
    ck_assert_int_eq(unsetenv("XDG_RUNTIME_DIR"), 0);
    ck_ok(crn_endpoint_run_dir(&none, reterr));
    ck_assert_str_eq(none, expected);
}
END_TEST

START_TEST(dead_sockets_give_way_live_ones_do_not)
{
    struct crn_endpoint first, second, third;
    char path[200], earlier[200], others[200], file[200];
    (void)snprintf(path, sizeof path, "%s/job.%ld.sock", root, (long)getpid());
    (void)snprintf(earlier, sizeof earlier, "%s/job.1.sock", root);
    (void)snprintf(others, sizeof others, "%s/jobs.1.sock", root);
    (void)snprintf(file, sizeof file, "%s/job.2.sock", root);
    leave_dead(path);
    leave_dead(earlier);
    leave_dead(others);
    ck_ok(crn_file_write_new(file, "x", 1, false, reterr));
    ck_ok(open_at("unix", "job", &first, reterr));
    ck_assert_str_eq(first.path, path);
    ck_assert_int_ne(access(earlier, F_OK), 0); /* of this job, and dead */
    ck_assert_int_eq(access(others, F_OK), 0);
    ck_assert_int_eq(access(file, F_OK), 0);
    ck_ok(open_at("unix", "job", &second, reterr));
    (void)snprintf(path, sizeof path, "%s/job.%ld-2.sock", root, (long)getpid());
    ck_assert_str_eq(second.path, path);
    ck_assert_int_eq(connect_to(first.path), 0);
    ck_assert_int_eq(connect_to(second.path), 0);
    crn_endpoint_close(&first);
    ck_ok(open_at("unix", "job", &third, reterr)); /* the name is free again */
    ck_assert_int_eq(connect_to(second.path), 0);
    crn_endpoint_close(&second);
    crn_endpoint_close(&third);
}
END_TEST

START_TEST(given_paths_are_taken_from_the_dead_only)
{
    struct crn_endpoint first, second;
    char control[200], file[200];
    (void)snprintf(control, sizeof control, "unix:%s/socket", root);
    leave_dead(control + 5);
    ck_ok(open_at(control, "job", &first, reterr));
    ck_fails(open_at(control, "job", &second, reterr), CAIRN_EBUSY, "in use");
    ck_assert_int_eq(connect_to(control + 5), 0);
    crn_endpoint_close(&first);
    (void)snprintf(file, sizeof file, "unix:%s/file", root);
    ck_ok(crn_file_write_new(file + 5, "precious", 8, false, reterr));
    ck_fails(open_at(file, "job", &second, reterr), CAIRN_EBUSY, "no socket");
    ck_assert_int_eq(access(file + 5, F_OK), 0);
}
END_TEST

START_TEST(long_paths_are_refused)
{
    struct crn_endpoint endpoint;
    char control[300], name[129];
    int n = snprintf(control, sizeof control, "unix:%s/", root);
    memset(control + n, 'x', sizeof control - (size_t)n);
    control[5 + 108] = '\0'; /* one too many */
    ck_fails(open_at(control, "job", &endpoint, reterr), CAIRN_EINVAL, "at most 107 bytes");
    control[5 + 107] = '\0';
    ck_ok(open_at(control, "job", &endpoint, reterr));
    crn_endpoint_close(&endpoint);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_ok(open_at("unix", name, &endpoint, reterr));
    ck_assert_uint_eq(strspn(strrchr(endpoint.path, '/') + 1, "n"), 40);
    crn_endpoint_close(&endpoint);
}
END_TEST

START_TEST(ports_are_taken_once)
{
    struct crn_endpoint first, second;
    char control[64];
    ck_ok(open_at("tcp:127.0.0.1:0", "job", &first, reterr));
    (void)snprintf(control, sizeof control, "tcp:%s", first.address + 7);
    ck_fails(open_at(control, "job", &second, reterr), CAIRN_EBUSY, "another port");
    crn_endpoint_close(&first);
    ck_ok(open_at(control, "job", &second, reterr));
    crn_endpoint_close(&second);
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe >= 0 && access("/proc/net/if_inet6", R_OK) == 0 &&
        open_at("tcp:[::1]:0", "job", &first, NULL) == 0) {
        ck_assert_int_eq(strncmp(first.address, "http://[::1]:", 13), 0);
        crn_endpoint_close(&first);
    }
    if (probe >= 0)
        ck_assert_int_eq(close(probe), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Words
 * ------------------------------------------------------------------------------------------ */

START_TEST(any_text_becomes_json)
{
    static const struct {
        const char *text, *json;
    } texts[] = {
        {"plain", "\"plain\""},
        {"", "\"\""},
        {"\"\\/", "\"\\\"\\\\/\""},
        {"a\nb\x01\x7f", "\"a\\u000ab\\u0001\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff"
         "a",
         "\"\xef\xbf\xbd"
         "a\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""}};
    for (size_t i = 0; i < CRN_COUNT(texts); i++) {
        CRN_AUTO_BUFFER struct cairn_buffer buffer = {0};
        struct crn_json_out out = {.buffer = &buffer};
        crn_json_text(&out, NULL, texts[i].text);
        ck_assert(!out.failed);
        ck_assert_str_eq((const char *)buffer.data, texts[i].json);
    }
}
END_TEST

START_TEST(json_is_well_formed)
{
    CRN_AUTO_BUFFER struct cairn_buffer buffer = {0};
    struct crn_json_out out = {.buffer = &buffer};
    crn_json_begin(&out, NULL, '{');
    crn_json_begin(&out, "empty", '[');
    crn_json_end(&out, ']');
    crn_json_begin(&out, "list", '[');
    crn_json_u64(&out, NULL, UINT64_MAX);
    crn_json_i64(&out, NULL, INT64_MIN);
    crn_json_begin(&out, NULL, '{');
    crn_json_bool(&out, "yes", true);
    crn_json_some_text(&out, "none", "");
    crn_json_end(&out, '}');
    crn_json_end(&out, ']');
    crn_json_hex(&out, "hex", "\x00\xff", 2);
    crn_json_null(&out, "k\"ey");
    crn_json_end(&out, '}');
    ck_assert(!out.failed);
    ck_assert_str_eq((const char *)buffer.data,
                     "{\"empty\":[],\"list\":[18446744073709551615,-9223372036854775808,"
                     "{\"yes\":true,\"none\":null}],\"hex\":\"00ff\",\"k\\\"ey\":null}");
}
END_TEST

START_TEST(trigger_ids_have_one_form)
{
    static const char *const bad[] = {"",      "1",    "-",   "1-",   "-1",
                                      "1-2-3", "01-2", "1-0", "1-+2", "1- 2",
                                      "1-2 ",  "0-1",  "x-1", "1-02", "1-99999999999999999999"};
    uint64_t epoch, number;
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        ck_assert_msg(crn_trigger_id_parse(bad[i], &epoch, &number) == CAIRN_EINVAL, "%s", bad[i]);
    ck_assert_int_eq(crn_trigger_id_parse("12-345", &epoch, &number), 0);
    ck_assert_uint_eq(epoch, 12);
    ck_assert_uint_eq(number, 345);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control_parts");
    TCase *t = tcase_create("parts");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, addresses_are_understood);
    tcase_add_test(t, other_addresses_are_refused);
    tcase_add_test(t, sockets_are_for_their_owner);
    tcase_add_test(t, foreign_run_directories_are_refused);
    tcase_add_test(t, run_directory_by_environment);
    tcase_add_test(t, dead_sockets_give_way_live_ones_do_not);
    tcase_add_test(t, given_paths_are_taken_from_the_dead_only);
    tcase_add_test(t, long_paths_are_refused);
    tcase_add_test(t, ports_are_taken_once);
    tcase_add_test(t, any_text_becomes_json);
    tcase_add_test(t, json_is_well_formed);
    tcase_add_test(t, trigger_ids_have_one_form);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
