/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that the fault decorator fails when and how it was told to, and only then: the tests of
 * the engine rest on it. Method: every mode once over a memory store, looking at what really
 * happened inside.
 */

#include "tests/support/stores.h"

#include <stdio.h>
#include <string.h>

static cairn_store *store, *inner;

static void open_both(void)
{
    stores_make_dir();
    store = stores_open(STORE_FAULT);
    inner = crn_fault_store_inner(store);
    ck_assert_int_eq(stores_put_text(store, "have", "0123456789"), 0);
    ck_assert_int_eq(stores_put_text(store, "have-too", "abc"), 0);
}

static void close_both(void)
{
    store->ops->close(store);
    stores_drop_dir();
}

static void arm(unsigned ops, enum crn_fault_mode mode, uint64_t at, bool and_after)
{
    struct crn_fault_plan plan = {
        .ops = ops, .mode = mode, .at = at, .and_after = and_after, .code = CAIRN_EIO};
    crn_fault_store_arm(store, &plan);
}

static int nothing(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)context;
    (void)key;
    (void)stat;
    return 0;
}

START_TEST(the_kth_call_fails)
{
    arm(CRN_FAULT_PUT | CRN_FAULT_CREATE, CRN_FAULT_BEFORE, 2, false);
    ck_assert_int_eq(stores_put_text(store, "a", "a"), 0);
    stores_expect(store, "a", "a", 1); /* not counted */
    ck_assert(!crn_fault_store_fired(store));
    ck_assert_int_eq(store->ops->create(store, "b", "b", 1, NULL), CAIRN_EIO);
    ck_assert(crn_fault_store_fired(store));
    stores_expect_missing(inner, "b");
    ck_assert_int_eq(stores_put_text(store, "b", "b"), 0);
    ck_assert_uint_eq(crn_fault_store_calls(store), 3);
    arm(CRN_FAULT_FLUSH, CRN_FAULT_BEFORE, 2, true);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(store->ops->flush(store, NULL), CAIRN_EIO);
    ck_assert_uint_eq(crn_fault_store_calls(store), 4);
}
END_TEST

START_TEST(every_operation_can_fail)
{
    cairn_object_stat stat;
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    arm(CRN_FAULT_ANY, CRN_FAULT_BEFORE, 1, true);
    ck_assert_int_eq(stores_put_text(store, "x", "x"), CAIRN_EIO);
    ck_assert_int_eq(store->ops->create(store, "x", "x", 1, &error), CAIRN_EIO);
    ck_assert_str_eq(cairn_error_object(error), "x");
    ck_assert_int_eq(store->ops->flush(store, NULL), CAIRN_EIO);
    ck_assert_int_eq(crn_store_get_bytes(store, "have", 99, &out, NULL), CAIRN_EIO);
    ck_assert_int_eq(store->ops->stat(store, "have", &stat, NULL), CAIRN_EIO);
    ck_assert_int_eq(store->ops->list(store, "", nothing, NULL, NULL), CAIRN_EIO);
    ck_assert_int_eq(store->ops->list_segments(store, "", nothing, NULL, NULL), CAIRN_EIO);
    ck_assert_int_eq(stores_remove(store, "have"), CAIRN_EIO);
    ck_assert_int_eq(crn_store_copy(store, "x", store, "have", NULL, NULL), CAIRN_EIO);
    ck_assert_uint_eq(crn_fault_store_calls(store), 9);
    ck_assert(store->ops->link_out == NULL); /* the memory store has none */
    ck_assert(store->ops->reap == NULL);
    CRN_AUTO_FREE char *keys = stores_list(inner, "");
    ck_assert_str_eq(keys, "have\nhave-too\n");
}
END_TEST

START_TEST(a_lost_reply_comes_after_the_deed)
{
    static const char *const keys[] = {"have", "have-too"};
    arm(CRN_FAULT_ANY, CRN_FAULT_LOST_REPLY, 1, true);
    ck_assert_int_eq(stores_put_text(store, "p", "p"), CAIRN_EUNKNOWN);
    ck_assert_int_eq(store->ops->create(store, "c", "c", 1, NULL), CAIRN_EUNKNOWN);
    ck_assert_int_eq(store->ops->create(store, "c", "d", 1, NULL), CAIRN_EEXIST);
    ck_assert_int_eq(store->ops->flush(store, NULL), CAIRN_EUNKNOWN);
    ck_assert_int_eq(crn_store_copy(store, "copy", store, "have", NULL, NULL), CAIRN_EUNKNOWN);
    ck_assert_int_eq(store->ops->remove(store, keys, 2, NULL), CAIRN_EUNKNOWN);
    CRN_AUTO_FREE char *left = stores_list(inner, "");
    ck_assert_str_eq(left, "c\ncopy\np\n");
}
END_TEST

static uint64_t bytes_read;

static int count_read(cairn_source *source, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    (void)source;
    (void)reterr;
    ck_assert_uint_eq(offset, bytes_read);
    memset(data, 0, n);
    bytes_read += n;
    return 0;
}

START_TEST(a_short_transfer_breaks_off_half_way)
{
    static const char *const keys[] = {"have", "have-too"};
    cairn_source source = {.size = 200000, .read = count_read};
    cairn_put_how how;
    arm(CRN_FAULT_PUT | CRN_FAULT_GET | CRN_FAULT_REMOVE, CRN_FAULT_SHORT, 1, true);
    ck_assert_int_eq(store->ops->put(store, "p", &source, &how, NULL), CAIRN_EIO);
    ck_assert_uint_eq(bytes_read, 100000);
    stores_expect_missing(inner, "p");
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    ck_assert_int_eq(crn_store_get_bytes(store, "have", 99, &out, NULL), CAIRN_EIO);
    ck_assert_uint_eq(out.size, 0);
    ck_assert_mem_eq(out.data, "01234", 5); /* it had arrived */
    ck_assert_int_eq(store->ops->remove(store, keys, 2, NULL), CAIRN_EIO);
    CRN_AUTO_FREE char *left = stores_list(inner, "");
    ck_assert_str_eq(left, "have-too\n");
}
END_TEST

START_TEST(a_flip_is_one_bit)
{
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    arm(CRN_FAULT_ANY, CRN_FAULT_FLIP, 1, false);
    ck_assert_int_eq(crn_store_get_bytes(store, "have", 99, &out, NULL), 0);
    ck_assert_uint_eq(out.size, 10);
    int bits = 0;
    for (size_t i = 0; i < 10; i++)
        bits += __builtin_popcount((unsigned)(out.data[i] ^ "0123456789"[i]));
    ck_assert_int_eq(bits, 1);
    ck_assert(crn_fault_store_fired(store));
    stores_expect(store, "have", "0123456789", 10);
    arm(CRN_FAULT_ANY, CRN_FAULT_FLIP, 1, true);
    ck_assert_int_eq(stores_put_text(store, "p", "p"), 0);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    stores_expect(inner, "p", "p", 1);
}
END_TEST

static int be_killed(void *context)
{
    (void)context;
    arm(CRN_FAULT_PUT, CRN_FAULT_KILL, 2, false);
    return stores_put_text(store, "a", "a") == 0 ? stores_put_text(store, "b", "b") : 99;
}

START_TEST(a_kill_is_final)
{
    ck_assert_int_eq(stores_in_child(be_killed, NULL), 128 + 9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store fault");
    TCase *faults = tcase_create("faults");
    tcase_set_timeout(faults, 60);
    tcase_add_checked_fixture(faults, open_both, close_both);
    tcase_add_test(faults, the_kth_call_fails);
    tcase_add_test(faults, every_operation_can_fail);
    tcase_add_test(faults, a_lost_reply_comes_after_the_deed);
    tcase_add_test(faults, a_short_transfer_breaks_off_half_way);
    tcase_add_test(faults, a_flip_is_one_bit);
    tcase_add_test(faults, a_kill_is_final);
    suite_add_tcase(suite, faults);
    return crn_test_run(suite);
}
