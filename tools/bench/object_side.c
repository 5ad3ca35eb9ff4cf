/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places in buckets, and rclone beside Cairn: the same files, the same server, the same keys.
 *
 * rclone gets all its settings by its environment and none from a file, so that a run does not
 * depend on who makes it. A bundle of certificates for other programs is taken out of that
 * environment: rclone gives up if it cannot read it, even where it speaks plain http.
 */
#include "tools/bench/object_side.h"
#include "tools/bench/measure.h"

#include "cairn/inspect.h"
#include "cairn/store.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define REMOTE "CAIRNBENCH"

bool bench_is_s3(const char *uri)
{
    return strncmp(uri, "s3:", 3) == 0;
}

int bench_object_uri(const char *uri, const char *place, const char *options, char **ret,
                     cairn_error **reterr)
{
    const char *query = strchr(uri, '?');
    int length = query ? (int)(query - uri) : (int)strlen(uri);
    while (length > 0 && uri[length - 1] == '/')
        length--;
    return bench_text(ret, reterr, "%.*s/%s%s%s%s", length, uri, place,
                      query     ? query
                      : options ? "?"
                                : "",
                      query && options ? "&" : "", options ? options : "");
}

/* ---- emptying ---- */

#define BATCH 1000

struct batch {
    char *keys[BATCH];
    size_t count;
};

static void batch_done(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->keys[i]);
}

static int take_key(void *context, const char *key, const cairn_object_stat *stat)
{
    struct batch *batch = context;
    (void)stat;
    if (batch->count == BATCH)
        return 1;
    batch->keys[batch->count] = strdup(key);
    if (!batch->keys[batch->count])
        return CAIRN_ENOMEM;
    batch->count++;
    return 0;
}

int bench_empty_store(cairn_store *store, cairn_error **reterr)
{
    for (;;) {
        BENCH_CLEANUP(batch_done) struct batch batch = {0};
        int r = store->ops->list(store, "", take_key, &batch, reterr);
        if (r == CAIRN_ENOMEM)
            return bench_fail_nomem(reterr);
        BENCH_TRY(r);
        if (batch.count == 0)
            return 0;
        BENCH_TRY(store->ops->remove(store, (const char *const *)batch.keys, batch.count, reterr));
    }
}

int bench_requests_of(cairn_store *store, const char *job, uint64_t id, double *ret,
                      cairn_error **reterr)
{
    cairn_log *log = NULL;
    BENCH_TRY(cairn_log_open(store, job, &log, reterr));
    for (size_t i = 0; i < cairn_log_size(log); i++)
        if (cairn_log_at(log, i)->id == id)
            *ret = (double)cairn_log_at(log, i)->requests;
    cairn_log_close(log);
    return 0;
}

/* ---- rclone ---- */

/* The value of an option in a URI's query, or NULL; malloc'ed. */
static int option_of(const char *uri, const char *name, char **ret, cairn_error **reterr)
{
    size_t n = strlen(name);
    const char *at = strchr(uri, '?');
    *ret = NULL;
    while (at && *at) {
        at++;
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            return bench_text(ret, reterr, "%.*s", (int)strcspn(at + n + 1, "&"), at + n + 1);
        at = strchr(at, '&');
    }
    return 0;
}

static int set(const char *name, const char *value, cairn_error **reterr)
{
    return setenv(name, value, 1) < 0 ? bench_fail_nomem(reterr) : 0;
}

/* In this process, whose other parts do not read these. */
static int prepare_environment(const char *uri, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *endpoint = NULL, *region = NULL, *ca_file = NULL;
    BENCH_TRY(option_of(uri, "endpoint", &endpoint, reterr));
    BENCH_TRY(option_of(uri, "region", &region, reterr));
    BENCH_TRY(option_of(uri, "ca_file", &ca_file, reterr));
    (void)unsetenv("AWS_CA_BUNDLE");
    if (ca_file)
        BENCH_TRY(set("RCLONE_CA_CERT", ca_file, reterr));
    BENCH_TRY(set("RCLONE_CONFIG", "/dev/null", reterr));
    BENCH_TRY(set("RCLONE_CONFIG_" REMOTE "_TYPE", "s3", reterr));
    BENCH_TRY(set("RCLONE_CONFIG_" REMOTE "_PROVIDER", endpoint ? "Ceph" : "AWS", reterr));
    BENCH_TRY(set("RCLONE_CONFIG_" REMOTE "_ENV_AUTH", "true", reterr));
    BENCH_TRY(set("RCLONE_CONFIG_" REMOTE "_NO_CHECK_BUCKET", "true", reterr));
    if (endpoint)
        BENCH_TRY(set("RCLONE_CONFIG_" REMOTE "_ENDPOINT", endpoint, reterr));
    if (region)
        BENCH_TRY(set("RCLONE_CONFIG_" REMOTE "_REGION", region, reterr));
    return 0;
}

static int start(char *const argv[], bool is_quiet, pid_t *ret, cairn_error **reterr)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return bench_fail_nomem(reterr);
    int r = is_quiet ? posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
                                                        O_WRONLY, 0)
                     : 0;
    if (r == 0)
        r = posix_spawnp(ret, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return r == 0 ? 0 : bench_fail_os(reterr, r, "starting %s", argv[0]);
}

static int run_child(char *const argv[], bool is_quiet, struct bench_child *ret,
                     cairn_error **reterr)
{
    struct rusage usage;
    int status = 0;
    pid_t pid = 0;
    uint64_t start_ns = bench_now_ns();
    BENCH_TRY(start(argv, is_quiet, &pid, reterr));
    while (wait4(pid, &status, 0, &usage) < 0) {
        if (errno != EINTR)
            return bench_fail_os(reterr, errno, "waiting for %s", argv[0]);
        if (bench_check_interrupt(NULL) < 0)
            (void)kill(pid, SIGTERM);
    }
    *ret = (struct bench_child){
        .wall_ms = (double)(bench_now_ns() - start_ns) / 1e6,
        .cpu_ms = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3,
        .peak_mb = (double)usage.ru_maxrss / 1024,
    };
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : bench_fail(reterr, CAIRN_EIO, "%s failed; what it says is above", argv[0]);
}

bool bench_has_rclone(void)
{
    struct bench_child child;
    char program[] = "rclone", verb[] = "version";
    char *argv[] = {program, verb, NULL};
    return run_child(argv, true, &child, NULL) == 0;
}

int bench_rclone_copy(const char *uri, const char *local_dir, const char *place, bool to_store,
                      uint32_t transfers, struct bench_child *ret, cairn_error **reterr)
{
    BENCH_AUTO_FREE char *remote = NULL, *local = NULL, *count = NULL;
    const char *path = uri + strcspn(uri, ":") + 1;
    path += strspn(path, "/");
    BENCH_TRY(prepare_environment(uri, reterr));
    BENCH_TRY(bench_text(&remote, reterr, REMOTE ":%.*s/%s", (int)strcspn(path, "?"), path, place));
    BENCH_TRY(bench_text(&local, reterr, "%s", local_dir));
    BENCH_TRY(bench_text(&count, reterr, "%u", transfers));
    char program[] = "rclone", verb[] = "copy", option[] = "--transfers", quiet[] = "-q";
    char *argv[] = {
        program, verb, quiet, option, count, to_store ? local : remote, to_store ? remote : local,
        NULL};
    return run_child(argv, false, ret, reterr);
}

/* ---- memory ---- */

static int read_status(const char *field, uint64_t *ret_bytes, cairn_error **reterr)
{
    char line[256];
    size_t n = strlen(field);
    bool found = false;
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return bench_fail_os(reterr, errno, "'/proc/self/status'");
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, field, n) == 0 && sscanf(line + n, ": %" SCNu64, ret_bytes) == 1;
    (void)fclose(file);
    *ret_bytes *= 1024;
    return found ? 0
                 : bench_fail(reterr, CAIRN_EUNSUPPORTED, "no %s in '/proc/self/status'", field);
}

int bench_memory_start(struct bench_memory *ret, cairn_error **reterr)
{
    (void)malloc_trim(0); /* what was freed and kept would hide what is taken */
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (!file)
        return bench_fail_os(reterr, errno, "'/proc/self/clear_refs'");
    bool bad = fputs("5", file) < 0; /* the peak is the present size from now on */
    bad |= fclose(file) != 0;
    if (bad)
        return bench_fail(reterr, CAIRN_EUNSUPPORTED, "'/proc/self/clear_refs' takes nothing");
    return read_status("VmRSS", &ret->start_bytes, reterr);
}

int bench_memory_peak(const struct bench_memory *memory, double *ret_mb, cairn_error **reterr)
{
    uint64_t peak = 0;
    BENCH_TRY(read_status("VmHWM", &peak, reterr));
    *ret_mb = peak > memory->start_bytes ? (double)(peak - memory->start_bytes) / 1048576 : 0;
    return 0;
}
