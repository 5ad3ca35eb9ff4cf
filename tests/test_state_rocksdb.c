/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the RocksDB backend has beside the contract of all backends (test_state.c), without its
 * barrier (test_capture.c).
 *
 * Proves: reads, writes, appends, prefix removal and iteration do what a plain array does with
 * memtables so small that flushes and compactions go on all the time, and across a reopen; expiry
 * drops what a read would hide and nothing else, by a fake clock and by the duration as it is set
 * now; all databases of a budget together keep near it, and lose nothing; writers slow down while
 * compactions lag, and the metric shows it; options that would break exactness are refused by name;
 * damage on disk is CAIRN_ECORRUPT and names the state (P8), and a full disk CAIRN_ENOSPC.
 */
#include "backends/state/values.h"
#include "tests/support/state.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

static const cairn_state_info value_info = {.name = "value", .kind = CAIRN_KIND_VALUE};
static const cairn_state_info list_info = {.name = "list", .kind = CAIRN_KIND_LIST};
static const cairn_state_info map_info = {.name = "a map", .kind = CAIRN_KIND_MAP};

/* ---- random operations against an array ---- */

#define PREFIXES 4u
#define SUFFIXES 400u /* more than are removed one by one */
#define KEYS (PREFIXES * SUFFIXES)
#define VALUE_MAX 600u

struct oracle_entry {
    bool there;
    size_t size;
    char value[VALUE_MAX];
};

struct oracle {
    struct oracle_entry entries[2][KEYS]; /* 0: map, 1: list */
    uint64_t random;
};

static uint64_t next_random(struct oracle *oracle)
{
    uint64_t x = oracle->random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return oracle->random = x;
}

static size_t key_of(size_t i, char out[16])
{
    return (size_t)snprintf(out, 16, "%c%03zu", (char)('a' + i / SUFFIXES), i % SUFFIXES);
}

static void one_operation(struct crn_state_db *db, struct crn_state *states[2],
                          struct oracle *oracle)
{
    char key[16], value[64];
    size_t which = next_random(oracle) % 2, i = next_random(oracle) % KEYS;
    uint64_t dice = next_random(oracle) % 1000;
    struct oracle_entry *entry = &oracle->entries[which][i];
    size_t key_size = key_of(i, key);
    size_t size = next_random(oracle) % sizeof(value);
    memset(value, (int)(next_random(oracle) % 256), sizeof(value));

    if (dice == 0) { /* the entry's whole prefix */
        struct oracle_entry *first = &oracle->entries[which][i - i % SUFFIXES];
        ck_ok(db->ops->remove_prefix(db, states[which], key, 1, reterr));
        for (size_t k = 0; k < SUFFIXES; k++)
            first[k].there = false;
    } else if (dice < 150) {
        ck_ok(db->ops->remove(db, states[which], key, key_size, reterr));
        entry->there = false;
    } else if (dice < 600 && which == 1 && (!entry->there || entry->size + size < VALUE_MAX)) {
        ck_ok(db->ops->append(db, states[which], key, key_size, value, size, reterr));
        if (!entry->there)
            entry->size = 0;
        memcpy(entry->value + entry->size, value, size);
        entry->size += size;
        entry->there = true;
    } else {
        ck_ok(db->ops->put(db, states[which], key, key_size, value, size, reterr));
        memcpy(entry->value, value, size);
        entry->size = size;
        entry->there = true;
    }
}

static void assert_entry(const struct oracle_entry *entry, const uint8_t *value, size_t size)
{
    if (!entry->there || entry->size != size || memcmp(entry->value, value, size) != 0)
        ck_abort_msg("an entry differs: %zu bytes, expected %zu (there: %d)", size, entry->size,
                     entry->there);
}

static void assert_all(struct crn_state_db *db, struct crn_state *states[2],
                       const struct oracle *oracle)
{
    for (size_t which = 0; which < 2; which++) {
        struct crn_state_iterator *iterator = NULL;
        const uint8_t *key, *value;
        size_t key_size, value_size, i = 0;
        char expected[16];
        ck_ok(db->ops->iterate(db, states[which], "", 0, &iterator, reterr));
        while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0) {
            while (i < KEYS && !oracle->entries[which][i].there)
                i++;
            ck_assert_uint_lt(i, KEYS);
            ck_assert_uint_eq(key_size, key_of(i, expected));
            ck_assert_int_eq(memcmp(key, expected, key_size), 0);
            assert_entry(&oracle->entries[which][i++], value, value_size);
        }
        db->ops->end(iterator);
        while (i < KEYS && !oracle->entries[which][i].there)
            i++;
        ck_assert_uint_eq(i, KEYS);
    }
}

static void assert_gets(struct crn_state_db *db, struct crn_state *states[2],
                        const struct oracle *oracle)
{
    struct crn_pin pin = {0};
    char key[16];
    for (size_t which = 0; which < 2; which++)
        for (size_t i = 0; i < KEYS; i++) {
            size_t key_size = key_of(i, key);
            int found = ck_ok(db->ops->get(db, states[which], key, key_size, &pin, reterr));
            if (found != oracle->entries[which][i].there)
                ck_abort_msg("key %s: found %d", key, found);
            if (found)
                assert_entry(&oracle->entries[which][i], pin.data, pin.size);
        }
    db->ops->unpin(&pin);
}

START_TEST(random_operations)
{
    struct place place = place_new();
    struct oracle *oracle = calloc(1, sizeof(*oracle));
    ck_assert_ptr_nonnull(oracle);
    const char *seed = getenv("CAIRN_SEED");
    oracle->random = seed ? strtoull(seed, NULL, 10) : 20240817u;
    cairn_state_info infos[] = {map_info, list_info};
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 64 << 10};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *states[2] = {open_state(db, &infos[0]), open_state(db, &infos[1])};

    for (unsigned int round = 0; round < 10; round++) {
        for (unsigned int i = 0; i < 5000; i++)
            one_operation(db, states, oracle);
        assert_all(db, states, oracle);
        assert_gets(db, states, oracle);
        if (round % 3 == 0)
            compact(db, states[round % 2]);
        if (round % 4 == 1) {
            flush_all(db);
            db->ops->close(db);
            config.restored = true;
            config.states = infos;
            config.state_count = CRN_COUNT(infos);
            db = open_db(&config);
            states[0] = open_state(db, &infos[0]);
            states[1] = open_state(db, &infos[1]);
            assert_all(db, states, oracle);
        }
    }
    db->ops->close(db);
    free(oracle);
    place_remove(&place);
}
END_TEST

START_TEST(large_and_empty_values)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 1 << 20};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    size_t size = (size_t)40 << 20; /* forty memtables */
    uint8_t *big = malloc(size);
    ck_assert_ptr_nonnull(big);
    memset(big, 0x5a, size);
    struct crn_pin pin = {0};

    ck_ok(db->ops->put(db, state, "big", 3, big, size, reterr));
    ck_ok(db->ops->put(db, state, "empty", 5, "", 0, reterr));
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "big", 3, &pin, reterr)), 1);
    ck_assert_uint_eq(pin.size, size);
    ck_assert_int_eq(memcmp(pin.data, big, size), 0);
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "empty", 5, &pin, reterr)), 1);
    ck_assert_uint_eq(pin.size, 0);
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "none", 4, &pin, reterr)), 0);
    ck_assert_ptr_null(pin.handle);
    db->ops->close(db);
    free(big);
    place_remove(&place);
}
END_TEST

/* ---- expiry ---- */

static _Atomic int64_t fake_now;

static int64_t read_fake_clock(void *context)
{
    (void)context;
    return atomic_load(&fake_now);
}

static void put_at(struct crn_state_db *db, struct crn_state *state, const char *key, int64_t at)
{
    struct cairn_buffer value = {0};
    ck_assert_int_eq(crn_value_append(&value, true, at, "v", 1), 0);
    ck_ok(db->ops->put(db, state, key, strlen(key), value.data, value.size, reterr));
    crn_buf_done(&value);
}

static void append_at(struct crn_state_db *db, struct crn_state *state, const char *key, int64_t at)
{
    struct cairn_buffer element = {0};
    ck_assert_int_eq(crn_list_append_element(&element, true, at, "e", 1), 0);
    ck_ok(db->ops->append(db, state, key, strlen(key), element.data, element.size, reterr));
    crn_buf_done(&element);
}

static size_t list_length(struct crn_state_db *db, struct crn_state *state, const char *key)
{
    struct crn_pin pin = {0};
    size_t length = 0;
    if (ck_ok(db->ops->get(db, state, key, strlen(key), &pin, reterr)) > 0) {
        struct crn_reader reader = {.data = pin.data, .size = pin.size};
        struct crn_list_element element;
        int r;
        while ((r = crn_list_next_element(&reader, true, &element)) > 0)
            length++;
        ck_assert_int_eq(r, 0);
    }
    db->ops->unpin(&pin);
    return length;
}

START_TEST(values_expire)
{
    struct place place = place_new();
    cairn_state_info info = value_info;
    struct crn_state_config config = {.directory = place.db, .now_ms = read_fake_clock};
    struct crn_state_db *db = open_db(&config);
    info.ttl_ms = 1000;
    struct crn_state *state = open_state(db, &info);

    atomic_store(&fake_now, 10000);
    put_at(db, state, "old", 9000);
    put_at(db, state, "young", 9001);
    put_at(db, state, "future", 20000);
    ck_ok(db->ops->put(db, state, "damaged", 7, "short", 5, reterr));
    compact(db, state);
    ck_assert_uint_eq(count_entries(db, state, ""), 3);
    ck_assert_uint_eq(count_entries(db, state, "old"), 0);
    ck_assert_uint_eq(count_entries(db, state, "damaged"), 1); /* for a reader to find */

    /* A longer duration takes effect at once, a shorter one as well. */
    info.ttl_ms = 5000;
    ck_assert_ptr_eq(open_state(db, &info), state);
    atomic_store(&fake_now, 12000);
    compact(db, state);
    ck_assert_uint_eq(count_entries(db, state, "young"), 1);
    info.ttl_ms = 10;
    open_state(db, &info);
    compact(db, state);
    ck_assert_uint_eq(count_entries(db, state, "young"), 0);
    ck_assert_uint_eq(count_entries(db, state, "future"), 1);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(list_elements_expire_one_by_one)
{
    struct place place = place_new();
    cairn_state_info info = list_info;
    struct crn_state_config config = {.directory = place.db, .now_ms = read_fake_clock};
    struct crn_state_db *db = open_db(&config);
    info.ttl_ms = 1000;
    struct crn_state *state = open_state(db, &info);

    atomic_store(&fake_now, 0);
    for (int64_t i = 0; i < 10; i++) {
        append_at(db, state, "list", i * 100);
        append_at(db, state, "gone", 5);
    }
    compact(db, state);
    ck_assert_uint_eq(list_length(db, state, "list"), 10);
    atomic_store(&fake_now, 1500); /* written at 0..500: expired */
    compact(db, state);
    ck_assert_uint_eq(list_length(db, state, "list"), 4);
    ck_assert_uint_eq(count_entries(db, state, ""), 1);
    append_at(db, state, "list", 1400);
    ck_assert_uint_eq(list_length(db, state, "list"), 5);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* Until its state is opened, the duration is not known, and nothing may be dropped. */
START_TEST(nothing_expires_before_its_state_is_opened)
{
    struct place place = place_new();
    cairn_state_info info = value_info;
    info.ttl_ms = 1000;
    struct crn_state_config config = {.directory = place.db, .now_ms = read_fake_clock};
    struct crn_state_db *db = open_db(&config);
    put_at(db, open_state(db, &info), "k", 0);
    flush_all(db);
    db->ops->close(db);

    atomic_store(&fake_now, 5000);
    config.restored = true;
    config.states = &info;
    config.state_count = 1;
    db = open_db(&config);
    compact(db, crn_rocksdb_of(db)->states[0]);
    info.ttl_ms = 10000;
    struct crn_state *state = open_state(db, &info);
    ck_assert_uint_eq(count_entries(db, state, ""), 1);
    info.ttl_ms = 0;
    struct crn_state *other = NULL;
    ck_fails(db->ops->open_state(db, &info, &other, reterr), CAIRN_EMISMATCH, "expiry");
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* ---- memory ---- */

START_TEST(databases_share_a_budget)
{
    const uint64_t budget = 16 << 20;
    struct place places[2] = {place_new(), place_new()};
    struct crn_state_db *dbs[2];
    struct crn_state *states[2];
    cairn_memory *memory = NULL;
    static char value[1000];

    ck_ok(cairn_memory_new(budget, &memory, reterr));
    for (size_t i = 0; i < 2; i++) {
        struct crn_state_config config = {.directory = places[i].db, .memory = memory};
        dbs[i] = open_db(&config); /* with memtables of 64 MiB each */
        states[i] = open_state(dbs[i], &value_info);
    }
    cairn_memory_release(memory); /* the databases hold on to it */
    uint64_t highest = 0;
    for (unsigned int i = 0; i < 40000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%08u", i);
        size_t which = i % 4 == 0; /* one writes three times as much */
        ck_ok(
            dbs[which]->ops->put(dbs[which], states[which], key, 8, value, sizeof(value), reterr));
        if (i % 200 == 0) {
            struct crn_state_stats a, b;
            dbs[0]->ops->stats(dbs[0], &a);
            dbs[1]->ops->stats(dbs[1], &b);
            if (a.memtable_bytes + b.memtable_bytes > highest)
                highest = a.memtable_bytes + b.memtable_bytes;
        }
    }
    ck_assert_uint_gt(highest, budget / 4); /* it is used */
    ck_assert_uint_lt(highest, budget);     /* the half, and what a flush takes to get rid of */
    ck_assert_uint_eq(count_entries(dbs[0], states[0], ""), 30000);
    ck_assert_uint_eq(count_entries(dbs[1], states[1], ""), 10000);
    for (size_t i = 0; i < 2; i++) {
        dbs[i]->ops->close(dbs[i]);
        place_remove(&places[i]);
    }
}
END_TEST

START_TEST(budgets_too_small)
{
    cairn_memory *memory = NULL;
    ck_fails(cairn_memory_new((8 << 20) - 1, &memory, reterr), CAIRN_EINVAL, "8388608");
    ck_ok(cairn_memory_new(8 << 20, &memory, reterr));
    cairn_memory_release(memory);
    cairn_memory_release(NULL);
}
END_TEST

/* ---- backpressure ---- */

START_TEST(writers_slow_down_before_a_lagging_compaction)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db,
                                      .memtable_bytes = 64 << 10,
                                      .extra_options = "disable_auto_compactions=true"};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    struct crn_state_stats stats = {0};
    static char value[1000];
    unsigned int i = 0;
    for (; stats.level0_files <= 30; i++) {
        ck_ok(db->ops->put(db, state, &i, sizeof(i), value, sizeof(value), reterr));
        db->ops->stats(db, &stats);
        ck_assert(i < 100000);
    }
    uint64_t before_us = stats.backpressure_us;
    for (unsigned int end = i + 500; i < end; i++)
        ck_ok(db->ops->put(db, state, &i, sizeof(i), value, sizeof(value), reterr));
    db->ops->stats(db, &stats);
    ck_assert_uint_gt(stats.backpressure_us, before_us);
    compact(db, state); /* the debt is paid, and nobody waits any more */
    for (unsigned int end = i + 200; i < end; i++)
        ck_ok(db->ops->put(db, state, &i, sizeof(i), value, sizeof(value), reterr));
    db->ops->stats(db, &stats);
    ck_assert_uint_lt(stats.level0_files, 10);
    ck_assert_uint_eq(count_entries(db, state, ""), i);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* ---- options ---- */

static const struct {
    const char *options;
    int code;
    const char *part;
} option_cases[] = {
    {"", 0, ""},
    {"max_background_jobs=4;compression=kZSTD;block_based_table_factory={block_size=4096}", 0, ""},
    {"no_such_option=1", CAIRN_EINVAL, "no_such_option"},
    {"max_open_files=many", CAIRN_EINVAL, "max_open_files"},
    {"max_open_files=10;atomic_flush=true", CAIRN_EINVAL, "'atomic_flush'"},
    {"  db_write_buffer_size = 1000000 ", CAIRN_EINVAL, "'db_write_buffer_size'"},
    {"allow_2pc=true;", CAIRN_EINVAL, "'allow_2pc'"},
    {"db_paths={{path=/tmp;target_size=1}}", CAIRN_EINVAL, "'db_paths'"},
    {"block_based_table_factory={block_size=4096};comparator=x", CAIRN_EINVAL, "'comparator'"},
    {"enable_blob_files=true", CAIRN_EINVAL, "'enable_blob_files'"},
    {"write_buffer_size=1000000", CAIRN_EINVAL, "'write_buffer_size'"},
    {"compaction_style=kCompactionStyleFIFO", CAIRN_EINVAL, "FIFO"},
    {"a={{{", CAIRN_EINVAL, ""},
    {"}}};;==", CAIRN_EINVAL, ""},
};

START_TEST(extra_options)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db,
                                      .extra_options = option_cases[_i].options};
    if (option_cases[_i].code == 0) {
        struct crn_state_db *db = open_db(&config);
        put(db, open_state(db, &value_info), "k", "v");
        db->ops->close(db);
    } else {
        struct crn_state_db *db = NULL;
        ck_fails(crn_rocksdb_open(&config, &db, reterr), option_cases[_i].code,
                 option_cases[_i].part);
        ck_assert_ptr_null(db);
    }
    place_remove(&place);
}
END_TEST

/* ---- what is wrong on disk ---- */

static void fill_and_close(const struct place *place)
{
    struct crn_state_config config = {.directory = place->db};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    for (unsigned int i = 0; i < 20000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%08u", i);
        put(db, state, key, key);
    }
    flush_all(db);
    db->ops->close(db);
}

static struct crn_state_config restored_config(const struct place *place)
{
    return (struct crn_state_config){
        .directory = place->db, .restored = true, .states = &value_info, .state_count = 1};
}

/* The one table. */
static void table_path(const struct place *place, char out[600])
{
    char **names;
    size_t count, found = 0;
    ck_ok(crn_file_list_dir(place->db, &names, &count, reterr));
    for (size_t i = 0; i < count; i++)
        if (strstr(names[i], ".sst")) {
            snprintf(out, 600, "%s/%s", place->db, names[i]);
            found++;
        }
    crn_file_free_names(names, count);
    ck_assert_uint_eq(found, 1);
}

START_TEST(damaged_table)
{
    struct place place = place_new();
    char path[600];
    fill_and_close(&place);
    table_path(&place, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;
    ck_assert_int_eq(pread(fd, &byte, 1, 1000), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, 1000), 1);
    close(fd);

    struct crn_state_config config = restored_config(&place);
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    struct crn_pin pin = {0};
    ck_fails(db->ops->get(db, state, "00000000", 8, &pin, reterr), CAIRN_ECORRUPT, "'value'");
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size;
    ck_ok(db->ops->iterate(db, state, "", 0, &iterator, reterr));
    ck_fails(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr), CAIRN_ECORRUPT,
             "'value'");
    db->ops->end(iterator);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(cut_or_missing_table)
{
    struct place place = place_new();
    char path[600];
    struct crn_state_config config = restored_config(&place);
    struct crn_state_db *db = NULL;
    fill_and_close(&place);
    table_path(&place, path);
    ck_assert_int_eq(truncate(path, 1000), 0);
    ck_fails(crn_rocksdb_open(&config, &db, reterr), CAIRN_ECORRUPT, place.db);
    ck_assert_int_eq(unlink(path), 0);
    ck_fails(crn_rocksdb_open(&config, &db, reterr), CAIRN_ECORRUPT, place.db);
    place_remove(&place);
}
END_TEST

START_TEST(states_and_database_must_fit)
{
    struct place place = place_new();
    cairn_state_info infos[] = {value_info, list_info};
    struct crn_state_config config = restored_config(&place);
    struct crn_state_db *db = NULL;

    ck_fails(crn_rocksdb_open(&config, &db, reterr), CAIRN_EIO, place.db); /* nothing is there */
    fill_and_close(&place);
    config.states =
        infos; /* one that only other subtasks registered is created when it is opened */
    config.state_count = 2;
    db = open_db(&config);
    put(db, open_state(db, &list_info), "k", "v");
    ck_assert_uint_eq(count_entries(db, open_state(db, &value_info), ""), 20000);
    db->ops->close(db);
    config.states = &list_info;
    config.state_count = 1;
    ck_fails(crn_rocksdb_open(&config, &db, reterr), CAIRN_ECORRUPT, "'value'");
    config = (struct crn_state_config){.directory = place.db};
    ck_fails(crn_rocksdb_open(&config, &db, reterr), CAIRN_EINVAL, "exists");

    config = restored_config(&place);
    config.read_only = true;
    db = open_db(&config);
    struct crn_state *state = NULL;
    ck_fails(db->ops->open_state(db, &map_info, &state, reterr), CAIRN_ENOTFOUND, "'a map'");
    cairn_state_info as_list = {.name = "value", .kind = CAIRN_KIND_LIST};
    ck_fails(db->ops->open_state(db, &as_list, &state, reterr), CAIRN_EMISMATCH, "'value'");
    assert_value(db, open_state(db, &value_info), "00019999", "00019999");
    ck_fails(db->ops->put(db, open_state(db, &value_info), "k", 1, "v", 1, reterr),
             CAIRN_EUNSUPPORTED, "read only");
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* A read-only open leaves the directory as it is. */
START_TEST(read_only_changes_nothing)
{
    struct place place = place_new();
    char **before, **after;
    size_t before_count, after_count;
    fill_and_close(&place);
    ck_ok(crn_file_list_dir(place.db, &before, &before_count, reterr));
    struct crn_state_config config = restored_config(&place);
    config.read_only = true;
    struct crn_state_db *first = open_db(&config), *second = open_db(&config);
    ck_assert_uint_eq(count_entries(first, open_state(first, &value_info), ""), 20000);
    first->ops->close(first);
    second->ops->close(second);
    ck_ok(crn_file_list_dir(place.db, &after, &after_count, reterr));
    ck_assert_uint_eq(after_count, before_count);
    for (size_t i = 0; i < after_count; i++)
        ck_assert_str_eq(after[i], before[i]);
    crn_file_free_names(before, before_count);
    crn_file_free_names(after, after_count);
    place_remove(&place);
}
END_TEST

/* On a file system of 2 MiB of its own, where the system lets a test mount one. */
START_TEST(full_disk)
{
    struct place place = place_new();
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", place.db, "tmpfs", 0, "size=2m") != 0) {
        place_remove(&place);
        return;
    }
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 256 << 10};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    cairn_error *error = NULL;
    int r = 0;
    uint64_t noise = 88172645463325252u; /* so that it does not compress */
    for (unsigned int i = 0; i < 20000 && r == 0; i++) {
        uint64_t value[125];
        for (size_t k = 0; k < CRN_COUNT(value); k++) {
            noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
            value[k] = noise;
        }
        r = db->ops->put(db, state, &i, sizeof(i), value, sizeof(value), &error);
        if (r == 0 && i % 100 == 99)
            r = crn_rocksdb_switch_memtables(crn_rocksdb_of(db), true, &error);
    }
    ck_assert_msg(r == CAIRN_ENOSPC, "%s: %s", cairn_error_name(r), cairn_error_message(error));
    cairn_error_free(error);
    db->ops->close(db);
    ck_assert_int_eq(umount2(place.db, MNT_DETACH), 0);
    place_remove(&place);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test, int loops)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, loops);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("state-rocksdb");
    add_case(suite, "oracle", random_operations, 1);
    add_case(suite, "sizes", large_and_empty_values, 1);
    add_case(suite, "expiry", values_expire, 1);
    add_case(suite, "expiry", list_elements_expire_one_by_one, 1);
    add_case(suite, "expiry", nothing_expires_before_its_state_is_opened, 1);
    add_case(suite, "memory", databases_share_a_budget, 1);
    add_case(suite, "memory", budgets_too_small, 1);
    add_case(suite, "pace", writers_slow_down_before_a_lagging_compaction, 1);
    add_case(suite, "options", extra_options, (int)CRN_COUNT(option_cases));
    add_case(suite, "damage", damaged_table, 1);
    add_case(suite, "damage", cut_or_missing_table, 1);
    add_case(suite, "damage", states_and_database_must_fit, 1);
    add_case(suite, "damage", read_only_changes_nothing, 1);
    add_case(suite, "damage", full_disk, 1);
    return crn_test_run(suite);
}
