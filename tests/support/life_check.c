/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the state of life.h with its oracle: key by key, and that there is nothing else. */
#include "tests/support/life_internal.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Operator state as a start deals it out
 * ------------------------------------------------------------------------------------------ */

static int compare_numbers(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The numbers of a list, at most max. */
static size_t read_list(const cairn_operator_list *list, int64_t *out, size_t max)
{
    size_t n = cairn_operator_list_size(list);
    for (size_t i = 0; i < n && i < max; i++) {
        const void *data;
        size_t size;
        if (cairn_operator_list_at(list, i, &data, &size) < 0 || size != 8)
            return SIZE_MAX;
        out[i] = cairn_decode_int64(data);
    }
    return n;
}

/* The same parallelism: everybody has its own. Else: all are there, once, spread evenly. */
static const char *check_split(struct life *life, unsigned op, uint32_t parallelism)
{
    struct life_oracle_op *o = &life->oracle.ops[op];
    int64_t now[LIFE_SPLIT_MAX], old[LIFE_SPLIT_MAX], part[LIFE_SPLIT_MAX];
    size_t now_count = 0, old_count = 0, least = SIZE_MAX, most = 0;
    for (unsigned i = 0; i < o->parallelism; i++)
        for (unsigned j = 0; j < o->split_count[i]; j++)
            old[old_count++] = o->split[i][j];
    for (unsigned i = 0; i < parallelism; i++) {
        size_t n = read_list(life->tasks[op][i].split, part, LIFE_SPLIT_MAX);
        if (n > LIFE_SPLIT_MAX - now_count)
            return "a split list has too many elements";
        if (o->parallelism == parallelism &&
            (n != o->split_count[i] || (n > 0 && memcmp(part, o->split[i], n * 8) != 0)))
            return "a subtask did not get its own elements back";
        memcpy(now + now_count, part, n * 8);
        now_count += n;
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    if (o->parallelism != parallelism && most - least > 1)
        return "elements of a split list are dealt out unevenly";
    qsort(old, old_count, sizeof old[0], compare_numbers);
    qsort(now, now_count, sizeof now[0], compare_numbers);
    if (now_count != old_count || (now_count > 0 && memcmp(now, old, now_count * 8) != 0))
        return "elements of a split list are lost, or there twice";
    return NULL;
}

static const char *check_union(const struct life *life, unsigned op, const struct life_task *t)
{
    const struct life_oracle_op *o = &life->oracle.ops[op];
    int64_t numbers[LIFE_TASKS_MAX];
    size_t n = read_list(t->everybody, numbers, LIFE_TASKS_MAX);
    if (n != o->parallelism)
        return "a union list has another size";
    qsort(numbers, n, sizeof numbers[0], compare_numbers);
    for (size_t i = 0; i < n; i++)
        if (numbers[i] != (int64_t)(o->barrier_id * LIFE_TASKS_MAX + i))
            return "a union list has another element";
    return NULL;
}

static void take_over_split(struct life *life, unsigned op, uint32_t parallelism)
{
    struct life_oracle_op *o = &life->oracle.ops[op];
    memset(o->split_count, 0, sizeof o->split_count);
    for (unsigned i = 0; i < parallelism; i++)
        o->split_count[i] =
            (uint32_t)read_list(life->tasks[op][i].split, o->split[i], LIFE_SPLIT_MAX);
    o->parallelism = parallelism;
}

int life_deal_out(struct life *life, unsigned op, uint32_t parallelism, cairn_error **reterr)
{
    const char *wrong = check_split(life, op, parallelism);
    for (unsigned i = 0; i < parallelism && wrong == NULL; i++)
        wrong = check_union(life, op, &life->tasks[op][i]);
    if (wrong != NULL)
        return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL, "operator %u: %s", op, wrong);
    take_over_split(life, op, parallelism);
    return 0;
}

static const char *check_operator_state(const struct life *life, const struct life_task *t)
{
    const struct life_oracle_op *o = &life->oracle.ops[t->op];
    int64_t numbers[LIFE_SPLIT_MAX];
    size_t n = read_list(t->split, numbers, LIFE_SPLIT_MAX), rules = 0;
    if (n != o->split_count[t->subtask] ||
        (n > 0 && memcmp(numbers, o->split[t->subtask], n * 8) != 0))
        return "a split list differs";
    for (unsigned i = 0; i < LIFE_RULES; i++) {
        uint8_t key[8];
        const void *data;
        size_t size;
        cairn_encode_int64(i, key);
        int r = cairn_broadcast_get(t->rules, key, 8, &data, &size);
        rules += o->has_rule[i];
        if (r != (int)o->has_rule[i] ||
            (r == 1 && (size != 8 || cairn_decode_int64(data) != o->rule[i])))
            return "a broadcast map differs";
    }
    return cairn_broadcast_size(t->rules) == rules ? NULL : "a broadcast map has another size";
}

/* ------------------------------------------------------------------------------------------ *
 * Keyed state
 * ------------------------------------------------------------------------------------------ */

static const char *check_record(struct life *life, unsigned version,
                                const struct life_record *record, const void *data, size_t size)
{
    const struct life_schema *schema = &life_schemas[version];
    cairn_struct *s = life->structs[version];
    if (cairn_struct_decode(s, data, size, NULL) < 0)
        return "a struct cannot be taken apart";
    for (unsigned i = 0; i < schema->count; i++) {
        enum life_field f = schema->fields[i];
        int64_t expected = life_record_get(record, version, f), number;
        char text[24];
        if (f == LIFE_B) {
            size_t n = life_text(expected, text);
            if (cairn_struct_get_bytes(s, (int)i, &data, &size) < 0 || size != n ||
                memcmp(data, text, n) != 0)
                return "a struct's text differs";
        } else if (cairn_struct_get_int64(s, (int)i, &number) < 0 || number != expected) {
            return "a struct's number differs";
        }
    }
    return NULL;
}

static const char *check_structs(const struct life_task *t, const struct life_slot *slot)
{
    unsigned version = t->life->oracle.ops[t->op].version;
    const void *data;
    size_t size;
    if (cairn_value_get(t->record, &data, &size, NULL) != (int)slot->has_record)
        return "a struct is there and should not be, or the reverse";
    const char *wrong =
        slot->has_record ? check_record(t->life, version, &slot->record, data, size) : NULL;
    if (wrong == NULL && cairn_list_load(t->rows, NULL) != slot->row_count)
        return "a list of structs has another length";
    for (uint32_t i = 0; i < slot->row_count && wrong == NULL; i++) {
        if (cairn_list_at(t->rows, i, &data, &size) < 0)
            return "a list of structs cannot be read";
        wrong = check_record(t->life, version, &slot->rows[i], data, size);
    }
    return wrong;
}

static bool has_number(cairn_value *value, bool expected, int64_t number)
{
    int64_t got = 0;
    return cairn_value_get_int64(value, &got, NULL) == (int)expected &&
           (!expected || got == number);
}

static bool has_numbers(cairn_list *list, const int64_t *numbers, uint32_t count)
{
    if (cairn_list_load(list, NULL) != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const void *data;
        size_t size;
        if (cairn_list_at(list, i, &data, &size) < 0 || size != 8 ||
            cairn_decode_int64(data) != numbers[i])
            return false;
    }
    return true;
}

static bool has_entries(const struct life_task *t, const struct life_slot *slot)
{
    cairn_iterator *iterator;
    cairn_entry entry;
    size_t n = 0, expected = 0;
    bool same = true;
    int r;
    if (cairn_map_iterate(t->map, &iterator, NULL) < 0)
        return false;
    while ((r = cairn_iterator_next(iterator, &entry, NULL)) == 1) {
        int64_t key = entry.map_key_size == 8 ? cairn_decode_int64(entry.map_key) : -1;
        n++;
        same &= key >= 0 && key < LIFE_MAP_KEYS && slot->has_map[key] && entry.value_size == 8 &&
                cairn_decode_int64(entry.value) == slot->map[key];
    }
    cairn_iterator_close(iterator);
    for (size_t i = 0; i < LIFE_MAP_KEYS; i++)
        expected += slot->has_map[i];
    return r == 0 && same && n == expected;
}

static const char *check_key(struct life_task *t, unsigned key)
{
    struct life_oracle *oracle = &t->life->oracle;
    struct life_oracle_op *op = &oracle->ops[t->op];
    struct life_slot *slot = &op->slots[key];
    uint8_t blob[LIFE_BLOB_MAX];
    const void *data;
    size_t size;
    int64_t sum = 0;
    if (life_set_key(t, key) < 0)
        return "a key is refused";
    if (cairn_value_get(t->blob, &data, &size, NULL) != (int)slot->has_blob)
        return "a value is there and should not be, or the reverse";
    if (slot->has_blob &&
        (size != life_blob(slot->blob, blob) || (size > 0 && memcmp(data, blob, size) != 0)))
        return "a value differs";
    if (cairn_reducing_get_int64(t->sum, &sum, NULL) != (int)slot->has_sum ||
        (slot->has_sum && sum != slot->sum))
        return "a sum differs";
    if (!has_numbers(t->list, slot->list, slot->list_count))
        return "a list differs";
    if (!has_entries(t, slot))
        return "a map differs";
    if (op->skips & LIFE_SKIP_EXPIRY)
        return op->skips & LIFE_SKIP_STRUCTS ? NULL : check_structs(t, slot);
    if (!has_number(t->aging, slot->has_aging && life_is_live(oracle, op, slot->aging_ms),
                    slot->aging))
        return "a value with expiry differs";
    (void)life_drop_aged(oracle, op, slot);
    if (!has_numbers(t->aged, slot->aged, slot->aged_count))
        return "a list with expiry differs";
    return op->skips & LIFE_SKIP_STRUCTS ? NULL : check_structs(t, slot);
}

/* ------------------------------------------------------------------------------------------ *
 * And nothing else
 * ------------------------------------------------------------------------------------------ */

static int64_t count_entries(const struct life_task *t, const char *state)
{
    cairn_iterator *iterator;
    cairn_entry entry;
    int64_t n = 0;
    int r = cairn_task_iterate(t->task, state, &iterator, NULL);
    if (r < 0)
        return r;
    while ((r = cairn_iterator_next(iterator, &entry, NULL)) == 1)
        n++;
    cairn_iterator_close(iterator);
    return r < 0 ? r : n;
}

static const char *check_no_more(const struct life_task *t)
{
    static const char *const names[] = {"blob",   "sum",  "list",  "map",
                                        "record", "rows", "aging", "aged"};
    const struct life_oracle *oracle = &t->life->oracle;
    const struct life_oracle_op *op = &oracle->ops[t->op];
    int64_t expected[8] = {0};
    for (unsigned key = 0; key < LIFE_KEYS; key++) {
        const struct life_slot *slot = &op->slots[key];
        if (life_owner(key, op->parallelism) != t->subtask)
            continue;
        expected[0] += slot->has_blob;
        expected[1] += slot->has_sum;
        expected[2] += slot->list_count;
        for (unsigned i = 0; i < LIFE_MAP_KEYS; i++)
            expected[3] += slot->has_map[i];
        expected[4] += slot->has_record;
        expected[5] += slot->row_count;
        expected[6] += slot->has_aging && life_is_live(oracle, op, slot->aging_ms);
        expected[7] += slot->aged_count;
    }
    for (unsigned i = 0; i < 8; i++)
        if (!(i >= 6 && (op->skips & LIFE_SKIP_EXPIRY)) &&
            !((i == 4 || i == 5) && (op->skips & LIFE_SKIP_STRUCTS)) &&
            count_entries(t, names[i]) != expected[i])
            return names[i];
    return NULL;
}

const char *life_check(struct life *life)
{
    for (unsigned op = 0; op < LIFE_OPS; op++)
        for (unsigned i = 0; i < life->oracle.ops[op].parallelism; i++) {
            struct life_task *t = &life->tasks[op][i];
            const char *wrong = check_operator_state(life, t);
            for (unsigned key = 0; key < LIFE_KEYS && wrong == NULL; key++)
                if (life_owner(key, life->oracle.ops[op].parallelism) == i)
                    wrong = check_key(t, key);
            if (wrong == NULL && check_no_more(t) != NULL)
                wrong = "a state has entries that nobody wrote, or has lost some";
            if (wrong != NULL)
                return wrong;
        }
    return NULL;
}
