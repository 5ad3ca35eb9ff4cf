/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reducing state: one value, combined with every one added by the caller's function. Read, combine,
 * write: the function belongs to the caller's process and may not run in the database's threads.
 */

#include "engine/states/keyed.h"
#include <string.h>

struct cairn_reducing {
    struct crn_keyed keyed;
    cairn_reduce_fn reduce;
    void *context;
    struct cairn_buffer combined;
};

static void free_reducing(struct crn_keyed *keyed)
{
    struct cairn_reducing *state = (struct cairn_reducing *)keyed;
    crn_buf_done(&state->combined);
    free(state);
}

int cairn_reducing_state(cairn_task *task, const char *name, cairn_type value_type,
                         cairn_reduce_fn reduce, void *context, const cairn_state_options *options,
                         cairn_reducing **ret_state, cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_state, reterr));
    if (reduce == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a reducing state needs a function");
    CRN_AUTO_FREE cairn_reducing *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return crn_err_nomem(reterr);
    state->keyed.free = free_reducing;
    state->reduce = reduce;
    state->context = context;
    CRN_TRY(crn_keyed_register(task, &state->keyed, name, CAIRN_KIND_REDUCING, value_type,
                               CAIRN_BYTES, options, reterr));
    *ret_state = CRN_TAKE(state);
    return 0;
}

/* Combines what is stored with `data` and writes it. */
static int combine(struct cairn_reducing *state, const void *stored, size_t stored_size,
                   const void *data, size_t size, cairn_error **reterr)
{
    struct crn_keyed *keyed = &state->keyed;
    crn_buf_clear(&state->combined);
    int r = state->reduce(state->context, stored, stored_size, data, size, &state->combined);
    if (r != 0)
        return crn_keyed_callback_failed(keyed, "reduce", r, reterr);
    CRN_TRY(crn_keyed_check_value(keyed, state->combined.data, state->combined.size, reterr));
    return crn_keyed_write(keyed, &keyed->task->key, state->combined.data, state->combined.size,
                           reterr);
}

int cairn_reducing_add(cairn_reducing *state, const void *data, size_t size, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct crn_keyed *keyed = &state->keyed;
    struct cairn_task *task = keyed->task;
    CRN_TRY(crn_keyed_ready(keyed, reterr));
    CRN_TRY(crn_keyed_check_value(keyed, data, size, reterr));
    struct crn_pin pin = {0};
    const uint8_t *stored;
    size_t stored_size;
    int r = crn_keyed_read(keyed, &task->key, &pin, crn_keyed_converted(keyed), false, &stored,
                           &stored_size, reterr);
    if (r > 0) {
        r = combine(state, stored, stored_size, size > 0 ? data : "", size, reterr);
        crn_scratch_trim(&state->combined);
    } else if (r == 0) {
        r = crn_keyed_write(keyed, &task->key, data, size, reterr);
    }
    crn_task_unpin(task, &pin);
    return r;
}

int cairn_reducing_add_int64(cairn_reducing *state, int64_t value, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(crn_keyed_check_type(&state->keyed, CAIRN_INT64, reterr));
    uint8_t bytes[8];
    cairn_encode_int64(value, bytes);
    return cairn_reducing_add(state, bytes, sizeof(bytes), reterr);
}

int cairn_reducing_get(cairn_reducing *state, const void **ret_data, size_t *ret_size,
                       cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_get(&state->keyed, ret_data, ret_size, reterr);
}

int cairn_reducing_get_int64(cairn_reducing *state, int64_t *ret_value, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    const uint8_t *data;
    int r = crn_keyed_get_fixed(&state->keyed, CAIRN_INT64, &data, reterr);
    if (r > 0)
        *ret_value = cairn_decode_int64(data);
    return r;
}

int cairn_reducing_clear(cairn_reducing *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_clear(&state->keyed, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Built-in functions
 * ------------------------------------------------------------------------------------------ */

int cairn_reduce_sum_int64(void *context, const void *a, size_t a_size, const void *b,
                           size_t b_size, cairn_buffer *out)
{
    (void)context;
    if (a_size != 8 || b_size != 8)
        return CAIRN_EINVAL;
    uint8_t bytes[8];
    uint64_t sum = (uint64_t)cairn_decode_int64(a) + (uint64_t)cairn_decode_int64(b);
    cairn_encode_int64((int64_t)sum, bytes);
    return cairn_buffer_append(out, bytes, sizeof(bytes));
}

int cairn_reduce_sum_double(void *context, const void *a, size_t a_size, const void *b,
                            size_t b_size, cairn_buffer *out)
{
    (void)context;
    if (a_size != 8 || b_size != 8)
        return CAIRN_EINVAL;
    uint8_t bytes[8];
    cairn_encode_double(cairn_decode_double(a) + cairn_decode_double(b), bytes);
    return cairn_buffer_append(out, bytes, sizeof(bytes));
}

static int compare(const void *a, size_t a_size, const void *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

int cairn_reduce_min(void *context, const void *a, size_t a_size, const void *b, size_t b_size,
                     cairn_buffer *out)
{
    (void)context;
    bool first = compare(a, a_size, b, b_size) <= 0;
    return cairn_buffer_append(out, first ? a : b, first ? a_size : b_size);
}

int cairn_reduce_max(void *context, const void *a, size_t a_size, const void *b, size_t b_size,
                     cairn_buffer *out)
{
    (void)context;
    bool first = compare(a, a_size, b, b_size) >= 0;
    return cairn_buffer_append(out, first ? a : b, first ? a_size : b_size);
}
