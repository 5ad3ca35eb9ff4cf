/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves the words of cairn.h on keyed state at their edges, over each backend: limits, types, what
 * may be registered, which keys a task takes, and expiry to the millisecond. The ordinary life of
 * keyed state is test_keyed_model.c's; callbacks, iterators and damage are test_keyed_calls.c's.
 */

#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>

#define EACH_BACKEND(tcase, test) tcase_add_loop_test(tcase, test, 0, TEST_BACKENDS)

static cairn_state_options expiring(uint64_t ttl_ms, bool on_read)
{
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    options.ttl_ms = ttl_ms;
    options.ttl_on_read = on_read;
    return options;
}

static void check_value(cairn_value *state, const void *expected, size_t size)
{
    const void *data;
    size_t got;
    ck_assert_int_eq(MUST(cairn_value_get(state, &data, &got, ERR)), 1);
    ck_assert_uint_eq(got, size);
    ck_assert_int_eq(memcmp(data, expected, size), 0);
}

static bool is_absent(cairn_value *state)
{
    const void *data = &data;
    size_t size = 77;
    int64_t found = MUST(cairn_value_get(state, &data, &size, ERR));
    ck_assert(found == 1 || (data == &data && size == 77)); /* outputs are untouched */
    return found == 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Keys and sizes
 * ------------------------------------------------------------------------------------------ */

START_TEST(key_sizes)
{
    struct test_task *t = test_task_new(_i);
    static uint8_t big[CRN_KEY_SIZE_MAX + 1];
    cairn_value *state;
    cairn_map *map;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, NULL, &state, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_BYTES, CAIRN_BYTES, NULL, &map, ERR));
    memset(big, 'k', sizeof(big));

    MUST(cairn_task_set_key(&t->task, NULL, 0));
    MUST(cairn_value_put(state, "empty", 5, ERR));
    MUST(cairn_task_set_key(&t->task, big, CRN_KEY_SIZE_MAX));
    MUST(cairn_task_set_namespace(&t->task, big, CRN_KEY_SIZE_MAX));
    MUST(cairn_value_put(state, "full", 4, ERR));
    MUST(cairn_map_put(map, big, CRN_KEY_SIZE_MAX, "entry", 5, ERR));
    MUST_FAIL(CAIRN_EINVAL, "65537", cairn_map_put(map, big, sizeof(big), "", 0, ERR));
    test_task_restart(t);
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, NULL, &state, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_BYTES, CAIRN_BYTES, NULL, &map, ERR));
    MUST(cairn_task_set_key(&t->task, "", 0));
    check_value(state, "empty", 5);
    MUST(cairn_task_set_key(&t->task, big, CRN_KEY_SIZE_MAX));
    ck_assert(is_absent(state)); /* the namespace is the empty one again */
    MUST(cairn_task_set_namespace(&t->task, big, CRN_KEY_SIZE_MAX));
    check_value(state, "full", 4);

    /* A refused key takes the former one away, and the next call tells the story. */
    ck_assert_int_eq(cairn_task_set_key(&t->task, big, sizeof(big)), CAIRN_EINVAL);
    MUST_FAIL(CAIRN_EINVAL, "65537 bytes, the limit is 65536", cairn_value_put(state, "", 0, ERR));
    MUST(cairn_task_set_key(&t->task, "a", 1));
    ck_assert_int_eq(cairn_task_set_namespace(&t->task, big, sizeof(big)), CAIRN_EINVAL);
    MUST_FAIL(CAIRN_EINVAL, "last namespace has 65537", cairn_value_clear(state, ERR));
    ck_assert_int_eq(cairn_task_set_namespace(&t->task, "", 0), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_task_set_key(&t->task, NULL, 1), CAIRN_EINVAL);
    test_task_free(t);
}
END_TEST

START_TEST(value_sizes)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *plain, *aging;
    cairn_list *list;
    cairn_state_options options = expiring(1000, false);
    size_t size = (size_t)64 << 20;
    uint8_t *big = malloc(size);
    ck_assert_ptr_nonnull(big);
    for (size_t i = 0; i < size; i++)
        big[i] = (uint8_t)(i * 31 >> 7);
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, NULL, &plain, ERR));
    MUST(cairn_value_state(&t->task, "w", CAIRN_BYTES, &options, &aging, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_BYTES, NULL, &list, ERR));
    MUST(cairn_task_set_key(&t->task, "a", 1));
    MUST(cairn_value_put(plain, big, size, ERR));
    check_value(plain, big, size);
    MUST(cairn_value_put(aging, big, size, ERR));
    check_value(aging, big, size);
    ck_assert_uint_le(t->task.scratch.capacity, CRN_SCRATCH_KEPT); /* is not kept for ever */
    MUST(cairn_value_put(plain, NULL, 0, ERR));
    check_value(plain, "", 0);
    MUST(cairn_value_put(aging, NULL, 0, ERR));
    check_value(aging, "", 0);

    /* The bytes are not looked at before their number. */
    MUST_FAIL(CAIRN_EINVAL, "268435457", cairn_value_put(plain, big, CRN_VALUE_SIZE_MAX + 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "268435457", cairn_list_add(list, big, CRN_VALUE_SIZE_MAX + 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "NULL", cairn_value_put(plain, NULL, 1, ERR));
    check_value(plain, "", 0);
    ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), 0);
    free(big);
    test_task_free(t);
}
END_TEST

START_TEST(keys_of_other_subtasks)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *state;
    unsigned mine = 0, others = 0;
    test_task_set_subtask(t, 1, 4, 128);
    MUST(cairn_value_state(&t->task, "v", CAIRN_INT64, NULL, &state, ERR));
    for (int64_t key = 0; key < 200; key++) {
        uint8_t bytes[8];
        char words[64];
        cairn_encode_int64(key, bytes);
        int owner = cairn_subtask_of_key(bytes, sizeof(bytes), 4, 128);
        ck_assert(owner >= 0 && owner < 4);
        int r = cairn_task_set_key_int64(&t->task, key);
        ck_assert_int_eq(r, owner == 1 ? 0 : CAIRN_EINVAL);
        if (owner == 1) {
            mine++;
            MUST(cairn_value_put_int64(state, key, ERR));
            continue;
        }
        others++;
        (void)snprintf(words, sizeof(words), "belongs to subtask %d, not 1", owner);
        MUST_FAIL(CAIRN_EINVAL, words, cairn_value_put_int64(state, key, ERR));
    }
    ck_assert_uint_gt(mine, 0);
    ck_assert_uint_gt(others, 0);
    test_task_free(t);
}
END_TEST

START_TEST(subtask_of_key)
{
    for (int key = 0; key < 256; key++) {
        uint8_t byte = (uint8_t)key;
        ck_assert_int_eq(cairn_subtask_of_key(&byte, 1, 1, 128), 0);
        int owner = cairn_subtask_of_key(&byte, 1, 32768, 32768);
        ck_assert(owner >= 0 && owner < 32768);
    }
    ck_assert_int_ge(cairn_subtask_of_key(NULL, 0, 3, 128), 0);
    ck_assert_int_eq(cairn_subtask_of_key(NULL, 1, 3, 128), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_subtask_of_key("a", 1, 0, 128), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_subtask_of_key("a", 1, 129, 128), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_subtask_of_key("a", 1, 1, 32769), CAIRN_EINVAL);
}
END_TEST

START_TEST(typed_keys)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *state;
    t->task.options.key_type = CAIRN_INT64;
    t->task.options.namespace_type = CAIRN_DOUBLE;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, NULL, &state, ERR));
    MUST_FAIL(CAIRN_EINVAL, "no key is set in task 'operator'", cairn_value_put(state, "", 0, ERR));
    ck_assert_int_eq(cairn_task_set_key(&t->task, "four", 4), CAIRN_EINVAL);
    MUST_FAIL(CAIRN_EINVAL, "does not fit the type int64", cairn_value_put(state, "", 0, ERR));
    MUST(cairn_task_set_key_int64(&t->task, -1));
    MUST(cairn_value_put(state, "", 0, ERR)); /* no namespace is one, whatever the type */
    ck_assert_int_eq(cairn_task_set_namespace(&t->task, "four", 4), CAIRN_EINVAL);
    MUST_FAIL(CAIRN_EINVAL, "namespace, of 4 bytes, does not fit the type double",
              cairn_value_put(state, "", 0, ERR));
    MUST(cairn_task_set_key_int64(&t->task, -1));
    MUST(cairn_task_set_namespace_int64(&t->task, 7));
    ck_assert(is_absent(state));
    MUST(cairn_task_set_namespace(&t->task, NULL, 0));
    check_value(state, "", 0);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Registration
 * ------------------------------------------------------------------------------------------ */

START_TEST(names)
{
    struct test_task *t = test_task_new(_i);
    static const char *const good[] = {
        "a/b/../c", ".",    "..",   " ",  "state:x", "default", "\xc3\xa4\xe2\x82\xac",
        "CURRENT",  "a\\b", "%s%n", "-rf"};
    char longest[257];
    cairn_value *states[CRN_COUNT(good) + 1];
    memset(longest, 'x', sizeof(longest));
    longest[255] = 0;
    MUST(cairn_task_set_key(&t->task, "k", 1));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i <= CRN_COUNT(good); i++)
            MUST(cairn_value_state(&t->task, i < CRN_COUNT(good) ? good[i] : longest, CAIRN_INT64,
                                   NULL, &states[i], ERR));
        MUST(cairn_task_set_key(&t->task, "k", 1));
        for (size_t i = 0; i <= CRN_COUNT(good); i++) {
            int64_t value = -1;
            ck_assert_int_eq(MUST(cairn_value_get_int64(states[i], &value, ERR)), round);
            ck_assert_int_eq(value, round == 0 ? -1 : (int64_t)i);
            MUST(cairn_value_put_int64(states[i], (int64_t)i, ERR));
        }
        test_task_restart(t);
    }
    static const char *const bad[] = {"", "\n", "\x7f", "\xff", "\xc3", "\xed\xa0\x80", "a\tb"};
    cairn_value *none = NULL;
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        MUST_FAIL(CAIRN_EINVAL, "name",
                  cairn_value_state(&t->task, bad[i], CAIRN_INT64, NULL, &none, ERR));
    longest[255] = 'x';
    longest[256] = 0;
    MUST_FAIL(CAIRN_EINVAL, "name",
              cairn_value_state(&t->task, longest, CAIRN_INT64, NULL, &none, ERR));
    MUST_FAIL(CAIRN_EINVAL, "name",
              cairn_value_state(&t->task, NULL, CAIRN_INT64, NULL, &none, ERR));
    ck_assert_ptr_null(none);
    test_task_free(t);
}
END_TEST

static int no_reduce(void *context, const void *a, size_t a_size, const void *b, size_t b_size,
                     cairn_buffer *out)
{
    (void)context, (void)a, (void)a_size, (void)b, (void)b_size, (void)out;
    return 0;
}

START_TEST(registration)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options aging = expiring(5, false), other = expiring(7, true);
    cairn_value *value = NULL, *again = NULL;
    cairn_list *list = NULL;
    cairn_map *map = NULL;
    cairn_reducing *reducing = NULL;
    cairn_operator_list *positions = NULL;
    cairn_broadcast *broadcast = NULL;
    MUST(cairn_value_state(&t->task, "v", CAIRN_INT64, NULL, &value, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_INT64, CAIRN_STRING, &aging, &map, ERR));
    MUST(cairn_operator_list_state(&t->task, "o", CAIRN_SPLIT, CAIRN_BYTES, &positions, ERR));
    for (int round = 0; round < 2; round++) {
        if (round == 1) {
            test_task_restart(t);
            MUST(cairn_value_state(&t->task, "v", CAIRN_INT64, NULL, &value, ERR));
            MUST(cairn_operator_list_state(&t->task, "o", CAIRN_SPLIT, CAIRN_BYTES, &positions,
                                           ERR));
        }
        MUST_FAIL(CAIRN_EEXIST, "'v'",
                  cairn_value_state(&t->task, "v", CAIRN_INT64, NULL, &again, ERR));
        MUST_FAIL(CAIRN_EEXIST, "'v'",
                  cairn_list_state(&t->task, "v", CAIRN_INT64, NULL, &list, ERR));
        MUST_FAIL(
            CAIRN_EEXIST, "'v'",
            cairn_operator_list_state(&t->task, "v", CAIRN_UNION, CAIRN_INT64, &positions, ERR));
        MUST_FAIL(CAIRN_EEXIST, "'o'",
                  cairn_value_state(&t->task, "o", CAIRN_BYTES, NULL, &again, ERR));
    }
    /* "m" is stored and not registered. */
    MUST_FAIL(CAIRN_EMISMATCH,
              "map of int64 to string with expiry, and cannot be registered as list "
              "of string",
              cairn_list_state(&t->task, "m", CAIRN_STRING, &aging, &list, ERR));
    MUST_FAIL(CAIRN_EMISMATCH, "map of int64 to bytes",
              cairn_map_state(&t->task, "m", CAIRN_INT64, CAIRN_BYTES, &aging, &map, ERR));
    MUST_FAIL(CAIRN_EMISMATCH, "map of double to string",
              cairn_map_state(&t->task, "m", CAIRN_DOUBLE, CAIRN_STRING, &aging, &map, ERR));
    MUST_FAIL(CAIRN_EMISMATCH, "broadcast map of int64 to string",
              cairn_broadcast_state(&t->task, "m", CAIRN_INT64, CAIRN_STRING, &broadcast, ERR));
    ck_assert_ptr_null(list);
    MUST(cairn_map_state(&t->task, "m", CAIRN_INT64, CAIRN_STRING, &other, &map, ERR));

    MUST_FAIL(CAIRN_EINVAL, "no such type",
              cairn_value_state(&t->task, "x", (cairn_type)7, NULL, &again, ERR));
    MUST_FAIL(CAIRN_EINVAL, "map keys are bytes, int64, double or string, not struct",
              cairn_map_state(&t->task, "x", CAIRN_STRUCT, CAIRN_BYTES, NULL, &map, ERR));
    MUST_FAIL(CAIRN_EINVAL, "ttl_on_read",
              (aging.ttl_ms = 0, aging.ttl_on_read = 1,
               cairn_value_state(&t->task, "x", CAIRN_BYTES, &aging, &again, ERR)));
    aging.struct_size = 0;
    MUST_FAIL(CAIRN_EINVAL, "_INIT",
              cairn_value_state(&t->task, "x", CAIRN_BYTES, &aging, &again, ERR));
    MUST_FAIL(CAIRN_EINVAL, "function",
              cairn_reducing_state(&t->task, "x", CAIRN_BYTES, NULL, NULL, NULL, &reducing, ERR));
    /* None of the failures took the name. */
    MUST(cairn_reducing_state(&t->task, "x", CAIRN_BYTES, no_reduce, NULL, NULL, &reducing, ERR));
    test_task_free(t);
}
END_TEST

/* States that nobody registers are in every checkpoint all the same. */
START_TEST(unregistered_states_stay)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *value;
    cairn_operator_list *positions;
    MUST(cairn_value_state(&t->task, "v", CAIRN_STRING, NULL, &value, ERR));
    MUST(cairn_operator_list_state(&t->task, "o", CAIRN_UNION, CAIRN_INT64, &positions, ERR));
    MUST(cairn_operator_list_add_int64(positions, 42, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_value_put_string(value, "text", ERR));
    for (int i = 0; i < 3; i++)
        test_task_restart(t);
    ck_assert_uint_eq(t->task.stored_count, 2);
    MUST(cairn_value_state(&t->task, "v", CAIRN_STRING, NULL, &value, ERR));
    MUST(cairn_operator_list_state(&t->task, "o", CAIRN_UNION, CAIRN_INT64, &positions, ERR));
    MUST_FAIL(CAIRN_EINVAL, "no key", cairn_value_put_string(value, "text", ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    check_value(value, "text", 4);
    ck_assert_uint_eq(cairn_operator_list_size(positions), 1);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Types
 * ------------------------------------------------------------------------------------------ */

START_TEST(typed_values)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *integer, *real, *text;
    cairn_list *list;
    cairn_reducing *sum;
    int64_t i64 = 5;
    double d = 5;
    MUST(cairn_value_state(&t->task, "i", CAIRN_INT64, NULL, &integer, ERR));
    MUST(cairn_value_state(&t->task, "d", CAIRN_DOUBLE, NULL, &real, ERR));
    MUST(cairn_value_state(&t->task, "s", CAIRN_STRING, NULL, &text, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_STRING, NULL, &list, ERR));
    MUST(cairn_reducing_state(&t->task, "r", CAIRN_DOUBLE, cairn_reduce_sum_double, NULL, NULL,
                              &sum, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    ck_assert_int_eq(MUST(cairn_value_get_int64(integer, &i64, ERR)), 0);
    ck_assert_int_eq(i64, 5);
    MUST(cairn_value_put_int64(integer, INT64_MIN, ERR));
    ck_assert_int_eq(MUST(cairn_value_get_int64(integer, &i64, ERR)), 1);
    ck_assert_int_eq(i64, INT64_MIN);
    MUST(cairn_value_put_double(real, -0.5, ERR));
    ck_assert_int_eq(MUST(cairn_value_get_double(real, &d, ERR)), 1);
    ck_assert_double_eq(d, -0.5);
    MUST(cairn_value_put_string(text, "", ERR));
    check_value(text, "", 0);

    MUST_FAIL(CAIRN_EINVAL, "int64, not double", cairn_value_put_double(integer, 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "double, not int64", cairn_value_get_int64(real, &i64, ERR));
    MUST_FAIL(CAIRN_EINVAL, "int64, not string", cairn_value_put_string(integer, "1", ERR));
    MUST_FAIL(CAIRN_EINVAL, "has 8 bytes, not 7", cairn_value_put(integer, "1234567", 7, ERR));
    MUST_FAIL(CAIRN_EINVAL, "NULL", cairn_value_put_string(text, NULL, ERR));
    MUST_FAIL(CAIRN_EINVAL, "string, not int64", cairn_list_add_int64(list, 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "double, not int64", cairn_reducing_add_int64(sum, 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "double, not int64", cairn_reducing_get_int64(sum, &i64, ERR));
    MUST_FAIL(CAIRN_EINVAL, "has 8 bytes", cairn_reducing_add(sum, "x", 1, ERR));
    ck_assert_int_eq(i64, INT64_MIN);
    test_task_free(t);
}
END_TEST

/* The bytes are part of the format: pinned here, as docs/format.md has them. */
START_TEST(encodings)
{
    static const struct {
        int64_t value;
        const char *bytes;
    } integers[] = {{INT64_MIN, "\0\0\0\0\0\0\0\0"},
                    {-1, "\x7f\xff\xff\xff\xff\xff\xff\xff"},
                    {0, "\x80\0\0\0\0\0\0\0"},
                    {258, "\x80\0\0\0\0\0\1\2"},
                    {INT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff"}};
    static const struct {
        double value;
        const char *bytes;
    } reals[] = {{-__builtin_inf(), "\x00\x0f\xff\xff\xff\xff\xff\xff"},
                 {-1.5, "\x40\x07\xff\xff\xff\xff\xff\xff"},
                 {-0.0, "\x7f\xff\xff\xff\xff\xff\xff\xff"},
                 {0.0, "\x80\0\0\0\0\0\0\0"},
                 {4.9e-324, "\x80\0\0\0\0\0\0\1"},
                 {1.5, "\xbf\xf8\0\0\0\0\0\0"},
                 {__builtin_inf(), "\xff\xf0\0\0\0\0\0\0"}};
    uint8_t out[8];
    for (size_t i = 0; i < CRN_COUNT(integers); i++) {
        cairn_encode_int64(integers[i].value, out);
        ck_assert_mem_eq(out, integers[i].bytes, 8);
        ck_assert_int_eq(cairn_decode_int64(out), integers[i].value);
        ck_assert(i == 0 || memcmp(integers[i - 1].bytes, out, 8) < 0);
    }
    for (size_t i = 0; i < CRN_COUNT(reals); i++) {
        cairn_encode_double(reals[i].value, out);
        ck_assert_mem_eq(out, reals[i].bytes, 8);
        double back = cairn_decode_double(out);
        ck_assert_mem_eq(&back, &reals[i].value, 8);
        ck_assert(i == 0 || memcmp(reals[i - 1].bytes, out, 8) < 0);
    }
    ck_assert_str_eq(cairn_version(), CAIRN_VERSION_STRING);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Expiry
 * ------------------------------------------------------------------------------------------ */

START_TEST(expiry_to_the_millisecond)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options options = expiring(100, false);
    cairn_value *state;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, &options, &state, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_value_put(state, "x", 1, ERR));
    t->clock_ms += 99;
    check_value(state, "x", 1);
    t->clock_ms -= 5000; /* a clock set back expires nothing */
    check_value(state, "x", 1);
    t->clock_ms += 5001;
    ck_assert(is_absent(state));

    /* Never back to life by a restore. What is stored is the time of writing, so that a new
     * duration holds for old entries too. */
    test_task_restart(t);
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, &options, &state, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    ck_assert(is_absent(state));
    MUST(cairn_value_put(state, "y", 1, ERR));
    t->clock_ms += 60;
    test_task_restart(t);
    options.ttl_ms = 50;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, &options, &state, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    ck_assert(is_absent(state));
    test_task_free(t);
}
END_TEST

START_TEST(renewal_on_read)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options options = expiring(100, true);
    cairn_value *value;
    cairn_map *map;
    cairn_list *list;
    cairn_iterator *iterator;
    cairn_entry entry;
    const void *data;
    size_t size;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, &options, &value, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_BYTES, CAIRN_BYTES, &options, &map, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_BYTES, &options, &list, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_value_put(value, "x", 1, ERR));
    MUST(cairn_map_put(map, "got", 3, "1", 1, ERR));
    MUST(cairn_map_put(map, "left", 4, "2", 1, ERR));
    MUST(cairn_list_add(list, "e", 1, ERR));
    for (int i = 0; i < 5; i++) {
        t->clock_ms += 60;
        check_value(value, "x", 1);
        ck_assert_int_eq(MUST(cairn_map_get(map, "got", 3, &data, &size, ERR)), 1);
        ck_assert_int_eq(MUST(cairn_map_get(map, "left", 4, &data, &size, ERR)), 1);
        ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), i == 0 ? 1 : 0); /* lists do not */
    }
    t->clock_ms += 60;
    MUST(cairn_map_iterate(map, &iterator, ERR)); /* a read as well */
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 1);
    ck_assert_mem_eq(entry.map_key, "got", 3);
    cairn_iterator_close(iterator);
    MUST(cairn_task_iterate(&t->task, "v", &iterator, ERR)); /* not one */
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 1);
    cairn_iterator_close(iterator);
    t->clock_ms += 60;
    ck_assert_int_eq(MUST(cairn_map_get(map, "got", 3, &data, &size, ERR)), 1);
    ck_assert_int_eq(MUST(cairn_map_get(map, "left", 4, &data, &size, ERR)), 0);
    ck_assert(is_absent(value));
    test_task_free(t);
}
END_TEST

START_TEST(expiry_of_what_is_combined)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options options = expiring(100, false);
    cairn_reducing *sum;
    cairn_list *list;
    cairn_iterator *iterator;
    cairn_entry entry;
    int64_t value;
    MUST(cairn_reducing_state(&t->task, "r", CAIRN_INT64, cairn_reduce_sum_int64, NULL, &options,
                              &sum, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_INT64, &options, &list, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    for (int64_t i = 1; i <= 3; i++) {
        MUST(cairn_reducing_add_int64(sum, i, ERR));
        MUST(cairn_list_add_int64(list, i, ERR));
        t->clock_ms += 45;
    }
    ck_assert_int_eq(MUST(cairn_reducing_get_int64(sum, &value, ERR)), 1);
    ck_assert_int_eq(value, 6); /* each addition is a write of the whole */
    ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), 2); /* each element has its own time */
    MUST(cairn_task_iterate(&t->task, "l", &iterator, ERR));
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 1);
    ck_assert_int_eq(cairn_decode_int64(entry.value), 2);
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 1);
    ck_assert_int_eq(cairn_decode_int64(entry.value), 3);
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 0);
    cairn_iterator_close(iterator);
    t->clock_ms += 60;
    ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), 0);
    MUST(cairn_reducing_add_int64(sum, 10, ERR)); /* the expired sum has no part in it */
    ck_assert_int_eq(MUST(cairn_reducing_get_int64(sum, &value, ERR)), 1);
    ck_assert_int_eq(value, 10);
    test_task_free(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyed");
    TCase *tcase = tcase_create("keys, types, expiry");
    tcase_set_timeout(tcase, 60);
    EACH_BACKEND(tcase, key_sizes);
    EACH_BACKEND(tcase, value_sizes);
    EACH_BACKEND(tcase, keys_of_other_subtasks);
    tcase_add_test(tcase, subtask_of_key);
    EACH_BACKEND(tcase, typed_keys);
    EACH_BACKEND(tcase, names);
    EACH_BACKEND(tcase, registration);
    EACH_BACKEND(tcase, unregistered_states_stay);
    EACH_BACKEND(tcase, typed_values);
    tcase_add_test(tcase, encodings);
    EACH_BACKEND(tcase, expiry_to_the_millisecond);
    EACH_BACKEND(tcase, renewal_on_read);
    EACH_BACKEND(tcase, expiry_of_what_is_combined);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
