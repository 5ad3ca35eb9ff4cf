/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files become objects of the savepoint's directory. All of them are the savepoint's own, tables
 * too (P9): a file of the base is linked or copied by the store where it can, else it is fetched
 * and put.
 *
 * What is read is hashed on the way and compared with what is known already; a link is only offered
 * of a file whose sum is known (P8). Small files that are not tables stand in the manifest.
 *
 * Every try has a name of its own, noted before the store is called: so that a commit that fails
 * can remove what became of each.
 *
 * Lock: commit->lock around names and counters, never while the store is called.
 */

#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/log/joblog.h"
#include "engine/transfer/fetch.h"
#include "engine/write/write.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TRIES 5
#define RETRY_FIRST_US 50000u
#define INLINE_MAX 16384u /* below it; RocksDB's OPTIONS in any case, see docs/architecture.md */
#define EPOCH 1u

/* ------------------------------------------------------------------------------------------ *
 * Names
 * ------------------------------------------------------------------------------------------ */

static int note_key_locked(struct crn_commit *commit, const char *key)
{
    if (commit->key_count == commit->key_capacity) {
        size_t capacity = commit->key_capacity > 0 ? 2 * commit->key_capacity : 64;
        char **grown = reallocarray(commit->keys, capacity, sizeof(char *));
        if (grown == NULL)
            return CAIRN_ENOMEM;
        commit->keys = grown;
        commit->key_capacity = capacity;
    }
    char *copy = strdup(key);
    if (copy == NULL)
        return CAIRN_ENOMEM;
    commit->keys[commit->key_count++] = copy;
    return 0;
}

/* A new name for a try at `file`: `object` relative to the directory, *ret_key whole. */
static int next_name(struct crn_commit *commit, const struct crn_file *file,
                     char object[CRN_KEY_MAX], char **ret_key, cairn_error **reterr)
{
    crn_mutex_lock(&commit->lock);
    crn_key_object(object, false, EPOCH, commit->id, commit->next_object++, file->info.name);
    int r = note_key_locked(commit, object);
    crn_mutex_unlock(&commit->lock);
    return r < 0 ? crn_err_nomem(reterr) : crn_joblog_key(commit->name, object, ret_key, reterr);
}

void crn_output_remove(struct crn_commit *commit)
{
    for (size_t i = 0; i < commit->key_count; i++) {
        CRN_AUTO_FREE char *key = NULL;
        if (crn_joblog_key(commit->name, commit->keys[i], &key, NULL) == 0)
            (void)commit->store->ops->remove(commit->store, (const char *const *)&key, 1, NULL);
    }
}

static void own(const struct crn_commit *commit, struct crn_file *file)
{
    file->info.checkpoint_id = commit->id;
    file->info.epoch = EPOCH;
}

/* Something that may be tried again. */
typedef int (*try_fn)(void *context, cairn_error **reterr);

static int with_retries(struct crn_commit *commit, try_fn fn, void *context, cairn_error **reterr)
{
    for (int tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        if (atomic_load(&commit->cancelled))
            return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled");
        int r = fn(context, &error);
        if (r == 0)
            return 0;
        if (tries == TRIES || cairn_error_class_of(r) != CAIRN_CLASS_RETRY)
            return crn_err_move(reterr, &error, r);
        crn_sleep_us(crn_random_u64() % ((uint64_t)RETRY_FIRST_US << tries));
    }
}

/* ------------------------------------------------------------------------------------------ *
 * A local file
 * ------------------------------------------------------------------------------------------ */

struct local {
    cairn_source source;
    struct crn_commit *commit;
    struct crn_file *file;
    const char *path;
    int fd;
    struct crn_digest *digest;
    uint64_t expected; /* next offset */
};

static int read_local(cairn_source *source, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    struct local *local = (struct local *)source;
    if (atomic_load(&local->commit->cancelled))
        return crn_err_fail(reterr, CAIRN_ECANCELED, local->path, "canceled");
    if (offset == 0) {
        crn_digest_reset(local->digest);
        local->expected = 0;
    }
    if (offset != local->expected)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, local->path,
                            "the store reads '%s' out of order", local->path);
    CRN_TRY(crn_file_pread_all(local->fd, data, n, offset, local->path, reterr));
    crn_digest_update(local->digest, data, n);
    local->expected += n;
    atomic_fetch_add(&local->commit->done_bytes, n);
    return 0;
}

static int take_digest(struct local *local, cairn_error **reterr)
{
    cairn_file_info *info = &local->file->info;
    struct crn_hash128 hash = crn_digest_hash128(local->digest);
    uint32_t crc32c = crn_digest_crc32c(local->digest);
    if (crn_digest_size(local->digest) != info->size)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, local->path,
                            "the store did not take all of '%s'", local->path);
    if ((info->has_crc32c && info->crc32c != crc32c) ||
        (info->has_xxh3 && memcmp(info->xxh3, hash.bytes, sizeof hash.bytes) != 0))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, local->path,
                            "local file '%s' was damaged after it was written", local->path);
    info->has_crc32c = info->has_xxh3 = 1;
    info->crc32c = crc32c;
    memcpy(info->xxh3, hash.bytes, sizeof hash.bytes);
    return 0;
}

static int try_put(void *context, cairn_error **reterr)
{
    struct local *local = context;
    struct crn_commit *commit = local->commit;
    char object[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    cairn_put_how how;
    CRN_TRY(next_name(commit, local->file, object, &key, reterr));
    crn_digest_reset(local->digest);
    CRN_TRY(commit->store->ops->put(commit->store, key, &local->source, &how, reterr));
    if (how == CAIRN_PUT_COPIED)
        CRN_TRY(take_digest(local, reterr));
    else
        atomic_fetch_add(&commit->done_bytes, local->file->info.size);
    return crn_record_set_text(&local->file->info.object, object) < 0 ? crn_err_nomem(reterr) : 0;
}

static int inline_file(struct local *local, cairn_error **reterr)
{
    struct crn_file *file = local->file;
    file->inlined = malloc(file->info.size + 1);
    if (file->inlined == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(read_local(&local->source, 0, file->inlined, file->info.size, reterr));
    return take_digest(local, reterr);
}

static bool is_inlined(const cairn_file_info *info)
{
    if (info->role == CAIRN_FILE_TABLE)
        return false;
    bool is_options = strncmp(info->name, "OPTIONS-", sizeof "OPTIONS-" - 1) == 0;
    return info->size < INLINE_MAX || (is_options && info->size <= CRN_LIMIT_INLINE);
}

int crn_output_file(struct crn_commit *commit, const char *path, struct crn_file *file,
                    cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot open '%s'", path);
    struct local local = {.commit = commit, .file = file, .path = path, .fd = fd};
    local.source.size = file->info.size;
    local.source.read = read_local;
    local.source.link_path = file->info.has_crc32c || file->info.has_xxh3 ? path : NULL;
    local.digest = crn_digest_new();
    if (local.digest == NULL)
        return crn_err_nomem(reterr);
    own(commit, file);
    int r = is_inlined(&file->info) ? inline_file(&local, reterr)
                                    : with_retries(commit, try_put, &local, reterr);
    crn_digest_free(local.digest);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * A file of the base
 * ------------------------------------------------------------------------------------------ */

struct copy {
    struct crn_commit *commit;
    struct crn_file *file; /* the copy; everything but its object is known */
    const char *from;      /* the original's whole key */
};

static int try_copy(void *context, cairn_error **reterr)
{
    const struct copy *copy = context;
    struct crn_commit *commit = copy->commit;
    cairn_store *store = commit->store;
    char object[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    cairn_put_how how;
    cairn_object_stat stat;
    CRN_TRY(next_name(commit, copy->file, object, &key, reterr));
    CRN_TRY(crn_store_copy(store, key, commit->writer->base->store, copy->from, &how, reterr));
    CRN_TRY(store->ops->stat(store, key, &stat, reterr));
    if (stat.size != copy->file->info.size)
        return crn_err_fail(
            reterr, CAIRN_ECORRUPT, copy->from, "'%s' has %llu bytes, its manifest says %llu",
            copy->from, (unsigned long long)stat.size, (unsigned long long)copy->file->info.size);
    atomic_fetch_add(&commit->done_bytes, stat.size);
    return crn_record_set_text(&copy->file->info.object, object) < 0 ? crn_err_nomem(reterr) : 0;
}

static int fetch_and_put(struct crn_commit *commit, const struct crn_file *from,
                         const char *directory, struct crn_file *to, cairn_error **reterr)
{
    const cairn_snapshot *base = commit->writer->base;
    CRN_AUTO_FREE char *path = NULL;
    struct crn_fetch_request request = {.store = base->store,
                                        .job = base->job,
                                        .files = &from,
                                        .count = 1,
                                        .directory = directory,
                                        .link = true,
                                        .threads = 1,
                                        .cancelled = &commit->cancelled};
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", directory, from->info.name));
    CRN_TRY(crn_file_make_dirs(directory, reterr));
    CRN_TRY(crn_fetch(&request, NULL, reterr));
    int r = crn_output_file(commit, path, to, reterr);
    (void)unlink(path); /* closing the writer tries once more */
    return r;
}

int crn_output_copy(struct crn_commit *commit, const struct crn_file *from, const char *directory,
                    struct crn_file *to, cairn_error **reterr)
{
    const cairn_snapshot *base = commit->writer->base;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *key = NULL;
    if (crn_file_copy(to, from) < 0)
        return crn_err_nomem(reterr);
    own(commit, to);
    if (from->info.object == NULL)
        return 0;
    free((void *)(uintptr_t)CRN_TAKE(to->info.object));
    to->info.object_offset = to->info.object_size = 0;
    if (crn_file_is_slice(from)) /* the store copies whole objects */
        return fetch_and_put(commit, from, directory, to, reterr);
    CRN_TRY(crn_joblog_key(base->job, from->info.object, &key, reterr));
    struct copy copy = {.commit = commit, .file = to, .from = key};
    int r = with_retries(commit, try_copy, &copy, &error);
    if (r == CAIRN_EUNSUPPORTED)
        return fetch_and_put(commit, from, directory, to, reterr);
    if (r == CAIRN_ENOTFOUND)
        return crn_err_fail(reterr, CAIRN_EMISSING, key, "object '%s' is missing", key);
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}
