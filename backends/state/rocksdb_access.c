/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and iteration.
 *
 * These are a service's inner loop: no lock, no allocation of ours and no property query stands
 * between the caller and RocksDB, only the two subtractions of crn_rocksdb_pace().
 */
#include "backends/state/rocksdb_internal.h"

#include <string.h>

/* A range tombstone costs every later read of the state a look; below so many keys, tombstones of
 * their own are cheaper. */
#define SINGLE_REMOVALS_MAX 256u

static int read_failed(struct crn_rocksdb *db, struct crn_state *state, char *message,
                       cairn_error **reterr)
{
    return crn_rocksdb_fail(reterr, message, db->directory, state->name, "read");
}

static int write_result(struct crn_rocksdb *db, struct crn_state *state, char *message,
                        cairn_error **reterr)
{
    if (__builtin_expect(message == NULL, 1))
        return 0;
    return crn_rocksdb_fail(reterr, message, db->directory, state->name, "write");
}

void crn_rocksdb_unpin(struct crn_pin *pin)
{
    if (pin->handle)
        rocksdb_pinnableslice_destroy(pin->handle);
    *pin = (struct crn_pin){0};
}

int crn_rocksdb_get(struct crn_state_db *base, struct crn_state *state, const void *key,
                    size_t key_size, struct crn_pin *pin, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    char *message = NULL;

    crn_rocksdb_unpin(pin);
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(db->db, db->read_options, state->family, key, key_size, &message);
    if (__builtin_expect(message != NULL, 0))
        return read_failed(db, state, message, reterr);
    if (!slice)
        return 0;
    pin->handle = slice;
    pin->data = (const uint8_t *)rocksdb_pinnableslice_value(slice, &pin->size);
    return 1;
}

int crn_rocksdb_put(struct crn_state_db *base, struct crn_state *state, const void *key,
                    size_t key_size, const void *value, size_t value_size, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    char *message = NULL;
    crn_rocksdb_pace(db, state, key_size + value_size);
    rocksdb_put_cf(db->db, db->write_options, state->family, key, key_size, value, value_size,
                   &message);
    return write_result(db, state, message, reterr);
}

int crn_rocksdb_append(struct crn_state_db *base, struct crn_state *state, const void *key,
                       size_t key_size, const void *elements, size_t size, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    char *message = NULL;
    crn_rocksdb_pace(db, state, key_size + size);
    rocksdb_merge_cf(db->db, db->write_options, state->family, key, key_size, elements, size,
                     &message);
    return write_result(db, state, message, reterr);
}

int crn_rocksdb_remove(struct crn_state_db *base, struct crn_state *state, const void *key,
                       size_t key_size, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    char *message = NULL;
    crn_rocksdb_pace(db, state, key_size);
    rocksdb_delete_cf(db->db, db->write_options, state->family, key, key_size, &message);
    return write_result(db, state, message, reterr);
}

/* The first key behind all that start with prefix. 1; 0: there is none, all bytes are 0xff. */
static int prefix_end(const void *prefix, size_t size, struct cairn_buffer *out)
{
    const uint8_t *bytes = prefix;
    crn_buf_clear(out);
    while (size > 0 && bytes[size - 1] == 0xff)
        size--;
    if (size == 0)
        return 0;
    CRN_TRY(crn_buf_append(out, prefix, size));
    out->data[size - 1]++;
    return 1;
}

static int remove_range(struct crn_rocksdb *db, struct crn_state *state, const uint8_t *first,
                        size_t first_size, const struct cairn_buffer *end, cairn_error **reterr)
{
    char *message = NULL;
    crn_rocksdb_pace(db, state, first_size + end->size);
    rocksdb_delete_range_cf(db->db, db->write_options, state->family, (const char *)first,
                            first_size, (const char *)end->data, end->size, &message);
    return write_result(db, state, message, reterr);
}

int crn_rocksdb_remove_prefix(struct crn_state_db *base, struct crn_state *state,
                              const void *prefix, size_t prefix_size, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, removed = 0;

    CRN_TRY(crn_rocksdb_iterate(base, state, prefix, prefix_size, &iterator, reterr));
    int r;
    while ((r = crn_rocksdb_next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0) {
        bool many = ++removed > SINGLE_REMOVALS_MAX && iterator->bound.size > 0;
        r = many ? remove_range(db, state, key, key_size, &iterator->bound, reterr)
                 : crn_rocksdb_remove(base, state, key, key_size, reterr);
        if (r < 0 || many)
            break;
    }
    crn_rocksdb_end(iterator);
    return r < 0 ? r : 0;
}

int crn_rocksdb_iterate(struct crn_state_db *base, struct crn_state *state, const void *prefix,
                        size_t prefix_size, struct crn_state_iterator **ret, cairn_error **reterr)
{
    struct crn_state_iterator *iterator = calloc(1, sizeof(*iterator));
    if (!iterator)
        return crn_err_nomem(reterr);
    int r = prefix_end(prefix, prefix_size, &iterator->bound);
    if (r < 0) {
        free(iterator);
        return crn_err_nomem(reterr);
    }
    iterator->db = crn_rocksdb_of(base);
    iterator->state = state;
    iterator->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(iterator->options, 1);
    if (r > 0)
        rocksdb_readoptions_set_iterate_upper_bound(
            iterator->options, (const char *)iterator->bound.data, iterator->bound.size);
    /* A scan of everything must not push what gets need out of the cache. */
    rocksdb_readoptions_set_fill_cache(iterator->options, prefix_size > 0);
    iterator->rocks =
        rocksdb_create_iterator_cf(iterator->db->db, iterator->options, state->family);
    if (prefix_size > 0)
        rocksdb_iter_seek(iterator->rocks, prefix, prefix_size);
    else
        rocksdb_iter_seek_to_first(iterator->rocks);
    *ret = iterator;
    return 0;
}

int crn_rocksdb_next(struct crn_state_iterator *iterator, const uint8_t **ret_key,
                     size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                     cairn_error **reterr)
{
    if (iterator->started && rocksdb_iter_valid(iterator->rocks))
        rocksdb_iter_next(iterator->rocks);
    iterator->started = true;
    if (!rocksdb_iter_valid(iterator->rocks)) {
        char *message = NULL;
        rocksdb_iter_get_error(iterator->rocks, &message);
        return message ? read_failed(iterator->db, iterator->state, message, reterr) : 0;
    }
    *ret_key = (const uint8_t *)rocksdb_iter_key(iterator->rocks, ret_key_size);
    *ret_value = (const uint8_t *)rocksdb_iter_value(iterator->rocks, ret_value_size);
    return 1;
}

void crn_rocksdb_end(struct crn_state_iterator *iterator)
{
    if (!iterator)
        return;
    rocksdb_iter_destroy(iterator->rocks);
    rocksdb_readoptions_destroy(iterator->options);
    crn_buf_done(&iterator->bound);
    free(iterator);
}
