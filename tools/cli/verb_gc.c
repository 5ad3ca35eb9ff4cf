/* SPDX-License-Identifier: Apache-2.0 */

/* cairn gc: remove what no checkpoint needs, or say what that would be. */

#include "tools/cli/cli.h"

struct context {
    struct json_object *objects; /* NULL: print lines */
    bool dry_run;
};

static void on_object(void *opaque, const char *object, uint64_t size)
{
    struct context *context = opaque;
    if (context->objects) {
        struct json_object *o = cli_json_object();
        cli_json_put_text(o, "object", object);
        cli_json_put_u64(o, "size", size);
        cli_json_push(context->objects, o);
        return;
    }
    CLI_AUTO_FREE char *safe = cli_text_safe(object);
    printf("%s %s  %s\n", context->dry_run ? "would remove" : "removed", safe, cli_size(size).text);
}

int cli_gc(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    struct context context = {.dry_run = args->dry_run};
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    int r = cli_target_open(args, &target, reterr);
    if (r < 0)
        return r;
    context.objects = args->json ? cli_json_array() : NULL;
    options.dry_run = args->dry_run;
    options.keep_unresolved = args->keep_in_flight;
    options.object = on_object;
    options.context = &context;
    r = cairn_gc(target.store, target.job, &options, &report, reterr);
    if (r < 0) {
        json_object_put(context.objects);
        return r;
    }
    if (args->json) {
        struct json_object *document = cli_json_object();
        cli_json_put_text(document, "job", target.job);
        cli_json_put_bool(document, "dry_run", args->dry_run);
        cli_json_put(document, "removed",
                     cli_json_amount(report.removed_count, report.removed_bytes));
        cli_json_put_u64(document, "kept_unresolved", report.kept_unresolved);
        cli_json_put_u64(document, "temporary_count", report.temporary_count);
        cli_json_put(document, "objects", context.objects);
        cli_json_print(document);
        return 0;
    }
    printf("%s%s %s, %s", args->dry_run ? "would remove " : "removed ",
           cli_count(report.removed_count).text,
           cli_plural(report.removed_count, "object", "objects"),
           cli_size(report.removed_bytes).text);
    if (report.temporary_count > 0)
        printf(", and %s %s of interrupted writes", cli_count(report.temporary_count).text,
               cli_plural(report.temporary_count, "leftover", "leftovers"));
    if (report.kept_unresolved > 0)
        printf("; kept %s that a running checkpoint may need",
               cli_count(report.kept_unresolved).text);
    putchar('\n');
    return 0;
}
