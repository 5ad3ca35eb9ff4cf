/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job whose own directory was claimed. Its state goes on elsewhere, so its service must not
 * start, least of all empty, only because it was not told (P7).
 *
 * Who says start_empty begins a new life there, once the claimer has taken everything away. The
 * mark goes before the first record is written: a claimer that looks again finds no claim of its
 * own, and leaves the new life alone. Before that the claim is not yet what is left of an old life,
 * but somebody's work.
 *
 * Crash: the mark is gone, and the directory empty.
 */
#include "engine/restore/source.h"

#include <string.h>

#define STOP_LISTING 1

/* A post of the old life would be the newest board for workers of the new one. */
static int find_own(void *context, const char *key, const cairn_object_stat *stat)
{
    const enum crn_key_type type = crn_key_parse(key).type;
    (void)context;
    (void)stat;
    return type == CRN_KEY_MANIFEST || type == CRN_KEY_OBJECT || type == CRN_KEY_POST ? STOP_LISTING
                                                                                      : 0;
}

static int begin_anew(const struct cairn_job *job, const char *claimer, cairn_error **reterr)
{
    int r = crn_joblog_list(job->store, job->name, "", find_own, NULL, reterr);
    if (r < 0)
        return r;
    if (r == STOP_LISTING)
        return crn_err_fail(reterr, CAIRN_EFENCED, job->name,
                            "job '%s' was claimed by %s, which has not removed everything here "
                            "yet: start that one; if that is not to be, take the file '%s' away, "
                            "or what is left (cairn dispose --force)",
                            job->name, claimer, CRN_MARK_CLAIMED);
    CRN_TRY(crn_claim_remove_mark(job->store, job->name, reterr));
    crn_log_write(&job->log, CAIRN_LOG_WARNING, "job",
                  "job '%s': begins a new life, its state of before is that of %s", job->name,
                  claimer);
    return 0;
}

int crn_claim_check_own(const struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_FREE char *claimer = NULL;
    int r = crn_claimed_read(job->store, job->name, CRN_MARK_CLAIM, &mark, reterr);
    if (r <= 0)
        return r;
    CRN_TRY(crn_claimed_words(&mark, &claimer, reterr));
    if (job->options.start_empty)
        return begin_anew(job, claimer, reterr);
    return crn_err_fail(reterr, CAIRN_EFENCED, job->name,
                        "job '%s' was claimed by %s: start that one; start_empty begins a new life "
                        "here",
                        job->name, claimer);
}

char *crn_claim_find_claimer(const struct cairn_job *job)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    char *claimer = NULL;
    if (crn_claimed_read(job->store, job->name, CRN_MARK_CLAIM, &mark, NULL) == 1)
        (void)crn_claimed_words(&mark, &claimer, NULL); /* only words: may stay NULL */
    return claimer;
}
