/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that a job has claimed, as all others see them: the mark tells who it was, while the
 * claim is under way and, in a job's directory, ever after (manifest/marks.h).
 *
 * Changes nothing. No locks; any thread.
 */
#include "engine/log/claimed.h"

#include "backends/storage/storage.h"
#include "engine/log/joblog.h"

int crn_claimed_read(cairn_store *store, const char *name, enum crn_mark_kind kind,
                     struct crn_mark *ret, cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(crn_joblog_key(name, crn_mark_key(kind), &key, reterr));
    int r = crn_store_get_bytes(store, key, CRN_LIMIT_MARK, &bytes, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    CRN_TRY(crn_mark_decode(key, bytes.data, bytes.size, ret, reterr));
    return 1;
}

int crn_claimed_words(const struct crn_mark *mark, char **ret, cairn_error **reterr)
{
    const bool is_somewhere = mark->location[0] != '\0';
    return crn_str_printf(ret, reterr, "job '%s'%s%s%s", mark->job, is_somewhere ? " in '" : "",
                          mark->location, is_somewhere ? "'" : "");
}

int crn_claimed_fail_absent(cairn_store *store, const char *job, cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_FREE char *claimer = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_claimed_read(store, job, CRN_MARK_CLAIM, &mark, &error);
    if (r == CAIRN_ECORRUPT || r == CAIRN_EVERSION)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, job, "'%s' was claimed by somebody, but %s",
                            job, cairn_error_message(error));
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    if (r == 0)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, job, "there is no job '%s' in this store",
                            job);
    CRN_TRY(crn_claimed_words(&mark, &claimer, reterr));
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, job, "'%s' was claimed by %s, and is there now",
                        job, claimer);
}
