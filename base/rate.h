/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_RATE_H
#define CRN_BASE_RATE_H

#include "base/thread.h"

/* A limit on bytes per second that any number of threads share: everybody books a slot in the
 * future and waits until it comes. */
struct crn_rate {
    uint64_t bytes_per_sec; /* constant; 0: there is no limit */
    struct crn_mutex lock;
    uint64_t free_at_us; /* guarded by lock: all time before it is booked */
};
void crn_rate_init(struct crn_rate *rate, uint64_t bytes_per_sec);
void crn_rate_done(struct crn_rate *rate);
/* Book n bytes at the time now_us: when they may go, which is now_us or later. */
uint64_t crn_rate_book(struct crn_rate *rate, uint64_t n, uint64_t now_us);
/* What was booked is not going to be used: those who come later need not wait for it. */
void crn_rate_give_back(struct crn_rate *rate, uint64_t n);
/* Book n bytes and wait for them. false: cancelled (may be NULL) before that, and given back. */
bool crn_rate_wait(struct crn_rate *rate, uint64_t n, const atomic_bool *cancelled);

#endif
