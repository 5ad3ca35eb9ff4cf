/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trials: the rounds, and what is said of them.
 *
 * Single times on a shared machine mean little, so all that is printed are quantiles over the
 * rounds; ratios are taken round by round, where both sides met about the same machine.
 */
#include "tools/bench/trial.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/table.h"

#include <math.h>

struct bench_side *bench_trial_add(struct bench_trial *trial, bench_side_fn run, uint32_t threads,
                                   const void *argument)
{
    if (trial->side_count == BENCH_SIDES_MAX)
        abort(); /* the callers' lists are shorter */
    struct bench_side *side = &trial->sides[trial->side_count++];
    *side = (struct bench_side){.run = run, .threads = threads, .argument = argument};
    return side;
}

static size_t width(const struct bench_trial *trial)
{
    return BENCH_FIGURES_OWN + trial->figure_count;
}

static double *row(const struct bench_trial *trial, uint32_t round, size_t side)
{
    return trial->values + (round * trial->side_count + side) * width(trial);
}

int bench_trial_run(struct bench_trial *trial, cairn_error **reterr)
{
    uint32_t rounds = trial->options->rounds;
    size_t count = (size_t)(rounds + 1) * trial->side_count * width(trial);
    trial->values = calloc(count, sizeof(*trial->values));
    if (!trial->values)
        return bench_fail_nomem(reterr);
    for (size_t i = 0; i < count; i++)
        trial->values[i] = (double)NAN;
    for (uint32_t round = 0; round <= rounds; round++) {
        size_t order[BENCH_SIDES_MAX];
        bench_shuffle(trial->workload, round, order, trial->side_count);
        for (size_t i = 0; i < trial->side_count; i++) {
            const struct bench_side *side = &trial->sides[order[i]];
            BENCH_AUTO_ERROR cairn_error *error = NULL;
            BENCH_TRY(bench_check_interrupt(reterr));
            bench_progress("round %u of %u: %s", round, rounds, side->title);
            int r = side->run(trial->context, side, round, row(trial, round, order[i]), &error);
            if (r < 0)
                return bench_fail(reterr, r, "%s: %s", side->title, cairn_error_message(error));
        }
    }
    bench_progress_done();
    return 0;
}

void bench_trial_done(struct bench_trial *trial)
{
    free(trial->values);
    trial->values = NULL;
}

int bench_trial_quiet(const struct bench_trial *trial, cairn_error **reterr)
{
    bool quiet = false;
    BENCH_TRY(bench_settle(&quiet, reterr));
    if (!quiet)
        bench_note("background work did not end within two minutes");
    BENCH_TRY(bench_sync_file_system(trial->work, reterr));
    return bench_recycle_page_cache(trial->work, trial->state_bytes, reterr);
}

struct bench_clock bench_clock_start(void)
{
    return (struct bench_clock){.cpu_ns = bench_process_cpu_ns(), .start_ns = bench_now_ns()};
}

void bench_clock_stop(const struct bench_clock *clock, double *figures)
{
    figures[BENCH_WALL_MS] = (double)(bench_now_ns() - clock->start_ns) / 1e6;
    figures[BENCH_CPU_MS] = (double)(bench_process_cpu_ns() - clock->cpu_ns) / 1e6;
}

/* Of side a's figure over the measured rounds, divided round by round by side b's if b is one. NAN
 * if there are none. */
static double ratio(const struct bench_trial *trial, size_t a, size_t b, size_t figure, double q)
{
    uint32_t rounds = trial->options->rounds;
    BENCH_AUTO_FREE double *values = calloc(rounds, sizeof(*values));
    size_t n = 0;
    for (uint32_t round = 1; values && round <= rounds; round++) {
        double value = row(trial, round, a)[figure];
        if (b < trial->side_count)
            value /= row(trial, round, b)[figure];
        if (isfinite(value))
            values[n++] = value;
    }
    return n ? bench_quantile(values, n, q) : (double)NAN;
}

static double quantile(const struct bench_trial *trial, size_t side, size_t figure, double q)
{
    return ratio(trial, side, trial->side_count, figure, q);
}

static void add_value(struct bench_table *table, double value, int decimals)
{
    if (isfinite(value))
        bench_table_add(table, "%.*f", decimals, value);
    else
        bench_table_add(table, "-");
}

/* "first|second|..." of names or titles of a trial's own figures, behind `head`. */
static int titles(const struct bench_trial *trial, const char *head, bool names, char **ret,
                  cairn_error **reterr)
{
    BENCH_AUTO_FREE char *text = NULL;
    BENCH_TRY(bench_text(&text, reterr, "%s", head));
    for (size_t i = 0; i < trial->figure_count; i++) {
        const struct bench_figure *figure = &trial->figures[i];
        char *longer = NULL;
        BENCH_TRY(bench_text(&longer, reterr, "%s|%s", text, names ? figure->name : figure->title));
        free(text);
        text = longer;
    }
    *ret = text;
    text = NULL;
    return 0;
}

int bench_trial_print(const struct bench_trial *trial, const char *heading, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table = {0};
    BENCH_AUTO_FREE char *text = NULL;
    BENCH_TRY(titles(trial, "side|wall ms|min|max|cpu ms", false, &text, reterr));
    bench_table_init(&table, text);
    for (size_t side = 0; side < trial->side_count; side++) {
        bench_table_add(&table, "%s", trial->sides[side].title);
        static const double quantiles[] = {0.5, 0, 1};
        for (size_t q = 0; q < BENCH_COUNT(quantiles); q++)
            add_value(&table, quantile(trial, side, BENCH_WALL_MS, quantiles[q]), 1);
        add_value(&table, quantile(trial, side, BENCH_CPU_MS, 0.5), 1);
        for (size_t i = 0; i < trial->figure_count; i++)
            add_value(&table, quantile(trial, side, BENCH_FIGURES_OWN + i, 0.5),
                      trial->figures[i].decimals);
    }
    return bench_table_print(&table, heading, reterr);
}

int bench_trial_print_ratios(const struct bench_trial *trial, size_t figure,
                             const struct bench_ratio *ratios, size_t count, const char *heading,
                             cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table = {0};
    bench_table_init(&table, "side|against|median of ratios|min|max|cpu time|target");
    for (size_t i = 0; i < count; i++) {
        const struct bench_ratio *r = &ratios[i];
        bench_table_add(&table, "%s", trial->sides[r->a].title);
        bench_table_add(&table, "%s", trial->sides[r->b].title);
        add_value(&table, ratio(trial, r->a, r->b, figure, 0.5), 3);
        add_value(&table, ratio(trial, r->a, r->b, figure, 0), 3);
        add_value(&table, ratio(trial, r->a, r->b, figure, 1), 3);
        add_value(&table, ratio(trial, r->a, r->b, BENCH_CPU_MS, 0.5), 3);
        bench_table_add(&table, "%s", r->target);
    }
    return bench_table_print(&table, heading, reterr);
}

int bench_trial_write_csv(const struct bench_trial *trial, const char *path, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table = {0};
    BENCH_AUTO_FREE char *text = NULL;
    BENCH_TRY(titles(trial, "round|side|wall_ms|cpu_ms", true, &text, reterr));
    bench_table_init(&table, text);
    for (uint32_t round = 0; round <= trial->options->rounds; round++)
        for (size_t side = 0; side < trial->side_count; side++) {
            bench_table_add(&table, "%u", round);
            bench_table_add(&table, "%s", trial->sides[side].name);
            for (size_t i = 0; i < width(trial); i++)
                add_value(&table, row(trial, round, side)[i], 4);
        }
    return bench_table_write_csv(&table, path, reterr);
}

/* Bars that differ much more than a picture can show are drawn on a logarithmic axis: where it
 * begins, or 0 for a linear one. */
#define LINEAR_SPREAD 40
static double axis_begin(double least, double most)
{
    return least > 0 && most > LINEAR_SPREAD * least ? pow(10, floor(log10(least))) : 0;
}

void bench_trial_plot(const struct bench_trial *trial, FILE *script, size_t figure, const char *svg,
                      const char *title, const char *unit)
{
    size_t bars = 0;
    double least = HUGE_VAL, most = 0;
    (void)fprintf(script, "\n$%s << end\n", svg);
    for (size_t side = 0; side < trial->side_count; side++) {
        double median = quantile(trial, side, figure, 0.5);
        if (!isfinite(median))
            continue;
        least = fmin(least, median);
        most = fmax(most, median);
        (void)fprintf(script, "\"%s\",%.3f,%.3f,%.3f\n", trial->sides[side].title, median,
                      quantile(trial, side, figure, 0), quantile(trial, side, figure, 1));
        bars++;
    }
    double begin = axis_begin(least, most);
    (void)fprintf(
        script,
        "end\nset output plots.'/%s.svg'\nset title '%s: median, least and most'\n"
        "set xlabel '%s'\n%s logscale x\nset xrange [%g:*]\nset yrange [%zu-0.4:-0.6]\n"
        "set grid noytics xtics\nset style fill solid 0.85 noborder\n"
        "plot $%s using 2:0:(%g):2:($0-0.36):($0+0.36):ytic(1) "
        "with boxxyerror linestyle 1 notitle, \\\n"
        "  $%s using 2:0:3:4 with xerrorbars linecolor rgb '#555555' pointtype 0 notitle\n",
        svg, title, unit, begin > 0 ? "set" : "unset", begin, bars, svg, begin, svg);
}
