/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SAVEPOINT_DIRECTORY_H
#define CRN_ENGINE_SAVEPOINT_DIRECTORY_H

#include "cairn/store.h"
#include "manifest/manifest.h"

/*
 * A savepoint's directory in a store, as a running job and a snapshot writer make it:
 *
 *   <name>/chk-<id>/e<epoch>-c<id>-<n>[-<name>]   all files, tables too: nothing is shared
 *   <name>/MANIFEST-chk<id>                       created last; then it is a savepoint
 */

/* "savepoint-<job>-<id>"; a job's name that is too long for it is cut and gets a digest. malloc'ed.
 */
int crn_savepoint_name(const char *job, uint64_t id, char **ret_name, cairn_error **reterr);
/* CAIRN_EEXIST if the store has anything below that name. */
int crn_savepoint_check_absent(cairn_store *store, const char *name, cairn_error **reterr);
/* That name if nothing is below it, else the first free one of "<name>-b" to "<name>-z". */
int crn_savepoint_free_name(cairn_store *store, const char *job, uint64_t id, char **ret_name,
                            cairn_error **reterr);
/* Is it the name of this id, or such another one of it? */
bool crn_savepoint_name_is(const char *name, const char *job, uint64_t id);
/* Everything was put: flush, create the manifest, and read back if the outcome is not known. The
 * record is of kind savepoint, finished, without location. CAIRN_EEXIST: another one is there;
 * CAIRN_EUNKNOWN. */
int crn_savepoint_publish(cairn_store *store, const char *name, const struct crn_record *record,
                          cairn_error **reterr);
/* Take a savepoint or the beginnings of one away: manifest first, then `keys` (relative to name).
 * A key that cannot be removed does not keep the others from going; a manifest keeps them all. id
 * 0: the keys alone. */
int crn_savepoint_withdraw(cairn_store *store, const char *name, uint64_t id, char *const *keys,
                           size_t count, cairn_error **reterr);

/* Intents. Before the first object of a savepoint is put, an object of the job says where it is
 * going to be: `chk-<id>/e<epoch>-c<id>-<n>-savepoint-intent`, removed when the id is resolved. So
 * a crash leaves nothing that is forgotten (P6). location "": the directory is in the job's own
 * store. */
int crn_intent_put(cairn_store *store, const char *job, uint64_t epoch, uint64_t id,
                   uint64_t number, const char *location, const char *name, char **ret_key,
                   cairn_error **reterr);
bool crn_intent_is(const char *key); /* relative to the job */
/* The id is resolved, and nobody works on it: if the directory has no manifest, what this id and
 * epoch put there is removed. 0 if nothing is left to do, and the intent may go. CAIRN_EUNAVAIL and
 * the like: keep it. */
int crn_intent_settle(cairn_store *store, const char *job, const char *key, uint64_t *ret_removed,
                      cairn_error **reterr);

#endif
