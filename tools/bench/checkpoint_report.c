/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `cairn-bench checkpoint` says: every sample, the summary over the rounds, restores, and how
 * the figures stand against the targets. Medians, because single times on a shared machine mean
 * little; sums and worst cases beside them, so that nothing hides behind a median.
 */
#include "tools/bench/checkpoint.h"
#include "tools/bench/measure.h"
#include "tools/bench/plot.h"
#include "tools/bench/table.h"

#include <string.h>

typedef double (*sample_figure)(const struct bench_sample *sample);

static double wall_ms(const struct bench_sample *sample)
{
    return (double)sample->wall_ns / 1e6;
}

static double cpu_ms(const struct bench_sample *sample)
{
    return (double)sample->cpu_ns / 1e6;
}

static double stall_ms(const struct bench_sample *sample)
{
    return (double)sample->window.longest_put_ns / 1e6;
}

static double own_ms(const struct bench_sample *sample)
{
    return (double)sample->window.longest_own_ns / 1e6;
}

static double exact_ms(const struct bench_sample *sample)
{
    return (double)sample->cost.exact_us / 1e3;
}

static double store_mb(const struct bench_sample *sample)
{
    return (double)sample->store_bytes / 1e6;
}

static double write_ratio(const struct bench_sample *sample)
{
    return (double)sample->store_bytes / (double)sample->changed_bytes;
}

static double upload_ms(const struct bench_sample *sample)
{
    return (double)sample->cost.upload_us / 1e3;
}

/* Figures of a method over the measured rounds; the caller frees. NULL: none, or no memory. */
static double *collect(const struct bench_checkpoint_run *run, size_t method, sample_figure figure,
                       size_t *ret_count)
{
    double *values = calloc(run->sample_count + 1, sizeof(*values));
    size_t n = 0;
    for (size_t i = 0; values && i < run->sample_count; i++) {
        const struct bench_sample *sample = &run->samples[i];
        if (sample->method == method && sample->round > 0 && sample->result == 0)
            values[n++] = figure(sample);
    }
    *ret_count = n;
    return values;
}

static double quantile(const struct bench_checkpoint_run *run, size_t method, sample_figure figure,
                       double q)
{
    size_t n = 0;
    BENCH_AUTO_FREE double *values = collect(run, method, figure, &n);
    return bench_quantile(values, n, q);
}

static double sum(const struct bench_checkpoint_run *run, size_t method, sample_figure figure)
{
    size_t n = 0;
    BENCH_AUTO_FREE double *values = collect(run, method, figure, &n);
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += values[i];
    return total;
}

static int print_samples(const struct bench_checkpoint_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table,
                     "round|method|MB written|written/changed|wall ms|cpu ms|stall ms|own ms|"
                     "exact ms|flush ms|capture ms|upload ms|note");
    for (size_t i = 0; i < run->sample_count; i++) {
        const struct bench_sample *sample = &run->samples[i];
        bench_table_add(&table, "%u", sample->round);
        bench_table_add(&table, "%s", run->methods[sample->method]->name);
        bench_table_add(&table, "%.2f", store_mb(sample));
        bench_table_add(&table, "%.2f", write_ratio(sample));
        bench_table_add(&table, "%.1f", wall_ms(sample));
        bench_table_add(&table, "%.1f", cpu_ms(sample));
        bench_table_add(&table, "%.2f", stall_ms(sample));
        bench_table_add(&table, "%.2f", own_ms(sample));
        bench_table_add(&table, "%.2f", exact_ms(sample));
        bench_table_add(&table, sample->cost.flush_us ? "%.1f" : "-",
                        (double)sample->cost.flush_us / 1e3);
        bench_table_add(&table, sample->cost.capture_us ? "%.1f" : "-",
                        (double)sample->cost.capture_us / 1e3);
        bench_table_add(&table, sample->cost.upload_us ? "%.1f" : "-", upload_ms(sample));
        bench_table_add(&table, "%s%s",
                        sample->result < 0 ? cairn_error_name(sample->result) : "ok",
                        sample->quiet ? "" : " (compactions went on)");
    }
    return bench_table_print(&table, "Every checkpoint (round 0: the first and full one)", reterr);
}

/* Below the tables that have these columns. */
static void print_legend(void)
{
    puts(
        "\nstall: the slowest put while the checkpoint ran; own: the same without time spent "
        "waiting "
        "for a processor;\nexact: how long a writer must stand still to get an exact moment of its "
        "input: Cairn's barrier, RocksDB's\ncheckpoint call, all of a backup; cpu: of the process "
        "without the writer");
}

static int print_summary(const struct bench_checkpoint_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table,
                     "method|done|MB median|MB sum|written/changed|wall ms median|wall ms max|"
                     "cpu ms median|stall ms median|stall ms max|own ms median|own ms max|"
                     "exact ms median|exact ms max");
    for (size_t m = 0; m < run->method_count; m++) {
        size_t n = 0;
        free(collect(run, m, wall_ms, &n));
        bench_table_add(&table, "%s", run->methods[m]->title);
        bench_table_add(&table, "%zu", n);
        bench_table_add(&table, "%.2f", quantile(run, m, store_mb, 0.5));
        bench_table_add(&table, "%.1f", sum(run, m, store_mb));
        bench_table_add(&table, "%.2f", n ? sum(run, m, write_ratio) / (double)n : 0.0);
        bench_table_add(&table, "%.1f", quantile(run, m, wall_ms, 0.5));
        bench_table_add(&table, "%.1f", quantile(run, m, wall_ms, 1));
        bench_table_add(&table, "%.1f", quantile(run, m, cpu_ms, 0.5));
        bench_table_add(&table, "%.2f", quantile(run, m, stall_ms, 0.5));
        bench_table_add(&table, "%.2f", quantile(run, m, stall_ms, 1));
        bench_table_add(&table, "%.2f", quantile(run, m, own_ms, 0.5));
        bench_table_add(&table, "%.2f", quantile(run, m, own_ms, 1));
        bench_table_add(&table, "%.2f", quantile(run, m, exact_ms, 0.5));
        bench_table_add(&table, "%.2f", quantile(run, m, exact_ms, 1));
    }
    BENCH_AUTO_FREE char *heading = NULL;
    BENCH_TRY(bench_text(&heading, reterr, "%u rounds, %llu keys, %llu updates each (%s)",
                         run->options->rounds, (unsigned long long)run->workload.keys,
                         (unsigned long long)run->workload.updates,
                         run->workload.zipf ? "zipf" : "uniform"));
    return bench_table_print(&table, heading, reterr);
}

static double restore_quantile(const struct bench_checkpoint_run *run, size_t method, bool open)
{
    double values[BENCH_RESTORES];
    size_t n = 0;
    for (size_t i = 0; i < run->restore_count; i++) {
        const struct bench_restore_sample *sample = &run->restores[i];
        if (sample->method == method)
            values[n++] = (double)(open ? sample->open_ns : sample->wall_ns) / 1e6;
    }
    return bench_quantile(values, n, 0.5);
}

static int print_restores(const struct bench_checkpoint_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "method|MB|restore ms|open ms|cpu ms");
    /* The first repeat of each method comes first, in order. */
    for (size_t i = 0; i < run->restore_count && run->restores[i].repeat == 0; i++) {
        const struct bench_restore_sample *sample = &run->restores[i];
        bench_table_add(&table, "%s", run->methods[sample->method]->title);
        bench_table_add(&table, "%.1f", (double)sample->bytes / 1e6);
        bench_table_add(&table, "%.1f", restore_quantile(run, sample->method, false));
        bench_table_add(&table, "%.1f", restore_quantile(run, sample->method, true));
        bench_table_add(&table, "%.1f", (double)sample->cpu_ns / 1e6);
    }
    return bench_table_print(
        &table, "Restores (median of 3; every entry of each was read and checked)", reterr);
}

static size_t find_method(const struct bench_checkpoint_run *run,
                          const struct bench_method_ops *ops)
{
    size_t m = 0;
    while (m < run->method_count && run->methods[m] != ops)
        m++;
    return m;
}

static const struct bench_sample *find_sample(const struct bench_checkpoint_run *run, size_t method,
                                              uint32_t round)
{
    for (size_t i = 0; i < run->sample_count; i++)
        if (run->samples[i].method == method && run->samples[i].round == round)
            return run->samples[i].result == 0 ? &run->samples[i] : NULL;
    return NULL;
}

/* Median of the ratios of two methods, round by round: both are in the same phase of compactions
 * there, which medians of each alone mix up. 0: nothing to compare. */
static double ratio_by_round(const struct bench_checkpoint_run *run, size_t a, size_t b,
                             sample_figure figure)
{
    BENCH_AUTO_FREE double *ratios = calloc(run->options->rounds, sizeof(*ratios));
    size_t n = 0;
    for (uint32_t round = 1; ratios && round <= run->options->rounds; round++) {
        const struct bench_sample *mine = find_sample(run, a, round);
        const struct bench_sample *theirs = find_sample(run, b, round);
        if (mine && theirs && figure(theirs) > 0)
            ratios[n++] = figure(mine) / figure(theirs);
    }
    return bench_quantile(ratios, n, 0.5);
}

/* Cairn's copying increments against another method. */
static void add_ratio(struct bench_table *table, const struct bench_checkpoint_run *run,
                      const struct bench_method_ops *other, sample_figure figure, const char *what,
                      const char *target)
{
    size_t a = find_method(run, &bench_method_cairn_copy), b = find_method(run, other);
    double theirs = quantile(run, b, figure, 0.5), their_sum = sum(run, b, figure);
    if (a == run->method_count || b == run->method_count || theirs <= 0 || their_sum <= 0)
        return;
    bench_table_add(table, "%s", other->title);
    bench_table_add(table, "%s", what);
    bench_table_add(table, "%.3f", ratio_by_round(run, a, b, figure));
    bench_table_add(table, "%.3f", quantile(run, a, figure, 0.5) / theirs);
    bench_table_add(table, "%.3f", sum(run, a, figure) / their_sum);
    bench_table_add(table, "%s", target);
}

static int print_ratios(const struct bench_checkpoint_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table,
                     "against|figure|median of ratios|ratio of medians|ratio of sums|target");
    add_ratio(&table, run, &bench_method_new_files, wall_ms, "wall", "at most 1.1");
    add_ratio(&table, run, &bench_method_new_files, upload_ms, "upload alone", "");
    add_ratio(&table, run, &bench_method_new_files, store_mb, "bytes", "");
    add_ratio(&table, run, &bench_method_new_files, cpu_ms, "cpu", "");
    add_ratio(&table, run, &bench_method_backup_engine, wall_ms, "wall", "");
    add_ratio(&table, run, &bench_method_backup_engine, store_mb, "bytes", "");
    add_ratio(&table, run, &bench_method_backup_engine, cpu_ms, "cpu", "");
    add_ratio(&table, run, &bench_method_plain_copy, wall_ms, "wall", "");
    add_ratio(&table, run, &bench_method_plain_copy, cpu_ms, "cpu", "");
    add_ratio(&table, run, &bench_method_cairn_full, wall_ms, "wall", "");
    add_ratio(&table, run, &bench_method_cairn_full, store_mb, "bytes", "");
    return bench_table_print(&table, "Cairn's increments by copies, as a ratio", reterr);
}

static int write_samples(const struct bench_checkpoint_run *run, const struct bench_output *output,
                         cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table,
                     "round|method|result|quiet|wall_us|cpu_us|flush_us|capture_us|upload_us|"
                     "stall_us|own_us|exact_us|store_bytes|reported_bytes|full_bytes|"
                     "changed_bytes|puts|writer_cpu_us|writer_switches");
    for (size_t i = 0; i < run->sample_count; i++) {
        const struct bench_sample *sample = &run->samples[i];
        const uint64_t numbers[] = {
            sample->quiet,
            sample->wall_ns / 1000,
            sample->cpu_ns / 1000,
            sample->cost.flush_us,
            sample->cost.capture_us,
            sample->cost.upload_us,
            sample->window.longest_put_ns / 1000,
            sample->window.longest_own_ns / 1000,
            sample->cost.exact_us,
            sample->store_bytes,
            sample->cost.reported_bytes,
            sample->cost.full_bytes,
            sample->changed_bytes,
            sample->window.puts,
            sample->window.cpu_ns / 1000,
            sample->window.switches,
        };
        bench_table_add(&table, "%u", sample->round);
        bench_table_add(&table, "%s", run->methods[sample->method]->name);
        bench_table_add(&table, "%s", cairn_error_name(sample->result));
        for (size_t k = 0; k < BENCH_COUNT(numbers); k++)
            bench_table_add(&table, "%llu", (unsigned long long)numbers[k]);
    }
    return bench_table_write_csv(&table, output->csv, reterr);
}

static int write_restores(const struct bench_checkpoint_run *run, const struct bench_output *output,
                          cairn_error **reterr)
{
    BENCH_AUTO_FREE char *path = NULL;
    BENCH_TRY(bench_output_sibling(output, "restore", &path, reterr));
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "method|repeat|wall_us|cpu_us|open_us|bytes");
    for (size_t i = 0; i < run->restore_count; i++) {
        const struct bench_restore_sample *sample = &run->restores[i];
        bench_table_add(&table, "%s", run->methods[sample->method]->name);
        bench_table_add(&table, "%u", sample->repeat);
        bench_table_add(&table, "%llu", (unsigned long long)sample->wall_ns / 1000);
        bench_table_add(&table, "%llu", (unsigned long long)sample->cpu_ns / 1000);
        bench_table_add(&table, "%llu", (unsigned long long)sample->open_ns / 1000);
        bench_table_add(&table, "%llu", (unsigned long long)sample->bytes);
    }
    return bench_table_write_csv(&table, path, reterr);
}

/* How a method is drawn: in this order, so that what would cover others comes first. */
static const struct {
    const struct bench_method_ops *method;
    const char *style;
} drawn[] = {
    {&bench_method_new_files, "lines linecolor rgb '#c8c8c8' linewidth 7"},
    {&bench_method_plain_copy, "linespoints linestyle 5 dashtype 2"},
    {&bench_method_backup_engine, "linespoints linestyle 4 dashtype 2"},
    {&bench_method_cairn_full, "linespoints linestyle 3"},
    {&bench_method_cairn_copy, "linespoints linestyle 2"},
    {&bench_method_cairn_link, "linespoints linestyle 1"},
};

/* One plot: a line per method over the rounds. column: of the CSV, with its divisor. */
static void plot_rounds(FILE *script, const struct bench_checkpoint_run *run, const char *name,
                        const char *title, const char *unit, int column, double divisor)
{
    (void)fprintf(script,
                  "\nset output plots.'/checkpoint-%s.svg'\n"
                  "set title '%s'\nset xlabel 'round'\nset ylabel '%s, logarithmic'\n"
                  "set logscale y\nset format y '%%g'\nset xrange [0.5:%u.5]\n"
                  "set xtics %u\nplot",
                  name, title, unit, run->options->rounds, run->options->rounds / 20 + 1);
    const char *separator = "";
    for (size_t i = 0; i < BENCH_COUNT(drawn); i++) {
        if (find_method(run, drawn[i].method) == run->method_count)
            continue;
        (void)fprintf(
            script,
            "%s \\\n  csv skip 1 using ($1 > 0 && strcol(2) eq '%s' && "
            "strcol(3) eq 'CAIRN_OK' && $%d > 0 ? $1 : NaN):($%d / %g) with %s title '%s'",
            separator, drawn[i].method->name, column, column, divisor, drawn[i].style,
            drawn[i].method->title);
        separator = ",";
    }
    (void)fputc('\n', script);
}

static int draw_plots(const struct bench_checkpoint_run *run, const struct bench_output *output,
                      cairn_error **reterr)
{
    FILE *script = NULL;
    BENCH_TRY(bench_plot_begin(output, &script, reterr));
    plot_rounds(script, run, "bytes", "Bytes written to the store per checkpoint", "MB", 13, 1e6);
    plot_rounds(script, run, "stall", "Slowest put while a checkpoint runs", "ms", 10, 1e3);
    plot_rounds(script, run, "exact", "Writer standing still for an exact moment", "ms", 12, 1e3);
    plot_rounds(script, run, "wall", "Time per checkpoint", "ms", 5, 1e3);
    return bench_plot_finish(output, script, reterr);
}

int bench_checkpoint_report(const struct bench_checkpoint_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_output_done) struct bench_output output;
    BENCH_TRY(bench_output_init(&output, run->options, "checkpoint", reterr));
    BENCH_TRY(print_samples(run, reterr));
    BENCH_TRY(print_summary(run, reterr));
    print_legend();
    BENCH_TRY(print_restores(run, reterr));
    BENCH_TRY(print_ratios(run, reterr));
    if (output.csv) {
        BENCH_TRY(write_samples(run, &output, reterr));
        BENCH_TRY(write_restores(run, &output, reterr));
    }
    return output.plots ? draw_plots(run, &output, reterr) : 0;
}
