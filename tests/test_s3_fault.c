/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that nothing is lost and nothing is believed that is not so when a real server dies or
 * hangs (P1, P2, P5, P6, P7, P8): a gateway killed with -9 in the middle of PUT, stopped for longer
 * than the client waits with a create on its way, disk or monitor killed or stopped alone, all
 * daemons killed at once; and a job that goes on through each of it. Method: Ceph on disk
 * (bluestore), signals, and its daemons started again.
 */
#include "tests/support/oracle.h"
#include "tests/support/s3/real.h"

#include "cairn/inspect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define A "CAIRN_TEST_S3"
#define B "CAIRN_S3_B"

/* ---- killed in the middle of PUT ---- */

enum { SIZE = 24 << 20, HALF = 12 << 20 };

/* Read once to be signed, and a second time to be sent. */
struct deadly_source {
    cairn_source source;
    const uint8_t *data;
    int passes;
    bool killed, restarts;
};

static void *restart_gateway(void *arg)
{
    (void)arg;
    crn_sleep_us(300000);
    real_script("gateway", "a");
    return NULL;
}

static int read_and_kill(cairn_source *base, uint64_t offset, void *data, size_t n,
                         cairn_error **reterr)
{
    struct deadly_source *source = (struct deadly_source *)base;
    (void)reterr;
    source->passes += offset == 0;
    if (source->passes == 2 && offset >= HALF && !source->killed) {
        pthread_t thread;
        source->killed = true;
        real_signal("gateway-a", SIGKILL);
        if (source->restarts) {
            ck_assert_int_eq(crn_thread_start(&thread, "restart", restart_gateway, NULL, NULL), 0);
            ck_assert_int_eq(pthread_detach(thread), 0);
        }
    }
    memcpy(data, source->data + offset, n);
    return 0;
}

static uint8_t *make_bytes(size_t size)
{
    uint8_t *data = malloc(size);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    return data;
}

START_TEST(a_gateway_is_killed_in_the_middle_of_put)
{
    const bool restarts = _i;
    CRN_AUTO_FREE uint8_t *data = make_bytes(SIZE);
    struct deadly_source source = {
        .source = {.size = SIZE, .read = read_and_kill}, .data = data, .restarts = restarts};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;
    char key[16];
    (void)snprintf(key, sizeof key, "put%d", _i);
    cairn_store *store = real_store(A, "killed", restarts ? "&retry_ms=60000" : "&retry_ms=2000");
    cairn_store *other = real_store(B, "killed", "");
    int r = store->ops->put(store, key, &source.source, &how, &error);
    ck_assert(source.killed);
    if (restarts) {
        ck_assert_msg(r == 0, "%s", cairn_error_message(error));
        real_expect(other, key, data, SIZE);
    } else {
        cairn_object_stat stat;
        ck_assert_msg(r == CAIRN_EUNAVAIL, "%s: %s", cairn_error_name(r),
                      cairn_error_message(error));
        /* half an object is none */
        ck_assert_int_eq(other->ops->stat(other, key, &stat, NULL), CAIRN_ENOTFOUND);
        ck_assert_uint_eq(real_count(other, key), 0);
        real_script("gateway", "a");
    }
    store->ops->close(store);
    other->ops->close(other);
}
END_TEST

/* ---- stopped for longer than the client's patience ---- */

/* The request is in the stopped gateway's socket when we give up, and is carried out afterwards. */
START_TEST(a_create_happens_after_we_gave_up)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_store *hasty = real_store(A, "late", "&request_timeout_ms=800&retry_ms=1500");
    cairn_store *other = real_store(B, "late", "");
    cairn_object_stat stat;
    real_signal("gateway-a", SIGSTOP);
    int r = hasty->ops->create(hasty, "MANIFEST-chk1", "ours", 4, &error);
    ck_assert_msg(r == CAIRN_EUNKNOWN, "%s: %s", cairn_error_name(r), cairn_error_message(error));
    ck_assert_int_eq(other->ops->stat(other, "MANIFEST-chk1", &stat, NULL), CAIRN_ENOTFOUND);
    real_signal("gateway-a", SIGCONT);
    for (int i = 0; i < 100 && other->ops->stat(other, "MANIFEST-chk1", &stat, NULL) != 0; i++)
        crn_sleep_us(100000);
    real_expect(other, "MANIFEST-chk1", "ours", 4);
    /* nobody else gets it any more */
    ck_assert_int_eq(other->ops->create(other, "MANIFEST-chk1", "them", 4, NULL), CAIRN_EEXIST);
    hasty->ops->close(hasty);
    other->ops->close(other);
}
END_TEST

/* ---- all daemons killed ---- */

START_TEST(what_was_acknowledged_survives_the_loss_of_power)
{
    enum { OBJECTS = 40 };
    cairn_store *store = real_store(A, "power", "&retry_ms=120000");
    char key[32];
    for (int i = 0; i < OBJECTS; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        int r = i % 2 ? real_put(store, key, key, strlen(key), NULL)
                      : store->ops->create(store, key, key, strlen(key), NULL);
        ck_assert_int_eq(r, 0);
    }
    real_script("stop", NULL);
    real_script("again", NULL);
    for (int i = 0; i < OBJECTS; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        real_expect(store, key, key, strlen(key));
        ck_assert_int_eq(store->ops->create(store, key, "x", 1, NULL), CAIRN_EEXIST);
    }
    ck_assert_uint_eq(real_count(store, ""), OBJECTS);
    store->ops->close(store);
}
END_TEST

/* ---- a job through all of it ---- */

enum { ATTEMPTS_MAX = 256 };

struct trouble {
    void (*make)(void);
    int times, done;
    atomic_bool is_over;
};

static void kill_and_stop_the_gateway(void)
{
    real_signal("gateway-a", SIGKILL);
    real_script("gateway", "a");
    crn_sleep_us(1000000);
    real_signal("gateway-a", SIGSTOP);
    crn_sleep_us(2500000);
    real_signal("gateway-a", SIGCONT);
}

static void kill_the_disk(void)
{
    real_signal("osd", SIGKILL);
    crn_sleep_us(1500000);
    real_script("daemon", "osd");
    crn_sleep_us(3000000);
}

static void stop_the_disk(void)
{
    real_signal("osd", SIGSTOP);
    crn_sleep_us(3000000);
    real_signal("osd", SIGCONT);
    crn_sleep_us(1000000);
}

static void kill_the_monitor(void)
{
    real_signal("mon", SIGKILL);
    crn_sleep_us(2500000);
    real_script("daemon", "mon");
    crn_sleep_us(1000000);
}

static void cut_the_power(void)
{
    real_script("stop", NULL);
    crn_sleep_us(500000);
    real_script("again", NULL);
}

static const struct {
    void (*make)(void);
    int times;
    const char *path;
} troubles[] = {{kill_and_stop_the_gateway, 3, "gateway"},
                {kill_the_disk, 2, "disk-killed"},
                {stop_the_disk, 2, "disk-stopped"},
                {kill_the_monitor, 2, "monitor"},
                {cut_the_power, 1, "power-cut"}};

static void *make_trouble(void *arg)
{
    struct trouble *trouble = arg;
    for (; trouble->done < trouble->times; trouble->done++) {
        crn_sleep_us(1500000);
        trouble->make();
    }
    atomic_store(&trouble->is_over, true);
    return NULL;
}

static void note_problem(void *context, uint64_t id, const cairn_error *error)
{
    (void)id;
    (void)snprintf(context, 256, "%s", cairn_error_message(error));
}

/* The state after the last checkpoint that is known to be complete, or after a later attempt: a
 * failed one may have been committed without our learning it. */
static void expect_one_of(struct subject *s, const struct oracle *states, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++)
        if (oracle_compare(&states[i], s) == NULL)
            return;
    ck_abort_msg("the restored state is that of none of the last %zu attempts", last - first + 1);
}

START_TEST(a_job_goes_on_through_all_of_it)
{
    struct fixture f;
    struct subject s;
    struct trouble trouble = {.make = troubles[_i].make, .times = troubles[_i].times};
    pthread_t thread;
    uint64_t random = 7;
    size_t last = 0, complete = 0, completed = 0;
    CRN_AUTO_FREE struct oracle *states = calloc(ATTEMPTS_MAX, sizeof *states);
    ck_assert_ptr_nonnull(states);
    fixture_init(&f, false);
    cairn_store *store = real_store(A, troubles[_i].path, "&request_timeout_ms=1000&retry_ms=4000");
    f.options.store = store;
    f.options.num_retained = 2;
    f.options.tolerable_failures = 0; /* any number */
    oracle_init(&states[0]);
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_assert_int_eq(crn_thread_start(&thread, "trouble", make_trouble, &trouble, NULL), 0);
    while (last + 1 < ATTEMPTS_MAX && (!atomic_load(&trouble.is_over) || complete != last)) {
        cairn_error *error = NULL;
        states[last + 1] = states[last];
        last++;
        oracle_mutate(&states[last], &s, &random, 10);
        if (subject_checkpoint(&s, false, NULL, &error) >= 0) {
            complete = last;
            completed++;
        }
        cairn_error_free(error);
        crn_sleep_us(200000);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_gt(completed, 3);
    subject_close(&s);
    ck_ok(subject_open(&f, "job", &s, reterr)); /* P8 */
    expect_one_of(&s, states, complete, last);
    oracle_mutate(&states[last], &s, &random, 1);
    ck_ok(subject_checkpoint(&s, false, NULL, reterr));
    subject_close(&s);
    /* P1, P5: all is there, to the last byte; P6: one collection leaves nothing over. */
    cairn_verify_options verify = CAIRN_VERIFY_OPTIONS_INIT;
    char problem[256] = "";
    verify.full = 1;
    verify.problem = note_problem;
    verify.context = problem;
    ck_ok(cairn_verify(store, "job", &verify, NULL, reterr));
    ck_assert_str_eq(problem, "");
    ck_ok(cairn_gc(store, "job", NULL, NULL, reterr));
    store_check_tidy(store, "job");
    store->ops->close(store);
    fixture_done(&f);
    (void)fprintf(stderr, "# %s: %zu of %zu checkpoints were completed\n", troubles[_i].path,
                  completed, last);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_fault");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 200);
    tcase_add_loop_test(tcase, a_gateway_is_killed_in_the_middle_of_put, 0, 2);
    tcase_add_test(tcase, a_create_happens_after_we_gave_up);
    tcase_add_test(tcase, what_was_acknowledged_survives_the_loss_of_power);
    tcase_add_loop_test(tcase, a_job_goes_on_through_all_of_it, 0, CRN_COUNT(troubles));
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
