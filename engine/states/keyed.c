/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keyed state: registration, and the reads and writes that its kinds are made of.
 *
 * A registered state is one ordered map in the task's database (backends/state). Every access goes
 * to a composite key that key.c prepared when the current key was set, so a call here is a check of
 * the handle, a check of sizes, and one call of the vtable: no allocation, no lock.
 *
 * Expiry. With a TTL the time of the last write stands in front of each value. An entry past its
 * time reads as absent everywhere; nothing ever rewrites it, so it cannot come back to life.
 * Renewal on read writes the live value again under the present time, and only if that is later.
 *
 * Lifetimes. A getter's pointer points into task->pin or task->result, which only getters replace;
 * so it may be an argument of the next call. Handles are memory of the task and outlive the
 * database: after close, crn_task_ready() keeps every call out of it.
 *
 * Proved by tests/test_keyed_model.c: random operations against a model, over each backend.
 */

#include "engine/states/keyed.h"
#include "engine/serializers/serializer.h"
#include "engine/states/operator_state.h"
#include "engine/options.h"
#include "engine/restore/match.h"
#include "base/text.h"
#include <inttypes.h>
#include <string.h>

int crn_handle_is_null(cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "the handle is NULL: did opening or registering it fail?");
}

int crn_registration_check(const struct cairn_task *task, const void *ret_state,
                           cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(task, reterr));
    CRN_TRY(crn_task_check_unfinished(task, reterr));
    return ret_state != NULL ? 0
                             : crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                            "there is nowhere to return the state to");
}

int crn_keyed_bad_bytes(const struct crn_keyed *keyed, const char *what, cairn_type type,
                        const void *data, size_t size, size_t max_size, cairn_error **reterr)
{
    const char *name = keyed->info.name;
    if (size > max_size)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s': a %s of %zu bytes is over the limit of %zu", name, what,
                            size, max_size);
    if (data == NULL && size > 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "state '%s': a %s of %zu bytes is NULL",
                            name, what, size);
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "state '%s': a %s of type %s has 8 bytes, not %zu", name, what,
                        crn_type_name(type), size);
}

int crn_keyed_wrong_type(const struct crn_keyed *keyed, cairn_type asked, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "state '%s' has values of type %s, not %s",
                        keyed->info.name, crn_type_name(keyed->info.value_type),
                        crn_type_name(asked));
}

/* The callback's own code goes to its caller unchanged; what cannot be a failure's code does not.
 */
int crn_keyed_callback_failed(const struct crn_keyed *keyed, const char *which, int code,
                              cairn_error **reterr)
{
    if (code > 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s': the %s function returned %d, which is neither 0 nor a "
                            "negative code",
                            keyed->info.name, which, code);
    return crn_err_fail(reterr, code, NULL, "state '%s': the %s function returned %d",
                        keyed->info.name, which, code);
}

int crn_keyed_corrupt(const struct crn_keyed *keyed, const char *what, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "state '%s' of task '%s': %s",
                        keyed->info.name, keyed->task->uid, what);
}

/* ------------------------------------------------------------------------------------------ *
 * Registration
 * ------------------------------------------------------------------------------------------ */

static int copy_options(const cairn_state_options *from, cairn_state_options *to,
                        cairn_error **reterr)
{
    CRN_TRY(crn_options_in(to, sizeof(*to), from, "cairn_state_options", reterr));
    if (to->ttl_on_read > 1)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "ttl_on_read is %u, not 0 or 1",
                            to->ttl_on_read);
    if (to->ttl_on_read == 1 && to->ttl_ms == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "ttl_on_read without ttl_ms");
    return 0;
}

/* "map of string to int64 with expiry" */
int crn_state_describe(const cairn_state_info *info, struct cairn_buffer *out)
{
    bool has_keys = info->kind == CAIRN_KIND_MAP || info->kind == CAIRN_KIND_BROADCAST;
    return crn_buf_printf(out, "%s of %s%s%s%s", crn_kind_name(info->kind),
                          has_keys ? crn_type_name(info->map_key_type) : "", has_keys ? " to " : "",
                          crn_type_name(info->value_type), info->ttl_ms > 0 ? " with expiry" : "");
}

static bool has_same_schema(const cairn_state_info *a, const cairn_state_info *b)
{
    if (a->schema_count == 0 || b->schema_count == 0)
        return a->schema_count == b->schema_count;
    const cairn_schema_info *last_a = &a->schemas[a->schema_count - 1];
    const cairn_schema_info *last_b = &b->schemas[b->schema_count - 1];
    return last_a->tag == last_b->tag && crn_schema_is_same(last_a, last_b);
}

bool crn_state_is_same(const cairn_state_info *a, const cairn_state_info *b)
{
    return crn_match_is_alike(a, b) && (a->ttl_ms > 0) == (b->ttl_ms > 0) && has_same_schema(a, b);
}

static const struct crn_keyed *find_keyed(const struct cairn_task *task, const char *name)
{
    for (const struct crn_keyed *k = task->keyed; k != NULL; k = k->next)
        if (strcmp(k->info.name, name) == 0)
            return k;
    return NULL;
}

int crn_task_check_new_state(const struct cairn_task *task, const cairn_state_info *info,
                             cairn_error **reterr)
{
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return crn_task_not_ready(task, CAIRN_ECLOSED, reterr);
    if (info->name == NULL || !crn_text_is_name(info->name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a state's name has 1 to 255 bytes of UTF-8 without control "
                            "characters");
    if ((unsigned)info->value_type > CAIRN_CUSTOM || (unsigned)info->map_key_type > CAIRN_CUSTOM)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "state '%s': no such type", info->name);
    bool is_operator = info->kind >= CAIRN_KIND_OPERATOR_LIST;
    if (!crn_type_is_plain(info->map_key_type) ||
        (is_operator && !crn_type_is_plain(info->value_type)))
        return crn_err_fail(
            reterr, CAIRN_EINVAL, NULL, "state '%s': %s are bytes, int64, double or string, not %s",
            info->name, is_operator ? "elements, keys and values of operator state" : "map keys",
            crn_type_name(crn_type_is_plain(info->map_key_type) ? info->value_type
                                                                : info->map_key_type));
    const struct crn_operator_state *restored =
        crn_operator_states_find(task->operators, info->name);
    if (find_keyed(task, info->name) != NULL || (restored != NULL && restored->task != NULL))
        return crn_err_fail(reterr, CAIRN_EEXIST, NULL,
                            "state '%s' of task '%s' is registered already", info->name, task->uid);
    if (restored != NULL)
        CRN_TRY(crn_match_types(&restored->info, info, reterr));
    for (size_t i = 0; i < task->stored_count; i++)
        if (strcmp(task->stored[i].name, info->name) == 0)
            CRN_TRY(crn_match_types(&task->stored[i], info, reterr));
    return 0;
}

static const cairn_state_info *find_stored(const struct cairn_task *task, const char *name)
{
    for (size_t i = 0; i < task->stored_count; i++)
        if (strcmp(task->stored[i].name, name) == 0)
            return &task->stored[i];
    return NULL;
}

/* From here on other subtasks see the state: what they register later must agree. */
static int link_keyed(struct cairn_task *task, struct crn_keyed *keyed, cairn_error **reterr)
{
    struct crn_keyed **end = &task->keyed;
    while (*end != NULL)
        end = &(*end)->next;
    keyed->next = NULL;
    crn_siblings_lock(task);
    int r = crn_siblings_check_locked(task, &keyed->info, reterr);
    if (r == 0)
        *end = keyed;
    crn_siblings_unlock(task);
    return r;
}

static void unlink_keyed(struct cairn_task *task, struct crn_keyed *keyed)
{
    struct crn_keyed **link = &task->keyed;
    while (*link != keyed)
        link = &(*link)->next;
    crn_siblings_lock(task);
    *link = keyed->next;
    crn_siblings_unlock(task);
}

/* What the handle owns besides itself. */
static void done_keyed(struct crn_keyed *keyed)
{
    crn_state_done(&keyed->info);
    crn_schemas_free(CRN_TAKE(keyed->schemas));
}

/* Everything that can be refused without touching the database. */
static int settle(struct cairn_task *task, struct crn_keyed *keyed, cairn_state_info *info,
                  const cairn_state_options *options, const cairn_state_info **ret_stored,
                  cairn_error **reterr)
{
    cairn_state_options settled;
    CRN_TRY(copy_options(options, &settled, reterr));
    info->ttl_ms = settled.ttl_ms;
    CRN_TRY(crn_task_check_new_state(task, info, reterr));
    CRN_TRY(crn_schemas_check_option(info, settled.serializer, reterr));
    const cairn_state_info *stored = find_stored(task, info->name);
    if (stored != NULL && settled.serializer != NULL) {
        info->schemas = stored->schemas;
        info->schema_count = stored->schema_count;
    }
    if (crn_state_copy(&keyed->info, info) < 0)
        return crn_err_nomem(reterr);
    keyed->task = task;
    keyed->has_ttl = settled.ttl_ms > 0;
    keyed->is_framed = keyed->has_ttl || settled.serializer != NULL;
    keyed->ttl_on_read = settled.ttl_on_read == 1;
    if (settled.serializer != NULL)
        CRN_TRY(crn_schemas_new(settled.serializer, stored, &keyed->info, &keyed->schemas, reterr));
    *ret_stored = stored;
    return 0;
}

/* The database opens the state as it is stored; then expiry comes or goes. */
static int open_settled(struct crn_keyed *keyed, const cairn_state_info *stored,
                        cairn_error **reterr)
{
    struct cairn_task *task = keyed->task;
    bool switches = stored != NULL && (stored->ttl_ms > 0) != keyed->has_ttl;
    cairn_state_info desc = keyed->info;
    if (switches)
        desc.ttl_ms = stored->ttl_ms;
    CRN_TRY(task->db->ops->open_state(task->db, &desc, &keyed->state, reterr));
    if (!switches)
        return 0;
    int r = crn_keyed_switch_expiry(keyed, stored->ttl_ms, reterr);
    if (r < 0)
        task->half_rewritten = stored->name;
    return r;
}

int crn_keyed_register(struct cairn_task *task, struct crn_keyed *keyed, const char *name,
                       cairn_state_kind kind, cairn_type value_type, cairn_type map_key_type,
                       const cairn_state_options *options, cairn_error **reterr)
{
    cairn_state_info info = {
        .name = name, .kind = kind, .value_type = value_type, .map_key_type = map_key_type};
    const cairn_state_info *stored = NULL;
    int r = settle(task, keyed, &info, options, &stored, reterr);
    if (r == CAIRN_EMISMATCH)
        crn_task_prefix_error(task, reterr);
    if (r == 0)
        r = link_keyed(task, keyed, reterr);
    if (r == 0) {
        r = open_settled(keyed, stored, reterr);
        if (r < 0)
            unlink_keyed(task, keyed);
    }
    if (r < 0)
        done_keyed(keyed);
    return r;
}

void crn_keyed_detach(struct cairn_task *task)
{
    crn_iterators_detach(task);
    crn_task_unpin(task, &task->pin);
}

void crn_keyed_free_all(struct cairn_task *task)
{
    while (task->keyed != NULL) {
        struct crn_keyed *keyed = task->keyed;
        task->keyed = keyed->next;
        done_keyed(keyed);
        keyed->free(keyed);
    }
    crn_buf_done(&task->key_prefix);
    crn_buf_done(&task->key);
    crn_buf_done(&task->map_key);
    crn_buf_done(&task->scratch);
    crn_buf_done(&task->result);
    task->has_key = false;
}

static int add_descriptor(struct crn_operator *op, const cairn_state_info *info,
                          cairn_error **reterr)
{
    cairn_state_info *added = crn_operator_add_state(op);
    if (added == NULL || crn_state_copy(added, info) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

int crn_keyed_describe(const struct cairn_task *task, struct crn_operator *op, cairn_error **reterr)
{
    if (task->half_rewritten != NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "state '%s' of task '%s' was left half rewritten when registering it "
                            "failed: close the job, and open it again",
                            task->half_rewritten, task->uid);
    for (const struct crn_keyed *k = task->keyed; k != NULL; k = k->next)
        CRN_TRY(add_descriptor(op, &k->info, reterr));
    for (size_t i = 0; i < task->stored_count; i++) {
        const cairn_state_info *info = &task->stored[i];
        if (info->kind < CAIRN_KIND_OPERATOR_LIST && find_keyed(task, info->name) == NULL)
            CRN_TRY(add_descriptor(op, info, reterr));
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Reads and writes
 * ------------------------------------------------------------------------------------------ */

/* Bytes as they stand in the database, behind the time if the state expires. */
int crn_keyed_write_stored(struct crn_keyed *keyed, const struct cairn_buffer *key,
                           const void *data, size_t size, cairn_error **reterr)
{
    struct cairn_task *task = keyed->task;
    if (!keyed->has_ttl)
        return task->db->ops->put(task->db, keyed->state, key->data, key->size, data, size, reterr);
    crn_buf_clear(&task->scratch);
    if (crn_value_append(&task->scratch, true, crn_keyed_now(keyed), data, size) < 0)
        return crn_err_nomem(reterr);
    int r = task->db->ops->put(task->db, keyed->state, key->data, key->size, task->scratch.data,
                               task->scratch.size, reterr);
    crn_scratch_trim(&task->scratch);
    return r;
}

/* Drops what expired, and renews what did not if the state is so; 1 live, 0 expired. */
static int apply_expiry(struct crn_keyed *keyed, const struct cairn_buffer *key, bool renew,
                        const uint8_t **data, size_t *size, cairn_error **reterr)
{
    int64_t written;
    if (!crn_value_split(*data, *size, true, &written, data, size))
        return crn_keyed_corrupt(keyed, "a value is too short for its time stamp", reterr);
    int64_t now = crn_keyed_now(keyed);
    if (crn_ttl_expired(written, keyed->info.ttl_ms, now))
        return 0;
    if (!renew || !keyed->ttl_on_read || now <= written)
        return 1;
    CRN_TRY(crn_keyed_write_stored(keyed, key, *data, *size, reterr));
    return 1;
}

int crn_keyed_read(struct crn_keyed *keyed, const struct cairn_buffer *key, struct crn_pin *pin,
                   struct cairn_buffer *converted, bool renew, const uint8_t **ret_data,
                   size_t *ret_size, cairn_error **reterr)
{
    struct cairn_task *task = keyed->task;
    crn_task_unpin(task, pin);
    int r = task->db->ops->get(task->db, keyed->state, key->data, key->size, pin, reterr);
    if (r <= 0)
        return r;
    const uint8_t *data = pin->data;
    size_t size = pin->size;
    if (keyed->is_framed) {
        if (keyed->has_ttl)
            r = apply_expiry(keyed, key, renew, &data, &size, reterr);
        if (r > 0 && keyed->schemas != NULL)
            CRN_TRY(crn_keyed_untag(keyed, &data, &size, converted, reterr));
        if (r <= 0)
            return r;
    }
    *ret_data = size > 0 ? data : (const uint8_t *)"";
    *ret_size = size;
    return 1;
}

int crn_keyed_write(struct crn_keyed *keyed, const struct cairn_buffer *key, const void *data,
                    size_t size, cairn_error **reterr)
{
    struct cairn_task *task = keyed->task;
    if (!keyed->is_framed)
        return task->db->ops->put(task->db, keyed->state, key->data, key->size, data, size, reterr);
    if (keyed->schemas != NULL)
        CRN_TRY(crn_keyed_tag(keyed, &data, &size, reterr));
    return crn_keyed_write_stored(keyed, key, data, size, reterr);
}

int crn_keyed_get(struct crn_keyed *keyed, const void **ret_data, size_t *ret_size,
                  cairn_error **reterr)
{
    CRN_TRY(crn_keyed_ready(keyed, reterr));
    const uint8_t *data;
    int r = crn_keyed_read(keyed, &keyed->task->key, &keyed->task->pin, &keyed->task->result, true,
                           &data, ret_size, reterr);
    if (r > 0)
        *ret_data = data;
    return r;
}

int crn_keyed_get_fixed(struct crn_keyed *keyed, cairn_type type, const uint8_t **ret_data,
                        cairn_error **reterr)
{
    CRN_TRY(crn_keyed_check_type(keyed, type, reterr));
    const void *data;
    size_t size;
    int r = crn_keyed_get(keyed, &data, &size, reterr);
    if (r <= 0)
        return r;
    if (size != 8)
        return crn_keyed_corrupt(keyed, "a number does not have 8 bytes", reterr);
    *ret_data = data;
    return 1;
}

int crn_keyed_clear(struct crn_keyed *keyed, cairn_error **reterr)
{
    struct cairn_task *task = keyed->task;
    CRN_TRY(crn_keyed_ready(keyed, reterr));
    return task->db->ops->remove(task->db, keyed->state, task->key.data, task->key.size, reterr);
}
