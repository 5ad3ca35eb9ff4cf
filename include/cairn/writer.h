/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_WRITER_H
#define CAIRN_WRITER_H

/*
 * New savepoints from nothing, or from any snapshot: put, change and drop entries, remove and rename
 * operators, change the number of key groups, convert between formats. Cairn's answer to Flink's state
 * processor; reading is cairn_cat_open() in inspect.h.
 *
 * A writer is a savepoint in the making. Its entries are kept in a scratch directory on disk, so memory
 * stays bounded whatever the state's size; what it starts from is not changed, and files are linked from
 * it where that is possible. Nothing exists at the target before cairn_writer_commit(), and the savepoint
 * is complete when that returns 0. Records in flight (gate.h) of a base that is an unaligned checkpoint stay
 * with their operator: the only savepoints that have some are made so.
 *
 * After cairn_writer_commit() every call but cairn_writer_close() gives CAIRN_ECLOSED. Any call that needs
 * what is stored of an operator may give what reading the base gives: CAIRN_ECORRUPT, CAIRN_EMISSING, its
 * store's errors, and CAIRN_ECANCELED.
 *
 * A handle is used by one thread at a time. What cairn.h says of errors, NULL and options holds here.
 */

#include "cairn/inspect.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cairn_writer cairn_writer;

typedef struct cairn_writer_options {
    uint32_t struct_size;
    const char *job;           /* whose savepoint it is to be; NULL: the base's, or "job" */
    const char *scratch_dir;   /* NULL: $TMPDIR or /tmp. Best on the base's file system: files are linked */
    uint64_t memory_bytes;     /* for the scratch databases; 0: 64 MiB; at least 8 MiB */
    cairn_progress_fn progress; /* of taking over the base, and of committing; NULL: none */
    void *progress_context;
} cairn_writer_options;
#define CAIRN_WRITER_OPTIONS_INIT {sizeof(cairn_writer_options), 0, 0, 0, 0, 0}

/** Begin. @param base  a checkpoint or savepoint, whose operators and entries are taken over; must stay
 * open until the writer is closed. NULL: begin with nothing.
 * @return 0, CAIRN_EINVAL, CAIRN_EUNSUPPORTED (native files of a backend that this library does not have),
 * or an error of scratch_dir.
 * @crash a directory "cairn-writer-*" is left in scratch_dir. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_open(cairn_snapshot *base,
                                                 const cairn_writer_options *options,
                                                 cairn_writer **ret_writer, cairn_error **reterr);
/** Removes the scratch directory. NULL is fine. */
CAIRN_API void cairn_writer_close(cairn_writer *writer);

typedef struct cairn_writer_operator {
    uint32_t struct_size;
    const char *name;         /* for people; NULL: the uid */
    uint32_t parallelism;     /* how the files are divided; 0: 1. A service may use any other */
    uint32_t max_parallelism; /* 0: as cairn_task_options has it */
    cairn_type key_type;
    cairn_type namespace_type;
} cairn_writer_operator;
#define CAIRN_WRITER_OPERATOR_INIT {sizeof(cairn_writer_operator), 0, 0, 0, (cairn_type)0, (cairn_type)0}
/** @return 0, CAIRN_EEXIST, CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_add_operator(cairn_writer *writer, const char *uid,
                                                         const cairn_writer_operator *options,
                                                         cairn_error **reterr);
/** @return 0, CAIRN_ENOTFOUND, CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_remove_operator(cairn_writer *writer, const char *uid,
                                                            cairn_error **reterr);
/** @return 0, CAIRN_ENOTFOUND, CAIRN_EEXIST, CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_rename_operator(cairn_writer *writer, const char *uid,
                                                            const char *new_uid, cairn_error **reterr);
/** Change the number of key groups: every key is given its new group when the writer commits.
 * @return 0, CAIRN_ENOTFOUND, CAIRN_EINVAL (not within the operator's parallelism and 32,768). */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_set_max_parallelism(cairn_writer *writer, const char *uid,
                                                                uint32_t max_parallelism,
                                                                cairn_error **reterr);

/** Add a keyed or operator state. Of `info` the name, kind, types and ttl_ms count; values of a type with
 * schemas need `serializer`, else NULL.
 * @return 0, CAIRN_ENOTFOUND (operator), CAIRN_EEXIST, CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_add_state(cairn_writer *writer, const char *uid,
                                                      const cairn_state_info *info,
                                                      const cairn_serializer *serializer,
                                                      cairn_error **reterr);
/** Remove a keyed or operator state with all its entries.
 * @return 0, CAIRN_ENOTFOUND (operator or state), CAIRN_EINVAL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_remove_state(cairn_writer *writer, const char *uid,
                                                         const char *state, cairn_error **reterr);

/** Put an entry: of a value, reducing, aggregating or map state it replaces what is there, of a list it is
 * one more element at the end. Of a list's entry the value counts beside key and namespace. Values of a
 * type with schemas are taken to be in the present schema. Elements of operator lists are put the same way,
 * of split ones in turn into each subtask's part, of unions into the first's; entries of broadcast maps into
 * every subtask's.
 * @param written_ms  for states with expiry: the time of the entry's last write; -1: now.
 * @return 0, CAIRN_ENOTFOUND (operator or state), CAIRN_EINVAL (bytes that do not fit a type or limit),
 * CAIRN_ENOSPC, CAIRN_EIO. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_put(cairn_writer *writer, const char *uid,
                                                const char *state, const cairn_entry *entry,
                                                int64_t written_ms, cairn_error **reterr);
/** Remove the entry of a key, namespace and (maps) map key; of a list the whole list. Of an operator list
 * all elements of every subtask, of a broadcast map the entry of that key. What is not there is removed
 * successfully.
 * @return as cairn_writer_put(). */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_remove(cairn_writer *writer, const char *uid,
                                                   const char *state, const cairn_entry *entry,
                                                   cairn_error **reterr);

typedef struct cairn_commit_options {
    uint32_t struct_size;
    cairn_savepoint_format format;
    const char *name; /* of the directory to make; NULL: "savepoint-<job>-<id>" */
    uint64_t id;      /* 0: the base's, else 1 */
} cairn_commit_options;
#define CAIRN_COMMIT_OPTIONS_INIT {sizeof(cairn_commit_options), (cairn_savepoint_format)0, 0, 0}
/** Write the savepoint into a directory of `store`. Once only; then the writer can only be closed. (After
 * CAIRN_EINVAL and CAIRN_EEXIST, which are found out first, it may be called again.)
 * @return 0 and *ret_name (may be NULL; the directory's name in the store, to be released with free()),
 * CAIRN_EEXIST (there is something of that name), CAIRN_EINVAL, CAIRN_ECANCELED, or the store's or
 * scratch_dir's error: then nothing is left at the target, or only objects without a manifest, if
 * they could not be removed; but after CAIRN_EUNKNOWN the savepoint may be there, whole.
 * @crash as after a failure. */
CAIRN_API CAIRN_MUST_CHECK int cairn_writer_commit(cairn_writer *writer, cairn_store *store,
                                                   const cairn_commit_options *options,
                                                   char **ret_name, cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
