/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories: make, remove and list them.
 *
 * Listings tolerate files that vanish meanwhile: stores delete what is subsumed in the background.
 */
#include "tools/bench/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int bench_make_dir(const char *path, cairn_error **reterr)
{
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return bench_fail_os(reterr, errno, "directory '%s'", path);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int bench_remove_tree(const char *path, cairn_error **reterr)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
        return bench_fail_os(reterr, errno, "removing '%s'", path);
    return 0;
}

int bench_sync_file_system(const char *path, cairn_error **reterr)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -1 : syncfs(fd);
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    return r < 0 ? bench_fail_os(reterr, saved, "syncing the file system of '%s'", path) : 0;
}

bool bench_same_file_system(const char *a, const char *b)
{
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev;
}

/* nftw() has no context argument; listings are only made by the main thread. */
static struct bench_listing *listing_now;
static size_t listing_root_length;

static int list_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F || !S_ISREG(st->st_mode))
        return 0;
    struct bench_listing *listing = listing_now;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 64;
        struct bench_file *files = realloc(listing->files, capacity * sizeof(*files));
        if (!files)
            return -1;
        listing->files = files;
        listing->capacity = capacity;
    }
    char *relative = strdup(path + listing_root_length + 1);
    if (!relative)
        return -1;
    listing->files[listing->count++] = (struct bench_file){.path = relative,
                                                           .size_bytes = (uint64_t)st->st_size,
                                                           .link_count = (uint64_t)st->st_nlink};
    return 0;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct bench_file *)a)->path, ((const struct bench_file *)b)->path);
}

int bench_list_tree(const char *path, struct bench_listing *ret, cairn_error **reterr)
{
    struct bench_listing listing = {0};
    listing_now = &listing;
    listing_root_length = strlen(path);
    if (nftw(path, list_one, 16, FTW_PHYS) != 0 && errno != ENOENT) {
        int saved = errno;
        bench_listing_done(&listing);
        return bench_fail_os(reterr, saved, "listing '%s'", path);
    }
    if (listing.count)
        qsort(listing.files, listing.count, sizeof(*listing.files), by_path);
    *ret = listing;
    return 0;
}

void bench_listing_done(struct bench_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->files[i].path);
    free(listing->files);
    *listing = (struct bench_listing){0};
}

uint64_t bench_listing_bytes(const struct bench_listing *listing)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < listing->count; i++)
        sum += listing->files[i].size_bytes;
    return sum;
}

uint64_t bench_listing_added(const struct bench_listing *before, const struct bench_listing *after)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < after->count; i++) {
        const struct bench_file *file = &after->files[i];
        bool known = before->count &&
                     bsearch(file, before->files, before->count, sizeof(*before->files), by_path);
        sum += known ? 0 : file->size_bytes;
    }
    return sum;
}
