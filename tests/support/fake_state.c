/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A state backend in memory: sorted arrays of shared, immutable entries under one mutex.
 *
 * It behaves as RocksDB does where the engine can tell: a barrier cuts off what changed since the
 * last one as one new table per state; from time to time old tables are merged into a new one, so
 * that files come and go; numbers are never used twice, and go on after a restore. What a barrier
 * cut off is immutable at once, so a capture holds exactly that by construction.
 */

#include "tests/support/fake_state.h"
#include "tests/support/fake_state_internal.h"
#include <stdio.h>
#include <string.h>

/* A state with so many tables has the older ones merged at its next barrier. */
#define MERGE_AT 4u

/* ------------------------------------------------------------------------------------------ *
 * Entries
 * ------------------------------------------------------------------------------------------ */

struct fake_entry *fake_entry_new(const void *key, size_t key_size, const void *value,
                                  size_t value_size, uint64_t sequence, bool removed)
{
    struct fake_entry *entry = malloc(sizeof(*entry) + key_size + value_size);
    if (entry == NULL)
        return NULL;
    atomic_init(&entry->refs, 1);
    entry->removed = removed;
    entry->sequence = sequence;
    entry->key_size = key_size;
    entry->value_size = value_size;
    if (key_size > 0)
        memcpy(entry->bytes, key, key_size);
    if (value_size > 0)
        memcpy(entry->bytes + key_size, value, value_size);
    return entry;
}

void fake_entry_release(struct fake_entry *entry)
{
    if (entry != NULL && atomic_fetch_sub(&entry->refs, 1) == 1)
        free(entry);
}

static int reserve_one(struct fake_entries *entries)
{
    if (entries->count < entries->capacity)
        return 0;
    size_t capacity = entries->capacity > 0 ? 2 * entries->capacity : 16;
    struct fake_entry **items = reallocarray(entries->items, capacity, sizeof(struct fake_entry *));
    if (items == NULL)
        return CAIRN_ENOMEM;
    entries->items = items;
    entries->capacity = capacity;
    return 0;
}

int fake_entries_push(struct fake_entries *entries, struct fake_entry *entry)
{
    CRN_TRY(reserve_one(entries));
    atomic_fetch_add(&entry->refs, 1);
    entries->items[entries->count++] = entry;
    return 0;
}

void fake_entries_done(struct fake_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        fake_entry_release(entries->items[i]);
    free(entries->items);
    *entries = (struct fake_entries){0};
}

bool fake_entries_seek(const struct fake_entries *entries, const void *key, size_t key_size,
                       size_t *ret_index)
{
    size_t low = 0, high = entries->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct fake_entry *entry = entries->items[middle];
        size_t shared = entry->key_size < key_size ? entry->key_size : key_size;
        int order = shared > 0 ? memcmp(entry->bytes, key, shared) : 0;
        if (order == 0 && entry->key_size == key_size) {
            *ret_index = middle;
            return true;
        }
        if (order < 0 || (order == 0 && entry->key_size < key_size))
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return false;
}

int fake_entries_set(struct fake_entries *entries, struct fake_entry *entry)
{
    size_t at;
    if (fake_entries_seek(entries, entry->bytes, entry->key_size, &at)) {
        fake_entry_release(entries->items[at]);
        entries->items[at] = entry;
        return 0;
    }
    if (reserve_one(entries) < 0) {
        fake_entry_release(entry);
        return CAIRN_ENOMEM;
    }
    memmove(&entries->items[at + 1], &entries->items[at],
            (entries->count - at) * sizeof(struct fake_entry *));
    entries->items[at] = entry;
    entries->count++;
    return 0;
}

void fake_entries_drop_removed(struct fake_entries *entries)
{
    size_t kept = 0;
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i]->removed)
            fake_entry_release(entries->items[i]);
        else
            entries->items[kept++] = entries->items[i];
    }
    entries->count = kept;
}

static bool has_prefix(const struct fake_entry *entry, const void *prefix, size_t size)
{
    return entry->key_size >= size && (size == 0 || memcmp(entry->bytes, prefix, size) == 0);
}

/* ------------------------------------------------------------------------------------------ *
 * States and tables
 * ------------------------------------------------------------------------------------------ */

void fake_table_free(struct fake_table *table)
{
    if (table == NULL)
        return;
    fake_entries_done(&table->entries);
    free(table);
}

int fake_state_add_table(struct crn_state *state, struct fake_table *table)
{
    if (state->table_count == state->table_capacity) {
        size_t capacity = state->table_capacity + 8;
        struct fake_table **tables =
            reallocarray(state->tables, capacity, sizeof(struct fake_table *));
        if (tables == NULL)
            return CAIRN_ENOMEM;
        state->tables = tables;
        state->table_capacity = capacity;
    }
    state->tables[state->table_count++] = table;
    return 0;
}

int fake_state_add(struct fake_db *db, const char *name, struct crn_state **ret)
{
    struct crn_state **end = &db->states;
    for (; *end != NULL; end = &(*end)->next)
        if (strcmp((*end)->name, name) == 0) {
            *ret = *end;
            return 0;
        }
    CRN_AUTO_FREE struct crn_state *state = calloc(1, sizeof(*state));
    if (state == NULL || (state->name = strdup(name)) == NULL)
        return CAIRN_ENOMEM;
    *ret = *end = CRN_TAKE(state);
    return 0;
}

static void free_state(struct crn_state *state)
{
    for (size_t i = 0; i < state->table_count; i++)
        fake_table_free(state->tables[i]);
    free(state->tables);
    fake_entries_done(&state->live);
    free(state->name);
    free(state);
}

static struct fake_db *fake(struct crn_state_db *db)
{
    return (struct fake_db *)db;
}

static void close_db(struct crn_state_db *base)
{
    struct fake_db *db = fake(base);
    while (db->states != NULL) {
        struct crn_state *state = db->states;
        db->states = state->next;
        free_state(state);
    }
    crn_mutex_done(&db->lock);
    free(db->directory);
    free(db);
}

/* ------------------------------------------------------------------------------------------ *
 * Reads and writes
 * ------------------------------------------------------------------------------------------ */

static int open_state(struct crn_state_db *base, const cairn_state_info *desc,
                      struct crn_state **ret_state, cairn_error **reterr)
{
    struct fake_db *db = fake(base);
    crn_mutex_lock(&db->lock);
    int r = fake_state_add(db, desc->name, ret_state);
    crn_mutex_unlock(&db->lock);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static void unpin(struct crn_pin *pin)
{
    fake_entry_release(pin->handle);
    *pin = (struct crn_pin){0};
}

/* The live entry with a reference of its own, or NULL. */
static struct fake_entry *find(struct fake_db *db, struct crn_state *state, const void *key,
                               size_t key_size)
{
    size_t at;
    struct fake_entry *found = NULL;
    crn_mutex_lock(&db->lock);
    if (fake_entries_seek(&state->live, key, key_size, &at) && !state->live.items[at]->removed) {
        found = state->live.items[at];
        atomic_fetch_add(&found->refs, 1);
    }
    crn_mutex_unlock(&db->lock);
    return found;
}

static int get(struct crn_state_db *base, struct crn_state *state, const void *key, size_t key_size,
               struct crn_pin *pin, cairn_error **reterr)
{
    (void)reterr; /* nothing can go wrong in memory */
    unpin(pin);
    struct fake_entry *entry = find(fake(base), state, key, key_size);
    if (entry == NULL)
        return 0;
    *pin = (struct crn_pin){entry->bytes + entry->key_size, entry->value_size, entry};
    return 1;
}

int fake_write(struct fake_db *db, struct crn_state *state, const void *key, size_t key_size,
               const void *value, size_t value_size, bool removed, cairn_error **reterr)
{
    struct fake_entry *entry = fake_entry_new(key, key_size, value, value_size, 0, removed);
    if (entry == NULL)
        return crn_err_nomem(reterr);
    crn_mutex_lock(&db->lock);
    entry->sequence = ++db->sequence;
    int r = fake_entries_set(&state->live, entry);
    crn_mutex_unlock(&db->lock);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static int put(struct crn_state_db *base, struct crn_state *state, const void *key, size_t key_size,
               const void *value, size_t value_size, cairn_error **reterr)
{
    return fake_write(fake(base), state, key, key_size, value, value_size, false, reterr);
}

static int append(struct crn_state_db *base, struct crn_state *state, const void *key,
                  size_t key_size, const void *elements, size_t size, cairn_error **reterr)
{
    struct fake_entry *old = find(fake(base), state, key, key_size);
    CRN_AUTO_BUFFER struct cairn_buffer joined = {0};
    int r = old != NULL ? crn_buf_append(&joined, old->bytes + old->key_size, old->value_size) : 0;
    fake_entry_release(old);
    if (r < 0 || crn_buf_append(&joined, elements, size) < 0)
        return crn_err_nomem(reterr);
    return put(base, state, key, key_size, joined.data, joined.size, reterr);
}

static int remove_key(struct crn_state_db *base, struct crn_state *state, const void *key,
                      size_t key_size, cairn_error **reterr)
{
    return fake_write(fake(base), state, key, key_size, NULL, 0, true, reterr);
}

/* All live entries under a prefix, with references. */
static int collect(struct fake_db *db, const struct crn_state *state, const void *prefix,
                   size_t prefix_size, struct fake_entries *ret)
{
    int r = 0;
    size_t at;
    crn_mutex_lock(&db->lock);
    (void)fake_entries_seek(&state->live, prefix, prefix_size, &at);
    for (; r == 0 && at < state->live.count; at++) {
        if (!has_prefix(state->live.items[at], prefix, prefix_size))
            break;
        if (!state->live.items[at]->removed)
            r = fake_entries_push(ret, state->live.items[at]);
    }
    crn_mutex_unlock(&db->lock);
    return r;
}

static int remove_prefix(struct crn_state_db *base, struct crn_state *state, const void *prefix,
                         size_t prefix_size, cairn_error **reterr)
{
    struct fake_entries doomed = {0};
    int r = collect(fake(base), state, prefix, prefix_size, &doomed);
    for (size_t i = 0; r == 0 && i < doomed.count; i++)
        r = remove_key(base, state, doomed.items[i]->bytes, doomed.items[i]->key_size, NULL);
    fake_entries_done(&doomed);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static void end(struct crn_state_iterator *iterator)
{
    if (iterator == NULL)
        return;
    fake_entries_done(&iterator->entries);
    free(iterator);
}

static int iterate(struct crn_state_db *base, struct crn_state *state, const void *prefix,
                   size_t prefix_size, struct crn_state_iterator **ret, cairn_error **reterr)
{
    struct crn_state_iterator *iterator = calloc(1, sizeof(*iterator));
    if (iterator == NULL ||
        collect(fake(base), state, prefix, prefix_size, &iterator->entries) < 0) {
        end(iterator);
        return crn_err_nomem(reterr);
    }
    *ret = iterator;
    return 0;
}

static int next(struct crn_state_iterator *iterator, const uint8_t **ret_key, size_t *ret_key_size,
                const uint8_t **ret_value, size_t *ret_value_size, cairn_error **reterr)
{
    (void)reterr; /* nothing can go wrong in memory */
    if (iterator->next == iterator->entries.count)
        return 0;
    const struct fake_entry *entry = iterator->entries.items[iterator->next++];
    *ret_key = entry->bytes;
    *ret_key_size = entry->key_size;
    *ret_value = entry->bytes + entry->key_size;
    *ret_value_size = entry->value_size;
    return 1;
}

/* ------------------------------------------------------------------------------------------ *
 * The barrier
 * ------------------------------------------------------------------------------------------ */

/* What changed since the last barrier, as a table. Removals have served once they are in it. */
static int cut_off(struct fake_db *db, struct crn_state *state)
{
    struct fake_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return CAIRN_ENOMEM;
    int r = 0;
    for (size_t i = 0; r == 0 && i < state->live.count; i++)
        if (state->live.items[i]->sequence > db->barrier_sequence)
            r = fake_entries_push(&table->entries, state->live.items[i]);
    if (r < 0 || table->entries.count == 0 || (r = fake_state_add_table(state, table)) < 0) {
        fake_table_free(table);
        return r;
    }
    table->number = db->next_number++;
    fake_entries_drop_removed(&state->live);
    return 0;
}

/* All tables of a state into one at level 1; later tables win, removals end here. */
static int merge_tables(struct fake_db *db, struct crn_state *state)
{
    struct fake_table *merged = calloc(1, sizeof(*merged));
    if (merged == NULL)
        return CAIRN_ENOMEM;
    struct fake_entries all = {0};
    int r = 0;
    for (size_t t = 0; r == 0 && t < state->table_count; t++)
        for (size_t i = 0; r == 0 && i < state->tables[t]->entries.count; i++) {
            struct fake_entry *entry = state->tables[t]->entries.items[i];
            atomic_fetch_add(&entry->refs, 1);
            r = fake_entries_set(&all, entry);
        }
    fake_entries_drop_removed(&all);
    merged->entries = all;
    if (r < 0) {
        fake_table_free(merged);
        return r;
    }
    for (size_t t = 0; t < state->table_count; t++) {
        char path[4096];
        fake_table_path(db, state->tables[t]->number, path, sizeof(path));
        if (state->tables[t]->on_disk)
            (void)unlink(path); /* captures and stores have links of their own */
        fake_table_free(state->tables[t]);
    }
    merged->number = db->next_number++;
    merged->level = 1;
    state->tables[0] = merged;
    state->table_count = 1;
    if (merged->entries.count == 0) {
        fake_table_free(merged);
        state->table_count = 0;
    }
    return 0;
}

static int barrier(struct crn_state_db *base, struct crn_barrier *ret, cairn_error **reterr)
{
    struct fake_db *db = fake(base);
    int r = 0;
    crn_mutex_lock(&db->lock);
    for (struct crn_state *state = db->states; r == 0 && state != NULL; state = state->next) {
        if (state->table_count >= MERGE_AT)
            r = merge_tables(db, state);
        if (r == 0)
            r = cut_off(db, state);
    }
    if (r == 0)
        ret->sequence = db->barrier_sequence = db->sequence;
    crn_mutex_unlock(&db->lock);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static int capture(struct crn_state_db *base, const struct crn_barrier *at, const char *directory,
                   const atomic_bool *cancelled, struct crn_capture *ret, cairn_error **reterr)
{
    struct fake_db *db = fake(base);
    if (at->sequence != db->barrier_sequence)
        return crn_err_fail(reterr, CAIRN_EABORTED, NULL, "not the newest barrier");
    return fake_capture(db, directory, cancelled, ret, reterr);
}

static void release(struct crn_state_db *base)
{
    (void)base; /* nothing was held back */
}

static int set_expiry(struct crn_state_db *base, struct crn_state *state, bool has_ttl,
                      uint64_t ttl_ms, cairn_error **reterr)
{
    (void)base, (void)state, (void)has_ttl, (void)ttl_ms; /* nothing here drops what expired */
    (void)reterr;
    return 0;
}

static void stats(struct crn_state_db *base, struct crn_state_stats *ret)
{
    struct fake_db *db = fake(base);
    *ret = (struct crn_state_stats){0};
    crn_mutex_lock(&db->lock);
    for (const struct crn_state *state = db->states; state != NULL; state = state->next) {
        if (ret->level0_files < state->table_count)
            ret->level0_files = state->table_count;
        for (size_t i = 0; i < state->live.count; i++)
            if (state->live.items[i]->sequence > db->barrier_sequence)
                ret->memtable_bytes +=
                    state->live.items[i]->key_size + state->live.items[i]->value_size;
    }
    crn_mutex_unlock(&db->lock);
}

static const struct crn_state_ops fake_ops = {
    .name = "fake",
    .close = close_db,
    .open_state = open_state,
    .get = get,
    .unpin = unpin,
    .put = put,
    .append = append,
    .remove = remove_key,
    .remove_prefix = remove_prefix,
    .iterate = iterate,
    .next = next,
    .end = end,
    .barrier = barrier,
    .capture = capture,
    .release = release,
    .stats = stats,
    .snapshot = fake_snapshot,
    .release_snapshot = fake_release_snapshot,
    .find_state = fake_find_state,
    .scan = fake_scan,
    .load_begin = fake_load_begin,
    .load_put = fake_load_put,
    .load_end = fake_load_end,
    .clip = fake_clip,
    .set_expiry = set_expiry,
};

int crn_fake_state_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                        cairn_error **reterr)
{
    struct fake_db *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return crn_err_nomem(reterr);
    db->base.ops = &fake_ops;
    db->next_number = 1;
    crn_mutex_init(&db->lock, CRN_RANK_STATE);
    db->directory = strdup(config->directory);
    int r = db->directory == NULL ? crn_err_nomem(reterr) : 0;
    if (r == 0 && config->restored)
        r = fake_restore(db, reterr);
    for (size_t i = 0; r == 0 && i < config->state_count; i++) {
        struct crn_state *state;
        if (fake_state_add(db, config->states[i].name, &state) < 0)
            r = crn_err_nomem(reterr);
    }
    if (r < 0) {
        close_db(&db->base);
        return r;
    }
    db->manifest_number = db->next_number++;
    db->options_number = db->next_number++;
    *ret_db = &db->base;
    return 0;
}

const struct crn_state_backend crn_fake_backend = {
    .name = "fake", .file_kind = "fake", .open = crn_fake_state_open};
