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

enum mode { MODE_OPEN, MODE_READ_ONLY, MODE_CREATE };

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

/* The options in `dir`, with no checksums of whole files if the database is to be a new one. */
static int load_options(struct bench_raw *raw, const char *dir, enum mode mode,
                        cairn_error **reterr)
{
    char *message = NULL;
    rocksdb_load_latest_options(dir, raw->env, true, raw->cache, &raw->db_options, &raw->cf_count,
                                &raw->cf_names, &raw->cf_options, &message);
    BENCH_TRY(bench_raw_check(message, "reading the OPTIONS file", reterr));
    raw->open_options = rocksdb_options_create();
    rocksdb_get_options_from_string(raw->db_options,
                                    mode == MODE_CREATE ? "file_checksum_gen_factory=nullptr;"
                                                          "create_if_missing=true;"
                                                          "create_missing_column_families=true"
                                                        : "",
                                    raw->open_options, &message);
    BENCH_TRY(bench_raw_check(message, "changing options", reterr));
    /* the writer of the file made it new */
    rocksdb_options_set_error_if_exists(raw->open_options, 0);
    return 0;
}

static int open_database(struct bench_raw *raw, const char *dir, enum mode mode,
                         cairn_error **reterr)
{
    char *message = NULL;
    raw->cfs = calloc(raw->cf_count, sizeof(rocksdb_column_family_handle_t *));
    if (!raw->cfs)
        return bench_fail_nomem(reterr);
    const char *const *names = (const char *const *)raw->cf_names;
    const rocksdb_options_t *const *options = (const rocksdb_options_t *const *)raw->cf_options;
    if (mode == MODE_READ_ONLY)
        raw->db = rocksdb_open_for_read_only_column_families(
            raw->open_options, dir, (int)raw->cf_count, names, options, raw->cfs, 0, &message);
    else
        raw->db = rocksdb_open_column_families(raw->open_options, dir, (int)raw->cf_count, names,
                                               options, raw->cfs, &message);
    if (message)
        raw->db = NULL;
    BENCH_TRY(bench_raw_check(message, dir, reterr));
    for (size_t i = 0; i < raw->cf_count; i++) {
        if (strcmp(raw->cf_names[i], "default") == 0)
            continue;
        raw->state = raw->cfs[i];
        raw->state_options = raw->cf_options[i];
    }
    if (!raw->state)
        return bench_fail(reterr, CAIRN_EINTERNAL, "'%s': no column family but the default", dir);
    return 0;
}

static int open_as(const char *options_dir, const char *dir, enum mode mode, uint64_t cache_bytes,
                   struct bench_raw **ret, cairn_error **reterr)
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
    int r = load_options(raw, options_dir, mode, reterr);
    if (r == 0)
        r = open_database(raw, dir, mode, reterr);
    if (r < 0)
        bench_raw_close(raw);
    else
        *ret = raw;
    return r;
}

int bench_raw_open(const char *dir, uint64_t cache_bytes, struct bench_raw **ret,
                   cairn_error **reterr)
{
    return open_as(dir, dir, MODE_OPEN, cache_bytes, ret, reterr);
}

int bench_raw_open_read_only(const char *dir, uint64_t cache_bytes, struct bench_raw **ret,
                             cairn_error **reterr)
{
    return open_as(dir, dir, MODE_READ_ONLY, cache_bytes, ret, reterr);
}

int bench_raw_create(const char *dir, const char *new_dir, uint64_t cache_bytes,
                     struct bench_raw **ret, cairn_error **reterr)
{
    return open_as(dir, new_dir, MODE_CREATE, cache_bytes, ret, reterr);
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
    if (raw->open_options)
        rocksdb_options_destroy(raw->open_options);
    rocksdb_readoptions_destroy(raw->read_options);
    rocksdb_writeoptions_destroy(raw->write_options);
    rocksdb_cache_destroy(raw->cache);
    rocksdb_env_destroy(raw->env);
    free(raw);
}

void bench_raw_scan_begin(struct bench_raw_scan *scan, const struct bench_raw *raw,
                          const rocksdb_snapshot_t *snapshot, uint32_t first, uint32_t last)
{
    char begin = (char)first;
    scan->end = (char)(last + 1);
    scan->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(scan->options, 1);
    rocksdb_readoptions_set_fill_cache(scan->options, 0);
    rocksdb_readoptions_set_readahead_size(scan->options, 2 * BENCH_MIB);
    rocksdb_readoptions_set_iterate_upper_bound(scan->options, &scan->end, 1);
    if (snapshot)
        rocksdb_readoptions_set_snapshot(scan->options, snapshot);
    scan->it = rocksdb_create_iterator_cf(raw->db, scan->options, raw->state);
    rocksdb_iter_seek(scan->it, &begin, 1);
}

int bench_raw_scan_end(struct bench_raw_scan *scan, cairn_error **reterr)
{
    char *message = NULL;
    rocksdb_iter_get_error(scan->it, &message);
    rocksdb_iter_destroy(scan->it);
    rocksdb_readoptions_destroy(scan->options);
    return bench_raw_check(message, "scan", reterr);
}

int bench_raw_audit(const struct bench_raw *raw, struct bench_audit *audit, cairn_error **reterr)
{
    struct bench_raw_scan scan;
    int r = 0;
    bench_raw_scan_begin(&scan, raw, NULL, 0, BENCH_KEY_GROUPS - 1);
    for (; r == 0 && rocksdb_iter_valid(scan.it); rocksdb_iter_next(scan.it)) {
        size_t key_size, value_size;
        const char *key = rocksdb_iter_key(scan.it, &key_size);
        const char *value = rocksdb_iter_value(scan.it, &value_size);
        r = bench_audit_entry(audit, key, key_size, value, value_size, reterr);
    }
    int ended = bench_raw_scan_end(&scan, r < 0 ? NULL : reterr);
    return r < 0 ? r : ended;
}

int bench_raw_verify(const struct bench_raw *raw, const struct bench_workload *workload,
                     uint32_t max_version, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_audit_done) struct bench_audit audit = {0};
    BENCH_TRY(bench_audit_begin(&audit, workload, max_version, reterr));
    BENCH_TRY(bench_raw_audit(raw, &audit, reterr));
    return bench_audit_end(&audit, reterr);
}
