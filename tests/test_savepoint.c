/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn.h promises of savepoints that a running job takes, over all state backends:
 *   - a savepoint holds exactly the state at its barrier, whatever is written meanwhile (P2, P3);
 *   - it is whole wherever it is copied to, and shares nothing that anybody's removal could take
 *     away (P9); on one file system a native one is made of hard links;
 *   - checkpoints do not notice it, and the job's directory is as tidy as before (P4, P6).
 * What a savepoint holds is read back by starting another job from it. (Where it may go:
 * test_savepoint_targets.c; how it ends, and what starts from it: test_savepoint_life.c.)
 */
#include "tests/support/gate_store.h"
#include "tests/support/taker.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

int main(void)
{
    Suite *suite = suite_create("savepoint");
    TCase *tcase = tcase_create("savepoint");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test_it_holds_the_state_at_its_barrier, 0, 2 * KINDS);
    tcase_add_loop_test(tcase, test_an_empty_job_has_savepoints, 0, 2 * KINDS);
    tcase_add_loop_test(tcase, test_the_writer_goes_on_while_it_is_written, 0, 2 * KINDS);
    tcase_add_test(tcase, test_a_native_one_is_made_of_hard_links);
    tcase_add_test(tcase, test_checkpoints_do_not_notice);
    tcase_add_test(tcase, test_tables_are_copied_by_the_store);
    tcase_add_loop_test(tcase, test_a_damaged_earlier_savepoint_is_no_matter, 0, 2 + HARMS);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
