/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a task with several inputs.
 *
 * Poll, then take one message from a channel that the gate lets through, tell the gate what it is,
 * and process it. That is all there is to a consistent cut: which channels wait, and when this
 * task's state is taken, the gate and poll know.
 */
#include "examples/pipeline/pipeline.h"

#include <string.h>

#define IDLE_MS 5

void send_to_all(struct node *node, const struct message *message)
{
    for (uint32_t i = 0; i < node->output_count; i++)
        (void)inbox_put(node->outputs[i], node->subtask, message);
}

bool send_record(struct node *node, uint32_t output, const void *data, size_t size)
{
    struct message message = {.type = MESSAGE_RECORD, .size = (uint32_t)size};
    memcpy(message.data, data, size);
    return inbox_put(node->outputs[output], node->subtask, &message);
}

static void send_barrier(struct node *node, const cairn_barrier *barrier)
{
    const struct message message = {.type = MESSAGE_BARRIER, .barrier = *barrier};
    send_to_all(node, &message);
}

static void on_event(struct node *node, const cairn_event *event)
{
    struct pipeline *p = node->pipeline;
    switch (event->type) {
    case CAIRN_EVENT_BARRIER:
        send_barrier(node, &event->barrier);
        break;
    case CAIRN_EVENT_COMPLETED:
        node->completed = event->checkpoint_id;
        break;
    /* A stop with savepoint: `cairn stop` asks for it. */
    case CAIRN_EVENT_DRAIN:
        node->ending_id = event->checkpoint_id;
        node->is_draining = true;
        atomic_store(&p->is_ending, true);
        break;
    case CAIRN_EVENT_STOPPING:
        node->ending_id = event->checkpoint_id;
        node->is_stopping = true;
        atomic_store(&p->is_ending, true);
        send_barrier(node, &event->barrier);
        break;
    case CAIRN_EVENT_STOPPED:
        node->is_stopping = false;
        atomic_store(&p->has_stopped, true);
        break;
    case CAIRN_EVENT_ABORTED:
        if (event->checkpoint_id == node->ending_id) { /* it was the stop: the job goes on */
            node->is_stopping = false;
            atomic_store(&p->is_ending, false);
            /* What was drained is sent on and cannot be taken back: the state of the newest
             * checkpoint knows nothing of it. */
            if (node->is_draining)
                (void)fail(p, "the stop failed after the input was drained: start again", NULL);
        }
        break;
    case CAIRN_EVENT_NONE:
    case CAIRN_EVENT_SAVEPOINT:
    case CAIRN_EVENT_INDEPENDENT:
        break;
    }
}

int serve_events(struct node *node, bool is_idle)
{
    struct pipeline *p = node->pipeline;
    cairn_error *error = NULL;
    cairn_event event;
    do {
        int r = is_idle || node->is_stopping ? cairn_task_wait(node->task, IDLE_MS, &event, &error)
                                             : cairn_task_poll(node->task, &event, &error);
        if (r < 0)
            return fail(p, "poll", error);
        on_event(node, &event);
        is_idle = false;
        if (event.type == CAIRN_EVENT_STOPPED)
            return 1;
        if (atomic_load(&p->stop))
            return -1;
    } while (event.type != CAIRN_EVENT_NONE || node->is_stopping);
    return 0;
}

void run_to_the_last_checkpoint(struct node *node)
{
    struct pipeline *p = node->pipeline;
    const struct message end = {.type = MESSAGE_END};
    send_to_all(node, &end);
    node->output_count = 0;
    atomic_fetch_add(&p->at_end, 1);
    while (atomic_load(&p->last_checkpoint) == 0 ||
           node->completed < atomic_load(&p->last_checkpoint))
        if (serve_events(node, true) != 0)
            return;
}

/* ---- the gate ---- */

static int key_of(void *context, const void *record, size_t size, const void **ret_key,
                  size_t *ret_key_size)
{
    (void)context, (void)size;
    *ret_key = ((const struct order *)record)->customer;
    *ret_key_size = sizeof((const struct order *)record)->customer;
    return 0;
}

/* An unaligned checkpoint asks for what its barrier overtakes. */
static int collect(void *context, cairn_gate *gate, uint32_t channel, const cairn_barrier *barrier)
{
    struct node *node = context;
    return inbox_collect(&node->in, channel, barrier->checkpoint_id, gate);
}

int open_gate(struct node *node, uint32_t channel_count, cairn_partitioning partitioning)
{
    cairn_gate_options options = CAIRN_GATE_OPTIONS_INIT;
    cairn_error *error = NULL;
    options.channel_count = channel_count;
    options.partitioning = partitioning;
    options.key_of = partitioning == CAIRN_PARTITION_BY_KEY ? key_of : NULL;
    options.collect = collect;
    options.context = node;
    if (cairn_gate_open(node->task, &options, &node->gate, &error) < 0)
        return fail(node->pipeline, "cannot open a gate", error);
    node->open_channels = channel_count;
    return inbox_init(&node->in, channel_count, &node->pipeline->stop);
}

/* Barriers that have arrived behind records. */
static int announce(struct node *node)
{
    cairn_barrier barrier;
    cairn_error *error = NULL;
    for (int channel; (channel = inbox_arrived(&node->in, &barrier)) >= 0;)
        if (cairn_gate_is_blocked(node->gate, (uint32_t)channel) == 0 &&
            cairn_gate_announce(node->gate, (uint32_t)channel, &barrier, &error) < 0)
            return fail(node->pipeline, "announce", error);
    return 0;
}

static int handle(struct node *node, uint32_t channel, const struct message *message)
{
    cairn_error *error = NULL;
    int r = 0;
    switch (message->type) {
    case MESSAGE_RECORD:
        r = cairn_gate_record(node->gate, channel, message->data, message->size, &error);
        if (r == 0)
            return node->process(node, message->data, message->size);
        break;
    case MESSAGE_BARRIER:
        r = cairn_gate_barrier(node->gate, channel, &message->barrier, &error);
        break;
    case MESSAGE_END:
        r = cairn_gate_end(node->gate, channel, &error);
        node->open_channels--;
        break;
    case MESSAGE_NONE:
        break;
    }
    return r < 0 ? fail(node->pipeline, "gate", error) : 0;
}

/* Records that the restored checkpoint had in flight come before all others. */
static int process_restored(struct node *node)
{
    const void *record;
    size_t size;
    int r;
    while ((r = cairn_gate_restored(node->gate, NULL, &record, &size)) == 1)
        if (node->process(node, record, size) < 0)
            return -1;
    return r;
}

/* ---- the loop ---- */

static int run_until_inputs_end(struct node *node)
{
    struct message message;
    if (process_restored(node) < 0)
        return -1;
    while (node->open_channels > 0) {
        if (announce(node) < 0 || serve_events(node, false) != 0)
            return -1;
        int channel = inbox_take(&node->in, node->gate, &message);
        if (channel >= 0 && handle(node, (uint32_t)channel, &message) < 0)
            return -1;
    }
    return node->at_end != NULL ? node->at_end(node) : 0;
}

void *run_operator(void *argument)
{
    struct node *node = argument;
    if (run_until_inputs_end(node) == 0)
        run_to_the_last_checkpoint(node);
    return NULL;
}
