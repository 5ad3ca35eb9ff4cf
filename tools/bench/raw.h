/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_RAW_H
#define CAIRN_BENCH_RAW_H

#include "tools/bench/audit.h"
#include "tools/bench/writer.h"

#include <rocksdb/c.h>

/* A bare RocksDB, opened with the very options that Cairn's database wrote beside its files. */
struct bench_raw {
    struct bench_target target; /* first: puts go here */
    rocksdb_t *db;
    rocksdb_column_family_handle_t *state; /* the column family with the entries */
    rocksdb_writeoptions_t *write_options; /* no write-ahead log, as Cairn has none */
    rocksdb_readoptions_t *read_options;
    rocksdb_env_t *env;
    rocksdb_cache_t *cache;
    rocksdb_options_t *db_options, **cf_options;
    rocksdb_options_t *open_options;  /* db_options as changed for opening */
    rocksdb_options_t *state_options; /* of cf_options */
    rocksdb_column_family_handle_t **cfs;
    char **cf_names;
    size_t cf_count;
};

/* dir: what cairn_restore_to() wrote for one subtask, or a copy of it. */
int bench_raw_open(const char *dir, uint64_t cache_bytes, struct bench_raw **ret,
                   cairn_error **reterr);
/* The same without touching any file there. */
int bench_raw_open_read_only(const char *dir, uint64_t cache_bytes, struct bench_raw **ret,
                             cairn_error **reterr);
/* A new and empty one in new_dir, with the options of the one in dir, but without checksums of
 * whole files, which only Cairn wants. */
int bench_raw_create(const char *dir, const char *new_dir, uint64_t cache_bytes,
                     struct bench_raw **ret, cairn_error **reterr);
void bench_raw_close(struct bench_raw *raw); /* NULL is fine */
/* Turn a RocksDB message into an error and free it; 0 if there is none. */
int bench_raw_check(char *message, const char *what, cairn_error **reterr);
/* Entries of key groups first .. last, in order. */
struct bench_raw_scan {
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it;
    char end; /* prefix of the key group behind the last */
};
/* As a bulk reader reads: readahead, block cache left alone. snapshot: NULL for the newest state.
 */
void bench_raw_scan_begin(struct bench_raw_scan *scan, const struct bench_raw *raw,
                          const rocksdb_snapshot_t *snapshot, uint32_t first, uint32_t last);
/* After the last entry: did the iterator fail? Closes it, too. */
int bench_raw_scan_end(struct bench_raw_scan *scan, cairn_error **reterr);

/* Every entry of the database to an audit that has begun. */
int bench_raw_audit(const struct bench_raw *raw, struct bench_audit *audit, cairn_error **reterr);
/* The same as an audit of its own: the whole state is here. */
int bench_raw_verify(const struct bench_raw *raw, const struct bench_workload *workload,
                     uint32_t max_version, cairn_error **reterr);

#endif
