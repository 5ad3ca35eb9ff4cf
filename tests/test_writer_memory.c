/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that a writer's memory does not grow with the state: many times its budget is put, while
 * the heap is watched.
 */

#include "base/file.h"
#include "cairn/store.h"
#include "cairn/writer.h"
#include "tests/support/entries.h"
#include "tests/support/tap.h"
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define OK CRN_TEST_OK

static char root[64];
static cairn_store *store;

static void setup(void)
{
    char path[96];
    (void)strcpy(root, "/tmp/cairn-writer-memory-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/store", root);
    OK(cairn_store_open(path, &store, reterr));
}

static void teardown(void)
{
    cairn_store_close(store);
    OK(crn_file_remove_tree(root, reterr));
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

START_TEST(memory_does_not_grow_with_the_state)
{
    const size_t value_size = 8192;
    const int64_t count = 16000; /* 128 MB */
    uint8_t *value = malloc(value_size);
    size_t most = 0, before = heap_bytes();
    cairn_writer_operator options = CAIRN_WRITER_OPERATOR_INIT;
    cairn_state_info info = {.name = "blob", .kind = CAIRN_KIND_VALUE};
    cairn_writer_options small = CAIRN_WRITER_OPTIONS_INIT;
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    cairn_writer *writer;
    cairn_snapshot *snapshot;
    ck_assert_ptr_nonnull(value);
    small.scratch_dir = root;
    small.memory_bytes = 8 << 20;
    OK(cairn_writer_open(NULL, &small, &writer, reterr));
    options.key_type = CAIRN_INT64;
    OK(cairn_writer_add_operator(writer, "op", &options, reterr));
    OK(cairn_writer_add_state(writer, "op", &info, NULL, reterr));
    for (int64_t i = 0; i < count; i++) {
        uint8_t key[8];
        cairn_encode_int64(i, key);
        for (size_t n = 0; n + 8 <= value_size; n += 8) /* nothing to compress */
            memcpy(value + n, &(uint64_t){((uint64_t)i * value_size + n) * 0x9e3779b97f4a7c15u}, 8);
        cairn_entry entry = {.key = key, .key_size = 8, .value = value, .value_size = value_size};
        OK(cairn_writer_put(writer, "op", "blob", &entry, -1, reterr));
        if (i % 500 == 0 && heap_bytes() > most)
            most = heap_bytes();
    }
    commit.name = "big";
    OK(cairn_writer_commit(writer, store, &commit, NULL, reterr));
    cairn_writer_close(writer);
    ck_assert_msg(most - before < (48u << 20), "%zu bytes", most - before);
    OK(cairn_snapshot_open(store, "big", 0, &snapshot, reterr));
    ck_assert_uint_eq(cairn_snapshot_file(snapshot, 0, 0, 0)->entry_count, (uint64_t)count);
    cairn_snapshot_close(snapshot);
    free(value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer_memory");
    TCase *tcase = tcase_create("writer_memory");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, memory_does_not_grow_with_the_state);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
