/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a file that `cairn import` reads (P11), line by line, as the tool does.
 *
 * What is read keeps what cli.h says: indexes are of definitions, and an entry has the bytes that
 * its types want. A definition that was read is read again from what is written of it, as the same;
 * an entry's parts come back from their JSON unchanged. A line that was refused has a message.
 */
#include "tests/fuzz/fuzz.h"
#include "tools/cli/cli.h"

#include <string.h>

static struct json_object *parse(struct json_object *o)
{
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    struct json_object *again = json_tokener_parse(text);
    crn_fuzz_must(again != NULL);
    return again;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void check_operator(const struct cli_operator *op)
{
    struct cli_operator back;
    const cairn_operator_info info = {.uid = op->uid,
                                      .name = op->name,
                                      .parallelism = op->parallelism,
                                      .max_parallelism = op->max_parallelism,
                                      .key_type = op->key_type,
                                      .namespace_type = op->namespace_type};
    struct json_object *o = cli_json_object();
    cli_json_fill_operator(o, &info);
    struct json_object *again = parse(o);
    crn_fuzz_must(cli_json_read_operator(again, &back, NULL) == 0);
    crn_fuzz_must(same_text(back.uid, op->uid) && back.parallelism == op->parallelism &&
                  back.max_parallelism == op->max_parallelism && back.key_type == op->key_type &&
                  back.namespace_type == op->namespace_type);
    cli_operator_done(&back);
    json_object_put(again);
    json_object_put(o);
}

static void check_state(const struct cli_state *state)
{
    const cairn_type type = state->info.value_type;
    bool has_schema = type == CAIRN_STRUCT || type == CAIRN_AVRO || type == CAIRN_CUSTOM;
    crn_fuzz_must(state->name != NULL && same_text(state->info.name, state->name));
    crn_fuzz_must(has_schema == (state->serializer != NULL));
    crn_fuzz_must(!has_schema || state->schema.bytes != NULL || state->schema.size == 0);
}

/* A part of the type goes to JSON and comes back. */
static void check_part(cairn_type type, const void *data, size_t size)
{
    uint8_t *back = NULL;
    size_t back_size = 0;
    struct json_object *o = cli_typed_json(type, data, size);
    struct json_object *again = parse(o);
    crn_fuzz_must(cli_typed_from_json(type, again, &back, &back_size, NULL) == 0);
    crn_fuzz_must(back_size == size && (size == 0 || memcmp(back, data, size) == 0));
    free(back);
    json_object_put(again);
    json_object_put(o);
}

static void check_entry(const struct cli_jsonl *jsonl)
{
    const struct cli_operator *op = &jsonl->operators[jsonl->op];
    const cairn_state_info *state = &op->states[jsonl->state].info;
    const cairn_entry *entry = &jsonl->entry;
    bool is_broadcast = state->kind == CAIRN_KIND_BROADCAST;
    crn_fuzz_must(jsonl->written_ms >= -1);
    if (is_broadcast || !cli_state_is_operator_state(state->kind))
        check_part(is_broadcast ? state->map_key_type : op->key_type, entry->key, entry->key_size);
    if (state->kind == CAIRN_KIND_MAP)
        check_part(state->map_key_type, entry->map_key, entry->map_key_size);
    if (entry->ns_size > 0)
        check_part(op->namespace_type, entry->ns, entry->ns_size);
    if (state->value_type != CAIRN_STRUCT && state->value_type != CAIRN_AVRO) {
        check_part(state->value_type, entry->value, entry->value_size);
        return;
    }
    char *json = NULL;
    crn_fuzz_must(cairn_value_to_json(state->value_type, &op->states[jsonl->state].schema,
                                      entry->value, entry->value_size, &json, NULL) == 0);
    free(json);
}

static void check_line(struct cli_jsonl *jsonl, const char *line, size_t size)
{
    enum cli_jsonl_what what = CLI_JSONL_NOTHING;
    cairn_error *error = NULL;
    size_t operators = jsonl->operator_count;
    int r = cli_jsonl_read(jsonl, line, size, &what, &error);
    crn_fuzz_must((r < 0) == (error != NULL));
    if (r < 0) {
        crn_fuzz_must(cairn_error_message(error)[0] != '\0');
        crn_fuzz_must(jsonl->operator_count == operators);
        cairn_error_free(error);
        return;
    }
    crn_fuzz_must(what == CLI_JSONL_NOTHING || jsonl->has_snapshot);
    crn_fuzz_must(!jsonl->has_end || what == CLI_JSONL_END || what == CLI_JSONL_NOTHING);
    if (what == CLI_JSONL_NOTHING || what == CLI_JSONL_SNAPSHOT || what == CLI_JSONL_END)
        return;
    crn_fuzz_must(jsonl->op < jsonl->operator_count);
    if (what == CLI_JSONL_OPERATOR) {
        check_operator(&jsonl->operators[jsonl->op]);
        return;
    }
    crn_fuzz_must(jsonl->state < jsonl->operators[jsonl->op].state_count);
    if (what == CLI_JSONL_STATE)
        check_state(&jsonl->operators[jsonl->op].states[jsonl->state]);
    else
        check_entry(jsonl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli_jsonl jsonl = {0};
    const char *line = (const char *)data, *end = line + size;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t line_size = (size_t)((stop != NULL ? stop : end) - line);
        check_line(&jsonl, line, line_size);
        line += line_size + 1;
    }
    cli_jsonl_done(&jsonl);
    return 0;
}
