/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench state`: what the way through Cairn costs a put, a get and a scan.
 *
 * Two databases with identical files, one behind a Cairn task, one bare, opened with the same
 * options. Every round measures each operation on both, one right after the other and first on the
 * one that was second before, with idle background threads in between. Keys and values are made
 * beforehand: the bare side gets ready-made composite keys, Cairn computes key group and key in
 * set_key. Round 0 warms the caches and is not counted. Beside the time stands the CPU time of the
 * calling thread, which other load on the machine disturbs less.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/plot.h"
#include "tools/bench/raw.h"
#include "tools/bench/table.h"

#define OPERATIONS_MAX 500000u
#define VALUES 1024u

enum operation { OP_PUT, OP_GET, OP_SCAN, OP_COUNT };
enum side { SIDE_CAIRN, SIDE_RAW, SIDE_COUNT };
static const char *const operation_names[OP_COUNT] = {"put", "get", "scan"};
static const char *const side_names[SIDE_COUNT] = {"cairn", "rocksdb"};

struct state_run {
    const struct bench_options *options;
    struct bench_workload workload;
    struct bench_cairn *cairn;
    struct bench_raw *raw;
    struct bench_record *records; /* `operations` random keys; values from a small pool */
    uint8_t *values;
    uint64_t operations;
    double *ns_per_op[OP_COUNT][SIDE_COUNT];     /* by round */
    double *cpu_ns_per_op[OP_COUNT][SIDE_COUNT]; /* of this thread */
    uint64_t backpressure_us;
};

static void run_done(struct state_run *run)
{
    bench_cairn_close(run->cairn);
    bench_raw_close(run->raw);
    free(run->records);
    free(run->values);
    for (int op = 0; op < OP_COUNT; op++)
        for (int side = 0; side < SIDE_COUNT; side++) {
            free(run->ns_per_op[op][side]);
            free(run->cpu_ns_per_op[op][side]);
        }
}

static int put_all(struct state_run *run, struct bench_target *target, cairn_error **reterr)
{
    for (uint64_t i = 0; i < run->operations; i++)
        BENCH_TRY(target->put(target, &run->records[i], reterr));
    return 0;
}

static int get_cairn(struct state_run *run, cairn_error **reterr)
{
    for (uint64_t i = 0; i < run->operations; i++) {
        const void *data;
        size_t size;
        int r = cairn_task_set_key(run->cairn->tasks[0], run->records[i].key, BENCH_KEY_SIZE);
        if (r == 0)
            r = cairn_value_get(run->cairn->states[0], &data, &size, reterr);
        BENCH_TRY(r);
        if (r == 0 || size != run->workload.value_size)
            return bench_fail(reterr, CAIRN_ECORRUPT, "a key is missing in Cairn");
    }
    return 0;
}

static int get_raw(struct state_run *run, cairn_error **reterr)
{
    for (uint64_t i = 0; i < run->operations; i++) {
        char *message = NULL;
        rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
            run->raw->db, run->raw->read_options, run->raw->state,
            (const char *)run->records[i].raw_key, BENCH_RAW_KEY_SIZE, &message);
        BENCH_TRY(bench_raw_check(message, "get", reterr));
        size_t size = 0;
        (void)rocksdb_pinnableslice_value(slice, &size);
        rocksdb_pinnableslice_destroy(slice);
        if (size != run->workload.value_size)
            return bench_fail(reterr, CAIRN_ECORRUPT, "a key is missing in RocksDB");
    }
    return 0;
}

static int check_count(const struct state_run *run, uint64_t count, cairn_error **reterr)
{
    if (count == run->workload.keys)
        return 0;
    return bench_fail(reterr, CAIRN_ECORRUPT, "a scan saw %llu of %llu keys",
                      (unsigned long long)count, (unsigned long long)run->workload.keys);
}

static int scan_cairn(struct state_run *run, cairn_error **reterr)
{
    cairn_iterator *it = NULL;
    BENCH_TRY(cairn_task_iterate(run->cairn->tasks[0], BENCH_STATE_NAME, &it, reterr));
    cairn_entry entry;
    uint64_t count = 0;
    int r;
    while ((r = cairn_iterator_next(it, &entry, reterr)) > 0)
        count += entry.value_size > 0;
    cairn_iterator_close(it);
    BENCH_TRY(r);
    return check_count(run, count, reterr);
}

static int scan_raw(struct state_run *run, cairn_error **reterr)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(options, 1);
    rocksdb_readoptions_set_fill_cache(options, 0); /* both as Cairn's own scans have it */
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(run->raw->db, options, run->raw->state);
    uint64_t count = 0;
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t key_size, value_size;
        (void)rocksdb_iter_key(it, &key_size);
        (void)rocksdb_iter_value(it, &value_size);
        count += key_size > 0 && value_size > 0;
    }
    char *message = NULL;
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    BENCH_TRY(bench_raw_check(message, "scan", reterr));
    return check_count(run, count, reterr);
}

static int run_one(struct state_run *run, enum operation op, enum side side, cairn_error **reterr)
{
    switch (op) {
    case OP_PUT:
        return put_all(run, side == SIDE_CAIRN ? &run->cairn->target : &run->raw->target, reterr);
    case OP_GET:
        return side == SIDE_CAIRN ? get_cairn(run, reterr) : get_raw(run, reterr);
    default:
        return side == SIDE_CAIRN ? scan_cairn(run, reterr) : scan_raw(run, reterr);
    }
}

static int run_round(struct state_run *run, uint32_t round, cairn_error **reterr)
{
    for (int op = 0; op < OP_COUNT; op++) {
        for (uint32_t k = 0; k < SIDE_COUNT; k++) {
            enum side side = (enum side)((round + k) % SIDE_COUNT);
            bench_progress("round %u of %u: %s, %s", round, run->options->rounds,
                           operation_names[op], side_names[side]);
            bool quiet = false;
            BENCH_TRY(bench_settle(&quiet, reterr));
            uint64_t start_ns = bench_now_ns(), start_cpu_ns = bench_thread_cpu_ns();
            BENCH_TRY(run_one(run, (enum operation)op, side, reterr));
            uint64_t n = op == OP_SCAN ? run->workload.keys : run->operations;
            double ns = (double)(bench_now_ns() - start_ns) / (double)n;
            double cpu_ns = (double)(bench_thread_cpu_ns() - start_cpu_ns) / (double)n;
            if (round == 0)
                continue;
            run->ns_per_op[op][side][round - 1] = ns;
            run->cpu_ns_per_op[op][side][round - 1] = cpu_ns;
        }
    }
    return 0;
}

static int make_records(struct state_run *run, cairn_error **reterr)
{
    uint32_t value_size = run->workload.value_size;
    run->operations = run->options->keys < OPERATIONS_MAX ? run->options->keys : OPERATIONS_MAX;
    run->records = calloc(run->operations, sizeof(*run->records));
    run->values = malloc((size_t)VALUES * value_size);
    if (!run->records || !run->values)
        return bench_fail_nomem(reterr);
    for (uint64_t i = 0; i < run->operations; i++) {
        struct bench_record *record = &run->records[i];
        record->value = run->values + i % VALUES * value_size;
        if (i < VALUES)
            bench_record_fill(&run->workload, i, 1, record);
        record->value_size = value_size;
        bench_record_fill_key(&run->workload, bench_update_index(&run->workload, 1, i), record);
    }
    for (int op = 0; op < OP_COUNT; op++)
        for (int side = 0; side < SIDE_COUNT; side++) {
            run->ns_per_op[op][side] = calloc(run->options->rounds, sizeof(double));
            run->cpu_ns_per_op[op][side] = calloc(run->options->rounds, sizeof(double));
            if (!run->ns_per_op[op][side] || !run->cpu_ns_per_op[op][side])
                return bench_fail_nomem(reterr);
        }
    return 0;
}

static int open_sides(struct state_run *run, const char *work, const char *stores,
                      cairn_error **reterr)
{
    uint64_t memtable_bytes = run->options->memtable_mb[0] * BENCH_MIB;
    BENCH_AUTO_FREE char *store_dir = NULL, *local_dir = NULL, *db_dir = NULL;
    BENCH_TRY(bench_text(&store_dir, reterr, "%s/store", stores));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local", work));
    BENCH_TRY(bench_text(&db_dir, reterr, "%s/db", work));
    struct bench_cairn_config config = bench_cairn_config(run->options, store_dir, local_dir);
    config.transfer = "copy"; /* files of its own, as the bare side has */
    BENCH_TRY(bench_base_create(&run->workload, &config, db_dir, reterr));
    BENCH_TRY(bench_cairn_open(&config, &run->cairn, reterr));
    return bench_raw_open(db_dir, bench_memory_bytes(memtable_bytes) / 2, &run->raw, reterr);
}

/* Quantile over the rounds; sorts a copy, so that rounds stay side by side. */
static double quantile(const double *by_round, uint32_t rounds, double q)
{
    BENCH_AUTO_FREE double *values = calloc(rounds, sizeof(*values));
    if (!values)
        return 0;
    for (uint32_t i = 0; i < rounds; i++)
        values[i] = by_round[i];
    return bench_quantile(values, rounds, q);
}

static int print_summary(const struct state_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "operation|cairn ns|rocksdb ns|cairn kops/s|rocksdb kops/s|time ratio|"
                             "min|max|cairn cpu ns|rocksdb cpu ns|cpu ratio");
    uint32_t rounds = run->options->rounds;
    BENCH_AUTO_FREE double *ratios = calloc(rounds, sizeof(*ratios));
    if (!ratios)
        return bench_fail_nomem(reterr);
    for (int op = 0; op < OP_COUNT; op++) {
        const double *const *ns = (const double *const *)run->ns_per_op[op];
        const double *const *cpu = (const double *const *)run->cpu_ns_per_op[op];
        for (uint32_t i = 0; i < rounds; i++)
            ratios[i] = ns[SIDE_CAIRN][i] / ns[SIDE_RAW][i];
        double cairn_ns = quantile(ns[SIDE_CAIRN], rounds, 0.5);
        double raw_ns = quantile(ns[SIDE_RAW], rounds, 0.5);
        double cairn_cpu_ns = quantile(cpu[SIDE_CAIRN], rounds, 0.5);
        double raw_cpu_ns = quantile(cpu[SIDE_RAW], rounds, 0.5);
        bench_table_add(&table, "%s", operation_names[op]);
        bench_table_add(&table, "%.0f", cairn_ns);
        bench_table_add(&table, "%.0f", raw_ns);
        bench_table_add(&table, "%.0f", 1e6 / cairn_ns);
        bench_table_add(&table, "%.0f", 1e6 / raw_ns);
        bench_table_add(&table, "%.3f", cairn_ns / raw_ns);
        bench_table_add(&table, "%.3f", bench_quantile(ratios, rounds, 0));
        bench_table_add(&table, "%.3f", bench_quantile(ratios, rounds, 1));
        bench_table_add(&table, "%.0f", cairn_cpu_ns);
        bench_table_add(&table, "%.0f", raw_cpu_ns);
        bench_table_add(&table, "%.3f", cairn_cpu_ns / raw_cpu_ns);
    }
    BENCH_TRY(bench_table_print(&table, "Through Cairn and on bare RocksDB (medians)", reterr));
    printf("\nheld back for compactions: %.1f ms in all\ntarget: time ratio at most 1.10\n",
           (double)run->backpressure_us / 1e3);
    return 0;
}

static int write_samples(const struct state_run *run, const struct bench_output *output,
                         cairn_error **reterr)
{
    BENCH_CLEANUP(bench_table_done) struct bench_table table;
    bench_table_init(&table, "round|operation|side|ns_per_op|cpu_ns_per_op");
    for (uint32_t round = 1; round <= run->options->rounds; round++)
        for (int op = 0; op < OP_COUNT; op++)
            for (int side = 0; side < SIDE_COUNT; side++) {
                bench_table_add(&table, "%u", round);
                bench_table_add(&table, "%s", operation_names[op]);
                bench_table_add(&table, "%s", side_names[side]);
                bench_table_add(&table, "%.1f", run->ns_per_op[op][side][round - 1]);
                bench_table_add(&table, "%.1f", run->cpu_ns_per_op[op][side][round - 1]);
            }
    return bench_table_write_csv(&table, output->csv, reterr);
}

/* Bars of medians with whiskers from the fastest to the slowest round; gnuplot gets them worked
 * out, in the script. */
static int draw_plots(const struct state_run *run, const struct bench_output *output,
                      cairn_error **reterr)
{
    FILE *script = NULL;
    BENCH_TRY(bench_plot_begin(output, &script, reterr));
    (void)fputs("\n$medians << end\n", script);
    for (int op = 0; op < OP_COUNT; op++) {
        (void)fputs(operation_names[op], script);
        for (int side = 0; side < SIDE_COUNT; side++) {
            static const double quantiles[] = {0.5, 0, 1};
            for (size_t q = 0; q < BENCH_COUNT(quantiles); q++)
                (void)fprintf(
                    script, ",%.1f",
                    quantile(run->ns_per_op[op][side], run->options->rounds, quantiles[q]));
        }
        (void)fputc('\n', script);
    }
    (void)fputs("end\nset output plots.'/state.svg'\n"
                "set title 'Time per operation: median, fastest and slowest round'\n"
                "set ylabel 'ns'\nset yrange [0:*]\nset style data histograms\n"
                "set style histogram errorbars gap 1 linewidth 1\n"
                "set style fill solid 0.85 border rgb '#555555'\nset boxwidth 0.9\n"
                "plot $medians using 2:3:4:xtic(1) linestyle 1 title 'through Cairn', \\\n"
                "  $medians using 5:6:7 linestyle 6 title 'bare RocksDB'\n",
                script);
    return bench_plot_finish(output, script, reterr);
}

static int report(const struct state_run *run, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_output_done) struct bench_output output;
    BENCH_TRY(bench_output_init(&output, run->options, "state", reterr));
    if (output.csv)
        BENCH_TRY(write_samples(run, &output, reterr));
    BENCH_TRY(print_summary(run, reterr));
    return output.plots ? draw_plots(run, &output, reterr) : 0;
}

int bench_run_state(const struct bench_options *options, const char *work, const char *stores,
                    cairn_error **reterr)
{
    BENCH_CLEANUP(run_done) struct state_run run = {.options = options};
    bench_workload_init(&run.workload, options);
    BENCH_TRY(open_sides(&run, work, stores, reterr));
    BENCH_TRY(make_records(&run, reterr));
    for (uint32_t round = 0; round <= options->rounds; round++)
        BENCH_TRY(run_round(&run, round, reterr));
    cairn_task_stats stats = CAIRN_TASK_STATS_INIT;
    BENCH_TRY(cairn_task_get_stats(run.cairn->tasks[0], &stats, reterr));
    run.backpressure_us = stats.backpressure_us;
    bench_progress_done();
    return report(&run, reterr);
}
