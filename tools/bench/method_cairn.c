/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cairn's own three ways: incremental with hard links into the store, incremental with copies, and
 * full copies. They differ in the store's transfer option and in the trigger's `full` flag only.
 *
 * The job starts from a copy of the base store, so that its database begins with the same files as
 * every peer's. Cairn keeps two checkpoints by itself; what it deletes runs in its own background,
 * in the timed window or after it.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/method.h"

struct cairn_method {
    struct bench_method base;
    struct bench_cairn *cairn; /* NULL once the database is closed */
    bool link, always_full;
};

static int open_method(const struct bench_method_ops *ops, const struct bench_method_config *config,
                       bool link, bool always_full, struct bench_method **ret, cairn_error **reterr)
{
    BENCH_TRY(bench_copy_tree(config->base_store_dir, config->store_dir, config->threads, reterr));
    BENCH_AUTO_FREE char *local_dir = NULL;
    BENCH_TRY(bench_text(&local_dir, reterr, "%s/local", config->directory));
    struct cairn_method *method = calloc(1, sizeof(*method));
    if (!method)
        return bench_fail_nomem(reterr);
    method->link = link;
    method->always_full = always_full;
    struct bench_cairn_config cairn_config = {
        .store_dir = config->store_dir,
        .local_dir = local_dir,
        .transfer = link ? "link" : "copy",
        .threads = config->threads,
        .memtable_bytes = config->memtable_bytes,
    };
    int r = bench_cairn_open(&cairn_config, &method->cairn, reterr);
    if (r < 0) {
        free(method);
        return r;
    }
    method->base =
        (struct bench_method){.ops = ops, .config = config, .target = &method->cairn->target};
    *ret = &method->base;
    return 0;
}

static int open_link(const struct bench_method_config *config, struct bench_method **ret,
                     cairn_error **reterr)
{
    if (!bench_same_file_system(config->store_dir, config->directory))
        return bench_fail(reterr, CAIRN_EUNSUPPORTED,
                          "--store-dir is on another file system than --dir: no hard links");
    return open_method(&bench_method_cairn_link, config, true, false, ret, reterr);
}

static int open_copy(const struct bench_method_config *config, struct bench_method **ret,
                     cairn_error **reterr)
{
    return open_method(&bench_method_cairn_copy, config, false, false, ret, reterr);
}

static int open_full(const struct bench_method_config *config, struct bench_method **ret,
                     cairn_error **reterr)
{
    return open_method(&bench_method_cairn_full, config, false, true, ret, reterr);
}

static int checkpoint(struct bench_method *base, bool full, struct bench_cost *ret,
                      cairn_error **reterr)
{
    struct cairn_method *method = (struct cairn_method *)base;
    cairn_trigger_options trigger = CAIRN_TRIGGER_OPTIONS_INIT;
    trigger.full = full || method->always_full;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    BENCH_TRY(cairn_job_checkpoint(method->cairn->job, &trigger, &info, reterr));
    *ret = (struct bench_cost){
        .reported_bytes = info.new_bytes,
        .full_bytes = info.full_bytes,
        .exact_us = info.barrier_max_us,
    };
    return 0;
}

/* Retention is the job's own (num_retained). The parts of the time stand in the manifest. */
static int after(struct bench_method *base, struct bench_cost *cost, cairn_error **reterr)
{
    const struct cairn_method *method = (const struct cairn_method *)base;
    cairn_snapshot *snapshot = NULL;
    BENCH_TRY(cairn_snapshot_open(method->cairn->store, BENCH_JOB, 0, &snapshot, reterr));
    const cairn_subtask_info *subtask = cairn_snapshot_subtask(snapshot, 0, 0);
    if (subtask) {
        cost->flush_us = subtask->flush_us;
        cost->capture_us = subtask->capture_us;
        cost->upload_us = subtask->upload_us;
    }
    cairn_snapshot_close(snapshot);
    return 0;
}

static void close_database(struct bench_method *base)
{
    struct cairn_method *method = (struct cairn_method *)base;
    bench_cairn_close(method->cairn);
    method->cairn = NULL;
    base->target = NULL;
}

static int restore(struct bench_method *base, const char *dir, char **ret_db_dir,
                   cairn_error **reterr)
{
    struct cairn_method *method = (struct cairn_method *)base;
    cairn_store *store = NULL;
    BENCH_TRY(cairn_store_open(base->config->store_dir, &store, reterr));
    int r =
        bench_cairn_restore(store, dir, base->config->threads, method->link, ret_db_dir, reterr);
    cairn_store_close(store);
    return r;
}

static void free_method(struct bench_method *base)
{
    close_database(base);
    free(base);
}

#define CAIRN_METHOD(name_, title_, open_)                                                         \
    {                                                                                              \
        .name = name_, .title = title_, .can_restore = true, .open = open_,                        \
        .checkpoint = checkpoint, .after = after, .close_database = close_database,                \
        .restore = restore, .free = free_method                                                    \
    }
const struct bench_method_ops bench_method_cairn_link =
    CAIRN_METHOD("cairn-link", "Cairn incremental, links", open_link);
const struct bench_method_ops bench_method_cairn_copy =
    CAIRN_METHOD("cairn-copy", "Cairn incremental, copies", open_copy);
const struct bench_method_ops bench_method_cairn_full =
    CAIRN_METHOD("cairn-full", "Cairn full, copies", open_full);
