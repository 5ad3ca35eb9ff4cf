/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_FETCH_H
#define CRN_ENGINE_FETCH_H

#include "cairn/inspect.h"
#include "cairn/store.h"
#include "engine/transfer/downloads.h"
#include "manifest/manifest.h"
#include <stdatomic.h>

/* Bring stored files back to the local disk, or only read them: the one place where objects' bytes
 * are taken in, so the one place where they are verified (P8). */

struct crn_fetch_request {
    cairn_store *store;
    const char *job;
    const struct crn_file *const *files; /* of any roles */
    size_t count;
    const char *directory; /* where to; exists. NULL: verify only, nothing is written */
    bool link;             /* hard link where the store can; the linked bytes are still verified */
    bool sync;             /* make files and directory durable */
    bool sizes_only;       /* with directory NULL: compare sizes, read nothing */
    uint32_t threads;      /* 0: 4 */
    const atomic_bool *cancelled;    /* may be NULL */
    struct crn_downloads *downloads; /* limits shared with other fetches; NULL: none */
    const char *kept; /* with directory, on its file system: files of an earlier fetch that was cut
                         short are taken from here, and these are left for a later one. NULL: no */
    cairn_progress_fn progress; /* may be NULL; called from one thread at a time */
    void *progress_context;
    /* Verify-only: called for each bad file, one at a time; the fetch then goes on. NULL: the first
     * problem ends it. */
    void (*problem)(void *context, const struct crn_file *file, const cairn_error *error);
    void *problem_context;
};
/* 0 when every file is there and right, else the first problem's error: CAIRN_EMISSING,
 * CAIRN_ECORRUPT (wrong size, xxh3 or crc32c), CAIRN_ECANCELED, or the store's or local disk's. The
 * object is named by its full key, `<job>/shared/...`; an inlined file by `<job>/MANIFEST-chk<id>`
 * and its name. Files appear in the directory under info.name; on failure some may be left, the
 * caller removes the directory. Largest first, over `threads` threads of its own. *ret_bytes (may
 * be NULL) is what came in, or with sizes_only was compared, on failure too. */
int crn_fetch(const struct crn_fetch_request *request, uint64_t *ret_bytes, cairn_error **reterr);

/* One whole file into memory, verified the same way: operator state and other small ones. downloads
 * may be NULL. */
int crn_fetch_bytes(cairn_store *store, const char *job, const struct crn_file *file,
                    struct crn_downloads *downloads, struct cairn_buffer *out,
                    cairn_error **reterr);

#endif
