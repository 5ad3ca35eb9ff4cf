/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a real server without create-if-absent is refused with a sentence that says what can
 * be done, and works when the user vouches for there being one writer. Method: Swift with its S3
 * API on loopback, which is also an implementation independent of the other tests' server.
 */
#include "tests/support/s3/real.h"

#include <string.h>

#define SWIFT "CAIRN_TEST_S3"

START_TEST(it_is_refused_with_a_sentence)
{
    cairn_store *store = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(cairn_store_open(getenv(SWIFT), &store, &error), CAIRN_EUNSUPPORTED);
    const char *message = cairn_error_message(error);
    ck_assert_msg(strstr(message, "only if it is absent") != NULL, "%s", message);
    ck_assert_msg(strstr(message, "single_writer=unsafe") != NULL, "%s", message);
}
END_TEST

START_TEST(it_works_for_a_single_writer)
{
    enum { SIZE = (11 << 20) + 5 };
    cairn_store *store =
        real_store(SWIFT, "one", "&single_writer=unsafe&part_bytes=5MiB&multipart_bytes=5MiB");
    CRN_AUTO_FREE uint8_t *data = calloc(1, SIZE);
    CRN_AUTO_ERROR cairn_error *error = NULL, *other = NULL;
    cairn_put_how how;
    ck_assert_ptr_nonnull(data);
    memset(data, 'x', SIZE);
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, NULL), 0);
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "n", 1, &error), CAIRN_EEXIST);
    real_expect(store, "job/MANIFEST-chk1", "m", 1);
    ck_assert_int_eq(real_put(store, "job/small file ü", data, 100, NULL), 0);
    ck_assert_int_eq(real_put(store, "job/small file ü", data, 100, NULL), 0);
    ck_assert_int_eq(real_put(store, "job/small file ü", data, 99, &other), CAIRN_EEXIST);
    int r = real_put(store, "job/large", data, SIZE, &other);
    ck_assert_msg(r == 0, "%s", cairn_error_message(other));
    real_expect(store, "job/large", data, SIZE);
    ck_assert_int_eq(store->ops->copy(store, "copied", store, "job/small file ü", &how, NULL), 0);
    real_expect(store, "copied", data, 100);
    ck_assert_uint_eq(real_count(store, "job/"), 3);
    const char *keys[] = {"job/large", "copied", "missing", "job/small file ü"};
    ck_assert_int_eq(store->ops->remove(store, keys, CRN_COUNT(keys), NULL), 0);
    ck_assert_uint_eq(real_count(store, ""), 1);
    store->ops->close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_swift");
    TCase *tcase = tcase_create("swift");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, it_is_refused_with_a_sentence);
    tcase_add_test(tcase, it_works_for_a_single_writer);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
