/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that collectors in other processes hurt neither a job that runs nor what it keeps, and
 * that a writer that comes back after another one has taken over commits nothing more and leaves
 * nothing for good (P1, P2, P5, P6, P7, P8), over a real server. Method: crash_child as the job,
 * which checks its state against an oracle and its promises against a journal; several `cairn gc`
 * at once as the collectors; signals; and a look at every byte after each collection.
 */
#include "tests/support/crash_run.h"
#include "tests/support/s3/real.h"

#include "cairn/inspect.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECT "CAIRN_TEST_S3"

extern char **environ;

enum { COLLECTORS = 3 };

/* ---- collectors ---- */

static pid_t spawn_gc(const char *uri)
{
    char place[512];
    char *args[] = {(char[]){CAIRN_TOOL}, (char[]){"gc"}, (char[]){"-j"},
                    (char[]){CRASH_JOB},  place,          NULL};
    pid_t child;
    posix_spawn_file_actions_t actions;
    (void)snprintf(place, sizeof place, "%s", uri);
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    ck_assert_int_eq(
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0), 0);
    ck_assert_int_eq(posix_spawn(&child, CAIRN_TOOL, &actions, NULL, args, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    return child;
}

/* All at once; who finds the others in its way says "try again later". */
static unsigned collect(const char *uri)
{
    enum { EXIT_OK = 0, EXIT_AGAIN = 5 };
    pid_t children[COLLECTORS];
    unsigned done = 0;
    for (int i = 0; i < COLLECTORS; i++)
        children[i] = spawn_gc(uri);
    for (int i = 0; i < COLLECTORS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert(WIFEXITED(status));
        ck_assert_msg(WEXITSTATUS(status) == EXIT_OK || WEXITSTATUS(status) == EXIT_AGAIN,
                      "gc ended with %d", WEXITSTATUS(status));
        done += WEXITSTATUS(status) == EXIT_OK;
    }
    return done;
}

static void note_problem(void *context, uint64_t id, const cairn_error *error)
{
    (void)snprintf(context, 256, "checkpoint %llu: %s", (unsigned long long)id,
                   cairn_error_message(error));
}

/* P5, P8; what is subsumed while it is read is passed over. */
static void expect_verified(const char *uri)
{
    cairn_store *store;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_verify_options verify = CAIRN_VERIFY_OPTIONS_INIT;
    char problem[256] = "";
    verify.full = 1;
    verify.problem = note_problem;
    verify.context = problem;
    ck_assert_int_eq(cairn_store_open(uri, &store, NULL), 0);
    int r = cairn_verify(store, CRASH_JOB, &verify, NULL, &error);
    ck_assert_msg(r == 0 && *problem == 0, "%s: %s", cairn_error_message(error), problem);
    cairn_store_close(store);
}

#define USUAL "--patient --interval-ms 150 --retained 3 --pace-us 2500 --blob-max 2000 --store "

START_TEST(collectors_run_beside_a_job)
{
    struct crash_place place;
    CRN_AUTO_FREE char *uri = real_uri(DIRECT, "gc", "");
    unsigned rounds = 0, collections = 0;
    crash_place_init(&place);
    struct crash_dir dir = crash_dir(&place, "job");
    pid_t job = crash_spawn(dir.path, 3, 24000, USUAL "%s", uri);
    crash_wait_for_complete(dir.path, 1, job);
    for (; !crash_has_ended(job); rounds++) {
        collections += collect(uri);
        if (!crash_has_ended(job))
            expect_verified(uri);
        crn_sleep_us(200000);
    }
    const int code = crash_wait(job, dir.path);
    if (code != CRASH_CHILD_DONE)
        crash_fail(dir.path, "the job ended with %d", code);
    ck_assert_uint_gt(rounds, 3);
    ck_assert_uint_ge(collections, rounds);
    struct crash_journal journal = crash_read_journal(dir.path);
    ck_assert(!journal.overtaken);
    ck_assert_uint_gt(collect(uri), 0);
    crash_check_clean(dir.path, uri);
    /* and the next incarnation agrees with the journal */
    crash_expect(CRASH_CHILD_DONE, dir.path, 3, 24000, USUAL "%s", uri);
    (void)fprintf(stderr,
                  "# %u collections in %u rounds; %llu checkpoints complete, %llu aborted\n",
                  collections, rounds, (unsigned long long)journal.complete,
                  (unsigned long long)journal.aborted);
    crash_place_done(&place);
}
END_TEST

START_TEST(collectors_run_beside_a_zombie)
{
    struct crash_place place;
    CRN_AUTO_FREE char *uri = real_uri(DIRECT, "zombie", "");
    crash_place_init(&place);
    struct crash_dir dir = crash_dir(&place, "job");
    pid_t zombie = crash_spawn(dir.path, 4, 1000000, USUAL "%s", uri);
    crash_wait_for_complete(dir.path, 4, zombie);
    ck_assert_int_eq(kill(zombie, SIGSTOP), 0); /* most likely in the middle of an attempt */
    pid_t heir = crash_spawn(dir.path, 4, 24000, USUAL "%s --local %s/heir", uri, dir.path);
    crash_wait_for_complete(dir.path, crash_read_journal(dir.path).complete + 3, heir);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_gt(collect(uri), 0);
        expect_verified(uri);
    }
    ck_assert_int_eq(kill(zombie, SIGCONT), 0);
    for (int i = 0; i < 3; i++) {
        (void)collect(uri);
        expect_verified(uri);
    }
    int code = crash_wait(zombie, dir.path);
    if (code != CRASH_CHILD_FENCED)
        crash_fail(dir.path, "the zombie ended with %d", code);
    code = crash_wait(heir, dir.path);
    if (code != CRASH_CHILD_DONE)
        crash_fail(dir.path, "the heir ended with %d", code);
    ck_assert(!crash_read_journal(dir.path).overtaken);
    ck_assert_uint_gt(collect(uri), 0);
    crash_check_clean(dir.path, uri);
    crash_expect(CRASH_CHILD_DONE, dir.path, 4, 24000, USUAL "%s", uri);
    crash_place_done(&place);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_processes");
    TCase *tcase = tcase_create("processes");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, collectors_run_beside_a_job);
    tcase_add_test(tcase, collectors_run_beside_a_zombie);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
