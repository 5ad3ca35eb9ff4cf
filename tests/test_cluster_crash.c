/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a job of several processes has its state and its output exactly once, whatever
 * becomes of its processes (P1 to P8).
 *
 * Method: real processes, a coordinator and three workers, count keys and write each step through a
 * two-phase sink (tests/support/cluster_child.c). They are killed, stopped for longer and shorter
 * than their time, doubled, cut off from the store; each schedule alone, and several in a row by
 * chance. In between no line is ever visible twice. At the end every line is there once; in each
 * epoch all processes had restored the same checkpoint, the newest that any process was told of;
 * and the store is whole, with nothing dead in it after one collection.
 *
 * On a directory; with CAIRN_TEST_S3 (tests/support/s3/run.sh) in a bucket, and fewer of them.
 * CAIRN_SEED=n replays what is left to chance.
 */
#include "tests/support/cluster_run.h"
#include "tests/support/tap.h"

#include "base/thread.h"

#include <check.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 3u

static uint64_t seed;
static struct cluster cluster;

/* A job that runs, and has a checkpoint. */
static struct cluster *begin(const char *name, uint64_t rounds)
{
    struct cluster *c = &cluster;
    cluster_init(c, name, seed, rounds, WORKERS);
    c->finish = seed % 2 == 0;
    cluster_start(c, WORKERS);
    cluster_await_checkpoint(c, 0);
    return c;
}

static void end(struct cluster *c)
{
    cluster_finish(c);
    cluster_done(c);
}

/* Somewhere within the next few checkpoints. */
static void a_while(struct cluster *c)
{
    cluster_run_for(c, cluster_random(c, 200));
}

static struct cluster_process *any_worker(struct cluster *c)
{
    return cluster_find(c, false, cluster_random(c, c->workers));
}

static void expect_nobody_restarted(struct cluster *c, uint64_t epoch)
{
    if (cluster_epoch(c) != epoch)
        crash_fail(c->dir.path, "the job of epoch %llu has failed, and runs in epoch %llu",
                   (unsigned long long)epoch, (unsigned long long)cluster_epoch(c));
}

/* ------------------------------------------------------------------------------------------ *
 * What may happen
 * ------------------------------------------------------------------------------------------ */

static void kill_worker(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    cluster_signal(any_worker(c), SIGKILL);
    cluster_await_checkpoint(c, epoch + 1);
}

static void kill_coordinator(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    cluster_signal(cluster_find(c, true, 0), SIGKILL);
    cluster_await_checkpoint(c, epoch + 1);
}

static void kill_everybody(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    for (size_t i = 0; i < c->count; i++)
        if (!c->processes[i].has_ended)
            cluster_signal(&c->processes[i], SIGKILL);
    cluster_await_checkpoint(c, epoch + 1);
}

/* The zombie is not started again when it ends, as another process has its place. */
static void stall_worker(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    struct cluster_process *zombie = any_worker(c);
    cluster_signal(zombie, SIGSTOP);
    zombie->is_kept = false;
    cluster_run_for(c, CLUSTER_TIMEOUT_MS);
    (void)cluster_spawn(c, false, zombie->index, true);
    cluster_await_checkpoint(c, epoch + 1);
    cluster_signal(zombie, SIGCONT);
    int code = cluster_await_end(c, zombie);
    if (code != CRASH_CHILD_FENCED && code != CRASH_CHILD_FAILED)
        crash_fail(c->dir.path, "a worker that came back late ended with %d", code);
}

static void stall_coordinator(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    struct cluster_process *zombie = cluster_find(c, true, 0);
    cluster_signal(zombie, SIGSTOP);
    zombie->is_kept = false;
    a_while(c);
    (void)cluster_spawn(c, true, 0, true);
    cluster_await_checkpoint(c, epoch + 1);
    cluster_signal(zombie, SIGCONT);
    int code = cluster_await_end(c, zombie);
    if (code != CRASH_CHILD_FENCED)
        crash_fail(c->dir.path, "a replaced coordinator ended with %d", code);
}

/* Shorter than it takes to be lost: nobody is started again. */
static void stall_shortly(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    struct cluster_process *p =
        cluster_random(c, 3) == 0 ? cluster_find(c, true, 0) : any_worker(c);
    cluster_signal(p, SIGSTOP);
    cluster_run_for(c, CLUSTER_TIMEOUT_MS / 4);
    cluster_signal(p, SIGCONT);
    cluster_await_checkpoint(c, epoch);
    expect_nobody_restarted(c, epoch);
}

/* Both take the job over, the one after the other: the first of them is fenced. */
static void two_coordinators(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    struct cluster_process *old = cluster_find(c, true, 0);
    cluster_signal(old, SIGKILL);
    (void)cluster_spawn(c, true, 0, true); /* and the old one is started again as well */
    cluster_await_checkpoint(c, epoch + 1);
    uint32_t left = 2;
    for (unsigned i = 0; i < 400 && left != 1; i++) {
        cluster_run_for(c, 50);
        left = 0;
        for (size_t k = 0; k < c->count; k++)
            left += c->processes[k].is_coordinator && !c->processes[k].has_ended;
    }
    ck_assert_uint_eq(left, 1);
    cluster_await_checkpoint(c, epoch + 1);
}

/* A second process for a subtask that has one finds no place, and the job does not mind. */
static void worker_twice(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    const unsigned join_ms = c->join_ms;
    c->join_ms = 1000;
    struct cluster_process *second = cluster_spawn(c, false, cluster_random(c, c->workers), false);
    c->join_ms = join_ms;
    cluster_await_checkpoint(c, epoch);
    int code = cluster_await_end(c, second);
    if (code != CLUSTER_CHILD_TWICE && code != CLUSTER_CHILD_TIMEOUT)
        crash_fail(c->dir.path, "a second process for a subtask ended with %d", code);
    cluster_await_checkpoint(c, epoch);
    expect_nobody_restarted(c, epoch);
}

static void set_outage(struct cluster *c, const char *who, bool is_out)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/outage%s", c->dir.path, who);
    if (is_out)
        fclose(fopen(path, "w"));
    else
        ck_assert_int_eq(unlink(path), 0);
}

/* Nobody can reach the store, for longer than a worker may be silent: nobody is to blame, and all
 * survive. */
static void outage_of_all(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    set_outage(c, "", true);
    cluster_run_for(c, CLUSTER_TIMEOUT_MS + CLUSTER_TIMEOUT_MS / 2);
    set_outage(c, "", false);
    cluster_await_checkpoint(c, epoch);
    expect_nobody_restarted(c, epoch);
}

static void outage_of_coordinator(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    set_outage(c, "-coordinator-0", true);
    cluster_run_for(c, CLUSTER_TIMEOUT_MS + CLUSTER_TIMEOUT_MS / 2);
    set_outage(c, "-coordinator-0", false);
    cluster_await_checkpoint(c, epoch);
    expect_nobody_restarted(c, epoch);
}

/* To the others it is as if it were lost; it learns that when it reaches the store again. */
static void outage_of_worker(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    char who[32];
    (void)snprintf(who, sizeof who, "-worker-%u", (unsigned)cluster_random(c, c->workers));
    set_outage(c, who, true);
    cluster_run_for(c, CLUSTER_TIMEOUT_MS + CLUSTER_TIMEOUT_MS / 2);
    set_outage(c, who, false);
    cluster_await_checkpoint(c, epoch + 1);
}

static void savepoints(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    ck_assert_int_eq(cluster_command(c, "savepoint"), 0);
    ck_assert_int_eq(cluster_command(c, "native"), 0);
    ck_assert_int_eq(cluster_command(c, "full"), 0);
    cluster_await_checkpoint(c, epoch);
    expect_nobody_restarted(c, epoch);
}

static void rescale_to(struct cluster *c, uint32_t workers)
{
    const uint64_t epoch = cluster_epoch(c);
    cluster_stop(c);
    cluster_start(c, workers);
    cluster_await_checkpoint(c, epoch + 1);
}

static void rescale(struct cluster *c)
{
    rescale_to(c, 1 + cluster_random(c, 4));
}

/* Checkpoints stay, and the next start goes on. */
static void cancel(struct cluster *c)
{
    const uint64_t epoch = cluster_epoch(c);
    ck_assert_int_eq(cluster_command(c, "cancel"), 0);
    for (size_t i = 0; i < c->count; i++) {
        struct cluster_process *p = &c->processes[i];
        if (p->has_ended)
            continue;
        p->is_kept = false;
        int code = cluster_await_end(c, p);
        if (code != CRASH_CHILD_DONE)
            crash_fail(c->dir.path, "a process ended with %d when the job was cancelled", code);
    }
    c->count = 0;
    cluster_start(c, c->workers);
    cluster_await_checkpoint(c, epoch + 1);
}

/* ------------------------------------------------------------------------------------------ *
 * Each alone
 * ------------------------------------------------------------------------------------------ */

static const struct schedule {
    const char *name;
    void (*run)(struct cluster *c);
    bool on_s3; /* as well; all of them would take too long */
} schedules[] = {
    {"kill-worker", kill_worker, true},
    {"kill-coordinator", kill_coordinator, true},
    {"kill-everybody", kill_everybody, false},
    {"stall-worker", stall_worker, true},
    {"stall-coordinator", stall_coordinator, true},
    {"stall-shortly", stall_shortly, false},
    {"two-coordinators", two_coordinators, true},
    {"worker-twice", worker_twice, false},
    {"outage-of-all", outage_of_all, true},
    {"outage-of-coordinator", outage_of_coordinator, false},
    {"outage-of-worker", outage_of_worker, false},
    {"savepoints", savepoints, true},
    {"rescale", rescale, true},
    {"cancel", cancel, false},
};
#define SCHEDULES (sizeof schedules / sizeof schedules[0])

START_TEST(each_alone)
{
    const struct schedule *s = &schedules[_i];
    struct cluster *c = begin(s->name, 250);
    a_while(c);
    s->run(c);
    end(c);
}
END_TEST

START_TEST(several_by_chance)
{
    char name[32];
    (void)snprintf(name, sizeof name, "chance-%d", _i);
    seed += (uint64_t)_i;
    struct cluster *c = begin(name, 500);
    for (unsigned i = 0; i < 6; i++) {
        const struct schedule *s = &schedules[cluster_random(c, SCHEDULES)];
        printf("# %s: %s\n", name, s->name);
        fflush(stdout);
        a_while(c);
        s->run(c);
        (void)cluster_lines(c);
    }
    end(c);
}
END_TEST

/* From three workers to two, and to four: each takes its keys with it. */
START_TEST(other_numbers_of_workers)
{
    struct cluster *c = begin("numbers", 400);
    rescale_to(c, 2);
    a_while(c);
    rescale_to(c, 4);
    end(c);
}
END_TEST

/* Somebody is missing: all give up, and say who. */
START_TEST(a_worker_that_never_comes)
{
    struct cluster *c = &cluster;
    cluster_init(c, "missing", seed, 10, WORKERS);
    c->join_ms = 1500;
    (void)cluster_spawn(c, true, 0, false);
    for (uint32_t i = 0; i + 1 < WORKERS; i++)
        (void)cluster_spawn(c, false, i, false);
    for (size_t i = 0; i < c->count; i++) {
        int code = cluster_await_end(c, &c->processes[i]);
        if (code != CLUSTER_CHILD_TIMEOUT &&
            (code != CRASH_CHILD_FAILED || c->processes[i].is_coordinator))
            crash_fail(c->dir.path, "a process ended with %d when another one was missing", code);
    }
    if (!crash_said(c->dir.path, "2 of 3 workers"))
        crash_fail(c->dir.path, "nobody said how many workers have come");
    /* It has done no harm. */
    c->count = 0;
    c->join_ms = 30000;
    cluster_start(c, WORKERS);
    end(c);
}
END_TEST

START_TEST(a_coordinator_that_never_comes)
{
    struct cluster *c = &cluster;
    cluster_init(c, "alone", seed, 10, WORKERS);
    c->join_ms = 500;
    ck_assert_int_eq(cluster_await_end(c, cluster_spawn(c, false, 0, false)),
                     CLUSTER_CHILD_TIMEOUT);
    ck_assert(crash_said(c->dir.path, "coordinator"));
    cluster_done(c);
}
END_TEST

int main(void)
{
    const char *text = getenv("CAIRN_SEED");
    const bool is_s3 = getenv("CAIRN_TEST_S3") != NULL;
    seed = text != NULL ? strtoull(text, NULL, 10) : crn_now_us() % 1000000;
    printf("# CAIRN_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    Suite *suite = suite_create("cluster_crash");
    TCase *chance = tcase_create("chance"), *start = tcase_create("start");
    tcase_set_timeout(chance, 300);
    tcase_set_timeout(start, 150);
    for (size_t i = 0; i < SCHEDULES; i++) {
        TCase *alone = tcase_create(schedules[i].name);
        tcase_set_timeout(alone, 150);
        if (!is_s3 || schedules[i].on_s3)
            tcase_add_loop_test(alone, each_alone, (int)i, (int)i + 1);
        suite_add_tcase(suite, alone);
    }
    tcase_add_loop_test(chance, several_by_chance, 0, is_s3 ? 1 : 2);
    tcase_add_test(start, other_numbers_of_workers);
    tcase_add_test(start, a_worker_that_never_comes);
    tcase_add_test(start, a_coordinator_that_never_comes);
    suite_add_tcase(suite, chance);
    suite_add_tcase(suite, start);
    return crn_test_run(suite);
}
