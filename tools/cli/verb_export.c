/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn export: the entries of a snapshot as a file for other programs.
 *
 * jsonl   what `import` reads: definitions, one object per entry, and an end (jsonl.c)
 * csv     RFC 4180 with a title line; for people and spreadsheets, not to be imported
 *
 * Entries stream: memory does not grow with the state. With --to the file appears when it is whole.
 */

#include "tools/cli/cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct output {
    FILE *file;
    bool csv;
};

static void put_line(const struct output *out, struct json_object *o)
{
    fprintf(out->file, "%s\n",
            json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

/* Text in quotes, each of its own doubled, where commas, quotes or ends of lines are in it. */
static void put_field(const struct output *out, const char *text, char end)
{
    if (text && strpbrk(text, ",\"\r\n")) {
        fputc('"', out->file);
        for (; *text; text++) {
            if (*text == '"')
                fputc('"', out->file);
            fputc(*text, out->file);
        }
        fputc('"', out->file);
    } else if (text) {
        fputs(text, out->file);
    }
    fputc(end, out->file);
}

/* A JSON value as a field: texts without their quotes, bytes as their hex digits, others as they
 * are. */
static void put_json_field(const struct output *out, struct json_object *o, const char *name,
                           char end)
{
    struct json_object *field = NULL, *hex = NULL;
    if (!json_object_object_get_ex(o, name, &field) || !field)
        put_field(out, NULL, end);
    else if (json_object_is_type(field, json_type_string))
        put_field(out, json_object_get_string(field), end);
    else if (json_object_is_type(field, json_type_object) &&
             json_object_object_get_ex(field, "hex", &hex) && json_object_object_length(field) == 1)
        put_field(out, json_object_get_string(hex), end);
    else
        put_field(out, json_object_to_json_string_ext(field, JSON_C_TO_STRING_PLAIN), end);
}

static void put_csv(const struct output *out, struct json_object *o)
{
    static const char *const columns[] = {"operator_uid", "state",      "subtask",
                                          "key",          "namespace",  "map_key",
                                          "element",      "written_ms", "value"};
    for (size_t i = 0; i < CLI_COUNT(columns); i++) {
        bool last = i + 1 == CLI_COUNT(columns);
        if (o)
            put_json_field(out, o, columns[i], last ? '\n' : ',');
        else
            put_field(out, columns[i], last ? '\n' : ',');
    }
    json_object_put(o);
}

static bool is_wanted(const char *wanted, const char *name)
{
    return !wanted || strcmp(wanted, name) == 0;
}

static void put_definitions(const struct cli_args *args, const cairn_snapshot *snapshot,
                            const struct output *out)
{
    const cairn_operator_info *op;
    const cairn_state_info *state;
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "cairn", "snapshot");
    cli_json_put_u64(o, "version", 1);
    cli_json_put_text(o, "job", cairn_snapshot_job(snapshot));
    cli_json_put_u64(o, "id", cairn_snapshot_record(snapshot)->id);
    put_line(out, o);
    for (size_t i = 0; (op = cairn_snapshot_operator(snapshot, i)); i++) {
        if (!is_wanted(args->operator_uid, op->uid))
            continue;
        o = cli_json_object();
        cli_json_put_text(o, "cairn", "operator");
        cli_json_fill_operator(o, op);
        put_line(out, o);
        for (size_t k = 0; (state = cairn_snapshot_state(snapshot, i, k)); k++) {
            if (!is_wanted(args->state, state->name))
                continue;
            o = cli_json_object();
            cli_json_put_text(o, "cairn", "state");
            cli_json_put_text(o, "operator_uid", op->uid);
            cli_json_fill_state(o, state);
            put_line(out, o);
        }
    }
}

/* Whoever reads the file knows by it that nothing was cut off. */
static void put_end(const struct cli_args *args, const struct output *out, uint64_t entries)
{
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "cairn", "end");
    cli_json_put_u64(o, "entries", entries);
    if (args->operator_uid || args->state || args->key || args->limit > 0)
        cli_json_put_bool(o, "filtered", true);
    put_line(out, o);
}

static int put_entries(const struct cli_args *args, const cairn_snapshot *snapshot, cairn_cat *cat,
                       const struct output *out, cairn_error **reterr)
{
    cairn_cat_entry entry;
    uint64_t n;
    int r = 0;
    for (n = 0; args->limit == 0 || n < args->limit; n++) {
        r = cairn_cat_next(cat, &entry, reterr);
        if (r <= 0)
            break;
        if (out->csv)
            put_csv(out, cli_entry_json(snapshot, &entry));
        else
            put_line(out, cli_entry_json(snapshot, &entry));
        if (cli_interrupted())
            return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
        if (ferror(out->file))
            break;
    }
    if (r >= 0 && !out->csv && !ferror(out->file))
        put_end(args, out, n);
    return r < 0 ? r : 0;
}

static int export_to(const struct cli_args *args, const struct output *out, cairn_error **reterr)
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
    options.by_state = 1;
    cli_interrupt_catch();
    r = cairn_cat_open(snapshot, &options, &cat, reterr);
    if (r == CAIRN_ENOTFOUND)
        cli_hint(CLI_HINT_INSPECT);
    if (r < 0)
        return r;
    if (out->csv)
        put_csv(out, NULL);
    else
        put_definitions(args, snapshot, out);
    r = put_entries(args, snapshot, cat, out, reterr);
    cairn_cat_close(cat);
    return r;
}

static int fail_file(const char *path, cairn_error **reterr)
{
    int code = errno == ENOSPC || errno == EDQUOT ? CAIRN_ENOSPC
               : errno == EACCES                  ? CAIRN_EACCES
               : errno == EEXIST                  ? CAIRN_EEXIST
                                                  : CAIRN_EIO;
    if (code == CAIRN_EEXIST)
        cli_hint("give --to a file that does not exist yet");
    return cli_raise(reterr, code, "file '%s': %s", path, strerror(errno));
}

int cli_export(const struct cli_args *args, cairn_error **reterr)
{
    struct output out = {.file = stdout};
    if (args->format && strcmp(args->format, "csv") == 0)
        out.csv = true;
    else if (args->format && strcmp(args->format, "jsonl") != 0)
        return cli_raise(reterr, CAIRN_EINVAL, "--format '%s' is neither jsonl nor csv",
                         args->format);
    if (!args->to)
        return export_to(args, &out, reterr);
    int r = cli_place_check_local("export", args->to, reterr);
    if (r < 0)
        return r;

    CLI_AUTO_FREE char *partial = cli_printf("%s.partial", args->to);
    if (access(args->to, F_OK) == 0) {
        errno = EEXIST;
        return fail_file(args->to, reterr);
    }
    out.file = fopen(partial, "we");
    if (!out.file)
        return fail_file(partial, reterr);
    r = export_to(args, &out, reterr);
    if (r == 0 && ferror(out.file))
        r = cli_raise(reterr, CAIRN_EIO, "file '%s' could not be written", partial);
    if (r == 0 && (fflush(out.file) != 0 || fsync(fileno(out.file)) != 0))
        r = fail_file(partial, reterr);
    if (fclose(out.file) != 0 && r == 0)
        r = fail_file(partial, reterr);
    if (r == 0 && rename(partial, args->to) != 0)
        r = fail_file(args->to, reterr);
    if (r < 0)
        (void)unlink(partial);
    return r;
}
