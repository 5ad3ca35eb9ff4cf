/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Snapshots, bulk loads and clipping of the fake state backend. All simple: a snapshot has
 * references to all live entries, a load keeps its entries until it ends, a clip removes key by
 * key. What the contract in state.h forbids a caller fails here, so that tests of the engine see
 * it.
 */

#include "tests/support/fake_state_internal.h"
#include <string.h>

static struct fake_db *fake(struct crn_state_db *db)
{
    return (struct fake_db *)db;
}

static int compare(const struct fake_entry *entry, const uint8_t *key, size_t key_size)
{
    size_t shared = entry->key_size < key_size ? entry->key_size : key_size;
    int order = shared > 0 ? memcmp(entry->bytes, key, shared) : 0;
    return order != 0 ? order : (entry->key_size > key_size) - (entry->key_size < key_size);
}

static bool is_within(const struct fake_entry *entry, const struct crn_state_range *range)
{
    return (range->first_size == 0 || compare(entry, range->first, range->first_size) >= 0) &&
           (range->end_size == 0 || compare(entry, range->end, range->end_size) < 0);
}

/* References to the live entries that are, or are not, within a range. Lock held. */
static int collect(const struct fake_entries *live, const struct crn_state_range *range,
                   bool is_wanted_within, struct fake_entries *ret)
{
    for (size_t i = 0; i < live->count; i++)
        if (!live->items[i]->removed && is_within(live->items[i], range) == is_wanted_within)
            CRN_TRY(fake_entries_push(ret, live->items[i]));
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Snapshots
 * ------------------------------------------------------------------------------------------ */

struct seen_state {
    const struct crn_state *state;
    struct fake_entries entries;
};

struct crn_state_snapshot {
    struct seen_state *states;
    size_t count;
};

void fake_release_snapshot(struct crn_state_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++)
        fake_entries_done(&snapshot->states[i].entries);
    free(snapshot->states);
    free(snapshot);
}

static int take_all(struct fake_db *db, struct crn_state_snapshot *snapshot)
{
    static const struct crn_state_range all;
    size_t count = 0;
    for (const struct crn_state *state = db->states; state != NULL; state = state->next)
        count++;
    snapshot->states = calloc(count + 1, sizeof(*snapshot->states));
    if (snapshot->states == NULL)
        return CAIRN_ENOMEM;
    for (const struct crn_state *state = db->states; state != NULL; state = state->next) {
        struct seen_state *seen = &snapshot->states[snapshot->count++];
        seen->state = state;
        CRN_TRY(collect(&state->live, &all, true, &seen->entries));
    }
    return 0;
}

int fake_snapshot(struct crn_state_db *base, struct crn_state_snapshot **ret, cairn_error **reterr)
{
    struct fake_db *db = fake(base);
    struct crn_state_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return crn_err_nomem(reterr);
    crn_mutex_lock(&db->lock);
    int r = take_all(db, snapshot);
    crn_mutex_unlock(&db->lock);
    if (r < 0) {
        fake_release_snapshot(snapshot);
        return crn_err_nomem(reterr);
    }
    *ret = snapshot;
    return 0;
}

struct crn_state *fake_find_state(struct crn_state_db *base, const char *name)
{
    struct fake_db *db = fake(base);
    struct crn_state *found = NULL;
    crn_mutex_lock(&db->lock);
    for (struct crn_state *state = db->states; state != NULL && found == NULL; state = state->next)
        if (strcmp(state->name, name) == 0)
            found = state;
    crn_mutex_unlock(&db->lock);
    return found;
}

int fake_scan(struct crn_state_snapshot *snapshot, struct crn_state *state,
              const struct crn_state_range *range, struct crn_state_iterator **ret,
              cairn_error **reterr)
{
    struct crn_state_iterator *iterator = calloc(1, sizeof(*iterator));
    int r = iterator == NULL ? CAIRN_ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < snapshot->count; i++)
        if (snapshot->states[i].state == state)
            r = collect(&snapshot->states[i].entries, range, true, &iterator->entries);
    if (r < 0) {
        if (iterator != NULL)
            fake_entries_done(&iterator->entries);
        free(iterator);
        return crn_err_nomem(reterr);
    }
    *ret = iterator;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Bulk loads
 * ------------------------------------------------------------------------------------------ */

struct crn_state_load {
    struct fake_db *db;
    struct crn_state *state;
    struct fake_entries entries; /* ascending, as they came */
};

int fake_load_begin(struct crn_state_db *base, struct crn_state *state, struct crn_state_load **ret,
                    cairn_error **reterr)
{
    struct crn_state_load *load = calloc(1, sizeof(*load));
    if (load == NULL)
        return crn_err_nomem(reterr);
    *load = (struct crn_state_load){.db = fake(base), .state = state};
    *ret = load;
    return 0;
}

int fake_load_put(struct crn_state_load *load, const void *key, size_t key_size, const void *value,
                  size_t value_size, cairn_error **reterr)
{
    const struct fake_entries *entries = &load->entries;
    if (entries->count > 0 && compare(entries->items[entries->count - 1], key, key_size) >= 0)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL, "a load's keys do not ascend");
    struct fake_entry *entry = fake_entry_new(key, key_size, value, value_size, 0, false);
    int r = entry == NULL ? CAIRN_ENOMEM : fake_entries_push(&load->entries, entry);
    fake_entry_release(entry);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

/* Lock held. */
static int keep_entries(struct crn_state_load *load, cairn_error **reterr)
{
    for (size_t i = 0; i < load->entries.count; i++) {
        struct fake_entry *entry = load->entries.items[i];
        size_t at;
        if (fake_entries_seek(&load->state->live, entry->bytes, entry->key_size, &at) &&
            !load->state->live.items[at]->removed)
            return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL, "a loaded key is there already");
        entry->sequence = ++load->db->sequence;
        atomic_fetch_add(&entry->refs, 1);
        if (fake_entries_set(&load->state->live, entry) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

int fake_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr)
{
    int r = 0;
    if (keep) {
        crn_mutex_lock(&load->db->lock);
        r = keep_entries(load, reterr);
        crn_mutex_unlock(&load->db->lock);
    }
    fake_entries_done(&load->entries);
    free(load);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * Clipping
 * ------------------------------------------------------------------------------------------ */

int fake_clip(struct crn_state_db *base, const struct crn_state_range *keep, cairn_error **reterr)
{
    struct fake_db *db = fake(base);
    for (struct crn_state *state = db->states; state != NULL; state = state->next) {
        struct fake_entries doomed = {0};
        crn_mutex_lock(&db->lock);
        int r = collect(&state->live, keep, false, &doomed);
        crn_mutex_unlock(&db->lock);
        for (size_t i = 0; r == 0 && i < doomed.count; i++)
            r = fake_write(db, state, doomed.items[i]->bytes, doomed.items[i]->key_size, NULL, 0,
                           true, NULL);
        fake_entries_done(&doomed);
        if (r < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}
