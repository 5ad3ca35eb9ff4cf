/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts what readers of DIR/output see: every order has to be on a statement, and on one only; a
 * customer's statements are numbered without gaps, and their totals are those of their orders.
 */
#include "examples/pipeline/pipeline.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct counts {
    const struct options *options;
    uint8_t *orders;     /* how often each was seen */
    int64_t *statements; /* of each customer */
    int64_t *highest;    /* number + 1 among them */
    uint64_t files, lines, wrong;
};

/* @return the line has all that it says it has */
static bool count_line(struct counts *n, char *line)
{
    int64_t head[4], total = 0;
    char *at = line, *end;
    for (int i = 0; i < 4; i++, at = end) {
        head[i] = strtoll(at, &end, 10);
        if (end == at)
            return false;
    }
    const int64_t customer = head[0];
    if (customer < 0 || customer >= n->options->customers || head[1] < 0)
        return false;
    for (int64_t i = 0; i < head[2]; i++, at = end) {
        int64_t number = strtoll(at, &end, 10);
        if (end == at || number < 0 || number >= n->options->records)
            return false;
        struct order order = make_order(number, n->options->customers);
        total += order.amount;
        if (cairn_decode_int64(order.customer) != customer)
            return false;
        n->orders[number] += n->orders[number] < UINT8_MAX;
    }
    n->statements[customer]++;
    if (head[1] >= n->highest[customer])
        n->highest[customer] = head[1] + 1;
    return strcmp(at, "\n") == 0 && total == head[3];
}

static int count_file(struct counts *n, const char *path)
{
    char line[1024];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    n->files++;
    while (fgets(line, sizeof line, file) != NULL) {
        n->lines++;
        if (!count_line(n, line)) {
            n->wrong++;
            fprintf(stderr, "%s: wrong line: %s", path, line);
        }
    }
    fclose(file);
    return 0;
}

static int count_directory(struct counts *n)
{
    char path[4096 + 256];
    (void)snprintf(path, sizeof path, "%s/output", n->options->dir);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    int r = 0;
    for (const struct dirent *entry; r == 0 && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') { /* as every reader should: hidden files are not there yet */
            (void)snprintf(path, sizeof path, "%s/output/%s", n->options->dir, entry->d_name);
            r = count_file(n, path);
        }
    closedir(dir);
    return r;
}

static int report(const struct counts *n)
{
    uint64_t missing = 0, twice = 0, repeated = 0, gaps = 0;
    for (int64_t i = 0; i < n->options->records; i++) {
        missing += n->orders[i] == 0;
        twice += n->orders[i] > 1;
    }
    for (int64_t c = 0; c < n->options->customers; c++) {
        if (n->statements[c] > n->highest[c])
            repeated += (uint64_t)(n->statements[c] - n->highest[c]);
        if (n->statements[c] < n->highest[c])
            gaps += (uint64_t)(n->highest[c] - n->statements[c]);
    }
    printf("%" PRId64 " orders on %" PRIu64 " statements in %" PRIu64 " files: %" PRIu64
           " missing, %" PRIu64 " more than once; %" PRIu64 " statements repeated, %" PRIu64
           " missing, %" PRIu64 " wrong\n",
           n->options->records, n->lines, n->files, missing, twice, repeated, gaps, n->wrong);
    return missing + gaps + n->wrong > 0 ? 1 : twice + repeated > 0 ? 3 : 0;
}

int check_output(const struct options *options)
{
    struct counts n = {.options = options,
                       .orders = calloc((size_t)options->records + 1, 1),
                       .statements = calloc((size_t)options->customers, sizeof(int64_t)),
                       .highest = calloc((size_t)options->customers, sizeof(int64_t))};
    int r = 1;
    if (n.orders != NULL && n.statements != NULL && n.highest != NULL && count_directory(&n) == 0)
        r = report(&n);
    free(n.orders);
    free(n.statements);
    free(n.highest);
    return r;
}
