/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_METHODS_H
#define CRN_STORAGE_S3_METHODS_H

#include "backends/storage/s3/http.h"

/* The methods of the vtable, by file; see s3.h. */

static inline struct crn_s3 *crn_s3_of(cairn_store *store)
{
    return (struct crn_s3 *)store;
}

/* objects.c */
int crn_s3_put(cairn_store *store, const char *key, cairn_source *source, cairn_put_how *ret_how,
               cairn_error **reterr);
int crn_s3_create(cairn_store *store, const char *key, const void *data, size_t size,
                  cairn_error **reterr);
int crn_s3_flush(cairn_store *store, cairn_error **reterr);
int crn_s3_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
               cairn_sink *sink, cairn_error **reterr);
int crn_s3_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                cairn_error **reterr);
/* 1: the object has these bytes, 0: others; or an error (CAIRN_ENOTFOUND: there is none). */
int crn_s3_has_bytes(struct crn_s3 *s3, const char *key, cairn_source *source,
                     cairn_error **reterr);
/* copy.c */
int crn_s3_copy(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                cairn_put_how *ret_how, cairn_error **reterr);
/* multipart.c: all of a source in parts. The key is known to be free. */
int crn_s3_put_parts(struct crn_s3 *s3, const char *key, cairn_source *source,
                     cairn_error **reterr);
/* list.c */
int crn_s3_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                cairn_error **reterr);
int crn_s3_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                         cairn_error **reterr);
/* remove.c */
int crn_s3_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr);
int crn_s3_reap(cairn_store *store, const char *prefix, uint64_t min_age_ms, uint64_t *ret_count,
                cairn_error **reterr);

/* probe.c: can it create at most once? 0, or CAIRN_EUNSUPPORTED and what the matter is. */
int crn_s3_probe(struct crn_s3 *s3, cairn_error **reterr);
/* Removes what probes have left that were there before this time, and adds how many to *count. */
int crn_s3_reap_probes(struct crn_s3 *s3, int64_t before_ms, uint64_t *count, cairn_error **reterr);

#endif
