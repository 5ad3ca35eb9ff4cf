/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that the downloads of a job share.
 *
 * Bytes are booked before they are asked for, and then taken as fast as they come. So nobody sleeps
 * with a request half answered, which a server, or our own patience, would take for a broken one.
 * How much is asked for at once under a limit is the matter of fetch.c.
 *
 * Lock: a leaf, for the number of turns.
 */
#include "engine/transfer/downloads.h"

#include "base/error.h"

#include <stdlib.h>

void crn_downloads_init(struct crn_downloads *downloads, uint32_t turns, uint64_t bytes_per_sec,
                        char *kept)
{
    *downloads = (struct crn_downloads){.kept = kept, .turns_left = turns};
    crn_rate_init(&downloads->rate, bytes_per_sec);
    crn_mutex_init(&downloads->lock, CRN_RANK_LEAF);
    crn_cond_init(&downloads->changed);
}

void crn_downloads_done(struct crn_downloads *downloads)
{
    crn_cond_done(&downloads->changed);
    crn_mutex_done(&downloads->lock);
    crn_rate_done(&downloads->rate);
    free(downloads->kept);
}

void crn_downloads_cancel(struct crn_downloads *downloads)
{
    atomic_store(&downloads->cancelled, true);
    crn_mutex_lock(&downloads->lock);
    crn_cond_broadcast(&downloads->changed);
    crn_mutex_unlock(&downloads->lock);
}

static int fail_cancelled(cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled: the job was closed meanwhile");
}

int crn_downloads_check(const struct crn_downloads *downloads, cairn_error **reterr)
{
    return downloads != NULL && atomic_load(&downloads->cancelled) ? fail_cancelled(reterr) : 0;
}

int crn_downloads_begin(struct crn_downloads *downloads, uint64_t bytes, cairn_error **reterr)
{
    if (downloads == NULL)
        return 0;
    if (!crn_rate_wait(&downloads->rate, bytes, &downloads->cancelled))
        return fail_cancelled(reterr);
    crn_mutex_lock(&downloads->lock);
    while (downloads->turns_left == 0 && !atomic_load(&downloads->cancelled))
        crn_cond_wait(&downloads->changed, &downloads->lock);
    bool is_mine = !atomic_load(&downloads->cancelled);
    downloads->turns_left -= is_mine;
    crn_mutex_unlock(&downloads->lock);
    return is_mine ? 0 : fail_cancelled(reterr);
}

void crn_downloads_end(struct crn_downloads *downloads)
{
    if (downloads == NULL)
        return;
    crn_mutex_lock(&downloads->lock);
    downloads->turns_left++;
    crn_cond_signal(&downloads->changed);
    crn_mutex_unlock(&downloads->lock);
}
