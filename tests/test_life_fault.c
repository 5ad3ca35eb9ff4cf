/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that no failure of the store in the middle of a longer life can harm anybody (P1, P2, P5,
 * P6, P7). The life: a job takes a canonical savepoint, a checkpoint and a native savepoint, and
 * disposes of the first; then its successor claims the newer savepoint (or, if there is none, the
 * job itself), at another parallelism, and takes a checkpoint. In each case the k-th call of the
 * store fails; every k has its turn in one of the modes of failing (with CAIRN_STRIDE=1 in all of
 * them), and fewer over RocksDB and a directory. Who is told of a failure tries again, or leaves
 * it. Then:
 *   - a savepoint is whole, or it is not there; and it is if the job was told so;
 *   - the successor has the state at its source's barrier, or of its own newest checkpoint; what it
 *     claimed is nowhere else; and it goes on;
 *   - so does the job, from its newest checkpoint, unless that was what was claimed;
 *   - once they were opened and collected, nothing but their objects and whole savepoints is there.
 * A case that hangs names itself and ends the program. CAIRN_FAULT=k runs one k in all modes.
 */
#include "tests/support/life.h"
#include "tests/support/life_place.h"

#include "cairn/inspect.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CASE_SECONDS 30
#define CLEAR_AFTER_MS 5 /* how long a store stays broken that does not mend by itself */
#define IDS_MAX 64u

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

/* A job, and what each of its snapshots must hold. */
struct party {
    const char *name;
    struct life_plan plans[LIFE_OPS];
    struct life_oracle noted[IDS_MAX];
    bool is_noted[IDS_MAX];
    uint64_t confirmed; /* the newest complete checkpoint that it was told of */
    uint64_t last_id;   /* whose barrier came last */
};

struct run {
    struct fixture f;
    struct life life;
    cairn_job *job;
    struct party *open;   /* NULL: none is */
    pthread_mutex_t lock; /* around what barriers note: two threads poll */
    struct party job_party, successor;
    uint64_t random;
    bool stays_broken, cleared, fired;
    /* What the successor starts from. */
    char source[64];
    uint64_t source_id;
};

/* ------------------------------------------------------------------------------------------ *
 * A job's life
 * ------------------------------------------------------------------------------------------ */

static void note_barrier(void *context, const struct life_task *task, uint64_t id)
{
    struct run *run = context;
    struct party *party = run->open;
    ck_assert_uint_lt(id, IDS_MAX);
    (void)pthread_mutex_lock(&run->lock);
    party->is_noted[id] = true;
    party->last_id = id;
    life_oracle_note(&party->noted[id], &run->life.oracle, task->op, task->subtask, id);
    (void)pthread_mutex_unlock(&run->lock);
}

static void change(struct run *run)
{
    for (unsigned i = 0; i < 40; i++) {
        run->random = life_random(run->random);
        ck_ok(life_step(&run->life, run->random, true, reterr));
    }
}

static void close_job(struct run *run)
{
    cairn_job_close(run->job);
    run->job = NULL;
    life_close(&run->life);
    run->open = NULL;
}

static void take_oracle(struct run *run, struct party *party, uint64_t id)
{
    memset(&run->life.oracle, 0, sizeof run->life.oracle);
    if (id == 0)
        return;
    ck_assert_uint_lt(id, IDS_MAX);
    if (!party->is_noted[id] && party == &run->successor) { /* the import of its source */
        party->noted[id] = run->job_party.noted[run->source_id];
        party->is_noted[id] = true;
    }
    ck_assert(party->is_noted[id]);
    run->life.oracle = party->noted[id];
}

/* Opens the party's job and compares its state. On failure nothing is left open. */
static int open_party(struct run *run, struct party *party, cairn_error **reterr)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    bool starts_from = party == &run->successor;
    run->f.options.restore_store = starts_from ? run->f.store : NULL;
    run->f.options.restore_name = starts_from ? run->source : NULL;
    run->f.options.claim_mode = starts_from ? CAIRN_CLAIM : CAIRN_NO_CLAIM;
    run->f.options.restore_only_if_new = starts_from;
    CRN_TRY(fixture_open_job(&run->f, party->name, &run->job, reterr));
    run->open = party;
    (void)cairn_job_restored(run->job, &info);
    ck_assert_uint_ge(info.id, party->confirmed);
    take_oracle(run, party, info.id);
    int r = life_open(&run->life, run->job, party->plans, reterr);
    if (r == 0)
        r = cairn_job_start(run->job, reterr);
    if (r < 0) {
        close_job(run);
        return r;
    }
    const char *wrong = life_check(&run->life);
    ck_assert_msg(wrong == NULL, "%s, restored from %" PRIu64 ": %s", party->name, info.id, wrong);
    party->confirmed = info.id;
    return 0;
}

/* A call that takes a snapshot, while the other tasks poll. */
static int snapshot(struct run *run, const cairn_savepoint_options *options,
                    cairn_checkpoint_info *ret)
{
    cairn_task *tasks[LIFE_OPS * LIFE_TASKS_MAX];
    struct pump pump = {.store = run->f.store,
                        .clear_after_ms = run->stays_broken ? CLEAR_AFTER_MS : 0};
    size_t n = 0;
    for (unsigned op = 0; op < LIFE_OPS; op++)
        for (unsigned i = 0; i < run->open->plans[op].parallelism; i++)
            tasks[n++] = run->life.tasks[op][i].task;
    pump_start(&pump, tasks + 1, n - 1);
    int r = options != NULL ? cairn_task_savepoint(tasks[0], options, NULL, NULL)
                            : cairn_task_checkpoint(tasks[0], NULL, ret, NULL);
    pump_stop(&pump);
    run->cleared |= pump.cleared;
    return r;
}

static void checkpoint(struct run *run)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    if (snapshot(run, NULL, &info) == 0)
        run->open->confirmed = info.id;
}

static bool has_snapshot(struct run *run, const char *name)
{
    return life_place_has_snapshot(crn_fault_store_inner(run->f.store), name) == 1;
}

/* @return its id; 0: there is none */
static uint64_t savepoint(struct run *run, cairn_savepoint_format format, char name[64])
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = run->f.store;
    options.format = format;
    options.link_previous = 1;
    run->open->last_id = 0;
    int r = snapshot(run, &options, NULL);
    uint64_t id = run->open->last_id;
    (void)snprintf(name, 64, "savepoint-%s-%" PRIu64, run->open->name, id);
    bool stands = id != 0 && has_snapshot(run, name);
    ck_assert_msg(r < 0 || stands, "'%s' is told to be complete, and is not there", name);
    return stands ? id : 0;
}

/* ------------------------------------------------------------------------------------------ *
 * The life
 * ------------------------------------------------------------------------------------------ */

static int64_t stopped_clock(void *context)
{
    (void)context;
    return 0;
}

static void run_init(struct run *run, bool on_disk)
{
    memset(run, 0, sizeof *run);
    fixture_init(&run->f, on_disk);
    run->f.options.now_ms = stopped_clock;
    ck_assert_int_eq(pthread_mutex_init(&run->lock, NULL), 0);
    ck_ok(life_init(&run->life, reterr));
    run->life.at_barrier = note_barrier;
    run->life.context = run;
    run->random = 42;
    run->job_party.name = "job";
    run->successor.name = "next";
    memcpy(run->job_party.plans, (struct life_plan[]){{2, 0, false, 0}, {1, 1, true, 0}},
           sizeof run->job_party.plans);
    memcpy(run->successor.plans, (struct life_plan[]){{3, 1, false, 0}, {2, 1, false, 0}},
           sizeof run->successor.plans);
    ck_ok(open_party(run, &run->job_party, reterr));
    change(run);
    checkpoint(run);
    ck_assert_uint_gt(run->job_party.confirmed, 0);
    change(run);
}

static void run_done(struct run *run)
{
    (void)pthread_mutex_destroy(&run->lock);
    life_done(&run->life);
    fixture_done(&run->f);
}

static void mend(struct run *run)
{
    run->fired |= run->cleared || crn_fault_store_fired(run->f.store);
    if (run->stays_broken)
        fixture_disarm(&run->f, CRN_FAULT_ANY);
}

static void dispose(struct run *run, const char *name)
{
    if (cairn_dispose(run->f.store, name, NULL, NULL, NULL) == 0)
        return;
    mend(run);
    int r = cairn_dispose(run->f.store, name, NULL, NULL, NULL);
    ck_assert_msg(r == 0 || r == CAIRN_ENOTFOUND, "%s", cairn_error_name(r));
}

/* The newest snapshot that may be claimed: of the savepoint, else of the job itself. */
static void choose_source(struct run *run, uint64_t id, const char *name)
{
    cairn_snapshot *newest;
    (void)snprintf(run->source, sizeof run->source, "%s", id != 0 ? name : "job");
    run->source_id = id;
    if (id != 0)
        return;
    ck_ok(cairn_snapshot_open(crn_fault_store_inner(run->f.store), "job", 0, &newest, reterr));
    run->source_id = cairn_snapshot_record(newest)->id;
    cairn_snapshot_close(newest);
}

static void live(struct run *run)
{
    char first[64], second[64];
    uint64_t first_id = savepoint(run, CAIRN_CANONICAL, first);
    change(run);
    checkpoint(run);
    change(run);
    uint64_t second_id = savepoint(run, CAIRN_NATIVE, second);
    change(run);
    if (first_id != 0) {
        dispose(run, first);
        ck_assert_uint_eq(life_place_count(crn_fault_store_inner(run->f.store), first), 0);
    }
    close_job(run);
    choose_source(run, second_id, second);
    if (open_party(run, &run->successor, NULL) < 0) {
        mend(run);
        int r = open_party(run, &run->successor, NULL);
        if (r < 0) { /* one fault, but it was met twice: a try within Cairn had it first */
            fixture_disarm(&run->f, CRN_FAULT_ANY);
            ck_ok(open_party(run, &run->successor, reterr));
        }
    }
    change(run);
    checkpoint(run);
}

/* ------------------------------------------------------------------------------------------ *
 * What must hold afterwards
 * ------------------------------------------------------------------------------------------ */

static void goes_on(struct run *run, struct party *party)
{
    if (run->open != NULL)
        close_job(run);
    ck_ok(open_party(run, party, reterr));
    change(run);
    uint64_t before = party->confirmed;
    checkpoint(run);
    ck_assert_uint_gt(party->confirmed, before);
    close_job(run);
    life_place_check_tidy(run->f.store, party->name);
}

static int check_directory(void *context, const char *segment, const cairn_object_stat *stat)
{
    struct run *run = context;
    char name[64];
    ck_assert_ptr_null(stat);
    (void)snprintf(name, sizeof name, "%.*s", (int)strlen(segment) - 1, segment);
    if (strcmp(name, "next") == 0 || (strcmp(name, "job") == 0 && strcmp(run->source, "job") != 0))
        return 0;
    if (strcmp(name, "job") == 0 && store_count(run->f.store, "job/") == 1 &&
        store_has(run->f.store, "job/" CRN_MARK_CLAIMED))
        return 0; /* word of who has it */
    ck_assert_msg(has_snapshot(run, name), "something is left at '%s' (P6)", name);
    ck_assert_msg(strcmp(name, run->source) != 0, "'%s' has two owners", name);
    store_check_tidy(run->f.store, name);
    return 0;
}

static void check_aftermath(struct run *run)
{
    goes_on(run, &run->successor);
    if (strcmp(run->source, "job") != 0)
        goes_on(run, &run->job_party);
    ck_ok(run->f.store->ops->list_segments(run->f.store, "", check_directory, run, reterr));
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
    _exit(1);
}

static void report_current_case(void)
{
    printf("# last case: %s", current_case);
    (void)fflush(stdout);
}

/* @return whether the fault came at all */
static bool one_case(bool on_disk, const struct mode *mode, uint64_t k)
{
    static struct run run;
    struct crn_fault_plan plan = mode->plan;
    plan.ops = CRN_FAULT_ANY;
    plan.at = k;
    (void)snprintf(current_case, sizeof current_case, "%s, %s, k = %" PRIu64 "\n",
                   on_disk ? "RocksDB" : "fake", mode->name, k);
    (void)alarm(CASE_SECONDS);
    run_init(&run, on_disk);
    run.stays_broken = plan.and_after;
    fixture_arm(&run.f, plan);
    live(&run);
    mend(&run);
    fixture_disarm(&run.f, CRN_FAULT_ANY);
    run.stays_broken = false;
    check_aftermath(&run);
    run_done(&run);
    (void)alarm(0);
    return run.fired;
}

static void all_cases(const struct mode *mode, bool on_disk, uint64_t first, uint64_t stride)
{
    uint64_t cases = 0;
    const char *one = getenv("CAIRN_FAULT"), *step = getenv("CAIRN_STRIDE");
    if (step != NULL) {
        stride = strtoull(step, NULL, 10);
        first = 1;
    }
    (void)signal(SIGALRM, say_case);
    (void)atexit(report_current_case);
    if (one != NULL) {
        (void)one_case(on_disk, mode, strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t k = first, missed = 0; missed < 2; k += stride, cases++)
        missed = one_case(on_disk, mode, k) ? 0 : missed + 1;
    printf("# %s, %s: %" PRIu64 " cases\n", on_disk ? "RocksDB" : "fake", mode->name, cases);
    (void)fflush(stdout);
    ck_assert_uint_gt(cases, 10);
}

START_TEST(test_calls_fail)
{
    all_cases(&modes[_i], false, 1 + (uint64_t)_i, 6);
}
END_TEST

/* Over RocksDB a case takes longer: some k, other ones in each mode. */
START_TEST(test_some_calls_fail_over_rocksdb)
{
    all_cases(&modes[_i], true, 1 + (uint64_t)_i * 2, 13);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("life_fault");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, test_calls_fail, 0, (int)CRN_COUNT(modes));
    tcase_add_loop_test(tcase, test_some_calls_fail_over_rocksdb, 0, (int)CRN_COUNT(modes));
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
