/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator. The library does its work; what is left is to say when the job is to end: when
 * all inputs have ended, or when somebody asks for it by SIGTERM. Either way it stops with a
 * savepoint, from which a later start goes on, with any number of workers.
 */
#include "examples/cluster/cluster.h"

#include <cairn/inspect.h>

#include <inttypes.h>
#include <time.h>

static int fail(const char *what, cairn_error *error)
{
    fprintf(stderr, "coordinator: %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

/* Whether the input of every task had ended before this checkpoint. */
static bool is_finished(cairn_store *store, uint64_t id)
{
    cairn_snapshot *snapshot;
    if (cairn_snapshot_open(store, JOB, id, &snapshot, NULL) < 0)
        return false; /* subsumed by now: the next one will tell */
    bool finished = true;
    for (size_t op = 0; op < cairn_snapshot_operators(snapshot); op++) {
        const cairn_subtask_info *subtask;
        for (size_t i = 0; (subtask = cairn_snapshot_subtask(snapshot, op, i)) != NULL; i++)
            finished = finished && subtask->is_finished != 0;
    }
    cairn_snapshot_close(snapshot);
    return finished;
}

static int say_worker(void *context, const cairn_worker_info *worker)
{
    (void)context;
    printf("worker %u: %s, process %" PRIu64 " on %s, %u subtasks\n", (unsigned)worker->index,
           worker->name, worker->pid, worker->host, (unsigned)worker->subtask_count);
    return 0;
}

/* @return 0: it has stopped, 1: it has not, and goes on or has ended otherwise */
static int stop(const struct options *options, cairn_job *job)
{
    char target[PATH_SIZE];
    cairn_savepoint_options savepoint = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_error *error = NULL;
    path_in(target, options, "savepoints");
    savepoint.target_uri = target;
    savepoint.stop = 1;
    if (cairn_savepoint(job, &savepoint, &info, &error) < 0)
        return fail("cannot stop with a savepoint", error);
    printf("stopped with %s\n", info.location);
    return 0;
}

/* Until the job has ended. */
static void watch(const struct options *options, cairn_job *job, cairn_store *store)
{
    const struct timespec a_moment = {.tv_nsec = 20000000};
    uint64_t looked_at = 0;
    for (int state;
         (state = cairn_job_get_state(job)) == CAIRN_JOB_RUNNING || state == CAIRN_JOB_STOPPING;) {
        cairn_checkpoint_info last = CAIRN_CHECKPOINT_INFO_INIT;
        bool is_over = terminated != 0;
        if (cairn_job_last_checkpoint(job, &last) == 1 && last.id != looked_at) {
            looked_at = last.id;
            is_over = is_over || is_finished(store, last.id);
        }
        if (is_over && stop(options, job) == 0)
            return;
        (void)nanosleep(&a_moment, NULL);
    }
}

/* The exit status says whether this process is to be started again: not if another one has taken
 * over. */
static int status_of(cairn_job *job)
{
    switch (cairn_job_get_state(job)) {
    case CAIRN_JOB_STOPPED:
    case CAIRN_JOB_CANCELLED:
        return 0;
    case CAIRN_JOB_FENCED:
        fprintf(stderr, "coordinator: another one has taken over\n");
        return 0;
    default:
        fprintf(stderr, "coordinator: the job has failed\n");
        return 1;
    }
}

int run_coordinator(const struct options *options, const cairn_job_options *job_options)
{
    cairn_job *job = NULL;
    cairn_store *store = NULL;
    cairn_error *error = NULL;
    int status;
    if (cairn_store_open(job_options->store_uri, &store, &error) < 0)
        return fail("cannot open the store", error);
    if (cairn_job_open(JOB, job_options, &job, &error) < 0)
        status = fail("cannot open the job", error);
    else if (cairn_job_start(job, &error) < 0)
        status = fail("cannot start", error);
    else {
        (void)cairn_job_each_worker(job, say_worker, NULL);
        fflush(stdout);
        watch(options, job, store);
        status = status_of(job);
    }
    cairn_job_close(job);
    cairn_store_close(store);
    return status;
}
