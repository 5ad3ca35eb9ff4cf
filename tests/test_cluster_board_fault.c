/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that what a call on a board reports is what the store holds, with the k-th operation
 * failing in every way for every k, and that repeating it settles it (P7); and that a mail's number
 * is never another mail's, even if the coordinator has read and removed it meanwhile.
 */
#include "backends/storage/fault.h"
#include "base/thread.h"
#include "tests/support/board_kit.h"
#include "tests/support/messages.h"

#include <inttypes.h>
#include <string.h>

#define WORDS "process 4711 on 'w2'"

static const struct fault {
    enum crn_fault_mode mode;
    int code;
} faults[] = {
    {CRN_FAULT_BEFORE, CAIRN_EUNAVAIL}, {CRN_FAULT_BEFORE, CAIRN_EIO},
    {CRN_FAULT_BEFORE, CAIRN_ENOSPC},   {CRN_FAULT_BEFORE, CAIRN_ETIMEOUT},
    {CRN_FAULT_LOST_REPLY, 0},          {CRN_FAULT_SHORT, CAIRN_EUNAVAIL},
};
#define FAULTS ((int)CRN_COUNT(faults))

static void arm(int fault, unsigned ops, uint64_t at, bool and_after)
{
    const struct crn_fault_plan plan = {.ops = ops,
                                        .mode = faults[fault].mode,
                                        .at = at,
                                        .and_after = and_after,
                                        .code = faults[fault].code};
    crn_fault_store_arm(board_store, &plan);
}

static void disarm(void)
{
    arm(0, 0, 0, false);
}

static bool exists(const char *key)
{
    cairn_object_stat stat;
    return board_store->ops->stat(board_store, key, &stat, NULL) == 0;
}

/* What is reported is what the store holds, and calling again settles it. */
static void check_post_outcome(const struct crn_board *board, struct crn_post *post, int r)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    disarm();
    ck_assert_int_eq(crn_str_printf(&key, NULL, JOB "/cluster/e%" PRIu64 "/post-%" PRIu64,
                                    board->epoch, post->number),
                     0);
    ck_assert_int_ne(r, CAIRN_EFENCED);
    if (r != CAIRN_EUNKNOWN)
        ck_assert_int_eq(exists(key), r == 0);
    MUST(crn_board_post(board, post, &error));
    ck_assert_int_eq(board_kit_kind(board, post->number), post->kind);
}

/* Loop: fault, and whether it goes on. */
START_TEST(a_post_is_what_it_is_said_to_be)
{
    board_kit_open(STORE_FAULT);
    const struct crn_board board = board_kit_of(board_store, 7);
    const bool and_after = _i >= FAULTS;
    uint64_t number = 2;
    board_kit_make_posts(&board, 1, 2);
    for (uint64_t k = 1, fired = 1; fired; k++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_POST struct crn_post post = board_kit_post(++number);
        arm(_i % FAULTS, CRN_FAULT_ANY, k, and_after);
        const int r = crn_board_post(&board, &post, &error);
        fired = crn_fault_store_fired(board_store);
        ck_assert_int_eq(cairn_error_code(error), r);
        if (!fired)
            MUST(r);
        if (r == CAIRN_EUNKNOWN)
            ck_assert_ptr_nonnull(strstr(cairn_error_message(error), JOB));
        check_post_outcome(&board, &post, r);
    }
    ck_assert_uint_ge(number, 3);
    board_kit_close();
}
END_TEST

/* The same when an earlier try stands: its outcome was unknown to whoever repeats it. */
START_TEST(a_post_that_stands_is_recognised)
{
    board_kit_open(STORE_FAULT);
    const struct crn_board board = board_kit_of(board_store, 7);
    uint64_t number = 2;
    board_kit_make_posts(&board, 1, 2);
    for (uint64_t k = 1, fired = 1; fired; k++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_POST struct crn_post post = board_kit_post(++number);
        MUST(crn_board_post(&board, &post, &error));
        arm(_i % FAULTS, CRN_FAULT_ANY, k, _i >= FAULTS);
        const int r = crn_board_post(&board, &post, &error);
        fired = crn_fault_store_fired(board_store);
        /* It does not say that it did not happen, unless it has not even looked. */
        ck_assert(r == 0 || r == CAIRN_EUNKNOWN || (fired && k == 1));
        disarm();
        ck_assert_int_eq(crn_board_post(&board, &post, NULL), 0);
    }
    board_kit_close();
}
END_TEST

/* REPLACED is there after a success, and after a repetition in any case; there is one, and no gap.
 */
START_TEST(a_replacement_survives_faults)
{
    for (uint64_t k = 1, fired = 1; fired; k++) {
        board_kit_open(STORE_FAULT);
        const struct crn_board old = board_kit_of(board_store, 7),
                               mine = board_kit_of(board_store, 8);
        CRN_AUTO_ERROR cairn_error *error = NULL;
        enum crn_post_kind kind = CRN_POST_PLAN;
        board_kit_make_posts(&old, 1, 4);
        arm(_i % FAULTS, CRN_FAULT_ANY, k, _i >= FAULTS);
        const int r = crn_board_replace(&mine, WORDS, &error);
        fired = crn_fault_store_fired(board_store);
        ck_assert_int_eq(cairn_error_code(error), r);
        disarm();
        if (r == 0)
            ck_assert_int_eq(board_kit_kind(&old, 5), CRN_POST_REPLACED);
        ck_assert_int_eq(crn_board_replace(&mine, WORDS, NULL), 0);
        ck_assert_uint_eq(board_kit_last(&old, &kind), 5);
        ck_assert_int_eq(kind, CRN_POST_REPLACED);
        board_kit_close();
    }
}
END_TEST

static int see_nothing(void *context, const char *key, const struct crn_key_info *info)
{
    (void)context;
    (void)info;
    ck_abort_msg("%s", key);
    return 0;
}

START_TEST(reading_reports_what_a_store_does)
{
    board_kit_open(STORE_FAULT);
    const struct crn_board board = board_kit_of(board_store, 7);
    board_kit_make_posts(&board, 1, 2);
    board_kit_send(&board, board_kit_worker_a, 1);
    for (int flips = 0; flips < 2; flips++) {
        CRN_AUTO_POST struct crn_post post = {0};
        CRN_AUTO_MAIL struct crn_mail mail = {0};
        CRN_AUTO_ERROR cairn_error *post_error = NULL, *mail_error = NULL;
        const struct crn_fault_plan plan = {.ops = CRN_FAULT_GET,
                                            .mode = flips ? CRN_FAULT_FLIP : CRN_FAULT_BEFORE,
                                            .at = 1,
                                            .and_after = true,
                                            .code = CAIRN_EUNAVAIL};
        const int expected = flips ? CAIRN_ECORRUPT : CAIRN_EUNAVAIL;
        crn_fault_store_arm(board_store, &plan);
        ck_assert_int_eq(crn_board_read_post(&board, 1, &post, &post_error), expected);
        ck_assert_int_eq(crn_board_read_mail(&board, board_kit_worker_a, 1, &mail, &mail_error),
                         expected);
        ck_assert_int_eq(cairn_error_code(post_error), expected);
        ck_assert_int_eq(cairn_error_code(mail_error), expected);
        if (flips)
            ck_assert_ptr_nonnull(strstr(cairn_error_message(post_error), "'" JOB "'"));
        ck_assert_ptr_nonnull(strstr(cairn_error_message(post_error), "cluster/e7/post-1"));
    }
    disarm();
    arm(0, CRN_FAULT_LIST, 1, true);
    uint64_t epoch;
    ck_assert_int_eq(crn_board_each_mail(&board, see_nothing, NULL, NULL), CAIRN_EUNAVAIL);
    ck_assert_int_eq(crn_board_newest(board_store, JOB, &epoch, NULL), CAIRN_EUNAVAIL);
    board_kit_close();
}
END_TEST

/* --- mails whose outcome is not known --- */

static bool is_there(const struct crn_board *board, uint64_t number, enum crn_mail_kind *ret_kind)
{
    CRN_AUTO_MAIL struct crn_mail mail = {0};
    if (crn_board_read_mail(board, board_kit_worker_a, number, &mail, NULL) < 0)
        return false;
    *ret_kind = mail.kind;
    return true;
}

/* As a worker does: whatever fails is said again, under the number that is next then. The
 * coordinator reads and removes at once what it finds in turn. */
struct conversation {
    struct crn_board board;
    struct crn_unsettled unsettled;
    uint64_t next_mail, next_read;
    size_t heard;
};

static int say(struct conversation *c, enum crn_mail_kind kind)
{
    CRN_AUTO_MAIL struct crn_mail mail = crn_test_mail(kind);
    memcpy(mail.worker, board_kit_worker_a, 16);
    mail.number = c->next_mail;
    mail.seen = crn_now_us(); /* never the same bytes twice */
    const int r = crn_board_send(&c->board, &mail, &c->unsettled, NULL);
    ck_assert_int_eq(c->unsettled.bytes.size > 0 && r == CAIRN_EUNKNOWN, r == CAIRN_EUNKNOWN);
    c->next_mail += r == 0 || r == CAIRN_EUNKNOWN;
    return r;
}

static void hear(struct conversation *c, enum crn_mail_kind awaited)
{
    enum crn_mail_kind kind = CRN_MAIL_JOIN;
    for (; is_there(&c->board, c->next_read, &kind); c->next_read++) {
        char key[CRN_KEY_MAX], *keys[] = {key};
        c->heard += kind == awaited;
        crn_key_mail(key, 7, board_kit_worker_a, c->next_read);
        ck_assert_int_eq(crn_board_remove(&c->board, keys, 1, NULL), 0);
    }
}

/* Signs of life and one decline, with a fault at every call: the decline is always heard. */
START_TEST(a_mail_is_heard_whatever_happened_before)
{
    for (uint64_t k = 1, fired = 1; fired; k++) {
        board_kit_open(STORE_FAULT);
        struct conversation c = {
            .board = board_kit_of(board_store, 7), .next_mail = 2, .next_read = 2};
        const uint64_t lasting = _i >= FAULTS ? 1 : 0;
        arm(_i % FAULTS, CRN_FAULT_PUT, k, lasting != 0);
        (void)say(&c, CRN_MAIL_ALIVE);
        fired = crn_fault_store_fired(board_store);
        uint64_t calls = crn_fault_store_calls(board_store);
        disarm();
        hear(&c, CRN_MAIL_DECLINE);
        arm(_i % FAULTS, CRN_FAULT_PUT, k > calls ? k - calls : 1, lasting != 0);
        const int r = say(&c, CRN_MAIL_DECLINE);
        fired |= crn_fault_store_fired(board_store);
        disarm();
        hear(&c, CRN_MAIL_DECLINE);
        if (r == 0)
            ck_assert_uint_eq(c.heard, 1);
        for (int i = 0; i < 2 && r != 0; i++)
            ck_assert_int_eq(say(&c, CRN_MAIL_DECLINE), 0);
        hear(&c, CRN_MAIL_DECLINE);
        ck_assert_uint_ge(c.heard, 1);
        ck_assert_uint_eq(c.next_read, c.next_mail); /* everything was in turn */
        crn_unsettled_done(&c.unsettled);
        board_kit_close();
    }
}
END_TEST

START_TEST(nothing_overtakes_what_is_unsettled)
{
    board_kit_open(STORE_FAULT);
    struct conversation c = {.board = board_kit_of(board_store, 7), .next_mail = 2, .next_read = 2};
    enum crn_mail_kind kind;
    arm(3, CRN_FAULT_PUT, 1, true); /* it never happens, but that is not known */
    ck_assert_int_eq(say(&c, CRN_MAIL_ALIVE), CAIRN_EUNKNOWN);
    ck_assert_int_eq(say(&c, CRN_MAIL_DECLINE), CAIRN_EUNAVAIL);
    ck_assert_uint_eq(c.next_mail, 3);
    disarm();
    ck_assert(!is_there(&c.board, 2, &kind) && !is_there(&c.board, 3, &kind));
    ck_assert_int_eq(say(&c, CRN_MAIL_DECLINE), 0);
    ck_assert(is_there(&c.board, 2, &kind) && kind == CRN_MAIL_ALIVE);
    ck_assert(is_there(&c.board, 3, &kind) && kind == CRN_MAIL_DECLINE);
    ck_assert_uint_eq(c.unsettled.bytes.size, 0);
    board_kit_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_board_fault");
    TCase *c = tcase_create("faults");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_post_is_what_it_is_said_to_be, 0, 2 * FAULTS);
    tcase_add_loop_test(c, a_post_that_stands_is_recognised, 0, 2 * FAULTS);
    tcase_add_loop_test(c, a_replacement_survives_faults, 0, 2 * FAULTS);
    tcase_add_test(c, reading_reports_what_a_store_does);
    tcase_add_loop_test(c, a_mail_is_heard_whatever_happened_before, 0, 2 * FAULTS);
    tcase_add_test(c, nothing_overtakes_what_is_unsettled);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
