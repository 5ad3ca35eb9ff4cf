/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many files at once. The calling thread and its helpers take the next largest file from one list
 * until it is empty, so that a large file is never the one that everybody waits for at the end.
 * What happens to one file is in fetch_file.c.
 *
 * The first failure stops all threads at their next piece of a file, unless the caller wants to
 * hear of every problem: then only being cancelled or out of memory stops.
 *
 * Threads share the list's position, the byte count and the stop flag as atomics. One mutex guards
 * the first error and makes the calls of `problem` one at a time; it is held during these calls,
 * which may therefore not come back to the library. Progress is told by whichever thread finds that
 * it is due and that no other one is telling.
 */

#include "engine/transfer/fetch.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/transfer/fetch_file.h"

#define DEFAULT_THREADS 4u
#define MAX_THREADS 64u
#define PROGRESS_INTERVAL_US 100000u

struct run {
    const struct crn_fetch_request *request; /* constant while it runs */
    struct crn_intake intake;
    const struct crn_file **order;
    uint64_t total_bytes;

    atomic_size_t next;
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
    atomic_store(&run->stop, true);
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
                              run->total_bytes);
    }
    atomic_flag_clear(&run->telling);
    return r == 0 ? 0 : crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled by the caller");
}

static int tick(void *context, int64_t bytes, cairn_error **reterr)
{
    struct run *run = context;
    const atomic_bool *cancelled = run->request->cancelled;
    atomic_fetch_add(&run->done_bytes, (uint64_t)bytes);
    if (cancelled != NULL && atomic_load(cancelled))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled");
    if (atomic_load(&run->stop))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "another file of the same fetch failed");
    return tell_progress(run, false, reterr);
}

static void take_files(struct run *run, const struct crn_intake_scratch *scratch)
{
    while (!atomic_load(&run->stop)) {
        size_t i = atomic_fetch_add(&run->next, 1);
        if (i >= run->request->count)
            return;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = tick(run, 0, &error);
        if (r == 0)
            r = crn_intake_file(&run->intake, scratch, run->order[i], i, &error);
        if (r == 0)
            continue;
        if (run->request->problem == NULL || r == CAIRN_ECANCELED || r == CAIRN_ENOMEM)
            fail(run, r, &error);
        else
            report_problem(run, run->order[i], r, &error);
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
        take_files(run, &scratch);
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
    if (wanted > run->request->count)
        wanted = (uint32_t)run->request->count;
    while (started + 1 < wanted) {
        if (crn_thread_start(&threads[started], "cairn-fetch", work, run, NULL) < 0)
            break;
        started++;
    }
    (void)work(run);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL); /* cannot fail: ours, joined once */
}

static int larger_first(const void *a, const void *b)
{
    const struct crn_file *x = *(const struct crn_file *const *)a;
    const struct crn_file *y = *(const struct crn_file *const *)b;
    return (x->info.size < y->info.size) - (x->info.size > y->info.size);
}

static int plan(struct run *run, cairn_error **reterr)
{
    const struct crn_fetch_request *request = run->request;
    run->order = calloc(request->count + 1, sizeof(*run->order));
    if (run->order == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < request->count; i++) {
        run->order[i] = request->files[i];
        if (__builtin_add_overflow(run->total_bytes, request->files[i]->info.size,
                                   &run->total_bytes))
            return crn_err_fail(reterr, CAIRN_ECORRUPT, request->job,
                                "job '%s': the sizes in a manifest are beyond all measure",
                                request->job);
    }
    qsort(run->order, request->count, sizeof(*run->order), larger_first);
    return 0;
}

static void run_done(struct run *run)
{
    free(run->order);
    cairn_error_free(run->error);
    crn_mutex_done(&run->lock);
}

int crn_fetch(const struct crn_fetch_request *request, uint64_t *ret_bytes, cairn_error **reterr)
{
    CRN_CLEANUP(run_done) struct run run = {.request = request, .telling = ATOMIC_FLAG_INIT};
    crn_mutex_init(&run.lock, CRN_RANK_LEAF);
    run.intake = (struct crn_intake){.store = request->store,
                                     .job = request->job,
                                     .directory = request->directory,
                                     .link = request->link,
                                     .sync = request->sync,
                                     .sizes_only = request->sizes_only,
                                     .tick = tick,
                                     .tick_context = &run};
    CRN_TRY(plan(&run, reterr));
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
                    struct cairn_buffer *out, cairn_error **reterr)
{
    struct crn_intake intake = {.store = store, .job = job, .tick = no_tick};
    CRN_CLEANUP(crn_intake_scratch_done) struct crn_intake_scratch scratch = {0};
    CRN_TRY(crn_intake_scratch_init(&scratch, reterr));
    return crn_intake_bytes(&intake, &scratch, file, out, reterr);
}
