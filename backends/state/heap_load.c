/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk loads into the heap backend.
 *
 * A load builds a tree of its own, in its own thread, with no lock: sorted entries fill node after
 * node. Ending it puts that tree on the state's list, and the writer, before it next looks at the
 * state, makes what is on the list part of the state's tree ("settles" it). So no reader and no
 * writer needs a lock, and the entries of a load are visible from one moment on.
 *
 * Trees of ranges that do not overlap are joined as a whole; the list is kept in the order of keys,
 * so that many loads of a new state, whatever the order in which they ended, are joined one behind
 * the other. Entries between those of the state are put one by one, without copying their bytes.
 *
 * If memory runs out on the way, the state goes back to the version before, and the loads to the
 * list: the next try finds everything as it was.
 */
#include "backends/state/heap_internal.h"

struct crn_state_load {
    struct crn_heap *db;
    struct crn_state *state;
    struct crn_heap_tree tree;
    struct crn_heap_blob *last; /* in the tree */
    struct crn_state_load *next;
};

static void load_free(struct crn_state_load *load)
{
    crn_heap_node_unref(load->tree.root);
    free(load);
}

static void free_list(struct crn_state_load *load)
{
    while (load) {
        struct crn_state_load *next = load->next;
        load_free(load);
        load = next;
    }
}

void crn_heap_forget_loads(struct crn_state *state)
{
    free_list(CRN_TAKE(state->loaded));
}

int crn_heap_load_begin(struct crn_state_db *base, struct crn_state *state,
                        struct crn_state_load **ret, cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    struct crn_state_load *load = calloc(1, sizeof(*load));
    if (!load)
        return crn_err_nomem(reterr);
    load->db = db;
    load->state = state;
    load->tree.meter = &db->meter;
    *ret = load;
    return 0;
}

int crn_heap_load_put(struct crn_state_load *load, const void *key, size_t key_size,
                      const void *value, size_t value_size, cairn_error **reterr)
{
    if (value_size > CRN_HEAP_VALUE_MAX)
        return crn_heap_too_large(load->state, value_size, reterr);
    struct crn_heap_blob *entry =
        crn_heap_blob_new(load->tree.meter, key, key_size, value, value_size, value_size);
    if (!entry)
        return crn_err_nomem(reterr);
    int r = 0;
    if (load->last && crn_heap_compare_keys(load->last, entry) >= 0)
        r = crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                         "entries for state '%s' do not come in ascending order of their keys",
                         load->state->name);
    else if (crn_heap_tree_put_blob(&load->tree, entry) < 0)
        r = crn_err_nomem(reterr);
    else
        load->last = entry;
    crn_heap_blob_unref(entry);
    return r;
}

/* Into the list, behind all that have lower keys. Caller holds the mutex. */
static void add_locked(struct crn_state *state, struct crn_state_load *load)
{
    struct crn_state_load **at = &state->loaded;
    while (*at && crn_heap_compare_keys((*at)->last, load->last) < 0)
        at = &(*at)->next;
    load->next = *at;
    *at = load;
    atomic_store_explicit(&state->has_loaded, true, memory_order_release);
}

int crn_heap_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr)
{
    (void)reterr; /* all that can fail was done before, or is done by the writer */
    struct crn_heap *db = load->db;
    if (!keep || !load->last) {
        load_free(load);
        return 0;
    }
    crn_mutex_lock(&db->mutex);
    add_locked(load->state, load);
    crn_mutex_unlock(&db->mutex);
    return 0;
}

/* ---- settling ---- */

static int put_all(struct crn_heap_tree *tree, const struct crn_heap_tree *part)
{
    struct crn_heap_cursor cursor;
    struct crn_heap_blob *entry;
    crn_heap_cursor_seek(&cursor, part->root, NULL);
    while ((entry = crn_heap_cursor_next(&cursor)) != NULL)
        CRN_TRY(crn_heap_tree_put_blob(tree, entry));
    return 0;
}

/* The part's entries, shared with it, into the tree. */
static int add_part(struct crn_heap_tree *tree, const struct crn_heap_tree *part)
{
    struct crn_heap_tree shared = {crn_heap_node_ref(part->root), part->meter};
    int r;
    if (!tree->root ||
        crn_heap_compare_keys(crn_heap_tree_last(tree), crn_heap_tree_first(part)) < 0) {
        r = crn_heap_tree_join(tree, &shared);
    } else if (crn_heap_compare_keys(crn_heap_tree_last(part), crn_heap_tree_first(tree)) < 0) {
        r = crn_heap_tree_join(&shared, tree);
        if (r == 0)
            tree->root = CRN_TAKE(shared.root);
    } else {
        r = put_all(tree, part);
    }
    crn_heap_node_unref(shared.root);
    return r;
}

int crn_heap_settle_slowly(struct crn_heap *db, struct crn_state *state, cairn_error **reterr)
{
    crn_mutex_lock(&db->mutex);
    struct crn_state_load *list = CRN_TAKE(state->loaded);
    atomic_store_explicit(&state->has_loaded, false, memory_order_relaxed);
    crn_mutex_unlock(&db->mutex);

    struct crn_heap_node *before = crn_heap_node_ref(state->tree.root);
    int r = 0;
    for (const struct crn_state_load *load = list; load && r == 0; load = load->next)
        r = add_part(&state->tree, &load->tree);
    if (r == 0) {
        crn_heap_node_unref(before);
        free_list(list);
        return 0;
    }
    crn_heap_node_unref(state->tree.root);
    state->tree.root = before;
    crn_mutex_lock(&db->mutex);
    while (list) {
        struct crn_state_load *next = list->next;
        add_locked(state, list);
        list = next;
    }
    crn_mutex_unlock(&db->mutex);
    return crn_err_nomem(reterr);
}
