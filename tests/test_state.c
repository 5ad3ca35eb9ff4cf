/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of state backends (backends/state/state.h), for each of them.
 *
 * Proves: reads, writes, appends, removals by key and by prefix, and iterators do what plain arrays
 * do, under random operations on keys that are prefixes of each other; snapshots that are taken at
 * random moments hold exactly that moment (P2) whenever they are read, in whole or by ranges, and
 * know no state that came later; pins and iterators stay as they were while the writer goes on;
 * loads are visible at their end, all at once, or never; clipping and new expiry do what they say.
 * Values may be empty or of hundreds of kilobytes, keys of any bytes or of none.
 */
#include "backends/state/values.h"
#include "base/hash.h"
#include "base/thread.h"
#include "tests/support/state_any.h"

/* The loop variable of each test is an index here. */
static const struct crn_state_backend *const backends[] = {&crn_rocksdb_backend, &crn_heap_backend};

static const cairn_state_info value_info = {.name = "value", .kind = CAIRN_KIND_VALUE};
static const cairn_state_info list_info = {.name = "list", .kind = CAIRN_KIND_LIST};
static const cairn_state_info map_info = {.name = "a map", .kind = CAIRN_KIND_MAP};

/* A database of one of the backends, empty. */
struct subject {
    struct place place;
    struct crn_state_db *db;
};

static struct subject subject_new(int backend)
{
    struct subject subject = {.place = place_new()};
    struct crn_state_config config = {.directory = subject.place.db,
                                      .memtable_bytes = 256 << 10,
                                      .max_parallelism = 128,
                                      .key_group_last = 127};
    ck_ok(backends[backend]->open(&config, &subject.db, reterr));
    return subject;
}

static void subject_free(struct subject *subject)
{
    subject->db->ops->close(subject->db);
    place_remove(&subject->place);
}

/* ---- reading what a snapshot or the state has ---- */

static size_t count_rest(struct crn_state_db *db, struct crn_state_iterator *iterator)
{
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0)
        count++;
    ck_assert_int_eq(ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)),
                     0);
    db->ops->end(iterator);
    return count;
}

static size_t count_scanned(struct crn_state_db *db, struct crn_state_snapshot *snapshot,
                            struct crn_state *state, const char *first, const char *end)
{
    struct crn_state_iterator *iterator = NULL;
    struct crn_state_range range = {(const uint8_t *)first, (const uint8_t *)end, strlen(first),
                                    strlen(end)};
    ck_ok(db->ops->scan(snapshot, state, &range, &iterator, reterr));
    return count_rest(db, iterator);
}

/* ---- a model ---- */

#define MODEL_KEYS 3000u
#define MODEL_STEPS 40000u
#define MODEL_SNAPSHOTS 4u
#define KEY_MAX 24u
#define STATES 2u /* a map and a list */

struct model_key {
    size_t size;
    uint8_t bytes[KEY_MAX];
};

/* The value of one key: its bytes in the model, its sums in a picture of it. */
struct cell {
    bool there;
    size_t size;
    uint64_t hash;
};

struct picture {
    struct crn_state_snapshot *snapshot; /* NULL: free */
    struct cell cells[STATES][MODEL_KEYS];
};

struct model {
    struct subject subject;
    struct crn_state *states[STATES];
    uint64_t random;
    size_t key_count;
    struct model_key keys[MODEL_KEYS]; /* ascending */
    struct cairn_buffer values[STATES][MODEL_KEYS];
    bool there[STATES][MODEL_KEYS];
    struct picture pictures[MODEL_SNAPSHOTS];
};

static uint64_t draw(struct model *m, uint64_t below)
{
    uint64_t x = (m->random += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

static int compare_keys(const void *left, const void *right)
{
    const struct model_key *a = left, *b = right;
    int c = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    return c != 0 ? c : (a->size > b->size) - (a->size < b->size);
}

/* Few different bytes, the extreme ones among them, so that many keys begin alike. */
static void make_keys(struct model *m)
{
    static const uint8_t alphabet[] = {0, 1, 'a', 0xfe, 0xff};
    for (size_t i = 1; i < MODEL_KEYS; i++) { /* keys[0] is the empty one */
        struct model_key *key = &m->keys[i];
        key->size = 1 + draw(m, draw(m, 2) == 0 ? 6 : KEY_MAX);
        bool is_long = key->size > 12;
        for (size_t k = 0; k < key->size; k++)
            key->bytes[k] = is_long && k < 9 ? 'p' : alphabet[draw(m, sizeof(alphabet))];
    }
    qsort(m->keys, MODEL_KEYS, sizeof(m->keys[0]), compare_keys);
    m->key_count = 1;
    for (size_t i = 1; i < MODEL_KEYS; i++)
        if (compare_keys(&m->keys[i], &m->keys[m->key_count - 1]) != 0)
            m->keys[m->key_count++] = m->keys[i];
    ck_assert_uint_gt(m->key_count, MODEL_KEYS / 2);
}

static bool starts_with(const struct model_key *key, const struct model_key *prefix, size_t size)
{
    return key->size >= size && memcmp(key->bytes, prefix->bytes, size) == 0;
}

/* Removes what starts as a key does: many for one byte, few for all of it. */
static void model_remove_prefix(struct model *m, size_t which, const struct model_key *key)
{
    size_t size = 1 + draw(m, key->size);
    ck_ok(m->subject.db->ops->remove_prefix(m->subject.db, m->states[which], key->bytes, size,
                                            reterr));
    for (size_t i = 0; i < m->key_count; i++)
        if (starts_with(&m->keys[i], key, size))
            m->there[which][i] = false;
}

static void model_write(struct model *m)
{
    struct crn_state_db *db = m->subject.db;
    size_t which = draw(m, STATES), i = draw(m, m->key_count);
    const struct model_key *key = &m->keys[i];
    struct crn_state *state = m->states[which];
    struct cairn_buffer *value = &m->values[which][i];
    uint8_t bytes[80];
    size_t size = draw(m, sizeof(bytes));
    memset(bytes, (int)draw(m, 256), sizeof(bytes));

    uint64_t dice = draw(m, 1000);
    if (dice == 0 && key->size > 0) {
        model_remove_prefix(m, which, key);
    } else if (dice < 300) {
        ck_ok(db->ops->remove(db, state, key->bytes, key->size, reterr));
        m->there[which][i] = false;
    } else {
        bool appends = which == 1 && dice < 700;
        ck_ok(appends ? db->ops->append(db, state, key->bytes, key->size, bytes, size, reterr)
                      : db->ops->put(db, state, key->bytes, key->size, bytes, size, reterr));
        if (!appends || !m->there[which][i])
            crn_buf_clear(value);
        ck_assert_int_eq(crn_buf_append(value, bytes, size), 0);
        m->there[which][i] = true;
    }
}

static struct cell cell_of(const struct model *m, size_t which, size_t i)
{
    const struct cairn_buffer *value = &m->values[which][i];
    if (!m->there[which][i])
        return (struct cell){0};
    return (struct cell){true, value->size, crn_hash64_of(value->data, value->size)};
}

static void assert_cell(const struct cell *cell, const uint8_t *value, size_t size)
{
    ck_assert_msg(cell->there && cell->size == size && cell->hash == crn_hash64_of(value, size),
                  "a value of %zu bytes where one of %zu belongs (there: %d)", size, cell->size,
                  cell->there);
}

/* The iterator gives the cells of the keys first..end - 1, and nothing else. */
static void assert_run(struct model *m, struct crn_state_iterator *iterator,
                       const struct cell *cells, size_t first, size_t end)
{
    struct crn_state_db *db = m->subject.db;
    const uint8_t *key, *value;
    size_t key_size, value_size;
    for (size_t i = first; i < end; i++) {
        if (!cells[i].there)
            continue;
        ck_assert_int_eq(
            ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)), 1);
        ck_assert_uint_eq(key_size, m->keys[i].size);
        ck_assert_int_eq(memcmp(key, m->keys[i].bytes, key_size), 0);
        assert_cell(&cells[i], value, value_size);
    }
    ck_assert_uint_eq(count_rest(db, iterator), 0);
}

static void take_picture(struct model *m, struct picture *picture)
{
    ck_ok(m->subject.db->ops->snapshot(m->subject.db, &picture->snapshot, reterr));
    for (size_t which = 0; which < STATES; which++)
        for (size_t i = 0; i < m->key_count; i++)
            picture->cells[which][i] = cell_of(m, which, i);
}

/* A random range of a picture, or all of it. */
static void check_picture(struct model *m, struct picture *picture)
{
    struct crn_state_iterator *iterator = NULL;
    size_t which = draw(m, STATES), first = 0, end = m->key_count;
    struct crn_state_range range = {0};
    if (draw(m, 3) > 0) {
        first = 1 + draw(m, m->key_count - 1);
        range.first = m->keys[first].bytes;
        range.first_size = m->keys[first].size;
    }
    if (draw(m, 3) > 0) {
        end = 1 + draw(m, m->key_count - 1);
        range.end = m->keys[end].bytes;
        range.end_size = m->keys[end].size;
    }
    ck_ok(m->subject.db->ops->scan(picture->snapshot, m->states[which], &range, &iterator, reterr));
    assert_run(m, iterator, picture->cells[which], first, end);
}

static void check_now(struct model *m)
{
    struct crn_state_db *db = m->subject.db;
    struct cell *cells = calloc(m->key_count, sizeof(*cells));
    ck_assert_ptr_nonnull(cells);
    for (size_t which = 0; which < STATES; which++) {
        struct crn_state_iterator *iterator = NULL;
        struct crn_pin pin = {0};
        for (size_t i = 0; i < m->key_count; i++) {
            const struct model_key *key = &m->keys[i];
            cells[i] = cell_of(m, which, i);
            int found =
                ck_ok(db->ops->get(db, m->states[which], key->bytes, key->size, &pin, reterr));
            ck_assert_int_eq(found, cells[i].there);
            if (found)
                assert_cell(&cells[i], pin.data, pin.size);
        }
        db->ops->unpin(&pin);
        ck_ok(db->ops->iterate(db, m->states[which], "", 0, &iterator, reterr));
        assert_run(m, iterator, cells, 0, m->key_count);

        const struct model_key *prefix = &m->keys[1 + draw(m, m->key_count - 1)];
        size_t size = 1 + draw(m, prefix->size);
        for (size_t i = 0; i < m->key_count; i++)
            cells[i].there = cells[i].there && starts_with(&m->keys[i], prefix, size);
        ck_ok(db->ops->iterate(db, m->states[which], prefix->bytes, size, &iterator, reterr));
        assert_run(m, iterator, cells, 0, m->key_count);
    }
    free(cells);
}

static void model_step(struct model *m)
{
    model_write(m);
    uint64_t dice = draw(m, 4000);
    struct picture *picture = &m->pictures[draw(m, MODEL_SNAPSHOTS)];
    if (dice < 20 && !picture->snapshot) {
        take_picture(m, picture);
    } else if (dice < 40 && picture->snapshot) {
        check_picture(m, picture);
    } else if (dice < 50 && picture->snapshot) {
        m->subject.db->ops->release_snapshot(CRN_TAKE(picture->snapshot));
    } else if (dice == 50) {
        check_now(m);
    }
}

START_TEST(random_operations)
{
    const char *seed = getenv("CAIRN_SEED");
    struct model *m = calloc(1, sizeof(*m));
    ck_assert_ptr_nonnull(m);
    m->random = seed ? strtoull(seed, NULL, 0) : 42;
    m->subject = subject_new(_i);
    m->states[0] = open_state(m->subject.db, &map_info);
    m->states[1] = open_state(m->subject.db, &list_info);
    make_keys(m);
    for (size_t i = 0; i < MODEL_STEPS; i++)
        model_step(m);
    check_now(m);
    for (size_t i = 0; i < MODEL_SNAPSHOTS; i++)
        if (m->pictures[i].snapshot) {
            check_picture(m, &m->pictures[i]);
            m->subject.db->ops->release_snapshot(m->pictures[i].snapshot);
        }
    for (size_t which = 0; which < STATES; which++) /* down to nothing */
        for (size_t i = 0; i < m->key_count; i++) {
            ck_ok(m->subject.db->ops->remove(m->subject.db, m->states[which], m->keys[i].bytes,
                                             m->keys[i].size, reterr));
            m->there[which][i] = false;
        }
    check_now(m);
    subject_free(&m->subject);
    for (size_t which = 0; which < STATES; which++)
        for (size_t i = 0; i < MODEL_KEYS; i++)
            crn_buf_done(&m->values[which][i]);
    free(m);
}
END_TEST

/* ---- keys, values, states ---- */

START_TEST(prefixes)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *map = open_state(db, &map_info);
    static const char *const keys[] = {"a", "a\x01", "a\xff",    "a\xff\xff",   "a\xff\xff\xff",
                                       "b", "\xff",  "\xff\xff", "\xff\xff\xff"};
    for (size_t i = 0; i < CRN_COUNT(keys); i++)
        put(db, map, keys[i], "x");
    ck_assert_uint_eq(count_entries(db, map, ""), 9);
    ck_assert_uint_eq(count_entries(db, map, "a"), 5);
    ck_assert_uint_eq(count_entries(db, map, "a\xff"), 3);
    ck_assert_uint_eq(count_entries(db, map, "\xff\xff"), 2);
    ck_assert_uint_eq(count_entries(db, map, "aa"), 0);
    ck_ok(db->ops->remove_prefix(db, map, "a\xff\xff", 3, reterr));
    ck_assert_uint_eq(count_entries(db, map, ""), 7);
    ck_ok(db->ops->remove_prefix(db, map, "\xff", 1, reterr));
    ck_assert_uint_eq(count_entries(db, map, ""), 4);
    assert_value(db, map, "a\xff", "x");
    ck_ok(db->ops->remove_prefix(db, map, "nothing", 7, reterr));
    ck_assert_uint_eq(count_entries(db, map, ""), 4);
    subject_free(&subject);
}
END_TEST

/* What was given out stays as it was while the writer goes on. */
START_TEST(iterators_and_pins_stay)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *list = open_state(db, &list_info);
    struct crn_state_iterator *iterator = NULL;
    struct crn_pin pin = {0};
    put(db, list, "a1", "one");
    put(db, list, "a2", "two");
    put(db, list, "b", "x");

    ck_ok(db->ops->iterate(db, list, "a", 1, &iterator, reterr));
    ck_assert_int_eq(ck_ok(db->ops->get(db, list, "a1", 2, &pin, reterr)), 1);
    put(db, list, "a!", "later");
    put(db, list, "a1", "ONE");
    ck_ok(db->ops->append(db, list, "a1", 2, "+", 1, reterr));
    remove_key(db, list, "a2");
    ck_assert_uint_eq(pin.size, 3);
    ck_assert_int_eq(memcmp(pin.data, "one", 3), 0);
    remove_key(db, list, "a1");
    ck_assert_int_eq(memcmp(pin.data, "one", 3), 0);

    const uint8_t *key, *value;
    size_t key_size, value_size;
    ck_assert_int_eq(ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)),
                     1);
    ck_assert_int_eq(memcmp(key, "a1", 2), 0);
    ck_assert_int_eq(memcmp(value, "one", 3), 0);
    ck_assert_uint_eq(count_rest(db, iterator), 1);
    db->ops->unpin(&pin);
    ck_assert_uint_eq(count_entries(db, list, "a"), 1);
    subject_free(&subject);
}
END_TEST

START_TEST(large_and_empty_values)
{
    enum { SIZE = 256 << 10, COUNT = 16 };
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *state = open_state(db, &list_info);
    struct crn_pin pin = {0};
    uint8_t *big = malloc(SIZE);
    ck_assert_ptr_nonnull(big);
    for (int i = 0; i < COUNT; i++) {
        memset(big, i, SIZE);
        ck_ok(db->ops->put(db, state, &i, sizeof(i), big, SIZE, reterr));
        ck_ok(db->ops->append(db, state, "list", 4, big, SIZE, reterr));
    }
    for (int i = 0; i < COUNT; i++) {
        memset(big, i, SIZE);
        ck_assert_int_eq(ck_ok(db->ops->get(db, state, &i, sizeof(i), &pin, reterr)), 1);
        ck_assert_uint_eq(pin.size, SIZE);
        ck_assert_int_eq(memcmp(pin.data, big, SIZE), 0);
        ck_assert_int_eq(ck_ok(db->ops->get(db, state, "list", 4, &pin, reterr)), 1);
        ck_assert_uint_eq(pin.size, (size_t)SIZE * COUNT);
        ck_assert_int_eq(memcmp(pin.data + (size_t)i * SIZE, big, SIZE), 0);
    }
    free(big);

    ck_ok(db->ops->put(db, state, "empty", 5, "", 0, reterr));
    ck_ok(db->ops->append(db, state, "nothing", 7, "", 0, reterr));
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "empty", 5, &pin, reterr)), 1);
    ck_assert_uint_eq(pin.size, 0);
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "nothing", 7, &pin, reterr)), 1);
    ck_assert_uint_eq(pin.size, 0);
    ck_assert_int_eq(ck_ok(db->ops->get(db, state, "none", 4, &pin, reterr)), 0);
    ck_assert_ptr_null(pin.handle);
    subject_free(&subject);
}
END_TEST

START_TEST(many_states)
{
    enum { COUNT = 50 };
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *states[COUNT];
    char name[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "state %d", i);
        cairn_state_info info = {.name = name, .kind = CAIRN_KIND_VALUE};
        ck_assert_ptr_null(db->ops->find_state(db, name));
        states[i] = open_state(db, &info);
        ck_assert_ptr_eq(open_state(db, &info), states[i]);
        put(db, states[i], "k", name);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "state %d", i);
        ck_assert_ptr_eq(db->ops->find_state(db, name), states[i]);
        assert_value(db, states[i], "k", name);
        ck_assert_uint_eq(count_entries(db, states[i], ""), 1);
    }
    struct crn_state *state = NULL;
    cairn_state_info other = {.name = "state 7", .kind = CAIRN_KIND_LIST};
    ck_fails(db->ops->open_state(db, &other, &state, reterr), CAIRN_EMISMATCH, "'state 7'");
    other = (cairn_state_info){.name = "state 7", .kind = CAIRN_KIND_VALUE, .ttl_ms = 1};
    ck_fails(db->ops->open_state(db, &other, &state, reterr), CAIRN_EMISMATCH, "'state 7'");
    ck_assert_ptr_null(db->ops->find_state(db, "state"));
    subject_free(&subject);
}
END_TEST

/* ---- snapshots ---- */

START_TEST(snapshots)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state_snapshot *before = NULL, *after = NULL;
    struct crn_state *value = open_state(db, &value_info);
    put(db, value, "a", "1");
    put(db, value, "b", "1");
    put(db, value, "c", "1");
    ck_ok(db->ops->snapshot(db, &before, reterr));
    remove_key(db, value, "b");
    put(db, value, "d", "2");
    struct crn_state *later = open_state(db, &map_info); /* not in `before` */
    put(db, later, "k", "v");
    ck_ok(db->ops->snapshot(db, &after, reterr));
    ck_ok(db->ops->remove_prefix(db, value, "a", 1, reterr));

    ck_assert_uint_eq(count_scanned(db, before, value, "", ""), 3);
    ck_assert_uint_eq(count_scanned(db, before, value, "a", "b"), 1);
    ck_assert_uint_eq(count_scanned(db, before, value, "aa", "c"), 1);
    ck_assert_uint_eq(count_scanned(db, before, value, "b", ""), 2);
    ck_assert_uint_eq(count_scanned(db, before, value, "", "b"), 1);
    ck_assert_uint_eq(count_scanned(db, before, value, "c", "a"), 0);
    ck_assert_uint_eq(count_scanned(db, before, later, "", ""), 0);
    ck_assert_uint_eq(count_scanned(db, after, value, "", ""), 3);
    ck_assert_uint_eq(count_scanned(db, after, later, "", ""), 1);
    db->ops->release_snapshot(before);
    ck_assert_uint_eq(count_scanned(db, after, value, "", "b"), 1);
    db->ops->release_snapshot(after);
    ck_assert_uint_eq(count_entries(db, value, ""), 2);
    subject_free(&subject);
}
END_TEST

/* ---- loads ---- */

#define LOADS 4u
#define LOADED 2000u /* by each */

struct loading {
    struct crn_state_db *db;
    struct crn_state *state;
    size_t part;
    bool keep;
    pthread_t thread;
};

static size_t loaded_key(size_t part, size_t i, char out[16])
{
    return (size_t)snprintf(out, 16, "%zu/%05zu", part, i);
}

static void *load_part(void *arg)
{
    struct loading *loading = arg;
    const struct crn_state_ops *ops = loading->db->ops;
    struct crn_state_load *load = NULL;
    char key[16];
    ck_ok(ops->load_begin(loading->db, loading->state, &load, reterr));
    for (size_t i = 0; i < LOADED; i++) {
        size_t size = loaded_key(loading->part, i, key);
        ck_ok(ops->load_put(load, key, size, key, size, reterr));
    }
    ck_ok(ops->load_end(load, loading->keep, reterr));
    return NULL;
}

/* Of disjoint ranges, in threads; one of them is given up. */
START_TEST(loads)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *state = open_state(db, &value_info);
    struct loading loadings[LOADS];
    for (size_t i = 0; i < LOADS; i++) {
        loadings[i] = (struct loading){db, state, i, i != 2, 0};
        ck_ok(crn_thread_start(&loadings[i].thread, "load", load_part, &loadings[i], reterr));
    }
    for (size_t i = 0; i < LOADS; i++)
        ck_assert_int_eq(pthread_join(loadings[i].thread, NULL), 0);
    ck_assert_uint_eq(count_entries(db, state, ""), (LOADS - 1) * LOADED);
    ck_assert_uint_eq(count_entries(db, state, "2"), 0);
    for (size_t part = 0; part < LOADS; part++)
        for (size_t i = 0; i < LOADED; i += 7) {
            char key[16];
            loaded_key(part, i, key);
            assert_value(db, state, key, part == 2 ? NULL : key);
        }
    loadings[2].keep = true; /* between the others, in the second attempt */
    load_part(&loadings[2]);
    ck_assert_uint_eq(count_entries(db, state, ""), LOADS * LOADED);
    put(db, state, "2/00000", "new");
    assert_value(db, state, "2/00000", "new");
    ck_ok(db->ops->remove_prefix(db, state, "1", 1, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), (LOADS - 1) * LOADED);
    subject_free(&subject);
}
END_TEST

START_TEST(loads_beside_entries)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *state = open_state(db, &map_info);
    struct crn_state_snapshot *after = NULL;
    struct crn_state_load *load = NULL;
    char key[16];
    put(db, state, "a", "written");
    put(db, state, "m", "written");
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    for (size_t i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "b%04zu", i);
        ck_ok(db->ops->load_put(load, key, 5, "loaded", 6, reterr));
    }
    put(db, state, "n", "meanwhile");
    ck_assert_uint_eq(count_entries(db, state, ""), 3); /* none yet */
    ck_ok(db->ops->load_end(load, true, reterr));
    ck_ok(db->ops->snapshot(db, &after, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), 1003);
    assert_value(db, state, "a", "written");
    assert_value(db, state, "b0999", "loaded");
    assert_value(db, state, "n", "meanwhile");
    ck_assert_uint_eq(count_scanned(db, after, state, "b", "c"), 1000);
    db->ops->release_snapshot(after);

    /* Nothing at all. */
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    ck_ok(db->ops->load_end(load, true, reterr));
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    ck_ok(db->ops->load_end(load, false, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), 1003);
    subject_free(&subject);
}
END_TEST

/* ---- clipping and expiry ---- */

START_TEST(clipped)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    struct crn_state *states[] = {open_state(db, &value_info), open_state(db, &list_info)};
    struct crn_state_snapshot *before = NULL;
    for (size_t which = 0; which < 2; which++)
        for (unsigned int group = 0; group < 128; group++)
            for (unsigned int i = 0; i < 20; i++) {
                uint8_t key[] = {(uint8_t)group, (uint8_t)i};
                ck_ok(db->ops->put(db, states[which], key, 2, key, 2, reterr));
            }
    ck_ok(db->ops->snapshot(db, &before, reterr));
    static const struct {
        const char *first, *end;
        size_t groups;
    } steps[] = {{"\x10", "", 112}, {"", "\x70", 96}, {"\x20", "\x40", 32}, {"\x3f", "\x40", 1}};
    for (size_t i = 0; i < CRN_COUNT(steps); i++) {
        struct crn_state_range keep = {(const uint8_t *)steps[i].first,
                                       (const uint8_t *)steps[i].end, strlen(steps[i].first),
                                       strlen(steps[i].end)};
        ck_ok(db->ops->clip(db, &keep, reterr));
        for (size_t which = 0; which < 2; which++)
            ck_assert_uint_eq(count_entries(db, states[which], ""), 20 * steps[i].groups);
    }
    ck_assert_uint_eq(count_scanned(db, before, states[1], "", ""), 20u * 128);
    db->ops->release_snapshot(before);
    put(db, states[0], "\x20", "new");
    ck_assert_uint_eq(count_entries(db, states[0], ""), 21);
    subject_free(&subject);
}
END_TEST

/* The rewriting is the caller's; nothing may be lost while it goes on, whatever the time. */
START_TEST(expiry_on_and_off)
{
    struct subject subject = subject_new(_i);
    struct crn_state_db *db = subject.db;
    cairn_state_info info = value_info;
    struct crn_state *state = open_state(db, &info), *same = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer stamped = {0};
    put(db, state, "k", "plain");
    ck_assert_int_eq(crn_value_append(&stamped, true, 1, "v", 1), 0); /* expired long ago */

    ck_ok(db->ops->set_expiry(db, state, true, 0, reterr));
    ck_ok(db->ops->put(db, state, "k", 1, stamped.data, stamped.size, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), 1);
    ck_ok(db->ops->set_expiry(db, state, true, (uint64_t)1 << 50, reterr));
    info.ttl_ms = (uint64_t)1 << 50;
    ck_ok(db->ops->open_state(db, &info, &same, reterr));
    ck_assert_ptr_eq(same, state);
    ck_assert_uint_eq(count_entries(db, state, ""), 1);

    ck_ok(db->ops->set_expiry(db, state, false, 0, reterr));
    put(db, state, "k", "plain");
    ck_fails(db->ops->open_state(db, &info, &same, reterr), CAIRN_EMISMATCH, "'value'");
    info.ttl_ms = 0;
    ck_ok(db->ops->open_state(db, &info, &same, reterr));
    assert_value(db, state, "k", "plain");
    subject_free(&subject);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, (int)CRN_COUNT(backends));
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("state");
    add_case(suite, "model", random_operations);
    add_case(suite, "prefixes", prefixes);
    add_case(suite, "lifetimes", iterators_and_pins_stay);
    add_case(suite, "sizes", large_and_empty_values);
    add_case(suite, "states", many_states);
    add_case(suite, "snapshots", snapshots);
    add_case(suite, "loads", loads);
    add_case(suite, "loads", loads_beside_entries);
    add_case(suite, "clip", clipped);
    add_case(suite, "expiry", expiry_on_and_off);
    return crn_test_run(suite);
}
