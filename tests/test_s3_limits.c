/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what becomes of a job whose server has enough of it (P1, P5, P6): asks for fewer requests,
 * is full half-way through a checkpoint, or forbids to go on half-way. The checkpoint fails and
 * says what to look at, the job goes on, nothing partial is taken for whole, what was sent goes
 * away even where nothing more may be put, and once the matter is mended checkpoints succeed by
 * themselves. Method: radosgw of Ceph with two requests at a time, with quotas, and with users,
 * keys and policies that are changed while a proxy of ours holds a checkpoint's third object up.
 */
#include "tests/support/oracle.h"
#include "tests/support/s3/proxy.h"
#include "tests/support/s3/real.h"

#include "cairn/inspect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DIRECT "CAIRN_TEST_S3"
#define BUCKET "CAIRN_S3_BUCKET"
#define B "CAIRN_S3_B"

static struct proxy *proxy;

static void setup(void)
{
    proxy = proxy_start(real_port(DIRECT), NULL);
}

static void teardown(void)
{
    proxy_stop(proxy);
}

/* ---- a job ---- */

struct run {
    struct fixture f;
    struct subject s;
    struct oracle oracle;
    uint64_t random;
    cairn_store *store;
};

static void run_start(struct run *run, cairn_store *store)
{
    *run = (struct run){.store = store, .random = 5};
    fixture_init(&run->f, false);
    run->f.options.store = store;
    run->f.options.num_retained = 2;
    run->f.options.tolerable_failures = 0; /* any number */
    run->f.options.checkpoint_timeout_ms = 3000;
    oracle_init(&run->oracle);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
}

static int run_checkpoint(struct run *run, cairn_error **reterr)
{
    oracle_mutate(&run->oracle, &run->s, &run->random, 20);
    return subject_checkpoint(&run->s, false, NULL, reterr);
}

static void expect_verified(cairn_store *store)
{
    cairn_verify_options verify = CAIRN_VERIFY_OPTIONS_INIT;
    verify.full = 1;
    ck_ok(cairn_verify(store, "job", &verify, NULL, reterr));
}

/* The newest checkpoint holds the present state, and nothing is left over. */
static void run_end(struct run *run)
{
    ck_ok(run_checkpoint(run, reterr));
    subject_close(&run->s);
    ck_ok(subject_open(&run->f, "job", &run->s, reterr));
    const char *why = oracle_compare(&run->oracle, &run->s);
    ck_assert_msg(why == NULL, "%s", why);
    subject_close(&run->s);
    ck_ok(cairn_gc(run->store, "job", NULL, NULL, reterr));
    store_check_tidy(run->store, "job");
    expect_verified(run->store);
    fixture_done(&run->f);
}

static void expect_said(const cairn_error *error, const char *word)
{
    const char *message = cairn_error_message(error);
    ck_assert_msg(strstr(message, word) != NULL, "no '%s': %s", word, message);
}

/* ---- full ---- */

START_TEST(a_bucket_is_full_half_way)
{
    struct run run;
    char words[128];
    CRN_AUTO_ERROR cairn_error *error = NULL, *again = NULL;
    real_bucket(BUCKET, "full", real_port(DIRECT));
    run_start(&run, real_store(BUCKET, "", "&retry_ms=4000"));
    for (int i = 0; i < 2; i++)
        ck_ok(run_checkpoint(&run, reterr));
    const uint64_t before = real_count(run.store, "");
    (void)snprintf(words, sizeof words,
                   "quota set --quota-scope=bucket --bucket=full --max-objects=%d",
                   (int)before + 3);
    real_admin(words);
    real_admin("quota enable --quota-scope=bucket --bucket=full");
    ck_assert_int_lt(run_checkpoint(&run, &error), 0);
    expect_said(error, "quota is used up");
    /* what was sent has gone again, and what was there is whole */
    ck_assert_uint_le(real_count(run.store, ""), before + 1); /* an aborted id's record */
    expect_verified(run.store);
    ck_assert_int_lt(run_checkpoint(&run, &again), 0);
    expect_said(again, "quota is used up");
    /* a collection needs no room */
    ck_ok(cairn_gc(run.store, "job", NULL, NULL, reterr));
    real_admin("quota disable --quota-scope=bucket --bucket=full");
    run_end(&run);
    run.store->ops->close(run.store);
}
END_TEST

/* ---- forbidden ---- */

static const char deny[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\","
    "\"Action\":[\"s3:PutObject\"],\"Resource\":[\"arn:aws:s3:::forbidden2/*\"]}]}";

static void set_policy(bool denies)
{
    cairn_store *store;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = denies ? "PUT" : "DELETE",
        .body = deny,
        .body_size = denies ? sizeof deny - 1 : 0,
    };
    crn_s3_request_query(&request, "policy", "");
    ck_assert_int_eq(real_open(BUCKET, "", "", false, &store, NULL), 0);
    int r = crn_s3_perform((struct crn_s3 *)store, &request, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    store->ops->close(store);
}

static const struct {
    const char *forbid, *allow; /* for radosgw-admin; NULL: by the bucket's policy */
    const char *word;
    bool can_remove;
} cases[] = {
    {"user suspend --uid test", "user enable --uid test", "look at the keys", false},
    {"key rm --uid test --access-key test",
     "key create --uid test --access-key test --secret-key testsecret", "look at the keys", false},
    {NULL, NULL, "look at the rights", true},
};

/* Waits until an object is held up. */
static void *forbid(void *arg)
{
    const int i = *(int *)arg;
    while (proxy_count(proxy, PROXY_DELAY) == 0)
        crn_sleep_us(2000);
    if (cases[i].forbid != NULL)
        real_admin(cases[i].forbid);
    else
        set_policy(true);
    return NULL;
}

START_TEST(a_bucket_is_forbidden_half_way)
{
    struct run run;
    pthread_t thread;
    int i = _i;
    char bucket[32];
    CRN_AUTO_ERROR cairn_error *error = NULL, *again = NULL;
    (void)snprintf(bucket, sizeof bucket, "forbidden%d", i);
    real_bucket(BUCKET, bucket, proxy_port(proxy));
    run_start(&run, real_store(BUCKET, "", "&retry_ms=4000"));
    ck_ok(run_checkpoint(&run, reterr));
    const uint64_t before = real_count(run.store, "");
    proxy_add(proxy, &(struct proxy_rule){.method = "PUT",
                                          .in = "/job/",
                                          .skip = 2,
                                          .times = 1,
                                          .what = PROXY_DELAY,
                                          .at = 1000});
    ck_assert_int_eq(crn_thread_start(&thread, "forbid", forbid, &i, NULL), 0);
    ck_assert_int_lt(run_checkpoint(&run, &error), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    expect_said(error, cases[i].word);
    ck_assert_int_lt(run_checkpoint(&run, &again), 0);
    expect_said(again, cases[i].word);
    if (cases[i].can_remove) {
        ck_assert_uint_le(real_count(run.store, ""), before);
        expect_verified(run.store);
    }
    if (cases[i].allow != NULL)
        real_admin(cases[i].allow);
    else
        set_policy(false);
    expect_verified(run.store);
    run_end(&run);
    run.store->ops->close(run.store);
}
END_TEST

/* ---- slow down ---- */

enum { CLIENTS = 16, PUTS = 40, BYTES = 100000 };

struct client {
    pthread_t thread;
    cairn_store *store;
    int number, failed;
    uint64_t slowest_us;
};

static void *put_some(void *arg)
{
    struct client *client = arg;
    CRN_AUTO_FREE char *data = calloc(1, BYTES);
    if (data == NULL)
        abort();
    for (int i = 0; i < PUTS; i++) {
        char key[32];
        const uint64_t start_us = crn_now_us();
        (void)snprintf(key, sizeof key, "c%d-%d", client->number, i);
        client->failed += real_put(client->store, key, data, BYTES, NULL) < 0;
        if (crn_now_us() - start_us > client->slowest_us)
            client->slowest_us = crn_now_us() - start_us;
    }
    return NULL;
}

/* Two requests at a time, the others are told to come again, or hang. */
START_TEST(a_server_that_asks_for_fewer_requests_is_heard)
{
    struct run run;
    struct client clients[CLIENTS];
    uint64_t requests = 0, repeated = 0, slowest_us = 0;
    real_signal("gateway-b", SIGKILL);
    ck_assert_int_eq(setenv("CAIRN_GATEWAY_OPTIONS", "--rgw-max-concurrent-requests 2", 1), 0);
    real_script("gateway", "b");
    static const char options[] = "&request_timeout_ms=3000&retry_ms=60000";
    const uint64_t start_us = crn_now_us();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.store = real_store(B, "slow", options), .number = i};
        ck_assert_int_eq(
            crn_thread_start(&clients[i].thread, "client", put_some, &clients[i], NULL), 0);
    }
    /* and for a while nothing is answered at all: what hangs ends by its own timeout */
    real_signal("gateway-b", SIGSTOP);
    crn_sleep_us(4000000);
    real_signal("gateway-b", SIGCONT);
    run_start(&run, real_store(B, "slow", options));
    for (int i = 0; i < 3; i++)
        ck_ok(run_checkpoint(&run, reterr));
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert_int_eq(pthread_join(clients[i].thread, NULL), 0);
        ck_assert_int_eq(clients[i].failed, 0);
        struct crn_s3_counters *counters = &((struct crn_s3 *)clients[i].store)->counters;
        requests += atomic_load(&counters->requests);
        repeated += atomic_load(&counters->repeated);
        if (clients[i].slowest_us > slowest_us)
            slowest_us = clients[i].slowest_us;
        clients[i].store->ops->close(clients[i].store);
    }
    const double seconds = (double)(crn_now_us() - start_us) / 1e6;
    /* It was needed, and it was no storm: a handful of tries for each. */
    ck_assert_uint_gt(repeated, 0);
    ck_assert_uint_ge(slowest_us, 3000000);
    ck_assert_uint_lt(requests, CLIENTS * (PUTS + 4) * 5);
    ck_assert(seconds < 60);
    run_end(&run);
    run.store->ops->close(run.store);
    (void)fprintf(
        stderr, "# %d clients: %llu requests, %llu repeated, the slowest put %.1f s, all %.1f s\n",
        CLIENTS, (unsigned long long)requests, (unsigned long long)repeated,
        (double)slowest_us / 1e6, seconds);
    ck_assert_int_eq(unsetenv("CAIRN_GATEWAY_OPTIONS"), 0);
    real_signal("gateway-b", SIGKILL);
    real_script("gateway", "b");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_limits");
    TCase *tcase = tcase_create("limits");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_bucket_is_full_half_way);
    tcase_add_loop_test(tcase, a_bucket_is_forbidden_half_way, 0, CRN_COUNT(cases));
    tcase_add_test(tcase, a_server_that_asks_for_fewer_requests_is_heard);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
