/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service that is made to die: the child process of test_crash.c.
 *
 * It works through the stream of workload.h in two subtasks, each in a thread of its own, takes
 * checkpoints by interval and on request, and ends with a last one. Each incarnation first checks
 * what it was given: the restored state against the oracle at the restored position, and the
 * restored checkpoint against DIR/journal, to which all incarnations append, one write() a line:
 *
 *     barrier ID SUBTASK POSITION              right before a barrier is taken
 *     complete ID EPOCH POSITION0 POSITION1    when Cairn said that the checkpoint is complete
 *     aborted ID                               when Cairn said that it never will be
 *
 * With --store and a URI it works there; with --patient it goes on when checkpoints fail because
 * the store does.
 *
 * So the restored checkpoint must not be older than the newest complete one, and its positions must
 * be those of its barriers (P1, P2). A write() to a file survives the death of its process.
 */
#include "tests/support/crash_child.h"
#include "tests/support/workload.h"
#include "backends/storage/fault.h"
#include "base/thread.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TASKS 2u
#define MEMTABLE_BYTES (1u << 20) /* small: flushes and compactions happen all the time */
#define RING 1024u                /* barriers that are remembered: more than can be in flight */
#define OPERATIONS_PER_POLL 8u
#define GIVE_UP_US 60000000u

struct child;
struct child_task {
    struct child *child;
    uint32_t index;
    struct workload workload;
    pthread_t thread;
    /* Positions by id % RING; written by the task's thread at the barrier, read by whoever hears
     * that the checkpoint is complete, which is after all barriers. */
    uint64_t barrier_position[RING];
};

struct child {
    /* options */
    const char *directory, *store_path, *local_path, *transfer;
    uint64_t seed, operations, kill_at, interval_ms, request_every, pace_us, retained;
    uint32_t blob_max;
    bool kill_after, once, patient;
    uid_t user;

    int journal;
    uint64_t promised_id; /* the newest complete checkpoint of the journal before the job opened */
    cairn_store *store;
    cairn_job *job;
    cairn_checkpoint_info restored; /* id 0: started empty */
    struct child_task tasks[TASKS];
    pthread_barrier_t opened, started;
    atomic_uint done; /* tasks that have no more operations */
    atomic_bool stop;
    atomic_int failure; /* exit code of what went wrong first; 0: nothing did */
};

/* Says what is wrong and remembers the first exit code. */
__attribute__((format(printf, 3, 4))) static void fail(struct child *c, int code,
                                                       const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "crash_child: %s\n", text);
    int none = 0;
    (void)atomic_compare_exchange_strong(&c->failure, &none, code);
}

static void fail_cairn(struct child *c, const char *what, int r, cairn_error *error)
{
    fail(c, r == CAIRN_EFENCED ? CRASH_CHILD_FENCED : CRASH_CHILD_FAILED,
         "%s: %s: %s (object '%s')", what, cairn_error_name(r), cairn_error_message(error),
         cairn_error_object(error));
    cairn_error_free(error);
}

static void print_log(void *context, const cairn_log_line *line)
{
    (void)context;
    fprintf(stderr, "crash_child %d: %s: %s\n", (int)getpid(), line->component, line->message);
}

/* ------------------------------------------------------------------------------------------ *
 * The journal
 * ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void journal(struct child *c, const char *format, ...)
{
    char line[160];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (write(c->journal, line, (size_t)n) != n)
        fail(c, CRASH_CHILD_DISAGREES, "the journal cannot be written");
}

static void journal_complete(struct child *c, uint64_t id)
{
    cairn_checkpoint_info last = CAIRN_CHECKPOINT_INFO_INIT;
    (void)cairn_job_last_checkpoint(c->job, &last); /* there is one */
    journal(c, "complete %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", id, last.epoch,
            c->tasks[0].barrier_position[id % RING], c->tasks[1].barrier_position[id % RING]);
}

static void note_barrier(void *context, const struct workload *workload, uint64_t id)
{
    struct child_task *t = context;
    t->barrier_position[id % RING] = workload->position;
    journal(t->child, "barrier %" PRIu64 " %u %" PRIu64 "\n", id, t->index, workload->position);
}

static FILE *open_journal_to_read(struct child *c)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/journal", c->directory);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail(c, CRASH_CHILD_DISAGREES, "the journal cannot be read");
    return file;
}

/* Before the job opens: what is restored must not be older. */
static void note_promise(struct child *c)
{
    char line[160];
    uint64_t id;
    FILE *file = open_journal_to_read(c);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "complete %" SCNu64, &id) == 1 && id > c->promised_id)
            c->promised_id = id;
    if (file != NULL)
        fclose(file);
}

/* What is restored against what was promised. */
static void check_against_journal(struct child *c)
{
    char line[160];
    uint64_t id, position, barriers[TASKS] = {0};
    bool has_barrier[TASKS] = {false};
    unsigned subtask;
    FILE *file = open_journal_to_read(c);
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "barrier %" SCNu64 " %u %" SCNu64, &id, &subtask, &position) == 3 &&
            subtask < TASKS && id == c->restored.id) {
            barriers[subtask] = position;
            has_barrier[subtask] = true;
        }
    }
    fclose(file);
    if (c->restored.id < c->promised_id)
        fail(c, CRASH_CHILD_DISAGREES,
             "restored checkpoint %" PRIu64 ", but %" PRIu64 " was acknowledged as complete",
             c->restored.id, c->promised_id);
    for (uint32_t t = 0; t < TASKS; t++)
        if (has_barrier[t] != (c->restored.id > 0) || barriers[t] != c->tasks[t].workload.position)
            fail(c, CRASH_CHILD_DISAGREES,
                 "checkpoint %" PRIu64 " subtask %u was taken at position %" PRIu64
                 " and restored at %" PRIu64,
                 c->restored.id, t, barriers[t], c->tasks[t].workload.position);
}

/* ------------------------------------------------------------------------------------------ *
 * A task's thread
 * ------------------------------------------------------------------------------------------ */

static int take_event(struct child_task *t, const cairn_event *event)
{
    if (event->type == CAIRN_EVENT_COMPLETED)
        journal_complete(t->child, event->checkpoint_id);
    else if (event->type == CAIRN_EVENT_ABORTED)
        journal(t->child, "aborted %" PRIu64 "\n", event->checkpoint_id);
    return 0;
}

/* A checkpoint that failed for such a reason can be taken again. */
static bool may_pass(const struct child *c, int r)
{
    return r == CAIRN_EABORTED ||
           (c->patient && cairn_error_class_of(r) == CAIRN_CLASS_RETRY && r < 0);
}

/* In turn: do not wait, wait; every fourth is full. */
static int request_checkpoint(struct child_task *t, cairn_error **reterr)
{
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    uint64_t number = t->workload.position / t->child->request_every;
    options.full = number % 4 == 0;
    if (number % 2 == 1)
        return cairn_job_trigger(t->child->job, &options, reterr);
    int r = cairn_task_checkpoint(t->workload.task, &options, NULL, reterr);
    if (!may_pass(t->child, r))
        return r;
    cairn_error_free(*reterr); /* the ABORTED event tells the journal */
    *reterr = NULL;
    return 0;
}

static int work(struct child_task *t, cairn_error **reterr)
{
    struct child *c = t->child;
    struct workload *w = &t->workload;
    cairn_event event;
    int r = 0;
    while (r == 0 && w->position < c->operations && atomic_load(&c->failure) == 0) {
        r = workload_step(w, reterr);
        if (r == 0 && t->index == 0 && c->request_every > 0 && w->position % c->request_every == 0)
            r = request_checkpoint(t, reterr);
        if (r == 0 && w->position % OPERATIONS_PER_POLL == 0) {
            r = cairn_task_poll(w->task, &event, reterr);
            if (r == 0)
                r = take_event(t, &event);
            if (c->pace_us > 0)
                crn_sleep_us(c->pace_us);
        }
    }
    atomic_fetch_add(&c->done, 1);
    while (r == 0 && !atomic_load(&c->stop)) {
        r = cairn_task_wait(w->task, 2, &event, reterr);
        if (r == 0)
            r = take_event(t, &event);
    }
    return r;
}

static void open_and_check(struct child_task *t)
{
    struct child *c = t->child;
    cairn_error *error = NULL;
    t->workload.at_barrier = note_barrier;
    t->workload.context = t;
    t->workload.blob_max = c->blob_max;
    int r = workload_open(&t->workload, c->job, c->seed, t->index, TASKS, MEMTABLE_BYTES, &error);
    if (r < 0) {
        fail_cairn(c, "task", r, error);
        return;
    }
    const char *wrong = workload_check(&t->workload);
    if (wrong != NULL)
        fail(c, CRASH_CHILD_DISAGREES, "checkpoint %" PRIu64 " subtask %u position %" PRIu64 ": %s",
             c->restored.id, t->index, t->workload.position, wrong);
}

static void *task_main(void *arg)
{
    struct child_task *t = arg;
    cairn_error *error = NULL;
    open_and_check(t);
    (void)pthread_barrier_wait(&t->child->opened);
    (void)pthread_barrier_wait(&t->child->started);
    if (atomic_load(&t->child->failure) != 0)
        return NULL;
    int r = work(t, &error);
    if (r < 0)
        fail_cairn(t->child, "work", r, error);
    return NULL;
}

/* ------------------------------------------------------------------------------------------ *
 * The process
 * ------------------------------------------------------------------------------------------ */

static int open_store(struct child *c, cairn_error **reterr)
{
    char uri[PATH_MAX + 64];
    cairn_store *inner;
    if (strstr(c->store_path, "://") != NULL)
        snprintf(uri, sizeof uri, "%s", c->store_path);
    else
        snprintf(uri, sizeof uri, "file://%s?transfer=%s", c->store_path, c->transfer);
    int r = cairn_store_open(uri, &inner, reterr);
    if (r == 0)
        r = crn_fault_store_open(inner, &c->store, reterr);
    if (r < 0)
        return r;
    struct crn_fault_plan plan = {
        .ops = CRN_FAULT_ANY,
        .mode = c->kill_at == 0 ? CRN_FAULT_NEVER
                : c->kill_after ? CRN_FAULT_KILL_AFTER
                                : CRN_FAULT_KILL,
        .at = c->kill_at,
    };
    crn_fault_store_arm(c->store, &plan);
    return 0;
}

static int open_job(struct child *c, cairn_error **reterr)
{
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    int r = open_store(c, reterr);
    if (r < 0)
        return r;
    options.store = c->store;
    options.local_dir = c->local_path;
    options.checkpoint_interval_ms = c->interval_ms;
    options.checkpoint_timeout_ms = 20000;
    options.num_retained = (uint32_t)c->retained;
    options.state_memory_bytes = 16 << 20;
    options.log = print_log;
    r = cairn_job_open(CRASH_JOB, &options, &c->job, reterr);
    if (r == 0)
        (void)cairn_job_restored(c->job, &c->restored);
    return r;
}

/* The state must be in a checkpoint before the process may say that it is done. */
static void last_checkpoint(struct child *c)
{
    for (uint64_t give_up_us = crn_now_us() + GIVE_UP_US; atomic_load(&c->failure) == 0;) {
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        cairn_error *error = NULL;
        int r = cairn_job_checkpoint(c->job, NULL, &info, &error);
        if (r == 0) {
            journal_complete(c, info.id);
            return;
        }
        if (!may_pass(c, r) || crn_now_us() > give_up_us) {
            fail_cairn(c, "last checkpoint", r, error);
            return;
        }
        fprintf(stderr, "crash_child: %s\n", cairn_error_message(error));
        cairn_error_free(error);
        if (c->once)
            fail(c, CRASH_CHILD_ABORTED, "the last checkpoint was aborted");
        crn_sleep_us(20000);
    }
}

/* Tasks open and check in their own threads; the job starts when all have. */
static void run(struct child *c)
{
    cairn_error *error = NULL;
    for (uint32_t t = 0; t < TASKS; t++) {
        c->tasks[t].child = c;
        c->tasks[t].index = t;
        if (pthread_create(&c->tasks[t].thread, NULL, task_main, &c->tasks[t]) != 0)
            abort();
    }
    (void)pthread_barrier_wait(&c->opened);
    if (atomic_load(&c->failure) == 0)
        check_against_journal(c);
    int r = atomic_load(&c->failure) == 0 ? cairn_job_start(c->job, &error) : 0;
    if (r < 0)
        fail_cairn(c, "start", r, error);
    (void)pthread_barrier_wait(&c->started);
    while (atomic_load(&c->done) < TASKS && atomic_load(&c->failure) == 0)
        crn_sleep_us(500);
    last_checkpoint(c);
    atomic_store(&c->stop, true);
    for (uint32_t t = 0; t < TASKS; t++)
        (void)pthread_join(c->tasks[t].thread, NULL);
}

static uint64_t *number_option(struct child *c, int option)
{
    switch (option) {
    case 'k':
        return &c->kill_at;
    case 'i':
        return &c->interval_ms;
    case 'r':
        return &c->request_every;
    case 'p':
        return &c->pace_us;
    case 'n':
        return &c->retained;
    default:
        return NULL;
    }
}

static int parse(struct child *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"kill-at", required_argument, NULL, 'k'},
        {"kill-after", no_argument, NULL, 'a'},
        {"interval-ms", required_argument, NULL, 'i'},
        {"request-every", required_argument, NULL, 'r'},
        {"pace-us", required_argument, NULL, 'p'},
        {"retained", required_argument, NULL, 'n'},
        {"blob-max", required_argument, NULL, 'b'},
        {"store", required_argument, NULL, 's'},
        {"local", required_argument, NULL, 'l'},
        {"transfer", required_argument, NULL, 't'},
        {"user", required_argument, NULL, 'u'},
        {"once", no_argument, NULL, 'o'},
        {"patient", no_argument, NULL, 'P'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t *number = number_option(c, option);
        if (number != NULL)
            *number = strtoull(optarg, NULL, 10);
        else if (option == 'b')
            c->blob_max = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'u')
            c->user = (uid_t)strtoul(optarg, NULL, 10);
        else if (option == 's')
            c->store_path = optarg;
        else if (option == 'l')
            c->local_path = optarg;
        else if (option == 't')
            c->transfer = optarg;
        else if (option == 'a')
            c->kill_after = true;
        else if (option == 'o')
            c->once = true;
        else if (option == 'P')
            c->patient = true;
        else
            return -1;
    }
    if (argc - optind != 3)
        return -1;
    c->directory = argv[optind];
    c->seed = strtoull(argv[optind + 1], NULL, 10);
    c->operations = strtoull(argv[optind + 2], NULL, 10);
    return 0;
}

static int open_journal(struct child *c)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/journal", c->directory);
    c->journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (c->journal < 0 || (c->user != 0 && setuid(c->user) != 0)) {
        perror("crash_child: journal or user");
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct child c = {
        .transfer = "auto", .retained = 1, .restored = CAIRN_CHECKPOINT_INFO_INIT};
    static char store[PATH_MAX], local[PATH_MAX];
    cairn_error *error = NULL;
    if (parse(&c, argc, argv) < 0) {
        fprintf(stderr, "usage: crash_child DIR SEED OPERATIONS [options]\n");
        return CRASH_CHILD_USAGE;
    }
    snprintf(store, sizeof store, "%s/store", c.directory);
    snprintf(local, sizeof local, "%s/local", c.directory);
    if (c.store_path == NULL)
        c.store_path = store;
    if (c.local_path == NULL)
        c.local_path = local;
    if (open_journal(&c) < 0)
        return CRASH_CHILD_USAGE;
    if (pthread_barrier_init(&c.opened, NULL, TASKS + 1) != 0 ||
        pthread_barrier_init(&c.started, NULL, TASKS + 1) != 0)
        abort();
    note_promise(&c);
    int r = open_job(&c, &error);
    if (r < 0)
        fail_cairn(&c, "open", r, error);
    else
        run(&c);
    if (c.store != NULL)
        fprintf(stderr, "crash_child %d: %" PRIu64 " store operations\n", (int)getpid(),
                crn_fault_store_calls(c.store));
    cairn_job_close(c.job);
    for (uint32_t t = 0; t < TASKS; t++)
        cairn_task_close(c.tasks[t].workload.task);
    cairn_store_close(c.store);
    return atomic_load(&c.failure);
}
