/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves the contract of include/cairn/store.h, the same for every store: memory, posix in each
 * transfer mode, and the fault decorator that is not armed. A new backend is done when it passes
 * this suite. Method: each promise by itself, then threads that race for the same keys and
 * directories.
 */

#include "tests/support/stores.h"

#include "base/file.h"
#include "base/thread.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static cairn_store *store;

static void close_store(void)
{
    store->ops->close(store);
    ck_assert_int_eq(stores_count_temps(), 0);
}

START_TEST(what_is_put_is_got)
{
    static const size_t sizes[] = {
        0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (9 << 20) + 3};
    store = stores_open(_i);
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "job/shared/%zu", i);
        CRN_AUTO_FREE uint8_t *data = stores_bytes(sizes[i], (unsigned)i);
        ck_assert_int_eq(stores_put(store, key, data, sizes[i]), 0);
        stores_expect(store, key, data, sizes[i]);
    }
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    close_store();
}
END_TEST

/* A sink that checks order and content, and may refuse. */
struct checking_sink {
    cairn_sink sink;
    const uint8_t *expected;
    uint64_t got;
    uint64_t refuse_at;
};

static int check_write(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                       cairn_error **reterr)
{
    struct checking_sink *sink = (struct checking_sink *)base;
    (void)reterr;
    ck_assert_uint_eq(offset, sink->got);
    ck_assert_uint_gt(n, 0);
    ck_assert_int_eq(memcmp(data, sink->expected + offset, n), 0);
    sink->got += n;
    return sink->got >= sink->refuse_at ? CAIRN_ECANCELED : 0;
}

static int get_range(const char *key, uint64_t offset, uint64_t size, const uint8_t *expected,
                     uint64_t refuse_at, uint64_t *ret_got)
{
    struct checking_sink sink = {
        .sink = {.write = check_write}, .expected = expected + offset, .refuse_at = refuse_at};
    int r = store->ops->get(store, key, offset, size, &sink.sink, NULL);
    *ret_got = sink.got;
    return r;
}

START_TEST(ranges_are_exact)
{
    enum { SIZE = 3000001 };
    store = stores_open(_i);
    CRN_AUTO_FREE uint8_t *data = stores_bytes(SIZE, 1);
    ck_assert_int_eq(stores_put(store, "a/b", data, SIZE), 0);
    static const uint64_t ranges[][2] = {{0, 0},    {0, 1},        {0, SIZE},        {1, SIZE - 1},
                                         {SIZE, 0}, {SIZE - 1, 1}, {12345, 2000000}, {7, 1 << 20}};
    uint64_t got;
    for (size_t i = 0; i < CRN_COUNT(ranges); i++) {
        ck_assert_int_eq(get_range("a/b", ranges[i][0], ranges[i][1], data, UINT64_MAX, &got), 0);
        ck_assert_uint_eq(got, ranges[i][1]);
        ck_assert_int_eq(get_range("a/b", ranges[i][0], UINT64_MAX, data, UINT64_MAX, &got), 0);
        ck_assert_uint_eq(got, SIZE - ranges[i][0]);
    }
    static const uint64_t beyond[][2] = {
        {0, SIZE + 1},       {SIZE, 1},       {SIZE + 1, 0},           {SIZE + 1, UINT64_MAX},
        {5, UINT64_MAX - 1}, {UINT64_MAX, 1}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < CRN_COUNT(beyond); i++)
        ck_assert_int_eq(get_range("a/b", beyond[i][0], beyond[i][1], data, UINT64_MAX, &got),
                         CAIRN_ECORRUPT);
    ck_assert_int_eq(get_range("a/b", 0, UINT64_MAX, data, 1, &got), CAIRN_ECANCELED);
    ck_assert_uint_lt(got, SIZE);
    ck_assert_int_eq(get_range("a/c", 0, 0, data, UINT64_MAX, &got), CAIRN_ENOTFOUND);
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    ck_assert_int_eq(crn_buf_append(&out, "kept", 4), 0);
    ck_assert_int_eq(crn_store_get_bytes(store, "a/b", SIZE - 1, &out, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(out.size, 4);
    ck_assert_int_eq(crn_store_get_bytes(store, "a/b", SIZE, &out, NULL), 0);
    ck_assert_uint_eq(out.size, SIZE + 4);
    close_store();
}
END_TEST

/* A source that looks whether its object can be seen while it is read, and that may fail. */
struct watching_source {
    cairn_source source;
    const char *key;
    uint64_t fail_at;
};

static int watch_read(cairn_source *base, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    struct watching_source *source = (struct watching_source *)base;
    stores_expect_missing(store, source->key);
    CRN_AUTO_FREE char *keys = stores_list(store, "");
    ck_assert_str_eq(keys, "");
    memset(data, 'w', n);
    if (offset + n >= source->fail_at)
        return cairn_error_set(reterr, CAIRN_ECANCELED, "the source", 0, "not today");
    return 0;
}

START_TEST(an_object_appears_whole_or_not_at_all)
{
    store = stores_open(_i);
    struct watching_source source = {
        .source = {.size = 3 << 20, .read = watch_read}, .key = "job/chk-1/x", .fail_at = 2 << 20};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;
    ck_assert_int_eq(store->ops->put(store, source.key, &source.source, &how, &error),
                     CAIRN_ECANCELED);
    ck_assert_str_eq(cairn_error_message(error), "not today");
    stores_expect_missing(store, source.key);
    ck_assert_int_eq(stores_count_temps(), 0);
    source.fail_at = UINT64_MAX;
    ck_assert_int_eq(store->ops->put(store, source.key, &source.source, &how, NULL), 0);
    cairn_object_stat stat;
    ck_assert_int_eq(store->ops->stat(store, source.key, &stat, NULL), 0);
    ck_assert_uint_eq(stat.size, 3 << 20);
    ck_assert_int_lt(llabs(stat.modified_ms - crn_wall_ms()), 60000);
    close_store();
}
END_TEST

START_TEST(nothing_is_ever_replaced)
{
    store = stores_open(_i);
    ck_assert_int_eq(stores_put_text(store, "k", "first"), 0);
    ck_assert_int_eq(stores_put_text(store, "k", "first"), 0);
    ck_assert_int_eq(stores_put_text(store, "k", "other"), CAIRN_EEXIST);
    ck_assert_int_eq(stores_put_text(store, "k", "longer text"), CAIRN_EEXIST);
    ck_assert_int_eq(stores_put_text(store, "k", ""), CAIRN_EEXIST);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(store->ops->create(store, "k", "first", 5, &error), CAIRN_EEXIST);
    ck_assert_str_eq(cairn_error_object(error), "k");
    stores_expect(store, "k", "first", 5);
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, NULL), 0);
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "n", 1, NULL), CAIRN_EEXIST);
    stores_expect(store, "job/MANIFEST-chk1", "m", 1);
    ck_assert_int_eq(store->ops->create(store, "empty", NULL, 0, NULL), 0);
    stores_expect(store, "empty", "", 0);
    close_store();
}
END_TEST

static int stop_at_second(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)key;
    (void)stat;
    return ++*(int *)context == 2 ? 77 : 0;
}

/* '-' and '.' sort before '/', digits and letters after it. */
START_TEST(lists_are_flat_sorted_and_complete)
{
    static const char *const keys[] = {"job/a/x", "job/a-b", "job/a.b", "job/a0",      "job/a/x-y",
                                       "job-2/z", "job/b",   "job/a/é", "job/a/y/z/1", "top"};
    store = stores_open(_i);
    CRN_AUTO_FREE char *none = stores_list(store, "");
    ck_assert_str_eq(none, "");
    for (size_t i = 0; i < CRN_COUNT(keys); i++)
        ck_assert_int_eq(stores_put_text(store, keys[i], keys[i]), 0);
    static const char *const expected[][2] = {
        {"", "job-2/z\njob/a-b\njob/a.b\njob/a/x\njob/a/x-y\njob/a/y/z/1\njob/a/é\njob/a0\njob/b\n"
             "top\n"},
        {"job/", "job/a-b\njob/a.b\njob/a/x\njob/a/x-y\njob/a/y/z/1\njob/a/é\njob/a0\njob/b\n"},
        {"job/a/x", "job/a/x\njob/a/x-y\n"},
        {"job/a", "job/a-b\njob/a.b\njob/a/x\njob/a/x-y\njob/a/y/z/1\njob/a/é\njob/a0\n"},
        {"jo", "job-2/z\njob/a-b\njob/a.b\njob/a/x\njob/a/x-y\njob/a/y/z/1\njob/a/é\njob/a0\n"
               "job/b\n"},
        {"job/a/y/", "job/a/y/z/1\n"},
        {"top", "top\n"},
        {"top/", ""},
        {"none/", ""},
        {"../", ""},
        {"/", ""},
        {"job//", ""},
        {"job/../job/", ""}};
    for (size_t i = 0; i < CRN_COUNT(expected); i++) {
        CRN_AUTO_FREE char *got = stores_list(store, expected[i][0]);
        ck_assert_str_eq(got, expected[i][1]);
    }
    int seen = 0;
    ck_assert_int_eq(store->ops->list(store, "", stop_at_second, &seen, NULL), 77);
    ck_assert_int_eq(seen, 2);
    close_store();
}
END_TEST

START_TEST(segments_are_one_level)
{
    static const char *const keys[] = {"job/shared/1",  "job/shared/2", "job/MANIFEST-chk1",
                                       "job/chk-1/d/x", "job-b/x",      "file"};
    store = stores_open(_i);
    for (size_t i = 0; i < CRN_COUNT(keys); i++)
        ck_assert_int_eq(stores_put_text(store, keys[i], keys[i]), 0);
    static const char *const expected[][2] = {{"", "file\njob-b/\njob/\n"},
                                              {"job/", "MANIFEST-chk1\nchk-1/\nshared/\n"},
                                              {"job/chk-1/", "d/\n"},
                                              {"job/chk-1/d/", "x\n"},
                                              {"file/", ""},
                                              {"none/", ""},
                                              {"../", ""},
                                              {"/", ""}};
    for (size_t i = 0; i < CRN_COUNT(expected); i++) {
        CRN_AUTO_FREE char *got = stores_list_segments(store, expected[i][0]);
        ck_assert_str_eq(got, expected[i][1]);
    }
    int seen = 0;
    ck_assert_int_eq(store->ops->list_segments(store, "", stop_at_second, &seen, NULL), 77);
    ck_assert_int_eq(store->ops->list_segments(store, "job", stop_at_second, &seen, NULL),
                     CAIRN_EINVAL);
    /* A directory without objects is no segment. */
    ck_assert_int_eq(stores_remove(store, "job/chk-1/d/x"), 0);
    CRN_AUTO_FREE char *got = stores_list_segments(store, "job/");
    ck_assert_str_eq(got, "MANIFEST-chk1\nshared/\n");
    close_store();
}
END_TEST

START_TEST(remove_tries_all)
{
    static const char *const keys[] = {"j/c/1", "j/c/missing", "../evil", "j/c/2", "nowhere/x"};
    store = stores_open(_i);
    ck_assert_int_eq(stores_put_text(store, "j/c/1", "1"), 0);
    ck_assert_int_eq(stores_put_text(store, "j/c/2", "2"), 0);
    ck_assert_int_eq(stores_put_text(store, "j/c/3", "3"), 0);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(store->ops->remove(store, keys, CRN_COUNT(keys), &error), CAIRN_EINVAL);
    ck_assert_str_eq(cairn_error_object(error), "../evil");
    CRN_AUTO_FREE char *left = stores_list(store, "");
    ck_assert_str_eq(left, "j/c/3\n");
    ck_assert_int_eq(store->ops->remove(store, keys, 0, NULL), 0);
    ck_assert_int_eq(stores_remove(store, "j"), 0); /* no object, though others are below it */
    ck_assert_int_eq(stores_remove(store, "j/c/3"), 0);
    ck_assert_int_eq(stores_put_text(store, "j/c/3", "again"), 0);
    stores_expect(store, "j/c/3", "again", 5);
    close_store();
}
END_TEST

static void expect_refused(const char *key)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    cairn_object_stat stat;
    ck_assert_msg(!crn_store_key_is_valid(key), "'%s'", key);
    ck_assert_int_eq(stores_put_text(store, key, "x"), CAIRN_EINVAL);
    ck_assert_int_eq(store->ops->create(store, key, "x", 1, &error), CAIRN_EINVAL);
    ck_assert_str_eq(cairn_error_object(error), key);
    ck_assert_int_eq(crn_store_get_bytes(store, key, 9, &out, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(store->ops->stat(store, key, &stat, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(stores_remove(store, key), CAIRN_EINVAL);
}

START_TEST(keys_are_not_trusted)
{
    static const char *const bad[] = {
        "",          "/",    "/etc/passwd", "a/",           "a//b",          ".",
        "..",        "a/..", "a/../b",      "./a",          "a/.",           "a\nb",
        "a/\x1b[2J", "\xff", "a/\xc0\xaf",  ".cairn-tmp-1", "a/.cairn-tmp-", "a\x7f"};
    static const char *const good[] = {"a",    "...", ".a",   "a b",    "ü/日本", "-rf",
                                       "a\\b", "~",   "$(x)", ".cairn", "a%2f..", "CON"};
    char longest[CRN_STORE_KEY_MAX + 2], segment[CRN_STORE_SEGMENT_MAX + 2];
    store = stores_open(_i);
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        expect_refused(bad[i]);
    for (size_t i = 0; i < CRN_COUNT(good); i++) {
        ck_assert_int_eq(stores_put_text(store, good[i], good[i]), 0);
        stores_expect(store, good[i], good[i], strlen(good[i]));
    }
    memset(segment, 's', sizeof(segment));
    segment[sizeof(segment) - 1] = 0;
    expect_refused(segment);
    segment[CRN_STORE_SEGMENT_MAX] = 0;
    ck_assert_int_eq(stores_put_text(store, segment, "x"), 0);
    memset(longest, 'k', sizeof(longest));
    for (size_t i = 200; i < CRN_STORE_KEY_MAX; i += 200)
        longest[i] = '/';
    longest[CRN_STORE_KEY_MAX + 1] = 0;
    expect_refused(longest);
    /* In a bucket the store's prefix takes its part. */
    const size_t room = CRN_STORE_KEY_MAX - (_i == STORE_S3 ? 100 : 0);
    longest[room] = 0;
    ck_assert_int_eq(store->ops->create(store, longest, "x", 1, NULL), 0);
    stores_expect(store, longest, "x", 1);
    CRN_AUTO_FREE char *listed = stores_list(store, "kkk");
    ck_assert_uint_eq(strlen(listed), room + 1);
    ck_assert(!crn_store_key_is_valid(NULL));
    close_store();
}
END_TEST

/* ---- objects of other objects ---- */

/* A second handle of the same kind: its own memory, or another directory. */
static cairn_store *open_second(int kind)
{
    if (kind == STORE_MEMORY || kind == STORE_FAULT)
        return stores_open(kind);
    if (kind == STORE_S3)
        return stores_open_s3("second");
    static const enum crn_transfer transfers[] = {[STORE_AUTO] = CRN_TRANSFER_AUTO,
                                                  [STORE_LINK] = CRN_TRANSFER_LINK,
                                                  [STORE_COPY] = CRN_TRANSFER_COPY};
    CRN_AUTO_FREE char *root = stores_path("second");
    cairn_store *second = NULL;
    ck_assert_int_eq(crn_posix_store_open(root, transfers[kind], true, &second, NULL), 0);
    return second;
}

static cairn_put_how how_of(int kind)
{
    switch (kind) {
    case STORE_COPY:
        return CAIRN_PUT_COPIED;
    case STORE_AUTO:
    case STORE_LINK:
        return CAIRN_PUT_LINKED;
    default:
        return CAIRN_PUT_CLONED;
    }
}

START_TEST(objects_are_made_of_others)
{
    enum { SIZE = (9 << 20) + 3 };
    store = stores_open(_i);
    cairn_store *second = open_second(_i);
    CRN_AUTO_FREE uint8_t *data = stores_bytes(SIZE, 5);
    ck_assert_int_eq(stores_put(store, "job/shared/a", data, SIZE), 0);
    ck_assert_int_eq(stores_put_text(store, "job/empty", ""), 0);
    cairn_put_how how = (cairn_put_how)7;
    /* within one store, and into another */
    ck_assert_int_eq(crn_store_copy(store, "save/chk-1/b", store, "job/shared/a", &how, NULL), 0);
    ck_assert_int_eq(how, how_of(_i));
    stores_expect(store, "save/chk-1/b", data, SIZE);
    ck_assert_int_eq(crn_store_copy(second, "x/y/c", store, "job/shared/a", &how, NULL), 0);
    ck_assert_int_eq(how, how_of(_i));
    ck_assert_int_eq(crn_store_copy(second, "x/empty", store, "job/empty", NULL, NULL), 0);
    ck_assert_int_eq(second->ops->flush(second, NULL), 0);
    /* what it was made of may go */
    ck_assert_int_eq(stores_remove(store, "job/shared/a"), 0);
    stores_expect(store, "save/chk-1/b", data, SIZE);
    stores_expect(second, "x/y/c", data, SIZE);
    stores_expect(second, "x/empty", "", 0);
    second->ops->close(second);
    close_store();
}
END_TEST

START_TEST(copies_keep_the_rules_of_puts)
{
    store = stores_open(_i);
    cairn_store *second = open_second(_i);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_put_how how;
    ck_assert_int_eq(stores_put_text(store, "a", "first"), 0);
    ck_assert_int_eq(stores_put_text(second, "same", "first"), 0);
    ck_assert_int_eq(stores_put_text(second, "other", "other"), 0);
    ck_assert_int_eq(stores_put_text(second, "longer", "longer text"), 0);
    ck_assert_int_eq(crn_store_copy(second, "same", store, "a", &how, NULL), 0);
    ck_assert_int_eq(crn_store_copy(second, "b", store, "a", &how, NULL), 0);
    ck_assert_int_eq(crn_store_copy(second, "b", store, "a", &how, NULL), 0);
    ck_assert_int_eq(crn_store_copy(second, "other", store, "a", &how, NULL), CAIRN_EEXIST);
    ck_assert_int_eq(crn_store_copy(second, "longer", store, "a", &how, NULL), CAIRN_EEXIST);
    stores_expect(second, "other", "other", 5);
    ck_assert_int_eq(crn_store_copy(second, "d/c", store, "missing", &how, &error),
                     CAIRN_ENOTFOUND);
    ck_assert_str_eq(cairn_error_object(error), "missing");
    ck_assert_int_eq(crn_store_copy(second, "../c", store, "a", &how, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(crn_store_copy(second, "c", store, "../a", &how, NULL), CAIRN_EINVAL);
    CRN_AUTO_FREE char *keys = stores_list(second, "");
    ck_assert_str_eq(keys, "b\nlonger\nother\nsame\n");
    second->ops->close(second);
    close_store();
}
END_TEST

/* A store that cannot, and one that is of another backend: nothing happens. */
START_TEST(what_cannot_be_copied_is_said)
{
    store = stores_open(_i);
    const bool is_memory = _i == STORE_MEMORY || _i == STORE_FAULT;
    cairn_store *other = stores_open(is_memory ? STORE_AUTO : STORE_MEMORY);
    ck_assert_int_eq(stores_put_text(other, "a", "first"), 0);
    ck_assert_int_eq(crn_store_copy(store, "copied", other, "a", NULL, NULL), CAIRN_EUNSUPPORTED);
    stores_expect_missing(store, "copied");
    cairn_store_ops old = *store->ops;
    cairn_store without = {.ops = &old};
    old.struct_size = offsetof(cairn_store_ops, copy);
    ck_assert_int_eq(crn_store_copy(&without, "b", store, "a", NULL, NULL), CAIRN_EUNSUPPORTED);
    other->ops->close(other);
    close_store();
}
END_TEST

/* ---- objects that go while they are used ---- */

struct removing_sink {
    cairn_sink sink;
    const char *key;
    uint64_t got;
};

static int write_and_remove(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                            cairn_error **reterr)
{
    struct removing_sink *sink = (struct removing_sink *)base;
    (void)data;
    (void)reterr;
    if (offset == 0)
        ck_assert_int_eq(stores_remove(store, sink->key), 0);
    sink->got += n;
    return 0;
}

START_TEST(a_read_survives_removal)
{
    store = stores_open(_i);
    CRN_AUTO_FREE uint8_t *data = stores_bytes(5 << 20, 3);
    ck_assert_int_eq(stores_put(store, "j/s/x", data, 5 << 20), 0);
    struct removing_sink sink = {.sink = {.write = write_and_remove}, .key = "j/s/x"};
    int r = store->ops->get(store, "j/s/x", 0, UINT64_MAX, &sink.sink, NULL);
    ck_assert(r < 0 || sink.got == 5 << 20);
    stores_expect_missing(store, "j/s/x");
    close_store();
}
END_TEST

static int remove_listed(void *context, const char *key, const cairn_object_stat *stat)
{
    ++*(int *)context;
    ck_assert_ptr_nonnull(stat);
    return stores_remove(store, key);
}

START_TEST(a_listing_survives_removal)
{
    store = stores_open(_i);
    for (int i = 0; i < 40; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "j/chk-%d/%d", i / 4, i);
        ck_assert_int_eq(stores_put_text(store, key, key), 0);
    }
    int count = 0;
    ck_assert_int_eq(store->ops->list(store, "j/", remove_listed, &count, NULL), 0);
    ck_assert_int_eq(count, 40);
    CRN_AUTO_FREE char *left = stores_list(store, "");
    ck_assert_str_eq(left, "");
    close_store();
}
END_TEST

/* ---- many threads ---- */

enum { THREADS = 8, ROUNDS = 60 };

static struct {
    pthread_barrier_t start;
    int winners[ROUNDS];
    int others[ROUNDS];
    struct crn_mutex lock;
} race;

static void *race_to_create(void *arg)
{
    int me = *(int *)arg;
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "race/MANIFEST-chk%d", round);
        (void)pthread_barrier_wait(&race.start);
        int r = store->ops->create(store, key, &me, sizeof(me), NULL);
        crn_mutex_lock(&race.lock);
        if (r == 0)
            race.winners[round] = race.winners[round] == 0 ? me : -1;
        else if (r == CAIRN_EEXIST)
            race.others[round]++;
        crn_mutex_unlock(&race.lock);
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *))
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        ck_assert_int_eq(crn_thread_start(&threads[i], "racer", fn, &numbers[i], NULL), 0);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

START_TEST(of_many_threads_one_creates)
{
    store = stores_open(_i);
    memset(&race, 0, sizeof(race));
    crn_mutex_init(&race.lock, CRN_RANK_LEAF);
    ck_assert_int_eq(pthread_barrier_init(&race.start, NULL, THREADS), 0);
    run_threads(race_to_create);
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "race/MANIFEST-chk%d", round);
        ck_assert_int_gt(race.winners[round], 0);
        ck_assert_int_eq(race.others[round], THREADS - 1);
        stores_expect(store, key, &race.winners[round], sizeof(int));
    }
    ck_assert_int_eq(pthread_barrier_destroy(&race.start), 0);
    crn_mutex_done(&race.lock);
    close_store();
}
END_TEST

static int ignore(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)context;
    (void)key;
    (void)stat;
    return 0;
}

/* Directories come and go all the time; nobody may notice. */
static void *churn(void *arg)
{
    int me = *(int *)arg;
    for (int i = 0; i < 50; i++) {
        char key[32], text[32];
        (void)snprintf(key, sizeof(key), "job/chk-%d/%d", i, me);
        (void)snprintf(text, sizeof(text), "%d of %d", i, me);
        ck_assert_int_eq(stores_put_text(store, key, text), 0);
        if (i % 5 == 0)
            ck_assert_int_eq(store->ops->flush(store, NULL), 0);
        stores_expect(store, key, text, strlen(text));
        ck_assert_int_eq(store->ops->list(store, "job/", ignore, NULL, NULL), 0);
        ck_assert_int_eq(store->ops->list_segments(store, "job/", ignore, NULL, NULL), 0);
        ck_assert_int_eq(stores_remove(store, key), 0);
        stores_expect_missing(store, key);
        if (store->ops->reap != NULL)
            ck_assert_int_eq(store->ops->reap(store, "job/", 0, NULL, NULL), 0);
    }
    return NULL;
}

START_TEST(many_threads_do_not_disturb_each_other)
{
    store = stores_open(_i);
    run_threads(churn);
    CRN_AUTO_FREE char *left = stores_list(store, "");
    ck_assert_str_eq(left, "");
    close_store();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *contract = tcase_create("contract");
    tcase_set_timeout(contract, 60);
    tcase_add_checked_fixture(contract, stores_make_dir, stores_drop_dir);
    tcase_add_loop_test(contract, what_is_put_is_got, 0, stores_kinds());
    tcase_add_loop_test(contract, ranges_are_exact, 0, stores_kinds());
    tcase_add_loop_test(contract, an_object_appears_whole_or_not_at_all, 0, stores_kinds());
    tcase_add_loop_test(contract, nothing_is_ever_replaced, 0, stores_kinds());
    tcase_add_loop_test(contract, lists_are_flat_sorted_and_complete, 0, stores_kinds());
    tcase_add_loop_test(contract, segments_are_one_level, 0, stores_kinds());
    tcase_add_loop_test(contract, remove_tries_all, 0, stores_kinds());
    tcase_add_loop_test(contract, keys_are_not_trusted, 0, stores_kinds());
    tcase_add_loop_test(contract, objects_are_made_of_others, 0, stores_kinds());
    tcase_add_loop_test(contract, copies_keep_the_rules_of_puts, 0, stores_kinds());
    tcase_add_loop_test(contract, what_cannot_be_copied_is_said, 0, stores_kinds());
    tcase_add_loop_test(contract, a_read_survives_removal, 0, stores_kinds());
    tcase_add_loop_test(contract, a_listing_survives_removal, 0, stores_kinds());
    tcase_add_loop_test(contract, of_many_threads_one_creates, 0, stores_kinds());
    tcase_add_loop_test(contract, many_threads_do_not_disturb_each_other, 0, stores_kinds());
    suite_add_tcase(suite, contract);
    return crn_test_run(suite);
}
