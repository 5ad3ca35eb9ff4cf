/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that no single failure of a store's call, in any process of a job, makes a wrong or a lost
 * checkpoint (P1, P2, P5, P6). Method: a coordinator and two workers in one process open, write,
 * take checkpoints and a savepoint, and close; the k-th call of one of them fails, or happens and
 * its answer is lost, for every k. Any of it may fail then. What is opened afterwards without a
 * fault must have exactly the state of one of the checkpoints that were asked for, not older than
 * the newest that was acknowledged; and when it has taken one more, nothing dead is left.
 *
 * CAIRN_EVERY=n takes every n-th call only.
 */
#include "tests/support/cluster_kit.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS 4

static struct crew crew;
static unsigned every = 1;

struct outcome {
    int64_t counts[ROUNDS + 1]
                  [CREW_KEYS]; /* before each checkpoint was asked for; 0: at the beginning */
    unsigned asked, acknowledged;
};

static void arrange(void)
{
    crew_init(&crew, 2);
    for (uint32_t i = 0; i <= 2; i++) {
        cairn_job_options *o = &crew.members[i].f.options;
        o->poll_interval_ms = 2;
        o->heartbeat_ms = 20;
        o->worker_timeout_ms = 1000;
        o->join_timeout_ms = 1500;
    }
    crew.members[0].f.options.checkpoint_timeout_ms = 3000;
}

static bool is_running(void)
{
    for (uint32_t i = 0; i <= 2; i++)
        if (crew.members[i].job == NULL ||
            cairn_job_get_state(crew.members[i].job) != CAIRN_JOB_RUNNING)
            return false;
    return true;
}

/* As far as it gets. */
static void live(struct outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    (void)crew_start(&crew);
    for (unsigned round = 1; round <= ROUNDS && is_running(); round++) {
        crew_write(&crew, round);
        memcpy(outcome->counts[round], crew.counts, sizeof crew.counts);
        outcome->asked = round;
        int r = round == 3 ? crew_savepoint(&crew, CAIRN_CANONICAL, false, NULL, NULL)
                           : crew_checkpoint(&crew, round == 4, NULL, NULL);
        if (r == 0 && round != 3) /* an ordinary start does not go back to a savepoint */
            outcome->acknowledged = round;
    }
    crew_close(&crew);
}

/* Which of them is it? */
static void check_restored(const struct outcome *outcome, const char *words)
{
    crew_must_start(&crew);
    for (unsigned round = outcome->acknowledged; round <= outcome->asked; round++) {
        bool is_it = round != 3;
        for (int64_t key = 0; key < CREW_KEYS && is_it; key++) {
            struct crew_member *m = &crew.members[crew_owner(&crew, key)];
            int64_t n = 0;
            ck_assert_int_eq(cairn_task_set_key_int64(m->task, key), 0);
            ck_ok(cairn_value_get_int64(m->count, &n, reterr));
            is_it = n == outcome->counts[round][key];
        }
        if (is_it) {
            memcpy(crew.counts, outcome->counts[round], sizeof crew.counts);
            return;
        }
    }
    ck_abort_msg(
        "%s: %u checkpoints were asked for, %u is complete, and the state is none of these", words,
        outcome->asked, outcome->acknowledged);
}

/* One more checkpoint, a collection, and nothing is left to find. */
static void check_tidy(const char *words)
{
    cairn_gc_report first = CAIRN_GC_REPORT_INIT, second = CAIRN_GC_REPORT_INIT;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = 1;
    crew_write(&crew, 2);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    crew_close(&crew);
    ck_ok(cairn_gc(crew.f.store, "job", NULL, &first, reterr));
    ck_ok(cairn_gc(crew.f.store, "job", NULL, &second, reterr));
    ck_ok(cairn_verify(crew.f.store, "job", &options, &report, reterr));
    ck_assert_msg(second.removed_count == 0, "%s: a second collection removed something", words);
    crew_must_start(&crew);
    crew_check(&crew);
}

static uint64_t count_calls(uint32_t member)
{
    struct outcome outcome;
    arrange();
    fixture_disarm(&crew.members[member].f, CRN_FAULT_ANY);
    live(&outcome);
    uint64_t calls = crn_fault_store_calls(crew.members[member].f.store);
    ck_assert_uint_eq(outcome.acknowledged, ROUNDS);
    check_restored(&outcome, "without a fault");
    crew_done(&crew);
    return calls;
}

static void fail_each(uint32_t member, enum crn_fault_mode mode, int code)
{
    const uint64_t calls = count_calls(member);
    ck_assert_uint_gt(calls, 15);
    for (uint64_t k = 1; k <= calls; k += every) {
        struct outcome outcome;
        char words[80];
        (void)snprintf(words, sizeof words, "member %u, call %llu of %llu, mode %d, %s", member,
                       (unsigned long long)k, (unsigned long long)calls, (int)mode,
                       cairn_error_name(code));
        arrange();
        fixture_arm(
            &crew.members[member].f,
            (struct crn_fault_plan){.ops = CRN_FAULT_ANY, .mode = mode, .at = k, .code = code});
        live(&outcome);
        fixture_disarm(&crew.members[member].f, CRN_FAULT_ANY);
        check_restored(&outcome, words);
        check_tidy(words);
        crew_done(&crew);
    }
}

/* The coordinator, and a worker; a refusal to be tried again, one that is final, and an answer that
 * is lost. */
static const struct fault {
    uint32_t member;
    enum crn_fault_mode mode;
    int code;
} faults[] = {
    {0, CRN_FAULT_BEFORE, CAIRN_EUNAVAIL}, {0, CRN_FAULT_BEFORE, CAIRN_EIO},
    {0, CRN_FAULT_LOST_REPLY, 0},          {1, CRN_FAULT_BEFORE, CAIRN_EUNAVAIL},
    {1, CRN_FAULT_BEFORE, CAIRN_EIO},      {1, CRN_FAULT_LOST_REPLY, 0},
};

START_TEST(each_call_fails_once)
{
    fail_each(faults[_i].member, faults[_i].mode, faults[_i].code);
}
END_TEST

int main(void)
{
    const char *text = getenv("CAIRN_EVERY");
    Suite *suite = suite_create("cluster_fault");
    TCase *tcase = tcase_create("calls");
    if (text != NULL && strtoul(text, NULL, 10) > 0)
        every = (unsigned)strtoul(text, NULL, 10);
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, each_call_fails_once, 0, sizeof faults / sizeof faults[0]);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
