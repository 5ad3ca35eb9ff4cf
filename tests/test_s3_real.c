/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that the S3 backend and a real server understand each other where the contract of all
 * stores (test_store.c, which runs over it, too) does not look: writers at two gateways, TLS,
 * parts, pages, refusals that say what to check, foreign objects, jobs of many pages that change
 * while they are read, clocks. Method: radosgw of Ceph on loopback.
 */
#include "tests/support/oracle.h"
#include "tests/support/s3/real.h"

#include "cairn/inspect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define A "CAIRN_TEST_S3"
#define B "CAIRN_S3_B"
#define TLS "CAIRN_S3_TLS"

static uint8_t *make_bytes(size_t size, unsigned seed)
{
    uint8_t *data = malloc(size + 1);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((i + seed) * 2654435761u >> 13);
    return data;
}

/* ---- many writers, two gateways ---- */

enum { WRITERS = 8, ROUNDS = 20, LARGE = 2 << 20 };

static struct {
    cairn_store *stores[2];
    pthread_barrier_t start;
    atomic_int winners[ROUNDS], losers[ROUNDS], winner[ROUNDS];
} race;

/* Every fourth round with bodies so large that the writers are sure to overlap. */
static size_t size_of_round(int round)
{
    return round % 4 == 3 ? LARGE : 100;
}

static void *write_rounds(void *arg)
{
    const int me = *(int *)arg;
    cairn_store *mine = race.stores[me % 2];
    CRN_AUTO_FREE uint8_t *data = make_bytes(LARGE, (unsigned)me);
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        (void)snprintf(key, sizeof key, "MANIFEST-chk%d", round);
        (void)pthread_barrier_wait(&race.start);
        int r = mine->ops->create(mine, key, data, size_of_round(round), NULL);
        if (r == 0) {
            atomic_fetch_add(&race.winners[round], 1);
            atomic_store(&race.winner[round], me);
        }
        atomic_fetch_add(&race.losers[round], r == CAIRN_EEXIST);
    }
    return NULL;
}

START_TEST(of_many_writers_at_two_gateways_one_creates)
{
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    race.stores[0] = real_store(A, "race", "");
    race.stores[1] = real_store(B, "race", "");
    ck_assert_int_eq(pthread_barrier_init(&race.start, NULL, WRITERS), 0);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(crn_thread_start(&threads[i], "writer", write_rounds, &numbers[i], NULL),
                         0);
    }
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        (void)snprintf(key, sizeof key, "MANIFEST-chk%d", round);
        ck_assert_int_eq(atomic_load(&race.winners[round]), 1);
        ck_assert_int_eq(atomic_load(&race.losers[round]), WRITERS - 1);
        CRN_AUTO_FREE uint8_t *data = make_bytes(LARGE, (unsigned)atomic_load(&race.winner[round]));
        for (int i = 0; i < 2; i++)
            real_expect(race.stores[i], key, data, size_of_round(round));
    }
    ck_assert_uint_eq(real_count(race.stores[1], ""), ROUNDS);
    for (int i = 0; i < 2; i++)
        race.stores[i]->ops->close(race.stores[i]);
    ck_assert_int_eq(pthread_barrier_destroy(&race.start), 0);
}
END_TEST

/* ---- TLS ---- */

START_TEST(certificates_are_checked)
{
    cairn_store *store = real_store(TLS, "tls", "");
    ck_assert_int_eq(store->ops->create(store, "k", "v", 1, NULL), 0);
    real_expect(store, "k", "v", 1);
    store->ops->close(store);
    /* an issuer that nobody trusts, and a file that is none */
    static const struct {
        const char *ca_file, *word;
    } cases[] = {{"/etc/ssl/certs/ca-certificates.crt", "ca_file"},
                 {"/dev/null", "ca_file"},
                 {"/nonexistent/ca.pem", "ca_file"}};
    const char *ca = strstr(getenv(TLS), "&ca_file=");
    ck_assert_ptr_nonnull(ca);
    CRN_AUTO_FREE char *uri = crn_str_dup_n(getenv(TLS), (size_t)(ca - getenv(TLS)));
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        CRN_AUTO_FREE char *other = NULL;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        ck_assert_int_eq(crn_str_printf(&other, NULL, "%s&ca_file=%s", uri, cases[i].ca_file), 0);
        ck_assert_int_eq(cairn_store_open(other, &store, &error), CAIRN_EINVAL);
        ck_assert_msg(strstr(cairn_error_message(error), cases[i].word) != NULL, "%s",
                      cairn_error_message(error));
    }
}
END_TEST

START_TEST(bodies_need_no_signature_over_tls)
{
    CRN_AUTO_FREE uint8_t *data = make_bytes(LARGE, 3);
    cairn_store *store = real_store(TLS, "unsigned", "&payload=unsigned");
    ck_assert_int_eq(real_put(store, "large", data, LARGE, NULL), 0);
    real_expect(store, "large", data, LARGE);
    store->ops->close(store);
}
END_TEST

/* ---- parts ---- */

struct comparing {
    cairn_sink sink;
    const uint8_t *wanted;
    uint64_t got;
};

static int compare_sink(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                        cairn_error **reterr)
{
    struct comparing *c = (struct comparing *)base;
    (void)reterr;
    ck_assert_int_eq(memcmp(c->wanted + offset, data, n), 0);
    c->got = offset + n;
    return 0;
}

START_TEST(large_objects_go_in_parts)
{
    enum { SIZE = (23 << 20) + 17, PART = 5 << 20 };
    CRN_AUTO_FREE uint8_t *data = make_bytes(SIZE, 7);
    cairn_store *store = real_store(A, "parts", "&part_bytes=5MiB&multipart_bytes=5MiB");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;
    ck_assert_int_eq(real_put(store, "large", data, SIZE, NULL), 0);
    real_expect(store, "large", data, SIZE);
    ck_assert_int_eq(real_put(store, "exact", data, 2 * PART, NULL), 0);
    real_expect(store, "exact", data, 2 * PART);
    /* over the seam of two parts */
    struct comparing sink = {.sink = {.write = compare_sink}, .wanted = data + PART - 9};
    ck_assert_int_eq(store->ops->get(store, "large", PART - 9, 18, &sink.sink, NULL), 0);
    ck_assert_uint_eq(sink.got, 18);
    /* as any put: again is no harm, other bytes are refused */
    ck_assert_int_eq(real_put(store, "large", data, SIZE, NULL), 0);
    data[SIZE - 1] ^= 1;
    ck_assert_int_eq(real_put(store, "large", data, SIZE, &error), CAIRN_EEXIST);
    data[SIZE - 1] ^= 1;
    ck_assert_int_eq(store->ops->copy(store, "copied", store, "large", &how, NULL), 0);
    real_expect(store, "copied", data, SIZE);
    store->ops->close(store);
}
END_TEST

START_TEST(unfinished_uploads_are_reaped)
{
    cairn_store *store = real_store(A, "reaped", "");
    uint64_t count = 0;
    for (int i = 0; i < 3; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s/%d", i < 2 ? "job" : "other", i);
        CRN_CLEANUP(crn_s3_request_done)
        struct crn_s3_request request = {.method = "POST", .key = key};
        crn_s3_request_query(&request, "uploads", "");
        ck_assert_int_eq(crn_s3_perform((struct crn_s3 *)store, &request, NULL), 0);
    }
    ck_assert_int_eq(store->ops->reap(store, "job/", 3600000, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(store->ops->reap(store, "job/", 0, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(store->ops->reap(store, "", 0, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(store->ops->reap(store, "", 0, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    store->ops->close(store);
}
END_TEST

/* ---- pages ---- */

enum { OBJECTS = 1105, PUTTERS = 8 };

struct putter {
    cairn_store *store;
    int first;
};

static void *put_many(void *arg)
{
    const struct putter *putter = arg;
    for (int i = putter->first; i < OBJECTS; i += PUTTERS) {
        char key[32];
        (void)snprintf(key, sizeof key, "d%d/%04d", i % 3, i);
        ck_assert_int_eq(real_put(putter->store, key, key, strlen(key), NULL), 0);
    }
    return NULL;
}

static int keep_key(void *context, const char *key, const cairn_object_stat *stat)
{
    char ***next = context;
    ck_assert(stat != NULL && stat->size == strlen(key) && stat->modified_ms > 0);
    **next = crn_str_dup_n(key, strlen(key));
    ck_assert_ptr_nonnull(**next);
    ++*next;
    return 0;
}

START_TEST(listings_have_pages)
{
    cairn_store *store = real_store(A, "pages", "");
    pthread_t threads[PUTTERS];
    struct putter putters[PUTTERS];
    char *keys[OBJECTS + 1] = {0}, **next = keys;
    for (int i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){store, i};
        ck_assert_int_eq(crn_thread_start(&threads[i], "putter", put_many, &putters[i], NULL), 0);
    }
    for (int i = 0; i < PUTTERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(store->ops->list(store, "", keep_key, &next, NULL), 0);
    ck_assert_int_eq((int)(next - keys), OBJECTS);
    for (int i = 1; i < OBJECTS; i++)
        ck_assert_int_lt(strcmp(keys[i - 1], keys[i]), 0);
    ck_assert_uint_eq(real_count(store, "d1/"), OBJECTS / 3);
    ck_assert_int_eq(store->ops->remove(store, (const char *const *)keys, OBJECTS, NULL), 0);
    ck_assert_uint_eq(real_count(store, ""), 0);
    for (int i = 0; i < OBJECTS; i++)
        free(keys[i]);
    store->ops->close(store);
}
END_TEST

/* ---- refusals ---- */

static void expect_refused(const char *variable, const char *options, int code, const char *word)
{
    cairn_store *store = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *uri = real_uri(variable, "x", options);
    int r = cairn_store_open(uri, &store, &error);
    const char *message = cairn_error_message(error);
    ck_assert_msg(r == code, "%s: %s", cairn_error_name(r), message);
    ck_assert_msg(strstr(message, word) != NULL, "no '%s': %s", word, message);
    ck_assert_ptr_null(strstr(message, "testsecret"));
}

START_TEST(refusals_say_what_to_check)
{
    CRN_AUTO_FREE char *key = strdup(getenv("AWS_ACCESS_KEY_ID"));
    CRN_AUTO_FREE char *secret = strdup(getenv("AWS_SECRET_ACCESS_KEY"));
    setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    expect_refused(A, "", CAIRN_EACCES, "look at the secret key");
    setenv("AWS_ACCESS_KEY_ID", "nobody", 1);
    expect_refused(A, "", CAIRN_EACCES, "does not know this access key");
    setenv("AWS_ACCESS_KEY_ID", key, 1);
    setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
    unsetenv("AWS_SECRET_ACCESS_KEY");
    expect_refused(A, "", CAIRN_EINVAL, "AWS_SECRET_ACCESS_KEY");
    setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
    /* a bucket that is not there */
    CRN_AUTO_FREE char *right = strdup(getenv(A));
    CRN_AUTO_FREE char *wrong = NULL;
    ck_assert_int_eq(crn_str_printf(&wrong, NULL, "s3://nowhere/t%s", strchr(right, '?')), 0);
    setenv(A, wrong, 1);
    expect_refused(A, "", CAIRN_ENOTFOUND, "no such bucket");
    setenv(A, right, 1);
    /* nobody there, and somebody who does not speak TLS */
    setenv(B, "s3://cairn/t?endpoint=http://127.0.0.1:1", 1);
    expect_refused(B, "&retry_ms=500", CAIRN_EUNAVAIL, "nobody listens");
    CRN_AUTO_FREE char *tls = NULL;
    ck_assert_int_eq(
        crn_str_printf(&tls, NULL, "s3://cairn/t?endpoint=https%s", strstr(right, "://127")), 0);
    setenv(B, tls, 1);
    expect_refused(B, "&retry_ms=500", CAIRN_EUNAVAIL, "http or https");
}
END_TEST

/* ---- foreign objects ---- */

/* Put without the check of keys, as another tool could. */
static void put_foreign(cairn_store *store, const char *key)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {.method = "PUT", .key = key, .body = "f", .body_size = 1};
    int r = crn_s3_perform((struct crn_s3 *)store, &request, &error);
    ck_assert_msg(r == 0, "'%s': %s", key, cairn_error_message(error));
}

static int find_key(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)stat;
    return strcmp(key, context) == 0 ? 1 : 0;
}

START_TEST(foreign_objects_are_no_harm)
{
    static const char *const foreign[] = {
        "a//b",          "x/../y",       "name with spaces & <signs> \"'",
        "50%25+more=?#", "ünïcode/日本", "end/",
        "tab\there",     "line\nbreak"};
    cairn_store *store = real_store(A, "foreign", "");
    for (size_t i = 0; i < CRN_COUNT(foreign); i++)
        put_foreign(store, foreign[i]);
    for (size_t i = 0; i < CRN_COUNT(foreign); i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = store->ops->list(store, "", find_key, (void *)(uintptr_t)foreign[i], &error);
        ck_assert_msg(r == 1, "'%s': %s", foreign[i], cairn_error_message(error));
    }
    char **names;
    size_t count;
    ck_assert_int_eq(cairn_store_jobs(store, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    cairn_names_free(names, count);
    store->ops->close(store);
}
END_TEST

/* ---- a job of many objects ---- */

enum { CHECKPOINTS = 160, PAGE = 50 };

struct changes {
    cairn_store *store;
    atomic_bool is_over;
    unsigned count;
};

/* Keys before, between and behind those of the job come and go. */
static void *change_keys(void *arg)
{
    struct changes *changes = arg;
    while (!atomic_load(&changes->is_over)) {
        static const char *const keys[] = {"aa", "job/0 before", "job/n between", "job/zz", "zz"};
        for (size_t i = 0; i < CRN_COUNT(keys); i++)
            put_foreign(changes->store, keys[i]);
        ck_assert_int_eq(changes->store->ops->remove(changes->store, keys, CRN_COUNT(keys), NULL),
                         0);
        changes->count++;
    }
    return NULL;
}

static void expect_usage(cairn_store *store, uint64_t foreign)
{
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_ok(cairn_job_usage(store, "job", &usage, reterr));
    ck_assert_uint_eq(usage.dead_count, 0);
    ck_assert_uint_eq(usage.unresolved_count, 0);
    ck_assert_uint_eq(usage.missing_count, 0);
    ck_assert_uint_eq(usage.foreign_count, foreign);
}

START_TEST(a_job_of_many_pages_beside_foreign_objects)
{
    static const char *const foreign[] = {"job/.hidden",
                                          "job/../job/x",
                                          "job/MANIFEST-chk",
                                          "job/MANIFEST-chk007",
                                          "job/a b+c%2B?d=e&f#g",
                                          "job/chk-1/not ours",
                                          "job/line\nbreak\ttab",
                                          "job/shared/",
                                          "job/shared/../MANIFEST-chk1",
                                          "job/shared/ünïcode/日本",
                                          "job/shared/x'\"<&>.sst",
                                          "job//MANIFEST-chk1"};
    struct fixture f;
    struct subject s;
    struct oracle oracle;
    uint64_t random = 3;
    pthread_t thread;
    char options[64];
    real_signal("gateway-b", SIGKILL);
    (void)snprintf(options, sizeof options, "--rgw-max-listing-results %d", PAGE);
    ck_assert_int_eq(setenv("CAIRN_GATEWAY_OPTIONS", options, 1), 0);
    real_script("gateway", "b");
    cairn_store *store = real_store(B, "many", ""), *other = real_store(A, "many", "");
    for (size_t i = 0; i < CRN_COUNT(foreign); i++)
        put_foreign(store, foreign[i]);
    fixture_init(&f, false);
    f.options.store = store;
    f.options.num_retained = CHECKPOINTS;
    oracle_init(&oracle);
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (int i = 0; i < CHECKPOINTS; i++) {
        oracle_mutate(&oracle, &s, &random, 30);
        ck_ok(subject_checkpoint(&s, true, NULL, reterr));
    }
    subject_close(&s);
    ck_assert_uint_gt(real_count(store, "job/"), 1000);
    ck_assert_uint_eq(real_count(store, "job/"), real_count(other, "job/"));
    expect_usage(store, CRN_COUNT(foreign));
    /* the listing changes while it is read */
    struct changes changes = {.store = other};
    ck_assert_int_eq(crn_thread_start(&thread, "changes", change_keys, &changes, NULL), 0);
    for (int i = 0; i < 5; i++) {
        cairn_gc_report report = CAIRN_GC_REPORT_INIT;
        ck_ok(cairn_gc(store, "job", NULL, &report, reterr));
        ck_assert_uint_eq(report.removed_count, 0);
        ck_ok(cairn_verify(store, "job", NULL, NULL, reterr));
    }
    ck_ok(subject_open(&f, "job", &s, reterr));
    const char *why = oracle_compare(&oracle, &s);
    ck_assert_msg(why == NULL, "%s", why);
    f.options.num_retained = 1;
    subject_close(&s);
    ck_ok(subject_open(&f, "job", &s, reterr));
    ck_ok(subject_checkpoint(&s, true, NULL, reterr));
    subject_close(&s);
    atomic_store(&changes.is_over, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_gt(changes.count, 3);
    ck_ok(cairn_gc(store, "job", NULL, NULL, reterr));
    expect_usage(store, CRN_COUNT(foreign));
    for (size_t i = 0; i < CRN_COUNT(foreign); i++)
        ck_assert_int_eq(store->ops->list(store, "", find_key, (void *)(uintptr_t)foreign[i], NULL),
                         1);
    fixture_done(&f);
    store->ops->close(store);
    other->ops->close(other);
    ck_assert_int_eq(unsetenv("CAIRN_GATEWAY_OPTIONS"), 0);
    real_signal("gateway-b", SIGKILL);
    real_script("gateway", "b");
}
END_TEST

/* ---- a clock that is wrong ---- */

START_TEST(a_wrong_clock_is_set_right)
{
    static const int64_t hours[] = {3, -3};
    for (size_t i = 0; i < CRN_COUNT(hours); i++) {
        char key[8];
        cairn_object_stat stat;
        cairn_store *store = real_store(A, "clock", "");
        (void)snprintf(key, sizeof key, "k%zu", i);
        atomic_store(&((struct crn_s3 *)store)->skew_ms, hours[i] * 3600000);
        ck_assert_int_eq(store->ops->create(store, key, "v", 1, NULL), 0);
        atomic_store(&((struct crn_s3 *)store)->skew_ms, hours[i] * 3600000);
        ck_assert_int_eq(store->ops->stat(store, key, &stat, NULL), 0);
        store->ops->close(store);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_real");
    TCase *tcase = tcase_create("radosgw");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, of_many_writers_at_two_gateways_one_creates);
    tcase_add_test(tcase, certificates_are_checked);
    tcase_add_test(tcase, bodies_need_no_signature_over_tls);
    tcase_add_test(tcase, large_objects_go_in_parts);
    tcase_add_test(tcase, unfinished_uploads_are_reaped);
    tcase_add_test(tcase, listings_have_pages);
    tcase_add_test(tcase, refusals_say_what_to_check);
    tcase_add_test(tcase, foreign_objects_are_no_harm);
    tcase_add_test(tcase, a_job_of_many_pages_beside_foreign_objects);
    tcase_add_test(tcase, a_wrong_clock_is_set_right);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
