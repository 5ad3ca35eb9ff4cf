/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that a set of names is one: every name once, under the number that it got first, whatever
 * comes after it; and that what is not in it is not found. By names of all lengths, as many as make
 * it grow many times, against the order of their coming.
 */
#include "base/cleanup.h"
#include "engine/inspect/names.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

#define MANY 100000u

static void name_of(size_t i, char to[64])
{
    (void)snprintf(to, 64, "shared/e1-c%zu-%zu.sst", i % 7, i);
}

START_TEST(finds_nothing_in_nothing)
{
    CRN_CLEANUP(crn_names_done) struct crn_names names = {0};
    size_t number;
    ck_assert(!crn_names_find(&names, "a", &number));
    ck_assert_uint_eq(names.count, 0);
}
END_TEST

START_TEST(keeps_each_name_once)
{
    CRN_CLEANUP(crn_names_done) struct crn_names names = {0};
    char name[64];
    size_t number = 0;
    for (size_t i = 0; i < MANY; i++) {
        name_of(i, name);
        ck_assert_int_eq(crn_names_add(&names, name, &number), 1);
        ck_assert_uint_eq(number, i);
    }
    const char *first = names.items[0];
    for (size_t i = MANY; i-- > 0;) {
        name_of(i, name);
        ck_assert_int_eq(crn_names_add(&names, name, &number), 0);
        ck_assert_uint_eq(number, i);
        ck_assert_str_eq(names.items[i], name);
    }
    ck_assert_uint_eq(names.count, MANY);
    ck_assert_ptr_eq(names.items[0], first);
}
END_TEST

START_TEST(tells_what_is_not_there)
{
    CRN_CLEANUP(crn_names_done) struct crn_names names = {0};
    char name[64];
    size_t number = 0;
    for (size_t i = 0; i < MANY; i += 2) {
        name_of(i, name);
        ck_assert_int_eq(crn_names_add(&names, name, &number), 1);
    }
    for (size_t i = 0; i < MANY; i++) {
        name_of(i, name);
        ck_assert_int_eq(crn_names_find(&names, name, &number), i % 2 == 0);
        if (i % 2 == 0)
            ck_assert_uint_eq(number, i / 2);
    }
}
END_TEST

/* One that is longer than a block has a block of its own, and those after it go on. */
START_TEST(takes_names_of_any_length)
{
    CRN_CLEANUP(crn_names_done) struct crn_names names = {0};
    static char text[200001];
    static const size_t lengths[] = {0, 1, 65535, 65536, 70, 200000, 3, 65534};
    size_t number = 0;
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < CRN_COUNT(lengths); i++) {
        text[lengths[i]] = 0;
        ck_assert_int_eq(crn_names_add(&names, text, &number), 1);
        ck_assert_uint_eq(number, i);
        text[lengths[i]] = 'x';
    }
    for (size_t i = 0; i < CRN_COUNT(lengths); i++)
        ck_assert_uint_eq(strlen(names.items[i]), lengths[i]);
}
END_TEST

/* It can be filled again. */
START_TEST(begins_anew)
{
    CRN_CLEANUP(crn_names_done) struct crn_names names = {0};
    size_t number;
    ck_assert_int_eq(crn_names_add(&names, "a", &number), 1);
    ck_assert_int_eq(crn_names_add(&names, "b", &number), 1);
    crn_names_done(&names);
    ck_assert(!crn_names_find(&names, "a", &number));
    ck_assert_int_eq(crn_names_add(&names, "b", &number), 1);
    ck_assert_uint_eq(number, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("object_names");
    TCase *tcase = tcase_create("names");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, finds_nothing_in_nothing);
    tcase_add_test(tcase, keeps_each_name_once);
    tcase_add_test(tcase, tells_what_is_not_there);
    tcase_add_test(tcase, takes_names_of_any_length);
    tcase_add_test(tcase, begins_anew);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
