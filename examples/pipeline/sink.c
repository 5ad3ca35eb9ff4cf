/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements into files. The file sink does what is needed for exactly once: a file is hidden until
 * the checkpoint that its lines belong to is complete. Whoever reads DIR/output sees whole files
 * only, and each line in one of them.
 */
#include "examples/pipeline/pipeline.h"

#include <inttypes.h>
#include <string.h>

/* "customer number count total order order ..." */
static int write_line(struct node *node, const void *record, size_t size)
{
    char line[512];
    struct statement s;
    cairn_error *error = NULL;
    (void)size;
    memcpy(&s, (const unsigned char *)record + 8, sizeof s);
    int n = snprintf(line, sizeof line, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
                     cairn_decode_int64(record), s.number, s.count, s.total);
    for (int64_t i = 0; i < s.count; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, " %" PRId64, s.orders[i]);
    line[n++] = '\n';
    if (cairn_file_sink_write(node->files, line, (size_t)n, &error) < 0)
        return fail(node->pipeline, "cannot write", error);
    return 0;
}

int open_files(struct node *node)
{
    struct pipeline *p = node->pipeline;
    char directory[4096];
    cairn_file_sink_options options = CAIRN_FILE_SINK_OPTIONS_INIT;
    cairn_error *error = NULL;
    (void)snprintf(directory, sizeof directory, "%s/output", p->options->dir);
    options.directory = directory;
    options.prefix = "statements";
    options.suffix = ".txt";
    options.max_file_bytes = 16 << 20;
    if (cairn_task_open(p->job, "files", NULL, &node->task, &error) < 0 ||
        cairn_file_sink_open(node->task, "lines", &options, &node->files, &error) < 0)
        return fail(p, "cannot open the files", error);
    node->process = write_line;
    return open_gate(node, p->options->parallelism, CAIRN_PARTITION_ANY);
}
