/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that a job's log has one writer at a time and one truth (P1, P7), over stores that fail in
 * every way at every call: whatever a commit reports is what the store holds; of many writers of
 * one id exactly one wins; a writer that wakes up after its id was used and removed learns that it
 * is fenced. And that a damaged log is read for what it is: which record, and what is wrong with it
 * (P8, P11), also when what the records say is out of all proportion.
 */

#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/log/joblog.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static cairn_store *open_store(void)
{
    cairn_store *memory, *store;
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(memory, &store, NULL), 0);
    return store;
}

static void close_store(cairn_store *store)
{
    store->ops->close(store);
}

/* A fence, two checkpoints and an abort. */
static void write_log(struct crn_test_job *job, cairn_store *store)
{
    crn_test_job_init(job, store, "orders");
    crn_test_job_commit_kind(job, CAIRN_RECORD_FENCE);
    crn_test_job_commit_kind(job, CAIRN_RECORD_CHECKPOINT);
    crn_test_job_commit_kind(job, CAIRN_RECORD_ABORTED);
    crn_test_job_commit_kind(job, CAIRN_RECORD_CHECKPOINT);
}

static int commit(cairn_store *store, const struct crn_record *record,
                  struct crn_record **ret_found)
{
    struct crn_hash128 hash;
    cairn_error *error = NULL;
    int r = crn_joblog_commit(store, record, &hash, ret_found, &error);
    ck_assert_int_eq(r, cairn_error_code(error));
    cairn_error_free(error);
    return r;
}

static bool is_stored(cairn_store *store, const struct crn_record *record)
{
    struct crn_record *found = NULL;
    int r = crn_joblog_read_record(store, record->job, record->info.id, &found, NULL, NULL, NULL);
    ck_assert(r == 0 || r == CAIRN_ENOTFOUND);
    bool mine = r == 0 && memcmp(found->info.uuid, record->info.uuid, 16) == 0;
    crn_record_free(found);
    return mine;
}

START_TEST(a_log_is_read_as_it_was_written)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    const struct crn_record *record;
    write_log(&job, store);
    job.epoch = 2;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);

    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    ck_assert_str_eq(log.job, "orders");
    ck_assert_uint_eq(log.count, 5);
    ck_assert_uint_eq(log.head_id, 5);
    ck_assert_uint_eq(log.log_start, 1);
    ck_assert_uint_eq(log.epoch, 2);
    ck_assert_mem_eq(&log.head_hash, &job.head_hash, sizeof log.head_hash);
    for (size_t i = 0; i < log.count; i++) {
        ck_assert_uint_eq(log.entries[i].id, i + 1);
        ck_assert_ptr_nonnull(log.entries[i].record);
        ck_assert_uint_gt(log.entries[i].manifest_bytes, 0);
    }
    ck_assert_int_eq(crn_joblog_require_whole(&log, NULL), 0);
    ck_assert_int_eq(crn_joblog_find(&log, 0, &record, NULL), 0);
    ck_assert_uint_eq(record->info.id, 4);
    ck_assert_int_eq(crn_joblog_find(&log, 2, &record, NULL), 0);
    ck_assert_uint_eq(record->info.id, 2);
    ck_assert_int_eq(crn_joblog_find(&log, 3, &record, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(crn_joblog_find(&log, 6, &record, NULL), CAIRN_ENOTFOUND);
    crn_joblog_done(&log);

    ck_assert_int_eq(crn_joblog_read(store, "payments", &log, NULL), 0);
    ck_assert_uint_eq(log.count, 0);
    ck_assert_uint_eq(log.head_id, 0);
    ck_assert_int_eq(crn_joblog_find(&log, 0, &record, NULL), CAIRN_ENOTFOUND);
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* --- commits over a failing store --- */

static const struct {
    enum crn_fault_mode mode;
    bool and_after;
    int code;
} faults[] = {
    {CRN_FAULT_BEFORE, false, CAIRN_EUNAVAIL}, {CRN_FAULT_LOST_REPLY, false, 0},
    {CRN_FAULT_SHORT, false, CAIRN_EUNAVAIL},  {CRN_FAULT_BEFORE, true, CAIRN_EUNAVAIL},
    {CRN_FAULT_LOST_REPLY, true, 0},           {CRN_FAULT_BEFORE, false, CAIRN_ENOSPC},
    {CRN_FAULT_BEFORE, true, CAIRN_EIO},       {CRN_FAULT_FLIP, false, 0},
};

/* What was reported must be what is true. */
static void check_outcome(cairn_store *store, const struct crn_record *record, int r)
{
    cairn_store *inner = crn_fault_store_inner(store);
    if (r == 0)
        ck_assert(is_stored(inner, record));
    else if (r != CAIRN_EUNKNOWN)
        ck_assert_msg(!is_stored(inner, record), "reported %s but the record is there",
                      cairn_error_name(r));
}

/* Fault i at call k of a commit of a free id. false: the commit made fewer than k calls. */
static bool commit_with_fault(size_t i, uint64_t k)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_record *found = NULL;
    write_log(&job, store);
    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    crn_record_finish(record);
    struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY,
                                  .mode = faults[i].mode,
                                  .at = k,
                                  .and_after = faults[i].and_after,
                                  .code = faults[i].code};
    crn_fault_store_arm(store, &plan);
    int r = commit(store, record, &found);
    bool fired = crn_fault_store_fired(store);
    check_outcome(store, record, r);
    ck_assert_ptr_null(found);
    /* One failure that may pass is got over. */
    if (!fired || (!faults[i].and_after && faults[i].code != CAIRN_ENOSPC))
        ck_assert_msg(r == 0, "fault %zu at call %" PRIu64 ": %s", i, k, cairn_error_name(r));
    else if (faults[i].and_after && k == 1)
        ck_assert_int_ne(r, 0);
    crn_record_free(record);
    crn_test_job_done(&job);
    close_store(store);
    return fired;
}

START_TEST(a_commit_reports_the_truth_whatever_call_fails)
{
    uint64_t k = 1;
    while (commit_with_fault((size_t)_i, k))
        k++;
    if (faults[_i].mode !=
        CRN_FAULT_FLIP) /* flips strike reads only, and a plain commit reads nothing */
        ck_assert_uint_gt(k, 1);
}
END_TEST

/* The same when the id is taken already: success is never claimed. */
static bool collide_with_fault(size_t i, uint64_t k)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_record *found = NULL;
    write_log(&job, store);
    struct crn_record *late = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    crn_record_finish(late);
    job.epoch = 2;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY,
                                  .mode = faults[i].mode,
                                  .at = k,
                                  .and_after = faults[i].and_after,
                                  .code = faults[i].code};
    crn_fault_store_arm(store, &plan);
    int r = commit(store, late, &found);
    bool fired = crn_fault_store_fired(store);
    check_outcome(store, late, r);
    ck_assert_int_lt(r, 0);
    ck_assert_int_eq(r == CAIRN_EEXIST, found != NULL);
    if (found != NULL)
        ck_assert_int_eq(crn_log_judge_collision(late, found), CRN_COLLISION_FENCED);
    if (!fired)
        ck_assert_int_eq(r, CAIRN_EEXIST);
    crn_record_free(found);
    crn_record_free(late);
    crn_test_job_done(&job);
    close_store(store);
    return fired;
}

START_TEST(a_taken_id_is_never_claimed_whatever_call_fails)
{
    uint64_t k = 1;
    while (collide_with_fault((size_t)_i, k))
        k++;
    ck_assert_uint_gt(k, 1);
}
END_TEST

/* --- many writers of one id --- */

#define WRITERS 8

struct writer {
    pthread_t thread;
    cairn_store *store;
    struct crn_record *record, *found;
    int result;
};

static void *write_once(void *arg)
{
    struct writer *writer = arg;
    writer->result = commit(writer->store, writer->record, &writer->found);
    return NULL;
}

static void race(uint64_t lost_reply_at)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct writer writers[WRITERS] = {0};
    const struct crn_record *winner = NULL;
    write_log(&job, store);
    struct crn_fault_plan plan = {
        .ops = CRN_FAULT_CREATE, .mode = CRN_FAULT_LOST_REPLY, .at = lost_reply_at};
    crn_fault_store_arm(store, &plan);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i].store = store;
        writers[i].record = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
        crn_record_finish(writers[i].record);
    }
    for (size_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(
            crn_thread_start(&writers[i].thread, "writer", write_once, &writers[i], NULL), 0);
    for (size_t i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(pthread_join(writers[i].thread, NULL), 0);
        if (writers[i].result == 0) {
            ck_assert_ptr_null(winner);
            winner = writers[i].record;
        }
    }
    ck_assert_ptr_nonnull(winner);
    ck_assert(is_stored(store, winner));
    for (size_t i = 0; i < WRITERS; i++) {
        if (writers[i].record != winner) {
            ck_assert_int_eq(writers[i].result, CAIRN_EEXIST);
            ck_assert_mem_eq(writers[i].found->info.uuid, winner->info.uuid, 16);
        }
    }
    for (size_t i = 0; i < WRITERS; i++) {
        crn_record_free(writers[i].found);
        crn_record_free(writers[i].record);
    }
    crn_test_job_done(&job);
    close_store(store);
}

START_TEST(of_many_threads_one_wins)
{
    for (uint64_t at = 0; at < 3 * WRITERS; at++)
        race(at % (WRITERS + 1)); /* 0: no reply is lost */
}
END_TEST

START_TEST(of_many_processes_one_wins)
{
    char root[] = "/tmp/cairn-joblog-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (int round = 0; round < 5; round++) {
        char name[32];
        pid_t children[WRITERS];
        (void)snprintf(name, sizeof name, "job-%d", round);
        for (size_t i = 0; i < WRITERS; i++) {
            children[i] = fork();
            ck_assert_int_ge(children[i], 0);
            if (children[i] == 0) {
                cairn_store *store;
                struct crn_test_job job;
                struct crn_record *found = NULL;
                if (crn_posix_store_open(root, CRN_TRANSFER_AUTO, true, &store, NULL) < 0)
                    _exit(100);
                crn_test_job_init(&job, store, name);
                struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_FENCE);
                crn_record_finish(record);
                _exit(-commit(store, record, &found));
            }
        }
        int winners = 0;
        for (size_t i = 0; i < WRITERS; i++) {
            int status;
            ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
            ck_assert(WIFEXITED(status));
            if (WEXITSTATUS(status) == 0)
                winners++;
            else
                ck_assert_int_eq(WEXITSTATUS(status), -CAIRN_EEXIST);
        }
        ck_assert_int_eq(winners, 1);
    }
    ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
}
END_TEST

/* M07: create-if-absent has no memory of what was removed. */
START_TEST(a_writer_that_recreates_a_removed_id_is_fenced)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_record *found = NULL;
    struct crn_joblog log = {0};
    write_log(&job, store);
    struct crn_record *stalled = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    crn_record_finish(stalled);
    job.epoch = 2;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    for (int i = 0; i < 3; i++) {
        job.log_start = job.head->info.id + 1;
        crn_test_job_commit_kind(&job, CAIRN_RECORD_CHECKPOINT);
    }
    for (uint64_t id = 1; id < job.log_start; id++) {
        char name[CRN_KEY_MAX];
        crn_key_manifest(name, id);
        crn_test_job_remove(&job, name);
    }
    ck_assert_int_eq(commit(store, stalled, &found), CAIRN_EFENCED);
    ck_assert_ptr_null(found);
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(log.head_id, 8);
    ck_assert_uint_eq(log.count, 1); /* the stray record is below the log's begin */
    ck_assert_int_eq(crn_joblog_require_whole(&log, NULL), 0);
    crn_joblog_done(&log);
    crn_record_free(stalled);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* The id was taken by something that cannot be read. What a later release wrote is a successor's;
 * so is anything with another record above it. */
START_TEST(an_unreadable_record_with_one_above_is_a_fence)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_record *found = NULL;
    CRN_AUTO_FREE uint8_t *newer = NULL;
    size_t newer_size;
    write_log(&job, store);
    struct crn_record *late = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    crn_record_finish(late);
    ck_assert_int_eq(crn_file_read_all(CRN_TEST_SOURCE_ROOT "/tests/golden/unsupported-version",
                                       1 << 20, &newer, &newer_size, NULL),
                     0);
    crn_test_job_put(&job, "MANIFEST-chk5", newer, newer_size);
    ck_assert_int_eq(commit(store, late, &found), CAIRN_EFENCED);
    crn_test_job_replace(&job, "MANIFEST-chk5", "not a manifest", 14);
    ck_assert_int_eq(commit(store, late, &found), CAIRN_ECORRUPT);
    crn_test_job_put(&job, "MANIFEST-chk6", "neither", 7);
    struct crn_fault_plan plan = {
        .ops = CRN_FAULT_LIST, .mode = CRN_FAULT_BEFORE, .at = 1, .code = CAIRN_EIO};
    crn_fault_store_arm(store, &plan);
    ck_assert_int_eq(commit(store, late, &found), CAIRN_ECORRUPT); /* it could not look */
    ck_assert_int_eq(commit(store, late, &found), CAIRN_EFENCED);
    ck_assert_ptr_null(found);
    crn_record_free(late);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* --- damaged logs --- */

static void expect_bad(const struct crn_joblog *log, uint64_t id, int code, const char *object)
{
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_joblog_entry *entry = &log->entries[i];
        ck_assert_int_eq(entry->record == NULL, entry->error != NULL);
        ck_assert_int_eq(entry->record == NULL, entry->id == id);
        if (entry->id == id) {
            ck_assert_int_eq(cairn_error_code(entry->error), code);
            ck_assert_str_eq(cairn_error_object(entry->error), object);
        }
    }
    cairn_error *error = NULL;
    ck_assert_int_eq(crn_joblog_require_whole(log, &error), code);
    ck_assert_str_eq(cairn_error_object(error), object);
    cairn_error_free(error);
}

START_TEST(a_missing_record_is_named)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    const struct crn_record *record;
    write_log(&job, store);
    crn_test_job_remove(&job, "MANIFEST-chk2");
    crn_test_job_remove(&job, "MANIFEST-chk3");
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(log.count, 3); /* 1, the gap, 4 */
    expect_bad(&log, 2, CAIRN_EMISSING, "orders/MANIFEST-chk2");
    ck_assert_int_eq(crn_joblog_find(&log, 0, &record, NULL), 0); /* 4 is the newest, no doubt */
    ck_assert_int_eq(crn_joblog_find(&log, 2, &record, NULL), CAIRN_EMISSING);
    crn_joblog_done(&log);

    crn_test_job_remove(&job, "MANIFEST-chk1"); /* the low end counts as well */
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    expect_bad(&log, 1, CAIRN_EMISSING, "orders/MANIFEST-chk1");
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

START_TEST(a_replaced_record_breaks_the_chain)
{
    cairn_store *store = open_store();
    struct crn_test_job job, other;
    struct crn_joblog log = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    write_log(&job, store);
    write_log(&other, store = open_store());
    crn_test_job_get(&other, "MANIFEST-chk2", &bytes); /* whole, of the right id, but not ours */
    close_store(store);
    store = job.store;
    crn_test_job_replace(&job, "MANIFEST-chk2", bytes.data, bytes.size);
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    /* 2 does not continue 1, nor 3 that 2: it cannot be told which is the right one. */
    ck_assert_ptr_nonnull(log.entries[0].record);
    ck_assert_ptr_null(log.entries[1].record);
    ck_assert_ptr_null(log.entries[2].record);
    ck_assert_ptr_nonnull(log.entries[3].record);
    ck_assert_int_eq(cairn_error_code(log.entries[2].error), CAIRN_ECORRUPT);
    ck_assert_str_eq(cairn_error_object(log.entries[2].error), "orders/MANIFEST-chk3");
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    crn_test_job_done(&other);
    close_store(store);
}
END_TEST

START_TEST(a_record_under_a_wrong_id_is_not_believed)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    write_log(&job, store);
    crn_test_job_get(&job, "MANIFEST-chk2", &bytes);
    crn_test_job_put(&job, "MANIFEST-chk5", bytes.data, bytes.size);
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(log.head_id, 5);
    expect_bad(&log, 5, CAIRN_ECORRUPT, "orders/MANIFEST-chk5");
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

START_TEST(a_flip_of_any_bit_of_the_head_is_found)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    const struct crn_record *record;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    write_log(&job, store);
    crn_test_job_get(&job, "MANIFEST-chk4", &bytes);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        struct crn_joblog log = {0};
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        crn_test_job_replace(&job, "MANIFEST-chk4", bytes.data, bytes.size);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
        ck_assert_uint_eq(log.head_id, 4);
        ck_assert_uint_eq(log.count, 4);
        expect_bad(&log, 4, CAIRN_ECORRUPT, "orders/MANIFEST-chk4");
        /* It may be the newest checkpoint: an older one is never taken for it. */
        ck_assert_int_eq(crn_joblog_find(&log, 0, &record, NULL), CAIRN_ECORRUPT);
        ck_assert_int_eq(crn_joblog_find(&log, 2, &record, NULL), 0);
        crn_joblog_done(&log);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        struct crn_joblog log = {0};
        crn_test_job_replace(&job, "MANIFEST-chk4", bytes.data, size);
        ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
        expect_bad(&log, 4, CAIRN_ECORRUPT, "orders/MANIFEST-chk4");
        crn_joblog_done(&log);
    }
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* Made by a later release, its checksum right: not damaged, and the log below it stays usable. */
START_TEST(a_newer_head_is_told_from_a_damaged_one)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    const struct crn_record *record;
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    write_log(&job, store);
    ck_assert_int_eq(crn_file_read_all(CRN_TEST_SOURCE_ROOT "/tests/golden/unsupported-version",
                                       1 << 20, &data, &size, NULL),
                     0);
    crn_test_job_put(&job, "MANIFEST-chk5", data, size);
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(log.head_id, 5);
    ck_assert_uint_eq(log.log_start, 1);
    expect_bad(&log, 5, CAIRN_EVERSION, "orders/MANIFEST-chk5");
    ck_assert_int_eq(crn_joblog_find(&log, 0, &record, NULL), CAIRN_EVERSION);
    ck_assert_int_eq(crn_joblog_find(&log, 4, &record, NULL), 0);
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* Ids and begins are anybody's claim; memory and time must not follow them. */
START_TEST(a_log_of_absurd_length_is_one_gap)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    crn_test_job_init(&job, store, "orders");
    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    record->info.id = UINT64_MAX - 1;
    record->has_previous_hash = true;
    /* Not committed: that misses the record below. */
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_encode(record, &bytes, NULL), 0);
    ck_assert_int_eq(store->ops->create(store, "orders/MANIFEST-chk18446744073709551614",
                                        bytes.data, bytes.size, NULL),
                     0);
    crn_record_free(record);
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(log.count, 2);
    expect_bad(&log, 1, CAIRN_EMISSING, "orders/MANIFEST-chk1");
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* Another job has claimed this one's state and removed its log: a writer that slept through it must
 * not begin a new one, and leaves nothing that looks like a job. */
START_TEST(a_commit_to_a_log_that_was_removed_is_fenced)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_hash128 hash;
    struct crn_record *found = NULL;
    cairn_error *error = NULL;
    crn_test_job_init(&job, store, "orders");
    crn_test_job_commit(&job, crn_test_job_record(&job, CAIRN_RECORD_FENCE));
    const char *keys[] = {"orders/MANIFEST-chk1", "orders/MANIFEST-chk2"};
    struct crn_record *record = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    ck_assert_int_eq(store->ops->remove(store, keys, 1, NULL), 0);
    ck_assert_int_eq(crn_joblog_commit(store, record, &hash, &found, &error), CAIRN_EFENCED);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "claimed"));
    cairn_object_stat stat;
    ck_assert_int_eq(store->ops->stat(store, keys[1], &stat, NULL), CAIRN_ENOTFOUND);
    cairn_error_free(error);
    crn_record_free(record);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* The store's own trouble is not a damage of the log. */
START_TEST(a_store_that_fails_is_not_a_damaged_log)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    write_log(&job, store);
    for (uint64_t k = 1;; k++) {
        struct crn_fault_plan plan = {
            .ops = CRN_FAULT_ANY, .mode = CRN_FAULT_BEFORE, .at = k, .code = CAIRN_EIO};
        crn_fault_store_arm(store, &plan);
        int r = crn_joblog_read(store, "orders", &log, NULL);
        if (!crn_fault_store_fired(store)) {
            ck_assert_int_eq(r, 0);
            ck_assert_uint_eq(k, 6); /* one listing, four records */
            break;
        }
        ck_assert_int_eq(r, CAIRN_EIO);
    }
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* --- reading while the writer goes on --- */

struct mover {
    struct crn_test_job *job;
    atomic_bool stop;
};

static void *move_on(void *arg)
{
    struct mover *mover = arg;
    struct crn_test_job *job = mover->job;
    while (!atomic_load(&mover->stop)) {
        uint64_t old_start = job->log_start;
        job->log_start = job->head->info.id;
        crn_test_job_commit_kind(job, CAIRN_RECORD_CHECKPOINT);
        for (uint64_t id = old_start; id < job->log_start; id++) {
            char name[CRN_KEY_MAX];
            crn_key_manifest(name, id);
            crn_test_job_remove(job, name);
        }
        crn_sleep_us(2000);
    }
    return NULL;
}

START_TEST(a_reader_beside_a_writer_sees_a_whole_log)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct mover mover = {.job = &job};
    pthread_t thread;
    write_log(&job, store);
    ck_assert_int_eq(crn_thread_start(&thread, "mover", move_on, &mover, NULL), 0);
    uint64_t last = 0;
    for (uint64_t end_us = crn_now_us() + 500000; crn_now_us() < end_us;) {
        struct crn_joblog log = {0};
        cairn_error *error = NULL;
        ck_assert_int_eq(crn_joblog_read(store, "orders", &log, &error), 0);
        int r = crn_joblog_require_whole(&log, &error);
        ck_assert_msg(r == 0, "%s", cairn_error_message(error));
        ck_assert_uint_ge(log.head_id, last);
        last = log.head_id;
        crn_joblog_done(&log);
    }
    atomic_store(&mover.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_gt(last, 4);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* A store whose first listing falls between two steps of a writer: it has the names as they were,
 * and looks for the objects when the only record was replaced by its successor. */
struct late_listing {
    cairn_store store;
    cairn_store *inner;
    struct crn_test_job *job;
    int listings;
};

static int list_late(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                     cairn_error **reterr)
{
    struct late_listing *late = (struct late_listing *)store;
    if (late->listings++ > 0)
        return late->inner->ops->list(late->inner, prefix, fn, context, reterr);
    late->job->log_start = late->job->head->info.id + 1;
    crn_test_job_commit_kind(late->job, CAIRN_RECORD_FENCE);
    crn_test_job_remove(late->job, "MANIFEST-chk1");
    return 0;
}

static int get_inner(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                     cairn_sink *sink, cairn_error **reterr)
{
    cairn_store *inner = ((struct late_listing *)store)->inner;
    return inner->ops->get(inner, key, offset, size, sink, reterr);
}

START_TEST(a_log_of_one_record_does_not_vanish_when_that_is_replaced)
{
    static const cairn_store_ops ops = {
        .struct_size = sizeof ops, .get = get_inner, .list = list_late};
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_joblog log = {0};
    crn_test_job_init(&job, store, "orders");
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    struct late_listing late = {.store = {&ops}, .inner = store, .job = &job};

    ck_assert_int_eq(crn_joblog_read(&late.store, "orders", &log, NULL), 0);
    ck_assert_uint_eq(log.count, 1);
    ck_assert_uint_eq(log.head_id, 2);
    ck_assert_int_eq(crn_joblog_require_whole(&log, NULL), 0);
    crn_joblog_done(&log);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("joblog");
    TCase *tcase = tcase_create("log");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_log_is_read_as_it_was_written);
    tcase_add_loop_test(tcase, a_commit_reports_the_truth_whatever_call_fails, 0,
                        (int)CRN_COUNT(faults));
    tcase_add_loop_test(tcase, a_taken_id_is_never_claimed_whatever_call_fails, 0,
                        (int)CRN_COUNT(faults));
    tcase_add_test(tcase, of_many_threads_one_wins);
    tcase_add_test(tcase, of_many_processes_one_wins);
    tcase_add_test(tcase, a_writer_that_recreates_a_removed_id_is_fenced);
    tcase_add_test(tcase, an_unreadable_record_with_one_above_is_a_fence);
    tcase_add_test(tcase, a_missing_record_is_named);
    tcase_add_test(tcase, a_replaced_record_breaks_the_chain);
    tcase_add_test(tcase, a_record_under_a_wrong_id_is_not_believed);
    tcase_add_test(tcase, a_flip_of_any_bit_of_the_head_is_found);
    tcase_add_test(tcase, a_newer_head_is_told_from_a_damaged_one);
    tcase_add_test(tcase, a_log_of_absurd_length_is_one_gap);
    tcase_add_test(tcase, a_commit_to_a_log_that_was_removed_is_fenced);
    tcase_add_test(tcase, a_store_that_fails_is_not_a_damaged_log);
    tcase_add_test(tcase, a_reader_beside_a_writer_sees_a_whole_log);
    tcase_add_test(tcase, a_log_of_one_record_does_not_vanish_when_that_is_replaced);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
