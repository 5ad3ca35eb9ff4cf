/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what becomes of a file sink's output when the directory does not play along: names that
 * are taken are never overwritten, and a full disk, a failing one, a directory that is gone or not
 * ours to write lose and repeat nothing: the call says so, and goes through when it can. Method: a
 * service in this process; the disk's calls are replaced, and fail on demand.
 */
#include "tests/support/sink_kit.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Names that are taken
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_taken_names_are_passed_over)
{
    ck_ok(crn_file_make_dirs(output_dir, reterr));
    put_file("out-1-0-0", "of a job that had this name before\n");
    put_file("out-1-0-1", "too\n");
    open_emitter(1);
    write_text("mine\n");
    complete();
    emitter_close(&e);
    expect_text("out-1-0-0", "of a job that had this name before\n");
    expect_text("out-1-0-1", "too\n");
    expect_text("out-1-0-2", "mine\n");
    expect_counts(3, 0);
}
END_TEST

/* Somebody puts a file there in the meantime: it is not overwritten, and poll says so until it is
 * out of the way. Both ways to rename. */
START_TEST(test_never_overwritten)
{
    cairn_event event;
    CRN_AUTO_FREE char *path = path_of("out-1-0-0");
    CRN_AUTO_FREE char *away = path_of("away");
    disk.rename = _i == 1 ? EINVAL : 0;
    open_emitter(1);
    write_text("mine\n");
    emitter_checkpoint(&e);
    put_file("out-1-0-0", "theirs\n");
    for (int i = 0; i < 2; i++)
        ck_fails(cairn_task_poll(e.tasks[0].task, &event, reterr), CAIRN_EEXIST,
                 "out-1-0-0' is there already and another file");
    expect_text("out-1-0-0", "theirs\n");
    ck_assert_int_eq(rename(path, away), 0);
    ck_ok(emitter_poll(&e, reterr));
    expect_text("out-1-0-0", "mine\n");
    emitter_close(&e);
    expect_text("away", "theirs\n");
    expect_counts(2, 0);
}
END_TEST

/* Died between link and unlink: one file with both names is one file. */
START_TEST(test_both_names)
{
    char **names = NULL;
    size_t count = 0;
    open_emitter(1);
    write_text("a\n");
    emitter_checkpoint(&e);
    emitter_close(&e);
    ck_ok(crn_file_list_dir(output_dir, &names, &count, reterr));
    ck_assert_uint_eq(count, 1);
    CRN_AUTO_FREE char *hidden = path_of(names[0]);
    CRN_AUTO_FREE char *final = path_of("out-1-0-0");
    crn_file_free_names(names, count);
    ck_assert_int_eq(link(hidden, final), 0);
    disk.rename = _i == 1 ? EINVAL : 0;
    open_emitter(1);
    emitter_close(&e);
    expect_counts(1, 0);
    expect_text("out-1-0-0", "a\n");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Disks that are full, fail, or are gone
 * ------------------------------------------------------------------------------------------ */

#define BIG ((size_t)70000)

/* A write that fails changes nothing, and may be made again; half of it may have been written. */
START_TEST(test_full_disk)
{
    static char big[BIG], bigger[2 * BIG];
    CRN_AUTO_BUFFER struct cairn_buffer expected = {0};
    memset(big, 'a', sizeof big);
    memset(bigger, 'b', sizeof bigger);
    open_emitter(1);
    disk.pwrite = ENOSPC;
    disk.room = 1000;
    if (_i == 1) { /* the first record of a file: the file goes, too */
        ck_fails(cairn_file_sink_write(e.tasks[0].sink, bigger, sizeof bigger, reterr),
                 CAIRN_ENOSPC, output_dir);
        expect_counts(0, 0);
        complete();
        disk.room = 1000;
    }
    write_text("small\n");
    ck_fails(cairn_file_sink_write(e.tasks[0].sink, big, sizeof big, reterr), CAIRN_ENOSPC, "");
    disk.room = 30000;
    ck_fails(cairn_file_sink_write(e.tasks[0].sink, bigger, sizeof bigger, reterr), CAIRN_ENOSPC,
             "");
    write_text("fits into the buffer\n");
    disk.pwrite = 0;
    ck_ok(cairn_file_sink_write(e.tasks[0].sink, big, sizeof big, reterr));
    write_text("end\n");
    disk.pwrite = ENOSPC;
    disk.room = 2;
    ck_fails(cairn_task_checkpoint(e.tasks[0].task, NULL, NULL, reterr), CAIRN_EABORTED,
             "No space left on device");
    disk.pwrite = 0;
    complete();
    emitter_close(&e);
    ck_assert_int_eq(crn_buf_printf(&expected, "small\nfits into the buffer\n"), 0);
    ck_assert_int_eq(crn_buf_append(&expected, big, sizeof big), 0);
    ck_assert_int_eq(crn_buf_printf(&expected, "end\n"), 0);
    expect_file(_i == 1 ? "out-1-0-1" : "out-1-0-0", expected.data, expected.size);
    expect_counts(1, 0);
}
END_TEST

/* A file that was cut short by a failed write, and gets no more: what must not count is cut off. */
START_TEST(test_full_disk_leaves_no_tail)
{
    static char big[BIG];
    memset(big, 'a', sizeof big);
    open_emitter(1);
    write_text("small\n");
    disk.pwrite = ENOSPC;
    disk.room = 1000;
    ck_fails(cairn_file_sink_write(e.tasks[0].sink, big, sizeof big, reterr), CAIRN_ENOSPC, "");
    disk.pwrite = 0;
    complete();
    emitter_close(&e);
    expect_text("out-1-0-0", "small\n");
}
END_TEST

/* After a sync that failed nobody knows what the disk has: no checkpoint may build on it, also not
 * if the next sync says that all is well. A restart writes it again. */
START_TEST(test_failed_sync)
{
    open_emitter(1);
    write_text("a\n");
    disk.fdatasync = EIO;
    ck_fails(cairn_task_checkpoint(e.tasks[0].task, NULL, NULL, reterr), CAIRN_EABORTED,
             "cannot sync");
    disk.fdatasync = 0;
    for (int i = 0; i < 2; i++)
        ck_fails(cairn_task_checkpoint(e.tasks[0].task, NULL, NULL, reterr), CAIRN_EABORTED,
                 "an earlier sync");
    emitter_close(&e);
    expect_counts(0, 0);
    open_emitter(1);
    write_text("a\n");
    complete();
    emitter_close(&e);
    expect_text("out-2-0-0", "a\n");
}
END_TEST

/* The directory's sync at the barrier, and at the commit: tried again. */
START_TEST(test_failed_directory_sync)
{
    cairn_event event;
    open_emitter(1);
    write_text("a\n");
    disk.fsync = EIO;
    ck_fails(cairn_task_checkpoint(e.tasks[0].task, NULL, NULL, reterr), CAIRN_EABORTED,
             "cannot sync directory");
    disk.fsync = 0;
    ck_ok(emitter_poll(&e, reterr));
    emitter_checkpoint(&e);
    disk.fsync = EIO;
    ck_fails(cairn_task_poll(e.tasks[0].task, &event, reterr), CAIRN_EIO, "cannot sync directory");
    disk.fsync = 0;
    ck_ok(emitter_poll(&e, reterr));
    emitter_close(&e);
    expect_text("out-1-0-0", "a\n");
    expect_counts(1, 0);
}
END_TEST

START_TEST(test_not_ours_to_write)
{
    cairn_event event;
    open_emitter(1);
    disk.open = EACCES;
    ck_fails(cairn_file_sink_write(e.tasks[0].sink, "a\n", 2, reterr), CAIRN_EACCES,
             "cannot create");
    disk.open = 0;
    write_text("a\n");
    emitter_checkpoint(&e);
    disk.open = EACCES;
    ck_fails(cairn_task_poll(e.tasks[0].task, &event, reterr), CAIRN_EACCES, "cannot open");
    disk.open = 0;
    disk.rename = EPERM;
    ck_fails(cairn_task_poll(e.tasks[0].task, &event, reterr), CAIRN_EACCES, "cannot rename");
    disk.rename = 0;
    ck_ok(emitter_poll(&e, reterr));
    expect_text("out-1-0-0", "a\n");
    write_text("b\n");
    emitter_checkpoint(&e);
    emitter_close(&e);
    disk.open = EACCES;
    ck_fails(emitter_open(&f, &e, 1, &options, reterr), CAIRN_EACCES, output_dir);
    disk.open = 0;
    open_emitter(1);
    emitter_close(&e);
    expect_text("out-1-0-1", "b\n");
}
END_TEST

/* The directory is removed under the sink, and (1) made anew. */
START_TEST(test_directory_gone)
{
    open_emitter(1);
    write_text("a\n");
    ck_ok(crn_file_remove_tree(output_dir, reterr));
    if (_i == 1)
        ck_ok(crn_file_make_dirs(output_dir, reterr));
    ck_fails(cairn_task_checkpoint(e.tasks[0].task, NULL, NULL, reterr), CAIRN_EABORTED,
             "was removed while it was written");
    emitter_close(&e);
    open_emitter(1);
    write_text("a\n");
    complete();
    expect_text("out-2-0-0", "a\n");
    ck_ok(crn_file_remove_tree(output_dir, reterr));
    ck_fails(cairn_file_sink_write(e.tasks[0].sink, "b\n", 2, reterr), CAIRN_EIO, "cannot create");
    ck_ok(crn_file_make_dirs(output_dir, reterr));
    write_text("b\n");
    complete();
    emitter_close(&e);
    expect_counts(1, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_sink_fault");
    TCase *tc = tcase_create("file_sink_fault");
    tcase_add_checked_fixture(tc, sink_setup, sink_teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_taken_names_are_passed_over);
    tcase_add_loop_test(tc, test_never_overwritten, 0, 2);
    tcase_add_loop_test(tc, test_both_names, 0, 2);
    tcase_add_loop_test(tc, test_full_disk, 0, 2);
    tcase_add_test(tc, test_full_disk_leaves_no_tail);
    tcase_add_test(tc, test_failed_sync);
    tcase_add_test(tc, test_failed_directory_sync);
    tcase_add_test(tc, test_not_ours_to_write);
    tcase_add_loop_test(tc, test_directory_gone, 0, 2);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
