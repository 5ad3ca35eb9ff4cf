/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <cairn/cairn.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * A job of three operators in threads:
 *
 *     orders, 2 subtasks  --by customer-->  statements, 2 to 4 subtasks  -->  files, 1 subtask
 *
 * An order has a number, a customer and an amount. Every tenth order of a customer completes a
 * statement: who, the how-manieth, how many orders, their total, and which they are. Statements are
 * lines in files under DIR/output.
 *
 *     main.c      options, opening the job, its start and its end
 *     queue.c     how records and barriers travel between threads: no word of Cairn but the barrier
 *     operator.c  the loop of a task with several inputs, which is where the gate is
 *     source.c    orders, and the position in them
 *     aggregate.c statements from orders: keyed state
 *     sink.c      lines into files, each exactly once
 *     check.c     counts what has come out
 *     measure.c   what checkpoints cost
 */

#define SOURCES 2
#define PARALLELISM_MAX 4
#define CHANNELS_MAX PARALLELISM_MAX /* of one inbox; as many as SOURCES at least */
#define MAX_PARALLELISM 128
#define STATEMENT_ORDERS 10
#define MESSAGE_MAX 256

/* ---- queue.c ---- */

enum message_type { MESSAGE_NONE, MESSAGE_RECORD, MESSAGE_BARRIER, MESSAGE_END };

struct message {
    enum message_type type;
    uint32_t size;
    cairn_barrier barrier;
    unsigned char data[MESSAGE_MAX];
};

/* The input of one task: a bounded queue per channel. Each channel has one writer. */
struct channel {
    struct message *ring;
    size_t head, count, records;
    cairn_barrier arrived; /* a barrier that waits behind records */
    bool has_arrived;
};
struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t readable, writable;
    struct channel channels[CHANNELS_MAX];
    uint32_t channel_count, turn;
    const atomic_bool *stop; /* nobody waits any more */
};
int inbox_init(struct inbox *in, uint32_t channel_count, const atomic_bool *stop);
void inbox_done(struct inbox *in);
void inbox_wake(struct inbox *in);
/* Wait for room; only records need it. false: stopped. */
bool inbox_put(struct inbox *in, uint32_t channel, const struct message *message);
/* The next message of a channel that the gate lets through; waits for a moment if there is none.
 * @return the channel, or -1 */
int inbox_take(struct inbox *in, const cairn_gate *gate, struct message *ret);
/* A barrier that has arrived behind records, once. @return the channel, or -1 */
int inbox_arrived(struct inbox *in, cairn_barrier *ret);
/* Every record in front of the barrier of this checkpoint, which waits in the channel. */
int inbox_collect(struct inbox *in, uint32_t channel, uint64_t checkpoint_id, cairn_gate *gate);

/* ---- the job ---- */

/* From the start to the end of all input. */
struct spent {
    double wall_s, cpu_s;
};
struct options {
    const char *dir;
    int64_t records, customers;
    uint32_t parallelism; /* of "statements" */
    bool at_least_once, unaligned;
    uint64_t interval_ms;
    int64_t rate; /* orders per second and source; 0: as many as there is room for */
    const char *backend;
    const char
        *control; /* where `cairn status`, `cairn stop` and the like find the job; NULL: nowhere */
    uint64_t memtable_bytes; /* of the statements; 0: Cairn's default */
    bool verbose;
    struct spent *ret_spent; /* for measure.c; may be NULL */
};

struct pipeline;

/* One task and its thread. */
struct node {
    struct pipeline *pipeline;
    uint32_t subtask;
    cairn_task *task;
    pthread_t thread;
    bool has_thread;
    uint64_t completed; /* newest checkpoint that the task knows to be complete */
    uint64_t ending_id; /* savepoint that the job is to stop with; 0: none was announced */
    bool is_draining;   /* the job is going to stop: end the input */
    bool is_stopping;   /* its last savepoint has this task's state: process nothing more */
    struct inbox *outputs[PARALLELISM_MAX]; /* which of its channels: `subtask` */
    uint32_t output_count;
    /* With inputs: */
    struct inbox in;
    cairn_gate *gate;
    uint32_t open_channels;
    int (*process)(struct node *node, const void *record, size_t size);
    int (*at_end)(struct node *node);
    /* Of an operator: */
    cairn_operator_list *position; /* source.c */
    int64_t next_order;
    cairn_value *open_statement; /* aggregate.c */
    cairn_file_sink *files;      /* sink.c */
};

struct pipeline {
    const struct options *options;
    cairn_job *job;
    struct node sources[SOURCES], statements[PARALLELISM_MAX], files;
    atomic_bool stop;                     /* somebody failed */
    atomic_uint at_end;                   /* tasks that have nothing left to do */
    atomic_uint_fast64_t last_checkpoint; /* when it is complete, tasks end; 0: not yet */
    atomic_bool is_ending;                /* a stop with savepoint is under way */
    atomic_bool has_stopped;              /* with it */
};

/* Says what went wrong and ends all threads. @return -1 */
int fail(struct pipeline *pipeline, const char *what, cairn_error *error);
/* From opening to the end of all input. @return 0, or -1 */
int run_pipeline(const struct options *options);

/* ---- operator.c ---- */

/* Fetches events until there is none, and sends barriers on; an idle task waits a moment for the
 * first. @return 0, 1: the job has stopped, or -1: somebody failed; the task has to end */
int serve_events(struct node *node, bool is_idle);
/* The task has nothing left to do: tells its outputs. But checkpoints go on, until one is complete
 * that holds all that was done. */
void run_to_the_last_checkpoint(struct node *node);
int open_gate(struct node *node, uint32_t channel_count, cairn_partitioning partitioning);
void *run_operator(void *node);
/* To one of the outputs; false: stopped. */
bool send_record(struct node *node, uint32_t output, const void *data, size_t size);
void send_to_all(struct node *node, const struct message *message);

/* ---- source.c ---- */

struct order {
    unsigned char customer[8]; /* encoded: it is the key, and begins the record */
    int64_t number, amount;
};
struct order make_order(int64_t number, int64_t customers);
int open_source(struct node *node);
void *run_source(void *node);

/* ---- aggregate.c, sink.c ---- */

struct statement {
    int64_t number;
    int64_t count, total;
    int64_t orders[STATEMENT_ORDERS];
};
int open_statements(struct node *node);
int open_files(struct node *node);

/* ---- check.c, measure.c ---- */

/* @return 0: each order is on exactly one statement; 3: none is missing, some are there more than
 * once; 1: else. */
int check_output(const struct options *options);
int measure(const struct options *options, uint32_t rounds);

#endif
