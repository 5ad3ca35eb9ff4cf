/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Locks that know their order, monotonic time, threads and a pool.
 *
 * Deadlock is excluded by rank: a thread may take a mutex only if its rank is above all that it
 * holds. The ranks that a thread holds stand in a thread-local stack. They were taken in rising
 * order, and taking one away from the middle keeps them rising, so the top is always the highest
 * and one comparison is enough. A violation is a defect in Cairn and asserts at once, not on the
 * day when two threads meet.
 *
 * All waiting is against CLOCK_MONOTONIC; the wall clock only ever labels things.
 */

#include "base/thread.h"
#include "base/error.h"
#include "base/meter.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define MOST_HELD 8

static _Thread_local struct {
    const struct crn_mutex *mutexes[MOST_HELD];
    unsigned count;
} held;

void crn_mutex_init(struct crn_mutex *mutex, enum crn_lock_rank rank)
{
    int r = pthread_mutex_init(&mutex->mutex, NULL);
    assert(r == 0);
    (void)r;
    mutex->rank = rank;
}

void crn_mutex_done(struct crn_mutex *mutex)
{
    int r = pthread_mutex_destroy(&mutex->mutex);
    assert(r == 0);
    (void)r;
}

void crn_mutex_lock(struct crn_mutex *mutex)
{
    assert(held.count < MOST_HELD);
    assert(held.count == 0 || held.mutexes[held.count - 1]->rank < mutex->rank);
    int r = pthread_mutex_lock(&mutex->mutex);
    assert(r == 0);
    (void)r;
    held.mutexes[held.count++] = mutex;
}

void crn_mutex_unlock(struct crn_mutex *mutex)
{
    unsigned i = held.count;
    while (i > 0 && held.mutexes[i - 1] != mutex)
        i--;
    assert(i > 0);
    for (; i < held.count; i++)
        held.mutexes[i - 1] = held.mutexes[i];
    held.count--;
    int r = pthread_mutex_unlock(&mutex->mutex);
    assert(r == 0);
    (void)r;
}

void crn_mutex_assert_held(const struct crn_mutex *mutex)
{
    unsigned i = held.count;
    while (i > 0 && held.mutexes[i - 1] != mutex)
        i--;
    assert(i > 0);
}

void crn_cond_init(struct crn_cond *cond)
{
    pthread_condattr_t attributes;
    int r = pthread_condattr_init(&attributes);
    assert(r == 0);
    r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(r == 0);
    r = pthread_cond_init(&cond->cond, &attributes);
    assert(r == 0);
    (void)r;
    (void)pthread_condattr_destroy(&attributes); /* nothing to do on Linux */
}

void crn_cond_done(struct crn_cond *cond)
{
    int r = pthread_cond_destroy(&cond->cond);
    assert(r == 0);
    (void)r;
}

/* While a thread waits, its stack of ranks still lists the mutex: it cannot take another meanwhile,
 * and holds this one again when it goes on. */
void crn_cond_wait(struct crn_cond *cond, struct crn_mutex *mutex)
{
    crn_mutex_assert_held(mutex);
    int r = pthread_cond_wait(&cond->cond, &mutex->mutex);
    assert(r == 0);
    (void)r;
}

static struct timespec timespec_of_us(uint64_t us)
{
    return (struct timespec){.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000) * 1000};
}

bool crn_cond_wait_until(struct crn_cond *cond, struct crn_mutex *mutex, uint64_t deadline_us)
{
    crn_mutex_assert_held(mutex);
    struct timespec deadline = timespec_of_us(deadline_us);
    int r = pthread_cond_timedwait(&cond->cond, &mutex->mutex, &deadline);
    assert(r == 0 || r == ETIMEDOUT);
    return r == 0;
}

void crn_cond_signal(struct crn_cond *cond)
{
    (void)pthread_cond_signal(&cond->cond); /* cannot fail */
}

void crn_cond_broadcast(struct crn_cond *cond)
{
    (void)pthread_cond_broadcast(&cond->cond); /* cannot fail */
}

uint64_t crn_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t crn_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void crn_sleep_us(uint64_t us)
{
    struct timespec until = timespec_of_us(crn_now_us() + us);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

void crn_random_bytes(void *data, size_t n)
{
    uint8_t *at = data;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        assert(got > 0 || errno == EINTR); /* every kernel that Cairn runs on has it */
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

uint64_t crn_random_u64(void)
{
    uint64_t value;
    crn_random_bytes(&value, sizeof(value));
    return value;
}

/* Signals that a thread raises against itself by a fault stay open: blocked, they would kill the
 * process without the service's crash handler. */
static void fill_with_foreign_signals(sigset_t *set)
{
    (void)sigfillset(set); /* these fail for a bad signal number only */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        (void)sigdelset(set, own[i]);
}

/* What a thread begins with. */
struct start {
    void *(*fn)(void *);
    void *arg;
    struct crn_meter *meter;
};

static void *begin(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    (void)crn_meter_enter(start.meter);
    return start.fn(start.arg);
}

int crn_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg,
                     cairn_error **reterr)
{
    sigset_t blocked, before;
    struct start *start = malloc(sizeof *start);
    if (start == NULL)
        return crn_err_nomem(reterr);
    *start = (struct start){fn, arg, crn_meter_enter(NULL)};
    crn_meter_leave(start->meter);
    fill_with_foreign_signals(&blocked);
    int r = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    assert(r == 0);
    pthread_t thread;
    int created = pthread_create(&thread, NULL, begin, start);
    r = pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert(r == 0);
    (void)r;
    if (created != 0) {
        free(start);
        return crn_err_os(reterr, created, NULL, "cannot start thread '%s'", name);
    }
    char short_name[16];
    (void)snprintf(short_name, sizeof(short_name), "%s", name);
    (void)pthread_setname_np(thread, short_name); /* for people who look with top */
    *ret = thread;
    return 0;
}
