/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service that takes savepoints, disposes of them, claims one, changes its parallelism, and is
 * made to die: the child process of test_crash_life.c.
 *
 *     crash_life DIR SEED OPERATIONS [--job NAME] [--from NAME] [--parallelism NM] [--kill-at K]
 *                [--kill-after] [--every N] [--pace-us N]
 *
 * What operation i does follows from (SEED, i) alone, and no operation happens between the barriers
 * of one snapshot. In its barrier each snapshot's position is appended to DIR/journal-<job>, so
 * that any later process knows what it must hold:
 *
 *     has ID BARRIER POSITION N M     snapshot ID, taken as BARRIER in N and M tasks
 *     complete ID                     Cairn said that checkpoint ID is complete
 *     dispose NAME                    the savepoint is about to be disposed of
 *
 * Each incarnation checks that it was given the newest checkpoint it was promised, and its state;
 * that each directory of a savepoint is whole, or was being disposed of; and at its end, by a job
 * of its own, the state of each savepoint.
 */
#include "tests/support/crash_child.h"
#include "tests/support/life.h"
#include "backends/storage/fault.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include "cairn/inspect.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAVED_MAX 64u

/* What is known of one snapshot. */
struct note {
    uint64_t barrier, position;
    unsigned parallelism[LIFE_OPS];
};

struct child {
    const char *directory, *job_name, *from;
    uint64_t seed, operations, kill_at, every, pace_us;
    unsigned parallelism[LIFE_OPS];
    bool kill_after;
    int journal;
    cairn_store *store;
    cairn_job *job;
    struct life life;
    uint64_t position;
};

__attribute__((format(printf, 2, 3), noreturn)) static void die(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "crash_life: ");
    (void)vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    _exit(code);
}

static void must(int r, const char *what, cairn_error *error)
{
    if (r < 0)
        die(CRASH_CHILD_FAILED, "%s: %s: %s (object '%s')", what, cairn_error_name(r),
            cairn_error_message(error), cairn_error_object(error));
}

static void print_log(void *context, const cairn_log_line *line)
{
    (void)context;
    fprintf(stderr, "crash_life %d: %s: %s\n", (int)getpid(), line->component, line->message);
}

static int64_t stopped_clock(void *context)
{
    (void)context;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * The journal
 * ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void journal(struct child *c, const char *format, ...)
{
    char line[200];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (write(c->journal, line, (size_t)n) != n)
        die(CRASH_CHILD_DISAGREES, "the journal cannot be written");
}

static FILE *read_journal(const struct child *c, const char *job)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/journal-%s", c->directory, job);
    return fopen(path, "r");
}

/* false: the journal does not know this snapshot of the job. */
static bool find_note(const struct child *c, const char *job, uint64_t wanted, struct note *ret)
{
    char line[200];
    uint64_t id;
    struct note note;
    bool found = false;
    FILE *file = read_journal(c, job);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "has %" SCNu64 " %" SCNu64 " %" SCNu64 " %u %u", &id, &note.barrier,
                   &note.position, &note.parallelism[0], &note.parallelism[1]) == 5 &&
            id == wanted) {
            *ret = note;
            found = true;
        }
    if (file != NULL)
        fclose(file);
    return found;
}

static uint64_t promised_checkpoint(const struct child *c)
{
    char line[200];
    uint64_t id, newest = 0;
    FILE *file = read_journal(c, c->job_name);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "complete %" SCNu64, &id) == 1 && id > newest)
            newest = id;
    if (file != NULL)
        fclose(file);
    return newest;
}

static bool was_disposed_of(const struct child *c, const char *name)
{
    char line[200], expected[200];
    bool found = false;
    FILE *file = read_journal(c, c->job_name);
    snprintf(expected, sizeof expected, "dispose %s\n", name);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        found |= strcmp(line, expected) == 0;
    if (file != NULL)
        fclose(file);
    return found;
}

static void note_barrier(void *context, const struct life_task *task, uint64_t id)
{
    struct child *c = context;
    if (task->op == 0 && task->subtask == 0)
        journal(c, "has %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %u\n", id, id, c->position,
                c->parallelism[0], c->parallelism[1]);
}

/* ------------------------------------------------------------------------------------------ *
 * State
 * ------------------------------------------------------------------------------------------ */

/* Who gets which element of a split list depends on the parallelism then: left out. */
static uint64_t operation(const struct child *c, uint64_t position)
{
    uint64_t random = life_random(c->seed ^ life_random(position));
    while (life_step_of(random, true).what == LIFE_SPLIT_ADD)
        random = life_random(random);
    return random;
}

static const struct life_plan usual_plans[LIFE_OPS] = {{1, 0, false, 0}, {1, 1, true, 0}};

static void replay(const struct child *c, const struct note *note, struct life_oracle *oracle)
{
    memset(oracle, 0, sizeof *oracle);
    for (unsigned op = 0; op < LIFE_OPS; op++) {
        oracle->ops[op].parallelism = note->parallelism[op];
        oracle->ops[op].barrier_id = note->barrier;
        oracle->ops[op].version = usual_plans[op].version;
        oracle->ops[op].expires = usual_plans[op].expires;
    }
    for (uint64_t i = 0; i < note->position; i++) {
        struct life_step step = life_step_of(operation(c, i), true);
        life_oracle_apply(oracle, &step);
    }
}

static void open_life(struct child *c, struct life *life, cairn_job *job, const struct note *note)
{
    struct life_plan plans[LIFE_OPS];
    cairn_error *error = NULL;
    memcpy(plans, usual_plans, sizeof plans);
    if (note != NULL)
        replay(c, note, &life->oracle);
    for (unsigned op = 0; op < LIFE_OPS; op++)
        plans[op].parallelism = c->parallelism[op];
    must(life_open(life, job, plans, &error), "tasks", error);
    const char *wrong = life_check(life);
    if (wrong != NULL)
        die(CRASH_CHILD_DISAGREES, "position %" PRIu64 ": %s", note != NULL ? note->position : 0,
            wrong);
    must(cairn_job_start(job, &error), "start", error);
}

/* Of the snapshot `name`, a savepoint of this job or the source of it: savepoint-<job>-<id>. */
static struct note note_of_savepoint(const struct child *c, const char *name)
{
    const char *job = name + strlen("savepoint-"), *dash = strrchr(name, '-');
    char text[200];
    struct note note;
    snprintf(text, sizeof text, "%.*s", (int)(dash - job), job);
    if (!find_note(c, text, strtoull(dash + 1, NULL, 10), &note))
        die(CRASH_CHILD_DISAGREES, "'%s' was never begun", name);
    return note;
}

static void open_job(struct child *c)
{
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_error *error = NULL;
    char local[PATH_MAX];
    struct note note;
    uint64_t promised = promised_checkpoint(c);
    snprintf(local, sizeof local, "%s/local", c->directory);
    options.store = c->store;
    options.pack_below_bytes = 1; /* many operations to be killed at */
    options.local_dir = local;
    options.state_memory_bytes = 16 << 20;
    options.log = print_log;
    options.now_ms = stopped_clock;
    options.restore_store = c->from != NULL ? c->store : NULL;
    options.restore_name = c->from;
    options.claim_mode = c->from != NULL ? CAIRN_CLAIM : CAIRN_NO_CLAIM;
    options.restore_only_if_new = c->from != NULL;
    must(cairn_job_open(c->job_name, &options, &c->job, &error), "open", error);
    bool restored = cairn_job_restored(c->job, &info) == 1;
    if (info.id < promised)
        die(CRASH_CHILD_DISAGREES, "restored %" PRIu64 ", but %" PRIu64 " was complete", info.id,
            promised);
    if (restored && !find_note(c, c->job_name, info.id, &note)) {
        if (c->from == NULL)
            die(CRASH_CHILD_DISAGREES, "nobody took checkpoint %" PRIu64, info.id);
        note = note_of_savepoint(c, c->from);
        journal(c, "has %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %u\n", info.id, note.barrier,
                note.position, note.parallelism[0], note.parallelism[1]);
    }
    c->position = restored ? note.position : 0;
    open_life(c, &c->life, c->job, restored ? &note : NULL);
}

/* ------------------------------------------------------------------------------------------ *
 * Savepoints at rest
 * ------------------------------------------------------------------------------------------ */

struct saved {
    char names[SAVED_MAX][100];
    size_t count;
};

static int note_directory(void *context, const char *segment, const cairn_object_stat *stat)
{
    struct saved *saved = context;
    if (stat == NULL && strncmp(segment, "savepoint-", 10) == 0 && saved->count < SAVED_MAX)
        snprintf(saved->names[saved->count++], sizeof saved->names[0], "%.*s",
                 (int)strlen(segment) - 1, segment);
    return 0;
}

static void list_directories(struct child *c, struct saved *ret)
{
    cairn_error *error = NULL;
    ret->count = 0;
    must(c->store->ops->list_segments(c->store, "", note_directory, ret, &error), "list", error);
}

/* What the job has claimed is not among them: it goes in the background. */
static void list_saved(struct child *c, struct saved *ret)
{
    size_t kept = 0;
    list_directories(c, ret);
    for (size_t i = 0; i < ret->count; i++)
        if (c->from == NULL || strcmp(ret->names[i], c->from) != 0)
            memmove(ret->names[kept++], ret->names[i], sizeof ret->names[i]);
    ret->count = kept;
}

static void dispose(struct child *c, const char *name)
{
    cairn_error *error = NULL;
    journal(c, "dispose %s\n", name);
    must(cairn_dispose(c->store, name, NULL, NULL, &error), "dispose", error);
}

/* The job has been started: what its predecessor began is whole, or gone. */
static void tidy_savepoints(struct child *c)
{
    struct saved saved;
    list_saved(c, &saved);
    for (size_t i = 0; i < saved.count; i++) {
        cairn_snapshot *snapshot;
        if (cairn_snapshot_open(c->store, saved.names[i], 0, &snapshot, NULL) == 0)
            cairn_snapshot_close(snapshot);
        else if (was_disposed_of(c, saved.names[i]))
            dispose(c, saved.names[i]);
        else
            die(CRASH_CHILD_DISAGREES, "something is left of '%s'", saved.names[i]);
    }
}

/* A job in memory starts from the savepoint. */
static void check_savepoint(struct child *c, const char *name)
{
    static struct life life;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_verify_options verify = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_error *error = NULL;
    cairn_job *job;
    char local[PATH_MAX];
    struct note note = note_of_savepoint(c, name);
    snprintf(local, sizeof local, "%s/reader", c->directory);
    options.store_uri = "memory:";
    options.local_dir = local;
    options.now_ms = stopped_clock;
    options.restore_store = c->store;
    options.restore_name = name;
    verify.full = 1;
    must(cairn_verify(c->store, name, &verify, NULL, &error), name, error);
    must(life_init(&life, &error), "life", error);
    must(cairn_job_open("reader", &options, &job, &error), name, error);
    open_life(c, &life, job, &note);
    cairn_job_close(job);
    life_close(&life);
    life_done(&life);
}

static void check_savepoints(struct child *c)
{
    struct saved saved;
    list_directories(c, &saved);
    for (size_t i = 0; i < saved.count; i++) {
        if (c->from != NULL && strcmp(saved.names[i], c->from) == 0)
            die(CRASH_CHILD_DISAGREES, "'%s' has two owners", c->from);
        check_savepoint(c, saved.names[i]);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Work
 * ------------------------------------------------------------------------------------------ */

static void poll_all(struct child *c)
{
    cairn_error *error = NULL;
    cairn_event event;
    for (unsigned op = 0; op < LIFE_OPS; op++)
        for (unsigned i = 0; i < c->parallelism[op]; i++) {
            must(cairn_task_wait(c->life.tasks[op][i].task, 1, &event, &error), "poll", error);
            if (event.type == CAIRN_EVENT_ABORTED)
                die(CRASH_CHILD_ABORTED, "snapshot %" PRIu64 " was aborted", event.checkpoint_id);
        }
}

static void checkpoint(struct child *c)
{
    cairn_checkpoint_info before = CAIRN_CHECKPOINT_INFO_INIT, info = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_error *error = NULL;
    (void)cairn_job_last_checkpoint(c->job, &before);
    must(cairn_job_trigger(c->job, NULL, &error), "trigger", error);
    while (cairn_job_last_checkpoint(c->job, &info) == 0 || info.id == before.id)
        poll_all(c);
    journal(c, "complete %" PRIu64 "\n", info.id);
}

static void savepoint(struct child *c, cairn_savepoint_format format)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_savepoint_handle *handle;
    cairn_error *error = NULL;
    options.target_store = c->store;
    options.format = format;
    options.link_previous = 1;
    must(cairn_savepoint_begin(c->job, &options, &handle, &error), "savepoint", error);
    while (info.phase < CAIRN_SAVEPOINT_COMPLETE) {
        poll_all(c);
        must(cairn_savepoint_status(handle, &info, &error), "status", error);
    }
    must(cairn_savepoint_wait(handle, 0, NULL, &error), "savepoint", error);
    cairn_savepoint_close(handle);
}

static void act(struct child *c)
{
    struct saved saved;
    switch (c->position / c->every % 4) {
    case 0:
        list_saved(c, &saved);
        if (saved.count > 1)
            dispose(c, saved.names[0]);
        break;
    case 1:
        savepoint(c, CAIRN_CANONICAL);
        break;
    case 2:
        checkpoint(c);
        break;
    default:
        savepoint(c, CAIRN_NATIVE);
        break;
    }
}

static void work(struct child *c)
{
    cairn_error *error = NULL;
    while (c->position < c->operations) {
        must(life_step(&c->life, operation(c, c->position), true, &error), "step", error);
        c->position++;
        if (c->every > 0 && c->position % c->every == 0)
            act(c);
        if (c->pace_us > 0)
            crn_sleep_us(c->pace_us);
    }
    checkpoint(c);
}

/* ------------------------------------------------------------------------------------------ *
 * The process
 * ------------------------------------------------------------------------------------------ */

static void parse(struct child *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"job", required_argument, NULL, 'j'},     {"from", required_argument, NULL, 'f'},
        {"kill-at", required_argument, NULL, 'k'}, {"kill-after", no_argument, NULL, 'a'},
        {"every", required_argument, NULL, 'e'},   {"parallelism", required_argument, NULL, 'n'},
        {"pace-us", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'j')
            c->job_name = optarg;
        else if (option == 'f')
            c->from = optarg;
        else if (option == 'k')
            c->kill_at = strtoull(optarg, NULL, 10);
        else if (option == 'a')
            c->kill_after = true;
        else if (option == 'e')
            c->every = strtoull(optarg, NULL, 10);
        else if (option == 'p')
            c->pace_us = strtoull(optarg, NULL, 10);
        else if (option == 'n' &&
                 sscanf(optarg, "%1u%1u", &c->parallelism[0], &c->parallelism[1]) == 2)
            continue;
        else
            die(CRASH_CHILD_USAGE, "bad option");
    }
    if (argc - optind != 3)
        die(CRASH_CHILD_USAGE, "usage: crash_life DIR SEED OPERATIONS [options]");
    c->directory = argv[optind];
    c->seed = strtoull(argv[optind + 1], NULL, 10);
    c->operations = strtoull(argv[optind + 2], NULL, 10);
}

static void open_store(struct child *c)
{
    char path[PATH_MAX];
    cairn_store *inner;
    cairn_error *error = NULL;
    snprintf(path, sizeof path, "%s/journal-%s", c->directory, c->job_name);
    c->journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (c->journal < 0)
        die(CRASH_CHILD_USAGE, "the journal cannot be opened");
    snprintf(path, sizeof path, "%s/store", c->directory);
    must(cairn_store_open(path, &inner, &error), "store", error);
    must(crn_fault_store_open(inner, &c->store, &error), "store", error);
    struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY, .at = c->kill_at};
    plan.mode = c->kill_after ? CRN_FAULT_KILL_AFTER : CRN_FAULT_KILL;
    if (c->kill_at == 0)
        plan.mode = CRN_FAULT_NEVER;
    crn_fault_store_arm(c->store, &plan);
}

int main(int argc, char **argv)
{
    static struct child c = {.job_name = CRASH_JOB, .parallelism = {2, 1}};
    cairn_error *error = NULL;
    parse(&c, argc, argv);
    open_store(&c);
    must(life_init(&c.life, &error), "life", error);
    c.life.at_barrier = note_barrier;
    c.life.context = &c;
    open_job(&c);
    tidy_savepoints(&c);
    work(&c);
    fprintf(stderr, "crash_life %d: %" PRIu64 " store operations\n", (int)getpid(),
            crn_fault_store_calls(c.store));
    cairn_job_close(c.job);
    life_close(&c.life);
    check_savepoints(&c);
    life_done(&c.life);
    cairn_store_close(c.store);
    return CRASH_CHILD_DONE;
}
