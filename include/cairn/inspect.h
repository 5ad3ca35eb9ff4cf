/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_INSPECT_H
#define CAIRN_INSPECT_H

/*
 * Snapshots at rest: list, read, compare, verify, explain, clean, restore and dispose of what jobs have
 * stored, without a running job. Only cairn_gc() and cairn_dispose() change the store. All of it is safe
 * beside a running job: a checkpoint that is subsumed while it is read gives CAIRN_ENOTFOUND or
 * CAIRN_EMISSING, never wrong data.
 *
 * A savepoint's directory is read by the same calls as a job's: it is a job's directory, named as the
 * directory is, with one record. (writer.h makes new savepoints.)
 *
 * Info structs belong to the library and are valid until the handle they came from is closed. They
 * grow at their end only, and are reached through pointers only; an index out of range gives NULL. A
 * handle is used by one thread at a time; reports (ret_report) may be NULL. What cairn.h says of
 * errors, NULL and options structs holds here. "The store's error" is CAIRN_EIO, CAIRN_EACCES,
 * CAIRN_EUNAVAIL or what else the store gives; a job's name that cannot be one is CAIRN_EINVAL.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------ *
 * Jobs of a store
 * ------------------------------------------------------------------------------------------ */

/** Called now and then during long work. Return non-zero to cancel (CAIRN_ECANCELED). */
typedef int (*cairn_progress_fn)(void *context, uint64_t done_bytes, uint64_t total_bytes);

/** Names of the jobs in a store, and of savepoint directories in it, sorted. Free with cairn_names_free().
 * A job that has lost all its manifests is among them, as far as its objects show that it is one: every
 * call about it then fails with CAIRN_EMISSING.
 * @return 0 or the store's error. */
CAIRN_API CAIRN_MUST_CHECK int cairn_store_jobs(cairn_store *store, char ***ret_names,
                                                size_t *ret_count, cairn_error **reterr);
CAIRN_API void cairn_names_free(char **names, size_t count);

/** What everybody who uses the store has to know, for people: that nothing but its users keeps two writers of a
 * job apart, say, since its URI has single_writer=unsafe. One sentence without a final dot, valid until the
 * store is closed. NULL: there is nothing to say. Asks nothing of the store. */
CAIRN_API const char *cairn_store_caveat(cairn_store *store);

/** Open what a person names on a command line: a store, or a job's or savepoint's directory in it (which
 * holds MANIFEST-chk objects), or such an object, which stands for its directory and for one checkpoint in
 * it. *ret_job is NULL for a whole store, else the job's name, to be released with free(). *ret_id (ret_id
 * may be NULL) is the id that the object's name has, or 0: whoever reads a snapshot from there means that
 * one. Whether that object is there is not looked at. Unlike cairn_store_open() it creates nothing.
 * @return 0, CAIRN_ENOTFOUND if there is nothing there, or as cairn_store_open(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_store_open_existing(const char *uri, cairn_store **ret_store,
                                                         char **ret_job, uint64_t *ret_id,
                                                         cairn_error **reterr);

/* ------------------------------------------------------------------------------------------ *
 * A job's log
 * ------------------------------------------------------------------------------------------ */

typedef enum cairn_record_kind {
    CAIRN_RECORD_CHECKPOINT = 1,
    CAIRN_RECORD_SAVEPOINT = 2,
    CAIRN_RECORD_ABORTED = 3,
    CAIRN_RECORD_FENCE = 4
} cairn_record_kind;

typedef enum cairn_record_state {
    CAIRN_STATE_COMPLETE = 1, /* can be restored */
    CAIRN_STATE_SUBSUMED = 2, /* a checkpoint known from history only: its files may be gone */
    CAIRN_STATE_ABORTED = 3,
    CAIRN_STATE_FENCE = 4,
    CAIRN_STATE_UNREADABLE = 5, /* the manifest is there but damaged or newer; see reason */
    CAIRN_STATE_SAVEPOINT = 6  /* in a job's log: a savepoint was taken, at `location` at that time. In its
                                  own directory a savepoint is CAIRN_STATE_COMPLETE */
} cairn_record_state;

/** One id of the log. Of those known from history only, the fields up to `reason` are known, and the last
 * two. */
typedef struct cairn_record_info {
    uint64_t id;
    cairn_record_kind kind;
    cairn_record_state state;
    uint64_t epoch;
    int64_t trigger_time_ms;
    int64_t commit_time_ms;
    uint64_t duration_us;    /* trigger to commit */
    uint64_t barrier_max_us;
    uint64_t full_bytes;     /* all it references */
    uint64_t new_bytes;      /* added to the store by it */
    uint64_t file_count;
    uint64_t new_file_count;
    uint8_t is_full;         /* as in cairn_checkpoint_info */
    const char *reason;      /* of an aborted or unreadable one, and of a fence with which an ending job
                                removed its checkpoints; else "" */
    /* From the record itself: */
    uint64_t log_start;      /* lowest id of the log as of this record */
    uint64_t base_id;        /* the checkpoint that it was an increment of; 0: none */
    uint64_t restored_id;    /* what this incarnation was restored from; 0: nothing */
    uint8_t uuid[16];
    const char *host;        /* who wrote it */
    uint64_t pid;
    const char *library_version;
    uint64_t manifest_bytes; /* size of the MANIFEST object itself */
    /* Computed over the whole log by cairn_log_open(): */
    uint64_t exclusive_bytes; /* what would be freed if this one alone vanished */
    /* Savepoints: */
    cairn_savepoint_format format;
    const char *location;     /* where it was written, as a hint; "" in the savepoint itself, and else */
    /* The snapshot from elsewhere that this incarnation was started from; "" and zeros: none. Of history
     * only the location is known. */
    const char *source_location; /* as a hint: it may have been moved */
    const char *source_job;      /* whose snapshot it is */
    uint64_t source_id;
    uint8_t source_uuid[16];
    cairn_claim_mode source_mode;
    uint8_t source_needed;       /* 1: no own checkpoint is complete yet, the source must stay. Computed by
                                    cairn_log_open() */
    uint8_t is_stop; /* savepoints: the job was stopped with it; not known from history */
    /* What it cost, up to the creation of its record; 0: not known. */
    uint64_t requests;   /* to the store, tries that failed included */
    uint64_t sent_bytes; /* in their bodies */
} cairn_record_info;

typedef struct cairn_log cairn_log;
/** Read a job's log: all retained records, and the history that the newest one carries, by ascending
 * id. A record that cannot be read is listed as CAIRN_STATE_UNREADABLE; so is the first
 * one that is lost above the newest, if objects show that there was one.
 * @return 0, CAIRN_ENOTFOUND (no such job), CAIRN_EMISSING (it has objects, but no manifest), or
 * the store's error. */
CAIRN_API CAIRN_MUST_CHECK int cairn_log_open(cairn_store *store, const char *job,
                                              cairn_log **ret_log, cairn_error **reterr);
CAIRN_API size_t cairn_log_size(const cairn_log *log);
CAIRN_API const cairn_record_info *cairn_log_at(const cairn_log *log, size_t i);
/** 1: it is the directory of a savepoint, 0: of a job. */
CAIRN_API int cairn_log_is_savepoint(const cairn_log *log);
/** Who has claimed the directory (CAIRN_CLAIM) and is going to remove it, for people: "job 'orders', by
 * process 812 on 'node-1'". NULL: nobody. As of cairn_log_open(). */
CAIRN_API const char *cairn_log_claimed_by(const cairn_log *log);
CAIRN_API void cairn_log_close(cairn_log *log);

/* ------------------------------------------------------------------------------------------ *
 * One snapshot
 * ------------------------------------------------------------------------------------------ */

typedef enum cairn_state_kind {
    CAIRN_KIND_VALUE = 1,
    CAIRN_KIND_LIST = 2,
    CAIRN_KIND_MAP = 3,
    CAIRN_KIND_REDUCING = 4,
    CAIRN_KIND_AGGREGATING = 5,
    CAIRN_KIND_OPERATOR_LIST = 16,
    CAIRN_KIND_OPERATOR_UNION = 17,
    CAIRN_KIND_BROADCAST = 18
} cairn_state_kind;

/** A schema under which values of a state were written; see cairn_serializer. */
typedef struct cairn_schema_info {
    uint32_t tag;         /* stands in front of each value: docs/format.md */
    const char *name;     /* of the struct, or of a caller's serializer; of Avro its type's name */
    uint32_t version;     /* of a caller's serializer, else 0 */
    const uint8_t *bytes; /* docs/format.md for structs, JSON for Avro, the caller's own else */
    size_t size;
} cairn_schema_info;

typedef struct cairn_state_info {
    const char *name;
    cairn_state_kind kind;
    cairn_type value_type;
    cairn_type map_key_type; /* maps and broadcast */
    uint64_t ttl_ms;         /* 0: no expiry */
    const cairn_schema_info *schemas; /* by ascending tag, the last is the present one; only of values of
                                         the types CAIRN_STRUCT, CAIRN_AVRO and CAIRN_CUSTOM */
    size_t schema_count;
} cairn_state_info;

typedef struct cairn_operator_info {
    const char *uid;
    const char *name;
    uint32_t parallelism;
    uint32_t max_parallelism;
    cairn_type key_type;
    cairn_type namespace_type;
    size_t state_count;
    size_t subtask_count;
} cairn_operator_info;

typedef struct cairn_subtask_info {
    uint32_t index;
    uint32_t key_group_first;
    uint32_t key_group_last; /* inclusive */
    const char *backend;     /* whose files these are: "rocksdb"; "canonical": anybody's */
    uint8_t generation[16];  /* of the local database */
    uint64_t sequence;       /* the database's sequence number at the barrier */
    uint64_t barrier_us;     /* time in the task's thread */
    uint64_t flush_us;       /* barrier to memtables flushed */
    uint64_t capture_us;     /* links and proof */
    uint64_t upload_us;
    uint64_t full_bytes;
    uint64_t new_bytes;
    size_t file_count;
    uint64_t start_delay_us;  /* trigger to barrier */
    uint64_t align_us;        /* of a task with a gate: its first barrier to the taking of the state */
    uint64_t in_flight_bytes; /* of records that the barrier overtook */
    uint8_t is_finished;      /* its input had ended before */
} cairn_subtask_info;

typedef enum cairn_file_role {
    CAIRN_FILE_TABLE = 1,          /* SST: immutable, shared between checkpoints */
    CAIRN_FILE_DATABASE = 2,       /* CURRENT, RocksDB's MANIFEST, OPTIONS */
    CAIRN_FILE_OPERATOR_STATE = 3,
    CAIRN_FILE_CANONICAL = 4,      /* keyed state in Cairn's own format, of a range of key groups */
    CAIRN_FILE_IN_FLIGHT = 5       /* records that an unaligned barrier overtook: gate.h */
} cairn_file_role;

typedef struct cairn_file_info {
    cairn_file_role role;
    const char *name;   /* in the database's directory, such as "000012.sst" */
    const char *object; /* key relative to the job's prefix; NULL: inlined in the manifest */
    uint64_t size;
    uint8_t has_xxh3;   /* at least one of the two sums is there */
    uint8_t xxh3[16];   /* XXH3-128, canonical byte order */
    uint8_t has_crc32c;
    uint32_t crc32c;
    uint64_t checkpoint_id; /* which checkpoint uploaded it */
    uint64_t epoch;
    /* Tables only: */
    const char *state;  /* state (column family) that it belongs to */
    uint64_t number;
    uint32_t level;
    uint64_t sequence_first;
    uint64_t sequence_last;
    const uint8_t *smallest; /* composite keys as in docs/format.md */
    size_t smallest_size;
    const uint8_t *largest;
    size_t largest_size;
    /* Canonical files only: */
    uint32_t key_group_first;
    uint32_t key_group_last; /* inclusive */
    uint64_t entry_count;
    uint8_t has_identity;
    uint8_t identity[16]; /* as in their header; what is read of the file is bound to it */
    /* Files that share an object, a pack, with others: */
    uint64_t object_offset; /* where the file begins in the object */
    uint64_t object_size;   /* of the whole object; 0: the object is this file and nothing else */
} cairn_file_info;

typedef struct cairn_snapshot cairn_snapshot;
/** Read the manifest of one checkpoint, or of a savepoint. id 0: the newest complete one.
 * @return 0, CAIRN_ENOTFOUND, CAIRN_ECORRUPT, CAIRN_EVERSION, or the store's error. */
CAIRN_API CAIRN_MUST_CHECK int cairn_snapshot_open(cairn_store *store, const char *job, uint64_t id,
                                                   cairn_snapshot **ret_snapshot,
                                                   cairn_error **reterr);
CAIRN_API void cairn_snapshot_close(cairn_snapshot *snapshot);
CAIRN_API const cairn_record_info *cairn_snapshot_record(const cairn_snapshot *snapshot);
/** The job that took it, whatever the directory is called by now. NULL for NULL. */
CAIRN_API const char *cairn_snapshot_job(const cairn_snapshot *snapshot);
CAIRN_API size_t cairn_snapshot_operators(const cairn_snapshot *snapshot);
/* Indexes out of range give NULL. */
CAIRN_API const cairn_operator_info *cairn_snapshot_operator(const cairn_snapshot *snapshot,
                                                             size_t op);
CAIRN_API const cairn_state_info *cairn_snapshot_state(const cairn_snapshot *snapshot, size_t op,
                                                       size_t state);
CAIRN_API const cairn_subtask_info *cairn_snapshot_subtask(const cairn_snapshot *snapshot, size_t op,
                                                           size_t subtask);
CAIRN_API const cairn_file_info *cairn_snapshot_file(const cairn_snapshot *snapshot, size_t op,
                                                     size_t subtask, size_t file);

/* ------------------------------------------------------------------------------------------ *
 * Entries
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_cat cairn_cat;
typedef struct cairn_cat_options {
    uint32_t struct_size;
    const char *operator_uid; /* NULL: all */
    const char *state;        /* NULL: all */
    const void *key;          /* only this key, in its encoded form; NULL: all */
    size_t key_size;
    const char *scratch_dir;  /* where files are linked or fetched to; NULL: $TMPDIR or /tmp */
    uint8_t by_state; /* 1: by operator, then state by name, then subtask: so that all entries of a state
                         come in one order (key group, key, namespace, map key), whatever the
                         parallelism. 0: by operator, then subtask */
    cairn_progress_fn progress; /* while files are fetched; NULL: none */
    void *progress_context;
} cairn_cat_options;
#define CAIRN_CAT_OPTIONS_INIT {sizeof(cairn_cat_options), 0, 0, 0, 0, 0, 0, 0, 0}

typedef struct cairn_cat_entry {
    size_t op;             /* index of the operator in the snapshot */
    size_t state;          /* index of its state */
    uint32_t subtask;
    uint32_t key_group;    /* keyed state */
    int64_t written_ms;    /* of states with expiry; else 0 */
    uint64_t element;      /* position in a list */
    cairn_entry entry;     /* operator lists have only a value; broadcast maps key and value */
    const cairn_schema_info *schema; /* under which the value was written; NULL: its type has none */
} cairn_cat_entry;
/** Iterate entries by operator and subtask. Native files are fetched to scratch_dir, one subtask's at a
 * time (with by_state all of one operator's), and verified on the way; of canonical ones only what is asked
 * for is read, block by block, each verified. Expired entries are included. Memory is bounded whatever the
 * state's size. The snapshot must stay open.
 * @return 0, CAIRN_ENOTFOUND (no such operator or state), CAIRN_EINVAL, or an error of scratch_dir.
 * @crash a directory "cairn-cat-*" is left in scratch_dir. */
CAIRN_API CAIRN_MUST_CHECK int cairn_cat_open(cairn_snapshot *snapshot,
                                              const cairn_cat_options *options, cairn_cat **ret_cat,
                                              cairn_error **reterr);
/** @return 1 and *ret_entry (valid until the next call), 0 at the end, or an error, which then every
 * later call gives: CAIRN_ECORRUPT, CAIRN_EMISSING, CAIRN_EVERSION, CAIRN_EUNSUPPORTED (files of a
 * backend that this library does not have), CAIRN_ENOSPC, CAIRN_EIO, the store's. */
CAIRN_API CAIRN_MUST_CHECK int cairn_cat_next(cairn_cat *cat, cairn_cat_entry *ret_entry,
                                              cairn_error **reterr);
CAIRN_API void cairn_cat_close(cairn_cat *cat);

/** A value of the types CAIRN_STRUCT and CAIRN_AVRO as one line of JSON, and back. Fields of type bytes
 * are text of the form "hex:00ff..".
 * @param ret_json  to be released with free().
 * @return 0, CAIRN_ECORRUPT (the bytes are no value of the schema), CAIRN_EINVAL (another type; the text is
 * no JSON, or does not fit the schema). */
CAIRN_API CAIRN_MUST_CHECK int cairn_value_to_json(cairn_type type, const cairn_schema_info *schema,
                                                   const void *data, size_t size, char **ret_json,
                                                   cairn_error **reterr);
CAIRN_API CAIRN_MUST_CHECK int cairn_value_from_json(cairn_type type, const cairn_schema_info *schema,
                                                     const char *json, void **ret_data,
                                                     size_t *ret_size, cairn_error **reterr);
/** A value of the types CAIRN_STRUCT and CAIRN_AVRO that was written under one schema, as one of another, by
 * the rules that a state's present serializer goes by.
 * @param ret_data  to be released with free().
 * @return 0, CAIRN_EINVAL (another type), CAIRN_ECORRUPT (the bytes are no value of `from`, or one of the two
 * is no schema), CAIRN_EMISMATCH (`to` cannot read values of `from`). */
CAIRN_API CAIRN_MUST_CHECK int cairn_value_convert(cairn_type type, const cairn_schema_info *from,
                                                   const cairn_schema_info *to, const void *data,
                                                   size_t size, void **ret_data, size_t *ret_size,
                                                   cairn_error **reterr);
/** The serializer that a stored schema of the types CAIRN_STRUCT and CAIRN_AVRO describes; to be released.
 * @return 0, CAIRN_EINVAL (another type), CAIRN_ECORRUPT (it is no schema). */
CAIRN_API CAIRN_MUST_CHECK int cairn_serializer_of_schema(cairn_type type,
                                                          const cairn_schema_info *schema,
                                                          cairn_serializer **ret_serializer,
                                                          cairn_error **reterr);

/* ------------------------------------------------------------------------------------------ *
 * Questions about all snapshots of a job
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_usage {
    uint32_t struct_size;
    uint64_t object_count;       /* all objects under the job's prefix, manifests included */
    uint64_t object_bytes;
    uint64_t manifest_count;
    uint64_t manifest_bytes;
    uint64_t live_count;         /* objects referenced by some retained checkpoint */
    uint64_t live_bytes;
    uint64_t dead_count;         /* no retained manifest references them: gc removes them */
    uint64_t dead_bytes;
    uint64_t unresolved_count;   /* belong to a checkpoint id above the log's head: in flight, or
                                    left by a crash */
    uint64_t unresolved_bytes;
    uint64_t foreign_count;      /* not written by Cairn: never touched */
    uint64_t foreign_bytes;
    uint64_t missing_count;      /* referenced but not there */
    uint64_t unknown_count;      /* referenced by no manifest that can be read; but as some cannot be
                                    read or are lost, they may be needed: gc leaves everything alone */
    uint64_t unknown_bytes;
    uint64_t cluster_count;      /* what processes of the running job tell one another */
    uint64_t cluster_bytes;
} cairn_usage;
#define CAIRN_USAGE_INIT {sizeof(cairn_usage), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** Count what is stored for a job, by what it is for.
 * @return 0; CAIRN_ECORRUPT, CAIRN_EVERSION or CAIRN_EMISSING if some of the job's manifests cannot be
 * read or are lost: *ret_usage then has what is known; CAIRN_ENOTFOUND (no such job) or the store's
 * error: *ret_usage is untouched. */
CAIRN_API CAIRN_MUST_CHECK int cairn_job_usage(cairn_store *store, const char *job,
                                               cairn_usage *ret_usage, cairn_error **reterr);

typedef struct cairn_diff_entry {
    int change; /* -1: only in the first, +1: only in the second, 0: in both */
    const char *operator_uid;
    uint32_t subtask;
    const cairn_file_info *file; /* of the second snapshot where it is in both */
} cairn_diff_entry;
typedef struct cairn_diff cairn_diff;
/** Compare two snapshots of one job by stored object. Both must stay open.
 * @return 0, or CAIRN_EINVAL (of two jobs). */
CAIRN_API CAIRN_MUST_CHECK int cairn_diff_open(const cairn_snapshot *first,
                                               const cairn_snapshot *second, cairn_diff **ret_diff,
                                               cairn_error **reterr);
CAIRN_API size_t cairn_diff_size(const cairn_diff *diff);
CAIRN_API const cairn_diff_entry *cairn_diff_at(const cairn_diff *diff, size_t i);
CAIRN_API void cairn_diff_close(cairn_diff *diff);

typedef struct cairn_entry_diff {
    int change; /* -1: only in the first, +1: only in the second, 0: in both, with other values */
    const char *operator_uid;
    const char *state;
    const cairn_cat_entry *first;  /* NULL if change is +1 */
    const cairn_cat_entry *second; /* NULL if change is -1 */
} cairn_entry_diff;
typedef struct cairn_entry_diff_options {
    uint32_t struct_size;
    const char *operator_uid; /* NULL: all */
    const char *state;        /* NULL: all */
    const char *scratch_dir;  /* NULL: $TMPDIR or /tmp */
    cairn_progress_fn progress;
    void *progress_context;
} cairn_entry_diff_options;
#define CAIRN_ENTRY_DIFF_OPTIONS_INIT {sizeof(cairn_entry_diff_options), 0, 0, 0, 0, 0}
typedef struct cairn_entry_differ cairn_entry_differ;
/** Compare the keyed entries of two snapshots, of any jobs, formats and parallelism, by operator uid and
 * state name. Values are compared as bytes, without their time stamps of expiry. Elements of a list are
 * compared by position. Both snapshots must stay open.
 * @return 0, CAIRN_EMISMATCH (an operator has another max_parallelism or key type in each), or as
 * cairn_cat_open(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_entry_diff_open(cairn_snapshot *first, cairn_snapshot *second,
                                                     const cairn_entry_diff_options *options,
                                                     cairn_entry_differ **ret_differ,
                                                     cairn_error **reterr);
/** @return 1 and *ret_diff (valid until the next call), 0 at the end, or as cairn_cat_next(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_entry_diff_next(cairn_entry_differ *differ,
                                                     cairn_entry_diff *ret_diff, cairn_error **reterr);
CAIRN_API void cairn_entry_diff_close(cairn_entry_differ *differ);

typedef enum cairn_object_status {
    CAIRN_OBJECT_LIVE = 1,       /* referenced by a retained checkpoint */
    CAIRN_OBJECT_DEAD = 2,       /* of a resolved id, referenced by nothing */
    CAIRN_OBJECT_UNRESOLVED = 3, /* of an id above the log's head */
    CAIRN_OBJECT_MANIFEST = 4,
    CAIRN_OBJECT_FOREIGN = 5,
    CAIRN_OBJECT_UNKNOWN = 6,    /* dead or unresolved, had not some manifests become unreadable */
    CAIRN_OBJECT_CLUSTER = 7     /* what processes of a running job tell one another */
} cairn_object_status;
typedef struct cairn_explanation cairn_explanation;
typedef struct cairn_explanation_info {
    const char *object;
    cairn_object_status status;
    uint8_t exists;
    uint64_t size;                /* as stored; 0 if missing */
    const cairn_file_info *file;  /* as the newest referencing manifest has it; NULL: unreferenced */
    const char *operator_uid;     /* "" if unreferenced */
    uint32_t subtask;
    size_t reference_count;       /* retained checkpoints that need it */
    const char *problem;          /* "", or what is wrong with it, as far as that can be told without
                                     reading it: missing, of another size than a manifest says, or a
                                     manifest that cannot be read. cairn_verify() compares bytes */
    /* Of a pack: how many files of retained checkpoints are in it, and how large they are; `file` is one
     * of them. 0: it is no pack, or unreferenced. */
    uint64_t slice_count;
    uint64_t slice_bytes;
} cairn_explanation_info;
/** Who needs an object. `object` is relative to the job's prefix ("shared/...", "MANIFEST-chk7"). A
 * manifest that the job's log needs but does not have is explained too.
 * @return 0; CAIRN_ENOTFOUND (neither stored nor referenced); CAIRN_ECORRUPT, CAIRN_EVERSION or
 * CAIRN_EMISSING if it could be referenced by a manifest that cannot be read; or the store's error. */
CAIRN_API CAIRN_MUST_CHECK int cairn_explain(cairn_store *store, const char *job,
                                             const char *object, cairn_explanation **ret,
                                             cairn_error **reterr);
CAIRN_API const cairn_explanation_info *cairn_explanation_get(const cairn_explanation *explanation);
/** Id of the i-th checkpoint that references it, ascending; 0 beyond the last. */
CAIRN_API uint64_t cairn_explanation_reference(const cairn_explanation *explanation, size_t i);
CAIRN_API void cairn_explanation_close(cairn_explanation *explanation);

/* ------------------------------------------------------------------------------------------ *
 * Verify, collect garbage, restore
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_verify_options {
    uint32_t struct_size;
    uint64_t id;  /* 0: every retained checkpoint */
    uint8_t full; /* 1: read everything and compare checksums; 0: existence and sizes */
    uint32_t threads; /* 0: 4 */
    /* Called for each problem found, possibly from several threads, one at a time. */
    void (*problem)(void *context, uint64_t id, const cairn_error *error);
    cairn_progress_fn progress;
    void *context;
    /* Like `problem`, with every checkpoint looked at that cannot be restored because of it: count is
     * at least 1, ids ascend; `problem` gets the last one. For a manifest that cannot be read, and so
     * may be another kind of record, its own id. The array is valid during the call. */
    void (*affected)(void *context, const uint64_t *ids, size_t count, const cairn_error *error);
    /* Called at the end, by ascending id, for each checkpoint whose manifest could be read, unless it
     * was seen to be subsumed meanwhile: 1 if no problem was found with it. */
    void (*verdict)(void *context, uint64_t id, int is_whole);
} cairn_verify_options;
#define CAIRN_VERIFY_OPTIONS_INIT {sizeof(cairn_verify_options), 0, 0, 0, 0, 0, 0, 0, 0}
typedef struct cairn_verify_report {
    uint32_t struct_size;
    uint64_t checkpoints;
    uint64_t objects;       /* distinct ones, manifests included */
    uint64_t bytes_checked; /* read and compared with checksums: manifests, and with `full` all else */
    uint64_t problems;
    uint64_t bytes_covered; /* the size that all these objects should have */
    uint64_t whole;         /* checkpoints without a problem */
    uint64_t newest_whole_id; /* 0: none */
} cairn_verify_report;
#define CAIRN_VERIFY_REPORT_INIT {sizeof(cairn_verify_report), 0, 0, 0, 0, 0, 0, 0}
/** Can the checkpoints be restored? @return 0 if no problem was found, also if there is no checkpoint;
 * else the code of the first problem (CAIRN_ECORRUPT, CAIRN_EMISSING, CAIRN_EVERSION, or the store's
 * error), after looking at everything; CAIRN_ENOTFOUND (no such job or checkpoint); CAIRN_ECANCELED.
 * The report says in either case what was found, unless the job's log could not even be read: then it
 * is untouched. */
CAIRN_API CAIRN_MUST_CHECK int cairn_verify(cairn_store *store, const char *job,
                                            const cairn_verify_options *options,
                                            cairn_verify_report *ret_report, cairn_error **reterr);

typedef struct cairn_gc_options {
    uint32_t struct_size;
    uint8_t dry_run; /* 1: only tell and count what would be removed */
    uint8_t keep_unresolved; /* 1: leave objects of ids above the log's head alone. Else that id is
                                resolved as aborted first, so that no checkpoint can come to need
                                them; a job that runs and has it in flight loses this one attempt. */
    /* Called for each object that is (or would be) removed. */
    void (*object)(void *context, const char *object, uint64_t size);
    void *context;
} cairn_gc_options;
#define CAIRN_GC_OPTIONS_INIT {sizeof(cairn_gc_options), 0, 0, 0, 0}
typedef struct cairn_gc_report {
    uint32_t struct_size;
    uint64_t removed_count;
    uint64_t removed_bytes;
    uint64_t kept_unresolved;
    uint64_t temporary_count; /* leftovers of interrupted writes, over an hour old, that were removed */
} cairn_gc_report;
#define CAIRN_GC_REPORT_INIT {sizeof(cairn_gc_report), 0, 0, 0, 0}
/** Remove what no retained checkpoint references. Safe beside a running job and other collectors.
 * Refuses to remove anything when any retained manifest is unreadable (CAIRN_ECORRUPT,
 * CAIRN_EVERSION) or missing (CAIRN_EMISSING; CAIRN_ECORRUPT when objects of ids far above the log's
 * head show it). An object that cannot be removed does not keep the others from going.
 * @return 0, one of these, CAIRN_ENOTFOUND (no such job), CAIRN_EINVAL (a savepoint's directory:
 * cairn_dispose()), CAIRN_EBUSY (others keep racing for the job's
 * log: try again), CAIRN_EUNKNOWN, or the store's error.
 * @crash some objects are removed, run it again. */
CAIRN_API CAIRN_MUST_CHECK int cairn_gc(cairn_store *store, const char *job,
                                        const cairn_gc_options *options, cairn_gc_report *ret_report,
                                        cairn_error **reterr);

typedef struct cairn_restore_options {
    uint32_t struct_size;
    uint64_t id;      /* 0: the newest complete one */
    uint32_t threads; /* 0: 4 */
    uint8_t link;     /* 1: hard links where possible: never change those files */
    cairn_progress_fn progress;
    void *context;
} cairn_restore_options;
#define CAIRN_RESTORE_OPTIONS_INIT {sizeof(cairn_restore_options), 0, 0, 0, 0, 0}
typedef struct cairn_restore_report {
    uint32_t struct_size;
    uint64_t id;
    uint64_t files;
    uint64_t bytes;
} cairn_restore_report;
#define CAIRN_RESTORE_REPORT_INIT {sizeof(cairn_restore_report), 0, 0, 0}
/** Write the databases of a checkpoint, verified and synced, as plain RocksDB directories:
 * `<dir>/<operator's uid, unsafe characters as %XX>-<subtask>/`. A uid that is too long for a file name
 * is cut and gets a digest. A subtask's operator state is the file `operator-state.bin` in its
 * directory, and records in flight are `in-flight.bin`. What is missing above `dir` is made; `dir` itself must be absent or empty, and not within
 * the store.
 * @return 0, CAIRN_EEXIST (not empty), CAIRN_EBUSY (another restore writes there), CAIRN_EINVAL (within
 * the store, or no directory), CAIRN_ENOTFOUND, CAIRN_ECORRUPT, CAIRN_EMISSING, CAIRN_EVERSION,
 * CAIRN_ECANCELED, CAIRN_EIO, CAIRN_ENOSPC, CAIRN_EACCES, or the store's error. On failure what was
 * written is removed, unless trying again may help (CAIRN_CLASS_RETRY).
 * @crash an incomplete `<dir>.partial` is left, with which the same call goes on: of what has been
 * downloaded nothing is downloaded again; a complete directory appears by rename. */
CAIRN_API CAIRN_MUST_CHECK int cairn_restore_to(cairn_store *store, const char *job, const char *dir,
                                                const cairn_restore_options *options,
                                                cairn_restore_report *ret_report,
                                                cairn_error **reterr);

/* ------------------------------------------------------------------------------------------ *
 * Does a snapshot fit a service?
 * ------------------------------------------------------------------------------------------ */

/** What a service is going to register, for cairn_check(). Strings may be NULL where said. */
typedef struct cairn_planned_state {
    const char *name;
    cairn_state_kind kind;
    cairn_type value_type;
    cairn_type map_key_type;
    uint64_t ttl_ms;
    const cairn_serializer *serializer; /* NULL: none, or not compared */
} cairn_planned_state;
typedef struct cairn_planned_operator {
    const char *uid;
    uint32_t parallelism;     /* 0: 1 */
    uint32_t max_parallelism; /* 0: the stored one */
    cairn_type key_type;
    cairn_type namespace_type;
    const cairn_planned_state *states;
    size_t state_count;
    uint8_t states_unknown;   /* 1: states are not compared */
} cairn_planned_operator;

typedef enum cairn_verdict {
    CAIRN_VERDICT_RESTORED = 1,  /* as it is, rescaled, or after migration: `detail` says which */
    CAIRN_VERDICT_NEW = 2,       /* not in the snapshot: starts empty */
    CAIRN_VERDICT_DROPPED = 3,   /* an operator without a task: an error unless
                                    allow_non_restored_state */
    CAIRN_VERDICT_KEPT = 4,      /* a stored state that the operator does not register: goes along */
    CAIRN_VERDICT_MISMATCH = 5   /* the service cannot start from it */
} cairn_verdict;
typedef struct cairn_check_item {
    cairn_verdict verdict;
    const char *operator_uid;
    const char *state;    /* NULL: the operator as a whole */
    const char *detail;   /* one line for people */
    uint64_t stored_bytes; /* of an operator as a whole; else 0 */
} cairn_check_item;
typedef struct cairn_check_options {
    uint32_t struct_size;
    const cairn_planned_operator *operators;
    size_t operator_count;
    const char *state_backend; /* NULL: "rocksdb" */
    /* Called for each operator, and each of its states behind it; pointers are valid during the call. */
    void (*item)(void *context, const cairn_check_item *item);
    void *context;
} cairn_check_options;
#define CAIRN_CHECK_OPTIONS_INIT {sizeof(cairn_check_options), 0, 0, 0, 0, 0}
/** Ask before a start what a service with these operators would get from a snapshot. Reads the manifest
 * only.
 * @return 0 if the service can start from it; CAIRN_ENONRESTORED if it drops operators (and nothing
 * worse); CAIRN_EMISMATCH or CAIRN_EUNSUPPORTED if it cannot; CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_check(const cairn_snapshot *snapshot,
                                           const cairn_check_options *options, cairn_error **reterr);

/* ------------------------------------------------------------------------------------------ *
 * Dispose of a savepoint
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_dispose_options {
    uint32_t struct_size;
    uint8_t dry_run; /* 1: only tell and count what would be removed */
    uint8_t force;   /* 1: also one that a job has claimed, but not removed yet, and what is left of a
                        job's directory that was claimed and has no manifest any more */
    /* Called for each object that is (or would be) removed. */
    void (*object)(void *context, const char *object, uint64_t size);
    void *context;
} cairn_dispose_options;
#define CAIRN_DISPOSE_OPTIONS_INIT {sizeof(cairn_dispose_options), 0, 0, 0, 0}
typedef struct cairn_dispose_report {
    uint32_t struct_size;
    uint64_t removed_count;
    uint64_t removed_bytes;
    uint64_t foreign_count; /* files in the directory that are not Cairn's: they stay, and so does it */
} cairn_dispose_report;
#define CAIRN_DISPOSE_REPORT_INIT {sizeof(cairn_dispose_report), 0, 0, 0}
/** Remove a savepoint: first its manifest, so that it is none any more, then its files and directory.
 * @param name  of the savepoint's directory in the store.
 * @return 0; CAIRN_ENOTFOUND (no such directory); CAIRN_EINVAL (it is not a savepoint: a job's directory, or
 * none of Cairn's); CAIRN_EBUSY (claimed by a job; the message says by which); CAIRN_ECORRUPT or
 * CAIRN_EVERSION (its manifest cannot be read: what it is cannot be told); or the store's error: run it
 * again.
 * @crash run it again: a mark in the directory says what was begun. */
CAIRN_API CAIRN_MUST_CHECK int cairn_dispose(cairn_store *store, const char *name,
                                             const cairn_dispose_options *options,
                                             cairn_dispose_report *ret_report, cairn_error **reterr);

/* ---- trying a store ---- */

/** One promise of store.h, and what came of trying it. */
typedef struct cairn_trial {
    uint32_t struct_size;
    const char *promise; /* a sentence; it stays */
    int code;            /* 0: it holds; else what was returned, or CAIRN_ECORRUPT: not what it should be */
    const char *seen;    /* what went wrong, "" if nothing; until the callback returns */
    uint8_t is_optional; /* 1: a store may do without, and then code is CAIRN_EUNSUPPORTED */
    uint64_t duration_us;
} cairn_trial;
/** @return 0 to go on, else the test ends with this value. */
typedef int (*cairn_trial_fn)(void *context, const cairn_trial *trial);
typedef struct cairn_store_test_options {
    uint32_t struct_size;
    uint32_t writers; /* that race to create one key; 0: 16; at most 256 */
    uint32_t rounds;  /* of the race; 0: 50; at most 100,000 */
    cairn_trial_fn trial;
    void *context;
    cairn_store *const *others; /* further handles of the same store, such as of its other gateways: the
                                   writers that race take turns with all of them. Borrowed */
    size_t other_count;
} cairn_store_test_options;
#define CAIRN_STORE_TEST_OPTIONS_INIT {sizeof(cairn_store_test_options), 0, 0, 0, 0, 0, 0}
typedef struct cairn_store_test_report {
    uint32_t struct_size;
    uint32_t tried;  /* promises */
    uint32_t broken; /* of them; those of optional methods that a store does without are not */
} cairn_store_test_report;
#define CAIRN_STORE_TEST_REPORT_INIT {sizeof(cairn_store_test_report), 0, 0}
/** Try what store.h demands on a store: each promise by itself, then many writers that race to create the
 * same keys, of whom exactly one may win. A race that is won by one writer each time is no proof, but a
 * store without atomic creation rarely stands many rounds of it. Objects are made below a new name that
 * begins with "store-test-" and are removed at the end; nothing else is touched.
 * @return 0 if all was tried, whatever came of it: see the report; CAIRN_EINVAL; CAIRN_ENOMEM; what a callback
 *         returned. ret_report may be NULL.
 * @crash the objects of the test are left: `store-test-...` is no job, and can be removed. */
CAIRN_API CAIRN_MUST_CHECK int cairn_store_test(cairn_store *store,
                                                const cairn_store_test_options *options,
                                                cairn_store_test_report *ret_report,
                                                cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
