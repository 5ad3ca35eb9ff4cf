/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Is everything that the log promises there, and right (P8)? Looks at all of it before it answers.
 *
 * An object that several checkpoints share is looked at once and counts as one problem, of all
 * checkpoints that need it: whoever reads of it must not go on to restore another one of them. Two
 * manifests that describe one object differently are two things to check: at least one of them is
 * wrong, and which one only the bytes tell.
 *
 * A job may go on meanwhile, subsume a checkpoint and remove its objects. So what is missing is
 * kept back until the log has been read again: an object that only checkpoints need which are no
 * longer retained is not a problem. Damage is reported at once.
 */

#include "cairn/inspect.h"
#include "engine/transfer/fetch.h"
#include "engine/log/joblog.h"
#include "engine/options.h"
#include <assert.h>
#include <string.h>

/* A distinct thing to look at. */
struct target {
    const struct crn_file *file;
    uint64_t id;     /* before drop_duplicates(): the checkpoint that needs it */
    size_t first_id; /* after: index of the first one in verify.ids */
    size_t id_count;
    bool is_whole; /* only the size is looked at, and of a pack that of all its slices */
};

struct postponed {
    const struct target *target;
    cairn_error *error;
};

enum verdict { VERDICT_WHOLE, VERDICT_DAMAGED, VERDICT_GONE /* subsumed meanwhile */ };

struct checkpoint {
    uint64_t id;
    enum verdict verdict;
};

struct verify {
    cairn_store *store;
    const char *job;
    cairn_verify_options options;
    struct crn_joblog log;
    struct target *targets; /* after plan(): sorted by the file's address */
    size_t target_count, target_capacity;
    uint64_t *ids; /* of each target in turn: the checkpoints that need it, ascending */
    struct checkpoint *checkpoints; /* those looked at, ascending */
    size_t checkpoint_count;
    struct postponed *postponed;
    size_t postponed_count, postponed_capacity;
    cairn_verify_report report;
    int code; /* of the first problem */
    cairn_error *error;
};

static void verify_done(struct verify *verify)
{
    for (size_t i = 0; i < verify->postponed_count; i++)
        cairn_error_free(verify->postponed[i].error);
    free(verify->postponed);
    free(verify->checkpoints);
    free(verify->ids);
    free(verify->targets);
    cairn_error_free(verify->error);
    crn_joblog_done(&verify->log);
}

/* --- problems --- */

static void set_verdict(struct verify *verify, uint64_t id, enum verdict verdict)
{
    for (size_t i = 0; i < verify->checkpoint_count; i++) {
        if (verify->checkpoints[i].id == id)
            verify->checkpoints[i].verdict = verdict;
    }
}

static void report_problem(struct verify *verify, const uint64_t *ids, size_t count,
                           const cairn_error *error)
{
    verify->report.problems++;
    if (verify->code == 0) {
        verify->code = cairn_error_code(error);
        verify->error = crn_err_copy(error);
    }
    for (size_t i = 0; i < count; i++)
        set_verdict(verify, ids[i], VERDICT_DAMAGED);
    if (verify->options.problem != NULL)
        verify->options.problem(verify->options.context, ids[count - 1], error);
    if (verify->options.affected != NULL)
        verify->options.affected(verify->options.context, ids, count, error);
}

/* Keeping it back needs memory; without, it is reported like any other. */
static bool postpone(struct verify *verify, const struct target *target, const cairn_error *error)
{
    if (verify->postponed_count == verify->postponed_capacity) {
        size_t capacity = verify->postponed_capacity ? 2 * verify->postponed_capacity : 16;
        struct postponed *list = realloc(verify->postponed, capacity * sizeof *list);
        if (list == NULL)
            return false;
        verify->postponed = list;
        verify->postponed_capacity = capacity;
    }
    verify->postponed[verify->postponed_count++] = (struct postponed){target, crn_err_copy(error)};
    return true;
}

static int compare_addresses(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct target *)a)->file;
    uintptr_t y = (uintptr_t)((const struct target *)b)->file;
    return (x > y) - (x < y);
}

/* Called by one thread at a time. */
static void on_bad_file(void *context, const struct crn_file *file, const cairn_error *error)
{
    struct verify *verify = context;
    struct target key = {.file = file};
    const struct target *target = bsearch(&key, verify->targets, verify->target_count,
                                          sizeof *verify->targets, compare_addresses);
    assert(target != NULL);
    if (cairn_error_code(error) != CAIRN_EMISSING || !postpone(verify, target, error))
        report_problem(verify, verify->ids + target->first_id, target->id_count, error);
}

static int judge_postponed(struct verify *verify, cairn_error **reterr)
{
    CRN_CLEANUP(crn_joblog_done) struct crn_joblog now = {0};
    if (verify->postponed_count == 0)
        return 0;
    CRN_TRY(crn_joblog_read(verify->store, verify->job, &now, reterr));
    for (size_t i = 0; i < verify->postponed_count; i++) {
        const struct target *target = verify->postponed[i].target;
        const uint64_t *ids = verify->ids + target->first_id;
        size_t gone = 0;
        while (gone < target->id_count && ids[gone] < now.log_start)
            set_verdict(verify, ids[gone++], VERDICT_GONE);
        if (gone < target->id_count)
            report_problem(verify, ids + gone, target->id_count - gone, verify->postponed[i].error);
    }
    return 0;
}

/* Once everything has been looked at. */
static void tell_verdicts(struct verify *verify)
{
    for (size_t i = 0; i < verify->checkpoint_count; i++) {
        const struct checkpoint *checkpoint = &verify->checkpoints[i];
        bool is_whole = checkpoint->verdict == VERDICT_WHOLE;
        if (checkpoint->verdict == VERDICT_GONE)
            continue;
        if (is_whole) {
            verify->report.whole++;
            verify->report.newest_whole_id = checkpoint->id;
        }
        if (verify->options.verdict != NULL)
            verify->options.verdict(verify->options.context, checkpoint->id, is_whole);
    }
}

/* --- what to look at --- */

static int add_target(struct verify *verify, const struct crn_file *file, uint64_t id)
{
    if (verify->target_count == verify->target_capacity) {
        size_t capacity = verify->target_capacity ? 2 * verify->target_capacity : 256;
        struct target *targets = realloc(verify->targets, capacity * sizeof *targets);
        if (targets == NULL)
            return CAIRN_ENOMEM;
        verify->targets = targets;
        verify->target_capacity = capacity;
    }
    verify->targets[verify->target_count++] = (struct target){
        .file = file, .id = id, .is_whole = !verify->options.full && crn_file_is_slice(file)};
    return 0;
}

static int add_record(struct verify *verify, const struct crn_joblog_entry *entry)
{
    const struct crn_record *record = entry->record;
    verify->checkpoints[verify->checkpoint_count++] =
        (struct checkpoint){record->info.id, VERDICT_WHOLE};
    verify->report.checkpoints++;
    verify->report.objects++;
    verify->report.bytes_checked += entry->manifest_bytes; /* when the log was read */
    verify->report.bytes_covered += entry->manifest_bytes;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++) {
            for (size_t f = 0; f < op->subtasks[s].file_count; f++)
                CRN_TRY(add_target(verify, &op->subtasks[s].files[f], record->info.id));
        }
    }
    return 0;
}

static int compare_expectations(const cairn_file_info *x, const cairn_file_info *y)
{
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->has_xxh3 != y->has_xxh3)
        return x->has_xxh3 - y->has_xxh3;
    int order = x->has_xxh3 ? memcmp(x->xxh3, y->xxh3, sizeof x->xxh3) : 0;
    if (order != 0)
        return order;
    if (x->has_crc32c != y->has_crc32c)
        return x->has_crc32c - y->has_crc32c;
    return x->has_crc32c ? (x->crc32c > y->crc32c) - (x->crc32c < y->crc32c) : 0;
}

static int compare_slices(const cairn_file_info *x, const cairn_file_info *y, bool are_whole)
{
    if (x->object_size != y->object_size)
        return x->object_size < y->object_size ? -1 : 1;
    if (are_whole)
        return 0;
    if (x->object_offset != y->object_offset)
        return x->object_offset < y->object_offset ? -1 : 1;
    return compare_expectations(x, y);
}

/* The same object with the same description is the same target; inlined files are all distinct. */
static int compare_identity(const struct target *a, const struct target *b)
{
    const struct crn_file *x = a->file, *y = b->file;
    if (x->info.object == NULL || y->info.object == NULL) {
        if (x->info.object != NULL || y->info.object != NULL)
            return x->info.object == NULL ? -1 : 1;
        return ((uintptr_t)x > (uintptr_t)y) - ((uintptr_t)x < (uintptr_t)y);
    }
    int order = strcmp(x->info.object, y->info.object);
    return order != 0 ? order : compare_slices(&x->info, &y->info, a->is_whole && b->is_whole);
}

/* By identity, then by checkpoint. */
static int compare_targets(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    int order = compare_identity(x, y);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

/* A manifest's sizes may be anything. A pack is one object, however many of its slices are there.
 */
static void cover(struct verify *verify, const struct target *next, const struct target *last)
{
    const struct crn_file *file = next->file;
    if (file->info.object == NULL)
        return;
    bool is_more = last != NULL && crn_file_is_slice(file) && crn_file_is_slice(last->file) &&
                   strcmp(last->file->info.object, file->info.object) == 0;
    verify->report.objects += !is_more;
    if (__builtin_add_overflow(verify->report.bytes_covered,
                               next->is_whole ? file->info.object_size : file->info.size,
                               &verify->report.bytes_covered))
        verify->report.bytes_covered = UINT64_MAX;
}

/* One target for each distinct thing, with all checkpoints that need it. */
static void drop_duplicates(struct verify *verify)
{
    size_t kept = 0, id_count = 0;
    if (verify->target_count == 0)
        return;
    qsort(verify->targets, verify->target_count, sizeof *verify->targets, compare_targets);
    for (size_t i = 0; i < verify->target_count; i++) {
        struct target next = verify->targets[i];
        struct target *last = kept > 0 ? &verify->targets[kept - 1] : NULL;
        if (last == NULL || compare_identity(last, &next) != 0) {
            next.first_id = id_count;
            next.id_count = 0;
            cover(verify, &next, last);
            last = &verify->targets[kept++];
            *last = next;
        }
        last->file = next.file; /* as the newest has it */
        if (last->id_count > 0 && verify->ids[id_count - 1] == next.id)
            continue; /* two subtasks of one checkpoint share it */
        verify->ids[id_count++] = next.id;
        last->id_count++;
    }
    verify->target_count = kept;
    qsort(verify->targets, kept, sizeof *verify->targets, compare_addresses);
}

static int plan(struct verify *verify, cairn_error **reterr)
{
    uint64_t wanted = verify->options.id;
    const struct crn_record *found;
    CRN_AUTO_ERROR cairn_error *error = NULL;

    if (wanted != 0 && crn_joblog_find(&verify->log, wanted, &found, &error) == CAIRN_ENOTFOUND)
        return crn_err_move(reterr, &error, CAIRN_ENOTFOUND);
    verify->checkpoints = calloc(verify->log.count, sizeof *verify->checkpoints);
    if (verify->checkpoints == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < verify->log.count; i++) {
        const struct crn_joblog_entry *entry = &verify->log.entries[i];
        if (wanted != 0 && entry->id != wanted)
            continue;
        if (entry->record == NULL)
            report_problem(verify, &entry->id, 1, entry->error);
        else if (crn_record_is_restorable(entry->record) && add_record(verify, entry) < 0)
            return crn_err_nomem(reterr);
    }
    verify->ids = calloc(verify->target_count + 1, sizeof *verify->ids);
    if (verify->ids == NULL)
        return crn_err_nomem(reterr);
    drop_duplicates(verify);
    return 0;
}

static int look(struct verify *verify, cairn_error **reterr)
{
    CRN_AUTO_FREE const struct crn_file **files = calloc(verify->target_count + 1, sizeof(*files));
    uint64_t bytes = 0;

    if (files == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < verify->target_count; i++)
        files[i] = verify->targets[i].file;
    struct crn_fetch_request request = {
        .store = verify->store,
        .job = verify->job,
        .files = files,
        .count = verify->target_count,
        .sizes_only = !verify->options.full,
        .threads = verify->options.threads,
        .progress = verify->options.progress,
        .progress_context = verify->options.context,
        .problem = on_bad_file,
        .problem_context = verify,
    };
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_fetch(&request, &bytes, &error);
    if (verify->options.full)
        verify->report.bytes_checked += bytes;
    if (r == CAIRN_ECANCELED || r == CAIRN_ENOMEM)
        return crn_err_move(reterr, &error, r);
    CRN_TRY(judge_postponed(verify, reterr));
    tell_verdicts(verify);
    return 0;
}

int cairn_verify(cairn_store *store, const char *job, const cairn_verify_options *options,
                 cairn_verify_report *ret_report, cairn_error **reterr)
{
    CRN_CLEANUP(verify_done) struct verify verify = {.store = store, .job = job};

    CRN_TRY(crn_options_in(&verify.options, sizeof verify.options, options, "cairn_verify_options",
                           reterr));
    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    CRN_TRY(crn_joblog_read_judged(store, job, &verify.log, reterr));
    int r = plan(&verify, reterr);
    if (r == 0)
        r = look(&verify, reterr);
    if (ret_report != NULL)
        CRN_TRY(crn_options_out(ret_report, &verify.report, sizeof verify.report,
                                "cairn_verify_report", reterr));
    return r < 0 ? r : crn_err_move(reterr, &verify.error, verify.code);
}
