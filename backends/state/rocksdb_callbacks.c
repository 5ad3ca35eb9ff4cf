/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What RocksDB calls back: the merge operator of lists and the compaction filter of expiring
 * states.
 *
 * The merge operator puts operands one behind the other: a list's value is the concatenation of its
 * encoded elements (values.h), so adding to a list reads nothing.
 *
 * The filter drops what is expired. It decides by the write's time, the state's duration as it is
 * now and the job's clock, so it can only drop what a read would hide as well: whether it runs or
 * not is never visible. Merge operands that no full value was made of yet are not shown to it.
 *
 * Both run in RocksDB's threads, several at once. They see bytes that may be damaged: what they
 * cannot decode, they keep, so that a reader meets it and says so (P8). Without memory they keep,
 * too.
 */
#include "backends/state/rocksdb_internal.h"
#include "backends/state/values.h"

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

/* One compaction's filter: RocksDB copies a changed value out of `kept` before the next call. */
struct expiry {
    const struct crn_state *state;
    struct cairn_buffer kept;
};

static const char *expiry_name(void *context)
{
    (void)context;
    return "cairn.expiry";
}

static void expiry_destroy(void *context)
{
    struct expiry *expiry = context;
    crn_buf_done(&expiry->kept);
    free(expiry);
}

static bool value_expired(const void *data, size_t size, uint64_t ttl, int64_t now)
{
    int64_t written;
    const uint8_t *value;
    size_t value_size;
    return crn_value_split(data, size, true, &written, &value, &value_size) &&
           crn_ttl_expired(written, ttl, now);
}

/* What stays of a list, in `kept`. false: all of it stays. */
static bool list_shrinks(struct expiry *expiry, const void *data, size_t size, uint64_t ttl,
                         int64_t now)
{
    struct crn_reader reader = {.data = data, .size = size};
    struct crn_list_element element;
    bool shrinks = false;
    int r;

    crn_buf_clear(&expiry->kept);
    while ((r = crn_list_next_element(&reader, true, &element)) > 0) {
        if (crn_ttl_expired(element.written_ms, ttl, now))
            shrinks = true;
        else if (crn_list_append_element(&expiry->kept, true, element.written_ms, element.data,
                                         element.size) < 0)
            return false;
    }
    return r == 0 && shrinks;
}

static unsigned char expiry_filter(void *context, int level, const char *key, size_t key_size,
                                   const char *existing, size_t size, char **ret_value,
                                   size_t *ret_size, unsigned char *ret_changed)
{
    struct expiry *expiry = context;
    const struct crn_state *state = expiry->state;
    uint64_t ttl = atomic_load_explicit(&state->ttl_ms, memory_order_relaxed);

    (void)level, (void)key, (void)key_size;
    *ret_changed = 0;
    if (ttl == 0)
        return 0;
    int64_t now = state->now_ms(state->now_context);
    if (!state->is_list)
        return value_expired(existing, size, ttl, now);
    if (!list_shrinks(expiry, existing, size, ttl, now))
        return 0;
    if (expiry->kept.size == 0)
        return 1;
    *ret_value = (char *)expiry->kept.data;
    *ret_size = expiry->kept.size;
    *ret_changed = 1;
    return 0;
}

static unsigned char keep_all(void *context, int level, const char *key, size_t key_size,
                              const char *existing, size_t size, char **ret_value, size_t *ret_size,
                              unsigned char *ret_changed)
{
    (void)context, (void)level, (void)key, (void)key_size, (void)existing, (void)size;
    (void)ret_value, (void)ret_size;
    *ret_changed = 0;
    return 0;
}

static void keep_all_destroy(void *context)
{
    (void)context; /* it has none */
}

static rocksdb_compactionfilter_t *expiry_create(void *context,
                                                 rocksdb_compactionfiltercontext_t *compaction)
{
    struct expiry *expiry = calloc(1, sizeof(*expiry));
    (void)compaction;
    if (!expiry) /* RocksDB insists on a filter */
        return rocksdb_compactionfilter_create(NULL, keep_all_destroy, keep_all, expiry_name);
    expiry->state = context;
    return rocksdb_compactionfilter_create(expiry, expiry_destroy, expiry_filter, expiry_name);
}

static void factory_destroy(void *context)
{
    (void)context; /* the state belongs to the database */
}

rocksdb_compactionfilterfactory_t *crn_rocksdb_expiry_filter(struct crn_state *state)
{
    return rocksdb_compactionfilterfactory_create(state, factory_destroy, expiry_create,
                                                  expiry_name);
}
