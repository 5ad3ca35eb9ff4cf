/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_FILES_H
#define CAIRN_BENCH_FILES_H

#include "tools/bench/bench.h"

int bench_make_dir(const char *path, cairn_error **reterr);
int bench_remove_tree(const char *path, cairn_error **reterr); /* a missing path is success */
/* Everything that other methods and the load left dirty goes to disk, so that it is not paid for in
 * a timed window. */
int bench_sync_file_system(const char *path, cairn_error **reterr);
/* Write a file of that size in `dir` and delete it again at once. Under a hypervisor that takes
 * free pages away from its guests, page cache for new files is several times dearer to get when
 * nobody has freed as much just before; after this all methods find the same. */
int bench_recycle_page_cache(const char *dir, uint64_t bytes, cairn_error **reterr);
bool bench_same_file_system(const char *a, const char *b);

/* Regular files of a tree, sorted by path. */
struct bench_file {
    char *path; /* relative to the listed directory */
    uint64_t size_bytes;
    uint64_t link_count;
};
struct bench_listing {
    struct bench_file *files;
    size_t count, capacity;
};
int bench_list_tree(const char *path, struct bench_listing *ret, cairn_error **reterr);
void bench_listing_done(struct bench_listing *listing);
uint64_t bench_listing_bytes(const struct bench_listing *listing);
/* Sum of the sizes of files in `after` whose path is not in `before`. */
uint64_t bench_listing_added(const struct bench_listing *before, const struct bench_listing *after);

/* The plain durable copy that everything is compared with: `threads` threads take files in order of
 * falling size, read and write 1 MiB pieces, start write-back early, and fdatasync each file; at
 * the end each directory is synced. Directories are created. `files` are paths relative to `from`,
 * and become the same paths relative to `to`. */
int bench_copy_files(const char *from, const char *to, const struct bench_listing *files,
                     uint32_t threads, cairn_error **reterr);
int bench_copy_tree(const char *from, const char *to, uint32_t threads, cairn_error **reterr);

#endif
