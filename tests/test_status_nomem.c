/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at a job without memory.
 *
 * Proves: whichever allocation of a look fails, it is CAIRN_ENOMEM, or gives a picture that lacks
 * nothing but words; nothing leaks, the job goes on, and the next look is whole. Method: this
 * program's own malloc() fails the n-th time in the looking thread, for each n until a look gets
 * through. With a sanitizer, which has an allocator of its own, there is nothing to run.
 */
#include "engine/status/status.h"
#include "tests/support/cluster_kit.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#ifndef SANITIZED

/* The allocation that fails; negative: none does. */
static _Thread_local long allocations_left = -1;
/* Of this thread, that are not freed. */
static _Thread_local long allocated;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *data);

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *count(void *data)
{
    allocated += data != NULL;
    return data;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : count(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return allocation_fails() ? NULL : count(__libc_calloc(n, size));
}

void *realloc(void *old, size_t size)
{
    if (allocation_fails())
        return NULL;
    void *data = __libc_realloc(old, size);
    allocated += old == NULL && data != NULL;
    return data;
}

void free(void *data)
{
    allocated -= data != NULL;
    __libc_free(data);
}

static int look(cairn_job *job, size_t *ret_tasks, size_t *ret_ended)
{
    struct crn_job_status *status = NULL;
    struct cairn_buffer text = {0};
    cairn_error *error = NULL;
    int r = crn_status_take(job, &status, &error);
    if (r == 0) {
        *ret_tasks = status->task_count;
        *ret_ended = status->ended_count;
        r = crn_metrics_write(status, &text);
    }
    crn_buf_done(&text);
    crn_status_free(status);
    cairn_error_free(error);
    return r;
}

/* How often it failed. */
static long look_without_memory(cairn_job *job, size_t tasks_there, size_t ended_there)
{
    size_t tasks = 0, ended = 0;
    long failures = 0;
    for (long n = 0;; n++) {
        long before = allocated;
        allocations_left = n;
        int r = look(job, &tasks, &ended);
        bool fired = allocations_left < 0;
        allocations_left = -1;
        ck_assert_int_eq(allocated, before);
        ck_assert(r == 0 || r == CAIRN_ENOMEM);
        if (r == 0) {
            ck_assert_uint_eq(tasks, tasks_there);
            ck_assert_uint_eq(ended, ended_there);
        }
        failures += r < 0;
        if (!fired)
            break;
    }
    return failures;
}

START_TEST(every_allocation_of_a_look)
{
    struct fixture f;
    struct subject s;
    fixture_init(&f, false);
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr)); /* one is in flight */
    for (int r = 0; r == 0;) {
        struct crn_job_status *status = NULL;
        ck_ok(crn_status_take(s.job, &status, reterr));
        r = (int)status->in_flight_count;
        crn_status_free(status);
    }
    ck_assert_int_gt(look_without_memory(s.job, SUBJECT_TASKS, 1), 50);
    subject_close(&s);
    fixture_done(&f);
}
END_TEST

/* A coordinator has the tasks of its workers, and one of them is waited for. */
START_TEST(every_allocation_of_a_look_at_a_coordinator)
{
    static struct crew crew;
    crew_init(&crew, 2);
    crew_must_start(&crew);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    for (int r = 0; r == 0;) {
        struct crn_job_status *status = NULL;
        ck_ok(crn_status_take(crew_job(&crew), &status, reterr));
        r = (int)status->in_flight_count;
        crn_status_free(status);
    }
    ck_assert_int_gt(look_without_memory(crew_job(&crew), 2, 1), 50);
    crew_done(&crew);
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("status-nomem");
#ifndef SANITIZED
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, every_allocation_of_a_look);
    tcase_add_test(tcase, every_allocation_of_a_look_at_a_coordinator);
    suite_add_tcase(suite, tcase);
#endif
    return crn_test_run(suite);
}
