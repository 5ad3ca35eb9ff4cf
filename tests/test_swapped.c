/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A canonical file in the place of another one (P8). Two snapshots of the same service, at other
 * times, have canonical files of the same sizes, key groups and states, whose entries differ; the
 * files of the one are copied over those of the other, as a mistaken hand does. All of them are
 * whole. Yet whoever reads them by ranges must find out that they are not those of the manifest:
 * cat, restores into both backends at the same and at another parallelism, also by way of an
 * import; verify --full reads them to the end. For savepoints out of both backends and checkpoints
 * of the heap. And conversions bind their files as well.
 */
#include "base/file.h"
#include "tests/support/service.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum source { ROCKSDB_SAVEPOINT, HEAP_SAVEPOINT, HEAP_CHECKPOINT, SOURCES };

static struct ground ground;

static void setup(void)
{
    ground_init(&ground);
}

static void teardown(void)
{
    ground_done(&ground);
}

static void take(enum source source, char uri[SERVICE_PATH_MAX])
{
    ground_snapshot(&ground, source == HEAP_CHECKPOINT ? SNAPSHOT_CHECKPOINT : SNAPSHOT_CANONICAL,
                    source == ROCKSDB_SAVEPOINT ? "rocksdb" : "heap", uri);
}

/* The same keys in the same service, whose clock goes on: the times of what expires differ. */
static void take_two(enum source source, char a[SERVICE_PATH_MAX], char b[SERVICE_PATH_MAX])
{
    take(source, a);
    ground.clock_ms += 3;
    take(source, b);
    char *entries_a = stored_entries(a), *entries_b = stored_entries(b);
    ck_assert_uint_eq(strlen(entries_a), strlen(entries_b));
    ck_assert_str_ne(entries_a, entries_b);
    free(entries_a);
    free(entries_b);
}

static void path_of(const char *directory, const cairn_file_info *info, char out[1200])
{
    ck_assert_ptr_nonnull(info->object);
    (void)snprintf(out, 1200, "%s/%s", directory, info->object);
}

static void copy_file(const char *from_directory, const cairn_file_info *from,
                      const char *to_directory, const cairn_file_info *to)
{
    char path[1200];
    uint8_t *data;
    size_t size;
    path_of(from_directory, from, path);
    CRN_TEST_OK(crn_file_read_all(path, (size_t)1 << 24, &data, &size, reterr));
    path_of(to_directory, to, path);
    ck_assert_int_eq(unlink(path), 0);
    CRN_TEST_OK(crn_file_write_new(path, data, size, false, reterr));
    free(data);
}

/* All canonical files of one directory over those of the other; how many. */
static unsigned put_over(const char *from_directory, const char *to_directory)
{
    struct stored_snapshot from, to;
    unsigned count = 0;
    stored_snapshot_open(from_directory, &from);
    stored_snapshot_open(to_directory, &to);
    for (size_t op = 0; op < cairn_snapshot_operators(to.snapshot); op++)
        for (size_t subtask = 0; cairn_snapshot_subtask(to.snapshot, op, subtask); subtask++)
            for (size_t i = 0; cairn_snapshot_file(to.snapshot, op, subtask, i); i++) {
                const cairn_file_info *a = cairn_snapshot_file(from.snapshot, op, subtask, i);
                const cairn_file_info *b = cairn_snapshot_file(to.snapshot, op, subtask, i);
                ck_assert_ptr_nonnull(a);
                if (b->role != CAIRN_FILE_CANONICAL)
                    continue;
                ck_assert(a->has_identity && b->has_identity);
                ck_assert_uint_eq(a->size, b->size);
                ck_assert_uint_eq(a->key_group_first, b->key_group_first);
                ck_assert_uint_eq(a->key_group_last, b->key_group_last);
                ck_assert_uint_eq(a->entry_count, b->entry_count);
                ck_assert_int_ne(memcmp(a->identity, b->identity, sizeof a->identity), 0);
                copy_file(from_directory, a, to_directory, b);
                count++;
            }
    stored_snapshot_close(&from);
    stored_snapshot_close(&to);
    return count;
}

static void assert_other_file(int r, cairn_error *error)
{
    ck_assert_msg(r == CAIRN_ECORRUPT, "%s: %s", cairn_error_name(r), cairn_error_message(error));
    ck_assert_msg(strstr(cairn_error_message(error), "another file than the manifest means"), "%s",
                  cairn_error_message(error));
    cairn_error_free(error);
}

/* Not even one entry of the operator that has only canonical files comes out. */
static void cat_finds_out(const char *uri)
{
    struct stored_snapshot stored;
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    cairn_cat *cat;
    cairn_cat_entry entry;
    cairn_error *error = NULL;
    options.operator_uid = "orders";
    stored_snapshot_open(uri, &stored);
    CRN_TEST_OK(cairn_cat_open(stored.snapshot, &options, &cat, reterr));
    int r = cairn_cat_next(cat, &entry, &error);
    assert_other_file(r, error);
    cairn_cat_close(cat);
    stored_snapshot_close(&stored);
}

static void restore_finds_out(const char *uri, const char *backend, uint32_t parallelism,
                              cairn_claim_mode claim_mode)
{
    struct service service;
    cairn_error *error = NULL;
    const struct service_options options = {.backend = backend,
                                            .parallelism = parallelism,
                                            .restore_uri = uri,
                                            .claim_mode = claim_mode};
    int r = service_open(&ground, &options, &service, &error);
    assert_other_file(r, error);
}

static void count_corrupt(void *context, uint64_t id, const cairn_error *error)
{
    (void)id;
    ck_assert_int_eq(cairn_error_code(error), CAIRN_ECORRUPT);
    ++*(uint64_t *)context;
}

static void verify_finds_out(const char *uri, unsigned swapped)
{
    struct stored_snapshot stored;
    uint64_t corrupt = 0;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    cairn_error *error = NULL;
    options.full = 1;
    options.problem = count_corrupt;
    options.context = &corrupt;
    stored_snapshot_open(uri, &stored);
    ck_assert_int_eq(cairn_verify(stored.store, stored.name, &options, &report, &error),
                     CAIRN_ECORRUPT);
    ck_assert_uint_eq(corrupt, swapped);
    ck_assert_uint_eq(report.problems, swapped);
    cairn_error_free(error);
    stored_snapshot_close(&stored);
}

START_TEST(test_a_file_of_another_snapshot_is_found_out)
{
    char a[SERVICE_PATH_MAX], b[SERVICE_PATH_MAX];
    take_two((enum source)_i, a, b);
    stored_verify(a);
    unsigned swapped = put_over(b, a);
    ck_assert_uint_ge(swapped, 4); /* two operators, two subtasks */
    cat_finds_out(a);
    for (int i = 0; i < SERVICE_BACKENDS; i++) {
        restore_finds_out(a, service_backends[i], 2, CAIRN_NO_CLAIM);
        restore_finds_out(a, service_backends[i], 3, CAIRN_NO_CLAIM);
        restore_finds_out(a, service_backends[i], 2, CAIRN_LEGACY);
    }
    verify_finds_out(a, swapped);
    /* The other snapshot is as good as ever. */
    stored_verify(b);
    struct service service;
    const struct service_options options = {.parallelism = 3, .restore_uri = b};
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_close(&service);
}
END_TEST

/* Written anew by a writer; the files are small, and stand in the manifest. */
START_TEST(test_a_conversion_binds_its_files)
{
    char path[SERVICE_PATH_MAX], native[SERVICE_PATH_MAX], uri[SERVICE_PATH_MAX];
    struct stored_snapshot base, converted;
    cairn_writer *writer;
    cairn_store *target;
    cairn_commit_options options = CAIRN_COMMIT_OPTIONS_INIT;
    unsigned count = 0;
    options.name = "converted";
    ground_snapshot(&ground, SNAPSHOT_NATIVE, "rocksdb", native);
    ground_path(&ground, "savepoints", path);
    ground_path(&ground, "savepoints/converted", uri);
    stored_snapshot_open(native, &base);
    CRN_TEST_OK(cairn_writer_open(base.snapshot, NULL, &writer, reterr));
    CRN_TEST_OK(cairn_store_open(path, &target, reterr));
    CRN_TEST_OK(cairn_writer_commit(writer, target, &options, NULL, reterr));
    cairn_writer_close(writer);
    cairn_store_close(target);
    stored_snapshot_close(&base);

    stored_snapshot_open(uri, &converted);
    for (size_t op = 0; op < cairn_snapshot_operators(converted.snapshot); op++)
        for (size_t subtask = 0; cairn_snapshot_subtask(converted.snapshot, op, subtask); subtask++)
            for (size_t i = 0; cairn_snapshot_file(converted.snapshot, op, subtask, i); i++) {
                const cairn_file_info *info =
                    cairn_snapshot_file(converted.snapshot, op, subtask, i);
                ck_assert_int_eq(info->has_identity, info->role == CAIRN_FILE_CANONICAL);
                count += info->has_identity;
            }
    stored_snapshot_close(&converted);
    ck_assert_uint_ge(count, 4);
    char *before = stored_entries(native), *after = stored_entries(uri); /* reads them */
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("swapped");
    TCase *tcase = tcase_create("swapped");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_a_file_of_another_snapshot_is_found_out, 0, SOURCES);
    tcase_add_test(tcase, test_a_conversion_binds_its_files);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
