/* SPDX-License-Identifier: Apache-2.0 */
/* See real.h. */
#include "tests/support/s3/real.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *variable_of(const char *name)
{
    const char *value = getenv(name);
    ck_assert_msg(value != NULL, "%s is not set: run it by tests/support/s3/run.sh", name);
    return value;
}

char *real_uri(const char *variable, const char *path, const char *options)
{
    const char *uri = variable_of(variable), *query = strchr(uri, '?');
    char *whole;
    ck_assert_ptr_nonnull(query);
    ck_assert_int_eq(crn_str_printf(&whole, NULL, "%.*s%s%s%s%s", (int)(query - uri), uri,
                                    *path != 0 ? "/" : "", path, query, options),
                     0);
    return whole;
}

int real_open(const char *variable, const char *path, const char *options, bool probe,
              cairn_store **ret, cairn_error **reterr)
{
    CRN_AUTO_FREE char *uri = real_uri(variable, path, options);
    struct crn_s3_config config;
    CRN_TRY(crn_s3_config_from_uri(uri + strlen("s3:"), uri, &config, reterr));
    return crn_s3_store_open_config(&config, probe, ret, reterr);
}

cairn_store *real_store(const char *variable, const char *path, const char *options)
{
    cairn_store *store = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = real_open(variable, path, options, true, &store, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    return store;
}

unsigned real_port(const char *variable)
{
    const char *at = strstr(variable_of(variable), "://127.0.0.1:");
    ck_assert_ptr_nonnull(at);
    return (unsigned)strtoul(at + strlen("://127.0.0.1:"), NULL, 10);
}

void real_signal(const char *daemon, int signal)
{
    CRN_AUTO_FREE char *path = NULL;
    int pid = 0;
    ck_assert_int_eq(crn_str_printf(&path, NULL, "%s/pid.%s", variable_of("CAIRN_S3_DIR"), daemon),
                     0);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%d", &pid), 1);
    (void)fclose(file);
    ck_assert_int_gt(pid, 1);
    ck_assert_int_eq(kill(pid, signal), 0);
}

/* Words in `more` are split by the shell. */
static void run_script(const char *word, const char *more)
{
    const char *script = variable_of("CAIRN_S3_SCRIPT"), *dir = variable_of("CAIRN_S3_DIR");
    int status;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)setsid(); /* Check ends a test's process group, and daemons stay for the next one */
        execl("/bin/sh", "sh", "-c", "exec \"$0\" \"$1\" \"$2\" $3 >/dev/null", script, word, dir,
              more, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s %s: %d", script, word, more,
                  status);
}

void real_script(const char *word, const char *more)
{
    run_script(word, more != NULL ? more : "");
}

void real_admin(const char *words)
{
    run_script("admin", words);
}

void real_bucket(const char *variable, const char *bucket, unsigned port)
{
    char uri[128];
    cairn_store *store;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_CLEANUP(crn_s3_request_done) struct crn_s3_request request = {.method = "PUT"};
    (void)snprintf(uri, sizeof uri, "s3://%s/t?endpoint=http://127.0.0.1:%u", bucket,
                   real_port("CAIRN_TEST_S3"));
    ck_assert_int_eq(setenv(variable, uri, 1), 0);
    ck_assert_int_eq(real_open(variable, "", "", false, &store, NULL), 0);
    int r = crn_s3_perform((struct crn_s3 *)store, &request, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    store->ops->close(store);
    (void)snprintf(uri, sizeof uri, "s3://%s/t?endpoint=http://127.0.0.1:%u", bucket, port);
    ck_assert_int_eq(setenv(variable, uri, 1), 0);
}

void real_expect(cairn_store *store, const char *key, const void *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_store_get_bytes(store, key, SIZE_MAX, &got, &error);
    ck_assert_msg(r == 0, "'%s': %s", key, cairn_error_message(error));
    ck_assert_uint_eq(got.size, size);
    ck_assert(size == 0 || memcmp(got.data, data, size) == 0);
}

int real_put(cairn_store *store, const char *key, const void *data, size_t size,
             cairn_error **reterr)
{
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, data, size);
    return store->ops->put(store, key, &source.source, &how, reterr);
}

static int count_one(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)key, (void)stat;
    ++*(uint64_t *)context;
    return 0;
}

uint64_t real_count(cairn_store *store, const char *prefix)
{
    uint64_t count = 0;
    ck_assert_int_eq(store->ops->list(store, prefix, count_one, &count, NULL), 0);
    return count;
}
