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
 * Objects may be many. What is kept of each is its name, its size, and whether it is live, which is
 * marked while one manifest after another is read and dropped.
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
    free(survey->objects);
    crn_names_done(&survey->names);
    crn_names_done(&survey->missing);
    crn_joblog_done(&survey->log);
    memset(survey, 0, sizeof *survey);
}

static int add_object(void *context, const char *key, const cairn_object_stat *stat)
{
    struct crn_survey *survey = context;
    size_t number;
    if (survey->count == survey->capacity) {
        size_t capacity = survey->capacity ? 2 * survey->capacity : 256;
        struct crn_survey_object *objects =
            realloc(survey->objects, capacity * sizeof *survey->objects);
        if (objects == NULL)
            return CAIRN_ENOMEM;
        survey->objects = objects;
        survey->capacity = capacity;
    }
    int r = crn_names_add(&survey->names, key, &number);
    if (r <= 0)
        return r; /* one that is listed twice is one */
    survey->objects[survey->count++] =
        (struct crn_survey_object){survey->names.items[number], stat->size, false};
    return 0;
}

int crn_survey_list(cairn_store *store, const char *job, struct crn_survey *survey,
                    cairn_error **reterr)
{
    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    int r = crn_joblog_list(store, job, "", add_object, survey, reterr);
    return r == CAIRN_ENOMEM ? crn_err_nomem(reterr) : r;
}

/* --- what the log says --- */

static int begin_marking(void *context, cairn_error **reterr)
{
    struct crn_survey *survey = context;
    (void)reterr;
    for (size_t i = 0; i < survey->count; i++)
        survey->objects[i].is_live = false;
    crn_names_done(&survey->missing);
    return 0;
}

static int mark_subtask(struct crn_survey *survey, const struct crn_subtask *subtask,
                        cairn_error **reterr)
{
    for (size_t f = 0; f < subtask->file_count; f++) {
        const char *object = subtask->files[f].info.object;
        size_t number;
        if (object == NULL)
            continue;
        if (crn_names_find(&survey->names, object, &number))
            survey->objects[number].is_live = true;
        else if (crn_names_add(&survey->missing, object, &number) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

static int mark_record(void *context, const struct crn_joblog_entry *entry, cairn_error **reterr)
{
    for (size_t o = 0; o < entry->record->operator_count; o++) {
        const struct crn_operator *op = &entry->record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++)
            CRN_TRY(mark_subtask(context, &op->subtasks[s], reterr));
    }
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
    const struct crn_joblog_visitor marking = {begin_marking, mark_record, survey};
    crn_joblog_done(&survey->log);
    survey->lost_head = false;
    CRN_TRY(crn_joblog_visit(store, job, &marking, &survey->log, reterr));
    int r = judge_log(store, survey, job, &damage);
    if (r < 0 && r != CAIRN_EMISSING)
        return crn_err_move(reterr, &damage, r);
    survey->lost_head = survey->log.lost_top || r < 0;
    if (r == 0)
        r = crn_joblog_require_whole(&survey->log, &damage);
    survey->is_partial = r < 0;
    *ret_damage = CRN_TAKE(damage);
    return 0;
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
                                                  log->log_start, &object->key, object->is_live);
    bool depends =
        status == CAIRN_OBJECT_DEAD || (status == CAIRN_OBJECT_UNRESOLVED && survey->lost_head);
    return depends && survey->is_partial ? CAIRN_OBJECT_UNKNOWN : status;
}

bool crn_survey_has(const struct crn_survey *survey, const char *key)
{
    size_t number;
    return crn_names_find(&survey->names, key, &number);
}
