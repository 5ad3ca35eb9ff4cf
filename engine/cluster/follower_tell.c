/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker tells its coordinator of attempts: that all parts here are acknowledged, or that
 * one was declined.
 *
 * As in the driver, what happened is a fact in the attempt and not a message, so it cannot get
 * lost: it is looked for in each round, told once, and again only if it is sure that it was not
 * heard. What is durable is told, and nothing else (P1).
 *
 * The follower's thread; job->lock for the facts.
 */
#include "engine/cluster/follower_internal.h"

#include "engine/savepoint/savepoint.h"

#include <string.h>

/* The record of all parts here; it stays in the attempt until the outcome is known. It takes what
 * the parts have, so that a failure is for good: what is left of them is no part of a checkpoint
 * (P2). */
static int build_record(struct crn_attempt *attempt, cairn_error **reterr)
{
    const struct cairn_job *job = attempt->job;
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    const bool is_savepoint = attempt->savepoint != NULL;
    if (attempt->record != NULL)
        return 0;
    record = crn_record_new();
    if (record == NULL)
        return crn_err_nomem(reterr);
    record->info.kind = is_savepoint ? CAIRN_RECORD_SAVEPOINT : CAIRN_RECORD_CHECKPOINT;
    record->info.id = attempt->id;
    record->info.epoch = job->epoch;
    record->info.trigger_time_ms = attempt->trigger_time_ms;
    record->info.duration_us = crn_now_us() - attempt->started_us;
    if (is_savepoint)
        record->info.format = attempt->savepoint->handle->format;
    CRN_TRY(crn_publish_merge_parts(record, attempt, reterr));
    record->info.base_id = is_savepoint ? 0 : crn_publish_newest_base(attempt);
    record->info.is_full = !is_savepoint && record->info.base_id == 0;
    crn_publish_note_cost(attempt, &record->info);
    crn_record_finish(record);
    attempt->record = CRN_TAKE(record);
    return 0;
}

/* What may have been sent counts as told: the answer to it may come, and it is put again before
 * anything else is. */
static int send_fact(struct crn_follower *follower, struct crn_attempt *attempt,
                     struct crn_mail *mail, cairn_error **reterr)
{
    const int r = crn_follower_send(follower, mail, reterr);
    attempt->told = r == 0 || r == CAIRN_EUNKNOWN;
    return r;
}

/* Everything that the record speaks of is durable before the coordinator hears of it (P1). */
static int send_ack(struct crn_follower *follower, struct crn_attempt *attempt,
                    cairn_error **reterr)
{
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&attempt->meter);
    CRN_TRY(attempt->store->ops->flush(attempt->store, reterr));
    CRN_TRY(build_record(attempt, reterr));
    struct crn_mail mail = {.kind = CRN_MAIL_ACK, .id = attempt->id, .record = attempt->record};
    return send_fact(follower, attempt, &mail, reterr);
}

static int send_decline(struct crn_follower *follower, struct crn_attempt *attempt,
                        cairn_error **reterr)
{
    struct cairn_job *job = follower->job;
    CRN_AUTO_MAIL struct crn_mail mail = {.kind = CRN_MAIL_DECLINE, .id = attempt->id};
    crn_mutex_lock(&job->lock);
    const char *text = cairn_error_message(attempt->error);
    int code = cairn_error_code(attempt->error);
    mail.code = code < 0 ? code : CAIRN_EABORTED;
    mail.text = crn_str_dup_n(text, strlen(text));
    crn_mutex_unlock(&job->lock);
    return mail.text == NULL ? crn_err_nomem(reterr) : send_fact(follower, attempt, &mail, reterr);
}

enum fact { FACT_NONE, FACT_WHOLE, FACT_DECLINED, FACT_DEAD };

static enum fact fact_of_locked(const struct crn_attempt *attempt)
{
    if (attempt->aborted)
        return attempt->running == 0 ? FACT_DEAD : FACT_NONE;
    if (attempt->told)
        return FACT_NONE;
    if (attempt->declined)
        return FACT_DECLINED;
    return crn_attempt_is_whole_locked(attempt) ? FACT_WHOLE : FACT_NONE;
}

static struct crn_attempt *next_fact_locked(const struct cairn_job *job, enum fact *ret)
{
    for (size_t i = 0; i < job->attempt_count; i++) {
        *ret = fact_of_locked(job->attempts[i]);
        if (*ret != FACT_NONE)
            return job->attempts[i];
    }
    return NULL;
}

bool crn_follower_has_fact_locked(const struct crn_follower *follower)
{
    enum fact fact;
    return next_fact_locked(follower->job, &fact) != NULL;
}

/* What cannot be told now is told in the next round, unless it never can be. */
static bool tell(struct crn_follower *follower, struct crn_attempt *attempt, enum fact fact)
{
    cairn_error *error = NULL;
    int r = fact == FACT_WHOLE ? send_ack(follower, attempt, &error)
                               : send_decline(follower, attempt, &error);
    const bool may_pass = cairn_error_class_of(r) == CAIRN_CLASS_RETRY ||
                          (r == CAIRN_ENOMEM && attempt->record != NULL);
    if (r == 0) {
        follower->tell_failures = 0;
    } else if (fact == FACT_WHOLE && !may_pass) {
        crn_mutex_lock(&follower->job->lock);
        crn_attempt_decline_locked(attempt, NULL, r, &error);
        crn_mutex_unlock(&follower->job->lock);
        r = 0;
    } else if (follower->tell_failures++ == 0) {
        crn_log_write(&follower->job->log, CAIRN_LOG_WARNING, "cluster",
                      "job '%s': the coordinator cannot be told of checkpoint %llu, trying again: "
                      "%s",
                      follower->job->name, (unsigned long long)attempt->id,
                      cairn_error_message(error));
    }
    cairn_error_free(error);
    return r == 0;
}

bool crn_follower_tell_facts(struct crn_follower *follower)
{
    struct cairn_job *job = follower->job;
    for (;;) {
        enum fact fact;
        crn_mutex_lock(&job->lock);
        struct crn_attempt *attempt = next_fact_locked(job, &fact);
        crn_mutex_unlock(&job->lock);
        if (attempt == NULL)
            return true;
        if (fact == FACT_DEAD)
            crn_follower_discard(follower, attempt);
        else if (!tell(follower, attempt, fact))
            return false;
    }
}
