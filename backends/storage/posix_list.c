/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Listings of a directory tree as if it were flat.
 *
 * A directory is read whole and sorted before anything is told of it. Sub-directories sort with a
 * '/' behind their name: "a-b" stands before "a/c", as the full keys do, so walking in that order
 * gives keys in bytewise order. What is no valid key (temporary files, names with control
 * characters), no regular file, or a symbolic link is not there for readers. Directories are closed
 * before their sub-directories are opened, so depth costs no descriptors; the length of keys bounds
 * it.
 *
 * Nothing is held while a callback runs; it may call the store.
 */

#include "backends/storage/posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

struct entry {
    char *name; /* directories: with a final '/' */
    cairn_object_stat stat;
};

struct entries {
    struct entry *at;
    size_t count;
    size_t capacity;
};

static void entries_done(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        free(entries->at[i].name);
    free(entries->at);
    *entries = (struct entries){0};
}
#define AUTO_ENTRIES CRN_CLEANUP(entries_done)

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int add_entry(struct entries *entries, const char *name, const struct stat *st)
{
    if (entries->count == entries->capacity) {
        size_t capacity = entries->capacity > 0 ? 2 * entries->capacity : 64;
        struct entry *more = reallocarray(entries->at, capacity, sizeof(*more));
        if (more == NULL)
            return CAIRN_ENOMEM;
        entries->at = more;
        entries->capacity = capacity;
    }
    struct entry *entry = &entries->at[entries->count];
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    CRN_TRY(crn_buf_printf(&text, "%s%s", name, S_ISDIR(st->st_mode) ? "/" : ""));
    entry->name = crn_buf_take_text(&text);
    entry->stat = crn_posix_stat_of(st);
    entries->count++;
    return 0;
}

static bool is_temp(const char *name)
{
    return strncmp(name, CRN_STORE_TEMP_PREFIX, sizeof(CRN_STORE_TEMP_PREFIX) - 1) == 0;
}

/* A directory stream; NULL in *ret and success if there is no such directory. */
static int open_dir(const struct crn_posix_store *store, const char *dir, DIR **ret,
                    cairn_error **reterr)
{
    *ret = NULL;
    CRN_AUTO_FD int fd = crn_posix_open_at(store, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (fd < 0 || (*ret = fdopendir(fd)) == NULL)
        return crn_posix_fail(reterr, errno, dir, "cannot open directory");
    fd = -1;
    return 0;
}

static void close_dir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir); /* only read from */
}
#define AUTO_DIR CRN_CLEANUP(close_dir)

enum what { OBJECTS, TEMPS };

/* Sub-directories of dir and, beside them, its objects or its temporary files; sorted. */
static int read_dir(const struct crn_posix_store *store, const char *dir, enum what what,
                    struct entries *ret, cairn_error **reterr)
{
    AUTO_DIR DIR *stream = NULL;
    CRN_TRY(open_dir(store, dir, &stream, reterr));
    if (stream == NULL)
        return 0;
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        bool temp = is_temp(name);
        if (!temp && !crn_store_segment_is_valid(name, strlen(name)))
            continue;
        struct stat st;
        if (fstatat(dirfd(stream), name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT) /* removed since */
                continue;
            return crn_posix_fail(reterr, errno, dir, "cannot stat a file in");
        }
        bool wanted = temp ? what == TEMPS && S_ISREG(st.st_mode)
                           : S_ISDIR(st.st_mode) || (what == OBJECTS && S_ISREG(st.st_mode));
        if (wanted && add_entry(ret, name, &st) < 0)
            return crn_err_nomem(reterr);
    }
    if (errno != 0)
        return crn_posix_fail(reterr, errno, dir, "cannot read directory");
    if (ret->count > 0)
        qsort(ret->at, ret->count, sizeof(*ret->at), compare_entries);
    return 0;
}

typedef int (*visit_fn)(void *context, const char *path, const cairn_object_stat *stat,
                        cairn_error **reterr);

struct walk {
    const struct crn_posix_store *store;
    enum what what;
    const char *prefix;
    size_t prefix_size;
    visit_fn visit;
    void *context;
    char path[CRN_STORE_KEY_MAX + 1]; /* "" or a directory with its final '/', and what follows */
    cairn_error **reterr;
};

/* Walks the directory that stands in walk->path, `size` bytes of it. Whatever can still lead to or
 * fulfil the prefix is followed. */
static int walk_dir(struct walk *walk, size_t size)
{
    AUTO_ENTRIES struct entries entries = {0};
    char last = size > 0 ? '/' : 0;
    walk->path[size > 0 ? size - 1 : 0] = 0; /* the directory is opened without its final '/' */
    CRN_TRY(read_dir(walk->store, size > 0 ? walk->path : ".", walk->what, &entries, walk->reterr));
    if (size > 0)
        walk->path[size - 1] = last;
    for (size_t i = 0; i < entries.count; i++) {
        const struct entry *entry = &entries.at[i];
        size_t n = strlen(entry->name), end = size + n;
        if (end > CRN_STORE_KEY_MAX)
            continue; /* not a key, nor on the way to one */
        memcpy(walk->path + size, entry->name, n + 1);
        size_t common = end < walk->prefix_size ? end : walk->prefix_size;
        if (memcmp(walk->path, walk->prefix, common) != 0)
            continue;
        int r = 0;
        if (entry->name[n - 1] == '/')
            r = walk_dir(walk, end);
        else if (end >= walk->prefix_size)
            r = walk->visit(walk->context, walk->path, &entry->stat, walk->reterr);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Starts at the deepest directory that the prefix names whole, so that nothing beside it is read.
 */
static int walk_prefix(const struct crn_posix_store *store, const char *prefix, enum what what,
                       visit_fn visit, void *context, cairn_error **reterr)
{
    struct walk walk = {.store = store,
                        .what = what,
                        .prefix = prefix,
                        .prefix_size = strlen(prefix),
                        .visit = visit,
                        .context = context,
                        .reterr = reterr};
    const char *slash = strrchr(prefix, '/');
    size_t size = slash != NULL ? (size_t)(slash - prefix) + 1 : 0;
    if (walk.prefix_size > CRN_STORE_KEY_MAX)
        return 0;
    if (size > 0) {
        memcpy(walk.path, prefix, size);
        walk.path[size - 1] = 0;
        if (!crn_store_key_is_valid(walk.path))
            return 0; /* no key starts like this */
    }
    return walk_dir(&walk, size);
}

struct listing {
    cairn_list_fn fn;
    void *context;
};

static int tell(void *context, const char *path, const cairn_object_stat *stat,
                cairn_error **reterr)
{
    const struct listing *listing = context;
    (void)reterr;
    return listing->fn(listing->context, path, stat);
}

int crn_posix_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                   cairn_error **reterr)
{
    struct listing listing = {.fn = fn, .context = context};
    return walk_prefix((const struct crn_posix_store *)store, prefix, OBJECTS, tell, &listing,
                       reterr);
}

/* Whether any object is below dir: the first one in the directory itself is enough, so a large
 * directory is not read to its end. */
static int has_object(const struct crn_posix_store *store, const char *dir, bool *ret,
                      cairn_error **reterr)
{
    *ret = false;
    AUTO_ENTRIES struct entries subdirs = {0};
    {
        AUTO_DIR DIR *stream = NULL;
        CRN_TRY(open_dir(store, dir, &stream, reterr));
        if (stream == NULL)
            return 0;
        const struct dirent *entry;
        while ((errno = 0, entry = readdir(stream)) != NULL) {
            struct stat st;
            size_t n = strlen(entry->d_name);
            if (!crn_store_segment_is_valid(entry->d_name, n) ||
                strlen(dir) + 1 + n > CRN_STORE_KEY_MAX) /* too long for a key */
                continue;
            if (fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno == ENOENT) /* removed since */
                    continue;
                return crn_posix_fail(reterr, errno, dir, "cannot stat a file in");
            }
            if (S_ISREG(st.st_mode)) {
                *ret = true;
                return 0;
            }
            if (S_ISDIR(st.st_mode) && add_entry(&subdirs, entry->d_name, &st) < 0)
                return crn_err_nomem(reterr);
        }
        if (errno != 0)
            return crn_posix_fail(reterr, errno, dir, "cannot read directory");
    }
    for (size_t i = 0; i < subdirs.count && !*ret; i++) {
        CRN_AUTO_BUFFER struct cairn_buffer path = {0};
        if (crn_buf_printf(&path, "%s/%s", dir, subdirs.at[i].name) < 0)
            return crn_err_nomem(reterr);
        path.data[path.size - 1] = 0;
        CRN_TRY(has_object(store, (const char *)path.data, ret, reterr));
    }
    return 0;
}

int crn_posix_list_segments(cairn_store *base, const char *prefix, cairn_list_fn fn, void *context,
                            cairn_error **reterr)
{
    const struct crn_posix_store *store = (const struct crn_posix_store *)base;
    CRN_TRY(crn_store_check_segments_prefix(prefix, reterr));
    size_t size = strlen(prefix);
    CRN_AUTO_FREE char *dir = crn_str_dup_n(prefix, size > 0 ? size - 1 : 0);
    if (dir == NULL)
        return crn_err_nomem(reterr);
    if (size > 0 && !crn_store_key_is_valid(dir))
        return 0; /* no key starts like this */
    AUTO_ENTRIES struct entries entries = {0};
    CRN_TRY(read_dir(store, size > 0 ? dir : ".", OBJECTS, &entries, reterr));
    for (size_t i = 0; i < entries.count; i++) {
        const struct entry *entry = &entries.at[i];
        size_t n = strlen(entry->name);
        int r = 0;
        if (size + n > CRN_STORE_KEY_MAX)
            continue;
        if (entry->name[n - 1] != '/') {
            r = fn(context, entry->name, &entry->stat);
        } else {
            CRN_AUTO_FREE char *path = NULL;
            bool any;
            CRN_TRY(crn_str_printf(&path, reterr, "%s%.*s", prefix, (int)n - 1, entry->name));
            CRN_TRY(has_object(store, path, &any, reterr));
            r = any ? fn(context, entry->name, NULL) : 0;
        }
        if (r != 0)
            return r;
    }
    return 0;
}

struct reaping {
    struct crn_posix_store *store;
    int64_t newest_ms; /* what changed after this stays */
    uint64_t count;
};

/* A writer holds a lock on its temporary file: what can be locked belongs to nobody. */
static int reap_one(void *context, const char *path, const cairn_object_stat *stat,
                    cairn_error **reterr)
{
    struct reaping *reaping = context;
    if (stat->modified_ms > reaping->newest_ms)
        return 0;
    CRN_AUTO_PLACE struct crn_posix_place place = CRN_POSIX_NO_PLACE;
    CRN_AUTO_FD int fd = -1;
    if (crn_posix_find_place(reaping->store, path, false, &place) == 0)
        fd = openat(place.dir_fd, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return crn_posix_fail(reterr, errno, path, "cannot open");
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return 0;
    if (unlinkat(place.dir_fd, place.name, 0) < 0) {
        if (errno == ENOENT)
            return 0;
        return crn_posix_fail(reterr, errno, path, "cannot remove");
    }
    reaping->count++;
    crn_posix_mark_dirty(reaping->store, place.dir);
    crn_posix_drop_empty(reaping->store, place.dir);
    return 0;
}

int crn_posix_reap(cairn_store *store, const char *prefix, uint64_t min_age_ms, uint64_t *ret_count,
                   cairn_error **reterr)
{
    int64_t now = crn_wall_ms();
    struct reaping reaping = {.store = (struct crn_posix_store *)store,
                              .newest_ms = min_age_ms < (uint64_t)now ? now - (int64_t)min_age_ms
                                                                      : INT64_MIN};
    CRN_TRY(walk_prefix(reaping.store, prefix, TEMPS, reap_one, &reaping, reterr));
    if (ret_count != NULL)
        *ret_count = reaping.count;
    return 0;
}
