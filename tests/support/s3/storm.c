/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See storm.h. What a checkpoint that failed has come to is not always known: what is restored must
 * be the state of the last one that is known to be complete, or of an attempt after it, and nothing
 * between two of these.
 */
#include "tests/support/s3/storm.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"
#include "cairn/savepoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SAVEPOINT_EVERY = 6, RESTART_EVERY = 5, OPEN_TRIES = 40 };

struct run {
    const struct storm *storm;
    struct fixture f;
    struct subject s;
    uint64_t random;
    struct oracle *states; /* by attempt; the last one is the present state */
    size_t complete, last;
    unsigned savepoints, unknown_savepoints, completed, failed, restarts, failed_opens;
};

static void note_problem(void *context, uint64_t id, const cairn_error *error)
{
    (void)snprintf(context, 256, "%" PRIu64 ": %s", id, cairn_error_message(error));
}

static void expect_whole(cairn_store *store, const char *name)
{
    cairn_verify_options verify = CAIRN_VERIFY_OPTIONS_INIT;
    char problem[256] = "";
    verify.full = 1;
    verify.problem = note_problem;
    verify.context = problem;
    ck_ok(cairn_verify(store, name, &verify, NULL, reterr));
    ck_assert_str_eq(problem, "");
}

/* ---- what goes on ---- */

static void mutate(struct run *run)
{
    ck_assert_uint_lt(run->last + 1, run->storm->checkpoints + 8);
    run->states[run->last + 1] = run->states[run->last];
    run->last++;
    oracle_mutate(&run->states[run->last], &run->s, &run->random, 10);
}

static void checkpoint(struct run *run)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    mutate(run);
    int r = subject_checkpoint(&run->s, false, NULL, &error);
    ck_assert_msg(r != CAIRN_EFENCED, "nobody fences it: %s", cairn_error_message(error));
    if (r >= 0)
        run->complete = run->last;
    run->completed += r >= 0;
    run->failed += r < 0;
}

/* What failed leaves nothing, or what a collection finds. */
static void savepoint(struct run *run)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    struct pump pump = {0};
    options.target_store = run->storm->store;
    options.format = run->restarts % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    pump_start(&pump, &run->s.tasks[1], SUBJECT_TASKS - 1);
    int r = cairn_task_savepoint(run->s.tasks[0], &options, NULL, NULL);
    pump_stop(&pump);
    run->savepoints += r == 0;
    run->unknown_savepoints += r == CAIRN_EUNKNOWN;
}

/* The attempt whose state this is. */
static size_t find_state(struct run *run)
{
    const char *why = NULL;
    for (size_t i = run->last; i >= run->complete && i <= run->last; i--) {
        why = oracle_compare(&run->states[i], &run->s);
        if (why == NULL)
            return i;
    }
    ck_abort_msg("the restored state is that of none of the last %zu attempts (P2): %s",
                 run->last - run->complete + 1, why);
}

static void open_job(struct run *run, bool is_calm)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = -1;
    for (int i = 0; i < (is_calm ? 1 : OPEN_TRIES) && r < 0; i++) {
        cairn_error_free(CRN_TAKE(error));
        r = subject_open(&run->f, "job", &run->s, &error);
        run->failed_opens += r < 0;
    }
    ck_assert_msg(r >= 0, "%s", cairn_error_message(error));
    run->complete = run->last = find_state(run);
}

/* ---- what must hold afterwards ---- */

/* Every id once, in a row, and readable. */
static void expect_dense(cairn_store *store)
{
    cairn_log *log;
    uint64_t before = 0;
    ck_ok(cairn_log_open(store, "job", &log, reterr));
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *info = cairn_log_at(log, i);
        ck_assert_int_ne(info->state, CAIRN_STATE_UNREADABLE);
        ck_assert_msg(before == 0 || info->id == before + 1, "%" PRIu64 " follows %" PRIu64,
                      info->id, before);
        before = info->id;
    }
    cairn_log_close(log);
}

struct names {
    char **names;
    size_t count;
};

static int expect_known(void *context, const char *key, const cairn_object_stat *stat)
{
    const struct names *names = context;
    bool is_known = false;
    (void)stat;
    for (size_t i = 0; i < names->count && !is_known; i++) {
        const size_t n = strlen(names->names[i]);
        is_known = strncmp(key, names->names[i], n) == 0 && key[n] == '/';
    }
    ck_assert_msg(is_known, "'%s' is left over (P6)", key);
    return 0;
}

/* The job, and savepoints: those that are known to be complete, and perhaps some of which it was
 * not learned. */
static void check_end(struct run *run)
{
    cairn_store *direct = run->storm->direct;
    struct names names;
    expect_whole(direct, "job");                        /* P1, P5, P8 */
    ck_ok(cairn_gc(direct, "job", NULL, NULL, reterr)); /* P6 */
    expect_dense(direct);
    ck_ok(cairn_store_jobs(direct, &names.names, &names.count, reterr));
    ck_assert_uint_ge(names.count, 1 + run->savepoints);
    ck_assert_uint_le(names.count, 1 + run->savepoints + run->unknown_savepoints);
    store_check_tidy(direct, "job");
    ck_ok(direct->ops->list(direct, "", expect_known, &names, reterr));
    for (size_t i = 0; i < names.count; i++)
        expect_whole(direct, names.names[i]);
    /* What came late into a savepoint's directory is nobody's, and goes with it. */
    for (size_t i = 0; i < names.count; i++)
        if (strcmp(names.names[i], "job") != 0)
            ck_ok(cairn_dispose(direct, names.names[i], NULL, NULL, reterr));
    ck_assert_uint_eq(store_count(direct, ""), store_count(direct, "job/"));
    cairn_names_free(names.names, names.count);
}

static void tell(const struct run *run)
{
    static const char *const names[PROXY_WHATS] = {
        "passed",   "cut requests", "cut answers", "truncated", "delayed", "doubled",
        "replayed", "held back",    "swallowed",   "spoiled",   "answered"};
    (void)fprintf(stderr,
                  "# seed %" PRIu64 ": %u checkpoints, %u failed, %u savepoints, %u restarts, %u "
                  "opens failed;",
                  run->storm->seed, run->completed, run->failed, run->savepoints, run->restarts,
                  run->failed_opens);
    for (int i = 0; i < PROXY_WHATS; i++)
        (void)fprintf(stderr, " %" PRIu64 " %s%s",
                      proxy_count(run->storm->proxy, (enum proxy_what)i), names[i],
                      i + 1 < PROXY_WHATS ? "," : "\n");
}

void storm_run(const struct storm *storm)
{
    const unsigned whats = (1u << PROXY_ANSWER) - 1 - (1u << PROXY_PASS);
    struct run run = {.storm = storm, .random = storm->seed};
    run.states = calloc(storm->checkpoints + 8, sizeof *run.states);
    ck_assert_ptr_nonnull(run.states);
    fixture_init(&run.f, storm->on_disk);
    run.f.options.store = storm->store;
    run.f.options.num_retained = 2;
    run.f.options.tolerable_failures = 0; /* any number */
    oracle_init(&run.states[0]);
    open_job(&run, true);
    proxy_set_chance(storm->proxy, storm->seed, storm->of_thousand, whats);
    for (unsigned i = 1; i <= storm->checkpoints; i++) {
        checkpoint(&run);
        if (i % SAVEPOINT_EVERY == 0)
            savepoint(&run);
        if (i % RESTART_EVERY == 0) {
            subject_close(&run.s);
            open_job(&run, false);
            run.restarts++;
        }
    }
    subject_close(&run.s);
    /* Even what comes late is harmless; and all is well again without anybody's doing. */
    proxy_clear(storm->proxy);
    proxy_release(storm->proxy);
    open_job(&run, true);
    mutate(&run);
    ck_ok(subject_checkpoint(&run.s, false, NULL, reterr));
    run.complete = run.last;
    subject_close(&run.s);
    open_job(&run, true);
    subject_close(&run.s);
    check_end(&run);
    tell(&run);
    fixture_done(&run.f);
    free(run.states);
}
