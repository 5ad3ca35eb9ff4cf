/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key groups, composite keys and value encodings (backends/state/keys.h, values.h).
 *
 * Proves: the assignment of hashes to groups, and of groups to subtasks, is Flink's, by its
 * published vectors; ranges partition the groups for every parallelism tried, and agree with the
 * inverse function; composite keys are a prefix code: over all triples of short strings from a
 * nasty alphabet, different triples give different bytes, and a (key, namespace) prefix is a prefix
 * of exactly its own map entries; every encoding survives a round trip; every truncation and many
 * random bytes are refused or decoded within bounds (P11); the worked examples of docs/format.md.
 */
#include "backends/state/keys.h"
#include "backends/state/values.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

/* ---- key groups ---- */

static const struct {
    uint32_t hash;
    int32_t of_128, of_4096, of_32768; /* -1: not published */
} vectors[] = {
    {0, 94, 2526, 31198},
    {1, 86, 4054, 16342},
    {2, 127, 2943, 15231},
    {42, 29, 3613, 28189},
    {UINT32_MAX, 80, 2896, 15184},
    {2147483647u, 62, 3262, 19646},
    {2147483648u, 108, 2156, 10348},
    {1000, 7, 135, 135},
    {123456789, 81, 2385, 22865},
    {97, 81, 3025, 19409},
    {99162322, 35, 2723, 31395},
    {97520992, 98, 226, 16610},
    {3458935471u, 121, 1657, 13945},
};

START_TEST(group_vectors)
{
    for (size_t i = 0; i < CRN_COUNT(vectors); i++) {
        ck_assert_int_eq(crn_key_group_of_hash(vectors[i].hash, 128), vectors[i].of_128);
        ck_assert_int_eq(crn_key_group_of_hash(vectors[i].hash, 4096), vectors[i].of_4096);
        ck_assert_int_eq(crn_key_group_of_hash(vectors[i].hash, 32768), vectors[i].of_32768);
    }
}
END_TEST

/* Pinned: stored state is found again only while this mapping stays what it is. The hash of the
 * empty key is XXH3-64's published one, 2d06800538d394c2, folded to 15d51 4c7 = 2d068005 ^
 * 38d394c2. */
START_TEST(group_of_bytes)
{
    ck_assert_uint_eq(crn_key_group_of("", 0, 128),
                      crn_key_group_of_hash(0x2d068005u ^ 0x38d394c2u, 128));
    unsigned int seen[128] = {0};
    for (unsigned int i = 0; i < 128000; i++) {
        char key[16];
        int n = snprintf(key, sizeof(key), "key-%u", i);
        seen[crn_key_group_of(key, (size_t)n, 128)]++;
    }
    for (size_t i = 0; i < 128; i++) /* 1000 expected; 6 standard deviations */
        ck_assert_msg(seen[i] > 810 && seen[i] < 1190, "group %zu has %u keys", i, seen[i]);
}
END_TEST

START_TEST(ranges_partition_the_groups)
{
    static const uint32_t cases[][2] = {{128, 3},       {128, 4},      {4096, 3},  {4096, 7},
                                        {10, 4},        {32768, 1000}, {128, 128}, {1, 1},
                                        {32768, 32768}, {129, 2},      {200, 199}};
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        uint32_t groups = cases[i][0], subtasks = cases[i][1], next = 0;
        for (uint32_t subtask = 0; subtask < subtasks; subtask++) {
            uint32_t first, last;
            crn_key_group_range(subtask, subtasks, groups, &first, &last);
            ck_assert_uint_eq(first, next);
            ck_assert_uint_ge(last, first);
            for (uint32_t group = first; group <= last; group++)
                ck_assert_uint_eq(crn_key_group_subtask(group, subtasks, groups), subtask);
            next = last + 1;
        }
        ck_assert_uint_eq(next, groups);
    }
}
END_TEST

START_TEST(published_ranges)
{
    static const uint32_t cases[][5] = {
        /* groups, subtasks, subtask, first, last */
        {128, 3, 1, 43, 85}, {128, 4, 2, 64, 95}, {4096, 3, 0, 0, 1365}, {4096, 3, 2, 2731, 4095},
        {10, 4, 0, 0, 2},    {10, 4, 1, 3, 4},    {10, 4, 3, 8, 9}};
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        uint32_t first, last;
        crn_key_group_range(cases[i][2], cases[i][1], cases[i][0], &first, &last);
        ck_assert_uint_eq(first, cases[i][3]);
        ck_assert_uint_eq(last, cases[i][4]);
    }
}
END_TEST

START_TEST(default_max_parallelism)
{
    static const uint32_t cases[][2] = {
        {1, 128},     {85, 128},      {86, 256},      {128, 256},     {200, 512},
        {1000, 2048}, {20000, 32768}, {21845, 32768}, {32768, 32768}, {UINT32_MAX, 32768}};
    for (size_t i = 0; i < CRN_COUNT(cases); i++)
        ck_assert_uint_eq(crn_default_max_parallelism(cases[i][0]), cases[i][1]);
}
END_TEST

/* ---- composite keys ---- */

static void build(struct cairn_buffer *out, uint32_t group, uint32_t groups, const char *key,
                  const char *ns, const char *map_key)
{
    ck_assert_int_eq(crn_key_start(out, group, groups, key, strlen(key)), 0);
    ck_assert_int_eq(crn_key_add_namespace(out, ns, strlen(ns)), 0);
    if (*map_key)
        ck_assert_int_eq(crn_buf_append(out, map_key, strlen(map_key)), 0);
}

static void assert_part(const uint8_t *data, size_t size, const char *expected)
{
    ck_assert_uint_eq(size, strlen(expected));
    ck_assert_int_eq(memcmp(data, expected, size), 0);
}

START_TEST(keys_survive_a_round_trip)
{
    static const uint32_t parallelisms[] = {1, 128, 129, 32768};
    struct cairn_buffer key = {0};
    for (size_t i = 0; i < CRN_COUNT(parallelisms); i++) {
        uint32_t groups = parallelisms[i];
        struct crn_key_parts parts;
        build(&key, groups - 1, groups, "user", "window", "entry");
        ck_assert(crn_key_split(key.data, key.size, groups, &parts));
        ck_assert_uint_eq(parts.key_group, groups - 1);
        assert_part(parts.key, parts.key_size, "user");
        assert_part(parts.ns, parts.ns_size, "window");
        assert_part(parts.map_key, parts.map_key_size, "entry");
    }
    crn_buf_done(&key);
}
END_TEST

START_TEST(limits_of_keys)
{
    static uint8_t big[CRN_KEY_SIZE_MAX + 1];
    struct cairn_buffer key = {0};
    struct crn_key_parts parts;
    ck_assert_int_eq(crn_key_start(&key, 0, 128, big, CRN_KEY_SIZE_MAX), 0);
    ck_assert_int_eq(crn_key_add_namespace(&key, big, CRN_KEY_SIZE_MAX), 0);
    ck_assert(crn_key_split(key.data, key.size, 128, &parts));
    ck_assert_uint_eq(parts.key_size, CRN_KEY_SIZE_MAX);
    ck_assert_uint_eq(parts.ns_size, CRN_KEY_SIZE_MAX);
    ck_assert_int_eq(crn_key_start(&key, 0, 128, big, CRN_KEY_SIZE_MAX + 1), CAIRN_EINVAL);
    ck_assert_int_eq(crn_key_start(&key, 128, 128, "k", 1), CAIRN_EINVAL);
    crn_buf_done(&key);
}
END_TEST

/* All strings of up to two bytes over bytes that could be mistaken for lengths. */
#define ALPHABET "\001\002k\177"
#define WORDS (1 + 4 + 16)
static char words[WORDS][3];

static void make_words(void)
{
    size_t n = 1;
    for (size_t a = 0; a < 4; a++)
        words[n++][0] = ALPHABET[a];
    for (size_t a = 0; a < 4; a++)
        for (size_t b = 0; b < 4; b++) {
            words[n][0] = ALPHABET[a];
            words[n++][1] = ALPHABET[b];
        }
}

struct named_key {
    struct cairn_buffer bytes;
    size_t key, ns, map_key; /* indexes into words */
};

static int compare_named(const void *pa, const void *pb)
{
    const struct cairn_buffer *a = &((const struct named_key *)pa)->bytes;
    const struct cairn_buffer *b = &((const struct named_key *)pb)->bytes;
    size_t n = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->data, b->data, n);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

START_TEST(keys_are_a_prefix_code)
{
    size_t count = 0;
    struct named_key *all = calloc(WORDS * WORDS * WORDS, sizeof(*all));
    ck_assert_ptr_nonnull(all);
    make_words();
    for (size_t k = 0; k < WORDS; k++)
        for (size_t n = 0; n < WORDS; n++)
            for (size_t m = 0; m < WORDS; m++) {
                all[count] = (struct named_key){.key = k, .ns = n, .map_key = m};
                build(&all[count++].bytes, 5, 128, words[k], words[n], words[m]);
            }
    qsort(all, count, sizeof(*all), compare_named);
    for (size_t i = 1; i < count; i++)
        if (compare_named(&all[i - 1], &all[i]) >= 0)
            ck_abort_msg("two triples give the same bytes");
    /* One (key, namespace) is one run: its prefix starts its own entries and no other's. */
    for (size_t i = 0; i < count; i += WORDS) {
        struct cairn_buffer prefix = {0};
        build(&prefix, 5, 128, words[all[i].key], words[all[i].ns], "");
        for (size_t k = 0; k < count; k++) {
            bool own = all[k].key == all[i].key && all[k].ns == all[i].ns;
            bool starts = all[k].bytes.size >= prefix.size &&
                          memcmp(all[k].bytes.data, prefix.data, prefix.size) == 0;
            if (own != starts || own != (k >= i && k < i + WORDS)) /* ck_assert is slow */
                ck_abort_msg("key %zu, prefix of key %zu", k, i);
        }
        crn_buf_done(&prefix);
    }
    for (size_t i = 0; i < count; i++)
        crn_buf_done(&all[i].bytes);
    free(all);
}
END_TEST

START_TEST(broken_keys_are_refused)
{
    struct cairn_buffer key = {0};
    struct crn_key_parts parts;
    build(&key, 300, 4096, "user", "window", "");
    for (size_t n = 0; n < key.size; n++)
        ck_assert(!crn_key_split(key.data, n, 4096, &parts));
    ck_assert(crn_key_split(key.data, key.size, 4096, &parts));
    ck_assert(!crn_key_split(key.data, key.size, 300, &parts)); /* the group is out of range */
    crn_buf_done(&key);

    uint64_t random = 88172645463325252u; /* xorshift, so that a failure comes back */
    for (unsigned int i = 0; i < 100000; i++) {
        uint8_t bytes[8];
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        memcpy(bytes, &random, sizeof(bytes));
        size_t size = (random >> 32) % sizeof(bytes);
        /* An allocation of its own, so that a sanitizer sees a look beyond it. */
        uint8_t *copy = malloc(size + (size == 0));
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, bytes, size);
        if (crn_key_split(copy, size, 128, &parts)) {
            if (parts.key_group >= 128 ||
                parts.key_size + parts.ns_size + parts.map_key_size != size - 3)
                ck_abort_msg("%zu bytes %016llx", size, (unsigned long long)random);
        }
        free(copy);
    }
}
END_TEST

/* ---- values ---- */

START_TEST(values_survive_a_round_trip)
{
    struct cairn_buffer out = {0};
    int64_t written;
    const uint8_t *value;
    size_t size;

    ck_assert_int_eq(crn_value_append(&out, true, -7, "abc", 3), 0);
    ck_assert_uint_eq(out.size, 11);
    ck_assert(crn_value_split(out.data, out.size, true, &written, &value, &size));
    ck_assert_int_eq(written, -7);
    assert_part(value, size, "abc");
    for (size_t n = 0; n < 8; n++)
        ck_assert(!crn_value_split(out.data, n, true, &written, &value, &size));
    ck_assert(crn_value_split(out.data, 8, true, &written, &value, &size));
    ck_assert_uint_eq(size, 0);

    crn_buf_clear(&out);
    ck_assert_int_eq(crn_value_append(&out, false, 99, "abc", 3), 0);
    ck_assert_uint_eq(out.size, 3);
    ck_assert(crn_value_split(out.data, out.size, false, &written, &value, &size));
    ck_assert_int_eq(written, 0);
    assert_part(value, size, "abc");
    ck_assert_int_eq(crn_value_append(&out, false, 0, "", CRN_VALUE_SIZE_MAX + 1), CAIRN_EINVAL);
    crn_buf_done(&out);
}
END_TEST

START_TEST(lists_survive_a_round_trip)
{
    bool has_ttl = _i == 1;
    struct cairn_buffer list = {0};
    char text[300];
    memset(text, 'x', sizeof(text));
    for (size_t n = 0; n < sizeof(text); n++)
        ck_assert_int_eq(crn_list_append_element(&list, has_ttl, (int64_t)n * 1000, text, n), 0);

    struct crn_reader reader = {.data = list.data, .size = list.size};
    struct crn_list_element element;
    for (size_t n = 0; n < sizeof(text); n++) {
        ck_assert_int_eq(crn_list_next_element(&reader, has_ttl, &element), 1);
        ck_assert_uint_eq(element.size, n);
        ck_assert_int_eq(element.written_ms, has_ttl ? (int64_t)n * 1000 : 0);
        ck_assert_int_eq(memcmp(element.data, text, n), 0);
    }
    ck_assert_int_eq(crn_list_next_element(&reader, has_ttl, &element), 0);

    /* A cut anywhere but between elements is damage, and leaves the reader where it is. */
    size_t edge = 0, ends = 0;
    for (size_t cut = 0; cut < 2000; cut++) {
        struct crn_reader part = {.data = list.data, .size = cut};
        int r;
        while ((r = crn_list_next_element(&part, has_ttl, &element)) > 0)
            edge = part.position;
        ck_assert(r == 0 ? part.position == cut : r == CAIRN_ECORRUPT && part.position == edge);
        ends += r == 0;
    }
    ck_assert_uint_gt(ends, 10);
    crn_buf_done(&list);
}
END_TEST

START_TEST(hostile_list_sizes)
{
    static const uint8_t over[] = {0x81, 0x80, 0x80, 0x80, 0x01, 'x'}; /* 256 MiB + 1 */
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    struct crn_list_element element;
    struct crn_reader reader = {.data = over, .size = sizeof(over)};
    ck_assert_int_eq(crn_list_next_element(&reader, false, &element), CAIRN_ECORRUPT);
    reader = (struct crn_reader){.data = huge, .size = sizeof(huge)};
    ck_assert_int_eq(crn_list_next_element(&reader, false, &element), CAIRN_ECORRUPT);
}
END_TEST

START_TEST(expiry)
{
    ck_assert(!crn_ttl_expired(1000, 10, 1009));
    ck_assert(crn_ttl_expired(1000, 10, 1010));
    ck_assert(!crn_ttl_expired(1000, 10, 0)); /* a clock that was set back */
    ck_assert(!crn_ttl_expired(1000, 0, INT64_MAX));
    ck_assert(!crn_ttl_expired(INT64_MAX, UINT64_MAX, INT64_MAX));
    ck_assert(!crn_ttl_expired(INT64_MAX - 5, 10, INT64_MAX));
    ck_assert(crn_ttl_expired(INT64_MIN, UINT64_MAX, INT64_MAX));
    ck_assert(!crn_ttl_expired(INT64_MIN + 1, UINT64_MAX, INT64_MAX));
    ck_assert(crn_ttl_expired(-5, 5, 0));
}
END_TEST

/* ---- the document ---- */

/* The bytes of the block behind a mark; '#' starts a comment. */
static void read_example(const char *mark, struct cairn_buffer *out)
{
    char line[1024];
    bool found = false;
    int fences = 0;
    FILE *document = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "re");
    ck_assert_ptr_nonnull(document);
    crn_buf_clear(out);
    while (fences < 2 && fgets(line, sizeof(line), document)) {
        if (!found)
            found = strncmp(line, mark, strlen(mark)) == 0;
        else if (strncmp(line, "```", 3) == 0)
            fences++;
        else if (fences == 1)
            for (char *at = line, *end; *at != '#'; at = end) {
                unsigned long byte = strtoul(at, &end, 16);
                if (end == at)
                    break;
                ck_assert_int_eq(crn_buf_append_u8(out, (uint8_t)byte), 0);
            }
    }
    fclose(document);
    ck_assert_msg(fences == 2 && out->size > 0, "no example '%s'", mark);
}

static void assert_example(const char *mark, const struct cairn_buffer *expected)
{
    struct cairn_buffer example = {0};
    read_example(mark, &example);
    ck_assert_uint_eq(example.size, expected->size);
    ck_assert_mem_eq(example.data, expected->data, example.size);
    crn_buf_done(&example);
}

START_TEST(documented_examples)
{
    const int64_t time = 1700000000000;
    struct cairn_buffer bytes = {0};
    build(&bytes, crn_key_group_of("user-1", 6, 128), 128, "user-1", "", "");
    assert_example("<!-- hex composite key: 128 -->", &bytes);
    build(&bytes, crn_key_group_of("user-1", 6, 4096), 4096, "user-1", "w1", "item");
    assert_example("<!-- hex composite key: 4096 -->", &bytes);

    crn_buf_clear(&bytes);
    ck_assert_int_eq(crn_value_append(&bytes, true, time, "on", 2), 0);
    assert_example("<!-- hex value with expiry -->", &bytes);
    crn_buf_clear(&bytes);
    ck_assert_int_eq(crn_list_append_element(&bytes, false, 0, "ab", 2), 0);
    ck_assert_int_eq(crn_list_append_element(&bytes, false, 0, "", 0), 0);
    assert_example("<!-- hex list -->", &bytes);
    crn_buf_clear(&bytes);
    ck_assert_int_eq(crn_list_append_element(&bytes, true, time, "ab", 2), 0);
    ck_assert_int_eq(crn_list_append_element(&bytes, true, time + 1000, "c", 1), 0);
    assert_example("<!-- hex list with expiry -->", &bytes);
    crn_buf_done(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *groups = tcase_create("groups");
    tcase_set_timeout(groups, 20);
    tcase_add_test(groups, group_vectors);
    tcase_add_test(groups, group_of_bytes);
    tcase_add_test(groups, ranges_partition_the_groups);
    tcase_add_test(groups, published_ranges);
    tcase_add_test(groups, default_max_parallelism);
    suite_add_tcase(suite, groups);

    TCase *keys = tcase_create("keys");
    tcase_set_timeout(keys, 20);
    tcase_add_test(keys, keys_survive_a_round_trip);
    tcase_add_test(keys, limits_of_keys);
    tcase_add_test(keys, keys_are_a_prefix_code);
    tcase_add_test(keys, broken_keys_are_refused);
    suite_add_tcase(suite, keys);

    TCase *values = tcase_create("values");
    tcase_set_timeout(values, 20);
    tcase_add_test(values, values_survive_a_round_trip);
    tcase_add_loop_test(values, lists_survive_a_round_trip, 0, 2);
    tcase_add_test(values, hostile_list_sizes);
    tcase_add_test(values, expiry);
    tcase_add_test(values, documented_examples);
    suite_add_tcase(suite, values);
    return crn_test_run(suite);
}
