/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting from a snapshot elsewhere, in each claim mode: the state is the snapshot's (P2), what is
 * the user's stays untouched, what is claimed has exactly one owner and is gone from where it was
 * (P5, P6, P7). Method: a job with an oracle writes the snapshot, another one starts from it; then
 * the same with every single store operation failing in turn, and another start after it.
 */
#include "tests/support/claim_kit.h"

#include "cairn/inspect.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/log/joblog.h"
#include "manifest/marks.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Job "src" has two checkpoints, the newer of which is also savepoint SAVEPOINT. */
static void setup(void)
{
    struct subject src;
    fixture_init(&f, false);
    oracle_init(&oracle);
    seed = 7;
    ck_ok(subject_open(&f, "src", &src, reterr));
    oracle_mutate(&oracle, &src, &seed, 60);
    ck_ok(subject_checkpoint(&src, false, NULL, reterr));
    oracle_mutate(&oracle, &src, &seed, 20);
    ck_ok(subject_checkpoint(&src, false, NULL, reterr));
    subject_close(&src);
    savepoint_of_checkpoint(f.store, "src", SAVEPOINT);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * The modes
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_no_claim_leaves_the_source_to_the_user)
{
    const char *source = _i == 0 ? SAVEPOINT : "src";
    size_t objects = store_count(f.store, source);
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    for (int start = 0; start < 2; start++) { /* the second: as if the first had crashed */
        start_from(source, CAIRN_NO_CLAIM);
        ck_ok(subject_open(&f, "target", &s, reterr));
        ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
        ck_assert_uint_eq(info.id, 3);
        check_state(&s);
        if (start == 0)
            subject_close(&s);
    }
    info = go_on(&s, "target");
    ck_assert_int_eq(info.is_full, 1);
    oracle_mutate(&oracle, &s, &seed, 3);
    ck_ok(subject_checkpoint(&s, false, &info, reterr));
    ck_assert_int_eq(info.is_full, 0);
    subject_close(&s);
    ck_assert_uint_eq(store_count(f.store, source), objects);
    store_check_tidy(f.store, "target");
}
END_TEST

START_TEST(test_any_number_of_jobs_start_from_one_snapshot)
{
    struct oracle begin = oracle;
    const char *const names[] = {"one", "two", "three"};
    for (unsigned i = 0; i < 3; i++) {
        struct subject s;
        oracle = begin;
        start_from(SAVEPOINT, i == 1 ? CAIRN_LEGACY : CAIRN_NO_CLAIM);
        ck_ok(subject_open(&f, names[i], &s, reterr));
        check_state(&s);
        (void)go_on(&s, names[i]);
        subject_close(&s);
    }
}
END_TEST

START_TEST(test_claimed_and_legacy_snapshots_are_the_first_increments_base)
{
    const char *source = _i % 2 == 0 ? SAVEPOINT : "src";
    cairn_claim_mode mode = _i < 2 ? CAIRN_CLAIM : CAIRN_LEGACY;
    size_t objects = store_count(f.store, source);
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    start_from(source, mode);
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
    ck_assert_uint_eq(info.id, 2); /* behind the fence */
    info = go_on(&s, "target");
    ck_assert_int_eq(info.is_full, 0);
    ck_assert_uint_lt(info.new_bytes, info.full_bytes);
    subject_close(&s);
    if (mode == CAIRN_CLAIM)
        check_is_gone(f.store, source);
    else
        ck_assert_uint_eq(store_count(f.store, source), objects);
    store_check_tidy(f.store, "target");
}
END_TEST

static const cairn_record_info *find_record(cairn_log *log, uint64_t id)
{
    for (size_t i = 0; i < cairn_log_size(log); i++)
        if (cairn_log_at(log, i)->id == id)
            return cairn_log_at(log, i);
    ck_abort_msg("no record %llu", (unsigned long long)id);
    return NULL;
}

START_TEST(test_the_log_tells_where_a_job_came_from)
{
    struct subject s;
    cairn_log *log;
    start_from(SAVEPOINT, (cairn_claim_mode)_i);
    ck_ok(subject_open(&f, "target", &s, reterr));
    subject_close(&s);
    ck_ok(cairn_log_open(f.store, "target", &log, reterr));
    const cairn_record_info *record = find_record(log, _i == CAIRN_NO_CLAIM ? 1 : 2);
    ck_assert_str_eq(record->source_location, SAVEPOINT);
    ck_assert_str_eq(record->source_job, "src");
    ck_assert_uint_eq(record->source_id, 3);
    ck_assert_int_eq((int)record->source_mode, _i);
    cairn_log_close(log);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Who may
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_the_claimed_jobs_writer_is_fenced)
{
    struct subject old, s;
    start_from(NULL, CAIRN_NO_CLAIM);
    ck_ok(subject_open(&f, "src", &old, reterr));
    store_put_text(f.store, "src/notes.txt", "not Cairn's");
    f.options.local_dir = fixture_dir(&f, "second");
    start_from("src", CAIRN_CLAIM);
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
    ck_assert_uint_eq(store_count(f.store, "src"), 2);
    ck_assert(store_has(f.store, "src/notes.txt"));
    oracle_mutate(&oracle, &old, &seed, 5);
    ck_fails(subject_checkpoint(&old, false, NULL, reterr), CAIRN_EFENCED,
             "taken over by job 'target'");
    ck_assert(!store_has(f.store, "src/MANIFEST-chk5"));
    subject_close(&old);
    free((void *)(uintptr_t)f.options.local_dir);
}
END_TEST

START_TEST(test_only_the_newest_checkpoint_of_a_job_can_be_claimed)
{
    cairn_job *job;
    struct subject s;
    f.options.num_retained = 3;
    start_from(NULL, CAIRN_NO_CLAIM);
    ck_ok(subject_open(&f, "src", &s, reterr));
    oracle_mutate(&oracle, &s, &seed, 5);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    start_from("src", CAIRN_CLAIM);
    f.options.restore_checkpoint_id = 3;
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_EINVAL, "only the newest");
    f.options.restore_checkpoint_id = 5;
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
}
END_TEST

/* An object is gone, so the import fails after the claim. */
static void claim_halfway(const char *source, const char *job_name)
{
    cairn_job *job;
    CRN_AUTO_FREE char *key = store_live_object(f.store, source, strcmp(source, "src") == 0);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_ok(crn_store_get_bytes(f.store, key, SIZE_MAX, &bytes, reterr));
    store_remove(f.store, key);
    start_from(source, CAIRN_CLAIM);
    ck_fails(fixture_open_job(&f, job_name, &job, reterr), CAIRN_EMISSING, key);
    struct crn_bytes_source again;
    cairn_put_how how;
    crn_bytes_source_init(&again, bytes.data, bytes.size);
    ck_ok(f.store->ops->put(f.store, key, &again.source, &how, reterr));
}

START_TEST(test_a_second_claimer_is_refused_and_the_first_goes_on)
{
    const char *source = _i == 0 ? SAVEPOINT : "src";
    struct subject s;
    cairn_job *job;
    claim_halfway(source, "target");
    start_from(source, CAIRN_CLAIM);
    ck_fails(fixture_open_job(&f, "rival", &job, reterr), CAIRN_EEXIST, "job 'target'");
    if (_i == 1) {
        start_from(NULL, CAIRN_NO_CLAIM);
        ck_fails(fixture_open_job(&f, "src", &job, reterr), CAIRN_EFENCED, "job 'target'");
    }
    start_from(source, CAIRN_CLAIM);
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    (void)go_on(&s, "target");
    subject_close(&s);
    check_is_gone(f.store, source);
    store_check_tidy(f.store, "target");
}
END_TEST

#define STARTERS 4u

struct starter {
    pthread_t thread;
    struct fixture f;
    char name[16], local_dir[300];
    cairn_job *job;
    int result;
};

static void *start_main(void *arg)
{
    struct starter *starter = arg;
    starter->result = fixture_open_job(&starter->f, starter->name, &starter->job, NULL);
    return NULL;
}

/* All at once. The first one is the source's own job, if that is one. */
static void start_together(struct starter starters[STARTERS], const char *source)
{
    for (unsigned i = 0; i < STARTERS; i++) {
        struct starter *starter = &starters[i];
        bool is_owner = i == 0 && strcmp(source, "src") == 0;
        start_from(is_owner ? NULL : source, CAIRN_CLAIM);
        starter->f = f;
        (void)snprintf(starter->name, sizeof starter->name, is_owner ? "src" : "job-%u", i);
        (void)snprintf(starter->local_dir, sizeof starter->local_dir, "%s/local-%u", f.root, i);
        starter->f.options.local_dir = starter->local_dir;
    }
    for (unsigned i = 0; i < STARTERS; i++)
        ck_assert_int_eq(pthread_create(&starters[i].thread, NULL, start_main, &starters[i]), 0);
    for (unsigned i = 0; i < STARTERS; i++)
        ck_assert_int_eq(pthread_join(starters[i].thread, NULL), 0);
}

/* Of a job's directory perhaps nobody gets it: then it is still the job's. */
START_TEST(test_of_many_at_once_one_gets_it)
{
    const char *source = _i % 2 == 0 ? SAVEPOINT : "src";
    struct starter starters[STARTERS] = {0};
    const char *winner = NULL;
    struct subject s;
    fixture_arm(&f, (struct crn_fault_plan){
                        .ops = CRN_FAULT_CREATE, .mode = CRN_FAULT_NEVER, .delay_us = 200});
    start_together(starters, source);
    for (unsigned i = 0; i < STARTERS; i++) {
        bool is_owner = strcmp(starters[i].name, source) == 0;
        cairn_job_close(starters[i].job);
        if (is_owner || starters[i].result < 0)
            continue;
        ck_assert_msg(winner == NULL, "'%s' and '%s'", winner, starters[i].name);
        winner = starters[i].name;
    }
    ck_assert(winner != NULL || strcmp(source, "src") == 0);
    start_from(NULL, CAIRN_NO_CLAIM);
    ck_ok(subject_open(&f, winner != NULL ? winner : source, &s, reterr));
    check_state(&s);
    (void)go_on(&s, winner != NULL ? winner : source);
    subject_close(&s);
    if (winner != NULL)
        check_is_gone(f.store, source);
    else
        ck_assert_uint_gt(store_count(f.store, source), 1);
}
END_TEST

static cairn_store_ops hooked;
static const cairn_store_ops *unhooked;

static void claim_it_all(void)
{
    struct fixture second = f;
    struct subject s;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    second.options.local_dir = local_dir;
    ck_ok(subject_open(&second, "target", &s, reterr));
    subject_close(&s);
}

/* The fence of "rival" stands: it has read the savepoint, and did not look for a mark yet. */
static int create_fence_hooked(cairn_store *store, const char *key, const void *data, size_t size,
                               cairn_error **reterr)
{
    int r = unhooked->create(store, key, data, size, reterr);
    if (r == 0 && strcmp(key, "rival/MANIFEST-chk1") == 0) {
        store->ops = unhooked;
        claim_it_all();
    }
    return r;
}

/* All of it is in its manifest, which the rival has in memory. */
START_TEST(test_who_comes_when_it_is_gone_gets_nothing)
{
    cairn_job *job;
    struct subject s;
    fixture_done(&f);
    fixture_init(&f, true);
    f.backend = crn_heap_backend;
    f.options.inline_threshold_bytes = CRN_LIMIT_INLINE;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "src", &s, reterr));
    oracle_mutate(&oracle, &s, &seed, 20);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    savepoint_of_checkpoint(f.store, "src", SAVEPOINT);
    ck_assert_uint_eq(store_count(f.store, SAVEPOINT), 1);
    unhooked = f.store->ops;
    hooked = *unhooked;
    hooked.create = create_fence_hooked;
    f.store->ops = &hooked;
    start_from(SAVEPOINT, CAIRN_CLAIM);
    ck_fails(fixture_open_job(&f, "rival", &job, reterr), CAIRN_ENOTFOUND, "claimed or removed");
    ck_assert_ptr_eq(f.store->ops, unhooked);
    ck_assert_uint_eq(store_count(f.store, SAVEPOINT), 0);
    start_from(NULL, CAIRN_NO_CLAIM);
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
}
END_TEST

/* The same job is started again, goes on from the mark, and gets stuck while it imports. */
static void start_again(void)
{
    struct fixture second = f;
    cairn_job *job;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "second");
    second.options.local_dir = local_dir;
    fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_PUT | CRN_FAULT_COPY,
                                            .mode = CRN_FAULT_BEFORE,
                                            .at = 1,
                                            .and_after = true,
                                            .code = CAIRN_EIO});
    ck_fails(fixture_open_job(&second, "target", &job, reterr), CAIRN_EIO, "take over 'src'");
    fixture_disarm(&f, CRN_FAULT_ANY);
}

/* Before the mark's maker goes on. */
static int create_hooked(cairn_store *store, const char *key, const void *data, size_t size,
                         cairn_error **reterr)
{
    int r = unhooked->create(store, key, data, size, reterr);
    if (r == 0 && strcmp(key, "src/" CRN_MARK_CLAIMED) == 0) {
        store->ops = unhooked;
        start_again();
    }
    return r;
}

/* Who gives up a claim takes the mark back, but not from a successor, which counts on it. */
START_TEST(test_a_mark_outlives_the_incarnation_that_made_it)
{
    struct subject s;
    cairn_job *job;
    unhooked = f.store->ops;
    hooked = *unhooked;
    hooked.create = create_hooked;
    f.store->ops = &hooked;
    start_from("src", CAIRN_CLAIM);
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_EBUSY, "started again");
    ck_assert_ptr_eq(f.store->ops, unhooked);
    ck_fails(fixture_open_job(&f, "rival", &job, reterr), CAIRN_EEXIST, "job 'target'");
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
    check_is_gone(f.store, "src");
}
END_TEST

START_TEST(test_a_savepoint_that_is_being_disposed_of_is_not_claimed)
{
    cairn_job *job;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_mark mark = {
        .kind = CRN_MARK_DISPOSAL, .id = 3, .host = strdup("elsewhere"), .pid = 9};
    memset(mark.uuid, 1, sizeof mark.uuid);
    ck_ok(crn_mark_encode(&mark, &bytes, reterr));
    crn_mark_done(&mark);
    ck_ok(f.store->ops->create(f.store, SAVEPOINT "/" CRN_MARK_DISPOSING, bytes.data, bytes.size,
                               reterr));
    start_from(SAVEPOINT, CAIRN_CLAIM);
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_EBUSY, "being removed");
    ck_assert(!store_has(f.store, SAVEPOINT "/" CRN_MARK_CLAIMED));
}
END_TEST

/* Two checkpoints of "target" while what it claimed cannot be removed. */
static void go_on_without_release(const char *source)
{
    struct subject s;
    CRN_AUTO_FREE char *mark = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_ok(crn_joblog_key(source, CRN_MARK_CLAIMED, &mark, reterr));
    ck_ok(crn_store_get_bytes(f.store, mark, SIZE_MAX, &bytes, reterr));
    store_remove(f.store, mark); /* as if it were out of reach */
    ck_ok(subject_open(&f, "target", &s, reterr));
    for (int i = 0; i < 2; i++) {
        oracle_mutate(&oracle, &s, &seed, 5);
        ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    }
    subject_close(&s);
    ck_ok(f.store->ops->create(f.store, mark, bytes.data, bytes.size, reterr));
}

/* The store keeps what was claimed and imported from being removed: the job runs all the same, and
 * a later start removes it, whatever its options. */
START_TEST(test_a_removal_that_failed_is_done_by_the_next_start)
{
    const char *source = _i % 2 == 0 ? SAVEPOINT : "src";
    struct subject s;
    start_from(source, CAIRN_CLAIM);
    fixture_arm(&f, (struct crn_fault_plan){.ops = CRN_FAULT_REMOVE,
                                            .mode = CRN_FAULT_BEFORE,
                                            .at = 1,
                                            .and_after = true,
                                            .code = CAIRN_EUNAVAIL});
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
    fixture_disarm(&f, CRN_FAULT_ANY);
    ck_assert_uint_gt(store_count(f.store, source), 1);
    cairn_job *job;
    start_from(source, CAIRN_CLAIM);
    ck_fails(fixture_open_job(&f, "rival", &job, reterr), CAIRN_EEXIST, "job 'target'");
    if (_i >= 2) {                      /* the job goes on meanwhile, until the import is history */
        f.options.restore_store = NULL; /* and cannot find the source */
        f.options.restore_name = NULL;
        f.options.claim_mode = CAIRN_NO_CLAIM;
        go_on_without_release(source);
    }
    start_from(_i == 3 ? source : NULL, CAIRN_CLAIM); /* the same options again: no way back */
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
    check_is_gone(f.store, source);
    store_check_tidy(f.store, "target");
}
END_TEST

/* A service that is always started with the same options names a checkpoint of the source. The
 * job's own of that id is another one, and older than where it stands. Last: the snapshot is the
 * job's already, but could not be removed. */
START_TEST(test_an_id_that_is_named_is_the_sources)
{
    struct subject s;
    bool is_left = _i == 3;
    f.options.num_retained = 9;
    for (int start = 0; start < 3; start++) {
        start_from("src", is_left ? CAIRN_CLAIM : (cairn_claim_mode)_i);
        f.options.restore_checkpoint_id = 3;
        f.options.restore_only_if_new = !is_left;
        fixture_arm(&f, (struct crn_fault_plan){.ops = is_left ? CRN_FAULT_REMOVE : 0,
                                                .mode = CRN_FAULT_BEFORE,
                                                .at = 1,
                                                .and_after = true,
                                                .code = CAIRN_EUNAVAIL});
        ck_ok(subject_open(&f, "target", &s, reterr));
        check_state(&s);
        for (int i = 0; i < 3; i++) {
            oracle_mutate(&oracle, &s, &seed, 5);
            ck_ok(subject_checkpoint(&s, false, NULL, reterr));
        }
        subject_close(&s);
        fixture_disarm(&f, CRN_FAULT_ANY);
    }
}
END_TEST

START_TEST(test_a_savepoint_without_its_manifest_says_so)
{
    cairn_job *job;
    ck_assert(store_has(f.store, SAVEPOINT "/MANIFEST-chk3"));
    store_harm(f.store, SAVEPOINT "/MANIFEST-chk3", HARM_REMOVE);
    start_from(SAVEPOINT, CAIRN_NO_CLAIM);
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EMISSING,
             "but no MANIFEST-chk3: an unfinished savepoint, or its manifest is lost");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Options
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_what_contradicts_itself_is_refused)
{
    cairn_job *job;
    const cairn_job_options begin = f.options;
    start_from(SAVEPOINT, CAIRN_NO_CLAIM);
    f.options.restore_uri = "/somewhere";
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "not both");
    f.options.restore_uri = NULL;
    f.options.start_empty = 1;
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "start_empty");
    f.options.start_empty = 0;
    f.options.restore_fallback = 1;
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "restore_fallback");
    f.options.restore_fallback = 0;
    f.options.restore_name = NULL;
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "go together");
    f.options.restore_name = "../etc";
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "");
    f.options.restore_name = SAVEPOINT;
    f.options.claim_mode = (cairn_claim_mode)3;
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "claim mode");
    f.options = begin;
    f.options.claim_mode = CAIRN_CLAIM;
    ck_fails(fixture_open_job(&f, "t", &job, reterr), CAIRN_EINVAL, "need restore_uri");
    f.options = begin;
    ck_fails(fixture_open_job(&f, SAVEPOINT, &job, reterr), CAIRN_EINVAL, "savepoint of job 'src'");
    ck_assert_uint_eq(store_count(f.store, "t/"), 0);
}
END_TEST

START_TEST(test_a_source_that_is_not_there)
{
    struct subject s;
    cairn_job *job;
    start_from("nothing", CAIRN_NO_CLAIM);
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_ENOTFOUND, "no snapshot");
    start_from("src", CAIRN_NO_CLAIM);
    f.options.restore_checkpoint_id = 77;
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_ENOTFOUND, "77");
    ck_assert_uint_eq(store_count(f.store, "target"), 0);

    start_from(SAVEPOINT, CAIRN_CLAIM);
    ck_ok(subject_open(&f, "target", &s, reterr));
    oracle_mutate(&oracle, &s, &seed, 5);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_ENOTFOUND, "restore_only_if_new");
    f.options.restore_only_if_new = 1;
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    subject_close(&s);
}
END_TEST

START_TEST(test_damage_in_the_source_is_named)
{
    cairn_job *job;
    store_damage(f.store, SAVEPOINT "/MANIFEST-chk3");
    start_from(SAVEPOINT, (cairn_claim_mode)_i);
    ck_fails(fixture_open_job(&f, "target", &job, reterr), CAIRN_ECORRUPT,
             SAVEPOINT "/MANIFEST-chk3");
    ck_assert_uint_eq(store_count(f.store, "target"), 0);
    ck_assert(!store_has(f.store, SAVEPOINT "/" CRN_MARK_CLAIMED));
}
END_TEST

START_TEST(test_the_jobs_own_directory_is_no_foreign_source)
{
    struct subject s;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    start_from("src", (cairn_claim_mode)_i);
    ck_ok(subject_open(&f, "src", &s, reterr));
    ck_assert_int_eq(cairn_job_restored(s.job, &info), 1);
    ck_assert_uint_eq(info.id, 3);
    check_state(&s);
    info = go_on(&s, "src");
    ck_assert_int_eq(info.is_full, 0);
    subject_close(&s);
    start_from("fresh", (cairn_claim_mode)_i);
    cairn_job *job;
    ck_fails(fixture_open_job(&f, "fresh", &job, reterr), CAIRN_ENOTFOUND, "");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Every store operation fails in turn
 * ------------------------------------------------------------------------------------------ */

/* After whatever happened: the job can be opened, has the state, and is the only one to have it. */
static void check_aftermath(const char *source, cairn_claim_mode mode, size_t objects, bool goes_on)
{
    struct subject s;
    start_from(source, mode);
    f.options.restore_only_if_new = 1;
    ck_ok(subject_open(&f, "target", &s, reterr));
    check_state(&s);
    struct oracle begin = oracle;
    if (goes_on)
        (void)go_on(&s, "target");
    subject_close(&s);
    oracle = begin;
    if (mode == CAIRN_CLAIM) {
        check_is_gone(f.store, source);
    } else {
        ck_assert_uint_eq(store_count(f.store, source), objects);
    }
    store_check_tidy(f.store, "target");
}

enum { DEAD, LOST_REPLY, HICCUP, FAULTS };

START_TEST(test_every_operation_fails_once)
{
    const unsigned changing = CRN_FAULT_ANY & ~(unsigned)(CRN_FAULT_GET | CRN_FAULT_STAT);
    const struct crn_fault_plan faults[FAULTS] = {
        [DEAD] = {.ops = CRN_FAULT_ANY,
                  .mode = CRN_FAULT_BEFORE,
                  .code = CAIRN_EIO,
                  .and_after = true},
        [LOST_REPLY] = {.ops = changing, .mode = CRN_FAULT_LOST_REPLY},
        [HICCUP] = {.ops = changing, .mode = CRN_FAULT_BEFORE, .code = CAIRN_EUNAVAIL},
    };
    const char *source = _i / FAULTS == 1 ? "src" : SAVEPOINT;
    cairn_claim_mode mode = _i / FAULTS == 2 ? CAIRN_LEGACY : CAIRN_CLAIM;
    size_t objects = store_count(f.store, source);
    cairn_store *pristine = f.store;
    bool fired = true;
    uint64_t at = 0;
    while (fired) {
        struct subject s;
        f.store = store_clone(pristine);
        f.options.store = f.store;
        start_from(source, mode);
        struct crn_fault_plan plan = faults[_i % FAULTS];
        plan.at = ++at;
        fixture_arm(&f, plan);
        if (subject_open(&f, "target", &s, NULL) == 0)
            subject_close(&s);
        fired = crn_fault_store_fired(f.store);
        fixture_disarm(&f, CRN_FAULT_ANY);
        check_aftermath(source, mode, objects, at % 8 == 0);
        cairn_store_close(f.store);
    }
    ck_assert_uint_gt(at, 20);
    f.store = f.options.store = pristine;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim");
    TCase *tcase = tcase_create("claim");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_no_claim_leaves_the_source_to_the_user, 0, 2);
    tcase_add_test(tcase, test_any_number_of_jobs_start_from_one_snapshot);
    tcase_add_loop_test(tcase, test_claimed_and_legacy_snapshots_are_the_first_increments_base, 0,
                        4);
    tcase_add_loop_test(tcase, test_the_log_tells_where_a_job_came_from, 0, 3);
    tcase_add_test(tcase, test_the_claimed_jobs_writer_is_fenced);
    tcase_add_test(tcase, test_only_the_newest_checkpoint_of_a_job_can_be_claimed);
    tcase_add_loop_test(tcase, test_a_second_claimer_is_refused_and_the_first_goes_on, 0, 2);
    tcase_add_loop_test(tcase, test_of_many_at_once_one_gets_it, 0, 20);
    tcase_add_test(tcase, test_who_comes_when_it_is_gone_gets_nothing);
    tcase_add_test(tcase, test_a_mark_outlives_the_incarnation_that_made_it);
    tcase_add_test(tcase, test_a_savepoint_that_is_being_disposed_of_is_not_claimed);
    tcase_add_test(tcase, test_a_savepoint_without_its_manifest_says_so);
    tcase_add_test(tcase, test_what_contradicts_itself_is_refused);
    tcase_add_test(tcase, test_a_source_that_is_not_there);
    tcase_add_loop_test(tcase, test_damage_in_the_source_is_named, 0, 3);
    tcase_add_loop_test(tcase, test_the_jobs_own_directory_is_no_foreign_source, 0, 3);
    tcase_add_loop_test(tcase, test_every_operation_fails_once, 0, 3 * FAULTS);
    tcase_add_loop_test(tcase, test_a_removal_that_failed_is_done_by_the_next_start, 0, 4);
    tcase_add_loop_test(tcase, test_an_id_that_is_named_is_the_sources, 0, 4);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
