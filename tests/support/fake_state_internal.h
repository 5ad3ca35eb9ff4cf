/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_FAKE_STATE_INTERNAL_H
#define CRN_TESTS_FAKE_STATE_INTERNAL_H

#include "backends/state/state.h"
#include "base/thread.h"

/* One version of one key. Never changed once made, and shared by the live state, tables, pins and
 * iterators through references. */
struct fake_entry {
    atomic_uint refs;
    bool removed;
    uint64_t sequence;
    size_t key_size, value_size;
    uint8_t bytes[]; /* key, value */
};

/* Ascending by key, no key twice. */
struct fake_entries {
    struct fake_entry **items;
    size_t count, capacity;
};

/* An immutable table file, in memory too. */
struct fake_table {
    uint64_t number;
    uint32_t level;
    struct fake_entries entries;
    /* Written by a capture, or restored. */
    bool on_disk;
    uint64_t size;
    uint32_t crc32c;
};

struct crn_state {
    struct crn_state *next;
    char *name;
    struct fake_entries live;   /* with the removals since the last barrier */
    struct fake_table **tables; /* oldest first */
    size_t table_count, table_capacity;
};

struct fake_db {
    struct crn_state_db base;
    /* Constant after open. */
    char *directory;
    uint64_t manifest_number, options_number;
    /* Guarded by lock. */
    struct crn_mutex lock;
    struct crn_state *states; /* by registration */
    uint64_t sequence, barrier_sequence, next_number;
};

struct crn_state_iterator {
    struct fake_entries entries;
    size_t next;
};

/* fake_state.c */
struct fake_entry *fake_entry_new(const void *key, size_t key_size, const void *value,
                                  size_t value_size, uint64_t sequence, bool removed);
void fake_entry_release(struct fake_entry *entry);
int fake_entries_push(struct fake_entries *entries,
                      struct fake_entry *entry); /* takes a reference */
void fake_entries_done(struct fake_entries *entries);
bool fake_entries_seek(const struct fake_entries *entries, const void *key, size_t key_size,
                       size_t *ret_index);
/* Inserts or replaces; takes over the caller's reference. */
int fake_entries_set(struct fake_entries *entries, struct fake_entry *entry);
void fake_entries_drop_removed(struct fake_entries *entries);
int fake_state_add(struct fake_db *db, const char *name, struct crn_state **ret);
int fake_state_add_table(struct crn_state *state, struct fake_table *table);
void fake_table_free(struct fake_table *table);

/* Write or remove one key under the next sequence number. */
int fake_write(struct fake_db *db, struct crn_state *state, const void *key, size_t key_size,
               const void *value, size_t value_size, bool removed, cairn_error **reterr);

/* fake_bulk.c: methods of struct crn_state_ops. */
int fake_snapshot(struct crn_state_db *base, struct crn_state_snapshot **ret, cairn_error **reterr);
void fake_release_snapshot(struct crn_state_snapshot *snapshot);
struct crn_state *fake_find_state(struct crn_state_db *base, const char *name);
int fake_scan(struct crn_state_snapshot *snapshot, struct crn_state *state,
              const struct crn_state_range *range, struct crn_state_iterator **ret,
              cairn_error **reterr);
int fake_load_begin(struct crn_state_db *base, struct crn_state *state, struct crn_state_load **ret,
                    cairn_error **reterr);
int fake_load_put(struct crn_state_load *load, const void *key, size_t key_size, const void *value,
                  size_t value_size, cairn_error **reterr);
int fake_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr);
int fake_clip(struct crn_state_db *base, const struct crn_state_range *keep, cairn_error **reterr);

/* fake_files.c */
int fake_restore(struct fake_db *db, cairn_error **reterr);
int fake_capture(struct fake_db *db, const char *directory, const atomic_bool *cancelled,
                 struct crn_capture *ret, cairn_error **reterr);
void fake_table_path(const struct fake_db *db, uint64_t number, char *ret, size_t size);

#endif
