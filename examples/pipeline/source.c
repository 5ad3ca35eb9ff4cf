/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders. They come from nowhere but their number, so that what comes out at the other end can be
 * checked; a real source would read from a log or a queue that can be read again. Either way, what
 * makes it exactly once is this: the position is operator state, stored in the barrier, so a
 * checkpoint has it as of the very record that the barrier was sent behind.
 */
#include "examples/pipeline/pipeline.h"

#include <time.h>

struct order make_order(int64_t number, int64_t customers)
{
    struct order order = {.number = number, .amount = number * 7919 % 1000};
    cairn_encode_int64((number ^ (number >> 7)) % customers, order.customer);
    return order;
}

/* Called right before the state of a checkpoint is taken. */
static int store_position(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct node *node = context;
    (void)task, (void)checkpoint_id;
    int r = cairn_operator_list_clear(node->position, NULL);
    return r < 0 ? r : cairn_operator_list_add_int64(node->position, node->next_order, NULL);
}

int open_source(struct node *node)
{
    struct pipeline *p = node->pipeline;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_error *error = NULL;
    const void *data;
    size_t size;
    options.parallelism = SOURCES;
    options.subtask = node->subtask;
    options.before_barrier = store_position;
    options.context = node;
    if (cairn_task_open(p->job, "orders", &options, &node->task, &error) < 0 ||
        cairn_operator_list_state(node->task, "position", CAIRN_SPLIT, CAIRN_INT64, &node->position,
                                  &error) < 0)
        return fail(p, "cannot open a source", error);
    node->next_order = node->subtask; /* every SOURCES-th order is this one's */
    if (cairn_operator_list_at(node->position, 0, &data, &size) == 0)
        node->next_order = cairn_decode_int64(data);
    node->output_count = p->options->parallelism;
    for (uint32_t i = 0; i < node->output_count; i++)
        node->outputs[i] = &p->statements[i].in;
    return 0;
}

/* A slower source, to have something to watch. */
static void pace(const struct node *node, const struct timespec *start, int64_t sent)
{
    const int64_t rate = node->pipeline->options->rate;
    if (rate == 0)
        return;
    struct timespec due = *start;
    due.tv_sec += (time_t)(sent / rate);
    due.tv_nsec += (long)(sent % rate * 1000000000 / rate);
    due.tv_sec += due.tv_nsec / 1000000000;
    due.tv_nsec %= 1000000000;
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

void *run_source(void *argument)
{
    struct node *node = argument;
    const struct options *o = node->pipeline->options;
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int64_t sent = 0; node->next_order < o->records; sent++) {
        if (serve_events(node, false) != 0)
            return NULL;
        if (node->is_draining)
            break;
        struct order order = make_order(node->next_order, o->customers);
        int output = cairn_subtask_of_key(order.customer, sizeof order.customer, o->parallelism,
                                          MAX_PARALLELISM);
        if (!send_record(node, (uint32_t)output, &order, sizeof order))
            return NULL;
        node->next_order += SOURCES;
        pace(node, &start, sent + 1);
    }
    run_to_the_last_checkpoint(node);
    return NULL;
}
