/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How objects come into a directory, and leave it without being copied.
 *
 * Invariant (P1): a name appears only when the bytes under it are complete and synced. put() tries,
 * as the transfer mode allows: a hard link to the source's file, a reflink of it, a copy. The
 * latter two begin under a temporary name. A linked file is synced first as well: RocksDB syncs
 * its tables, but not everything it writes. The name becomes durable with the next flush()
 * (posix_sync.c); create() does that itself.
 *
 * copy() is a put() from another object, which is synced already.
 *
 * put() never replaces. A key that exists is compared byte by byte with the source: same bytes mean
 * that an earlier put of them was not acknowledged, so this one succeeds; others are CAIRN_EEXIST.
 *
 * The object's directory may vanish at any time before the first name of ours stands in it:
 * remove() drops directories that it emptied. Then, and when reap() of another process took the
 * temporary file, the put starts over.
 *
 * Crash: a temporary file may stay, for reap(). After create() returned, its object stays.
 */

#include "backends/storage/posix.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define COPY_PIECE_BYTES                                                                           \
    ((size_t)256 << 10) /* stays in the second-level cache while it is hashed */
/* Dirty pages are handed to the disk this early, so that the sync at the end has little left. */
#define WRITEBACK_BYTES ((uint64_t)8 << 20)
#define TRIES 100

/* Outcomes of one way or one try; above 0, so that they cannot be mistaken for results. */
enum { START_OVER = 1, NEXT_WAY = 2 };

/* Where an object's bytes come from. */
struct origin {
    cairn_source *source;
    int dir_fd;       /* where `name` begins */
    const char *name; /* a file that may be linked, NULL: there is none */
    bool is_object;   /* it is synced already, and was looked at */
    int fd;           /* of an object: the file; else -1 */
};

static struct crn_posix_store *self(cairn_store *store)
{
    return (struct crn_posix_store *)store;
}

/* What a failed step in the object's directory means. */
static int failed(cairn_error **reterr, int os_errno, const char *key, const char *what)
{
    if (os_errno == ENOENT || os_errno == EEXIST)
        return START_OVER;
    return crn_posix_fail(reterr, os_errno, key, what);
}

static bool cannot_link(int os_errno)
{
    return os_errno == EXDEV || os_errno == EMLINK || os_errno == EPERM || os_errno == EOPNOTSUPP ||
           os_errno == ENOSYS;
}

static bool cannot_clone(int os_errno)
{
    return os_errno == EXDEV || os_errno == EOPNOTSUPP || os_errno == ENOTTY ||
           os_errno == EINVAL || os_errno == ENOSYS || os_errno == EPERM || os_errno == ETXTBSY;
}

/* The file to link, checked to be what it was said to be. */
static int open_link_source(const struct origin *origin, int *ret_fd, struct stat *ret_stat,
                            cairn_error **reterr)
{
    const char *path = origin->name;
    CRN_AUTO_FD int fd =
        openat(origin->dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && origin->is_object)
        return START_OVER;
    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return crn_posix_fail(reterr, errno, path, "cannot open");
    if (!S_ISREG(ret_stat->st_mode) || (uint64_t)ret_stat->st_size != origin->source->size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, path,
                            "'%s' is not a file of %llu bytes, as was said", path,
                            (unsigned long long)origin->source->size);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int put_link(const struct crn_posix_place *place, const char *key,
                    const struct origin *origin, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = -1;
    struct stat from, to;
    const int r = open_link_source(origin, &fd, &from, reterr);
    if (r != 0)
        return r;
    if (fstat(place->dir_fd, &to) == 0 && from.st_dev != to.st_dev)
        return NEXT_WAY; /* known before the file is synced for nothing */
    if (!origin->is_object && fdatasync(fd) < 0)
        return crn_posix_fail(reterr, errno, origin->name, "cannot sync");
    if (linkat(origin->dir_fd, origin->name, place->dir_fd, place->name, 0) == 0)
        return 0;
    return cannot_link(errno) ? NEXT_WAY : failed(reterr, errno, key, "cannot link");
}

static int clone_bytes(int to, const char *key, const struct origin *origin, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = -1;
    struct stat from;
    const int r = open_link_source(origin, &fd, &from, reterr);
    if (r != 0)
        return r;
    if (ioctl(to, FICLONE, fd) == 0)
        return 0;
    return cannot_clone(errno) ? NEXT_WAY : crn_posix_fail(reterr, errno, key, "cannot reflink");
}

/* Within the kernel, or by the server of a network file system. What it did not do, for whatever
 * reason, is copied again by reading and writing, which has better words for errors. */
static bool copy_in_kernel(int to, const struct origin *origin)
{
    uint64_t done = 0;
    while (done < origin->source->size) {
        loff_t from_offset = (loff_t)done, to_offset = (loff_t)done;
        const ssize_t n = copy_file_range(origin->fd, &from_offset, to, &to_offset,
                                          origin->source->size - done, 0);
        if (n <= 0)
            return false;
        done += (uint64_t)n;
    }
    return true;
}

static int copy_bytes(int fd, const char *key, cairn_source *source, cairn_error **reterr)
{
    size_t piece = source->size < COPY_PIECE_BYTES ? (size_t)source->size : COPY_PIECE_BYTES;
    CRN_AUTO_FREE uint8_t *bytes = malloc(piece + 1);
    if (bytes == NULL)
        return crn_err_nomem(reterr);
    uint64_t done = 0, handed_over = 0;
    while (done < source->size) {
        size_t n = source->size - done < piece ? (size_t)(source->size - done) : piece;
        CRN_TRY(source->read(source, done, bytes, n, reterr));
        CRN_TRY(crn_file_pwrite_all(fd, bytes, n, done, key, reterr));
        done += n;
        if (done - handed_over >= WRITEBACK_BYTES) {
            /* Only a start; what fails is told by fdatasync(). */
            (void)sync_file_range(fd, (off_t)handed_over, (off_t)(done - handed_over),
                                  SYNC_FILE_RANGE_WRITE);
            handed_over = done;
        }
    }
    return 0;
}

/* Errors by which a file system says that it did not give the name. After any other one (a network
 * file system's EIO, ETIMEDOUT, ESTALE) the step may have happened, or may happen yet. */
static bool refused_naming(int os_errno)
{
    switch (os_errno) {
    case EEXIST:
    case ENOENT:
    case ENOTDIR:
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EACCES:
    case EPERM:
    case EMLINK:
    case ENAMETOOLONG:
    case ENOMEM:
        return true;
    default:
        return false;
    }
}

static int publish(struct crn_posix_temp *temp, const struct crn_posix_place *place,
                   const char *key, cairn_error **reterr)
{
    if (fdatasync(temp->fd) < 0)
        return crn_posix_fail(reterr, errno, key, "cannot sync");
    if (crn_posix_temp_publish(temp, place->name) < 0)
        return refused_naming(errno) ? failed(reterr, errno, key, "cannot name")
                                     : crn_err_fail(reterr, CAIRN_EUNKNOWN, key,
                                                    "it is not known whether '%s' was created: %s",
                                                    key, strerror(errno));
    return 0;
}

static int not_possible(const char *key, const char *way, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, key,
                        "'%s' cannot be made by %s: the local directory is on another file system, "
                        "or this one does not support it; use transfer=auto",
                        key, way);
}

/* A new file of its own: reflinked if the mode lets us and the file system can, else copied. */
static int put_file(const struct crn_posix_place *place, const char *key,
                    const struct origin *origin, enum crn_transfer mode, cairn_put_how *how,
                    cairn_error **reterr)
{
    CRN_AUTO_TEMP struct crn_posix_temp temp = CRN_POSIX_NO_TEMP;
    if (crn_posix_temp_open(place->dir_fd, &temp) < 0)
        return failed(reterr, errno, key, "cannot create");
    int r = NEXT_WAY;
    if (mode != CRN_TRANSFER_COPY) {
        *how = CAIRN_PUT_CLONED;
        r = clone_bytes(temp.fd, key, origin, reterr);
    }
    if (r == NEXT_WAY && mode == CRN_TRANSFER_REFLINK)
        return not_possible(key, "reflink", reterr);
    if (r == NEXT_WAY) {
        *how = CAIRN_PUT_COPIED;
        r = origin->is_object && mode != CRN_TRANSFER_COPY && copy_in_kernel(temp.fd, origin)
                ? 0
                : copy_bytes(temp.fd, key, origin->source, reterr);
    }
    return r != 0 ? r : publish(&temp, place, key, reterr);
}

static int exists_already(const char *key, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EEXIST, key, "object '%s' exists with other bytes", key);
}

/* The key exists. 0 if the object is the source, byte by byte. */
static int compare(struct crn_posix_store *store, const char *key, const struct origin *origin,
                   cairn_put_how *how, cairn_error **reterr)
{
    cairn_source *source = origin->source;
    CRN_AUTO_FD int fd = -1;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    int r = crn_posix_open_object(store, key, O_RDONLY, &fd, &stat, &error);
    if (r == CAIRN_ENOTFOUND || (r == 0 && stat.size != source->size))
        return exists_already(key, reterr); /* not found: some other kind of file */
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    struct stat ours, theirs;
    if (origin->name != NULL && fstat(fd, &theirs) == 0 &&
        fstatat(origin->dir_fd, origin->name, &ours, AT_SYMLINK_NOFOLLOW) == 0 &&
        ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev) {
        *how = CAIRN_PUT_LINKED;
        return 0;
    }
    CRN_AUTO_FREE uint8_t *bytes = malloc(2 * COPY_PIECE_BYTES);
    if (bytes == NULL)
        return crn_err_nomem(reterr);
    for (uint64_t done = 0; done < source->size;) {
        uint64_t left = source->size - done;
        size_t n = left < COPY_PIECE_BYTES ? (size_t)left : COPY_PIECE_BYTES;
        CRN_TRY(source->read(source, done, bytes, n, reterr));
        CRN_TRY(crn_file_pread_all(fd, bytes + COPY_PIECE_BYTES, n, done, key, reterr));
        if (memcmp(bytes, bytes + COPY_PIECE_BYTES, n) != 0)
            return exists_already(key, reterr);
        done += n;
    }
    *how = CAIRN_PUT_COPIED;
    return 0;
}

static int put_once(struct crn_posix_store *store, const char *key, const struct origin *origin,
                    struct crn_posix_place *place, cairn_put_how *how, cairn_error **reterr)
{
    if (crn_posix_find_place(store, key, true, place) < 0)
        return failed(reterr, errno, key, "cannot make the directory of");
    struct stat st;
    if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return compare(store, key, origin, how, reterr);
    enum crn_transfer mode = origin->name != NULL ? store->transfer : CRN_TRANSFER_COPY;
    if (mode == CRN_TRANSFER_AUTO || mode == CRN_TRANSFER_LINK) {
        *how = CAIRN_PUT_LINKED;
        int r = put_link(place, key, origin, reterr);
        if (r != NEXT_WAY)
            return r;
        if (mode == CRN_TRANSFER_LINK)
            return not_possible(key, "hard link", reterr);
    }
    return put_file(place, key, origin, mode, how, reterr);
}

static int restless(const char *key, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EUNAVAIL, key,
                        "the directory of '%s' vanishes again and again; was the store removed?",
                        key);
}

static int put_and_mark(struct crn_posix_store *store, const char *key, const struct origin *origin,
                        cairn_put_how *ret_how, cairn_error **reterr)
{
    CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
    cairn_put_how how = CAIRN_PUT_COPIED;
    int r = put_once(store, key, origin, &place, &how, reterr);
    if (r != 0)
        return r;
    crn_posix_mark_dirty(store, place.dir);
    if (ret_how != NULL)
        *ret_how = how;
    return 0;
}

int crn_posix_put(cairn_store *store, const char *key, cairn_source *source, cairn_put_how *ret_how,
                  cairn_error **reterr)
{
    const struct origin origin = {
        .source = source, .dir_fd = AT_FDCWD, .name = source->link_path, .fd = -1};
    CRN_TRY(crn_store_check_key(key, reterr));
    for (int i = 0; i < TRIES; i++) {
        int r = put_and_mark(self(store), key, &origin, ret_how, reterr);
        if (r != START_OVER)
            return r;
    }
    return restless(key, reterr);
}

/* Another object as a source. */
struct object_source {
    cairn_source source;
    const char *key;
    int fd;
};

static int read_object(cairn_source *base, uint64_t offset, void *data, size_t n,
                       cairn_error **reterr)
{
    const struct object_source *source = (const struct object_source *)base;
    return crn_file_pread_all(source->fd, data, n, offset, source->key, reterr);
}

static int copy_once(struct crn_posix_store *store, const char *key, struct crn_posix_store *from,
                     const char *from_key, cairn_put_how *ret_how, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = -1;
    CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
    cairn_object_stat stat;
    CRN_TRY(crn_posix_open_object(from, from_key, O_RDONLY, &fd, &stat, reterr));
    if (crn_posix_find_place(from, from_key, false, &place) < 0)
        return failed(reterr, errno, from_key, "cannot open the directory of");
    struct object_source source = {
        .source = {.size = stat.size, .read = read_object}, .key = from_key, .fd = fd};
    const struct origin origin = {.source = &source.source,
                                  .dir_fd = place.dir_fd,
                                  .name = place.name,
                                  .is_object = true,
                                  .fd = fd};
    return put_and_mark(store, key, &origin, ret_how, reterr);
}

int crn_posix_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                   cairn_put_how *ret_how, cairn_error **reterr)
{
    if (!crn_posix_is(from))
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, from_key,
                            "'%s' is not in a directory: it cannot be linked or cloned", from_key);
    CRN_TRY(crn_store_check_key(key, reterr));
    for (int i = 0; i < TRIES; i++) {
        int r = copy_once(self(store), key, self(from), from_key, ret_how, reterr);
        if (r != START_OVER)
            return r;
    }
    return restless(key, reterr);
}

static int create_once(struct crn_posix_store *store, const char *key, const void *data,
                       size_t size, struct crn_posix_place *place, cairn_error **reterr)
{
    if (crn_posix_find_place(store, key, true, place) < 0)
        return failed(reterr, errno, key, "cannot make the directory of");
    struct stat st;
    if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return crn_err_fail(reterr, CAIRN_EEXIST, key, "object '%s' exists", key);
    CRN_AUTO_TEMP struct crn_posix_temp temp = CRN_POSIX_NO_TEMP;
    if (crn_posix_temp_open(place->dir_fd, &temp) < 0)
        return failed(reterr, errno, key, "cannot create");
    CRN_TRY(crn_file_pwrite_all(temp.fd, data, size, 0, key, reterr));
    return publish(&temp, place, key, reterr);
}

/* From the moment that the name stands, others may have seen the object: what fails after that
 * leaves the outcome unknown. It is not taken away again, since somebody may have built on it. */
int crn_posix_create(cairn_store *store, const char *key, const void *data, size_t size,
                     cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    CRN_TRY(crn_posix_check_doubt(self(store), reterr));
    for (int i = 0; i < TRIES; i++) {
        CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
        int r = create_once(self(store), key, data, size, &place, reterr);
        if (r == START_OVER)
            continue;
        if (r == 0 || r == CAIRN_EUNKNOWN) /* who finds the name there asks flush() for it */
            crn_posix_mark_dirty(self(store), place.dir);
        if (r < 0)
            return r;
        CRN_AUTO_ERROR cairn_error *why = NULL;
        if (crn_posix_flush(store, &why) < 0)
            return crn_err_fail(reterr, CAIRN_EUNKNOWN, key,
                                "'%s' was created, but it is not known to be durable: %s", key,
                                cairn_error_message(why));
        return 0;
    }
    return restless(key, reterr);
}

int crn_posix_link_out(cairn_store *base, const char *key, const char *path, cairn_put_how *ret_how,
                       cairn_error **reterr)
{
    struct crn_posix_store *store = self(base);
    CRN_AUTO_FD int fd = -1;
    cairn_object_stat stat;
    CRN_TRY(crn_posix_open_object(store, key, O_RDONLY, &fd, &stat, reterr));
    cairn_put_how how = CAIRN_PUT_LINKED;
    bool done = false;
    if (store->transfer == CRN_TRANSFER_AUTO || store->transfer == CRN_TRANSFER_LINK) {
        CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
        done = crn_posix_find_place(store, key, false, &place) == 0 &&
               linkat(place.dir_fd, place.name, AT_FDCWD, path, 0) == 0;
        if (!done && errno == EEXIST)
            return crn_err_fail(reterr, CAIRN_EEXIST, path, "'%s' exists", path);
        if (!done && !cannot_link(errno))
            return crn_posix_fail(reterr, errno, path, "cannot link an object as");
    }
    if (!done &&
        (store->transfer == CRN_TRANSFER_AUTO || store->transfer == CRN_TRANSFER_REFLINK)) {
        how = CAIRN_PUT_CLONED;
        CRN_AUTO_FD int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (to < 0 && errno == EEXIST)
            return crn_err_fail(reterr, CAIRN_EEXIST, path, "'%s' exists", path);
        if (to < 0)
            return crn_posix_fail(reterr, errno, path, "cannot create");
        done = ioctl(to, FICLONE, fd) == 0;
        if (!done)
            (void)unlink(path); /* empty, and made just now */
    }
    if (!done)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, key, "'%s' can only be copied", key);
    if (ret_how != NULL)
        *ret_how = how;
    return 0;
}
