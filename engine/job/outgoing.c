/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on their way into the store: the files of a part, one behind the other.
 *
 * Whatever is read is hashed, file by file (P8). For a table that gives RocksDB's own crc32c a
 * second look: a difference means that the file was damaged between flush and upload; the read
 * fails, so the object does not come to be, and the checkpoint is aborted. A store may read more
 * than once, to hash a payload or to try again: what it reads last is what counts, and must be what
 * it read before.
 *
 * One file is open at a time, and no more is in memory than the store asks for. Locks: none of its
 * own.
 */
#include "engine/job/outgoing.h"

#include "base/file.h"
#include "base/hash.h"
#include "engine/savepoint/savepoint.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char *crn_outgoing_name(const struct crn_outgoing *out)
{
    return out->path != NULL ? out->path : out->files[0]->info.name;
}

atomic_uint_fast64_t *crn_outgoing_progress(const struct crn_part *part)
{
    struct crn_attempt *attempt = part->attempt;
    if (part->snapshot != NULL)
        return NULL;
    return attempt->savepoint != NULL ? &attempt->savepoint->handle->done_bytes
                                      : &attempt->done_bytes;
}

void crn_outgoing_count(struct crn_outgoing *out, uint64_t sent)
{
    if (out->progress != NULL)
        atomic_fetch_add(out->progress, sent - out->counted); /* wraps back when sent again */
    out->counted = sent;
}

/* ------------------------------------------------------------------------------------------ *
 * One file after another
 * ------------------------------------------------------------------------------------------ */

static void close_file(struct crn_outgoing *out)
{
    if (out->fd >= 0)
        (void)close(out->fd); /* it was only read */
    out->fd = -1;
}

static int open_file(struct crn_outgoing *out, cairn_error **reterr)
{
    const char *name = out->files[out->at]->info.name;
    crn_digest_reset(out->digest);
    if (out->bytes != NULL || (out->fd >= 0 && out->opened == out->at))
        return 0;
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", out->part->staging, name));
    free(out->path);
    out->path = CRN_TAKE(path);
    close_file(out);
    out->fd = open(out->path, O_RDONLY | O_CLOEXEC);
    out->opened = out->at;
    return out->fd >= 0
               ? 0
               : crn_err_os(reterr, errno, out->path, "cannot open captured file '%s'", out->path);
}

/* The digest of what was read goes into the manifest, after a look at RocksDB's own sum. */
static int take_digest(struct crn_outgoing *out, cairn_error **reterr)
{
    cairn_file_info *info = &out->files[out->at]->info;
    const char *name = crn_outgoing_name(out);
    uint32_t crc32c = crn_digest_crc32c(out->digest);
    if (info->has_crc32c && info->crc32c != crc32c)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, name,
                            "local file '%s' was damaged after it was written: crc32c is %08x, the "
                            "database wrote %08x",
                            name, crc32c, info->crc32c);
    struct crn_hash128 hash = crn_digest_hash128(out->digest);
    if (info->has_xxh3 && memcmp(info->xxh3, hash.bytes, sizeof hash.bytes) != 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, name,
                            "local file '%s' was damaged after it was written: its xxh3 is another",
                            name);
    info->has_crc32c = 1;
    info->crc32c = crc32c;
    info->has_xxh3 = 1;
    memcpy(info->xxh3, hash.bytes, sizeof info->xxh3);
    return 0;
}

static int next_file(struct crn_outgoing *out, cairn_error **reterr)
{
    CRN_TRY(take_digest(out, reterr));
    out->at_start += out->files[out->at]->info.size;
    out->at++;
    return out->at < out->count ? open_file(out, reterr) : 0;
}

static int rewind_files(struct crn_outgoing *out, cairn_error **reterr)
{
    out->expected = 0;
    out->at = 0;
    out->at_start = 0;
    return open_file(out, reterr);
}

static int fail_cancelled(const struct crn_outgoing *out, cairn_error **reterr)
{
    const char *name = crn_outgoing_name(out);
    return crn_err_fail(reterr, CAIRN_ECANCELED, name, "upload of '%s' was cancelled", name);
}

/* At most `n` bytes, of the present file only. */
static int read_some(struct crn_outgoing *out, uint8_t *data, size_t n, size_t *ret_n,
                     cairn_error **reterr)
{
    uint64_t offset = out->expected - out->at_start;
    uint64_t left = out->files[out->at]->info.size - offset;
    n = n < left ? n : (size_t)left;
    if (out->bytes != NULL)
        memcpy(data, out->bytes + offset, n);
    else
        CRN_TRY(crn_file_pread_all(out->fd, data, n, offset, out->path, reterr));
    crn_digest_update(out->digest, data, n);
    out->expected += n;
    *ret_n = n;
    return n == left ? next_file(out, reterr) : 0;
}

static int read_files(cairn_source *source, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    struct crn_outgoing *out = (struct crn_outgoing *)source;
    struct crn_attempt *attempt = out->part->attempt;
    uint8_t none, *to = data != NULL ? data : &none;
    if (atomic_load(&attempt->cancelled))
        return fail_cancelled(out, reterr);
    if (offset == 0)
        CRN_TRY(rewind_files(out, reterr));
    if (offset != out->expected || n > source->size - offset)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, crn_outgoing_name(out),
                            "the store reads '%s' out of order", crn_outgoing_name(out));
    if (!source->is_looked_at && !crn_rate_wait(&attempt->job->upload_rate, n, &attempt->cancelled))
        return fail_cancelled(out, reterr);
    while (n > 0 || (source->size == 0 && out->at < out->count)) {
        size_t some = 0;
        CRN_TRY(read_some(out, to, n, &some, reterr));
        to += some;
        n -= some;
    }
    if (!source->is_looked_at)
        crn_outgoing_count(out, out->expected);
    return 0;
}

int crn_outgoing_check_read(struct crn_outgoing *out, cairn_error **reterr)
{
    if (out->source.size == 0)
        CRN_TRY(read_files(&out->source, 0, NULL, 0, reterr));
    return out->at == out->count
               ? 0
               : crn_err_fail(reterr, CAIRN_EINTERNAL, crn_outgoing_name(out),
                              "the store took %llu of %llu bytes of '%s'",
                              (unsigned long long)out->expected,
                              (unsigned long long)out->source.size, crn_outgoing_name(out));
}

int crn_outgoing_init(struct crn_outgoing *out, struct crn_part *part,
                      struct crn_file *const *files, size_t count, const void *bytes,
                      cairn_error **reterr)
{
    const cairn_file_info *first = &files[0]->info;
    *out = (struct crn_outgoing){
        .source.read = read_files, .part = part, .files = files, .count = count, .bytes = bytes};
    out->fd = -1;
    for (size_t i = 0; i < count; i++)
        out->source.size += files[i]->info.size;
    out->progress = bytes == NULL ? crn_outgoing_progress(part) : NULL;
    out->digest = crn_digest_new();
    if (out->digest == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(open_file(out, reterr));
    /* A linked file is not read: it needs a checksum that it came with. */
    if (count == 1 && bytes == NULL && (first->has_crc32c || first->has_xxh3))
        out->source.link_path = out->path;
    return 0;
}

void crn_outgoing_done(struct crn_outgoing *out)
{
    close_file(out);
    free(out->path);
    crn_digest_free(out->digest);
}
