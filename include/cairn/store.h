/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_STORE_H
#define CAIRN_STORE_H

/*
 * For people who write a storage backend. Less stable than cairn.h: methods may be appended in any
 * release (struct_size tells).
 *
 * A store maps keys to immutable bytes. Keys are '/'-separated paths of UTF-8 segments without control
 * characters, at most 1,024 bytes in all (less the store's own prefix, where it has one) and 255 in a segment; no segment is empty, "." or "..", none
 * starts with ".cairn-tmp-". Any other key is CAIRN_EINVAL. The contract, which tests/test_store.c runs
 * over every backend:
 *
 *  - An object is invisible until put or create returns 0, and then it is whole. A failed put or
 *    create leaves no visible object, or returns CAIRN_EUNKNOWN when that is not known.
 *  - put() never changes an object: of a key that exists it is success if the bytes are the same, else
 *    CAIRN_EEXIST. Cairn only does it to repeat a put whose outcome it did not learn.
 *  - create() is atomic create-if-absent: of any number of concurrent callers, in any number of
 *    processes, exactly one gets 0 and all others CAIRN_EEXIST. It is durable when it returns 0. It
 *    is the only atomic operation that Cairn relies on.
 *  - Objects put before a successful flush() are durable after it, and those removed before it stay
 *    removed.
 *  - list() shows every object whose put or create returned before list() was called, sorted
 *    bytewise, and no other but those in progress. No temporary ones.
 *  - remove() of a missing key is success. An object that is being read while it is removed is read
 *    whole or the read fails.
 *  - No short reads: get() delivers exactly the range, or fails. A missing key is CAIRN_ENOTFOUND, a
 *    range beyond the end is CAIRN_ECORRUPT.
 *  - Every method may be called from any thread at any time, before close().
 *  - Errors: CAIRN_EUNAVAIL if nothing was changed and trying again may help, CAIRN_EUNKNOWN,
 *    CAIRN_ENOSPC, CAIRN_EACCES, CAIRN_EIO, CAIRN_ENOMEM; what a source or a sink returns ends the
 *    call with that code. The error object names the key.
 *  - Cairn does not trust a store: it hashes what it writes and what it reads.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes to be stored. Sequential: the store reads offsets in increasing order without gaps; to try
 * again it starts over at offset 0. */
typedef struct cairn_source {
    uint64_t size;
    /* Read exactly n bytes at offset into data. 0 or a negative code with *reterr. */
    int (*read)(struct cairn_source *source, uint64_t offset, void *data, size_t n,
                cairn_error **reterr);
    /* A local file with the same bytes which will never change, or NULL. The store may link it in
     * place of reading, and then never calls read. */
    const char *link_path;
    /* Set by a store, to 1, while it reads only to look, such as for a signature: the bytes are not on
     * their way yet, and no limit of a rate holds them up. */
    uint8_t is_looked_at;
} cairn_source;

/** Where bytes that are read go. */
typedef struct cairn_sink {
    /* Take n bytes; offset counts from the start of the range that was asked for. Called in order
     * without gaps; offset 0 starts over; never called for an empty range. A negative code ends the
     * get with that code. */
    int (*write)(struct cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                 cairn_error **reterr);
} cairn_sink;

typedef enum cairn_put_how {
    CAIRN_PUT_COPIED = 0, /* every byte went through source->read */
    CAIRN_PUT_LINKED = 1, /* hard link: no byte was read or written */
    CAIRN_PUT_CLONED = 2  /* reflink or server-side copy: no byte was read */
} cairn_put_how;

typedef struct cairn_object_stat {
    uint64_t size;
    int64_t modified_ms; /* Unix time; of the store's clock */
} cairn_object_stat;

/** @return 0 to go on; anything else ends the listing, which then returns that value. */
typedef int (*cairn_list_fn)(void *context, const char *key, const cairn_object_stat *stat);

/** A backend has every method but the optional ones. */
typedef struct cairn_store_ops {
    uint32_t struct_size;
    const char *scheme; /* "file", "memory", "s3": for messages */
    void (*close)(cairn_store *store);
    int (*put)(cairn_store *store, const char *key, cairn_source *source, cairn_put_how *ret_how,
               cairn_error **reterr);
    int (*create)(cairn_store *store, const char *key, const void *data, size_t size,
                  cairn_error **reterr);
    int (*flush)(cairn_store *store, cairn_error **reterr);
    /* size UINT64_MAX: to the end. */
    int (*get)(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
               cairn_sink *sink, cairn_error **reterr);
    int (*stat)(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                cairn_error **reterr);
    /* Every key that starts with prefix (a plain string prefix; "" for all), in one flat listing. */
    int (*list)(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                cairn_error **reterr);
    /* The distinct first segments (what stands before the first '/' after prefix; given without the
     * prefix) of keys under prefix, sorted bytewise; those that are whole keys come with a stat,
     * those that go on with '/' come with NULL and a final '/'. prefix is "" or ends with '/'. */
    int (*list_segments)(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                         cairn_error **reterr);
    /* n keys; tries all of them and returns the first failure. */
    int (*remove)(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr);
    /* Optional (may be NULL): give the object as a new local file without moving bytes (hard link or
     * reflink). CAIRN_EUNSUPPORTED if it cannot; the caller then uses get. */
    int (*link_out)(cairn_store *store, const char *key, const char *path, cairn_put_how *ret_how,
                    cairn_error **reterr);
    /* Optional: remove temporary objects under prefix that a crash left, older than min_age_ms. */
    int (*reap)(cairn_store *store, const char *prefix, uint64_t min_age_ms,
                uint64_t *ret_count, cairn_error **reterr);
    /* Optional: make the new object `key` of an object of another handle of this backend (or of this
     * one), without its bytes passing through the caller: hard link, reflink, or a copy by the server.
     * As put() else. CAIRN_EUNSUPPORTED if it cannot, and then nothing has happened; CAIRN_ENOTFOUND if
     * the source is not there. */
    int (*copy)(cairn_store *store, const char *key, cairn_store *from, const char *from_key,
                cairn_put_how *ret_how, cairn_error **reterr);
    /* Optional: what everybody who uses this store has to know, as a sentence without a final dot, valid
     * until close(); NULL: nothing. It is told wherever a job of the store is. */
    const char *(*caveat)(cairn_store *store);
    /* Optional: how much of a large object is best asked for at once, if several threads that read ranges of
     * it are faster than one that reads all of it. 0: they are not. */
    uint64_t (*range_bytes)(cairn_store *store);
} cairn_store_ops;

/** A backend's own struct begins with this one. */
struct cairn_store {
    const cairn_store_ops *ops;
};

/** Make an error object for *reterr (which may be NULL) from inside a backend.
 * @return code, so that a backend can write `return cairn_error_set(...)`. */
CAIRN_API int cairn_error_set(cairn_error **reterr, int code, const char *object, int os_errno,
                              const char *message);

#ifdef __cplusplus
}
#endif
#endif
