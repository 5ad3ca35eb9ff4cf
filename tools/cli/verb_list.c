/* SPDX-License-Identifier: Apache-2.0 */

/* cairn list: the jobs that run on this machine. */

#include "tools/cli/service.h"
#include <string.h>

enum cli_style cli_job_state_style(const char *state)
{
    if (strcmp(state, "running") == 0)
        return CLI_GOOD;
    return strcmp(state, "failed") == 0 || strcmp(state, "fenced") == 0 ? CLI_BAD : CLI_WARN;
}

static void add_row(struct cli_table *table, const struct cli_service *service)
{
    struct json_object *job = service->about;
    struct json_object *last = cli_answer_member(job, "last_checkpoint");
    uint64_t failed = cli_answer_u64(cli_answer_member(job, "counts"), "failed_in_a_row");
    uint64_t when = cli_answer_u64(last, "trigger_time_ms");
    CLI_AUTO_FREE char *name = cli_text_safe(service->job);
    CLI_AUTO_FREE char *state = cli_text_safe(cli_answer_text(job, "state"));
    CLI_AUTO_FREE char *role = cli_text_safe(cli_answer_text(job, "role"));
    CLI_AUTO_FREE char *address = cli_text_safe(service->address);
    cli_table_cell(table, CLI_BOLD, "%s", name);
    cli_table_cell(table, cli_job_state_style(state), "%s", state);
    cli_table_cell(table, CLI_PLAIN, "%s", role);
    cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(job, "pid"));
    cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(job, "task_count"));
    if (last)
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(last, "id"));
    else
        cli_table_cell(table, CLI_WARN, "none");
    cli_table_cell(table, CLI_PLAIN, "%s", when ? cli_age((int64_t)when).text : "-");
    cli_table_cell(table, failed ? CLI_WARN : CLI_PLAIN, "%" PRIu64, failed);
    cli_table_cell(table, CLI_DIM, "%s", address);
}

static void print_table(const struct cli_services *services, const char *directory)
{
    static const struct cli_column columns[] = {
        {"JOB", false},  {"STATE", false}, {"ROLE", false},
        {"PID", true},   {"TASKS", true},  {"CHECKPOINT", true},
        {"TAKEN", true}, {"FAILED", true}, {"ADDRESS", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    for (size_t i = 0; i < services->count; i++)
        add_row(table, &services->items[i]);
    cli_table_print(table, 0);
    CLI_AUTO_FREE char *safe = cli_text_safe(directory);
    if (services->count == 0)
        printf("no job with a control endpoint runs under '%s'\n", safe);
    if (services->dead > 0)
        printf("%zu %s there belong%s to %s gone\n", services->dead,
               services->dead == 1 ? "socket" : "sockets", services->dead == 1 ? "s" : "",
               services->dead == 1 ? "a process that is" : "processes that are");
}

static void print_json(const struct cli_services *services, const char *directory)
{
    struct json_object *document = cli_json_object();
    struct json_object *jobs = cli_json_array();
    cli_json_put_text(document, "run_dir", directory);
    cli_json_put_u64(document, "dead_sockets", services->dead);
    for (size_t i = 0; i < services->count; i++) {
        struct json_object *job = json_object_get(services->items[i].about);
        cli_json_put_text(job, "address", services->items[i].address);
        cli_json_push(jobs, job);
    }
    cli_json_put(document, "jobs", jobs);
    cli_json_print(document);
}

int cli_list(const struct cli_args *args, cairn_error **reterr)
{
    CLI_CLEANUP(cli_services_done) struct cli_services services = {0};
    CLI_AUTO_FREE char *directory = cli_run_directory(args);
    int r = cli_services_list(args, &services, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < services.count; i++)
        cli_caveat(cli_answer_text(services.items[i].about, "store_caveat"));
    if (args->json)
        print_json(&services, directory);
    else
        print_table(&services, directory);
    return 0;
}
