/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where an operator's state is while a savepoint is made: keyed state in a scratch database over
 * all key groups, operator state in memory, a part for each subtask.
 *
 * Both are brought in from the base when they are first needed. Files of the base are linked where
 * that is possible, and the database never changes a file in place, so the base stays as it is.
 *
 * Nothing expires here: the scratch databases' clock stands at the beginning of time. What is dead
 * is for whoever reads the savepoint to say, with the expiry that it then has.
 *
 * Another number of key groups changes the beginning of every composite key and with it the order,
 * so all entries are written to a new database; what stands behind the key group, and the values
 * with their times and tags, stay as they are.
 */

#include "backends/state/keys.h"
#include "base/file.h"
#include "engine/restore/load.h"
#include "engine/restore/restore.h"
#include "engine/transfer/fetch.h"
#include "engine/write/write.h"
#include <string.h>

#define LOAD_THREADS 4u
#define ENTRIES_PER_TELL 4096u

static int64_t beginning_of_time(void *context)
{
    (void)context;
    return INT64_MIN;
}

struct crn_state_config crn_scratch_config(const cairn_writer *writer)
{
    return (struct crn_state_config){.memory = writer->memory,
                                     .memtable_bytes = writer->memtable_bytes,
                                     .now_ms = beginning_of_time};
}

/* ------------------------------------------------------------------------------------------ *
 * Open and drop
 * ------------------------------------------------------------------------------------------ */

static int restore_base(cairn_writer *writer, struct crn_writer_operator *op, cairn_error **reterr)
{
    struct crn_restore_request request = {.store = writer->base->store,
                                          .prefix = writer->base->job,
                                          .op = op->base,
                                          .backend = &crn_rocksdb_backend,
                                          .config = crn_scratch_config(writer),
                                          .key_group_first = 0,
                                          .key_group_last = op->max_parallelism - 1,
                                          .directory = op->directory,
                                          .progress = writer->progress,
                                          .progress_context = writer->progress_context};
    struct crn_restored restored = {0};
    CRN_TRY(crn_restore_database(&request, &restored, reterr));
    op->db = restored.db;
    if (restored.files != NULL)
        crn_subtask_done(restored.files); /* whose files these were does not matter here */
    free(restored.files);
    return 0;
}

/* An empty database in the new directory `directory`. */
static int open_empty(const cairn_writer *writer, const char *directory, uint32_t max_parallelism,
                      struct crn_state_db **ret, cairn_error **reterr)
{
    struct crn_state_config config = crn_scratch_config(writer);
    config.directory = directory;
    config.max_parallelism = max_parallelism;
    config.key_group_last = max_parallelism - 1;
    CRN_TRY(crn_file_make_dirs(directory, reterr));
    return crn_rocksdb_backend.open(&config, ret, reterr);
}

static int open_new(cairn_writer *writer, struct crn_writer_operator *op, cairn_error **reterr)
{
    CRN_AUTO_FREE char *directory = NULL;
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/db", op->directory));
    return open_empty(writer, directory, op->max_parallelism, &op->db, reterr);
}

int crn_scratch_open(cairn_writer *writer, struct crn_writer_operator *op, cairn_error **reterr)
{
    if (op->db != NULL)
        return 0;
    CRN_TRY(crn_str_printf(&op->directory, reterr, "%s/op-%llu", writer->scratch,
                           (unsigned long long)op->ordinal));
    int r = crn_file_make_dirs(op->directory, reterr);
    if (r == 0)
        r = op->base != NULL ? restore_base(writer, op, reterr) : open_new(writer, op, reterr);
    if (r < 0) {
        crn_scratch_drop(op);
        crn_err_prefix(reterr, "operator '%s'", op->uid);
    }
    return r;
}

int crn_scratch_open_state(struct crn_writer_operator *op, struct crn_writer_state *state,
                           cairn_error **reterr)
{
    if (state->handle != NULL)
        return 0;
    cairn_state_info info = state->info;
    info.name = state->scratch_name;
    return op->db->ops->open_state(op->db, &info, &state->handle, reterr);
}

static void forget_handles(struct crn_writer_operator *op)
{
    for (size_t i = 0; i < op->state_count; i++)
        op->states[i].handle = NULL;
}

void crn_scratch_drop(struct crn_writer_operator *op)
{
    forget_handles(op);
    if (op->db != NULL)
        op->db->ops->close(op->db);
    op->db = NULL;
    if (op->directory != NULL)
        (void)crn_file_remove_tree(op->directory, NULL); /* closing the writer tries once more */
    free(CRN_TAKE(op->directory));
}

/* ------------------------------------------------------------------------------------------ *
 * Operator state
 * ------------------------------------------------------------------------------------------ */

static int load_part(const cairn_writer *writer, const struct crn_subtask *subtask,
                     struct crn_operator_states *states, cairn_error **reterr)
{
    for (size_t i = 0; i < subtask->file_count; i++) {
        CRN_AUTO_BUFFER struct cairn_buffer blob = {0};
        if (subtask->files[i].info.role != CAIRN_FILE_OPERATOR_STATE)
            continue;
        CRN_TRY(crn_fetch_bytes(writer->base->store, writer->base->job, &subtask->files[i], NULL,
                                &blob, reterr));
        CRN_TRY(crn_operator_states_restore(states, &blob, 1, 0, 1, reterr)); /* all of it */
    }
    return 0;
}

static void free_parts(struct crn_operator_states **parts, uint32_t count)
{
    for (uint32_t i = 0; parts != NULL && i < count; i++)
        crn_operator_states_free(parts[i]);
    free(parts);
}

int crn_scratch_load_lists(cairn_writer *writer, struct crn_writer_operator *op,
                           cairn_error **reterr)
{
    if (op->parts != NULL)
        return 0;
    struct crn_operator_states **parts = calloc(op->parallelism, sizeof *parts);
    int r = parts == NULL ? crn_err_nomem(reterr) : 0;
    for (uint32_t i = 0; r == 0 && i < op->parallelism; i++) {
        r = crn_operator_states_new(&parts[i], reterr);
        if (r == 0 && op->base != NULL)
            r = load_part(writer, &op->base->subtasks[i], parts[i], reterr);
    }
    if (r < 0) {
        free_parts(parts, op->parallelism);
        crn_err_prefix(reterr, "operator '%s'", op->uid);
        return r;
    }
    op->parts = parts;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Rebuild
 * ------------------------------------------------------------------------------------------ */

struct rebuild {
    struct crn_commit *commit;
    struct crn_writer_operator *op;
    struct crn_state_db *db; /* the new one */
    struct crn_state_snapshot *snapshot;
    struct cairn_buffer key;
};

/* The key group anew; the rest as it is. */
static int change_key(struct rebuild *rebuild, const uint8_t *key, size_t size,
                      cairn_error **reterr)
{
    const struct crn_writer_operator *op = rebuild->op;
    struct crn_key_parts parts;
    size_t skip = op->max_parallelism <= 128 ? 1 : 2;
    if (!crn_key_split(key, size, op->max_parallelism, &parts))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, op->uid,
                            "operator '%s' has a key that cannot be decoded", op->uid);
    uint32_t group = crn_key_group_of(parts.key, parts.key_size, op->target_max_parallelism);
    crn_buf_clear(&rebuild->key);
    int r = op->target_max_parallelism <= 128 ? crn_buf_append_u8(&rebuild->key, (uint8_t)group)
                                              : crn_buf_append_be16(&rebuild->key, (uint16_t)group);
    if (r < 0 || crn_buf_append(&rebuild->key, key + skip, size - skip) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int copy_entries(struct rebuild *rebuild, struct crn_state_iterator *iterator,
                        struct crn_state *to, cairn_error **reterr)
{
    const struct crn_state_ops *ops = rebuild->db->ops;
    const uint8_t *key, *value;
    size_t key_size, value_size;
    int r;
    for (uint64_t n = 1;
         (r = ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0; n++) {
        CRN_TRY(change_key(rebuild, key, key_size, reterr));
        CRN_TRY(ops->put(rebuild->db, to, rebuild->key.data, rebuild->key.size, value, value_size,
                         reterr));
        if (n % ENTRIES_PER_TELL == 0)
            CRN_TRY(crn_commit_tell(rebuild->commit, reterr));
    }
    return r;
}

static int change_keys(struct rebuild *rebuild, struct crn_state *from, struct crn_state *to,
                       cairn_error **reterr)
{
    static const struct crn_state_range everything = {0};
    const struct crn_state_ops *ops = rebuild->op->db->ops;
    struct crn_state_iterator *iterator;
    CRN_TRY(ops->scan(rebuild->snapshot, from, &everything, &iterator, reterr));
    int r = copy_entries(rebuild, iterator, to, reterr);
    ops->end(iterator);
    return r;
}

static int tick(void *context, uint64_t bytes)
{
    (void)bytes; /* of a database that is not the last one yet */
    return crn_commit_tell(context, NULL);
}

/* The order of keys stays: entries can be loaded. */
static int load_state(struct rebuild *rebuild, struct crn_state *from, struct crn_state *to,
                      cairn_error **reterr)
{
    struct crn_load_unit unit = {.ops = rebuild->op->db->ops,
                                 .snapshot = rebuild->snapshot,
                                 .from = from,
                                 .to = to,
                                 .key_group_last = rebuild->op->max_parallelism - 1};
    struct crn_load load = {.db = rebuild->db,
                            .units = &unit,
                            .count = 1,
                            .max_parallelism = rebuild->op->max_parallelism,
                            .threads = LOAD_THREADS,
                            .tick = tick,
                            .tick_context = rebuild->commit};
    uint64_t bytes;
    return crn_load_run(&load, &bytes, reterr);
}

static int rebuild_state(struct rebuild *rebuild, struct crn_writer_state *state,
                         cairn_error **reterr)
{
    const struct crn_writer_operator *op = rebuild->op;
    struct crn_state *from = op->db->ops->find_state(op->db, state->scratch_name);
    struct crn_state *to;
    CRN_TRY(rebuild->db->ops->open_state(rebuild->db, &state->info, &to, reterr));
    if (from == NULL) /* nothing was ever put */
        return 0;
    return op->max_parallelism == op->target_max_parallelism
               ? load_state(rebuild, from, to, reterr)
               : change_keys(rebuild, from, to, reterr);
}

static int rebuild_states(struct rebuild *rebuild, cairn_error **reterr)
{
    struct crn_writer_operator *op = rebuild->op;
    CRN_TRY(op->db->ops->snapshot(op->db, &rebuild->snapshot, reterr));
    int r = 0;
    for (size_t i = 0; r == 0 && i < op->state_count; i++) {
        if (crn_kind_is_keyed(op->states[i].info.kind))
            r = rebuild_state(rebuild, &op->states[i], reterr);
    }
    op->db->ops->release_snapshot(rebuild->snapshot);
    crn_buf_done(&rebuild->key);
    return r;
}

static int take_names(struct crn_writer_operator *op, cairn_error **reterr)
{
    for (size_t i = 0; i < op->state_count; i++) {
        char *name = strdup(op->states[i].info.name);
        if (name == NULL)
            return crn_err_nomem(reterr);
        free(op->states[i].scratch_name);
        op->states[i].scratch_name = name;
    }
    return 0;
}

int crn_scratch_rebuild(struct crn_commit *commit, struct crn_writer_operator *op,
                        cairn_error **reterr)
{
    struct rebuild rebuild = {.commit = commit, .op = op};
    CRN_AUTO_FREE char *directory = NULL;
    CRN_TRY(crn_str_printf(&directory, reterr, "%s/op-%llu", commit->writer->scratch,
                           (unsigned long long)commit->writer->next_ordinal++));
    int r = open_empty(commit->writer, directory, op->target_max_parallelism, &rebuild.db, reterr);
    if (r == 0)
        r = rebuild_states(&rebuild, reterr);
    if (r == 0)
        r = take_names(op, reterr);
    if (r < 0) {
        if (rebuild.db != NULL)
            rebuild.db->ops->close(rebuild.db);
        (void)crn_file_remove_tree(directory, NULL); /* closing the writer tries once more */
        return r;
    }
    crn_scratch_drop(op);
    op->directory = CRN_TAKE(directory);
    op->db = rebuild.db;
    op->max_parallelism = op->target_max_parallelism;
    op->has_removed = false;
    return 0;
}
