/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Settings from a YAML file: a mapping of names to scalars, in which a group may be a mapping of
 * its own. libyaml gives events; what is none of that is refused where it stands, with line and
 * column: lists, aliases, anchors, tags, a second document (P11). What is read goes into an object
 * of its own first, so that of a file with a mistake nothing is set.
 */

#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/settings/settings.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define MAX_NAME 128

struct reader {
    yaml_parser_t parser;
    const char *path; /* for messages */
    const char *text;
    size_t size;
    cairn_settings *settings;
    size_t *lines; /* of each row of the table: where it was set; 0: not yet */
    char name[MAX_NAME + 1];
};

static int raise_at(const struct reader *reader, yaml_mark_t mark, const char *what,
                    cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EINVAL, reader->path, "'%s', line %zu, column %zu: %s",
                        reader->path, mark.line + 1, mark.column + 1, what);
}

/* Editors make them; what the parser says then is no help. */
static bool is_indented_by_tab(const struct reader *reader, size_t line)
{
    const char *p = reader->text, *end = p + reader->size;
    for (; line > 0 && p != NULL; line--) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p != NULL ? p + 1 : NULL;
    }
    while (p != NULL && p < end && *p == ' ')
        p++;
    return p != NULL && p < end && *p == '\t';
}

static int next_event(struct reader *reader, yaml_event_t *ret, cairn_error **reterr)
{
    yaml_parser_t *parser = &reader->parser;
    if (yaml_parser_parse(parser, ret))
        return 0;
    *ret = (yaml_event_t){0};
    if (parser->error == YAML_MEMORY_ERROR)
        return crn_err_nomem(reterr);
    if (parser->error == YAML_READER_ERROR)
        return crn_err_fail(reterr, CAIRN_EINVAL, reader->path, "'%s', byte %zu: %s", reader->path,
                            parser->problem_offset + 1, parser->problem);
    if (is_indented_by_tab(reader, parser->problem_mark.line))
        return raise_at(reader, parser->problem_mark, "blanks indent a line, not tabs", reterr);
    return raise_at(reader, parser->problem_mark, parser->problem, reterr);
}

#define AUTO_EVENT CRN_CLEANUP(yaml_event_delete)

/* What an event is that may not stand here. */
static int refuse(const struct reader *reader, const yaml_event_t *event, cairn_error **reterr)
{
    const char *what = "this cannot stand here: give a name, a colon and a value";
    if (event->type == YAML_SEQUENCE_START_EVENT)
        what = "this is a list: a setting has one value";
    else if (event->type == YAML_ALIAS_EVENT)
        what = "this is an alias (*): write the value itself";
    else if (event->type == YAML_DOCUMENT_START_EVENT)
        what = "a second document begins here: a file has one";
    else if (event->type == YAML_SCALAR_EVENT)
        what = "this is a value without a name: give a name, a colon and a value";
    return raise_at(reader, event->start_mark, what, reterr);
}

static int check_plain(const struct reader *reader, const yaml_event_t *event, bool has_anchor,
                       bool has_tag, cairn_error **reterr)
{
    if (has_anchor)
        return raise_at(reader, event->start_mark, "anchors (&) are not for settings", reterr);
    if (has_tag)
        return raise_at(reader, event->start_mark, "tags (!) are not for settings", reterr);
    return 0;
}

/* The text is the event's. */
static int take_text(const struct reader *reader, const yaml_event_t *event, const char **ret,
                     cairn_error **reterr)
{
    const char *text = (const char *)event->data.scalar.value;
    CRN_TRY(check_plain(reader, event, event->data.scalar.anchor != NULL,
                        event->data.scalar.tag != NULL, reterr));
    if (!crn_text_is_clean(text, event->data.scalar.length))
        return raise_at(reader, event->start_mark, "this has a control character in it", reterr);
    *ret = text;
    return 0;
}

/* What YAML calls null, as in "store:" with nothing behind it. */
static bool is_null(const yaml_event_t *event, const char *text)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == 0 || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

/* --- mappings --- */

/* Extend the name, whose first n bytes are the group's, by a key. Too long a one is cut: it is none
 * anyway. */
static void extend_name(struct reader *reader, size_t n, const char *key)
{
    (void)snprintf(reader->name + n, sizeof(reader->name) - n, "%s%s", n > 0 ? "." : "", key);
}

static int check_new(const struct reader *reader, size_t i, yaml_mark_t mark, cairn_error **reterr)
{
    for (size_t j = 0; j < crn_settings_count; j++) {
        if (reader->lines[j] == 0 || crn_settings_table[i].offset != crn_settings_table[j].offset)
            continue;
        char what[160];
        (void)snprintf(what, sizeof(what), "'%s' is set already, by '%s' in line %zu",
                       crn_settings_table[i].info.name, crn_settings_table[j].info.name,
                       reader->lines[j]);
        return raise_at(reader, mark, what, reterr);
    }
    return 0;
}

/* Raise an error of the layer below with its place. */
static int locate(const struct reader *reader, yaml_mark_t mark, int code, const cairn_error *error,
                  cairn_error **reterr)
{
    const char *object = cairn_error_object(error);
    return crn_err_fail(reterr, code, *object != 0 ? object : reader->path,
                        "'%s', line %zu, column %zu: %s", reader->path, mark.line + 1,
                        mark.column + 1, cairn_error_message(error));
}

static int find(const struct reader *reader, yaml_mark_t mark, size_t *ret_i, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_settings_find(reader->name, ret_i, &error);
    return r < 0 ? locate(reader, mark, r, error, reterr) : 0;
}

static int set_value(struct reader *reader, yaml_mark_t name_mark, const yaml_event_t *event,
                     cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const char *text;
    size_t i;
    CRN_TRY(find(reader, name_mark, &i, reterr));
    CRN_TRY(check_new(reader, i, name_mark, reterr));
    CRN_TRY(take_text(reader, event, &text, reterr));
    if (is_null(event, text))
        return raise_at(reader, name_mark, "this has no value: leave it out, or give one", reterr);
    reader->lines[i] = name_mark.line + 1;
    int r = cairn_settings_set(reader->settings, reader->name, text, &error);
    return r < 0 ? locate(reader, event->start_mark, r, error, reterr) : 0;
}

static int read_mapping(struct reader *reader, size_t n, cairn_error **reterr);

/* A group's mapping. There are no groups in groups, so neither name nor stack grow. */
static int read_group(struct reader *reader, yaml_mark_t name_mark, const yaml_event_t *event,
                      cairn_error **reterr)
{
    size_t i, n = strlen(reader->name);
    CRN_TRY(check_plain(reader, event, event->data.mapping_start.anchor != NULL,
                        event->data.mapping_start.tag != NULL, reterr));
    if (crn_settings_is_group(reader->name, n))
        return read_mapping(reader, n, reterr);
    CRN_TRY(find(reader, name_mark, &i, reterr));
    return raise_at(reader, name_mark, "this has one value: nothing can stand below it", reterr);
}

/* What stands behind a mapping's beginning, its end included; of a group whose name has n bytes. */
static int read_mapping(struct reader *reader, size_t n, cairn_error **reterr)
{
    for (;;) {
        AUTO_EVENT yaml_event_t name = {0};
        AUTO_EVENT yaml_event_t value = {0};
        const char *key;
        CRN_TRY(next_event(reader, &name, reterr));
        if (name.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (name.type != YAML_SCALAR_EVENT)
            return refuse(reader, &name, reterr);
        CRN_TRY(take_text(reader, &name, &key, reterr));
        extend_name(reader, n, key);
        CRN_TRY(next_event(reader, &value, reterr));
        if (value.type == YAML_SCALAR_EVENT)
            CRN_TRY(set_value(reader, name.start_mark, &value, reterr));
        else if (value.type == YAML_MAPPING_START_EVENT)
            CRN_TRY(read_group(reader, name.start_mark, &value, reterr));
        else
            return refuse(reader, &value, reterr);
    }
}

/* --- files --- */

/* The one document that there may be. A scalar without text is one without anything in it. */
static int read_document(struct reader *reader, cairn_error **reterr)
{
    AUTO_EVENT yaml_event_t root = {0};
    AUTO_EVENT yaml_event_t end = {0};
    AUTO_EVENT yaml_event_t after = {0};
    CRN_TRY(next_event(reader, &root, reterr));
    if (root.type == YAML_MAPPING_START_EVENT) {
        CRN_TRY(check_plain(reader, &root, root.data.mapping_start.anchor != NULL,
                            root.data.mapping_start.tag != NULL, reterr));
        CRN_TRY(read_mapping(reader, 0, reterr));
    } else if (root.type != YAML_SCALAR_EVENT ||
               !is_null(&root, (const char *)root.data.scalar.value)) {
        return refuse(reader, &root, reterr);
    }
    CRN_TRY(next_event(reader, &end, reterr));
    CRN_TRY(next_event(reader, &after, reterr));
    return after.type == YAML_STREAM_END_EVENT ? 0 : refuse(reader, &after, reterr);
}

static int read_stream(struct reader *reader, cairn_error **reterr)
{
    AUTO_EVENT yaml_event_t start = {0};
    AUTO_EVENT yaml_event_t document = {0};
    CRN_TRY(next_event(reader, &start, reterr));
    CRN_TRY(next_event(reader, &document, reterr));
    return document.type == YAML_STREAM_END_EVENT ? 0 : read_document(reader, reterr);
}

int crn_settings_read_text(cairn_settings *settings, const char *path, const void *data,
                           size_t size, cairn_error **reterr)
{
    CRN_AUTO_SETTINGS cairn_settings *read = NULL;
    CRN_AUTO_FREE size_t *lines = calloc(crn_settings_count, sizeof(*lines));
    struct reader reader = {.path = path, .text = data, .size = size, .lines = lines};
    if (lines == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(cairn_settings_new(&read, reterr));
    reader.settings = read;
    if (!yaml_parser_initialize(&reader.parser))
        return crn_err_nomem(reterr);
    yaml_parser_set_input_string(&reader.parser, data, size);
    int r = read_stream(&reader, reterr);
    yaml_parser_delete(&reader.parser);
    if (r == 0)
        crn_settings_merge(settings, read);
    return r;
}

int cairn_settings_read_file(cairn_settings *settings, const char *path, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    if (settings == NULL || path == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "settings or path is NULL");
    int r = crn_file_read_all(path, CRN_SETTINGS_MAX_FILE_BYTES, &data, &size, &error);
    int os_errno = cairn_error_errno(error);
    if (r < 0 && (os_errno == ENOENT || os_errno == ENOTDIR))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, path, "there is no settings file '%s'", path);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    return crn_settings_read_text(settings, path, data, size, reterr);
}
