/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves how jobs begin, end and are replaced (P6, P7, P11): names, local directories, calls in the
 * wrong order, tasks and waiters in use while the job closes, a second writer. Method: threads that
 * wait in every call that can wait, while another one ends what they wait for. The fake backend
 * over the memory store; iterators, shared memory and leftovers again with RocksDB over a
 * directory.
 */
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "base/file.h"
#include "cairn/inspect.h"

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
 * Names, options and directories
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_names)
{
    static const char *const good[] = {"a",      "with space", "dots.and-dashes_", "größe",
                                       "日本語", "100% sure?", "MANIFEST-chk1"};
    static const char *const bad[] = {"", "a/b", ".hidden", "..", "tab\tbed", "bad\xff"};
    cairn_job *job;
    for (size_t i = 0; i < CRN_COUNT(good); i++) {
        struct oracle oracle;
        struct subject s;
        uint64_t random = i;
        oracle_init(&oracle);
        ck_ok(subject_open(&f, good[i], &s, reterr));
        oracle_mutate(&oracle, &s, &random, 10);
        ck_ok(subject_checkpoint(&s, false, NULL, reterr));
        subject_close(&s);
        oracle_check_store(&oracle, &f, f.store, good[i]);
        store_check_tidy(f.store, good[i]);
    }
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        ck_fails(fixture_open_job(&f, bad[i], &job, reterr), CAIRN_EINVAL, "name");
    ck_fails(fixture_open_job(&f, NULL, &job, reterr), CAIRN_EINVAL, "name");
}
END_TEST

START_TEST(test_options_that_contradict_or_lack)
{
    cairn_job *job;
    const cairn_job_options good = f.options;
    f.options.store_uri = "memory:";
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "store");
    f.options = good;
    f.options.local_dir = NULL;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "local_dir");
    f.options = good;
    f.options.inline_threshold_bytes = (1 << 20) + 1;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "inline_threshold_bytes");
    f.options = good;
    f.options.transfer_threads = 1000;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "transfer_threads");
    f.options = good;
    f.options.start_empty = f.options.restore_fallback = 1;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "start_empty");
    f.options = good;
    f.options.restore_checkpoint_id = 3;
    f.options.restore_fallback = 1;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "restore_fallback");
    f.options = good;
    f.options.struct_size = 3;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "struct_size");
    ck_assert_uint_eq(store_count(f.store, ""), 0);
}
END_TEST

START_TEST(test_a_local_directory_has_one_job)
{
    cairn_job *job, *other;
    char holder[64];
    (void)snprintf(holder, sizeof holder, "process %ld on ", (long)getpid());
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_fails(fixture_open_job(&f, "other", &other, reterr), CAIRN_EBUSY, f.local_dir);
    ck_fails(fixture_open_job(&f, "other", &other, reterr), CAIRN_EBUSY, holder);
    ck_fails(fixture_open_job(&f, "other", &other, reterr), CAIRN_EBUSY, "for job 'job'");
    ck_assert_uint_eq(store_count(f.store, "other/"), 0);
    cairn_job_close(job);
    ck_ok(fixture_open_job(&f, "other", &other, reterr));
    cairn_job_close(other);
}
END_TEST

static char *local_path(const char *name)
{
    char *path = NULL;
    ck_ok(crn_str_printf(&path, reterr, "%s/%s", f.local_dir, name));
    return path;
}

static void put_local(const char *name, const char *text)
{
    CRN_AUTO_FREE char *path = local_path(name);
    ck_ok(crn_file_write_new(path, text, strlen(text), false, reterr));
}

static bool has_local(const char *name)
{
    CRN_AUTO_FREE char *path = local_path(name);
    return access(path, F_OK) == 0;
}

static void make_local_dir(const char *name)
{
    CRN_AUTO_FREE char *path = local_path(name);
    ck_ok(crn_file_make_dirs(path, reterr));
}

static void remove_local(const char *name)
{
    CRN_AUTO_FREE char *path = local_path(name);
    ck_ok(crn_file_remove_tree(path, reterr));
}

static void open_and_close(void)
{
    cairn_job *job;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    cairn_job_close(job);
}

/* A crash's databases and staging directories go; a directory that is not a job's stays whole. */
START_TEST(test_local_leftovers)
{
    cairn_job *job;
    open_and_close();
    make_local_dir("t0/db");
    make_local_dir("t17/chk-4");
    put_local("t17/chk-4/000001.sst", "x");
    open_and_close();
    ck_assert(!has_local("t0") && !has_local("t17"));

    static const char *const foreign[] = {"zebra", "t", "t1x", "t12", ".profile", "T1"};
    for (size_t i = 0; i < CRN_COUNT(foreign); i++) {
        make_local_dir("t0/db");
        put_local(foreign[i], "x");
        ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, foreign[i]);
        ck_assert_msg(has_local("t0/db") && has_local(foreign[i]), "something was removed");
        remove_local(foreign[i]);
    }
}
END_TEST

/* What looks like a job's is not one's own to empty, unless the mark is there. */
START_TEST(test_a_local_directory_without_the_mark)
{
    cairn_job *job;
    make_local_dir("t0");
    put_local("t0/letter.txt", "dear mother");
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "'t0'");
    ck_assert(has_local("t0/letter.txt"));
    ck_assert_msg(!has_local("LOCK"), "the refusal left a lock file");

    static const char *const unmarked[] = {"", "Cairn", "somebody's", "Cairn local directory 2\n"};
    for (size_t i = 0; i < CRN_COUNT(unmarked); i++) {
        put_local("LOCK", unmarked[i]);
        ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "local_dir");
        ck_assert(has_local("t0/letter.txt"));
        remove_local("LOCK");
    }
    make_local_dir("LOCK");
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "'LOCK'");
    remove_local("LOCK");
    remove_local("t0");
    put_local("LOCK", "somebody's");
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "'LOCK'");
}
END_TEST

/* A crash between making the lock file and marking it, and a mark that was cut. */
START_TEST(test_a_local_directory_that_a_crash_left_unmarked)
{
    static const char *const cut[] = {"", "Cairn loc", "Cairn local directory 1",
                                      "Cairn local directory 1\n"};
    for (size_t i = 0; i < CRN_COUNT(cut); i++) {
        make_local_dir("");
        put_local("LOCK", cut[i]);
        open_and_close();
        make_local_dir("t3");
        open_and_close(); /* it is marked now */
        ck_assert(!has_local("t3"));
        remove_local("");
    }
}
END_TEST

/* local_dir and store in one another, by every way to say so: nothing changes in either. */
START_TEST(test_a_local_directory_apart_from_the_store)
{
    cairn_job *job;
    CRN_AUTO_FREE char *store = fixture_dir(&f, "apart");
    CRN_AUTO_FREE char *link = fixture_dir(&f, "link");
    CRN_AUTO_FREE char *odd = fixture_dir(&f, "apart/../apart/./job/new");
    CRN_AUTO_FREE char *inside = fixture_dir(&f, "apart/job");
    CRN_AUTO_FREE char *through = fixture_dir(&f, "link/job/t0");
    CRN_AUTO_FREE char *good = fixture_dir(&f, "apart-but-alike");
    CRN_AUTO_FREE char *made = fixture_dir(&f, "apart/job/new");
    const char *const bad[] = {store, inside, odd, through, link, f.root};
    f.options.store = NULL;
    f.options.store_uri = store;
    f.options.local_dir = good;
    open_and_close();
    ck_assert_int_eq(symlink("apart", link), 0);
    for (size_t i = 0; i < CRN_COUNT(bad); i++) {
        f.options.local_dir = bad[i];
        ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "within the other");
        CRN_AUTO_FREE char *lock = NULL;
        ck_ok(crn_str_printf(&lock, reterr, "%s/LOCK", bad[i]));
        ck_assert_msg(access(lock, F_OK) != 0, "'%s' was left", lock);
    }
    ck_assert_msg(access(made, F_OK) != 0, "'%s' was left", made);
    f.options.store_uri = link; /* the store, through the link */
    f.options.local_dir = inside;
    ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, "within the other");
    f.options.local_dir = good;
    open_and_close();
}
END_TEST

/* A service that tries again with better options: no try leaves anything. */
START_TEST(test_a_task_that_does_not_open_leaves_nothing)
{
    cairn_job *job;
    cairn_task *task;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    options.rocksdb_options = "nonsense=1";
    for (int i = 0; i < 3; i++)
        ck_fails(cairn_task_open(job, "op", &options, &task, reterr), CAIRN_EINVAL, "'op'");
    ck_assert(!has_local("t0") && !has_local("t1") && !has_local("t2"));
    options.rocksdb_options = NULL;
    ck_ok(cairn_task_open(job, "op", &options, &task, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    cairn_job_close(job);
    cairn_task_close(task);
    store_check_tidy(f.store, "job");
}
END_TEST

/* The directory is where it was when the job opened, wherever the process goes. */
START_TEST(test_a_relative_local_directory)
{
    cairn_job *job;
    cairn_task *task;
    CRN_AUTO_FREE char *elsewhere = fixture_dir(&f, "elsewhere");
    CRN_AUTO_FREE char *stray = fixture_dir(&f, "elsewhere/local");
    ck_ok(crn_file_make_dirs(elsewhere, reterr));
    ck_assert_int_eq(chdir(f.root), 0);
    f.options.local_dir = "local";
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_assert_int_eq(chdir(elsewhere), 0);
    ck_ok(cairn_task_open(job, "op", NULL, &task, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_ok(cairn_task_checkpoint(task, NULL, NULL, reterr));
    ck_assert(has_local("t0/db"));
    ck_assert_msg(access(stray, F_OK) != 0, "'%s' was made", stray);
    cairn_job_close(job);
    cairn_task_close(task);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* What a crash left in the store is removed at the next open; what is live or foreign never. */
START_TEST(test_leftovers_in_the_store)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 8;
    oracle_init(&oracle);
    f.options.num_retained = 2;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (int i = 0; i < 3; i++) {
        oracle_mutate(&oracle, &s, &random, 20);
        ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    }
    subject_close(&s);
    size_t live = store_count(f.store, "job/");
    store_put_text(f.store, "job/shared/e1-c4-70.sst", "of a resolved id, in no manifest");
    store_put_text(f.store, "job/shared/e1-c5-71.sst", "of the id that was in flight");
    store_put_text(f.store, "job/chk-5/e1-c5-72-CURRENT", "the same");
    store_put_text(f.store, "job/README", "somebody's own");
    store_put_text(f.store, "jobs/shared/e1-c1-1.sst", "another job's");
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_ptr_null(oracle_compare(&oracle, &s));
    subject_close(&s);
    ck_assert_uint_eq(store_count(f.store, "job/"), live + 2); /* a fence, and the README */
    ck_assert(store_has(f.store, "job/README"));
    ck_assert(store_has(f.store, "jobs/shared/e1-c1-1.sst"));
}
END_TEST

static void expect_log_of_one(uint64_t id, uint64_t epoch)
{
    cairn_log *log = NULL;
    ck_assert_uint_eq(store_count(f.store, "job/MANIFEST-chk"), 1);
    ck_ok(cairn_log_open(f.store, "job", &log, reterr));
    const cairn_record_info *head = cairn_log_at(log, cairn_log_size(log) - 1);
    ck_assert_uint_eq(head->id, id);
    ck_assert_uint_eq(head->epoch, epoch);
    ck_assert_uint_eq(head->log_start, id);
    cairn_log_close(log);
}

/* A service that dies before its first checkpoint, or whose first ones fail, does not grow its log;
 * ids and epochs go on all the same. */
START_TEST(test_a_log_without_checkpoints_stays_small)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 31, id = 0, epoch = 0;
    for (int i = 0; i < 10; i++) {
        ck_ok(subject_open(&f, "job", &s, reterr));
        expect_log_of_one(++id, ++epoch);
        for (int aborted = 0; aborted < i % 3; aborted++) {
            fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_PUT,
                                                    .mode = CRN_FAULT_BEFORE,
                                                    .at = 1,
                                                    .and_after = true,
                                                    .code = CAIRN_ENOSPC});
            ck_fails(subject_checkpoint(&s, false, NULL, reterr), CAIRN_EABORTED, "");
            fixture_disarm(&f, CRN_FAULT_ANY);
            id++;
        }
        subject_close(&s);
        expect_log_of_one(id, epoch);
    }
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 10);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    oracle_check_store(&oracle, &f, f.store, "job");
    store_check_tidy(f.store, "job");
}
END_TEST

/* Of a record that cannot be read nobody knows that it was not the checkpoint. */
START_TEST(test_a_log_keeps_what_may_be_a_checkpoint)
{
    open_and_close();
    store_damage(f.store, "job/MANIFEST-chk1");
    f.options.start_empty = 1;
    open_and_close();
    ck_assert(store_has(f.store, "job/MANIFEST-chk1"));
    open_and_close();
    ck_assert(store_has(f.store, "job/MANIFEST-chk1"));
    ck_assert(store_has(f.store, "job/MANIFEST-chk2"));
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Calls in the wrong order
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_calls_before_start_and_after)
{
    cairn_job *job;
    cairn_task *task, *second;
    cairn_event event;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "no task");
    options.parallelism = 2;
    ck_ok(cairn_task_open(job, "op", &options, &task, reterr));
    ck_fails(cairn_task_open(job, "op", &options, &second, reterr), CAIRN_EEXIST, "open already");
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "subtask 1 is not open");
    ck_fails(cairn_task_poll(task, &event, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_task_wait(task, 5, &event, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_task_checkpoint(task, NULL, NULL, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_job_trigger(job, NULL, reterr), CAIRN_EINVAL, "not started");
    ck_fails(cairn_job_checkpoint(job, NULL, NULL, reterr), CAIRN_EINVAL, "not started");
    options.subtask = 1;
    options.max_parallelism = 64;
    ck_ok(cairn_task_open(job, "op", &options, &second, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "different parallelism");
    cairn_task_close(second); /* before the start that costs nothing */
    options.max_parallelism = 0;
    ck_ok(cairn_task_open(job, "op", &options, &second, reterr));
    ck_ok(cairn_job_start(job, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "started before");
    ck_fails(cairn_task_open(job, "late", NULL, &task, reterr), CAIRN_EINVAL, "has started");
    ck_assert_int_eq(cairn_job_last_checkpoint(job, &info), 0);
    ck_assert_int_eq(cairn_job_restored(job, &info), 0);
    cairn_job_close(job);
    cairn_task_close(task);
    cairn_task_close(second);
    cairn_job_close(NULL);
    cairn_task_close(NULL);
}
END_TEST

static int open_subtask(cairn_job *job, uint32_t subtask, cairn_type key, cairn_type ns,
                        cairn_task **ret, cairn_error **reterr)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = 2;
    options.subtask = subtask;
    options.key_type = key;
    options.namespace_type = ns;
    return cairn_task_open(job, "op", &options, ret, reterr);
}

/* Subtasks that differ would write what none of them can restore. */
START_TEST(test_subtasks_agree_on_their_keys)
{
    cairn_job *job;
    cairn_task *first, *second;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    ck_ok(open_subtask(job, 0, CAIRN_INT64, CAIRN_BYTES, &first, reterr));
    ck_ok(open_subtask(job, 1, CAIRN_STRING, CAIRN_BYTES, &second, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "keys of type int64");
    cairn_task_close(second);
    ck_ok(open_subtask(job, 1, CAIRN_INT64, CAIRN_DOUBLE, &second, reterr));
    ck_fails(cairn_job_start(job, reterr), CAIRN_EINVAL, "int64 and double in subtask 1");
    cairn_task_close(second);
    ck_ok(open_subtask(job, 1, CAIRN_INT64, CAIRN_BYTES, &second, reterr));
    ck_ok(cairn_job_start(job, reterr));
    cairn_job_close(job);
    cairn_task_close(first);
    cairn_task_close(second);
}
END_TEST

START_TEST(test_options_of_tasks_out_of_range)
{
    static const struct {
        cairn_task_options options;
        const char *words;
    } bad[] = {
        {{.parallelism = 2, .subtask = 2}, "no subtask 2: parallelism 2 has 0 to 1"},
        {{.subtask = 1}, "no subtask 1: parallelism 1 has 0 to 0"},
        {{.parallelism = 32769}, "parallelism 32769, at most 32768"},
        {{.max_parallelism = 32769}, "max_parallelism 32769, not within 1 (the"},
        {{.parallelism = 9, .max_parallelism = 8}, "not within 9 (the parallelism) to 32768"},
        {{.key_type = (cairn_type)4}, "no type 4 for keys"},
        {{.namespace_type = (cairn_type)-1}, "-1 for namespaces"},
    };
    cairn_job *job;
    cairn_task *task;
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    for (size_t i = 0; i < CRN_COUNT(bad); i++) {
        cairn_task_options options = bad[i].options;
        options.struct_size = sizeof options;
        ck_fails(cairn_task_open(job, "op", &options, &task, reterr), CAIRN_EINVAL, bad[i].words);
    }
    cairn_job_close(job);
}
END_TEST

START_TEST(test_subtasks_agree_on_their_states)
{
    cairn_job *job;
    cairn_task *tasks[2], *other;
    cairn_value *value;
    cairn_map *map;
    cairn_operator_list *list;
    const cairn_state_options expiry = {.struct_size = sizeof expiry, .ttl_ms = 1000};
    ck_ok(fixture_open_job(&f, "job", &job, reterr));
    for (uint32_t i = 0; i < 2; i++)
        ck_ok(open_subtask(job, i, CAIRN_INT64, CAIRN_BYTES, &tasks[i], reterr));
    ck_ok(cairn_task_open(job, "another", NULL, &other, reterr));
    ck_ok(cairn_value_state(tasks[0], "v", CAIRN_INT64, NULL, &value, reterr));
    ck_fails(cairn_value_state(tasks[1], "v", CAIRN_STRING, NULL, &value, reterr), CAIRN_EMISMATCH,
             "value of int64 in subtask 0");
    ck_fails(cairn_value_state(tasks[1], "v", CAIRN_INT64, &expiry, &value, reterr),
             CAIRN_EMISMATCH, "with expiry");
    ck_fails(cairn_map_state(tasks[1], "v", CAIRN_INT64, CAIRN_INT64, NULL, &map, reterr),
             CAIRN_EMISMATCH, "'op'");
    ck_fails(cairn_operator_list_state(tasks[1], "v", CAIRN_SPLIT, CAIRN_INT64, &list, reterr),
             CAIRN_EMISMATCH, "'op'");
    ck_ok(cairn_value_state(other, "v", CAIRN_STRING, NULL, &value, reterr));
    ck_ok(cairn_value_state(tasks[1], "v", CAIRN_INT64, NULL, &value, reterr));
    ck_ok(cairn_job_start(job, reterr));

    /* The same of those that come later. */
    ck_ok(cairn_operator_list_state(tasks[1], "l", CAIRN_SPLIT, CAIRN_INT64, &list, reterr));
    ck_fails(cairn_operator_list_state(tasks[0], "l", CAIRN_UNION, CAIRN_INT64, &list, reterr),
             CAIRN_EMISMATCH, "in subtask 1");
    ck_fails(cairn_value_state(tasks[0], "l", CAIRN_INT64, NULL, &value, reterr), CAIRN_EMISMATCH,
             "in subtask 1");
    struct pump pump = {0};
    cairn_task *const polled[] = {tasks[0], tasks[1], other};
    pump_start(&pump, polled, CRN_COUNT(polled));
    ck_ok(cairn_job_checkpoint(job, NULL, NULL, reterr)); /* the refused left nothing behind */
    pump_stop(&pump);
    cairn_job_close(job);
    for (size_t i = 0; i < CRN_COUNT(polled); i++)
        cairn_task_close(polled[i]);
}
END_TEST

/* The record that was restored from is subsumed by now: a late task must not look into it. */
START_TEST(test_a_late_task_of_a_restored_job)
{
    struct subject s;
    cairn_task *late;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = 5;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, true, NULL, reterr));
    ck_fails(cairn_task_open(s.job, "words", &options, &late, reterr), CAIRN_EINVAL, "has started");
    subject_close(&s);
}
END_TEST

START_TEST(test_a_task_closed_while_the_job_runs)
{
    struct subject s;
    struct pump pump = {0};
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(cairn_job_trigger(s.job, NULL, reterr)); /* an attempt waits for it */
    cairn_task_close(s.tasks[2]);
    s.tasks[2] = NULL;
    pump_start(&pump, s.tasks, 2);
    ck_fails(cairn_job_checkpoint(s.job, NULL, NULL, reterr), CAIRN_EABORTED,
             "operator 'tally' subtask 0 was closed");
    ck_fails(cairn_job_checkpoint(s.job, NULL, NULL, reterr), CAIRN_EABORTED,
             "operator 'tally' subtask 0 was closed");
    pump_stop(&pump);
    ck_assert_int_eq(pump.code, 0); /* the others may go on working */
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* That the attempt is over cannot be stored: this must not hold up who closes the task, nor the
 * job. */
START_TEST(test_a_task_closed_while_the_store_is_out)
{
    struct subject s;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    fixture_arm(&f,
                (struct crn_fault_plan){
                    .ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .at = 1, .and_after = true});
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    cairn_event event = {0};
    ck_ok(cairn_task_wait(s.tasks[0], 5000, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_BARRIER); /* its uploads fail from now on */
    while (!crn_fault_store_fired(f.store))
        crn_sleep_us(1000);
    for (unsigned i = 0; i < SUBJECT_TASKS; i++)
        cairn_task_close(CRN_TAKE(s.tasks[i]));
    subject_close(&s);
    fixture_disarm(&f, CRN_FAULT_ANY);
    ck_ok(subject_open(&f, "job", &s, reterr));
    subject_close(&s);
    store_check_tidy(f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Closing under load
 * ------------------------------------------------------------------------------------------ */

struct sleeper {
    struct subject *s;
    unsigned task;
    int r;
    pthread_t thread;
};

static void *sleep_in_wait(void *arg)
{
    struct sleeper *sleeper = arg;
    cairn_event event;
    do
        sleeper->r = cairn_task_wait(sleeper->s->tasks[sleeper->task], UINT64_MAX, &event, NULL);
    while (sleeper->r == 0);
    return NULL;
}

static void *sleep_in_job_checkpoint(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->r = cairn_job_checkpoint(sleeper->s->job, NULL, NULL, NULL);
    return NULL;
}

static void *sleep_in_task_checkpoint(void *arg)
{
    struct sleeper *sleeper = arg;
    cairn_task *task = sleeper->s->tasks[sleeper->task];
    while ((sleeper->r = cairn_task_checkpoint(task, NULL, NULL, NULL)) == CAIRN_EABORTED)
        continue;
    return NULL;
}

static void *use_until_closed(void *arg)
{
    struct sleeper *sleeper = arg;
    sleep_in_wait(sleeper);
    cairn_task_close(sleeper->s->tasks[sleeper->task]); /* as a service's worker would */
    sleeper->s->tasks[sleeper->task] = NULL;
    return NULL;
}

/* One thread in each call that waits, and a checkpoint that nobody lets end. */
START_TEST(test_closing_ends_every_wait)
{
    for (int round = 0; round < 10; round++) {
        struct subject s;
        struct sleeper sleepers[4] = {
            {.s = &s, .task = 0}, {.s = &s, .task = 1}, {.s = &s}, {.s = &s}};
        void *(*const mains[4])(void *) = {sleep_in_wait, use_until_closed, sleep_in_job_checkpoint,
                                           sleep_in_job_checkpoint};
        ck_ok(subject_open(&f, "job", &s, reterr));
        for (size_t i = 0; i < CRN_COUNT(sleepers); i++)
            ck_ok(crn_thread_start(&sleepers[i].thread, "test-sleeper", mains[i], &sleepers[i],
                                   reterr));
        crn_sleep_us(2000 * (uint64_t)(round % 4));
        cairn_job *job = s.job;
        if (round % 4 == 0)
            crn_sleep_us(20000); /* all of them certainly wait */
        cairn_job_close(job);
        for (size_t i = 0; i < CRN_COUNT(sleepers); i++) {
            ck_assert_int_eq(pthread_join(sleepers[i].thread, NULL), 0);
            int r = sleepers[i].r;
            ck_assert_msg(r == CAIRN_ECLOSED || (i >= 2 && r == CAIRN_EABORTED),
                          "sleeper %zu got %s", i, cairn_error_name(r));
        }
        cairn_task_close(s.tasks[0]);
        cairn_task_close(s.tasks[2]);
    }
}
END_TEST

START_TEST(test_closing_ends_a_tasks_own_checkpoint)
{
    struct subject s;
    struct sleeper sleeper = {.s = &s, .task = 1};
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(crn_thread_start(&sleeper.thread, "test-sleeper", sleep_in_task_checkpoint, &sleeper,
                           reterr));
    crn_sleep_us(20000);
    cairn_job_close(s.job);
    ck_assert_int_eq(pthread_join(sleeper.thread, NULL), 0);
    ck_assert_int_eq(sleeper.r, CAIRN_ECLOSED);
    s.job = NULL;
    subject_close(&s);
}
END_TEST

/* Handles of a closed job: every call says so, none crashes. */
START_TEST(test_handles_outlive_their_job)
{
    struct oracle oracle;
    struct subject s;
    uint64_t random = 4;
    cairn_event event;
    cairn_iterator *iterator;
    cairn_entry entry;
    const void *data;
    size_t size;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    oracle_mutate(&oracle, &s, &random, 60);
    ck_ok(cairn_task_iterate(s.tasks[0], "count", &iterator, reterr));
    ck_ok(cairn_iterator_next(iterator, &entry, reterr));
    ck_assert_int_eq(cairn_task_set_key_int64(s.tasks[2], 0), 0);
    ck_ok(cairn_map_get(s.names, "name 1", 6, &data, &size, reterr)); /* a pin in the database */
    cairn_job_close(s.job);
    s.job = NULL;
    ck_fails(cairn_iterator_next(iterator, &entry, reterr), CAIRN_ECLOSED, "");
    cairn_iterator_close(iterator);
    ck_fails(cairn_task_poll(s.tasks[0], &event, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_task_wait(s.tasks[0], 1000, &event, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_ECLOSED, "closed");
    ck_fails(cairn_value_put_int64(s.count[0], 1, reterr), CAIRN_ECLOSED, "");
    ck_fails(cairn_map_get(s.names, "name 1", 6, &data, &size, reterr), CAIRN_ECLOSED, "");
    ck_assert_int_eq(cairn_task_set_key_int64(s.tasks[0], 1), CAIRN_ECLOSED);
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Two writers
 * ------------------------------------------------------------------------------------------ */

/* P7: who was replaced learns it at its next checkpoint, by every way of asking, for ever. */
START_TEST(test_a_second_writer_fences_the_first)
{
    struct oracle oracle;
    struct subject first, second;
    struct fixture elsewhere = f;
    uint64_t random = 6;
    char who[64];
    cairn_event event;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    elsewhere.options.local_dir = local_dir;
    (void)snprintf(who, sizeof who, "taken over by process %ld on '", (long)getpid());
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &first, reterr));
    oracle_mutate(&oracle, &first, &random, 20);
    ck_ok(subject_checkpoint(&first, false, NULL, reterr));
    ck_ok(subject_open(&elsewhere, "job", &second, reterr));
    ck_assert_ptr_null(oracle_compare(&oracle, &second));
    ck_ok(
        cairn_task_poll(first.tasks[0], &event, reterr)); /* nothing is lost: it may not know yet */
    ck_fails(subject_checkpoint(&first, false, NULL, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_task_poll(first.tasks[1], &event, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_task_wait(first.tasks[2], 1000, &event, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_job_trigger(first.job, NULL, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_job_checkpoint(first.job, NULL, NULL, reterr), CAIRN_EFENCED, who);
    ck_fails(cairn_task_poll(first.tasks[1], &event, reterr), CAIRN_EFENCED, who);
    oracle_mutate(&oracle, &second, &random, 20);
    ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    subject_close(&first);
    ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    subject_close(&second);
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr)); /* what the zombie had uploaded */
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* The same when the successor's fence is long gone: the newest record tells. */
START_TEST(test_a_writer_that_was_left_behind)
{
    struct subject first, second;
    struct fixture elsewhere = f;
    char who[64];
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    elsewhere.options.local_dir = local_dir;
    (void)snprintf(who, sizeof who, "taken over by process %ld on '", (long)getpid());
    ck_ok(subject_open(&f, "job", &first, reterr));
    ck_ok(subject_open(&elsewhere, "job", &second, reterr)); /* id 2 is its fence */
    for (int i = 0; i < 2; i++)
        ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    ck_assert(!store_has(f.store, "job/MANIFEST-chk2"));
    ck_fails(subject_checkpoint(&first, false, NULL, reterr), CAIRN_EFENCED, who);
    subject_close(&first);
    ck_ok(subject_checkpoint(&second, false, NULL, reterr));
    subject_close(&second);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Around the job
 * ------------------------------------------------------------------------------------------ */

struct log_book {
    struct crn_mutex lock;
    unsigned lines, complete, created, bad;
};

static void note_line(void *context, cairn_log_level level, const char *component,
                      const char *message)
{
    struct log_book *book = context;
    crn_mutex_lock(&book->lock);
    book->lines++;
    book->complete += level == CAIRN_LOG_INFO && strcmp(component, "checkpoint") == 0 &&
                      strstr(message, "complete") != NULL;
    book->created += level == CAIRN_LOG_WARNING && strstr(message, "created") != NULL;
    book->bad += strchr(message, '\n') != NULL || level > CAIRN_LOG_INFO;
    crn_mutex_unlock(&book->lock);
}

START_TEST(test_log_lines)
{
    struct log_book book = {0};
    struct subject s;
    crn_mutex_init(&book.lock, CRN_RANK_LEAF);
    f.options.log = note_line;
    f.options.log_context = &book;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_assert_uint_eq(book.complete, 2);
    ck_assert_uint_eq(book.bad, 0);
    unsigned lines = book.lines;
    f.options.log_level = CAIRN_LOG_ERROR;
    ck_ok(subject_open(&f, "job", &s, reterr));
    subject_close(&s);
    ck_assert_uint_eq(book.lines, lines);
    crn_mutex_done(&book.lock);
}
END_TEST

/* A mistyped path gives a store that begins empty: once, and not to be overlooked. */
START_TEST(test_a_new_store_is_a_warning)
{
    struct log_book book = {0};
    CRN_AUTO_FREE char *store = fixture_dir(&f, "mistyped/store");
    crn_mutex_init(&book.lock, CRN_RANK_LEAF);
    f.options.log = note_line;
    f.options.log_context = &book;
    f.options.log_level = CAIRN_LOG_WARNING;
    f.options.store = NULL;
    f.options.store_uri = store;
    open_and_close();
    ck_assert_uint_eq(book.created, 1);
    open_and_close();
    ck_assert_uint_eq(book.created, 1);
    f.options.store_uri = "memory:";
    open_and_close();
    ck_assert_uint_eq(book.created, 1);
    crn_mutex_done(&book.lock);
}
END_TEST

/* Several jobs in one process on one memory budget, which may be let go as soon as they are open.
 */
START_TEST(test_jobs_that_share_memory)
{
    enum { JOBS = 3 };
    struct subject s[JOBS];
    struct oracle oracles[JOBS];
    char *dirs[JOBS];
    cairn_memory *memory;
    uint64_t random = 12;
    ck_ok(cairn_memory_new(16 << 20, &memory, reterr));
    f.options.memory = memory;
    for (unsigned i = 0; i < JOBS; i++) {
        const char name[] = {(char)('a' + i), 0};
        struct fixture one = f;
        one.options.local_dir = dirs[i] = fixture_dir(&f, name);
        oracle_init(&oracles[i]);
        ck_ok(subject_open(&one, name, &s[i], reterr));
    }
    cairn_memory_release(memory);
    f.options.memory = NULL;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < JOBS; i++) {
            oracle_mutate(&oracles[i], &s[i], &random, 30);
            ck_ok(subject_checkpoint(&s[i], false, NULL, reterr));
        }
    for (unsigned i = 0; i < JOBS; i++) {
        const char name[] = {(char)('a' + i), 0};
        subject_close(&s[i]);
        oracle_check_store(&oracles[i], &f, f.store, name);
        free(dirs[i]);
    }
}
END_TEST

static void add_to_both(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_local_leftovers);
    tcase_add_test(tcase, test_leftovers_in_the_store);
    tcase_add_test(tcase, test_a_log_without_checkpoints_stays_small);
    tcase_add_test(tcase, test_a_log_keeps_what_may_be_a_checkpoint);
    tcase_add_test(tcase, test_a_late_task_of_a_restored_job);
    tcase_add_test(tcase, test_handles_outlive_their_job);
    tcase_add_test(tcase, test_a_second_writer_fences_the_first);
    tcase_add_test(tcase, test_a_writer_that_was_left_behind);
    tcase_add_test(tcase, test_jobs_that_share_memory);
    tcase_add_test(tcase, test_a_relative_local_directory);
}

int main(void)
{
    Suite *suite = suite_create("job life");
    TCase *tcase = tcase_create("memory");
    tcase_add_checked_fixture(tcase, setup_memory, teardown);
    add_to_both(tcase);
    tcase_add_test(tcase, test_names);
    tcase_add_test(tcase, test_options_that_contradict_or_lack);
    tcase_add_test(tcase, test_a_local_directory_has_one_job);
    tcase_add_test(tcase, test_a_local_directory_without_the_mark);
    tcase_add_test(tcase, test_a_local_directory_that_a_crash_left_unmarked);
    tcase_add_test(tcase, test_a_local_directory_apart_from_the_store);
    tcase_add_test(tcase, test_calls_before_start_and_after);
    tcase_add_test(tcase, test_options_of_tasks_out_of_range);
    tcase_add_test(tcase, test_subtasks_agree_on_their_keys);
    tcase_add_test(tcase, test_subtasks_agree_on_their_states);
    tcase_add_test(tcase, test_a_task_closed_while_the_job_runs);
    tcase_add_test(tcase, test_a_task_closed_while_the_store_is_out);
    tcase_add_test(tcase, test_closing_ends_every_wait);
    tcase_add_test(tcase, test_closing_ends_a_tasks_own_checkpoint);
    tcase_add_test(tcase, test_log_lines);
    tcase_add_test(tcase, test_a_new_store_is_a_warning);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("disk");
    tcase_add_checked_fixture(tcase, setup_disk, teardown);
    add_to_both(tcase);
    tcase_add_test(tcase, test_a_task_that_does_not_open_leaves_nothing);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
