/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Serializers without a task around them: what constructors refuse, structs in memory, the bytes of
 * struct schemas and values, conversion from one schema to another for every kind of change, JSON,
 * and that no bytes whatever crash a reader: every truncation and every flipped bit of schemas and
 * values gives an error, or something that is valid by all the rules (P11).
 *
 * The Avro part goes through the rules of the specification's resolution, one case for each. The
 * examples of docs/format.md are read from it (P10).
 */

#include "tests/support/tap.h"

#include "engine/serializers/serializer.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static cairn_error *error;
#define ERR (&error)
#define MUST(call) must((call), #call, __LINE__)
#define FAILS(code, words, call) fails((call), code, words, #call, __LINE__)

static void must(int r, const char *call, int line)
{
    ck_assert_msg(r >= 0 && error == NULL, "line %d: %s: %s", line, call,
                  cairn_error_message(error));
}

static void fails(int r, int code, const char *words, const char *call, int line)
{
    const char *message = cairn_error_message(error);
    ck_assert_msg(r == code && cairn_error_code(error) == code, "line %d: %s: %s (%s)", line, call,
                  cairn_error_name(r), message);
    ck_assert_msg(strstr(message, words) != NULL, "line %d: %s: no '%s' in '%s'", line, call, words,
                  message);
    cairn_error_free(error);
    error = NULL;
}

static cairn_serializer *make_struct(const cairn_field *fields, size_t count)
{
    cairn_serializer *made;
    MUST(cairn_struct_serializer("thing", fields, count, &made, ERR));
    return made;
}

static cairn_serializer *make_avro(const char *json)
{
    cairn_serializer *made;
    MUST(cairn_avro_serializer(json, &made, ERR));
    return made;
}

/* A value of a serializer, from JSON, in a copy of its own. */
static void *value_of(const cairn_serializer *serializer, const char *json, size_t *ret_size)
{
    void *data;
    MUST(cairn_value_from_json(serializer->type, &serializer->schema, json, &data, ret_size, ERR));
    return data;
}

static void check_json(const cairn_serializer *serializer, const void *data, size_t size,
                       const char *expected, int line)
{
    char *json;
    MUST(cairn_value_to_json(serializer->type, &serializer->schema, data, size, &json, ERR));
    ck_assert_msg(strcmp(json, expected) == 0, "line %d: %s instead of %s", line, json, expected);
    free(json);
}
#define IS_JSON(serializer, data, size, expected)                                                  \
    check_json(serializer, data, size, expected, __LINE__)

static const cairn_field person[] = {
    {"id", CAIRN_INT64, NULL, 0},
    {"weight", CAIRN_DOUBLE, NULL, 0},
    {"name", CAIRN_STRING, "nobody", 6},
    {"photo", CAIRN_BYTES, NULL, 0},
};

/* ------------------------------------------------------------------------------------------ *
 * Structs
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_struct_round_trip)
{
    cairn_serializer *serializer = make_struct(person, 4);
    cairn_struct *record, *other;
    const void *data;
    size_t size;
    int64_t id;
    double weight;
    MUST(cairn_struct_new(serializer, &record, ERR));
    MUST(cairn_struct_new(serializer, &other, ERR));
    cairn_serializer_release(serializer); /* structs keep their own reference */

    ck_assert_int_eq(cairn_struct_field(record, "name"), 2);
    ck_assert_int_eq(cairn_struct_field(record, "Name"), CAIRN_ENOTFOUND);
    /* Defaults. */
    MUST(cairn_struct_get_int64(record, 0, &id));
    MUST(cairn_struct_get_double(record, 1, &weight));
    ck_assert(id == 0 && weight == 0);
    MUST(cairn_struct_get_bytes(record, 2, &data, &size));
    ck_assert(size == 6 && memcmp(data, "nobody", 6) == 0);

    MUST(cairn_struct_set_int64(record, 0, INT64_MIN));
    MUST(cairn_struct_set_double(record, 1, -0.5));
    MUST(cairn_struct_set_bytes(record, 2, "ann\0e", 5));
    MUST(cairn_struct_set_bytes(record, 3, NULL, 0));
    MUST(cairn_struct_encode(record, &data, &size, ERR));
    ck_assert_uint_eq(size, 8 + 8 + 1 + 5 + 1);
    MUST(cairn_struct_decode(other, data, size, ERR));
    MUST(cairn_struct_get_int64(other, 0, &id));
    MUST(cairn_struct_get_double(other, 1, &weight));
    ck_assert(id == INT64_MIN && weight == -0.5);
    MUST(cairn_struct_get_bytes(other, 2, &data, &size));
    ck_assert(size == 5 && memcmp(data, "ann\0e", 5) == 0);
    /* A field's own bytes may be given back to it, or be a part of it. */
    MUST(cairn_struct_set_bytes(other, 2, "abcdef", 6));
    MUST(cairn_struct_get_bytes(other, 2, &data, &size));
    MUST(cairn_struct_set_bytes(other, 2, (const char *)data + 2, 3));
    MUST(cairn_struct_get_bytes(other, 2, &data, &size));
    ck_assert(size == 3 && memcmp(data, "cde", 3) == 0);
    MUST(cairn_struct_set_bytes(other, 3, data, size));
    MUST(cairn_struct_get_bytes(other, 3, &data, &size));
    ck_assert(size == 3 && memcmp(data, "cde", 3) == 0);
    /* What decode() was given may be what the struct itself encoded. */
    MUST(cairn_struct_encode(other, &data, &size, ERR));
    MUST(cairn_struct_decode(other, data, size, ERR));
    MUST(cairn_struct_get_bytes(other, 2, &data, &size));
    ck_assert(size == 3 && memcmp(data, "cde", 3) == 0);

    cairn_struct_reset(other);
    MUST(cairn_struct_get_bytes(other, 2, &data, &size));
    ck_assert(size == 6 && memcmp(data, "nobody", 6) == 0);
    cairn_struct_free(record);
    cairn_struct_free(other);
    cairn_struct_free(NULL);
}
END_TEST

START_TEST(test_struct_misuse)
{
    cairn_serializer *serializer = make_struct(person, 4);
    cairn_serializer *avro = make_avro("\"long\"");
    cairn_struct *record = NULL;
    const void *data;
    size_t size;
    int64_t id;
    FAILS(CAIRN_EINVAL, "not one of structs", cairn_struct_new(avro, &record, ERR));
    FAILS(CAIRN_EINVAL, "NULL", cairn_struct_new(NULL, &record, ERR));
    ck_assert_ptr_null(record);
    MUST(cairn_struct_new(serializer, &record, ERR));
    ck_assert_int_eq(cairn_struct_set_int64(record, 1, 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_set_int64(record, -1, 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_set_int64(record, 4, 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_set_double(record, 0, 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_set_bytes(record, 0, "", 0), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_set_bytes(record, 2, NULL, 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_get_bytes(record, 0, &data, &size), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_get_int64(record, 2, &id), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_struct_get_int64(NULL, 0, &id), CAIRN_EINVAL);
    /* A value that is none resets the struct. */
    MUST(cairn_struct_set_int64(record, 0, 7));
    FAILS(CAIRN_ECORRUPT, "no value of struct 'thing'",
          cairn_struct_decode(record, "1234567890", 10, ERR));
    MUST(cairn_struct_get_int64(record, 0, &id));
    ck_assert_int_eq(id, 0);
    cairn_struct_free(record);
    cairn_serializer_release(serializer);
    cairn_serializer_release(avro);
    cairn_serializer_release(NULL);
}
END_TEST

static void refuse(const char *words, const char *name, const cairn_field *fields, size_t count)
{
    cairn_serializer *made = NULL;
    FAILS(CAIRN_EINVAL, words, cairn_struct_serializer(name, fields, count, &made, ERR));
    ck_assert_ptr_null(made);
}

START_TEST(test_struct_limits)
{
    static cairn_field many[1025];
    static char names[1025][8];
    static char large[1 << 20];
    for (size_t i = 0; i < 1025; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "f%zu", i);
        many[i] = (cairn_field){names[i], CAIRN_BYTES, NULL, 0};
    }
    refuse("1 to 1024 fields, not 1025", "s", many, 1025);
    refuse("1 to 1024 fields, not 0", "s", many, 0);
    refuse("NULL", "s", NULL, 1);
    refuse("a struct's name", "", many, 1);
    refuse("a struct's name", NULL, many, 1);
    refuse("two fields 'a'", "s", (cairn_field[]){{"a", CAIRN_INT64}, {"a", CAIRN_BYTES}}, 2);
    refuse("name of field 1", "s", (cairn_field[]){{"a", CAIRN_INT64}, {"a\n", CAIRN_BYTES}}, 2);
    refuse("name of field 0", "s", (cairn_field[]){{NULL, CAIRN_INT64}}, 1);
    refuse("neither bytes", "s", (cairn_field[]){{"a", CAIRN_STRUCT}}, 1);
    refuse("neither bytes", "s", (cairn_field[]){{"a", (cairn_type)-1}}, 1);
    refuse("has 8 bytes, not 4", "s", (cairn_field[]){{"a", CAIRN_INT64, "1234", 4}}, 1);
    refuse("is NULL", "s", (cairn_field[]){{"a", CAIRN_BYTES, NULL, 4}}, 1);
    refuse("at most 1048576", "s", (cairn_field[]){{"a", CAIRN_BYTES, large, sizeof(large)}}, 1);
    cairn_serializer_release(make_struct(many, 1024));
    cairn_serializer *full =
        make_struct((cairn_field[]){{"a", CAIRN_BYTES, large, sizeof(large) - 7}}, 1);
    ck_assert_uint_eq(full->schema.size, sizeof(large));
    cairn_serializer_release(full);
}
END_TEST

/* One kind of change: what the comparison says of it, and what a value becomes. */
static void evolve(const cairn_serializer *from, const cairn_serializer *to,
                   cairn_compatibility expected, const char *words, const char *before,
                   const char *after, int line)
{
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    struct crn_converter *converter;
    cairn_compatibility found;
    size_t size;
    MUST(crn_serializer_compare(to, from->type, &from->schema, &found, &why, ERR));
    ck_assert_msg(found == expected, "line %d: %d: %s", line, (int)found, (char *)why.data);
    ck_assert_msg(strstr((char *)why.data, words) != NULL, "line %d: no '%s' in '%s'", line, words,
                  (char *)why.data);
    if (expected == CAIRN_INCOMPATIBLE) {
        ck_assert_int_eq(crn_converter_new(to, &from->schema, &converter, ERR), CAIRN_EMISMATCH);
        cairn_error_free(error);
        error = NULL;
        FAILS(CAIRN_EMISMATCH, "",
              cairn_value_convert(from->type, &from->schema, &to->schema, "", 0, &(void *){NULL},
                                  &(size_t){0}, ERR));
        return;
    }
    void *data = value_of(from, before, &size);
    MUST(crn_converter_new(to, &from->schema, &converter, ERR));
    MUST(crn_convert(converter, data, size, &out, ERR));
    check_json(to, out.data, out.size, after, line);
    if (expected == CAIRN_COMPATIBLE_AS_IS)
        ck_assert(out.size == size && memcmp(out.data, data, size) == 0);
    /* Every truncated value is refused, or is one. */
    for (size_t n = 0; n < size; n++)
        if (crn_convert(converter, data, n, &out, NULL) == 0)
            ck_assert(crn_serializer_is_value(to, out.data, out.size));
    crn_converter_free(converter);
    /* The public call does the same. */
    void *converted;
    size_t converted_size;
    MUST(cairn_value_convert(from->type, &from->schema, &to->schema, data, size, &converted,
                             &converted_size, ERR));
    check_json(to, converted, converted_size, after, line);
    free(converted);
    if (size > 0)
        FAILS(CAIRN_ECORRUPT, "no value",
              cairn_value_convert(from->type, &from->schema, &to->schema, data, size - 1,
                                  &converted, &converted_size, ERR));
    free(data);
}

static void evolve_struct(const cairn_field *from, size_t from_count, const cairn_field *to,
                          size_t to_count, cairn_compatibility expected, const char *words,
                          const char *before, const char *after, int line)
{
    cairn_serializer *old = make_struct(from, from_count), *new = make_struct(to, to_count);
    evolve(old, new, expected, words, before, after, line);
    cairn_serializer_release(old);
    cairn_serializer_release(new);
}
#define FIELDS(...) (cairn_field[]){__VA_ARGS__}, CRN_COUNT(((cairn_field[]){__VA_ARGS__}))

START_TEST(test_struct_evolution)
{
    uint8_t seven[8];
    cairn_encode_int64(7, seven);
    evolve_struct(person, 4, person, 4, CAIRN_COMPATIBLE_AS_IS, "stored as thing {id int64",
                  "{\"id\":1}", "{\"id\":1,\"weight\":0.0,\"name\":\"nobody\",\"photo\":\"hex:\"}",
                  __LINE__);
    /* Added, with and without a default. */
    evolve_struct(FIELDS({"a", CAIRN_INT64}),
                  FIELDS({"n", CAIRN_INT64, seven, 8}, {"a", CAIRN_INT64},
                         {"s", CAIRN_STRING, "x", 1}, {"d", CAIRN_DOUBLE}),
                  CAIRN_COMPATIBLE_AFTER_MIGRATION, "given as thing {n int64, a int64",
                  "{\"a\":-3}", "{\"n\":7,\"a\":-3,\"s\":\"x\",\"d\":0.0}", __LINE__);
    /* Removed. */
    evolve_struct(person, 4, FIELDS({"name", CAIRN_STRING}), CAIRN_COMPATIBLE_AFTER_MIGRATION, "",
                  "{\"id\":1,\"name\":\"bo\"}", "{\"name\":\"bo\"}", __LINE__);
    /* Reordered. */
    evolve_struct(FIELDS({"a", CAIRN_STRING}, {"b", CAIRN_INT64}),
                  FIELDS({"b", CAIRN_INT64}, {"a", CAIRN_STRING}), CAIRN_COMPATIBLE_AFTER_MIGRATION,
                  "", "{\"a\":\"x\",\"b\":2}", "{\"b\":2,\"a\":\"x\"}", __LINE__);
    /* Another default alone. */
    evolve_struct(FIELDS({"a", CAIRN_STRING}), FIELDS({"a", CAIRN_STRING, "z", 1}),
                  CAIRN_COMPATIBLE_AS_IS, "", "{}", "{\"a\":\"\"}", __LINE__);
    /* Nothing in common. */
    evolve_struct(FIELDS({"a", CAIRN_STRING}), FIELDS({"b", CAIRN_STRING, "z", 1}),
                  CAIRN_COMPATIBLE_AFTER_MIGRATION, "", "{}", "{\"b\":\"z\"}", __LINE__);
    /* Another type. */
    evolve_struct(FIELDS({"a", CAIRN_STRING}, {"n", CAIRN_INT64}),
                  FIELDS({"n", CAIRN_DOUBLE}, {"a", CAIRN_STRING}), CAIRN_INCOMPATIBLE,
                  "field 'n' was int64 and would be double", "", "", __LINE__);
    evolve_struct(FIELDS({"a", CAIRN_STRING}), FIELDS({"a", CAIRN_BYTES}), CAIRN_INCOMPATIBLE,
                  "field 'a' was string and would be bytes", "", "", __LINE__);
}
END_TEST

START_TEST(test_struct_hostile)
{
    cairn_serializer *good = make_struct(person, 4), *other;
    size_t size;
    void *value = value_of(good, "{\"id\":5,\"name\":\"kim\",\"photo\":\"hex:00ff\"}", &size);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    size_t parsed = 0, converted = 0;
    MUST(crn_buf_append(&bytes, good->schema.bytes, good->schema.size));
    for (size_t n = 0; n < bytes.size; n++) {
        cairn_schema_info cut = {.name = "s", .bytes = bytes.data, .size = n};
        FAILS(CAIRN_ECORRUPT, "", cairn_serializer_of_schema(CAIRN_STRUCT, &cut, &other, ERR));
    }
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        cairn_schema_info flipped = {.name = "s", .bytes = bytes.data, .size = bytes.size};
        cairn_compatibility found;
        struct crn_converter *converter;
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = cairn_serializer_of_schema(CAIRN_STRUCT, &flipped, &other, NULL);
        ck_assert(r == 0 || r == CAIRN_ECORRUPT);
        if (r == 0) {
            parsed++;
            cairn_serializer_release(other);
            MUST(crn_serializer_compare(good, CAIRN_STRUCT, &flipped, &found, &why, ERR));
            if (found != CAIRN_INCOMPATIBLE) {
                MUST(crn_converter_new(good, &flipped, &converter, ERR));
                if (crn_convert(converter, value, size, &out, NULL) == 0) {
                    converted++;
                    ck_assert(crn_serializer_is_value(good, out.data, out.size));
                }
                crn_converter_free(converter);
            }
        }
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_msg(parsed > 10 && converted > 10, "%zu, %zu", parsed, converted);
    /* Values: what still is one has a form in JSON, and comes back as the same bytes. */
    for (size_t n = 0; n < size; n++)
        ck_assert(!crn_serializer_is_value(good, value, n));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        uint8_t *at = (uint8_t *)value + bit / 8;
        char *json;
        *at ^= (uint8_t)(1u << bit % 8);
        if (crn_serializer_is_value(good, value, size)) {
            void *back;
            size_t back_size;
            MUST(cairn_value_to_json(CAIRN_STRUCT, &good->schema, value, size, &json, ERR));
            back = value_of(good, json, &back_size);
            ck_assert_msg((back_size == size && memcmp(back, value, size) == 0) ||
                              strstr(json, "NaN") != NULL, /* there are many */
                          "%s", json);
            free(back);
            free(json);
        } else {
            FAILS(CAIRN_ECORRUPT, "no value",
                  cairn_value_to_json(CAIRN_STRUCT, &good->schema, value, size, &json, ERR));
        }
        *at ^= (uint8_t)(1u << bit % 8);
    }
    free(value);
    cairn_serializer_release(good);
}
END_TEST

START_TEST(test_struct_json)
{
    cairn_serializer *serializer = make_struct(person, 4);
    size_t size;
    void *data;
    static const char full[] = "{\"id\":-9223372036854775808,\"weight\":\"-Infinity\",\"name\":"
                               "\"a\\n\\u0000\\\"/\",\"photo\":\"hex:00ff\"}";
    data = value_of(serializer, full, &size);
    IS_JSON(serializer, data, size, full);
    free(data);
    /* Text that is none, or looks like bytes, is given as bytes. */
    data = value_of(serializer, "{\"name\":\"hex:6865783a\",\"weight\":0.1}", &size);
    IS_JSON(serializer, data, size,
            "{\"id\":0,\"weight\":0.1,\"name\":\"hex:6865783a\",\"photo\":\"hex:\"}");
    free(data);
    data = value_of(serializer, "{\"name\":\"hex:ff\",\"weight\":\"NaN\"}", &size);
    IS_JSON(serializer, data, size,
            "{\"id\":0,\"weight\":\"NaN\",\"name\":\"hex:ff\",\"photo\":\"hex:\"}");
    free(data);
    static const struct {
        const char *json, *words;
    } wrong[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"{} {}", "not JSON"},
        {"[]", "a JSON object"},
        {"null", "a JSON object"},
        {"{\"x\":1}", "no field 'x'"},
        {"{\"id\":1.5}", "field 'id': not a value of type int64"},
        {"{\"id\":9223372036854775808}", "field 'id'"},
        {"{\"id\":\"1\"}", "field 'id'"},
        {"{\"weight\":\"Inf\"}", "field 'weight'"},
        {"{\"weight\":1e999}", "field 'weight'"},
        {"{\"weight\":100000000000000000000}", "field 'weight'"}, /* no integer of 64 bits */
        {"{\"weight\":-100000000000000000000}", "field 'weight'"},
        {"{\"photo\":\"00ff\"}", "field 'photo'"},
        {"{\"photo\":\"hex:0\"}", "field 'photo'"},
        {"{\"photo\":\"hex:0G\"}", "field 'photo'"},
        {"{\"name\":7}", "field 'name'"},
    };
    for (size_t i = 0; i < CRN_COUNT(wrong); i++)
        FAILS(CAIRN_EINVAL, wrong[i].words,
              cairn_value_from_json(CAIRN_STRUCT, &serializer->schema, wrong[i].json, &data, &size,
                                    ERR));
    FAILS(CAIRN_EINVAL, "not custom",
          cairn_value_from_json(CAIRN_CUSTOM, &serializer->schema, "{}", &data, &size, ERR));
    FAILS(CAIRN_EINVAL, "only schemas",
          cairn_serializer_of_schema(CAIRN_BYTES, &serializer->schema, &(cairn_serializer *){NULL},
                                     ERR));
    cairn_serializer_release(serializer);
}
END_TEST

/* The example behind a mark of docs/format.md. */
static void read_example(const char *mark, struct cairn_buffer *out)
{
    char line[256];
    int fences = 0;
    FILE *document = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    ck_assert_ptr_nonnull(document);
    while (fgets(line, sizeof(line), document) != NULL && strncmp(line, mark, strlen(mark)) != 0)
        continue;
    while (fences < 2 && fgets(line, sizeof(line), document) != NULL) {
        if (strncmp(line, "```", 3) == 0) {
            fences++;
            continue;
        }
        char *end, *at = line;
        for (unsigned long byte; *at != '#'; at = end) {
            byte = strtoul(at, &end, 16);
            if (end == at)
                break;
            MUST(crn_buf_append_u8(out, (uint8_t)byte));
        }
    }
    (void)fclose(document);
    ck_assert_msg(fences == 2 && out->size > 0, "no example '%s'", mark);
}

START_TEST(test_struct_documented)
{
    CRN_AUTO_BUFFER struct cairn_buffer schema = {0};
    CRN_AUTO_BUFFER struct cairn_buffer value = {0};
    CRN_AUTO_BUFFER struct cairn_buffer tagged = {0};
    uint8_t seven[8];
    size_t size;
    cairn_encode_int64(7, seven);
    cairn_serializer *serializer =
        make_struct((cairn_field[]){{"id", CAIRN_INT64, seven, 8}, {"name", CAIRN_STRING}}, 2);
    read_example("<!-- hex struct schema -->", &schema);
    read_example("<!-- hex struct value -->", &value);
    read_example("<!-- hex tagged value -->", &tagged);
    ck_assert_uint_eq(schema.size, serializer->schema.size);
    ck_assert_mem_eq(schema.data, serializer->schema.bytes, schema.size);
    void *made = value_of(serializer, "{\"id\":-1,\"name\":\"ab\"}", &size);
    ck_assert_uint_eq(value.size, size);
    ck_assert_mem_eq(value.data, made, size);
    ck_assert_uint_eq(tagged.size, size + 1);
    ck_assert_mem_eq(tagged.data + 1, made, size);
    free(made);
    cairn_serializer_release(serializer);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Avro
 * ------------------------------------------------------------------------------------------ */

static const char *const good_schemas[] = {
    "\"long\"",
    "{\"type\":\"string\",\"logicalType\":\"uuid\"}",
    "[\"null\",\"int\",{\"type\":\"array\",\"items\":\"bytes\"}]",
    "{\"type\":\"record\",\"name\":\"a.b.C\",\"fields\":[]}",
    /* A list of its own kind, referred to in its own namespace. */
    "{\"type\":\"record\",\"name\":\"Node\",\"namespace\":\"n\",\"fields\":[{\"name\":\"next\","
    "\"type\":[\"null\",\"Node\"]},{\"name\":\"v\",\"type\":{\"type\":\"fixed\",\"name\":\"F\","
    "\"size\":2}},{\"name\":\"w\",\"type\":\"n.F\"}]}",
    "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],\"default\":\"B\"}",
    "{\"type\":\"map\",\"values\":{\"type\":\"map\",\"values\":\"null\"}}",
};
static const struct {
    const char *json, *words;
} bad_schemas[] = {
    {"", "not JSON"},
    {"long", "not JSON"},
    {"\"long\" ]", "not JSON"},
    {"3", "a type is"},
    {"{}", "a type is"},
    {"\"lang\"", "no type 'lang'"},
    {"\"lo\\u0000ng\"", "a type is"},
    {"[]", "1 to 1024 branches"},
    {"[\"int\",\"int\"]", "two branches 'int'"},
    {"[\"int\",[\"null\"]]", "a union within a union"},
    {"{\"type\":\"record\",\"fields\":[]}", "needs a name"},
    {"{\"type\":\"record\",\"name\":\"1x\",\"fields\":[]}", "needs a name"},
    {"{\"type\":\"record\",\"name\":\"a..b\",\"fields\":[]}", "needs a name"},
    {"{\"type\":\"record\",\"name\":\"int\",\"fields\":[]}", "cannot be named 'int'"},
    {"{\"type\":\"record\",\"name\":\"R\"}", "no list"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\"}]}", "no type for"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},"
     "{\"name\":\"a\",\"type\":\"int\"}]}",
     "two fields 'a'"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":"
     "\"record\",\"name\":\"R\",\"fields\":[]}}]}",
     "two types 'R'"},
    {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[]}", "symbols"},
    {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}", "twice"},
    {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}", "default"},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "size"},
    {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":1.5}", "size"},
    {"{\"type\":\"array\"}", "no items"},
};

START_TEST(test_avro_schemas)
{
    for (size_t i = 0; i < CRN_COUNT(good_schemas); i++) {
        cairn_serializer_release(make_avro(good_schemas[i]));
        /* Whatever is cut off or flipped: an error, or a schema. */
        for (size_t n = 0; n < 8 * strlen(good_schemas[i]); n++) {
            char *text = strdup(good_schemas[i]);
            cairn_serializer *made;
            if (n < strlen(text))
                text[n] = 0;
            else
                text[n / 8] ^= (char)(1 << n % 8);
            if (cairn_avro_serializer(text, &made, NULL) == 0)
                cairn_serializer_release(made);
            free(text);
        }
    }
    for (size_t i = 0; i < CRN_COUNT(bad_schemas); i++) {
        cairn_serializer *made = NULL;
        FAILS(CAIRN_EINVAL, bad_schemas[i].words,
              cairn_avro_serializer(bad_schemas[i].json, &made, ERR));
        ck_assert_ptr_null(made);
        cairn_schema_info stored = {.name = "s",
                                    .bytes = (const uint8_t *)bad_schemas[i].json,
                                    .size = strlen(bad_schemas[i].json)};
        FAILS(CAIRN_ECORRUPT, bad_schemas[i].words,
              cairn_serializer_of_schema(CAIRN_AVRO, &stored, &made, ERR));
    }
    /* Deeper than any parser should follow. */
    static char deep[5000];
    for (size_t i = 0; i < 1000; i++)
        deep[i] = '[';
    cairn_serializer *made;
    FAILS(CAIRN_EINVAL, "not JSON", cairn_avro_serializer(deep, &made, ERR));
}
END_TEST

static const char everything[] =
    "{\"type\":\"record\",\"name\":\"All\",\"fields\":["
    "{\"name\":\"n\",\"type\":\"null\"},{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\",\"type\":\"long\"},"
    "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},"
    "{\"name\":\"y\",\"type\":\"bytes\"},{\"name\":\"s\",\"type\":\"string\"},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}},"
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"int\"}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"string\"}},"
    "{\"name\":\"u\",\"type\":[\"null\",\"string\",\"All\"]}]}";
static const char everything_value[] =
    "{\"n\":null,\"b\":true,\"i\":-2147483648,\"l\":9223372036854775807,\"f\":0.5,\"d\":-1e+300,"
    "\"y\":\"hex:00ff\",\"s\":\"\xc3\xa4\",\"e\":\"B\",\"x\":\"hex:0102\",\"a\":[1,-1],"
    "\"m\":{\"k\":\"v\"},\"u\":{\"string\":\"t\"}}";

START_TEST(test_avro_values)
{
    cairn_serializer *serializer = make_avro(everything);
    size_t size;
    uint8_t *data = value_of(serializer, everything_value, &size);
    IS_JSON(serializer, data, size, everything_value);
    /* As the specification writes them. */
    static const uint8_t expected[] = "\x01\xff\xff\xff\xff\x0f\xfe\xff\xff\xff\xff\xff\xff\xff\xff"
                                      "\x01\x00\x00\x00\x3f";
    ck_assert(memcmp(data, expected, sizeof(expected) - 1) == 0);
    static const uint8_t end[] = "\x04\x02\x01\x00\x02\x02k\x02v\x00\x02\x02t";
    ck_assert(memcmp(data + size - (sizeof(end) - 1), end, sizeof(end) - 1) == 0);
    for (size_t n = 0; n < size; n++)
        ck_assert(!crn_serializer_is_value(serializer, data, n));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        char *json;
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = cairn_value_to_json(CAIRN_AVRO, &serializer->schema, data, size, &json, NULL);
        ck_assert_int_eq(r == 0, crn_serializer_is_value(serializer, data, size));
        if (r == 0) {
            size_t back_size;
            void *back = value_of(serializer, json, &back_size);
            ck_assert(back_size == size && memcmp(back, data, size) == 0);
            free(back);
            free(json);
        }
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(data);
    cairn_serializer_release(serializer);
    cairn_serializer *single = make_avro("\"float\"");
    data = value_of(single, "3.4028235e38", &size); /* rounds to the largest */
    ck_assert(size == 4 && memcmp(data, "\xff\xff\x7f\x7f", 4) == 0);
    free(data);
    FAILS(
        CAIRN_EINVAL, "not a value of the Avro type float",
        cairn_value_from_json(CAIRN_AVRO, &single->schema, "-3.5e38", (void **)&data, &size, ERR));
    cairn_serializer_release(single);
}
END_TEST

START_TEST(test_avro_hostile_counts)
{
    /* Items without bytes could be counted for ever, and lists could nest for ever. */
    cairn_serializer *nulls = make_avro("{\"type\":\"array\",\"items\":\"null\"}");
    cairn_serializer *list = make_avro("{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":"
                                       "\"next\",\"type\":[\"null\",\"L\"]}]}");
    static const uint8_t forever[] = "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00";
    static uint8_t nested[100000];
    memset(nested, 2, sizeof(nested) - 1);
    ck_assert(!crn_serializer_is_value(nulls, forever, 11));
    ck_assert(crn_serializer_is_value(nulls, "\x14\x00", 2));
    ck_assert(crn_serializer_is_value(nulls, "\x13\x00\x00", 3)); /* with the block's size */
    ck_assert(!crn_serializer_is_value(list, nested, sizeof(nested)));
    ck_assert(crn_serializer_is_value(list, nested + sizeof(nested) - 50, 50));
    /* 2^60 steps without a byte, by records that hold each other twice. */
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    MUST(crn_buf_printf(&text, "[{\"type\":\"record\",\"name\":\"R0\",\"fields\":[]}"));
    for (int i = 1; i <= 60; i++)
        MUST(crn_buf_printf(&text,
                            ",{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\","
                            "\"type\":\"R%d\"},{\"name\":\"b\",\"type\":\"R%d\"}]}",
                            i, i - 1, i - 1));
    MUST(crn_buf_printf(&text, "]"));
    cairn_serializer *twice = make_avro((char *)text.data);
    ck_assert(crn_serializer_is_value(twice, "\x08", 1));
    ck_assert(!crn_serializer_is_value(twice, "\x78", 1));
    cairn_serializer_release(nulls);
    cairn_serializer_release(list);
    cairn_serializer_release(twice);
}
END_TEST

#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define RECORD(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define RECORD2(fields) "{\"type\":\"record\",\"name\":\"S\",\"fields\":[" fields "]}"
#define WITH(name, type, fallback)                                                                 \
    "{\"name\":\"" name "\",\"type\":" type ",\"default\":" fallback "}"
#define FIXED(size) "{\"type\":\"fixed\",\"name\":\"F\",\"size\":" size "}"
#define ENUM(rest) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":" rest "}"

static const struct {
    int line;
    const char *from, *to;
    cairn_compatibility expected;
    const char *words; /* in the reason, if it is incompatible */
    const char *before, *after;
} cases[] = {
#define AS_IS CAIRN_COMPATIBLE_AS_IS
#define MIGRATE CAIRN_COMPATIBLE_AFTER_MIGRATION
#define NO CAIRN_INCOMPATIBLE
    {__LINE__, everything, everything, AS_IS, "", everything_value, everything_value},
    {__LINE__, "\"int\"", "{ \"type\" : \"int\" }", AS_IS, "", "5", "5"},
    {__LINE__, "\"int\"", "\"long\"", AS_IS, "", "-7", "-7"},
    {__LINE__, "\"int\"", "\"float\"", MIGRATE, "", "-7", "-7.0"},
    {__LINE__, "\"int\"", "\"double\"", MIGRATE, "", "-7", "-7.0"},
    {__LINE__, "\"long\"", "\"double\"", MIGRATE, "", "1099511627776", "1099511627776.0"},
    {__LINE__, "\"float\"", "\"double\"", MIGRATE, "", "0.5", "0.5"},
    {__LINE__, "\"string\"", "\"bytes\"", AS_IS, "", "\"ab\"", "\"hex:6162\""},
    {__LINE__, "\"bytes\"", "\"string\"", AS_IS, "", "\"hex:6162\"", "\"ab\""},
    {__LINE__, "\"long\"", "\"int\"", NO, "long cannot be read as int", "", ""},
    {__LINE__, "\"double\"", "\"float\"", NO, "", "", ""},
    {__LINE__, "\"string\"", "\"int\"", NO, "string cannot be read as int", "", ""},
    /* Fields: added, removed, reordered, renamed. */
    {__LINE__, RECORD(FIELD("a", "\"int\"")),
     RECORD(WITH("z", "\"string\"", "\"dflt\"") "," FIELD("a", "\"long\"")), MIGRATE, "",
     "{\"a\":3}", "{\"z\":\"dflt\",\"a\":3}"},
    {__LINE__, RECORD(FIELD("a", "\"int\"")),
     RECORD(FIELD("a", "\"int\"") "," FIELD("b", RECORD2(FIELD("z", "\"string\"")))), NO,
     "field 'b': is new, and has no default", "", ""},
    {__LINE__, RECORD(FIELD("a", "\"int\"")),
     RECORD(FIELD("a", "\"int\"") "," WITH("b", "\"int\"", "\"x\"")), NO,
     "field 'b': is new, and its default is not a value of the Avro type int", "", ""},
    {__LINE__, RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"string\"") "," FIELD("c", "\"int\"")),
     RECORD(FIELD("c", "\"int\"") "," FIELD("a", "\"int\"")), MIGRATE, "",
     "{\"a\":1,\"b\":\"x\",\"c\":2}", "{\"c\":2,\"a\":1}"},
    {__LINE__, RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"string\"")),
     RECORD(FIELD("b", "\"string\"")), MIGRATE, "", "{\"a\":1,\"b\":\"x\"}", "{\"b\":\"x\"}"},
    {__LINE__, RECORD(FIELD("a", "\"int\"")),
     RECORD("{\"name\":\"b\",\"type\":\"int\",\"aliases\":[\"a\"]}"), AS_IS, "", "{\"a\":1}",
     "{\"b\":1}"},
    {__LINE__, RECORD(FIELD("a", RECORD2(FIELD("x", "\"int\"")))),
     RECORD(FIELD("a", RECORD2(FIELD("x", "\"string\"")))), NO,
     "field 'a.x': int cannot be read as string", "", ""},
    {__LINE__, RECORD(FIELD("a", "\"int\"")), RECORD2(FIELD("a", "\"int\"")), NO,
     "R cannot be read as S", "", ""},
    {__LINE__, RECORD(FIELD("a", "\"int\"")),
     "{\"type\":\"record\",\"name\":\"n.S\",\"aliases\":[\"R\"],\"fields\":["
     "{\"name\":\"a\",\"type\":\"int\"}]}",
     AS_IS, "", "{\"a\":1}", "{\"a\":1}"},
    /* Defaults of every form. */
    {__LINE__, RECORD(FIELD("a", "\"int\"")),
     RECORD(FIELD("a", "\"int\"") "," WITH("u", "[\"null\",\"int\"]", "null") "," WITH(
         "v", "[\"int\",\"null\"]",
         "4") "," WITH("y", "\"bytes\"",
                       "\"\\u00ff\\u0001\"") "," WITH("r", RECORD2(WITH("x", "\"double\"", "0.5")),
                                                      "{}") "," WITH("l",
                                                                     "{\"type\":\"array\","
                                                                     "\"items\":\"long\"}",
                                                                     "[1,2]") "," WITH("e",
                                                                                       ENUM("[\""
                                                                                            "A\""
                                                                                            ",\""
                                                                                            "B\""
                                                                                            "]"),
                                                                                       "\"B"
                                                                                       "\"")),
     MIGRATE, "", "{\"a\":1}",
     "{\"a\":1,\"u\":null,\"v\":{\"int\":4},\"y\":\"hex:ff01\",\"r\":{\"x\":0.5},\"l\":[1,2],"
     "\"e\":\"B\"}"},
    /* Enums and fixed. */
    {__LINE__, ENUM("[\"A\",\"B\"]"), ENUM("[\"A\",\"B\",\"C\"]"), AS_IS, "", "\"B\"", "\"B\""},
    {__LINE__, ENUM("[\"A\",\"B\"]"), ENUM("[\"B\",\"A\"]"), MIGRATE, "", "\"B\"", "\"B\""},
    {__LINE__, ENUM("[\"A\",\"B\"]"), ENUM("[\"A\",\"U\"],\"default\":\"U\""), AS_IS, "", "\"B\"",
     "\"U\""},
    {__LINE__, ENUM("[\"A\",\"B\"]"), ENUM("[\"A\"]"), NO, "symbol 'B' of enum E is gone", "", ""},
    {__LINE__, FIXED("2"), FIXED("2"), AS_IS, "", "\"hex:0102\"", "\"hex:0102\""},
    {__LINE__, FIXED("2"), FIXED("3"), NO, "F cannot be read as F", "", ""},
    /* Unions. */
    {__LINE__, "\"int\"", "[\"null\",\"double\",\"long\",\"int\"]", MIGRATE, "", "3",
     "{\"int\":3}"},
    {__LINE__, "\"int\"", "[\"null\",\"double\"]", MIGRATE, "", "3", "{\"double\":3.0}"},
    {__LINE__, "[\"null\",\"int\"]", "[\"int\",\"null\"]", MIGRATE, "", "{\"int\":3}",
     "{\"int\":3}"},
    {__LINE__, "[\"null\",\"int\"]", "[\"null\",\"int\",\"string\"]", AS_IS, "", "null", "null"},
    {__LINE__, "[\"int\",\"string\"]", "\"string\"", NO, "int cannot be read as string", "", ""},
    {__LINE__, "[\"int\",\"long\"]", "\"double\"", MIGRATE, "", "{\"long\":3}", "3.0"},
    {__LINE__, "\"string\"", "[\"null\",\"int\"]", NO, "no branch for string", "", ""},
    {__LINE__, "[\"null\"," RECORD(FIELD("a", "\"int\"")) "]",
     "[\"null\"," RECORD(FIELD("a", "\"string\"")) "]", NO,
     "field 'a': int cannot be read as string", "", ""},
    /* Arrays, maps, and a type that holds itself. */
    {__LINE__, "{\"type\":\"array\",\"items\":\"int\"}",
     "{\"type\":\"array\",\"items\":\"double\"}", MIGRATE, "", "[1,2]", "[1.0,2.0]"},
    {__LINE__, "{\"type\":\"map\",\"values\":\"int\"}", "{\"type\":\"map\",\"values\":\"float\"}",
     MIGRATE, "", "{\"a\":1}", "{\"a\":1.0}"},
    {__LINE__, "{\"type\":\"map\",\"values\":\"int\"}", "{\"type\":\"array\",\"items\":\"int\"}",
     NO, "map cannot be read as array", "", ""},
    {__LINE__, RECORD(FIELD("v", "\"int\"") "," FIELD("next", "[\"null\",\"R\"]")),
     RECORD(FIELD("next", "[\"null\",\"R\"]") "," FIELD("v", "\"long\"") "," WITH("w", "\"int\"",
                                                                                  "9")),
     MIGRATE, "", "{\"v\":1,\"next\":{\"R\":{\"v\":2,\"next\":null}}}",
     "{\"next\":{\"R\":{\"next\":null,\"v\":2,\"w\":9}},\"v\":1,\"w\":9}"},
    /* B fits p.B as long as A fits p.A, of which the field behind it says that it does not. So what
     * was planned for B in x, where A goes to q.A, is nothing for y. */
    {__LINE__,
     RECORD(FIELD(
         "x",
         "{\"type\":\"record\",\"name\":\"A\",\"fields\":[" FIELD(
             "b",
             "[\"null\",{\"type\":\"record\",\"name\":\"B\",\"fields\":[" FIELD(
                 "a", "[\"null\",\"A\"]") "]}]") "," FIELD("n",
                                                           "\"int\"") "]}") "," FIELD("y",
                                                                                      "\"B\"")),
     RECORD(FIELD(
         "x",
         "[{\"type\":\"record\",\"name\":\"p.A\",\"fields\":[" FIELD(
             "b",
             "[\"null\",{\"type\":"
             "\"record\",\"name\":"
             "\"p.B\",\"fields\":"
             "[" FIELD(
                 "a",
                 "[\"nul"
                 "l\","
                 "\"p."
                 "A\"]") "]}]") "," FIELD("n",
                                          "\"string\"") "]},"
                                                        "{\"type\":\"record\",\"name\":\"q.A\","
                                                        "\"fields\":[" FIELD(
                                                            "n",
                                                            "\"int\"") "]}]") "," FIELD("y",
                                                                                        "\"p.B\"")),
     NO, "field 'y.a': record A cannot be read", "", ""},
};

START_TEST(test_avro_evolution)
{
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        cairn_serializer *from = make_avro(cases[i].from), *to = make_avro(cases[i].to);
        evolve(from, to, cases[i].expected, cases[i].words, cases[i].before, cases[i].after,
               cases[i].line);
        cairn_serializer_release(from);
        cairn_serializer_release(to);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The caller's own
 * ------------------------------------------------------------------------------------------ */

static int answer;
static int released;

static int custom_compare(void *context, uint32_t version, const void *schema, size_t size,
                          cairn_compatibility *ret, cairn_buffer *why)
{
    ck_assert(context == &answer && version == 1 && size == 3 && memcmp(schema, "old", 3) == 0);
    *ret = (cairn_compatibility)answer;
    return answer < 0 ? answer : cairn_buffer_append(why, "be\ncause", 8);
}

static int custom_migrate(void *context, uint32_t version, const void *schema, size_t schema_size,
                          const void *data, size_t size, cairn_buffer *out)
{
    ck_assert(context == &answer && version == 1 && memcmp(schema, "old", schema_size) == 0);
    if (size == 0)
        return CAIRN_ECORRUPT;
    CRN_TRY(cairn_buffer_append(out, "new:", 4));
    return cairn_buffer_append(out, data, size);
}

static void custom_release(void *context)
{
    ck_assert_ptr_eq(context, &answer);
    released++;
}

START_TEST(test_custom)
{
    cairn_custom_functions functions = CAIRN_CUSTOM_FUNCTIONS_INIT;
    cairn_serializer *old, *same, *other, *new;
    cairn_compatibility found;
    struct crn_converter *converter;
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    MUST(cairn_custom_serializer("mine", 1, "old", 3, NULL, &old, ERR));
    MUST(cairn_custom_serializer("mine", 1, "old", 3, NULL, &same, ERR));
    MUST(cairn_custom_serializer("theirs", 1, "old", 3, NULL, &other, ERR));
    functions.context = &answer;
    functions.compare = custom_compare;
    functions.migrate = custom_migrate;
    functions.release = custom_release;
    MUST(cairn_custom_serializer("mine", 2, NULL, 0, &functions, &new, ERR));

    /* Without functions, the same is the same, and nothing else is. */
    MUST(crn_serializer_compare(same, CAIRN_CUSTOM, &old->schema, &found, &why, ERR));
    ck_assert_int_eq(found, CAIRN_COMPATIBLE_AS_IS);
    MUST(crn_serializer_compare(old, CAIRN_CUSTOM, &new->schema, &found, &why, ERR));
    ck_assert_int_eq(found, CAIRN_INCOMPATIBLE);
    /* Another name is another thing, and nobody is asked. */
    MUST(crn_serializer_compare(new, CAIRN_CUSTOM, &other->schema, &found, &why, ERR));
    ck_assert_int_eq(found, CAIRN_INCOMPATIBLE);
    ck_assert_ptr_nonnull(strstr((char *)why.data, "'theirs' version 1, given 'mine' version 2"));
    for (answer = 0; answer <= 2; answer++) {
        MUST(crn_serializer_compare(new, CAIRN_CUSTOM, &old->schema, &found, &why, ERR));
        ck_assert_int_eq((int)found, answer);
        ck_assert_ptr_nonnull(strstr((char *)why.data, ": be?cause"));
    }
    answer = 3;
    FAILS(CAIRN_EINVAL, "compare function returned 3",
          crn_serializer_compare(new, CAIRN_CUSTOM, &old->schema, &found, &why, ERR));
    answer = CAIRN_EIO;
    FAILS(CAIRN_EIO, "compare function",
          crn_serializer_compare(new, CAIRN_CUSTOM, &old->schema, &found, &why, ERR));
    MUST(crn_converter_new(new, &old->schema, &converter, ERR));
    cairn_serializer_release(new);
    ck_assert_int_eq(released, 0); /* the converter has a reference */
    MUST(crn_convert(converter, "v", 1, &out, ERR));
    ck_assert_str_eq((char *)out.data, "new:v");
    FAILS(CAIRN_ECORRUPT, "migrate", crn_convert(converter, "", 0, &out, ERR));
    crn_converter_free(converter);
    ck_assert_int_eq(released, 1);

    new = NULL;
    FAILS(CAIRN_EINVAL, "name", cairn_custom_serializer("", 1, NULL, 0, NULL, &new, ERR));
    FAILS(CAIRN_EINVAL, "NULL", cairn_custom_serializer("m", 1, NULL, 1, NULL, &new, ERR));
    FAILS(CAIRN_EINVAL, "at most",
          cairn_custom_serializer("m", 1, "x", ((size_t)1 << 20) + 1, NULL, &new, ERR));
    ck_assert_ptr_null(new);
    cairn_serializer_release(old);
    cairn_serializer_release(same);
    cairn_serializer_release(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serializers");
    TCase *structs = tcase_create("structs");
    tcase_set_timeout(structs, 20);
    tcase_add_test(structs, test_struct_round_trip);
    tcase_add_test(structs, test_struct_misuse);
    tcase_add_test(structs, test_struct_limits);
    tcase_add_test(structs, test_struct_evolution);
    tcase_add_test(structs, test_struct_hostile);
    tcase_add_test(structs, test_struct_json);
    tcase_add_test(structs, test_struct_documented);
    suite_add_tcase(suite, structs);
    TCase *avro = tcase_create("avro");
    tcase_set_timeout(avro, 20);
    tcase_add_test(avro, test_avro_schemas);
    tcase_add_test(avro, test_avro_values);
    tcase_add_test(avro, test_avro_hostile_counts);
    tcase_add_test(avro, test_avro_evolution);
    suite_add_tcase(suite, avro);
    TCase *custom = tcase_create("custom");
    tcase_add_test(custom, test_custom);
    suite_add_tcase(suite, custom);
    return crn_test_run(suite);
}
