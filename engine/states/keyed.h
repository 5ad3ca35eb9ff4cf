/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_KEYED_H
#define CRN_ENGINE_KEYED_H

#include "engine/job/task.h"
#include "engine/types.h"

/* What the kinds of keyed state and the iterators share; everything here runs in the task's thread.
 */

/* keyed.c. "map of string to int64 with expiry" */
int crn_state_describe(const cairn_state_info *info, struct cairn_buffer *out);
/* Have two subtasks registered the same state? Names are not compared. */
bool crn_state_is_same(const cairn_state_info *a, const cairn_state_info *b);

/* siblings.c. The other subtasks of the operator look at the states of a task when they register
 * theirs, so task->keyed and the set of task->operators change only between these two. A task
 * without a job has no siblings. */
void crn_siblings_lock(struct cairn_task *task);
void crn_siblings_unlock(struct cairn_task *task);
/* CAIRN_EMISMATCH if another subtask has a state of this name that is not the same. */
int crn_siblings_check_locked(const struct cairn_task *task, const cairn_state_info *info,
                              cairn_error **reterr);

/* Whose state it is, in front of why it cannot be registered. */
void crn_task_prefix_error(const struct cairn_task *task, cairn_error **reterr);

/* keyed.c. EEXIST, EMISMATCH and name rules for any state, keyed or operator. */
int crn_task_check_new_state(const struct cairn_task *task, const cairn_state_info *info,
                             cairn_error **reterr);
/* CAIRN_EINVAL for bytes that cannot be a key or value of that type; `what` as in "value". */
int crn_keyed_bad_bytes(const struct crn_keyed *keyed, const char *what, cairn_type type,
                        const void *data, size_t size, size_t max_size, cairn_error **reterr);
int crn_keyed_wrong_type(const struct crn_keyed *keyed, cairn_type asked, cairn_error **reterr);
int crn_keyed_callback_failed(const struct crn_keyed *keyed, const char *which, int code,
                              cairn_error **reterr);
int crn_keyed_corrupt(const struct crn_keyed *keyed, const char *what, cairn_error **reterr);

/* schemas.c. What the tags in a state's values mean: of states whose values have schemas, else
 * keyed->schemas is NULL.
 *
 * new() compares what is stored (NULL: nothing) with the serializer, before anything is changed,
 * and lists in `info`, a copy that owns its parts, what the state has from now on. */
int crn_schemas_new(const cairn_serializer *serializer, const cairn_state_info *stored,
                    cairn_state_info *info, struct crn_schemas **ret, cairn_error **reterr);
void crn_schemas_free(struct crn_schemas *schemas);
/* A serializer for a type with schemas, and for no other. */
int crn_schemas_check_option(const cairn_state_info *info, const cairn_serializer *serializer,
                             cairn_error **reterr);
int crn_keyed_check_schema(const struct crn_keyed *keyed, const void *data, size_t size,
                           cairn_error **reterr); /* CAIRN_EINVAL: it is no value */
/* Stored bytes to a value of the present schema: the tag comes off, and a value of an older schema
 * is converted into `converted`. */
int crn_keyed_untag(struct crn_keyed *keyed, const uint8_t **data, size_t *size,
                    struct cairn_buffer *converted, cairn_error **reterr);
/* The way back; the bytes are valid until the next call. */
int crn_keyed_tag(struct crn_keyed *keyed, const void **data, size_t *size, cairn_error **reterr);
/* Where reads that serve a write convert to. */
struct cairn_buffer *crn_keyed_converted(struct crn_keyed *keyed);
bool crn_keyed_tag_is_present(const struct crn_keyed *keyed, const uint8_t *data, size_t size);
/* After every value was migrated: only the present schema is listed. */
void crn_schemas_forget(struct crn_keyed *keyed);
/* Into a state's description those schemas that only `other`, of another subtask, has: values may
 * have each of them. CAIRN_EMISMATCH: a tag means two schemas; CAIRN_EINVAL: too many;
 * CAIRN_ENOMEM. */
int crn_schemas_merge(cairn_state_info *state, const cairn_state_info *other);

/* rewrite.c. Registration found the state stored with expiry, and it is to have none, or the
 * reverse. On failure the task's database is of no use. */
int crn_keyed_switch_expiry(struct crn_keyed *keyed, uint64_t stored_ttl_ms, cairn_error **reterr);

/* A handle that a caller did not get: most likely it did not look at what registering returned. */
int crn_handle_is_null(cairn_error **reterr);
static inline int crn_handle_check(const void *handle, cairn_error **reterr)
{
    return __builtin_expect(handle == NULL, 0) ? crn_handle_is_null(reterr) : 0;
}
/* The arguments that every registration has. */
int crn_registration_check(const struct cairn_task *task, const void *ret_state,
                           cairn_error **reterr);
static inline int crn_keyed_ready(const struct crn_keyed *keyed, cairn_error **reterr)
{
    int r = crn_task_ready(keyed->task);
    return __builtin_expect(r < 0, 0) ? crn_task_not_ready(keyed->task, r, reterr) : 0;
}
static inline int crn_keyed_check_bytes(const struct crn_keyed *keyed, const char *what,
                                        cairn_type type, const void *data, size_t size,
                                        size_t max_size, cairn_error **reterr)
{
    if (__builtin_expect(
            size <= max_size && (data != NULL || size == 0) && crn_type_fits(type, size), 1))
        return 0;
    return crn_keyed_bad_bytes(keyed, what, type, data, size, max_size, reterr);
}
static inline int crn_keyed_check_value(const struct crn_keyed *keyed, const void *data,
                                        size_t size, cairn_error **reterr)
{
    if (__builtin_expect(keyed->schemas != NULL, 0))
        return crn_keyed_check_schema(keyed, data, size, reterr);
    return crn_keyed_check_bytes(keyed, "value", keyed->info.value_type, data, size,
                                 CRN_VALUE_SIZE_MAX, reterr);
}
static inline int crn_keyed_check_type(const struct crn_keyed *keyed, cairn_type asked,
                                       cairn_error **reterr)
{
    return __builtin_expect(keyed->info.value_type == asked, 1)
               ? 0
               : crn_keyed_wrong_type(keyed, asked, reterr);
}
static inline int64_t crn_keyed_now(const struct crn_keyed *keyed)
{
    return keyed->task->now_ms(keyed->task->now_context);
}

static inline void crn_task_unpin(struct cairn_task *task, struct crn_pin *pin)
{
    if (pin->handle != NULL || pin->data != NULL)
        task->db->ops->unpin(pin);
    *pin = (struct crn_pin){0};
}

/* The live value at a composite key: 1 found, 0 absent or expired. The bytes stay in place as long
 * as the pin does, or as `converted` does if they had to be converted. Getters use task->pin and
 * task->result; what reads in order to write uses a pin of its own and crn_keyed_converted(), so
 * that a pointer from a getter may be handed to the next call. With `renew` a state that renews on
 * read is written anew. */
int crn_keyed_read(struct crn_keyed *keyed, const struct cairn_buffer *key, struct crn_pin *pin,
                   struct cairn_buffer *converted, bool renew, const uint8_t **ret_data,
                   size_t *ret_size, cairn_error **reterr);
/* Checked bytes, with the present schema's tag if values have schemas, stamped with the time if
 * the state expires. */
int crn_keyed_write(struct crn_keyed *keyed, const struct cairn_buffer *key, const void *data,
                    size_t size, cairn_error **reterr);
/* The same of bytes that have their tag: what the database holds is only renewed. */
int crn_keyed_write_stored(struct crn_keyed *keyed, const struct cairn_buffer *key,
                           const void *data, size_t size, cairn_error **reterr);
/* The public getter and clear() of all kinds that keep one value per key. */
int crn_keyed_get(struct crn_keyed *keyed, const void **ret_data, size_t *ret_size,
                  cairn_error **reterr);
int crn_keyed_get_fixed(struct crn_keyed *keyed, cairn_type type, const uint8_t **ret_data,
                        cairn_error **reterr); /* 8 bytes */
int crn_keyed_clear(struct crn_keyed *keyed, cairn_error **reterr);

/* A buffer that one huge value blew up does not keep its memory. */
#define CRN_SCRATCH_KEPT ((size_t)1 << 20)
static inline void crn_scratch_trim(struct cairn_buffer *buffer)
{
    if (__builtin_expect(buffer->capacity > CRN_SCRATCH_KEPT, 0))
        crn_buf_done(buffer);
}

/* iterate.c. prefix empty: the whole state. */
int crn_iterate(struct crn_keyed *keyed, const struct cairn_buffer *prefix, bool renew,
                cairn_iterator **ret_iterator, cairn_error **reterr);
/* Ends what open iterators hold in the database; their handles stay to be closed. */
void crn_iterators_detach(struct cairn_task *task);

#endif
