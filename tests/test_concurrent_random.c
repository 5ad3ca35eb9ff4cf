/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves over random lives of a job that whatever meets whatever, what is restored is one moment:
 * checkpoints that overlap, full ones among them, savepoints, collections, tasks that finish,
 * faults of the store, and then a close, a close of the tasks first, a stop, a cancel or another
 * process that takes over. After each life every object that the log references is there and right
 * (P1, P5), the next start finds of each task exactly what it had at the barrier of the id that it
 * starts from (P2), which is no older than the newest that was told to be complete, and leaves
 * nothing of no use (P6). Method: each task's thread counts in its own state and notes the count at
 * each barrier. The fake backend over the memory store; CAIRN_SEED repeats one failure.
 */
#include "tests/support/job_fixture.h"

#include "backends/storage/storage.h"
#include "cairn/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVES 12
#define IDS 65536

static struct fixture f;
static cairn_store *target; /* of savepoints */
static uint64_t random_state;
static int64_t at[IDS][SUBJECT_TASKS]; /* count of each task at the barrier of each id */
static char story[8192];               /* what has been done, for people */

struct worker {
    unsigned number;
    pthread_t thread;
    struct subject *subject;
    int64_t key, count;
    atomic_bool leave, finish;
    bool finished;
    atomic_uint_fast64_t completed; /* newest id that it was told to be */
};

struct life {
    struct fixture place;
    struct subject subject;
    struct worker workers[SUBJECT_TASKS];
};

static uint64_t pick(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static void tell(const char *what, uint64_t number)
{
    size_t n = strlen(story);
    (void)snprintf(story + n, sizeof story - n, "%s %" PRIu64 "; ", what, number);
}

/* ------------------------------------------------------------------------------------------ *
 * A task's thread
 * ------------------------------------------------------------------------------------------ */

static int write_count(struct worker *w)
{
    struct subject *s = w->subject;
    cairn_task *task = s->tasks[w->number];
    CRN_TRY(cairn_task_set_key_int64(task, w->number < SUBJECT_WORDS ? w->key : 0));
    return w->number < SUBJECT_WORDS
               ? cairn_value_put_int64(s->count[w->number], w->count, NULL)
               : cairn_map_put(s->names, "count", sizeof "count", &w->count, sizeof w->count, NULL);
}

static int64_t read_count(struct worker *w)
{
    struct subject *s = w->subject;
    int64_t count = 0;
    const void *data = NULL;
    size_t size = 0;
    int64_t key = w->number < SUBJECT_WORDS ? w->key : 0;
    ck_assert_int_eq(cairn_task_set_key_int64(s->tasks[w->number], key), 0);
    if (w->number < SUBJECT_WORDS)
        return ck_ok(cairn_value_get_int64(s->count[w->number], &count, reterr)) == 1 ? count : 0;
    if (ck_ok(cairn_map_get(s->names, "count", sizeof "count", &data, &size, reterr)) == 1)
        memcpy(&count, data, sizeof count);
    return count;
}

static void note(struct worker *w, const cairn_event *event)
{
    ck_assert_msg(event->checkpoint_id < IDS, "too many ids: %s", story);
    if (event->type == CAIRN_EVENT_BARRIER || event->type == CAIRN_EVENT_STOPPING)
        at[event->checkpoint_id][w->number] = w->count;
    if (event->type == CAIRN_EVENT_COMPLETED)
        atomic_store(&w->completed, event->checkpoint_id);
}

/* From then on the driver takes its barriers. */
static void finish(struct worker *w)
{
    cairn_task *task = w->subject->tasks[w->number];
    if (cairn_task_finish(task, NULL) < 0)
        return;
    w->finished = true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    bool is_stopping = false;
    while (!atomic_load(&w->leave)) {
        cairn_event event = {0};
        if (!w->finished && !is_stopping) {
            w->count++;
            if (write_count(w) < 0)
                break;
        }
        if (cairn_task_poll(w->subject->tasks[w->number], &event, NULL) < 0)
            break;
        note(w, &event);
        is_stopping = event.type == CAIRN_EVENT_STOPPING ||
                      (is_stopping && event.type != CAIRN_EVENT_ABORTED);
        if (atomic_load(&w->finish) && !w->finished && !is_stopping)
            finish(w);
        crn_sleep_us(100);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------ *
 * A life
 * ------------------------------------------------------------------------------------------ */

static void choose_options(cairn_job_options *o)
{
    o->max_concurrent = (uint32_t)(1 + pick(4));
    o->num_retained = (uint32_t)(1 + pick(2));
    o->full_every = pick(3) == 0 ? 3 : 0;
    o->checkpoint_interval_ms = pick(2) == 0 ? 2 : 0;
    o->checkpoint_timeout_ms = pick(3) == 0 ? 20 : 10000;
    o->on_cancel = pick(3) == 0 ? CAIRN_DELETE : CAIRN_RETAIN;
    o->savepoint_store = target;
}

/* Started, with each task as it was at the barrier of what was restored. */
static void begin(struct life *life, const char *directory, uint64_t at_least, bool may_be_empty)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    memset(life, 0, sizeof *life);
    life->place = f;
    choose_options(&life->place.options);
    life->place.options.local_dir = directory;
    ck_ok(subject_open(&life->place, "job", &life->subject, reterr));
    (void)cairn_job_restored(life->subject.job, &info);
    tell("\n  restored", info.id);
    ck_assert_msg(info.id >= at_least || (info.id == 0 && may_be_empty),
                  "%" PRIu64 " is restored, %" PRIu64 " was complete: %s", info.id, at_least,
                  story);
    for (unsigned t = 0; t < SUBJECT_TASKS; t++) {
        struct worker *w = &life->workers[t];
        *w = (struct worker){.number = t, .subject = &life->subject};
        while (t < SUBJECT_WORDS && subject_of_key(w->key) != t)
            w->key++;
        w->count = read_count(w);
        int64_t expected = info.id == 0 ? 0 : at[info.id][t];
        ck_assert_msg(w->count == expected, "task %u has %" PRId64 ", not %" PRId64 ": %s", t,
                      w->count, expected, story);
        atomic_store(&w->completed, info.id);
    }
    memset(at[info.id + 1], 0, sizeof at - (info.id + 1) * sizeof at[0]);
}

static void run(struct life *life)
{
    for (unsigned t = 0; t < SUBJECT_TASKS; t++)
        ck_ok(crn_thread_start(&life->workers[t].thread, "test-worker", worker_main,
                               &life->workers[t], reterr));
}

static void leave(struct worker *w)
{
    atomic_store(&w->leave, true);
    if (w->thread != 0)
        ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
    w->thread = 0;
}

static uint64_t newest_completed(struct life *life)
{
    uint64_t newest = 0;
    for (unsigned t = 0; t < SUBJECT_TASKS; t++)
        if (atomic_load(&life->workers[t].completed) > newest)
            newest = atomic_load(&life->workers[t].completed);
    return newest;
}

static void disarm(void)
{
    crn_fault_store_arm(f.store, &(struct crn_fault_plan){.mode = CRN_FAULT_NEVER});
    crn_fault_store_arm(target, &(struct crn_fault_plan){.mode = CRN_FAULT_NEVER});
}

static void arm(void)
{
    static const int codes[] = {CAIRN_EUNAVAIL, CAIRN_ENOSPC, CAIRN_EIO};
    static const unsigned ops[] = {CRN_FAULT_CREATE, CRN_FAULT_PUT, CRN_FAULT_FLUSH,
                                   CRN_FAULT_REMOVE, CRN_FAULT_GET | CRN_FAULT_STAT};
    const struct crn_fault_plan plan = {
        .ops = ops[pick(5)],
        .mode = pick(3) == 0 ? CRN_FAULT_LOST_REPLY : CRN_FAULT_BEFORE,
        .at = 1 + pick(6),
        .and_after = pick(2) == 0,
        .code = codes[pick(3)],
        .delay_us = pick(3) == 0 ? 1000 : 0,
    };
    tell("arm", plan.ops);
    crn_fault_store_arm(pick(4) == 0 ? target : f.store, &plan);
}

static void do_something(struct life *life)
{
    cairn_trigger_options trigger = CAIRN_TRIGGER_OPTIONS_INIT;
    cairn_savepoint_options savepoint = CAIRN_SAVEPOINT_OPTIONS_INIT;
    uint64_t what = pick(16);
    int r = 0; /* the world is bad: it may fail */
    if (what < 6) {
        trigger.full = what < 2;
        r = cairn_job_trigger(life->subject.job, &trigger, NULL);
    } else if (what < 8) {
        savepoint.format = pick(2) == 0 ? CAIRN_NATIVE : CAIRN_CANONICAL;
        savepoint.timeout_ms = 50; /* those behind it wait for it */
        r = cairn_savepoint_begin(life->subject.job, &savepoint, NULL, NULL);
    } else if (what < 9) {
        r = cairn_gc(f.store, "job", NULL, NULL, NULL);
    } else if (what < 10 && pick(6) == 0) {
        atomic_store(&life->workers[pick(SUBJECT_TASKS)].finish, true);
    } else if (what < 11) {
        arm();
    } else if (what < 13) {
        disarm();
    }
    tell(r < 0 ? "vain" : "do", what);
    crn_sleep_us(pick(3000));
}

/* The next life knows what it may find. */
struct legacy {
    uint64_t completed;
    bool may_be_empty;
};

static void stop(struct life *life, struct legacy *legacy)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    options.stop = 1;
    options.format = pick(2) == 0 ? CAIRN_NATIVE : CAIRN_CANONICAL;
    options.timeout_ms = 200;
    cairn_savepoint_handle *handle = NULL;
    ck_ok(cairn_savepoint_begin(life->subject.job, &options, &handle, reterr));
    int r = cairn_savepoint_wait(handle, 300, &info, NULL);
    if (r == CAIRN_ETIMEOUT) { /* it ends when the log can be told */
        disarm();
        r = cairn_savepoint_wait(handle, UINT64_MAX, &info, NULL);
    }
    cairn_savepoint_close(handle);
    tell(r == 0 ? "stopped" : "not stopped", info.id);
    if (r == 0)
        legacy->completed = info.id;
}

static void check_whole(void)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_error *error = NULL;
    options.full = 1;
    int r = cairn_verify(f.store, "job", &options, NULL, &error);
    ck_assert_msg(r == 0, "%s: %s", cairn_error_message(error), story);
}

/* Finished tasks take no barrier that they see. */
static void note_finished(struct life *life)
{
    for (unsigned t = 0; t < SUBJECT_TASKS; t++)
        for (size_t id = 0; life->workers[t].finished && id < IDS; id++)
            if (at[id][t] == 0)
                at[id][t] = life->workers[t].count;
}

/* So that much is in flight when the end comes, and commits take their time. */
static void hurry(struct life *life)
{
    cairn_trigger_options trigger = CAIRN_TRIGGER_OPTIONS_INIT;
    crn_fault_store_arm(f.store, &(struct crn_fault_plan){.ops = CRN_FAULT_FLUSH | CRN_FAULT_CREATE,
                                                          .delay_us = pick(4000)});
    for (uint64_t n = 1 + pick(4); n > 0; n--) {
        trigger.full = pick(2) == 0;
        if (cairn_job_trigger(life->subject.job, &trigger, NULL) < 0)
            tell("no more at", n);
        crn_sleep_us(pick(3000));
    }
}

/* While the others go on. */
static void close_task(struct life *life)
{
    unsigned t = (unsigned)pick(SUBJECT_TASKS);
    leave(&life->workers[t]);
    cairn_task_close(life->subject.tasks[t]);
    life->subject.tasks[t] = NULL;
    crn_sleep_us(pick(5000));
}

static void end(struct life *life, struct legacy *legacy)
{
    const char *const ways[] = {"close", "close a task", "stop", "cancel"};
    uint64_t way = pick(4);
    if (pick(2) == 0)
        disarm();
    if (pick(2) == 0)
        hurry(life);
    legacy->may_be_empty = false;
    legacy->completed = 0;
    tell(ways[way], 0);
    if (way == 1)
        close_task(life);
    if (way == 2)
        stop(life, legacy);
    if (way == 3) {
        legacy->may_be_empty = life->place.options.on_cancel == CAIRN_DELETE;
        ck_ok(cairn_job_cancel(life->subject.job, reterr));
    }
    for (unsigned t = 0; t < SUBJECT_TASKS; t++)
        leave(&life->workers[t]);
    note_finished(life);
    if (newest_completed(life) > legacy->completed)
        legacy->completed = newest_completed(life);
    subject_close(&life->subject);
    disarm();
}

static void live(uint64_t seed)
{
    CRN_AUTO_FREE char *directory = fixture_dir(&f, "life");
    struct legacy legacy = {.may_be_empty = true};
    random_state = seed;
    story[0] = 0;
    tell("seed", seed);
    memset(at, 0, sizeof at);
    for (unsigned i = 0; i < LIVES; i++) {
        struct life life;
        begin(&life, directory, legacy.completed, legacy.may_be_empty);
        store_check_tidy(f.store, "job");
        run(&life);
        for (uint64_t n = 4 + pick(30); n > 0; n--)
            do_something(&life);
        end(&life, &legacy);
        check_whole();
    }
}

static void setup(void)
{
    cairn_store *inner = NULL;
    fixture_init(&f, false);
    ck_ok(crn_memory_store_open(&inner, reterr));
    ck_ok(crn_fault_store_open(inner, &target, reterr));
}

static void teardown(void)
{
    cairn_store_close(target);
    fixture_done(&f);
}

START_TEST(test_random_lives)
{
    const char *seed = getenv("CAIRN_SEED");
    live(seed != NULL ? strtoull(seed, NULL, 10) : crn_random_u64() % 1000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("concurrent_random");
    TCase *tcase = tcase_create("lives");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_random_lives, 0, 30);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
