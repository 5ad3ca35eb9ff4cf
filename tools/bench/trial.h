/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_TRIAL_H
#define CAIRN_BENCH_TRIAL_H

#include "tools/bench/plot.h"
#include "tools/bench/workload.h"

/* Rounds in which sides take turns, each leaving a row of figures. Round 0 warms up, is where
 * results are checked, and does not count. The order within a round is drawn anew for each. */

#define BENCH_FIGURES_MAX 12
#define BENCH_SIDES_MAX 24

/* The first two figures of every trial. */
enum { BENCH_WALL_MS, BENCH_CPU_MS, BENCH_FIGURES_OWN };

struct bench_figure {
    const char *name;  /* in the CSV */
    const char *title; /* for people */
    int decimals;
};

struct bench_side;
/* Measure once. figures: NAN where nothing is set. */
typedef int (*bench_side_fn)(void *context, const struct bench_side *side, uint32_t round,
                             double *figures, cairn_error **reterr);

struct bench_side {
    char name[40];
    char title[56];
    bench_side_fn run;
    uint32_t threads;
    const void *argument;
};

struct bench_trial {
    const struct bench_options *options;
    const struct bench_workload *workload;
    const char *work; /* where files of state_bytes may be made, to even out the page cache */
    uint64_t state_bytes;
    const struct bench_figure *figures; /* after the first two */
    size_t figure_count;
    struct bench_side sides[BENCH_SIDES_MAX];
    size_t side_count;
    void *context;
    double *values; /* by round, side, figure */
};

/* A new side at the end; name and title are the caller's to fill. */
struct bench_side *bench_trial_add(struct bench_trial *trial, bench_side_fn run, uint32_t threads,
                                   const void *argument);
int bench_trial_run(struct bench_trial *trial, cairn_error **reterr);
void bench_trial_done(struct bench_trial *trial);

/* Before a timed window: background threads idle, file system synced, page cache evened out. */
int bench_trial_quiet(const struct bench_trial *trial, cairn_error **reterr);
/* A timed window that fills the first two figures. */
struct bench_clock {
    uint64_t start_ns, cpu_ns;
};
struct bench_clock bench_clock_start(void);
void bench_clock_stop(const struct bench_clock *clock, double *figures);

/* A row per side: medians, and the fastest and slowest round. */
int bench_trial_print(const struct bench_trial *trial, const char *heading, cairn_error **reterr);

/* How one side stands to another by one figure and by CPU time, round by round. */
struct bench_ratio {
    size_t a, b; /* sides */
    const char *target;
};
int bench_trial_print_ratios(const struct bench_trial *trial, size_t figure,
                             const struct bench_ratio *ratios, size_t count, const char *heading,
                             cairn_error **reterr);

int bench_trial_write_csv(const struct bench_trial *trial, const char *path, cairn_error **reterr);
/* Bars of one figure's medians with whiskers, as `<plots>/<svg>.svg`; into an open script. */
void bench_trial_plot(const struct bench_trial *trial, FILE *script, size_t figure, const char *svg,
                      const char *title, const char *unit);

#endif
