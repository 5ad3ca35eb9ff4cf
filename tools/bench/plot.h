/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_PLOT_H
#define CAIRN_BENCH_PLOT_H

#include "tools/bench/bench.h"

/* Where the samples and plots of a run go. */
struct bench_output {
    char *csv;    /* NULL: neither --csv nor --plots */
    char *script; /* the same name with ".gnuplot"; NULL without --plots */
    char *plots;  /* directory; NULL without --plots */
};
/* Names only, and the directory for plots. name: used when only --plots is given. */
int bench_output_init(struct bench_output *output, const struct bench_options *options,
                      const char *name, cairn_error **reterr);
void bench_output_done(struct bench_output *output);
/* "<csv without .csv>-<suffix>.csv" */
int bench_output_sibling(const struct bench_output *output, const char *suffix, char **ret,
                         cairn_error **reterr);

/* Begin a gnuplot script with the common look; body follows by fprintf; finish runs it. */
int bench_plot_begin(const struct bench_output *output, FILE **ret, cairn_error **reterr);
int bench_plot_finish(const struct bench_output *output, FILE *script, cairn_error **reterr);

#endif
