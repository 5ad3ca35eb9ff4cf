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
 * A base's table that is a slice of a pack keeps all of that pack stored. It is referenced while
 * the part uses at least half of the pack; else its tables that are still in use are sent again,
 * and the pack goes with the last checkpoint that has it. So what is stored for packs is at most
 * twice what is in use, and what is sent again, at most what had died before. A slice is never
 * copied by the store, which copies whole objects.
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
    file->info.object_offset = base->info.object_offset;
    file->info.object_size = base->info.object_size;
    return crn_record_set_text(&file->info.object, base->info.object);
}

static int by_object(const void *a, const void *b)
{
    const struct crn_file *x = **(const struct crn_file **const *)a;
    const struct crn_file *y = **(const struct crn_file **const *)b;
    return strcmp(x->info.object, y->info.object);
}

/* Forgets the slices of packs of which too little is in use. */
static int drop_sparse_packs(const struct crn_file **known, size_t count)
{
    CRN_AUTO_FREE const struct crn_file ***slices = calloc(count + 1, sizeof *slices);
    size_t n = 0;
    if (slices == NULL)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (known[i] != NULL && crn_file_is_slice(known[i]))
            slices[n++] = &known[i];
    qsort(slices, n, sizeof *slices, by_object);
    for (size_t i = 0, next; i < n; i = next) {
        const cairn_file_info *pack = &(*slices[i])->info;
        uint64_t used = 0;
        for (next = i; next < n && strcmp((*slices[next])->info.object, pack->object) == 0; next++)
            used += (*slices[next])->info.size;
        if (used < pack->object_size && used < pack->object_size - used)
            for (size_t k = i; k < next; k++)
                *slices[k] = NULL;
    }
    return 0;
}

static int reference_known(struct crn_part *part, size_t tables, cairn_error **reterr)
{
    struct crn_subtask *subtask = &part->described->subtasks[0];
    CRN_AUTO_FREE const struct crn_file **known = calloc(tables + 1, sizeof *known);
    if (known == NULL)
        return crn_err_nomem(reterr);
    /* Out of memory: all of it is new, which costs uploads and nothing else. */
    if (crn_diff_tables(part->base, subtask->files, tables, known) < 0 ||
        drop_sparse_packs(known, tables) < 0)
        return 0;
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
        bool is_sure =
            known[i] != NULL && known[i]->info.object != NULL && !crn_file_is_slice(known[i]) &&
            (!place->is_hint ||
             (known[i]->info.has_crc32c && files[i].info.has_crc32c && known[i]->info.has_xxh3));
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
