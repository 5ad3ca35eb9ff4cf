/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job has ended, and its checkpoints are not to outlive it.
 *
 * One record decides: a fence, with the reason, that begins the log anew. Before it stands, nothing
 * is removed and the next start goes on as ever; from then on nothing below it is live, whatever
 * becomes of the removal (P5). What is left then goes like everything that a checkpoint made
 * unnecessary: manifests, then objects; what a crash or the store leaves, the next open removes, or
 * `cairn gc` (P6). Ids go on above it. Savepoints are not the job's, and stay; only the pointers to
 * them go.
 *
 * Whoever has taken the job over has its id before us, and then nothing is removed (P7).
 *
 * Driver thread, when nothing is in flight any more; no locks.
 */
#include "engine/job/ending.h"

#include <string.h>

/* Together with those that a commit makes itself about half a minute: somebody waits in
 * cairn_job_close(). */
#define COMMIT_TRIES 6
#define COMMIT_PAUSE_US 100000u

static int new_fence(struct cairn_job *job, const char *reason, struct crn_record **ret,
                     cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *fence = NULL;
    CRN_TRY(
        crn_publish_new_record(job, job->joblog.head_id + 1, CAIRN_RECORD_FENCE, &fence, reterr));
    fence->info.log_start = fence->info.id;
    fence->has_previous_hash = false;
    if (crn_record_set_text(&fence->info.reason, reason) < 0)
        return crn_err_nomem(reterr);
    crn_record_finish(fence);
    *ret = CRN_TAKE(fence);
    return 0;
}

/* The id is taken. By this incarnation: what it last tried to commit stands after all, or a
 * collector has resolved the id for it. Then that is the head. Else the job is another's. */
static int take_for_head(struct cairn_job *job, const struct crn_record *found,
                         cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *head = NULL;
    struct crn_hash128 hash;
    if (found->info.epoch != job->epoch) {
        CRN_AUTO_FREE char *writer = crn_job_describe_writer(&found->info);
        return crn_err_fail(reterr, CAIRN_EFENCED, NULL, "job '%s' was taken over by %s", job->name,
                            writer != NULL ? writer : "another process");
    }
    CRN_TRY(
        crn_joblog_read_record(job->store, job->name, found->info.id, &head, &hash, NULL, reterr));
    crn_publish_append_head(job, CRN_TAKE(head), &hash);
    return 0;
}

static int begin_anew(struct cairn_job *job, const char *reason, cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *fence = NULL;
    for (int tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_RECORD struct crn_record *found = NULL;
        struct crn_hash128 hash;
        if (fence == NULL)
            CRN_TRY(new_fence(job, reason, &fence, reterr));
        int r = crn_joblog_commit(job->store, fence, &hash, &found, &error);
        if (r == 0) {
            crn_publish_append_head(job, CRN_TAKE(fence), &hash);
            return 0;
        }
        if (r == CAIRN_EEXIST) {
            cairn_error_free(CRN_TAKE(error)); /* who has it says more */
            r = take_for_head(job, found, &error);
            if (r == 0)
                crn_record_free(CRN_TAKE(fence)); /* another one, with the next id */
        }
        if (tries == COMMIT_TRIES || (r < 0 && cairn_error_class_of(r) != CAIRN_CLASS_RETRY))
            return r < 0 ? crn_err_move(reterr, &error, r)
                         : crn_err_fail(reterr, CAIRN_EBUSY, NULL,
                                        "others keep writing to the log of job '%s'", job->name);
        if (r < 0)
            crn_sleep_us((uint64_t)COMMIT_PAUSE_US << tries);
    }
}

/* Nothing is live any more, and no increment is going to build on it. */
static void forget_bases(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    job->base_id = 0;
    for (size_t i = 0; i < job->task_count; i++)
        job->tasks[i]->runtime->base = NULL;
    crn_mutex_unlock(&job->lock);
}

void crn_retention_remove(struct cairn_job *job, const char *reason)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (begin_anew(job, reason, &error) < 0) {
        crn_log_write(&job->log, CAIRN_LOG_ERROR, "job",
                      "job '%s' has ended, but its checkpoints were not removed, and the next "
                      "start would go on from them: %s",
                      job->name, cairn_error_message(error));
        return;
    }
    forget_bases(job);
    (void)crn_subsume(job);
    crn_garbage_remove(job);
    if (crn_job_collect(job, false, &error) < 0)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "job",
                      "job '%s': its checkpoints do not count any more, but not all of their "
                      "objects could be removed; `cairn gc` does it: %s",
                      job->name, cairn_error_message(error));
    else
        crn_log_write(&job->log, CAIRN_LOG_INFO, "job", "job '%s': its checkpoints are removed",
                      job->name);
}
