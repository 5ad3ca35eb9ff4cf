/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that operator state survives its own bytes and any change of parallelism: each element of
 * a split list goes to exactly one subtask, each of a union list to all, for every pair of old and
 * new parallelism; the bytes are those of docs/format.md, for ever (P10); and whatever is done to a
 * blob, decoding gives an error or a state, never a crash (P11).
 */

#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>

/* A list "l" of two elements, a union list "u" without any, and a broadcast map "b" of int64 to
 * text. */
static const char golden[] = "CROS\1"
                             "\3"
                             "\1b\x12\3\1\2"
                             "\10\x7f\xff\xff\xff\xff\xff\xff\xff\3one"
                             "\10\x80\0\0\0\0\0\0\0\0"
                             "\1l\x10\0\0\2\2ab\0"
                             "\1u\x11\2\0\0";
#define GOLDEN_SIZE (sizeof(golden) - 1)

static const cairn_operator_list *list_of(struct test_task *t, const char *name,
                                          cairn_redistribution redistribution)
{
    cairn_operator_list *list;
    MUST(cairn_operator_list_state(&t->task, name, redistribution, CAIRN_STRING, &list, ERR));
    return list;
}

static void replace_states(struct test_task *t, const struct cairn_buffer *blobs, size_t count,
                           uint32_t subtask, uint32_t parallelism)
{
    crn_operator_states_free(t->task.operators);
    MUST(crn_operator_states_new(&t->task.operators, ERR));
    MUST(crn_operator_states_restore(t->task.operators, blobs, count, subtask, parallelism, ERR));
}

static struct cairn_buffer golden_blob(void)
{
    struct cairn_buffer blob = {0};
    MUST(crn_buf_append(&blob, golden, GOLDEN_SIZE));
    return blob;
}

/* ------------------------------------------------------------------------------------------ *
 * The API
 * ------------------------------------------------------------------------------------------ */

START_TEST(lists)
{
    struct test_task *t = test_task_new(TEST_BACKEND_FAKE);
    cairn_operator_list *list, *numbers;
    const void *data;
    size_t size;
    MUST(cairn_operator_list_state(&t->task, "bytes", CAIRN_SPLIT, CAIRN_BYTES, &list, ERR));
    MUST(cairn_operator_list_state(&t->task, "numbers", CAIRN_UNION, CAIRN_INT64, &numbers, ERR));
    MUST_FAIL(CAIRN_EINVAL, "redistribution 2",
              cairn_operator_list_state(&t->task, "x", (cairn_redistribution)2, CAIRN_INT64,
                                        &numbers, ERR));
    ck_assert_int_eq(cairn_operator_list_at(list, 0, &data, &size), CAIRN_EINVAL);
    for (size_t i = 0; i < 100; i++) {
        uint8_t byte = (uint8_t)i;
        MUST(cairn_operator_list_add(list, &byte, i == 7 ? 0 : 1, ERR));
        MUST(cairn_operator_list_add_int64(numbers, -(int64_t)i, ERR));
    }
    MUST(cairn_operator_list_at(list, 3, &data, &size));
    MUST(cairn_operator_list_add(list, data, size, ERR)); /* its own element */
    MUST_FAIL(CAIRN_EINVAL, "8 bytes", cairn_operator_list_add(numbers, "x", 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "not int64", cairn_operator_list_add_int64(list, 1, ERR));
    MUST_FAIL(CAIRN_EINVAL, "limit", cairn_operator_list_add(list, "", (size_t)1 << 29, ERR));
    MUST_FAIL(CAIRN_EINVAL, "NULL", cairn_operator_list_add(list, NULL, 1, ERR));
    test_task_restart(t);
    MUST(cairn_operator_list_state(&t->task, "bytes", CAIRN_SPLIT, CAIRN_BYTES, &list, ERR));
    MUST(cairn_operator_list_state(&t->task, "numbers", CAIRN_UNION, CAIRN_INT64, &numbers, ERR));
    ck_assert_uint_eq(cairn_operator_list_size(list), 101);
    for (size_t i = 0; i < 101; i++) {
        MUST(cairn_operator_list_at(list, i, &data, &size));
        ck_assert_ptr_nonnull(data);
        ck_assert_uint_eq(size, i == 7 ? 0 : 1);
        ck_assert(i == 7 || *(const uint8_t *)data == (i == 100 ? 3 : i));
    }
    MUST(cairn_operator_list_at(numbers, 99, &data, &size));
    ck_assert_int_eq(cairn_decode_int64(data), -99);
    MUST(cairn_operator_list_clear(list, ERR));
    ck_assert_uint_eq(cairn_operator_list_size(list), 0);
    test_task_free(t);
}
END_TEST

START_TEST(broadcast_maps)
{
    struct test_task *t = test_task_new(TEST_BACKEND_FAKE);
    cairn_broadcast *map;
    cairn_entry entry;
    const void *data;
    size_t size;
    MUST(cairn_broadcast_state(&t->task, "b", CAIRN_BYTES, CAIRN_BYTES, &map, ERR));
    /* In an order that is neither up nor down; keys are prefixes of each other. */
    for (size_t i = 0; i < 64; i++) {
        size_t n = i * 37 % 64;
        MUST(cairn_broadcast_put(map,
                                 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
                                 n, &n, sizeof(n), ERR));
    }
    ck_assert_uint_eq(cairn_broadcast_size(map), 64);
    for (size_t i = 0; i < 64; i++) {
        MUST(cairn_broadcast_at(map, i, &entry));
        ck_assert_uint_eq(entry.key_size, i);
        ck_assert_mem_eq(entry.value, &i, sizeof(i));
    }
    ck_assert_int_eq(cairn_broadcast_at(map, 64, &entry), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_broadcast_get(map, "x", 1, &data, &size), 0);
    ck_assert_int_eq(cairn_broadcast_get(map, "kk", 2, &data, &size), 1);
    MUST(
        cairn_broadcast_put(map, "kk", 2, (const char *)data + 1, 2, ERR)); /* from its own bytes */
    MUST(cairn_broadcast_put(map, "k", 1, NULL, 0, ERR));
    MUST(cairn_broadcast_remove(map, "", 0, ERR));
    MUST(cairn_broadcast_remove(map, "absent", 6, ERR));
    MUST_FAIL(CAIRN_EINVAL, "limit",
              cairn_broadcast_put(map, "", CRN_KEY_SIZE_MAX + 1, "", 0, ERR));
    test_task_restart(t);
    MUST(cairn_broadcast_state(&t->task, "b", CAIRN_BYTES, CAIRN_BYTES, &map, ERR));
    ck_assert_uint_eq(cairn_broadcast_size(map), 63);
    ck_assert_int_eq(cairn_broadcast_get(map, NULL, 0, &data, &size), 0);
    ck_assert_int_eq(cairn_broadcast_get(map, "k", 1, &data, &size), 1);
    ck_assert_uint_eq(size, 0);
    ck_assert_int_eq(cairn_broadcast_get(map, "kk", 2, &data, &size), 1);
    ck_assert_uint_eq(size, 2);
    test_task_free(t);
}
END_TEST

START_TEST(registered_as_stored)
{
    struct test_task *t = test_task_new(TEST_BACKEND_FAKE);
    struct cairn_buffer blob = golden_blob();
    cairn_operator_list *list = NULL;
    cairn_broadcast *map = NULL;
    cairn_value *value = NULL;
    replace_states(t, &blob, 1, 0, 1);
    MUST_FAIL(CAIRN_EMISMATCH, "stored as operator list of bytes",
              cairn_operator_list_state(&t->task, "l", CAIRN_UNION, CAIRN_BYTES, &list, ERR));
    MUST_FAIL(CAIRN_EMISMATCH, "operator list of int64",
              cairn_operator_list_state(&t->task, "l", CAIRN_SPLIT, CAIRN_INT64, &list, ERR));
    MUST_FAIL(CAIRN_EMISMATCH, "broadcast map of bytes to string",
              cairn_broadcast_state(&t->task, "b", CAIRN_BYTES, CAIRN_STRING, &map, ERR));
    MUST_FAIL(CAIRN_EMISMATCH, "value of bytes",
              cairn_value_state(&t->task, "l", CAIRN_BYTES, NULL, &value, ERR));
    MUST(cairn_broadcast_state(&t->task, "b", CAIRN_INT64, CAIRN_STRING, &map, ERR));
    ck_assert_uint_eq(cairn_broadcast_size(map), 2);
    MUST_FAIL(CAIRN_EEXIST, "'b'",
              cairn_broadcast_state(&t->task, "b", CAIRN_INT64, CAIRN_STRING, &map, ERR));
    crn_buf_done(&blob);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Redistribution
 * ------------------------------------------------------------------------------------------ */

#define SPLIT_PER_SUBTASK 5 /* subtask s has s % 3 fewer */
#define PARALLELISM_MAX 7u

/* What subtask s of the stored parallelism wrote: elements "s.i", and as broadcast "by" its number.
 */
static struct cairn_buffer write_blob(struct test_task *t, uint32_t subtask)
{
    struct cairn_buffer blob = {0};
    cairn_operator_list *split, *all;
    cairn_broadcast *map;
    char text[16];
    replace_states(t, NULL, 0, 0, 1);
    MUST(cairn_operator_list_state(&t->task, "split", CAIRN_SPLIT, CAIRN_STRING, &split, ERR));
    MUST(cairn_operator_list_state(&t->task, "union", CAIRN_UNION, CAIRN_STRING, &all, ERR));
    MUST(cairn_broadcast_state(&t->task, "broadcast", CAIRN_STRING, CAIRN_STRING, &map, ERR));
    for (uint32_t i = 0; i < SPLIT_PER_SUBTASK - subtask % 3; i++) {
        (void)snprintf(text, sizeof(text), "%u.%u", subtask, i);
        MUST(cairn_operator_list_add(split, text, strlen(text), ERR));
        MUST(cairn_operator_list_add(all, text, strlen(text), ERR));
    }
    (void)snprintf(text, sizeof(text), "%u", subtask);
    MUST(cairn_broadcast_put(map, "by", 2, text, strlen(text), ERR));
    MUST(crn_operator_states_encode(t->task.operators, &blob, ERR));
    return blob;
}

/* "0.0 0.1 1.0 ..." */
static void read_list(const cairn_operator_list *list, char *out, size_t size)
{
    out[0] = 0;
    for (size_t i = 0; i < cairn_operator_list_size(list); i++) {
        const void *data;
        size_t n, used = strlen(out);
        MUST(cairn_operator_list_at(list, i, &data, &n));
        (void)snprintf(out + used, size - used, "%.*s ", (int)n, (const char *)data);
    }
}

/* _i: stored parallelism - 1. */
START_TEST(redistribution)
{
    struct test_task *t = test_task_new(TEST_BACKEND_FAKE);
    struct cairn_buffer blobs[PARALLELISM_MAX];
    size_t stored = (size_t)_i + 1, elements = 0;
    char everything[512] = "", text[512];
    for (uint32_t s = 0; s < stored; s++) {
        blobs[s] = write_blob(t, s);
        for (uint32_t i = 0; i < SPLIT_PER_SUBTASK - s % 3; i++, elements++)
            (void)sprintf(everything + strlen(everything), "%u.%u ", s, i);
    }
    for (uint32_t parallelism = 1; parallelism <= PARALLELISM_MAX; parallelism++) {
        size_t dealt = 0, most = 0, least = SIZE_MAX;
        unsigned seen[PARALLELISM_MAX][SPLIT_PER_SUBTASK] = {{0}};
        for (uint32_t subtask = 0; subtask < parallelism; subtask++) {
            replace_states(t, blobs, stored, subtask, parallelism);
            const cairn_operator_list *split = list_of(t, "split", CAIRN_SPLIT);
            size_t count = cairn_operator_list_size(split);
            for (size_t i = 0; i < count; i++) {
                unsigned from, number;
                const void *data;
                size_t n;
                MUST(cairn_operator_list_at(split, i, &data, &n));
                (void)snprintf(text, sizeof(text), "%.*s", (int)n, (const char *)data);
                ck_assert_int_eq(sscanf(text, "%u.%u", &from, &number), 2);
                ck_assert_uint_eq(seen[from][number]++, 0);
                ck_assert(parallelism != stored || from == subtask);
            }
            dealt += count;
            most = count > most ? count : most;
            least = count < least ? count : least;
            read_list(list_of(t, "union", CAIRN_UNION), text, sizeof(text));
            ck_assert_str_eq(text, everything);
            cairn_broadcast *map;
            const void *by;
            size_t size;
            MUST(cairn_broadcast_state(&t->task, "broadcast", CAIRN_STRING, CAIRN_STRING, &map,
                                       ERR));
            ck_assert_uint_eq(cairn_broadcast_size(map), 1);
            ck_assert_int_eq(cairn_broadcast_get(map, "by", 2, &by, &size), 1);
            ck_assert_uint_eq(size, 1);
            ck_assert_uint_eq(*(const uint8_t *)by - (unsigned)'0', subtask % stored);
        }
        ck_assert_uint_eq(dealt, elements);
        ck_assert(parallelism == stored || most - least <= 1);
    }
    for (size_t s = 0; s < stored; s++)
        crn_buf_done(&blobs[s]);
    test_task_free(t);
}
END_TEST

/* A subtask that wrote nothing, and states that only some subtasks know. */
START_TEST(uneven_blobs)
{
    struct test_task *t = test_task_new(TEST_BACKEND_FAKE);
    struct cairn_buffer blobs[3] = {{0}, golden_blob(), {0}};
    for (uint32_t subtask = 0; subtask < 3; subtask++) {
        cairn_operator_list *list;
        replace_states(t, blobs, 3, subtask, 3);
        MUST(cairn_operator_list_state(&t->task, "l", CAIRN_SPLIT, CAIRN_BYTES, &list, ERR));
        ck_assert_uint_eq(cairn_operator_list_size(list), subtask == 1 ? 2 : 0);
    }
    /* The same name as another thing in another subtask. */
    MUST(crn_buf_append(&blobs[2], "CROS\1\1\1l\x11\0\0\0", 12));
    MUST_FAIL(
        CAIRN_ECORRUPT,
        "'l': operator list of bytes in one subtask, operator union list of bytes in subtask 2",
        crn_operator_states_restore(t->task.operators, blobs, 3, 0, 3, ERR));
    crn_buf_done(&blobs[1]);
    crn_buf_done(&blobs[2]);
    test_task_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Bytes
 * ------------------------------------------------------------------------------------------ */

START_TEST(nothing_is_empty)
{
    struct crn_operator_states *states;
    struct cairn_buffer blob = {0};
    MUST(crn_operator_states_new(&states, ERR));
    MUST(crn_operator_states_encode(states, &blob, ERR));
    ck_assert_uint_eq(blob.size, 0);
    MUST(crn_operator_states_restore(states, &blob, 1, 0, 1, ERR));
    crn_operator_states_free(states);
    crn_operator_states_free(NULL);
    crn_buf_done(&blob);
}
END_TEST

static int add_line(void *context, const cairn_state_info *info, uint64_t element,
                    const cairn_entry *entry)
{
    return crn_buf_printf(context, "%s %d %d %llu %zu:%.*s\n", info->name, (int)info->kind,
                          entry->key != NULL, (unsigned long long)element, entry->value_size,
                          (int)entry->value_size, (const char *)entry->value);
}

static int refuse_second(void *context, const cairn_state_info *info, uint64_t element,
                         const cairn_entry *entry)
{
    (void)info, (void)entry;
    ++*(int *)context;
    return element == 1 ? -99 : 0;
}

START_TEST(golden_bytes)
{
    struct crn_operator_states *states;
    struct cairn_buffer blob = golden_blob(), again = {0}, lines = {0};
    int calls = 0;
    MUST(crn_operator_states_new(&states, ERR));
    MUST(crn_operator_states_restore(states, &blob, 1, 0, 1, ERR));
    MUST(crn_operator_states_encode(states, &again, ERR));
    ck_assert_uint_eq(again.size, GOLDEN_SIZE);
    ck_assert_mem_eq(again.data, golden, GOLDEN_SIZE);
    MUST(crn_operator_states_walk(blob.data, blob.size, add_line, &lines, ERR));
    ck_assert_str_eq((const char *)lines.data, "b 18 1 0 3:one\n"
                                               "b 18 1 1 0:\n"
                                               "l 16 0 0 2:ab\n"
                                               "l 16 0 1 0:\n");
    ck_assert_int_eq(crn_operator_states_walk(blob.data, blob.size, refuse_second, &calls, NULL),
                     -99);
    ck_assert_int_eq(calls, 2);
    crn_operator_states_free(states);
    crn_buf_done(&blob);
    crn_buf_done(&again);
    crn_buf_done(&lines);
}
END_TEST

/* The example of docs/format.md is the golden blob. */
START_TEST(documented_bytes)
{
    FILE *document = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    ck_assert_ptr_nonnull(document);
    char line[1024];
    size_t n = 0;
    int fences = -1; /* behind the mark */
    while (fences < 2 && fgets(line, sizeof(line), document) != NULL) {
        unsigned byte;
        int used;
        if (strcmp(line, "<!-- hex operator state -->\n") == 0)
            fences = 0;
        else if (fences >= 0 && strncmp(line, "```", 3) == 0)
            fences++;
        else if (fences == 1)
            for (const char *at = line; sscanf(at, " %2x%n", &byte, &used) == 1; at += used) {
                ck_assert_uint_lt(n, GOLDEN_SIZE);
                ck_assert_uint_eq(byte, (uint8_t)golden[n++]);
            }
    }
    (void)fclose(document);
    ck_assert_uint_eq(n, GOLDEN_SIZE);
}
END_TEST

static int restore_bytes(const void *bytes, size_t size)
{
    struct crn_operator_states *states;
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that ASan sees one byte too many */
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, size);
    struct cairn_buffer blob = {.data = exact, .size = size};
    MUST(crn_operator_states_new(&states, ERR));
    int r = crn_operator_states_restore(states, &blob, 1, 0, 1, ERR);
    ck_assert_int_eq(cairn_error_code(test_error), r);
    cairn_error_free(test_error);
    test_error = NULL;
    crn_operator_states_free(states);
    free(exact);
    return r;
}

START_TEST(bad_bytes)
{
    static const struct {
        const char *what;
        size_t size;
        const char *bytes;
    } bad[] = {
        {"magic", 12, "CROT\1\1\1l\x10\0\0\0"},
        {"version 0", 12, "CROS\0\1\1l\x10\0\0\0"},
        {"no state", 6, "CROS\1\0"},
        {"name empty", 11, "CROS\1\1\0\x10\0\0\0"},
        {"name with zero byte", 13, "CROS\1\1\2l\0\x10\0\0\0"},
        {"name not UTF-8", 12, "CROS\1\1\1\xff\x10\0\0\0"},
        {"keyed kind", 12, "CROS\1\1\1l\x01\0\0\0"},
        {"unknown kind", 12, "CROS\1\1\1l\x13\0\0\0"},
        {"unknown value type", 12, "CROS\1\1\1l\x10\4\0\0"},
        {"unknown key type", 12, "CROS\1\1\1l\x12\0\4\0"},
        {"list with a key type", 12, "CROS\1\1\1l\x10\0\1\0"},
        {"element beyond the end", 14, "CROS\1\1\1l\x10\0\0\1\2a"},
        {"int64 of one byte", 14, "CROS\1\1\1l\x10\1\0\1\1a"},
        {"over-long number", 13, "CROS\1\1\1l\x10\0\0\x80\0"},
        {"bytes behind", 13, "CROS\1\1\1l\x10\0\0\0x"},
        {"names not in order", 18, "CROS\1\2\1m\x10\0\0\0\1l\x10\0\0\0"},
        {"name twice", 18, "CROS\1\2\1l\x10\0\0\0\1l\x10\0\0\0"},
        {"keys not in order", 18, "CROS\1\1\1l\x12\0\0\2\1b\0\1a\0"},
        {"key twice", 18, "CROS\1\1\1l\x12\0\0\2\1a\0\1a\0"},
        {"2^63 elements", 21, "CROS\1\1\1l\x10\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\1"},
        {"element of 2^63 bytes", 22,
         "CROS\1\1\1l\x10\0\0\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\1"},
    };
    ck_assert_int_eq(restore_bytes("CROS\1\1\1l\x10\0\0\0", 12), 0);
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        ck_assert_msg(restore_bytes(bad[i].bytes, bad[i].size) == CAIRN_ECORRUPT, "%s",
                      bad[i].what);
    ck_assert_int_eq(restore_bytes("CROS\2anything", 13), CAIRN_EVERSION);
}
END_TEST

START_TEST(cut_and_flipped)
{
    uint8_t bytes[GOLDEN_SIZE];
    ck_assert_int_eq(restore_bytes(golden, GOLDEN_SIZE), 0);
    for (size_t size = 1; size < GOLDEN_SIZE; size++)
        ck_assert_int_eq(restore_bytes(golden, size), CAIRN_ECORRUPT);
    for (size_t bit = 0; bit < 8 * GOLDEN_SIZE; bit++) {
        memcpy(bytes, golden, GOLDEN_SIZE);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* 0: in a name, a key or a value, where only the checksum around the blob can see it. */
        int r = restore_bytes(bytes, GOLDEN_SIZE);
        ck_assert(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("operator-state");
    TCase *tcase = tcase_create("operator state");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, lists);
    tcase_add_test(tcase, broadcast_maps);
    tcase_add_test(tcase, registered_as_stored);
    tcase_add_loop_test(tcase, redistribution, 0, (int)PARALLELISM_MAX);
    tcase_add_test(tcase, uneven_blobs);
    tcase_add_test(tcase, nothing_is_empty);
    tcase_add_test(tcase, golden_bytes);
    tcase_add_test(tcase, documented_bytes);
    tcase_add_test(tcase, bad_bytes);
    tcase_add_test(tcase, cut_and_flipped);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
