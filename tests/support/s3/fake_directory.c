/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake server's objects as files of a directory, for the program that serves one (serve.c):
 * what others do to the files is done to the bucket.
 *
 * A key is a path below the directory. So "a" and "a/b" cannot both be keys, which Cairn has no use
 * for; and a directory goes with its last object, since a bucket has none. A file is replaced, not
 * written over: it may have other names. Nobody may do anything while there is a file ".closed".
 */
#include "tests/support/s3/fake_internal.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBJECT_BYTES_MAX ((size_t)1 << 30)

/* Of a key that is not a path within the directory: NULL. Free it. */
static char *path_of(const struct fake *fake, const char *key)
{
    char *path;
    CRN_AUTO_FREE char *slashed = NULL;
    fake_must(crn_str_printf(&slashed, NULL, "/%s/", key) == 0);
    if (strstr(slashed, "//") != NULL || strstr(slashed, "/./") != NULL ||
        strstr(slashed, "/../") != NULL)
        return NULL;
    fake_must(crn_str_printf(&path, NULL, "%s/%s", fake->directory, key) == 0);
    return path;
}

static bool stat_file(const char *path, struct stat *ret)
{
    return path != NULL && stat(path, ret) == 0 && S_ISREG(ret->st_mode);
}

static int64_t modified_of(const struct stat *stat)
{
    return (int64_t)stat->st_mtim.tv_sec * 1000 + stat->st_mtim.tv_nsec / 1000000;
}

bool fake_keep_get(struct fake *fake, const char *key, struct fake_kept *ret)
{
    CRN_AUTO_FREE char *path = path_of(fake, key);
    CRN_AUTO_FREE uint8_t *text = NULL;
    struct stat stat;
    size_t size;
    if (!stat_file(path, &stat) ||
        crn_file_read_all(path, OBJECT_BYTES_MAX, &text, &size, NULL) < 0)
        return false;
    ret->modified_ms = modified_of(&stat);
    fake_must(crn_buf_append(&ret->bytes, text, size) == 0);
    return true;
}

bool fake_keep_put(struct fake *fake, const char *key, const void *data, size_t n)
{
    CRN_AUTO_FREE char *path = path_of(fake, key);
    if (path == NULL)
        return false;
    for (char *slash = path + strlen(fake->directory) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = 0;
        (void)mkdir(path, 0777);
        *slash = '/';
    }
    (void)unlink(path);
    FILE *file = fopen(path, "wxe");
    if (file == NULL)
        return false;
    bool is_whole = fwrite(data, 1, n, file) == n;
    return fclose(file) == 0 && is_whole;
}

void fake_keep_drop(struct fake *fake, const char *key)
{
    CRN_AUTO_FREE char *path = path_of(fake, key);
    struct stat stat;
    if (!stat_file(path, &stat) || unlink(path) < 0)
        return;
    for (char *slash; (slash = strrchr(path, '/')) > path + strlen(fake->directory);) {
        *slash = 0;
        if (rmdir(path) < 0)
            return;
    }
}

/* ---- listings ---- */

struct keys {
    char **items;
    size_t count, capacity;
};

static void collect(const struct fake *fake, const char *directory, struct keys *keys)
{
    CRN_AUTO_FREE char *path = NULL;
    fake_must(crn_str_printf(&path, NULL, "%s/%s", fake->directory, directory) == 0);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        CRN_AUTO_FREE char *key = NULL, *file = NULL;
        struct stat stat;
        fake_must(crn_str_printf(&key, NULL, "%s%s%s", directory, *directory != 0 ? "/" : "",
                                 entry->d_name) == 0);
        fake_must(crn_str_printf(&file, NULL, "%s/%s", fake->directory, key) == 0);
        if (lstat(file, &stat) == 0 && S_ISDIR(stat.st_mode)) {
            collect(fake, key, keys);
            continue;
        }
        if (keys->count == keys->capacity) {
            keys->capacity = keys->capacity == 0 ? 256 : 2 * keys->capacity;
            keys->items = realloc(keys->items, keys->capacity * sizeof *keys->items);
            fake_must(keys->items != NULL);
        }
        keys->items[keys->count++] = CRN_TAKE(key);
    }
    (void)closedir(dir);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void fake_keep_each(struct fake *fake, fake_each_fn fn, void *context)
{
    struct keys keys = {0};
    bool more = true;
    collect(fake, "", &keys);
    if (keys.count > 1)
        qsort(keys.items, keys.count, sizeof *keys.items, compare);
    for (size_t i = 0; i < keys.count; i++) {
        CRN_AUTO_FREE char *path = path_of(fake, keys.items[i]);
        struct stat stat;
        if (more && stat_file(path, &stat))
            more = fn(context, keys.items[i], (uint64_t)stat.st_size, modified_of(&stat));
        free(keys.items[i]);
    }
    free(keys.items);
}

bool fake_keep_is_closed(const struct fake *fake)
{
    CRN_AUTO_FREE char *path = NULL;
    fake_must(crn_str_printf(&path, NULL, "%s/.closed", fake->directory) == 0);
    return access(path, F_OK) == 0;
}

void fake_keep_done(struct fake *fake)
{
    (void)fake; /* the files stay */
}
