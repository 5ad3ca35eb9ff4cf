/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_JOB_H
#define CRN_ENGINE_JOB_H

#include "base/log.h"
#include "base/meter.h"
#include "base/rate.h"
#include "base/thread.h"
#include "cairn/store.h"
#include "engine/control/control.h"
#include "engine/gate/in_flight.h"
#include "engine/job/coordinator.h"
#include "engine/log/joblog.h"
#include "engine/job/task.h"
#include "engine/status/recorder.h"
#include "engine/transfer/downloads.h"
#include <stdatomic.h>

/*
 * A running job: what job.c, driver.c, attempt.c, upload.c, task.c and task_poll.c share.
 *
 * Threads. Tasks' own threads run task_poll.c: they take the barrier, hand it over and read their
 * mailbox. One driver thread runs driver.c: it feeds the coordinator, commits records and subsumes,
 * and is the only one that touches job->coordinator and job->joblog. Two pools run attempt.c and
 * upload.c: captures, whose writers may be held, never queue behind uploads.
 *
 * Attempts. Several are in flight, in job->attempts. Each task takes their barriers in order of id,
 * and the next one only when the capture of the one before has let go of its database: flights.c.
 * An increment builds on what is confirmed when it is captured, and keeps that in the log until it
 * is resolved: subsume.c.
 *
 * Lock. job->lock (CRN_RANK_JOB) guards what is marked so below. No store call, no state backend
 * call and no callback is made under it.
 */

#define CRN_MAILBOX_SIZE 16u
/* One step of the coordinator has at most one action of each kind that has a result: BEGIN, and
 * COMMIT or ABORT. */
#define CRN_RESULTS_MAX 2u

/* Bits of crn_task_runtime.pending: why poll may not take its fast path. */
enum {
    CRN_PENDING_NOT_STARTED = 1,
    CRN_PENDING_BARRIER = 2,
    CRN_PENDING_EVENT = 4,
    CRN_PENDING_STOPPED = 8, /* fenced or failed: see runtime->stop_code */
    CRN_PENDING_GATE = 16,   /* the task's gate wants a turn */
    CRN_PENDING_CLOCK = 32   /* its alignment may run out of time */
};

/* A stored object with the same bytes as a captured table. file NULL: none is known. */
struct crn_origin {
    cairn_store *store;
    const char *prefix;
    const struct crn_file *file;
    bool is_hint;   /* of a savepoint, which is the user's: what is there now may be anything */
    bool is_source; /* of what the job was started from: until that is released */
};

/* The part of one attempt that concerns one task. */
struct crn_part {
    struct crn_attempt *attempt;
    struct cairn_task *task;
    /* In task->runtime->requested, later in attempt->acks; guarded by job->lock. */
    struct crn_part *next;
    /* Written by the task's thread at the barrier, then by pool threads one after another; read by
     * the driver once acked. */
    struct crn_barrier barrier;
    struct crn_record *draft;       /* owns `described` */
    struct crn_operator *described; /* one operator with its states and one subtask */
    struct cairn_buffer operator_state;
    uint64_t upload_started_us;
    char *staging; /* directory of the capture */
    struct crn_origin
        *origins; /* one per table: where its bytes are already, if they are known to be */
    atomic_uint uploads_left;
    /* Of a canonical savepoint (dump.c): instead of `barrier`. */
    struct crn_state_snapshot *snapshot;
    const char **dump_states; /* names, borrowed from `described` */
    size_t dump_state_count;
    atomic_uint dumps_left;
    /* Of a task with a gate: records in flight, from the hand-over on, and their file. */
    struct crn_in_flight in_flight;
    struct crn_file in_flight_file;
    /* Guarded by job->lock. */
    bool taken; /* the task is in, or past, its barrier */
    bool acked;
    bool has_base;    /* the two below are chosen: by the capture, and constant from then on */
    uint64_t base_id; /* checkpoint in the log whose objects it may reference; 0: none */
    const struct crn_subtask *base; /* this task's files in it; NULL: none */
    atomic_uint phase;              /* enum crn_part_phase: for who watches */
};

/* What recorder.c has noted of an attempt's end. */
struct crn_attempt_end {
    uint64_t at_us; /* 0: it has not ended */
    int64_t time_ms;
    bool told; /* that it was aborted */
};

/* The part of one attempt that concerns one worker of a coordinator: engine/cluster/leader.h. */
struct crn_remote_part {
    struct crn_remote_part *next; /* in attempt->remote_acks; guarded by job->lock */
    struct crn_record *record;    /* its operators, with its subtasks; set once, under job->lock */
};

struct crn_attempt {
    struct cairn_job *job;
    uint64_t id;
    bool full;
    struct crn_savepoint_run *savepoint; /* NULL: it is a checkpoint */
    cairn_store *store; /* where its objects go: the job's store and name, or the */
    const char *prefix; /* savepoint's target and directory */
    int64_t trigger_time_ms;
    uint64_t started_us, timeout_us, deadline_us;
    atomic_bool cancelled;
    atomic_bool may_come_late; /* some put had no known outcome: it may yet be carried out */
    atomic_bool
        cannot_copy; /* no object could be made by the store itself: not worth asking again */
    struct crn_part *parts; /* one per task, same order as job->tasks */
    size_t part_count;
    struct crn_remote_part *remotes; /* one per worker, in the order of their index */
    size_t remote_count;
    uint64_t remote_floor; /* no worker builds on less; 0: on nothing */
    /* Guarded by job->lock. */
    struct crn_remote_part *remote_acks; /* that the driver has not seen yet */
    uint32_t running;                    /* barriers, captures and uploads that have not ended */
    struct crn_part *acks;               /* that the driver has not seen yet */
    bool declined;                       /* reason and code are set */
    bool decline_reported;
    bool drain_reported;
    cairn_error *error;                 /* why it was declined */
    const struct crn_part *failed_part; /* whose failure that is; NULL: no task's */
    char **uploaded; /* keys (relative) that may exist in the store because of this attempt */
    size_t uploaded_count, uploaded_capacity;
    /* Driver only. */
    struct crn_record *record;  /* for the log, once built */
    cairn_error *log_error;     /* why the log could not be told the outcome so far */
    bool in_doubt;              /* it may stand in the log: a try had no known outcome */
    bool subsumed;              /* no failure: a newer one was faster */
    bool ends_with_job;         /* no failure either */
    uint64_t commit_started_us; /* first try; 0: none yet */
    struct crn_attempt_end end;
    bool told;    /* in a worker: the coordinator was told of its acknowledgement, or refusal */
    bool aborted; /* in a worker: it is over, what it uploaded goes */
    /* For who watches, any thread. */
    atomic_uint_fast64_t done_bytes, total_bytes; /* of a checkpoint: sent, and to be sent */
    struct crn_meter meter; /* what it costs: uploads, and what its record is made with */
};

struct crn_task_runtime {
    atomic_uint refs; /* the handle, and the attempts in flight */
    atomic_uint pending;
    struct crn_cond wake; /* with job->lock: mailbox, pending */
    /* Which stored objects the database's tables are links or copies of, right after the restore:
     * as in the manifest, but with the numbers, levels and sequences that they have in this
     * database. Keys are below job->source.name in job->source.store. Owned, constant after open;
     * NULL: none. */
    struct crn_subtask *restored_files;
    uint8_t generation[16]; /* of the local database */
    char *directory;        /* local: <local_dir>/t<ordinal> */
    /* Guarded by job->lock. */
    struct crn_part *requested; /* barriers to take, in order of id, linked by part->next */
    bool capturing;             /* the database is captured: the next barrier has to wait */
    bool finished;              /* the driver takes its barriers */
    struct crn_final *final;    /* what it has left, then: finish.c */
    uint64_t stopping_id; /* the last savepoint that is to stop the job; 0: none: see mailbox */
    /* Files that the newest confirmed checkpoint, job->base_id, has of this task; NULL: none.
     * Points into a record of job->joblog, or is restored_files. Changed by the driver only. */
    const struct crn_subtask *base;
    cairn_event mailbox[CRN_MAILBOX_SIZE];
    uint32_t mailbox_count; /* oldest first */
    int stop_code;
    cairn_error *stop_error;
    uint32_t visitors; /* who looks at the database: it is not closed before they end */
    /* Written by the task's thread, read by any. */
    atomic_uint_fast64_t barriers, barrier_last_us, barrier_max_us;
};

/* Someone who waits for the outcome of a request. On the waiter's stack, linked under job->lock. */
struct crn_waiter {
    struct crn_waiter *next;
    uint64_t ticket;
    bool done;
    int code;
    cairn_error *error;
    cairn_checkpoint_info info;
};

/* Test seam: which state backend a job uses; it must outlive the job. NULL: what its options say.
 */
struct crn_job_seams {
    const struct crn_state_backend *backend;
};

/* How a job comes to its end. */
enum crn_ending {
    CRN_ENDING_NONE,
    CRN_ENDING_CLOSED,    /* by cairn_job_close() */
    CRN_ENDING_CANCELLED, /* by cairn_job_cancel() */
    CRN_ENDING_STOPPED,   /* with a savepoint */
    CRN_ENDING_FAILED,    /* too many failed checkpoints */
    CRN_ENDING_LOST       /* a worker, or in a worker the coordinator, is gone */
};

/* Where a job was started from: its own log, or a snapshot elsewhere. Constant after open, but for
 * the last two, which are guarded by job->lock. */
struct crn_restore_source {
    cairn_store *store; /* holds the files of job->restored; the job's own, or another */
    bool owns_store;
    const char *name;   /* their prefix in it */
    bool is_foreign;    /* the fields below count */
    bool is_stop;       /* the savepoint that the job was stopped with; its id is the log's */
    uint64_t wanted_id; /* by restore_checkpoint_id or a manifest's name; 0: the newest */
    char *owned_name;
    struct crn_joblog log; /* its records; owns job->restored */
    cairn_claim_mode mode;
    char *location;   /* for people */
    bool released;    /* nothing depends on it any more (no claim): set when the first own
                         checkpoint is complete */
    uint32_t copiers; /* threads that have the store copy from it: it is released after them */
};

struct cairn_job {
    /* Constant after open. */
    struct crn_control *control;   /* its endpoint; NULL: none is wanted */
    struct crn_leader *leader;     /* of a coordinator with workers: engine/cluster/; else NULL */
    struct crn_follower *follower; /* of a worker; else NULL */
    char *name;
    cairn_job_options options; /* defaults filled in; strings owned */
    const struct crn_state_backend *backend;
    struct crn_log log;
    cairn_store *store;
    bool owns_store;
    cairn_memory *memory;
    char *local_dir;
    char *savepoint_uri; /* where savepoints go by default; NULL: options.savepoint_store, if any */
    int lock_fd;
    struct crn_pool *pool; /* uploads */
    /* From start to close: a capture must never queue behind an upload, its writer may be held. */
    struct crn_pool *capture_pool;
    uint64_t epoch;
    char host[256];
    struct crn_restore_source source;
    /* In joblog or source.log; valid until start, or until source.released. NULL: starts empty. */
    const struct crn_record *restored;
    cairn_checkpoint_info restored_info;
    uint64_t restored_id;
    uint64_t *skipped; /* complete checkpoints that fallback found damaged: not worth retaining */
    size_t skipped_count;

    atomic_uint_fast64_t next_object; /* running number of object names in this epoch */
    atomic_uint refs;                 /* the job itself and its tasks */
    struct crn_recorder *recorder;    /* what became of its snapshots: engine/status/ */
    struct crn_meter meter;           /* all that is sent to its store */

    struct crn_rate upload_rate;
    struct crn_downloads downloads; /* what restores share; ends when the job closes */

    /* Guarded by lock. */
    struct crn_mutex lock;
    struct crn_cond wake_driver;
    struct crn_cond wake_waiters;
    struct cairn_task **tasks;
    size_t task_count;
    size_t finished_count; /* of them, whose input has ended */
    uint32_t next_ordinal;
    bool starting, started, closing, closed, fenced;
    cairn_error *fence_error; /* set with fenced */
    bool task_lost;           /* a task was closed while the job runs: no checkpoint can be whole */
    char *lost_task;          /* which; may be NULL */
    uint64_t tickets, tickets_told; /* given out; the driver knows of */
    bool requested_full;            /* by any of those that the driver does not know of yet */
    struct crn_waiter *waiters;
    struct cairn_savepoint_handle *savepoints; /* asked for and not begun; one reference each */
    uint32_t visitors; /* calls that look at the job's store: it is not closed before they end */
    bool has_last;
    cairn_checkpoint_info last;
    struct crn_attempt
        *attempts[CRN_FLIGHTS_MAX]; /* in flight, oldest first; the driver's to change */
    size_t attempt_count;
    uint64_t base_id; /* newest confirmed checkpoint that increments build on; 0: none */
    /* log_start of a record whose commit is not settled: no part may choose a base below it. */
    uint64_t committing_start;
    uint32_t stops;            /* savepoints to stop with that are asked for and have not failed */
    enum crn_ending ending;    /* the first one stands */
    cairn_error *end_error;    /* why, for who asks afterwards; NULL: there is nothing to say */
    cairn_error *last_failure; /* of a checkpoint, among those that tolerable_failures counts */

    /* Driver only (job.c before the driver starts). */
    bool driver_running;
    pthread_t driver;
    struct crn_coordinator coordinator;
    uint8_t *acked;
    struct crn_coordinator_event results[CRN_RESULTS_MAX]; /* driver.c: of actions, to be fed yet */
    size_t result_count;
    struct crn_joblog joblog; /* entries from log_start to head, and what is not subsumed yet */
    char *successor;          /* words about who took over; NULL: nobody, or it is not known */
    char **garbage;           /* relative keys to remove, manifests first */
    size_t garbage_count, garbage_capacity;
    bool gc_wanted; /* a collection could not be done at open: do it after a completed checkpoint */
};

int crn_job_open(const char *name, const cairn_job_options *options,
                 const struct crn_job_seams *seams, cairn_job **ret_job, cairn_error **reterr);
void crn_job_unref(struct cairn_job *job);

/* job_request.c. waiter NULL: nobody waits. */
int crn_job_request(struct cairn_job *job, const cairn_trigger_options *options,
                    struct crn_waiter *waiter, cairn_error **reterr);
/* May something be asked of it? CAIRN_ECLOSED, CAIRN_EINVAL (not started), CAIRN_EFENCED. */
int crn_job_check_running_locked(const struct cairn_job *job, cairn_error **reterr);
/* The same of what only a coordinator, or a job in one process, does: CAIRN_EUNSUPPORTED of a
 * worker. */
int crn_job_check_orders_locked(const struct cairn_job *job, cairn_error **reterr);
/* The waiter is done: give its outcome to the caller. */
int crn_waiter_outcome(struct crn_waiter *waiter, cairn_checkpoint_info *ret_info,
                       cairn_error **reterr);

/* job_restore.c: what a job does with the log when it opens. */
int crn_job_take_over(struct cairn_job *job, cairn_error **reterr);
/* "process 12 on 'host' (epoch 3)", for errors. NULL: no memory. */
char *crn_job_describe_writer(const cairn_record_info *info);
/* The same of whoever has the log now, if that is not us. NULL: it cannot be told. */
char *crn_job_find_successor(struct cairn_job *job);
/* A restore failed with `code` and *reterr. If objects are missing because a later incarnation has
 * subsumed the checkpoint, the error becomes CAIRN_EFENCED (P7). */
int crn_job_blame_successor(struct cairn_job *job, int code, cairn_error **reterr);
/* local_dir.c. Lock: makes and takes the directory, unless it is not the job's to take; the store
 * must be open. Empty: removes what earlier runs left. */
int crn_job_lock_local_dir(struct cairn_job *job, cairn_error **reterr);
int crn_job_empty_local_dir(struct cairn_job *job, cairn_error **reterr);
/* Where downloaded files wait for a next start, if this one is cut short: transfer/kept.h. The rest
 * of the directory is not the job's before it is locked. NULL: no memory. */
char *crn_job_kept_dir(const struct cairn_job *job);
/* Of what is kept, only what the chosen checkpoint has stays. */
int crn_job_prune_kept(struct cairn_job *job, cairn_error **reterr);
/* The job has started: nothing is kept any more. */
void crn_job_remove_kept(struct cairn_job *job);
/* reconcile.c: removes what crashes left in the store. */
int crn_job_collect(struct cairn_job *job, bool keep_unresolved, cairn_error **reterr);

/* Times that somebody made as long as can be mean: never. */
static inline uint64_t crn_us_of_ms(uint64_t ms)
{
    return ms > UINT64_MAX / 1000 ? UINT64_MAX : ms * 1000;
}

/* start.c: a subtask is there twice. Lock held. */
bool crn_start_has_doubles_locked(const struct cairn_job *job);

/* driver.c. Start: lock held. */
int crn_driver_start(struct cairn_job *job, cairn_error **reterr);
void crn_driver_stop(struct cairn_job *job);
/* What came of an action: the coordinator hears of it when all actions of its step are done. */
void crn_driver_result(struct cairn_job *job, enum crn_event_kind kind, uint64_t id);
/* actions.c: carry one out, or hand it to outcome.c. */
void crn_action_carry_out(struct cairn_job *job, const struct crn_action *action);
/* outcome.c: the actions that end an attempt, or the job; see coordinator.h. */
void crn_outcome_complete(struct cairn_job *job, const struct crn_action *action);
void crn_outcome_aborted(struct cairn_job *job, const struct crn_action *action);
void crn_outcome_discard(struct cairn_job *job, const struct crn_action *action);
void crn_outcome_leave(struct cairn_job *job, const struct crn_action *action);
void crn_outcome_overdue(struct cairn_job *job, const struct crn_action *action);
void crn_outcome_fenced(struct cairn_job *job);
void crn_outcome_failed(struct cairn_job *job);
/* Everything that was restored from elsewhere is the job's own since checkpoint `id`. */
void crn_outcome_release_source(struct cairn_job *job, uint64_t id);
void crn_outcome_post(struct cairn_job *job, const cairn_event *event); /* to every task */
/* Nothing runs for the attempt any more, and nobody finds it. Lock held, released while it waits.
 */
void crn_outcome_take_out_locked(struct cairn_job *job, struct crn_attempt *attempt);
/* Keys of uploads that were tried again under another name than `record` has: they are garbage. */
void crn_outcome_add_superseded(struct cairn_job *job, const struct crn_attempt *attempt,
                                const struct crn_record *record);
/* ending.c: the driver's last act, when nothing is in flight any more: what becomes of the job's
 * checkpoints, as job->ending and the options say. */
void crn_ending_settle(struct cairn_job *job);
/* driver.c: a finished task's barrier is due. Lock held. */
bool crn_driver_is_finished_due_locked(const struct cairn_job *job);
/* finish.c: the driver takes the barriers that finished tasks are asked for, without the lock. */
void crn_finish_take_barriers(struct cairn_job *job);

/* flights.c: the attempts in flight, and the barriers that they ask tasks for. Lock held, but for
 * the first one, by which the driver, who alone removes them, finds one. */
struct crn_attempt *crn_flight_find(struct cairn_job *job, uint64_t id);
struct crn_attempt *crn_flight_find_locked(const struct cairn_job *job, uint64_t id);
void crn_flight_add_locked(struct cairn_job *job, struct crn_attempt *attempt);
void crn_flight_remove_locked(struct cairn_job *job, const struct crn_attempt *attempt);
/* Each task is asked for the attempt's barrier; or it is asked no more. */
void crn_flight_request_locked(struct crn_attempt *attempt);
void crn_flight_withdraw_locked(struct crn_attempt *attempt);
/* Could the task take a barrier now? Not while its database is captured. */
bool crn_flight_is_free_locked(const struct cairn_task *task);
/* The barrier that the task, if it has no gate, is to take now; NULL: none. */
struct crn_part *crn_flight_next_locked(const struct cairn_task *task);
/* The task is not going to take the barrier of `id`; NULL: it was not asked to. */
struct crn_part *crn_flight_refuse_locked(struct cairn_task *task, uint64_t id);
/* The task is in it from now on: until crn_flight_captured(), no other one is due. */
void crn_flight_take_locked(struct crn_part *part);
/* The database is free for the next barrier. Any thread, without the lock. */
void crn_flight_captured(struct crn_part *part);
/* job->base_id or committing_start have changed: barriers may have become due. */
void crn_flight_refresh_locked(struct cairn_job *job);
/* What the part builds on, from now until the attempt is over. CAIRN_ECANCELED: it is over. */
int crn_flight_choose_base(struct crn_part *part, cairn_error **reterr);
/* Lowest checkpoint that an attempt in flight but `except` builds on, or yet may; 0: none. */
uint64_t crn_flight_lowest_base_locked(const struct cairn_job *job,
                                       const struct crn_attempt *except);
/* Waiters whose tickets are above `after`, up to `ticket`, get their outcome. */
void crn_outcome_settle_waiters(struct cairn_job *job, uint64_t after, uint64_t ticket, int code,
                                const cairn_error *error);
const char *crn_outcome_word(const struct crn_attempt *attempt); /* what it is */
/* publish.c: the driver's dealings with the log. */
/* What the attempt has cost so far, in all processes. */
void crn_publish_note_cost(const struct crn_attempt *attempt, cairn_record_info *info);
/* Move what the parts contribute into the record. */
int crn_publish_merge_parts(struct crn_record *record, struct crn_attempt *attempt,
                            cairn_error **reterr);
/* What is captured from now on builds on this record, which the log holds. */
void crn_publish_adopt_bases(struct crn_attempt *attempt, const struct crn_record *record);
/* The newest checkpoint that any of its parts builds on; 0: none. */
uint64_t crn_publish_newest_base(const struct crn_attempt *attempt);
enum crn_event_kind crn_publish_commit(struct crn_attempt *attempt, cairn_error **reterr);
enum crn_event_kind crn_publish_abort(struct crn_attempt *attempt, const char *reason,
                                      cairn_error **reterr);
/* subsume.c: what the log no longer needs. Returns the newest checkpoint that was dropped, or 0. */
uint64_t crn_subsume(struct cairn_job *job);
void crn_garbage_add(struct cairn_job *job, const char *key);
void crn_garbage_remove(struct cairn_job *job);
/* A record of this writer that is alone: without a log around it. */
int crn_publish_new_head(struct cairn_job *job, uint64_t id, cairn_record_kind kind,
                         struct crn_record **ret, cairn_error **reterr);
/* A record of this writer for its log, with the fields that all kinds have. */
int crn_publish_new_record(struct cairn_job *job, uint64_t id, cairn_record_kind kind,
                           struct crn_record **ret, cairn_error **reterr);
/* After the commit of `record` (ownership moves to the log). Cannot fail: crn_publish_new_record()
 * has made room for one. */
void crn_publish_append_head(struct cairn_job *job, struct crn_record *record,
                             const struct crn_hash128 *hash);
void crn_publish_info(const cairn_record_info *record, cairn_checkpoint_info *ret);

/* attempt.c */
/* Lock held: the tasks must not change meanwhile. */
int crn_attempt_new_locked(struct cairn_job *job, const struct crn_action *action,
                           struct crn_attempt **ret, cairn_error **reterr);
void crn_attempt_free(struct crn_attempt *attempt);
/* What the attempt's barrier is between tasks. */
cairn_barrier crn_attempt_barrier(const struct crn_attempt *attempt);
/* Is the state taken as entries, and not as the database's files? */
bool crn_attempt_is_dump(const struct crn_attempt *attempt);
/* Every task and worker has given its part: none is needed any more, and nothing may cancel it but
 * the coordinator (P5). Lock held. */
bool crn_attempt_is_whole_locked(const struct crn_attempt *attempt);
/* The barrier was taken: capture and upload in the background. Consumes one `running`. */
void crn_part_captured_begin(struct crn_part *part);
/* One of part->uploads_left has ended; after the last one the part is finished. */
void crn_part_upload_ended(struct crn_part *part);
/* First failure wins. Any thread, without the lock. Takes the error. */
void crn_attempt_decline(struct crn_attempt *attempt, int code, cairn_error *error);
/* The same under the lock; leaves an error that it has no use for. part: whose failure it is, or
 * NULL. */
void crn_attempt_decline_locked(struct crn_attempt *attempt, const struct crn_part *part, int code,
                                cairn_error **error);
/* The same for the task's reasons: its name is put in front. */
void crn_part_decline(struct crn_part *part, int code, cairn_error *error);
void crn_attempt_enter(struct crn_attempt *attempt);
void crn_attempt_leave(struct crn_attempt *attempt);
int crn_attempt_note_upload(struct crn_attempt *attempt, const char *key);

/* upload.c: bring files from the part's staging directory into the store (or inline one), and fill
 * them in; several become one object. origin: of a single one; NULL: its bytes are nowhere else. */
int crn_upload_files(struct crn_part *part, struct crn_file *const *files, size_t count,
                     const struct crn_origin *origin, cairn_error **reterr);
/* The same for file->info.size bytes in memory. */
int crn_upload_bytes(struct crn_part *part, const void *data, struct crn_file *file,
                     cairn_error **reterr);
/* origin.c: which tables need not be sent, and which can be copied by the store. Tables are the
 * first of the subtask's files; one with an object afterwards is referenced. */
int crn_part_find_origins(struct crn_part *part, size_t tables, cairn_error **reterr);

/* task.c */
void crn_task_post(struct cairn_task *task, const cairn_event *event); /* lock held */
void crn_task_stop_locked(struct cairn_task *task, int code, const cairn_error *error);
void crn_task_unref(struct cairn_task *task);
void crn_task_shut(struct cairn_task *task); /* closes the database; the handle stays */
void crn_task_unregister_locked(struct cairn_task *task); /* wakes who waits for or in the task */

#endif
