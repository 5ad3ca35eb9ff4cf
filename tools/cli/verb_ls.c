/* SPDX-License-Identifier: Apache-2.0 */

/* cairn ls and cairn du: the job's checkpoints as rows, by what happened and by what takes space.
 */

#include "tools/cli/cli.h"
#include <string.h>

/* Only known from the history that a later record carries. */
static bool is_history(const cairn_record_info *record)
{
    return record->state != CAIRN_STATE_UNREADABLE && !cli_record_is_stored(record);
}

static bool has_files(const cairn_record_info *record)
{
    return record->state == CAIRN_STATE_COMPLETE || record->state == CAIRN_STATE_SUBSUMED;
}

static void add_row(struct cli_table *table, const cairn_record_info *record)
{
    CLI_AUTO_FREE char *reason = cli_text_safe(record->reason);
    bool unreadable = record->state == CAIRN_STATE_UNREADABLE;
    enum cli_style dim = record->state == CAIRN_STATE_SUBSUMED ? CLI_DIM : CLI_PLAIN;
    /* The first checkpoint of a job has nothing to share, whether it was asked to be full or not.
     */
    bool full = record->is_full || record->new_file_count == record->file_count;
    const char *type = record->kind == CAIRN_RECORD_SAVEPOINT ? "savepoint"
                       : !has_files(record)                   ? "-"
                       : full                                 ? "full"
                                                              : "incremental";
    cli_table_cell(table, dim, "%" PRIu64, record->id);
    cli_table_cell(table, cli_record_state_style(record->state), "%s",
                   cli_record_state_name(record->state));
    cli_table_cell(table, dim, "%s", type);
    cli_table_cell(table, dim, "%s", cli_time(record->trigger_time_ms).text);
    cli_table_cell(table, dim, "%s", unreadable ? "-" : cli_duration(record->duration_us).text);
    if (has_files(record)) {
        cli_table_cell(table, dim, "%s", cli_duration(record->barrier_max_us).text);
        cli_table_cell(table, dim, "%s", cli_count(record->file_count).text);
        cli_table_cell(table, dim, "%s", cli_size(record->full_bytes).text);
        cli_table_cell(table, dim, "%s", cli_size(record->new_bytes).text);
        cli_table_cell(table, dim, "%s",
                       is_history(record) ? "-" : cli_size(record->exclusive_bytes).text);
    } else {
        for (int i = 0; i < 5; i++)
            cli_table_cell(table, dim, "-");
    }
    cli_table_cell(table, unreadable ? CLI_BAD : CLI_PLAIN, "%s", reason);
}

static void ls_table(const struct cli_args *args, const cairn_log *log)
{
    static const struct cli_column columns[] = {
        {"ID", true},   {"STATE", false},    {"TYPE", false}, {"TIME", false},
        {"TOOK", true}, {"STALL", true},     {"FILES", true}, {"FULL", true},
        {"NEW", true},  {"EXCLUSIVE", true}, {"", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (args->all || !is_history(record))
            add_row(table, record);
    }
    cli_table_print(table, 0);
}

static void ls_json(const struct cli_args *args, const char *job, const cairn_log *log)
{
    struct json_object *document = cli_json_object(), *records = cli_json_array();
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (args->all || !is_history(record))
            cli_json_push(records, cli_json_record(record));
    }
    cli_json_put_text(document, "job", job);
    cli_json_put(document, "records", records);
    cli_json_print(document);
}

int cli_ls(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_LOG cairn_log *log = NULL;
    int r = cli_target_open(args, &target, reterr);
    if (r == 0)
        r = cairn_log_open(target.store, target.job, &log, reterr);
    if (r < 0)
        return r;
    if (args->json)
        ls_json(args, target.job, log);
    else
        ls_table(args, log);
    return 0;
}
