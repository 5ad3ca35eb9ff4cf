/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What checkpoints cost: rounds with them and rounds without any, in turn and in one process, each
 * from empty directories. A round's ratio is what is left of the throughput; the median of these
 * says more than a ratio of medians where other work comes and goes. CPU is that of the whole
 * process, flushes and compactions included, and hardly minds who else is on the machine.
 * A round without has one checkpoint, too, at its end, when the clocks have stopped.
 */
#include "examples/pipeline/pipeline.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static int run_round(const struct options *options, uint64_t interval_ms, struct spent *ret)
{
    char dir[4096];
    struct options o = *options;
    (void)snprintf(dir, sizeof dir, "%s/round", options->dir);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* may not be there */
    o.dir = dir;
    o.interval_ms = interval_ms;
    o.verbose = false;
    o.ret_spent = ret;
    int r = run_pipeline(&o);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return r;
}

int measure(const struct options *options, uint32_t rounds)
{
    const double orders = (double)options->records;
    double *wall = calloc(rounds, sizeof *wall), *cpu = calloc(rounds, sizeof *cpu);
    int r = wall != NULL && cpu != NULL ? 0 : -1;
    printf("           orders/s                  cpu us/order\n"
           "           without  with   ratio     without  with   ratio\n");
    for (uint32_t i = 0; r == 0 && i < rounds; i++) {
        struct spent spent[2];
        for (uint32_t k = 0; r == 0 && k < 2; k++) { /* neither is always the first */
            const uint32_t with = (i + k) % 2;
            r = run_round(options, with ? options->interval_ms : 0, &spent[with]);
        }
        if (r < 0)
            break;
        wall[i] = spent[0].wall_s / spent[1].wall_s;
        cpu[i] = spent[0].cpu_s / spent[1].cpu_s;
        printf("round %-3" PRIu32 "  %7.0f %7.0f  %.3f   %7.2f %7.2f   %.3f\n", i + 1,
               orders / spent[0].wall_s, orders / spent[1].wall_s, wall[i],
               spent[0].cpu_s / orders * 1e6, spent[1].cpu_s / orders * 1e6, cpu[i]);
        fflush(stdout);
    }
    if (r == 0)
        printf("median of ratios           %.3f                     %.3f\n", median(wall, rounds),
               median(cpu, rounds));
    free(wall);
    free(cpu);
    return r;
}
