/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store in this process's memory, for tests and for trying things out.
 *
 * Objects are immutable blobs with a reference count, in an array sorted by key. The store's mutex
 * guards the array only: sources are read before it is taken, sinks and list callbacks run after it
 * was released, on references taken under it. So an object that is removed while it is read is read
 * whole, and callbacks may call the store. Nothing survives the handle: flush() has nothing to do.
 * Each call counts as a request (base/meter.h), as it would be one to a server.
 */

#include "backends/storage/storage.h"

#include "base/meter.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <string.h>

/* The longest stretch that a sink takes at once, as in the other stores. */
#define PIECE_BYTES ((size_t)1 << 20)

struct blob {
    atomic_uint references;
    int64_t modified_ms;
    size_t size;
    uint8_t *data;
    char *key;
};

struct memory_store {
    cairn_store store;
    struct crn_mutex lock;
    /* guarded by lock */
    struct blob **blobs;
    size_t count;
    size_t capacity;
};

static void blob_release(struct blob *blob)
{
    if (blob == NULL || atomic_fetch_sub(&blob->references, 1) > 1)
        return;
    free(blob->data);
    free(blob->key);
    free(blob);
}

static void blob_release_at(struct blob **blob)
{
    blob_release(*blob);
}
#define AUTO_BLOB CRN_CLEANUP(blob_release_at)

static struct blob *blob_ref(struct blob *blob)
{
    atomic_fetch_add(&blob->references, 1);
    return blob;
}

static struct blob *blob_new(const char *key, uint64_t size)
{
    struct blob *blob = calloc(1, sizeof(*blob));
    if (blob == NULL)
        return NULL;
    atomic_init(&blob->references, 1);
    blob->modified_ms = crn_wall_ms();
    blob->key = strdup(key);
    blob->data = size < SIZE_MAX ? malloc((size_t)size + 1) : NULL; /* an empty one is not NULL */
    blob->size = (size_t)size;
    if (blob->key == NULL || blob->data == NULL) {
        blob_release(blob);
        return NULL;
    }
    return blob;
}

static struct memory_store *self(cairn_store *store)
{
    return (struct memory_store *)store;
}

/* Index of the first blob whose key is not less than key. The lock is held. */
static size_t lower_bound(const struct memory_store *store, const char *key)
{
    crn_mutex_assert_held(&store->lock);
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->blobs[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool holds(const struct memory_store *store, size_t i, const char *key)
{
    return i < store->count && strcmp(store->blobs[i]->key, key) == 0;
}

/* A reference to the object, or NULL. */
static struct blob *find(struct memory_store *store, const char *key)
{
    crn_mutex_lock(&store->lock);
    size_t i = lower_bound(store, key);
    struct blob *blob = holds(store, i, key) ? blob_ref(store->blobs[i]) : NULL;
    crn_mutex_unlock(&store->lock);
    return blob;
}

static void memory_close(cairn_store *store);

static int find_or_fail(struct memory_store *store, const char *key, struct blob **ret,
                        cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    *ret = find(store, key);
    if (*ret == NULL)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, key, "no object '%s'", key);
    return 0;
}

/* Insert a blob if its key is absent; 0, CAIRN_EEXIST with a reference to the other one, or
 * CAIRN_ENOMEM. The reference to `blob` is taken over on success only. */
static int insert(struct memory_store *store, struct blob *blob, struct blob **ret_other)
{
    int r = 0;
    crn_mutex_lock(&store->lock);
    size_t i = lower_bound(store, blob->key);
    if (holds(store, i, blob->key)) {
        *ret_other = blob_ref(store->blobs[i]);
        r = CAIRN_EEXIST;
    } else if (store->count == store->capacity) {
        size_t capacity = store->capacity > 0 ? 2 * store->capacity : 16;
        struct blob **more = reallocarray(store->blobs, capacity, sizeof(struct blob *));
        if (more != NULL) {
            store->blobs = more;
            store->capacity = capacity;
        } else {
            r = CAIRN_ENOMEM;
        }
    }
    if (r == 0) {
        memmove(&store->blobs[i + 1], &store->blobs[i], (store->count - i) * sizeof(struct blob *));
        store->blobs[i] = blob;
        store->count++;
    }
    crn_mutex_unlock(&store->lock);
    return r;
}

static int exists_already(const char *key, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EEXIST, key, "object '%s' exists", key);
}

/* Consumes the reference to `blob`, unless the key is there with other bytes or there is no memory.
 */
static int insert_or_compare(struct memory_store *store, struct blob **blob, cairn_error **reterr)
{
    AUTO_BLOB struct blob *other = NULL;
    int r = insert(store, *blob, &other);
    if (r == 0)
        *blob = NULL;
    else if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    else if (other->size != (*blob)->size || memcmp(other->data, (*blob)->data, other->size) != 0)
        return exists_already((*blob)->key, reterr);
    return 0;
}

static int memory_put(cairn_store *store, const char *key, cairn_source *source,
                      cairn_put_how *ret_how, cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    crn_meter_charge(source->size, 0);
    AUTO_BLOB struct blob *blob = blob_new(key, source->size);
    if (blob == NULL)
        return crn_err_nomem(reterr);
    for (size_t done = 0; done < blob->size;) {
        size_t n = blob->size - done < PIECE_BYTES ? blob->size - done : PIECE_BYTES;
        CRN_TRY(source->read(source, done, blob->data + done, n, reterr));
        done += n;
    }
    CRN_TRY(insert_or_compare(self(store), &blob, reterr));
    if (ret_how != NULL)
        *ret_how = CAIRN_PUT_COPIED;
    return 0;
}

/* The bytes go from one array to the other: nobody outside moves them. */
static int memory_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                       cairn_put_how *ret_how, cairn_error **reterr)
{
    AUTO_BLOB struct blob *source = NULL;
    if (from->ops->close != memory_close)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, from_key, "'%s' is not in memory",
                            from_key);
    CRN_TRY(crn_store_check_key(key, reterr));
    crn_meter_charge(0, 0);
    CRN_TRY(find_or_fail(self(from), from_key, &source, reterr));
    AUTO_BLOB struct blob *blob = blob_new(key, source->size);
    if (blob == NULL)
        return crn_err_nomem(reterr);
    memcpy(blob->data, source->data, source->size);
    CRN_TRY(insert_or_compare(self(store), &blob, reterr));
    if (ret_how != NULL)
        *ret_how = CAIRN_PUT_CLONED;
    return 0;
}

static int memory_create(cairn_store *store, const char *key, const void *data, size_t size,
                         cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    crn_meter_charge(size, 0);
    AUTO_BLOB struct blob *blob = blob_new(key, size);
    AUTO_BLOB struct blob *other = NULL;
    if (blob == NULL)
        return crn_err_nomem(reterr);
    if (size > 0)
        memcpy(blob->data, data, size);
    int r = insert(self(store), blob, &other);
    if (r == CAIRN_EEXIST)
        return exists_already(key, reterr);
    if (r < 0)
        return crn_err_nomem(reterr);
    blob = NULL;
    return 0;
}

static int memory_flush(cairn_store *store, cairn_error **reterr)
{
    (void)store;
    (void)reterr;
    return 0;
}

static int memory_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                      cairn_sink *sink, cairn_error **reterr)
{
    AUTO_BLOB struct blob *blob = NULL;
    int found = find_or_fail(self(store), key, &blob, reterr);
    if (found == 0)
        found = crn_store_check_range(key, blob->size, offset, size, &size, reterr);
    crn_meter_charge(0, found == 0 ? size : 0);
    CRN_TRY(found);
    for (uint64_t done = 0; done < size;) {
        size_t n = size - done < PIECE_BYTES ? (size_t)(size - done) : PIECE_BYTES;
        CRN_TRY(sink->write(sink, done, blob->data + offset + done, n, reterr));
        done += n;
    }
    return 0;
}

static cairn_object_stat stat_of(const struct blob *blob)
{
    return (cairn_object_stat){.size = blob->size, .modified_ms = blob->modified_ms};
}

static int memory_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                       cairn_error **reterr)
{
    AUTO_BLOB struct blob *blob = NULL;
    crn_meter_charge(0, 0);
    CRN_TRY(find_or_fail(self(store), key, &blob, reterr));
    *ret_stat = stat_of(blob);
    return 0;
}

/* References to all objects whose keys start with prefix, so that they can be shown without the
 * lock. */
static int snapshot(struct memory_store *store, const char *prefix, struct blob ***ret_blobs,
                    size_t *ret_count, cairn_error **reterr)
{
    size_t length = strlen(prefix);
    crn_meter_charge(0, 0);
    crn_mutex_lock(&store->lock);
    size_t first = lower_bound(store, prefix), end = first;
    while (end < store->count && strncmp(store->blobs[end]->key, prefix, length) == 0)
        end++;
    struct blob **blobs = calloc(end - first + 1, sizeof(struct blob *));
    for (size_t i = first; blobs != NULL && i < end; i++)
        blobs[i - first] = blob_ref(store->blobs[i]);
    crn_mutex_unlock(&store->lock);
    if (blobs == NULL)
        return crn_err_nomem(reterr);
    *ret_blobs = blobs;
    *ret_count = end - first;
    return 0;
}

static void release_all(struct blob **blobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blob_release(blobs[i]);
    free(blobs);
}

static int memory_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                       cairn_error **reterr)
{
    struct blob **blobs;
    size_t count;
    CRN_TRY(snapshot(self(store), prefix, &blobs, &count, reterr));
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        cairn_object_stat stat = stat_of(blobs[i]);
        r = fn(context, blobs[i]->key, &stat);
    }
    release_all(blobs, count);
    return r;
}

static int memory_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn,
                                void *context, cairn_error **reterr)
{
    CRN_TRY(crn_store_check_segments_prefix(prefix, reterr));
    struct blob **blobs;
    size_t count, length = strlen(prefix);
    CRN_TRY(snapshot(self(store), prefix, &blobs, &count, reterr));
    int r = 0;
    char last[CRN_STORE_SEGMENT_MAX + 2] = "";
    for (size_t i = 0; i < count && r == 0; i++) {
        const char *rest = blobs[i]->key + length, *slash = strchr(rest, '/');
        if (slash == NULL) {
            cairn_object_stat stat = stat_of(blobs[i]);
            r = fn(context, rest, &stat);
            continue;
        }
        size_t n = (size_t)(slash - rest) + 1;
        if (strncmp(last, rest, n) == 0)
            continue;
        memcpy(last, rest, n);
        last[n] = 0;
        r = fn(context, last, NULL);
    }
    release_all(blobs, count);
    return r;
}

static int memory_remove(cairn_store *store, const char *const *keys, size_t n,
                         cairn_error **reterr)
{
    struct memory_store *memory = self(store);
    int result = 0;
    crn_meter_charge(0, 0);
    for (size_t k = 0; k < n; k++) {
        int r = crn_store_check_key(keys[k], reterr);
        if (r < 0) {
            result = result < 0 ? result : r;
            continue;
        }
        struct blob *blob = NULL;
        crn_mutex_lock(&memory->lock);
        size_t i = lower_bound(memory, keys[k]);
        if (holds(memory, i, keys[k])) {
            blob = memory->blobs[i];
            memory->count--;
            memmove(&memory->blobs[i], &memory->blobs[i + 1],
                    (memory->count - i) * sizeof(struct blob *));
        }
        crn_mutex_unlock(&memory->lock);
        blob_release(blob);
    }
    return result;
}

static void memory_close(cairn_store *store)
{
    struct memory_store *memory = self(store);
    release_all(memory->blobs, memory->count);
    crn_mutex_done(&memory->lock);
    free(memory);
}

static const cairn_store_ops memory_ops = {
    .struct_size = sizeof(cairn_store_ops),
    .scheme = "memory",
    .close = memory_close,
    .put = memory_put,
    .create = memory_create,
    .flush = memory_flush,
    .get = memory_get,
    .stat = memory_stat,
    .list = memory_list,
    .list_segments = memory_list_segments,
    .remove = memory_remove,
    .copy = memory_copy,
};

int crn_memory_store_open(cairn_store **ret_store, cairn_error **reterr)
{
    struct memory_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return crn_err_nomem(reterr);
    store->store.ops = &memory_ops;
    crn_mutex_init(&store->lock, CRN_RANK_STORE);
    *ret_store = &store->store;
    return 0;
}
