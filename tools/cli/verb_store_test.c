/* SPDX-License-Identifier: Apache-2.0 */

/* cairn store-test: does a store keep what Cairn builds on? */

#include "tools/cli/cli.h"
#include <string.h>

struct trials {
    struct cli_table *table; /* NULL: JSON is wanted */
    struct json_object *list;
};

enum result { HOLDS, WITHOUT, BROKEN };

static enum result result_of(const cairn_trial *trial)
{
    if (trial->code == 0)
        return HOLDS;
    return trial->is_optional && trial->code == CAIRN_EUNSUPPORTED ? WITHOUT : BROKEN;
}

static int show(void *context, const cairn_trial *trial)
{
    static const enum cli_style styles[] = {CLI_GOOD, CLI_DIM, CLI_BAD};
    static const char *const words[] = {"yes", "without", "no"};
    struct trials *trials = context;
    const enum result result = result_of(trial);
    if (trials->table) {
        CLI_AUTO_FREE char *seen = cli_text_safe(trial->seen);
        cli_table_cell(trials->table, CLI_PLAIN, "%s", trial->promise);
        cli_table_cell(trials->table, styles[result], "%s", words[result]);
        cli_table_cell(trials->table, CLI_PLAIN, "%s", cli_duration(trial->duration_us).text);
        cli_table_cell(trials->table, CLI_PLAIN, "%s", result == BROKEN ? seen : "");
        return 0;
    }
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "promise", trial->promise);
    cli_json_put_text(o, "holds", words[result]);
    cli_json_put_text(o, "error", trial->code == 0 ? "" : cairn_error_name(trial->code));
    cli_json_put_text(o, "seen", trial->seen);
    cli_json_put_u64(o, "duration_us", trial->duration_us);
    cli_json_push(trials->list, o);
    return 0;
}

/* Those of the race, each with connections of its own, as other processes would have them. */
#define OTHERS (CLI_MAX_WORDS > 4 ? CLI_MAX_WORDS : 4)
struct stores {
    cairn_store *first;
    cairn_store *others[OTHERS];
    size_t other_count;
};

static void close_stores(struct stores *stores)
{
    for (size_t i = 0; i < stores->other_count; i++)
        cairn_store_close(stores->others[i]);
    cairn_store_close(stores->first);
}

/* What else was named: other ways to the same store. Else the same again, but of a store that is
 * this process's own. */
static int open_stores(const struct cli_args *args, struct stores *stores, cairn_error **reterr)
{
    int r = cairn_store_open(args->words[0], &stores->first, reterr);
    const bool is_own = strncmp(args->words[0], "memory:", 7) == 0;
    for (size_t i = 1; i < OTHERS && r == 0; i++) {
        const char *uri = i < CLI_MAX_WORDS ? args->words[i] : NULL;
        if (uri == NULL && args->words[1] == NULL && !is_own)
            uri = args->words[0];
        if (uri == NULL)
            break;
        r = cairn_store_open(uri, &stores->others[stores->other_count], reterr);
        stores->other_count += r == 0;
    }
    return r;
}

int cli_store_test(const struct cli_args *args, cairn_error **reterr)
{
    static const struct cli_column columns[] = {
        {"PROMISE", false}, {"HOLDS", false}, {"TOOK", true}, {"SEEN", false}};
    CLI_CLEANUP(close_stores) struct stores stores = {0};
    cairn_store_test_options options = CAIRN_STORE_TEST_OPTIONS_INIT;
    cairn_store_test_report report = CAIRN_STORE_TEST_REPORT_INIT;
    struct trials trials = {0};
    int r = open_stores(args, &stores, reterr);
    if (r == CAIRN_EUNSUPPORTED)
        cli_hint("docs/operations.md says which stores can be used");
    if (r < 0)
        return r;
    cli_caveat_store(stores.first);
    if (args->json)
        trials.list = cli_json_array();
    else
        trials.table = cli_table_new(columns, CLI_COUNT(columns));
    options.writers = args->threads;
    options.rounds = args->limit > UINT32_MAX ? UINT32_MAX : (uint32_t)args->limit;
    options.trial = show;
    options.context = &trials;
    options.others = stores.others;
    options.other_count = stores.other_count;
    r = cairn_store_test(stores.first, &options, &report, reterr);
    if (!args->json) {
        cli_table_print(trials.table, 0);
    } else if (r == 0) {
        struct json_object *document = cli_json_object();
        cli_json_put_u64(document, "tried", report.tried);
        cli_json_put_u64(document, "broken", report.broken);
        cli_json_put(document, "trials", trials.list);
        cli_json_print(document);
    } else {
        json_object_put(trials.list);
    }
    if (r < 0)
        return r;
    cli_hint("use a store that keeps them; docs/operations.md says which ones do");
    if (report.broken > 0)
        return cli_raise(reterr, CAIRN_EUNSUPPORTED,
                         "the store does not keep %u of %u promises: it cannot be used",
                         report.broken, report.tried);
    if (!args->json)
        printf("\nall that Cairn needs holds\n");
    return 0;
}
