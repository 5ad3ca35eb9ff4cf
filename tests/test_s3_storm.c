/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves with a real server what test_s3_proxy.c proves with one of our own (P1, P2, P5, P6, P7,
 * P8): a job behind a network that cuts, delays, doubles, reorders, swallows and spoils goes on and
 * loses nothing, what comes late is harmless, and one collection leaves nothing over. Method:
 * radosgw of Ceph behind a proxy of our own, whose schedules follow from a seed (CAIRN_SEED).
 */
#include "tests/support/s3/real.h"
#include "tests/support/s3/storm.h"

#include "cairn/inspect.h"

#include <stdio.h>
#include <string.h>

#define DIRECT "CAIRN_TEST_S3"
#define THROUGH "CAIRN_S3_PROXY"

static struct proxy *proxy;

static void setup(void)
{
    char uri[128];
    proxy = proxy_start(real_port(DIRECT), NULL);
    (void)snprintf(uri, sizeof uri, "s3://cairn/t?endpoint=http://127.0.0.1:%u", proxy_port(proxy));
    ck_assert_int_eq(setenv(THROUGH, uri, 1), 0);
}

static void teardown(void)
{
    proxy_stop(proxy);
}

/* ---- a job ---- */

START_TEST(a_job_goes_on)
{
    const bool on_disk = _i % 2 != 0;
    const char *seed = getenv("CAIRN_SEED");
    char path[32];
    (void)snprintf(path, sizeof path, "storm%d", _i);
    struct storm storm = {
        .proxy = proxy,
        .store = real_store(THROUGH, path, "&request_timeout_ms=500&retry_ms=5000"),
        .direct = real_store(DIRECT, path, ""),
        .seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)_i + 101,
        .of_thousand = 80,
        .checkpoints = on_disk ? 12 : 20,
        .on_disk = on_disk,
    };
    storm_run(&storm);
    storm.store->ops->close(storm.store);
    storm.direct->ops->close(storm.direct);
}
END_TEST

/* ---- large objects ---- */

/* The server keeps parts that nobody completes until they are reaped. */
START_TEST(parts_come_whole)
{
    enum { SIZE = (12 << 20) + 1 };
    const unsigned whats = 1u << PROXY_CUT_REQUEST | 1u << PROXY_CUT_REPLY | 1u << PROXY_TRUNCATE |
                           1u << PROXY_DELAY | 1u << PROXY_DUPLICATE | 1u << PROXY_HOLD |
                           1u << PROXY_REPLAY | 1u << PROXY_GARBAGE;
    cairn_store *store =
        real_store(THROUGH, "parts", "&part_bytes=5MiB&multipart_bytes=5MiB&retry_ms=20000");
    cairn_store *direct = real_store(DIRECT, "parts", "");
    CRN_AUTO_FREE uint8_t *data = malloc(SIZE);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    unsigned stored = 0;
    for (unsigned i = 0; i < 6; i++) {
        char key[16];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        cairn_object_stat stat;
        (void)snprintf(key, sizeof key, "large%u", i);
        proxy_set_chance(proxy, i + 1, 250, whats);
        int r = real_put(store, key, data, SIZE, &error);
        proxy_clear(proxy);
        proxy_release(proxy);
        const bool is_there = direct->ops->stat(direct, key, &stat, NULL) == 0;
        ck_assert_msg(r != 0 || is_there, "0, but it is not there");
        if (is_there)
            real_expect(direct, key, data, SIZE);
        stored += r == 0;
    }
    ck_assert_uint_ge(stored, 3);
    uint64_t count;
    ck_assert_int_eq(direct->ops->reap(direct, "", 0, &count, NULL), 0);
    ck_assert_int_eq(direct->ops->reap(direct, "", 0, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    store->ops->close(store);
    direct->ops->close(direct);
}
END_TEST

/* ---- ghosts ---- */

/* The second answer is a refusal, of our own object. */
START_TEST(a_doubled_put_is_our_own)
{
    cairn_store *store = real_store(THROUGH, "doubled", "");
    proxy_add(proxy, &(struct proxy_rule){.method = "PUT", .times = 3, .what = PROXY_DUPLICATE});
    ck_assert_int_eq(real_put(store, "k", "bytes", 5, NULL), 0);
    ck_assert_int_eq(real_put(store, "k", "other", 5, NULL), CAIRN_EEXIST);
    real_expect(store, "k", "bytes", 5);
    ck_assert_int_eq(store->ops->create(store, "l", "ours", 4, NULL), CAIRN_EEXIST);
    real_expect(store, "l", "ours", 4);
    store->ops->close(store);
}
END_TEST

/* The server takes an old request again: its signature holds for a quarter of an hour. */
START_TEST(an_old_request_is_a_ghost)
{
    cairn_store *store = real_store(THROUGH, "ghost", "");
    const char *keys[] = {"gone", "kept"};
    for (int i = 0; i < 2; i++)
        proxy_add(proxy, &(struct proxy_rule){.method = "PUT",
                                              .in = keys[i],
                                              .times = 1,
                                              .what = PROXY_REPLAY,
                                              .at = PROXY_LATER});
    ck_assert_int_eq(store->ops->create(store, "gone", "old", 3, NULL), 0);
    ck_assert_int_eq(store->ops->create(store, "kept", "old", 3, NULL), 0);
    ck_assert_int_eq(store->ops->remove(store, keys, 2, NULL), 0);
    ck_assert_int_eq(store->ops->create(store, "kept", "new", 3, NULL), 0);
    proxy_release(proxy);
    real_expect(store, "gone", "old", 3);
    real_expect(store, "kept", "new", 3);
    store->ops->close(store);
}
END_TEST

START_TEST(a_create_comes_after_its_successor)
{
    cairn_store *store = real_store(THROUGH, "late", "");
    for (int i = 1; i <= 3; i += 2) {
        char key[8];
        (void)snprintf(key, sizeof key, "chk%d", i);
        proxy_add(proxy, &(struct proxy_rule){.method = "PUT",
                                              .in = i == 1 ? "chk1" : "chk3",
                                              .times = 1,
                                              .what = PROXY_HOLD,
                                              .at = PROXY_LATER});
        ck_assert_int_eq(store->ops->create(store, key, "late", 4, NULL), CAIRN_EUNKNOWN);
    }
    ck_assert_int_eq(store->ops->create(store, "chk2", "next", 4, NULL), 0);
    ck_assert_int_eq(store->ops->create(store, "chk3", "soon", 4, NULL), 0);
    proxy_release(proxy);
    real_expect(store, "chk1", "late", 4);
    real_expect(store, "chk3", "soon", 4);
    store->ops->close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_storm");
    TCase *tcase = tcase_create("storm");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_job_goes_on, 0, 2);
    tcase_add_test(tcase, parts_come_whole);
    tcase_add_test(tcase, a_doubled_put_is_our_own);
    tcase_add_test(tcase, an_old_request_is_a_ghost);
    tcase_add_test(tcase, a_create_comes_after_its_successor);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
