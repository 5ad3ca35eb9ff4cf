/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what docs/rest.md says of the control endpoint, for clients that keep to it:
 *   - each path shows the job as it is;
 *   - orders are accepted at once, carried out in the background, and their triggers tell how they
 *     end, whatever goes wrong: then the job goes on;
 *   - several orders at once have a defined order, and a limit;
 *   - closing the job tells who waits, removes the socket, and waits for nobody for long.
 * A job with the fake state backend, so that it also runs under ThreadSanitizer; libcurl as client.
 */
#include "tests/support/control_kit.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

/* ------------------------------------------------------------------------------------------ *
 * What is shown
 * ------------------------------------------------------------------------------------------ */

START_TEST(shows_the_job)
{
    controlled_start(&c);
    AUTO_ANSWER before = request(&c, "GET", "/v1/job", NULL);
    ck_assert_uint_eq(before.status, 200);
    ck_assert_str_eq(text_of(&before, "name"), "job");
    ck_assert_str_eq(text_of(&before, "state"), "running");
    ck_assert_ptr_null(member(&before, "last_checkpoint"));
    ck_assert_ptr_null(member(&before, "restored"));
    ck_assert_int_eq(number_of(&before, "pid"), getpid());
    ck_assert_int_eq(number_of(&before, "operator_count"), 2);
    ck_assert_int_eq(number_of(&before, "task_count"), CONTROLLED_TASKS);
    ck_assert_ptr_nonnull(strstr(before.headers, "Content-Type: application/json"));

    AUTO_ANSWER trigger = carry_out("/v1/checkpoints", NULL);
    AUTO_ANSWER after = request(&c, "GET", "/v1/job/", NULL);
    ck_assert_int_eq(number_of(&after, "last_checkpoint.id"), number_of(&trigger, "snapshot.id"));
    ck_assert_int_eq(number_of(&after, "counts.completed"), 1);
    AUTO_ANSWER head = request(&c, "HEAD", "/v1/job", NULL);
    ck_assert_uint_eq(head.status, 200);
    ck_assert_str_eq(head.body, "");
}
END_TEST

START_TEST(shows_tasks_and_operators)
{
    controlled_start(&c);
    AUTO_ANSWER tasks = request(&c, "GET", "/v1/tasks", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&tasks, "tasks")), CONTROLLED_TASKS);
    ck_assert_str_eq(text_of(&tasks, "tasks.0.uid"), "tally");
    ck_assert_str_eq(text_of(&tasks, "tasks.2.name"), "Words \"by\" count");
    ck_assert_int_eq(number_of(&tasks, "tasks.2.subtask"), 1);
    ck_assert_int_eq(number_of(&tasks, "tasks.2.key_group_last"), 127);
    ck_assert_int_eq(number_of(&tasks, "tasks.2.keys_set"), 1);

    AUTO_ANSWER ops = request(&c, "GET", "/v1/operators", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&ops, "operators")), 2);
    ck_assert_str_eq(text_of(&ops, "operators.0.uid"), "words");
    ck_assert_str_eq(text_of(&ops, "operators.0.key_type"), "int64");
    ck_assert_uint_eq(json_object_array_length(member(&ops, "operators.0.states")), 2);
    ck_assert_ptr_null(member(&ops, "operators.0.states.0.map_key_type"));
    ck_assert_int_eq(number_of(&ops, "operators.1.max_parallelism"), 4);
    static const char *const kinds[] = {"map", "value", "operator-list", "broadcast",
                                        "operator-union"};
    for (unsigned i = 0; i < CRN_COUNT(kinds); i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "operators.1.states.%u.kind", i);
        ck_assert_str_eq(text_of(&ops, path), kinds[i]);
    }
    ck_assert_str_eq(text_of(&ops, "operators.1.states.0.schemas.0.text"), "\"long\"");
    ck_assert_str_ne(text_of(&ops, "operators.1.states.1.schemas.0.hex"), "");
}
END_TEST

START_TEST(shows_settings_but_no_token)
{
    static const char token[] = "0123456789abcdef-secret";
    c.f.options.control = "tcp:127.0.0.1:0";
    c.f.options.control_token = token;
    c.f.options.checkpoint_interval_ms = 3600000;
    controlled_start(&c);
    const char *address = cairn_job_control_address(c.job);
    AUTO_ANSWER config = request_at(address, token, "GET", "/v1/config", NULL);
    ck_assert_uint_eq(config.status, 200);
    struct json_object *settings = member(&config, "settings"), *value;
    ck_assert(json_object_object_get_ex(settings, "checkpoint.interval", &value));
    ck_assert_str_eq(json_object_get_string(value), "1h");
    ck_assert(json_object_object_get_ex(settings, "control.listen", &value));
    ck_assert_str_eq(json_object_get_string(value), "tcp:127.0.0.1:0");
    ck_assert(!json_object_object_get_ex(settings, "control.token", &value));
    static const char *const paths[] = {"/v1/job", "/v1/tasks", "/v1/config", "/metrics"};
    for (size_t i = 0; i < CRN_COUNT(paths); i++) {
        AUTO_ANSWER any = request_at(address, token, "GET", paths[i], NULL);
        ck_assert_uint_eq(any.status, 200);
        ck_assert_ptr_null(strstr(any.body, token));
    }
}
END_TEST

START_TEST(shows_checkpoints_by_task)
{
    controlled_start(&c);
    for (unsigned i = 0; i < 3; i++) {
        AUTO_ANSWER trigger = carry_out("/v1/checkpoints", i == 1 ? "{\"full\":true}" : "{}");
        ck_state(&trigger, "checkpoint", "completed");
    }
    AUTO_ANSWER all = request(&c, "GET", "/v1/checkpoints", NULL);
    int64_t newest = number_of(&all, "history.0.id");
    ck_assert_str_eq(text_of(&all, "history.0.outcome"), "complete");
    ck_assert_int_eq(number_of(&all, "history.1.id"), newest - 1);
    ck_assert(json_object_get_boolean(member(&all, "history.1.is_full")));
    ck_assert(!json_object_get_boolean(member(&all, "history.0.is_full")));
    ck_assert_int_eq(number_of(&all, "counts.completed"), 3);

    AUTO_ANSWER page = request(&c, "GET", "/v1/checkpoints?limit=1", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&page, "history")), 1);
    ck_assert_int_eq(number_of(&page, "next_before"), newest);
    char path[100];
    (void)snprintf(path, sizeof path, "/v1/checkpoints?before=%lld&limit=1", (long long)newest);
    AUTO_ANSWER next = request(&c, "GET", path, NULL);
    ck_assert_int_eq(number_of(&next, "history.0.id"), newest - 1);

    (void)snprintf(path, sizeof path, "/v1/checkpoints/%lld", (long long)newest);
    AUTO_ANSWER one = request(&c, "GET", path, NULL);
    ck_assert_ptr_null(member(&one, "in_flight"));
    ck_assert_int_eq(number_of(&one, "ended.id"), newest);
    ck_assert_uint_eq(json_object_array_length(member(&one, "tasks")), CONTROLLED_TASKS);
    ck_assert_str_eq(text_of(&one, "tasks.0.phase"), "acked");
    ck_assert_int_gt(number_of(&one, "tasks.0.full_bytes"), 0);
    ck_refused(request(&c, "GET", "/v1/checkpoints/4711", NULL), 404, "CAIRN_ENOTFOUND", "4711");
    ck_refused(request(&c, "GET", "/v1/checkpoints/x", NULL), 404, "CAIRN_ENOTFOUND", "'x'");
}
END_TEST

START_TEST(shows_what_is_in_flight)
{
    controlled_start(&c);
    controlled_stop_pump(&c);
    AUTO_ANSWER accepted = order("/v1/checkpoints", NULL);
    char trigger_path[100], path[100];
    (void)snprintf(trigger_path, sizeof trigger_path, "%s", text_of(&accepted, "location"));
    for (;;) {
        AUTO_ANSWER trigger = request(&c, "GET", trigger_path, NULL);
        if (strcmp(text_of(&trigger, "state"), "running") == 0)
            break;
        ck_state(&trigger, "checkpoint", "pending");
        crn_sleep_us(1000);
    }
    AUTO_ANSWER trigger = request(&c, "GET", trigger_path, NULL);
    int64_t id = number_of(&trigger, "snapshot.id");
    AUTO_ANSWER all = request(&c, "GET", "/v1/checkpoints", NULL);
    ck_assert_int_eq(number_of(&all, "in_flight.0.id"), id);
    ck_assert_int_eq(number_of(&all, "in_flight.0.tasks_waiting"), CONTROLLED_TASKS);
    (void)snprintf(path, sizeof path, "/v1/checkpoints/%lld", (long long)id);
    AUTO_ANSWER one = request(&c, "GET", path, NULL);
    ck_assert_ptr_null(member(&one, "ended"));
    ck_assert_str_eq(text_of(&one, "tasks.0.phase"), "waiting");
    ck_assert_ptr_null(member(&one, "tasks.0.stall_us"));
    controlled_pump(&c);
    AUTO_ANSWER ended = follow(&c, &accepted);
    ck_state(&ended, "checkpoint", "completed");
    ck_assert_int_eq(number_of(&ended, "snapshot.id"), id);
}
END_TEST

START_TEST(shows_metrics)
{
    controlled_start(&c);
    AUTO_ANSWER metrics = request(&c, "GET", "/metrics", NULL);
    ck_assert_uint_eq(metrics.status, 200);
    ck_assert_ptr_nonnull(strstr(metrics.headers, "text/plain; version=0.0.4"));
    CRN_AUTO_FREE char *text = NULL;
    ck_ok(cairn_job_metrics(c.job, &text, reterr));
    ck_assert_ptr_nonnull(strstr(metrics.body, "# HELP cairn_"));
    ck_assert_int_eq(strncmp(metrics.body, text, strcspn(text, "\n")), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Orders
 * ------------------------------------------------------------------------------------------ */

START_TEST(takes_savepoints)
{
    static const char *const formats[] = {"canonical", "native"};
    controlled_start(&c);
    for (unsigned i = 0; i < 2; i++) {
        char body[500];
        (void)snprintf(body, sizeof body, "{\"format\":\"%s\",\"target\":%s%s%s}", formats[i],
                       i == 0 ? "null" : "\"", i == 0 ? "" : c.f.root, i == 0 ? "" : "/mine\"");
        AUTO_ANSWER trigger = carry_out("/v1/savepoints", body);
        ck_state(&trigger, "savepoint", "completed");
        ck_assert_str_eq(text_of(&trigger, "snapshot.format"), formats[i]);
        ck_assert_ptr_null(member(&trigger, "error"));
        const char *location = text_of(&trigger, "snapshot.location");
        CRN_AUTO_FREE char *manifest = NULL;
        uint64_t size;
        ck_ok(crn_str_printf(&manifest, reterr, "%s/MANIFEST-chk%lld", location,
                             (long long)number_of(&trigger, "snapshot.id")));
        ck_ok(crn_file_size(manifest, &size, reterr));
        ck_assert_ptr_nonnull(strstr(location, i == 0 ? "/savepoints/" : "/mine/"));
    }
}
END_TEST

START_TEST(bad_target_fails_the_trigger_alone)
{
    CRN_AUTO_FREE char *file = fixture_dir(&c.f, "file");
    char body[500];
    controlled_start(&c);
    ck_ok(crn_file_write_new(file, "x", 1, false, reterr));
    (void)snprintf(body, sizeof body, "{\"target\":\"%s\"}", file);
    AUTO_ANSWER trigger = carry_out("/v1/savepoints", body);
    ck_state(&trigger, "savepoint", "failed");
    ck_assert_str_eq(text_of(&trigger, "error.code"), "CAIRN_EINVAL");
    ck_assert_ptr_nonnull(strstr(text_of(&trigger, "error.message"), file));
    AUTO_ANSWER unknown = carry_out("/v1/savepoints", "{\"target\":\"ftp://x/y\"}");
    ck_state(&unknown, "savepoint", "failed");
    AUTO_ANSWER next = carry_out("/v1/checkpoints", NULL);
    ck_state(&next, "checkpoint", "completed");
}
END_TEST

START_TEST(task_that_never_answers_fails_the_trigger_alone)
{
    c.f.options.checkpoint_timeout_ms = 200;
    controlled_start(&c);
    controlled_stop_pump(&c);
    static const char *const paths[] = {"/v1/checkpoints", "/v1/savepoints"};
    for (unsigned i = 0; i < 2; i++) {
        AUTO_ANSWER trigger = carry_out(paths[i], NULL);
        ck_state(&trigger, i == 0 ? "checkpoint" : "savepoint", "failed");
        ck_assert_str_eq(text_of(&trigger, "error.code"), "CAIRN_EABORTED");
        ck_assert_ptr_nonnull(strstr(text_of(&trigger, "error.message"), "timed out"));
    }
    controlled_pump(&c);
    for (unsigned tries = 0;; tries++) { /* on a machine that is slow, it may be late again */
        AUTO_ANSWER next = carry_out("/v1/checkpoints", NULL);
        if (tries == 50 || strcmp(text_of(&next, "state"), "completed") == 0) {
            ck_state(&next, "checkpoint", "completed");
            break;
        }
    }
}
END_TEST

START_TEST(orders_queue_up_to_a_limit)
{
    enum { MAX = 16 };
    struct answer accepted[MAX];
    controlled_start(&c);
    controlled_stop_pump(&c);
    for (unsigned i = 0; i < MAX; i++)
        accepted[i] = order(i % 2 == 0 ? "/v1/checkpoints" : "/v1/savepoints", NULL);
    ck_refused(request(&c, "POST", "/v1/checkpoints", NULL), 429, "CAIRN_EBUSY", "16 orders");
    controlled_pump(&c);
    int64_t last = 0;
    for (unsigned i = 0; i < MAX; i++) {
        AUTO_ANSWER trigger = follow(&c, &accepted[i]);
        ck_state(&trigger, i % 2 == 0 ? "checkpoint" : "savepoint", "completed");
        if (i % 2 == 1) { /* savepoints come in some order, and none comes twice */
            ck_assert_int_ne(number_of(&trigger, "snapshot.id"), last);
            last = number_of(&trigger, "snapshot.id");
        }
        answer_done(&accepted[i]);
    }
    AUTO_ANSWER all = request(&c, "GET", "/v1/triggers", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&all, "triggers")), MAX);
    ck_assert_str_eq(text_of(&all, "triggers.0.type"), "savepoint");
    AUTO_ANSWER next = carry_out("/v1/checkpoints", NULL);
    ck_state(&next, "checkpoint", "completed");
}
END_TEST

START_TEST(old_triggers_are_forgotten)
{
    char first[100] = "", last[100] = "";
    controlled_start(&c);
    for (unsigned i = 0; i < 70; i++) {
        AUTO_ANSWER accepted = order("/v1/savepoints", "{\"target\":\"ftp://nowhere/\"}");
        (void)snprintf(i == 0 ? first : last, sizeof first, "%s", text_of(&accepted, "location"));
        AUTO_ANSWER trigger = follow(&c, &accepted);
        ck_state(&trigger, "savepoint", "failed");
    }
    ck_refused(request(&c, "GET", first, NULL), 404, "CAIRN_ENOTFOUND", "latest 64");
    AUTO_ANSWER newest = request(&c, "GET", last, NULL);
    ck_assert_uint_eq(newest.status, 200);
    AUTO_ANSWER all = request(&c, "GET", "/v1/triggers", NULL);
    ck_assert_uint_eq(json_object_array_length(member(&all, "triggers")), 64);
    ck_refused(request(&c, "GET", "/v1/triggers/999999-1", NULL), 404, "CAIRN_ENOTFOUND",
               "another run");
    ck_refused(request(&c, "GET", "/v1/triggers/1-x", NULL), 404, "CAIRN_ENOTFOUND", "1-x");
}
END_TEST

static struct {
    pthread_mutex_t lock;
    char text[8000];
} book = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void write_book(void *context, const cairn_log_line *line)
{
    (void)context;
    if (strcmp(line->component, "control") != 0)
        return;
    (void)pthread_mutex_lock(&book.lock);
    size_t used = strlen(book.text);
    (void)snprintf(book.text + used, sizeof book.text - used, "%d %s %s\n", (int)line->level,
                   line->fields[1].value, line->message);
    (void)pthread_mutex_unlock(&book.lock);
}

START_TEST(orders_are_logged)
{
    char expected[200];
    book.text[0] = '\0';
    c.f.options.log = write_book;
    controlled_start(&c);
    AUTO_ANSWER good = carry_out("/v1/checkpoints", NULL);
    AUTO_ANSWER bad = carry_out("/v1/savepoints", "{\"target\":\"ftp://nowhere/\"}");
    controlled_close(&c);
    ck_assert_ptr_nonnull(strstr(book.text, "3 control_open job 'job': the control endpoint"));
    (void)snprintf(expected, sizeof expected, "3 order_accepted job 'job': order %s (checkpoint)",
                   text_of(&good, "trigger_id"));
    ck_assert_ptr_nonnull(strstr(book.text, expected));
    ck_assert_ptr_nonnull(strstr(book.text, "3 order_completed"));
    (void)snprintf(expected, sizeof expected, "2 order_failed job 'job': order %s (savepoint)",
                   text_of(&bad, "trigger_id"));
    ck_assert_ptr_nonnull(strstr(book.text, expected));
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * The end
 * ------------------------------------------------------------------------------------------ */

struct waiter {
    char address[300], path[100];
    struct answer answer;
    pthread_t thread;
};

static void *wait_for_trigger(void *arg)
{
    struct waiter *w = arg;
    w->answer = request_at(w->address, NULL, "GET", w->path, NULL);
    return NULL;
}

START_TEST(close_tells_who_waits)
{
    struct waiter waiters[2] = {0};
    controlled_start(&c);
    controlled_stop_pump(&c);
    for (unsigned i = 0; i < 2; i++) {
        AUTO_ANSWER accepted = order(i == 0 ? "/v1/checkpoints" : "/v1/savepoints", NULL);
        (void)snprintf(waiters[i].address, sizeof waiters[i].address, "%s",
                       cairn_job_control_address(c.job));
        (void)snprintf(waiters[i].path, sizeof waiters[i].path, "%s?wait_ms=30000",
                       text_of(&accepted, "location"));
        ck_assert_int_eq(pthread_create(&waiters[i].thread, NULL, wait_for_trigger, &waiters[i]),
                         0);
    }
    crn_sleep_us(100000);
    controlled_close(&c);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(waiters[i].thread, NULL), 0);
        ck_assert_uint_eq(waiters[i].answer.status, 200);
        ck_state(&waiters[i].answer, i == 0 ? "checkpoint" : "savepoint", "failed");
        answer_done(&waiters[i].answer);
    }
    ck_assert_int_ne(access(waiters[0].address + 5, F_OK), 0);
    ck_assert_int_lt(bare_open(waiters[0].address), 0);
}
END_TEST

/* Between two polls the client is not connected. It asks again in time. */
START_TEST(close_lingers_for_who_asks_again)
{
    struct waiter waiter = {0};
    controlled_start(&c);
    AUTO_ANSWER accepted = order("/v1/savepoints", "{\"target\":\"ftp://nowhere/\"}");
    (void)snprintf(waiter.address, sizeof waiter.address, "%s", cairn_job_control_address(c.job));
    (void)snprintf(waiter.path, sizeof waiter.path, "%s", text_of(&accepted, "location"));
    uint64_t start_us = crn_now_us();
    ck_assert_int_eq(pthread_create(&waiter.thread, NULL, wait_for_trigger, &waiter), 0);
    controlled_close(&c);
    ck_assert_int_eq(pthread_join(waiter.thread, NULL), 0);
    ck_assert_uint_eq(waiter.answer.status, 200);
    ck_assert_uint_lt(crn_now_us() - start_us, 5000000);
    answer_done(&waiter.answer);
}
END_TEST

/* Neither an idle connection nor one in the middle of a request. */
START_TEST(close_waits_for_no_client)
{
    controlled_start(&c);
    int idle = bare_open(cairn_job_control_address(c.job));
    int half = bare_open(cairn_job_control_address(c.job));
    ck_assert(bare_text(half, "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Le"));
    AUTO_ANSWER alive = request(&c, "GET", "/v1/job", NULL); /* so both are connected */
    ck_assert_uint_eq(alive.status, 200);
    uint64_t start_us = crn_now_us();
    controlled_close(&c);
    ck_assert_uint_lt(crn_now_us() - start_us, 800000);
    ck_assert(bare_is_closed(idle) && bare_is_closed(half));
    ck_assert_int_eq(close(idle), 0);
    ck_assert_int_eq(close(half), 0);
}
END_TEST

START_TEST(start_fails_with_the_endpoint)
{
    CRN_AUTO_FREE char *directory = fixture_dir(&c.f, "later");
    CRN_AUTO_FREE char *control = NULL;
    ck_ok(crn_str_printf(&control, reterr, "unix:%s/socket", directory));
    c.f.options.control = control;
    controlled_open(&c);
    ck_fails(cairn_job_start(c.job, reterr), CAIRN_EIO, directory);
    ck_assert_str_eq(cairn_job_control_address(c.job), "");
    ck_ok(crn_file_make_dirs(directory, reterr)); /* and it may be tried again */
    controlled_start(&c);
    ck_assert_str_eq(cairn_job_control_address(c.job), control);
    ck_fails(cairn_job_start(c.job, reterr), CAIRN_EINVAL, "started before");
    AUTO_ANSWER alive = request(&c, "GET", "/v1/job", NULL);
    ck_assert_uint_eq(alive.status, 200);
}
END_TEST

/* The endpoint opens before the job is looked over; it goes when that finds something. */
START_TEST(endpoint_goes_with_a_start_that_fails)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_task *half = NULL;
    char **names = NULL;
    size_t count;
    controlled_open(&c);
    options.parallelism = 2;
    ck_ok(cairn_task_open(c.job, "half", &options, &half, reterr));
    ck_fails(cairn_job_start(c.job, reterr), CAIRN_EINVAL, "subtask 1 is not open");
    ck_ok(crn_file_list_dir(c.run_dir, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_eq(count, 0);
    cairn_task_close(half);
    controlled_start(&c);
    AUTO_ANSWER alive = request(&c, "GET", "/v1/job", NULL);
    ck_assert_uint_eq(alive.status, 200);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control");
    TCase *shown = tcase_create("shown"), *orders = tcase_create("orders"),
          *end = tcase_create("end");
    TCase *const all[] = {shown, orders, end};
    for (size_t i = 0; i < CRN_COUNT(all); i++) {
        tcase_add_checked_fixture(all[i], setup, teardown);
        tcase_set_timeout(all[i], 60);
        suite_add_tcase(s, all[i]);
    }
    tcase_add_test(shown, shows_the_job);
    tcase_add_test(shown, shows_tasks_and_operators);
    tcase_add_test(shown, shows_settings_but_no_token);
    tcase_add_test(shown, shows_checkpoints_by_task);
    tcase_add_test(shown, shows_what_is_in_flight);
    tcase_add_test(shown, shows_metrics);
    tcase_add_test(orders, takes_savepoints);
    tcase_add_test(orders, bad_target_fails_the_trigger_alone);
    tcase_add_test(orders, task_that_never_answers_fails_the_trigger_alone);
    tcase_add_test(orders, orders_queue_up_to_a_limit);
    tcase_add_test(orders, old_triggers_are_forgotten);
    tcase_add_test(orders, orders_are_logged);
    tcase_add_test(end, close_tells_who_waits);
    tcase_add_test(end, close_lingers_for_who_asks_again);
    tcase_add_test(end, close_waits_for_no_client);
    tcase_add_test(end, start_fails_with_the_endpoint);
    tcase_add_test(end, endpoint_goes_with_a_start_that_fails);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
