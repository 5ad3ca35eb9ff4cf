/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle's half of life.h: what each change, each opening and each barrier means for plain
 * arrays, by the words of cairn.h alone.
 */
#include "tests/support/life_oracle.h"

#include <stdlib.h>
#include <string.h>

const char *const life_field_names[LIFE_FIELDS] = {"a", "b", "c"};
const struct life_schema life_schemas[LIFE_VERSIONS] = {
    {2, {LIFE_A, LIFE_B}, {0}},
    {3, {LIFE_A, LIFE_B, LIFE_C}, {[LIFE_C] = 7}},
    {2, {LIFE_C, LIFE_A}, {[LIFE_C] = 7}},
    {3, {LIFE_B, LIFE_C, LIFE_A}, {[LIFE_B] = 5, [LIFE_C] = 9}},
};

bool life_schema_has(unsigned version, enum life_field field)
{
    for (unsigned i = 0; i < life_schemas[version].count; i++)
        if (life_schemas[version].fields[i] == field)
            return true;
    return false;
}

int64_t life_record_get(const struct life_record *record, unsigned version, enum life_field field)
{
    return life_schema_has(record->version, field) ? record->values[field]
                                                   : life_schemas[version].defaults[field];
}

uint64_t life_random(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

unsigned life_owner(unsigned key, uint32_t parallelism)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    int owner = cairn_subtask_of_key(bytes, sizeof bytes, parallelism, LIFE_MAX_PARALLELISM);
    if (owner < 0)
        abort();
    return (unsigned)owner;
}

size_t life_blob(uint64_t random, uint8_t out[LIFE_BLOB_MAX])
{
    size_t size = random % LIFE_BLOB_MAX;
    for (size_t i = 0; i < size; i++) {
        if (i % 8 == 0)
            random = life_random(random);
        out[i] = (uint8_t)(random >> (i % 8 * 8));
    }
    return size;
}

/* ------------------------------------------------------------------------------------------ *
 * Steps
 * ------------------------------------------------------------------------------------------ */

struct life_step life_step_of(uint64_t random, bool with_rules)
{
    static const enum life_change changes[32] = {
        LIFE_BLOB_PUT,   LIFE_BLOB_PUT,   LIFE_BLOB_PUT,   LIFE_BLOB_PUT,   LIFE_BLOB_PUT,
        LIFE_BLOB_CLEAR, LIFE_LIST_ADD,   LIFE_LIST_ADD,   LIFE_LIST_ADD,   LIFE_MAP_PUT,
        LIFE_MAP_PUT,    LIFE_MAP_PUT,    LIFE_MAP_REMOVE, LIFE_MAP_CLEAR,  LIFE_SUM_ADD,
        LIFE_SUM_ADD,    LIFE_SUM_CLEAR,  LIFE_RECORD_PUT, LIFE_RECORD_PUT, LIFE_RECORD_PUT,
        LIFE_ROW_ADD,    LIFE_ROW_ADD,    LIFE_ROW_ADD,    LIFE_AGING_PUT,  LIFE_AGING_PUT,
        LIFE_AGING_PUT,  LIFE_AGED_ADD,   LIFE_AGED_ADD,   LIFE_AGED_ADD,   LIFE_SPLIT_ADD,
        LIFE_RULE_PUT,   LIFE_RULE_REMOVE};
    struct life_step step = {.what = changes[random % 32], .random = random};
    step.op = (unsigned)(random >> 8) % LIFE_OPS;
    step.key = (unsigned)(random >> 16) % LIFE_KEYS;
    step.entry = (unsigned)(random >> 24) % LIFE_MAP_KEYS;
    step.number = (int64_t)(random >> 34);
    if (!with_rules && (step.what == LIFE_RULE_PUT || step.what == LIFE_RULE_REMOVE))
        step.what = LIFE_SPLIT_ADD;
    return step;
}

struct life_record life_record_of(const struct life_step *step, unsigned version)
{
    struct life_record record = {.version = (uint8_t)version};
    for (unsigned f = 0; f < LIFE_FIELDS; f++)
        record.values[f] = step->number + f;
    return record;
}

bool life_is_live(const struct life_oracle *oracle, const struct life_oracle_op *op,
                  int64_t written_ms)
{
    return !op->expires || oracle->now_ms - written_ms < LIFE_TTL_MS;
}

uint32_t life_drop_aged(const struct life_oracle *oracle, const struct life_oracle_op *op,
                        struct life_slot *slot)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < slot->aged_count; i++)
        if (life_is_live(oracle, op, slot->aged_ms[i])) {
            slot->aged[n] = slot->aged[i];
            slot->aged_ms[n++] = slot->aged_ms[i];
        }
    return slot->aged_count = n;
}

static void add_number(int64_t *list, uint32_t *count, uint32_t max, int64_t number)
{
    if (*count == max)
        *count = 0;
    else
        list[(*count)++] = number;
}

static void apply_to_operator(struct life_oracle_op *op, const struct life_step *step)
{
    unsigned owner = life_owner(step->key, op->parallelism);
    unsigned rule = step->entry % LIFE_RULES;
    switch (step->what) {
    case LIFE_SPLIT_ADD:
        if (op->split_count[owner] >= LIFE_SPLIT_USUAL)
            op->split_count[owner] = 0;
        else
            op->split[owner][op->split_count[owner]++] = step->number;
        break;
    case LIFE_RULE_PUT:
        op->has_rule[rule] = true;
        op->rule[rule] = step->number;
        break;
    default:
        op->has_rule[rule] = false;
        break;
    }
}

static void apply_to_plain(struct life_slot *slot, const struct life_step *step)
{
    switch (step->what) {
    case LIFE_BLOB_PUT:
        slot->blob = step->random;
        slot->has_blob = true;
        break;
    case LIFE_BLOB_CLEAR:
        slot->has_blob = false;
        break;
    case LIFE_LIST_ADD:
        add_number(slot->list, &slot->list_count, LIFE_LIST_MAX, step->number);
        break;
    case LIFE_MAP_PUT:
    case LIFE_MAP_REMOVE:
        slot->has_map[step->entry] = step->what == LIFE_MAP_PUT;
        slot->map[step->entry] = step->number;
        break;
    case LIFE_MAP_CLEAR:
        memset(slot->has_map, 0, sizeof slot->has_map);
        break;
    case LIFE_SUM_ADD:
        slot->sum = (slot->has_sum ? slot->sum : 0) + step->number;
        slot->has_sum = true;
        break;
    default:
        slot->has_sum = false;
        break;
    }
}

void life_oracle_apply(struct life_oracle *oracle, const struct life_step *step)
{
    struct life_oracle_op *op = &oracle->ops[step->op];
    struct life_slot *slot = &op->slots[step->key];
    switch (step->what) {
    case LIFE_RECORD_PUT:
        slot->has_record = true;
        slot->record = life_record_of(step, op->version);
        break;
    case LIFE_ROW_ADD:
        if (slot->row_count == LIFE_ROWS_MAX)
            slot->row_count = 0;
        else
            slot->rows[slot->row_count++] = life_record_of(step, op->version);
        break;
    case LIFE_AGING_PUT:
        slot->has_aging = true;
        slot->aging = step->number;
        slot->aging_ms = oracle->now_ms;
        break;
    case LIFE_AGED_ADD:
        if (life_drop_aged(oracle, op, slot) < LIFE_LIST_MAX)
            slot->aged_ms[slot->aged_count] = oracle->now_ms;
        add_number(slot->aged, &slot->aged_count, LIFE_LIST_MAX, step->number);
        break;
    case LIFE_SPLIT_ADD:
    case LIFE_RULE_PUT:
    case LIFE_RULE_REMOVE:
        apply_to_operator(op, step);
        break;
    default:
        apply_to_plain(slot, step);
        break;
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Openings, migrations, barriers
 * ------------------------------------------------------------------------------------------ */

/* What had no expiry counts as written when it gets one; what has expired never comes back. */
void life_oracle_reopen(struct life_oracle *oracle, unsigned op, unsigned version, bool expires,
                        unsigned skips)
{
    struct life_oracle_op *o = &oracle->ops[op];
    o->skips = (uint8_t)skips;
    if (skips & LIFE_SKIP_STRUCTS)
        version = o->version;
    if (skips & LIFE_SKIP_EXPIRY)
        expires = o->expires;
    for (unsigned key = 0; key < LIFE_KEYS && o->expires != expires; key++) {
        struct life_slot *slot = &o->slots[key];
        slot->has_aging = slot->has_aging && life_is_live(oracle, o, slot->aging_ms);
        slot->aging_ms = oracle->now_ms;
        (void)life_drop_aged(oracle, o, slot);
        for (uint32_t i = 0; i < slot->aged_count; i++)
            slot->aged_ms[i] = oracle->now_ms;
    }
    o->version = (uint8_t)version;
    o->expires = expires;
}

static void migrate(struct life_record *record, unsigned version)
{
    for (unsigned f = 0; f < LIFE_FIELDS; f++)
        record->values[f] = life_record_get(record, version, (enum life_field)f);
    record->version = (uint8_t)version;
}

void life_oracle_migrate(struct life_oracle *oracle, unsigned op, unsigned subtask, bool records,
                         bool rows)
{
    struct life_oracle_op *o = &oracle->ops[op];
    for (unsigned key = 0; key < LIFE_KEYS; key++) {
        if (life_owner(key, o->parallelism) != subtask)
            continue;
        if (records)
            migrate(&o->slots[key].record, o->version);
        for (uint32_t i = 0; rows && i < o->slots[key].row_count; i++)
            migrate(&o->slots[key].rows[i], o->version);
    }
}

void life_oracle_note(struct life_oracle *to, const struct life_oracle *from, unsigned op,
                      unsigned subtask, uint64_t id)
{
    struct life_oracle_op *o = &to->ops[op];
    const struct life_oracle_op *now = &from->ops[op];
    o->parallelism = now->parallelism;
    o->version = now->version;
    o->expires = now->expires;
    o->barrier_id = id;
    for (unsigned key = 0; key < LIFE_KEYS; key++)
        if (life_owner(key, now->parallelism) == subtask)
            o->slots[key] = now->slots[key];
    o->split_count[subtask] = now->split_count[subtask];
    memcpy(o->split[subtask], now->split[subtask], sizeof o->split[subtask]);
    memcpy(o->has_rule, now->has_rule, sizeof o->has_rule);
    memcpy(o->rule, now->rule, sizeof o->rule);
}
