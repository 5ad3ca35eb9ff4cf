/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn check: what would a service get from a snapshot? Its operators are described by a file
 * (what `inspect --json` prints will do, or {"operators": [...]} by hand), by what a job or
 * savepoint has stored: its directory, or by a service that runs.
 */

#include "tools/cli/service.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct plan {
    struct cli_operator *operators;
    size_t count, capacity;
    struct json_object *document; /* NULL: none was read */
    /* As the library wants it; pointers into the above. */
    cairn_planned_operator *planned;
    cairn_planned_state **states;
};

static void plan_done(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        cli_operator_done(&plan->operators[i]);
        if (plan->states)
            free(plan->states[i]);
    }
    free(plan->operators);
    free(plan->planned);
    free(plan->states);
    json_object_put(plan->document);
}

static struct cli_operator *add_operator(struct plan *plan)
{
    plan->operators =
        cli_grow(plan->operators, plan->count, &plan->capacity, sizeof(*plan->operators));
    plan->operators[plan->count] = (struct cli_operator){0};
    return &plan->operators[plan->count++];
}

static int read_states(struct json_object *list, struct cli_operator *op, cairn_error **reterr)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        op->states =
            cli_grow(op->states, op->state_count, &op->state_capacity, sizeof(*op->states));
        int r = cli_json_read_state(json_object_array_get_idx(list, i),
                                    &op->states[op->state_count], reterr);
        if (r < 0)
            return r;
        op->state_count++;
    }
    return 0;
}

static int read_operators(struct json_object *document, struct plan *plan, cairn_error **reterr)
{
    struct json_object *list, *states;
    if (!json_object_is_type(document, json_type_object) ||
        !json_object_object_get_ex(document, "operators", &list) ||
        !json_object_is_type(list, json_type_array))
        return cli_raise(reterr, CAIRN_EINVAL, "it is not of the form {\"operators\": [...]}");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct cli_operator *op = add_operator(plan);
        int r = json_object_is_type(o, json_type_object)
                    ? cli_json_read_operator(o, op, reterr)
                    : cli_raise(reterr, CAIRN_EINVAL, "operator %zu is not an object", i);
        if (r < 0)
            return r;
        /* Without a list nothing is known of its states. */
        op->states_unknown = !json_object_object_get_ex(o, "states", &states) ||
                             !json_object_is_type(states, json_type_array);
        r = op->states_unknown ? 0 : read_states(states, op, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int plan_from_file(const char *path, struct plan *plan, cairn_error **reterr)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    plan->document = json_object_from_file(path);
    int r = plan->document ? read_operators(plan->document, plan, &error)
                           : cli_raise(&error, CAIRN_EINVAL, "it is not JSON");
    if (r < 0) {
        cli_hint("`cairn inspect --json` prints operators in that form");
        return cli_raise(reterr, r, "operators file '%s': %s", path, cairn_error_message(error));
    }
    return 0;
}

static int copy_operator(const cairn_snapshot *snapshot, size_t index, struct cli_operator *op,
                         cairn_error **reterr)
{
    const cairn_operator_info *info = cairn_snapshot_operator(snapshot, index);
    const cairn_state_info *state;
    op->uid = cli_printf("%s", info->uid);
    op->parallelism = info->parallelism;
    op->max_parallelism = info->max_parallelism;
    op->key_type = info->key_type;
    op->namespace_type = info->namespace_type;
    for (size_t i = 0; (state = cairn_snapshot_state(snapshot, index, i)); i++) {
        op->states =
            cli_grow(op->states, op->state_count, &op->state_capacity, sizeof(*op->states));
        struct cli_state *copy = &op->states[op->state_count++];
        *copy = (struct cli_state){.name = cli_printf("%s", state->name), .info = *state};
        copy->info.name = copy->name;
        copy->info.schemas = NULL;
        copy->info.schema_count = 0;
        if (state->schema_count == 0 || state->value_type == CAIRN_CUSTOM)
            continue; /* only its program can compare it */
        int r = cairn_serializer_of_schema(
            state->value_type, &state->schemas[state->schema_count - 1], &copy->serializer, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int plan_from_snapshot(const char *path, struct plan *plan, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    struct cli_args args = {.words = {path}, .word_count = 1};
    int r = cli_snapshot_open(&args, &target, &snapshot, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && cairn_snapshot_operator(snapshot, i); i++)
        r = copy_operator(snapshot, i, add_operator(plan), reterr);
    return r;
}

static int plan_from_service(const struct cli_args *args, struct plan *plan, cairn_error **reterr)
{
    CLI_AUTO_SERVICE struct cli_service service = {0};
    struct cli_args asked = {.run_dir = args->run_dir, .token = args->token};
    int r = cli_service_find(&asked, args->operators, &service, reterr);
    if (r == 0)
        r = cli_request(args, &service, "GET", "/v1/operators", NULL, &plan->document, reterr);
    return r < 0 ? r : read_operators(plan->document, plan, reterr);
}

/* A path that is there, or an address, or else the name of a running job. */
static int read_plan(const struct cli_args *args, struct plan *plan, cairn_error **reterr)
{
    struct stat file;
    const char *what = args->operators;
    if (stat(what, &file) == 0)
        return S_ISREG(file.st_mode) ? plan_from_file(what, plan, reterr)
                                     : plan_from_snapshot(what, plan, reterr);
    if (cli_service_is_address(what))
        return plan_from_service(args, plan, reterr);
    if (strchr(what, '/'))
        return plan_from_snapshot(what, plan, reterr);
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = plan_from_service(args, plan, &error);
    if (r != CAIRN_ENOTFOUND)
        return r < 0 ? cli_raise(reterr, r, "%s", cairn_error_message(error)) : r;
    cli_hint("`cairn list` shows the jobs that run here");
    return cli_raise(reterr, CAIRN_ENOTFOUND,
                     "'%s' is no file, no directory of a snapshot and no job that runs here", what);
}

static void make_planned(struct plan *plan)
{
    plan->planned = cli_alloc((plan->count + 1) * sizeof(*plan->planned));
    plan->states = cli_alloc((plan->count + 1) * sizeof(*plan->states));
    for (size_t i = 0; i < plan->count; i++) {
        const struct cli_operator *op = &plan->operators[i];
        plan->states[i] = cli_alloc((op->state_count + 1) * sizeof(**plan->states));
        for (size_t k = 0; k < op->state_count; k++)
            plan->states[i][k] = (cairn_planned_state){
                .name = op->states[k].name,
                .kind = op->states[k].info.kind,
                .value_type = op->states[k].info.value_type,
                .map_key_type = op->states[k].info.map_key_type,
                .ttl_ms = op->states[k].info.ttl_ms,
                .serializer = op->states[k].serializer,
            };
        plan->planned[i] = (cairn_planned_operator){
            .uid = op->uid,
            .parallelism = op->parallelism,
            .max_parallelism = op->max_parallelism,
            .key_type = op->key_type,
            .namespace_type = op->namespace_type,
            .states = plan->states[i],
            .state_count = op->state_count,
            .states_unknown = op->states_unknown,
        };
    }
}

/* ---- the answer ---- */

struct context {
    struct json_object *items; /* NULL: print rows */
    struct cli_table *table;
};

static const struct {
    cairn_verdict verdict;
    const char *name;
    enum cli_style style;
} verdicts[] = {
    {CAIRN_VERDICT_RESTORED, "restored", CLI_GOOD}, {CAIRN_VERDICT_NEW, "new", CLI_PLAIN},
    {CAIRN_VERDICT_DROPPED, "dropped", CLI_BAD},    {CAIRN_VERDICT_KEPT, "kept", CLI_DIM},
    {CAIRN_VERDICT_MISMATCH, "mismatch", CLI_BAD},
};

static void on_item(void *opaque, const cairn_check_item *item)
{
    struct context *context = opaque;
    const char *word = "unknown";
    enum cli_style style = CLI_PLAIN;
    for (size_t i = 0; i < CLI_COUNT(verdicts); i++) {
        if (verdicts[i].verdict == item->verdict) {
            word = verdicts[i].name;
            style = verdicts[i].style;
        }
    }
    if (context->items) {
        struct json_object *o = cli_json_object();
        cli_json_put_text(o, "verdict", word);
        cli_json_put_text(o, "operator_uid", item->operator_uid);
        cli_json_put_text(o, "state", item->state);
        cli_json_put_text(o, "detail", item->detail);
        if (!item->state)
            cli_json_put_u64(o, "stored_bytes", item->stored_bytes);
        cli_json_push(context->items, o);
        return;
    }
    CLI_AUTO_FREE char *uid = cli_text_safe(item->operator_uid);
    CLI_AUTO_FREE char *state = cli_text_safe(item->state ? item->state : "");
    CLI_AUTO_FREE char *detail = cli_text_safe(item->detail);
    cli_table_cell(context->table, style, "%s", word);
    cli_table_cell(context->table, CLI_PLAIN, "%s%s%s", uid, item->state ? "/" : "", state);
    cli_table_cell(context->table, CLI_PLAIN, "%s",
                   item->state ? "" : cli_size(item->stored_bytes).text);
    cli_table_cell(context->table, CLI_PLAIN, "%s", detail);
}

static void print_answer(const struct cli_target *target, const cairn_snapshot *snapshot,
                         struct context *context, int outcome)
{
    uint64_t id = cairn_snapshot_record(snapshot)->id;
    if (context->items) {
        struct json_object *document = cli_json_object();
        cli_json_put_text(document, "job", target->job);
        cli_json_put_u64(document, "id", id);
        cli_json_put_bool(document, "fits", outcome == 0);
        cli_json_put(document, "items", context->items);
        cli_json_print(document);
        return;
    }
    cli_table_print(context->table, 0);
    if (outcome == 0)
        printf("the service can start from snapshot %" PRIu64 "\n", id);
}

int cli_check(const struct cli_args *args, cairn_error **reterr)
{
    static const struct cli_column columns[] = {
        {"", false}, {"STATE", false}, {"SIZE", true}, {"DETAIL", false}};
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_CLEANUP(plan_done) struct plan plan = {0};
    cairn_check_options options = CAIRN_CHECK_OPTIONS_INIT;
    if (!args->operators)
        return cli_raise(reterr, CAIRN_EINVAL, "'check' needs --operators FILE");
    int r = cli_snapshot_open(args, &target, &snapshot, reterr);
    if (r == 0)
        r = read_plan(args, &plan, reterr);
    if (r < 0)
        return r;
    make_planned(&plan);
    struct context context = {.items = args->json ? cli_json_array() : NULL};
    context.table = args->json ? NULL : cli_table_new(columns, CLI_COUNT(columns));
    options.operators = plan.planned;
    options.operator_count = plan.count;
    options.state_backend = args->backend;
    options.item = on_item;
    options.context = &context;
    r = cairn_check(snapshot, &options, reterr);
    print_answer(&target, snapshot, &context, r);
    if (r == CAIRN_ENONRESTORED)
        cli_hint(
            "keep these operators, or start with allow_non_restored_state to drop their state");
    if (r == CAIRN_EUNSUPPORTED)
        cli_hint(
            "`cairn convert --format canonical --to DIR PATH` makes a savepoint that every state "
            "backend reads");
    return r;
}
