/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A pool of threads over one priority queue: a binary heap, highest priority at the top, older
 * before newer among equals. The pool's mutex guards all of it and is never held while a job runs,
 * so a job may submit more.
 */

#include "base/error.h"
#include "base/thread.h"

#include <stdlib.h>

struct job {
    uint64_t priority;
    uint64_t number; /* order of submission */
    crn_pool_fn fn;
    void *arg;
};

struct crn_pool {
    /* constant after crn_pool_new() */
    pthread_t *threads;
    uint32_t thread_count;
    /* guarded by lock */
    struct crn_mutex lock;
    struct crn_cond changed; /* a job was queued, or closing was set */
    struct job *heap;
    size_t count;
    size_t capacity;
    uint64_t submitted;
    bool closing;
};

static bool runs_before(const struct job *a, const struct job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->number < b->number;
}

static void heap_push(struct job *heap, size_t count, struct job job)
{
    size_t i = count;
    while (i > 0 && runs_before(&job, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = job;
}

static struct job heap_pop(struct job *heap, size_t count)
{
    struct job top = heap[0], last = heap[count - 1];
    size_t left = count - 1, i = 0;
    for (size_t child = 1; child < left; child = 2 * i + 1) {
        if (child + 1 < left && runs_before(&heap[child + 1], &heap[child]))
            child++;
        if (!runs_before(&heap[child], &last))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

static void *work(void *arg)
{
    struct crn_pool *pool = arg;
    crn_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->count == 0 && !pool->closing)
            crn_cond_wait(&pool->changed, &pool->lock);
        if (pool->count == 0)
            break;
        struct job job = heap_pop(pool->heap, pool->count--);
        crn_mutex_unlock(&pool->lock);
        job.fn(job.arg);
        crn_mutex_lock(&pool->lock);
    }
    crn_mutex_unlock(&pool->lock);
    return NULL;
}

int crn_pool_new(uint32_t threads, const char *name, struct crn_pool **ret, cairn_error **reterr)
{
    if (threads == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a pool needs at least one thread");
    struct crn_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return crn_err_nomem(reterr);
    crn_mutex_init(&pool->lock, CRN_RANK_POOL);
    crn_cond_init(&pool->changed);
    pool->threads = calloc(threads, sizeof(*pool->threads));
    int r = pool->threads != NULL ? 0 : crn_err_nomem(reterr);
    while (r == 0 && pool->thread_count < threads) {
        r = crn_thread_start(&pool->threads[pool->thread_count], name, work, pool, reterr);
        if (r == 0)
            pool->thread_count++;
    }
    if (r < 0) {
        crn_pool_free(pool);
        return r;
    }
    *ret = pool;
    return 0;
}

/* Room for one more; the lock is held. */
static int make_room(struct crn_pool *pool)
{
    if (pool->count < pool->capacity)
        return 0;
    size_t capacity = pool->capacity > 0 ? 2 * pool->capacity : 16;
    struct job *heap = reallocarray(pool->heap, capacity, sizeof(*heap));
    if (heap == NULL)
        return CAIRN_ENOMEM;
    pool->heap = heap;
    pool->capacity = capacity;
    return 0;
}

int crn_pool_submit(struct crn_pool *pool, uint64_t priority, crn_pool_fn fn, void *arg)
{
    crn_mutex_lock(&pool->lock);
    int r = make_room(pool);
    if (r == 0) {
        struct job job = {.priority = priority, .number = pool->submitted++, .fn = fn, .arg = arg};
        heap_push(pool->heap, pool->count++, job);
        crn_cond_signal(&pool->changed);
    }
    crn_mutex_unlock(&pool->lock);
    return r;
}

void crn_pool_free(struct crn_pool *pool)
{
    if (pool == NULL)
        return;
    crn_mutex_lock(&pool->lock);
    pool->closing = true;
    crn_cond_broadcast(&pool->changed);
    crn_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->threads[i], NULL); /* fails only for a bad handle */
    crn_cond_done(&pool->changed);
    crn_mutex_done(&pool->lock);
    free(pool->threads);
    free(pool->heap);
    free(pool);
}
