/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Aggregating state: inputs of one type folded into an accumulator of another by the caller's
 * functions. What is stored is the accumulator; a result is computed at each get() into
 * task->result.
 */

#include "engine/states/keyed.h"

struct cairn_aggregating {
    struct crn_keyed keyed;
    cairn_aggregate_functions functions;
    struct cairn_buffer folded;
};

static void free_aggregating(struct crn_keyed *keyed)
{
    struct cairn_aggregating *state = (struct cairn_aggregating *)keyed;
    crn_buf_done(&state->folded);
    free(state);
}

int cairn_aggregating_state(cairn_task *task, const char *name, cairn_type accumulator_type,
                            const cairn_aggregate_functions *functions,
                            const cairn_state_options *options, cairn_aggregating **ret_state,
                            cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_state, reterr));
    if (functions == NULL || functions->add == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "an aggregating state needs an add function");
    CRN_AUTO_FREE cairn_aggregating *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return crn_err_nomem(reterr);
    state->keyed.free = free_aggregating;
    state->functions = *functions;
    CRN_TRY(crn_keyed_register(task, &state->keyed, name, CAIRN_KIND_AGGREGATING, accumulator_type,
                               CAIRN_BYTES, options, reterr));
    *ret_state = CRN_TAKE(state);
    return 0;
}

/* Folds an input into the accumulator (NULL: there is none yet) and writes it. */
static int fold(struct cairn_aggregating *state, const void *accumulator, size_t accumulator_size,
                const void *input, size_t size, cairn_error **reterr)
{
    struct crn_keyed *keyed = &state->keyed;
    crn_buf_clear(&state->folded);
    int r = state->functions.add(state->functions.context, accumulator, accumulator_size, input,
                                 size, &state->folded);
    if (r != 0)
        return crn_keyed_callback_failed(keyed, "add", r, reterr);
    CRN_TRY(crn_keyed_check_value(keyed, state->folded.data, state->folded.size, reterr));
    return crn_keyed_write(keyed, &keyed->task->key, state->folded.data, state->folded.size,
                           reterr);
}

int cairn_aggregating_add(cairn_aggregating *state, const void *input, size_t size,
                          cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct crn_keyed *keyed = &state->keyed;
    struct cairn_task *task = keyed->task;
    CRN_TRY(crn_keyed_ready(keyed, reterr));
    CRN_TRY(crn_keyed_check_bytes(keyed, "input", CAIRN_BYTES, input, size, CRN_VALUE_SIZE_MAX,
                                  reterr));
    struct crn_pin pin = {0};
    const uint8_t *stored = NULL;
    size_t stored_size = 0;
    int r = crn_keyed_read(keyed, &task->key, &pin, crn_keyed_converted(keyed), false, &stored,
                           &stored_size, reterr);
    if (r >= 0) {
        r = fold(state, r > 0 ? stored : NULL, r > 0 ? stored_size : 0, size > 0 ? input : "", size,
                 reterr);
        crn_scratch_trim(&state->folded);
    }
    crn_task_unpin(task, &pin);
    return r;
}

int cairn_aggregating_get(cairn_aggregating *state, const void **ret_data, size_t *ret_size,
                          cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct crn_keyed *keyed = &state->keyed;
    struct cairn_buffer *result = &keyed->task->result;
    if (state->functions.result == NULL)
        return crn_keyed_get(keyed, ret_data, ret_size, reterr);
    CRN_TRY(crn_keyed_ready(keyed, reterr));
    const uint8_t *accumulator;
    size_t size;
    int r = crn_keyed_read(keyed, &keyed->task->key, &keyed->task->pin, crn_keyed_converted(keyed),
                           true, &accumulator, &size, reterr);
    if (r <= 0)
        return r;
    crn_buf_clear(result);
    r = state->functions.result(state->functions.context, accumulator, size, result);
    if (r != 0)
        return crn_keyed_callback_failed(keyed, "result", r, reterr);
    *ret_data = result->size > 0 ? result->data : (const uint8_t *)"";
    *ret_size = result->size;
    return 1;
}

int cairn_aggregating_clear(cairn_aggregating *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_clear(&state->keyed, reterr);
}
