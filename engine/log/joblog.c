/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reading a job's log: the dense sequence of MANIFEST-chk<id> objects that is the single source of
 * truth about what exists (P1). The writing side is in joblog_commit.c.
 *
 * A log is read without a lock while its writer may go on: it adds records at the top and removes
 * them from the bottom, in two steps that a listing can fall between. So a hole in what was seen is
 * not yet a damage: the whole read is repeated a few times, and only a hole that stays is reported.
 *
 * The newest readable record tells where the log begins; ids below it are leftovers that nobody may
 * trust, such as one that a stalled writer created again after it was removed (P7). Every record
 * but the first names the hash of its predecessor's bytes; a record whose name for it is wrong is
 * as good as damaged, whatever its own checksum says (P8).
 *
 * What a record holds may be large. Who needs of each only what it names visits the records: each
 * is shown once, and then loses what it holds.
 *
 * Nothing here changes the store. No locks; any thread.
 */

#include "engine/log/joblog.h"
#include "backends/storage/storage.h"
#include "base/text.h"
#include "base/thread.h"
#include <inttypes.h>
#include <string.h>

#define READ_ATTEMPTS 5u
#define READ_PAUSE_US 5000u

int crn_joblog_check_args(const cairn_store *store, const char *job, cairn_error **reterr)
{
    CRN_TRY(crn_store_check(store, reterr));
    if (job == NULL || !crn_text_is_job_name(job))
        return crn_err_fail(reterr, CAIRN_EINVAL, job, "'%s' is not a job's name",
                            job != NULL ? job : "");
    return 0;
}

int crn_joblog_key(const char *job, const char *relative, char **ret_key, cairn_error **reterr)
{
    return crn_str_printf(ret_key, reterr, "%s/%s", job, relative);
}

static void entry_done(struct crn_joblog_entry *entry)
{
    crn_record_free(entry->record);
    cairn_error_free(entry->error);
    memset(entry, 0, sizeof *entry);
}

void crn_joblog_done(struct crn_joblog *log)
{
    for (size_t i = 0; i < log->count; i++)
        entry_done(&log->entries[i]);
    free(log->entries);
    free(log->job);
    memset(log, 0, sizeof *log);
}

/* --- ids that are there --- */

struct relative_listing {
    const char *prefix; /* "<job>/" and the relative prefix */
    size_t prefix_size, job_size;
    cairn_list_fn fn;
    void *context;
};

static int pass_relative(void *context, const char *key, const cairn_object_stat *stat)
{
    const struct relative_listing *listing = context;
    if (strncmp(key, listing->prefix, listing->prefix_size) != 0)
        return 0;
    return listing->fn(listing->context, key + listing->job_size, stat);
}

int crn_joblog_list(cairn_store *store, const char *job, const char *prefix, cairn_list_fn fn,
                    void *context, cairn_error **reterr)
{
    CRN_AUTO_FREE char *full = NULL;
    CRN_TRY(crn_joblog_key(job, prefix, &full, reterr));
    struct relative_listing listing = {full, strlen(full), strlen(job) + 1, fn, context};
    return store->ops->list(store, full, pass_relative, &listing, reterr);
}

struct id_list {
    uint64_t *ids;
    size_t count, capacity;
};

static void id_list_done(struct id_list *list)
{
    free(list->ids);
}

static int collect_id(void *context, const char *key, const cairn_object_stat *stat)
{
    struct id_list *list = context;
    (void)stat;
    struct crn_key_info info = crn_key_parse(key);
    if (info.type != CRN_KEY_MANIFEST || info.id == 0)
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        uint64_t *ids = realloc(list->ids, capacity * sizeof *ids);
        if (ids == NULL)
            return CAIRN_ENOMEM;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = info.id;
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int list_ids(cairn_store *store, const char *job, struct id_list *list, cairn_error **reterr)
{
    int r = crn_joblog_list(store, job, CRN_JOBLOG_PREFIX, collect_id, list, reterr);
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    CRN_TRY(r);
    if (list->count > 0)
        qsort(list->ids, list->count, sizeof *list->ids, compare_ids);
    return 0;
}

/* --- one record --- */

/* The object's hash is known even of a record that cannot be decoded: the chain goes on over it. */
static int read_record(cairn_store *store, const char *job, uint64_t id,
                       struct crn_record **ret_record, struct crn_hash128 *hash, uint64_t *bytes,
                       cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer data = {0};
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    char name[CRN_KEY_MAX];

    crn_key_manifest(name, id);
    CRN_TRY(crn_joblog_key(job, name, &key, reterr));
    CRN_TRY(crn_store_get_bytes(store, key, CRN_LIMIT_MANIFEST, &data, reterr));
    *hash = crn_hash128_of(data.data, data.size);
    *bytes = data.size;
    CRN_TRY(crn_record_decode(key, data.data, data.size, &record, reterr));
    if (record->info.id != id)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "manifest '%s' is the record of id %" PRIu64, key, record->info.id);
    record->info.manifest_bytes = data.size;
    *ret_record = CRN_TAKE(record);
    return 0;
}

int crn_joblog_read_record(cairn_store *store, const char *job, uint64_t id,
                           struct crn_record **ret_record, struct crn_hash128 *ret_hash,
                           uint64_t *ret_bytes, cairn_error **reterr)
{
    struct crn_hash128 hash = {0};
    uint64_t bytes = 0;
    CRN_TRY(read_record(store, job, id, ret_record, &hash, &bytes, reterr));
    if (ret_hash != NULL)
        *ret_hash = hash;
    if (ret_bytes != NULL)
        *ret_bytes = bytes;
    return 0;
}

/* --- the whole log --- */

struct reading {
    cairn_store *store;
    const char *job;
    const struct id_list *listed;
    struct crn_joblog log;
    const struct crn_joblog_visitor *visitor; /* NULL: records are kept whole */
    struct crn_hash128 *hashes;               /* of each entry's object, parallel to log.entries */
    size_t capacity;
    bool has_holes;
};

static void reading_done(struct reading *reading)
{
    crn_joblog_done(&reading->log);
    free(reading->hashes);
}

static int reading_add(struct reading *reading, struct crn_joblog_entry **ret_entry,
                       struct crn_hash128 **ret_hash, cairn_error **reterr)
{
    struct crn_joblog *log = &reading->log;
    if (log->count == reading->capacity) {
        size_t capacity = reading->capacity ? 2 * reading->capacity : 16;
        struct crn_joblog_entry *entries = realloc(log->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return crn_err_nomem(reterr);
        log->entries = entries;
        struct crn_hash128 *hashes = realloc(reading->hashes, capacity * sizeof *hashes);
        if (hashes == NULL)
            return crn_err_nomem(reterr);
        reading->hashes = hashes;
        reading->capacity = capacity;
    }
    *ret_entry = &log->entries[log->count];
    *ret_hash = &reading->hashes[log->count];
    memset(*ret_entry, 0, sizeof **ret_entry);
    memset(*ret_hash, 0, sizeof **ret_hash);
    log->count++;
    return 0;
}

/* Fails always; the error is what it is for. */
static int fail_missing(struct reading *reading, uint64_t first, uint64_t last,
                        cairn_error **ret_error)
{
    CRN_AUTO_FREE char *key = NULL;
    char name[CRN_KEY_MAX];
    crn_key_manifest(name, first);
    CRN_TRY(crn_joblog_key(reading->job, name, &key, ret_error));
    if (first == last)
        return crn_err_fail(ret_error, CAIRN_EMISSING, key, "manifest '%s' is missing from the log",
                            key);
    return crn_err_fail(ret_error, CAIRN_EMISSING, key,
                        "manifest '%s' and all up to id %" PRIu64 " are missing from the log", key,
                        last);
}

static int add_hole(struct reading *reading, uint64_t first, uint64_t last, cairn_error **reterr)
{
    struct crn_joblog_entry *entry;
    struct crn_hash128 *hash;
    CRN_TRY(reading_add(reading, &entry, &hash, reterr));
    entry->id = first;
    (void)fail_missing(reading, first, last, &entry->error); /* the error is the entry's value */
    reading->has_holes = true;
    return 0;
}

/* The log begins later than its newest record says. Nobody but a newer record moves it, so unless
 * somebody deleted by hand, that one is lost. */
static int add_low_hole(struct reading *reading, uint64_t first, uint64_t last,
                        cairn_error **reterr)
{
    CRN_TRY(add_hole(reading, first, last, reterr));
    crn_err_prefix(&reading->log.entries[reading->log.count - 1].error,
                   "the newest record of job '%s', id %" PRIu64 ", needs what is gone: unless it "
                   "was deleted by hand, a newer manifest is lost",
                   reading->job, reading->log.head_id);
    return 0;
}

static int add_record(struct reading *reading, uint64_t id, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_joblog_entry *entry;
    struct crn_hash128 *hash;

    CRN_TRY(reading_add(reading, &entry, &hash, reterr));
    entry->id = id;
    int r = read_record(reading->store, reading->job, id, &entry->record, hash,
                        &entry->manifest_bytes, &error);
    if (r == 0)
        return 0;
    switch (r) {
    case CAIRN_ENOTFOUND: /* was listed: removed since, or it never was an object */
        (void)fail_missing(reading, id, id, &entry->error);
        reading->has_holes = true;
        return 0;
    case CAIRN_ECORRUPT:
    case CAIRN_EVERSION:
        entry->error = CRN_TAKE(error);
        return 0;
    default: /* the store's trouble, not the record's */
        return crn_err_move(reterr, &error, r);
    }
}

static void reverse_entries(struct reading *reading)
{
    struct crn_joblog *log = &reading->log;
    for (size_t i = 0, j = log->count; i + 1 < j; i++) {
        j--;
        struct crn_joblog_entry entry = log->entries[i];
        log->entries[i] = log->entries[j];
        log->entries[j] = entry;
        struct crn_hash128 hash = reading->hashes[i];
        reading->hashes[i] = reading->hashes[j];
        reading->hashes[j] = hash;
    }
}

static int visit(const struct crn_joblog_visitor *visitor, struct crn_joblog_entry *entry,
                 cairn_error **reterr)
{
    if (visitor == NULL || entry->record == NULL)
        return 0;
    CRN_TRY(visitor->record(visitor->context, entry, reterr));
    crn_record_drop_operators(entry->record);
    return 0;
}

/* From the highest id downwards, until the begin that the newest readable record gives. A hole of
 * any width is one entry: its bounds come from the store, so it must not cost memory by its width.
 */
static int read_down(struct reading *reading, cairn_error **reterr)
{
    const struct id_list *listed = reading->listed;
    struct crn_joblog *log = &reading->log;
    bool start_known = false;
    uint64_t expected = listed->ids[listed->count - 1];

    log->head_id = expected;
    for (size_t i = listed->count; i-- > 0;) {
        uint64_t id = listed->ids[i];
        if (start_known && id < log->log_start)
            break;
        if (id < expected)
            CRN_TRY(add_hole(reading, id + 1, expected, reterr));
        CRN_TRY(add_record(reading, id, reterr));
        CRN_TRY(visit(reading->visitor, &log->entries[log->count - 1], reterr));
        const struct crn_record *record = log->entries[log->count - 1].record;
        if (record != NULL && !start_known) {
            log->log_start = record->info.log_start;
            log->ids_ahead = record->ids_ahead;
            start_known = true;
        }
        expected = id - 1;
    }
    bool head_readable = log->entries[0].record != NULL;
    if (!start_known)
        log->log_start = expected + 1;
    else if (log->log_start <= expected && head_readable)
        CRN_TRY(add_low_hole(reading, log->log_start, expected, reterr));
    else if (log->log_start <= expected)
        log->log_start = expected + 1; /* the head, which cannot be read, moved it */
    log->head_hash = reading->hashes[0];
    reverse_entries(reading);
    return 0;
}

static void mark_broken(struct reading *reading, struct crn_joblog_entry *entry)
{
    CRN_AUTO_FREE char *key = NULL;
    char name[CRN_KEY_MAX];
    crn_key_manifest(name, entry->id);
    if (crn_joblog_key(reading->job, name, &key, &entry->error) == 0)
        (void)crn_err_fail(&entry->error, CAIRN_ECORRUPT, key,
                           "manifest '%s' does not continue the stored record of id %" PRIu64
                           ": the chain of hashes is broken",
                           key, entry->id - 1);
    crn_record_free(entry->record);
    entry->record = NULL;
}

/* A record that does not continue its predecessor is as good as unreadable. true: there is one. */
static bool check_chain(struct reading *reading)
{
    struct crn_joblog *log = &reading->log;
    bool is_broken = false;
    for (size_t i = log->count; i-- > 1;) {
        struct crn_joblog_entry *entry = &log->entries[i];
        const struct crn_joblog_entry *before = &log->entries[i - 1];
        const struct crn_hash128 *hash = &reading->hashes[i - 1];
        if (entry->record == NULL || before->record == NULL || before->id + 1 != entry->id)
            continue;
        if (entry->record->has_previous_hash &&
            memcmp(&entry->record->previous_hash, hash, sizeof *hash) == 0)
            continue;
        mark_broken(reading, entry);
        is_broken = true;
    }
    return is_broken;
}

/* What a reading is found to be. */
struct outcome {
    bool has_holes, is_broken;
};

static int read_once(cairn_store *store, const char *job, const struct crn_joblog_visitor *visitor,
                     struct crn_joblog *ret, struct outcome *ret_outcome, cairn_error **reterr)
{
    CRN_CLEANUP(id_list_done) struct id_list listed = {0};
    CRN_CLEANUP(reading_done)
    struct reading reading = {.store = store, .job = job, .listed = &listed, .visitor = visitor};

    if (visitor != NULL)
        CRN_TRY(visitor->begin(visitor->context, reterr));
    CRN_TRY(list_ids(store, job, &listed, reterr));
    if (listed.count == 0) /* a lone record may have been replaced while names were read */
        CRN_TRY(list_ids(store, job, &listed, reterr));
    reading.log.job = strdup(job);
    if (reading.log.job == NULL)
        return crn_err_nomem(reterr);
    if (listed.count > 0)
        CRN_TRY(read_down(&reading, reterr));
    for (size_t i = 0; i < reading.log.count; i++) {
        const struct crn_record *record = reading.log.entries[i].record;
        if (record != NULL && record->info.epoch > reading.log.epoch)
            reading.log.epoch = record->info.epoch;
    }
    ret_outcome->is_broken = check_chain(&reading);
    ret_outcome->has_holes = reading.has_holes;
    *ret = reading.log;
    memset(&reading.log, 0, sizeof reading.log);
    return 0;
}

int crn_joblog_read(cairn_store *store, const char *job, struct crn_joblog *ret,
                    cairn_error **reterr)
{
    return crn_joblog_visit(store, job, NULL, ret, reterr);
}

/* Records of a broken chain were shown before the break was seen. They are damaged, and that is
 * rare: all is read again and kept, and then shown. */
static int read_and_visit(cairn_store *store, const char *job,
                          const struct crn_joblog_visitor *visitor, struct crn_joblog *ret,
                          bool *ret_holes, cairn_error **reterr)
{
    CRN_CLEANUP(crn_joblog_done) struct crn_joblog log = {0};
    struct outcome outcome;
    CRN_TRY(read_once(store, job, visitor, &log, &outcome, reterr));
    if (visitor != NULL && outcome.is_broken) {
        crn_joblog_done(&log);
        CRN_TRY(read_once(store, job, NULL, &log, &outcome, reterr));
        CRN_TRY(visitor->begin(visitor->context, reterr));
        for (size_t i = log.count; i-- > 0;)
            CRN_TRY(visit(visitor, &log.entries[i], reterr));
    }
    *ret_holes = outcome.has_holes;
    *ret = log;
    log = (struct crn_joblog){0};
    return 0;
}

int crn_joblog_visit(cairn_store *store, const char *job, const struct crn_joblog_visitor *visitor,
                     struct crn_joblog *ret, cairn_error **reterr)
{
    for (unsigned attempt = 1;; attempt++) {
        struct crn_joblog log = {0};
        bool holes = false;
        CRN_TRY(read_and_visit(store, job, visitor, &log, &holes, reterr));
        if (!holes || attempt == READ_ATTEMPTS) {
            *ret = log;
            return 0;
        }
        crn_joblog_done(&log);
        crn_sleep_us(READ_PAUSE_US << attempt);
    }
}

/* --- questions to a log that was read --- */

static int entry_error(const struct crn_joblog_entry *entry, cairn_error **reterr)
{
    cairn_error *copy = crn_err_copy(entry->error);
    return crn_err_move(reterr, &copy, cairn_error_code(copy));
}

int crn_joblog_require_whole(const struct crn_joblog *log, cairn_error **reterr)
{
    for (size_t i = log->count; i-- > 0;) {
        if (log->entries[i].record == NULL)
            return entry_error(&log->entries[i], reterr);
    }
    return 0;
}

static int fail_not_complete(const struct crn_joblog *log, const cairn_record_info *info,
                             cairn_error **reterr)
{
    if (info->kind == CAIRN_RECORD_SAVEPOINT)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, log->job,
                            "id %" PRIu64 " of job '%s' is a savepoint, which was written to '%s'",
                            info->id, log->job, info->location);
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, log->job,
                        "id %" PRIu64 " of job '%s' is not a complete checkpoint", info->id,
                        log->job);
}

bool crn_joblog_is_savepoint(const struct crn_joblog *log)
{
    const struct crn_record *head = log->count > 0 ? log->entries[log->count - 1].record : NULL;
    return head != NULL && head->info.kind == CAIRN_RECORD_SAVEPOINT &&
           crn_record_is_restorable(head);
}

int crn_joblog_find(const struct crn_joblog *log, uint64_t id, const struct crn_record **ret,
                    cairn_error **reterr)
{
    for (size_t i = log->count; i-- > 0;) {
        const struct crn_joblog_entry *entry = &log->entries[i];
        if (id != 0 && entry->id != id)
            continue;
        if (entry->record == NULL)
            return entry_error(entry, reterr);
        if (crn_record_is_restorable(entry->record)) {
            *ret = entry->record;
            return 0;
        }
        if (id != 0)
            return fail_not_complete(log, &entry->record->info, reterr);
    }
    if (log->count == 0)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, log->job, "job '%s' has no log in this store",
                            log->job);
    if (id == 0)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, log->job,
                            "job '%s' has no complete checkpoint", log->job);
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, log->job,
                        "job '%s' does not retain a checkpoint %" PRIu64, log->job, id);
}
