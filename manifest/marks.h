/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_MANIFEST_MARKS_H
#define CRN_MANIFEST_MARKS_H

#include "manifest/manifest.h"

/*
 * Marks: small objects in the directory of a snapshot that say what is being done to it.
 *
 *   CLAIMED     a job is taking the snapshot over (CAIRN_CLAIM), and will remove it, or has done
 *   DISPOSING   the snapshot is being removed; its manifest may be gone already
 *
 * A mark is made by create-if-absent before anything else changes, and removed last, when nothing
 * else of the snapshot is there. So whoever dies in between leaves word of what was begun, and the
 * same work done again goes on from there. CLAIMED stays behind in a job's directory: it tells the
 * job's own service, should that be started again, where its state has gone.
 *
 * Who has made one mark then looks for the other. If it is there, the newcomer takes its own mark
 * back, and the work is refused: of two that come together at most one goes on.
 *
 * The bytes are lines of text, so that a person who finds one can read it; docs/format.md has them.
 */
enum crn_mark_kind { CRN_MARK_CLAIM = 1, CRN_MARK_DISPOSAL = 2 };

struct crn_mark {
    enum crn_mark_kind kind;
    /* The snapshot. */
    uint64_t id;
    uint8_t uuid[16];
    /* Claims only: whether the directory is a job's and not a savepoint's, the job that takes it
     * over, where its store was (a hint), and its fence record, by which an incarnation that was
     * cut short is known again. */
    bool of_job;
    char *job;
    char *location;
    uint64_t fence_id, fence_epoch;
    uint8_t fence_uuid[16];
    /* Who wrote it. */
    int64_t time_ms; /* Unix time; before 1970 is written as 0 */
    char *host;
    uint64_t pid;
};
/* Texts are malloc'ed. */
void crn_mark_done(struct crn_mark *mark);
#define CRN_AUTO_MARK CRN_CLEANUP(crn_mark_done)

#define CRN_LIMIT_MARK 8192u /* bytes of one */

/* The mark's key below the directory: CRN_MARK_CLAIMED or CRN_MARK_DISPOSING. */
const char *crn_mark_key(enum crn_mark_kind kind);
/* Replaces what is in `out`. Texts that are not clean are made so, too long ones are cut. 0,
 * CAIRN_EINVAL (a job, uuid or id that cannot be), CAIRN_ENOMEM. */
int crn_mark_encode(const struct crn_mark *mark, struct cairn_buffer *out, cairn_error **reterr);
/* `object` is its key, whose last segment says the kind; errors name it. CAIRN_ECORRUPT;
 * CAIRN_EVERSION (its first line says a version that is not known, and its checksum is right);
 * CAIRN_ENOMEM. */
int crn_mark_decode(const char *object, const void *data, size_t size, struct crn_mark *ret,
                    cairn_error **reterr);

#endif
