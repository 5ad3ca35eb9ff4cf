/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cairn/sink.h promises of the file sink, but for sudden death (test_file_sink_crash):
 * names, when files appear, sizes, that nothing is ever overwritten or visible twice, what a zombie
 * and the sweep may do, and what becomes of a full disk, a failing one, a directory that is gone,
 * moved or not ours to write, and of bytes that are no description (P11). Method: a service whose
 * output is counted, in this process; the disk's calls are replaced, and fail on demand.
 */
#include "tests/support/emitter.h"

#include "base/file.h"
#include "engine/sinks/output_name.h"
#include "engine/sinks/two_phase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ------------------------------------------------------------------------------------------ *
 * The disk's part, replaced
 * ------------------------------------------------------------------------------------------ */

/* Of files below the output directory only: the store has its own tests. */
static struct {
    int open, pwrite, fdatasync, fsync, rename; /* an errno to fail with; 0: none */
    size_t room;                                /* pwrite writes so much before it fails */
    unsigned file_syncs, directory_syncs;
} disk;
static char output_dir[260];

static bool is_output(int fd)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return strncmp(path, output_dir, strlen(output_dir)) == 0;
}

static int set_errno(int os_errno)
{
    errno = os_errno;
    return -1;
}

int open(const char *path, int flags, ...);
int fsync(int fd);
int fdatasync(int fd);
int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags);
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset);

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (disk.open != 0 && strncmp(path, output_dir, strlen(output_dir)) == 0)
        return set_errno(disk.open);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fsync(int fd)
{
    disk.directory_syncs += is_output(fd);
    if (disk.fsync != 0 && is_output(fd))
        return set_errno(disk.fsync);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    disk.file_syncs += is_output(fd);
    if (disk.fdatasync != 0 && is_output(fd))
        return set_errno(disk.fdatasync);
    return (int)syscall(SYS_fdatasync, fd);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
    if (disk.rename != 0 && is_output(from_fd))
        return set_errno(disk.rename);
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    if (disk.pwrite != 0 && is_output(fd)) {
        if (disk.room == 0)
            return set_errno(disk.pwrite);
        n = n < disk.room ? n : disk.room;
        disk.room -= n;
    }
    return syscall(SYS_pwrite64, fd, data, n, offset);
}

/* ------------------------------------------------------------------------------------------ *
 * A service, and what it is told
 * ------------------------------------------------------------------------------------------ */

static struct fixture f;
static cairn_file_sink_options options;
static struct emitter e;
static char warnings[4000];

static void note_warning(void *context, const cairn_log_line *line)
{
    size_t n = strlen(warnings);
    (void)context;
    if (line->level == CAIRN_LOG_WARNING && strcmp(line->component, "sink") == 0)
        (void)snprintf(warnings + n, sizeof warnings - n, "%s\n", line->message);
}

static void setup(void)
{
    emitter_init(&f);
    f.options.log = note_warning;
    (void)snprintf(output_dir, sizeof output_dir, "%s/output", f.root);
    memset(&disk, 0, sizeof disk);
    warnings[0] = 0;
    options = (cairn_file_sink_options)CAIRN_FILE_SINK_OPTIONS_INIT;
    options.directory = output_dir;
}

static void teardown(void)
{
    fixture_done(&f);
}

static void open_emitter(uint32_t parallelism)
{
    ck_ok(emitter_open(&f, &e, parallelism, &options, reterr));
}

static void complete(void)
{
    emitter_checkpoint(&e);
    ck_ok(emitter_poll(&e, reterr));
}

static char *path_of(const char *name)
{
    char *path = NULL;
    ck_ok(crn_str_printf(&path, reterr, "%s/%s", output_dir, name));
    return path;
}

static void put_file(const char *name, const char *text)
{
    CRN_AUTO_FREE char *path = path_of(name);
    ck_ok(crn_file_write_new(path, text, strlen(text), false, reterr));
}

static bool has_file(const char *name)
{
    CRN_AUTO_FREE char *path = path_of(name);
    return access(path, F_OK) == 0;
}

static void expect_file(const char *name, const void *expected, size_t expected_size)
{
    CRN_AUTO_FREE char *path = path_of(name);
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    ck_ok(crn_file_read_all(path, 1 << 24, &data, &size, reterr));
    ck_assert_uint_eq(size, expected_size);
    ck_assert_int_eq(memcmp(data, expected, size), 0);
}

static void expect_text(const char *name, const char *expected)
{
    expect_file(name, expected, strlen(expected));
}

static void write_text(const char *text)
{
    ck_ok(cairn_file_sink_write(e.tasks[0].sink, text, strlen(text), reterr));
}

static void expect_counts(unsigned files, unsigned hidden)
{
    char **names = NULL;
    size_t count = 0;
    unsigned seen[2] = {0};
    ck_ok(crn_file_list_dir(output_dir, &names, &count, reterr));
    for (size_t i = 0; i < count; i++)
        seen[strncmp(names[i], CRN_OUTPUT_HIDDEN, strlen(CRN_OUTPUT_HIDDEN)) == 0]++;
    crn_file_free_names(names, count);
    ck_assert_uint_eq(seen[0], files);
    ck_assert_uint_eq(seen[1], hidden);
}

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
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_appears_when_complete);
    tcase_add_test(tc, test_names_by_default);
    tcase_add_test(tc, test_sizes);
    tcase_add_test(tc, test_rolling);
    tcase_add_loop_test(tc, test_syncs, 0, 2);
    tcase_add_test(tc, test_committed_again);
    tcase_add_loop_test(tc, test_another_directory, 0, 2);
    tcase_add_loop_test(tc, test_link_to_a_directory, 0, 2);
    tcase_add_test(tc, test_job_of_the_same_name);
    tcase_add_test(tc, test_same_names_in_a_job);
    tcase_add_test(tc, test_sweep);
    tcase_add_test(tc, test_sweep_fails);
    tcase_add_test(tc, test_zombie);
    tcase_add_test(tc, test_taken_names_are_passed_over);
    tcase_add_loop_test(tc, test_never_overwritten, 0, 2);
    tcase_add_loop_test(tc, test_both_names, 0, 2);
    tcase_add_loop_test(tc, test_full_disk, 0, 2);
    tcase_add_test(tc, test_full_disk_leaves_no_tail);
    tcase_add_test(tc, test_failed_sync);
    tcase_add_test(tc, test_failed_directory_sync);
    tcase_add_test(tc, test_not_ours_to_write);
    tcase_add_loop_test(tc, test_directory_gone, 0, 2);
    tcase_add_test(tc, test_format);
    tcase_add_loop_test(tc, test_hostile_descriptions, 0, 16);
    tcase_add_test(tc, test_refused_options);
    tcase_add_test(tc, test_refusals);
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
