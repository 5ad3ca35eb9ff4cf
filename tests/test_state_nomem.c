/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap backend without memory.
 *
 * Proves: whichever allocation of a call fails, the call is CAIRN_ENOMEM, all entries are as they
 * were, and the same call succeeds afterwards and leaves nothing behind. Method: this program's own
 * malloc() fails the n-th time, for each n until a call gets through. With a sanitizer, which has
 * an allocator of its own, there is nothing to run.
 */
#include "tests/support/state_heap.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#ifndef SANITIZED

static const cairn_state_info list_info = {.name = "list", .kind = CAIRN_KIND_LIST};

/* The allocation that fails; negative: none does. */
static _Thread_local long allocations_left = -1;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return allocation_fails() ? NULL : __libc_realloc(old, size);
}

#define SMALL 3000u /* three levels of nodes */

static void check_unchanged(struct crn_state_db *db, struct crn_state *state)
{
    struct crn_pin pin = {0};
    ck_assert_uint_eq(count_entries(db, state, ""), SMALL);
    for (uint64_t i = 0; i < SMALL; i++) {
        uint64_t key = __builtin_bswap64(2 * i);
        ck_assert_int_eq(ck_ok(db->ops->get(db, state, &key, sizeof(key), &pin, reterr)), 1);
        ck_assert_uint_eq(pin.size, sizeof(i));
        ck_assert_int_eq(memcmp(pin.data, &i, sizeof(i)), 0);
    }
    db->ops->unpin(&pin);
}

/* One call, of the kind `what`, near the key i. */
static int attempt(struct crn_state_db *db, struct crn_state *state, int what, uint64_t i,
                   cairn_error **reterr)
{
    static const char big[200];
    uint64_t key = __builtin_bswap64(2 * i), absent = __builtin_bswap64(2 * i + 1);
    switch (what) {
    case 0: /* into nodes that are full */
        return db->ops->put(db, state, &absent, sizeof(absent), big, 8, reterr);
    case 1:
        return db->ops->put(db, state, &key, sizeof(key), big, sizeof(big), reterr);
    case 2:
        return db->ops->append(db, state, &key, sizeof(key), big, sizeof(big), reterr);
    case 3:
        return db->ops->append(db, state, &absent, sizeof(absent), big, 8, reterr);
    case 4:
        return db->ops->remove(db, state, &key, sizeof(key), reterr);
    case 5: /* 256 keys or so */
        return db->ops->remove_prefix(db, state, &key, 7, reterr);
    default:
        return db->ops->clip(db, &(struct crn_state_range){(uint8_t *)&key, NULL, sizeof(key), 0},
                             reterr);
    }
}
enum { ATTEMPTS = 7 };

static struct crn_state_db *filled_heap(struct crn_state **ret_state)
{
    struct crn_state_db *db = open_heap(0);
    *ret_state = open_state(db, &list_info);
    for (uint64_t i = 0; i < SMALL; i++) /* in order: all nodes are full */
        put_number(db, *ret_state, __builtin_bswap64(2 * i), i);
    return db;
}

/* _i: the call, and whether a snapshot shares everything. */
START_TEST(writes_without_memory)
{
    for (long n = 0;; n++) {
        struct crn_state *state;
        struct crn_state_db *db = filled_heap(&state);
        struct crn_state_snapshot *snapshot = NULL;
        cairn_error *error = NULL;
        if (_i >= ATTEMPTS)
            ck_ok(db->ops->snapshot(db, &snapshot, reterr));
        allocations_left = n;
        int r = attempt(db, state, _i % ATTEMPTS, 1000, &error);
        bool failed = allocations_left < 0;
        allocations_left = -1;
        ck_assert_int_eq(r, failed ? CAIRN_ENOMEM : 0);
        cairn_error_free(error);
        if (failed)
            check_unchanged(db, state);
        db->ops->release_snapshot(snapshot);
        if (failed) { /* and nothing was broken by it */
            ck_ok(attempt(db, state, _i % ATTEMPTS, 1000, reterr));
            ck_ok(db->ops->remove_prefix(db, state, "\0", 1, reterr));
            ck_assert_uint_eq(held_bytes(db), 0);
        }
        db->ops->close(db);
        if (!failed) {
            ck_assert(n > 0 || _i % ATTEMPTS > 3); /* removing may take none */
            return;
        }
        ck_assert_int_lt(n, 100);
    }
}
END_TEST

/* Of one load behind all entries (_i 0), before all (1), or between them (2). */
START_TEST(loads_without_memory)
{
    for (long n = 0;; n++) {
        struct crn_state *state;
        struct crn_state_db *db = filled_heap(&state);
        struct crn_state_load *load = NULL;
        struct crn_state_iterator *iterator = NULL;
        cairn_error *error = NULL;
        ck_ok(db->ops->load_begin(db, state, &load, reterr));
        if (_i == 1)
            ck_ok(db->ops->load_put(load, "", 0, "v", 1, reterr));
        for (uint64_t i = 0; i < 50 && _i != 1; i++) {
            uint64_t key = __builtin_bswap64(2 * i + 1 + (_i == 0 ? 2 * SMALL : 0));
            ck_ok(db->ops->load_put(load, &key, sizeof(key), "v", 1, reterr));
        }
        size_t loaded = _i == 1 ? 1 : 50;
        ck_ok(db->ops->load_end(load, true, reterr));
        allocations_left = n;
        int r = db->ops->iterate(db, state, "", 0, &iterator, &error);
        bool failed = allocations_left < 0;
        allocations_left = -1;
        ck_assert_int_eq(r, failed ? CAIRN_ENOMEM : 0);
        cairn_error_free(error);
        if (r == 0)
            db->ops->end(iterator);
        ck_assert_uint_eq(count_entries(db, state, ""), SMALL + loaded); /* at the latest now */
        db->ops->close(db);
        if (!failed) {
            ck_assert_int_gt(n, 1);
            return;
        }
    }
}
END_TEST

static void add_cases(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, count);
    suite_add_tcase(suite, tcase);
}

#endif

int main(void)
{
    Suite *suite = suite_create("state-nomem");
#ifndef SANITIZED
    add_cases(suite, "writes", writes_without_memory, 2 * ATTEMPTS);
    add_cases(suite, "loads", loads_without_memory, 3);
#endif
    return crn_test_run(suite);
}
