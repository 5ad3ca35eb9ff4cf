/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files under temporary names.
 *
 * A temporary file stands in the directory of the object that it will become, under a random name
 * that no key can have. Its writer holds an advisory lock on it: whoever clears up after crashes
 * leaves alone what is locked. Publishing is one atomic step that never replaces anything:
 * renameat2(RENAME_NOREPLACE), or link(2) and then unlink(2) where the file system does not have
 * that (NFS). A crash between these two leaves the object whole, and a second name of it to be
 * cleared up.
 */

#include "backends/storage/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

void crn_posix_temp_done(struct crn_posix_temp *temp)
{
    if (temp->fd < 0)
        return;
    if (temp->name[0] != 0)
        (void)unlinkat(temp->dir_fd, temp->name, 0); /* else reap() will */
    crn_cleanup_fd(&temp->fd);
    temp->fd = -1;
}

int crn_posix_temp_open(int dir_fd, struct crn_posix_temp *ret)
{
    uint64_t random = crn_random_u64();
    (void)snprintf(ret->name, sizeof(ret->name), CRN_STORE_TEMP_PREFIX "%016llx",
                   (unsigned long long)random);
    ret->dir_fd = dir_fd;
    ret->fd = openat(dir_fd, ret->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (ret->fd < 0)
        return -1;
    /* Without the lock (a file system that has none) the age alone protects it from reap(). */
    (void)flock(ret->fd, LOCK_EX | LOCK_NB);
    return 0;
}

/* After a lost reply a network file system repeats the request and finds its own work. */
static bool is_ours(const struct crn_posix_temp *temp, const char *name)
{
    struct stat ours, theirs;
    return fstat(temp->fd, &ours) == 0 &&
           fstatat(temp->dir_fd, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

int crn_posix_temp_publish(struct crn_posix_temp *temp, const char *name)
{
    if (renameat2(temp->dir_fd, temp->name, temp->dir_fd, name, RENAME_NOREPLACE) == 0) {
        temp->name[0] = 0;
        crn_posix_temp_done(temp);
        return 0;
    }
    int rename_errno = errno;
    if (rename_errno != EINVAL && rename_errno != ENOSYS && rename_errno != EOPNOTSUPP) {
        if (!is_ours(temp, name)) {
            errno = rename_errno;
            return -1;
        }
        temp->name[0] = 0;
        crn_posix_temp_done(temp);
        return 0;
    }
    if (linkat(temp->dir_fd, temp->name, temp->dir_fd, name, 0) < 0) {
        int os_errno = errno;
        if (os_errno != EEXIST || !is_ours(temp, name)) {
            errno = os_errno;
            return -1;
        }
    }
    crn_posix_temp_done(temp);
    return 0;
}
