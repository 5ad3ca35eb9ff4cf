/* SPDX-License-Identifier: Apache-2.0 */

/* cairn dispose: remove a savepoint. Nothing is removed unless --yes says so. */

#include "tools/cli/cli.h"
#include <string.h>

static void print_result(const struct cli_args *args, const struct cli_target *target,
                         const cairn_dispose_report *report, struct cli_removals *removals)
{
    if (args->json) {
        struct json_object *document = cli_removals_json(
            removals, "savepoint", target->job, report->removed_count, report->removed_bytes);
        cli_json_put_u64(document, "foreign_count", report->foreign_count);
        cli_json_print(document);
        return;
    }
    CLI_AUTO_FREE char *name = cli_text_quote(target->job, strlen(target->job));
    printf("%s savepoint %s: %s %s, %s\n", removals->dry_run ? "would remove" : "removed", name,
           cli_count(report->removed_count).text,
           cli_plural(report->removed_count, "object", "objects"),
           cli_size(report->removed_bytes).text);
    if (report->foreign_count > 0)
        printf("kept %s %s that Cairn did not write, and the directory\n",
               cli_count(report->foreign_count).text,
               cli_plural(report->foreign_count, "file", "files"));
}

int cli_dispose(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_CLEANUP(cli_removals_done) struct cli_removals removals = {0};
    cairn_dispose_options options = CAIRN_DISPOSE_OPTIONS_INIT;
    cairn_dispose_report report = CAIRN_DISPOSE_REPORT_INIT;
    if (!args->yes && !args->dry_run) {
        cli_hint("`cairn dispose --dry-run PATH` shows what it has; then give --yes");
        return cli_raise(reterr, CAIRN_EINVAL, "nothing was removed: a savepoint is gone for good");
    }
    int r = cli_target_open(args, &target, reterr);
    if (r < 0)
        return r;
    cli_removals_init(&removals, args);
    options.dry_run = args->dry_run;
    options.force = args->force;
    options.object = cli_removals_add;
    options.context = &removals;
    r = cairn_dispose(target.store, target.job, &options, &report, reterr);
    if (r == CAIRN_EINVAL)
        cli_hint(
            "give the directory of one savepoint; what a job has stored is the job's to remove");
    if (r == CAIRN_EBUSY)
        cli_hint("let that job start from it, or give --force");
    if (r == 0)
        print_result(args, &target, &report, &removals);
    return r;
}
