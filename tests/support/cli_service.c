/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cli_service DIRECTORY [NAME [stuck|coordinator|worker-0|worker-1]]: a small service for the tests
 * of the verbs for running jobs. Job NAME ("orders") with two operators, one of them with two
 * subtasks, all in one thread; its control endpoint is a socket in $CAIRN_RUN_DIR; its store is
 * DIRECTORY/store, or $CLI_SERVICE_STORE, savepoints go to DIRECTORY/savepoints, or
 * $CLI_SERVICE_SAVEPOINTS. It counts on until it is stopped, cancelled, or killed, says how that
 * came about, and prints "ready" once the endpoint is there.
 *
 * stuck: its last task never polls. coordinator: only the last task is here, and the other two are
 * each in a process of their own, worker-0 and worker-1.
 */

#include "cairn/cairn.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TASKS 3

static int die(const char *what, cairn_error *error)
{
    fprintf(stderr, "cli_service: %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

/* One round over all tasks. @return 1 to go on, 0 at the end, or an error. */
static int work(cairn_task **tasks, cairn_value **counts, int awake, bool *holds,
                cairn_error **reterr)
{
    for (int i = 0; i < awake; i++) {
        cairn_event event;
        int64_t n = 0;
        int r = cairn_task_poll(tasks[i], &event, reterr);
        if (r < 0)
            return r;
        if (event.type == CAIRN_EVENT_STOPPED)
            return 0;
        if (event.type == CAIRN_EVENT_STOPPING || event.type == CAIRN_EVENT_ABORTED)
            *holds = event.type == CAIRN_EVENT_STOPPING;
        for (int64_t key = 0; !*holds && key < 10; key++) {
            if (cairn_task_set_key_int64(tasks[i], key) < 0)
                continue; /* another subtask's */
            r = cairn_value_get_int64(counts[i], &n, reterr);
            if (r < 0 || (r = cairn_value_put_int64(counts[i], n + 1, reterr)) < 0)
                return r;
        }
    }
    return 1;
}

static int serve(cairn_job *job, cairn_task **tasks, cairn_value **counts, int awake)
{
    static const char *const states[] = {"open",      "running", "stopping", "stopped",
                                         "cancelled", "failed",  "fenced"};
    const struct timespec pause = {.tv_nsec = 1000000};
    cairn_error *error = NULL;
    bool holds = false;
    int r;
    while ((r = work(tasks, counts, awake, &holds, &error)) > 0)
        nanosleep(&pause, NULL);
    printf("ended: %s\n", states[cairn_job_get_state(job)]);
    if (r < 0 && r != CAIRN_ECANCELED)
        return die("work", error);
    cairn_error_free(error);
    return 0;
}

/* What a word says: which role it is, and which tasks it has. */
struct part {
    const char *word;
    cairn_role role;
    int first, end, awake; /* of the tasks */
};

static const struct part parts[] = {
    {"", CAIRN_ALONE, 0, TASKS, TASKS},          {"stuck", CAIRN_ALONE, 0, TASKS, TASKS - 1},
    {"coordinator", CAIRN_COORDINATOR, 2, 3, 3}, {"worker-0", CAIRN_WORKER, 0, 1, 1},
    {"worker-1", CAIRN_WORKER, 1, 2, 2},
};

static const struct part *find_part(const char *word)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].word, word) == 0)
            return &parts[i];
    return NULL;
}

static void say_caveat(void *context, const cairn_log_line *line)
{
    (void)context;
    if (line->level == CAIRN_LOG_WARNING && strstr(line->message, "single_writer") != NULL)
        fprintf(stderr, "%s\n", line->message);
}

int main(int argc, char **argv)
{
    char store[512], savepoints[512], local[512];
    cairn_error *error = NULL;
    cairn_job *job;
    cairn_task *tasks[TASKS];
    cairn_value *counts[TASKS];
    const struct part *part = find_part(argc > 3 ? argv[3] : "");
    if (argc < 2 || !part)
        return fprintf(stderr,
                       "usage: cli_service DIRECTORY [NAME [stuck|coordinator|worker-N]]\n"),
               2;
    const char *name = argc > 2 ? argv[2] : "orders";
    snprintf(store, sizeof store, "%s/store", argv[1]);
    snprintf(savepoints, sizeof savepoints, "%s/savepoints", argv[1]);
    snprintf(local, sizeof local, "%s/local-%s%s", argv[1], name, part->word);
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    const char *store_uri = getenv("CLI_SERVICE_STORE");
    const char *savepoint_uri = getenv("CLI_SERVICE_SAVEPOINTS");
    options.store_uri = store_uri ? store_uri : store;
    options.local_dir = local;
    options.savepoint_uri = savepoint_uri ? savepoint_uri : savepoints;
    options.checkpoint_timeout_ms = part->awake < part->end ? 1000 : 0;
    options.control = "unix";
    options.role = part->role;
    options.worker_count = 2;
    options.worker_name = part->word[0] != '\0' ? part->word : NULL;
    options.poll_interval_ms = 10;
    options.heartbeat_ms = 200;
    options.worker_timeout_ms = 10000;
    options.log = say_caveat;
    if (cairn_job_open(name, &options, &job, &error) < 0)
        return die("open", error);
    for (int i = part->first; i < part->end; i++) {
        cairn_task_options task = CAIRN_TASK_OPTIONS_INIT;
        task.key_type = CAIRN_INT64;
        task.parallelism = i < 2 ? 2 : 1;
        task.subtask = (uint32_t)(i % 2);
        if (cairn_task_open(job, i < 2 ? "count" : "total", &task, &tasks[i], &error) < 0 ||
            cairn_value_state(tasks[i], "n", CAIRN_INT64, NULL, &counts[i], &error) < 0)
            return die("task", error);
    }
    if (cairn_job_start(job, &error) < 0)
        return die("start", error);
    printf("ready\n");
    fflush(stdout);
    int status = serve(job, tasks + part->first, counts + part->first, part->awake - part->first);
    cairn_job_close(job);
    for (int i = part->first; i < part->end; i++)
        cairn_task_close(tasks[i]);
    return status;
}
