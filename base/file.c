/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The local file system, with errors that name the path.
 *
 * Nothing here follows a symbolic link when it deletes, and no short read or write gets out. A
 * failed fsync is final for its descriptor: the kernel may have dropped the dirty pages, so a
 * second fsync that succeeds would prove nothing. Callers drop the file and start over.
 */

#include "base/file.h"
#include "base/buffer.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define READ_PIECE_BYTES ((size_t)64 * 1024)
/* Linux moves at most 0x7ffff000 bytes in one call; stay clear of it. */
#define IO_PIECE_BYTES ((size_t)1 << 30)

bool crn_file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_dir(const char *path, cairn_error **reterr)
{
    if (mkdir(path, 0777) == 0)
        return 0;
    int os_errno = errno;
    /* Some file systems say EROFS or EACCES for a directory that is there. */
    if (crn_file_is_dir(path))
        return 0;
    if (os_errno == EEXIST)
        os_errno = ENOTDIR;
    return crn_err_os(reterr, os_errno, path, "cannot create directory '%s'", path);
}

int crn_file_make_dirs(const char *path, cairn_error **reterr)
{
    if (crn_file_is_dir(path))
        return 0;
    CRN_AUTO_FREE char *part = strdup(path);
    if (part == NULL)
        return crn_err_nomem(reterr);
    for (char *slash = strchr(part + 1, '/'); *part != 0 && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        CRN_TRY(make_dir(part, reterr));
        *slash = '/';
    }
    return make_dir(part, reterr);
}

int crn_file_make_absolute(const char *path, char **ret_path, cairn_error **reterr)
{
    if (path[0] == '/')
        return crn_str_printf(ret_path, reterr, "%s", path);
    CRN_AUTO_FREE char *cwd = getcwd(NULL, 0);
    if (cwd == NULL)
        return crn_err_os(reterr, errno, path, "working directory, to which '%s' is relative",
                          path);
    /* People read it: "." and "./" say nothing. */
    while (path[0] == '.' && path[1] == '/')
        path += 1 + strspn(path + 1, "/");
    if (*path == 0 || strcmp(path, ".") == 0)
        return crn_str_printf(ret_path, reterr, "%s", cwd);
    return crn_str_printf(ret_path, reterr, "%s/%s", cwd, path);
}

/* Directory entries of an open directory; fd is consumed, also on failure. */
static int read_names(int fd, const char *path, char ***ret_names, size_t *ret_count,
                      cairn_error **reterr)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int os_errno = errno;
        (void)close(fd); /* only read from */
        return crn_err_os(reterr, os_errno, path, "cannot read directory '%s'", path);
    }
    char **names = NULL;
    size_t count = 0, capacity = 0;
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count == capacity) {
            capacity = capacity > 0 ? 2 * capacity : 32;
            char **more = reallocarray(names, capacity, sizeof(*names));
            if (more == NULL) {
                r = crn_err_nomem(reterr);
                break;
            }
            names = more;
        }
        names[count] = strdup(entry->d_name);
        r = names[count] != NULL ? 0 : crn_err_nomem(reterr);
        count += r == 0;
    }
    if (r == 0 && errno != 0)
        r = crn_err_os(reterr, errno, path, "cannot read directory '%s'", path);
    (void)closedir(dir); /* only read from */
    if (r < 0) {
        crn_file_free_names(names, count);
        return r;
    }
    *ret_names = names;
    *ret_count = count;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int crn_file_list_dir(const char *path, char ***ret_names, size_t *ret_count, cairn_error **reterr)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot open directory '%s'", path);
    CRN_TRY(read_names(fd, path, ret_names, ret_count, reterr));
    if (*ret_count > 0)
        qsort(*ret_names, *ret_count, sizeof(**ret_names), compare_names);
    return 0;
}

void crn_file_free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* Removes `name` below the open directory. A name that is gone already is success: somebody else
 * may be cleaning up too. */
static int remove_at(int parent, const char *name, const char *path, cairn_error **reterr)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    int os_errno = errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, os_errno, path, "cannot remove '%s' of '%s'", name, path);
    CRN_AUTO_FD int dir = fd;
    fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot remove '%s' of '%s'", name, path);
    char **names = NULL;
    size_t count = 0;
    CRN_TRY(read_names(fd, path, &names, &count, reterr));
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = remove_at(dir, names[i], path, reterr);
    crn_file_free_names(names, count);
    if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = crn_err_os(reterr, errno, path, "cannot remove directory '%s' of '%s'", name, path);
    return r;
}

int crn_file_remove_tree(const char *path, cairn_error **reterr)
{
    return remove_at(AT_FDCWD, path, path, reterr);
}

int crn_file_sync_dir(const char *path, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot open directory '%s'", path);
    if (fsync(fd) < 0)
        return crn_err_os(reterr, errno, path, "cannot sync directory '%s'", path);
    return 0;
}

int crn_file_size(const char *path, uint64_t *ret_size, cairn_error **reterr)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return crn_err_os(reterr, errno, path, "cannot stat '%s'", path);
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

/* Reads to the end instead of believing the size, which may change or be 0 (as in /proc). The
 * buffer has room for one byte more than max_size, so that "too large" is seen by reading it. */
int crn_file_read_all(const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size,
                      cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return crn_err_os(reterr, errno, path, "cannot open '%s'", path);
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size = 0, capacity = 0;
    if (st.st_size > 0 && (uint64_t)st.st_size <= max_size)
        capacity = (size_t)st.st_size + 1;
    for (;;) {
        if (size >= capacity)
            capacity = size < READ_PIECE_BYTES ? READ_PIECE_BYTES : 2 * size;
        uint8_t *more = realloc(data, capacity + 1);
        if (more == NULL)
            return crn_err_nomem(reterr);
        data = more;
        size_t piece = capacity - size < IO_PIECE_BYTES ? capacity - size : IO_PIECE_BYTES;
        ssize_t n = read(fd, data + size, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return crn_err_os(reterr, errno, path, "cannot read '%s'", path);
        if (n == 0)
            break;
        size += (size_t)n;
        if (size > max_size)
            return crn_err_fail(reterr, CAIRN_EINVAL, path, "'%s' is larger than %zu bytes", path,
                                max_size);
    }
    data[size] = 0;
    *ret_data = CRN_TAKE(data);
    *ret_size = size;
    return 0;
}

int crn_file_write_new(const char *path, const void *data, size_t size, bool sync,
                       cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "cannot create '%s'", path);
    int r = crn_file_pwrite_all(fd, data, size, 0, path, reterr);
    if (r == 0 && sync && fsync(fd) < 0)
        r = crn_err_os(reterr, errno, path, "cannot sync '%s'", path);
    if (r < 0)
        (void)unlink(path); /* the first failure is the one to tell */
    return r;
}

/* Somebody may remove the file between open and lock; a lock on a file that no path leads to
 * excludes nobody, so look again after locking. */
int crn_file_lock(const char *path, int *ret_fd, cairn_error **reterr)
{
    for (;;) {
        CRN_AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
            return crn_err_os(reterr, errno, path, "cannot open lock file '%s'", path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EWOULDBLOCK)
                return crn_err_fail(reterr, CAIRN_EBUSY, path,
                                    "'%s' is locked by another process or handle", path);
            return crn_err_os(reterr, errno, path, "cannot lock '%s'", path);
        }
        struct stat locked, named;
        if (fstat(fd, &locked) < 0)
            return crn_err_os(reterr, errno, path, "cannot stat lock file '%s'", path);
        if (stat(path, &named) == 0 && named.st_ino == locked.st_ino &&
            named.st_dev == locked.st_dev) {
            *ret_fd = fd;
            fd = -1;
            return 0;
        }
    }
}

int crn_file_pread_all(int fd, void *data, size_t n, uint64_t offset, const char *path,
                       cairn_error **reterr)
{
    uint8_t *at = data;
    while (n > 0) {
        ssize_t got = pread(fd, at, n < IO_PIECE_BYTES ? n : IO_PIECE_BYTES, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return crn_err_os(reterr, errno, path, "cannot read '%s'", path);
        if (got == 0)
            return crn_err_fail(reterr, CAIRN_EIO, path,
                                "'%s' ends at byte %llu, %zu bytes too early", path,
                                (unsigned long long)offset, n);
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

int crn_file_pwrite_all(int fd, const void *data, size_t n, uint64_t offset, const char *path,
                        cairn_error **reterr)
{
    const uint8_t *at = data;
    while (n > 0) {
        ssize_t put = pwrite(fd, at, n < IO_PIECE_BYTES ? n : IO_PIECE_BYTES, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return crn_err_os(reterr, errno, path, "cannot write '%s'", path);
        at += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}
