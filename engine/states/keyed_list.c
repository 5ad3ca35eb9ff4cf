/* SPDX-License-Identifier: Apache-2.0 */

/*
 * List state: elements in the order of adding, one value in the database (values.h has the bytes).
 *
 * add() appends through the backend's merge and reads nothing, so that filling a list costs the
 * same at every length. load() copies the whole value into the handle, since reading other states
 * between two elements is what a caller does, and a pin would not outlast that. With expiry each
 * element has its own time; load() leaves out those whose time is over.
 */

#include "engine/states/keyed.h"
#include <string.h>

struct element {
    const uint8_t *data; /* in the handle's bytes */
    size_t size;
};

struct cairn_list {
    struct crn_keyed keyed;
    struct cairn_buffer bytes; /* the stored value, as load() found it */
    struct element *elements;
    size_t count;
    size_t capacity;
};

static void free_list(struct crn_keyed *keyed)
{
    struct cairn_list *list = (struct cairn_list *)keyed;
    crn_buf_done(&list->bytes);
    free(list->elements);
    free(list);
}

int cairn_list_state(cairn_task *task, const char *name, cairn_type element_type,
                     const cairn_state_options *options, cairn_list **ret_state,
                     cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_state, reterr));
    CRN_AUTO_FREE cairn_list *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return crn_err_nomem(reterr);
    state->keyed.free = free_list;
    CRN_TRY(crn_keyed_register(task, &state->keyed, name, CAIRN_KIND_LIST, element_type,
                               CAIRN_BYTES, options, reterr));
    *ret_state = CRN_TAKE(state);
    return 0;
}

int cairn_list_add(cairn_list *state, const void *data, size_t size, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct crn_keyed *keyed = &state->keyed;
    struct cairn_task *task = keyed->task;
    CRN_TRY(crn_keyed_ready(keyed, reterr));
    CRN_TRY(crn_keyed_check_value(keyed, data, size, reterr));
    crn_buf_clear(&task->scratch);
    if (crn_list_append_element(&task->scratch, keyed->has_ttl,
                                keyed->has_ttl ? crn_keyed_now(keyed) : 0, data, size) < 0)
        return crn_err_nomem(reterr);
    int r = task->db->ops->append(task->db, keyed->state, task->key.data, task->key.size,
                                  task->scratch.data, task->scratch.size, reterr);
    crn_scratch_trim(&task->scratch);
    return r;
}

int cairn_list_add_int64(cairn_list *state, int64_t value, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(crn_keyed_check_type(&state->keyed, CAIRN_INT64, reterr));
    uint8_t bytes[8];
    cairn_encode_int64(value, bytes);
    return cairn_list_add(state, bytes, sizeof(bytes), reterr);
}

static int push(struct cairn_list *list, const struct crn_list_element *element)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        struct element *grown = reallocarray(list->elements, capacity, sizeof(*grown));
        if (grown == NULL)
            return CAIRN_ENOMEM;
        list->elements = grown;
        list->capacity = capacity;
    }
    list->elements[list->count++] =
        (struct element){element->size > 0 ? element->data : (const uint8_t *)"", element->size};
    return 0;
}

/* Index what is in list->bytes. */
static int index_elements(struct cairn_list *list, cairn_error **reterr)
{
    const struct crn_keyed *keyed = &list->keyed;
    struct crn_reader reader = {.data = list->bytes.data, .size = list->bytes.size};
    int64_t now = keyed->has_ttl ? crn_keyed_now(keyed) : 0;
    struct crn_list_element element;
    int r;
    while ((r = crn_list_next_element(&reader, keyed->has_ttl, &element)) > 0) {
        if (keyed->has_ttl && crn_ttl_expired(element.written_ms, keyed->info.ttl_ms, now))
            continue;
        if (push(list, &element) < 0)
            return crn_err_nomem(reterr);
    }
    return r < 0 ? crn_keyed_corrupt(keyed, "a list's elements are damaged", reterr) : 0;
}

int64_t cairn_list_load(cairn_list *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct cairn_task *task = state->keyed.task;
    CRN_TRY(crn_keyed_ready(&state->keyed, reterr));
    state->count = 0;
    crn_buf_clear(&state->bytes);
    struct crn_pin pin = {0};
    int r = task->db->ops->get(task->db, state->keyed.state, task->key.data, task->key.size, &pin,
                               reterr);
    if (r <= 0)
        return r;
    r = crn_buf_append(&state->bytes, pin.data, pin.size);
    crn_task_unpin(task, &pin);
    if (r < 0)
        return crn_err_nomem(reterr);
    r = index_elements(state, reterr);
    if (r < 0)
        state->count = 0;
    return r < 0 ? r : (int64_t)state->count;
}

int cairn_list_at(const cairn_list *state, size_t i, const void **ret_data, size_t *ret_size)
{
    if (state == NULL || i >= state->count)
        return CAIRN_EINVAL;
    *ret_data = state->elements[i].data;
    *ret_size = state->elements[i].size;
    return 0;
}

int cairn_list_clear(cairn_list *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_clear(&state->keyed, reterr);
}
