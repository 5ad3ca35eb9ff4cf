/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Savepoints at rest. A savepoint's directory is read by the same calls as a job's, whole or
 * damaged; the log of the job that took it shows where it was written; a collection leaves both
 * alone, and settles what an attempt that died had begun elsewhere (P5, P6). What an incarnation
 * was started from is told, and for how long it is needed.
 */
#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/inspect.h"
#include "engine/log/joblog.h"
#include "engine/savepoint/directory.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

#define NAME "savepoint-orders-6"
#define LOCATION "file:///mnt/savepoints/" NAME

static char root[64];
static cairn_store *store; /* faults around a directory */
static struct crn_test_job job, saved;

static void setup(void)
{
    const char *base = getenv("TMPDIR");
    char path[96];
    cairn_store *inner;
    (void)snprintf(root, sizeof root, "%s/cairn-at-rest-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/store", root);
    ck_assert_int_eq(crn_posix_store_open(path, CRN_TRANSFER_AUTO, true, &inner, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(inner, &store, NULL), 0);
    crn_test_job_write(&job, store, "orders");
    crn_test_savepoint_write(&saved, store, NAME, 6);
}

static void teardown(void)
{
    crn_test_job_done(&job);
    crn_test_job_done(&saved);
    store->ops->close(store);
    ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
}

/* Id 5 of the job. */
static void commit_pointer(void)
{
    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_SAVEPOINT);
    record->info.format = CAIRN_NATIVE;
    ck_assert_int_eq(crn_record_set_text(&record->info.location, LOCATION), 0);
    crn_test_job_commit(&job, record);
}

static int verify(const char *name, uint64_t id, cairn_verify_report *report)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    options.id = id;
    options.full = 1;
    options.threads = 1;
    return cairn_verify(store, name, &options, report, NULL);
}

/* --- in the job's log --- */

START_TEST(a_pointer_says_where_the_savepoint_is)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_snapshot *snapshot;
    cairn_log *log;
    commit_pointer();
    ck_assert_int_eq(cairn_log_open(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(cairn_log_size(log), 5);
    const cairn_record_info *info = cairn_log_at(log, 4);
    ck_assert_int_eq(info->kind, CAIRN_RECORD_SAVEPOINT);
    ck_assert_int_eq(info->state, CAIRN_STATE_SAVEPOINT);
    ck_assert_int_eq(info->format, CAIRN_NATIVE);
    ck_assert_str_eq(info->location, LOCATION);
    ck_assert_uint_eq(info->full_bytes, 0);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_str_eq(cairn_log_at(log, i)->location, i < 4 ? "" : LOCATION);
        ck_assert_str_eq(cairn_log_at(log, i)->source_location, "");
        ck_assert_str_eq(cairn_log_at(log, i)->source_job, "");
    }
    cairn_log_close(log);
    /* it is not what is restored from */
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 5, &snapshot, &error), CAIRN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), LOCATION));
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 0, &snapshot, NULL), 0);
    ck_assert_uint_eq(cairn_snapshot_record(snapshot)->id, 4);
    cairn_snapshot_close(snapshot);
    ck_assert_int_eq(verify("orders", 5, NULL), CAIRN_ENOTFOUND);
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    ck_assert_int_eq(verify("orders", 0, &report), 0);
    ck_assert_uint_eq(report.checkpoints, 2);
}
END_TEST

START_TEST(a_pointer_is_remembered_and_its_directory_stays)
{
    cairn_log *log;
    commit_pointer();
    job.log_start = 6;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_CHECKPOINT);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&saved);
    ck_assert_int_eq(cairn_gc(store, "orders", NULL, NULL, NULL), 0);
    ck_assert(!crn_test_job_has(&job, "MANIFEST-chk5"));
    CRN_AUTO_FREE char *after = crn_test_job_listing(&saved);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(cairn_log_open(store, "orders", &log, NULL), 0);
    const cairn_record_info *info = cairn_log_at(log, cairn_log_size(log) - 2);
    ck_assert_uint_eq(info->id, 5);
    ck_assert_int_eq(info->state, CAIRN_STATE_SAVEPOINT);
    ck_assert_str_eq(info->location, LOCATION);
    ck_assert_int_eq(info->format, CAIRN_NATIVE);
    cairn_log_close(log);
}
END_TEST

static void set_source(struct crn_record *record)
{
    record->info.source_id = 90;
    record->info.source_uuid[0] = 9;
    record->info.source_mode = CAIRN_NO_CLAIM;
    ck_assert_int_eq(crn_record_set_text(&record->info.source_job, "old-orders"), 0);
    ck_assert_int_eq(crn_record_set_text(&record->info.source_location, "s3://archive/90"), 0);
}

/* Which ids of the log need their source: a bit for each. */
static unsigned needing(void)
{
    cairn_log *log;
    unsigned bits = 0;
    ck_assert_int_eq(cairn_log_open(store, "orders", &log, NULL), 0);
    for (size_t i = 0; i < cairn_log_size(log); i++)
        if (cairn_log_at(log, i)->source_needed)
            bits |= 1u << cairn_log_at(log, i)->id;
    cairn_log_close(log);
    return bits;
}

START_TEST(a_source_is_needed_until_a_checkpoint_is_complete)
{
    static const cairn_record_kind kinds[] = {CAIRN_RECORD_FENCE, CAIRN_RECORD_ABORTED};
    cairn_log *log;
    ck_assert_uint_eq(needing(), 0);
    job.epoch = 2;
    for (size_t i = 0; i < CRN_COUNT(kinds); i++) {
        struct crn_record *record = crn_test_job_record(&job, kinds[i]);
        set_source(record);
        crn_test_job_commit(&job, record);
    }
    ck_assert_uint_eq(needing(), 1u << 5 | 1u << 6); /* checkpoints 2 and 4 are of another epoch */
    ck_assert_int_eq(cairn_log_open(store, "orders", &log, NULL), 0);
    const cairn_record_info *info = cairn_log_at(log, 4);
    ck_assert_str_eq(info->source_location, "s3://archive/90");
    ck_assert_str_eq(info->source_job, "old-orders");
    ck_assert_uint_eq(info->source_id, 90);
    ck_assert_int_eq(info->source_mode, CAIRN_NO_CLAIM);
    cairn_log_close(log);

    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    set_source(record);
    crn_test_job_commit(&job, record);
    ck_assert_uint_eq(needing(), 0);
}
END_TEST

/* Another start, from the job's own checkpoint: nobody goes back to that source. */
START_TEST(the_source_of_an_earlier_incarnation_is_not_needed)
{
    job.epoch = 2;
    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_FENCE);
    set_source(record);
    crn_test_job_commit(&job, record);
    job.epoch = 3;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    ck_assert_uint_eq(needing(), 0);
}
END_TEST

/* --- in its own directory --- */

START_TEST(its_directory_is_read_as_a_jobs)
{
    char **names;
    size_t count;
    cairn_log *log;
    cairn_snapshot *snapshot;
    cairn_explanation *explanation;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[1], NAME);
    cairn_names_free(names, count);
    ck_assert_int_eq(cairn_log_open(store, NAME, &log, NULL), 0);
    ck_assert_uint_eq(cairn_log_size(log), 1);
    ck_assert_int_eq(cairn_log_at(log, 0)->state, CAIRN_STATE_COMPLETE);
    ck_assert_str_eq(cairn_log_at(log, 0)->location, "");
    ck_assert_uint_eq(cairn_log_at(log, 0)->full_bytes, 5 + 4 + 5 + 16);
    cairn_log_close(log);
    for (uint64_t id = 0; id <= 6; id += 6) {
        ck_assert_int_eq(cairn_snapshot_open(store, NAME, id, &snapshot, NULL), 0);
        ck_assert_uint_eq(cairn_snapshot_record(snapshot)->id, 6);
        ck_assert_str_eq(cairn_snapshot_operator(snapshot, 0)->uid, "count");
        ck_assert_str_eq(cairn_snapshot_file(snapshot, 0, 0, 0)->object,
                         "chk-6/e1-c6-8-000008.sst");
        cairn_snapshot_close(snapshot);
        ck_assert_int_eq(verify(NAME, id, &report), 0);
        ck_assert_uint_eq(report.checkpoints, 1);
        ck_assert_uint_eq(report.objects, 4);
        ck_assert_uint_eq(report.newest_whole_id, 6);
    }
    ck_assert_int_eq(cairn_job_usage(store, NAME, &usage, NULL), 0);
    ck_assert_uint_eq(usage.live_count, 3);
    ck_assert_uint_eq(usage.manifest_count, 1);
    ck_assert_uint_eq(usage.object_count, 4);
    static const char *const needed[] = {"MANIFEST-chk6", "chk-6/e1-c6-8-000008.sst"};
    for (size_t i = 0; i < CRN_COUNT(needed); i++) {
        ck_assert_int_eq(cairn_explain(store, NAME, needed[i], &explanation, NULL), 0);
        ck_assert_uint_eq(cairn_explanation_reference(explanation, 0), 6);
        cairn_explanation_close(explanation);
    }
}
END_TEST

START_TEST(its_damage_is_found)
{
    crn_test_job_replace(&saved, "chk-6/e1-c6-9-000009.sst", "bete", 4);
    ck_assert_int_eq(verify(NAME, 0, NULL), CAIRN_ECORRUPT);
    crn_test_job_remove(&saved, "chk-6/e1-c6-9-000009.sst");
    ck_assert_int_eq(verify(NAME, 6, NULL), CAIRN_EMISSING);
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_assert_int_eq(cairn_job_usage(store, NAME, &usage, NULL), 0);
    ck_assert_uint_eq(usage.missing_count, 1);
}
END_TEST

START_TEST(it_is_restored_as_a_checkpoint_is)
{
    char dir[96], file[160];
    uint8_t *data;
    size_t size;
    cairn_restore_report report = CAIRN_RESTORE_REPORT_INIT;
    (void)snprintf(dir, sizeof dir, "%s/restored", root);
    ck_assert_int_eq(cairn_restore_to(store, NAME, dir, NULL, &report, NULL), 0);
    ck_assert_uint_eq(report.id, 6);
    ck_assert_uint_eq(report.files, 4);
    (void)snprintf(file, sizeof file, "%s/count-0/000008.sst", dir);
    ck_assert_int_eq(crn_file_read_all(file, 100, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, 5);
    ck_assert_mem_eq(data, "alpha", 5);
    free(data);
}
END_TEST

START_TEST(it_can_be_named_by_its_manifest)
{
    static const char *const forms[] = {
        "%s/store/" NAME, "%s/store/" NAME "/", "%s/store/" NAME "/MANIFEST-chk6",
        "file://%s/store/" NAME "/MANIFEST-chk6", "%s/store/" NAME "/MANIFEST-chk6?transfer=copy"};
    for (size_t i = 0; i < CRN_COUNT(forms); i++) {
        CRN_AUTO_FREE char *job_name = NULL;
        char uri[160];
        cairn_store *opened = NULL;
        cairn_snapshot *snapshot;
        uint64_t id = UINT64_MAX;
        const char *rest = strstr(forms[i], "%s") + 2;
        (void)snprintf(uri, sizeof uri, "%.*s%s%s", (int)(rest - forms[i] - 2), forms[i], root,
                       rest);
        ck_assert_msg(cairn_store_open_existing(uri, &opened, &job_name, &id, NULL) == 0, "%s",
                      uri);
        ck_assert_pstr_eq(job_name, NAME);
        ck_assert_uint_eq(id, strstr(uri, "MANIFEST") != NULL ? 6 : 0);
        ck_assert_int_eq(cairn_snapshot_open(opened, job_name, 0, &snapshot, NULL), 0);
        cairn_snapshot_close(snapshot);
        cairn_store_close(opened);
    }
    static const char *const wrong[] = {"MANIFEST-chk06", "chk-6/e1-c6-8-000008.sst"};
    for (size_t i = 0; i < CRN_COUNT(wrong); i++) {
        char *job_name = NULL;
        char uri[160];
        cairn_store *opened = NULL;
        (void)snprintf(uri, sizeof uri, "%s/store/" NAME "/%s", root, wrong[i]);
        ck_assert_int_lt(cairn_store_open_existing(uri, &opened, &job_name, NULL, NULL), 0);
    }
}
END_TEST

/* As in a bucket, where nobody looks: what it names is not there. */
START_TEST(a_manifest_that_is_not_there_is_still_a_name)
{
    CRN_AUTO_FREE char *job_name = NULL;
    char uri[160];
    cairn_store *opened = NULL;
    cairn_snapshot *snapshot;
    uint64_t id = 0;
    (void)snprintf(uri, sizeof uri, "%s/store/" NAME "/MANIFEST-chk7", root);
    ck_assert_int_eq(cairn_store_open_existing(uri, &opened, &job_name, &id, NULL), 0);
    ck_assert_pstr_eq(job_name, NAME);
    ck_assert_uint_eq(id, 7);
    ck_assert_int_eq(cairn_snapshot_open(opened, job_name, id, &snapshot, NULL), CAIRN_ENOTFOUND);
    cairn_store_close(opened);
}
END_TEST

/* --- garbage --- */

START_TEST(it_is_not_collected)
{
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    crn_test_job_put(&saved, "chk-7/e1-c7-1", "of a later id", 13);
    crn_test_job_put(&saved, "chk-6/e1-c6-77", "not referenced", 14);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&saved);
    for (int dry = 0; dry <= 1; dry++) {
        options.dry_run = (uint8_t)dry;
        ck_assert_int_eq(cairn_gc(store, NAME, &options, NULL, NULL), CAIRN_EINVAL);
    }
    CRN_AUTO_FREE char *after = crn_test_job_listing(&saved);
    ck_assert_str_eq(before, after);
}
END_TEST

/* An attempt at id 5 put an intent and two objects into a directory beside the job, and died. */
static char *begin_savepoint(struct crn_test_job *begun, const char *location)
{
    char *key = NULL;
    ck_assert_int_eq(
        crn_intent_put(store, "orders", 1, 5, 90, location, "savepoint-orders-5", &key, NULL), 0);
    if (begun != NULL) {
        crn_test_job_init(begun, store, "savepoint-orders-5");
        crn_test_job_put(begun, "chk-5/e1-c5-1-000008.sst", "half", 4);
        crn_test_job_put(begun, "chk-5/e1-c5-2-CURRENT", "half", 4);
        crn_test_job_put(begun, "README", "theirs", 6);
    }
    return key;
}

START_TEST(what_an_attempt_began_is_settled)
{
    struct crn_test_job begun;
    CRN_AUTO_FREE char *intent = begin_savepoint(&begun, "");
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    options.dry_run = 1;
    ck_assert_int_eq(cairn_gc(store, "orders", &options, NULL, NULL), 0);
    options.dry_run = 0;
    options.keep_unresolved = 1;
    ck_assert_int_eq(cairn_gc(store, "orders", &options, NULL, NULL), 0);
    ck_assert(crn_test_job_has(&begun, "chk-5/e1-c5-2-CURRENT")); /* it may be in flight */
    ck_assert(crn_test_job_has(&job, intent));
    options.keep_unresolved = 0;
    ck_assert_int_eq(cairn_gc(store, "orders", &options, &report, NULL), 0);
    ck_assert_uint_eq(report.removed_count, 1 + 1 + 2); /* flying, the intent, what it had begun */
    ck_assert(!crn_test_job_has(&job, intent));
    CRN_AUTO_FREE char *left = crn_test_job_listing(&begun);
    ck_assert_str_eq(left, "README\n");
    ck_assert_int_eq(verify("orders", 0, NULL), 0);
    ck_assert_int_eq(verify(NAME, 0, NULL), 0);
}
END_TEST

START_TEST(a_complete_savepoint_survives_its_intent)
{
    char *key = NULL;
    CRN_AUTO_FREE char *before = crn_test_job_listing(&saved);
    commit_pointer(); /* 5 */
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    ck_assert_int_eq(crn_intent_put(store, "orders", 1, 6, 90, "", NAME, &key, NULL), 0);
    ck_assert_int_eq(cairn_gc(store, "orders", NULL, NULL, NULL), 0);
    ck_assert(!crn_test_job_has(&job, key));
    CRN_AUTO_FREE char *after = crn_test_job_listing(&saved);
    ck_assert_str_eq(before, after);
    free(key);
}
END_TEST

/* Something else goes on, the intent stays, and once the target answers it goes. */
START_TEST(an_intent_that_cannot_be_settled_stays)
{
    char uri[128], blocked[192];
    (void)snprintf(uri, sizeof uri, "%s/target", root);
    ck_assert_int_eq(crn_file_write_new(uri, "no directory", 12, false, NULL), 0);
    CRN_AUTO_FREE char *intent = begin_savepoint(NULL, uri);
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    ck_assert_int_lt(cairn_gc(store, "orders", NULL, &report, NULL), 0);
    ck_assert(crn_test_job_has(&job, intent));
    ck_assert(!crn_test_job_has(&job, "shared/e1-c3-30.sst")); /* other garbage went */
    ck_assert(!crn_test_job_has(&job, "shared/e1-c5-40.sst"));

    ck_assert_int_eq(crn_file_remove_tree(uri, NULL), 0);
    (void)snprintf(blocked, sizeof blocked, "%s/savepoint-orders-5/chk-5", uri);
    ck_assert_int_eq(crn_file_make_dirs(blocked, NULL), 0);
    (void)snprintf(blocked, sizeof blocked, "%s/savepoint-orders-5/chk-5/e1-c5-1", uri);
    ck_assert_int_eq(crn_file_write_new(blocked, "half", 4, false, NULL), 0);
    ck_assert_int_eq(cairn_gc(store, "orders", NULL, &report, NULL), 0);
    ck_assert(!crn_test_job_has(&job, intent));
    (void)snprintf(blocked, sizeof blocked, "%s/savepoint-orders-5", uri);
    ck_assert(!crn_file_is_dir(blocked));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("savepoints at rest");
    TCase *c = tcase_create("at rest");
    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_pointer_says_where_the_savepoint_is);
    tcase_add_test(c, a_pointer_is_remembered_and_its_directory_stays);
    tcase_add_test(c, a_source_is_needed_until_a_checkpoint_is_complete);
    tcase_add_test(c, the_source_of_an_earlier_incarnation_is_not_needed);
    tcase_add_test(c, its_directory_is_read_as_a_jobs);
    tcase_add_test(c, its_damage_is_found);
    tcase_add_test(c, it_is_restored_as_a_checkpoint_is);
    tcase_add_test(c, it_can_be_named_by_its_manifest);
    tcase_add_test(c, a_manifest_that_is_not_there_is_still_a_name);
    tcase_add_test(c, it_is_not_collected);
    tcase_add_test(c, what_an_attempt_began_is_settled);
    tcase_add_test(c, a_complete_savepoint_survives_its_intent);
    tcase_add_test(c, an_intent_that_cannot_be_settled_stays);
    suite_add_tcase(suite, c);
    return crn_test_run(suite);
}
