/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot from elsewhere becomes a checkpoint of the job: the import.
 *
 * It has the id after the fence, and is full. Its objects are copies under names of this job's,
 * made by the store where it can (a link, a reflink, a server's copy), else brought here, verified
 * (P8), and put. A pack is copied once, as a whole. Small files that the source's manifest inlines
 * stay inlined. As for every
 * checkpoint, the objects are durable before the record is committed (P1); from then on everything
 * is as if the checkpoint had always been the job's, and its tables are the base of the next
 * increment (P4).
 *
 * A collector beside us may resolve the id as aborted and remove the copies: then the import begins
 * again under the next id. A rival that took the job over makes the commit collide: CAIRN_EFENCED.
 *
 * Crash: before the commit copies are left, of an id that the next fence resolves, so that the next
 * open collects them (P6). Nothing of the source was touched. Proved by tests/test_claim.c.
 */
#include "engine/restore/source.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/restore/parallel.h"
#include "engine/transfer/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <string.h>
#include <unistd.h>

#define COPY_TRIES 4u
#define COPY_PAUSE_US 50000u
#define IMPORT_TRIES 4u

/* One object that has to be copied. */
struct copy {
    const struct crn_file *from;
    struct crn_file *to; /* a copy of `from` in the new record; its object is set before */
    struct crn_pack_slice *slices; /* of a pack: `from` and all others; NULL: it is none */
};

/* What a pack of the source's is called here. */
struct renamed {
    const char *from;
    char to[CRN_KEY_MAX];
    size_t copy;
};

struct import {
    struct cairn_job *job;
    struct crn_record *record;
    struct copy *copies;
    size_t count;
    struct crn_pack_slice *slices; /* as many as there are files, at most */
    size_t slice_count;
    void *renamed; /* tree of struct renamed */
    uint64_t bytes;
    char *directory;            /* local: for what comes through here */
    atomic_bool passes_through; /* the store cannot copy: do not ask it again */
    _Atomic uint64_t streamed_bytes;
};

static void import_done(struct import *import)
{
    crn_record_free(import->record);
    free(import->copies);
    free(import->slices);
    tdestroy(import->renamed, free);
    if (import->directory != NULL)
        (void)crn_file_remove_tree(import->directory, NULL); /* else the next open */
    free(import->directory);
}

/* ------------------------------------------------------------------------------------------ *
 * One object
 * ------------------------------------------------------------------------------------------ */

struct local_source {
    cairn_source source;
    const char *path;
    int fd;
};

static int read_local(cairn_source *source, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    const struct local_source *local = (const struct local_source *)source;
    return crn_file_pread_all(local->fd, data, n, offset, local->path, reterr);
}

/* As a local file, verified. */
static int bring(struct import *import, const struct copy *copy, const char *from_key,
                 const char *directory, const char *path, cairn_error **reterr)
{
    struct cairn_job *job = import->job;
    if (copy->slices != NULL)
        return crn_pack_bring(job->source.store, from_key, copy->slices, path, reterr);
    struct crn_fetch_request fetch = {
        .store = job->source.store,
        .job = job->source.name,
        .files = &copy->from,
        .count = 1,
        .directory = directory,
        .link = true,
        .threads = 1,
        .downloads = &job->downloads,
    };
    return crn_fetch(&fetch, NULL, reterr);
}

/* Through a directory of its own. The file never changes, so the store may link it. */
static int stream(struct import *import, size_t i, const char *from_key, const char *to_key,
                  cairn_error **reterr)
{
    struct cairn_job *job = import->job;
    const struct copy *copy = &import->copies[i];
    CRN_AUTO_FREE char *directory = NULL;
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/%zu", import->directory, i));
    CRN_TRY(crn_file_remove_tree(directory, reterr)); /* of an earlier try */
    CRN_TRY(crn_file_make_dirs(directory, reterr));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", directory, copy->from->info.name));
    CRN_TRY(bring(import, copy, from_key, directory, path, reterr));
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot open '%s'", path);
    struct local_source source = {
        .source = {.size = crn_file_object_size(copy->from), .read = read_local, .link_path = path},
        .path = path,
        .fd = fd,
    };
    cairn_put_how how;
    CRN_TRY(job->store->ops->put(job->store, to_key, &source.source, &how, reterr));
    atomic_fetch_add(&import->streamed_bytes, source.source.size);
    return crn_file_remove_tree(directory, reterr);
}

static int try_copy(struct import *import, size_t i, const char *from_key, const char *to_key,
                    cairn_error **reterr)
{
    struct cairn_job *job = import->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;
    int r = atomic_load(&import->passes_through)
                ? CAIRN_EUNSUPPORTED
                : crn_store_copy(job->store, to_key, job->source.store, from_key, &how, &error);
    if (r == CAIRN_EUNSUPPORTED) {
        atomic_store(&import->passes_through, true);
        return stream(import, i, from_key, to_key, reterr);
    }
    if (r == CAIRN_ENOTFOUND)
        return crn_err_fail(reterr, CAIRN_EMISSING, from_key, "object '%s' is missing", from_key);
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

static int copy_object(void *context, size_t i, cairn_error **reterr)
{
    struct import *import = context;
    struct cairn_job *job = import->job;
    CRN_AUTO_FREE char *from_key = NULL;
    CRN_AUTO_FREE char *to_key = NULL;
    CRN_TRY(
        crn_joblog_key(job->source.name, import->copies[i].from->info.object, &from_key, reterr));
    CRN_TRY(crn_joblog_key(job->name, import->copies[i].to->info.object, &to_key, reterr));
    for (unsigned tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = try_copy(import, i, from_key, to_key, &error);
        if (r == 0)
            return 0;
        if (tries == COPY_TRIES || cairn_error_class_of(r) != CAIRN_CLASS_RETRY)
            return crn_err_move(reterr, &error, r);
        crn_sleep_us(crn_random_u64() % ((uint64_t)COPY_PAUSE_US << tries));
    }
}

/* ------------------------------------------------------------------------------------------ *
 * The record
 * ------------------------------------------------------------------------------------------ */

static size_t count_files(const struct crn_record *record)
{
    size_t count = 0;
    for (size_t o = 0; o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++)
            count += record->operators[o].subtasks[s].file_count;
    return count;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct renamed *)a)->from, ((const struct renamed *)b)->from);
}

/* The pack that a slice is in, by the name that it had; a new one has no name here yet. */
static struct renamed *find_pack(struct import *import, const char *from)
{
    struct renamed *added = calloc(1, sizeof *added);
    if (added == NULL)
        return NULL;
    added->from = from;
    struct renamed **found = tsearch(added, &import->renamed, by_name);
    if (found == NULL || *found != added)
        free(added);
    return found != NULL ? *found : NULL;
}

static int set_object(struct crn_file *to, const char *object, cairn_error **reterr)
{
    return crn_record_set_text(&to->info.object, object) < 0 ? crn_err_nomem(reterr) : 0;
}

/* One more slice of a pack that is copied already. */
static int join_pack(struct import *import, const struct renamed *pack, const struct crn_file *from,
                     struct crn_file *to, cairn_error **reterr)
{
    struct crn_pack_slice *slice = &import->slices[import->slice_count++];
    struct copy *copy = &import->copies[pack->copy];
    *slice = (struct crn_pack_slice){.next = copy->slices, .file = from};
    copy->slices = slice;
    return set_object(to, pack->to, reterr);
}

/* The file becomes this checkpoint's, and its object gets a name of this job's. */
static int adopt_file(struct import *import, const struct crn_file *from, struct crn_file *to,
                      cairn_error **reterr)
{
    struct cairn_job *job = import->job;
    struct renamed *pack = NULL;
    char object[CRN_KEY_MAX];
    to->info.checkpoint_id = import->record->info.id;
    to->info.epoch = import->record->info.epoch;
    if (from->info.object == NULL)
        return 0;
    if (crn_file_is_slice(from)) {
        pack = find_pack(import, from->info.object);
        if (pack == NULL)
            return crn_err_nomem(reterr);
        if (pack->to[0] != '\0')
            return join_pack(import, pack, from, to, reterr);
    }
    crn_key_object(object, to->info.role == CAIRN_FILE_TABLE, to->info.epoch,
                   to->info.checkpoint_id, atomic_fetch_add(&job->next_object, 1),
                   pack != NULL ? CRN_PACK_NAME : to->info.name);
    import->copies[import->count] = (struct copy){.from = from, .to = to};
    import->bytes += crn_file_object_size(from);
    if (pack == NULL) {
        import->count++;
        return set_object(to, object, reterr);
    }
    memcpy(pack->to, object, sizeof pack->to);
    pack->copy = import->count++;
    return join_pack(import, pack, from, to, reterr);
}

static int adopt_operator(struct import *import, const struct crn_operator *from,
                          cairn_error **reterr)
{
    struct crn_operator *to = crn_record_add_operator(import->record);
    if (to == NULL || crn_operator_copy(to, from) < 0)
        return crn_err_nomem(reterr);
    for (size_t s = 0; s < from->subtask_count; s++)
        for (size_t f = 0; f < from->subtasks[s].file_count; f++)
            CRN_TRY(
                adopt_file(import, &from->subtasks[s].files[f], &to->subtasks[s].files[f], reterr));
    return 0;
}

static int build(struct import *import, cairn_error **reterr)
{
    struct cairn_job *job = import->job;
    const struct crn_record *from = job->restored;
    CRN_TRY(crn_publish_new_record(job, job->joblog.head_id + 1, CAIRN_RECORD_CHECKPOINT,
                                   &import->record, reterr));
    import->copies = calloc(count_files(from) + 1, sizeof *import->copies);
    import->slices = calloc(count_files(from) + 1, sizeof *import->slices);
    if (import->copies == NULL || import->slices == NULL)
        return crn_err_nomem(reterr);
    for (size_t o = 0; o < from->operator_count; o++)
        CRN_TRY(adopt_operator(import, &from->operators[o], reterr));
    import->record->info.is_full = 1;
    crn_record_finish(import->record);
    CRN_TRY(crn_record_validate(import->record, reterr));
    return crn_str_printf(&import->directory, reterr, "%s/import", job->local_dir);
}

/* It stands in the log: the job was restored from a checkpoint of its own. */
static void adopt_record(struct import *import, const struct crn_hash128 *hash)
{
    struct cairn_job *job = import->job;
    struct crn_record *record = CRN_TAKE(import->record);
    crn_log_write(&job->log, CAIRN_LOG_INFO, "restore",
                  "job '%s': '%s' is checkpoint %llu now: %zu objects of %llu bytes copied, %llu "
                  "bytes of them through this machine",
                  job->name, job->source.location, (unsigned long long)record->info.id,
                  import->count, (unsigned long long)import->bytes,
                  (unsigned long long)atomic_load(&import->streamed_bytes));
    crn_publish_append_head(job, record, hash);
    job->restored = record;
    job->restored_id = record->info.id;
    crn_publish_info(&record->info, &job->restored_info);
}

/* The id is taken. CAIRN_EEXIST: by an abort of a collector's, which the log now ends with. */
static int judge_taken(struct cairn_job *job, const struct crn_record *mine,
                       const struct crn_record *found, cairn_error **reterr)
{
    struct crn_record *again = NULL;
    struct crn_hash128 hash;
    if (crn_log_judge_collision(mine, found) != CRN_COLLISION_ABORTED) {
        CRN_AUTO_FREE char *rival = crn_job_describe_writer(&found->info);
        return crn_err_fail(reterr, CAIRN_EFENCED, NULL, "job '%s' was taken over at id %llu by %s",
                            job->name, (unsigned long long)found->info.id,
                            rival != NULL ? rival : "another process");
    }
    CRN_TRY(
        crn_joblog_read_record(job->store, job->name, found->info.id, &again, &hash, NULL, reterr));
    crn_publish_append_head(job, again, &hash);
    return crn_err_fail(reterr, CAIRN_EEXIST, NULL, "id %llu was aborted by maintenance",
                        (unsigned long long)found->info.id);
}

static int import_once(struct cairn_job *job, cairn_error **reterr)
{
    CRN_CLEANUP(import_done) struct import import = {.job = job};
    CRN_AUTO_RECORD struct crn_record *found = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_hash128 hash;
    uint64_t started_us = crn_now_us();
    CRN_TRY(build(&import, reterr));
    struct crn_parallel parallel = {
        .count = import.count,
        .threads = job->options.transfer_threads,
        .name = "cairn-import",
        .work = copy_object,
        .context = &import,
    };
    CRN_TRY(crn_parallel_run(&parallel, reterr));
    CRN_TRY(job->store->ops->flush(job->store, reterr));
    import.record->info.duration_us = crn_now_us() - started_us;
    int r = crn_joblog_commit(job->store, import.record, &hash, &found, &error);
    if (r == CAIRN_EEXIST)
        return judge_taken(job, import.record, found, reterr);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    adopt_record(&import, &hash);
    return 0;
}

int crn_import(struct cairn_job *job, cairn_error **reterr)
{
    for (unsigned tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = import_once(job, &error);
        if (r == 0)
            return 0;
        if (r == CAIRN_EEXIST && tries < IMPORT_TRIES)
            continue;
        crn_err_prefix(&error, "job '%s' cannot take over '%s'", job->name, job->source.location);
        return crn_err_move(reterr, &error, r == CAIRN_EEXIST ? CAIRN_EBUSY : r);
    }
}
