/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_HEAP_INTERNAL_H
#define CRN_STATE_HEAP_INTERNAL_H

#include "backends/state/state.h"
#include "base/thread.h"

/* What the heap*.c files share; heap.c explains it. Nothing else includes this. */

/* ---- blobs and nodes: heap_node.c ---- */

/* Bytes that are allocated now: of all versions, also those that only snapshots hold. */
struct crn_heap_meter {
    _Atomic uint64_t bytes;
};

/* An entry (key and value), or the separator of two nodes (a key alone). Counted. The key never
 * changes; the value changes in place only while there is one reference. */
struct crn_heap_blob {
    atomic_uint refs;
    uint32_t key_size, value_size, capacity; /* capacity: for the value */
    struct crn_heap_meter *meter;
    uint8_t bytes[]; /* key, value */
};

static inline const uint8_t *crn_heap_value(const struct crn_heap_blob *blob)
{
    return blob->bytes + blob->key_size;
}

#define CRN_HEAP_NODE_MAX 32u
#define CRN_HEAP_DEPTH_MAX 16u
#define CRN_HEAP_VALUE_MAX UINT32_MAX

/* A node of a B+-tree. Counted; changed only while there is one reference to it and to each node
 * above it. blobs[] are a leaf's entries, or separators: keys of child i are not below blobs[i] and
 * are below blobs[i + 1]; an inner node's blobs[0] is NULL. All its keys begin with the same `skip`
 * bytes, and heads[] are the eight bytes behind them (zeros where a key ends): most comparisons
 * need no more, and no look at the blob. */
struct crn_heap_node {
    atomic_uint refs;
    uint16_t count;
    uint16_t level; /* 0: leaf */
    uint32_t skip;
    struct crn_heap_meter *meter;
    uint64_t heads[CRN_HEAP_NODE_MAX];
    struct crn_heap_blob *blobs[CRN_HEAP_NODE_MAX];
    struct crn_heap_node *children[]; /* CRN_HEAP_NODE_MAX; inner nodes only */
};

/* A place between two keys. */
enum crn_heap_side {
    CRN_HEAP_BEFORE,      /* before the key */
    CRN_HEAP_AFTER,       /* behind it */
    CRN_HEAP_AFTER_PREFIX /* behind every key that begins with it */
};
struct crn_heap_bound {
    const uint8_t *data;
    size_t size;
    enum crn_heap_side side;
};

/* A blob with one reference; bytes of the value are copied if value is not NULL. NULL: no memory.
 */
struct crn_heap_blob *crn_heap_blob_new(struct crn_heap_meter *meter, const void *key,
                                        size_t key_size, const void *value, size_t value_size,
                                        size_t capacity);
/* Of a blob with one reference; NULL: no memory, and the blob is as it was. */
struct crn_heap_blob *crn_heap_blob_grow(struct crn_heap_blob *blob, size_t capacity);
void crn_heap_blob_unref(struct crn_heap_blob *blob); /* NULL is fine */
static inline struct crn_heap_blob *crn_heap_blob_ref(struct crn_heap_blob *blob)
{
    atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}
/* The acquire meets the release of whoever gave the other references back: what they read was read
 * before what is now written. */
static inline bool crn_heap_blob_is_mine(const struct crn_heap_blob *blob)
{
    return atomic_load_explicit(&blob->refs, memory_order_acquire) == 1;
}

struct crn_heap_node *crn_heap_node_new(struct crn_heap_meter *meter, unsigned level);
void crn_heap_node_unref(struct crn_heap_node *node); /* NULL is fine */
static inline struct crn_heap_node *crn_heap_node_ref(struct crn_heap_node *node)
{
    if (node)
        atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
    return node;
}
static inline bool crn_heap_node_is_mine(const struct crn_heap_node *node)
{
    return atomic_load_explicit(&node->refs, memory_order_acquire) == 1;
}
/* Makes *slot a node that may be changed: itself, or a copy that takes its place. */
int crn_heap_node_own(struct crn_heap_node **slot);
bool crn_heap_is_before(const struct crn_heap_blob *blob, const struct crn_heap_bound *bound);
/* How many of a leaf's entries are before the bound. */
size_t crn_heap_node_find(const struct crn_heap_node *leaf, const struct crn_heap_bound *bound);
/* The child in which the bound is; for a key's, the one that has the key. */
size_t crn_heap_node_child(const struct crn_heap_node *node, const struct crn_heap_bound *bound);
/* Of nodes that may be changed. Insert takes the references over (child NULL in leaves); a blob at
 * place 0 of an inner node is NULL. Remove drops references. */
void crn_heap_node_insert(struct crn_heap_node *node, size_t at, struct crn_heap_blob *blob,
                          struct crn_heap_node *child);
/* In front of all of an inner node; the separator stands between the child and those. */
void crn_heap_node_prepend(struct crn_heap_node *node, struct crn_heap_node *child,
                           struct crn_heap_blob *separator);
void crn_heap_node_remove(struct crn_heap_node *node, size_t first, size_t end);
/* Moves what is at `from` and behind to an empty node. */
void crn_heap_node_split(struct crn_heap_node *node, size_t from, struct crn_heap_node *right);
/* Makes one of children i and i + 1, one of which may be changed. They must fit. */
void crn_heap_node_merge(struct crn_heap_node *node, size_t i);

/* ---- trees: heap_tree.c ---- */

/* One version of an ordered map. */
struct crn_heap_tree {
    struct crn_heap_node *root; /* NULL: empty */
    struct crn_heap_meter *meter;
};
/* The entry of a key, not counted; NULL: none. */
struct crn_heap_blob *crn_heap_tree_get(const struct crn_heap_tree *tree, const void *key,
                                        size_t key_size);
/* 0, CAIRN_ENOMEM, or CAIRN_EINVAL for a value that is too large; then nothing has changed. */
int crn_heap_tree_put(struct crn_heap_tree *tree, const void *key, size_t key_size,
                      const void *value, size_t value_size);
int crn_heap_tree_append(struct crn_heap_tree *tree, const void *key, size_t key_size,
                         const void *value, size_t value_size);
/* Puts an entry as it is, with a reference of its own. */
int crn_heap_tree_put_blob(struct crn_heap_tree *tree, struct crn_heap_blob *entry);
/* What is between the bounds; NULL: no bound. */
int crn_heap_tree_cut(struct crn_heap_tree *tree, const struct crn_heap_bound *from,
                      const struct crn_heap_bound *to);
/* Moves all entries of `right`, whose keys are above all of `left`, there. */
int crn_heap_tree_join(struct crn_heap_tree *left, struct crn_heap_tree *right);
/* First and last entry, not counted; of a tree that is not empty. */
struct crn_heap_blob *crn_heap_tree_first(const struct crn_heap_tree *tree);
struct crn_heap_blob *crn_heap_tree_last(const struct crn_heap_tree *tree);
int crn_heap_compare_keys(const struct crn_heap_blob *a, const struct crn_heap_blob *b);

/* ---- cursors: heap_scan.c ---- */

/* Goes through one version of a tree, which someone holds meanwhile. */
struct crn_heap_cursor {
    struct {
        const struct crn_heap_node *node;
        size_t at;
    } path[CRN_HEAP_DEPTH_MAX]; /* from the root down */
    size_t depth;               /* 0: at the end */
};
/* To the first entry behind the bound (NULL: to the first one). */
void crn_heap_cursor_seek(struct crn_heap_cursor *cursor, const struct crn_heap_node *root,
                          const struct crn_heap_bound *bound);
/* The entry, and one further. NULL: the end. */
struct crn_heap_blob *crn_heap_cursor_next(struct crn_heap_cursor *cursor);

/* ---- the database ---- */

struct crn_state {
    /* constant after creation */
    char *name;
    bool is_list;
    /* writer's thread only */
    bool has_ttl;
    uint64_t ttl_ms;
    struct crn_heap_tree tree;
    struct cairn_buffer looked_at; /* key of the last entry that expiry has looked at */
    unsigned unlooked_writes;
    /* loads that have ended, and are not in the tree yet; guarded by the database's mutex */
    struct crn_state_load *loaded; /* by their keys */
    atomic_bool has_loaded;        /* so that a look needs no mutex */
};

struct crn_state_snapshot {
    uint64_t bytes; /* of the database at that time */
    size_t count;
    struct {
        struct crn_state *state;
        struct crn_heap_node *root;
    } states[];
};

struct crn_heap {
    struct crn_state_db base;
    /* constant after open */
    uint32_t max_parallelism, key_group_first, key_group_last;
    int64_t (*now_ms)(void *context);
    void *now_context;
    uint64_t file_bytes;         /* a captured file is of so much memory, about */
    struct crn_heap_meter meter; /* atomic */
    /* guarded by mutex; the writer alone changes them, so it reads them without */
    struct crn_mutex mutex;
    struct crn_state **states;
    size_t state_count, state_capacity;
    /* guarded by mutex */
    struct crn_state_snapshot *barrier; /* between barrier() and release() */
    /* writer's thread only */
    uint64_t sequence; /* of writes */
};

static inline struct crn_heap *crn_heap_of(struct crn_state_db *db)
{
    return (struct crn_heap *)db;
}

/* heap.c */
int crn_heap_too_large(const struct crn_state *state, uint64_t size, cairn_error **reterr);

/* heap_load.c: what loads have brought becomes part of the tree. Writer, before it looks at one. */
int crn_heap_settle_slowly(struct crn_heap *db, struct crn_state *state, cairn_error **reterr);
static inline int crn_heap_settle(struct crn_heap *db, struct crn_state *state,
                                  cairn_error **reterr)
{
    if (__builtin_expect(!atomic_load_explicit(&state->has_loaded, memory_order_acquire), 1))
        return 0;
    return crn_heap_settle_slowly(db, state, reterr);
}
void crn_heap_forget_loads(struct crn_state *state);
int crn_heap_load_begin(struct crn_state_db *db, struct crn_state *state,
                        struct crn_state_load **ret, cairn_error **reterr);
int crn_heap_load_put(struct crn_state_load *load, const void *key, size_t key_size,
                      const void *value, size_t value_size, cairn_error **reterr);
int crn_heap_load_end(struct crn_state_load *load, bool keep, cairn_error **reterr);

/* heap_expiry.c: drops some of what is expired. After each write. */
#define CRN_HEAP_EXPIRY_WRITES 32u
void crn_heap_expire_slowly(struct crn_heap *db, struct crn_state *state);
static inline void crn_heap_expire(struct crn_heap *db, struct crn_state *state)
{
    if (state->ttl_ms > 0 && ++state->unlooked_writes >= CRN_HEAP_EXPIRY_WRITES)
        crn_heap_expire_slowly(db, state);
}

/* heap_scan.c */
int crn_heap_iterate(struct crn_state_db *db, struct crn_state *state, const void *prefix,
                     size_t prefix_size, struct crn_state_iterator **ret, cairn_error **reterr);
int crn_heap_next(struct crn_state_iterator *iterator, const uint8_t **ret_key,
                  size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                  cairn_error **reterr);
void crn_heap_end(struct crn_state_iterator *iterator);
int crn_heap_snapshot(struct crn_state_db *db, struct crn_state_snapshot **ret,
                      cairn_error **reterr);
void crn_heap_release_snapshot(struct crn_state_snapshot *snapshot);
int crn_heap_scan(struct crn_state_snapshot *snapshot, struct crn_state *state,
                  const struct crn_state_range *range, struct crn_state_iterator **ret,
                  cairn_error **reterr);

/* heap_capture.c */
int crn_heap_barrier(struct crn_state_db *db, struct crn_barrier *ret, cairn_error **reterr);
int crn_heap_capture(struct crn_state_db *db, const struct crn_barrier *barrier,
                     const char *directory, const atomic_bool *cancelled, struct crn_capture *ret,
                     cairn_error **reterr);
void crn_heap_release(struct crn_state_db *db);

#endif
