/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_DOWNLOADS_H
#define CRN_ENGINE_DOWNLOADS_H

#include "base/rate.h"

/*
 * What all restores of a job have in common, however many of its tasks are opened at once: how many
 * downloads run at a time and how fast, what ends them, and where files are kept for a next start.
 * NULL stands for one without limits wherever a pointer to it is taken.
 */
struct crn_downloads {
    struct crn_rate rate;
    char *kept; /* directory, see kept.h; NULL: nothing is kept */
    atomic_bool cancelled;
    struct crn_mutex lock;
    struct crn_cond changed;
    uint32_t turns_left; /* guarded by lock */
};
/* kept is taken. */
void crn_downloads_init(struct crn_downloads *downloads, uint32_t turns, uint64_t bytes_per_sec,
                        char *kept);
void crn_downloads_done(struct crn_downloads *downloads);
/* All that is under way or begins later ends with CAIRN_ECANCELED. */
void crn_downloads_cancel(struct crn_downloads *downloads);
int crn_downloads_check(const struct crn_downloads *downloads, cairn_error **reterr);
/* Before and after one request for so many bytes: waits until the limits allow it. */
int crn_downloads_begin(struct crn_downloads *downloads, uint64_t bytes, cairn_error **reterr);
void crn_downloads_end(struct crn_downloads *downloads);

#endif
