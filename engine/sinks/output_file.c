/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a sink writes: appended to through a buffer, then made durable as a whole.
 *
 * What counts is `size` and the buffer behind it. A write that fails half-way, as on a full disk,
 * leaves bytes behind `size` that do not count: the next write goes over them, and finishing cuts
 * them off. So a failed append changes nothing, and the same bytes may be appended again.
 *
 * A failed sync is another matter: the kernel may have thrown away what it could not write, and a
 * second sync would say that all is well. The file is lost then; finishing it fails for ever, no
 * checkpoint completes, and the service has to start again from the last one, which writes the same
 * output anew.
 */
#include "engine/sinks/output_file.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BUFFER_BYTES ((size_t)64 << 10)

int crn_output_create(struct crn_output_file *file, const char *path, cairn_error **reterr)
{
    if (file->buffer == NULL)
        file->buffer = malloc(BUFFER_BYTES);
    CRN_AUTO_FREE char *copy = strdup(path);
    if (file->buffer == NULL || copy == NULL)
        return crn_err_nomem(reterr);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return crn_err_fail(reterr, CAIRN_EEXIST, path, "'%s' exists", path);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot create '%s'", path);
    file->fd = fd;
    file->path = CRN_TAKE(copy);
    file->size = 0;
    file->buffered = 0;
    file->has_tail = file->is_lost = false;
    return 0;
}

static int write_at_end(struct crn_output_file *file, const void *data, size_t size,
                        cairn_error **reterr)
{
    int r = crn_file_pwrite_all(file->fd, data, size, file->size, file->path, reterr);
    if (r < 0)
        file->has_tail = true;
    else
        file->size += size;
    return r;
}

static int empty_buffer(struct crn_output_file *file, cairn_error **reterr)
{
    if (file->buffered > 0)
        CRN_TRY(write_at_end(file, file->buffer, file->buffered, reterr));
    file->buffered = 0;
    return 0;
}

int crn_output_append(struct crn_output_file *file, const void *data, size_t size,
                      cairn_error **reterr)
{
    if (size > BUFFER_BYTES - file->buffered)
        CRN_TRY(empty_buffer(file, reterr));
    if (size >= BUFFER_BYTES)
        return write_at_end(file, data, size, reterr);
    memcpy(file->buffer + file->buffered, data, size);
    file->buffered += size;
    return 0;
}

/* Is the file still what its name leads to? What is synced without a name is lost. */
static int check_name(const struct crn_output_file *file, cairn_error **reterr)
{
    struct stat ours, named;
    if (fstat(file->fd, &ours) == 0 && lstat(file->path, &named) == 0 &&
        ours.st_dev == named.st_dev && ours.st_ino == named.st_ino)
        return 0;
    return crn_err_fail(reterr, CAIRN_EMISSING, file->path,
                        "'%s' was removed while it was written: start again from the last "
                        "checkpoint",
                        file->path);
}

int crn_output_finish(struct crn_output_file *file, const char *directory, cairn_error **reterr)
{
    if (file->is_lost)
        return crn_err_fail(reterr, CAIRN_EIO, file->path,
                            "an earlier sync of '%s' failed, so that nobody knows what the disk "
                            "has of it: start again from the last checkpoint",
                            file->path);
    CRN_TRY(empty_buffer(file, reterr));
    if (file->has_tail && ftruncate(file->fd, (off_t)file->size) < 0)
        return crn_err_os(reterr, errno, file->path, "cannot truncate '%s'", file->path);
    file->has_tail = false;
    if (fdatasync(file->fd) < 0) {
        file->is_lost = true;
        return crn_err_os(reterr, errno, file->path, "cannot sync '%s'", file->path);
    }
    CRN_TRY(check_name(file, reterr));
    CRN_TRY(crn_file_sync_dir(directory, reterr));
    crn_output_close(file);
    return 0;
}

void crn_output_close(struct crn_output_file *file)
{
    crn_cleanup_fd(&file->fd);
    file->fd = -1;
    free(file->path);
    file->path = NULL;
}

void crn_output_done(struct crn_output_file *file)
{
    crn_output_close(file);
    free(file->buffer);
    file->buffer = NULL;
}
