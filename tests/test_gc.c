/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that garbage collection removes everything that is dead (P6) and nothing else (P5):
 *
 *  - exact listings before and after, foreign objects untouched;
 *  - random jobs against a brute-force union of what the retained manifests name;
 *  - every interleaving of a job's upload and commit with the collector's store calls: either the
 * commit is refused, or everything that it references is there;
 *  - every store call of a collection fails once, in each way, or kills the process: a second run
 * ends clean, and the job can commit in between;
 *  - a log that lost any of its records: nothing is removed, and the error says what is missing.
 *
 * Several cases are small forms of bugs that other systems had; their names stand at the tests.
 */

#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/log/joblog.h"
#include "tests/support/odd_store.h"
#include "tests/support/records.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <signal.h>
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

static int collect(cairn_store *store, const cairn_gc_options *options, cairn_gc_report *report)
{
    cairn_error *error = NULL;
    int r = cairn_gc(store, "orders", options, report, &error);
    ck_assert_int_eq(r, cairn_error_code(error));
    cairn_error_free(error);
    return r;
}

/* No problem in any retained checkpoint, down to the last byte. */
static void check_whole(cairn_store *store)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_error *error = NULL;
    options.full = 1;
    options.threads = 1;
    int r = cairn_verify(store, "orders", &options, NULL, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
}

static void check_clean(cairn_store *store)
{
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), 0);
    ck_assert_uint_eq(usage.dead_count, 0);
    ck_assert_uint_eq(usage.unresolved_count, 0);
    ck_assert_uint_eq(usage.missing_count, 0);
}

static void check_listing(const struct crn_test_job *job, const char *expected)
{
    CRN_AUTO_FREE char *listing = crn_test_job_listing(job);
    ck_assert_str_eq(listing, expected);
}

/* --- what goes and what stays --- */

struct told {
    struct cairn_buffer text;
    uint64_t bytes;
};

static void tell(void *context, const char *object, uint64_t size)
{
    struct told *told = context;
    ck_assert_int_eq(crn_buf_printf(&told->text, "%s\n", object), 0);
    told->bytes += size;
}

START_TEST(what_is_dead_goes_and_nothing_else)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    struct told told = {0};
    crn_test_job_write(&job, store, "orders");
    job.log_start = 4;
    crn_test_job_remove(&job, "shared/e1-c5-40.sst");
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE); /* 5: from here on only 4 is retained */
    options.object = tell;
    options.context = &told;
    ck_assert_int_eq(collect(store, &options, &report), 0);
    ck_assert_str_eq((const char *)told.text.data, "MANIFEST-chk1\nMANIFEST-chk2\nMANIFEST-chk3\n"
                                                   "chk-2/e1-c2-1003-MANIFEST-000005\n"
                                                   "shared/e1-c2-9.sst\nshared/e1-c3-30.sst\n");
    ck_assert_uint_eq(report.removed_count, 6);
    ck_assert_uint_eq(report.removed_bytes, told.bytes);
    check_listing(&job, "MANIFEST-chk07\nMANIFEST-chk4\nMANIFEST-chk5\nchk-2/e1-c4-1\n"
                        "chk-4/e1-c4-1003-MANIFEST-000005\nnotes.txt\nshared/e01-c2-8.sst\n"
                        "shared/e1-c2-10.sst\nshared/e1-c2-8.sst\nshared/e1-c4-11.sst\n");
    check_whole(store);
    check_clean(store);

    ck_assert_int_eq(collect(store, NULL, &report), 0); /* again: nothing to do */
    ck_assert_uint_eq(report.removed_count, 0);
    ck_assert_uint_eq(job.head->info.id, 5);
    crn_buf_done(&told.text);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

START_TEST(what_is_in_flight_is_aborted_first)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_record *found = NULL;
    struct crn_hash128 hash;
    crn_test_job_write(&job, store, "orders");
    struct crn_record *flying = crn_test_job_record(&job, CAIRN_RECORD_CHECKPOINT);
    crn_record_finish(flying);
    ck_assert_int_eq(collect(store, NULL, NULL), 0);
    ck_assert(!crn_test_job_has(&job, "shared/e1-c5-40.sst"));

    ck_assert_int_eq(crn_joblog_commit(store, flying, &hash, &found, NULL), CAIRN_EEXIST);
    ck_assert_int_eq(crn_log_judge_collision(flying, found), CRN_COLLISION_ABORTED);
    ck_assert_uint_eq(found->info.epoch, flying->info.epoch); /* an abort, never a fence */
    ck_assert_ptr_nonnull(strstr(found->info.reason, "garbage collection"));
    ck_assert_uint_eq(found->info.log_start, 1);
    ck_assert_uint_eq(found->history_count, 4);
    crn_record_free(found);
    crn_record_free(flying);
    check_whole(store);
    check_clean(store);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

START_TEST(a_dry_run_and_a_careful_run_change_less)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    crn_test_job_write(&job, store, "orders");
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    options.dry_run = 1;
    ck_assert_int_eq(collect(store, &options, &report), 0);
    ck_assert_uint_eq(report.removed_count, 2); /* what 3 left, and what flies */
    ck_assert_uint_eq(report.removed_bytes, 10);
    check_listing(&job, before);
    options.keep_unresolved = 1;
    ck_assert_int_eq(collect(store, &options, &report), 0);
    ck_assert_uint_eq(report.removed_count, 1);
    ck_assert_uint_eq(report.kept_unresolved, 1);
    check_listing(&job, before);
    options.dry_run = 0;
    ck_assert_int_eq(collect(store, &options, &report), 0);
    ck_assert_uint_eq(report.removed_count, 1);
    ck_assert_uint_eq(report.kept_unresolved, 1);
    ck_assert(crn_test_job_has(&job, "shared/e1-c5-40.sst"));
    ck_assert(!crn_test_job_has(&job, "shared/e1-c3-30.sst"));
    ck_assert(!crn_test_job_has(&job, "MANIFEST-chk5"));
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* M10 (risingwave#16260), M11 (arroyo#689): what is retained is the union over all retained
 * records, each with its own files. */
static uint64_t seed;

static uint64_t below(uint64_t n)
{
    return crn_test_random(&seed) % n;
}

static void random_checkpoint(struct crn_test_job *job, struct crn_record *const *kept,
                              size_t kept_count)
{
    struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
    const struct crn_record *base = kept_count > 0 ? kept[below(kept_count)] : NULL;
    record->info.base_id = base != NULL ? base->info.id : 0;
    for (uint32_t o = 0; o < 2; o++) {
        const char *uid = o == 0 ? "count" : "other"; /* with states of the same names */
        struct crn_subtask *subtask = crn_test_job_subtask(record, uid);
        for (size_t f = 0; base != NULL && f < base->operators[o].subtasks[0].file_count; f++) {
            if (below(3) != 0)
                (void)crn_test_job_reuse(subtask, &base->operators[o].subtasks[0].files[f]);
        }
        for (uint64_t n = below(4); n > 0; n--)
            (void)crn_test_job_table(job, record, subtask, record->info.id * 10 + 5 * o + n,
                                     "table");
    }
    crn_test_job_commit(job, record);
}

static bool is_named(struct crn_record *const *kept, size_t kept_count, const char *key)
{
    for (size_t i = 0; i < kept_count; i++) {
        for (size_t o = 0; o < kept[i]->operator_count; o++) {
            const struct crn_subtask *subtask = &kept[i]->operators[o].subtasks[0];
            for (size_t f = 0; f < subtask->file_count; f++) {
                if (strcmp(subtask->files[f].info.object, key) == 0)
                    return true;
            }
        }
    }
    return false;
}

START_TEST(what_stays_is_the_union_of_all_retained)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    struct crn_record *kept[16];
    size_t count = 0;
    seed += (uint64_t)_i;
    crn_test_job_init(&job, store, "orders");
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    for (int round = 0; round < 10; round++) {
        random_checkpoint(&job, kept, count);
        struct crn_joblog log = {0};
        ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
        kept[count++] = CRN_TAKE(log.entries[log.count - 1].record);
        crn_joblog_done(&log);
    }
    size_t dropped = below(count);
    for (size_t i = 0; i < dropped; i++)
        crn_record_free(kept[i]);
    job.log_start = kept[dropped]->info.id;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
    CRN_AUTO_FREE char *before = crn_test_job_listing(&job);
    ck_assert_int_eq(collect(store, NULL, NULL), 0);
    char *rest = before;
    for (char *key; (key = strsep(&rest, "\n")) != NULL && *key != 0;) {
        struct crn_key_info info = crn_key_parse(key);
        bool stays = info.type == CRN_KEY_MANIFEST ? info.id >= job.log_start
                                                   : is_named(kept + dropped, count - dropped, key);
        ck_assert_msg(crn_test_job_has(&job, key) == stays, "'%s'", key);
    }
    check_whole(store);
    for (size_t i = dropped; i < count; i++)
        crn_record_free(kept[i]);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* --- interleavings --- */

/* A store that lets the test do something before each call. */
struct hook_store {
    cairn_store store;
    cairn_store *inner;
    uint64_t calls;
    void (*before)(void *context, uint64_t call);
    void *context;
};

static cairn_store *hooked(cairn_store *store)
{
    struct hook_store *hook = (struct hook_store *)store;
    uint64_t call = ++hook->calls;
    if (hook->before != NULL)
        hook->before(hook->context, call);
    return hook->inner;
}

static int hook_create(cairn_store *store, const char *key, const void *data, size_t size,
                       cairn_error **reterr)
{
    cairn_store *inner = hooked(store);
    return inner->ops->create(inner, key, data, size, reterr);
}

static int hook_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                    cairn_sink *sink, cairn_error **reterr)
{
    cairn_store *inner = hooked(store);
    return inner->ops->get(inner, key, offset, size, sink, reterr);
}

static int hook_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                     cairn_error **reterr)
{
    cairn_store *inner = hooked(store);
    return inner->ops->stat(inner, key, ret_stat, reterr);
}

static int hook_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                     cairn_error **reterr)
{
    cairn_store *inner = hooked(store);
    return inner->ops->list(inner, prefix, fn, context, reterr);
}

static int hook_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr)
{
    cairn_store *inner = hooked(store);
    return inner->ops->remove(inner, keys, n, reterr);
}

static const cairn_store_ops hook_ops = {.struct_size = sizeof(cairn_store_ops),
                                         .scheme = "hook",
                                         .create = hook_create,
                                         .get = hook_get,
                                         .stat = hook_stat,
                                         .list = hook_list,
                                         .remove = hook_remove};

/* A job that uploads before the collector's call `upload_at` and commits before its call
 * `commit_at`. */
struct racing_job {
    struct crn_test_job *job;
    uint64_t upload_at, commit_at;
    struct crn_record *record;
    int result;
};

static void upload_step(struct racing_job *racing)
{
    struct crn_test_job *job = racing->job;
    struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
    record->info.base_id = 4;
    struct crn_subtask *subtask = crn_test_job_subtask(record, "count");
    (void)crn_test_job_reuse(subtask, crn_test_job_file(job->head, "count", 0, "000011.sst"));
    (void)crn_test_job_table(job, record, subtask, 50, "epsilon");
    crn_record_finish(record);
    racing->record = record;
}

static void commit_step(struct racing_job *racing)
{
    struct crn_record *found = NULL;
    struct crn_hash128 hash;
    racing->result = crn_joblog_commit(racing->job->store, racing->record, &hash, &found, NULL);
    if (racing->result == CAIRN_EEXIST)
        ck_assert_int_eq(crn_log_judge_collision(racing->record, found), CRN_COLLISION_ABORTED);
    else
        ck_assert_int_eq(racing->result, 0);
    crn_record_free(found);
}

static void job_steps(void *context, uint64_t call)
{
    struct racing_job *racing = context;
    if (call == racing->upload_at)
        upload_step(racing);
    if (call == racing->commit_at)
        commit_step(racing);
}

/* false: the collection made fewer calls than upload_at. */
static bool interleave(uint64_t upload_at, uint64_t commit_at, int *ret_result)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    crn_test_job_write(&job, store, "orders");
    crn_test_job_remove(&job, "shared/e1-c5-40.sst");
    struct racing_job racing = {.job = &job, .upload_at = upload_at, .commit_at = commit_at};
    struct hook_store hook = {
        .store.ops = &hook_ops, .inner = store, .before = job_steps, .context = &racing};
    ck_assert_int_eq(cairn_gc(&hook.store, "orders", NULL, NULL, NULL), 0);
    bool reached = hook.calls >= upload_at;
    if (racing.record == NULL)
        upload_step(&racing);
    if (hook.calls < commit_at)
        commit_step(&racing);
    check_whole(store); /* whatever was committed is there */
    ck_assert_int_eq(crn_test_job_has(&job, "shared/e1-c5-50.sst") || racing.result != 0, 1);
    ck_assert_int_eq(collect(store, NULL, NULL), 0);
    check_whole(store);
    check_clean(store);
    *ret_result = racing.result;
    crn_record_free(racing.record);
    crn_test_job_done(&job);
    close_store(store);
    return reached;
}

/* M05 (SPARK-55892), M09 (risingwave#1583). */
START_TEST(a_commit_beside_a_collection_is_whole_or_refused)
{
    unsigned committed = 0, refused = 0;
    bool reached = true;
    for (uint64_t upload_at = 1; reached; upload_at++) {
        for (uint64_t commit_at = upload_at; commit_at <= upload_at + 20; commit_at++) {
            int result;
            reached = interleave(upload_at, commit_at, &result);
            committed += result == 0;
            refused += result != 0;
        }
    }
    ck_assert_uint_gt(committed, 0); /* both outcomes were met */
    ck_assert_uint_gt(refused, 0);
}
END_TEST

/* --- faults --- */

static const enum crn_fault_mode modes[] = {CRN_FAULT_BEFORE, CRN_FAULT_SHORT,
                                            CRN_FAULT_LOST_REPLY};

static void commit_next(cairn_store *store)
{
    struct crn_joblog log = {0};
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    struct crn_test_job job;
    crn_test_job_init(&job, store, "orders");
    job.head = CRN_TAKE(log.entries[log.count - 1].record);
    job.head_hash = log.head_hash;
    job.log_start = log.log_start;
    crn_joblog_done(&log);
    crn_test_job_commit_kind(&job, CAIRN_RECORD_CHECKPOINT);
    crn_test_job_done(&job);
}

/* M12 (arroyo#1086): a collection that dies wedges nothing. */
START_TEST(a_collection_that_failed_is_finished_by_the_next)
{
    for (uint64_t k = 1;; k++) {
        cairn_store *store = open_store();
        struct crn_test_job job;
        crn_test_job_write(&job, store, "orders");
        struct crn_fault_plan plan = {
            .ops = CRN_FAULT_ANY, .mode = modes[_i], .at = k, .code = CAIRN_EIO};
        crn_fault_store_arm(store, &plan);
        (void)collect(store, NULL, NULL);
        bool fired = crn_fault_store_fired(store);
        plan.mode = CRN_FAULT_NEVER;
        crn_fault_store_arm(store, &plan);
        check_whole(store);
        commit_next(store);
        check_whole(store);
        ck_assert_int_eq(collect(store, NULL, NULL), 0);
        check_whole(store);
        check_clean(store);
        crn_test_job_done(&job);
        close_store(store);
        if (!fired) {
            ck_assert_uint_gt(k, 10);
            break;
        }
    }
}
END_TEST

/* The same by the death of the process, over a directory. true: it was killed at call k. */
static bool kill_collection(const char *root, uint64_t k)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        cairn_store *inner, *store;
        if (crn_posix_store_open(root, CRN_TRANSFER_AUTO, false, &inner, NULL) < 0 ||
            crn_fault_store_open(inner, &store, NULL) < 0)
            _exit(100);
        struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY, .mode = CRN_FAULT_KILL, .at = k};
        crn_fault_store_arm(store, &plan);
        _exit(cairn_gc(store, "orders", NULL, NULL, NULL) == 0 ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        ck_assert_int_eq(WTERMSIG(status), SIGKILL);
        return true;
    }
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    return false;
}

START_TEST(a_collection_that_was_killed_is_finished_by_the_next)
{
    bool killed = true;
    for (uint64_t k = 1; killed; k++) {
        char root[] = "/tmp/cairn-gc-XXXXXX";
        cairn_store *store;
        struct crn_test_job job;
        ck_assert_ptr_nonnull(mkdtemp(root));
        ck_assert_int_eq(crn_posix_store_open(root, CRN_TRANSFER_AUTO, true, &store, NULL), 0);
        crn_test_job_write(&job, store, "orders");
        killed = kill_collection(root, k);
        check_whole(store);
        commit_next(store);
        ck_assert_int_eq(collect(store, NULL, NULL), 0);
        check_whole(store);
        check_clean(store);
        crn_test_job_done(&job);
        close_store(store);
        ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
    }
}
END_TEST

/* --- M13 (feldera#5803): a lost catalog is not an empty one --- */

enum damage { DAMAGE_REMOVE, DAMAGE_EMPTY, DAMAGE_CORRUPT, DAMAGE_KINDS };

static void damage(const struct crn_test_job *job, const char *object, enum damage how)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    crn_test_job_get(job, object, &bytes);
    bytes.data[bytes.size / 2] ^= 0x40;
    crn_test_job_remove(job, object);
    if (how != DAMAGE_REMOVE)
        crn_test_job_put(job, object, bytes.data, how == DAMAGE_EMPTY ? 0 : bytes.size);
}

static void check_refusal(const struct crn_test_job *job)
{
    cairn_error *error = NULL;
    CRN_AUTO_FREE char *before = crn_test_job_listing(job);
    int r = cairn_gc(job->store, "orders", NULL, NULL, &error);
    ck_assert_int_eq(cairn_error_class_of(r), CAIRN_CLASS_DATA);
    ck_assert_str_ne(cairn_error_object(error), "");
    cairn_error_free(error);
    check_listing(job, before);
}

/* A job that has run for a while: two checkpoints retained, everything before them removed. */
static void write_settled(struct crn_test_job *job, cairn_store *store)
{
    crn_test_job_write(job, store, "orders");
    job->log_start = 2;
    ck_assert_int_eq(collect(store, NULL, NULL), 0); /* 5: its own abort */
    struct crn_joblog log = {0};
    ck_assert_int_eq(crn_joblog_read(store, "orders", &log, NULL), 0);
    crn_record_free(job->head);
    job->head = CRN_TAKE(log.entries[log.count - 1].record);
    job->head_hash = log.head_hash;
    crn_joblog_done(&log);
    for (int i = 0; i < 2; i++) {
        struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
        struct crn_subtask *subtask = crn_test_job_subtask(record, "count");
        (void)crn_test_job_table(job, record, subtask, 60 + (uint64_t)i, "zeta");
        record->info.log_start = i == 0 ? 4 : 6;
        record->has_previous_hash = true;
        crn_test_job_commit(job, record);
        ck_assert_int_eq(collect(store, NULL, NULL), 0);
    }
    check_listing(job, "MANIFEST-chk07\nMANIFEST-chk6\nMANIFEST-chk7\nchk-2/e1-c4-1\nnotes.txt\n"
                       "shared/e01-c2-8.sst\nshared/e1-c6-60.sst\nshared/e1-c7-61.sst\n");
}

START_TEST(a_lost_log_stops_the_collection)
{
    static const char *const newest[] = {"MANIFEST-chk7"};
    static const char *const all[] = {"MANIFEST-chk6", "MANIFEST-chk7"};
    for (int how = 0; how < DAMAGE_KINDS; how++) {
        for (size_t n = 1; n <= 2; n++) {
            cairn_store *store = open_store();
            struct crn_test_job job;
            write_settled(&job, store);
            for (size_t i = 0; i < n; i++)
                damage(&job, n == 1 ? newest[i] : all[i], (enum damage)how);
            check_refusal(&job);
            crn_test_job_done(&job);
            close_store(store);
        }
    }
}
END_TEST

START_TEST(any_lost_record_stops_the_collection)
{
    static const char *const records[] = {"MANIFEST-chk1", "MANIFEST-chk2", "MANIFEST-chk3"};
    for (int how = 0; how < DAMAGE_KINDS; how++) {
        for (size_t i = 0; i < CRN_COUNT(records); i++) {
            cairn_store *store = open_store();
            struct crn_test_job job;
            crn_test_job_write(&job, store, "orders");
            damage(&job, records[i], (enum damage)how);
            check_refusal(&job);
            crn_test_job_done(&job);
            close_store(store);
        }
    }
}
END_TEST

/* Objects far above the head: the records that they came with are gone. */
START_TEST(objects_above_the_next_id_stop_the_collection)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    crn_test_job_write(&job, store, "orders");
    crn_test_job_put(&job, "shared/e1-c6-70.sst", "eta", 3);
    check_refusal(&job);
    crn_test_job_remove(&job, "shared/e1-c6-70.sst");
    ck_assert_int_eq(collect(store, NULL, NULL), 0);
    ck_assert_int_eq(cairn_gc(store, "payments", NULL, NULL, NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_gc(store, "../orders", NULL, NULL, NULL), CAIRN_EINVAL);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

/* One key that stays, of either kind: the first failure is reported, and all others are gone. */
START_TEST(a_key_that_stays_keeps_no_other)
{
    static const char *const stuck[] = {"orders/MANIFEST-chk1", "orders/shared/e1-c2-9.sst"};
    for (size_t i = 0; i < CRN_COUNT(stuck); i++) {
        cairn_store *store = open_store();
        cairn_store *odd = odd_store_open(store);
        struct crn_test_job job;
        cairn_gc_report report = CAIRN_GC_REPORT_INIT;
        cairn_usage usage = CAIRN_USAGE_INIT;
        crn_test_job_write(&job, store, "orders");
        job.log_start = 4;
        crn_test_job_remove(&job, "shared/e1-c5-40.sst");
        crn_test_job_commit_kind(&job, CAIRN_RECORD_FENCE);
        odd_store_refuse(odd, CRN_FAULT_REMOVE, stuck[i], CAIRN_EACCES);
        ck_assert_int_eq(collect(odd, NULL, &report), CAIRN_EACCES);
        ck_assert_int_eq(cairn_job_usage(store, "orders", &usage, NULL), 0);
        ck_assert_uint_eq(usage.dead_count, 1);
        ck_assert(crn_test_job_has(&job, stuck[i] + strlen("orders/")));
        check_whole(store);
        odd_store_refuse(odd, 0, NULL, 0);
        ck_assert_int_eq(collect(odd, NULL, &report), 0);
        ck_assert_uint_eq(report.removed_count, 1);
        check_clean(store);
        crn_test_job_done(&job);
        close_store(odd);
        close_store(store);
    }
}
END_TEST

/* A store that does not answer is not asked again for every batch. */
START_TEST(a_store_that_is_out_ends_the_collection)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    crn_test_job_write(&job, store, "orders");
    job.log_start = 4;
    crn_test_job_commit_kind(&job, CAIRN_RECORD_ABORTED);
    crn_fault_store_arm(store, &(struct crn_fault_plan){.ops = CRN_FAULT_REMOVE,
                                                        .mode = CRN_FAULT_BEFORE,
                                                        .at = 1,
                                                        .and_after = true,
                                                        .code = CAIRN_EUNAVAIL});
    ck_assert_int_eq(collect(store, NULL, NULL), CAIRN_EUNAVAIL);
    ck_assert_uint_eq(crn_fault_store_calls(store), 1);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

START_TEST(more_than_a_batch_goes)
{
    cairn_store *store = open_store();
    struct crn_test_job job;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    crn_test_job_write(&job, store, "orders");
    for (uint64_t i = 0; i < 2500; i++) {
        char key[CRN_KEY_MAX];
        crn_key_object(key, true, 1, 3, 100 + i, "x.sst");
        crn_test_job_put(&job, key, "x", 1);
    }
    ck_assert_int_eq(collect(store, NULL, &report), 0);
    ck_assert_uint_eq(report.removed_count, 2502);
    check_whole(store);
    check_clean(store);
    crn_test_job_done(&job);
    close_store(store);
}
END_TEST

int main(void)
{
    seed = crn_test_seed();
    Suite *suite = suite_create("gc");
    TCase *tcase = tcase_create("gc");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_is_dead_goes_and_nothing_else);
    tcase_add_test(tcase, what_is_in_flight_is_aborted_first);
    tcase_add_test(tcase, a_dry_run_and_a_careful_run_change_less);
    tcase_add_loop_test(tcase, what_stays_is_the_union_of_all_retained, 0, 20);
    tcase_add_test(tcase, a_commit_beside_a_collection_is_whole_or_refused);
    tcase_add_loop_test(tcase, a_collection_that_failed_is_finished_by_the_next, 0,
                        (int)CRN_COUNT(modes));
    tcase_add_test(tcase, a_collection_that_was_killed_is_finished_by_the_next);
    tcase_add_test(tcase, a_lost_log_stops_the_collection);
    tcase_add_test(tcase, any_lost_record_stops_the_collection);
    tcase_add_test(tcase, objects_above_the_next_id_stop_the_collection);
    tcase_add_test(tcase, a_key_that_stays_keeps_no_other);
    tcase_add_test(tcase, a_store_that_is_out_ends_the_collection);
    tcase_add_test(tcase, more_than_a_batch_goes);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
