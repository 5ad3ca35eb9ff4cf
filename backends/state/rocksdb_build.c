/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new database out of loaded entries: their tables, written under their final names, and a
 * MANIFEST that lists them. No RocksDB is open meanwhile.
 *
 * WHY NOT INGESTION. RocksDB reads each table that it ingests once more, for a crc32c of the file
 * that it computes by tables: a third of a restore's time. It cannot be told what is known already.
 * A MANIFEST can: the sum is taken here, with the processor's instructions, from what the disk
 * gives back. So the next checkpoint's capture compares it as it does with all tables (P8).
 *
 * WHY IT IS RIGHT (P2). The result is what ingestion into an empty database gives, edit for edit.
 * All entries have sequence number 0, which every later write is above. All tables of a state
 * stand on the bottommost level, so they must not overlap: a table's entries ascend, which its
 * writer insists on, and build_end() compares the bounds of neighbours. RocksDB checks both levels
 * and bounds again when it opens the database. Tables' unique ids are left out: RocksDB then takes
 * a file for what its number says, and the crc32c is the stricter proof anyway.
 *
 * Locks: `mutex` for the list of tables. Loads run in threads of their own, states are opened by
 * one. A failure or a crash leaves files without CURRENT, which is no database; the caller or the
 * next open removes the directory.
 */
#include "backends/state/rocksdb_internal.h"
#include "backends/state/rocksdb_manifest.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_NUMBER 1u
#define TAIL_VALUE 1u /* sequence number 0, type "value" */
#define READ_BYTES ((size_t)1 << 20)
#define READ_ALIGNMENT 4096u

struct build_state {
    struct crn_state state; /* first: the state's address is this one's */
    char *family;
};

struct build_table {
    const struct build_state *state;
    struct crn_rocksdb_table_file file;
    uint64_t size;
    uint32_t crc32c;
};

struct build {
    struct crn_state_db base;
    /* constant */
    struct crn_state_config config; /* what tables' options need of it, in memory of its own */
    char *directory, *extra_options;
    _Atomic uint64_t next_number;
    /* the opener's thread only */
    struct build_state **states;
    size_t state_count, state_capacity;

    struct crn_mutex mutex;
    struct build_table *tables;
    size_t table_count, table_capacity;
};

struct crn_state_load {
    struct build *build;
    struct build_state *state;
    struct crn_rocksdb_tables tables;
};

static struct build *build_of(struct crn_state_db *db)
{
    return (struct build *)db;
}

/* ---- states ---- */

static void state_free(struct build_state *state)
{
    if (!state)
        return;
    free(state->state.name);
    free(state->family);
    free(state);
}

static void state_cleanup(struct build_state **state)
{
    state_free(*state);
}

static int state_new(struct build *build, const cairn_state_info *info, struct build_state **ret,
                     cairn_error **reterr)
{
    CRN_CLEANUP(state_cleanup) struct build_state *state = calloc(1, sizeof(*state));
    if (!state || !(state->state.name = strdup(info->name)))
        return crn_err_nomem(reterr);
    CRN_TRY(crn_str_printf(&state->family, reterr, CRN_ROCKSDB_FAMILY_PREFIX "%s", info->name));
    state->state.is_list = info->kind == CAIRN_KIND_LIST;
    atomic_init(&state->state.has_ttl, info->ttl_ms > 0);
    if (build->state_count == build->state_capacity) {
        size_t capacity = build->state_capacity ? 2 * build->state_capacity : 8;
        struct build_state **grown = reallocarray(build->states, capacity, sizeof(*grown));
        if (!grown)
            return crn_err_nomem(reterr);
        build->states = grown;
        build->state_capacity = capacity;
    }
    *ret = build->states[build->state_count++] = CRN_TAKE(state);
    return 0;
}

static int open_state(struct crn_state_db *base, const cairn_state_info *info,
                      struct crn_state **ret_state, cairn_error **reterr)
{
    struct build *build = build_of(base);
    struct build_state *state = NULL;
    for (size_t i = 0; i < build->state_count && !state; i++)
        if (strcmp(build->states[i]->state.name, info->name) == 0)
            state = build->states[i];
    if (!state)
        CRN_TRY(state_new(build, info, &state, reterr));
    *ret_state = &state->state;
    return 0;
}

/* ---- loads ---- */

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

static int load_begin(struct crn_state_db *base, struct crn_state *state,
                      struct crn_state_load **ret, cairn_error **reterr)
{
    struct build *build = build_of(base);
    CRN_CLEANUP(load_cleanup) struct crn_state_load *load = calloc(1, sizeof(*load));
    if (!load)
        return crn_err_nomem(reterr);
    load->build = build;
    load->state = (struct build_state *)state;
    const struct crn_rocksdb_tables_place place = {
        .directory = build->directory,
        .prefix = "",
        .suffix = ".sst",
        .next_number = &build->next_number,
        .state = state,
    };
    CRN_TRY(crn_rocksdb_tables_init(&load->tables, &place, &build->config, reterr));
    *ret = CRN_TAKE(load);
    return 0;
}

static int load_put(struct crn_state_load *load, const void *key, size_t key_size,
                    const void *value, size_t value_size, cairn_error **reterr)
{
    return crn_rocksdb_tables_put(&load->tables, key, key_size, value, value_size, reterr);
}

/* Of all of a file. 0, or an errno. */
static int sum_bytes(int fd, uint8_t *buffer, struct build_table *table)
{
    struct stat st;
    uint64_t done = 0;
    if (fstat(fd, &st) != 0)
        return errno;
    table->size = (uint64_t)st.st_size;
    table->crc32c = 0;
    while (done < table->size) { /* at the end a direct read would be at no multiple of a block */
        ssize_t n = pread(fd, buffer, READ_BYTES, (off_t)done);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n == 0)
            return EIO; /* nobody else writes here */
        if (n > 0) {
            table->crc32c = crn_crc32c(table->crc32c, buffer, (size_t)n);
            done += (uint64_t)n;
        }
    }
    return 0;
}

/* 0, or an errno. */
static int sum_file(const char *path, int flags, uint8_t *buffer, struct build_table *table)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    return fd >= 0 ? sum_bytes(fd, buffer, table) : errno;
}

/* RocksDB has dropped the file from the page cache when it had synced it. Reading past the cache
 * leaves it so, and costs a fraction of the processor's time; not every file system can. */
static int sum_table(struct build_table *table, cairn_error **reterr)
{
    const char *path = table->file.path;
    CRN_AUTO_FREE uint8_t *buffer = aligned_alloc(READ_ALIGNMENT, READ_BYTES);
    if (!buffer)
        return crn_err_nomem(reterr);
    int os_errno = sum_file(path, O_DIRECT, buffer, table);
    if (os_errno == EINVAL)
        os_errno = sum_file(path, 0, buffer, table);
    return os_errno == 0 ? 0 : crn_err_os(reterr, os_errno, path, "cannot read '%s'", path);
}

static int add_table(struct build *build, const struct build_table *table, cairn_error **reterr)
{
    int r = 0;
    crn_mutex_lock(&build->mutex);
    if (build->table_count == build->table_capacity) {
        size_t capacity = build->table_capacity ? 2 * build->table_capacity : 16;
        struct build_table *grown = reallocarray(build->tables, capacity, sizeof(*grown));
        if (grown) {
            build->tables = grown;
            build->table_capacity = capacity;
        } else {
            r = crn_err_nomem(reterr);
        }
    }
    if (r == 0)
        build->tables[build->table_count++] = *table;
    crn_mutex_unlock(&build->mutex);
    return r;
}

static int load_end(struct crn_state_load *load, bool keep, cairn_error **reterr)
{
    CRN_CLEANUP(load_cleanup) struct crn_state_load *owned = load;

    if (!keep)
        return 0;
    CRN_TRY(crn_rocksdb_tables_finish(&owned->tables, reterr));
    for (size_t i = 0; i < owned->tables.count; i++) {
        struct crn_rocksdb_table_file *file = &owned->tables.files[i];
        struct build_table table = {.state = owned->state, .file = *file};
        CRN_TRY(sum_table(&table, reterr));
        CRN_TRY(add_table(owned->build, &table, reterr));
        *file = (struct crn_rocksdb_table_file){0}; /* the build's now */
    }
    return 0;
}

/* ---- the database ---- */

static int compare_keys(const struct cairn_buffer *a, const struct cairn_buffer *b)
{
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_tables(const void *left, const void *right)
{
    const struct build_table *a = left, *b = right;
    if (a->state != b->state)
        return a->state->family < b->state->family ? -1 : 1; /* any order will do */
    return compare_keys(&a->file.smallest, &b->file.smallest);
}

static int check_order(struct build *build, cairn_error **reterr)
{
    if (build->table_count > 1)
        qsort(build->tables, build->table_count, sizeof(*build->tables), compare_tables);
    for (size_t i = 1; i < build->table_count; i++) {
        const struct build_table *last = &build->tables[i - 1], *table = &build->tables[i];
        if (last->state == table->state &&
            compare_keys(&last->file.largest, &table->file.smallest) >= 0)
            return crn_err_fail(reterr, CAIRN_EINVAL, build->directory,
                                "bulk loads of state '%s' in '%s' overlap",
                                table->state->state.name, build->directory);
    }
    return 0;
}

static int bottommost_level(const struct build *build, uint32_t *ret, cairn_error **reterr)
{
    rocksdb_options_t *options = NULL;
    CRN_TRY(crn_rocksdb_options_new(&build->config, build->extra_options, NULL, &options, reterr));
    int levels = rocksdb_options_get_num_levels(options);
    rocksdb_options_destroy(options);
    *ret = levels > 1 ? (uint32_t)levels - 1 : 0;
    return 0;
}

static void describe_table(const struct build_table *table, uint32_t level, uint64_t now_s,
                           struct crn_rocksdb_table *ret)
{
    *ret = (struct crn_rocksdb_table){
        .column_family = table->state->family,
        .number = table->file.number,
        .size = table->size,
        .level = level,
        .smallest = table->file.smallest.data,
        .largest = table->file.largest.data,
        .smallest_size = table->file.smallest.size,
        .largest_size = table->file.largest.size,
        .smallest_tail = TAIL_VALUE,
        .largest_tail = TAIL_VALUE,
        .has_crc32c = true,
        .crc32c = table->crc32c,
        .oldest_time = now_s,
        .creation_time = now_s,
    };
}

static int write_manifest(struct build *build, cairn_error **reterr)
{
    CRN_AUTO_ROCKSDB_MANIFEST struct crn_rocksdb_manifest manifest = {
        .tables = calloc(build->table_count + 1, sizeof(*manifest.tables)),
        .column_families = calloc(build->state_count + 1, sizeof(*manifest.column_families)),
        .next_file_number = atomic_load(&build->next_number),
    };
    uint64_t now_s = (uint64_t)crn_wall_ms() / 1000;
    uint32_t level = 0;

    if (!manifest.tables || !manifest.column_families)
        return crn_err_nomem(reterr);
    CRN_TRY(bottommost_level(build, &level, reterr));
    manifest.column_families[manifest.column_family_count++] = "default";
    for (size_t i = 0; i < build->state_count; i++)
        manifest.column_families[manifest.column_family_count++] = build->states[i]->family;
    for (size_t i = 0; i < build->table_count; i++)
        describe_table(&build->tables[i], level, now_s, &manifest.tables[manifest.table_count++]);
    return crn_rocksdb_manifest_create(build->directory, &manifest, MANIFEST_NUMBER, reterr);
}

static void close_build(struct crn_state_db *base)
{
    struct build *build = build_of(base);
    if (!build)
        return;
    for (size_t i = 0; i < build->table_count; i++)
        crn_rocksdb_table_file_done(&build->tables[i].file);
    for (size_t i = 0; i < build->state_count; i++)
        state_free(build->states[i]);
    free(build->tables);
    free(build->states);
    if (build->config.memory)
        cairn_memory_release(build->config.memory);
    crn_mutex_done(&build->mutex);
    free(build->directory);
    free(build->extra_options);
    free(build);
}

int crn_rocksdb_build_end(struct crn_state_db *base, cairn_error **reterr)
{
    struct build *build = build_of(base);
    int r = check_order(build, reterr);
    if (r == 0)
        r = write_manifest(build, reterr);
    close_build(base);
    return r;
}

static const struct crn_state_ops build_ops = {
    .name = "rocksdb",
    .close = close_build,
    .open_state = open_state,
    .load_begin = load_begin,
    .load_put = load_put,
    .load_end = load_end,
};

int crn_rocksdb_build(const struct crn_state_config *config, struct crn_state_db **ret_db,
                      cairn_error **reterr)
{
    struct build *build = calloc(1, sizeof(*build));
    if (!build)
        return crn_err_nomem(reterr);
    build->base.ops = &build_ops;
    crn_mutex_init(&build->mutex, CRN_RANK_STATE);
    atomic_init(&build->next_number, MANIFEST_NUMBER + 1);
    build->directory = strdup(config->directory);
    build->extra_options = config->extra_options ? strdup(config->extra_options) : NULL;
    if (config->memory)
        crn_memory_retain(config->memory);
    build->config = (struct crn_state_config){.memory = config->memory,
                                              .memtable_bytes = config->memtable_bytes,
                                              .extra_options = build->extra_options};
    if (!build->directory || (config->extra_options && !build->extra_options)) {
        close_build(&build->base);
        return crn_err_nomem(reterr);
    }
    *ret_db = &build->base;
    return 0;
}
