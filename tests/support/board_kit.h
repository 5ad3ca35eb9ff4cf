/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_BOARD_KIT_H
#define CRN_TESTS_BOARD_KIT_H

#include "engine/cluster/board.h"
#include "tests/support/stores.h"

/* What the tests of boards share. Every helper fails the running test by itself. */

#define JOB "orders"

/* Of a call that fills `error`. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        const int r_ = (call);                                                                     \
        ck_assert_msg(r_ == 0, "%s: %s", cairn_error_name(r_), cairn_error_message(error));        \
    } while (0)

extern const uint8_t board_kit_worker_a[16], board_kit_worker_b[16];

extern cairn_store *board_store;
void board_kit_open(int kind); /* enum store_kind */
void board_kit_close(void);
struct crn_board board_kit_of(cairn_store *store, uint64_t epoch);

struct crn_post board_kit_post(uint64_t number); /* any that may stand there; without a uuid */
int board_kit_try_post(const struct crn_board *board, uint64_t number, cairn_error **reterr);
void board_kit_make_posts(const struct crn_board *board, uint64_t first, uint64_t last);
/* The kind of post that is there; 0: none is. */
int board_kit_kind(const struct crn_board *board, uint64_t number);
/* Checks that posts stand at 1 to some number, and of what kind the last is. */
uint64_t board_kit_last(const struct crn_board *board, enum crn_post_kind *ret_kind);

struct crn_mail board_kit_mail(const uint8_t worker[16], uint64_t number);
void board_kit_send(const struct crn_board *board, const uint8_t worker[16], uint64_t number);

#endif
