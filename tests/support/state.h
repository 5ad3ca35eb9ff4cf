/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_STATE_H
#define CRN_TESTS_STATE_H

/* What the tests of the RocksDB backend share, beside what all backends have. */

#include "backends/state/rocksdb_internal.h"
#include "tests/support/state_any.h"

static inline struct crn_state_db *open_db(const struct crn_state_config *config)
{
    struct crn_state_db *db = NULL;
    ck_ok(crn_rocksdb_open(config, &db, reterr));
    return db;
}

/* Behind the backend's back. */
static inline void flush_all(struct crn_state_db *db)
{
    ck_ok(crn_rocksdb_switch_memtables(crn_rocksdb_of(db), true, reterr));
}

static inline void compact(struct crn_state_db *db, struct crn_state *state)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    flush_all(db);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, 2); /* forced */
    rocksdb_compact_range_cf_opt(crn_rocksdb_of(db)->db, state->family, options, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(options);
}

#endif
