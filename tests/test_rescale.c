/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another parallelism: the state of an operator goes through every change of it from 1..5 to 1..5,
 * one after another in one job, with changes and removals in between, and equals a model's to the
 * last entry each time. So what one rescale leaves behind in shared tables meets all others. Over
 * every backend: the fake one (by entries), RocksDB (by files) and the heap (canonical files); and
 * from canonical files into RocksDB.
 *
 * And that files are shared, not rewritten: the first checkpoint after a rescale is an increment.
 */
#include "base/file.h"
#include "engine/restore/restore.h"
#include "tests/support/job_fixture.h"

#include <stdio.h>
#include <string.h>

#define MAX_TASKS 5u
#define KEYS 150
#define MAX_PARALLELISM 128u
#define ELEMENTS 7

/* Every ordered pair of 1..5 stands in it, side by side: a de Bruijn sequence, and its begin again.
 */
static const uint32_t walk[] = {1, 1, 2, 1, 3, 1, 4, 1, 5, 2, 2, 3, 2,
                                4, 2, 5, 3, 3, 4, 3, 5, 4, 4, 5, 5, 1};

enum { FAKE, HEAP, ROCKSDB, BACKENDS };

struct worker {
    cairn_task *task;
    cairn_value *count;
    cairn_list *events;
    cairn_map *names;
    cairn_operator_list *split, *everywhere;
    cairn_broadcast *rules;
};

struct farm {
    cairn_job *job;
    uint32_t size;
    struct worker workers[MAX_TASKS];
};

struct model {
    bool has_count[KEYS];
    int64_t count[KEYS];
    unsigned events[KEYS], names[KEYS];
};

static struct fixture f;
static struct model model;
static uint64_t seed;

static uint64_t next_random(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
}

static void begin(int backend)
{
    fixture_init(&f, backend == ROCKSDB);
    if (backend == HEAP)
        f.backend = crn_heap_backend;
    model = (struct model){0};
    seed = 42;
}

static int open_worker(struct farm *farm, uint32_t subtask, cairn_error **reterr)
{
    struct worker *w = &farm->workers[subtask];
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_state_options expiry = CAIRN_STATE_OPTIONS_INIT;
    options.parallelism = farm->size;
    options.subtask = subtask;
    options.max_parallelism = MAX_PARALLELISM;
    options.key_type = CAIRN_INT64;
    expiry.ttl_ms = (uint64_t)1 << 40;
    CRN_TRY(cairn_task_open(farm->job, "op", &options, &w->task, reterr));
    CRN_TRY(cairn_value_state(w->task, "count", CAIRN_INT64, NULL, &w->count, reterr));
    CRN_TRY(cairn_list_state(w->task, "events", CAIRN_INT64, &expiry, &w->events, reterr));
    CRN_TRY(cairn_map_state(w->task, "names", CAIRN_INT64, CAIRN_INT64, NULL, &w->names, reterr));
    CRN_TRY(
        cairn_operator_list_state(w->task, "split", CAIRN_SPLIT, CAIRN_INT64, &w->split, reterr));
    CRN_TRY(cairn_operator_list_state(w->task, "everywhere", CAIRN_UNION, CAIRN_INT64,
                                      &w->everywhere, reterr));
    return cairn_broadcast_state(w->task, "rules", CAIRN_INT64, CAIRN_INT64, &w->rules, reterr);
}

static int farm_open(struct farm *farm, uint32_t size, cairn_error **reterr)
{
    *farm = (struct farm){.size = size};
    CRN_TRY(fixture_open_job(&f, "farm", &farm->job, reterr));
    int r = 0;
    for (uint32_t i = 0; i < size && r == 0; i++)
        r = open_worker(farm, i, reterr);
    return r == 0 ? cairn_job_start(farm->job, reterr) : r;
}

static void farm_close(struct farm *farm)
{
    cairn_job_close(farm->job);
    for (uint32_t i = 0; i < MAX_TASKS; i++)
        cairn_task_close(farm->workers[i].task);
}

static cairn_checkpoint_info farm_checkpoint(struct farm *farm)
{
    cairn_task *others[MAX_TASKS];
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    struct pump pump = {0};
    for (uint32_t i = 1; i < farm->size; i++)
        others[i - 1] = farm->workers[i].task;
    pump_start(&pump, others, farm->size - 1);
    ck_ok(cairn_task_checkpoint(farm->workers[0].task, NULL, &info, reterr));
    pump_stop(&pump);
    return info;
}

/* The worker that has the key, which is current then. */
static struct worker *at_key(struct farm *farm, int64_t key)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    int subtask = cairn_subtask_of_key(bytes, sizeof bytes, farm->size, MAX_PARALLELISM);
    ck_assert_int_ge(subtask, 0);
    ck_assert_int_eq(cairn_task_set_key_int64(farm->workers[subtask].task, key), 0);
    return &farm->workers[subtask];
}

static void change(struct farm *farm, int64_t key)
{
    struct worker *w = at_key(farm, key);
    switch (next_random() % 6) {
    case 0:
        ck_ok(cairn_value_clear(w->count, reterr));
        model.has_count[key] = false;
        break;
    case 1:
        ck_ok(cairn_list_clear(w->events, reterr));
        model.events[key] = 0;
        break;
    case 2:
        ck_ok(cairn_map_clear(w->names, reterr));
        model.names[key] = 0;
        break;
    case 3:
        ck_ok(cairn_list_add_int64(w->events, key * 1000 + model.events[key], reterr));
        model.events[key]++;
        break;
    case 4: {
        uint8_t name[8], value[8];
        cairn_encode_int64(model.names[key], name);
        cairn_encode_int64(key, value);
        ck_ok(cairn_map_put(w->names, name, 8, value, 8, reterr));
        model.names[key]++;
        break;
    }
    default:
        model.has_count[key] = true;
        model.count[key] = (int64_t)next_random();
        ck_ok(cairn_value_put_int64(w->count, model.count[key], reterr));
    }
}

static void change_some(struct farm *farm, unsigned changes)
{
    for (unsigned i = 0; i < changes; i++)
        change(farm, (int64_t)(next_random() % KEYS));
}

static unsigned count_entries(cairn_iterator *iterator)
{
    cairn_entry entry;
    unsigned count = 0;
    while (ck_ok(cairn_iterator_next(iterator, &entry, reterr)) == 1)
        count++;
    cairn_iterator_close(iterator);
    return count;
}

static void check_key(struct farm *farm, int64_t key)
{
    struct worker *w = at_key(farm, key);
    int64_t value = 0;
    cairn_iterator *iterator;
    const void *element;
    size_t size;
    ck_assert_int_eq(ck_ok(cairn_value_get_int64(w->count, &value, reterr)), model.has_count[key]);
    if (model.has_count[key])
        ck_assert_int_eq(value, model.count[key]);
    ck_assert_int_eq(cairn_list_load(w->events, NULL), model.events[key]);
    for (unsigned i = 0; i < model.events[key]; i++) {
        ck_assert_int_eq(cairn_list_at(w->events, i, &element, &size), 0);
        ck_assert_int_eq(cairn_decode_int64(element), key * 1000 + i);
    }
    ck_ok(cairn_map_iterate(w->names, &iterator, reterr));
    ck_assert_uint_eq(count_entries(iterator), model.names[key]);
}

/* Nothing but what the model has, in no subtask: also no key group that is another's. */
static void check_totals(struct farm *farm)
{
    unsigned counts = 0, found = 0;
    for (int64_t key = 0; key < KEYS; key++)
        counts += model.has_count[key];
    for (uint32_t i = 0; i < farm->size; i++) {
        cairn_iterator *iterator;
        ck_ok(cairn_task_iterate(farm->workers[i].task, "count", &iterator, reterr));
        found += count_entries(iterator);
    }
    ck_assert_uint_eq(found, counts);
}

static void check_operator_state(struct farm *farm)
{
    unsigned seen[ELEMENTS] = {0};
    for (uint32_t i = 0; i < farm->size; i++) {
        const struct worker *w = &farm->workers[i];
        const void *data;
        size_t size;
        for (size_t k = 0; k < cairn_operator_list_size(w->split); k++) {
            ck_assert_int_eq(cairn_operator_list_at(w->split, k, &data, &size), 0);
            seen[cairn_decode_int64(data)]++;
        }
        ck_assert_uint_eq(cairn_operator_list_size(w->everywhere), 2);
        ck_assert_uint_eq(cairn_broadcast_size(w->rules), 1);
    }
    for (unsigned i = 0; i < ELEMENTS; i++)
        ck_assert_uint_eq(seen[i], 1);
}

static void check_farm(struct farm *farm)
{
    for (int64_t key = 0; key < KEYS; key++)
        check_key(farm, key);
    check_totals(farm);
    check_operator_state(farm);
}

/* Union lists come back whole everywhere: one subtask keeps them, as sources do. */
static void set_operator_state(struct farm *farm, bool is_first)
{
    uint8_t key[8];
    cairn_encode_int64(1, key);
    for (uint32_t i = 0; i < farm->size; i++) {
        struct worker *w = &farm->workers[i];
        ck_ok(cairn_operator_list_clear(w->everywhere, reterr));
        ck_ok(cairn_broadcast_put(w->rules, key, 8, key, 8, reterr));
        for (int64_t k = 0; i == 0 && k < 2; k++)
            ck_ok(cairn_operator_list_add_int64(w->everywhere, k, reterr));
        for (int64_t k = 0; is_first && i == 0 && k < ELEMENTS; k++)
            ck_ok(cairn_operator_list_add_int64(w->split, k, reterr));
    }
}

START_TEST(test_every_change_of_parallelism_keeps_the_state)
{
    begin(_i);
    for (size_t step = 0; step < sizeof walk / sizeof walk[0]; step++) {
        struct farm farm;
        ck_ok(farm_open(&farm, walk[step], reterr));
        if (step > 0)
            check_farm(&farm);
        set_operator_state(&farm, step == 0);
        change_some(&farm, step == 0 ? 20 * KEYS : KEYS);
        (void)farm_checkpoint(&farm);
        struct model as_of_barrier = model;
        change_some(&farm, KEYS / 2); /* lost: after the barrier */
        model = as_of_barrier;
        farm_close(&farm);
    }
    fixture_done(&f);
}
END_TEST

/* Enough state for a few changes to be a small part of it, and that no block takes for all. */
static void fill(struct farm *farm)
{
    for (int64_t key = 0; key < 20000; key++) {
        struct worker *w = at_key(farm, key);
        ck_ok(cairn_value_put_int64(w->count, (int64_t)next_random(), reterr));
    }
}

static const struct {
    uint32_t from, to;
} pairs[] = {{1, 2}, {4, 2}, {2, 3}, {3, 1}, {2, 4}};

START_TEST(test_tables_are_shared_over_a_rescale)
{
    struct farm farm;
    begin(ROCKSDB);
    ck_ok(farm_open(&farm, pairs[_i].from, reterr));
    fill(&farm);
    (void)farm_checkpoint(&farm);
    farm_close(&farm);
    ck_ok(farm_open(&farm, pairs[_i].to, reterr));
    ck_ok(cairn_value_put_int64(at_key(&farm, 5)->count, 5, reterr));
    cairn_checkpoint_info info = farm_checkpoint(&farm);
    ck_assert_int_eq(info.is_full, 0);
    ck_assert_msg(info.new_bytes * 4 < info.full_bytes, "%llu of %llu bytes are new",
                  (unsigned long long)info.new_bytes, (unsigned long long)info.full_bytes);
    farm_close(&farm);
    store_check_tidy(f.store, "farm");
    fixture_done(&f);
}
END_TEST

/* What a restore needed in between is gone, and it can be told to stop. */
START_TEST(test_a_restore_leaves_only_the_database)
{
    struct farm farm;
    CRN_AUTO_FREE char *directory = NULL;
    char **names;
    size_t count;
    begin(_i);
    ck_ok(farm_open(&farm, 3, reterr));
    set_operator_state(&farm, true);
    change_some(&farm, 10 * KEYS);
    (void)farm_checkpoint(&farm);
    farm_close(&farm);
    ck_ok(farm_open(&farm, 2, reterr));
    ck_ok(crn_str_printf(&directory, reterr, "%s/t0", f.local_dir));
    ck_ok(crn_file_list_dir(directory, &names, &count, reterr));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "db");
    crn_file_free_names(names, count);

    const atomic_bool cancelled = true;
    struct crn_joblog log = {0};
    const struct crn_record *record;
    struct crn_restored restored;
    CRN_AUTO_FREE char *other = fixture_dir(&f, "canceled");
    ck_ok(crn_joblog_read(f.store, "farm", &log, reterr));
    ck_ok(crn_joblog_find(&log, 0, &record, reterr));
    ck_ok(crn_file_make_dirs(other, reterr));
    const struct crn_restore_request request = {
        .store = f.store,
        .prefix = "farm",
        .op = &record->operators[0],
        .backend = &f.backend,
        .key_group_last = MAX_PARALLELISM - 1,
        .directory = other,
        .cancelled = &cancelled,
    };
    ck_fails(crn_restore_database(&request, &restored, reterr), CAIRN_ECANCELED, "cancel");
    crn_joblog_done(&log);
    farm_close(&farm);
    fixture_done(&f);
}
END_TEST

/* What the heap stored is canonical, so RocksDB reads it, at any parallelism; not the reverse. */
START_TEST(test_another_backend_reads_canonical_files)
{
    struct farm farm;
    begin(HEAP);
    ck_ok(farm_open(&farm, 3, reterr));
    set_operator_state(&farm, true);
    change_some(&farm, 20 * KEYS);
    (void)farm_checkpoint(&farm);
    farm_close(&farm);
    f.backend = crn_rocksdb_backend;
    ck_ok(farm_open(&farm, (uint32_t)_i, reterr));
    check_farm(&farm);
    set_operator_state(&farm, false);
    cairn_checkpoint_info info = farm_checkpoint(&farm);
    ck_assert_int_eq(info.is_full, 1);
    change_some(&farm, 5);
    info = farm_checkpoint(&farm);
    ck_assert_int_eq(info.is_full, 0);
    farm_close(&farm);
    f.backend = crn_heap_backend;
    ck_fails(farm_open(&farm, 3, reterr), CAIRN_EUNSUPPORTED, "canonical savepoint");
    farm_close(&farm);
    fixture_done(&f);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Operators without a uid
 * ------------------------------------------------------------------------------------------ */

static int open_nameless(cairn_job *job, const char *name, uint32_t subtask, cairn_task **ret,
                         cairn_error **reterr)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.name = name;
    options.parallelism = 2;
    options.subtask = subtask;
    return cairn_task_open(job, NULL, &options, ret, reterr);
}

static void open_nameless_job(cairn_job **job, cairn_task *tasks[4], cairn_value *values[4])
{
    static const char *const names[] = {"source", "source", "sink", "sink"};
    ck_ok(fixture_open_job(&f, "nameless", job, reterr));
    for (uint32_t i = 0; i < 4; i++) {
        ck_ok(open_nameless(*job, names[i], i % 2, &tasks[i], reterr));
        ck_ok(cairn_value_state(tasks[i], i < 2 ? "in" : "out", CAIRN_INT64, NULL, &values[i],
                                reterr));
    }
}

START_TEST(test_operators_without_a_uid_are_known_by_name_and_place)
{
    cairn_job *job;
    cairn_task *tasks[4], *extra;
    cairn_value *values[4];
    begin(FAKE);
    open_nameless_job(&job, tasks, values);
    ck_fails(open_nameless(job, NULL, 0, &extra, reterr), CAIRN_EINVAL, "needs a uid");
    ck_fails(open_nameless(job, "sink", 1, &extra, reterr), CAIRN_EEXIST, "'sink#2'");
    ck_ok(cairn_job_start(job, reterr));
    for (unsigned i = 0; i < 4; i++)
        for (int64_t key = 0; key < 8; key++)
            if (cairn_task_set_key(tasks[i], &key, sizeof key) == 0)
                ck_ok(cairn_value_put_int64(values[i], 10 * i + key, reterr));
    struct pump pump = {0};
    pump_start(&pump, &tasks[1], 3);
    ck_ok(cairn_task_checkpoint(tasks[0], NULL, NULL, reterr));
    pump_stop(&pump);
    cairn_job_close(job);
    for (unsigned i = 0; i < 4; i++)
        cairn_task_close(tasks[i]);

    open_nameless_job(&job, tasks, values);
    ck_ok(cairn_job_start(job, reterr)); /* every stored operator has its tasks */
    unsigned found = 0;
    for (unsigned i = 0; i < 4; i++)
        for (int64_t key = 0; key < 8; key++) {
            int64_t value;
            if (cairn_task_set_key(tasks[i], &key, sizeof key) < 0)
                continue;
            ck_assert_int_eq(ck_ok(cairn_value_get_int64(values[i], &value, reterr)), 1);
            ck_assert_int_eq(value, 10 * i + key);
            found++;
        }
    ck_assert_uint_eq(found, 16);
    cairn_job_close(job);
    for (unsigned i = 0; i < 4; i++)
        cairn_task_close(tasks[i]);
    fixture_done(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rescale");
    TCase *memory = tcase_create("memory"); /* without RocksDB's threads */
    tcase_set_timeout(memory, 100);
    tcase_add_loop_test(memory, test_every_change_of_parallelism_keeps_the_state, 0, ROCKSDB);
    tcase_add_loop_test(memory, test_a_restore_leaves_only_the_database, 0, ROCKSDB);
    tcase_add_test(memory, test_operators_without_a_uid_are_known_by_name_and_place);
    suite_add_tcase(suite, memory);
    TCase *tcase = tcase_create("rocksdb");
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, test_every_change_of_parallelism_keeps_the_state, ROCKSDB, BACKENDS);
    tcase_add_loop_test(tcase, test_tables_are_shared_over_a_rescale, 0,
                        sizeof pairs / sizeof pairs[0]);
    tcase_add_loop_test(tcase, test_a_restore_leaves_only_the_database, ROCKSDB, BACKENDS);
    tcase_add_loop_test(tcase, test_another_backend_reads_canonical_files, 1, MAX_TASKS + 1);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
