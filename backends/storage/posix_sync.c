/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Making names durable.
 *
 * An object's bytes are on disk before it gets its name (posix_put.c). The name itself stands in a
 * directory, and that directory's name in another, up to the root. Every change of names marks its
 * directory, and flush() syncs what is marked: one fsync per directory, however many objects were
 * put.
 *
 * Directories above one are marked too when this handle first sees it (another process may have
 * made it and not synced it yet). `anchored` remembers, by hash, for which directories that was
 * done; it forgets by overwriting, which costs a needless sync and nothing else.
 *
 * A directory is marked after its names changed and before the operation returns. Marked before, a
 * flush could run between mark and change, and the next one would not know of it. Marking must
 * therefore not fail: without memory it sets all_dirty, and the next flush syncs the whole file
 * system.
 *
 * One flush runs at a time. A second one waits, since the first may have taken marks that the
 * second has to vouch for. After a failed fsync the kernel may have dropped what it could not
 * write, and a later success would prove nothing: the store is in doubt for as long as the handle
 * lives, and every later flush and create fails. A directory that could not even be opened stays
 * marked.
 *
 * Lock: the store's, never held across a system call.
 */

#include "backends/storage/posix.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static uint64_t *anchor_slot(struct crn_posix_store *store, uint64_t hash)
{
    return &store->anchored[hash % CRN_POSIX_ANCHORED_SLOTS];
}

/* The lock is held. */
static void add_dirty(struct crn_posix_store *store, const char *dir, size_t n)
{
    crn_mutex_assert_held(&store->lock);
    size_t low = 0, high = store->dirty_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(store->dirty[middle], dir, n);
        if (order == 0 && store->dirty[middle][n] == 0)
            return;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (store->dirty_count == store->dirty_capacity) {
        size_t capacity = store->dirty_capacity > 0 ? 2 * store->dirty_capacity : 16;
        char **more = reallocarray(store->dirty, capacity, sizeof(*more));
        if (more == NULL) {
            store->all_dirty = true;
            return;
        }
        store->dirty = more;
        store->dirty_capacity = capacity;
    }
    char *copy = crn_str_dup_n(dir, n);
    if (copy == NULL) {
        store->all_dirty = true;
        return;
    }
    memmove(&store->dirty[low + 1], &store->dirty[low],
            (store->dirty_count - low) * sizeof(*store->dirty));
    store->dirty[low] = copy;
    store->dirty_count++;
}

void crn_posix_mark_dirty(struct crn_posix_store *store, const char *dir)
{
    size_t n = strlen(dir);
    uint64_t hash = crn_hash64_of(dir, n);
    crn_mutex_lock(&store->lock);
    add_dirty(store, dir, n);
    if (*anchor_slot(store, hash) != hash && strcmp(dir, ".") != 0) {
        for (size_t end = n; end > 0; end--)
            if (dir[end - 1] == '/')
                add_dirty(store, dir, end - 1);
        add_dirty(store, ".", 1);
        *anchor_slot(store, hash) = hash;
    }
    crn_mutex_unlock(&store->lock);
}

void crn_posix_forget_anchor(struct crn_posix_store *store, const char *dir)
{
    uint64_t hash = crn_hash64_of(dir, strlen(dir));
    crn_mutex_lock(&store->lock);
    if (*anchor_slot(store, hash) == hash)
        *anchor_slot(store, hash) = ~hash; /* never equal to what belongs here */
    crn_mutex_unlock(&store->lock);
}

static int in_doubt(cairn_error **reterr)
{
    return crn_err_fail(
        reterr, CAIRN_EIO, NULL,
        "an earlier sync failed, so that nothing put before is known to be durable; "
        "open the store again");
}

int crn_posix_check_doubt(struct crn_posix_store *store, cairn_error **reterr)
{
    crn_mutex_lock(&store->lock);
    bool doubt = store->in_doubt;
    crn_mutex_unlock(&store->lock);
    return doubt ? in_doubt(reterr) : 0;
}

/* A directory that is gone needs no sync: the removal was marked in its parent. */
static int sync_dir(const struct crn_posix_store *store, const char *dir, bool *ret_doubt,
                    cairn_error **reterr)
{
    CRN_AUTO_FD int fd = crn_posix_open_at(store, dir, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return crn_posix_fail(reterr, errno, dir, "cannot open directory");
    if (fsync(fd) == 0)
        return 0;
    *ret_doubt = true;
    return crn_err_os(reterr, errno, dir, "cannot sync directory '%s'", dir);
}

static int sync_everything(const struct crn_posix_store *store, bool *ret_doubt,
                           cairn_error **reterr)
{
    if (syncfs(store->root_fd) == 0)
        return 0;
    *ret_doubt = true;
    return crn_err_os(reterr, errno, store->root, "cannot sync the file system of '%s'",
                      store->root);
}

int crn_posix_flush(cairn_store *base, cairn_error **reterr)
{
    struct crn_posix_store *store = (struct crn_posix_store *)base;
    crn_mutex_lock(&store->lock);
    while (store->is_flushing)
        crn_cond_wait(&store->flushed, &store->lock);
    if (store->in_doubt) {
        crn_mutex_unlock(&store->lock);
        return in_doubt(reterr);
    }
    char **dirs = store->dirty;
    size_t count = store->dirty_count;
    bool all = store->all_dirty, doubt = false;
    store->dirty = NULL;
    store->dirty_count = store->dirty_capacity = 0;
    store->all_dirty = false;
    store->is_flushing = true;
    crn_mutex_unlock(&store->lock);

    int r = all ? sync_everything(store, &doubt, reterr) : 0;
    size_t synced = 0;
    while (r == 0 && synced < count) {
        r = sync_dir(store, dirs[synced], &doubt, reterr);
        synced += r == 0;
    }

    crn_mutex_lock(&store->lock);
    for (size_t i = synced; i < count; i++)
        add_dirty(store, dirs[i], strlen(dirs[i]));
    store->in_doubt = doubt;
    store->is_flushing = false;
    crn_cond_broadcast(&store->flushed);
    crn_mutex_unlock(&store->lock);
    for (size_t i = 0; i < count; i++)
        free(dirs[i]);
    free(dirs);
    return r;
}

void crn_posix_sync_done(struct crn_posix_store *store)
{
    for (size_t i = 0; i < store->dirty_count; i++)
        free(store->dirty[i]);
    free(store->dirty);
    crn_cond_done(&store->flushed);
    crn_mutex_done(&store->lock);
}
