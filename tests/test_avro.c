/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Avro without a task around it: schemas that are read and that are refused, values as JSON and
 * back, hostile bytes, and the rules of the specification's schema resolution, one case for each.
 */

#include "tests/support/serializer_kit.h"
#include "tests/support/tap.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

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
        cairn_serializer_release(kit_avro(good_schemas[i]));
        /* Whatever is cut off or flipped: an kit_error, or a schema. */
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
    cairn_serializer *serializer = kit_avro(everything);
    size_t size;
    uint8_t *data = kit_value(serializer, everything_value, &size);
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
            void *back = kit_value(serializer, json, &back_size);
            ck_assert(back_size == size && memcmp(back, data, size) == 0);
            free(back);
            free(json);
        }
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(data);
    cairn_serializer_release(serializer);
    cairn_serializer *single = kit_avro("\"float\"");
    data = kit_value(single, "3.4028235e38", &size); /* rounds to the largest */
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
    cairn_serializer *nulls = kit_avro("{\"type\":\"array\",\"items\":\"null\"}");
    cairn_serializer *list = kit_avro("{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":"
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
    cairn_serializer *twice = kit_avro((char *)text.data);
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
        cairn_serializer *from = kit_avro(cases[i].from), *to = kit_avro(cases[i].to);
        kit_evolve(from, to, cases[i].expected, cases[i].words, cases[i].before, cases[i].after,
                   cases[i].line);
        cairn_serializer_release(from);
        cairn_serializer_release(to);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("avro");
    TCase *avro = tcase_create("avro");
    tcase_set_timeout(avro, 20);
    tcase_add_test(avro, test_avro_schemas);
    tcase_add_test(avro, test_avro_values);
    tcase_add_test(avro, test_avro_hostile_counts);
    tcase_add_test(avro, test_avro_evolution);
    suite_add_tcase(suite, avro);
    return crn_test_run(suite);
}
