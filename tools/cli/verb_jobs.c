/* SPDX-License-Identifier: Apache-2.0 */

/* cairn jobs: what a store holds, jobs and savepoints. A job with a damaged log, with objects
 * missing, or without any complete checkpoint is a row that says so, and the exit status; the
 * others are shown all the same.
 */

#include "tools/cli/cli.h"
#include <string.h>

struct row {
    bool is_savepoint;
    const cairn_record_info *newest; /* complete; NULL: none */
    size_t complete;
};

static struct row summarise(const cairn_log *log)
{
    struct row row = {.is_savepoint = cairn_log_is_savepoint(log)};
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        if (record->state == CAIRN_STATE_COMPLETE) {
            row.newest = record;
            row.complete++;
        }
    }
    return row;
}

static const char *kind_name(const struct row *row)
{
    return row->is_savepoint ? "savepoint" : "job";
}

static void add_text(struct cli_table *table, const char *name, const struct row *row,
                     const char *problem)
{
    CLI_AUTO_FREE char *safe = cli_text_safe(name);
    CLI_AUTO_FREE char *safe_problem = cli_text_safe(problem);
    const cairn_record_info *newest = row->newest;
    cli_table_cell(table, CLI_PLAIN, "%s", safe);
    cli_table_cell(table, CLI_PLAIN, "%s", kind_name(row));
    cli_table_cell(table, CLI_PLAIN, "%s", cli_count(row->complete).text);
    if (newest) {
        cli_table_cell(table, CLI_GOOD, "%" PRIu64, newest->id);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_time(newest->commit_time_ms).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_age(newest->commit_time_ms).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_size(newest->full_bytes).text);
    } else {
        for (int i = 0; i < 4; i++)
            cli_table_cell(table, CLI_PLAIN, "-");
    }
    cli_table_cell(table, CLI_BAD, "%s", safe_problem);
}

static void add_json(struct json_object *jobs, const char *name, const struct row *row,
                     const char *problem)
{
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "job", name);
    cli_json_put_text(o, "kind", kind_name(row));
    cli_json_put_u64(o, "checkpoints", row->complete);
    cli_json_put(o, "newest", row->newest ? cli_json_record(row->newest) : NULL);
    cli_json_put_text(o, "problem", *problem ? problem : NULL);
    cli_json_push(jobs, o);
}

/* What a service that opens the job now would stumble over, or a person should know. Returns the
 * code of it, and the text in *ret_problem (NULL: nothing), or the store's error. */
static int find_problem(cairn_store *store, const char *name, const struct row *row,
                        char **ret_problem)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    cairn_usage usage = CAIRN_USAGE_INIT;
    int r = cairn_job_usage(store, name, &usage, &error);
    if (r < 0) {
        *ret_problem = cli_printf("%s", cairn_error_message(error));
    } else if (usage.missing_count > 0) {
        r = CAIRN_EMISSING;
        *ret_problem = cli_printf("%" PRIu64 " %s missing", usage.missing_count,
                                  cli_plural(usage.missing_count, "object is", "objects are"));
    } else if (!row->newest) {
        r = CAIRN_ENOTFOUND;
        *ret_problem = cli_printf("no complete checkpoint");
    }
    return r;
}

/* One job; the result is the code of what is wrong with it. */
static int add_job(cairn_store *store, const char *name, struct cli_table *table,
                   struct json_object *jobs)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    CLI_AUTO_LOG cairn_log *log = NULL;
    CLI_AUTO_FREE char *problem = NULL;
    struct row row = {0};
    int r = cairn_log_open(store, name, &log, &error);
    if (r < 0) {
        problem = cli_printf("%s", cairn_error_message(error));
    } else {
        row = summarise(log);
        r = find_problem(store, name, &row, &problem);
    }
    if (jobs)
        add_json(jobs, name, &row, problem ? problem : "");
    else
        add_text(table, name, &row, problem ? problem : "");
    return r;
}

/* A job that has nothing yet is no reason to hide that another one is damaged. */
static int worse(int first, int next)
{
    return first == 0 || (first == CAIRN_ENOTFOUND && next < 0) ? next : first;
}

int cli_jobs(const struct cli_args *args, cairn_error **reterr)
{
    static const struct cli_column columns[] = {
        {"JOB", false},   {"KIND", false}, {"CHECKPOINTS", true}, {"NEWEST", true},
        {"TAKEN", false}, {"AGE", false},  {"SIZE", true},        {"", false},
    };
    CLI_AUTO_TARGET struct cli_target target = {0};
    char **names = NULL;
    size_t count = 0, bad = 0;
    int first = 0;
    cli_wait_begin();
    int r = cairn_store_open_existing(args->words[0], &target.store, &target.job, NULL, reterr);
    cli_wait_end();
    if (r == 0)
        cli_caveat_store(target.store);
    if (r == CAIRN_ENOTFOUND || r == CAIRN_EINVAL)
        cli_hint("give the directory of a store");
    if (r == 0 && target.job)
        r = cli_raise(reterr, CAIRN_EINVAL, "'%s' is the directory of a job, not a store",
                      args->words[0]);
    if (r == 0)
        r = cairn_store_jobs(target.store, &names, &count, reterr);
    if (r < 0)
        return r;
    struct cli_table *table = args->json ? NULL : cli_table_new(columns, CLI_COUNT(columns));
    struct json_object *jobs = args->json ? cli_json_array() : NULL;
    for (size_t i = 0; i < count; i++) {
        int code = add_job(target.store, names[i], table, jobs);
        bad += code < 0;
        first = worse(first, code);
    }
    cairn_names_free(names, count);
    if (args->json) {
        struct json_object *document = cli_json_object();
        cli_json_put(document, "jobs", jobs);
        cli_json_print(document);
    } else {
        cli_table_print(table, 0);
    }
    if (count == 0)
        return cli_raise_no_job(args->words[0], reterr);
    if (first == 0)
        return 0;
    cli_hint(first == CAIRN_ENOTFOUND ? "`cairn ls PATH` shows what was attempted"
                                      : "`cairn verify PATH` tells which checkpoints are whole");
    return cli_raise(reterr, first, "%zu of %zu jobs %s", bad, count,
                     bad == 1 ? "has a problem" : "have problems");
}
