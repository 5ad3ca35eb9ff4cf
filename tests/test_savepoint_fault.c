/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that no failure of a store can make half a savepoint or harm the job (P1, P5, P6), by
 * trying them all: for both formats, with the target in the job's store or in one of its own, for
 * every mode of failing and every k, the k-th call of a store fails while a savepoint is taken,
 * until a run comes through in which none did. After each case:
 *   - the savepoint is whole and holds the state at its barrier, or it has no manifest; and it is
 *     whole if the caller was told so;
 *   - the same job takes a checkpoint and the next savepoint;
 *   - after the job was opened anew and collected, every object of the job and of each savepoint is
 *     referenced, and in its own store nothing of a failed one is left.
 * Then the same while one call of the store hangs, and meanwhile the machine dies, a collector
 * aborts the savepoint, or another process takes the job over (P7).
 * The fake backend over memory stores. A case that hangs names itself and ends the program.
 */
#include "tests/support/gate_store.h"
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "backends/storage/storage.h"
#include "cairn/inspect.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CASE_SECONDS 30
#define CLEAR_AFTER_MS                                                                             \
    5 /* how long a store stays broken in modes that do not end by themselves                      \
       */

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

/* Where the savepoint goes, and which store fails. */
enum place { BESIDE, APART_TARGET_FAILS, APART_JOB_FAILS, PLACES };
static const char *const places[] = {"beside the job", "apart, where it fails",
                                     "apart, the job's store fails"};

struct run {
    struct fixture f;
    struct subject s;
    struct oracle oracle, at_barrier, at_checkpoint;
    uint64_t id; /* of the savepoint */
    uint64_t random;
    cairn_store *target; /* may be the job's */
    enum place place;
    bool cleared; /* a fault came, and was taken away again while the savepoint was taken */
};

static void run_init(struct run *run, enum place place)
{
    memset(run, 0, sizeof *run);
    fixture_init(&run->f, false);
    run->place = place;
    run->target = run->f.store;
    if (place != BESIDE) {
        cairn_store *memory = NULL;
        ck_ok(crn_memory_store_open(&memory, reterr));
        ck_ok(crn_fault_store_open(memory, &run->target, reterr));
    }
    run->random = 11;
    oracle_init(&run->oracle);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
    oracle_mutate(&run->oracle, &run->s, &run->random, 20);
    ck_ok(subject_checkpoint(&run->s, false, NULL, reterr));
    run->at_checkpoint = run->oracle;
    oracle_mutate(&run->oracle, &run->s, &run->random, 20);
    run->id = 3; /* behind the fence and the checkpoint */
}

static void run_done(struct run *run)
{
    subject_close(&run->s);
    if (run->place != BESIDE)
        cairn_store_close(run->target);
    fixture_done(&run->f);
}

static int take(struct run *run, cairn_savepoint_format format, cairn_store *failing)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    struct pump pump = {.store = failing, .clear_after_ms = failing != NULL ? CLEAR_AFTER_MS : 0};
    options.target_store = run->target;
    options.format = format;
    options.link_previous = 1;
    pump_start(&pump, &run->s.tasks[1], SUBJECT_TASKS - 1);
    int r = cairn_task_savepoint(run->s.tasks[0], &options, NULL, NULL);
    pump_stop(&pump);
    run->cleared = pump.cleared;
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * What must hold after a fault
 * ------------------------------------------------------------------------------------------ */

static void expect_state(struct run *run, const char *name, const struct oracle *oracle)
{
    struct fixture other = run->f;
    struct subject s;
    cairn_store *memory = NULL;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&run->f, "reader");
    ck_ok(crn_memory_store_open(&memory, reterr));
    ck_ok(crn_fault_store_open(memory, &other.store, reterr));
    other.options.store = other.store;
    other.options.local_dir = local_dir;
    other.options.restore_store = run->target;
    other.options.restore_name = name;
    ck_ok(subject_open(&other, "reader", &s, reterr));
    const char *difference = oracle_compare(oracle, &s);
    ck_assert_msg(difference == NULL, "%s: %s", name, difference);
    subject_close(&s);
    cairn_store_close(other.store);
}

static bool has_manifest(struct run *run, const char *name)
{
    CRN_AUTO_FREE char *prefix = NULL;
    ck_ok(crn_str_printf(&prefix, reterr, "%s/MANIFEST-", name));
    return store_count(run->target, prefix) > 0;
}

struct sweep {
    struct run *run;
    bool is_strict; /* nothing of a failed one may be left */
};

static int check_directory(void *context, const char *segment, const cairn_object_stat *stat)
{
    const struct sweep *sweep = context;
    CRN_AUTO_FREE char *name = crn_str_dup_n(segment, strlen(segment) - 1);
    ck_assert_ptr_null(stat);
    if (strcmp(name, "job") == 0)
        return 0;
    if (has_manifest(sweep->run, name)) {
        cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
        options.full = 1;
        ck_ok(cairn_verify(sweep->run->target, name, &options, NULL, reterr));
        if (sweep->is_strict)
            store_check_tidy(sweep->run->target, name);
    } else {
        ck_assert_msg(!sweep->is_strict, "something is left at '%s' (P6)", name);
    }
    return 0;
}

static void check_savepoint(struct run *run, int r)
{
    char name[64];
    (void)snprintf(name, sizeof name, "savepoint-job-%" PRIu64, run->id);
    bool stands = has_manifest(run, name);
    ck_assert_msg(r < 0 || stands, "told to be complete, but there is none (P1)");
    if (stands)
        expect_state(run, name, &run->at_barrier);
}

static void check_case(struct run *run, cairn_savepoint_format format, int r)
{
    check_savepoint(run, r);
    oracle_mutate(&run->oracle, &run->s, &run->random, 20);
    ck_ok(subject_checkpoint(&run->s, false, NULL, reterr));
    ck_assert_int_eq(take(run, format, NULL), 0);
    subject_close(&run->s);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
    ck_assert_ptr_null(oracle_compare(&run->oracle, &run->s));
    subject_close(&run->s);
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    ck_ok(cairn_gc(run->f.store, "job", NULL, &report, reterr));
    store_check_tidy(run->f.store, "job");
    /* A store without a name cannot be found again, so there a failed removal is final. */
    struct sweep sweep = {.run = run, .is_strict = run->place != APART_TARGET_FAILS};
    ck_ok(run->target->ops->list_segments(run->target, "", check_directory, &sweep, reterr));
    check_savepoint(run, r);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
}

/* ------------------------------------------------------------------------------------------ *
 * All of them
 * ------------------------------------------------------------------------------------------ */

static char current_case[200];

static void say_case(int signal_number)
{
    static const char prefix[] = "# hangs: ";
    (void)signal_number;
    (void)!write(STDERR_FILENO, prefix, sizeof prefix - 1);
    (void)!write(STDERR_FILENO, current_case, strlen(current_case));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(1);
}

/* @return whether the fault came at all */
static bool one_case(enum place place, cairn_savepoint_format format, const struct mode *mode,
                     uint64_t k)
{
    struct run run;
    struct crn_fault_plan plan = mode->plan;
    plan.ops = CRN_FAULT_ANY;
    plan.at = k;
    (void)snprintf(current_case, sizeof current_case, "%s, %s, %s, k = %" PRIu64, places[place],
                   format == CAIRN_NATIVE ? "native" : "canonical", mode->name, k);
    (void)alarm(CASE_SECONDS);
    run_init(&run, place);
    cairn_store *failing = place == APART_JOB_FAILS ? run.f.store : run.target;
    run.at_barrier = run.oracle;
    crn_fault_store_arm(failing, &plan);
    int r = take(&run, format, plan.and_after ? failing : NULL);
    bool fired = crn_fault_store_fired(failing) || run.cleared;
    crn_fault_store_arm(failing, &(struct crn_fault_plan){.mode = CRN_FAULT_NEVER});
    ck_assert_msg(fired || r == 0, "it failed without a fault: %s", current_case);
    check_case(&run, format, r);
    run_done(&run);
    (void)alarm(0);
    return fired;
}

START_TEST(test_no_fault_makes_half_a_savepoint)
{
    enum place place = (enum place)(_i / 2);
    cairn_savepoint_format format = _i % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    uint64_t cases = 0;
    (void)signal(SIGALRM, say_case);
    for (size_t m = 0; m < CRN_COUNT(modes); m++)
        for (uint64_t k = 1, missed = 0; missed < 2; k++, cases++)
            missed = one_case(place, format, &modes[m], k) ? 0 : missed + 1;
    printf("# %s, %s: %" PRIu64 " cases\n", places[place],
           format == CAIRN_NATIVE ? "native" : "canonical", cases);
    (void)fflush(stdout);
    ck_assert_uint_gt(cases, 24);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Stopped in every call
 * ------------------------------------------------------------------------------------------ */

struct waiting {
    cairn_savepoint_handle *handle;
    atomic_bool over;
    int r;
};

static void *wait_main(void *arg)
{
    struct waiting *waiting = arg;
    waiting->r = cairn_savepoint_wait(waiting->handle, UINT64_MAX, NULL, NULL);
    atomic_store(&waiting->over, true);
    return NULL;
}

/* What a crash now would leave: the job as of its checkpoint, the savepoint whole or not at all. */
static void crash_now(struct run *run, const struct oracle *at_checkpoint)
{
    struct run left = *run;
    struct subject s;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&run->f, "crash");
    left.f.store = left.f.options.store = left.target = store_clone(run->f.store);
    left.f.options.local_dir = local_dir;
    ck_ok(subject_open(&left.f, "job", &s, reterr));
    ck_assert_ptr_null(oracle_compare(at_checkpoint, &s));
    subject_close(&s);
    store_check_tidy(left.f.store, "job");
    struct sweep sweep = {.run = &left, .is_strict = true};
    ck_ok(left.target->ops->list_segments(left.target, "", check_directory, &sweep, reterr));
    check_savepoint(&left, CAIRN_EABORTED);
    cairn_store_close(left.f.store);
}

static void take_over_now(struct run *run, const struct oracle *at_checkpoint)
{
    struct fixture other = run->f;
    struct subject s;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&run->f, "successor");
    other.options.store = run->f.store;
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &s, reterr));
    ck_assert_ptr_null(oracle_compare(at_checkpoint, &s));
    subject_close(&s);
}

enum interruption { CRASH, COLLECTOR, SUCCESSOR, INTERRUPTIONS };

static void interrupt(struct run *run, enum interruption what, const struct oracle *at_checkpoint)
{
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    switch (what) {
    case CRASH:
        crash_now(run, at_checkpoint);
        break;
    case COLLECTOR: /* resolves what is in flight as aborted */
        ck_ok(cairn_gc(run->f.store, "job", NULL, &report, reterr));
        break;
    case SUCCESSOR:
    case INTERRUPTIONS:
        take_over_now(run, at_checkpoint);
        break;
    }
}

/* Job and savepoint in one store, which stops in its k-th call. @return whether there was one */
static bool one_stop(enum interruption what, cairn_savepoint_format format, enum gate_side side,
                     uint64_t k)
{
    struct run run;
    struct pump pump = {0};
    struct waiting waiting = {0};
    pthread_t thread;
    (void)snprintf(current_case, sizeof current_case, "interruption %d, %s, side %d, k = %" PRIu64,
                   (int)what, format == CAIRN_NATIVE ? "native" : "canonical", (int)side, k);
    (void)alarm(CASE_SECONDS);
    run_init(&run, BESIDE);
    subject_close(&run.s);
    cairn_store *gate = gate_store_open(run.f.store);
    run.f.options.store = run.target = gate;
    ck_ok(subject_open(&run.f, "job", &run.s, reterr));
    run.oracle = run.at_checkpoint;
    struct oracle at_checkpoint = run.at_checkpoint;
    oracle_mutate(&run.oracle, &run.s, &run.random, 20);
    run.at_barrier = run.oracle;
    run.id = 4; /* behind two fences and a checkpoint */
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = gate;
    options.format = format;
    gate_stop_at(gate, CRN_FAULT_ANY, k, side);
    ck_ok(cairn_savepoint_begin(run.s.job, &options, &waiting.handle, reterr));
    ck_ok(crn_thread_start(&thread, "test-wait", wait_main, &waiting, reterr));
    pump_start(&pump, run.s.tasks, SUBJECT_TASKS);
    bool stopped = gate_wait_stopped(gate, &waiting.over);
    if (stopped) {
        interrupt(&run, what, &at_checkpoint);
        gate_let_go(gate);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    gate_stop_at(gate, CRN_FAULT_ANY, 0, side);
    pump_stop(&pump);
    cairn_savepoint_close(waiting.handle);
    ck_assert(what != CRASH || waiting.r == 0);
    if (what == SUCCESSOR && stopped) { /* start over from the checkpoint that both know */
        subject_close(&run.s);
        ck_ok(subject_open(&run.f, "job", &run.s, reterr));
        run.oracle = at_checkpoint;
    }
    check_case(&run, format, waiting.r);
    run.target = run.f.store;
    run_done(&run);
    cairn_store_close(gate);
    (void)alarm(0);
    return stopped;
}

START_TEST(test_no_interruption_makes_half_a_savepoint)
{
    enum interruption what = (enum interruption)(_i / 2);
    cairn_savepoint_format format = _i % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    uint64_t cases = 0;
    (void)signal(SIGALRM, say_case);
    for (int side = GATE_BEFORE; side <= GATE_AFTER; side++)
        for (uint64_t k = 1; one_stop(what, format, (enum gate_side)side, k); k++)
            cases++;
    printf("# interruption %d, %s: %" PRIu64 " cases\n", (int)what,
           format == CAIRN_NATIVE ? "native" : "canonical", cases);
    (void)fflush(stdout);
    ck_assert_uint_gt(cases, 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("savepoint_fault");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 200);
    tcase_add_loop_test(tcase, test_no_fault_makes_half_a_savepoint, 0, 2 * PLACES);
    tcase_add_loop_test(tcase, test_no_interruption_makes_half_a_savepoint, 0, 2 * INTERRUPTIONS);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
