/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLUSTER_FOLLOWER_INTERNAL_H
#define CRN_ENGINE_CLUSTER_FOLLOWER_INTERNAL_H

#include "engine/cluster/board.h"
#include "engine/cluster/follower.h"
#include "engine/cluster/pace.h"

/* What follower.c (joining, the thread), follower_begin.c (what a worker starts from),
 * follower_posts.c (what the coordinator says) and follower_tell.c (what it is told) share. */

struct crn_follower {
    struct cairn_job *job;
    struct crn_board board;
    uint8_t uuid[16];
    char *name;
    struct crn_plan plan;
    struct crn_cond changed; /* with job->lock: seen_id, over; and who joins is woken by it */
    /* Guarded by job->lock. */
    uint64_t seen_id;  /* the newest checkpoint that posts have told of */
    uint32_t catching; /* who waits for the next look */
    bool joined, over;
    uint64_t post_us; /* when the newest post was read */
    /* The thread's own; before it runs, of whoever joins. */
    uint64_t next_post, next_mail;
    struct crn_unsettled unsettled;
    struct crn_pace pace;
    uint64_t looked_us, heard_us, sent_us;
    uint32_t patience; /* looks at the log since the last post, up to a bound */
    uint32_t look_failures, tell_failures;
    bool has_ended; /* ENDED, STOPPED or REPLACED was read: nothing follows */
};

/* Send it with the next number; the caller frees it. */
int crn_follower_send(struct crn_follower *follower, struct crn_mail *mail, cairn_error **reterr);

/* follower_tell.c: tell everything that is to be told. false: the store does not take it now. */
bool crn_follower_tell_facts(struct crn_follower *follower);
bool crn_follower_has_fact_locked(const struct crn_follower *follower);

/* follower_begin.c: the plan of the newest board that takes workers; waits for one. */
int crn_follower_find_plan(struct crn_follower *follower, cairn_error **reterr);
int crn_follower_choose(struct crn_follower *follower, cairn_error **reterr);

/* follower_posts.c: do what it says. Thread, without the lock. */
void crn_follower_obey(struct crn_follower *follower, const struct crn_post *post);
/* Another process has the job now; words say who, and may be NULL. */
void crn_follower_replaced(struct crn_follower *follower, const char *words);
/* The job is over for this process. error is copied. */
void crn_follower_end(struct crn_follower *follower, enum crn_ending how, const cairn_error *error);
/* An attempt that is aborted and of which nothing runs any more. */
void crn_follower_discard(struct crn_follower *follower, struct crn_attempt *attempt);

#endif
