/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that keyed state is what a plain model in memory says it is: thousands of random
 * operations on every kind of state, over each backend, with and without expiry, with checkpoint
 * and restore in between (P2), under keys and namespaces that are prefixes of each other.
 * CAIRN_SEED repeats a run.
 */

#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEYS 10
#define NAMESPACES 5
#define MAP_KEYS 6
#define LIST_MAX 10
#define CELL_MAX 48
#define TTL_MS 100
#define STEPS 6000

struct bytes {
    const char *data;
    size_t size;
};
#define B(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
/* Such that a codec that merely concatenates, or ends at zero bytes, would mix them up. */
static const struct bytes keys[KEYS] = {B(""),     B("\0"),      B("\0\0"), B("a"),
                                        B("ab"),   B("a\0b"),    B("\1a"),  B("\xff\xff"),
                                        B("\xff"), B("\x80\x01")};
static const struct bytes namespaces[NAMESPACES] = {B(""), B("\0"), B("b"), B("\xff"), B("\1b")};
static const struct bytes map_keys[MAP_KEYS] = {B(""),    B("\0"), B("m"),
                                                B("m\0"), B("mm"), B("\xff")};

struct cell {
    bool present;
    int64_t written;
    size_t size;
    uint8_t bytes[CELL_MAX];
};

struct slot {
    struct cell value, sum, folded;
    struct cell map[MAP_KEYS];
    struct cell list[LIST_MAX];
    size_t list_count;
};

struct model {
    struct test_task *t;
    uint64_t random;
    uint64_t ttl_ms;
    bool on_read;
    struct slot slots[KEYS][NAMESPACES];
    struct slot *slot; /* of the current key and namespace */
    cairn_value *value;
    cairn_list *list;
    cairn_map *map;
    cairn_reducing *sum;
    cairn_aggregating *folded;
};

static uint64_t draw(struct model *m, uint64_t below)
{
    uint64_t x = (m->random += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

static bool live(const struct model *m, const struct cell *cell)
{
    return cell->present && (m->ttl_ms == 0 || m->t->clock_ms - cell->written < (int64_t)m->ttl_ms);
}

static void set(const struct model *m, struct cell *cell, const void *data, size_t size)
{
    ck_assert_uint_le(size, CELL_MAX);
    cell->present = true;
    cell->written = m->t->clock_ms;
    cell->size = size;
    if (size > 0)
        memcpy(cell->bytes, data, size);
}

/* What a read by a getter does to the model. */
static bool read_cell(const struct model *m, struct cell *cell)
{
    if (!live(m, cell))
        return false;
    if (m->on_read && cell->written < m->t->clock_ms)
        cell->written = m->t->clock_ms;
    return true;
}

static void check_bytes(const struct cell *cell, const void *data, size_t size)
{
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(size, cell->size);
    ck_assert_int_eq(memcmp(data, cell->bytes, size), 0);
}

static size_t random_bytes(struct model *m, uint8_t out[CELL_MAX])
{
    size_t size = draw(m, 20);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)draw(m, 256);
    return size;
}

/* ------------------------------------------------------------------------------------------ *
 * The aggregating state: the last bytes of all inputs, read backwards.
 * ------------------------------------------------------------------------------------------ */

#define FOLD_MAX 32u

static int fold(void *context, const void *accumulator, size_t accumulator_size, const void *input,
                size_t input_size, cairn_buffer *out)
{
    (void)context;
    size_t kept =
        accumulator_size < FOLD_MAX - input_size ? accumulator_size : FOLD_MAX - input_size;
    if (accumulator == NULL && accumulator_size != 0)
        return CAIRN_EINTERNAL;
    if (kept > 0)
        CRN_TRY(
            cairn_buffer_append(out, (const uint8_t *)accumulator + accumulator_size - kept, kept));
    return cairn_buffer_append(out, input, input_size);
}

static int backwards(void *context, const void *accumulator, size_t size, cairn_buffer *out)
{
    (void)context;
    for (size_t i = size; i > 0; i--)
        CRN_TRY(cairn_buffer_append(out, (const uint8_t *)accumulator + i - 1, 1));
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * One operation each
 * ------------------------------------------------------------------------------------------ */

static void register_all(struct model *m)
{
    static const cairn_aggregate_functions functions = {fold, backwards, NULL};
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    options.ttl_ms = m->ttl_ms;
    options.ttl_on_read = m->on_read;
    cairn_task *task = &m->t->task;
    MUST(cairn_value_state(task, "value", CAIRN_BYTES, &options, &m->value, ERR));
    MUST(cairn_list_state(task, "a/list", CAIRN_BYTES, &options, &m->list, ERR));
    MUST(
        cairn_map_state(task, "map of \xc3\xa4", CAIRN_BYTES, CAIRN_BYTES, &options, &m->map, ERR));
    MUST(cairn_reducing_state(task, "..", CAIRN_INT64, cairn_reduce_sum_int64, NULL, &options,
                              &m->sum, ERR));
    MUST(cairn_aggregating_state(task, "folded", CAIRN_BYTES, &functions, &options, &m->folded,
                                 ERR));
}

static void choose_key(struct model *m)
{
    size_t k = draw(m, KEYS), n = draw(m, NAMESPACES);
    MUST(cairn_task_set_key(&m->t->task, keys[k].data, keys[k].size));
    if (n > 0)
        MUST(cairn_task_set_namespace(&m->t->task, namespaces[n].data, namespaces[n].size));
    m->slot = &m->slots[k][n];
}

static void on_value(struct model *m)
{
    uint8_t bytes[CELL_MAX];
    const void *data;
    size_t size;
    switch (draw(m, 5)) {
    case 0:
        MUST(cairn_value_clear(m->value, ERR));
        m->slot->value.present = false;
        break;
    case 1:
    case 2:
        size = random_bytes(m, bytes);
        MUST(cairn_value_put(m->value, bytes, size, ERR));
        set(m, &m->slot->value, bytes, size);
        break;
    default: {
        int64_t r = MUST(cairn_value_get(m->value, &data, &size, ERR));
        ck_assert_int_eq(r, read_cell(m, &m->slot->value));
        if (r > 0)
            check_bytes(&m->slot->value, data, size);
    }
    }
}

static void load_list(struct model *m)
{
    int64_t count = MUST(cairn_list_load(m->list, ERR));
    size_t seen = 0;
    for (size_t i = 0; i < m->slot->list_count; i++) {
        const void *data;
        size_t size;
        if (!live(m, &m->slot->list[i]))
            continue;
        MUST(cairn_list_at(m->list, seen++, &data, &size));
        check_bytes(&m->slot->list[i], data, size);
    }
    ck_assert_int_eq(count, (int64_t)seen);
}

static void on_list(struct model *m)
{
    uint8_t bytes[CELL_MAX];
    struct slot *slot = m->slot;
    if (draw(m, 8) == 0 || slot->list_count == LIST_MAX) {
        MUST(cairn_list_clear(m->list, ERR));
        slot->list_count = 0;
    } else if (draw(m, 2) == 0) {
        size_t size = random_bytes(m, bytes);
        MUST(cairn_list_add(m->list, bytes, size, ERR));
        set(m, &slot->list[slot->list_count++], bytes, size);
    } else {
        load_list(m);
    }
}

/* The keys in map_keys[] are in order, so the iterator must give them in that order. */
static void iterate_map(struct model *m)
{
    cairn_iterator *iterator;
    cairn_entry entry;
    MUST(cairn_map_iterate(m->map, &iterator, ERR));
    for (size_t i = 0; i < MAP_KEYS; i++) {
        if (!read_cell(m, &m->slot->map[i]))
            continue;
        ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 1);
        ck_assert_uint_eq(entry.map_key_size, map_keys[i].size);
        ck_assert_int_eq(memcmp(entry.map_key, map_keys[i].data, map_keys[i].size), 0);
        check_bytes(&m->slot->map[i], entry.value, entry.value_size);
    }
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 0);
    ck_assert_int_eq(MUST(cairn_iterator_next(iterator, &entry, ERR)), 0);
    cairn_iterator_close(iterator);
}

static void on_map(struct model *m)
{
    uint8_t bytes[CELL_MAX];
    const void *data;
    size_t size, k = draw(m, MAP_KEYS);
    struct cell *cell = &m->slot->map[k];
    switch (draw(m, 12)) {
    case 0:
        MUST(cairn_map_clear(m->map, ERR));
        for (size_t i = 0; i < MAP_KEYS; i++)
            m->slot->map[i].present = false;
        break;
    case 1:
    case 2:
        MUST(cairn_map_remove(m->map, map_keys[k].data, map_keys[k].size, ERR));
        cell->present = false;
        break;
    case 3:
    case 4:
        iterate_map(m);
        break;
    case 5:
    case 6:
    case 7: {
        int64_t r =
            MUST(cairn_map_get(m->map, map_keys[k].data, map_keys[k].size, &data, &size, ERR));
        ck_assert_int_eq(r, read_cell(m, cell));
        if (r > 0)
            check_bytes(cell, data, size);
        break;
    }
    default:
        size = random_bytes(m, bytes);
        MUST(cairn_map_put(m->map, map_keys[k].data, map_keys[k].size, bytes, size, ERR));
        set(m, cell, bytes, size);
    }
}

static void on_sum(struct model *m)
{
    struct cell *cell = &m->slot->sum;
    int64_t value;
    if (draw(m, 8) == 0) {
        MUST(cairn_reducing_clear(m->sum, ERR));
        cell->present = false;
    } else if (draw(m, 2) == 0) {
        int64_t added = (int64_t)draw(m, UINT64_MAX); /* sums wrap around */
        uint8_t bytes[8];
        int64_t before = live(m, cell) ? cairn_decode_int64(cell->bytes) : 0;
        MUST(cairn_reducing_add_int64(m->sum, added, ERR));
        cairn_encode_int64((int64_t)((uint64_t)before + (uint64_t)added), bytes);
        set(m, cell, bytes, sizeof(bytes));
    } else {
        int64_t r = MUST(cairn_reducing_get_int64(m->sum, &value, ERR));
        ck_assert_int_eq(r, read_cell(m, cell));
        if (r > 0)
            ck_assert_int_eq(value, cairn_decode_int64(cell->bytes));
    }
}

static void on_folded(struct model *m)
{
    struct cell *cell = &m->slot->folded;
    if (draw(m, 8) == 0) {
        MUST(cairn_aggregating_clear(m->folded, ERR));
        cell->present = false;
    } else if (draw(m, 2) == 0) {
        uint8_t bytes[CELL_MAX];
        size_t size = random_bytes(m, bytes);
        struct cairn_buffer out = {0};
        MUST(fold(NULL, live(m, cell) ? cell->bytes : NULL, live(m, cell) ? cell->size : 0, bytes,
                  size, &out));
        MUST(cairn_aggregating_add(m->folded, bytes, size, ERR));
        set(m, cell, out.data, out.size);
        crn_buf_done(&out);
    } else {
        const void *data;
        size_t size;
        int64_t r = MUST(cairn_aggregating_get(m->folded, &data, &size, ERR));
        ck_assert_int_eq(r, read_cell(m, cell));
        if (r == 0)
            return;
        ck_assert_uint_eq(size, cell->size);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(((const uint8_t *)data)[i], cell->bytes[size - 1 - i]);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Everything at once
 * ------------------------------------------------------------------------------------------ */

static size_t find(const struct bytes *table, size_t count, const void *data, size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].size == size && memcmp(table[i].data, data, size) == 0)
            return i;
    ck_abort_msg("an iterator gave a key that was never written");
}

/* The cell that an entry must be; `element` counts the entries of one list. */
static const struct cell *expected(struct model *m, const char *state, const cairn_entry *entry,
                                   size_t *element)
{
    static const struct slot *last;
    const struct slot *slot = &m->slots[find(keys, KEYS, entry->key, entry->key_size)]
                                       [find(namespaces, NAMESPACES, entry->ns, entry->ns_size)];
    if (strcmp(state, "a/list") != 0)
        ck_assert(strcmp(state, "map of \xc3\xa4") == 0 || entry->map_key == NULL);
    if (strcmp(state, "value") == 0)
        return &slot->value;
    if (strcmp(state, "..") == 0)
        return &slot->sum;
    if (strcmp(state, "folded") == 0)
        return &slot->folded;
    if (strcmp(state, "a/list") != 0)
        return &slot->map[find(map_keys, MAP_KEYS, entry->map_key, entry->map_key_size)];
    if (slot != last)
        *element = 0;
    last = slot;
    while (*element < slot->list_count && !live(m, &slot->list[*element]))
        ++*element;
    ck_assert_uint_lt(*element, slot->list_count);
    return &slot->list[(*element)++];
}

static size_t count_live(const struct model *m, const char *state)
{
    size_t count = 0;
    for (size_t i = 0; i < (size_t)KEYS * NAMESPACES; i++) {
        const struct slot *slot = &m->slots[0][0] + i;
        if (strcmp(state, "value") == 0)
            count += live(m, &slot->value);
        else if (strcmp(state, "..") == 0)
            count += live(m, &slot->sum);
        else if (strcmp(state, "folded") == 0)
            count += live(m, &slot->folded);
        else if (strcmp(state, "a/list") == 0)
            for (size_t e = 0; e < slot->list_count; e++)
                count += live(m, &slot->list[e]);
        else
            for (size_t k = 0; k < MAP_KEYS; k++)
                count += live(m, &slot->map[k]);
    }
    return count;
}

/* Every entry is a live one of the model, and there are as many; keys ascend by key group. */
static void check_whole_state(struct model *m, const char *state)
{
    cairn_iterator *iterator;
    cairn_entry entry;
    size_t count = 0, element = 0;
    uint32_t group = 0;
    MUST(cairn_task_iterate(&m->t->task, state, &iterator, ERR));
    while (MUST(cairn_iterator_next(iterator, &entry, ERR)) > 0) {
        const struct cell *cell = expected(m, state, &entry, &element);
        ck_assert(live(m, cell));
        check_bytes(cell, entry.value, entry.value_size);
        uint32_t now = crn_key_group_of(entry.key, entry.key_size, m->t->task.max_parallelism);
        ck_assert_uint_ge(now, group);
        group = now;
        count++;
    }
    ck_assert_uint_eq(count, count_live(m, state));
    cairn_iterator_close(iterator);
}

static void check_all(struct model *m)
{
    check_whole_state(m, "value");
    check_whole_state(m, "a/list");
    check_whole_state(m, "map of \xc3\xa4");
    check_whole_state(m, "..");
    check_whole_state(m, "folded");
}

static void step(struct model *m)
{
    if (draw(m, 3) == 0)
        m->t->clock_ms += (int64_t)draw(m, 8);
    choose_key(m);
    switch (draw(m, 5)) {
    case 0:
        on_value(m);
        break;
    case 1:
        on_list(m);
        break;
    case 2:
        on_map(m);
        break;
    case 3:
        on_sum(m);
        break;
    default:
        on_folded(m);
    }
    if (draw(m, 200) == 0)
        check_all(m);
    if (draw(m, 400) == 0) {
        test_task_restart(m->t);
        register_all(m);
        check_all(m);
    }
}

/* _i: backend, then whether it has one or two bytes of key group, then expiry: none, on write, on
 * read. */
START_TEST(random_operations)
{
    static struct model m;
    const char *seed = getenv("CAIRN_SEED");
    m = (struct model){.random = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)_i + 1};
    int variant = _i / TEST_BACKENDS;
    m.t = test_task_new(_i % TEST_BACKENDS);
    test_task_set_subtask(m.t, 0, 1, variant % 2 == 0 ? 128 : 32768);
    m.ttl_ms = variant / 2 > 0 ? TTL_MS : 0;
    m.on_read = variant / 2 == 2;
    register_all(&m);
    for (int i = 0; i < STEPS; i++)
        step(&m);
    check_all(&m);
    test_task_free(m.t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyed-model");
    TCase *tcase = tcase_create("model");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, random_operations, 0, 6 * TEST_BACKENDS);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
