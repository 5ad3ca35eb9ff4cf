/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the heap backend has beside the contract of all backends (test_state.c).
 *
 * Proves: a snapshot copies nothing, and a write after it no more than the way to its key; whatever
 * is removed and released is freed, to the last byte; appending does not copy the list; snapshots
 * that other threads scan and release hold their moment while the writer goes on (P2; run it under
 * ThreadSanitizer, too); what expires leaves while other entries are written, and nothing else
 * does; a capture's canonical files hold exactly the barrier's entries. Without memory:
 * test_state_nomem.c.
 */
#include "backends/state/canonical.h"
#include "backends/state/keys.h"
#include "backends/state/values.h"
#include "base/thread.h"
#include "tests/support/state_heap.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>

static const cairn_state_info value_info = {.name = "value", .kind = CAIRN_KIND_VALUE};
static const cairn_state_info list_info = {.name = "list", .kind = CAIRN_KIND_LIST};

/* ---- opening ---- */

START_TEST(what_cannot_be_opened)
{
    struct crn_state_db *db = NULL;
    struct crn_state_config good = {
        .directory = "/nowhere", .max_parallelism = 128, .key_group_last = 127};
    struct crn_state_config config = good;
    config.restored = true;
    ck_fails(crn_heap_open(&config, &db, reterr), CAIRN_EUNSUPPORTED, "/nowhere");
    config = good;
    config.read_only = true;
    ck_fails(crn_heap_open(&config, &db, reterr), CAIRN_EUNSUPPORTED, "/nowhere");
    config = good;
    config.key_group_last = 128;
    ck_fails(crn_heap_open(&config, &db, reterr), CAIRN_EINVAL, "0 to 128 of 128");
    config = good;
    config.key_group_first = 3, config.key_group_last = 2;
    ck_fails(crn_heap_open(&config, &db, reterr), CAIRN_EINVAL, "3 to 2");
    ck_assert_ptr_null(db);
}
END_TEST

/* ---- what it costs ---- */

START_TEST(a_snapshot_costs_no_memory_but_for_changes)
{
    enum { ENTRIES = 100000 };
    struct crn_state_db *db = open_heap(0);
    struct crn_state *state = open_state(db, &value_info);
    struct crn_state_snapshot *snapshot = NULL;
    for (uint64_t i = 0; i < ENTRIES; i++)
        put_number(db, state, scramble(i), i);
    uint64_t before = held_bytes(db);
    ck_assert_uint_lt(before, ENTRIES * 100u);

    ck_ok(db->ops->snapshot(db, &snapshot, reterr));
    ck_assert_uint_eq(held_bytes(db), before);
    put_number(db, state, scramble(5), 6);
    ck_assert_uint_lt(held_bytes(db) - before, 16u << 10); /* one path */
    uint64_t after_one = held_bytes(db);
    put_number(db, state, scramble(5), 7);
    ck_assert_uint_eq(held_bytes(db), after_one); /* nobody shares it any more */
    for (uint64_t i = 0; i < ENTRIES; i++)
        put_number(db, state, scramble(i), i + 1);
    ck_assert_uint_lt(held_bytes(db), 2 * before + (16u << 10));
    db->ops->release_snapshot(snapshot);
    ck_assert_uint_eq(held_bytes(db), before);
    db->ops->close(db);
}
END_TEST

/* In several orders, so that nodes are split and merged at both ends and in the middle. */
START_TEST(everything_is_freed)
{
    enum { ENTRIES = 20000 };
    struct crn_state_db *db = open_heap(0);
    struct crn_state *state = open_state(db, &value_info);
    struct crn_state_snapshot *snapshot = NULL;
    for (uint64_t i = 0; i < ENTRIES; i++)
        put_number(db, state, _i < 2 ? __builtin_bswap64(i) : scramble(i), i);
    ck_ok(db->ops->snapshot(db, &snapshot, reterr));
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint64_t n = _i == 1 ? ENTRIES - 1 - i : i;
        uint64_t key = _i < 2 ? __builtin_bswap64(n) : scramble(n);
        if (i == ENTRIES / 2)
            db->ops->release_snapshot(CRN_TAKE(snapshot));
        ck_ok(db->ops->remove(db, state, &key, sizeof(key), reterr));
    }
    ck_assert_uint_eq(held_bytes(db), 0);
    ck_assert_uint_eq(count_entries(db, state, ""), 0);

    for (uint64_t i = 0; i < ENTRIES; i++) /* by prefixes, of few and of many */
        put_number(db, state, _i < 2 ? __builtin_bswap64(i) : scramble(i), i);
    for (unsigned int i = 0; i < 256 * 256; i++) {
        uint8_t prefix[] = {(uint8_t)(scramble(i) >> 8), (uint8_t)i};
        ck_ok(db->ops->remove_prefix(db, state, prefix, _i == 2 && i > 60000 ? 1 : 2, reterr));
    }
    size_t left = count_entries(db, state, "");
    ck_assert_uint_lt(left, ENTRIES);
    for (unsigned int i = 0; i < 256; i++) {
        uint8_t prefix = (uint8_t)i;
        ck_ok(db->ops->remove_prefix(db, state, &prefix, 1, reterr));
    }
    ck_assert_uint_eq(held_bytes(db), 0);
    db->ops->close(db);
}
END_TEST

/* If each append copied the list, this would move a terabyte. */
START_TEST(appending_is_cheap)
{
    enum { APPENDS = 500000 };
    struct crn_state_db *db = open_heap(0);
    struct crn_state *state = open_state(db, &list_info);
    struct crn_state_snapshot *snapshot = NULL;
    struct crn_pin pin = {0};
    for (uint64_t i = 0; i < APPENDS; i++) {
        ck_ok(db->ops->append(db, state, "list", 4, &i, sizeof(i), reterr));
        if (i % 100000 == 0) {
            db->ops->release_snapshot(snapshot);
            ck_ok(db->ops->snapshot(db, &snapshot, reterr));
        }
    }
    db->ops->release_snapshot(snapshot);
    ck_assert_uint_lt(held_bytes(db), 2u * APPENDS * sizeof(uint64_t));
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "list", 4, &pin, reterr)), 1);
    ck_assert_uint_eq(pin.size, APPENDS * sizeof(uint64_t));
    for (uint64_t i = 0; i < APPENDS; i++)
        ck_assert_int_eq(memcmp(pin.data + i * sizeof(i), &i, sizeof(i)), 0);
    db->ops->unpin(&pin);
    db->ops->close(db);
}
END_TEST

/* ---- loads ---- */

START_TEST(loads_between_the_entries)
{
    struct crn_state_db *db = open_heap(0);
    struct crn_state *state = open_state(db, &value_info);
    struct crn_state_snapshot *snapshot = NULL;
    struct crn_state_load *load = NULL;
    char key[16];
    for (size_t i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof(key), "%04zu", i);
        put(db, state, key, "even");
    }
    ck_ok(db->ops->snapshot(db, &snapshot, reterr));
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    for (size_t i = 1; i < 5000; i += 2) {
        snprintf(key, sizeof(key), "%04zu", i);
        ck_ok(db->ops->load_put(load, key, 4, "odd", 3, reterr));
    }
    ck_fails(db->ops->load_put(load, key, 4, "odd", 3, reterr), CAIRN_EINVAL, "'value'");
    ck_fails(db->ops->load_put(load, "0", 1, "odd", 3, reterr), CAIRN_EINVAL, "'value'");
    ck_assert_uint_eq(count_entries(db, state, ""), 2500);
    ck_ok(db->ops->load_end(load, true, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), 5000);
    assert_value(db, state, "4998", "even");
    assert_value(db, state, "4999", "odd");

    struct crn_state_iterator *iterator = NULL;
    const uint8_t *k, *v;
    size_t k_size, v_size, count = 0;
    ck_ok(db->ops->scan(snapshot, state, &(struct crn_state_range){0}, &iterator, reterr));
    while (ck_ok(db->ops->next(iterator, &k, &k_size, &v, &v_size, reterr)) > 0)
        count++;
    db->ops->end(iterator);
    ck_assert_uint_eq(count, 2500);
    db->ops->release_snapshot(snapshot);

    ck_ok(db->ops->load_begin(db, state, &load, reterr)); /* ended, but never looked at */
    ck_ok(db->ops->load_put(load, "x", 1, "y", 1, reterr));
    ck_ok(db->ops->load_end(load, true, reterr));
    db->ops->close(db);
}
END_TEST

/* ---- expiry ---- */

#define TTL_MS 1000

static int64_t fake_now;

static int64_t read_fake_clock(void *context)
{
    (void)context;
    return fake_now;
}

static struct crn_state *open_expiring(cairn_state_kind kind, struct crn_state_db **ret_db)
{
    struct crn_state_config config = {.directory = "/nowhere",
                                      .max_parallelism = 128,
                                      .key_group_last = 127,
                                      .now_ms = read_fake_clock};
    cairn_state_info info = {.name = "s", .kind = kind, .ttl_ms = TTL_MS};
    ck_ok(crn_heap_open(&config, ret_db, reterr));
    return open_state(*ret_db, &info);
}

static void put_stamped(struct crn_state_db *db, struct crn_state *state, uint64_t key)
{
    uint8_t value[8];
    for (unsigned int i = 0; i < 8; i++)
        value[i] = (uint8_t)((uint64_t)fake_now >> (56 - 8 * i));
    key = scramble(key);
    ck_ok(db->ops->put(db, state, &key, sizeof(key), value, sizeof(value), reterr));
}

/* One write in a millisecond, each to a new key: a thousand are alive. */
START_TEST(what_is_expired_leaves)
{
    struct crn_state_db *db = NULL;
    struct crn_state *state = open_expiring(CAIRN_KIND_VALUE, &db);
    struct crn_state_snapshot *snapshot = NULL;
    struct crn_pin pin = {0};
    for (fake_now = 0; fake_now < 50 * TTL_MS; fake_now++) {
        put_stamped(db, state, (uint64_t)fake_now);
        if (fake_now == TTL_MS)
            ck_ok(db->ops->snapshot(db, &snapshot, reterr));
    }
    size_t held = count_entries(db, state, "");
    ck_assert_uint_ge(held, TTL_MS - 1);
    ck_assert_uint_le(held, 2 * TTL_MS + 100);
    for (uint64_t i = 49 * TTL_MS + 1; i < 50 * TTL_MS; i++) { /* all that are alive */
        uint64_t key = scramble(i);
        ck_assert_int_eq(ck_ok(db->ops->get(db, state, &key, sizeof(key), &pin, reterr)), 1);
    }
    db->ops->unpin(&pin);
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    ck_ok(db->ops->scan(snapshot, state, &(struct crn_state_range){0}, &iterator, reterr));
    while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0)
        count++;
    db->ops->end(iterator);
    ck_assert_uint_eq(count, TTL_MS + 1); /* whatever expired since */
    db->ops->release_snapshot(snapshot);

    /* While values are rewritten, and without expiry, nothing does. */
    ck_ok(db->ops->set_expiry(db, state, true, 0, reterr));
    fake_now += 50 * TTL_MS;
    for (uint64_t i = 0; i < 5000; i++)
        ck_ok(db->ops->put(db, state, "same", 4, "01234567", 8, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), held + 1);
    db->ops->close(db);
}
END_TEST

START_TEST(expired_elements_leave_their_lists)
{
    struct crn_state_db *db = NULL;
    struct crn_state *state = open_expiring(CAIRN_KIND_LIST, &db);
    CRN_AUTO_BUFFER struct cairn_buffer element = {0};
    ck_ok(db->ops->put(db, state, "damaged", 7, "short", 5, reterr));
    for (fake_now = 0; fake_now < 20 * TTL_MS; fake_now++) {
        crn_buf_clear(&element);
        ck_assert_int_eq(crn_list_append_element(&element, true, fake_now, "e", 1), 0);
        if (fake_now == 0)
            ck_ok(db->ops->append(db, state, "gone", 4, element.data, element.size, reterr));
        ck_ok(db->ops->append(db, state, "list", 4, element.data, element.size, reterr));
    }
    ck_assert_uint_eq(count_entries(db, state, "gone"), 0);
    assert_value(db, state, "damaged", "short"); /* for a reader to find */

    struct crn_pin pin = {0};
    struct crn_list_element at;
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "list", 4, &pin, reterr)), 1);
    struct crn_reader reader = {.data = pin.data, .size = pin.size};
    int64_t next = -1;
    while (crn_list_next_element(&reader, true, &at) > 0) {
        ck_assert(next < 0 || at.written_ms == next);
        next = at.written_ms + 1;
    }
    ck_assert_int_eq(next, fake_now);
    ck_assert_uint_ge(pin.size, 10 * (TTL_MS - 1));
    ck_assert_uint_le(pin.size, 10 * (TTL_MS + 64));
    db->ops->unpin(&pin);
    db->ops->close(db);
}
END_TEST

/* ---- readers beside the writer ---- */

#define ACCOUNTS 4000u
#define TOTAL (ACCOUNTS * 1000u)
#define SCANNERS 2u
#define TRANSFERS 60000u

/* Where the writer leaves a snapshot for the scanner that comes first. */
struct handover {
    struct crn_state_db *db;
    struct crn_state *state;
    struct crn_mutex mutex;
    struct crn_state_snapshot *snapshot;
    bool done;
    unsigned int scans;
};

static void check_total(const struct handover *handover, struct crn_state_snapshot *snapshot)
{
    const struct crn_state_ops *ops = handover->db->ops;
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    uint64_t total = 0, amount;
    ck_ok(ops->scan(snapshot, handover->state, &(struct crn_state_range){0}, &iterator, reterr));
    while (ck_ok(ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0) {
        ck_assert_uint_eq(value_size, sizeof(amount));
        memcpy(&amount, value, sizeof(amount));
        total += amount;
        count++;
    }
    ops->end(iterator);
    ck_assert_uint_eq(total, TOTAL);
    ck_assert_uint_le(count, ACCOUNTS);
}

static void *scan_until_done(void *arg)
{
    struct handover *handover = arg;
    for (bool done = false; !done;) {
        crn_mutex_lock(&handover->mutex);
        struct crn_state_snapshot *snapshot = CRN_TAKE(handover->snapshot);
        done = handover->done && !snapshot;
        crn_mutex_unlock(&handover->mutex);
        if (!snapshot) {
            sched_yield();
            continue;
        }
        check_total(handover, snapshot);
        handover->db->ops->release_snapshot(snapshot);
        crn_mutex_lock(&handover->mutex);
        handover->scans++;
        crn_mutex_unlock(&handover->mutex);
    }
    return NULL;
}

static void offer_snapshot(struct handover *handover)
{
    struct crn_state_snapshot *snapshot = NULL;
    ck_ok(handover->db->ops->snapshot(handover->db, &snapshot, reterr));
    crn_mutex_lock(&handover->mutex);
    struct crn_state_snapshot *unused = handover->snapshot;
    handover->snapshot = snapshot;
    crn_mutex_unlock(&handover->mutex);
    handover->db->ops->release_snapshot(unused);
}

/* An account without money has no entry. */
static void change(struct handover *handover, uint64_t account, int64_t amount)
{
    struct crn_state_db *db = handover->db;
    struct crn_pin pin = {0};
    uint64_t key = scramble(account), value = 0;
    if (ck_ok(db->ops->get(db, handover->state, &key, sizeof(key), &pin, reterr)) > 0)
        memcpy(&value, pin.data, sizeof(value));
    db->ops->unpin(&pin);
    value += (uint64_t)amount;
    if (value == 0)
        ck_ok(db->ops->remove(db, handover->state, &key, sizeof(key), reterr));
    else
        put_number(db, handover->state, key, value);
}

START_TEST(scanners_beside_the_writer)
{
    struct crn_state_db *db = open_heap(0);
    struct handover handover = {.db = db, .state = open_state(db, &value_info)};
    pthread_t threads[SCANNERS];
    crn_mutex_init(&handover.mutex, CRN_RANK_LEAF);
    for (uint64_t i = 0; i < ACCOUNTS; i++)
        change(&handover, i, TOTAL / ACCOUNTS);
    for (size_t i = 0; i < SCANNERS; i++)
        ck_ok(crn_thread_start(&threads[i], "scanner", scan_until_done, &handover, reterr));
    for (uint64_t i = 0; i < TRANSFERS; i++) {
        uint64_t from = scramble(3 * i) % ACCOUNTS, to = scramble(3 * i + 1) % ACCOUNTS;
        uint64_t key = scramble(from), amount = 0;
        struct crn_pin pin = {0};
        if (ck_ok(db->ops->get(db, handover.state, &key, sizeof(key), &pin, reterr)) > 0)
            memcpy(&amount, pin.data, sizeof(amount));
        db->ops->unpin(&pin);
        change(&handover, from, -(int64_t)amount);
        change(&handover, to, (int64_t)amount);
        if (i % 100 == 0)
            offer_snapshot(&handover);
    }
    crn_mutex_lock(&handover.mutex);
    handover.done = true;
    crn_mutex_unlock(&handover.mutex);
    for (size_t i = 0; i < SCANNERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_gt(handover.scans, 0);
    db->ops->release_snapshot(handover.snapshot);
    crn_mutex_done(&handover.mutex);
    ck_ok(
        db->ops->clip(db, &(struct crn_state_range){(const uint8_t *)"\x80", NULL, 1, 0}, reterr));
    ck_ok(
        db->ops->clip(db, &(struct crn_state_range){NULL, (const uint8_t *)"\x01", 0, 1}, reterr));
    ck_assert_uint_eq(held_bytes(db), 0);
    db->ops->close(db);
}
END_TEST

struct loader {
    struct crn_state_db *db;
    struct crn_state *state;
};

static void *load_high_keys(void *arg)
{
    struct loader *loader = arg;
    const struct crn_state_ops *ops = loader->db->ops;
    for (unsigned int part = 0; part < 20; part++) {
        struct crn_state_load *load = NULL;
        ck_ok(ops->load_begin(loader->db, loader->state, &load, reterr));
        for (unsigned int i = 0; i < 500; i++) {
            char key[16];
            snprintf(key, sizeof(key), "z%02u/%03u", part, i);
            ck_ok(ops->load_put(load, key, strlen(key), key, strlen(key), reterr));
        }
        ck_ok(ops->load_end(load, true, reterr));
    }
    return NULL;
}

START_TEST(a_load_beside_the_writer)
{
    struct crn_state_db *db = open_heap(0);
    struct loader loader = {db, open_state(db, &value_info)};
    pthread_t thread;
    size_t written = 0, before = 0;
    bool done = false;
    ck_ok(crn_thread_start(&thread, "loader", load_high_keys, &loader, reterr));
    while (!done) {
        char key[16];
        snprintf(key, sizeof(key), "a%07zu", written++);
        put(db, loader.state, key, key);
        if (written % 500 == 0) {
            size_t loaded = count_entries(db, loader.state, "z");
            ck_assert_uint_eq(loaded % 500, 0); /* a load is there, or it is not */
            ck_assert_uint_ge(loaded, before);
            before = loaded;
            done = loaded == 20u * 500;
        }
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(count_entries(db, loader.state, ""), written + 20 * 500);
    db->ops->close(db);
}
END_TEST

/* ---- barrier and capture ---- */

static int read_file(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr)
{
    return crn_file_pread_all(*(int *)context, data, n, offset, "capture", reterr);
}

/* Adds up what a captured file holds, and asserts that it is of its key groups. */
static void read_captured(const char *directory, const cairn_file_info *info, uint64_t *count,
                          uint64_t *sum)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", directory, info->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert(info->has_identity);
    struct crn_canonical_input input = {info->name, info->size, read_file, &fd, info->identity};
    struct crn_canonical_reader *reader = NULL;
    struct crn_canonical_scan *scan = NULL;
    struct crn_canonical_entry entry;
    uint64_t entries = 0;
    ck_ok(crn_canonical_open(&input, &reader, reterr));
    ck_assert_int_ge(crn_canonical_state(reader, "value"), 0);
    ck_ok(crn_canonical_scan(reader, -1, 0, 127, &scan, reterr));
    while (ck_ok(crn_canonical_next(scan, &entry, reterr)) > 0) {
        uint64_t value;
        ck_assert_uint_ge(entry.key_group, info->key_group_first);
        ck_assert_uint_le(entry.key_group, info->key_group_last);
        ck_assert_uint_eq(entry.value_size, sizeof(value));
        memcpy(&value, entry.value, sizeof(value));
        *sum += value;
        entries++;
    }
    crn_canonical_scan_end(scan);
    crn_canonical_close(reader);
    close(fd);
    ck_assert_uint_eq(entries, info->entry_count);
    *count += entries;
}

static void put_keyed(struct crn_state_db *db, struct crn_state *state, uint64_t i, uint64_t value)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0};
    uint32_t group = crn_key_group_of(&i, sizeof(i), 128);
    ck_assert_int_eq(crn_key_start(&key, group, 128, &i, sizeof(i)), 0);
    ck_assert_int_eq(crn_key_add_namespace(&key, "", 0), 0);
    ck_ok(db->ops->put(db, state, key.data, key.size, &value, sizeof(value), reterr));
}

START_TEST(a_capture_holds_the_barriers_entries)
{
    enum { ENTRIES = 20000 };
    struct place place = place_new();
    struct crn_state_db *db = open_heap(256 << 10); /* several files */
    struct crn_state *state = open_state(db, &value_info);
    struct crn_barrier barrier;
    struct crn_capture capture = {0};
    atomic_bool cancelled = false;
    for (uint64_t i = 0; i < ENTRIES; i++)
        put_keyed(db, state, i, 1);
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    ck_assert_uint_eq(barrier.sequence, ENTRIES);
    for (uint64_t i = 0; i < ENTRIES; i++)
        put_keyed(db, state, ENTRIES / 2 + i, 1000); /* half of them new */
    put_keyed(db, open_state(db, &list_info), 0, 1);
    ck_ok(db->ops->capture(db, &barrier, place.capture, &cancelled, &capture, reterr));
    db->ops->release(db);

    uint64_t count = 0, sum = 0;
    uint32_t next_group = 0;
    ck_assert_uint_gt(capture.count, 2);
    for (size_t i = 0; i < capture.count; i++) {
        const cairn_file_info *info = &capture.files[i].info;
        char name[64];
        snprintf(name, sizeof(name), "canonical-%" PRIu32 "-%" PRIu32, info->key_group_first,
                 info->key_group_last);
        ck_assert_str_eq(info->name, name);
        ck_assert_int_eq(info->role, CAIRN_FILE_CANONICAL);
        ck_assert(info->has_xxh3 && info->has_crc32c);
        ck_assert_uint_eq(info->key_group_first, next_group);
        next_group = info->key_group_last + 1;
        read_captured(place.capture, info, &count, &sum);
    }
    ck_assert_uint_eq(next_group, 128);
    ck_assert_uint_eq(count, ENTRIES);
    ck_assert_uint_eq(sum, ENTRIES); /* nothing of what came later */
    crn_capture_done(&capture);

    ck_ok(db->ops->barrier(db, &barrier, reterr));
    ck_fails(db->ops->capture(db, &barrier, place.capture, &cancelled, &capture, reterr), CAIRN_EIO,
             place.capture); /* it exists */
    cancelled = true;
    ck_ok(crn_file_remove_tree(place.capture, reterr));
    ck_fails(db->ops->capture(db, &barrier, place.capture, &cancelled, &capture, reterr),
             CAIRN_ECANCELED, "cancelled");
    db->ops->release(db);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(captures_of_little)
{
    struct place place = place_new();
    struct crn_state_db *db = open_heap(0);
    struct crn_barrier barrier;
    struct crn_capture capture = {0};
    atomic_bool cancelled = false;
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    ck_ok(db->ops->capture(db, &barrier, place.capture, &cancelled, &capture, reterr));
    db->ops->release(db);
    ck_assert_uint_eq(capture.count, 0); /* no state, no file */
    crn_capture_done(&capture);
    ck_ok(crn_file_remove_tree(place.capture, reterr));

    open_state(db, &value_info); /* a state without entries */
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    ck_ok(db->ops->capture(db, &barrier, place.capture, &cancelled, &capture, reterr));
    db->ops->release(db);
    uint64_t count = 0, sum = 0;
    ck_assert_uint_eq(capture.count, 1);
    read_captured(place.capture, &capture.files[0].info, &count, &sum);
    ck_assert_uint_eq(count, 0);
    crn_capture_done(&capture);
    ck_ok(db->ops->barrier(db, &barrier, reterr)); /* and the database is closed meanwhile */
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

static void add_cases(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, count);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("state-heap");
    add_cases(suite, "open", what_cannot_be_opened, 1);
    add_cases(suite, "costs", a_snapshot_costs_no_memory_but_for_changes, 1);
    add_cases(suite, "costs", everything_is_freed, 3);
    add_cases(suite, "costs", appending_is_cheap, 1);
    add_cases(suite, "loads", loads_between_the_entries, 1);
    add_cases(suite, "expiry", what_is_expired_leaves, 1);
    add_cases(suite, "expiry", expired_elements_leave_their_lists, 1);
    add_cases(suite, "threads", scanners_beside_the_writer, 1);
    add_cases(suite, "threads", a_load_beside_the_writer, 1);
    add_cases(suite, "capture", a_capture_holds_the_barriers_entries, 1);
    add_cases(suite, "capture", captures_of_little, 1);
    return crn_test_run(suite);
}
