/* SPDX-License-Identifier: Apache-2.0 */

/* cairn gc: remove what no checkpoint needs, or say what that would be. */

#include "tools/cli/cli.h"

static void print_json(struct cli_removals *removals, const struct cli_target *target,
                       const cairn_gc_report *report)
{
    struct json_object *document = cli_removals_json(removals, "job", target->job,
                                                     report->removed_count, report->removed_bytes);
    cli_json_put_u64(document, "kept_unresolved", report->kept_unresolved);
    cli_json_put_u64(document, "temporary_count", report->temporary_count);
    cli_json_print(document);
}

static void print_text(const struct cli_removals *removals, const cairn_gc_report *report)
{
    printf("%s%s %s, %s", removals->dry_run ? "would remove " : "removed ",
           cli_count(report->removed_count).text,
           cli_plural(report->removed_count, "object", "objects"),
           cli_size(report->removed_bytes).text);
    if (report->temporary_count > 0)
        printf(", and %s %s of interrupted writes", cli_count(report->temporary_count).text,
               cli_plural(report->temporary_count, "leftover", "leftovers"));
    if (report->kept_unresolved > 0)
        printf("; kept %s that a running checkpoint may need",
               cli_count(report->kept_unresolved).text);
    putchar('\n');
}

int cli_gc(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_CLEANUP(cli_removals_done) struct cli_removals removals = {0};
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    int r = cli_target_open(args, &target, reterr);
    if (r < 0)
        return r;
    cli_removals_init(&removals, args);
    options.dry_run = args->dry_run;
    options.keep_unresolved = args->keep_in_flight;
    options.object = cli_removals_add;
    options.context = &removals;
    r = cairn_gc(target.store, target.job, &options, &report, reterr);
    if (r < 0)
        return r;
    if (args->json)
        print_json(&removals, &target, &report);
    else
        print_text(&removals, &report);
    return 0;
}
