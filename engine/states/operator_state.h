/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_OPERATOR_STATE_H
#define CRN_ENGINE_OPERATOR_STATE_H

#include "engine/job/task.h"

/* Operator states in memory, as operator_state.c (the API) and operator_blob.c (their bytes) share
 * them. */

/* An element of a list, or an entry of a broadcast map: one allocation, the value behind the key.
 */
struct crn_operator_item {
    uint8_t *bytes;
    size_t key_size; /* 0 in lists */
    size_t value_size;
};

struct crn_operator_state {
    cairn_state_info info;           /* name owned */
    struct cairn_task *task;         /* NULL: restored, but not registered (yet) */
    struct crn_operator_item *items; /* broadcast: ascending by key */
    size_t count, capacity;
    uint64_t dealt; /* while restoring: elements of all subtasks so far, for dealing them out */
};

struct crn_operator_states {
    struct crn_operator_state **states; /* ascending by name; each stays where it is */
    size_t count, capacity;
};

/* What a public handle stands for. */
struct crn_operator_state *crn_operator_state_of(cairn_operator_list *list);
/* NULL: not there. */
struct crn_operator_state *crn_operator_states_find(const struct crn_operator_states *states,
                                                    const char *name);
/* The state of that name; added empty if it is new. */
int crn_operator_states_add(struct crn_operator_states *states, const cairn_state_info *info,
                            struct crn_operator_state **ret);
/* Where a key is, or would be, among the entries of a broadcast map. */
bool crn_operator_state_seek(const struct crn_operator_state *state, const void *key,
                             size_t key_size, size_t *ret_index);
int crn_operator_state_insert(struct crn_operator_state *state, size_t index, const void *key,
                              size_t key_size, const void *value, size_t value_size);
void crn_operator_state_remove(struct crn_operator_state *state, size_t index);
/* The state of that name, if there is one, with all it has. */
void crn_operator_states_remove(struct crn_operator_states *states, const char *name);

/* Walks a blob: `state` for each state, then `entry` for each of its entries. Either may be NULL. A
 * negative result of a function ends the walk and is returned. */
struct crn_operator_visitor {
    int (*state)(void *context, const cairn_state_info *info, cairn_error **reterr);
    int (*entry)(void *context, const cairn_state_info *info, uint64_t element,
                 const cairn_entry *entry, cairn_error **reterr);
    void *context;
};
int crn_operator_blob_visit(const void *blob, size_t size,
                            const struct crn_operator_visitor *visitor, cairn_error **reterr);

#endif
