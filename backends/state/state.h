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
 * Threads: every method below "writer" is called by the task's thread only; capture() and stats() run
 * in background threads at the same time. One capture at a time.
 *
 * The barrier, in three steps (promises P2, P3):
 *   barrier()  writer's thread. Everything written so far belongs to the checkpoint, everything after
 *              does not. Returns in the time of a memtable switch.
 *   capture()  background. Waits until what the barrier cut off is in files, gives links to them, and
 *              proves that nothing later is in them. A proof that fails is CAIRN_EABORTED.
 *   release()  always called once after each barrier(), when its capture is over (or will not be
 *              tried). Between barrier and release the backend must keep later writes out of new files;
 *              a write that could not be kept out waits (a "hold").
 */

struct crn_state_db;

struct crn_state_config {
    const char *directory; /* exists; empty, or with the restored files in place */
    bool restored;
    bool read_only; /* only get and iterate; creates no files in the directory */
    uint64_t memtable_bytes;   /* 0: 64 MiB */
    const char *extra_options; /* user's RocksDB options, or NULL */
    cairn_memory *memory;      /* retained by the database; NULL: small private caches (read_only) */
    struct crn_log log;
    int64_t (*now_ms)(void *context);
    void *now_context;
    const cairn_state_info *states; /* keyed states that the restored files hold */
    size_t state_count;
};

/* One keyed state of a database: opaque, lives as long as the database. */
struct crn_state;

struct crn_barrier {
    uint64_t sequence; /* last one that belongs to the checkpoint */
};

/* One captured file; strings and keys owned by the capture. */
struct crn_captured_file {
    cairn_file_info info; /* role, name, size, crc32c if known, and for tables: state (name), number,
                             level, sequences, smallest, largest */
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

struct crn_state_ops {
    const char *name; /* "rocksdb": stored in manifests */
    void (*close)(struct crn_state_db *db);
    /* --- writer --- */
    /* The state of that name; created if it is new. desc->ttl_ms may differ from the restored one and
     * takes effect at once. Kind and types were checked by the caller. */
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
    int (*capture)(struct crn_state_db *db, const struct crn_barrier *barrier, const char *directory,
                   const atomic_bool *cancelled, struct crn_capture *ret, cairn_error **reterr);
    void (*release)(struct crn_state_db *db);
    void (*stats)(struct crn_state_db *db, struct crn_state_stats *ret);
};

/* A backend's own struct begins with this one. */
struct crn_state_db {
    const struct crn_state_ops *ops;
};

void crn_capture_done(struct crn_capture *capture);

/* rocksdb.c */
int crn_rocksdb_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                     cairn_error **reterr);
/* rocksdb_memory.c */
void crn_memory_retain(cairn_memory *memory);

#endif
