/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that what processes tell one another through a store arrives once, in order and whole (P7,
 * P8): of two coordinators at one number one wins, and the other learns who has taken over; a
 * successor's word comes right behind the last post of a predecessor that goes on posting, without
 * a gap, and is never lost. test_cluster_board_fault.c has stores that fail.
 */
#include "base/thread.h"
#include "tests/support/board_kit.h"
#include "tests/support/messages.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORDS "process 4711 on 'w2'"

static const int kinds[] = {STORE_MEMORY, STORE_COPY, STORE_S3};

static int kind_count(void)
{
    return stores_kinds() > STORE_S3 ? 3 : 2;
}

/* --- what is said is heard --- */

START_TEST(posts_are_read_as_they_were_made)
{
    board_kit_open(_i);
    const struct crn_board board = board_kit_of(board_store, 7);
    for (int kind = CRN_POST_PLAN; kind <= CRN_POST_REPLACED; kind++) {
        CRN_AUTO_POST struct crn_post post = crn_test_post((enum crn_post_kind)kind), back = {0};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        post.number = kind <= CRN_POST_START ? (uint64_t)kind : 10 + (uint64_t)kind;
        memset(post.uuid, 0, sizeof post.uuid);
        post.epoch = 99; /* the board's counts */
        ck_assert_int_eq(crn_board_read_post(&board, post.number, &back, &error), CAIRN_ENOTFOUND);
        ck_assert_ptr_null(error);
        MUST(crn_board_post(&board, &post, &error));
        MUST(crn_board_post(&board, &post, &error)); /* again: the same */
        MUST(crn_board_read_post(&board, post.number, &back, &error));
        ck_assert_ptr_null(crn_test_post_difference(&post, &back));
        ck_assert_uint_eq(back.epoch, 7);
    }
    board_kit_close();
}
END_TEST

struct seen {
    size_t count, stop_at;
    uint64_t sum;
    char last[CRN_KEY_MAX];
};

static int see(void *context, const char *key, const struct crn_key_info *info)
{
    struct seen *seen = context;
    char expected[CRN_KEY_MAX];
    crn_key_mail(expected, 7, info->worker, info->number);
    ck_assert_str_eq(key, expected);
    ck_assert_int_lt(strcmp(seen->last, key), 0); /* sorted, so each once */
    strcpy(seen->last, key);
    seen->sum += info->number;
    return ++seen->count == seen->stop_at ? CAIRN_ECANCELED : 0;
}

/* More than a page of a bucket's listing. */
START_TEST(all_mails_are_listed_and_nothing_else)
{
    board_kit_open(kinds[_i]);
    const struct crn_board board = board_kit_of(board_store, 7),
                           other = board_kit_of(board_store, 70);
    struct seen seen = {0}, stopped = {.stop_at = 5};
    enum { MAILS = 1100 };
    for (uint64_t number = 1; number <= MAILS; number++)
        board_kit_send(&board, number % 2 == 0 ? board_kit_worker_a : board_kit_worker_b, number);
    board_kit_send(&other, board_kit_worker_a, 1);
    board_kit_make_posts(&board, 1, 3);
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/e7/mail-notes.txt", "x"), 0);
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/e7/mail-00-1", "x"), 0);
    ck_assert_int_eq(stores_put_text(board_store, "orders2/cluster/e7/mail-1", "x"), 0);
    ck_assert_int_eq(crn_board_each_mail(&board, see, &seen, NULL), 0);
    ck_assert_uint_eq(seen.count, MAILS);
    ck_assert_uint_eq(seen.sum, (uint64_t)MAILS * (MAILS + 1) / 2);
    ck_assert_int_eq(crn_board_each_mail(&board, see, &stopped, NULL), CAIRN_ECANCELED);
    ck_assert_uint_eq(stopped.count, 5);
    board_kit_close();
}
END_TEST

START_TEST(mails_are_read_and_removed)
{
    board_kit_open(_i);
    const struct crn_board board = board_kit_of(board_store, 7);
    CRN_AUTO_MAIL struct crn_mail join = {0}, missing = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char one[CRN_KEY_MAX], two[CRN_KEY_MAX], gone[CRN_KEY_MAX];
    char *const keys[] = {one, gone, two};
    struct seen seen = {0};
    board_kit_send(&board, board_kit_worker_a, 1);
    board_kit_send(&board, board_kit_worker_a, 2);
    board_kit_send(&board, board_kit_worker_b, 2);
    MUST(crn_board_read_mail(&board, board_kit_worker_a, 1, &join, &error));
    ck_assert_str_eq(join.name, "west-1");
    ck_assert_int_eq(crn_board_read_mail(&board, board_kit_worker_b, 1, &missing, &error),
                     CAIRN_ENOTFOUND);
    ck_assert_ptr_null(error);
    crn_key_mail(one, 7, board_kit_worker_a, 1);
    crn_key_mail(two, 7, board_kit_worker_a, 2);
    crn_key_mail(gone, 7, board_kit_worker_b, 9);
    MUST(crn_board_remove(&board, keys, 3, &error));
    MUST(crn_board_remove(&board, keys, 0, &error));
    ck_assert_int_eq(crn_board_each_mail(&board, see, &seen, NULL), 0);
    ck_assert_uint_eq(seen.count, 1);
    board_kit_close();
}
END_TEST

/* A directory is a board by its posts; late mails and foreign files make none. */
START_TEST(the_newest_board_has_posts)
{
    board_kit_open(_i);
    uint64_t epoch = 99;
    ck_assert_int_eq(crn_board_newest(board_store, JOB, &epoch, NULL), 0);
    ck_assert_uint_eq(epoch, 0);
    const uint64_t epochs[] = {2, 9, 10};
    for (size_t i = 0; i < CRN_COUNT(epochs); i++) {
        const struct crn_board board = board_kit_of(board_store, epochs[i]);
        board_kit_make_posts(&board, 1, 1);
        ck_assert_int_eq(crn_board_newest(board_store, JOB, &epoch, NULL), 0);
        ck_assert_uint_eq(epoch, epochs[i]);
    }
    const struct crn_board late = board_kit_of(board_store, 11),
                           later = board_kit_of(board_store, 12);
    board_kit_send(&late, board_kit_worker_a, 2);
    board_kit_send(&later, board_kit_worker_a, 2);
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/e013/post-1", "x"), 0);
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/e14/post-x", "x"), 0);
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/e15", "x"), 0);
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/post-1", "x"), 0);
    ck_assert_int_eq(stores_put_text(board_store, "orders2/cluster/e16/post-1", "x"), 0);
    ck_assert_int_eq(crn_board_newest(board_store, JOB, &epoch, NULL), 0);
    ck_assert_uint_eq(epoch, 10);
    ck_assert_int_eq(stores_remove(board_store, JOB "/cluster/e10/post-1"), 0);
    ck_assert_int_eq(crn_board_newest(board_store, JOB, &epoch, NULL), 0);
    ck_assert_uint_eq(epoch, 9);
    board_kit_close();
}
END_TEST

/* --- two coordinators --- */

struct race {
    struct crn_board board; /* of the old coordinator */
    pthread_barrier_t start;
    uint64_t first;    /* number of the poster's first post */
    uint64_t posted;   /* how many it made */
    uint64_t pause_us; /* before the successor begins */
    char fenced[512];  /* what it learnt */
};

static void run_race(struct race *race, void *(*one)(void *), void *(*two)(void *),
                     void *(*three)(void *))
{
    void *(*const fns[])(void *) = {one, two, three};
    pthread_t threads[3];
    const unsigned count = three != NULL ? 3 : 2;
    ck_assert_int_eq(pthread_barrier_init(&race->start, NULL, count), 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fns[i], race), 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(pthread_barrier_destroy(&race->start), 0);
}

/* Posts until it is told. */
static void *go_on_posting(void *context)
{
    struct race *race = context;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)pthread_barrier_wait(&race->start);
    int r = 0;
    while (r == 0) {
        r = board_kit_try_post(&race->board, race->first + race->posted, &error);
        race->posted += r == 0;
        crn_sleep_us(20); /* it has other things to do */
    }
    ck_assert_msg(r == CAIRN_EFENCED, "%s", cairn_error_message(error));
    (void)snprintf(race->fenced, sizeof race->fenced, "%s", cairn_error_message(error));
    return NULL;
}

static void replace(struct race *race, uint64_t epoch)
{
    struct crn_board mine = race->board;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    mine.epoch = epoch;
    (void)pthread_barrier_wait(&race->start);
    if (race->pause_us > 0)
        crn_sleep_us(race->pause_us);
    MUST(crn_board_replace(&mine, WORDS, &error));
}

static void *replace_it(void *context)
{
    struct race *race = context;
    replace(race, race->board.epoch + 1);
    return NULL;
}

static void *replace_it_later(void *context)
{
    struct race *race = context;
    replace(race, race->board.epoch + 2);
    return NULL;
}

static void check_replaced(struct race *race, uint64_t before)
{
    enum crn_post_kind kind = CRN_POST_PLAN;
    const uint64_t last = board_kit_last(&race->board, &kind);
    ck_assert_int_eq(kind, CRN_POST_REPLACED);
    ck_assert_uint_eq(last, before + race->posted + 1);
    for (uint64_t number = 1; number < last; number++)
        ck_assert_int_ne(board_kit_kind(&race->board, number), CRN_POST_REPLACED);
    ck_assert_msg(strstr(race->fenced, "taken over by " WORDS) != NULL &&
                      strstr(race->fenced, "'" JOB "'") != NULL,
                  "%s", race->fenced);
}

/* Any moment of the old coordinator's posting may be the successor's. */
START_TEST(a_successors_word_is_never_lost)
{
    uint64_t state = crn_test_seed();
    for (int round = 0; round < 60; round++) {
        board_kit_open(_i % 2 == 0 ? STORE_MEMORY : STORE_COPY);
        struct race race = {.board = board_kit_of(board_store, 7),
                            .first = 2,
                            .pause_us = crn_test_random(&state) % 3 * 200};
        board_kit_make_posts(&race.board, 1, 1);
        run_race(&race, go_on_posting, replace_it, _i < 2 ? NULL : replace_it_later);
        check_replaced(&race, 1);
        board_kit_close();
    }
}
END_TEST

struct contender {
    struct race *race;
    struct crn_post post;
    int r;
};

static struct contender contenders[2];

static void contend(struct race *race, struct contender *self)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    (void)pthread_barrier_wait(&race->start);
    self->r = crn_board_post(&race->board, &self->post, &error);
    ck_assert_int_eq(cairn_error_code(error), self->r);
}

static void *contend_first(void *race)
{
    contend(race, &contenders[0]);
    return NULL;
}

static void *contend_second(void *race)
{
    contend(race, &contenders[1]);
    return NULL;
}

START_TEST(of_two_at_a_number_one_wins)
{
    board_kit_open(kinds[_i]);
    struct race race = {.board = board_kit_of(board_store, 7)};
    for (uint64_t number = 3; number < 103; number++) {
        for (int i = 0; i < 2; i++)
            contenders[i] = (struct contender){&race, board_kit_post(number), 0};
        run_race(&race, contend_first, contend_second, NULL);
        const int winner = contenders[0].r == 0 ? 0 : 1;
        CRN_AUTO_POST struct crn_post found = {0};
        ck_assert_int_eq(contenders[winner].r, 0);
        ck_assert_int_eq(contenders[1 - winner].r, CAIRN_EFENCED);
        ck_assert_int_eq(crn_board_read_post(&race.board, number, &found, NULL), 0);
        ck_assert_mem_eq(found.uuid, contenders[winner].post.uuid, 16);
        crn_post_done(&contenders[0].post);
        crn_post_done(&contenders[1].post);
    }
    board_kit_close();
}
END_TEST

/* --- replacing --- */

static void replace_by(uint64_t epoch)
{
    const struct crn_board mine = board_kit_of(board_store, epoch);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    MUST(crn_board_replace(&mine, WORDS, &error));
}

START_TEST(only_who_listens_is_told)
{
    board_kit_open(STORE_MEMORY);
    const struct crn_board first = board_kit_of(board_store, 3),
                           second = board_kit_of(board_store, 5);
    enum crn_post_kind kind = CRN_POST_PLAN;
    replace_by(3); /* nobody is there */
    CRN_AUTO_FREE char *nothing = stores_list(board_store, "");
    ck_assert_str_eq(nothing, "");

    board_kit_make_posts(&first, 1, 4);
    replace_by(3); /* its own board is not below it */
    ck_assert_uint_eq(board_kit_last(&first, &kind), 4);
    replace_by(5);
    ck_assert_uint_eq(board_kit_last(&first, &kind), 5);
    ck_assert_int_eq(kind, CRN_POST_REPLACED);
    replace_by(6); /* it was told before */
    ck_assert_uint_eq(board_kit_last(&first, &kind), 5);

    board_kit_make_posts(&second, 1, 1);
    CRN_AUTO_POST struct crn_post ended = crn_test_post(CRN_POST_ENDED);
    ck_assert_int_eq(crn_board_post(&second, &ended, NULL), 0);
    replace_by(8); /* it had ended */
    ck_assert_int_eq(board_kit_kind(&second, 3), 0);
    ck_assert_int_eq(board_kit_kind(&first, 6), 0);
    board_kit_close();
}
END_TEST

/* Old posts are removed while a job runs, and one that is damaged has its number all the same. */
START_TEST(the_newest_post_is_what_counts)
{
    board_kit_open(STORE_MEMORY);
    const struct crn_board board = board_kit_of(board_store, 3);
    board_kit_make_posts(&board, 1, 9);
    for (uint64_t number = 3; number <= 7; number++) {
        char key[CRN_KEY_MAX], *keys[] = {key};
        crn_key_post(key, 3, number);
        ck_assert_int_eq(crn_board_remove(&board, keys, 1, NULL), 0);
    }
    ck_assert_int_eq(stores_put_text(board_store, JOB "/cluster/e3/post-10", "damaged"), 0);
    replace_by(4);
    ck_assert_int_eq(board_kit_kind(&board, 11), CRN_POST_REPLACED);
    for (uint64_t number = 3; number <= 7; number++)
        ck_assert_int_eq(board_kit_kind(&board, number), 0);
    board_kit_close();
}
END_TEST

/* What it finds at its number is told as what it is. */
START_TEST(a_number_that_is_taken_is_explained)
{
    board_kit_open(STORE_MEMORY);
    const struct crn_board board = board_kit_of(board_store, 3);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    board_kit_make_posts(&board, 1, 2);
    for (int i = 0; i < 3; i++) {
        static const char *const keys[] = {JOB "/cluster/e3/post-3", JOB "/cluster/e3/post-4",
                                           JOB "/cluster/e3/post-5"};
        static const int codes[] = {CAIRN_ECORRUPT, CAIRN_EFENCED, CAIRN_EFENCED};
        static const char *const words[] = {"not a Cairn", "newer version", "another coordinator"};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_POST struct crn_post other = crn_test_post(CRN_POST_COMPLETE);
        other.epoch = 3;
        other.number = 3 + (uint64_t)i;
        ck_assert_int_eq(crn_post_encode(&other, &bytes, NULL), 0);
        if (i == 1) { /* as a later version might frame it */
            bytes.data[8] = 2;
            crn_test_frame_seal(bytes.data, bytes.size);
        }
        ck_assert_int_eq(stores_put(board_store, keys[i], i == 0 ? "x" : (const char *)bytes.data,
                                    i == 0 ? 1 : bytes.size),
                         0);
        ck_assert_int_eq(board_kit_try_post(&board, 3 + (uint64_t)i, &error), codes[i]);
        ck_assert_msg(strstr(cairn_error_message(error), words[i]) != NULL &&
                          strstr(cairn_error_message(error), JOB) != NULL,
                      "%s", cairn_error_message(error));
    }
    board_kit_close();
}
END_TEST

START_TEST(what_breaks_a_rule_is_never_written)
{
    board_kit_open(STORE_MEMORY);
    const struct crn_board board = board_kit_of(board_store, 3);
    CRN_CLEANUP(crn_unsettled_done) struct crn_unsettled unsettled = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL, *mail_error = NULL;
    CRN_AUTO_POST struct crn_post post = board_kit_post(2);
    CRN_AUTO_MAIL struct crn_mail mail = board_kit_mail(board_kit_worker_a, 2);
    post.number = 3; /* not a START's */
    ck_assert_int_eq(crn_board_post(&board, &post, &error), CAIRN_EINVAL);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), JOB));
    mail.id = 4;
    ck_assert_int_eq(crn_board_send(&board, &mail, &unsettled, &mail_error), CAIRN_EINVAL);
    CRN_AUTO_FREE char *nothing = stores_list(board_store, "");
    ck_assert_str_eq(nothing, "");
    board_kit_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_board");
    TCase *c = tcase_create("words");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, posts_are_read_as_they_were_made, 0, stores_kinds());
    tcase_add_loop_test(c, all_mails_are_listed_and_nothing_else, 0, kind_count());
    tcase_add_loop_test(c, mails_are_read_and_removed, 0, stores_kinds());
    tcase_add_loop_test(c, the_newest_board_has_posts, 0, stores_kinds());
    tcase_add_test(c, only_who_listens_is_told);
    tcase_add_test(c, the_newest_post_is_what_counts);
    tcase_add_test(c, a_number_that_is_taken_is_explained);
    tcase_add_test(c, what_breaks_a_rule_is_never_written);
    suite_add_tcase(s, c);
    TCase *races = tcase_create("races");
    tcase_set_timeout(races, 60);
    tcase_add_loop_test(races, a_successors_word_is_never_lost, 0, 4);
    tcase_add_loop_test(races, of_two_at_a_number_one_wins, 0, kind_count());
    suite_add_tcase(s, races);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
