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
/* memory.c */
int crn_memory_store_open(cairn_store **ret_store, cairn_error **reterr);

/* helpers.c: conveniences over the vtable. */
bool crn_store_key_is_valid(const char *key);
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
