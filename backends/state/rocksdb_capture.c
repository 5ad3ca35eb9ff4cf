/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barrier and the capture: how exactly the state at the barrier gets into files (P2, P3).
 *
 * barrier() makes RocksDB switch the active memtables, without waiting for their flush, and notes
 * the sequence number. There is no WAL, so what is in files and in those memtables is the state at
 * the barrier, and what is in the new memtables is later. capture() waits for the flushes, then
 * lets RocksDB link its live files, without a further flush.
 *
 * That the links hold the barrier's state and nothing else is not believed but proved, from the
 * linked files themselves:
 *   nothing is missing   the barrier left no entry in an active memtable, and no memtable of it was
 *                        unflushed when the links were made;
 *                        each table that the captured manifest lists is there, with its size;
 *                        the manifest ends at a record's end; there are no bytes in a WAL
 *   nothing is later     no table has a sequence number beyond the barrier's; and since a
 *                        compaction may wipe those of a table that should not be there, all entries
 *                        written since the barrier are still in active memtables
 *   nothing is foreign   each file is known, each table is listed
 * If any of it fails, the attempt ends with CAIRN_EABORTED and the reason. A wrong capture never
 * gets further than this.
 *
 * A crash leaves a directory of links, which the next open removes with the rest.
 */
#include "backends/state/rocksdb_internal.h"
#include "backends/state/rocksdb_manifest.h"

#include "base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define ACTIVE_ENTRIES "rocksdb.num-entries-active-mem-table"
#define NO_FLUSH UINT64_MAX /* for rocksdb_checkpoint_create */
#define COUNT_TRIES 16u
#define POLL_MIN_US 100u
#define POLL_MAX_US 500u
#define STUCK_US 5000000u

/* ---- the barrier ---- */

int crn_rocksdb_switch_memtables(struct crn_rocksdb *db, bool wait, cairn_error **reterr)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *message = NULL;
    int r = 0;

    rocksdb_flushoptions_set_wait(options, wait);
    for (size_t i = 0; i < db->state_count && r == 0; i++) {
        struct crn_state *state = db->states[i];
        if (crn_rocksdb_state_property(db->db, state, ACTIVE_ENTRIES) == 0)
            continue;
        rocksdb_flush_cf(db->db, options, state->family, &message);
        if (message)
            r = crn_rocksdb_fail(reterr, message, db->directory, state->name, "flush");
        else if (crn_rocksdb_state_property(db->db, state, ACTIVE_ENTRIES) != 0)
            r = crn_err_fail(reterr, CAIRN_EABORTED, NULL,
                             "RocksDB did not switch the memtable of state '%s' in '%s'",
                             state->name, db->directory);
    }
    rocksdb_flushoptions_destroy(options);
    return r;
}

int crn_rocksdb_barrier(struct crn_state_db *base, struct crn_barrier *ret, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    atomic_store(&db->barrier_us, crn_now_us());
    atomic_store(&db->barrier_errors, crn_rocksdb_property(db->db, "rocksdb.background-errors"));
    atomic_store(&db->barrier_states, db->state_count);
    CRN_TRY(crn_rocksdb_switch_memtables(db, false, reterr));
    ret->sequence = rocksdb_get_latest_sequence_number(db->db);
    atomic_store(&db->barrier_sequence, ret->sequence);
    crn_rocksdb_pace_begin_hold(db);
    return 0;
}

/* ---- waiting for the flushes ---- */

/* One run of capture(). */
struct run {
    struct crn_rocksdb *db;
    const struct crn_barrier *barrier;
    const char *directory;
    struct crn_state **states; /* a copy: the writer may add some meanwhile */
    size_t state_count;
    struct crn_rocksdb_manifest manifest;
    struct crn_capture *out;
    cairn_error **reterr;
};

static int disproved(struct run *run, const char *object, const char *format, ...) CRN_PRINTF(3, 4);
static int disproved(struct run *run, const char *object, const char *format, ...)
{
    CRN_AUTO_FREE char *reason = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&reason, format, args) < 0)
        reason = NULL;
    va_end(args);
    return crn_err_fail(run->reterr, CAIRN_EABORTED, object, "capture of '%s': %s",
                        run->db->directory, reason ? reason : "its proof failed");
}

static int copy_states(struct run *run)
{
    struct crn_rocksdb *db = run->db;
    free(CRN_TAKE(run->states));
    run->state_count = 0;
    crn_mutex_lock(&db->mutex);
    run->states = calloc(db->state_count + 1, sizeof(*run->states));
    if (run->states) {
        run->state_count = db->state_count;
        for (size_t i = 0; i < db->state_count; i++)
            run->states[i] = db->states[i];
    }
    crn_mutex_unlock(&db->mutex);
    return run->states ? 0 : crn_err_nomem(run->reterr);
}

static bool memtables_flushed(const struct run *run)
{
    for (size_t i = 0; i < run->state_count; i++)
        if (crn_rocksdb_state_property(run->db->db, run->states[i],
                                       "rocksdb.num-immutable-mem-table") != 0)
            return false;
    return true;
}

/* RocksDB does not say why; most often it is this. */
static int flush_failed(struct run *run, const char *what)
{
    const char *directory = run->db->directory;
    struct statvfs disk;
    if (statvfs(directory, &disk) == 0)
        return disproved(run, directory, "RocksDB %s; its disk has %" PRIu64 " bytes free", what,
                         (uint64_t)disk.f_bavail * disk.f_frsize);
    if (errno == ENOENT)
        return disproved(run, directory, "RocksDB %s: the directory is gone", what);
    return disproved(run, directory, "RocksDB %s; its directory cannot be looked at: %s", what,
                     strerrordesc_np(errno));
}

static int wait_for_flushes(struct run *run, const atomic_bool *cancelled)
{
    struct crn_rocksdb *db = run->db;
    uint64_t earlier_errors = atomic_load(&db->barrier_errors);
    uint64_t last_seen_running_us = crn_now_us();

    for (uint64_t pause_us = POLL_MIN_US;;) {
        if (atomic_load(cancelled))
            return crn_err_fail(run->reterr, CAIRN_ECANCELED, NULL, "capture of '%s' was cancelled",
                                db->directory);
        if (crn_rocksdb_property(db->db, "rocksdb.background-errors") > earlier_errors)
            return flush_failed(run, "could not flush or compact");
        if (memtables_flushed(run))
            return 0;
        /* After an error RocksDB may have stopped flushing without a new one to count. */
        if (crn_rocksdb_property(db->db, "rocksdb.num-running-flushes") > 0)
            last_seen_running_us = crn_now_us();
        else if (earlier_errors > 0 && crn_now_us() - last_seen_running_us > STUCK_US)
            return flush_failed(run, "has stopped flushing after an earlier error");
        crn_sleep_us(pause_us);
        pause_us = pause_us * 2 < POLL_MAX_US ? pause_us * 2 : POLL_MAX_US;
    }
}

/* Of the states that there are now: a state is listed before anything is written to it. */
static int count_active_entries(struct run *run, uint64_t *ret)
{
    CRN_TRY(copy_states(run));
    *ret = 0;
    for (size_t i = 0; i < run->state_count; i++)
        *ret += crn_rocksdb_state_property(run->db->db, run->states[i], ACTIVE_ENTRIES);
    return 0;
}

/* The barrier left the active memtables empty, and each write since then took one sequence number
 * and put one entry there: one that is missing was flushed. Entries are counted after the numbers,
 * so a writer that goes on cannot cause an alarm; a count without writes beside it is exact. */
static int check_memtables(struct run *run)
{
    rocksdb_t *db = run->db->db;
    uint64_t before, after = rocksdb_get_latest_sequence_number(db);
    unsigned int tries = 0;
    do {
        uint64_t entries;
        before = after;
        CRN_TRY(count_active_entries(run, &entries));
        after = rocksdb_get_latest_sequence_number(db);
        if (entries < before - run->barrier->sequence)
            return disproved(run, NULL,
                             "of %" PRIu64 " writes since the barrier %" PRIu64
                             " are in memtables: one was flushed too early",
                             before - run->barrier->sequence, entries);
    } while (before != after && ++tries < COUNT_TRIES);
    return 0;
}

/* ---- links ---- */

static int link_files(struct run *run)
{
    rocksdb_t *db = run->db->db;
    char *message = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(db, &message);
    if (!message)
        rocksdb_checkpoint_create(checkpoint, run->directory, NO_FLUSH, &message);
    if (checkpoint)
        rocksdb_checkpoint_object_destroy(checkpoint);
    if (!message)
        return 0;

    /* RocksDB builds it under this name, and may leave it behind. */
    CRN_AUTO_FREE char *unfinished = NULL;
    CRN_AUTO_ERROR cairn_error *ignored = NULL;
    if (crn_str_printf(&unfinished, &ignored, "%s.tmp", run->directory) == 0)
        (void)crn_file_remove_tree(unfinished, &ignored); /* the next open tries again */
    return crn_rocksdb_fail(run->reterr, message, run->db->directory, NULL, "checkpoint");
}

static int path_of(struct run *run, const char *name, char **ret)
{
    return crn_str_printf(ret, run->reterr, "%s/%s", run->directory, name);
}

static int read_manifest(struct run *run)
{
    CRN_AUTO_ERROR cairn_error *why = NULL;
    int r = crn_rocksdb_manifest_read(run->directory, &run->manifest, &why);
    if (r == CAIRN_ECORRUPT || r == CAIRN_EVERSION)
        return disproved(run, cairn_error_object(why), "%s", cairn_error_message(why));
    return r < 0 ? crn_err_move(run->reterr, &why, r) : 0;
}

/* ---- the proof ---- */

/* The name of the state behind a column family; NULL: not one. */
static const char *state_of(const char *column_family)
{
    size_t n = strlen(CRN_ROCKSDB_FAMILY_PREFIX);
    return strncmp(column_family, CRN_ROCKSDB_FAMILY_PREFIX, n) == 0 ? column_family + n : NULL;
}

static int check_states(struct run *run)
{
    size_t wanted = atomic_load(&run->db->barrier_states);
    for (size_t i = 0; i < wanted; i++) {
        bool found = false;
        for (size_t k = 0; k < run->manifest.column_family_count && !found; k++) {
            const char *name = state_of(run->manifest.column_families[k]);
            found = name && strcmp(name, run->states[i]->name) == 0;
        }
        if (!found)
            return disproved(run, NULL, "state '%s' is missing", run->states[i]->name);
    }
    return 0;
}

static int check_tables(struct run *run)
{
    for (size_t i = 0; i < run->manifest.table_count; i++) {
        const struct crn_rocksdb_table *table = &run->manifest.tables[i];
        if (!state_of(table->column_family))
            return disproved(run, NULL, "table %06" PRIu64 ".sst belongs to no state",
                             table->number);
        if (table->sequence_last > run->barrier->sequence)
            return disproved(run, NULL,
                             "table %06" PRIu64 ".sst of state '%s' holds writes up to %" PRIu64
                             ", the barrier was at %" PRIu64 ": a memtable was flushed too early",
                             table->number, state_of(table->column_family), table->sequence_last,
                             run->barrier->sequence);
    }
    return 0;
}

static int compare_number(const void *key, const void *element)
{
    uint64_t number = *(const uint64_t *)key;
    const struct crn_rocksdb_table *table = element;
    return (number > table->number) - (number < table->number);
}

/* "<digits><suffix>" and nothing else. */
static bool is_numbered(const char *name, const char *suffix, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > 19 || strcmp(name + digits, suffix) != 0)
        return false;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (uint64_t)(name[i] - '0');
    *ret_number = number;
    return true;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int copy_key(const uint8_t *key, size_t size, const uint8_t **ret, size_t *ret_size)
{
    char *copy = crn_str_dup_n(key, size);
    if (!copy)
        return CAIRN_ENOMEM;
    *ret = (const uint8_t *)copy;
    *ret_size = size;
    return 0;
}

static int describe_table(struct run *run, const struct crn_rocksdb_table *table,
                          cairn_file_info *info)
{
    info->role = CAIRN_FILE_TABLE;
    info->has_crc32c = table->has_crc32c;
    info->crc32c = table->crc32c;
    info->number = table->number;
    info->level = table->level;
    info->sequence_first = table->sequence_first;
    info->sequence_last = table->sequence_last;
    info->state = strdup(state_of(table->column_family));
    if (!info->state ||
        copy_key(table->smallest, table->smallest_size, &info->smallest, &info->smallest_size) <
            0 ||
        copy_key(table->largest, table->largest_size, &info->largest, &info->largest_size) < 0)
        return crn_err_nomem(run->reterr);
    return 0;
}

/* Adds one file of the directory to the result. */
static int take_file(struct run *run, const char *name)
{
    CRN_AUTO_FREE char *path = NULL;
    uint64_t size, number;

    CRN_TRY(path_of(run, name, &path));
    CRN_TRY(crn_file_size(path, &size, run->reterr));
    if (is_numbered(name, ".log", &number))
        return size == 0 ? 0 : disproved(run, name, "the write-ahead log '%s' has bytes", name);

    cairn_file_info *info = &run->out->files[run->out->count++].info;
    info->size = size;
    info->name = strdup(name);
    if (!info->name)
        return crn_err_nomem(run->reterr);
    if (is_numbered(name, ".sst", &number)) {
        const struct crn_rocksdb_table *table =
            bsearch(&number, run->manifest.tables, run->manifest.table_count,
                    sizeof(*run->manifest.tables), compare_number);
        if (!table)
            return disproved(run, name, "table '%s' is not in its manifest", name);
        if (table->size != size)
            return disproved(run, name,
                             "table '%s' has %" PRIu64 " bytes, its manifest says %" PRIu64, name,
                             size, table->size);
        return describe_table(run, table, info);
    }
    if (strcmp(name, "CURRENT") != 0 && !has_prefix(name, "MANIFEST-") &&
        !has_prefix(name, "OPTIONS-"))
        return disproved(run, name, "there is an unknown file '%s'", name);
    info->role = CAIRN_FILE_DATABASE;
    return 0;
}

static int take_files(struct run *run)
{
    char **names = NULL;
    size_t count = 0, tables = 0;

    CRN_TRY(crn_file_list_dir(run->directory, &names, &count, run->reterr));
    run->out->files = calloc(count + 1, sizeof(*run->out->files));
    int r = run->out->files ? 0 : crn_err_nomem(run->reterr);
    for (size_t i = 0; i < count && r == 0; i++)
        r = take_file(run, names[i]);
    crn_file_free_names(names, count);
    if (r < 0)
        return r;
    /* Names are unique and each table was found: as many means all. */
    for (size_t i = 0; i < run->out->count; i++)
        tables += run->out->files[i].info.role == CAIRN_FILE_TABLE;
    if (tables != run->manifest.table_count)
        return disproved(run, NULL, "%zu of %zu tables of its manifest are missing",
                         run->manifest.table_count - tables, run->manifest.table_count);
    return 0;
}

/* ---- all of it ---- */

static int run_capture(struct run *run, const atomic_bool *cancelled)
{
    CRN_TRY(copy_states(run));
    CRN_TRY(wait_for_flushes(run, cancelled));
    uint64_t flushed_us = crn_now_us();
    run->out->flush_us = flushed_us - atomic_load(&run->db->barrier_us);
    atomic_store(&run->db->flushed_sequence, run->barrier->sequence);
    CRN_TRY(link_files(run));
    /* Writers that were let go for a failed flush may have filled a memtable, and a compaction may
     * have wiped the sequence numbers by which the tables would tell. */
    if (atomic_load(&run->db->hold_broken))
        return disproved(run, NULL, "a flush failed while writers were held back");
    CRN_TRY(check_memtables(run));
    CRN_TRY(read_manifest(run));
    CRN_TRY(check_states(run));
    CRN_TRY(check_tables(run));
    CRN_TRY(take_files(run));
    run->out->capture_us = crn_now_us() - flushed_us;
    return 0;
}

int crn_rocksdb_capture(struct crn_state_db *base, const struct crn_barrier *barrier,
                        const char *directory, const atomic_bool *cancelled,
                        struct crn_capture *ret, cairn_error **reterr)
{
    struct crn_capture capture = {0};
    struct run run = {.db = crn_rocksdb_of(base),
                      .barrier = barrier,
                      .directory = directory,
                      .out = &capture,
                      .reterr = reterr};
    int r = run_capture(&run, cancelled);
    free(run.states);
    crn_rocksdb_manifest_done(&run.manifest);
    if (r < 0)
        crn_capture_done(&capture);
    else
        *ret = capture;
    return r;
}

void crn_capture_done(struct crn_capture *capture)
{
    for (size_t i = 0; i < capture->count; i++) {
        cairn_file_info *info = &capture->files[i].info;
        free((void *)(uintptr_t)info->name);
        free((void *)(uintptr_t)info->state);
        free((void *)(uintptr_t)info->smallest);
        free((void *)(uintptr_t)info->largest);
    }
    free(capture->files);
    *capture = (struct crn_capture){0};
}
