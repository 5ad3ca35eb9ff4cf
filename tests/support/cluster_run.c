/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the processes of a job; cluster_check.c looks at what they leave. */
#include "tests/support/cluster_run.h"

#include "base/thread.h"

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIVE_UP_MS 60000u
#define SPAWNED_MAX 150u

void cluster_init(struct cluster *c, const char *name, uint64_t seed, uint64_t rounds,
                  uint32_t workers)
{
    const char *s3 = getenv("CAIRN_TEST_S3");
    *c = (struct cluster){.seed = seed,
                          .rounds = rounds,
                          .random = seed * 2654435761u + 1,
                          .workers = workers,
                          .pace_us = 1000,
                          .interval_ms = 50,
                          .join_ms = 30000};
    crash_place_init(&c->place);
    c->dir = crash_dir(&c->place, "%s", name);
    c->is_s3 = s3 != NULL;
    if (!c->is_s3) {
        (void)snprintf(c->store, sizeof c->store, "%s/store", c->dir.path);
        return;
    }
    /* A prefix of the test's own: behind the path, in front of the query. */
    const char *query = strchr(s3, '?');
    const int path = query == NULL ? (int)strlen(s3) : (int)(query - s3);
    (void)snprintf(c->store, sizeof c->store, "%.*s/%s-%d%s", path, s3, name, (int)getpid(),
                   query == NULL ? "" : query);
}

void cluster_done(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (!c->processes[i].has_ended) {
            (void)kill(c->processes[i].pid, SIGKILL);
            (void)waitpid(c->processes[i].pid, NULL, 0);
        }
    crash_place_done(&c->place);
}

uint32_t cluster_random(struct cluster *c, uint32_t end)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random >> 16) % end;
}

/* ------------------------------------------------------------------------------------------ *
 * Processes
 * ------------------------------------------------------------------------------------------ */

/* Each has a local directory of its own: one that is stopped by a signal still has its lock. */
static void spawn_into(struct cluster *c, struct cluster_process *p)
{
    if (c->spawned++ > SPAWNED_MAX)
        crash_fail(c->dir.path, "too many processes end and are started again");
    p->pid = crash_spawn(
        c->dir.path, c->seed, c->rounds,
        "%s %u %u %s %s/local-%u interval=%u poll=%u heartbeat=%u timeout=%u join=%u pace=%u "
        "finish=%d",
        p->is_coordinator ? "coordinator" : "worker", (unsigned)p->index, (unsigned)c->workers,
        c->store, c->dir.path, c->spawned, c->interval_ms, CLUSTER_POLL_MS, CLUSTER_HEARTBEAT_MS,
        CLUSTER_TIMEOUT_MS, c->join_ms, c->pace_us, (int)c->finish);
    p->has_ended = false;
}

struct cluster_process *cluster_spawn(struct cluster *c, bool is_coordinator, uint32_t index,
                                      bool is_kept)
{
    ck_assert_uint_lt(c->count, CLUSTER_PROCESSES);
    struct cluster_process *p = &c->processes[c->count++];
    *p = (struct cluster_process){
        .is_coordinator = is_coordinator, .index = index, .is_kept = is_kept};
    spawn_into(c, p);
    return p;
}

void cluster_start(struct cluster *c, uint32_t workers)
{
    c->workers = workers;
    (void)cluster_spawn(c, true, 0, true);
    for (uint32_t i = 0; i < workers; i++)
        (void)cluster_spawn(c, false, i, true);
}

struct cluster_process *cluster_find(struct cluster *c, bool is_coordinator, uint32_t index)
{
    for (size_t i = c->count; i > 0; i--) {
        struct cluster_process *p = &c->processes[i - 1];
        if (!p->has_ended && p->is_coordinator == is_coordinator && p->index == index)
            return p;
    }
    crash_fail(c->dir.path, "there is no such process: %s %u",
               is_coordinator ? "coordinator" : "worker", (unsigned)index);
}

void cluster_signal(const struct cluster_process *process, int number)
{
    ck_assert(!process->has_ended);
    ck_assert_int_eq(kill(process->pid, number), 0);
}

/* As `cairn run` would: whoever ends well stays away, and a coordinator that was replaced. */
static bool is_started_again(const struct cluster_process *p)
{
    return p->is_kept && p->code != CRASH_CHILD_DONE &&
           !(p->is_coordinator && p->code == CRASH_CHILD_FENCED);
}

static void tend(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct cluster_process *p = &c->processes[i];
        int status;
        if (p->has_ended || waitpid(p->pid, &status, WNOHANG) != p->pid)
            continue;
        p->has_ended = true;
        p->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (p->code == CRASH_CHILD_USAGE || p->code == 128 + SIGSEGV || p->code == 128 + SIGABRT)
            crash_fail(c->dir.path, "%s %u (process %d) ended with %d",
                       p->is_coordinator ? "coordinator" : "worker", (unsigned)p->index,
                       (int)p->pid, p->code);
        if (is_started_again(p))
            spawn_into(c, p);
    }
}

/* Runs until the condition holds; every look at it costs a little. */
static void run_until(struct cluster *c, bool (*holds)(struct cluster *c, const void *argument),
                      const void *argument, const char *what)
{
    const uint64_t give_up_us = crn_now_us() + GIVE_UP_MS * UINT64_C(1000);
    while (!holds(c, argument)) {
        if (crn_now_us() > give_up_us)
            crash_fail(c->dir.path, "waited in vain for %s", what);
        tend(c);
        crn_sleep_us(5000);
    }
}

void cluster_run_for(struct cluster *c, unsigned ms)
{
    for (uint64_t end_us = crn_now_us() + ms * UINT64_C(1000); crn_now_us() < end_us;
         crn_sleep_us(3000))
        tend(c);
}

static bool process_has_ended(struct cluster *c, const void *argument)
{
    const struct cluster_process *p = argument;
    (void)c;
    return p->has_ended;
}

int cluster_await_end(struct cluster *c, const struct cluster_process *process)
{
    ck_assert(!process->is_kept);
    run_until(c, process_has_ended, process, "the end of a process");
    return process->code;
}

/* ------------------------------------------------------------------------------------------ *
 * The journal, while it grows
 * ------------------------------------------------------------------------------------------ */

struct progress {
    uint64_t epoch; /* of the newest coordinator that has started */
    uint64_t id;    /* newest complete checkpoint that a worker has heard of */
    uint64_t id_epoch;
    unsigned commands;
    int code; /* of the last command */
};

static struct progress read_progress(struct cluster *c)
{
    struct progress progress = {0};
    char path[PATH_MAX], line[320], word[32];
    uint64_t id, epoch;
    int index, code;
    (void)snprintf(path, sizeof path, "%s/journal", c->dir.path);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "started %*d coordinator %*u %" SCNu64, &epoch) == 1 &&
            epoch > progress.epoch)
            progress.epoch = epoch;
        if (sscanf(line, "complete %" SCNu64 " %" SCNu64 " %d", &id, &epoch, &index) == 3 &&
            index >= 0 && id > progress.id) {
            progress.id = id;
            progress.id_epoch = epoch;
        }
        if (sscanf(line, "did %31s %d", word, &code) == 2) {
            progress.commands++;
            progress.code = code;
        }
    }
    if (file != NULL)
        fclose(file);
    return progress;
}

uint64_t cluster_epoch(struct cluster *c)
{
    return read_progress(c).epoch;
}

uint64_t cluster_newest(struct cluster *c)
{
    return read_progress(c).id;
}

static bool has_progressed(struct cluster *c, const void *argument)
{
    const struct progress *before = argument;
    const struct progress now = read_progress(c);
    return now.id > before->id && now.id_epoch >= before->epoch;
}

void cluster_await_checkpoint(struct cluster *c, uint64_t epoch)
{
    const struct progress before = {.id = cluster_newest(c), .epoch = epoch};
    run_until(c, has_progressed, &before, "a complete checkpoint");
}

static bool output_has_grown(struct cluster *c, const void *argument)
{
    return cluster_lines(c) > *(const uint64_t *)argument;
}

/* However long it takes, as long as there is more and more of it. */
void cluster_await_output(struct cluster *c)
{
    for (uint64_t lines; (lines = cluster_lines(c)) < c->rounds * CLUSTER_KEYS;)
        run_until(c, output_has_grown, &lines, "more of the output");
}

static bool was_done(struct cluster *c, const void *argument)
{
    return read_progress(c).commands > *(const unsigned *)argument;
}

int cluster_command(struct cluster *c, const char *command)
{
    char path[PATH_MAX], hidden[PATH_MAX + 8];
    const unsigned before = read_progress(c).commands;
    (void)snprintf(path, sizeof path, "%s/command", c->dir.path);
    (void)snprintf(hidden, sizeof hidden, "%s.new", path);
    FILE *file = fopen(hidden, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "%s\n", command);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(hidden, path), 0);
    run_until(c, was_done, &before, command);
    return read_progress(c).code;
}

static bool all_have_ended(struct cluster *c, const void *argument)
{
    (void)argument;
    for (size_t i = 0; i < c->count; i++)
        if (!c->processes[i].has_ended)
            return false;
    return true;
}

void cluster_stop(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++) /* who has ended before may have had its reasons */
        if (c->processes[i].has_ended)
            c->processes[i].code = CRASH_CHILD_DONE;
    ck_assert_int_eq(cluster_command(c, "stop"), 0);
    run_until(c, all_have_ended, NULL, "the end of all processes");
    for (size_t i = 0; i < c->count; i++)
        if (c->processes[i].code != CRASH_CHILD_DONE)
            crash_fail(c->dir.path, "process %d ended with %d after the stop",
                       (int)c->processes[i].pid, c->processes[i].code);
    c->count = 0;
}

void cluster_finish(struct cluster *c)
{
    cluster_await_output(c);
    cluster_stop(c);
    ck_assert_uint_eq(cluster_lines(c), c->rounds * CLUSTER_KEYS);
    cluster_check_journal(c);
    cluster_check_store(c);
}
