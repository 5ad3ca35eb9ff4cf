/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the file sink share: see the header. The calls of the C library stand here by
 * their own names, so that a program with this file has these. */
#include "tests/support/sink_kit.h"

#include "base/file.h"
#include "engine/sinks/output_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* ------------------------------------------------------------------------------------------ *
 * The disk's part, replaced
 * ------------------------------------------------------------------------------------------ */

struct sink_disk disk;
char output_dir[260];

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

struct fixture f;
cairn_file_sink_options options;
struct emitter e;
char warnings[4000];

static void note_warning(void *context, const cairn_log_line *line)
{
    size_t n = strlen(warnings);
    (void)context;
    if (line->level == CAIRN_LOG_WARNING && strcmp(line->component, "sink") == 0)
        (void)snprintf(warnings + n, sizeof warnings - n, "%s\n", line->message);
}

void sink_setup(void)
{
    emitter_init(&f);
    f.options.log = note_warning;
    (void)snprintf(output_dir, sizeof output_dir, "%s/output", f.root);
    memset(&disk, 0, sizeof disk);
    warnings[0] = 0;
    options = (cairn_file_sink_options)CAIRN_FILE_SINK_OPTIONS_INIT;
    options.directory = output_dir;
}

void sink_teardown(void)
{
    fixture_done(&f);
}

void open_emitter(uint32_t parallelism)
{
    ck_ok(emitter_open(&f, &e, parallelism, &options, reterr));
}

void complete(void)
{
    emitter_checkpoint(&e);
    ck_ok(emitter_poll(&e, reterr));
}

char *path_of(const char *name)
{
    char *path = NULL;
    ck_ok(crn_str_printf(&path, reterr, "%s/%s", output_dir, name));
    return path;
}

void put_file(const char *name, const char *text)
{
    CRN_AUTO_FREE char *path = path_of(name);
    ck_ok(crn_file_write_new(path, text, strlen(text), false, reterr));
}

bool has_file(const char *name)
{
    CRN_AUTO_FREE char *path = path_of(name);
    return access(path, F_OK) == 0;
}

void expect_file(const char *name, const void *expected, size_t expected_size)
{
    CRN_AUTO_FREE char *path = path_of(name);
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    ck_ok(crn_file_read_all(path, 1 << 24, &data, &size, reterr));
    ck_assert_uint_eq(size, expected_size);
    ck_assert_int_eq(memcmp(data, expected, size), 0);
}

void expect_text(const char *name, const char *expected)
{
    expect_file(name, expected, strlen(expected));
}

void write_text(const char *text)
{
    ck_ok(cairn_file_sink_write(e.tasks[0].sink, text, strlen(text), reterr));
}

void expect_counts(unsigned files, unsigned hidden)
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
