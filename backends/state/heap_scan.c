/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap backend's cursors, iterators and snapshots.
 *
 * A snapshot is one more reference to the root of each state's tree: taking it touches one counter
 * per state, whatever they hold (P3), and from then on the writer copies what it changes (P2).
 * Iterators hold such a reference of their own, so they see the moment of their creation and
 * outlive later writes. Both may be used and given up in any thread; what then nobody else holds is
 * freed there.
 */
#include "backends/state/heap_internal.h"

#include <string.h>

/* ---- cursors ---- */

static void step_in(struct crn_heap_cursor *cursor, const struct crn_heap_node *node, size_t at)
{
    cursor->path[cursor->depth].node = node;
    cursor->path[cursor->depth++].at = at;
}

void crn_heap_cursor_seek(struct crn_heap_cursor *cursor, const struct crn_heap_node *root,
                          const struct crn_heap_bound *bound)
{
    cursor->depth = 0;
    const struct crn_heap_node *node = root;
    while (node && node->level > 0) {
        size_t i = bound ? crn_heap_node_child(node, bound) : 0;
        step_in(cursor, node, i);
        node = node->children[i];
    }
    if (node)
        step_in(cursor, node, bound ? crn_heap_node_find(node, bound) : 0);
}

struct crn_heap_blob *crn_heap_cursor_next(struct crn_heap_cursor *cursor)
{
    while (cursor->depth > 0) {
        const struct crn_heap_node *node = cursor->path[cursor->depth - 1].node;
        size_t at = cursor->path[cursor->depth - 1].at;
        if (at == node->count) { /* up, and to the next child there */
            cursor->depth--;
            if (cursor->depth > 0)
                cursor->path[cursor->depth - 1].at++;
        } else if (node->level > 0) {
            step_in(cursor, node->children[at], 0);
        } else {
            cursor->path[cursor->depth - 1].at++;
            return node->blobs[at];
        }
    }
    return NULL;
}

/* ---- iterators ---- */

struct crn_state_iterator {
    struct crn_heap_node *root; /* a reference: all that the cursor meets stays */
    struct crn_heap_cursor cursor;
    bool has_end;
    struct crn_heap_bound end; /* in bytes[] */
    uint8_t bytes[];
};

/* Takes the reference to the root over, on failure too. `end` NULL: none. */
static int new_iterator(struct crn_heap_node *root, const struct crn_heap_bound *first,
                        const struct crn_heap_bound *end, struct crn_state_iterator **ret,
                        cairn_error **reterr)
{
    size_t size = end ? end->size : 0;
    struct crn_state_iterator *iterator = malloc(sizeof(*iterator) + size);
    if (!iterator) {
        crn_heap_node_unref(root);
        return crn_err_nomem(reterr);
    }
    iterator->root = root;
    iterator->has_end = end != NULL;
    if (end) {
        if (size > 0)
            memcpy(iterator->bytes, end->data, size);
        iterator->end = (struct crn_heap_bound){iterator->bytes, size, end->side};
    }
    crn_heap_cursor_seek(&iterator->cursor, root, first);
    *ret = iterator;
    return 0;
}

int crn_heap_iterate(struct crn_state_db *base, struct crn_state *state, const void *prefix,
                     size_t prefix_size, struct crn_state_iterator **ret, cairn_error **reterr)
{
    struct crn_heap_bound first = {prefix, prefix_size, CRN_HEAP_BEFORE};
    struct crn_heap_bound end = {prefix, prefix_size, CRN_HEAP_AFTER_PREFIX};
    CRN_TRY(crn_heap_settle(crn_heap_of(base), state, reterr));
    return new_iterator(crn_heap_node_ref(state->tree.root), prefix_size > 0 ? &first : NULL,
                        prefix_size > 0 ? &end : NULL, ret, reterr);
}

int crn_heap_next(struct crn_state_iterator *iterator, const uint8_t **ret_key,
                  size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                  cairn_error **reterr)
{
    (void)reterr; /* there is nothing that could fail */
    const struct crn_heap_blob *entry = crn_heap_cursor_next(&iterator->cursor);
    if (entry && iterator->has_end && !crn_heap_is_before(entry, &iterator->end))
        entry = NULL;
    if (!entry) {
        iterator->cursor.depth = 0; /* and stays at the end */
        return 0;
    }
    *ret_key = entry->bytes;
    *ret_key_size = entry->key_size;
    *ret_value = crn_heap_value(entry);
    *ret_value_size = entry->value_size;
    return 1;
}

void crn_heap_end(struct crn_state_iterator *iterator)
{
    if (!iterator)
        return;
    crn_heap_node_unref(iterator->root);
    free(iterator);
}

/* ---- snapshots ---- */

int crn_heap_snapshot(struct crn_state_db *base, struct crn_state_snapshot **ret,
                      cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    for (size_t i = 0; i < db->state_count; i++)
        CRN_TRY(crn_heap_settle(db, db->states[i], reterr));
    struct crn_state_snapshot *snapshot =
        malloc(sizeof(*snapshot) + db->state_count * sizeof(snapshot->states[0]));
    if (!snapshot)
        return crn_err_nomem(reterr);
    snapshot->bytes = atomic_load_explicit(&db->meter.bytes, memory_order_relaxed);
    snapshot->count = db->state_count;
    for (size_t i = 0; i < db->state_count; i++) {
        snapshot->states[i].state = db->states[i];
        snapshot->states[i].root = crn_heap_node_ref(db->states[i]->tree.root);
    }
    *ret = snapshot;
    return 0;
}

void crn_heap_release_snapshot(struct crn_state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        crn_heap_node_unref(snapshot->states[i].root);
    free(snapshot);
}

int crn_heap_scan(struct crn_state_snapshot *snapshot, struct crn_state *state,
                  const struct crn_state_range *range, struct crn_state_iterator **ret,
                  cairn_error **reterr)
{
    struct crn_heap_bound first = {range->first, range->first_size, CRN_HEAP_BEFORE};
    struct crn_heap_bound end = {range->end, range->end_size, CRN_HEAP_BEFORE};
    struct crn_heap_node *root = NULL; /* of a state that is newer than the snapshot */
    for (size_t i = 0; i < snapshot->count; i++)
        if (snapshot->states[i].state == state)
            root = crn_heap_node_ref(snapshot->states[i].root);
    return new_iterator(root, range->first_size > 0 ? &first : NULL,
                        range->end_size > 0 ? &end : NULL, ret, reterr);
}
