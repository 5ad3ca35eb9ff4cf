/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn.h promises of savepoints that a running job takes, over all state backends:
 *   - a savepoint holds exactly the state at its barrier, whatever is written meanwhile (P2, P3);
 *   - it is whole wherever it is copied to, and shares nothing that anybody's removal could take
 *     away (P9); on one file system a native one is made of hard links;
 *   - checkpoints do not notice it, and the job's directory is as tidy as before (P4, P6);
 *   - every bad target is an error with its reason, and leaves nothing behind.
 * What a savepoint holds is read back by starting another job from it.
 */
#include "tests/support/gate_store.h"
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------------------------------ *
 * A job that takes savepoints
 * ------------------------------------------------------------------------------------------ */

enum kind { FAKE, ROCKSDB, HEAP, KINDS };

struct taker {
    struct fixture f;
    struct subject s;
    struct oracle oracle;
    uint64_t random;
    cairn_store *target; /* a fault store, apart from the job's */
    char *target_dir;    /* NULL: in memory */
};

static void taker_init(struct taker *t, enum kind kind)
{
    cairn_store *inner = NULL;
    memset(t, 0, sizeof *t);
    fixture_init(&t->f, kind != FAKE);
    if (kind == HEAP)
        t->f.backend = crn_heap_backend;
    if (kind != FAKE) {
        t->target_dir = fixture_dir(&t->f, "savepoints");
        ck_ok(crn_posix_store_open(t->target_dir, CRN_TRANSFER_AUTO, true, &inner, reterr));
    } else {
        ck_ok(crn_memory_store_open(&inner, reterr));
    }
    ck_ok(crn_fault_store_open(inner, &t->target, reterr));
    t->random = 7;
    oracle_init(&t->oracle);
    ck_ok(subject_open(&t->f, "job", &t->s, reterr));
}

static void taker_done(struct taker *t)
{
    if (t->s.job != NULL)
        subject_close(&t->s);
    cairn_store_close(t->target);
    free(t->target_dir);
    fixture_done(&t->f);
}

static void mutate(struct taker *t)
{
    oracle_mutate(&t->oracle, &t->s, &t->random, 40);
}

static cairn_savepoint_options options_for(cairn_store *target, cairn_savepoint_format format)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = target;
    options.format = format;
    return options;
}

/* With all tasks polling. */
static int take(struct taker *t, const cairn_savepoint_options *options, cairn_savepoint_info *ret,
                cairn_error **reterr)
{
    struct pump pump = {0};
    pump_start(&pump, &t->s.tasks[1], SUBJECT_TASKS - 1);
    int r = cairn_task_savepoint(t->s.tasks[0], options, ret, reterr);
    pump_stop(&pump);
    return r;
}

static void checkpoint(struct taker *t)
{
    ck_ok(subject_checkpoint(&t->s, false, NULL, reterr));
}

static char *name_of(uint64_t id)
{
    char *name = NULL;
    ck_ok(crn_str_printf(&name, reterr, "savepoint-job-%llu", (unsigned long long)id));
    return name;
}

/* Another job that starts from the savepoint has this state. */
static void expect_state(struct taker *t, cairn_store *store, uint64_t id,
                         const struct oracle *oracle)
{
    struct fixture other = t->f;
    struct subject s;
    CRN_AUTO_FREE char *name = name_of(id);
    CRN_AUTO_FREE char *local_dir = fixture_dir(&t->f, "reader");
    cairn_store *memory = NULL;
    ck_ok(crn_memory_store_open(&memory, reterr));
    ck_ok(crn_fault_store_open(memory, &other.store, reterr));
    other.options.store = other.store;
    other.options.local_dir = local_dir;
    other.options.restore_store = store;
    other.options.restore_name = name;
    ck_ok(subject_open(&other, "reader", &s, reterr));
    const char *difference = oracle_compare(oracle, &s);
    ck_assert_msg(difference == NULL, "savepoint %llu: %s", (unsigned long long)id, difference);
    subject_close(&s);
    cairn_store_close(other.store);
}

/* Nothing in it is damaged, and everything that is there is referenced. */
static void expect_whole(cairn_store *store, uint64_t id)
{
    CRN_AUTO_FREE char *name = name_of(id);
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = 1;
    ck_ok(cairn_verify(store, name, &options, &report, reterr));
    ck_assert_uint_eq(report.whole, 1);
    store_check_tidy(store, name);
}

/* ------------------------------------------------------------------------------------------ *
 * What it holds
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_it_holds_the_state_at_its_barrier)
{
    enum kind kind = (enum kind)(_i / 2);
    cairn_savepoint_format format = _i % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE;
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, kind);
    mutate(&t);
    checkpoint(&t);
    mutate(&t);
    struct oracle at_barrier = t.oracle;
    cairn_savepoint_options options = options_for(t.target, format);
    ck_ok(take(&t, &options, &info, reterr));
    mutate(&t);
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_COMPLETE);
    ck_assert_int_eq(info.format, kind == HEAP ? CAIRN_CANONICAL : format);
    ck_assert_uint_gt(info.full_bytes, 0);
    ck_assert_uint_gt(info.done_bytes, 0);
    ck_assert_uint_eq(info.done_bytes, info.total_bytes);
    ck_assert(strstr(info.location, "savepoint-job-") != NULL);
    expect_whole(t.target, info.id);
    expect_state(&t, t.target, info.id, &at_barrier);
    store_check_tidy(t.f.store, "job");
    /* The job goes on from its checkpoints, of which it is none. */
    checkpoint(&t);
    subject_close(&t.s);
    ck_ok(subject_open(&t.f, "job", &t.s, reterr));
    ck_assert_ptr_null(oracle_compare(&t.oracle, &t.s));
    taker_done(&t);
}
END_TEST

/* Without a single state or key. */
START_TEST(test_an_empty_job_has_savepoints)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, (enum kind)(_i / 2));
    cairn_savepoint_options options =
        options_for(t.target, _i % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE);
    ck_ok(take(&t, &options, &info, reterr));
    expect_whole(t.target, info.id);
    expect_state(&t, t.target, info.id, &t.oracle);
    taker_done(&t);
}
END_TEST

/* The first object does not get through; meanwhile the writer does. */
START_TEST(test_the_writer_goes_on_while_it_is_written)
{
    struct taker t;
    struct pump pump = {0};
    atomic_bool never = false;
    cairn_savepoint_handle *handle = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, (enum kind)(_i / 2));
    cairn_store *gate = gate_store_open(t.target);
    cairn_savepoint_options options =
        options_for(gate, _i % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE);
    mutate(&t);
    struct oracle at_barrier = t.oracle;
    gate_stop_at(gate, CRN_FAULT_PUT, 1, GATE_BEFORE);
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    ck_ok(cairn_savepoint_status(handle, &info, reterr));
    ck_assert_uint_eq(info.id, 0); /* no task has polled */
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_WAITING);
    ck_assert_str_eq(info.location, "");
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    ck_assert(gate_wait_stopped(gate, &never));
    while (info.phase == CAIRN_SAVEPOINT_WAITING) /* one task's upload may be ahead of others */
        ck_ok(cairn_savepoint_status(handle, &info, reterr));
    pump_stop(&pump);
    mutate(&t);
    ck_assert_int_eq(cairn_savepoint_wait(handle, 1, NULL, NULL), CAIRN_ETIMEOUT);
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_WRITING);
    if (options.format == CAIRN_CANONICAL && _i / 2 != HEAP)
        ck_assert_uint_eq(info.total_bytes, 0); /* no guess: it would be of another unit */
    ck_assert_uint_gt(info.id, 0);
    ck_assert(!store_has(t.target, "savepoint-job-2/MANIFEST-chk2"));
    gate_let_go(gate);
    ck_ok(cairn_savepoint_wait(handle, UINT64_MAX, &info, reterr));
    cairn_savepoint_close(handle);
    expect_state(&t, t.target, info.id, &at_barrier);
    taker_done(&t);
    cairn_store_close(gate);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Links and copies
 * ------------------------------------------------------------------------------------------ */

struct linked {
    size_t tables, shared;
    const char *root;
};

static int count_links(void *context, const char *key, const cairn_object_stat *object)
{
    struct linked *linked = context;
    CRN_AUTO_FREE char *path = NULL;
    struct stat st;
    (void)object;
    if (strstr(key, ".sst") == NULL)
        return 0;
    ck_ok(crn_str_printf(&path, reterr, "%s/%s", linked->root, key));
    ck_assert_int_eq(stat(path, &st), 0);
    linked->tables++;
    linked->shared += st.st_nlink > 1;
    return 0;
}

START_TEST(test_a_native_one_is_made_of_hard_links)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, ROCKSDB);
    mutate(&t);
    cairn_savepoint_options options = options_for(NULL, CAIRN_NATIVE);
    options.target_uri = t.target_dir;
    ck_ok(take(&t, &options, &info, reterr));
    struct linked linked = {.root = t.target_dir};
    ck_ok(t.target->ops->list(t.target, "", count_links, &linked, reterr));
    ck_assert_uint_gt(linked.tables, 0);
    ck_assert_uint_eq(linked.shared, linked.tables);
    ck_assert_uint_gt(info.linked_bytes, 0);
    ck_assert_uint_le(info.linked_bytes, info.full_bytes);
    /* A copy of the directory elsewhere is the savepoint, and needs nothing else. */
    struct oracle oracle = t.oracle;
    CRN_AUTO_FREE char *elsewhere = fixture_dir(&t.f, "elsewhere");
    CRN_AUTO_FREE char *command = NULL;
    ck_ok(crn_str_printf(&command, reterr, "mkdir '%s' && cp -r '%s' '%s'", elsewhere,
                         info.location, elsewhere));
    ck_assert_int_eq(system(command), 0);
    subject_close(&t.s);
    ck_ok(crn_file_remove_tree(t.f.store_dir, reterr));
    ck_ok(crn_file_remove_tree(info.location, reterr));
    cairn_store *copy = NULL;
    ck_ok(cairn_store_open(elsewhere, &copy, reterr));
    expect_state(&t, copy, info.id, &oracle);
    cairn_store_close(copy);
    taker_done(&t);
}
END_TEST

START_TEST(test_checkpoints_do_not_notice)
{
    struct taker t;
    cairn_checkpoint_info before = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_checkpoint_info after = CAIRN_CHECKPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    checkpoint(&t);
    ck_assert_int_eq(cairn_job_last_checkpoint(t.s.job, &before), 1);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(take(&t, &options, NULL, reterr));
    ck_assert_int_eq(cairn_job_last_checkpoint(t.s.job, &after), 1);
    ck_assert_uint_eq(before.id, after.id);
    /* Nothing was written since the checkpoint: no table is new, although a savepoint has them. */
    checkpoint(&t);
    ck_assert_int_eq(cairn_job_last_checkpoint(t.s.job, &after), 1);
    ck_assert_uint_eq(after.id, before.id + 2);
    ck_assert(!after.is_full);
    ck_assert_uint_lt(after.new_bytes, before.new_bytes);
    taker_done(&t);
}
END_TEST

/* A store that copies within itself: what an earlier savepoint or the job has stored is not sent.
 */
START_TEST(test_tables_are_copied_by_the_store)
{
    struct taker t;
    cairn_savepoint_info first = CAIRN_SAVEPOINT_INFO_INIT, second = first;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(take(&t, &options, &first, reterr));
    ck_assert_uint_eq(first.linked_bytes, 0); /* nothing is known to be stored anywhere */
    options.link_previous = 1;
    ck_ok(take(&t, &options, &second, reterr));
    ck_assert_uint_gt(second.linked_bytes, 0);
    checkpoint(&t);
    options.link_previous = 0;
    cairn_savepoint_info third = CAIRN_SAVEPOINT_INFO_INIT;
    ck_ok(take(&t, &options, &third, reterr));
    ck_assert_uint_gt(third.linked_bytes, 0); /* from the job's checkpoint */
    /* Each is self-contained: the first one goes, and so does the job. */
    cairn_savepoint_info *all[] = {&second, &third};
    CRN_AUTO_FREE char *name = name_of(first.id);
    char manifest[300];
    (void)snprintf(manifest, sizeof manifest, "%s/MANIFEST-chk%llu", name,
                   (unsigned long long)first.id);
    store_remove(t.target, manifest);
    for (size_t i = 0; i < CRN_COUNT(all); i++) {
        expect_whole(t.target, all[i]->id);
        expect_state(&t, t.target, all[i]->id, &t.oracle);
    }
    taker_done(&t);
}
END_TEST

/* The earlier savepoint is damaged in every way: the new one does not care. */
START_TEST(test_a_damaged_earlier_savepoint_is_no_matter)
{
    struct taker t;
    cairn_savepoint_info first = CAIRN_SAVEPOINT_INFO_INIT, second = first;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(take(&t, &options, &first, reterr));
    CRN_AUTO_FREE char *name = name_of(first.id);
    CRN_AUTO_FREE char *object = store_live_object(t.target, name, false);
    char manifest[300];
    (void)snprintf(manifest, sizeof manifest, "%s/MANIFEST-chk%llu", name,
                   (unsigned long long)first.id);
    if (_i == 0)
        store_remove(t.target, object);
    else if (_i == 1)
        store_harm(t.target, object, HARM_CUT);
    else
        store_harm(t.target, manifest, (enum store_harm)(_i - 2));
    options.link_previous = 1;
    ck_ok(take(&t, &options, &second, reterr));
    expect_whole(t.target, second.id);
    expect_state(&t, t.target, second.id, &t.oracle);
    taker_done(&t);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Targets
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_bad_targets_are_refused)
{
    struct taker t;
    taker_init(&t, ROCKSDB);
    CRN_AUTO_FREE char *file = fixture_dir(&t.f, "a-file");
    CRN_AUTO_FREE char *within = fixture_dir(&t.f, "store/job");
    CRN_AUTO_FREE char *below = fixture_dir(&t.f, "store/job/deep/er");
    CRN_AUTO_FREE char *local = fixture_dir(&t.f, "local/savepoints");
    CRN_AUTO_FREE char *link = fixture_dir(&t.f, "link");
    CRN_AUTO_FREE char *deep = fixture_dir(&t.f, "store/job/deep");
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_store *store = NULL;
    /* A job knows where its store is only if it has no decorator. */
    subject_close(&t.s);
    ck_ok(crn_posix_store_open(t.f.store_dir, CRN_TRANSFER_AUTO, true, &store, reterr));
    t.f.options.store = store;
    ck_ok(subject_open(&t.f, "job", &t.s, reterr));
    ck_fails(take(&t, NULL, NULL, reterr), CAIRN_EINVAL, "where is the savepoint to go");
    ck_ok(crn_file_write_new(file, "x", 1, false, reterr));
    options.target_uri = file;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "a-file");
    options.target_uri = "memory:";
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "memory:");
    options.target_uri = "";
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "target_uri is empty");
    options.target_uri = "gopher://x";
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "gopher");
    ck_assert_int_eq(symlink(within, link), 0);
    const char *inside[] = {within, below, link};
    for (size_t i = 0; i < CRN_COUNT(inside); i++) {
        options.target_uri = inside[i];
        ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "the job's own directory");
    }
    ck_assert(!crn_file_is_dir(deep)); /* what looking made is gone */
    options.target_uri = local;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "local_dir");
    options.target_store = t.target;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "at most one");
    options.target_uri = NULL;
    options.format = (cairn_savepoint_format)2;
    ck_fails(take(&t, &options, NULL, reterr), CAIRN_EINVAL, "format");
    subject_close(&t.s);
    cairn_store_close(store);
    taker_done(&t);
}
END_TEST

START_TEST(test_the_jobs_store_and_its_default_are_targets)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    subject_close(&t.s);
    t.f.options.savepoint_store = t.f.store; /* the directory stands beside the job's */
    ck_ok(subject_open(&t.f, "job", &t.s, reterr));
    mutate(&t);
    ck_ok(take(&t, NULL, &info, reterr));
    expect_whole(t.f.store, info.id);
    expect_state(&t, t.f.store, info.id, &t.oracle);
    store_check_tidy(t.f.store, "job");
    subject_close(&t.s);
    t.f.options.savepoint_uri = "memory:";
    cairn_job *job = NULL;
    ck_fails(fixture_open_job(&t.f, "job", &job, reterr), CAIRN_EINVAL, "at most one");
    taker_done(&t);
}
END_TEST

/* A savepoint of the job's earlier life, from which nothing is taken: it may be of another store.
 */
START_TEST(test_what_is_in_the_way_is_left_alone)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    store_put_text(t.target, "savepoint-job-2/note", "the user's");
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(take(&t, &options, &info, reterr));
    ck_assert_uint_eq(info.id, 2);
    ck_assert_str_eq(info.location, "savepoint-job-2-b");
    ck_assert_uint_eq(store_count(t.target, "savepoint-job-2/"), 1);
    ck_assert(store_has(t.target, "savepoint-job-2-b/MANIFEST-chk2"));
    store_check_tidy(t.f.store, "job");
    options.link_previous = 1; /* it is found under that name */
    ck_ok(take(&t, &options, &info, reterr));
    ck_assert_str_eq(info.location, "savepoint-job-3");
    ck_assert_uint_gt(info.linked_bytes, 0);
    taker_done(&t);
}
END_TEST

static void expect_aborted(struct taker *t, uint64_t id, const char *reason)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(t->f.store, "job", &log, reterr));
    const cairn_record_info *record = cairn_log_at(log, cairn_log_size(log) - 1);
    ck_assert_uint_eq(record->id, id);
    ck_assert_int_eq(record->state, CAIRN_STATE_ABORTED);
    ck_assert_msg(strstr(record->reason, reason) != NULL, "%s", record->reason);
    cairn_log_close(log);
}

/* What the system refuses is told with the target's path: an object's key says not where. */
START_TEST(test_a_refusal_names_the_target)
{
    struct taker t;
    cairn_error *error = NULL;
    taker_init(&t, ROCKSDB);
    mutate(&t);
    store_put_text(t.f.store, "savepoint-job-2", "a file where a directory is to be");
    cairn_savepoint_options options = options_for(NULL, CAIRN_NATIVE);
    options.target_uri = t.f.store_dir;
    int r = take(&t, &options, NULL, &error);
    ck_assert_msg(cairn_error_class_of(r) == CAIRN_CLASS_LOCAL, "%s", cairn_error_message(error));
    ck_assert_str_eq(cairn_error_object(error), t.f.store_dir);
    ck_assert(strstr(cairn_error_message(error), t.f.store_dir) != NULL);
    ck_assert_int_eq(cairn_error_errno(error), ENOTDIR);
    cairn_error_free(error);
    taker_done(&t);
}
END_TEST

/* Every name of the id is taken, or the target cannot be looked at: the attempt is in the log, and
 * the next one has a fresh id. */
START_TEST(test_an_attempt_that_finds_no_place_is_in_the_log)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    store_put_text(t.target, "savepoint-job-2/note", "the user's");
    for (char suffix = 'b'; suffix <= 'z'; suffix++) {
        char key[64];
        (void)snprintf(key, sizeof key, "savepoint-job-2-%c/note", suffix);
        store_put_text(t.target, key, "the user's");
    }
    ck_fails(take(&t, &options, &info, reterr), CAIRN_EEXIST, "cairn dispose");
    ck_assert_uint_eq(store_count(t.target, ""), 26);
    store_check_tidy(t.f.store, "job");
    expect_aborted(&t, 2, "savepoint-job-2");
    crn_fault_store_arm(
        t.target, &(struct crn_fault_plan){.ops = CRN_FAULT_LIST,
                                           .mode = CRN_FAULT_BEFORE,
                                           .at = 2, /* the first looks whether it is a store */
                                           .code = CAIRN_EACCES});
    ck_fails(take(&t, &options, &info, reterr), CAIRN_EACCES, "savepoint 3");
    expect_aborted(&t, 3, "");
    ck_ok(take(&t, &options, &info, reterr));
    ck_assert_uint_eq(info.id, 4);
    checkpoint(&t);
    taker_done(&t);
}
END_TEST

/* Who looks at the job while such an attempt is on its way into the log sees one without a place.
 */
START_TEST(test_an_attempt_without_a_place_can_be_looked_at)
{
    struct taker t;
    cairn_savepoint_handle *handle = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    crn_fault_store_arm(
        t.target, &(struct crn_fault_plan){.ops = CRN_FAULT_LIST,
                                           .mode = CRN_FAULT_BEFORE,
                                           .at = 2, /* the first looks whether it is a store */
                                           .code = CAIRN_EACCES});
    fixture_arm(&t.f, (struct crn_fault_plan){.ops = CRN_FAULT_CREATE, .delay_us = 100000});
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    while (info.phase != CAIRN_SAVEPOINT_FAILED) {
        CRN_AUTO_FREE char *text = NULL;
        ck_ok(cairn_job_metrics(t.s.job, &text, reterr));
        ck_ok(cairn_savepoint_status(handle, &info, reterr));
    }
    cairn_savepoint_close(handle);
    taker_done(&t);
}
END_TEST

/* Two jobs of one name may share a target. What the other one has completed while ours went on is
 * its own, whatever becomes of ours. */
START_TEST(test_a_manifest_of_somebody_else_stays)
{
    struct taker t;
    cairn_savepoint_handle *handle = NULL;
    cairn_event event = {CAIRN_EVENT_NONE, 0, 0};
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    options.timeout_ms = 200;
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    while (event.type != CAIRN_EVENT_BARRIER) /* the directory was empty; other tasks do not poll */
        ck_ok(cairn_task_poll(t.s.tasks[0], &event, reterr));
    store_put_text(t.target, "savepoint-job-2/MANIFEST-chk2", "the other's");
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EABORTED, "timed out");
    ck_assert(store_has(t.target, "savepoint-job-2/MANIFEST-chk2"));
    ck_assert_uint_eq(store_count(t.target, ""), 1);
    cairn_savepoint_close(handle);
    taker_done(&t);
}
END_TEST

START_TEST(test_a_full_target_leaves_nothing)
{
    for (uint64_t at = 1; at < 12; at++) {
        struct taker t;
        taker_init(&t, FAKE);
        mutate(&t);
        crn_fault_store_arm(t.target, &(struct crn_fault_plan){.ops = CRN_FAULT_PUT,
                                                               .mode = CRN_FAULT_SHORT,
                                                               .at = at,
                                                               .and_after = true,
                                                               .code = CAIRN_ENOSPC});
        cairn_savepoint_options options =
            options_for(t.target, at % 2 == 0 ? CAIRN_CANONICAL : CAIRN_NATIVE);
        int r = take(&t, &options, NULL, NULL);
        bool fired = crn_fault_store_fired(t.target);
        ck_assert_int_eq(r, fired ? CAIRN_ENOSPC : 0);
        if (fired)
            ck_assert_uint_eq(store_count(t.target, ""), 0);
        store_check_tidy(t.f.store, "job");
        checkpoint(&t);
        taker_done(&t);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Turns, ends and races
 * ------------------------------------------------------------------------------------------ */

static int note_id(void *context, cairn_task *task, uint64_t id)
{
    (void)task;
    *(uint64_t *)context = id;
    return 0;
}

/* One task of a job of its own, polled here: every event can be seen. */
START_TEST(test_events_and_before_barrier_have_its_id)
{
    struct taker t;
    cairn_job *job = NULL;
    cairn_task *task = NULL;
    uint64_t barrier_id = 0;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_task_options task_options = CAIRN_TASK_OPTIONS_INIT;
    cairn_event event;
    taker_init(&t, FAKE);
    subject_close(&t.s);
    task_options.before_barrier = note_id;
    task_options.context = &barrier_id;
    ck_ok(fixture_open_job(&t.f, "other", &job, reterr));
    ck_ok(cairn_task_open(job, "op", &task_options, &task, reterr));
    ck_ok(cairn_job_start(job, reterr));
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(cairn_task_savepoint(task, &options, &info, reterr));
    ck_assert_uint_eq(barrier_id, info.id);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_SAVEPOINT);
    ck_assert_uint_eq(event.checkpoint_id, info.id);
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
    ck_assert_int_eq(cairn_job_last_checkpoint(job, NULL), 0);
    cairn_job_close(job);
    cairn_task_close(task);
    taker_done(&t);
}
END_TEST

/* Nobody polls, so that the first one times out; the one behind it waits for its turn. */
START_TEST(test_each_has_its_own_timeout_and_turn)
{
    struct taker t;
    struct pump pump = {0};
    cairn_savepoint_handle *first = NULL, *second = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_CANONICAL);
    options.timeout_ms = 20;
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &first, reterr));
    options.timeout_ms = 0;
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &second, reterr));
    ck_ok(cairn_savepoint_begin(t.s.job, &options, NULL, reterr));
    ck_fails(cairn_savepoint_wait(first, UINT64_MAX, NULL, reterr), CAIRN_EABORTED,
             "timed out after 20 ms");
    ck_ok(cairn_savepoint_status(first, &info, reterr));
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_FAILED);
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    ck_ok(cairn_savepoint_wait(second, UINT64_MAX, &info, reterr));
    while (!store_has(t.target, "savepoint-job-4/MANIFEST-chk4")) /* nobody holds its handle */
        crn_sleep_us(1000);
    pump_stop(&pump);
    ck_assert_uint_eq(info.id, 3); /* 2 was resolved as aborted */
    expect_state(&t, t.target, 3, &t.oracle);
    cairn_savepoint_close(first);
    cairn_savepoint_close(second);
    taker_done(&t);
}
END_TEST

START_TEST(test_closing_the_job_ends_them)
{
    struct taker t;
    cairn_savepoint_handle *flying = NULL, *waiting = NULL;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_NATIVE);
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &flying, reterr));
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &waiting, reterr));
    subject_close(&t.s);
    ck_assert_int_eq(cairn_savepoint_wait(flying, UINT64_MAX, NULL, NULL), CAIRN_ECLOSED);
    ck_assert_int_eq(cairn_savepoint_wait(waiting, 0, &info, NULL), CAIRN_ECLOSED);
    ck_ok(cairn_savepoint_status(waiting, &info, reterr));
    ck_assert_int_eq(info.phase, CAIRN_SAVEPOINT_FAILED);
    cairn_savepoint_close(flying);
    cairn_savepoint_close(waiting);
    ck_assert_uint_eq(store_count(t.target, ""), 0);
    taker_done(&t);
}
END_TEST

/* The job is closed while its store does not tell whether the log has the pointer: what stands in
 * the target is a savepoint, and nobody says otherwise. */
START_TEST(test_closing_in_doubt_says_so)
{
    struct taker t;
    struct pump pump = {0};
    cairn_savepoint_handle *handle = NULL;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.target, CAIRN_CANONICAL);
    fixture_arm(&t.f,
                (struct crn_fault_plan){.ops = CRN_FAULT_CREATE,
                                        .mode = _i == 0 ? CRN_FAULT_BEFORE : CRN_FAULT_LOST_REPLY,
                                        .at = 1,
                                        .and_after = true,
                                        .code = CAIRN_EUNKNOWN});
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    while (!crn_fault_store_fired(t.f.store))
        crn_sleep_us(1000);
    pump_stop(&pump);
    fixture_arm(&t.f, (struct crn_fault_plan){.ops = CRN_FAULT_ANY,
                                              .mode = CRN_FAULT_BEFORE,
                                              .at = 1,
                                              .and_after = true,
                                              .code = CAIRN_EUNAVAIL});
    subject_close(&t.s);
    ck_fails(cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr), CAIRN_EUNKNOWN,
             "is whole in 'savepoint-job-2'");
    fixture_disarm(&t.f, CRN_FAULT_ANY);
    expect_state(&t, t.target, 2, &t.oracle);
    cairn_savepoint_close(handle);
    taker_done(&t);
}
END_TEST

/* Another process takes the job over while the savepoint's first object, or its manifest, is under
 * way: the writer learns it, and nothing of the savepoint is left (P7). */
START_TEST(test_a_fenced_writer_withdraws_its_savepoint)
{
    struct taker t;
    struct pump pump = {0};
    struct subject successor;
    atomic_bool never = false;
    cairn_savepoint_handle *handle = NULL;
    taker_init(&t, FAKE);
    cairn_store *gate = gate_store_open(t.target);
    mutate(&t);
    checkpoint(&t);
    cairn_savepoint_options options = options_for(gate, CAIRN_CANONICAL);
    gate_stop_at(gate, _i == 0 ? CRN_FAULT_PUT : CRN_FAULT_CREATE, 1,
                 _i == 1 ? GATE_BEFORE : GATE_AFTER);
    ck_ok(cairn_savepoint_begin(t.s.job, &options, &handle, reterr));
    pump_start(&pump, t.s.tasks, SUBJECT_TASKS);
    ck_assert(gate_wait_stopped(gate, &never));
    struct fixture other = t.f;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&t.f, "successor");
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &successor, reterr));
    gate_let_go(gate);
    ck_assert_int_eq(cairn_savepoint_wait(handle, UINT64_MAX, NULL, NULL), CAIRN_EFENCED);
    pump_stop(&pump);
    cairn_event event;
    ck_assert_int_eq(cairn_task_poll(t.s.tasks[0], &event, NULL), CAIRN_EFENCED);
    cairn_savepoint_close(handle);
    ck_assert_uint_eq(store_count(t.target, ""), 0);
    ck_assert_ptr_null(oracle_compare(&t.oracle, &successor));
    subject_close(&successor);
    taker_done(&t);
    cairn_store_close(gate);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The way back
 * ------------------------------------------------------------------------------------------ */

/* A job that starts from a savepoint without claim lets the store copy what it can, and depends on
 * nothing from its first checkpoint on. */
START_TEST(test_the_first_checkpoint_lets_go_of_the_source)
{
    struct taker t;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    cairn_checkpoint_info first = CAIRN_CHECKPOINT_INFO_INIT;
    taker_init(&t, FAKE);
    mutate(&t);
    cairn_savepoint_options options = options_for(t.f.store, CAIRN_NATIVE);
    ck_ok(take(&t, &options, &info, reterr));
    subject_close(&t.s);
    CRN_AUTO_FREE char *name = name_of(info.id);
    t.f.options.restore_store = t.f.store;
    t.f.options.restore_name = name;
    ck_ok(subject_open(&t.f, "heir", &t.s, reterr));
    fixture_disarm(&t.f, CRN_FAULT_COPY);
    cairn_trigger_options trigger = CAIRN_TRIGGER_OPTIONS_INIT;
    struct pump pump = {0};
    pump_start(&pump, &t.s.tasks[1], SUBJECT_TASKS - 1);
    ck_ok(cairn_task_checkpoint(t.s.tasks[0], &trigger, &first, reterr));
    pump_stop(&pump);
    ck_assert_uint_gt(crn_fault_store_calls(t.f.store), 0);
    ck_assert(first.is_full);
    cairn_event event;
    ck_ok(cairn_task_poll(t.s.tasks[0], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_COMPLETED);
    ck_ok(cairn_task_poll(t.s.tasks[0], &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_INDEPENDENT);
    ck_assert_uint_eq(event.checkpoint_id, first.id);
    mutate(&t);
    cairn_checkpoint_info second = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_checkpoint(&t.s, false, &second, reterr));
    ck_assert(!second.is_full);
    subject_close(&t.s); /* what was subsumed is removed by then */
    store_check_tidy(t.f.store, "heir");
    t.f.options.restore_store = NULL;
    t.f.options.restore_name = NULL;
    ck_ok(subject_open(&t.f, "heir", &t.s, reterr));
    ck_assert_ptr_null(oracle_compare(&t.oracle, &t.s));
    taker_done(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("savepoint");
    TCase *tcase = tcase_create("content");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test_it_holds_the_state_at_its_barrier, 0, 2 * KINDS);
    tcase_add_loop_test(tcase, test_an_empty_job_has_savepoints, 0, 2 * KINDS);
    tcase_add_loop_test(tcase, test_the_writer_goes_on_while_it_is_written, 0, 2 * KINDS);
    tcase_add_test(tcase, test_a_native_one_is_made_of_hard_links);
    tcase_add_test(tcase, test_checkpoints_do_not_notice);
    tcase_add_test(tcase, test_tables_are_copied_by_the_store);
    tcase_add_loop_test(tcase, test_a_damaged_earlier_savepoint_is_no_matter, 0, 2 + HARMS);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("targets");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_bad_targets_are_refused);
    tcase_add_test(tcase, test_the_jobs_store_and_its_default_are_targets);
    tcase_add_test(tcase, test_what_is_in_the_way_is_left_alone);
    tcase_add_test(tcase, test_a_refusal_names_the_target);
    tcase_add_test(tcase, test_an_attempt_that_finds_no_place_is_in_the_log);
    tcase_add_test(tcase, test_an_attempt_without_a_place_can_be_looked_at);
    tcase_add_test(tcase, test_a_manifest_of_somebody_else_stays);
    tcase_add_test(tcase, test_a_full_target_leaves_nothing);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("turns");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_events_and_before_barrier_have_its_id);
    tcase_add_test(tcase, test_each_has_its_own_timeout_and_turn);
    tcase_add_test(tcase, test_closing_the_job_ends_them);
    tcase_add_loop_test(tcase, test_closing_in_doubt_says_so, 0, 2);
    tcase_add_loop_test(tcase, test_a_fenced_writer_withdraws_its_savepoint, 0, 3);
    tcase_add_test(tcase, test_the_first_checkpoint_lets_go_of_the_source);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
