/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that create() and put() tell the truth wherever a connection breaks (P1, P7): 0 only if
 * the object is there with these bytes, CAIRN_EEXIST only if it is there with others,
 * CAIRN_EUNKNOWN whenever neither is known, and any other failure only if nothing will ever be
 * there. Method: the connection is cut at every few bytes of the request and of the answer, on a
 * new connection and on one that was used before, against a server of our own whose memory is the
 * model.
 */
#include "tests/support/s3/fake_kit.h"

#include <stdio.h>
#include <string.h>

enum { MANY = 100000 }; /* behind any end */

/* How another writer stands to ours. */
enum rival { NO_RIVAL, EARLIER };

static void check_create(const char *key, int r, enum rival rival, cairn_error *error)
{
    char full[64];
    CRN_AUTO_BUFFER struct cairn_buffer found = {0};
    (void)snprintf(full, sizeof full, "t/%s", key);
    bool is_there = fake_get(fake, full, &found);
    bool is_ours = is_there && strcmp((const char *)found.data, "ours") == 0;
    const char *why = cairn_error_message(error);
    ck_assert_msg(r <= 0 && (r == 0) == (error == NULL), "%s: %d", key, r);
    ck_assert_msg(!is_there || is_ours == (rival == NO_RIVAL), "%s: overwritten", key);
    if (r == 0)
        ck_assert_msg(is_ours, "%s: 0, but it is not there", key);
    else if (r == CAIRN_EEXIST)
        ck_assert_msg(is_there && !is_ours, "%s: it is ours: %s", key, why);
    else if (r != CAIRN_EUNKNOWN)
        ck_assert_msg(!is_ours, "%s: %s, but it is there: %s", key, cairn_error_name(r), why);
}

static unsigned run_cuts(enum fake_what what, unsigned from, unsigned to, unsigned step,
                         enum rival rival, bool is_used, bool is_put)
{
    static unsigned round;
    unsigned unknown = 0;
    for (unsigned at = from; at <= to; at += step, round++) {
        char key[32], full[40];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        (void)snprintf(key, sizeof key, "k%u", round);
        (void)snprintf(full, sizeof full, "t/%s", key);
        fake_clear(fake);
        if (rival == EARLIER)
            fake_put(fake, full, "theirs");
        cairn_object_stat stat;
        if (is_used)
            ck_assert_int_eq(store->ops->stat(store, "none", &stat, NULL), CAIRN_ENOTFOUND);
        fake_add(fake, &(struct fake_rule){.method = "PUT", .times = 1, .what = what, .at = at});
        int r = is_put ? put_text(key, "ours", &error) : create_text(key, "ours", &error);
        check_create(key, r, rival, error);
        unknown += r == CAIRN_EUNKNOWN;
    }
    return unknown;
}

START_TEST(a_cut_request)
{
    const bool is_used = _i & 1, is_put = _i & 2;
    /* The head has about 500 bytes; what is cut in it is cut behind it. */
    unsigned unknown = run_cuts(FAKE_CUT_IN, 0, 0, 1, NO_RIVAL, is_used, is_put);
    for (unsigned i = 0; i < 2; i++)
        unknown += run_cuts(FAKE_CUT_IN, MANY, MANY, 1, (enum rival)i, is_used, is_put);
    /* Of a request that may be repeated, all comes right in the end. */
    ck_assert_uint_le(unknown, is_put ? 0 : 3);
}
END_TEST

START_TEST(a_cut_answer)
{
    const bool is_used = _i & 1, is_put = _i & 2;
    /* It was stored, so reading it back tells. */
    ck_assert_uint_eq(run_cuts(FAKE_CUT_OUT, 0, 120, 3, NO_RIVAL, is_used, is_put), 0);
    ck_assert_uint_eq(run_cuts(FAKE_CUT_OUT, 0, 220, 11, EARLIER, is_used, is_put), 0);
}
END_TEST

/* It was stored, but 500 is said. */
START_TEST(a_failure_that_was_none)
{
    static const unsigned statuses[] = {500, 502, 503, 504};
    const bool is_put = _i;
    for (size_t i = 0; i < CRN_COUNT(statuses); i++) {
        CRN_AUTO_FREE char *answer = fake_answer(statuses[i], NULL, "");
        CRN_AUTO_ERROR cairn_error *error = NULL;
        char key[8];
        (void)snprintf(key, sizeof key, "k%zu", i);
        fake_add(fake, &(struct fake_rule){
                           .method = "PUT", .times = 1, .what = FAKE_DO_AND_SAY, .answer = answer});
        int r = is_put ? put_text(key, "ours", &error) : create_text(key, "ours", &error);
        ck_assert_msg(r == 0, "%s", cairn_error_message(error));
        expect_stored(key, "ours");
    }
}
END_TEST

/* Nothing is known of it as long as the server does not answer; and then it is ours. */
START_TEST(an_answer_that_is_late)
{
    cairn_store *hasty;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(fake_kit_store("&retry_ms=1000&request_timeout_ms=300", false, &hasty, NULL),
                     0);
    fake_add(fake,
             &(struct fake_rule){.method = "PUT", .times = 1, .what = FAKE_STALL, .at = 1200});
    int r = hasty->ops->create(hasty, "k", "ours", 4, &error);
    expect_error(r, CAIRN_EUNKNOWN, &error, "not known", "'k'");
    expect_stored("k", NULL);
    crn_sleep_us(1500000);
    expect_stored("k", "ours");
    hasty->ops->close(hasty);
}
END_TEST

/* The answer is lost and the key cannot be read back: nobody knows, and that is said. */
START_TEST(what_cannot_be_read_back_is_not_known)
{
    CRN_AUTO_FREE char *denied = fake_error(403, "AccessDenied", NULL);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    fake_add(fake, &(struct fake_rule){.method = "PUT", .times = 1, .what = FAKE_CUT_OUT});
    fake_add(fake, &(struct fake_rule){
                       .method = "HEAD", .times = 9, .what = FAKE_REFUSE, .answer = denied});
    expect_error(create_text("k", "ours", &error), CAIRN_EUNKNOWN, &error, "not known", "'k'");
    expect_stored("k", "ours");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_cuts");
    TCase *tcase = tcase_create("cuts");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, fake_kit_open, fake_kit_close);
    tcase_add_loop_test(tcase, a_cut_request, 0, 4);
    tcase_add_loop_test(tcase, a_cut_answer, 0, 4);
    tcase_add_loop_test(tcase, a_failure_that_was_none, 0, 2);
    tcase_add_test(tcase, an_answer_that_is_late);
    tcase_add_test(tcase, what_cannot_be_read_back_is_not_known);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
