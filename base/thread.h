/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_THREAD_H
#define CRN_BASE_THREAD_H

#include "cairn/cairn.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Mutexes with ranks: a thread may only take a mutex of a higher rank than all it holds. The order
 * is asserted (thread-local stack), in release builds too: a check costs two loads. */
enum crn_lock_rank {
    CRN_RANK_JOB = 1, /* engine: job, coordinator, tasks' mailboxes */
    CRN_RANK_CONTROL, /* orders given through a job's control endpoint */
    CRN_RANK_STATE,   /* a state backend's own */
    CRN_RANK_STORE,   /* a store's own */
    CRN_RANK_POOL,    /* thread pool queue */
    CRN_RANK_MEMORY,  /* memory budget */
    CRN_RANK_LEAF     /* takes nothing else */
};
struct crn_mutex {
    pthread_mutex_t mutex;
    enum crn_lock_rank rank;
};
void crn_mutex_init(struct crn_mutex *mutex, enum crn_lock_rank rank);
void crn_mutex_done(struct crn_mutex *mutex);
void crn_mutex_lock(struct crn_mutex *mutex);
void crn_mutex_unlock(struct crn_mutex *mutex);
void crn_mutex_assert_held(const struct crn_mutex *mutex);

struct crn_cond {
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
};
void crn_cond_init(struct crn_cond *cond);
void crn_cond_done(struct crn_cond *cond);
void crn_cond_wait(struct crn_cond *cond, struct crn_mutex *mutex);
/* Waits until deadline (crn_now_us() time base). false: time is over. */
bool crn_cond_wait_until(struct crn_cond *cond, struct crn_mutex *mutex, uint64_t deadline_us);
void crn_cond_signal(struct crn_cond *cond);
void crn_cond_broadcast(struct crn_cond *cond);

/* A figure that one thread writes and any may read: without a locked instruction. */
static inline uint64_t crn_figure_get(const atomic_uint_fast64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}
static inline void crn_figure_set(atomic_uint_fast64_t *figure, uint64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}
static inline void crn_figure_add(atomic_uint_fast64_t *figure, uint64_t n)
{
    crn_figure_set(figure, crn_figure_get(figure) + n);
}

uint64_t crn_now_us(void); /* monotonic */
int64_t crn_wall_ms(void); /* Unix time */
void crn_sleep_us(uint64_t us);
void crn_random_bytes(void *data, size_t n); /* from the kernel */
uint64_t crn_random_u64(void);

/* Start a thread with a name (at most 15 bytes are kept) and all signals blocked but those of its
 * own faults (SIGSEGV and the like), so that the service's own threads get its signals. What it
 * spends is charged to the account that is open in the thread that starts it (meter.h). */
int crn_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg,
                     cairn_error **reterr);

/* A pool of threads over one queue; the job with the highest priority first, then first come. */
struct crn_pool;
typedef void (*crn_pool_fn)(void *arg);
int crn_pool_new(uint32_t threads, const char *name, struct crn_pool **ret, cairn_error **reterr);
/* 0 or CAIRN_ENOMEM (fn will not run). */
int crn_pool_submit(struct crn_pool *pool, uint64_t priority, crn_pool_fn fn, void *arg);
/* Runs what is queued to its end, then joins the threads. NULL is fine. */
void crn_pool_free(struct crn_pool *pool);

#endif
