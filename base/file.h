/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_FILE_H
#define CRN_BASE_FILE_H

#include "base/error.h"
#include <stdbool.h>

/* Local file system helpers that stores, state backends and the engine share. Every error names the
 * path. All descriptors are close-on-exec. */
int crn_file_make_dirs(const char *path,
                       cairn_error **reterr); /* like mkdir -p, mode 0777 & umask */
/* The path from the root on, links and dots as they are: it means the same after a chdir(). */
int crn_file_make_absolute(const char *path, char **ret_path, cairn_error **reterr);
/* Removes a file or a whole tree, never following symbolic links; a missing path is success. */
int crn_file_remove_tree(const char *path, cairn_error **reterr);
int crn_file_sync_dir(const char *path, cairn_error **reterr);
int crn_file_size(const char *path, uint64_t *ret_size, cairn_error **reterr);
bool crn_file_is_dir(const char *path);
/* Whole file into a fresh allocation with a zero byte behind; CAIRN_EINVAL above max_size. */
int crn_file_read_all(const char *path, size_t max_size, uint8_t **ret_data, size_t *ret_size,
                      cairn_error **reterr);
/* New file (must not exist) with these bytes; synced to disk if sync. */
int crn_file_write_new(const char *path, const void *data, size_t size, bool sync,
                       cairn_error **reterr);
/* Names in a directory without "." and "..", sorted bytewise; free with crn_file_free_names(). */
int crn_file_list_dir(const char *path, char ***ret_names, size_t *ret_count, cairn_error **reterr);
void crn_file_free_names(char **names, size_t count);
/* An exclusive lock on a file (created if missing), held until the descriptor is closed.
 * CAIRN_EBUSY if another process or handle has it. */
int crn_file_lock(const char *path, int *ret_fd, cairn_error **reterr);
/* pread/pwrite all n bytes; a short file is CAIRN_EIO. */
int crn_file_pread_all(int fd, void *data, size_t n, uint64_t offset, const char *path,
                       cairn_error **reterr);
int crn_file_pwrite_all(int fd, const void *data, size_t n, uint64_t offset, const char *path,
                        cairn_error **reterr);

#endif
