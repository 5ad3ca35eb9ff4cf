/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB's options, and why they are what they are.
 *
 *   no WAL                      a crash goes back to the last checkpoint; see the barrier
 *   stall triggers out of reach flush(wait=0) first waits until it would not stall writes, so
 * RocksDB's own triggers would make the barrier wait (P3); rocksdb_pace.c slows writers down
 * instead level-0 trigger 8           fewer rewrites of level 1: what compactions write is what
 * incremental checkpoints upload (P4) file checksums              crc32c of each table, computed
 * while it is written, kept in RocksDB's manifest: damage between there and the store is caught
 * (P8) small manifest              it is copied into every checkpoint
 *
 * The user's options string is applied last. Refused are options that would let RocksDB flush at a
 * moment of its own choice, write something that a capture does not know, or replace what states
 * depend on (P2).
 */
#include "backends/state/rocksdb_internal.h"

#include <string.h>

#define MEMTABLE_DEFAULT ((uint64_t)64 << 20)
#define MEMTABLE_MIN ((uint64_t)64 << 10) /* RocksDB's own bound */
#define MEMTABLE_MAX ((uint64_t)4 << 30)
#define ARENA_BLOCK_MAX ((size_t)1 << 20)
#define PRIVATE_CACHE_BYTES ((size_t)8 << 20)
#define BLOCK_BYTES ((size_t)16 << 10)
#define BLOOM_BITS 10.0
#define MANIFEST_BYTES ((size_t)64 << 10)
#define TABLE_FORMAT_VERSION 5
#define LEVEL0_COMPACT_FILES 8
#define LEVEL0_SLOWDOWN_FILES 1000
#define LEVEL0_STOP_FILES 2000
#define MEMTABLES_MAX 8
#define INFO_LOG_LEVEL_HEADER 5
#define COMPACTION_STYLE_FIFO 2

/* What the C interface has no setter for. No flush at close: between checkpoints nothing is durable
 * anyway. */
static const char STRING_OPTIONS[] = "file_checksum_gen_factory=FileChecksumGenCrc32cFactory;"
                                     "avoid_flush_during_shutdown=true";

/* With a compaction filter RocksDB rewrites tables that are 30 days old, so that even what nobody
 * writes near to expires. Without expiry that would only make checkpoints larger (P4). A state that
 * expiry is switched on for is swept so from the next open on. */
static const char NO_SWEEP[] = "periodic_compaction_seconds=0";

/* Sorted by what they would break. */
static const char *const REFUSED[] = {
    /* flushes that no barrier asked for */
    "db_write_buffer_size", "write_buffer_manager", "atomic_flush", "allow_2pc",
    "experimental_mempurge_threshold", "min_write_buffer_number_to_merge", "memtable_factory",
    "memtable", "arena_block_size", "write_buffer_size", "persist_stats_to_disk",
    "inplace_update_support", "unordered_write", "two_write_queues",
    /* files that a capture does not know */
    "db_paths", "cf_paths", "wal_dir", "enable_blob_files", "env", "fs", "file_system",
    "track_and_verify_wals_in_manifest",
    /* what states and proofs depend on */
    "comparator", "merge_operator", "compaction_filter", "compaction_filter_factory",
    "file_checksum_gen_factory", "best_efforts_recovery", "create_if_missing", "error_if_exists",
    "allow_concurrent_memtable_write"};

static bool is_refused(const char *name, size_t size)
{
    for (size_t i = 0; i < CRN_COUNT(REFUSED); i++)
        if (strlen(REFUSED[i]) == size && memcmp(REFUSED[i], name, size) == 0)
            return true;
    return false;
}

/* Walks over "name=value;name={...};..." and refuses names of the table. What is malformed is left
 * for RocksDB to say. */
static int check_names(const char *text, cairn_error **reterr)
{
    while (*text) {
        text += strspn(text, " \t\r\n;{");
        size_t size = strcspn(text, "=;");
        size_t name_size = size;
        while (name_size > 0 && strchr(" \t\r\n", text[name_size - 1]))
            name_size--;
        if (is_refused(text, name_size))
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "RocksDB option '%.*s' cannot be set: checkpoints depend on it",
                                (int)name_size, text);
        text += size;
        for (int depth = 0; *text && (depth > 0 || *text != ';'); text++)
            depth += (*text == '{') - (*text == '}');
    }
    return 0;
}

static void set_table_options(rocksdb_options_t *options, const struct crn_state_config *config)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *shared = crn_memory_cache(config->memory);
    rocksdb_cache_t *cache = shared ? shared : rocksdb_cache_create_lru(PRIVATE_CACHE_BYTES);

    rocksdb_block_based_options_set_block_cache(table, cache);
    if (!shared)
        rocksdb_cache_destroy(cache); /* the options hold on to it */
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(table, TABLE_FORMAT_VERSION);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    /* In the cache, so that the memory budget covers them. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

static void set_write_options(rocksdb_options_t *options, const struct crn_state_config *config)
{
    uint64_t bytes = config->memtable_bytes ? config->memtable_bytes : MEMTABLE_DEFAULT;
    bytes = bytes < MEMTABLE_MIN ? MEMTABLE_MIN : bytes > MEMTABLE_MAX ? MEMTABLE_MAX : bytes;
    size_t block = (size_t)bytes / 8;

    rocksdb_options_set_write_buffer_size(options, (size_t)bytes);
    rocksdb_options_set_arena_block_size(options,
                                         block < ARENA_BLOCK_MAX ? block : ARENA_BLOCK_MAX);
    rocksdb_options_set_max_write_buffer_number(options, MEMTABLES_MAX);
    rocksdb_options_set_min_write_buffer_number_to_merge(options, 1);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0); /* there is one writer */
    rocksdb_options_set_level0_file_num_compaction_trigger(options, LEVEL0_COMPACT_FILES);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, LEVEL0_SLOWDOWN_FILES);
    rocksdb_options_set_level0_stop_writes_trigger(options, LEVEL0_STOP_FILES);
    rocksdb_options_set_soft_pending_compaction_bytes_limit(options, 0); /* none */
    rocksdb_options_set_hard_pending_compaction_bytes_limit(options, 0);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
}

static void set_database_options(rocksdb_options_t *options, const struct crn_state_config *config)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int compactions = processors < 4 ? 2 : processors > 16 ? 8 : (int)processors / 2;

    rocksdb_options_set_create_if_missing(options, !config->restored);
    rocksdb_options_set_error_if_exists(options, !config->restored);
    rocksdb_options_set_max_open_files(options, -1);
    rocksdb_options_set_max_manifest_file_size(options, MANIFEST_BYTES);
    rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1);
    rocksdb_options_set_max_background_flushes(options, 2);
    rocksdb_options_set_max_background_compactions(options, compactions);
    rocksdb_options_set_info_log_level(options, INFO_LOG_LEVEL_HEADER);
    rocksdb_options_set_max_log_file_size(options, 0); /* no rolling */
    rocksdb_options_set_keep_log_file_num(options, 1);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

static void options_destroy(rocksdb_options_t **options)
{
    if (*options)
        rocksdb_options_destroy(*options);
}

/* `options` with a string applied on top; consumes them. */
static int apply_string(rocksdb_options_t **options, const char *text, cairn_error **reterr)
{
    CRN_CLEANUP(options_destroy) rocksdb_options_t *base = CRN_TAKE(*options);
    CRN_CLEANUP(options_destroy) rocksdb_options_t *applied = rocksdb_options_create();
    char *message = NULL;

    rocksdb_get_options_from_string(base, text, applied, &message);
    if (message) {
        int r = crn_err_fail(reterr, CAIRN_EINVAL, NULL, "RocksDB options '%s': %s", text, message);
        rocksdb_free(message);
        return r;
    }
    *options = CRN_TAKE(applied);
    return 0;
}

int crn_rocksdb_options_new(const struct crn_state_config *config, const char *extra_options,
                            struct crn_state *state, rocksdb_options_t **ret, cairn_error **reterr)
{
    CRN_CLEANUP(options_destroy) rocksdb_options_t *options = rocksdb_options_create();

    set_table_options(options, config);
    set_write_options(options, config);
    set_database_options(options, config);
    if (state && state->is_list)
        rocksdb_options_set_merge_operator(options, crn_rocksdb_append_operator());
    if (state)
        rocksdb_options_set_compaction_filter_factory(options, crn_rocksdb_expiry_filter(state));

    CRN_TRY(apply_string(&options, STRING_OPTIONS, reterr));
    if (state && !atomic_load(&state->has_ttl))
        CRN_TRY(apply_string(&options, NO_SWEEP, reterr));
    if (extra_options && *extra_options) {
        CRN_TRY(check_names(extra_options, reterr));
        CRN_TRY(apply_string(&options, extra_options, reterr));
        if (rocksdb_options_get_compaction_style(options) == COMPACTION_STYLE_FIFO)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "RocksDB option 'compaction_style' cannot be FIFO: it drops state");
    }
    *ret = CRN_TAKE(options);
    return 0;
}
