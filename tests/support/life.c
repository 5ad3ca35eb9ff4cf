/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state's half of life.h: operators, their states, and the same steps that the oracle takes.
 * Keys with an odd number live in a namespace, so that both ways of addressing are used.
 */
#include "tests/support/life_internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const uids[LIFE_OPS] = {"first", "second/uid with spaces"};

/* ------------------------------------------------------------------------------------------ *
 * Schemas
 * ------------------------------------------------------------------------------------------ */

size_t life_text(int64_t number, char out[24])
{
    return (size_t)snprintf(out, 24, "%" PRId64, number);
}

static int make_serializer(struct life *life, unsigned version, cairn_error **reterr)
{
    const struct life_schema *schema = &life_schemas[version];
    cairn_field fields[LIFE_FIELDS];
    char text[24];
    uint8_t numbers[LIFE_FIELDS][8];
    for (unsigned i = 0; i < schema->count; i++) {
        enum life_field f = schema->fields[i];
        cairn_encode_int64(schema->defaults[f], numbers[f]);
        fields[i] = (cairn_field){life_field_names[f], CAIRN_INT64, numbers[f], 8};
        if (f == LIFE_B)
            fields[i] = (cairn_field){life_field_names[f], CAIRN_STRING, text,
                                      life_text(schema->defaults[f], text)};
    }
    CRN_TRY(cairn_struct_serializer("record", fields, schema->count, &life->serializers[version],
                                    reterr));
    return cairn_struct_new(life->serializers[version], &life->structs[version], reterr);
}

int life_init(struct life *life, cairn_error **reterr)
{
    memset(life, 0, sizeof *life);
    for (unsigned version = 0; version < LIFE_VERSIONS; version++)
        CRN_TRY(make_serializer(life, version, reterr));
    return 0;
}

void life_done(struct life *life)
{
    for (unsigned version = 0; version < LIFE_VERSIONS; version++) {
        cairn_struct_free(life->structs[version]);
        cairn_serializer_release(life->serializers[version]);
    }
}

static int encode_record(struct life *life, const struct life_record *record, const void **data,
                         size_t *size, cairn_error **reterr)
{
    const struct life_schema *schema = &life_schemas[record->version];
    cairn_struct *s = life->structs[record->version];
    char text[24];
    for (unsigned i = 0; i < schema->count; i++) {
        int64_t number = record->values[schema->fields[i]];
        if (schema->fields[i] == LIFE_B)
            CRN_TRY(cairn_struct_set_bytes(s, (int)i, text, life_text(number, text)));
        else
            CRN_TRY(cairn_struct_set_int64(s, (int)i, number));
    }
    return cairn_struct_encode(s, data, size, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Opening
 * ------------------------------------------------------------------------------------------ */

static int in_barrier(void *context, cairn_task *task, uint64_t id)
{
    struct life_task *t = context;
    (void)task;
    CRN_TRY(cairn_operator_list_clear(t->everybody, NULL));
    CRN_TRY(cairn_operator_list_add_int64(t->everybody, (int64_t)(id * LIFE_TASKS_MAX + t->subtask),
                                          NULL));
    if (t->life->at_barrier != NULL)
        t->life->at_barrier(t->life->context, t, id);
    return 0;
}

static int open_plain_states(struct life_task *t, cairn_error **reterr)
{
    CRN_TRY(cairn_value_state(t->task, "blob", CAIRN_BYTES, NULL, &t->blob, reterr));
    CRN_TRY(cairn_list_state(t->task, "list", CAIRN_INT64, NULL, &t->list, reterr));
    CRN_TRY(cairn_map_state(t->task, "map", CAIRN_INT64, CAIRN_INT64, NULL, &t->map, reterr));
    CRN_TRY(cairn_reducing_state(t->task, "sum", CAIRN_INT64, cairn_reduce_sum_int64, NULL, NULL,
                                 &t->sum, reterr));
    CRN_TRY(
        cairn_operator_list_state(t->task, "split", CAIRN_SPLIT, CAIRN_INT64, &t->split, reterr));
    CRN_TRY(cairn_operator_list_state(t->task, "everybody", CAIRN_UNION, CAIRN_INT64, &t->everybody,
                                      reterr));
    return cairn_broadcast_state(t->task, "rules", CAIRN_INT64, CAIRN_INT64, &t->rules, reterr);
}

static int open_changing_states(struct life_task *t, const struct life_plan *plan,
                                cairn_error **reterr)
{
    cairn_state_options structs = CAIRN_STATE_OPTIONS_INIT, expiry = CAIRN_STATE_OPTIONS_INIT;
    structs.serializer = t->life->serializers[plan->version];
    expiry.ttl_ms = plan->expires ? LIFE_TTL_MS : 0;
    if (!(plan->skips & LIFE_SKIP_STRUCTS)) {
        CRN_TRY(cairn_value_state(t->task, "record", CAIRN_STRUCT, &structs, &t->record, reterr));
        CRN_TRY(cairn_list_state(t->task, "rows", CAIRN_STRUCT, &structs, &t->rows, reterr));
    }
    if (plan->skips & LIFE_SKIP_EXPIRY)
        return 0;
    CRN_TRY(cairn_value_state(t->task, "aging", CAIRN_INT64, &expiry, &t->aging, reterr));
    return cairn_list_state(t->task, "aged", CAIRN_INT64, &expiry, &t->aged, reterr);
}

static int open_task(struct life_task *t, cairn_job *job, const struct life_plan *plan,
                     cairn_error **reterr)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = plan->parallelism;
    options.subtask = t->subtask;
    options.max_parallelism = LIFE_MAX_PARALLELISM;
    options.key_type = options.namespace_type = CAIRN_INT64;
    options.memtable_bytes = 1 << 18;
    options.before_barrier = in_barrier;
    options.context = t;
    CRN_TRY(cairn_task_open(job, uids[t->op], &options, &t->task, reterr));
    CRN_TRY(open_plain_states(t, reterr));
    return open_changing_states(t, plan, reterr);
}

int life_open(struct life *life, cairn_job *job, const struct life_plan plans[LIFE_OPS],
              cairn_error **reterr)
{
    for (unsigned op = 0; op < LIFE_OPS; op++)
        for (unsigned i = 0; i < plans[op].parallelism; i++) {
            struct life_task *t = &life->tasks[op][i];
            *t = (struct life_task){.life = life, .op = op, .subtask = i};
            CRN_TRY(open_task(t, job, &plans[op], reterr));
        }
    for (unsigned op = 0; op < LIFE_OPS; op++) {
        life_oracle_reopen(&life->oracle, op, plans[op].version, plans[op].expires,
                           plans[op].skips);
        CRN_TRY(life_deal_out(life, op, plans[op].parallelism, reterr));
    }
    return 0;
}

void life_close(struct life *life)
{
    for (unsigned op = 0; op < LIFE_OPS; op++)
        for (unsigned i = 0; i < LIFE_TASKS_MAX; i++) {
            cairn_task_close(life->tasks[op][i].task);
            life->tasks[op][i] = (struct life_task){0};
        }
}

/* ------------------------------------------------------------------------------------------ *
 * Steps
 * ------------------------------------------------------------------------------------------ */

int life_set_key(const struct life_task *t, unsigned key)
{
    CRN_TRY(cairn_task_set_key_int64(t->task, key));
    return key % 2 == 1 ? cairn_task_set_namespace_int64(t->task, key) : 0;
}

static int add_to_list(cairn_list *list, uint32_t count, uint32_t max, const void *data,
                       size_t size, cairn_error **reterr)
{
    return count == max ? cairn_list_clear(list, reterr) : cairn_list_add(list, data, size, reterr);
}

static int change_operator_state(struct life *life, const struct life_step *step,
                                 cairn_error **reterr)
{
    const struct life_oracle_op *op = &life->oracle.ops[step->op];
    unsigned owner = life_owner(step->key, op->parallelism);
    uint8_t key[8], number[8];
    cairn_encode_int64(step->entry % LIFE_RULES, key);
    cairn_encode_int64(step->number, number);
    if (step->what == LIFE_SPLIT_ADD) {
        cairn_operator_list *list = life->tasks[step->op][owner].split;
        return op->split_count[owner] >= LIFE_SPLIT_USUAL
                   ? cairn_operator_list_clear(list, reterr)
                   : cairn_operator_list_add_int64(list, step->number, reterr);
    }
    for (unsigned i = 0; i < op->parallelism; i++) {
        cairn_broadcast *rules = life->tasks[step->op][i].rules;
        if (step->what == LIFE_RULE_PUT)
            CRN_TRY(cairn_broadcast_put(rules, key, 8, number, 8, reterr));
        else
            CRN_TRY(cairn_broadcast_remove(rules, key, 8, reterr));
    }
    return 0;
}

static int change_plain(struct life_task *t, const struct life_slot *slot,
                        const struct life_step *step, cairn_error **reterr)
{
    uint8_t blob[LIFE_BLOB_MAX], number[8], entry[8];
    cairn_encode_int64(step->number, number);
    cairn_encode_int64(step->entry, entry);
    switch (step->what) {
    case LIFE_BLOB_PUT:
        return cairn_value_put(t->blob, blob, life_blob(step->random, blob), reterr);
    case LIFE_BLOB_CLEAR:
        return cairn_value_clear(t->blob, reterr);
    case LIFE_LIST_ADD:
        return add_to_list(t->list, slot->list_count, LIFE_LIST_MAX, number, 8, reterr);
    case LIFE_MAP_PUT:
        return cairn_map_put(t->map, entry, 8, number, 8, reterr);
    case LIFE_MAP_REMOVE:
        return cairn_map_remove(t->map, entry, 8, reterr);
    case LIFE_MAP_CLEAR:
        return cairn_map_clear(t->map, reterr);
    case LIFE_SUM_ADD:
        return cairn_reducing_add_int64(t->sum, step->number, reterr);
    default:
        return cairn_reducing_clear(t->sum, reterr);
    }
}

static int change_state(struct life *life, const struct life_step *step, cairn_error **reterr)
{
    struct life_oracle_op *op = &life->oracle.ops[step->op];
    struct life_slot *slot = &op->slots[step->key];
    struct life_task *t = &life->tasks[step->op][life_owner(step->key, op->parallelism)];
    struct life_record record = life_record_of(step, op->version);
    const void *data;
    size_t size;
    uint8_t number[8];
    cairn_encode_int64(step->number, number);
    CRN_TRY(life_set_key(t, step->key));
    switch (step->what) {
    case LIFE_RECORD_PUT:
        CRN_TRY(encode_record(life, &record, &data, &size, reterr));
        return cairn_value_put(t->record, data, size, reterr);
    case LIFE_ROW_ADD:
        CRN_TRY(encode_record(life, &record, &data, &size, reterr));
        return add_to_list(t->rows, slot->row_count, LIFE_ROWS_MAX, data, size, reterr);
    case LIFE_AGING_PUT:
        return cairn_value_put(t->aging, number, 8, reterr);
    case LIFE_AGED_ADD:
        return add_to_list(t->aged, life_drop_aged(&life->oracle, op, slot), LIFE_LIST_MAX, number,
                           8, reterr);
    case LIFE_SPLIT_ADD:
    case LIFE_RULE_PUT:
    case LIFE_RULE_REMOVE:
        return change_operator_state(life, step, reterr);
    default:
        return change_plain(t, slot, step, reterr);
    }
}

int life_step(struct life *life, uint64_t random, bool with_rules, cairn_error **reterr)
{
    struct life_step step = life_step_of(random, with_rules);
    unsigned skips = life->oracle.ops[step.op].skips;
    bool is_struct = step.what == LIFE_RECORD_PUT || step.what == LIFE_ROW_ADD;
    bool is_aging = step.what == LIFE_AGING_PUT || step.what == LIFE_AGED_ADD;
    if ((is_struct && (skips & LIFE_SKIP_STRUCTS)) || (is_aging && (skips & LIFE_SKIP_EXPIRY)))
        return 0;
    CRN_TRY(change_state(life, &step, reterr));
    life_oracle_apply(&life->oracle, &step);
    return 0;
}

int life_migrate(struct life *life, unsigned op, unsigned subtask, const char *state,
                 cairn_error **reterr)
{
    if (life->oracle.ops[op].skips & LIFE_SKIP_STRUCTS)
        return 0;
    CRN_TRY(cairn_task_migrate(life->tasks[op][subtask].task, state, reterr));
    life_oracle_migrate(&life->oracle, op, subtask, state == NULL || strcmp(state, "record") == 0,
                        state == NULL || strcmp(state, "rows") == 0);
    return 0;
}
