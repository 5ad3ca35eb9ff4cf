/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of docs/compatibility.md that are about a snapshot's form: what reads it, what writes
 * it, where it may lie, which state backend takes it. A test test_<column>_<row> for each cell,
 * named as the table's keys are; all of them for snapshots of RocksDB and of the heap, on disk,
 * through the public API. What a version of the service was started from is proved by what it then
 * finds.
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

/* A service starts from a snapshot, finds what it should, goes on, and its checkpoint is good. */
static void start_from(const char *uri, const char *backend)
{
    struct service service;
    struct service_options options = {.backend = backend, .restore_uri = uri};
    char again[SERVICE_PATH_MAX];
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    service_write(&service, SERVICE_KEYS, SERVICE_KEYS + 5);
    service_check(&service, INT_MAX, SERVICE_KEYS + 5);
    service_snapshot(&service, SNAPSHOT_CHECKPOINT, again);
    service_close(&service);
    stored_verify(again);
}

/* What `cairn convert` does. */
static void convert(const char *uri, cairn_savepoint_format format, const char *name,
                    char converted[SERVICE_PATH_MAX])
{
    struct stored_snapshot base;
    cairn_writer *writer;
    cairn_store *target;
    char directory[SERVICE_PATH_MAX], path[64];
    cairn_commit_options options = CAIRN_COMMIT_OPTIONS_INIT;
    options.format = format;
    options.name = name;
    ground_path(&ground, "savepoints", directory);
    stored_snapshot_open(uri, &base);
    CRN_TEST_OK(cairn_writer_open(base.snapshot, NULL, &writer, reterr));
    CRN_TEST_OK(cairn_store_open(directory, &target, reterr));
    CRN_TEST_OK(cairn_writer_commit(writer, target, &options, NULL, reterr));
    cairn_writer_close(writer);
    cairn_store_close(target);
    stored_snapshot_close(&base);
    (void)snprintf(path, sizeof path, "savepoints/%s", name);
    ground_path(&ground, path, converted);
}

/* ---- change_backend ---- */

/* Canonical files are anybody's; native ones of RocksDB are refused with a sentence that says what
 * to do, and that does it. */
static void change_backend(enum snapshot_kind kind, int from)
{
    char uri[SERVICE_PATH_MAX], converted[SERVICE_PATH_MAX];
    const char *other = service_backends[1 - from];
    ground_snapshot(&ground, kind, service_backends[from], uri);
    if (kind == SNAPSHOT_CANONICAL || strcmp(service_backends[from], "heap") == 0) {
        start_from(uri, other);
        return;
    }
    struct service service;
    struct service_options options = {.backend = other, .restore_uri = uri};
    cairn_error *error = NULL;
    ck_assert_int_eq(service_open(&ground, &options, &service, &error), CAIRN_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "'rocksdb'"));
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "`cairn convert`"));
    cairn_error_free(error);
    convert(uri, CAIRN_CANONICAL, "converted", converted);
    start_from(converted, other);
}

START_TEST(test_canonical_change_backend)
{
    change_backend(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_change_backend)
{
    change_backend(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_change_backend)
{
    change_backend(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- read ---- */

static size_t count_lines(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        count++;
    return count;
}

/* Every entry of every state, by the same calls whatever the form: the text of a canonical
 * savepoint of the same service is the same. */
static void read_entries(enum snapshot_kind kind, int backend)
{
    char uri[SERVICE_PATH_MAX], canonical[SERVICE_PATH_MAX];
    ground_snapshot(&ground, kind, service_backends[backend], uri);
    ground_snapshot(&ground, SNAPSHOT_CANONICAL, "heap", canonical);
    char *entries = stored_entries(uri);
    char *expected = stored_entries(canonical);
    ck_assert_str_eq(entries, expected);
    ck_assert_uint_eq(count_lines(entries, "orders/total value order-"), SERVICE_KEYS);
    ck_assert_uint_eq(count_lines(entries, "orders/items map order-"), 2 * SERVICE_KEYS);
    ck_assert_uint_eq(count_lines(entries, "tallies/offsets "), SERVICE_KEYS);
    free(entries);
    free(expected);
    stored_verify(uri);
}

START_TEST(test_canonical_read)
{
    read_entries(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_read)
{
    read_entries(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_read)
{
    read_entries(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- write ---- */

/* A savepoint from nothing but entries, from which a service starts. */
static void write_new(cairn_savepoint_format format, int backend)
{
    cairn_writer *writer;
    cairn_store *target;
    cairn_writer_operator op = CAIRN_WRITER_OPERATOR_INIT;
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    const cairn_state_info total = {
        .name = "total", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64};
    uint8_t number[8];
    char directory[SERVICE_PATH_MAX], uri[SERVICE_PATH_MAX], key[24];
    op.parallelism = 3;
    op.key_type = op.namespace_type = CAIRN_STRING;
    commit.format = format;
    commit.name = "written";
    ground_path(&ground, "savepoints", directory);
    CRN_TEST_OK(cairn_writer_open(NULL, NULL, &writer, reterr));
    CRN_TEST_OK(cairn_writer_add_operator(writer, "orders", &op, reterr));
    CRN_TEST_OK(cairn_writer_add_state(writer, "orders", &total, NULL, reterr));
    for (int i = 0; i < SERVICE_KEYS; i++) {
        (void)snprintf(key, sizeof key, "order-%03d", i);
        cairn_encode_int64(i * 7, number);
        const cairn_entry entry = {
            .key = key, .key_size = strlen(key), .value = number, .value_size = sizeof number};
        CRN_TEST_OK(cairn_writer_put(writer, "orders", "total", &entry, -1, reterr));
    }
    CRN_TEST_OK(cairn_store_open(directory, &target, reterr));
    CRN_TEST_OK(cairn_writer_commit(writer, target, &commit, NULL, reterr));
    cairn_writer_close(writer);
    cairn_store_close(target);

    struct service service;
    ground_path(&ground, "savepoints/written", uri);
    struct service_options options = {.backend = service_backends[backend], .restore_uri = uri};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    for (int i = 0; i < SERVICE_KEYS; i++)
        ck_assert_int_eq(service_total(&service, i), i * 7);
    service_close(&service);
}

START_TEST(test_canonical_write)
{
    write_new(CAIRN_CANONICAL, _i);
}
END_TEST
/* A native savepoint that is written has RocksDB's files. */
START_TEST(test_native_write)
{
    write_new(CAIRN_NATIVE, 0);
}
END_TEST
/* A writer makes no checkpoint; what it makes becomes one by claiming it. */
START_TEST(test_checkpoint_write)
{
    char uri[SERVICE_PATH_MAX], converted[SERVICE_PATH_MAX];
    ground_snapshot(&ground, SNAPSHOT_CHECKPOINT, service_backends[_i], uri);
    convert(uri, CAIRN_CANONICAL, "converted", converted);
    struct stored_snapshot stored;
    stored_snapshot_open(converted, &stored);
    ck_assert_int_eq(cairn_snapshot_record(stored.snapshot)->kind, CAIRN_RECORD_SAVEPOINT);
    stored_snapshot_close(&stored);

    struct service service;
    struct service_options options = {
        .backend = service_backends[_i], .restore_uri = converted, .claim_mode = CAIRN_CLAIM};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_check(&service, INT_MAX, SERVICE_KEYS);
    char path[SERVICE_PATH_MAX], name[80];
    (void)snprintf(name, sizeof name, "store/%s", service.name);
    ground_path(&ground, name, path);
    stored_snapshot_open(path, &stored);
    ck_assert_int_eq(cairn_snapshot_record(stored.snapshot)->kind, CAIRN_RECORD_CHECKPOINT);
    stored_snapshot_close(&stored);
    service_close(&service);
}
END_TEST

/* ---- rewrite ---- */

/* Any snapshot as it is, but for one entry changed, one removed and one state dropped. */
static void rewrite(enum snapshot_kind kind, int backend)
{
    char uri[SERVICE_PATH_MAX], directory[SERVICE_PATH_MAX];
    struct stored_snapshot base;
    cairn_writer *writer;
    cairn_store *target;
    uint8_t number[8];
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    ground_snapshot(&ground, kind, service_backends[backend], uri);
    char *before = stored_entries(uri);
    stored_snapshot_open(uri, &base);
    CRN_TEST_OK(cairn_writer_open(base.snapshot, NULL, &writer, reterr));
    cairn_encode_int64(1000, number);
    const cairn_entry changed = {
        .key = "order-007", .key_size = 9, .value = number, .value_size = sizeof number};
    const cairn_entry removed = {.key = "order-008", .key_size = 9};
    CRN_TEST_OK(cairn_writer_put(writer, "orders", "total", &changed, -1, reterr));
    CRN_TEST_OK(cairn_writer_remove(writer, "orders", "total", &removed, reterr));
    CRN_TEST_OK(cairn_writer_remove_state(writer, "orders", "sum", reterr));
    ground_path(&ground, "savepoints", directory);
    commit.name = "rewritten";
    CRN_TEST_OK(cairn_store_open(directory, &target, reterr));
    CRN_TEST_OK(cairn_writer_commit(writer, target, &commit, NULL, reterr));
    cairn_writer_close(writer);
    cairn_store_close(target);
    stored_snapshot_close(&base);

    char *after = stored_entries(uri);
    ck_assert_str_eq(after, before); /* the base is what it was */
    free(before);
    free(after);
    struct service service;
    ground_path(&ground, "savepoints/rewritten", directory);
    struct service_options options = {
        .backend = service_backends[backend], .restore_uri = directory, .without_sum = true};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    ck_assert_int_eq(service_total(&service, 6), 6 * 7);
    ck_assert_int_eq(service_total(&service, 7), 1000);
    ck_assert_int_eq(service_total(&service, 8), -1);
    service_close(&service);
}

START_TEST(test_canonical_rewrite)
{
    rewrite(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_rewrite)
{
    rewrite(SNAPSHOT_NATIVE, _i);
}
END_TEST
START_TEST(test_checkpoint_rewrite)
{
    rewrite(SNAPSHOT_CHECKPOINT, _i);
}
END_TEST

/* ---- relocate ---- */

/* The directory is moved under another name, and everything else of the test is removed. */
static void relocate(enum snapshot_kind kind, int backend)
{
    struct ground old;
    char uri[SERVICE_PATH_MAX], moved[SERVICE_PATH_MAX];
    ground_init(&old);
    ground_snapshot(&old, kind, service_backends[backend], uri);
    ground_path(&ground, "moved", moved);
    ck_assert_int_eq(rename(uri, moved), 0);
    ground_done(&old);
    stored_verify(moved);
    start_from(moved, service_backends[backend]);
}

START_TEST(test_canonical_relocate)
{
    relocate(SNAPSHOT_CANONICAL, _i);
}
END_TEST
START_TEST(test_native_relocate)
{
    relocate(SNAPSHOT_NATIVE, _i);
}
END_TEST
/* The job's directory, as a checkpoint shares files with others of its job; alone it is
 * self-contained once it is converted. */
START_TEST(test_checkpoint_relocate)
{
    char uri[SERVICE_PATH_MAX], converted[SERVICE_PATH_MAX];
    relocate(SNAPSHOT_CHECKPOINT, _i);
    ground_snapshot(&ground, SNAPSHOT_CHECKPOINT, service_backends[_i], uri);
    convert(uri, CAIRN_NATIVE, "converted", converted);
    ground_path(&ground, "alone", uri);
    ck_assert_int_eq(rename(converted, uri), 0);
    stored_verify(uri);
    start_from(uri, "rocksdb");
}
END_TEST

int main(void)
{
    const TTest *const by_backend[] = {
        test_canonical_change_backend, test_native_change_backend, test_checkpoint_change_backend,
        test_canonical_read,           test_native_read,           test_checkpoint_read,
        test_canonical_write,          test_checkpoint_write,      test_canonical_rewrite,
        test_native_rewrite,           test_checkpoint_rewrite,    test_canonical_relocate,
        test_native_relocate,          test_checkpoint_relocate,
    };
    TCase *tc = tcase_create("compatibility");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    for (size_t i = 0; i < sizeof by_backend / sizeof by_backend[0]; i++)
        tcase_add_loop_test(tc, by_backend[i], 0, SERVICE_BACKENDS);
    tcase_add_test(tc, test_native_write);
    Suite *suite = suite_create("compatibility");
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
