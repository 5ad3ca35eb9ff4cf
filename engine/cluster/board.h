/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLUSTER_BOARD_H
#define CRN_ENGINE_CLUSTER_BOARD_H

#include "cairn/store.h"
#include "manifest/cluster.h"

/*
 * Posts and mails in a store: the effects for manifest/cluster.h. No state but the caller's, no
 * locks; every call may block as long as the store does.
 *
 * A post is made by create-if-absent, so a number has one author: a coordinator that was replaced
 * meets the REPLACED of its successor there (P7). A mail is only put: its name has the worker's
 * uuid.
 */
struct crn_board {
    cairn_store *store;
    const char *job;
    uint64_t epoch;
};

/* Make `post` at its number. Its epoch is the board's; the caller sets kind, number and content,
 * this sets the uuid, unless it has one.
 *
 *   0               it stands.
 *   CAIRN_EFENCED   the number is another's: *reterr says whose, by the REPLACED found there.
 *   CAIRN_EUNKNOWN  the outcome could not be learnt, even by reading back: call again with the
 *                   same post, which keeps its uuid.
 *   others          it did not happen. */
int crn_board_post(const struct crn_board *board, struct crn_post *post, cairn_error **reterr);
/* CAIRN_ENOTFOUND: it is not there (yet); no error object is made for that. CAIRN_ECORRUPT,
 * CAIRN_EVERSION, the store's. */
int crn_board_read_post(const struct crn_board *board, uint64_t number, struct crn_post *ret,
                        cairn_error **reterr);

/* What a worker has sent last, as long as it is not known whether it is there. All zeros: nothing.
 */
struct crn_unsettled {
    char name[CRN_KEY_MAX]; /* below the job's prefix */
    struct cairn_buffer bytes;
};
void crn_unsettled_done(struct crn_unsettled *unsettled);

/* Put `mail`, whose epoch is the board's. What is unsettled is put before it: the coordinator may
 * have read and removed it, so its number can never be another mail's.
 *
 *   0               it is there.
 *   CAIRN_EUNKNOWN  it may be, and is what is unsettled now; its number is used. Whoever says the
 *                   same again, with the next number, says it twice at worst.
 *   others          it is not there, and its number is free. */
int crn_board_send(const struct crn_board *board, struct crn_mail *mail,
                   struct crn_unsettled *unsettled, cairn_error **reterr);
/* One listing of all mails that are there: key below the job's prefix, parsed. A negative code of
 * fn ends it. */
typedef int (*crn_board_mail_fn)(void *context, const char *key, const struct crn_key_info *info);
int crn_board_each_mail(const struct crn_board *board, crn_board_mail_fn fn, void *context,
                        cairn_error **reterr);
int crn_board_read_mail(const struct crn_board *board, const uint8_t worker[16], uint64_t number,
                        struct crn_mail *ret, cairn_error **reterr);
/* Keys below the job's prefix, in one call; what is missing is fine. */
int crn_board_remove(const struct crn_board *board, char *const *keys, size_t n,
                     cairn_error **reterr);

/* The highest epoch that has a board; 0: none has. */
int crn_board_newest(cairn_store *store, const char *job, uint64_t *ret_epoch,
                     cairn_error **reterr);
/* Whoever has just taken the job over, with the epoch board->epoch, tells the workers of the epoch
 * before (the newest board below it) by a REPLACED after its last post; words say who that is. If
 * that board has an ENDED or a REPLACED already, or there is none: nothing. Races with the old
 * coordinator's own posts are settled by trying the next number. */
int crn_board_replace(const struct crn_board *board, const char *words, cairn_error **reterr);

#endif
