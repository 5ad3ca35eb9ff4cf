/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_CAIRN_SIDE_H
#define CAIRN_BENCH_CAIRN_SIDE_H

#include "tools/bench/audit.h"
#include "tools/bench/writer.h"

#include "cairn/inspect.h"

#define BENCH_JOB "bench"
#define BENCH_UID "bench"
#define BENCH_STATE_NAME "value"

/* A Cairn job with one operator and its one value state. */
struct bench_cairn {
    struct bench_target target; /* first: set the key, put, poll */
    cairn_store *store;         /* NULL: the configuration's */
    cairn_job *job;
    uint32_t parallelism;
    cairn_task *tasks[BENCH_TASKS_MAX];
    cairn_value *states[BENCH_TASKS_MAX];
    /* That opening the tasks took, which is when a restore does its work. */
    uint64_t open_ns, open_cpu_ns;
};

struct bench_cairn_config {
    cairn_store *store; /* borrowed; NULL: store_dir is opened */
    const char *store_dir;
    const char *local_dir;
    const char *transfer; /* "auto", "link" or "copy"; see cairn_store_open() */
    uint32_t threads;
    uint64_t memtable_bytes;
    uint32_t parallelism; /* 0: 1 */
    const char *backend;  /* NULL: "rocksdb" */
    const char
        *restore_uri; /* start from this, without claiming it; NULL: from the store's newest */
};

/* What the command line says, links where possible; the rest is the caller's to change. */
struct bench_cairn_config bench_cairn_config(const struct bench_options *options,
                                             const char *store_dir, const char *local_dir);

/* Block cache and memtables together; half of it is cache. Wide enough that the budget never forces
 * an early flush: the memtable's own size decides. */
uint64_t bench_memory_bytes(uint64_t memtable_bytes);

/* Opens the job (restoring what the store holds), all tasks at once in threads of their own, and
 * starts it. */
int bench_cairn_open(const struct bench_cairn_config *config, struct bench_cairn **ret,
                     cairn_error **reterr);
void bench_cairn_close(struct bench_cairn *cairn); /* NULL is fine */

/* Put every key at version 0, and wait until compactions are over. */
int bench_cairn_load(struct bench_cairn *cairn, const struct bench_workload *workload,
                     cairn_error **reterr);

/* Take a checkpoint from the thread that drives all tasks. */
int bench_cairn_checkpoint(struct bench_cairn *cairn, cairn_checkpoint_info *ret,
                           cairn_error **reterr);

/* Read every entry of every task: the whole state is there, and each key where it belongs. */
int bench_cairn_verify(struct bench_cairn *cairn, const struct bench_workload *workload,
                       uint32_t max_version, cairn_error **reterr);

/* The first content of every database: load all keys at version 0 through Cairn, let compactions
 * end, checkpoint. Then the store holds a checkpoint, and db_dir (which must not exist yet; may be
 * NULL) the first task's database as a plain RocksDB directory. What is opened from either, or from
 * copies, begins with identical files. The local directory is removed. */
int bench_base_create(const struct bench_workload *workload,
                      const struct bench_cairn_config *config, const char *db_dir,
                      cairn_error **reterr);

/* cairn_restore_to(); *ret_db_dir is the database's directory below dir. */
int bench_cairn_restore(cairn_store *store, const char *dir, uint32_t threads, bool link,
                        char **ret_db_dir, cairn_error **reterr);

#endif
