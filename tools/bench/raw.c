/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare RocksDB of the peers.
 *
 * Its options are not a copy in this file that could grow old: they are read from the OPTIONS file
 * that Cairn's own database left in its checkpoint. What such a file cannot hold (merge operator
 * and compaction filter objects, neither of which a plain value state calls) stays at the default;
 * the block cache is a new one of the size that Cairn's has.
 */
#include "tools/bench/raw.h"

#include <string.h>

int bench_raw_check(char *message, const char *what, cairn_error **reterr)
{
    if (!message)
        return 0;
    int r = bench_fail(reterr, CAIRN_EIO, "%s: %s", what, message);
    rocksdb_free(message);
    return r;
}

static int raw_put(struct bench_target *target, const struct bench_record *record,
                   cairn_error **reterr)
{
    struct bench_raw *raw = (struct bench_raw *)target;
    char *message = NULL;
    rocksdb_put_cf(raw->db, raw->write_options, raw->state, (const char *)record->raw_key,
                   BENCH_RAW_KEY_SIZE, (const char *)record->value, record->value_size, &message);
    return bench_raw_check(message, "put", reterr);
}

static int open_database(struct bench_raw *raw, const char *dir, cairn_error **reterr)
{
    char *message = NULL;
    rocksdb_load_latest_options(dir, raw->env, true, raw->cache, &raw->db_options, &raw->cf_count,
                                &raw->cf_names, &raw->cf_options, &message);
    BENCH_TRY(bench_raw_check(message, "reading the OPTIONS file", reterr));
    rocksdb_options_set_error_if_exists(raw->db_options,
                                        0); /* the writer of the file made it new */
    raw->cfs = calloc(raw->cf_count, sizeof(rocksdb_column_family_handle_t *));
    if (!raw->cfs)
        return bench_fail_nomem(reterr);
    raw->db = rocksdb_open_column_families(
        raw->db_options, dir, (int)raw->cf_count, (const char *const *)raw->cf_names,
        (const rocksdb_options_t *const *)raw->cf_options, raw->cfs, &message);
    if (message)
        raw->db = NULL;
    BENCH_TRY(bench_raw_check(message, dir, reterr));
    for (size_t i = 0; i < raw->cf_count; i++)
        if (strcmp(raw->cf_names[i], "default") != 0)
            raw->state = raw->cfs[i];
    if (!raw->state)
        return bench_fail(reterr, CAIRN_EINTERNAL, "'%s': no column family but the default", dir);
    return 0;
}

int bench_raw_open(const char *dir, uint64_t cache_bytes, struct bench_raw **ret,
                   cairn_error **reterr)
{
    struct bench_raw *raw = calloc(1, sizeof(*raw));
    if (!raw)
        return bench_fail_nomem(reterr);
    raw->target.put = raw_put;
    raw->env = rocksdb_create_default_env();
    raw->cache = rocksdb_cache_create_lru((size_t)cache_bytes);
    raw->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(raw->write_options, 1);
    raw->read_options = rocksdb_readoptions_create();
    int r = open_database(raw, dir, reterr);
    if (r < 0)
        bench_raw_close(raw);
    else
        *ret = raw;
    return r;
}

void bench_raw_close(struct bench_raw *raw)
{
    if (!raw)
        return;
    if (raw->db) {
        for (size_t i = 0; i < raw->cf_count; i++)
            rocksdb_column_family_handle_destroy(raw->cfs[i]);
        rocksdb_close(raw->db);
    }
    free(raw->cfs);
    if (raw->cf_names)
        rocksdb_load_latest_options_destroy(raw->db_options, raw->cf_names, raw->cf_options,
                                            raw->cf_count);
    rocksdb_readoptions_destroy(raw->read_options);
    rocksdb_writeoptions_destroy(raw->write_options);
    rocksdb_cache_destroy(raw->cache);
    rocksdb_env_destroy(raw->env);
    free(raw);
}

static int verify_entries(rocksdb_iterator_t *it, const struct bench_workload *workload,
                          uint32_t max_version, uint8_t *seen, cairn_error **reterr)
{
    struct bench_record scratch;
    BENCH_AUTO_FREE uint8_t *value = malloc(workload->value_size);
    if (!value)
        return bench_fail_nomem(reterr);
    scratch.value = value;
    uint64_t count = 0;
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t key_size, value_size;
        const char *key = rocksdb_iter_key(it, &key_size);
        const char *data = rocksdb_iter_value(it, &value_size);
        uint64_t index;
        if (!bench_entry_is_genuine(workload, key, key_size, data, value_size, max_version,
                                    &scratch, &index))
            return bench_fail(reterr, CAIRN_ECORRUPT,
                              "restored entry %llu is not one that was written",
                              (unsigned long long)count);
        uint8_t bit = (uint8_t)(1u << (index % 8));
        count += !(seen[index / 8] & bit);
        seen[index / 8] |= bit;
    }
    char *message = NULL;
    rocksdb_iter_get_error(it, &message);
    BENCH_TRY(bench_raw_check(message, "reading a restored database", reterr));
    if (count != workload->keys)
        return bench_fail(reterr, CAIRN_ECORRUPT, "restored %llu keys of %llu",
                          (unsigned long long)count, (unsigned long long)workload->keys);
    return 0;
}

int bench_raw_verify(struct bench_raw *raw, const struct bench_workload *workload,
                     uint32_t max_version, cairn_error **reterr)
{
    BENCH_AUTO_FREE uint8_t *seen = calloc(workload->keys / 8 + 1, 1);
    if (!seen)
        return bench_fail_nomem(reterr);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(raw->db, options, raw->state);
    int r = verify_entries(it, workload, max_version, seen, reterr);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    return r;
}
