/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_TABLE_H
#define CAIRN_BENCH_TABLE_H

#include "tools/bench/bench.h"

/* Rows of text cells, shown as an aligned table or written as CSV. Running out of memory is kept
 * and reported by the output calls, so that filling needs no checks. */
struct bench_table {
    size_t columns;
    char **cells; /* row by row; the first row is the titles */
    size_t count, capacity;
    bool failed;
};

/* titles: separated by '|'. */
void bench_table_init(struct bench_table *table, const char *titles);
void bench_table_done(struct bench_table *table);
/* The next cell of the current row; rows follow by themselves. */
void bench_table_add(struct bench_table *table, const char *format, ...) BENCH_PRINTF(2, 3);

/* Columns whose cells are all numbers are aligned to the right. */
int bench_table_print(const struct bench_table *table, const char *heading, cairn_error **reterr);
int bench_table_write_csv(const struct bench_table *table, const char *path, cairn_error **reterr);

#endif
