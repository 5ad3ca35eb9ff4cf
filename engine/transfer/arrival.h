/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_ARRIVAL_H
#define CRN_ENGINE_ARRIVAL_H

#include "engine/transfer/fetch_file.h"
#include "engine/transfer/sums.h"

/* One stored file on its way to where it is wanted: what fetch_file.c, fetch_pack.c and
 * fetch_ranges.c have in common. */

struct crn_arrival {
    const struct crn_intake *intake;
    const struct crn_intake_scratch *scratch;
    const struct crn_file *file;
    char *key;                /* of the object, for the store and for errors */
    char *final_path, *path;  /* NULL without a directory; path is the temporary one */
    int fd;                   /* -1: nothing is written */
    struct cairn_buffer *out; /* NULL: not into memory */
    size_t out_start;
    struct crn_sums sums;
    bool unfinished; /* something stands at path that must go */
};
/* `out` may be NULL. */
int crn_arrival_init(struct crn_arrival *arrival, const struct crn_intake *intake,
                     const struct crn_intake_scratch *scratch, const struct crn_file *file,
                     size_t ordinal, struct cairn_buffer *out, cairn_error **reterr);
void crn_arrival_done(struct crn_arrival *arrival);
/* It begins, or begins anew. */
int crn_arrival_start(struct crn_arrival *arrival, cairn_error **reterr);
/* The next bytes. */
int crn_arrival_take(struct crn_arrival *arrival, const void *data, size_t n, cairn_error **reterr);
/* All of it is there: verify it, give it its name, and keep it for a next start. */
int crn_arrival_finish(struct crn_arrival *arrival, cairn_error **reterr);
int crn_arrival_fail_missing(const struct crn_arrival *arrival, cairn_error **reterr);
/* 1: it need not be downloaded: the store has linked it, or an earlier restore has kept it. It is
 * verified and has its name. 0: it has to be. */
int crn_arrival_find(struct crn_arrival *arrival, cairn_error **reterr);

/* Where an object's bytes go. restart() is called before each try. */
struct crn_intake_sink {
    cairn_sink sink;
    int (*restart)(struct crn_intake_sink *sink, cairn_error **reterr);
};
/* Get a range of an object, within the limits, and again if the store is away for a moment. size
 * UINT64_MAX: all of it, of which about `bytes` are booked. A missing object is CAIRN_ENOTFOUND. */
int crn_intake_get(const struct crn_intake *intake, const char *key, uint64_t offset, uint64_t size,
                   uint64_t bytes, struct crn_intake_sink *sink, cairn_error **reterr);

#endif
