/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bring one captured file into the store, or into the manifest when it is small.
 *
 * Whatever is read is hashed on the way (P8). For a table that gives RocksDB's own crc32c a second
 * look: a difference means that the file was damaged between flush and upload, and the checkpoint
 * is aborted. A linked file is not read; it carries the checksum that it came with. Files without
 * one of their own are therefore never offered for linking. A table whose bytes the store is known
 * to have somewhere (origin.c) may be copied by the store itself; whatever speaks against it, it is
 * sent.
 *
 * Every try has an object name of its own (names are unique for ever), noted in the attempt before
 * the store is called: whatever became of a failed try, its object is removed once the id is
 * resolved (P6).
 *
 * Locks: none of its own.
 */
#include "engine/savepoint/savepoint.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define UPLOAD_TRIES 5
#define RETRY_FIRST_US 50000u

struct file_source {
    cairn_source source;
    struct crn_attempt *attempt;
    const char *path; /* for words, if the bytes are in memory */
    int fd;
    const uint8_t *bytes; /* NULL: in the file */
    struct crn_digest *digest;
    uint64_t expected;              /* next offset */
    atomic_uint_fast64_t *progress; /* bytes sent are added; NULL: nobody asks */
    uint64_t counted;
};

static void count_sent(struct file_source *file, uint64_t sent)
{
    if (file->progress != NULL)
        atomic_fetch_add(file->progress, sent - file->counted); /* wraps back when sent again */
    file->counted = sent;
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
    if (!crn_rate_wait(&file->attempt->job->upload_rate, n, &file->attempt->cancelled))
        return fail_cancelled(file, reterr);
    if (file->bytes != NULL)
        memcpy(data, file->bytes + offset, n);
    else
        CRN_TRY(crn_file_pread_all(file->fd, data, n, offset, file->path, reterr));
    crn_digest_update(file->digest, data, n);
    file->expected += n;
    count_sent(file, file->expected);
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
    if (file->info.has_xxh3 && memcmp(file->info.xxh3, hash.bytes, sizeof hash.bytes) != 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, source->path,
                            "local file '%s' was damaged after it was written: its xxh3 is another",
                            source->path);
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

/* A new name, noted before anything can be there under it. A savepoint's directory is named after
 * job and id alone, so another job of that name might write there, too: hence numbers by chance. */
static int new_object(struct crn_part *part, const struct crn_file *file, char object[CRN_KEY_MAX],
                      char **ret_key, cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    struct cairn_job *job = attempt->job;
    bool is_savepoint = attempt->savepoint != NULL;
    uint64_t number = is_savepoint ? crn_random_u64() >> 1 : atomic_fetch_add(&job->next_object, 1);
    crn_key_object(object, file->info.role == CAIRN_FILE_TABLE && !is_savepoint, job->epoch,
                   attempt->id, number, file->info.name);
    CRN_TRY(crn_joblog_key(attempt->prefix, object, ret_key, reterr));
    return crn_attempt_note_upload(attempt, object) < 0 ? crn_err_nomem(reterr) : 0;
}

static void count_linked(struct crn_attempt *attempt, cairn_put_how how, uint64_t size)
{
    if (attempt->savepoint != NULL && how != CAIRN_PUT_COPIED)
        atomic_fetch_add(&attempt->savepoint->linked_bytes, size);
}

static int try_put(struct crn_part *part, struct file_source *source, struct crn_file *file,
                   cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    cairn_store *store = attempt->store;
    char object[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    cairn_put_how how;
    CRN_TRY(new_object(part, file, object, &key, reterr));
    crn_digest_reset(source->digest);
    CRN_TRY(store->ops->put(store, key, &source->source, &how, reterr));
    if (how == CAIRN_PUT_COPIED)
        CRN_TRY(take_digest(source, file, reterr));
    else if (!file->info.has_crc32c && !file->info.has_xxh3)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, key,
                            "object '%s' was linked although its checksum is not known", key);
    count_linked(attempt, how, file->info.size);
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

/* ------------------------------------------------------------------------------------------ *
 * Copies that the store makes
 * ------------------------------------------------------------------------------------------ */

/* A link of the local file costs nothing: no need to ask for more. */
static bool is_linkable(const cairn_store *store, const char *path)
{
    const char *root = crn_posix_store_root(store);
    struct stat here, there;
    return root != NULL && stat(path, &here) == 0 && stat(root, &there) == 0 &&
           here.st_dev == there.st_dev;
}

/* What a savepoint of the user's has under that key need not be what its manifest says. */
static bool has_right_size(cairn_store *store, const char *key, const struct crn_file *file)
{
    cairn_object_stat stat;
    return store->ops->stat(store, key, &stat, NULL) == 0 && stat.size == file->info.size;
}

/* What the job was started from may be closed or removed by its owner once it is released, which
 * waits for who is in here. */
static bool enter_source(struct cairn_job *job, const struct crn_origin *origin)
{
    if (!origin->is_source)
        return true;
    crn_mutex_lock(&job->lock);
    bool is_there = !job->source.released;
    job->source.copiers += is_there;
    crn_mutex_unlock(&job->lock);
    return is_there;
}

static void leave_source(struct cairn_job *job, const struct crn_origin *origin)
{
    if (!origin->is_source)
        return;
    crn_mutex_lock(&job->lock);
    job->source.copiers--;
    crn_cond_signal(&job->wake_driver);
    crn_mutex_unlock(&job->lock);
}

/* 1: done. 0: it has to be sent; what was begun is noted, and goes. */
static int try_copy(struct crn_part *part, struct crn_file *file, const struct crn_origin *origin,
                    cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    const struct crn_file *from = origin->file;
    char object[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_FREE char *from_key = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how = CAIRN_PUT_COPIED;
    CRN_TRY(crn_joblog_key(origin->prefix, from->info.object, &from_key, reterr));
    CRN_TRY(new_object(part, file, object, &key, reterr));
    if (!enter_source(attempt->job, origin))
        return 0;
    int r = crn_store_copy(attempt->store, key, origin->store, from_key, &how, &error);
    leave_source(attempt->job, origin);
    if (r == CAIRN_EUNSUPPORTED && !origin->is_hint)
        atomic_store(&attempt->cannot_copy, true);
    if (r < 0 || (origin->is_hint && !has_right_size(attempt->store, key, file))) {
        crn_log_write(&attempt->job->log, CAIRN_LOG_DEBUG, "upload",
                      "'%s' is sent, the store does not copy '%s': %s", file->info.name, from_key,
                      r < 0 ? cairn_error_message(error) : "it has another size");
        return 0;
    }
    if (from->info.has_xxh3) {
        file->info.has_xxh3 = 1;
        memcpy(file->info.xxh3, from->info.xxh3, sizeof file->info.xxh3);
    }
    if (from->info.has_crc32c) {
        file->info.has_crc32c = 1;
        file->info.crc32c = from->info.crc32c;
    }
    count_linked(attempt, CAIRN_PUT_CLONED, file->info.size);
    return crn_record_set_text(&file->info.object, object) < 0 ? crn_err_nomem(reterr) : 1;
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

static int send_source(struct crn_part *part, struct file_source *source, struct crn_file *file,
                       cairn_error **reterr)
{
    bool is_table = file->info.role == CAIRN_FILE_TABLE;
    source->digest = crn_digest_new();
    if (source->digest == NULL)
        return crn_err_nomem(reterr);
    source->source.size = file->info.size;
    source->source.read = read_file;
    int r = !is_table && is_inlined(part->attempt->job, &file->info)
                ? inline_file(source, file, reterr)
                : put_with_retries(part, source, file, reterr);
    crn_digest_free(source->digest);
    return r;
}

static int send_file(struct crn_part *part, const char *path, struct crn_file *file,
                     struct file_source *source, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot open captured file '%s'", path);
    source->fd = fd;
    source->source.link_path = file->info.has_crc32c || file->info.has_xxh3 ? path : NULL;
    return send_source(part, source, file, reterr);
}

static void sign_file(const struct crn_attempt *attempt, struct crn_file *file)
{
    file->info.checkpoint_id = attempt->id;
    file->info.epoch = attempt->job->epoch;
}

int crn_upload_bytes(struct crn_part *part, const void *data, struct crn_file *file,
                     cairn_error **reterr)
{
    struct file_source source = {
        .attempt = part->attempt,
        .path = file->info.name,
        .bytes = data,
    };
    sign_file(part->attempt, file);
    return send_source(part, &source, file, reterr);
}

int crn_upload_file(struct crn_part *part, const char *path, struct crn_file *file,
                    const struct crn_origin *origin, cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    struct file_source source = {.attempt = attempt, .path = path};
    if (part->snapshot == NULL)
        source.progress = attempt->savepoint != NULL ? &attempt->savepoint->handle->done_bytes
                                                     : &attempt->done_bytes;
    sign_file(attempt, file);
    int r = 0;
    if (origin != NULL && origin->file != NULL && !atomic_load(&attempt->cannot_copy) &&
        !is_linkable(attempt->store, path))
        r = try_copy(part, file, origin, reterr);
    if (r == 0)
        r = send_file(part, path, file, &source, reterr);
    if (r >= 0)
        count_sent(&source, file->info.size);
    return r < 0 ? r : 0;
}
