/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench rescale`: a checkpoint taken at one parallelism, restored at another.
 *
 * Beside Cairn, with a store that it can link from and with one that it must copy from, stands the
 * plain way: fetch every stored database (by links), read the entries of each new subtask's key
 * groups out of them, and put them into an empty database in batches. All new subtasks are opened
 * at once, each in a thread of its own. The clock stops when all of them can be read and written:
 * what the plain way has put is then partly still in memtables.
 *
 * What either side left for later is counted, too: until idle again after Cairn's first checkpoint,
 * and after a flush. Every round starts from a fresh copy of the store. The first restore of each
 * side is checked entry by entry.
 */
#include "tools/bench/bare.h"
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/parallel.h"
#include "tools/bench/trial.h"

#include <string.h>

enum {
    READ_MB = BENCH_FIGURES_OWN,
    WRITTEN_MB,
    DISK_READ_MB,
    LATER_MB,
    LINKED,
    OWN,
    OWN_MB,
    NEXT_MB,
    SECOND_MB
};
static const struct bench_figure figures_own[] = {
    {"read_mb", "MB read", 1},
    {"written_mb", "MB written", 1},
    {"disk_read_mb", "from disk", 1},
    {"later_mb", "MB written later", 1},
    {"tables_linked", "tables linked", 0},
    {"tables_own", "own", 0},
    {"own_mb", "MB own", 1},
    {"next_mb", "MB next checkpoint", 1},
    {"second_mb", "MB second", 1},
};

/* One change of parallelism, and the store with a checkpoint taken before it. */
struct stage {
    struct bench_step step;
    char *store_dir;
};

struct run {
    const struct bench_options *options;
    struct bench_workload workload;
    const char *work, *stores;
    struct stage stages[BENCH_STEPS_MAX];
    struct bench_trial trial;
};

static void run_done(struct run *run)
{
    for (size_t i = 0; i < BENCH_STEPS_MAX; i++)
        free(run->stages[i].store_dir);
    bench_trial_done(&run->trial);
}

static double mb(uint64_t after, uint64_t before)
{
    return (double)(after - before) / 1e6;
}

static void set_io(const struct bench_io *before, const struct bench_io *after, double *figures)
{
    figures[READ_MB] = mb(after->read_bytes, before->read_bytes);
    figures[WRITTEN_MB] = mb(after->written_bytes, before->written_bytes);
    figures[DISK_READ_MB] = mb(after->disk_read_bytes, before->disk_read_bytes);
}

/* Until background threads are idle. */
static int set_later(const struct bench_io *before, double *figures, cairn_error **reterr)
{
    bool quiet = false;
    struct bench_io after = {0};
    BENCH_TRY(bench_settle(&quiet, reterr));
    BENCH_TRY(bench_read_io(&after, reterr));
    figures[LATER_MB] = mb(after.written_bytes, before->written_bytes);
    return 0;
}

/* Tables that have a second name are the store's or another subtask's files. */
static int set_tables(const char *dir, double *figures, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_listing_done) struct bench_listing files = {0};
    BENCH_TRY(bench_list_tree(dir, &files, reterr));
    uint64_t linked = 0, own = 0, bytes = 0;
    for (size_t i = 0; i < files.count; i++) {
        const struct bench_file *file = &files.files[i];
        size_t length = strlen(file->path);
        if (length < 4 || strcmp(file->path + length - 4, ".sst") != 0)
            continue;
        bool is_link = file->link_count > 1;
        linked += is_link;
        own += !is_link;
        bytes += is_link ? 0 : file->size_bytes;
    }
    figures[LINKED] = (double)linked;
    figures[OWN] = (double)own;
    figures[OWN_MB] = (double)bytes / 1e6;
    return 0;
}

/* ---- Cairn ---- */

/* The next two checkpoints: the first is due anyway; the second one stores what was cleaned up in
 * the background after it. */
static int take_checkpoints(struct bench_cairn *cairn, double *figures, cairn_error **reterr)
{
    struct bench_io before = {0};
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    BENCH_TRY(bench_read_io(&before, reterr));
    BENCH_TRY(bench_cairn_checkpoint(cairn, &info, reterr));
    figures[NEXT_MB] = (double)info.new_bytes / 1e6;
    BENCH_TRY(set_later(&before, figures, reterr));
    BENCH_TRY(bench_cairn_checkpoint(cairn, &info, reterr));
    figures[SECOND_MB] = (double)info.new_bytes / 1e6;
    return 0;
}

static int restore_files(struct run *run, const struct bench_cairn_config *config, uint32_t round,
                         double *figures, cairn_error **reterr)
{
    struct bench_io before = {0}, after = {0};
    struct bench_cairn *cairn = NULL;
    BENCH_TRY(bench_trial_quiet(&run->trial, reterr));
    BENCH_TRY(bench_read_io(&before, reterr));
    BENCH_TRY(bench_cairn_open(config, &cairn, reterr));
    int r = bench_read_io(&after, reterr);
    figures[BENCH_WALL_MS] = (double)cairn->open_ns / 1e6;
    figures[BENCH_CPU_MS] = (double)cairn->open_cpu_ns / 1e6;
    set_io(&before, &after, figures);
    if (r == 0)
        r = set_tables(config->local_dir, figures, reterr);
    if (r == 0 && round == 0)
        r = bench_cairn_verify(cairn, &run->workload, 0, reterr);
    if (r == 0)
        r = take_checkpoints(cairn, figures, reterr);
    if (r == 0 && round == 0) /* what cleaning up in the background left */
        r = bench_cairn_verify(cairn, &run->workload, 0, reterr);
    bench_cairn_close(cairn);
    return r;
}

static int run_cairn(struct run *run, const struct bench_side *side, const char *transfer,
                     uint32_t round, double *figures, cairn_error **reterr)
{
    const struct stage *stage = side->argument;
    BENCH_AUTO_FREE char *store_dir = NULL, *local_dir = NULL;
    BENCH_TRY(bench_text(&store_dir, reterr, "%s/round", run->stores));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local", run->work));
    BENCH_TRY(bench_copy_tree(stage->store_dir, store_dir, side->threads, reterr));
    struct bench_cairn_config config = bench_cairn_config(run->options, store_dir, local_dir);
    config.transfer = transfer;
    config.parallelism = stage->step.to;
    BENCH_TRY(restore_files(run, &config, round, figures, reterr));
    BENCH_TRY(bench_remove_tree(local_dir, reterr));
    return bench_remove_tree(store_dir, reterr);
}

static int run_links(void *context, const struct bench_side *side, uint32_t round, double *figures,
                     cairn_error **reterr)
{
    return run_cairn(context, side, "link", round, figures, reterr);
}

static int run_copies(void *context, const struct bench_side *side, uint32_t round, double *figures,
                      cairn_error **reterr)
{
    return run_cairn(context, side, "copy", round, figures, reterr);
}

/* ---- every entry anew ---- */

struct plain {
    const struct run *run;
    struct bench_step step;
    char *dir; /* of everything that the restore writes */
    char *first_source;
    struct bench_raw *sources[BENCH_TASKS_MAX], *tasks[BENCH_TASKS_MAX];
};

static void plain_done(struct plain *plain)
{
    for (size_t i = 0; i < BENCH_TASKS_MAX; i++) {
        bench_raw_close(plain->sources[i]);
        bench_raw_close(plain->tasks[i]);
    }
    free(plain->dir);
    free(plain->first_source);
}

/* As Cairn and Flink share out key groups. */
static uint32_t first_group(uint32_t subtask, uint32_t parallelism)
{
    return (subtask * BENCH_KEY_GROUPS + parallelism - 1) / parallelism;
}

static int plain_task(void *context, uint32_t i, cairn_error **reterr)
{
    struct plain *plain = context;
    uint64_t memtable_bytes = plain->run->options->memtable_mb[0] * BENCH_MIB;
    uint32_t from = plain->step.from;
    uint32_t first = first_group(i, plain->step.to), end = first_group(i + 1, plain->step.to);
    BENCH_AUTO_FREE char *dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/new-%u", plain->dir, i));
    BENCH_TRY(bench_raw_create(plain->first_source, dir, bench_memory_bytes(memtable_bytes) / 2,
                               &plain->tasks[i], reterr));
    for (uint32_t s = 0; s < from; s++) {
        bool overlaps = first_group(s, from) < end && first < first_group(s + 1, from);
        if (overlaps)
            BENCH_TRY(
                bench_bare_reinsert(plain->sources[s], plain->tasks[i], first, end - 1, reterr));
    }
    return 0;
}

static int plain_restore(struct plain *plain, const struct stage *stage, uint32_t threads,
                         cairn_error **reterr)
{
    BENCH_AUTO_FREE char *fetched = NULL;
    BENCH_TRY(bench_text(&fetched, reterr, "%s/fetched", plain->dir));
    cairn_store *store = NULL;
    BENCH_TRY(cairn_store_open(stage->store_dir, &store, reterr));
    int r = bench_cairn_restore(store, fetched, threads, true, &plain->first_source, reterr);
    cairn_store_close(store);
    BENCH_TRY(r);
    for (uint32_t i = 0; i < plain->step.from; i++) {
        BENCH_AUTO_FREE char *source = NULL;
        BENCH_TRY(bench_text(&source, reterr, "%s/%s-%u", fetched, BENCH_UID, i));
        BENCH_TRY(bench_raw_open_read_only(source, 8 * BENCH_MIB, &plain->sources[i], reterr));
    }
    return bench_parallel(plain->step.to, plain_task, plain, reterr);
}

static int plain_finish(struct plain *plain, uint32_t round, double *figures, cairn_error **reterr)
{
    struct bench_io before = {0};
    BENCH_CLEANUP(bench_audit_done) struct bench_audit audit = {0};
    BENCH_TRY(bench_read_io(&before, reterr));
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *message = NULL;
    for (uint32_t i = 0; !message && i < plain->step.to; i++)
        rocksdb_flush_cf(plain->tasks[i]->db, options, plain->tasks[i]->state, &message);
    rocksdb_flushoptions_destroy(options);
    BENCH_TRY(bench_raw_check(message, "flush", reterr));
    BENCH_TRY(set_later(&before, figures, reterr));
    if (round > 0)
        return 0;
    BENCH_TRY(bench_audit_begin(&audit, &plain->run->workload, 0, reterr));
    for (uint32_t i = 0; i < plain->step.to; i++)
        BENCH_TRY(bench_raw_audit(plain->tasks[i], &audit, reterr));
    return bench_audit_end(&audit, reterr);
}

static int run_plain(void *context, const struct bench_side *side, uint32_t round, double *figures,
                     cairn_error **reterr)
{
    const struct run *run = context;
    const struct stage *stage = side->argument;
    BENCH_CLEANUP(plain_done) struct plain plain = {.run = run, .step = stage->step};
    struct bench_io before = {0}, after = {0};
    BENCH_TRY(bench_text(&plain.dir, reterr, "%s/plain", run->work));
    BENCH_TRY(bench_make_dir(plain.dir, reterr));
    BENCH_TRY(bench_trial_quiet(&run->trial, reterr));
    BENCH_TRY(bench_read_io(&before, reterr));
    struct bench_clock clock = bench_clock_start();
    BENCH_TRY(plain_restore(&plain, stage, side->threads, reterr));
    bench_clock_stop(&clock, figures);
    BENCH_TRY(bench_read_io(&after, reterr));
    set_io(&before, &after, figures);
    BENCH_TRY(plain_finish(&plain, round, figures, reterr));
    return bench_remove_tree(plain.dir, reterr);
}

/* ---- beginning and end ---- */

static void add(struct run *run, bench_side_fn fn, const struct stage *stage, const char *name,
                const char *title)
{
    struct bench_side *side = bench_trial_add(&run->trial, fn, run->options->threads, stage);
    (void)snprintf(side->name, sizeof(side->name), "%s-%u-%u", name, stage->step.from,
                   stage->step.to);
    (void)snprintf(side->title, sizeof(side->title), "%u to %u, %s", stage->step.from,
                   stage->step.to, title);
}

static int create_stage(struct run *run, size_t i, cairn_error **reterr)
{
    struct stage *stage = &run->stages[i];
    BENCH_AUTO_FREE char *local_dir = NULL;
    stage->step = run->options->steps[i];
    BENCH_TRY(bench_text(&stage->store_dir, reterr, "%s/store-%zu", run->stores, i));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/base-local", run->work));
    struct bench_cairn_config config =
        bench_cairn_config(run->options, stage->store_dir, local_dir);
    config.parallelism = stage->step.from;
    BENCH_TRY(bench_base_create(&run->workload, &config, NULL, reterr));
    add(run, run_links, stage, "links", "by links");
    add(run, run_copies, stage, "copies", "by copies");
    add(run, run_plain, stage, "plain", "every entry put anew");
    return 0;
}

static int report(const struct run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_output_done) struct bench_output output;
    BENCH_AUTO_FREE char *heading = NULL;
    BENCH_TRY(bench_output_init(&output, run->options, "rescale", reterr));
    if (output.csv)
        BENCH_TRY(bench_trial_write_csv(&run->trial, output.csv, reterr));
    BENCH_TRY(bench_text(&heading, reterr,
                         "Restoring at another parallelism: medians of %u rounds, %llu keys",
                         run->options->rounds, (unsigned long long)run->workload.keys));
    BENCH_TRY(bench_trial_print(&run->trial, heading, reterr));
    struct bench_ratio ratios[2 * BENCH_STEPS_MAX];
    size_t n = 0;
    for (size_t plain = 2; plain < run->trial.side_count; plain += 3) { /* as added by stage */
        ratios[n++] = (struct bench_ratio){plain - 2, plain, "below 1"};
        ratios[n++] = (struct bench_ratio){plain - 1, plain, "below 1"};
    }
    BENCH_TRY(
        bench_trial_print_ratios(&run->trial, BENCH_WALL_MS, ratios, n, "Time as a ratio", reterr));
    if (!output.plots)
        return 0;
    FILE *script = NULL;
    BENCH_TRY(bench_plot_begin(&output, &script, reterr));
    bench_trial_plot(&run->trial, script, BENCH_WALL_MS, "rescale",
                     "Restoring at another parallelism", "ms");
    return bench_plot_finish(&output, script, reterr);
}

int bench_run_rescale(const struct bench_options *options, const char *work, const char *stores,
                      cairn_error **reterr)
{
    BENCH_CLEANUP(run_done)
    struct run run = {.options = options, .work = work, .stores = stores};
    bench_workload_init(&run.workload, options);
    run.trial = (struct bench_trial){
        .options = options,
        .workload = &run.workload,
        .work = work,
        .state_bytes = options->keys * (BENCH_RAW_KEY_SIZE + options->value_size_bytes),
        .figures = figures_own,
        .figure_count = BENCH_COUNT(figures_own),
        .context = &run,
    };
    for (size_t i = 0; i < options->step_count; i++)
        BENCH_TRY(create_stage(&run, i, reterr));
    BENCH_TRY(bench_trial_run(&run.trial, reterr));
    return report(&run, reterr);
}
