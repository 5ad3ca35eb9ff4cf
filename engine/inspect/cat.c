/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every entry of a snapshot, one after another, operator by operator: either subtask by subtask and
 * in each state by state, or state by state and in each subtask by subtask, which gives the entries
 * of a state in the order of their composite keys, since subtasks hold ascending ranges of key
 * groups.
 *
 * What was fetched or opened of a subtask stays until it has no more to give. So by subtask only
 * one subtask's files are on the local disk at a time; by state those of one operator are, but of
 * an operator with many subtasks only the one that is being read has a database or files open.
 *
 * After a failure the cat stays failed: what follows would be a hole that nobody notices.
 */

#include "engine/inspect/cat.h"
#include "base/file.h"
#include "engine/options.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_OPEN_SUBTASKS 16u

/* One subtask of the current operator. */
struct part {
    struct crn_cat_source source;
    struct crn_cat_operator list;
};

struct cairn_cat {
    struct crn_cat_filter filter;
    bool by_state;
    size_t op;             /* current operator */
    size_t *order;         /* its states in the order of reading; NULL: not begun */
    struct part *parts;    /* its subtasks */
    size_t state, subtask; /* current position: in order, in parts */
    bool is_reading;       /* at that position there may be more */
    struct crn_cat_keyed keyed;
    int failed; /* 0, or what next() returned */
};

bool crn_cat_wants(const struct crn_cat_filter *filter, const cairn_state_info *state)
{
    return (filter->state == NULL || strcmp(filter->state, state->name) == 0) &&
           (crn_cat_is_keyed(state) || !filter->keyed_only);
}

bool crn_cat_wants_operator(const struct crn_cat_filter *filter, const struct crn_operator *op)
{
    return filter->operator_uid == NULL || strcmp(filter->operator_uid, op->info.uid) == 0;
}

static const struct crn_operator *current_operator(const struct cairn_cat *cat)
{
    return &cat->filter.snapshot->record->operators[cat->op];
}

/* ------------------------------------------------------------------------------------------ *
 * Open and close
 * ------------------------------------------------------------------------------------------ */

static void close_part(struct part *part)
{
    crn_cat_source_close(&part->source);
    crn_cat_operator_close(&part->list);
}

static void close_operator(struct cairn_cat *cat)
{
    crn_cat_keyed_end(&cat->keyed);
    for (size_t i = 0; cat->parts != NULL && i < current_operator(cat)->subtask_count; i++)
        close_part(&cat->parts[i]);
    free(cat->parts);
    free(cat->order);
    cat->parts = NULL;
    cat->order = NULL;
    cat->is_reading = false;
}

void cairn_cat_close(cairn_cat *cat)
{
    if (cat == NULL)
        return;
    close_operator(cat);
    if (cat->filter.scratch != NULL)
        (void)crn_file_remove_tree(cat->filter.scratch, NULL); /* nobody is left to be told */
    free(cat->filter.scratch);
    free(cat->filter.operator_uid);
    free(cat->filter.state);
    free(cat->filter.key);
    free(cat);
}

static void cleanup_cat(cairn_cat **cat)
{
    cairn_cat_close(*cat);
}

static int copy_filter(struct crn_cat_filter *filter, const cairn_cat_options *options,
                       cairn_error **reterr)
{
    if (options->key_size > CRN_KEY_SIZE_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a key has at most %u bytes",
                            CRN_KEY_SIZE_MAX);
    if (options->operator_uid != NULL &&
        (filter->operator_uid = strdup(options->operator_uid)) == NULL)
        return crn_err_nomem(reterr);
    if (options->state != NULL && (filter->state = strdup(options->state)) == NULL)
        return crn_err_nomem(reterr);
    if (options->key != NULL) {
        filter->has_key = true;
        filter->key_size = options->key_size;
        filter->key = (uint8_t *)crn_str_dup_n(options->key, options->key_size);
        if (filter->key == NULL)
            return crn_err_nomem(reterr);
    }
    return 0;
}

/* A name that nothing has is a slip of the pen, not an empty result. */
static int check_filter(const struct crn_cat_filter *filter, cairn_error **reterr)
{
    const struct crn_record *record = filter->snapshot->record;
    bool has_operator = false;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        if (!crn_cat_wants_operator(filter, op))
            continue;
        has_operator = true;
        for (size_t s = 0; s < op->state_count; s++) {
            if (crn_cat_wants(filter, &op->states[s]))
                return 0;
        }
    }
    if (!has_operator && filter->operator_uid != NULL)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, filter->operator_uid,
                            "checkpoint %" PRIu64 " of job '%s' has no operator '%s'",
                            record->info.id, filter->snapshot->job, filter->operator_uid);
    if (filter->state != NULL)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, filter->state,
                            "checkpoint %" PRIu64 " of job '%s' has no such state '%s'",
                            record->info.id, filter->snapshot->job, filter->state);
    return 0; /* an empty snapshot has no entries, and that is all */
}

static int make_scratch(struct crn_cat_filter *filter, const char *parent, cairn_error **reterr)
{
    if (parent == NULL)
        parent = getenv("TMPDIR");
    if (parent == NULL || *parent == 0)
        parent = "/tmp";
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/cairn-cat-XXXXXX", parent));
    if (mkdtemp(path) == NULL)
        return crn_err_os(reterr, errno, parent, "scratch directory in '%s'", parent);
    filter->scratch = CRN_TAKE(path);
    return 0;
}

/* An upper bound: with a key not every subtask's files are fetched. */
static void sum_fetches(struct crn_cat_filter *filter)
{
    const struct crn_record *record = filter->snapshot->record;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; crn_cat_wants_operator(filter, op) && s < op->subtask_count; s++) {
            for (size_t f = 0; f < op->subtasks[s].file_count; f++) {
                const cairn_file_info *file = &op->subtasks[s].files[f].info;
                if (file->role == CAIRN_FILE_TABLE || file->role == CAIRN_FILE_DATABASE)
                    filter->progress.total_bytes += file->size;
            }
        }
    }
}

static int open_cat(cairn_snapshot *snapshot, const cairn_cat_options *options, bool for_diff,
                    cairn_cat **ret_cat, cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_cat) struct cairn_cat *cat = calloc(1, sizeof *cat);
    if (cat == NULL)
        return crn_err_nomem(reterr);
    struct crn_cat_filter *filter = &cat->filter;
    filter->snapshot = snapshot;
    filter->keyed_only = for_diff;
    filter->progress.fn = options->progress;
    filter->progress.context = options->progress_context;
    cat->by_state = for_diff || options->by_state != 0;
    CRN_TRY(copy_filter(filter, options, reterr));
    if (!for_diff)
        CRN_TRY(check_filter(filter, reterr));
    sum_fetches(filter);
    CRN_TRY(make_scratch(filter, options->scratch_dir, reterr));
    *ret_cat = CRN_TAKE(cat);
    return 0;
}

int crn_cat_open_sorted(cairn_snapshot *snapshot, const cairn_cat_options *options,
                        cairn_cat **ret_cat, cairn_error **reterr)
{
    return open_cat(snapshot, options, true, ret_cat, reterr);
}

int cairn_cat_open(cairn_snapshot *snapshot, const cairn_cat_options *options, cairn_cat **ret_cat,
                   cairn_error **reterr)
{
    cairn_cat_options known;
    if (snapshot == NULL || ret_cat == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "snapshot or ret_cat is NULL");
    CRN_TRY(crn_options_in(&known, sizeof known, options, "cairn_cat_options", reterr));
    return open_cat(snapshot, &known, false, ret_cat, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Positions
 * ------------------------------------------------------------------------------------------ */

static int by_name_and_kind(const void *a, const void *b, void *context)
{
    const struct crn_operator *op = context;
    const cairn_state_info *x = &op->states[*(const size_t *)a];
    const cairn_state_info *y = &op->states[*(const size_t *)b];
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->kind > y->kind) - (x->kind < y->kind);
}

/* By subtask the manifest's order, keyed states first; by state their names', so that two snapshots
 * can be compared. */
static int begin_operator(struct cairn_cat *cat, cairn_error **reterr)
{
    struct crn_operator *op = &cat->filter.snapshot->record->operators[cat->op];
    size_t count = 0;
    cat->order = calloc(op->state_count + 1, sizeof *cat->order);
    cat->parts = calloc(op->subtask_count + 1, sizeof *cat->parts);
    if (cat->order == NULL || cat->parts == NULL)
        return crn_err_nomem(reterr);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < op->state_count; i++) {
            if (crn_cat_is_keyed(&op->states[i]) == (pass == 0))
                cat->order[count++] = i;
        }
    }
    if (cat->by_state)
        qsort_r(cat->order, count, sizeof *cat->order, by_name_and_kind, op);
    cat->state = cat->subtask = 0;
    return 0;
}

/* Open what is needed to read the current position, if anybody wants it. */
static int begin_position(struct cairn_cat *cat, cairn_error **reterr)
{
    const struct crn_operator *op = current_operator(cat);
    const struct crn_subtask *subtask = &op->subtasks[cat->subtask];
    const cairn_state_info *state = &op->states[cat->order[cat->state]];
    struct part *part = &cat->parts[cat->subtask];
    if (!crn_cat_wants(&cat->filter, state))
        return 0;
    cat->is_reading = true;
    if (!crn_cat_is_keyed(state)) {
        if (part->list.filter == NULL)
            CRN_TRY(crn_cat_operator_open(&part->list, &cat->filter, op, subtask, reterr));
        crn_cat_operator_begin(&part->list);
        return 0;
    }
    if (part->source.filter == NULL)
        CRN_TRY(crn_cat_source_open(&part->source, &cat->filter, cat->op, op, subtask, reterr));
    return crn_cat_keyed_begin(&cat->keyed, &part->source, cat->order[cat->state], reterr);
}

static void end_position(struct cairn_cat *cat)
{
    const struct crn_operator *op = current_operator(cat);
    struct part *part = &cat->parts[cat->subtask];
    crn_cat_keyed_end(&cat->keyed);
    cat->is_reading = false;
    if (!cat->by_state) {
        if (++cat->state < op->state_count)
            return;
        close_part(part);
        cat->state = 0;
        cat->subtask++;
        return;
    }
    if (op->subtask_count > MAX_OPEN_SUBTASKS && part->source.filter != NULL)
        crn_cat_source_suspend(&part->source);
    if (++cat->subtask == op->subtask_count) {
        cat->subtask = 0;
        cat->state++;
    }
}

/* 1: a position to read from; 0: there is none left. */
static int next_position(struct cairn_cat *cat, cairn_error **reterr)
{
    const struct crn_record *record = cat->filter.snapshot->record;
    while (!cat->is_reading) {
        if (cat->op == record->operator_count)
            return 0;
        const struct crn_operator *op = &record->operators[cat->op];
        if (cat->order == NULL && crn_cat_wants_operator(&cat->filter, op) && op->state_count > 0)
            CRN_TRY(begin_operator(cat, reterr));
        else if (cat->order != NULL)
            end_position(cat);
        if (cat->order == NULL || cat->state == op->state_count ||
            cat->subtask == op->subtask_count) {
            close_operator(cat);
            cat->op++;
            continue;
        }
        CRN_TRY(begin_position(cat, reterr));
    }
    return 1;
}

static int find_next(struct cairn_cat *cat, cairn_cat_entry *ret, cairn_error **reterr)
{
    for (;;) {
        int r = next_position(cat, reterr);
        if (r <= 0)
            return r;
        r = cat->keyed.source != NULL ? crn_cat_keyed_next(&cat->keyed, ret, reterr)
                                      : crn_cat_operator_next(&cat->parts[cat->subtask].list,
                                                              cat->order[cat->state], ret);
        if (r != 0)
            return r;
        cat->is_reading = false; /* the position moves on in next_position() */
    }
}

int cairn_cat_next(cairn_cat *cat, cairn_cat_entry *ret_entry, cairn_error **reterr)
{
    cairn_cat_entry entry = {0};
    if (cat == NULL || ret_entry == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "cat or ret_entry is NULL");
    if (cat->failed != 0)
        return crn_err_fail(reterr, cat->failed, NULL, "reading the snapshot failed before");
    int r = find_next(cat, &entry, reterr);
    if (r < 0)
        cat->failed = r;
    if (r == 1) {
        entry.op = cat->op;
        entry.subtask = current_operator(cat)->subtasks[cat->subtask].info.index;
        *ret_entry = entry;
    }
    return r;
}

const uint8_t *crn_cat_composite_key(const cairn_cat *cat, size_t *ret_size)
{
    *ret_size = cat->keyed.key_size;
    return cat->keyed.key;
}
