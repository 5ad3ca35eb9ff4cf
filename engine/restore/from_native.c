/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Native files of other ranges: those of each source in a directory of its own, then one database's
 * files of all of them, by links (the backend's assemble()). What cannot be taken as files is
 * opened read-only where it was fetched to, and its entries are loaded.
 *
 * A stored table may hold more than its subtask's key groups: what a rescale before left in it and
 * nothing has rewritten since. assemble() knows the subtask's range, and a scan is bounded by it,
 * so that nothing of it comes back to life (P2).
 *
 * source-<i>/ holds links or copies that nobody writes to; they go when their entries are loaded,
 * and on failure with the caller's directory.
 */
#include "engine/restore/restore_run.h"

#include "base/file.h"
#include "engine/restore/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Ranges of one source that are loaded at a time. */
#define UNITS_PER_STATE 8u

static void close_source(struct crn_native_source *source)
{
    if (source->snapshot != NULL)
        source->db->ops->release_snapshot(CRN_TAKE(source->snapshot));
    if (source->db != NULL) {
        const struct crn_state_ops *ops = source->db->ops;
        ops->close(CRN_TAKE(source->db));
    }
}

void crn_native_done(struct crn_restore_run *run)
{
    for (size_t i = 0; i < run->native_count; i++) {
        close_source(&run->native[i]);
        free(run->native[i].directory);
        free(run->native[i].tables);
        free(run->native[i].table_files);
    }
    free(run->native);
}

int crn_restore_add_file(struct crn_subtask *files, const struct crn_file *stored,
                         const struct crn_assembled_table *place, cairn_error **reterr)
{
    struct crn_file *file = crn_subtask_add_file(files);
    if (file == NULL || crn_file_copy(file, stored) < 0)
        return crn_err_nomem(reterr);
    if (place == NULL)
        return 0;
    char name[32];
    (void)snprintf(name, sizeof name, "%06" PRIu64 ".sst", place->number);
    file->info.number = place->number;
    file->info.level = place->level;
    file->info.sequence_first = place->sequence_first;
    file->info.sequence_last = place->sequence_last;
    return crn_record_set_text(&file->info.name, name) < 0 ? crn_err_nomem(reterr) : 0;
}

static int fetch_source(struct crn_restore_run *run, const struct crn_restore_part *part,
                        cairn_error **reterr)
{
    struct crn_native_source *source = &run->native[run->native_count];
    const struct crn_subtask *subtask = part->subtask;
    source->part = part;
    source->must_load = true;
    source->tables = calloc(subtask->file_count + 1, sizeof *source->tables);
    source->table_files = calloc(subtask->file_count + 1, sizeof *source->table_files);
    run->native_count++;
    if (source->tables == NULL || source->table_files == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_str_printf(&source->directory, reterr, "%s/source-%zu", run->request->directory,
                           run->native_count - 1));
    CRN_TRY(crn_file_make_dirs(source->directory, reterr));
    CRN_TRY(crn_restore_fetch(run, subtask, source->directory, reterr));
    for (size_t f = 0; f < subtask->file_count; f++)
        if (subtask->files[f].info.role == CAIRN_FILE_TABLE) {
            source->table_files[source->table_count] = &subtask->files[f];
            source->tables[source->table_count++] = &subtask->files[f].info;
        }
    return 0;
}

/* The tables that were taken, as the next diff is to know them. */
static int note_files(struct crn_restore_run *run, const struct crn_assembly *assembly,
                      cairn_error **reterr)
{
    run->files = calloc(1, sizeof *run->files);
    if (run->files == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < assembly->table_count; i++) {
        const struct crn_assembled_table *table = &assembly->tables[i];
        const struct crn_native_source *source = &run->native[table->source];
        CRN_TRY(crn_restore_add_file(run->files, source->table_files[table->table], table, reterr));
    }
    return 0;
}

static int take_assembly(struct crn_restore_run *run, const struct crn_assembly *assembly,
                         cairn_error **reterr)
{
    for (size_t i = 0; i < run->native_count; i++) {
        run->native[i].must_load = assembly->sources[i].must_load;
        run->has_files |= !assembly->sources[i].must_load;
    }
    run->needs_clip = run->has_files && assembly->needs_clip;
    return run->has_files ? note_files(run, assembly, reterr) : 0;
}

static int assemble(struct crn_restore_run *run, cairn_error **reterr)
{
    const struct crn_restore_request *request = run->request;
    CRN_AUTO_FREE struct crn_assembly_source *sources =
        calloc(run->native_count + 1, sizeof *sources);
    if (sources == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < run->native_count; i++) {
        const struct crn_native_source *source = &run->native[i];
        sources[i] = (struct crn_assembly_source){
            .directory = source->directory,
            .tables = source->tables,
            .table_count = source->table_count,
            .key_group_first = source->part->subtask->info.key_group_first,
            .key_group_last = source->part->subtask->info.key_group_last,
        };
    }
    struct crn_assembly assembly = {
        .directory = run->db_directory,
        .max_parallelism = request->op->info.max_parallelism,
        .key_group_first = request->key_group_first,
        .key_group_last = request->key_group_last,
        .sources = sources,
        .source_count = run->native_count,
    };
    int r = request->backend->assemble(&assembly, reterr);
    if (r == 0)
        r = take_assembly(run, &assembly, reterr);
    free(assembly.tables);
    return r;
}

int crn_native_prepare(struct crn_restore_run *run, cairn_error **reterr)
{
    run->native = calloc(run->plan.count + 1, sizeof *run->native);
    if (run->native == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < run->plan.count; i++)
        if (!run->plan.parts[i].is_canonical)
            CRN_TRY(fetch_source(run, &run->plan.parts[i], reterr));
    if (run->native_count > 0 && run->request->backend->assemble != NULL)
        CRN_TRY(assemble(run, reterr));
    for (size_t i = 0; i < run->native_count; i++)
        if (!run->native[i].must_load)
            CRN_TRY(crn_file_remove_tree(run->native[i].directory, reterr));
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * By entries
 * ------------------------------------------------------------------------------------------ */

static int open_source(struct crn_restore_run *run, struct crn_native_source *source,
                       cairn_error **reterr)
{
    const struct crn_restore_request *request = run->request;
    struct crn_state_config config = request->config;
    config.directory = source->directory;
    config.restored = true;
    config.read_only = true;
    config.memory = NULL;
    config.states = run->keyed;
    config.state_count = run->keyed_count;
    config.max_parallelism = request->op->info.max_parallelism;
    config.key_group_first = source->part->subtask->info.key_group_first;
    config.key_group_last = source->part->subtask->info.key_group_last;
    CRN_TRY(request->backend->open(&config, &source->db, reterr));
    return source->db->ops->snapshot(source->db, &source->snapshot, reterr);
}

/* One state of a source, cut into ranges of key groups. Returns how many units it gave. */
static size_t cut_state(const struct crn_native_source *source, struct crn_state *from,
                        struct crn_state *to, struct crn_load_unit *units)
{
    uint64_t first = source->part->key_group_first;
    uint64_t groups = source->part->key_group_last - first + 1;
    uint64_t pieces = groups < UNITS_PER_STATE ? groups : UNITS_PER_STATE;
    for (uint64_t i = 0; i < pieces; i++)
        units[i] = (struct crn_load_unit){
            .ops = source->db->ops,
            .snapshot = source->snapshot,
            .from = from,
            .to = to,
            .key_group_first = (uint32_t)(first + groups * i / pieces),
            .key_group_last = (uint32_t)(first + groups * (i + 1) / pieces - 1),
        };
    return (size_t)pieces;
}

static int load_source(struct crn_restore_run *run, struct crn_native_source *source,
                       cairn_error **reterr)
{
    CRN_AUTO_FREE struct crn_load_unit *units =
        calloc(run->keyed_count * UNITS_PER_STATE + 1, sizeof *units);
    size_t count = 0;
    if (units == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(open_source(run, source, reterr));
    for (size_t i = 0; i < run->keyed_count; i++) {
        struct crn_state *from = source->db->ops->find_state(source->db, run->keyed[i].name);
        struct crn_state *to = NULL;
        if (from == NULL) /* another subtask registered it */
            continue;
        CRN_TRY(run->db->ops->open_state(run->db, &run->keyed[i], &to, reterr));
        count += cut_state(source, from, to, &units[count]);
    }
    const struct crn_load load = {
        .db = run->db,
        .units = units,
        .count = count,
        .max_parallelism = run->request->op->info.max_parallelism,
        .threads = run->threads,
        .cancelled = run->request->cancelled,
        .tick = crn_restore_tick,
        .tick_context = run,
    };
    CRN_TRY(crn_load_run(&load, &run->bytes_loaded, reterr));
    close_source(source);
    return crn_file_remove_tree(source->directory, reterr);
}

int crn_native_load(struct crn_restore_run *run, cairn_error **reterr)
{
    for (size_t i = 0; i < run->native_count; i++)
        if (run->native[i].must_load)
            CRN_TRY(load_source(run, &run->native[i], reterr));
    return 0;
}
