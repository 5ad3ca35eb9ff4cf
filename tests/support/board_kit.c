/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards for tests: short ways to post, to send and to look, each of which fails the running test
 * by itself.
 */
#include "tests/support/board_kit.h"

#include "tests/support/messages.h"

#include <inttypes.h>
#include <string.h>

const uint8_t board_kit_worker_a[16] = {0xaa, 1}, board_kit_worker_b[16] = {0xbb, 1};

struct crn_board board_kit_of(cairn_store *store, uint64_t epoch)
{
    return (struct crn_board){store, JOB, epoch};
}

/* Any post that may stand at the number. */
struct crn_post board_kit_post(uint64_t number)
{
    struct crn_post post = crn_test_post(number == 1   ? CRN_POST_PLAN
                                         : number == 2 ? CRN_POST_START
                                                       : CRN_POST_COMPLETE);
    post.number = number;
    memset(post.uuid, 0, sizeof post.uuid);
    return post;
}

int board_kit_try_post(const struct crn_board *board, uint64_t number, cairn_error **reterr)
{
    CRN_AUTO_POST struct crn_post post = board_kit_post(number);
    return crn_board_post(board, &post, reterr);
}

void board_kit_make_posts(const struct crn_board *board, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        MUST(board_kit_try_post(board, number, &error));
    }
}

/* The kind of post that is there; 0: none is. */
int board_kit_kind(const struct crn_board *board, uint64_t number)
{
    CRN_AUTO_POST struct crn_post post = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = crn_board_read_post(board, number, &post, &error);
    if (r == CAIRN_ENOTFOUND) {
        ck_assert_ptr_null(error);
        return 0;
    }
    MUST(r);
    return post.kind;
}

/* Checks that posts stand at 1 to some number, and of what kind the last is. */
uint64_t board_kit_last(const struct crn_board *board, enum crn_post_kind *ret_kind)
{
    uint64_t number = 0;
    for (int kind; (kind = board_kit_kind(board, number + 1)) != 0; number++)
        *ret_kind = (enum crn_post_kind)kind;
    CRN_AUTO_FREE char *all = stores_list(board->store, JOB "/cluster/");
    uint64_t listed = 0;
    for (const char *at = all; (at = strstr(at, "/post-")) != NULL; at++)
        listed++;
    ck_assert_msg(listed == number, "%" PRIu64 " posts in a row of %" PRIu64, number, listed);
    return number;
}

struct crn_mail board_kit_mail(const uint8_t worker[16], uint64_t number)
{
    struct crn_mail mail = crn_test_mail(number == 1 ? CRN_MAIL_JOIN : CRN_MAIL_ALIVE);
    memcpy(mail.worker, worker, 16);
    mail.number = number;
    return mail;
}

void board_kit_send(const struct crn_board *board, const uint8_t worker[16], uint64_t number)
{
    CRN_CLEANUP(crn_unsettled_done) struct crn_unsettled unsettled = {0};
    CRN_AUTO_MAIL struct crn_mail mail = board_kit_mail(worker, number);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    MUST(crn_board_send(board, &mail, &unsettled, &error));
    ck_assert_uint_eq(unsettled.bytes.size, 0);
}

cairn_store *board_store;

void board_kit_open(int kind)
{
    stores_make_dir();
    board_store = stores_open(kind);
}

void board_kit_close(void)
{
    board_store->ops->close(board_store);
    stores_drop_dir();
}
