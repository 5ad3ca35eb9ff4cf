/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that what a file sink has prepared appears once and in its place, whatever the next start
 * finds (P7): files that are committed, or taken by a reader, a directory that is another one, was
 * moved or is reached by a link, jobs and sinks with the same names, and a zombie; and that the
 * sweep removes what earlier runs of this sink left, and nothing else. Method: a service in this
 * process that is closed and opened again, and whose output is counted.
 */
#include "tests/support/sink_kit.h"

#include "base/file.h"
#include "engine/sinks/output_name.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Restarts
 * ------------------------------------------------------------------------------------------ */

/* The restored checkpoint has a file that was committed, in each way in which it can look. */
START_TEST(test_committed_again)
{
    open_emitter(1);
    write_text("a\n");
    emitter_checkpoint(&e);
    emitter_close(&e);
    expect_counts(0, 1);
    open_emitter(1);
    expect_text("out-1-0-0", "a\n");
    emitter_close(&e);
    open_emitter(1); /* it is there */
    emitter_close(&e);
    expect_text("out-1-0-0", "a\n");
    ck_assert_str_eq(warnings, "");

    CRN_AUTO_FREE char *path = path_of("out-1-0-0");
    ck_assert_int_eq(unlink(path), 0); /* a reader took it */
    open_emitter(1);
    emitter_close(&e);
    expect_counts(0, 0);
    ck_assert_ptr_nonnull(strstr(warnings, "out-1-0-0' is gone, hidden and final"));
}
END_TEST

/* The directory is another one than when the file was prepared: the old one is still there (0), or
 * was moved to where the new one is (1). */
START_TEST(test_another_directory)
{
    char old_dir[300];
    CRN_AUTO_FREE char *path = NULL;
    open_emitter(1);
    write_text("a\n");
    emitter_checkpoint(&e);
    emitter_close(&e);
    (void)snprintf(old_dir, sizeof old_dir, "%s", output_dir);
    (void)snprintf(output_dir, sizeof output_dir, "%s/elsewhere", f.root);
    if (_i == 1)
        ck_assert_int_eq(rename(old_dir, output_dir), 0);
    open_emitter(1);
    complete();
    emitter_close(&e);
    expect_counts(_i == 1, 0);
    ck_ok(crn_str_printf(&path, reterr, "%s/out-1-0-0", _i == 1 ? output_dir : old_dir));
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_str_eq(warnings, "");
}
END_TEST

/* The directory is reached by a link, which leads elsewhere by the time of the commit: files appear
 * where they were written, in this run (0) and in the next (1), which writes to where it leads
 * then.
 */
START_TEST(test_link_to_a_directory)
{
    char old_dir[sizeof output_dir], new_dir[sizeof output_dir];
    (void)snprintf(old_dir, sizeof old_dir, "%s/old", f.root);
    (void)snprintf(new_dir, sizeof new_dir, "%s/new", f.root);
    ck_ok(crn_file_make_dirs(old_dir, reterr));
    ck_ok(crn_file_make_dirs(new_dir, reterr));
    ck_assert_int_eq(symlink(old_dir, output_dir), 0);
    open_emitter(1);
    write_text("a\n");
    emitter_checkpoint(&e);
    ck_assert_int_eq(unlink(output_dir), 0);
    ck_assert_int_eq(symlink(new_dir, output_dir), 0);
    if (_i == 1) {
        emitter_close(&e);
        open_emitter(1);
    }
    ck_ok(emitter_poll(&e, reterr));
    write_text("b\n");
    complete();
    emitter_close(&e);
    ck_assert_str_eq(warnings, "");
    expect_counts(_i == 1, 0);
    (void)snprintf(output_dir, sizeof output_dir, "%s", old_dir);
    expect_text("out-1-0-0", "a\n");
    expect_counts(_i == 1 ? 1 : 2, 0);
}
END_TEST

/* A job of the same name in another store, in the same directory, with another prefix, as it has to
 * be: neither sweeps away what the other has prepared. */
START_TEST(test_job_of_the_same_name)
{
    struct emitter other;
    struct fixture its = f;
    cairn_file_sink_options its_options = options;
    open_emitter(1);
    write_text("a\n");
    emitter_checkpoint(&e);
    CRN_AUTO_FREE char *store = fixture_dir(&f, "other-store");
    CRN_AUTO_FREE char *uri = NULL;
    ck_ok(crn_str_printf(&uri, reterr, "file://%s", store));
    (void)snprintf(its.local_dir, sizeof its.local_dir, "%s/local2", f.root);
    its.options.local_dir = its.local_dir;
    its.options.store = NULL;
    its.options.store_uri = uri;
    its_options.prefix = "theirs";
    for (int run = 0; run < 2; run++) { /* in the second one ours is of an earlier epoch */
        ck_ok(emitter_open(&its, &other, 1, &its_options, reterr));
        emitter_checkpoint(&other);
        ck_ok(emitter_poll(&other, reterr));
        emitter_close(&other);
    }
    ck_ok(emitter_poll(&e, reterr));
    emitter_close(&e);
    expect_text("out-1-0-0", "a\n");
    ck_assert_str_eq(warnings, "");
}
END_TEST

/* Two sinks of a job whose files would have the same names: it is said at once, and not when the
 * second one cannot commit. */
START_TEST(test_same_names_in_a_job)
{
    cairn_file_sink_options o = options;
    cairn_file_sink *sink;
    cairn_task *task;
    ck_ok(emitter_prepare(&f, &e, 2, &options, reterr));
    ck_fails(cairn_file_sink_open(e.tasks[0].task, "more", &o, &sink, reterr), CAIRN_EEXIST,
             "give one of them another prefix");
    ck_ok(cairn_task_open(e.job, "another", NULL, &task, reterr));
    o.prefix = "out";
    ck_fails(cairn_file_sink_open(task, "files", &o, &sink, reterr), CAIRN_EEXIST,
             "sink 'files' of operator 'out'");
    o.suffix = ".txt"; /* is as good */
    ck_ok(cairn_file_sink_open(task, "files", &o, &sink, reterr));
    emitter_close(&e);
    cairn_task_close(task);
}
END_TEST

/* Hidden files of earlier runs of this sink go, once the first checkpoint is complete; nothing else
 * does. */
START_TEST(test_sweep)
{
    char names[8][80];
    const unsigned long long tag = crn_output_tag("emitter", "out", "files");
    (void)snprintf(names[0], 80, ".cairn-tmp-%016llx-1-out-1-0-0", tag);
    (void)snprintf(names[1], 80, ".cairn-tmp-%016llx-1-out-1-7-9.gz", tag);
    (void)snprintf(names[2], 80, ".cairn-tmp-%016llx-2-out-2-0-77", tag);    /* this run's */
    (void)snprintf(names[3], 80, ".cairn-tmp-%016llx-9-out-9-0-0", tag);     /* a later one's */
    (void)snprintf(names[4], 80, ".cairn-tmp-%016llx-1-out-1-0-0", tag ^ 1); /* another sink's */
    (void)snprintf(names[5], 80, ".cairn-tmp-%016llx-out-1-0-0", tag);       /* none of ours */
    (void)snprintf(names[6], 80, "out-1-0-0");
    (void)snprintf(names[7], 80, ".cairn-tmp-%016llx-1-prefix-1-0-0", tag); /* perhaps another's */
    open_emitter(1);
    emitter_close(&e);
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        put_file(names[i], "x");
    open_emitter(2);
    (void)emitter_write(&e, 2);
    emitter_checkpoint(&e);
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        ck_assert(has_file(names[i]));
    ck_ok(emitter_poll(&e, reterr));
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        ck_assert_int_eq(has_file(names[i]), i >= 2);
    put_file(names[0], "x"); /* once in a run */
    complete();
    ck_assert(has_file(names[0]));
    emitter_close(&e);
    ck_assert_str_eq(warnings, "");
}
END_TEST

/* What cannot be removed is told, and does not stop the job. */
START_TEST(test_sweep_fails)
{
    CRN_AUTO_FREE char *path = NULL;
    open_emitter(1);
    emitter_close(&e);
    ck_ok(crn_str_printf(&path, reterr, "%s/.cairn-tmp-%016llx-1-out-1-0-0", output_dir,
                         (unsigned long long)crn_output_tag("emitter", "out", "files")));
    ck_ok(crn_file_make_dirs(path, reterr));
    open_emitter(1);
    complete();
    emitter_close(&e);
    ck_assert_ptr_nonnull(strstr(warnings, "hidden files of earlier runs are left"));
}
END_TEST

/* P7: a process that was replaced and does not know it. */
START_TEST(test_zombie)
{
    struct emitter successor;
    struct fixture its = f;
    (void)snprintf(its.local_dir, sizeof its.local_dir, "%s/local2", f.root);
    its.options.local_dir = its.local_dir;
    open_emitter(2);
    (void)emitter_write(&e, 10);
    emitter_checkpoint(&e);      /* complete; its tasks have not learned it */
    (void)emitter_write(&e, 10); /* to be written again by the successor */

    ck_ok(emitter_open(&its, &successor, 1, &options, reterr));
    ck_ok(emitter_poll(&e, reterr)); /* commits what the successor has committed */
    struct emitter_output output = emitter_look(output_dir);
    ck_assert(!emitter_is_whole(&output));
    ck_assert_uint_eq(output.files, 2);
    (void)emitter_write(&successor, 10);
    emitter_checkpoint(&successor);
    ck_ok(emitter_poll(&successor, reterr)); /* sweeps what the zombie still writes to */
    (void)emitter_write(&e, 10);
    ck_ok(cairn_job_trigger(e.job, NULL, reterr));
    int r;
    while ((r = emitter_poll(&e, NULL)) == 0)
        crn_sleep_us(100);
    ck_assert_int_eq(r, CAIRN_EFENCED);
    (void)emitter_write(&e, 10); /* it may even go on */
    emitter_close(&e);
    emitter_run(&successor, 7);
    emitter_close(&successor);
    output = emitter_look(output_dir);
    ck_assert(emitter_is_whole(&output));
    ck_assert_uint_eq(output.hidden, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_sink_restart");
    TCase *tc = tcase_create("file_sink_restart");
    tcase_add_checked_fixture(tc, sink_setup, sink_teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_committed_again);
    tcase_add_loop_test(tc, test_another_directory, 0, 2);
    tcase_add_loop_test(tc, test_link_to_a_directory, 0, 2);
    tcase_add_test(tc, test_job_of_the_same_name);
    tcase_add_test(tc, test_same_names_in_a_job);
    tcase_add_test(tc, test_sweep);
    tcase_add_test(tc, test_sweep_fails);
    tcase_add_test(tc, test_zombie);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
