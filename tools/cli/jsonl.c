/* SPDX-License-Identifier: Apache-2.0 */

/*
 * JSON lines, as `export` writes and `import` reads them:
 *
 *   {"cairn": "snapshot", "version": 1, "job": "orders", "id": 7}
 *   {"cairn": "operator", "uid": "count", "max_parallelism": 128, "key_type": "string", ...}
 *   {"cairn": "state", "operator_uid": "count", "name": "n", "kind": "value", ...}
 *   {"operator_uid": "count", "state": "n", "key": "apple", "value": 3}
 *   {"cairn": "end", "entries": 1}
 *
 * The first line is the snapshot's; an operator stands before its states, a state before its
 * entries. An entry has the fields that `cat --json` gives it. The last line tells that nothing was
 * cut off, and how many entries there are. The parser needs no store and no
 * writer, so that it can be fuzzed: a line comes from a file that anybody may have made (P11).
 */

#include "tools/cli/cli.h"
#include <stdlib.h>
#include <string.h>

static struct cli_operator *find_operator(struct cli_jsonl *jsonl, const char *uid)
{
    for (size_t i = 0; i < jsonl->operator_count; i++) {
        if (strcmp(jsonl->operators[i].uid, uid) == 0) {
            jsonl->op = i;
            return &jsonl->operators[i];
        }
    }
    return NULL;
}

static struct cli_state *find_state(struct cli_jsonl *jsonl, struct cli_operator *op,
                                    const char *name)
{
    for (size_t i = 0; i < op->state_count; i++) {
        if (strcmp(op->states[i].name, name) == 0) {
            jsonl->state = i;
            return &op->states[i];
        }
    }
    return NULL;
}

static int read_snapshot(struct cli_jsonl *jsonl, struct json_object *o, cairn_error **reterr)
{
    static const char *const fields[] = {"cairn", "version", "job", "id", NULL};
    const char *job = NULL;
    uint64_t version = 0;
    int r = cli_json_check_fields(o, fields, reterr);
    if (r == 0 && jsonl->has_snapshot)
        r = cli_raise(reterr, CAIRN_EINVAL, "a second snapshot begins here");
    if (r == 0)
        r = cli_json_get_u64(o, "version", UINT32_MAX, &version, reterr);
    if (r >= 0 && version != 1)
        r = cli_raise(reterr, CAIRN_EVERSION, "this is version %" PRIu64 " of the format, not 1",
                      version);
    if (r >= 0)
        r = cli_json_get_u64(o, "id", INT64_MAX, &jsonl->id, reterr);
    if (r >= 0)
        r = cli_json_get_text(o, "job", &job, reterr);
    if (r < 0)
        return r;
    jsonl->job = job ? cli_printf("%s", job) : NULL;
    jsonl->has_snapshot = true;
    return 0;
}

static int read_operator(struct cli_jsonl *jsonl, struct json_object *o, cairn_error **reterr)
{
    static const char *const fields[] = {
        "cairn",           "uid",      "name",           "parallelism",
        "max_parallelism", "key_type", "namespace_type", NULL};
    struct cli_operator op;
    int r = cli_json_check_fields(o, fields, reterr);
    if (r == 0)
        r = cli_json_read_operator(o, &op, reterr);
    if (r < 0)
        return r;
    if (find_operator(jsonl, op.uid)) {
        r = cli_raise(reterr, CAIRN_EINVAL, "operator '%s' is defined twice", op.uid);
        cli_operator_done(&op);
        return r;
    }
    jsonl->operators = cli_grow(jsonl->operators, jsonl->operator_count, &jsonl->operator_capacity,
                                sizeof(*jsonl->operators));
    jsonl->op = jsonl->operator_count;
    jsonl->operators[jsonl->operator_count++] = op;
    return 0;
}

static int read_state(struct cli_jsonl *jsonl, struct json_object *o, cairn_error **reterr)
{
    static const char *const fields[] = {"cairn",  "operator_uid", "name",
                                         "kind",   "value_type",   "map_key_type",
                                         "ttl_ms", "schemas",      NULL};
    const char *uid = NULL;
    struct cli_operator *op = NULL;
    struct cli_state state;
    int r = cli_json_check_fields(o, fields, reterr);
    if (r == 0)
        r = cli_json_get_text(o, "operator_uid", &uid, reterr);
    if (r >= 0) {
        op = uid ? find_operator(jsonl, uid) : NULL;
        r = op ? cli_json_read_state(o, &state, reterr)
               : cli_raise(reterr, CAIRN_EINVAL, "no operator '%s' was defined before",
                           uid ? uid : "");
    }
    if (r < 0)
        return r;
    if (find_state(jsonl, op, state.name)) {
        r = cli_raise(reterr, CAIRN_EINVAL, "state '%s' of operator '%s' is defined twice",
                      state.name, op->uid);
        cli_state_done(&state);
        return r;
    }
    op->states = cli_grow(op->states, op->state_count, &op->state_capacity, sizeof(*op->states));
    jsonl->state = op->state_count;
    op->states[op->state_count++] = state;
    return 0;
}

/* ---- entries ---- */

enum part { KEY, NAMESPACE, MAP_KEY, VALUE };

static int read_part(struct cli_jsonl *jsonl, enum part part, cairn_type type,
                     struct json_object *o, const char *name, bool required, const void **ret_data,
                     size_t *ret_size, cairn_error **reterr)
{
    struct json_object *field;
    if (!json_object_object_get_ex(o, name, &field)) {
        *ret_data = "";
        return required
                   ? cli_raise(reterr, CAIRN_EINVAL, "an entry of this state needs \"%s\"", name)
                   : 0;
    }
    int r = cli_typed_from_json(type, field, &jsonl->parts[part], ret_size, reterr);
    if (r == 0)
        *ret_data = jsonl->parts[part];
    return r;
}

/* The schema that an entry's value was written under; the present one unless it says otherwise. */
static int find_schema(const struct cli_state *state, struct json_object *o,
                       const cairn_schema_info **ret, cairn_error **reterr)
{
    uint64_t tag = 0;
    *ret = &state->schema;
    int r = cli_json_get_u64(o, "schema", UINT32_MAX, &tag, reterr);
    if (r <= 0)
        return r;
    for (size_t i = state->schema_count; i > 0; i--) {
        *ret = &state->schemas[i - 1].info;
        if ((*ret)->tag == tag)
            return 0;
    }
    return cli_raise(reterr, CAIRN_EINVAL, "there is no schema %" PRIu64 " here", tag);
}

/* A value with fields is JSON itself. It becomes one of the present schema. */
static int read_fields(struct cli_jsonl *jsonl, const struct cli_state *state,
                       const cairn_schema_info *schema, struct json_object *value,
                       cairn_error **reterr)
{
    const cairn_type type = state->info.value_type;
    void *data = NULL, *converted = NULL;
    cairn_entry *entry = &jsonl->entry;
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE);
    int r = cairn_value_from_json(type, schema, text, &data, &entry->value_size, reterr);
    if (r == 0 && schema->tag != state->schema.tag) {
        r = cairn_value_convert(type, schema, &state->schema, data, entry->value_size, &converted,
                                &entry->value_size, reterr);
        free(data);
        data = converted;
    }
    if (r == 0)
        entry->value = jsonl->parts[VALUE] = data;
    return r;
}

/* The same code, with the place in front of the message. */
static int at_value(const struct cli_operator *op, const struct cli_state *state, int code,
                    cairn_error **reterr)
{
    CLI_AUTO_ERROR cairn_error *error = reterr ? *reterr : NULL;
    if (!error)
        return code;
    *reterr = NULL;
    return cli_raise(reterr, code, "state %s/%s, value: %s", op->uid, state->name,
                     cairn_error_message(error));
}

static int read_value(struct cli_jsonl *jsonl, const struct cli_state *state, struct json_object *o,
                      cairn_error **reterr)
{
    const cairn_type type = state->info.value_type;
    const cairn_schema_info *schema;
    struct json_object *value;
    int r = find_schema(state, o, &schema, reterr);
    if (r < 0)
        return r;
    if ((type == CAIRN_STRUCT || type == CAIRN_AVRO) &&
        json_object_object_get_ex(o, "value", &value))
        return read_fields(jsonl, state, schema, value, reterr);
    if (schema->tag != state->schema.tag)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "only the service can read a value of the older schema %" PRIu32
                         ": let it call cairn_task_migrate() first",
                         schema->tag);
    return read_part(jsonl, VALUE, type, o, "value", true, &jsonl->entry.value,
                     &jsonl->entry.value_size, reterr);
}

static int read_keys(struct cli_jsonl *jsonl, const struct cli_operator *op,
                     const struct cli_state *state, struct json_object *o, cairn_error **reterr)
{
    cairn_entry *entry = &jsonl->entry;
    const cairn_state_kind kind = state->info.kind;
    if (kind == CAIRN_KIND_BROADCAST)
        return read_part(jsonl, KEY, state->info.map_key_type, o, "map_key", true, &entry->key,
                         &entry->key_size, reterr);
    if (cli_state_is_operator_state(kind))
        return 0;
    int r =
        read_part(jsonl, KEY, op->key_type, o, "key", true, &entry->key, &entry->key_size, reterr);
    if (r == 0)
        r = read_part(jsonl, NAMESPACE, op->namespace_type, o, "namespace", false, &entry->ns,
                      &entry->ns_size, reterr);
    if (r == 0 && kind == CAIRN_KIND_MAP)
        r = read_part(jsonl, MAP_KEY, state->info.map_key_type, o, "map_key", true, &entry->map_key,
                      &entry->map_key_size, reterr);
    return r;
}

static void clear_entry(struct cli_jsonl *jsonl)
{
    for (size_t i = 0; i < CLI_COUNT(jsonl->parts); i++) {
        free(jsonl->parts[i]);
        jsonl->parts[i] = NULL;
    }
    jsonl->entry = (cairn_entry){0};
    jsonl->written_ms = -1;
}

static int read_entry(struct cli_jsonl *jsonl, struct json_object *o, cairn_error **reterr)
{
    static const char *const fields[] = {"operator_uid", "state",      "subtask", "key_group",
                                         "key",          "namespace",  "map_key", "element",
                                         "value",        "written_ms", "schema",  NULL};
    const char *uid = NULL, *name = NULL;
    uint64_t written_ms = 0;
    int r = cli_json_check_fields(o, fields, reterr);
    if (r == 0)
        r = cli_json_get_text(o, "operator_uid", &uid, reterr);
    if (r >= 0)
        r = cli_json_get_text(o, "state", &name, reterr);
    if (r < 0)
        return r;
    struct cli_operator *op = uid ? find_operator(jsonl, uid) : NULL;
    struct cli_state *state = op && name ? find_state(jsonl, op, name) : NULL;
    if (!state)
        return cli_raise(reterr, CAIRN_EINVAL, "no state '%s' of operator '%s' was defined before",
                         name ? name : "", uid ? uid : "");
    r = cli_json_get_u64(o, "written_ms", INT64_MAX, &written_ms, reterr);
    if (r > 0)
        jsonl->written_ms = (int64_t)written_ms;
    if (r >= 0)
        r = read_keys(jsonl, op, state, o, reterr);
    if (r < 0)
        return r;
    r = read_value(jsonl, state, o, reterr);
    return r < 0 ? at_value(op, state, r, reterr) : 0;
}

/* ---- lines ---- */

/* "filtered" is for people: it was asked for less than the snapshot holds. */
static int read_end(struct cli_jsonl *jsonl, struct json_object *o, cairn_error **reterr)
{
    static const char *const fields[] = {"cairn", "entries", "filtered", NULL};
    int r = cli_json_check_fields(o, fields, reterr);
    if (r == 0)
        r = cli_json_get_u64(o, "entries", INT64_MAX, &jsonl->end_count, reterr);
    if (r < 0)
        return r;
    jsonl->has_end = true;
    jsonl->has_end_count = r > 0;
    return 0;
}

static int read_object(struct cli_jsonl *jsonl, struct json_object *o,
                       enum cli_jsonl_what *ret_what, cairn_error **reterr)
{
    static const struct {
        const char *word;
        enum cli_jsonl_what what;
        int (*read)(struct cli_jsonl *jsonl, struct json_object *o, cairn_error **reterr);
    } lines[] = {{"snapshot", CLI_JSONL_SNAPSHOT, read_snapshot},
                 {"operator", CLI_JSONL_OPERATOR, read_operator},
                 {"state", CLI_JSONL_STATE, read_state},
                 {"end", CLI_JSONL_END, read_end}};
    const char *word = NULL;
    if (!json_object_is_type(o, json_type_object))
        return cli_raise(reterr, CAIRN_EINVAL, "this is not a JSON object");
    int r = cli_json_get_text(o, "cairn", &word, reterr);
    if (r < 0)
        return r;
    if (!jsonl->has_snapshot && (!word || strcmp(word, "snapshot") != 0))
        return cli_raise(reterr, CAIRN_EINVAL,
                         "the first line is not {\"cairn\": \"snapshot\", \"version\": 1}");
    if (jsonl->has_end)
        return cli_raise(reterr, CAIRN_EINVAL, "there is something behind the \"end\" line");
    if (!word) {
        *ret_what = CLI_JSONL_ENTRY;
        return read_entry(jsonl, o, reterr);
    }
    for (size_t i = 0; i < CLI_COUNT(lines); i++) {
        if (strcmp(lines[i].word, word) == 0) {
            *ret_what = lines[i].what;
            return lines[i].read(jsonl, o, reterr);
        }
    }
    return cli_raise(reterr, CAIRN_EINVAL,
                     "\"cairn\" is \"%s\", not snapshot, operator, state or end", word);
}

int cli_jsonl_read(struct cli_jsonl *jsonl, const char *line, size_t size,
                   enum cli_jsonl_what *ret_what, cairn_error **reterr)
{
    *ret_what = CLI_JSONL_NOTHING;
    clear_entry(jsonl);
    if (size == 0)
        return 0;
    if (size > INT32_MAX)
        return cli_raise(reterr, CAIRN_EINVAL, "the line has more than 2 GiB");
    struct json_tokener *tokener = json_tokener_new_ex(CLI_JSON_DEPTH);
    if (!tokener)
        cli_out_of_memory();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(tokener, line, (int)size);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    bool is_all = json_tokener_get_parse_end(tokener) == size;
    json_tokener_free(tokener);
    int r = error == json_tokener_success && is_all
                ? read_object(jsonl, o, ret_what, reterr)
                : cli_raise(reterr, CAIRN_EINVAL, "this is not JSON: %s",
                            error == json_tokener_success ? "there is something behind its end"
                                                          : json_tokener_error_desc(error));
    json_object_put(o);
    return r;
}

void cli_jsonl_done(struct cli_jsonl *jsonl)
{
    clear_entry(jsonl);
    for (size_t i = 0; i < jsonl->operator_count; i++)
        cli_operator_done(&jsonl->operators[i]);
    free(jsonl->operators);
    free(jsonl->job);
    *jsonl = (struct cli_jsonl){0};
}
