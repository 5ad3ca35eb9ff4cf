/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots, and scans of them.
 *
 * A snapshot is a sequence number that RocksDB keeps readable, and the states that there were: one
 * that came later is empty in it, even if it was filled with loaded tables, whose entries all have
 * the sequence number 0. Taking one is O(1), and writers go on; what it costs is that compactions
 * keep what it still sees.
 *
 * One thing a snapshot does not keep: compactions drop what is expired without asking for
 * snapshots. That is never visible, since readers drop it too.
 *
 * A scan reads ahead and goes past the block cache, which belongs to the service's own reads. Any
 * number of threads may scan one snapshot.
 */
#include "backends/state/rocksdb_internal.h"

#include <string.h>

/* All tables that one scan reads at a time have a buffer of so many bytes; with many states there
 * are many scans. */
#define READAHEAD_BYTES ((size_t)2 << 20)
#define READAHEAD_MIN_BYTES ((size_t)128 << 10)
#define READAHEAD_STATES 8u

struct crn_state_snapshot {
    struct crn_rocksdb *db;
    const rocksdb_snapshot_t *rocks;
    size_t state_count; /* the database's first ones: states are only ever added */
};

int crn_rocksdb_snapshot(struct crn_state_db *base, struct crn_state_snapshot **ret,
                         cairn_error **reterr)
{
    struct crn_state_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return crn_err_nomem(reterr);
    snapshot->db = crn_rocksdb_of(base);
    snapshot->state_count = snapshot->db->state_count;
    snapshot->rocks = rocksdb_create_snapshot(snapshot->db->db);
    *ret = snapshot;
    return 0;
}

void crn_rocksdb_release_snapshot(struct crn_state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    rocksdb_release_snapshot(snapshot->db->db, snapshot->rocks);
    free(snapshot);
}

struct crn_state *crn_rocksdb_find_state(struct crn_state_db *base, const char *name)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    struct crn_state *found = NULL;
    crn_mutex_lock(&db->mutex);
    for (size_t i = 0; i < db->state_count && !found; i++)
        if (strcmp(db->states[i]->name, name) == 0)
            found = db->states[i];
    crn_mutex_unlock(&db->mutex);
    return found;
}

static bool is_in(const struct crn_state_snapshot *snapshot, const struct crn_state *state)
{
    struct crn_rocksdb *db = snapshot->db;
    bool found = false;
    crn_mutex_lock(&db->mutex);
    for (size_t i = 0; i < snapshot->state_count && !found; i++)
        found = db->states[i] == state;
    crn_mutex_unlock(&db->mutex);
    return found;
}

static size_t readahead_of(const struct crn_state_snapshot *snapshot)
{
    size_t states = snapshot->state_count;
    size_t bytes =
        states > READAHEAD_STATES ? READAHEAD_BYTES * READAHEAD_STATES / states : READAHEAD_BYTES;
    return bytes > READAHEAD_MIN_BYTES ? bytes : READAHEAD_MIN_BYTES;
}

int crn_rocksdb_scan(struct crn_state_snapshot *snapshot, struct crn_state *state,
                     const struct crn_state_range *range, struct crn_state_iterator **ret,
                     cairn_error **reterr)
{
    struct crn_state_iterator *iterator = calloc(1, sizeof(*iterator));
    bool empty = !is_in(snapshot, state);

    /* Nothing is below an empty bound, which RocksDB wants to have an address all the same. */
    if (!iterator ||
        crn_buf_append(&iterator->bound, range->end, empty ? 0 : range->end_size) < 0) {
        free(iterator);
        return crn_err_nomem(reterr);
    }
    iterator->db = snapshot->db;
    iterator->state = state;
    iterator->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(iterator->options, snapshot->rocks);
    rocksdb_readoptions_set_total_order_seek(iterator->options, 1);
    rocksdb_readoptions_set_fill_cache(iterator->options, 0);
    rocksdb_readoptions_set_readahead_size(iterator->options, readahead_of(snapshot));
    /* Deleting the files of a compaction that went on meanwhile is not the scan's business. */
    rocksdb_readoptions_set_background_purge_on_iterator_cleanup(iterator->options, 1);
    if (empty || range->end_size > 0)
        rocksdb_readoptions_set_iterate_upper_bound(
            iterator->options, (const char *)iterator->bound.data, iterator->bound.size);
    iterator->rocks =
        rocksdb_create_iterator_cf(snapshot->db->db, iterator->options, state->family);
    if (range->first_size > 0)
        rocksdb_iter_seek(iterator->rocks, (const char *)range->first, range->first_size);
    else
        rocksdb_iter_seek_to_first(iterator->rocks);
    *ret = iterator;
    return 0;
}
