/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people (aligned) and for programs (CSV). Cells never hold commas or quotes: names and
 * numbers only. */
#include "tools/bench/table.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void add_cell(struct bench_table *table, char *cell)
{
    if (cell && table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 64;
        char **cells = realloc(table->cells, capacity * sizeof(*cells));
        if (cells) {
            table->cells = cells;
            table->capacity = capacity;
        }
    }
    if (!cell || table->count == table->capacity) {
        free(cell);
        table->failed = true;
        return;
    }
    table->cells[table->count++] = cell;
}

void bench_table_init(struct bench_table *table, const char *titles)
{
    *table = (struct bench_table){0};
    for (const char *title = titles;;) {
        size_t length = strcspn(title, "|");
        add_cell(table, strndup(title, length));
        table->columns++;
        if (title[length] == '\0')
            return;
        title += length + 1;
    }
}

void bench_table_done(struct bench_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct bench_table){0};
}

void bench_table_add(struct bench_table *table, const char *format, ...)
{
    char *cell = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&cell, format, args) < 0)
        cell = NULL;
    va_end(args);
    add_cell(table, cell);
}

static bool column_is_numeric(const struct bench_table *table, size_t column)
{
    for (size_t i = table->columns + column; i < table->count; i += table->columns) {
        const char *cell = table->cells[i];
        if (strcmp(cell, "-") != 0 && cell[strspn(cell, "0123456789.+-%x")] != '\0')
            return false;
    }
    return true;
}

static int column_width(const struct bench_table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < table->count; i += table->columns)
        if (strlen(table->cells[i]) > width)
            width = strlen(table->cells[i]);
    return (int)width;
}

static void print_row(const struct bench_table *table, size_t row)
{
    for (size_t c = 0; c < table->columns; c++) {
        const char *cell = table->cells[row * table->columns + c];
        int width = column_width(table, c);
        bool last = c + 1 == table->columns;
        if (column_is_numeric(table, c))
            printf("%*s%s", width, cell, last ? "\n" : "  ");
        else if (last)
            printf("%s\n", cell);
        else
            printf("%-*s  ", width, cell);
    }
}

int bench_table_print(const struct bench_table *table, const char *heading, cairn_error **reterr)
{
    if (table->failed)
        return bench_fail_nomem(reterr);
    printf("\n%s\n\n", heading);
    for (size_t row = 0; row < table->count / table->columns; row++)
        print_row(table, row);
    return fflush(stdout) != 0 ? bench_fail_os(reterr, errno, "standard output") : 0;
}

int bench_table_write_csv(const struct bench_table *table, const char *path, cairn_error **reterr)
{
    if (table->failed)
        return bench_fail_nomem(reterr);
    FILE *file = fopen(path, "we");
    if (!file)
        return bench_fail_os(reterr, errno, "creating '%s'", path);
    for (size_t i = 0; i < table->count; i++)
        (void)fprintf(file, "%s%c", table->cells[i], (i + 1) % table->columns ? ',' : '\n');
    bool bad = ferror(file) != 0;
    bad |= fclose(file) != 0;
    return bad ? bench_fail_os(reterr, errno, "writing '%s'", path) : 0;
}
