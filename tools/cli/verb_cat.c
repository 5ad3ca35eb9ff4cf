/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn cat: the entries of a snapshot, one per line, decoded by their types (entries.c).
 *
 * Entries stream: memory does not grow with the state. A closed pipe or an interrupt ends the loop,
 * so that the library removes its scratch directory.
 */

#include "tools/cli/cli.h"
#include <string.h>

static void print_entry(const cairn_snapshot *snapshot, const cairn_cat_entry *e)
{
    const cairn_state_info *state = cairn_snapshot_state(snapshot, e->op, e->state);
    CLI_AUTO_FREE char *value = cli_entry_value_text(state, e);
    cli_entry_print_place(snapshot, e);
    printf(" = %s", value);
    if (state->ttl_ms > 0)
        printf("  (written %s)", cli_time(e->written_ms).text);
    putchar('\n');
}

static int print_all(const struct cli_args *args, const cairn_snapshot *snapshot, cairn_cat *cat,
                     cairn_error **reterr)
{
    cairn_cat_entry entry;
    int r = 0;
    for (uint64_t n = 0; args->limit == 0 || n < args->limit; n++) {
        r = cairn_cat_next(cat, &entry, reterr);
        if (r <= 0)
            break;
        if (args->json) {
            struct json_object *o = cli_entry_json(snapshot, &entry);
            printf("%s%s", n ? ",\n    " : "\n    ",
                   json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
            json_object_put(o);
        } else {
            print_entry(snapshot, &entry);
        }
        if (cli_interrupted())
            return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
        if (cli_output_gone())
            return 0;
    }
    return r < 0 ? r : 0;
}

int cli_cat(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_AUTO_FREE uint8_t *key = NULL;
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    cairn_cat *cat = NULL;
    int r = cli_snapshot_open(args, &target, &snapshot, reterr);
    if (r == 0)
        r = cli_cat_options(args, snapshot, &options, &key, reterr);
    if (r < 0)
        return r;
    cli_interrupt_catch();
    r = cairn_cat_open(snapshot, &options, &cat, reterr);
    if (r == CAIRN_ENOTFOUND)
        cli_hint(CLI_HINT_INSPECT);
    if (r == CAIRN_EACCES)
        cli_hint("it reads the store and writes to $TMPDIR: see who may do both");
    if (r < 0)
        return r;
    if (args->json) {
        CLI_AUTO_FREE char *job = cli_printf("%s", target.job);
        struct json_object *name = cli_json_text(job, strlen(job));
        CLI_AUTO_FREE char *caveat = cli_caveat_member();
        printf("{\n  %s\"job\": %s,\n  \"id\": %" PRIu64 ",\n  \"entries\": [", caveat,
               json_object_to_json_string_ext(name, JSON_C_TO_STRING_NOSLASHESCAPE),
               cairn_snapshot_record(snapshot)->id);
        json_object_put(name);
    }
    r = print_all(args, snapshot, cat, reterr);
    if (args->json && r == 0)
        printf("\n  ]\n}\n");
    cairn_cat_close(cat);
    return r;
}
