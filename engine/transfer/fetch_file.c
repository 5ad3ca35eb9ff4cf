/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One stored file on its way back: every byte that Cairn takes out of a store as a checkpoint's
 * data passes through this file and is verified in it (P8). No other place may call a store's get
 * for an object, but object_input.c: it reads parts of canonical files, whose blocks verify
 * themselves.
 *
 * A local file gets its final name only after its bytes were compared with the manifest, so a file
 * cut short by a crash or a broken transfer is never under a name that a database would open. A
 * linked file is read and compared like any other: that nobody copied it does not mean that nobody
 * damaged it.
 *
 * Which sum is computed: XXH3-128 and crc32c in one pass when the manifest has XXH3; crc32c alone,
 * which costs less than half, when that is all that the manifest has (tables that were linked into
 * the store).
 *
 * Files are read with read(2), never mapped: a store's file that shrinks meanwhile must be an
 * error, not a signal (P11). No locks. @crash a ".cairn-tmp-*" file in a directory that the caller
 * removes anyway.
 */

#include "engine/transfer/fetch_file.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/log/joblog.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)256 << 10) /* stays in the second-level cache */
#define GET_ATTEMPTS 4u
#define GET_PAUSE_US 50000u

int crn_intake_scratch_init(struct crn_intake_scratch *scratch, cairn_error **reterr)
{
    void *buffer = NULL;
    scratch->digest = crn_digest_new();
    if (scratch->digest == NULL || posix_memalign(&buffer, 4096, BUFFER_BYTES) != 0)
        return crn_err_nomem(reterr);
    scratch->buffer = buffer;
    return 0;
}

void crn_intake_scratch_done(struct crn_intake_scratch *scratch)
{
    free(scratch->buffer);
    crn_digest_free(scratch->digest);
}

/* --- sums --- */

struct sums {
    struct crn_digest *digest; /* NULL: crc32c alone */
    uint32_t crc32c;
    uint64_t size;
};

static void sums_start(struct sums *sums, const struct crn_intake_scratch *scratch,
                       const struct crn_file *file)
{
    *sums = (struct sums){.digest = file->info.has_xxh3 ? scratch->digest : NULL};
    if (sums->digest != NULL)
        crn_digest_reset(sums->digest);
}

static void sums_add(struct sums *sums, const void *data, size_t n)
{
    sums->size += n;
    if (sums->digest != NULL)
        crn_digest_update(sums->digest, data, n);
    else
        sums->crc32c = crn_crc32c(sums->crc32c, data, n);
}

static int fail_size(const struct crn_file *file, const char *key, uint64_t size,
                     cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                        "object '%s' ('%s') is damaged: its size is %" PRIu64
                        " bytes, the manifest says %" PRIu64,
                        key, file->info.name, size, file->info.size);
}

static int sums_compare(const struct sums *sums, const struct crn_file *file, const char *key,
                        cairn_error **reterr)
{
    const cairn_file_info *info = &file->info;
    if (sums->size != info->size)
        return fail_size(file, key, sums->size, reterr);
    if (sums->digest != NULL) {
        struct crn_hash128 hash = crn_digest_hash128(sums->digest);
        if (memcmp(hash.bytes, info->xxh3, sizeof hash.bytes) != 0) {
            char found[33], expected[33];
            crn_hex(hash.bytes, sizeof hash.bytes, found);
            crn_hex(info->xxh3, sizeof info->xxh3, expected);
            return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                                "object '%s' ('%s') is damaged: its xxh3 is %s, the manifest says "
                                "%s",
                                key, info->name, found, expected);
        }
    }
    uint32_t crc = sums->digest != NULL ? crn_digest_crc32c(sums->digest) : sums->crc32c;
    if (info->has_crc32c && crc != info->crc32c)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "object '%s' ('%s') is damaged: its crc32c is %08" PRIx32
                            ", the manifest says %08" PRIx32,
                            key, info->name, crc, info->crc32c);
    if (!info->has_xxh3 && !info->has_crc32c)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "object '%s' ('%s') cannot be verified: the manifest has no checksum",
                            key, info->name);
    return 0;
}

/* --- one file on its way --- */

struct arrival {
    cairn_sink sink; /* first: the sink is the arrival */
    const struct crn_intake *intake;
    const struct crn_intake_scratch *scratch;
    const struct crn_file *file;
    char *key;                /* of the object, for the store and for errors */
    char *final_path, *path;  /* NULL without a directory; path is the temporary one */
    int fd;                   /* -1: nothing is written */
    struct cairn_buffer *out; /* NULL: not into memory */
    size_t out_start;
    struct sums sums;
    bool unfinished; /* something stands at path that must go */
};

static void arrival_done(struct arrival *arrival)
{
    crn_cleanup_fd(&arrival->fd);
    if (arrival->unfinished)
        (void)unlink(arrival->path); /* the caller removes the whole directory anyway */
    free(arrival->key);
    free(arrival->path);
    free(arrival->final_path);
}

/* A name from a manifest becomes part of a path: it must stay inside the directory. */
static int check_name(const struct arrival *arrival, cairn_error **reterr)
{
    const char *name = arrival->file->info.name;
    if (name == NULL || *name == 0 || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, arrival->key,
                            "object '%s': '%s' is not a file name", arrival->key,
                            name != NULL ? name : "");
    return 0;
}

static int arrival_init(struct arrival *arrival, size_t ordinal, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    const cairn_file_info *info = &arrival->file->info;
    char manifest[CRN_KEY_MAX];
    const char *object = info->object;

    arrival->fd = -1;
    if (object == NULL) {
        crn_key_manifest(manifest, info->checkpoint_id);
        object = manifest;
    }
    CRN_TRY(crn_joblog_key(intake->job, object, &arrival->key, reterr));
    sums_start(&arrival->sums, arrival->scratch, arrival->file);
    if (arrival->out != NULL) {
        arrival->out_start = arrival->out->size;
        return 0;
    }
    if (intake->directory == NULL)
        return 0;
    CRN_TRY(check_name(arrival, reterr));
    CRN_TRY(crn_str_printf(&arrival->final_path, reterr, "%s/%s", intake->directory, info->name));
    return crn_str_printf(&arrival->path, reterr, "%s/.cairn-tmp-%zu", intake->directory, ordinal);
}

static int arrival_create(struct arrival *arrival, cairn_error **reterr)
{
    arrival->fd = open(arrival->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (arrival->fd < 0)
        return crn_err_os(reterr, errno, arrival->path, "create '%s'", arrival->path);
    arrival->unfinished = true;
    return 0;
}

static int arrival_restart(struct arrival *arrival, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    if (arrival->sums.size > 0)
        CRN_TRY(intake->tick(intake->tick_context, -(int64_t)arrival->sums.size, reterr));
    sums_start(&arrival->sums, arrival->scratch, arrival->file);
    if (arrival->out != NULL)
        arrival->out->size = arrival->out_start;
    return 0;
}

static int arrival_take(struct arrival *arrival, const void *data, size_t n, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    uint64_t offset = arrival->sums.size;
    if (n > arrival->file->info.size - offset)
        return fail_size(arrival->file, arrival->key, offset + n, reterr);
    sums_add(&arrival->sums, data, n);
    if (arrival->fd >= 0)
        CRN_TRY(crn_file_pwrite_all(arrival->fd, data, n, offset, arrival->path, reterr));
    if (arrival->out != NULL && crn_buf_append(arrival->out, data, n) < 0)
        return crn_err_nomem(reterr);
    return intake->tick(intake->tick_context, (int64_t)n, reterr);
}

static int sink_write(cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct arrival *arrival = (struct arrival *)sink;
    if (offset == 0)
        CRN_TRY(arrival_restart(arrival, reterr));
    if (offset != arrival->sums.size)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, arrival->key,
                            "object '%s': the store gave offset %" PRIu64 " in place of %" PRIu64,
                            arrival->key, offset, arrival->sums.size);
    return arrival_take(arrival, data, n, reterr);
}

static int fail_missing(const struct arrival *arrival, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EMISSING, arrival->key,
                        "object '%s' ('%s', stored by checkpoint %" PRIu64 ") is missing",
                        arrival->key, arrival->file->info.name, arrival->file->info.checkpoint_id);
}

static int get_object(struct arrival *arrival, cairn_error **reterr)
{
    cairn_store *store = arrival->intake->store;
    arrival->sink.write = sink_write;
    for (unsigned attempt = 1;; attempt++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_TRY(arrival_restart(arrival, reterr));
        int r = store->ops->get(store, arrival->key, 0, UINT64_MAX, &arrival->sink, &error);
        if (r == CAIRN_ENOTFOUND)
            return fail_missing(arrival, reterr);
        if (r != CAIRN_EUNAVAIL || attempt == GET_ATTEMPTS)
            return r == 0 ? 0 : crn_err_move(reterr, &error, r);
        uint64_t pause_us = (uint64_t)GET_PAUSE_US << attempt;
        crn_sleep_us(pause_us / 2 + crn_random_u64() % pause_us);
    }
}

/* Reads what link_out() put at arrival->path. */
static int read_linked(struct arrival *arrival, cairn_error **reterr)
{
    uint8_t *buffer = arrival->scratch->buffer;
    CRN_AUTO_FD int fd = open(arrival->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return crn_err_os(reterr, errno, arrival->path, "open '%s'", arrival->path);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    for (;;) {
        ssize_t n = read(fd, buffer, BUFFER_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return crn_err_os(reterr, errno, arrival->key, "read '%s', linked from '%s'",
                              arrival->path, arrival->key);
        if (n == 0)
            return 0;
        CRN_TRY(arrival_take(arrival, buffer, (size_t)n, reterr));
    }
}

/* 1: linked and read; 0: the store cannot link. */
static int try_link(struct arrival *arrival, cairn_error **reterr)
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
        return fail_missing(arrival, reterr);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    arrival->unfinished = true;
    CRN_TRY(read_linked(arrival, reterr));
    return 1;
}

static int bring(struct arrival *arrival, cairn_error **reterr)
{
    const struct crn_file *file = arrival->file;
    if (arrival->path != NULL && file->info.object != NULL) {
        int r = try_link(arrival, reterr);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    if (arrival->path != NULL)
        CRN_TRY(arrival_create(arrival, reterr));
    if (file->info.object == NULL)
        return arrival_take(arrival, file->inlined, file->info.size, reterr);
    return get_object(arrival, reterr);
}

/* The bytes are right: give them their name. */
static int arrival_publish(struct arrival *arrival, cairn_error **reterr)
{
    if (arrival->path == NULL)
        return 0;
    if (arrival->intake->sync && arrival->fd >= 0 && fdatasync(arrival->fd) < 0)
        return crn_err_os(reterr, errno, arrival->path, "sync '%s'", arrival->path);
    if (rename(arrival->path, arrival->final_path) < 0)
        return crn_err_os(reterr, errno, arrival->final_path, "rename to '%s'",
                          arrival->final_path);
    arrival->unfinished = false;
    return 0;
}

static int compare_stored_size(struct arrival *arrival, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    const struct crn_file *file = arrival->file;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;

    if (file->info.object != NULL) {
        int r = intake->store->ops->stat(intake->store, arrival->key, &stat, &error);
        if (r == CAIRN_ENOTFOUND)
            return fail_missing(arrival, reterr);
        if (r < 0)
            return crn_err_move(reterr, &error, r);
        if (stat.size != file->info.size)
            return fail_size(file, arrival->key, stat.size, reterr);
    }
    return intake->tick(intake->tick_context, (int64_t)file->info.size, reterr);
}

int crn_intake_file(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                    const struct crn_file *file, size_t ordinal, cairn_error **reterr)
{
    CRN_CLEANUP(arrival_done)
    struct arrival arrival = {.intake = intake, .scratch = scratch, .file = file};

    CRN_TRY(arrival_init(&arrival, ordinal, reterr));
    if (intake->sizes_only)
        return compare_stored_size(&arrival, reterr);
    CRN_TRY(bring(&arrival, reterr));
    CRN_TRY(sums_compare(&arrival.sums, file, arrival.key, reterr));
    return arrival_publish(&arrival, reterr);
}

int crn_intake_bytes(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                     const struct crn_file *file, struct cairn_buffer *out, cairn_error **reterr)
{
    CRN_CLEANUP(arrival_done)
    struct arrival arrival = {.intake = intake, .scratch = scratch, .file = file, .out = out};

    CRN_TRY(arrival_init(&arrival, 0, reterr));
    int r = bring(&arrival, reterr);
    if (r == 0)
        r = sums_compare(&arrival.sums, file, arrival.key, reterr);
    if (r < 0)
        out->size = arrival.out_start;
    return r;
}
