/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB's own BackupEngine: incremental by shared table files, the default naming (session id and
 * number), `threads` background operations, synced copies. It stays open over all rounds, which
 * spares it the reading of its metadata.
 *
 * The write-ahead log is off, so each backup flushes first. A backup has no barrier: it holds some
 * moment of the call. A service that needs an exact moment would have to stop for all of the flush.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/method.h"
#include "tools/bench/raw.h"

struct backup_method {
    struct bench_method base;
    struct bench_raw *raw; /* NULL once the database is closed */
    rocksdb_env_t *env;
    rocksdb_backup_engine_t *engine;
};

static void close_database(struct bench_method *base)
{
    struct backup_method *method = (struct backup_method *)base;
    bench_raw_close(method->raw);
    method->raw = NULL;
    base->target = NULL;
}

static void free_method(struct bench_method *base)
{
    struct backup_method *method = (struct backup_method *)base;
    if (method->engine)
        rocksdb_backup_engine_close(method->engine);
    rocksdb_env_destroy(method->env);
    close_database(base);
    free(base);
}

static int open_engine(struct backup_method *method, cairn_error **reterr)
{
    const struct bench_method_config *config = method->base.config;
    rocksdb_backup_engine_options_t *options =
        rocksdb_backup_engine_options_create(config->store_dir);
    rocksdb_backup_engine_options_set_share_table_files(options, 1);
    rocksdb_backup_engine_options_set_sync(options, 1);
    rocksdb_backup_engine_options_set_max_background_operations(options, (int)config->threads);
    char *message = NULL;
    method->engine = rocksdb_backup_engine_open_opts(options, method->env, &message);
    rocksdb_backup_engine_options_destroy(options);
    if (message)
        method->engine = NULL;
    return bench_raw_check(message, "opening BackupEngine", reterr);
}

static int open_parts(struct backup_method *method, cairn_error **reterr)
{
    const struct bench_method_config *config = method->base.config;
    BENCH_AUTO_FREE char *dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/db", config->directory));
    BENCH_TRY(bench_copy_tree(config->base_db_dir, dir, config->threads, reterr));
    BENCH_TRY(
        bench_raw_open(dir, bench_memory_bytes(config->memtable_bytes) / 2, &method->raw, reterr));
    method->base.target = &method->raw->target;
    return open_engine(method, reterr);
}

static int open_method(const struct bench_method_config *config, struct bench_method **ret,
                       cairn_error **reterr)
{
    struct backup_method *method = calloc(1, sizeof(*method));
    if (!method)
        return bench_fail_nomem(reterr);
    method->base = (struct bench_method){.ops = &bench_method_backup_engine, .config = config};
    method->env = rocksdb_create_default_env();
    int r = open_parts(method, reterr);
    if (r < 0)
        free_method(&method->base);
    else
        *ret = &method->base;
    return r;
}

static int checkpoint(struct bench_method *base, bool full, struct bench_cost *ret,
                      cairn_error **reterr)
{
    (void)full; /* its first backup is full by itself */
    struct backup_method *method = (struct backup_method *)base;
    char *message = NULL;
    uint64_t start_ns = bench_now_ns();
    rocksdb_backup_engine_create_new_backup_flush(method->engine, method->raw->db, 1, &message);
    BENCH_TRY(bench_raw_check(message, "creating a backup", reterr));
    *ret = (struct bench_cost){.exact_us = (bench_now_ns() - start_ns) / 1000};
    const rocksdb_backup_engine_info_t *info =
        rocksdb_backup_engine_get_backup_info(method->engine);
    int count = rocksdb_backup_engine_info_count(info);
    if (count > 0)
        ret->full_bytes = rocksdb_backup_engine_info_size(info, count - 1);
    rocksdb_backup_engine_info_destroy(info);
    return 0;
}

static int after(struct bench_method *base, struct bench_cost *cost, cairn_error **reterr)
{
    (void)cost;
    struct backup_method *method = (struct backup_method *)base;
    char *message = NULL;
    rocksdb_backup_engine_purge_old_backups(method->engine, 2, &message);
    return bench_raw_check(message, "purging old backups", reterr);
}

static int restore(struct bench_method *base, const char *dir, char **ret_db_dir,
                   cairn_error **reterr)
{
    struct backup_method *method = (struct backup_method *)base;
    rocksdb_restore_options_t *options = rocksdb_restore_options_create();
    char *message = NULL;
    rocksdb_backup_engine_restore_db_from_latest_backup(method->engine, dir, dir, options,
                                                        &message);
    rocksdb_restore_options_destroy(options);
    BENCH_TRY(bench_raw_check(message, "restoring a backup", reterr));
    return bench_text(ret_db_dir, reterr, "%s", dir);
}

const struct bench_method_ops bench_method_backup_engine = {
    .name = "backup-engine",
    .title = "RocksDB BackupEngine",
    .can_restore = true,
    .open = open_method,
    .checkpoint = checkpoint,
    .after = after,
    .close_database = close_database,
    .restore = restore,
    .free = free_method,
};
