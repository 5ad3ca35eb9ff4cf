/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cairn as a user sees it: one job, one task, one value state, through the public headers.
 *
 * The writer's put is a whole step of a service: set the key, put the value, poll. So the barrier,
 * which a poll takes, is inside what the writer times.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"

#include "cairn/store.h"

uint64_t bench_memory_bytes(uint64_t memtable_bytes)
{
    uint64_t bytes = 8 * memtable_bytes;
    return bytes < 256 * BENCH_MIB ? 256 * BENCH_MIB : bytes;
}

static int cairn_put(struct bench_target *target, const struct bench_record *record,
                     cairn_error **reterr)
{
    struct bench_cairn *cairn = (struct bench_cairn *)target;
    int r = cairn_task_set_key(cairn->task, record->key, BENCH_KEY_SIZE);
    if (r < 0)
        return bench_fail(reterr, r, "setting a key: %s", cairn_error_text(r));
    BENCH_TRY(cairn_value_put(cairn->state, record->value, record->value_size, reterr));
    cairn_event event;
    return cairn_task_poll(cairn->task, &event, reterr);
}

static int open_parts(struct bench_cairn *cairn, const struct bench_cairn_config *config,
                      cairn_error **reterr)
{
    BENCH_AUTO_FREE char *uri = NULL;
    BENCH_TRY(
        bench_text(&uri, reterr, "file://%s?transfer=%s", config->store_dir, config->transfer));
    BENCH_TRY(cairn_store_open(uri, &cairn->store, reterr));

    cairn_job_options job = CAIRN_JOB_OPTIONS_INIT;
    job.store = cairn->store;
    job.local_dir = config->local_dir;
    job.transfer_threads = config->threads;
    job.num_retained = 2; /* as every peer keeps two */
    job.checkpoint_timeout_ms = 120000;
    job.state_memory_bytes = bench_memory_bytes(config->memtable_bytes);
    BENCH_TRY(cairn_job_open(BENCH_JOB, &job, &cairn->job, reterr));

    cairn_task_options task = CAIRN_TASK_OPTIONS_INIT;
    task.memtable_bytes = config->memtable_bytes;
    BENCH_TRY(cairn_task_open(cairn->job, BENCH_UID, &task, &cairn->task, reterr));
    BENCH_TRY(
        cairn_value_state(cairn->task, BENCH_STATE_NAME, CAIRN_BYTES, NULL, &cairn->state, reterr));
    return cairn_job_start(cairn->job, reterr);
}

int bench_cairn_open(const struct bench_cairn_config *config, struct bench_cairn **ret,
                     cairn_error **reterr)
{
    struct bench_cairn *cairn = calloc(1, sizeof(*cairn));
    if (!cairn)
        return bench_fail_nomem(reterr);
    cairn->target.put = cairn_put;
    int r = open_parts(cairn, config, reterr);
    if (r < 0)
        bench_cairn_close(cairn);
    else
        *ret = cairn;
    return r;
}

void bench_cairn_close(struct bench_cairn *cairn)
{
    if (!cairn)
        return;
    cairn_job_close(cairn->job);
    cairn_task_close(cairn->task);
    cairn_store_close(cairn->store);
    free(cairn);
}

int bench_cairn_load(struct bench_cairn *cairn, const struct bench_workload *workload,
                     cairn_error **reterr)
{
    BENCH_AUTO_FREE uint8_t *value = malloc(workload->value_size);
    if (!value)
        return bench_fail_nomem(reterr);
    struct bench_record record = {.value = value};
    for (uint64_t i = 0; i < workload->keys; i++) {
        if (i % 65536 == 0) {
            BENCH_TRY(bench_check_interrupt(reterr));
            bench_progress("loading: %llu of %llu keys", (unsigned long long)i,
                           (unsigned long long)workload->keys);
        }
        bench_record_fill(workload, i, 0, &record);
        BENCH_TRY(cairn->target.put(&cairn->target, &record, reterr));
    }
    bench_progress("loaded; waiting for compactions");
    bool quiet = false;
    BENCH_TRY(bench_settle(&quiet, reterr));
    if (!quiet)
        bench_note("compactions of the load did not end within two minutes");
    return 0;
}

int bench_cairn_restore(cairn_store *store, const char *dir, uint32_t threads, bool link,
                        char **ret_db_dir, cairn_error **reterr)
{
    cairn_restore_options options = CAIRN_RESTORE_OPTIONS_INIT;
    options.threads = threads;
    options.link = link;
    cairn_restore_report report = CAIRN_RESTORE_REPORT_INIT;
    BENCH_TRY(cairn_restore_to(store, BENCH_JOB, dir, &options, &report, reterr));
    return bench_text(ret_db_dir, reterr, "%s/%s-0", dir, BENCH_UID);
}

static int load_and_restore(struct bench_cairn *cairn, const struct bench_workload *workload,
                            uint32_t threads, const char *db_dir, cairn_error **reterr)
{
    BENCH_TRY(bench_cairn_load(cairn, workload, reterr));
    /* Twice: the first one's flush may start a compaction, whose result the second one holds. */
    for (int i = 0; i < 2; i++) {
        bool quiet = false;
        BENCH_TRY(cairn_task_checkpoint(cairn->task, NULL, NULL, reterr));
        BENCH_TRY(bench_settle(&quiet, reterr));
    }
    BENCH_AUTO_FREE char *restored = NULL, *inner = NULL;
    BENCH_TRY(bench_text(&restored, reterr, "%s.restored", db_dir));
    BENCH_TRY(bench_cairn_restore(cairn->store, restored, threads, false, &inner, reterr));
    if (rename(inner, db_dir) < 0)
        return bench_fail(reterr, CAIRN_EIO, "renaming '%s' to '%s'", inner, db_dir);
    return bench_remove_tree(restored, reterr);
}

int bench_base_create(const struct bench_workload *workload, uint32_t threads,
                      uint64_t memtable_bytes, const char *store_dir, const char *local_dir,
                      const char *db_dir, cairn_error **reterr)
{
    struct bench_cairn_config config = {
        .store_dir = store_dir,
        .local_dir = local_dir,
        .transfer = "auto",
        .threads = threads,
        .memtable_bytes = memtable_bytes,
    };
    struct bench_cairn *cairn = NULL;
    BENCH_TRY(bench_cairn_open(&config, &cairn, reterr));
    int r = load_and_restore(cairn, workload, threads, db_dir, reterr);
    bench_cairn_close(cairn);
    BENCH_TRY(r);
    return bench_remove_tree(local_dir, reterr);
}
