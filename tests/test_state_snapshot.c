/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots and scans of the RocksDB backend (backends/state/state.h), and canonical files from
 * them.
 *
 * Proves: while a writer goes on with puts, removals, appends and removed prefixes, with memtables
 * so small that flushes and compactions never stop, scans in several threads and canonical files
 * written from the snapshot hold exactly the moment that it was taken at (P2); a state that came
 * later is empty in it, and what expired meanwhile is the only thing that may be missing.
 */
#include "backends/state/canonical.h"
#include "backends/state/values.h"
#include "tests/support/state.h"

#include <fcntl.h>

static const cairn_state_info value_info = {.name = "value", .kind = CAIRN_KIND_VALUE};
static const cairn_state_info list_info = {.name = "list", .kind = CAIRN_KIND_LIST};
static const struct crn_state_range everything = {0};
static const atomic_bool never = false;

/* ---- a moment, and a writer that goes on ---- */

#define GROUPS 4u /* the key's first byte: 'a' and so on, which is its key group, too */
#define KEYS_PER_GROUP 300u
#define KEYS (GROUPS * KEYS_PER_GROUP)
#define VALUE_MAX 400u

struct moment_entry {
    bool there;
    size_t size;
    uint8_t value[VALUE_MAX];
};

struct moment {
    struct moment_entry entries[2][KEYS]; /* value, list */
};

struct world {
    struct place place;
    struct crn_state_db *db;
    struct crn_state *states[2];
    struct moment now;
    uint64_t random;
};

static uint64_t next_random(struct world *world)
{
    uint64_t x = world->random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return world->random = x;
}

static size_t key_of(size_t i, char out[16])
{
    return (size_t)snprintf(out, 16, "%c%04zu", (char)('a' + i / KEYS_PER_GROUP),
                            i % KEYS_PER_GROUP);
}

static void remove_group(struct world *world, size_t which, size_t group)
{
    char prefix = (char)('a' + group);
    ck_ok(world->db->ops->remove_prefix(world->db, world->states[which], &prefix, 1, reterr));
    for (size_t i = 0; i < KEYS_PER_GROUP; i++)
        world->now.entries[which][group * KEYS_PER_GROUP + i].there = false;
}

static void write_something(struct world *world)
{
    const struct crn_state_ops *ops = world->db->ops;
    size_t which = next_random(world) % 2, i = next_random(world) % KEYS;
    uint64_t dice = next_random(world) % 1000;
    char key[16];
    uint8_t value[64];
    size_t key_size = key_of(i, key), size = 1 + next_random(world) % sizeof(value);
    memset(value, (int)(next_random(world) % 256), sizeof(value));

    struct crn_state *state = world->states[which];
    struct moment_entry *entry = &world->now.entries[which][i];
    if (dice == 0) {
        remove_group(world, which, i / KEYS_PER_GROUP);
    } else if (dice < 150) {
        ck_ok(ops->remove(world->db, state, key, key_size, reterr));
        entry->there = false;
    } else if (which == 1 && dice < 800 && (!entry->there || entry->size + size <= VALUE_MAX)) {
        ck_ok(ops->append(world->db, state, key, key_size, value, size, reterr));
        entry->size = entry->there ? entry->size : 0;
        memcpy(entry->value + entry->size, value, size);
        entry->size += size;
        entry->there = true;
    } else {
        ck_ok(ops->put(world->db, state, key, key_size, value, size, reterr));
        memcpy(entry->value, value, size);
        entry->size = size;
        entry->there = true;
    }
}

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));
    ck_assert_ptr_nonnull(world);
    world->place = place_new();
    world->random = 20261120;
    struct crn_state_config config = {.directory = world->place.db, .memtable_bytes = 64 << 10};
    world->db = open_db(&config);
    world->states[0] = open_state(world->db, &value_info);
    world->states[1] = open_state(world->db, &list_info);
    return world;
}

static void world_free(struct world *world)
{
    world->db->ops->close(world->db);
    place_remove(&world->place);
    free(world);
}

/* i is the next key that is there. */
static bool same_entry(const struct moment *moment, size_t which, size_t i, const uint8_t *key,
                       size_t key_size, const uint8_t *value, size_t value_size)
{
    char expected[16];
    return i < KEYS && key_of(i, expected) == key_size && memcmp(key, expected, key_size) == 0 &&
           moment->entries[which][i].size == value_size &&
           memcmp(value, moment->entries[which][i].value, value_size) == 0;
}

/* 0, or -1: not the moment. In any thread, so without assertions. */
static int compare_scan(struct crn_state_db *db, struct crn_state_snapshot *snapshot,
                        struct crn_state *state, const struct moment *moment, size_t which,
                        size_t first_group, size_t end_group)
{
    uint8_t first = (uint8_t)('a' + first_group), end = (uint8_t)('a' + end_group);
    struct crn_state_range range = {&first, &end, first_group > 0, end_group < GROUPS};
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, i = first_group * KEYS_PER_GROUP;
    int r = db->ops->scan(snapshot, state, &range, &iterator, NULL);
    while (r == 0 &&
           (r = db->ops->next(iterator, &key, &key_size, &value, &value_size, NULL)) > 0) {
        while (i < KEYS && !moment->entries[which][i].there)
            i++;
        r = same_entry(moment, which, i++, key, key_size, value, value_size) ? 0 : -1;
    }
    db->ops->end(iterator);
    for (; i < end_group * KEYS_PER_GROUP; i++)
        if (moment->entries[which][i].there)
            return -1;
    return r;
}

struct scanning {
    struct world *world;
    struct crn_state_snapshot *snapshot;
    const struct moment *moment;
    size_t which, first_group, end_group;
    atomic_bool done;
    int result;
    pthread_t thread;
};

static void *scan_thread(void *arg)
{
    struct scanning *s = arg;
    for (unsigned int i = 0; i < 15 && s->result == 0; i++)
        s->result = compare_scan(s->world->db, s->snapshot, s->world->states[s->which], s->moment,
                                 s->which, s->first_group, s->end_group);
    atomic_store(&s->done, true);
    return NULL;
}

START_TEST(scans_see_their_moment)
{
    struct world *world = world_new();
    struct moment *moment = malloc(sizeof(*moment));
    ck_assert_ptr_nonnull(moment);
    for (unsigned int round = 0; round < 6; round++) {
        struct scanning scans[4] = {0};
        struct crn_state_snapshot *snapshot = NULL;
        for (unsigned int i = 0; i < 3000; i++)
            write_something(world);
        ck_ok(world->db->ops->snapshot(world->db, &snapshot, reterr));
        *moment = world->now;
        for (size_t i = 0; i < CRN_COUNT(scans); i++) {
            struct scanning *s = &scans[i];
            s->world = world, s->snapshot = snapshot, s->moment = moment;
            s->which = i % 2;
            s->first_group = i / 2 * (round % 3);
            s->end_group = i < 2 ? GROUPS - round % 2 : GROUPS;
            ck_ok(crn_thread_start(&s->thread, "scan", scan_thread, s, reterr));
        }
        for (size_t i = 0; i < CRN_COUNT(scans);) {
            write_something(world);
            i += atomic_load(&scans[i].done);
        }
        for (size_t i = 0; i < CRN_COUNT(scans); i++) {
            pthread_join(scans[i].thread, NULL);
            ck_assert_int_eq(scans[i].result, 0);
        }
        remove_group(world, round % 2, round % GROUPS);
        compact(world->db, world->states[round % 2]);
        for (size_t which = 0; which < 2; which++)
            ck_assert_int_eq(
                compare_scan(world->db, snapshot, world->states[which], moment, which, 0, GROUPS),
                0);
        world->db->ops->release_snapshot(snapshot);
    }
    free(moment);
    world_free(world);
}
END_TEST

/* ---- canonical files from a snapshot ---- */

static int read_file(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr)
{
    const int *fd = context;
    return crn_file_pread_all(*fd, data, n, offset, "file", reterr);
}

static void assert_file(const char *path, const struct moment *moment)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct crn_canonical_input input = {.object = path, .read = read_file, .context = &fd};
    struct crn_canonical_reader *reader = NULL;
    struct crn_canonical_scan *scan = NULL;
    struct crn_canonical_entry entry;
    size_t at[2] = {0, 0};
    ck_assert_int_ge(fd, 0);
    ck_ok(crn_file_size(path, &input.size, reterr));
    ck_ok(crn_canonical_open(&input, &reader, reterr));
    ck_ok(crn_canonical_scan(reader, -1, 0, 127, &scan, reterr));
    while (ck_ok(crn_canonical_next(scan, &entry, reterr)) > 0) {
        ck_assert_uint_lt(entry.state, 2); /* the third has nothing */
        size_t *i = &at[entry.state];
        while (*i < KEYS && !moment->entries[entry.state][*i].there)
            ++*i;
        if (!same_entry(moment, entry.state, (*i)++, entry.key, entry.key_size, entry.value,
                        entry.value_size))
            ck_abort_msg("entry %zu of state %u differs", *i, entry.state);
    }
    for (size_t which = 0; which < 2; which++)
        for (; at[which] < KEYS; at[which]++)
            ck_assert(!moment->entries[which][at[which]].there);
    crn_canonical_scan_end(scan);
    crn_canonical_close(reader);
}

struct dumping {
    struct crn_canonical_dump dump;
    struct crn_canonical_summary summary;
    atomic_bool done;
    int result;
};

static void *dump_thread(void *arg)
{
    struct dumping *d = arg;
    d->result = crn_canonical_write(&d->dump, &d->summary, NULL);
    atomic_store(&d->done, true);
    return NULL;
}

START_TEST(canonical_files_hold_the_moment)
{
    static const char *const names[] = {"value", "list", "nobody has it"};
    struct world *world = world_new();
    struct moment *moment = malloc(sizeof(*moment));
    struct crn_state_snapshot *snapshot = NULL;
    atomic_uint_fast64_t done_bytes = 0;
    char path[400];
    pthread_t thread;
    ck_assert_ptr_nonnull(moment);
    (void)snprintf(path, sizeof(path), "%s/file", world->place.root);
    for (unsigned int i = 0; i < 9000; i++)
        write_something(world);
    ck_ok(world->db->ops->snapshot(world->db, &snapshot, reterr));
    *moment = world->now;
    struct dumping dumping = {.dump = {.db = world->db,
                                       .snapshot = snapshot,
                                       .header = {128, 0, 127, names, CRN_COUNT(names)},
                                       .path = path,
                                       .cancelled = &never,
                                       .done_bytes = &done_bytes}};
    ck_ok(crn_thread_start(&thread, "dump", dump_thread, &dumping, reterr));
    while (!atomic_load(&dumping.done))
        write_something(world);
    pthread_join(thread, NULL);
    ck_assert_int_eq(dumping.result, 0);
    ck_assert_uint_eq(atomic_load(&done_bytes), dumping.summary.raw_bytes);
    assert_file(path, moment);

    /* Some key groups only: 'b' and 'c'. */
    ck_assert_int_eq(unlink(path), 0);
    dumping.dump.header.key_group_first = 'b';
    dumping.dump.header.key_group_last = 'c';
    ck_ok(crn_canonical_write(&dumping.dump, &dumping.summary, reterr));
    for (size_t i = 0; i < KEYS; i++)
        if (i / KEYS_PER_GROUP != 1 && i / KEYS_PER_GROUP != 2)
            moment->entries[0][i].there = moment->entries[1][i].there = false;
    assert_file(path, moment);

    const atomic_bool cancelled = true;
    ck_assert_int_eq(unlink(path), 0);
    dumping.dump.cancelled = &cancelled;
    ck_fails(crn_canonical_write(&dumping.dump, &dumping.summary, reterr), CAIRN_ECANCELED, path);
    ck_assert_int_ne(access(path, F_OK), 0);
    world->db->ops->release_snapshot(snapshot);
    free(moment);
    world_free(world);
}
END_TEST

/* ---- what a snapshot does not have ---- */

static size_t count_scan(struct crn_state_db *db, struct crn_state_snapshot *snapshot,
                         struct crn_state *state, const struct crn_state_range *range)
{
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    ck_ok(db->ops->scan(snapshot, state, range, &iterator, reterr));
    while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0)
        count++;
    db->ops->end(iterator);
    return count;
}

START_TEST(later_states_are_empty)
{
    struct world *world = world_new();
    struct crn_state_db *db = world->db;
    struct crn_state_snapshot *before = NULL, *after = NULL;
    const cairn_state_info later_info = {.name = "later", .kind = CAIRN_KIND_VALUE};
    put(db, world->states[0], "a", "1");
    ck_ok(db->ops->snapshot(db, &before, reterr));
    ck_assert_ptr_null(db->ops->find_state(db, "later"));
    struct crn_state *later = open_state(db, &later_info);
    ck_assert_ptr_eq(db->ops->find_state(db, "later"), later);
    ck_assert_ptr_eq(db->ops->find_state(db, "list"), world->states[1]);
    put(db, later, "a", "1");
    ck_ok(db->ops->snapshot(db, &after, reterr));
    put(db, later, "b", "2");
    ck_assert_uint_eq(count_scan(db, before, later, &everything), 0);
    ck_assert_uint_eq(count_scan(db, after, later, &everything), 1);
    ck_assert_uint_eq(count_scan(db, before, world->states[0], &everything), 1);
    db->ops->release_snapshot(before);
    db->ops->release_snapshot(after);
    world_free(world);
}
END_TEST

START_TEST(ranges)
{
    struct world *world = world_new();
    struct crn_state_db *db = world->db;
    struct crn_state_snapshot *snapshot = NULL;
    static const char *const keys[] = {"a", "b", "ba", "c"};
    static const struct {
        const char *first, *end;
        size_t count;
    } cases[] = {{"", "", 4},   {"b", "", 3},  {"", "b", 1},   {"b", "c", 2},  {"bb", "c", 0},
                 {"b", "b", 0}, {"c", "a", 0}, {"a", "bb", 3}, {"\xff", "", 0}};
    for (size_t i = 0; i < CRN_COUNT(keys); i++)
        put(db, world->states[0], keys[i], "x");
    ck_ok(db->ops->snapshot(db, &snapshot, reterr));
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        struct crn_state_range range = {(const uint8_t *)cases[i].first,
                                        (const uint8_t *)cases[i].end, strlen(cases[i].first),
                                        strlen(cases[i].end)};
        ck_assert_uint_eq(count_scan(db, snapshot, world->states[0], &range), cases[i].count);
    }
    db->ops->release_snapshot(snapshot);
    world_free(world);
}
END_TEST

static _Atomic int64_t fake_now;

static int64_t read_fake_clock(void *context)
{
    (void)context;
    return atomic_load(&fake_now);
}

static void put_at(struct crn_state_db *db, struct crn_state *state, const char *key, int64_t at,
                   const char *text)
{
    CRN_AUTO_BUFFER struct cairn_buffer value = {0};
    ck_assert_int_eq(crn_value_append(&value, true, at, text, strlen(text)), 0);
    ck_ok(db->ops->put(db, state, key, strlen(key), value.data, value.size, reterr));
}

START_TEST(expiry_takes_only_the_expired)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .now_ms = read_fake_clock};
    const cairn_state_info info = {.name = "ttl", .kind = CAIRN_KIND_VALUE, .ttl_ms = 100};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &info);
    struct crn_state_snapshot *snapshot = NULL;
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, fresh = 0;
    atomic_store(&fake_now, 1000);
    put_at(db, state, "fresh", 1000, "old");
    put_at(db, state, "stale", 910, "x");
    ck_ok(db->ops->snapshot(db, &snapshot, reterr));
    put_at(db, state, "fresh", 1040, "new");
    remove_key(db, state, "stale");
    atomic_store(&fake_now, 1050);
    compact(db, state);
    ck_ok(db->ops->scan(snapshot, state, &everything, &iterator, reterr));
    while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0) {
        if (memcmp(key, "fresh", 5) == 0) {
            ck_assert_mem_eq(value + 8, "old", 3);
            fresh++;
        }
    }
    ck_assert_uint_eq(fresh, 1);
    db->ops->end(iterator);
    db->ops->release_snapshot(snapshot);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("state_snapshot");
    TCase *snapshots = tcase_create("snapshots");
    tcase_set_timeout(snapshots, 60);
    tcase_add_test(snapshots, scans_see_their_moment);
    tcase_add_test(snapshots, canonical_files_hold_the_moment);
    tcase_add_test(snapshots, later_states_are_empty);
    tcase_add_test(snapshots, ranges);
    tcase_add_test(snapshots, expiry_takes_only_the_expired);
    suite_add_tcase(s, snapshots);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
