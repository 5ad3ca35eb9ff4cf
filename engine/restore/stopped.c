/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on from the savepoint that a job was stopped with.
 *
 * The job's log only points to it: it is the user's, and may have been moved, removed, or claimed.
 * So the next start treats it as if it had been named, with no claim, and nothing is guessed: if it
 * is not there, going back to the newest checkpoint would do things a second time that sinks have
 * made visible when the job stopped, and that is for a person to decide.
 *
 * Whatever stands at the location today has to show by its uuid that it is the one. The pointer
 * stays in the log until a checkpoint of the job is complete (manifest/log.c), so any number of
 * starts that get no further begin at the same place.
 *
 * No locks: the thread that opens the job.
 */
#include "engine/restore/source.h"

#include <string.h>

const struct crn_record *crn_stopped_find(const struct crn_joblog *log)
{
    for (size_t i = log->count; i-- > 0;) {
        const struct crn_record *record = log->entries[i].record;
        if (record == NULL || crn_record_is_restorable(record))
            return NULL; /* the newest state, or what may be it */
        if (record->info.is_stop)
            return record;
    }
    return NULL;
}

/* The newest checkpoint of the job's own; 0: none. */
static uint64_t newest_checkpoint(const struct crn_joblog *log)
{
    for (size_t i = log->count; i-- > 0;) {
        const struct crn_record *record = log->entries[i].record;
        if (record != NULL && crn_record_is_restorable(record))
            return record->info.id;
    }
    return 0;
}

/* Why it cannot be read, and the ways out. */
static int fail(const struct cairn_job *job, const cairn_record_info *pointer, int code,
                const char *why, cairn_error **reterr)
{
    const uint64_t back_to = newest_checkpoint(&job->joblog);
    const bool has_source = job->options.restore_only_if_new;
    CRN_AUTO_FREE char *otherwise = NULL;
    if (back_to != 0)
        CRN_TRY(crn_str_printf(&otherwise, reterr, "go back to checkpoint %llu",
                               (unsigned long long)back_to));
    return crn_err_fail(reterr, code, pointer->location,
                        "job '%s' was stopped with savepoint %llu in '%s', and goes on from there, "
                        "but %s; set restore_uri to where it is now, or prefer_checkpoint to %s",
                        job->name, (unsigned long long)pointer->id, pointer->location, why,
                        otherwise != NULL ? otherwise
                        : has_source ? "start again from what restore_uri or restore_store names"
                                     : "start empty: the job has no checkpoint");
}

/* Has this store the very savepoint, under that name? */
static bool has_savepoint(cairn_store *store, const cairn_record_info *pointer)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    return store != NULL &&
           crn_joblog_read_record(store, pointer->location, pointer->id, &record, NULL, NULL,
                                  NULL) == 0 &&
           memcmp(record->info.uuid, pointer->uuid, sizeof pointer->uuid) == 0;
}

/* A location that is only a name: the store was lent for the savepoint, and has no other. */
static int open_lent(const struct cairn_job *job, const cairn_record_info *pointer,
                     struct crn_restore_source *source, cairn_error **reterr)
{
    cairn_store *lent = job->options.savepoint_store;
    if (lent == NULL && has_savepoint(job->store, pointer))
        lent = job->store;
    if (lent == NULL)
        return fail(job, pointer, CAIRN_ENOTFOUND,
                    "that is only its name in a store that was lent for it: give this store as "
                    "savepoint_store, or as restore_store with the name as restore_name",
                    reterr);
    source->store = lent;
    source->owned_name = crn_str_dup_n(pointer->location, strlen(pointer->location));
    return source->owned_name == NULL ? crn_err_nomem(reterr) : 0;
}

static int open_location(const struct cairn_job *job, const cairn_record_info *pointer,
                         struct crn_restore_source *source, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (strchr(pointer->location, '/') == NULL)
        return open_lent(job, pointer, source, reterr);
    int r = cairn_store_open_existing(pointer->location, &source->store, &source->owned_name, NULL,
                                      &error);
    if (r == CAIRN_ENOTFOUND)
        return fail(job, pointer, r, "there is nothing at this place", reterr);
    if (r < 0)
        return fail(job, pointer, r, cairn_error_message(error), reterr);
    source->owns_store = true;
    return source->owned_name != NULL
               ? 0
               : fail(job, pointer, CAIRN_ENOTFOUND, "there is no snapshot at this place", reterr);
}

int crn_stopped_choose(struct cairn_job *job, const struct crn_record *pointer,
                       const struct crn_record **ret, cairn_error **reterr)
{
    const cairn_record_info *info = &pointer->info;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_restore_source source = {
        .mode = CAIRN_NO_CLAIM, .is_foreign = true, .is_stop = true, .wanted_id = info->id};
    int r = open_location(job, info, &source, reterr);
    source.name = source.owned_name;
    if (r == 0)
        r = crn_str_printf(&source.location, reterr, "%s", info->location);
    if (r < 0) {
        crn_source_done(&source);
        return r;
    }
    crn_source_done(&job->source);
    job->source = source;
    r = crn_source_choose(job, ret, &error);
    if (r < 0)
        return fail(job, info, r, cairn_error_message(error), reterr);
    if (memcmp((*ret)->info.uuid, info->uuid, sizeof info->uuid) != 0)
        return fail(job, info, CAIRN_ENOTFOUND, "another savepoint is at this place now", reterr);
    return 0;
}
