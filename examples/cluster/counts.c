/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyed operator: counts each word that the sources of all workers send, and writes "word
 * count" for each.
 *
 * The gate has a channel for each source. It says which of them must wait for the others' barriers,
 * so that what this task counts, and what it has written, is of the same moment as the positions of
 * all sources. The file sink makes these lines visible once that checkpoint is complete: then all
 * processes have their part in it.
 */
#include "examples/cluster/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* What a barrier overtakes (checkpoint.unaligned) is in the checkpoint, and may go to another
 * subtask later. */
static int key_of(void *context, const void *record, size_t size, const void **ret_key,
                  size_t *ret_key_size)
{
    (void)context;
    *ret_key = record;
    *ret_key_size = size;
    return 0;
}

int open_counts(struct counts *counts)
{
    struct worker *w = counts->node.worker;
    char output[PATH_SIZE];
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_gate_options gate_options = CAIRN_GATE_OPTIONS_INIT;
    cairn_file_sink_options sink_options = CAIRN_FILE_SINK_OPTIONS_INIT;
    cairn_error *error = NULL;
    options.parallelism = w->options->workers;
    options.subtask = w->options->index;
    options.max_parallelism = 128; /* words.c counts on it */
    options.key_type = CAIRN_STRING;
    gate_options.channel_count = w->options->workers;
    gate_options.partitioning = CAIRN_PARTITION_BY_KEY;
    gate_options.key_of = key_of;
    path_in(output, w->options, "output");
    sink_options.directory = output;
    sink_options.suffix = ".txt";
    int r = cairn_task_open(w->job, "counts", &options, &counts->node.task, &error);
    if (r == 0)
        r = cairn_gate_open(counts->node.task, &gate_options, &counts->gate, &error);
    if (r == 0)
        r = cairn_value_state(counts->node.task, "count", CAIRN_INT64, NULL, &counts->count,
                              &error);
    if (r == 0)
        r = cairn_file_sink_open(counts->node.task, "lines", &sink_options, &counts->files, &error);
    return r < 0 ? worker_fail(w, "cannot open the counts", r, error) : 0;
}

void close_counts(struct counts *counts)
{
    for (uint32_t i = 0; i < counts->node.worker->options->workers; i++)
        link_close(&counts->inputs[i]);
}

/* ---- connections ---- */

/* The first thing that a source says is which one it is. */
static int take_hello(struct counts *counts, int fd)
{
    struct worker *w = counts->node.worker;
    struct link link;
    struct message message;
    int r;
    link_init(&link, fd);
    while ((r = link_take(&link, &message)) == 0)
        if (atomic_load(&w->stop))
            r = -1;
        else
            links_wait(&link, (const bool[]){true}, 1);
    uint32_t from = r == 1 && message.type == MESSAGE_HELLO ? message.data[0] : WORKERS_MAX;
    if (from >= w->options->workers || counts->inputs[from].fd >= 0) {
        link_close(&link); /* whoever that is: not one of ours */
        return 0;
    }
    counts->inputs[from] = link; /* with what has been read of it */
    return 1;
}

static int accept_inputs(struct counts *counts)
{
    struct worker *w = counts->node.worker;
    const struct place place = {w->options->dir, cairn_job_epoch(w->job), w->options->index};
    int listener = place_listen(&place), r = 0;
    if (listener < 0)
        return worker_fail(w, strerror(errno), CAIRN_EIO, NULL);
    while (r == 0 && counts->open_inputs < w->options->workers) {
        int fd = link_accept(listener);
        if (fd >= 0)
            counts->open_inputs += (uint32_t)take_hello(counts, fd);
        else if (atomic_load(&w->stop) || cairn_job_get_state(w->job) != CAIRN_JOB_RUNNING)
            r = worker_lost_link(&counts->node);
    }
    (void)close(listener);
    place_remove(&place);
    return r;
}

/* ---- counting ---- */

static int count_word(struct counts *counts, const void *word, size_t n)
{
    char line[WORD_MAX + 32];
    cairn_error *error = NULL;
    int64_t count = 0;
    int r = cairn_task_set_key(counts->node.task, word, n);
    if (r == 0)
        r = cairn_value_get_int64(counts->count, &count, &error);
    if (r >= 0)
        r = cairn_value_put_int64(counts->count, ++count, &error);
    int size = snprintf(line, sizeof line, "%.*s %" PRId64 "\n", (int)n, (const char *)word, count);
    if (r == 0)
        r = cairn_file_sink_write(counts->files, line, (size_t)size, &error);
    return r < 0 ? worker_fail(counts->node.worker, "cannot count", r, error) : 0;
}

static int handle(struct counts *counts, uint32_t channel, const struct message *message)
{
    cairn_error *error = NULL;
    cairn_barrier barrier;
    int r = CAIRN_ECORRUPT;
    switch (message->type) {
    case MESSAGE_WORD:
        r = cairn_gate_record(counts->gate, channel, message->data, message->size, &error);
        if (r == 0)
            return count_word(counts, message->data, message->size);
        break;
    case MESSAGE_BARRIER:
        r = cairn_barrier_decode(message->data, message->size, &barrier);
        if (r == 0)
            r = cairn_gate_barrier(counts->gate, channel, &barrier, &error);
        break;
    case MESSAGE_END:
        r = cairn_gate_end(counts->gate, channel, &error);
        counts->open_inputs--;
        break;
    case MESSAGE_HELLO:
    case MESSAGE_NONE:
        break;
    }
    return r < 0 ? worker_fail(counts->node.worker, "what a source sends cannot be taken", r, error)
                 : 0;
}

/* Records that the restored checkpoint had in flight come before all others. */
static int count_restored(struct counts *counts)
{
    const void *word;
    size_t size;
    int r;
    while ((r = cairn_gate_restored(counts->gate, NULL, &word, &size)) == 1)
        if (count_word(counts, word, size) < 0)
            return -1;
    return r;
}

/* One message of each channel that need not wait. @return how many there were, or -1 */
static int take_turn(struct counts *counts)
{
    const uint32_t channels = counts->node.worker->options->workers;
    bool wanted[WORKERS_MAX];
    struct message message;
    int taken = 0;
    for (uint32_t i = 0; i < channels; i++) {
        if (serve_events(&counts->node, NULL) < 0) /* the gate may have a barrier that is due */
            return -1;
        wanted[i] = cairn_gate_is_blocked(counts->gate, i) == 0;
        int r = wanted[i] ? link_take(&counts->inputs[i], &message) : 0;
        if (r < 0)
            return worker_lost_link(&counts->node);
        if (r == 1 && handle(counts, i, &message) < 0)
            return -1;
        taken += r;
    }
    if (taken == 0)
        links_wait(counts->inputs, wanted, channels);
    return taken;
}

void *run_counts(void *argument)
{
    struct counts *counts = argument;
    int r = accept_inputs(counts);
    if (r >= 0)
        r = count_restored(counts);
    while (r >= 0 && counts->open_inputs > 0)
        r = take_turn(counts);
    if (r >= 0)
        finish_and_wait(&counts->node);
    return NULL;
}
