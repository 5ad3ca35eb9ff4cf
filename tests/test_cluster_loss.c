/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what cluster.h promises when a process of a job is lost, leaves, is replaced, or cannot
 * reach the store, and that bytes on the board that nobody wrote are errors (P11). Method: as
 * test_cluster.c; a process that stands still is one whose store answers nothing. After each: what
 * is left goes on from the newest complete checkpoint, and of the lost one nothing counts (P2, P7).
 */
#include "tests/support/cluster_kit.h"

#include "backends/storage/storage.h"
#include "manifest/cluster.h"

#include <stdio.h>
#include <string.h>

static struct crew crew;

static void setup(void)
{
    crew_init(&crew, 3);
}

static void teardown(void)
{
    crew_done(&crew);
}

/* Runs, with something in a checkpoint. */
static void begin(void)
{
    crew_must_start(&crew);
    crew_write(&crew, 0);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
}

static void cut_off(uint32_t member)
{
    fixture_arm(&crew.members[member].f, (struct crn_fault_plan){.ops = CRN_FAULT_ANY,
                                                                 .mode = CRN_FAULT_BEFORE,
                                                                 .at = 1,
                                                                 .and_after = true,
                                                                 .code = CAIRN_EUNAVAIL});
}

static void reconnect(uint32_t member)
{
    fixture_disarm(&crew.members[member].f, CRN_FAULT_ANY);
}

/* All of it again, with the state as of the last checkpoint, and nothing left of what was before.
 */
static void go_on(void)
{
    crew_close(&crew);
    crew_must_start(&crew);
    crew_check(&crew);
    crew_write(&crew, 1);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    crew_close(&crew);
    crew_must_start(&crew);
    crew_check(&crew);
}

/* Written, and not in any checkpoint: gone after the restart. */
static void write_in_vain(void)
{
    int64_t counts[CREW_KEYS];
    memcpy(counts, crew.counts, sizeof counts);
    crew_write(&crew, 2);
    memcpy(crew.counts, counts, sizeof counts);
}

static void expect_failure(uint32_t member, const char *part)
{
    int r = crew_await_error(&crew, member);
    struct crew_member *m = &crew.members[member];
    ck_assert_msg(r == CAIRN_EFAILED, "%s: %s", cairn_error_name(r), m->message);
    ck_assert_msg(strstr(m->message, part) != NULL, "'%s' says nothing of %s", m->message, part);
    ck_assert_int_eq(cairn_job_get_state(m->job), CAIRN_JOB_FAILED);
}

static void await_state(uint32_t member, cairn_job_state state)
{
    for (unsigned i = 0; i < 8000 && cairn_job_get_state(crew.members[member].job) != (int)state;
         i++)
        crn_sleep_us(1000);
    ck_assert_int_eq(cairn_job_get_state(crew.members[member].job), state);
}

/* ------------------------------------------------------------------------------------------ *
 * Workers
 * ------------------------------------------------------------------------------------------ */

START_TEST(a_worker_leaves)
{
    crew.members[2].f.options.worker_name = "ann";
    crew.members[0].f.options.on_failure = CAIRN_DELETE; /* which is not for this */
    begin();
    write_in_vain();
    crew_close_member(&crew, 2);
    await_state(0, CAIRN_JOB_FAILED);
    expect_failure(1, "'ann'");
    expect_failure(3, "'ann'");
    ck_fails(cairn_job_trigger(crew_job(&crew), NULL, reterr), CAIRN_EFAILED, "has left");
    go_on();
}
END_TEST

/* It is not heard of; and when it comes back, it learns that. */
START_TEST(a_worker_is_cut_off)
{
    crew.members[0].f.options.worker_timeout_ms = 300;
    begin();
    write_in_vain();
    cut_off(2);
    await_state(0, CAIRN_JOB_FAILED);
    expect_failure(1, "has not been heard of");
    ck_assert_int_eq(cairn_job_get_state(crew.members[2].job),
                     CAIRN_JOB_RUNNING); /* as far as it knows */
    reconnect(2);
    expect_failure(2, "has not been heard of");
    go_on();
}
END_TEST

/* It had taken its barrier, and acknowledges when the job has long gone on without it. */
START_TEST(a_worker_comes_back_late)
{
    cairn_event event;
    struct crew_member zombie;
    crew.members[0].f.options.worker_timeout_ms = 300;
    begin();
    ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
    ck_assert_int_gt(crew_await_event(&crew, 2, CAIRN_EVENT_BARRIER), 0);
    cut_off(2);
    await_state(0, CAIRN_JOB_FAILED);
    zombie = crew.members[2];
    zombie.f.options.store = zombie.f.store;
    crew.members[2] = crew.members[4]; /* another process has its place */
    crew.members[2].index = 1;
    for (uint32_t i = 0; i <= 3; i++)
        crew_close_member(&crew, i);
    crew_must_start(&crew);
    crew_check(&crew);
    fixture_disarm(&zombie.f, CRN_FAULT_ANY);
    int r = 0;
    for (unsigned i = 0; i < 200 && r == 0; i++)
        r = cairn_task_wait(zombie.task, 50, &event, NULL);
    ck_assert(r == CAIRN_EFAILED || r == CAIRN_EFENCED);
    cairn_job_close(zombie.job);
    cairn_task_close(zombie.task);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    go_on();
    crew_close(&crew);
    crew.members[4] = crew.members[2];
    crew.members[2] = zombie;
    crew.members[2].job = NULL;
    crew.members[2].task = NULL;
}
END_TEST

/* Shorter than its time: nobody minds, and what was in flight completes. */
START_TEST(a_short_outage)
{
    for (uint32_t i = 0; i <= 3; i++) {
        begin();
        for (uint32_t member = 0; member <= 3; member++)
            if (i == 0 || member == i)
                cut_off(member);
        ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
        crn_sleep_us(100000);
        for (uint32_t member = 0; member <= 3; member++)
            reconnect(member);
        ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
        go_on();
        crew_close(&crew);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The coordinator
 * ------------------------------------------------------------------------------------------ */

START_TEST(the_coordinator_closes)
{
    begin();
    write_in_vain();
    crew_close_member(&crew, 0);
    for (uint32_t i = 1; i <= 3; i++)
        expect_failure(i, "coordinator");
    go_on();
}
END_TEST

START_TEST(the_coordinator_is_replaced)
{
    begin();
    write_in_vain();
    struct crew_member *second = &crew.members[4];
    second->f.options.role = CAIRN_COORDINATOR;
    second->f.options.worker_count = 3;
    ck_ok(fixture_open_job(&second->f, "job", &second->job, reterr));
    for (uint32_t i = 1; i <= 3; i++) {
        ck_assert_int_eq(crew_await_error(&crew, i), CAIRN_EFENCED);
        ck_assert_msg(strstr(crew.members[i].message, "epoch 2") != NULL, "%s",
                      crew.members[i].message);
        ck_assert_int_eq(cairn_job_get_state(crew.members[i].job), CAIRN_JOB_FENCED);
    }
    ck_fails(crew_checkpoint(&crew, false, NULL, reterr), CAIRN_EFENCED, "epoch 2");
    await_state(0, CAIRN_JOB_FENCED);
    ck_fails(cairn_job_trigger(crew_job(&crew), NULL, reterr), CAIRN_EFENCED, "epoch 2");
    go_on();
}
END_TEST

/* It has not even started, and waits for workers that go to its successor. */
START_TEST(replaced_while_it_waits)
{
    struct crew_member *second = &crew.members[4];
    ck_assert_int_eq(crew_open(&crew, 0), 0);
    second->f.options.role = CAIRN_COORDINATOR;
    second->f.options.worker_count = 3;
    ck_ok(fixture_open_job(&second->f, "job", &second->job, reterr));
    ck_fails(cairn_job_start(crew_job(&crew), reterr), CAIRN_EFENCED, "epoch 2");
}
END_TEST

/* It stood still meanwhile, and first misses its workers: that must not look as if they were lost.
 */
START_TEST(replaced_while_it_was_cut_off)
{
    crew.members[0].f.options.worker_timeout_ms = 200;
    begin();
    cut_off(0);
    struct crew_member *second = &crew.members[4];
    second->f.options.role = CAIRN_COORDINATOR;
    second->f.options.worker_count = 3;
    ck_ok(fixture_open_job(&second->f, "job", &second->job, reterr));
    for (uint32_t i = 1; i <= 3; i++) {
        ck_assert_int_eq(crew_await_error(&crew, i), CAIRN_EFENCED);
        crew_close_member(&crew, i);
    }
    reconnect(0);
    await_state(0, CAIRN_JOB_FENCED);
    go_on();
}
END_TEST

START_TEST(the_coordinator_is_cut_off)
{
    for (uint32_t i = 0; i <= 3; i++)
        crew.members[i].f.options.worker_timeout_ms = 300;
    begin();
    cut_off(0);
    crn_sleep_us(600000);
    reconnect(0);
    crew_write(&crew, 1);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    go_on();
}
END_TEST

START_TEST(cancelled)
{
    begin();
    write_in_vain();
    ck_ok(cairn_job_cancel(crew_job(&crew), reterr));
    for (uint32_t i = 1; i <= 3; i++) {
        ck_assert_int_eq(crew_await_error(&crew, i), CAIRN_ECANCELED);
        ck_assert_int_eq(cairn_job_get_state(crew.members[i].job), CAIRN_JOB_CANCELLED);
    }
    go_on();
}
END_TEST

static atomic_bool refuses;

static int refuse(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    (void)context, (void)task, (void)checkpoint_id;
    return atomic_load(&refuses) ? CAIRN_EIO : 0;
}

START_TEST(too_many_failures)
{
    crew.before_barrier = refuse;
    crew.members[0].f.options.tolerable_failures = 1;
    begin();
    write_in_vain();
    atomic_store(&refuses, true);
    ck_fails(crew_checkpoint(&crew, false, NULL, reterr), CAIRN_EABORTED, "'words'");
    (void)crew_checkpoint(&crew, false, NULL, NULL);
    await_state(0, CAIRN_JOB_FAILED);
    for (uint32_t i = 1; i <= 3; i++)
        expect_failure(i, "checkpoints");
    atomic_store(&refuses, false);
    go_on();
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Bytes that nobody wrote (P11)
 * ------------------------------------------------------------------------------------------ */

static void put_text(const char *name, const char *text)
{
    CRN_AUTO_FREE char *key = NULL;
    ck_ok(crn_str_printf(&key, reterr, "job/%s", name));
    store_put_text(crew.f.store, key, text);
}

static void number_of_posts(uint64_t *ret)
{
    char key[CRN_KEY_MAX + 4] = "job/";
    for (*ret = 1;; ++*ret) {
        crn_key_post(key + 4, cairn_job_epoch(crew_job(&crew)), *ret);
        if (*ret > 2 && !store_has(crew.f.store, key))
            break;
    }
}

/* A post that cannot be read ends the workers, with its name; the coordinator meets it as well. */
START_TEST(a_post_of_nobody)
{
    char key[CRN_KEY_MAX];
    uint64_t number;
    begin();
    number_of_posts(&number);
    crn_key_post(key, cairn_job_epoch(crew_job(&crew)), number);
    put_text(key, "this is no post");
    for (uint32_t i = 1; i <= 3; i++) {
        int r = crew_await_error(&crew, i);
        ck_assert_msg(r < 0 && strstr(crew.members[i].message, key) != NULL, "%s: %s",
                      cairn_error_name(r), crew.members[i].message);
    }
    go_on();
}
END_TEST

/* A mail of somebody unknown, and one of no worker at all, are nobody's; one in a worker's name is
 * its loss. */
START_TEST(mails_of_nobody)
{
    char key[CRN_KEY_MAX];
    const uint8_t worker[16] = {1, 2, 3};
    begin();
    crn_key_mail(key, cairn_job_epoch(crew_job(&crew)), worker, 1);
    put_text(key, "this is no mail");
    crn_key_mail(key, cairn_job_epoch(crew_job(&crew)), worker, 77);
    put_text(key, "");
    put_text("cluster/e1/mail-nobody", "x");
    put_text("cluster/x", "y");
    put_text("cluster/e99999999999999999999999/post-1", "z");
    crew_write(&crew, 1);
    ck_ok(crew_checkpoint(&crew, false, NULL, reterr));
    go_on();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster_loss");
    TCase *workers = tcase_create("workers"), *coordinators = tcase_create("coordinators");
    TCase *bytes = tcase_create("bytes");
    TCase *const all[] = {workers, coordinators, bytes};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tcase_set_timeout(all[i], 40);
        tcase_add_checked_fixture(all[i], setup, teardown);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(workers, a_worker_leaves);
    tcase_add_test(workers, a_worker_is_cut_off);
    tcase_add_test(workers, a_worker_comes_back_late);
    tcase_add_test(workers, a_short_outage);
    tcase_add_test(coordinators, the_coordinator_closes);
    tcase_add_test(coordinators, the_coordinator_is_replaced);
    tcase_add_test(coordinators, replaced_while_it_waits);
    tcase_add_test(coordinators, replaced_while_it_was_cut_off);
    tcase_add_test(coordinators, the_coordinator_is_cut_off);
    tcase_add_test(coordinators, cancelled);
    tcase_add_test(coordinators, too_many_failures);
    tcase_add_test(bytes, a_post_of_nobody);
    tcase_add_test(bytes, mails_of_nobody);
    return crn_test_run(suite);
}
