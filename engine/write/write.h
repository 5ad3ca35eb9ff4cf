/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_WRITE_H
#define CRN_ENGINE_WRITE_H

#include "backends/state/state.h"
#include "base/thread.h"
#include "cairn/store.h"
#include "cairn/writer.h"
#include "engine/inspect/snapshot.h"
#include "engine/states/operator_state.h"

/*
 * A savepoint in the making, what the files of engine/write/ share:
 *
 *   writer.c     open, close, find
 *   operators.c  operators and states: added, removed, renamed
 *   entries.c    put and remove
 *   scratch.c    an operator's scratch database, its operator state, and change of key groups
 *   commit.c     the record and the order of things
 *   produce.c    the files of one subtask
 *   output.c     files become objects
 */

struct crn_writer_state {
    cairn_state_info info; /* a deep copy */
    char *scratch_name;    /* keyed: in the scratch database. Differs from the name if another state
                              had the name before, and was removed */
    struct crn_state *handle; /* keyed: in the scratch database; NULL: not open there */
    uint64_t dealt;           /* elements put into a split operator list */
};

struct crn_writer_operator {
    char *uid;
    char *name;
    uint32_t parallelism;
    uint32_t max_parallelism;        /* of the keys in the scratch database and the base */
    uint32_t target_max_parallelism; /* of the savepoint */
    cairn_type key_type, namespace_type;
    struct crn_writer_state *states;
    size_t state_count, state_capacity;

    const struct crn_operator *base; /* in the snapshot; NULL: new */
    bool keyed_changed;              /* keyed state is not what the base's files hold */
    bool lists_changed;              /* operator state is not */
    bool has_removed;                /* the scratch database holds states that are none any more */

    uint64_t ordinal;        /* unique in the writer: names things */
    char *directory;         /* in the scratch directory; NULL: there is nothing yet */
    struct crn_state_db *db; /* over all key groups; NULL: not open */
    uint64_t put_bytes;
    struct crn_operator_states **parts; /* operator state by subtask; NULL: not loaded */
};

struct cairn_writer {
    cairn_snapshot *base; /* borrowed; NULL: none */
    char *job;
    char *scratch; /* our own directory */
    cairn_memory *memory;
    uint64_t memtable_bytes;
    cairn_progress_fn progress;
    void *progress_context;
    struct crn_writer_operator **operators;
    size_t operator_count, operator_capacity;
    uint64_t next_ordinal;
    bool is_committed; /* or it was tried */
    struct cairn_buffer key, value, tagged;
};

static inline bool crn_kind_is_keyed(cairn_state_kind kind)
{
    return kind < CAIRN_KIND_OPERATOR_LIST;
}

/* writer.c. CAIRN_EINVAL, CAIRN_ECLOSED: what every public call begins with. */
int crn_writer_check(const cairn_writer *writer, cairn_error **reterr);
int crn_writer_find(cairn_writer *writer, const char *uid, struct crn_writer_operator **ret,
                    cairn_error **reterr);
int crn_writer_find_state(struct crn_writer_operator *op, const char *name,
                          struct crn_writer_state **ret, cairn_error **reterr);
/* Adds an empty one. NULL: out of memory. */
struct crn_writer_operator *crn_writer_new_operator(cairn_writer *writer, const char *uid,
                                                    const char *name);
/* Takes over what `info` says; the scratch name is set. */
int crn_writer_append_state(struct crn_writer_operator *op, const cairn_state_info *info,
                            cairn_error **reterr);
void crn_writer_state_done(struct crn_writer_state *state);
void crn_writer_operator_free(struct crn_writer_operator *op);
/* CAIRN_ECANCELED if the caller wants no more. */
int crn_writer_tell(const cairn_writer *writer, uint64_t done_bytes, uint64_t total_bytes,
                    cairn_error **reterr);

/* scratch.c */
int crn_scratch_open(cairn_writer *writer, struct crn_writer_operator *op, cairn_error **reterr);
/* The state in the open scratch database. */
int crn_scratch_open_state(struct crn_writer_operator *op, struct crn_writer_state *state,
                           cairn_error **reterr);
/* What a scratch database is opened with, but for directory and key groups. */
struct crn_state_config crn_scratch_config(const cairn_writer *writer);
/* Closes the database, and removes what it had on disk. */
void crn_scratch_drop(struct crn_writer_operator *op);
int crn_scratch_load_lists(cairn_writer *writer, struct crn_writer_operator *op,
                           cairn_error **reterr);

/* A commit. */
struct crn_commit {
    cairn_writer *writer;
    cairn_store *store;
    const char *name;
    uint64_t id;
    cairn_savepoint_format format;
    struct crn_record *record;
    struct crn_mutex lock;
    /* guarded by lock */
    char **keys; /* of objects that may exist, relative to the directory */
    size_t key_count, key_capacity;
    uint64_t next_object;
    size_t running; /* units of work that have not ended */
    struct crn_cond ended;
    int code; /* of the first unit that failed */
    cairn_error *error;
    /* atomic */
    atomic_bool cancelled;
    atomic_uint_fast64_t done_bytes;
    uint64_t total_bytes;
};

/* commit.c. Tells how far it is. CAIRN_ECANCELED if the caller wants no more. */
int crn_commit_tell(struct crn_commit *commit, cairn_error **reterr);

/* scratch.c. Leaves in the scratch database only the operator's states, under their own names, and
 * with keys of the target's key groups. */
int crn_scratch_rebuild(struct crn_commit *commit, struct crn_writer_operator *op,
                        cairn_error **reterr);

/* output.c. Any thread. `file` has role, name, size and what is known of sums; it gets the rest. */
int crn_output_file(struct crn_commit *commit, const char *path, struct crn_file *file,
                    cairn_error **reterr);
/* A file of the base, as it is. `directory` is for bytes that have to take the long way. */
int crn_output_copy(struct crn_commit *commit, const struct crn_file *from, const char *directory,
                    struct crn_file *to, cairn_error **reterr);
/* Removes all objects that may exist; those that cannot be removed stay. When no thread puts any
 * more. */
void crn_output_remove(struct crn_commit *commit);

/* produce.c. One subtask of an operator; these run in parallel for the subtasks of one. */
struct crn_produce {
    struct crn_commit *commit;
    struct crn_writer_operator *op;
    const struct crn_operator *described; /* in the record */
    struct crn_subtask *subtask;          /* the part of it that is to be filled */
    struct crn_state_snapshot
        *snapshot;               /* of op->db; NULL: keyed files are copied, or there are none */
    bool copy_keyed, copy_lists; /* from the base */
    bool capture_directly;       /* native: op->db is what the subtask needs */
    char *directory;             /* its own, in the scratch directory */
};
int crn_produce_subtask(struct crn_produce *produce, cairn_error **reterr);

#endif
