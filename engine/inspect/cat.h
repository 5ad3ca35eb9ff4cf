/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CAT_H
#define CRN_ENGINE_CAT_H

#include "backends/state/keys.h"
#include "backends/state/state.h"
#include "engine/inspect/snapshot.h"

/*
 * Entries of a snapshot, in layers:
 *
 *   cat.c            which state of which subtask is next
 *   cat_keyed.c      entries of one keyed state of one subtask, decoded
 *   cat_source.c     the same as composite keys and stored values, out of
 *   cat_native.c       a database opened read-only over fetched files, or
 *   cat_canonical.c    canonical files, read where they lie
 *   cat_operator.c   operator state of one subtask
 *
 * Each _next() gives 1 and an entry, 0 at the end, or an error.
 */

/* Told while files are fetched: of all files that this cat may have to fetch. */
struct crn_cat_progress {
    cairn_progress_fn fn;
    void *context;
    uint64_t done_bytes; /* by fetches that have ended */
    uint64_t total_bytes;
};

/* What the caller wants to see, and where from. */
struct crn_cat_filter {
    const cairn_snapshot *snapshot;
    char *operator_uid; /* NULL: all */
    char *state;        /* NULL: all */
    bool has_key;
    uint8_t *key;
    size_t key_size;
    bool keyed_only;
    char *scratch; /* our own directory */
    struct crn_cat_progress progress;
};
static inline bool crn_cat_is_keyed(const cairn_state_info *state)
{
    return state->kind < CAIRN_KIND_OPERATOR_LIST;
}
bool crn_cat_wants(const struct crn_cat_filter *filter, const cairn_state_info *state);
bool crn_cat_wants_operator(const struct crn_cat_filter *filter, const struct crn_operator *op);

/* cat.c: cairn_cat_open() for a comparison. Keyed states only, by state, in the order of uid,
 * state's name, kind, composite key, position. An operator or state that is not there is no error.
 */
int crn_cat_open_sorted(cairn_snapshot *snapshot, const cairn_cat_options *options,
                        cairn_cat **ret_cat, cairn_error **reterr);
/* Composite key of the entry that was given last. */
const uint8_t *crn_cat_composite_key(const cairn_cat *cat, size_t *ret_size);

/* One canonical file of a subtask. */
struct crn_cat_input;

/* cat_source.c: composite keys and stored values of one subtask. */
struct crn_cat_source {
    struct crn_cat_filter *filter; /* NULL: not open */
    const struct crn_operator *op;
    const struct crn_subtask *subtask;
    bool is_canonical;
    uint32_t key_group_first, key_group_last; /* that are wanted of it; first > last: none */
    struct cairn_buffer prefix;               /* of the wanted key; empty: all */
    char *directory;                          /* for native files: ours; NULL: none were fetched */
    struct crn_state_db *db;                  /* over the directory; NULL: not open */
    cairn_state_info *states;                 /* its keyed ones; strings borrowed */
    struct crn_state_iterator *iterator;
    struct crn_cat_input *inputs; /* by ascending key groups */
    size_t input_count, next_input;
    struct crn_canonical_scan *scan;
    const char *state; /* that is being read */
};
/* Nothing is fetched before it is needed. `ordinal` of the operator names the directory. */
int crn_cat_source_open(struct crn_cat_source *source, struct crn_cat_filter *filter,
                        size_t ordinal, const struct crn_operator *op,
                        const struct crn_subtask *subtask, cairn_error **reterr);
int crn_cat_source_begin(struct crn_cat_source *source, const cairn_state_info *state,
                         cairn_error **reterr);
/* In the order of keys; pointers are valid until the next call. */
int crn_cat_source_next(struct crn_cat_source *source, const uint8_t **ret_key,
                        size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                        cairn_error **reterr);
void crn_cat_source_end(struct crn_cat_source *source);     /* of what begin() began */
void crn_cat_source_suspend(struct crn_cat_source *source); /* keeps only what was fetched */
void crn_cat_source_close(struct crn_cat_source *source);

/* cat_native.c */
int crn_cat_native_begin(struct crn_cat_source *source, const cairn_state_info *state,
                         cairn_error **reterr);
int crn_cat_native_next(struct crn_cat_source *source, const uint8_t **ret_key,
                        size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                        cairn_error **reterr);
void crn_cat_native_end(struct crn_cat_source *source);
void crn_cat_native_suspend(struct crn_cat_source *source);

/* cat_canonical.c */
int crn_cat_canonical_begin(struct crn_cat_source *source, const cairn_state_info *state,
                            cairn_error **reterr);
int crn_cat_canonical_next(struct crn_cat_source *source, const uint8_t **ret_key,
                           size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                           cairn_error **reterr);
void crn_cat_canonical_end(struct crn_cat_source *source);
void crn_cat_canonical_suspend(struct crn_cat_source *source);

/* cat_keyed.c */
struct crn_cat_keyed {
    struct crn_cat_source *source; /* NULL: nothing is being read */
    const struct crn_operator *op;
    size_t state;               /* index of it */
    struct crn_key_parts parts; /* of the entry that source stands on */
    const uint8_t *key;         /* the same in one piece */
    size_t key_size;
    struct crn_reader list; /* rest of the entry, when it is a list */
    uint64_t element;
};
int crn_cat_keyed_begin(struct crn_cat_keyed *keyed, struct crn_cat_source *source, size_t state,
                        cairn_error **reterr);
int crn_cat_keyed_next(struct crn_cat_keyed *keyed, cairn_cat_entry *ret, cairn_error **reterr);
void crn_cat_keyed_end(struct crn_cat_keyed *keyed);

/* cat_operator.c: operator state; small, so read as a whole. */
struct crn_cat_item {
    size_t state;
    uint64_t element;
    size_t key_offset, key_size, value_offset, value_size;
};
struct crn_cat_operator {
    const struct crn_cat_filter *filter; /* NULL: not read yet */
    const struct crn_operator *op;
    struct cairn_buffer bytes;
    struct crn_cat_item *items;
    size_t count, capacity, next;
};
int crn_cat_operator_open(struct crn_cat_operator *list, const struct crn_cat_filter *filter,
                          const struct crn_operator *op, const struct crn_subtask *subtask,
                          cairn_error **reterr);
/* Entries of one state; from the first one after begin(). */
void crn_cat_operator_begin(struct crn_cat_operator *list);
int crn_cat_operator_next(struct crn_cat_operator *list, size_t state, cairn_cat_entry *ret);
void crn_cat_operator_close(struct crn_cat_operator *list);

#endif
