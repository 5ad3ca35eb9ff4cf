/* SPDX-License-Identifier: Apache-2.0 */

/* cairn restore: a checkpoint's databases as plain directories. */

#include "tools/cli/cli.h"
#include <string.h>

int cli_restore(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    struct cli_progress progress;
    cairn_restore_options options = CAIRN_RESTORE_OPTIONS_INIT;
    cairn_restore_report report = CAIRN_RESTORE_REPORT_INIT;
    if (!args->to)
        return cli_raise(reterr, CAIRN_EINVAL, "'restore' needs --to DIR");
    int r = cli_place_check_local("restore", args->to, reterr);
    if (r < 0)
        return r;
    r = args->words[1] ? cli_args_id(args->words[1], &options.id, reterr) : 0;
    if (r == 0)
        r = cli_target_open(args, &target, reterr);
    if (r == 0)
        r = cli_target_id(&target, args->words[1], &options.id, reterr);
    if (r < 0)
        return r;
    cli_progress_start(&progress, "restoring");
    options.threads = args->threads;
    options.link = args->link;
    options.progress = cli_progress_update;
    options.context = &progress;
    r = cairn_restore_to(target.store, target.job, args->to, &options, &report, reterr);
    cli_progress_erase(&progress);
    if (r == CAIRN_EACCES)
        cli_hint("it reads the store and writes what --to names: see who may do both");
    if (r < 0)
        return r;
    if (args->json) {
        struct json_object *document = cli_json_object();
        cli_json_put_text(document, "job", target.job);
        cli_json_put_u64(document, "id", report.id);
        cli_json_put_text(document, "directory", args->to);
        cli_json_put_u64(document, "files", report.files);
        cli_json_put_u64(document, "bytes", report.bytes);
        cli_json_print(document);
        return 0;
    }
    CLI_AUTO_FREE char *directory = cli_text_quote(args->to, strlen(args->to));
    printf("restored checkpoint %" PRIu64 " to %s: %s %s, %s\n", report.id, directory,
           cli_count(report.files).text, cli_plural(report.files, "file", "files"),
           cli_size(report.bytes).text);
    return 0;
}
