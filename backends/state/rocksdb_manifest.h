/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_ROCKSDB_MANIFEST_H
#define CRN_STATE_ROCKSDB_MANIFEST_H

#include "base/buffer.h"
#include "base/error.h"

/*
 * A reader of RocksDB's own MANIFEST: which tables make up the database, and what RocksDB knows
 * about each. Pure functions over bytes that nobody trusts.
 *
 * Strict: a file that ends inside a record or an atomic group is damaged here, although RocksDB
 * itself would open such a database at an earlier state.
 */

/* ---- records of RocksDB's log format (rocksdb_records.c) ---- */

struct crn_rocksdb_records {
    struct crn_reader in;
    struct cairn_buffer scratch; /* a record put together from fragments */
    uint32_t log_number;         /* of recyclable records */
    bool has_log_number;
};
/* 1 and the next record (valid until the next call), 0 at the end; CAIRN_ECORRUPT, CAIRN_EVERSION
 * or CAIRN_ENOMEM, with the reason in *ret_why. Zero-initialise with `in` set; then _done(). */
int crn_rocksdb_records_next(struct crn_rocksdb_records *records, struct crn_reader *ret_record,
                             const char **ret_why);
void crn_rocksdb_records_done(struct crn_rocksdb_records *records);

/* ---- the version that the records add up to (rocksdb_manifest.c) ---- */

struct crn_rocksdb_table {
    const char *column_family;
    uint64_t number;
    uint64_t size;
    uint32_t level;
    uint64_t sequence_first, sequence_last;
    const uint8_t *smallest, *largest; /* user keys */
    size_t smallest_size, largest_size;
    bool has_crc32c; /* of the whole file, computed by RocksDB when it wrote it */
    uint32_t crc32c;
};

struct crn_rocksdb_manifest {
    struct crn_rocksdb_table *tables; /* live ones, by number */
    size_t table_count;
    const char **column_families; /* not dropped, by number; no name twice */
    size_t column_family_count;
    uint64_t last_sequence;
    uint64_t next_file_number;
    struct cairn_buffer bytes; /* what the pointers above point into */
};

/* `object` names the file in errors. CAIRN_ECORRUPT; CAIRN_EVERSION for what a newer RocksDB, or
 * one with features that Cairn does not use, has written; CAIRN_ENOMEM. */
int crn_rocksdb_manifest_parse(const void *data, size_t size, const char *object,
                               struct crn_rocksdb_manifest *ret, cairn_error **reterr);
void crn_rocksdb_manifest_done(struct crn_rocksdb_manifest *manifest);
#define CRN_AUTO_ROCKSDB_MANIFEST CRN_CLEANUP(crn_rocksdb_manifest_done)

#endif
