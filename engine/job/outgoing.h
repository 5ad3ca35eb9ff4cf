/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_OUTGOING_H
#define CRN_ENGINE_OUTGOING_H

#include "cairn/store.h"
#include "engine/job/job.h"

/* Files of a part as one source for the store: one, or several one behind the other. Each is hashed
 * while it is read, and compared with what is known of it (P8): its sums are in file->info when all
 * of it has been read. A store that begins again reads all of it again. */
struct crn_outgoing {
    cairn_source source;
    struct crn_part *part;
    struct crn_file *const *files; /* borrowed */
    size_t count;
    const uint8_t *bytes; /* of the only file; NULL: they are in part->staging */
    struct crn_digest *digest;
    uint64_t expected; /* next offset */
    size_t at;         /* the file that is being read */
    uint64_t at_start; /* its place in the source */
    size_t opened;     /* the one that path and fd are of */
    char *path;
    int fd;                         /* -1: none */
    atomic_uint_fast64_t *progress; /* bytes sent are added; NULL: nobody asks */
    uint64_t counted;
};
int crn_outgoing_init(struct crn_outgoing *out, struct crn_part *part,
                      struct crn_file *const *files, size_t count, const void *bytes,
                      cairn_error **reterr);
void crn_outgoing_done(struct crn_outgoing *out);
/* For words: the file's path, or what the pack is. */
const char *crn_outgoing_name(const struct crn_outgoing *out);
/* The store says that it has copied all of it: has it? */
int crn_outgoing_check_read(struct crn_outgoing *out, cairn_error **reterr);
/* Where bytes are counted for who watches; NULL: of what a dump writes, whose size was not known.
 */
atomic_uint_fast64_t *crn_outgoing_progress(const struct crn_part *part);
/* What the store has of it. */
void crn_outgoing_count(struct crn_outgoing *out, uint64_t sent);

/* packs.c: which files of a part are sent together. `order` gets the indices of those that are to
 * be sent, `ends` where each group of them ends; both have room for all files of the subtask. */
int crn_packs_group(struct crn_part *part, size_t *order, size_t *ends, size_t *ret_groups,
                    cairn_error **reterr);

/* upload.c: what is known of how a store takes a file. A link costs nothing. */
bool crn_upload_is_linked(const cairn_store *store, const char *path);
bool crn_upload_is_inlined(const struct cairn_job *job, const cairn_file_info *info);

#endif
