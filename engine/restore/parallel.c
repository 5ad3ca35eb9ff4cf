/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of work that do not depend on each other. The calling thread and its helpers take the next
 * piece from one list until it is empty or a piece has failed. The caller's thread is one of them,
 * so that the work is done even if no other thread can be started.
 *
 * Lock: one mutex for the first error.
 */
#include "engine/restore/parallel.h"

#include "base/thread.h"

#define MAX_THREADS 64u

struct run {
    struct crn_parallel *parallel;
    struct crn_mutex lock;
    int code; /* guarded by lock, as is error */
    cairn_error *error;
};

static void fail(struct run *run, int code, cairn_error *error)
{
    crn_mutex_lock(&run->lock);
    if (run->code == 0) {
        run->code = code;
        run->error = error;
        error = NULL;
    }
    crn_mutex_unlock(&run->lock);
    cairn_error_free(error);
    atomic_store(&run->parallel->stop, true);
}

static void *work(void *arg)
{
    struct run *run = arg;
    struct crn_parallel *parallel = run->parallel;
    while (!atomic_load(&parallel->stop)) {
        size_t i = atomic_fetch_add(&parallel->next, 1);
        if (i >= parallel->count)
            break;
        cairn_error *error = NULL;
        int r = parallel->work(parallel->context, i, &error);
        if (r < 0)
            fail(run, r, error);
    }
    return NULL;
}

int crn_parallel_run(struct crn_parallel *parallel, cairn_error **reterr)
{
    struct run run = {.parallel = parallel};
    pthread_t threads[MAX_THREADS];
    uint32_t wanted = parallel->threads < MAX_THREADS ? parallel->threads : MAX_THREADS;
    uint32_t started = 0;
    if (wanted > parallel->count)
        wanted = (uint32_t)parallel->count;
    crn_mutex_init(&run.lock, CRN_RANK_LEAF);
    while (started + 1 < wanted &&
           crn_thread_start(&threads[started], parallel->name, work, &run, NULL) == 0)
        started++;
    (void)work(&run);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL); /* cannot fail: ours, joined once */
    crn_mutex_done(&run.lock);
    return run.code < 0 ? crn_err_move(reterr, &run.error, run.code) : 0;
}
