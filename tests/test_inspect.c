/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves what cairn/inspect.h says of snapshots at rest, over a job written by hand whose every
 * byte is known: what is listed, counted, compared and explained, exactly, whole or damaged.
 */

#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>

static char root[64]; /* a directory of the running test */
static cairn_store *store;
static struct crn_test_job job;

static void setup(void)
{
    cairn_store *posix;
    char path[96];
    (void)strcpy(root, "/tmp/cairn-inspect-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/store", root);
    ck_assert_int_eq(crn_posix_store_open(path, CRN_TRANSFER_AUTO, true, &posix, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(posix, &store, NULL), 0);
    crn_test_job_write(&job, store, "orders");
}

static void teardown(void)
{
    crn_test_job_done(&job);
    store->ops->close(store);
    ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
}

/* --- listing --- */

START_TEST(jobs_are_directories_with_manifests)
{
    struct crn_test_job other;
    char **names;
    size_t count;
    crn_test_job_init(&other, store, "alerts");
    crn_test_job_put(&other, "notes.txt", "x", 1);
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "orders");
    cairn_names_free(names, count);
    crn_test_job_commit_kind(&other, CAIRN_RECORD_FENCE);
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[0], "alerts");
    ck_assert_str_eq(names[1], "orders");
    cairn_names_free(names, count);
    crn_test_job_done(&other);
}
END_TEST

/* Without a manifest it is no job, but who names it is told what it may be. With objects of several
 * ids, or shared ones, it is a job that lost its log: listed, unless somebody is removing it. */
START_TEST(a_directory_without_manifests_is_told_from_a_lost_log)
{
    struct crn_test_job other;
    char **names, path[128], *name;
    size_t count;
    cairn_log *log;
    cairn_error *error = NULL;
    cairn_store *opened;
    crn_test_job_init(&other, store, "alerts");
    crn_test_job_put(&other, "chk-5/e1-c5-1-CURRENT", "x", 1);
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    cairn_names_free(names, count);
    (void)snprintf(path, sizeof path, "%s/store/alerts", root);
    ck_assert_int_eq(cairn_store_open_existing(path, &opened, &name, NULL, NULL), 0);
    ck_assert_str_eq(name, "alerts");
    ck_assert_int_eq(cairn_log_open(opened, name, &log, &error), CAIRN_EMISSING);
    ck_assert_str_eq(cairn_error_message(error),
                     "'alerts' has chk-5 but no MANIFEST-chk5: an unfinished savepoint, or its "
                     "manifest is lost");
    cairn_error_free(error);
    cairn_store_close(opened);
    free(name);
    crn_test_job_put(&other, "shared/e1-c5-2.sst", "x", 1);
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[0], "alerts");
    cairn_names_free(names, count);
    crn_test_job_put(&other, "CLAIMED", "x", 1);
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    cairn_names_free(names, count);
    ck_assert_int_eq(cairn_log_open(store, "alerts", &log, NULL), CAIRN_ENOTFOUND);
    crn_test_job_done(&other);
}
END_TEST

START_TEST(a_log_shows_every_id_and_what_it_holds_alone)
{
    static const cairn_record_state states[] = {CAIRN_STATE_FENCE, CAIRN_STATE_COMPLETE,
                                                CAIRN_STATE_ABORTED, CAIRN_STATE_COMPLETE};
    cairn_log *log;
    ck_assert_int_eq(cairn_log_open(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(cairn_log_size(log), 4);
    ck_assert_ptr_null(cairn_log_at(log, 4));
    for (size_t i = 0; i < 4; i++) {
        const cairn_record_info *info = cairn_log_at(log, i);
        ck_assert_uint_eq(info->id, i + 1);
        ck_assert_int_eq(info->state, states[i]);
        ck_assert_str_eq(info->reason, i == 2 ? "timed out" : "");
        /* beta, two; delta, four: and the manifest of each */
        uint64_t alone = i == 1 ? 4 + 3 : i == 3 ? 5 + 4 : 0;
        ck_assert_uint_eq(info->exclusive_bytes, info->manifest_bytes + alone);
    }
    ck_assert_uint_eq(cairn_log_at(log, 1)->full_bytes, 5 + 4 + 3 + 16 + 8 + 5);
    ck_assert_uint_eq(cairn_log_at(log, 3)->new_bytes, 5 + 4 + 16);
    cairn_log_close(log);
    ck_assert_int_eq(cairn_log_open(store, "payments", &log, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_log_open(store, "or/ders", &log, NULL), CAIRN_EINVAL);
}
END_TEST

START_TEST(a_log_remembers_what_was_subsumed)
{
    cairn_log *log;
    job.log_start = 4;
    crn_test_job_remove(&job, "shared/e1-c5-40.sst");
    crn_test_job_commit_kind(&job, CAIRN_RECORD_CHECKPOINT);
    ck_assert_int_eq(cairn_gc(store, "orders", NULL, NULL, NULL), 0);
    crn_test_job_replace(&job, "MANIFEST-chk4", "damaged", 7);
    ck_assert_int_eq(cairn_log_open(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(cairn_log_size(log), 5);
    ck_assert_int_eq(cairn_log_at(log, 0)->state, CAIRN_STATE_FENCE);
    ck_assert_int_eq(cairn_log_at(log, 1)->state, CAIRN_STATE_SUBSUMED);
    ck_assert_uint_eq(cairn_log_at(log, 1)->full_bytes, 41);
    ck_assert_int_eq(cairn_log_at(log, 3)->state, CAIRN_STATE_UNREADABLE);
    ck_assert_int_eq(cairn_log_at(log, 3)->kind, CAIRN_RECORD_CHECKPOINT); /* as 5 remembers it */
    ck_assert_ptr_nonnull(strstr(cairn_log_at(log, 3)->reason, "MANIFEST-chk4"));
    ck_assert_int_eq(cairn_log_at(log, 4)->state, CAIRN_STATE_COMPLETE);
    cairn_log_close(log);
}
END_TEST

START_TEST(a_snapshot_gives_what_its_manifest_has)
{
    cairn_snapshot *snapshot;
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 0, &snapshot, NULL), 0);
    ck_assert_uint_eq(cairn_snapshot_record(snapshot)->id, 4);
    ck_assert_uint_eq(cairn_snapshot_operators(snapshot), 1);
    ck_assert_str_eq(cairn_snapshot_operator(snapshot, 0)->uid, "count");
    ck_assert_uint_eq(cairn_snapshot_operator(snapshot, 0)->subtask_count, 2);
    ck_assert_str_eq(cairn_snapshot_state(snapshot, 0, 1)->name, "seen");
    ck_assert_uint_eq(cairn_snapshot_subtask(snapshot, 0, 1)->index, 1);
    ck_assert_uint_eq(cairn_snapshot_subtask(snapshot, 0, 0)->file_count, 4);
    ck_assert_str_eq(cairn_snapshot_file(snapshot, 0, 1, 0)->object, "shared/e1-c2-10.sst");
    ck_assert_ptr_null(cairn_snapshot_operator(snapshot, 1));
    ck_assert_ptr_null(cairn_snapshot_state(snapshot, 0, 2));
    ck_assert_ptr_null(cairn_snapshot_state(snapshot, 1, 0));
    ck_assert_ptr_null(cairn_snapshot_subtask(snapshot, 0, 2));
    ck_assert_ptr_null(cairn_snapshot_file(snapshot, 0, 0, 4));
    ck_assert_ptr_null(cairn_snapshot_file(snapshot, 0, 2, 0));
    cairn_snapshot_close(snapshot);
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 3, &snapshot, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 9, &snapshot, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_snapshot_open(store, "payments", 0, &snapshot, NULL), CAIRN_ENOTFOUND);
}
END_TEST

/* --- questions --- */

START_TEST(usage_puts_every_object_in_one_class)
{
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), 0);
    ck_assert_uint_eq(usage.manifest_count, 4);
    ck_assert_uint_eq(usage.live_count, 6);
    ck_assert_uint_eq(usage.live_bytes, 5 + 4 + 3 + 5 + 5 + 4);
    ck_assert_uint_eq(usage.dead_count, 1);
    ck_assert_uint_eq(usage.dead_bytes, 4);
    ck_assert_uint_eq(usage.unresolved_count, 1);
    ck_assert_uint_eq(usage.unresolved_bytes, 6);
    ck_assert_uint_eq(usage.foreign_count, CRN_TEST_JOB_FOREIGN);
    ck_assert_uint_eq(usage.foreign_bytes, 8 * CRN_TEST_JOB_FOREIGN);
    ck_assert_uint_eq(usage.missing_count, 0);
    ck_assert_uint_eq(usage.object_count, 4 + 6 + 1 + 1 + CRN_TEST_JOB_FOREIGN);
    ck_assert_uint_eq(usage.object_bytes, usage.manifest_bytes + usage.live_bytes +
                                              usage.dead_bytes + usage.unresolved_bytes +
                                              usage.foreign_bytes);
    crn_test_job_remove(&job, "shared/e1-c2-8.sst");
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), 0);
    ck_assert_uint_eq(usage.missing_count, 1);
    ck_assert_uint_eq(usage.live_count, 5);
    ck_assert_int_eq(cairn_job_usage(store, "payments", &usage, NULL), CAIRN_ENOTFOUND);
}
END_TEST

/* A full disk and a damaged manifest may come together: what is known is told, and what only the
 * damaged one could tell is not called dead (P5). */
START_TEST(usage_of_a_damaged_log_tells_what_is_known)
{
    cairn_usage usage = CAIRN_USAGE_INIT;
    crn_test_job_replace(&job, "MANIFEST-chk2", "damaged", 7);
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(usage.manifest_count, 4);
    ck_assert_uint_eq(usage.live_count, 4); /* of checkpoint 4 */
    ck_assert_uint_eq(usage.live_bytes, 5 + 5 + 5 + 4);
    ck_assert_uint_eq(usage.dead_count, 0);
    ck_assert_uint_eq(usage.unknown_count, 3); /* "left", and "beta" and "two" of checkpoint 2 */
    ck_assert_uint_eq(usage.unknown_bytes, 4 + 4 + 3);
    ck_assert_uint_eq(usage.unresolved_count, 1);
    ck_assert_uint_eq(usage.foreign_count, CRN_TEST_JOB_FOREIGN);

    crn_test_job_remove(&job, "MANIFEST-chk2");
    crn_test_job_remove(&job, "shared/e1-c4-11.sst");
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), CAIRN_EMISSING);
    ck_assert_uint_eq(usage.unknown_count, 3);
    ck_assert_uint_eq(usage.missing_count, 1);

    crn_test_job_put(&job, "shared/e1-c9-1.sst", "late", 4); /* the newest records are lost */
    ck_assert_int_lt(cairn_job_usage(store, "orders", &usage, NULL), 0);
    ck_assert_uint_eq(usage.unresolved_count, 0);
    ck_assert_uint_eq(usage.unknown_count, 5);

    static const char *const records[] = {"MANIFEST-chk1", "MANIFEST-chk3", "MANIFEST-chk4"};
    for (size_t i = 0; i < CRN_COUNT(records); i++)
        crn_test_job_remove(&job, records[i]);
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), CAIRN_EMISSING);
    ck_assert_uint_eq(usage.live_count, 0);
    ck_assert_uint_eq(usage.unknown_count, 8);
}
END_TEST

static void check_explained(const char *object, cairn_object_status status, uint64_t size,
                            uint64_t first, uint64_t second)
{
    cairn_explanation *explanation;
    ck_assert_int_eq(cairn_explain(store, "orders", object, &explanation, NULL), 0);
    const cairn_explanation_info *info = cairn_explanation_get(explanation);
    ck_assert_str_eq(info->object, object);
    ck_assert_int_eq(info->status, status);
    ck_assert_uint_eq(info->exists, 1);
    if (size > 0)
        ck_assert_uint_eq(info->size, size);
    ck_assert_uint_eq(info->reference_count, (first != 0) + (second != 0));
    ck_assert_uint_eq(cairn_explanation_reference(explanation, 0), first);
    ck_assert_uint_eq(cairn_explanation_reference(explanation, 1), second);
    ck_assert_uint_eq(cairn_explanation_reference(explanation, 2), 0);
    ck_assert_int_eq(info->file != NULL, status == CAIRN_OBJECT_LIVE);
    ck_assert_str_eq(info->operator_uid, status == CAIRN_OBJECT_LIVE ? "count" : "");
    if (info->file != NULL)
        ck_assert_str_eq(info->file->object, object);
    cairn_explanation_close(explanation);
}

START_TEST(an_object_is_explained)
{
    cairn_explanation *explanation;
    check_explained("shared/e1-c2-8.sst", CAIRN_OBJECT_LIVE, 5, 2, 4);
    check_explained("shared/e1-c2-9.sst", CAIRN_OBJECT_LIVE, 4, 2, 0);
    check_explained("shared/e1-c4-11.sst", CAIRN_OBJECT_LIVE, 5, 4, 0);
    check_explained("shared/e1-c3-30.sst", CAIRN_OBJECT_DEAD, 4, 0, 0);
    check_explained("shared/e1-c5-40.sst", CAIRN_OBJECT_UNRESOLVED, 6, 0, 0);
    check_explained("notes.txt", CAIRN_OBJECT_FOREIGN, 8, 0, 0);
    check_explained("MANIFEST-chk2", CAIRN_OBJECT_MANIFEST, 0, 2, 0);
    check_explained("MANIFEST-chk3", CAIRN_OBJECT_MANIFEST, 0, 0, 0);
    ck_assert_int_eq(cairn_explain(store, "orders", "shared/e1-c2-77.sst", &explanation, NULL),
                     CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_explain(store, "orders", "../x", &explanation, NULL), CAIRN_EINVAL);

    crn_test_job_remove(&job, "shared/e1-c2-8.sst");
    ck_assert_int_eq(cairn_explain(store, "orders", "shared/e1-c2-8.sst", &explanation, NULL), 0);
    ck_assert_int_eq(cairn_explanation_get(explanation)->exists, 0);
    ck_assert_int_eq(cairn_explanation_get(explanation)->status, CAIRN_OBJECT_LIVE);
    cairn_explanation_close(explanation);

    /* With a manifest unreadable, "nobody needs it" cannot be said. */
    crn_test_job_replace(&job, "MANIFEST-chk2", "damaged", 7);
    ck_assert_int_eq(cairn_explain(store, "orders", "shared/e1-c2-9.sst", &explanation, NULL),
                     CAIRN_ECORRUPT);
    check_explained("shared/e1-c4-11.sst", CAIRN_OBJECT_LIVE, 5, 4, 0);
}
END_TEST

static void check_trouble(const char *object, bool exists, cairn_object_status status,
                          const char *problem)
{
    cairn_explanation *explanation;
    ck_assert_int_eq(cairn_explain(store, "orders", object, &explanation, NULL), 0);
    const cairn_explanation_info *info = cairn_explanation_get(explanation);
    ck_assert_uint_eq(info->exists, exists);
    ck_assert_int_eq(info->status, status);
    ck_assert_ptr_nonnull(strstr(info->problem, problem));
    ck_assert_int_eq(*info->problem == 0, *problem == 0);
    cairn_explanation_close(explanation);
}

START_TEST(what_is_wrong_with_an_object_is_explained)
{
    cairn_explanation *explanation;
    check_trouble("shared/e1-c2-8.sst", true, CAIRN_OBJECT_LIVE, "");
    crn_test_job_replace(&job, "shared/e1-c2-8.sst", "al", 2);
    check_trouble("shared/e1-c2-8.sst", true, CAIRN_OBJECT_LIVE,
                  "its size is 2 bytes, the manifest says 5");
    crn_test_job_remove(&job, "shared/e1-c2-8.sst");
    check_trouble("shared/e1-c2-8.sst", false, CAIRN_OBJECT_LIVE, "missing");
    crn_test_job_replace(&job, "MANIFEST-chk3", "damaged", 7);
    check_trouble("MANIFEST-chk3", true, CAIRN_OBJECT_MANIFEST, "MANIFEST-chk3");
    /* A hole is known, however wide it is; what lies beyond the log is not. */
    crn_test_job_remove(&job, "MANIFEST-chk3");
    crn_test_job_remove(&job, "MANIFEST-chk2");
    check_trouble("MANIFEST-chk2", false, CAIRN_OBJECT_MANIFEST, "missing from the log");
    check_trouble("MANIFEST-chk3", false, CAIRN_OBJECT_MANIFEST, "missing from the log");
    check_trouble("MANIFEST-chk4", true, CAIRN_OBJECT_MANIFEST, "");
    /* With a record missing, nobody can say that an object was never there. */
    ck_assert_int_eq(cairn_explain(store, "orders", "shared/e1-c2-77.sst", &explanation, NULL),
                     CAIRN_EMISSING);
    ck_assert_int_eq(cairn_explain(store, "orders", "MANIFEST-chk5", &explanation, NULL),
                     CAIRN_EMISSING);
}
END_TEST

/* The first of the lost records at the log's top is what the job's error names. */
START_TEST(a_lost_newest_manifest_is_explained)
{
    cairn_explanation *explanation;
    cairn_error *error = NULL;
    ck_assert_int_eq(cairn_explain(store, "orders", "MANIFEST-chk5", &explanation, NULL),
                     CAIRN_ENOTFOUND);
    crn_test_job_put(&job, "shared/e1-c6-1.sst", "late", 4);
    ck_assert_int_eq(cairn_explain(store, "orders", "MANIFEST-chk5", &explanation, NULL), 0);
    const cairn_explanation_info *info = cairn_explanation_get(explanation);
    ck_assert_int_eq(info->status, CAIRN_OBJECT_MANIFEST);
    ck_assert_int_eq(info->exists, 0);
    ck_assert_ptr_nonnull(strstr(info->problem, "newest manifests are lost"));
    cairn_explanation_close(explanation);
    ck_assert_int_eq(cairn_explain(store, "orders", "shared/e1-c3-77.sst", &explanation, &error),
                     CAIRN_EMISSING);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "newest manifests are lost"));
    cairn_error_free(error);
}
END_TEST

START_TEST(two_snapshots_are_compared_by_object)
{
    static const struct {
        int change;
        uint32_t subtask;
        const char *name, *object;
    } expected[] = {
        {0, 0, "CURRENT", NULL},
        {-1, 0, "operator-state", NULL},
        {-1, 0, "MANIFEST-000005", "chk-2/e1-c2-1003-MANIFEST-000005"},
        {+1, 0, "MANIFEST-000005", "chk-4/e1-c4-1003-MANIFEST-000005"},
        {0, 0, "000008.sst", "shared/e1-c2-8.sst"},
        {-1, 0, "000009.sst", "shared/e1-c2-9.sst"},
        {+1, 0, "000011.sst", "shared/e1-c4-11.sst"},
        {0, 1, "000010.sst", "shared/e1-c2-10.sst"},
    };
    cairn_snapshot *two, *four;
    cairn_diff *diff;
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 2, &two, NULL), 0);
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 4, &four, NULL), 0);
    ck_assert_int_eq(cairn_diff_open(two, four, &diff, NULL), 0);
    ck_assert_uint_eq(cairn_diff_size(diff), CRN_COUNT(expected));
    for (size_t i = 0; i < CRN_COUNT(expected); i++) {
        const cairn_diff_entry *entry = cairn_diff_at(diff, i);
        ck_assert_int_eq(entry->change, expected[i].change);
        ck_assert_str_eq(entry->operator_uid, "count");
        ck_assert_uint_eq(entry->subtask, expected[i].subtask);
        ck_assert_str_eq(entry->file->name, expected[i].name);
        ck_assert_pstr_eq(entry->file->object, expected[i].object);
    }
    ck_assert_ptr_null(cairn_diff_at(diff, CRN_COUNT(expected)));
    cairn_diff_close(diff);
    ck_assert_int_eq(cairn_diff_open(four, four, &diff, NULL), 0);
    for (size_t i = 0; i < cairn_diff_size(diff); i++)
        ck_assert_int_eq(cairn_diff_at(diff, i)->change, 0);
    cairn_diff_close(diff);
    cairn_snapshot_close(two);
    cairn_snapshot_close(four);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inspect");
    TCase *tcase = tcase_create("inspect");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, jobs_are_directories_with_manifests);
    tcase_add_test(tcase, a_directory_without_manifests_is_told_from_a_lost_log);
    tcase_add_test(tcase, a_log_shows_every_id_and_what_it_holds_alone);
    tcase_add_test(tcase, a_log_remembers_what_was_subsumed);
    tcase_add_test(tcase, a_snapshot_gives_what_its_manifest_has);
    tcase_add_test(tcase, usage_puts_every_object_in_one_class);
    tcase_add_test(tcase, usage_of_a_damaged_log_tells_what_is_known);
    tcase_add_test(tcase, an_object_is_explained);
    tcase_add_test(tcase, what_is_wrong_with_an_object_is_explained);
    tcase_add_test(tcase, a_lost_newest_manifest_is_explained);
    tcase_add_test(tcase, two_snapshots_are_compared_by_object);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
