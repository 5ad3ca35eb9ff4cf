/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn-bench: what checkpoints, savepoints, rescaling, state access and object stores cost, each
 * in one run beside its peers; and what gates cost.
 *
 * This file owns what surrounds a benchmark: temporary directories (always removed, after SIGINT
 * and SIGTERM too), signals, and the way from an error to a message and an exit code. Exit codes
 * are those of `cairn`: 0 ok, 1 internal, 2 usage, 3 state, 4 data, 5 retry, 6 local.
 */
#include "tools/bench/bench.h"
#include "tools/bench/files.h"

#include "cairn/store.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static bool progress_shown;

static void on_signal(int number)
{
    interrupted = number;
}

int bench_check_interrupt(cairn_error **reterr)
{
    if (!interrupted)
        return 0;
    return bench_fail(reterr, CAIRN_ECANCELED, "interrupted by signal %d", (int)interrupted);
}

int bench_fail(cairn_error **reterr, int code, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return cairn_error_set(reterr, code, "", 0, message);
}

int bench_fail_os(cairn_error **reterr, int os_errno, const char *format, ...)
{
    char what[768], message[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    (void)snprintf(message, sizeof(message), "%s: %s", what, strerror(os_errno));
    int code = os_errno == ENOSPC || os_errno == EDQUOT  ? CAIRN_ENOSPC
               : os_errno == EACCES || os_errno == EROFS ? CAIRN_EACCES
               : os_errno == ENOMEM                      ? CAIRN_ENOMEM
                                                         : CAIRN_EIO;
    return cairn_error_set(reterr, code, "", os_errno, message);
}

int bench_fail_nomem(cairn_error **reterr)
{
    return cairn_error_set(reterr, CAIRN_ENOMEM, "", 0, "out of memory");
}

int bench_text(char **ret, cairn_error **reterr, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return bench_fail_nomem(reterr);
    *ret = text;
    return 0;
}

void bench_progress(const char *format, ...)
{
    if (!isatty(STDERR_FILENO))
        return;
    va_list args;
    va_start(args, format);
    (void)fputs("\r\033[K", stderr);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fflush(stderr);
    progress_shown = true;
}

void bench_progress_done(void)
{
    if (progress_shown)
        (void)fputs("\r\033[K", stderr);
    progress_shown = false;
}

void bench_note(const char *format, ...)
{
    bench_progress_done();
    va_list args;
    va_start(args, format);
    (void)fputs("cairn-bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

static int make_work_dir(const char *parent, char **ret_dir, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *real = realpath(parent, NULL);
    if (!real)
        return bench_fail_os(reterr, errno, "directory '%s' (create it, or name another by --dir)",
                             parent);
    BENCH_AUTO_FREE char *dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/cairn-bench-XXXXXX", real));
    if (!mkdtemp(dir))
        return bench_fail_os(reterr, errno, "temporary directory in '%s'", real);
    *ret_dir = dir;
    dir = NULL;
    return 0;
}

static void remove_work_dir(char **dir)
{
    BENCH_AUTO_ERROR cairn_error *error = NULL;
    if (*dir && bench_remove_tree(*dir, &error) < 0)
        bench_note("could not remove '%s': %s", *dir, cairn_error_message(error));
    free(*dir);
}

static int run(const struct bench_options *options, cairn_error **reterr)
{
    BENCH_CLEANUP(remove_work_dir) char *work = NULL;
    BENCH_CLEANUP(remove_work_dir) char *stores = NULL;
    BENCH_TRY(make_work_dir(options->dir, &work, reterr));
    BENCH_TRY(
        make_work_dir(options->store_dir ? options->store_dir : options->dir, &stores, reterr));
    switch (options->command) {
    case BENCH_STALL:
        return bench_run_stall(options, work, stores, reterr);
    case BENCH_STATE:
        return bench_run_state(options, work, stores, reterr);
    case BENCH_SAVEPOINT:
        return bench_run_savepoint(options, work, stores, reterr);
    case BENCH_RESCALE:
        return bench_run_rescale(options, work, stores, reterr);
    case BENCH_ALIGN:
        return bench_run_align(options, work, reterr);
    case BENCH_TRANSFER:
        return bench_run_transfer(options, work, stores, reterr);
    case BENCH_COMMIT:
        return bench_run_commit(options, work, reterr);
    case BENCH_CHECKPOINT:
        break;
    }
    return bench_run_checkpoint(options, work, stores, reterr);
}

static int exit_code(int code)
{
    switch (cairn_error_class_of(code)) {
    case CAIRN_CLASS_NONE:
        return 0;
    case CAIRN_CLASS_CALLER:
        return 2;
    case CAIRN_CLASS_STATE:
        return 3;
    case CAIRN_CLASS_DATA:
        return 4;
    case CAIRN_CLASS_RETRY:
        return 5;
    case CAIRN_CLASS_LOCAL:
        return 6;
    case CAIRN_CLASS_INTERNAL:
        break;
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);

    struct bench_options options;
    BENCH_AUTO_ERROR cairn_error *error = NULL;
    int r = bench_options_parse(argc, argv, &options, &error);
    if (r == 0)
        r = run(&options, &error);
    else if (r > 0)
        r = 0;
    bench_progress_done();
    if (fflush(stdout) != 0 && r == 0)
        r = bench_fail_os(&error, errno, "standard output");
    if (r < 0)
        bench_note("%s", cairn_error_message(error));
    return exit_code(r);
}
