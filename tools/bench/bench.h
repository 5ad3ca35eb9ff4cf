/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_BENCH_H
#define CAIRN_BENCH_BENCH_H

#include "cairn/cairn.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* What all files of the benchmark share: cleanup, errors, progress and the parsed command line. */

#define BENCH_CLEANUP(fn) __attribute__((cleanup(fn)))
#define BENCH_TRY(expr)                                                                            \
    do {                                                                                           \
        int bench_r_ = (expr);                                                                     \
        if (bench_r_ < 0)                                                                          \
            return bench_r_;                                                                       \
    } while (0)
#define BENCH_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BENCH_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define BENCH_MIB ((uint64_t)1 << 20)

static inline void bench_cleanup_free(void *p)
{
    free(*(void **)p);
}
static inline void bench_cleanup_error(cairn_error **error)
{
    cairn_error_free(*error);
}
#define BENCH_AUTO_FREE BENCH_CLEANUP(bench_cleanup_free)
#define BENCH_AUTO_ERROR BENCH_CLEANUP(bench_cleanup_error)

/* Raise: fill *reterr and return the code. */
int bench_fail(cairn_error **reterr, int code, const char *format, ...) BENCH_PRINTF(3, 4);
int bench_fail_os(cairn_error **reterr, int os_errno, const char *format, ...) BENCH_PRINTF(3, 4);
int bench_fail_nomem(cairn_error **reterr);
/* asprintf; CAIRN_ENOMEM. */
int bench_text(char **ret, cairn_error **reterr, const char *format, ...) BENCH_PRINTF(3, 4);

/* A line that overwrites itself, on stderr and only if that is a terminal. */
void bench_progress(const char *format, ...) BENCH_PRINTF(1, 2);
void bench_progress_done(void);
/* A line of its own on stderr, terminal or not. */
void bench_note(const char *format, ...) BENCH_PRINTF(1, 2);

/* CAIRN_ECANCELED once SIGINT or SIGTERM came: long loops ask it, so that temporary directories are
 * removed on the way out. */
int bench_check_interrupt(cairn_error **reterr);

enum bench_command {
    BENCH_CHECKPOINT = 1,
    BENCH_STALL = 2,
    BENCH_STATE = 4,
    BENCH_SAVEPOINT = 8,
    BENCH_RESCALE = 16,
    BENCH_ALIGN = 32,
    BENCH_TRANSFER = 64,
    BENCH_COMMIT = 128
};

#define BENCH_MEMTABLES_MAX 8
#define BENCH_STEPS_MAX 8
#define BENCH_TASKS_MAX 16

/* A change of parallelism. */
struct bench_step {
    uint32_t from, to;
};

struct bench_options {
    enum bench_command command;
    uint64_t keys;
    uint32_t value_size_bytes;
    double update_percent;
    bool zipf;
    uint32_t rounds;
    uint32_t threads;
    uint32_t memtable_mb[BENCH_MEMTABLES_MAX];
    size_t memtable_count;
    struct bench_step steps[BENCH_STEPS_MAX];
    size_t step_count;
    uint64_t rate;
    uint32_t checkpoints;
    uint64_t records;
    uint64_t seed;
    const char *dir;       /* parent of everything temporary */
    const char *store_dir; /* parent of the stores; NULL: dir */
    const char *store;     /* URI of an object store */
    uint32_t subtasks, files;
    uint32_t workers; /* processes; 0: all in this one */
    const char *backend;
    const char *csv;   /* NULL: none */
    const char *plots; /* NULL: none */
};

/* Parse a command line. @return 0, 1 if help was printed and there is nothing to do, or
 * CAIRN_EINVAL. */
int bench_options_parse(int argc, char **argv, struct bench_options *ret, cairn_error **reterr);

/* The benchmarks; `work` is a fresh directory that the caller removes, `stores` likewise. */
int bench_run_checkpoint(const struct bench_options *options, const char *work, const char *stores,
                         cairn_error **reterr);
int bench_run_stall(const struct bench_options *options, const char *work, const char *stores,
                    cairn_error **reterr);
int bench_run_state(const struct bench_options *options, const char *work, const char *stores,
                    cairn_error **reterr);
int bench_run_savepoint(const struct bench_options *options, const char *work, const char *stores,
                        cairn_error **reterr);
int bench_run_rescale(const struct bench_options *options, const char *work, const char *stores,
                      cairn_error **reterr);
int bench_run_transfer(const struct bench_options *options, const char *work, const char *stores,
                       cairn_error **reterr);
int bench_run_commit(const struct bench_options *options, const char *work, cairn_error **reterr);
int bench_run_align(const struct bench_options *options, const char *work, cairn_error **reterr);

#endif
