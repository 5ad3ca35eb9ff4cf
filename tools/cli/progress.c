/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Long work: a bar with rate and remaining time on stderr, if that is a terminal; interruption that
 * lets the library remove what it has half written; and the end of the output.
 *
 * The bar is drawn by one thread at a time and erased by whoever prints something else; a mutex
 * keeps the two apart.
 */

#include "tools/cli/cli.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR 24        /* characters */
#define REDRAW_MS 100 /* not more often than that */
#define QUIET_MS 500  /* short work shows no bar */
#define ERASE "\r\033[K"

static volatile sig_atomic_t interrupted;                /* by which signal; 0: not */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards every struct cli_progress */

static void on_signal(int number)
{
    interrupted = number;
}

void cli_interrupt_catch(void)
{
    /* SA_RESETHAND: the second one kills. Without SA_RESTART it also ends a write that nobody
     * reads: so whoever looks for errors of a stream looks for an interruption first. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_interrupted(void)
{
    return (int)interrupted;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void cli_progress_start(struct cli_progress *progress, const char *what)
{
    *progress = (struct cli_progress){.what = what, .start_ms = now_ms()};
    cli_interrupt_catch();
}

static void draw(const struct cli_progress *progress, uint64_t done, uint64_t total, uint64_t now)
{
    char bar[BAR + 1];
    double part = total > 0 ? (double)done / (double)total : 1;
    size_t full = part >= 1 ? BAR : (size_t)(part * BAR);
    memset(bar, '-', BAR);
    memset(bar, '#', full);
    bar[BAR] = '\0';
    double seconds = (double)(now - progress->start_ms) / 1000;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double left_us = rate > 0 ? (double)(total - done) / rate * 1e6 : 0;
    fprintf(stderr, ERASE "%s [%s] %3.0f%%  %s of %s", progress->what, bar, part * 100,
            cli_size(done).text, cli_size(total).text);
    if (rate >= 1 && left_us < 1e15)
        fprintf(stderr, "  %s/s  %s left", cli_size((uint64_t)rate).text,
                cli_duration((uint64_t)left_us).text);
    fflush(stderr);
}

int cli_progress_update(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct cli_progress *progress = context;
    if (isatty(STDERR_FILENO)) {
        uint64_t now = now_ms();
        pthread_mutex_lock(&lock);
        if (now - progress->start_ms >= QUIET_MS && now - progress->drawn_ms >= REDRAW_MS) {
            draw(progress, done_bytes < total_bytes ? done_bytes : total_bytes, total_bytes, now);
            progress->drawn = true;
            progress->drawn_ms = now;
        }
        pthread_mutex_unlock(&lock);
    }
    return interrupted != 0;
}

void cli_progress_erase(struct cli_progress *progress)
{
    pthread_mutex_lock(&lock);
    if (progress->drawn)
        fputs(ERASE, stderr);
    progress->drawn = false;
    pthread_mutex_unlock(&lock);
}

bool cli_output_gone(void)
{
    return ferror(stdout);
}

/* Nobody reads any more, as under `cairn cat ... | head`. */
static bool pipe_is_closed(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int cli_output_finish(cairn_error **reterr)
{
    errno = 0;
    bool failed = fflush(stdout) != 0;
    int os_errno = errno; /* 0: it was an earlier write */
    if ((!failed && !ferror(stdout)) || pipe_is_closed())
        return 0;
    if (interrupted)
        return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
    return cli_raise(reterr, os_errno == ENOSPC ? CAIRN_ENOSPC : CAIRN_EIO,
                     "standard output could not be written%s%s", os_errno ? ": " : "",
                     os_errno ? strerror(os_errno) : "");
}

#define WAIT_S 3
static bool is_waiting; /* else an alarm is somebody else's */

static void tell_wait(int signal)
{
    static const char text[] = "cairn: the store does not answer; it is tried again for up to two "
                               "minutes (retry_ms= in its URI), or until ^C\n";
    const int saved = errno;
    (void)signal;
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        errno = saved; /* nobody to tell */
    errno = saved;
}

void cli_wait_begin(void)
{
    struct sigaction action = {.sa_handler = tell_wait, .sa_flags = SA_RESTART};
    if (!isatty(STDERR_FILENO) || sigaction(SIGALRM, &action, NULL) < 0)
        return;
    is_waiting = true;
    (void)alarm(WAIT_S);
}

void cli_wait_end(void)
{
    if (is_waiting)
        (void)alarm(0);
    is_waiting = false;
}
