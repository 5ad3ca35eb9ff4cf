/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real processes that really die while they take savepoints, dispose of them, claim one and change
 * their parallelism: tests/support/crash_life.c, killed by SIGKILL before and after operations of
 * the store, and at any moment. Its successor, with another parallelism, goes on from the newest
 * checkpoint it was promised; each directory of a savepoint is whole, gone, or can be disposed of
 * again; what was claimed has one owner, and is gone from where it was; and nothing of Cairn's is
 * left anywhere (P1, P2, P5, P6, P9).
 *
 * CAIRN_SEED=n replays delays and data; CAIRN_STRIDE=1 kills at every operation, not at some.
 */
#include "tests/support/crash_run.h"
#include "tests/support/life_oracle.h"
#include "tests/support/tap.h"
#include "base/file.h"
#include "base/thread.h"
#include "cairn/store.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KILLED (128 + SIGKILL)

static struct crash_place place;
static uint64_t seed, random_state;

static uint64_t pick(uint64_t n)
{
    random_state = life_random(random_state);
    return random_state % n;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void set_up(void)
{
    seed = random_state = number_of("CAIRN_SEED", crn_random_u64() % 1000000000);
    printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    crash_place_init(&place);
}

static void tear_down(void)
{
    crash_place_done(&place);
}

/* After a clean end. What a write that was cut short left in some directory is known as temporary
 * (the collector waits an hour, this does not). */
static void check_end(const char *dir)
{
    char path[600];
    cairn_store *store;
    (void)snprintf(path, sizeof path, "%s/store", dir);
    ck_assert_int_eq(cairn_store_open(path, &store, NULL), 0);
    ck_assert_int_eq(store->ops->reap(store, "", 0, NULL, NULL), 0);
    cairn_store_close(store);
    crash_check_clean(dir, path);
}

/* ------------------------------------------------------------------------------------------ *
 * Operations of the store
 * ------------------------------------------------------------------------------------------ */

struct script {
    const char *name;
    const char *first; /* what the first process does, that nobody kills */
    uint64_t first_operations;
    const char *dies, *goes_on; /* the one that is killed, and the one after it */
    uint64_t operations, stride, at_least;
};

#define SAVES "--every 15 "
static const struct script scripts[] = {
    {"savepoints and disposal", SAVES "--parallelism 12", 40, SAVES "--parallelism 21",
     SAVES "--parallelism 12", 130, 13, 30},
    {"claiming native files", SAVES "--job source", 60,
     "--from savepoint-source-4 --parallelism 32", "--from savepoint-source-4 --parallelism 13", 80,
     7, 20},
    {"claiming canonical files", SAVES "--job source", 30,
     "--from savepoint-source-2 --parallelism 32", "--from savepoint-source-2 --parallelism 13", 80,
     5, 14},
};

/* The k-th operation, before (0) and after (1) it happens, in two processes at once. false: none
 * of them came so far. */
static bool kill_at(const struct script *script, const char *base, uint64_t k, uint64_t *cases)
{
    struct crash_dir dirs[2];
    pid_t children[2];
    bool killed = false;
    for (int after = 0; after < 2; after++) {
        dirs[after] = crash_dir(&place, "k%" PRIu64 "-%d", k, after);
        crash_copy(base, dirs[after].path);
        children[after] =
            crash_spawn(dirs[after].path, seed, script->operations, "%s --kill-at %" PRIu64 "%s",
                        script->dies, k, after ? " --kill-after" : "");
    }
    for (int after = 0; after < 2; after++) {
        const char *dir = dirs[after].path;
        int code = crash_wait(children[after], dir);
        if (code != KILLED && code != CRASH_CHILD_DONE)
            crash_fail(dir, "the child was to be killed and ended with %d", code);
        if (code == KILLED) {
            crash_expect(CRASH_CHILD_DONE, dir, seed, script->operations, "%s", script->goes_on);
            check_end(dir);
        }
        *cases += code == KILLED;
        killed |= code == KILLED;
        crash_remove(dir);
    }
    return killed;
}

START_TEST(killed_at_store_operations)
{
    const struct script *script = &scripts[_i];
    struct crash_dir base = crash_dir(&place, "base");
    uint64_t cases = 0, stride = number_of("CAIRN_STRIDE", script->stride);
    uint64_t k = 1 + pick(stride);
    crash_expect(CRASH_CHILD_DONE, base.path, seed, script->first_operations, "%s", script->first);
    /* How many there are varies with the threads: the end is where none was killed for a while. */
    for (unsigned survived = 0; survived < 3; k += stride)
        survived = kill_at(script, base.path, k, &cases) ? 0 : survived + 1;
    ck_assert_uint_gt(cases, script->at_least);
    printf("# %s: killed %" PRIu64 " times at up to %" PRIu64 " store operations\n", script->name,
           cases, k - 3 * stride);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Any moment
 * ------------------------------------------------------------------------------------------ */

#define RANDOM_KILLS 24

START_TEST(killed_at_random)
{
    struct crash_dir dir = crash_dir(&place, "random");
    for (int i = 0; i < RANDOM_KILLS; i++) {
        pid_t child =
            crash_spawn(dir.path, seed, UINT64_MAX, "--every 10 --pace-us 100 --parallelism %d%d",
                        1 + (int)pick(4), 1 + (int)pick(4));
        crn_sleep_us(pick(i % 3 == 0 ? 100 : 400) * 1000);
        (void)kill(child, SIGKILL);
        int code = crash_wait(child, dir.path);
        if (code != KILLED)
            crash_fail(dir.path, "the child was to be killed and ended with %d", code);
    }
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 0, "--parallelism 31");
    check_end(dir.path);
}
END_TEST

int main(void)
{
    /* What kills is no loss of power: memory is as good as a disk, and faster. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    Suite *suite = suite_create("crash_life");
    TCase *tcase = tcase_create("lives");
    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, killed_at_store_operations, 0,
                        (int)(sizeof scripts / sizeof scripts[0]));
    tcase_add_test(tcase, killed_at_random);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
