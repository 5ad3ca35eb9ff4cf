/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap backend's ordered map: a B+-tree that is changed in place where nobody else sees it.
 *
 * Every change goes the same way: own the path from the root to the leaf (nodes that a snapshot
 * shares are copied, heap_node.c), make room on it, change the leaf. Owning and making room change
 * no content, so an allocation that fails leaves the map as it was; what follows cannot fail.
 *
 * Nodes that are full are split on the way down, once it is known that the leaf has no room: then
 * each split finds room in the node above. At the right edge a split leaves the left node full, so
 * that sorted entries fill their nodes. A node that a removal leaves small is made one with a
 * neighbour; a small one that nothing was removed from may stay, as it does no harm.
 *
 * Separators are as short as they can be, and blobs of their own: an entry must not be kept, nor
 * its value be copied at each change, because a node above refers to it.
 *
 * Depth: to add a level, a root must be full, and a node becomes full by at least half a node's
 * worth of splits below it. 16^16 insertions are out of reach.
 */
#include "backends/state/heap_internal.h"

#include <string.h>

#define SMALL_COUNT (CRN_HEAP_NODE_MAX / 4)
#define MERGED_MAX (CRN_HEAP_NODE_MAX * 3 / 4)
#define SPARE_BYTES_MAX 64u

static struct crn_heap_bound bound_of(const void *key, size_t key_size)
{
    return (struct crn_heap_bound){key, key_size, CRN_HEAP_BEFORE};
}

static bool has_key(const struct crn_heap_blob *blob, const void *key, size_t key_size)
{
    return blob->key_size == key_size && (key_size == 0 || memcmp(blob->bytes, key, key_size) == 0);
}

int crn_heap_compare_keys(const struct crn_heap_blob *a, const struct crn_heap_blob *b)
{
    size_t common = a->key_size < b->key_size ? a->key_size : b->key_size;
    int c = memcmp(a->bytes, b->bytes, common);
    return c != 0 ? c : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

/* ---- reading ---- */

struct crn_heap_blob *crn_heap_tree_get(const struct crn_heap_tree *tree, const void *key,
                                        size_t key_size)
{
    struct crn_heap_bound bound = bound_of(key, key_size);
    const struct crn_heap_node *node = tree->root;
    if (!node)
        return NULL;
    while (node->level > 0)
        node = node->children[crn_heap_node_child(node, &bound)];
    size_t at = crn_heap_node_find(node, &bound);
    return at < node->count && has_key(node->blobs[at], key, key_size) ? node->blobs[at] : NULL;
}

struct crn_heap_blob *crn_heap_tree_first(const struct crn_heap_tree *tree)
{
    const struct crn_heap_node *node = tree->root;
    while (node->level > 0)
        node = node->children[0];
    return node->blobs[0];
}

struct crn_heap_blob *crn_heap_tree_last(const struct crn_heap_tree *tree)
{
    const struct crn_heap_node *node = tree->root;
    while (node->level > 0)
        node = node->children[node->count - 1];
    return node->blobs[node->count - 1];
}

/* ---- the way down ---- */

/* The shortest key that is above `left` and not above `right`. NULL: no memory. */
static struct crn_heap_blob *separator_of(const struct crn_heap_blob *left,
                                          const struct crn_heap_blob *right)
{
    size_t common = 0;
    while (common < left->key_size && left->bytes[common] == right->bytes[common])
        common++; /* ends within `right`, which is above */
    return crn_heap_blob_new(right->meter, right->bytes, common + 1, NULL, 0, 0);
}

/* Of a full child, into a node that has room; both may be changed. */
static int split_child(struct crn_heap_node *node, size_t i, bool at_end)
{
    struct crn_heap_node *child = node->children[i];
    size_t kept = at_end ? CRN_HEAP_NODE_MAX - 1 : CRN_HEAP_NODE_MAX / 2;
    struct crn_heap_blob *separator = child->blobs[kept];
    struct crn_heap_node *right = crn_heap_node_new(child->meter, child->level);

    if (right && child->level == 0)
        separator = separator_of(child->blobs[kept - 1], child->blobs[kept]);
    if (!right || !separator) {
        crn_heap_node_unref(right);
        return CAIRN_ENOMEM;
    }
    crn_heap_node_split(child, kept, right);
    if (child->level > 0)
        right->blobs[0] = NULL; /* it goes up */
    crn_heap_node_insert(node, i + 1, separator, right);
    return 0;
}

/* A new root above a full one, which is split. */
static int grow(struct crn_heap_tree *tree, bool at_end)
{
    if (tree->root->level + 1u >= CRN_HEAP_DEPTH_MAX)
        return CAIRN_ENOMEM;
    struct crn_heap_node *root = crn_heap_node_new(tree->meter, tree->root->level + 1u);
    if (!root)
        return CAIRN_ENOMEM;
    crn_heap_node_insert(root, 0, NULL, tree->root);
    if (split_child(root, 0, at_end) < 0) {
        root->count = 0; /* the old one stays the tree's */
        crn_heap_node_unref(root);
        return CAIRN_ENOMEM;
    }
    tree->root = root;
    return 0;
}

static bool is_behind_all(const struct crn_heap_node *node, const struct crn_heap_bound *bound)
{
    if (node->level > 0)
        return crn_heap_node_child(node, bound) + 1 == node->count;
    return crn_heap_node_find(node, bound) == node->count;
}

/* Makes the path to the bound the writer's own, down to a level, of a tree that is not empty. With
 * make_room no node on it is full. */
static int own_path(struct crn_heap_tree *tree, const struct crn_heap_bound *bound, unsigned level,
                    bool make_room, struct crn_heap_node **ret)
{
    CRN_TRY(crn_heap_node_own(&tree->root));
    if (make_room && tree->root->count == CRN_HEAP_NODE_MAX)
        CRN_TRY(grow(tree, is_behind_all(tree->root, bound)));
    struct crn_heap_node *node = tree->root;
    bool at_edge = true;
    while (node->level > level) {
        size_t i = crn_heap_node_child(node, bound);
        CRN_TRY(crn_heap_node_own(&node->children[i]));
        at_edge = at_edge && i + 1 == node->count;
        if (make_room && node->children[i]->count == CRN_HEAP_NODE_MAX) {
            CRN_TRY(split_child(node, i, at_edge && is_behind_all(node->children[i], bound)));
            i = crn_heap_node_child(node, bound);
        }
        node = node->children[i];
    }
    if (ret)
        *ret = node;
    return 0;
}

/* ---- writing ---- */

/* Where the key is, or could be put. 1: it is there. */
static int find_place(struct crn_heap_tree *tree, const void *key, size_t key_size,
                      struct crn_heap_node **ret_leaf, size_t *ret_at)
{
    struct crn_heap_bound bound = bound_of(key, key_size);
    struct crn_heap_node *leaf;

    if (!tree->root && !(tree->root = crn_heap_node_new(tree->meter, 0)))
        return CAIRN_ENOMEM;
    CRN_TRY(own_path(tree, &bound, 0, false, &leaf));
    size_t at = crn_heap_node_find(leaf, &bound);
    bool found = at < leaf->count && has_key(leaf->blobs[at], key, key_size);
    if (!found && leaf->count == CRN_HEAP_NODE_MAX) {
        CRN_TRY(own_path(tree, &bound, 0, true, &leaf));
        at = crn_heap_node_find(leaf, &bound);
    }
    *ret_leaf = leaf;
    *ret_at = at;
    return found;
}

/* Puts a blob (NULL: there was no memory for it) where find_place() said. */
static int set_blob(struct crn_heap_tree *tree, struct crn_heap_node *leaf, size_t at, bool found,
                    struct crn_heap_blob *blob)
{
    if (!blob) {
        if (tree->root->count == 0) { /* made for it */
            crn_heap_node_unref(tree->root);
            tree->root = NULL;
        }
        return CAIRN_ENOMEM;
    }
    if (found) {
        crn_heap_blob_unref(leaf->blobs[at]);
        leaf->blobs[at] = blob;
    } else {
        crn_heap_node_insert(leaf, at, blob, NULL);
    }
    return 0;
}

int crn_heap_tree_put(struct crn_heap_tree *tree, const void *key, size_t key_size,
                      const void *value, size_t value_size)
{
    struct crn_heap_node *leaf;
    size_t at;
    if (value_size > CRN_HEAP_VALUE_MAX)
        return CAIRN_EINVAL;
    int found = find_place(tree, key, key_size, &leaf, &at);
    if (found < 0)
        return found;
    if (found) {
        struct crn_heap_blob *blob = leaf->blobs[at];
        if (blob->capacity >= value_size && blob->capacity - value_size <= SPARE_BYTES_MAX &&
            crn_heap_blob_is_mine(blob)) {
            if (value_size > 0)
                memcpy(blob->bytes + key_size, value, value_size);
            blob->value_size = (uint32_t)value_size;
            return 0;
        }
    }
    return set_blob(tree, leaf, at, found,
                    crn_heap_blob_new(tree->meter, key, key_size, value, value_size, value_size));
}

int crn_heap_tree_put_blob(struct crn_heap_tree *tree, struct crn_heap_blob *entry)
{
    struct crn_heap_node *leaf;
    size_t at;
    int found = find_place(tree, entry->bytes, entry->key_size, &leaf, &at);
    return found < 0 ? found : set_blob(tree, leaf, at, found, crn_heap_blob_ref(entry));
}

/* Room for `size` bytes, and for half as many more: copies add up to three times the value. */
static size_t capacity_for(size_t size)
{
    return size + size / 2 < CRN_HEAP_VALUE_MAX ? size + size / 2 : CRN_HEAP_VALUE_MAX;
}

/* The entry at a place, changeable and with room for `size` bytes of value; NULL: no memory. */
static struct crn_heap_blob *own_blob(struct crn_heap_node *leaf, size_t at, size_t size)
{
    struct crn_heap_blob *blob = leaf->blobs[at];
    bool is_mine = crn_heap_blob_is_mine(blob);
    if (is_mine && size <= blob->capacity)
        return blob;
    struct crn_heap_blob *larger =
        is_mine ? crn_heap_blob_grow(blob, capacity_for(size))
                : crn_heap_blob_new(blob->meter, blob->bytes, blob->key_size, crn_heap_value(blob),
                                    blob->value_size, capacity_for(size));
    if (!larger)
        return NULL;
    if (!is_mine)
        crn_heap_blob_unref(blob);
    leaf->blobs[at] = larger;
    return larger;
}

int crn_heap_tree_append(struct crn_heap_tree *tree, const void *key, size_t key_size,
                         const void *value, size_t value_size)
{
    struct crn_heap_node *leaf;
    size_t at;
    if (value_size > CRN_HEAP_VALUE_MAX)
        return CAIRN_EINVAL;
    int found = find_place(tree, key, key_size, &leaf, &at);
    if (found < 0)
        return found;
    if (!found)
        return set_blob(
            tree, leaf, at, false,
            crn_heap_blob_new(tree->meter, key, key_size, value, value_size, value_size));
    size_t size = leaf->blobs[at]->value_size + value_size;
    if (size > CRN_HEAP_VALUE_MAX)
        return CAIRN_EINVAL;
    struct crn_heap_blob *blob = own_blob(leaf, at, size);
    if (!blob)
        return CAIRN_ENOMEM;
    if (value_size > 0)
        memcpy(blob->bytes + key_size + blob->value_size, value, value_size);
    blob->value_size = (uint32_t)size;
    return 0;
}

/* ---- removing ---- */

/* If child i, which may be changed, is small: makes it one with a neighbour. */
static void balance(struct crn_heap_node *node, size_t i)
{
    size_t count = node->children[i]->count;
    if (count >= SMALL_COUNT)
        return;
    if (i + 1 < node->count && count + node->children[i + 1]->count <= MERGED_MAX)
        crn_heap_node_merge(node, i);
    else if (i > 0 && node->children[i - 1]->count + count <= MERGED_MAX)
        crn_heap_node_merge(node, i - 1);
}

/* Removes what is between the bounds, to which the paths are owned. true: nothing is left. */
static bool cut(struct crn_heap_node *node, const struct crn_heap_bound *from,
                const struct crn_heap_bound *to)
{
    if (node->level == 0) {
        size_t first = from ? crn_heap_node_find(node, from) : 0;
        size_t end = to ? crn_heap_node_find(node, to) : node->count;
        if (first < end)
            crn_heap_node_remove(node, first, end);
        return node->count == 0;
    }
    size_t first = from ? crn_heap_node_child(node, from) : 0;
    size_t last = to ? crn_heap_node_child(node, to) : node->count - 1u;
    if (first == last) {
        if (cut(node->children[first], from, to))
            crn_heap_node_remove(node, first, first + 1);
        else
            balance(node, first);
        return node->count == 0;
    }
    bool keeps_first = from && !cut(node->children[first], from, NULL);
    bool keeps_last = to && !cut(node->children[last], NULL, to);
    first += keeps_first;
    crn_heap_node_remove(node, first, keeps_last ? last : last + 1);
    if (keeps_last)
        balance(node, first);
    if (keeps_first)
        balance(node, first - 1);
    return node->count == 0;
}

int crn_heap_tree_cut(struct crn_heap_tree *tree, const struct crn_heap_bound *from,
                      const struct crn_heap_bound *to)
{
    struct crn_heap_cursor cursor;
    crn_heap_cursor_seek(&cursor, tree->root, from);
    const struct crn_heap_blob *entry = crn_heap_cursor_next(&cursor);
    if (!entry || (to && !crn_heap_is_before(entry, to)))
        return 0; /* nothing to remove, nothing to copy */

    bool is_empty = !from && !to;
    if (from)
        CRN_TRY(own_path(tree, from, 0, false, NULL));
    if (to)
        CRN_TRY(own_path(tree, to, 0, false, NULL));
    if (!is_empty)
        is_empty = cut(tree->root, from, to);
    if (is_empty) {
        crn_heap_node_unref(tree->root);
        tree->root = NULL;
    }
    while (tree->root && tree->root->level > 0 && tree->root->count == 1) {
        struct crn_heap_node *root = tree->root;
        tree->root = root->children[0];
        root->count = 0; /* it keeps nothing */
        crn_heap_node_unref(root);
    }
    return 0;
}

/* ---- joining ---- */

/* Puts the lower of two trees under the other's edge. */
static int hang(struct crn_heap_tree *tree, struct crn_heap_node *child, bool at_end,
                struct crn_heap_blob *separator)
{
    static const uint8_t nothing[1];
    struct crn_heap_bound edge = {nothing, 0, at_end ? CRN_HEAP_AFTER_PREFIX : CRN_HEAP_BEFORE};
    struct crn_heap_node *node;
    CRN_TRY(own_path(tree, &edge, child->level + 1u, true, &node));
    if (at_end)
        crn_heap_node_insert(node, node->count, separator, child);
    else
        crn_heap_node_prepend(node, child, separator);
    return 0;
}

int crn_heap_tree_join(struct crn_heap_tree *left, struct crn_heap_tree *right)
{
    struct crn_heap_node *a = left->root, *b = right->root;
    int r = 0;

    if (a && b) {
        struct crn_heap_blob *separator =
            separator_of(crn_heap_tree_last(left), crn_heap_tree_first(right));
        if (!separator)
            return CAIRN_ENOMEM;
        if (a->level > b->level) {
            r = hang(left, b, true, separator);
        } else if (a->level < b->level) {
            r = hang(right, a, false, separator);
            if (r == 0)
                left->root = right->root;
        } else {
            struct crn_heap_node *root = crn_heap_node_new(left->meter, a->level + 1u);
            r = root ? 0 : CAIRN_ENOMEM;
            if (root) {
                crn_heap_node_insert(root, 0, NULL, a);
                crn_heap_node_insert(root, 1, separator, b);
                left->root = root;
            }
        }
        if (r < 0) {
            crn_heap_blob_unref(separator);
            return r;
        }
    } else if (b) {
        left->root = b;
    }
    right->root = NULL;
    return 0;
}
