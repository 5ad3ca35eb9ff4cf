/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A directory as a store: a key is a path below the root, an object is a file.
 *
 *   posix.c       open and close, reading, removal
 *   posix_path.c  from keys to descriptors, never out of the root
 *   posix_put.c   put, copy, create, link_out
 *   posix_temp.c  files on their way to a name
 *   posix_list.c  listings, and clearing up temporary files
 *   posix_sync.c  flush: which directories have to be synced
 *
 * A key cannot be an object and a directory of others at once; Cairn's never are.
 *
 * remove() also drops the directory that it emptied, and those above that have become empty by it,
 * so that a subsumed checkpoint leaves no chk-N behind and a removed job or savepoint nothing at
 * all (P6). Only `shared`, which is needed again at once, stays as long as anything stands beside
 * it. A put that loses its directory to this starts over.
 *
 * The only lock guards the marks of posix_sync.c; everything else is left to the kernel.
 */

#include "backends/storage/posix.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_PIECE_BYTES ((size_t)1 << 20)
#define SHARED "shared"

static struct crn_posix_store *self(cairn_store *store)
{
    return (struct crn_posix_store *)store;
}

static int posix_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                     cairn_sink *sink, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = -1;
    cairn_object_stat stat;
    CRN_TRY(crn_posix_open_object(self(store), key, O_RDONLY, &fd, &stat, reterr));
    CRN_TRY(crn_store_check_range(key, stat.size, offset, size, &size, reterr));
    size_t piece = size < READ_PIECE_BYTES ? (size_t)size : READ_PIECE_BYTES;
    CRN_AUTO_FREE uint8_t *bytes = malloc(piece + 1);
    if (bytes == NULL)
        return crn_err_nomem(reterr);
    (void)posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_SEQUENTIAL); /* a hint */
    for (uint64_t done = 0; done < size;) {
        size_t n = size - done < piece ? (size_t)(size - done) : piece;
        CRN_TRY(crn_file_pread_all(fd, bytes, n, offset + done, key, reterr));
        CRN_TRY(sink->write(sink, done, bytes, n, reterr));
        done += n;
    }
    return 0;
}

static int posix_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                      cairn_error **reterr)
{
    CRN_AUTO_FD int fd = -1;
    return crn_posix_open_object(self(store), key, O_PATH, &fd, ret_stat, reterr);
}

/* Is there nothing in it but a directory `shared`? Not if that cannot be told. */
static bool has_only_shared(const struct crn_posix_place *place)
{
    int fd = openat(place->dir_fd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL) {
        crn_cleanup_fd(&fd);
        return false;
    }
    bool has_shared = false, has_other = false;
    const struct dirent *entry;
    while (!has_other && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, SHARED) == 0)
            has_shared = true;
        else
            has_other = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    }
    (void)closedir(stream);
    return has_shared && !has_other;
}

static bool drop_one(struct crn_posix_store *store, const struct crn_posix_place *place)
{
    if (unlinkat(place->dir_fd, place->name, AT_REMOVEDIR) < 0)
        return false;
    crn_posix_mark_dirty(store, place->dir);
    return true;
}

/* Whatever speaks against a removal (it is not empty, say) is a good reason to leave it. */
void crn_posix_drop_empty(struct crn_posix_store *store, const char *dir)
{
    char path[CRN_STORE_KEY_MAX + 1];
    (void)snprintf(path, sizeof(path), "%s", dir);
    while (path[0] != 0 && strcmp(path, ".") != 0) {
        CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
        if (crn_posix_find_place(store, path, false, &place) < 0)
            return;
        if (strcmp(place.name, SHARED) != 0 && !drop_one(store, &place)) {
            char below[sizeof(path) + sizeof(SHARED)];
            CRN_AUTO_PLACE struct crn_posix_place shared = CRN_POSIX_NO_PLACE;
            (void)snprintf(below, sizeof(below), "%s/" SHARED, path);
            if (errno != ENOTEMPTY || !has_only_shared(&place) ||
                crn_posix_find_place(store, below, false, &shared) < 0 ||
                !drop_one(store, &shared) || !drop_one(store, &place))
                return;
        }
        memcpy(path, place.dir, sizeof(path));
    }
}

static int remove_one(struct crn_posix_store *store, const char *key, struct crn_posix_place *place,
                      cairn_error **reterr)
{
    CRN_TRY(crn_store_check_key(key, reterr));
    if (crn_posix_find_place(store, key, false, place) == 0 &&
        unlinkat(place->dir_fd, place->name, 0) == 0) {
        crn_posix_mark_dirty(store, place->dir);
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR)
        return 0; /* no such object */
    return crn_posix_fail(reterr, errno, key, "cannot remove");
}

static int posix_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr)
{
    int result = 0;
    char emptied[CRN_STORE_KEY_MAX + 1] = "";
    for (size_t i = 0; i < n; i++) {
        CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
        int r = remove_one(self(store), keys[i], &place, reterr);
        result = result < 0 ? result : r;
        /* Keys of one directory come together: try to drop it when the next one begins. */
        if (strcmp(emptied, place.dir) != 0) {
            crn_posix_drop_empty(self(store), emptied);
            memcpy(emptied, place.dir, sizeof(emptied));
        }
    }
    crn_posix_drop_empty(self(store), emptied);
    return result;
}

static void posix_close(cairn_store *store)
{
    struct crn_posix_store *posix = self(store);
    crn_posix_sync_done(posix);
    crn_cleanup_fd(&posix->root_fd);
    free(posix->root);
    free(posix);
}

static const cairn_store_ops posix_ops = {
    .struct_size = sizeof(cairn_store_ops),
    .scheme = "file",
    .close = posix_close,
    .put = crn_posix_put,
    .create = crn_posix_create,
    .flush = crn_posix_flush,
    .get = posix_get,
    .stat = posix_stat,
    .list = crn_posix_list,
    .list_segments = crn_posix_list_segments,
    .remove = posix_remove,
    .link_out = crn_posix_link_out,
    .reap = crn_posix_reap,
    .copy = crn_posix_copy,
};

bool crn_posix_is(const cairn_store *store)
{
    return store->ops == &posix_ops;
}

const char *crn_posix_store_root(const cairn_store *store)
{
    return store->ops == &posix_ops ? ((const struct crn_posix_store *)store)->root : NULL;
}

bool crn_posix_store_is_new(const cairn_store *store)
{
    return store->ops == &posix_ops && ((const struct crn_posix_store *)store)->is_new;
}

/* Makes root and what is missing above it, and makes that durable: a store that was opened does not
 * vanish in a power failure and take durable objects with it. The file system is synced as a whole,
 * once in the life of a store, since directories above may not be readable to us. */
static int make_root(const char *root, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_file_make_dirs(root, &error);
    if (r < 0 && cairn_error_errno(error) == ENOTDIR)
        return crn_err_fail(reterr, CAIRN_EINVAL, root,
                            "'%s' is not a directory, as a store must be",
                            cairn_error_object(error));
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    CRN_AUTO_FD int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return crn_err_os(reterr, errno, root, "cannot sync new store '%s'", root);
    return 0;
}

int crn_posix_store_open(const char *root, enum crn_transfer transfer, bool create,
                         cairn_store **ret_store, cairn_error **reterr)
{
    if (root[0] != '/')
        return crn_err_fail(reterr, CAIRN_EINVAL, root, "'%s' is not an absolute path", root);
    const bool is_new = create && !crn_file_is_dir(root);
    if (is_new)
        CRN_TRY(make_root(root, reterr));
    CRN_AUTO_FD int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        return crn_err_fail(reterr, CAIRN_EINVAL, root,
                            "'%s' is not a directory, as a store must be", root);
    if (fd < 0 && errno == ENOENT)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, root, "no store at '%s'", root);
    if (fd < 0)
        return crn_err_os(reterr, errno, root, "cannot open store '%s'", root);
    struct crn_posix_store *store = calloc(1, sizeof(*store));
    char *copy = strdup(root);
    if (store == NULL || copy == NULL) {
        free(store);
        free(copy);
        return crn_err_nomem(reterr);
    }
    store->store.ops = &posix_ops;
    store->root = copy;
    store->root_fd = fd;
    store->is_new = is_new;
    store->transfer = transfer;
    crn_mutex_init(&store->lock, CRN_RANK_STORE);
    crn_cond_init(&store->flushed);
    fd = -1;
    *ret_store = &store->store;
    return 0;
}
