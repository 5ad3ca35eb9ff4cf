/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench transfer`: a checkpoint into an object store and back, beside rclone.
 *
 * One state is loaded and checkpointed into a directory. In each round every side takes those very
 * files to a new place in the store and back to an empty directory. Cairn does it as a service
 * would: a job that starts from the checkpoint in the directory, which it does by links, takes its
 * first checkpoint in the store, so that every file goes there; then cairn_restore_to() brings it
 * back, verified and synced. rclone copies the same files as it finds them, and neither syncs nor
 * knows a checksum of all of them.
 *
 * Cairn's peak of memory is what the process grows by above its size before the transfer: the state
 * itself is open and idle meanwhile. Of rclone it is the whole process. Every round's place is
 * emptied afterwards. The first restore of each side is checked entry by entry.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/object_side.h"
#include "tools/bench/raw.h"
#include "tools/bench/trial.h"

#include "cairn/store.h"
#include <string.h>

enum {
    UP_MS = BENCH_FIGURES_OWN,
    UP_MB_S,
    UP_CPU_MS,
    UP_MEMORY,
    DOWN_MS,
    DOWN_MB_S,
    DOWN_CPU_MS,
    DOWN_MEMORY,
    REQUESTS
};
static const struct bench_figure figures_own[] = {
    {"up_ms", "up ms", 0},
    {"up_mb_per_s", "up MB/s", 1},
    {"up_cpu_ms", "up cpu ms", 0},
    {"up_memory_mib", "up MiB", 1},
    {"down_ms", "down ms", 0},
    {"down_mb_per_s", "down MB/s", 1},
    {"down_cpu_ms", "down cpu ms", 0},
    {"down_memory_mib", "down MiB", 1},
    {"requests", "up requests", 0},
};

struct run {
    const struct bench_options *options;
    struct bench_workload workload;
    const char *work;
    char *base_store_dir, *base_uri;
    char *files_dir; /* the checkpoint's files as they are in a database's directory */
    double files_mb;
    struct bench_trial trial;
};

static void run_done(struct run *run)
{
    free(run->base_store_dir);
    free(run->base_uri);
    free(run->files_dir);
    bench_trial_done(&run->trial);
}

/* A place in the store, opened; and an empty one when it is closed. */
struct place {
    char *name, *uri;
    cairn_store *store;
    bool was_used;
};

static int place_open(const struct run *run, const struct bench_side *side, uint32_t round,
                      const char *options, struct place *ret, cairn_error **reterr)
{
    const char *store = run->options->store;
    BENCH_TRY(bench_text(&ret->name, reterr, "cairn-bench-%s-%u", side->name, round));
    if (bench_is_s3(store))
        BENCH_TRY(bench_object_uri(store, ret->name, options, &ret->uri, reterr));
    else
        BENCH_TRY(bench_text(&ret->uri, reterr, "%s", store));
    BENCH_TRY(cairn_store_open(ret->uri, &ret->store, reterr));
    ret->was_used = true;
    return 0;
}

static void place_close(struct place *place)
{
    BENCH_AUTO_ERROR cairn_error *error = NULL;
    if (place->was_used && bench_empty_store(place->store, &error) < 0)
        bench_note("'%s' is not empty: %s", place->uri, cairn_error_message(error));
    cairn_store_close(place->store);
    free(place->name);
    free(place->uri);
}

static void set_way(double *figures, int first, double mb, double ms, double cpu_ms, double memory)
{
    figures[first] = ms;
    figures[first + UP_MB_S - UP_MS] = mb / (ms / 1e3);
    figures[first + UP_CPU_MS - UP_MS] = cpu_ms;
    figures[first + UP_MEMORY - UP_MS] = memory;
}

static void set_sum(double *figures)
{
    figures[BENCH_WALL_MS] = figures[UP_MS] + figures[DOWN_MS];
    figures[BENCH_CPU_MS] = figures[UP_CPU_MS] + figures[DOWN_CPU_MS];
}

static int check_restored(const struct run *run, const char *db_dir, uint32_t round,
                          cairn_error **reterr)
{
    struct bench_raw *raw = NULL;
    if (round > 0)
        return 0;
    BENCH_TRY(bench_raw_open_read_only(db_dir, 8 * BENCH_MIB, &raw, reterr));
    int r = bench_raw_verify(raw, &run->workload, 0, reterr);
    bench_raw_close(raw);
    return r;
}

/* ---- Cairn ---- */

static int checkpoint(const struct run *run, struct bench_cairn *cairn, cairn_store *store,
                      double *figures, double *ret_mb, cairn_error **reterr)
{
    struct bench_memory memory;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    double peak = 0, window[BENCH_FIGURES_OWN];
    BENCH_TRY(bench_trial_quiet(&run->trial, reterr));
    BENCH_TRY(bench_memory_start(&memory, reterr));
    struct bench_clock clock = bench_clock_start();
    BENCH_TRY(bench_cairn_checkpoint(cairn, &info, reterr));
    bench_clock_stop(&clock, window);
    BENCH_TRY(bench_memory_peak(&memory, &peak, reterr));
    *ret_mb = (double)info.new_bytes / 1e6;
    if (*ret_mb < 0.9 * run->files_mb)
        return bench_fail(reterr, CAIRN_EINTERNAL, "%.1f of %.1f MB were uploaded", *ret_mb,
                          run->files_mb);
    set_way(figures, UP_MS, *ret_mb, window[BENCH_WALL_MS], window[BENCH_CPU_MS], peak);
    return bench_requests_of(store, BENCH_JOB, info.id, &figures[REQUESTS], reterr);
}

static int upload(const struct run *run, const struct bench_side *side, cairn_store *store,
                  double *figures, double *ret_mb, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *local_dir = NULL;
    struct bench_cairn *cairn = NULL;
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local", run->work));
    struct bench_cairn_config config = bench_cairn_config(run->options, NULL, local_dir);
    config.store = store;
    config.restore_uri = run->base_uri;
    config.threads = side->threads;
    BENCH_TRY(bench_cairn_open(&config, &cairn, reterr));
    int r = checkpoint(run, cairn, store, figures, ret_mb, reterr);
    bench_cairn_close(cairn);
    BENCH_TRY(r);
    return bench_remove_tree(local_dir, reterr);
}

static int download(const struct run *run, const struct bench_side *side, uint32_t round,
                    cairn_store *store, double mb, double *figures, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *dir = NULL, *db_dir = NULL;
    struct bench_memory memory;
    double peak = 0, window[BENCH_FIGURES_OWN];
    BENCH_TRY(bench_text(&dir, reterr, "%s/down", run->work));
    BENCH_TRY(bench_trial_quiet(&run->trial, reterr));
    BENCH_TRY(bench_memory_start(&memory, reterr));
    struct bench_clock clock = bench_clock_start();
    BENCH_TRY(bench_cairn_restore(store, dir, side->threads, false, &db_dir, reterr));
    bench_clock_stop(&clock, window);
    BENCH_TRY(bench_memory_peak(&memory, &peak, reterr));
    set_way(figures, DOWN_MS, mb, window[BENCH_WALL_MS], window[BENCH_CPU_MS], peak);
    BENCH_TRY(check_restored(run, db_dir, round, reterr));
    return bench_remove_tree(dir, reterr);
}

static int run_cairn(void *context, const struct bench_side *side, uint32_t round, double *figures,
                     cairn_error **reterr)
{
    struct run *run = context;
    BENCH_CLEANUP(place_close) struct place place = {0};
    double mb = 0;
    BENCH_TRY(place_open(run, side, round, side->argument, &place, reterr));
    BENCH_TRY(upload(run, side, place.store, figures, &mb, reterr));
    BENCH_TRY(download(run, side, round, place.store, mb, figures, reterr));
    set_sum(figures);
    return 0;
}

/* ---- rclone ---- */

static int run_rclone(void *context, const struct bench_side *side, uint32_t round, double *figures,
                      cairn_error **reterr)
{
    struct run *run = context;
    const char *uri = run->options->store;
    BENCH_CLEANUP(place_close) struct place place = {0};
    BENCH_AUTO_FREE char *dir = NULL;
    struct bench_child child;
    BENCH_TRY(place_open(run, side, round, NULL, &place, reterr));
    BENCH_TRY(bench_trial_quiet(&run->trial, reterr));
    BENCH_TRY(
        bench_rclone_copy(uri, run->files_dir, place.name, true, side->threads, &child, reterr));
    set_way(figures, UP_MS, run->files_mb, child.wall_ms, child.cpu_ms, child.peak_mb);
    BENCH_TRY(bench_text(&dir, reterr, "%s/down", run->work));
    BENCH_TRY(bench_trial_quiet(&run->trial, reterr));
    BENCH_TRY(bench_rclone_copy(uri, dir, place.name, false, side->threads, &child, reterr));
    set_way(figures, DOWN_MS, run->files_mb, child.wall_ms, child.cpu_ms, child.peak_mb);
    set_sum(figures);
    BENCH_TRY(check_restored(run, dir, round, reterr));
    return bench_remove_tree(dir, reterr);
}

/* ---- beginning and end ---- */

static int prepare(struct run *run, const char *stores, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *local_dir = NULL;
    BENCH_CLEANUP(bench_listing_done) struct bench_listing files = {0};
    BENCH_TRY(bench_text(&run->base_store_dir, reterr, "%s/base", stores));
    BENCH_TRY(bench_text(&run->base_uri, reterr, "%s/%s", run->base_store_dir, BENCH_JOB));
    BENCH_TRY(bench_text(&run->files_dir, reterr, "%s/files", run->work));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/base-local", run->work));
    struct bench_cairn_config config =
        bench_cairn_config(run->options, run->base_store_dir, local_dir);
    BENCH_TRY(bench_base_create(&run->workload, &config, run->files_dir, reterr));
    BENCH_TRY(bench_list_tree(run->files_dir, &files, reterr));
    run->files_mb = (double)bench_listing_bytes(&files) / 1e6;
    return 0;
}

static void add(struct run *run, bench_side_fn fn, const void *argument, const char *name,
                const char *title)
{
    struct bench_side *side = bench_trial_add(&run->trial, fn, run->options->threads, argument);
    (void)snprintf(side->name, sizeof(side->name), "%s", name);
    (void)snprintf(side->title, sizeof(side->title), "%s", title);
}

static void add_sides(struct run *run)
{
    add(run, run_cairn, NULL, "cairn", "Cairn");
    if (!bench_is_s3(run->options->store))
        return;
    /* Over http the store refuses it. */
    if (strstr(run->options->store, "endpoint=https:"))
        add(run, run_cairn, "payload=unsigned", "cairn-unsigned", "Cairn, bodies not signed");
    if (bench_has_rclone())
        add(run, run_rclone, NULL, "rclone", "rclone");
    else
        bench_note("rclone is not installed: nothing to compare with");
}

/* rclone, if it is there, is the last side. */
static int print_ratios(const struct bench_trial *trial, cairn_error **reterr)
{
    size_t last = trial->side_count - 1;
    struct bench_ratio ratios[BENCH_SIDES_MAX];
    if (trial->sides[last].run != run_rclone)
        return 0;
    for (size_t i = 0; i < last; i++)
        ratios[i] = (struct bench_ratio){i, last, "at least 0.90"};
    BENCH_TRY(
        bench_trial_print_ratios(trial, UP_MB_S, ratios, last, "Upload, MB/s as a ratio", reterr));
    return bench_trial_print_ratios(trial, DOWN_MB_S, ratios, last, "Download, MB/s as a ratio",
                                    reterr);
}

static int report(const struct run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_output_done) struct bench_output output;
    BENCH_AUTO_FREE char *heading = NULL;
    FILE *script = NULL;
    const struct bench_trial *trial = &run->trial;
    BENCH_TRY(bench_output_init(&output, run->options, "transfer", reterr));
    if (output.csv)
        BENCH_TRY(bench_trial_write_csv(trial, output.csv, reterr));
    BENCH_TRY(
        bench_text(&heading, reterr,
                   "%.1f MB to the store and back, %u transfers at once: medians of %u rounds",
                   run->files_mb, run->options->threads, run->options->rounds));
    BENCH_TRY(bench_trial_print(trial, heading, reterr));
    BENCH_TRY(print_ratios(trial, reterr));
    if (!output.plots)
        return 0;
    BENCH_TRY(bench_plot_begin(&output, &script, reterr));
    bench_trial_plot(trial, script, UP_MB_S, "transfer_up", "Upload of a checkpoint", "MB/s");
    bench_trial_plot(trial, script, DOWN_MB_S, "transfer_down", "Download of a checkpoint", "MB/s");
    return bench_plot_finish(&output, script, reterr);
}

int bench_run_transfer(const struct bench_options *options, const char *work, const char *stores,
                       cairn_error **reterr)
{
    BENCH_CLEANUP(run_done) struct run run = {.options = options, .work = work};
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
    BENCH_TRY(prepare(&run, stores, reterr));
    add_sides(&run);
    BENCH_TRY(bench_trial_run(&run.trial, reterr));
    return report(&run, reterr);
}
