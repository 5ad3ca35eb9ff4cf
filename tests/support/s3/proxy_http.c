/* SPDX-License-Identifier: Apache-2.0 */
/* Whole messages of HTTP/1.1 on sockets, for the proxy: no more of it than S3 has. */
#include "tests/support/s3/proxy_internal.h"

#include "cairn/cairn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 32768u

/* ---- streams ---- */

static ssize_t read_some(struct stream *s, void *to, size_t n)
{
    if (s->tls != NULL)
        return SSL_read(s->tls, to, (int)n);
    return recv(s->fd, to, n, 0);
}

bool stream_write(struct stream *s, const void *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        const char *from = (const char *)data + done;
        ssize_t r = s->tls != NULL ? SSL_write(s->tls, from, (int)(n - done))
                                   : send(s->fd, from, n - done, MSG_NOSIGNAL);
        if (r <= 0)
            return false;
        done += (size_t)r;
    }
    return true;
}

void stream_close(struct stream *s)
{
    if (s->fd < 0)
        return;
    SSL_free(s->tls);
    (void)close(s->fd);
    *s = (struct stream){.fd = -1};
}

void stream_reset(struct stream *s)
{
    const struct linger at_once = {.l_onoff = 1};
    if (s->fd >= 0)
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    stream_close(s);
}

bool stream_connect(struct stream *s, unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *s = (struct stream){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    proxy_must(s->fd >= 0);
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    stream_close(s);
    return false;
}

/* ---- heads ---- */

static bool read_exactly(struct stream *s, struct cairn_buffer *to, size_t n)
{
    proxy_must(crn_buf_reserve(to, n) == 0);
    for (size_t done = 0; done < n;) {
        ssize_t r = read_some(s, to->data + to->size, n - done);
        if (r <= 0)
            return false;
        done += (size_t)r;
        to->size += (size_t)r;
    }
    to->data[to->size] = 0; /* there is room for it */
    return true;
}

/* Up to the end of a line; of a head: up to the empty one. */
static bool read_until(struct stream *s, struct cairn_buffer *to, const char *end)
{
    const size_t start = to->size, n = strlen(end);
    while (to->size - start < n || memcmp(to->data + to->size - n, end, n) != 0)
        if (to->size - start == HEAD_BYTES_MAX || !read_exactly(s, to, 1))
            return false;
    return true;
}

/* The value of a header, or NULL. */
static const char *find_header(const char *head, const char *name)
{
    const size_t n = strlen(name);
    for (const char *line = head; (line = strchr(line, '\n')) != NULL;) {
        line++;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

/* ---- requests ---- */

/* The server is not to ask for what we have already. */
static void drop_header(struct cairn_buffer *head, const char *name)
{
    char *value = (char *)(uintptr_t)find_header((const char *)head->data, name);
    char *line = value, *end = value != NULL ? strchr(value, '\n') + 1 : NULL;
    if (value == NULL)
        return;
    while (line[-1] != '\n')
        line--;
    memmove(line, end, head->size - (size_t)(end - (char *)head->data));
    head->size -= (size_t)(end - line);
}

bool request_read(struct stream *s, struct request *ret)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    CRN_AUTO_BUFFER struct cairn_buffer head = {0};
    *ret = (struct request){0};
    if (!read_until(s, &head, "\r\n\r\n"))
        return false;
    if (sscanf((char *)head.data, "%15s %2047s", ret->method, ret->target) != 2)
        return false;
    const char *length = find_header((char *)head.data, "Content-Length");
    const size_t size = length != NULL ? strtoull(length, NULL, 10) : 0;
    if (find_header((char *)head.data, "Expect") != NULL &&
        !stream_write(s, go_on, sizeof go_on - 1))
        return false;
    drop_header(&head, "Expect");
    proxy_must(crn_buf_append(&ret->bytes, head.data, head.size) == 0);
    return read_exactly(s, &ret->bytes, size);
}

void request_done(struct request *request)
{
    crn_buf_done(&request->bytes);
}

/* ---- answers ---- */

static bool read_chunks(struct stream *s, struct cairn_buffer *to)
{
    for (;;) {
        const size_t line = to->size;
        if (!read_until(s, to, "\r\n"))
            return false;
        const size_t size = strtoull((char *)to->data + line, NULL, 16);
        if (!read_exactly(s, to, size + 2))
            return false;
        if (size == 0)
            return true;
    }
}

bool reply_read(struct stream *s, const char *method, struct cairn_buffer *ret)
{
    unsigned status = 0;
    do {
        crn_buf_clear(ret);
        if (!read_until(s, ret, "\r\n\r\n"))
            return false;
        if (sscanf((char *)ret->data, "HTTP/%*s %u", &status) != 1)
            return false;
    } while (status < 200);
    const char *length = find_header((char *)ret->data, "Content-Length");
    const char *coding = find_header((char *)ret->data, "Transfer-Encoding");
    if (strcmp(method, "HEAD") == 0 || status == 204 || status == 304)
        return true;
    if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0)
        return read_chunks(s, ret);
    return read_exactly(s, ret, length != NULL ? strtoull(length, NULL, 10) : 0);
}
