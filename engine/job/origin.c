/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of captured tables are already (P4).
 *
 * A checkpoint references what its base stores. What it cannot reference but knows to be stored, it
 * lets the store copy:
 *   - after a start from a snapshot that is not the job's (no claim), until the first checkpoint is
 *     complete: the snapshot's objects;
 *   - for a native savepoint, which references nothing: those of an earlier savepoint in the same
 *     target, if it may be asked, else those of the job's own checkpoints, else of the snapshot.
 *
 * Identity is judged by crn_diff_tables(). An earlier savepoint may be of another incarnation of
 * the database, whose numbers go on from the same checkpoint but along another way; so there
 * RocksDB's checksums must be known and agree as well.
 *
 * Capture threads, one part each. What a part builds on is chosen here, once, and stays as it is
 * until the attempt is over: in memory, and in the store (flights.c).
 */
#include "engine/savepoint/savepoint.h"

#include <string.h>

/* The base stores these very bytes: reference its object. Level and keys stay the captured ones,
 * since a compaction may move a file to another level as it is. */
static int reference_base(struct crn_file *file, const struct crn_file *base)
{
    file->info.has_xxh3 = base->info.has_xxh3;
    memcpy(file->info.xxh3, base->info.xxh3, sizeof file->info.xxh3);
    if (base->info.has_crc32c) {
        file->info.has_crc32c = 1;
        file->info.crc32c = base->info.crc32c;
    }
    file->info.checkpoint_id = base->info.checkpoint_id;
    file->info.epoch = base->info.epoch;
    return crn_record_set_text(&file->info.object, base->info.object);
}

static int reference_known(struct crn_part *part, size_t tables, cairn_error **reterr)
{
    struct crn_subtask *subtask = &part->described->subtasks[0];
    CRN_AUTO_FREE const struct crn_file **known = calloc(tables + 1, sizeof *known);
    if (known == NULL)
        return crn_err_nomem(reterr);
    /* Out of memory: all of it is new, which costs uploads and nothing else. */
    (void)crn_diff_tables(part->base, subtask->files, tables, known);
    for (size_t i = 0; i < tables; i++)
        if (known[i] != NULL && reference_base(&subtask->files[i], known[i]) < 0)
            return crn_err_nomem(reterr);
    return 0;
}

/* Adds what is known of tables that have no origin yet. */
static void add_origins(struct crn_part *part, size_t tables, const struct crn_subtask *stored,
                        const struct crn_origin *place)
{
    const struct crn_file *files = part->described->subtasks[0].files;
    CRN_AUTO_FREE const struct crn_file **known = calloc(tables + 1, sizeof *known);
    if (stored == NULL || known == NULL || crn_diff_tables(stored, files, tables, known) < 0)
        return;
    for (size_t i = 0; i < tables; i++) {
        bool is_sure = known[i] != NULL && known[i]->info.object != NULL &&
                       (!place->is_hint || (known[i]->info.has_crc32c && files[i].info.has_crc32c &&
                                            known[i]->info.has_xxh3));
        if (!is_sure || part->origins[i].file != NULL)
            continue;
        part->origins[i] = *place;
        part->origins[i].file = known[i];
    }
}

static bool depends_on_source(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    bool depends = job->source.is_foreign && !job->source.released;
    crn_mutex_unlock(&job->lock);
    return depends;
}

int crn_part_find_origins(struct crn_part *part, size_t tables, cairn_error **reterr)
{
    const struct crn_attempt *attempt = part->attempt;
    struct cairn_job *job = attempt->job;
    const struct crn_savepoint_run *run = attempt->savepoint;
    CRN_TRY(crn_flight_choose_base(part, reterr));
    if (run == NULL)
        CRN_TRY(reference_known(part, tables, reterr));
    part->origins = calloc(tables + 1, sizeof *part->origins);
    if (part->origins == NULL)
        return crn_err_nomem(reterr);
    if (attempt->full)
        return 0;
    if (run != NULL) {
        add_origins(part, tables, crn_savepoint_previous_subtask(run, part->task),
                    &(struct crn_origin){
                        .store = attempt->store, .prefix = run->previous.name, .is_hint = true});
        add_origins(part, tables, part->base,
                    &(struct crn_origin){.store = job->store, .prefix = job->name});
    }
    if (depends_on_source(job))
        add_origins(part, tables, part->task->runtime->restored_files,
                    &(struct crn_origin){
                        .store = job->source.store, .prefix = job->source.name, .is_source = true});
    return 0;
}
