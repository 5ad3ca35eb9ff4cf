/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk load into an open database: sorted entries become tables, which RocksDB then takes as they
 * are.
 *
 * Each load writes tables of its own (rocksdb_tables.c) beside the database's files. load_end()
 * hands all of them over in one step, so the entries become visible at once; RocksDB moves the
 * files into its own names by links. Loads of disjoint ranges share nothing and may run in
 * parallel.
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
 * manifest as those of all tables do (P8). It takes as long as writing the table did; a new
 * database is better built (rocksdb_build.c).
 *
 * A load that fails leaves the database as it was. A crash leaves files that the next open removes
 * with the rest.
 */
#include "backends/state/rocksdb_internal.h"

struct crn_state_load {
    struct crn_rocksdb *db;
    struct crn_state *state;
    struct crn_rocksdb_tables tables;
};

static void load_free(struct crn_state_load *load)
{
    if (load)
        crn_rocksdb_tables_done(&load->tables);
    free(load);
}

static void load_cleanup(struct crn_state_load **load)
{
    load_free(*load);
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
    const struct crn_state_config config = {.memory = db->memory,
                                            .memtable_bytes = db->memtable_bytes,
                                            .extra_options = db->extra_options};
    const struct crn_rocksdb_tables_place place = {
        .directory = db->directory,
        .prefix = "load-", /* no name that RocksDB would take for one of its own */
        .suffix = "",
        .next_number = &db->next_load_file,
        .state = state,
    };
    CRN_TRY(crn_rocksdb_tables_init(&load->tables, &place, &config, reterr));
    *ret = CRN_TAKE(load);
    return 0;
}

int crn_rocksdb_load_put(struct crn_state_load *load, const void *key, size_t key_size,
                         const void *value, size_t value_size, cairn_error **reterr)
{
    return crn_rocksdb_tables_put(&load->tables, key, key_size, value, value_size, reterr);
}

static int hand_over(struct crn_state_load *load, cairn_error **reterr)
{
    struct crn_rocksdb *db = load->db;
    char *message = NULL;

    if (atomic_load(&db->held))
        return crn_err_fail(reterr, CAIRN_EBUSY, db->directory,
                            "entries were loaded into '%s' while a checkpoint was captured",
                            db->directory);
    CRN_AUTO_FREE const char **paths = calloc(load->tables.count, sizeof(*paths));
    if (!paths)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < load->tables.count; i++)
        paths[i] = load->tables.files[i].path;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, 1);
    rocksdb_ingestexternalfileoptions_set_allow_global_seqno(options, 0);
    rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(options, 0);
    rocksdb_ingest_external_file_cf(db->db, load->state->family, paths, load->tables.count, options,
                                    &message);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return message
               ? crn_rocksdb_fail(reterr, message, db->directory, load->state->name, "bulk load")
               : 0;
}

int crn_rocksdb_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr)
{
    CRN_CLEANUP(load_cleanup) struct crn_state_load *owned = load;

    if (!keep)
        return 0;
    CRN_TRY(crn_rocksdb_tables_finish(&owned->tables, reterr));
    return owned->tables.count > 0 ? hand_over(owned, reterr) : 0;
}
