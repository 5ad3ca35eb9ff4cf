/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was claimed, imported and started from is removed from where it was: manifests, then all
 * that Cairn stored, the mark last. Of a job's directory the mark stays, as word of where its state
 * is now. Foreign files stay, and so does the directory around them.
 *
 * It is done by a job that has started: then every task has fetched and verified its part of the
 * import (P8), and the service can use it. Until then the source is the way back. A job that was
 * started from something else instead gives the claim up: the mark goes, and the snapshot is the
 * user's again.
 *
 * Which directories these are, the job's log says: an import carries where its snapshot came from,
 * and so does what the head's history knows of it. Only a mark of this job's over that very
 * snapshot allows the removal, whatever stands at the location today; a directory that has none, or
 * is not there, is done with. So a removal that was cut short goes on at the next start, while the
 * history reaches back to the import, and nothing is ever removed twice.
 *
 * Driver thread. Crash: the mark is left with what was not removed yet.
 */
#include "engine/restore/source.h"

#include <string.h>

#define REMOVE_BATCH 512u

/* Keys of Cairn's below the directory, whole; marks are not among them. */
struct listing {
    char **manifests, **objects; /* keys in the store */
    size_t manifest_count, object_count, foreign_count;
    const char *name;
};

static void listing_done(struct listing *listing)
{
    for (size_t i = 0; i < listing->manifest_count; i++)
        free(listing->manifests[i]);
    for (size_t i = 0; i < listing->object_count; i++)
        free(listing->objects[i]);
    free(listing->manifests);
    free(listing->objects);
}

static int add_key(char ***keys, size_t *count, const char *name, const char *key)
{
    char **grown = reallocarray(*keys, *count + 1, sizeof(char *));
    if (grown == NULL)
        return CAIRN_ENOMEM;
    *keys = grown;
    CRN_TRY(crn_joblog_key(name, key, &grown[*count], NULL));
    ++*count;
    return 0;
}

static int note_key(void *context, const char *key, const cairn_object_stat *stat)
{
    struct listing *listing = context;
    (void)stat;
    switch (crn_key_parse(key).type) {
    case CRN_KEY_MANIFEST:
        return add_key(&listing->manifests, &listing->manifest_count, listing->name, key);
    case CRN_KEY_OBJECT:
    case CRN_KEY_POST:
    case CRN_KEY_MAIL:
        return add_key(&listing->objects, &listing->object_count, listing->name, key);
    case CRN_KEY_MARK:
        break;
    case CRN_KEY_FOREIGN:
        listing->foreign_count++;
        break;
    }
    return 0;
}

static int remove_keys(cairn_store *store, char *const *keys, size_t count, cairn_error **reterr)
{
    for (size_t i = 0; i < count; i += REMOVE_BATCH)
        CRN_TRY(store->ops->remove(store, (const char *const *)keys + i,
                                   count - i < REMOVE_BATCH ? count - i : REMOVE_BATCH, reterr));
    return count > 0 ? store->ops->flush(store, reterr) : 0;
}

static uint64_t manifest_id(const struct listing *listing, size_t i)
{
    return crn_key_parse(listing->manifests[i] + strlen(listing->name) + 1).id;
}

static void newest_last(struct listing *listing)
{
    for (size_t i = 0; i + 1 < listing->manifest_count; i++)
        if (manifest_id(listing, i) > manifest_id(listing, listing->manifest_count - 1)) {
            char *key = listing->manifests[i];
            listing->manifests[i] = listing->manifests[listing->manifest_count - 1];
            listing->manifests[listing->manifest_count - 1] = key;
        }
}

static int remove_directory(struct cairn_job *job, const struct crn_place *place, bool keeps_mark,
                            cairn_error **reterr)
{
    cairn_store *store = place->store;
    CRN_CLEANUP(listing_done) struct listing listing = {.name = place->name};
    CRN_TRY(crn_joblog_list(store, place->name, CRN_JOBLOG_PREFIX, note_key, &listing, reterr));
    newest_last(&listing);
    size_t older = listing.manifest_count > 0 ? listing.manifest_count - 1 : 0;
    CRN_TRY(remove_keys(store, listing.manifests, older, reterr));
    CRN_TRY(remove_keys(store, listing.manifests + older, listing.manifest_count - older, reterr));
    CRN_TRY(crn_joblog_list(store, place->name, "", note_key, &listing, reterr));
    CRN_TRY(remove_keys(store, listing.objects, listing.object_count, reterr));
    if (!keeps_mark)
        CRN_TRY(crn_claim_remove_mark(store, place->name, reterr));
    if (!keeps_mark || listing.manifest_count + listing.object_count > 0)
        crn_log_write(&job->log, CAIRN_LOG_INFO, "restore",
                      "job '%s': the claimed '%s' is removed: %zu manifests, %zu objects%s",
                      job->name, place->name, listing.manifest_count, listing.object_count,
                      listing.foreign_count > 0 ? "; files that are not Cairn's stay" : "");
    return 0;
}

/* Unless its removal has begun. */
static int give_up(struct cairn_job *job, const struct crn_place *place, const char *location,
                   cairn_error **reterr)
{
    CRN_CLEANUP(listing_done) struct listing listing = {.name = place->name};
    CRN_TRY(
        crn_joblog_list(place->store, place->name, CRN_JOBLOG_PREFIX, note_key, &listing, reterr));
    if (listing.manifest_count == 0)
        return 0;
    CRN_TRY(crn_claim_remove_mark(place->store, place->name, reterr));
    crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                  "job '%s': the claim of '%s' is given up, since the job was started from "
                  "something else: it stays where it is and is yours",
                  job->name, location);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Which
 * ------------------------------------------------------------------------------------------ */

/* An import, as its record or the history has it. */
static int release(struct cairn_job *job, const cairn_record_info *import, const uint8_t *uuid,
                   bool is_used, cairn_error **reterr)
{
    CRN_CLEANUP(crn_place_done) struct crn_place place = {0};
    CRN_AUTO_MARK struct crn_mark mark = {0};
    int r = crn_place_find(job, import->source_location, &place, reterr);
    if (r > 0)
        r = crn_claim_is_imported(job, place.store, place.name, import->id, uuid, &mark, reterr);
    if (r <= 0)
        return r;
    return is_used ? remove_directory(job, &place, mark.of_job, reterr)
                   : give_up(job, &place, import->source_location, reterr);
}

static bool came_from_elsewhere(const cairn_record_info *info)
{
    return info->kind == CAIRN_RECORD_CHECKPOINT && info->source_location != NULL &&
           info->source_location[0] != '\0';
}

static void note_begin(const struct cairn_job *job, const cairn_record_info *info, uint64_t *begin)
{
    /* What the job was stopped with goes back to its checkpoints. */
    const uint64_t restored_id = job->source.is_stop ? job->source.wanted_id : job->restored_id;
    if (came_from_elsewhere(info) && info->id <= restored_id && info->id > *begin)
        *begin = info->id;
}

/* The checkpoint from elsewhere that what was restored goes back to; 0: none. */
static uint64_t find_begin(const struct cairn_job *job)
{
    const struct crn_joblog *log = &job->joblog;
    const struct crn_record *head = log->entries[log->count - 1].record;
    uint64_t begin = 0;
    for (size_t i = 0; i < head->history_count; i++)
        note_begin(job, &head->history[i].info, &begin);
    for (size_t i = 0; i < log->count; i++)
        if (log->entries[i].record != NULL)
            note_begin(job, &log->entries[i].record->info, &begin);
    return begin;
}

static void try_release(struct cairn_job *job, const cairn_record_info *import, const uint8_t *uuid)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (release(job, import, uuid, import->id == find_begin(job), &error) < 0)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                      "job '%s': whether anything is left to remove at '%s', from where checkpoint "
                      "%llu came, cannot be told or done now; tried again at the next start: %s",
                      job->name, import->source_location, (unsigned long long)import->id,
                      cairn_error_message(error));
}

void crn_release_claimed(struct cairn_job *job)
{
    const struct crn_joblog *log = &job->joblog;
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_record *record = log->entries[i].record;
        if (record == NULL)
            continue;
        if (oldest == UINT64_MAX)
            oldest = record->info.id;
        if (came_from_elsewhere(&record->info) && record->info.source_mode == CAIRN_CLAIM)
            try_release(job, &record->info, record->info.source_uuid);
    }
    const struct crn_record *head = log->entries[log->count - 1].record;
    const char *last = "";
    for (size_t i = head->history_count; i-- > 0;) {
        const cairn_record_info *info = &head->history[i].info;
        if (info->id >= oldest || !came_from_elsewhere(info) ||
            strcmp(info->source_location, last) == 0) /* asked for the same place right before */
            continue;
        last = info->source_location;
        try_release(job, info, NULL);
    }
}
