/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_SAVEPOINT_H
#define CAIRN_SAVEPOINT_H

/*
 * Savepoints: snapshots that are asked for, self-contained, and the caller's. cairn.h includes this; what it
 * says of errors, NULL and options structs holds here. To start a job from one, see restore_uri and
 * claim_mode in cairn_job_options; to remove one, cairn_dispose() in inspect.h; to make one without a
 * running job, writer.h.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cairn_savepoint_format {
    CAIRN_CANONICAL = 0, /* Cairn's own sorted files: every state backend and every parallelism reads them */
    CAIRN_NATIVE = 1     /* the state backend's own files: quick, hard links on the same file system; only
                            the same backend reads them. Of the heap backend it is the canonical form */
} cairn_savepoint_format;

typedef struct cairn_savepoint_options {
    uint32_t struct_size;
    const char *target_uri;    /* store in which the savepoint's directory `savepoint-<job>-<id>` is made, or
                                  `savepoint-<job>-<id>-b` and so on up to -z if that one is there already;
                                  NULL: the job's savepoint_uri or savepoint_store. Not within the job's own
                                  directory */
    cairn_store *target_store; /* an open store instead of target_uri; borrowed until the savepoint ends */
    cairn_savepoint_format format;
    uint8_t link_previous; /* 1, native: tables that an earlier savepoint of this job in the same target
                              holds are linked from it, or copied by the store, where the store can, and not
                              sent again. Each stays self-contained */
    uint64_t timeout_ms;   /* it is aborted after it; 0: the job's checkpoint_timeout_ms */
    uint8_t stop;          /* 1: stop the job with it. Each task gets CAIRN_EVENT_STOPPING at its barrier and
                              processes nothing more; when the savepoint is complete, CAIRN_EVENT_STOPPED,
                              with which sinks commit. Meanwhile no checkpoint begins. If it fails, tasks get
                              ABORTED and the job goes on. The next plain start of the job goes on from it */
    uint8_t drain;         /* 1, with stop: CAIRN_EVENT_DRAIN comes first: for a job that is not to be
                              continued */
} cairn_savepoint_options;
#define CAIRN_SAVEPOINT_OPTIONS_INIT                                                               \
    {sizeof(cairn_savepoint_options), 0, 0, (cairn_savepoint_format)0, 0, 0, 0, 0}

typedef enum cairn_savepoint_phase {
    CAIRN_SAVEPOINT_WAITING = 0,   /* another savepoint is in flight, or not every task has polled */
    CAIRN_SAVEPOINT_WRITING = 1,
    CAIRN_SAVEPOINT_COMPLETE = 2,
    CAIRN_SAVEPOINT_FAILED = 3     /* nothing of it is left that could be taken for a savepoint, unless
                                      it ended with CAIRN_EUNKNOWN */
} cairn_savepoint_phase;

typedef struct cairn_savepoint_info {
    uint32_t struct_size;
    cairn_savepoint_phase phase;
    uint64_t id;             /* 0 while it waits */
    cairn_savepoint_format format;
    uint64_t done_bytes;     /* of database read or files sent so far */
    uint64_t total_bytes;    /* the same at its end: an estimate until it is complete. 0: not known yet, as
                                of canonical files that are made from a database */
    uint64_t full_bytes;     /* complete: size of all its files */
    uint64_t linked_bytes;   /* complete: of these, not copied but linked or cloned */
    uint64_t file_count;
    uint64_t duration_us;
    uint64_t barrier_max_us; /* longest time that one task's thread spent in the barrier */
    char location[4096];     /* where it is, as a URI or path for restore_uri; "" while it waits. Of a
                                target_store that is no directory: the directory's name in it */
} cairn_savepoint_info;
#define CAIRN_SAVEPOINT_INFO_INIT                                                                  \
    {sizeof(cairn_savepoint_info), (cairn_savepoint_phase)0, 0, (cairn_savepoint_format)0, 0, 0, 0, 0, \
     0, 0, 0, {0}}

/** Ask for a savepoint and return at once. It is taken from the same kind of barrier as a checkpoint;
 * the writers go on meanwhile, and are not held back for a canonical one. One savepoint of a job
 * is in flight at a time, besides its checkpoints; the others wait for their turn.
 *
 * The directory appears whole: its manifest is the last object that is written. It belongs to the caller,
 * can be moved or copied anywhere, and no checkpoint shares a file with it. Sinks do not commit for it:
 * tasks get CAIRN_EVENT_SAVEPOINT instead of COMPLETED.
 *
 * @param ret_handle  to be closed with cairn_savepoint_close(); closing does not cancel. NULL: nobody
 *                    wants to know.
 * @return 0; CAIRN_EINVAL (not started, no target is known, or one within the job's own directory; drain
 *         without stop), CAIRN_EFENCED, CAIRN_ECLOSED (also if it was stopped), CAIRN_ECANCELED,
 *         CAIRN_EFAILED, or what opening the target gives.
 * @crash an incomplete directory without a manifest may be left; the job's next open, or `cairn gc` of the
 *        job, removes what Cairn put there. A complete one stays. */
CAIRN_API CAIRN_MUST_CHECK int cairn_savepoint_begin(cairn_job *job,
                                                     const cairn_savepoint_options *options,
                                                     cairn_savepoint_handle **ret_handle,
                                                     cairn_error **reterr);
/** How it stands. Any thread. @return 0, or CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_savepoint_status(cairn_savepoint_handle *handle,
                                                      cairn_savepoint_info *ret_info,
                                                      cairn_error **reterr);
/** Wait for its end. Never from a task's thread: see cairn_task_savepoint().
 * @param timeout_ms  UINT64_MAX: as long as it takes.
 * @return 0 (complete) and *ret_info (may be NULL); CAIRN_ETIMEOUT (it goes on). When it failed:
 *         CAIRN_EEXIST, CAIRN_EFENCED, CAIRN_ECLOSED or an error of CAIRN_CLASS_LOCAL, such as
 *         CAIRN_ENOSPC or CAIRN_EACCES, if that was the reason; CAIRN_EABORTED for every other reason, its
 *         own timeout among them, which the message gives. CAIRN_EUNKNOWN: it is whole, but the job was
 *         closed before it was known whether the job's log tells of it. */
CAIRN_API CAIRN_MUST_CHECK int cairn_savepoint_wait(cairn_savepoint_handle *handle,
                                                    uint64_t timeout_ms,
                                                    cairn_savepoint_info *ret_info,
                                                    cairn_error **reterr);
/** May be called while the savepoint goes on, and after the job was closed. NULL is fine. */
CAIRN_API void cairn_savepoint_close(cairn_savepoint_handle *handle);
/** Begin, wait, close. The tasks' own threads must go on polling; never call it from one of them: nobody takes
 * that task's barrier meanwhile, and it fails when timeout_ms is over. cairn_task_savepoint() is for them. */
CAIRN_API CAIRN_MUST_CHECK int cairn_savepoint(cairn_job *job,
                                               const cairn_savepoint_options *options,
                                               cairn_savepoint_info *ret_info, cairn_error **reterr);
/** The same from a task's own thread, taking this task's barrier here; as cairn_task_checkpoint(). With stop,
 * neither DRAIN nor STOPPING comes to this task: what it is still gathering it has to send on before. STOPPED,
 * with which its sinks commit, comes to the next poll. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_savepoint(cairn_task *task,
                                                    const cairn_savepoint_options *options,
                                                    cairn_savepoint_info *ret_info,
                                                    cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
