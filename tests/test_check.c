/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking before a start: cairn_check() says of each operator and state what a start would do with
 * it, and returns what the start would. Method: plans against the snapshot of a small job, and for
 * each answer the start itself.
 */
#include "cairn/inspect.h"
#include "tests/support/oracle.h"

#include <stdio.h>
#include <string.h>

static struct fixture f;
static cairn_snapshot *snapshot;

#define ITEMS_MAX 32
static struct item {
    cairn_verdict verdict;
    char uid[32], state[32], detail[400];
    uint64_t bytes;
} items[ITEMS_MAX];
static unsigned item_count;

static void setup(void)
{
    struct subject s;
    struct oracle oracle;
    uint64_t seed = 3;
    fixture_init(&f, false);
    f.backend = crn_heap_backend;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &seed, 40);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_ok(cairn_snapshot_open(f.store, "job", 0, &snapshot, reterr));
}

static void teardown(void)
{
    cairn_snapshot_close(snapshot);
    fixture_done(&f);
}

static void take_item(void *context, const cairn_check_item *item)
{
    (void)context;
    ck_assert_uint_lt(item_count, ITEMS_MAX);
    struct item *to = &items[item_count++];
    to->verdict = item->verdict;
    to->bytes = item->stored_bytes;
    (void)snprintf(to->uid, sizeof to->uid, "%s", item->operator_uid);
    (void)snprintf(to->state, sizeof to->state, "%s", item->state != NULL ? item->state : "");
    (void)snprintf(to->detail, sizeof to->detail, "%s", item->detail);
}

static int check(const cairn_planned_operator *operators, size_t count, cairn_error **reterr)
{
    cairn_check_options options = CAIRN_CHECK_OPTIONS_INIT;
    options.operators = operators;
    options.operator_count = count;
    options.item = take_item;
    item_count = 0;
    return cairn_check(snapshot, &options, reterr);
}

static void expect(const char *uid, const char *state, cairn_verdict verdict, const char *words)
{
    for (unsigned i = 0; i < item_count; i++)
        if (strcmp(items[i].uid, uid) == 0 && strcmp(items[i].state, state) == 0) {
            ck_assert_msg(items[i].verdict == verdict, "%s/%s is %d: %s", uid, state,
                          (int)items[i].verdict, items[i].detail);
            ck_assert_msg(strstr(items[i].detail, words) != NULL, "'%s' is not about '%s'",
                          items[i].detail, words);
            ck_assert_int_eq(items[i].bytes > 0, state[0] == '\0' && verdict != CAIRN_VERDICT_NEW);
            return;
        }
    ck_abort_msg("nothing about %s/%s", uid, state);
}

static const cairn_planned_state words_states[] = {
    {.name = "count", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64},
    {.name = "events", .kind = CAIRN_KIND_LIST, .value_type = CAIRN_INT64, .ttl_ms = 1000},
    {.name = "fresh", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64},
};
static const cairn_planned_operator plan[] = {
    {.uid = "words",
     .parallelism = 3,
     .key_type = CAIRN_INT64,
     .states = words_states,
     .state_count = 3},
    {.uid = "tally", .key_type = CAIRN_INT64},
    {.uid = "new", .states = words_states, .state_count = 1},
};

START_TEST(test_each_verdict)
{
    ck_ok(check(plan, 3, reterr));
    expect("words", "", CAIRN_VERDICT_RESTORED, "from parallelism 2 to 3");
    expect("words", "count", CAIRN_VERDICT_RESTORED, "as it is");
    expect("words", "events", CAIRN_VERDICT_RESTORED, "expiry is switched on");
    expect("words", "fresh", CAIRN_VERDICT_NEW, "empty");
    expect("tally", "", CAIRN_VERDICT_RESTORED, "as it is");
    expect("tally", "names", CAIRN_VERDICT_KEPT, "kept");
    expect("tally", "offset", CAIRN_VERDICT_KEPT, "kept");
    expect("new", "", CAIRN_VERDICT_NEW, "empty");
    expect("new", "count", CAIRN_VERDICT_NEW, "empty");
    ck_assert_uint_eq(item_count, 4 + 4 + 2);

    ck_fails(check(plan, 1, reterr), CAIRN_ENONRESTORED, "'tally'");
    expect("tally", "", CAIRN_VERDICT_DROPPED, "allow_non_restored_state");
    ck_fails(check(NULL, 0, reterr), CAIRN_ENONRESTORED, "");
    ck_assert_uint_eq(item_count, 2);

    cairn_planned_operator unknown = plan[1];
    unknown.states_unknown = 1;
    const cairn_planned_operator quiet[] = {plan[0], unknown};
    ck_ok(check(quiet, 2, reterr));
    ck_assert_uint_eq(item_count, 5);
}
END_TEST

/* What the start itself says of these options. */
static void expect_start(const cairn_planned_operator *planned, int code, const char *words)
{
    cairn_job *job;
    cairn_task *task;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = planned->parallelism;
    options.max_parallelism = planned->max_parallelism;
    options.key_type = planned->key_type;
    options.namespace_type = planned->namespace_type;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_fails(cairn_task_open(job, planned->uid, &options, &task, reterr), code, words);
    cairn_job_close(job);
}

START_TEST(test_a_mismatch_is_told_in_the_words_of_the_start)
{
    cairn_planned_operator bad[4];
    for (unsigned i = 0; i < 4; i++)
        bad[i] = plan[0];
    bad[0].max_parallelism = 64;
    bad[1].key_type = CAIRN_STRING;
    bad[2].namespace_type = CAIRN_INT64;
    bad[3].parallelism = 200;
    for (unsigned i = 0; i < 4; i++) {
        const cairn_planned_operator both[] = {bad[i], plan[1]};
        ck_fails(check(both, 2, reterr), CAIRN_EMISMATCH, "operator 'words' is stored with");
        expect("words", "", CAIRN_VERDICT_MISMATCH, "operator 'words' is stored with");
        expect("tally", "", CAIRN_VERDICT_RESTORED, "as it is"); /* the rest is told, too */
        expect_start(&bad[i], CAIRN_EMISMATCH, items[0].detail);
    }
    /* What cannot start outranks what is dropped. */
    ck_fails(check(bad, 1, reterr), CAIRN_EMISMATCH, "words");
    expect("tally", "", CAIRN_VERDICT_DROPPED, "");
}
END_TEST

START_TEST(test_a_state_that_does_not_fit)
{
    cairn_planned_state state = words_states[0];
    cairn_planned_operator both[] = {plan[0], plan[1]};
    both[0].states = &state;
    both[0].state_count = 1;
    state.kind = CAIRN_KIND_LIST;
    ck_fails(check(both, 2, reterr), CAIRN_EMISMATCH,
             "stored as value of int64, and cannot be registered as list of int64");
    expect("words", "count", CAIRN_VERDICT_MISMATCH, "list of int64");
    expect("words", "events", CAIRN_VERDICT_KEPT, "");
    state.kind = CAIRN_KIND_VALUE;
    state.value_type = CAIRN_STRUCT;
    ck_fails(check(both, 2, reterr), CAIRN_EMISMATCH, "value of struct");
}
END_TEST

START_TEST(test_files_that_the_backend_does_not_read)
{
    struct subject s;
    fixture_done(&f);
    fixture_init(&f, false); /* the fake backend: its files are nobody else's */
    ck_ok(subject_open(&f, "job", &s, reterr));
    unsigned subtask = subject_of_key(1);
    ck_assert_int_eq(cairn_task_set_key_int64(s.tasks[subtask], 1), 0);
    ck_ok(cairn_value_put_int64(s.count[subtask], 1, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    cairn_snapshot_close(snapshot);
    ck_ok(cairn_snapshot_open(f.store, "job", 0, &snapshot, reterr));
    ck_fails(check(plan, 2, reterr), CAIRN_EUNSUPPORTED, "canonical savepoint");
    expect("words", "", CAIRN_VERDICT_MISMATCH, "'fake'");
}
END_TEST

START_TEST(test_bad_plans_are_refused)
{
    const cairn_planned_operator twice[] = {plan[1], plan[1]};
    const cairn_planned_operator nameless[] = {{.uid = NULL}};
    cairn_planned_operator broken = plan[0];
    cairn_check_options options = CAIRN_CHECK_OPTIONS_INIT;
    ck_fails(check(twice, 2, reterr), CAIRN_EINVAL, "twice");
    ck_fails(check(nameless, 1, reterr), CAIRN_EINVAL, "uid");
    ck_fails(check(NULL, 1, reterr), CAIRN_EINVAL, "NULL");
    broken.states = NULL;
    ck_fails(check(&broken, 1, reterr), CAIRN_EINVAL, "NULL");
    ck_fails(cairn_check(NULL, &options, reterr), CAIRN_EINVAL, "snapshot");
    options.state_backend = "tape";
    ck_fails(cairn_check(snapshot, &options, reterr), CAIRN_EINVAL, "tape");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *tcase = tcase_create("check");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_each_verdict);
    tcase_add_test(tcase, test_a_mismatch_is_told_in_the_words_of_the_start);
    tcase_add_test(tcase, test_a_state_that_does_not_fit);
    tcase_add_test(tcase, test_files_that_the_backend_does_not_read);
    tcase_add_test(tcase, test_bad_plans_are_refused);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
