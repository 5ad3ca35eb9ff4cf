/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SAVEPOINT_SAVEPOINT_H
#define CRN_ENGINE_SAVEPOINT_SAVEPOINT_H

#include "engine/job/job.h"
#include "manifest/cluster.h"

/*
 * Savepoints of a running job. A request is a handle (savepoint.c), with the place where it goes
 * (target.c). It waits in the job's queue until the coordinator lets it begin; then it has a run
 * (run.c), which belongs to the attempt. The database's part is attempt.c's for native files and
 * dump.c's for canonical ones.
 */

/* Where a savepoint's directory is made. */
struct crn_savepoint_target {
    cairn_store *store;
    bool owns_store;
    bool is_lent;   /* the caller's, until the savepoint has ended */
    bool is_beside; /* the place of the job's own store */
    char *root;     /* opens the store again; NULL: it has no such name */
};

struct cairn_savepoint_handle {
    atomic_uint refs;
    /* Constant once it is in the queue; the target's store until the end. */
    struct crn_savepoint_target target;
    cairn_savepoint_format format;
    bool link_previous;
    bool stop, drain; /* the job stops with it: engine/job/ending.c */
    uint64_t timeout_ms;
    atomic_uint_fast64_t done_bytes, total_bytes;
    struct cairn_savepoint_handle *next; /* in job->savepoints, guarded by job->lock */
    /* Guarded by lock, which may be taken under job->lock. */
    struct crn_mutex lock;
    struct crn_cond changed;
    bool over;
    bool overdue; /* the log cannot be told the outcome, or another's: see code and error */
    int code;
    cairn_error *error;
    uint64_t started_us; /* 0: it waits */
    cairn_savepoint_info info;
};

/* target.c. In the caller's thread: opening may take its time. */
int crn_savepoint_target_open(struct cairn_job *job, const cairn_savepoint_options *options,
                              struct crn_savepoint_target *ret, cairn_error **reterr);
void crn_savepoint_target_close(struct crn_savepoint_target *target);
/* Where the directory `name` is, for people and restore_uri. */
int crn_savepoint_location(const struct crn_savepoint_target *target, const char *name,
                           char **ret_location, cairn_error **reterr);

/* savepoint.c */
int crn_savepoint_request(struct cairn_job *job, const cairn_savepoint_options *options,
                          struct cairn_savepoint_handle **ret, cairn_error **reterr);
/* With one reference, and nothing else. NULL: no memory. */
struct cairn_savepoint_handle *crn_savepoint_handle_new(void);
void crn_savepoint_unref(struct cairn_savepoint_handle *handle);
/* Every task has taken its barrier. */
void crn_savepoint_begun(struct cairn_savepoint_handle *handle, uint64_t id, const char *location,
                         uint64_t started_us);
/* It has an outcome, and its target is in use no more. `info` has the sizes; NULL when it failed.
 */
void crn_savepoint_end(struct cairn_savepoint_handle *handle, int code, const cairn_error *error,
                       const cairn_savepoint_info *info);
void crn_savepoint_note_overdue(struct cairn_savepoint_handle *handle, int code,
                                const cairn_error *error);
/* Does cairn_task_savepoint() return? */
bool crn_savepoint_is_settled(struct cairn_savepoint_handle *handle);
int crn_savepoint_outcome(struct cairn_savepoint_handle *handle, cairn_savepoint_info *ret_info,
                          cairn_error **reterr);

/* An earlier savepoint that tables may be linked from; record NULL: none. */
struct crn_savepoint_previous {
    struct crn_record *record;
    char *name;
};

/* run.c, driver only but where it says otherwise. */
struct crn_savepoint_run {
    struct cairn_savepoint_handle *handle; /* one reference */
    char *name;                            /* of the directory in handle->target.store */
    char *location;
    char *intent; /* its key, relative to the job; NULL: none */
    struct crn_savepoint_previous previous;
    atomic_uint barriers_left;
    atomic_uint_fast64_t linked_bytes;
    struct crn_record *record; /* for the directory, once built */
    enum crn_manifest_fate {
        CRN_MANIFEST_NONE,    /* never tried: what is there is somebody else's */
        CRN_MANIFEST_REFUSED, /* the store says that it was not written */
        CRN_MANIFEST_STANDS,
        CRN_MANIFEST_MAY_APPEAR, /* the store did not tell whether it was written */
        CRN_MANIFEST_ANOTHERS    /* somebody else's is there */
    } manifest;
};
/* Take the first one out of the queue, with its reference; NULL: none waits. */
struct cairn_savepoint_handle *crn_savepoint_next(struct cairn_job *job);
/* Before the first barrier: name, intent, earlier savepoint. *ret has the handle even on failure,
 * which may leave it without a name; NULL: there was no memory for it. */
int crn_savepoint_prepare(struct cairn_job *job, struct cairn_savepoint_handle *handle, uint64_t id,
                          struct crn_savepoint_run **ret, cairn_error **reterr);
void crn_savepoint_run_free(struct crn_savepoint_run *run);
/* A task's thread has taken its barrier. */
void crn_savepoint_barrier_taken(struct crn_attempt *attempt);
/* The directory's manifest, and attempt->record as the pointer to it. CRN_EVENT_COMMIT_OK: go on
 * and commit that. */
enum crn_event_kind crn_savepoint_write_manifest(struct crn_attempt *attempt, cairn_error **reterr);
/* The pointer stands in the log. Ends the handle. */
void crn_savepoint_complete(struct crn_attempt *attempt);
/* Remove what it put, but the intent, when the id cannot become this savepoint. 0: nothing is left.
 */
int crn_savepoint_make_room(struct crn_attempt *attempt);
/* It has failed, and no upload runs: the same, and then end the handle. is_resolved: the log says
 * so, and the intent goes, too. */
void crn_savepoint_discard(struct crn_attempt *attempt, bool is_resolved);
/* End a handle that has no attempt, or none any more. */
void crn_savepoint_fail(struct cairn_job *job, struct cairn_savepoint_handle *handle, uint64_t id,
                        const cairn_error *why);

/* It cannot become an attempt. Takes handle and run, which may be NULL. */
void crn_savepoint_give_up(struct cairn_job *job, struct cairn_savepoint_handle *handle,
                           struct crn_savepoint_run *run, uint64_t id, const cairn_error *why);
/* All that wait in the queue: none of them will begin. */
void crn_savepoint_fail_waiting(struct cairn_job *job, const cairn_error *why);
/* The log cannot be told the outcome of what is in flight. */
void crn_savepoint_tell_overdue(struct cairn_job *job, int code, const cairn_error *error);

/* Remove what was uploaded and `record` does not have: tries under other names. */
void crn_savepoint_remove_superseded(struct crn_attempt *attempt, const struct crn_record *record);

/* join.c: in a worker, what crn_savepoint_prepare() is in its coordinator. */
int crn_savepoint_join(struct cairn_job *job, const struct crn_trigger *trigger,
                       struct crn_savepoint_run **ret, cairn_error **reterr);

/* previous.c: the newest earlier native savepoint of the job in a store that can be read. */
void crn_savepoint_find_previous(cairn_store *store, const struct cairn_job *job, uint64_t id,
                                 struct crn_savepoint_previous *ret);
const struct crn_subtask *crn_savepoint_previous_subtask(const struct crn_savepoint_run *run,
                                                         const struct cairn_task *task);

/* dump.c, capture and transfer threads: the part's canonical files. Plan: adds them to the subtask.
 * Write: one of them. Done: the snapshot is released when everybody is. */
int crn_dump_plan(struct crn_part *part, cairn_error **reterr);
int crn_dump_write(struct crn_part *part, const char *path, struct crn_file *file,
                   cairn_error **reterr);
void crn_dump_done(struct crn_part *part);

#endif
