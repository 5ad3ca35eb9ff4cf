/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap backend: keyed state in memory, for small state and for tests.
 *
 * Structure. A state is a B+-tree of counted nodes, whose leaves refer to counted entries
 * (heap_node.c, heap_tree.c). A version of the state is a reference to a root. The writer changes
 * nodes and entries in place as long as nobody else refers to them, and copies what a snapshot
 * shares: at most the nodes on the way to the key, and its entry. So
 *
 *   a snapshot takes one reference per state, whatever the states hold, and holds nobody back (P3);
 *   it is exact, because what it refers to is never changed (P2);
 *   it costs memory for what the writer changes until it is released;
 *   readers take no lock: they count references up and down, and that is all they share.
 *
 * get() pins the entry by a reference, without a copy. append() adds in place, with room to grow,
 * so a list costs its elements and not its length, but for one copy after each snapshot.
 *
 * Expiry. Entries keep the time of their write, and the engine reads expired ones as absent. They
 * go little by little while the state is written (heap_expiry.c). Captures hold what is not gone
 * yet as it is: no restore can bring it back to life, as its time comes back with it.
 *
 * Files. There are none: a database begins empty and gets its entries by loads (heap_load.c);
 * captures are canonical files (heap_capture.c), which every backend reads. They are never
 * incremental.
 *
 * Memory. stats() tells the bytes of all versions that somebody holds. There is no limit: no write
 * can wait for memory that only the service can free. An allocation that fails is CAIRN_ENOMEM, and
 * the state is as it was.
 *
 * Locks: one mutex, for the list of states, what loads brought, and the barrier's snapshot; the
 * writer's calls take it only to add to these.
 */
#include "backends/state/heap_internal.h"

#include <string.h>

#define FILE_BYTES ((uint64_t)64 << 20)

/* ---- states ---- */

static void state_free(struct crn_state *state)
{
    if (!state)
        return;
    crn_heap_forget_loads(state);
    crn_heap_node_unref(state->tree.root);
    crn_buf_done(&state->looked_at);
    free(state->name);
    free(state);
}

static void state_cleanup(struct crn_state **state)
{
    state_free(*state);
}

static int add_state(struct crn_heap *db, struct crn_state *state)
{
    int r = 0;
    crn_mutex_lock(&db->mutex);
    if (db->state_count == db->state_capacity) {
        size_t capacity = db->state_capacity ? 2 * db->state_capacity : 8;
        struct crn_state **grown = reallocarray(db->states, capacity, sizeof(struct crn_state *));
        if (grown) {
            db->states = grown;
            db->state_capacity = capacity;
        } else {
            r = CAIRN_ENOMEM;
        }
    }
    if (r == 0)
        db->states[db->state_count++] = state;
    crn_mutex_unlock(&db->mutex);
    return r;
}

static int create_state(struct crn_heap *db, const cairn_state_info *info, struct crn_state **ret,
                        cairn_error **reterr)
{
    CRN_CLEANUP(state_cleanup) struct crn_state *state = calloc(1, sizeof(*state));
    if (!state || !(state->name = strdup(info->name)))
        return crn_err_nomem(reterr);
    state->is_list = info->kind == CAIRN_KIND_LIST;
    state->has_ttl = info->ttl_ms > 0;
    state->tree.meter = &db->meter;
    if (add_state(db, state) < 0)
        return crn_err_nomem(reterr);
    *ret = CRN_TAKE(state);
    return 0;
}

static struct crn_state *find_state(struct crn_state_db *base, const char *name)
{
    struct crn_heap *db = crn_heap_of(base);
    struct crn_state *found = NULL;
    crn_mutex_lock(&db->mutex);
    for (size_t i = 0; i < db->state_count && !found; i++)
        if (strcmp(db->states[i]->name, name) == 0)
            found = db->states[i];
    crn_mutex_unlock(&db->mutex);
    return found;
}

static int open_state(struct crn_state_db *base, const cairn_state_info *info,
                      struct crn_state **ret_state, cairn_error **reterr)
{
    struct crn_state *state = find_state(base, info->name);
    if (!state)
        CRN_TRY(create_state(crn_heap_of(base), info, &state, reterr));
    if (state->is_list != (info->kind == CAIRN_KIND_LIST) || state->has_ttl != (info->ttl_ms > 0))
        return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                            "state '%s' is of another kind, or differs in having expiry",
                            info->name);
    state->ttl_ms = info->ttl_ms;
    *ret_state = state;
    return 0;
}

static int set_expiry(struct crn_state_db *base, struct crn_state *state, bool has_ttl,
                      uint64_t ttl_ms, cairn_error **reterr)
{
    (void)base, (void)reterr;
    state->has_ttl = has_ttl;
    state->ttl_ms = ttl_ms;
    return 0;
}

/* ---- reads and writes ---- */

int crn_heap_too_large(const struct crn_state *state, uint64_t size, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "a value of state '%s' would have %llu bytes, at most %llu", state->name,
                        (unsigned long long)size, (unsigned long long)CRN_HEAP_VALUE_MAX);
}

static void unpin(struct crn_pin *pin)
{
    crn_heap_blob_unref(pin->handle);
    *pin = (struct crn_pin){0};
}

static int get(struct crn_state_db *base, struct crn_state *state, const void *key, size_t key_size,
               struct crn_pin *pin, cairn_error **reterr)
{
    unpin(pin);
    CRN_TRY(crn_heap_settle(crn_heap_of(base), state, reterr));
    struct crn_heap_blob *entry = crn_heap_tree_get(&state->tree, key, key_size);
    if (!entry)
        return 0;
    pin->handle = crn_heap_blob_ref(entry);
    pin->data = crn_heap_value(entry);
    pin->size = entry->value_size;
    return 1;
}

static int put(struct crn_state_db *base, struct crn_state *state, const void *key, size_t key_size,
               const void *value, size_t value_size, cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    CRN_TRY(crn_heap_settle(db, state, reterr));
    int r = crn_heap_tree_put(&state->tree, key, key_size, value, value_size);
    if (r < 0)
        return r == CAIRN_ENOMEM ? crn_err_nomem(reterr)
                                 : crn_heap_too_large(state, value_size, reterr);
    db->sequence++;
    crn_heap_expire(db, state);
    return 0;
}

static int append(struct crn_state_db *base, struct crn_state *state, const void *key,
                  size_t key_size, const void *elements, size_t size, cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    CRN_TRY(crn_heap_settle(db, state, reterr));
    int r = crn_heap_tree_append(&state->tree, key, key_size, elements, size);
    if (r < 0) {
        const struct crn_heap_blob *entry = crn_heap_tree_get(&state->tree, key, key_size);
        uint64_t before = entry ? entry->value_size : 0;
        return r == CAIRN_ENOMEM ? crn_err_nomem(reterr)
                                 : crn_heap_too_large(state, before + size, reterr);
    }
    db->sequence++;
    crn_heap_expire(db, state);
    return 0;
}

/* What is between the bounds; NULL: no bound. */
static int cut(struct crn_heap *db, struct crn_state *state, const struct crn_heap_bound *from,
               const struct crn_heap_bound *to, cairn_error **reterr)
{
    CRN_TRY(crn_heap_settle(db, state, reterr));
    if (crn_heap_tree_cut(&state->tree, from, to) < 0)
        return crn_err_nomem(reterr);
    db->sequence++;
    return 0;
}

static int remove_key(struct crn_state_db *base, struct crn_state *state, const void *key,
                      size_t key_size, cairn_error **reterr)
{
    struct crn_heap_bound from = {key, key_size, CRN_HEAP_BEFORE};
    struct crn_heap_bound to = {key, key_size, CRN_HEAP_AFTER};
    return cut(crn_heap_of(base), state, &from, &to, reterr);
}

static int remove_prefix(struct crn_state_db *base, struct crn_state *state, const void *prefix,
                         size_t prefix_size, cairn_error **reterr)
{
    struct crn_heap_bound from = {prefix, prefix_size, CRN_HEAP_BEFORE};
    struct crn_heap_bound to = {prefix, prefix_size, CRN_HEAP_AFTER_PREFIX};
    return cut(crn_heap_of(base), state, &from, &to, reterr);
}

static int clip(struct crn_state_db *base, const struct crn_state_range *keep, cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    struct crn_heap_bound first = {keep->first, keep->first_size, CRN_HEAP_BEFORE};
    struct crn_heap_bound end = {keep->end, keep->end_size, CRN_HEAP_BEFORE};
    for (size_t i = 0; i < db->state_count; i++) {
        if (keep->first_size > 0)
            CRN_TRY(cut(db, db->states[i], NULL, &first, reterr));
        if (keep->end_size > 0)
            CRN_TRY(cut(db, db->states[i], &end, NULL, reterr));
    }
    return 0;
}

/* ---- the database ---- */

static void stats(struct crn_state_db *base, struct crn_state_stats *ret)
{
    struct crn_heap *db = crn_heap_of(base);
    *ret = (struct crn_state_stats){
        .memtable_bytes = atomic_load_explicit(&db->meter.bytes, memory_order_relaxed)};
}

static void close_database(struct crn_state_db *base)
{
    struct crn_heap *db = crn_heap_of(base);
    if (!db)
        return;
    crn_heap_release_snapshot(db->barrier);
    for (size_t i = 0; i < db->state_count; i++)
        state_free(db->states[i]);
    crn_mutex_done(&db->mutex);
    free(db->states);
    free(db);
}

static const struct crn_state_ops heap_ops = {
    .name = "heap",
    .close = close_database,
    .open_state = open_state,
    .get = get,
    .unpin = unpin,
    .put = put,
    .append = append,
    .remove = remove_key,
    .remove_prefix = remove_prefix,
    .iterate = crn_heap_iterate,
    .next = crn_heap_next,
    .end = crn_heap_end,
    .barrier = crn_heap_barrier,
    .capture = crn_heap_capture,
    .release = crn_heap_release,
    .stats = stats,
    .snapshot = crn_heap_snapshot,
    .release_snapshot = crn_heap_release_snapshot,
    .find_state = find_state,
    .scan = crn_heap_scan,
    .load_begin = crn_heap_load_begin,
    .load_put = crn_heap_load_put,
    .load_end = crn_heap_load_end,
    .clip = clip,
    .set_expiry = set_expiry,
};

static int64_t system_now_ms(void *context)
{
    (void)context;
    return crn_wall_ms();
}

int crn_heap_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                  cairn_error **reterr)
{
    if (config->restored || config->read_only)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, config->directory,
                            "'%s': the heap backend has no files to open", config->directory);
    if (config->max_parallelism == 0 || config->key_group_first > config->key_group_last ||
        config->key_group_last >= config->max_parallelism)
        return crn_err_fail(reterr, CAIRN_EINVAL, config->directory,
                            "'%s': key groups %u to %u of %u are no range", config->directory,
                            config->key_group_first, config->key_group_last,
                            config->max_parallelism);
    struct crn_heap *db = calloc(1, sizeof(*db));
    if (!db)
        return crn_err_nomem(reterr);
    db->base.ops = &heap_ops;
    db->max_parallelism = config->max_parallelism;
    db->key_group_first = config->key_group_first;
    db->key_group_last = config->key_group_last;
    db->now_ms = config->now_ms ? config->now_ms : system_now_ms;
    db->now_context = config->now_context;
    db->file_bytes = config->memtable_bytes > 0 ? config->memtable_bytes : FILE_BYTES;
    crn_mutex_init(&db->mutex, CRN_RANK_STATE);
    *ret_db = &db->base;
    return 0;
}

const struct crn_state_backend crn_heap_backend = {
    .name = "heap", .file_kind = CRN_FILE_KIND_CANONICAL, .open = crn_heap_open};
