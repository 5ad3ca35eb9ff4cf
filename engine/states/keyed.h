/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_KEYED_H
#define CRN_ENGINE_KEYED_H

#include "engine/job/task.h"

/* What the kinds of keyed state and the iterators share; everything here runs in the task's thread.
 */

/* types.c: words for messages. */
const char *crn_type_name(cairn_type type);
const char *crn_kind_name(cairn_state_kind kind);
static inline bool crn_type_is_known(cairn_type type)
{
    return (unsigned)type <= CAIRN_STRING;
}
/* The sizes that a type allows. Text is not checked: it would cost every write a pass over it, and
 * nothing in here depends on it. */
static inline bool crn_type_fits(cairn_type type, size_t size)
{
    return (type != CAIRN_INT64 && type != CAIRN_DOUBLE) || size == 8;
}

/* keyed.c. "map of string to int64 with expiry" */
int crn_state_describe(const cairn_state_info *info, struct cairn_buffer *out);
/* May a state that is one be registered as the other? Names are not compared. */
bool crn_state_is_same(const cairn_state_info *a, const cairn_state_info *b);

/* siblings.c. The other subtasks of the operator look at the states of a task when they register
 * theirs, so task->keyed and the set of task->operators change only between these two. A task
 * without a job has no siblings. */
void crn_siblings_lock(struct cairn_task *task);
void crn_siblings_unlock(struct cairn_task *task);
/* CAIRN_EMISMATCH if another subtask has a state of this name that is not the same. */
int crn_siblings_check_locked(const struct cairn_task *task, const cairn_state_info *info,
                              cairn_error **reterr);

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
 * as the pin does. Getters use task->pin; what reads in order to write uses a pin of its own, so
 * that a pointer from a getter may be handed to the next call. With `renew` a state that renews on
 * read is written anew. */
int crn_keyed_read(struct crn_keyed *keyed, const struct cairn_buffer *key, struct crn_pin *pin,
                   bool renew, const uint8_t **ret_data, size_t *ret_size, cairn_error **reterr);
/* Checked bytes, stamped with the time if the state expires. */
int crn_keyed_write(struct crn_keyed *keyed, const struct cairn_buffer *key, const void *data,
                    size_t size, cairn_error **reterr);
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
