/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_ROCKSDB_INTERNAL_H
#define CRN_STATE_ROCKSDB_INTERNAL_H

#include "backends/state/state.h"
#include "base/thread.h"
#include <rocksdb/c.h>

/* What the rocksdb*.c files share. Nothing else includes this but tests. */

#define CRN_ROCKSDB_FAMILY_PREFIX "state:"
#define CRN_ROCKSDB_CREDIT_MAX (UINT64_MAX / 2)
/* More than one entry can take in a memtable beside its key and value: the skip list's tallest
 * tower, lengths, sequence number and alignment. */
#define CRN_ROCKSDB_ENTRY_OVERHEAD 160u

/* One state: a column family. Its address is known to RocksDB's callbacks. */
struct crn_state {
    /* constant after creation */
    char *name;
    rocksdb_column_family_handle_t *family;
    bool is_list;
    const struct crn_rocksdb *db;
    int64_t (*now_ms)(void *context);
    void *now_context;
    /* atomic; writer: the task's thread; readers: compactions (rocksdb_expiry.c) */
    atomic_bool has_ttl;
    _Atomic uint64_t ttl_ms;
    _Atomic uint64_t expiry_changes;
    _Atomic uint64_t rewritten_sequence; /* the last write of a change; 0: there was none */
    /* Released by a compaction when it looks at the state for the last time, acquired before the
     * state is freed. RocksDB's own locks order the two as well; this says so to whoever checks us
     * without seeing those. */
    _Atomic uint64_t looks;
    /* writer's thread only */
    uint64_t credit; /* bytes that may be written before its memtable is looked at again */
};

struct crn_rocksdb {
    struct crn_state_db base;
    /* constant after open */
    char *directory;
    char *extra_options;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_column_family_handle_t *default_family;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *read_options;
    cairn_memory *memory;
    struct crn_log log;
    int64_t (*now_ms)(void *context);
    void *now_context;
    bool read_only;
    uint64_t memtable_bytes; /* RocksDB's write_buffer_size */
    uint64_t hold_limit;     /* an active memtable below it is not switched by RocksDB */
    uint64_t sample_bytes;   /* written between two looks at the whole database */

    /* guarded by mutex; the writer alone changes them, so it reads them without */
    struct crn_mutex mutex;
    struct crn_state **states;
    size_t state_count, state_capacity;
    struct crn_rocksdb_cleaner *cleaner; /* rocksdb_clip.c; NULL: nothing was ever foreign */

    /* the barrier; `held` is set by the writer and cleared by release() under the mutex */
    struct crn_cond released;
    atomic_bool held;
    atomic_bool hold_broken; /* a flush failed: holding back writes has no use any more */
    _Atomic uint64_t barrier_us;
    _Atomic uint64_t barrier_errors; /* background errors that had happened before it */
    _Atomic size_t barrier_states;
    _Atomic uint64_t barrier_sequence;
    _Atomic uint64_t flushed_sequence; /* of the last barrier whose memtables are in files */

    /* writer's thread only */
    uint64_t credit; /* bytes that may be written before the next look */
    unsigned int looks;
    uint64_t reported_bytes; /* of memtables, to the budget */
    uint64_t debt_us; /* backpressure owed per look, from the last look at the tree's shape */

    _Atomic uint64_t next_load_file; /* any thread */

    /* atomic; writer: the task's thread */
    _Atomic uint64_t hold_count, hold_us, backpressure_us, seen_memtable_bytes, seen_level0_files;
};

static inline struct crn_rocksdb *crn_rocksdb_of(struct crn_state_db *db)
{
    return (struct crn_rocksdb *)db;
}

/* rocksdb.c: raise what RocksDB said in `message`, which is freed. `state` may be NULL. */
int crn_rocksdb_fail(cairn_error **reterr, char *message, const char *directory,
                     const char *state_name, const char *what);
uint64_t crn_rocksdb_property(rocksdb_t *db, const char *name);
uint64_t crn_rocksdb_state_property(rocksdb_t *db, const struct crn_state *state, const char *name);

/* rocksdb_options.c: options for the database and a state's column family (state NULL: the default
 * one). The state must outlive the database. */
int crn_rocksdb_options_new(const struct crn_state_config *config, const char *extra_options,
                            struct crn_state *state, rocksdb_options_t **ret, cairn_error **reterr);
/* rocksdb_callbacks.c */
rocksdb_mergeoperator_t *crn_rocksdb_append_operator(void);
/* rocksdb_expiry.c */
int crn_rocksdb_set_expiry(struct crn_state_db *db, struct crn_state *state, bool has_ttl,
                           uint64_t ttl_ms, cairn_error **reterr);
rocksdb_compactionfilterfactory_t *crn_rocksdb_expiry_filter(struct crn_state *state);

/* rocksdb_memory.c; memory may be NULL in all of them. */
rocksdb_cache_t *crn_memory_cache(const cairn_memory *memory);
void crn_memory_join(cairn_memory *memory);
void crn_memory_leave(cairn_memory *memory, uint64_t reported_bytes);
/* This database's memtables went from one size to another. */
void crn_memory_report(cairn_memory *memory, uint64_t from_bytes, uint64_t to_bytes);
/* Bytes that all memtables are over their half of the budget, and one database's fair share. */
uint64_t crn_memory_excess(const cairn_memory *memory, uint64_t *ret_fair_share);
uint64_t crn_memory_memtable_budget(const cairn_memory *memory);

/* rocksdb_pace.c. Before each write of the writer's thread, for what it adds to a memtable. */
void crn_rocksdb_pace_slowly(struct crn_rocksdb *db, struct crn_state *state, uint64_t bytes);
static inline void crn_rocksdb_pace(struct crn_rocksdb *db, struct crn_state *state, uint64_t bytes)
{
    bytes += CRN_ROCKSDB_ENTRY_OVERHEAD;
    if (__builtin_expect(bytes > db->credit || bytes > state->credit, 0))
        crn_rocksdb_pace_slowly(db, state, bytes);
    db->credit -= bytes;
    state->credit -= bytes;
}
void crn_rocksdb_pace_begin_hold(struct crn_rocksdb *db);
void crn_rocksdb_pace_end_hold(struct crn_rocksdb *db);

/* rocksdb_access.c */
struct crn_state_iterator {
    struct crn_rocksdb *db;
    struct crn_state *state;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *rocks;
    struct cairn_buffer bound; /* RocksDB points into it */
    bool started;
};
int crn_rocksdb_get(struct crn_state_db *db, struct crn_state *state, const void *key,
                    size_t key_size, struct crn_pin *pin, cairn_error **reterr);
void crn_rocksdb_unpin(struct crn_pin *pin);
int crn_rocksdb_put(struct crn_state_db *db, struct crn_state *state, const void *key,
                    size_t key_size, const void *value, size_t value_size, cairn_error **reterr);
int crn_rocksdb_append(struct crn_state_db *db, struct crn_state *state, const void *key,
                       size_t key_size, const void *elements, size_t size, cairn_error **reterr);
int crn_rocksdb_remove(struct crn_state_db *db, struct crn_state *state, const void *key,
                       size_t key_size, cairn_error **reterr);
int crn_rocksdb_remove_prefix(struct crn_state_db *db, struct crn_state *state, const void *prefix,
                              size_t prefix_size, cairn_error **reterr);
int crn_rocksdb_iterate(struct crn_state_db *db, struct crn_state *state, const void *prefix,
                        size_t prefix_size, struct crn_state_iterator **ret, cairn_error **reterr);
int crn_rocksdb_next(struct crn_state_iterator *iterator, const uint8_t **ret_key,
                     size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                     cairn_error **reterr);
void crn_rocksdb_end(struct crn_state_iterator *iterator);

/* rocksdb_snapshot.c */
int crn_rocksdb_snapshot(struct crn_state_db *db, struct crn_state_snapshot **ret,
                         cairn_error **reterr);
void crn_rocksdb_release_snapshot(struct crn_state_snapshot *snapshot);
struct crn_state *crn_rocksdb_find_state(struct crn_state_db *db, const char *name);
int crn_rocksdb_scan(struct crn_state_snapshot *snapshot, struct crn_state *state,
                     const struct crn_state_range *range, struct crn_state_iterator **ret,
                     cairn_error **reterr);

/* rocksdb_tables.c: sorted entries into tables, one after the other. */
struct crn_rocksdb_table_file {
    char *path; /* taken from here: the file is kept */
    uint64_t number;
    struct cairn_buffer smallest, largest; /* keys */
};
void crn_rocksdb_table_file_done(struct crn_rocksdb_table_file *file);
/* Files are "<directory>/<prefix><number><suffix>". All of it outlives the tables. */
struct crn_rocksdb_tables_place {
    const char *directory, *prefix, *suffix;
    _Atomic uint64_t *next_number;
    struct crn_state *state;
};
struct crn_rocksdb_tables {
    /* constant */
    struct crn_rocksdb_tables_place place;
    rocksdb_options_t *options;
    rocksdb_envoptions_t *file_options;
    rocksdb_sstfilewriter_t *writer;
    uint64_t file_bytes; /* where a new file begins */

    int failed;   /* of an earlier call */
    bool is_open; /* the last file */
    uint64_t unchecked;
    struct cairn_buffer last_key;
    struct crn_rocksdb_table_file *files;
    size_t count, capacity;
};
int crn_rocksdb_tables_init(struct crn_rocksdb_tables *tables,
                            const struct crn_rocksdb_tables_place *place,
                            const struct crn_state_config *config, cairn_error **reterr);
int crn_rocksdb_tables_put(struct crn_rocksdb_tables *tables, const void *key, size_t key_size,
                           const void *value, size_t value_size, cairn_error **reterr);
/* All files are complete and synced. */
int crn_rocksdb_tables_finish(struct crn_rocksdb_tables *tables, cairn_error **reterr);
void crn_rocksdb_tables_done(struct crn_rocksdb_tables *tables);

/* rocksdb_load.c */
int crn_rocksdb_load_begin(struct crn_state_db *db, struct crn_state *state,
                           struct crn_state_load **ret, cairn_error **reterr);
int crn_rocksdb_load_put(struct crn_state_load *load, const void *key, size_t key_size,
                         const void *value, size_t value_size, cairn_error **reterr);
int crn_rocksdb_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr);

/* rocksdb_build.c: the backend's build() and build_end() */
int crn_rocksdb_build(const struct crn_state_config *config, struct crn_state_db **ret_db,
                      cairn_error **reterr);
int crn_rocksdb_build_end(struct crn_state_db *db, cairn_error **reterr);

/* rocksdb_clip.c */
int crn_rocksdb_clip(struct crn_state_db *db, const struct crn_state_range *keep,
                     cairn_error **reterr);
/* From the next release on, background compactions remove what is beyond the range from the files.
 */
int crn_rocksdb_clean_later(struct crn_rocksdb *db, const struct crn_state_range *keep,
                            cairn_error **reterr);
void crn_rocksdb_clean_now(struct crn_rocksdb *db);  /* if it is due; any thread */
void crn_rocksdb_clean_done(struct crn_rocksdb *db); /* ends it */

/* rocksdb_capture.c */
int crn_rocksdb_barrier(struct crn_state_db *db, struct crn_barrier *ret, cairn_error **reterr);
int crn_rocksdb_capture(struct crn_state_db *db, const struct crn_barrier *barrier,
                        const char *directory, const atomic_bool *cancelled,
                        struct crn_capture *ret, cairn_error **reterr);
/* Switches every active memtable that has entries, and waits for its flush if asked to. */
int crn_rocksdb_switch_memtables(struct crn_rocksdb *db, bool wait, cairn_error **reterr);

#endif
