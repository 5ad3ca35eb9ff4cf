/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn import: a savepoint from JSON lines. An error names the line; nothing is at the destination
 * before every line was taken. A file that was cut off between two lines has no "end" line: it is
 * refused like one that was cut off within a line.
 */

#include "tools/cli/cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct import {
    struct cli_jsonl jsonl;
    cairn_writer *writer; /* opened by the first line */
    uint64_t entries;
};

static void import_done(struct import *import)
{
    cairn_writer_close(import->writer);
    cli_jsonl_done(&import->jsonl);
}

static int open_writer(const struct cli_args *args, struct import *import, cairn_error **reterr)
{
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    options.job = args->job ? args->job : import->jsonl.job;
    return cairn_writer_open(NULL, &options, &import->writer, reterr);
}

static int add_operator(struct import *import, cairn_error **reterr)
{
    const struct cli_operator *op = &import->jsonl.operators[import->jsonl.op];
    cairn_writer_operator options = CAIRN_WRITER_OPERATOR_INIT;
    options.name = op->name;
    options.parallelism = op->parallelism;
    options.max_parallelism = op->max_parallelism;
    options.key_type = op->key_type;
    options.namespace_type = op->namespace_type;
    return cairn_writer_add_operator(import->writer, op->uid, &options, reterr);
}

static int take_line(const struct cli_args *args, struct import *import, const char *line,
                     size_t size, cairn_error **reterr)
{
    enum cli_jsonl_what what;
    struct cli_jsonl *jsonl = &import->jsonl;
    int r = cli_jsonl_read(jsonl, line, size, &what, reterr);
    if (r < 0)
        return r;
    const struct cli_operator *op =
        what == CLI_JSONL_STATE || what == CLI_JSONL_ENTRY ? &jsonl->operators[jsonl->op] : NULL;
    const struct cli_state *state = op ? &op->states[jsonl->state] : NULL;
    switch (what) {
    case CLI_JSONL_NOTHING:
        return 0;
    case CLI_JSONL_SNAPSHOT:
        return open_writer(args, import, reterr);
    case CLI_JSONL_OPERATOR:
        return add_operator(import, reterr);
    case CLI_JSONL_STATE:
        return cairn_writer_add_state(import->writer, op->uid, &state->info, state->serializer,
                                      reterr);
    case CLI_JSONL_ENTRY:
        import->entries++;
        return cairn_writer_put(import->writer, op->uid, state->name, &jsonl->entry,
                                jsonl->written_ms, reterr);
    case CLI_JSONL_END:
        return 0;
    }
    return 0;
}

static int check_end(const struct import *import, const char *path, cairn_error **reterr)
{
    const struct cli_jsonl *jsonl = &import->jsonl;
    if (!jsonl->has_end) {
        cli_hint("export it again, or give --partial to take what is there");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "%s: the file ends without its \"end\" line: was it "
                         "cut off?",
                         path);
    }
    if (jsonl->has_end_count && jsonl->end_count != import->entries) {
        cli_hint("if that is as it should be, set \"entries\" in the last line right, or give "
                 "--partial");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "%s: the file has %" PRIu64 " entries, its \"end\" line says %" PRIu64,
                         path, import->entries, jsonl->end_count);
    }
    return 0;
}

/* The same code, with the place in front of the message, unless no line can be blamed. */
static int at_line(const char *path, uint64_t number, int code, cairn_error **reterr)
{
    if (cairn_error_class_of(code) == CAIRN_CLASS_LOCAL)
        return code;
    CLI_AUTO_ERROR cairn_error *error = *reterr;
    *reterr = NULL;
    if (code == CAIRN_EINVAL)
        cli_hint("`cairn export` writes such files; cairn(1) describes them");
    return cli_raise(reterr, code, "%s:%" PRIu64 ": %s", path, number, cairn_error_message(error));
}

static int take_lines(const struct cli_args *args, struct import *import, FILE *file,
                      const char *path, cairn_error **reterr)
{
    CLI_AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    for (uint64_t number = 1; (size = getline(&line, &capacity, file)) >= 0; number++) {
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
            size--;
        int r = take_line(args, import, line, (size_t)size, reterr);
        if (r < 0)
            return at_line(path, number, r, reterr);
        if (cli_interrupted())
            break;
    }
    if (cli_interrupted())
        return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
    if (ferror(file))
        return cli_raise(reterr, CAIRN_EIO, "file '%s': %s", path, strerror(errno));
    if (!import->writer)
        return cli_raise(reterr, CAIRN_EINVAL, "file '%s' is empty", path);
    return args->partial ? 0 : check_end(import, path, reterr);
}

int cli_import(const struct cli_args *args, cairn_error **reterr)
{
    CLI_CLEANUP(import_done) struct import import = {0};
    CLI_AUTO_DESTINATION struct cli_destination destination = {0};
    const char *path = args->words[0];
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (!file) {
        cli_hint("give a file of JSON lines, or - for standard input");
        return cli_raise(reterr, errno == EACCES ? CAIRN_EACCES : CAIRN_ENOTFOUND, "file '%s': %s",
                         path, strerror(errno));
    }
    cli_interrupt_catch();
    int r = cli_destination_open(args, "import", &destination, reterr);
    if (r == 0)
        r = take_lines(args, &import, file, is_stdin ? "(standard input)" : path, reterr);
    if (!is_stdin)
        (void)fclose(file); /* it was only read */
    destination.id = import.jsonl.id;
    destination.entries = &import.entries;
    if (r == 0)
        r = cli_destination_commit(args, import.writer, &destination, reterr);
    return r;
}
