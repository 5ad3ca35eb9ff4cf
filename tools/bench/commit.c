/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench commit`: a checkpoint of many subtasks, from the last upload to the commit.
 *
 * One operator with many subtasks, each a database of its own with several states. Before the
 * checkpoint one entry is put into every state, so each gives one new table: as many new files as
 * subtasks times states, and little in them. The heap backend, which keeps no files open, is for
 * more subtasks than a process may have open files: each of its subtasks gives so many canonical
 * files. A store in between notes when the last put of an object returned, and when the manifest
 * was created. Small tables are put together (the default over object stores), or each is an object
 * by itself.
 *
 * Requests are calls of the store; a call that lists or removes many may take several. What the job
 * does after the commit, which is to tell its tasks and to remove what is subsumed, is counted,
 * too, and is not in the times.
 */
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/object_side.h"
#include "tools/bench/table.h"
#include "tools/bench/watch.h"
#include "tools/bench/workload.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define UID "many"
#define NEVER_PACKED 1
#define HEAP_FILE_BYTES (64u << 10)
#define HEAP_KEYS 64u

enum {
    WALL_MS,
    TO_MANIFEST_MS,
    TO_COMMIT_MS,
    TO_TASKS_MS,
    MANIFEST_KB,
    FILES,
    PUTS,
    CALLS,
    REQUESTS,
    FIGURES
};
static const struct {
    const char *title;
    int decimals;
} figures_of[FIGURES] = {
    {"trigger to end", 0},
    {"last put to manifest", 1},
    {"last put to commit", 1},
    {"last put to all tasks", 1},
    {"manifest kB", 1},
    {"new files", 0},
    {"puts", 0},
    {"other calls", 0},
    {"requests, by the log", 0},
};

struct subtask {
    cairn_task *task;
    cairn_value **states;
    int64_t *keys; /* that belong to it */
    uint32_t key_count;
};

/* Small tables are put together, or are not. */
static const struct way {
    const char *name, *title;
    uint64_t pack_below_bytes;
} ways[] = {
    {"packed", "several tables to an object", BENCH_MIB},
    {"single", "an object for each table", NEVER_PACKED},
};
#define WAYS BENCH_COUNT(ways)

struct run {
    const struct bench_options *options;
    const char *work;
    struct bench_watch_counts *counts; /* shared with worker processes */
    char place[64];                    /* of this round, in the store */
    double (*values)[FIGURES];         /* by way and round */
};

static void run_done(struct run *run)
{
    if (run->counts)
        (void)munmap(run->counts, sizeof(*run->counts));
    free(run->values);
}

/* A job with its own place in the store. */
struct many {
    const struct bench_options *options;
    bool owns_place;           /* and empties it */
    bool in_memory;            /* the heap backend */
    uint32_t states, keys;     /* of each subtask */
    uint32_t value_size_bytes; /* of each entry */
    uint8_t *value;
    cairn_store *store;
    struct bench_watch watch;
    cairn_job *job;
    uint32_t first, end; /* the subtasks that this process has */
    struct subtask *subtasks;
    char *local_dir;
};

static void many_done(struct many *many)
{
    BENCH_AUTO_ERROR cairn_error *error = NULL;
    cairn_job_close(many->job);
    for (uint32_t i = 0; many->subtasks && i < many->options->subtasks; i++) {
        cairn_task_close(many->subtasks[i].task);
        free(many->subtasks[i].states);
        free(many->subtasks[i].keys);
    }
    free(many->subtasks);
    free(many->value);
    if (many->owns_place && bench_empty_store(many->store, &error) < 0)
        bench_note("the store is not empty: %s", cairn_error_message(error));
    cairn_store_close(many->store);
    if (many->local_dir)
        (void)bench_remove_tree(many->local_dir, NULL); /* else with all that is temporary */
    free(many->local_dir);
}

/* Wide enough that every file of a subtask has key groups of its own. */
static uint32_t max_parallelism(const struct bench_options *options)
{
    uint32_t groups = BENCH_KEY_GROUPS;
    while (groups < 32768 && groups < 2 * options->subtasks * options->files)
        groups *= 2;
    return groups;
}

/* Every database has a table for each state, and the heap backend a file for each so many bytes. */
static int plan_entries(struct many *many, cairn_error **reterr)
{
    const struct bench_options *options = many->options;
    many->in_memory = strcmp(options->backend, "heap") == 0;
    many->states = many->in_memory ? 1 : options->files;
    many->keys = many->in_memory ? HEAP_KEYS : 1;
    many->value_size_bytes =
        many->in_memory ? (2 * options->files - 1) * HEAP_FILE_BYTES / 2 / HEAP_KEYS : 8;
    many->value = calloc(1, many->value_size_bytes);
    many->subtasks = calloc(options->subtasks, sizeof(*many->subtasks));
    if (!many->value || !many->subtasks)
        return bench_fail_nomem(reterr);
    for (uint32_t i = 0; i < options->subtasks; i++) {
        many->subtasks[i].keys = calloc(many->keys, sizeof(*many->subtasks[i].keys));
        if (!many->subtasks[i].keys)
            return bench_fail_nomem(reterr);
    }
    return 0;
}

/* The first numbers that belong to each subtask. */
static void find_keys(struct many *many)
{
    uint32_t left = many->options->subtasks;
    for (int64_t key = 0; left > 0; key++) {
        uint8_t bytes[8];
        cairn_encode_int64(key, bytes);
        int i = cairn_subtask_of_key(bytes, sizeof bytes, many->options->subtasks,
                                     max_parallelism(many->options));
        struct subtask *subtask = &many->subtasks[i];
        if (subtask->key_count == many->keys)
            continue;
        subtask->keys[subtask->key_count++] = key;
        left -= subtask->key_count == many->keys;
    }
}

static int open_subtask(struct many *many, uint32_t i, cairn_error **reterr)
{
    struct subtask *subtask = &many->subtasks[i];
    cairn_task_options task = CAIRN_TASK_OPTIONS_INIT;
    task.memtable_bytes = HEAP_FILE_BYTES; /* of a database: the least that it may be */
    task.parallelism = many->options->subtasks;
    task.subtask = i;
    task.max_parallelism = max_parallelism(many->options);
    task.key_type = CAIRN_INT64;
    BENCH_TRY(cairn_task_open(many->job, UID, &task, &subtask->task, reterr));
    subtask->states = calloc(many->states, sizeof(*subtask->states));
    if (!subtask->states)
        return bench_fail_nomem(reterr);
    for (uint32_t s = 0; s < many->states; s++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "state-%u", s);
        BENCH_TRY(
            cairn_value_state(subtask->task, name, CAIRN_BYTES, NULL, &subtask->states[s], reterr));
    }
    return 0;
}

static int put_entries(struct many *many, struct subtask *subtask, cairn_error **reterr)
{
    for (uint32_t k = 0; k < many->keys; k++) {
        int r = cairn_task_set_key_int64(subtask->task, subtask->keys[k]);
        if (r < 0)
            return bench_fail(reterr, r, "setting a key: %s", cairn_error_text(r));
        for (uint32_t s = 0; s < many->states; s++)
            BENCH_TRY(
                cairn_value_put(subtask->states[s], many->value, many->value_size_bytes, reterr));
    }
    return 0;
}

/* role, and index of a worker: which part of the job this process is. */
static int many_open(struct many *many, const struct run *run, const struct way *way,
                     cairn_role role, uint32_t index, cairn_error **reterr)
{
    const struct bench_options *options = run->options;
    uint32_t workers = role == CAIRN_ALONE ? 1 : options->workers;
    many->first = role == CAIRN_COORDINATOR ? 0 : options->subtasks * index / workers;
    many->end = role == CAIRN_COORDINATOR ? 0 : options->subtasks * (index + 1) / workers;
    BENCH_AUTO_FREE char *uri = NULL;
    if (bench_is_s3(options->store))
        BENCH_TRY(bench_object_uri(options->store, run->place, NULL, &uri, reterr));
    else
        BENCH_TRY(bench_text(&uri, reterr, "%s", options->store));
    BENCH_TRY(cairn_store_open(uri, &many->store, reterr));
    many->owns_place = role != CAIRN_WORKER;
    bench_watch_init(&many->watch, many->store, run->counts);
    BENCH_TRY(bench_text(&many->local_dir, reterr, "%s/local-%d-%u", run->work, (int)role, index));
    BENCH_TRY(plan_entries(many, reterr));
    find_keys(many);
    cairn_job_options job = CAIRN_JOB_OPTIONS_INIT;
    job.store = &many->watch.base;
    job.local_dir = many->local_dir;
    job.transfer_threads = options->threads;
    job.state_backend = options->backend;
    job.role = role;
    job.join_timeout_ms = 60000;
    job.worker_count = role == CAIRN_COORDINATOR ? options->workers : 0;
    job.pack_below_bytes = way->pack_below_bytes;
    job.inline_threshold_bytes = many->in_memory ? 1 : 0; /* every file is an object */
    job.state_memory_bytes = 1024 * BENCH_MIB;
    BENCH_TRY(cairn_job_open("many", &job, &many->job, reterr));
    for (uint32_t i = many->first; i < many->end; i++) {
        BENCH_TRY(bench_check_interrupt(reterr));
        bench_progress("opening: %u of %u subtasks", i, options->subtasks);
        BENCH_TRY(open_subtask(many, i, reterr));
        BENCH_TRY(put_entries(many, &many->subtasks[i], reterr));
    }
    return cairn_job_start(many->job, reterr);
}

/* Until every task has heard that it is complete; those of other processes hear of it by
 * themselves. */
static int take_checkpoint(struct many *many, cairn_checkpoint_info *ret, cairn_error **reterr)
{
    uint32_t count = many->options->subtasks;
    if (many->options->workers > 0)
        return cairn_job_checkpoint(many->job, NULL, ret, reterr);
    BENCH_AUTO_FREE bool *done = calloc(count, sizeof(*done));
    if (!done)
        return bench_fail_nomem(reterr);
    BENCH_TRY(cairn_job_trigger(many->job, NULL, reterr));
    for (uint32_t left = count; left > 0;) {
        BENCH_TRY(bench_check_interrupt(reterr));
        for (uint32_t i = 0; i < count; i++) {
            cairn_event event;
            BENCH_TRY(cairn_task_poll(many->subtasks[i].task, &event, reterr));
            if (event.type == CAIRN_EVENT_ABORTED)
                return bench_fail(reterr, CAIRN_EABORTED, "checkpoint %" PRIu64 " was aborted",
                                  event.checkpoint_id);
            if (event.type != CAIRN_EVENT_COMPLETED || done[i])
                continue;
            done[i] = true;
            left--;
        }
        bench_sleep_us(1000);
    }
    (void)cairn_job_last_checkpoint(many->job, ret);
    return 0;
}

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return ((double)to_ns - (double)from_ns) / 1e6;
}

static int measure(struct many *many, double *figures, cairn_error **reterr)
{
    struct bench_watch_counts *counts = many->watch.counts;
    const struct bench_options *options = many->options;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    bool quiet = false;
    BENCH_TRY(bench_settle(&quiet, reterr));
    bench_watch_reset(counts);
    uint64_t start_ns = bench_now_ns();
    BENCH_TRY(take_checkpoint(many, &info, reterr));
    uint64_t end_ns = bench_now_ns(), last_put_ns = atomic_load(&counts->last_put_ns);
    BENCH_TRY(bench_settle(&quiet, reterr));
    figures[WALL_MS] = ms_between(start_ns, end_ns);
    figures[TO_MANIFEST_MS] = ms_between(last_put_ns, atomic_load(&counts->create_ns));
    figures[TO_COMMIT_MS] = ms_between(last_put_ns, atomic_load(&counts->created_ns));
    figures[TO_TASKS_MS] = ms_between(last_put_ns, end_ns);
    figures[MANIFEST_KB] = (double)atomic_load(&counts->created_bytes) / 1e3;
    figures[FILES] = (double)info.new_file_count;
    figures[PUTS] = (double)atomic_load(&counts->puts);
    figures[CALLS] = (double)atomic_load(&counts->others);
    BENCH_TRY(bench_requests_of(many->store, "many", info.id, &figures[REQUESTS], reterr));
    if (info.new_file_count < (uint64_t)options->subtasks * options->files)
        return bench_fail(reterr, CAIRN_EINTERNAL, "only %" PRIu64 " new files",
                          info.new_file_count);
    return 0;
}

/* ---- several processes ---- */

/* Polls until the job is over. */
static int work(struct many *many)
{
    for (;;) {
        for (uint32_t i = many->first; i < many->end; i++) {
            cairn_event event;
            if (cairn_task_poll(many->subtasks[i].task, &event, NULL) < 0)
                return 0;
        }
        bench_sleep_us(1000);
    }
}

/* In a process of its own, which ends here. */
static _Noreturn void be_worker(const struct run *run, const struct way *way, uint32_t index)
{
    struct many many = {.options = run->options};
    cairn_error *error = NULL;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the coordinator */
    int r = many_open(&many, run, way, CAIRN_WORKER, index, &error);
    if (r == 0)
        r = work(&many);
    else
        bench_note("worker %u: %s", index, cairn_error_message(error));
    many_done(&many);
    _exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Nothing is open yet in this process, whose threads a child would not have. */
static int start_workers(const struct run *run, const struct way *way, pid_t *pids,
                         cairn_error **reterr)
{
    for (uint32_t i = 0; i < run->options->workers; i++) {
        (void)fflush(NULL);
        pids[i] = fork();
        if (pids[i] < 0)
            return bench_fail_os(reterr, errno, "starting a worker");
        if (pids[i] == 0)
            be_worker(run, way, i);
    }
    return 0;
}

static int end_workers(const struct run *run, const pid_t *pids, cairn_error **reterr)
{
    bool failed = false;
    for (uint32_t i = 0; i < run->options->workers; i++) {
        int status = 0;
        while (pids[i] > 0 && waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            continue;
        failed |= status != 0;
    }
    return failed ? bench_fail(reterr, CAIRN_EINTERNAL, "a worker failed") : 0;
}

/* ---- rounds ---- */

/* Workers hear of the job's end through the store, which is emptied after them. */
static int run_job(struct run *run, const struct way *way, const pid_t *pids, double *figures,
                   cairn_error **reterr)
{
    BENCH_CLEANUP(many_done) struct many many = {.options = run->options};
    cairn_role role = run->options->workers > 0 ? CAIRN_COORDINATOR : CAIRN_ALONE;
    BENCH_TRY(many_open(&many, run, way, role, 0, reterr));
    BENCH_TRY(measure(&many, figures, reterr));
    if (role == CAIRN_ALONE)
        return 0;
    BENCH_TRY(cairn_job_cancel(many.job, reterr));
    return end_workers(run, pids, reterr);
}

/* A job of its own for every checkpoint: a database keeps each of its tables open, and many of them
 * would be more files than a process may have. */
static int run_round(struct run *run, size_t way, uint32_t round, cairn_error **reterr)
{
    pid_t pids[BENCH_TASKS_MAX] = {0};
    bench_progress("%s: round %u of %u", ways[way].title, round + 1, run->options->rounds);
    /* What a run that was killed has left is not joined. */
    (void)snprintf(run->place, sizeof(run->place), "cairn-bench-%ld-%s-%u", (long)getpid(),
                   ways[way].name, round);
    int r = start_workers(run, &ways[way], pids, reterr);
    if (r == 0)
        r = run_job(run, &ways[way], pids, run->values[way * run->options->rounds + round], reterr);
    for (uint32_t i = 0; r < 0 && i < run->options->workers; i++)
        if (pids[i] > 0)
            (void)kill(pids[i], SIGKILL);
    return r;
}

static int write_csv(const struct run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table = {0};
    uint32_t rounds = run->options->rounds;
    bench_table_init(&table, "way|round|wall_ms|to_manifest_ms|to_commit_ms|to_tasks_ms|"
                             "manifest_kb|files|puts|calls|requests");
    for (size_t i = 0; i < WAYS * rounds; i++) {
        bench_table_add(&table, "%s", ways[i / rounds].name);
        bench_table_add(&table, "%zu", i % rounds + 1);
        for (size_t f = 0; f < FIGURES; f++)
            bench_table_add(&table, "%.3f", run->values[i][f]);
    }
    return bench_table_write_csv(&table, run->options->csv, reterr);
}

static int report(const struct run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table = {0};
    BENCH_AUTO_FREE char *heading = NULL;
    uint32_t rounds = run->options->rounds;
    BENCH_AUTO_FREE double *column = calloc(rounds, sizeof(*column));
    if (!column)
        return bench_fail_nomem(reterr);
    bench_table_init(&table, "figure|way|median|least|most");
    for (size_t f = 0; f < FIGURES; f++)
        for (size_t way = 0; way < WAYS; way++) {
            bench_table_add(&table, "%s", figures_of[f].title);
            bench_table_add(&table, "%s", ways[way].title);
            for (int q = 0; q < 3; q++) {
                static const double quantiles[] = {0.5, 0, 1};
                for (uint32_t i = 0; i < rounds; i++)
                    column[i] = run->values[way * rounds + i][f];
                bench_table_add(&table, "%.*f", figures_of[f].decimals,
                                bench_quantile(column, rounds, quantiles[q]));
            }
        }
    BENCH_TRY(bench_text(&heading, reterr,
                         "Checkpoints of %u subtasks with %u new tables each in %u processes, %u "
                         "transfers at once, %u rounds (times in ms)",
                         run->options->subtasks, run->options->files, run->options->workers + 1,
                         run->options->threads, rounds));
    BENCH_TRY(bench_table_print(&table, heading, reterr));
    puts("target: at most 2000 ms from the last put to the commit");
    return run->options->csv ? write_csv(run, reterr) : 0;
}

int bench_run_commit(const struct bench_options *options, const char *work, cairn_error **reterr)
{
    BENCH_CLEANUP(run_done) struct run run = {.options = options, .work = work};
    if (options->workers > 0 && strcmp(options->backend, "heap") != 0)
        return bench_fail(reterr, CAIRN_EINVAL, "--workers goes with --backend heap only");
    void *shared =
        mmap(NULL, sizeof(*run.counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return bench_fail_nomem(reterr);
    run.counts = shared;
    run.values = calloc(WAYS * options->rounds, sizeof(*run.values));
    if (!run.values)
        return bench_fail_nomem(reterr);
    for (uint32_t round = 0; round < options->rounds; round++)
        for (size_t way = 0; way < WAYS; way++)
            BENCH_TRY(run_round(&run, way, round, reterr));
    bench_progress_done();
    return report(&run, reterr);
}
