/* SPDX-License-Identifier: Apache-2.0 */
/* What the subject's state must be, kept in plain arrays. */
#include "tests/support/oracle.h"

#include <stdio.h>
#include <string.h>

uint64_t oracle_random(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void oracle_init(struct oracle *oracle)
{
    memset(oracle, 0, sizeof *oracle);
    oracle->offset = -1;
}

/* ------------------------------------------------------------------------------------------ *
 * Changes
 * ------------------------------------------------------------------------------------------ */

static void change_word(struct oracle *oracle, struct subject *s, uint64_t *random)
{
    unsigned key = (unsigned)(oracle_random(random) % ORACLE_KEYS);
    unsigned subtask = subject_of_key(key);
    ck_assert_int_eq(cairn_task_set_key_int64(s->tasks[subtask], key), 0);
    switch (oracle_random(random) % 6) {
    case 0:
        ck_ok(cairn_value_clear(s->count[subtask], reterr));
        oracle->has_count[key] = false;
        break;
    case 1:
        ck_ok(cairn_list_clear(s->events[subtask], reterr));
        oracle->events[key] = 0;
        break;
    case 2:
    case 3:
        ck_ok(cairn_list_add_int64(s->events[subtask], key * 1000 + oracle->events[key], reterr));
        oracle->events[key]++;
        break;
    default:
        oracle->has_count[key] = true;
        oracle->count[key] = (int64_t)oracle_random(random);
        ck_ok(cairn_value_put_int64(s->count[subtask], oracle->count[key], reterr));
        break;
    }
}

static void name_of(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "name %u", i);
}

static void change_name(struct oracle *oracle, struct subject *s, uint64_t *random)
{
    unsigned i = (unsigned)(oracle_random(random) % ORACLE_NAMES);
    char name[16];
    uint8_t value[8];
    name_of(i, name);
    ck_assert_int_eq(cairn_task_set_key_int64(s->tasks[SUBJECT_WORDS], 0), 0);
    oracle->has_name[i] = oracle_random(random) % 4 != 0;
    if (!oracle->has_name[i]) {
        ck_ok(cairn_map_remove(s->names, name, strlen(name), reterr));
        return;
    }
    oracle->name[i] = (int64_t)oracle_random(random);
    cairn_encode_int64(oracle->name[i], value);
    ck_ok(cairn_map_put(s->names, name, strlen(name), value, sizeof value, reterr));
}

static void change_operator_state(struct oracle *oracle, struct subject *s, uint64_t *random)
{
    unsigned i = (unsigned)(oracle_random(random) % ORACLE_NAMES);
    uint8_t key[8], value[8];
    oracle->offset = (int64_t)(oracle_random(random) >> 1);
    ck_ok(cairn_operator_list_clear(s->offset, reterr));
    ck_ok(cairn_operator_list_add_int64(s->offset, oracle->offset, reterr));
    oracle->has_rule[i] = oracle_random(random) % 4 != 0;
    oracle->rule[i] = (int64_t)oracle_random(random);
    cairn_encode_int64(i, key);
    cairn_encode_int64(oracle->rule[i], value);
    if (oracle->has_rule[i])
        ck_ok(cairn_broadcast_put(s->rules, key, sizeof key, value, sizeof value, reterr));
    else
        ck_ok(cairn_broadcast_remove(s->rules, key, sizeof key, reterr));
}

void oracle_mutate(struct oracle *oracle, struct subject *s, uint64_t *random, unsigned changes)
{
    for (unsigned i = 0; i < changes; i++) {
        uint64_t what = oracle_random(random) % 8;
        if (what == 0)
            change_operator_state(oracle, s, random);
        else if (what == 1)
            change_name(oracle, s, random);
        else
            change_word(oracle, s, random);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Comparing
 * ------------------------------------------------------------------------------------------ */

static const char *compare_events(const struct oracle *oracle, cairn_list *list, unsigned key)
{
    int64_t n = cairn_list_load(list, NULL);
    if (n != oracle->events[key])
        return "a list has another length";
    for (unsigned i = 0; i < oracle->events[key]; i++) {
        const void *data;
        size_t size;
        if (cairn_list_at(list, i, &data, &size) < 0 || size != 8 ||
            cairn_decode_int64(data) != key * 1000 + i)
            return "a list has another element";
    }
    return NULL;
}

static const char *compare_words(const struct oracle *oracle, struct subject *s)
{
    for (unsigned key = 0; key < ORACLE_KEYS; key++) {
        unsigned subtask = subject_of_key(key);
        int64_t value = 0;
        ck_assert_int_eq(cairn_task_set_key_int64(s->tasks[subtask], key), 0);
        int r = cairn_value_get_int64(s->count[subtask], &value, NULL);
        if (r < 0 || (r == 1) != oracle->has_count[key])
            return "a value is there or not against the rules";
        if (r == 1 && value != oracle->count[key])
            return "a value is another one";
        const char *why = compare_events(oracle, s->events[subtask], key);
        if (why != NULL)
            return why;
    }
    return NULL;
}

/* Entries of one state of a task, over all keys. */
static int64_t count_entries(cairn_task *task, const char *state)
{
    cairn_iterator *iterator = NULL;
    cairn_entry entry;
    int64_t n = 0;
    ck_ok(cairn_task_iterate(task, state, &iterator, reterr));
    while (ck_ok(cairn_iterator_next(iterator, &entry, reterr)) == 1)
        n++;
    cairn_iterator_close(iterator);
    return n;
}

/* That nothing is there which the oracle does not know. */
static const char *compare_totals(const struct oracle *oracle, struct subject *s)
{
    int64_t counts = 0, names = 0, found = 0;
    for (unsigned i = 0; i < ORACLE_KEYS; i++)
        counts += oracle->has_count[i];
    for (unsigned i = 0; i < ORACLE_NAMES; i++)
        names += oracle->has_name[i];
    for (unsigned i = 0; i < SUBJECT_WORDS; i++)
        found += count_entries(s->tasks[i], "count");
    if (found != counts || count_entries(s->tasks[SUBJECT_WORDS], "names") != names)
        return "there are entries that nobody wrote, or some are lost";
    return NULL;
}

static const char *compare_tally(const struct oracle *oracle, struct subject *s)
{
    const void *data;
    size_t size, rules = 0;
    ck_assert_int_eq(cairn_task_set_key_int64(s->tasks[SUBJECT_WORDS], 0), 0);
    for (unsigned i = 0; i < ORACLE_NAMES; i++) {
        char name[16];
        uint8_t key[8];
        name_of(i, name);
        int r = cairn_map_get(s->names, name, strlen(name), &data, &size, NULL);
        if (r < 0 || (r == 1) != oracle->has_name[i] ||
            (r == 1 && (size != 8 || cairn_decode_int64(data) != oracle->name[i])))
            return "a map has another entry";
        cairn_encode_int64(i, key);
        r = cairn_broadcast_get(s->rules, key, sizeof key, &data, &size);
        rules += oracle->has_rule[i];
        if ((r == 1) != oracle->has_rule[i] ||
            (r == 1 && (size != 8 || cairn_decode_int64(data) != oracle->rule[i])))
            return "a broadcast map has another entry";
    }
    if (cairn_broadcast_size(s->rules) != rules)
        return "a broadcast map has another size";
    if (cairn_operator_list_size(s->offset) != (oracle->offset >= 0 ? 1u : 0u))
        return "an operator list has another size";
    if (oracle->offset < 0)
        return NULL;
    ck_assert_int_eq(cairn_operator_list_at(s->offset, 0, &data, &size), 0);
    return size == 8 && cairn_decode_int64(data) == oracle->offset ? NULL
                                                                   : "the offset is another one";
}

const char *oracle_compare(const struct oracle *oracle, struct subject *s)
{
    const char *why = compare_words(oracle, s);
    if (why == NULL)
        why = compare_tally(oracle, s);
    return why != NULL ? why : compare_totals(oracle, s);
}

void oracle_check_store(const struct oracle *oracle, const struct fixture *f, cairn_store *store,
                        const char *job)
{
    struct fixture other = *f;
    struct subject s;
    CRN_AUTO_FREE char *local_dir = fixture_dir(f, "oracle");
    other.store = other.options.store = store;
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, job, &s, reterr));
    const char *why = oracle_compare(oracle, &s);
    ck_assert_msg(why == NULL, "restored state is wrong: %s", why);
    subject_close(&s);
}
