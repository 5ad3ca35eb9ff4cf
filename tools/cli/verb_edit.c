/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn edit and cairn convert: a new savepoint from any snapshot, changed or only in another
 * format. What it is made from stays as it is.
 */

#include "tools/cli/cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "LEFT<separator>RIGHT" at its last separator; neither may be empty. *ret_left is malloc'ed. */
static int split(const char *option, const char *text, char separator, char **ret_left,
                 const char **ret_right, cairn_error **reterr)
{
    const char *at = strrchr(text, separator);
    if (!at || at == text || !at[1])
        return cli_raise(reterr, CAIRN_EINVAL, "--%s '%s' is not of the form A%cB", option, text,
                         separator);
    *ret_left = cli_printf("%.*s", (int)(at - text), text);
    *ret_right = at + 1;
    return 0;
}

static int drop_state(cairn_writer *writer, const char *text, cairn_error **reterr)
{
    CLI_AUTO_FREE char *uid = NULL;
    const char *name;
    int r = split("drop-state", text, '/', &uid, &name, reterr);
    return r < 0 ? r : cairn_writer_remove_state(writer, uid, name, reterr);
}

static int drop_operator(cairn_writer *writer, const char *text, cairn_error **reterr)
{
    return cairn_writer_remove_operator(writer, text, reterr);
}

static int set_max_parallelism(cairn_writer *writer, const char *text, cairn_error **reterr)
{
    CLI_AUTO_FREE char *uid = NULL;
    const char *digits;
    char *end;
    int r = split("max-parallelism", text, '=', &uid, &digits, reterr);
    if (r < 0)
        return r;
    errno = 0;
    unsigned long value = strtoul(digits, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end || errno || value == 0 || value > 32768)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "--max-parallelism '%s': '%s' is not a number from 1 to 32768", text,
                         digits);
    return cairn_writer_set_max_parallelism(writer, uid, (uint32_t)value, reterr);
}

static int rename_operator(cairn_writer *writer, const char *text, cairn_error **reterr)
{
    CLI_AUTO_FREE char *uid = NULL;
    const char *new_uid;
    int r = split("rename", text, '=', &uid, &new_uid, reterr);
    return r < 0 ? r : cairn_writer_rename_operator(writer, uid, new_uid, reterr);
}

/* Renaming comes last, so that all other options mean the uids that are stored. */
static int apply_edits(const struct cli_args *args, cairn_writer *writer, cairn_error **reterr)
{
    const struct {
        const struct cli_texts *texts;
        int (*apply)(cairn_writer *writer, const char *text, cairn_error **reterr);
    } edits[] = {{&args->drop_state, drop_state},
                 {&args->drop_operator, drop_operator},
                 {&args->max_parallelism, set_max_parallelism},
                 {&args->rename, rename_operator}};
    for (size_t i = 0; i < CLI_COUNT(edits); i++) {
        for (int k = 0; k < edits[i].texts->count; k++) {
            int r = edits[i].apply(writer, edits[i].texts->items[k], reterr);
            if (r == CAIRN_ENOTFOUND)
                cli_hint(CLI_HINT_INSPECT);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int rewrite(const struct cli_args *args, const char *verb, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_AUTO_DESTINATION struct cli_destination destination = {0};
    CLI_AUTO_WRITER cairn_writer *writer = NULL;
    struct cli_progress progress;
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    int r = cli_snapshot_open(args, &target, &snapshot, reterr);
    if (r == 0)
        r = cli_destination_open(args, verb, &destination, reterr);
    if (r < 0)
        return r;
    cli_interrupt_catch();
    cli_progress_start(&progress, "writing");
    options.progress = cli_progress_update;
    options.progress_context = &progress;
    r = cairn_writer_open(snapshot, &options, &writer, reterr);
    if (r == 0)
        r = apply_edits(args, writer, reterr);
    if (r == 0)
        r = cli_destination_commit(args, writer, &destination, reterr);
    cli_progress_erase(&progress);
    return r;
}

int cli_edit(const struct cli_args *args, cairn_error **reterr)
{
    if (args->rename.count + args->drop_operator.count + args->drop_state.count +
            args->max_parallelism.count ==
        0)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "nothing to change: give --rename, --drop-operator, --drop-state or "
                         "--max-parallelism");
    return rewrite(args, "edit", reterr);
}

int cli_convert(const struct cli_args *args, cairn_error **reterr)
{
    return rewrite(args, "convert", reterr);
}
