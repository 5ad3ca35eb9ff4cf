/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barrier, the capture and the hold of the RocksDB backend (P2, P3).
 *
 * Proves: what a capture holds is exactly what was written before its barrier. A writer that never
 * pauses runs a numbered sequence of operations over several states with small memtables; the
 * number at each barrier is noted; each captured directory, opened by itself, must equal a replay
 * of just so many operations. Holds happen on the way, are counted, and lose nothing. When a
 * memtable is flushed behind the backend's back after the barrier, the proof finds it, whichever
 * kind of write was in it; so it finds missing, cut and foreign files. A capture can be cancelled
 * while it waits; a disk that takes no more bytes ends it with a reason and lets the writer go on.
 */
#include "base/file.h"
#include "base/hash.h"
#include "tests/support/state.h"

#include <signal.h>
#include <sys/resource.h>

static const cairn_state_info infos[] = {{.name = "value", .kind = CAIRN_KIND_VALUE},
                                         {.name = "list", .kind = CAIRN_KIND_LIST},
                                         {.name = "map", .kind = CAIRN_KIND_MAP}};
static const atomic_bool never = false;

static struct crn_barrier take_barrier(struct crn_state_db *db)
{
    struct crn_barrier barrier;
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    return barrier;
}

static struct crn_state_db *open_capture(const char *directory)
{
    struct crn_state_config config = {.directory = directory,
                                      .restored = true,
                                      .read_only = true,
                                      .states = infos,
                                      .state_count = CRN_COUNT(infos)};
    return open_db(&config);
}

/* ---- operations by number ---- */

#define KEYS 500u

struct model {
    uint64_t sums[3][KEYS]; /* 0: absent; of a list: a hash of its elements */
    uint32_t sizes[KEYS];   /* of lists, in elements */
};

struct operation {
    size_t state, key;
    enum { PUT, REMOVE, APPEND } kind;
    uint64_t value;
    size_t size; /* of the stored bytes: the value, over and over */
};

static struct operation operation_of(uint64_t n)
{
    uint64_t x = (n + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29, x *= 0xbf58476d1ce4e5b9u, x ^= x >> 32;
    struct operation op = {.state = x % 3, .key = (x >> 8) % KEYS, .value = x | 1};
    op.kind = (x >> 40) % 8 == 0 ? REMOVE : op.state == 1 ? APPEND : PUT;
    op.size = op.state == 1 ? 8 : 8 * (1 + (x >> 44) % 60);
    return op;
}

static void replay(struct model *model, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        struct operation op = operation_of(n);
        uint64_t *sum = &model->sums[op.state][op.key];
        if (op.kind == REMOVE)
            *sum = 0, model->sizes[op.key] *= op.state != 1;
        else if (op.kind == PUT)
            *sum = op.value + op.size;
        else
            *sum = *sum * 31 + op.value, model->sizes[op.key]++;
    }
}

static void run_operation(struct crn_state_db *db, struct crn_state *const states[3], uint64_t n)
{
    struct operation op = operation_of(n);
    uint64_t value[64];
    uint32_t key = (uint32_t)op.key;
    for (size_t i = 0; i < op.size / 8; i++)
        value[i] = op.value;
    cairn_error *error = NULL;
    int r = op.kind == REMOVE ? db->ops->remove(db, states[op.state], &key, sizeof(key), &error)
            : op.kind == PUT
                ? db->ops->put(db, states[op.state], &key, sizeof(key), value, op.size, &error)
                : db->ops->append(db, states[op.state], &key, sizeof(key), value, op.size, &error);
    if (r < 0) /* ck_assert would be the slowest part */
        ck_abort_msg("operation %llu: %s", (unsigned long long)n, cairn_error_message(error));
}

static void assert_capture(const char *directory, const struct model *model)
{
    struct crn_state_db *db = open_capture(directory);
    for (size_t s = 0; s < 3; s++) {
        struct crn_state *state = open_state(db, &infos[s]);
        struct crn_state_iterator *iterator = NULL;
        const uint8_t *key, *value;
        size_t key_size, value_size, expected = 0, found = 0;
        ck_ok(db->ops->iterate(db, state, "", 0, &iterator, reterr));
        while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0) {
            uint32_t k;
            uint64_t first, sum = 0;
            memcpy(&k, key, sizeof(k));
            memcpy(&first, value, sizeof(first));
            sum = first + value_size;
            for (size_t i = 0; s == 1 && i < value_size; i += 8) {
                uint64_t element;
                memcpy(&element, value + i, sizeof(element));
                sum = i == 0 ? element : sum * 31 + element;
            }
            if (sum != model->sums[s][k])
                ck_abort_msg("state %zu, key %u: not the barrier's value", s, k);
            found++;
        }
        db->ops->end(iterator);
        for (size_t k = 0; k < KEYS; k++)
            expected += model->sums[s][k] != 0;
        ck_assert_uint_eq(found, expected);
    }
    db->ops->close(db);
}

/* ---- a writer that never pauses ---- */

#define CAPTURES 12u

struct capturing {
    struct crn_state_db *db;
    struct crn_barrier barrier;
    char directory[400];
    atomic_bool cancelled, done;
    uint64_t release_after_us;
    int result;
    cairn_error *error;
    struct crn_capture capture;
    pthread_t thread;
};

static void *capture_thread(void *arg)
{
    struct capturing *c = arg;
    /* The longer until then, the fuller the memtables. */
    crn_sleep_us(c->release_after_us);
    c->result = c->db->ops->capture(c->db, &c->barrier, c->directory, &c->cancelled, &c->capture,
                                    &c->error);
    c->db->ops->release(c->db);
    atomic_store(&c->done, true);
    return NULL;
}

static void start_capture(struct capturing *c, struct crn_state_db *db, const char *directory)
{
    c->db = db;
    snprintf(c->directory, sizeof(c->directory), "%s", directory);
    c->barrier = take_barrier(db);
    ck_ok(crn_thread_start(&c->thread, "capture", capture_thread, c, reterr));
}

static void assert_captured(struct capturing *c)
{
    pthread_join(c->thread, NULL);
    if (c->result < 0)
        ck_abort_msg("capture: %s", cairn_error_message(c->error));
    crn_capture_done(&c->capture);
}

START_TEST(captures_hold_the_barriers_state)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 128 << 10};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *states[3];
    struct capturing *captures = calloc(CAPTURES, sizeof(*captures));
    uint64_t n = 0, barriers[CAPTURES];
    ck_assert_ptr_nonnull(captures);
    for (size_t i = 0; i < 3; i++)
        states[i] = open_state(db, &infos[i]);

    for (size_t i = 0; i < CAPTURES; i++) {
        char directory[400];
        for (uint64_t end = n + 700 * i; n < end; n++)
            run_operation(db, states, n);
        snprintf(directory, sizeof(directory), "%s/capture-%zu", place.root, i);
        captures[i].release_after_us = i % 3 * 15000;
        barriers[i] = n;
        start_capture(&captures[i], db, directory);
        while (!atomic_load(&captures[i].done))
            run_operation(db, states, n++);
        assert_captured(&captures[i]);
    }
    struct crn_state_stats stats;
    db->ops->stats(db, &stats);
    ck_assert_uint_gt(stats.hold_count, 0);
    ck_assert_uint_gt(stats.hold_us, 0);
    db->ops->close(db);

    struct model *model = calloc(1, sizeof(*model));
    ck_assert_ptr_nonnull(model);
    for (size_t i = 0; i < CAPTURES; i++) {
        replay(model, i == 0 ? 0 : barriers[i - 1], barriers[i]);
        assert_capture(captures[i].directory, model);
    }
    free(model);
    free(captures);
    place_remove(&place);
}
END_TEST

/* ---- what the capture says about its files ---- */

static void assert_file(const char *directory, const cairn_file_info *info)
{
    char path[600];
    uint8_t *data;
    size_t size;
    snprintf(path, sizeof(path), "%s/%s", directory, info->name);
    ck_ok(crn_file_read_all(path, SIZE_MAX, &data, &size, reterr));
    ck_assert_uint_eq(info->size, size);
    bool table = strstr(info->name, ".sst") != NULL;
    ck_assert_int_eq(info->role, table ? CAIRN_FILE_TABLE : CAIRN_FILE_DATABASE);
    ck_assert_int_eq(info->has_crc32c, table);
    if (table) {
        ck_assert_uint_eq(info->crc32c, crn_crc32c(0, data, size));
        ck_assert_uint_eq(info->number, strtoull(info->name, NULL, 10));
        ck_assert_uint_le(info->sequence_first, info->sequence_last);
        ck_assert_uint_gt(info->smallest_size, 0);
        ck_assert_uint_gt(info->largest_size, 0);
        ck_assert(strcmp(info->state, "value") == 0 || strcmp(info->state, "list") == 0);
    }
    free(data);
}

START_TEST(captured_files_are_described)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 64 << 10};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *value = open_state(db, &infos[0]), *list = open_state(db, &infos[1]);
    open_state(db, &infos[2]); /* stays empty */
    for (unsigned int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%06u", i);
        put(db, value, key, key);
        ck_ok(db->ops->append(db, list, key, 4, key, 6, reterr));
    }
    compact(db, list);
    struct crn_barrier barrier = take_barrier(db);
    ck_assert_uint_eq(barrier.sequence, 6000);
    struct crn_capture capture;
    ck_ok(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr));
    db->ops->release(db);
    size_t tables = 0, levels = 0;
    for (size_t i = 0; i < capture.count; i++) {
        const cairn_file_info *info = &capture.files[i].info;
        assert_file(place.capture, info);
        tables += info->role == CAIRN_FILE_TABLE;
        levels += info->level > 0;
    }
    ck_assert_uint_ge(tables, 2);
    ck_assert_uint_ge(levels, 1);
    ck_assert_uint_eq(capture.count - tables, 3); /* CURRENT, MANIFEST, OPTIONS */
    crn_capture_done(&capture);
    db->ops->close(db);

    /* And a database that goes on from it. */
    config.directory = place.capture;
    config.restored = true;
    config.states = infos;
    config.state_count = 3;
    db = open_db(&config);
    value = open_state(db, &infos[0]);
    assert_value(db, value, "002999", "002999");
    put(db, value, "002999", "new");
    barrier = take_barrier(db);
    ck_assert_uint_gt(barrier.sequence, 6000);
    char again[400];
    snprintf(again, sizeof(again), "%s/again", place.root);
    ck_ok(db->ops->capture(db, &barrier, again, &never, &capture, reterr));
    db->ops->release(db);
    crn_capture_done(&capture);
    db->ops->close(db);
    db = open_capture(again);
    assert_value(db, open_state(db, &infos[0]), "002999", "new");
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* ---- the proof ---- */

enum late_write { LATE_PUT, LATE_REMOVE, LATE_RANGE, LATE_APPEND, LATE_KINDS };

static void write_late(struct crn_state_db *db, struct crn_state *const states[3],
                       enum late_write kind)
{
    switch (kind) {
    case LATE_PUT:
        put(db, states[0], "late", "x");
        break;
    case LATE_REMOVE:
        remove_key(db, states[0], "key-1");
        break;
    case LATE_RANGE:
        ck_ok(db->ops->remove_prefix(db, states[2], "k", 1, reterr));
        break;
    default:
        ck_ok(db->ops->append(db, states[1], "late", 4, "x", 1, reterr));
    }
}

START_TEST(a_flush_behind_the_barrier_is_found)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *states[3];
    for (size_t i = 0; i < 3; i++)
        states[i] = open_state(db, &infos[i]);
    for (unsigned int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%u", i);
        put(db, states[0], key, key);
        put(db, states[2], key, key);
    }
    struct crn_barrier barrier = take_barrier(db);
    write_late(db, states, (enum late_write)_i);
    flush_all(db);
    struct crn_capture capture;
    ck_fails(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr),
             CAIRN_EABORTED, "flushed too early");
    db->ops->release(db);
    ck_ok(crn_file_remove_tree(place.capture, reterr));

    /* The next attempt is whole. */
    barrier = take_barrier(db);
    ck_ok(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr));
    db->ops->release(db);
    crn_capture_done(&capture);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* What RocksDB does by itself when it recovers from a full disk: it flushes everything, and goes on
 * compacting, which sets the sequence numbers of the bottommost tables to 0. */
START_TEST(a_flush_is_found_after_a_compaction_wiped_its_traces)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *states[3];
    for (size_t i = 0; i < 3; i++)
        states[i] = open_state(db, &infos[i]);
    put(db, states[0], "key-1", "early");
    put(db, states[2], "k", "early");
    struct crn_barrier barrier = take_barrier(db);
    write_late(db, states, (enum late_write)_i);
    flush_all(db);
    for (size_t i = 0; i < 3; i++)
        compact(db, states[i]);
    put(db, states[0], "later", "in the next memtable");
    struct crn_capture capture;
    ck_fails(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr),
             CAIRN_EABORTED, "flushed too early");
    db->ops->release(db);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(without_a_late_flush_late_writes_stay_out)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *states[3];
    for (size_t i = 0; i < 3; i++)
        states[i] = open_state(db, &infos[i]);
    put(db, states[0], "key-1", "early");
    put(db, states[2], "k", "early");
    struct crn_barrier barrier = take_barrier(db);
    for (int kind = 0; kind < LATE_KINDS; kind++)
        write_late(db, states, (enum late_write)kind);
    cairn_state_info later = {.name = "later", .kind = CAIRN_KIND_VALUE};
    put(db, open_state(db, &later), "k", "v"); /* a state that the barrier does not know */
    struct crn_capture capture;
    ck_ok(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr));
    db->ops->release(db);
    crn_capture_done(&capture);
    db->ops->close(db);

    for (unsigned int read_only = 2; read_only-- > 0;) { /* the writable open drops "later" */
        config = (struct crn_state_config){.directory = place.capture,
                                           .restored = true,
                                           .read_only = read_only,
                                           .states = infos,
                                           .state_count = 3};
        db = open_db(&config);
        ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), ""), 1);
        ck_assert_uint_eq(count_entries(db, open_state(db, &infos[1]), ""), 0);
        ck_assert_uint_eq(count_entries(db, open_state(db, &infos[2]), ""), 1);
        assert_value(db, open_state(db, &infos[0]), "key-1", "early");
        if (!read_only)
            assert_value(db, open_state(db, &later), "k", NULL);
        db->ops->close(db);
    }
    place_remove(&place);
}
END_TEST

START_TEST(a_capture_needs_a_fresh_directory)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    put(db, open_state(db, &infos[0]), "k", "v");
    ck_ok(crn_file_make_dirs(place.capture, reterr));
    struct crn_barrier barrier = take_barrier(db);
    struct crn_capture capture;
    ck_fails(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr), CAIRN_EINVAL,
             "exists");
    char nowhere[400];
    snprintf(nowhere, sizeof(nowhere), "%s/no/such", place.root);
    ck_fails(db->ops->capture(db, &barrier, nowhere, &never, &capture, reterr), CAIRN_EIO,
             "no/such");
    db->ops->release(db);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* ---- waiting ---- */

static struct crn_state_db *open_small(const struct place *place, struct crn_state **ret_state)
{
    struct crn_state_config config = {.directory = place->db, .memtable_bytes = 256 << 10};
    struct crn_state_db *db = open_db(&config);
    for (size_t i = CRN_COUNT(infos); i-- > 0;)
        *ret_state = open_state(db, &infos[i]);
    return db;
}

static void write_kilobytes(struct crn_state_db *db, struct crn_state *state, unsigned int from,
                            unsigned int to)
{
    char value[1000];
    memset(value, 'v', sizeof(value));
    for (unsigned int i = from; i < to; i++)
        ck_ok(db->ops->put(db, state, &i, sizeof(i), value, sizeof(value), reterr));
}

/* 60 MB take a flush tens of milliseconds at the very least. */
START_TEST(a_capture_can_be_cancelled)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 128 << 20};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &infos[0]);
    struct capturing c = {0};
    write_kilobytes(db, state, 0, 60000);
    start_capture(&c, db, place.capture);
    crn_sleep_us(3000);
    ck_assert(!atomic_load(&c.done));
    atomic_store(&c.cancelled, true);
    pthread_join(c.thread, NULL);
    ck_assert_int_eq(c.result, CAIRN_ECANCELED);
    cairn_error_free(c.error);
    ck_assert(!crn_file_is_dir(place.capture));
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(a_full_memtable_waits_for_release)
{
    struct place place = place_new();
    struct crn_state *state;
    struct crn_state_db *db = open_small(&place, &state);
    struct capturing c = {.release_after_us = 300000};
    struct crn_state_stats stats;
    write_kilobytes(db, state, 0, 150);
    start_capture(&c, db, place.capture);
    write_kilobytes(db, state, 1000, 1120); /* what fits in a memtable goes on at once */
    db->ops->stats(db, &stats);
    ck_assert_uint_eq(stats.hold_count, 0);
    ck_assert(!atomic_load(&c.done));
    write_kilobytes(db, state, 2000, 2150);
    ck_assert(atomic_load(&c.done) || !atomic_load(&crn_rocksdb_of(db)->held));
    db->ops->stats(db, &stats);
    ck_assert_uint_eq(stats.hold_count, 1);
    ck_assert_uint_gt(stats.hold_us, 100000);
    assert_captured(&c);
    ck_assert_uint_eq(count_entries(db, state, ""), 420);
    db->ops->close(db);
    db = open_capture(place.capture);
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), ""), 150);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* Larger than a memtable: it waits, whatever is in there. */
START_TEST(a_large_value_waits_for_release)
{
    struct place place = place_new();
    struct crn_state *state;
    struct crn_state_db *db = open_small(&place, &state);
    struct capturing c = {.release_after_us = 100000};
    struct crn_state_stats stats;
    size_t size = 1 << 20;
    uint8_t *value = calloc(1, size);
    ck_assert_ptr_nonnull(value);
    put(db, state, "k", "early");
    start_capture(&c, db, place.capture);
    ck_ok(db->ops->put(db, state, "k", 1, value, size, reterr));
    put(db, state, "k2", "late");
    db->ops->stats(db, &stats);
    ck_assert_uint_eq(stats.hold_count, 1);
    assert_captured(&c);
    db->ops->close(db);
    db = open_capture(place.capture);
    assert_value(db, open_state(db, &infos[0]), "k", "early");
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), ""), 1);
    db->ops->close(db);
    free(value);
    place_remove(&place);
}
END_TEST

/* Memory pressure must not flush behind the barrier either. */
START_TEST(a_hold_comes_before_the_budget)
{
    struct place place = place_new();
    cairn_memory *memory = NULL;
    ck_ok(cairn_memory_new(8 << 20, &memory, reterr)); /* 4 MiB for memtables */
    struct crn_state_config config = {.directory = place.db, .memory = memory};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &infos[0]);
    struct crn_state_stats stats;
    struct crn_capture capture;
    open_state(db, &infos[1]);
    open_state(db, &infos[2]);
    cairn_memory_release(memory);
    write_kilobytes(db, state, 0, 2000);
    struct crn_barrier barrier = take_barrier(db);
    write_kilobytes(db, state, 10000, 20000);
    db->ops->stats(db, &stats);
    ck_assert_uint_gt(stats.memtable_bytes, 8 << 20);
    ck_assert_uint_gt(stats.backpressure_us, 0);
    ck_ok(db->ops->capture(db, &barrier, place.capture, &never, &capture, reterr));
    db->ops->release(db);
    crn_capture_done(&capture);
    for (unsigned int i = 0; i < 50 && stats.memtable_bytes > 6 << 20; i++) {
        write_kilobytes(db, state, 20000, 20300); /* and now it does */
        crn_sleep_us(20000);
        db->ops->stats(db, &stats);
    }
    ck_assert_uint_le(stats.memtable_bytes, 6 << 20);
    db->ops->close(db);
    db = open_capture(place.capture);
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), ""), 2000);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* The file size limit of a process stands for a disk that takes no more. */
START_TEST(a_failing_disk_ends_capture_and_hold)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .memtable_bytes = 256 << 10};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &infos[0]);
    struct capturing c = {0};
    struct rlimit limit = {.rlim_cur = 20000, .rlim_max = RLIM_INFINITY};
    uint64_t noise[125], x = 88172645463325252u;
    int r = 0;

    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (unsigned int i = 0; i < 100; i++) {
        for (size_t k = 0; k < CRN_COUNT(noise); k++)
            x ^= x << 13, x ^= x >> 7, x ^= x << 17, noise[k] = x;
        ck_ok(db->ops->put(db, state, &i, sizeof(i), noise, sizeof(noise), reterr));
    }
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    start_capture(&c, db, place.capture);
    cairn_error *error = NULL;
    for (unsigned int i = 1000; i < 2000 && r == 0; i++) /* far beyond what a hold lets through */
        r = db->ops->put(db, state, &i, sizeof(i), noise, sizeof(noise), &error);
    ck_assert_msg(r == 0 || r == CAIRN_EIO, "%s", cairn_error_message(error));
    pthread_join(c.thread, NULL);
    ck_assert_msg(c.result == CAIRN_EABORTED &&
                      strstr(cairn_error_message(c.error), "could not flush"),
                  "%s", cairn_error_message(c.error));
    cairn_error_free(c.error);
    cairn_error_free(error);
    db->ops->close(db);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    place_remove(&place);
}
END_TEST

/* Somebody cleaned up below a running service. */
START_TEST(a_directory_that_is_gone_is_named)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &infos[0]);
    struct capturing c = {0};

    ck_ok(db->ops->put(db, state, "key", 3, "value", 5, reterr));
    ck_ok(crn_file_remove_tree(place.db, reterr));
    start_capture(&c, db, place.capture);
    pthread_join(c.thread, NULL);
    ck_assert_int_eq(c.result, CAIRN_EABORTED);
    const char *message = cairn_error_message(c.error);
    ck_assert_msg(strstr(message, "gone") && strstr(message, place.db), "%s", message);
    ck_assert_str_eq(cairn_error_object(c.error), place.db);
    cairn_error_free(c.error);
    db->ops->close(db);
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
    Suite *suite = suite_create("capture");
    add_case(suite, "exact", captures_hold_the_barriers_state, 1);
    add_case(suite, "exact", without_a_late_flush_late_writes_stay_out, 1);
    add_case(suite, "files", captured_files_are_described, 1);
    add_case(suite, "proof", a_flush_behind_the_barrier_is_found, LATE_KINDS);
    add_case(suite, "wiped", a_flush_is_found_after_a_compaction_wiped_its_traces, LATE_KINDS);
    add_case(suite, "directory", a_capture_needs_a_fresh_directory, 1);
    add_case(suite, "waiting", a_capture_can_be_cancelled, 1);
    add_case(suite, "waiting", a_full_memtable_waits_for_release, 1);
    add_case(suite, "waiting", a_large_value_waits_for_release, 1);
    add_case(suite, "waiting", a_hold_comes_before_the_budget, 1);
    add_case(suite, "disk", a_failing_disk_ends_capture_and_hold, 1);
    add_case(suite, "disk", a_directory_that_is_gone_is_named, 1);
    return crn_test_run(suite);
}
