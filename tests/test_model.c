/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model test: random operations, checkpoints, crashes and restores of a whole job (RocksDB, a
 * directory as store, two subtasks) against the oracle of workload.h. A crash is a job that is
 * closed without a checkpoint: whatever was not committed is gone.
 *
 * Proves P1 and P2 (what is restored is exactly the state at the barrier of that checkpoint), P4 to
 * P6 (after each open nothing is missing and nothing dead is left), P8 (everything verifies).
 * CAIRN_SEED=n replays a run; CAIRN_RUNS sets their number.
 */
#include "tests/support/tap.h"
#include "tests/support/workload.h"
#include "cairn/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TASKS 2u
#define IDS_MAX 4096u
#define ACTIONS 160

struct model {
    uint64_t seed, random;
    char directory[128], store_uri[192], local[160];
    cairn_job *job;
    struct workload tasks[TASKS];
    /* Positions at the barrier, by checkpoint id: written when the barrier is taken. */
    uint64_t positions[IDS_MAX][TASKS];
    bool completed[IDS_MAX];
    uint64_t newest; /* newest completed id */
    uint32_t num_retained;
};

static uint64_t pick(struct model *m, uint64_t n)
{
    m->random = workload_random(m->random);
    return m->random % n;
}

static void must(struct model *m, int r, cairn_error *error, const char *what)
{
    ck_assert_msg(r >= 0, "seed %" PRIu64 ": %s: %s", m->seed, what, cairn_error_message(error));
}

static void note_barrier(void *context, const struct workload *workload, uint64_t id)
{
    struct model *m = context;
    ck_assert_uint_lt(id, IDS_MAX);
    m->positions[id][workload->subtask] = workload->position;
}

static void check_store(struct model *m)
{
    cairn_store *store;
    cairn_error *error = NULL;
    cairn_usage usage = CAIRN_USAGE_INIT;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = 1;
    must(m, cairn_store_open(m->store_uri, &store, &error), error, "store");
    must(m, cairn_verify(store, "model job", &options, &report, &error), error, "verify");
    must(m, cairn_job_usage(store, "model job", &usage, &error), error, "usage");
    ck_assert_msg(usage.dead_count == 0 && usage.unresolved_count == 0 && usage.missing_count == 0,
                  "seed %" PRIu64 ": %" PRIu64 " dead, %" PRIu64 " unresolved, %" PRIu64 " missing",
                  m->seed, usage.dead_count, usage.unresolved_count, usage.missing_count);
    cairn_store_close(store);
}

static void open_job(struct model *m)
{
    cairn_error *error = NULL;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    static const char *const transfers[] = {"", "?transfer=copy", "?transfer=link"};
    snprintf(m->store_uri, sizeof m->store_uri, "file://%s/store%s", m->directory,
             transfers[pick(m, 3)]);
    m->num_retained = 1 + (uint32_t)pick(m, 3);
    options.store_uri = m->store_uri;
    options.local_dir = m->local;
    options.num_retained = m->num_retained;
    options.inline_threshold_bytes = pick(m, 2) ? 1 : 0;
    options.state_memory_bytes = 16 << 20;
    /* Now and then an older one by name, while it is retained. */
    uint64_t wanted = m->newest;
    if (m->newest > 0 && pick(m, 4) == 0)
        for (uint64_t id = m->newest - 1; id > 0; id--)
            if (m->completed[id] && pick(m, 2)) {
                options.restore_checkpoint_id = wanted = id;
                break;
            }
    int r = cairn_job_open("model job", &options, &m->job, &error);
    if (r == CAIRN_ENOTFOUND && options.restore_checkpoint_id != 0) {
        cairn_error_free(error); /* it was subsumed meanwhile */
        error = NULL;
        options.restore_checkpoint_id = 0;
        wanted = m->newest;
        r = cairn_job_open("model job", &options, &m->job, &error);
    }
    must(m, r, error, "open");
    check_store(m);
    int restored = cairn_job_restored(m->job, &info);
    ck_assert_int_eq(restored, wanted > 0);
    for (uint32_t t = 0; t < TASKS; t++) {
        m->tasks[t].at_barrier = note_barrier;
        m->tasks[t].context = m;
        must(m, workload_open(&m->tasks[t], m->job, m->seed, t, TASKS, 1 << 20, &error), error,
             "task");
        uint64_t expected = restored ? m->positions[info.id][t] : 0;
        ck_assert_uint_eq(m->tasks[t].position, expected);
        ck_assert_uint_eq(cairn_operator_list_size(m->tasks[t].everybody), restored ? TASKS : 0);
    }
    if (restored)
        ck_assert_uint_eq(info.id, wanted);
    for (uint32_t t = 0; t < TASKS; t++) {
        const char *wrong = workload_check(&m->tasks[t]);
        ck_assert_msg(wrong == NULL, "seed %" PRIu64 ": checkpoint %" PRIu64 " subtask %u: %s",
                      m->seed, info.id, t, wrong);
    }
    must(m, cairn_job_start(m->job, &error), error, "start");
}

static void close_job(struct model *m)
{
    cairn_job_close(m->job);
    for (uint32_t t = 0; t < TASKS; t++)
        cairn_task_close(m->tasks[t].task);
}

static void poll_all(struct model *m)
{
    for (uint32_t t = 0; t < TASKS; t++) {
        cairn_event event;
        cairn_error *error = NULL;
        must(m, cairn_task_wait(m->tasks[t].task, pick(m, 2), &event, &error), error, "poll");
        if (event.type == CAIRN_EVENT_COMPLETED) {
            m->completed[event.checkpoint_id] = true;
            m->newest = event.checkpoint_id;
        }
        ck_assert_msg(event.type != CAIRN_EVENT_ABORTED, "seed %" PRIu64 ": aborted", m->seed);
    }
}

static void step(struct model *m, uint32_t task, uint64_t n)
{
    cairn_error *error = NULL;
    for (uint64_t i = 0; i < n; i++)
        must(m, workload_step(&m->tasks[task], &error), error, "step");
}

/* Writers go on between their barriers and the end. */
static void whole_checkpoint(struct model *m)
{
    cairn_error *error = NULL;
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    cairn_checkpoint_info before = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    options.full = pick(m, 4) == 0;
    int had = cairn_job_last_checkpoint(m->job, &before);
    must(m, cairn_job_trigger(m->job, &options, &error), error, "trigger");
    for (int i = 0; i < 100000; i++) {
        poll_all(m);
        step(m, (uint32_t)pick(m, TASKS), pick(m, 50));
        if (cairn_job_last_checkpoint(m->job, &info) == 1 && (!had || info.id > before.id))
            break;
    }
    ck_assert_uint_gt(info.id, before.id);
    poll_all(m);
    ck_assert_uint_ge(m->newest, info.id);
    if (options.full) /* it may have been served by one that was asked for before */
        ck_assert(info.is_full || had);
}

static void run(uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    m->seed = m->random = seed;
    const char *tmp = getenv("TMPDIR");
    snprintf(m->directory, sizeof m->directory, "%s/cairn-model-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(m->directory));
    snprintf(m->local, sizeof m->local, "%s/local", m->directory);
    open_job(m);
    for (int i = 0; i < ACTIONS; i++) {
        switch (pick(m, 10)) {
        case 0: /* crash */
            close_job(m);
            /* A checkpoint may have completed without anybody having been told. */
            open_job(m);
            break;
        case 1:
        case 2:
            whole_checkpoint(m);
            break;
        default:
            step(m, (uint32_t)pick(m, TASKS), pick(m, 400));
            break;
        }
    }
    close_job(m);
    check_store(m);
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", m->directory);
    ck_assert_int_eq(system(command), 0);
    free(m);
}

START_TEST(random_runs)
{
    const char *fixed = getenv("CAIRN_SEED");
    const char *runs = getenv("CAIRN_RUNS");
    if (fixed != NULL) {
        run(strtoull(fixed, NULL, 10));
        return;
    }
    uint64_t seed = workload_random((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32) % 1000000000;
    for (int i = runs != NULL ? atoi(runs) : 6; i > 0; i--) {
        printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
        fflush(stdout);
        run(seed++);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("P1 P2 P4 P5 P6 P8");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, random_runs);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
