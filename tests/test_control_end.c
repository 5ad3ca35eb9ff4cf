/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what docs/rest.md says of the orders that end a job: stop with a savepoint and cancel,
 * with and without one. They do it, in that order; a client learns the outcome although the service
 * closes the job at once; what fails on the way leaves the job as it was; and while it is under way
 * other orders are refused, but for the way out. A job with the fake state backend, as a service
 * would run it: its thread polls, and closes the job when poll says that it is over.
 */
#include "tests/support/control_kit.h"

#include <stdio.h>
#include <string.h>

static struct controlled c;

static void setup(void)
{
    controlled_init(&c, false);
}

static void teardown(void)
{
    controlled_done(&c);
}

static struct answer order(const char *path, const char *body)
{
    struct answer answer = request(&c, "POST", path, body);
    ck_assert_msg(answer.status == 202, "%u %s", answer.status, answer.body);
    return answer;
}

static struct answer carry_out(const char *path, const char *body)
{
    AUTO_ANSWER accepted = order(path, body);
    return follow(&c, &accepted);
}

static void ck_state(const struct answer *trigger, const char *type, const char *state)
{
    ck_assert_msg(strcmp(text_of(trigger, "type"), type) == 0 &&
                      strcmp(text_of(trigger, "state"), state) == 0,
                  "not %s %s: %s", type, state, trigger->body);
}

static void ck_job_state(const char *state)
{
    AUTO_ANSWER job = request(&c, "GET", "/v1/job", NULL);
    ck_assert_str_eq(text_of(&job, "state"), state);
}

static const char bad_target[] = "{\"target\":\"ftp://nowhere/\"}";
static const char bad_cancel[] = "{\"savepoint\":true,\"target\":\"ftp://nowhere/\"}";

START_TEST(stop_ends_the_job_with_a_savepoint)
{
    controlled_start(&c);
    AUTO_ANSWER trigger = carry_out("/v1/stop", "{\"format\":\"native\",\"drain\":true}");
    ck_state(&trigger, "stop", "completed");
    ck_assert_str_eq(text_of(&trigger, "snapshot.kind"), "savepoint");
    ck_assert_int_eq(access(text_of(&trigger, "snapshot.location"), F_OK), 0);
    ck_job_state("stopped");
    AUTO_ANSWER late = request(&c, "POST", "/v1/checkpoints", NULL);
    ck_assert_msg(late.status == 409 || late.status == 503, "%u %s", late.status, late.body);
    controlled_close(&c);
    controlled_start(&c); /* goes on from there */
    AUTO_ANSWER job = request(&c, "GET", "/v1/job", NULL);
    ck_assert_int_eq(number_of(&job, "restored.checkpoint_id"), number_of(&trigger, "snapshot.id"));
}
END_TEST

START_TEST(cancel_ends_the_job)
{
    controlled_start(&c);
    AUTO_ANSWER trigger = carry_out("/v1/cancel", NULL);
    ck_state(&trigger, "cancel", "completed");
    ck_assert_ptr_null(member(&trigger, "snapshot"));
    ck_job_state("cancelled");
    ck_refused(request(&c, "POST", "/v1/savepoints", NULL), 409, "CAIRN_ECANCELED", "cancel");
    controlled_stop_pump(&c);
    ck_assert_int_eq(c.pump.code, CAIRN_ECANCELED);
}
END_TEST

START_TEST(cancel_with_savepoint_takes_it_first)
{
    controlled_start(&c);
    AUTO_ANSWER trigger = carry_out("/v1/cancel", "{\"savepoint\":true}");
    ck_state(&trigger, "cancel", "completed");
    ck_assert_str_eq(text_of(&trigger, "snapshot.format"), "canonical");
    ck_assert_int_eq(access(text_of(&trigger, "snapshot.location"), F_OK), 0);
    ck_job_state("cancelled");
}
END_TEST

START_TEST(what_fails_leaves_the_job)
{
    controlled_start(&c);
    AUTO_ANSWER stop = carry_out("/v1/stop", bad_target);
    ck_state(&stop, "stop", "failed");
    AUTO_ANSWER cancel = carry_out("/v1/cancel", bad_cancel);
    ck_state(&cancel, "cancel", "failed");
    ck_job_state("running");
    AUTO_ANSWER next = carry_out("/v1/checkpoints", NULL);
    ck_state(&next, "checkpoint", "completed");
}
END_TEST

START_TEST(only_a_cancel_helps_a_stop_that_hangs)
{
    controlled_start(&c);
    controlled_stop_pump(&c);
    AUTO_ANSWER stop = order("/v1/stop", NULL);
    static const char *const paths[] = {"/v1/checkpoints", "/v1/savepoints", "/v1/stop"};
    for (size_t i = 0; i < CRN_COUNT(paths); i++)
        ck_refused(request(&c, "POST", paths[i], NULL), 409, "CAIRN_EBUSY",
                   text_of(&stop, "trigger_id"));
    ck_refused(request(&c, "POST", "/v1/cancel", "{\"savepoint\":true}"), 409, "CAIRN_EBUSY",
               "about to end");
    AUTO_ANSWER cancel = carry_out("/v1/cancel", "{}");
    ck_state(&cancel, "cancel", "completed");
    AUTO_ANSWER end = follow(&c, &stop);
    ck_state(&end, "stop", "failed");
    ck_job_state("cancelled");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * A service that closes at once
 * ------------------------------------------------------------------------------------------ */

static void *serve(void *arg)
{
    (void)arg;
    while (c.pump.code == 0)
        for (size_t i = 0; i < CONTROLLED_TASKS && c.pump.code == 0; i++) {
            cairn_event event;
            c.pump.code = cairn_task_poll(c.tasks[i], &event, NULL);
        }
    cairn_job_close(c.job);
    return NULL;
}

/* A new connection for each request, and no long wait: it is never there at the right moment. */
static struct answer ask_again_and_again(const char *address, const char *path)
{
    for (;;) {
        struct answer trigger = request_at(address, NULL, "GET", path, NULL);
        ck_assert_msg(trigger.status == 200, "the outcome of %s is lost", path);
        const char *state = text_of(&trigger, "state");
        if (strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0)
            return trigger;
        answer_done(&trigger);
        crn_sleep_us(20000);
    }
}

START_TEST(clients_hear_the_end)
{
    static const char *const bodies[] = {"{}", "{\"savepoint\":true}"};
    for (int i = 0; i < 6; i++) {
        char address[300], path[100];
        pthread_t service;
        controlled_start(&c);
        controlled_stop_pump(&c);
        (void)snprintf(address, sizeof address, "%s", cairn_job_control_address(c.job));
        c.pump.code = 0;
        ck_assert_int_eq(pthread_create(&service, NULL, serve, NULL), 0);
        AUTO_ANSWER accepted =
            i % 3 == 0 ? request_at(address, NULL, "POST", "/v1/stop", NULL)
                       : request_at(address, NULL, "POST", "/v1/cancel", bodies[i % 3 - 1]);
        ck_assert_uint_eq(accepted.status, 202);
        (void)snprintf(path, sizeof path, "%s%s", text_of(&accepted, "location"),
                       i < 3 ? "?wait_ms=30000" : "");
        AUTO_ANSWER trigger = ask_again_and_again(address, path);
        ck_state(&trigger, i % 3 == 0 ? "stop" : "cancel", "completed");
        ck_assert_int_eq(pthread_join(service, NULL), 0);
        ck_assert_int_eq(c.pump.code, i % 3 == 0 ? CAIRN_ECLOSED : CAIRN_ECANCELED);
        c.job = NULL;
        controlled_close(&c);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control_end");
    TCase *t = tcase_create("end");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, stop_ends_the_job_with_a_savepoint);
    tcase_add_test(t, cancel_ends_the_job);
    tcase_add_test(t, cancel_with_savepoint_takes_it_first);
    tcase_add_test(t, what_fails_leaves_the_job);
    tcase_add_test(t, only_a_cancel_helps_a_stop_that_hangs);
    tcase_add_test(t, clients_hear_the_end);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
