/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical files (backends/state/canonical.h): what goes in comes out.
 *
 * Proves: files of random states, key groups and entries read back as an array has them, whole, by
 * state and by range, up to 32768 key groups and values of many blocks; size and sums of the
 * summary are the file's. Scans in several threads do not disturb each other. Golden files keep
 * their verdict (P10), and the document's example is one of them. Damage is in
 * test_canonical_damage.c.
 */
#include "tests/support/canonical.h"

#include <pthread.h>

#define GOLDEN_CANONICAL CRN_TEST_SOURCE_ROOT "/tests/golden-canonical"

/* ---- random files against an array ---- */

static void assert_ranges(const struct entries *entries, struct crn_canonical_reader *reader,
                          const struct shape *shape)
{
    assert_scan(entries, reader, -1, 0, UINT32_MAX);
    for (unsigned int i = 0; i < 12; i++) {
        uint32_t a = (uint32_t)(test_random() % shape->max_parallelism);
        uint32_t b = (uint32_t)(test_random() % shape->max_parallelism);
        int state = (int)(test_random() % (shape->states + 1)) - 1;
        assert_scan(entries, reader, state, a < b ? a : b, a < b ? b : a);
    }
    for (int state = 0; state < (int)shape->states && state < 4; state++)
        assert_scan(entries, reader, state, shape->first, shape->last);
}

START_TEST(round_trip)
{
    static const struct shape shapes[] = {
        {1, 0, 0, 1, 100, 2000, 300},     {128, 0, 127, 5, 50, 60, 200},
        {128, 17, 18, 3, 100, 3000, 100}, {128, 64, 64, 64, 60, 5, 20},
        {129, 0, 128, 2, 90, 9, 40},      {4096, 1000, 2999, 3, 30, 3, 50},
        {32768, 0, 32767, 1, 100, 1, 10}, {32768, 20000, 32767, 4, 5, 2, 9},
        {128, 3, 90, 4096, 1, 2, 4},      {128, 0, 127, 2, 0, 1, 1},
        {128, 5, 5, 0, 0, 1, 1},          {128, 127, 127, 1, 100, 3, 3000000},
    };
    const struct shape *shape = &shapes[_i];
    struct entries entries = {0};
    char path[300];
    test_random_seed += (uint64_t)_i;
    entries_fill(&entries, shape);
    struct crn_canonical_header header = header_new(shape->states);
    header.max_parallelism = shape->max_parallelism;
    header.key_group_first = shape->first;
    header.key_group_last = shape->last;

    temp_path(path, sizeof(path));
    struct crn_canonical_summary summary = write_file(path, &header, &entries);
    struct memory_file file = load_file(path);
    ck_assert_uint_eq(summary.size, file.input.size);
    ck_assert_uint_eq(summary.entry_count, entries.count);
    ck_assert_uint_eq(summary.raw_bytes, entries.raw_bytes);
    ck_assert_uint_eq(summary.crc32c, crn_crc32c(0, file.data, file.input.size));
    struct crn_hash128 hash = crn_hash128_of(file.data, file.input.size);
    ck_assert_mem_eq(&summary.xxh3, &hash, sizeof(hash));
    file.input.identity = summary.identity;

    struct crn_canonical_reader *reader = open_reader(&file);
    const struct crn_canonical_header *read = crn_canonical_header(reader);
    ck_assert_uint_eq(read->max_parallelism, shape->max_parallelism);
    ck_assert_uint_eq(read->key_group_first, shape->first);
    ck_assert_uint_eq(read->key_group_last, shape->last);
    ck_assert_uint_eq(read->state_count, shape->states);
    for (size_t i = 0; i < shape->states; i++) {
        ck_assert_str_eq(read->states[i], header.states[i]);
        ck_assert_int_eq(crn_canonical_state(reader, header.states[i]), (int)i);
    }
    ck_assert_int_eq(crn_canonical_state(reader, "no such state"), -1);
    assert_ranges(&entries, reader, shape);
    ck_assert_uint_lt(crn_canonical_range_bytes(reader, 0, UINT32_MAX), summary.size);
    crn_canonical_close(reader);
    header_free(&header);
    entries_free(&entries);
    file_free(&file);
    temp_remove(path);
}
END_TEST

/* Key groups without entries cost nothing, ranges cost what they hold. */
START_TEST(sizes)
{
    struct shape shape = {32768, 0, 32767, 2, 0, 1, 1};
    struct crn_canonical_header header = header_new(2);
    struct entries entries = {0};
    char path[300];
    header.max_parallelism = 32768;
    header.key_group_last = 32767;
    temp_path(path, sizeof(path));
    struct crn_canonical_summary summary = write_file(path, &header, &entries);
    ck_assert_uint_lt(summary.size, 128);
    ck_assert_int_eq(unlink(path), 0);

    for (shape.first = 0; shape.first < 3 * 4096; shape.first += 4096) {
        shape.last = shape.first;
        shape.density_percent = 100;
        shape.entries_max = 1;
        entries_fill(&entries, &shape);
    }
    summary = write_file(path, &header, &entries);
    ck_assert_uint_lt(summary.size, 600);
    struct memory_file file = load_file(path);
    struct crn_canonical_reader *reader = open_reader(&file);
    uint64_t one = crn_canonical_range_bytes(reader, 4096, 4096);
    ck_assert_uint_gt(one, 0);
    ck_assert_uint_eq(crn_canonical_range_bytes(reader, 4097, 8191), 0);
    ck_assert_uint_eq(crn_canonical_range_bytes(reader, 1, 8191), one);
    ck_assert_uint_eq(crn_canonical_range_bytes(reader, 9, 3), 0);
    ck_assert_uint_eq(crn_canonical_range_bytes(reader, 0, 8192),
                      crn_canonical_range_bytes(reader, 0, 32767));
    crn_canonical_close(reader);
    file_free(&file);
    header_free(&header);
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

START_TEST(huge_values)
{
    struct crn_canonical_header header = header_new(1);
    struct crn_canonical_writer *writer = NULL;
    struct crn_canonical_summary summary;
    size_t size = (size_t)256 << 20;
    uint8_t *value = calloc(1, size);
    char path[300];
    ck_assert_ptr_nonnull(value);
    for (size_t i = 0; i < size; i += 4096)
        value[i] = (uint8_t)(i >> 12);
    temp_path(path, sizeof(path));
    ck_ok(crn_canonical_create(path, &header, &writer, reterr));
    ck_ok(crn_canonical_put(writer, 0, "\1a", 2, "small", 5, reterr));
    ck_ok(crn_canonical_put(writer, 0, "\1b", 2, value, size, reterr));
    ck_ok(crn_canonical_put(writer, 0, "\1c", 2, "", 0, reterr));
    ck_ok(crn_canonical_finish(writer, &summary, reterr));
    ck_assert_uint_lt(summary.size, (uint64_t)16 << 20);

    struct memory_file file = load_file(path);
    struct crn_canonical_reader *reader = open_reader(&file);
    struct crn_canonical_scan *scan = NULL;
    struct crn_canonical_entry entry;
    ck_ok(crn_canonical_scan(reader, 0, 1, 1, &scan, reterr));
    ck_assert_int_eq(ck_ok(crn_canonical_next(scan, &entry, reterr)), 1);
    ck_assert_mem_eq(entry.value, "small", 5);
    ck_assert_int_eq(ck_ok(crn_canonical_next(scan, &entry, reterr)), 1);
    ck_assert_uint_eq(entry.value_size, size);
    ck_assert_int_eq(memcmp(entry.value, value, size), 0);
    ck_assert_int_eq(ck_ok(crn_canonical_next(scan, &entry, reterr)), 1);
    ck_assert_uint_eq(entry.value_size, 0);
    ck_assert_int_eq(ck_ok(crn_canonical_next(scan, &entry, reterr)), 0);
    crn_canonical_scan_end(scan);
    crn_canonical_close(reader);
    file_free(&file);
    header_free(&header);
    free(value);
    temp_remove(path);
}
END_TEST

/* ---- threads ---- */

struct scanning {
    const struct entries *entries;
    struct crn_canonical_reader *reader;
    uint32_t first, last;
    int state, result;
};

static void *scan_thread(void *arg)
{
    struct scanning *s = arg;
    for (unsigned int i = 0; i < 20 && s->result == 0; i++)
        s->result = compare_scan(s->entries, s->reader, s->state, s->first, s->last, NULL);
    return NULL;
}

START_TEST(scans_in_threads)
{
    static const struct shape shape = {128, 0, 127, 3, 80, 60, 300};
    struct entries entries = {0};
    struct crn_canonical_header header = header_new(3);
    char path[300];
    entries_fill(&entries, &shape);
    temp_path(path, sizeof(path));
    write_file(path, &header, &entries);
    struct memory_file file = load_file(path);
    struct crn_canonical_reader *reader = open_reader(&file);
    struct scanning scans[4];
    pthread_t threads[CRN_COUNT(scans)];
    for (size_t i = 0; i < CRN_COUNT(scans); i++) {
        scans[i] = (struct scanning){
            &entries, reader, (uint32_t)(i % 2 * 64), (uint32_t)(63 + i / 2 * 64), (int)i - 1, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, scan_thread, &scans[i]), 0);
    }
    for (size_t i = 0; i < CRN_COUNT(scans); i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(scans[i].result, 0);
    }
    crn_canonical_close(reader);
    header_free(&header);
    file_free(&file);
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

/* ---- golden files ---- */

START_TEST(golden_files_keep_their_verdict)
{
    char **names = NULL;
    size_t count = 0, good = 0, bad = 0, unsupported = 0;
    ck_ok(crn_file_list_dir(GOLDEN_CANONICAL, &names, &count, reterr));
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", GOLDEN_CANONICAL, names[i]);
        struct memory_file file = load_file(path);
        struct entries entries = {0};
        bool is_good = strncmp(names[i], "good-", 5) == 0;
        bool is_bad = strncmp(names[i], "bad-", 4) == 0;
        if (is_good)
            golden_entries(names[i], &entries);
        int r = read_whole(&file, is_good ? &entries : NULL);
        int expected = is_good ? 0 : is_bad ? CAIRN_ECORRUPT : CAIRN_EVERSION;
        ck_assert_msg(r == expected, "%s: %s", names[i], cairn_error_name(r));
        good += is_good;
        bad += is_bad;
        unsupported += strncmp(names[i], "unsupported-", 12) == 0;
        file_free(&file);
        entries_free(&entries);
    }
    ck_assert_uint_eq(good + bad + unsupported, count);
    ck_assert_uint_ge(good, 3);
    ck_assert_uint_ge(bad, 3);
    ck_assert_uint_ge(unsupported, 2);
    crn_file_free_names(names, count);
}
END_TEST

START_TEST(document_example_is_the_golden_file)
{
    CRN_AUTO_BUFFER struct cairn_buffer block = {0};
    document_block("canonical file", &block);
    struct memory_file file = load_file(GOLDEN_CANONICAL "/good-identity");
    ck_assert_uint_eq(block.size, file.input.size);
    ck_assert_mem_eq(block.data, file.data, block.size);
    file_free(&file);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("canonical");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 30);
    tcase_add_loop_test(files, round_trip, 0, 12);
    tcase_add_test(files, sizes);
    tcase_add_test(files, huge_values);
    tcase_add_test(files, scans_in_threads);
    tcase_add_test(files, golden_files_keep_their_verdict);
    tcase_add_test(files, document_example_is_the_golden_file);
    suite_add_tcase(s, files);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
