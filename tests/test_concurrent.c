/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that checkpoints may overlap (P1, P2, P4, P5, P6, P7): each holds the state at its own
 * barriers, whichever is done first; what one in flight references stays until it is resolved,
 * whatever is completed, aborted, collected or taken over meanwhile; and an attempt that was too
 * slow is no failure, its request is served by the newer one. Method: a store that holds the
 * uploads of each attempt until the test lets them go, so that all orders are tried; after each the
 * state is compared with what it was at the barrier, and not an object is missing or left over. The
 * fake backend over the memory store, and one life with RocksDB.
 */
#include "tests/support/gate_store.h"
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

#define IDS 24

static struct fixture f;
static cairn_store *shared, *gate; /* what is stored, and the job's view of it */
static struct subject s;
static struct oracle now;     /* the running state */
static struct oracle at[IDS]; /* of each id, at its barriers */
static uint64_t last;         /* newest id that was begun */
static uint64_t random_state;
static uint64_t completed, aborted; /* ids of the newest such events of task 0 */
static char log_text[16384];
static struct crn_mutex log_lock;

static void note_line(void *context, const cairn_log_line *line)
{
    (void)context;
    crn_mutex_lock(&log_lock);
    size_t n = strlen(log_text);
    (void)snprintf(log_text + n, sizeof log_text - n, "%d %s\n", (int)line->level, line->message);
    crn_mutex_unlock(&log_lock);
}

static void setup_on(bool on_disk)
{
    fixture_init(&f, on_disk);
    crn_mutex_init(&log_lock, CRN_RANK_LEAF);
    log_text[0] = 0;
    shared = f.store;
    gate = f.store = f.options.store = gate_store_open(shared);
    f.options.max_concurrent = 3;
    f.options.num_retained = 1;
    f.options.transfer_threads = 128; /* held uploads keep theirs */
    f.options.log = note_line;
    oracle_init(&now);
    random_state = 7;
    last = completed = aborted = 0;
}

static void setup(void)
{
    setup_on(false);
}

static void setup_disk(void)
{
    setup_on(true);
}

static void teardown(void)
{
    crn_mutex_done(&log_lock);
    cairn_store_close(gate);
    f.store = shared;
    fixture_done(&f);
}

/* Two complete checkpoints: 2 and 3 of a job that starts for the first time. */
static void open_with_base(void)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (int i = 0; i < 2; i++) {
        oracle_mutate(&now, &s, &random_state, 40);
        ck_ok(subject_checkpoint(&s, false, &info, reterr));
        at[info.id] = now;
    }
    last = completed = info.id;
    ck_assert_uint_eq(last, 3);
}

static void poll_once(unsigned task, cairn_event *ret)
{
    ck_ok(cairn_task_poll(s.tasks[task], ret, reterr));
    if (task != 0)
        return;
    if (ret->type == CAIRN_EVENT_COMPLETED)
        completed = ret->checkpoint_id;
    if (ret->type == CAIRN_EVENT_ABORTED)
        aborted = ret->checkpoint_id;
}

static void poll_until(const uint64_t *event, uint64_t id)
{
    while (*event < id) {
        cairn_event ignored;
        for (unsigned t = 0; t < SUBJECT_TASKS; t++)
            poll_once(t, &ignored);
        crn_sleep_us(100);
    }
    ck_assert_uint_eq(*event, id);
}

/* Every task takes this barrier. */
static void take_barriers(uint64_t id)
{
    for (unsigned taken = 0; taken < SUBJECT_TASKS;) {
        cairn_event event;
        for (unsigned t = 0; t < SUBJECT_TASKS; t++) {
            poll_once(t, &event);
            if (event.type == CAIRN_EVENT_BARRIER) {
                ck_assert_uint_eq(event.checkpoint_id, id);
                taken++;
            }
        }
        crn_sleep_us(100);
    }
}

/* Each part has a base and is uploading. */
static void wait_captured(uint64_t id)
{
    for (bool all = false; !all;) {
        crn_mutex_lock(&s.job->lock);
        const struct crn_attempt *attempt = crn_flight_find_locked(s.job, id);
        ck_assert_ptr_nonnull(attempt);
        all = true;
        for (size_t i = 0; i < attempt->part_count; i++)
            all = all && attempt->parts[i].has_base;
        crn_mutex_unlock(&s.job->lock);
        crn_sleep_us(100);
    }
}

/* The next checkpoint will be of changed state, and will not end before it is released. */
static void change_and_hold(void)
{
    last++;
    gate_hold(gate, last);
    oracle_mutate(&now, &s, &random_state, 12);
    at[last] = now;
}

static void wait_in_flight(void)
{
    take_barriers(last);
    wait_captured(last);
    gate_wait_held(gate, last, SUBJECT_TASKS);
}

static uint64_t begin(bool full)
{
    const cairn_trigger_options options = {.struct_size = sizeof options, .full = full};
    change_and_hold();
    ck_ok(cairn_job_trigger(s.job, &options, reterr));
    wait_in_flight();
    return last;
}

static void complete(uint64_t id)
{
    gate_release(gate, id);
    poll_until(&completed, id);
}

static const cairn_record_info *find_record(const cairn_log *log, uint64_t id)
{
    for (size_t i = 0; i < cairn_log_size(log); i++)
        if (cairn_log_at(log, i)->id == id)
            return cairn_log_at(log, i);
    ck_abort_msg("no record of %llu", (unsigned long long)id);
}

static void check_record(uint64_t id, cairn_record_kind kind, const char *reason)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(shared, "job", &log, reterr));
    const cairn_record_info *record = find_record(log, id);
    ck_assert_int_eq(record->kind, kind);
    ck_assert_msg(strstr(record->reason, reason) != NULL, "'%s', not '%s'", record->reason, reason);
    cairn_log_close(log);
}

static uint64_t base_of(uint64_t id)
{
    cairn_log *log = NULL;
    ck_ok(cairn_log_open(shared, "job", &log, reterr));
    uint64_t base_id = find_record(log, id)->base_id;
    cairn_log_close(log);
    return base_id;
}

static bool has_manifest(uint64_t id)
{
    char key[64];
    (void)snprintf(key, sizeof key, "job/MANIFEST-chk%llu", (unsigned long long)id);
    return store_has(shared, key);
}

/* Objects that the newest checkpoint references and that were stored for `id`. */
static size_t count_shared_with(uint64_t id)
{
    struct crn_joblog log = {0};
    const struct crn_record *record = NULL;
    const char **live = NULL;
    size_t count = 0, found = 0;
    ck_ok(crn_joblog_read(shared, "job", &log, reterr));
    ck_ok(crn_joblog_find(&log, 0, &record, reterr));
    ck_assert_int_eq(crn_log_live_objects(&record, 1, &live, &count), 0);
    for (size_t i = 0; i < count; i++)
        found += crn_key_parse(live[i]).id == id;
    free(live);
    crn_joblog_done(&log);
    return found;
}

/* What a crash right now would leave: it starts with that checkpoint, and nothing is left over. */
static void check_crash(uint64_t id)
{
    struct fixture other = f;
    struct subject found;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "crash");
    cairn_store *left = store_clone(shared);
    other.store = other.options.store = left;
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &found, reterr));
    ck_assert_int_eq(cairn_job_restored(found.job, &info), 1);
    ck_assert_uint_eq(info.id, id);
    const char *why = oracle_compare(&at[id], &found);
    ck_assert_msg(why == NULL, "after a crash: %s", why);
    store_check_tidy(left, "job");
    ck_ok(subject_checkpoint(&found, false, &info, reterr)); /* the next id is free */
    subject_close(&found);
    store_check_tidy(left, "job");
    cairn_store_close(left);
}

/* Everything that is complete is whole, in every byte. */
static void check_whole(void)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    options.full = 1;
    ck_ok(cairn_verify(shared, "job", &options, NULL, reterr));
}

/* The job goes on; then nothing is left that is of no use, and the state is what it should be. */
static void check_end(void)
{
    oracle_mutate(&now, &s, &random_state, 5);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    store_check_tidy(shared, "job");
    check_whole();
    oracle_check_store(&now, &f, shared, "job");
}

/* ------------------------------------------------------------------------------------------ *
 * Bases (P4, P5)
 * ------------------------------------------------------------------------------------------ */

/* Two on one base; the first is completed, which would subsume the base. */
START_TEST(test_the_base_of_one_in_flight_stays)
{
    open_with_base();
    uint64_t first = begin(false), second = begin(false);
    complete(first);
    ck_assert(has_manifest(3)); /* though one is retained, and that is `first` */
    ck_assert(has_manifest(first));
    check_whole();
    check_crash(first);
    complete(second);
    ck_assert(!has_manifest(3));
    ck_assert(!has_manifest(first));
    ck_assert_uint_gt(count_shared_with(3), 0); /* it was an increment */
    ck_assert_uint_eq(count_shared_with(first), 0);
    check_whole();
    check_crash(second);
    check_end();
}
END_TEST

/* What is captured after a completion builds on that one: nothing is uploaded twice. */
START_TEST(test_the_newest_confirmed_one_is_the_base)
{
    open_with_base();
    uint64_t first = begin(false), second = begin(false);
    complete(first);
    uint64_t third = begin(false);
    complete(second);
    ck_assert(has_manifest(first));
    ck_assert(!has_manifest(3));
    complete(third);
    ck_assert(!has_manifest(first));
    ck_assert_uint_eq(base_of(third), first);
    check_crash(third);
    check_end();
}
END_TEST

/* A full one builds on nothing, so it holds nothing back. */
START_TEST(test_a_full_one_holds_no_base)
{
    open_with_base();
    uint64_t first = begin(false), second = begin(true);
    complete(first);
    for (int tries = 0; has_manifest(3) && tries < 500; tries++)
        crn_sleep_us(10000); /* it goes after those who wait were told */
    ck_assert(!has_manifest(3));
    complete(second);
    ck_assert_uint_eq(count_shared_with(3) + count_shared_with(first), 0);
    check_crash(second);
    check_end();
}
END_TEST

/* The one that held the base is aborted: the next completion lets go of it. */
START_TEST(test_the_base_of_an_aborted_one_goes)
{
    open_with_base();
    uint64_t first = begin(false), second = begin(false);
    complete(first);
    ck_assert(has_manifest(3));
    store_put_text(shared, "job/shared/e1-c5-900.sst", "what the second has uploaded so far");
    ck_ok(cairn_gc(shared, "job", NULL, NULL, reterr)); /* which takes its id */
    gate_release(gate, second);
    poll_until(&aborted, second);
    check_crash(first);
    check_end();
    ck_assert(!has_manifest(3));
}
END_TEST

/* A collection by another process costs the attempts in flight, and nothing else. */
START_TEST(test_a_collection_beside_three_in_flight)
{
    open_with_base();
    uint64_t first = begin(false);
    (void)begin(false);
    uint64_t third = begin(false);
    gate_release(gate, third); /* it waits for the others' ids, and subsumes them */
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    ck_ok(cairn_gc(shared, "job", NULL, &report, reterr));
    for (uint64_t id = first; id <= third; id++)
        gate_release(gate, id);
    while (completed < third && aborted < third) {
        cairn_event ignored;
        for (unsigned t = 0; t < SUBJECT_TASKS; t++)
            poll_once(t, &ignored);
    }
    check_whole();
    check_crash(completed);
    check_end();
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Subsumption
 * ------------------------------------------------------------------------------------------ */

struct asker {
    pthread_t thread;
    cairn_checkpoint_info info;
    int r;
};

static void *ask_main(void *arg)
{
    struct asker *asker = arg;
    asker->r = cairn_job_checkpoint(s.job, NULL, &asker->info, NULL);
    return NULL;
}

/* As begin(), with somebody who waits for it. */
static void ask(struct asker *asker)
{
    *asker = (struct asker){.info = CAIRN_CHECKPOINT_INFO_INIT};
    change_and_hold();
    ck_ok(crn_thread_start(&asker->thread, "test-asker", ask_main, asker, reterr));
    wait_in_flight();
}

/* The newer one is faster. The older is no failure; who asked for it gets the newer. */
START_TEST(test_a_newer_one_is_faster)
{
    struct asker older, newer;
    f.options.tolerable_failures = CAIRN_TOLERATE_NONE;
    f.options.num_retained = 5;
    open_with_base();
    ask(&older);
    ask(&newer);
    uint64_t id = last;
    gate_release(gate, id);
    poll_until(&aborted, id - 1);
    poll_until(&completed, id);
    ck_assert_int_eq(pthread_join(newer.thread, NULL), 0);
    ck_assert_int_eq(pthread_join(older.thread, NULL), 0);
    ck_assert_int_eq(newer.r, 0);
    ck_assert_int_eq(older.r, 0);
    ck_assert_uint_eq(newer.info.id, id);
    ck_assert_uint_eq(older.info.id, id);
    check_record(id - 1, CAIRN_RECORD_ABORTED, "subsumed by checkpoint 5");
    check_record(id, CAIRN_RECORD_CHECKPOINT, "");
    ck_assert_ptr_nonnull(strstr(log_text, "3 checkpoint 4 of job 'job' was aborted: subsumed"));
    ck_assert_int_eq(cairn_job_get_state(s.job), CAIRN_JOB_RUNNING);
    gate_release(gate, id - 1); /* it still had uploads */
    check_end();
}
END_TEST

/* A full one that was asked for is not replaced by less. */
START_TEST(test_a_full_one_is_waited_for)
{
    open_with_base();
    uint64_t full = begin(true), second = begin(false);
    gate_release(gate, second);
    crn_sleep_us(20000);
    ck_assert_uint_eq(completed, 3);
    gate_release(gate, full);
    poll_until(&completed, second);
    ck_assert_uint_eq(aborted, 0);
    check_crash(second);
    check_end();
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Ends
 * ------------------------------------------------------------------------------------------ */

/* The older one's time is over, its uploads hang; the newer one is completed meanwhile. */
START_TEST(test_the_older_one_times_out)
{
    f.options.checkpoint_timeout_ms = 1000;
    f.options.num_retained = 5;
    open_with_base();
    uint64_t first = begin(false);
    crn_sleep_us(700000);
    uint64_t second = begin(false);
    poll_until(&aborted, first);
    check_record(first, CAIRN_RECORD_ABORTED, "timed out after 1000 ms; 3 of 3 tasks");
    complete(second);
    check_whole();
    gate_release(gate, first); /* what it uploads now is of no use */
    check_end();
}
END_TEST

static void *close_main(void *arg)
{
    (void)arg;
    subject_close(&s);
    return NULL;
}

/* Three in flight when the job closes: the newest complete one is what is there afterwards. */
START_TEST(test_close_with_three_in_flight)
{
    pthread_t thread;
    open_with_base();
    uint64_t first = begin(false);
    if (_i == 1)
        complete(first);
    (void)begin(false);
    uint64_t third = begin(false);
    ck_ok(crn_thread_start(&thread, "test-close", close_main, NULL, reterr));
    crn_sleep_us(20000);
    for (uint64_t id = third; id >= first; id--)
        gate_release(gate, id);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    store_check_tidy(shared, "job");
    check_crash(_i == 1 ? first : 3);
    check_record(third, CAIRN_RECORD_ABORTED, "the job was closed");
}
END_TEST

/* Another process takes over while two are in flight: neither of them comes to be (P7). */
START_TEST(test_a_zombie_with_two_in_flight)
{
    struct fixture other = f;
    struct subject successor;
    struct oracle theirs;
    cairn_error *error = NULL;
    CRN_AUTO_FREE char *local_dir = fixture_dir(&f, "successor");
    cairn_event event = {0};
    int r = 0;
    open_with_base();
    theirs = at[3];
    uint64_t first = begin(false), second = begin(false);
    other.store = other.options.store = shared;
    other.options.local_dir = local_dir;
    ck_ok(subject_open(&other, "job", &successor, reterr));
    const char *why = oracle_compare(&theirs, &successor);
    ck_assert_msg(why == NULL, "%s", why);
    gate_release(gate, second);
    gate_release(gate, first);
    while (r == 0)
        r = cairn_task_poll(s.tasks[0], &event, &error);
    ck_assert_int_eq(r, CAIRN_EFENCED);
    cairn_error_free(error);
    ck_assert_uint_eq(completed, 3);
    subject_close(&s);
    oracle_mutate(&theirs, &successor, &random_state, 10);
    ck_ok(subject_checkpoint(&successor, false, NULL, reterr));
    subject_close(&successor);
    ck_ok(cairn_gc(shared, "job", NULL, NULL, reterr));
    store_check_tidy(shared, "job");
    check_whole();
    oracle_check_store(&theirs, &f, shared, "job");
}
END_TEST

/* A task is closed under two in flight: both end, and the job says why there are no more. */
START_TEST(test_a_task_is_closed_under_two_in_flight)
{
    open_with_base();
    uint64_t first = begin(false), second = begin(false);
    gate_release(gate, first);
    gate_release(gate, second);
    cairn_task_close(s.tasks[SUBJECT_TASKS - 1]);
    s.tasks[SUBJECT_TASKS - 1] = NULL;
    ck_fails(cairn_task_checkpoint(s.tasks[0], NULL, NULL, reterr), CAIRN_EABORTED,
             "'tally' subtask 0 was closed");
    subject_close(&s);
    ck_ok(cairn_gc(shared, "job", NULL, NULL, reterr));
    store_check_tidy(shared, "job");
    check_whole();
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * A commit whose outcome is not known
 * ------------------------------------------------------------------------------------------ */

/* The record may stand, and let go of the base: nobody new builds on that before it is known. */
START_TEST(test_barriers_wait_for_a_base_in_doubt)
{
    struct crn_fault_plan plan = {.ops = CRN_FAULT_CREATE,
                                  .mode = CRN_FAULT_BEFORE,
                                  .code = CAIRN_EUNAVAIL,
                                  .at = 1,
                                  .and_after = true};
    cairn_event event;
    open_with_base();
    uint64_t first = begin(false);
    crn_fault_store_arm(shared, &plan);
    gate_release(gate, first);
    for (bool tried = false; !tried; crn_sleep_us(1000)) {
        crn_mutex_lock(&s.job->lock);
        tried = s.job->committing_start == first;
        crn_mutex_unlock(&s.job->lock);
    }
    ck_ok(cairn_job_trigger(s.job, NULL, reterr));
    for (int i = 0; i < 50; i++, crn_sleep_us(1000))
        for (unsigned t = 0; t < SUBJECT_TASKS; t++) {
            poll_once(t, &event);
            ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
        }
    fixture_disarm(&(struct fixture){.store = shared}, CRN_FAULT_ANY);
    last++;
    at[last] = now;
    poll_until(&completed, last);
    ck_assert_uint_eq(base_of(last), first);
    check_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("concurrent");
    TCase *tcase = tcase_create("in flight");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_the_base_of_one_in_flight_stays);
    tcase_add_test(tcase, test_the_newest_confirmed_one_is_the_base);
    tcase_add_test(tcase, test_a_full_one_holds_no_base);
    tcase_add_test(tcase, test_the_base_of_an_aborted_one_goes);
    tcase_add_test(tcase, test_a_collection_beside_three_in_flight);
    tcase_add_test(tcase, test_a_newer_one_is_faster);
    tcase_add_test(tcase, test_a_full_one_is_waited_for);
    tcase_add_test(tcase, test_the_older_one_times_out);
    tcase_add_loop_test(tcase, test_close_with_three_in_flight, 0, 2);
    tcase_add_test(tcase, test_a_zombie_with_two_in_flight);
    tcase_add_test(tcase, test_a_task_is_closed_under_two_in_flight);
    tcase_add_test(tcase, test_barriers_wait_for_a_base_in_doubt);
    suite_add_tcase(suite, tcase);
    TCase *disk = tcase_create("on disk");
    tcase_set_timeout(disk, 60);
    tcase_add_checked_fixture(disk, setup_disk, teardown);
    tcase_add_test(disk, test_the_newest_confirmed_one_is_the_base);
    suite_add_tcase(suite, disk);
    return crn_test_run(suite);
}
