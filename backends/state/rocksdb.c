/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RocksDB backend: opening, closing, states.
 *
 * One database per subtask, one column family "state:<name>" per registered state; RocksDB's own
 * "default" stays empty. The files of a restored database may be hard links into a store: RocksDB
 * never changes a table in place, replaces CURRENT by rename and starts a new MANIFEST when it
 * opens, so the store's files stay as they are.
 *
 * A restored column family that no state is known for was created between a barrier and its
 * capture. It is empty, and dropped; one that is not empty is damage.
 *
 * The other files of the backend: rocksdb_options.c and rocksdb_callbacks.c (configuration),
 * rocksdb_access.c (reads and writes), rocksdb_snapshot.c (scans), rocksdb_load.c and
 * rocksdb_build.c (bulk load, with rocksdb_tables.c), rocksdb_expiry.c, rocksdb_pace.c (when a
 * write waits), rocksdb_memory.c (budget), rocksdb_capture.c (barrier and capture),
 * rocksdb_assemble.c (one database of several's files), rocksdb_clip.c (what is beyond its key
 * groups), rocksdb_manifest*.c with rocksdb_records.c (RocksDB's MANIFEST).
 *
 * Nothing is promised about the directory after a crash: an open job empties it first.
 */
#include "backends/state/keys.h"
#include "backends/state/rocksdb_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#define SAMPLE_BYTES_MAX ((uint64_t)256 << 10)
#define FREE_BYTES_MIN ((uint64_t)1 << 20)
#define ARENA_BLOCKS_OF_MARGIN 2 /* the one in use, and RocksDB's own tolerance */

/* ---- errors and properties ---- */

static int code_of(const char *message)
{
    static const struct {
        const char *part;
        int code;
    } table[] = {{"No space left on device", CAIRN_ENOSPC},
                 {"Disk quota exceeded", CAIRN_ENOSPC},
                 {"Corruption", CAIRN_ECORRUPT},
                 {"Permission denied", CAIRN_EACCES},
                 {"While lock file", CAIRN_EBUSY},
                 {"Invalid argument", CAIRN_EINVAL},
                 {"Not implemented", CAIRN_EUNSUPPORTED}};
    for (size_t i = 0; i < CRN_COUNT(table); i++)
        if (strstr(message, table[i].part))
            return table[i].code;
    return CAIRN_EIO;
}

int crn_rocksdb_fail(cairn_error **reterr, char *message, const char *directory,
                     const char *state_name, const char *what)
{
    int code = code_of(message);
    if (state_name)
        code = crn_err_fail(reterr, code, directory, "%s of state '%s' in '%s': %s", what,
                            state_name, directory, message);
    else
        code = crn_err_fail(reterr, code, directory, "%s of database '%s': %s", what, directory,
                            message);
    rocksdb_free(message);
    return code;
}

uint64_t crn_rocksdb_property(rocksdb_t *db, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(db, name, &value) == 0 ? value : 0;
}

uint64_t crn_rocksdb_state_property(rocksdb_t *db, const struct crn_state *state, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int_cf(db, state->family, name, &value) == 0 ? value : 0;
}

/* Before what writes headers to RocksDB's info log; see rocksdb_options.c. */
static int check_free_space(const char *directory, cairn_error **reterr)
{
    struct statvfs disk;
    if (statvfs(directory, &disk) != 0)
        return crn_err_os(reterr, errno, directory, "state directory '%s'", directory);
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (free_bytes < FREE_BYTES_MIN)
        return crn_err_fail(reterr, CAIRN_ENOSPC, directory,
                            "'%s' has %" PRIu64 " bytes free, opening a state takes %" PRIu64,
                            directory, free_bytes, FREE_BYTES_MIN);
    return 0;
}

/* ---- states ---- */

static void state_free(struct crn_state *state)
{
    if (!state)
        return;
    if (state->family)
        rocksdb_column_family_handle_destroy(state->family);
    (void)atomic_load_explicit(&state->looks, memory_order_acquire);
    free(state->name);
    free(state);
}

static void state_cleanup(struct crn_state **state)
{
    state_free(*state);
}

/* `info` NULL: nothing is known of it. */
static int state_new(struct crn_rocksdb *db, const char *name, const cairn_state_info *info,
                     struct crn_state **ret, cairn_error **reterr)
{
    CRN_CLEANUP(state_cleanup) struct crn_state *state = calloc(1, sizeof(*state));
    if (!state || !(state->name = strdup(name)))
        return crn_err_nomem(reterr);
    state->is_list = info && info->kind == CAIRN_KIND_LIST;
    state->db = db;
    atomic_init(&state->has_ttl, info && info->ttl_ms > 0);
    state->now_ms = db->now_ms;
    state->now_context = db->now_context;
    *ret = CRN_TAKE(state);
    return 0;
}

static int add_state(struct crn_rocksdb *db, struct crn_state *state, cairn_error **reterr)
{
    int r = 0;
    crn_mutex_lock(&db->mutex);
    if (db->state_count == db->state_capacity) {
        size_t capacity = db->state_capacity ? 2 * db->state_capacity : 8;
        struct crn_state **grown = reallocarray(db->states, capacity, sizeof(*grown));
        if (grown) {
            db->states = grown;
            db->state_capacity = capacity;
        } else {
            r = crn_err_nomem(reterr);
        }
    }
    if (r == 0)
        db->states[db->state_count++] = state;
    crn_mutex_unlock(&db->mutex);
    return r;
}

static struct crn_state *find_state(const struct crn_rocksdb *db, const char *name)
{
    for (size_t i = 0; i < db->state_count; i++)
        if (strcmp(db->states[i]->name, name) == 0)
            return db->states[i];
    return NULL;
}

static int create_state(struct crn_rocksdb *db, const cairn_state_info *info,
                        struct crn_state **ret, cairn_error **reterr)
{
    CRN_CLEANUP(state_cleanup) struct crn_state *state = NULL;
    CRN_AUTO_FREE char *family_name = NULL;
    struct crn_state_config config = {.memory = db->memory, .memtable_bytes = db->memtable_bytes};
    rocksdb_options_t *options;
    char *message = NULL;

    CRN_TRY(check_free_space(db->directory, reterr));
    CRN_TRY(state_new(db, info->name, info, &state, reterr));
    CRN_TRY(crn_str_printf(&family_name, reterr, CRN_ROCKSDB_FAMILY_PREFIX "%s", info->name));
    CRN_TRY(crn_rocksdb_options_new(&config, db->extra_options, state, &options, reterr));
    state->family = rocksdb_create_column_family(db->db, options, family_name, &message);
    rocksdb_options_destroy(options);
    if (message) {
        state->family = NULL;
        return crn_rocksdb_fail(reterr, message, db->directory, info->name, "creation");
    }
    CRN_TRY(add_state(db, state, reterr));
    *ret = CRN_TAKE(state);
    return 0;
}

static int open_state(struct crn_state_db *base, const cairn_state_info *info,
                      struct crn_state **ret_state, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    struct crn_state *state = find_state(db, info->name);

    if (!state && db->read_only)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, db->directory, "no state '%s' in '%s'",
                            info->name, db->directory);
    if (!state)
        CRN_TRY(create_state(db, info, &state, reterr));
    if (state->is_list != (info->kind == CAIRN_KIND_LIST) ||
        atomic_load(&state->has_ttl) != (info->ttl_ms > 0))
        return crn_err_fail(reterr, CAIRN_EMISMATCH, db->directory,
                            "state '%s' in '%s' is of another kind, or differs in having expiry",
                            info->name, db->directory);
    atomic_store(&state->ttl_ms, info->ttl_ms);
    *ret_state = state;
    return 0;
}

/* ---- opening ---- */

/* The column families of a database that is being opened. */
struct families {
    char **names; /* as RocksDB allocated them; NULL for a new database */
    size_t count;
    const rocksdb_options_t **options;
    rocksdb_column_family_handle_t **handles;
    struct crn_state **states; /* NULL for "default" */
};

static void families_done(struct families *families)
{
    for (size_t i = 0; i < families->count; i++) {
        if (families->options && families->options[i])
            rocksdb_options_destroy((rocksdb_options_t *)(uintptr_t)families->options[i]);
        if (families->handles && families->handles[i])
            rocksdb_column_family_handle_destroy(families->handles[i]);
        if (families->states)
            state_free(families->states[i]);
    }
    free(families->options);
    free(families->handles);
    free(families->states);
    if (families->names)
        rocksdb_list_column_families_destroy(families->names, families->count);
}

static const cairn_state_info *known_state(const struct crn_state_config *config, const char *name)
{
    for (size_t i = 0; i < config->state_count; i++)
        if (strcmp(config->states[i].name, name) == 0)
            return &config->states[i];
    return NULL;
}

static int describe_family(struct crn_rocksdb *db, const struct crn_state_config *config,
                           struct families *families, size_t i, cairn_error **reterr)
{
    const char *family = families->names ? families->names[i] : "default";
    size_t prefix = strlen(CRN_ROCKSDB_FAMILY_PREFIX);
    rocksdb_options_t *options = NULL;

    if (strncmp(family, CRN_ROCKSDB_FAMILY_PREFIX, prefix) == 0)
        CRN_TRY(state_new(db, family + prefix, known_state(config, family + prefix),
                          &families->states[i], reterr));
    else if (strcmp(family, "default") != 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, config->directory,
                            "database '%s' has a column family '%s' that is not Cairn's",
                            config->directory, family);
    CRN_TRY(crn_rocksdb_options_new(config, config->extra_options, families->states[i], &options,
                                    reterr));
    families->options[i] = options;
    return 0;
}

static int list_families(struct crn_rocksdb *db, const struct crn_state_config *config,
                         struct families *families, cairn_error **reterr)
{
    char *message = NULL;

    families->count = 1;
    if (config->restored) {
        families->names = rocksdb_list_column_families(db->options, config->directory,
                                                       &families->count, &message);
        if (message) {
            families->count = 0; /* the array is there nevertheless */
            return crn_rocksdb_fail(reterr, message, config->directory, NULL, "open");
        }
    }
    families->options = calloc(families->count + 1, sizeof(*families->options));
    families->handles = calloc(families->count + 1, sizeof(*families->handles));
    families->states = calloc(families->count + 1, sizeof(*families->states));
    if (!families->options || !families->handles || !families->states)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < families->count; i++)
        CRN_TRY(describe_family(db, config, families, i, reterr));
    return 0;
}

static int open_families(struct crn_rocksdb *db, const struct crn_state_config *config,
                         struct families *families, cairn_error **reterr)
{
    static const char *const only_default[] = {"default"};
    const char *const *names =
        families->names ? (const char *const *)families->names : only_default;
    char *message = NULL;

    if (config->read_only)
        db->db = rocksdb_open_for_read_only_column_families(
            db->options, config->directory, (int)families->count, names, families->options,
            families->handles, 0, &message);
    else
        db->db =
            rocksdb_open_column_families(db->options, config->directory, (int)families->count,
                                         names, families->options, families->handles, &message);
    if (!message)
        return 0;
    db->db = NULL;
    memset(families->handles, 0, families->count * sizeof(*families->handles));
    return crn_rocksdb_fail(reterr, message, config->directory, NULL, "open");
}

/* A column family without a known state: see the top. */
static int settle_unknown(struct crn_rocksdb *db, struct crn_state *state, cairn_error **reterr)
{
    char *message = NULL;
    if (crn_rocksdb_state_property(db->db, state, "rocksdb.total-sst-files-size") > 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, db->directory,
                            "database '%s' holds a state '%s' that its checkpoint does not know",
                            db->directory, state->name);
    if (!db->read_only)
        rocksdb_drop_column_family(db->db, state->family, &message);
    return message ? crn_rocksdb_fail(reterr, message, db->directory, state->name, "removal") : 0;
}

/* Hands the opened handles over to the database. */
static int adopt_families(struct crn_rocksdb *db, const struct crn_state_config *config,
                          struct families *families, cairn_error **reterr)
{
    for (size_t i = 0; i < families->count; i++) {
        struct crn_state *state = families->states[i];
        if (!state) {
            db->default_family = CRN_TAKE(families->handles[i]);
            continue;
        }
        state->family = CRN_TAKE(families->handles[i]);
        if (!known_state(config, state->name)) {
            CRN_TRY(settle_unknown(db, state, reterr));
            continue; /* families_done() frees it */
        }
        CRN_TRY(add_state(db, state, reterr));
        families->states[i] = NULL;
    }
    /* A state of the operator that only other subtasks registered is not here: it is created when
     * it is opened. */
    return 0;
}

static int open_database(struct crn_rocksdb *db, const struct crn_state_config *config,
                         cairn_error **reterr)
{
    CRN_CLEANUP(families_done) struct families families = {0};

    if (!config->read_only)
        CRN_TRY(check_free_space(config->directory, reterr));
    CRN_TRY(crn_rocksdb_options_new(config, config->extra_options, NULL, &db->options, reterr));
    CRN_TRY(list_families(db, config, &families, reterr));
    CRN_TRY(open_families(db, config, &families, reterr));
    int r = adopt_families(db, config, &families, reterr);
    if (r < 0) { /* compactions may be using the expiry filters of what is freed on return */
        rocksdb_cancel_all_background_work(db->db, 1);
        return r;
    }

    db->memtable_bytes = rocksdb_options_get_write_buffer_size(db->options);
    db->hold_limit = db->memtable_bytes -
                     ARENA_BLOCKS_OF_MARGIN * rocksdb_options_get_arena_block_size(db->options);
    db->sample_bytes =
        db->memtable_bytes / 8 < SAMPLE_BYTES_MAX ? db->memtable_bytes / 8 : SAMPLE_BYTES_MAX;
    db->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(db->write_options, 1);
    db->read_options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(db->read_options, 1);
    return 0;
}

/* What an earlier rescale left in the files, nobody may have removed yet. */
static int keep_clean(struct crn_rocksdb *db, const struct crn_state_config *config,
                      cairn_error **reterr)
{
    uint8_t first[CRN_KEY_GROUP_SIZE_MAX], end[CRN_KEY_GROUP_SIZE_MAX];
    if (!config->restored || config->read_only || config->max_parallelism == 0)
        return 0;
    struct crn_state_range keep = {.first = first, .end = end};
    keep.first_size = crn_key_group_prefix(config->key_group_first, config->max_parallelism, first);
    keep.end_size = crn_key_group_prefix(config->key_group_last + 1, config->max_parallelism, end);
    return crn_rocksdb_clean_later(db, &keep, reterr);
}

static void close_database(struct crn_state_db *base)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    if (!db)
        return;
    crn_rocksdb_clean_done(db);
    if (db->db)
        rocksdb_cancel_all_background_work(db->db, 1);
    for (size_t i = 0; i < db->state_count; i++)
        state_free(db->states[i]);
    if (db->default_family)
        rocksdb_column_family_handle_destroy(db->default_family);
    if (db->db)
        rocksdb_close(db->db);
    if (db->write_options)
        rocksdb_writeoptions_destroy(db->write_options);
    if (db->read_options)
        rocksdb_readoptions_destroy(db->read_options);
    if (db->options)
        rocksdb_options_destroy(db->options);
    if (db->memory) {
        crn_memory_leave(db->memory, db->reported_bytes);
        cairn_memory_release(db->memory);
    }
    crn_cond_done(&db->released);
    crn_mutex_done(&db->mutex);
    free(db->states);
    free(db->directory);
    free(db->extra_options);
    free(db);
}

static void stats(struct crn_state_db *base, struct crn_state_stats *ret)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    *ret = (struct crn_state_stats){
        .hold_count = atomic_load(&db->hold_count),
        .hold_us = atomic_load(&db->hold_us),
        .backpressure_us = atomic_load(&db->backpressure_us),
        .memtable_bytes = atomic_load(&db->seen_memtable_bytes),
        .level0_files = atomic_load(&db->seen_level0_files),
    };
}

static void release(struct crn_state_db *base)
{
    crn_rocksdb_pace_end_hold(crn_rocksdb_of(base));
    crn_rocksdb_clean_now(crn_rocksdb_of(base));
}

static const struct crn_state_ops rocksdb_ops = {
    .name = "rocksdb",
    .close = close_database,
    .open_state = open_state,
    .get = crn_rocksdb_get,
    .unpin = crn_rocksdb_unpin,
    .put = crn_rocksdb_put,
    .append = crn_rocksdb_append,
    .remove = crn_rocksdb_remove,
    .remove_prefix = crn_rocksdb_remove_prefix,
    .iterate = crn_rocksdb_iterate,
    .next = crn_rocksdb_next,
    .end = crn_rocksdb_end,
    .barrier = crn_rocksdb_barrier,
    .capture = crn_rocksdb_capture,
    .release = release,
    .stats = stats,
    .snapshot = crn_rocksdb_snapshot,
    .release_snapshot = crn_rocksdb_release_snapshot,
    .find_state = crn_rocksdb_find_state,
    .scan = crn_rocksdb_scan,
    .load_begin = crn_rocksdb_load_begin,
    .load_put = crn_rocksdb_load_put,
    .load_end = crn_rocksdb_load_end,
    .clip = crn_rocksdb_clip,
    .set_expiry = crn_rocksdb_set_expiry,
};

static int64_t system_now_ms(void *context)
{
    (void)context;
    return crn_wall_ms();
}

int crn_rocksdb_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                     cairn_error **reterr)
{
    struct crn_rocksdb *db = calloc(1, sizeof(*db));
    if (!db)
        return crn_err_nomem(reterr);
    db->base.ops = &rocksdb_ops;
    crn_mutex_init(&db->mutex, CRN_RANK_STATE);
    crn_cond_init(&db->released);
    db->log = config->log;
    db->now_ms = config->now_ms ? config->now_ms : system_now_ms;
    db->now_context = config->now_context;
    db->read_only = config->read_only;
    if (config->memory) {
        crn_memory_retain(config->memory);
        crn_memory_join(config->memory);
        db->memory = config->memory;
    }
    db->directory = strdup(config->directory);
    db->extra_options = config->extra_options ? strdup(config->extra_options) : NULL;
    int r = db->directory && (db->extra_options || !config->extra_options)
                ? open_database(db, config, reterr)
                : crn_err_nomem(reterr);
    if (r == 0)
        r = keep_clean(db, config, reterr);
    if (r < 0) {
        close_database(&db->base);
        return r;
    }
    crn_log_write(&db->log, CAIRN_LOG_DEBUG, "rocksdb",
                  "opened '%s': %zu states, sequence %" PRIu64, db->directory, db->state_count,
                  (uint64_t)rocksdb_get_latest_sequence_number(db->db));
    *ret_db = &db->base;
    return 0;
}

const struct crn_state_backend crn_rocksdb_backend = {.name = "rocksdb",
                                                      .file_kind = "rocksdb",
                                                      .open = crn_rocksdb_open,
                                                      .assemble = crn_rocksdb_assemble,
                                                      .build = crn_rocksdb_build,
                                                      .build_end = crn_rocksdb_build_end};
