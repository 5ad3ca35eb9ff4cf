/* SPDX-License-Identifier: Apache-2.0 */

/* Value state: one value per key and namespace. The thinnest layer over keyed.c; typed forms are
 * the 8 bytes of types.c. */

#include "engine/states/keyed.h"
#include <string.h>

struct cairn_value {
    struct crn_keyed keyed;
};

static void free_value(struct crn_keyed *keyed)
{
    free(keyed);
}

int cairn_value_state(cairn_task *task, const char *name, cairn_type value_type,
                      const cairn_state_options *options, cairn_value **ret_state,
                      cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_state, reterr));
    CRN_AUTO_FREE cairn_value *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return crn_err_nomem(reterr);
    state->keyed.free = free_value;
    CRN_TRY(crn_keyed_register(task, &state->keyed, name, CAIRN_KIND_VALUE, value_type, CAIRN_BYTES,
                               options, reterr));
    *ret_state = CRN_TAKE(state);
    return 0;
}

int cairn_value_get(cairn_value *state, const void **ret_data, size_t *ret_size,
                    cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_get(&state->keyed, ret_data, ret_size, reterr);
}

int cairn_value_put(cairn_value *state, const void *data, size_t size, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(crn_keyed_ready(&state->keyed, reterr));
    CRN_TRY(crn_keyed_check_value(&state->keyed, data, size, reterr));
    return crn_keyed_write(&state->keyed, &state->keyed.task->key, data, size, reterr);
}

int cairn_value_clear(cairn_value *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    return crn_keyed_clear(&state->keyed, reterr);
}

int cairn_value_get_int64(cairn_value *state, int64_t *ret_value, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    const uint8_t *data;
    int r = crn_keyed_get_fixed(&state->keyed, CAIRN_INT64, &data, reterr);
    if (r > 0)
        *ret_value = cairn_decode_int64(data);
    return r;
}

static int put_fixed(cairn_value *state, cairn_type type, const uint8_t bytes[8],
                     cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(crn_keyed_ready(&state->keyed, reterr));
    CRN_TRY(crn_keyed_check_type(&state->keyed, type, reterr));
    return crn_keyed_write(&state->keyed, &state->keyed.task->key, bytes, 8, reterr);
}

int cairn_value_put_int64(cairn_value *state, int64_t value, cairn_error **reterr)
{
    uint8_t bytes[8];
    cairn_encode_int64(value, bytes);
    return put_fixed(state, CAIRN_INT64, bytes, reterr);
}

int cairn_value_get_double(cairn_value *state, double *ret_value, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    const uint8_t *data;
    int r = crn_keyed_get_fixed(&state->keyed, CAIRN_DOUBLE, &data, reterr);
    if (r > 0)
        *ret_value = cairn_decode_double(data);
    return r;
}

int cairn_value_put_double(cairn_value *state, double value, cairn_error **reterr)
{
    uint8_t bytes[8];
    cairn_encode_double(value, bytes);
    return put_fixed(state, CAIRN_DOUBLE, bytes, reterr);
}

int cairn_value_put_string(cairn_value *state, const char *text, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(crn_keyed_ready(&state->keyed, reterr));
    CRN_TRY(crn_keyed_check_type(&state->keyed, CAIRN_STRING, reterr));
    if (text == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "state '%s': the text is NULL",
                            state->keyed.info.name);
    return cairn_value_put(state, text, strlen(text), reterr);
}
