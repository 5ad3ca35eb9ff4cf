/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operator state: small lists and broadcast maps of a subtask, in memory, belonging to no key.
 * Source positions live here, so what a checkpoint holds of it is exactly what it was at the
 * barrier (P2): the task's thread encodes it there, whole.
 *
 * States that were restored but that nobody registers are kept, and written again with every
 * checkpoint. A public handle is the state itself: cairn_operator_list and cairn_broadcast are two
 * names of struct crn_operator_state. Only the task's thread comes here; no locks.
 *
 * Proved by tests/test_operator_state.c.
 */

#include "engine/states/operator_state.h"
#include "engine/states/keyed.h"
#include <string.h>

struct cairn_operator_list {
    struct crn_operator_state state;
};
struct cairn_broadcast {
    struct crn_operator_state state;
};

struct crn_operator_state *crn_operator_state_of(cairn_operator_list *list)
{
    return &list->state;
}

int crn_operator_states_new(struct crn_operator_states **ret, cairn_error **reterr)
{
    struct crn_operator_states *states = calloc(1, sizeof(*states));
    if (states == NULL)
        return crn_err_nomem(reterr);
    *ret = states;
    return 0;
}

static void free_state(struct crn_operator_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        free(state->items[i].bytes);
    free(state->items);
    free((void *)(uintptr_t)state->info.name);
    free(state);
}

void crn_operator_states_free(struct crn_operator_states *states)
{
    if (states == NULL)
        return;
    for (size_t i = 0; i < states->count; i++)
        free_state(states->states[i]);
    free(states->states);
    free(states);
}

/* First index whose name is not below `name`. */
static size_t seek_name(const struct crn_operator_states *states, const char *name)
{
    size_t low = 0, high = states->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(states->states[middle]->info.name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct crn_operator_state *crn_operator_states_find(const struct crn_operator_states *states,
                                                    const char *name)
{
    size_t at = seek_name(states, name);
    if (at < states->count && strcmp(states->states[at]->info.name, name) == 0)
        return states->states[at];
    return NULL;
}

/* Room for one more in an array that doubles. */
static int grow(void **array, size_t element_size, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity > 0 ? 2 * *capacity : 8;
    void *grown = reallocarray(*array, wanted, element_size);
    if (grown == NULL)
        return CAIRN_ENOMEM;
    *array = grown;
    *capacity = wanted;
    return 0;
}

int crn_operator_states_add(struct crn_operator_states *states, const cairn_state_info *info,
                            struct crn_operator_state **ret)
{
    struct crn_operator_state *found = crn_operator_states_find(states, info->name);
    if (found != NULL) {
        *ret = found;
        return 0;
    }
    void *array = states->states;
    int r = grow(&array, sizeof(states->states[0]), states->count, &states->capacity);
    states->states = array;
    if (r < 0)
        return r;
    CRN_AUTO_FREE struct crn_operator_state *state = calloc(1, sizeof(*state));
    CRN_AUTO_FREE char *name = crn_str_dup_n(info->name, strlen(info->name));
    if (state == NULL || name == NULL)
        return CAIRN_ENOMEM;
    size_t at = seek_name(states, name);
    state->info = *info;
    state->info.name = CRN_TAKE(name);
    memmove(&states->states[at + 1], &states->states[at],
            (states->count - at) * sizeof(states->states[0]));
    states->states[at] = state;
    states->count++;
    *ret = CRN_TAKE(state);
    return 0;
}

bool crn_operator_state_seek(const struct crn_operator_state *state, const void *key,
                             size_t key_size, size_t *ret_index)
{
    size_t low = 0, high = state->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct crn_operator_item *item = &state->items[middle];
        size_t shared = item->key_size < key_size ? item->key_size : key_size;
        int order = shared > 0 ? memcmp(item->bytes, key, shared) : 0;
        if (order == 0 && item->key_size == key_size) {
            *ret_index = middle;
            return true;
        }
        if (order < 0 || (order == 0 && item->key_size < key_size))
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return false;
}

static int new_item(struct crn_operator_item *ret, const void *key, size_t key_size,
                    const void *value, size_t value_size)
{
    uint8_t *bytes = malloc(key_size + value_size + 1); /* + 1: never NULL for an empty one */
    if (bytes == NULL)
        return CAIRN_ENOMEM;
    if (key_size > 0)
        memcpy(bytes, key, key_size);
    if (value_size > 0)
        memcpy(bytes + key_size, value, value_size);
    *ret = (struct crn_operator_item){bytes, key_size, value_size};
    return 0;
}

int crn_operator_state_insert(struct crn_operator_state *state, size_t index, const void *key,
                              size_t key_size, const void *value, size_t value_size)
{
    void *array = state->items;
    int r = grow(&array, sizeof(state->items[0]), state->count, &state->capacity);
    state->items = array;
    struct crn_operator_item item;
    if (r < 0 || new_item(&item, key, key_size, value, value_size) < 0)
        return CAIRN_ENOMEM;
    memmove(&state->items[index + 1], &state->items[index],
            (state->count - index) * sizeof(state->items[0]));
    state->items[index] = item;
    state->count++;
    return 0;
}

void crn_operator_state_remove(struct crn_operator_state *state, size_t index)
{
    free(state->items[index].bytes);
    state->count--;
    memmove(&state->items[index], &state->items[index + 1],
            (state->count - index) * sizeof(state->items[0]));
}

void crn_operator_states_remove(struct crn_operator_states *states, const char *name)
{
    size_t at = seek_name(states, name);
    if (at == states->count || strcmp(states->states[at]->info.name, name) != 0)
        return;
    free_state(states->states[at]);
    states->count--;
    memmove(&states->states[at], &states->states[at + 1],
            (states->count - at) * sizeof(states->states[0]));
}

int crn_operator_states_describe(const struct crn_operator_states *states, struct crn_operator *op,
                                 cairn_error **reterr)
{
    for (size_t i = 0; i < states->count; i++) {
        cairn_state_info *added = crn_operator_add_state(op);
        if (added == NULL || crn_state_copy(added, &states->states[i]->info) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * The public calls
 * ------------------------------------------------------------------------------------------ */

static int register_state(struct cairn_task *task, const cairn_state_info *info,
                          struct crn_operator_state **ret, cairn_error **reterr)
{
    struct crn_operator_state *state = NULL;
    int r = crn_task_check_new_state(task, info, reterr);
    if (r == CAIRN_EMISMATCH)
        crn_task_prefix_error(task, reterr);
    CRN_TRY(r);
    crn_siblings_lock(task);
    r = crn_siblings_check_locked(task, info, reterr);
    if (r == 0 && crn_operator_states_add(task->operators, info, &state) < 0)
        r = crn_err_nomem(reterr);
    crn_siblings_unlock(task);
    CRN_TRY(r);
    state->task = task;
    *ret = state;
    return 0;
}

static int check_changeable(const struct crn_operator_state *state, cairn_error **reterr)
{
    if (atomic_load_explicit(&state->task->open, memory_order_acquire))
        return crn_task_check_unfinished(state->task, reterr);
    return crn_task_not_ready(state->task, CAIRN_ECLOSED, reterr);
}

static int check_bytes(const struct crn_operator_state *state, const char *what, cairn_type type,
                       const void *data, size_t size, size_t max_size, cairn_error **reterr)
{
    if (size > max_size)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s': a %s of %zu bytes is over the limit of %zu",
                            state->info.name, what, size, max_size);
    if (data == NULL && size > 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "state '%s': a %s of %zu bytes is NULL",
                            state->info.name, what, size);
    if (!crn_type_fits(type, size))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s': a %s of type %s has 8 bytes, not %zu", state->info.name,
                            what, crn_type_name(type), size);
    return 0;
}

int cairn_operator_list_state(cairn_task *task, const char *name,
                              cairn_redistribution redistribution, cairn_type element_type,
                              cairn_operator_list **ret_list, cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_list, reterr));
    if (redistribution != CAIRN_SPLIT && redistribution != CAIRN_UNION)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "there is no redistribution %d",
                            (int)redistribution);
    cairn_state_info info = {.name = name,
                             .kind = redistribution == CAIRN_UNION ? CAIRN_KIND_OPERATOR_UNION
                                                                   : CAIRN_KIND_OPERATOR_LIST,
                             .value_type = element_type};
    struct crn_operator_state *state = NULL;
    CRN_TRY(register_state(task, &info, &state, reterr));
    *ret_list = (cairn_operator_list *)state;
    return 0;
}

size_t cairn_operator_list_size(const cairn_operator_list *list)
{
    return list != NULL ? list->state.count : 0;
}

int cairn_operator_list_at(const cairn_operator_list *list, size_t i, const void **ret_data,
                           size_t *ret_size)
{
    if (list == NULL || i >= list->state.count)
        return CAIRN_EINVAL;
    *ret_data = list->state.items[i].bytes;
    *ret_size = list->state.items[i].value_size;
    return 0;
}

int cairn_operator_list_add(cairn_operator_list *list, const void *data, size_t size,
                            cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(list, reterr));
    struct crn_operator_state *state = &list->state;
    CRN_TRY(check_changeable(state, reterr));
    CRN_TRY(check_bytes(state, "value", state->info.value_type, data, size, CRN_VALUE_SIZE_MAX,
                        reterr));
    if (crn_operator_state_insert(state, state->count, NULL, 0, data, size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

int cairn_operator_list_add_int64(cairn_operator_list *list, int64_t value, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(list, reterr));
    if (list->state.info.value_type != CAIRN_INT64)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s' has values of type %s, not int64", list->state.info.name,
                            crn_type_name(list->state.info.value_type));
    uint8_t bytes[8];
    cairn_encode_int64(value, bytes);
    return cairn_operator_list_add(list, bytes, sizeof(bytes), reterr);
}

int cairn_operator_list_clear(cairn_operator_list *list, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(list, reterr));
    struct crn_operator_state *state = &list->state;
    CRN_TRY(check_changeable(state, reterr));
    for (size_t i = 0; i < state->count; i++)
        free(state->items[i].bytes);
    state->count = 0;
    return 0;
}

int cairn_broadcast_state(cairn_task *task, const char *name, cairn_type key_type,
                          cairn_type value_type, cairn_broadcast **ret_broadcast,
                          cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_broadcast, reterr));
    cairn_state_info info = {.name = name,
                             .kind = CAIRN_KIND_BROADCAST,
                             .value_type = value_type,
                             .map_key_type = key_type};
    struct crn_operator_state *state = NULL;
    CRN_TRY(register_state(task, &info, &state, reterr));
    *ret_broadcast = (cairn_broadcast *)state;
    return 0;
}

int cairn_broadcast_get(const cairn_broadcast *broadcast, const void *key, size_t key_size,
                        const void **ret_data, size_t *ret_size)
{
    size_t at;
    if (broadcast == NULL || (key == NULL && key_size > 0))
        return CAIRN_EINVAL;
    if (!crn_operator_state_seek(&broadcast->state, key, key_size, &at))
        return 0;
    const struct crn_operator_item *item = &broadcast->state.items[at];
    *ret_data = item->bytes + item->key_size;
    *ret_size = item->value_size;
    return 1;
}

int cairn_broadcast_put(cairn_broadcast *broadcast, const void *key, size_t key_size,
                        const void *data, size_t size, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(broadcast, reterr));
    struct crn_operator_state *state = &broadcast->state;
    CRN_TRY(check_changeable(state, reterr));
    CRN_TRY(check_bytes(state, "key", state->info.map_key_type, key, key_size, CRN_KEY_SIZE_MAX,
                        reterr));
    CRN_TRY(check_bytes(state, "value", state->info.value_type, data, size, CRN_VALUE_SIZE_MAX,
                        reterr));
    size_t at;
    if (!crn_operator_state_seek(state, key, key_size, &at)) {
        if (crn_operator_state_insert(state, at, key, key_size, data, size) < 0)
            return crn_err_nomem(reterr);
        return 0;
    }
    struct crn_operator_item item;
    if (new_item(&item, key, key_size, data, size) < 0)
        return crn_err_nomem(reterr);
    free(state->items[at].bytes); /* after the copy: the caller may pass what it got from here */
    state->items[at] = item;
    return 0;
}

int cairn_broadcast_remove(cairn_broadcast *broadcast, const void *key, size_t key_size,
                           cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(broadcast, reterr));
    struct crn_operator_state *state = &broadcast->state;
    CRN_TRY(check_changeable(state, reterr));
    CRN_TRY(check_bytes(state, "key", state->info.map_key_type, key, key_size, CRN_KEY_SIZE_MAX,
                        reterr));
    size_t at;
    if (!crn_operator_state_seek(state, key, key_size, &at))
        return 0;
    crn_operator_state_remove(state, at);
    return 0;
}

size_t cairn_broadcast_size(const cairn_broadcast *broadcast)
{
    return broadcast != NULL ? broadcast->state.count : 0;
}

int cairn_broadcast_at(const cairn_broadcast *broadcast, size_t i, cairn_entry *ret_entry)
{
    if (broadcast == NULL || i >= broadcast->state.count)
        return CAIRN_EINVAL;
    const struct crn_operator_item *item = &broadcast->state.items[i];
    *ret_entry = (cairn_entry){.key = item->bytes,
                               .key_size = item->key_size,
                               .value = item->bytes + item->key_size,
                               .value_size = item->value_size};
    return 0;
}
