/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that there is one writer, and that nobody's removals hurt anybody (P1, P5, P6, P7), with
 * real threads on one store: writers that race for a job, zombies that were stalled in the middle
 * of a commit, collectors beside a running job, readers of what is being removed. Method: each
 * party has a view of the store that can be stopped in any of its calls while the others go on.
 * Named M05 to M09 are bugs that other systems had. The fake backend over the memory store: clean
 * under TSan.
 */
#include "tests/support/gate_store.h"
#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

#include "cairn/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, false);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * A writer with a view of its own
 * ------------------------------------------------------------------------------------------ */

struct writer {
    struct fixture f; /* its own local directory and view */
    char *local_dir;
    struct subject s;
    struct oracle oracle;
    uint64_t random;
    pthread_t thread;
    atomic_bool over;
    int r; /* of its checkpoint */
};

static void writer_init(struct writer *w, const char *name)
{
    memset(w, 0, sizeof *w);
    w->f = f;
    w->f.store = w->f.options.store = gate_store_open(f.store);
    w->f.options.local_dir = w->local_dir = fixture_dir(&f, name);
    w->random = (uint64_t)name[0];
    oracle_init(&w->oracle);
}

/* What it finds becomes what it knows. */
static void writer_open(struct writer *w, const struct oracle *found)
{
    ck_ok(subject_open(&w->f, "job", &w->s, reterr));
    w->oracle = *found;
    const char *why = oracle_compare(found, &w->s);
    ck_assert_msg(why == NULL, "%s", why);
}

static void writer_done(struct writer *w)
{
    subject_close(&w->s);
    cairn_store_close(w->f.store);
    free(w->local_dir);
}

static int writer_checkpoint(struct writer *w)
{
    oracle_mutate(&w->oracle, &w->s, &w->random, 15);
    return subject_checkpoint(&w->s, false, NULL, NULL);
}

static void *checkpoint_main(void *arg)
{
    struct writer *w = arg;
    w->r = subject_checkpoint(&w->s, false, NULL, NULL);
    atomic_store(&w->over, true);
    return NULL;
}

/* A checkpoint in a thread of its own. Until writer_join() the writer is not to be touched. */
static void writer_begin(struct writer *w)
{
    oracle_mutate(&w->oracle, &w->s, &w->random, 15);
    atomic_store(&w->over, false);
    ck_ok(crn_thread_start(&w->thread, "test-writer", checkpoint_main, w, reterr));
}

static int writer_join(struct writer *w)
{
    gate_let_go(w->f.store);
    ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
    return w->r;
}

static void collect(void)
{
    ck_ok(cairn_gc(f.store, "job", NULL, NULL, reterr));
}

static void check_end(const struct oracle *oracle)
{
    collect();
    store_check_tidy(f.store, "job");
    oracle_check_store(oracle, &f, f.store, "job");
}

/* ------------------------------------------------------------------------------------------ *
 * Many writers at once
 * ------------------------------------------------------------------------------------------ */

#define RIVALS 6

struct rival {
    struct writer w;
    pthread_barrier_t *all_open;
    int open_r;
};

static void *rival_main(void *arg)
{
    struct rival *rival = arg;
    struct writer *w = &rival->w;
    rival->open_r = subject_open(&w->f, "job", &w->s, NULL);
    (void)pthread_barrier_wait(rival->all_open);
    if (rival->open_r < 0)
        return NULL;
    /* Whatever it was restored from, this is what it stands for. */
    ck_assert_int_eq(cairn_task_set_key_int64(w->s.tasks[2], 0), 0);
    ck_ok(cairn_operator_list_clear(w->s.offset, reterr));
    ck_ok(cairn_operator_list_add_int64(w->s.offset, (int64_t)w->random, reterr));
    w->r = subject_checkpoint(&w->s, false, NULL, NULL);
    return NULL;
}

static int64_t stored_offset(void)
{
    struct subject s;
    const void *data;
    size_t size;
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(cairn_operator_list_at(s.offset, 0, &data, &size), 0);
    int64_t offset = cairn_decode_int64(data);
    subject_close(&s);
    return offset;
}

START_TEST(test_of_many_that_open_one_survives)
{
    for (unsigned round = 0; round < 8; round++) {
        struct rival rivals[RIVALS];
        pthread_t threads[RIVALS];
        pthread_barrier_t all_open;
        unsigned winners = 0;
        int64_t winner = -1;
        ck_assert_int_eq(pthread_barrier_init(&all_open, NULL, RIVALS), 0);
        for (unsigned i = 0; i < RIVALS; i++) {
            const char name[] = {(char)('a' + i), 0};
            writer_init(&rivals[i].w, name);
            rivals[i].all_open = &all_open;
            ck_ok(crn_thread_start(&threads[i], "test-rival", rival_main, &rivals[i], reterr));
        }
        for (unsigned i = 0; i < RIVALS; i++) {
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
            const struct rival *rival = &rivals[i];
            if (rival->open_r < 0) {
                ck_assert_int_eq(rival->open_r, CAIRN_EBUSY);
            } else if (rival->w.r == 0) {
                winners++;
                winner = (int64_t)rival->w.random;
            } else {
                ck_assert_msg(rival->w.r == CAIRN_EFENCED, "%s", cairn_error_name(rival->w.r));
            }
        }
        ck_assert_uint_eq(winners, 1);
        for (unsigned i = 0; i < RIVALS; i++)
            writer_done(&rivals[i].w);
        (void)pthread_barrier_destroy(&all_open);
        ck_assert_int_eq(stored_offset(), winner);
        collect();
        store_check_tidy(f.store, "job");
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Stalled writers
 * ------------------------------------------------------------------------------------------ */

/* M05: an incremental checkpoint hangs before its commit, and two collections run meanwhile. Its
 * files may be gone by then: it must not become a checkpoint. */
START_TEST(test_m05_late_commit_after_gc)
{
    struct writer a;
    static const unsigned ops[] = {CRN_FAULT_CREATE, CRN_FAULT_FLUSH, CRN_FAULT_PUT};
    writer_init(&a, "a");
    writer_open(&a, &a.oracle);
    ck_assert_int_eq(writer_checkpoint(&a), 0);
    for (size_t i = 0; i < CRN_COUNT(ops); i++) {
        gate_stop_at(a.f.store, ops[i], ops[i] == CRN_FAULT_PUT ? 4 : 1, GATE_BEFORE);
        writer_begin(&a);
        ck_assert(gate_wait_stopped(a.f.store, NULL));
        collect();
        collect();
        ck_assert_int_eq(writer_join(&a), CAIRN_EABORTED);
        gate_stop_at(a.f.store, 0, 0, GATE_BEFORE);
        ck_assert_int_eq(writer_checkpoint(&a), 0);
    }
    writer_done(&a);
    check_end(&a.oracle);
}
END_TEST

/* M07: the writer hangs before it creates the record of id n. Others use up n and much more, and it
 * is removed again. The create then succeeds, but the writer must find out that it was overtaken.
 */
START_TEST(test_m07_stalled_writer_creates_a_deleted_id)
{
    struct writer a, b;
    writer_init(&a, "a");
    writer_init(&b, "b");
    writer_open(&a, &a.oracle);
    ck_assert_int_eq(writer_checkpoint(&a), 0); /* id 2 */
    struct oracle stored = a.oracle;
    gate_stop_at(a.f.store, CRN_FAULT_CREATE, 1, GATE_BEFORE);
    writer_begin(&a); /* id 3 */
    ck_assert(gate_wait_stopped(a.f.store, NULL));
    writer_open(&b, &stored); /* its fence is id 3 */
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(writer_checkpoint(&b), 0);
    crn_sleep_us(20000);
    collect();
    ck_assert(!store_has(f.store, "job/MANIFEST-chk3"));
    ck_assert_int_eq(writer_join(&a), CAIRN_EFENCED);
    ck_assert(store_has(f.store, "job/MANIFEST-chk3")); /* the stray */
    writer_done(&a);
    ck_assert_int_eq(writer_checkpoint(&b), 0);
    writer_done(&b);
    check_end(&b.oracle);
    ck_assert(!store_has(f.store, "job/MANIFEST-chk3"));
}
END_TEST

/* M08: three writers are about to publish; they do so in another order than they began, and between
 * any two of them garbage is collected. The order of the checkpoints is that of their commits. */
START_TEST(test_m08_publication_in_another_order)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct oracle stored;
    oracle_init(&stored);
    for (size_t o = 0; o < CRN_COUNT(orders); o++) {
        struct writer writers[3];
        static const char *const names[] = {"a", "b", "c"};
        for (unsigned i = 0; i < 3; i++) {
            writer_init(&writers[i], names[i]);
            writer_open(&writers[i], &stored);
            gate_stop_at(writers[i].f.store, CRN_FAULT_CREATE, 1, GATE_BEFORE);
            writer_begin(&writers[i]);
            ck_assert(gate_wait_stopped(writers[i].f.store, NULL));
        }
        for (unsigned i = 0; i < 3; i++) {
            unsigned who = orders[o][i];
            int r = writer_join(&writers[who]);
            ck_assert_msg(r == (who == 2 ? 0 : CAIRN_EFENCED) || (who == 2 && r == CAIRN_EABORTED),
                          "writer %u: %s", who, cairn_error_name(r));
            if (r == 0)
                stored = writers[2].oracle;
            collect(); /* may cost the last writer its attempt, but nothing else */
        }
        for (unsigned i = 0; i < 3; i++)
            writer_done(&writers[i]);
        check_end(&stored);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Collectors
 * ------------------------------------------------------------------------------------------ */

struct collector {
    cairn_store *store;
    atomic_bool over;
    pthread_t thread;
    int r;
};

static void *collector_main(void *arg)
{
    struct collector *collector = arg;
    collector->r = cairn_gc(collector->store, "job", NULL, NULL, NULL);
    atomic_store(&collector->over, true);
    return NULL;
}

/* M09, first half: the collection stops before its k-th call, for every k, and a whole checkpoint
 * passes by. Either the checkpoint is refused or every object of it lives. */
START_TEST(test_m09_checkpoint_in_the_middle_of_gc)
{
    struct writer a;
    uint64_t k = 0;
    bool stopped;
    writer_init(&a, "a");
    writer_open(&a, &a.oracle);
    do {
        struct collector collector = {.store = gate_store_open(f.store)};
        k++;
        ck_assert_int_eq(writer_checkpoint(&a), 0);
        store_put_text(f.store, "job/shared/e1-c1-900.sst", "garbage, so that there is work");
        gate_stop_at(collector.store, CRN_FAULT_ANY, k, GATE_BEFORE);
        ck_ok(crn_thread_start(&collector.thread, "test-gc", collector_main, &collector, reterr));
        stopped = gate_wait_stopped(collector.store, &collector.over);
        int r = writer_checkpoint(&a);
        gate_let_go(collector.store);
        ck_assert_int_eq(pthread_join(collector.thread, NULL), 0);
        ck_assert(r == 0 || r == CAIRN_EABORTED);
        ck_assert_msg(collector.r == 0 || collector.r == CAIRN_EMISSING ||
                          collector.r == CAIRN_EBUSY,
                      "gc: %s", cairn_error_name(collector.r));
        cairn_store_close(collector.store);
        ck_assert_int_eq(writer_checkpoint(&a), 0);
    } while (stopped);
    printf("# M09: gc stopped in %" PRIu64 " places\n", k - 1);
    ck_assert_uint_gt(k, 4);
    writer_done(&a);
    check_end(&a.oracle);
}
END_TEST

/* M09, second half: the checkpoint stops before or after its k-th call, and a collection passes. */
START_TEST(test_m09_gc_in_the_middle_of_a_checkpoint)
{
    struct writer a;
    uint64_t k = 0, refused = 0;
    bool stopped;
    writer_init(&a, "a");
    writer_open(&a, &a.oracle);
    do {
        k++;
        struct oracle before = a.oracle;
        gate_stop_at(a.f.store, CRN_FAULT_ANY, k, _i == 0 ? GATE_BEFORE : GATE_AFTER);
        writer_begin(&a);
        stopped = gate_wait_stopped(a.f.store, &a.over);
        collect();
        int r = writer_join(&a);
        gate_stop_at(a.f.store, 0, 0, GATE_BEFORE);
        ck_assert(r == 0 || r == CAIRN_EABORTED);
        refused += r != 0;
        cairn_store *left = store_clone(f.store);
        if (k > 1) /* the first attempt may leave no checkpoint at all */
            oracle_check_store(r == 0 ? &a.oracle : &before, &f, left, "job");
        cairn_store_close(left);
        if (r != 0)
            ck_assert_int_eq(subject_checkpoint(&a.s, false, NULL, NULL), 0);
    } while (stopped);
    printf("# M09: checkpoint stopped in %" PRIu64 " places, refused %" PRIu64 " times\n", k - 1,
           refused);
    ck_assert_uint_gt(refused, 3);
    writer_done(&a);
    check_end(&a.oracle);
}
END_TEST

static void *collect_for_ever(void *arg)
{
    struct collector *collector = arg;
    while (!atomic_load(&collector->over)) {
        int r = cairn_gc(collector->store, "job", NULL, NULL, NULL);
        if (r < 0 && r != CAIRN_EMISSING && r != CAIRN_EBUSY)
            collector->r = r;
        crn_sleep_us(500);
    }
    return NULL;
}

START_TEST(test_collectors_beside_a_running_job)
{
    struct collector collectors[2] = {{.store = f.store}, {.store = f.store}};
    struct writer a;
    unsigned complete = 0;
    f.options.num_retained = 2;
    writer_init(&a, "a");
    writer_open(&a, &a.oracle);
    for (unsigned i = 0; i < CRN_COUNT(collectors); i++)
        ck_ok(crn_thread_start(&collectors[i].thread, "test-gc", collect_for_ever, &collectors[i],
                               reterr));
    uint64_t until_us = crn_now_us() + 3000000;
    struct oracle stored = a.oracle;
    while (crn_now_us() < until_us) {
        int r = writer_checkpoint(&a);
        ck_assert_msg(r == 0 || r == CAIRN_EABORTED, "%s", cairn_error_name(r));
        complete += r == 0;
        if (r == 0)
            stored = a.oracle;
    }
    for (unsigned i = 0; i < CRN_COUNT(collectors); i++) {
        atomic_store(&collectors[i].over, true);
        ck_assert_int_eq(pthread_join(collectors[i].thread, NULL), 0);
        ck_assert_msg(collectors[i].r == 0, "gc: %s", cairn_error_name(collectors[i].r));
    }
    printf("# %u checkpoints beside two collectors\n", complete);
    writer_done(&a);
    if (complete > 0)
        check_end(&stored);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Readers
 * ------------------------------------------------------------------------------------------ */

struct reader {
    cairn_store *store;
    atomic_bool over;
    pthread_t thread;
    int r;
};

static void *verify_main(void *arg)
{
    struct reader *reader = arg;
    const cairn_verify_options every_byte = {.struct_size = sizeof every_byte, .full = 1};
    reader->r = cairn_verify(reader->store, "job", &every_byte, NULL, NULL);
    atomic_store(&reader->over, true);
    return NULL;
}

/* M06: a reader of an old checkpoint, while retention and collection remove it. It may learn that
 * the checkpoint is gone; it may not see damage where there is none. */
START_TEST(test_m06_reader_of_what_is_removed)
{
    struct writer a;
    uint64_t k = 0;
    bool stopped;
    writer_init(&a, "a");
    writer_open(&a, &a.oracle);
    ck_assert_int_eq(writer_checkpoint(&a), 0);
    do {
        struct reader reader = {.store = gate_store_open(f.store)};
        k++;
        gate_stop_at(reader.store, CRN_FAULT_ANY, k, GATE_BEFORE);
        ck_ok(crn_thread_start(&reader.thread, "test-reader", verify_main, &reader, reterr));
        stopped = gate_wait_stopped(reader.store, &reader.over);
        for (int i = 0; i < 2; i++) {
            oracle_mutate(&a.oracle, &a.s, &a.random, 15);
            ck_assert_int_eq(subject_checkpoint(&a.s, true, NULL, NULL), 0);
        }
        gate_let_go(reader.store);
        ck_assert_int_eq(pthread_join(reader.thread, NULL), 0);
        ck_assert_msg(reader.r == 0 || reader.r == CAIRN_EMISSING || reader.r == CAIRN_ENOTFOUND,
                      "stopped at %" PRIu64 ": %s", k, cairn_error_name(reader.r));
        cairn_store_close(reader.store);
    } while (stopped);
    ck_assert_uint_gt(k, 5);
    writer_done(&a);
    check_end(&a.oracle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("race");
    TCase *tcase = tcase_create("race");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_of_many_that_open_one_survives);
    tcase_add_test(tcase, test_m05_late_commit_after_gc);
    tcase_add_test(tcase, test_m06_reader_of_what_is_removed);
    tcase_add_test(tcase, test_m07_stalled_writer_creates_a_deleted_id);
    tcase_add_test(tcase, test_m08_publication_in_another_order);
    tcase_add_test(tcase, test_m09_checkpoint_in_the_middle_of_gc);
    tcase_add_loop_test(tcase, test_m09_gc_in_the_middle_of_a_checkpoint, 0, 2);
    tcase_add_test(tcase, test_collectors_beside_a_running_job);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
