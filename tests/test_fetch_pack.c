/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are slices of one object: those that are wanted together come by one get, each is
 * verified by itself, and what is wrong with one of them is not said of the others (P8). Slices
 * that overlap, which no manifest of ours has, are files like any other (P11).
 */
#include "tests/support/fetch_kit.h"

#include "base/file.h"
#include "engine/transfer/kept.h"
#include "engine/transfer/object_input.h"

#include <stdio.h>
#include <string.h>

#define PACK "shared/e1-c1-99.pack"

static uint64_t gets(void)
{
    return crn_fault_store_calls(kit_store);
}

START_TEST(slices_come_by_one_get)
{
    for (size_t i = 0; i < 10; i++)
        (void)kit_make_file(1 + 999 * i);
    kit_make_pack(10, 0);
    kit_count_gets();
    kit_expect_all((uint32_t)_i, NULL);
    ck_assert_uint_eq(gets(), 1);
}
END_TEST

/* What lies between two of them is read, if it is less than a request is worth. */
START_TEST(slices_that_are_far_apart_come_by_themselves)
{
    static const size_t gaps[] = {0, (size_t)256 << 10, (size_t)257 << 10};
    static const uint64_t expected[] = {1, 1, 3};
    for (size_t i = 0; i < 3; i++)
        (void)kit_make_file(5000);
    kit_make_pack(3, gaps[_i]);
    kit_count_gets();
    kit_expect_all(1, NULL);
    ck_assert_uint_eq(gets(), expected[_i]);
}
END_TEST

START_TEST(only_what_is_wanted_is_asked_for)
{
    for (size_t i = 0; i < 8; i++)
        (void)kit_make_file(1000);
    kit_make_pack(8, 0);
    const struct crn_file *some[] = {&kit_files[6], &kit_files[3], &kit_files[4]};
    struct crn_fetch_request request = {
        .store = kit_store, .job = "job", .files = some, .count = 3, .directory = kit_root};
    uint64_t bytes;
    kit_count_gets();
    ck_assert_int_eq(crn_fetch(&request, &bytes, NULL), 0);
    ck_assert_uint_eq(gets(), 1);
    ck_assert_uint_eq(bytes, 3000);
    for (size_t i = 0; i < 8; i++)
        if (i == 3 || i == 4 || i == 6)
            ck_assert(kit_is_right(kit_in_root(kit_names[i]), i));
}
END_TEST

START_TEST(kept_slices_are_not_asked_for)
{
    char *kept = NULL;
    for (size_t i = 0; i < 5; i++)
        (void)kit_make_file(3000);
    kit_make_pack(5, 0);
    kit_expect_all(1, kit_in_root("kept"));
    kit_count_gets();
    kit_expect_all(1, kit_in_root("kept"));
    ck_assert_uint_eq(gets(), 0);
    for (size_t i = 1; i < 4; i += 2) {
        ck_assert_int_eq(crn_kept_path(kit_in_root("kept"), &kit_files[i], "", &kept, NULL), 0);
        ck_assert_int_eq(unlink(kept), 0);
        free(CRN_TAKE(kept));
    }
    kit_expect_all(1, kit_in_root("kept"));
    ck_assert_uint_eq(gets(), 1);
}
END_TEST

/* ---- what is wrong is said of the right ones ---- */

static size_t problem_count;
static bool has_problem[FILES_MAX];

static void note_problem(void *context, const struct crn_file *file, const cairn_error *error)
{
    size_t i = (size_t)(file - kit_files);
    ck_assert_ptr_eq(context, &problem_count);
    ck_assert_str_eq(cairn_error_object(error), "job/" PACK);
    ck_assert(!has_problem[i]);
    has_problem[i] = true;
    problem_count++;
}

static int verify(bool sizes_only, cairn_error **reterr)
{
    struct crn_fetch_request request = {.store = kit_store,
                                        .job = "job",
                                        .files = kit_wanted,
                                        .count = kit_count,
                                        .sizes_only = sizes_only,
                                        .threads = 1,
                                        .problem = note_problem,
                                        .problem_context = &problem_count};
    problem_count = 0;
    memset(has_problem, 0, sizeof has_problem);
    return crn_fetch(&request, NULL, reterr);
}

/* As a failing disk would. */
static void replace_pack(const void *data, size_t size)
{
    const char *key = "job/" PACK;
    ck_assert_int_eq(kit_store->ops->remove(kit_store, &key, 1, NULL), 0);
    kit_put(PACK, data, size);
}

START_TEST(a_damaged_slice_is_named_and_the_others_are_right)
{
    CRN_AUTO_BUFFER struct cairn_buffer pack = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    for (size_t i = 0; i < 6; i++) {
        (void)kit_make_file(2000);
        ck_assert_int_eq(crn_buf_append(&pack, kit_contents[i], 2000), 0);
    }
    kit_make_pack(6, 0);
    ck_assert_int_eq(verify(false, NULL), 0);
    ck_assert_uint_eq(problem_count, 0);
    pack.data[2000 * (size_t)_i + 77] ^= 1;
    replace_pack(pack.data, pack.size);
    ck_assert_int_eq(verify(false, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(problem_count, 1);
    ck_assert(has_problem[_i]);
    ck_assert_int_eq(kit_fetch(1, NULL, &error), CAIRN_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), kit_names[_i]));
    ck_assert_uint_eq(kit_check_directory("to"), (size_t)_i);
}
END_TEST

START_TEST(a_pack_that_is_missing_or_cut_is_missed_by_all)
{
    const char *key = "job/" PACK;
    for (size_t i = 0; i < 4; i++)
        (void)kit_make_file(2000);
    kit_make_pack(4, 0);
    replace_pack(kit_contents[0], 1999);
    ck_assert_int_eq(verify(true, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(problem_count, 4);
    ck_assert_int_eq(verify(false, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(problem_count, 4);
    ck_assert_int_eq(kit_store->ops->remove(kit_store, &key, 1, NULL), 0);
    for (int sizes_only = 0; sizes_only < 2; sizes_only++) {
        ck_assert_int_eq(verify(sizes_only, NULL), CAIRN_EMISSING);
        ck_assert_uint_eq(problem_count, 4);
    }
}
END_TEST

/* The size of the object is asked for once, not once for each file in it. */
START_TEST(sizes_are_compared_once_for_an_object)
{
    for (size_t i = 0; i < 9; i++)
        (void)kit_make_file(20);
    kit_make_pack(9, (size_t)400 << 10);
    crn_fault_store_arm(kit_store, &(struct crn_fault_plan){.ops = CRN_FAULT_ANY});
    ck_assert_int_eq(verify(true, NULL), 0);
    ck_assert_uint_eq(crn_fault_store_calls(kit_store), 1);
}
END_TEST

/* The same slice twice, and one within another. */
START_TEST(slices_that_overlap_are_files_nevertheless)
{
    for (size_t i = 0; i < 3; i++)
        (void)kit_make_file(4000);
    memcpy(kit_contents[1], kit_contents[0] + 1000, 2000);
    memcpy(kit_contents[2], kit_contents[0], 4000);
    static const uint64_t offsets[] = {0, 1000, 0}, sizes[] = {4000, 2000, 4000};
    for (size_t i = 0; i < 3; i++) {
        cairn_file_info *info = &kit_files[i].info;
        struct crn_hash128 hash = crn_hash128_of(kit_contents[i], sizes[i]);
        memcpy(info->xxh3, hash.bytes, sizeof hash.bytes);
        info->crc32c = crn_crc32c(0, kit_contents[i], sizes[i]);
        info->object = PACK;
        info->object_size = 4000;
        info->object_offset = offsets[i];
        info->size = sizes[i];
    }
    kit_put(PACK, kit_contents[0], 4000);
    kit_expect_all(1, NULL);
}
END_TEST

START_TEST(a_slice_is_read_into_memory_and_in_ranges)
{
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    struct crn_object_input input;
    uint8_t some[300];
    for (size_t i = 0; i < 3; i++)
        (void)kit_make_file(1000);
    kit_make_pack(3, 1024);
    ck_assert_int_eq(crn_fetch_bytes(kit_store, "job", &kit_files[1], NULL, &out, NULL), 0);
    ck_assert_uint_eq(out.size, 1000);
    ck_assert_mem_eq(out.data, kit_contents[1], 1000);
    ck_assert_int_eq(crn_object_input_init(&input, kit_store, "job", &kit_files[2], NULL), 0);
    ck_assert_int_eq(input.input.read(&input, 700, some, sizeof some, NULL), 0);
    ck_assert_mem_eq(some, kit_contents[2] + 700, sizeof some);
    ck_assert_int_eq(input.input.read(&input, 701, some, sizeof some, NULL), CAIRN_ECORRUPT);
    crn_object_input_done(&input);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch_pack");
    TCase *tcase = tcase_create("fetch_pack");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, kit_setup, kit_teardown);
    tcase_add_loop_test(tcase, slices_come_by_one_get, 1, 3);
    tcase_add_loop_test(tcase, slices_that_are_far_apart_come_by_themselves, 0, 3);
    tcase_add_test(tcase, only_what_is_wanted_is_asked_for);
    tcase_add_test(tcase, kept_slices_are_not_asked_for);
    tcase_add_loop_test(tcase, a_damaged_slice_is_named_and_the_others_are_right, 0, 6);
    tcase_add_test(tcase, a_pack_that_is_missing_or_cut_is_missed_by_all);
    tcase_add_test(tcase, sizes_are_compared_once_for_an_object);
    tcase_add_test(tcase, slices_that_overlap_are_files_nevertheless);
    tcase_add_test(tcase, a_slice_is_read_into_memory_and_in_ranges);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
