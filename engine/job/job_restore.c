/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job does with its log when it opens: read it, take it over with a fence record, choose the
 * checkpoint to restore from.
 *
 * The fence has the next id and the next epoch. Since ids are dense and each is created once,
 * whatever an earlier incarnation still tries to commit collides with it or with what follows (P7).
 * If somebody else commits first, the log is read again: what we restore from is always chosen from
 * a log whose next id is our fence, so nothing can slip between the choice and the take-over.
 *
 * A job that was stopped with a savepoint goes on from that (engine/restore/stopped.c). And the
 * checkpoint may be any snapshot elsewhere (engine/restore/source.c). One that is claimed, or
 * built upon, becomes a checkpoint of the job right behind the fence (import.c); what was claimed
 * is removed when the job has started from it (release.c).
 *
 * Crash: the fence may be left. It references nothing and is harmless.
 */
#include "engine/job/job.h"

#include "engine/restore/source.h"
#include "engine/status/fields.h"
#include "engine/transfer/fetch.h"

#include <assert.h>
#include <string.h>

/* Racing openers need one retry per rival; more than this means somebody restarts in a loop. */
#define FENCE_TRIES 16

static int choose_newest_whole(struct cairn_job *job, cairn_error **reterr);

/* Is every file of this checkpoint there, with the right bytes? */
static int verify_checkpoint(struct cairn_job *job, const struct crn_record *record,
                             cairn_error **reterr)
{
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++) {
            const struct crn_subtask *subtask = &op->subtasks[s];
            CRN_AUTO_FREE const struct crn_file **files =
                calloc(subtask->file_count + 1, sizeof *files);
            if (files == NULL)
                return crn_err_nomem(reterr);
            for (size_t f = 0; f < subtask->file_count; f++)
                files[f] = &subtask->files[f];
            struct crn_fetch_request request = {
                .store = job->source.store,
                .job = job->source.name,
                .files = files,
                .count = subtask->file_count,
                .threads = job->options.transfer_threads,
                .downloads = &job->downloads,
            };
            uint64_t bytes;
            CRN_TRY(crn_fetch(&request, &bytes, reterr));
        }
    }
    return 0;
}

/* The ids of another log mean nothing in this one. */
static void restore_from(struct cairn_job *job, const struct crn_record *record)
{
    job->restored = record;
    job->restored_id = job->source.is_foreign ? 0 : record->info.id;
    crn_publish_info(&record->info, &job->restored_info);
}

/* Damage elsewhere in the log does not keep the service from starting, but somebody should look. */
static void log_damage(const struct cairn_job *job)
{
    for (size_t i = 0; i < job->joblog.count; i++)
        if (job->joblog.entries[i].record == NULL)
            crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                          "job '%s': a stored record cannot be read: %s", job->name,
                          cairn_error_message(job->joblog.entries[i].error));
}

static bool names_source(const struct cairn_job *job)
{
    return job->options.restore_uri != NULL || job->options.restore_store != NULL;
}

/* The lowest record that the head needs is gone, and only a newer record lets it go: the head that
 * we see may not be the newest. Going back silently is for a person to decide: by fallback, or by
 * naming the checkpoint. */
static int check_is_newest(const struct cairn_job *job, cairn_error **reterr)
{
    if (!crn_joblog_misses_its_begin(&job->joblog))
        return 0;
    cairn_error *copy = crn_err_copy(job->joblog.entries[0].error);
    return crn_err_move(reterr, &copy, CAIRN_EMISSING);
}

/* wanted: 0 for the newest one. */
static int choose_own(struct cairn_job *job, uint64_t wanted, cairn_error **reterr)
{
    if (job->options.start_empty)
        return 0;
    if (job->options.restore_fallback)
        return choose_newest_whole(job, reterr);
    const struct crn_record *record = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_joblog_find(&job->joblog, wanted, &record, &error);
    if (r == CAIRN_ENOTFOUND && wanted == 0 && job->joblog.count == 0 && !names_source(job))
        return 0; /* a fresh job */
    if (r == 0 && wanted == 0)
        r = check_is_newest(job, &error);
    if (r == CAIRN_ENOTFOUND && wanted == 0 && !names_source(job))
        r = crn_joblog_require_whole(&job->joblog, &error); /* never had one, or lost it? */
    if (r < 0 && wanted == 0)
        crn_err_prefix(&error,
                       "the newest checkpoint of job '%s' cannot be restored (restore_fallback "
                       "takes the newest older one that is whole)",
                       job->name);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    if (record != NULL)
        restore_from(job, record);
    log_damage(job);
    return 0;
}

/* Has it ever completed a checkpoint that it still has, or been stopped with a savepoint that it
 * may go on from, as far as can be told? */
static bool has_own_snapshot(const struct cairn_job *job)
{
    for (size_t i = 0; i < job->joblog.count; i++) {
        const struct crn_record *record = job->joblog.entries[i].record;
        const bool goes_on = record != NULL && record->info.is_stop;
        if (record == NULL || crn_record_is_restorable(record) ||
            (goes_on && !job->options.prefer_checkpoint))
            return true;
    }
    return false;
}

/* A source that was named is for the first start only, and this is a later one. */
static bool passes_source_over(const struct cairn_job *job)
{
    return names_source(job) && job->options.restore_only_if_new && has_own_snapshot(job);
}

/* The removal of a snapshot that was claimed and imported was cut short: what is left there is the
 * job's own already, and the job may have gone on since. 1, 0, or the store's error. */
static int was_imported(const struct cairn_job *job, const struct crn_record *source,
                        cairn_error **reterr)
{
    const struct crn_joblog *log = &job->joblog;
    const struct crn_record *head = log->count > 0 ? log->entries[log->count - 1].record : NULL;
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_record *record = log->entries[i].record;
        if (record != NULL && crn_record_is_restorable(record) &&
            record->info.source_mode == CAIRN_CLAIM &&
            memcmp(record->info.source_uuid, source->info.uuid, sizeof source->info.uuid) == 0)
            return 1;
    }
    for (size_t i = 0; head != NULL && i < head->history_count; i++) {
        const cairn_record_info *info = &head->history[i].info;
        if (info->kind != CAIRN_RECORD_CHECKPOINT || info->source_location == NULL ||
            strcmp(info->source_location, job->source.location) != 0)
            continue;
        int r = crn_claim_is_imported(job, job->source.store, job->source.name, info->id,
                                      source->info.uuid, NULL, reterr);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Without a word about what to start from: where the job was stopped, or its newest checkpoint. */
static int choose_newest(struct cairn_job *job, cairn_error **reterr)
{
    const cairn_job_options *o = &job->options;
    const struct crn_record *record = NULL;
    const struct crn_record *pointer = crn_stopped_find(&job->joblog);
    if (pointer == NULL || o->start_empty || o->restore_fallback || o->prefer_checkpoint)
        return choose_own(job, 0, reterr);
    CRN_TRY(check_is_newest(job, reterr));
    CRN_TRY(crn_stopped_choose(job, pointer, &record, reterr));
    restore_from(job, record);
    log_damage(job);
    return 0;
}

static int choose_source(struct cairn_job *job, cairn_error **reterr)
{
    const struct crn_record *record = NULL;
    bool is_own = false;
    CRN_TRY(crn_source_open(job, &is_own, reterr));
    if (is_own)
        return choose_own(job, job->source.wanted_id, reterr);
    CRN_TRY(crn_source_choose(job, &record, reterr));
    int r = job->source.mode == CAIRN_CLAIM ? was_imported(job, record, reterr) : 0;
    if (r < 0)
        return r;
    if (r > 0) {
        crn_source_reset(job);
        return choose_newest(job, reterr); /* the id that was named is the source's */
    }
    restore_from(job, record);
    log_damage(job);
    return 0;
}

static int choose(struct cairn_job *job, cairn_error **reterr)
{
    crn_source_reset(job);
    job->restored = NULL;
    job->restored_id = 0;
    job->restored_info = (cairn_checkpoint_info){0};
    job->skipped_count = 0;
    if (!names_source(job))
        return job->options.restore_checkpoint_id != 0
                   ? choose_own(job, job->options.restore_checkpoint_id, reterr)
                   : choose_newest(job, reterr);
    if (passes_source_over(job))
        return choose_newest(job, reterr); /* the id that was named is the source's */
    return choose_source(job, reterr);
}

static void log_skipped(struct cairn_job *job, uint64_t id, const cairn_error *error)
{
    crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                  "job '%s': skipping checkpoint %llu, which cannot be read: %s", job->name,
                  (unsigned long long)id, cairn_error_message(error));
}

static int note_skipped(struct cairn_job *job, uint64_t id, cairn_error **reterr)
{
    uint64_t *skipped = reallocarray(job->skipped, job->skipped_count + 1, sizeof *job->skipped);
    if (skipped == NULL)
        return crn_err_nomem(reterr);
    job->skipped = skipped;
    skipped[job->skipped_count++] = id;
    return 0;
}

/* The newest checkpoint that is whole down to the last byte. Having skipped something and found
 * nothing is an error: starting empty would lose what a person could still mend. */
static int choose_newest_whole(struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *first = NULL;
    int code = 0;
    for (size_t i = job->joblog.count; i-- > 0;) {
        const struct crn_joblog_entry *entry = &job->joblog.entries[i];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        if (entry->record != NULL && !crn_record_is_restorable(entry->record))
            continue;
        int r = entry->record == NULL ? cairn_error_code(entry->error)
                                      : verify_checkpoint(job, entry->record, &error);
        if (r == 0 && entry->record != NULL) {
            restore_from(job, entry->record);
            job->gc_wanted = code < 0;
            return 0;
        }
        /* A bad sector is this object's trouble. If it is the whole store's, nothing is found whole
         * and the open fails. */
        if (cairn_error_class_of(r) != CAIRN_CLASS_DATA && r != CAIRN_ENOTFOUND && r != CAIRN_EIO &&
            r != CAIRN_EACCES)
            return crn_err_move(reterr, &error, r);
        const cairn_error *why = entry->record == NULL ? entry->error : error;
        log_skipped(job, entry->id, why);
        CRN_TRY(note_skipped(job, entry->id, reterr));
        if (code == 0) {
            code = r;
            first = crn_err_copy(why);
        }
    }
    if (code == 0)
        return 0;
    (void)crn_err_move(reterr, &first, code);
    crn_err_prefix(reterr, "no checkpoint of job '%s' is whole; the newest", job->name);
    return code;
}

/* One try to commit the fence; one without a record before it begins the log. CAIRN_EEXIST or
 * CAIRN_EFENCED: somebody was faster, read again. */
static int commit_fence(struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *fence = NULL;
    CRN_AUTO_RECORD struct crn_record *found = NULL;
    struct crn_hash128 hash;
    job->epoch = job->joblog.epoch + 1;
    CRN_TRY(
        crn_publish_new_record(job, job->joblog.head_id + 1, CAIRN_RECORD_FENCE, &fence, reterr));
    int (*commit)(cairn_store *, const struct crn_record *, struct crn_hash128 *,
                  struct crn_record **, cairn_error **) =
        job->joblog.count == 0 ? crn_joblog_commit_anew : crn_joblog_commit;
    CRN_TRY(commit(job->store, fence, &hash, &found, reterr));
    crn_publish_append_head(job, CRN_TAKE(fence), &hash);
    return 0;
}

static bool wants_other_than_newest(const struct cairn_job *job)
{
    const cairn_job_options *o = &job->options;
    return o->start_empty || o->restore_fallback || o->restore_checkpoint_id != 0;
}

static int fail_full_log(const struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    char manifest[CRN_KEY_MAX];
    crn_key_manifest(manifest, UINT64_MAX);
    CRN_TRY(crn_joblog_key(job->name, manifest, &key, reterr));
    return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                        "job '%s': nothing can follow '%s', which has the highest id there is and "
                        "cannot be Cairn's: remove it",
                        job->name, key);
}

/* A savepoint is not written to: its directory is no job's. */
static int check_is_job(const struct cairn_job *job, cairn_error **reterr)
{
    for (size_t i = 0; i < job->joblog.count; i++) {
        const struct crn_record *record = job->joblog.entries[i].record;
        if (record != NULL && record->info.kind == CAIRN_RECORD_SAVEPOINT &&
            crn_record_is_restorable(record))
            return crn_err_fail(reterr, CAIRN_EINVAL, job->name,
                                "'%s' is the directory of a savepoint of job '%s', and cannot be a "
                                "job's: start a job from it with restore_uri",
                                job->name, record->job);
    }
    return crn_claim_check_own(job, reterr);
}

/* With its top lost, what looks like an older job, or like none, is a damaged one: going on would
 * restore less than there was, and give out object names again. Objects of the next ids may be of
 * attempts that a crash cut short; but if the log shows that a newer record is lost, this is the
 * one, and who wants to go back has to say so. */
static int judge_log(struct cairn_job *job, const struct crn_joblog_objects *objects,
                     cairn_error **reterr)
{
    struct crn_joblog *log = &job->joblog;
    if (log->head_id == 0)
        return objects->last_id > 1 ? crn_joblog_fail_lost(job->name, objects, reterr) : 0;
    if (!crn_joblog_has_lost_top(log, objects) && wants_other_than_newest(job))
        return 0;
    CRN_TRY(crn_joblog_judge_top(log, objects, reterr));
    return log->lost_top ? crn_joblog_require_whole(log, reterr) : 0;
}

/* What is lost is given up: the log begins anew, with the fence, above all that can have been in
 * it. So object names stay unique, a writer of the lost log meets this one's records or misses its
 * own head (P7), and what was there is below the log's begin, where nothing is live (P5). */
static int begin_log_anew(struct cairn_job *job, const struct crn_joblog_objects *objects,
                          const cairn_error *lost, cairn_error **reterr)
{
    struct crn_joblog *log = &job->joblog;
    const uint64_t epoch = log->epoch > objects->epoch ? log->epoch : objects->epoch;
    if (objects->last_id == UINT64_MAX || epoch == UINT64_MAX)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, job->name,
                            "job '%s': nothing can follow an object with the highest id or epoch "
                            "there is, which cannot be Cairn's: remove it",
                            job->name);
    crn_joblog_done(log);
    log->job = crn_str_dup_n(job->name, strlen(job->name));
    if (log->job == NULL)
        return crn_err_nomem(reterr);
    log->head_id = objects->last_id;
    log->epoch = epoch;
    crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                  "job '%s': starting empty gives up what is lost; ids go on above %llu: %s",
                  job->name, (unsigned long long)log->head_id, cairn_error_message(lost));
    return 0;
}

/* The objects are listed first: the log may grow meanwhile, but not fall behind. */
static int read_log(struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *lost = NULL;
    struct crn_joblog_objects objects;
    CRN_TRY(crn_joblog_look(job->store, job->name, &objects, reterr));
    crn_joblog_done(&job->joblog);
    CRN_TRY(crn_joblog_read(job->store, job->name, &job->joblog, reterr));
    if (job->joblog.head_id == UINT64_MAX)
        return fail_full_log(job, reterr);
    CRN_TRY(check_is_job(job, reterr));
    int r = judge_log(job, &objects, &lost);
    if (r == CAIRN_EMISSING && job->options.start_empty)
        return begin_log_anew(job, &objects, lost, reterr);
    return r < 0 ? crn_err_move(reterr, &lost, r) : 0;
}

/* The log is read, the choice is made, and the fence stands right behind what was read. */
static int fence_off(struct cairn_job *job, cairn_error **reterr)
{
    for (int tries = 0; tries < FENCE_TRIES; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_TRY(read_log(job, reterr));
        CRN_TRY(choose(job, reterr));
        const size_t restored_at = job->joblog.count;
        int r = commit_fence(job, &error);
        if (r == 0) {
            /* The log's array may have moved; records themselves have not. */
            assert(restored_at + 1 == job->joblog.count);
            return 0;
        }
        if (r != CAIRN_EEXIST && r != CAIRN_EFENCED)
            return crn_err_move(reterr, &error, r);
        crn_sleep_us(crn_random_u64() % (20000u << (tries < 5 ? tries : 5)));
    }
    return crn_err_fail(reterr, CAIRN_EBUSY, NULL,
                        "other processes keep taking over job '%s': is it started twice?",
                        job->name);
}

/* The newest checkpoint of the job's own, of before this start; 0: none. */
static uint64_t newest_own(const struct cairn_job *job)
{
    for (size_t i = job->joblog.count; i-- > 0;) {
        const struct crn_record *record = job->joblog.entries[i].record;
        if (record != NULL && crn_record_is_restorable(record))
            return record->info.id;
    }
    return 0;
}

/* From where an earlier incarnation was started; NULL: none was, as far as the log remembers. */
static const char *last_source(const struct crn_record *head)
{
    for (size_t i = head->history_count; i-- > 0;) {
        const char *location = head->history[i].info.source_location;
        if (location != NULL && location[0] != '\0')
            return location;
    }
    return NULL;
}

/* What somebody may not have meant. The log ends with our fence. */
static void warn_of_loss(const struct cairn_job *job)
{
    const uint64_t own = newest_own(job);
    const struct crn_joblog *log = &job->joblog;
    if (job->source.is_foreign && !job->source.is_stop && own != 0)
        crn_log_write(
            &job->log, CAIRN_LOG_WARNING, "restore",
            "job '%s': its own checkpoint %llu is ignored, and subsumed by the next ones: "
            "restore_uri says so; restore_only_if_new would keep it",
            job->name, (unsigned long long)own);
    if (job->restored != NULL || job->options.start_empty)
        return;
    const char *location = last_source(log->entries[log->count - 1].record);
    if (location != NULL)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                      "job '%s': it was started from '%s' and has no checkpoint of its own: "
                      "starting empty; set restore_uri again",
                      job->name, location);
}

static void log_take_over(const struct cairn_job *job)
{
    const char *from = job->source.is_foreign ? job->source.location : "";
    crn_tell(&job->log, CAIRN_LOG_INFO, "job",
             CRN_FACTS(.told = CRN_TOLD_JOB_OPENED, .checkpoint_id = job->joblog.head_id,
                       .epoch = job->epoch, .restored_id = job->restored_info.id,
                       .location = from[0] != '\0' ? from : NULL),
             "job '%s': epoch %llu begins at id %llu; restored checkpoint: %llu%s%s", job->name,
             (unsigned long long)job->epoch, (unsigned long long)job->joblog.head_id,
             (unsigned long long)job->restored_info.id,
             job->restored == NULL    ? " (none: starting empty)"
             : job->source.is_stop    ? ", the savepoint that it was stopped with, in "
             : job->source.is_foreign ? " of "
                                      : "",
             from);
    if (passes_source_over(job))
        crn_log_write(&job->log, CAIRN_LOG_INFO, "restore",
                      "job '%s': '%s' is passed over: the job goes on from what it has of its own, "
                      "as restore_only_if_new says",
                      job->name,
                      job->options.restore_uri != NULL ? job->options.restore_uri
                                                       : job->options.restore_name);
    warn_of_loss(job);
}

int crn_job_take_over(struct cairn_job *job, cairn_error **reterr)
{
    CRN_TRY(fence_off(job, reterr));
    /* Whoever claimed this job's directory while we were at it marked it before it looked at the
     * log: either it saw our fence, or we see its mark. */
    CRN_TRY(crn_claim_check_own(job, reterr));
    log_take_over(job);
    if (job->source.is_foreign && job->source.mode != CAIRN_NO_CLAIM) {
        if (job->source.mode == CAIRN_CLAIM)
            CRN_TRY(crn_claim(job, reterr));
        CRN_TRY(crn_import(job, reterr));
        crn_source_reset(job);
    }
    return 0;
}

char *crn_job_describe_writer(const cairn_record_info *info)
{
    char *words = NULL;
    (void)crn_str_printf(&words, NULL, "process %llu on '%s' (epoch %llu)",
                         (unsigned long long)info->pid, info->host,
                         (unsigned long long)info->epoch); /* only words: may stay NULL */
    return words;
}

char *crn_job_find_successor(struct cairn_job *job)
{
    struct crn_joblog log = {0};
    char *words = crn_claim_find_claimer(job);
    if (words == NULL && crn_joblog_read(job->store, job->name, &log, NULL) == 0)
        for (size_t i = log.count; i-- > 0 && words == NULL;)
            if (log.entries[i].record != NULL && log.entries[i].record->info.epoch > job->epoch)
                words = crn_job_describe_writer(&log.entries[i].record->info);
    crn_joblog_done(&log);
    return words;
}

int crn_job_blame_successor(struct cairn_job *job, int code, cairn_error **reterr)
{
    if (code != CAIRN_EMISSING)
        return code;
    CRN_AUTO_FREE char *successor = crn_job_find_successor(job);
    if (successor == NULL)
        return code;
    if (reterr != NULL)
        cairn_error_free(CRN_TAKE(*reterr));
    return crn_err_fail(reterr, CAIRN_EFENCED, NULL,
                        "%s took over and has removed checkpoint %llu, which was being restored",
                        successor, (unsigned long long)job->restored_info.id);
}
