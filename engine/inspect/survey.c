/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is there against what is needed. The order of looking is what makes the comparison safe
 * beside a running job, without a lock:
 *
 *   1. list the objects;  2. read the log.
 *
 * If an object's id is at or below the head, the checkpoint that could have brought it into the log
 * has been decided, and later ones, in flight or to come, reference only new objects or objects of
 * retained checkpoints (the job keeps in the log what its attempts in flight build on). Not
 * referenced now therefore means never again (P5). The other order would call a file dead whose
 * checkpoint was committed in between. Several ids above the head may have objects: as many as the
 * job has attempts in flight.
 *
 * A log that is lost, or whose top is (joblog_top.c says how that shows), is an error, as an
 * unreadable record is: what is referenced is then known to be live, but of nothing can be said
 * that it is dead.
 */

#include "engine/inspect/survey.h"
#include <inttypes.h>
#include <string.h>

void crn_survey_done(struct crn_survey *survey)
{
    for (size_t i = 0; i < survey->count; i++)
        free(survey->objects[i].key);
    free(survey->objects);
    free(survey->live);
    crn_joblog_done(&survey->log);
    memset(survey, 0, sizeof *survey);
}

static int add_object(void *context, const char *key, const cairn_object_stat *stat)
{
    struct crn_survey *survey = context;
    if (survey->count == survey->capacity) {
        size_t capacity = survey->capacity ? 2 * survey->capacity : 256;
        struct crn_survey_object *objects =
            realloc(survey->objects, capacity * sizeof *survey->objects);
        if (objects == NULL)
            return CAIRN_ENOMEM;
        survey->objects = objects;
        survey->capacity = capacity;
    }
    char *copy = strdup(key);
    if (copy == NULL)
        return CAIRN_ENOMEM;
    survey->objects[survey->count++] = (struct crn_survey_object){copy, stat->size};
    return 0;
}

static int compare_objects(const void *a, const void *b)
{
    return strcmp(((const struct crn_survey_object *)a)->key,
                  ((const struct crn_survey_object *)b)->key);
}

int crn_survey_list(cairn_store *store, const char *job, struct crn_survey *survey,
                    cairn_error **reterr)
{
    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    int r = crn_joblog_list(store, job, "", add_object, survey, reterr);
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    CRN_TRY(r);
    if (survey->count > 0)
        qsort(survey->objects, survey->count, sizeof *survey->objects, compare_objects);
    return 0;
}

int crn_survey_live(const struct crn_joblog *log, const char ***ret_live, size_t *ret_count,
                    cairn_error **reterr)
{
    CRN_AUTO_FREE const struct crn_record **records = calloc(log->count + 1, sizeof(*records));
    size_t count = 0;
    if (records == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < log->count; i++) {
        if (log->entries[i].record != NULL)
            records[count++] = log->entries[i].record;
    }
    if (crn_log_live_objects(records, count, ret_live, ret_count) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

/* The log against where its objects say that it ends. Fails if there is no record at all. */
static int judge_log(cairn_store *store, struct crn_survey *survey, const char *job,
                     cairn_error **reterr)
{
    struct crn_joblog_objects objects = {0};
    for (size_t i = 0; i < survey->count; i++)
        crn_joblog_note_object(&objects, survey->objects[i].key);
    CRN_TRY(crn_joblog_judge_top(&survey->log, &objects, reterr));
    if (survey->log.count > 0)
        return 0;
    if (objects.count > 0 && crn_survey_has(survey, CRN_MARK_DISPOSING))
        return crn_err_fail(reterr, CAIRN_EMISSING, job,
                            "the removal of savepoint '%s' was begun and not finished: dispose of "
                            "it again",
                            job);
    return objects.count > 0 ? crn_joblog_fail_lost(job, &objects, reterr)
                             : crn_joblog_fail_absent(store, job, &objects, reterr);
}

int crn_survey_read_log_as_it_is(cairn_store *store, const char *job, struct crn_survey *survey,
                                 cairn_error **ret_damage, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *damage = NULL;
    crn_joblog_done(&survey->log);
    free(survey->live);
    survey->live = NULL;
    survey->live_count = 0;
    survey->lost_head = false;
    CRN_TRY(crn_joblog_read(store, job, &survey->log, reterr));
    int r = judge_log(store, survey, job, &damage);
    if (r < 0 && r != CAIRN_EMISSING)
        return crn_err_move(reterr, &damage, r);
    survey->lost_head = survey->log.lost_top || r < 0;
    if (r == 0)
        r = crn_joblog_require_whole(&survey->log, &damage);
    survey->is_partial = r < 0;
    *ret_damage = CRN_TAKE(damage);
    return crn_survey_live(&survey->log, &survey->live, &survey->live_count, reterr);
}

int crn_survey_read_log(cairn_store *store, const char *job, struct crn_survey *survey,
                        cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *damage = NULL;
    CRN_TRY(crn_survey_read_log_as_it_is(store, job, survey, &damage, reterr));
    return survey->is_partial ? crn_err_move(reterr, &damage, cairn_error_code(damage)) : 0;
}

cairn_object_status crn_survey_status(const struct crn_survey *survey,
                                      const struct crn_survey_object *object)
{
    const struct crn_joblog *log = &survey->log;
    cairn_object_status status = crn_log_classify(object->key, log->head_id, log->epoch,
                                                  log->log_start, survey->live, survey->live_count);
    bool depends =
        status == CAIRN_OBJECT_DEAD || (status == CAIRN_OBJECT_UNRESOLVED && survey->lost_head);
    return depends && survey->is_partial ? CAIRN_OBJECT_UNKNOWN : status;
}

bool crn_survey_has(const struct crn_survey *survey, const char *key)
{
    size_t low = 0, high = survey->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(survey->objects[middle].key, key);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
