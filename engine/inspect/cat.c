/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every entry of a snapshot, one after another: operator by operator, subtask by subtask, first its
 * keyed states (cat_keyed.c), then its operator state (cat_operator.c). Only one subtask's files
 * are on the local disk at a time, in a scratch directory of our own.
 *
 * After a failure the cat stays failed: what follows would be a hole that nobody notices.
 */

#include "engine/inspect/cat.h"
#include "base/file.h"
#include "engine/options.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct cairn_cat {
    struct crn_cat_filter filter;
    char *scratch;      /* our own directory */
    size_t op, subtask; /* where to go on */
    bool is_open;       /* keyed and list are of the subtask before that */
    struct crn_cat_keyed keyed;
    struct crn_cat_operator list;
    size_t current_op;
    uint32_t current_subtask;
    int failed; /* 0, or what next() returned */
};

bool crn_cat_wants(const struct crn_cat_filter *filter, const cairn_state_info *state)
{
    return filter->state == NULL || strcmp(filter->state, state->name) == 0;
}

static bool wants_operator(const struct crn_cat_filter *filter, const struct crn_operator *op)
{
    return filter->operator_uid == NULL || strcmp(filter->operator_uid, op->info.uid) == 0;
}

static void close_subtask(struct cairn_cat *cat)
{
    if (cat->is_open) {
        crn_cat_keyed_close(&cat->keyed);
        crn_cat_operator_close(&cat->list);
    }
    cat->is_open = false;
}

void cairn_cat_close(cairn_cat *cat)
{
    if (cat == NULL)
        return;
    close_subtask(cat);
    if (cat->scratch != NULL)
        (void)crn_file_remove_tree(cat->scratch, NULL); /* nobody is left to be told */
    free(cat->scratch);
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
        if (!wants_operator(filter, op))
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

static int make_scratch(struct cairn_cat *cat, const char *parent, cairn_error **reterr)
{
    if (parent == NULL)
        parent = getenv("TMPDIR");
    if (parent == NULL || *parent == 0)
        parent = "/tmp";
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/cairn-cat-XXXXXX", parent));
    if (mkdtemp(path) == NULL)
        return crn_err_os(reterr, errno, parent, "scratch directory in '%s'", parent);
    cat->scratch = CRN_TAKE(path);
    return 0;
}

int cairn_cat_open(cairn_snapshot *snapshot, const cairn_cat_options *options, cairn_cat **ret_cat,
                   cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_cat) struct cairn_cat *cat = NULL;
    cairn_cat_options known;

    if (snapshot == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "snapshot is NULL");
    CRN_TRY(crn_options_in(&known, sizeof known, options, "cairn_cat_options", reterr));
    cat = calloc(1, sizeof *cat);
    if (cat == NULL)
        return crn_err_nomem(reterr);
    cat->filter.snapshot = snapshot;
    CRN_TRY(copy_filter(&cat->filter, &known, reterr));
    CRN_TRY(check_filter(&cat->filter, reterr));
    CRN_TRY(make_scratch(cat, known.scratch_dir, reterr));
    *ret_cat = CRN_TAKE(cat);
    return 0;
}

/* 1: the next wanted subtask is open; 0: there is none. */
static int open_next_subtask(struct cairn_cat *cat, cairn_error **reterr)
{
    const struct crn_record *record = cat->filter.snapshot->record;
    close_subtask(cat);
    while (cat->op < record->operator_count) {
        const struct crn_operator *op = &record->operators[cat->op];
        if (cat->subtask == op->subtask_count || !wants_operator(&cat->filter, op)) {
            cat->op++;
            cat->subtask = 0;
            continue;
        }
        const struct crn_subtask *subtask = &op->subtasks[cat->subtask++];
        CRN_AUTO_FREE char *directory = NULL;
        CRN_TRY(crn_str_printf(&directory, reterr, "%s/%zu-%" PRIu32, cat->scratch, cat->op,
                               subtask->info.index));
        cat->is_open = true;
        cat->current_op = cat->op;
        cat->current_subtask = subtask->info.index;
        CRN_TRY(crn_cat_operator_open(&cat->list, &cat->filter, op, subtask, reterr));
        CRN_TRY(crn_cat_keyed_open(&cat->keyed, &cat->filter, op, subtask, directory, reterr));
        return 1;
    }
    return 0;
}

static int find_next(struct cairn_cat *cat, cairn_cat_entry *ret, cairn_error **reterr)
{
    for (;;) {
        int r = 0;
        if (cat->is_open)
            r = crn_cat_keyed_next(&cat->keyed, ret, reterr);
        if (r == 0 && cat->is_open)
            r = crn_cat_operator_next(&cat->list, ret, reterr);
        if (r != 0)
            return r;
        r = open_next_subtask(cat, reterr);
        if (r <= 0)
            return r;
    }
}

int cairn_cat_next(cairn_cat *cat, cairn_cat_entry *ret_entry, cairn_error **reterr)
{
    cairn_cat_entry entry = {0};
    if (cat == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "cat is NULL");
    if (cat->failed != 0)
        return crn_err_fail(reterr, cat->failed, NULL, "reading the snapshot failed before");
    int r = find_next(cat, &entry, reterr);
    if (r < 0)
        cat->failed = r;
    if (r == 1) {
        entry.op = cat->current_op;
        entry.subtask = cat->current_subtask;
        *ret_entry = entry;
    }
    return r;
}
