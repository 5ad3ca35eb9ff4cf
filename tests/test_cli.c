/* SPDX-License-Identifier: Apache-2.0 */

/* What the cairn tool shows and what it understands, function by function: numbers for people, text
 * that cannot drive a terminal (P11), keys and values by their type in both directions, composite
 * keys that may be anything. The verbs themselves are tested from outside, in tests/cli. */

#include "tests/support/tap.h"
#include "tools/cli/cli.h"
#include <math.h>
#include <string.h>

START_TEST(sizes_have_three_digits)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {10234, "9.99 KiB"},
        {10236, "10.0 KiB"},
        {1023 * 1024, "0.999 MiB"},
        {1024 * 1024 - 1, "1.00 MiB"},
        {123456789, "118 MiB"},
        {UINT64_C(5) << 40, "5.00 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    ck_assert_str_eq(cli_size(cases[_i].bytes).text, cases[_i].text);
}
END_TEST

START_TEST(durations_read_naturally)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0 us"},
        {999, "999 us"},
        {1000, "1.00 ms"},
        {12345, "12.3 ms"},
        {999499, "999 ms"},
        {999500, "1.00 s"},
        {59949999, "59.9 s"},
        {60000000, "1 min 00 s"},
        {3599000000, "59 min 59 s"},
        {5400000000, "1 h 30 min"},
        {90000000000, "1 d 01 h"},
        {UINT64_MAX, "213503982 d 08 h"},
    };
    ck_assert_str_eq(cli_duration(cases[_i].us).text, cases[_i].text);
}
END_TEST

START_TEST(counts_and_times)
{
    ck_assert_str_eq(cli_count(0).text, "0");
    ck_assert_str_eq(cli_count(999).text, "999");
    ck_assert_str_eq(cli_count(1000).text, "1,000");
    ck_assert_str_eq(cli_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
    setenv("TZ", "Asia/Kolkata", 1);
    ck_assert_str_eq(cli_time(1767225600000).text, "2026-01-01 05:30:00+05:30");
    setenv("TZ", "UTC", 1);
    ck_assert_str_eq(cli_time(0).text, "-");
    ck_assert_str_eq(cli_time(-1).text, "-");
    /* Any number that a manifest may hold is shown somehow. */
    ck_assert_uint_gt(strlen(cli_time(INT64_MAX).text), 0);
    ck_assert_uint_gt(strlen(cli_age(INT64_MAX).text), 0);
}
END_TEST

START_TEST(hostile_text_is_harmless)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain \xc3\xb6 \xf0\x9f\x98\x80", "plain \xc3\xb6 \xf0\x9f\x98\x80"},
        {"a\033[2Jb", "a\\x1b[2Jb"},
        {"new\nline\ttab\rreturn\x7f", "new\\x0aline\\x09tab\\x0dreturn\\x7f"},
        {"C1 \xc2\x9b", "C1 \\xc2\\x9b"},
        {"bidi \xe2\x80\xae", "bidi \\xe2\\x80\\xae"},
        {"zero \xe2\x80\x8b", "zero \\xe2\\x80\\x8b"},
        {"bad \xff\xc3", "bad \\xff\\xc3"},
        {"overlong \xc0\xaf \xe0\x80\xaf", "overlong \\xc0\\xaf \\xe0\\x80\\xaf"},
        {"surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80"},
        {"beyond \xf4\x90\x80\x80", "beyond \\xf4\\x90\\x80\\x80"},
        {"back\\slash", "back\\\\slash"},
    };
    CLI_AUTO_FREE char *shown = cli_text_safe(cases[_i].text);
    ck_assert_str_eq(shown, cases[_i].shown);
}
END_TEST

/* Whatever the bytes, what is shown has no control character and is UTF-8. */
START_TEST(random_bytes_are_harmless)
{
    uint64_t seed = (uint64_t)_i * 0x9e3779b97f4a7c15u + 1;
    for (int round = 0; round < 200; round++) {
        uint8_t bytes[64];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes[i] = (uint8_t)(seed >> 32);
        }
        CLI_AUTO_FREE char *shown = cli_text_quote(bytes, sizeof(bytes));
        ck_assert(cli_text_is_plain(shown, strlen(shown)));
        struct json_object *json = cli_json_text((const char *)bytes, sizeof(bytes));
        ck_assert(cli_text_is_utf8(json_object_get_string(json),
                                   (size_t)json_object_get_string_len(json)));
        json_object_put(json);
    }
}
END_TEST

static void check_typed(cairn_type type, const void *data, size_t size, const char *text,
                        const char *json)
{
    CLI_AUTO_FREE char *shown = cli_typed_text(type, data, size);
    ck_assert_str_eq(shown, text);
    struct json_object *o = cli_typed_json(type, data, size);
    ck_assert_str_eq(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), json);
    json_object_put(o);
}

START_TEST(values_by_their_type)
{
    uint8_t encoded[8];
    cairn_encode_int64(INT64_MIN, encoded);
    check_typed(CAIRN_INT64, encoded, 8, "-9223372036854775808", "-9223372036854775808");
    check_typed(CAIRN_INT64, "abc", 3, "0x616263", "{\"hex\":\"616263\"}");
    cairn_encode_double(0.1, encoded);
    check_typed(CAIRN_DOUBLE, encoded, 8, "0.1", "0.1");
    cairn_encode_double(-HUGE_VAL, encoded);
    check_typed(CAIRN_DOUBLE, encoded, 8, "-inf", "\"-inf\"");
    check_typed(CAIRN_STRING, "a\"b", 3, "\"a\\\"b\"", "\"a\\\"b\"");
    check_typed(CAIRN_STRING, "\xff", 1, "\"\\xff\"", "{\"hex\":\"ff\"}");
    check_typed(CAIRN_BYTES, "word", 4, "\"word\"", "{\"hex\":\"776f7264\"}");
    check_typed(CAIRN_BYTES, "\0\1", 2, "0x0001", "{\"hex\":\"0001\"}");
    check_typed(CAIRN_BYTES, "", 0, "\"\"", "{\"hex\":\"\"}");
    check_typed((cairn_type)77, "x", 1, "0x78", "{\"hex\":\"78\"}");
}
END_TEST

/* NULL: refused, never cut to what fits. */
static void check_from_json(cairn_type type, const char *json, const void *expected, size_t size)
{
    CLI_AUTO_FREE uint8_t *data = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    size_t found = 0;
    struct json_object *o = json_tokener_parse(json);
    int r = cli_typed_from_json(type, o, &data, &found, &error);
    json_object_put(o);
    ck_assert_int_eq(r, expected ? 0 : CAIRN_EINVAL);
    ck_assert(expected || error);
    if (expected) {
        ck_assert_uint_eq(found, size);
        ck_assert_mem_eq(data, expected, size);
    }
}

START_TEST(values_come_back_from_json)
{
    static const double doubles[] = {0.0, -0.0, 0.1, 3, -1e300, 9007199254740993.0, HUGE_VAL};
    uint8_t encoded[8] = "\xff\xf8\0\0\0\0\0\1"; /* not a number, with something in it */
    for (size_t i = 0; i <= CLI_COUNT(doubles); i++) {
        struct json_object *o = cli_typed_json(CAIRN_DOUBLE, encoded, 8);
        check_from_json(CAIRN_DOUBLE, json_object_to_json_string(o), encoded, 8);
        json_object_put(o);
        if (i < CLI_COUNT(doubles))
            cairn_encode_double(doubles[i], encoded);
    }
    cairn_encode_int64(INT64_MAX, encoded);
    check_from_json(CAIRN_INT64, "9223372036854775807", encoded, 8);
    check_from_json(CAIRN_INT64, "9223372036854775808", NULL, 0);
    check_from_json(CAIRN_INT64, "1.0", NULL, 0);
    check_from_json(CAIRN_DOUBLE, "1e999", NULL, 0);
    check_from_json(CAIRN_DOUBLE, "18446744073709551616", NULL, 0);
    check_from_json(CAIRN_INT64, "18446744073709551616", NULL, 0);
    check_from_json(CAIRN_BYTES, "{\"hex\":\"00ff\"}", "\0\xff", 2);
    check_from_json(CAIRN_BYTES, "{\"hex\":\"00\\u0000ff\"}", NULL, 0);
    check_from_json(CAIRN_BYTES, "{\"hex\":\"0\"}", NULL, 0);
    check_from_json(CAIRN_STRING, "\"a\\u0000b\"", "a\0b", 3);
}
END_TEST

/* The time that it takes grows as the value does: the test would not end in any other way. */
START_TEST(large_values_come_back_from_json)
{
    size_t count = (size_t)16 << 20, size;
    CLI_AUTO_FREE char *digits = malloc(count + 1);
    CLI_AUTO_FREE uint8_t *data = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_ptr_nonnull(digits);
    memset(digits, 'a', count);
    digits[count] = '\0';
    ck_assert_int_eq(cli_hex_parse(digits, &data, &size, &error), 0);
    ck_assert(size == count / 2 && data[0] == 0xaa && data[size - 1] == 0xaa);
    digits[count - 1] = 'g';
    ck_assert_int_eq(cli_hex_parse(digits, &data, &size, &error), CAIRN_EINVAL);
    ck_assert_uint_lt(strlen(cairn_error_message(error)), 200);
}
END_TEST

static void check_parse(cairn_type type, const char *text, const void *expected, size_t size)
{
    CLI_AUTO_FREE uint8_t *data = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    size_t found = 0;
    int r = cli_typed_parse(type, text, &data, &found, &error);
    if (!expected) {
        ck_assert_int_eq(r, CAIRN_EINVAL);
        ck_assert_str_ne(cairn_error_message(error), "");
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(found, size);
    ck_assert_mem_eq(data, expected, size);
}

START_TEST(keys_as_people_type_them)
{
    uint8_t encoded[8];
    cairn_encode_int64(-12, encoded);
    check_parse(CAIRN_INT64, "-12", encoded, 8);
    check_parse(CAIRN_INT64, "12x", NULL, 0);
    check_parse(CAIRN_INT64, "", NULL, 0);
    check_parse(CAIRN_INT64, "9223372036854775808", NULL, 0);
    cairn_encode_double(1.5, encoded);
    check_parse(CAIRN_DOUBLE, "1.5", encoded, 8);
    check_parse(CAIRN_DOUBLE, "one", NULL, 0);
    check_parse(CAIRN_STRING, "0x00", "0x00", 4);
    check_parse(CAIRN_BYTES, "0x00fF", "\x00\xff", 2);
    check_parse(CAIRN_BYTES, "0x", "", 0);
    check_parse(CAIRN_BYTES, "0x0", NULL, 0);
    check_parse(CAIRN_BYTES, "0xgg", NULL, 0);
    check_parse(CAIRN_BYTES, "plain", "plain", 5);
}
END_TEST

static const uint8_t composite[] = {0x01, 0x02, 3, 'k', 'e', 'y', 2, 'n', 's', 'm', 'k'};

START_TEST(composite_keys_come_apart)
{
    struct cli_composite parts;
    ck_assert(cli_composite_split(composite, sizeof(composite), 129, &parts));
    ck_assert_uint_eq(parts.key_group, 0x0102);
    ck_assert_mem_eq(parts.key, "key", 3);
    ck_assert_mem_eq(parts.ns, "ns", 2);
    ck_assert_uint_eq(parts.map_key_size, 2);
    ck_assert(cli_composite_split(composite + 1, sizeof(composite) - 1, 128, &parts));
    ck_assert_uint_eq(parts.key_group, 2);
    cairn_operator_info op = {.max_parallelism = 129, .key_type = CAIRN_STRING};
    cairn_state_info map = {.kind = CAIRN_KIND_MAP};
    CLI_AUTO_FREE char *text = cli_composite_text(&op, &map, composite, sizeof(composite));
    ck_assert_str_eq(text, "258:\"key\" @ \"ns\" [\"mk\"]");
    /* Not one that we know how to read: the bytes. */
    CLI_AUTO_FREE char *hex = cli_composite_text(&op, &map, composite, 4);
    ck_assert_str_eq(hex, "0x0102036b");
}
END_TEST

/* Cut off anywhere, and with a length that reaches beyond the end: refused, and nothing is read
 * there (AddressSanitizer watches: each piece is an allocation of its own). */
START_TEST(broken_composite_keys_are_refused)
{
    struct cli_composite parts;
    for (size_t n = 0; n < 9; n++) {
        CLI_AUTO_FREE uint8_t *piece = cli_alloc(n + 1);
        CLI_AUTO_FREE uint8_t *exact = realloc(piece, n ? n : 1);
        piece = NULL;
        memcpy(exact, composite, n);
        ck_assert(!cli_composite_split(exact, n, 129, &parts));
    }
    static const uint8_t endless[] = {0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    ck_assert(!cli_composite_split(endless, sizeof(endless), 1, &parts));
    static const uint8_t huge[] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    ck_assert(!cli_composite_split(huge, sizeof(huge), 1, &parts));
}
END_TEST

START_TEST(long_keys_are_cut)
{
    uint8_t key[300] = {0};
    key[1] = 0xa8; /* 296 as a varint: bytes of a two-byte character follow */
    key[2] = 0x02;
    for (size_t i = 3; i < 299; i += 2)
        memcpy(key + i, "\xc3\xb6", 2);
    cairn_operator_info op = {.max_parallelism = 1, .key_type = CAIRN_STRING};
    CLI_AUTO_FREE char *text = cli_composite_text(&op, NULL, key, sizeof(key));
    ck_assert(cli_text_is_plain(text, strlen(text)));
    ck_assert_uint_eq(cli_text_width(text), 43);
    ck_assert_str_eq(text + strlen(text) - 3, "...");
}
END_TEST

START_TEST(checkpoints_as_people_write_them)
{
    static const struct {
        const char *word;
        int result;
        uint64_t id;
    } cases[] = {
        {"7", 0, 7},
        {"latest", 0, 0},
        {"chk-7", 0, 7},
        {"MANIFEST-chk12", 0, 12},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", CAIRN_EINVAL, 99},
        {"0", CAIRN_EINVAL, 99},
        {"-1", CAIRN_EINVAL, 99},
        {"+1", CAIRN_EINVAL, 99},
        {" 1", CAIRN_EINVAL, 99},
        {"1 ", CAIRN_EINVAL, 99},
        {"", CAIRN_EINVAL, 99},
        {"chk-", CAIRN_EINVAL, 99},
        {"newest", CAIRN_EINVAL, 99},
    };
    uint64_t id = 99;
    ck_assert_int_eq(cli_args_id(cases[_i].word, &id, NULL), cases[_i].result);
    ck_assert_uint_eq(id, cases[_i].id);
}
END_TEST

/* Capture what a table prints, and compare it to the last blank. */
START_TEST(tables_are_aligned)
{
    static const struct cli_column columns[] = {{"NAME", false}, {"N", true}, {"", false}};
    struct cli_table *table = cli_table_new(columns, 3);
    cli_table_cell(table, CLI_PLAIN, "\xc3\xb6l");
    cli_table_cell(table, CLI_PLAIN, "%d", 1234);
    cli_table_cell(table, CLI_BAD, "note");
    cli_table_cell(table, CLI_PLAIN, "longer name");
    cli_table_cell(table, CLI_PLAIN, "%d", 5);
    cli_table_cell(table, CLI_PLAIN, "%s", "");
    char *text = NULL;
    size_t size = 0;
    FILE *saved = stdout;
    stdout = open_memstream(&text, &size);
    cli_table_print(table, 1);
    fclose(stdout);
    stdout = saved;
    ck_assert_str_eq(text, " NAME            N\n"
                           " \xc3\xb6l           1234  note\n"
                           " longer name     5\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli");
    TCase *text = tcase_create("text");
    tcase_set_timeout(text, 20);
    tcase_add_loop_test(text, sizes_have_three_digits, 0, 10);
    tcase_add_loop_test(text, durations_read_naturally, 0, 12);
    tcase_add_test(text, counts_and_times);
    tcase_add_loop_test(text, hostile_text_is_harmless, 0, 11);
    tcase_add_loop_test(text, random_bytes_are_harmless, 0, 4);
    tcase_add_test(text, tables_are_aligned);
    suite_add_tcase(suite, text);
    TCase *typed = tcase_create("typed");
    tcase_set_timeout(typed, 20);
    tcase_add_test(typed, values_by_their_type);
    tcase_add_test(typed, values_come_back_from_json);
    tcase_add_test(typed, large_values_come_back_from_json);
    tcase_add_test(typed, keys_as_people_type_them);
    tcase_add_test(typed, composite_keys_come_apart);
    tcase_add_test(typed, broken_composite_keys_are_refused);
    tcase_add_test(typed, long_keys_are_cut);
    tcase_add_loop_test(typed, checkpoints_as_people_write_them, 0, 14);
    suite_add_tcase(suite, typed);
    return crn_test_run(suite);
}
