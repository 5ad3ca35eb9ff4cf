/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Iterators over a whole keyed state or over one map: the backend's iterator, with composite keys
 * taken apart, time stamps and tags taken off, values of older schemas converted, expired entries
 * left out and lists given out by element.
 *
 * An iterator sees the state as of its creation, so writing (also by renewal, which happens here
 * for maps) while iterating is fine. Open iterators are linked in their task:
 * crn_iterators_detach() ends what they hold in the database before it is closed; their handles
 * then only answer CAIRN_ECLOSED and wait to be freed by their owner.
 */

#include "engine/states/keyed.h"
#include <string.h>

struct cairn_iterator {
    struct cairn_iterator *next, **link; /* in task->iterators; link NULL: detached */
    struct crn_keyed *keyed;
    struct crn_state_iterator *inner;
    bool renew;
    struct crn_key_parts parts;
    struct crn_reader elements;    /* lists: what is left of the current entry */
    struct cairn_buffer key;       /* copy of the key of an entry that is renewed */
    struct cairn_buffer converted; /* a value of an older schema */
};

static void detach(struct cairn_iterator *iterator)
{
    if (iterator->link == NULL)
        return;
    iterator->keyed->task->db->ops->end(iterator->inner);
    *iterator->link = iterator->next;
    if (iterator->next != NULL)
        iterator->next->link = iterator->link;
    iterator->link = NULL;
}

void crn_iterators_detach(struct cairn_task *task)
{
    while (task->iterators != NULL)
        detach(task->iterators);
}

void cairn_iterator_close(cairn_iterator *iterator)
{
    if (iterator == NULL)
        return;
    detach(iterator);
    crn_buf_done(&iterator->key);
    crn_buf_done(&iterator->converted);
    free(iterator);
}

int crn_iterate(struct crn_keyed *keyed, const struct cairn_buffer *prefix, bool renew,
                cairn_iterator **ret_iterator, cairn_error **reterr)
{
    struct cairn_task *task = keyed->task;
    CRN_AUTO_FREE struct cairn_iterator *iterator = calloc(1, sizeof(*iterator));
    if (iterator == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(task->db->ops->iterate(task->db, keyed->state, prefix->data, prefix->size,
                                   &iterator->inner, reterr));
    iterator->keyed = keyed;
    iterator->renew = renew && keyed->ttl_on_read;
    iterator->next = task->iterators;
    iterator->link = &task->iterators;
    if (iterator->next != NULL)
        iterator->next->link = &iterator->next;
    task->iterators = iterator;
    *ret_iterator = CRN_TAKE(iterator);
    return 0;
}

int cairn_task_iterate(cairn_task *task, const char *state_name, cairn_iterator **ret_iterator,
                       cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(task, reterr));
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return crn_task_not_ready(task, CAIRN_ECLOSED, reterr);
    CRN_TRY(crn_task_check_unfinished(task, reterr));
    if (state_name == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the state's name is NULL");
    static const struct cairn_buffer everything = {0};
    for (struct crn_keyed *keyed = task->keyed; keyed != NULL; keyed = keyed->next)
        if (strcmp(keyed->info.name, state_name) == 0)
            return crn_iterate(keyed, &everything, false, ret_iterator, reterr);
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, NULL,
                        "task '%s' has no registered keyed state '%s'", task->uid, state_name);
}

static void fill(const struct cairn_iterator *iterator, const uint8_t *value, size_t value_size,
                 cairn_entry *ret_entry)
{
    const struct crn_key_parts *parts = &iterator->parts;
    bool is_map = iterator->keyed->info.kind == CAIRN_KIND_MAP;
    *ret_entry = (cairn_entry){
        .key = parts->key,
        .key_size = parts->key_size,
        .ns = parts->ns,
        .ns_size = parts->ns_size,
        .map_key = is_map ? parts->map_key : NULL,
        .map_key_size = is_map ? parts->map_key_size : 0,
        .value = value_size > 0 ? value : (const uint8_t *)"",
        .value_size = value_size,
    };
}

/* The next live element of the current list; 0 when it has none left. */
static int next_element(struct cairn_iterator *iterator, cairn_entry *ret_entry,
                        cairn_error **reterr)
{
    struct crn_keyed *keyed = iterator->keyed;
    struct crn_list_element element;
    int r;
    while ((r = crn_list_next_element(&iterator->elements, keyed->has_ttl, &element)) > 0) {
        if (keyed->has_ttl &&
            crn_ttl_expired(element.written_ms, keyed->info.ttl_ms, crn_keyed_now(keyed)))
            continue;
        if (keyed->schemas != NULL)
            CRN_TRY(
                crn_keyed_untag(keyed, &element.data, &element.size, &iterator->converted, reterr));
        fill(iterator, element.data, element.size, ret_entry);
        return 1;
    }
    return r < 0 ? crn_keyed_corrupt(keyed, "a list's elements are damaged", reterr) : 0;
}

static int renew(struct cairn_iterator *iterator, const uint8_t *key, size_t key_size,
                 const uint8_t *value, size_t value_size, cairn_error **reterr)
{
    crn_buf_clear(&iterator->key);
    if (crn_buf_append(&iterator->key, key, key_size) < 0)
        return crn_err_nomem(reterr);
    return crn_keyed_write_stored(iterator->keyed, &iterator->key, value, value_size, reterr);
}

/* One entry that is not a list: 1, or 0 if it is expired. */
static int take_value(struct cairn_iterator *iterator, const uint8_t *key, size_t key_size,
                      const uint8_t *value, size_t value_size, cairn_entry *ret_entry,
                      cairn_error **reterr)
{
    struct crn_keyed *keyed = iterator->keyed;
    int64_t written;
    if (!crn_value_split(value, value_size, keyed->has_ttl, &written, &value, &value_size))
        return crn_keyed_corrupt(keyed, "a value is too short for its time stamp", reterr);
    if (keyed->has_ttl) {
        int64_t now = crn_keyed_now(keyed);
        if (crn_ttl_expired(written, keyed->info.ttl_ms, now))
            return 0;
        if (iterator->renew && now > written)
            CRN_TRY(renew(iterator, key, key_size, value, value_size, reterr));
    }
    if (keyed->schemas != NULL)
        CRN_TRY(crn_keyed_untag(keyed, &value, &value_size, &iterator->converted, reterr));
    fill(iterator, value, value_size, ret_entry);
    return 1;
}

int cairn_iterator_next(cairn_iterator *iterator, cairn_entry *ret_entry, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(iterator, reterr));
    if (iterator->link == NULL)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "the iterator's task is closed");
    const struct crn_keyed *keyed = iterator->keyed;
    struct cairn_task *task = keyed->task;
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return crn_task_not_ready(task, CAIRN_ECLOSED, reterr);
    for (;;) {
        int r = next_element(iterator, ret_entry, reterr);
        if (r != 0)
            return r;
        const uint8_t *key, *value;
        size_t key_size, value_size;
        r = task->db->ops->next(iterator->inner, &key, &key_size, &value, &value_size, reterr);
        if (r <= 0)
            return r;
        if (!crn_key_split(key, key_size, task->max_parallelism, &iterator->parts))
            return crn_keyed_corrupt(keyed, "a key is not a composite key", reterr);
        if (keyed->info.kind == CAIRN_KIND_LIST) {
            iterator->elements = (struct crn_reader){.data = value, .size = value_size};
            continue;
        }
        r = take_value(iterator, key, key_size, value, value_size, ret_entry, reterr);
        if (r != 0)
            return r;
    }
}
