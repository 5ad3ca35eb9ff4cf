/* SPDX-License-Identifier: Apache-2.0 */

/* cairn du: what takes the space, per checkpoint and for the whole job. A manifest that cannot be
 * read does not keep back what is known without it: the figures come first, then the error. */

#include "tools/cli/cli.h"

static void print_checkpoints(const cairn_log *log)
{
    static const struct cli_column columns[] = {
        {"ID", true},  {"TIME", false},     {"FULL", true},
        {"NEW", true}, {"EXCLUSIVE", true}, {"MANIFEST", true},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (record->state != CAIRN_STATE_COMPLETE)
            continue;
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, record->id);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_time(record->trigger_time_ms).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(record->full_bytes).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(record->new_bytes).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(record->exclusive_bytes).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(record->manifest_bytes).text);
    }
    cli_table_print(table, 0);
}

static void add_total(struct cli_table *table, enum cli_style style, const char *what,
                      uint64_t count, const uint64_t *bytes, const char *meaning)
{
    cli_table_cell(table, style, "%s", what);
    cli_table_cell(table, style, "%s", cli_count(count).text);
    cli_table_cell(table, style, "%s", bytes ? cli_size(*bytes).text : "-");
    cli_table_cell(table, CLI_DIM, "%s", meaning);
}

static void print_totals(const cairn_usage *u)
{
    static const struct cli_column columns[] = {
        {"OBJECTS", false},
        {"COUNT", true},
        {"SIZE", true},
        {"", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    enum cli_style dead = u->dead_count ? CLI_WARN : CLI_PLAIN;
    enum cli_style missing = u->missing_count ? CLI_BAD : CLI_PLAIN;
    add_total(table, CLI_PLAIN, "manifests", u->manifest_count, &u->manifest_bytes, "");
    add_total(table, CLI_PLAIN, "live", u->live_count, &u->live_bytes, "needed by a checkpoint");
    add_total(table, dead, "dead", u->dead_count, &u->dead_bytes,
              "needed by none: gc removes them");
    add_total(table, CLI_PLAIN, "unresolved", u->unresolved_count, &u->unresolved_bytes,
              "of a checkpoint in flight, or left by a crash");
    if (u->unknown_count > 0)
        add_total(table, CLI_BAD, "unknown", u->unknown_count, &u->unknown_bytes,
                  "perhaps needed by a manifest that cannot be read");
    if (u->cluster_count > 0)
        add_total(table, CLI_PLAIN, "cluster", u->cluster_count, &u->cluster_bytes,
                  "what processes of the running job tell one another");
    add_total(table, CLI_PLAIN, "foreign", u->foreign_count, &u->foreign_bytes,
              "not Cairn's: never touched");
    add_total(table, missing, "missing", u->missing_count, NULL, "needed, but not there");
    add_total(table, CLI_BOLD, "total", u->object_count, &u->object_bytes, "");
    cli_table_print(table, 0);
}

static void print_json(const char *job, const cairn_log *log, const cairn_usage *u)
{
    struct json_object *document = cli_json_object(), *checkpoints = cli_json_array();
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (record->state == CAIRN_STATE_COMPLETE)
            cli_json_push(checkpoints, cli_json_record(record));
    }
    struct json_object *usage = cli_json_object();
    cli_json_put(usage, "total", cli_json_amount(u->object_count, u->object_bytes));
    cli_json_put(usage, "manifests", cli_json_amount(u->manifest_count, u->manifest_bytes));
    cli_json_put(usage, "live", cli_json_amount(u->live_count, u->live_bytes));
    cli_json_put(usage, "dead", cli_json_amount(u->dead_count, u->dead_bytes));
    cli_json_put(usage, "unresolved", cli_json_amount(u->unresolved_count, u->unresolved_bytes));
    cli_json_put(usage, "unknown", cli_json_amount(u->unknown_count, u->unknown_bytes));
    cli_json_put(usage, "cluster", cli_json_amount(u->cluster_count, u->cluster_bytes));
    cli_json_put(usage, "foreign", cli_json_amount(u->foreign_count, u->foreign_bytes));
    cli_json_put_u64(usage, "missing_count", u->missing_count);
    cli_json_put_text(document, "job", job);
    cli_json_put(document, "checkpoints", checkpoints);
    cli_json_put(document, "usage", usage);
    cli_json_print(document);
}

int cli_du(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_LOG cairn_log *log = NULL;
    cairn_usage usage = CAIRN_USAGE_INIT;
    int r = cli_target_open(args, &target, reterr);
    if (r == 0)
        r = cairn_log_open(target.store, target.job, &log, reterr);
    if (r == 0)
        r = cairn_job_usage(target.store, target.job, &usage, reterr);
    if (r < 0 && usage.object_count == 0) /* nothing was filled in */
        return r;
    if (args->json) {
        print_json(target.job, log, &usage);
        return r;
    }
    print_checkpoints(log);
    putchar('\n');
    print_totals(&usage);
    return r;
}
