/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn diff --entries: which entries came, went and changed between two snapshots: of one job
 * (PATH A B), or of any two places (PATH_A PATH_B).
 */

#include "tools/cli/cli.h"

struct side {
    struct cli_target target;
    cairn_snapshot *snapshot;
};

static void side_done(struct side *side)
{
    cairn_snapshot_close(side->snapshot);
    cli_target_close(&side->target);
}

/* The words as `cairn cat` would have them. */
static int open_side(const struct cli_args *args, const char *path, const char *id,
                     struct side *ret, cairn_error **reterr)
{
    struct cli_args one = {.words = {path, id}, .word_count = id ? 2 : 1, .job = args->job};
    return cli_snapshot_open(&one, &ret->target, &ret->snapshot, reterr);
}

static const char *const changes[] = {"removed", "changed", "added"};

static void print_entry(const struct side *first, const struct side *second,
                        const cairn_entry_diff *diff)
{
    static const enum cli_style styles[] = {CLI_BAD, CLI_WARN, CLI_GOOD};
    const struct side *side = diff->second ? second : first;
    const cairn_cat_entry *entry = diff->second ? diff->second : diff->first;
    const cairn_state_info *state = cairn_snapshot_state(side->snapshot, entry->op, entry->state);
    CLI_AUTO_FREE char *value = cli_entry_value_text(state, entry);
    const char *off = cli_style_off(styles[diff->change + 1]);
    printf("%s%c ", cli_style_on(styles[diff->change + 1]), "-~+"[diff->change + 1]);
    cli_entry_print_place(side->snapshot, entry);
    if (diff->change == 0) {
        const cairn_state_info *before =
            cairn_snapshot_state(first->snapshot, diff->first->op, diff->first->state);
        CLI_AUTO_FREE char *was = cli_entry_value_text(before, diff->first);
        printf(" = %s -> %s%s\n", was, value, off);
    } else {
        printf(" = %s%s\n", value, off);
    }
}

static struct json_object *entry_json(const struct side *first, const struct side *second,
                                      const cairn_entry_diff *diff)
{
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "change", changes[diff->change + 1]);
    if (diff->first)
        cli_json_put(o, "first", cli_entry_json(first->snapshot, diff->first));
    if (diff->second)
        cli_json_put(o, "second", cli_entry_json(second->snapshot, diff->second));
    return o;
}

static int print_all(const struct cli_args *args, const struct side *first,
                     const struct side *second, cairn_entry_differ *differ, uint64_t counts[3],
                     cairn_error **reterr)
{
    cairn_entry_diff diff;
    int r;
    bool more = false;
    while ((r = cairn_entry_diff_next(differ, &diff, reterr)) > 0) {
        counts[diff.change + 1]++;
        bool is_shown = args->limit == 0 || counts[0] + counts[1] + counts[2] <= args->limit;
        if (is_shown && args->json) {
            struct json_object *o = entry_json(first, second, &diff);
            printf("%s%s", more ? ",\n    " : "\n    ",
                   json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
            json_object_put(o);
            more = true;
        } else if (is_shown) {
            print_entry(first, second, &diff);
        }
        if (cli_interrupted())
            return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
        if (cli_output_gone())
            return 0;
    }
    return r;
}

int cli_diff_entries(const struct cli_args *args, cairn_error **reterr)
{
    CLI_CLEANUP(side_done) struct side first = {0};
    CLI_CLEANUP(side_done) struct side second = {0};
    cairn_entry_diff_options options = CAIRN_ENTRY_DIFF_OPTIONS_INIT;
    cairn_entry_differ *differ = NULL;
    uint64_t counts[3] = {0};
    bool two_places = args->word_count == 2;
    int r = open_side(args, args->words[0], two_places ? NULL : args->words[1], &first, reterr);
    if (r == 0)
        r = two_places ? open_side(args, args->words[1], NULL, &second, reterr)
                       : open_side(args, args->words[0], args->words[2], &second, reterr);
    if (r < 0)
        return r;
    options.operator_uid = args->operator_uid;
    options.state = args->state;
    cli_interrupt_catch();
    r = cairn_entry_diff_open(first.snapshot, second.snapshot, &options, &differ, reterr);
    if (r == CAIRN_ENOTFOUND)
        cli_hint(CLI_HINT_INSPECT);
    if (r < 0)
        return r;
    CLI_AUTO_FREE char *caveat = cli_caveat_member();
    if (args->json)
        printf("{\n  %s\"entries\": [", caveat);
    r = print_all(args, &first, &second, differ, counts, reterr);
    cairn_entry_diff_close(differ);
    if (r < 0)
        return r;
    if (args->json)
        printf("\n  ],\n  \"added\": %" PRIu64 ",\n  \"removed\": %" PRIu64
               ",\n  \"changed\": %" PRIu64 "\n}\n",
               counts[2], counts[0], counts[1]);
    else
        printf("%s added, %s removed, %s changed\n", cli_count(counts[2]).text,
               cli_count(counts[0]).text, cli_count(counts[1]).text);
    return 0;
}
