/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_STORAGE_H
#define CRN_STORAGE_STORAGE_H

#include "base/buffer.h"
#include "base/error.h"
#include "cairn/store.h"
#include <stdbool.h>

/* The stores that come with Cairn; the contract is in cairn/store.h. */

enum crn_transfer { CRN_TRANSFER_AUTO, CRN_TRANSFER_LINK, CRN_TRANSFER_REFLINK, CRN_TRANSFER_COPY };

/* posix.c: directory `root` (absolute; created when `create`, else CAIRN_ENOTFOUND). */
int crn_posix_store_open(const char *root, enum crn_transfer transfer, bool create,
                         cairn_store **ret_store, cairn_error **reterr);
/* The root of a directory as a store; NULL: it is another store. */
const char *crn_posix_store_root(const cairn_store *store);
/* Its root was not there and was made by this open; false of other stores. */
bool crn_posix_store_is_new(const cairn_store *store);
/* memory.c */
int crn_memory_store_open(cairn_store **ret_store, cairn_error **reterr);

/* helpers.c: conveniences over the vtable. */
#define CRN_STORE_KEY_MAX 1024 /* bytes in a key */
#define CRN_STORE_SEGMENT_MAX 255
#define CRN_STORE_TEMP_PREFIX ".cairn-tmp-"
/* One segment of a key, n bytes long. */
bool crn_store_segment_is_valid(const char *segment, size_t n);
bool crn_store_key_is_valid(const char *key);
/* 0, or CAIRN_EINVAL with an error that names the key. */
int crn_store_check_key(const char *key, cairn_error **reterr);
/* What is left from offset on, if size is UINT64_MAX, else size; CAIRN_ECORRUPT if the object,
 * total bytes long, does not have all of it. */
int crn_store_check_range(const char *key, uint64_t total, uint64_t offset, uint64_t size,
                          uint64_t *ret_size, cairn_error **reterr);
/* list_segments() wants "" or a prefix that ends with '/'; else CAIRN_EINVAL. */
int crn_store_check_segments_prefix(const char *prefix, cairn_error **reterr);
/* 0, or CAIRN_EINVAL: no store, or one of a release so old that it lacks a method. To be asked of
 * every store that is given from outside, before anything else. */
int crn_store_check(const cairn_store *store, cairn_error **reterr);
/* The optional methods. CAIRN_EUNSUPPORTED of a store that has none, or is older than it. */
int crn_store_link_out(cairn_store *store, const char *key, const char *path,
                       cairn_put_how *ret_how, cairn_error **reterr);
int crn_store_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                   cairn_put_how *ret_how, cairn_error **reterr);
/* 0 of a store that does not say. */
uint64_t crn_store_range_bytes(cairn_store *store);
/* 0 and no count of a store that has none. */
const char *crn_store_caveat(cairn_store *store);
int crn_store_reap(cairn_store *store, const char *prefix, uint64_t min_age_ms, uint64_t *ret_count,
                   cairn_error **reterr);
/* Sources and sinks over memory. */
struct crn_bytes_source {
    cairn_source source;
    const uint8_t *data;
};
void crn_bytes_source_init(struct crn_bytes_source *source, const void *data, size_t size);
/* The whole object; CAIRN_ECORRUPT if it is larger than max_size. Appends to `out`. */
int crn_store_get_bytes(cairn_store *store, const char *key, size_t max_size,
                        struct cairn_buffer *out, cairn_error **reterr);

#endif
