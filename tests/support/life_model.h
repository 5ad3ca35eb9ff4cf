/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_LIFE_MODEL_H
#define CRN_TESTS_LIFE_MODEL_H

#include "tests/support/life.h"
#include "tests/support/life_place.h"

/* A life at random: what test_model.c decides, carried out and checked. Failures end the test. */

#define MODEL_IDS_MAX 4096u
#define MODEL_SAVED_MAX 5u

/* What a snapshot must hold. */
struct model_snapshot {
    struct life_oracle oracle;
    unsigned noted; /* barriers */
    bool is_native; /* files of RocksDB */
};
/* A snapshot that a job may start from, other than its own checkpoints. */
struct model_source {
    cairn_store *store;
    char name[100]; /* "": none */
    uint64_t id;
    bool is_job;
    struct model_snapshot snapshot;
};

struct model {
    uint64_t seed, random;
    bool only_rocksdb, only_heap, trace;
    struct life_place place;
    struct life life;
    cairn_job *job;
    char job_name[32];
    unsigned job_number;
    const char *backend;
    struct model_snapshot *snapshots[MODEL_IDS_MAX]; /* of the job, by id */
    uint64_t newest;                                 /* of its complete checkpoints; 0: none */
    struct model_source saved[MODEL_SAVED_MAX];      /* savepoints that exist */
    size_t saved_count;
    struct model_source pending; /* started from without a claim, no checkpoint since */
    struct model_source claimed; /* by a job that has not started yet */
    unsigned independent;        /* events of that kind since the start */
    unsigned moves;
    /* of the savepoint that is in flight */
    cairn_savepoint_handle *handle;
    cairn_store *target;
};

void model_init(struct model *m, uint64_t seed);
void model_done(struct model *m);
uint64_t model_pick(struct model *m, uint64_t n);
__attribute__((format(printf, 2, 3))) void model_say(const struct model *m, const char *format,
                                                     ...);

/* Start from anything, at any parallelism, with any backend that can. */
void model_start(struct model *m);
/* As a crash does it: what was in flight is lost, or was complete already. */
void model_stop(struct model *m);

void model_steps(struct model *m, uint64_t count, bool with_rules);
void model_checkpoint(struct model *m, bool to_the_end);
void model_savepoint(struct model *m, bool to_the_end);
void model_dispose(struct model *m);
void model_move(struct model *m);
void model_migrate(struct model *m);
void model_wait(struct model *m);             /* time goes by */
void model_forget(struct model *m, size_t i); /* saved[i] is no more */

#endif
