/* SPDX-License-Identifier: Apache-2.0 */
/* Runs crash_child, and looks at what it left. */
#include "tests/support/crash_run.h"

#include "base/file.h"
#include "base/thread.h"
#include "cairn/inspect.h"
#include "cairn/store.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 40
#define CHILD_TIMEOUT_US 60000000u

extern char **environ;

/* ------------------------------------------------------------------------------------------ *
 * Places
 * ------------------------------------------------------------------------------------------ */

void crash_place_init(struct crash_place *place)
{
    const char *base = getenv("TMPDIR");
    snprintf(place->root, sizeof place->root, "%s/cairn-crash-XXXXXX",
             base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(place->root));
    ck_assert_int_eq(chmod(place->root, 0755), 0); /* for children of another user */
}

void crash_place_done(struct crash_place *place)
{
    crash_remove(place->root);
}

struct crash_dir crash_dir(const struct crash_place *place, const char *format, ...)
{
    struct crash_dir dir;
    int n = snprintf(dir.path, sizeof dir.path, "%s/", place->root);
    va_list list;
    va_start(list, format);
    vsnprintf(dir.path + n, sizeof dir.path - (size_t)n, format, list);
    va_end(list);
    ck_assert_int_eq(crn_file_make_dirs(dir.path, NULL), 0);
    return dir;
}

void crash_remove(const char *path)
{
    ck_assert_int_eq(crn_file_remove_tree(path, NULL), 0);
}

static int wait_for(pid_t child)
{
    int status = 0;
    for (uint64_t deadline_us = crn_now_us() + CHILD_TIMEOUT_US;;) {
        pid_t r = waitpid(child, &status, WNOHANG);
        ck_assert_int_ge(r, 0);
        if (r == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (crn_now_us() > deadline_us) {
            (void)kill(child, SIGKILL);
            (void)waitpid(child, &status, 0);
            return -1;
        }
        crn_sleep_us(300);
    }
}

void crash_copy(const char *from, const char *to)
{
    char source[PATH_MAX], target[PATH_MAX];
    char *const args[] = {(char[]){"cp"}, (char[]){"-a"}, source, target, NULL};
    pid_t child;
    snprintf(source, sizeof source, "%s/.", from);
    snprintf(target, sizeof target, "%s", to);
    ck_assert_int_eq(posix_spawnp(&child, "cp", NULL, NULL, args, environ), 0);
    ck_assert_int_eq(wait_for(child), 0);
}

/* ------------------------------------------------------------------------------------------ *
 * Children
 * ------------------------------------------------------------------------------------------ */

static const char *network;

void crash_set_network(const char *name)
{
    network = name;
}

__attribute__((format(printf, 4, 0))) static pid_t spawn_list(const char *dir, uint64_t seed,
                                                              uint64_t operations,
                                                              const char *format, va_list list)
{
    char line[2048], head[3][PATH_MAX], errors[PATH_MAX], where[64];
    char *all_args[ARGS_MAX] = {
        (char[]){"ip"},        (char[]){"netns"}, (char[]){"exec"}, where,
        (char[]){CRASH_CHILD}, head[0],           head[1],          head[2]};
    char **args = network != NULL ? all_args : all_args + 4;
    size_t n = 8;
    pid_t child;
    snprintf(where, sizeof where, "%s", network != NULL ? network : "");
    snprintf(head[0], sizeof head[0], "%s", dir);
    snprintf(head[1], sizeof head[1], "%" PRIu64, seed);
    snprintf(head[2], sizeof head[2], "%" PRIu64, operations);
    ck_assert_int_lt(vsnprintf(line, sizeof line, format, list), (int)sizeof line);
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        ck_assert_uint_lt(n, ARGS_MAX - 1);
        all_args[n++] = word;
    }
    snprintf(errors, sizeof errors, "%s/stderr", dir);
    posix_spawn_file_actions_t actions;
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    ck_assert_int_eq(posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors,
                                                      O_WRONLY | O_CREAT | O_APPEND, 0666),
                     0);
    ck_assert_int_eq(posix_spawnp(&child, args[0], &actions, NULL, args, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    return child;
}

pid_t crash_spawn(const char *dir, uint64_t seed, uint64_t operations, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    pid_t child = spawn_list(dir, seed, operations, format, list);
    va_end(list);
    return child;
}

int crash_wait(pid_t child, const char *dir)
{
    int code = wait_for(child);
    if (code < 0)
        crash_fail(dir, "a child did not end within a minute");
    return code;
}

void crash_expect(int code, const char *dir, uint64_t seed, uint64_t operations, const char *format,
                  ...)
{
    va_list list;
    va_start(list, format);
    pid_t child = spawn_list(dir, seed, operations, format, list);
    va_end(list);
    int got = crash_wait(child, dir);
    if (got != code)
        crash_fail(dir, "the child ended with %d, not %d", got, code);
}

/* Reads at most size - 1 bytes of the end of the file. */
static void read_end(const char *dir, const char *name, char *text, size_t size)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    text[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    if (fseek(file, -(long)(size - 1), SEEK_END) != 0)
        rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

void crash_fail(const char *dir, const char *format, ...)
{
    char what[1024], errors[3000];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    read_end(dir, "stderr", errors, sizeof errors);
    ck_abort_msg("%s: %s; the children said:\n%s", dir, what, errors);
}

bool crash_said(const char *dir, const char *text)
{
    static char errors[1 << 20];
    read_end(dir, "stderr", errors, sizeof errors);
    return strstr(errors, text) != NULL;
}

struct crash_journal crash_read_journal(const char *dir)
{
    static uint64_t epochs[1 << 20]; /* by id; 0: not complete */
    struct crash_journal journal = {0};
    char path[PATH_MAX], line[200];
    uint64_t id, epoch, highest = 0;
    memset(epochs, 0, sizeof epochs);
    snprintf(path, sizeof path, "%s/journal", dir);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "aborted", 7) == 0)
            journal.aborted++;
        if (sscanf(line, "complete %" SCNu64 " %" SCNu64, &id, &epoch) != 2)
            continue;
        ck_assert_uint_lt(id, sizeof epochs / sizeof epochs[0]);
        journal.complete += epochs[id] == 0;
        journal.overtaken |= epochs[id] != 0 && epochs[id] != epoch;
        epochs[id] = epoch;
        if (id > journal.newest)
            journal.newest = id;
    }
    for (id = 0; id <= journal.newest; id++)
        if (epochs[id] != 0) {
            journal.overtaken |= epochs[id] < highest;
            highest = epochs[id];
        }
    if (file != NULL)
        fclose(file);
    return journal;
}

/* ------------------------------------------------------------------------------------------ *
 * What is left
 * ------------------------------------------------------------------------------------------ */

static void must(const char *dir, int r, const char *what, cairn_error *error)
{
    if (r < 0)
        crash_fail(dir, "%s: %s: %s (object '%s')", what, cairn_error_name(r),
                   cairn_error_message(error), cairn_error_object(error));
}

void crash_check_usable(const char *dir, const char *path)
{
    cairn_store *store;
    cairn_error *error = NULL;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    must(dir, cairn_store_open(path, &store, &error), "store", error);
    int r = cairn_verify(store, CRASH_JOB, NULL, &report, &error);
    if (r == CAIRN_ENOTFOUND) { /* it died before anything was stored */
        cairn_error_free(error);
        r = 0;
        error = NULL;
    }
    must(dir, r, "verify", error);
    cairn_store_close(store);
}

static unsigned temporaries;

static int count_temporary(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    temporaries += type == FTW_F && strncmp(path + ftw->base, ".cairn-tmp-", 11) == 0;
    return 0;
}

void crash_check_clean(const char *dir, const char *path)
{
    cairn_store *store;
    cairn_error *error = NULL;
    cairn_usage usage = CAIRN_USAGE_INIT;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    cairn_gc_report collected = CAIRN_GC_REPORT_INIT;
    options.full = 1;
    must(dir, cairn_store_open(path, &store, &error), "store", error);
    must(dir, cairn_verify(store, CRASH_JOB, &options, &report, &error), "verify", error);
    must(dir, cairn_job_usage(store, CRASH_JOB, &usage, &error), "usage", error);
    if (report.checkpoints == 0 || usage.dead_count + usage.unresolved_count > 0 ||
        usage.missing_count + usage.foreign_count > 0)
        crash_fail(dir,
                   "%" PRIu64 " checkpoints; %" PRIu64 " objects are dead, %" PRIu64
                   " unresolved, %" PRIu64 " missing, %" PRIu64 " foreign",
                   report.checkpoints, usage.dead_count, usage.unresolved_count,
                   usage.missing_count, usage.foreign_count);
    must(dir, cairn_gc(store, CRASH_JOB, NULL, &collected, &error), "gc", error);
    must(dir, store->ops->reap(store, CRASH_JOB "/", 0, NULL, &error), "reap", error);
    temporaries = 0;
    if (strstr(path, "://") == NULL)
        ck_assert_int_eq(nftw(path, count_temporary, 16, FTW_PHYS), 0);
    if (collected.removed_count > 0 || temporaries > 0)
        crash_fail(dir, "gc removed %" PRIu64 " objects and left %u temporary files",
                   collected.removed_count, temporaries);
    cairn_store_close(store);
}

void crash_plant_leftovers(const char *dir)
{
    static const char *const leftovers[] = {"t0/chk-1", "t0/db", "t99/db"};
    for (size_t i = 0; i < sizeof leftovers / sizeof leftovers[0]; i++) {
        char path[PATH_MAX];
        int n = snprintf(path, sizeof path, "%s/local/%s", dir, leftovers[i]);
        ck_assert_int_eq(crn_file_make_dirs(path, NULL), 0);
        snprintf(path + n, sizeof path - (size_t)n, "/planted.sst");
        (void)unlink(path);
        ck_assert_int_eq(crn_file_write_new(path, "x", 1, false, NULL), 0);
    }
}

static int expect_no_leftover(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    const char *name = path + ftw->base;
    (void)st;
    (void)type;
    bool wrong = strcmp(name, "planted.sst") == 0 || strncmp(name, "chk-", 4) == 0;
    if (ftw->level == 1)
        wrong |= strcmp(name, "t0") != 0 && strcmp(name, "t1") != 0 && strcmp(name, "LOCK") != 0;
    if (ftw->level == 2)
        wrong |= strcmp(name, "db") != 0;
    ck_assert_msg(!wrong, "'%s' is left of an earlier incarnation", path);
    return 0;
}

void crash_check_local(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/local", dir);
    ck_assert_int_eq(nftw(path, expect_no_leftover, 16, FTW_PHYS), 0);
}

bool crash_has_ended(pid_t child)
{
    siginfo_t info = {0};
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == child;
}

void crash_wait_for_complete(const char *dir, uint64_t count, pid_t child)
{
    while (crash_read_journal(dir).complete < count) {
        if (crash_has_ended(child))
            crash_fail(dir, "it ended before %llu checkpoints", (unsigned long long)count);
        crn_sleep_us(20000);
    }
}
