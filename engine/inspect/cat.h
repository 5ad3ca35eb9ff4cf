/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CAT_H
#define CRN_ENGINE_CAT_H

#include "backends/state/keys.h"
#include "backends/state/state.h"
#include "engine/inspect/snapshot.h"

/* The two sources of entries of one subtask. cat.c walks over the subtasks and asks first one, then the
 * other. Each _next() gives 1 and an entry (its state, key, value...; cat.c adds where it is from), 0 at
 * the end of this subtask, or an error. */

/* What the caller wants to see, and where from. */
struct crn_cat_filter {
    const cairn_snapshot *snapshot;
    char *operator_uid; /* NULL: all */
    char *state;        /* NULL: all */
    bool has_key;
    uint8_t *key;
    size_t key_size;
};
static inline bool crn_cat_is_keyed(const cairn_state_info *state)
{
    return state->kind < CAIRN_KIND_OPERATOR_LIST;
}
bool crn_cat_wants(const struct crn_cat_filter *filter, const cairn_state_info *state);

/* cat_keyed.c: keyed state, out of a database opened read-only over fetched files. */
struct crn_cat_keyed {
    const struct crn_cat_filter *filter;
    const struct crn_operator *op;
    char *directory; /* ours; NULL: nothing was fetched */
    cairn_state_info *states; /* keyed ones; strings borrowed */
    size_t state_count;
    struct crn_state_db *db;               /* NULL: no wanted keyed state in this subtask */
    struct crn_state_iterator *iterator;   /* over op->states[state] */
    size_t state, next_state;
    struct cairn_buffer prefix; /* of the wanted key; empty: all */
    struct crn_key_parts parts; /* of the iterator's entry */
    struct crn_reader list;     /* rest of the iterator's entry, when it is a list */
    uint64_t element;
};
/* Fetches the subtask's files into a new directory `directory`. */
int crn_cat_keyed_open(struct crn_cat_keyed *keyed, const struct crn_cat_filter *filter,
                       const struct crn_operator *op, const struct crn_subtask *subtask,
                       const char *directory, cairn_error **reterr);
int crn_cat_keyed_next(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr);
void crn_cat_keyed_close(struct crn_cat_keyed *keyed);

/* cat_operator.c: operator state; small, so read as a whole. */
struct crn_cat_item {
    size_t state;
    uint64_t element;
    size_t key_offset, key_size, value_offset, value_size;
};
struct crn_cat_operator {
    const struct crn_cat_filter *filter;
    const struct crn_operator *op;
    struct cairn_buffer bytes;
    struct crn_cat_item *items;
    size_t count, capacity, next;
};
int crn_cat_operator_open(struct crn_cat_operator *list, const struct crn_cat_filter *filter,
                          const struct crn_operator *op, const struct crn_subtask *subtask,
                          cairn_error **reterr);
int crn_cat_operator_next(struct crn_cat_operator *list, cairn_cat_entry *ret,
                          cairn_error **reterr);
void crn_cat_operator_close(struct crn_cat_operator *list);

#endif
