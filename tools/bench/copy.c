/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain durable copy that checkpoints are compared with, and the making of even conditions for
 * it; files.h says what both do.
 *
 * It is meant to be as fast as a copy with read(2) and write(2) gets, since a target is set against
 * it: threads take whole files from one counter, the largest first, and write-back is started while
 * the rest of a file is still being copied, so that its fdatasync has little left to wait for.
 */
#include "tools/bench/files.h"
#include "tools/bench/parallel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_SIZE ((size_t)1 << 20)
#define WRITE_BACK_SIZE ((off_t)8 << 20)

struct copy {
    const char *from, *to;
    const struct bench_file **order; /* largest first */
    size_t count;
    atomic_size_t next;
};

static int copy_data(int in, int out, const char *path, uint8_t *buffer, cairn_error **reterr)
{
    off_t done = 0, started = 0;
    for (;;) {
        ssize_t n = read(in, buffer, PIECE_SIZE);
        if (n < 0)
            return bench_fail_os(reterr, errno, "reading '%s'", path);
        if (n == 0)
            break;
        for (ssize_t written = 0; written < n;) {
            ssize_t w = write(out, buffer + written, (size_t)(n - written));
            if (w < 0)
                return bench_fail_os(reterr, errno, "writing the copy of '%s'", path);
            written += w;
        }
        done += n;
        if (done - started >= WRITE_BACK_SIZE) {
            /* A hint: fdatasync() below decides. */
            (void)sync_file_range(out, started, done - started, SYNC_FILE_RANGE_WRITE);
            started = done;
        }
    }
    if (fdatasync(out) < 0)
        return bench_fail_os(reterr, errno, "syncing the copy of '%s'", path);
    return 0;
}

static int copy_one(const struct copy *copy, const char *path, uint8_t *buffer,
                    cairn_error **reterr)
{
    BENCH_AUTO_FREE char *source = NULL, *target = NULL;
    BENCH_TRY(bench_text(&source, reterr, "%s/%s", copy->from, path));
    BENCH_TRY(bench_text(&target, reterr, "%s/%s", copy->to, path));
    int in = open(source, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return bench_fail_os(reterr, errno, "opening '%s'", source);
    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int r = out < 0 ? bench_fail_os(reterr, errno, "creating '%s'", target)
                    : copy_data(in, out, source, buffer, reterr);
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    return r;
}

static int copy_share(void *context, uint32_t share, cairn_error **reterr)
{
    (void)share;
    struct copy *copy = context;
    BENCH_AUTO_FREE uint8_t *buffer = malloc(PIECE_SIZE);
    int r = buffer ? 0 : bench_fail_nomem(reterr);
    while (r == 0) {
        size_t i = atomic_fetch_add(&copy->next, 1);
        if (i >= copy->count)
            return 0;
        r = copy_one(copy, copy->order[i]->path, buffer, reterr);
    }
    atomic_store(&copy->next, copy->count); /* the others stop after their file */
    return r;
}

static int by_falling_size(const void *a, const void *b)
{
    uint64_t x = (*(const struct bench_file *const *)a)->size_bytes;
    uint64_t y = (*(const struct bench_file *const *)b)->size_bytes;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Visit the directory of every file once (`files` is sorted by path) and `to` itself. */
static int for_each_dir(const char *to, const struct bench_listing *files,
                        int (*fn)(const char *path, cairn_error **reterr), cairn_error **reterr)
{
    BENCH_TRY(fn(to, reterr));
    const char *last = "";
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            size_t length = (size_t)(slash - path) + 1;
            if (strncmp(last, path, length) == 0)
                continue;
            BENCH_AUTO_FREE char *dir = NULL;
            BENCH_TRY(bench_text(&dir, reterr, "%s/%.*s", to, (int)length - 1, path));
            BENCH_TRY(fn(dir, reterr));
        }
        last = path;
    }
    return 0;
}

static int sync_dir(const char *path, cairn_error **reterr)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -1 : fsync(fd);
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    return r < 0 ? bench_fail_os(reterr, saved, "syncing directory '%s'", path) : 0;
}

int bench_copy_files(const char *from, const char *to, const struct bench_listing *files,
                     uint32_t threads, cairn_error **reterr)
{
    BENCH_TRY(for_each_dir(to, files, bench_make_dir, reterr));
    BENCH_AUTO_FREE const struct bench_file **order = calloc(files->count + 1, sizeof(*order));
    if (!order)
        return bench_fail_nomem(reterr);
    for (size_t i = 0; i < files->count; i++)
        order[i] = &files->files[i];
    qsort(order, files->count, sizeof(*order), by_falling_size);

    struct copy copy = {.from = from, .to = to, .order = order, .count = files->count};
    uint32_t shares = files->count < threads ? (uint32_t)files->count : threads;
    BENCH_TRY(bench_parallel(shares ? shares : 1, copy_share, &copy, reterr));
    return for_each_dir(to, files, sync_dir, reterr);
}

int bench_copy_tree(const char *from, const char *to, uint32_t threads, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_listing_done) struct bench_listing files = {0};
    BENCH_TRY(bench_list_tree(from, &files, reterr));
    return bench_copy_files(from, to, &files, threads, reterr);
}

static int write_pieces(int fd, const char *path, const uint8_t *piece, uint64_t bytes,
                        cairn_error **reterr)
{
    while (bytes > 0) {
        ssize_t n = write(fd, piece, bytes < PIECE_SIZE ? (size_t)bytes : PIECE_SIZE);
        if (n < 0)
            return bench_fail_os(reterr, errno, "writing '%s'", path);
        bytes -= (uint64_t)n;
    }
    return 0;
}

int bench_recycle_page_cache(const char *dir, uint64_t bytes, cairn_error **reterr)
{
    BENCH_AUTO_FREE uint8_t *piece = calloc(1, PIECE_SIZE);
    BENCH_AUTO_FREE char *path = NULL;
    if (!piece)
        return bench_fail_nomem(reterr);
    BENCH_TRY(bench_text(&path, reterr, "%s/recycled", dir));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return bench_fail_os(reterr, errno, "creating '%s'", path);
    int r = write_pieces(fd, path, piece, bytes, reterr);
    (void)unlink(path); /* the directory is removed at the end in any case */
    (void)close(fd);
    return r;
}
