/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs at rest, for tests. Made with the record builder and the log's own commit, so that whatever
 * reads them meets what a real job would have left.
 */
#include "tests/support/stored_job.h"

#include "backends/storage/storage.h"
#include "base/thread.h"
#include "engine/log/joblog.h"
#include "engine/savepoint/directory.h"
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void crn_test_job_init(struct crn_test_job *job, cairn_store *store, const char *name)
{
    *job = (struct crn_test_job){.store = store, .name = name, .epoch = 1, .log_start = 1};
}

void crn_test_job_done(struct crn_test_job *job)
{
    crn_record_free(job->head);
    job->head = NULL;
}

static void set_text(const char **field, const char *text)
{
    ck_assert_int_eq(crn_record_set_text(field, text), 0);
}

struct crn_record *crn_test_job_record(const struct crn_test_job *job, cairn_record_kind kind)
{
    struct crn_record *record = crn_record_new();
    ck_assert_ptr_nonnull(record);
    record->info.kind = kind;
    record->info.id = job->head != NULL ? job->head->info.id + 1 : 1;
    record->info.epoch = job->epoch;
    record->info.log_start = job->log_start;
    crn_random_bytes(record->info.uuid, sizeof record->info.uuid);
    record->has_previous_hash = record->info.id > record->info.log_start;
    if (record->has_previous_hash)
        record->previous_hash = job->head_hash;
    record->job = strdup(job->name);
    record->info.trigger_time_ms = 1700000000000 + (int64_t)record->info.id * 10000;
    record->info.commit_time_ms = record->info.trigger_time_ms + 50;
    set_text(&record->info.host, "test-host");
    set_text(&record->info.library_version, cairn_version());
    set_text(&record->info.reason, kind == CAIRN_RECORD_ABORTED ? "timed out" : "");
    ck_assert_int_eq(crn_log_extend_history(record, job->head), 0);
    return record;
}

static struct crn_operator *find_operator(struct crn_record *record, const char *uid)
{
    for (size_t i = 0; i < record->operator_count; i++) {
        if (strcmp(record->operators[i].info.uid, uid) == 0)
            return &record->operators[i];
    }
    struct crn_operator *op = crn_record_add_operator(record);
    ck_assert_ptr_nonnull(op);
    set_text(&op->info.uid, uid);
    set_text(&op->info.name, uid);
    op->info.max_parallelism = 128;
    op->info.key_type = CAIRN_STRING;
    static const char *const names[] = {"count", "seen"};
    for (size_t i = 0; i < CRN_COUNT(names); i++) {
        cairn_state_info *state = crn_operator_add_state(op);
        ck_assert_ptr_nonnull(state);
        set_text(&state->name, names[i]);
        state->kind = CAIRN_KIND_VALUE;
        state->value_type = CAIRN_INT64;
    }
    return op;
}

/* The ranges of all subtasks follow the parallelism, which grows with each one that is added. */
struct crn_subtask *crn_test_job_subtask(struct crn_record *record, const char *uid)
{
    struct crn_operator *op = find_operator(record, uid);
    struct crn_subtask *subtask = crn_operator_add_subtask(op);
    ck_assert_ptr_nonnull(subtask);
    subtask->info.index = (uint32_t)op->subtask_count - 1;
    set_text(&subtask->info.backend, "rocksdb");
    subtask->info.sequence = 1000;
    op->info.parallelism = (uint32_t)op->subtask_count;
    uint32_t p = op->info.parallelism, m = op->info.max_parallelism;
    for (uint32_t i = 0; i < p; i++) {
        op->subtasks[i].info.key_group_first = (i * m + p - 1) / p;
        op->subtasks[i].info.key_group_last = ((i + 1) * m - 1) / p;
    }
    return subtask;
}

static struct crn_file *add_file(const struct crn_record *record, struct crn_subtask *subtask,
                                 cairn_file_role role, const char *name, const void *data,
                                 size_t size)
{
    struct crn_file *file = crn_subtask_add_file(subtask);
    ck_assert_ptr_nonnull(file);
    struct crn_hash128 hash = crn_hash128_of(data, size);
    file->info.role = role;
    set_text(&file->info.name, name);
    file->info.size = size;
    file->info.has_xxh3 = 1;
    memcpy(file->info.xxh3, hash.bytes, sizeof hash.bytes);
    file->info.checkpoint_id = record->info.id;
    file->info.epoch = record->info.epoch;
    return file;
}

static void store_file(const struct crn_test_job *job, const struct crn_record *record,
                       struct crn_file *file, uint64_t number, const char *text)
{
    char object[CRN_KEY_MAX];
    const bool is_shared =
        file->info.role == CAIRN_FILE_TABLE && record->info.kind == CAIRN_RECORD_CHECKPOINT;
    crn_key_object(object, is_shared, file->info.epoch, file->info.checkpoint_id, number,
                   file->info.name);
    set_text(&file->info.object, object);
    crn_test_job_put(job, object, text, strlen(text));
}

struct crn_file *crn_test_job_table(const struct crn_test_job *job, const struct crn_record *record,
                                    struct crn_subtask *subtask, uint64_t number, const char *text)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%06" PRIu64 ".sst", number);
    struct crn_file *file = add_file(record, subtask, CAIRN_FILE_TABLE, name, text, strlen(text));
    file->info.number = number;
    file->info.sequence_first = number;
    file->info.sequence_last = number;
    if (number % 2 == 0) { /* as of a table that was linked: RocksDB's sum alone */
        file->info.has_xxh3 = 0;
        memset(file->info.xxh3, 0, sizeof file->info.xxh3);
        file->info.has_crc32c = 1;
        file->info.crc32c = crn_crc32c(0, text, strlen(text));
    }
    store_file(job, record, file, number, text);
    return file;
}

struct crn_file *crn_test_job_database(const struct crn_test_job *job,
                                       const struct crn_record *record, struct crn_subtask *subtask,
                                       const char *name, const char *text)
{
    struct crn_file *file =
        add_file(record, subtask, CAIRN_FILE_DATABASE, name, text, strlen(text));
    store_file(job, record, file, 1000 + subtask->file_count, text);
    return file;
}

struct crn_file *crn_test_job_inlined(const struct crn_record *record, struct crn_subtask *subtask,
                                      cairn_file_role role, const char *name, const void *data,
                                      size_t size)
{
    struct crn_file *file = add_file(record, subtask, role, name, data, size);
    file->inlined = malloc(size + 1);
    ck_assert_ptr_nonnull(file->inlined);
    memcpy(file->inlined, data, size);
    return file;
}

struct crn_file *crn_test_job_reuse(struct crn_subtask *subtask, const struct crn_file *file)
{
    struct crn_file *copy = crn_subtask_add_file(subtask);
    ck_assert_ptr_nonnull(copy);
    ck_assert_int_eq(crn_file_copy(copy, file), 0);
    return copy;
}

void crn_test_job_commit(struct crn_test_job *job, struct crn_record *record)
{
    struct crn_record *found = NULL;
    cairn_error *error = NULL;
    crn_record_finish(record);
    int r = crn_joblog_commit(job->store, record, &job->head_hash, &found, &error);
    ck_assert_msg(r == 0, "commit %" PRIu64 ": %s", record->info.id, cairn_error_message(error));
    crn_record_free(job->head);
    job->head = record;
}

void crn_test_job_commit_kind(struct crn_test_job *job, cairn_record_kind kind)
{
    crn_test_job_commit(job, crn_test_job_record(job, kind));
}

const struct crn_file *crn_test_job_file(const struct crn_record *record, const char *uid,
                                         uint32_t subtask, const char *name)
{
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        if (strcmp(op->info.uid, uid) != 0 || subtask >= op->subtask_count)
            continue;
        for (size_t f = 0; f < op->subtasks[subtask].file_count; f++) {
            if (strcmp(op->subtasks[subtask].files[f].info.name, name) == 0)
                return &op->subtasks[subtask].files[f];
        }
    }
    ck_abort_msg("no file '%s' in subtask %" PRIu32 " of '%s'", name, subtask, uid);
    return NULL;
}

/* --- one of everything --- */

static void commit_two(struct crn_test_job *job)
{
    struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
    record->info.is_full = 1;
    struct crn_subtask *subtask = crn_test_job_subtask(record, "count");
    (void)crn_test_job_table(job, record, subtask, 8, "alpha");
    (void)crn_test_job_table(job, record, subtask, 9, "beta");
    (void)crn_test_job_database(job, record, subtask, "MANIFEST-000005", "two");
    (void)crn_test_job_inlined(record, subtask, CAIRN_FILE_DATABASE, "CURRENT", "MANIFEST-000005\n",
                               16);
    (void)crn_test_job_inlined(record, subtask, CAIRN_FILE_OPERATOR_STATE, "operator-state",
                               "position", 8);
    subtask = crn_test_job_subtask(record, "count");
    (void)crn_test_job_table(job, record, subtask, 10, "gamma");
    crn_test_job_commit(job, record);
}

static void commit_four(struct crn_test_job *job, const struct crn_record *base)
{
    struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
    record->info.base_id = base->info.id;
    struct crn_subtask *subtask = crn_test_job_subtask(record, "count");
    (void)crn_test_job_reuse(subtask, crn_test_job_file(base, "count", 0, "000008.sst"));
    (void)crn_test_job_table(job, record, subtask, 11, "delta");
    (void)crn_test_job_database(job, record, subtask, "MANIFEST-000005", "four");
    (void)crn_test_job_inlined(record, subtask, CAIRN_FILE_DATABASE, "CURRENT", "MANIFEST-000005\n",
                               16);
    subtask = crn_test_job_subtask(record, "count");
    (void)crn_test_job_reuse(subtask, crn_test_job_file(base, "count", 1, "000010.sst"));
    crn_test_job_commit(job, record);
}

void crn_test_job_write(struct crn_test_job *job, cairn_store *store, const char *name)
{
    static const char *const foreign[CRN_TEST_JOB_FOREIGN] = {"notes.txt", "shared/e01-c2-8.sst",
                                                              "chk-2/e1-c4-1", "MANIFEST-chk07"};
    crn_test_job_init(job, store, name);
    crn_test_job_commit_kind(job, CAIRN_RECORD_FENCE);
    commit_two(job);
    CRN_AUTO_RECORD struct crn_record *two = CRN_TAKE(job->head); /* kept as the base of 4 */
    crn_test_job_put(job, "shared/e1-c3-30.sst", "left", 4);
    job->head = two;
    struct crn_record *aborted = crn_test_job_record(job, CAIRN_RECORD_ABORTED);
    job->head = NULL;
    crn_test_job_commit(job, aborted);
    commit_four(job, two);
    crn_test_job_put(job, "shared/e1-c5-40.sst", "flying", 6);
    for (size_t i = 0; i < CRN_TEST_JOB_FOREIGN; i++)
        crn_test_job_put(job, foreign[i], "not ours", 8);
}

void crn_test_savepoint_write(struct crn_test_job *directory, cairn_store *store, const char *name,
                              uint64_t id)
{
    crn_test_job_init(directory, store, name);
    struct crn_record *record = crn_test_job_record(directory, CAIRN_RECORD_SAVEPOINT);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    record->info.id = id;
    record->info.log_start = id;
    record->info.format = CAIRN_NATIVE;
    free(record->job);
    record->job = strdup("orders");
    record->has_previous_hash = false;
    struct crn_subtask *subtask = crn_test_job_subtask(record, "count");
    (void)crn_test_job_table(directory, record, subtask, 8, "alpha");
    (void)crn_test_job_table(directory, record, subtask, 9, "beta");
    (void)crn_test_job_database(directory, record, subtask, "MANIFEST-000005", "saved");
    (void)crn_test_job_inlined(record, subtask, CAIRN_FILE_DATABASE, "CURRENT", "MANIFEST-000005\n",
                               16);
    crn_record_finish(record);
    int r = crn_savepoint_publish(store, name, record, &error);
    ck_assert_msg(r == 0, "publish '%s': %s", name, cairn_error_message(error));
    directory->head = record;
}

/* --- raw access --- */

static char *full_key(const struct crn_test_job *job, const char *object)
{
    char *key = NULL;
    ck_assert_int_eq(crn_joblog_key(job->name, object, &key, NULL), 0);
    return key;
}

void crn_test_job_put(const struct crn_test_job *job, const char *object, const void *data,
                      size_t size)
{
    CRN_AUTO_FREE char *key = full_key(job, object);
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, data, size);
    ck_assert_int_eq(job->store->ops->put(job->store, key, &source.source, &how, NULL), 0);
}

void crn_test_job_remove(const struct crn_test_job *job, const char *object)
{
    CRN_AUTO_FREE char *key = full_key(job, object);
    const char *keys[] = {key};
    ck_assert_int_eq(job->store->ops->remove(job->store, keys, 1, NULL), 0);
}

void crn_test_job_get(const struct crn_test_job *job, const char *object, struct cairn_buffer *out)
{
    CRN_AUTO_FREE char *key = full_key(job, object);
    ck_assert_int_eq(crn_store_get_bytes(job->store, key, 1 << 30, out, NULL), 0);
}

bool crn_test_job_has(const struct crn_test_job *job, const char *object)
{
    CRN_AUTO_FREE char *key = full_key(job, object);
    cairn_object_stat stat;
    int r = job->store->ops->stat(job->store, key, &stat, NULL);
    ck_assert(r == 0 || r == CAIRN_ENOTFOUND);
    return r == 0;
}

void crn_test_job_replace(const struct crn_test_job *job, const char *object, const void *data,
                          size_t size)
{
    crn_test_job_remove(job, object);
    crn_test_job_put(job, object, data, size);
}

struct listing {
    struct cairn_buffer text;
    size_t prefix_size;
};

static int add_line(void *context, const char *key, const cairn_object_stat *stat)
{
    struct listing *listing = context;
    (void)stat;
    return crn_buf_printf(&listing->text, "%s\n", key + listing->prefix_size);
}

char *crn_test_job_listing(const struct crn_test_job *job)
{
    CRN_AUTO_FREE char *prefix = full_key(job, "");
    struct listing listing = {.prefix_size = strlen(prefix)};
    ck_assert_int_eq(crn_buf_append(&listing.text, "", 0), 0);
    ck_assert_int_eq(job->store->ops->list(job->store, prefix, add_line, &listing, NULL), 0);
    char *text = listing.text.size > 0 ? crn_buf_take_text(&listing.text) : strdup("");
    crn_buf_done(&listing.text);
    ck_assert_ptr_nonnull(text);
    return text;
}
