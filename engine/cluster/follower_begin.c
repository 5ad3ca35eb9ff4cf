/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker starts from: its coordinator's plan, and the record that the plan names.
 *
 * A board takes workers from its PLAN until its second post: that is START, or ENDED or REPLACED if
 * it never started. So a worker that is started before its coordinator, or after the job has failed
 * and before it is open again, waits for the next board. One that comes to a board whose
 * coordinator has died waits there until a successor says REPLACED, and then goes on to the
 * successor's.
 *
 * No locks; nobody else has the job yet.
 */
#include "engine/cluster/follower_internal.h"

#include "engine/restore/source.h"

#include <string.h>

/* Has it a second post? Then nobody joins any more. 1, 0 or an error. */
static int is_closed(const struct crn_board *board, cairn_error **reterr)
{
    CRN_AUTO_POST struct crn_post post = {0};
    int r = crn_board_read_post(board, 2, &post, reterr);
    return r == CAIRN_ENOTFOUND ? 0 : r < 0 ? r : 1;
}

/* CAIRN_ENOTFOUND, without an error: there is none now. */
static int look_for_plan(struct crn_follower *follower, cairn_error **reterr)
{
    const struct cairn_job *job = follower->job;
    CRN_AUTO_POST struct crn_post post = {0};
    uint64_t epoch = 0;
    CRN_TRY(crn_board_newest(job->store, job->name, &epoch, reterr));
    if (epoch == 0)
        return CAIRN_ENOTFOUND;
    follower->board.epoch = epoch;
    int r = crn_board_read_post(&follower->board, 1, &post, reterr);
    if (r < 0)
        return r; /* not yet, or no more, is CAIRN_ENOTFOUND */
    r = is_closed(&follower->board, reterr);
    if (r != 0)
        return r < 0 ? r : CAIRN_ENOTFOUND;
    follower->plan = post.plan;
    post.plan = (struct crn_plan){0};
    return 0;
}

static int fail_alone(const struct crn_follower *follower, const cairn_error *last,
                      cairn_error **reterr)
{
    const struct cairn_job *job = follower->job;
    return crn_err_fail(reterr, CAIRN_ETIMEOUT, NULL,
                        "no coordinator of job '%s' takes workers in this store, and none has come "
                        "within %llu ms: start it%s%s",
                        job->name, (unsigned long long)job->options.join_timeout_ms,
                        last != NULL ? "; the store last said: " : "", cairn_error_message(last));
}

int crn_follower_find_plan(struct crn_follower *follower, cairn_error **reterr)
{
    const struct cairn_job *job = follower->job;
    const uint64_t wait_us = crn_us_of_ms(job->options.join_timeout_ms);
    const uint64_t began_us = crn_now_us();
    for (;;) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        const uint64_t looked_us = crn_now_us();
        crn_pace_book(&follower->pace, looked_us, 3);
        int r = look_for_plan(follower, &error);
        bool is_worth_waiting =
            r == CAIRN_ENOTFOUND || cairn_error_class_of(r) == CAIRN_CLASS_RETRY;
        if (!is_worth_waiting)
            return r == 0 ? 0 : crn_err_move(reterr, &error, r);
        uint64_t next_us = crn_pace_next_us(&follower->pace, looked_us,
                                            crn_us_of_ms(job->options.poll_interval_ms));
        if (next_us - began_us >= wait_us)
            return fail_alone(follower, error, reterr);
        crn_sleep_us(next_us > crn_now_us() ? next_us - crn_now_us() : 0);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * The record
 * ------------------------------------------------------------------------------------------ */

static int check_uuid(const struct crn_follower *follower, const struct crn_record *record,
                      cairn_error **reterr)
{
    const struct crn_plan *plan = &follower->plan;
    if (memcmp(record->info.uuid, plan->restored_uuid, sizeof plan->restored_uuid) == 0)
        return 0;
    return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                        "job '%s' starts from snapshot %llu, but another one is in its place",
                        follower->job->name, (unsigned long long)plan->restored_id);
}

static int choose_own(struct crn_follower *follower, cairn_error **reterr)
{
    struct cairn_job *job = follower->job;
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    struct crn_hash128 hash;
    CRN_TRY(crn_joblog_read_record(job->store, job->name, follower->plan.restored_id, &record,
                                   &hash, NULL, reterr));
    CRN_TRY(check_uuid(follower, record, reterr));
    job->joblog.entries = calloc(1, sizeof *job->joblog.entries);
    if (job->joblog.entries == NULL)
        return crn_err_nomem(reterr);
    job->restored = record;
    job->restored_id = record->info.id;
    crn_publish_append_head(job, CRN_TAKE(record), &hash);
    return 0;
}

static int choose_foreign(struct crn_follower *follower, cairn_error **reterr)
{
    struct cairn_job *job = follower->job;
    const struct crn_plan *plan = &follower->plan;
    const struct crn_record *record = NULL;
    struct crn_restore_source source = {.mode = CAIRN_NO_CLAIM,
                                        .is_foreign = true,
                                        .is_stop = plan->is_stop,
                                        .wanted_id = plan->restored_id};
    CRN_TRY(crn_str_printf(&source.location, reterr, "%s", plan->source_location));
    int r = cairn_store_open_existing(plan->source_location, &source.store, &source.owned_name,
                                      NULL, reterr);
    source.owns_store = r == 0;
    source.name = source.owned_name;
    if (r == 0 && source.name == NULL)
        r = crn_err_fail(reterr, CAIRN_ENOTFOUND, plan->source_location,
                         "there is no snapshot at '%s'", plan->source_location);
    crn_source_done(&job->source);
    job->source = source;
    CRN_TRY(r);
    CRN_TRY(crn_source_choose(job, &record, reterr));
    CRN_TRY(check_uuid(follower, record, reterr));
    job->restored = record;
    return 0;
}

int crn_follower_choose(struct crn_follower *follower, cairn_error **reterr)
{
    struct cairn_job *job = follower->job;
    crn_source_reset(job);
    if (follower->plan.restored_id == 0)
        return 0;
    int r = follower->plan.source_location != NULL ? choose_foreign(follower, reterr)
                                                   : choose_own(follower, reterr);
    if (r < 0)
        crn_err_prefix(reterr, "job '%s': what the coordinator starts from cannot be read here",
                       job->name);
    else
        crn_publish_info(&job->restored->info, &job->restored_info);
    return r;
}
