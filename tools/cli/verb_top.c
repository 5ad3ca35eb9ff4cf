/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn top: a live view of a running job: tasks with their throughput, checkpoints in flight, the
 * last ones. What is shown per second is the difference between two looks, by the service's clock.
 */

#include "tools/cli/screen.h"
#include "tools/cli/service.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MS 1000
#define LAST_CHECKPOINTS 6
#define BAR 20

/* One look at the job. */
struct look {
    struct json_object *job, *tasks, *checkpoints;
};

static void look_done(struct look *look)
{
    json_object_put(look->job);
    json_object_put(look->tasks);
    json_object_put(look->checkpoints);
    *look = (struct look){0};
}

static int look_at(const struct cli_args *args, const struct cli_service *service, struct look *ret,
                   cairn_error **reterr)
{
    CLI_CLEANUP(look_done) struct look look = {0};
    CLI_AUTO_FREE char *path = cli_printf("/v1/checkpoints?limit=%d", LAST_CHECKPOINTS);
    int r = cli_request(args, service, "GET", "/v1/job", NULL, &look.job, reterr);
    if (r == 0)
        r = cli_request(args, service, "GET", "/v1/tasks", NULL, &look.tasks, reterr);
    if (r == 0)
        r = cli_request(args, service, "GET", path, NULL, &look.checkpoints, reterr);
    if (r < 0)
        return r;
    *ret = look;
    look = (struct look){0};
    return 0;
}

/* The same task in the look before, which may be of another run. */
static struct json_object *find_task(struct json_object *tasks, struct json_object *task)
{
    for (size_t i = 0; i < cli_answer_length(tasks, "tasks"); i++) {
        struct json_object *other = cli_answer_item(tasks, "tasks", i);
        if (cli_answer_u64(other, "subtask") == cli_answer_u64(task, "subtask") &&
            strcmp(cli_answer_text(other, "uid"), cli_answer_text(task, "uid")) == 0)
            return other;
    }
    return NULL;
}

/* How much a counter grew per second; negative: that cannot be told. */
static double rate_of(const struct look *before, const struct look *now, struct json_object *task,
                      const char *name)
{
    struct json_object *earlier = find_task(before->tasks, task);
    uint64_t from = cli_answer_u64(before->tasks, "now_time_ms");
    uint64_t to = cli_answer_u64(now->tasks, "now_time_ms");
    uint64_t count = cli_answer_u64(task, name), last = cli_answer_u64(earlier, name);
    if (!earlier || to <= from || count < last ||
        cli_answer_u64(before->job, "epoch") != cli_answer_u64(now->job, "epoch"))
        return -1;
    return (double)(count - last) * 1000 / (double)(to - from);
}

static void put_rate(struct cli_table *table, double rate)
{
    if (rate < 0)
        cli_table_cell(table, CLI_DIM, "-");
    else
        cli_table_cell(table, CLI_PLAIN, "%s", cli_count((uint64_t)(rate + 0.5)).text);
}

static void print_tasks(const struct look *before, const struct look *now)
{
    static const struct cli_column columns[] = {
        {"OPERATOR", false}, {"SUBTASK", true}, {"KEYS/S", true}, {"RECORDS/S", true},
        {"STALL", true},     {"MAX", true},     {"HELD", true},   {"SLOWED", true},
        {"MEMTABLE", true},  {"L0", true},      {"EVENTS", true}, {"", false},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    for (size_t i = 0; i < cli_answer_length(now->tasks, "tasks"); i++) {
        struct json_object *task = cli_answer_item(now->tasks, "tasks", i);
        struct json_object *gate = cli_answer_member(task, "gate");
        struct json_object *old_gate = cli_answer_member(find_task(before->tasks, task), "gate");
        uint64_t from = cli_answer_u64(before->tasks, "now_time_ms");
        uint64_t to = cli_answer_u64(now->tasks, "now_time_ms");
        uint64_t records = cli_answer_u64(gate, "records");
        uint64_t old_records = cli_answer_u64(old_gate, "records");
        CLI_AUTO_FREE char *uid = cli_text_safe(cli_answer_text(task, "uid"));
        cli_table_cell(table, CLI_BOLD, "%s", uid);
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(task, "subtask"));
        put_rate(table, rate_of(before, now, task, "keys_set"));
        put_rate(table, gate && old_gate && to > from && records >= old_records
                            ? (double)(records - old_records) * 1000 / (double)(to - from)
                            : -1);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_duration(cli_answer_u64(task, "stall_last_us")).text);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_duration(cli_answer_u64(task, "stall_max_us")).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_duration(cli_answer_u64(task, "hold_us")).text);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_duration(cli_answer_u64(task, "backpressure_us")).text);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_size(cli_answer_u64(task, "memtable_bytes")).text);
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(task, "level0_files"));
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(task, "events_waiting"));
        cli_table_cell(table, CLI_WARN, "%s",
                       cli_answer_bool(task, "is_finished")   ? "finished"
                       : cli_answer_bool(gate, "is_aligning") ? "aligning"
                                                              : "");
    }
    cli_table_print(table, 0);
}

static void print_head(const struct look *now)
{
    struct json_object *job = now->job;
    struct json_object *last = cli_answer_member(job, "last_checkpoint");
    struct json_object *counts = cli_answer_member(job, "counts");
    CLI_AUTO_FREE char *name = cli_text_safe(cli_answer_text(job, "name"));
    CLI_AUTO_FREE char *state = cli_text_safe(cli_answer_text(job, "state"));
    enum cli_style style = cli_job_state_style(state);
    printf("%s%s%s  %s%s%s  epoch %" PRIu64 "  process %" PRIu64 "  started %s\n",
           cli_style_on(CLI_BOLD), name, cli_style_off(CLI_BOLD), cli_style_on(style), state,
           cli_style_off(style), cli_answer_u64(job, "epoch"), cli_answer_u64(job, "pid"),
           cli_age((int64_t)cli_answer_u64(job, "start_time_ms")).text);
    printf("%" PRIu64 " checkpoints complete, %" PRIu64 " failed",
           cli_answer_u64(counts, "completed"), cli_answer_u64(counts, "failed"));
    if (last)
        printf("; last %" PRIu64 ", %s: %s new of %s in %s", cli_answer_u64(last, "id"),
               cli_age((int64_t)cli_answer_u64(last, "trigger_time_ms")).text,
               cli_size(cli_answer_u64(last, "new_bytes")).text,
               cli_size(cli_answer_u64(last, "full_bytes")).text,
               cli_duration(cli_answer_u64(last, "duration_us")).text);
    printf("\n");
}

static void print_in_flight(const struct look *now)
{
    size_t count = cli_answer_length(now->checkpoints, "in_flight");
    for (size_t i = 0; i < count; i++) {
        struct json_object *one = cli_answer_item(now->checkpoints, "in_flight", i);
        uint64_t done = cli_answer_u64(one, "done_bytes");
        uint64_t total = cli_answer_u64(one, "total_bytes");
        size_t full = total > 0 && done < total ? (size_t)((double)done / (double)total * BAR)
                      : total > 0               ? BAR
                                                : 0;
        char bar[BAR + 1];
        memset(bar, '-', BAR);
        memset(bar, '#', full);
        bar[BAR] = '\0';
        CLI_AUTO_FREE char *kind = cli_text_safe(cli_answer_text(one, "kind"));
        CLI_AUTO_FREE char *phase = cli_text_safe(cli_answer_text(one, "phase"));
        printf("%s %" PRIu64 " [%s] %s of %s, %s, %s: %" PRIu64 " wait, %" PRIu64 " align, %" PRIu64
               " capture, %" PRIu64 " upload, %" PRIu64 " done\n",
               kind, cli_answer_u64(one, "id"), bar, cli_size(done).text,
               total ? cli_size(total).text : "?", cli_duration(cli_answer_u64(one, "age_us")).text,
               phase, cli_answer_u64(one, "tasks_waiting"), cli_answer_u64(one, "tasks_aligning"),
               cli_answer_u64(one, "tasks_capturing"), cli_answer_u64(one, "tasks_uploading"),
               cli_answer_u64(one, "tasks_acked"));
    }
    if (count == 0)
        printf("nothing in flight\n");
}

static void print_last(const struct look *now)
{
    static const struct cli_column columns[] = {
        {"ID", true},    {"OUTCOME", false}, {"TAKEN", true},  {"DURATION", true}, {"STALL", true},
        {"ALIGN", true}, {"FLUSH", true},    {"UPLOAD", true}, {"NEW", true},      {"", false},
    };
    static const char *const times[] = {"duration_us", "stall_max_us", "align_max_us",
                                        "flush_max_us", "upload_max_us"};
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    for (size_t i = 0; i < cli_answer_length(now->checkpoints, "history"); i++) {
        struct json_object *one = cli_answer_item(now->checkpoints, "history", i);
        CLI_AUTO_FREE char *outcome = cli_text_safe(cli_answer_text(one, "outcome"));
        CLI_AUTO_FREE char *reason = cli_text_safe(cli_answer_text(one, "reason"));
        bool good = strcmp(outcome, "complete") == 0;
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(one, "id"));
        cli_table_cell(table, good ? CLI_GOOD : CLI_BAD, "%s", outcome);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_age((int64_t)cli_answer_u64(one, "trigger_time_ms")).text);
        for (size_t t = 0; t < CLI_COUNT(times); t++)
            cli_table_cell(table, CLI_PLAIN, "%s",
                           cli_duration(cli_answer_u64(one, times[t])).text);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       good ? cli_size(cli_answer_u64(one, "new_bytes")).text : "-");
        cli_table_cell(table, CLI_PLAIN, "%s", reason);
    }
    cli_table_print(table, 0);
}

static void print_look(const struct look *before, const struct look *now)
{
    print_head(now);
    print_in_flight(now);
    printf("\n");
    print_tasks(before, now);
    printf("\n");
    print_last(now);
}

static int watch(const struct cli_args *args, const struct cli_service *service,
                 struct look *before, cairn_error **reterr)
{
    uint64_t interval_ms = args->interval_ms ? args->interval_ms : INTERVAL_MS;
    cli_interrupt_catch();
    int r = cli_screen_enter(reterr);
    while (r == 0) {
        struct look now;
        r = look_at(args, service, &now, reterr);
        if (r < 0)
            break;
        cli_screen_begin();
        print_look(before, &now);
        printf("\n%sq: quit%s\n", cli_style_on(CLI_DIM), cli_style_off(CLI_DIM));
        cli_screen_end();
        look_done(before);
        *before = now;
        int key = cli_screen_key(interval_ms);
        if (key == 'q' || key == 'Q' || cli_interrupted())
            break;
    }
    cli_screen_leave();
    return r;
}

int cli_top(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    CLI_CLEANUP(look_done) struct look before = {0};
    int r = cli_service_find(args, args->words[0], &service, reterr);
    if (r == 0 && !args->once && cli_screen_is_possible())
        return watch(args, &service, &before, reterr);
    if (r == 0)
        r = look_at(args, &service, &before, reterr);
    if (r < 0)
        return r;
    /* Throughput needs two looks. */
    CLI_CLEANUP(look_done) struct look now = {0};
    uint64_t interval_ms = args->interval_ms ? args->interval_ms : INTERVAL_MS;
    (void)poll(NULL, 0, (int)interval_ms);
    r = look_at(args, &service, &now, reterr);
    if (r == 0)
        print_look(&before, &now);
    return r;
}
