/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn top: a live view of a running job: tasks with their throughput, checkpoints in flight, the
 * last ones. What is shown per second is the difference between two looks, by the service's clock.
 *
 * On a terminal all of it has to fit: columns that do not are left out, the important ones stand
 * left; the last checkpoints have at least a few lines, tasks the rest, and then it says how many
 * are not shown.
 */

#include "tools/cli/screen.h"
#include "tools/cli/service.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MS 1000
#define LAST_CHECKPOINTS 6
#define LAST_CHECKPOINTS_MAX 24 /* where there is room */
#define NAME_COLUMNS_MIN 16
#define BAR 10
#define LATE_WORKERS 3

/* One look at the job. */
struct look {
    struct json_object *job, *tasks, *checkpoints, *oldest;
};

/* How much may be shown. */
struct room {
    size_t columns, tasks, checkpoints;
};

static void look_done(struct look *look)
{
    json_object_put(look->job);
    json_object_put(look->tasks);
    json_object_put(look->checkpoints);
    json_object_put(look->oldest);
    *look = (struct look){0};
}

static int look_at(const struct cli_args *args, const struct cli_service *service, struct look *ret,
                   cairn_error **reterr)
{
    CLI_CLEANUP(look_done) struct look look = {0};
    CLI_AUTO_FREE char *path = cli_printf("/v1/checkpoints?limit=%d", LAST_CHECKPOINTS_MAX);
    int r = cli_request(args, service, "GET", "/v1/job", NULL, &look.job, reterr);
    if (r == 0)
        r = cli_request(args, service, "GET", "/v1/tasks", NULL, &look.tasks, reterr);
    if (r == 0)
        r = cli_request(args, service, "GET", path, NULL, &look.checkpoints, reterr);
    if (r == 0)
        r = cli_request_oldest(args, service, look.checkpoints, &look.oldest, reterr);
    if (r < 0)
        return r;
    *ret = look;
    look = (struct look){0};
    return 0;
}

/* How much a counter grew per second; negative: that cannot be told, as the look before was of
 * another run. */
static double rate_of(const struct look *before, const struct look *now,
                      struct json_object *earlier, struct json_object *later, const char *name)
{
    uint64_t from = cli_answer_u64(before->tasks, "now_time_ms");
    uint64_t to = cli_answer_u64(now->tasks, "now_time_ms");
    uint64_t count = cli_answer_u64(later, name), last = cli_answer_u64(earlier, name);
    if (!cli_answer_member(later, name) || !earlier || to <= from || count < last ||
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

/* Cut a name in its middle: beginnings are often alike. */
static char *shorten(char *name, size_t columns)
{
    size_t width = cli_text_width(name), size = strlen(name), at = 0, from = 0;
    if (width <= columns)
        return name;
    CLI_AUTO_FREE char *whole = name;
    for (size_t i = 0, c = 0; i < size; c++) {
        if (c == (columns - 2) / 2)
            at = i;
        if (c == width - (columns - 2 - (columns - 2) / 2))
            from = i;
        size_t n = cli_text_character(name + i, size - i);
        i += n ? n : 1;
    }
    return cli_printf("%.*s..%s", (int)at, whole, whole + from);
}

static void put_task(struct cli_table *table, const struct look *before, const struct look *now,
                     size_t i, size_t name_columns)
{
    struct json_object *task = cli_answer_item(now->tasks, "tasks", i);
    struct json_object *earlier = cli_answer_task(before->tasks, task, i);
    CLI_AUTO_FREE char *uid = shorten(cli_text_safe(cli_answer_text(task, "uid")), name_columns);
    CLI_AUTO_FREE char *phase = cli_text_safe(cli_task_phase(now->oldest, task, i));
    cli_table_cell(table, CLI_BOLD, "%s", uid);
    cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(task, "subtask"));
    cli_table_cell(table, CLI_WARN, "%s",
                   cli_answer_bool(task, "is_finished") ? "finished" : phase);
    put_rate(table, rate_of(before, now, earlier, task, "keys_set"));
    put_rate(table, rate_of(before, now, cli_answer_member(earlier, "gate"),
                            cli_answer_member(task, "gate"), "records"));
    static const char *const times[] = {"stall_last_us", "stall_max_us", "hold_us",
                                        "backpressure_us"};
    for (size_t t = 0; t < CLI_COUNT(times); t++)
        cli_answer_cell(table, task, times[t], cli_duration);
    cli_answer_cell(table, task, "memtable_bytes", cli_size);
    cli_answer_cell(table, task, "level0_files", NULL);
    cli_answer_cell(table, task, "events_waiting", NULL);
}

static void print_tasks(const struct look *before, const struct look *now, const struct room *room)
{
    static const struct cli_column columns[] = {
        {"OPERATOR", false}, {"SUBTASK", true},  {"STATE", false}, {"KEYS/S", true},
        {"RECORDS/S", true}, {"STALL", true},    {"MAX", true},    {"HELD", true},
        {"SLOWED", true},    {"MEMTABLE", true}, {"L0", true},     {"EVENTS", true},
    };
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    size_t count = cli_answer_length(now->tasks, "tasks");
    size_t shown = count > room->tasks ? room->tasks : count;
    size_t name_columns = room->columns / 4;
    if (name_columns < NAME_COLUMNS_MIN)
        name_columns = NAME_COLUMNS_MIN;
    /* If not all fit, those come first that a snapshot waits for. */
    for (size_t pass = 0, left = shown; pass < 2 && left > 0; pass++) {
        for (size_t i = 0; i < count && left > 0; i++) {
            struct json_object *task = cli_answer_item(now->tasks, "tasks", i);
            bool is_busy = *cli_task_phase(now->oldest, task, i) != '\0';
            if (shown == count ? pass > 0 : is_busy != (pass == 0))
                continue;
            put_task(table, before, now, i, name_columns);
            left--;
        }
    }
    cli_table_fit(table, room->columns);
    cli_table_print(table, 0);
    if (shown < count)
        printf("%s%zu more tasks: `cairn status` has all%s\n", cli_style_on(CLI_DIM), count - shown,
               cli_style_off(CLI_DIM));
}

/* The workers for whom the oldest snapshot in flight waits, if there are few. */
static void print_late_workers(const struct look *now)
{
    size_t late = 0;
    for (size_t i = 0; i < cli_answer_length(now->oldest, "workers"); i++) {
        struct json_object *worker = cli_answer_item(now->oldest, "workers", i);
        if (cli_answer_bool(worker, "is_acked"))
            continue;
        CLI_AUTO_FREE char *name = cli_text_safe(cli_answer_text(worker, "name"));
        if (late < LATE_WORKERS)
            printf("%s%s", late == 0 ? "; waiting for " : ", ", name);
        late++;
    }
    if (late > LATE_WORKERS)
        printf(" and %zu more", late - LATE_WORKERS);
}

/* One line, of a job in several processes. */
static void print_role(const struct look *now)
{
    CLI_AUTO_FREE char *role = cli_role_text(now->job);
    if (!*role)
        return;
    printf("%s", role);
    print_late_workers(now);
    printf("\n");
}

static void print_head(const struct look *now)
{
    struct json_object *job = now->job;
    struct json_object *last = cli_answer_member(job, "last_checkpoint");
    struct json_object *counts = cli_answer_member(job, "counts");
    CLI_AUTO_FREE char *name = cli_text_safe(cli_answer_text(job, "name"));
    CLI_AUTO_FREE char *state = cli_text_safe(cli_answer_text(job, "state"));
    enum cli_style style = cli_job_state_style(state);
    const bool has_caveat = *cli_answer_text(job, "store_caveat") != '\0';
    printf("%s%s%s  %s%s%s%s%s%s  epoch %" PRIu64 "  process %" PRIu64 "  started %s\n",
           cli_style_on(CLI_BOLD), name, cli_style_off(CLI_BOLD), cli_style_on(style), state,
           cli_style_off(style), cli_style_on(CLI_BAD), has_caveat ? "  unsafe store" : "",
           cli_style_off(CLI_BAD), cli_answer_u64(job, "epoch"), cli_answer_u64(job, "pid"),
           cli_age((int64_t)cli_answer_u64(job, "start_time_ms")).text);
    print_role(now);
    printf("%" PRIu64 " checkpoints complete, %" PRIu64 " failed",
           cli_answer_u64(counts, "completed"), cli_answer_u64(counts, "failed"));
    if (last)
        printf("; last: %" PRIu64 ", %s, %s new of %s, %s", cli_answer_u64(last, "id"),
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
        CLI_AUTO_FREE char *phase = cli_phase_text(one);
        printf("%s %" PRIu64 ", %s: %s  [%s] %s of %s\n", kind, cli_answer_u64(one, "id"),
               cli_duration(cli_answer_u64(one, "age_us")).text, phase, bar, cli_size(done).text,
               total ? cli_size(total).text : "?");
    }
    if (count == 0)
        printf("nothing in flight\n");
}

/* Why the last one failed, if it did. */
static const char *last_failure(const struct look *now)
{
    struct json_object *last = cli_answer_item(now->checkpoints, "history", 0);
    return strcmp(cli_answer_text(last, "outcome"), "failed") == 0 ? cli_answer_text(last, "reason")
                                                                   : "";
}

static void print_failure(const struct look *now)
{
    CLI_AUTO_FREE char *reason = cli_text_safe(last_failure(now));
    struct json_object *last = cli_answer_item(now->checkpoints, "history", 0);
    if (*reason)
        printf("%s%" PRIu64 " failed%s: %s\n", cli_style_on(CLI_BAD), cli_answer_u64(last, "id"),
               cli_style_off(CLI_BAD), reason);
}

static void print_last(const struct look *now, const struct room *room)
{
    static const struct cli_column columns[] = {
        {"ID", true},    {"KIND", false}, {"OUTCOME", false}, {"TAKEN", true}, {"DURATION", true},
        {"STALL", true}, {"NEW", true},   {"ALIGN", true},    {"FLUSH", true}, {"UPLOAD", true},
    };
    static const char *const times[] = {"align_max_us", "flush_max_us", "upload_max_us"};
    size_t count = cli_answer_length(now->checkpoints, "history");
    struct cli_table *table = cli_table_new(columns, CLI_COUNT(columns));
    for (size_t i = 0; i < count && i < room->checkpoints; i++) {
        struct json_object *one = cli_answer_item(now->checkpoints, "history", i);
        CLI_AUTO_FREE char *kind = cli_text_safe(cli_answer_text(one, "kind"));
        CLI_AUTO_FREE char *outcome = cli_text_safe(cli_answer_text(one, "outcome"));
        bool fence = strcmp(kind, "fence") == 0; /* a start of the job */
        bool good = !fence && strcmp(outcome, "complete") == 0;
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(one, "id"));
        cli_table_cell(table, CLI_PLAIN, "%s", kind);
        cli_table_cell(table,
                       fence  ? CLI_DIM
                       : good ? CLI_GOOD
                              : CLI_BAD,
                       "%s", fence ? "-" : outcome);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       cli_age((int64_t)cli_answer_u64(one, "trigger_time_ms")).text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_ended_duration(one, "duration_us").text);
        cli_table_cell(table, CLI_PLAIN, "%s", cli_ended_duration(one, "stall_max_us").text);
        cli_table_cell(table, CLI_PLAIN, "%s",
                       good ? cli_size(cli_answer_u64(one, "new_bytes")).text : "-");
        for (size_t t = 0; t < CLI_COUNT(times); t++)
            cli_table_cell(table, CLI_PLAIN, "%s", cli_ended_duration(one, times[t]).text);
    }
    cli_table_fit(table, room->columns);
    cli_table_print(table, 0);
}

/* What remains of the screen besides the head, what is in flight, titles, blank lines and the last
 * line is shared by tasks and checkpoints. */
static struct room share_screen(const struct look *now)
{
    struct room room = {0};
    size_t lines, in_flight = cli_answer_length(now->checkpoints, "in_flight");
    size_t tasks = cli_answer_length(now->tasks, "tasks");
    cli_screen_size(&lines, &room.columns);
    CLI_AUTO_FREE char *role = cli_role_text(now->job);
    size_t fixed = 8 + (in_flight ? in_flight : 1) + (*last_failure(now) ? 1 : 0) + (*role ? 1 : 0);
    size_t left = lines > fixed ? lines - fixed : 0;
    room.checkpoints = left > tasks + LAST_CHECKPOINTS ? left - tasks : LAST_CHECKPOINTS;
    room.tasks = left > room.checkpoints ? left - room.checkpoints : 0;
    if (room.tasks < tasks)
        room.tasks -= room.tasks > 1; /* for the line that says so */
    return room;
}

static void print_look(const struct look *before, const struct look *now, const struct room *room)
{
    print_head(now);
    print_in_flight(now);
    print_failure(now);
    printf("\n");
    print_tasks(before, now, room);
    printf("\n");
    print_last(now, room);
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
        struct room room = share_screen(&now);
        cli_screen_begin();
        print_look(before, &now, &room);
        printf("\n%sq: quit%s\n", cli_style_on(CLI_DIM), cli_style_off(CLI_DIM));
        cli_screen_end();
        look_done(before);
        *before = now;
        int key = cli_screen_key(interval_ms);
        if (key == 'q' || key == 'Q' || cli_interrupted())
            break;
    }
    cli_screen_leave();
    cli_caveat(cli_answer_text(before->job, "store_caveat"));
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
    const struct room room = {SIZE_MAX, SIZE_MAX, LAST_CHECKPOINTS};
    if (r < 0)
        return r;
    print_look(&before, &now, &room);
    cli_caveat(cli_answer_text(now.job, "store_caveat"));
    return 0;
}
