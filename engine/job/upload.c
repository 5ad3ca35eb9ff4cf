/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bring one captured file into the store, or into the manifest when it is small.
 *
 * Whatever is read is hashed on the way (P8). For a table that gives RocksDB's own crc32c a second
 * look: a difference means that the file was damaged between flush and upload, and the checkpoint
 * is aborted. A linked table is not read; it carries RocksDB's crc32c. Files without a checksum of
 * their own are therefore never offered for linking.
 *
 * Every try has an object name of its own (names are unique for ever), noted in the attempt before
 * the store is called: whatever became of a failed try, its object is removed once the id is
 * resolved (P6).
 *
 * Lock: job->rate_lock around the token bucket, released while sleeping.
 */
#include "engine/job/job.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define UPLOAD_TRIES 5
#define RETRY_FIRST_US 50000u

struct file_source {
    cairn_source source;
    struct crn_attempt *attempt;
    const char *path;
    int fd;
    struct crn_digest *digest;
    uint64_t expected; /* next offset */
};

/* Let `n` bytes through no faster than the limit: everybody books a slot in the future and sleeps
 * until it comes. Who is cancelled before that gives the time back: the next attempt would have to
 * wait for nobody. */
static void wait_for_rate(struct crn_attempt *attempt, size_t n)
{
    struct cairn_job *job = attempt->job;
    uint64_t limit = job->options.upload_bytes_per_sec;
    if (limit == 0)
        return;
    uint64_t length = (uint64_t)((double)n * 1e6 / (double)limit);
    crn_mutex_lock(&job->rate_lock);
    uint64_t now = crn_now_us();
    uint64_t slot = job->rate_free_at_us > now ? job->rate_free_at_us : now;
    job->rate_free_at_us = slot + length;
    crn_mutex_unlock(&job->rate_lock);
    for (now = crn_now_us(); now < slot && !atomic_load(&attempt->cancelled); now = crn_now_us())
        crn_sleep_us(slot - now < 50000 ? slot - now : 50000);
    if (now < slot) {
        crn_mutex_lock(&job->rate_lock);
        job->rate_free_at_us -= length;
        crn_mutex_unlock(&job->rate_lock);
    }
}

static int fail_cancelled(const struct file_source *file, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECANCELED, file->path, "upload of '%s' was cancelled",
                        file->path);
}

static int read_file(cairn_source *source, uint64_t offset, void *data, size_t n,
                     cairn_error **reterr)
{
    struct file_source *file = (struct file_source *)source;
    if (atomic_load(&file->attempt->cancelled))
        return fail_cancelled(file, reterr);
    if (offset == 0) {
        crn_digest_reset(file->digest);
        file->expected = 0;
    }
    if (offset != file->expected)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, file->path,
                            "the store reads '%s' out of order", file->path);
    wait_for_rate(file->attempt, n);
    if (atomic_load(&file->attempt->cancelled))
        return fail_cancelled(file, reterr);
    CRN_TRY(crn_file_pread_all(file->fd, data, n, offset, file->path, reterr));
    crn_digest_update(file->digest, data, n);
    file->expected += n;
    return 0;
}

/* The digest of what was read goes into the manifest, after a look at RocksDB's own sum. */
static int take_digest(struct file_source *source, struct crn_file *file, cairn_error **reterr)
{
    uint32_t crc32c = crn_digest_crc32c(source->digest);
    if (crn_digest_size(source->digest) != file->info.size)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, source->path,
                            "the store took %llu of %llu bytes of '%s'",
                            (unsigned long long)crn_digest_size(source->digest),
                            (unsigned long long)file->info.size, source->path);
    if (file->info.has_crc32c && file->info.crc32c != crc32c)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, source->path,
                            "local file '%s' was damaged after it was written: crc32c is %08x, the "
                            "database wrote %08x",
                            source->path, crc32c, file->info.crc32c);
    struct crn_hash128 hash = crn_digest_hash128(source->digest);
    file->info.has_crc32c = 1;
    file->info.crc32c = crc32c;
    file->info.has_xxh3 = 1;
    memcpy(file->info.xxh3, hash.bytes, sizeof hash.bytes);
    return 0;
}

static int inline_file(struct file_source *source, struct crn_file *file, cairn_error **reterr)
{
    file->inlined = malloc(file->info.size + 1);
    if (file->inlined == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(read_file(&source->source, 0, file->inlined, file->info.size, reterr));
    return take_digest(source, file, reterr);
}

static int try_put(struct crn_part *part, struct file_source *source, struct crn_file *file,
                   cairn_error **reterr)
{
    struct cairn_job *job = part->attempt->job;
    char object[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    cairn_put_how how;
    crn_key_object(object, file->info.role == CAIRN_FILE_TABLE, job->epoch, part->attempt->id,
                   atomic_fetch_add(&job->next_object, 1), file->info.name);
    CRN_TRY(crn_joblog_key(job->name, object, &key, reterr));
    if (crn_attempt_note_upload(part->attempt, object) < 0)
        return crn_err_nomem(reterr);
    crn_digest_reset(source->digest);
    CRN_TRY(job->store->ops->put(job->store, key, &source->source, &how, reterr));
    if (how == CAIRN_PUT_COPIED)
        CRN_TRY(take_digest(source, file, reterr));
    else if (!file->info.has_crc32c)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, key,
                            "object '%s' was linked although its checksum is not known", key);
    return crn_record_set_text(&file->info.object, object) < 0 ? crn_err_nomem(reterr) : 0;
}

static int put_with_retries(struct crn_part *part, struct file_source *source,
                            struct crn_file *file, cairn_error **reterr)
{
    for (int tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = try_put(part, source, file, &error);
        if (r == 0)
            return 0;
        if (tries == UPLOAD_TRIES || cairn_error_class_of(r) != CAIRN_CLASS_RETRY ||
            atomic_load(&part->attempt->cancelled))
            return crn_err_move(reterr, &error, r);
        crn_log_write(&part->attempt->job->log, CAIRN_LOG_DEBUG, "upload",
                      "'%s' is tried again: %s", source->path, cairn_error_message(error));
        uint64_t most = (uint64_t)RETRY_FIRST_US << tries;
        crn_sleep_us(crn_random_u64() % most);
    }
}

/* Tables never are: later checkpoints share them, and could not reference an inlined one. RocksDB's
 * OPTIONS grow with the number of states, but say the same over and over: in the compressed
 * manifest they take less than an object of their own would cost. */
static bool is_inlined(const struct cairn_job *job, const cairn_file_info *info)
{
    uint32_t threshold = job->options.inline_threshold_bytes;
    bool is_options = strncmp(info->name, "OPTIONS-", sizeof "OPTIONS-" - 1) == 0;
    return info->size < threshold ||
           (is_options && threshold > 1 && info->size <= CRN_LIMIT_INLINE);
}

int crn_upload_file(struct crn_part *part, const char *path, struct crn_file *file,
                    cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot open captured file '%s'", path);
    struct file_source source = {.attempt = attempt, .path = path, .fd = fd};
    source.digest = crn_digest_new();
    if (source.digest == NULL)
        return crn_err_nomem(reterr);
    bool is_table = file->info.role == CAIRN_FILE_TABLE;
    source.source.size = file->info.size;
    source.source.read = read_file;
    source.source.link_path = is_table && file->info.has_crc32c ? path : NULL;
    file->info.checkpoint_id = attempt->id;
    file->info.epoch = attempt->job->epoch;
    bool is_small = !is_table && is_inlined(attempt->job, &file->info);
    int r = is_small ? inline_file(&source, file, reterr)
                     : put_with_retries(part, &source, file, reterr);
    crn_digest_free(source.digest);
    return r;
}
