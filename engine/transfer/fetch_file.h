/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_FETCH_FILE_H
#define CRN_ENGINE_FETCH_FILE_H

#include "base/hash.h"
#include "cairn/store.h"
#include "engine/transfer/downloads.h"
#include "manifest/manifest.h"

/* The pieces of a fetch, what fetch.c runs many of in parallel: whole files, files that share an
 * object, and ranges of large ones. */

struct crn_intake {
    cairn_store *store;
    const char *job;
    const char *directory; /* NULL: the bytes are only checked */
    const char *kept;      /* NULL: nothing is kept, nor was */
    struct crn_downloads *downloads;
    bool link, sync, sizes_only;
    /* Bytes that arrived (negative: have to come again). A negative code ends the file with it. */
    int (*tick)(void *context, int64_t bytes, cairn_error **reterr);
    void *tick_context;
};

/* What one thread uses for one file after another. */
#define CRN_INTAKE_BUFFER_BYTES ((size_t)256 << 10) /* stays in the second-level cache */
struct crn_intake_scratch {
    uint8_t *buffer;
    struct crn_digest *digest;
};
int crn_intake_scratch_init(struct crn_intake_scratch *scratch, cairn_error **reterr);
void crn_intake_scratch_done(struct crn_intake_scratch *scratch);

/* Bring in one file and verify it. `ordinal` is unique within the directory: it names the temporary
 * file. Results as crn_fetch(). */
int crn_intake_file(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                    const struct crn_file *file, size_t ordinal, cairn_error **reterr);
/* The same into memory; intake->directory is not used. Appends to `out`. */
int crn_intake_bytes(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                     const struct crn_file *file, struct cairn_buffer *out, cairn_error **reterr);

/* fetch_pack.c: files that are slices of one object, in order of their offsets, by as few requests
 * as can be. Their ordinals are ordinal, ordinal + 1, ... */
struct crn_pack_request {
    const struct crn_file *const *files;
    size_t count, ordinal;
    /* One of the files is bad; 0: go on with the others. NULL: the first one ends it. Takes the
     * error. */
    int (*problem)(void *context, const struct crn_file *file, int code, cairn_error **error);
    void *problem_context;
};
int crn_intake_pack(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                    const struct crn_pack_request *request, cairn_error **reterr);

/* fetch_ranges.c: a large object by several threads. The intake must stay until it is freed. */
struct crn_ranges;
/* *ret NULL: the file is there already. */
int crn_ranges_begin(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                     const struct crn_file *file, uint64_t range_bytes, size_t ordinal,
                     struct crn_ranges **ret, cairn_error **reterr);
/* The next range that nobody has taken; false: there is none, at the moment. */
bool crn_ranges_take(struct crn_ranges *ranges, size_t *ret_range);
enum crn_ranges_state { CRN_RANGES_GO_ON, CRN_RANGES_BEGIN_AGAIN, CRN_RANGES_FINISHED };
/* Verify what has come so far. To be called after begin, since there may be something already. */
int crn_ranges_advance(struct crn_ranges *ranges, const struct crn_intake_scratch *scratch,
                       enum crn_ranges_state *ret_state, cairn_error **reterr);
/* Fetch one, then advance. */
int crn_ranges_fetch(struct crn_ranges *ranges, const struct crn_intake_scratch *scratch,
                     size_t range, enum crn_ranges_state *ret_state, cairn_error **reterr);
void crn_ranges_free(struct crn_ranges *ranges);

#endif
