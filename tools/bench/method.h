/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_METHOD_H
#define CAIRN_BENCH_METHOD_H

#include "tools/bench/writer.h"

/* A way to take checkpoints of a database. Each has a database of its own, which begins with files
 * identical to everybody's and is fed with the same stream. */

struct bench_method_config {
    const char *name;
    const char *directory;                    /* exists and is empty: databases, scratch */
    const char *store_dir;                    /* exists and is empty: checkpoints */
    const char *base_store_dir, *base_db_dir; /* of bench_base_create() */
    uint32_t threads;
    uint64_t memtable_bytes;
};

/* What a method itself knows of one checkpoint; times of parts are 0 where it cannot tell. */
struct bench_cost {
    uint64_t reported_bytes; /* added to the store, by the method's own account */
    uint64_t full_bytes;     /* of the whole checkpoint */
    /* How long a writer has to stand still for the checkpoint to hold an exact moment of its input:
     * Cairn's barrier, the making of RocksDB's checkpoint (its flush is in it), all of a backup. */
    uint64_t exact_us;
    uint64_t flush_us, capture_us, upload_us;
};

struct bench_method;

struct bench_method_ops {
    const char *name;
    const char *title; /* for people */
    bool can_restore;
    int (*open)(const struct bench_method_config *config, struct bench_method **ret,
                cairn_error **reterr);
    /* Durable when it returns. Called while the writer's thread puts. full: share nothing with
     * earlier ones, where the method has a choice. */
    int (*checkpoint)(struct bench_method *method, bool full, struct bench_cost *ret,
                      cairn_error **reterr);
    /* Outside of the timed window: keep the newest two checkpoints, and add to *cost what has to be
     * looked up. */
    int (*after)(struct bench_method *method, struct bench_cost *cost, cairn_error **reterr);
    /* Close the database; only restore() and free() may follow. */
    void (*close_database)(struct bench_method *method);
    /* Write the newest checkpoint as a RocksDB directory under dir, which does not exist. */
    int (*restore)(struct bench_method *method, const char *dir, char **ret_db_dir,
                   cairn_error **reterr);
    void (*free)(struct bench_method *method);
};

/* Each method's own struct begins with this one. */
struct bench_method {
    const struct bench_method_ops *ops;
    const struct bench_method_config *config; /* outlives the method */
    struct bench_target *target;              /* where puts go */
};

extern const struct bench_method_ops bench_method_cairn_link;
extern const struct bench_method_ops bench_method_cairn_copy;
extern const struct bench_method_ops bench_method_cairn_full;
extern const struct bench_method_ops bench_method_backup_engine;
extern const struct bench_method_ops bench_method_plain_copy;
extern const struct bench_method_ops bench_method_new_files;

#endif
