/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bring captured files into the store: each as an object, several as one (packs.c says which), or
 * into the manifest when they are small. The bytes and their sums are outgoing.c's.
 *
 * A linked file is not read; it carries the checksum that it came with. Files without one of their
 * own are therefore never offered for linking. A table whose bytes the store is known to have
 * somewhere (origin.c) may be copied by the store itself; whatever speaks against it, it is sent.
 *
 * Every try has an object name of its own (names are unique for ever), noted in the attempt before
 * the store is called: whatever became of a failed try, its object is removed once the id is
 * resolved (P6).
 */
#include "engine/job/outgoing.h"

#include "backends/storage/storage.h"
#include "engine/savepoint/savepoint.h"

#include <string.h>
#include <sys/stat.h>

#define UPLOAD_TRIES 5
#define RETRY_FIRST_US 50000u

static int inline_file(struct crn_outgoing *out, struct crn_file *file, cairn_error **reterr)
{
    file->inlined = malloc(file->info.size + 1);
    if (file->inlined == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(out->source.read(&out->source, 0, file->inlined, file->info.size, reterr));
    return crn_outgoing_check_read(out, reterr);
}

/* A new name, noted before anything can be there under it. A savepoint's directory is named after
 * job and id alone, so another job of that name might write there, too: hence numbers by chance. */
static int new_object(struct crn_part *part, cairn_file_role role, const char *name,
                      char object[CRN_KEY_MAX], char **ret_key, cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    struct cairn_job *job = attempt->job;
    bool is_savepoint = attempt->savepoint != NULL;
    uint64_t number = is_savepoint ? crn_random_u64() >> 1 : atomic_fetch_add(&job->next_object, 1);
    crn_key_object(object, role == CAIRN_FILE_TABLE && !is_savepoint, job->epoch, attempt->id,
                   number, name);
    CRN_TRY(crn_joblog_key(attempt->prefix, object, ret_key, reterr));
    return crn_attempt_note_upload(attempt, object) < 0 ? crn_err_nomem(reterr) : 0;
}

static void count_linked(struct crn_attempt *attempt, cairn_put_how how, uint64_t size)
{
    if (attempt->savepoint != NULL && how != CAIRN_PUT_COPIED)
        atomic_fetch_add(&attempt->savepoint->linked_bytes, size);
}

/* All of the source is this object: of several files each is a slice. */
static int set_object(struct crn_outgoing *out, const char *object, cairn_error **reterr)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < out->count; i++) {
        cairn_file_info *info = &out->files[i]->info;
        if (crn_record_set_text(&info->object, object) < 0)
            return crn_err_nomem(reterr);
        info->object_offset = offset;
        info->object_size = out->count > 1 ? out->source.size : 0;
        offset += info->size;
    }
    return 0;
}

static int try_put(struct crn_outgoing *out, cairn_error **reterr)
{
    struct crn_attempt *attempt = out->part->attempt;
    const cairn_file_info *first = &out->files[0]->info;
    cairn_store *store = attempt->store;
    char object[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    cairn_put_how how;
    CRN_TRY(new_object(out->part, first->role, out->count > 1 ? CRN_PACK_NAME : first->name, object,
                       &key, reterr));
    int r = store->ops->put(store, key, &out->source, &how, reterr);
    if (r == CAIRN_EUNKNOWN || r == CAIRN_ETIMEOUT)
        atomic_store(&attempt->may_come_late, true);
    if (r < 0)
        return r;
    if (how == CAIRN_PUT_COPIED)
        CRN_TRY(crn_outgoing_check_read(out, reterr));
    else if (out->source.link_path == NULL)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, key,
                            "object '%s' was linked although its checksum is not known", key);
    count_linked(attempt, how, out->source.size);
    return set_object(out, object, reterr);
}

static int put_with_retries(struct crn_outgoing *out, cairn_error **reterr)
{
    struct crn_attempt *attempt = out->part->attempt;
    for (int tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = try_put(out, &error);
        if (r == 0)
            return 0;
        if (tries == UPLOAD_TRIES || cairn_error_class_of(r) != CAIRN_CLASS_RETRY ||
            atomic_load(&attempt->cancelled))
            return crn_err_move(reterr, &error, r);
        crn_log_write(&attempt->job->log, CAIRN_LOG_DEBUG, "upload", "'%s' is tried again: %s",
                      crn_outgoing_name(out), cairn_error_message(error));
        uint64_t most = (uint64_t)RETRY_FIRST_US << tries;
        crn_sleep_us(crn_random_u64() % most);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Copies that the store makes
 * ------------------------------------------------------------------------------------------ */

bool crn_upload_is_linked(const cairn_store *store, const char *path)
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
    CRN_TRY(new_object(part, file->info.role, file->info.name, object, &key, reterr));
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
bool crn_upload_is_inlined(const struct cairn_job *job, const cairn_file_info *info)
{
    uint32_t threshold = job->options.inline_threshold_bytes;
    bool is_options = strncmp(info->name, "OPTIONS-", sizeof "OPTIONS-" - 1) == 0;
    return info->role != CAIRN_FILE_TABLE &&
           (info->size < threshold ||
            (is_options && threshold > 1 && info->size <= CRN_LIMIT_INLINE));
}

static int send_files(struct crn_part *part, struct crn_file *const *files, size_t count,
                      const void *bytes, cairn_error **reterr)
{
    struct crn_outgoing out;
    int r = crn_outgoing_init(&out, part, files, count, bytes, reterr);
    if (r == 0)
        r = count == 1 && crn_upload_is_inlined(part->attempt->job, &files[0]->info)
                ? inline_file(&out, files[0], reterr)
                : put_with_retries(&out, reterr);
    if (r == 0)
        crn_outgoing_count(&out, out.source.size);
    crn_outgoing_done(&out);
    return r;
}

static void sign_file(const struct crn_attempt *attempt, struct crn_file *file)
{
    file->info.checkpoint_id = attempt->id;
    file->info.epoch = attempt->job->epoch;
}

int crn_upload_bytes(struct crn_part *part, const void *data, struct crn_file *file,
                     cairn_error **reterr)
{
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&part->attempt->meter);
    sign_file(part->attempt, file);
    return send_files(part, &file, 1, data, reterr);
}

/* A copied file counts as sent: whoever watches wants to see the end. */
static int copy_or_send(struct crn_part *part, struct crn_file *file,
                        const struct crn_origin *origin, cairn_error **reterr)
{
    int r = try_copy(part, file, origin, reterr);
    if (r == 0)
        return send_files(part, &file, 1, NULL, reterr);
    atomic_uint_fast64_t *progress = crn_outgoing_progress(part);
    if (r > 0 && progress != NULL)
        atomic_fetch_add(progress, file->info.size);
    return r < 0 ? r : 0;
}

int crn_upload_files(struct crn_part *part, struct crn_file *const *files, size_t count,
                     const struct crn_origin *origin, cairn_error **reterr)
{
    struct crn_attempt *attempt = part->attempt;
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&attempt->meter);
    for (size_t i = 0; i < count; i++)
        sign_file(attempt, files[i]);
    if (count == 1 && origin != NULL && origin->file != NULL &&
        !atomic_load(&attempt->cannot_copy) && !crn_upload_is_linked(attempt->store, part->staging))
        return copy_or_send(part, files[0], origin, reterr);
    return send_files(part, files, count, NULL, reterr);
}
