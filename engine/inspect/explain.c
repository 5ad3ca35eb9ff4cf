/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who needs an object. Found by looking through every retained manifest; so "nobody" can only be
 * said when all of them are readable, while one that does need it settles the question. The same
 * holds for "there is no such object". A manifest that is missing between the log's begin and its
 * head is known to be needed, though: the log is dense.
 */

#include "backends/storage/storage.h"
#include "cairn/inspect.h"
#include "engine/inspect/survey.h"
#include <inttypes.h>
#include <string.h>

struct cairn_explanation {
    cairn_explanation_info info;
    char *object;
    char *problem;
    struct crn_joblog log; /* info.file and the uid point into it */
    uint64_t *references;
    const cairn_file_info *contradicted; /* has another size than what is stored; NULL: none */
    struct slice *slices;                /* of a pack, as often as they are referenced */
    size_t slice_count, slice_capacity;
};

struct slice {
    uint64_t offset, size;
};

void cairn_explanation_close(cairn_explanation *explanation)
{
    if (explanation == NULL)
        return;
    crn_joblog_done(&explanation->log);
    free(explanation->references);
    free(explanation->slices);
    free(explanation->problem);
    free(explanation->object);
    free(explanation);
}

static void cleanup_explanation(cairn_explanation **explanation)
{
    cairn_explanation_close(*explanation);
}

/* Looked at before the log is read, for the reason given in survey.c. */
static int look(cairn_store *store, const char *job, struct cairn_explanation *explanation,
                cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    CRN_TRY(crn_joblog_key(job, explanation->object, &key, reterr));
    int r = store->ops->stat(store, key, &stat, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    explanation->info.exists = 1;
    explanation->info.size = stat.size;
    return 0;
}

static int add_slice(struct cairn_explanation *explanation, const cairn_file_info *file)
{
    if (explanation->slice_count == explanation->slice_capacity) {
        size_t capacity = explanation->slice_capacity ? 2 * explanation->slice_capacity : 64;
        struct slice *slices = realloc(explanation->slices, capacity * sizeof *slices);
        if (slices == NULL)
            return CAIRN_ENOMEM;
        explanation->slices = slices;
        explanation->slice_capacity = capacity;
    }
    explanation->slices[explanation->slice_count++] =
        (struct slice){file->object_offset, file->size};
    return 0;
}

/* 1: the subtask has it. Of a pack all slices are looked for, else the first file will do. */
static int find_in_subtask(struct cairn_explanation *explanation, const struct crn_operator *op,
                           const struct crn_subtask *subtask)
{
    int found = 0;
    for (size_t f = 0; f < subtask->file_count; f++) {
        const struct crn_file *file = &subtask->files[f];
        if (file->info.object == NULL || strcmp(file->info.object, explanation->object) != 0)
            continue;
        explanation->info.file = &file->info;
        explanation->info.operator_uid = op->info.uid;
        explanation->info.subtask = subtask->info.index;
        if (explanation->info.exists && crn_file_object_size(file) != explanation->info.size)
            explanation->contradicted = &file->info;
        if (!crn_file_is_slice(file))
            return 1;
        CRN_TRY(add_slice(explanation, &file->info));
        found = 1;
    }
    return found;
}

/* Does this record need the object? A complete checkpoint or savepoint also needs its own
 * manifest. */
static int find_in_record(struct cairn_explanation *explanation, const struct crn_record *record,
                          const struct crn_key_info *key)
{
    int found = 0;
    if (key->type == CRN_KEY_MANIFEST)
        return crn_record_is_restorable(record) && record->info.id == key->id;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count && (found == 0 || key->pack); s++) {
            int r = find_in_subtask(explanation, op, &op->subtasks[s]);
            CRN_TRY(r);
            found |= r;
        }
    }
    return found;
}

static int compare_slices(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Several checkpoints share them. */
static void count_slices(struct cairn_explanation *explanation)
{
    cairn_explanation_info *info = &explanation->info;
    if (explanation->slice_count > 0)
        qsort(explanation->slices, explanation->slice_count, sizeof *explanation->slices,
              compare_slices);
    for (size_t i = 0; i < explanation->slice_count; i++) {
        const struct slice *slice = &explanation->slices[i];
        if (i > 0 && slice[-1].offset == slice->offset)
            continue;
        info->slice_count++;
        info->slice_bytes += slice->size;
    }
}

static int find_references(struct cairn_explanation *explanation, cairn_error **reterr)
{
    const struct crn_joblog *log = &explanation->log;
    struct crn_key_info key = crn_key_parse(explanation->object);
    explanation->references = calloc(log->count + 1, sizeof *explanation->references);
    if (explanation->references == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_record *record = log->entries[i].record;
        int r = record != NULL ? find_in_record(explanation, record, &key) : 0;
        if (r < 0)
            return crn_err_nomem(reterr);
        if (r > 0)
            explanation->references[explanation->info.reference_count++] = record->info.id;
    }
    count_slices(explanation);
    return 0;
}

/* The entry that a manifest's id falls into; a hole of any width is one. NULL: outside of the log.
 */
static const struct crn_joblog_entry *find_entry(const struct cairn_explanation *explanation)
{
    const struct crn_joblog *log = &explanation->log;
    struct crn_key_info key = crn_key_parse(explanation->object);
    if (key.type != CRN_KEY_MANIFEST || (key.id > log->head_id && !log->lost_top))
        return NULL;
    for (size_t i = log->count; i-- > 0;) {
        if (log->entries[i].id <= key.id)
            return &log->entries[i];
    }
    return NULL;
}

static int find_problem(struct cairn_explanation *explanation, const struct crn_joblog_entry *entry,
                        cairn_error **reterr)
{
    const cairn_explanation_info *info = &explanation->info;
    const cairn_file_info *file = explanation->contradicted;
    if (entry != NULL && entry->record == NULL)
        return crn_str_printf(&explanation->problem, reterr, "%s",
                              cairn_error_message(entry->error));
    if (!info->exists && info->reference_count > 0)
        return crn_str_printf(&explanation->problem, reterr, "it is missing");
    if (file != NULL)
        return crn_str_printf(&explanation->problem, reterr,
                              "its size is %" PRIu64 " bytes, the manifest says %" PRIu64
                              ": damaged",
                              info->size, file->object_size != 0 ? file->object_size : file->size);
    return 0;
}

/* Nothing is known of it, unless that is because something is lost: found by looking at everything.
 */
static int fail_unknown(cairn_store *store, const struct cairn_explanation *explanation,
                        cairn_error **reterr)
{
    CRN_AUTO_SURVEY struct crn_survey survey = {0};
    const char *job = explanation->log.job, *object = explanation->object;
    CRN_TRY(crn_survey_list(store, job, &survey, reterr));
    CRN_TRY(crn_survey_read_log(store, job, &survey, reterr));
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, object,
                        "job '%s' neither stores nor references '%s'", job, object);
}

static int classify(cairn_store *store, struct cairn_explanation *explanation, cairn_error **reterr)
{
    const struct crn_joblog *log = &explanation->log;
    const struct crn_joblog_entry *entry = find_entry(explanation);
    cairn_explanation_info *info = &explanation->info;
    bool referenced = info->reference_count > 0;
    if (!info->exists && !referenced && entry == NULL)
        return fail_unknown(store, explanation, reterr);
    CRN_TRY(find_problem(explanation, entry, reterr));
    info->problem = explanation->problem != NULL ? explanation->problem : "";
    info->status = crn_log_classify(info->object, log->head_id, log->epoch, log->log_start,
                                    &info->object, referenced ? 1 : 0);
    return info->status == CAIRN_OBJECT_DEAD && !referenced ? crn_joblog_require_whole(log, reterr)
                                                            : 0;
}

int cairn_explain(cairn_store *store, const char *job, const char *object, cairn_explanation **ret,
                  cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_explanation) struct cairn_explanation *explanation = NULL;

    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    if (object == NULL || !crn_store_key_is_valid(object))
        return crn_err_fail(reterr, CAIRN_EINVAL, object, "'%s' cannot be an object's key",
                            object != NULL ? object : "");
    explanation = calloc(1, sizeof *explanation);
    if (explanation == NULL)
        return crn_err_nomem(reterr);
    explanation->object = strdup(object);
    if (explanation->object == NULL)
        return crn_err_nomem(reterr);
    explanation->info.object = explanation->object;
    explanation->info.operator_uid = "";
    CRN_TRY(look(store, job, explanation, reterr));
    CRN_TRY(crn_joblog_read_judged(store, job, &explanation->log, reterr));
    CRN_TRY(find_references(explanation, reterr));
    CRN_TRY(classify(store, explanation, reterr));
    *ret = CRN_TAKE(explanation);
    return 0;
}

const cairn_explanation_info *cairn_explanation_get(const cairn_explanation *explanation)
{
    return explanation == NULL ? NULL : &explanation->info;
}

uint64_t cairn_explanation_reference(const cairn_explanation *explanation, size_t i)
{
    return explanation != NULL && i < explanation->info.reference_count ? explanation->references[i]
                                                                        : 0;
}
