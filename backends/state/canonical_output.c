/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a canonical file on their way to the disk.
 *
 * They go past the page cache: a copy into it takes half as much of a processor as packing does,
 * and pushes out what the service reads. Direct writes must begin and end at multiples of a block,
 * in the file and in memory. So what a full buffer has beyond stays for the next write, and the
 * file's last bytes are written in the ordinary way. So is everything that the direct way refuses
 * (some file systems have none), did not finish, or cannot do (a buffer that a huge entry has
 * moved); if it is a real error, that says so.
 *
 * One thread. Nothing is promised of a file before finish(): that syncs it.
 */
#include "backends/state/canonical_internal.h"

#include <errno.h>
#include <fcntl.h>

#include "base/file.h"

#define PIECE_BYTES ((size_t)1 << 20)        /* is written in one call */
#define ROOM_BYTES ((size_t)128 << 10)       /* for another block beyond it */
#define KEEP_BYTES ((size_t)8 << 20)         /* of memory after a huge entry */
#define WRITEBACK_BYTES ((uint64_t)16 << 20) /* so that the final sync has little left */
#define ALIGNMENT ((size_t)4096)

struct crn_canonical_output {
    char *path;
    int fd;
    bool is_direct; /* the descriptor, now */
    bool no_direct; /* it was refused */
    struct crn_digest *digest;
    struct cairn_buffer buffer;
    uint64_t written; /* a multiple of ALIGNMENT; the buffer's bytes follow */
    uint64_t written_back;
};

static bool is_aligned(const struct cairn_buffer *buffer)
{
    return (uintptr_t)buffer->data % ALIGNMENT == 0;
}

static bool set_direct(struct crn_canonical_output *output, bool direct)
{
    if (output->is_direct == direct)
        return true;
    int flags = fcntl(output->fd, F_GETFL);
    if (fcntl(output->fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) != 0)
        return false;
    output->is_direct = direct;
    return true;
}

/* Of the buffer's first `size` bytes, whole blocks, as many as it can. */
static size_t write_direct(struct crn_canonical_output *output, size_t size)
{
    size_t done = 0;
    if (output->no_direct || !is_aligned(&output->buffer))
        return 0;
    output->no_direct = !set_direct(output, true);
    while (!output->no_direct && done < size && done % ALIGNMENT == 0) {
        ssize_t n = pwrite(output->fd, output->buffer.data + done, size - done,
                           (off_t)(output->written + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            output->no_direct = true;
    }
    return done;
}

static int write_rest(struct crn_canonical_output *output, size_t done, size_t size,
                      cairn_error **reterr)
{
    uint64_t end = output->written + size;
    if (!set_direct(output, false))
        return crn_err_os(reterr, errno, output->path, "cannot change flags of '%s'", output->path);
    CRN_TRY(crn_file_pwrite_all(output->fd, output->buffer.data + done, size - done,
                                output->written + done, output->path, reterr));
    if (end - output->written_back >= WRITEBACK_BYTES) { /* a hint: the final sync counts */
        (void)sync_file_range(output->fd, (off_t)output->written_back,
                              (off_t)(end - output->written_back), SYNC_FILE_RANGE_WRITE);
        output->written_back = end;
    }
    return 0;
}

static int new_buffer(struct cairn_buffer *ret)
{
    *ret = (struct cairn_buffer){.data = aligned_alloc(ALIGNMENT, PIECE_BYTES + ROOM_BYTES),
                                 .capacity = PIECE_BYTES + ROOM_BYTES};
    return ret->data ? 0 : CAIRN_ENOMEM;
}

/* The first `size` bytes of the buffer leave it. */
static int drop_written(struct crn_canonical_output *output, size_t size)
{
    struct cairn_buffer *buffer = &output->buffer;
    size_t rest = buffer->size - size;
    if (is_aligned(buffer) && buffer->capacity <= KEEP_BYTES) {
        memmove(buffer->data, buffer->data + size, rest);
    } else {
        struct cairn_buffer fresh;
        CRN_TRY(new_buffer(&fresh));
        memcpy(fresh.data, buffer->data + size, rest);
        crn_buf_done(buffer);
        *buffer = fresh;
    }
    buffer->size = rest;
    return 0;
}

/* ---- from the outside ---- */

void crn_canonical_output_free(struct crn_canonical_output *output)
{
    if (!output)
        return;
    if (output->fd >= 0)
        (void)close(output->fd); /* what counts was synced */
    crn_digest_free(output->digest);
    crn_buf_done(&output->buffer);
    free(output->path);
    free(output);
}

static void output_cleanup(struct crn_canonical_output **output)
{
    crn_canonical_output_free(*output);
}

int crn_canonical_output_create(const char *path, struct crn_canonical_output **ret,
                                cairn_error **reterr)
{
    CRN_CLEANUP(output_cleanup) struct crn_canonical_output *output = calloc(1, sizeof(*output));
    if (!output)
        return crn_err_nomem(reterr);
    output->fd = -1;
    output->path = strdup(path);
    output->digest = crn_digest_new();
    if (!output->path || !output->digest || new_buffer(&output->buffer) < 0)
        return crn_err_nomem(reterr);
    output->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (output->fd < 0)
        return crn_err_os(reterr, errno, path, "cannot create '%s'", path);
    *ret = CRN_TAKE(output);
    return 0;
}

struct cairn_buffer *crn_canonical_output_buffer(struct crn_canonical_output *output)
{
    return &output->buffer;
}

uint64_t crn_canonical_output_position(const struct crn_canonical_output *output)
{
    return output->written + output->buffer.size;
}

int crn_canonical_output_push(struct crn_canonical_output *output, cairn_error **reterr)
{
    size_t size = output->buffer.size - output->buffer.size % ALIGNMENT;
    if (output->buffer.size < PIECE_BYTES)
        return 0;
    crn_digest_update(output->digest, output->buffer.data, size);
    size_t done = write_direct(output, size);
    if (done < size)
        CRN_TRY(write_rest(output, done, size, reterr));
    output->written += size;
    return drop_written(output, size) < 0 ? crn_err_nomem(reterr) : 0;
}

int crn_canonical_output_finish(struct crn_canonical_output *output,
                                struct crn_canonical_summary *ret, cairn_error **reterr)
{
    CRN_TRY(crn_canonical_output_push(output, reterr));
    CRN_TRY(write_rest(output, 0, output->buffer.size, reterr));
    if (fdatasync(output->fd) < 0)
        return crn_err_os(reterr, errno, output->path, "cannot sync '%s'", output->path);
    crn_digest_update(output->digest, output->buffer.data, output->buffer.size);
    ret->size = crn_digest_size(output->digest);
    ret->xxh3 = crn_digest_hash128(output->digest);
    ret->crc32c = crn_digest_crc32c(output->digest);
    return 0;
}
