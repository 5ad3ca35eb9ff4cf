/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real processes that really die: tests/support/crash_child.c, killed by SIGKILL.
 *
 *   killed_at_every_store_operation   before and after each one, of a first run and of a run that
 *                                     restores, takes increments and subsumes; then a second
 *                                     process goes on. Proves P1, P2, P5, P6 and P9 (each case
 *                                     starts from a copy of one directory).
 *   killed_at_random                  one job, killed dozens of times at any moment: P1, P2, P5.
 *   two_writers                       a zombie and its successor, one of them stopped by SIGSTOP
 *                                     now and then: P7.
 *   full_store, ..., read_only_store  the machine's fault, not the job's: the old
 *                                     checkpoint stays, and once there is room all is well again.
 *
 * Each child compares what it restores with its oracle and with a journal of what its predecessors
 * were promised. SIGKILL does not lose what the kernel has: missing fsyncs are not seen here.
 *
 * CAIRN_SEED=n replays delays and data.
 */
#include "tests/support/crash_run.h"
#include "tests/support/tap.h"
#include "tests/support/workload.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define KILLED (128 + SIGKILL)
#define PATH_SIZE 600

static struct crash_place place;
static char disk_mounted[PATH_SIZE]; /* "": none */
static uint64_t seed, random_state;

static uint64_t pick(uint64_t n)
{
    random_state = workload_random(random_state);
    return random_state % n;
}

static void set_up(void)
{
    const char *fixed = getenv("CAIRN_SEED");
    seed = fixed != NULL ? strtoull(fixed, NULL, 10) : crn_random_u64() % 1000000000;
    random_state = seed;
    printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    crash_place_init(&place);
}

static void tear_down(void)
{
    if (disk_mounted[0] != '\0')
        ck_assert_int_eq(umount2(disk_mounted, MNT_DETACH), 0);
    crash_place_done(&place);
}

static void store_of(const char *dir, char ret[PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "%s/store", dir);
}

static void check_clean(const char *dir)
{
    char store[PATH_SIZE];
    store_of(dir, store);
    crash_check_clean(dir, store);
}

/* ------------------------------------------------------------------------------------------ *
 * Every store operation
 * ------------------------------------------------------------------------------------------ */

enum { FIRST_RUN, SECOND_RUN, RUNS };

static void go_on_after_death(const char *dir, uint64_t operations)
{
    char store[PATH_SIZE];
    store_of(dir, store);
    crash_check_usable(dir, store);
    crash_plant_leftovers(dir);
    crash_expect(CRASH_CHILD_DONE, dir, seed, operations, "--retained 2");
    crash_check_local(dir);
    check_clean(dir);
}

/* The k-th operation of one run, before (0) and after (1) it happens, in two processes at once.
 * false: none of them came so far. */
static bool kill_at(const char *base, uint64_t k, uint64_t operations, uint64_t *cases)
{
    struct crash_dir dirs[2];
    pid_t children[2];
    bool killed = false;
    for (int after = 0; after < 2; after++) {
        dirs[after] = crash_dir(&place, "k%" PRIu64 "-%d", k, after);
        crash_copy(base, dirs[after].path);
        children[after] = crash_spawn(dirs[after].path, seed, operations,
                                      "--retained 2 --request-every 20 --kill-at %" PRIu64 "%s", k,
                                      after ? " --kill-after" : "");
    }
    for (int after = 0; after < 2; after++) {
        int code = crash_wait(children[after], dirs[after].path);
        if (code != KILLED && code != CRASH_CHILD_DONE)
            crash_fail(dirs[after].path, "the child was to be killed and ended with %d", code);
        if (code == KILLED)
            go_on_after_death(dirs[after].path, operations);
        *cases += code == KILLED;
        killed |= code == KILLED;
        crash_remove(dirs[after].path);
    }
    return killed;
}

START_TEST(killed_at_every_store_operation)
{
    struct crash_dir base = crash_dir(&place, "base");
    uint64_t operations = 30, cases = 0, k = 1;
    if (_i == SECOND_RUN) {
        crash_expect(CRASH_CHILD_DONE, base.path, seed, operations, "--retained 2");
        operations = 80;
    }
    /* How many there are varies with the threads: the end is where none was killed for a while. */
    for (unsigned survived = 0; survived < 4; k++)
        survived = kill_at(base.path, k, operations, &cases) ? 0 : survived + 1;
    ck_assert_uint_gt(cases, _i == FIRST_RUN ? 30 : 60);
    printf("# %s run: killed %" PRIu64 " times at up to %" PRIu64 " store operations\n",
           _i == FIRST_RUN ? "first" : "second", cases, k - 5);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Any moment
 * ------------------------------------------------------------------------------------------ */

#define RANDOM_KILLS 34
#define ENOUGH_CHECKPOINTS 16 /* on a slow machine, more processes must die for them */

START_TEST(killed_at_random)
{
    const char *transfer = _i == 0 ? "link" : "copy";
    struct crash_dir dir = crash_dir(&place, "%s", transfer);
    char store[PATH_SIZE];
    unsigned killed = 0;
    store_of(dir.path, store);
    for (int i = 0;
         i < RANDOM_KILLS ||
         (i < 4 * RANDOM_KILLS && crash_read_journal(dir.path).complete < ENOUGH_CHECKPOINTS);
         i++) {
        /* Every third dies while it opens and restores. */
        uint64_t delay_ms = i % 3 == 0 ? pick(40) : pick(400);
        pid_t child = crash_spawn(
            dir.path, seed, UINT64_MAX,
            "--transfer %s --blob-max 8000 --interval-ms %" PRIu64 " --retained %" PRIu64
            " --request-every %" PRIu64 " --pace-us %d",
            transfer, 20 + pick(30), 1 + pick(3), pick(2) * 2000, pick(4) == 0 ? 0 : 300);
        crn_sleep_us(delay_ms * 1000);
        (void)kill(child, SIGKILL);
        int code = crash_wait(child, dir.path);
        if (code != KILLED)
            crash_fail(dir.path, "the child was to be killed and ended with %d", code);
        killed++;
        crash_check_usable(dir.path, store);
    }
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 0, "--transfer %s --blob-max 8000", transfer);
    check_clean(dir.path);
    crash_check_local(dir.path);
    struct crash_journal journal = crash_read_journal(dir.path);
    ck_assert_uint_ge(journal.complete, ENOUGH_CHECKPOINTS);
    ck_assert(!journal.overtaken);
    printf("# transfer=%s: killed %u times, %" PRIu64 " checkpoints\n", transfer, killed,
           journal.complete);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Two writers
 * ------------------------------------------------------------------------------------------ */

#define WRITER_ROUNDS 14

static pid_t spawn_writer(const char *dir, uint64_t operations, char local)
{
    return crash_spawn(dir, seed, operations,
                       "--local %s/local-%c --interval-ms 15 --request-every 700 --pace-us 200 "
                       "--retained %" PRIu64,
                       dir, local, 1 + pick(2));
}

/* In odd rounds the first one is asleep while the second one works: it wakes up as a zombie whose
 * next id was used, subsumed and removed long ago. */
static unsigned two_writers_round(const char *dir, int round)
{
    uint64_t operations = (uint64_t)(round + 1) * 6000;
    pid_t first = spawn_writer(dir, operations, 'a');
    crn_sleep_us(pick(250) * 1000);
    if (round % 2 == 1)
        ck_assert_int_eq(kill(first, SIGSTOP), 0);
    pid_t second = spawn_writer(dir, operations, 'b');
    int code_b = 0;
    if (round % 2 == 1) {
        code_b = crash_wait(second, dir);
        ck_assert_int_eq(kill(first, SIGCONT), 0);
    }
    int code_a = crash_wait(first, dir);
    if (round % 2 == 0)
        code_b = crash_wait(second, dir);
    bool fine_a = code_a == CRASH_CHILD_DONE || code_a == CRASH_CHILD_FENCED;
    bool fine_b = code_b == CRASH_CHILD_DONE || code_b == CRASH_CHILD_FENCED;
    if (!fine_a || !fine_b || code_a + code_b == 2 * CRASH_CHILD_FENCED)
        crash_fail(dir, "round %d: the writers ended with %d and %d", round, code_a, code_b);
    if (crash_read_journal(dir).overtaken)
        crash_fail(dir, "round %d: a writer committed after it was fenced", round);
    return (code_a == CRASH_CHILD_FENCED) + (code_b == CRASH_CHILD_FENCED);
}

START_TEST(two_writers)
{
    struct crash_dir dir = crash_dir(&place, "writers");
    unsigned fenced = 0;
    for (int round = 0; round < WRITER_ROUNDS; round++)
        fenced += two_writers_round(dir.path, round);
    ck_assert_uint_gt(fenced, WRITER_ROUNDS / 3);
    /* What the last one committed is what there is, and nothing of the others is left. */
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 0, "--local %s/local-a", dir.path);
    check_clean(dir.path);
    printf("# %d pairs of writers, %u fenced\n", WRITER_ROUNDS, fenced);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Trouble with disks
 * ------------------------------------------------------------------------------------------ */

/* A disk of its own for this process and its children; it goes with them. false: not allowed. */
static bool mount_disk(const char *path, unsigned size_kb)
{
    char options[64];
    snprintf(options, sizeof options, "size=%uk", size_kb);
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", path, "tmpfs", 0, options) == 0) {
        snprintf(disk_mounted, sizeof disk_mounted, "%s", path);
        return true;
    }
    printf("# skipped: cannot mount a small disk: %s\n", strerror(errno));
    return false;
}

/* Leaves so much free on the disk. */
static void fill_disk(const char *disk, size_t leave_kb)
{
    static const char block[1024];
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/ballast", disk);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    ck_assert_int_ge(fd, 0);
    off_t size = 0;
    while (write(fd, block, sizeof block) == (ssize_t)sizeof block)
        size += (off_t)sizeof block;
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_gt(size, (off_t)(leave_kb * 1024));
    ck_assert_int_eq(ftruncate(fd, size - (off_t)(leave_kb * 1024)), 0);
    ck_assert_int_eq(close(fd), 0);
}

static void empty_disk(const char *disk)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/ballast", disk);
    ck_assert_int_eq(unlink(path), 0);
}

#define DISK_OPTIONS "--store %s/store --blob-max %u"

/* The process lives on through aborted checkpoints, and completes one as soon as it can. false:
 * there was room from the start. */
static bool abort_until_there_is_room(const char *dir, const char *disk, unsigned blob_max,
                                      size_t leave_kb, uint64_t operations)
{
    const unsigned times = 3; /* two tasks tell the journal */
    char store[PATH_SIZE];
    struct crash_journal before = crash_read_journal(dir), now = before;
    store_of(disk, store);
    fill_disk(disk, leave_kb);
    pid_t child = crash_spawn(dir, seed, operations, DISK_OPTIONS, disk, blob_max);
    for (int i = 0;
         now.aborted < before.aborted + times && now.complete == before.complete && i < 3000; i++) {
        crn_sleep_us(10000);
        now = crash_read_journal(dir);
    }
    empty_disk(disk);
    bool aborted = now.aborted >= before.aborted + times;
    if (!aborted && now.complete == before.complete)
        crash_fail(dir, "with %zu KiB of room, the checkpoint neither ended nor was aborted",
                   leave_kb);
    ck_assert_int_eq(crash_wait(child, dir), CRASH_CHILD_DONE);
    ck_assert_uint_gt(crash_read_journal(dir).complete, before.complete);
    crash_check_clean(dir, store);
    return aborted;
}

START_TEST(full_store)
{
    struct crash_dir dir = crash_dir(&place, "work"), disk = crash_dir(&place, "disk");
    char store[PATH_SIZE];
    store_of(disk.path, store);
    if (!mount_disk(disk.path, 12 * 1024))
        return;
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 400, DISK_OPTIONS, disk.path, 8000);

    /* No room even for a fence: the service does not start, and nothing is lost. */
    fill_disk(disk.path, 0);
    crash_expect(CRASH_CHILD_FAILED, dir.path, seed, 800, DISK_OPTIONS, disk.path, 8000);
    ck_assert(crash_said(dir.path, "open: CAIRN_ENOSPC"));
    crash_check_usable(dir.path, store);
    empty_disk(disk.path);

    /* Room for records, but not for a checkpoint: it is aborted, and the old one restores. */
    fill_disk(disk.path, 200);
    crash_expect(CRASH_CHILD_ABORTED, dir.path, seed, 1200, DISK_OPTIONS " --once", disk.path,
                 8000);
    ck_assert(crash_said(dir.path, "No space left"));
    crash_check_usable(dir.path, store);
    empty_disk(disk.path);
    ck_assert(abort_until_there_is_room(dir.path, disk.path, 8000, 200, 1600));
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 0, DISK_OPTIONS, disk.path, 8000);
}
END_TEST

/* All objects but the last small ones fit: so they have filled the disk to its last page, and are
 * in the way of the record that would let them go. */
START_TEST(store_full_of_the_attempt_itself)
{
    struct crash_dir dir = crash_dir(&place, "work"), disk = crash_dir(&place, "disk");
    if (!mount_disk(disk.path, 12 * 1024))
        return;
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 400, DISK_OPTIONS, disk.path, 1);
    unsigned aborted = 0;
    for (size_t leave_kb = 24; leave_kb <= 96; leave_kb += 8)
        aborted += abort_until_there_is_room(dir.path, disk.path, 1, leave_kb, leave_kb * 50);
    ck_assert_uint_ge(aborted, 2);
}
END_TEST

START_TEST(full_local_disk)
{
    struct crash_dir dir = crash_dir(&place, "work"), disk = crash_dir(&place, "disk");
    if (!mount_disk(disk.path, 12 * 1024))
        return;
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 400, "--blob-max 8000 --local %s/local",
                 disk.path);
    crash_remove(crash_dir(&place, "disk/local").path);
    /* Enough to restore, but not for what follows. */
    fill_disk(disk.path, 3000);
    crash_expect(CRASH_CHILD_FAILED, dir.path, seed, 40000,
                 "--blob-max 8000 --interval-ms 20 --local %s/local", disk.path);
    ck_assert(crash_said(dir.path, "CAIRN_ENOSPC"));
    empty_disk(disk.path);
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 1200, "--blob-max 8000 --local %s/local",
                 disk.path);
    check_clean(dir.path);
}
END_TEST

START_TEST(read_only_store)
{
    struct crash_dir dir = crash_dir(&place, "work");
    char store[PATH_SIZE];
    store_of(dir.path, store);
    if (geteuid() != 0) {
        printf("# skipped: only root can be somebody else\n");
        return;
    }
    ck_assert_int_eq(chmod(dir.path, 0777), 0);
    ck_assert_int_eq(mkdir(store, 0555), 0);
    crash_expect(CRASH_CHILD_FAILED, dir.path, seed, 100, "--user 65534");
    ck_assert(crash_said(dir.path, "open: CAIRN_EACCES"));
    ck_assert(crash_said(dir.path, CRASH_JOB "/MANIFEST-chk1"));
    ck_assert_int_eq(chmod(store, 0777), 0);
    crash_expect(CRASH_CHILD_DONE, dir.path, seed, 100, "--user 65534");
    check_clean(dir.path);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("crash");
    TCase *operations = add_case(suite, "operations"), *moments = add_case(suite, "moments");
    TCase *writers = add_case(suite, "writers"), *disks = add_case(suite, "disks");
    tcase_add_loop_test(operations, killed_at_every_store_operation, 0, RUNS);
    tcase_add_loop_test(moments, killed_at_random, 0, 2);
    tcase_add_test(writers, two_writers);
    tcase_add_test(disks, full_store);
    tcase_add_test(disks, store_full_of_the_attempt_itself);
    tcase_add_test(disks, full_local_disk);
    tcase_add_test(disks, read_only_store);
    return crn_test_run(suite);
}
