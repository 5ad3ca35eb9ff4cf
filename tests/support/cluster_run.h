/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CLUSTER_RUN_H
#define CRN_TESTS_CLUSTER_RUN_H

#include "tests/support/cluster_child.h"
#include "tests/support/crash_run.h"

/* A job of several processes, who starts them again as `cairn run` would, and what has to be true
 * of it. Everything fails the running test when it cannot be done. No RocksDB in this process. */

#define CLUSTER_PROCESSES 64u
#define CLUSTER_POLL_MS 20u
#define CLUSTER_HEARTBEAT_MS 200u
#define CLUSTER_TIMEOUT_MS 3000u

struct cluster_process {
    pid_t pid;
    bool is_coordinator;
    uint32_t index;
    bool is_kept; /* started again when it ends otherwise than well */
    bool has_ended;
    int code; /* of its last end */
};

struct cluster {
    struct crash_place place;
    struct crash_dir dir;
    char store[900]; /* URI */
    bool is_s3;
    uint64_t seed, rounds, random;
    uint32_t workers;
    unsigned pace_us, interval_ms, join_ms;
    bool finish;
    unsigned spawned;
    size_t count;
    struct cluster_process processes[CLUSTER_PROCESSES];
};

void cluster_init(struct cluster *c, const char *name, uint64_t seed, uint64_t rounds,
                  uint32_t workers);
/* Kills what is still there. */
void cluster_done(struct cluster *c);
uint32_t cluster_random(struct cluster *c, uint32_t end);

/* Another process; `is_kept` as above. */
struct cluster_process *cluster_spawn(struct cluster *c, bool is_coordinator, uint32_t index,
                                      bool is_kept);
/* The coordinator and all workers, kept. */
void cluster_start(struct cluster *c, uint32_t workers);
/* The one that lives and was spawned last. */
struct cluster_process *cluster_find(struct cluster *c, bool is_coordinator, uint32_t index);
void cluster_signal(const struct cluster_process *process, int number);
/* Starts again who has to be, for so long. */
void cluster_run_for(struct cluster *c, unsigned ms);
/* The same until it has ended; its code. */
int cluster_await_end(struct cluster *c, const struct cluster_process *process);
/* The same until a worker hears of another complete checkpoint, of a job of at least this epoch. */
void cluster_await_checkpoint(struct cluster *c, uint64_t epoch);
/* The same until every line is there. */
void cluster_await_output(struct cluster *c);
/* The epoch of the newest job that has started. */
uint64_t cluster_epoch(struct cluster *c);
uint64_t cluster_newest(struct cluster *c); /* complete checkpoint */

/* Has the coordinator do something, and waits for what comes of it: 0 or its error. */
int cluster_command(struct cluster *c, const char *command);
/* Stop with a savepoint, and everybody ends with 0. */
void cluster_stop(struct cluster *c);

/* Visible lines; none of them is there twice. */
uint64_t cluster_lines(struct cluster *c);
/* What the journal says: in each epoch all processes have restored the same checkpoint, each its
 * part of it; it is the newest complete one, and nothing of an older epoch came to be complete
 * after it (P1, P2, P7). */
void cluster_check_journal(struct cluster *c);
/* After the end: every byte of every checkpoint is right, the log is dense, and after one
 * collection nothing dead is there, no board but the newest epoch's and the last words of the one
 * before, and no temporary file (P1, P5, P6, P8). */
void cluster_check_store(struct cluster *c);
/* To its end: all output is awaited, the job is stopped, and all of the above holds. */
void cluster_finish(struct cluster *c);

#endif
