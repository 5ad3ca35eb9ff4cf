/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what a running job promises (P1 to P7) while nothing is damaged: open, start, poll,
 * checkpoint, subsume, abort, close, being replaced. Method: a small job of three subtasks, an
 * oracle beside it, and a store that counts and refuses calls. The fake backend over the memory
 * store; what depends on the backend again with RocksDB over a directory.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;

static void setup_memory(void)
{
    fixture_init(&f, false);
}

static void setup_disk(void)
{
    fixture_init(&f, true);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Checkpoints and what comes back
 * ------------------------------------------------------------------------------------------ */

/* Twelve lives of a job, several checkpoints in each: what was checkpointed last comes back, what
 * came after it does not. */
START_TEST(test_round_trips)
{
    struct oracle now, stored;
    uint64_t random = 1 + (uint64_t)_i, last_id = 0;
    oracle_init(&now);
    stored = now;
    f.options.num_retained = 1 + (uint32_t)_i % 3;
    f.options.inline_threshold_bytes = _i % 2 == 0 ? 0 : 1;
    for (int life = 0; life < 12; life++) {
        struct subject s;
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        ck_ok(subject_open(&f, "job", &s, reterr));
        ck_assert_int_eq(cairn_job_restored(s.job, &info), last_id != 0);
        ck_assert_uint_eq(info.id, last_id);
        const char *why = oracle_compare(&stored, &s);
        ck_assert_msg(why == NULL, "life %d: %s", life, why);
        now = stored;
        for (uint64_t n = oracle_random(&random) % 5; n > 0; n--) {
            oracle_mutate(&now, &s, &random, 15);
            ck_ok(subject_checkpoint(&s, oracle_random(&random) % 4 == 0, &info, reterr));
            ck_assert_uint_gt(info.id, last_id);
            last_id = info.id;
            stored = now;
        }
        oracle_mutate(&now, &s, &random, 10); /* never stored */
        subject_close(&s);
        store_check_tidy(f.store, "job");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job");
    TCase *tcase = tcase_create("memory");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_memory, teardown);
    tcase_add_loop_test(tcase, test_round_trips, 0, 4);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("disk");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_disk, teardown);
    tcase_add_loop_test(tcase, test_round_trips, 0, 2);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
