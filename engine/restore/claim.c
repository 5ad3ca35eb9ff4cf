/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claiming a snapshot: from now on it is this job's, and no other may take it.
 *
 * The claim is a mark in the snapshot's directory, made by create-if-absent before anything else is
 * done with it (manifest/marks.h). It names the job and the fence record under which the job
 * claimed, so that a later incarnation of the same job knows it for its own, and another job of the
 * same name does not. Nobody but release.c removes a mark that stands for an import, and only when
 * all else is gone: so of any number of claimers one gets the snapshot, whatever crashes. One that
 * made its mark when all was gone finds no manifest any more.
 *
 * Another job's checkpoint is its writer's as well. So that writer is fenced first, by a record in
 * its own log (P7); its next commit collides. A writer that is only about to open does this: fence,
 * then look for the mark. We do the reverse: mark, then look whether our fence is still the head.
 * So at least one sees the other, and gives up.
 *
 * Crash: a mark, and perhaps a fence, are left. The same job may go on from there.
 */
#include "engine/restore/source.h"

#include "backends/storage/storage.h"
#include "engine/log/claimed.h"
#include "engine/savepoint/create.h"
#include "engine/stores.h"

#include <string.h>

#define FENCE_TRIES 16

/* --- marks --- */

/* Of the source, relative to it. What is left of it, the next claim finds. */
static void take_back(const struct cairn_job *job, const char *relative)
{
    CRN_AUTO_FREE char *key = NULL;
    if (crn_joblog_key(job->source.name, relative, &key, NULL) < 0)
        return;
    const char *keys[] = {key};
    (void)job->source.store->ops->remove(job->source.store, keys, 1, NULL);
}

int crn_claim_remove_mark(cairn_store *store, const char *name, cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_TRY(crn_joblog_key(name, CRN_MARK_CLAIMED, &key, reterr));
    const char *keys[] = {key};
    CRN_TRY(store->ops->remove(store, keys, 1, reterr));
    return store->ops->flush(store, reterr);
}

/* The fence that a claim names stands in our log, or stood there before the log's begin. */
static bool is_ours(const struct cairn_job *job, const struct crn_mark *mark)
{
    const struct crn_joblog *log = &job->joblog;
    if (strcmp(mark->job, job->name) != 0)
        return false;
    for (size_t i = 0; i < log->count; i++)
        if (log->entries[i].id == mark->fence_id && log->entries[i].record != NULL)
            return memcmp(log->entries[i].record->info.uuid, mark->fence_uuid,
                          sizeof mark->fence_uuid) == 0;
    const char *root = crn_store_root(job->store);
    return mark->fence_id < log->head_id && strcmp(mark->location, root != NULL ? root : "") == 0;
}

static int fail_claimed(const struct cairn_job *job, const struct crn_mark *mark,
                        cairn_error **reterr)
{
    CRN_AUTO_FREE char *claimer = NULL;
    CRN_TRY(crn_claimed_words(mark, &claimer, reterr));
    return crn_err_fail(reterr, CAIRN_EEXIST, job->source.location,
                        "'%s' has been claimed by %s (process %llu on '%s')", job->source.location,
                        claimer, (unsigned long long)mark->pid, mark->host);
}

int crn_claim_is_imported(const struct cairn_job *job, cairn_store *store, const char *name,
                          uint64_t import_id, const uint8_t *uuid, struct crn_mark *ret_mark,
                          cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    int r = crn_claimed_read(store, name, CRN_MARK_CLAIM, &mark, reterr);
    if (r <= 0)
        return r;
    if (!is_ours(job, &mark) || mark.fence_id >= import_id ||
        (uuid != NULL && memcmp(mark.uuid, uuid, sizeof mark.uuid) != 0))
        return 0;
    if (ret_mark != NULL) {
        *ret_mark = mark;
        mark = (struct crn_mark){0};
    }
    return 1;
}

/* --- the other job's log --- */

static int build_fence(struct cairn_job *job, struct crn_record *fence, cairn_error **reterr)
{
    const struct crn_joblog *log = &job->source.log;
    const struct crn_record *head = log->entries[log->count - 1].record;
    cairn_record_info *info = &fence->info;
    info->id = log->head_id + 1;
    info->kind = CAIRN_RECORD_FENCE;
    info->epoch = log->epoch + 1;
    info->log_start = log->log_start;
    info->trigger_time_ms = info->commit_time_ms = crn_wall_ms();
    info->pid = (uint64_t)getpid();
    crn_random_bytes(info->uuid, sizeof info->uuid);
    fence->has_previous_hash = true;
    fence->previous_hash = log->head_hash;
    fence->job = crn_str_dup_n(job->source.name, strlen(job->source.name));
    if (fence->job == NULL || crn_record_set_text(&info->host, job->host) < 0 ||
        crn_record_set_text(&info->library_version, CAIRN_VERSION_STRING) < 0 ||
        crn_log_extend_history(fence, head) < 0)
        return crn_err_nomem(reterr);
    crn_record_finish(fence);
    return 0;
}

static int check_is_newest(const struct cairn_job *job, const struct crn_record *chosen,
                           cairn_error **reterr)
{
    const struct crn_record *newest = NULL;
    CRN_TRY(crn_joblog_require_whole(&job->source.log, reterr));
    CRN_TRY(crn_joblog_find(&job->source.log, 0, &newest, reterr));
    return newest == chosen
               ? 0
               : crn_err_fail(reterr, CAIRN_EINVAL, job->source.location,
                              "only the newest checkpoint of a job can be claimed: %llu of '%s' is "
                              "not, %llu is",
                              (unsigned long long)chosen->info.id, job->source.location,
                              (unsigned long long)newest->info.id);
}

static void take_chosen(struct cairn_job *job, const struct crn_record *record)
{
    job->restored = record;
    crn_publish_info(&record->info, &job->restored_info);
}

/* Afterwards the job's log ends with our fence, right behind what was read and chosen from. */
static int fence_other(struct cairn_job *job, uint64_t *ret_id, cairn_error **reterr)
{
    for (int tries = 0; tries < FENCE_TRIES; tries++) {
        CRN_AUTO_RECORD struct crn_record *fence = crn_record_new();
        CRN_AUTO_RECORD struct crn_record *found = NULL;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        struct crn_hash128 hash;
        CRN_TRY(check_is_newest(job, job->restored, reterr));
        if (fence == NULL)
            return crn_err_nomem(reterr);
        CRN_TRY(build_fence(job, fence, reterr));
        int r = crn_joblog_commit(job->source.store, fence, &hash, &found, &error);
        if (r == 0) {
            *ret_id = fence->info.id;
            return 0;
        }
        if (r != CAIRN_EEXIST && r != CAIRN_EFENCED)
            return crn_err_move(reterr, &error, r);
        crn_sleep_us(crn_random_u64() % (20000u << (tries < 5 ? tries : 5)));
        const struct crn_record *record = NULL;
        job->restored = NULL;
        CRN_TRY(crn_source_choose(job, &record, reterr));
        take_chosen(job, record);
    }
    return crn_err_fail(reterr, CAIRN_EBUSY, job->source.location,
                        "'%s' cannot be claimed: other processes keep taking it over",
                        job->source.location);
}

struct manifests {
    uint64_t wanted;
    bool has_wanted;
    uint64_t highest;
};

static int note_manifest(void *context, const char *key, const cairn_object_stat *stat)
{
    struct manifests *found = context;
    (void)stat;
    struct crn_key_info info = crn_key_parse(key);
    if (info.type != CRN_KEY_MANIFEST)
        return 0;
    found->has_wanted |= info.id == found->wanted;
    found->highest = info.id > found->highest ? info.id : found->highest;
    return 0;
}

/* --- the claim --- */

/* *ret_made: the mark was not there before. */
static int make_mark(struct cairn_job *job, bool *ret_made, cairn_error **reterr)
{
    const struct crn_record *fence = job->joblog.entries[job->joblog.count - 1].record;
    const char *root = crn_store_root(job->store);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_mark mark = {
        .kind = CRN_MARK_CLAIM,
        .id = job->restored->info.id,
        .of_job = job->restored->info.kind == CAIRN_RECORD_CHECKPOINT,
        .job = job->name,
        .location = (char *)(uintptr_t)(root != NULL ? root : ""), /* only read */
        .fence_id = fence->info.id,
        .fence_epoch = fence->info.epoch,
        .time_ms = job->options.now_ms(job->options.now_context),
        .host = job->host,
        .pid = (uint64_t)getpid(),
    };
    memcpy(mark.uuid, job->restored->info.uuid, sizeof mark.uuid);
    memcpy(mark.fence_uuid, fence->info.uuid, sizeof mark.fence_uuid);
    CRN_TRY(crn_mark_encode(&mark, &bytes, reterr));
    CRN_TRY(crn_joblog_key(job->source.name, CRN_MARK_CLAIMED, &key, reterr));
    int r = crn_create_settled(job->source.store, key, &bytes, &error);
    *ret_made = r == 0;
    return r == 0 || r == CAIRN_EEXIST ? 0 : crn_err_move(reterr, &error, r);
}

/* Another job's: CAIRN_EEXIST. Of ours that stands for another snapshot of the directory, too. */
static int check_mark(struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    int r = crn_claimed_read(job->source.store, job->source.name, CRN_MARK_CLAIM, &mark, reterr);
    if (r <= 0)
        return r;
    return is_ours(job, &mark) && memcmp(mark.uuid, job->restored->info.uuid, sizeof mark.uuid) == 0
               ? 0
               : fail_claimed(job, &mark, reterr);
}

/* Has a later incarnation of this job begun, as far as can be told? It counts on our mark. */
static bool has_successor(struct cairn_job *job)
{
    struct manifests found = {0};
    return crn_joblog_list(job->store, job->name, CRN_JOBLOG_PREFIX, note_manifest, &found, NULL) <
               0 ||
           found.highest > job->joblog.head_id;
}

/* What came about while we marked. A mark that has gone with its snapshot does not refuse ours:
 * then the manifest is gone, too. `fence_id` 0: it is a savepoint. */
static int check_others(struct cairn_job *job, uint64_t fence_id, cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark disposal = {0};
    struct manifests found = {.wanted = job->restored->info.id};
    int r =
        crn_claimed_read(job->source.store, job->source.name, CRN_MARK_DISPOSAL, &disposal, reterr);
    if (r != 0)
        return r < 0 ? r
                     : crn_err_fail(reterr, CAIRN_EBUSY, job->source.location,
                                    "'%s' is being removed by process %llu on '%s'",
                                    job->source.location, (unsigned long long)disposal.pid,
                                    disposal.host);
    CRN_TRY(crn_joblog_list(job->source.store, job->source.name, CRN_JOBLOG_PREFIX, note_manifest,
                            &found, reterr));
    if (!found.has_wanted)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, job->source.location,
                            "'%s' has been claimed or removed meanwhile", job->source.location);
    return fence_id == 0 || found.highest == fence_id
               ? 0
               : crn_err_fail(reterr, CAIRN_EBUSY, job->source.location,
                              "'%s' cannot be claimed: its job has been started again",
                              job->source.location);
}

int crn_claim(struct cairn_job *job, cairn_error **reterr)
{
    uint64_t fence_id = 0;
    bool made = false;
    CRN_TRY(check_mark(job, reterr));
    if (job->restored->info.kind == CAIRN_RECORD_CHECKPOINT)
        CRN_TRY(fence_other(job, &fence_id, reterr));
    CRN_TRY(make_mark(job, &made, reterr));
    if (!made)
        CRN_TRY(check_mark(job, reterr));
    int r = check_others(job, fence_id, reterr);
    if (r == CAIRN_ENOTFOUND && fence_id != 0) { /* it stands in a log that is no more */
        char fence[CRN_KEY_MAX];
        crn_key_manifest(fence, fence_id);
        take_back(job, fence);
    }
    if (r < 0 && made && !has_successor(job))
        take_back(job, CRN_MARK_CLAIMED);
    return r;
}
