/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench align`: what a task with two inputs pays for its gate.
 *
 * One thread is the network, the source and the task at once. It gives records to a gate of two
 * channels in turn, and polls after each one, as a service does; every 100,000 records there is a
 * checkpoint, whose barrier comes out of one channel first and out of the other one a little later.
 * The state is empty, so that what is measured is the way of the records. Time counts from the
 * first record behind a barrier of the source to the last one before the next; that the job begins
 * and ends checkpoints, in threads of its own, is not waited for inside it.
 *
 * poll alone is measured when nothing is due, in the same job; in CPU time, since a few nanoseconds
 * of a loop that waits for nothing say little of anything else.
 */
#include "tools/bench/bench.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/table.h"

#include <string.h>

#define INTERVAL 100000u /* records between two checkpoints */
#define LAG 1000u        /* records by which the barrier of the second channel is later */
#define IDLE_POLLS 20000000u

enum mode { MODE_ALIGNED, MODE_AT_LEAST_ONCE, MODE_UNALIGNED, MODE_COUNT };
static const char *const mode_names[MODE_COUNT] = {"aligned", "at least once", "unaligned"};

struct side {
    cairn_job *job;
    cairn_task *source, *sum;
    cairn_gate *gate;
};

struct align_run {
    const struct bench_options *options;
    uint8_t *record;
    struct side sides[MODE_COUNT];
    double *ns_per_record[MODE_COUNT]; /* by round */
    double *cpu_ns_per_record[MODE_COUNT];
    double *cpu_ns_per_poll[MODE_COUNT];
};

static void side_close(struct side *side)
{
    cairn_job_close(side->job);
    cairn_task_close(side->source);
    cairn_task_close(side->sum);
}

static void run_done(struct align_run *run)
{
    for (int mode = 0; mode < MODE_COUNT; mode++) {
        side_close(&run->sides[mode]);
        free(run->ns_per_record[mode]);
        free(run->cpu_ns_per_record[mode]);
        free(run->cpu_ns_per_poll[mode]);
    }
    free(run->record);
}

static int side_open(struct side *side, enum mode mode, const char *work, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *local_dir = NULL;
    cairn_job_options job = CAIRN_JOB_OPTIONS_INIT;
    cairn_gate_options gate = CAIRN_GATE_OPTIONS_INIT;
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/%d", work, (int)mode));
    job.store_uri = "memory:";
    job.local_dir = local_dir;
    job.state_backend = "heap";
    job.checkpoint_mode = mode == MODE_AT_LEAST_ONCE ? CAIRN_AT_LEAST_ONCE : CAIRN_EXACTLY_ONCE;
    job.unaligned = mode == MODE_UNALIGNED;
    gate.channel_count = 2;
    BENCH_TRY(cairn_job_open("align", &job, &side->job, reterr));
    BENCH_TRY(cairn_task_open(side->job, "source", NULL, &side->source, reterr));
    BENCH_TRY(cairn_task_open(side->job, "sum", NULL, &side->sum, reterr));
    BENCH_TRY(cairn_gate_open(side->sum, &gate, &side->gate, reterr));
    return cairn_job_start(side->job, reterr);
}

/* The task's events until this one, which is of a checkpoint that must not fail. */
static int wait_for(cairn_task *task, cairn_event_type type, cairn_event *ret_event,
                    cairn_error **reterr)
{
    do {
        BENCH_TRY(bench_check_interrupt(reterr));
        BENCH_TRY(cairn_task_wait(task, 100, ret_event, reterr));
        if (ret_event->type == CAIRN_EVENT_ABORTED)
            return bench_fail(reterr, CAIRN_EABORTED, "a checkpoint was aborted");
    } while (ret_event->type != type);
    return 0;
}

/* `count` records from `first` on: out of both channels in turn, or out of one. *ret_barriers and
 * *ret_completed count what poll gave. */
static int feed(const struct align_run *run, const struct side *side, uint32_t count,
                uint32_t channel_mask, uint32_t *ret_barriers, uint32_t *ret_completed,
                cairn_error **reterr)
{
    uint32_t size = run->options->value_size_bytes;
    for (uint32_t i = 0; i < count; i++) {
        cairn_event event;
        BENCH_TRY(cairn_gate_record(side->gate, (i & channel_mask) | (~channel_mask & 1),
                                    run->record, size, reterr));
        BENCH_TRY(cairn_task_poll(side->sum, &event, reterr));
        *ret_barriers += event.type == CAIRN_EVENT_BARRIER;
        *ret_completed += event.type == CAIRN_EVENT_COMPLETED;
    }
    return 0;
}

static int give_barrier(const struct side *side, uint32_t channel, const cairn_barrier *barrier,
                        uint32_t *ret_barriers, cairn_error **reterr)
{
    cairn_event event;
    BENCH_TRY(cairn_gate_barrier(side->gate, channel, barrier, reterr));
    while (cairn_gate_is_blocked(side->gate, 1) == 1) { /* the task's own is due */
        BENCH_TRY(cairn_task_poll(side->sum, &event, reterr));
        *ret_barriers += event.type == CAIRN_EVENT_BARRIER;
    }
    return 0;
}

/* One checkpoint among INTERVAL records. */
static int run_interval(const struct align_run *run, const struct side *side, uint64_t *ns,
                        uint64_t *cpu_ns, cairn_error **reterr)
{
    cairn_event event;
    uint32_t barriers = 0, completed = 0;
    BENCH_TRY(cairn_job_trigger(side->job, NULL, reterr));
    BENCH_TRY(wait_for(side->source, CAIRN_EVENT_BARRIER, &event, reterr));
    const cairn_barrier barrier = event.barrier;
    uint64_t start_ns = bench_now_ns(), start_cpu_ns = bench_thread_cpu_ns();
    BENCH_TRY(feed(run, side, INTERVAL / 2, 1, &barriers, &completed, reterr));
    BENCH_TRY(give_barrier(side, 0, &barrier, &barriers, reterr));
    BENCH_TRY(feed(run, side, LAG, 0, &barriers, &completed, reterr));
    BENCH_TRY(give_barrier(side, 1, &barrier, &barriers, reterr));
    BENCH_TRY(feed(run, side, INTERVAL - INTERVAL / 2 - LAG, 1, &barriers, &completed, reterr));
    *ns += bench_now_ns() - start_ns;
    *cpu_ns += bench_thread_cpu_ns() - start_cpu_ns;
    if (barriers != 1)
        return bench_fail(reterr, CAIRN_EINTERNAL, "%u barriers were taken, not 1", barriers);
    if (completed == 0)
        BENCH_TRY(wait_for(side->sum, CAIRN_EVENT_COMPLETED, &event, reterr));
    return wait_for(side->source, CAIRN_EVENT_COMPLETED, &event, reterr);
}

static int measure_poll(const struct side *side, double *ret_ns, cairn_error **reterr)
{
    uint64_t start_ns = bench_thread_cpu_ns();
    for (uint32_t i = 0; i < IDLE_POLLS; i++) {
        cairn_event event;
        BENCH_TRY(cairn_task_poll(side->sum, &event, reterr));
        if (event.type != CAIRN_EVENT_NONE)
            return bench_fail(reterr, CAIRN_EINTERNAL, "an event came when nothing was due");
    }
    *ret_ns = (double)(bench_thread_cpu_ns() - start_ns) / IDLE_POLLS;
    return 0;
}

static int run_round(struct align_run *run, uint32_t round, cairn_error **reterr)
{
    uint64_t intervals = (run->options->records + INTERVAL - 1) / INTERVAL;
    for (uint32_t k = 0; k < MODE_COUNT; k++) {
        uint32_t mode = (round + k) % MODE_COUNT;
        const struct side *side = &run->sides[mode];
        uint64_t ns = 0, cpu_ns = 0;
        double poll_ns = 0;
        bench_progress("round %u of %u: %s", round, run->options->rounds, mode_names[mode]);
        for (uint64_t i = 0; i < intervals; i++)
            BENCH_TRY(run_interval(run, side, &ns, &cpu_ns, reterr));
        BENCH_TRY(measure_poll(side, &poll_ns, reterr));
        if (round == 0)
            continue; /* warms up */
        double records = (double)intervals * INTERVAL;
        run->ns_per_record[mode][round - 1] = (double)ns / records;
        run->cpu_ns_per_record[mode][round - 1] = (double)cpu_ns / records;
        run->cpu_ns_per_poll[mode][round - 1] = poll_ns;
    }
    return 0;
}

/* Before the samples are sorted by the summary. */
static int write_samples(const struct align_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "round|mode|ns_per_record|cpu_ns_per_record|cpu_ns_per_poll");
    for (uint32_t round = 1; round <= run->options->rounds; round++)
        for (int mode = 0; mode < MODE_COUNT; mode++) {
            bench_table_add(&table, "%u", round);
            bench_table_add(&table, "%s", mode_names[mode]);
            bench_table_add(&table, "%.2f", run->ns_per_record[mode][round - 1]);
            bench_table_add(&table, "%.2f", run->cpu_ns_per_record[mode][round - 1]);
            bench_table_add(&table, "%.2f", run->cpu_ns_per_poll[mode][round - 1]);
        }
    return bench_table_write_csv(&table, run->options->csv, reterr);
}

static int print_summary(const struct align_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table,
                     "mode|million records/s|slowest|fastest|ns per record|cpu ns|poll cpu ns");
    uint32_t rounds = run->options->rounds;
    for (int mode = 0; mode < MODE_COUNT; mode++) {
        double *ns = run->ns_per_record[mode];
        double median = bench_quantile(ns, rounds, 0.5);
        bench_table_add(&table, "%s", mode_names[mode]);
        bench_table_add(&table, "%.1f", 1e3 / median);
        bench_table_add(&table, "%.1f", 1e3 / bench_quantile(ns, rounds, 1));
        bench_table_add(&table, "%.1f", 1e3 / bench_quantile(ns, rounds, 0));
        bench_table_add(&table, "%.1f", median);
        bench_table_add(&table, "%.1f", bench_quantile(run->cpu_ns_per_record[mode], rounds, 0.5));
        bench_table_add(&table, "%.2f", bench_quantile(run->cpu_ns_per_poll[mode], rounds, 0.5));
    }
    BENCH_TRY(
        bench_table_print(&table, "Records through a gate of two channels, and poll", reterr));
    printf("\na checkpoint every %u records; medians of %u rounds\n"
           "targets: at least 5 million records/s; poll with nothing due under 5 ns\n",
           INTERVAL, rounds);
    return 0;
}

int bench_run_align(const struct bench_options *options, const char *work, cairn_error **reterr)
{
    BENCH_CLEANUP(run_done) struct align_run run = {.options = options};
    run.record = malloc(options->value_size_bytes);
    if (!run.record)
        return bench_fail_nomem(reterr);
    memset(run.record, 'r', options->value_size_bytes);
    for (int mode = 0; mode < MODE_COUNT; mode++) {
        run.ns_per_record[mode] = calloc(options->rounds, sizeof(double));
        run.cpu_ns_per_record[mode] = calloc(options->rounds, sizeof(double));
        run.cpu_ns_per_poll[mode] = calloc(options->rounds, sizeof(double));
        if (!run.ns_per_record[mode] || !run.cpu_ns_per_record[mode] || !run.cpu_ns_per_poll[mode])
            return bench_fail_nomem(reterr);
        BENCH_TRY(side_open(&run.sides[mode], (enum mode)mode, work, reterr));
    }
    for (uint32_t round = 0; round <= options->rounds; round++)
        BENCH_TRY(run_round(&run, round, reterr));
    bench_progress_done();
    if (options->csv)
        BENCH_TRY(write_samples(&run, reterr));
    return print_summary(&run, reterr);
}
