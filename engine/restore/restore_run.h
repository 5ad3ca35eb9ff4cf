/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_RESTORE_RUN_H
#define CRN_ENGINE_RESTORE_RUN_H

#include "base/thread.h"
#include "engine/restore/plan.h"
#include "engine/restore/restore.h"
#include "engine/transfer/object_input.h"

/* One crn_restore_database() on its way: what database.c, from_native.c and from_canonical.c share.
 */

/* One native part, while it is not opened as it is. */
struct crn_native_source {
    const struct crn_restore_part *part;
    char *directory;
    const cairn_file_info **tables;
    const struct crn_file **table_files; /* the same, as the manifest has them */
    size_t table_count;
    bool must_load;
    struct crn_state_db *db; /* open while its entries are loaded */
    struct crn_state_snapshot *snapshot;
};

/* One canonical file of a part. */
struct crn_canonical_source {
    struct crn_object_input input;
    struct crn_canonical_reader *reader;
    uint32_t key_group_first, key_group_last; /* wanted of it */
    uint64_t bytes;                           /* stored, of these */
};

struct crn_restore_run {
    const struct crn_restore_request *request;
    struct crn_restore_plan plan;
    char *db_directory;
    cairn_state_info *keyed; /* the operator's keyed states; what they point to is the manifest's */
    size_t keyed_count;
    uint32_t threads;
    struct crn_native_source *native;
    size_t native_count;
    struct crn_canonical_source *canonical;
    size_t canonical_count;
    bool has_files; /* db_directory holds a database's files */
    bool needs_clip;
    struct crn_state_db *db; /* open, or being built */
    struct crn_subtask *files;
    uint64_t bytes_read, bytes_loaded;
    uint64_t fetch_us;
    uint64_t done_bytes, total_bytes; /* of progress */
};

int crn_restore_fetch(struct crn_restore_run *run, const struct crn_subtask *subtask,
                      const char *directory, cairn_error **reterr);
/* Tells progress; non-zero: cancel. */
int crn_restore_tick(void *context, uint64_t bytes);

/* from_native.c */
/* Fetches the native parts and puts their files together as far as they can be. */
int crn_native_prepare(struct crn_restore_run *run, cairn_error **reterr);
/* Entries of those that could not be taken as files, into the database. */
int crn_native_load(struct crn_restore_run *run, cairn_error **reterr);
void crn_native_done(struct crn_restore_run *run);
/* A table of the restored database that stands for a stored one. */
int crn_restore_add_file(struct crn_subtask *files, const struct crn_file *stored,
                         const struct crn_assembled_table *place, cairn_error **reterr);

/* from_canonical.c */
/* Opens the canonical files that are needed. */
int crn_canonical_prepare(struct crn_restore_run *run, cairn_error **reterr);
int crn_canonical_load(struct crn_restore_run *run, cairn_error **reterr);
void crn_canonical_done(struct crn_restore_run *run);

#endif
