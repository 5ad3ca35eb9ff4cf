/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of docs/compatibility.md that are about another version of the service: its schemas, its
 * operators and states, its expiry, its number of key groups. A test test_<column>_<row> for each
 * cell, named as the table's keys are; all of them for snapshots of RocksDB and of the heap, on
 * disk, through the public API.
 */
#include "tests/support/service.h"
#include "tests/support/tap.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

static struct ground ground;

static void setup(void)
{
    ground_init(&ground);
}

static void teardown(void)
{
    ground_done(&ground);
}

static void must_fail(const struct service_options *options, int code, const char *words)
{
    struct service service;
    cairn_error *error = NULL;
    ck_assert_int_eq(service_open(&ground, options, &service, &error), code);
    ck_assert_msg(strstr(cairn_error_message(error), words) != NULL, "%s",
                  cairn_error_message(error));
    cairn_error_free(error);
}

/* ---- schema ---- */

/* Fields added, removed and reordered: what was written before is read in the new form at once, and
 * beside what is written now; converted for good, the old schema is forgotten. */
static void schema(enum snapshot_kind kind, int backend)
{
    struct service service;
    char uri[SERVICE_PATH_MAX];
    struct service_options options = ground_take(&ground, kind, backend, uri);
    options.new_schemas = true;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    for (uint32_t i = 0; i < service.options.parallelism; i++)
        CRN_TEST_OK(cairn_task_migrate(service.orders[i].task, NULL, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_go_on(&service, SERVICE_KEYS);
}

START_TEST(test_canonical_schema)
{
    schema(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_schema)
{
    schema(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_schema)
{
    schema(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- upgrade ---- */

/* "orders" is "purchases" now; `cairn edit --rename` makes that of the snapshot. */
static void rename_orders(const char *uri, char renamed[SERVICE_PATH_MAX])
{
    struct stored_snapshot base;
    cairn_writer *writer;
    cairn_store *target;
    char directory[SERVICE_PATH_MAX];
    cairn_commit_options options = CAIRN_COMMIT_OPTIONS_INIT;
    options.name = "renamed";
    ground_path(&ground, "savepoints", directory);
    ground_path(&ground, "savepoints/renamed", renamed);
    stored_snapshot_open(uri, &base);
    CRN_TEST_OK(cairn_writer_open(base.snapshot, NULL, &writer, reterr));
    CRN_TEST_OK(cairn_writer_rename_operator(writer, "orders", "purchases", reterr));
    CRN_TEST_OK(cairn_store_open(directory, &target, reterr));
    CRN_TEST_OK(cairn_writer_commit(writer, target, &options, NULL, reterr));
    cairn_writer_close(writer);
    cairn_store_close(target);
    stored_snapshot_close(&base);
}

static void upgrade(enum snapshot_kind kind, int backend)
{
    struct service service;
    char uri[SERVICE_PATH_MAX], renamed[SERVICE_PATH_MAX];
    struct service_options options = ground_take(&ground, kind, backend, uri);
    /* An operator and a state more, a state less, and the operators in another order. */
    options.with_audit = options.with_note = options.without_sum = options.tallies_first = true;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_go_on(&service, INT_MAX);
    /* An operator less: only if that is meant. */
    options = (struct service_options){.backend = service_backends[backend], .restore_uri = uri};
    options.without_tallies = true;
    must_fail(&options, CAIRN_ENONRESTORED, "'tallies'");
    options.allow_non_restored_state = true;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_go_on(&service, INT_MAX);
    /* An operator renamed. */
    rename_orders(uri, renamed);
    options = (struct service_options){.restore_uri = renamed, .orders_uid = "purchases"};
    options.backend = service_backends[backend];
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_close(&service);
}

START_TEST(test_canonical_upgrade)
{
    upgrade(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_upgrade)
{
    upgrade(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_upgrade)
{
    upgrade(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- new_code ---- */

/* The same operators and states, opened by other code: nothing but them is compared. A dropped
 * state that comes back later has what it had. */
static void new_code(enum snapshot_kind kind, int backend)
{
    struct service service;
    char uri[SERVICE_PATH_MAX];
    struct service_options options = ground_take(&ground, kind, backend, uri);
    options.without_sum = true;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    char name[64];
    (void)snprintf(name, sizeof name, "%s", service.name);
    (void)service_checkpoint(&service);
    service_close(&service);
    options = (struct service_options){.backend = service_backends[backend], .job = name};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_close(&service);
}

START_TEST(test_canonical_new_code)
{
    new_code(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_new_code)
{
    new_code(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_new_code)
{
    new_code(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- expiry ---- */

/* "session" does not expire any more; "total" does, an hour after this start, not after its last
 * write. */
static void expiry(enum snapshot_kind kind, int backend)
{
    struct service service;
    char uri[SERVICE_PATH_MAX], name[64];
    const int64_t hour_ms = 3600000;
    struct service_options options = ground_take(&ground, kind, backend, uri);
    options.other_expiry = true;
    ground.clock_ms += hour_ms / 2;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    ground.clock_ms += hour_ms - 1;
    service_check(&service, INT_MAX, SERVICE_KEYS);
    (void)service_checkpoint(&service);
    (void)snprintf(name, sizeof name, "%s", service.name);
    service_close(&service);
    options = (struct service_options){
        .backend = service_backends[backend], .job = name, .other_expiry = true};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    ground.clock_ms += 1;
    for (int key = 0; key < SERVICE_KEYS; key++) {
        ck_assert_int_eq(service_total(&service, key), -1);
        ck_assert(service_has_session(&service, key));
    }
    service_close(&service);
}

START_TEST(test_canonical_expiry)
{
    expiry(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_expiry)
{
    expiry(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_expiry)
{
    expiry(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- max_parallelism ---- */

/* Refused as it is; `cairn edit --max-parallelism` gives each key its new group. */
static void max_parallelism(enum snapshot_kind kind, int backend)
{
    struct service service;
    struct stored_snapshot base;
    cairn_writer *writer;
    cairn_store *target;
    char uri[SERVICE_PATH_MAX], directory[SERVICE_PATH_MAX];
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    struct service_options options = ground_take(&ground, kind, backend, uri);
    options.max_parallelism = 1000;
    must_fail(&options, CAIRN_EMISMATCH, "128");

    stored_snapshot_open(uri, &base);
    CRN_TEST_OK(cairn_writer_open(base.snapshot, NULL, &writer, reterr));
    CRN_TEST_OK(cairn_writer_set_max_parallelism(writer, "orders", 1000, reterr));
    CRN_TEST_OK(cairn_writer_set_max_parallelism(writer, "tallies", 1000, reterr));
    ground_path(&ground, "savepoints", directory);
    commit.name = "regrouped";
    CRN_TEST_OK(cairn_store_open(directory, &target, reterr));
    CRN_TEST_OK(cairn_writer_commit(writer, target, &commit, NULL, reterr));
    cairn_writer_close(writer);
    cairn_store_close(target);
    stored_snapshot_close(&base);

    ground_path(&ground, "savepoints/regrouped", directory);
    options.restore_uri = directory;
    options.parallelism = 3;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_go_on(&service, INT_MAX);
}

START_TEST(test_canonical_max_parallelism)
{
    max_parallelism(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_max_parallelism)
{
    max_parallelism(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_max_parallelism)
{
    max_parallelism(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_canonical_schema,
                                  test_native_schema,
                                  test_checkpoint_schema,
                                  test_canonical_upgrade,
                                  test_native_upgrade,
                                  test_checkpoint_upgrade,
                                  test_canonical_new_code,
                                  test_native_new_code,
                                  test_checkpoint_new_code,
                                  test_canonical_expiry,
                                  test_native_expiry,
                                  test_checkpoint_expiry,
                                  test_canonical_max_parallelism,
                                  test_native_max_parallelism,
                                  test_checkpoint_max_parallelism};
    TCase *tc = tcase_create("compatibility_upgrade");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_loop_test(tc, tests[i], 0, SERVICE_BACKENDS);
    Suite *suite = suite_create("compatibility_upgrade");
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
