/* SPDX-License-Identifier: Apache-2.0 */

/* What `gc` and `dispose` remove, or would: a line for each object, or a list in the document. */

#include "tools/cli/cli.h"

void cli_removals_init(struct cli_removals *removals, const struct cli_args *args)
{
    *removals = (struct cli_removals){.dry_run = args->dry_run,
                                      .objects = args->json ? cli_json_array() : NULL};
}

void cli_removals_done(struct cli_removals *removals)
{
    json_object_put(removals->objects);
    removals->objects = NULL;
}

void cli_removals_add(void *context, const char *object, uint64_t size)
{
    struct cli_removals *removals = context;
    if (removals->objects) {
        struct json_object *o = cli_json_object();
        cli_json_put_text(o, "object", object);
        cli_json_put_u64(o, "size", size);
        cli_json_push(removals->objects, o);
        return;
    }
    CLI_AUTO_FREE char *safe = cli_text_safe(object);
    printf("%s %s  %s\n", removals->dry_run ? "would remove" : "removed", safe,
           cli_size(size).text);
}

struct json_object *cli_removals_json(struct cli_removals *removals, const char *what,
                                      const char *name, uint64_t count, uint64_t bytes)
{
    struct json_object *document = cli_json_object();
    cli_json_put_text(document, what, name);
    cli_json_put_bool(document, "dry_run", removals->dry_run);
    cli_json_put(document, "removed", cli_json_amount(count, bytes));
    cli_json_put(document, "objects", removals->objects);
    removals->objects = NULL;
    return document;
}
