/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Is everything that the log promises there, and right (P8)? Looks at all of it before it answers.
 *
 * An object that several checkpoints share is looked at once and counts as one problem, of all
 * checkpoints that need it: whoever reads of it must not go on to restore another one of them. Two
 * manifests that describe one object differently are two things to check: at least one of them is
 * wrong, and which one only the bytes tell. What there is to look at verify_plan.c finds out.
 *
 * A job may go on meanwhile, subsume a checkpoint and remove its objects. So what is missing is
 * kept back until the log has been read again: an object that only checkpoints need which are no
 * longer retained is not a problem. Damage is reported at once.
 */

#include "cairn/inspect.h"
#include "engine/inspect/verify.h"
#include "engine/options.h"
#include "engine/transfer/fetch.h"
#include <stdlib.h>
#include <string.h>

#define BATCH 4096u /* files that are described in full at a time */

struct postponed {
    const struct crn_verify_target *target;
    cairn_error *error;
};

enum verdict { VERDICT_WHOLE, VERDICT_DAMAGED, VERDICT_GONE /* subsumed meanwhile */ };

struct verify {
    cairn_verify_options options;
    struct crn_verify_plan plan;
    enum verdict *verdicts; /* of the plan's checkpoints */
    uint64_t *ids;          /* room for those of one target */
    struct postponed *postponed;
    size_t postponed_count, postponed_capacity;
    cairn_verify_report report;
    /* The targets that are looked at now. */
    struct crn_file *files;
    size_t first_target;
    uint64_t done_bytes; /* before them */
    int code;            /* of the first problem */
    cairn_error *error;
};

static void verify_done(struct verify *verify)
{
    for (size_t i = 0; i < verify->postponed_count; i++)
        cairn_error_free(verify->postponed[i].error);
    free(verify->postponed);
    free(verify->files);
    free(verify->verdicts);
    free(verify->ids);
    cairn_error_free(verify->error);
    crn_verify_plan_done(&verify->plan);
}

/* --- problems --- */

static void set_verdict(struct verify *verify, uint64_t id, enum verdict verdict)
{
    for (size_t i = 0; i < verify->plan.checkpoint_count; i++) {
        if (verify->plan.checkpoints[i] == id)
            verify->verdicts[i] = verdict;
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
static bool postpone(struct verify *verify, const struct crn_verify_target *target,
                     const cairn_error *error)
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

/* Called by one thread at a time. */
static void on_bad_file(void *context, const struct crn_file *file, const cairn_error *error)
{
    struct verify *verify = context;
    const struct crn_verify_target *target =
        &verify->plan.targets[verify->first_target + (size_t)(file - verify->files)];
    if (cairn_error_code(error) == CAIRN_EMISSING && postpone(verify, target, error))
        return;
    size_t count = crn_verify_plan_ids(&verify->plan, target, verify->ids);
    report_problem(verify, verify->ids, count, error);
}

static int judge_postponed(struct verify *verify, cairn_error **reterr)
{
    CRN_CLEANUP(crn_joblog_done) struct crn_joblog now = {0};
    const struct crn_verify_plan *plan = &verify->plan;
    if (verify->postponed_count == 0)
        return 0;
    CRN_TRY(crn_joblog_read(plan->store, plan->job, &now, reterr));
    for (size_t i = 0; i < verify->postponed_count; i++) {
        uint64_t *ids = verify->ids;
        size_t count = crn_verify_plan_ids(plan, verify->postponed[i].target, ids), gone = 0;
        while (gone < count && ids[gone] < now.log_start)
            set_verdict(verify, ids[gone++], VERDICT_GONE);
        if (gone < count)
            report_problem(verify, ids + gone, count - gone, verify->postponed[i].error);
    }
    return 0;
}

/* Once everything has been looked at. */
static void tell_verdicts(struct verify *verify)
{
    for (size_t i = 0; i < verify->plan.checkpoint_count; i++) {
        uint64_t id = verify->plan.checkpoints[i];
        bool is_whole = verify->verdicts[i] == VERDICT_WHOLE;
        if (verify->verdicts[i] == VERDICT_GONE)
            continue;
        if (is_whole) {
            verify->report.whole++;
            verify->report.newest_whole_id = id;
        }
        if (verify->options.verdict != NULL)
            verify->options.verdict(verify->options.context, id, is_whole);
    }
}

/* --- looking --- */

static void add_bytes(uint64_t *sum, uint64_t bytes)
{
    if (__builtin_add_overflow(*sum, bytes, sum))
        *sum = UINT64_MAX; /* a manifest's sizes may be anything */
}

static void cover_record(struct verify *verify, const struct crn_joblog_entry *entry)
{
    verify->report.checkpoints++;
    verify->report.objects++;
    verify->report.bytes_checked += entry->manifest_bytes; /* when the log was read */
    verify->report.bytes_covered += entry->manifest_bytes;
}

/* What the log has told already. */
static int review(struct verify *verify, cairn_error **reterr)
{
    const struct crn_verify_plan *plan = &verify->plan;
    const struct crn_joblog *log = &plan->survey.log;
    const uint64_t wanted = verify->options.id;
    const struct crn_record *found;
    CRN_AUTO_ERROR cairn_error *error = NULL;

    if (wanted != 0 && crn_joblog_find(log, wanted, &found, &error) == CAIRN_ENOTFOUND)
        return crn_err_move(reterr, &error, CAIRN_ENOTFOUND);
    verify->verdicts = calloc(plan->checkpoint_count + 1, sizeof *verify->verdicts);
    verify->ids = calloc(plan->checkpoint_count + 1, sizeof *verify->ids);
    if (verify->verdicts == NULL || verify->ids == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_joblog_entry *entry = &log->entries[i];
        if (wanted != 0 && entry->id != wanted)
            continue;
        if (entry->record == NULL)
            report_problem(verify, &entry->id, 1, entry->error);
        else if (crn_record_is_restorable(entry->record))
            cover_record(verify, entry);
    }
    for (size_t i = 0; i < plan->inlined_count; i++)
        report_problem(verify, &plan->inlined[i].id, 1, plan->inlined[i].error);
    verify->report.objects += plan->object_count;
    add_bytes(&verify->report.bytes_covered, plan->settled_bytes);
    add_bytes(&verify->report.bytes_covered, plan->target_bytes);
    verify->done_bytes = plan->settled_bytes;
    return 0;
}

/* Only borrows. */
static void describe(const struct crn_verify_target *target, struct crn_file *ret)
{
    const struct crn_expectation *expected = &target->expected;
    *ret = (struct crn_file){
        .info = {
            .role = CAIRN_FILE_TABLE, /* any: what it is for does not matter here */
            .name = target->name,
            .object = expected->object,
            .size = expected->size,
            .object_offset = expected->object_offset,
            .object_size = expected->object_size,
            .has_xxh3 = expected->has_xxh3 != 0,
            .has_crc32c = expected->has_crc32c != 0,
            .crc32c = expected->crc32c,
            .checkpoint_id = target->checkpoint_id,
        }};
    memcpy(ret->info.xxh3, expected->xxh3, sizeof ret->info.xxh3);
}

static int tell_progress(void *context, uint64_t done, uint64_t total)
{
    const struct verify *verify = context;
    uint64_t all = verify->plan.settled_bytes;
    (void)total;
    add_bytes(&all, verify->plan.target_bytes);
    return verify->options.progress(verify->options.context, verify->done_bytes + done, all);
}

static int look_at(struct verify *verify, size_t first, size_t count, cairn_error **reterr)
{
    const struct crn_file *files[BATCH];
    uint64_t bytes = 0;
    verify->first_target = first;
    for (size_t i = 0; i < count; i++) {
        describe(&verify->plan.targets[first + i], &verify->files[i]);
        files[i] = &verify->files[i];
    }
    struct crn_fetch_request request = {
        .store = verify->plan.store,
        .job = verify->plan.job,
        .files = files,
        .count = count,
        .sizes_only = !verify->options.full,
        .threads = verify->options.threads,
        .progress = verify->options.progress != NULL ? tell_progress : NULL,
        .progress_context = verify,
        .problem = on_bad_file,
        .problem_context = verify,
    };
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_fetch(&request, &bytes, &error);
    if (verify->options.full)
        verify->report.bytes_checked += bytes;
    verify->done_bytes += bytes;
    return r == CAIRN_ECANCELED || r == CAIRN_ENOMEM ? crn_err_move(reterr, &error, r) : 0;
}

static int look(struct verify *verify, cairn_error **reterr)
{
    size_t first = 0, count = verify->plan.target_count;
    verify->files = calloc(count < BATCH ? count + 1 : BATCH, sizeof *verify->files);
    if (verify->files == NULL)
        return crn_err_nomem(reterr);
    do {
        size_t n = count - first < BATCH ? count - first : BATCH;
        CRN_TRY(look_at(verify, first, n, reterr));
        first += n;
    } while (first < count);
    CRN_TRY(judge_postponed(verify, reterr));
    tell_verdicts(verify);
    return 0;
}

int cairn_verify(cairn_store *store, const char *job, const cairn_verify_options *options,
                 cairn_verify_report *ret_report, cairn_error **reterr)
{
    CRN_CLEANUP(verify_done) struct verify verify = {.plan = {.store = store, .job = job}};

    CRN_TRY(crn_options_in(&verify.options, sizeof verify.options, options, "cairn_verify_options",
                           reterr));
    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    verify.plan.wanted_id = verify.options.id;
    verify.plan.full = verify.options.full != 0;
    CRN_TRY(crn_verify_plan_make(&verify.plan, reterr));
    int r = review(&verify, reterr);
    if (r == 0)
        r = look(&verify, reterr);
    if (ret_report != NULL)
        CRN_TRY(crn_options_out(ret_report, &verify.report, sizeof verify.report,
                                "cairn_verify_report", reterr));
    return r < 0 ? r : crn_err_move(reterr, &verify.error, verify.code);
}
