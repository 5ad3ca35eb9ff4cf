/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_STATE_H
#define CRN_STATE_STATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/log.h"
#include "cairn/inspect.h"
#include <stdatomic.h>
#include <stdbool.h>

/*
 * What Cairn needs from a database that holds one subtask's keyed state. A state is one ordered map
 * from composite keys (keys.h) to encoded values (values.h). A backend knows neither manifests nor
 * stores.
 *
 * Threads: every method below "writer" is called by the task's thread only; capture() and stats()
 * run in background threads at the same time. One capture at a time.
 *
 * The barrier, in three steps (promises P2, P3):
 *   barrier()  writer's thread. Everything written so far belongs to the checkpoint, everything
 * after does not. Returns in the time of a memtable switch. capture()  background. Waits until what
 * the barrier cut off is in files, gives links to them, and proves that nothing later is in them. A
 * proof that fails is CAIRN_EABORTED. release()  always called once after each barrier(), when its
 * capture is over (or will not be tried). Between barrier and release the backend must keep later
 * writes out of new files; a write that could not be kept out waits (a "hold").
 *
 * A snapshot is the other way to a state at one moment: entries instead of files, and it holds
 * nobody back. Canonical files (canonical.h) are written from it.
 *
 * Files or entries in: open() over restored files; assemble() before it makes one database's files
 * of those of several, build() of sorted entries; load_*() brings such entries into an open one.
 */

struct crn_state_db;

struct crn_state_config {
    const char *directory; /* exists; empty, or with the restored files in place */
    bool restored;
    bool read_only;            /* only get and iterate; creates no files in the directory */
    uint64_t memtable_bytes;   /* 0: 64 MiB */
    const char *extra_options; /* user's RocksDB options, or NULL */
    cairn_memory *memory; /* retained by the database; NULL: small private caches (read_only) */
    struct crn_log log;
    int64_t (*now_ms)(void *context);
    void *now_context;
    const cairn_state_info *states; /* keyed states that the restored files hold */
    size_t state_count;
    uint32_t max_parallelism, key_group_first,
        key_group_last; /* inclusive range of all keys in it */
};

/* One keyed state of a database: opaque, lives as long as the database. */
struct crn_state;

struct crn_barrier {
    uint64_t sequence; /* last one that belongs to the checkpoint */
};

/* One captured file; strings and keys owned by the capture. */
struct crn_captured_file {
    cairn_file_info info; /* role, name, size, crc32c if known, and for tables: state (name),
                             number, level, sequences, smallest, largest */
};

struct crn_capture {
    struct crn_captured_file *files; /* in `directory`, hard links or private copies: immutable */
    size_t count;
    uint64_t flush_us;
    uint64_t capture_us;
};

struct crn_state_stats {
    uint64_t hold_count, hold_us, backpressure_us, memtable_bytes, level0_files;
};

/* A value that stays in place until the next get through the same pin, or unpin(). */
struct crn_pin {
    const uint8_t *data;
    size_t size;
    void *handle; /* the backend's */
};

struct crn_state_iterator;
struct crn_state_snapshot;
struct crn_state_load;

/* Keys from `first` on that are below `end`; empty: no bound. */
struct crn_state_range {
    const uint8_t *first, *end;
    size_t first_size, end_size;
};

struct crn_state_ops {
    const char *name; /* "rocksdb": stored in manifests */
    void (*close)(struct crn_state_db *db);
    /* --- writer --- */
    /* The state of that name; created if it is new. desc->ttl_ms may differ from the restored one
     * and takes effect at once. Kind and types were checked by the caller. */
    int (*open_state)(struct crn_state_db *db, const cairn_state_info *desc,
                      struct crn_state **ret_state, cairn_error **reterr);
    int (*get)(struct crn_state_db *db, struct crn_state *state, const void *key, size_t key_size,
               struct crn_pin *pin, cairn_error **reterr); /* 1 found, 0 absent */
    void (*unpin)(struct crn_pin *pin);
    int (*put)(struct crn_state_db *db, struct crn_state *state, const void *key, size_t key_size,
               const void *value, size_t value_size, cairn_error **reterr);
    /* Append encoded elements to a list's value without reading it. */
    int (*append)(struct crn_state_db *db, struct crn_state *state, const void *key,
                  size_t key_size, const void *elements, size_t size, cairn_error **reterr);
    int (*remove)(struct crn_state_db *db, struct crn_state *state, const void *key,
                  size_t key_size, cairn_error **reterr);
    /* Remove every key that starts with prefix (not empty). */
    int (*remove_prefix)(struct crn_state_db *db, struct crn_state *state, const void *prefix,
                         size_t prefix_size, cairn_error **reterr);
    /* Keys that start with prefix (empty: all), ascending, as of this call. */
    int (*iterate)(struct crn_state_db *db, struct crn_state *state, const void *prefix,
                   size_t prefix_size, struct crn_state_iterator **ret, cairn_error **reterr);
    /* 1 and pointers valid until the next call; 0 at the end. */
    int (*next)(struct crn_state_iterator *iterator, const uint8_t **ret_key, size_t *ret_key_size,
                const uint8_t **ret_value, size_t *ret_value_size, cairn_error **reterr);
    void (*end)(struct crn_state_iterator *iterator);
    int (*barrier)(struct crn_state_db *db, struct crn_barrier *ret, cairn_error **reterr);
    /* --- any thread --- */
    /* directory: must not exist; the caller removes it afterwards, on failure too. Ends early with
     * CAIRN_ECANCELED when *cancelled becomes true. */
    int (*capture)(struct crn_state_db *db, const struct crn_barrier *barrier,
                   const char *directory, const atomic_bool *cancelled, struct crn_capture *ret,
                   cairn_error **reterr);
    void (*release)(struct crn_state_db *db);
    void (*stats)(struct crn_state_db *db, struct crn_state_stats *ret);
    /* --- snapshots. snapshot(): writer, O(1). The rest: any thread; next() and end() as above. All
     * are released before the database is closed. --- */
    int (*snapshot)(struct crn_state_db *db, struct crn_state_snapshot **ret, cairn_error **reterr);
    void (*release_snapshot)(struct crn_state_snapshot *snapshot);
    /* The state of that name as open_state() gave it, or as it was restored; NULL: there is none.
     * Any thread. */
    struct crn_state *(*find_state)(struct crn_state_db *db, const char *name);
    /* Keys of a range, ascending, as of the snapshot; reads ahead, and leaves caches alone. */
    int (*scan)(struct crn_state_snapshot *snapshot, struct crn_state *state,
                const struct crn_state_range *range, struct crn_state_iterator **ret,
                cairn_error **reterr);
    /* --- bulk load: entries in ascending order of keys, all of which the state does not have yet.
     * One thread per load, several loads of disjoint ranges (also of one state) at a time, while
     * nobody reads or writes that range. They are visible, all at once, when load_end(keep) returns
     * 0. It fails, and changes nothing, where the entries could not be kept out of a snapshot that
     * is held or a checkpoint that is being captured. --- */
    int (*load_begin)(struct crn_state_db *db, struct crn_state *state, struct crn_state_load **ret,
                      cairn_error **reterr);
    int (*load_put)(struct crn_state_load *load, const void *key, size_t key_size,
                    const void *value, size_t value_size, cairn_error **reterr);
    /* Frees the load in any case. keep false: forget it. */
    int (*load_end)(struct crn_state_load *load, bool keep, cairn_error **reterr);
    /* Writer: remove every key of every state that is not in [first, end): what a database restored
     * from files has beyond its key groups. Space is given back in the background. */
    int (*clip)(struct crn_state_db *db, const struct crn_state_range *keep, cairn_error **reterr);
    /* Writer: from now on values of the state begin with a time stamp (has_ttl) or do not, and
     * nothing is dropped for its age while ttl_ms is 0. The caller rewrites the values: has_ttl and
     * 0 first. */
    int (*set_expiry)(struct crn_state_db *db, struct crn_state *state, bool has_ttl,
                      uint64_t ttl_ms, cairn_error **reterr);
};

/* A backend's own struct begins with this one. */
struct crn_state_db {
    const struct crn_state_ops *ops;
};

void crn_capture_done(struct crn_capture *capture);

/* ---- backends ---- */

/* One stored subtask's files, in a directory of their own under their stored names; never changed.
 */
struct crn_assembly_source {
    const char *directory;
    const cairn_file_info *const *tables; /* as the manifest has them */
    size_t table_count;
    uint32_t key_group_first,
        key_group_last; /* of the stored subtask: it holds no other live entry */
    bool
        must_load; /* out: its files cannot be taken as they are: scan it, and load() its entries */
};
/* What became of a table that was taken: which database identity it has now. */
struct crn_assembled_table {
    size_t source, table; /* indexes */
    uint64_t number;
    uint32_t level;
    uint64_t sequence_first, sequence_last;
};
struct crn_assembly {
    const char
        *directory; /* empty; gets the database's files: hard links, and a few new small ones */
    uint32_t max_parallelism, key_group_first,
        key_group_last;                  /* that the new database is to hold */
    struct crn_assembly_source *sources; /* disjoint key groups, each of which meets the range */
    size_t source_count;
    struct crn_assembled_table
        *tables; /* out, malloc'ed; tables wholly outside the range are left out */
    size_t table_count;
    bool needs_clip; /* out: tables hold keys outside the range; clip() after opening */
};

struct crn_state_backend {
    const char *name; /* "rocksdb", "heap": in options and messages */
    const char
        *file_kind; /* in manifests: "rocksdb", or "canonical" if its captures are such files */
    int (*open)(const struct crn_state_config *config, struct crn_state_db **ret_db,
                cairn_error **reterr);
    /* NULL: files of this backend are not put together; entries are loaded. On failure the caller
     * removes the directory. With every source must_load, the directory is left empty. */
    int (*assemble)(struct crn_assembly *assembly, cairn_error **reterr);
    /* NULL: entries are loaded into an open database. Begins a database in an empty directory that
     * is made of nothing but loaded entries: of its methods only open_state(), the load_*() and
     * close() are there; close() gives up. */
    int (*build)(const struct crn_state_config *config, struct crn_state_db **ret_db,
                 cairn_error **reterr);
    /* All loads have ended. The directory holds the database's files: open() it as a restored one.
     * Frees `db` in any case; on failure the caller removes the directory. CAIRN_EINVAL: two loads
     * of a state overlap. */
    int (*build_end)(struct crn_state_db *db, cairn_error **reterr);
};
extern const struct crn_state_backend crn_rocksdb_backend;
extern const struct crn_state_backend crn_heap_backend;
#define CRN_FILE_KIND_CANONICAL "canonical"

/* rocksdb.c */
int crn_rocksdb_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                     cairn_error **reterr);
/* rocksdb_assemble.c */
int crn_rocksdb_assemble(struct crn_assembly *assembly, cairn_error **reterr);
/* heap.c */
int crn_heap_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                  cairn_error **reterr);
/* rocksdb_memory.c */
void crn_memory_retain(cairn_memory *memory);

#endif
