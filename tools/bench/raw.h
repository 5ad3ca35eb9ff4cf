/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_RAW_H
#define CAIRN_BENCH_RAW_H

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
    rocksdb_column_family_handle_t **cfs;
    char **cf_names;
    size_t cf_count;
};

/* dir: what cairn_restore_to() wrote for one subtask, or a copy of it. */
int bench_raw_open(const char *dir, uint64_t cache_bytes, struct bench_raw **ret,
                   cairn_error **reterr);
void bench_raw_close(struct bench_raw *raw); /* NULL is fine */
/* Turn a RocksDB message into an error and free it; 0 if there is none. */
int bench_raw_check(char *message, const char *what, cairn_error **reterr);
/* Read every entry: all of them genuine, each key there once, none newer than max_version. */
int bench_raw_verify(struct bench_raw *raw, const struct bench_workload *workload,
                     uint32_t max_version, cairn_error **reterr);

#endif
