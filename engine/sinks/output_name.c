/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two names of a file that a sink writes: hidden while it is nobody's business, final when its
 * checkpoint is complete.
 *
 * The hidden name tells whose it is (a tag, of job, operator and sink) and which run wrote it (the
 * epoch), so that a later run of the same sink, and nobody else, may remove it. The final name is
 * part of it: two runs that would use one final name use different hidden ones, and whoever comes
 * second finds the name taken.
 *
 * A file changes names in one atomic step that never replaces anything: renameat2() with
 * RENAME_NOREPLACE, or link(2) and unlink(2) where the file system does not have that (NFS). A
 * crash between these two leaves one file with both names; doing it again finds that out by the
 * inode.
 *
 * A description comes from a checkpoint, hence from anywhere: decoding makes sure that it can do no
 * more than take the hidden part off a hidden file's name (P11).
 */
#include "engine/sinks/output_name.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h> /* renameat2() */
#include <string.h>
#include <sys/stat.h>

#define DESCRIPTION_VERSION 1u
#define TAG_DIGITS 16u

void crn_output_name_done(struct crn_output_name *name)
{
    free(name->directory);
    free(name->hidden);
    *name = (struct crn_output_name){0};
}

uint64_t crn_output_tag(const char *job, const char *uid, const char *sink)
{
    uint64_t tag = crn_hash64_of(job, strlen(job));
    tag = crn_hash64_seeded(uid, strlen(uid), tag);
    return crn_hash64_seeded(sink, strlen(sink), tag);
}

/* Behind what every hidden name has, or NULL: it is none. */
static const char *final_part(const char *hidden, uint64_t *ret_tag, uint64_t *ret_epoch)
{
    const size_t head = strlen(CRN_OUTPUT_HIDDEN);
    static const char digits[] = "0123456789abcdef";
    if (strncmp(hidden, CRN_OUTPUT_HIDDEN, head) != 0)
        return NULL;
    const char *at = hidden + head;
    if (strspn(at, digits) != TAG_DIGITS || at[TAG_DIGITS] != '-')
        return NULL;
    *ret_tag = strtoull(at, NULL, 16);
    at += TAG_DIGITS + 1;
    size_t n = strspn(at, "0123456789");
    errno = 0;
    *ret_epoch = strtoull(at, NULL, 10);
    if (n == 0 || errno != 0 || at[n] != '-')
        return NULL;
    at += n + 1;
    return *at == 0 || *at == '.' || strchr(at, '/') != NULL ? NULL : at;
}

bool crn_output_is_old(const char *file_name, uint64_t tag, const char *prefix, uint64_t epoch)
{
    uint64_t its_tag, its_epoch;
    const size_t n = strlen(prefix);
    const char *final = final_part(file_name, &its_tag, &its_epoch);
    if (final == NULL || its_tag != tag || its_epoch >= epoch)
        return false;
    return strncmp(final, prefix, n) == 0 && final[n] == '-' &&
           strtoull(final + n + 1, NULL, 10) == its_epoch;
}

int crn_output_name_make(struct crn_output_name *ret, const char *directory, uint64_t tag,
                         uint64_t epoch, const char *final, cairn_error **reterr)
{
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    CRN_TRY(crn_str_printf(&name.hidden, reterr, CRN_OUTPUT_HIDDEN "%016llx-%llu-%s",
                           (unsigned long long)tag, (unsigned long long)epoch, final));
    CRN_TRY(crn_str_printf(&name.directory, reterr, "%s", directory));
    name.final = name.hidden + strlen(name.hidden) - strlen(final);
    *ret = name;
    name = (struct crn_output_name){0};
    return 0;
}

int crn_output_name_encode(const struct crn_output_name *name, struct cairn_buffer *out)
{
    const size_t n = strlen(name->directory);
    CRN_TRY(crn_buf_append_u8(out, DESCRIPTION_VERSION));
    CRN_TRY(crn_buf_append_be16(out, (uint16_t)n)); /* a path is shorter than PATH_MAX */
    CRN_TRY(crn_buf_append(out, name->directory, n));
    return crn_buf_append(out, name->hidden, strlen(name->hidden));
}

static int fail_decode(cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                        "a prepared transaction is not the description of a file");
}

int crn_output_name_decode(const void *data, size_t size, struct crn_output_name *ret,
                           cairn_error **reterr)
{
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    struct crn_reader reader = {.data = data, .size = size};
    const uint8_t *directory, *hidden;
    uint64_t tag, epoch;
    uint16_t n;
    uint8_t version;
    if (!crn_read_u8(&reader, &version) || version == 0)
        return fail_decode(reterr);
    if (version > DESCRIPTION_VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, NULL,
                            "the description of a file has version %u; this library knows %u",
                            version, DESCRIPTION_VERSION);
    const size_t fixed = 3;
    if (!crn_read_be16(&reader, &n) || n == 0 || n >= PATH_MAX ||
        !crn_read_bytes(&reader, n, &directory) || directory[0] != '/' ||
        size - fixed - n > NAME_MAX)
        return fail_decode(reterr);
    size_t left = crn_reader_left(&reader);
    if (!crn_read_bytes(&reader, left, &hidden) || memchr(directory, 0, n) != NULL ||
        (left > 0 && memchr(hidden, 0, left) != NULL))
        return fail_decode(reterr);
    name.directory = crn_str_dup_n(directory, n);
    name.hidden = crn_str_dup_n(hidden, left);
    if (name.directory == NULL || name.hidden == NULL)
        return crn_err_nomem(reterr);
    name.final = final_part(name.hidden, &tag, &epoch);
    if (name.final == NULL)
        return fail_decode(reterr);
    *ret = name;
    name = (struct crn_output_name){0};
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Files
 * ------------------------------------------------------------------------------------------ */

static bool is_same_file(int dir_fd, const char *a, const char *b)
{
    struct stat sa, sb;
    return fstatat(dir_fd, a, &sa, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(dir_fd, b, &sb, AT_SYMLINK_NOFOLLOW) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

/* 0, or an errno. */
static int rename_without_replacing(int dir_fd, const char *from, const char *to)
{
    if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
        if (linkat(dir_fd, from, dir_fd, to, 0) == 0)
            errno = EEXIST; /* now one file has both names */
    if (errno != EEXIST)
        return errno;
    if (!is_same_file(dir_fd, from, to))
        return EEXIST;
    return unlinkat(dir_fd, from, 0) == 0 || errno == ENOENT ? 0 : errno;
}

static int open_directory(const char *directory, cairn_error **reterr)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
        return crn_err_os(reterr, errno, directory, "cannot open directory '%s'", directory);
    return fd < 0 ? CAIRN_ENOTFOUND : fd;
}

static int sync_directory(int fd, const char *directory, cairn_error **reterr)
{
    return fsync(fd) == 0
               ? 0
               : crn_err_os(reterr, errno, directory, "cannot sync directory '%s'", directory);
}

int crn_output_reveal(const char *directory, const struct crn_output_name *name,
                      cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open_directory(directory, reterr);
    if (fd == CAIRN_ENOTFOUND)
        return 0;
    CRN_TRY(fd);
    int os_errno = rename_without_replacing(fd, name->hidden, name->final);
    if (os_errno == ENOENT)
        return 0;
    if (os_errno == EEXIST)
        return crn_err_fail(reterr, CAIRN_EEXIST, name->final,
                            "'%s/%s' is there already and another file: move it out of the way of "
                            "'%s'",
                            directory, name->final, name->hidden);
    if (os_errno != 0)
        return crn_err_os(reterr, os_errno, name->final, "cannot rename '%s/%s' to '%s'", directory,
                          name->hidden, name->final);
    CRN_TRY(sync_directory(fd, directory, reterr));
    return 1;
}

int crn_output_is_revealed(const char *directory, const struct crn_output_name *name,
                           cairn_error **reterr)
{
    struct stat st;
    CRN_AUTO_FD int fd = open_directory(directory, reterr);
    if (fd == CAIRN_ENOTFOUND)
        return 0;
    CRN_TRY(fd);
    if (fstatat(fd, name->final, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0
                               : crn_err_os(reterr, errno, name->final, "cannot stat '%s/%s'",
                                            directory, name->final);
    CRN_TRY(sync_directory(fd, directory, reterr)); /* who renamed it may have died before this */
    return 1;
}
