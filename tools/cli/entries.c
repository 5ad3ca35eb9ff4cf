/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Entries, as `cat`, `export` and `diff --entries` show them:
 *
 *   orders/count "apple" = 3
 *   orders/clicks "user-1" @ 3600000 ["page"] = 7          map
 *   orders/recent "user-1" [0] = "x"                       list
 *   source/offsets #0 [1] = 42                             operator state of subtask 0
 *
 * Values with a schema of fields are shown as JSON, by the schema that they were written under.
 */

#include "tools/cli/cli.h"
#include <stdlib.h>
#include <string.h>

static bool has_position(cairn_state_kind kind)
{
    return kind == CAIRN_KIND_LIST || kind == CAIRN_KIND_OPERATOR_LIST ||
           kind == CAIRN_KIND_OPERATOR_UNION;
}

/* NULL: not a value with fields, or not one that its schema fits. */
static char *value_fields(const cairn_state_info *state, const cairn_cat_entry *e)
{
    char *json = NULL;
    if ((state->value_type != CAIRN_STRUCT && state->value_type != CAIRN_AVRO) || !e->schema)
        return NULL;
    if (cairn_value_to_json(state->value_type, e->schema, e->entry.value, e->entry.value_size,
                            &json, NULL) < 0)
        return NULL;
    return json;
}

char *cli_entry_value_text(const cairn_state_info *state, const cairn_cat_entry *e)
{
    CLI_AUTO_FREE char *json = value_fields(state, e);
    if (!json)
        return cli_typed_text(state->value_type, e->entry.value, e->entry.value_size);
    /* JSON has escapes of its own; what they leave as it is may still drive a terminal. */
    return cli_text_is_plain(json, strlen(json)) ? cli_printf("%s", json) : cli_text_safe(json);
}

struct json_object *cli_entry_value_json(const cairn_state_info *state, const cairn_cat_entry *e)
{
    CLI_AUTO_FREE char *json = value_fields(state, e);
    if (!json)
        return cli_typed_json(state->value_type, e->entry.value, e->entry.value_size);
    struct json_tokener *tokener = json_tokener_new_ex(CLI_JSON_DEPTH);
    if (!tokener)
        cli_out_of_memory();
    /* NULL is a value, too: null. The library's own JSON can be read, or memory ran out. */
    struct json_object *parsed = json_tokener_parse_ex(tokener, json, (int)strlen(json) + 1);
    if (json_tokener_get_error(tokener) != json_tokener_success)
        cli_out_of_memory();
    json_tokener_free(tokener);
    return parsed;
}

/* Of an older schema than the present one? */
static bool is_older(const cairn_state_info *state, const cairn_cat_entry *e)
{
    return e->schema && e->schema != &state->schemas[state->schema_count - 1];
}

void cli_entry_print_place(const cairn_snapshot *snapshot, const cairn_cat_entry *e)
{
    const cairn_operator_info *op = cairn_snapshot_operator(snapshot, e->op);
    const cairn_state_info *state = cairn_snapshot_state(snapshot, e->op, e->state);
    CLI_AUTO_FREE char *uid = cli_text_safe(op->uid);
    CLI_AUTO_FREE char *name = cli_text_safe(state->name);
    printf("%s/%s", uid, name);
    if (cli_state_is_operator_state(state->kind)) {
        printf(" #%u", e->subtask);
    } else {
        CLI_AUTO_FREE char *key = cli_typed_text(op->key_type, e->entry.key, e->entry.key_size);
        printf(" %s", key);
        if (e->entry.ns_size > 0) {
            CLI_AUTO_FREE char *ns =
                cli_typed_text(op->namespace_type, e->entry.ns, e->entry.ns_size);
            printf(" @ %s", ns);
        }
    }
    if (state->kind == CAIRN_KIND_MAP) {
        CLI_AUTO_FREE char *map_key =
            cli_typed_text(state->map_key_type, e->entry.map_key, e->entry.map_key_size);
        printf(" [%s]", map_key);
    } else if (state->kind == CAIRN_KIND_BROADCAST) {
        CLI_AUTO_FREE char *key =
            cli_typed_text(state->map_key_type, e->entry.key, e->entry.key_size);
        printf(" [%s]", key);
    } else if (has_position(state->kind)) {
        printf(" [%" PRIu64 "]", e->element);
    }
}

struct json_object *cli_entry_json(const cairn_snapshot *snapshot, const cairn_cat_entry *e)
{
    const cairn_operator_info *op = cairn_snapshot_operator(snapshot, e->op);
    const cairn_state_info *state = cairn_snapshot_state(snapshot, e->op, e->state);
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "operator_uid", op->uid);
    cli_json_put_text(o, "state", state->name);
    cli_json_put_u64(o, "subtask", e->subtask);
    if (!cli_state_is_operator_state(state->kind)) {
        cli_json_put_u64(o, "key_group", e->key_group);
        cli_json_put(o, "key", cli_typed_json(op->key_type, e->entry.key, e->entry.key_size));
        if (e->entry.ns_size > 0)
            cli_json_put(o, "namespace",
                         cli_typed_json(op->namespace_type, e->entry.ns, e->entry.ns_size));
    }
    if (state->kind == CAIRN_KIND_MAP)
        cli_json_put(o, "map_key",
                     cli_typed_json(state->map_key_type, e->entry.map_key, e->entry.map_key_size));
    if (state->kind == CAIRN_KIND_BROADCAST)
        cli_json_put(o, "map_key",
                     cli_typed_json(state->map_key_type, e->entry.key, e->entry.key_size));
    if (has_position(state->kind))
        cli_json_put_u64(o, "element", e->element);
    if (state->ttl_ms > 0)
        cli_json_put_i64(o, "written_ms", e->written_ms);
    if (is_older(state, e))
        cli_json_put_u64(o, "schema", e->schema->tag);
    cli_json_put(o, "value", cli_entry_value_json(state, e));
    return o;
}

/* The type to read --key by: that of the operator named, or the one that all operators have. */
static int find_key_type(const cairn_snapshot *snapshot, const char *uid, cairn_type *ret,
                         cairn_error **reterr)
{
    const cairn_operator_info *op;
    bool found = false;
    for (size_t i = 0; (op = cairn_snapshot_operator(snapshot, i)); i++) {
        if (uid && strcmp(op->uid, uid) != 0)
            continue;
        if (found && op->key_type != *ret)
            return cli_raise(reterr, CAIRN_EINVAL,
                             "operators have keys of different types: choose one with --operator");
        *ret = op->key_type;
        found = true;
    }
    if (!found)
        return uid ? cli_raise(reterr, CAIRN_ENOTFOUND, "no operator '%s' in checkpoint %" PRIu64,
                               uid, cairn_snapshot_record(snapshot)->id)
                   : cli_raise(reterr, CAIRN_ENOTFOUND, "checkpoint %" PRIu64 " has no operators",
                               cairn_snapshot_record(snapshot)->id);
    return 0;
}

int cli_cat_options(const struct cli_args *args, const cairn_snapshot *snapshot,
                    cairn_cat_options *options, uint8_t **ret_key, cairn_error **reterr)
{
    cairn_type key_type = CAIRN_BYTES;
    int r = 0;
    if (args->key)
        r = find_key_type(snapshot, args->operator_uid, &key_type, reterr);
    if (r == CAIRN_ENOTFOUND)
        cli_hint(CLI_HINT_INSPECT);
    if (r == 0 && args->key)
        r = cli_typed_parse(key_type, args->key, ret_key, &options->key_size, reterr);
    if (r < 0)
        return r;
    options->operator_uid = args->operator_uid;
    options->state = args->state;
    options->key = *ret_key;
    return 0;
}
