/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Serializers without a task around them: what constructors refuse, structs in memory, the bytes of
 * struct schemas and values, conversion from one schema to another for every kind of change, JSON,
 * and that no bytes whatever crash a reader: every truncation and every flipped bit of schemas and
 * values gives an kit_error, or something that is valid by all the rules (P11).
 * The examples of docs/format.md are read from it (P10).
 */

#include "tests/support/serializer_kit.h"
#include "tests/support/tap.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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
    cairn_serializer *serializer = kit_struct(person, 4);
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
    cairn_serializer *serializer = kit_struct(person, 4);
    cairn_serializer *avro = kit_avro("\"long\"");
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
    cairn_serializer_release(kit_struct(many, 1024));
    cairn_serializer *full =
        kit_struct((cairn_field[]){{"a", CAIRN_BYTES, large, sizeof(large) - 7}}, 1);
    ck_assert_uint_eq(full->schema.size, sizeof(large));
    cairn_serializer_release(full);
}
END_TEST

static void evolve_struct(const cairn_field *from, size_t from_count, const cairn_field *to,
                          size_t to_count, cairn_compatibility expected, const char *words,
                          const char *before, const char *after, int line)
{
    cairn_serializer *old = kit_struct(from, from_count), *new = kit_struct(to, to_count);
    kit_evolve(old, new, expected, words, before, after, line);
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
    cairn_serializer *good = kit_struct(person, 4), *other;
    size_t size;
    void *value = kit_value(good, "{\"id\":5,\"name\":\"kim\",\"photo\":\"hex:00ff\"}", &size);
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
            back = kit_value(good, json, &back_size);
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
    cairn_serializer *serializer = kit_struct(person, 4);
    size_t size;
    void *data;
    static const char full[] = "{\"id\":-9223372036854775808,\"weight\":\"-Infinity\",\"name\":"
                               "\"a\\n\\u0000\\\"/\",\"photo\":\"hex:00ff\"}";
    data = kit_value(serializer, full, &size);
    IS_JSON(serializer, data, size, full);
    free(data);
    /* Text that is none, or looks like bytes, is given as bytes. */
    data = kit_value(serializer, "{\"name\":\"hex:6865783a\",\"weight\":0.1}", &size);
    IS_JSON(serializer, data, size,
            "{\"id\":0,\"weight\":0.1,\"name\":\"hex:6865783a\",\"photo\":\"hex:\"}");
    free(data);
    data = kit_value(serializer, "{\"name\":\"hex:ff\",\"weight\":\"NaN\"}", &size);
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
        kit_struct((cairn_field[]){{"id", CAIRN_INT64, seven, 8}, {"name", CAIRN_STRING}}, 2);
    read_example("<!-- hex struct schema -->", &schema);
    read_example("<!-- hex struct value -->", &value);
    read_example("<!-- hex tagged value -->", &tagged);
    ck_assert_uint_eq(schema.size, serializer->schema.size);
    ck_assert_mem_eq(schema.data, serializer->schema.bytes, schema.size);
    void *made = kit_value(serializer, "{\"id\":-1,\"name\":\"ab\"}", &size);
    ck_assert_uint_eq(value.size, size);
    ck_assert_mem_eq(value.data, made, size);
    ck_assert_uint_eq(tagged.size, size + 1);
    ck_assert_mem_eq(tagged.data + 1, made, size);
    free(made);
    cairn_serializer_release(serializer);
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
    TCase *custom = tcase_create("custom");
    tcase_add_test(custom, test_custom);
    suite_add_tcase(suite, custom);
    return crn_test_run(suite);
}
