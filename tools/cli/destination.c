/* SPDX-License-Identifier: Apache-2.0 */

/* The savepoint's directory that --to names, for the verbs that make one. */

#include "tools/cli/cli.h"
#include <stdlib.h>
#include <string.h>

static int find_format(const struct cli_args *args, cairn_savepoint_format *ret,
                       cairn_error **reterr)
{
    if (!args->format || strcmp(args->format, "canonical") == 0)
        *ret = CAIRN_CANONICAL;
    else if (strcmp(args->format, "native") == 0)
        *ret = CAIRN_NATIVE;
    else
        return cli_raise(reterr, CAIRN_EINVAL, "--format '%s' is neither canonical nor native",
                         args->format);
    return 0;
}

int cli_destination_open(const struct cli_args *args, const char *verb, struct cli_destination *ret,
                         cairn_error **reterr)
{
    if (!args->to)
        return cli_raise(reterr, CAIRN_EINVAL, "'%s' needs --to DIR", verb);
    int r = find_format(args, &ret->format, reterr);
    if (r < 0)
        return r;
    CLI_AUTO_FREE char *parent = NULL;
    if (!cli_place_split(args->to, &parent, &ret->name))
        return cli_raise(reterr, CAIRN_EINVAL, "--to '%s' does not name a new directory", args->to);
    cli_wait_begin();
    r = cairn_store_open(parent, &ret->store, reterr);
    cli_wait_end();
    if (r < 0)
        cli_hint(cli_place_is_bucket(parent)
                     ? "give --to a place in a bucket that is there, and whose keys you have"
                     : "give --to a place where you may make a directory");
    if (r == 0)
        cli_caveat_store(ret->store);
    return r;
}

void cli_destination_close(struct cli_destination *destination)
{
    free(destination->name);
    cairn_store_close(destination->store);
}

static void print_result(const struct cli_args *args, const cairn_record_info *record,
                         const struct cli_destination *destination)
{
    const char *format = cli_format_name(destination->format);
    if (args->json) {
        struct json_object *document = cli_json_object();
        cli_json_put_text(document, "directory", args->to);
        cli_json_put_text(document, "format", format);
        cli_json_put_u64(document, "id", record->id);
        if (destination->entries)
            cli_json_put_u64(document, "entries", *destination->entries);
        cli_json_put_u64(document, "files", record->file_count);
        cli_json_put_u64(document, "bytes", record->full_bytes);
        cli_json_print(document);
        return;
    }
    CLI_AUTO_FREE char *directory = cli_text_quote(args->to, strlen(args->to));
    printf("wrote %s savepoint %s: ", format, directory);
    if (destination->entries)
        printf("%s %s, ", cli_count(*destination->entries).text,
               cli_plural(*destination->entries, "entry", "entries"));
    printf("%s %s, %s\n", cli_count(record->file_count).text,
           cli_plural(record->file_count, "file", "files"), cli_size(record->full_bytes).text);
}

int cli_destination_commit(const struct cli_args *args, cairn_writer *writer,
                           const struct cli_destination *destination, cairn_error **reterr)
{
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    cairn_commit_options options = CAIRN_COMMIT_OPTIONS_INIT;
    options.format = destination->format;
    options.name = destination->name;
    options.id = destination->id;
    int r = cairn_writer_commit(writer, destination->store, &options, NULL, reterr);
    if (r == CAIRN_EEXIST)
        cli_hint("give --to a directory that does not exist yet");
    if ((r == CAIRN_EACCES || r == CAIRN_EUNAVAIL) && !cli_place_is_bucket(args->to))
        cli_hint("give --to a place where you may make a directory, and see that you may read what "
                 "it is made from");
    if (r == 0)
        r = cairn_snapshot_open(destination->store, destination->name, 0, &snapshot, reterr);
    if (r == 0)
        print_result(args, cairn_snapshot_record(snapshot), destination);
    return r;
}
