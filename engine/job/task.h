/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_TASK_H
#define CRN_ENGINE_TASK_H

#include "backends/state/keys.h"
#include "backends/state/state.h"
#include "backends/state/values.h"
#include "base/buffer.h"
#include "base/error.h"
#include "engine/job/participant.h"
#include "manifest/manifest.h"
#include <stdatomic.h>

/* What the parts of the engine that work in a task's own thread share: engine/states/ on one side,
 * task.c and task_poll.c on the other. */

struct crn_operator_states; /* operator_state.c */

/* One registered keyed state; the public handles (cairn_value, cairn_list, ...) begin with it. */
struct crn_keyed {
    struct cairn_task *task;
    struct crn_keyed *next; /* in task->keyed */
    struct crn_state *state;
    cairn_state_info info; /* parts owned */
    struct crn_schemas *schemas; /* of values of types that have them, else NULL */
    bool has_ttl;
    bool is_framed; /* values have more than their bytes: a time or a tag */
    bool ttl_on_read;
    void (*free)(struct crn_keyed *keyed); /* the handle's own parts, then itself */
};

/* The calls that set a key have no room for a message, so the next keyed call tells it. */
struct crn_refused_key {
    enum {
        CRN_REFUSED_NOTHING,
        CRN_REFUSED_BYTES,
        CRN_REFUSED_SUBTASK,
        CRN_REFUSED_MEMORY,
        CRN_REFUSED_FINISHED
    } why;
    bool is_namespace;
    size_t size;
    uint32_t subtask; /* whose key it is */
};

struct cairn_task {
    /* Constant after open. */
    struct cairn_job *job;
    cairn_task_options options; /* strings owned by the task */
    char *uid;
    bool has_made_uid; /* of its operator's name, for want of one */
    uint32_t ordinal; /* of this task in its job: names local directories */
    uint32_t max_parallelism, key_group_first, key_group_last;
    struct crn_state_db *db;
    int64_t (*now_ms)(void *context);
    void *now_context;

    atomic_bool open; /* false once the job or the task is closed: every call is CAIRN_ECLOSED */

    /* Written by the writer's thread, read by any. */
    atomic_uint_fast64_t keys_set;

    /* Writer's thread only. */
    cairn_state_info *stored; /* states known from the restored checkpoint, keyed and operator */
    size_t stored_count;
    struct crn_keyed *keyed; /* registered */
    struct crn_operator_states *operators;
    struct cairn_iterator *iterators; /* open ones */
    struct cairn_gate *gate; /* of a task with several inputs; NULL: none; it goes with the task */
    struct crn_participant *participants; /* sinks, in the order of opening; they go with the task */
    const char *half_rewritten; /* a state that could not be registered; its values are of no use */
    bool finished; /* cairn_task_finish(): its state stays as it is */
    /* The service's function that runs in the middle of a barrier or an event, and from which
     * neither can be asked for; NULL: none. */
    const char *inside;
    bool has_key;
    struct crn_refused_key refused; /* why has_key is false, if a call was refused */
    uint32_t key_group;
    struct cairn_buffer key_prefix; /* composite key up to and with the user's key */
    struct cairn_buffer key;        /* the same with the current namespace: for all but maps' entries */
    struct cairn_buffer map_key;    /* scratch: key and a map key */
    struct cairn_buffer scratch;    /* scratch: an encoded value */
    struct cairn_buffer result;     /* what a getter's pointers point into, when not a pin */
    struct crn_pin pin;             /* ditto */

    struct crn_task_runtime *runtime; /* task.c: mailbox, attempt, base */
};

/* CAIRN_ECLOSED, CAIRN_EINVAL (no key set), or 0: the first line of every keyed call. */
static inline int crn_task_ready(const struct cairn_task *task)
{
    if (__builtin_expect(!atomic_load_explicit(&task->open, memory_order_acquire), 0))
        return CAIRN_ECLOSED;
    return __builtin_expect(!task->has_key, 0) ? CAIRN_EINVAL : 0;
}
int crn_task_not_ready(const struct cairn_task *task, int code, cairn_error **reterr); /* the words */
/* CAIRN_EINVAL if the task has finished: for calls on its state that need no key. */
int crn_task_check_unfinished(const struct cairn_task *task, cairn_error **reterr);

/* keyed.c. Registers: name rules, EEXIST, EMISMATCH against task->stored; opens the state; links
 * `keyed` (allocated by the caller, size of its handle) into the task on success. */
int crn_keyed_register(struct cairn_task *task, struct crn_keyed *keyed, const char *name,
                       cairn_state_kind kind, cairn_type value_type, cairn_type map_key_type,
                       const cairn_state_options *options, cairn_error **reterr);
/* To be called before the database is closed: ends what iterators and getters hold in it. */
void crn_keyed_detach(struct cairn_task *task);
/* Frees the handles and the task's buffers; after crn_keyed_detach(). */
void crn_keyed_free_all(struct cairn_task *task);
/* Descriptors for the manifest: registered ones, then stored keyed ones that nobody registered. No
 * checkpoint of a state that is half rewritten. */
int crn_keyed_describe(const struct cairn_task *task, struct crn_operator *op,
                       cairn_error **reterr);

/* operator_state.c. The bytes are in docs/format.md. */
int crn_operator_states_new(struct crn_operator_states **ret, cairn_error **reterr);
void crn_operator_states_free(struct crn_operator_states *states);
/* Redistribution, pure: what subtask `subtask` of `parallelism` starts with, given the blobs of all
 * stored subtasks in order of their index (a blob may be empty: no states). SPLIT lists keep their
 * subtask when the parallelism is the stored one, else elements are dealt out round robin; UNION: all
 * elements of all subtasks; BROADCAST: the blob of subtask % stored. CAIRN_ECORRUPT. */
int crn_operator_states_restore(struct crn_operator_states *states, const struct cairn_buffer *blobs,
                                size_t blob_count, uint32_t subtask, uint32_t parallelism,
                                cairn_error **reterr);
/* Everything (registered or only restored) as one blob; nothing at all gives an empty one. */
int crn_operator_states_encode(const struct crn_operator_states *states, struct cairn_buffer *out,
                               cairn_error **reterr);
int crn_operator_states_describe(const struct crn_operator_states *states, struct crn_operator *op,
                                 cairn_error **reterr);
/* For `cat`: walk a blob. fn gets the state's name and kind, the element's number, and the entry (key and
 * value for broadcast, value for lists). */
typedef int (*crn_operator_entry_fn)(void *context, const cairn_state_info *info, uint64_t element,
                                     const cairn_entry *entry);
int crn_operator_states_walk(const void *blob, size_t size, crn_operator_entry_fn fn, void *context,
                             cairn_error **reterr);

#endif
