/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_MANIFEST_MANIFEST_H
#define CRN_MANIFEST_MANIFEST_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "cairn/inspect.h"
#include <stdbool.h>

/*
 * Records of a job's log in memory, and their bytes. This layer is pure: no I/O, no clock, no
 * threads.
 *
 * A record owns everything below it, strings included: each struct embeds the public info struct
 * that `cairn/inspect.h` hands out, so there is one description of a file in the whole program.
 * Counts in the info structs (file_count, state_count, ...) are set by crn_record_finish() only.
 */

#define CRN_LIMIT_OPERATORS 4096u
#define CRN_LIMIT_STATES 4096u
#define CRN_LIMIT_SUBTASKS 32768u
#define CRN_LIMIT_FILES 4194304u    /* per subtask */
#define CRN_LIMIT_SCHEMAS 1024u     /* of one state */
#define CRN_LIMIT_SCHEMA (1u << 20) /* bytes of one */
#define CRN_LIMIT_INLINE (1u << 20)
#define CRN_LIMIT_HISTORY 64u
#define CRN_LIMIT_MANIFEST (1u << 30) /* bytes of one manifest object */
#define CRN_MAX_KEY_GROUPS 32768u

struct crn_file {
    cairn_file_info info; /* info.object NULL: inlined */
    uint8_t *inlined;     /* info.size bytes, when inlined */
    uint32_t state;       /* tables: index in the operator's states */
};

struct crn_subtask {
    cairn_subtask_info info;
    struct crn_file *files;
    size_t file_count, file_capacity;
};

struct crn_operator {
    cairn_operator_info info;
    cairn_state_info *states;
    size_t state_count, state_capacity;
    struct crn_subtask *subtasks;
    size_t subtask_count, subtask_capacity;
};

struct crn_history {
    cairn_record_info info; /* the fields that History has; strings owned */
};

struct crn_record {
    cairn_record_info info;
    char *job;
    bool has_previous_hash;
    struct crn_hash128 previous_hash;
    uint32_t ids_ahead; /* above it, that may have objects already: attempts in flight; 0: one */
    struct crn_operator *operators; /* of a checkpoint, or of a savepoint in its own directory */
    size_t operator_count, operator_capacity;
    struct crn_history *history;
    size_t history_count, history_capacity;
};

/* record.c: building and releasing. Adders return the new element (zeroed, valid until the next add
 * to the same array), or NULL when out of memory. Strings are copied by crn_record_set_text(); a
 * text that was never set (NULL) is written as "", and read back as "". Only info.object may be
 * NULL after reading (inlined), and info.state (not a table). */
struct crn_record *crn_record_new(void);
void crn_record_free(struct crn_record *record); /* NULL is fine */
/* What a checkpoint holds goes: most of a large record. Its info and its history stay. */
void crn_record_drop_operators(struct crn_record *record);
static inline void crn_cleanup_record(struct crn_record **record)
{
    crn_record_free(*record);
}
#define CRN_AUTO_RECORD CRN_CLEANUP(crn_cleanup_record)
struct crn_operator *crn_record_add_operator(struct crn_record *record);
/* The operator with the uid of `info`; if there is none, one is added that has uid, name, parallelism
 * and types of `info`. NULL: no memory. */
struct crn_operator *crn_record_merge_operator(struct crn_record *record,
                                               const cairn_operator_info *info);
struct crn_subtask *crn_operator_add_subtask(struct crn_operator *op);
cairn_state_info *crn_operator_add_state(struct crn_operator *op);
struct crn_file *crn_subtask_add_file(struct crn_subtask *subtask);
struct crn_history *crn_record_add_history(struct crn_record *record);
/* Replace a text field of any info struct by a copy. 0 or CAIRN_ENOMEM. */
int crn_record_set_text(const char **field, const char *text);
int crn_record_set_bytes(const uint8_t **field, size_t *field_size, const void *data, size_t size);
/* Deep copies into a zeroed element; 0 or CAIRN_ENOMEM. */
int crn_file_copy(struct crn_file *to, const struct crn_file *from);
int crn_state_copy(cairn_state_info *to, const cairn_state_info *from);
int crn_subtask_copy(struct crn_subtask *to, const struct crn_subtask *from);
int crn_operator_copy(struct crn_operator *to, const struct crn_operator *from);
void crn_state_done(cairn_state_info *state); /* what a copy owns */
/* One more schema at the end of a state that is a copy: deep. CAIRN_EINVAL beyond the limit. */
int crn_state_add_schema(cairn_state_info *state, const cairn_schema_info *schema);
void crn_subtask_done(struct crn_subtask *subtask);
/* Has everything of an operator's state: a checkpoint, or a savepoint in its own directory. */
static inline bool crn_record_is_restorable(const struct crn_record *record)
{
    return record->info.kind == CAIRN_RECORD_CHECKPOINT ||
           (record->info.kind == CAIRN_RECORD_SAVEPOINT &&
            (record->info.location == NULL || record->info.location[0] == '\0'));
}
void crn_file_done(struct crn_file *file);
/* Does it share its object with other files? Else the object is the file. */
static inline bool crn_file_is_slice(const struct crn_file *file)
{
    return file->info.object_size != 0;
}
/* Bytes of the object that it is in; 0: inlined. */
static inline uint64_t crn_file_object_size(const struct crn_file *file)
{
    return file->info.object == NULL ? 0
           : crn_file_is_slice(file) ? file->info.object_size
                                     : file->info.size;
}
/* Is it keyed state? Operator state and records in flight stand beside it. */
static inline bool crn_file_is_keyed(const struct crn_file *file)
{
    return file->info.role != CAIRN_FILE_OPERATOR_STATE && file->info.role != CAIRN_FILE_IN_FLIGHT;
}
/* The last step before encoding, for records of every kind: sums sizes and counts from the files
 * upwards (full_bytes, new_bytes = what has checkpoint_id == the record's id, file_count,
 * new_file_count, barrier_max_us, ...; sums stop at UINT64_MAX), sets info.state from the kind,
 * sorts operators by uid, subtasks by index, and makes the free texts (reason, host,
 * library_version) fit for the format: what is not clean UTF-8 becomes '?', what is too long is
 * cut. Of what is no checkpoint, is_full is set if it is a savepoint in its own directory, which is
 * whole by itself, and else cleared. */
void crn_record_finish(struct crn_record *record);

/* validate.c, rules.c, rules_file.c, slices.c: every rule that a record must meet, before it is
 * written and after it is read. 0, CAIRN_ECORRUPT with a message that names the place and the rule
 * of docs/format.md ("rule F4"), or CAIRN_ENOMEM. */
int crn_record_validate(const struct crn_record *record, cairn_error **reterr);
/* The rules for a part of a checkpoint or of a savepoint: what one of several processes adds to it
 * (manifest/cluster.h). It says what it is a part of (kind, id, epoch, is_full, base_id, format), and of each
 * operator it has at least one subtask. All rules for operators and what is below them hold, but
 * that every subtask is there. What places a record in a log it does not have: uuid, log_start,
 * previous hash, ids ahead, history, source, restored_id, reason, location. The job's name may be missing. */
int crn_record_validate_part(const struct crn_record *record, cairn_error **reterr);

/* encode.c, decode.c and frame.c: the object's bytes. `object` names it in errors. Encoding is
 * deterministic; it replaces what is in `out`. CAIRN_ECORRUPT: the record breaks a rule;
 * CAIRN_EINVAL: it would be larger than CRN_LIMIT_MANIFEST; CAIRN_ENOMEM. */
int crn_record_encode(const struct crn_record *record, struct cairn_buffer *out,
                      cairn_error **reterr);
/* CAIRN_ECORRUPT (frame, checksum or rules), CAIRN_EVERSION (checksum right, format or an
 * incompatible feature bit unknown), CAIRN_ENOMEM. */
int crn_record_decode(const char *object, const void *data, size_t size,
                      struct crn_record **ret_record, cairn_error **reterr);
/* The same for parts. */
int crn_record_encode_part(const struct crn_record *record, struct cairn_buffer *out,
                           cairn_error **reterr);
int crn_record_decode_part(const char *object, const void *data, size_t size,
                           struct crn_record **ret_record, cairn_error **reterr);

/* names.c: keys below a job's prefix. */
enum crn_key_type {
    CRN_KEY_MANIFEST, /* MANIFEST-chk<id> */
    CRN_KEY_OBJECT, /* shared/e<epoch>-c<id>-<n>[.ext], chk-<id>/e<epoch>-c<id>-<n>[-name]; a pack's
                       end in .pack */
    CRN_KEY_MARK,   /* CLAIMED or DISPOSING, in a savepoint's directory */
    CRN_KEY_POST,     /* cluster/e<epoch>/post-<number>: manifest/cluster.h */
    CRN_KEY_MAIL,     /* cluster/e<epoch>/mail-<worker>-<number> */
    CRN_KEY_FOREIGN /* not ours: never touched */
};
struct crn_key_info {
    enum crn_key_type type;
    uint64_t id; /* of the manifest, or of the checkpoint that uploaded the object */
    uint64_t epoch;
    uint64_t number;
    bool shared;
    bool pack; /* holds several files */
    uint8_t worker[16]; /* of a mail */
};
/* Only canonical spellings are ours: no leading zeros, no overflow. */
struct crn_key_info crn_key_parse(const char *key);
/* Buffers of CRN_KEY_MAX bytes. name: the local file's, for its suffix, or CRN_PACK_NAME. */
#define CRN_KEY_MAX 160
#define CRN_PACK_NAME "files.pack"
#define CRN_MARK_CLAIMED "CLAIMED"     /* a job is taking the snapshot over: docs/format.md */
#define CRN_MARK_DISPOSING "DISPOSING" /* the savepoint is being removed */
void crn_key_manifest(char out[CRN_KEY_MAX], uint64_t id);
void crn_key_object(char out[CRN_KEY_MAX], bool shared, uint64_t epoch, uint64_t id,
                    uint64_t number, const char *name);

/* diff.c: which captured files does the base already store? Identity is the file number within the
 * same local database, with name, size, sequence numbers, key range and (if both know it) crc32c as
 * further witnesses: a mismatch of any makes the file new. The level is no witness: a file may move
 * without being rewritten. The base is a confirmed subtask part whose files the local database was
 * restored from or wrote itself; NULL: everything is new.
 * For each of `count` captured tables ret_base[i] is the base's file to reference, or NULL: upload.
 * 0, or CAIRN_ENOMEM and then every ret_base[i] is NULL. */
int crn_diff_tables(const struct crn_subtask *base, const struct crn_file *captured, size_t count,
                    const struct crn_file **ret_base);

/* log.c: the rules of the log, all pure. */

/* What an id found to be taken means for a writer that tried to commit `mine` there. */
enum crn_collision {
    CRN_COLLISION_MINE,    /* same uuid: an earlier try of this very record was applied */
    CRN_COLLISION_FENCED,  /* an incarnation with a higher epoch has it: stop */
    CRN_COLLISION_ABORTED, /* same epoch, aborted by maintenance: this attempt is over, go on */
    CRN_COLLISION_STALE    /* anything else, e.g. a lower epoch at an id above ours: log is not what
                              this writer believes; stop as if fenced */
};
enum crn_collision crn_log_judge_collision(const struct crn_record *mine,
                                           const struct crn_record *found);

/* Lowest id that the log needs once `record` (id = head + 1) is committed: the oldest of the newest
 * `num_retained` complete checkpoints, counting the record itself if it is a checkpoint. `ids` are
 * the ids of complete checkpoints in the log, ascending. Never above what keeps one checkpoint:
 * with none at all the old log_start stays. */
uint64_t crn_log_next_start(const uint64_t *ids, size_t count, uint64_t old_start,
                            uint64_t new_checkpoint_id, uint32_t num_retained);
/* The same for a new record `id` that is no checkpoint, given how many records of the log are
 * complete checkpoints, how many cannot be read, so that they might be, and the newest that points
 * to a savepoint with which the job was stopped; 0: none. */
uint64_t crn_log_next_start_without(size_t checkpoint_count, size_t unreadable_count,
                                    uint64_t stop_id, uint64_t old_start, uint64_t id);

/* Fill record->history for a record that follows `head` (NULL: none): head's history, head itself,
 * the oldest dropped above CRN_LIMIT_HISTORY. 0 or CAIRN_ENOMEM. */
int crn_log_extend_history(struct crn_record *record, const struct crn_record *head);

/* What garbage collection may do with a key, given the log's head, its highest epoch and the sorted
 * set of live keys. A manifest below log_start is dead: no reader looks at it any more. One above
 * the head is a manifest: it is newer than what the caller read. What processes of the job tell one
 * another is in use by those of the present epoch; posts of the one before it are, too: there its
 * workers learn that they have been replaced. */
cairn_object_status crn_log_classify(const char *key, uint64_t head_id, uint64_t epoch,
                                     uint64_t log_start, const char *const *live_sorted,
                                     size_t live_count);

/* Objects (not inlined) that a record references; pointers into the record, sorted bytewise and
 * unique across all given records. *ret is malloc'ed. */
int crn_log_live_objects(const struct crn_record *const *records, size_t count,
                         const char ***ret_live, size_t *ret_count);

#endif
