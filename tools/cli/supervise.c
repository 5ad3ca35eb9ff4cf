/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A service as a child process, started again when it fails. One thread, no handlers: the signals
 * that matter are blocked and waited for, so that nothing can come between a look and a wait.
 *
 * Who gets which signal:
 *  - The child stays in our process group, so that a terminal's ^C, ^Z and hang-up reach it as they
 * would without us. Those come from the kernel, to both: they are not passed on a second time. What
 * somebody sends to us alone (kill, a service manager) is passed on, to the child alone.
 *  - SIGTERM and SIGINT mean the end: whatever the child's status is then, it is not started again.
 * Of SIGHUP the child decides: many services read their settings anew; if it dies of it, that is
 * the end.
 *  - While no child runs, SIGTERM, SIGINT and SIGHUP end the waiting.
 *  - What was ignored when we were started (nohup) stays ignored, by the child too.
 *
 * If we die without a word (SIGKILL, out of memory), the kernel sends the child SIGTERM: a service
 * that nobody watches should end in order, rather than run on until something starts a second one.
 * State is safe either way: a second one fences the first.
 *
 * As process 1 of a container we are also given orphans, and reap them.
 */

#include "tools/cli/run.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOT_EXECUTABLE 126 /* as a shell has it */
#define NOT_FOUND 127

struct supervisor {
    char *const *command;
    char *name; /* of the command, safe to print */
    struct cli_restart *restart;
    struct cli_recovery *recovery; /* NULL: none */
    sigset_t waited;               /* the signals that are waited for */
    sigset_t original;             /* mask that the child gets back */
    pid_t child;                   /* 0: none runs */
    int status;                    /* of the last child, from waitpid() */
    int exec_errno;                /* why there was no service at the last start; 0: there was */
    uint64_t started_us;
    int stop; /* the signal that asked for the end; 0: none did */
    bool hung_up;
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint32_t random_number(void)
{
    uint32_t n;
    return getrandom(&n, sizeof(n), GRND_NONBLOCK) == (ssize_t)sizeof(n) ? n : (uint32_t)now_us();
}

static void say(const struct supervisor *s, const char *format, ...) CLI_PRINTF(2, 3);
static void say(const struct supervisor *s, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "cairn: '%s' ", s->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* --- signals --- */

static void block_signals(struct supervisor *s)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    sigemptyset(&s->waited);
    sigaddset(&s->waited, SIGCHLD);
    for (size_t i = 0; i < CLI_COUNT(numbers); i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&s->waited, numbers[i]);
    }
    /* Ignored, it would let the kernel reap children before we have seen their status. */
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &s->waited, &s->original);
}

static bool is_end(int number)
{
    return number == SIGTERM || number == SIGINT;
}

/* A hang-up from the kernel goes to the session's leader alone, if that is us. */
static bool reached_the_child(const siginfo_t *info)
{
    return info->si_code == SI_KERNEL && !(info->si_signo == SIGHUP && getsid(0) == getpid());
}

static void pass_on(struct supervisor *s, const siginfo_t *info)
{
    int number = info->si_signo;
    if (is_end(number))
        s->stop = number;
    s->hung_up |= number == SIGHUP;
    if (reached_the_child(info))
        return;
    if (kill(s->child, number) == 0)
        say(s, "(process %d) gets signal %d (%s), as we did", (int)s->child, number,
            strsignal(number));
}

/* Collect everybody who has ended. */
static void reap(struct supervisor *s)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == s->child) {
            s->child = 0;
            s->status = status;
        }
    }
}

static void wait_for_child(struct supervisor *s)
{
    while (s->child != 0) {
        siginfo_t info;
        int number = sigwaitinfo(&s->waited, &info);
        if (number == SIGCHLD)
            reap(s);
        else if (number > 0)
            pass_on(s, &info);
    }
}

/* Returns early if the end is asked for; whatever came before is heard in any case. */
static void wait_for_time(struct supervisor *s, uint64_t delay_ms)
{
    const uint64_t due_us = now_us() + delay_ms * 1000;
    for (bool is_over = false; s->stop == 0 && !is_over;) {
        const uint64_t now = now_us();
        const uint64_t left_us = now < due_us ? due_us - now : 0;
        struct timespec left = {.tv_sec = (time_t)(left_us / 1000000),
                                .tv_nsec = (long)(left_us % 1000000) * 1000};
        int number = sigtimedwait(&s->waited, NULL, &left);
        if (number == SIGCHLD)
            reap(s);
        else if (is_end(number) || number == SIGHUP)
            s->stop = number;
        is_over = left_us == 0 && number < 0;
    }
}

/* --- processes --- */

/* In the child. What is written to the pipe is why there is no service. */
static _Noreturn void become(const struct supervisor *s, pid_t parent, int pipe_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(NOT_FOUND); /* we were orphaned before that */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &s->original, NULL);
    execvp(s->command[0], s->command);
    int why = errno;
    ssize_t n = write(pipe_fd, &why, sizeof(why));
    _exit(n < 0 || why == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/* Why the child could not become the command; 0: it did. */
static int read_failure(int pipe_fd)
{
    int why = 0;
    ssize_t n;
    while ((n = read(pipe_fd, &why, sizeof(why))) < 0 && errno == EINTR)
        continue;
    return n == (ssize_t)sizeof(why) ? why : 0;
}

/* Returns when the child is the command, or it is known why there is none. */
static void spawn(struct supervisor *s)
{
    int fds[2];
    pid_t parent = getpid();
    (void)fflush(NULL);
    s->started_us = now_us();
    s->status = W_EXITCODE(NOT_EXECUTABLE, 0); /* until there is a child to ask */
    s->exec_errno = 0;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        s->exec_errno = errno;
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(s, parent, fds[1]);
    if (pid < 0)
        s->exec_errno = errno;
    else
        s->child = pid;
    close(fds[1]);
    if (pid > 0)
        s->exec_errno = read_failure(fds[0]);
    close(fds[0]);
}

/* --- the service's life --- */

static int exit_status(const struct supervisor *s)
{
    return WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
}

/* "was killed by signal 9 (Killed)". malloc'ed. */
static char *describe_end(const struct supervisor *s)
{
    if (s->exec_errno)
        return cli_printf("could not be started: %s", strerror(s->exec_errno));
    if (WIFSIGNALED(s->status))
        return cli_printf("was killed by signal %d (%s)%s", WTERMSIG(s->status),
                          strsignal(WTERMSIG(s->status)),
                          WCOREDUMP(s->status) ? ", which left a core" : "");
    return cli_printf("ended with status %d", WEXITSTATUS(s->status));
}

/* True: it is to be started again after *ret_delay_ms. Says what happened and what is next. */
static bool judge(struct supervisor *s, pid_t child, uint64_t *ret_delay_ms)
{
    struct cli_restart *restart = s->restart;
    uint64_t run_us = now_us() - s->started_us;
    CLI_AUTO_FREE char *end = describe_end(s);
    CLI_AUTO_FREE char *what = s->exec_errno ? cli_printf("%s", end)
                                             : cli_printf("(process %d) %s after %s", (int)child,
                                                          end, cli_duration(run_us).text);
    bool failed = s->exec_errno || exit_status(s) != 0;
    if (s->hung_up && exit_status(s) == 128 + SIGHUP)
        s->stop = SIGHUP;
    if (!failed || s->stop) {
        say(s, "%s", what);
        return false;
    }
    if (!cli_restart_next(restart, run_us / 1000, random_number(), ret_delay_ms)) {
        if (restart->limit == 0)
            say(s, "%s, and is not started again", what);
        else
            say(s, "%s, and is not started again: that was restart %" PRIu64 " of %" PRIu64, what,
                restart->count, restart->limit);
        return false;
    }
    CLI_AUTO_FREE char *of =
        restart->limit == CLI_RESTART_ANY ? NULL : cli_printf(" of %" PRIu64, restart->limit);
    say(s, "%s, restart %" PRIu64 "%s %s%s", what, restart->count, of ? of : "",
        *ret_delay_ms > 0 ? "in " : "at once",
        *ret_delay_ms > 0 ? cli_duration(*ret_delay_ms * 1000).text : "");
    return true;
}

/* Wait until it is time for the next start and known what that is from. False: there is none, and
 * *ret_status is the exit status. A store that does not answer is asked again, as often as a
 * service is started that fails. */
static bool await_restart(struct supervisor *s, pid_t child, uint64_t delay_ms, int *ret_status)
{
    for (;;) {
        CLI_AUTO_ERROR cairn_error *error = NULL;
        wait_for_time(s, delay_ms);
        int r = s->recovery && !s->stop ? cli_recovery_choose(s->recovery, child, &error) : 0;
        wait_for_time(s, 0); /* that took its time, too */
        if (s->stop) {
            say(s, "is not started again: we got signal %d (%s)", s->stop, strsignal(s->stop));
            *ret_status = 128 + s->stop;
            return false;
        }
        if (r == 0)
            return true;
        CLI_AUTO_FREE char *why = cli_text_safe(cairn_error_message(error));
        bool again = cli_restart_next(s->restart, 0, random_number(), &delay_ms);
        say(s, "is not started%s: what to go on from cannot be told: %s", again ? " yet" : " again",
            why);
        if (!again) {
            *ret_status = exit_status(s);
            return false;
        }
    }
}

/* A wrong name will not be right a second later; but a program may be replaced under way. */
static int raise_exec(const struct supervisor *s, cairn_error **reterr)
{
    cli_hint("give the path of a program, such as ./service");
    return cli_raise(reterr, CAIRN_EINVAL, "cannot start '%s': %s", s->command[0],
                     strerror(s->exec_errno));
}

static int run(struct supervisor *s, cairn_error **reterr)
{
    for (bool first = true;; first = false) {
        uint64_t delay_ms = 0;
        spawn(s);
        pid_t child = s->child;
        if (!s->exec_errno)
            say(s, "runs as process %d", (int)child);
        wait_for_child(s);
        if (first && s->exec_errno)
            return raise_exec(s, reterr);
        if (!judge(s, child, &delay_ms))
            return exit_status(s);
        int status;
        if (!await_restart(s, child, delay_ms, &status))
            return status;
    }
}

int cli_supervise(char *const *command, struct cli_restart *restart, struct cli_recovery *recovery,
                  cairn_error **reterr)
{
    struct supervisor s = {.command = command, .restart = restart, .recovery = recovery};
    CLI_AUTO_FREE char *name = cli_text_safe(command[0]);
    s.name = name;
    block_signals(&s);
    int r = run(&s, reterr);
    sigprocmask(SIG_SETMASK, &s.original, NULL);
    return r;
}
