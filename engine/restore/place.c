/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place that a snapshot was taken over from: found again by the hint in the job's log, to
 * remove what is left there, or to name the object that a damaged copy was made of.
 *
 * Whatever stands at the location today need not be what stood there then: who asks looks for a
 * mark, or for the record's uuid. Changes nothing; any thread that may use the job's store.
 */
#include "engine/restore/source.h"

#include "base/text.h"
#include "engine/stores.h"

#include <string.h>

void crn_place_done(struct crn_place *place)
{
    cairn_store_close(place->owned);
    free(place->name);
}

int crn_place_find(const struct cairn_job *job, const char *location, struct crn_place *ret,
                   cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (strchr(location, '/') == NULL) { /* a name in a store that was lent */
        ret->name = strdup(location);
        if (ret->name == NULL)
            return crn_err_nomem(reterr);
        ret->store = job->options.restore_store != NULL ? job->options.restore_store : job->store;
        return crn_text_is_job_name(ret->name);
    }
    int r = crn_store_open_parent(location, &ret->owned, &ret->name, &error);
    ret->store = ret->owned;
    if (r == 0)
        r = crn_store_check_is_root(ret->store,
                                    &error); /* else it is itself a snapshot's directory */
    if (r == CAIRN_ENOTFOUND || r == CAIRN_EINVAL)
        return 0;
    return r < 0 ? crn_err_move(reterr, &error, r) : 1;
}

static bool is_taken_over(const struct crn_record *record)
{
    return record != NULL && record->info.source_location != NULL &&
           record->info.source_location[0] != '\0' && record->info.source_mode != CAIRN_NO_CLAIM;
}

/* An import has what its source has, in the same order. NULL: the object is not found. */
static const char *find_original(const struct crn_record *import, const struct crn_record *source,
                                 const char *object)
{
    for (size_t o = 0; o < import->operator_count && o < source->operator_count; o++) {
        const struct crn_operator *to = &import->operators[o], *from = &source->operators[o];
        for (size_t s = 0; s < to->subtask_count && s < from->subtask_count; s++)
            for (size_t f = 0; f < to->subtasks[s].file_count && f < from->subtasks[s].file_count;
                 f++) {
                const char *copy = to->subtasks[s].files[f].info.object;
                if (copy != NULL && strcmp(copy, object) == 0)
                    return from->subtasks[s].files[f].info.object;
            }
    }
    return NULL;
}

/* Its name in the place that the import came from, if that is still there. NULL: it is not known.
 */
static char *name_original(const struct cairn_job *job, const char *object)
{
    const cairn_record_info *import = &job->restored->info;
    CRN_CLEANUP(crn_place_done) struct crn_place place = {0};
    CRN_AUTO_RECORD struct crn_record *source = NULL;
    char *words = NULL;
    if (crn_place_find(job, import->source_location, &place, NULL) != 1 ||
        crn_joblog_read_record(place.store, place.name, import->source_id, &source, NULL, NULL,
                               NULL) < 0 ||
        memcmp(source->info.uuid, import->source_uuid, sizeof source->info.uuid) != 0)
        return NULL;
    const char *original = find_original(job->restored, source, object);
    if (original != NULL)
        (void)crn_str_printf(&words, NULL, ", object '%s/%s'", place.name,
                             original); /* only words: may stay NULL */
    return words;
}

int crn_import_blame_source(const struct cairn_job *job, int code, cairn_error **reterr)
{
    if (reterr == NULL || (code != CAIRN_ECORRUPT && code != CAIRN_EMISSING) ||
        !is_taken_over(job->restored) || job->source.is_foreign)
        return code;
    const size_t n = strlen(job->name);
    const char *object = cairn_error_object(*reterr);
    if (strncmp(object, job->name, n) != 0 || object[n] != '/')
        return code;
    CRN_AUTO_FREE char *original = name_original(job, object + n + 1);
    CRN_AUTO_ERROR cairn_error *error = CRN_TAKE(*reterr);
    return crn_err_fail(reterr, code, cairn_error_object(error), "%s (taken over from '%s'%s)",
                        cairn_error_message(error), job->restored->info.source_location,
                        original != NULL ? original : "");
}
