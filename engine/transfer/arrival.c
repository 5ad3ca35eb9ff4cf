/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to one file on its way in, whoever brings its bytes.
 *
 * A local file gets its final name only after its bytes were compared with the manifest (P8), so a
 * file cut short by a crash or a broken transfer is never under a name that a database would open.
 * A file that the store has linked, or that an earlier restore has kept, is read and compared like
 * any other: that nobody copied it does not mean that nobody damaged it. A kept one that is damaged
 * is downloaded again.
 *
 * Files are read with read(2), never mapped: a file that shrinks meanwhile must be an error, not a
 * signal (P11). No locks: an arrival is one thread's at a time. @crash a ".cairn-tmp-*" file in a
 * directory that the caller removes anyway.
 */
#include "engine/transfer/arrival.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/log/joblog.h"
#include "engine/transfer/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GET_ATTEMPTS 4u
#define GET_PAUSE_US 50000u

/* A name from a manifest becomes part of a path: it must stay inside the directory. */
static int check_name(const struct crn_arrival *arrival, cairn_error **reterr)
{
    const char *name = arrival->file->info.name;
    if (name == NULL || *name == 0 || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, arrival->key,
                            "object '%s': '%s' is not a file name", arrival->key,
                            name != NULL ? name : "");
    return 0;
}

int crn_arrival_init(struct crn_arrival *arrival, const struct crn_intake *intake,
                     const struct crn_intake_scratch *scratch, const struct crn_file *file,
                     size_t ordinal, struct cairn_buffer *out, cairn_error **reterr)
{
    char manifest[CRN_KEY_MAX];
    const char *object = file->info.object;
    *arrival = (struct crn_arrival){
        .intake = intake, .scratch = scratch, .file = file, .fd = -1, .out = out};
    if (object == NULL) {
        crn_key_manifest(manifest, file->info.checkpoint_id);
        object = manifest;
    }
    CRN_TRY(crn_joblog_key(intake->job, object, &arrival->key, reterr));
    crn_sums_start(&arrival->sums, scratch->digest, file);
    if (out != NULL) {
        arrival->out_start = out->size;
        return 0;
    }
    if (intake->directory == NULL)
        return 0;
    CRN_TRY(check_name(arrival, reterr));
    CRN_TRY(
        crn_str_printf(&arrival->final_path, reterr, "%s/%s", intake->directory, file->info.name));
    return crn_str_printf(&arrival->path, reterr, "%s/.cairn-tmp-%zu", intake->directory, ordinal);
}

/* What has come in so far is of no use. */
static int take_back(struct crn_arrival *arrival, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    if (arrival->sums.size > 0)
        CRN_TRY(intake->tick(intake->tick_context, -(int64_t)arrival->sums.size, reterr));
    crn_sums_start(&arrival->sums, arrival->scratch->digest, arrival->file);
    return 0;
}

static void drop(struct crn_arrival *arrival)
{
    if (arrival->unfinished)
        (void)unlink(arrival->path); /* the caller removes the whole directory anyway */
    arrival->unfinished = false;
}

void crn_arrival_done(struct crn_arrival *arrival)
{
    crn_cleanup_fd(&arrival->fd);
    drop(arrival);
    free(arrival->key);
    free(arrival->path);
    free(arrival->final_path);
}

int crn_arrival_start(struct crn_arrival *arrival, cairn_error **reterr)
{
    CRN_TRY(take_back(arrival, reterr));
    if (arrival->out != NULL)
        arrival->out->size = arrival->out_start;
    if (arrival->path == NULL || arrival->fd >= 0)
        return 0;
    arrival->fd = open(arrival->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (arrival->fd < 0)
        return crn_err_os(reterr, errno, arrival->path, "create '%s'", arrival->path);
    arrival->unfinished = true;
    return 0;
}

int crn_arrival_take(struct crn_arrival *arrival, const void *data, size_t n, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    uint64_t offset = arrival->sums.size;
    if (n > arrival->file->info.size - offset)
        return crn_sums_fail_size(arrival->file, arrival->key, offset + n, reterr);
    crn_sums_add(&arrival->sums, data, n);
    if (arrival->fd >= 0)
        CRN_TRY(crn_file_pwrite_all(arrival->fd, data, n, offset, arrival->path, reterr));
    if (arrival->out != NULL && crn_buf_append(arrival->out, data, n) < 0)
        return crn_err_nomem(reterr);
    return intake->tick(intake->tick_context, (int64_t)n, reterr);
}

static int publish(struct crn_arrival *arrival, cairn_error **reterr)
{
    if (arrival->path == NULL)
        return 0;
    if (arrival->intake->sync && arrival->fd >= 0 && fdatasync(arrival->fd) < 0)
        return crn_err_os(reterr, errno, arrival->path, "sync '%s'", arrival->path);
    if (rename(arrival->path, arrival->final_path) < 0)
        return crn_err_os(reterr, errno, arrival->final_path, "rename to '%s'",
                          arrival->final_path);
    arrival->unfinished = false;
    if (arrival->fd >= 0)
        crn_kept_add(arrival->intake->kept, arrival->file, arrival->final_path);
    return 0;
}

int crn_arrival_finish(struct crn_arrival *arrival, cairn_error **reterr)
{
    int r = crn_sums_compare(&arrival->sums, arrival->file, arrival->key, reterr);
    if (r == 0)
        r = publish(arrival, reterr);
    crn_cleanup_fd(&arrival->fd);
    arrival->fd = -1;
    return r;
}

int crn_arrival_fail_missing(const struct crn_arrival *arrival, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EMISSING, arrival->key,
                        "object '%s' ('%s', stored by checkpoint %" PRIu64 ") is missing",
                        arrival->key, arrival->file->info.name, arrival->file->info.checkpoint_id);
}

/* --- without a download --- */

/* Reads what was linked to arrival->path. */
static int read_linked(struct crn_arrival *arrival, cairn_error **reterr)
{
    uint8_t *buffer = arrival->scratch->buffer;
    CRN_AUTO_FD int fd = open(arrival->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return crn_err_os(reterr, errno, arrival->path, "open '%s'", arrival->path);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    crn_sums_start(&arrival->sums, arrival->scratch->digest, arrival->file);
    for (;;) {
        ssize_t n = read(fd, buffer, CRN_INTAKE_BUFFER_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return crn_err_os(reterr, errno, arrival->key, "read '%s', linked from '%s'",
                              arrival->path, arrival->key);
        if (n == 0)
            return 0;
        CRN_TRY(crn_arrival_take(arrival, buffer, (size_t)n, reterr));
    }
}

/* 1: linked and read; 0: the store cannot link. */
static int try_link(struct crn_arrival *arrival, cairn_error **reterr)
{
    cairn_store *store = arrival->intake->store;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;

    if (!arrival->intake->link)
        return 0;
    int r = crn_store_link_out(store, arrival->key, arrival->path, &how, &error);
    if (r == CAIRN_EUNSUPPORTED)
        return 0;
    if (r == CAIRN_ENOTFOUND)
        return crn_arrival_fail_missing(arrival, reterr);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    arrival->unfinished = true;
    CRN_TRY(read_linked(arrival, reterr));
    CRN_TRY(crn_arrival_finish(arrival, reterr));
    return 1;
}

/* 1: an earlier restore has kept it; 0: none has, or it is no good any more. */
static int try_kept(struct crn_arrival *arrival, cairn_error **reterr)
{
    CRN_AUTO_FREE char *kept = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(crn_kept_path(arrival->intake->kept, arrival->file, "", &kept, reterr));
    if (kept == NULL || link(kept, arrival->path) < 0)
        return 0;
    arrival->unfinished = true;
    int r = read_linked(arrival, &error);
    if (r == 0)
        r = crn_arrival_finish(arrival, &error);
    if (r == 0)
        return 1;
    if (r == CAIRN_ECANCELED || r == CAIRN_ENOMEM)
        return crn_err_move(reterr, &error, r);
    drop(arrival);
    (void)unlink(kept); /* it is downloaded instead, and kept in its place */
    return take_back(arrival, reterr);
}

int crn_arrival_find(struct crn_arrival *arrival, cairn_error **reterr)
{
    if (arrival->path == NULL || arrival->file->info.object == NULL)
        return 0;
    int r = crn_file_is_slice(arrival->file) ? 0 : try_link(arrival, reterr);
    return r != 0 ? r : try_kept(arrival, reterr);
}

/* --- what the store is asked --- */

static int get_once(const struct crn_intake *intake, const char *key, uint64_t offset,
                    uint64_t size, uint64_t bytes, cairn_sink *sink, cairn_error **reterr)
{
    CRN_TRY(crn_downloads_begin(intake->downloads, bytes, reterr));
    int r = intake->store->ops->get(intake->store, key, offset, size, sink, reterr);
    crn_downloads_end(intake->downloads);
    return r;
}

int crn_intake_get(const struct crn_intake *intake, const char *key, uint64_t offset, uint64_t size,
                   uint64_t bytes, struct crn_intake_sink *sink, cairn_error **reterr)
{
    for (unsigned attempt = 1;; attempt++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_TRY(sink->restart(sink, reterr));
        int r = get_once(intake, key, offset, size, bytes, &sink->sink, &error);
        if (r != CAIRN_EUNAVAIL || attempt == GET_ATTEMPTS)
            return r == 0 ? 0 : crn_err_move(reterr, &error, r);
        uint64_t pause_us = (uint64_t)GET_PAUSE_US << attempt;
        crn_sleep_us(pause_us / 2 + crn_random_u64() % pause_us);
    }
}
