/* SPDX-License-Identifier: Apache-2.0 */
/* A job with a control endpoint, and clients. */
#include "tests/support/control_kit.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATIENCE_MS 20000

/* ------------------------------------------------------------------------------------------ *
 * The job
 * ------------------------------------------------------------------------------------------ */

/* Some key that the subtask of two owns. */
static int64_t subtask_key(uint32_t subtask)
{
    for (int64_t key = 0;; key++)
        if (subject_of_key(key) == subtask)
            return key;
}

void controlled_init(struct controlled *c, bool on_disk)
{
    memset(c, 0, sizeof *c);
    fixture_init(&c->f, on_disk);
    c->run_dir = fixture_dir(&c->f, "run");
    c->savepoints = fixture_dir(&c->f, "savepoints");
    ck_assert_int_eq(setenv("CAIRN_RUN_DIR", c->run_dir, 1), 0);
    c->f.options.control = "unix";
    c->f.options.savepoint_uri = c->savepoints;
}

static void set_limit(uint64_t *limit, uint64_t wanted)
{
    if (wanted != 0)
        *limit = wanted;
}

static void set_limits(const struct controlled *c)
{
    struct crn_control_limits *limits = crn_control_limits(c->job->control);
    set_limit(&limits->request_us, c->limits.request_us);
    set_limit(&limits->idle_us, c->limits.idle_us);
    set_limit(&limits->answer_us, c->limits.answer_us);
    set_limit(&limits->linger_us, c->limits.linger_us);
}

static void open_words(struct controlled *c, uint32_t subtask)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_value *count;
    cairn_list *events;
    options.name = "Words \"by\" count";
    options.parallelism = 2;
    options.subtask = subtask;
    options.key_type = CAIRN_INT64;
    ck_ok(cairn_task_open(c->job, "words", &options, &c->tasks[subtask], reterr));
    ck_ok(cairn_value_state(c->tasks[subtask], "count", CAIRN_INT64, NULL, &count, reterr));
    ck_ok(cairn_list_state(c->tasks[subtask], "events", CAIRN_STRING, NULL, &events, reterr));
    ck_assert_int_eq(cairn_task_set_key_int64(c->tasks[subtask], subtask_key(subtask)), 0);
    ck_ok(cairn_value_put_int64(count, 7, reterr));
}

static void open_tally(struct controlled *c)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_state_options avro = CAIRN_STATE_OPTIONS_INIT;
    cairn_state_options fields = CAIRN_STATE_OPTIONS_INIT;
    const cairn_field members[] = {{.name = "n", .type = CAIRN_INT64}};
    cairn_serializer *serializers[2];
    cairn_task **task = &c->tasks[2];
    cairn_map *map;
    cairn_value *value;
    cairn_operator_list *list;
    cairn_broadcast *broadcast;
    options.max_parallelism = 4;
    ck_ok(cairn_task_open(c->job, "tally", &options, task, reterr));
    ck_ok(cairn_avro_serializer("\"long\"", &serializers[0], reterr));
    ck_ok(cairn_struct_serializer("pair", members, 1, &serializers[1], reterr));
    avro.serializer = serializers[0];
    avro.ttl_ms = 60000;
    fields.serializer = serializers[1];
    ck_ok(cairn_map_state(*task, "names", CAIRN_STRING, CAIRN_AVRO, &avro, &map, reterr));
    ck_ok(cairn_value_state(*task, "pair", CAIRN_STRUCT, &fields, &value, reterr));
    ck_ok(cairn_operator_list_state(*task, "offset", CAIRN_SPLIT, CAIRN_INT64, &list, reterr));
    ck_ok(cairn_operator_list_state(*task, "seen", CAIRN_UNION, CAIRN_BYTES, &list, reterr));
    ck_ok(cairn_broadcast_state(*task, "rules", CAIRN_INT64, CAIRN_DOUBLE, &broadcast, reterr));
    cairn_serializer_release(serializers[0]);
    cairn_serializer_release(serializers[1]);
}

void controlled_open(struct controlled *c)
{
    ck_ok(fixture_open_job(&c->f, "job", &c->job, reterr));
    if (c->job->control != NULL)
        set_limits(c);
    open_words(c, 0);
    open_words(c, 1);
    open_tally(c);
}

void controlled_start(struct controlled *c)
{
    if (c->job == NULL)
        controlled_open(c);
    ck_ok(cairn_job_start(c->job, reterr));
    controlled_pump(c);
}

void controlled_pump(struct controlled *c)
{
    c->pump = (struct pump){0};
    pump_start(&c->pump, c->tasks, CONTROLLED_TASKS);
    c->is_pumping = true;
}

void controlled_stop_pump(struct controlled *c)
{
    if (c->is_pumping)
        pump_stop(&c->pump);
    c->is_pumping = false;
}

void controlled_close(struct controlled *c)
{
    controlled_stop_pump(c);
    cairn_job_close(CRN_TAKE(c->job));
    for (size_t i = 0; i < CONTROLLED_TASKS; i++)
        cairn_task_close(CRN_TAKE(c->tasks[i]));
}

void controlled_done(struct controlled *c)
{
    controlled_close(c);
    free(c->run_dir);
    free(c->savepoints);
    fixture_done(&c->f);
}

/* ------------------------------------------------------------------------------------------ *
 * Answers
 * ------------------------------------------------------------------------------------------ */

void answer_done(struct answer *answer)
{
    free(answer->body);
    json_object_put(answer->json);
    *answer = (struct answer){0};
}

static void set_body(struct answer *answer, const void *data, size_t size)
{
    answer->body = crn_str_dup_n(data, size);
    ck_assert_ptr_nonnull(answer->body);
    answer->json = size > 0 ? json_tokener_parse(answer->body) : NULL;
}

struct json_object *member(const struct answer *answer, const char *path)
{
    char copy[200], *rest = copy, *name;
    struct json_object *at = answer->json;
    (void)snprintf(copy, sizeof copy, "%s", path);
    while ((name = strsep(&rest, ".")) != NULL) {
        bool is_there = json_object_is_type(at, json_type_array)
                            ? (at = json_object_array_get_idx(at, (size_t)atoi(name))) != NULL
                            : json_object_object_get_ex(at, name, &at);
        if (!is_there)
            ck_abort_msg("no '%s' in %u %s", path, answer->status, answer->body);
    }
    return at;
}

const char *text_of(const struct answer *answer, const char *path)
{
    struct json_object *at = member(answer, path);
    return at == NULL ? NULL : json_object_get_string(at);
}

int64_t number_of(const struct answer *answer, const char *path)
{
    struct json_object *at = member(answer, path);
    ck_assert_msg(json_object_is_type(at, json_type_int), "'%s' is no number: %s", path,
                  answer->body);
    return json_object_get_int64(at);
}

void ck_refused(struct answer answer, unsigned status, const char *code, const char *part)
{
    ck_assert_msg(answer.status == status, "%u, not %u: %s", answer.status, status, answer.body);
    ck_assert_str_eq(text_of(&answer, "error.code"), code);
    ck_assert_msg(strstr(text_of(&answer, "error.message"), part) != NULL, "'%s' is not in %s",
                  part, answer.body);
    answer_done(&answer);
}

/* ------------------------------------------------------------------------------------------ *
 * With libcurl
 * ------------------------------------------------------------------------------------------ */

struct intake {
    struct cairn_buffer body;
    struct answer *answer;
};

static size_t take_body(char *data, size_t one, size_t count, void *context)
{
    struct intake *intake = context;
    return crn_buf_append(&intake->body, data, one * count) == 0 ? one * count : 0;
}

static size_t take_header(char *data, size_t one, size_t count, void *context)
{
    struct answer *answer = ((struct intake *)context)->answer;
    size_t used = strlen(answer->headers);
    ck_assert_uint_lt(used + one * count, sizeof answer->headers);
    memcpy(answer->headers + used, data, one * count);
    return one * count;
}

struct answer request_at(const char *address, const char *token, const char *method,
                         const char *path, const char *body)
{
    struct answer answer = {0};
    struct intake intake = {.answer = &answer};
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    char url[2200], bearer[400];
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    long status = 0;
    ck_assert_ptr_nonnull(curl);
    (void)snprintf(url, sizeof url, "%s%s", is_unix ? "http://job" : address, path);
    (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", token != NULL ? token : "");
    if (token != NULL)
        headers = curl_slist_append(headers, bearer);
    if (body != NULL)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &intake);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &intake);
    if (is_unix)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, address + 5);
    if (body != NULL)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (unsigned)status;
    set_body(&answer, intake.body.size > 0 ? (const void *)intake.body.data : "", intake.body.size);
    crn_buf_done(&intake.body);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return answer;
}

struct answer request(const struct controlled *c, const char *method, const char *path,
                      const char *body)
{
    return request_at(cairn_job_control_address(c->job), NULL, method, path, body);
}

struct answer follow(const struct controlled *c, const struct answer *answer)
{
    char path[200];
    uint64_t end_us = crn_now_us() + (uint64_t)PATIENCE_MS * 1000;
    (void)snprintf(path, sizeof path, "%s?wait_ms=2000", text_of(answer, "location"));
    for (;;) {
        struct answer trigger = request(c, "GET", path, NULL);
        ck_assert_msg(trigger.status == 200, "%u %s", trigger.status, trigger.body);
        const char *state = text_of(&trigger, "state");
        if (strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0)
            return trigger;
        ck_assert_msg(crn_now_us() < end_us, "it does not end: %s", trigger.body);
        answer_done(&trigger);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Bare sockets
 * ------------------------------------------------------------------------------------------ */

int bare_open(const char *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;
    ck_assert_int_ge(fd, 0);
    if (is_unix) {
        (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
        r = connect(fd, (const struct sockaddr *)&un, sizeof un);
    } else {
        in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
        r = connect(fd, (const struct sockaddr *)&in, sizeof in);
    }
    if (r != 0) {
        (void)close(fd); /* nobody listens: that is what is reported */
        return -1;
    }
    return fd;
}

bool bare_send(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

bool bare_text(int fd, const char *text)
{
    return bare_send(fd, text, strlen(text));
}

/* One byte at a time: what follows belongs to the next response. 0: closed. */
static bool read_byte(int fd, char *ret, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ck_assert_msg(poll(&p, 1, timeout_ms) == 1, "nothing comes");
    return recv(fd, ret, 1, 0) == 1;
}

struct answer bare_read(int fd)
{
    struct answer answer = {0};
    CRN_AUTO_BUFFER struct cairn_buffer body = {0};
    size_t n = 0, left = SIZE_MAX;
    char byte;
    while (n < 4 || memcmp(answer.headers + n - 4, "\r\n\r\n", 4) != 0) {
        ck_assert_uint_lt(n + 1, sizeof answer.headers);
        if (!read_byte(fd, &answer.headers[n], PATIENCE_MS))
            break;
        n++;
    }
    if (n >= 12)
        answer.status = (unsigned)atoi(answer.headers + 9);
    const char *length = strcasestr(answer.headers, "\r\nContent-Length:");
    if (length != NULL)
        left = (size_t)atol(length + 17);
    if (answer.status == 100)
        left = 0;
    while (n > 0 && left-- > 0 && read_byte(fd, &byte, PATIENCE_MS))
        ck_assert_int_eq(crn_buf_append(&body, &byte, 1), 0);
    set_body(&answer, body.size > 0 ? (const void *)body.data : "", body.size);
    return answer;
}

bool bare_is_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;
    return poll(&p, 1, 2000) == 1 && recv(fd, &byte, 1, 0) <= 0;
}
