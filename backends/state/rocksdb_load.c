/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk load: sorted entries become tables, which RocksDB then takes as they are.
 *
 * Each load writes tables of its own, with the state's options, beside the database's files.
 * load_end() hands all of them over in one step, so the entries become visible at once; RocksDB
 * moves the files into its own names by links. Loads of disjoint ranges share nothing and may run
 * in parallel.
 *
 * Two things could break what checkpoints rely on, and RocksDB is told to refuse rather than do
 * them:
 *
 *   a sequence number given to the entries   RocksDB gives one if the range has entries already, or
 * if a snapshot must not see the new ones, and writes it into the table in place. Entries that are
 * loaded have sequence number 0, at or below any barrier's (P2). a flush for entries of the range
 * in a memtable
 *
 * And between barrier and release nothing is handed over: number 0 would get past the capture's
 * proof. The checksum of each table is computed by RocksDB when it takes the file, and lies in its
 * manifest as those of all tables do (P8).
 *
 * A load that fails leaves the database as it was. A crash leaves files that the next open removes
 * with the rest.
 */
#include "backends/state/rocksdb_internal.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define CHECK_SIZE_BYTES ((uint64_t)512 << 10) /* of entries, between looks at the file's size */

struct crn_state_load {
    /* constant */
    struct crn_rocksdb *db;
    struct crn_state *state;
    rocksdb_options_t *options;
    rocksdb_envoptions_t *file_options;
    rocksdb_sstfilewriter_t *writer;
    uint64_t file_bytes; /* where a new file begins */

    int failed;
    bool is_open; /* the last file */
    uint64_t unchecked;
    char **files;
    size_t file_count, file_capacity;
};

static int failed(struct crn_state_load *load, char *message, cairn_error **reterr)
{
    load->failed =
        crn_rocksdb_fail(reterr, message, load->db->directory, load->state->name, "bulk load");
    return load->failed;
}

static void load_free(struct crn_state_load *load)
{
    if (!load)
        return;
    if (load->writer)
        rocksdb_sstfilewriter_destroy(load->writer);
    if (load->file_options)
        rocksdb_envoptions_destroy(load->file_options);
    if (load->options)
        rocksdb_options_destroy(load->options);
    for (size_t i = 0; i < load->file_count; i++) {
        (void)unlink(load->files[i]); /* those that RocksDB took are gone from here already */
        free(load->files[i]);
    }
    free(load->files);
    free(load);
}

static void load_cleanup(struct crn_state_load **load)
{
    load_free(*load);
}

/* The state's options, but for the checksum of whole files: RocksDB computes it when it takes the
 * file, whatever the writer has found, and not fast. */
static int table_options(struct crn_state_load *load, cairn_error **reterr)
{
    const struct crn_rocksdb *db = load->db;
    struct crn_state_config config = {.memory = db->memory, .memtable_bytes = db->memtable_bytes};
    rocksdb_options_t *full = NULL;
    char *message = NULL;

    CRN_TRY(crn_rocksdb_options_new(&config, db->extra_options, load->state, &full, reterr));
    load->options = rocksdb_options_create();
    rocksdb_get_options_from_string(full, "file_checksum_gen_factory=nullptr", load->options,
                                    &message);
    rocksdb_options_destroy(full);
    return message ? failed(load, message, reterr) : 0;
}

int crn_rocksdb_load_begin(struct crn_state_db *base, struct crn_state *state,
                           struct crn_state_load **ret, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);

    if (db->read_only)
        return crn_err_fail(reterr, CAIRN_EINVAL, db->directory, "'%s' is open for reading only",
                            db->directory);
    CRN_CLEANUP(load_cleanup) struct crn_state_load *load = calloc(1, sizeof(*load));
    if (!load)
        return crn_err_nomem(reterr);
    load->db = db;
    load->state = state;
    CRN_TRY(table_options(load, reterr));
    load->file_options = rocksdb_envoptions_create();
    load->file_bytes = rocksdb_options_get_target_file_size_base(load->options);
    load->writer = rocksdb_sstfilewriter_create(load->file_options, load->options);
    *ret = CRN_TAKE(load);
    return 0;
}

/* No name that RocksDB would take for one of its own. */
static int begin_file(struct crn_state_load *load, cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    char *message = NULL;

    if (load->file_count == load->file_capacity) {
        size_t capacity = load->file_capacity ? 2 * load->file_capacity : 8;
        char **grown = reallocarray(load->files, capacity, sizeof(*grown));
        if (!grown)
            return crn_err_nomem(reterr);
        load->files = grown;
        load->file_capacity = capacity;
    }
    CRN_TRY(crn_str_printf(&path, reterr, "%s/load-%" PRIu64, load->db->directory,
                           atomic_fetch_add(&load->db->next_load_file, 1)));
    rocksdb_sstfilewriter_open(load->writer, path, &message);
    load->files[load->file_count++] = CRN_TAKE(path);
    if (message)
        return failed(load, message, reterr);
    load->is_open = true;
    return 0;
}

static int finish_file(struct crn_state_load *load, cairn_error **reterr)
{
    char *message = NULL;
    load->is_open = false;
    load->unchecked = 0;
    rocksdb_sstfilewriter_finish(load->writer, &message);
    return message ? failed(load, message, reterr) : 0;
}

static int check_size(struct crn_state_load *load, cairn_error **reterr)
{
    uint64_t size = 0;
    load->unchecked = 0;
    rocksdb_sstfilewriter_file_size(load->writer, &size);
    return size >= load->file_bytes ? finish_file(load, reterr) : 0;
}

static int failed_before(const struct crn_state_load *load, cairn_error **reterr)
{
    return crn_err_fail(reterr, load->failed, load->db->directory,
                        "the bulk load of state '%s' in '%s' failed before", load->state->name,
                        load->db->directory);
}

int crn_rocksdb_load_put(struct crn_state_load *load, const void *key, size_t key_size,
                         const void *value, size_t value_size, cairn_error **reterr)
{
    char *message = NULL;

    if (__builtin_expect(load->failed < 0, 0))
        return failed_before(load, reterr);
    if (!load->is_open)
        CRN_TRY(begin_file(load, reterr));
    rocksdb_sstfilewriter_put(load->writer, key, key_size, value, value_size, &message);
    if (__builtin_expect(message != NULL, 0))
        return failed(load, message, reterr);
    load->unchecked += key_size + value_size;
    return load->unchecked >= CHECK_SIZE_BYTES ? check_size(load, reterr) : 0;
}

static int hand_over(struct crn_state_load *load, cairn_error **reterr)
{
    struct crn_rocksdb *db = load->db;
    char *message = NULL;

    if (atomic_load(&db->held))
        return crn_err_fail(reterr, CAIRN_EBUSY, db->directory,
                            "entries were loaded into '%s' while a checkpoint was captured",
                            db->directory);
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, 1);
    rocksdb_ingestexternalfileoptions_set_allow_global_seqno(options, 0);
    rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(options, 0);
    rocksdb_ingest_external_file_cf(db->db, load->state->family, (const char *const *)load->files,
                                    load->file_count, options, &message);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return message ? failed(load, message, reterr) : 0;
}

int crn_rocksdb_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr)
{
    CRN_CLEANUP(load_cleanup) struct crn_state_load *owned = load;

    if (!keep)
        return 0;
    if (load->failed < 0)
        return failed_before(load, reterr);
    if (load->is_open)
        CRN_TRY(finish_file(load, reterr));
    return owned->file_count > 0 ? hand_over(load, reterr) : 0;
}
