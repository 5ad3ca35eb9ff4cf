/* SPDX-License-Identifier: Apache-2.0 */

/* cairn verify: can it be restored, and if not all can, which ones? Every problem is one line of
 * data on stdout, with all checkpoints that it affects; the exit status is that of the first one.
 * Problems come from the library's threads, one at a time, while the bar may be drawn by another.
 */

#include "tools/cli/cli.h"
#include "cairn/store.h"
#include <stdlib.h>

struct context {
    const struct cli_args *args;
    uint64_t id; /* 0: all */
    struct cli_progress progress;
    struct json_object *documents; /* of each job; NULL: print lines */
    bool several;
    size_t jobs, bad_jobs;
    int code;           /* of the first problem */
    cairn_error *error; /* "job ... has ... problems", of the first job that has */
    bool any_whole;
    /* of the current job */
    struct json_object *problems; /* NULL: print lines */
    uint64_t *whole;
    size_t whole_count, whole_capacity;
};

static struct json_object *ids_json(const uint64_t *ids, size_t count)
{
    struct json_object *array = cli_json_array();
    for (size_t i = 0; i < count; i++)
        cli_json_push(array, json_object_new_uint64(ids[i]));
    return array;
}

static void print_ids(const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%" PRIu64, i ? ", " : "", ids[i]);
}

static void on_problem(void *opaque, const uint64_t *ids, size_t count, const cairn_error *error)
{
    struct context *context = opaque;
    int code = cairn_error_code(error);
    if (context->problems) {
        struct json_object *o = cli_json_object();
        cli_json_put_u64(o, "id", ids[count - 1]);
        cli_json_put(o, "ids", ids_json(ids, count));
        cli_json_put_text(o, "error", cairn_error_name(code));
        cli_json_put_text(o, "object", cairn_error_object(error));
        cli_json_put_text(o, "message", cairn_error_message(error));
        cli_json_push(context->problems, o);
        return;
    }
    CLI_AUTO_FREE char *message = cli_text_safe(cairn_error_message(error));
    cli_progress_erase(&context->progress);
    printf("%s%s ", cli_style_on(CLI_BAD), cli_plural(count, "checkpoint", "checkpoints"));
    print_ids(ids, count);
    printf(": %s%s\n", message, cli_style_off(CLI_BAD));
    (void)fflush(stdout);
}

static void on_verdict(void *opaque, uint64_t id, int is_whole)
{
    struct context *context = opaque;
    if (!is_whole)
        return;
    context->whole = cli_grow(context->whole, context->whole_count, &context->whole_capacity,
                              sizeof(*context->whole));
    context->whole[context->whole_count++] = id;
    context->any_whole = true;
}

static int on_progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct context *context = opaque;
    return cli_progress_update(&context->progress, done_bytes, total_bytes);
}

static struct json_object *result_json(struct context *context, const char *job,
                                       const cairn_verify_report *report)
{
    struct json_object *document = cli_json_object();
    cli_json_put_text(document, "job", job);
    cli_json_put_bool(document, "full", context->args->full);
    cli_json_put_u64(document, "checkpoints", report->checkpoints);
    cli_json_put_u64(document, "objects", report->objects);
    cli_json_put_u64(document, "bytes_covered", report->bytes_covered);
    cli_json_put_u64(document, "bytes_checked", report->bytes_checked);
    cli_json_put(document, "whole", ids_json(context->whole, context->whole_count));
    if (report->newest_whole_id)
        cli_json_put_u64(document, "newest_whole", report->newest_whole_id);
    else
        cli_json_put(document, "newest_whole", NULL);
    cli_json_put(document, "problems", context->problems);
    context->problems = NULL;
    return document;
}

static void print_result(const struct context *context, const cairn_verify_report *report)
{
    if (report->checkpoints == 0 && report->problems == 0) {
        printf("%sno checkpoint: nothing to restore%s\n", cli_style_on(CLI_WARN),
               cli_style_off(CLI_WARN));
        return;
    }
    printf("%s %s, %s %s, %s: ", cli_count(report->checkpoints).text,
           cli_plural(report->checkpoints, "checkpoint", "checkpoints"),
           cli_count(report->objects).text, cli_plural(report->objects, "object", "objects"),
           cli_size(report->bytes_covered).text);
    if (report->problems == 0)
        printf("%s%s%s", cli_style_on(CLI_GOOD),
               context->args->full ? "every byte is as it was written"
                                   : "all there, with the right size",
               cli_style_off(CLI_GOOD));
    else
        printf("%s%s %s%s", cli_style_on(CLI_BAD), cli_count(report->problems).text,
               cli_plural(report->problems, "problem", "problems"), cli_style_off(CLI_BAD));
    printf("; read %s\n", cli_size(report->bytes_checked).text);
    if (report->problems == 0 || context->id != 0)
        return;
    printf("whole: ");
    print_ids(context->whole, context->whole_count);
    if (report->newest_whole_id)
        printf("; newest restorable: %" PRIu64 "%s\n", report->newest_whole_id,
               context->args->full ? "" : ", as far as sizes tell");
    else
        printf("none\n");
}

/* Remember the first job's trouble; the others are still looked at. One that has nothing to restore
 * is no reason to hide that another one is damaged. */
static void note_trouble(struct context *context, int code, const char *object, const char *summary)
{
    context->bad_jobs++;
    if (context->code != 0 && (context->code != CAIRN_ENOTFOUND || code == CAIRN_ENOTFOUND))
        return;
    cairn_error_free(context->error);
    context->error = NULL;
    context->code = code;
    (void)cairn_error_set(&context->error, code, object, 0, summary);
}

static int verify_job(void *opaque, const struct cli_target *target, bool several,
                      cairn_error **reterr)
{
    struct context *context = opaque;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.id = context->id = target->id ? target->id : context->id;
    options.full = context->args->full;
    options.threads = context->args->threads;
    options.affected = on_problem;
    options.verdict = on_verdict;
    options.progress = on_progress;
    options.context = context;
    context->several = several;
    context->whole_count = 0;
    context->problems = context->documents ? cli_json_array() : NULL;
    if (several && !context->documents)
        cli_print_job(target->job, context->jobs == 0);
    context->jobs++;
    cli_progress_start(&context->progress, "verifying");
    int r = cairn_verify(target->store, target->job, &options, &report, &error);
    cli_progress_erase(&context->progress);
    if (r < 0 && (report.problems == 0 || r == CAIRN_ECANCELED)) { /* it did not get to the end */
        *reterr = error;
        error = NULL;
        return r;
    }
    if (context->documents)
        cli_json_push(context->documents, result_json(context, target->job, &report));
    else
        print_result(context, &report);
    CLI_AUTO_FREE char *summary =
        r < 0 ? cli_printf("job '%s' has %" PRIu64 " %s", target->job, report.problems,
                           cli_plural(report.problems, "problem", "problems"))
              : cli_printf("job '%s' has no complete checkpoint", target->job);
    if (r < 0 || report.checkpoints == 0)
        note_trouble(context, r < 0 ? r : CAIRN_ENOTFOUND, cairn_error_object(error), summary);
    return 0;
}

/* The id that "latest" stands for. */
static int resolve_latest(const struct cli_target *target, uint64_t *id, cairn_error **reterr)
{
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    int r = cairn_snapshot_open(target->store, target->job, 0, &snapshot, reterr);
    if (r == 0)
        *id = cairn_snapshot_record(snapshot)->id;
    return r;
}

static void choose_hint(const struct context *context)
{
    if (context->code == CAIRN_ENOTFOUND)
        cli_hint("`cairn ls PATH` shows what was attempted");
    else if (context->code != CAIRN_ECORRUPT && context->code != CAIRN_EMISSING)
        return; /* not the checkpoints' trouble, so the usual hint is right */
    else if (context->id != 0)
        cli_hint(
            "`cairn verify --full PATH` tells which checkpoints are whole; `cairn explain PATH "
            "OBJECT` tells what is lost");
    else if (context->any_whole)
        cli_hint("restore a checkpoint that is whole, or the object from a copy of the store; "
                 "`cairn explain PATH OBJECT` tells what it is");
    else
        cli_hint("restore the object from a copy of the store; `cairn explain PATH OBJECT` tells "
                 "what it is");
}

static int verify_all(struct context *context, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    const char *word = context->args->words[1];
    if (!word)
        return cli_each_job(context->args, verify_job, context, reterr);
    int r = cli_args_id(word, &context->id, reterr);
    if (r == 0)
        r = cli_target_open(context->args, &target, reterr);
    if (r == 0)
        r = cli_target_id(&target, word, &context->id, reterr);
    if (r == 0 && context->id == 0)
        r = resolve_latest(&target, &context->id, reterr);
    return r < 0 ? r : verify_job(context, &target, false, reterr);
}

int cli_verify(const struct cli_args *args, cairn_error **reterr)
{
    struct context context = {.args = args, .documents = args->json ? cli_json_array() : NULL};
    int r = verify_all(&context, reterr);
    if (r == 0 && context.documents)
        cli_json_print_jobs(context.documents, context.several);
    else
        json_object_put(context.documents);
    json_object_put(context.problems); /* of a job that did not get to the end */
    free(context.whole);
    if (r == 0 && context.code != 0) {
        r = context.code;
        choose_hint(&context);
        if (context.bad_jobs > 1)
            r = cli_raise(reterr, r, "%zu of %zu jobs have problems", context.bad_jobs,
                          context.jobs);
        else
            *reterr = context.error;
    }
    if (context.error && *reterr != context.error)
        cairn_error_free(context.error);
    return r;
}
