/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap backend's blobs and nodes: memory, counts, search, and changes to one node.
 *
 * Whoever reaches a node or a blob through a reference may read it. To change it takes the only
 * reference, and for a node also that nothing above it is shared: whoever holds a node holds all
 * below it, through counts that do not show it. So a writer makes each node on its way down its own
 * (crn_heap_node_own()), which copies those that a snapshot shares. A count that is 1 cannot grow
 * behind the writer's back: only who has a reference can make another.
 *
 * Freeing descends one level per call: as deep as the tree, never deeper.
 */
#include "backends/state/heap_internal.h"

#include <string.h>

#define HEAD_BYTES 8u

/* ---- memory ---- */

static void meter_add(struct crn_heap_meter *meter, uint64_t bytes)
{
    atomic_fetch_add_explicit(&meter->bytes, bytes, memory_order_relaxed);
}

static void meter_subtract(struct crn_heap_meter *meter, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&meter->bytes, bytes, memory_order_relaxed);
}

static size_t blob_bytes(size_t key_size, size_t capacity)
{
    return sizeof(struct crn_heap_blob) + key_size + capacity;
}

static size_t node_bytes(unsigned level)
{
    size_t children = level > 0 ? CRN_HEAP_NODE_MAX : 0;
    return sizeof(struct crn_heap_node) + children * sizeof(struct crn_heap_node *);
}

struct crn_heap_blob *crn_heap_blob_new(struct crn_heap_meter *meter, const void *key,
                                        size_t key_size, const void *value, size_t value_size,
                                        size_t capacity)
{
    struct crn_heap_blob *blob = malloc(blob_bytes(key_size, capacity));
    if (!blob)
        return NULL;
    atomic_init(&blob->refs, 1);
    blob->key_size = (uint32_t)key_size;
    blob->value_size = (uint32_t)value_size;
    blob->capacity = (uint32_t)capacity;
    blob->meter = meter;
    if (key_size > 0)
        memcpy(blob->bytes, key, key_size);
    if (value && value_size > 0)
        memcpy(blob->bytes + key_size, value, value_size);
    meter_add(meter, blob_bytes(key_size, capacity));
    return blob;
}

struct crn_heap_blob *crn_heap_blob_grow(struct crn_heap_blob *blob, size_t capacity)
{
    struct crn_heap_blob *grown = realloc(blob, blob_bytes(blob->key_size, capacity));
    if (!grown)
        return NULL;
    meter_add(grown->meter, capacity - grown->capacity);
    grown->capacity = (uint32_t)capacity;
    return grown;
}

void crn_heap_blob_unref(struct crn_heap_blob *blob)
{
    if (!blob || atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) > 1)
        return;
    meter_subtract(blob->meter, blob_bytes(blob->key_size, blob->capacity));
    free(blob);
}

struct crn_heap_node *crn_heap_node_new(struct crn_heap_meter *meter, unsigned level)
{
    struct crn_heap_node *node = malloc(node_bytes(level));
    if (!node)
        return NULL;
    atomic_init(&node->refs, 1);
    node->count = 0;
    node->level = (uint16_t)level;
    node->skip = 0;
    node->meter = meter;
    meter_add(meter, node_bytes(level));
    return node;
}

/* The node alone, without what it refers to. */
static void free_shell(struct crn_heap_node *node)
{
    meter_subtract(node->meter, node_bytes(node->level));
    free(node);
}

static void drop_slots(const struct crn_heap_node *node, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        crn_heap_blob_unref(node->blobs[i]);
        if (node->level > 0)
            crn_heap_node_unref(node->children[i]);
    }
}

void crn_heap_node_unref(struct crn_heap_node *node)
{
    if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) > 1)
        return;
    drop_slots(node, 0, node->count);
    free_shell(node);
}

/* For a second owner of what the node refers to. */
static void share_slots(const struct crn_heap_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        if (node->blobs[i])
            crn_heap_blob_ref(node->blobs[i]);
        if (node->level > 0)
            crn_heap_node_ref(node->children[i]);
    }
}

static void copy_slots(struct crn_heap_node *to, size_t at, const struct crn_heap_node *from,
                       size_t first, size_t count)
{
    memmove(&to->heads[at], &from->heads[first], count * sizeof(to->heads[0]));
    memmove(&to->blobs[at], &from->blobs[first], count * sizeof(struct crn_heap_blob *));
    if (to->level > 0)
        memmove(&to->children[at], &from->children[first], count * sizeof(struct crn_heap_node *));
}

int crn_heap_node_own(struct crn_heap_node **slot)
{
    struct crn_heap_node *shared = *slot;
    if (crn_heap_node_is_mine(shared))
        return 0;
    struct crn_heap_node *copy = crn_heap_node_new(shared->meter, shared->level);
    if (!copy)
        return CAIRN_ENOMEM;
    copy->count = shared->count;
    copy->skip = shared->skip;
    copy_slots(copy, 0, shared, 0, shared->count);
    share_slots(copy);
    *slot = copy;
    crn_heap_node_unref(shared);
    return 0;
}

/* ---- search ---- */

/* The bytes from `skip` on as a number that compares as they do. */
static uint64_t head_of(const uint8_t *key, size_t size, size_t skip, uint8_t fill)
{
    uint8_t bytes[HEAD_BYTES];
    uint64_t head;
    if (size >= skip + HEAD_BYTES) {
        memcpy(&head, key + skip, sizeof(head));
        return __builtin_bswap64(head);
    }
    memset(bytes, fill, sizeof(bytes));
    if (size > skip)
        memcpy(bytes, key + skip, size - skip);
    memcpy(&head, bytes, sizeof(head));
    return __builtin_bswap64(head);
}

bool crn_heap_is_before(const struct crn_heap_blob *blob, const struct crn_heap_bound *bound)
{
    size_t common = blob->key_size < bound->size ? blob->key_size : bound->size;
    int c = common > 0 ? memcmp(blob->bytes, bound->data, common) : 0;
    if (c != 0)
        return c < 0;
    if (bound->side == CRN_HEAP_AFTER_PREFIX || blob->key_size < bound->size)
        return true;
    return bound->side == CRN_HEAP_AFTER && blob->key_size == bound->size;
}

/* How many of the keys from `first` on are before the bound, and `first`. */
static size_t find(const struct crn_heap_node *node, size_t first,
                   const struct crn_heap_bound *bound)
{
    size_t low = first, high = node->count;
    if (low == high)
        return low;
    if (node->skip > 0) {
        /* Decided for all of them, unless the bound shares what they have in common. */
        size_t common = bound->size < node->skip ? bound->size : node->skip;
        int c = common > 0 ? memcmp(bound->data, node->blobs[first]->bytes, common) : 0;
        if (c == 0 && bound->size < node->skip)
            c = bound->side == CRN_HEAP_AFTER_PREFIX ? 1 : -1;
        if (c != 0)
            return c < 0 ? low : high;
    }
    /* Filled up so that what begins with a prefix is not above it. */
    uint8_t fill = bound->side == CRN_HEAP_AFTER_PREFIX ? 0xff : 0;
    uint64_t head = head_of(bound->data, bound->size, node->skip, fill);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        bool before = node->heads[middle] == head ? crn_heap_is_before(node->blobs[middle], bound)
                                                  : node->heads[middle] < head;
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t crn_heap_node_find(const struct crn_heap_node *leaf, const struct crn_heap_bound *bound)
{
    return find(leaf, 0, bound);
}

size_t crn_heap_node_child(const struct crn_heap_node *node, const struct crn_heap_bound *bound)
{
    struct crn_heap_bound behind = *bound;
    if (behind.side == CRN_HEAP_BEFORE)
        behind.side = CRN_HEAP_AFTER; /* a key that is a separator is right of it */
    return find(node, 1, &behind) - 1;
}

/* ---- changes ---- */

static void set_head(struct crn_heap_node *node, size_t i)
{
    const struct crn_heap_blob *blob = node->blobs[i];
    node->heads[i] = blob ? head_of(blob->bytes, blob->key_size, node->skip, 0) : 0;
}

/* What first and last key have in common, all between them have. */
static size_t common_prefix(const struct crn_heap_node *node)
{
    size_t first = node->level > 0;
    if (node->count <= first)
        return 0;
    const struct crn_heap_blob *a = node->blobs[first], *b = node->blobs[node->count - 1];
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size, i = 0;
    while (i < size && a->bytes[i] == b->bytes[i])
        i++;
    return i;
}

static void set_all_heads(struct crn_heap_node *node)
{
    node->skip = (uint32_t)common_prefix(node);
    for (size_t i = 0; i < node->count; i++)
        set_head(node, i);
}

void crn_heap_node_insert(struct crn_heap_node *node, size_t at, struct crn_heap_blob *blob,
                          struct crn_heap_node *child)
{
    copy_slots(node, at + 1, node, at, node->count - at);
    node->count++;
    node->blobs[at] = blob;
    if (node->level > 0)
        node->children[at] = child;
    size_t first = node->level > 0;
    bool is_edge = at <= first || at + 1u == node->count;
    if (is_edge && (node->count <= first + 1 || common_prefix(node) < node->skip))
        set_all_heads(node);
    else
        set_head(node, at);
}

void crn_heap_node_prepend(struct crn_heap_node *node, struct crn_heap_node *child,
                           struct crn_heap_blob *separator)
{
    copy_slots(node, 1, node, 0, node->count);
    node->count++;
    node->blobs[0] = NULL;
    node->blobs[1] = separator;
    node->children[0] = child;
    set_all_heads(node);
}

void crn_heap_node_remove(struct crn_heap_node *node, size_t first, size_t end)
{
    drop_slots(node, first, end);
    copy_slots(node, first, node, end, node->count - end);
    node->count = (uint16_t)(node->count - (end - first));
    if (node->level > 0 && first == 0 && end > 0 && node->count > 0) {
        crn_heap_blob_unref(node->blobs[0]);
        node->blobs[0] = NULL;
    }
}

void crn_heap_node_split(struct crn_heap_node *node, size_t from, struct crn_heap_node *right)
{
    size_t moved = node->count - from;
    copy_slots(right, 0, node, from, moved);
    right->count = (uint16_t)moved;
    node->count = (uint16_t)from;
    set_all_heads(node);
    set_all_heads(right);
}

/* All of `from` to a place in `to`, which may be changed; gives the reference to `from` back. */
static void move_all(struct crn_heap_node *to, size_t at, struct crn_heap_node *from)
{
    bool is_mine = crn_heap_node_is_mine(from);
    size_t count = from->count;
    copy_slots(to, at + count, to, at, to->count - at);
    copy_slots(to, at, from, 0, count);
    to->count = (uint16_t)(to->count + count);
    if (is_mine) {
        free_shell(from);
        return;
    }
    share_slots(from);
    crn_heap_node_unref(from);
}

void crn_heap_node_merge(struct crn_heap_node *node, size_t i)
{
    struct crn_heap_node *left = node->children[i], *right = node->children[i + 1];
    struct crn_heap_node *merged = crn_heap_node_is_mine(left) ? left : right;
    struct crn_heap_blob *separator = node->blobs[i + 1];
    size_t seam = left->count;

    if (merged == left)
        move_all(left, seam, right);
    else
        move_all(right, 0, left);
    if (merged->level > 0)
        merged->blobs[seam] = separator; /* it was NULL: place 0 of the right one */
    else
        crn_heap_blob_unref(separator);
    set_all_heads(merged);
    node->children[i] = merged;
    copy_slots(node, i + 1, node, i + 2, node->count - (i + 2));
    node->count--;
}
