/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many files at once. What there is to do is a list of pieces, largest first (fetch_plan.c): a file
 * (fetch_file.c), files that share an object (fetch_pack.c), or a large object (fetch_ranges.c).
 * The calling thread and its helpers take the next piece from it until it is empty, and before that
 * the next range of a large object that is under way: so neither many small files nor one large
 * file wait for one connection.
 *
 * The first failure stops all threads at their next piece of a file, unless the caller wants to
 * hear of every problem: then only being cancelled or out of memory stops.
 *
 * Locks: `queue` for what is to be done, which is held while a leaf of ranges is taken; `lock` for
 * the first error, which makes the calls of `problem` one at a time and is held during them: they
 * may therefore not come back to the library. Byte count and stop flag are atomics. Progress is
 * told by whichever thread finds that it is due and that no other one is telling.
 */

#include "engine/transfer/fetch.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/transfer/fetch_file.h"
#include "engine/transfer/fetch_plan.h"

#include <assert.h>

#define DEFAULT_THREADS 4u
#define MAX_THREADS 64u
#define PROGRESS_INTERVAL_US 100000u
/* A large object under way; guarded by queue. */
struct large {
    struct crn_ranges *ranges; /* NULL: the place is free */
    unsigned users;
    bool is_finished;
};

struct run {
    const struct crn_fetch_request *request; /* constant while it runs */
    struct crn_intake intake;
    struct crn_fetch_plan plan;

    struct crn_mutex queue;
    struct crn_cond changed;
    size_t next;         /* guarded by queue, as are the two below */
    unsigned unfinished; /* large objects that are begun, or being begun */
    struct large large[MAX_THREADS];

    _Atomic uint64_t done_bytes;
    atomic_bool stop;
    atomic_flag telling; /* held while progress is called; guards told_us */
    uint64_t told_us;

    struct crn_mutex lock;
    int code; /* guarded by lock, as is error */
    cairn_error *error;
};

static void fail(struct run *run, int code, cairn_error **error)
{
    crn_mutex_lock(&run->lock);
    if (run->code == 0) {
        run->code = code;
        run->error = CRN_TAKE(*error);
    }
    crn_mutex_unlock(&run->lock);
    crn_mutex_lock(&run->queue);
    atomic_store(&run->stop, true);
    crn_cond_broadcast(&run->changed);
    crn_mutex_unlock(&run->queue);
}

static void report_problem(struct run *run, const struct crn_file *file, int code,
                           cairn_error **error)
{
    const struct crn_fetch_request *request = run->request;
    crn_mutex_lock(&run->lock);
    request->problem(request->problem_context, file, *error);
    if (run->code == 0) {
        run->code = code;
        run->error = CRN_TAKE(*error);
    }
    crn_mutex_unlock(&run->lock);
}

static int tell_progress(struct run *run, bool always, cairn_error **reterr)
{
    const struct crn_fetch_request *request = run->request;
    int r = 0;
    if (request->progress == NULL || atomic_flag_test_and_set(&run->telling))
        return 0;
    uint64_t now_us = crn_now_us();
    if (always || now_us - run->told_us >= PROGRESS_INTERVAL_US) {
        run->told_us = now_us;
        r = request->progress(request->progress_context, atomic_load(&run->done_bytes),
                              run->plan.total_bytes);
    }
    atomic_flag_clear(&run->telling);
    return r == 0 ? 0 : crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled by the caller");
}

static int tick(void *context, int64_t bytes, cairn_error **reterr)
{
    struct run *run = context;
    const atomic_bool *cancelled = run->request->cancelled;
    atomic_fetch_add(&run->done_bytes, (uint64_t)bytes);
    CRN_TRY(crn_downloads_check(run->request->downloads, reterr));
    if (cancelled != NULL && atomic_load(cancelled))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled");
    if (atomic_load(&run->stop))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "another file of the same fetch failed");
    return tell_progress(run, false, reterr);
}

static void settle(struct run *run, const struct crn_file *file, int r, cairn_error **error)
{
    if (run->request->problem == NULL || r == CAIRN_ECANCELED || r == CAIRN_ENOMEM)
        fail(run, r, error);
    else
        report_problem(run, file, r, error);
}

static int pack_problem(void *context, const struct crn_file *file, int code, cairn_error **error)
{
    report_problem(context, file, code, error);
    return 0;
}

/* --- large objects --- */

static void leave_large(struct run *run, struct large *large)
{
    struct crn_ranges *unused = NULL;
    crn_mutex_lock(&run->queue);
    if (--large->users == 0 && large->is_finished)
        unused = CRN_TAKE(large->ranges);
    crn_mutex_unlock(&run->queue);
    crn_ranges_free(unused);
}

static void after_step(struct run *run, struct large *large, enum crn_ranges_state state)
{
    if (state == CRN_RANGES_GO_ON)
        return;
    crn_mutex_lock(&run->queue);
    if (state == CRN_RANGES_FINISHED) {
        large->is_finished = true;
        run->unfinished--;
    }
    crn_cond_broadcast(&run->changed);
    crn_mutex_unlock(&run->queue);
}

/* A large object that is not finished, or not left, has a thread at it, and a thread is at one at a
 * time: there is a place. */
static struct large *enter_large(struct run *run, struct crn_ranges *ranges)
{
    struct large *large = NULL;
    crn_mutex_lock(&run->queue);
    for (size_t i = 0; i < CRN_COUNT(run->large) && large == NULL; i++)
        if (run->large[i].ranges == NULL)
            large = &run->large[i];
    assert(large != NULL);
    *large = (struct large){.ranges = ranges, .users = 1};
    crn_cond_broadcast(&run->changed);
    crn_mutex_unlock(&run->queue);
    return large;
}

static int begin_large(struct run *run, const struct crn_intake_scratch *scratch,
                       const struct crn_fetch_piece *piece, cairn_error **reterr)
{
    struct crn_ranges *ranges = NULL;
    enum crn_ranges_state state = CRN_RANGES_FINISHED;
    CRN_TRY(crn_ranges_begin(&run->intake, scratch, piece->files[0], run->plan.range_bytes,
                             crn_fetch_plan_ordinal(&run->plan, piece), &ranges, reterr));
    if (ranges == NULL) { /* it is there already */
        crn_mutex_lock(&run->queue);
        run->unfinished--;
        crn_cond_broadcast(&run->changed);
        crn_mutex_unlock(&run->queue);
        return 0;
    }
    struct large *large = enter_large(run, ranges);
    int r = crn_ranges_advance(ranges, scratch, &state, reterr);
    if (r == 0)
        after_step(run, large, state);
    leave_large(run, large);
    return r;
}

/* --- threads --- */

/* What a thread is to do next. */
struct step {
    const struct crn_fetch_piece *piece; /* NULL: a range of `large` */
    struct large *large;
    size_t range;
};

static bool take_range_locked(struct run *run, struct step *ret)
{
    for (size_t i = 0; i < CRN_COUNT(run->large); i++) {
        struct large *large = &run->large[i];
        if (large->ranges == NULL || large->is_finished ||
            !crn_ranges_take(large->ranges, &ret->range))
            continue;
        large->users++;
        ret->large = large;
        return true;
    }
    return false;
}

/* false: there is nothing left, nor will there be. */
static bool next_step(struct run *run, struct step *ret)
{
    bool is_one = false;
    *ret = (struct step){0};
    crn_mutex_lock(&run->queue);
    while (!atomic_load(&run->stop)) {
        is_one = take_range_locked(run, ret);
        if (!is_one && run->next < run->plan.piece_count) {
            ret->piece = &run->plan.pieces[run->next++];
            run->unfinished += crn_fetch_plan_in_ranges(&run->plan, ret->piece);
            is_one = true;
        }
        if (is_one || run->unfinished == 0)
            break;
        crn_cond_wait(&run->changed, &run->queue);
    }
    crn_mutex_unlock(&run->queue);
    return is_one;
}

static int do_piece(struct run *run, const struct crn_intake_scratch *scratch,
                    const struct crn_fetch_piece *piece, cairn_error **reterr)
{
    const size_t ordinal = crn_fetch_plan_ordinal(&run->plan, piece);
    if (crn_fetch_plan_in_ranges(&run->plan, piece))
        return begin_large(run, scratch, piece, reterr);
    if (!crn_file_is_slice(piece->files[0]))
        return crn_intake_file(&run->intake, scratch, piece->files[0], ordinal, reterr);
    const struct crn_pack_request pack = {
        .files = piece->files,
        .count = piece->count,
        .ordinal = ordinal,
        .problem = run->request->problem != NULL ? pack_problem : NULL,
        .problem_context = run,
    };
    return crn_intake_pack(&run->intake, scratch, &pack, reterr);
}

static int do_range(struct run *run, const struct crn_intake_scratch *scratch,
                    const struct step *step, cairn_error **reterr)
{
    enum crn_ranges_state state;
    int r = crn_ranges_fetch(step->large->ranges, scratch, step->range, &state, reterr);
    if (r == 0)
        after_step(run, step->large, state);
    leave_large(run, step->large);
    return r;
}

static void take_steps(struct run *run, const struct crn_intake_scratch *scratch)
{
    struct step step;
    while (next_step(run, &step)) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = tick(run, 0, &error);
        if (step.piece == NULL)
            r = r < 0 ? (leave_large(run, step.large), r) : do_range(run, scratch, &step, &error);
        else if (r == 0)
            r = do_piece(run, scratch, step.piece, &error);
        if (r < 0 && step.piece != NULL)
            settle(run, step.piece->files[0], r, &error);
        else if (r < 0)
            fail(run, r, &error);
    }
}

static void *work(void *arg)
{
    struct run *run = arg;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_CLEANUP(crn_intake_scratch_done) struct crn_intake_scratch scratch = {0};
    int r = crn_intake_scratch_init(&scratch, &error);
    if (r < 0)
        fail(run, r, &error);
    else
        take_steps(run, &scratch);
    return NULL;
}

/* The caller's thread is one of them, so that a fetch works even if no other can be started. */
static void run_threads(struct run *run)
{
    uint32_t wanted = run->request->threads != 0 ? run->request->threads : DEFAULT_THREADS;
    pthread_t threads[MAX_THREADS];
    uint32_t started = 0;

    if (wanted > MAX_THREADS)
        wanted = MAX_THREADS;
    wanted = crn_fetch_plan_threads(&run->plan, wanted);
    while (started + 1 < wanted) {
        if (crn_thread_start(&threads[started], "cairn-fetch", work, run, NULL) < 0)
            break;
        started++;
    }
    (void)work(run);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL); /* cannot fail: ours, joined once */
}

static void run_done(struct run *run)
{
    for (size_t i = 0; i < CRN_COUNT(run->large); i++)
        crn_ranges_free(run->large[i].ranges);
    crn_fetch_plan_done(&run->plan);
    cairn_error_free(run->error);
    crn_mutex_done(&run->lock);
    crn_cond_done(&run->changed);
    crn_mutex_done(&run->queue);
}

int crn_fetch(const struct crn_fetch_request *request, uint64_t *ret_bytes, cairn_error **reterr)
{
    CRN_CLEANUP(run_done) struct run run = {.request = request, .telling = ATOMIC_FLAG_INIT};
    crn_mutex_init(&run.lock, CRN_RANK_LEAF);
    crn_mutex_init(&run.queue, CRN_RANK_POOL);
    crn_cond_init(&run.changed);
    run.intake = (struct crn_intake){.store = request->store,
                                     .job = request->job,
                                     .directory = request->directory,
                                     .kept = request->directory != NULL ? request->kept : NULL,
                                     .downloads = request->downloads,
                                     .link = request->link,
                                     .sync = request->sync,
                                     .sizes_only = request->sizes_only,
                                     .tick = tick,
                                     .tick_context = &run};
    CRN_TRY(crn_fetch_plan_make(request, &run.plan, reterr));
    run_threads(&run);
    if (ret_bytes != NULL)
        *ret_bytes = atomic_load(&run.done_bytes);
    if (run.code != 0)
        return crn_err_move(reterr, &run.error, run.code);
    CRN_TRY(tell_progress(&run, true, reterr));
    if (request->sync && request->directory != NULL)
        CRN_TRY(crn_file_sync_dir(request->directory, reterr));
    return 0;
}

static int no_tick(void *context, int64_t bytes, cairn_error **reterr)
{
    (void)context, (void)bytes, (void)reterr;
    return 0;
}

int crn_fetch_bytes(cairn_store *store, const char *job, const struct crn_file *file,
                    struct crn_downloads *downloads, struct cairn_buffer *out, cairn_error **reterr)
{
    struct crn_intake intake = {
        .store = store, .job = job, .downloads = downloads, .tick = no_tick};
    CRN_CLEANUP(crn_intake_scratch_done) struct crn_intake_scratch scratch = {0};
    CRN_TRY(crn_intake_scratch_init(&scratch, reterr));
    return crn_intake_bytes(&intake, &scratch, file, out, reterr);
}
