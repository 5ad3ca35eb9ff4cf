/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_RETRY_H
#define CRN_STORAGE_S3_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * When to try again. Full jitter: a random time up to a bound that doubles. And one budget for the
 * whole store: each repetition takes from it, each success gives a little back, so that a server in
 * trouble is not hit by ten times the usual requests.
 */

struct crn_s3_budget {
    atomic_int tokens; /* 0 .. CRN_S3_BUDGET_MAX */
};
#define CRN_S3_BUDGET_MAX 500
#define CRN_S3_BUDGET_COST 5
void crn_s3_budget_init(struct crn_s3_budget *budget);
/* Who may not take gives up. A single call's first repetition is always allowed. */
bool crn_s3_budget_take(struct crn_s3_budget *budget);
void crn_s3_budget_give(struct crn_s3_budget *budget);

struct crn_s3_retry {
    struct crn_s3_budget *budget;
    uint64_t give_up_at_us;
    uint32_t tries;
};
/* After try number retry->tries has failed: how long to wait before the next. false: give up.
 * random: any 64 bits. retry_after_ms: the server's wish; 0: none. */
bool crn_s3_retry_next(struct crn_s3_retry *retry, uint64_t now_us, uint64_t random,
                       bool is_slow_down, uint64_t retry_after_ms, uint64_t *ret_wait_us);

#endif
