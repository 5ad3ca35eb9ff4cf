/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cairn-bench checkpoint`: rounds of updates, each followed by one checkpoint by every method.
 *
 * What makes the figures comparable:
 *   - All databases begin with identical files and get the same stream (workload.h).
 *   - One method works at a time. Before each timed window every database of the process is idle,
 *     the file system is synced, and a file as large as the state was written and deleted: CPU time
 *     and bytes are the method's, and page cache costs all the same (files.h).
 *   - The order of methods is drawn anew each round, so that nobody always follows the same one.
 *   - While a checkpoint runs, a writer puts at a steady rate. What it puts is the beginning of the
 *     next round's updates, so the content at each checkpoint stays the same for all, however long
 *     it takes; what it did not get to is put before the next window.
 * Round 0 takes a full checkpoint with every method and is kept out of the summary.
 *
 * An aborted checkpoint is a sample with its failure; any other failure ends the run.
 */
#include "tools/bench/checkpoint.h"
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/raw.h"

#include <string.h>

#define WARM_UP_US 100000

static const struct bench_method_ops *const all_methods[] = {
    &bench_method_cairn_link,    &bench_method_cairn_copy, &bench_method_cairn_full,
    &bench_method_backup_engine, &bench_method_plain_copy, &bench_method_new_files,
};
_Static_assert(BENCH_COUNT(all_methods) <= BENCH_METHODS_MAX, "room for every method");

/* A method with its places; `ahead` is how many of the next round's updates its writer put. */
struct entry {
    struct bench_method_config config;
    struct bench_method *method;
    char *directory, *store_dir;
    uint64_t ahead;
};

struct stage {
    struct bench_checkpoint_run run;
    const char *work;
    struct entry entries[BENCH_METHODS_MAX];
    char *base_store_dir, *base_db_dir;
    uint64_t state_bytes; /* of the database on disk, at the start */
};

static void stage_done(struct stage *stage)
{
    for (size_t i = 0; i < BENCH_METHODS_MAX; i++) {
        struct entry *entry = &stage->entries[i];
        if (entry->method)
            entry->method->ops->free(entry->method);
        free(entry->directory);
        free(entry->store_dir);
    }
    free(stage->base_store_dir);
    free(stage->base_db_dir);
    free(stage->run.samples);
}

static int create_base(struct stage *stage, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *local_dir = NULL;
    BENCH_TRY(bench_text(&stage->base_store_dir, reterr, "%s/base-store", stage->work));
    BENCH_TRY(bench_text(&stage->base_db_dir, reterr, "%s/base-db", stage->work));
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/base-local", stage->work));
    struct bench_cairn_config config =
        bench_cairn_config(stage->run.options, stage->base_store_dir, local_dir);
    BENCH_TRY(bench_base_create(&stage->run.workload, &config, stage->base_db_dir, reterr));
    BENCH_CLEANUP(bench_listing_done) struct bench_listing files = {0};
    BENCH_TRY(bench_list_tree(stage->base_db_dir, &files, reterr));
    stage->state_bytes = bench_listing_bytes(&files);
    return 0;
}

static int open_entry(struct stage *stage, const char *stores, const struct bench_method_ops *ops,
                      struct entry *entry, cairn_error **reterr)
{
    BENCH_TRY(bench_text(&entry->directory, reterr, "%s/%s", stage->work, ops->name));
    BENCH_TRY(bench_text(&entry->store_dir, reterr, "%s/%s-store", stores, ops->name));
    BENCH_TRY(bench_make_dir(entry->directory, reterr));
    BENCH_TRY(bench_make_dir(entry->store_dir, reterr));
    entry->config = (struct bench_method_config){
        .name = ops->name,
        .directory = entry->directory,
        .store_dir = entry->store_dir,
        .base_store_dir = stage->base_store_dir,
        .base_db_dir = stage->base_db_dir,
        .threads = stage->run.options->threads,
        .memtable_bytes = stage->run.options->memtable_mb[0] * BENCH_MIB,
    };
    bench_progress("opening %s", ops->name);
    return ops->open(&entry->config, &entry->method, reterr);
}

static int open_methods(struct stage *stage, const char *stores, cairn_error **reterr)
{
    struct bench_checkpoint_run *run = &stage->run;
    for (size_t i = 0; i < BENCH_COUNT(all_methods); i++) {
        BENCH_AUTO_ERROR cairn_error *error = NULL;
        struct entry *entry = &stage->entries[run->method_count];
        int r = open_entry(stage, stores, all_methods[i], entry, &error);
        if (r == CAIRN_EUNSUPPORTED) {
            bench_note("%s is left out: %s", all_methods[i]->name, cairn_error_message(error));
            free(entry->directory);
            free(entry->store_dir);
            *entry = (struct entry){0};
            continue;
        }
        if (r < 0)
            return bench_fail(reterr, r, "%s: %s", all_methods[i]->name,
                              cairn_error_message(error));
        run->methods[run->method_count++] = all_methods[i];
    }
    BENCH_TRY(bench_remove_tree(stage->base_store_dir, reterr));
    return bench_remove_tree(stage->base_db_dir, reterr);
}

/* Put what the writer beside the last checkpoint did not get to. */
static int feed(const struct bench_workload *workload, struct entry *entry, uint32_t round,
                cairn_error **reterr)
{
    BENCH_AUTO_FREE uint8_t *value = malloc(workload->value_size);
    if (!value)
        return bench_fail_nomem(reterr);
    struct bench_record record = {.value = value};
    for (uint64_t i = entry->ahead; i < workload->updates; i++) {
        bench_record_fill(workload, bench_update_index(workload, round, i), round, &record);
        BENCH_TRY(entry->method->target->put(entry->method->target, &record, reterr));
    }
    return 0;
}

/* The timed window, with the writer running before, in and after it. */
static int take_checkpoint(struct bench_writer *writer, struct bench_method *method,
                           struct bench_sample *sample, cairn_error **reterr)
{
    BENCH_AUTO_ERROR cairn_error *error = NULL;
    struct bench_window before;
    bench_sleep_us(WARM_UP_US);
    BENCH_TRY(bench_writer_mark(writer, &before, reterr));
    uint64_t cpu_ns = bench_process_cpu_ns(), start_ns = bench_now_ns();
    sample->result = method->ops->checkpoint(method, sample->round == 0, &sample->cost, &error);
    sample->wall_ns = bench_now_ns() - start_ns;
    cpu_ns = bench_process_cpu_ns() - cpu_ns;
    BENCH_TRY(bench_writer_mark(writer, &sample->window, reterr));
    sample->cpu_ns = cpu_ns > sample->window.cpu_ns ? cpu_ns - sample->window.cpu_ns : 0;
    if (sample->result == 0)
        return 0;
    if (sample->result != CAIRN_EABORTED)
        return bench_fail(reterr, sample->result, "%s", cairn_error_message(error));
    bench_note("round %u: %s: %s", sample->round, method->ops->name, cairn_error_message(error));
    return 0;
}

static int measure(struct stage *stage, struct entry *entry, struct bench_sample *sample,
                   cairn_error **reterr)
{
    const struct bench_workload *workload = &stage->run.workload;
    struct bench_method *method = entry->method;
    if (sample->round > 0)
        BENCH_TRY(feed(workload, entry, sample->round, reterr));
    BENCH_TRY(bench_settle(&sample->quiet, reterr));
    BENCH_TRY(bench_sync_file_system(stage->work, reterr));
    BENCH_TRY(bench_sync_file_system(entry->store_dir, reterr));

    BENCH_CLEANUP(bench_listing_done) struct bench_listing before = {0};
    BENCH_CLEANUP(bench_listing_done) struct bench_listing after = {0};
    BENCH_TRY(bench_list_tree(entry->store_dir, &before, reterr));
    BENCH_TRY(bench_recycle_page_cache(stage->work, stage->state_bytes, reterr));
    struct bench_writer *writer = NULL;
    BENCH_TRY(bench_writer_start(method->target, workload, sample->round + 1,
                                 stage->run.options->rate, &writer, reterr));
    int r = take_checkpoint(writer, method, sample, reterr);
    uint64_t puts = 0;
    int stopped = bench_writer_stop(writer, &puts, r < 0 ? NULL : reterr);
    BENCH_TRY(r);
    BENCH_TRY(stopped);
    entry->ahead = puts < workload->updates ? puts : workload->updates;
    BENCH_TRY(bench_list_tree(entry->store_dir, &after, reterr));
    sample->store_bytes = bench_listing_added(&before, &after);
    return sample->result < 0 ? 0 : method->ops->after(method, &sample->cost, reterr);
}

static int run_rounds(struct stage *stage, cairn_error **reterr)
{
    struct bench_checkpoint_run *run = &stage->run;
    uint32_t rounds = run->options->rounds;
    run->samples = calloc((size_t)(rounds + 1) * run->method_count, sizeof(*run->samples));
    if (!run->samples)
        return bench_fail_nomem(reterr);
    for (uint32_t round = 0; round <= rounds; round++) {
        uint64_t changed = run->workload.keys;
        if (round > 0)
            BENCH_TRY(bench_distinct_updates(&run->workload, round, &changed, reterr));
        size_t order[BENCH_METHODS_MAX];
        bench_shuffle(&run->workload, round, order, run->method_count);
        for (size_t i = 0; i < run->method_count; i++) {
            BENCH_TRY(bench_check_interrupt(reterr));
            size_t m = order[i];
            bench_progress("round %u of %u: %s", round, rounds, run->methods[m]->name);
            struct bench_sample *sample = &run->samples[run->sample_count];
            *sample = (struct bench_sample){
                .round = round,
                .method = m,
                .changed_bytes = changed * (BENCH_KEY_SIZE + run->workload.value_size),
            };
            BENCH_TRY(measure(stage, &stage->entries[m], sample, reterr));
            run->sample_count++;
        }
    }
    return 0;
}

/* Restore, open, and on the first repeat check every entry. */
static int restore_once(struct stage *stage, struct entry *entry,
                        struct bench_restore_sample *sample, cairn_error **reterr)
{
    const struct bench_options *options = stage->run.options;
    BENCH_AUTO_FREE char *dir = NULL, *db_dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/restored", stage->work));
    bool quiet = false;
    BENCH_TRY(bench_settle(&quiet, reterr));
    BENCH_TRY(bench_sync_file_system(stage->work, reterr));
    BENCH_TRY(bench_recycle_page_cache(stage->work, stage->state_bytes, reterr));

    uint64_t cpu_ns = bench_process_cpu_ns(), start_ns = bench_now_ns();
    BENCH_TRY(entry->method->ops->restore(entry->method, dir, &db_dir, reterr));
    sample->wall_ns = bench_now_ns() - start_ns;
    sample->cpu_ns = bench_process_cpu_ns() - cpu_ns;

    BENCH_CLEANUP(bench_listing_done) struct bench_listing files = {0};
    BENCH_TRY(bench_list_tree(db_dir, &files, reterr));
    sample->bytes = bench_listing_bytes(&files);
    struct bench_raw *raw = NULL;
    start_ns = bench_now_ns();
    BENCH_TRY(bench_raw_open(db_dir, 8 * BENCH_MIB, &raw, reterr));
    sample->open_ns = bench_now_ns() - start_ns;
    int r = 0;
    if (sample->repeat == 0)
        r = bench_raw_verify(raw, &stage->run.workload, options->rounds + 1, reterr);
    bench_raw_close(raw);
    BENCH_TRY(r);
    return bench_remove_tree(dir, reterr);
}

static int run_restores(struct stage *stage, cairn_error **reterr)
{
    struct bench_checkpoint_run *run = &stage->run;
    for (size_t m = 0; m < run->method_count; m++)
        run->methods[m]->close_database(stage->entries[m].method);
    for (uint32_t repeat = 0; repeat < BENCH_RESTORES; repeat++) {
        for (size_t m = 0; m < run->method_count; m++) {
            if (!run->methods[m]->can_restore)
                continue;
            bench_progress("restore %u of %d: %s", repeat + 1, BENCH_RESTORES,
                           run->methods[m]->name);
            struct bench_restore_sample *sample = &run->restores[run->restore_count++];
            *sample = (struct bench_restore_sample){.method = m, .repeat = repeat};
            BENCH_AUTO_ERROR cairn_error *error = NULL;
            int r = restore_once(stage, &stage->entries[m], sample, &error);
            if (r < 0)
                return bench_fail(reterr, r, "restoring by %s: %s", run->methods[m]->name,
                                  cairn_error_message(error));
        }
    }
    bench_progress_done();
    return 0;
}

int bench_run_checkpoint(const struct bench_options *options, const char *work, const char *stores,
                         cairn_error **reterr)
{
    BENCH_CLEANUP(stage_done) struct stage stage = {.run.options = options, .work = work};
    bench_workload_init(&stage.run.workload, options);
    BENCH_TRY(create_base(&stage, reterr));
    BENCH_TRY(open_methods(&stage, stores, reterr));
    BENCH_TRY(run_rounds(&stage, reterr));
    BENCH_TRY(run_restores(&stage, reterr));
    return bench_checkpoint_report(&stage.run, reterr);
}
