/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket that a control endpoint listens on.
 *
 * A unix socket has mode 0600 from the moment that it is there: the mode is the unbound socket's.
 * The run directory has to be the user's own, with nobody else writing in it, or another user could
 * put sockets there that the tool would talk to.
 *
 * A process that dies leaves its socket's file, to which nobody answers. Such a file is removed
 * when its name is wanted, as are those of this job's earlier processes. Looking whether somebody
 * answers, removing and binding are one step for all who keep to it: they hold a lock on the
 * directory, until they listen. So nobody's fresh socket is taken for a dead one.
 */
#include "engine/control/endpoint.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/thread.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define NAME_KEPT 40u     /* bytes of the job's name */
#define SAME_NAME_MAX 99u /* sockets of one process whose names look alike */
#define BACKLOG 32
#define LOCK_TRIES 200u /* of 10 ms */

void crn_endpoint_close(struct crn_endpoint *endpoint)
{
    if (endpoint->path != NULL)
        (void)unlink(endpoint->path); /* a left one is known to be dead */
    if (endpoint->fd >= 0)
        (void)close(endpoint->fd); /* nothing was written through it */
    free(endpoint->path);
    free(endpoint->address);
    *endpoint = (struct crn_endpoint)CRN_ENDPOINT_CLOSED;
}

/* ------------------------------------------------------------------------------------------ *
 * Unix sockets
 * ------------------------------------------------------------------------------------------ */

int crn_endpoint_run_dir(char **ret_path, cairn_error **reterr)
{
    const char *own = getenv("CAIRN_RUN_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
    if (own != NULL && own[0] != '\0')
        return crn_str_printf(ret_path, reterr, "%s", own);
    if (xdg != NULL && xdg[0] != '\0')
        return crn_str_printf(ret_path, reterr, "%s/cairn", xdg);
    return crn_str_printf(ret_path, reterr, "/tmp/cairn-%u", (unsigned)geteuid());
}

static int make_run_dir(const char *path, cairn_error **reterr)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return crn_err_os(reterr, errno, path, "run directory '%s'", path);
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0)
        return crn_err_os(reterr, errno, path, "run directory '%s'", path);
    if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return crn_err_fail(reterr, CAIRN_EACCES, path,
                            "run directory '%s' belongs to another user, or others may write to "
                            "it: set CAIRN_RUN_DIR to one of your own, with mode 0700",
                            path);
    return 0;
}

/* Held until the descriptor is closed. A file system without such locks has none: -1 with 0. */
static int lock_directory(const char *path, int *ret_fd, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "directory '%s' of the control socket", path);
    for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return 0;
        if (tries == LOCK_TRIES)
            return crn_err_fail(reterr, CAIRN_EBUSY, path,
                                "directory '%s' of the control socket has been locked by another "
                                "process for %u ms",
                                path, 10 * LOCK_TRIES);
        crn_sleep_us(10000);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int set_unix_address(const char *path, struct sockaddr_un *ret, cairn_error **reterr)
{
    size_t n = strlen(path);
    if (n >= sizeof ret->sun_path)
        return crn_err_fail(reterr, CAIRN_EINVAL, path,
                            "control socket '%s': a socket's path has at most %zu bytes, this has "
                            "%zu",
                            path, sizeof ret->sun_path - 1, n);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, n);
    return 0;
}

/* 1: somebody, or something that is no socket, is there. 0: nothing, and what a dead process had
 * left is gone. */
static int clear_way(const char *path, cairn_error **reterr)
{
    struct sockaddr_un address;
    struct stat st;
    CRN_TRY(set_unix_address(path, &address, reterr));
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : crn_err_os(reterr, errno, path, "control socket '%s'", path);
    if (!S_ISSOCK(st.st_mode))
        return 1;
    CRN_AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "control socket '%s'", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
        errno != ECONNREFUSED)
        return 1;
    if (unlink(path) != 0 && errno != ENOENT)
        return crn_err_os(reterr, errno, path, "dead control socket '%s'", path);
    return 0;
}

static int listen_unix(const char *path, struct crn_endpoint *ret, cairn_error **reterr)
{
    struct sockaddr_un address;
    CRN_AUTO_FREE char *owned = crn_str_dup_n(path, strlen(path)), *words = NULL;
    if (owned == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_str_printf(&words, reterr, "unix:%s", path));
    CRN_TRY(set_unix_address(path, &address, reterr));
    CRN_AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, 0600) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return crn_err_os(reterr, errno, path, "control socket '%s'", path);
    if (listen(fd, BACKLOG) != 0) {
        int os_errno = errno;
        (void)unlink(path); /* the error that counts is the one before */
        return crn_err_os(reterr, os_errno, path, "control socket '%s'", path);
    }
    *ret = (struct crn_endpoint){fd, CRN_TAKE(owned), CRN_TAKE(words)};
    fd = -1;
    return 0;
}

static int open_path(const char *path, struct crn_endpoint *ret, cairn_error **reterr)
{
    CRN_AUTO_FREE char *directory = crn_str_dup_n(path, strlen(path));
    CRN_AUTO_FD int lock = -1;
    if (directory == NULL)
        return crn_err_nomem(reterr);
    char *slash = strrchr(directory, '/');
    slash[slash == directory ? 1 : 0] = '\0';
    CRN_TRY(lock_directory(directory, &lock, reterr));
    int r = clear_way(path, reterr);
    if (r > 0)
        return crn_err_fail(
            reterr, CAIRN_EBUSY, path,
            "control socket '%s' is in use: another process listens there, or it is "
            "no socket",
            path);
    CRN_TRY(r);
    return listen_unix(path, ret, reterr);
}

/* The job's name, of characters that need no quoting anywhere. */
static void make_safe_name(const char *job, char ret[NAME_KEPT + 1])
{
    size_t n = 0;
    for (; job[n] != '\0' && n < NAME_KEPT; n++) {
        unsigned char c = (unsigned char)job[n];
        ret[n] = c < 0x80 && (isalnum(c) || strchr("._-", c) != NULL) ? (char)c : '_';
    }
    ret[n] = '\0';
}

/* Is this the name of a socket that a process of this job may have had? `<safe>.<digits>...` */
static bool is_of_job(const char *name, const char *safe)
{
    size_t n = strlen(safe), end = strlen(name);
    return strncmp(name, safe, n) == 0 && name[n] == '.' && isdigit((unsigned char)name[n + 1]) &&
           end > 5 && strcmp(name + end - 5, ".sock") == 0;
}

/* What earlier processes of this job left. A failure costs nothing but a dead file. */
static void sweep(const char *directory, const char *safe)
{
    char **names = NULL;
    size_t count = 0;
    if (crn_file_list_dir(directory, &names, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (is_of_job(names[i], safe) &&
            crn_str_printf(&path, NULL, "%s/%s", directory, names[i]) == 0)
            (void)clear_way(path, NULL);
    }
    crn_file_free_names(names, count);
}

static int open_in_run_dir(const char *job, struct crn_endpoint *ret, cairn_error **reterr)
{
    CRN_AUTO_FREE char *directory = NULL;
    CRN_AUTO_FD int lock = -1;
    char safe[NAME_KEPT + 1];
    make_safe_name(job, safe);
    CRN_TRY(crn_endpoint_run_dir(&directory, reterr));
    CRN_TRY(make_run_dir(directory, reterr));
    CRN_TRY(lock_directory(directory, &lock, reterr));
    sweep(directory, safe);
    for (unsigned i = 1; i <= SAME_NAME_MAX; i++) {
        CRN_AUTO_FREE char *path = NULL;
        char number[16] = "";
        if (i > 1)
            (void)snprintf(number, sizeof number, "-%u", i);
        CRN_TRY(crn_str_printf(&path, reterr, "%s/%s.%lu%s.sock", directory, safe,
                               (unsigned long)getpid(), number));
        int r = clear_way(path, reterr);
        if (r <= 0)
            return r < 0 ? r : listen_unix(path, ret, reterr);
    }
    return crn_err_fail(reterr, CAIRN_EBUSY, directory,
                        "run directory '%s' has %u live sockets for '%s' of process %lu", directory,
                        SAME_NAME_MAX, safe, (unsigned long)getpid());
}

/* ------------------------------------------------------------------------------------------ *
 * TCP
 * ------------------------------------------------------------------------------------------ */

static int listen_tcp(const struct crn_endpoint_wanted *wanted, struct crn_endpoint *ret,
                      cairn_error **reterr)
{
    const bool is_6 = wanted->kind == CRN_ENDPOINT_TCP6;
    const char *host = is_6 ? "[::1]" : "127.0.0.1";
    struct sockaddr_in in4 = {.sin_family = AF_INET,
                              .sin_port = htons(wanted->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(wanted->port), .sin6_addr = in6addr_loopback};
    struct sockaddr *address = is_6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4;
    socklen_t size = is_6 ? sizeof in6 : sizeof in4;
    const int on = 1;
    CRN_AUTO_FREE char *words = NULL;
    CRN_AUTO_FD int fd =
        socket(is_6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* What an earlier process left in the kernel is no reason not to start. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, address, size) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, address, &size) != 0) {
        if (errno == EADDRINUSE)
            return crn_err_fail(
                reterr, CAIRN_EBUSY, NULL,
                "control: somebody listens at %s:%u already; another port would do, "
                "or 0 for any",
                host, wanted->port);
        return crn_err_os(reterr, errno, NULL, "control at %s:%u", host, wanted->port);
    }
    CRN_TRY(crn_str_printf(&words, reterr, "http://%s:%u", host,
                           ntohs(is_6 ? in6.sin6_port : in4.sin_port)));
    *ret = (struct crn_endpoint){fd, NULL, CRN_TAKE(words)};
    fd = -1;
    return 0;
}

int crn_endpoint_open(const struct crn_endpoint_wanted *wanted, const char *job,
                      struct crn_endpoint *ret, cairn_error **reterr)
{
    switch (wanted->kind) {
    case CRN_ENDPOINT_RUN_DIR:
        return open_in_run_dir(job, ret, reterr);
    case CRN_ENDPOINT_PATH:
        return open_path(wanted->path, ret, reterr);
    case CRN_ENDPOINT_TCP4:
    case CRN_ENDPOINT_TCP6:
        return listen_tcp(wanted, ret, reterr);
    case CRN_ENDPOINT_NONE:
        break;
    }
    return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL, "there is nowhere to listen");
}
