/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a write must wait: the hold of the barrier, memory, and compaction debt.
 *
 * All of it hangs on two counters of credit, in bytes, that each write draws on: the database's and
 * its state's. Only when one is used up does a write look at properties (about a microsecond each).
 * An entry is charged at more than it can take in a memtable, so the counters err on the safe side.
 *
 * HOLD (P2). Between barrier and release RocksDB must not switch a memtable: its flush could get
 * into the files that the capture links. RocksDB switches at the write behind the one that fills a
 * memtable, so a write that would bring its active memtable near that point waits for release().
 * What the memtable takes is read again whenever the credit from the last reading is used up; so
 * writes flow freely until it is really full. Should anything slip through, the capture's proof
 * finds it. After a failed flush the capture is lost anyway, and nothing waits any more.
 *
 * MEMORY. Each look reports the memtables' size to the budget. While all databases together are
 * over it, one that has more than its fair share flushes its largest memtable, but never inside a
 * hold.
 *
 * BACKPRESSURE. RocksDB's own stalls are set out of reach, since they would delay the barrier.
 * Instead each look sleeps a little, growing with the number of level-0 files, waiting memtables
 * and pending compaction bytes, so that writers slow down gradually and the metric shows it.
 *
 * Locks: the mutex (CRN_RANK_STATE) only around the condition; never while RocksDB is called.
 */
#include "backends/state/rocksdb_internal.h"

#define HOLD_CHECK_US 100000u
#define LOOKS_PER_SHAPE 4u /* looks at memory per look at the tree */
#define LEVEL0_EASY_FILES 20u
#define LEVEL0_US 25u /* per look and square of the files beyond */
#define IMMUTABLE_EASY 3u
#define IMMUTABLE_US 5000u /* per look and memtable beyond */
#define PENDING_EASY_BYTES ((uint64_t)64 << 30)
#define PENDING_US_PER_GIB 1000u
#define MEMORY_US 20000u /* per look at twice the budget */
#define DELAY_MAX_US 25000u

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the hold ---- */

static void wait_for_release(struct crn_rocksdb *db)
{
    crn_mutex_lock(&db->mutex);
    if (atomic_load(&db->held) && !atomic_load(&db->hold_broken))
        (void)crn_cond_wait_until(&db->released, &db->mutex, crn_now_us() + HOLD_CHECK_US);
    crn_mutex_unlock(&db->mutex);
    if (crn_rocksdb_property(db->db, "rocksdb.background-errors") >
        atomic_load(&db->barrier_errors))
        atomic_store(&db->hold_broken, true);
}

/* Gives the state credit for at least these bytes, at once or when the barrier is released. */
static void earn_state_credit(struct crn_rocksdb *db, struct crn_state *state, uint64_t bytes)
{
    uint64_t held_since_us = 0;

    state->credit = 0;
    while (atomic_load(&db->held) && !atomic_load(&db->hold_broken)) {
        uint64_t used =
            crn_rocksdb_state_property(db->db, state, "rocksdb.cur-size-active-mem-table");
        /* A quarter is left for what the arena wastes at the ends of its blocks. */
        uint64_t room = used < db->hold_limit ? (db->hold_limit - used) / 4 * 3 : 0;
        if (bytes <= room) {
            state->credit = room;
            break;
        }
        if (held_since_us == 0) {
            held_since_us = crn_now_us();
            atomic_fetch_add(&db->hold_count, 1);
        }
        wait_for_release(db);
    }
    if (state->credit == 0)
        state->credit = CRN_ROCKSDB_CREDIT_MAX;
    if (held_since_us != 0)
        atomic_fetch_add(&db->hold_us, crn_now_us() - held_since_us);
}

void crn_rocksdb_pace_begin_hold(struct crn_rocksdb *db)
{
    for (size_t i = 0; i < db->state_count; i++)
        db->states[i]->credit = 0;
    atomic_store(&db->hold_broken, false);
    atomic_store(&db->held, true);
}

void crn_rocksdb_pace_end_hold(struct crn_rocksdb *db)
{
    crn_mutex_lock(&db->mutex);
    atomic_store(&db->held, false);
    crn_cond_broadcast(&db->released);
    crn_mutex_unlock(&db->mutex);
}

/* ---- memory ---- */

struct memtables {
    uint64_t all, active, largest_active;
    struct crn_state *largest;
};

static struct memtables measure_memtables(struct crn_rocksdb *db)
{
    struct memtables sum = {0};
    for (size_t i = 0; i < db->state_count; i++) {
        struct crn_state *state = db->states[i];
        uint64_t active =
            crn_rocksdb_state_property(db->db, state, "rocksdb.cur-size-active-mem-table");
        sum.all += crn_rocksdb_state_property(db->db, state, "rocksdb.cur-size-all-mem-tables");
        sum.active += active;
        if (active > sum.largest_active) {
            sum.largest_active = active;
            sum.largest = state;
        }
    }
    return sum;
}

static void flush_early(struct crn_rocksdb *db, struct crn_state *state)
{
    char *message = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 0);
    rocksdb_flush_cf(db->db, options, state->family, &message);
    rocksdb_flushoptions_destroy(options);
    rocksdb_free(message); /* a database that cannot flush says so at the next write */
}

/* Reports memory, makes room where it is this database's turn; gives the delay that is due. */
static uint64_t keep_to_budget(struct crn_rocksdb *db)
{
    struct memtables memtables = measure_memtables(db);
    uint64_t fair_share = 0;

    crn_memory_report(db->memory, db->reported_bytes, memtables.all);
    db->reported_bytes = memtables.all;
    atomic_store_explicit(&db->seen_memtable_bytes, memtables.all, memory_order_relaxed);

    uint64_t excess = crn_memory_excess(db->memory, &fair_share);
    if (excess == 0 || memtables.all <= fair_share)
        return 0;
    bool flushing = memtables.active < memtables.all / 2;
    if (!flushing && memtables.largest_active > fair_share / 32 && !atomic_load(&db->held))
        flush_early(db, memtables.largest);
    uint64_t budget = crn_memory_memtable_budget(db->memory);
    return excess > budget / 2 ? MEMORY_US * (excess / 1024) / (budget / 1024) : 0;
}

/* ---- backpressure ---- */

static uint64_t level0_files(struct crn_rocksdb *db, const struct crn_state *state)
{
    char *text = rocksdb_property_value_cf(db->db, state->family, "rocksdb.num-files-at-level0");
    uint64_t files = text ? strtoull(text, NULL, 10) : 0;
    rocksdb_free(text);
    return files;
}

static uint64_t debt_delay(struct crn_rocksdb *db)
{
    uint64_t files = 0, immutable = 0, pending = 0, delay = 0;
    for (size_t i = 0; i < db->state_count; i++) {
        const struct crn_state *state = db->states[i];
        uint64_t n = level0_files(db, state);
        files = n > files ? n : files;
        n = crn_rocksdb_state_property(db->db, state, "rocksdb.num-immutable-mem-table");
        immutable = n > immutable ? n : immutable;
        pending +=
            crn_rocksdb_state_property(db->db, state, "rocksdb.estimate-pending-compaction-bytes");
    }
    atomic_store_explicit(&db->seen_level0_files, files, memory_order_relaxed);
    if (files > LEVEL0_EASY_FILES) {
        uint64_t beyond = least(files - LEVEL0_EASY_FILES, 1000);
        delay += LEVEL0_US * beyond * beyond;
    }
    if (immutable > IMMUTABLE_EASY)
        delay += IMMUTABLE_US * (immutable - IMMUTABLE_EASY);
    if (pending > PENDING_EASY_BYTES)
        delay += PENDING_US_PER_GIB * ((pending - PENDING_EASY_BYTES) >> 30);
    return delay;
}

static void look(struct crn_rocksdb *db)
{
    uint64_t delay_us = keep_to_budget(db);
    if (db->looks++ % LOOKS_PER_SHAPE == 0)
        db->debt_us = debt_delay(db);
    delay_us = least(delay_us + db->debt_us, DELAY_MAX_US);
    if (delay_us > 0) {
        crn_sleep_us(delay_us);
        atomic_fetch_add(&db->backpressure_us, delay_us);
    }
}

void crn_rocksdb_pace_slowly(struct crn_rocksdb *db, struct crn_state *state, uint64_t bytes)
{
    if (bytes > db->credit) {
        look(db);
        db->credit = db->sample_bytes + bytes;
    }
    if (bytes > state->credit)
        earn_state_credit(db, state, bytes);
}
