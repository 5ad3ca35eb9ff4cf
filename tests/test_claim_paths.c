/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting from a snapshot that is named by a path on disk: in each claim mode, by the job's own
 * directory, by a manifest in it, from a place without a snapshot, and between stores that cannot
 * link from each other. The snapshot was moved there before (P9).
 */
#include "tests/support/claim_kit.h"

#include "cairn/inspect.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/log/joblog.h"
#include "manifest/marks.h"

#include <stdio.h>
#include <string.h>

static char *store_path, *moved_path;

/* The savepoint stands in another directory than the job's store, moved there (P9). */
static void setup_disk(void)
{
    struct subject src;
    CRN_AUTO_FREE char *from = NULL;
    fixture_init(&f, true);
    oracle_init(&oracle);
    seed = 9;
    ck_ok(subject_open(&f, "src", &src, reterr));
    oracle_mutate(&oracle, &src, &seed, 60);
    ck_ok(subject_checkpoint(&src, false, NULL, reterr));
    subject_close(&src);
    savepoint_of_checkpoint(f.store, "src", SAVEPOINT);
    store_path = fixture_dir(&f, "store-of-target");
    CRN_AUTO_FREE char *saves = fixture_dir(&f, "saves");
    ck_ok(crn_file_make_dirs(saves, reterr));
    moved_path = fixture_dir(&f, "saves/moved");
    ck_ok(crn_str_printf(&from, reterr, "%s/" SAVEPOINT, f.store_dir));
    ck_assert_int_eq(rename(from, moved_path), 0);
    f.options.store = NULL;
    f.options.store_uri = store_path;
}

static void teardown_disk(void)
{
    fixture_done(&f);
    free(store_path);
    free(moved_path);
}

START_TEST(test_a_path_on_disk_in_each_mode)
{
    struct subject s;
    f.options.restore_uri = moved_path;
    f.options.claim_mode = (cairn_claim_mode)_i;
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    f.options.restore_uri = NULL;
    f.options.claim_mode = CAIRN_NO_CLAIM;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    oracle_mutate(&oracle, &s, &seed, 5);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_int_eq(info.is_full, _i == CAIRN_NO_CLAIM);
    subject_close(&s);
    ck_assert_int_eq(crn_file_is_dir(moved_path), _i != CAIRN_CLAIM);
    ck_ok(crn_file_remove_tree(moved_path, reterr)); /* nobody needs it any more */
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
}
END_TEST

START_TEST(test_the_own_directory_by_path)
{
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    CRN_AUTO_FREE char *own = NULL;
    ck_ok(crn_str_printf(&own, reterr, "%s/src", f.store_dir));
    f.options.store_uri = f.store_dir;
    f.options.restore_uri = own;
    f.options.claim_mode = CAIRN_CLAIM;
    ck_ok(subject_open(&f, "src", &s, reterr));
    check_state(&s);
    ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
    ck_assert_uint_eq(info.id, 2);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_int_eq(info.is_full, 0);
    subject_close(&s);
}
END_TEST

/* The id in the manifest's name counts, in another job's directory and in the own one. */
START_TEST(test_a_manifest_names_its_checkpoint)
{
    struct subject s;
    struct oracle newer;
    cairn_job *job;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    CRN_AUTO_FREE char *manifest = NULL;
    ck_ok(crn_str_printf(&manifest, reterr, "%s/src/MANIFEST-chk2", f.store_dir));
    oracle_init(&newer);
    f.options.num_retained = 9;
    f.options.store_uri = f.store_dir;
    ck_ok(subject_open(&f, "src", &s, reterr));
    oracle_mutate(&newer, &s, &seed, 20);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_uint_eq(info.id, 4);
    ck_assert_ptr_nonnull(oracle_compare(&oracle, &s));
    subject_close(&s);

    f.options.restore_uri = manifest;
    f.options.store_uri = _i == 0 ? f.store_dir : store_path;
    const char *name = _i == 0 ? "src" : "target";
    f.options.restore_checkpoint_id = 4;
    ck_fails(fixture_open_job(&f, name, &job, reterr), CAIRN_EINVAL, "names checkpoint 2");
    f.options.restore_checkpoint_id = 0;
    ck_ok(subject_open(&f, name, &s, reterr));
    check_state(&s);
    subject_close(&s);
}
END_TEST

START_TEST(test_a_path_without_a_snapshot)
{
    cairn_job *job;
    CRN_AUTO_FREE char *nothing = fixture_dir(&f, "nothing");
    f.options.claim_mode = CAIRN_CLAIM;
    f.options.restore_uri = nothing;
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_ENOTFOUND, "restore_only_if_new");
    f.options.restore_uri = f.store_dir; /* a whole store */
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_ENOTFOUND, "name the directory");
    ck_assert(!crn_file_is_dir(nothing));
    CRN_AUTO_FREE char *here = getcwd(NULL, 0);
    CRN_AUTO_FREE char *whole = NULL;
    ck_ok(crn_str_printf(&whole, reterr, "'%s/not/there'", here));
    f.options.restore_uri = "not/there";
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_ENOTFOUND, whole);
    f.options.restore_uri = "";
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "restore_uri is empty");
}
END_TEST

/* Between stores that cannot copy from each other the bytes come through here, verified. */
START_TEST(test_a_claim_between_unlike_stores)
{
    struct subject s;
    cairn_store *other = NULL, *posix = f.store;
    CRN_AUTO_FREE char *back = NULL;
    ck_ok(crn_str_printf(&back, reterr, "%s/" SAVEPOINT, f.store_dir));
    ck_assert_int_eq(rename(moved_path, back), 0);
    other = store_clone(posix); /* into memory */
    f.options.restore_store = other;
    f.options.restore_name = SAVEPOINT;
    f.options.claim_mode = CAIRN_CLAIM;
    if (_i == 1) {
        CRN_AUTO_FREE char *key = store_live_object(other, SAVEPOINT, false);
        cairn_job *job;
        store_damage(other, key);
        ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_ECORRUPT, key);
    } else {
        ck_ok(subject_open(&f, "target", &s, reterr));
        check_state(&s);
        subject_close(&s);
        check_is_gone(other, SAVEPOINT);
    }
    cairn_store_close(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim by path");
    TCase *disk = tcase_create("disk");
    tcase_set_timeout(disk, 60);
    tcase_add_checked_fixture(disk, setup_disk, teardown_disk);
    tcase_add_loop_test(disk, test_a_path_on_disk_in_each_mode, 0, 3);
    tcase_add_test(disk, test_the_own_directory_by_path);
    tcase_add_loop_test(disk, test_a_manifest_names_its_checkpoint, 0, 2);
    tcase_add_test(disk, test_a_path_without_a_snapshot);
    tcase_add_loop_test(disk, test_a_claim_between_unlike_stores, 0, 2);
    suite_add_tcase(suite, disk);
    return crn_test_run(suite);
}
