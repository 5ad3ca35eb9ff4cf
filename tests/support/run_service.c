/* SPDX-License-Identifier: Apache-2.0 */

/*
 * run_service JOB ACTION...: a service for the tests of `cairn run`, which does what it is told,
 * one action after the other, and loads its settings. Its whole state is one number.
 *
 *   +N          add N
 *   checkpoint  take one
 *   begin       only open the job: nothing is restored yet; the first action, if it is one
 *   serve       poll until the job is stopped or cancelled, and say so
 *   kill        SIGKILL
 *   N           end with that status
 */

#include "cairn/settings.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct service {
    cairn_job *job;
    cairn_task *task;
    cairn_value *number;
};

static cairn_error *error;

static void check(int r)
{
    if (r >= 0)
        return;
    fprintf(stderr, "run_service: %s\n", cairn_error_message(error));
    exit(1);
}

static void open_job(struct service *s, const char *name)
{
    static char local[512];
    cairn_settings *settings;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    snprintf(local, sizeof local, "local-%s", name);
    options.local_dir = local;
    check(cairn_settings_load(NULL, &settings, &error));
    check(cairn_settings_apply(settings, &options, &error));
    check(cairn_job_open(name, &options, &s->job, &error));
    cairn_settings_free(settings);
}

static void start(struct service *s)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.key_type = CAIRN_INT64;
    check(cairn_task_open(s->job, "sum", &options, &s->task, &error));
    check(cairn_value_state(s->task, "number", CAIRN_INT64, NULL, &s->number, &error));
    check(cairn_job_start(s->job, &error));
    check(cairn_task_set_key_int64(s->task, 1));
}

static int64_t get(struct service *s)
{
    int64_t n = 0;
    check(cairn_value_get_int64(s->number, &n, &error));
    return n;
}

static void serve(struct service *s)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    cairn_event event = {0};
    int r;
    printf("serves\n");
    fflush(stdout);
    while ((r = cairn_task_poll(s->task, &event, &error)) >= 0 && event.type != CAIRN_EVENT_STOPPED)
        nanosleep(&pause, NULL);
    printf(cairn_job_get_state(s->job) == CAIRN_JOB_STOPPED ? "stopped\n" : "cancelled\n");
    if (r != CAIRN_ECANCELED)
        check(r);
    cairn_error_free(error);
    error = NULL;
}

static void act(struct service *s, const char *action)
{
    if (action[0] == '+')
        check(cairn_value_put_int64(s->number, get(s) + atoi(action + 1), &error));
    else if (strcmp(action, "checkpoint") == 0)
        check(cairn_task_checkpoint(s->task, NULL, NULL, &error));
    else if (strcmp(action, "serve") == 0)
        serve(s);
    else if (strcmp(action, "kill") == 0)
        raise(SIGKILL);
    else
        exit(atoi(action));
}

int main(int argc, char **argv)
{
    struct service s = {0};
    if (argc < 2)
        return fprintf(stderr, "usage: run_service JOB ACTION...\n"), 2;
    open_job(&s, argv[1]);
    int first = argc > 2 && strcmp(argv[2], "begin") == 0 ? 3 : 2;
    if (first == 2) {
        start(&s);
        printf("%s begins with %lld\n", argv[1], (long long)get(&s));
        fflush(stdout);
    }
    for (int i = first; i < argc; i++)
        act(&s, argv[i]);
    cairn_job_close(s.job);
    cairn_task_close(s.task);
    return 0;
}
