/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots that earlier versions stored stay readable for ever (P10): every directory in
 * tests/golden-snapshots is verified byte by byte, has exactly the entries that were written down
 * when it was made, and a service with another parallelism starts from it and finds all of them,
 * also those that older schemas wrote. Proves the rows of docs/compatibility.md on versions of
 * Cairn.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "tests/support/service.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>

/* As make_golden_snapshots.c has them. */
#define KEYS 24
#define KEYS_OF_OLD_SCHEMAS 12

static const char golden[] = CRN_TEST_SOURCE_ROOT "/tests/golden-snapshots";
static struct ground ground;

static void setup(void)
{
    ground_init(&ground);
}

static void teardown(void)
{
    ground_done(&ground);
}

static bool has_end(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

/* Of operator "orders" only, whose entries do not depend on the parallelism. In place. */
static char *only_orders(char *entries)
{
    char *tallies = strstr(entries, "tallies/");
    ck_assert_ptr_nonnull(tallies);
    *tallies = '\0';
    return entries;
}

static void start_from(const char *uri, const char *backend, const char *expected)
{
    struct service service;
    char again[SERVICE_PATH_MAX];
    struct service_options options = {
        .backend = backend, .parallelism = 3, .new_schemas = true, .restore_uri = uri};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, KEYS_OF_OLD_SCHEMAS, KEYS);
    (void)service_checkpoint(&service);
    ck_assert(service.is_independent);
    service_snapshot(&service, SNAPSHOT_CANONICAL, again);
    CRN_AUTO_FREE char *entries = stored_entries(again);
    ck_assert_str_eq(only_orders(entries), expected);
    service_check(&service, KEYS_OF_OLD_SCHEMAS, KEYS);
    service_close(&service);
}

/* `name`: of the directory. Files of RocksDB are only RocksDB's. */
static void check_golden(const char *name)
{
    char from[SERVICE_PATH_MAX], uri[SERVICE_PATH_MAX], command[2 * SERVICE_PATH_MAX + 20];
    CRN_AUTO_FREE uint8_t *text = NULL;
    size_t size;
    (void)snprintf(from, sizeof from, "%s/%s.txt", golden, name);
    CRN_TEST_OK(crn_file_read_all(from, 1 << 20, &text, &size, reterr));
    CRN_AUTO_FREE char *expected = strndup((const char *)text, size);
    ck_assert_ptr_nonnull(expected);

    /* What is golden is only read, but its copy can be moved away from where it was made. */
    ground_path(&ground, name, uri);
    (void)snprintf(command, sizeof command, "cp -R '%s/%s' '%s'", golden, name, uri);
    ck_assert_int_eq(system(command), 0);
    stored_verify(uri);
    CRN_AUTO_FREE char *entries = stored_entries(uri);
    ck_assert_str_eq(entries, expected);
    (void)only_orders(expected);
    start_from(uri, "rocksdb", expected);
    if (has_end(name, "canonical-savepoint") || has_end(name, "heap-checkpoint"))
        start_from(uri, "heap", expected);
}

static void check_all(const char *kind, size_t at_least)
{
    char **names;
    size_t count, checked = 0;
    CRN_TEST_OK(crn_file_list_dir(golden, &names, &count, reterr));
    for (size_t i = 0; i < count; i++) {
        if (has_end(names[i], kind)) {
            check_golden(names[i]);
            checked++;
        }
    }
    crn_file_free_names(names, count);
    ck_assert_uint_ge(checked, at_least);
}

START_TEST(test_canonical_upgrade_cairn)
{
    check_all("canonical-savepoint", 1);
}
END_TEST
START_TEST(test_native_upgrade_cairn)
{
    check_all("native-savepoint", 1);
}
END_TEST
START_TEST(test_checkpoint_upgrade_cairn)
{
    check_all("rocksdb-checkpoint", 1);
    check_all("heap-checkpoint", 1);
}
END_TEST

/* The older of two checkpoints, too. */
START_TEST(test_older_checkpoint)
{
    struct stored_snapshot newest;
    cairn_snapshot *older;
    char path[SERVICE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/v1-rocksdb-checkpoint", golden);
    stored_snapshot_open(path, &newest);
    const cairn_record_info *record = cairn_snapshot_record(newest.snapshot);
    ck_assert_uint_eq(record->is_full, 0);
    ck_assert_uint_lt(record->new_file_count, record->file_count);
    CRN_TEST_OK(cairn_snapshot_open(newest.store, newest.name, record->base_id, &older, reterr));
    CRN_AUTO_FREE char *entries = crn_test_entries(older, NULL);
    ck_assert_ptr_nonnull(strstr(entries, "orders/total value order-011|"));
    ck_assert_ptr_null(strstr(entries, "orders/total value order-012|"));
    cairn_snapshot_close(older);
    stored_snapshot_close(&newest);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("golden_snapshots");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_canonical_upgrade_cairn);
    tcase_add_test(tc, test_native_upgrade_cairn);
    tcase_add_test(tc, test_checkpoint_upgrade_cairn);
    tcase_add_test(tc, test_older_checkpoint);
    Suite *suite = suite_create("golden_snapshots");
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
