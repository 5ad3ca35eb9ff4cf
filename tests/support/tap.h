/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_TAP_H
#define CRN_TESTS_TAP_H

#include <check.h>
#include <stdlib.h>

/* Runs a suite with TAP on stdout, so that meson counts every case; exit status for main(). */
static inline int crn_test_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
