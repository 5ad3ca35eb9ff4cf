/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of a stored canonical file: exactly the bytes that are asked for, from an object or from
 * the manifest that inlines it; what is not there, or not all there, is an error that names the
 * object; a store that is away for a moment is got over, one that stays away is not.
 */
#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "engine/transfer/object_input.h"
#include "tests/support/tap.h"

#include <string.h>

#define OBJECT "chk-1/e1-c1-0-canonical"
static const char bytes[] = "0123456789abcdef";
#define SIZE (sizeof bytes - 1)

static cairn_store *store;
static struct crn_file file;

static void setup(void)
{
    cairn_store *inner;
    struct crn_bytes_source source;
    cairn_put_how how;
    ck_assert_int_eq(crn_memory_store_open(&inner, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(inner, &store, NULL), 0);
    crn_bytes_source_init(&source, bytes, SIZE);
    ck_assert_int_eq(store->ops->put(store, "job/" OBJECT, &source.source, &how, NULL), 0);
    file = (struct crn_file){.info = {.object = OBJECT, .size = SIZE, .checkpoint_id = 1}};
}

static void teardown(void)
{
    cairn_store_close(store);
}

static void check_all_ranges(const struct crn_object_input *object)
{
    char out[SIZE];
    for (uint64_t offset = 0; offset <= SIZE; offset++)
        for (size_t n = 0; n <= SIZE - offset; n++) {
            memset(out, '-', sizeof out);
            ck_assert_int_eq(object->input.read(object->input.context, offset, out, n, NULL), 0);
            ck_assert_mem_eq(out, bytes + offset, n);
        }
}

static void expect(const struct crn_object_input *object, uint64_t offset, size_t n, int code,
                   const char *name)
{
    char out[2 * SIZE];
    cairn_error *error = NULL;
    ck_assert_int_eq(object->input.read(object->input.context, offset, out, n, &error), code);
    ck_assert_str_eq(cairn_error_object(error), name);
    cairn_error_free(error);
}

START_TEST(test_every_range_of_an_object_and_of_an_inlined_file)
{
    uint8_t copy[SIZE];
    struct crn_object_input object;
    memcpy(copy, bytes, SIZE);
    if (_i == 1) {
        file.info.object = NULL;
        file.inlined = copy;
    }
    ck_assert_int_eq(crn_object_input_init(&object, store, "job", &file, NULL), 0);
    ck_assert_uint_eq(object.input.size, SIZE);
    ck_assert_str_eq(object.input.object, _i == 0 ? "job/" OBJECT : "job/MANIFEST-chk1");
    check_all_ranges(&object);
    expect(&object, 10, SIZE, CAIRN_ECORRUPT, object.input.object);
    expect(&object, UINT64_MAX, 2, CAIRN_ECORRUPT, object.input.object);
    crn_object_input_done(&object);
}
END_TEST

START_TEST(test_what_is_not_there)
{
    struct crn_object_input object;
    const char *keys[] = {"job/" OBJECT};
    file.info.size = SIZE + 4; /* the manifest says more than there is */
    ck_assert_int_eq(crn_object_input_init(&object, store, "job", &file, NULL), 0);
    expect(&object, SIZE, 4, CAIRN_ECORRUPT, "job/" OBJECT);
    ck_assert_int_eq(store->ops->remove(store, keys, 1, NULL), 0);
    expect(&object, 0, 4, CAIRN_EMISSING, "job/" OBJECT);
    crn_object_input_done(&object);
}
END_TEST

START_TEST(test_a_store_that_is_away)
{
    struct crn_object_input object;
    struct crn_fault_plan plan = {
        .ops = CRN_FAULT_GET, .mode = CRN_FAULT_SHORT, .at = 1, .code = CAIRN_EUNAVAIL};
    ck_assert_int_eq(crn_object_input_init(&object, store, "job", &file, NULL), 0);
    crn_fault_store_arm(store, &plan);
    char out[SIZE] = {0};
    ck_assert_int_eq(object.input.read(object.input.context, 0, out, SIZE, NULL), 0);
    ck_assert_mem_eq(out, bytes, SIZE);
    ck_assert_uint_eq(crn_fault_store_calls(store), 2);
    plan.and_after = true;
    crn_fault_store_arm(store, &plan);
    ck_assert_int_eq(object.input.read(object.input.context, 0, out, SIZE, NULL), CAIRN_EUNAVAIL);
    ck_assert_uint_gt(crn_fault_store_calls(store), 2);
    plan.code = CAIRN_EIO; /* trying again does not help */
    crn_fault_store_arm(store, &plan);
    ck_assert_int_eq(object.input.read(object.input.context, 0, out, SIZE, NULL), CAIRN_EIO);
    ck_assert_uint_eq(crn_fault_store_calls(store), 1);
    crn_object_input_done(&object);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("object input");
    TCase *tcase = tcase_create("object input");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_every_range_of_an_object_and_of_an_inlined_file, 0, 2);
    tcase_add_test(tcase, test_what_is_not_there);
    tcase_add_test(tcase, test_a_store_that_is_away);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
