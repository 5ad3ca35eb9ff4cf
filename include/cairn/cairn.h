/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_CAIRN_H
#define CAIRN_CAIRN_H

/*
 * Cairn: keyed state with incremental checkpoints, embedded in your process.
 *
 * MODEL. A *job* is one stateful application, known by its name. It has *tasks*: one per parallel
 * instance (subtask) of each *operator*; an operator is recognised across restarts by its uid. A
 * task keeps *keyed state* (value, list, map, reducing, aggregating; addressed by a current key and
 * namespace) in a RocksDB database of its own, and *operator state* (small lists and broadcast maps;
 * source positions live here) in memory. A *checkpoint* is the state of all tasks at one point of
 * their input, stored in a *store* (a directory, or any backend written against store.h).
 *
 * GUARANTEES. A checkpoint exists if and only if its manifest exists, and everything that the
 * manifest references was durable before. It holds exactly the state at each task's barrier: not one
 * write more, not one less. While it is taken, a writer waits only for a memtable switch. A file that
 * a confirmed checkpoint already stores is not uploaded again. Every stored object has a size and a
 * checksum in the manifest, verified on every restore. At most one process can commit for a job: a
 * process that was replaced learns it at its next checkpoint (CAIRN_EFENCED).
 *
 * CAVEATS. Between checkpoints nothing is durable: after a crash, state goes back to the newest
 * complete checkpoint, and the service must read its input again from the position kept there. The
 * local directory is a cache; it is emptied when a job opens.
 *
 * SAVEPOINTS are snapshots that are asked for, self-contained, and yours: Cairn never deletes one nor
 * depends on it. A job can start from any snapshot of any job (claim modes say who owns it then), with
 * another parallelism, another state backend (through canonical files) and changed schemas. A savepoint is
 * no checkpoint, though: a plain start after it goes back to the newest checkpoint, and only restore_uri
 * starts from the savepoint. The exception is a savepoint that a job was stopped with: a plain start goes on
 * from that.
 *
 * RESTRICTIONS. Linux; gcc or clang. Keys, namespaces and map keys up to 65,536 bytes, values and
 * elements up to 256 MiB. A restored operator keeps its max_parallelism and its key type (writer.h can
 * change the first in a savepoint). Job names: 1
 * to 128 bytes of UTF-8 without '/' and control characters, not starting with '.'. Operator uids and
 * state names: 1 to 255 bytes of UTF-8 without control characters.
 *
 * THREADS.
 *   job handle     any thread, at any time. cairn_job_close() once, and no call begins on the handle
 *                  after it; those that wait for something end then. Keyed calls must not run
 *                  beside it
 *   task handle    and everything opened from it (states, iterators, operator state): one thread at
 *                  a time; different tasks in parallel. Callbacks run in the thread that polls.
 *   errors         an error object belongs to who received it; any thread, one at a time
 * No call of this library may be made from a callback unless the callback's comment allows it.
 * A process that has an open job must not fork() and go on using it in the child.
 *
 * NULL. A handle that is NULL is CAIRN_EINVAL (0 or NULL from a function that returns a count or a
 * pointer), and fine for what closes, releases or frees. Options may be NULL: all defaults. Where a
 * result goes may be NULL only if its comment says so.
 *
 * STRINGS AND BUFFERS passed in are copied before the call returns. Lifetimes of what comes out are
 * given at each function.
 *
 * OPTIONS STRUCTS start with struct_size; initialise them with their _INIT macro. Zero means the
 * default for every field. Fields are only ever appended.
 *
 * RESULTS. int functions return 0 (or a documented positive outcome), or one negative code of the
 * table below. The last parameter `reterr` may be NULL; else on failure it receives an error object
 * with the whole story, to be released with cairn_error_free(). Outputs are untouched on failure,
 * but where a comment says otherwise. CAIRN_ENOMEM may come from any call that needs memory. A store
 * that is not Cairn's may add codes of its own.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CAIRN_API __attribute__((visibility("default")))
#define CAIRN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define CAIRN_API
#define CAIRN_MUST_CHECK
#endif

#define CAIRN_VERSION_STRING "0.1.0"

/** Version of the library that is running, such as "0.1.0". Static. */
CAIRN_API const char *cairn_version(void);

/* ------------------------------------------------------------------------------------------ *
 * Errors
 * ------------------------------------------------------------------------------------------ */

/* X(name, number, class, text). Numbers are pinned: a code never changes its number. The class says
 * who can mend it; the `cairn` tool's exit code follows the class. */
#define CAIRN_ERROR_MAP(X)                                                                      \
    X(ENOMEM, 1, LOCAL, "out of memory")                                                        \
    X(EINVAL, 2, CALLER, "invalid argument")                                                    \
    X(ECLOSED, 3, CALLER, "handle is closed")                                                   \
    X(EUNSUPPORTED, 4, CALLER, "not supported")                                                 \
    X(EMISMATCH, 5, CALLER, "does not fit the stored state")                                    \
    X(ENOTFOUND, 10, STATE, "no such job, checkpoint or object")                                \
    X(EEXIST, 11, STATE, "already exists")                                                      \
    X(EFENCED, 12, STATE, "another writer has taken over this job")                             \
    X(EABORTED, 13, STATE, "the checkpoint was aborted")                                        \
    X(EBUSY, 14, STATE, "in use by another process")                                            \
    X(ENONRESTORED, 15, STATE, "stored state has no task to go to")                             \
    X(EFAILED, 16, STATE, "the job has failed")                                                 \
    X(EUNAVAIL, 20, RETRY, "store temporarily unavailable")                                     \
    X(EUNKNOWN, 21, RETRY, "it is not known whether the operation happened")                    \
    X(ETIMEOUT, 22, RETRY, "timed out")                                                         \
    X(ECORRUPT, 30, DATA, "stored bytes fail their checksum or rules")                          \
    X(EVERSION, 31, DATA, "stored format is newer than this library")                           \
    X(EMISSING, 32, DATA, "an object that a manifest references is missing")                    \
    X(EIO, 40, LOCAL, "input/output error")                                                     \
    X(ENOSPC, 41, LOCAL, "no space left")                                                       \
    X(EACCES, 42, LOCAL, "permission denied")                                                   \
    X(ECANCELED, 50, STATE, "canceled")                                                         \
    X(EINTERNAL, 60, INTERNAL, "internal error")

enum {
#define CAIRN_X(name, number, cls, text) CAIRN_##name = -(number),
    CAIRN_ERROR_MAP(CAIRN_X)
#undef CAIRN_X
        CAIRN_OK = 0
};

typedef enum cairn_error_class {
    CAIRN_CLASS_NONE = 0,     /* not an error */
    CAIRN_CLASS_INTERNAL = 1, /* a defect in Cairn: report it */
    CAIRN_CLASS_CALLER = 2,   /* fix the call */
    CAIRN_CLASS_STATE = 3,    /* someone or something changed */
    CAIRN_CLASS_DATA = 4,     /* stored data is damaged or foreign: a person must look */
    CAIRN_CLASS_RETRY = 5,    /* try again later */
    CAIRN_CLASS_LOCAL = 6     /* fix this machine: disk, memory, permissions */
} cairn_error_class;

typedef struct cairn_error cairn_error;

/** Name of a code such as "CAIRN_ECORRUPT"; "CAIRN_OK" for 0; "CAIRN_E?" for unknown ones. Static. */
CAIRN_API const char *cairn_error_name(int code);
/** General text of a code, such as "no space left". Static. */
CAIRN_API const char *cairn_error_text(int code);
/** Class of a code. */
CAIRN_API cairn_error_class cairn_error_class_of(int code);
/** Code of an error; 0 for NULL. */
CAIRN_API int cairn_error_code(const cairn_error *error);
/** One line that names the object and what happened. "" for NULL. Valid until the error is freed. */
CAIRN_API const char *cairn_error_message(const cairn_error *error);
/** Key of the stored object, or path of the file, that the error is about; "" if none. */
CAIRN_API const char *cairn_error_object(const cairn_error *error);
/** errno of the system call behind it, 0 if none. */
CAIRN_API int cairn_error_errno(const cairn_error *error);
/** Release; NULL is fine. */
CAIRN_API void cairn_error_free(cairn_error *error);

/* ------------------------------------------------------------------------------------------ *
 * Common types
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_store cairn_store; /* store.h */
typedef struct cairn_memory cairn_memory;
typedef struct cairn_job cairn_job;
typedef struct cairn_task cairn_task;
typedef struct cairn_value cairn_value;
typedef struct cairn_list cairn_list;
typedef struct cairn_map cairn_map;
typedef struct cairn_reducing cairn_reducing;
typedef struct cairn_aggregating cairn_aggregating;
typedef struct cairn_iterator cairn_iterator;
typedef struct cairn_operator_list cairn_operator_list;
typedef struct cairn_broadcast cairn_broadcast;
typedef struct cairn_serializer cairn_serializer;
typedef struct cairn_struct cairn_struct;
typedef struct cairn_savepoint_handle cairn_savepoint_handle;
typedef struct cairn_gate cairn_gate;
typedef struct cairn_two_phase cairn_two_phase;
typedef struct cairn_file_sink cairn_file_sink;
typedef struct cairn_settings cairn_settings;

/** How bytes of a key or value are meant. The tool `cairn cat` decodes by it, and a stored state can
 * only be registered again with the type it was stored with; how values of the last three types may
 * change is said at cairn_serializer. Keys, namespaces and map keys have one of the first four.
 * Numbers are part of the format. */
typedef enum cairn_type {
    CAIRN_BYTES = 0,  /* opaque */
    CAIRN_INT64 = 1,  /* 8 bytes, big-endian, sign bit flipped: sorts as numbers do */
    CAIRN_DOUBLE = 2, /* 8 bytes, big-endian IEEE 754, flipped so that it sorts as numbers do */
    CAIRN_STRING = 3, /* UTF-8 text without a final zero byte; not checked */
    CAIRN_STRUCT = 4, /* named, typed fields: cairn_struct_serializer() */
    CAIRN_AVRO = 5,   /* Avro's binary encoding: cairn_avro_serializer() */
    CAIRN_CUSTOM = 6  /* a serializer of the caller's: cairn_custom_serializer() */
} cairn_type;

typedef enum cairn_log_level {
    CAIRN_LOG_ERROR = 1,
    CAIRN_LOG_WARNING = 2,
    CAIRN_LOG_INFO = 3,
    CAIRN_LOG_DEBUG = 4
} cairn_log_level;

/** One fact of a log line, such as "checkpoint_id" = "17". Names are stable; docs/operations.md lists them. */
typedef struct cairn_log_field {
    const char *name;
    const char *value;
    uint8_t is_number; /* 1: value is a decimal number */
} cairn_log_field;

typedef struct cairn_log_line {
    uint32_t struct_size;
    cairn_log_level level;
    const char *component; /* "job", "checkpoint", "savepoint", "control", ... */
    const char *message;   /* one line without a final newline, for people; says all that the fields do */
    const cairn_log_field *fields; /* the same for programs; "job" is always among them once it is known */
    size_t field_count;
} cairn_log_line;

/** Receives log lines, valid during the call. Called from any thread of the job, possibly from several at
 * once. Must not call into the job. */
typedef void (*cairn_log_fn)(void *context, const cairn_log_line *line);

/** A growable buffer that a callback fills. */
typedef struct cairn_buffer cairn_buffer;
/** Append n bytes. @return 0 or CAIRN_ENOMEM. */
CAIRN_API CAIRN_MUST_CHECK int cairn_buffer_append(cairn_buffer *buffer, const void *data, size_t n);

/* ------------------------------------------------------------------------------------------ *
 * Stores and memory
 * ------------------------------------------------------------------------------------------ */

/** Open a store.
 *
 * @param uri  "file:///absolute/path" or a path: a directory, created when it is missing. Options as
 *             a query: "?transfer=auto" (default: hard link, else reflink, else copy), "link" (hard
 *             link or fail), "reflink" (reflink or fail), "copy". "%20" and the like are decoded in
 *             the file:// form.
 *             "s3://bucket/prefix?endpoint=...": in an S3-compatible object store; see s3.h for the
 *             options, and for what the server must be able to do.
 *             "memory:": an empty store in this process, for tests; gone when the handle closes.
 * @return 0, or CAIRN_EINVAL (unknown scheme or option, a path that is a file), CAIRN_EACCES,
 *         CAIRN_ENOSPC, CAIRN_EIO, CAIRN_ENOMEM, and of a bucket what cairn_s3_store_open() gives.
 * @threads the handle may be used from any number of threads and jobs at once. */
CAIRN_API CAIRN_MUST_CHECK int cairn_store_open(const char *uri, cairn_store **ret_store,
                                                cairn_error **reterr);
/** Close. No job and no other handle opened with this store may be open any more; of a job, its task
 * handles do not count. NULL is fine. */
CAIRN_API void cairn_store_close(cairn_store *store);

/** One memory budget, to be shared by all jobs and databases of a process: block cache and
 * memtables. Half of it is block cache; memtables are flushed early when they outgrow their half.
 * Jobs keep a reference, so it may be released as soon as the jobs are open.
 * @param size_bytes  at least 8 MiB.
 * @return 0, CAIRN_EINVAL or CAIRN_ENOMEM. */
CAIRN_API CAIRN_MUST_CHECK int cairn_memory_new(uint64_t size_bytes, cairn_memory **ret_memory,
                                                cairn_error **reterr);
CAIRN_API void cairn_memory_release(cairn_memory *memory);

/* ------------------------------------------------------------------------------------------ *
 * Jobs
 * ------------------------------------------------------------------------------------------ */

/** Who owns a snapshot that a job was started from. Numbers are part of the format. */
typedef enum cairn_claim_mode {
    CAIRN_NO_CLAIM = 0, /* The user. The job never depends on it beyond its first own checkpoint, which
                           stores everything anew (by links or server-side copies where the store can).
                           From that checkpoint on (CAIRN_EVENT_INDEPENDENT, `cairn ls`) the source may
                           be deleted. Any number of jobs may start from one source. */
    CAIRN_CLAIM = 1,    /* The job. The snapshot becomes a checkpoint of the job (again by links or
                           server-side copies where the store can), the first of which the next are
                           increments. Once cairn_job_start() has succeeded it is removed from where it
                           was, its directory included; until then it stays, and a start of this job from
                           something else gives the claim up. A second claimer is refused. Of another
                           job's checkpoint: that must be the job's newest; the job is fenced, and all of
                           its directory goes but a mark, so that it does not start again unawares. */
    CAIRN_LEGACY = 2    /* The user, but the job builds on it: as CAIRN_CLAIM, without removing it, and
                           without a claim. The job needs it no more when it has started. */
} cairn_claim_mode;

/** What a checkpoint of a job with gates (gate.h) promises. */
typedef enum cairn_checkpoint_mode {
    CAIRN_EXACTLY_ONCE = 0, /* a channel whose barrier has come waits for the others */
    CAIRN_AT_LEAST_ONCE = 1 /* no channel waits: records after the barrier may be in the state, and come
                               again after a restore */
} cairn_checkpoint_mode;

/** What becomes of a job's checkpoints when it ends. Savepoints are the user's in any case. */
typedef enum cairn_retention {
    CAIRN_RETAIN = 0, /* they stay, and the next start goes on from the newest */
    CAIRN_DELETE = 1  /* they are removed; the next start is empty. Ids go on */
} cairn_retention;

/** Which part of a job this process is: cluster.h. */
typedef enum cairn_role {
    CAIRN_ALONE = 0,       /* all of it */
    CAIRN_COORDINATOR = 1, /* takes the job over, begins and commits its checkpoints; may have tasks, too */
    CAIRN_WORKER = 2       /* has tasks */
} cairn_role;

typedef struct cairn_job_options {
    uint32_t struct_size;
    const char *store_uri; /* where snapshots live; see cairn_store_open(). This or `store`. */
    cairn_store *store;    /* an open store instead of store_uri; borrowed until the job closes */
    const char *local_dir; /* required: where databases live; made when missing. Only this job may
                              use it; emptied at open (but for files that a start which was cut
                              short has downloaded), so it is refused unless it is empty or its
                              file LOCK marks it as Cairn's. Not within the store, nor the store
                              within it, but best on its file system: files are then linked, not
                              copied. */
    uint64_t checkpoint_interval_ms; /* from start to start; 0: no periodic checkpoints */
    uint64_t checkpoint_timeout_ms;  /* an attempt is aborted after it, unless its commit is under way
                                        already; 0: 600,000 (10 minutes) */
    uint64_t min_pause_ms;           /* from the end of an attempt to the next periodic start; 0 */
    uint32_t num_retained;           /* complete checkpoints kept; 0: 1 */
    uint32_t transfer_threads;       /* uploads and downloads at once; 0: 4; at most 256 */
    uint32_t inline_threshold_bytes; /* smaller files that are not tables go into the manifest; 0:
                                        16,384; at most 1 MiB; 1: nothing is inlined */
    uint64_t upload_bytes_per_sec;   /* limit for copied uploads; 0: none */
    cairn_memory *memory;            /* shared budget; NULL: one of state_memory_bytes for this job */
    uint64_t state_memory_bytes;     /* 0: 256 MiB; at least 8 MiB */
    /* What to restore from. At most one of these three, restore_uri and restore_store may be set, but
     * restore_checkpoint_id goes with the last two. */
    uint64_t restore_checkpoint_id;  /* 0: the newest complete one */
    uint8_t start_empty;             /* 1: ignore stored checkpoints; they are subsumed as usual. If
                                        their newest manifests are lost, or all, what is left goes at once,
                                        and ids go on above it. Also begins anew where the job's own
                                        directory was claimed */
    uint8_t restore_fallback;        /* 1: read all checkpoints' bytes, newest first, until one is
                                        whole, and take that. Those skipped are logged, and do not
                                        count as retained. If there are some and none is whole, that
                                        is an error */
    uint8_t allow_non_restored_state; /* 1: stored operators without a task are dropped */
    cairn_log_fn log;                 /* NULL: nothing is logged */
    void *log_context;
    cairn_log_level log_level;       /* 0: CAIRN_LOG_INFO */
    int64_t (*now_ms)(void *context); /* wall clock for TTL and time stamps; NULL: the system's.
                                         Any thread; must not call into the job */
    void *now_context;
    const char *state_backend;    /* "rocksdb" (NULL: this) or "heap": everything in memory, its
                                     checkpoints are canonical files and never incremental; for small
                                     state and tests */
    const char *savepoint_uri;    /* where savepoints go that name no target; see cairn_savepoint_options */
    cairn_store *savepoint_store; /* an open store instead of savepoint_uri; borrowed until the job closes */
    const char *restore_uri;      /* start from this snapshot: a savepoint's directory, or a directory of
                                     this or another job, of which the newest complete checkpoint is
                                     taken, or restore_checkpoint_id, or the one whose MANIFEST-chk
                                     object in it is named */
    cairn_store *restore_store;   /* an open store that has it, instead of restore_uri; borrowed until the
                                     first own checkpoint is complete or the job closes */
    const char *restore_name;     /* with restore_store: the directory's name in it */
    cairn_claim_mode claim_mode;  /* of restore_uri or restore_store */
    uint8_t restore_only_if_new;  /* 1: restore_uri and restore_store, and restore_checkpoint_id with
                                     them, count only while this job has no complete checkpoint of its own:
                                     for a service that is always started with the same options */
    uint32_t max_concurrent;      /* checkpoints in flight at once; 0: 1; at most 8. Savepoints come on top */
    uint32_t tolerable_failures;  /* failed checkpoints in a row that the job survives; one more fails it:
                                     each task's poll gives CAIRN_EFAILED. 0: any number; CAIRN_TOLERATE_NONE:
                                     none, as in Flink. Declined, timed out and not committed ones count;
                                     savepoints, subsumed ones and those of a job that ends do not */
    uint32_t full_every;          /* every n-th checkpoint is a full one; 0: only when asked for */
    cairn_checkpoint_mode checkpoint_mode;
    uint8_t unaligned;            /* 1: barriers overtake records that wait in a gate's channels; those
                                     records become part of the checkpoint. Exactly once, and
                                     max_concurrent 1, only */
    uint64_t aligned_timeout_ms;  /* with unaligned: begin aligned, and overtake only when a barrier has
                                     not come through so long after its trigger; 0: overtake at once */
    cairn_retention on_cancel;    /* what cairn_job_cancel() leaves of the job's checkpoints */
    cairn_retention on_failure;   /* what a job leaves that fails by tolerable_failures */
    uint8_t prefer_checkpoint;    /* 1: after a stop with savepoint the next start goes back to the newest
                                     checkpoint nevertheless, and sinks may write again what they wrote
                                     between the two. 0: it goes on from that savepoint (as
                                     CAIRN_NO_CLAIM), and is CAIRN_ENOTFOUND if that is not there */
    const char *control;          /* endpoint for `cairn status`, metrics and the like (docs/rest.md): "unix":
                                     a socket in the run directory ($CAIRN_RUN_DIR, else
                                     $XDG_RUNTIME_DIR/cairn, else /tmp/cairn-<user id>), where the tool
                                     looks; "unix:/path"; "tcp:127.0.0.1:PORT" (loopback only; port 0: any).
                                     NULL: none. Opened by cairn_job_start() */
    const char *control_token;    /* what requests over tcp have to show, 16 to 256 visible ASCII
                                     characters; required for tcp */
    uint64_t download_bytes_per_sec; /* limit for what a restore downloads; 0: none */
    uint64_t pack_below_bytes;    /* new tables smaller than this are put together, several into one object, to
                                     save requests. 0: 1 MiB where the store takes copies, and none where it
                                     links; 1: none; at most 64 MiB */
    /* A job of several processes that share the store: cluster.h. */
    cairn_role role;              /* alone, coordinator or worker */
    uint32_t worker_count;        /* coordinator: worker processes that the job needs; 0: 1 */
    const char *worker_name;      /* worker: who it is, for people; NULL: host and process id */
    uint64_t poll_interval_ms;    /* between two looks at the store for news; 0: 1,000 */
    uint64_t heartbeat_ms;        /* worker: between two signs of life; 0: 10,000 */
    uint64_t worker_timeout_ms;   /* a worker that is not heard of for so long is lost, and the job fails; 0:
                                     50,000. As heartbeat_ms, the same in all processes */
    uint64_t join_timeout_ms;     /* how long processes wait for one another at the start; 0: 300,000 */
    uint32_t requests_per_minute; /* budget for looks and signs of life of this process: with less they get
                                     rarer, what a checkpoint needs goes on; 0: none */
} cairn_job_options;
#define CAIRN_JOB_OPTIONS_INIT                                                                     \
    {sizeof(cairn_job_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,               \
     (cairn_log_level)0, 0, 0, 0, 0, 0, 0, 0, 0, (cairn_claim_mode)0, 0, 0, 0, 0,                  \
     (cairn_checkpoint_mode)0, 0, 0, (cairn_retention)0, (cairn_retention)0, 0, 0, 0, 0, 0,         \
     (cairn_role)0, 0, 0, 0, 0, 0, 0, 0}
#define CAIRN_TOLERATE_NONE UINT32_MAX

/** Open a job for writing, and find the checkpoint to restore from.
 *
 * Takes the job over: commits a fence record to the job's log, so that any earlier process that
 * still runs can no longer commit. Removes what a crash left: everything in local_dir, and objects
 * of this job that no retained checkpoint references; objects that cannot be removed now are logged,
 * and tried again after the next checkpoint. That a store had to be created is logged as a warning.
 * Then open every task, register its states, and call cairn_job_start().
 *
 * @return 0, or
 *   CAIRN_EINVAL     a bad name or option, local_dir is not Cairn's, or the store is in truth a job's or
 *                    a savepoint's directory in a store; the message says which.
 *   CAIRN_EBUSY      another process uses local_dir, or others keep racing for the job's log.
 *   CAIRN_ENOTFOUND  restore_checkpoint_id is not a retained complete checkpoint, or there is no
 *                    snapshot at restore_uri.
 *   CAIRN_EEXIST     CAIRN_CLAIM: another job has claimed it; the message says which.
 *   CAIRN_EFENCED    another job has claimed this job's own directory; the message says which.
 *   CAIRN_ECORRUPT, CAIRN_EMISSING, CAIRN_EVERSION  the log or the checkpoint's manifest or objects
 *                    are damaged or newer, or the log's newest records are lost;
 *                    cairn_error_object() names which. The store is unchanged. See
 *                    restore_fallback.
 *   CAIRN_EIO, CAIRN_ENOSPC, CAIRN_EACCES, CAIRN_ENOMEM, CAIRN_EUNAVAIL  the system's or the store's.
 *   CAIRN_EUNKNOWN   it is not known whether the fence was written: call again.
 * @crash a fence record may be left, as after CAIRN_EUNKNOWN; it is harmless. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_open(const char *name, const cairn_job_options *options,
                                              cairn_job **ret_job, cairn_error **reterr);

/** Begin: from now on checkpoints are taken. Call it once, when all tasks are open.
 * @return 0, or CAIRN_ENONRESTORED (the restored checkpoint has operators that no task opened; the
 *         message lists them; see allow_non_restored_state), CAIRN_EINVAL (no task, some subtask of
 *         an opened operator is missing, still being opened or was opened with other options, or
 *         started before), CAIRN_ECLOSED, CAIRN_ENOMEM; of the control endpoint CAIRN_EBUSY (somebody
 *         listens there), CAIRN_EINVAL (a path too long for a socket), CAIRN_EACCES or CAIRN_EIO. After a
 *         failure it may be called again.
 * Register the states that the service needs before: what was claimed (CAIRN_CLAIM) is removed from
 * where it was in the background once this has succeeded. cairn_job_close() waits for that. What cannot
 * be removed is logged as a warning, and tried again after the next start. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_start(cairn_job *job, cairn_error **reterr);

/** What is known of one checkpoint of a running job. */
typedef struct cairn_checkpoint_info {
    uint32_t struct_size;
    uint64_t id;
    uint64_t epoch;          /* incarnation of the job that wrote it */
    int64_t trigger_time_ms; /* wall clock, Unix */
    uint64_t duration_us;    /* trigger to commit */
    uint64_t barrier_max_us; /* longest time that one task's thread spent in the barrier */
    uint64_t full_bytes;     /* everything it references */
    uint64_t new_bytes;      /* what it added to the store */
    uint64_t file_count;
    uint64_t new_file_count;
    uint8_t is_full;         /* 1: asked for as full, or there was nothing to build on */
    uint64_t requests;       /* to the store, until its record was written; 0: it is not reached by requests */
    uint64_t sent_bytes;     /* in their bodies */
} cairn_checkpoint_info;
#define CAIRN_CHECKPOINT_INFO_INIT {sizeof(cairn_checkpoint_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** The checkpoint that the job was restored from. Its id is this job's; after CAIRN_NO_CLAIM it is
 * the source's, since the job has none yet.
 * @return 1 and *ret_info (may be NULL), or 0 if the job started empty. */
CAIRN_API int cairn_job_restored(cairn_job *job, cairn_checkpoint_info *ret_info);
/** The newest complete checkpoint that this job committed since it opened.
 * @return 1 and *ret_info (may be NULL), or 0 if there is none yet. */
CAIRN_API int cairn_job_last_checkpoint(cairn_job *job, cairn_checkpoint_info *ret_info);

typedef struct cairn_trigger_options {
    uint32_t struct_size;
    uint8_t full; /* 1: upload every file anew and reference no earlier one */
} cairn_trigger_options;
#define CAIRN_TRIGGER_OPTIONS_INIT {sizeof(cairn_trigger_options), 0}

/** Ask for a checkpoint and return at once. It starts when fewer than max_concurrent are in flight,
 * whatever min_pause_ms is; several requests that wait become one, full if any of them is. Tasks learn of the outcome by
 * poll.
 * @return 0, CAIRN_EINVAL (not started), CAIRN_EFENCED, CAIRN_ECLOSED (also if it was stopped),
 *         CAIRN_ECANCELED, CAIRN_EFAILED. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_trigger(cairn_job *job, const cairn_trigger_options *options,
                                                 cairn_error **reterr);
/** Take a checkpoint that starts after this call, and wait for its end. The tasks' own threads must
 * go on polling; never call it from one of them (cairn_task_checkpoint() is for that).
 * @return 0 and *ret_info (may be NULL), or CAIRN_EABORTED with the reason, CAIRN_EFENCED,
 *         CAIRN_ECLOSED, CAIRN_ECANCELED, CAIRN_EFAILED, CAIRN_EINVAL (not started). After an abort the previous checkpoint stays
 *         the newest and calling again is safe. When checkpoint_timeout_ms is over and the store
 *         still does not let the outcome be written to the log: CAIRN_EUNKNOWN if the checkpoint in
 *         flight may be complete, CAIRN_EUNAVAIL if it is going to be aborted. That is tried on, no
 *         other checkpoint begins before, and the tasks' COMPLETED or ABORTED event tells how it
 *         ended. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_checkpoint(cairn_job *job,
                                                    const cairn_trigger_options *options,
                                                    cairn_checkpoint_info *ret_info,
                                                    cairn_error **reterr);

/* Savepoints are asked for in savepoint.h, which this header brings along. */

/** Cancel: abort what is in flight and end the job, keeping or removing its checkpoints as on_cancel says.
 * Each task's poll gives CAIRN_ECANCELED from now on, and so does what is asked of the job; the service then
 * closes it, and cairn_job_close() waits for the removal. To stop with a savepoint see
 * cairn_savepoint_options.
 * @return 0 (also if it has ended already), CAIRN_EINVAL (not started), CAIRN_ECLOSED.
 * @crash before the removal began the checkpoints stay; else they count no more, and the next open, or
 *        `cairn gc`, removes what is left of them. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_cancel(cairn_job *job, cairn_error **reterr);

typedef enum cairn_job_state {
    CAIRN_JOB_OPEN = 0,      /* not started */
    CAIRN_JOB_RUNNING = 1,
    CAIRN_JOB_STOPPING = 2,  /* a stop with savepoint is under way */
    CAIRN_JOB_STOPPED = 3,   /* with a savepoint */
    CAIRN_JOB_CANCELLED = 4,
    CAIRN_JOB_FAILED = 5,    /* too many failed checkpoints */
    CAIRN_JOB_FENCED = 6     /* another process has taken it over */
} cairn_job_state;
/** Any thread. @return a cairn_job_state, or CAIRN_EINVAL. */
CAIRN_API int cairn_job_get_state(cairn_job *job);

/** Figures of the job and its tasks in Prometheus' text format: what the control endpoint serves at
 * /metrics, for a service that has an endpoint of its own. docs/operations.md lists them.
 * @param ret_text  to be released with free().
 * @return 0, CAIRN_ECLOSED, CAIRN_ENOMEM. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_metrics(cairn_job *job, char **ret_text,
                                                 cairn_error **reterr);

/** Where the control endpoint listens, as the `cairn` tool takes it: "unix:/path" or
 * "http://127.0.0.1:PORT"; "" if there is none. Valid until the job closes. */
CAIRN_API const char *cairn_job_control_address(cairn_job *job);

/** Close: abort what is in flight (but a snapshot that every task has acknowledged is still committed),
 * close every task's database, release the job's threads. Takes no final checkpoint. Who waits for a
 * checkpoint gets CAIRN_EABORTED if it was in flight, else CAIRN_ECLOSED; who waits for a savepoint gets
 * CAIRN_ECLOSED, or what cairn_savepoint_wait() says otherwise. A cairn_task_open() in another thread is
 * waited for, its restore included. Task and state handles stay valid memory until cairn_task_close();
 * every call on them returns CAIRN_ECLOSED. NULL is fine. */
CAIRN_API void cairn_job_close(cairn_job *job);

/** Parallel instance that owns a key: the key's group (hash of the key modulo max_parallelism)
 * mapped to one of `parallelism` subtasks, as Flink maps them. Use it to route input.
 * @return the subtask, or CAIRN_EINVAL unless 1 <= parallelism <= max_parallelism <= 32768. */
CAIRN_API int cairn_subtask_of_key(const void *key, size_t key_size, uint32_t parallelism,
                                   uint32_t max_parallelism);

/* ------------------------------------------------------------------------------------------ *
 * Tasks
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_task_options {
    uint32_t struct_size;
    const char *name;         /* for people; NULL: the uid */
    uint32_t parallelism;     /* 0: 1 */
    uint32_t subtask;         /* 0 .. parallelism - 1 */
    uint32_t max_parallelism; /* 0: the stored one, else the power of two from 1.5 times parallelism
                                 on, within 128 and 32768, as in Flink */
    cairn_type key_type;
    cairn_type namespace_type;
    uint64_t memtable_bytes; /* size of one state's memtable; 0: 64 MiB; within 64 KiB and 4 GiB */
    const char *rocksdb_options; /* more options in RocksDB's own "name=value;..." form; they override
                                    Cairn's, but those that its promises rest on are refused. NULL:
                                    none */
    /* Called in the polling thread right before the state of that checkpoint is taken: the place to
     * store source positions and to prepare two-phase sinks. May use every state of this task.
     * Return 0, or any negative code to abort the checkpoint. cairn_task_finish() calls it, too, with
     * checkpoint_id 0; what is negative then is its result. */
    int (*before_barrier)(void *context, cairn_task *task, uint64_t checkpoint_id);
    void *context;
} cairn_task_options;
#define CAIRN_TASK_OPTIONS_INIT                                                                    \
    {sizeof(cairn_task_options), 0, 0, 0, 0, (cairn_type)0, (cairn_type)0, 0, 0, 0, 0}

/** Open one subtask of an operator: fetch and verify its files from the restored snapshot, or
 * start empty. Call before cairn_job_start(). Several threads may open tasks at once.
 *
 * The parallelism may be another than the stored one: key groups, and elements of operator lists, are
 * dealt out anew. Where the files allow it they are linked, not rewritten.
 *
 * @param uid  stable identity of the operator; what restores match on. NULL: one is made of options->name
 *             and the position of the operator in the order of opening ("name#2"), with a warning in the
 *             log: rename or reorder operators, and their state is not found again.
 * @return 0, or
 *   CAIRN_EEXIST    this subtask is open already.
 *   CAIRN_EMISMATCH stored with another max_parallelism, key or namespace type.
 *   CAIRN_ECORRUPT, CAIRN_EMISSING, CAIRN_EVERSION  a stored object is damaged, gone or newer:
 *                   cairn_error_object().
 *   CAIRN_EUNSUPPORTED  stored in the native files of another state backend: the message says what to do.
 *   CAIRN_EFENCED   another process took the job over, and the restored checkpoint is gone.
 *   CAIRN_EINVAL    a bad name or option, or the job has started.
 *   CAIRN_ECLOSED   the job is closed, or was while files were fetched.
 *   CAIRN_EIO, CAIRN_ENOSPC, CAIRN_EACCES, CAIRN_ENOMEM, CAIRN_EUNAVAIL.
 * @crash local files only; the next open removes them, but for those that it need not fetch again. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_open(cairn_job *job, const char *uid,
                                               const cairn_task_options *options,
                                               cairn_task **ret_task, cairn_error **reterr);
/** Close a task and everything opened from it. Once the job has started, no checkpoint can complete
 * any more but those that all tasks have given their part to, since it would lose this task's state:
 * close the job first. NULL is fine. */
CAIRN_API void cairn_task_close(cairn_task *task);

typedef enum cairn_event_type {
    CAIRN_EVENT_NONE = 0,
    CAIRN_EVENT_BARRIER = 1,   /* this task's state for checkpoint_id was just taken */
    CAIRN_EVENT_COMPLETED = 2, /* checkpoint_id is committed: two-phase sinks commit now */
    CAIRN_EVENT_ABORTED = 3,   /* checkpoint_id will never complete: go on, a later one covers it */
    CAIRN_EVENT_SAVEPOINT = 4, /* checkpoint_id is a complete savepoint: sinks do not commit for it, the
                                  next COMPLETED covers it */
    CAIRN_EVENT_INDEPENDENT = 5, /* since checkpoint_id nothing depends any more on the snapshot that the
                                   job was started from without claiming it: it may be deleted. Once to
                                   each task, after that checkpoint's COMPLETED */
    CAIRN_EVENT_DRAIN = 6,      /* the job is going to stop and drain: a source ends its input here, and
                                   everybody sends on what it was still gathering (open windows, say). The
                                   barrier of the last savepoint, checkpoint_id, follows; or ABORTED of it:
                                   then go on as before */
    CAIRN_EVENT_STOPPING = 7,   /* this task's state for savepoint checkpoint_id, with which the job stops,
                                   was just taken: process no further record, but go on polling, until
                                   STOPPED or ABORTED (then go on as before) */
    CAIRN_EVENT_STOPPED = 8     /* savepoint checkpoint_id, with which the job stops, is complete: two-phase
                                   sinks commit now, as for COMPLETED. The last event: close the job */
} cairn_event_type;

/** What travels between tasks, among records, and divides them into those before and after checkpoint_id.
 * gate.h says how. */
typedef struct cairn_barrier {
    uint64_t checkpoint_id;
    int64_t trigger_time_ms; /* wall clock, Unix */
    uint32_t flags;          /* CAIRN_BARRIER_... */
} cairn_barrier;
enum {
    CAIRN_BARRIER_SAVEPOINT = 1, /* never overtakes */
    CAIRN_BARRIER_CANCELLED = 2  /* no barrier: that checkpoint_id is given up */
};

typedef struct cairn_event {
    cairn_event_type type;
    uint64_t checkpoint_id;
    uint64_t subsumed_id;  /* COMPLETED: the newest id that this one made unnecessary; 0: none */
    cairn_barrier barrier; /* BARRIER, STOPPING: send it on to every task that this one feeds, before any
                              further record */
} cairn_event;

/* Of a task that does not fetch its events 16 are kept: the oldest ABORTED ones go first, then the
 * oldest of all but the newest COMPLETED. So read COMPLETED n as: everything up to n is settled,
 * commit it. */

/** The safe point; call it between records, as often as convenient: it costs nanoseconds when
 * nothing is due. Delivers one event per call, the oldest first, and when none waits takes the barrier
 * of a checkpoint that is due.
 *
 * A barrier that cannot be taken aborts that checkpoint (an ABORTED event follows); what is wrong with
 * the local database is told by the state calls themselves.
 *
 * @return 0 with *ret_event, or CAIRN_EFENCED (stop: another process has the job), CAIRN_ECANCELED (the
 *         job was cancelled), CAIRN_EFAILED (too many failed checkpoints: start again from the newest),
 *         CAIRN_ECLOSED (also after STOPPED), CAIRN_EINVAL (job not started), or what a sink's commit gave
 *         (sink.h): the event waits, and the next poll tries it again. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_poll(cairn_task *task, cairn_event *ret_event,
                                               cairn_error **reterr);
/** The same, waiting up to timeout_ms for something due: for a task without input.
 * @return as cairn_task_poll(); CAIRN_EVENT_NONE when the time is over. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_wait(cairn_task *task, uint64_t timeout_ms,
                                               cairn_event *ret_event, cairn_error **reterr);
/** The task's input has ended: calls before_barrier for the last time, and sinks prepare. Nothing can be
 * written to its state any more: no key can be set, nothing registered or iterated, and open iterators end.
 * Later checkpoints hold its state as it is now, and take no barrier in its thread, so that it need not poll
 * for them; its events, but for BARRIER and STOPPING, go on to be delivered. A two-phase sink still needs the
 * next COMPLETED to commit what it has. The task stays open: its state is part of the job. Started again from
 * such a checkpoint it has that state, and may go on, or find that its input is at its end and finish again.
 * @return 0 (also the second time), CAIRN_EINVAL (not started, or its gate still has channels that have not
 *         ended, or restored records), CAIRN_ENOMEM, what poll gives once the job has ended, or what
 *         before_barrier or a sink's prepare gave. Then it has not finished. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_finish(cairn_task *task, cairn_error **reterr);
/** Take a checkpoint from a task's own thread and wait for its end, taking this task's barriers here.
 * Their events do not come to poll, so this is not for a task that feeds gates; other events stay for the next
 * poll. Other tasks' threads must go on polling.
 * @return as cairn_job_checkpoint(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_checkpoint(cairn_task *task,
                                                     const cairn_trigger_options *options,
                                                     cairn_checkpoint_info *ret_info,
                                                     cairn_error **reterr);

/** Set the key that keyed state calls use from now on. The namespace is reset to the empty one. After
 * a failure no key is set, so that nothing can be written under the previous one by mistake, and the
 * next keyed state call says in its error why.
 * @return 0, CAIRN_EINVAL (over 65,536 bytes, not the 8 bytes of a number when the task's key type is
 *         one, or the key belongs to another subtask), CAIRN_ENOMEM, CAIRN_ECLOSED. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_set_key(cairn_task *task, const void *key, size_t size);
CAIRN_API CAIRN_MUST_CHECK int cairn_task_set_key_int64(cairn_task *task, int64_t key);
/** Set the namespace (a window, say) under the current key. The empty one is allowed whatever the
 * type. @return as cairn_task_set_key(); CAIRN_EINVAL also if no key is set. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_set_namespace(cairn_task *task, const void *ns, size_t size);
CAIRN_API CAIRN_MUST_CHECK int cairn_task_set_namespace_int64(cairn_task *task, int64_t ns);

/** Counters since the task was opened. @return 0, CAIRN_EINVAL, CAIRN_ECLOSED. */
typedef struct cairn_task_stats {
    uint32_t struct_size;
    uint64_t barriers;
    uint64_t barrier_last_us; /* time that the task's thread spent in the barrier */
    uint64_t barrier_max_us;
    uint64_t hold_count; /* a full memtable had to wait for a capture (promise P2 before speed) */
    uint64_t hold_us;
    uint64_t backpressure_us; /* delays put on writes because compaction lags */
    uint64_t memtable_bytes;  /* now */
    uint64_t level0_files;    /* now, most of any state */
} cairn_task_stats;
#define CAIRN_TASK_STATS_INIT {sizeof(cairn_task_stats), 0, 0, 0, 0, 0, 0, 0, 0}
CAIRN_API CAIRN_MUST_CHECK int cairn_task_get_stats(cairn_task *task, cairn_task_stats *ret_stats,
                                                    cairn_error **reterr);

/* ------------------------------------------------------------------------------------------ *
 * Keyed state
 *
 * A state is registered once per task, by name, before or after cairn_job_start(); keyed and operator
 * states share the names. A stored state of that name must have the same kind and types, and so must
 * one of the operator's other subtasks, else CAIRN_EMISMATCH; a second registration is CAIRN_EEXIST, a
 * bad name, type or option CAIRN_EINVAL. Stored states that are not registered are kept and go into
 * every checkpoint.
 *
 * All calls work on the task's current key and namespace and return CAIRN_EINVAL if no key is set or
 * an argument does not fit its type or limit, CAIRN_ECLOSED after the job closed, CAIRN_ECORRUPT if
 * local bytes fail their checksum, CAIRN_EIO, CAIRN_ENOSPC or CAIRN_EACCES when the local disk does.
 * Getters return 1 (found) or 0 (absent, or expired). Pointers that they give are valid until the next
 * call on the same task, and may be passed to it.
 * ------------------------------------------------------------------------------------------ */

/* Values with fields, Avro and serializers of the caller's, and how they may change between runs, are in
 * schema.h, which this header brings along. */
typedef struct cairn_state_options {
    uint32_t struct_size;
    uint64_t ttl_ms; /* an entry expires so long after its last write; 0: never. Lists expire by
                        element, maps by entry. The duration may change between runs. Expiry itself may be
                        switched on and off between runs, too: registering then rewrites the whole
                        state; entries that had none count as written at that moment. All subtasks
                        must have registered it before the next checkpoint, which is aborted else;
                        a failure on the way leaves the task without further checkpoints. */
    uint8_t ttl_on_read; /* 1: a read also renews the entry (not lists, not cairn_task_iterate());
                            only with ttl_ms */
    const cairn_serializer *serializer; /* of values, elements or accumulators of the types CAIRN_STRUCT,
                                           CAIRN_AVRO and CAIRN_CUSTOM, which need one; retained */
} cairn_state_options;
#define CAIRN_STATE_OPTIONS_INIT {sizeof(cairn_state_options), 0, 0, 0}

/* Value: one value. */
CAIRN_API CAIRN_MUST_CHECK int cairn_value_state(cairn_task *task, const char *name,
                                                 cairn_type value_type,
                                                 const cairn_state_options *options,
                                                 cairn_value **ret_state, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_get(cairn_value *state, const void **ret_data,
                                               size_t *ret_size, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_put(cairn_value *state, const void *data, size_t size,
                                               cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_clear(cairn_value *state, cairn_error **reterr);
/* Typed forms; CAIRN_EINVAL if the state has another type. */
CAIRN_API CAIRN_MUST_CHECK int cairn_value_get_int64(cairn_value *state, int64_t *ret_value,
                                                     cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_put_int64(cairn_value *state, int64_t value,
                                                     cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_get_double(cairn_value *state, double *ret_value,
                                                      cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_put_double(cairn_value *state, double value,
                                                      cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_put_string(cairn_value *state, const char *text,
                                                      cairn_error **reterr);

/* List: elements in the order of adding. add() reads nothing. */
CAIRN_API CAIRN_MUST_CHECK int cairn_list_state(cairn_task *task, const char *name,
                                                cairn_type element_type,
                                                const cairn_state_options *options,
                                                cairn_list **ret_state, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_list_add(cairn_list *state, const void *data, size_t size,
                                              cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_list_add_int64(cairn_list *state, int64_t value,
                                                    cairn_error **reterr);
/** Read the whole list into the handle, for cairn_list_at(). @return number of live elements. */
CAIRN_API CAIRN_MUST_CHECK int64_t cairn_list_load(cairn_list *state, cairn_error **reterr);
/** Element i of what the last cairn_list_load() read; valid until the next load of this list, or
 * cairn_task_close(). @return 0 or CAIRN_EINVAL (no such element). */
CAIRN_API CAIRN_MUST_CHECK int cairn_list_at(const cairn_list *state, size_t i,
                                             const void **ret_data, size_t *ret_size);
CAIRN_API CAIRN_MUST_CHECK int cairn_list_clear(cairn_list *state, cairn_error **reterr);

/* Map: entries of its own under each key. */
CAIRN_API CAIRN_MUST_CHECK int cairn_map_state(cairn_task *task, const char *name,
                                               cairn_type entry_key_type, cairn_type value_type,
                                               const cairn_state_options *options,
                                               cairn_map **ret_state, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_map_get(cairn_map *state, const void *key, size_t key_size,
                                             const void **ret_data, size_t *ret_size,
                                             cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_map_put(cairn_map *state, const void *key, size_t key_size,
                                             const void *data, size_t size, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_map_remove(cairn_map *state, const void *key, size_t key_size,
                                                cairn_error **reterr);
/** Remove every entry under the current key and namespace. */
CAIRN_API CAIRN_MUST_CHECK int cairn_map_clear(cairn_map *state, cairn_error **reterr);
/** Iterate the entries under the current key and namespace, sorted by entry key; see
 * cairn_iterator_next(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_map_iterate(cairn_map *state, cairn_iterator **ret_iterator,
                                                 cairn_error **reterr);

/** Combine two values into `out` (empty at the call). Associative. Return 0 or a negative code,
 * which the adding call then returns; a positive one is CAIRN_EINVAL. May only append to `out`, encode
 * and decode. */
typedef int (*cairn_reduce_fn)(void *context, const void *a, size_t a_size, const void *b,
                               size_t b_size, cairn_buffer *out);
/* Built-in reduce functions for CAIRN_INT64 and CAIRN_DOUBLE values; context is ignored. int64 sums
 * wrap around. */
CAIRN_API int cairn_reduce_sum_int64(void *context, const void *a, size_t a_size, const void *b,
                                     size_t b_size, cairn_buffer *out);
CAIRN_API int cairn_reduce_sum_double(void *context, const void *a, size_t a_size, const void *b,
                                      size_t b_size, cairn_buffer *out);
/* Smallest and largest of any typed or plain bytes, by their sort order. */
CAIRN_API int cairn_reduce_min(void *context, const void *a, size_t a_size, const void *b,
                               size_t b_size, cairn_buffer *out);
CAIRN_API int cairn_reduce_max(void *context, const void *a, size_t a_size, const void *b,
                               size_t b_size, cairn_buffer *out);

/* Reducing: one value, combined with every one added. */
CAIRN_API CAIRN_MUST_CHECK int cairn_reducing_state(cairn_task *task, const char *name,
                                                    cairn_type value_type, cairn_reduce_fn reduce,
                                                    void *context,
                                                    const cairn_state_options *options,
                                                    cairn_reducing **ret_state,
                                                    cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_reducing_add(cairn_reducing *state, const void *data,
                                                  size_t size, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_reducing_add_int64(cairn_reducing *state, int64_t value,
                                                        cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_reducing_get(cairn_reducing *state, const void **ret_data,
                                                  size_t *ret_size, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_reducing_get_int64(cairn_reducing *state, int64_t *ret_value,
                                                        cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_reducing_clear(cairn_reducing *state, cairn_error **reterr);

/* Aggregating: inputs of any form folded into an accumulator of one type. The functions keep the rules
 * of cairn_reduce_fn; what is stored is the accumulator, its result is made by each get. */
typedef struct cairn_aggregate_functions {
    /* accumulator + input -> out. accumulator is NULL for the first input. */
    int (*add)(void *context, const void *accumulator, size_t accumulator_size, const void *input,
               size_t input_size, cairn_buffer *out);
    /* accumulator -> result; NULL: the accumulator is the result. */
    int (*result)(void *context, const void *accumulator, size_t accumulator_size,
                  cairn_buffer *out);
    void *context;
} cairn_aggregate_functions;
CAIRN_API CAIRN_MUST_CHECK int cairn_aggregating_state(cairn_task *task, const char *name,
                                                       cairn_type accumulator_type,
                                                       const cairn_aggregate_functions *functions,
                                                       const cairn_state_options *options,
                                                       cairn_aggregating **ret_state,
                                                       cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_aggregating_add(cairn_aggregating *state, const void *input,
                                                     size_t size, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_aggregating_get(cairn_aggregating *state,
                                                     const void **ret_data, size_t *ret_size,
                                                     cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_aggregating_clear(cairn_aggregating *state,
                                                       cairn_error **reterr);

/** One entry of an iteration. Pointers are valid until the next call on the iterator. For a list,
 * each element is an entry of its own. map_key is NULL except for maps. */
typedef struct cairn_entry {
    const void *key;
    size_t key_size;
    const void *ns;
    size_t ns_size;
    const void *map_key;
    size_t map_key_size;
    const void *value;
    size_t value_size;
} cairn_entry;
/** Iterate all live entries of a registered keyed state over all keys of this subtask, by key group.
 * Sees the state as of this call. Iterators hold resources in the database: close them before the
 * task.
 * @return 0, CAIRN_ENOTFOUND (no such state is registered), CAIRN_EINVAL, CAIRN_ECLOSED, CAIRN_ENOMEM,
 *         CAIRN_ECORRUPT, CAIRN_EIO. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_iterate(cairn_task *task, const char *state_name,
                                                  cairn_iterator **ret_iterator,
                                                  cairn_error **reterr);
/** @return 1 and *ret_entry, 0 at the end, or an error: CAIRN_ECLOSED, CAIRN_ECORRUPT, CAIRN_EIO. */
CAIRN_API CAIRN_MUST_CHECK int cairn_iterator_next(cairn_iterator *iterator, cairn_entry *ret_entry,
                                                   cairn_error **reterr);
CAIRN_API void cairn_iterator_close(cairn_iterator *iterator);

/** Encoding of typed keys and values, for entries and map keys. */
CAIRN_API void cairn_encode_int64(int64_t value, uint8_t out[8]);
CAIRN_API int64_t cairn_decode_int64(const void *data);
CAIRN_API void cairn_encode_double(double value, uint8_t out[8]);
CAIRN_API double cairn_decode_double(const void *data);

/* ------------------------------------------------------------------------------------------ *
 * Operator state: small, kept in memory, written whole into every checkpoint
 * ------------------------------------------------------------------------------------------ */

typedef enum cairn_redistribution {
    CAIRN_SPLIT = 0, /* every subtask gets its own elements back */
    CAIRN_UNION = 1  /* every subtask gets the elements of all subtasks at each restore */
} cairn_redistribution;

/** Register an operator list; restored elements are in it at once. Rules as for keyed states.
 * @return 0, CAIRN_EEXIST, CAIRN_EMISMATCH (stored, or in another subtask, as something else),
 *         CAIRN_EINVAL, CAIRN_ENOMEM, CAIRN_ECLOSED. The calls that change operator state return 0,
 *         CAIRN_EINVAL (type or limit), CAIRN_ENOMEM, CAIRN_ECLOSED. */
CAIRN_API CAIRN_MUST_CHECK int cairn_operator_list_state(cairn_task *task, const char *name,
                                                         cairn_redistribution redistribution,
                                                         cairn_type element_type,
                                                         cairn_operator_list **ret_list,
                                                         cairn_error **reterr);
CAIRN_API size_t cairn_operator_list_size(const cairn_operator_list *list);
/** Pointers are valid until the list changes. @return 0 or CAIRN_EINVAL (no such element). */
CAIRN_API CAIRN_MUST_CHECK int cairn_operator_list_at(const cairn_operator_list *list, size_t i,
                                                      const void **ret_data, size_t *ret_size);
CAIRN_API CAIRN_MUST_CHECK int cairn_operator_list_add(cairn_operator_list *list, const void *data,
                                                       size_t size, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_operator_list_add_int64(cairn_operator_list *list,
                                                             int64_t value, cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_operator_list_clear(cairn_operator_list *list,
                                                         cairn_error **reterr);

/** Register a broadcast map: the caller puts the same entries in every subtask.
 * @return as cairn_operator_list_state(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_broadcast_state(cairn_task *task, const char *name,
                                                     cairn_type key_type, cairn_type value_type,
                                                     cairn_broadcast **ret_broadcast,
                                                     cairn_error **reterr);
/** Pointers are valid until the map changes. @return 1 found, 0 absent, or CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_broadcast_get(const cairn_broadcast *broadcast,
                                                   const void *key, size_t key_size,
                                                   const void **ret_data, size_t *ret_size);
CAIRN_API CAIRN_MUST_CHECK int cairn_broadcast_put(cairn_broadcast *broadcast, const void *key,
                                                   size_t key_size, const void *data, size_t size,
                                                   cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_broadcast_remove(cairn_broadcast *broadcast, const void *key,
                                                      size_t key_size, cairn_error **reterr);
CAIRN_API size_t cairn_broadcast_size(const cairn_broadcast *broadcast);
/** Entry i in key order. @return 0 or CAIRN_EINVAL (no such entry). */
CAIRN_API CAIRN_MUST_CHECK int cairn_broadcast_at(const cairn_broadcast *broadcast, size_t i,
                                                  cairn_entry *ret_entry);

#ifdef __cplusplus
}
#endif

#include "cairn/cluster.h"
#include "cairn/gate.h"
#include "cairn/cluster.h"
#include "cairn/s3.h"
#include "cairn/savepoint.h"
#include "cairn/schema.h"
#include "cairn/settings.h"
#include "cairn/sink.h"

#endif
