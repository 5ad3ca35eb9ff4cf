/* SPDX-License-Identifier: Apache-2.0 */

/* cairn status: how a running job is, and what its checkpoints were like lately. */

#include "tools/cli/service.h"
#include <string.h>

#define HISTORY_ROWS 8

static void print_label(const char *label)
{
    printf("%-12s  ", label);
}

static void print_checkpoint_line(struct json_object *last)
{
    print_label("checkpoint");
    if (!last) {
        printf("%snone yet%s\n", cli_style_on(CLI_WARN), cli_style_off(CLI_WARN));
        return;
    }
    printf("%" PRIu64 ", %s, %s, %s new of %s", cli_answer_u64(last, "id"),
           cli_answer_bool(last, "is_full") ? "full" : "incremental",
           cli_age((int64_t)cli_answer_u64(last, "trigger_time_ms")).text,
           cli_size(cli_answer_u64(last, "new_bytes")).text,
           cli_size(cli_answer_u64(last, "full_bytes")).text);
    uint64_t requests = cli_answer_u64(last, "requests");
    if (requests > 0)
        printf(", %s %s, %s sent", cli_count(requests).text,
               cli_plural(requests, "request", "requests"),
               cli_size(cli_answer_u64(last, "sent_bytes")).text);
    putchar('\n');
}

static void print_job(const struct cli_service *service, struct json_object *job)
{
    struct json_object *counts = cli_answer_member(job, "counts");
    struct json_object *restored = cli_answer_member(job, "restored");
    CLI_AUTO_FREE char *name =
        cli_text_quote(cli_answer_text(job, "name"), strlen(cli_answer_text(job, "name")));
    CLI_AUTO_FREE char *state = cli_text_safe(cli_answer_text(job, "state"));
    CLI_AUTO_FREE char *reason = cli_text_safe(cli_answer_text(job, "reason"));
    CLI_AUTO_FREE char *host = cli_text_safe(cli_answer_text(job, "host"));
    CLI_AUTO_FREE char *store = cli_place_text(cli_answer_text(job, "store"));
    CLI_AUTO_FREE char *address = cli_text_safe(service->address);
    CLI_AUTO_FREE char *from = cli_place_text(cli_answer_text(restored, "location"));
    CLI_AUTO_FREE char *role = cli_role_text(job);
    enum cli_style style = cli_job_state_style(state);
    printf("job %s: %s%s%s%s%s\n", name, cli_style_on(style), state, cli_style_off(style),
           *reason ? ": " : "", reason);
    print_label("process");
    printf("%" PRIu64 " on %s, started %s, epoch %" PRIu64 "\n", cli_answer_u64(job, "pid"), host,
           cli_age((int64_t)cli_answer_u64(job, "start_time_ms")).text,
           cli_answer_u64(job, "epoch"));
    if (*role) {
        print_label("role");
        printf("%s\n", role);
    }
    print_label("store");
    printf("%s\n", *store ? store : "-");
    print_label("address");
    printf("%s\n", address);
    print_label("started from");
    if (restored)
        printf("%s %" PRIu64 "%s%s\n", *from ? "snapshot" : "checkpoint",
               cli_answer_u64(restored, "checkpoint_id"), *from ? ", " : "", from);
    else
        printf("nothing: its state was empty\n");
    print_checkpoint_line(cli_answer_member(job, "last_checkpoint"));
    uint64_t row = cli_answer_u64(counts, "failed_in_a_row");
    print_label("since start");
    printf("%" PRIu64 " complete, %" PRIu64 " failed", cli_answer_u64(counts, "completed"),
           cli_answer_u64(counts, "failed"));
    if (row > 0)
        printf(", %s%" PRIu64 " of them in a row%s", cli_style_on(CLI_BAD), row,
               cli_style_off(CLI_BAD));
    printf("; %" PRIu64 " savepoints\n", cli_answer_u64(counts, "savepoints_completed"));
}

/* Whether the oldest snapshot in flight waits for a worker. */
static const char *worker_state(struct json_object *oldest, struct json_object *worker)
{
    uint64_t index = cli_answer_u64(worker, "index");
    if (cli_answer_bool(worker, "is_lost"))
        return "lost";
    for (size_t i = 0; i < cli_answer_length(oldest, "workers"); i++) {
        struct json_object *one = cli_answer_item(oldest, "workers", i);
        if (cli_answer_u64(one, "index") == index)
            return cli_answer_bool(one, "is_acked") ? "acked" : "waited for";
    }
    return "";
}

static void print_workers(struct json_object *answer, struct json_object *oldest)
{
    static const struct cli_column columns[] = {
        {"WORKER", true}, {"NAME", false},  {"HOST", false},  {"PID", true},
        {"TASKS", true},  {"SILENT", true}, {"STATE", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    size_t count = cli_answer_length(answer, "workers");
    for (size_t i = 0; i < count; i++) {
        struct json_object *worker = cli_answer_item(answer, "workers", i);
        CLI_AUTO_FREE char *name = cli_text_safe(cli_answer_text(worker, "name"));
        CLI_AUTO_FREE char *host = cli_text_safe(cli_answer_text(worker, "host"));
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(worker, "index"));
        cli_table_cell(table, CLI_BOLD, "%s", name);
        cli_table_cell(table, CLI_PLAIN, "%s", host);
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(worker, "pid"));
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(worker, "task_count"));
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_duration(cli_answer_u64(worker, "silent_us")).text);
        cli_table_cell(table, cli_answer_bool(worker, "is_lost") ? CLI_BAD : CLI_WARN, "%s",
                       worker_state(oldest, worker));
    }
    cli_table_print(table, 2);
    if (count > 0)
        printf("\n");
}

/* What it does for the oldest snapshot in flight: who is still waiting holds it up. */
static void put_state(struct cli_table *table, struct json_object *oldest, struct json_object *task,
                      size_t i)
{
    CLI_AUTO_FREE char *phase = cli_text_safe(cli_task_phase(oldest, task, i));
    cli_table_cell(table, CLI_WARN, "%s",
                   cli_answer_bool(task, "is_finished") ? "finished" : phase);
}

static void print_tasks(struct json_object *answer, struct json_object *oldest, bool has_workers)
{
    static const struct cli_column columns[] = {
        {"WORKER", true},   {"OPERATOR", false}, {"SUBTASK", true},   {"KEY GROUPS", true},
        {"BARRIERS", true}, {"STALL", true},     {"MAX STALL", true}, {"HELD", true},
        {"MEMTABLE", true}, {"STATE", false},
    };
    const size_t skipped = !has_workers;
    struct cli_table *table = cli_table_new(columns + skipped, CLI_COUNT(columns) - skipped);
    for (size_t i = 0; i < cli_answer_length(answer, "tasks"); i++) {
        struct json_object *task = cli_answer_item(answer, "tasks", i);
        CLI_AUTO_FREE char *uid = cli_text_safe(cli_answer_text(task, "uid"));
        if (has_workers)
            cli_answer_cell(table, task, "worker", NULL);
        cli_table_cell(table, CLI_BOLD, "%s", uid);
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64 " of %" PRIu64, cli_answer_u64(task, "subtask"),
                       cli_answer_u64(task, "parallelism"));
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64 "-%" PRIu64,
                       cli_answer_u64(task, "key_group_first"),
                       cli_answer_u64(task, "key_group_last"));
        cli_answer_cell(table, task, "barriers", NULL);
        cli_answer_cell(table, task, "stall_last_us", cli_duration);
        cli_answer_cell(table, task, "stall_max_us", cli_duration);
        cli_answer_cell(table, task, "hold_us", cli_duration);
        cli_answer_cell(table, task, "memtable_bytes", cli_size);
        put_state(table, oldest, task, i);
    }
    cli_table_print(table, 2);
}

static void print_in_flight(struct json_object *answer)
{
    for (size_t i = 0; i < cli_answer_length(answer, "in_flight"); i++) {
        struct json_object *one = cli_answer_item(answer, "in_flight", i);
        CLI_AUTO_FREE char *kind = cli_text_safe(cli_answer_text(one, "kind"));
        CLI_AUTO_FREE char *phase = cli_phase_text(one);
        uint64_t total = cli_answer_u64(one, "total_bytes");
        printf("  %s %" PRIu64 " in flight for %s: %s; %s of %s sent\n", kind,
               cli_answer_u64(one, "id"), cli_duration(cli_answer_u64(one, "age_us")).text, phase,
               cli_size(cli_answer_u64(one, "done_bytes")).text,
               total ? cli_size(total).text : "?");
    }
}

static enum cli_style outcome_style(const char *outcome)
{
    if (strcmp(outcome, "complete") == 0)
        return CLI_GOOD;
    return strcmp(outcome, "failed") == 0 ? CLI_BAD : CLI_DIM;
}

/* A directory is not reached by requests. */
static bool knows_costs(struct json_object *answer)
{
    for (size_t i = 0; i < cli_answer_length(answer, "history"); i++)
        if (cli_answer_u64(cli_answer_item(answer, "history", i), "requests") > 0)
            return true;
    return false;
}

static void put_costs(struct cli_table *table, struct json_object *one)
{
    uint64_t requests = cli_answer_u64(one, "requests");
    cli_table_cell(table, CLI_PLAIN, "%s", requests > 0 ? cli_count(requests).text : "-");
    cli_table_cell(table, CLI_PLAIN, "%s",
                   requests > 0 ? cli_size(cli_answer_u64(one, "sent_bytes")).text : "-");
}

static void print_history(struct json_object *answer)
{
    static const struct cli_column plain[] = {
        {"ID", true},    {"KIND", false}, {"OUTCOME", false}, {"TAKEN", true}, {"DURATION", true},
        {"STALL", true}, {"FULL", true},  {"NEW", true},      {"", false},
    };
    static const struct cli_column with_costs[] = {
        {"ID", true},       {"KIND", false}, {"OUTCOME", false}, {"TAKEN", true},
        {"DURATION", true}, {"STALL", true}, {"FULL", true},     {"NEW", true},
        {"REQUESTS", true}, {"SENT", true},  {"", false},
    };
    const bool has_costs = knows_costs(answer);
    struct cli_table *table = has_costs ? cli_table_new(with_costs, CLI_COUNT(with_costs))
                                        : cli_table_new(plain, CLI_COUNT(plain));
    for (size_t i = 0; i < cli_answer_length(answer, "history"); i++) {
        struct json_object *one = cli_answer_item(answer, "history", i);
        CLI_AUTO_FREE char *kind = cli_text_safe(cli_answer_text(one, "kind"));
        CLI_AUTO_FREE char *outcome = cli_text_safe(cli_answer_text(one, "outcome"));
        const char *more = cli_answer_text(one, "reason");
        CLI_AUTO_FREE char *note =
            *more ? cli_text_safe(more) : cli_place_text(cli_answer_text(one, "location"));
        bool fence = strcmp(kind, "fence") == 0; /* a start of the job */
        bool complete = !fence && strcmp(outcome, "complete") == 0;
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(one, "id"));
        cli_table_cell(table, CLI_PLAIN, "%s%s", cli_answer_bool(one, "is_full") ? "full " : "",
                       kind);
        cli_table_cell(table, fence ? CLI_DIM : outcome_style(outcome), "%s",
                       fence ? "-" : outcome);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_age((int64_t)cli_answer_u64(one, "trigger_time_ms")).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_ended_duration(one, "duration_us").text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_ended_duration(one, "stall_max_us").text);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       complete ? cli_size(cli_answer_u64(one, "full_bytes")).text : "-");
        cli_table_cell(table, CLI_PLAIN, "%s",
                       complete ? cli_size(cli_answer_u64(one, "new_bytes")).text : "-");
        if (has_costs)
            put_costs(table, one);
        cli_table_cell(table, CLI_PLAIN, "%s", note);
    }
    cli_table_print(table, 2);
}

int cli_status(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    CLI_AUTO_JSON struct json_object *job = NULL, *tasks = NULL, *checkpoints = NULL;
    CLI_AUTO_JSON struct json_object *oldest = NULL, *workers = NULL;
    CLI_AUTO_FREE char *history =
        cli_printf("/v1/checkpoints?limit=%" PRIu64, args->limit ? args->limit : HISTORY_ROWS);
    int r = cli_service_find(args, args->words[0], &service, reterr);
    if (r == 0)
        r = cli_request(args, &service, "GET", "/v1/job", NULL, &job, reterr);
    if (r == 0)
        r = cli_request(args, &service, "GET", "/v1/tasks", NULL, &tasks, reterr);
    if (r == 0)
        r = cli_request(args, &service, "GET", history, NULL, &checkpoints, reterr);
    /* An older service has none, and no such path. */
    if (r == 0 && cli_answer_u64(job, "worker_count") > 0)
        r = cli_request(args, &service, "GET", "/v1/workers", NULL, &workers, reterr);
    if (r == 0 && !args->json)
        r = cli_request_oldest(args, &service, checkpoints, &oldest, reterr);
    if (r < 0)
        return r;
    cli_caveat(cli_answer_text(job, "store_caveat"));
    if (args->json) {
        struct json_object *document = cli_json_object();
        cli_json_put_text(document, "address", service.address);
        cli_json_put(document, "job", json_object_get(job));
        cli_json_put(document, "tasks", json_object_get(cli_answer_member(tasks, "tasks")));
        cli_json_put(document, "workers", json_object_get(cli_answer_member(workers, "workers")));
        cli_json_put(document, "in_flight",
                     json_object_get(cli_answer_member(checkpoints, "in_flight")));
        cli_json_put(document, "history",
                     json_object_get(cli_answer_member(checkpoints, "history")));
        cli_json_print(document);
        return 0;
    }
    print_job(&service, job);
    printf("\n");
    print_workers(workers, oldest);
    print_tasks(tasks, oldest, workers != NULL);
    printf("\n");
    print_in_flight(checkpoints);
    print_history(checkpoints);
    return 0;
}
