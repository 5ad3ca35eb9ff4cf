/* SPDX-License-Identifier: Apache-2.0 */
/* When a request is tried again: retry.h. Pure but for the budget's counter. */
#include "backends/storage/s3/retry.h"

#define FIRST_US 100000u
#define BOUND_US 20000000u
#define TRIES_MAX 12u

void crn_s3_budget_init(struct crn_s3_budget *budget)
{
    atomic_init(&budget->tokens, CRN_S3_BUDGET_MAX);
}

bool crn_s3_budget_take(struct crn_s3_budget *budget)
{
    int tokens = atomic_load(&budget->tokens);
    while (tokens >= CRN_S3_BUDGET_COST)
        if (atomic_compare_exchange_weak(&budget->tokens, &tokens, tokens - CRN_S3_BUDGET_COST))
            return true;
    return false;
}

void crn_s3_budget_give(struct crn_s3_budget *budget)
{
    int tokens = atomic_load(&budget->tokens);
    while (tokens < CRN_S3_BUDGET_MAX)
        if (atomic_compare_exchange_weak(&budget->tokens, &tokens, tokens + 1))
            return;
}

bool crn_s3_retry_next(struct crn_s3_retry *retry, uint64_t now_us, uint64_t random,
                       bool is_slow_down, uint64_t retry_after_ms, uint64_t *ret_wait_us)
{
    if (retry->tries >= TRIES_MAX || now_us >= retry->give_up_at_us)
        return false;
    if (!crn_s3_budget_take(retry->budget) && retry->tries > 1)
        return false;
    unsigned doublings = retry->tries + (is_slow_down ? 1 : 0);
    uint64_t bound = doublings < 10 ? (uint64_t)FIRST_US << doublings : BOUND_US;
    if (bound > BOUND_US)
        bound = BOUND_US;
    uint64_t wait = random % (bound + 1);
    uint64_t wish = retry_after_ms < BOUND_US / 1000 ? retry_after_ms * 1000 : BOUND_US;
    if (wait < wish)
        wait = wish;
    if (wait > retry->give_up_at_us - now_us)
        return false;
    *ret_wait_us = wait;
    return true;
}
