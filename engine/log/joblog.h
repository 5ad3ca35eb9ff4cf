/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_JOBLOG_H
#define CRN_ENGINE_JOBLOG_H

#include "cairn/store.h"
#include "manifest/manifest.h"

/* A job's log in its store: the effects for the rules in manifest/log.c. */

#define CRN_JOBLOG_PREFIX                                                                          \
    "MANIFEST-chk" /* what the keys of all records begin with, after the job */

/* A public call's `store` and `job`: CAIRN_EINVAL unless the store has every method and the job can
 * be a job's name, so that no key leaves the prefix. */
int crn_joblog_check_args(const cairn_store *store, const char *job, cairn_error **reterr);
/* A job's name and a relative key, joined with '/'. malloc'ed. */
int crn_joblog_key(const char *job, const char *relative, char **ret_key, cairn_error **reterr);

/* List the job's keys that start with `prefix` (relative to the job, "" for all). fn gets relative
 * keys too; what a store lists beside the question is passed over. As cairn_store_ops.list
 * otherwise. */
int crn_joblog_list(cairn_store *store, const char *job, const char *prefix, cairn_list_fn fn,
                    void *context, cairn_error **reterr);

struct crn_joblog_entry {
    uint64_t id;
    struct crn_record *record; /* NULL: unreadable */
    cairn_error *error;        /* why it is unreadable; set exactly when record is NULL */
    uint64_t manifest_bytes;
};

/* What was read. Ids from log_start to head_id, ascending. */
struct crn_joblog {
    char *job;
    struct crn_joblog_entry *entries;
    size_t count;
    uint64_t head_id; /* 0: the log is empty */
    uint64_t log_start;
    uint64_t epoch;     /* highest seen */
    uint32_t ids_ahead; /* of the head: ids above it that may have objects already */
    struct crn_hash128 head_hash;
    bool lost_top; /* crn_joblog_judge_top(): the last entry is a hole above head_id */
};
void crn_joblog_done(struct crn_joblog *log);

/* List and read all records of the log. Damaged or newer ones become entries with an error, unless
 * it is the head, whose log_start is then unknown: everything above the newest readable record's
 * log_start is kept as entries. Ids that are missing between log_start and head are an entry with
 * CAIRN_EMISSING, one for the first id of each gap (a gap can be what the job moving on while we
 * read looks like, so it makes us read again a few times). A broken chain of hashes is
 * CAIRN_ECORRUPT of the later one. No records at all: 0 and head_id 0. Returns the store's error if
 * it cannot be listed. */
int crn_joblog_read(cairn_store *store, const char *job, struct crn_joblog *ret,
                    cairn_error **reterr);
/* For who wants of each record what it holds, but not of all at once. */
struct crn_joblog_visitor {
    /* The reading begins, or begins again: forget what was visited. */
    int (*begin)(void *context, cairn_error **reterr);
    /* A record that can be read, from the newest to the oldest. Nothing of it may be kept. */
    int (*record)(void *context, const struct crn_joblog_entry *entry, cairn_error **reterr);
    void *context;
};
/* The same, but every record is shown to the visitor and then loses its operators: what one of them
 * holds is in memory at a time. */
int crn_joblog_visit(cairn_store *store, const char *job, const struct crn_joblog_visitor *visitor,
                     struct crn_joblog *ret, cairn_error **reterr);
/* The newest entry that is unreadable, as an error; 0 if all are well. */
int crn_joblog_require_whole(const struct crn_joblog *log, cairn_error **reterr);
/* Is this the directory of a savepoint? Nothing may be committed there. */
bool crn_joblog_is_savepoint(const struct crn_joblog *log);
/* Complete checkpoint by id (0: the newest), or the savepoint of a savepoint's directory.
 * CAIRN_ENOTFOUND, or the error of an unreadable record of that id (0: of one above the newest
 * readable checkpoint, since it may be the newest). Borrowed. */
int crn_joblog_find(const struct crn_joblog *log, uint64_t id, const struct crn_record **ret,
                    cairn_error **reterr);
/* Read one record. CAIRN_ENOTFOUND, CAIRN_ECORRUPT, CAIRN_EVERSION. ret_hash may be NULL. */
int crn_joblog_read_record(cairn_store *store, const char *job, uint64_t id,
                           struct crn_record **ret_record, struct crn_hash128 *ret_hash,
                           uint64_t *ret_bytes, cairn_error **reterr);

/* joblog_top.c: do the objects agree with where the log ends? Look, then read, then judge. */
struct crn_joblog_objects {
    size_t count;               /* of Cairn's objects; manifests are none */
    uint64_t first_id, last_id; /* lowest and highest; 0: none */
    uint64_t epoch;             /* the highest */
    uint64_t epoch_last_id;     /* highest id of that epoch */
    bool has_shared;
    bool is_leaving; /* has a mark: somebody claims or removes it */
};
int crn_joblog_look(cairn_store *store, const char *job, struct crn_joblog_objects *ret,
                    cairn_error **reterr);
/* The same for who lists anyway: any key relative to the job. */
void crn_joblog_note_object(struct crn_joblog_objects *objects, const char *key);
/* Of a directory without a manifest: has it objects that no savepoint alone left behind, and is not
 * being claimed or removed? Looks nowhere but where they are: the directory may be anybody's. */
int crn_joblog_find_lost(cairn_store *store, const char *job, bool *ret_found,
                         cairn_error **reterr);
/* Do the objects show that the log went on above its head? What a fenced writer left does not. */
bool crn_joblog_has_lost_top(const struct crn_joblog *log,
                             const struct crn_joblog_objects *objects);
/* Is there at least one object of an attempt at an id above the head? */
bool crn_joblog_has_unresolved(const struct crn_joblog *log,
                               const struct crn_joblog_objects *objects);
/* Is the lowest record that the newest one needs gone? */
bool crn_joblog_misses_its_begin(const struct crn_joblog *log);
/* If records at the top of a log are lost, the id above the head becomes an entry with
 * CAIRN_EMISSING, and the hole that they made at its begin is none any more. An empty log stays as
 * it is. */
int crn_joblog_judge_top(struct crn_joblog *log, const struct crn_joblog_objects *objects,
                         cairn_error **reterr);
/* Always fails: CAIRN_EMISSING, there are objects and no record. */
int crn_joblog_fail_lost(const char *job, const struct crn_joblog_objects *objects,
                         cairn_error **reterr);
/* Always fails: the same, or CAIRN_ENOTFOUND if there are none, or somebody removes them. */
int crn_joblog_fail_absent(cairn_store *store, const char *job,
                           const struct crn_joblog_objects *objects, cairn_error **reterr);
/* All three steps; an empty log is an error. */
int crn_joblog_read_judged(cairn_store *store, const char *job, struct crn_joblog *ret,
                           cairn_error **reterr);
int crn_joblog_visit_judged(cairn_store *store, const char *job,
                            const struct crn_joblog_visitor *visitor, struct crn_joblog *ret,
                            cairn_error **reterr);

/* Commit `record` at its id by create-if-absent, and settle unknown outcomes by reading back. On
 * success the log's head is this record (P7: nothing above it exists).
 *
 *   0               committed; *ret_hash is its hash.
 *   CAIRN_EEXIST    the id is taken by *ret_found (to be freed by the caller): see
 *                   crn_log_judge_collision().
 *   CAIRN_EFENCED   something above this id exists: this writer was overtaken.
 *   CAIRN_EUNKNOWN  the store did not let us learn the outcome. The id may or may not be ours.
 *   others          it did not happen. */
int crn_joblog_commit(cairn_store *store, const struct crn_record *record,
                      struct crn_hash128 *ret_hash, struct crn_record **ret_found,
                      cairn_error **reterr);
/* The same for a fence behind a top that is lost for good: no head before it is looked for. */
int crn_joblog_commit_anew(cairn_store *store, const struct crn_record *record,
                           struct crn_hash128 *ret_hash, struct crn_record **ret_found,
                           cairn_error **reterr);

#endif
