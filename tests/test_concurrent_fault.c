/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that no failure of the store can harm checkpoints that overlap (P1, P2, P5, P6), by trying
 * them all: three are in flight, and for every mode of failing and every k the k-th call of the
 * store fails, until a run comes through in which none did. After each case:
 *   - a crash right now would restore the newest checkpoint that was reported as complete, or one
 *     above it, with the state that it had at its own barriers;
 *   - the same job completes another one;
 *   - one garbage collection later every object of the job is referenced, and all are there.
 * The fake backend over the memory store. A case that hangs is ended by the test's time.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 3
#define FIRST_ID 4 /* of those that overlap: a fence and two checkpoints come before */
#define CLEAR_AFTER_US 5000

struct run {
    struct fixture f;
    struct subject s;
    struct oracle now, at[FIRST_ID + ROUNDS]; /* of each id, at its barriers */
    uint64_t random;
    uint64_t completed; /* newest id that was reported */
    uint64_t fired_us;
    bool clears; /* faults do not end by themselves */
    bool cleared;
};

struct mode {
    const char *name;
    struct crn_fault_plan plan;
};

static const struct mode modes[] = {
    {"unavailable once", {.mode = CRN_FAULT_BEFORE, .code = CAIRN_EUNAVAIL}},
    {"no space once", {.mode = CRN_FAULT_BEFORE, .code = CAIRN_ENOSPC}},
    {"no space from there on", {.mode = CRN_FAULT_BEFORE, .code = CAIRN_ENOSPC, .and_after = true}},
    {"lost reply", {.mode = CRN_FAULT_LOST_REPLY}},
    {"lost replies from there on", {.mode = CRN_FAULT_LOST_REPLY, .and_after = true}},
    {"short transfer", {.mode = CRN_FAULT_SHORT, .code = CAIRN_EIO}},
};

static void run_init(struct run *run, uint32_t num_retained)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    memset(run, 0, sizeof *run);
    fixture_init(&run->f, false);
    run->f.options.num_retained = num_retained;
    run->f.options.max_concurrent = ROUNDS;
    run->random = 42;
    oracle_init(&run->now);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
    for (unsigned i = 0; i < 2; i++) {
        oracle_mutate(&run->now, &run->s, &run->random, 12);
        ck_ok(subject_checkpoint(&run->s, false, &info, reterr));
        run->at[info.id] = run->now;
    }
    run->completed = info.id;
    ck_assert_uint_eq(info.id, FIRST_ID - 1);
}

static void clear_in_time(struct run *run)
{
    if (!run->clears || run->cleared || !crn_fault_store_fired(run->f.store))
        return;
    if (run->fired_us == 0) {
        run->fired_us = crn_now_us();
    } else if (crn_now_us() - run->fired_us >= CLEAR_AFTER_US) {
        fixture_disarm(&run->f, CRN_FAULT_ANY);
        run->cleared = true;
    }
}

/* One event of each task. @return how many of them took the barrier of `id`, or hear that there is
 * no need to */
static unsigned poll_all(struct run *run, uint64_t id, bool *ret_is_over)
{
    unsigned taken = 0;
    for (unsigned t = 0; t < SUBJECT_TASKS; t++) {
        cairn_event event = {0};
        ck_ok(cairn_task_poll(run->s.tasks[t], &event, reterr));
        taken += event.type == CAIRN_EVENT_BARRIER && event.checkpoint_id == id;
        *ret_is_over |= event.type == CAIRN_EVENT_ABORTED && event.checkpoint_id == id;
        if (event.type == CAIRN_EVENT_COMPLETED)
            run->completed = event.checkpoint_id;
    }
    clear_in_time(run);
    crn_sleep_us(50);
    return taken;
}

static bool is_in_flight(struct run *run)
{
    struct cairn_job *job = run->s.job;
    crn_mutex_lock(&job->lock);
    bool is = job->attempt_count > 0;
    crn_mutex_unlock(&job->lock);
    return is;
}

/* Each begins when all tasks have taken the barrier of the one before; their uploads and commits
 * overlap as they happen to. */
static void act(struct run *run)
{
    for (uint64_t id = FIRST_ID; id < FIRST_ID + ROUNDS; id++) {
        bool is_over = false;
        oracle_mutate(&run->now, &run->s, &run->random, 8);
        run->at[id] = run->now;
        ck_ok(cairn_job_trigger(run->s.job, NULL, reterr));
        for (unsigned taken = 0; taken < SUBJECT_TASKS && !is_over;)
            taken += poll_all(run, id, &is_over);
    }
    while (is_in_flight(run)) {
        bool ignored = false;
        (void)poll_all(run, 0, &ignored);
    }
    for (int i = 0; i < 2 * ROUNDS; i++) { /* what is still in the mailboxes */
        bool ignored = false;
        (void)poll_all(run, 0, &ignored);
    }
}

static void check_crash(struct run *run)
{
    struct fixture other = run->f;
    struct subject found;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&run->f, "crash");
    cairn_store *left = store_clone(run->f.store);
    other.store = other.options.store = left;
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &found, reterr));
    ck_assert_int_eq(cairn_job_restored(found.job, &info), 1);
    ck_assert_uint_eq(info.id, run->completed);
    const char *why = oracle_compare(&run->at[info.id], &found);
    ck_assert_msg(why == NULL, "after a crash, %" PRIu64 ": %s", info.id, why);
    store_check_tidy(left, "job");
    subject_close(&found);
    cairn_store_close(left);
}

static void check_goes_on(struct run *run)
{
    const char *why = oracle_compare(&run->now, &run->s);
    ck_assert_msg(why == NULL, "the running job: %s", why);
    oracle_mutate(&run->now, &run->s, &run->random, 5);
    ck_ok(subject_checkpoint(&run->s, false, NULL, reterr));
    subject_close(&run->s);
    ck_ok(cairn_gc(run->f.store, "job", NULL, NULL, reterr));
    store_check_tidy(run->f.store, "job");
    oracle_check_store(&run->now, &run->f, run->f.store, "job");
}

/* One case. @return whether a fault fired */
static bool run_case(uint32_t num_retained, const struct mode *mode, uint64_t k)
{
    struct run run;
    struct crn_fault_plan plan = mode->plan;
    run_init(&run, num_retained);
    plan.ops = CRN_FAULT_ANY;
    plan.at = k;
    run.clears = plan.and_after;
    fixture_arm(&run.f, plan);
    act(&run);
    bool fired = crn_fault_store_fired(run.f.store) || run.cleared;
    fixture_disarm(&run.f, CRN_FAULT_ANY);
    ck_assert_msg(fired || run.completed == FIRST_ID + ROUNDS - 1,
                  "%" PRIu64 " is the newest without a fault", run.completed);
    check_crash(&run);
    check_goes_on(&run);
    fixture_done(&run.f);
    return fired;
}

START_TEST(test_every_call_fails_under_three_in_flight)
{
    const uint32_t num_retained = _i == 0 ? 1 : 3;
    uint64_t cases = 0;
    for (size_t m = 0; m < CRN_COUNT(modes); m++) {
        uint64_t k = 0;
        do {
            k++;
            cases++;
        } while (run_case(num_retained, &modes[m], k));
        ck_assert_uint_gt(k, 20);
    }
    printf("# %d retained: %" PRIu64 " cases\n", (int)num_retained, cases);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("concurrent_fault");
    TCase *tcase = tcase_create("enumeration");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_every_call_fails_under_three_in_flight, 0, 2);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
