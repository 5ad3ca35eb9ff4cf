/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Entries put and removed. Keyed ones go to the operator's scratch database as a task would write
 * them, with time and schema tag in front; operator state is changed in memory.
 *
 * Everything is checked before the database is asked for, so a wrong call costs nothing and changes
 * nothing. No state is read, but for the entry of a broadcast map.
 */

#include "backends/state/keys.h"
#include "backends/state/values.h"
#include "base/thread.h"
#include "cairn/writer.h"
#include "engine/types.h"
#include "engine/write/write.h"
#include <inttypes.h>

struct call {
    cairn_writer *writer;
    struct crn_writer_operator *op;
    struct crn_writer_state *state;
    const cairn_entry *entry;
};

static int check_bytes(const struct call *call, const char *what, cairn_type type, const void *data,
                       size_t size, size_t max_size, cairn_error **reterr)
{
    const char *name = call->state->info.name;
    if (size > max_size)
        return crn_err_fail(reterr, CAIRN_EINVAL, name,
                            "state '%s': a %s of %zu bytes is over the limit of %zu", name, what,
                            size, max_size);
    if (data == NULL && size > 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, name, "state '%s': a %s of %zu bytes is NULL",
                            name, what, size);
    if (!crn_type_fits(type, size))
        return crn_err_fail(reterr, CAIRN_EINVAL, name,
                            "state '%s': a %s of type %s has 8 bytes, not %zu", name, what,
                            crn_type_name(type), size);
    return 0;
}

static int check_absent(const struct call *call, const char *what, size_t size,
                        cairn_error **reterr)
{
    const cairn_state_info *info = &call->state->info;
    return size == 0 ? 0
                     : crn_err_fail(reterr, CAIRN_EINVAL, info->name,
                                    "state '%s': entries of a %s have no %s", info->name,
                                    crn_kind_name(info->kind), what);
}

static int check_entry(const struct call *call, bool with_value, cairn_error **reterr)
{
    const cairn_state_info *info = &call->state->info;
    const struct crn_writer_operator *op = call->op;
    const cairn_entry *e = call->entry;
    if (crn_kind_is_keyed(info->kind)) {
        CRN_TRY(
            check_bytes(call, "key", op->key_type, e->key, e->key_size, CRN_KEY_SIZE_MAX, reterr));
        if (e->ns_size > 0) /* the empty one is allowed whatever the type */
            CRN_TRY(check_bytes(call, "namespace", op->namespace_type, e->ns, e->ns_size,
                                CRN_KEY_SIZE_MAX, reterr));
        if (info->kind == CAIRN_KIND_MAP)
            CRN_TRY(check_bytes(call, "map key", info->map_key_type, e->map_key, e->map_key_size,
                                CRN_KEY_SIZE_MAX, reterr));
    } else {
        CRN_TRY(check_absent(call, "namespace", e->ns_size, reterr));
        if (info->kind == CAIRN_KIND_BROADCAST)
            CRN_TRY(check_bytes(call, "key", info->map_key_type, e->key, e->key_size,
                                CRN_KEY_SIZE_MAX, reterr));
        else
            CRN_TRY(check_absent(call, "key", e->key_size, reterr));
    }
    if (info->kind != CAIRN_KIND_MAP)
        CRN_TRY(check_absent(call, "map key", e->map_key_size, reterr));
    return with_value ? check_bytes(call, "value", info->value_type, e->value, e->value_size,
                                    CRN_VALUE_SIZE_MAX, reterr)
                      : 0;
}

static int begin(struct call *call, cairn_writer *writer, const char *uid, const char *state,
                 const cairn_entry *entry, bool with_value, cairn_error **reterr)
{
    CRN_TRY(crn_writer_check(writer, reterr));
    if (entry == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "entry is NULL");
    call->writer = writer;
    call->entry = entry;
    CRN_TRY(crn_writer_find(writer, uid, &call->op, reterr));
    CRN_TRY(crn_writer_find_state(call->op, state, &call->state, reterr));
    CRN_TRY(check_entry(call, with_value, reterr));
    if (!crn_kind_is_keyed(call->state->info.kind)) {
        CRN_TRY(crn_scratch_load_lists(writer, call->op, reterr));
        call->op->lists_changed = true;
        return 0;
    }
    CRN_TRY(crn_scratch_open(writer, call->op, reterr));
    call->op->keyed_changed = true;
    return crn_scratch_open_state(call->op, call->state, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Keyed state
 * ------------------------------------------------------------------------------------------ */

static int make_key(const struct call *call, cairn_error **reterr)
{
    const cairn_entry *e = call->entry;
    struct cairn_buffer *key = &call->writer->key;
    uint32_t max_parallelism = call->op->max_parallelism;
    uint32_t group = crn_key_group_of(e->key, e->key_size, max_parallelism);
    if (crn_key_start(key, group, max_parallelism, e->key, e->key_size) < 0 ||
        crn_key_add_namespace(key, e->ns, e->ns_size) < 0)
        return crn_err_nomem(reterr);
    if (e->map_key_size > 0 && crn_buf_append(key, e->map_key, e->map_key_size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

/* The value behind its schema's tag, if it has one. */
static int tag_value(const struct call *call, const void **ret_data, size_t *ret_size,
                     cairn_error **reterr)
{
    const cairn_state_info *info = &call->state->info;
    struct cairn_buffer *tagged = &call->writer->tagged;
    *ret_data = call->entry->value;
    *ret_size = call->entry->value_size;
    if (info->schema_count == 0)
        return 0;
    crn_buf_clear(tagged);
    if (crn_buf_append_varint(tagged, info->schemas[info->schema_count - 1].tag) < 0 ||
        (*ret_size > 0 && crn_buf_append(tagged, *ret_data, *ret_size) < 0))
        return crn_err_nomem(reterr);
    *ret_data = tagged->data;
    *ret_size = tagged->size;
    return 0;
}

static int make_value(const struct call *call, int64_t written_ms, cairn_error **reterr)
{
    const cairn_state_info *info = &call->state->info;
    struct cairn_buffer *value = &call->writer->value;
    bool has_ttl = info->ttl_ms > 0;
    const void *data;
    size_t size;
    CRN_TRY(tag_value(call, &data, &size, reterr));
    crn_buf_clear(value);
    int r = info->kind == CAIRN_KIND_LIST
                ? crn_list_append_element(value, has_ttl, written_ms, data, size)
                : crn_value_append(value, has_ttl, written_ms, data, size);
    if (r == CAIRN_EINVAL) /* only the tag can have done that */
        return crn_err_fail(reterr, r, info->name,
                            "state '%s': a value of %zu bytes and its schema's tag are over the "
                            "limit of %zu",
                            info->name, call->entry->value_size, CRN_VALUE_SIZE_MAX);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

/* A big value must not hold its memory until the writer is closed. */
static void trim(struct cairn_buffer *buffer)
{
    if (buffer->capacity > (1u << 20))
        crn_buf_done(buffer);
}

static int put_keyed(const struct call *call, int64_t written_ms, cairn_error **reterr)
{
    cairn_writer *writer = call->writer;
    struct crn_state_db *db = call->op->db;
    const struct cairn_buffer *key = &writer->key, *value = &writer->value;
    CRN_TRY(make_key(call, reterr));
    CRN_TRY(make_value(call, written_ms, reterr));
    int r = call->state->info.kind == CAIRN_KIND_LIST
                ? db->ops->append(db, call->state->handle, key->data, key->size, value->data,
                                  value->size, reterr)
                : db->ops->put(db, call->state->handle, key->data, key->size, value->data,
                               value->size, reterr);
    call->op->put_bytes += key->size + value->size;
    trim(&writer->value);
    trim(&writer->tagged);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * Operator state
 * ------------------------------------------------------------------------------------------ */

static struct crn_operator_state *list_of(const struct call *call, uint32_t subtask)
{
    return crn_operator_states_find(call->op->parts[subtask], call->state->info.name);
}

/* A subtask whose part does not have the state yet: only others had registered it. */
static int need_list(const struct call *call, uint32_t subtask, struct crn_operator_state **ret,
                     cairn_error **reterr)
{
    return crn_operator_states_add(call->op->parts[subtask], &call->state->info, ret) < 0
               ? crn_err_nomem(reterr)
               : 0;
}

static int put_broadcast(const struct call *call, cairn_error **reterr)
{
    const cairn_entry *e = call->entry;
    for (uint32_t i = 0; i < call->op->parallelism; i++) {
        struct crn_operator_state *map;
        size_t at;
        CRN_TRY(need_list(call, i, &map, reterr));
        bool is_there = crn_operator_state_seek(map, e->key, e->key_size, &at);
        if (crn_operator_state_insert(map, at, e->key, e->key_size, e->value, e->value_size) < 0)
            return crn_err_nomem(reterr);
        if (is_there)
            crn_operator_state_remove(map, at + 1);
    }
    return 0;
}

/* A split list's elements stay where they are put if the service has as many subtasks, so each gets
 * its share. Of a union everybody gets all, in the order of subtasks: in one part the order is
 * kept. */
static int put_element(const struct call *call, cairn_error **reterr)
{
    struct crn_writer_state *state = call->state;
    bool is_split = state->info.kind == CAIRN_KIND_OPERATOR_LIST;
    uint32_t subtask = is_split ? (uint32_t)(state->dealt % call->op->parallelism) : 0;
    struct crn_operator_state *list;
    CRN_TRY(need_list(call, subtask, &list, reterr));
    if (crn_operator_state_insert(list, list->count, NULL, 0, call->entry->value,
                                  call->entry->value_size) < 0)
        return crn_err_nomem(reterr);
    state->dealt++;
    return 0;
}

static void remove_from_lists(const struct call *call)
{
    const cairn_entry *e = call->entry;
    for (uint32_t i = 0; i < call->op->parallelism; i++) {
        struct crn_operator_state *state = list_of(call, i);
        size_t at;
        if (state == NULL)
            continue;
        if (state->info.kind != CAIRN_KIND_BROADCAST) {
            while (state->count > 0)
                crn_operator_state_remove(state, state->count - 1);
        } else if (crn_operator_state_seek(state, e->key, e->key_size, &at)) {
            crn_operator_state_remove(state, at);
        }
    }
}

/* ------------------------------------------------------------------------------------------ *
 * The public calls
 * ------------------------------------------------------------------------------------------ */

int cairn_writer_put(cairn_writer *writer, const char *uid, const char *state,
                     const cairn_entry *entry, int64_t written_ms, cairn_error **reterr)
{
    struct call call = {0};
    if (written_ms < -1)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "written_ms is %" PRId64 ": no time, and not -1 for now", written_ms);
    CRN_TRY(begin(&call, writer, uid, state, entry, true, reterr));
    switch (call.state->info.kind) {
    case CAIRN_KIND_BROADCAST:
        return put_broadcast(&call, reterr);
    case CAIRN_KIND_OPERATOR_LIST:
    case CAIRN_KIND_OPERATOR_UNION:
        return put_element(&call, reterr);
    default:
        return put_keyed(&call, written_ms == -1 ? crn_wall_ms() : written_ms, reterr);
    }
}

int cairn_writer_remove(cairn_writer *writer, const char *uid, const char *state,
                        const cairn_entry *entry, cairn_error **reterr)
{
    struct call call = {0};
    CRN_TRY(begin(&call, writer, uid, state, entry, false, reterr));
    if (!crn_kind_is_keyed(call.state->info.kind)) {
        remove_from_lists(&call);
        return 0;
    }
    CRN_TRY(make_key(&call, reterr));
    return call.op->db->ops->remove(call.op->db, call.state->handle, writer->key.data,
                                    writer->key.size, reterr);
}
