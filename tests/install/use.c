/* SPDX-License-Identifier: Apache-2.0 */

/* What somebody else's program looks like: only installed headers, only what pkg-config says.
 * Writes one value, takes a checkpoint, opens again and finds it. Usage: use STORE LOCAL */

#include <cairn/cairn.h>
#include <cairn/inspect.h>
#include <cairn/store.h>
#include <stdio.h>

static int fail(const char *what, cairn_error *error)
{
    fprintf(stderr, "use: %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

/* One life of the service: what it found is in *value. */
static int live(const char *store, const char *local, int64_t *value, cairn_error **error)
{
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_job *job = NULL;
    cairn_task *task = NULL;
    cairn_value *count;
    int r;
    options.store_uri = store;
    options.local_dir = local;
    r = cairn_job_open("use", &options, &job, error);
    if (r == 0)
        r = cairn_task_open(job, "counter", NULL, &task, error);
    if (r == 0)
        r = cairn_value_state(task, "count", CAIRN_INT64, NULL, &count, error);
    if (r == 0)
        r = cairn_job_start(job, error);
    if (r == 0)
        r = cairn_task_set_key(task, "key", 3);
    if (r == 0)
        r = cairn_value_get_int64(count, value, error);
    if (r >= 0)
        r = cairn_value_put_int64(count, 42, error);
    if (r == 0)
        r = cairn_task_checkpoint(task, NULL, NULL, error);
    cairn_job_close(job);
    cairn_task_close(task);
    return r;
}

int main(int argc, char **argv)
{
    cairn_error *error = NULL;
    int64_t value = 0;
    if (argc != 3)
        return 2;
    if (live(argv[1], argv[2], &value, &error) < 0)
        return fail("first life", error);
    if (live(argv[1], argv[2], &value, &error) < 0)
        return fail("second life", error);
    printf("found %lld with cairn %s\n", (long long)value, cairn_version());
    return value == 42 ? 0 : 1;
}
