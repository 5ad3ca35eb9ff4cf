/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench savepoint`: canonical and native savepoints of one state, written and restored.
 *
 * Writing stands beside a bare scan of a database with identical files, which is the least that a
 * canonical savepoint has to do; restoring stands beside tables that SstFileWriter makes of the
 * same entries and that RocksDB takes as they are, which is the least that reading one has to do.
 * Both with one thread and with several.
 *
 * Each number of threads has a job of its own, on a copy of the same checkpoint; so has the side
 * with a writer, whose state would not stay what the others measure. A savepoint is deleted once it
 * is measured, but the last one of each form stays to be restored. The first restore of each side
 * is checked entry by entry.
 */
#include "tools/bench/bare.h"
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/trial.h"

enum { RAW_MB_S = BENCH_FIGURES_OWN, STORED_MB, LINKED_MB, BARRIER_MS, PUTS_S, PUT_MS, OWN_MS };
static const struct bench_figure write_figures[] = {
    {"raw_mb_per_s", "raw MB/s", 1}, {"stored_mb", "MB stored", 1}, {"linked_mb", "MB linked", 1},
    {"barrier_ms", "barrier ms", 3}, {"puts_per_s", "puts/s", 0},   {"put_ms", "slowest put ms", 2},
    {"own_ms", "own ms", 2},
};
static const struct bench_figure restore_figures[] = {{"raw_mb_per_s", "raw MB/s", 1}};

/* What the sides differ in; `argument` of a side. */
struct form {
    cairn_savepoint_format format;
    const char *transfer;
    const char *backend; /* restored into */
};
static const struct form canonical = {CAIRN_CANONICAL, "auto", NULL};
static const struct form canonical_heap = {CAIRN_CANONICAL, "auto", "heap"};
static const struct form native_links = {CAIRN_NATIVE, "link", NULL};
static const struct form native_copies = {CAIRN_NATIVE, "copy", NULL};

struct run {
    const struct bench_options *options;
    struct bench_workload workload;
    const char *work, *stores;
    char *base_store_dir, *base_db_dir;
    struct bench_cairn *single,
        *several;             /* jobs by transfer threads; several: NULL for one thread */
    struct bench_cairn *busy; /* the one with the writer */
    struct bench_raw *raw;
    struct bench_entries entries;
    char *canonical, *native; /* where the savepoints to restore are */
    struct bench_trial write, restore;
};

static void run_done(struct run *run)
{
    bench_cairn_close(run->single);
    bench_cairn_close(run->several);
    bench_cairn_close(run->busy);
    bench_raw_close(run->raw);
    bench_entries_done(&run->entries);
    bench_trial_done(&run->write);
    bench_trial_done(&run->restore);
    free(run->base_store_dir);
    free(run->base_db_dir);
    free(run->canonical);
    free(run->native);
}

static double raw_mb(const struct run *run)
{
    return (double)run->workload.keys * (double)(BENCH_RAW_KEY_SIZE + run->workload.value_size) /
           1e6;
}

static void set_speed(const struct run *run, double *figures)
{
    figures[RAW_MB_S] = raw_mb(run) / (figures[BENCH_WALL_MS] / 1e3);
}

/* ---- writing ---- */

/* The last one of each form stays. Several threads leave several files, which is what a restore can
 * read in parallel: their savepoint is the one to keep. */
static int keep_or_remove(struct run *run, const struct bench_side *side, uint32_t round,
                          const char *dir, const char *location, cairn_error **reterr)
{
    char **keep = NULL;
    if (side->argument == &native_links)
        keep = &run->native;
    else if (side->argument == &canonical && side->threads == run->options->threads)
        keep = &run->canonical;
    if (round < run->options->rounds || !keep)
        return bench_remove_tree(dir, reterr);
    return bench_text(keep, reterr, "%s", location);
}

static int take(struct bench_cairn *cairn, bool from_task, const char *target,
                cairn_savepoint_format format, cairn_savepoint_info *ret, cairn_error **reterr)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_uri = target;
    options.format = format;
    return from_task ? cairn_task_savepoint(cairn->tasks[0], &options, ret, reterr)
                     : cairn_savepoint(cairn->job, &options, ret, reterr);
}

static void set_savepoint(const struct run *run, const cairn_savepoint_info *info, double *figures)
{
    figures[BENCH_WALL_MS] = (double)info->duration_us / 1e3; /* barrier to commit */
    figures[STORED_MB] = (double)info->full_bytes / 1e6;
    figures[LINKED_MB] = (double)info->linked_bytes / 1e6;
    figures[BARRIER_MS] = (double)info->barrier_max_us / 1e3;
    set_speed(run, figures);
}

/* "<stores>/<side>" and a URI of it. */
static int target_of(const struct run *run, const struct bench_side *side, char **ret_dir,
                     char **ret_uri, cairn_error **reterr)
{
    const struct form *form = side->argument;
    BENCH_TRY(bench_text(ret_dir, reterr, "%s/%s", run->stores, side->name));
    return bench_text(ret_uri, reterr, "file://%s?transfer=%s", *ret_dir, form->transfer);
}

static int write_savepoint(void *context, const struct bench_side *side, uint32_t round,
                           double *figures, cairn_error **reterr)
{
    struct run *run = context;
    const struct form *form = side->argument;
    BENCH_AUTO_FREE char *dir = NULL, *uri = NULL;
    BENCH_TRY(target_of(run, side, &dir, &uri, reterr));
    BENCH_TRY(bench_trial_quiet(&run->write, reterr));
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    struct bench_clock clock = bench_clock_start();
    struct bench_cairn *cairn = side->threads == 1 ? run->single : run->several;
    BENCH_TRY(take(cairn, true, uri, form->format, &info, reterr));
    bench_clock_stop(&clock, figures);
    set_savepoint(run, &info, figures);
    return keep_or_remove(run, side, round, dir, info.location, reterr);
}

static int write_beside_writer(void *context, const struct bench_side *side, uint32_t round,
                               double *figures, cairn_error **reterr)
{
    struct run *run = context;
    const struct form *form = side->argument;
    BENCH_AUTO_FREE char *dir = NULL, *uri = NULL;
    BENCH_TRY(target_of(run, side, &dir, &uri, reterr));
    BENCH_TRY(bench_trial_quiet(&run->write, reterr));
    struct bench_writer *writer = NULL;
    BENCH_TRY(bench_writer_start(&run->busy->target, &run->workload, round + 1, run->options->rate,
                                 &writer, reterr));
    bench_sleep_us(100000); /* until it is at its pace */
    struct bench_window window = {0};
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    int r = bench_writer_mark(writer, &window, reterr);
    struct bench_clock clock = bench_clock_start();
    if (r == 0)
        r = take(run->busy, false, uri, form->format, &info, reterr);
    bench_clock_stop(&clock, figures);
    double seconds = figures[BENCH_WALL_MS] / 1e3;
    if (r == 0)
        r = bench_writer_mark(writer, &window, reterr);
    int stopped = bench_writer_stop(writer, NULL, r < 0 ? NULL : reterr);
    BENCH_TRY(r);
    BENCH_TRY(stopped);
    figures[BENCH_CPU_MS] -= (double)window.cpu_ns / 1e6;
    set_savepoint(run, &info, figures);
    figures[PUTS_S] = (double)window.puts / seconds;
    figures[PUT_MS] = (double)window.longest_put_ns / 1e6;
    figures[OWN_MS] = (double)window.longest_own_ns / 1e6;
    return bench_remove_tree(dir, reterr);
}

static int scan(void *context, const struct bench_side *side, uint32_t round, double *figures,
                cairn_error **reterr)
{
    (void)round;
    struct run *run = context;
    BENCH_TRY(bench_trial_quiet(&run->write, reterr));
    struct bench_clock clock = bench_clock_start();
    BENCH_TRY(bench_bare_scan(run->raw, side->threads, run->workload.keys, reterr));
    bench_clock_stop(&clock, figures);
    set_speed(run, figures);
    return 0;
}

/* ---- restoring ---- */

static int open_restored(const struct run *run, const struct bench_side *side, const char *dir,
                         struct bench_cairn **ret, cairn_error **reterr)
{
    const struct form *form = side->argument;
    BENCH_AUTO_FREE char *store_dir = NULL, *local_dir = NULL;
    BENCH_TRY(bench_text(&store_dir, reterr, "%s/store", dir));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local", dir));
    struct bench_cairn_config config = bench_cairn_config(run->options, store_dir, local_dir);
    config.threads = side->threads;
    config.backend = form->backend;
    config.restore_uri = form->format == CAIRN_NATIVE ? run->native : run->canonical;
    return bench_cairn_open(&config, ret, reterr);
}

static int restore_savepoint(void *context, const struct bench_side *side, uint32_t round,
                             double *figures, cairn_error **reterr)
{
    struct run *run = context;
    BENCH_AUTO_FREE char *dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/restored", run->work));
    BENCH_TRY(bench_make_dir(dir, reterr));
    BENCH_TRY(bench_trial_quiet(&run->restore, reterr));
    struct bench_cairn *cairn = NULL;
    BENCH_TRY(open_restored(run, side, dir, &cairn, reterr));
    figures[BENCH_WALL_MS] = (double)cairn->open_ns / 1e6;
    figures[BENCH_CPU_MS] = (double)cairn->open_cpu_ns / 1e6;
    set_speed(run, figures);
    int r = round == 0 ? bench_cairn_verify(cairn, &run->workload, 0, reterr) : 0;
    bench_cairn_close(cairn);
    BENCH_TRY(r);
    return bench_remove_tree(dir, reterr);
}

static int bulk_load(void *context, const struct bench_side *side, uint32_t round, double *figures,
                     cairn_error **reterr)
{
    struct run *run = context;
    BENCH_AUTO_FREE char *dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/loaded", run->work));
    BENCH_TRY(bench_trial_quiet(&run->restore, reterr));
    struct bench_raw *raw = NULL;
    struct bench_clock clock = bench_clock_start();
    BENCH_TRY(bench_raw_create(run->base_db_dir, dir, 8 * BENCH_MIB, &raw, reterr));
    int r = bench_bare_load(raw, dir, &run->entries, side->threads, reterr);
    bench_clock_stop(&clock, figures);
    set_speed(run, figures);
    if (r == 0 && round == 0)
        r = bench_raw_verify(raw, &run->workload, 0, reterr);
    bench_raw_close(raw);
    BENCH_TRY(r);
    return bench_remove_tree(dir, reterr);
}

/* ---- sides ---- */

static void add(struct bench_trial *trial, bench_side_fn fn, uint32_t threads,
                const struct form *form, const char *name, const char *title)
{
    struct bench_side *side = bench_trial_add(trial, fn, threads, form);
    (void)snprintf(side->name, sizeof(side->name), "%s-%u", name, threads);
    (void)snprintf(side->title, sizeof(side->title), "%s, %u thread%s", title, threads,
                   threads == 1 ? "" : "s");
}

static void add_sides(struct run *run)
{
    uint32_t most = run->options->threads;
    for (uint32_t threads = 1;; threads = most) {
        add(&run->write, write_savepoint, threads, &canonical, "canonical", "canonical");
        add(&run->write, scan, threads, NULL, "scan", "bare scan");
        add(&run->restore, restore_savepoint, threads, &canonical, "canonical", "canonical");
        add(&run->restore, bulk_load, threads, NULL, "bulk", "bare bulk load");
        if (threads == most)
            break;
    }
    add(&run->write, write_savepoint, most, &native_links, "native-link", "native, links");
    add(&run->write, write_savepoint, most, &native_copies, "native-copy", "native, copies");
    add(&run->write, write_beside_writer, most, &canonical, "canonical-writer",
        "canonical beside a writer");
    add(&run->write, write_beside_writer, most, &native_links, "native-writer",
        "native, links, beside a writer");
    add(&run->restore, restore_savepoint, most, &canonical_heap, "canonical-heap",
        "canonical into the heap");
    add(&run->restore, restore_savepoint, most, &native_links, "native-link", "native, links");
}

static size_t find(const struct bench_trial *trial, bench_side_fn fn, uint32_t threads,
                   const struct form *form)
{
    size_t i = 0;
    while (trial->sides[i].run != fn || trial->sides[i].threads != threads ||
           trial->sides[i].argument != form)
        i++; /* add_sides() made it */
    return i;
}

/* ---- beginning and end ---- */

static int open_job(const struct run *run, const char *name, uint32_t threads,
                    struct bench_cairn **ret, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *store_dir = NULL, *local_dir = NULL;
    BENCH_TRY(bench_text(&store_dir, reterr, "%s/store-%s", run->stores, name));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local-%s", run->work, name));
    BENCH_TRY(bench_copy_tree(run->base_store_dir, store_dir, run->options->threads, reterr));
    struct bench_cairn_config config = bench_cairn_config(run->options, store_dir, local_dir);
    config.threads = threads;
    return bench_cairn_open(&config, ret, reterr);
}

static int open_sides(struct run *run, cairn_error **reterr)
{
    uint32_t threads = run->options->threads;
    BENCH_AUTO_FREE char *local_dir = NULL;
    BENCH_TRY(bench_text(&run->base_store_dir, reterr, "%s/base-store", run->work));
    BENCH_TRY(bench_text(&run->base_db_dir, reterr, "%s/base-db", run->work));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/base-local", run->work));
    struct bench_cairn_config config =
        bench_cairn_config(run->options, run->base_store_dir, local_dir);
    BENCH_TRY(bench_base_create(&run->workload, &config, run->base_db_dir, reterr));
    BENCH_TRY(open_job(run, "single", 1, &run->single, reterr));
    if (threads > 1)
        BENCH_TRY(open_job(run, "several", threads, &run->several, reterr));
    BENCH_TRY(open_job(run, "busy", threads, &run->busy, reterr));
    BENCH_TRY(bench_raw_open(run->base_db_dir, bench_memory_bytes(config.memtable_bytes) / 2,
                             &run->raw, reterr));
    return bench_entries_collect(run->raw, &run->workload, &run->entries, reterr);
}

static int report_ratios(const struct run *run, cairn_error **reterr)
{
    const struct bench_trial *write = &run->write, *restore = &run->restore;
    struct bench_ratio writes[3], restores[2];
    uint32_t threads[] = {1, run->options->threads};
    size_t n = threads[1] > 1 ? 2 : 1;
    for (size_t i = 0; i < n; i++) {
        writes[i] = (struct bench_ratio){find(write, write_savepoint, threads[i], &canonical),
                                         find(write, scan, threads[i], NULL), "at least 0.7"};
        restores[i] =
            (struct bench_ratio){find(restore, restore_savepoint, threads[i], &canonical),
                                 find(restore, bulk_load, threads[i], NULL), "at least 0.8"};
    }
    writes[n] = (struct bench_ratio){writes[n - 1].a, writes[0].a, "scales with threads"};
    BENCH_TRY(bench_trial_print_ratios(write, RAW_MB_S, writes, n == 1 ? 1 : 3,
                                       "Speed of writing as a ratio", reterr));
    return bench_trial_print_ratios(restore, RAW_MB_S, restores, n, "Speed of restoring as a ratio",
                                    reterr);
}

static int report(const struct run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_output_done) struct bench_output output;
    BENCH_AUTO_FREE char *restores = NULL, *heading = NULL;
    BENCH_TRY(bench_output_init(&output, run->options, "savepoint", reterr));
    if (output.csv) {
        BENCH_TRY(bench_output_sibling(&output, "restore", &restores, reterr));
        BENCH_TRY(bench_trial_write_csv(&run->write, output.csv, reterr));
        BENCH_TRY(bench_trial_write_csv(&run->restore, restores, reterr));
    }
    BENCH_TRY(bench_text(
        &heading, reterr, "Writing: medians of %u rounds, %llu keys, %.1f MB of keys and values",
        run->options->rounds, (unsigned long long)run->workload.keys, raw_mb(run)));
    BENCH_TRY(bench_trial_print(&run->write, heading, reterr));
    BENCH_TRY(bench_trial_print(&run->restore,
                                "Restoring (the first of each was checked entry by "
                                "entry)",
                                reterr));
    BENCH_TRY(report_ratios(run, reterr));
    if (!output.plots)
        return 0;
    FILE *script = NULL;
    BENCH_TRY(bench_plot_begin(&output, &script, reterr));
    bench_trial_plot(&run->write, script, RAW_MB_S, "savepoint", "Writing a savepoint",
                     "MB of keys and values per second");
    bench_trial_plot(&run->restore, script, RAW_MB_S, "savepoint_restore", "Restoring a savepoint",
                     "MB of keys and values per second");
    return bench_plot_finish(&output, script, reterr);
}

static void init_trial(struct run *run, struct bench_trial *trial,
                       const struct bench_figure *figures, size_t count)
{
    *trial = (struct bench_trial){
        .options = run->options,
        .workload = &run->workload,
        .work = run->work,
        .state_bytes = (uint64_t)(raw_mb(run) * 1e6),
        .figures = figures,
        .figure_count = count,
        .context = run,
    };
}

int bench_run_savepoint(const struct bench_options *options, const char *work, const char *stores,
                        cairn_error **reterr)
{
    BENCH_CLEANUP(run_done)
    struct run run = {.options = options, .work = work, .stores = stores};
    bench_workload_init(&run.workload, options);
    init_trial(&run, &run.write, write_figures, BENCH_COUNT(write_figures));
    init_trial(&run, &run.restore, restore_figures, BENCH_COUNT(restore_figures));
    add_sides(&run);
    BENCH_TRY(open_sides(&run, reterr));
    BENCH_TRY(bench_trial_run(&run.write, reterr));
    BENCH_TRY(bench_trial_run(&run.restore, reterr));
    return report(&run, reterr);
}
