/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes per second: the time that n bytes take at the limit is booked at the end of what is booked
 * already, and the bytes go when that time begins. So a pause is not made up for by a burst
 * afterwards, and who asks for much is not overtaken for ever by those who ask for little.
 *
 * Lock: a leaf, held for an addition; nobody sleeps under it.
 */
#include "base/rate.h"

#define LOOK_INTERVAL_US 50000u                  /* how soon a cancelled one is heard */
#define LENGTH_MAX_US UINT64_C(1000000000000000) /* a size may be any number: 31 years */

void crn_rate_init(struct crn_rate *rate, uint64_t bytes_per_sec)
{
    *rate = (struct crn_rate){.bytes_per_sec = bytes_per_sec};
    crn_mutex_init(&rate->lock, CRN_RANK_LEAF);
}

void crn_rate_done(struct crn_rate *rate)
{
    crn_mutex_done(&rate->lock);
}

static uint64_t length_us(const struct crn_rate *rate, uint64_t n)
{
    double us = (double)n * 1e6 / (double)rate->bytes_per_sec;
    return us < (double)LENGTH_MAX_US ? (uint64_t)us : LENGTH_MAX_US;
}

uint64_t crn_rate_book(struct crn_rate *rate, uint64_t n, uint64_t now_us)
{
    if (rate->bytes_per_sec == 0)
        return now_us;
    crn_mutex_lock(&rate->lock);
    uint64_t slot = rate->free_at_us > now_us ? rate->free_at_us : now_us;
    rate->free_at_us = slot + length_us(rate, n);
    crn_mutex_unlock(&rate->lock);
    return slot;
}

void crn_rate_give_back(struct crn_rate *rate, uint64_t n)
{
    if (rate->bytes_per_sec == 0)
        return;
    crn_mutex_lock(&rate->lock);
    rate->free_at_us -= length_us(rate, n);
    crn_mutex_unlock(&rate->lock);
}

bool crn_rate_wait(struct crn_rate *rate, uint64_t n, const atomic_bool *cancelled)
{
    uint64_t now = crn_now_us();
    uint64_t slot = crn_rate_book(rate, n, now);
    for (; now < slot; now = crn_now_us()) {
        if (cancelled != NULL && atomic_load(cancelled)) {
            crn_rate_give_back(rate, n);
            return false;
        }
        crn_sleep_us(slot - now < LOOK_INTERVAL_US ? slot - now : LOOK_INTERVAL_US);
    }
    return true;
}
