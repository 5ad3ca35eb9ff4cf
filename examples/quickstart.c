/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest service: counts how often it was started. Run it several times.
 * Usage: quickstart DIRECTORY
 * Settings (`cairn help settings`) override the program's options: CAIRN_CHECKPOINT_RETAINED=3,
 * say. */
#include <cairn/cairn.h>

#include <stdio.h>

static int die(cairn_error *error)
{
    fprintf(stderr, "quickstart: %s\n", cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

int main(int argc, char **argv)
{
    char store[512], local[512];
    if (argc != 2)
        return fprintf(stderr, "usage: quickstart DIRECTORY\n"), 2;
    snprintf(store, sizeof store, "%s/snapshots", argv[1]);
    snprintf(local, sizeof local, "%s/local", argv[1]);

    cairn_error *error = NULL;
    cairn_job *job;
    cairn_task *task;
    cairn_value *count;
    cairn_settings *settings;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    options.store_uri = store;
    options.local_dir = local;
    if (cairn_settings_load(NULL, &settings, &error) < 0 ||
        cairn_settings_apply(settings, &options, &error) < 0 ||
        cairn_job_open("quickstart", &options, &job, &error) < 0 ||
        cairn_task_open(job, "counter", NULL, &task, &error) < 0 ||
        cairn_value_state(task, "count", CAIRN_INT64, NULL, &count, &error) < 0 ||
        cairn_job_start(job, &error) < 0)
        return die(error);
    cairn_settings_free(settings);

    int64_t n = 0;
    if (cairn_task_set_key(task, "starts", 6) < 0 || cairn_value_get_int64(count, &n, &error) < 0 ||
        cairn_value_put_int64(count, n + 1, &error) < 0 ||
        cairn_task_checkpoint(task, NULL, NULL, &error) < 0)
        return die(error);
    printf("started %lld times\n", (long long)n + 1);
    cairn_job_close(job);
    cairn_task_close(task);
    return 0;
}
