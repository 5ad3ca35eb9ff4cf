/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves verification and restores at rest, over a job written by hand whose every byte is known:
 * that a flipped bit or a missing byte in any stored object is found by both, under the object's
 * own name, and by no checkpoint that does not need it (P8); that a restore is whole under its name
 * or not there (M19), and that nothing but the collector changes the store.
 */

#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/transfer/fetch.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[64]; /* a directory of the running test */
static cairn_store *store;
static struct crn_test_job job;

static void setup(void)
{
    cairn_store *posix;
    char path[96];
    (void)strcpy(root, "/tmp/cairn-rest-XXXXXX");
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

static const char *in_root(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

/* --- verify --- */

struct problems {
    unsigned count;
    uint64_t id;
    int code;
    char object[256];
    uint64_t affected[4]; /* by the last problem */
    size_t affected_count;
    uint64_t whole; /* bit N: checkpoint N is */
    uint64_t damaged;
};

static void note_problem(void *context, uint64_t id, const cairn_error *error)
{
    struct problems *problems = context;
    problems->count++;
    problems->id = id;
    problems->code = cairn_error_code(error);
    (void)snprintf(problems->object, sizeof problems->object, "%s", cairn_error_object(error));
}

static void note_affected(void *context, const uint64_t *ids, size_t count,
                          const cairn_error *error)
{
    struct problems *problems = context;
    ck_assert_uint_le(count, CRN_COUNT(problems->affected));
    memcpy(problems->affected, ids, count * sizeof *ids);
    problems->affected_count = count;
    ck_assert_uint_eq(ids[count - 1], problems->id);
    ck_assert_int_eq(cairn_error_code(error), problems->code);
}

static void note_verdict(void *context, uint64_t id, int is_whole)
{
    struct problems *problems = context;
    uint64_t bit = UINT64_C(1) << id;
    ck_assert_uint_lt(problems->whole | problems->damaged, bit); /* ascending */
    *(is_whole ? &problems->whole : &problems->damaged) |= bit;
}

static int verify(uint64_t id, bool full, struct problems *problems, cairn_verify_report *report)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_error *error = NULL;
    *problems = (struct problems){0};
    options.id = id;
    options.full = full;
    options.threads = 2;
    options.problem = note_problem;
    options.affected = note_affected;
    options.verdict = note_verdict;
    options.context = problems;
    int r = cairn_verify(store, "orders", &options, report, &error);
    ck_assert_int_eq(r, cairn_error_code(error));
    if (r < 0 && problems->count == 1)
        ck_assert_str_eq(cairn_error_object(error), problems->object);
    cairn_error_free(error);
    return r;
}

static uint64_t manifest_bytes(uint64_t id)
{
    cairn_snapshot *snapshot;
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", id, &snapshot, NULL), 0);
    uint64_t bytes = cairn_snapshot_record(snapshot)->manifest_bytes;
    cairn_snapshot_close(snapshot);
    return bytes;
}

START_TEST(a_sound_store_verifies)
{
    struct problems problems;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    cairn_usage usage = CAIRN_USAGE_INIT;
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), 0);
    ck_assert_int_eq(verify(0, true, &problems, &report), 0);
    ck_assert_uint_eq(report.checkpoints, 2);
    ck_assert_uint_eq(report.objects, 2 + usage.live_count); /* shared ones once */
    ck_assert_uint_gt(report.bytes_checked, usage.live_bytes);
    ck_assert_uint_eq(report.bytes_covered,
                      manifest_bytes(2) + manifest_bytes(4) + usage.live_bytes);
    ck_assert_uint_eq(report.problems, 0);
    ck_assert_uint_eq(report.whole, 2);
    ck_assert_uint_eq(report.newest_whole_id, 4);
    ck_assert_uint_eq(problems.whole, 1u << 2 | 1u << 4);
    ck_assert_int_eq(verify(0, false, &problems, &report), 0);
    ck_assert_uint_eq(report.objects, 2 + usage.live_count);
    ck_assert_uint_eq(report.bytes_checked, manifest_bytes(2) + manifest_bytes(4));
    ck_assert_uint_eq(report.bytes_covered, report.bytes_checked + usage.live_bytes);
    ck_assert_int_eq(verify(2, true, &problems, &report), 0);
    ck_assert_uint_eq(report.checkpoints, 1);
    ck_assert_uint_eq(report.objects, 1 + 4);
    ck_assert_int_eq(verify(3, true, &problems, &report), CAIRN_ENOTFOUND);
    ck_assert_int_eq(verify(5, true, &problems, &report), CAIRN_ENOTFOUND);
    CRN_AUTO_FREE char *after = crn_test_job_listing(&job);
    ck_assert_str_eq(before, after);
}
END_TEST

static const struct {
    const char *object;
    uint64_t first, newest; /* checkpoints that need it */
} objects[] = {
    {"shared/e1-c2-8.sst", 2, 4},  {"shared/e1-c2-9.sst", 2, 2},
    {"shared/e1-c2-10.sst", 2, 4}, {"chk-2/e1-c2-1003-MANIFEST-000005", 2, 2},
    {"shared/e1-c4-11.sst", 4, 4}, {"chk-4/e1-c4-1003-MANIFEST-000005", 4, 4},
};

static int restore(uint64_t id, bool link, cairn_error **reterr)
{
    cairn_restore_options options = CAIRN_RESTORE_OPTIONS_INIT;
    options.id = id;
    options.link = link;
    options.threads = 2;
    return cairn_restore_to(store, "orders", in_root("restored"), &options, NULL, reterr);
}

/* What a checkpoint says when one of its objects is bad; and that nothing of it stays behind. */
static void check_restore_fails(uint64_t id, bool link, int code, const char *object)
{
    cairn_error *error = NULL;
    ck_assert_int_eq(restore(id, link, &error), code);
    ck_assert_str_eq(cairn_error_object(error), object);
    cairn_error_free(error);
    struct stat stat_buffer;
    ck_assert_int_ne(lstat(in_root("restored"), &stat_buffer), 0);
    ck_assert_int_ne(lstat(in_root("restored.partial"), &stat_buffer), 0);
}

static void check_restore_works(uint64_t id, bool link)
{
    cairn_error *error = NULL;
    int r = restore(id, link, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);
}

/* Everybody who looks at the object's bytes names it; who does not need it does not care. */
static void check_damage(size_t i, int code, bool quick_sees_it)
{
    struct problems problems;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    char object[256];
    (void)snprintf(object, sizeof object, "orders/%s", objects[i].object);
    for (int full = quick_sees_it ? 0 : 1; full <= 1; full++) {
        ck_assert_int_eq(verify(0, full, &problems, &report), code);
        ck_assert_uint_eq(problems.count, 1);
        ck_assert_uint_eq(report.problems, 1);
        ck_assert_int_eq(problems.code, code);
        ck_assert_uint_eq(problems.id, objects[i].newest);
        ck_assert_str_eq(problems.object, object);
        /* Who reads of it must not go on to restore another checkpoint that needs it. */
        uint64_t damaged = 1u << objects[i].first | 1u << objects[i].newest;
        uint64_t whole = (1u << 2 | 1u << 4) & ~damaged;
        ck_assert_uint_eq(problems.affected[0], objects[i].first);
        ck_assert_uint_eq(problems.affected_count, objects[i].first == objects[i].newest ? 1 : 2);
        ck_assert_uint_eq(problems.damaged, damaged);
        ck_assert_uint_eq(problems.whole, whole);
        ck_assert_uint_eq(report.whole, whole != 0);
        ck_assert_uint_eq(report.newest_whole_id, whole == 0 ? 0 : whole == 1u << 2 ? 2 : 4);
    }
    for (uint64_t id = 2; id <= 4; id += 2) {
        bool needs_it = id >= objects[i].first && id <= objects[i].newest;
        for (int link = 0; link <= 1; link++) {
            if (needs_it)
                check_restore_fails(id, link, code, object);
            else
                check_restore_works(id, link);
        }
    }
}

START_TEST(a_flipped_bit_of_any_object_is_named)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    crn_test_job_get(&job, objects[_i].object, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.size; bit += 3) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        crn_test_job_replace(&job, objects[_i].object, bytes.data, bytes.size);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_damage((size_t)_i, CAIRN_ECORRUPT, false);
    }
}
END_TEST

START_TEST(an_object_of_wrong_size_or_missing_is_named)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    crn_test_job_get(&job, objects[_i].object, &bytes);
    crn_test_job_replace(&job, objects[_i].object, bytes.data, bytes.size - 1);
    check_damage((size_t)_i, CAIRN_ECORRUPT, true);
    crn_test_job_replace(&job, objects[_i].object, "", 0);
    check_damage((size_t)_i, CAIRN_ECORRUPT, true);
    ck_assert_int_eq(crn_buf_append(&bytes, "more", 4), 0);
    crn_test_job_replace(&job, objects[_i].object, bytes.data, bytes.size);
    check_damage((size_t)_i, CAIRN_ECORRUPT, true);
    crn_test_job_remove(&job, objects[_i].object);
    check_damage((size_t)_i, CAIRN_EMISSING, true);
}
END_TEST

START_TEST(a_damaged_manifest_is_named)
{
    struct problems problems;
    crn_test_job_replace(&job, "MANIFEST-chk2", "damaged", 7);
    ck_assert_int_eq(verify(0, false, &problems, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_uint_eq(problems.id, 2);
    ck_assert_str_eq(problems.object, "orders/MANIFEST-chk2");
    ck_assert_uint_eq(problems.affected_count, 1);
    ck_assert_uint_eq(problems.whole, 1u << 4);
    ck_assert_uint_eq(problems.damaged, 0);
    ck_assert_int_eq(verify(2, false, &problems, NULL), CAIRN_ECORRUPT);
    ck_assert_int_eq(verify(4, true, &problems, NULL), 0);
    check_restore_fails(2, false, CAIRN_ECORRUPT, "orders/MANIFEST-chk2");
    check_restore_works(4, false);
}
END_TEST

START_TEST(all_problems_are_told)
{
    struct problems problems;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    for (size_t i = 0; i < CRN_COUNT(objects); i++)
        crn_test_job_remove(&job, objects[i].object);
    crn_test_job_replace(&job, "MANIFEST-chk1", "damaged", 7);
    ck_assert_int_lt(verify(0, true, &problems, &report), 0);
    ck_assert_uint_eq(problems.count, CRN_COUNT(objects) + 1);
    ck_assert_uint_eq(report.problems, CRN_COUNT(objects) + 1);
}
END_TEST

/* M15 (SPARK-51988): every path that takes bytes in checks them, wherever the flip happens. */
START_TEST(a_bit_flipped_on_the_way_is_found_on_every_path)
{
    unsigned found = 0;
    for (uint64_t k = 1;; k++) {
        struct problems problems;
        struct crn_fault_plan plan = {.ops = CRN_FAULT_GET, .mode = CRN_FAULT_FLIP, .at = k};
        crn_fault_store_arm(store, &plan);
        int r = _i == 0 ? verify(0, true, &problems, NULL) : restore(0, false, NULL);
        if (!crn_fault_store_fired(store)) {
            ck_assert_int_eq(r, 0);
            break;
        }
        if (_i == 1 && k > 1 && k <= 4) { /* a record below the one to restore: not needed */
            ck_assert_int_eq(r, 0);
            ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);
            continue;
        }
        ck_assert_int_eq(r, CAIRN_ECORRUPT);
        found++;
    }
    ck_assert_uint_eq(found, _i == 0 ? 4 + 6 : 1 + 4); /* manifests and objects */
}
END_TEST

/* A checkpoint that is subsumed while it is verified is no problem. */
struct subsumer {
    bool done;
    unsigned verdicts;
};

static void note_newest(void *context, uint64_t id, int is_whole)
{
    struct subsumer *subsumer = context;
    subsumer->verdicts++;
    ck_assert_uint_eq(id, 4);
    ck_assert_int_eq(is_whole, 1);
}

static int subsume(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct subsumer *subsumer = context;
    (void)done_bytes, (void)total_bytes;
    if (subsumer->done)
        return 0;
    subsumer->done = true;
    job.log_start = 4;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    ck_assert_int_eq(cairn_gc(store, "orders", NULL, NULL, NULL), 0);
    return 0;
}

static struct subsumer *lister;
static int (*real_list)(cairn_store *, const char *, cairn_list_fn, void *, cairn_error **);

static int subsume_and_list(cairn_store *any, const char *prefix, cairn_list_fn fn, void *context,
                            cairn_error **reterr)
{
    (void)subsume(lister, 0, 0);
    return real_list(any, prefix, fn, context, reterr);
}

/* Sizes are what a listing tells, so it comes in front of that; else in front of the first object.
 */
START_TEST(a_checkpoint_subsumed_meanwhile_is_no_problem)
{
    struct subsumer subsumer = {0};
    cairn_store_ops ops = *store->ops;
    const cairn_store_ops *real_ops = store->ops;
    lister = &subsumer;
    real_list = ops.list;
    ops.list = subsume_and_list;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = (uint8_t)_i;
    options.threads = 1;
    if (_i == 0)
        store->ops = &ops;
    else
        options.progress = subsume;
    options.verdict = note_newest;
    options.context = &subsumer;
    ck_assert_int_eq(cairn_verify(store, "orders", &options, &report, NULL), 0);
    store->ops = real_ops;
    ck_assert(subsumer.done);
    ck_assert_uint_eq(subsumer.verdicts, 1);
    ck_assert(!crn_test_job_has(&job, "shared/e1-c2-9.sst"));
    ck_assert_uint_eq(report.problems, 0);
}
END_TEST

static int cancel(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    (void)context, (void)done_bytes, (void)total_bytes;
    return 1;
}

START_TEST(long_work_can_be_cancelled)
{
    cairn_verify_options verify_options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_restore_options restore_options = CAIRN_RESTORE_OPTIONS_INIT;
    struct stat stat_buffer;
    verify_options.progress = cancel;
    ck_assert_int_eq(cairn_verify(store, "orders", &verify_options, NULL, NULL), CAIRN_ECANCELED);
    restore_options.progress = cancel;
    ck_assert_int_eq(
        cairn_restore_to(store, "orders", in_root("restored"), &restore_options, NULL, NULL),
        CAIRN_ECANCELED);
    ck_assert_int_ne(lstat(in_root("restored.partial"), &stat_buffer), 0);
}
END_TEST

/* --- restore --- */

static void check_file(const char *path, const char *expected)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    ck_assert_int_eq(crn_file_read_all(in_root(path), 1 << 20, &data, &size, NULL), 0);
    ck_assert_str_eq((const char *)data, expected);
}

static void check_names(const char *path, size_t expected)
{
    char **names;
    size_t count;
    ck_assert_int_eq(crn_file_list_dir(in_root(path), &names, &count, NULL), 0);
    ck_assert_uint_eq(count, expected);
    crn_file_free_names(names, count);
}

START_TEST(a_restore_writes_plain_directories)
{
    cairn_restore_options options = CAIRN_RESTORE_OPTIONS_INIT;
    cairn_restore_report report = CAIRN_RESTORE_REPORT_INIT;
    options.id = 2;
    options.link = (uint8_t)_i;
    ck_assert_int_eq(
        cairn_restore_to(store, "orders", in_root("a/b/restored/"), &options, &report, NULL), 0);
    ck_assert_uint_eq(report.id, 2);
    ck_assert_uint_eq(report.files, 6);
    ck_assert_uint_eq(report.bytes, 41);
    check_names("a/b", 1);
    check_names("a/b/restored", 2);
    check_names("a/b/restored/count-0", 5);
    check_names("a/b/restored/count-1", 1);
    check_file("a/b/restored/count-0/000008.sst", "alpha");
    check_file("a/b/restored/count-0/000009.sst", "beta");
    check_file("a/b/restored/count-0/MANIFEST-000005", "two");
    check_file("a/b/restored/count-0/CURRENT", "MANIFEST-000005\n");
    check_file("a/b/restored/count-0/operator-state.bin", "position");
    check_file("a/b/restored/count-1/000010.sst", "gamma");
    struct stat stat_buffer;
    ck_assert_int_eq(stat(in_root("a/b/restored/count-1/000010.sst"), &stat_buffer), 0);
    ck_assert_int_eq(stat_buffer.st_nlink, _i == 1 ? 2 : 1);
}
END_TEST

START_TEST(a_restore_takes_only_a_free_directory)
{
    cairn_error *error = NULL;
    ck_assert_int_eq(crn_file_make_dirs(in_root("restored"), NULL), 0);
    ck_assert_int_eq(restore(0, false, NULL), 0); /* empty is free */
    ck_assert_int_eq(restore(0, false, &error), CAIRN_EEXIST);
    cairn_error_free(error);
    check_file("restored/count-0/000011.sst", "delta");
    ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);
    ck_assert_int_eq(crn_file_write_new(in_root("restored"), "x", 1, false, NULL), 0);
    ck_assert_int_eq(restore(0, false, NULL), CAIRN_EEXIST);
    check_file("restored", "x");
    ck_assert_int_eq(unlink(in_root("restored")), 0);

    /* What a crash left is replaced. */
    ck_assert_int_eq(crn_file_make_dirs(in_root("restored.partial/count-0"), NULL), 0);
    ck_assert_int_eq(
        crn_file_write_new(in_root("restored.partial/count-0/000099.sst"), "x", 1, false, NULL), 0);
    ck_assert_int_eq(restore(4, false, NULL), 0);
    check_names("restored/count-0", 4);
    ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);
    ck_assert_int_eq(restore(9, false, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_restore_to(store, "orders", "", NULL, NULL, NULL), CAIRN_EINVAL);
}
END_TEST

static int restore_by_one_thread(uint64_t id)
{
    cairn_restore_options options = CAIRN_RESTORE_OPTIONS_INIT;
    options.id = id;
    options.threads = 1;
    return cairn_restore_to(store, "orders", in_root("restored"), &options, NULL, NULL);
}

/* After a failure that may pass nothing is asked for again that has come; also if the restore that
 * goes on is of another checkpoint, which has some of it. */
START_TEST(a_restore_that_was_cut_short_is_gone_on_with)
{
    const uint64_t k = (uint64_t)_i, objects_of_4 = 4;
    crn_fault_store_arm(store, &(struct crn_fault_plan){.ops = CRN_FAULT_GET});
    ck_assert_int_eq(restore_by_one_thread(4), 0);
    ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);
    uint64_t all = crn_fault_store_calls(store);
    struct crn_fault_plan plan = {.ops = CRN_FAULT_GET,
                                  .mode = CRN_FAULT_BEFORE,
                                  .at = all - objects_of_4 + k, /* manifests are the first */
                                  .and_after = true,
                                  .code = CAIRN_EUNAVAIL};
    crn_fault_store_arm(store, &plan);
    ck_assert_int_eq(restore_by_one_thread(4), CAIRN_EUNAVAIL);
    ck_assert_int_eq(access(in_root("restored"), F_OK), -1);
    crn_fault_store_arm(store, &(struct crn_fault_plan){.ops = CRN_FAULT_GET});
    ck_assert_int_eq(restore_by_one_thread(4), 0);
    ck_assert_uint_eq(crn_fault_store_calls(store), all - (k - 1));
    check_names("restored", 2);
    check_names("restored/count-0", 4);
    check_file("restored/count-0/000011.sst", "delta");
    check_file("restored/count-1/000010.sst", "gamma");
    ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);

    crn_fault_store_arm(store, &plan);
    ck_assert_int_eq(restore_by_one_thread(4), CAIRN_EUNAVAIL);
    crn_fault_store_arm(store, &(struct crn_fault_plan){.ops = CRN_FAULT_GET});
    ck_assert_int_eq(restore_by_one_thread(2), 0);
    check_file("restored/count-0/000009.sst", "beta");
    check_names("restored", 2);
    check_names("restored/count-0", 5);
}
END_TEST

/* Two at once: one of them gets the directory, and it is whole. */
struct restorer {
    pthread_t thread;
    int result;
};

static void *restore_once(void *arg)
{
    struct restorer *restorer = arg;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/restored", root);
    restorer->result = cairn_restore_to(store, "orders", path, NULL, NULL, NULL);
    return NULL;
}

/* Whatever the way that leads there. */
START_TEST(a_restore_stays_out_of_the_store)
{
    static const char *const inside[] = {"store", "store/databases", "store/orders/restored",
                                         "store/orders/a/b", "link/databases"};
    char path[96];
    cairn_store *posix;
    (void)snprintf(path, sizeof path, "%s/store", root);
    ck_assert_int_eq(crn_posix_store_open(path, CRN_TRANSFER_AUTO, false, &posix, NULL), 0);
    ck_assert_int_eq(symlink(path, in_root("link")), 0);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    for (size_t i = 0; i < CRN_COUNT(inside); i++) {
        cairn_error *error = NULL;
        ck_assert_int_eq(cairn_restore_to(posix, "orders", in_root(inside[i]), NULL, NULL, &error),
                         CAIRN_EINVAL);
        ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "within the store"));
        cairn_error_free(error);
    }
    CRN_AUTO_FREE char *after = crn_test_job_listing(&job);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(cairn_restore_to(posix, "orders", in_root("new/store"), NULL, NULL, NULL), 0);
    check_names("store", 1); /* the job */
    posix->ops->close(posix);
}
END_TEST

START_TEST(of_two_restores_to_one_place_one_wins)
{
    for (int round = 0; round < 30; round++) {
        struct restorer restorers[3];
        int won = 0;
        for (size_t i = 0; i < CRN_COUNT(restorers); i++)
            ck_assert_int_eq(crn_thread_start(&restorers[i].thread, "restorer", restore_once,
                                              &restorers[i], NULL),
                             0);
        for (size_t i = 0; i < CRN_COUNT(restorers); i++) {
            ck_assert_int_eq(pthread_join(restorers[i].thread, NULL), 0);
            won += restorers[i].result == 0;
            ck_assert_msg(restorers[i].result == 0 || restorers[i].result == CAIRN_EBUSY ||
                              restorers[i].result == CAIRN_EEXIST,
                          "%s", cairn_error_name(restorers[i].result));
        }
        ck_assert_int_eq(won, 1);
        check_names("restored", 2);
        check_names("restored/count-0", 4);
        check_file("restored/count-0/000011.sst", "delta");
        ck_assert_int_eq(crn_file_remove_tree(in_root("restored"), NULL), 0);
    }
}
END_TEST

START_TEST(operators_become_safe_directory_names)
{
    char long_uid[256];
    memset(long_uid, 'x', 255);
    long_uid[255] = 0;
    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    static const char *const uids[] = {"../../etc", ".hidden", "caf\xc3\xa9 %"};
    for (size_t i = 0; i < CRN_COUNT(uids); i++)
        (void)crn_test_job_table(&job, record, crn_test_job_subtask(record, uids[i]), 80 + i, "x");
    (void)crn_test_job_table(&job, record, crn_test_job_subtask(record, long_uid), 90, "x");
    crn_test_job_commit(&job, record);
    ck_assert_int_eq(restore(5, false, NULL), 0);
    check_names("restored", 4);
    check_file("restored/%2E.%2F..%2Fetc-0/000080.sst", "x");
    check_file("restored/%2Ehidden-0/000081.sst", "x");
    check_file("restored/caf%C3%A9%20%25-0/000082.sst", "x");
    char expected[300];
    (void)snprintf(expected, sizeof expected, "restored/%.200s%%~%016" PRIx64 "-0", long_uid,
                   crn_hash64_of(long_uid, 255));
    check_names(expected, 1);
}
END_TEST

/* M19 (rocksdb-cloud#39): a transfer that breaks off leaves no file under its name. */
START_TEST(a_broken_transfer_leaves_nothing_under_its_name)
{
    cairn_snapshot *snapshot;
    ck_assert_int_eq(cairn_snapshot_open(store, "orders", 4, &snapshot, NULL), 0);
    cairn_snapshot_close(snapshot);
    const struct crn_file *file = crn_test_job_file(job.head, "count", 0, "000011.sst");
    struct crn_fetch_request request = {.store = store,
                                        .job = "orders",
                                        .files = &file,
                                        .count = 1,
                                        .directory = root,
                                        .threads = 1};
    static const int codes[] = {CAIRN_EIO, CAIRN_EUNAVAIL};
    for (size_t i = 0; i < CRN_COUNT(codes); i++) {
        struct crn_fault_plan plan = {.ops = CRN_FAULT_GET,
                                      .mode = CRN_FAULT_SHORT,
                                      .at = 1,
                                      .and_after = true,
                                      .code = codes[i]};
        crn_fault_store_arm(store, &plan);
        ck_assert_int_eq(crn_fetch(&request, NULL, NULL), codes[i]);
        ck_assert_uint_eq(crn_fault_store_calls(store), codes[i] == CAIRN_EIO ? 1 : 4);
        check_names(".", 1); /* the store */
    }
    struct crn_fault_plan plan = {
        .ops = CRN_FAULT_GET, .mode = CRN_FAULT_SHORT, .at = 1, .code = CAIRN_EUNAVAIL};
    crn_fault_store_arm(store, &plan); /* one that passes is got over, with the right bytes */
    uint64_t bytes = 0;
    ck_assert_int_eq(crn_fetch(&request, &bytes, NULL), 0);
    ck_assert_uint_eq(bytes, 5);
    check_file("000011.sst", "delta");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rest");
    TCase *tcase = tcase_create("rest");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_sound_store_verifies);
    tcase_add_loop_test(tcase, a_flipped_bit_of_any_object_is_named, 0, (int)CRN_COUNT(objects));
    tcase_add_loop_test(tcase, an_object_of_wrong_size_or_missing_is_named, 0,
                        (int)CRN_COUNT(objects));
    tcase_add_test(tcase, a_damaged_manifest_is_named);
    tcase_add_test(tcase, all_problems_are_told);
    tcase_add_loop_test(tcase, a_bit_flipped_on_the_way_is_found_on_every_path, 0, 2);
    tcase_add_loop_test(tcase, a_checkpoint_subsumed_meanwhile_is_no_problem, 0, 2);
    tcase_add_test(tcase, long_work_can_be_cancelled);
    tcase_add_loop_test(tcase, a_restore_writes_plain_directories, 0, 2);
    tcase_add_test(tcase, a_restore_takes_only_a_free_directory);
    tcase_add_test(tcase, a_restore_stays_out_of_the_store);
    tcase_add_loop_test(tcase, a_restore_that_was_cut_short_is_gone_on_with, 2, 5);
    tcase_add_test(tcase, of_two_restores_to_one_place_one_wins);
    tcase_add_test(tcase, operators_become_safe_directory_names);
    tcase_add_test(tcase, a_broken_transfer_leaves_nothing_under_its_name);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
