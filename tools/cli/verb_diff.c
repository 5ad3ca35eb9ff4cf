/* SPDX-License-Identifier: Apache-2.0 */

/* cairn diff: which stored files came and went between two checkpoints of a job. */

#include "tools/cli/cli.h"

struct sums {
    uint64_t count, bytes;
};

/* Of the entries with change -1, 0 and +1. */
struct totals {
    struct sums of[3];
};

static struct totals add_up(const cairn_diff *diff)
{
    struct totals totals = {0};
    for (size_t i = 0; i < cairn_diff_size(diff); i++) {
        const cairn_diff_entry *entry = cairn_diff_at(diff, i);
        struct sums *sums = &totals.of[entry->change + 1];
        sums->count++;
        sums->bytes += entry->file->size;
    }
    return totals;
}

static void add_row(struct cli_table *table, const cairn_diff_entry *entry)
{
    static const char *const signs[] = {"-", "=", "+"};
    static const enum cli_style styles[] = {CLI_BAD, CLI_DIM, CLI_GOOD};
    const cairn_file_info *file = entry->file;
    enum cli_style style = styles[entry->change + 1];
    CLI_AUTO_FREE char *uid = cli_text_safe(entry->operator_uid);
    CLI_AUTO_FREE char *name = cli_text_safe(file->name);
    CLI_AUTO_FREE char *state = cli_text_safe(file->state ? file->state : "-");
    CLI_AUTO_FREE char *object = cli_file_place(file);
    bool is_table = file->role == CAIRN_FILE_TABLE;
    cli_table_cell(table, style, "%s", signs[entry->change + 1]);
    cli_table_cell(table, style, "%s", uid);
    cli_table_cell(table, style, "%u", entry->subtask);
    cli_table_cell(table, style, "%s", name);
    cli_table_cell(table, style, "%s", cli_size(file->size).text);
    if (is_table)
        cli_table_cell(table, style, "%u", file->level);
    else
        cli_table_cell(table, style, "-");
    cli_table_cell(table, style, "%s", is_table ? state : "-");
    cli_table_cell(table, style, "%s", object);
}

static void print_text(const struct cli_args *args, const cairn_diff *diff, uint64_t first,
                       uint64_t second)
{
    static const struct cli_column columns[] = {
        {"", false},    {"OPERATOR", false}, {"SUBTASK", true}, {"FILE", false},
        {"SIZE", true}, {"LEVEL", true},     {"STATE", false},  {"OBJECT", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    struct totals totals = add_up(diff);
    for (size_t i = 0; i < cairn_diff_size(diff); i++) {
        const cairn_diff_entry *entry = cairn_diff_at(diff, i);
        if (entry->change != 0 || args->all)
            add_row(table, entry);
    }
    cli_table_print(table, 0);
    printf("from checkpoint %" PRIu64 " to %" PRIu64
           ": %s came (%s), %s went (%s), %s in both (%s)\n",
           first, second, cli_count(totals.of[2].count).text, cli_size(totals.of[2].bytes).text,
           cli_count(totals.of[0].count).text, cli_size(totals.of[0].bytes).text,
           cli_count(totals.of[1].count).text, cli_size(totals.of[1].bytes).text);
}

static void print_json(const struct cli_args *args, const char *job, const cairn_diff *diff,
                       uint64_t first, uint64_t second)
{
    static const char *const changes[] = {"removed", "shared", "added"};
    struct json_object *document = cli_json_object(), *entries = cli_json_array();
    struct totals totals = add_up(diff);
    for (size_t i = 0; i < cairn_diff_size(diff); i++) {
        const cairn_diff_entry *entry = cairn_diff_at(diff, i);
        if (entry->change == 0 && !args->all)
            continue;
        struct json_object *o = cli_json_object();
        cli_json_put_text(o, "change", changes[entry->change + 1]);
        cli_json_put_text(o, "operator_uid", entry->operator_uid);
        cli_json_put_u64(o, "subtask", entry->subtask);
        cli_json_put(o, "file", cli_json_file(entry->file, NULL, NULL));
        cli_json_push(entries, o);
    }
    cli_json_put_text(document, "job", job);
    cli_json_put_u64(document, "first", first);
    cli_json_put_u64(document, "second", second);
    for (int i = 2; i >= 0; i--)
        cli_json_put(document, changes[i], cli_json_amount(totals.of[i].count, totals.of[i].bytes));
    cli_json_put(document, "entries", entries);
    cli_json_print(document);
}

int cli_diff(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *first = NULL;
    CLI_AUTO_SNAPSHOT cairn_snapshot *second = NULL;
    cairn_diff *diff = NULL;
    uint64_t a = 0, b = 0;
    if (args->entries)
        return cli_diff_entries(args, reterr);
    if (args->word_count != 3)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'diff' needs PATH A B, or two paths with --entries");
    int r = cli_args_id(args->words[1], &a, reterr);
    if (r == 0)
        r = cli_args_id(args->words[2], &b, reterr);
    if (r == 0)
        r = cli_target_open(args, &target, reterr);
    if (r == 0)
        r = cli_target_id(&target, args->words[1], &a, reterr);
    if (r == 0)
        r = cli_target_id(&target, args->words[2], &b, reterr);
    if (r == 0)
        r = cairn_snapshot_open(target.store, target.job, a, &first, reterr);
    if (r == 0)
        r = cairn_snapshot_open(target.store, target.job, b, &second, reterr);
    if (r == 0)
        r = cairn_diff_open(first, second, &diff, reterr);
    if (r < 0)
        return r;
    a = cairn_snapshot_record(first)->id;
    b = cairn_snapshot_record(second)->id;
    if (args->json)
        print_json(args, target.job, diff, a, b);
    else
        print_text(args, diff, a, b);
    cairn_diff_close(diff);
    return 0;
}
