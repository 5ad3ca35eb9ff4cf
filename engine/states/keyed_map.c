/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Map state: entries of their own under each key and namespace. An entry's composite key is the
 * task's current one with the map key behind it. The part in front is a prefix code, so the entries
 * of one map are exactly the keys that begin with it: iterate() and clear() need nothing else.
 */

#include "engine/states/keyed.h"

struct cairn_map {
    struct crn_keyed keyed;
};

static void free_map(struct crn_keyed *keyed)
{
    free(keyed);
}

int cairn_map_state(cairn_task *task, const char *name, cairn_type entry_key_type,
                    cairn_type value_type, const cairn_state_options *options,
                    cairn_map **ret_state, cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_state, reterr));
    CRN_AUTO_FREE cairn_map *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return crn_err_nomem(reterr);
    state->keyed.free = free_map;
    CRN_TRY(crn_keyed_register(task, &state->keyed, name, CAIRN_KIND_MAP, value_type,
                               entry_key_type, options, reterr));
    *ret_state = CRN_TAKE(state);
    return 0;
}

/* Builds the entry's composite key in task->map_key. */
static int start_entry(struct cairn_map *map, const void *key, size_t key_size,
                       cairn_error **reterr)
{
    struct cairn_task *task = map->keyed.task;
    CRN_TRY(crn_keyed_ready(&map->keyed, reterr));
    CRN_TRY(crn_keyed_check_bytes(&map->keyed, "map key", map->keyed.info.map_key_type, key,
                                  key_size, CRN_KEY_SIZE_MAX, reterr));
    crn_buf_clear(&task->map_key);
    if (crn_buf_append(&task->map_key, task->key.data, task->key.size) < 0 ||
        crn_buf_append(&task->map_key, key, key_size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

int cairn_map_get(cairn_map *state, const void *key, size_t key_size, const void **ret_data,
                  size_t *ret_size, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct cairn_task *task = state->keyed.task;
    CRN_TRY(start_entry(state, key, key_size, reterr));
    const uint8_t *data;
    int r = crn_keyed_read(&state->keyed, &task->map_key, &task->pin, &task->result, true, &data,
                           ret_size, reterr);
    if (r > 0)
        *ret_data = data;
    return r;
}

int cairn_map_put(cairn_map *state, const void *key, size_t key_size, const void *data, size_t size,
                  cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(start_entry(state, key, key_size, reterr));
    CRN_TRY(crn_keyed_check_value(&state->keyed, data, size, reterr));
    return crn_keyed_write(&state->keyed, &state->keyed.task->map_key, data, size, reterr);
}

int cairn_map_remove(cairn_map *state, const void *key, size_t key_size, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct cairn_task *task = state->keyed.task;
    CRN_TRY(start_entry(state, key, key_size, reterr));
    return task->db->ops->remove(task->db, state->keyed.state, task->map_key.data,
                                 task->map_key.size, reterr);
}

int cairn_map_clear(cairn_map *state, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    struct cairn_task *task = state->keyed.task;
    CRN_TRY(crn_keyed_ready(&state->keyed, reterr));
    return task->db->ops->remove_prefix(task->db, state->keyed.state, task->key.data,
                                        task->key.size, reterr);
}

int cairn_map_iterate(cairn_map *state, cairn_iterator **ret_iterator, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(state, reterr));
    CRN_TRY(crn_keyed_ready(&state->keyed, reterr));
    return crn_iterate(&state->keyed, &state->keyed.task->key, true, ret_iterator, reterr);
}
