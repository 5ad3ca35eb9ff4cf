/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_ROCKSDB_MANIFEST_H
#define CRN_STATE_ROCKSDB_MANIFEST_H

#include "base/buffer.h"
#include "base/error.h"

/*
 * A reader and a writer of RocksDB's own MANIFEST: which tables make up the database, and what
 * RocksDB knows about each. Pure functions; what is read is bytes that nobody trusts.
 *
 * The reader is strict: a file that ends inside a record or an atomic group is damaged here,
 * although RocksDB itself would open such a database at an earlier state.
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

/* One record, in as many fragments as the ends of blocks ask for. 0 or CAIRN_ENOMEM. */
int crn_rocksdb_records_append(struct cairn_buffer *out, const void *data, size_t size);

/* ---- the version that the records add up to (rocksdb_manifest.c) ---- */

#define CRN_ROCKSDB_UNIQUE_ID_SIZE 16u

struct crn_rocksdb_table {
    const char *column_family;
    uint64_t number;
    uint64_t size;
    uint32_t level;
    uint64_t sequence_first, sequence_last;
    const uint8_t *smallest, *largest; /* user keys */
    size_t smallest_size, largest_size;
    uint64_t smallest_tail, largest_tail; /* sequence number and type that follow them */
    bool has_crc32c; /* of the whole file, computed by RocksDB when it wrote it */
    uint32_t crc32c;
    bool has_unique_id; /* RocksDB compares it with what the file says of itself */
    uint8_t unique_id[CRN_ROCKSDB_UNIQUE_ID_SIZE];
    uint64_t oldest_time, creation_time; /* Unix seconds; 0: not known */
};
/* The tail of a largest key that a range tombstone reaches up to, but does not hold. */
#define CRN_ROCKSDB_TAIL_EXCLUSIVE UINT64_C(0xffffffffffffff0f)

struct crn_rocksdb_manifest {
    struct crn_rocksdb_table *tables; /* live ones, by number */
    size_t table_count;
    const char **column_families; /* not dropped, by number; "default" first; no name twice */
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

/* ---- the other way (rocksdb_manifest_write.c) ---- */

/* The shortest history that adds up to this version, appended to an empty buffer. Tables name
 * their column families as in column_families[]. 0 or CAIRN_ENOMEM. */
int crn_rocksdb_manifest_write(const struct crn_rocksdb_manifest *manifest,
                               struct cairn_buffer *out);

/* ---- of a database's directory (rocksdb_manifest_file.c) ---- */

/* The MANIFEST that CURRENT names. CAIRN_ECORRUPT, CAIRN_EVERSION, CAIRN_ENOMEM or what reading
 * files gives. */
int crn_rocksdb_manifest_read(const char *directory, struct crn_rocksdb_manifest *ret,
                              cairn_error **reterr);
/* Both files, of a database that has none yet. */
int crn_rocksdb_manifest_create(const char *directory, const struct crn_rocksdb_manifest *manifest,
                                uint64_t number, cairn_error **reterr);

#endif
