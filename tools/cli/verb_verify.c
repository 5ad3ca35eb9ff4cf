/* SPDX-License-Identifier: Apache-2.0 */

/* cairn verify: can it be restored? Every problem is one line of data on stdout; the exit status is
 * that of the first one. Problems come from the library's threads, one at a time, while the bar may
 * be drawn by another. */

#include "tools/cli/cli.h"
#include "cairn/store.h"

struct context {
    struct cli_progress progress;
    struct json_object *problems; /* NULL: print lines */
};

static void on_problem(void *opaque, uint64_t id, const cairn_error *error)
{
    struct context *context = opaque;
    int code = cairn_error_code(error);
    if (context->problems) {
        struct json_object *o = cli_json_object();
        cli_json_put_u64(o, "id", id);
        cli_json_put_text(o, "error", cairn_error_name(code));
        cli_json_put_text(o, "object", cairn_error_object(error));
        cli_json_put_text(o, "message", cairn_error_message(error));
        cli_json_push(context->problems, o);
        return;
    }
    CLI_AUTO_FREE char *message = cli_text_safe(cairn_error_message(error));
    cli_progress_erase(&context->progress);
    printf("%scheckpoint %" PRIu64 ": %s%s\n", cli_style_on(CLI_BAD), id, message,
           cli_style_off(CLI_BAD));
    (void)fflush(stdout);
}

static int on_progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct context *context = opaque;
    return cli_progress_update(&context->progress, done_bytes, total_bytes);
}

static void print_result(const struct cli_args *args, const char *job,
                         const cairn_verify_report *report, struct json_object *problems)
{
    if (args->json) {
        struct json_object *document = cli_json_object();
        cli_json_put_text(document, "job", job);
        cli_json_put_bool(document, "full", args->full);
        cli_json_put_u64(document, "checkpoints", report->checkpoints);
        cli_json_put_u64(document, "objects", report->objects);
        cli_json_put_u64(document, "bytes_checked", report->bytes_checked);
        cli_json_put(document, "problems", problems);
        cli_json_print(document);
        return;
    }
    printf("%s %s, %s %s, %s: ", cli_count(report->checkpoints).text,
           cli_plural(report->checkpoints, "checkpoint", "checkpoints"),
           cli_count(report->objects).text, cli_plural(report->objects, "object", "objects"),
           cli_size(report->bytes_checked).text);
    if (report->problems == 0)
        printf("%s%s%s\n", cli_style_on(CLI_GOOD),
               args->full ? "every byte is as it was written" : "all there, with the right size",
               cli_style_off(CLI_GOOD));
    else
        printf("%s%s %s%s\n", cli_style_on(CLI_BAD), cli_count(report->problems).text,
               cli_plural(report->problems, "problem", "problems"), cli_style_off(CLI_BAD));
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

int cli_verify(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_ERROR cairn_error *error = NULL;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    struct context context = {.problems = args->json ? cli_json_array() : NULL};
    int r = args->words[1] ? cli_args_id(args->words[1], &options.id, reterr) : 0;
    if (r == 0)
        r = cli_target_open(args, &target, reterr);
    if (r == 0 && args->words[1] && options.id == 0)
        r = resolve_latest(&target, &options.id, reterr);
    if (r < 0)
        return r;
    cli_progress_start(&context.progress, "verifying");
    options.full = args->full;
    options.threads = args->threads;
    options.problem = on_problem;
    options.progress = on_progress;
    options.context = &context;
    r = cairn_verify(target.store, target.job, &options, &report, &error);
    cli_progress_erase(&context.progress);
    if (r < 0 && report.problems == 0) { /* it did not get to the end */
        json_object_put(context.problems);
        *reterr = error;
        error = NULL;
        return r;
    }
    print_result(args, target.job, &report, context.problems);
    if (r == 0)
        return 0;
    CLI_AUTO_FREE char *summary =
        cli_printf("job '%s' has %" PRIu64 " %s", target.job, report.problems,
                   cli_plural(report.problems, "problem", "problems"));
    if (r != CAIRN_EVERSION)
        cli_hint(
            "`cairn explain PATH OBJECT` tells which checkpoints need it; restore one that does "
            "not, or the object from a copy of the store");
    return cairn_error_set(reterr, r, cairn_error_object(error), 0, summary);
}
