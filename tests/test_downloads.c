/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that downloads share: how many at once, how many bytes per second, and that waiting
 * for either ends when it is cancelled. Times are computed from a clock that the test sets,
 * requests and those under way are counted; nothing is measured.
 */
#include "tests/support/fetch_kit.h"

#include "base/file.h"
#include "backends/storage/storage.h"

#define SECOND UINT64_C(1000000)

/* ---- the rate ---- */

START_TEST(bytes_are_booked_one_behind_the_other)
{
    struct crn_rate rate;
    crn_rate_init(&rate, 1000);
    ck_assert_uint_eq(crn_rate_book(&rate, 500, 10 * SECOND), 10 * SECOND); /* at once */
    ck_assert_uint_eq(crn_rate_book(&rate, 2000, 10 * SECOND), 10 * SECOND + SECOND / 2);
    ck_assert_uint_eq(crn_rate_book(&rate, 1, 11 * SECOND), 12 * SECOND + SECOND / 2);
    /* A pause is not made up for. */
    ck_assert_uint_eq(crn_rate_book(&rate, 1000, 100 * SECOND), 100 * SECOND);
    ck_assert_uint_eq(crn_rate_book(&rate, 1000, 100 * SECOND), 101 * SECOND);
    crn_rate_give_back(&rate, 1000);
    ck_assert_uint_eq(crn_rate_book(&rate, 1000, 100 * SECOND), 101 * SECOND);
    crn_rate_done(&rate);
}
END_TEST

START_TEST(in_the_long_run_no_more_than_the_limit_goes)
{
    struct crn_rate rate;
    uint64_t now = 5, random = 3, bytes = 0, begin = now;
    crn_rate_init(&rate, 1u << 20);
    for (int i = 0; i < 10000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t n = random >> 44;
        uint64_t slot = crn_rate_book(&rate, n, now);
        ck_assert_uint_ge(slot, now);
        /* What went before its slot is within the limit, but for what rounding takes. */
        ck_assert(bytes <= (1u << 20) * (double)(slot - begin) / 1e6 + 10000);
        bytes += n;
        now = slot + (random >> 20) % 3000;
    }
    crn_rate_done(&rate);
}
END_TEST

START_TEST(without_a_limit_all_goes_at_once)
{
    struct crn_rate rate;
    crn_rate_init(&rate, 0);
    for (int i = 0; i < 10; i++)
        ck_assert_uint_eq(crn_rate_book(&rate, UINT64_MAX, 7), 7);
    ck_assert(crn_rate_wait(&rate, UINT64_MAX, NULL));
    crn_rate_done(&rate);
}
END_TEST

/* Sizes are what a manifest says (P11). */
START_TEST(any_number_of_bytes_can_be_booked)
{
    struct crn_rate rate;
    crn_rate_init(&rate, 1);
    uint64_t last = 0;
    for (int i = 0; i < 10; i++) {
        uint64_t slot = crn_rate_book(&rate, UINT64_MAX, 0);
        ck_assert(i == 0 ? slot == 0 : slot > last);
        last = slot;
    }
    crn_rate_done(&rate);
}
END_TEST

/* ---- turns ---- */

struct waiter {
    pthread_t thread;
    struct crn_downloads *downloads;
    atomic_uint *under_way, *most;
    int result;
};

static void *take_turns(void *arg)
{
    struct waiter *waiter = arg;
    for (int i = 0; i < 50 && waiter->result == 0; i++) {
        waiter->result = crn_downloads_begin(waiter->downloads, 10, NULL);
        if (waiter->result < 0)
            break;
        unsigned now = atomic_fetch_add(waiter->under_way, 1) + 1;
        unsigned most = atomic_load(waiter->most);
        while (now > most && !atomic_compare_exchange_weak(waiter->most, &most, now))
            ;
        crn_sleep_us(100);
        atomic_fetch_sub(waiter->under_way, 1);
        crn_downloads_end(waiter->downloads);
    }
    return NULL;
}

START_TEST(no_more_than_so_many_at_once)
{
    struct crn_downloads downloads;
    struct waiter waiters[8];
    atomic_uint under_way = 0, most = 0;
    crn_downloads_init(&downloads, 3, 0, NULL);
    for (size_t i = 0; i < CRN_COUNT(waiters); i++) {
        waiters[i] =
            (struct waiter){.downloads = &downloads, .under_way = &under_way, .most = &most};
        ck_assert_int_eq(
            crn_thread_start(&waiters[i].thread, "waiter", take_turns, &waiters[i], NULL), 0);
    }
    for (size_t i = 0; i < CRN_COUNT(waiters); i++) {
        ck_assert_int_eq(pthread_join(waiters[i].thread, NULL), 0);
        ck_assert_int_eq(waiters[i].result, 0);
    }
    ck_assert_uint_le(atomic_load(&most), 3);
    ck_assert_uint_ge(atomic_load(&most), 2); /* but not one after the other */
    crn_downloads_done(&downloads);
}
END_TEST

static void *begin_one(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = crn_downloads_begin(waiter->downloads, 1000, NULL);
    return NULL;
}

/* Who waits for a turn, or for years until the rate lets it go, ends; and who comes later. */
START_TEST(waiting_ends_when_it_is_cancelled)
{
    struct crn_downloads downloads;
    struct waiter waiters[3];
    const bool by_rate = _i == 1;
    crn_downloads_init(&downloads, by_rate ? 9 : 1, by_rate ? 1 : 0, NULL);
    ck_assert_int_eq(crn_downloads_begin(&downloads, UINT64_C(1) << 40, NULL), 0);
    for (size_t i = 0; i < CRN_COUNT(waiters); i++) {
        waiters[i] = (struct waiter){.downloads = &downloads};
        ck_assert_int_eq(
            crn_thread_start(&waiters[i].thread, "waiter", begin_one, &waiters[i], NULL), 0);
    }
    ck_assert_int_eq(crn_downloads_check(&downloads, NULL), 0);
    crn_downloads_cancel(&downloads);
    for (size_t i = 0; i < CRN_COUNT(waiters); i++) {
        ck_assert_int_eq(pthread_join(waiters[i].thread, NULL), 0);
        ck_assert_int_eq(waiters[i].result, CAIRN_ECANCELED);
    }
    ck_assert_int_eq(crn_downloads_begin(&downloads, 1, NULL), CAIRN_ECANCELED);
    ck_assert_int_eq(crn_downloads_check(&downloads, NULL), CAIRN_ECANCELED);
    crn_downloads_done(&downloads);
}
END_TEST

/* ---- of a fetch ---- */

static void *fetch_one(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = kit_fetch_into("to", 3, NULL, waiter->downloads, NULL);
    return NULL;
}

/* A fetch that would take years ends with the job. */
START_TEST(a_limited_fetch_can_be_cancelled)
{
    struct crn_downloads downloads;
    struct waiter waiter = {.downloads = &downloads};
    for (int i = 0; i < 5; i++)
        kit_add_file(900000);
    crn_downloads_init(&downloads, 2, 1, NULL);
    kit_count_gets();
    ck_assert_int_eq(crn_thread_start(&waiter.thread, "fetch", fetch_one, &waiter, NULL), 0);
    while (crn_fault_store_calls(kit_store) == 0)
        crn_sleep_us(1000);
    crn_downloads_cancel(&downloads);
    ck_assert_int_eq(pthread_join(waiter.thread, NULL), 0);
    ck_assert_int_eq(waiter.result, CAIRN_ECANCELED);
    ck_assert_uint_eq(crn_fault_store_calls(kit_store), 1);
    crn_downloads_done(&downloads);
}
END_TEST

/* Under a limit no request is for more than a fourth of a second, so that all get their share: but
 * a request is not worth less than 256 KiB. */
START_TEST(under_a_limit_less_is_asked_for_at_once)
{
    static const struct {
        uint64_t limit;
        size_t size;
        uint64_t gets;
    } cases[] = {{UINT64_C(4) << 20, (size_t)2 << 20, 2},
                 {UINT64_C(64) << 20, (size_t)32 << 20, 2},
                 {UINT64_C(400) << 30, (size_t)32 << 20, 2},
                 {UINT64_C(2) << 20, (size_t)256 << 10, 1}};
    struct crn_downloads downloads;
    cairn_store *memory;
    cairn_store_close(kit_store);
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    kit_open_store(memory, false); /* it does not ask for ranges by itself */
    kit_add_file(cases[_i].size);
    crn_downloads_init(&downloads, 4, cases[_i].limit, NULL);
    kit_count_gets();
    ck_assert_int_eq(kit_fetch_into("to", 2, NULL, &downloads, NULL), 0);
    ck_assert_uint_eq(crn_fault_store_calls(kit_store), cases[_i].gets);
    ck_assert_uint_eq(kit_check_directory("to"), 1);
    crn_downloads_done(&downloads);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("downloads");
    TCase *tcase = tcase_create("downloads");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, bytes_are_booked_one_behind_the_other);
    tcase_add_test(tcase, in_the_long_run_no_more_than_the_limit_goes);
    tcase_add_test(tcase, without_a_limit_all_goes_at_once);
    tcase_add_test(tcase, any_number_of_bytes_can_be_booked);
    tcase_add_test(tcase, no_more_than_so_many_at_once);
    tcase_add_loop_test(tcase, waiting_ends_when_it_is_cancelled, 0, 2);
    suite_add_tcase(suite, tcase);
    TCase *fetches = tcase_create("fetches");
    tcase_set_timeout(fetches, 30);
    tcase_add_checked_fixture(fetches, kit_setup, kit_teardown);
    tcase_add_test(fetches, a_limited_fetch_can_be_cancelled);
    tcase_add_loop_test(fetches, under_a_limit_less_is_asked_for_at_once, 0, 4);
    suite_add_tcase(suite, fetches);
    return crn_test_run(suite);
}
