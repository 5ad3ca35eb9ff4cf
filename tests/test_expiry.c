/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching expiry on and off while compactions run (rocksdb_expiry.c, P2).
 *
 * Proves: a value is judged only by the form it was written in. Values are made so that each is
 * expired if it is read in the other form; a state is rewritten as the engine does it, with
 * compactions before, during and after, of which one is held up in the middle of its filter. All
 * values are there. What is really expired goes once expiry is on, and not any more once it is off.
 * Captures whose barrier was before a rewrite, and snapshots from before it, keep what they had,
 * although its values look expired.
 */
#include "backends/state/values.h"
#include "tests/support/state.h"

#define KEYS 200u
#define TTL_MS 1000
#define NOW_MS INT64_C(1000000)

static _Atomic int64_t fake_now = NOW_MS;
/* A filter asks for the time: here it waits, if it is to. */
static atomic_bool hold_clock, clock_held;

static int64_t read_clock(void *context)
{
    (void)context;
    while (atomic_load(&hold_clock)) {
        atomic_store(&clock_held, true);
        crn_sleep_us(100);
    }
    return atomic_load(&fake_now);
}

static const cairn_state_info plain_info = {.name = "s", .kind = CAIRN_KIND_VALUE};
static const cairn_state_info expiring_info = {
    .name = "s", .kind = CAIRN_KIND_VALUE, .ttl_ms = TTL_MS};

struct kit {
    struct place place;
    struct crn_state_config config;
    struct crn_state_db *db;
    struct crn_state *state;
};

static struct kit kit_new(const cairn_state_info *info)
{
    struct kit kit = {.place = place_new()};
    kit.config = (struct crn_state_config){.now_ms = read_clock,
                                           .extra_options = "disable_auto_compactions=true"};
    kit.config.directory = kit.place.db;
    kit.db = open_db(&kit.config);
    kit.state = open_state(kit.db, info);
    return kit;
}

static void kit_done(struct kit *kit)
{
    kit->db->ops->close(kit->db);
    place_remove(&kit->place);
}

static void key_of(uint32_t i, char key[16])
{
    snprintf(key, 16, "%08u", i);
}

/* The bytes of a plain value begin with zeros: read with a time, it was written long ago. */
static void put_one(struct kit *kit, uint32_t i, bool has_ttl, int64_t written_ms)
{
    char key[16];
    uint8_t plain[12] = {0};
    struct cairn_buffer value = {0};
    key_of(i, key);
    memcpy(plain + 8, &i, sizeof(i));
    ck_assert_int_eq(crn_value_append(&value, has_ttl, written_ms, plain, sizeof(plain)), 0);
    ck_ok(kit->db->ops->put(kit->db, kit->state, key, 8, value.data, value.size, reterr));
    crn_buf_done(&value);
}

static void put_all(struct kit *kit, bool has_ttl, int64_t written_ms)
{
    for (uint32_t i = 0; i < KEYS; i++)
        put_one(kit, i, has_ttl, written_ms);
}

static void set_expiry(struct kit *kit, bool has_ttl, uint64_t ttl_ms)
{
    ck_ok(kit->db->ops->set_expiry(kit->db, kit->state, has_ttl, ttl_ms, reterr));
}

static void assert_all(struct kit *kit, bool has_ttl)
{
    struct crn_pin pin = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        int64_t written;
        const uint8_t *value;
        size_t size;
        key_of(i, key);
        if (ck_ok(kit->db->ops->get(kit->db, kit->state, key, 8, &pin, reterr)) == 0)
            ck_abort_msg("value %u is gone", i);
        if (!crn_value_split(pin.data, pin.size, has_ttl, &written, &value, &size) || size != 12 ||
            memcmp(value + 8, &i, sizeof(i)) != 0)
            ck_abort_msg("value %u is another", i);
        kit->db->ops->unpin(&pin);
    }
}

START_TEST(switched_on_and_off)
{
    struct kit kit = kit_new(&plain_info);
    put_all(&kit, false, 0);
    compact(kit.db, kit.state); /* no filter */
    assert_all(&kit, false);

    set_expiry(&kit, true, 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        put_one(&kit, i, true, NOW_MS);
        if (i == KEYS / 2)
            compact(kit.db, kit.state); /* both forms at once */
    }
    set_expiry(&kit, true, TTL_MS);
    compact(kit.db, kit.state);
    assert_all(&kit, true);
    put_one(&kit, KEYS, true, NOW_MS - TTL_MS);
    compact(kit.db, kit.state);
    assert_all(&kit, true);
    ck_assert_uint_eq(count_entries(kit.db, kit.state, ""), KEYS);

    set_expiry(&kit, false, 0);
    put_all(&kit, false, 0);
    set_expiry(&kit, false, 0);
    compact(kit.db, kit.state);
    assert_all(&kit, false);
    ck_fails(kit.db->ops->set_expiry(kit.db, kit.state, false, 5, reterr), CAIRN_EINVAL, "'s'");
    kit_done(&kit);
}
END_TEST

static void *compact_thread(void *arg)
{
    struct kit *kit = arg;
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_bottommost_level_compaction(options, 2); /* forced */
    rocksdb_compact_range_cf_opt(crn_rocksdb_of(kit->db)->db, kit->state->family, options, "", 0,
                                 "~", 1);
    rocksdb_compactoptions_destroy(options);
    return NULL;
}

/* A compaction that began before, and ends after all. It meets values that look expired by the
 * duration that comes last. */
START_TEST(compactions_keep_to_the_rules_they_began_with)
{
    struct kit kit = kit_new(&expiring_info);
    pthread_t thread;
    put_all(&kit, true, NOW_MS);
    flush_all(kit.db);
    atomic_store(&clock_held, false);
    atomic_store(&hold_clock, true);
    ck_ok(crn_thread_start(&thread, "compact", compact_thread, &kit, reterr));
    while (!atomic_load(&clock_held))
        crn_sleep_us(100);
    set_expiry(&kit, false, 0);
    set_expiry(&kit, false, 0);
    set_expiry(&kit, true, 0);
    set_expiry(&kit, true, TTL_MS);
    atomic_store(&fake_now, NOW_MS + 10 * TTL_MS);
    atomic_store(&hold_clock, false);
    pthread_join(thread, NULL);
    atomic_store(&fake_now, NOW_MS);
    /* All but the one that it was at, by the old duration and the new time. */
    ck_assert_uint_ge(count_entries(kit.db, kit.state, ""), KEYS - 1);
    kit_done(&kit);
}
END_TEST

#define LEVEL0_FILES 8

/* As RocksDB does it by itself: without a flush. */
static void compact_level0(struct kit *kit)
{
    const char *names[] = {"disable_auto_compactions"}, *values[] = {"false"};
    rocksdb_t *db = crn_rocksdb_of(kit->db)->db;
    char *message = NULL, *files = NULL;
    rocksdb_set_options_cf(db, kit->state->family, 1, names, values, &message);
    ck_assert_ptr_null(message);
    do {
        rocksdb_free(files);
        crn_sleep_us(1000);
        files = rocksdb_property_value_cf(db, kit->state->family, "rocksdb.num-files-at-level0");
    } while (strcmp(files, "0") != 0);
    rocksdb_free(files);
}

/* Someone still reads what was there before the rewrite. */
START_TEST(captures_from_before_are_whole)
{
    static const atomic_bool never = false;
    struct kit kit = kit_new(&plain_info);
    struct crn_capture capture = {0};
    struct crn_barrier barrier;
    for (int i = 0; i < LEVEL0_FILES; i++) {
        put_all(&kit, false, 0);
        flush_all(kit.db);
    }
    ck_ok(kit.db->ops->barrier(kit.db, &barrier, reterr));
    set_expiry(&kit, true, 0);
    put_all(&kit, true, NOW_MS);
    set_expiry(&kit, true, TTL_MS);
    compact_level0(&kit); /* the new values are in the memtable, and stay there */
    ck_ok(kit.db->ops->capture(kit.db, &barrier, kit.place.capture, &never, &capture, reterr));
    kit.db->ops->release(kit.db);
    crn_capture_done(&capture);
    assert_all(&kit, true);
    put_one(&kit, KEYS, true, 0);
    compact(kit.db, kit.state); /* from now on it filters */
    ck_assert_uint_eq(count_entries(kit.db, kit.state, ""), KEYS);

    struct kit stored = {.config = kit.config};
    stored.config.directory = kit.place.capture;
    stored.config.restored = stored.config.read_only = true;
    stored.config.states = &plain_info;
    stored.config.state_count = 1;
    stored.db = open_db(&stored.config);
    stored.state = open_state(stored.db, &plain_info);
    assert_all(&stored, false);
    stored.db->ops->close(stored.db);
    kit_done(&kit);
}
END_TEST

static size_t count_scanned(struct kit *kit, struct crn_state_snapshot *snapshot)
{
    struct crn_state_range all = {0};
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    ck_ok(kit->db->ops->scan(snapshot, kit->state, &all, &iterator, reterr));
    while (ck_ok(kit->db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0) {
        ck_assert_uint_eq(value_size, 12); /* plain */
        count++;
    }
    kit->db->ops->end(iterator);
    return count;
}

START_TEST(snapshots_from_before_are_whole)
{
    struct kit kit = kit_new(&plain_info);
    struct crn_state_snapshot *snapshot = NULL;
    for (int i = 0; i < LEVEL0_FILES; i++) {
        put_all(&kit, false, 0);
        flush_all(kit.db);
    }
    ck_ok(kit.db->ops->snapshot(kit.db, &snapshot, reterr));
    set_expiry(&kit, true, 0);
    put_all(&kit, true, NOW_MS);
    set_expiry(&kit, true, TTL_MS);
    compact_level0(&kit);
    ck_assert_uint_eq(count_scanned(&kit, snapshot), KEYS);
    kit.db->ops->release_snapshot(snapshot);
    put_one(&kit, KEYS, true, 0);
    compact(kit.db, kit.state);
    ck_assert_uint_eq(count_entries(kit.db, kit.state, ""), KEYS);
    assert_all(&kit, true);
    kit_done(&kit);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, test);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("expiry");
    add_case(suite, "switch", switched_on_and_off);
    add_case(suite, "switch", compactions_keep_to_the_rules_they_began_with);
    add_case(suite, "readers", captures_from_before_are_whole);
    add_case(suite, "readers", snapshots_from_before_are_whole);
    return crn_test_run(suite);
}
