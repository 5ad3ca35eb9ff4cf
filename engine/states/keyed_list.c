/* SPDX-License-Identifier: Apache-2.0 */

/*
 * List state: elements in the order of adding, one value in the database (values.h has the bytes).
 *
 * add() appends through the backend's merge and reads nothing, so that filling a list costs the
 * same at every length. load() copies the whole value into the handle, since reading other states
 * between two elements is what a caller does, and a pin would not outlast that. With expiry each
 * element has its own time; load() leaves out those whose time is over. Elements of older schemas
 * are converted into a second buffer, which grows, so elements are remembered by where they start.
 */

#include "engine/states/keyed.h"
#include <string.h>

struct element {
    size_t start; /* in the handle's bytes, or in what was converted */
    size_t size;
    bool is_converted;
};

struct cairn_list {
    struct crn_keyed keyed;
    struct cairn_buffer bytes;     /* the stored value, as load() found it */
    struct cairn_buffer converted; /* its elements of older schemas, one after another */
    struct element *elements;
    size_t count;
    size_t capacity;
};

static void free_list(struct crn_keyed *keyed)
{
    struct cairn_list *list = (struct cairn_list *)keyed;
    crn_buf_done(&list->bytes);
    crn_buf_done(&list->converted);
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
    if (keyed->schemas != NULL)
        CRN_TRY(crn_keyed_tag(keyed, &data, &size, reterr));
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

static int push(struct cairn_list *list, const struct element *element, cairn_error **reterr)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        struct element *grown = reallocarray(list->elements, capacity, sizeof(*grown));
        if (grown == NULL)
            return crn_err_nomem(reterr);
        list->elements = grown;
        list->capacity = capacity;
    }
    list->elements[list->count++] = *element;
    return 0;
}

/* Takes the tag off; what has to be converted is kept in list->converted. */
static int untag(struct cairn_list *list, const uint8_t *data, size_t size, struct element *ret,
                 cairn_error **reterr)
{
    struct cairn_buffer *converted = crn_keyed_converted(&list->keyed);
    CRN_TRY(crn_keyed_untag(&list->keyed, &data, &size, converted, reterr));
    ret->is_converted = data == converted->data;
    ret->start = ret->is_converted ? list->converted.size : (size_t)(data - list->bytes.data);
    ret->size = size;
    if (ret->is_converted && crn_buf_append(&list->converted, data, size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

/* Index what is in list->bytes. */
static int index_elements(struct cairn_list *list, cairn_error **reterr)
{
    const struct crn_keyed *keyed = &list->keyed;
    struct crn_reader reader = {.data = list->bytes.data, .size = list->bytes.size};
    int64_t now = keyed->has_ttl ? crn_keyed_now(keyed) : 0;
    struct crn_list_element stored;
    int r;
    while ((r = crn_list_next_element(&reader, keyed->has_ttl, &stored)) > 0) {
        if (keyed->has_ttl && crn_ttl_expired(stored.written_ms, keyed->info.ttl_ms, now))
            continue;
        struct element element = {(size_t)(stored.data - list->bytes.data), stored.size, false};
        if (keyed->schemas != NULL)
            CRN_TRY(untag(list, stored.data, stored.size, &element, reterr));
        CRN_TRY(push(list, &element, reterr));
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
    crn_buf_clear(&state->converted);
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
    const struct element *element = &state->elements[i];
    const struct cairn_buffer *from = element->is_converted ? &state->converted : &state->bytes;
    *ret_data = element->size > 0 ? from->data + element->start : (const uint8_t *)"";
    *ret_size = element->size;
    return 0;
}

int cairn_list_clear(cairn_list *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_clear(&state->keyed, reterr);
}
