/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that nothing that comes in through the control endpoint harms it or the job (P11):
 * malformed, oversized, slow, half-closed, pipelined and abandoned requests, and many connections,
 * each get the answer that docs/rest.md says, or are cut; afterwards the endpoint answers as
 * before. Over TCP, nobody is answered who does not show the token. Bare sockets, a job with the
 * fake state backend, and short limits instead of those of 10 s and more.
 */
#include "tests/support/control_kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TOKEN "0123456789abcdef"

static struct controlled c;

static void setup(void)
{
    controlled_init(&c, false);
    c.limits.linger_us = 1000; /* nobody asks what became of the orders here */
}

/* Whatever was done to it, it is there. */
static void teardown(void)
{
    AUTO_ANSWER job = request(&c, "GET", "/v1/job", NULL);
    ck_assert(job.status == 200 || c.f.options.control_token != NULL);
    controlled_done(&c);
}

static int bare(void)
{
    int fd = bare_open(cairn_job_control_address(c.job));
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void hang_up(int fd)
{
    ck_assert_int_eq(close(fd), 0);
}

/* ------------------------------------------------------------------------------------------ *
 * Wrong requests
 * ------------------------------------------------------------------------------------------ */

START_TEST(wrong_requests_are_named)
{
    static const struct {
        const char *method, *path, *body;
        unsigned status;
        const char *code, *part;
    } wrong[] = {
        {"GET", "/", NULL, 404, "CAIRN_ENOTFOUND", "no path '/'"},
        {"GET", "/v1", NULL, 404, "CAIRN_ENOTFOUND", "/v1"},
        {"GET", "/v1/jobs", NULL, 404, "CAIRN_ENOTFOUND", "/v1/jobs"},
        {"GET", "/v1/%6aob", NULL, 404, "CAIRN_ENOTFOUND", "%6aob"},
        {"GET", "//v1/job", NULL, 404, "CAIRN_ENOTFOUND", "//v1/job"},
        {"GET", "/v1/triggers/a/b", NULL, 404, "CAIRN_ENOTFOUND", "a/b"},
        {"GET", "/v1/checkpoints/1/", NULL, 404, "CAIRN_ENOTFOUND", "'1'"},
        {"DELETE", "/v1/job", NULL, 405, "CAIRN_EUNSUPPORTED", "GET, HEAD"},
        {"PUT", "/v1/checkpoints", "{}", 405, "CAIRN_EUNSUPPORTED", "GET, HEAD, POST"},
        {"GET", "/v1/stop", NULL, 405, "CAIRN_EUNSUPPORTED", "POST"},
        {"BREW", "/metrics", NULL, 405, "CAIRN_EUNSUPPORTED", "GET, HEAD"},
        {"GET", "/v1/job?x", NULL, 400, "CAIRN_EINVAL", "no parameter 'x'"},
        {"GET", "/v1/checkpoints?limit=0", NULL, 400, "CAIRN_EINVAL", "from 1 to 1000"},
        {"GET", "/v1/checkpoints?limit=1001", NULL, 400, "CAIRN_EINVAL", "from 1 to 1000"},
        {"GET", "/v1/checkpoints?limit=", NULL, 400, "CAIRN_EINVAL", "limit"},
        {"GET", "/v1/checkpoints?limit", NULL, 400, "CAIRN_EINVAL", "limit"},
        {"GET", "/v1/checkpoints?before=-1", NULL, 400, "CAIRN_EINVAL", "before"},
        {"GET", "/v1/checkpoints?before=99999999999999999999", NULL, 400, "CAIRN_EINVAL", "before"},
        {"GET", "/v1/triggers/1-1?wait_ms=30001", NULL, 400, "CAIRN_EINVAL", "30000"},
        {"POST", "/v1/checkpoints", "{", 400, "CAIRN_EINVAL", "not JSON"},
        {"POST", "/v1/checkpoints", "[]", 400, "CAIRN_EINVAL", "JSON object"},
        {"POST", "/v1/checkpoints", "{} {}", 400, "CAIRN_EINVAL", "not JSON"},
        {"POST", "/v1/checkpoints", "{\"Full\":true}", 400, "CAIRN_EINVAL", "no field 'Full'"},
        {"POST", "/v1/checkpoints", "{\"full\":1}", 400, "CAIRN_EINVAL", "true or false"},
        {"POST", "/v1/savepoints", "{\"format\":\"avro\"}", 400, "CAIRN_EINVAL", "canonical"},
        {"POST", "/v1/savepoints", "{\"target\":\"relative\"}", 400, "CAIRN_EINVAL", "absolute"},
        {"POST", "/v1/savepoints", "{\"target\":7}", 400, "CAIRN_EINVAL", "a text"},
        {"POST", "/v1/savepoints", "{\"drain\":true}", 400, "CAIRN_EINVAL", "no field 'drain'"},
        {"POST", "/v1/cancel", "{\"format\":\"native\"}", 400, "CAIRN_EINVAL", "'savepoint'"},
        {"GET", "/v1/triggers/1-99", NULL, 404, "CAIRN_ENOTFOUND", "1-99"},
        {"GET", "/v1/triggers/0-0", NULL, 404, "CAIRN_ENOTFOUND", "0-0"},
    };
    controlled_start(&c);
    for (size_t i = 0; i < CRN_COUNT(wrong); i++)
        ck_refused(request(&c, wrong[i].method, wrong[i].path, wrong[i].body), wrong[i].status,
                   wrong[i].code, wrong[i].part);
    AUTO_ANSWER none = request(&c, "GET", "/v1/triggers", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&none, "triggers")), 0);
    AUTO_ANSWER allow = request(&c, "PUT", "/v1/checkpoints", NULL);
    ck_assert_ptr_nonnull(strstr(allow.headers, "Allow: GET, HEAD, POST\r\n"));
}
END_TEST

START_TEST(content_type_is_json)
{
    static const struct {
        const char *type;
        unsigned status;
    } types[] = {{"application/json", 202},
                 {"Application/JSON; charset=utf-8", 202},
                 {"application/jsonp", 415},
                 {"application/x-www-form-urlencoded", 415},
                 {"text/plain", 415}};
    controlled_start(&c);
    for (size_t i = 0; i < CRN_COUNT(types); i++) {
        char text[300];
        int fd = bare();
        (void)snprintf(text, sizeof text,
                       "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
                       "Content-Length: 2\r\n\r\n{}",
                       types[i].type);
        ck_assert(bare_text(fd, text));
        AUTO_ANSWER answer = bare_read(fd);
        ck_assert_msg(answer.status == types[i].status, "%s: %u %s", types[i].type, answer.status,
                      answer.body);
        hang_up(fd);
    }
}
END_TEST

/* What is no HTTP is refused or cut; it may be without words of ours. */
START_TEST(garbage_is_refused)
{
    static const char *const texts[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v1/job\r\n\r\n",
        "GET /v1/job HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /v1/job HTTP/1.1\r\n\r\n", /* no Host */
        "GET /v1/job HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03\r\n\r\n", /* TLS */
        "\xff\xfe\xfd",
    };
    c.limits.request_us = 200000;
    c.limits.idle_us = 200000;
    controlled_start(&c);
    for (size_t i = 0; i < CRN_COUNT(texts); i++) {
        int fd = bare();
        ck_assert(bare_text(fd, texts[i]));
        AUTO_ANSWER answer = bare_read(fd);
        ck_assert_msg(answer.status == 0 || (answer.status >= 400 && answer.status < 600),
                      "%zu: %u %s", i, answer.status, answer.body);
        hang_up(fd);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Too much
 * ------------------------------------------------------------------------------------------ */

START_TEST(large_bodies_are_refused)
{
    enum { LIMIT = 65536 };
    static char body[4 * LIMIT + 1];
    controlled_start(&c);
    memset(body, ' ', sizeof body - 1);
    body[0] = '{', body[LIMIT - 1] = '}', body[LIMIT] = '\0';
    AUTO_ANSWER fits = request(&c, "POST", "/v1/checkpoints", body);
    ck_assert_uint_eq(fits.status, 202);
    body[LIMIT] = ' ';
    ck_refused(request(&c, "POST", "/v1/checkpoints", body), 413, "CAIRN_EINVAL", "65536");

    /* The same in chunks, whose sum is not told. */
    int fd = bare();
    ck_assert(bare_text(fd,
                        "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\n"
                        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (unsigned i = 0; i < 80; i++) {
        ck_assert(bare_text(fd, "400\r\n"));
        ck_assert(bare_send(fd, body + 1, 1024));
        ck_assert(bare_text(fd, "\r\n"));
    }
    ck_assert(bare_text(fd, "0\r\n\r\n"));
    ck_refused(bare_read(fd), 413, "CAIRN_EINVAL", "65536");
    hang_up(fd);
}
END_TEST

START_TEST(long_targets_and_headers_are_refused)
{
    static char path[3000], text[40000];
    controlled_start(&c);
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[1024] = '\0';
    ck_refused(request(&c, "GET", path, NULL), 404, "CAIRN_ENOTFOUND", "/aaa");
    path[1024] = 'a';
    ck_refused(request(&c, "GET", path, NULL), 414, "CAIRN_EINVAL", "1024");

    static const struct {
        const char *before, *after;
        unsigned status;
    } long_ones[] = {{"GET /", " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
                     {"GET /v1/job HTTP/1.1\r\nHost: x\r\nX: ", "\r\n\r\n", 431}};
    for (size_t i = 0; i < CRN_COUNT(long_ones); i++) {
        size_t n = strlen(long_ones[i].before);
        int fd = bare();
        memset(text, 'x', sizeof text);
        memcpy(text, long_ones[i].before, n);
        (void)snprintf(text + 30000, sizeof text - 30000, "%s", long_ones[i].after);
        (void)bare_text(fd, text); /* it may be cut in the middle */
        AUTO_ANSWER answer = bare_read(fd);
        ck_assert_msg(answer.status == long_ones[i].status || answer.status == 0, "%u %s",
                      answer.status, answer.body);
        hang_up(fd);
    }
}
END_TEST

START_TEST(many_connections_wait_their_turn)
{
    enum { MANY = 100, MAX = 64 };
    int fds[MANY];
    c.limits.idle_us = 500000;
    c.limits.request_us = 300000;
    controlled_start(&c);
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = bare_open(cairn_job_control_address(c.job));
        if (fds[i] >= 0 && i < MAX / 2)
            ck_assert(bare_text(fds[i], "GET /v1/job HTTP/1.1\r\nHost: x\r\n"));
    }
    /* Those in front are cut in the end; before that, one more may be closed at once. */
    unsigned status = 0;
    for (int tries = 0; tries < 100 && status != 200; tries++) {
        AUTO_ANSWER answer = request(&c, "GET", "/v1/job", NULL);
        status = (unsigned)answer.status;
        if (status != 200)
            crn_sleep_us(100000);
    }
    ck_assert_uint_eq(status, 200);
    for (unsigned i = 0; i < MANY; i++)
        if (fds[i] >= 0)
            hang_up(fds[i]);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Too slow, and not at all
 * ------------------------------------------------------------------------------------------ */

/* A byte now and then keeps nothing alive. Where it stops does not matter. */
START_TEST(slow_requests_are_cut)
{
    static const char text[] = "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: "
                               "application/json\r\nContent-Length: 40\r\n\r\n{\"full\":  ";
    const size_t line = strcspn(text, "\n") + 1;
    const size_t quick[] = {line, line + 12, sizeof text - 6};
    c.limits.request_us = 300000;
    c.limits.idle_us = 600000;
    controlled_start(&c);
    for (size_t i = 0; i < CRN_COUNT(quick); i++) {
        int fd = bare();
        uint64_t start_us = crn_now_us();
        bool is_open = bare_send(fd, text, quick[i]);
        for (size_t at = quick[i]; is_open && at < sizeof text - 1; at++) {
            crn_sleep_us(20000);
            char byte;
            is_open =
                recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && bare_send(fd, text + at, 1);
        }
        ck_refused(bare_read(fd), 408, "CAIRN_ETIMEOUT", "not complete");
        ck_assert(bare_is_closed(fd));
        ck_assert_uint_lt(crn_now_us() - start_us, 3000000);
        hang_up(fd);
    }
    /* Not even a first line: no words, but an end. */
    int fd = bare();
    uint64_t start_us = crn_now_us();
    bool is_open = true;
    for (size_t at = 0; is_open && at < line - 2; at++) {
        crn_sleep_us(50000);
        is_open = bare_send(fd, text + at, 1);
    }
    ck_assert(bare_is_closed(fd));
    ck_assert_uint_lt(crn_now_us() - start_us, 3000000);
    hang_up(fd);
}
END_TEST

START_TEST(who_takes_no_answer_is_cut)
{
    static const char get[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    const int small = 1;
    c.limits.answer_us = 300000;
    controlled_start(&c);
    int fd = bare();
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    struct timeval timeout = {.tv_usec = 100000};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout), 0);
    uint64_t start_us = crn_now_us();
    while (bare_send(fd, get, sizeof get - 1)) /* until nobody reads it any more */
        ck_assert_uint_lt(crn_now_us() - start_us, 10000000);
    do {
        crn_sleep_us(20000);
        ck_assert_uint_lt(crn_now_us() - start_us, 10000000);
    } while (send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN);
    hang_up(fd);
}
END_TEST

START_TEST(half_closed_and_abandoned_requests)
{
    static const char get[] = "GET /v1/job HTTP/1.1\r\nHost: x\r\n\r\n";
    controlled_start(&c);
    int fd = bare(); /* no more is sent, but the answer is read */
    ck_assert(bare_text(fd, get));
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    AUTO_ANSWER answer = bare_read(fd);
    ck_assert(answer.status == 200 || answer.status == 0);
    hang_up(fd);
    for (size_t n = 1; n < sizeof get; n++) { /* gone in the middle */
        fd = bare();
        ck_assert(bare_send(fd, get, n));
        hang_up(fd);
    }
    /* Gone while it waits for a trigger. */
    controlled_stop_pump(&c);
    AUTO_ANSWER accepted = request(&c, "POST", "/v1/checkpoints", NULL);
    for (unsigned i = 0; i < 5; i++) {
        char text[300];
        fd = bare();
        (void)snprintf(text, sizeof text, "GET %s?wait_ms=30000 HTTP/1.1\r\nHost: x\r\n\r\n",
                       text_of(&accepted, "location"));
        ck_assert(bare_text(fd, text));
        crn_sleep_us(10000);
        hang_up(fd);
    }
    controlled_pump(&c);
    AUTO_ANSWER trigger = follow(&c, &accepted);
    ck_assert_str_eq(text_of(&trigger, "state"), "completed");
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    controlled_start(&c);
    int fd = bare();
    ck_assert(bare_text(fd, "GET /v1/job HTTP/1.1\r\nHost: x\r\n\r\n"
                            "GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                            "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: "
                            "application/json\r\nContent-Length: 14\r\n\r\n{\"full\": true}"
                            "GET /v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n"));
    static const unsigned status[] = {200, 404, 202, 200};
    static const char *const fields[] = {"name", "error", "trigger_id", "tasks"};
    for (size_t i = 0; i < CRN_COUNT(status); i++) {
        AUTO_ANSWER answer = bare_read(fd);
        ck_assert_uint_eq(answer.status, status[i]);
        ck_assert_ptr_nonnull(member(&answer, fields[i]));
    }
    hang_up(fd);
}
END_TEST

START_TEST(a_wait_ends_in_time)
{
    controlled_start(&c);
    controlled_stop_pump(&c);
    AUTO_ANSWER accepted = request(&c, "POST", "/v1/savepoints", NULL);
    char path[100];
    (void)snprintf(path, sizeof path, "%s?wait_ms=150", text_of(&accepted, "location"));
    uint64_t start_us = crn_now_us();
    AUTO_ANSWER trigger = request(&c, "GET", path, NULL);
    ck_assert_uint_ge(crn_now_us() - start_us, 150000);
    ck_assert_uint_lt(crn_now_us() - start_us, 5000000);
    ck_assert_uint_eq(trigger.status, 200);
    ck_assert_ptr_null(member(&trigger, "end_time_ms"));
    controlled_pump(&c);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * TCP
 * ------------------------------------------------------------------------------------------ */

START_TEST(tcp_wants_the_token)
{
    static const char *const wrong[] = {
        "", "0", "0123456789abcdeF", "0123456789abcde", TOKEN "0", "1123456789abcdef"};
    c.f.options.control = "tcp:127.0.0.1:0";
    c.f.options.control_token = TOKEN;
    controlled_start(&c);
    const char *address = cairn_job_control_address(c.job);
    ck_assert_int_eq(strncmp(address, "http://127.0.0.1:", 17), 0);
    ck_refused(request_at(address, NULL, "GET", "/v1/job", NULL), 401, "CAIRN_EACCES", "Bearer");
    for (size_t i = 0; i < CRN_COUNT(wrong); i++)
        ck_refused(request_at(address, wrong[i], "GET", "/v1/job", NULL), 401, "CAIRN_EACCES",
                   "token");
    /* Not even whether there is such a path is told. */
    AUTO_ANSWER nowhere = request_at(address, "x", "POST", "/nowhere", "{");
    ck_assert_uint_eq(nowhere.status, 401);
    ck_assert_ptr_nonnull(strstr(nowhere.headers, "WWW-Authenticate: Bearer"));
    ck_refused(request_at(address, "x", "POST", "/v1/checkpoints", "{}"), 401, "CAIRN_EACCES",
               "token");
    AUTO_ANSWER basic = request_at(address, NULL, "GET", "/v1/job", NULL);
    ck_assert_uint_eq(basic.status, 401);
    AUTO_ANSWER right = request_at(address, TOKEN, "GET", "/v1/triggers", NULL);
    ck_assert_uint_eq(right.status, 200);
    ck_assert_uint_eq(json_object_array_length(member(&right, "triggers")), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control_hostile");
    TCase *t = tcase_create("hostile");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, wrong_requests_are_named);
    tcase_add_test(t, content_type_is_json);
    tcase_add_test(t, garbage_is_refused);
    tcase_add_test(t, large_bodies_are_refused);
    tcase_add_test(t, long_targets_and_headers_are_refused);
    tcase_add_test(t, many_connections_wait_their_turn);
    tcase_add_test(t, slow_requests_are_cut);
    tcase_add_test(t, who_takes_no_answer_is_cut);
    tcase_add_test(t, half_closed_and_abandoned_requests);
    tcase_add_test(t, pipelined_requests_are_answered_in_order);
    tcase_add_test(t, a_wait_ends_in_time);
    tcase_add_test(t, tcp_wants_the_token);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
