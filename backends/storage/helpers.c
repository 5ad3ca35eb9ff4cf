/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What every store needs: the rules for keys and ranges, which methods it has, and memory as a
 * source or a sink.
 *
 * Keys reach a store from manifests, which are untrusted (P11). A key that passes here can be used
 * as a relative path: it names something below the root, and never a temporary object.
 */

#include "backends/storage/storage.h"

#include "base/text.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

bool crn_store_segment_is_valid(const char *segment, size_t n)
{
    static const char temp[] = CRN_STORE_TEMP_PREFIX;
    if (n == 0 || n > CRN_STORE_SEGMENT_MAX)
        return false;
    if (segment[0] == '.' && (n == 1 || (n == 2 && segment[1] == '.')))
        return false;
    if (n >= sizeof(temp) - 1 && memcmp(segment, temp, sizeof(temp) - 1) == 0)
        return false;
    return memchr(segment, '/', n) == NULL && crn_text_is_clean(segment, n);
}

bool crn_store_key_is_valid(const char *key)
{
    if (key == NULL || strnlen(key, CRN_STORE_KEY_MAX + 1) > CRN_STORE_KEY_MAX)
        return false;
    for (;;) {
        size_t n = strcspn(key, "/");
        if (!crn_store_segment_is_valid(key, n))
            return false;
        if (key[n] == 0)
            return true;
        key += n + 1;
    }
}

int crn_store_check_key(const char *key, cairn_error **reterr)
{
    if (crn_store_key_is_valid(key))
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, key, "'%s' is not a valid object key",
                        key != NULL ? key : "(null)");
}

int crn_store_check_range(const char *key, uint64_t total, uint64_t offset, uint64_t size,
                          uint64_t *ret_size, cairn_error **reterr)
{
    if (offset <= total && size == UINT64_MAX)
        size = total - offset;
    if (offset > total || size > total - offset)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "'%s' has %" PRIu64 " bytes, too few for the range from %" PRIu64, key,
                            total, offset);
    *ret_size = size;
    return 0;
}

int crn_store_check_segments_prefix(const char *prefix, cairn_error **reterr)
{
    size_t n = strlen(prefix);
    if (n == 0 || prefix[n - 1] == '/')
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, prefix, "prefix '%s' does not end with '/'", prefix);
}

/* Does the vtable reach as far as this method? Beyond struct_size there is no memory to look at. */
#define REACHES(ops, method)                                                                       \
    ((ops)->struct_size >= offsetof(cairn_store_ops, method) + sizeof(ops)->method)

int crn_store_check(const cairn_store *store, cairn_error **reterr)
{
    if (store == NULL || store->ops == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "store is NULL");
    const cairn_store_ops *ops = store->ops;
    if (!REACHES(ops, remove))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the store's struct_size is %u: it ends before a method that every "
                            "store has",
                            ops->struct_size);
    return 0;
}

int crn_store_link_out(cairn_store *store, const char *key, const char *path,
                       cairn_put_how *ret_how, cairn_error **reterr)
{
    if (!REACHES(store->ops, link_out) || store->ops->link_out == NULL)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, key, "this store cannot link '%s'", key);
    return store->ops->link_out(store, key, path, ret_how, reterr);
}

int crn_store_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                   cairn_put_how *ret_how, cairn_error **reterr)
{
    if (!REACHES(store->ops, copy) || store->ops->copy == NULL)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, key,
                            "this store cannot make '%s' of another object", key);
    return store->ops->copy(store, key, from, from_key, ret_how, reterr);
}

uint64_t crn_store_range_bytes(cairn_store *store)
{
    if (!REACHES(store->ops, range_bytes) || store->ops->range_bytes == NULL)
        return 0;
    return store->ops->range_bytes(store);
}

int crn_store_reap(cairn_store *store, const char *prefix, uint64_t min_age_ms, uint64_t *ret_count,
                   cairn_error **reterr)
{
    if (!REACHES(store->ops, reap) || store->ops->reap == NULL)
        return 0;
    return store->ops->reap(store, prefix, min_age_ms, ret_count, reterr);
}

const char *crn_store_caveat(cairn_store *store)
{
    if (!REACHES(store->ops, caveat) || store->ops->caveat == NULL)
        return NULL;
    return store->ops->caveat(store);
}

static int read_bytes(struct cairn_source *source, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    const struct crn_bytes_source *bytes = (const struct crn_bytes_source *)source;
    if (offset > source->size || n > source->size - offset)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "read beyond the end of a source");
    if (n > 0)
        memcpy(data, bytes->data + offset, n);
    return 0;
}

void crn_bytes_source_init(struct crn_bytes_source *source, const void *data, size_t size)
{
    *source = (struct crn_bytes_source){.source = {.size = size, .read = read_bytes}, .data = data};
}

struct buffer_sink {
    cairn_sink sink;
    struct cairn_buffer *out;
    size_t start; /* what the buffer held before */
    size_t max_size;
    const char *key;
};

static int write_buffer(struct cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                        cairn_error **reterr)
{
    struct buffer_sink *to = (struct buffer_sink *)sink;
    if (offset == 0)
        to->out->size = to->start;
    if (n > to->max_size - (to->out->size - to->start))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, to->key, "'%s' is larger than %zu bytes",
                            to->key, to->max_size);
    if (crn_buf_append(to->out, data, n) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

int crn_store_get_bytes(cairn_store *store, const char *key, size_t max_size,
                        struct cairn_buffer *out, cairn_error **reterr)
{
    struct buffer_sink sink = {.sink = {.write = write_buffer},
                               .out = out,
                               .start = out->size,
                               .max_size = max_size,
                               .key = key};
    int r = store->ops->get(store, key, 0, UINT64_MAX, &sink.sink, reterr);
    if (r < 0)
        out->size = sink.start;
    return r;
}
