/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots by gnuplot. The script stays next to the CSV that it reads, so that a plot can be changed
 * and drawn again without measuring again. A missing gnuplot is an error with a hint, after all
 * samples are safely written.
 */
#include "tools/bench/plot.h"
#include "tools/bench/files.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static size_t stem_length(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".csv") == 0 ? n - 4 : n;
}

int bench_output_init(struct bench_output *output, const struct bench_options *options,
                      const char *name, cairn_error **reterr)
{
    *output = (struct bench_output){0};
    if (options->plots)
        BENCH_TRY(bench_make_dir(options->plots, reterr));
    if (options->csv)
        BENCH_TRY(bench_text(&output->csv, reterr, "%s", options->csv));
    else if (options->plots)
        BENCH_TRY(bench_text(&output->csv, reterr, "%s/%s.csv", options->plots, name));
    if (!options->plots)
        return 0;
    BENCH_TRY(bench_text(&output->plots, reterr, "%s", options->plots));
    return bench_text(&output->script, reterr, "%.*s.gnuplot", (int)stem_length(output->csv),
                      output->csv);
}

void bench_output_done(struct bench_output *output)
{
    free(output->csv);
    free(output->script);
    free(output->plots);
}

int bench_output_sibling(const struct bench_output *output, const char *suffix, char **ret,
                         cairn_error **reterr)
{
    return bench_text(ret, reterr, "%.*s-%s.csv", (int)stem_length(output->csv), output->csv,
                      suffix);
}

int bench_plot_begin(const struct bench_output *output, FILE **ret, cairn_error **reterr)
{
    /* Inside gnuplot's quotes; a name that would leave them is refused. */
    if (strpbrk(output->csv, "'\n") || strpbrk(output->plots, "'\n"))
        return bench_fail(reterr, CAIRN_EINVAL, "plots: a quote in '%s' or '%s'", output->csv,
                          output->plots);
    FILE *script = fopen(output->script, "we");
    if (!script)
        return bench_fail_os(reterr, errno, "creating '%s'", output->script);
    (void)fprintf(
        script,
        "# Drawn by cairn-bench; run `gnuplot %s` to draw again.\n"
        "csv = '%s'\n"
        "plots = '%s'\n"
        "set datafile separator ','\n"
        "set datafile missing NaN\n"
        "set terminal svg size 820,460 dynamic font 'Helvetica,Arial,sans-serif,13' "
        "background rgb 'white'\n"
        "set border 3 linecolor rgb '#777777'\n"
        "set tics nomirror textcolor rgb '#444444'\n"
        "set grid ytics linecolor rgb '#dddddd' linetype 1 linewidth 0.6\n"
        "set key outside right center Left reverse samplen 2 spacing 1.4 "
        "textcolor rgb '#333333'\n"
        "set title textcolor rgb '#222222' font ',15'\n"
        "set style line 1 linecolor rgb '#0072b2' pointtype 7 pointsize 0.6 linewidth 2\n"
        "set style line 2 linecolor rgb '#56b4e9' pointtype 5 pointsize 0.6 linewidth 2\n"
        "set style line 3 linecolor rgb '#009e73' pointtype 9 pointsize 0.7 linewidth 2\n"
        "set style line 4 linecolor rgb '#d55e00' pointtype 13 pointsize 0.8 linewidth 2\n"
        "set style line 5 linecolor rgb '#cc79a7' pointtype 11 pointsize 0.7 linewidth 2\n"
        "set style line 6 linecolor rgb '#999999' pointtype 6 pointsize 0.6 linewidth 2\n",
        output->script, output->csv, output->plots);
    *ret = script;
    return 0;
}

int bench_plot_finish(const struct bench_output *output, FILE *script, cairn_error **reterr)
{
    bool bad = ferror(script) != 0;
    bad |= fclose(script) != 0;
    if (bad)
        return bench_fail_os(reterr, errno, "writing '%s'", output->script);
    char program[] = "gnuplot";
    char *argv[] = {program, output->script, NULL};
    pid_t pid;
    int r = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    if (r == ENOENT)
        return bench_fail(reterr, CAIRN_ENOTFOUND,
                          "gnuplot is not installed: the samples are in '%s'; install it and run "
                          "`gnuplot %s`",
                          output->csv, output->script);
    if (r)
        return bench_fail_os(reterr, r, "starting gnuplot");
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return bench_fail_os(reterr, errno, "waiting for gnuplot");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return bench_fail(reterr, CAIRN_EINTERNAL, "gnuplot did not draw '%s'", output->script);
    return 0;
}
