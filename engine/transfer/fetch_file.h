/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_FETCH_FILE_H
#define CRN_ENGINE_FETCH_FILE_H

#include "base/hash.h"
#include "cairn/store.h"
#include "manifest/manifest.h"

/* One file of a fetch; what fetch.c runs many of in parallel. */

struct crn_intake {
    cairn_store *store;
    const char *job;
    const char *directory; /* NULL: the bytes are only checked */
    bool link, sync, sizes_only;
    /* Bytes that arrived (negative: have to come again). A negative code ends the file with it. */
    int (*tick)(void *context, int64_t bytes, cairn_error **reterr);
    void *tick_context;
};

/* What one thread uses for one file after another. */
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

#endif
