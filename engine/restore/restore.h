/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_RESTORE_H
#define CRN_ENGINE_RESTORE_H

#include "backends/state/canonical.h"
#include "backends/state/state.h"
#include "cairn/store.h"
#include "engine/transfer/downloads.h"
#include "manifest/manifest.h"

/*
 * From the stored subtasks of an operator to one database that holds a range of its key groups:
 * what cairn_task_open() and cairn_writer_open() have in common.
 *
 *   native, same range        files are linked or fetched, and opened
 *   native, other ranges      the backend assembles one database of the files (links); what it
 * cannot take is scanned, and its entries are loaded canonical                 the ranges wanted
 * are read from the store, and loaded, in parallel
 */
struct crn_restore_request {
    cairn_store *store;
    const char *prefix; /* of the objects' keys: a job's or a savepoint directory's name */
    const struct crn_operator *op;
    const struct crn_state_backend *backend;
    struct crn_state_config config; /* directory, restored, states, max_parallelism and key groups
                                       are set by crn_restore_database() */
    uint32_t key_group_first, key_group_last;
    const char *directory;           /* exists, empty: gets db/, and source-<i>/ for a while */
    uint32_t threads;                /* 0: 4 */
    const atomic_bool *cancelled;    /* may be NULL */
    struct crn_downloads *downloads; /* limits, and where files are kept; may be NULL */
    cairn_progress_fn progress;      /* may be NULL */
    void *progress_context;
};
struct crn_restored {
    struct crn_state_db *db;
    struct crn_subtask
        *files;   /* see crn_task_runtime.restored_files; NULL: none of its files is stored */
    bool is_same; /* native, same range: nothing but links or copies */
    uint64_t bytes_read, bytes_loaded;
    uint64_t fetch_us; /* the time that native files took to come and be verified */
};
/* CAIRN_EUNSUPPORTED: native files of another backend. On failure the caller removes `directory`.
 */
int crn_restore_database(const struct crn_restore_request *request, struct crn_restored *ret,
                         cairn_error **reterr);

#endif
