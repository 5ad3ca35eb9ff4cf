/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_RESTORE_SOURCE_H
#define CRN_ENGINE_RESTORE_SOURCE_H

#include "engine/job/job.h"
#include "engine/log/claimed.h"

/* A job that starts from a snapshot elsewhere: job->source, and who owns it. It runs in the thread
 * that opens the job, unless it says otherwise. */

/* source.c. The job's own log and store from now on; closes what was open of another source. */
void crn_source_reset(struct cairn_job *job);
/* What restore_uri or restore_store names. *ret_is_own: it is the job's own directory; of
 * job->source only wanted_id is set then. CAIRN_ENOTFOUND. */
int crn_source_open(struct cairn_job *job, bool *ret_is_own, cairn_error **reterr);
/* Read its log and choose: the record, owned by job->source.log. CAIRN_ENOTFOUND, or what is wrong
 * with its records. */
int crn_source_choose(struct cairn_job *job, const struct crn_record **ret, cairn_error **reterr);
void crn_source_done(struct crn_restore_source *source); /* of a job that is freed */

/* stopped.c. The pointer to the savepoint that the next start goes on from, if none is named: the
 * job was stopped with it, and no complete checkpoint is above it. NULL: none. */
const struct crn_record *crn_stopped_find(const struct crn_joblog *log);
/* That savepoint is job->source from now on, unclaimed; its record is owned by job->source.log.
 * CAIRN_ENOTFOUND: it is not there any more; the message gives the ways out. */
int crn_stopped_choose(struct cairn_job *job, const struct crn_record *pointer,
                       const struct crn_record **ret, cairn_error **reterr);

/* whole_pack.c. A pack as a new local file. Slices of which no byte is another than their file
 * says, in any order; CAIRN_EMISSING, CAIRN_ECORRUPT with the key, the store's or the disk's error.
 */
struct crn_pack_slice {
    struct crn_pack_slice *next;
    const struct crn_file *file;
};
int crn_pack_bring(cairn_store *store, const char *key, const struct crn_pack_slice *slices,
                   const char *path, cairn_error **reterr);

/* import.c. job->restored, which is foreign, becomes a checkpoint of the job, which job->restored
 * is then. The fence is committed. CAIRN_EFENCED: another process took the job over meanwhile. */
int crn_import(struct cairn_job *job, cairn_error **reterr);

/* claim.c. Mark the source as the job's; of another job's checkpoint, after fencing that job. It
 * may choose a newer checkpoint. CAIRN_EEXIST: another job has claimed it. */
int crn_claim(struct cairn_job *job, cairn_error **reterr);
/* Has a snapshot in that directory been imported by this job? 1 if a claim of this job's is there
 * that is older than the import of id `import_id`, and of the same snapshot: a location may be used
 * again. uuid NULL: it is not known any more. Else 0. *ret_mark (may be NULL): the claim. */
int crn_claim_is_imported(const struct cairn_job *job, cairn_store *store, const char *name,
                          uint64_t import_id, const uint8_t *uuid, struct crn_mark *ret_mark,
                          cairn_error **reterr);
int crn_claim_remove_mark(cairn_store *store, const char *name, cairn_error **reterr);

/* claim_own.c. CAIRN_EFENCED, with who it was, if the job's own directory has been claimed. With
 * start_empty, the mark of a claim that is through is removed instead. */
int crn_claim_check_own(const struct cairn_job *job, cairn_error **reterr);
/* "job 'orders' in '/store'", if somebody has claimed the job's own directory. NULL: nobody, or it
 * cannot be told. */
char *crn_claim_find_claimer(const struct cairn_job *job);

/* place.c. "store/name", or a name in a store that the options give, or in the job's own. 1; 0: it
 * cannot be found. */
struct crn_place {
    cairn_store *store;
    cairn_store *owned; /* the same, if it is to be closed */
    char *name;
};
int crn_place_find(const struct cairn_job *job, const char *location, struct crn_place *ret,
                   cairn_error **reterr);
void crn_place_done(struct crn_place *place);
/* The restore of job->restored failed with `code` and *reterr. If that is an import, and a stored
 * object of it is damaged or missing, the error also says what that was a copy of. Returns code. */
int crn_import_blame_source(const struct cairn_job *job, int code, cairn_error **reterr);

/* release.c. Of a job that has started, in its driver thread. Remove the sources of what the job's
 * log says it has claimed and imported, as far as they are still there; give up claims of what the
 * job was not started from. Never fails: what cannot be removed now is logged, and tried again at
 * the next start. */
void crn_release_claimed(struct cairn_job *job);

#endif
