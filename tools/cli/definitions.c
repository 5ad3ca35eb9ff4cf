/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operators and states as JSON, in both directions: what `inspect --json` prints, `export` writes
 * in front of the entries, and `import` and `check` read. What is read comes from a file that
 * anybody may have edited: every field is checked, and one that nobody knows is refused by name.
 */

#include "tools/cli/cli.h"
#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

static const cairn_type types[] = {CAIRN_BYTES,  CAIRN_INT64, CAIRN_DOUBLE, CAIRN_STRING,
                                   CAIRN_STRUCT, CAIRN_AVRO,  CAIRN_CUSTOM};
static const cairn_state_kind kinds[] = {
    CAIRN_KIND_VALUE,          CAIRN_KIND_LIST,        CAIRN_KIND_MAP,
    CAIRN_KIND_REDUCING,       CAIRN_KIND_AGGREGATING, CAIRN_KIND_OPERATOR_LIST,
    CAIRN_KIND_OPERATOR_UNION, CAIRN_KIND_BROADCAST};

static int find_type(const char *what, const char *word, cairn_type *ret, cairn_error **reterr)
{
    for (size_t i = 0; i < CLI_COUNT(types); i++) {
        if (strcmp(cli_type_name(types[i]), word) == 0) {
            *ret = types[i];
            return 0;
        }
    }
    return cli_raise(reterr, CAIRN_EINVAL,
                     "%s '%s' is not bytes, int64, double, string, struct, avro or custom", what,
                     word);
}

static int find_kind(const char *word, cairn_state_kind *ret, cairn_error **reterr)
{
    for (size_t i = 0; i < CLI_COUNT(kinds); i++) {
        if (strcmp(cli_state_kind_name(kinds[i]), word) == 0) {
            *ret = kinds[i];
            return 0;
        }
    }
    return cli_raise(reterr, CAIRN_EINVAL,
                     "kind '%s' is not value, list, map, reducing, aggregating, operator-list, "
                     "operator-union or broadcast",
                     word);
}

/* ---- writing ---- */

static struct json_object *schema_json(cairn_type type, const cairn_schema_info *schema)
{
    struct json_object *o = cli_json_object();
    cli_json_put_u64(o, "tag", schema->tag);
    cli_json_put_text(o, "name", schema->name);
    if (type == CAIRN_CUSTOM)
        cli_json_put_u64(o, "version", schema->version);
    if (type == CAIRN_AVRO)
        cli_json_put(o, "text", cli_json_text((const char *)schema->bytes, schema->size));
    else
        cli_json_put(o, "hex", cli_json_hex(schema->bytes, schema->size));
    return o;
}

void cli_json_fill_state(struct json_object *o, const cairn_state_info *state)
{
    cli_json_put_text(o, "name", state->name);
    cli_json_put_text(o, "kind", cli_state_kind_name(state->kind));
    cli_json_put_text(o, "value_type", cli_type_name(state->value_type));
    cli_json_put_text(o, "map_key_type",
                      cli_state_has_map_key(state->kind) ? cli_type_name(state->map_key_type)
                                                         : NULL);
    cli_json_put_u64(o, "ttl_ms", state->ttl_ms);
    if (state->schema_count > 0) {
        struct json_object *schemas = cli_json_array();
        for (size_t i = 0; i < state->schema_count; i++)
            cli_json_push(schemas, schema_json(state->value_type, &state->schemas[i]));
        cli_json_put(o, "schemas", schemas);
    }
}

void cli_json_fill_operator(struct json_object *o, const cairn_operator_info *op)
{
    cli_json_put_text(o, "uid", op->uid);
    cli_json_put_text(o, "name", op->name);
    cli_json_put_u64(o, "parallelism", op->parallelism);
    cli_json_put_u64(o, "max_parallelism", op->max_parallelism);
    cli_json_put_text(o, "key_type", cli_type_name(op->key_type));
    cli_json_put_text(o, "namespace_type", cli_type_name(op->namespace_type));
}

/* ---- reading ---- */

int cli_json_get_text(struct json_object *o, const char *name, const char **ret,
                      cairn_error **reterr)
{
    struct json_object *field;
    if (!json_object_object_get_ex(o, name, &field) || field == NULL)
        return 0;
    const char *text = json_object_get_string(field);
    if (!json_object_is_type(field, json_type_string) ||
        strlen(text) != (size_t)json_object_get_string_len(field))
        return cli_raise(reterr, CAIRN_EINVAL, "\"%s\" is not a text", name);
    *ret = text;
    return 1;
}

/* json-c keeps numbers up to UINT64_MAX, and cuts them when it is asked for an int64. */
bool cli_json_is_int64(struct json_object *o)
{
    return json_object_is_type(o, json_type_int) &&
           (json_object_get_int64(o) != INT64_MAX || json_object_get_uint64(o) == INT64_MAX);
}

int cli_json_get_u64(struct json_object *o, const char *name, uint64_t max, uint64_t *ret,
                     cairn_error **reterr)
{
    struct json_object *field;
    if (!json_object_object_get_ex(o, name, &field) || field == NULL)
        return 0;
    int64_t value = json_object_get_int64(field);
    if (!cli_json_is_int64(field) || value < 0 || (uint64_t)value > max)
        return cli_raise(reterr, CAIRN_EINVAL, "\"%s\" is not a number from 0 to %" PRIu64, name,
                         max);
    *ret = (uint64_t)value;
    return 1;
}

int cli_json_check_fields(struct json_object *o, const char *const *names, cairn_error **reterr)
{
    json_object_object_foreach(o, name, value)
    {
        size_t i = 0;
        (void)value;
        while (names[i] && strcmp(names[i], name) != 0)
            i++;
        if (!names[i])
            return cli_raise(reterr, CAIRN_EINVAL, "there is no field \"%s\" here", name);
    }
    return 0;
}

static int get_type(struct json_object *o, const char *name, cairn_type *ret, cairn_error **reterr)
{
    const char *word = NULL;
    int r = cli_json_get_text(o, name, &word, reterr);
    return r <= 0 ? r : find_type(name, word, ret, reterr);
}

/* The schema's own bytes: Avro's as text, all others in hexadecimal digits. */
static int read_schema_bytes(struct json_object *o, struct cli_schema *ret, cairn_error **reterr)
{
    const char *text = NULL, *hex = NULL;
    int r = cli_json_get_text(o, "text", &text, reterr);
    if (r >= 0)
        r = cli_json_get_text(o, "hex", &hex, reterr);
    if (r < 0)
        return r;
    if (hex)
        return cli_hex_parse(hex, &ret->bytes, &ret->info.size, reterr);
    ret->info.size = text ? strlen(text) : 0;
    ret->bytes = cli_alloc(ret->info.size + 1);
    if (text)
        memcpy(ret->bytes, text, ret->info.size);
    return 0;
}

static int read_schema(struct json_object *o, struct cli_schema *ret, cairn_error **reterr)
{
    static const char *const fields[] = {"tag", "name", "version", "text", "hex", NULL};
    const char *name = "";
    uint64_t tag = 0, version = 0;
    int r = json_object_is_type(o, json_type_object)
                ? cli_json_check_fields(o, fields, reterr)
                : cli_raise(reterr, CAIRN_EINVAL, "a schema is not an object");
    if (r == 0)
        r = cli_json_get_text(o, "name", &name, reterr);
    if (r >= 0)
        r = cli_json_get_u64(o, "version", UINT32_MAX, &version, reterr);
    if (r >= 0)
        r = cli_json_get_u64(o, "tag", UINT32_MAX, &tag, reterr);
    if (r >= 0)
        r = read_schema_bytes(o, ret, reterr);
    if (r < 0)
        return r;
    ret->name = cli_printf("%s", name);
    ret->info.name = ret->name;
    ret->info.bytes = ret->bytes;
    ret->info.version = (uint32_t)version;
    ret->info.tag = (uint32_t)tag;
    return 0;
}

static int make_serializer(struct cli_state *state, cairn_error **reterr)
{
    const cairn_schema_info *schema = &state->schema;
    if (state->info.value_type == CAIRN_CUSTOM)
        return cairn_custom_serializer(schema->name, schema->version, schema->bytes, schema->size,
                                       NULL, &state->serializer, reterr);
    return cairn_serializer_of_schema(state->info.value_type, schema, &state->serializer, reterr);
}

/* The present schema is the last one of "schemas". */
static int read_schemas(struct json_object *o, struct cli_state *ret, cairn_error **reterr)
{
    struct json_object *schemas;
    size_t count = 0;
    if (json_object_object_get_ex(o, "schemas", &schemas) &&
        json_object_is_type(schemas, json_type_array))
        count = json_object_array_length(schemas);
    if (count == 0)
        return ret->info.value_type < CAIRN_STRUCT
                   ? 0
                   : cli_raise(reterr, CAIRN_EINVAL, "values of type %s need \"schemas\"",
                               cli_type_name(ret->info.value_type));
    if (ret->info.value_type < CAIRN_STRUCT)
        return cli_raise(reterr, CAIRN_EINVAL, "values of type %s have no \"schemas\"",
                         cli_type_name(ret->info.value_type));
    ret->schemas = cli_alloc(count * sizeof(*ret->schemas));
    for (size_t i = 0; i < count; i++) {
        int r = read_schema(json_object_array_get_idx(schemas, i), &ret->schemas[i], reterr);
        ret->schema_count = i + 1;
        if (r < 0)
            return r;
    }
    ret->schema = ret->schemas[count - 1].info;
    return make_serializer(ret, reterr);
}

void cli_state_done(struct cli_state *state)
{
    free(state->name);
    for (size_t i = 0; i < state->schema_count; i++) {
        free(state->schemas[i].name);
        free(state->schemas[i].bytes);
    }
    free(state->schemas);
    cairn_serializer_release(state->serializer);
    *state = (struct cli_state){0};
}

int cli_json_read_state(struct json_object *o, struct cli_state *ret, cairn_error **reterr)
{
    struct cli_state state = {0};
    const char *name = NULL, *kind = NULL;
    int r = cli_json_get_text(o, "name", &name, reterr);
    if (r >= 0)
        r = cli_json_get_text(o, "kind", &kind, reterr);
    if (r >= 0 && (!name || !kind))
        r = cli_raise(reterr, CAIRN_EINVAL, "a state needs \"name\" and \"kind\"");
    if (r >= 0)
        r = find_kind(kind, &state.info.kind, reterr);
    if (r >= 0)
        r = get_type(o, "value_type", &state.info.value_type, reterr);
    if (r >= 0)
        r = get_type(o, "map_key_type", &state.info.map_key_type, reterr);
    if (r >= 0)
        r = cli_json_get_u64(o, "ttl_ms", INT64_MAX, &state.info.ttl_ms, reterr);
    if (r >= 0)
        r = read_schemas(o, &state, reterr);
    if (r < 0) {
        cli_state_done(&state);
        return r;
    }
    state.name = cli_printf("%s", name);
    state.info.name = state.name;
    *ret = state;
    return 0;
}

void cli_operator_done(struct cli_operator *op)
{
    for (size_t i = 0; i < op->state_count; i++)
        cli_state_done(&op->states[i]);
    free(op->states);
    free(op->uid);
    free(op->name);
    *op = (struct cli_operator){0};
}

int cli_json_read_operator(struct json_object *o, struct cli_operator *ret, cairn_error **reterr)
{
    struct cli_operator op = {0};
    const char *uid = NULL, *name = NULL;
    uint64_t parallelism = 0, max_parallelism = 0;
    int r = cli_json_get_text(o, "uid", &uid, reterr);
    if (r >= 0 && !uid)
        r = cli_raise(reterr, CAIRN_EINVAL, "an operator needs \"uid\"");
    if (r >= 0)
        r = cli_json_get_text(o, "name", &name, reterr);
    if (r >= 0)
        r = cli_json_get_u64(o, "parallelism", 32768, &parallelism, reterr);
    if (r >= 0)
        r = cli_json_get_u64(o, "max_parallelism", 32768, &max_parallelism, reterr);
    if (r >= 0)
        r = get_type(o, "key_type", &op.key_type, reterr);
    if (r >= 0)
        r = get_type(o, "namespace_type", &op.namespace_type, reterr);
    if (r < 0)
        return r;
    op.parallelism = (uint32_t)parallelism;
    op.max_parallelism = (uint32_t)max_parallelism;
    op.uid = cli_printf("%s", uid);
    op.name = name && *name ? cli_printf("%s", name) : NULL;
    *ret = op;
    return 0;
}
