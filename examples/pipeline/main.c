/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of several operators in threads whose output is exactly once, whatever it is killed by and
 * whenever. pipeline.h says what it computes, and which file to read for what.
 *
 *     pipeline --dir DIR [--records N] [--parallelism 2..4] [--interval-ms N] [--rate N]
 *              [--mode exactly-once|at-least-once|unaligned]
 *     pipeline --dir DIR --records N --check
 *     pipeline --dir DIR --measure ROUNDS
 *
 * Kill it, or end it with SIGTERM, which stops it with a savepoint. Start it again with the same
 * command, or with another parallelism: it goes on from there. When it has come to the end, --check
 * counts what is in DIR/output.
 */
#include "examples/pipeline/pipeline.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_log(void *context, const cairn_log_line *line)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", line->component, line->message);
}

int fail(struct pipeline *pipeline, const char *what, cairn_error *error)
{
    if (!atomic_exchange(&pipeline->stop, true)) /* the first one has the story */
        fprintf(stderr, "pipeline: %s%s%s\n", what, error != NULL ? ": " : "",
                cairn_error_message(error));
    cairn_error_free(error);
    for (uint32_t i = 0; i < pipeline->options->parallelism; i++)
        if (pipeline->statements[i].in.channel_count > 0)
            inbox_wake(&pipeline->statements[i].in);
    if (pipeline->files.in.channel_count > 0)
        inbox_wake(&pipeline->files.in);
    return -1;
}

static int open_job(struct pipeline *p)
{
    const struct options *o = p->options;
    char store[4096], local[4096];
    cairn_error *error = NULL;
    (void)snprintf(store, sizeof store, "%s/snapshots", o->dir);
    (void)snprintf(local, sizeof local, "%s/local", o->dir);
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    options.store_uri = store;
    options.local_dir = local;
    options.checkpoint_interval_ms = o->interval_ms;
    options.checkpoint_mode = o->at_least_once ? CAIRN_AT_LEAST_ONCE : CAIRN_EXACTLY_ONCE;
    options.unaligned = o->unaligned;
    options.state_backend = o->backend;
    options.control = o->control;
    options.log = print_log;
    options.log_level = o->verbose ? CAIRN_LOG_INFO : CAIRN_LOG_WARNING;
    if (cairn_job_open("pipeline", &options, &p->job, &error) < 0)
        return fail(p, "cannot open the job", error);
    for (uint32_t i = 0; i < SOURCES; i++)
        if (open_source(&p->sources[i]) < 0)
            return -1;
    for (uint32_t i = 0; i < o->parallelism; i++)
        if (open_statements(&p->statements[i]) < 0)
            return -1;
    if (open_files(&p->files) < 0)
        return -1;
    return cairn_job_start(p->job, &error) < 0 ? fail(p, "cannot start", error) : 0;
}

static void say_where_it_starts(struct pipeline *p)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    if (!p->options->verbose)
        return;
    if (cairn_job_restored(p->job, &info) == 1)
        printf("running, from checkpoint %" PRIu64 " on\n", info.id);
    else
        printf("running, from the beginning\n");
    fflush(stdout);
}

static int start_thread(struct node *node, void *(*run)(void *))
{
    if (pthread_create(&node->thread, NULL, run, node) != 0)
        return fail(node->pipeline, "cannot start a thread", NULL);
    node->has_thread = true;
    return 0;
}

static int start_threads(struct pipeline *p)
{
    int r = start_thread(&p->files, run_operator);
    for (uint32_t i = 0; r == 0 && i < p->options->parallelism; i++)
        r = start_thread(&p->statements[i], run_operator);
    for (uint32_t i = 0; r == 0 && i < SOURCES; i++)
        r = start_thread(&p->sources[i], run_source);
    return r;
}

static volatile sig_atomic_t terminated;

static void on_signal(int number)
{
    terminated = number;
}

/* SIGTERM: stop with a savepoint. Tasks get STOPPING and STOPPED (operator.c), and the next start
 * goes on from it, with nothing to be done again. If it fails, the job goes on. */
static void stop_with_savepoint(struct pipeline *p)
{
    char target[4096];
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_error *error = NULL;
    (void)snprintf(target, sizeof target, "%s/savepoints", p->options->dir);
    options.target_uri = target;
    options.stop = 1;
    if (cairn_savepoint_begin(p->job, &options, NULL, &error) < 0)
        (void)fail(p, "cannot stop", error);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* When every task has come to its end, one more checkpoint makes the last of the output visible. A
 * job that was stopped with a savepoint has that instead. */
static void finish(struct pipeline *p)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    const uint32_t tasks = SOURCES + p->options->parallelism + 1;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    const double wall_s = seconds_of(CLOCK_MONOTONIC);
    const double cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    while ((atomic_load(&p->at_end) < tasks || atomic_load(&p->is_ending)) &&
           !atomic_load(&p->has_stopped) && !atomic_load(&p->stop)) {
        if (terminated) {
            terminated = 0;
            stop_with_savepoint(p);
        }
        (void)nanosleep(&moment, NULL);
    }
    if (p->options->ret_spent != NULL)
        *p->options->ret_spent = (struct spent){seconds_of(CLOCK_MONOTONIC) - wall_s,
                                                seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_s};
    while (!atomic_load(&p->has_stopped) && !atomic_load(&p->stop) &&
           atomic_load(&p->last_checkpoint) == 0) {
        cairn_error *error = NULL;
        int r = cairn_job_checkpoint(p->job, NULL, &info, &error);
        if (r == 0)
            atomic_store(&p->last_checkpoint, info.id);
        else if (r != CAIRN_EABORTED) /* another attempt may do better */
            (void)fail(p, "the last checkpoint", error);
        else
            cairn_error_free(error);
    }
}

/* After the job: its tasks go, with what was opened from them. */
static void close_node(struct node *node)
{
    cairn_task_close(node->task);
    inbox_done(&node->in);
}

int run_pipeline(const struct options *options)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    p->options = options;
    struct node *nodes[SOURCES + PARALLELISM_MAX + 1];
    uint32_t count = 0;
    for (uint32_t i = 0; i < SOURCES; i++)
        nodes[count++] = &p->sources[i];
    for (uint32_t i = 0; i < options->parallelism; i++)
        nodes[count++] = &p->statements[i];
    nodes[count++] = &p->files;
    for (uint32_t i = 0; i < count; i++) {
        nodes[i]->pipeline = p;
        nodes[i]->subtask = i < SOURCES ? i : nodes[i] == &p->files ? 0 : i - SOURCES;
    }
    if (open_job(p) == 0 && start_threads(p) == 0) {
        say_where_it_starts(p);
        finish(p);
    }
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i]->has_thread)
            pthread_join(nodes[i]->thread, NULL);
    int r = atomic_load(&p->stop) ? -1 : 0;
    cairn_job_close(p->job);
    for (uint32_t i = 0; i < count; i++)
        close_node(nodes[i]);
    free(p);
    return r;
}

/* ---- the command line ---- */

static int usage(void)
{
    fprintf(stderr,
            "usage: pipeline --dir DIR [--records N] [--customers N] [--parallelism 2..4]\n"
            "                [--mode exactly-once|at-least-once|unaligned] [--interval-ms N]\n"
            "                [--rate N] [--backend rocksdb|heap] [--memtable-mb N]\n"
            "                [--control unix|ADDRESS] [--quiet]\n"
            "                [--check | --measure ROUNDS]\n");
    return 2;
}

static int parse_mode(struct options *o, const char *mode)
{
    o->at_least_once = strcmp(mode, "at-least-once") == 0;
    o->unaligned = strcmp(mode, "unaligned") == 0;
    return o->at_least_once || o->unaligned || strcmp(mode, "exactly-once") == 0 ? 0 : -1;
}

struct command {
    struct options options;
    uint32_t rounds; /* to measure; 0: run */
    bool check;
};

static int take_option(struct command *command, int option)
{
    struct options *o = &command->options;
    switch (option) {
    case 'd':
        o->dir = optarg;
        return 0;
    case 'n':
        o->records = strtoll(optarg, NULL, 10);
        return 0;
    case 'c':
        o->customers = strtoll(optarg, NULL, 10);
        return 0;
    case 'p':
        o->parallelism = (uint32_t)strtoul(optarg, NULL, 10);
        return 0;
    case 'm':
        return parse_mode(o, optarg);
    case 'i':
        o->interval_ms = strtoull(optarg, NULL, 10);
        return 0;
    case 'r':
        o->rate = strtoll(optarg, NULL, 10);
        return 0;
    case 'b':
        o->backend = optarg;
        return 0;
    case 't':
        o->memtable_bytes = strtoull(optarg, NULL, 10) << 20;
        return 0;
    case 'l':
        o->control = optarg;
        return 0;
    case 'q':
        o->verbose = false;
        return 0;
    case 'k':
        command->check = true;
        return 0;
    case 'e':
        command->rounds = (uint32_t)strtoul(optarg, NULL, 10);
        return 0;
    default:
        return -1;
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"dir", required_argument, NULL, 'd'},       {"records", required_argument, NULL, 'n'},
        {"customers", required_argument, NULL, 'c'}, {"parallelism", required_argument, NULL, 'p'},
        {"mode", required_argument, NULL, 'm'},      {"interval-ms", required_argument, NULL, 'i'},
        {"rate", required_argument, NULL, 'r'},      {"backend", required_argument, NULL, 'b'},
        {"control", required_argument, NULL, 'l'},   {"memtable-mb", required_argument, NULL, 't'},
        {"quiet", no_argument, NULL, 'q'},           {"check", no_argument, NULL, 'k'},
        {"measure", required_argument, NULL, 'e'},   {NULL, 0, NULL, 0}};
    struct command command = {.options = {.records = 100000,
                                          .customers = 1000,
                                          .parallelism = 2,
                                          .interval_ms = 1000,
                                          .verbose = true}};
    const struct options *o = &command.options;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        if (take_option(&command, option) < 0)
            return usage();
    if (o->dir == NULL || optind != argc || o->parallelism < 2 ||
        o->parallelism > PARALLELISM_MAX || o->records < 0 || o->customers < 1 || o->rate < 0)
        return usage();
    if (command.check)
        return check_output(o);
    (void)signal(SIGTERM, on_signal);
    if (command.rounds > 0)
        return measure(o, command.rounds) == 0 ? 0 : 1;
    return run_pipeline(o) == 0 ? 0 : 1;
}
