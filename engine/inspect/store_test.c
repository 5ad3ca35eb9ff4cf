/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a store keeps what cairn/store.h promises: short trials of each promise, for stores that
 * nobody has tested yet. A trial fails with the store's own error, or with what was not as it
 * should be; the next one is made nevertheless.
 *
 * All keys are below a random name, which no job has, so a store in use is not disturbed. What a
 * crash leaves is foreign to every garbage collection.
 */
#include "engine/inspect/store_test.h"

#include "backends/storage/storage.h"
#include "base/text.h"
#include "base/thread.h"
#include "engine/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BYTES = (9 << 20) + 3, WRITERS_MAX = 256, ROUNDS_MAX = 100000 };

const char *crn_store_bench_key(const struct crn_store_bench *bench, struct cairn_buffer *key,
                                const char *format, ...)
{
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    crn_buf_clear(key);
    return crn_buf_printf(key, "%s%s", bench->place, name) == 0 ? (const char *)key->data : "";
}

/* ---- small steps ---- */

/* What came back is not what should have: an error that says so. */
static int broken(cairn_error **reterr, const char *key, const char *what)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, key, "%s", what);
}

static int put(struct crn_store_bench *b, const char *name, const void *data, size_t size,
               cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0};
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, data, size);
    return b->store->ops->put(b->store, crn_store_bench_key(b, &key, "%s", name), &source.source,
                              &how, reterr);
}

static int create(struct crn_store_bench *b, const char *name, const char *text,
                  cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0};
    return b->store->ops->create(b->store, crn_store_bench_key(b, &key, "%s", name), text,
                                 strlen(text), reterr);
}

static int expect(struct crn_store_bench *b, const char *name, const void *data, size_t size,
                  cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0}, found = {0};
    const char *full = crn_store_bench_key(b, &key, "%s", name);
    CRN_TRY(crn_store_get_bytes(b->store, full, LARGE_BYTES + 1, &found, reterr));
    if (found.size != size || (size > 0 && memcmp(found.data, data, size) != 0))
        return broken(reterr, full, "what is read is not what was stored");
    return 0;
}

/* A call that must fail with this code; what it returned instead is told. */
static int must_fail(int r, int code, cairn_error *error, const char *what, cairn_error **reterr)
{
    int result = 0;
    if (r == 0)
        result = broken(reterr, NULL, what);
    else if (r != code)
        result = crn_err_move(reterr, &error, r);
    cairn_error_free(error);
    return result;
}

static int remove_names(struct crn_store_bench *b, const char *const *names, size_t n,
                        cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer buffer = {0};
    for (size_t i = 0; i < n; i++) {
        const char *key = crn_store_bench_key(b, &buffer, "%s", names[i]);
        CRN_TRY(b->store->ops->remove(b->store, &key, 1, reterr));
    }
    return 0;
}

/* ---- the trials ---- */

static int try_reading(struct crn_store_bench *b, cairn_error **reterr)
{
    static const size_t sizes[] = {0, 1, 4096, 1 << 20, LARGE_BYTES};
    CRN_AUTO_FREE uint8_t *data = malloc(LARGE_BYTES);
    char name[32];
    if (data == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 11);
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        (void)snprintf(name, sizeof name, "read/%zu", sizes[i]);
        CRN_TRY(put(b, name, data, sizes[i], reterr));
        CRN_TRY(expect(b, name, data, sizes[i], reterr));
    }
    return 0;
}

struct range_sink {
    cairn_sink sink;
    uint64_t got;
    char bytes[16];
};

static int take_range(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct range_sink *sink = (struct range_sink *)base;
    if (offset + n > sizeof sink->bytes)
        return broken(reterr, NULL, "more bytes came than were asked for");
    memcpy(sink->bytes + offset, data, n);
    sink->got = offset + n;
    return 0;
}

static int try_ranges(struct crn_store_bench *b, cairn_error **reterr)
{
    static const char text[] = "0123456789abcdef";
    CRN_AUTO_BUFFER struct cairn_buffer key = {0};
    struct range_sink sink = {.sink = {.write = take_range}};
    cairn_error *error = NULL;
    CRN_TRY(put(b, "range", text, 16, reterr));
    const char *full = crn_store_bench_key(b, &key, "range");
    for (uint64_t at = 0; at < 16; at += 5) {
        sink.got = 0;
        CRN_TRY(b->store->ops->get(b->store, full, at, 16 - at, &sink.sink, reterr));
        if (sink.got != 16 - at || memcmp(sink.bytes, text + at, (size_t)sink.got) != 0)
            return broken(reterr, full, "a range is not what was asked for");
    }
    int r = b->store->ops->get(b->store, full, 10, 7, &sink.sink, &error);
    CRN_TRY(must_fail(r, CAIRN_ECORRUPT, error, "a range beyond the end was read", reterr));
    error = NULL;
    full = crn_store_bench_key(b, &key, "nothing");
    r = b->store->ops->get(b->store, full, 0, 1, &sink.sink, &error);
    return must_fail(r, CAIRN_ENOTFOUND, error, "an object was read that is not there", reterr);
}

static int try_put_again(struct crn_store_bench *b, cairn_error **reterr)
{
    cairn_error *error = NULL;
    CRN_TRY(put(b, "again", "first", 5, reterr));
    CRN_TRY(put(b, "again", "first", 5, reterr));
    int r = put(b, "again", "other", 5, &error);
    CRN_TRY(
        must_fail(r, CAIRN_EEXIST, error, "other bytes were put under a key that exists", reterr));
    return expect(b, "again", "first", 5, reterr);
}

static int try_create(struct crn_store_bench *b, cairn_error **reterr)
{
    cairn_error *error = NULL;
    CRN_TRY(create(b, "once", "first", reterr));
    int r = create(b, "once", "other", &error);
    CRN_TRY(must_fail(r, CAIRN_EEXIST, error, "a key was created that exists", reterr));
    error = NULL;
    r = create(b, "once", "first", &error);
    CRN_TRY(
        must_fail(r, CAIRN_EEXIST, error, "a key was created twice with the same bytes", reterr));
    return expect(b, "once", "first", 5, reterr);
}

struct expected_keys {
    const struct crn_store_bench *bench;
    const char *const *names;
    size_t count, seen;
    bool skips_prefix;
    bool is_wrong;
};

static int check_key(void *context, const char *key, const cairn_object_stat *stat)
{
    struct expected_keys *e = context;
    const size_t n = e->skips_prefix ? 0 : strlen(e->bench->place);
    (void)stat;
    e->is_wrong |= e->seen >= e->count || strncmp(key, e->bench->place, n) != 0 ||
                   strcmp(key + n, e->names[e->seen]) != 0;
    e->seen++;
    return 0;
}

static int try_listing(struct crn_store_bench *b, cairn_error **reterr)
{
    static const char *const names[] = {"list/a-b",   "list/a.b", "list/a/x",
                                        "list/a/y/z", "list/a0",  "list/b"};
    static const char *const segments[] = {"a-b", "a.b", "a/", "a0", "b"};
    CRN_AUTO_BUFFER struct cairn_buffer prefix = {0};
    struct expected_keys keys = {.bench = b, .names = names, .count = CRN_COUNT(names)};
    struct expected_keys parts = {
        .bench = b, .names = segments, .count = CRN_COUNT(segments), .skips_prefix = true};
    for (size_t i = CRN_COUNT(names); i-- > 0;)
        CRN_TRY(put(b, names[i], names[i], strlen(names[i]), reterr));
    const char *full = crn_store_bench_key(b, &prefix, "list/");
    CRN_TRY(b->store->ops->list(b->store, full, check_key, &keys, reterr));
    if (keys.is_wrong || keys.seen != keys.count)
        return broken(reterr, full, "a listing is not complete and in the order of bytes");
    CRN_TRY(b->store->ops->list_segments(b->store, full, check_key, &parts, reterr));
    if (parts.is_wrong || parts.seen != parts.count)
        return broken(reterr, full, "a listing of segments is not complete and in order");
    return 0;
}

static int try_removing(struct crn_store_bench *b, cairn_error **reterr)
{
    static const char *const names[] = {"gone/1", "gone/missing", "gone/2"};
    CRN_AUTO_BUFFER struct cairn_buffer prefix = {0};
    struct expected_keys none = {.bench = b};
    CRN_TRY(put(b, "gone/1", "1", 1, reterr));
    CRN_TRY(put(b, "gone/2", "2", 1, reterr));
    CRN_TRY(remove_names(b, names, CRN_COUNT(names), reterr));
    const char *full = crn_store_bench_key(b, &prefix, "gone/");
    CRN_TRY(b->store->ops->list(b->store, full, check_key, &none, reterr));
    if (none.seen > 0)
        return broken(reterr, full, "what was removed is listed");
    CRN_TRY(create(b, "gone/1", "again", reterr));
    return expect(b, "gone/1", "again", 5, reterr);
}

static int try_flush(struct crn_store_bench *b, cairn_error **reterr)
{
    return b->store->ops->flush(b->store, reterr);
}

static int try_copy(struct crn_store_bench *b, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer from = {0}, to = {0};
    CRN_TRY(put(b, "from", "bytes", 5, reterr));
    CRN_TRY(crn_store_copy(b->store, crn_store_bench_key(b, &to, "to"), b->store,
                           crn_store_bench_key(b, &from, "from"), NULL, reterr));
    return expect(b, "to", "bytes", 5, reterr);
}

static const struct {
    const char *promise;
    int (*run)(struct crn_store_bench *bench, cairn_error **reterr);
    bool is_optional;
} trials[] = {
    {"what is put is read as it was", try_reading, false},
    {"ranges are exact, and what is not there is not read", try_ranges, false},
    {"put never changes an object", try_put_again, false},
    {"create makes a key only if it is absent", try_create, false},
    {"listings are complete and in order", try_listing, false},
    {"what is removed is gone", try_removing, false},
    {"flush succeeds", try_flush, false},
    {"the store copies objects by itself", try_copy, true},
    {"of many writers exactly one creates a key", crn_store_race, false},
};

/* ---- the test ---- */

struct leftovers {
    char **keys;
    size_t count, capacity;
};

static void leftovers_done(struct leftovers *left)
{
    for (size_t i = 0; i < left->count; i++)
        free(left->keys[i]);
    free(left->keys);
}

static int add_leftover(void *context, const char *key, const cairn_object_stat *stat)
{
    struct leftovers *left = context;
    (void)stat;
    if (left->count == left->capacity) {
        size_t capacity = left->capacity == 0 ? 64 : left->capacity * 2;
        char **keys = realloc(left->keys, capacity * sizeof *keys);
        if (keys == NULL)
            return CAIRN_ENOMEM;
        left->keys = keys;
        left->capacity = capacity;
    }
    left->keys[left->count] = strdup(key);
    return left->keys[left->count++] != NULL ? 0 : CAIRN_ENOMEM;
}

static int clean_up(struct crn_store_bench *b, cairn_error **reterr)
{
    CRN_CLEANUP(leftovers_done) struct leftovers left = {0};
    int r = b->store->ops->list(b->store, b->place, add_leftover, &left, reterr);
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    CRN_TRY(r);
    return b->store->ops->remove(b->store, (const char *const *)left.keys, left.count, reterr);
}

static int run_trial(struct crn_store_bench *b, size_t i, const cairn_store_test_options *o,
                     cairn_store_test_report *report)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const uint64_t start = crn_now_us();
    cairn_trial trial = {.struct_size = sizeof trial, .is_optional = trials[i].is_optional};
    trial.promise = trials[i].promise;
    trial.code = trials[i].run(b, &error);
    trial.seen = trial.code < 0 ? cairn_error_message(error) : "";
    trial.duration_us = crn_now_us() - start;
    report->tried++;
    report->broken += trial.code < 0 && !(trial.is_optional && trial.code == CAIRN_EUNSUPPORTED);
    return o->trial != NULL ? o->trial(o->context, &trial) : 0;
}

int cairn_store_test(cairn_store *store, const cairn_store_test_options *options,
                     cairn_store_test_report *ret_report, cairn_error **reterr)
{
    cairn_store_test_options o;
    cairn_store_test_report report = CAIRN_STORE_TEST_REPORT_INIT;
    CRN_TRY(crn_store_check(store, reterr));
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_store_test_options", reterr));
    if (o.writers > WRITERS_MAX || o.rounds > ROUNDS_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "%u writers and %u rounds: at most %d and %d are possible", o.writers,
                            o.rounds, WRITERS_MAX, ROUNDS_MAX);
    struct crn_store_bench bench = {.store = store,
                                    .writers = o.writers != 0 ? o.writers : 16,
                                    .rounds = o.rounds != 0 ? o.rounds : 50,
                                    .others = o.others,
                                    .other_count = o.other_count};
    (void)snprintf(bench.place, sizeof bench.place, "store-test-%016" PRIx64 "/", crn_random_u64());
    int r = 0;
    for (size_t i = 0; i < CRN_COUNT(trials) && r == 0; i++)
        r = run_trial(&bench, i, &o, &report);
    int cleaned = clean_up(&bench, r == 0 ? reterr : NULL);
    r = r == 0 ? cleaned : r;
    if (ret_report != NULL && r >= 0)
        CRN_TRY(
            crn_options_out(ret_report, &report, sizeof report, "cairn_store_test_report", reterr));
    return r;
}
