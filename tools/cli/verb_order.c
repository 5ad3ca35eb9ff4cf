/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn checkpoint, savepoint, stop and cancel: orders to a running job. The service answers at
 * once with a trigger, which is then waited for, unless --detached. An interruption ends only the
 * waiting: the order stands.
 */

#include "tools/cli/service.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_STEP_MS 500

static int read_trigger(struct json_object *answer, const char **ret_id, const char **ret_location,
                        cairn_error **reterr)
{
    *ret_id = cli_answer_text(answer, "trigger_id");
    *ret_location = cli_answer_text(answer, "location");
    return **ret_id && **ret_location == '/'
               ? 0
               : cli_raise(reterr, CAIRN_ECORRUPT, "the service does not name a trigger");
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_over(struct json_object *trigger)
{
    const char *state = cli_answer_text(trigger, "state");
    return strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0;
}

static void show_progress(struct cli_progress *progress, struct json_object *trigger)
{
    struct json_object *snapshot = cli_answer_member(trigger, "snapshot");
    uint64_t total = cli_answer_u64(snapshot, "total_bytes");
    if (total > 0)
        (void)cli_progress_update(progress, cli_answer_u64(snapshot, "done_bytes"), total);
}

static int raise_unknown_end(const char *id, const cairn_error *why, cairn_error **reterr)
{
    cli_hint("`cairn ls` of the job's store tells what came of it");
    return cli_raise(reterr, CAIRN_EUNKNOWN,
                     "the job ended before it told the outcome of trigger %s: %s", id,
                     cairn_error_message(why));
}

/* *ret_trigger is what the service says last. */
static int wait_for(const struct cli_args *args, const struct cli_service *service, const char *id,
                    const char *path, const char *what, struct json_object **ret_trigger,
                    cairn_error **reterr)
{
    CLI_AUTO_FREE char *poll = cli_printf("%s?wait_ms=%d", path, WAIT_STEP_MS);
    struct cli_progress progress;
    uint64_t start_ms = now_ms();
    cli_progress_start(&progress, what);
    for (;;) {
        CLI_AUTO_ERROR cairn_error *error = NULL;
        struct json_object *trigger = NULL;
        int r = cli_request(args, service, "GET", poll, NULL, &trigger, &error);
        if (r < 0) {
            cli_progress_erase(&progress);
            if (r == CAIRN_ENOTFOUND || r == CAIRN_EIO || r == CAIRN_ECLOSED)
                return raise_unknown_end(id, error, reterr);
            return cli_raise(reterr, r, "%s", cairn_error_message(error));
        }
        if (is_over(trigger)) {
            cli_progress_erase(&progress);
            *ret_trigger = trigger;
            return 0;
        }
        show_progress(&progress, trigger);
        json_object_put(trigger);
        bool late = args->timeout_ms && now_ms() - start_ms >= args->timeout_ms;
        if (!late && !cli_interrupted())
            continue;
        cli_progress_erase(&progress);
        if (!late)
            return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
        cli_hint("it goes on; `cairn savepoint --status` with the trigger's id asks again");
        return cli_raise(reterr, CAIRN_ETIMEOUT, "trigger %s is not over after %s", id,
                         cli_duration(args->timeout_ms * 1000).text);
    }
}

/* A failed one becomes the verb's error. */
static int raise_failure(struct json_object *trigger, cairn_error **reterr)
{
    struct json_object *error = cli_answer_member(trigger, "error");
    const char *code = cli_answer_text(error, "code");
    const char *message = cli_answer_text(error, "message");
    return cli_raise(reterr, cli_error_code(code), "%s", *message ? message : "it failed");
}

static void print_end(struct json_object *trigger, const char *job)
{
    struct json_object *snapshot = cli_answer_member(trigger, "snapshot");
    const char *type = cli_answer_text(trigger, "type");
    CLI_AUTO_FREE char *kind = cli_text_safe(cli_answer_text(snapshot, "kind"));
    CLI_AUTO_FREE char *location = cli_place_text(cli_answer_text(snapshot, "location"));
    CLI_AUTO_FREE char *quoted = cli_text_quote(job, strlen(job));
    /* Who was named by an address was not asked for his name. */
    CLI_AUTO_FREE char *name = *job ? cli_printf("job %s", quoted) : cli_printf("the job");
    if (snapshot) {
        printf("%s %" PRIu64 " complete: %s new of %s, %s, longest stall %s\n", kind,
               cli_answer_u64(snapshot, "id"), cli_size(cli_answer_u64(snapshot, "new_bytes")).text,
               cli_size(cli_answer_u64(snapshot, "full_bytes")).text,
               cli_duration(cli_answer_u64(snapshot, "duration_us")).text,
               cli_duration(cli_answer_u64(snapshot, "stall_max_us")).text);
        if (*location)
            printf("%s\n", location);
    }
    if (strcmp(type, "stop") == 0)
        printf("%s has stopped: its next start goes on from there\n", name);
    if (strcmp(type, "cancel") == 0)
        printf("%s is cancelled\n", name);
}

static int report(const struct cli_args *args, struct json_object *trigger, const char *job,
                  cairn_error **reterr)
{
    if (args->json)
        cli_json_print(json_object_get(trigger));
    if (strcmp(cli_answer_text(trigger, "state"), "failed") == 0)
        return raise_failure(trigger, reterr);
    if (args->json)
        return 0;
    if (is_over(trigger)) {
        print_end(trigger, job);
        return 0;
    }
    CLI_AUTO_FREE char *state = cli_text_safe(cli_answer_text(trigger, "state"));
    struct json_object *snapshot = cli_answer_member(trigger, "snapshot");
    printf("%s", state);
    if (cli_answer_u64(snapshot, "total_bytes"))
        printf(": %s of %s", cli_size(cli_answer_u64(snapshot, "done_bytes")).text,
               cli_size(cli_answer_u64(snapshot, "total_bytes")).text);
    printf("\n");
    return 0;
}

static int order(const struct cli_args *args, struct cli_service *service, const char *path,
                 struct json_object *body, const char *what, cairn_error **reterr)
{
    CLI_AUTO_JSON struct json_object *answer = NULL, *trigger = NULL, *request = body;
    const char *id = "", *location = "";
    cli_caveat_service(args, service);
    int r = cli_request(args, service, "POST", path, request, &answer, reterr);
    if (r == 0)
        r = read_trigger(answer, &id, &location, reterr);
    if (r < 0)
        return r;
    if (args->detached) {
        CLI_AUTO_FREE char *safe = cli_text_safe(id);
        if (args->json)
            cli_json_print(json_object_get(answer));
        else
            printf("%s\n", safe);
        return 0;
    }
    r = wait_for(args, service, id, location, what, &trigger, reterr);
    return r < 0 ? r : report(args, trigger, service->job ? service->job : "", reterr);
}

int cli_checkpoint(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    int r = cli_service_find(args, args->words[0], &service, reterr);
    if (r < 0)
        return r;
    struct json_object *body = cli_json_object();
    cli_json_put_bool(body, "full", args->full);
    return order(args, &service, "/v1/checkpoints", body, "checkpoint", reterr);
}

/* `cairn status orders` names a job, and so may be meant `cairn stop orders`: which would make a
 * directory of that name. */
static int refuse_job_name(const struct cli_args *args, const struct cli_service *service,
                           cairn_error **reterr)
{
    const char *target = args->words[0];
    if (args->job || !target || !service->job || strcmp(target, service->job) != 0)
        return 0;
    cli_hint("for a directory of that name put './' in front of it");
    return cli_raise(reterr, CAIRN_EINVAL,
                     "'%s' is the job, which --job names: here stands where its savepoint goes",
                     target);
}

/* The target as the service has to understand it: it may run in another directory. */
static int put_target(const struct cli_args *args, const struct cli_service *service,
                      struct json_object *body, cairn_error **reterr)
{
    const char *target = args->words[0];
    if (args->type && strcmp(args->type, "canonical") != 0 && strcmp(args->type, "native") != 0)
        return cli_raise(reterr, CAIRN_EINVAL, "--type '%s' is not canonical or native",
                         args->type);
    cli_json_put_text(body, "format", args->type ? args->type : "canonical");
    int r = refuse_job_name(args, service, reterr);
    if (r < 0 || !target)
        return r;
    if (*target == '/' || strstr(target, "://")) {
        cli_json_put_text(body, "target", target);
        return 0;
    }
    CLI_AUTO_FREE char *here = realpath(".", NULL);
    if (!here)
        return cli_raise(reterr, CAIRN_EIO,
                         "the current directory cannot be told: give TARGET as "
                         "an absolute path");
    CLI_AUTO_FREE char *absolute = cli_printf("%s/%s", here, target);
    cli_json_put_text(body, "target", absolute);
    return 0;
}

static int ask_status(const struct cli_args *args, struct cli_service *service,
                      cairn_error **reterr)
{
    CLI_AUTO_JSON struct json_object *trigger = NULL;
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    if (strspn(args->status, safe) != strlen(args->status) || !*args->status)
        return cli_raise(reterr, CAIRN_EINVAL, "--status '%s' is not a trigger's id", args->status);
    CLI_AUTO_FREE char *path = cli_printf("/v1/triggers/%s", args->status);
    cli_caveat_service(args, service);
    int r = cli_request(args, service, "GET", path, NULL, &trigger, reterr);
    return r < 0 ? r : report(args, trigger, service->job ? service->job : "", reterr);
}

int cli_savepoint(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    int r = cli_service_find(args, NULL, &service, reterr);
    if (r < 0)
        return r;
    if (args->status)
        return ask_status(args, &service, reterr);
    struct json_object *body = cli_json_object();
    r = put_target(args, &service, body, reterr);
    if (r == 0)
        return order(args, &service, "/v1/savepoints", body, "savepoint", reterr);
    json_object_put(body);
    return r;
}

int cli_stop(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    int r = cli_service_find(args, NULL, &service, reterr);
    if (r < 0)
        return r;
    struct json_object *body = cli_json_object();
    cli_json_put_bool(body, "drain", args->drain);
    r = put_target(args, &service, body, reterr);
    if (r == 0)
        return order(args, &service, "/v1/stop", body, "savepoint", reterr);
    json_object_put(body);
    return r;
}

int cli_cancel(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    if (!args->savepoint && (args->words[0] || args->type))
        return cli_raise(reterr, CAIRN_EINVAL,
                         "a target and --type are of the savepoint that -s "
                         "asks for");
    int r = cli_service_find(args, NULL, &service, reterr);
    if (r < 0)
        return r;
    struct json_object *body = cli_json_object();
    cli_json_put_bool(body, "savepoint", args->savepoint);
    r = args->savepoint ? put_target(args, &service, body, reterr) : 0;
    if (r == 0)
        return order(args, &service, "/v1/cancel", body, "savepoint", reterr);
    json_object_put(body);
    return r;
}
