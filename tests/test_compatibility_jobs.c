/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of docs/compatibility.md that are about how a job starts from a snapshot: with another
 * parallelism, beside other jobs, as its owner. A test test_<column>_<row> for each cell, named as
 * the table's keys are; all of them for snapshots of RocksDB and of the heap, on disk, through the
 * public API.
 */
#include "tests/support/service.h"
#include "tests/support/tap.h"
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct ground ground;

static void setup(void)
{
    ground_init(&ground);
}

static void teardown(void)
{
    ground_done(&ground);
}

/* ---- rescale ---- */

static void rescale(enum snapshot_kind kind, int backend)
{
    static const uint32_t sizes[] = {1, 3};
    char uri[SERVICE_PATH_MAX];
    struct service_options options = ground_take(&ground, kind, backend, uri);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct service service;
        options.parallelism = sizes[i];
        CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
        service_check(&service, INT_MAX, SERVICE_KEYS);
        service_go_on(&service, INT_MAX);
    }
}

START_TEST(test_canonical_rescale)
{
    rescale(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_rescale)
{
    rescale(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_rescale)
{
    rescale(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- several_jobs ---- */

/* Two services at once, one of them rescaled; when both are independent the snapshot may go. */
static void several_jobs(enum snapshot_kind kind, int backend)
{
    struct service first, second;
    struct stored_snapshot stored;
    char uri[SERVICE_PATH_MAX];
    struct service_options options = ground_take(&ground, kind, backend, uri);
    char *before = stored_entries(uri);
    CRN_TEST_OK(service_open(&ground, &options, &first, reterr));
    options.parallelism = 3;
    CRN_TEST_OK(service_open(&ground, &options, &second, reterr));
    service_check(&first, INT_MAX, SERVICE_KEYS);
    service_check(&second, INT_MAX, SERVICE_KEYS);
    (void)service_checkpoint(&first);
    (void)service_checkpoint(&second);
    ck_assert(first.is_independent && second.is_independent);
    char *after = stored_entries(uri);
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
    stored_snapshot_open(uri, &stored);
    if (kind != SNAPSHOT_CHECKPOINT)
        CRN_TEST_OK(cairn_dispose(stored.store, stored.name, NULL, NULL, reterr));
    stored_snapshot_close(&stored);
    service_close(&first);
    service_go_on(&second, INT_MAX);
}

START_TEST(test_canonical_several_jobs)
{
    several_jobs(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_several_jobs)
{
    several_jobs(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_several_jobs)
{
    several_jobs(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- claim ---- */

/* It is the job's from the start: the first checkpoint is an increment of it where the files allow
 * that. Where it was there is no snapshot any more. */
static void claim(enum snapshot_kind kind, int backend)
{
    struct service service;
    char uri[SERVICE_PATH_MAX];
    struct service_options options = ground_take(&ground, kind, backend, uri);
    options.claim_mode = CAIRN_CLAIM;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    cairn_checkpoint_info info = service_checkpoint(&service);
    ck_assert(!service.is_independent);
    char manifests[SERVICE_PATH_MAX + 16];
    (void)snprintf(manifests, sizeof manifests, "%s/MANIFEST-chk*", uri);
    glob_t found;
    ck_assert_int_eq(glob(manifests, 0, NULL, &found), GLOB_NOMATCH);
    ck_assert_int_eq(access(uri, F_OK), kind == SNAPSHOT_CHECKPOINT ? 0 : -1);
    if (kind != SNAPSHOT_CANONICAL && backend == 0) {
        ck_assert_uint_eq(info.is_full, 0);
        ck_assert_uint_lt(info.new_file_count, info.file_count);
    }
    service_go_on(&service, INT_MAX);
}

START_TEST(test_canonical_claim)
{
    claim(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_claim)
{
    claim(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_claim)
{
    claim(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_canonical_rescale,      test_native_rescale,      test_checkpoint_rescale,
        test_canonical_several_jobs, test_native_several_jobs, test_checkpoint_several_jobs,
        test_canonical_claim,        test_native_claim,        test_checkpoint_claim};
    TCase *tc = tcase_create("compatibility_jobs");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_loop_test(tc, tests[i], 0, SERVICE_BACKENDS);
    Suite *suite = suite_create("compatibility_jobs");
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
