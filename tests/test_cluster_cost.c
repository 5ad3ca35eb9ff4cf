/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what docs/operations.md says of the requests that a job of several processes costs, for a
 * checkpoint and while nothing happens, and that a budget holds. Method: as test_cluster.c; each
 * process' calls of the store are counted, one kind at a time.
 */
#include "tests/support/cluster_kit.h"

static struct crew crew;

static void setup(void)
{
    crew_init(&crew, 3);
}

static void teardown(void)
{
    crew_done(&crew);
}

static void await_everywhere(cairn_event_type type)
{
    for (uint32_t i = 1; i <= crew.workers; i++)
        ck_assert_int_gt(crew_await_event(&crew, i, type), 0);
}

/* Calls of these operations that one process makes from a trigger until all workers have heard of
 * the end. */
static uint64_t cost_of_checkpoint(uint32_t member, unsigned ops)
{
    fixture_disarm(&crew.members[member].f, ops);
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    await_everywhere(CAIRN_EVENT_BARRIER);
    await_everywhere(CAIRN_EVENT_COMPLETED);
    crn_sleep_us(50000); /* what is read is removed */
    return crn_fault_store_calls(crew.members[member].f.store);
}

/* docs/operations.md, "Jobs in several processes", has these numbers. Nothing is new, so that no
 * file is stored. */
START_TEST(requests_of_a_checkpoint)
{
    for (uint32_t i = 0; i <= 3; i++) {
        cairn_job_options *o = &crew.members[i].f.options;
        o->heartbeat_ms = 600000;
        o->worker_timeout_ms = 3000000;
        o->poll_interval_ms = 40;
        o->inline_threshold_bytes = 1 << 20;
    }
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    (void)cost_of_checkpoint(0, 0);
    ck_assert_uint_eq(cost_of_checkpoint(0, CRN_FAULT_CREATE), 3); /* trigger, manifest, outcome */
    ck_assert_uint_eq(cost_of_checkpoint(0, CRN_FAULT_GET), 3);    /* one acknowledgement each */
    ck_assert_uint_eq(cost_of_checkpoint(0, CRN_FAULT_PUT), 0);
    ck_assert_uint_le(cost_of_checkpoint(0, CRN_FAULT_REMOVE), 3);
    ck_assert_uint_eq(cost_of_checkpoint(0, CRN_FAULT_STAT), 1);
    uint64_t began_us = crn_now_us(), lists = cost_of_checkpoint(0, CRN_FAULT_LIST);
    ck_assert_uint_ge(lists, 1);
    ck_assert_uint_le(lists, (crn_now_us() - began_us) / 40000 + 2);
    ck_assert_uint_eq(cost_of_checkpoint(1, CRN_FAULT_PUT), 1); /* the acknowledgement */
    ck_assert_uint_eq(cost_of_checkpoint(1, CRN_FAULT_CREATE | CRN_FAULT_LIST | CRN_FAULT_REMOVE |
                                                CRN_FAULT_STAT),
                      0);
    began_us = crn_now_us();
    uint64_t gets = cost_of_checkpoint(1, CRN_FAULT_GET);
    ck_assert_uint_ge(gets, 2); /* trigger, outcome */
    ck_assert_uint_le(gets, (crn_now_us() - began_us) / 40000 + 5);
}
END_TEST

/* So many at most in each interval, for a while; interval_ms 0: none at all. */
static void expect_at_most(uint32_t member, unsigned ops, uint64_t each, uint64_t interval_ms)
{
    fixture_disarm(&crew.members[member].f, ops);
    const uint64_t began_us = crn_now_us();
    crn_sleep_us(400000);
    const uint64_t calls = crn_fault_store_calls(crew.members[member].f.store);
    const uint64_t took_ms = (crn_now_us() - began_us) / 1000;
    const uint64_t most = interval_ms == 0 ? 0 : each * (took_ms / interval_ms + 2);
    ck_assert_msg(calls <= most, "member %u: %u calls in %u ms", member, (unsigned)calls,
                  (unsigned)took_ms);
}

#define CHANGES (CRN_FAULT_CREATE | CRN_FAULT_REMOVE | CRN_FAULT_STAT)

/* Nothing is asked more often than the intervals say; that it happens at all the other tests show.
 */
START_TEST(requests_while_idle)
{
    for (uint32_t i = 0; i <= 3; i++) {
        crew.members[i].f.options.poll_interval_ms = 20;
        crew.members[i].f.options.heartbeat_ms = 100;
    }
    crew_must_start(&crew);
    expect_at_most(1, CRN_FAULT_GET, 1, 20);
    expect_at_most(1, CRN_FAULT_PUT, 1, 100);
    expect_at_most(1, CHANGES | CRN_FAULT_LIST, 0, 0);
    expect_at_most(0, CRN_FAULT_LIST, 1, 100);
    expect_at_most(0, CRN_FAULT_GET, 3, 100);
    expect_at_most(0, CRN_FAULT_REMOVE, 1, 100);
    expect_at_most(0, CRN_FAULT_CREATE | CRN_FAULT_PUT | CRN_FAULT_STAT, 0, 0);
}
END_TEST

/* With a budget there are fewer, and a checkpoint is completed all the same. */
START_TEST(a_budget_of_requests)
{
    for (uint32_t i = 1; i <= 3; i++)
        crew.members[i].f.options.poll_interval_ms = 10;
    crew.members[1].f.options.requests_per_minute = 600;
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    crn_sleep_us(300000);
    expect_at_most(1, CRN_FAULT_ANY, 1, 100);
    crew_close(&crew);
    crew_must_start(&crew);
    crew_check(&crew);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster_cost");
    TCase *tcase = tcase_create("requests");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, requests_of_a_checkpoint);
    tcase_add_test(tcase, requests_while_idle);
    tcase_add_test(tcase, a_budget_of_requests);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
