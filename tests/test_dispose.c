/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disposing of a savepoint: all of it goes, its directory too, and nothing else in the store is
 * touched (P5, P6). Whatever store operation fails, before or after it happened, the same call done
 * again ends clean, and at no moment is there a manifest whose objects are gone (P1). What is not
 * known to be a savepoint is left alone: jobs, strangers' directories, damaged manifests, and what
 * a job has claimed.
 */
#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/inspect.h"
#include "engine/log/joblog.h"
#include "manifest/marks.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

#define NAME "savepoint-orders-6"

static cairn_store *store;
static struct crn_test_job directory, neighbour, job;
static char root[64];

/* A store with the savepoint, another one whose name begins with its name, and a job. */
static void fill_store(void)
{
    crn_test_savepoint_write(&directory, store, NAME, 6);
    crn_test_savepoint_write(&neighbour, store, NAME "1", 61);
    crn_test_job_write(&job, store, "orders");
}

static void open_memory(void)
{
    cairn_store *inner;
    ck_assert_int_eq(crn_memory_store_open(&inner, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(inner, &store, NULL), 0);
    fill_store();
}

static void close_store(void)
{
    crn_test_job_done(&directory);
    crn_test_job_done(&neighbour);
    crn_test_job_done(&job);
    store->ops->close(store);
}

static void open_directory(void)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%s/cairn-dispose-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(crn_posix_store_open(root, CRN_TRANSFER_AUTO, true, &store, NULL), 0);
    fill_store();
}

static void close_directory(void)
{
    close_store();
    ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
}

static int dispose(const char *name, const cairn_dispose_options *options,
                   cairn_dispose_report *report)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = cairn_dispose(store, name, options, report, &error);
    ck_assert_int_eq(r, cairn_error_code(error));
    return r;
}

static void expect_listing(const struct crn_test_job *of, const char *expected)
{
    CRN_AUTO_FREE char *listing = crn_test_job_listing(of);
    ck_assert_str_eq(listing, expected);
}

static void expect_whole(const char *name)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = 1;
    options.threads = 1;
    int r = cairn_verify(store, name, &options, &report, &error);
    ck_assert_msg(r == 0, "%s: %s", name, cairn_error_message(error));
    ck_assert_uint_ge(report.whole, 1);
}

/* Neither the job nor the savepoint beside it lost anything. */
static void expect_others_whole(const char *listing)
{
    expect_whole(NAME "1");
    expect_whole("orders");
    expect_listing(&job, listing);
}

static void count_object(void *context, const char *object, uint64_t size)
{
    ck_assert_int_ne(crn_key_parse(object).type, CRN_KEY_FOREIGN);
    ck_assert_uint_gt(size, 0);
    ++*(size_t *)context;
}

static void check_all_goes(void)
{
    CRN_AUTO_FREE char *others = crn_test_job_listing(&job);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&directory);
    cairn_dispose_options options = CAIRN_DISPOSE_OPTIONS_INIT;
    cairn_dispose_report dry = CAIRN_DISPOSE_REPORT_INIT, report = CAIRN_DISPOSE_REPORT_INIT;
    CRN_AUTO_BUFFER struct cairn_buffer manifest = {0};
    size_t told = 0;
    expect_whole(NAME);
    crn_test_job_get(&directory, "MANIFEST-chk6", &manifest);
    const uint64_t bytes = manifest.size + strlen("alpha"
                                                  "beta"
                                                  "saved");
    options.object = count_object;
    options.context = &told;
    options.dry_run = 1;
    ck_assert_int_eq(dispose(NAME, &options, &dry), 0);
    expect_listing(&directory, before);
    ck_assert_uint_eq(told, 4); /* the manifest, two tables, RocksDB's MANIFEST */
    options.dry_run = 0;
    told = 0;
    ck_assert_int_eq(dispose(NAME, &options, &report), 0);
    ck_assert_uint_eq(told, 4);
    ck_assert_uint_eq(report.removed_count, 4);
    ck_assert_uint_eq(report.removed_count, dry.removed_count);
    ck_assert_uint_eq(report.removed_bytes, dry.removed_bytes);
    ck_assert_uint_eq(report.removed_bytes, bytes);
    ck_assert_uint_eq(report.foreign_count, 0);
    expect_listing(&directory, "");
    expect_others_whole(others);
    ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_ENOTFOUND);
}

START_TEST(all_of_it_goes)
{
    check_all_goes();
}
END_TEST

START_TEST(its_directory_goes_too)
{
    CRN_AUTO_FREE char *path = NULL;
    ck_assert_int_eq(crn_str_printf(&path, NULL, "%s/" NAME, root), 0);
    ck_assert(crn_file_is_dir(path));
    check_all_goes();
    ck_assert(!crn_file_is_dir(path));
}
END_TEST

START_TEST(files_of_others_stay)
{
    cairn_dispose_report report = CAIRN_DISPOSE_REPORT_INIT;
    crn_test_job_put(&directory, "README", "why we took it", 14);
    crn_test_job_put(&directory, "chk-6/notes", "n", 1);
    crn_test_job_put(&directory, "chk-7/e1-c7-1", "of another id", 13);
    crn_test_job_put(&directory, "shared/e1-c6-8.sst", "not a savepoint's", 17);
    ck_assert_int_eq(dispose(NAME, NULL, &report), 0);
    ck_assert_uint_eq(report.removed_count, 4);
    ck_assert_uint_eq(report.foreign_count, 4);
    expect_listing(&directory, "README\nchk-6/notes\nchk-7/e1-c7-1\nshared/e1-c6-8.sst\n");
    ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_EINVAL); /* none of Cairn's any more */
}
END_TEST

/* --- what is refused --- */

START_TEST(jobs_are_refused)
{
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    cairn_dispose_options options = CAIRN_DISPOSE_OPTIONS_INIT;
    options.force = 1;
    ck_assert_int_eq(dispose("orders", &options, NULL), CAIRN_EINVAL);
    expect_listing(&job, before);

    /* A job with one record: a fence, and a pointer to a savepoint. */
    static const cairn_record_kind kinds[] = {CAIRN_RECORD_FENCE, CAIRN_RECORD_SAVEPOINT};
    for (size_t i = 0; i < CRN_COUNT(kinds); i++) {
        struct crn_test_job small;
        crn_test_job_init(&small, store, i == 0 ? "fresh" : "pointing");
        struct crn_record *record = crn_test_job_record(&small, kinds[i]);
        if (kinds[i] == CAIRN_RECORD_SAVEPOINT)
            ck_assert_int_eq(crn_record_set_text(&record->info.location, "elsewhere"), 0);
        crn_test_job_commit(&small, record);
        ck_assert_int_eq(dispose(small.name, &options, NULL), CAIRN_EINVAL);
        expect_listing(&small, "MANIFEST-chk1\n");
        crn_test_job_done(&small);
    }
}
END_TEST

START_TEST(strangers_are_refused)
{
    struct crn_test_job stranger;
    cairn_dispose_options options = CAIRN_DISPOSE_OPTIONS_INIT;
    options.force = 1;
    crn_test_job_init(&stranger, store, "photos");
    crn_test_job_put(&stranger, "cat.jpg", "meow", 4);
    crn_test_job_put(&stranger, "chk-1/e1-c1-0", "looks like ours", 15);
    ck_assert_int_eq(dispose("photos", &options, NULL), CAIRN_EINVAL);
    expect_listing(&stranger, "cat.jpg\nchk-1/e1-c1-0\n");
    ck_assert_int_eq(dispose("nothing", &options, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(dispose("../orders", NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(dispose("", NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(dispose(NULL, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_dispose(NULL, NAME, NULL, NULL, NULL), CAIRN_EINVAL);
}
END_TEST

START_TEST(damaged_manifests_are_refused)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_FREE char *before = crn_test_job_listing(&directory);
    crn_test_job_get(&directory, "MANIFEST-chk6", &bytes);
    bytes.data[bytes.size / 2] ^= 1;
    crn_test_job_replace(&directory, "MANIFEST-chk6", bytes.data, bytes.size);
    ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_ECORRUPT);
    uint8_t *golden;
    size_t size;
    ck_assert_int_eq(crn_file_read_all(CRN_TEST_SOURCE_ROOT "/tests/golden/unsupported-version",
                                       1 << 20, &golden, &size, NULL),
                     0);
    crn_test_job_replace(&directory, "MANIFEST-chk6", golden, size);
    free(golden);
    ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_EVERSION);
    expect_listing(&directory, before);
}
END_TEST

static void put_claim(void)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_MARK struct crn_mark mark = {.kind = CRN_MARK_CLAIM,
                                          .id = 6,
                                          .job = strdup("payments"),
                                          .location = strdup("s3://bucket/jobs"),
                                          .fence_id = 1,
                                          .fence_epoch = 1};
    memcpy(mark.uuid, directory.head->info.uuid, 16);
    mark.fence_uuid[0] = 1;
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    crn_test_job_put(&directory, CRN_MARK_CLAIMED, bytes.data, bytes.size);
}

START_TEST(claimed_ones_are_refused_unless_forced)
{
    cairn_dispose_options options = CAIRN_DISPOSE_OPTIONS_INIT;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_log *log;
    ck_assert_int_eq(cairn_log_open(store, NAME, &log, NULL), 0);
    ck_assert_ptr_null(cairn_log_claimed_by(log));
    cairn_log_close(log);
    put_claim();
    ck_assert_int_eq(cairn_log_open(store, NAME, &log, NULL), 0);
    ck_assert_int_eq(cairn_log_is_savepoint(log), 1);
    ck_assert_ptr_nonnull(strstr(cairn_log_claimed_by(log), "job 'payments', by process "));
    cairn_log_close(log);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&directory);
    ck_assert_int_eq(cairn_dispose(store, NAME, NULL, NULL, &error), CAIRN_EBUSY);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "'payments' of 's3://bucket/jobs'"));
    expect_listing(&directory, before);
    if (_i == 1) { /* the claimer has got as far as to remove the manifest */
        crn_test_job_remove(&directory, "MANIFEST-chk6");
        ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_EBUSY);
    }
    if (_i == 2) { /* whatever stands there counts as a claim */
        crn_test_job_replace(&directory, CRN_MARK_CLAIMED, "damaged", 7);
        ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_EBUSY);
    }
    options.force = 1;
    ck_assert_int_eq(dispose(NAME, &options, NULL), 0);
    expect_listing(&directory, "");
}
END_TEST

/* --- whatever fails --- */

static bool has_manifest(void)
{
    return crn_test_job_has(&directory, "MANIFEST-chk6");
}

/* The savepoint is whole as long as it has a manifest; and the next call ends clean. False: so many
 * operations there are not. */
static bool check_failure(enum crn_fault_mode mode, uint64_t at)
{
    struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY, .mode = mode, .at = at, .code = CAIRN_EIO};
    struct crn_fault_plan never = {.mode = CRN_FAULT_NEVER};
    crn_fault_store_arm(store, &plan);
    const int r = dispose(NAME, NULL, NULL);
    const bool fired = crn_fault_store_fired(store);
    crn_fault_store_arm(store, &never);
    if (mode == CRN_FAULT_BEFORE)
        ck_assert_int_eq(fired, r < 0);
    ck_assert(fired || r == 0);
    if (has_manifest())
        expect_whole(NAME);
    const int again = dispose(NAME, NULL, NULL);
    ck_assert(again == 0 || again == CAIRN_ENOTFOUND);
    expect_listing(&directory, "");
    return fired;
}

START_TEST(every_failure_can_be_gone_on_from)
{
    static const enum crn_fault_mode modes[] = {CRN_FAULT_BEFORE, CRN_FAULT_LOST_REPLY,
                                                CRN_FAULT_SHORT};
    CRN_AUTO_FREE char *others = crn_test_job_listing(&job);
    uint64_t at = 1;
    while (check_failure(modes[_i], at++)) {
        crn_test_job_done(&directory);
        crn_test_savepoint_write(&directory, store, NAME, 6);
    }
    ck_assert_uint_gt(at, 12); /* so many operations were there to fail */
    expect_others_whole(others);
}
END_TEST

/* A claim that is made after the look and before the mark: the disposer takes its mark back. */
static int list_and_claim(cairn_store *base, const char *prefix, cairn_list_fn fn, void *context,
                          cairn_error **reterr)
{
    (void)base;
    int r = store->ops->list(store, prefix, fn, context, reterr);
    if (!crn_test_job_has(&directory, CRN_MARK_CLAIMED))
        put_claim();
    return r;
}

static int get_inner(cairn_store *base, const char *key, uint64_t offset, uint64_t size,
                     cairn_sink *sink, cairn_error **reterr)
{
    (void)base;
    return store->ops->get(store, key, offset, size, sink, reterr);
}

static int create_inner(cairn_store *base, const char *key, const void *data, size_t size,
                        cairn_error **reterr)
{
    (void)base;
    return store->ops->create(store, key, data, size, reterr);
}

static int remove_inner(cairn_store *base, const char *const *keys, size_t n, cairn_error **reterr)
{
    (void)base;
    return store->ops->remove(store, keys, n, reterr);
}

START_TEST(a_claim_in_between_wins)
{
    static const cairn_store_ops ops = {.struct_size = sizeof ops,
                                        .list = list_and_claim,
                                        .get = get_inner,
                                        .create = create_inner,
                                        .remove = remove_inner};
    cairn_store claiming = {.ops = &ops};
    ck_assert_int_eq(cairn_dispose(&claiming, NAME, NULL, NULL, NULL), CAIRN_EBUSY);
    ck_assert(!crn_test_job_has(&directory, CRN_MARK_DISPOSING));
    crn_test_job_remove(&directory, CRN_MARK_CLAIMED);
    expect_whole(NAME);
}
END_TEST

START_TEST(a_mark_of_another_savepoint_is_not_believed)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_mark mark = {.kind = CRN_MARK_DISPOSAL, .id = 5};
    mark.uuid[0] = 1;
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    crn_test_job_put(&directory, CRN_MARK_DISPOSING, bytes.data, bytes.size);
    ck_assert_int_eq(dispose(NAME, NULL, NULL), CAIRN_ECORRUPT);
    expect_whole(NAME);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispose");
    TCase *memory = tcase_create("memory"), *posix = tcase_create("directory");
    tcase_set_timeout(memory, 30);
    tcase_add_checked_fixture(memory, open_memory, close_store);
    tcase_add_test(memory, all_of_it_goes);
    tcase_add_test(memory, files_of_others_stay);
    tcase_add_test(memory, jobs_are_refused);
    tcase_add_test(memory, strangers_are_refused);
    tcase_add_test(memory, damaged_manifests_are_refused);
    tcase_add_loop_test(memory, claimed_ones_are_refused_unless_forced, 0, 3);
    tcase_add_loop_test(memory, every_failure_can_be_gone_on_from, 0, 3);
    tcase_add_test(memory, a_claim_in_between_wins);
    tcase_add_test(memory, a_mark_of_another_savepoint_is_not_believed);
    suite_add_tcase(suite, memory);
    tcase_set_timeout(posix, 30);
    tcase_add_checked_fixture(posix, open_directory, close_directory);
    tcase_add_test(posix, its_directory_goes_too);
    tcase_add_test(posix, files_of_others_stay);
    suite_add_tcase(suite, posix);
    return crn_test_run(suite);
}
