/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements from orders: ten orders of a customer make one. The open statement of each customer is
 * keyed state, so it moves with its customer when the job starts again with another parallelism.
 *
 * The value is the struct's bytes, which is good enough for an example that only ever runs here;
 * cairn_struct_serializer() is for values that are to be read elsewhere and to change over time.
 */
#include "examples/pipeline/pipeline.h"

#include <string.h>

static int send_statement(struct node *node, const void *customer, const struct statement *s)
{
    unsigned char record[8 + sizeof *s];
    memcpy(record, customer, 8);
    memcpy(record + 8, s, sizeof *s);
    return send_record(node, 0, record, sizeof record) ? 0 : -1;
}

/* The current customer's; a new one if there is none. */
static int get_open_statement(struct node *node, struct statement *ret, cairn_error **reterr)
{
    const void *data;
    size_t size;
    int found = cairn_value_get(node->open_statement, &data, &size, reterr);
    memset(ret, 0, sizeof *ret);
    if (found == 1 && size == sizeof *ret)
        memcpy(ret, data, size);
    return found < 0 ? found : 0;
}

/* What was sent is closed; the next one begins. */
static int put_next_statement(struct node *node, const struct statement *sent, cairn_error **reterr)
{
    const struct statement next = {.number = sent->number + 1};
    return cairn_value_put(node->open_statement, &next, sizeof next, reterr);
}

static int add_order(struct node *node, const void *record, size_t size)
{
    struct order order;
    struct statement statement;
    cairn_error *error = NULL;
    (void)size;
    memcpy(&order, record, sizeof order);
    if (cairn_task_set_key(node->task, order.customer, sizeof order.customer) < 0 ||
        get_open_statement(node, &statement, &error) < 0)
        return fail(node->pipeline, "cannot read a statement", error);
    statement.orders[statement.count++] = order.number;
    statement.total += order.amount;
    int r;
    if (statement.count == STATEMENT_ORDERS) {
        if (send_statement(node, order.customer, &statement) < 0)
            return -1;
        r = put_next_statement(node, &statement, &error);
    } else {
        r = cairn_value_put(node->open_statement, &statement, sizeof statement, &error);
    }
    return r < 0 ? fail(node->pipeline, "cannot write a statement", error) : 0;
}

/* All orders have come: what is open is sent as it is. */
static int send_open_statements(struct node *node)
{
    cairn_iterator *iterator;
    cairn_error *error = NULL;
    cairn_entry entry;
    int r = cairn_task_iterate(node->task, "open", &iterator, &error);
    if (r < 0)
        return fail(node->pipeline, "cannot read statements", error);
    while (r == 0 && (r = cairn_iterator_next(iterator, &entry, &error)) == 1) {
        struct statement statement;
        memcpy(&statement, entry.value, sizeof statement);
        r = 0;
        if (statement.count == 0)
            continue;
        if (send_statement(node, entry.key, &statement) < 0)
            r = -1;
        if (r == 0)
            r = cairn_task_set_key(node->task, entry.key, entry.key_size);
        if (r == 0)
            r = put_next_statement(node, &statement, &error);
    }
    cairn_iterator_close(iterator);
    return r < 0 ? fail(node->pipeline, "cannot send the open statements", error) : 0;
}

int open_statements(struct node *node)
{
    struct pipeline *p = node->pipeline;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_error *error = NULL;
    options.parallelism = p->options->parallelism;
    options.subtask = node->subtask;
    options.max_parallelism = MAX_PARALLELISM;
    options.key_type = CAIRN_INT64;
    options.memtable_bytes = p->options->memtable_bytes;
    if (cairn_task_open(p->job, "statements", &options, &node->task, &error) < 0 ||
        cairn_value_state(node->task, "open", CAIRN_BYTES, NULL, &node->open_statement, &error) < 0)
        return fail(p, "cannot open the statements", error);
    node->process = add_order;
    node->at_end = send_open_statements;
    node->outputs[0] = &p->files.in;
    node->output_count = 1;
    return open_gate(node, SOURCES, CAIRN_PARTITION_BY_KEY);
}
