/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench stall`: how long the slowest put of a window takes, with and without a checkpoint.
 *
 * Per memtable size one job; per checkpoint: fill the memtable to a half at full speed, then let a
 * writer put at the given rate over two windows of the same length, one with a checkpoint in it and
 * one without, in alternating order. A put on a shared machine is now and then slow all by itself;
 * the windows without a checkpoint say how slow. Cairn's own figure, the time in the barrier,
 * stands beside them.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/plot.h"
#include "tools/bench/table.h"

#define WARM_UP_US 100000
#define WINDOW_NS 500000000u

struct stall_sample {
    uint32_t memtable_mb;
    bool with_checkpoint;
    int result;
    uint64_t window_ns, checkpoint_us, barrier_us, hold_us, backpressure_us, memtable_bytes;
    struct bench_window window;
};

struct stall_run {
    const struct bench_options *options;
    struct bench_workload workload;
    struct stall_sample *samples;
    size_t count;
};

static int get_stats(struct bench_cairn *cairn, cairn_task_stats *ret, cairn_error **reterr)
{
    *ret = (cairn_task_stats)CAIRN_TASK_STATS_INIT;
    return cairn_task_get_stats(cairn->tasks[0], ret, reterr);
}

/* To a half of its size, in the caller's thread; the bound is for a memtable that was full before
 * it was seen to be half full. */
static int fill_memtable(const struct stall_run *run, struct bench_cairn *cairn,
                         uint64_t memtable_bytes, uint32_t version, cairn_error **reterr)
{
    const struct bench_workload *workload = &run->workload;
    BENCH_AUTO_FREE uint8_t *value = malloc(workload->value_size);
    if (!value)
        return bench_fail_nomem(reterr);
    struct bench_record record = {.value = value};
    uint64_t most = memtable_bytes / 2 / (BENCH_RAW_KEY_SIZE + workload->value_size);
    for (uint64_t i = 0; i < most; i++) {
        if (i % 1024 == 0) {
            cairn_task_stats stats;
            BENCH_TRY(get_stats(cairn, &stats, reterr));
            if (stats.memtable_bytes >= memtable_bytes / 2)
                break;
        }
        bench_record_fill(workload, bench_update_index(workload, version + 1000000, i), version,
                          &record);
        BENCH_TRY(cairn->target.put(&cairn->target, &record, reterr));
    }
    return 0;
}

/* Everything but the statistics, which only the task's thread may ask for. */
static int run_window(struct bench_cairn *cairn, struct bench_writer *writer,
                      struct stall_sample *sample, cairn_error **reterr)
{
    BENCH_AUTO_ERROR cairn_error *error = NULL;
    struct bench_window before;
    BENCH_TRY(bench_writer_mark(writer, &before, reterr));
    uint64_t start_ns = bench_now_ns();
    if (sample->with_checkpoint) {
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        sample->result = cairn_job_checkpoint(cairn->job, NULL, &info, &error);
        if (sample->result < 0 && sample->result != CAIRN_EABORTED)
            return bench_fail(reterr, sample->result, "%s", cairn_error_message(error));
        if (sample->result < 0)
            bench_note("%s", cairn_error_message(error));
        sample->checkpoint_us = (bench_now_ns() - start_ns) / 1000;
        sample->barrier_us = info.barrier_max_us;
    }
    uint64_t passed_ns = bench_now_ns() - start_ns;
    if (passed_ns < WINDOW_NS)
        bench_sleep_us((WINDOW_NS - passed_ns) / 1000);
    sample->window_ns = bench_now_ns() - start_ns;
    return bench_writer_mark(writer, &sample->window, reterr);
}

/* The two windows of one checkpoint. */
static int run_pair(struct stall_run *run, struct bench_cairn *cairn, uint32_t memtable_mb,
                    uint32_t i, cairn_error **reterr)
{
    BENCH_TRY(fill_memtable(run, cairn, memtable_mb * BENCH_MIB, i + 1, reterr));
    cairn_task_stats before, after;
    BENCH_TRY(get_stats(cairn, &before, reterr));
    struct bench_writer *writer = NULL;
    BENCH_TRY(bench_writer_start(&cairn->target, &run->workload, i + 1, run->options->rate, &writer,
                                 reterr));
    bench_sleep_us(WARM_UP_US);
    struct stall_sample *pair = &run->samples[run->count];
    int r = 0;
    for (uint32_t k = 0; k < 2 && r == 0; k++) {
        pair[k] =
            (struct stall_sample){.memtable_mb = memtable_mb, .with_checkpoint = (i + k) % 2 == 0};
        r = run_window(cairn, writer, &pair[k], reterr);
    }
    int stopped = bench_writer_stop(writer, NULL, r < 0 ? NULL : reterr);
    BENCH_TRY(r);
    BENCH_TRY(stopped);
    BENCH_TRY(get_stats(cairn, &after, reterr));
    struct stall_sample *with = &pair[i % 2];
    with->hold_us = after.hold_us - before.hold_us;
    with->backpressure_us = after.backpressure_us - before.backpressure_us;
    with->memtable_bytes = before.memtable_bytes;
    run->count += 2;
    return 0;
}

static int run_memtable(struct stall_run *run, const char *work, const char *stores,
                        uint32_t memtable_mb, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *store_dir = NULL, *local_dir = NULL;
    BENCH_TRY(bench_text(&store_dir, reterr, "%s/store-%u", stores, memtable_mb));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local-%u", work, memtable_mb));
    struct bench_cairn_config config = {
        .store_dir = store_dir,
        .local_dir = local_dir,
        .transfer = "auto",
        .threads = run->options->threads,
        .memtable_bytes = memtable_mb * BENCH_MIB,
    };
    struct bench_cairn *cairn = NULL;
    BENCH_TRY(bench_cairn_open(&config, &cairn, reterr));
    int r = bench_cairn_load(cairn, &run->workload, reterr);
    for (uint32_t i = 0; i < run->options->checkpoints && r == 0; i++) {
        bench_progress("memtable %u MiB: checkpoint %u of %u", memtable_mb, i + 1,
                       run->options->checkpoints);
        r = bench_check_interrupt(reterr);
        if (r == 0)
            r = run_pair(run, cairn, memtable_mb, i, reterr);
    }
    bench_cairn_close(cairn);
    BENCH_TRY(r);
    BENCH_TRY(bench_remove_tree(store_dir, reterr));
    return bench_remove_tree(local_dir, reterr);
}

enum stall_figure {
    FIGURE_WITH,
    FIGURE_WITHOUT,
    FIGURE_OWN_WITH,
    FIGURE_OWN_WITHOUT,
    FIGURE_BARRIER,
    FIGURE_CHECKPOINT
};

static double figure_ms(const struct stall_sample *sample, enum stall_figure figure)
{
    switch (figure) {
    case FIGURE_BARRIER:
        return (double)sample->barrier_us / 1e3;
    case FIGURE_CHECKPOINT:
        return (double)sample->checkpoint_us / 1e3;
    case FIGURE_OWN_WITH:
    case FIGURE_OWN_WITHOUT:
        return (double)sample->window.longest_own_ns / 1e6;
    default:
        return (double)sample->window.longest_put_ns / 1e6;
    }
}

/* In milliseconds; values has room for every sample. */
static size_t collect(const struct stall_run *run, uint32_t memtable_mb, enum stall_figure figure,
                      double *values)
{
    size_t n = 0;
    for (size_t i = 0; i < run->count; i++) {
        const struct stall_sample *sample = &run->samples[i];
        bool with = figure != FIGURE_WITHOUT && figure != FIGURE_OWN_WITHOUT;
        if (sample->memtable_mb == memtable_mb && sample->result == 0 &&
            sample->with_checkpoint == with)
            values[n++] = figure_ms(sample, figure);
    }
    return n;
}

static int print_summary(const struct stall_run *run, cairn_error **reterr)
{
    static const char *const names[] = {
        "longest put, with a checkpoint",
        "longest put, without one",
        "the same without processor waits, with",
        "the same without processor waits, without",
        "time in the barrier",
        "trigger to commit",
    };
    BENCH_AUTO_FREE double *values = calloc(run->count + 1, sizeof(*values));
    if (!values)
        return bench_fail_nomem(reterr);
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "memtable MiB|figure (ms)|windows|p50|p90|p99|max");
    for (size_t m = 0; m < run->options->memtable_count; m++) {
        for (size_t f = 0; f < BENCH_COUNT(names); f++) {
            uint32_t memtable_mb = run->options->memtable_mb[m];
            size_t n = collect(run, memtable_mb, (enum stall_figure)f, values);
            bench_table_add(&table, "%u", memtable_mb);
            bench_table_add(&table, "%s", names[f]);
            bench_table_add(&table, "%zu", n);
            static const double quantiles[] = {0.5, 0.9, 0.99, 1};
            for (size_t q = 0; q < BENCH_COUNT(quantiles); q++)
                bench_table_add(&table, "%.3f", bench_quantile(values, n, quantiles[q]));
        }
    }
    BENCH_TRY(bench_table_print(&table, "Writer stalls", reterr));
    uint64_t hold_us = 0, backpressure_us = 0, puts = 0, window_ns = 0;
    for (size_t i = 0; i < run->count; i++) {
        hold_us += run->samples[i].hold_us;
        backpressure_us += run->samples[i].backpressure_us;
        puts += run->samples[i].window.puts;
        window_ns += run->samples[i].window_ns;
    }
    printf("\n%.0f puts per second reached in the windows; held back in all: %.1f ms for captures, "
           "%.1f ms for compactions\n"
           "target: p50 under 1 ms, p99 under 5 ms\n",
           window_ns ? (double)puts * 1e9 / (double)window_ns : 0.0, (double)hold_us / 1e3,
           (double)backpressure_us / 1e3);
    return 0;
}

static int write_samples(const struct stall_run *run, const struct bench_output *output,
                         cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "memtable_mb|checkpoint|result|window_us|stall_us|own_us|barrier_us|"
                             "checkpoint_us|hold_us|backpressure_us|memtable_bytes|puts|"
                             "writer_switches");
    for (size_t i = 0; i < run->count; i++) {
        const struct stall_sample *sample = &run->samples[i];
        bench_table_add(&table, "%u", sample->memtable_mb);
        bench_table_add(&table, "%d", sample->with_checkpoint);
        bench_table_add(&table, "%s", cairn_error_name(sample->result));
        const uint64_t numbers[] = {
            sample->window_ns / 1000,
            sample->window.longest_put_ns / 1000,
            sample->window.longest_own_ns / 1000,
            sample->barrier_us,
            sample->checkpoint_us,
            sample->hold_us,
            sample->backpressure_us,
            sample->memtable_bytes,
            sample->window.puts,
            sample->window.switches,
        };
        for (size_t k = 0; k < BENCH_COUNT(numbers); k++)
            bench_table_add(&table, "%llu", (unsigned long long)numbers[k]);
    }
    return bench_table_write_csv(&table, output->csv, reterr);
}

/* A cumulative distribution: what share of windows had no put slower than x. column: of the CSV. */
static void plot_distribution(FILE *script, const struct stall_run *run, const char *name,
                              const char *title, int column)
{
    (void)fprintf(script,
                  "\nset output plots.'/%s.svg'\nset title '%s'\n"
                  "set xlabel 'ms, logarithmic'\nset ylabel 'share of windows'\n"
                  "set logscale x\nset format x '%%g'\nset yrange [0:1]\n"
                  "set grid xtics linecolor rgb '#dddddd' linetype 1 linewidth 0.6\nunset arrow\n"
                  "set arrow from 1, graph 0 to 1, graph 1 nohead linecolor rgb '#888888' "
                  "dashtype 2\n"
                  "set arrow from 5, graph 0 to 5, graph 1 nohead linecolor rgb '#888888' "
                  "dashtype 2\nplot",
                  name, title);
    for (size_t m = 0; m < run->options->memtable_count; m++)
        for (int with = 1; with >= 0; with--)
            (void)fprintf(script,
                          "%s \\\n  csv skip 1 using ($1 == %u && $2 == %d && "
                          "strcol(3) eq 'CAIRN_OK' ? $%d / 1000.0 : NaN):(1) smooth cnormal with "
                          "lines linestyle %zu %s title '%u MiB, %s checkpoint'",
                          m || !with ? "," : "", run->options->memtable_mb[m], with, column,
                          m * 3 % 6 + 1, with ? "" : "dashtype 3", run->options->memtable_mb[m],
                          with ? "with" : "without");
    (void)fputc('\n', script);
}

static int draw_plots(const struct stall_run *run, const struct bench_output *output,
                      cairn_error **reterr)
{
    FILE *script = NULL;
    BENCH_TRY(bench_plot_begin(output, &script, reterr));
    plot_distribution(script, run, "stall", "Slowest put in a window of half a second", 5);
    plot_distribution(script, run, "stall-own",
                      "Slowest put in a window, without waiting for a processor", 6);
    return bench_plot_finish(output, script, reterr);
}

static int report(const struct stall_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_output_done) struct bench_output output;
    BENCH_TRY(bench_output_init(&output, run->options, "stall", reterr));
    BENCH_TRY(print_summary(run, reterr));
    if (output.csv)
        BENCH_TRY(write_samples(run, &output, reterr));
    return output.plots ? draw_plots(run, &output, reterr) : 0;
}

int bench_run_stall(const struct bench_options *options, const char *work, const char *stores,
                    cairn_error **reterr)
{
    struct stall_run run = {.options = options};
    bench_workload_init(&run.workload, options);
    run.workload.updates = options->keys; /* over the whole key space */
    BENCH_AUTO_FREE struct stall_sample *samples =
        calloc((size_t)options->checkpoints * options->memtable_count * 2, sizeof(*samples));
    if (!samples)
        return bench_fail_nomem(reterr);
    run.samples = samples;
    for (size_t m = 0; m < options->memtable_count; m++)
        BENCH_TRY(run_memtable(&run, work, stores, options->memtable_mb[m], reterr));
    bench_progress_done();
    return report(&run, reterr);
}
