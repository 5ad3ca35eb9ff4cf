/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tables whose columns are as wide as what is in them, and colours. Colours appear only when stdout
 * is a terminal that shows them and NO_COLOR (no-color.org) is not set; so what goes into a pipe or
 * a file is plain text. Widths are counted in characters, before colours.
 */

#include "tools/cli/cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool colours;

void cli_style_init(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    colours = isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && *term &&
              strcmp(term, "dumb") != 0;
}

const char *cli_style_on(enum cli_style style)
{
    static const char *const codes[] = {
        [CLI_PLAIN] = "",         [CLI_GOOD] = "\033[32m", [CLI_WARN] = "\033[33m",
        [CLI_BAD] = "\033[1;31m", [CLI_DIM] = "\033[2m",   [CLI_BOLD] = "\033[1m",
    };
    return colours ? codes[style] : "";
}

const char *cli_style_off(enum cli_style style)
{
    return colours && style != CLI_PLAIN ? "\033[0m" : "";
}

struct cell {
    char *text;
    enum cli_style style;
};

struct cli_table {
    const struct cli_column *columns;
    size_t column_count;
    size_t shown;       /* of these, from the left */
    struct cell *cells; /* row after row, the titles first */
    size_t count, capacity;
};

static void add_cell(struct cli_table *table, enum cli_style style, char *text)
{
    table->cells = cli_grow(table->cells, table->count, &table->capacity, sizeof(struct cell));
    table->cells[table->count++] = (struct cell){text, style};
}

struct cli_table *cli_table_new(const struct cli_column *columns, size_t count)
{
    struct cli_table *table = cli_alloc(sizeof(*table));
    table->columns = columns;
    table->column_count = table->shown = count;
    for (size_t i = 0; i < count; i++)
        add_cell(table, CLI_BOLD, cli_printf("%s", columns[i].title));
    return table;
}

void cli_table_cell(struct cli_table *table, enum cli_style style, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = cli_printf("?");
    va_end(args);
    add_cell(table, style, text);
}

static void print_row(const struct cli_table *table, const struct cell *row, const size_t *widths,
                      int indent)
{
    int pending = indent; /* blanks before the next text: none at the end of a line */
    for (size_t c = 0; c < table->shown; c++) {
        int gap = (int)(widths[c] - cli_text_width(row[c].text));
        if (c > 0)
            pending += 2;
        if (table->columns[c].right)
            pending += gap;
        if (*row[c].text)
            printf("%*s%s%s%s", pending, "", cli_style_on(row[c].style), row[c].text,
                   cli_style_off(row[c].style));
        pending = (*row[c].text ? 0 : pending) + (table->columns[c].right ? 0 : gap);
    }
    putchar('\n');
}

static size_t *measure(const struct cli_table *table)
{
    size_t n = table->column_count;
    size_t *widths = cli_alloc(n * sizeof(*widths));
    for (size_t i = 0; i < table->count; i++) {
        size_t width = cli_text_width(table->cells[i].text);
        if (width > widths[i % n])
            widths[i % n] = width;
    }
    return widths;
}

void cli_table_fit(struct cli_table *table, size_t width)
{
    CLI_AUTO_FREE size_t *widths = measure(table);
    size_t used = widths[0];
    for (size_t c = 1; c < table->column_count; c++) {
        used += 2 + widths[c];
        if (used > width) {
            table->shown = c;
            return;
        }
    }
}

void cli_table_print(struct cli_table *table, int indent)
{
    size_t n = table->column_count;
    CLI_AUTO_FREE size_t *widths = measure(table);
    for (size_t i = 0; table->count > n && i + n <= table->count; i += n)
        print_row(table, table->cells + i, widths, indent);
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}
