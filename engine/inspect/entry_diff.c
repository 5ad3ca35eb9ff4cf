/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compare the keyed entries of two snapshots: both are read in one order, that of operator uid,
 * state name, kind, composite key and position in a list, and merged. So formats, parallelism and
 * state backends do not matter, and memory is what two cats need.
 *
 * The order is that of the stored composite keys, as bytes, which are the same in both snapshots as
 * long as max_parallelism is; hence the check before anything is read. States of one name but of
 * two kinds have nothing in common: all of one goes, all of the other comes.
 */

#include "engine/inspect/cat.h"
#include "engine/options.h"
#include "engine/types.h"
#include <inttypes.h>
#include <string.h>

struct side {
    cairn_snapshot *snapshot; /* borrowed */
    cairn_cat *cat;
    cairn_cat_entry entry; /* that the cat stands on */
    bool has_entry;        /* false: to be fetched, or at the end */
    bool is_at_end;
};

struct cairn_entry_differ {
    struct side first, second;
    int failed; /* 0, or what next() returned */
};

static const struct crn_operator *find_operator(const cairn_snapshot *snapshot, const char *uid)
{
    for (size_t i = 0; i < snapshot->record->operator_count; i++) {
        if (strcmp(snapshot->record->operators[i].info.uid, uid) == 0)
            return &snapshot->record->operators[i];
    }
    return NULL;
}

static int check_operator(const cairn_operator_info *first, const cairn_operator_info *second,
                          cairn_error **reterr)
{
    if (first->max_parallelism != second->max_parallelism)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, first->uid,
                            "operator '%s' has max_parallelism %" PRIu32
                            " in one snapshot and %" PRIu32
                            " in the other, so their keys stand in another order: compare before "
                            "this number is changed",
                            first->uid, first->max_parallelism, second->max_parallelism);
    if (first->key_type != second->key_type)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, first->uid,
                            "operator '%s' has keys of type %s in one snapshot and %s in the other",
                            first->uid, crn_type_name(first->key_type),
                            crn_type_name(second->key_type));
    return 0;
}

static bool has_state(const cairn_snapshot *snapshot, const cairn_entry_diff_options *options)
{
    for (size_t o = 0; o < snapshot->record->operator_count; o++) {
        const struct crn_operator *op = &snapshot->record->operators[o];
        if (options->operator_uid != NULL && strcmp(options->operator_uid, op->info.uid) != 0)
            continue;
        if (options->state == NULL)
            return true;
        for (size_t s = 0; s < op->state_count; s++) {
            if (crn_cat_is_keyed(&op->states[s]) && strcmp(options->state, op->states[s].name) == 0)
                return true;
        }
    }
    return options->operator_uid == NULL && options->state == NULL;
}

static int check_snapshots(const cairn_snapshot *first, const cairn_snapshot *second,
                           const cairn_entry_diff_options *options, cairn_error **reterr)
{
    if (!has_state(first, options) && !has_state(second, options))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND,
                            options->state != NULL ? options->state : options->operator_uid,
                            "neither snapshot has %s '%s'",
                            options->state != NULL ? "a keyed state" : "an operator",
                            options->state != NULL ? options->state : options->operator_uid);
    for (size_t i = 0; i < first->record->operator_count; i++) {
        const struct crn_operator *op = &first->record->operators[i];
        const struct crn_operator *other = find_operator(second, op->info.uid);
        if (other != NULL &&
            (options->operator_uid == NULL || strcmp(options->operator_uid, op->info.uid) == 0))
            CRN_TRY(check_operator(&op->info, &other->info, reterr));
    }
    return 0;
}

void cairn_entry_diff_close(cairn_entry_differ *differ)
{
    if (differ == NULL)
        return;
    cairn_cat_close(differ->first.cat);
    cairn_cat_close(differ->second.cat);
    free(differ);
}

static void cleanup_differ(cairn_entry_differ **differ)
{
    cairn_entry_diff_close(*differ);
}

int cairn_entry_diff_open(cairn_snapshot *first, cairn_snapshot *second,
                          const cairn_entry_diff_options *options, cairn_entry_differ **ret_differ,
                          cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_differ) struct cairn_entry_differ *differ = NULL;
    cairn_entry_diff_options known;

    if (first == NULL || second == NULL || ret_differ == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a snapshot or ret_differ is NULL");
    CRN_TRY(crn_options_in(&known, sizeof known, options, "cairn_entry_diff_options", reterr));
    CRN_TRY(check_snapshots(first, second, &known, reterr));
    differ = calloc(1, sizeof *differ);
    if (differ == NULL)
        return crn_err_nomem(reterr);
    cairn_cat_options cat = CAIRN_CAT_OPTIONS_INIT;
    cat.operator_uid = known.operator_uid;
    cat.state = known.state;
    cat.scratch_dir = known.scratch_dir;
    cat.progress = known.progress;
    cat.progress_context = known.progress_context;
    differ->first.snapshot = first;
    differ->second.snapshot = second;
    CRN_TRY(crn_cat_open_sorted(first, &cat, &differ->first.cat, reterr));
    CRN_TRY(crn_cat_open_sorted(second, &cat, &differ->second.cat, reterr));
    *ret_differ = CRN_TAKE(differ);
    return 0;
}

static int fetch(struct side *side, cairn_error **reterr)
{
    if (side->has_entry || side->is_at_end)
        return 0;
    int r = cairn_cat_next(side->cat, &side->entry, reterr);
    if (r < 0)
        return r;
    side->has_entry = r == 1;
    side->is_at_end = r == 0;
    return 0;
}

static const cairn_state_info *state_of(const struct side *side)
{
    return &side->snapshot->record->operators[side->entry.op].states[side->entry.state];
}

static const char *uid_of(const struct side *side)
{
    return side->snapshot->record->operators[side->entry.op].info.uid;
}

static int compare_composite_keys(const struct side *first, const struct side *second)
{
    size_t x_size, y_size;
    const uint8_t *x = crn_cat_composite_key(first->cat, &x_size);
    const uint8_t *y = crn_cat_composite_key(second->cat, &y_size);
    int order = memcmp(x, y, x_size < y_size ? x_size : y_size);
    return order != 0 ? order : (x_size > y_size) - (x_size < y_size);
}

/* The order in which both cats give their entries; a side at its end comes last. */
static int compare_positions(const struct side *first, const struct side *second)
{
    if (!first->has_entry || !second->has_entry)
        return (int)second->has_entry - (int)first->has_entry;
    int order = strcmp(uid_of(first), uid_of(second));
    const cairn_state_info *x = state_of(first), *y = state_of(second);
    if (order == 0)
        order = strcmp(x->name, y->name);
    if (order == 0)
        order = (x->kind > y->kind) - (x->kind < y->kind);
    if (order == 0)
        order = compare_composite_keys(first, second);
    if (order == 0)
        order = (first->entry.element > second->entry.element) -
                (first->entry.element < second->entry.element);
    return order;
}

static bool has_same_value(const struct side *first, const struct side *second)
{
    const cairn_entry *x = &first->entry.entry, *y = &second->entry.entry;
    return x->value_size == y->value_size &&
           (x->value_size == 0 || memcmp(x->value, y->value, x->value_size) == 0);
}

/* The entries that were given last are used up now, and not before: they are the caller's until
 * this call. */
static int find_next(struct cairn_entry_differ *differ, cairn_entry_diff *ret, cairn_error **reterr)
{
    struct side *first = &differ->first, *second = &differ->second;
    for (;;) {
        CRN_TRY(fetch(first, reterr));
        CRN_TRY(fetch(second, reterr));
        if (first->is_at_end && second->is_at_end)
            return 0;
        int order = compare_positions(first, second);
        bool is_same = order == 0 && has_same_value(first, second);
        if (order <= 0)
            first->has_entry = false;
        if (order >= 0)
            second->has_entry = false;
        if (is_same)
            continue;
        const struct side *named = order <= 0 ? first : second;
        *ret = (cairn_entry_diff){.change = order < 0 ? -1 : order > 0,
                                  .operator_uid = uid_of(named),
                                  .state = state_of(named)->name,
                                  .first = order <= 0 ? &first->entry : NULL,
                                  .second = order >= 0 ? &second->entry : NULL};
        return 1;
    }
}

int cairn_entry_diff_next(cairn_entry_differ *differ, cairn_entry_diff *ret_diff,
                          cairn_error **reterr)
{
    cairn_entry_diff found;
    if (differ == NULL || ret_diff == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "differ or ret_diff is NULL");
    if (differ->failed != 0)
        return crn_err_fail(reterr, differ->failed, NULL, "comparing the snapshots failed before");
    int r = find_next(differ, &found, reterr);
    if (r < 0)
        differ->failed = r;
    if (r == 1)
        *ret_diff = found;
    return r;
}
