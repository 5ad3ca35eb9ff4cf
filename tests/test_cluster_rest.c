/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes of a job have told one another, at rest. Proves that it is collected when nobody
 * can need it any more, and not before (P5, P6): a collection leaves the posts of the newest epoch
 * and of the one before, and the newest one's mails; that it never counts as an object of a
 * checkpoint, whatever epoch it claims, so that no log looks lost by it; and that whoever counts or
 * explains objects says what it is.
 */
#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "cairn/inspect.h"
#include "engine/log/joblog.h"
#include "manifest/cluster.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <string.h>

static cairn_store *store;
static struct crn_test_job job;

static const uint8_t worker[16] = {0xab, 0xcd};

static void put_post(uint64_t epoch, uint64_t number)
{
    char key[CRN_KEY_MAX];
    crn_key_post(key, epoch, number);
    crn_test_job_put(&job, key, "post", 4);
}

static void put_mail(uint64_t epoch, uint64_t number)
{
    char key[CRN_KEY_MAX];
    crn_key_mail(key, epoch, worker, number);
    crn_test_job_put(&job, key, "mail!", 5);
}

/* The job with one of everything, and boards of epochs 1 to 6; its log has come to epoch 4. */
static void open_all(void)
{
    cairn_store *memory;
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(memory, &store, NULL), 0);
    crn_test_job_write(&job, store, "orders");
    crn_test_job_remove(&job, "shared/e1-c5-40.sst"); /* nothing is in flight */
    job.epoch = 4;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    for (uint64_t epoch = 1; epoch <= 6; epoch++)
        for (uint64_t number = 1; number <= 2; number++) {
            put_post(epoch, number);
            put_mail(epoch, number);
        }
}

static void close_all(void)
{
    crn_test_job_done(&job);
    store->ops->close(store);
}

static bool has_post(uint64_t epoch, uint64_t number)
{
    char key[CRN_KEY_MAX];
    crn_key_post(key, epoch, number);
    return crn_test_job_has(&job, key);
}

static bool has_mail(uint64_t epoch, uint64_t number)
{
    char key[CRN_KEY_MAX];
    crn_key_mail(key, epoch, worker, number);
    return crn_test_job_has(&job, key);
}

static void check_in_use(void)
{
    for (uint64_t epoch = 3; epoch <= 6; epoch++)
        for (uint64_t number = 1; number <= 2; number++) {
            ck_assert(has_post(epoch, number));
            ck_assert(epoch < 4 || has_mail(epoch, number));
        }
}

static void check_collected(void)
{
    check_in_use();
    for (uint64_t epoch = 1; epoch <= 3; epoch++)
        for (uint64_t number = 1; number <= 2; number++) {
            ck_assert(epoch >= 3 || !has_post(epoch, number));
            ck_assert(!has_mail(epoch, number));
        }
}

static int collect(const cairn_gc_options *options, cairn_gc_report *report)
{
    cairn_error *error = NULL;
    const int r = cairn_gc(store, "orders", options, report, &error);
    ck_assert_int_eq(r, cairn_error_code(error));
    cairn_error_free(error);
    return r;
}

/* 2 epochs' posts and 3 epochs' mails, two of each; and the table of the aborted checkpoint. */
#define DEAD_COUNT (2 * 2 + 3 * 2 + 1)
#define DEAD_BYTES (2 * 2 * 4 + 3 * 2 * 5 + 4)
#define IN_USE_COUNT (4 * 2 + 3 * 2)
#define IN_USE_BYTES (4 * 2 * 4 + 3 * 2 * 5)

START_TEST(what_nobody_can_need_goes)
{
    open_all();
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    ck_assert_int_eq(collect(NULL, &report), 0);
    ck_assert_uint_eq(report.removed_count, DEAD_COUNT);
    ck_assert_uint_eq(report.removed_bytes, DEAD_BYTES);
    check_collected();
    ck_assert_int_eq(collect(NULL, &report), 0);
    ck_assert_uint_eq(report.removed_count, 0);

    /* The next epoch comes: one more board dies. */
    job.epoch = 5;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    ck_assert_int_eq(collect(NULL, &report), 0);
    ck_assert_uint_eq(report.removed_count, 2 + 2);
    ck_assert(!has_post(3, 1) && has_post(4, 1) && !has_mail(4, 1) && has_mail(5, 1));
    close_all();
}
END_TEST

START_TEST(a_dry_run_only_tells)
{
    open_all();
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    options.dry_run = 1;
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    ck_assert_int_eq(collect(&options, &report), 0);
    CRN_AUTO_FREE char *after = crn_test_job_listing(&job);
    ck_assert_uint_eq(report.removed_count, DEAD_COUNT);
    ck_assert_str_eq(before, after);
    close_all();
}
END_TEST

/* Cut short anywhere, it leaves alone what is in use, and the next one ends it. */
START_TEST(a_collection_may_fail_anywhere)
{
    for (uint64_t k = 1, fired = 1; fired; k++) {
        open_all();
        const struct crn_fault_plan plan = {
            .ops = CRN_FAULT_ANY, .mode = CRN_FAULT_SHORT, .at = k, .code = CAIRN_EIO};
        crn_fault_store_arm(store, &plan);
        (void)collect(NULL, NULL);
        fired = crn_fault_store_fired(store);
        crn_fault_store_arm(store, &(struct crn_fault_plan){0});
        check_in_use();
        ck_assert_int_eq(collect(NULL, NULL), 0);
        check_collected();
        close_all();
    }
}
END_TEST

/* A log whose newest records cannot be read may have come to any epoch. */
START_TEST(of_a_damaged_log_nothing_goes)
{
    open_all();
    crn_test_job_replace(&job, "MANIFEST-chk4", "damaged", 7);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_assert_int_eq(collect(NULL, NULL), CAIRN_ECORRUPT);
    CRN_AUTO_FREE char *after = crn_test_job_listing(&job);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(usage.dead_count, 0);
    ck_assert_uint_ge(usage.unknown_count, DEAD_COUNT);
    ck_assert_uint_eq(usage.cluster_count, IN_USE_COUNT);
    close_all();
}
END_TEST

START_TEST(it_is_counted_and_explained)
{
    open_all();
    static const struct {
        const char *key;
        cairn_object_status status;
    } expected[] = {
        {"cluster/e2/post-1", CAIRN_OBJECT_DEAD},
        {"cluster/e3/post-1", CAIRN_OBJECT_CLUSTER},
        {"cluster/e6/post-2", CAIRN_OBJECT_CLUSTER},
        {"cluster/e3/mail-abcd0000000000000000000000000000-1", CAIRN_OBJECT_DEAD},
        {"cluster/e4/mail-abcd0000000000000000000000000000-1", CAIRN_OBJECT_CLUSTER},
        {"cluster/notes", CAIRN_OBJECT_FOREIGN},
    };
    cairn_usage usage = CAIRN_USAGE_INIT;
    crn_test_job_put(&job, "cluster/notes", "x", 1);
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), 0);
    ck_assert_uint_eq(usage.cluster_count, IN_USE_COUNT);
    ck_assert_uint_eq(usage.cluster_bytes, IN_USE_BYTES);
    ck_assert_uint_eq(usage.dead_count, DEAD_COUNT);
    ck_assert_uint_eq(usage.dead_bytes, DEAD_BYTES);
    ck_assert_uint_eq(usage.foreign_count, CRN_TEST_JOB_FOREIGN + 1);
    ck_assert_uint_eq(usage.unresolved_count, 0);
    ck_assert_uint_eq(usage.object_count, usage.cluster_count + usage.dead_count +
                                              usage.foreign_count + usage.live_count +
                                              usage.manifest_count);
    for (size_t i = 0; i < CRN_COUNT(expected); i++) {
        cairn_explanation *explanation;
        ck_assert_int_eq(cairn_explain(store, "orders", expected[i].key, &explanation, NULL), 0);
        const cairn_explanation_info *info = cairn_explanation_get(explanation);
        ck_assert_msg(info->status == expected[i].status, "%s", expected[i].key);
        ck_assert_uint_eq(info->exists, 1);
        ck_assert_uint_eq(info->reference_count, 0);
        ck_assert_str_eq(info->problem, "");
        cairn_explanation_close(explanation);
    }
    close_all();
}
END_TEST

/* An older program's struct ends before the new fields. */
START_TEST(older_programs_count_as_before)
{
    open_all();
    struct {
        cairn_usage usage;
        uint64_t guard;
    } old = {.guard = 4711};
    old.usage.struct_size = offsetof(cairn_usage, cluster_count);
    old.usage.cluster_count = 99;
    ck_assert_int_eq(cairn_job_usage(store, "orders", &old.usage, NULL), 0);
    ck_assert_uint_eq(old.usage.dead_count, DEAD_COUNT);
    ck_assert_uint_eq(old.usage.cluster_count, 99);
    ck_assert_uint_eq(old.guard, 4711);
    close_all();
}
END_TEST

/* Objects of a higher epoch than the log knows show that its top is lost; messages do not. */
START_TEST(a_log_is_not_lost_by_messages)
{
    open_all();
    struct crn_joblog_objects objects;
    CRN_CLEANUP(crn_joblog_done) struct crn_joblog log = {0};
    put_post(4000, 1);
    put_mail(4000, UINT64_MAX);
    ck_assert_int_eq(crn_joblog_look(store, "orders", &objects, NULL), 0);
    ck_assert_uint_eq(objects.epoch, 1);
    ck_assert_int_eq(crn_joblog_read_judged(store, "orders", &log, NULL), 0);
    ck_assert(!log.lost_top);
    ck_assert_int_eq(crn_joblog_require_whole(&log, NULL), 0);
    close_all();
}
END_TEST

START_TEST(messages_alone_are_no_job)
{
    open_all();
    struct crn_test_job alone;
    cairn_log *opened = NULL;
    bool is_lost = true;
    crn_test_job_init(&alone, store, "alone");
    crn_test_job_put(&alone, "cluster/e1/post-1", "post", 4);
    ck_assert_int_eq(crn_joblog_find_lost(store, "alone", &is_lost, NULL), 0);
    ck_assert(!is_lost);
    ck_assert_int_eq(cairn_log_open(store, "alone", &opened, NULL), CAIRN_ENOTFOUND);
    crn_test_job_done(&alone);
    close_all();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_rest");
    TCase *c = tcase_create("rest");
    tcase_set_timeout(c, 30);
    tcase_add_test(c, what_nobody_can_need_goes);
    tcase_add_test(c, a_dry_run_only_tells);
    tcase_add_test(c, a_collection_may_fail_anywhere);
    tcase_add_test(c, of_a_damaged_log_nothing_goes);
    tcase_add_test(c, it_is_counted_and_explained);
    tcase_add_test(c, older_programs_count_as_before);
    tcase_add_test(c, a_log_is_not_lost_by_messages);
    tcase_add_test(c, messages_alone_are_no_job);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
