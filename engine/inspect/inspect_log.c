/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which jobs a store has, and a job's log as a person wants to see it: what earlier checkpoints
 * left behind as history, then every retained id, unreadable ones included. A savepoint's directory
 * is a log of one record, so it is listed among the jobs. Changes nothing.
 */

#include "backends/storage/storage.h"
#include "base/text.h"
#include "cairn/inspect.h"
#include "engine/inspect/names.h"
#include "engine/log/joblog.h"
#include "manifest/marks.h"
#include <string.h>

/* --- jobs of a store --- */

struct names {
    char **names;
    size_t count, capacity;
};

void cairn_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static void names_done(struct names *list)
{
    cairn_names_free(list->names, list->count);
}

/* Segments that could be a job: directories with a job's name. */
static int collect_name(void *context, const char *key, const cairn_object_stat *stat)
{
    struct names *list = context;
    size_t n = strlen(key);
    if (stat != NULL || n == 0 || key[n - 1] != '/')
        return 0;
    CRN_AUTO_FREE char *name = crn_str_dup_n(key, n - 1);
    if (name == NULL)
        return CAIRN_ENOMEM;
    if (!crn_text_is_job_name(name))
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (names == NULL)
            return CAIRN_ENOMEM;
        list->names = names;
        list->capacity = capacity;
    }
    list->names[list->count++] = CRN_TAKE(name);
    return 0;
}

#define STOP_LISTING 1

static int find_manifest(void *context, const char *key, const cairn_object_stat *stat)
{
    bool *found = context;
    (void)stat;
    *found = crn_key_parse(key).type == CRN_KEY_MANIFEST;
    return *found ? STOP_LISTING : 0;
}

/* A job that has lost all its manifests is one still: somebody has to hear of it. What may be a
 * savepoint that is being written, claimed or removed is none. */
static int is_job(cairn_store *store, const char *name, bool *ret_found, cairn_error **reterr)
{
    int r = crn_joblog_list(store, name, CRN_JOBLOG_PREFIX, find_manifest, ret_found, reterr);
    if (r != 0)
        return r == STOP_LISTING ? 0 : r;
    return crn_joblog_find_lost(store, name, ret_found, reterr);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int cairn_store_jobs(cairn_store *store, char ***ret_names, size_t *ret_count, cairn_error **reterr)
{
    CRN_CLEANUP(names_done) struct names list = {0};
    CRN_TRY(crn_store_check(store, reterr));
    int r = store->ops->list_segments(store, "", collect_name, &list, reterr);
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    CRN_TRY(r);

    size_t kept = 0;
    for (size_t i = 0; i < list.count; i++) {
        bool found = false;
        r = is_job(store, list.names[i], &found, reterr);
        if (r == 0 && found) {
            char *name = list.names[i];
            list.names[i] = list.names[kept];
            list.names[kept++] = name;
        }
        CRN_TRY(r);
    }
    while (list.count > kept)
        free(list.names[--list.count]);
    if (kept > 0)
        qsort(list.names, kept, sizeof *list.names, compare_names);
    *ret_names = list.names;
    *ret_count = kept;
    list = (struct names){0};
    return 0;
}

/* --- a job's log --- */

struct cairn_log {
    struct crn_joblog log;    /* owns every string; without what its records hold */
    cairn_record_info *infos; /* ascending by id */
    size_t count;
    char *claimed_by; /* NULL: nobody */
};

/* What checkpoints reference, to find what only one of them does. */
struct references {
    struct crn_names names;
    struct reference {
        uint64_t id; /* of the checkpoint that was seen first */
        uint64_t size;
        bool is_shared; /* another one has it, too */
    } * items;          /* by the name's number */
    size_t capacity;
};

static void references_done(struct references *references)
{
    crn_names_done(&references->names);
    free(references->items);
}

static int begin_references(void *context, cairn_error **reterr)
{
    struct references *references = context;
    (void)reterr;
    crn_names_done(&references->names);
    return 0;
}

static int add_reference(struct references *to, const char *object, uint64_t size, uint64_t id)
{
    size_t number;
    int r = crn_names_add(&to->names, object, &number);
    if (r < 0)
        return r;
    if (r == 0) {
        to->items[number].is_shared |= to->items[number].id != id;
        return 0;
    }
    if (number == to->capacity) {
        size_t capacity = to->capacity ? 2 * to->capacity : 1024;
        struct reference *items = realloc(to->items, capacity * sizeof *items);
        if (items == NULL)
            return CAIRN_ENOMEM;
        to->items = items;
        to->capacity = capacity;
    }
    to->items[number] = (struct reference){id, size, false};
    return 0;
}

static int add_record_references(void *context, const struct crn_joblog_entry *entry,
                                 cairn_error **reterr)
{
    const struct crn_record *record = entry->record;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++) {
            const struct crn_subtask *subtask = &op->subtasks[s];
            for (size_t f = 0; f < subtask->file_count; f++) {
                const struct crn_file *file = &subtask->files[f];
                if (file->info.object != NULL &&
                    add_reference(context, file->info.object, crn_file_object_size(file),
                                  entry->id) < 0)
                    return crn_err_nomem(reterr);
            }
        }
    }
    return 0;
}

static cairn_record_info *info_of(const struct cairn_log *log, uint64_t id)
{
    size_t low = log->count - log->log.count, high = log->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->infos[middle].id <= id)
            low = middle;
        else
            high = middle;
    }
    return &log->infos[low];
}

/* What only one checkpoint references would be freed with it, and its manifest. */
static void add_exclusive_bytes(struct cairn_log *log, const struct references *references)
{
    size_t first = log->count - log->log.count;
    for (size_t i = 0; i < log->log.count; i++)
        log->infos[first + i].exclusive_bytes = log->log.entries[i].manifest_bytes;
    for (size_t i = 0; i < references->names.count; i++)
        if (!references->items[i].is_shared)
            info_of(log, references->items[i].id)->exclusive_bytes += references->items[i].size;
}

static const struct crn_record *newest_readable(const struct crn_joblog *log)
{
    for (size_t i = log->count; i-- > 0;) {
        if (log->entries[i].record != NULL)
            return log->entries[i].record;
    }
    return NULL;
}

/* What is known of a record that cannot be read: what a later one remembers, if any. */
static cairn_record_info unreadable_info(const struct crn_joblog_entry *entry,
                                         const struct crn_record *newest)
{
    cairn_record_info info = {0};
    for (size_t i = 0; newest != NULL && i < newest->history_count; i++) {
        if (newest->history[i].info.id == entry->id)
            info = newest->history[i].info;
    }
    info.id = entry->id;
    info.state = CAIRN_STATE_UNREADABLE;
    info.reason = cairn_error_message(entry->error);
    info.manifest_bytes = entry->manifest_bytes;
    return info;
}

static void complete_texts(cairn_record_info *info)
{
    if (info->reason == NULL)
        info->reason = "";
    if (info->host == NULL)
        info->host = "";
    if (info->library_version == NULL)
        info->library_version = "";
    if (info->location == NULL)
        info->location = "";
    if (info->source_location == NULL)
        info->source_location = "";
    if (info->source_job == NULL)
        info->source_job = "";
}

/* The newest incarnation needs the snapshot from elsewhere that it was started from, until a
 * checkpoint of its own is complete: that has everything in the job's own directory. What an older
 * incarnation was started from nobody goes back to. */
static void tell_source_needed(struct cairn_log *log)
{
    const struct crn_record *newest = newest_readable(&log->log);
    if (newest == NULL || newest->info.source_id == 0)
        return;
    for (size_t i = 0; i < log->count; i++)
        if (log->infos[i].epoch == newest->info.epoch &&
            log->infos[i].kind == CAIRN_RECORD_CHECKPOINT)
            return;
    for (size_t i = 0; i < log->count; i++)
        log->infos[i].source_needed =
            log->infos[i].epoch == newest->info.epoch && log->infos[i].source_id != 0;
}

static int fill_infos(struct cairn_log *log, const struct references *references,
                      cairn_error **reterr)
{
    const struct crn_joblog *entries = &log->log;
    const struct crn_record *newest = newest_readable(entries);
    size_t history = newest != NULL ? newest->history_count : 0;
    uint64_t first_id = entries->entries[0].id;

    log->infos = calloc(history + entries->count, sizeof *log->infos);
    if (log->infos == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < history; i++) {
        if (newest->history[i].info.id < first_id)
            log->infos[log->count++] = newest->history[i].info;
    }
    for (size_t i = 0; i < entries->count; i++) {
        const struct crn_joblog_entry *entry = &entries->entries[i];
        log->infos[log->count++] =
            entry->record != NULL ? entry->record->info : unreadable_info(entry, newest);
    }
    for (size_t i = 0; i < log->count; i++)
        complete_texts(&log->infos[i]);
    tell_source_needed(log);
    add_exclusive_bytes(log, references);
    return 0;
}

/* A mark that cannot be read is one all the same. */
static int read_claim(cairn_store *store, struct cairn_log *log, cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(crn_joblog_key(log->log.job, crn_mark_key(CRN_MARK_CLAIM), &key, reterr));
    int r = crn_store_get_bytes(store, key, CRN_LIMIT_MARK, &bytes, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r == 0)
        r = crn_mark_decode(key, bytes.data, bytes.size, &mark, &error);
    if (r == CAIRN_ECORRUPT || r == CAIRN_EVERSION)
        return crn_str_printf(&log->claimed_by, reterr, "somebody (%s)",
                              cairn_error_message(error));
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    return crn_str_printf(&log->claimed_by, reterr, "job '%s', by process %llu on '%s'", mark.job,
                          (unsigned long long)mark.pid, mark.host);
}

int cairn_log_open(cairn_store *store, const char *job, cairn_log **ret_log, cairn_error **reterr)
{
    CRN_CLEANUP(references_done) struct references references = {0};
    const struct crn_joblog_visitor visitor = {begin_references, add_record_references,
                                               &references};
    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    struct cairn_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return crn_err_nomem(reterr);
    int r = crn_joblog_visit_judged(store, job, &visitor, &log->log, reterr);
    if (r == 0)
        r = fill_infos(log, &references, reterr);
    if (r == 0)
        r = read_claim(store, log, reterr);
    if (r < 0) {
        cairn_log_close(log);
        return r;
    }
    *ret_log = log;
    return 0;
}

int cairn_log_is_savepoint(const cairn_log *log)
{
    return log != NULL && crn_joblog_is_savepoint(&log->log);
}

const char *cairn_log_claimed_by(const cairn_log *log)
{
    return log == NULL ? NULL : log->claimed_by;
}

size_t cairn_log_size(const cairn_log *log)
{
    return log == NULL ? 0 : log->count;
}

const cairn_record_info *cairn_log_at(const cairn_log *log, size_t i)
{
    return log != NULL && i < log->count ? &log->infos[i] : NULL;
}

void cairn_log_close(cairn_log *log)
{
    if (log == NULL)
        return;
    crn_joblog_done(&log->log);
    free(log->infos);
    free(log->claimed_by);
    free(log);
}
