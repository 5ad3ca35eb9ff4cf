/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves: whichever allocation of a worker's acknowledgement fails, what its coordinator commits
 * has all of the worker's state (P2), or nothing is committed; and the job goes on. Method: this
 * program's own malloc() fails the n-th time in the worker's thread, counted from where it begins
 * to put its part together, for each n of the first ones; then the job starts again from what is
 * there. With a sanitizer, which has an allocator of its own, there is nothing to run.
 */
#include "tests/support/cluster_kit.h"
#include "tests/support/gate_store.h"
#include "tests/support/status_kit.h"

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

#define ALLOCATIONS 80

/* The thread in which one fails, and how many go well before; negative: none fails any more. */
static pthread_t thread;
static atomic_bool is_armed;
static atomic_long left;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static bool allocation_fails(void)
{
    return atomic_load(&is_armed) && pthread_equal(pthread_self(), thread) &&
           atomic_fetch_sub(&left, 1) == 0;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return allocation_fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return allocation_fails() ? NULL : __libc_realloc(old, size);
}

/* How many files and bytes the newest checkpoint has. */
static void measure(struct crew *crew, uint64_t *files, uint64_t *bytes)
{
    struct crn_job_status *status = take_when_idle(crew_job(crew));
    *files = status->ended[0]->file_count;
    *bytes = status->ended[0]->full_bytes;
    ck_assert_int_eq(status->ended[0]->outcome, CRN_OUTCOME_COMPLETE);
    crn_status_free(status);
}

/* The worker has two tasks, which makes two parts of one acknowledgement. */
static cairn_task *tasks[2];

static void start(struct crew *crew)
{
    struct crew_member *m = &crew->members[1];
    cairn_value *value;
    ck_assert_int_eq(crew_open(crew, 0), 0);
    ck_assert_int_eq(crew_open(crew, 1), 0);
    ck_ok(cairn_task_open(m->job, "zeal", NULL, &tasks[1], reterr));
    ck_ok(cairn_value_state(tasks[1], "value", CAIRN_INT64, NULL, &value, reterr));
    ck_assert_int_eq(cairn_task_set_key(tasks[1], "key", 3), 0);
    ck_ok(cairn_value_put_int64(value, 1, reterr));
    tasks[0] = m->task;
    crew_must_start(crew);
}

/* A full checkpoint in which the allocation fails. */
static int try(struct crew *crew, cairn_store *gate, long allocation)
{
    static const atomic_bool never;
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    struct pump pump = {0};
    options.full = 1;
    gate_stop_at(gate, CRN_FAULT_FLUSH, 1, GATE_AFTER);
    ck_ok(cairn_job_trigger(crew_job(crew), &options, reterr));
    pump_start(&pump, tasks, 2);
    ck_assert(gate_wait_stopped(gate, &never));
    thread = crew->members[1].job->driver;
    atomic_store(&left, allocation);
    atomic_store(&is_armed, true);
    gate_let_go(gate);
    struct crn_job_status *status = take_when_idle(crew_job(crew));
    atomic_store(&is_armed, false);
    const int outcome = (int)status->ended[0]->outcome;
    crn_status_free(status);
    pump_stop(&pump);
    return outcome;
}

START_TEST(every_allocation_of_an_acknowledgement)
{
    static struct crew crew;
    uint64_t files = 0, bytes = 0;
    unsigned failed = 0;
    crew_init(&crew, 1);
    cairn_store *gate = gate_store_open(crew.members[1].f.store);
    crew.members[1].f.options.store = gate;
    start(&crew);
    for (unsigned i = 0; i < 3; i++)
        crew_write(&crew, i);
    ck_assert_int_eq(try(&crew, gate, ALLOCATIONS), CRN_OUTCOME_COMPLETE);
    measure(&crew, &files, &bytes);
    for (long n = 0; n < ALLOCATIONS; n++) {
        uint64_t new_files = 0, new_bytes = 0;
        if (try(&crew, gate, n) != CRN_OUTCOME_COMPLETE) {
            failed++;
            continue;
        }
        measure(&crew, &new_files, &new_bytes);
        ck_assert_msg(new_files == files && new_bytes == bytes,
                      "allocation %ld: %d files, not %d; %d bytes, not %d", n, (int)new_files,
                      (int)files, (int)new_bytes, (int)bytes);
    }
    ck_assert_uint_gt(failed, 3);
    cairn_job_close(crew.members[1].job);
    crew.members[1].job = NULL;
    cairn_task_close(tasks[1]);
    crew_close(&crew);
    start(&crew);
    crew_check(&crew);
    cairn_task_close(tasks[1]);
    crew_done(&crew);
    cairn_store_close(gate);
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("cluster-nomem");
#ifndef SANITIZED
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_allocation_of_an_acknowledgement);
    suite_add_tcase(suite, tcase);
#endif
    return crn_test_run(suite);
}
