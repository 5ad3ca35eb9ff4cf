/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was claimed and imported is removed from where it was: manifests, then all that Cairn
 * stored, the mark last. Foreign files stay, and so does the directory around them.
 *
 * Which directories these are, the job's log says: an import carries where its snapshot came from,
 * and so does what the head's history knows of it. Only a mark of this job's over that very
 * snapshot allows the removal, whatever stands at the location today; a directory that has none, or
 * is not there, is done with. So a removal that was cut short goes on at the next open, while the
 * history reaches back to the import, and nothing is ever removed twice.
 *
 * Crash: the mark is left with what was not removed yet.
 */
#include "engine/restore/source.h"

#include "base/text.h"

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

static int remove_directory(struct cairn_job *job, cairn_store *store, const char *name,
                            cairn_error **reterr)
{
    CRN_CLEANUP(listing_done) struct listing listing = {.name = name};
    CRN_AUTO_FREE char *mark = NULL;
    CRN_TRY(crn_joblog_list(store, name, CRN_JOBLOG_PREFIX, note_key, &listing, reterr));
    newest_last(&listing);
    size_t older = listing.manifest_count > 0 ? listing.manifest_count - 1 : 0;
    CRN_TRY(remove_keys(store, listing.manifests, older, reterr));
    CRN_TRY(remove_keys(store, listing.manifests + older, listing.manifest_count - older, reterr));
    CRN_TRY(crn_joblog_list(store, name, "", note_key, &listing, reterr));
    CRN_TRY(remove_keys(store, listing.objects, listing.object_count, reterr));
    CRN_TRY(crn_joblog_key(name, CRN_MARK_CLAIMED, &mark, reterr));
    CRN_TRY(remove_keys(store, &mark, 1, reterr));
    crn_log_write(&job->log, CAIRN_LOG_INFO, "restore",
                  "job '%s': the claimed '%s' is removed: %zu manifests, %zu objects%s", job->name,
                  name, listing.manifest_count, listing.object_count,
                  listing.foreign_count > 0 ? "; files that are not Cairn's stay" : "");
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Where it was
 * ------------------------------------------------------------------------------------------ */

struct place {
    cairn_store *store;
    cairn_store *owned; /* the same, if it is to be closed */
    char *name;
};

static void place_done(struct place *place)
{
    cairn_store_close(place->owned);
    free(place->name);
}

/* "store/name", or a name in a store that the options give, or in the job's own. 1; 0: it cannot be
 * found. */
static int find_place(struct cairn_job *job, const char *location, struct place *ret,
                      cairn_error **reterr)
{
    CRN_AUTO_FREE char *parent = strdup(location);
    CRN_AUTO_FREE char *nested = NULL;
    if (parent == NULL)
        return crn_err_nomem(reterr);
    char *slash = strrchr(parent, '/');
    ret->name = strdup(slash != NULL ? slash + 1 : location);
    if (ret->name == NULL)
        return crn_err_nomem(reterr);
    if (!crn_text_is_job_name(ret->name))
        return 0;
    if (slash == NULL) {
        ret->store = job->options.restore_store != NULL ? job->options.restore_store : job->store;
        return 1;
    }
    slash[slash == parent ? 1 : 0] = '\0';
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = cairn_store_open_existing(parent, &ret->owned, &nested, NULL, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    ret->store = ret->owned;
    return nested == NULL; /* else `parent` is itself a snapshot's directory */
}

/* An import, as its record or the history has it. */
static int release(struct cairn_job *job, const cairn_record_info *import, const uint8_t *uuid,
                   cairn_error **reterr)
{
    CRN_CLEANUP(place_done) struct place place = {0};
    const struct crn_restore_source *source = &job->source;
    cairn_store *store = source->store;
    const char *name = source->name;
    if (!source->is_foreign || strcmp(source->location, import->source_location) != 0) {
        int r = find_place(job, import->source_location, &place, reterr);
        if (r <= 0)
            return r;
        store = place.store;
        name = place.name;
    }
    int r = crn_claim_is_imported(job, store, name, import->id, uuid, reterr);
    return r <= 0 ? r : remove_directory(job, store, name, reterr);
}

static bool came_from_elsewhere(const cairn_record_info *info)
{
    return info->kind == CAIRN_RECORD_CHECKPOINT && info->source_location != NULL &&
           info->source_location[0] != '\0';
}

static void try_release(struct cairn_job *job, const cairn_record_info *import, const uint8_t *uuid)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (release(job, import, uuid, &error) < 0)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                      "job '%s': whether anything is left to remove at '%s', from where checkpoint "
                      "%llu came, cannot be told or done now; tried again at the next open: %s",
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
    for (size_t i = 0; i < head->history_count; i++) {
        const cairn_record_info *info = &head->history[i].info;
        if (info->id >= oldest || !came_from_elsewhere(info) ||
            strcmp(info->source_location, last) == 0) /* asked for the same place right before */
            continue;
        last = info->source_location;
        try_release(job, info, NULL);
    }
}
