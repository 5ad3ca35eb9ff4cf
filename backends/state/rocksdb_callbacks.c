/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What RocksDB calls back for lists: the merge operator.
 *
 * It puts operands one behind the other: a list's value is the concatenation of its encoded
 * elements (values.h), so adding to a list reads nothing.
 *
 * It runs in RocksDB's threads, several at once, and looks at no byte: damage is found by whoever
 * reads the list (P8).
 */
#include "backends/state/rocksdb_internal.h"

#include <string.h>

static const char *append_name(void *context)
{
    (void)context;
    return "cairn.append";
}

static void append_destroy(void *context)
{
    (void)context; /* it has none */
}

/* The existing value (may be NULL) and all operands as one. NULL, and *ret_ok false: no memory. */
static char *concatenate(const char *existing, size_t existing_size, const char *const *operands,
                         const size_t *sizes, int count, unsigned char *ret_ok, size_t *ret_size)
{
    size_t total = existing ? existing_size : 0;
    for (int i = 0; i < count; i++)
        total += sizes[i];
    char *joined = malloc(total + 1);
    *ret_ok = joined != NULL;
    *ret_size = 0;
    if (!joined)
        return NULL;
    char *end = joined;
    if (existing && existing_size > 0)
        end = mempcpy(end, existing, existing_size);
    for (int i = 0; i < count; i++)
        if (sizes[i] > 0)
            end = mempcpy(end, operands[i], sizes[i]);
    *ret_size = total;
    return joined;
}

static char *append_full(void *context, const char *key, size_t key_size, const char *existing,
                         size_t existing_size, const char *const *operands, const size_t *sizes,
                         int count, unsigned char *ret_ok, size_t *ret_size)
{
    (void)context, (void)key, (void)key_size;
    return concatenate(existing, existing_size, operands, sizes, count, ret_ok, ret_size);
}

static char *append_partial(void *context, const char *key, size_t key_size,
                            const char *const *operands, const size_t *sizes, int count,
                            unsigned char *ret_ok, size_t *ret_size)
{
    (void)context, (void)key, (void)key_size;
    return concatenate(NULL, 0, operands, sizes, count, ret_ok, ret_size);
}

static void append_free(void *context, const char *value, size_t size)
{
    (void)context, (void)size;
    free((void *)(uintptr_t)value);
}

rocksdb_mergeoperator_t *crn_rocksdb_append_operator(void)
{
    return rocksdb_mergeoperator_create(NULL, append_destroy, append_full, append_partial,
                                        append_free, append_name);
}
