/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What checkpoints cost: rounds with one every second and rounds without any, in turn and in one
 * process, each from empty directories. The ratio of the medians is what is left of the throughput.
 * A round without has one checkpoint, too, at its end, which is not in its time: what is timed is
 * from the first order to the last statement that came to the sink.
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

static double run_round(const struct options *options, uint64_t interval_ms)
{
    char dir[4096];
    struct options o = *options;
    (void)snprintf(dir, sizeof dir, "%s/round", options->dir);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* may not be there */
    o.dir = dir;
    o.interval_ms = interval_ms;
    o.verbose = false;
    double seconds = 0;
    o.ret_seconds = &seconds;
    if (run_pipeline(&o) < 0)
        return -1;
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return (double)o.records / seconds;
}

int measure(const struct options *options, uint32_t rounds)
{
    double *with = calloc(rounds, sizeof *with), *without = calloc(rounds, sizeof *without);
    int r = with != NULL && without != NULL ? 0 : -1;
    printf("orders/s   without   every %" PRIu64 " ms   ratio\n", options->interval_ms);
    for (uint32_t i = 0; r == 0 && i < rounds; i++) {
        double *turns[2] = {&without[i], &with[i]};
        for (uint32_t k = 0; r == 0 && k < 2; k++) {
            const uint32_t which = (i + k) % 2; /* neither is always the first */
            *turns[which] = run_round(options, which == 0 ? 0 : options->interval_ms);
            r = *turns[which] < 0 ? -1 : 0;
        }
        if (r == 0)
            printf("round %-3" PRIu32 "  %8.0f  %12.0f   %.3f\n", i + 1, without[i], with[i],
                   with[i] / without[i]);
        fflush(stdout);
    }
    if (r == 0) {
        double a = median(without, rounds), b = median(with, rounds);
        printf("median     %8.0f  %12.0f   %.3f\n", a, b, b / a);
    }
    free(with);
    free(without);
    return r;
}
