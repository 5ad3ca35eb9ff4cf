/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, bytes read and written, quiescence and order statistics. */
#include "tools/bench/measure.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sys/resource.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts); /* cannot fail for these clocks */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_process_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_thread_switches(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nivcsw;
}

void bench_sleep_us(uint64_t us)
{
    struct timespec ts = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&ts, NULL); /* a signal ends it early; the loops around it look again */
}

int bench_settle(bool *ret_quiet, cairn_error **reterr)
{
    enum { STEP_US = 50000, QUIET_STEPS = 6, BUSY_NS = 1000000, STEPS_MAX = 2400 };
    unsigned quiet = 0;
    for (unsigned step = 0; step < STEPS_MAX && quiet < QUIET_STEPS; step++) {
        BENCH_TRY(bench_check_interrupt(reterr));
        uint64_t before = bench_process_cpu_ns();
        bench_sleep_us(STEP_US);
        quiet = bench_process_cpu_ns() - before < BUSY_NS ? quiet + 1 : 0;
    }
    *ret_quiet = quiet == QUIET_STEPS;
    return 0;
}

int bench_read_io(struct bench_io *ret, cairn_error **reterr)
{
    FILE *file = fopen("/proc/self/io", "re");
    if (!file)
        return bench_fail_os(reterr, errno, "'/proc/self/io'");
    int n = fscanf(file,
                   "rchar: %" SCNu64 " wchar: %" SCNu64 " syscr: %*u syscw: %*u"
                   " read_bytes: %" SCNu64,
                   &ret->read_bytes, &ret->written_bytes, &ret->disk_read_bytes);
    (void)fclose(file);
    return n == 3 ? 0 : bench_fail(reterr, CAIRN_EUNSUPPORTED, "'/proc/self/io': unknown form");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_quantile(double *values, size_t n, double q)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof(*values), by_value);
    double rank = ceil(q * (double)n);
    return values[rank < 1 ? 0 : (size_t)rank - 1];
}
