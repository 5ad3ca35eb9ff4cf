/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections, rules and answers of the fake server; what it does with objects is in
 * fake_objects.c. One thread accepts, one serves each connection. The lock guards rules and
 * objects.
 */
#include "tests/support/s3/fake_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 16384u
#define ENDLESS_BYTES ((size_t)64 << 20) /* whoever takes as much takes anything */

/* ---- bytes ---- */

static bool send_all(int fd, const void *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = send(fd, (const char *)data + done, n - done, MSG_NOSIGNAL);
        if (r <= 0)
            return false;
        done += (size_t)r;
    }
    return true;
}

/* One more byte; false: the client, or the limit of a rule, has ended it. */
static bool read_more(struct connection *c, void *to, size_t n)
{
    for (size_t done = 0; done < n;) {
        size_t want = n - done;
        if (c->bytes_in == c->cut_in)
            return false;
        if (want > c->cut_in - c->bytes_in)
            want = (size_t)(c->cut_in - c->bytes_in);
        ssize_t r = recv(c->fd, (char *)to + done, want, 0);
        if (r <= 0)
            return false;
        done += (size_t)r;
        c->bytes_in += (uint64_t)r;
    }
    return true;
}

/* ---- the request ---- */

static void take_header(struct message *m, char *line)
{
    static const char *const names[] = {"content-length", "if-none-match", "range",
                                        "x-amz-date",     "expect",        "x-amz-copy-source",
                                        "authorization"};
    char *colon = strchr(line, ':');
    if (colon == NULL)
        return;
    *colon++ = 0;
    while (*colon == ' ')
        colon++;
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        if (strcasecmp(line, names[i]) == 0)
            m->headers[i] = colon;
}

/* "PUT /bucket/a%20b?x=y HTTP/1.1" and what follows, in place. */
static bool parse_head(struct message *m)
{
    char *rest = (char *)m->head.data;
    char *first = strsep(&rest, "\n");
    m->method = strsep(&first, " ");
    m->target = first != NULL ? strsep(&first, " ") : NULL;
    if (m->target == NULL)
        return false;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        line[strcspn(line, "\r")] = 0;
        take_header(m, line);
    }
    return true;
}

static struct fake_rule *find_rule(struct fake *fake, const char *method, const char *target)
{
    for (size_t i = 0; i < fake->rule_count; i++) {
        struct fake_rule *rule = &fake->rules[i];
        if ((rule->method != NULL && strcmp(rule->method, method) != 0) ||
            (rule->in != NULL && strstr(target, rule->in) == NULL) || rule->times == 0)
            continue;
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        rule->times--;
        return rule;
    }
    return NULL;
}

/* The head tells which rule holds, and only then the limit of a cut is known: it counts from the
 * head's first byte, and one inside of the head cuts behind it just as well, since nothing was
 * done. */
static bool read_message(struct connection *c, struct message *m)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    c->bytes_in = 0;
    c->cut_in = UINT64_MAX;
    for (char byte;
         m->head.size < 4 || memcmp(m->head.data + m->head.size - 4, "\r\n\r\n", 4) != 0;) {
        if (m->head.size == HEAD_BYTES_MAX || !read_more(c, &byte, 1))
            return false;
        fake_must(crn_buf_append(&m->head, &byte, 1) == 0);
    }
    fake_must(crn_buf_append(&m->head, "", 1) == 0);
    char *head = strdup((char *)m->head.data);
    fake_must(head != NULL);
    crn_mutex_lock(&c->fake->lock);
    free(c->fake->last_head);
    c->fake->last_head = head;
    crn_mutex_unlock(&c->fake->lock);
    if (!parse_head(m))
        return false;
    crn_mutex_lock(&c->fake->lock);
    c->fake->requests++;
    const struct fake_rule *rule = find_rule(c->fake, m->method, m->target);
    m->has_rule = rule != NULL;
    if (rule != NULL)
        m->rule = *rule;
    /* The test may be over with it before we are. */
    if (rule != NULL && rule->answer != NULL)
        fake_must((m->answer = strdup(rule->answer)) != NULL);
    crn_mutex_unlock(&c->fake->lock);
    if (m->has_rule && m->rule.what == FAKE_CUT_IN)
        c->cut_in = m->rule.at > c->bytes_in ? m->rule.at : c->bytes_in;
    size_t size = m->headers[H_LENGTH] != NULL ? strtoull(m->headers[H_LENGTH], NULL, 10) : 0;
    if (m->headers[H_EXPECT] != NULL && !send_all(c->fd, go_on, sizeof go_on - 1))
        return false;
    fake_must(crn_buf_reserve(&m->body, size + 1) == 0);
    if (!read_more(c, m->body.data, size))
        return false;
    m->body.size = size;
    /* A cut behind the last byte: all of it has come, and nothing is done. */
    return c->cut_in == UINT64_MAX;
}

/* ---- the answer ---- */

char *fake_answer(unsigned status, const char *headers, const char *body)
{
    char *text;
    fake_must(crn_str_printf(&text, NULL, "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n%s\r\n%s",
                             status, strlen(body), headers != NULL ? headers : "", body) == 0);
    return text;
}

char *fake_error(unsigned status, const char *code, const char *more_headers)
{
    CRN_AUTO_FREE char *body = NULL;
    fake_must(crn_str_printf(&body, NULL,
                             "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>as the test "
                             "wants it</Message></Error>",
                             code) == 0);
    return fake_answer(status, more_headers, body);
}

static void write_answer(const struct message *m, const struct answer *a, struct cairn_buffer *out)
{
    char date[64];
    struct tm tm;
    time_t now = (time_t)((crn_wall_ms() + m->ahead_ms) / 1000);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    fake_must(crn_buf_printf(out, "HTTP/1.1 %u Done\r\nDate: %s\r\n%s", a->status, date,
                             a->headers.size > 0 ? (const char *)a->headers.data : "") == 0);
    bool is_head = strcmp(m->method, "HEAD") == 0;
    if (a->status != 204)
        fake_must(crn_buf_printf(out, "Content-Length: %zu\r\n",
                                 is_head && a->status == 200 ? a->head_size : a->body.size) == 0);
    fake_must(crn_buf_append(out, "\r\n", 2) == 0);
    if (!is_head)
        fake_must(crn_buf_append(out, a->body.data, a->body.size) == 0);
}

static bool is_skewed(const struct message *m)
{
    struct tm tm = {0};
    if (m->headers[H_DATE] == NULL || strptime(m->headers[H_DATE], "%Y%m%dT%H%M%SZ", &tm) == NULL)
        return true;
    int64_t differs = (int64_t)timegm(&tm) * 1000 - (crn_wall_ms() + m->ahead_ms);
    return differs > 900000 || differs < -900000;
}

static void do_and_write(struct connection *c, struct message *m, struct cairn_buffer *out)
{
    struct answer a = {.status = 200};
    crn_mutex_lock(&c->fake->lock);
    m->ahead_ms = c->fake->ahead_ms;
    if (is_skewed(m))
        fake_say_error(&a, 403, "RequestTimeTooSkewed");
    else
        fake_do(c->fake, m, &a);
    crn_mutex_unlock(&c->fake->lock);
    write_answer(m, &a, out);
    crn_buf_done(&a.headers);
    crn_buf_done(&a.body);
}

static bool send_endless(int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n\r\n";
    static const char piece[65536] = "<ListBucketResult>";
    if (!send_all(fd, head, sizeof head - 1))
        return false;
    for (size_t sent = 0; sent < ENDLESS_BYTES; sent += sizeof piece)
        if (!send_all(fd, piece, sizeof piece))
            return false;
    return false;
}

/* false: the connection is over. */
static bool serve(struct connection *c, struct message *m)
{
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    const struct fake_rule *rule = m->has_rule ? &m->rule : NULL;
    if (rule != NULL && rule->what == FAKE_ENDLESS)
        return send_endless(c->fd);
    if (rule != NULL && rule->what == FAKE_STALL)
        crn_sleep_us(rule->at * 1000);
    if (rule != NULL && rule->what == FAKE_REFUSE)
        return send_all(c->fd, m->answer, strlen(m->answer));
    do_and_write(c, m, &out);
    if (rule != NULL && rule->what == FAKE_DO_AND_SAY)
        return send_all(c->fd, m->answer, strlen(m->answer));
    if (rule != NULL && rule->what == FAKE_CUT_OUT) {
        (void)send_all(c->fd, out.data, rule->at < out.size ? (size_t)rule->at : out.size);
        return false;
    }
    return send_all(c->fd, out.data, out.size);
}

/* ---- connections ---- */

static void *serve_connection(void *arg)
{
    struct connection *c = arg;
    for (bool more = true; more;) {
        struct message m = {0};
        more = read_message(c, &m) && serve(c, &m);
        free(m.answer);
        crn_buf_done(&m.head);
        crn_buf_done(&m.body);
    }
    /* What was not read would turn the end into a reset, which may overtake what was sent. */
    (void)shutdown(c->fd, SHUT_WR);
    char rest[4096];
    while (c->cut_in == UINT64_MAX && poll(&(struct pollfd){c->fd, POLLIN, 0}, 1, 20) > 0 &&
           recv(c->fd, rest, sizeof rest, 0) > 0)
        ;
    crn_mutex_lock(&c->fake->lock);
    (void)close(c->fd);
    c->fd = -1;
    crn_mutex_unlock(&c->fake->lock);
    return NULL;
}

/* One that is over is joined: its thread has no more to do than to end. */
static struct connection *free_connection(struct fake *fake)
{
    for (size_t i = 0; i < fake->connection_count; i++)
        if (fake->connections[i].fd < 0) {
            fake_must(pthread_join(fake->connections[i].thread, NULL) == 0);
            return &fake->connections[i];
        }
    fake_must(fake->connection_count < FAKE_CONNECTIONS_MAX);
    return &fake->connections[fake->connection_count++];
}

static void *accept_all(void *arg)
{
    struct fake *fake = arg;
    for (int fd; (fd = accept4(fake->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        crn_mutex_lock(&fake->lock);
        fake_must(!fake->is_over);
        struct connection *c = free_connection(fake);
        *c = (struct connection){.fake = fake, .fd = fd};
        fake_must(crn_thread_start(&c->thread, "fake", serve_connection, c, NULL) == 0);
        crn_mutex_unlock(&fake->lock);
    }
    return NULL;
}

struct fake *fake_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct fake *fake = calloc(1, sizeof *fake);
    fake_must(fake != NULL);
    fake->page_keys = 1000;
    crn_mutex_init(&fake->lock, CRN_RANK_LEAF);
    fake->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fake_must(fake->fd >= 0 && bind(fake->fd, (struct sockaddr *)&address, size) == 0 &&
              listen(fake->fd, 64) == 0 &&
              getsockname(fake->fd, (struct sockaddr *)&address, &size) == 0);
    fake->port = ntohs(address.sin_port);
    fake_must(crn_thread_start(&fake->thread, "fake-accept", accept_all, fake, NULL) == 0);
    return fake;
}

void fake_stop(struct fake *fake)
{
    (void)shutdown(fake->fd, SHUT_RDWR);
    fake_must(pthread_join(fake->thread, NULL) == 0);
    (void)close(fake->fd);
    crn_mutex_lock(&fake->lock);
    fake->is_over = true;
    for (size_t i = 0; i < fake->connection_count; i++)
        if (fake->connections[i].fd >= 0)
            (void)shutdown(fake->connections[i].fd, SHUT_RDWR);
    crn_mutex_unlock(&fake->lock);
    for (size_t i = 0; i < fake->connection_count; i++)
        fake_must(pthread_join(fake->connections[i].thread, NULL) == 0);
    fake_objects_done(fake);
    free(fake->last_head);
    crn_mutex_done(&fake->lock);
    free(fake);
}

unsigned fake_port(const struct fake *fake)
{
    return fake->port;
}

/* ---- orders ---- */

void fake_add(struct fake *fake, const struct fake_rule *rule)
{
    crn_mutex_lock(&fake->lock);
    fake_must(fake->rule_count < FAKE_RULES_MAX);
    fake->rules[fake->rule_count++] = *rule;
    crn_mutex_unlock(&fake->lock);
}

void fake_clear(struct fake *fake)
{
    crn_mutex_lock(&fake->lock);
    fake->rule_count = 0;
    crn_mutex_unlock(&fake->lock);
}

void fake_set_clock(struct fake *fake, int64_t ahead_ms)
{
    crn_mutex_lock(&fake->lock);
    fake->ahead_ms = ahead_ms;
    crn_mutex_unlock(&fake->lock);
}

void fake_set_page(struct fake *fake, unsigned keys)
{
    crn_mutex_lock(&fake->lock);
    fake->page_keys = keys;
    crn_mutex_unlock(&fake->lock);
}

void fake_set_lying(struct fake *fake, bool is_lying)
{
    crn_mutex_lock(&fake->lock);
    fake->is_lying = is_lying;
    crn_mutex_unlock(&fake->lock);
}

void fake_set_hosts(struct fake *fake, bool has_hosts)
{
    crn_mutex_lock(&fake->lock);
    fake->has_hosts = has_hosts;
    crn_mutex_unlock(&fake->lock);
}

char *fake_last_head(struct fake *fake)
{
    crn_mutex_lock(&fake->lock);
    char *head = fake->last_head;
    fake->last_head = NULL;
    crn_mutex_unlock(&fake->lock);
    return head;
}

void fake_set_owner(struct fake *fake, const char *bucket, const char *credential)
{
    crn_mutex_lock(&fake->lock);
    fake->bucket = bucket;
    fake->credential = credential;
    crn_mutex_unlock(&fake->lock);
}

unsigned fake_requests(struct fake *fake)
{
    crn_mutex_lock(&fake->lock);
    unsigned n = fake->requests;
    crn_mutex_unlock(&fake->lock);
    return n;
}
