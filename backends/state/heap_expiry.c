/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expired entries of the heap backend leave it while the writer writes.
 *
 * Readers hide what is expired; without this it would stay for ever. Nothing here runs in the
 * background: every so many writes to a state with expiry, the writer looks at twice as many of its
 * entries, in their order, from where it stopped the last time, and removes those that are expired,
 * or expired elements of lists. So a write pays for two looks, on average, and a state that
 * is written evenly is at most about twice as large as what is alive in it.
 *
 * What goes is decided as in reads: by the write's time, the duration as it is now and the clock.
 * So it is never visible, whether it is gone or not, and no restore brings anything back. While the
 * duration is 0 nothing goes: values are being rewritten (state.h, set_expiry()).
 *
 * Snapshots keep what they have. Without memory entries stay, and it is tried again.
 */
#include "backends/state/heap_internal.h"
#include "backends/state/values.h"

#define LOOKS (2 * CRN_HEAP_EXPIRY_WRITES)

/* Changes the tree; the entry is of an older version of it. false: no memory. */
static bool drop(struct crn_state *state, const struct crn_heap_blob *entry, int64_t now_ms,
                 struct cairn_buffer *kept)
{
    struct crn_heap_bound from = {entry->bytes, entry->key_size, CRN_HEAP_BEFORE};
    struct crn_heap_bound to = {entry->bytes, entry->key_size, CRN_HEAP_AFTER};
    switch (crn_value_expiry(crn_heap_value(entry), entry->value_size, state->is_list,
                             state->ttl_ms, now_ms, kept)) {
    case CRN_EXPIRY_ALL:
        return crn_heap_tree_cut(&state->tree, &from, &to) == 0;
    case CRN_EXPIRY_SOME:
        return crn_heap_tree_put(&state->tree, entry->bytes, entry->key_size, kept->data,
                                 kept->size) == 0;
    case CRN_EXPIRY_NONE:
        break;
    }
    return true;
}

void crn_heap_expire_slowly(struct crn_heap *db, struct crn_state *state)
{
    int64_t now_ms = db->now_ms(db->now_context);
    CRN_AUTO_BUFFER struct cairn_buffer kept = {0};
    struct crn_heap_bound behind = {state->looked_at.data, state->looked_at.size, CRN_HEAP_AFTER};
    struct crn_heap_node *root = crn_heap_node_ref(state->tree.root); /* the cursor's version */
    struct crn_heap_cursor cursor;
    const struct crn_heap_blob *entry = NULL, *last = NULL;

    state->unlooked_writes = 0;
    crn_heap_cursor_seek(&cursor, root, state->looked_at.size > 0 ? &behind : NULL);
    for (size_t i = 0; i < LOOKS && (entry = crn_heap_cursor_next(&cursor)) != NULL; i++) {
        if (!drop(state, entry, now_ms, &kept))
            break;
        last = entry;
    }
    crn_buf_clear(&state->looked_at); /* at the end: from the first one */
    if (entry && last && crn_buf_append(&state->looked_at, last->bytes, last->key_size) < 0)
        crn_buf_clear(&state->looked_at);
    crn_heap_node_unref(root);
}
