/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of messages between processes, over unix sockets; over TCP all but the first part would
 * be the same.
 *
 * A message is a byte for its type, one for its size, and so many bytes. Cairn asks for one thing
 * only: that a barrier stays between the words that it was put between, which a stream does by
 * itself.
 *
 * Nothing here waits for longer than a moment (WAIT_MS), so that its caller can look in between
 * whether the job is still there.
 */
#include "examples/cluster/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 5

/* ---- places ---- */

static int make_address(const struct place *place, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(ret->sun_path, sizeof ret->sun_path, "%s/counts-%" PRIu64 "-%" PRIu32 ".sock",
                     place->dir, place->epoch, place->index);
    if (n < (int)sizeof ret->sun_path)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int place_listen(const struct place *place)
{
    struct sockaddr_un address;
    int fd = make_address(place, &address) < 0 ? -1 : open_socket();
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
                    listen(fd, WORKERS_MAX) < 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void place_remove(const struct place *place)
{
    struct sockaddr_un address;
    if (make_address(place, &address) == 0)
        (void)unlink(address.sun_path);
}

int place_connect(const struct place *place)
{
    struct sockaddr_un address;
    int fd = make_address(place, &address) < 0 ? -1 : open_socket();
    if (fd < 0)
        return -2;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    const bool is_early = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
    close(fd);
    if (is_early)
        (void)poll(NULL, 0, WAIT_MS);
    return is_early ? -1 : -2;
}

int link_accept(int listener)
{
    struct pollfd one = {.fd = listener, .events = POLLIN};
    (void)poll(&one, 1, WAIT_MS);
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0 && (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- messages ---- */

void link_init(struct link *link, int fd)
{
    link->fd = fd;
    link->first = link->end = 0;
}

void link_close(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}

/* What is in the middle goes to the front. */
static void make_room(struct link *link)
{
    memmove(link->bytes, link->bytes + link->first, link->end - link->first);
    link->end -= link->first;
    link->first = 0;
}

int link_put(struct link *link, enum message_type type, const void *data, size_t size)
{
    if (sizeof link->bytes - link->end < size + 2)
        make_room(link);
    if (sizeof link->bytes - link->end < size + 2)
        return 0;
    link->bytes[link->end++] = (unsigned char)type;
    link->bytes[link->end++] = (unsigned char)size;
    memcpy(link->bytes + link->end, data, size);
    link->end += size;
    return 1;
}

int link_flush(struct link *link)
{
    struct pollfd one = {.fd = link->fd, .events = POLLOUT};
    while (link->first < link->end) {
        ssize_t n =
            send(link->fd, link->bytes + link->first, link->end - link->first, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        if (n > 0)
            link->first += (size_t)n;
        else if (poll(&one, 1, WAIT_MS) <= 0)
            return 0;
    }
    return 1;
}

/* @return 1: a whole message is there, 0: not yet */
static int parse(struct link *link, struct message *ret)
{
    const unsigned char *at = link->bytes + link->first;
    const size_t n = link->end - link->first;
    if (n < 2 || n < 2u + at[1])
        return 0;
    ret->type = (enum message_type)at[0];
    ret->size = at[1];
    memcpy(ret->data, at + 2, ret->size);
    link->first += 2 + ret->size;
    return 1;
}

static bool is_well_formed(const struct message *message)
{
    switch (message->type) {
    case MESSAGE_WORD:
        return message->size > 0 && message->size <= WORD_MAX;
    case MESSAGE_BARRIER:
        return message->size == CAIRN_BARRIER_BYTES;
    case MESSAGE_END:
        return message->size == 0;
    case MESSAGE_HELLO:
        return message->size == 1;
    case MESSAGE_NONE:
        break;
    }
    return false;
}

int link_take(struct link *link, struct message *ret)
{
    if (parse(link, ret) == 0) {
        make_room(link);
        ssize_t n = recv(link->fd, link->bytes + link->end, sizeof link->bytes - link->end, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return -1;
        link->end += n > 0 ? (size_t)n : 0;
        if (parse(link, ret) == 0)
            return 0;
    }
    return is_well_formed(ret) ? 1 : -1;
}

void links_wait(const struct link *links, const bool *wanted, uint32_t count)
{
    struct pollfd all[WORKERS_MAX];
    nfds_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (wanted[i])
            all[n++] = (struct pollfd){.fd = links[i].fd, .events = POLLIN};
    (void)poll(all, n, WAIT_MS);
}
