/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn cat: the entries of a checkpoint, one per line, decoded by their types:
 *
 *   orders/count "apple" = 3
 *   orders/clicks "user-1" @ 3600000 ["page"] = 7          map
 *   orders/recent "user-1" [0] = "x"                       list
 *   source/offsets #0 [1] = 42                             operator state of subtask 0
 *
 * Entries stream: memory does not grow with the state. A closed pipe or an interrupt ends the loop,
 * so that the library removes its scratch directory.
 */

#include "tools/cli/cli.h"
#include <string.h>

static void print_entry(const cairn_snapshot *snapshot, const cairn_cat_entry *e)
{
    const cairn_operator_info *op = cairn_snapshot_operator(snapshot, e->op);
    const cairn_state_info *state = cairn_snapshot_state(snapshot, e->op, e->state);
    CLI_AUTO_FREE char *uid = cli_text_safe(op->uid);
    CLI_AUTO_FREE char *name = cli_text_safe(state->name);
    CLI_AUTO_FREE char *value =
        cli_typed_text(state->value_type, e->entry.value, e->entry.value_size);
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
    } else if (state->kind != CAIRN_KIND_VALUE && state->kind != CAIRN_KIND_REDUCING &&
               state->kind != CAIRN_KIND_AGGREGATING) {
        printf(" [%" PRIu64 "]", e->element);
    }
    printf(" = %s", value);
    if (state->ttl_ms > 0)
        printf("  (written %s)", cli_time(e->written_ms).text);
    putchar('\n');
}

static struct json_object *entry_json(const cairn_snapshot *snapshot, const cairn_cat_entry *e)
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
    if (state->kind == CAIRN_KIND_LIST || state->kind == CAIRN_KIND_OPERATOR_LIST ||
        state->kind == CAIRN_KIND_OPERATOR_UNION)
        cli_json_put_u64(o, "element", e->element);
    if (state->ttl_ms > 0)
        cli_json_put_i64(o, "written_ms", e->written_ms);
    cli_json_put(o, "value",
                 cli_typed_json(state->value_type, e->entry.value, e->entry.value_size));
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

static int print_all(const struct cli_args *args, const cairn_snapshot *snapshot, cairn_cat *cat,
                     cairn_error **reterr)
{
    cairn_cat_entry entry;
    int r = 0;
    for (uint64_t n = 0; args->limit == 0 || n < args->limit; n++) {
        r = cairn_cat_next(cat, &entry, reterr);
        if (r <= 0)
            break;
        if (args->json) {
            struct json_object *o = entry_json(snapshot, &entry);
            printf("%s%s", n ? ",\n    " : "\n    ",
                   json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
            json_object_put(o);
        } else {
            print_entry(snapshot, &entry);
        }
        if (cli_output_gone())
            return 0;
        if (cli_interrupted())
            return cli_raise(reterr, CAIRN_ECANCELED, "interrupted");
    }
    return r < 0 ? r : 0;
}

int cli_cat(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_AUTO_FREE uint8_t *key = NULL;
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    cairn_cat *cat = NULL;
    cairn_type key_type = CAIRN_BYTES;
    uint64_t id = 0;
    int r = args->words[1] ? cli_args_id(args->words[1], &id, reterr) : 0;
    if (r == 0)
        r = cli_target_open(args, &target, reterr);
    if (r == 0)
        r = cairn_snapshot_open(target.store, target.job, id, &snapshot, reterr);
    if (r == 0 && args->key)
        r = find_key_type(snapshot, args->operator_uid, &key_type, reterr);
    if (r == CAIRN_ENOTFOUND && snapshot)
        cli_hint("`cairn inspect PATH` shows operators and states");
    if (r == 0 && args->key)
        r = cli_typed_parse(key_type, args->key, &key, &options.key_size, reterr);
    if (r < 0)
        return r;
    options.operator_uid = args->operator_uid;
    options.state = args->state;
    options.key = key;
    cli_interrupt_catch();
    r = cairn_cat_open(snapshot, &options, &cat, reterr);
    if (r == CAIRN_ENOTFOUND)
        cli_hint("`cairn inspect PATH` shows operators and states");
    if (r == CAIRN_EACCES)
        cli_hint("it reads the store and writes to $TMPDIR: see who may do both");
    if (r < 0)
        return r;
    if (args->json) {
        CLI_AUTO_FREE char *job = cli_printf("%s", target.job);
        struct json_object *name = cli_json_text(job, strlen(job));
        printf("{\n  \"job\": %s,\n  \"id\": %" PRIu64 ",\n  \"entries\": [",
               json_object_to_json_string_ext(name, JSON_C_TO_STRING_NOSLASHESCAPE),
               cairn_snapshot_record(snapshot)->id);
        json_object_put(name);
    }
    r = print_all(args, snapshot, cat, reterr);
    if (args->json && r == 0)
        printf("\n  ]\n}\n");
    cairn_cat_close(cat);
    return r;
}
