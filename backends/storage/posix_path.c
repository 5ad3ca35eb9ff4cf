/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From keys to files.
 *
 * * Every path is resolved by the kernel below the root's descriptor and through no symbolic link
 * (openat2), so neither a key nor a link planted in the store leads out of it (P11), and the root
 * may be renamed while it is open. Kernels and sandboxes without openat2 get plain openat: keys are
 * still checked, but links in the middle of a path are then followed.
 */

#include "backends/storage/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

void crn_posix_place_done(struct crn_posix_place *place)
{
    crn_cleanup_fd(&place->dir_fd);
}

int crn_posix_open_at(const struct crn_posix_store *store, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, store->root_fd, path, &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS)
        return openat(store->root_fd, path, flags | O_CLOEXEC);
    return (int)fd;
}

static void split(const char *key, char *ret_dir, const char **ret_name)
{
    const char *slash = strrchr(key, '/');
    size_t n = slash != NULL ? (size_t)(slash - key) : 0;
    memcpy(ret_dir, n > 0 ? key : ".", n > 0 ? n : 1);
    ret_dir[n > 0 ? n : 1] = 0;
    *ret_name = slash != NULL ? slash + 1 : key;
}

/* Each directory on the way to `dir` and itself; -1 with errno. */
static int make_dirs(struct crn_posix_store *store, const char *dir)
{
    char path[CRN_STORE_KEY_MAX + 1];
    for (size_t end = strcspn(dir, "/");; end += 1 + strcspn(dir + end + 1, "/")) {
        memcpy(path, dir, end);
        path[end] = 0;
        CRN_AUTO_PLACE struct crn_posix_place parent = CRN_POSIX_NO_PLACE;
        split(path, parent.dir, &parent.name);
        parent.dir_fd = crn_posix_open_at(store, parent.dir, O_PATH | O_DIRECTORY);
        if (parent.dir_fd < 0)
            return -1;
        if (mkdirat(parent.dir_fd, parent.name, 0777) == 0)
            crn_posix_forget_anchor(store, path);
        else if (errno != EEXIST)
            return -1;
        if (dir[end] == 0)
            return 0;
    }
}

int crn_posix_find_place(struct crn_posix_store *store, const char *key, bool create,
                         struct crn_posix_place *ret)
{
    crn_posix_place_done(ret);
    split(key, ret->dir, &ret->name);
    ret->dir_fd = crn_posix_open_at(store, ret->dir, O_PATH | O_DIRECTORY);
    if (ret->dir_fd >= 0)
        return 0;
    if (errno != ENOENT || !create || make_dirs(store, ret->dir) < 0)
        return -1;
    ret->dir_fd = crn_posix_open_at(store, ret->dir, O_PATH | O_DIRECTORY);
    return ret->dir_fd >= 0 ? 0 : -1;
}

cairn_object_stat crn_posix_stat_of(const struct stat *st)
{
    /* Not the time of the last write: for a linked file that is older than the object. */
    return (cairn_object_stat){.size = (uint64_t)st->st_size,
                               .modified_ms = (int64_t)st->st_ctim.tv_sec * 1000 +
                                              st->st_ctim.tv_nsec / 1000000};
}

int crn_posix_open_object(const struct crn_posix_store *store, const char *key, int flags,
                          int *ret_fd, cairn_object_stat *ret_stat, cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    /* A named pipe that somebody left in the store must not hang a restore. */
    if ((flags & O_PATH) == 0)
        flags |= O_NONBLOCK;
    CRN_AUTO_FD int fd = crn_posix_open_at(store, key, flags | O_NOFOLLOW);
    struct stat st;
    if ((fd < 0 && (errno == ENOENT || errno == ENOTDIR)) ||
        (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, key, "no object '%s'", key);
    if (fd < 0 || fstat(fd, &st) < 0)
        return crn_posix_fail(reterr, errno, key, "cannot open");
    *ret_fd = fd;
    *ret_stat = crn_posix_stat_of(&st);
    fd = -1;
    return 0;
}

static bool may_pass(int os_errno)
{
    switch (os_errno) {
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case ESTALE:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

int crn_posix_fail(cairn_error **reterr, int os_errno, const char *key, const char *what)
{
    if (os_errno == ELOOP)
        return crn_err_fail(reterr, CAIRN_EACCES, key,
                            "%s '%s': symbolic links are not followed inside a store", what, key);
    if (!may_pass(os_errno))
        return crn_err_os(reterr, os_errno, key, "%s '%s'", what, key);
    CRN_AUTO_FREE char *message = NULL;
    if (crn_str_printf(&message, NULL, "%s '%s': %s", what, key, strerrordesc_np(os_errno)) < 0)
        message = NULL; /* the code's own text then */
    return cairn_error_set(reterr, CAIRN_EUNAVAIL, key, os_errno, message);
}
