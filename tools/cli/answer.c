/* SPDX-License-Identifier: Apache-2.0 */

/* Fields of what a running job answers. A newer service may have more of them, an older one fewer:
 * what is not there is nothing, and no verb fails for it. */

#include "tools/cli/service.h"
#include <stdlib.h>
#include <string.h>

struct json_object *cli_answer_member(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &member);
    return member;
}

uint64_t cli_answer_u64(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_int) ? json_object_get_uint64(member) : 0;
}

bool cli_answer_bool(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_boolean) && json_object_get_boolean(member);
}

const char *cli_answer_text(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : "";
}

size_t cli_answer_length(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_array) ? json_object_array_length(member) : 0;
}

struct json_object *cli_answer_item(struct json_object *object, const char *name, size_t i)
{
    return i < cli_answer_length(object, name)
               ? json_object_array_get_idx(cli_answer_member(object, name), i)
               : NULL;
}

int cli_request_oldest(const struct cli_args *args, const struct cli_service *service,
                       struct json_object *checkpoints, struct json_object **ret,
                       cairn_error **reterr)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < cli_answer_length(checkpoints, "in_flight"); i++) {
        uint64_t id = cli_answer_u64(cli_answer_item(checkpoints, "in_flight", i), "id");
        oldest = id < oldest ? id : oldest;
    }
    *ret = NULL;
    if (oldest == UINT64_MAX)
        return 0;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    CLI_AUTO_FREE char *path = cli_printf("/v1/checkpoints/%" PRIu64, oldest);
    int r = cli_request(args, service, "GET", path, NULL, ret, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    return r < 0 ? cli_raise(reterr, r, "%s", cairn_error_message(error)) : 0;
}

static bool is_task(struct json_object *one, struct json_object *task)
{
    return one && cli_answer_u64(one, "subtask") == cli_answer_u64(task, "subtask") &&
           strcmp(cli_answer_text(one, "uid"), cli_answer_text(task, "uid")) == 0;
}

struct json_object *cli_answer_task(struct json_object *other, struct json_object *task, size_t i)
{
    /* All answers have the tasks of a job in one order. */
    struct json_object *one = cli_answer_item(other, "tasks", i);
    if (is_task(one, task))
        return one;
    for (size_t k = 0; k < cli_answer_length(other, "tasks"); k++) {
        one = cli_answer_item(other, "tasks", k);
        if (is_task(one, task))
            return one;
    }
    return NULL;
}

const char *cli_task_phase(struct json_object *oldest, struct json_object *task, size_t i)
{
    if (!cli_answer_member(oldest, "in_flight"))
        return "";
    const char *phase = cli_answer_text(cli_answer_task(oldest, task, i), "phase");
    return strcmp(phase, "acked") == 0 ? "" : phase;
}

char *cli_phase_text(struct json_object *in_flight)
{
    static const char *const phases[] = {"waiting", "aligning", "capturing", "uploading", "acked"};
    const char *phase = cli_answer_text(in_flight, "phase");
    if (strcmp(phase, "tasks") != 0)
        return cli_text_safe(phase);
    char *list = cli_printf("%s", "");
    for (size_t i = 0; i < CLI_COUNT(phases); i++) {
        CLI_AUTO_FREE char *name = cli_printf("tasks_%s", phases[i]);
        uint64_t count = cli_answer_u64(in_flight, name);
        if (count == 0)
            continue;
        CLI_AUTO_FREE char *shorter = list;
        list = cli_printf("%s%s%" PRIu64 " %s", shorter, *shorter ? ", " : "", count, phases[i]);
    }
    return list;
}

struct cli_short cli_ended_duration(struct json_object *ended, const char *name)
{
    uint64_t us = cli_answer_u64(ended, name);
    if (us == 0 && cli_answer_bool(ended, "is_earlier"))
        return (struct cli_short){"-"};
    return cli_duration(us);
}

char *cli_role_text(struct json_object *job)
{
    const char *role = cli_answer_text(job, "role");
    CLI_AUTO_FREE char *name = cli_text_safe(cli_answer_text(job, "worker_name"));
    uint64_t lost = cli_answer_u64(job, "workers_lost");
    if (strcmp(role, "worker") == 0)
        return cli_printf("worker %s; heard its coordinator %s ago", name,
                          cli_duration(cli_answer_u64(job, "last_post_age_us")).text);
    if (strcmp(role, "coordinator") != 0)
        return cli_printf("%s", "");
    CLI_AUTO_FREE char *gone = lost ? cli_printf(", %" PRIu64 " lost", lost) : cli_printf("%s", "");
    return cli_printf("coordinator of %" PRIu64 " of %" PRIu64 " workers%s",
                      cli_answer_u64(job, "worker_count"), cli_answer_u64(job, "workers_wanted"),
                      gone);
}

void cli_answer_cell(struct cli_table *table, struct json_object *object, const char *name,
                     struct cli_short (*show)(uint64_t value))
{
    if (!cli_answer_member(object, name))
        cli_table_cell(table, CLI_DIM, "-");
    else if (show)
        cli_table_cell(table, CLI_PLAIN, "%s", show(cli_answer_u64(object, name)).text);
    else
        cli_table_cell(table, CLI_PLAIN, "%" PRIu64, cli_answer_u64(object, name));
}
