/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The current key and namespace of a task, and which subtask a key belongs to.
 *
 * The composite key (backends/state/keys.h) is built here, once per key, and then used by every
 * call on every state until the next one. These calls have no room for a message: one that is
 * refused leaves the task without a key, so that no write can go to the previous record's key by
 * mistake, and the next keyed call tells why.
 */

#include "base/thread.h"
#include "engine/states/keyed.h"

int crn_task_check_unfinished(const struct cairn_task *task, cairn_error **reterr)
{
    return task->finished
               ? crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                              "operator '%s' subtask %u has finished: its state stays as it is",
                              task->uid, task->options.subtask)
               : 0;
}

int crn_task_not_ready(const struct cairn_task *task, int code, cairn_error **reterr)
{
    const struct crn_refused_key *refused = &task->refused;
    const char *what = refused->is_namespace ? "namespace" : "key";
    cairn_type type = refused->is_namespace ? task->options.namespace_type : task->options.key_type;
    if (code == CAIRN_ECLOSED)
        return crn_err_fail(reterr, code, NULL, "task '%s' is closed", task->uid);
    switch (refused->why) {
    case CRN_REFUSED_NOTHING:
        break;
    case CRN_REFUSED_FINISHED:
        return crn_task_check_unfinished(task, reterr);
    case CRN_REFUSED_MEMORY:
        return crn_err_fail(reterr, code, NULL, "no key is set in task '%s': memory ran out for it",
                            task->uid);
    case CRN_REFUSED_SUBTASK:
        return crn_err_fail(reterr, code, NULL,
                            "no key is set in task '%s': the last one belongs to subtask %u, not "
                            "%u",
                            task->uid, refused->subtask, task->options.subtask);
    case CRN_REFUSED_BYTES:
        if (refused->size > CRN_KEY_SIZE_MAX)
            return crn_err_fail(reterr, code, NULL,
                                "no key is set in task '%s': the last %s has %zu bytes, the limit "
                                "is %u",
                                task->uid, what, refused->size, CRN_KEY_SIZE_MAX);
        return crn_err_fail(reterr, code, NULL,
                            "no key is set in task '%s': the last %s, of %zu bytes, does not fit "
                            "the type %s",
                            task->uid, what, refused->size, crn_type_name(type));
    }
    return crn_err_fail(reterr, code, NULL, "no key is set in task '%s'", task->uid);
}

static int refuse(struct cairn_task *task, struct crn_refused_key refused)
{
    task->has_key = false;
    task->refused = refused;
    return refused.why == CRN_REFUSED_MEMORY ? CAIRN_ENOMEM : CAIRN_EINVAL;
}

int cairn_task_set_key(cairn_task *task, const void *key, size_t size)
{
    if (__builtin_expect(task == NULL, 0))
        return CAIRN_EINVAL;
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return CAIRN_ECLOSED;
    if (__builtin_expect(task->finished, 0))
        return refuse(task, (struct crn_refused_key){.why = CRN_REFUSED_FINISHED});
    if (size > CRN_KEY_SIZE_MAX || (key == NULL && size > 0) ||
        !crn_type_fits(task->options.key_type, size))
        return refuse(task, (struct crn_refused_key){.why = CRN_REFUSED_BYTES, .size = size});
    if (key == NULL)
        key = "";
    uint32_t group = crn_key_group_of(key, size, task->max_parallelism);
    if (group < task->key_group_first || group > task->key_group_last)
        return refuse(task, (struct crn_refused_key){
                                .why = CRN_REFUSED_SUBTASK,
                                .subtask = crn_key_group_subtask(group, task->options.parallelism,
                                                                 task->max_parallelism)});
    crn_buf_clear(&task->key);
    if (crn_key_start(&task->key_prefix, group, task->max_parallelism, key, size) < 0 ||
        crn_buf_append(&task->key, task->key_prefix.data, task->key_prefix.size) < 0 ||
        crn_key_add_namespace(&task->key, "", 0) < 0)
        return refuse(task, (struct crn_refused_key){.why = CRN_REFUSED_MEMORY});
    task->key_group = group;
    task->has_key = true;
    crn_figure_add(&task->keys_set, 1);
    return 0;
}

int cairn_task_set_key_int64(cairn_task *task, int64_t key)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    return cairn_task_set_key(task, bytes, sizeof(bytes));
}

int cairn_task_set_namespace(cairn_task *task, const void *ns, size_t size)
{
    if (__builtin_expect(task == NULL, 0))
        return CAIRN_EINVAL;
    CRN_TRY(crn_task_ready(task));
    struct crn_refused_key refused = {.why = CRN_REFUSED_BYTES, .is_namespace = true, .size = size};
    if (size > CRN_KEY_SIZE_MAX || (ns == NULL && size > 0))
        return refuse(task, refused);
    if (size > 0 && !crn_type_fits(task->options.namespace_type, size))
        return refuse(task, refused);
    task->key.size = task->key_prefix.size; /* which it begins with */
    if (crn_key_add_namespace(&task->key, size > 0 ? ns : "", size) < 0)
        return refuse(task, (struct crn_refused_key){.why = CRN_REFUSED_MEMORY});
    return 0;
}

int cairn_task_set_namespace_int64(cairn_task *task, int64_t ns)
{
    uint8_t bytes[8];
    cairn_encode_int64(ns, bytes);
    return cairn_task_set_namespace(task, bytes, sizeof(bytes));
}

int cairn_subtask_of_key(const void *key, size_t key_size, uint32_t parallelism,
                         uint32_t max_parallelism)
{
    if (parallelism < 1 || parallelism > max_parallelism || max_parallelism > CRN_MAX_KEY_GROUPS ||
        (key == NULL && key_size > 0))
        return CAIRN_EINVAL;
    uint32_t group = crn_key_group_of(key_size > 0 ? key : "", key_size, max_parallelism);
    return (int)crn_key_group_subtask(group, parallelism, max_parallelism);
}
