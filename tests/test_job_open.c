/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what a job accepts when it opens, and what it leaves alone (P6, P11): names and options,
 * of subtasks too, which must agree; a local directory that is somebody else's, or in the store;
 * leftovers of a crash, here and in the store; logs that never got to a checkpoint. Method: each
 * thing that is wrong by itself, with a look at what must have stayed. The fake backend over the
 * memory store; leftovers and logs again with RocksDB over a directory.
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

/* Without the seam by which tests choose theirs. */
/* Settings of checkpoints, in pairs that contradict each other and beyond what there is. */
START_TEST(test_checkpoints_that_cannot_be_as_asked)
{
    static const struct {
        cairn_job_options options;
        const char *why;
    } bad[] = {
        {{.max_concurrent = 9}, "max_concurrent is 9, at most 8"},
        {{.checkpoint_mode = (cairn_checkpoint_mode)2}, "no checkpoint mode 2"},
        {{.on_cancel = (cairn_retention)2}, "on_cancel is 2"},
        {{.on_failure = (cairn_retention)-1}, "on_failure -1"},
        {{.unaligned = 1, .checkpoint_mode = CAIRN_AT_LEAST_ONCE}, "unaligned needs exactly once"},
        {{.unaligned = 1, .max_concurrent = 2}, "unaligned needs max_concurrent 1, not 2"},
        {{.aligned_timeout_ms = 1}, "needs unaligned"},
    };
    static const cairn_job_options good[] = {
        {.max_concurrent = 8, .checkpoint_mode = CAIRN_AT_LEAST_ONCE},
        {.unaligned = 1, .max_concurrent = 1, .aligned_timeout_ms = UINT64_MAX},
        {.tolerable_failures = CAIRN_TOLERATE_NONE, .full_every = 1, .on_cancel = CAIRN_DELETE},
    };
    cairn_job *job = NULL;
    cairn_job_options options;
    const cairn_job_options mine = f.options;
    for (size_t i = 0; i < CRN_COUNT(bad) + CRN_COUNT(good); i++) {
        bool is_bad = i < CRN_COUNT(bad);
        options = is_bad ? bad[i].options : good[i - CRN_COUNT(bad)];
        options.struct_size = sizeof options;
        options.store = mine.store;
        options.local_dir = mine.local_dir;
        f.options = options;
        if (is_bad) {
            ck_fails(fixture_open_job(&f, "job", &job, reterr), CAIRN_EINVAL, bad[i].why);
            ck_assert_uint_eq(store_count(f.store, ""), 0); /* nothing was begun */
            continue;
        }
        ck_ok(fixture_open_job(&f, "job", &job, reterr));
        cairn_job_close(job);
    }
}
END_TEST

START_TEST(test_the_state_backend_is_chosen_by_name)
{
    static const char *const names[] = {NULL, "rocksdb", "heap"};
    cairn_job *job = NULL;
    f.options.state_backend = "Heap";
    ck_fails(cairn_job_open("job", &f.options, &job, reterr), CAIRN_EINVAL, "'rocksdb', 'heap'");
    f.options.state_backend = "";
    ck_fails(cairn_job_open("job", &f.options, &job, reterr), CAIRN_EINVAL, "job 'job'");
    ck_assert_ptr_null(job);
    ck_assert_uint_eq(store_count(f.store, ""), 0);
    for (size_t i = 0; i < CRN_COUNT(names); i++) {
        f.options.state_backend = names[i];
        ck_ok(cairn_job_open("job", &f.options, &job, reterr));
        ck_assert_str_eq(job->backend->name, names[i] ? names[i] : "rocksdb");
        cairn_job_close(job);
    }
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

struct log_book {
    struct crn_mutex lock;
    unsigned created;
};

static void note_created(void *context, const cairn_log_line *line)
{
    struct log_book *book = context;
    crn_mutex_lock(&book->lock);
    book->created += line->level == CAIRN_LOG_WARNING && strstr(line->message, "created") != NULL;
    crn_mutex_unlock(&book->lock);
}

/* A mistyped path gives a store that begins empty: once, and not to be overlooked. */
START_TEST(test_a_new_store_is_a_warning)
{
    struct log_book book = {0};
    CRN_AUTO_FREE char *store = fixture_dir(&f, "mistyped/store");
    crn_mutex_init(&book.lock, CRN_RANK_LEAF);
    f.options.log = note_created;
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

/* ------------------------------------------------------------------------------------------ *
 * Tasks
 * ------------------------------------------------------------------------------------------ */

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

static void add_to_both(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_local_leftovers);
    tcase_add_test(tcase, test_a_relative_local_directory);
    tcase_add_test(tcase, test_leftovers_in_the_store);
    tcase_add_test(tcase, test_a_log_without_checkpoints_stays_small);
    tcase_add_test(tcase, test_a_log_keeps_what_may_be_a_checkpoint);
}

int main(void)
{
    Suite *suite = suite_create("job open");
    TCase *tcase = tcase_create("memory");
    tcase_add_checked_fixture(tcase, setup_memory, teardown);
    add_to_both(tcase);
    tcase_add_test(tcase, test_names);
    tcase_add_test(tcase, test_options_that_contradict_or_lack);
    tcase_add_test(tcase, test_checkpoints_that_cannot_be_as_asked);
    tcase_add_test(tcase, test_the_state_backend_is_chosen_by_name);
    tcase_add_test(tcase, test_a_local_directory_has_one_job);
    tcase_add_test(tcase, test_a_local_directory_without_the_mark);
    tcase_add_test(tcase, test_a_local_directory_that_a_crash_left_unmarked);
    tcase_add_test(tcase, test_a_local_directory_apart_from_the_store);
    tcase_add_test(tcase, test_options_of_tasks_out_of_range);
    tcase_add_test(tcase, test_subtasks_agree_on_their_keys);
    tcase_add_test(tcase, test_subtasks_agree_on_their_states);
    tcase_add_test(tcase, test_a_new_store_is_a_warning);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("disk");
    tcase_add_checked_fixture(tcase, setup_disk, teardown);
    add_to_both(tcase);
    tcase_add_test(tcase, test_a_task_that_does_not_open_leaves_nothing);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
