/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The files of one subtask of a new savepoint. Keyed state is, in this order of preference: copied
 * from the base; captured out of the scratch database, if that is just this subtask's and native
 * files are wanted; or read from a snapshot of it, into a canonical file or into a database of the
 * subtask's own, which is captured.
 *
 * Runs in a thread of the commit's pool, several at once. Everything local is in a directory of its
 * own, which goes at the end.
 */

#include "backends/state/canonical.h"
#include "base/file.h"
#include "engine/restore/load.h"
#include "engine/write/write.h"
#include <inttypes.h>
#include <string.h>

static struct crn_file *add_file(struct crn_produce *produce, cairn_file_role role,
                                 const char *name, uint64_t size, cairn_error **reterr)
{
    struct crn_file *file = crn_subtask_add_file(produce->subtask);
    if (file == NULL || crn_record_set_text(&file->info.name, name) < 0) {
        (void)crn_err_nomem(reterr);
        return NULL;
    }
    file->info.role = role;
    file->info.size = size;
    return file;
}

/* Index of a table's state in the record. */
static int find_state(const struct crn_produce *produce, const char *name, uint32_t *ret,
                      cairn_error **reterr)
{
    const struct crn_operator *described = produce->described;
    for (size_t i = 0; i < described->state_count; i++) {
        if (crn_kind_is_keyed(described->states[i].kind) &&
            strcmp(described->states[i].name, name) == 0) {
            *ret = (uint32_t)i;
            return 0;
        }
    }
    return crn_err_fail(reterr, CAIRN_EINTERNAL, name, "a table of state '%s', which is none",
                        name);
}

/* ------------------------------------------------------------------------------------------ *
 * From the base
 * ------------------------------------------------------------------------------------------ */

/* Records in flight belong to the stream, whatever becomes of the state. */
static bool is_wanted(const struct crn_produce *produce, const struct crn_file *file)
{
    if (crn_file_is_keyed(file))
        return produce->copy_keyed;
    return file->info.role == CAIRN_FILE_IN_FLIGHT || produce->copy_lists;
}

static int copy_files(struct crn_produce *produce, cairn_error **reterr)
{
    const struct crn_operator *base = produce->op->base;
    if (base == NULL)
        return 0;
    const struct crn_subtask *from = &base->subtasks[produce->subtask->info.index];
    cairn_subtask_info *info = &produce->subtask->info;
    if (produce->copy_keyed) {
        memcpy(info->generation, from->info.generation, sizeof info->generation);
        info->sequence = from->info.sequence;
    }
    for (size_t i = 0; i < from->file_count; i++) {
        const struct crn_file *file = &from->files[i];
        if (!is_wanted(produce, file))
            continue;
        struct crn_file *to = crn_subtask_add_file(produce->subtask);
        if (to == NULL)
            return crn_err_nomem(reterr);
        CRN_TRY(crn_output_copy(produce->commit, file, produce->directory, to, reterr));
        if (file->info.role == CAIRN_FILE_IN_FLIGHT)
            info->in_flight_bytes = from->info.in_flight_bytes;
        if (file->info.role == CAIRN_FILE_TABLE)
            CRN_TRY(find_state(produce, base->states[file->state].name, &to->state, reterr));
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Canonical
 * ------------------------------------------------------------------------------------------ */

static int write_canonical(struct crn_produce *produce, cairn_error **reterr)
{
    const struct crn_operator *described = produce->described;
    const cairn_subtask_info *info = &produce->subtask->info;
    CRN_AUTO_FREE const char **names = calloc(described->state_count + 1, sizeof *names);
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_FREE char *name = NULL;
    struct crn_canonical_summary summary;
    size_t count = 0;
    if (names == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < described->state_count; i++) {
        if (crn_kind_is_keyed(described->states[i].kind))
            names[count++] = described->states[i].name;
    }
    CRN_TRY(crn_str_printf(&name, reterr, "state-%" PRIu32 "-%" PRIu32 ".canonical",
                           info->key_group_first, info->key_group_last));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", produce->directory, name));
    struct crn_canonical_dump dump = {.db = produce->op->db,
                                      .snapshot = produce->snapshot,
                                      .header = {.max_parallelism = described->info.max_parallelism,
                                                 .key_group_first = info->key_group_first,
                                                 .key_group_last = info->key_group_last,
                                                 .states = names,
                                                 .state_count = count},
                                      .path = path,
                                      .cancelled = &produce->commit->cancelled};
    CRN_TRY(crn_canonical_write(&dump, &summary, reterr));
    struct crn_file *file = add_file(produce, CAIRN_FILE_CANONICAL, name, summary.size, reterr);
    if (file == NULL)
        return CAIRN_ENOMEM;
    file->info.has_xxh3 = file->info.has_crc32c = 1;
    memcpy(file->info.xxh3, summary.xxh3.bytes, sizeof file->info.xxh3);
    file->info.crc32c = summary.crc32c;
    file->info.key_group_first = info->key_group_first;
    file->info.key_group_last = info->key_group_last;
    file->info.entry_count = summary.entry_count;
    file->info.has_identity = 1;
    memcpy(file->info.identity, summary.identity, sizeof file->info.identity);
    return crn_output_file(produce->commit, path, file, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Native
 * ------------------------------------------------------------------------------------------ */

static int take_captured(struct crn_produce *produce, const char *directory,
                         struct crn_capture *capture, cairn_error **reterr)
{
    cairn_subtask_info *info = &produce->subtask->info;
    info->flush_us = capture->flush_us;
    info->capture_us = capture->capture_us;
    for (size_t i = 0; i < capture->count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        struct crn_file *file = crn_subtask_add_file(produce->subtask);
        if (file == NULL)
            return crn_err_nomem(reterr);
        file->info = capture->files[i].info; /* strings move, too */
        memset(&capture->files[i].info, 0, sizeof capture->files[i].info);
        if (file->info.role == CAIRN_FILE_TABLE)
            CRN_TRY(find_state(produce, file->info.state, &file->state, reterr));
        CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", directory, file->info.name));
        CRN_TRY(crn_output_file(produce->commit, path, file, reterr));
    }
    return 0;
}

static int capture(struct crn_produce *produce, struct crn_state_db *db, cairn_error **reterr)
{
    CRN_AUTO_FREE char *directory = NULL;
    struct crn_capture captured = {0};
    struct crn_barrier barrier;
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/capture", produce->directory));
    CRN_TRY(db->ops->barrier(db, &barrier, reterr));
    produce->subtask->info.sequence = barrier.sequence;
    crn_random_bytes(produce->subtask->info.generation, sizeof produce->subtask->info.generation);
    int r =
        db->ops->capture(db, &barrier, directory, &produce->commit->cancelled, &captured, reterr);
    db->ops->release(db);
    if (r == 0)
        r = take_captured(produce, directory, &captured, reterr);
    crn_capture_done(&captured);
    return r;
}

static int tick(void *context, uint64_t bytes)
{
    const struct crn_commit *commit = context;
    (void)bytes; /* what counts is what comes out */
    return atomic_load(&commit->cancelled);
}

/* All entries of the subtask's key groups into its own database. */
static int load_entries(const struct crn_produce *produce, struct crn_state_db *db,
                        cairn_error **reterr)
{
    const struct crn_writer_operator *op = produce->op;
    const cairn_subtask_info *info = &produce->subtask->info;
    CRN_AUTO_FREE struct crn_load_unit *units = calloc(op->state_count + 1, sizeof *units);
    struct crn_load load = {.db = db,
                            .units = units,
                            .max_parallelism = op->max_parallelism,
                            .threads = 1, /* other subtasks have theirs */
                            .cancelled = &produce->commit->cancelled,
                            .tick = tick,
                            .tick_context = produce->commit};
    uint64_t bytes;
    if (units == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < op->state_count; i++) {
        const struct crn_writer_state *state = &op->states[i];
        if (!crn_kind_is_keyed(state->info.kind))
            continue;
        struct crn_load_unit *unit = &units[load.count];
        CRN_TRY(db->ops->open_state(db, &state->info, &unit->to, reterr));
        unit->from = op->db->ops->find_state(op->db, state->scratch_name);
        unit->ops = op->db->ops;
        unit->snapshot = produce->snapshot;
        unit->key_group_first = info->key_group_first;
        unit->key_group_last = info->key_group_last;
        load.count += unit->from != NULL;
    }
    return load.count > 0 ? crn_load_run(&load, &bytes, reterr) : 0;
}

static int write_native(struct crn_produce *produce, cairn_error **reterr)
{
    const cairn_subtask_info *info = &produce->subtask->info;
    CRN_AUTO_FREE char *directory = NULL;
    struct crn_state_db *db;
    if (produce->capture_directly)
        return capture(produce, produce->op->db, reterr);
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/db", produce->directory));
    CRN_TRY(crn_file_make_dirs(directory, reterr));
    struct crn_state_config config = crn_scratch_config(produce->commit->writer);
    config.directory = directory;
    config.max_parallelism = produce->op->max_parallelism;
    config.key_group_first = info->key_group_first;
    config.key_group_last = info->key_group_last;
    CRN_TRY(crn_rocksdb_backend.open(&config, &db, reterr));
    int r = load_entries(produce, db, reterr);
    if (r == 0)
        r = capture(produce, db, reterr);
    db->ops->close(db);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * Operator state
 * ------------------------------------------------------------------------------------------ */

static int write_lists(struct crn_produce *produce, cairn_error **reterr)
{
    static const char name[] = "operator-state";
    const struct crn_operator_states *states = produce->op->parts[produce->subtask->info.index];
    CRN_AUTO_BUFFER struct cairn_buffer blob = {0};
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_operator_states_encode(states, &blob, reterr));
    if (blob.size == 0)
        return 0;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", produce->directory, name));
    CRN_TRY(crn_file_write_new(path, blob.data, blob.size, false, reterr));
    struct crn_file *file = add_file(produce, CAIRN_FILE_OPERATOR_STATE, name, blob.size, reterr);
    return file == NULL ? CAIRN_ENOMEM : crn_output_file(produce->commit, path, file, reterr);
}

int crn_produce_subtask(struct crn_produce *produce, cairn_error **reterr)
{
    uint64_t started_us = crn_now_us();
    bool has_database = produce->snapshot != NULL || produce->capture_directly;
    int r = crn_file_make_dirs(produce->directory, reterr);
    if (r == 0)
        r = copy_files(produce, reterr);
    if (r == 0 && has_database)
        r = produce->commit->format == CAIRN_CANONICAL ? write_canonical(produce, reterr)
                                                       : write_native(produce, reterr);
    if (r == 0 && !produce->copy_lists && produce->op->parts != NULL)
        r = write_lists(produce, reterr);
    (void)crn_file_remove_tree(produce->directory, NULL); /* closing the writer tries once more */
    produce->subtask->info.upload_us = crn_now_us() - started_us;
    if (r < 0)
        crn_err_prefix(reterr, "operator '%s' subtask %" PRIu32, produce->op->uid,
                       produce->subtask->info.index);
    return r;
}
