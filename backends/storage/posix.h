/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_POSIX_H
#define CRN_STORAGE_POSIX_H

#include "backends/storage/storage.h"
#include "base/thread.h"

/* What the files of the posix store share; nobody else includes this. */

#define CRN_POSIX_ANCHORED_SLOTS 64

struct crn_posix_store {
    cairn_store store;
    /* constant after open */
    char *root;
    int root_fd;
    bool is_new; /* this open made the root */
    enum crn_transfer transfer;
    struct crn_mutex lock;
    struct crn_cond flushed;
    /* guarded by lock; see posix_sync.c */
    char **dirty; /* directories with names to be synced, sorted */
    size_t dirty_count;
    size_t dirty_capacity;
    bool all_dirty;   /* there was no memory to note which */
    bool in_doubt;    /* a sync failed: no later one can vouch for what came before */
    bool is_flushing; /* one flush at a time; the others wait for it */
    uint64_t anchored[CRN_POSIX_ANCHORED_SLOTS];
};

/* posix.c */
bool crn_posix_is(const cairn_store *store);

/* posix_path.c: everything below the root is named relative to it; "." is the root. */
struct crn_posix_place { /* where a key lives */
    int dir_fd;
    char dir[CRN_STORE_KEY_MAX + 1];
    const char *name; /* inside the key */
};
void crn_posix_place_done(struct crn_posix_place *place);
#define CRN_AUTO_PLACE CRN_CLEANUP(crn_posix_place_done)
#define CRN_POSIX_NO_PLACE                                                                         \
    {                                                                                              \
        .dir_fd = -1                                                                               \
    }

/* Like open(2), never leaving the root; -1 with errno. */
int crn_posix_open_at(const struct crn_posix_store *store, const char *path, int flags);
/* Finds the directory of a valid key, creating what is missing if `create`. Returns 0, or -1 with
 * errno. */
int crn_posix_find_place(struct crn_posix_store *store, const char *key, bool create,
                         struct crn_posix_place *ret);
/* A regular file, open with flags (O_RDONLY or O_PATH), and its stat; CAIRN_ENOTFOUND if the key is
 * not one. */
int crn_posix_open_object(const struct crn_posix_store *store, const char *key, int flags,
                          int *ret_fd, cairn_object_stat *ret_stat, cairn_error **reterr);
/* Like crn_err_os(), but CAIRN_EUNAVAIL for what may pass. `what` is such as
 * "cannot read". */
int crn_posix_fail(cairn_error **reterr, int os_errno, const char *key, const char *what);
struct stat;
cairn_object_stat crn_posix_stat_of(const struct stat *st);

/* posix_sync.c */
/* A name in this directory was made or removed. Call it when that has happened. Cannot fail. */
void crn_posix_mark_dirty(struct crn_posix_store *store, const char *dir);
/* This directory is new: the names that lead to it are not known to be durable. */
void crn_posix_forget_anchor(struct crn_posix_store *store, const char *dir);
int crn_posix_flush(cairn_store *store, cairn_error **reterr);
/* CAIRN_EIO if an earlier sync failed. */
int crn_posix_check_doubt(struct crn_posix_store *store, cairn_error **reterr);
void crn_posix_sync_done(struct crn_posix_store *store);

/* posix_put.c */
int crn_posix_put(cairn_store *store, const char *key, cairn_source *source, cairn_put_how *ret_how,
                  cairn_error **reterr);
int crn_posix_create(cairn_store *store, const char *key, const void *data, size_t size,
                     cairn_error **reterr);
int crn_posix_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                   cairn_put_how *ret_how, cairn_error **reterr);
int crn_posix_link_out(cairn_store *store, const char *key, const char *path,
                       cairn_put_how *ret_how, cairn_error **reterr);

/* posix_temp.c: a file under a temporary name, on its way to become an object. */
struct crn_posix_temp {
    int dir_fd; /* borrowed */
    int fd;
    char name[sizeof(CRN_STORE_TEMP_PREFIX) + 16];
};
void crn_posix_temp_done(struct crn_posix_temp *temp); /* removes it, unless it was published */
#define CRN_AUTO_TEMP CRN_CLEANUP(crn_posix_temp_done)
#define CRN_POSIX_NO_TEMP                                                                          \
    {                                                                                              \
        .dir_fd = -1, .fd = -1                                                                     \
    }
/* These two return 0, or -1 with errno. */
int crn_posix_temp_open(int dir_fd, struct crn_posix_temp *ret);
/* Give it its real name, atomically, unless that exists (EEXIST). Consumes temp on success. */
int crn_posix_temp_publish(struct crn_posix_temp *temp, const char *name);

/* posix_list.c */
int crn_posix_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                   cairn_error **reterr);
int crn_posix_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                            cairn_error **reterr);
int crn_posix_reap(cairn_store *store, const char *prefix, uint64_t min_age_ms, uint64_t *ret_count,
                   cairn_error **reterr);

/* posix.c: remove a directory that an object or a temporary file left, if it is empty and may go,
 * and those above it that are empty then. */
void crn_posix_drop_empty(struct crn_posix_store *store, const char *dir);

#endif
