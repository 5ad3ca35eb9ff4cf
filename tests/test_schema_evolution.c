/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Schemas and expiry that change from run to run, over each state backend: a state is written by
 * one version of a program, stored in a checkpoint, and read by the next version. Every kind of
 * state holds the same struct, so that one walk over them compares everything that a service could
 * read: converted lazily, eagerly, under three schemas at once. What is refused leaves the state as
 * it was for the program that wrote it. Damaged values are errors (P11).
 */

#include "tests/support/items.h"
#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"

#include "engine/serializers/serializer.h"
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * A program, in several versions
 * ------------------------------------------------------------------------------------------ */

/* One version, with all its states registered. */
struct program {
    struct test_task *t;
    cairn_serializer *serializer;
    cairn_value *value;
    cairn_list *list;
    cairn_map *map;
    cairn_reducing *reducing;
    cairn_aggregating *aggregating;
};

/* Both functions see values of the present schema only, or decoding fails the test. */
static int add_ids(void *context, const void *a, size_t a_size, const void *b, size_t b_size,
                   cairn_buffer *out)
{
    const struct program *program = context;
    item_encode(program->serializer,
                item_id(program->serializer, a, a_size) + item_id(program->serializer, b, b_size),
                "sum", out);
    return 0;
}

static int add_input(void *context, const void *accumulator, size_t accumulator_size,
                     const void *input, size_t input_size, cairn_buffer *out)
{
    const struct program *program = context;
    int64_t sum =
        accumulator != NULL ? item_id(program->serializer, accumulator, accumulator_size) : 0;
    ck_assert_uint_eq(input_size, 8);
    item_encode(program->serializer, sum + cairn_decode_int64(input), "acc", out);
    return 0;
}

static void open_program(struct program *program, struct test_task *t, int version, uint64_t ttl_ms)
{
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    cairn_aggregate_functions functions = {add_input, NULL, program};
    program->t = t;
    program->serializer = item_version(version);
    options.serializer = program->serializer;
    options.ttl_ms = ttl_ms;
    MUST(cairn_value_state(&t->task, "v", CAIRN_STRUCT, &options, &program->value, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_STRUCT, &options, &program->list, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_STRING, CAIRN_STRUCT, &options, &program->map, ERR));
    MUST(cairn_reducing_state(&t->task, "r", CAIRN_STRUCT, add_ids, program, &options,
                              &program->reducing, ERR));
    MUST(cairn_aggregating_state(&t->task, "a", CAIRN_STRUCT, &functions, &options,
                                 &program->aggregating, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
}

static void close_program(struct program *program)
{
    cairn_serializer_release(program->serializer);
}

static void restart(struct program *program, int version, uint64_t ttl_ms)
{
    struct test_task *t = program->t;
    close_program(program);
    test_task_restart(t);
    open_program(program, t, version, ttl_ms);
}

/* Writes to each state; `id` tells the rounds apart. */
static void write_round(struct program *program, int64_t id)
{
    CRN_AUTO_BUFFER struct cairn_buffer item = {0};
    char key[24];
    uint8_t input[8];
    (void)snprintf(key, sizeof(key), "e%d", (int)id);
    item_encode(program->serializer, id, key, &item);
    cairn_encode_int64(id, input);
    MUST(cairn_task_set_key(&program->t->task, key, strlen(key)));
    MUST(cairn_value_put(program->value, item.data, item.size, ERR));
    MUST(cairn_task_set_key(&program->t->task, "k", 1));
    MUST(cairn_list_add(program->list, item.data, item.size, ERR));
    MUST(cairn_map_put(program->map, key, strlen(key), item.data, item.size, ERR));
    MUST(cairn_reducing_add(program->reducing, item.data, item.size, ERR));
    MUST(cairn_aggregating_add(program->aggregating, input, 8, ERR));
}

/* ------------------------------------------------------------------------------------------ *
 * What a service can read, as one text
 * ------------------------------------------------------------------------------------------ */

static void print(const struct program *program, const char *label, const void *data, size_t size,
                  struct cairn_buffer *out)
{
    char *json;
    MUST(cairn_value_to_json(CAIRN_STRUCT, &program->serializer->schema, data, size, &json, ERR));
    MUST(crn_buf_printf(out, "%s%s\n", label, json));
    free(json);
}

static void print_iterator(const struct program *program, const char *name,
                           cairn_iterator *iterator, struct cairn_buffer *out)
{
    cairn_entry entry;
    char label[64];
    while (MUST(cairn_iterator_next(iterator, &entry, ERR)) > 0) {
        (void)snprintf(label, sizeof(label), "%s %.*s%.*s ", name, (int)entry.map_key_size,
                       entry.map_key != NULL ? (const char *)entry.map_key : "",
                       entry.map_key == NULL ? (int)entry.key_size : 0, (const char *)entry.key);
        print(program, label, entry.value, entry.value_size, out);
    }
    cairn_iterator_close(iterator);
}

static void read_all(struct program *program, struct cairn_buffer *out)
{
    static const char *const names[] = {"v", "l", "m", "r", "a"};
    cairn_iterator *iterator;
    const void *data;
    size_t size;
    crn_buf_clear(out);
    for (int id = 1; id <= 3; id++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "e%d", id);
        MUST(cairn_task_set_key(&program->t->task, key, strlen(key)));
        if (MUST(cairn_value_get(program->value, &data, &size, ERR)) > 0)
            print(program, "value ", data, size, out);
        MUST(cairn_task_set_key(&program->t->task, "k", 1));
        if (MUST(cairn_map_get(program->map, key, strlen(key), &data, &size, ERR)) > 0)
            print(program, "map ", data, size, out);
    }
    int64_t count = MUST(cairn_list_load(program->list, ERR));
    for (int64_t i = 0; i < count; i++) {
        MUST(cairn_list_at(program->list, (size_t)i, &data, &size));
        print(program, "list ", data, size, out);
    }
    if (MUST(cairn_reducing_get(program->reducing, &data, &size, ERR)) > 0)
        print(program, "reducing ", data, size, out);
    if (MUST(cairn_aggregating_get(program->aggregating, &data, &size, ERR)) > 0)
        print(program, "aggregating ", data, size, out);
    for (size_t i = 0; i < CRN_COUNT(names); i++) {
        MUST(cairn_task_iterate(&program->t->task, names[i], &iterator, ERR));
        /* The keys of the value state are in no order of ours. */
        if (i > 0)
            print_iterator(program, names[i], iterator, out);
        else
            cairn_iterator_close(iterator);
    }
    MUST(cairn_map_iterate(program->map, &iterator, ERR));
    print_iterator(program, "map", iterator, out);
}

static void expect(struct program *program, const char *expected, int line)
{
    CRN_AUTO_BUFFER struct cairn_buffer found = {0};
    read_all(program, &found);
    MUST(crn_buf_append(&found, "", 0));
    ck_assert_msg(strcmp((char *)found.data, expected) == 0, "line %d:\n%s\ninstead of\n%s", line,
                  (char *)found.data, expected);
}
#define EXPECT(program, expected) expect(program, expected, __LINE__)

static size_t schema_count(const struct test_task *t, const char *name)
{
    struct crn_record *record = crn_record_new();
    struct crn_operator *op = crn_record_add_operator(record);
    size_t count = 99;
    MUST(crn_keyed_describe(&t->task, op, ERR));
    for (size_t i = 0; i < op->state_count; i++)
        if (strcmp(op->states[i].name, name) == 0)
            count = op->states[i].schema_count;
    crn_record_free(record);
    return count;
}

#define V1_1 "{\"id\":1,\"name\":\"e1\"}\n"
#define ROUND_1_AS_V1                                                                              \
    "value " V1_1 "map " V1_1 "list " V1_1 "reducing " V1_1                                        \
    "aggregating {\"id\":1,\"name\":\"acc\"}\nl k " V1_1 "m e1 " V1_1 "r k " V1_1                  \
    "a k {\"id\":1,\"name\":\"acc\"}\nmap e1 " V1_1
#define V2(id, name) "{\"name\":\"" name "\",\"tag\":\"new\",\"id\":" #id "}\n"
#define ROUND_1_AS_V2                                                                                                    \
    "value " V2(1, "e1") "map " V2(1, "e1") "list " V2(1, "e1") "reducing " V2(                                          \
        1,                                                                                                               \
        "e1") "aggregating " V2(1,                                                                                       \
                                "acc") "l k " V2(1,                                                                      \
                                                 "e1") "m e1 " V2(1,                                                     \
                                                                  "e1") "r k " V2(1,                                     \
                                                                                  "e1") "a k " V2(1,                     \
                                                                                                  "acc") "map e1 " V2(1, \
                                                                                                                      "e1")
#define ROUNDS_1_2_AS_V2                                                                                                                                                \
    "value " V2(1, "e1") "map " V2(1, "e1") "value " V2(2, "e2") "map " V2(2, "e2") "list " V2(1, "e1") "list " V2(2, "e2") "reducing " V2(3, "sum") "aggregating " V2( \
        3,                                                                                                                                                              \
        "acc") "l k " V2(1,                                                                                                                                             \
                         "e1") "l k " V2(2,                                                                                                                             \
                                         "e2") "m e1 " V2(1,                                                                                                            \
                                                          "e1") "m e2 " V2(2,                                                                                           \
                                                                           "e2") "r k " V2(3,                                                                           \
                                                                                           "sum") "a k " V2(3,                                                          \
                                                                                                            "acc") "map e1 " V2(1,                                      \
                                                                                                                                "e1") "map e2 " V2(2,                   \
                                                                                                                                                   "e2")
/* What was written before there was a tag has the default of who converted it. */
#define V3(id, tag) "{\"id\":" #id ",\"tag\":\"" tag "\"}\n"
#define ROUNDS_1_3_AS_V3(first)                                                                                                                                                                                                                                                                                                                                                                            \
    "value " V3(1, first) "map " V3(1, first) "value " V3(2, "new") "map " V3(                                                                                                                                                                                                                                                                                                                             \
        2, "new") "value " V3(3, "newer") "map " V3(3,                                                                                                                                                                                                                                                                                                                                                     \
                                                    "newer") "list " V3(1,                                                                                                                                                                                                                                                                                                                                 \
                                                                        first) "list " V3(2,                                                                                                                                                                                                                                                                                                               \
                                                                                          "new") "list " V3(3,                                                                                                                                                                                                                                                                                             \
                                                                                                            "newer") "reducing " V3(6, "newer") "aggregating " V3(6, "newer") "l k " V3(1, first) "l k " V3(2, "new") "l k " V3(3, "newer") "m e1 " V3(1,                                                                                                                                                  \
                                                                                                                                                                                                                                                       first) "m e2 " V3(2, "new") "m e3 " V3(3, "newer") "r k " V3(6, "newer") "a k " V3(6,                                                               \
                                                                                                                                                                                                                                                                                                                                          "newer") "map e1 " V3(1,                                         \
                                                                                                                                                                                                                                                                                                                                                                first) "map e2 " V3(2,                     \
                                                                                                                                                                                                                                                                                                                                                                                    "new") "map e3 " V3(3, \
                                                                                                                                                                                                                                                                                                                                                                                                        "newer")

START_TEST(test_lazy)
{
    struct program program;
    open_program(&program, test_task_new(_i % TEST_BACKENDS), 1, _i / TEST_BACKENDS * 1000);
    uint64_t ttl_ms = (uint64_t)(_i / TEST_BACKENDS) * 1000;
    write_round(&program, 1);
    EXPECT(&program, ROUND_1_AS_V1);
    restart(&program, 1, ttl_ms); /* the same is no new schema */
    ck_assert_uint_eq(schema_count(program.t, "l"), 1);
    EXPECT(&program, ROUND_1_AS_V1);
    restart(&program, 2, ttl_ms);
    EXPECT(&program, ROUND_1_AS_V2);
    write_round(&program, 2);
    EXPECT(&program, ROUNDS_1_2_AS_V2);
    restart(&program, 3, ttl_ms);
    write_round(&program, 3);
    EXPECT(&program, ROUNDS_1_3_AS_V3("newer"));
    ck_assert_uint_eq(schema_count(program.t, "m"), 3);
    restart(&program, 3, ttl_ms);
    EXPECT(&program, ROUNDS_1_3_AS_V3("newer"));
    ck_assert_uint_eq(schema_count(program.t, "m"), 3);
    close_program(&program);
    test_task_free(program.t);
}
END_TEST

START_TEST(test_eager)
{
    struct program program;
    cairn_iterator *before;
    cairn_entry entry;
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    uint64_t ttl_ms = (uint64_t)(_i / TEST_BACKENDS) * 1000;
    open_program(&program, test_task_new(_i % TEST_BACKENDS), 1, ttl_ms);
    write_round(&program, 1);
    restart(&program, 2, ttl_ms);
    write_round(&program, 2);
    MUST(cairn_task_iterate(&program.t->task, "m", &before, ERR));
    MUST_FAIL(CAIRN_ENOTFOUND, "no registered keyed state 'x'",
              cairn_task_migrate(&program.t->task, "x", ERR));
    MUST(cairn_task_migrate(&program.t->task, "v", ERR));
    ck_assert_uint_eq(schema_count(program.t, "v"), 1);
    ck_assert_uint_eq(schema_count(program.t, "m"), 2);
    MUST(cairn_task_migrate(&program.t->task, NULL, ERR));
    ck_assert_uint_eq(schema_count(program.t, "m"), 1);
    EXPECT(&program, ROUNDS_1_2_AS_V2);
    /* An iterator from before sees values from before, as they read now. */
    ck_assert_int_eq(MUST(cairn_iterator_next(before, &entry, ERR)), 1);
    print(&program, "", entry.value, entry.value_size, &text);
    ck_assert_str_eq((char *)text.data, V2(1, "e1"));
    cairn_iterator_close(before);
    /* The tag went on: a third schema does not take one that was in use. */
    restart(&program, 3, ttl_ms);
    write_round(&program, 3);
    MUST(cairn_task_migrate(&program.t->task, NULL, ERR));
    EXPECT(&program, ROUNDS_1_3_AS_V3("new"));
    restart(&program, 3, ttl_ms);
    ck_assert_uint_eq(schema_count(program.t, "a"), 1);
    EXPECT(&program, ROUNDS_1_3_AS_V3("new"));
    close_program(&program);
    test_task_free(program.t);
}
END_TEST

START_TEST(test_incompatible)
{
    struct program program;
    cairn_value *value = NULL;
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    open_program(&program, test_task_new(_i), 1, 0);
    write_round(&program, 1);
    close_program(&program);
    test_task_restart(program.t);
    cairn_serializer *bad = item_version(0);
    options.serializer = bad;
    MUST_FAIL(CAIRN_EMISMATCH,
              "state 'v' cannot be read: stored as item {id int64, name string}, given as item {id "
              "double}: field 'id' was int64 and would be double",
              cairn_value_state(&program.t->task, "v", CAIRN_STRUCT, &options, &value, ERR));
    ck_assert_ptr_null(value);
    /* Every stored schema counts, not the newest alone: v3 has no name, v1 had a string. */
    open_program(&program, program.t, 3, 0);
    close_program(&program);
    test_task_restart(program.t);
    static const cairn_field other[] = {{"name", CAIRN_INT64, NULL, 0}};
    cairn_serializer *late;
    MUST(cairn_struct_serializer("item", other, 1, &late, ERR));
    options.serializer = late;
    MUST_FAIL(
        CAIRN_EMISMATCH,
        "operator 'operator': state 'v' cannot be read: stored as item {id int64, name string}, "
        "given as item {name int64}: field 'name' was string and would be int64",
        cairn_value_state(&program.t->task, "v", CAIRN_STRUCT, &options, &value, ERR));
    cairn_serializer_release(late);
    cairn_serializer_release(bad);
    /* Nothing was changed: the program that wrote it goes on, also after a checkpoint. */
    test_task_restart(program.t);
    open_program(&program, program.t, 1, 0);
    EXPECT(&program, ROUND_1_AS_V1);
    close_program(&program);
    test_task_free(program.t);
}
END_TEST

START_TEST(test_options)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    cairn_serializer *serializer = item_version(1);
    cairn_value *value = NULL;
    cairn_list *list;
    cairn_operator_list *operators;
    MUST_FAIL(CAIRN_EINVAL, "values of type struct need a serializer",
              cairn_value_state(&t->task, "x", CAIRN_STRUCT, NULL, &value, ERR));
    options.serializer = serializer;
    MUST_FAIL(CAIRN_EINVAL, "values are of type int64, and the serializer 'item' is of type struct",
              cairn_value_state(&t->task, "x", CAIRN_INT64, &options, &value, ERR));
    MUST_FAIL(CAIRN_EINVAL, "of type avro",
              cairn_list_state(&t->task, "x", CAIRN_AVRO, &options, &list, ERR));
    MUST_FAIL(CAIRN_EINVAL, "operator state",
              cairn_operator_list_state(&t->task, "x", CAIRN_SPLIT, CAIRN_STRUCT, &operators, ERR));
    MUST(cairn_value_state(&t->task, "x", CAIRN_STRUCT, &options, &value, ERR));
    cairn_serializer_release(serializer); /* the state has a reference */
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST_FAIL(CAIRN_EINVAL, "no value of its schema 'item'",
              cairn_value_put(value, "1234567", 7, ERR));
    MUST_FAIL(CAIRN_EINVAL, "NULL", cairn_value_put(value, NULL, 9, ERR));
    MUST(cairn_value_put(value, "12345678\0", 9, ERR));
    test_task_free(t);
}
END_TEST

/* States that nobody registers keep their schemas, whatever becomes of the others. */
START_TEST(test_unregistered)
{
    struct program program;
    open_program(&program, test_task_new(_i), 1, 0);
    write_round(&program, 1);
    restart(&program, 2, 0);
    write_round(&program, 2);
    close_program(&program);
    test_task_restart(program.t);
    ck_assert_uint_eq(schema_count(program.t, "a"), 2);
    test_task_restart(program.t);
    open_program(&program, program.t, 2, 0);
    EXPECT(&program, ROUNDS_1_2_AS_V2);
    close_program(&program);
    test_task_free(program.t);
}
END_TEST

/* Values that no program wrote: every flipped bit and every length of stored bytes. */
START_TEST(test_damaged_values)
{
    struct program program;
    const void *data;
    size_t size;
    size_t read = 0;
    open_program(&program, test_task_new(TEST_BACKEND_FAKE), 1, 1000);
    struct cairn_task *task = &program.t->task;
    restart(&program, 2, 1000);
    /* time, tag 0, then a value of the first schema */
    static const uint8_t stored[] = "\0\0\0\0\0\x0f\x42\x3f\0\x80\0\0\0\0\0\0\5\2ab";
    struct crn_keyed *keyed = (struct crn_keyed *)program.value;
    MUST(cairn_task_set_key(task, "k", 1));
    for (size_t bit = 0; bit < 8 * sizeof(stored); bit++) {
        uint8_t bytes[sizeof(stored)];
        memcpy(bytes, stored, sizeof(bytes));
        size_t n = sizeof(bytes) - 1;
        if (bit < sizeof(stored))
            n = bit;
        else
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        MUST(task->db->ops->put(task->db, keyed->state, task->key.data, task->key.size, bytes, n,
                                ERR));
        int r = cairn_value_get(program.value, &data, &size, NULL);
        ck_assert(r == 1 || r == 0 || r == CAIRN_ECORRUPT);
        if (r == 1) {
            read++;
            /* Nobody pays for a check of values of the present schema, which is 1 here: decoding
             * tells. */
            ck_assert(bytes[8] == 1 || crn_serializer_is_value(program.serializer, data, size));
        }
    }
    ck_assert_uint_gt(read, 50);
    MUST(task->db->ops->put(task->db, keyed->state, task->key.data, task->key.size,
                            "\0\0\0\0\0\x0f\x42\x3f\x07zz", 11, ERR));
    MUST_FAIL(CAIRN_ECORRUPT, "the schema 7, which is not known",
              cairn_value_get(program.value, &data, &size, ERR));
    MUST_FAIL(CAIRN_ECORRUPT, "which is not known", cairn_task_migrate(task, "v", ERR));
    ck_assert_uint_eq(schema_count(program.t, "v"), 2);
    close_program(&program);
    test_task_free(program.t);
}
END_TEST

/* Migration keeps the time of each write. */
START_TEST(test_migrate_keeps_times)
{
    struct program program;
    const void *data;
    size_t size;
    open_program(&program, test_task_new(_i), 1, 1000);
    struct test_task *t = program.t;
    write_round(&program, 1);
    t->clock_ms += 600;
    restart(&program, 2, 1000);
    write_round(&program, 2);
    MUST(cairn_task_migrate(&t->task, NULL, ERR));
    t->clock_ms += 500; /* the first round is over */
    ck_assert_int_eq(MUST(cairn_list_load(program.list, ERR)), 1);
    ck_assert_int_eq(MUST(cairn_map_get(program.map, "e1", 2, &data, &size, ERR)), 0);
    ck_assert_int_eq(MUST(cairn_map_get(program.map, "e2", 2, &data, &size, ERR)), 1);
    MUST(cairn_task_set_key(&t->task, "e1", 2));
    ck_assert_int_eq(MUST(cairn_value_get(program.value, &data, &size, ERR)), 0);
    close_program(&program);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Avro and the caller's own
 * ------------------------------------------------------------------------------------------ */

static cairn_value *open_value(struct test_task *t, cairn_type type, cairn_serializer *serializer)
{
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    cairn_value *value;
    options.serializer = serializer;
    MUST(cairn_value_state(&t->task, "v", type, &options, &value, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    return value;
}

static void expect_avro(cairn_value *value, const cairn_serializer *serializer,
                        const char *expected)
{
    const void *data;
    size_t size;
    char *json;
    ck_assert_int_eq(MUST(cairn_value_get(value, &data, &size, ERR)), 1);
    MUST(cairn_value_to_json(CAIRN_AVRO, &serializer->schema, data, size, &json, ERR));
    ck_assert_str_eq(json, expected);
    free(json);
}

static cairn_serializer *avro(const char *fields)
{
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    cairn_serializer *made;
    MUST(crn_buf_printf(&text, "{\"type\":\"record\",\"name\":\"U\",\"fields\":[%s]}", fields));
    MUST(cairn_avro_serializer((char *)text.data, &made, ERR));
    return made;
}

START_TEST(test_avro)
{
    struct test_task *t = test_task_new(_i);
    cairn_serializer *v1 = avro("{\"name\":\"a\",\"type\":\"int\"}");
    cairn_serializer *v2 = avro("{\"name\":\"b\",\"type\":\"string\",\"default\":\"x\"},{\"name\":"
                                "\"a\",\"type\":\"double\"}");
    cairn_serializer *bad = avro("{\"name\":\"a\",\"type\":\"string\"}");
    cairn_serializer *reworded = avro(" {\"name\":\"a\", \"doc\":\"words\",\"type\":\"int\"}");
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    cairn_value *value = open_value(t, CAIRN_AVRO, v1);
    MUST(cairn_value_put(value, "\x0a", 1, ERR));
    test_task_restart(t);
    options.serializer = bad;
    MUST_FAIL(CAIRN_EMISMATCH, "field 'a': int cannot be read as string",
              cairn_value_state(&t->task, "v", CAIRN_AVRO, &options, &value, ERR));
    expect_avro(open_value(t, CAIRN_AVRO, reworded), reworded, "{\"a\":5}");
    test_task_restart(t);
    value = open_value(t, CAIRN_AVRO, v2);
    expect_avro(value, v2, "{\"b\":\"x\",\"a\":5.0}");
    MUST(cairn_task_migrate(&t->task, "v", ERR));
    ck_assert_uint_eq(schema_count(t, "v"), 1);
    expect_avro(value, v2, "{\"b\":\"x\",\"a\":5.0}");
    cairn_serializer_release(v1);
    cairn_serializer_release(v2);
    cairn_serializer_release(bad);
    cairn_serializer_release(reworded);
    test_task_free(t);
}
END_TEST

static int allow_after_migration(void *context, uint32_t version, const void *schema, size_t size,
                                 cairn_compatibility *ret, cairn_buffer *why)
{
    (void)context, (void)schema, (void)size, (void)why;
    *ret = version == 1 ? CAIRN_COMPATIBLE_AFTER_MIGRATION : CAIRN_COMPATIBLE_AS_IS;
    return 0;
}

static int double_it(void *context, uint32_t version, const void *schema, size_t schema_size,
                     const void *data, size_t size, cairn_buffer *out)
{
    (void)context, (void)version, (void)schema, (void)schema_size;
    if (size == 3)
        return CAIRN_EIO;
    CRN_TRY(cairn_buffer_append(out, data, size));
    return cairn_buffer_append(out, data, size);
}

START_TEST(test_custom)
{
    struct test_task *t = test_task_new(_i);
    cairn_custom_functions functions = CAIRN_CUSTOM_FUNCTIONS_INIT;
    cairn_serializer *v1, *v2, *other;
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    const void *data;
    size_t size;
    functions.compare = allow_after_migration;
    functions.migrate = double_it;
    MUST(cairn_custom_serializer("c", 1, NULL, 0, NULL, &v1, ERR));
    MUST(cairn_custom_serializer("c", 2, "s", 1, &functions, &v2, ERR));
    MUST(cairn_custom_serializer("d", 1, NULL, 0, &functions, &other, ERR));
    cairn_value *value = open_value(t, CAIRN_CUSTOM, v1);
    MUST(cairn_value_put(value, "ab", 2, ERR));
    MUST(cairn_task_set_key(&t->task, "broken", 6));
    MUST(cairn_value_put(value, "abc", 3, ERR));
    test_task_restart(t);
    options.serializer = other;
    MUST_FAIL(CAIRN_EMISMATCH, "stored by 'c' version 1, given 'd' version 1",
              cairn_value_state(&t->task, "v", CAIRN_CUSTOM, &options, &value, ERR));
    value = open_value(t, CAIRN_CUSTOM, v2);
    ck_assert_int_eq(MUST(cairn_value_get(value, &data, &size, ERR)), 1);
    ck_assert(size == 4 && memcmp(data, "abab", 4) == 0);
    /* What a getter gave is an argument for the next call. */
    MUST(cairn_value_put(value, data, size, ERR));
    MUST(cairn_task_set_key(&t->task, "broken", 6));
    MUST_FAIL(CAIRN_EIO, "the migrate function returned",
              cairn_value_get(value, &data, &size, ERR));
    MUST_FAIL(CAIRN_EIO, "schema 0", cairn_task_migrate(&t->task, "v", ERR));
    ck_assert_uint_eq(schema_count(t, "v"), 2);
    MUST(cairn_value_clear(value, ERR));
    MUST(cairn_task_migrate(&t->task, "v", ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    ck_assert_int_eq(MUST(cairn_value_get(value, &data, &size, ERR)), 1);
    ck_assert(size == 4 && memcmp(data, "abab", 4) == 0); /* once, not twice */
    cairn_serializer_release(v1);
    cairn_serializer_release(v2);
    cairn_serializer_release(other);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Expiry comes and goes
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_expiry_on)
{
    struct program program;
    open_program(&program, test_task_new(_i), 1, 0);
    struct test_task *t = program.t;
    write_round(&program, 1);
    t->clock_ms += 5000;
    restart(&program, 2, 1000); /* with another schema at the same time */
    write_round(&program, 2);
    EXPECT(&program, ROUNDS_1_2_AS_V2);
    t->clock_ms += 999; /* the first round counts as written when the state was registered */
    EXPECT(&program, ROUNDS_1_2_AS_V2);
    restart(&program, 2, 1000);
    EXPECT(&program, ROUNDS_1_2_AS_V2);
    t->clock_ms += 1;
    EXPECT(&program, "");
    close_program(&program);
    test_task_free(t);
}
END_TEST

START_TEST(test_expiry_off)
{
    struct program program;
    const void *data;
    size_t size;
    open_program(&program, test_task_new(_i), 1, 1000);
    struct test_task *t = program.t;
    write_round(&program, 1);
    t->clock_ms += 600;
    write_round(&program, 2);
    t->clock_ms += 500; /* the first round is over, but still in the database */
    restart(&program, 1, 0);
    t->clock_ms += 100000;
    restart(&program, 1, 0);
    MUST(cairn_task_set_key(&t->task, "e1", 2));
    ck_assert_int_eq(MUST(cairn_value_get(program.value, &data, &size, ERR)), 0);
    MUST(cairn_task_set_key(&t->task, "e2", 2));
    ck_assert_int_eq(MUST(cairn_value_get(program.value, &data, &size, ERR)), 1);
    MUST(cairn_task_set_key(&t->task, "k", 1));
    ck_assert_int_eq(MUST(cairn_list_load(program.list, ERR)), 1);
    MUST(cairn_list_at(program.list, 0, &data, &size));
    ck_assert_int_eq(item_id(program.serializer, data, size), 2);
    ck_assert_int_eq(MUST(cairn_map_get(program.map, "e1", 2, &data, &size, ERR)), 0);
    ck_assert_int_eq(MUST(cairn_map_get(program.map, "e2", 2, &data, &size, ERR)), 1);
    ck_assert_int_eq(MUST(cairn_reducing_get(program.reducing, &data, &size, ERR)), 1);
    ck_assert_int_eq(MUST(cairn_aggregating_get(program.aggregating, &data, &size, ERR)), 1);
    close_program(&program);
    test_task_free(t);
}
END_TEST

/* Plain values, more of them than one block or memtable write, there and back. */
START_TEST(test_expiry_of_plain_values)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options aging = CAIRN_STATE_OPTIONS_INIT;
    cairn_value *value;
    int64_t n;
    aging.ttl_ms = 1000;
    for (int run = 0; run < 4; run++) {
        MUST(cairn_value_state(&t->task, "v", CAIRN_INT64, run % 2 == 0 ? NULL : &aging, &value,
                               ERR));
        for (int64_t i = 0; i < 3000; i++) {
            MUST(cairn_task_set_key_int64(&t->task, i));
            if (run == 0)
                MUST(cairn_value_put_int64(value, i, ERR));
            ck_assert_int_eq(MUST(cairn_value_get_int64(value, &n, ERR)), 1);
            ck_assert_int_eq(n, i);
        }
        t->clock_ms += run % 2 == 0 ? 5000 : 999;
        test_task_restart(t);
    }
    test_task_free(t);
}
END_TEST

static struct crn_state_ops failing_ops;
static const struct crn_state_ops *real_ops;
static int puts_left;

static int failing_put(struct crn_state_db *db, struct crn_state *state, const void *key,
                       size_t key_size, const void *value, size_t value_size, cairn_error **reterr)
{
    if (puts_left-- <= 0)
        return crn_err_fail(reterr, CAIRN_ENOSPC, NULL, "no space for this test");
    return real_ops->put(db, state, key, key_size, value, value_size, reterr);
}

/* A state that is half rewritten gets into no checkpoint; what was stored is as it was. */
START_TEST(test_half_rewritten)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options aging = CAIRN_STATE_OPTIONS_INIT;
    cairn_value *value;
    aging.ttl_ms = 1000;
    MUST(cairn_value_state(&t->task, "v", CAIRN_INT64, NULL, &value, ERR));
    for (int64_t i = 0; i < 10; i++) {
        MUST(cairn_task_set_key_int64(&t->task, i));
        MUST(cairn_value_put_int64(value, i, ERR));
    }
    test_task_restart(t);
    real_ops = t->task.db->ops;
    failing_ops = *real_ops;
    failing_ops.put = failing_put;
    puts_left = 5;
    t->task.db->ops = &failing_ops;
    MUST_FAIL(CAIRN_ENOSPC, "for this test",
              cairn_value_state(&t->task, "v", CAIRN_INT64, &aging, &value, ERR));
    t->task.db->ops = real_ops;
    struct crn_record *record = crn_record_new();
    MUST_FAIL(CAIRN_EINVAL, "state 'v' of task 'operator' was left half rewritten",
              crn_keyed_describe(&t->task, crn_record_add_operator(record), ERR));
    crn_record_free(record);
    test_task_free(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema evolution");
    TCase *schemas = tcase_create("schemas");
    tcase_set_timeout(schemas, 20);
    tcase_add_loop_test(schemas, test_lazy, 0, 2 * TEST_BACKENDS);
    tcase_add_loop_test(schemas, test_eager, 0, 2 * TEST_BACKENDS);
    tcase_add_loop_test(schemas, test_incompatible, 0, TEST_BACKENDS);
    tcase_add_loop_test(schemas, test_options, 0, TEST_BACKENDS);
    tcase_add_loop_test(schemas, test_unregistered, 0, TEST_BACKENDS);
    tcase_add_test(schemas, test_damaged_values);
    tcase_add_loop_test(schemas, test_migrate_keeps_times, 0, TEST_BACKENDS);
    tcase_add_loop_test(schemas, test_avro, 0, TEST_BACKENDS);
    tcase_add_loop_test(schemas, test_custom, 0, TEST_BACKENDS);
    suite_add_tcase(suite, schemas);
    TCase *expiry = tcase_create("expiry");
    tcase_set_timeout(expiry, 20);
    tcase_add_loop_test(expiry, test_expiry_on, 0, TEST_BACKENDS);
    tcase_add_loop_test(expiry, test_expiry_off, 0, TEST_BACKENDS);
    tcase_add_loop_test(expiry, test_expiry_of_plain_values, 0, TEST_BACKENDS);
    tcase_add_loop_test(expiry, test_half_rewritten, 0, TEST_BACKENDS);
    suite_add_tcase(suite, expiry);
    return crn_test_run(suite);
}
