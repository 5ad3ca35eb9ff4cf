/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that reading a snapshot's entries gives exactly what the job had at the barrier, decoded:
 * a real job with two subtasks writes every kind of state, takes a checkpoint and goes on; every
 * entry must come out once, from the right subtask, with its namespace, map key, list position and
 * time, and filters must give just their part. And that reading leaves no trace: not in the scratch
 * directory, not in the store, whose very files it was linked to; and that damage is an error and
 * not an entry (P8).
 */

#include "base/file.h"
#include "base/hash.h"
#include "cairn/inspect.h"
#include "cairn/store.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEYS 500
#define PARALLELISM 2u
#define NOW_MS 1700000000000

#define OK(call)                                                                                   \
    do {                                                                                           \
        cairn_error *error_ = NULL;                                                                \
        cairn_error **reterr = &error_;                                                            \
        int r_ = (call);                                                                           \
        ck_assert_msg(r_ >= 0, "%s: %s", #call, cairn_error_message(error_));                      \
    } while (0)

static char root[64];
static cairn_store *store;

static int64_t fixed_now(void *context)
{
    (void)context;
    return NOW_MS;
}

struct states {
    cairn_value *count;
    cairn_list *visits;
    cairn_map *seen;
    cairn_operator_list *positions;
    cairn_broadcast *rules;
};

static void register_states(cairn_task *task, struct states *states)
{
    cairn_state_options expiring = CAIRN_STATE_OPTIONS_INIT;
    expiring.ttl_ms = 1000;
    OK(cairn_value_state(task, "count", CAIRN_INT64, NULL, &states->count, reterr));
    OK(cairn_list_state(task, "visits", CAIRN_STRING, &expiring, &states->visits, reterr));
    OK(cairn_map_state(task, "seen", CAIRN_STRING, CAIRN_INT64, NULL, &states->seen, reterr));
    OK(cairn_operator_list_state(task, "positions", CAIRN_SPLIT, CAIRN_INT64, &states->positions,
                                 reterr));
    OK(cairn_broadcast_state(task, "rules", CAIRN_STRING, CAIRN_STRING, &states->rules, reterr));
}

/* Key i: count = i + shift; i % 3 visits; under namespace 7, i % 2 map entries. */
static void write_key(cairn_task *task, const struct states *states, int64_t i, int64_t shift)
{
    uint8_t value[8];
    cairn_encode_int64(i, value);
    ck_assert_int_eq(cairn_task_set_key_int64(task, i), 0);
    OK(cairn_value_put_int64(states->count, i + shift, reterr));
    for (int64_t n = 0; n < i % 3; n++)
        OK(cairn_list_add(states->visits, n == 0 ? "first" : "second", n == 0 ? 5 : 6, reterr));
    ck_assert_int_eq(cairn_task_set_namespace_int64(task, 7), 0);
    for (int64_t n = 0; n < i % 2; n++)
        OK(cairn_map_put(states->seen, "entry", 5, value, 8, reterr));
}

static void write_all(cairn_task *tasks[], const struct states *states, int64_t shift)
{
    for (int64_t i = 0; i < KEYS; i++) {
        uint8_t key[8];
        cairn_encode_int64(i, key);
        int subtask = cairn_subtask_of_key(key, 8, PARALLELISM, 128);
        ck_assert_int_ge(subtask, 0);
        write_key(tasks[subtask], &states[subtask], i, shift);
    }
}

static void take_checkpoint(cairn_job *job, cairn_task *tasks[])
{
    unsigned completed = 0;
    OK(cairn_job_trigger(job, NULL, reterr));
    while (completed < PARALLELISM) {
        for (uint32_t i = 0; i < PARALLELISM; i++) {
            cairn_event event;
            OK(cairn_task_wait(tasks[i], 10, &event, reterr));
            ck_assert_int_ne(event.type, CAIRN_EVENT_ABORTED);
            completed += event.type == CAIRN_EVENT_COMPLETED;
        }
    }
}

static void run_job(void)
{
    char local[96];
    cairn_job *job;
    cairn_task *tasks[PARALLELISM];
    struct states states[PARALLELISM];
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    (void)snprintf(local, sizeof local, "%s/local", root);
    options.store = store;
    options.local_dir = local;
    options.now_ms = fixed_now;
    OK(cairn_job_open("orders", &options, &job, reterr));
    for (uint32_t i = 0; i < PARALLELISM; i++) {
        cairn_task_options task_options = CAIRN_TASK_OPTIONS_INIT;
        task_options.parallelism = PARALLELISM;
        task_options.subtask = i;
        task_options.max_parallelism = 128;
        task_options.key_type = CAIRN_INT64;
        task_options.namespace_type = CAIRN_INT64;
        OK(cairn_task_open(job, "count", &task_options, &tasks[i], reterr));
        register_states(tasks[i], &states[i]);
        OK(cairn_operator_list_add_int64(states[i].positions, 100 + i, reterr));
        OK(cairn_broadcast_put(states[i].rules, "rule", 4, "allow", 5, reterr));
    }
    OK(cairn_job_start(job, reterr));
    write_all(tasks, states, 1000);
    take_checkpoint(job, tasks);
    write_all(tasks, states, 2000); /* belongs to no checkpoint */
    cairn_job_close(job);
    for (uint32_t i = 0; i < PARALLELISM; i++)
        cairn_task_close(tasks[i]);
}

static void setup(void)
{
    char path[96];
    (void)strcpy(root, "/tmp/cairn-cat-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/scratch", root);
    OK(crn_file_make_dirs(path, reterr));
    (void)snprintf(path, sizeof path, "%s/store", root);
    OK(cairn_store_open(path, &store, reterr));
    run_job();
}

static void teardown(void)
{
    cairn_store_close(store);
    OK(crn_file_remove_tree(root, reterr));
}

/* --- what a cat gave --- */

struct seen {
    bool count[KEYS], map[KEYS];
    unsigned visits[KEYS];
    unsigned entries, positions, rules;
};

static void note_keyed(struct seen *seen, const cairn_cat_entry *entry, const char *state)
{
    const cairn_entry *e = &entry->entry;
    ck_assert_uint_eq(e->key_size, 8);
    int64_t i = cairn_decode_int64(e->key);
    ck_assert(i >= 0 && i < KEYS);
    ck_assert_int_eq(cairn_subtask_of_key(e->key, 8, PARALLELISM, 128), (int)entry->subtask);
    ck_assert_int_eq(entry->key_group * PARALLELISM / 128, entry->subtask);
    if (strcmp(state, "count") == 0) {
        ck_assert(!seen->count[i]);
        seen->count[i] = true;
        ck_assert_uint_eq(e->ns_size, 0);
        ck_assert_uint_eq(e->value_size, 8);
        ck_assert_int_eq(cairn_decode_int64(e->value), i + 1000);
        ck_assert_int_eq(entry->written_ms, 0);
    } else if (strcmp(state, "visits") == 0) {
        ck_assert_uint_eq(entry->element, seen->visits[i]++);
        ck_assert_int_eq(entry->written_ms, NOW_MS);
        ck_assert_mem_eq(e->value, entry->element == 0 ? "first" : "second", e->value_size);
        ck_assert_uint_eq(e->value_size, entry->element == 0 ? 5 : 6);
    } else {
        ck_assert_str_eq(state, "seen");
        ck_assert(!seen->map[i]);
        seen->map[i] = true;
        ck_assert_uint_eq(e->ns_size, 8);
        ck_assert_int_eq(cairn_decode_int64(e->ns), 7);
        ck_assert_uint_eq(e->map_key_size, 5);
        ck_assert_mem_eq(e->map_key, "entry", 5);
        ck_assert_int_eq(cairn_decode_int64(e->value), i);
    }
}

static void note(struct seen *seen, const cairn_cat_entry *entry, const cairn_state_info *state)
{
    const cairn_entry *e = &entry->entry;
    seen->entries++;
    switch (state->kind) {
    case CAIRN_KIND_OPERATOR_LIST:
        seen->positions++;
        ck_assert_ptr_null(e->key);
        ck_assert_int_eq(cairn_decode_int64(e->value), 100 + (int64_t)entry->subtask);
        break;
    case CAIRN_KIND_BROADCAST:
        seen->rules++;
        ck_assert_uint_eq(e->key_size, 4);
        ck_assert_mem_eq(e->key, "rule", 4);
        ck_assert_uint_eq(e->value_size, 5);
        ck_assert_mem_eq(e->value, "allow", 5);
        break;
    default:
        note_keyed(seen, entry, state->name);
    }
}

static void count_scratch(size_t expected)
{
    char path[96];
    char **names;
    size_t count;
    (void)snprintf(path, sizeof path, "%s/scratch", root);
    OK(crn_file_list_dir(path, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_eq(count, expected);
}

/* Runs a cat to its end. @return 0 or its error. */
static int cat(cairn_cat_options *options, struct seen *seen)
{
    cairn_snapshot *snapshot;
    cairn_cat *handle;
    cairn_cat_entry entry;
    char scratch[96];
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", root);
    options->scratch_dir = scratch;
    memset(seen, 0, sizeof *seen);
    OK(cairn_snapshot_open(store, "orders", 0, &snapshot, reterr));
    int r = cairn_cat_open(snapshot, options, &handle, NULL);
    if (r == 0) {
        count_scratch(1);
        while ((r = cairn_cat_next(handle, &entry, NULL)) == 1)
            note(seen, &entry, cairn_snapshot_state(snapshot, entry.op, entry.state));
        ck_assert_int_eq(cairn_cat_next(handle, &entry, NULL), r); /* an end stays the end */
        cairn_cat_close(handle);
    }
    cairn_snapshot_close(snapshot);
    count_scratch(0);
    return r;
}

START_TEST(every_entry_comes_out_once)
{
    struct seen seen;
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    ck_assert_int_eq(cat(&options, &seen), 0);
    unsigned keyed = 0;
    for (int i = 0; i < KEYS; i++) {
        ck_assert(seen.count[i]);
        ck_assert_int_eq(seen.map[i], i % 2);
        ck_assert_uint_eq(seen.visits[i], (unsigned)i % 3);
        keyed += 1 + (unsigned)i % 2 + (unsigned)i % 3;
    }
    ck_assert_uint_eq(seen.positions, PARALLELISM);
    ck_assert_uint_eq(seen.rules, PARALLELISM);
    ck_assert_uint_eq(seen.entries, keyed + 2 * PARALLELISM);
}
END_TEST

START_TEST(filters_give_their_part)
{
    struct seen seen;
    uint8_t key[8];
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    options.operator_uid = "count";
    options.state = "seen";
    ck_assert_int_eq(cat(&options, &seen), 0);
    ck_assert_uint_eq(seen.entries, KEYS / 2);
    options.state = "rules";
    ck_assert_int_eq(cat(&options, &seen), 0);
    ck_assert_uint_eq(seen.entries, PARALLELISM);

    for (int64_t i = 0; i < 20; i++) {
        cairn_encode_int64(i, key);
        options = (cairn_cat_options)CAIRN_CAT_OPTIONS_INIT;
        options.key = key;
        options.key_size = 8;
        ck_assert_int_eq(cat(&options, &seen), 0);
        ck_assert(seen.count[i]);
        ck_assert_uint_eq(seen.entries, 1 + i % 2 + i % 3);
        options.state = "visits";
        ck_assert_int_eq(cat(&options, &seen), 0);
        ck_assert_uint_eq(seen.entries, i % 3);
    }
    cairn_encode_int64(KEYS, key);
    options.state = NULL;
    ck_assert_int_eq(cat(&options, &seen), 0);
    ck_assert_uint_eq(seen.entries, 0);
    options.key_size = 7; /* not a prefix search */
    ck_assert_int_eq(cat(&options, &seen), 0);
    ck_assert_uint_eq(seen.entries, 0);
    options.key_size = 65537;
    ck_assert_int_eq(cat(&options, &seen), CAIRN_EINVAL);

    options = (cairn_cat_options)CAIRN_CAT_OPTIONS_INIT;
    options.state = "cuont";
    ck_assert_int_eq(cat(&options, &seen), CAIRN_ENOTFOUND);
    options.operator_uid = "other";
    options.state = "count";
    ck_assert_int_eq(cat(&options, &seen), CAIRN_ENOTFOUND);
}
END_TEST

/* --- no trace, no wrong entry --- */

struct objects {
    char keys[256][128];
    uint64_t hashes[256];
    size_t count;
};

static int hash_object(void *context, const char *key, const cairn_object_stat *stat)
{
    struct objects *objects = context;
    char path[256];
    uint8_t *data;
    size_t size;
    ck_assert_uint_lt(objects->count, 256);
    (void)snprintf(path, sizeof path, "%s/store/%s", root, key);
    OK(crn_file_read_all(path, 1 << 28, &data, &size, reterr));
    ck_assert_uint_eq(size, stat->size);
    (void)snprintf(objects->keys[objects->count], 128, "%s", key);
    objects->hashes[objects->count++] = crn_hash64_of(data, size);
    free(data);
    return 0;
}

static void hash_store(struct objects *objects)
{
    memset(objects, 0, sizeof *objects);
    OK(store->ops->list(store, "", hash_object, objects, reterr));
}

START_TEST(the_store_is_left_as_it_was)
{
    static struct objects before, after;
    struct seen seen;
    cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
    hash_store(&before);
    ck_assert_int_eq(cat(&options, &seen), 0);
    hash_store(&after);
    ck_assert_mem_eq(&before, &after, sizeof before);
}
END_TEST

static void flip_byte(const char *path)
{
    uint8_t *data;
    size_t size;
    OK(crn_file_read_all(path, 1 << 28, &data, &size, reterr));
    data[size / 2] ^= 0x20;
    ck_assert_int_eq(unlink(path), 0);
    OK(crn_file_write_new(path, data, size, false, reterr));
    free(data);
}

START_TEST(damage_is_an_error)
{
    static struct objects all;
    hash_store(&all);
    unsigned damaged = 0;
    for (size_t i = 0; i < all.count; i++) {
        struct seen seen;
        char path[256];
        cairn_cat_options options = CAIRN_CAT_OPTIONS_INIT;
        if (strstr(all.keys[i], "MANIFEST-chk") != NULL)
            continue;
        (void)snprintf(path, sizeof path, "%s/store/%s", root, all.keys[i]);
        flip_byte(path);
        ck_assert_int_eq(cat(&options, &seen), CAIRN_ECORRUPT);
        flip_byte(path);
        damaged++;
    }
    ck_assert_uint_gt(damaged, PARALLELISM);
}
END_TEST

/* RocksDB's options of three states are over the default threshold for inlining, and stored by
 * every checkpoint: they stand in the manifest all the same. Tables never do. */
START_TEST(options_stand_in_the_manifest)
{
    cairn_snapshot *snapshot;
    size_t options = 0, tables = 0;
    OK(cairn_snapshot_open(store, "orders", 0, &snapshot, reterr));
    const cairn_subtask_info *subtask = cairn_snapshot_subtask(snapshot, 0, 0);
    ck_assert_ptr_nonnull(subtask);
    for (size_t i = 0; i < subtask->file_count; i++) {
        const cairn_file_info *file = cairn_snapshot_file(snapshot, 0, 0, i);
        if (strncmp(file->name, "OPTIONS-", 8) == 0) {
            ck_assert_uint_gt(file->size, 16384);
            ck_assert_ptr_null(file->object);
            options++;
        }
        ck_assert(file->role != CAIRN_FILE_TABLE || file->object != NULL);
        tables += file->role == CAIRN_FILE_TABLE;
    }
    ck_assert_uint_gt(options, 0);
    ck_assert_uint_gt(tables, 0);
    cairn_snapshot_close(snapshot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cat");
    TCase *tcase = tcase_create("cat");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_entry_comes_out_once);
    tcase_add_test(tcase, filters_give_their_part);
    tcase_add_test(tcase, the_store_is_left_as_it_was);
    tcase_add_test(tcase, options_stand_in_the_manifest);
    tcase_add_test(tcase, damage_is_an_error);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
