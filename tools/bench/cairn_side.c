/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cairn as a user sees it: one job, one operator, one value state, through the public headers.
 *
 * The writer's put is a whole step of a service: set the key, put the value, poll. So the barrier,
 * which a poll takes, is inside what the writer times.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/parallel.h"

#include "cairn/store.h"

uint64_t bench_memory_bytes(uint64_t memtable_bytes)
{
    uint64_t bytes = 8 * memtable_bytes;
    return bytes < 256 * BENCH_MIB ? 256 * BENCH_MIB : bytes;
}

struct bench_cairn_config bench_cairn_config(const struct bench_options *options,
                                             const char *store_dir, const char *local_dir)
{
    return (struct bench_cairn_config){
        .store_dir = store_dir,
        .local_dir = local_dir,
        .transfer = "auto",
        .threads = options->threads,
        .memtable_bytes = options->memtable_mb[0] * BENCH_MIB,
    };
}

static uint32_t task_of(const struct bench_cairn *cairn, const void *key)
{
    if (cairn->parallelism == 1)
        return 0;
    return (uint32_t)cairn_subtask_of_key(key, BENCH_KEY_SIZE, cairn->parallelism,
                                          BENCH_KEY_GROUPS);
}

static int cairn_put(struct bench_target *target, const struct bench_record *record,
                     cairn_error **reterr)
{
    struct bench_cairn *cairn = (struct bench_cairn *)target;
    uint32_t i = task_of(cairn, record->key);
    int r = cairn_task_set_key(cairn->tasks[i], record->key, BENCH_KEY_SIZE);
    if (r < 0)
        return bench_fail(reterr, r, "setting a key: %s", cairn_error_text(r));
    BENCH_TRY(cairn_value_put(cairn->states[i], record->value, record->value_size, reterr));
    cairn_event event;
    return cairn_task_poll(cairn->tasks[i], &event, reterr);
}

struct opening {
    struct bench_cairn *cairn;
    uint64_t memtable_bytes;
};

static int open_task(void *context, uint32_t i, cairn_error **reterr)
{
    const struct opening *opening = context;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.memtable_bytes = opening->memtable_bytes;
    options.parallelism = opening->cairn->parallelism;
    options.subtask = i;
    options.max_parallelism = BENCH_KEY_GROUPS;
    return cairn_task_open(opening->cairn->job, BENCH_UID, &options, &opening->cairn->tasks[i],
                           reterr);
}

static int open_tasks(struct bench_cairn *cairn, uint64_t memtable_bytes, cairn_error **reterr)
{
    struct opening opening = {.cairn = cairn, .memtable_bytes = memtable_bytes};
    uint64_t cpu_ns = bench_process_cpu_ns(), start_ns = bench_now_ns();
    BENCH_TRY(bench_parallel(cairn->parallelism, open_task, &opening, reterr));
    cairn->open_ns = bench_now_ns() - start_ns;
    cairn->open_cpu_ns = bench_process_cpu_ns() - cpu_ns;
    return 0;
}

static int open_parts(struct bench_cairn *cairn, const struct bench_cairn_config *config,
                      cairn_error **reterr)
{
    if (!config->store) {
        BENCH_AUTO_FREE char *uri = NULL;
        BENCH_TRY(
            bench_text(&uri, reterr, "file://%s?transfer=%s", config->store_dir, config->transfer));
        BENCH_TRY(cairn_store_open(uri, &cairn->store, reterr));
    }

    cairn_job_options job = CAIRN_JOB_OPTIONS_INIT;
    job.store = config->store ? config->store : cairn->store;
    job.local_dir = config->local_dir;
    job.transfer_threads = config->threads;
    job.num_retained = 2; /* as every peer keeps two */
    job.checkpoint_timeout_ms = 120000;
    job.state_memory_bytes = bench_memory_bytes(config->memtable_bytes);
    job.state_backend = config->backend;
    job.restore_uri = config->restore_uri;
    BENCH_TRY(cairn_job_open(BENCH_JOB, &job, &cairn->job, reterr));
    BENCH_TRY(open_tasks(cairn, config->memtable_bytes, reterr));
    for (uint32_t i = 0; i < cairn->parallelism; i++)
        BENCH_TRY(cairn_value_state(cairn->tasks[i], BENCH_STATE_NAME, CAIRN_BYTES, NULL,
                                    &cairn->states[i], reterr));
    return cairn_job_start(cairn->job, reterr);
}

int bench_cairn_open(const struct bench_cairn_config *config, struct bench_cairn **ret,
                     cairn_error **reterr)
{
    struct bench_cairn *cairn = calloc(1, sizeof(*cairn));
    if (!cairn)
        return bench_fail_nomem(reterr);
    cairn->target.put = cairn_put;
    cairn->parallelism = config->parallelism ? config->parallelism : 1;
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
    for (uint32_t i = 0; i < cairn->parallelism; i++)
        cairn_task_close(cairn->tasks[i]);
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

int bench_cairn_checkpoint(struct bench_cairn *cairn, cairn_checkpoint_info *ret,
                           cairn_error **reterr)
{
    bool done[BENCH_TASKS_MAX] = {false};
    BENCH_TRY(cairn_job_trigger(cairn->job, NULL, reterr));
    for (uint32_t left = cairn->parallelism; left > 0;) {
        BENCH_TRY(bench_check_interrupt(reterr));
        for (uint32_t i = 0; i < cairn->parallelism; i++) {
            cairn_event event;
            BENCH_TRY(cairn_task_wait(cairn->tasks[i], 1, &event, reterr));
            if (event.type == CAIRN_EVENT_ABORTED)
                return bench_fail(reterr, CAIRN_EABORTED, "checkpoint %llu was aborted",
                                  (unsigned long long)event.checkpoint_id);
            if (event.type != CAIRN_EVENT_COMPLETED || done[i])
                continue;
            done[i] = true;
            left--;
        }
    }
    (void)cairn_job_last_checkpoint(cairn->job, ret);
    return 0;
}

static int verify_task(struct bench_cairn *cairn, uint32_t i, struct bench_audit *audit,
                       cairn_error **reterr)
{
    cairn_iterator *it = NULL;
    BENCH_TRY(cairn_task_iterate(cairn->tasks[i], BENCH_STATE_NAME, &it, reterr));
    cairn_entry entry;
    int r;
    while ((r = cairn_iterator_next(it, &entry, reterr)) > 0) {
        r = bench_audit_entry(audit, entry.key, entry.key_size, entry.value, entry.value_size,
                              reterr);
        if (r == 0 && task_of(cairn, entry.key) != i)
            r = bench_fail(reterr, CAIRN_ECORRUPT, "subtask %u has a key of another's", i);
        if (r < 0)
            break;
    }
    cairn_iterator_close(it);
    return r;
}

int bench_cairn_verify(struct bench_cairn *cairn, const struct bench_workload *workload,
                       uint32_t max_version, cairn_error **reterr)
{
    BENCH_CLEANUP(bench_audit_done) struct bench_audit audit = {0};
    BENCH_TRY(bench_audit_begin(&audit, workload, max_version, reterr));
    for (uint32_t i = 0; i < cairn->parallelism; i++)
        BENCH_TRY(verify_task(cairn, i, &audit, reterr));
    return bench_audit_end(&audit, reterr);
}

static int load_and_restore(struct bench_cairn *cairn, const struct bench_workload *workload,
                            uint32_t threads, const char *db_dir, cairn_error **reterr)
{
    BENCH_TRY(bench_cairn_load(cairn, workload, reterr));
    /* Twice: the first one's flush may start a compaction, whose result the second one holds. */
    for (int i = 0; i < 2; i++) {
        bool quiet = false;
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        BENCH_TRY(bench_cairn_checkpoint(cairn, &info, reterr));
        BENCH_TRY(bench_settle(&quiet, reterr));
    }
    if (!db_dir)
        return 0;
    BENCH_AUTO_FREE char *restored = NULL, *inner = NULL;
    BENCH_TRY(bench_text(&restored, reterr, "%s.restored", db_dir));
    BENCH_TRY(bench_cairn_restore(cairn->store, restored, threads, false, &inner, reterr));
    if (rename(inner, db_dir) < 0)
        return bench_fail(reterr, CAIRN_EIO, "renaming '%s' to '%s'", inner, db_dir);
    return bench_remove_tree(restored, reterr);
}

int bench_base_create(const struct bench_workload *workload,
                      const struct bench_cairn_config *config, const char *db_dir,
                      cairn_error **reterr)
{
    struct bench_cairn *cairn = NULL;
    BENCH_TRY(bench_cairn_open(config, &cairn, reterr));
    int r = load_and_restore(cairn, workload, config->threads, db_dir, reterr);
    bench_cairn_close(cairn);
    BENCH_TRY(r);
    return bench_remove_tree(config->local_dir, reterr);
}
