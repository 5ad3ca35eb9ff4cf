/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a file sink's output is there exactly once whatever moment its process dies at.
 * Method: the system calls that change names and make things durable are replaced by ones that
 * count, and kill the process before or after the k-th, for every k; another process goes on, with
 * another parallelism, and every number must be visible once, with nothing hidden left. Between the
 * deaths nothing is ever visible twice. Both ways to rename are gone through.
 *
 * The heap backend and a store on disk; RocksDB would only add to the time. A kill does not lose
 * what the kernel has: that syncs happen is test_file_sink's matter.
 */
#include "tests/support/emitter.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ------------------------------------------------------------------------------------------ *
 * Steps at which a process can die
 * ------------------------------------------------------------------------------------------ */

static struct {
    unsigned done, kill_at; /* 0: never */
    bool no_renameat2;
} steps;

/* Twice around each call: odd before it, even after it. */
static void step(void)
{
    if (++steps.done == steps.kill_at)
        (void)raise(SIGKILL);
}

int fsync(int fd);
int fdatasync(int fd);
int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags);
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int unlinkat(int fd, const char *name, int flags);
int unlink(const char *name);
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset);

#define STEPPED(type, call)                                                                        \
    do {                                                                                           \
        step();                                                                                    \
        type r_ = (type)(call);                                                                    \
        int errno_ = errno;                                                                        \
        step();                                                                                    \
        errno = errno_;                                                                            \
        return r_;                                                                                 \
    } while (0)

int fsync(int fd)
{
    STEPPED(int, syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    STEPPED(int, syscall(SYS_fdatasync, fd));
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
    if (steps.no_renameat2) {
        errno = EINVAL;
        return -1;
    }
    STEPPED(int, syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    STEPPED(int, syscall(SYS_linkat, from_fd, from, to_fd, to, flags));
}

int unlinkat(int fd, const char *name, int flags)
{
    STEPPED(int, syscall(SYS_unlinkat, fd, name, flags));
}

int unlink(const char *name)
{
    STEPPED(int, syscall(SYS_unlink, name));
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    STEPPED(ssize_t, syscall(SYS_pwrite64, fd, data, n, offset));
}

/* ------------------------------------------------------------------------------------------ *
 * Lives
 * ------------------------------------------------------------------------------------------ */

static struct fixture f;
static char output_dir[260];
static cairn_file_sink_options sink_options;

/* Each case in a directory of its own. */
static void begin_case(void)
{
    emitter_init(&f);
    (void)snprintf(output_dir, sizeof output_dir, "%s/output", f.root);
    sink_options = (cairn_file_sink_options)CAIRN_FILE_SINK_OPTIONS_INIT;
    sink_options.directory = output_dir;
    sink_options.max_file_bytes = 12; /* so that files are sealed before their barrier, too */
    ck_ok(crn_file_make_dirs(output_dir, reterr));
}

static void end_case(void)
{
    fixture_done(&f);
}

/* One life in a process of its own; it writes `count` numbers and ends without a last checkpoint,
 * or goes to the end. @return was it killed? */
static bool live(uint32_t parallelism, unsigned count, unsigned kill_at)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct emitter e;
        steps.done = 0;
        steps.kill_at = kill_at;
        ck_ok(emitter_open(&f, &e, parallelism, &sink_options, reterr));
        if (count == 0)
            emitter_run(&e, 9);
        for (unsigned written = 0; written < count; written += 10) {
            (void)emitter_write(&e, 8);
            emitter_checkpoint(&e);
            (void)emitter_write(&e, 2); /* the task learns late that the checkpoint is complete */
            ck_ok(emitter_poll(&e, reterr));
        }
        emitter_close(&e);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0,
                  "kill at %u: the child ended with status %#x", kill_at, status);
    return WIFSIGNALED(status);
}

static void go_to_the_end(uint32_t parallelism, unsigned kill_at)
{
    struct emitter_output output = emitter_look(output_dir);
    (void)emitter_is_whole(&output); /* nothing twice */
    ck_assert(!live(parallelism, 0, 0));
    output = emitter_look(output_dir);
    ck_assert_msg(emitter_is_whole(&output), "kill at %u: not everything is there", kill_at);
    ck_assert_msg(output.hidden == 0, "kill at %u: %u hidden files are left", kill_at,
                  output.hidden);
}

/* A first run dies, another goes on with one subtask more. */
START_TEST(test_first_run_dies)
{
    bool killed = true;
    unsigned k;
    steps.no_renameat2 = _i == 1;
    for (k = 1; killed; k++) {
        begin_case();
        killed = live(2, 30, k);
        go_to_the_end(3, k);
        end_case();
    }
    ck_assert_uint_gt(k, 100);
}
END_TEST

/* 2, 3, 1: the run in the middle restores, commits what it finds, and dies. */
START_TEST(test_second_run_dies)
{
    bool killed = true;
    unsigned k;
    steps.no_renameat2 = _i == 1;
    for (k = 1; killed; k++) {
        begin_case();
        ck_assert(!live(2, 20, 0));
        killed = live(3, 20, k);
        go_to_the_end(1, k);
        end_case();
    }
    ck_assert_uint_gt(k, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_sink_crash");
    TCase *tc = tcase_create("file_sink_crash");
    tcase_set_timeout(tc, 100);
    tcase_add_loop_test(tc, test_first_run_dies, 0, 2);
    tcase_add_loop_test(tc, test_second_run_dies, 0, 2);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
