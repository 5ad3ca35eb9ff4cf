/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that no failure of the store can harm a checkpoint (P1, P4, P5, P6, P8), by trying them
 * all: for every scenario, every mode of failing and every k, the k-th call of the store fails,
 * until a run comes through in which none did. After each case:
 *   - a crash right now would restore the old state or the new one, whole, and the new one only if
 *     its checkpoint was not reported as aborted;
 *   - the same job, or if opening failed a second try, completes the checkpoint;
 *   - one garbage collection later every object of the job is referenced (P6), and all are there.
 * The fake backend over the memory store. A case that hangs names itself and ends the program.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CASE_SECONDS 30
#define CLEAR_AFTER_MS                                                                             \
    5 /* how long a store stays broken in modes that do not end by themselves                      \
       */

/* ------------------------------------------------------------------------------------------ *
 * Scenarios
 * ------------------------------------------------------------------------------------------ */

struct run {
    struct fixture f;
    struct subject s;
    bool open; /* s is */
    struct oracle before, after;
    uint64_t random;
    uint64_t before_id; /* of the newest complete checkpoint before the faults; 0: none */
};

struct scenario {
    const char *name;
    uint32_t num_retained;
    unsigned checkpoints; /* before the faults */
    bool full, opens;     /* the act is a full checkpoint; or opening the job */
    bool leftovers;       /* of a crash are in the store */
};

static const struct scenario scenarios[] = {
    {"first checkpoint", 1, 0, false, false, false},
    {"incremental checkpoint", 3, 2, false, false, false},
    {"full checkpoint", 3, 2, true, false, false},
    {"checkpoint with subsumption", 1, 5, false, false, false},
    {"full checkpoint with subsumption", 2, 2, true, false, false},
    {"open with leftovers", 1, 2, false, true, true},
    {"restore", 2, 2, false, true, false},
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

static void put_leftovers(struct run *run)
{
    char key[64];
    uint64_t id = run->before_id + 1; /* was in flight */
    (void)snprintf(key, sizeof key, "job/shared/e1-c%" PRIu64 "-900.sst", id);
    store_put_text(run->f.store, key, "a table of a checkpoint that a crash cut short");
    (void)snprintf(key, sizeof key, "job/chk-%" PRIu64 "/e1-c%" PRIu64 "-901-CURRENT", id, id);
    store_put_text(run->f.store, key, "MANIFEST-000001\n");
}

static void run_init(struct run *run, const struct scenario *scenario)
{
    memset(run, 0, sizeof *run);
    fixture_init(&run->f, false);
    run->f.options.num_retained = scenario->num_retained;
    run->random = 42;
    oracle_init(&run->before);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
    run->open = true;
    for (unsigned i = 0; i < scenario->checkpoints; i++) {
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        oracle_mutate(&run->before, &run->s, &run->random, 12);
        ck_ok(subject_checkpoint(&run->s, false, &info, reterr));
        run->before_id = info.id;
    }
    run->after = run->before;
    if (scenario->opens) {
        subject_close(&run->s);
        run->open = false;
    } else {
        oracle_mutate(&run->after, &run->s, &run->random, 12);
    }
    if (scenario->leftovers)
        put_leftovers(run);
}

static void run_done(struct run *run)
{
    if (run->open)
        subject_close(&run->s);
    fixture_done(&run->f);
}

static int act(struct run *run, const struct scenario *scenario)
{
    if (!scenario->opens)
        return subject_checkpoint(&run->s, scenario->full, NULL, NULL);
    int r = subject_open(&run->f, "job", &run->s, NULL);
    run->open = r == 0;
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * What must hold after a fault
 * ------------------------------------------------------------------------------------------ */

/* The state that a crash at this moment would leave. */
static void check_crash(struct run *run, const struct scenario *scenario, int r)
{
    cairn_store *left = store_clone(run->f.store);
    struct fixture other = run->f;
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&run->f, "crash");
    other.store = other.options.store = left;
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &s, reterr));
    (void)cairn_job_restored(s.job, &info);
    bool is_new = info.id > run->before_id;
    if (!scenario->opens)
        ck_assert_msg(is_new == (r == 0), "outcome %s, but %" PRIu64 " comes back after %" PRIu64,
                      cairn_error_name(r), info.id, run->before_id);
    const char *why = oracle_compare(is_new ? &run->after : &run->before, &s);
    ck_assert_msg(why == NULL, "after a crash: %s", why);
    subject_close(&s);
    cairn_store_close(left);
}

static void check_goes_on(struct run *run)
{
    if (!run->open) {
        ck_ok(subject_open(&run->f, "job", &run->s, reterr));
        run->open = true;
    }
    const char *why = oracle_compare(&run->after, &run->s);
    ck_assert_msg(why == NULL, "the running job: %s", why);
    oracle_mutate(&run->after, &run->s, &run->random, 5);
    ck_ok(subject_checkpoint(&run->s, false, NULL, reterr));
    subject_close(&run->s);
    run->open = false;
    ck_ok(cairn_gc(run->f.store, "job", NULL, NULL, reterr));
    store_check_tidy(run->f.store, "job");
    oracle_check_store(&run->after, &run->f, run->f.store, "job");
}

/* One case. @return whether a fault fired */
static bool run_case(const struct scenario *scenario, const struct mode *mode, uint64_t k)
{
    struct run run;
    run_init(&run, scenario);
    struct crn_fault_plan plan = mode->plan;
    plan.ops = CRN_FAULT_ANY;
    plan.at = k;
    run.s.stop_after_ms = plan.and_after ? CLEAR_AFTER_MS : 0;
    fixture_arm(&run.f, plan);
    int r = act(&run, scenario);
    bool fired = crn_fault_store_fired(run.f.store) || (plan.and_after && run.s.fault_cleared);
    fixture_disarm(&run.f, CRN_FAULT_ANY);
    run.s.stop_after_ms = 0;
    ck_assert_msg(r == 0 || fired, "%s without a fault", cairn_error_name(r));
    check_crash(&run, scenario, r);
    check_goes_on(&run);
    run_done(&run);
    return fired;
}

/* ------------------------------------------------------------------------------------------ *
 * Enumeration
 * ------------------------------------------------------------------------------------------ */

static char current_case[160];

static void on_alarm(int signal_number)
{
    static const char text[] = "# hangs: ";
    (void)signal_number;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0 ||
        write(STDOUT_FILENO, current_case, strlen(current_case)) < 0)
        _exit(2);
    _exit(1);
}

static void begin_case(const char *scenario, const char *mode, uint64_t k)
{
    (void)snprintf(current_case, sizeof current_case, "%s, %s, k = %" PRIu64 "\n", scenario, mode,
                   k);
    (void)alarm(CASE_SECONDS);
}

static void report_current_case(void)
{
    printf("# last case: %s", current_case);
    (void)fflush(stdout);
}

START_TEST(test_every_call_fails_once)
{
    const struct scenario *scenario = &scenarios[_i];
    uint64_t cases = 0;
    (void)signal(SIGALRM, on_alarm);
    (void)atexit(report_current_case);
    for (size_t m = 0; m < CRN_COUNT(modes); m++) {
        uint64_t k = 0;
        do {
            k++;
            begin_case(scenario->name, modes[m].name, k);
            cases++;
        } while (run_case(scenario, &modes[m], k));
        ck_assert_uint_gt(k, 3);
    }
    (void)alarm(0);
    printf("# %s: %" PRIu64 " cases\n", scenario->name, cases);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Flipped bits
 * ------------------------------------------------------------------------------------------ */

/* M15: a bit is wrong in the k-th read of a restore, for every k. Never wrong data, never silence.
 */
START_TEST(test_every_read_flips_a_bit)
{
    static const struct scenario scenario = {"restore", 2, 3, false, true, false};
    uint64_t k = 0, refused = 0;
    bool fired;
    do {
        struct run run;
        cairn_error *error = NULL;
        k++;
        run_init(&run, &scenario);
        fixture_arm(&run.f,
                    (struct crn_fault_plan){.ops = CRN_FAULT_GET, .mode = CRN_FAULT_FLIP, .at = k});
        int r = subject_open(&run.f, "job", &run.s, &error);
        fired = crn_fault_store_fired(run.f.store);
        run.open = r == 0;
        if (r == 0) {
            const char *why = oracle_compare(&run.before, &run.s);
            ck_assert_msg(why == NULL, "read %" PRIu64 " flipped: %s", k, why);
        } else {
            refused++;
            ck_assert_int_eq(cairn_error_class_of(r), CAIRN_CLASS_DATA);
            ck_assert_msg(strncmp(cairn_error_object(error), "job/", 4) == 0, "names '%s': %s",
                          cairn_error_object(error), cairn_error_message(error));
        }
        cairn_error_free(error);
        fixture_disarm(&run.f, CRN_FAULT_GET);
        check_goes_on(&run); /* the store itself is whole */
        run_done(&run);
    } while (fired);
    printf("# flipped reads: %" PRIu64 " cases, %" PRIu64 " refused\n", k, refused);
    ck_assert_uint_gt(refused, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fault");
    TCase *tcase = tcase_create("enumeration");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, test_every_call_fails_once, 0, (int)CRN_COUNT(scenarios));
    tcase_add_test(tcase, test_every_read_flips_a_bit);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
