/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what a job restores, and what it refuses to restore (P1, P8, P11): by id, the newest, an
 * older one when the newest is damaged; operators and states that do not fit; a log whose top is
 * lost (M13). Method: checkpoints with known contents, damaged or taken away object by object. The
 * fake backend over the memory store.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/odd_store.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

#define CHECKPOINTS 3 /* ids 2, 3 and 4: 1 is the fence */

static struct fixture f;
static struct oracle stored[2 + CHECKPOINTS]; /* by id */

static void setup(void)
{
    struct subject s;
    uint64_t random = 99;
    fixture_init(&f, false);
    f.options.num_retained = CHECKPOINTS;
    oracle_init(&stored[1]);
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (unsigned id = 2; id < 2 + CHECKPOINTS; id++) {
        stored[id] = stored[id - 1];
        oracle_mutate(&stored[id], &s, &random, 25);
        ck_ok(subject_checkpoint(&s, id == 4, NULL, reterr)); /* 4 shares nothing with 2 and 3 */
    }
    subject_close(&s);
}

static void teardown(void)
{
    fixture_done(&f);
}

static void expect_restored(uint64_t id)
{
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
    ck_assert_uint_eq(info.id, id);
    const char *why = oracle_compare(&stored[id], &s);
    ck_assert_msg(why == NULL, "restored %d: %s", (int)id, why);
    subject_close(&s);
}

/* Opening fails with this code, and the error is about that object. */
static void expect_refused(int code, const char *object)
{
    struct subject s;
    cairn_error *error = NULL;
    int r = subject_open(&f, "job", &s, &error);
    ck_assert_msg(r == code, "%s: %s", cairn_error_name(r), cairn_error_message(error));
    ck_assert_str_eq(cairn_error_object(error), object);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), object));
    cairn_error_free(error);
}

START_TEST(test_restore_by_id)
{
    f.options.restore_checkpoint_id = (uint64_t)_i;
    expect_restored((uint64_t)_i);
}
END_TEST

START_TEST(test_restore_of_what_is_not_there)
{
    static const uint64_t ids[] = {1 /* a fence */, 5, UINT64_MAX};
    struct subject s;
    for (size_t i = 0; i < CRN_COUNT(ids); i++) {
        f.options.restore_checkpoint_id = ids[i];
        ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_ENOTFOUND, "job");
    }
    f.options.restore_checkpoint_id = 0;
    expect_restored(4);
}
END_TEST

/* A named checkpoint is restored although another one's record is damaged. */
START_TEST(test_restore_by_id_beside_damage)
{
    store_damage(f.store, "job/MANIFEST-chk4");
    f.options.restore_checkpoint_id = 3;
    expect_restored(3);
    f.options.restore_checkpoint_id = 4;
    expect_refused(CAIRN_ECORRUPT, "job/MANIFEST-chk4");
}
END_TEST

START_TEST(test_start_empty_ignores_and_later_subsumes)
{
    struct oracle empty;
    struct subject s;
    uint64_t random = 1;
    oracle_init(&empty);
    f.options.start_empty = 1;
    f.options.num_retained = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(cairn_job_restored(s.job, NULL), 0);
    ck_assert_ptr_null(oracle_compare(&empty, &s));
    oracle_mutate(&empty, &s, &random, 10);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_assert(!store_has(f.store, "job/MANIFEST-chk4"));
    store_check_tidy(f.store, "job");
    f.options.start_empty = 0;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_ptr_null(oracle_compare(&empty, &s)); /* nothing of the old job shines through */
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Damage
 * ------------------------------------------------------------------------------------------ */

enum damage {
    DAMAGE_MANIFEST,
    DAMAGE_SHARED,
    DAMAGE_PRIVATE,
    MISSING_SHARED,
    MISSING_PRIVATE,
    DAMAGES
};

/* The first object of this role in the newest checkpoint; the key must be freed. */
static char *newest_object(cairn_file_role role)
{
    char *key;
    cairn_snapshot *snapshot = NULL;
    ck_ok(cairn_snapshot_open(f.store, "job", 4, &snapshot, reterr));
    const cairn_file_info *file = cairn_snapshot_file(snapshot, 0, 0, 0);
    for (size_t i = 0; file->role != role; i++)
        file = cairn_snapshot_file(snapshot, 0, 0, i);
    ck_ok(crn_joblog_key("job", file->object, &key, reterr));
    cairn_snapshot_close(snapshot);
    return key;
}

/* Harms the newest checkpoint; the key must be freed. */
static char *harm_newest(enum damage damage)
{
    if (damage == DAMAGE_MANIFEST) {
        store_damage(f.store, "job/MANIFEST-chk4");
        return strdup("job/MANIFEST-chk4");
    }
    char *key =
        newest_object(damage == DAMAGE_SHARED || damage == MISSING_SHARED ? CAIRN_FILE_TABLE
                                                                          : CAIRN_FILE_DATABASE);
    if (damage == DAMAGE_SHARED || damage == DAMAGE_PRIVATE)
        store_damage(f.store, key);
    else
        store_remove(f.store, key);
    return key;
}

static int code_of(enum damage damage)
{
    return damage == MISSING_SHARED || damage == MISSING_PRIVATE ? CAIRN_EMISSING : CAIRN_ECORRUPT;
}

START_TEST(test_damage_is_an_error_that_names_the_object)
{
    CRN_AUTO_FREE char *key = harm_newest((enum damage)_i);
    expect_refused(code_of((enum damage)_i), key);
}
END_TEST

/* With fallback the next older one is taken, said so in the log, and the job works on. Until the
 * damaged record is subsumed nothing is removed; afterwards nothing is left over (P5, P6). */
START_TEST(test_fallback_takes_the_next_whole_one)
{
    struct oracle now = stored[3];
    struct subject s;
    uint64_t random = 17;
    free(harm_newest((enum damage)_i));
    size_t before = store_count(f.store, "job/");
    f.options.restore_fallback = 1;
    f.options.num_retained = 1;
    expect_restored(3);
    ck_assert_uint_ge(store_count(f.store, "job/"), before);
    expect_restored(3); /* again: opening has changed nothing */
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&now, &s, &random, 20);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
    f.options.restore_fallback = 0;
    oracle_check_store(&now, &f, f.store, "job");
}
END_TEST

/* What fallback found broken does not push out the one that it proved whole: that stays until there
 * are num_retained others to fall back to. */
/* What is subsumed goes after the waiters were told. */
static void check_goes(const char *key)
{
    for (int i = 0; i < 1000 && store_has(f.store, key); i++)
        crn_sleep_us(10000);
    ck_assert_msg(!store_has(f.store, key), "'%s' is still there", key);
}

START_TEST(test_fallback_retains_what_is_whole)
{
    struct oracle now = stored[3];
    struct subject s;
    uint64_t random = 23;
    free(harm_newest((enum damage)_i));
    f.options.restore_fallback = 1;
    f.options.num_retained = 2;
    ck_ok(subject_open(&f, "job", &s, reterr)); /* 5 is its fence */
    oracle_mutate(&now, &s, &random, 20);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_assert(store_has(f.store, "job/MANIFEST-chk3"));
    check_goes("job/MANIFEST-chk2");
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    check_goes("job/MANIFEST-chk3");
    check_goes("job/MANIFEST-chk4");
    ck_assert(store_has(f.store, "job/MANIFEST-chk6"));
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* One object on a bad sector is that object's trouble; a store that reads nothing is the store's.
 */
START_TEST(test_fallback_passes_over_what_cannot_be_read)
{
    struct subject s;
    cairn_store *odd = odd_store_open(f.store);
    CRN_AUTO_FREE char *key = newest_object(_i == 0 ? CAIRN_FILE_TABLE : CAIRN_FILE_DATABASE);
    f.options.store = odd;
    odd_store_refuse(odd, CRN_FAULT_GET, key, CAIRN_EIO);
    expect_refused(CAIRN_EIO, key);
    f.options.restore_fallback = 1;
    expect_restored(3);
    odd_store_refuse(odd, CRN_FAULT_GET, "/e1-c", CAIRN_EIO);
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EIO, "job/");
    odd_store_refuse(odd, CRN_FAULT_GET, key, CAIRN_EUNAVAIL); /* may pass: nothing is given up */
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_EUNAVAIL, key);
    odd_store_refuse(odd, 0, NULL, 0);
    expect_restored(4);
    f.options.store = f.store;
    cairn_store_close(odd);
}
END_TEST

START_TEST(test_fallback_with_nothing_whole_is_an_error)
{
    store_damage(f.store, "job/MANIFEST-chk2");
    store_damage(f.store, "job/MANIFEST-chk3");
    store_damage(f.store, "job/MANIFEST-chk4");
    size_t before = store_count(f.store, "job/");
    f.options.restore_fallback = 1;
    expect_refused(CAIRN_ECORRUPT, "job/MANIFEST-chk4");
    ck_assert_uint_eq(store_count(f.store, "job/"), before);
}
END_TEST

/* M13: without its newest manifests a job looks younger than it is, without any like a new one. */
START_TEST(test_a_log_without_its_top_is_refused)
{
    static const char *const manifests[] = {"job/MANIFEST-chk5", "job/MANIFEST-chk4",
                                            "job/MANIFEST-chk3", "job/MANIFEST-chk2"};
    struct subject s;
    f.options.num_retained = CHECKPOINTS + 1;
    ck_ok(subject_open(&f, "job", &s, reterr)); /* with a fence, which is 5 */
    ck_ok(subject_checkpoint(&s, true, NULL, reterr));
    subject_close(&s);
    store_remove(f.store, "job/MANIFEST-chk6");
    store_remove(f.store, manifests[0]);
    size_t objects = store_count(f.store, "job/shared/") + store_count(f.store, "job/chk-");
    expect_refused(CAIRN_EMISSING, manifests[0]);
    for (size_t i = 1; i < CRN_COUNT(manifests); i++)
        store_remove(f.store, manifests[i]);
    expect_refused(CAIRN_EMISSING, "job/MANIFEST-chk6");
    ck_assert_uint_eq(store_count(f.store, "job/shared/") + store_count(f.store, "job/chk-"),
                      objects);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Operators and states that do not fit
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_state_without_a_task)
{
    cairn_job *job;
    cairn_task *task;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.key_type = CAIRN_INT64;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "tally", &options, &task, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_ENONRESTORED, "'words' (2 subtasks)");
    cairn_job_close(job);
    cairn_task_close(task);

    f.options.allow_non_restored_state = 1;
    f.options.num_retained = 1;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(cairn_task_open(job, "tally", &options, &task, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    cairn_job_close(job);
    cairn_task_close(task);
    store_check_tidy(f.store, "job"); /* the objects of 'words' are gone with its state */
}
END_TEST

START_TEST(test_options_that_do_not_fit_the_stored_state)
{
    cairn_job *job;
    cairn_task *task;
    const cairn_task_options good = {
        .struct_size = sizeof good, .parallelism = SUBJECT_WORDS, .key_type = CAIRN_INT64};
    cairn_task_options bad = good;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    bad.parallelism = 129;
    ck_fails(cairn_task_open(job, "words", &bad, &task, reterr), CAIRN_EMISMATCH,
             "parallelism cannot be 129");
    bad = good;
    bad.max_parallelism = 64;
    ck_fails(cairn_task_open(job, "words", &bad, &task, reterr), CAIRN_EMISMATCH,
             "max_parallelism");
    bad = good;
    bad.key_type = CAIRN_STRING;
    ck_fails(cairn_task_open(job, "words", &bad, &task, reterr), CAIRN_EMISMATCH,
             "checkpoint 4: operator 'words' is stored with keys of type int64 and namespaces of "
             "type bytes, not string and bytes");
    bad = good;
    bad.namespace_type = CAIRN_INT64;
    ck_fails(cairn_task_open(job, "words", &bad, &task, reterr), CAIRN_EMISMATCH,
             "not int64 and int64");
    ck_ok(cairn_task_open(job, "words", &good, &task, reterr)); /* the refusals left nothing */
    cairn_map *map;
    cairn_value *value;
    ck_fails(cairn_map_state(task, "count", CAIRN_INT64, CAIRN_INT64, NULL, &map, reterr),
             CAIRN_EMISMATCH, "count");
    ck_fails(cairn_value_state(task, "count", CAIRN_STRING, NULL, &value, reterr), CAIRN_EMISMATCH,
             "count");
    cairn_job_close(job);
    cairn_task_close(task);
}
END_TEST

/* Files of one state backend mean nothing to another. */
START_TEST(test_state_of_another_backend_is_refused)
{
    cairn_job *job;
    cairn_task *task;
    const cairn_task_options options = {
        .struct_size = sizeof options, .parallelism = SUBJECT_WORDS, .key_type = CAIRN_INT64};
    const struct crn_state_backend ours = f.backend;
    f.backend.name = f.backend.file_kind = "another";
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_fails(cairn_task_open(job, "words", &options, &task, reterr), CAIRN_EUNSUPPORTED, ours.name);
    cairn_job_close(job);
    f.backend = ours;
}
END_TEST

/* A keyed state that this run does not register goes on living in every checkpoint. */
START_TEST(test_unregistered_states_are_kept)
{
    cairn_job *job;
    cairn_task *tasks[SUBJECT_TASKS];
    for (int round = 0; round < 2; round++) {
        struct pump pump = {0};
        cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
        options.key_type = CAIRN_INT64;
        ck_ok(fixture_open_job(&f, "job", &job, reterr));
        ck_ok(cairn_task_open(job, "tally", &options, &tasks[2], reterr));
        options.parallelism = SUBJECT_WORDS;
        for (options.subtask = 0; options.subtask < SUBJECT_WORDS; options.subtask++)
            ck_ok(cairn_task_open(job, "words", &options, &tasks[options.subtask], reterr));
        ck_ok(cairn_job_start(job, reterr));
        pump_start(&pump, tasks, SUBJECT_TASKS);
        ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr));
        pump_stop(&pump);
        cairn_job_close(job);
        for (size_t i = 0; i < SUBJECT_TASKS; i++)
            cairn_task_close(tasks[i]);
    }
    oracle_check_store(&stored[4], &f, f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Operator state
 * ------------------------------------------------------------------------------------------ */

struct operator_task {
    cairn_task *task;
    cairn_operator_list *split, *everywhere;
    cairn_broadcast *rules;
};

static void open_operator_tasks(cairn_job **job, struct operator_task tasks[2])
{
    ck_ok(fixture_open_job(&f, "operators", job, reterr));
    for (uint32_t i = 0; i < 2; i++) {
        cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
        options.parallelism = 2;
        options.subtask = i;
        struct operator_task *t = &tasks[i];
        ck_ok(cairn_task_open(*job, "source", &options, &t->task, reterr));
        ck_ok(cairn_operator_list_state(t->task, "split", CAIRN_SPLIT, CAIRN_INT64, &t->split,
                                        reterr));
        ck_ok(cairn_operator_list_state(t->task, "union", CAIRN_UNION, CAIRN_INT64, &t->everywhere,
                                        reterr));
        ck_ok(
            cairn_broadcast_state(t->task, "rules", CAIRN_STRING, CAIRN_STRING, &t->rules, reterr));
    }
    ck_ok(cairn_job_start(*job, reterr));
}

static int64_t element(const cairn_operator_list *list, size_t i)
{
    const void *data;
    size_t size;
    ck_assert_int_eq(cairn_operator_list_at(list, i, &data, &size), 0);
    ck_assert_uint_eq(size, 8);
    return cairn_decode_int64(data);
}

START_TEST(test_operator_state_comes_back_by_its_kind)
{
    cairn_job *job;
    struct operator_task tasks[2];
    struct pump pump = {0};
    const void *data;
    size_t size;
    open_operator_tasks(&job, tasks);
    for (int64_t i = 0; i < 2; i++) {
        ck_ok(cairn_operator_list_add_int64(tasks[i].split, 10 + i, reterr));
        ck_ok(cairn_operator_list_add_int64(tasks[i].everywhere, 20 + i, reterr));
        ck_ok(cairn_broadcast_put(tasks[i].rules, "k", 1, "v", 1, reterr));
    }
    pump_start(&pump, &tasks[1].task, 1);
    ck_ok(cairn_task_checkpoint(tasks[0].task, NULL, NULL, reterr));
    pump_stop(&pump);
    ck_ok(cairn_operator_list_add_int64(tasks[0].split, 99, reterr)); /* after the barrier */
    cairn_job_close(job);
    cairn_task_close(tasks[0].task);
    cairn_task_close(tasks[1].task);

    open_operator_tasks(&job, tasks);
    for (int64_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(cairn_operator_list_size(tasks[i].split), 1);
        ck_assert_int_eq(element(tasks[i].split, 0), 10 + i);
        ck_assert_uint_eq(cairn_operator_list_size(tasks[i].everywhere), 2);
        ck_assert_int_eq(element(tasks[i].everywhere, 0), 20);
        ck_assert_int_eq(element(tasks[i].everywhere, 1), 21);
        ck_assert_int_eq(cairn_broadcast_get(tasks[i].rules, "k", 1, &data, &size), 1);
    }
    cairn_job_close(job);
    cairn_task_close(tasks[0].task);
    cairn_task_close(tasks[1].task);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job restore");
    TCase *tcase = tcase_create("restore");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_restore_by_id, 2, 2 + CHECKPOINTS);
    tcase_add_test(tcase, test_restore_of_what_is_not_there);
    tcase_add_test(tcase, test_restore_by_id_beside_damage);
    tcase_add_test(tcase, test_start_empty_ignores_and_later_subsumes);
    tcase_add_loop_test(tcase, test_damage_is_an_error_that_names_the_object, 0, DAMAGES);
    tcase_add_loop_test(tcase, test_fallback_takes_the_next_whole_one, 0, DAMAGES);
    tcase_add_loop_test(tcase, test_fallback_retains_what_is_whole, 0, DAMAGES);
    tcase_add_loop_test(tcase, test_fallback_passes_over_what_cannot_be_read, 0, 2);
    tcase_add_test(tcase, test_fallback_with_nothing_whole_is_an_error);
    tcase_add_test(tcase, test_a_log_without_its_top_is_refused);
    tcase_add_test(tcase, test_state_without_a_task);
    tcase_add_test(tcase, test_options_that_do_not_fit_the_stored_state);
    tcase_add_test(tcase, test_state_of_another_backend_is_refused);
    tcase_add_test(tcase, test_unregistered_states_are_kept);
    tcase_add_test(tcase, test_operator_state_comes_back_by_its_kind);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
