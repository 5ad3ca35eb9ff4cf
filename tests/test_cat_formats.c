/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that a snapshot reads the same in whichever files it is stored: the same entries, by state
 * in the same order, the same part for one key, at every parallelism and in both formats. That one
 * key of a canonical snapshot costs a small part of its bytes, and that a bit that is wrong in
 * anything that is read is an error (P8). The progress callback hears of every fetch and can end
 * it.
 */

#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/store.h"
#include "engine/inspect/cat.h"
#include "tests/support/entries.h"
#include "tests/support/tap.h"
#include "tests/support/written.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OK CRN_TEST_OK
#define KEYS 700

static char root[64], scratch[96];
static cairn_store *store;

static const struct crn_test_shape shapes[] = {
    {.parallelism = 1, .format = CAIRN_CANONICAL, .end = KEYS},
    {.parallelism = 5, .format = CAIRN_CANONICAL, .end = KEYS},
    {.parallelism = 1, .format = CAIRN_NATIVE, .end = KEYS},
    {.parallelism = 17, .format = CAIRN_NATIVE, .end = KEYS}, /* more than are kept open */
};

static const char *name_of(size_t shape)
{
    static char name[32];
    (void)snprintf(name, sizeof name, "shape-%zu", shape);
    return name;
}

static void setup(void)
{
    char path[96];
    (void)strcpy(root, "/tmp/cairn-cat-formats-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", root);
    OK(crn_file_make_dirs(scratch, reterr));
    (void)snprintf(path, sizeof path, "%s/store", root);
    OK(crn_posix_store_open(path, CRN_TRANSFER_AUTO, true, &store, reterr));
}

static void teardown(void)
{
    cairn_store_close(store);
    OK(crn_file_remove_tree(root, reterr));
}

/* Written when it is asked for first. */
static cairn_snapshot *open_snapshot(size_t shape)
{
    static bool is_written[CRN_COUNT(shapes)]; /* each test is a process of its own */
    cairn_snapshot *snapshot;
    if (!is_written[shape])
        crn_test_write(store, name_of(shape), scratch, &shapes[shape]);
    is_written[shape] = true;
    OK(cairn_snapshot_open(store, name_of(shape), 0, &snapshot, reterr));
    return snapshot;
}

static char *entries(size_t shape, cairn_cat_options *options)
{
    cairn_snapshot *snapshot = open_snapshot(shape);
    options->scratch_dir = scratch;
    char *text = crn_test_entries(snapshot, options);
    cairn_snapshot_close(snapshot);
    return text;
}

static void check_entries(void)
{
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    CRN_AUTO_FREE char *first = entries(0, &options);
    ck_assert_uint_gt(strlen(first), 2 * KEYS * 20);
    for (size_t i = 0; i < CRN_COUNT(shapes); i++) {
        for (options.by_state = 0; options.by_state < 2; options.by_state++) {
            CRN_AUTO_FREE char *text = entries(i, &options);
            ck_assert_msg(strcmp(text, first) == 0, "shape %zu", i);
        }
    }
}

static void check_filters(void)
{
    for (int64_t n = 0; n < KEYS + 1; n += KEYS / 4) {
        uint8_t key[8];
        cairn_encode_int64(n, key);
        cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
        options.key = key;
        options.key_size = 8;
        CRN_AUTO_FREE char *first = entries(0, &options);
        ck_assert(n == KEYS ? *first == '\0' : strstr(first, "a/value") != NULL);
        for (size_t i = 1; i < CRN_COUNT(shapes); i++) {
            options.by_state = i % 2;
            CRN_AUTO_FREE char *text = entries(i, &options);
            ck_assert_str_eq(text, first);
        }
        options.operator_uid = "b";
        options.state = "map";
        CRN_AUTO_FREE char *part = entries(0, &options);
        CRN_AUTO_FREE char *native = entries(3, &options);
        ck_assert_str_eq(part, native);
        ck_assert_ptr_null(strstr(part, "value "));
    }
}

/* Operators by uid, states by name, entries by composite key, subtasks or not. */
static void check_order(void)
{
    for (size_t i = 0; i < CRN_COUNT(shapes); i++) {
        cairn_snapshot *snapshot = open_snapshot(i);
        cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
        cairn_cat *cat;
        cairn_cat_entry entry, last = {0};
        struct cairn_buffer last_key = {0};
        options.scratch_dir = scratch;
        size_t count = 0;
        OK(crn_cat_open_sorted(snapshot, &options, &cat, reterr));
        while (cairn_cat_next(cat, &entry, NULL) == 1) {
            size_t size;
            const uint8_t *key = crn_cat_composite_key(cat, &size);
            if (count++ > 0 && last.op == entry.op && last.state == entry.state) {
                size_t common = size < last_key.size ? size : last_key.size;
                int order = memcmp(last_key.data, key, common);
                ck_assert(order < 0 || (order == 0 && last_key.size < size) ||
                          (order == 0 && last_key.size == size && last.element < entry.element));
            } else if (count > 1 && last.op == entry.op) {
                ck_assert_str_lt(cairn_snapshot_state(snapshot, last.op, last.state)->name,
                                 cairn_snapshot_state(snapshot, entry.op, entry.state)->name);
            }
            last = entry;
            crn_buf_clear(&last_key);
            ck_assert_int_eq(crn_buf_append(&last_key, key, size), 0);
        }
        ck_assert_uint_gt(count, 4 * KEYS);
        crn_buf_done(&last_key);
        cairn_cat_close(cat);
        cairn_snapshot_close(snapshot);
    }
}

START_TEST(every_form_reads_the_same)
{
    check_entries();
    check_filters();
    check_order();
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * How much is read
 * ------------------------------------------------------------------------------------------ */

static const cairn_store_ops *plain_ops;
static uint64_t bytes_read;

struct counting_sink {
    cairn_sink sink;
    cairn_sink *inner;
};

static int count_bytes(cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                       cairn_error **reterr)
{
    struct counting_sink *counting = (struct counting_sink *)sink;
    bytes_read += n;
    return counting->inner->write(counting->inner, offset, data, n, reterr);
}

static int counting_get(cairn_store *from, const char *key, uint64_t offset, uint64_t size,
                        cairn_sink *sink, cairn_error **reterr)
{
    struct counting_sink counting = {.sink.write = count_bytes, .inner = sink};
    return plain_ops->get(from, key, offset, size, &counting.sink, reterr);
}

START_TEST(one_key_costs_little)
{
    const struct crn_test_shape big = {.end = 40000, .only_op = "a"};
    crn_test_write(store, "big", scratch, &big);
    cairn_snapshot *snapshot;
    OK(cairn_snapshot_open(store, "big", 0, &snapshot, reterr));
    plain_ops = store->ops;
    cairn_store_ops counting = *store->ops;
    counting.get = counting_get;
    store->ops = &counting;
    uint8_t key[8];
    cairn_encode_int64(4711, key);
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    options.scratch_dir = scratch;
    options.key = key;
    options.key_size = 8;
    bytes_read = 0;
    CRN_AUTO_FREE char *text = crn_test_entries(snapshot, &options);
    store->ops = plain_ops;
    ck_assert_ptr_nonnull(strstr(text, "a/value"));
    ck_assert_msg(bytes_read * 10 < cairn_snapshot_record(snapshot)->full_bytes,
                  "%" PRIu64 " of %" PRIu64 " bytes", bytes_read,
                  cairn_snapshot_record(snapshot)->full_bytes);
    cairn_snapshot_close(snapshot);
}
END_TEST

/* Reads to the end. @return its result. */
static int drain(size_t shape, int by_state)
{
    cairn_snapshot *snapshot = open_snapshot(shape);
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    cairn_cat *cat;
    cairn_cat_entry entry;
    int r;
    options.scratch_dir = scratch;
    options.by_state = (uint8_t)by_state;
    OK(cairn_cat_open(snapshot, &options, &cat, reterr));
    while ((r = cairn_cat_next(cat, &entry, NULL)) == 1)
        ;
    cairn_cat_close(cat);
    cairn_snapshot_close(snapshot);
    return r;
}

static int flip_object(void *context, const char *key, const cairn_object_stat *stat)
{
    size_t shape = *(const size_t *)context;
    char path[512];
    uint8_t *data;
    size_t size;
    if (strstr(key, "MANIFEST-chk") != NULL)
        return 0;
    (void)snprintf(path, sizeof path, "%s/store/%s", root, key);
    for (size_t at = 0; at < stat->size; at += stat->size / 11 + 1) {
        OK(crn_file_read_all(path, 1 << 28, &data, &size, reterr));
        data[at] ^= 0x10;
        ck_assert_int_eq(unlink(path), 0);
        OK(crn_file_write_new(path, data, size, false, reterr));
        int r = drain(shape, at % 2);
        ck_assert_msg(r == CAIRN_ECORRUPT || r == CAIRN_EVERSION, "'%s' byte %zu: %d", key, at, r);
        data[at] ^= 0x10;
        ck_assert_int_eq(unlink(path), 0);
        OK(crn_file_write_new(path, data, size, false, reterr));
        free(data);
    }
    return 0;
}

START_TEST(damage_is_an_error)
{
    const size_t list[] = {0, 2};
    for (size_t i = 0; i < CRN_COUNT(list); i++) {
        char prefix[64];
        cairn_snapshot_close(open_snapshot(list[i]));
        (void)snprintf(prefix, sizeof prefix, "%s/", name_of(list[i]));
        OK(store->ops->list(store, prefix, flip_object, (void *)(uintptr_t)&list[i], reterr));
        ck_assert_int_eq(drain(list[i], 1), 0);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Progress
 * ------------------------------------------------------------------------------------------ */

struct heard {
    unsigned calls, stop_at;
    uint64_t done_bytes, total_bytes;
};

static int hear(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct heard *heard = context;
    ck_assert_uint_ge(done_bytes, heard->done_bytes);
    ck_assert_uint_le(done_bytes, total_bytes);
    heard->done_bytes = done_bytes;
    heard->total_bytes = total_bytes;
    return ++heard->calls == heard->stop_at;
}

START_TEST(progress_is_told_and_heard)
{
    for (unsigned stop_at = 0; stop_at < 3; stop_at++) {
        struct heard heard = {.stop_at = stop_at};
        cairn_snapshot *snapshot = open_snapshot(3);
        cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
        cairn_cat *cat;
        cairn_cat_entry entry;
        int r;
        options.scratch_dir = scratch;
        options.progress = hear;
        options.progress_context = &heard;
        OK(cairn_cat_open(snapshot, &options, &cat, reterr));
        while ((r = cairn_cat_next(cat, &entry, NULL)) == 1)
            ;
        ck_assert_int_eq(r, stop_at == 0 ? 0 : CAIRN_ECANCELED);
        if (stop_at == 0) {
            ck_assert_uint_gt(heard.calls, 0);
            ck_assert_uint_eq(heard.done_bytes, heard.total_bytes);
        }
        cairn_cat_close(cat);
        cairn_snapshot_close(snapshot);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cat_formats");
    TCase *tcase = tcase_create("cat_formats");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_form_reads_the_same);
    tcase_add_test(tcase, one_key_costs_little);
    tcase_add_test(tcase, damage_is_an_error);
    tcase_add_test(tcase, progress_is_told_and_heard);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
