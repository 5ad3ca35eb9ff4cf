/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn/sink.h promises of the file sink in a life without trouble: names, when files
 * appear, sizes and syncs; that options, calls and bytes that make no sense are refused, also if
 * the bytes are a description's (P11). (Starts after other lives: test_file_sink_restart; disks
 * that fail: test_file_sink_fault; sudden death: test_file_sink_crash.) Method: a service in this
 * process whose output directory is looked into; the disk's calls are replaced, and counted.
 */
#include "tests/support/sink_kit.h"

#include "base/file.h"
#include "engine/sinks/output_name.h"

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * When files appear, and as what
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_appears_when_complete)
{
    options.prefix = "counts";
    options.suffix = ".txt";
    open_emitter(1);
    complete();
    ck_ok(cairn_file_sink_write(e.tasks[0].sink, NULL, 0, reterr));
    complete();
    expect_counts(0, 0); /* an empty file never appears */
    write_text("a\n");
    write_text("b\n");
    expect_counts(0, 1);
    emitter_checkpoint(&e);
    expect_counts(0, 1);
    ck_ok(emitter_poll(&e, reterr));
    expect_counts(1, 0);
    expect_text("counts-1-0-0.txt", "a\nb\n");
    write_text("c\n");
    complete();
    expect_text("counts-1-0-0.txt", "a\nb\n");
    expect_text("counts-1-0-1.txt", "c\n");
    write_text("never\n");
    emitter_close(&e);
    expect_counts(2, 0); /* what no checkpoint has is removed when the task is closed */

    open_emitter(1);
    write_text("d\n");
    complete();
    emitter_close(&e);
    expect_text("counts-2-0-0.txt", "d\n");
    ck_assert_str_eq(warnings, "");
}
END_TEST

/* A directory that was missing, the uid as prefix, subtasks side by side. */
START_TEST(test_names_by_default)
{
    CRN_AUTO_FREE char *deeper = path_of("a/b");
    options.directory = deeper;
    open_emitter(3);
    ck_assert_uint_eq(emitter_write(&e, 6), 6);
    complete();
    emitter_close(&e);
    expect_text("a/b/out-1-0-0", "0\n1\n");
    expect_text("a/b/out-1-1-0", "10\n11\n");
    expect_text("a/b/out-1-2-0", "20\n21\n");
}
END_TEST

/* Records of all sizes around the buffer's, in one file. */
START_TEST(test_sizes)
{
    static const size_t sizes[] = {1, 65535, 65536, 65537, 7, 300000, 40000, 40000, 1};
    CRN_AUTO_BUFFER struct cairn_buffer expected = {0};
    open_emitter(1);
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        CRN_AUTO_FREE char *record = malloc(sizes[i]);
        ck_assert_ptr_nonnull(record);
        for (size_t n = 0; n < sizes[i]; n++)
            record[n] = (char)(n * 31 + i);
        ck_ok(cairn_file_sink_write(e.tasks[0].sink, record, sizes[i], reterr));
        ck_assert_int_eq(crn_buf_append(&expected, record, sizes[i]), 0);
    }
    complete();
    emitter_close(&e);
    expect_file("out-1-0-0", expected.data, expected.size);
}
END_TEST

/* Files that are full are followed by others, and appear together with them. */
START_TEST(test_rolling)
{
    options.max_file_bytes = 5;
    open_emitter(1);
    write_text("one\n");
    write_text("two\n");
    write_text("three\n");
    write_text("four\n");
    expect_counts(0, 3);
    emitter_checkpoint(&e);
    write_text("later ones are not in that checkpoint\n");
    write_text("nor this\n");
    expect_counts(0, 5);
    ck_ok(emitter_poll(&e, reterr));
    expect_counts(3, 2);
    expect_text("out-1-0-0", "one\ntwo\n");
    expect_text("out-1-0-1", "three\n");
    expect_text("out-1-0-2", "four\n");
    complete();
    emitter_close(&e);
    expect_counts(5, 0);
    expect_text("out-1-0-4", "nor this\n");
}
END_TEST

/* P1 for output: file and directory are synced before the checkpoint, the new name before the next.
 */
START_TEST(test_syncs)
{
    open_emitter(1);
    disk.rename = _i == 1 ? EINVAL : 0; /* as on NFS: link and unlink */
    write_text("a\n");
    ck_assert_uint_eq(disk.file_syncs + disk.directory_syncs, 0);
    emitter_checkpoint(&e);
    ck_assert_uint_eq(disk.file_syncs, 1);
    ck_assert_uint_eq(disk.directory_syncs, 1);
    ck_ok(emitter_poll(&e, reterr));
    ck_assert_uint_eq(disk.directory_syncs, 2);
    expect_counts(1, 0);
    expect_text("out-1-0-0", "a\n");
    /* Found to be done already: whoever did it may not have come to the sync. */
    emitter_close(&e);
    open_emitter(1);
    ck_assert_uint_eq(disk.directory_syncs, 3);
    emitter_close(&e);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Bad input
 * ------------------------------------------------------------------------------------------ */

/* The bytes of docs/format.md, "Prepared transactions" (P10), and back. */
START_TEST(test_format)
{
    static const char expected[] = "\1\0\4/d/e.cairn-tmp-f74c85f4c3dd7733-7-out-7-0-3.txt";
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    CRN_AUTO_OUTPUT_NAME struct crn_output_name again = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_ok(crn_output_name_make(&name, "/d/e", crn_output_tag("orders", "out", "files"), 7,
                               "out-7-0-3.txt", reterr));
    ck_assert_int_eq(crn_output_name_encode(&name, &bytes), 0);
    ck_assert_uint_eq(bytes.size, sizeof expected - 1);
    ck_assert_msg(memcmp(bytes.data, expected, bytes.size) == 0, "%s", name.hidden);
    ck_ok(crn_output_name_decode(expected, sizeof expected - 1, &again, reterr));
    ck_assert_str_eq(again.directory, "/d/e");
    ck_assert_str_eq(again.hidden, name.hidden);
    ck_assert_str_eq(again.final, "out-7-0-3.txt");
}
END_TEST

/* A sink whose transactions have whatever description the test wants. */
static const void *forged;
static size_t forged_size;

static int forge(void *context, cairn_buffer *description, cairn_error **reterr)
{
    (void)context, (void)reterr;
    return cairn_buffer_append(description, forged, forged_size);
}

static int do_nothing(void *context, const void *description, size_t size, cairn_error **reterr)
{
    (void)context, (void)description, (void)size, (void)reterr;
    return 0;
}

START_TEST(test_hostile_descriptions)
{
#define TAG "0123456789abcdef-"
#define AS_BYTES(text) text, sizeof(text) - 1
    static const struct {
        const char *bytes;
        size_t size;
        int code;
    } cases[] = {
        {AS_BYTES("\0\0\2/d.cairn-tmp-" TAG "1-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\2\0\2/d.cairn-tmp-" TAG "1-out"), CAIRN_EVERSION},
        {AS_BYTES("\1"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\0.cairn-tmp-" TAG "1-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2d/.cairn-tmp-" TAG "1-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\3/\0d.cairn-tmp-" TAG "1-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\xff\xff/d.cairn-tmp-" TAG "1-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/dpasswd"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-012345678-1-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-" TAG "-out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-" TAG "1-"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-" TAG "1-.."), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-" TAG "1-../out"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-" TAG "1-o\0ut"), CAIRN_ECORRUPT},
        {AS_BYTES("\1\0\2/d.cairn-tmp-" TAG "99999999999999999999999-out"), CAIRN_ECORRUPT},
    };
    const cairn_two_phase_functions functions = {forge, do_nothing, do_nothing, NULL, NULL, NULL};
    cairn_two_phase *sink;
    const void *description;
    size_t size;
    cairn_job *job;
    cairn_task *task;
    forged = cases[_i].bytes;
    forged_size = cases[_i].size;
    ck_ok(fixture_open_job(&f, "emitter", &job, reterr));
    ck_ok(cairn_task_open(job, "out", NULL, &task, reterr));
    ck_ok(cairn_two_phase_open(task, "files", &functions, &sink, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_ok(cairn_two_phase_current(sink, &description, &size, reterr));
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    cairn_job_close(job);
    cairn_task_close(task);
    ck_fails(emitter_open(&f, &e, 1, &options, reterr), cases[_i].code, "sink 'files'");
    ck_assert_str_eq(warnings, "");
}
END_TEST

START_TEST(test_refused_options)
{
    CRN_AUTO_FREE char *file = NULL;
    char longest[300];
    ck_ok(crn_str_printf(&file, reterr, "%s/file", f.root));
    ck_ok(crn_file_write_new(file, "", 0, false, reterr));
    memset(longest, 'x', sizeof longest);
    longest[200] = 0;
    const struct {
        const char *directory, *prefix, *suffix;
        int code;
        const char *words;
    } cases[] = {
        {NULL, NULL, NULL, CAIRN_EINVAL, "needs a directory"},
        {"", NULL, NULL, CAIRN_EINVAL, "needs a directory"},
        {file, NULL, NULL, CAIRN_EIO, file},
        {output_dir, "", NULL, CAIRN_EINVAL, "the prefix '' cannot begin"},
        {output_dir, ".x", NULL, CAIRN_EINVAL, "cannot begin a file's name"},
        {output_dir, "a/b", NULL, CAIRN_EINVAL, "cannot begin a file's name"},
        {output_dir, "a\n", NULL, CAIRN_EINVAL, "cannot begin a file's name"},
        {output_dir, NULL, "/b", CAIRN_EINVAL, "cannot end a file's name"},
        {output_dir, longest, NULL, CAIRN_EINVAL, "at most"},
    };
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        cairn_file_sink_options o = CAIRN_FILE_SINK_OPTIONS_INIT;
        o.directory = cases[i].directory;
        o.prefix = cases[i].prefix;
        o.suffix = cases[i].suffix;
        ck_fails(emitter_prepare(&f, &e, 1, &o, reterr), cases[i].code, cases[i].words);
    }
    longest[140] = 0; /* the longest that fits does fit */
    options.prefix = longest;
    open_emitter(1);
    write_text("a\n");
    complete();
    emitter_close(&e);
    expect_counts(1, 0);
}
END_TEST

START_TEST(test_refusals)
{
    cairn_job *job;
    cairn_task *task;
    cairn_file_sink *sink = NULL;
    ck_ok(fixture_open_job(&f, "emitter", &job, reterr));
    ck_ok(cairn_task_open(job, "a/b", NULL, &task, reterr));
    ck_fails(cairn_file_sink_open(task, "files", &options, &sink, reterr), CAIRN_EINVAL,
             "the uid, as no prefix is given, 'a/b'");
    options.prefix = "ab";
    ck_fails(cairn_file_sink_open(NULL, "files", &options, &sink, reterr), CAIRN_EINVAL, "");
    ck_fails(cairn_file_sink_open(task, NULL, &options, &sink, reterr), CAIRN_EINVAL, "name");
    ck_fails(cairn_file_sink_open(task, "files", NULL, &sink, reterr), CAIRN_EINVAL, "directory");
    ck_fails(cairn_file_sink_open(task, "files", &options, NULL, reterr), CAIRN_EINVAL, "");
    ck_assert_ptr_null(sink);
    ck_ok(cairn_file_sink_open(task, "files", &options, &sink, reterr));
    ck_fails(cairn_file_sink_write(sink, "a", 1, reterr), CAIRN_EINVAL, "before cairn_job_start()");
    ck_ok(cairn_job_start(job, reterr));
    ck_fails(cairn_file_sink_write(NULL, "a", 1, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_file_sink_write(sink, NULL, 1, reterr), CAIRN_EINVAL, "NULL");
    cairn_job_close(job);
    ck_fails(cairn_file_sink_write(sink, "a", 1, reterr), CAIRN_ECLOSED, "");
    cairn_task_close(task);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_sink");
    TCase *tc = tcase_create("file_sink");
    tcase_add_checked_fixture(tc, sink_setup, sink_teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_appears_when_complete);
    tcase_add_test(tc, test_names_by_default);
    tcase_add_test(tc, test_sizes);
    tcase_add_test(tc, test_rolling);
    tcase_add_loop_test(tc, test_syncs, 0, 2);
    tcase_add_test(tc, test_format);
    tcase_add_loop_test(tc, test_hostile_descriptions, 0, 16);
    tcase_add_test(tc, test_refused_options);
    tcase_add_test(tc, test_refusals);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
