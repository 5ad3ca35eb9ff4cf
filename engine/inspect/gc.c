/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Garbage collection from outside a job: remove what no retained checkpoint references (P6), and
 * never anything else (P5). Safe beside the running job and other collectors, without a lock,
 * because every decision is made irrevocable in the log before the first object goes:
 *
 *   1. List the objects, then read the log (survey.c says why in this order). Any record that is
 *      missing or unreadable ends it here: what it references is not known.
 *   2. Objects of ids above the head belong to checkpoints in flight, or to some that a crash cut
 * short; from here nobody can tell. So these ids are resolved as aborted, one after another. If the
 * job commits one first, our record loses: the log is read again, and the objects are live. If ours
 * is first, the job's commit loses: it takes this one attempt for aborted and goes on. Either way
 * the id is decided, once. Those of a writer that has been fenced are dead as they are.
 *   3. All listed objects are judged by the log as it is now, and only then the first one is
 * removed: manifests below the log's begin first, so that none of them outlives what it references,
 * then objects, in batches. Removing what is gone already is success.
 *
 * An intent (engine/savepoint/directory.h) that is dead says where an attempt at a savepoint began
 * to write. What stands there is settled before the intent goes; if that cannot be done now, the
 * intent stays and is found again.
 *
 * A savepoint's directory is not collected: it belongs to its owner, and no record may be added to
 * its log.
 *
 * The record of step 2 carries the head's own epoch: it aborts an attempt but fences nobody (P7).
 *
 * @crash between any two steps: what is left is found again by the next run.
 */

#include "backends/storage/storage.h"
#include "base/thread.h"
#include "cairn/inspect.h"
#include "engine/options.h"
#include "engine/inspect/survey.h"
#include "engine/savepoint/directory.h"
#include <inttypes.h>
#include <string.h>

#define SETTLE_ATTEMPTS 32u
#define BATCH 1000u
#define TEMPORARY_MIN_AGE_MS (UINT64_C(60) * 60 * 1000) /* no single put takes an hour */

struct gc {
    cairn_store *store;
    const char *job;
    cairn_gc_options options;
    struct crn_survey survey;
    const struct crn_survey_object **doomed; /* manifests first */
    size_t doomed_count;
    cairn_gc_report report;
};

static void gc_done(struct gc *gc)
{
    crn_survey_done(&gc->survey);
    free(gc->doomed);
}

/* --- step 2: decide what is in flight --- */

static const struct crn_record *head_record(const struct crn_joblog *log)
{
    return log->entries[log->count - 1].record;
}

static int describe_abort(const struct gc *gc, struct crn_record *record, cairn_error **reterr)
{
    const struct crn_joblog *log = &gc->survey.log;
    const struct crn_record *head = head_record(log);
    CRN_AUTO_FREE char *reason = NULL;
    char host[256] = "";

    if (gethostname(host, sizeof host - 1) != 0)
        memcpy(host, "unknown", sizeof "unknown");
    CRN_TRY(crn_str_printf(&reason, reterr,
                           "removed by garbage collection on host %s (process %ld)", host,
                           (long)getpid()));
    record->info.id = log->head_id + 1;
    record->info.kind = CAIRN_RECORD_ABORTED;
    record->info.state = CAIRN_STATE_ABORTED;
    record->info.epoch = log->epoch;
    record->info.log_start = log->log_start;
    record->info.restored_id = head->info.restored_id;
    record->info.trigger_time_ms = record->info.commit_time_ms = crn_wall_ms();
    record->info.pid = (uint64_t)getpid();
    crn_random_bytes(record->info.uuid, sizeof record->info.uuid);
    record->has_previous_hash = true;
    record->previous_hash = log->head_hash;
    record->ids_ahead = head->ids_ahead;
    record->job = strdup(gc->job);
    if (record->job == NULL || crn_record_set_text(&record->info.reason, reason) < 0 ||
        crn_record_set_text(&record->info.host, host) < 0 ||
        crn_record_set_text(&record->info.library_version, cairn_version()) < 0 ||
        crn_log_extend_history(record, head) < 0)
        return crn_err_nomem(reterr);
    crn_record_finish(record);
    return 0;
}

/* 0: whoever was first, the id above the head is resolved now, or somebody is about to. */
static int resolve_next_id(struct gc *gc, cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_record_new();
    CRN_AUTO_RECORD struct crn_record *found = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_hash128 hash;

    if (record == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(describe_abort(gc, record, reterr));
    int r = crn_joblog_commit(gc->store, record, &hash, &found, &error);
    if (r == 0 || r == CAIRN_EEXIST || r == CAIRN_EFENCED)
        return 0;
    return crn_err_move(reterr, &error, r);
}

static bool has_unresolved(const struct gc *gc)
{
    for (size_t i = 0; i < gc->survey.count; i++) {
        if (crn_survey_status(&gc->survey, &gc->survey.objects[i]) == CAIRN_OBJECT_UNRESOLVED)
            return true;
    }
    return false;
}

/* Reads the log until it has an answer for every listed object: normally once more than there were
 * attempts in flight when the objects were listed. */
static int settle(struct gc *gc, cairn_error **reterr)
{
    for (unsigned attempt = 0; attempt < SETTLE_ATTEMPTS; attempt++) {
        CRN_TRY(crn_survey_read_log(gc->store, gc->job, &gc->survey, reterr));
        if (crn_joblog_is_savepoint(&gc->survey.log))
            return crn_err_fail(
                reterr, CAIRN_EINVAL, gc->job,
                "'%s' is a savepoint, which holds nothing but itself: to remove it, "
                "dispose of it",
                gc->job);
        if (!has_unresolved(gc) || gc->options.dry_run || gc->options.keep_unresolved)
            return 0;
        CRN_TRY(resolve_next_id(gc, reterr));
    }
    return crn_err_fail(reterr, CAIRN_EBUSY, gc->job,
                        "others keep racing for the log of job '%s': try again later", gc->job);
}

/* --- step 3: judge, then remove --- */

static bool is_manifest(const struct crn_survey_object *object)
{
    return crn_key_parse(object->key).type == CRN_KEY_MANIFEST;
}

/* Manifests by id, then objects by key. */
static int compare_doomed(const void *a, const void *b)
{
    const struct crn_survey_object *x = *(const struct crn_survey_object *const *)a;
    const struct crn_survey_object *y = *(const struct crn_survey_object *const *)b;
    struct crn_key_info key_x = crn_key_parse(x->key), key_y = crn_key_parse(y->key);
    bool manifest_x = key_x.type == CRN_KEY_MANIFEST, manifest_y = key_y.type == CRN_KEY_MANIFEST;
    if (manifest_x != manifest_y)
        return manifest_x ? -1 : 1;
    if (manifest_x)
        return (key_x.id > key_y.id) - (key_x.id < key_y.id);
    return strcmp(x->key, y->key);
}

static int judge(struct gc *gc, cairn_error **reterr)
{
    gc->doomed = calloc(gc->survey.count + 1, sizeof(*gc->doomed));
    if (gc->doomed == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < gc->survey.count; i++) {
        const struct crn_survey_object *object = &gc->survey.objects[i];
        cairn_object_status status = crn_survey_status(&gc->survey, object);
        if (status == CAIRN_OBJECT_DEAD)
            gc->doomed[gc->doomed_count++] = object;
        else if (status == CAIRN_OBJECT_UNRESOLVED && gc->options.keep_unresolved)
            gc->report.kept_unresolved++;
        else if (status == CAIRN_OBJECT_UNRESOLVED) /* a dry run: they would be resolved, and go */
            gc->doomed[gc->doomed_count++] = object;
    }
    qsort(gc->doomed, gc->doomed_count, sizeof(*gc->doomed), compare_doomed);
    return 0;
}

static int remove_batch(struct gc *gc, size_t first, size_t count, cairn_error **reterr)
{
    char *keys[BATCH] = {0};
    size_t made = 0;
    int r = 0;
    while (r == 0 && made < count) {
        r = crn_joblog_key(gc->job, gc->doomed[first + made]->key, &keys[made], reterr);
        made += r == 0;
    }
    if (r == 0)
        r = gc->store->ops->remove(gc->store, (const char *const *)keys, count, reterr);
    for (size_t i = 0; i < made; i++)
        free(keys[i]);
    return r;
}

static void report_batch(struct gc *gc, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        const struct crn_survey_object *object = gc->doomed[i];
        gc->report.removed_count++;
        gc->report.removed_bytes += object->size;
        if (gc->options.object != NULL)
            gc->options.object(gc->options.context, object->key, object->size);
    }
}

/* A batch does not mix manifests and objects: the store may remove a batch in any order. */
static size_t batch_size(const struct gc *gc, size_t first)
{
    bool manifest = is_manifest(gc->doomed[first]);
    size_t n = 1;
    while (n < BATCH && first + n < gc->doomed_count &&
           is_manifest(gc->doomed[first + n]) == manifest)
        n++;
    return n;
}

/* Intents whose targets cannot be settled are left out of what is removed. Returns the first
 * failure. */
static int settle_intents(struct gc *gc, cairn_error **reterr)
{
    int first_failure = 0;
    size_t kept = 0;
    for (size_t i = 0; i < gc->doomed_count; i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        uint64_t removed = 0;
        int r = 0;
        if (!gc->options.dry_run && crn_intent_is(gc->doomed[i]->key))
            r = crn_intent_settle(gc->store, gc->job, gc->doomed[i]->key, &removed, &error);
        gc->report.removed_count += removed;
        if (r == 0)
            gc->doomed[kept++] = gc->doomed[i];
        else if (first_failure == 0)
            first_failure = crn_err_move(reterr, &error, r);
    }
    gc->doomed_count = kept;
    return first_failure;
}

/* What cannot be removed does not keep the rest from going, which is dead as well: a manifest below
 * the log's begin counts for nothing, whatever it references. Only a store that does not answer is
 * left alone. Returns the first failure. */
static int remove_doomed(struct gc *gc, cairn_error **reterr)
{
    int first_failure = 0;
    for (size_t first = 0, n; first < gc->doomed_count; first += n) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        n = batch_size(gc, first);
        int r = gc->options.dry_run ? 0 : remove_batch(gc, first, n, &error);
        if (r == 0)
            report_batch(gc, first, n);
        else if (first_failure == 0)
            first_failure = crn_err_move(reterr, &error, r);
        if (cairn_error_class_of(r) == CAIRN_CLASS_RETRY)
            break;
    }
    return first_failure;
}

static int reap(struct gc *gc, cairn_error **reterr)
{
    CRN_AUTO_FREE char *prefix = NULL;
    if (gc->options.dry_run)
        return 0;
    CRN_TRY(crn_joblog_key(gc->job, "", &prefix, reterr));
    return crn_store_reap(gc->store, prefix, TEMPORARY_MIN_AGE_MS, &gc->report.temporary_count,
                          reterr);
}

int cairn_gc(cairn_store *store, const char *job, const cairn_gc_options *options,
             cairn_gc_report *ret_report, cairn_error **reterr)
{
    CRN_CLEANUP(gc_done) struct gc gc = {.store = store, .job = job};

    CRN_TRY(crn_options_in(&gc.options, sizeof gc.options, options, "cairn_gc_options", reterr));
    CRN_TRY(crn_survey_list(store, job, &gc.survey, reterr));
    CRN_TRY(settle(&gc, reterr));
    CRN_TRY(judge(&gc, reterr));
    CRN_AUTO_ERROR cairn_error *unsettled = NULL;
    const int r = settle_intents(&gc, &unsettled);
    CRN_TRY(remove_doomed(&gc, reterr));
    CRN_TRY(reap(&gc, reterr));
    if (r < 0)
        return crn_err_move(reterr, &unsettled, r);
    return ret_report == NULL ? 0
                              : crn_options_out(ret_report, &gc.report, sizeof gc.report,
                                                "cairn_gc_report", reterr);
}
