/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: a subtask of each operator, each in a thread of its own.
 *
 * It is a job like one in a single process, but for its role. When another process is lost it ends,
 * with a status that has it started again (`cairn run`, systemd); then it waits for the others, and
 * all go on from the same checkpoint.
 */
#include "examples/cluster/cluster.h"

#include <pthread.h>
#include <string.h>

int worker_fail(struct worker *worker, const char *what, int code, cairn_error *error)
{
    if (!atomic_exchange(&worker->stop, true)) { /* the first one has the story */
        worker->code = code;
        fprintf(stderr, "worker %u: %s: %s\n", (unsigned)worker->options->index, what,
                error != NULL ? cairn_error_message(error) : cairn_error_text(code));
    }
    cairn_error_free(error);
    return -1;
}

/* What an event asks of a task. @return 0, or -1: it has to end */
static int serve(struct node *node, const cairn_event *event,
                 int (*at_barrier)(struct node *node, const cairn_barrier *barrier),
                 bool *is_stopping)
{
    switch (event->type) {
    case CAIRN_EVENT_BARRIER:
    case CAIRN_EVENT_STOPPING: /* nothing more, until it is known whether that savepoint came to be
                                  complete */
        *is_stopping = event->type == CAIRN_EVENT_STOPPING;
        return at_barrier != NULL ? at_barrier(node, &event->barrier) : 0;
    case CAIRN_EVENT_ABORTED:
        *is_stopping = false;
        return 0;
    case CAIRN_EVENT_STOPPED:
        node->has_stopped = true;
        return -1;
    default:
        return 0; /* the sink hears of COMPLETED by itself */
    }
}

int serve_events(struct node *node,
                 int (*at_barrier)(struct node *node, const cairn_barrier *barrier))
{
    struct worker *w = node->worker;
    bool is_stopping = false;
    cairn_event event;
    do {
        cairn_error *error = NULL;
        int r = is_stopping ? cairn_task_wait(node->task, 100, &event, &error)
                            : cairn_task_poll(node->task, &event, &error);
        if (r < 0)
            return worker_fail(w, "over", r, error);
        if (atomic_load(&w->stop) || serve(node, &event, at_barrier, &is_stopping) < 0)
            return -1;
    } while (event.type != CAIRN_EVENT_NONE || is_stopping);
    return 0;
}

int worker_lost_link(struct node *node)
{
    cairn_event event;
    cairn_error *error = NULL;
    for (int i = 0; i < 30 && !atomic_load(&node->worker->stop); i++) {
        int r = cairn_task_wait(node->task, 100, &event, &error);
        if (r < 0)
            return worker_fail(node->worker, "over", r, error);
    }
    return worker_fail(node->worker, "a connection to another worker", CAIRN_EUNAVAIL, NULL);
}

void finish_and_wait(struct node *node)
{
    struct worker *w = node->worker;
    cairn_error *error = NULL;
    int r = cairn_task_finish(node->task, &error);
    if (r < 0)
        (void)worker_fail(w, "cannot finish", r, error);
    while (serve_events(node, NULL) == 0) {
        cairn_event event;
        r = cairn_task_wait(node->task, 100, &event, &error);
        if (r < 0)
            (void)worker_fail(w, "over", r, error);
        else if (event.type == CAIRN_EVENT_STOPPED) {
            node->has_stopped = true;
            return;
        }
    }
}

static int open_worker(struct worker *w, const cairn_job_options *job_options)
{
    cairn_error *error = NULL;
    int r = cairn_job_open(JOB, job_options, &w->job, &error);
    if (r < 0)
        return worker_fail(w, "cannot join the job", r, error);
    if (open_words(&w->words) < 0 || open_counts(&w->counts) < 0)
        return -1;
    r = cairn_job_start(w->job, &error);
    if (r < 0)
        return worker_fail(w, "cannot start", r, error);
    printf("worker %u of %u runs in epoch %llu\n", (unsigned)w->options->index,
           (unsigned)w->options->workers, (unsigned long long)cairn_job_epoch(w->job));
    fflush(stdout);
    return 0;
}

static void run_threads(struct worker *w)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_counts, &w->counts) != 0) {
        (void)worker_fail(w, "cannot start a thread", CAIRN_ENOMEM, NULL);
        return;
    }
    (void)run_words(&w->words);
    pthread_join(thread, NULL);
}

int run_worker(const struct options *options, const cairn_job_options *job_options)
{
    static struct worker worker; /* too large for a stack */
    struct worker *w = &worker;
    w->options = options;
    w->words.node.worker = w->counts.node.worker = w;
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        link_init(&w->words.outputs[i], -1);
        link_init(&w->counts.inputs[i], -1);
    }
    if (open_worker(w, job_options) == 0)
        run_threads(w);
    cairn_job_close(w->job);
    cairn_task_close(w->words.node.task);
    cairn_task_close(w->counts.node.task);
    close_words(&w->words);
    close_counts(&w->counts);
    /* Only who must not be started again ends with 0. */
    return (w->words.node.has_stopped && w->counts.node.has_stopped) || w->code == CAIRN_ECANCELED
               ? 0
               : 1;
}
