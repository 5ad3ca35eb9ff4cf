/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves how keyed state behaves with what surrounds it, over each backend: callbacks that fail or
 * give nonsense change nothing; a getter's pointer may be the next call's argument; iterators see
 * one moment and survive the database; every call after close is an error; damaged local bytes are
 * CAIRN_ECORRUPT, never a value (P8, P11); a handle that is NULL is CAIRN_EINVAL.
 */

#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"
#include <string.h>

#define EACH_BACKEND(tcase, test) tcase_add_loop_test(tcase, test, 0, TEST_BACKENDS)

/* ------------------------------------------------------------------------------------------ *
 * Callbacks
 * ------------------------------------------------------------------------------------------ */

struct scripted {
    int code;    /* what the function returns */
    size_t size; /* of what it gives */
    unsigned calls;
};

static int scripted_bytes(struct scripted *script, cairn_buffer *out)
{
    script->calls++;
    ck_assert_uint_eq(out->size, 0);
    for (size_t i = 0; i < script->size; i++)
        CRN_TRY(cairn_buffer_append(out, "z", 1));
    return script->code;
}

static int scripted_reduce(void *context, const void *a, size_t a_size, const void *b,
                           size_t b_size, cairn_buffer *out)
{
    ck_assert(a != NULL && b != NULL);
    (void)a_size, (void)b_size;
    return scripted_bytes(context, out);
}

static int scripted_add(void *context, const void *accumulator, size_t accumulator_size,
                        const void *input, size_t input_size, cairn_buffer *out)
{
    (void)accumulator, (void)accumulator_size, (void)input, (void)input_size;
    return scripted_bytes(context, out);
}

static int scripted_result(void *context, const void *accumulator, size_t size, cairn_buffer *out)
{
    (void)accumulator, (void)size;
    return scripted_bytes(context, out);
}

START_TEST(failing_reduce)
{
    struct test_task *t = test_task_new(_i);
    struct scripted script = {.code = -1000};
    cairn_reducing *state;
    int64_t value;
    MUST(cairn_reducing_state(&t->task, "r", CAIRN_INT64, scripted_reduce, &script, NULL, &state,
                              ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_reducing_add_int64(state, 7, ERR)); /* the first one needs no function */
    ck_assert_uint_eq(script.calls, 0);
    MUST_FAIL(-1000, "reduce function returned -1000", cairn_reducing_add_int64(state, 1, ERR));
    script.code = CAIRN_ENOMEM;
    MUST_FAIL(CAIRN_ENOMEM, "'r'", cairn_reducing_add_int64(state, 1, ERR));
    script.code = 1;
    MUST_FAIL(CAIRN_EINVAL, "neither 0 nor", cairn_reducing_add_int64(state, 1, ERR));
    script = (struct scripted){.size = 7};
    MUST_FAIL(CAIRN_EINVAL, "8 bytes, not 7", cairn_reducing_add_int64(state, 1, ERR));
    ck_assert_int_eq(MUST(cairn_reducing_get_int64(state, &value, ERR)), 1);
    ck_assert_int_eq(value, 7);
    script.size = 8;
    MUST(cairn_reducing_add_int64(state, 1, ERR));
    ck_assert_int_eq(MUST(cairn_reducing_get_int64(state, &value, ERR)), 1);
    ck_assert_int_eq(value, cairn_decode_int64("zzzzzzzz"));
    test_task_free(t);
}
END_TEST

START_TEST(failing_aggregate)
{
    struct test_task *t = test_task_new(_i);
    struct scripted script = {.code = -7, .size = 3};
    cairn_aggregate_functions functions = {NULL, scripted_result, &script};
    cairn_aggregating *state;
    const void *data = NULL;
    size_t size = 99;
    MUST_FAIL(CAIRN_EINVAL, "add function",
              cairn_aggregating_state(&t->task, "a", CAIRN_BYTES, &functions, NULL, &state, ERR));
    functions.add = scripted_add;
    MUST(cairn_aggregating_state(&t->task, "a", CAIRN_BYTES, &functions, NULL, &state, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST_FAIL(-7, "add function returned -7", cairn_aggregating_add(state, "i", 1, ERR));
    ck_assert_int_eq(MUST(cairn_aggregating_get(state, &data, &size, ERR)), 0);
    script.code = 0;
    MUST(cairn_aggregating_add(state, NULL, 0, ERR));
    script.code = -8;
    MUST_FAIL(-8, "result function returned -8", cairn_aggregating_get(state, &data, &size, ERR));
    ck_assert_ptr_null(data);
    ck_assert_uint_eq(size, 99);
    script.code = 0;
    script.size = 0;
    ck_assert_int_eq(MUST(cairn_aggregating_get(state, &data, &size, ERR)), 1);
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(size, 0);
    test_task_free(t);
}
END_TEST

START_TEST(built_in_functions)
{
    struct cairn_buffer out = {0};
    uint8_t a[8], b[8];
    cairn_encode_int64(INT64_MAX, a);
    cairn_encode_int64(1, b);
    MUST(cairn_reduce_sum_int64(NULL, a, 8, b, 8, &out));
    ck_assert_int_eq(cairn_decode_int64(out.data), INT64_MIN);
    crn_buf_clear(&out);
    cairn_encode_double(0.25, a);
    cairn_encode_double(-2, b);
    MUST(cairn_reduce_sum_double(NULL, a, 8, b, 8, &out));
    ck_assert_double_eq(cairn_decode_double(out.data), -1.75);
    crn_buf_clear(&out);
    MUST(cairn_reduce_min(NULL, a, 8, b, 8, &out));
    ck_assert_mem_eq(out.data, b, 8);
    crn_buf_clear(&out);
    MUST(cairn_reduce_max(NULL, "ab", 2, "abc", 3, &out));
    ck_assert_str_eq((const char *)out.data, "abc");
    crn_buf_clear(&out);
    MUST(cairn_reduce_min(NULL, "", 0, "abc", 3, &out));
    ck_assert_uint_eq(out.size, 0);
    ck_assert_int_eq(cairn_reduce_sum_int64(NULL, a, 7, b, 8, &out), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_reduce_sum_double(NULL, a, 8, b, 9, &out), CAIRN_EINVAL);
    crn_buf_done(&out);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Lifetimes
 * ------------------------------------------------------------------------------------------ */

static int join(void *context, const void *a, size_t a_size, const void *b, size_t b_size,
                cairn_buffer *out)
{
    (void)context;
    CRN_TRY(cairn_buffer_append(out, a, a_size));
    return cairn_buffer_append(out, b, b_size);
}

/* Everything a getter gives goes straight into every writer. Under ASan a wrong lifetime is an
 * error. */
START_TEST(pointers_as_arguments)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    options.ttl_ms = 1000;
    cairn_value *value, *aging;
    cairn_map *map;
    cairn_list *list;
    cairn_reducing *joined;
    const void *data;
    size_t size;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, NULL, &value, ERR));
    MUST(cairn_value_state(&t->task, "w", CAIRN_BYTES, &options, &aging, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_BYTES, CAIRN_BYTES, &options, &map, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_BYTES, NULL, &list, ERR));
    MUST(cairn_reducing_state(&t->task, "j", CAIRN_BYTES, join, NULL, NULL, &joined, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_value_put(value, "0123456789", 10, ERR));
    for (int i = 0; i < 3; i++) {
        MUST(cairn_value_get(value, &data, &size, ERR));
        MUST(cairn_value_put(value, (const char *)data + 1, size - 1, ERR));
        MUST(cairn_value_get(value, &data, &size, ERR));
        MUST(cairn_value_put(aging, data, size, ERR));
        MUST(cairn_value_get(aging, &data, &size, ERR));
        MUST(cairn_map_put(map, data, size, data, size, ERR));
        ck_assert_int_eq(MUST(cairn_map_get(map, data, size, &data, &size, ERR)), 1);
        MUST(cairn_reducing_add(joined, data, size, ERR));
        MUST(cairn_reducing_get(joined, &data, &size, ERR));
        MUST(cairn_reducing_add(joined, data, size, ERR));
        MUST(cairn_reducing_get(joined, &data, &size, ERR));
        MUST(cairn_list_add(list, data, size, ERR));
        ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), i + 1);
        MUST(cairn_list_at(list, (size_t)i, &data, &size));
        MUST(cairn_value_put(aging, data, size, ERR));
        ck_assert_int_eq(cairn_list_at(list, (size_t)i + 1, &data, &size), CAIRN_EINVAL);
    }
    MUST(cairn_value_get(value, &data, &size, ERR));
    ck_assert_uint_eq(size, 7);
    ck_assert_mem_eq(data, "3456789", 7);
    /* 9; then 18 + 8, doubled; then 52 + 7, doubled. */
    MUST(cairn_reducing_get(joined, &data, &size, ERR));
    ck_assert_uint_eq(size, 118);
    MUST(cairn_task_set_key(&t->task, data, size));
    test_task_free(t);
}
END_TEST

START_TEST(loaded_list_stays)
{
    struct test_task *t = test_task_new(_i);
    cairn_list *list;
    const void *data;
    size_t size;
    MUST(cairn_list_state(&t->task, "l", CAIRN_STRING, NULL, &list, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_list_add(list, "first", 5, ERR));
    MUST(cairn_list_add(list, "", 0, ERR));
    ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), 2);
    MUST(cairn_list_clear(list, ERR));
    MUST(cairn_task_set_key(&t->task, "other", 5));
    MUST(cairn_list_at(list, 0, &data, &size));
    ck_assert_uint_eq(size, 5);
    ck_assert_mem_eq(data, "first", 5);
    MUST(cairn_list_at(list, 1, &data, &size));
    ck_assert_uint_eq(size, 0);
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(MUST(cairn_list_load(list, ERR)), 0);
    ck_assert_int_eq(cairn_list_at(list, 0, &data, &size), CAIRN_EINVAL);
    test_task_free(t);
}
END_TEST

START_TEST(iterators_see_one_moment)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *state;
    cairn_iterator *iterator = NULL;
    cairn_entry entry;
    MUST(cairn_value_state(&t->task, "v", CAIRN_INT64, NULL, &state, ERR));
    for (int64_t key = 0; key < 50; key++) {
        MUST(cairn_task_set_key_int64(&t->task, key));
        MUST(cairn_value_put_int64(state, key, ERR));
    }
    MUST_FAIL(CAIRN_ENOTFOUND, "'nosuch'", cairn_task_iterate(&t->task, "nosuch", &iterator, ERR));
    MUST_FAIL(CAIRN_EINVAL, "NULL", cairn_task_iterate(&t->task, NULL, &iterator, ERR));
    ck_assert_ptr_null(iterator);
    MUST(cairn_task_iterate(&t->task, "v", &iterator, ERR));
    for (int64_t key = 0; key < 100; key++) {
        MUST(cairn_task_set_key_int64(&t->task, key));
        MUST(cairn_value_put_int64(state, -1, ERR));
        if (key % 3 == 0)
            MUST(cairn_value_clear(state, ERR));
    }
    int64_t sum = 0, count = 0;
    while (MUST(cairn_iterator_next(iterator, &entry, ERR)) == 1) {
        ck_assert_ptr_null(entry.map_key);
        ck_assert_int_eq(cairn_decode_int64(entry.key), cairn_decode_int64(entry.value));
        sum += cairn_decode_int64(entry.value);
        count++;
    }
    ck_assert_int_eq(count, 50);
    ck_assert_int_eq(sum, 49 * 50 / 2);
    cairn_iterator_close(iterator);
    cairn_iterator_close(NULL);
    test_task_free(t);
}
END_TEST

/* What task.c does when a job closes under open handles. */
START_TEST(everything_is_closed)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *value;
    cairn_list *list;
    cairn_map *map;
    cairn_operator_list *positions;
    cairn_iterator *first, *second, *third;
    cairn_entry entry;
    const void *data;
    size_t size;
    MUST(cairn_value_state(&t->task, "v", CAIRN_BYTES, NULL, &value, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_BYTES, NULL, &list, ERR));
    MUST(cairn_map_state(&t->task, "m", CAIRN_BYTES, CAIRN_BYTES, NULL, &map, ERR));
    MUST(cairn_operator_list_state(&t->task, "o", CAIRN_SPLIT, CAIRN_BYTES, &positions, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    MUST(cairn_value_put(value, "x", 1, ERR));
    MUST(cairn_map_put(map, "a", 1, "b", 1, ERR));
    MUST(cairn_task_iterate(&t->task, "v", &first, ERR));
    MUST(cairn_map_iterate(map, &second, ERR));
    MUST(cairn_task_iterate(&t->task, "l", &third, ERR));
    cairn_iterator_close(second); /* from the middle of the task's list */
    MUST(cairn_value_get(value, &data, &size, ERR));

    atomic_store(&t->task.open, false);
    crn_keyed_detach(&t->task);
    t->task.db->ops->close(t->task.db);
    t->task.db = NULL;
    ck_assert_int_eq(cairn_task_set_key(&t->task, "k", 1), CAIRN_ECLOSED);
    ck_assert_int_eq(cairn_task_set_namespace(&t->task, "k", 1), CAIRN_ECLOSED);
    MUST_FAIL(CAIRN_ECLOSED, "'operator' is closed", cairn_value_get(value, &data, &size, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_value_put(value, "", 0, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_value_clear(value, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_list_add(list, "", 0, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_list_load(list, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_map_get(map, "", 0, &data, &size, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_map_clear(map, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_map_iterate(map, &second, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_task_iterate(&t->task, "v", &second, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_iterator_next(first, &entry, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed", cairn_operator_list_add(positions, "", 0, ERR));
    MUST_FAIL(CAIRN_ECLOSED, "closed",
              cairn_value_state(&t->task, "n", CAIRN_BYTES, NULL, &value, ERR));
    cairn_iterator_close(first);
    test_task_free(t);
    cairn_iterator_close(third); /* late, but not a crash */
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Damage
 * ------------------------------------------------------------------------------------------ */

static void plant(struct test_task *t, const char *state, const struct cairn_buffer *key,
                  const void *bytes, size_t size)
{
    for (struct crn_keyed *keyed = t->task.keyed; keyed != NULL; keyed = keyed->next)
        if (strcmp(keyed->info.name, state) == 0)
            MUST(t->task.db->ops->put(t->task.db, keyed->state, key->data, key->size, bytes, size,
                                      ERR));
}

static void check_iteration_fails(struct test_task *t, const char *state, const char *words)
{
    cairn_iterator *iterator;
    cairn_entry entry;
    MUST(cairn_task_iterate(&t->task, state, &iterator, ERR));
    MUST_FAIL(CAIRN_ECORRUPT, words, cairn_iterator_next(iterator, &entry, ERR));
    cairn_iterator_close(iterator);
}

START_TEST(damaged_bytes)
{
    struct test_task *t = test_task_new(_i);
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    options.ttl_ms = 1000;
    cairn_value *integer, *aging, *keys;
    cairn_list *list;
    const void *data;
    size_t size;
    int64_t value;
    MUST(cairn_value_state(&t->task, "i", CAIRN_INT64, NULL, &integer, ERR));
    MUST(cairn_value_state(&t->task, "t", CAIRN_BYTES, &options, &aging, ERR));
    MUST(cairn_value_state(&t->task, "keys", CAIRN_BYTES, NULL, &keys, ERR));
    MUST(cairn_list_state(&t->task, "l", CAIRN_BYTES, NULL, &list, ERR));
    MUST(cairn_task_set_key(&t->task, "k", 1));
    plant(t, "i", &t->task.key, "short", 5);
    MUST_FAIL(CAIRN_ECORRUPT, "'i'", cairn_value_get_int64(integer, &value, ERR));
    plant(t, "t", &t->task.key, "1234567", 7);
    MUST_FAIL(CAIRN_ECORRUPT, "time stamp", cairn_value_get(aging, &data, &size, ERR));
    check_iteration_fails(t, "t", "time stamp");
    plant(t, "l", &t->task.key, "\2ab\5cd", 6);
    MUST_FAIL(CAIRN_ECORRUPT, "elements", cairn_list_load(list, ERR));
    ck_assert_int_eq(cairn_list_at(list, 0, &data, &size), CAIRN_EINVAL);
    plant(t, "l", &t->task.key, "\x80\x80", 2);
    check_iteration_fails(t, "l", "elements");
    struct cairn_buffer short_key = {0};
    MUST(crn_buf_append(&short_key, "\0\7k", 3));
    plant(t, "keys", &short_key, "", 0);
    check_iteration_fails(t, "keys", "not a composite key");
    crn_buf_done(&short_key);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Handles that are not there
 * ------------------------------------------------------------------------------------------ */

#define NULL_FAILS(call) MUST_FAIL(CAIRN_EINVAL, "NULL", call)

START_TEST(no_task)
{
    const cairn_aggregate_functions functions = {.add = scripted_add};
    cairn_value *value;
    cairn_list *list;
    cairn_map *map;
    cairn_reducing *reducing;
    cairn_aggregating *aggregating;
    cairn_operator_list *elements;
    cairn_broadcast *broadcast;
    cairn_iterator *iterator;
    ck_assert_int_eq(cairn_task_set_key(NULL, "k", 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_task_set_key_int64(NULL, 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_task_set_namespace(NULL, "n", 1), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_task_set_namespace_int64(NULL, 1), CAIRN_EINVAL);
    NULL_FAILS(cairn_value_state(NULL, "s", CAIRN_INT64, NULL, &value, ERR));
    NULL_FAILS(cairn_list_state(NULL, "s", CAIRN_INT64, NULL, &list, ERR));
    NULL_FAILS(cairn_map_state(NULL, "s", CAIRN_INT64, CAIRN_INT64, NULL, &map, ERR));
    NULL_FAILS(cairn_reducing_state(NULL, "s", CAIRN_INT64, cairn_reduce_sum_int64, NULL, NULL,
                                    &reducing, ERR));
    NULL_FAILS(
        cairn_aggregating_state(NULL, "s", CAIRN_INT64, &functions, NULL, &aggregating, ERR));
    NULL_FAILS(cairn_operator_list_state(NULL, "s", CAIRN_SPLIT, CAIRN_INT64, &elements, ERR));
    NULL_FAILS(cairn_broadcast_state(NULL, "s", CAIRN_INT64, CAIRN_INT64, &broadcast, ERR));
    NULL_FAILS(cairn_task_iterate(NULL, "s", &iterator, ERR));
}
END_TEST

START_TEST(no_keyed_state)
{
    const void *data;
    size_t size;
    int64_t n;
    double d;
    cairn_iterator *iterator;
    cairn_entry entry;
    NULL_FAILS(cairn_value_get(NULL, &data, &size, ERR));
    NULL_FAILS(cairn_value_put(NULL, "v", 1, ERR));
    NULL_FAILS(cairn_value_clear(NULL, ERR));
    NULL_FAILS(cairn_value_get_int64(NULL, &n, ERR));
    NULL_FAILS(cairn_value_put_int64(NULL, 1, ERR));
    NULL_FAILS(cairn_value_get_double(NULL, &d, ERR));
    NULL_FAILS(cairn_value_put_double(NULL, 1, ERR));
    NULL_FAILS(cairn_value_put_string(NULL, "v", ERR));
    NULL_FAILS(cairn_list_add(NULL, "v", 1, ERR));
    NULL_FAILS(cairn_list_add_int64(NULL, 1, ERR));
    NULL_FAILS(cairn_list_load(NULL, ERR));
    NULL_FAILS(cairn_list_clear(NULL, ERR));
    ck_assert_int_eq(cairn_list_at(NULL, 0, &data, &size), CAIRN_EINVAL);
    NULL_FAILS(cairn_map_get(NULL, "k", 1, &data, &size, ERR));
    NULL_FAILS(cairn_map_put(NULL, "k", 1, "v", 1, ERR));
    NULL_FAILS(cairn_map_remove(NULL, "k", 1, ERR));
    NULL_FAILS(cairn_map_clear(NULL, ERR));
    NULL_FAILS(cairn_map_iterate(NULL, &iterator, ERR));
    NULL_FAILS(cairn_reducing_add(NULL, "v", 1, ERR));
    NULL_FAILS(cairn_reducing_add_int64(NULL, 1, ERR));
    NULL_FAILS(cairn_reducing_get(NULL, &data, &size, ERR));
    NULL_FAILS(cairn_reducing_get_int64(NULL, &n, ERR));
    NULL_FAILS(cairn_reducing_clear(NULL, ERR));
    NULL_FAILS(cairn_aggregating_add(NULL, "v", 1, ERR));
    NULL_FAILS(cairn_aggregating_get(NULL, &data, &size, ERR));
    NULL_FAILS(cairn_aggregating_clear(NULL, ERR));
    NULL_FAILS(cairn_iterator_next(NULL, &entry, ERR));
    cairn_iterator_close(NULL);
}
END_TEST

START_TEST(no_operator_state)
{
    const void *data;
    size_t size;
    cairn_entry entry;
    ck_assert_uint_eq(cairn_operator_list_size(NULL), 0);
    ck_assert_int_eq(cairn_operator_list_at(NULL, 0, &data, &size), CAIRN_EINVAL);
    NULL_FAILS(cairn_operator_list_add(NULL, "v", 1, ERR));
    NULL_FAILS(cairn_operator_list_add_int64(NULL, 1, ERR));
    NULL_FAILS(cairn_operator_list_clear(NULL, ERR));
    ck_assert_uint_eq(cairn_broadcast_size(NULL), 0);
    ck_assert_int_eq(cairn_broadcast_get(NULL, "k", 1, &data, &size), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_broadcast_at(NULL, 0, &entry), CAIRN_EINVAL);
    NULL_FAILS(cairn_broadcast_put(NULL, "k", 1, "v", 1, ERR));
    NULL_FAILS(cairn_broadcast_remove(NULL, "k", 1, ERR));
}
END_TEST

START_TEST(nowhere_to_return_a_state_to)
{
    struct test_task *t = test_task_new(_i);
    cairn_value *value;
    MUST_FAIL(CAIRN_EINVAL, "nowhere",
              cairn_value_state(&t->task, "s", CAIRN_INT64, NULL, NULL, ERR));
    MUST(cairn_value_state(&t->task, "s", CAIRN_INT64, NULL, &value, ERR)); /* it did not happen */
    test_task_free(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyed-calls");
    TCase *tcase = tcase_create("calls");
    tcase_set_timeout(tcase, 60);
    EACH_BACKEND(tcase, failing_reduce);
    EACH_BACKEND(tcase, failing_aggregate);
    tcase_add_test(tcase, built_in_functions);
    EACH_BACKEND(tcase, pointers_as_arguments);
    EACH_BACKEND(tcase, loaded_list_stays);
    EACH_BACKEND(tcase, iterators_see_one_moment);
    EACH_BACKEND(tcase, everything_is_closed);
    EACH_BACKEND(tcase, damaged_bytes);
    tcase_add_test(tcase, no_task);
    tcase_add_test(tcase, no_keyed_state);
    tcase_add_test(tcase, no_operator_state);
    EACH_BACKEND(tcase, nowhere_to_return_a_state_to);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
