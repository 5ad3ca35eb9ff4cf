/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLAIMED_H
#define CRN_ENGINE_CLAIMED_H

#include "cairn/store.h"
#include "manifest/marks.h"

/* A mark in the directory `name`: 1 and the mark, 0: there is none, or an error. CAIRN_ECORRUPT,
 * CAIRN_EVERSION: there is one, but it does not tell whose it is. */
int crn_claimed_read(cairn_store *store, const char *name, enum crn_mark_kind kind,
                     struct crn_mark *ret, cairn_error **reterr);
/* "job 'orders' in '/var/lib/store'", for people. malloc'ed. */
int crn_claimed_words(const struct crn_mark *mark, char **ret, cairn_error **reterr);
/* CAIRN_ENOTFOUND of a job without a log, which says so if it was claimed; or the store's error. */
int crn_claimed_fail_absent(cairn_store *store, const char *job, cairn_error **reterr);

#endif
