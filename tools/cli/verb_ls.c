/* SPDX-License-Identifier: Apache-2.0 */

/* cairn ls: the records of a job's log as rows, for every job of the store unless one is named. */

#include "tools/cli/cli.h"
#include <string.h>

/* Only known from the history that a later record carries. */
static bool is_history(const cairn_record_info *record)
{
    return record->state != CAIRN_STATE_UNREADABLE && !cli_record_is_stored(record);
}

/* Rows without --all: what is stored, and of history the attempts and starts since the oldest
 * complete checkpoint, which are what happened lately. */
static bool is_shown(const struct cli_args *args, const cairn_log *log,
                     const cairn_record_info *record)
{
    if (args->all || !is_history(record))
        return true;
    if (record->state == CAIRN_STATE_SUBSUMED)
        return false;
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *other = cairn_log_at(log, i);
        if (other->state == CAIRN_STATE_COMPLETE)
            return record->id > other->id;
    }
    return true;
}

static bool has_files(const cairn_record_info *record)
{
    return record->state == CAIRN_STATE_COMPLETE || record->state == CAIRN_STATE_SUBSUMED;
}

static void add_row(struct cli_table *table, const cairn_record_info *record, bool has_costs)
{
    CLI_AUTO_FREE char *reason = cli_text_safe(record->reason);
    bool unreadable = record->state == CAIRN_STATE_UNREADABLE;
    enum cli_style dim = record->state == CAIRN_STATE_SUBSUMED ? CLI_DIM : CLI_PLAIN;
    /* A fence takes no time that anybody waits for. */
    bool has_duration = !unreadable && record->state != CAIRN_STATE_FENCE;
    const char *type = record->kind == CAIRN_RECORD_SAVEPOINT ? cli_format_name(record->format)
                       : !has_files(record)                   ? "-"
                       : record->is_full                      ? "full"
                                                              : "incremental";
    cli_table_cell(table, dim, "%" PRIu64, record->id);
    cli_table_cell(table, cli_record_state_style(record->state), "%s",
                   cli_record_state_name(record->state));
    cli_table_cell(table, dim, "%s", type);
    cli_table_cell(table, dim, "%s", cli_time(record->trigger_time_ms).text);
    cli_table_cell(table, dim, "%s", has_duration ? cli_duration(record->duration_us).text : "-");
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
    if (has_costs && record->requests > 0) {
        cli_table_cell(table, dim, "%s", cli_count(record->requests).text);
        cli_table_cell(table, dim, "%s", cli_size(record->sent_bytes).text);
    } else if (has_costs) {
        cli_table_cell(table, dim, "-");
        cli_table_cell(table, dim, "-");
    }
    if (record->state == CAIRN_STATE_SAVEPOINT) {
        CLI_AUTO_FREE char *location = cli_place_text(record->location);
        cli_table_cell(table, CLI_PLAIN, "%s%s", location,
                       record->is_stop ? " (the job was stopped with it)" : "");
    } else {
        cli_table_cell(table, unreadable ? CLI_BAD : CLI_PLAIN, "%s", reason);
    }
}

/* Where the newest writer was started from, if that was not this log, and whether it must stay. */
static void print_source(const cairn_log *log)
{
    const cairn_record_info *record = NULL;
    for (size_t i = cairn_log_size(log); i-- > 0 && !record;) {
        record = cairn_log_at(log, i);
        if (!cli_record_is_stored(record))
            record = NULL;
    }
    if (!record || !*record->source_location)
        return;
    CLI_AUTO_FREE char *location = cli_place_text(record->source_location);
    printf("started from %s (%s)", location, cli_claim_name(record->source_mode));
    if (record->source_mode == CAIRN_CLAIM)
        puts(", which is this job's own");
    else if (record->source_needed)
        puts(", which must stay until a checkpoint of this job is complete");
    else
        puts(", which is not needed any more");
}

/* A directory is not reached by requests. */
static bool knows_costs(const struct cli_args *args, const cairn_log *log)
{
    for (size_t i = 0; i < cairn_log_size(log); i++)
        if (is_shown(args, log, cairn_log_at(log, i)) && cairn_log_at(log, i)->requests > 0)
            return true;
    return false;
}

static void ls_table(const struct cli_args *args, const cairn_log *log)
{
    static const struct cli_column plain[] = {
        {"ID", true},   {"STATE", false},    {"TYPE", false}, {"TIME", false},
        {"TOOK", true}, {"STALL", true},     {"FILES", true}, {"FULL", true},
        {"NEW", true},  {"EXCLUSIVE", true}, {"", false},
    };
    static const struct cli_column with_costs[] = {
        {"ID", true},       {"STATE", false}, {"TYPE", false}, {"TIME", false}, {"TOOK", true},
        {"STALL", true},    {"FILES", true},  {"FULL", true},  {"NEW", true},   {"EXCLUSIVE", true},
        {"REQUESTS", true}, {"SENT", true},   {"", false},
    };
    const bool has_costs = knows_costs(args, log);
    struct cli_table *table = has_costs ? cli_table_new(with_costs, CLI_COUNT(with_costs))
                                        : cli_table_new(plain, CLI_COUNT(plain));
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (is_shown(args, log, record))
            add_row(table, record, has_costs);
    }
    cli_table_print(table, 0);
    print_source(log);
    cli_print_claim(log, "claimed ");
}

static struct json_object *ls_json(const struct cli_args *args, const char *job,
                                   const cairn_log *log)
{
    struct json_object *document = cli_json_object(), *records = cli_json_array();
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (is_shown(args, log, record))
            cli_json_push(records, cli_json_record(record));
    }
    cli_json_put_text(document, "job", job);
    cli_json_put_text(document, "claimed_by", cairn_log_claimed_by(log));
    cli_json_put(document, "records", records);
    return document;
}

struct context {
    const struct cli_args *args;
    struct json_object *documents; /* NULL: print tables */
    bool several;
    bool begun;
};

static int ls_job(void *opaque, const struct cli_target *target, bool several, cairn_error **reterr)
{
    struct context *context = opaque;
    CLI_AUTO_LOG cairn_log *log = NULL;
    int r = cairn_log_open(target->store, target->job, &log, reterr);
    if (r < 0)
        return r;
    context->several = several;
    if (context->documents) {
        cli_json_push(context->documents, ls_json(context->args, target->job, log));
        return 0;
    }
    if (several)
        cli_print_job(target->job, !context->begun);
    context->begun = true;
    ls_table(context->args, log);
    return 0;
}

int cli_ls(const struct cli_args *args, cairn_error **reterr)
{
    struct context context = {.args = args, .documents = args->json ? cli_json_array() : NULL};
    int r = cli_each_job(args, ls_job, &context, reterr);
    if (context.documents && r == 0)
        cli_json_print_jobs(context.documents, context.several);
    else
        json_object_put(context.documents);
    return r;
}
