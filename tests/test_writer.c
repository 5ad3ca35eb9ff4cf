/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that a savepoint that was written holds just what was put: every kind of state and type,
 * written from nothing in both formats and at several parallelisms, is read back entry by entry and
 * compared with a list that the test keeps itself, and a job starts from it. And that each edit of
 * an existing snapshot changes what it says and nothing else: put, remove, rename, drop, convert,
 * other key groups. The base and the scratch directory are left as they were.
 */

#include "backends/state/keys.h"
#include "base/buffer.h"
#include "base/file.h"
#include "cairn/store.h"
#include "cairn/writer.h"
#include "tests/support/entries.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OK CRN_TEST_OK
#define KEYS 200
#define WRITTEN_MS 1700000000000

static char root[64], scratch[96];
static cairn_store *store;
static struct cairn_buffer expected; /* lines, as tests/support/entries.h has them */
static cairn_serializer *person;

static const cairn_field fields[] = {{"name", CAIRN_STRING, NULL, 0},
                                     {"age", CAIRN_INT64, NULL, 0}};

static void setup(void)
{
    char path[96];
    (void)strcpy(root, "/tmp/cairn-writer-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", root);
    OK(crn_file_make_dirs(scratch, reterr));
    (void)snprintf(path, sizeof path, "%s/store", root);
    OK(cairn_store_open(path, &store, reterr));
    OK(cairn_struct_serializer("person", fields, 2, &person, reterr));
}

static void teardown(void)
{
    char **names;
    size_t count;
    OK(crn_file_list_dir(scratch, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_eq(count, 0); /* no test leaves anything behind */
    cairn_serializer_release(person);
    cairn_store_close(store);
    crn_buf_done(&expected);
    OK(crn_file_remove_tree(root, reterr));
}

/* ------------------------------------------------------------------------------------------ *
 * Everything that there is
 * ------------------------------------------------------------------------------------------ */

static const cairn_state_info states[] = {
    {.name = "count", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64},
    {.name = "visits", .kind = CAIRN_KIND_LIST, .value_type = CAIRN_STRING, .ttl_ms = 1000},
    {.name = "seen",
     .kind = CAIRN_KIND_MAP,
     .value_type = CAIRN_DOUBLE,
     .map_key_type = CAIRN_STRING},
    {.name = "max", .kind = CAIRN_KIND_REDUCING, .value_type = CAIRN_BYTES, .ttl_ms = 5000},
    {.name = "sum", .kind = CAIRN_KIND_AGGREGATING, .value_type = CAIRN_STRING},
    {.name = "people", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_STRUCT},
    {.name = "friends", .kind = CAIRN_KIND_LIST, .value_type = CAIRN_STRUCT},
    {.name = "positions", .kind = CAIRN_KIND_OPERATOR_LIST, .value_type = CAIRN_INT64},
    {.name = "offsets", .kind = CAIRN_KIND_OPERATOR_UNION, .value_type = CAIRN_STRING},
    {.name = "rules",
     .kind = CAIRN_KIND_BROADCAST,
     .value_type = CAIRN_STRING,
     .map_key_type = CAIRN_STRING},
};
enum { COUNT, VISITS, SEEN, MAX, SUM, PEOPLE, FRIENDS, POSITIONS, OFFSETS, RULES };

static void expect(const char *uid, int state, const cairn_entry *entry, uint64_t element,
                   int64_t written_ms)
{
    char line[4096];
    const cairn_state_info *info = &states[state];
    crn_test_entry_line(line, sizeof line, uid, info, entry, element,
                        info->ttl_ms > 0 ? written_ms : 0,
                        info->value_type == CAIRN_STRUCT ? "person" : "");
    ck_assert_int_eq(crn_buf_append(&expected, line, strlen(line)), 0);
}

static cairn_entry entry_of(const char *key, const char *ns, const char *map_key, const void *value,
                            size_t size)
{
    return (cairn_entry){key, strlen(key), ns, strlen(ns), map_key, strlen(map_key), value, size};
}

static void put(cairn_writer *writer, int state, const cairn_entry *entry, uint64_t element)
{
    OK(cairn_writer_put(writer, "op", states[state].name, entry, WRITTEN_MS + (int64_t)element,
                        reterr));
    expect("op", state, entry, element, WRITTEN_MS + (int64_t)element);
}

static void put_person(cairn_writer *writer, int state, const char *key, int64_t age,
                       uint64_t element)
{
    cairn_struct *record;
    const void *data;
    size_t size;
    OK(cairn_struct_new(person, &record, reterr));
    ck_assert_int_eq(cairn_struct_set_bytes(record, 0, key, strlen(key)), 0);
    ck_assert_int_eq(cairn_struct_set_int64(record, 1, age), 0);
    OK(cairn_struct_encode(record, &data, &size, reterr));
    cairn_entry entry = entry_of(key, "", "", data, size);
    put(writer, state, &entry, element);
    cairn_struct_free(record);
}

static void put_key(cairn_writer *writer, int64_t i)
{
    char key[32], ns[32] = "";
    uint8_t number[8];
    (void)snprintf(key, sizeof key, "key-%" PRId64, i);
    if (i % 4 == 0)
        (void)snprintf(ns, sizeof ns, "window %" PRId64, i % 8);
    cairn_encode_int64(i * i, number);
    cairn_entry entry = entry_of(key, ns, "", number, 8);
    put(writer, COUNT, &entry, 0);
    for (uint64_t n = 0; n < (uint64_t)i % 3; n++) {
        entry = entry_of(key, ns, "", n == 0 ? "first" : "second", n == 0 ? 5 : 6);
        put(writer, VISITS, &entry, n);
        put_person(writer, FRIENDS, key, (int64_t)n, n);
    }
    cairn_encode_double((double)i / 2, number);
    for (int64_t n = 0; n < i % 5; n++) {
        char map_key[32];
        (void)snprintf(map_key, sizeof map_key, "m%" PRId64, n);
        entry = entry_of(key, ns, map_key, number, 8);
        put(writer, SEEN, &entry, 0);
    }
    entry = entry_of(key, ns, "", "\x01\xff\x00z", 4);
    put(writer, MAX, &entry, 0);
    entry = entry_of(key, ns, "", "", 0);
    put(writer, SUM, &entry, 0);
    put_person(writer, PEOPLE, key, i, 0);
}

static void add_all_states(cairn_writer *writer, const char *uid)
{
    for (size_t i = 0; i < CRN_COUNT(states); i++)
        OK(cairn_writer_add_state(writer, uid, &states[i],
                                  states[i].value_type == CAIRN_STRUCT ? person : NULL, reterr));
}

static cairn_writer *open_writer(cairn_snapshot *base)
{
    cairn_writer *writer;
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    options.scratch_dir = scratch;
    options.memory_bytes = 8 << 20;
    OK(cairn_writer_open(base, &options, &writer, reterr));
    return writer;
}

/* Operator "op" with all of it; `expected` has the lines. */
static cairn_writer *fill(uint32_t parallelism, uint32_t max_parallelism)
{
    cairn_writer_operator options = CAIRN_WRITER_OPERATOR_INIT;
    cairn_writer *writer = open_writer(NULL);
    options.parallelism = parallelism;
    options.max_parallelism = max_parallelism;
    options.key_type = options.namespace_type = CAIRN_STRING;
    OK(cairn_writer_add_operator(writer, "op", &options, reterr));
    add_all_states(writer, "op");
    crn_buf_clear(&expected);
    for (int64_t i = 0; i < KEYS; i++)
        put_key(writer, i);
    for (uint64_t i = 0; i < 3; i++) {
        uint8_t number[8];
        cairn_encode_int64((int64_t)i, number);
        cairn_entry entry = entry_of("", "", "", number, 8);
        put(writer, POSITIONS, &entry, i / parallelism); /* each subtask gets its share */
        entry = entry_of("", "", "", "offset", 6);
        put(writer, OFFSETS, &entry, i);
    }
    for (uint32_t i = 0; i < parallelism; i++) { /* each subtask has it */
        cairn_entry entry = entry_of("rule", "", "", "allow", 5);
        put(writer, RULES, &entry, 0);
    }
    return writer;
}

static void commit(cairn_writer *writer, cairn_savepoint_format format, const char *name)
{
    cairn_commit_options options = CAIRN_COMMIT_OPTIONS_INIT;
    char *made;
    options.format = format;
    options.name = name;
    OK(cairn_writer_commit(writer, store, &options, &made, reterr));
    ck_assert_str_eq(made, name);
    free(made);
    cairn_writer_close(writer);
}

static cairn_snapshot *open_snapshot(const char *name)
{
    cairn_snapshot *snapshot;
    OK(cairn_snapshot_open(store, name, 0, &snapshot, reterr));
    return snapshot;
}

static void expect_same_text(const char *found, const char *wanted)
{
    size_t at = 0;
    while (found[at] != '\0' && found[at] == wanted[at])
        at++;
    while (at > 0 && found[at - 1] != '\n')
        at--;
    ck_assert_msg(strcmp(found, wanted) == 0, "found  %.200s\nwanted %.200s", found + at,
                  wanted + at);
}

/* The savepoint holds just what `expected` says, in whichever order it is read. */
static void check(const char *name)
{
    cairn_snapshot *snapshot = open_snapshot(name);
    cairn_cat_options by_state = CAIRN_CAT_OPTIONS_INIT;
    by_state.by_state = 1;
    by_state.scratch_dir = scratch;
    crn_test_sort_lines((char *)expected.data);
    CRN_AUTO_FREE char *found = crn_test_entries(snapshot, NULL);
    expect_same_text(found, (const char *)expected.data);
    CRN_AUTO_FREE char *again = crn_test_entries(snapshot, &by_state);
    expect_same_text(again, (const char *)expected.data);
    cairn_snapshot_close(snapshot);
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    options.full = 1;
    OK(cairn_verify(store, name, &options, NULL, reterr));
}

/* Removes the expected lines that contain `text`. */
static void forget(const char *text)
{
    struct cairn_buffer kept = {0};
    ck_assert_int_eq(crn_buf_append(&kept, "", 0), 0);
    char *rest = NULL;
    for (char *line = strtok_r((char *)expected.data, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, text) == NULL)
            ck_assert_int_eq(crn_buf_printf(&kept, "%s\n", line), 0);
    }
    crn_buf_done(&expected);
    expected = kept;
}

START_TEST(from_nothing_everything_is_there)
{
    static const struct {
        uint32_t parallelism, max_parallelism;
    } shapes[] = {{1, 0}, {3, 7}, {2, 1000}};
    for (size_t i = 0; i < CRN_COUNT(shapes); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "shape-%d-%zu", _i, i);
        commit(fill(shapes[i].parallelism, shapes[i].max_parallelism), (cairn_savepoint_format)_i,
               name);
        check(name);
        cairn_snapshot *snapshot = open_snapshot(name);
        const cairn_record_info *record = cairn_snapshot_record(snapshot);
        ck_assert_int_eq(record->kind, CAIRN_RECORD_SAVEPOINT);
        ck_assert_int_eq(record->format, _i);
        ck_assert_uint_eq(record->id, 1);
        ck_assert_str_eq(cairn_snapshot_subtask(snapshot, 0, 0)->backend,
                         _i == CAIRN_CANONICAL ? "canonical" : "rocksdb");
        cairn_snapshot_close(snapshot);
    }
}
END_TEST

/* The other format of everything, and back; each time it is the only source of the next. */
START_TEST(formats_convert_into_each_other)
{
    commit(fill(2, 100), CAIRN_NATIVE, "native");
    cairn_snapshot *native = open_snapshot("native");
    commit(open_writer(native), CAIRN_CANONICAL, "canonical");
    cairn_snapshot_close(native);
    check("canonical");
    cairn_snapshot *canonical = open_snapshot("canonical");
    commit(open_writer(canonical), CAIRN_NATIVE, "native-again");
    commit(open_writer(canonical), CAIRN_CANONICAL, "copy");
    cairn_snapshot_close(canonical);
    check("native-again");
    check("copy");
    check("native");
}
END_TEST

START_TEST(edits_change_what_they_say)
{
    uint8_t number[8];
    char *name;
    commit(fill(2, 128), (cairn_savepoint_format)(_i % 2), "base");
    cairn_snapshot *base = open_snapshot("base");
    cairn_writer *writer = open_writer(base);

    cairn_encode_int64(-1, number);
    cairn_entry entry = entry_of("key-1", "", "", number, 8);
    forget("op/count value key-1|");
    put(writer, COUNT, &entry, 0);
    entry = entry_of("key-2", "", "", "third", 5);
    put(writer, VISITS, &entry, 2);
    entry = entry_of("key-3", "", "m0", NULL, 0);
    OK(cairn_writer_remove(writer, "op", "seen", &entry, reterr));
    forget("op/seen map key-3||m0 ");
    OK(cairn_writer_remove(writer, "op", "seen", &entry, reterr)); /* it is not there: fine */
    entry = entry_of("key-5", "", "", NULL, 0);
    OK(cairn_writer_remove(writer, "op", "friends", &entry, reterr));
    forget("op/friends list key-5|");
    entry = entry_of("", "", "", NULL, 0);
    OK(cairn_writer_remove(writer, "op", "positions", &entry, reterr));
    forget("op/positions ");
    entry = entry_of("rule", "", "", NULL, 0);
    OK(cairn_writer_remove(writer, "op", "rules", &entry, reterr));
    forget("op/rules ");
    OK(cairn_writer_remove_state(writer, "op", "sum", reterr));
    OK(cairn_writer_remove_state(writer, "op", "offsets", reterr));
    forget("op/sum ");
    forget("op/offsets ");

    cairn_commit_options options = CAIRN_COMMIT_OPTIONS_INIT;
    options.format = (cairn_savepoint_format)(_i / 2);
    OK(cairn_writer_commit(writer, store, &options, &name, reterr));
    ck_assert_str_eq(name, "savepoint-job-1");
    cairn_writer_close(writer);
    check(name);
    cairn_snapshot *made = open_snapshot(name);
    ck_assert_uint_eq(cairn_snapshot_operator(made, 0)->state_count, CRN_COUNT(states) - 2);
    cairn_snapshot_close(made);
    cairn_snapshot_close(base);
    free(name);
}
END_TEST

/* A new state has nothing of the one whose name it got, although kind and expiry differ. */
START_TEST(a_name_can_be_used_again)
{
    cairn_state_info list = {
        .name = "count", .kind = CAIRN_KIND_LIST, .value_type = CAIRN_STRING, .ttl_ms = 7};
    cairn_state_info other = {
        .name = "1/count", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_STRING};
    commit(fill((uint32_t)_i % 2 + 1, 128), (cairn_savepoint_format)(_i / 2), "base");
    cairn_snapshot *base = open_snapshot("base");
    for (int format = 0; format < 2; format++) {
        char name[32], line[256];
        cairn_writer *writer = open_writer(base);
        cairn_entry entry = entry_of("key-1", "", "", "new", 3);
        OK(cairn_writer_add_state(writer, "op", &other, NULL,
                                  reterr)); /* a name like one of ours */
        OK(cairn_writer_put(writer, "op", "1/count", &entry, 5, reterr));
        OK(cairn_writer_remove_state(writer, "op", "count", reterr));
        OK(cairn_writer_add_state(writer, "op", &list, NULL, reterr));
        OK(cairn_writer_put(writer, "op", "count", &entry, 5, reterr));
        OK(cairn_writer_remove_state(writer, "op", "count", reterr));
        OK(cairn_writer_add_state(writer, "op", &list, NULL, reterr));
        OK(cairn_writer_put(writer, "op", "count", &entry, 6, reterr));
        (void)snprintf(name, sizeof name, "again-%d", format);
        commit(writer, (cairn_savepoint_format)format, name);
        forget("/count ");
        crn_test_entry_line(line, sizeof line, "op", &list, &entry, 0, 6, "");
        ck_assert_int_eq(crn_buf_append(&expected, line, strlen(line)), 0);
        crn_test_entry_line(line, sizeof line, "op", &other, &entry, 0, 0, "");
        ck_assert_int_eq(crn_buf_append(&expected, line, strlen(line)), 0);
        check(name);
    }
    cairn_snapshot_close(base);
}
END_TEST

static void rename_lines(const char *from, const char *to)
{
    struct cairn_buffer renamed = {0};
    char *rest = NULL;
    for (char *line = strtok_r((char *)expected.data, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        ck_assert_int_eq(crn_buf_printf(&renamed, "%s%s\n", to, line + strlen(from)), 0);
    crn_buf_done(&expected);
    expected = renamed;
}

START_TEST(operators_come_and_go)
{
    cairn_error *error = NULL;
    commit(fill(2, 128), (cairn_savepoint_format)_i, "base");
    cairn_snapshot *base = open_snapshot("base");
    cairn_writer *writer = open_writer(base);
    OK(cairn_writer_rename_operator(writer, "op", "other", reterr));
    OK(cairn_writer_add_operator(writer, "op", NULL, reterr)); /* the name is free again */
    ck_assert_int_eq(cairn_writer_rename_operator(writer, "op", "other", &error), CAIRN_EEXIST);
    cairn_error_free(error);
    OK(cairn_writer_remove_operator(writer, "op", reterr));
    commit(writer, (cairn_savepoint_format)_i, "renamed");
    rename_lines("op", "other");
    check("renamed");
    cairn_snapshot *renamed = open_snapshot("renamed");
    writer = open_writer(renamed);
    OK(cairn_writer_remove_operator(writer, "other", reterr));
    commit(writer, (cairn_savepoint_format)_i, "empty");
    cairn_snapshot_close(renamed);
    renamed = open_snapshot("empty");
    ck_assert_uint_eq(cairn_snapshot_operators(renamed), 0);
    cairn_snapshot_close(renamed);
    cairn_snapshot_close(base);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Key groups
 * ------------------------------------------------------------------------------------------ */

static void check_groups(const char *name, uint32_t max_parallelism)
{
    cairn_snapshot *snapshot = open_snapshot(name);
    cairn_cat *cat;
    cairn_cat_entry entry;
    OK(cairn_cat_open(snapshot, NULL, &cat, reterr));
    ck_assert_uint_eq(cairn_snapshot_operator(snapshot, 0)->max_parallelism, max_parallelism);
    while (cairn_cat_next(cat, &entry, NULL) == 1) {
        const cairn_subtask_info *subtask = cairn_snapshot_subtask(snapshot, 0, entry.subtask);
        if (cairn_snapshot_state(snapshot, 0, entry.state)->kind >= CAIRN_KIND_OPERATOR_LIST)
            continue;
        ck_assert_uint_eq(entry.key_group,
                          crn_key_group_of(entry.entry.key, entry.entry.key_size, max_parallelism));
        ck_assert_uint_ge(entry.key_group, subtask->key_group_first);
        ck_assert_uint_le(entry.key_group, subtask->key_group_last);
    }
    cairn_cat_close(cat);
    cairn_snapshot_close(snapshot);
}

START_TEST(keys_get_new_groups)
{
    static const uint32_t sizes[] = {2, 64, 129, 32768, 128};
    char from[32] = "base", to[32];
    commit(fill(2, 128), (cairn_savepoint_format)_i, "base");
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        cairn_snapshot *base = open_snapshot(from);
        cairn_writer *writer = open_writer(base);
        OK(cairn_writer_set_max_parallelism(writer, "op", sizes[i], reterr));
        (void)snprintf(to, sizeof to, "groups-%" PRIu32, sizes[i]);
        commit(writer, (cairn_savepoint_format)_i, to);
        cairn_snapshot_close(base);
        check(to);
        check_groups(to, sizes[i]);
        (void)strcpy(from, to);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Jobs
 * ------------------------------------------------------------------------------------------ */

struct service {
    cairn_job *job;
    cairn_task *tasks[3];
    cairn_value *count[3];
    cairn_list *visits[3];
    cairn_operator_list *positions[3];
};

static int64_t at_write(void *context)
{
    (void)context;
    return WRITTEN_MS; /* nothing has expired */
}

static void start_service(struct service *service, const char *from, uint32_t parallelism)
{
    char local[96];
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    (void)snprintf(local, sizeof local, "%s/local", root);
    options.store = options.restore_store = store;
    options.restore_name = from;
    options.local_dir = local;
    options.now_ms = at_write;
    OK(cairn_job_open("service", &options, &service->job, reterr));
    for (uint32_t i = 0; i < parallelism; i++) {
        cairn_task_options task = CAIRN_TASK_OPTIONS_INIT;
        cairn_state_options expiring = CAIRN_STATE_OPTIONS_INIT;
        task.parallelism = parallelism;
        task.subtask = i;
        task.key_type = task.namespace_type = CAIRN_STRING;
        expiring.ttl_ms = 1000;
        OK(cairn_task_open(service->job, "op", &task, &service->tasks[i], reterr));
        OK(cairn_value_state(service->tasks[i], "count", CAIRN_INT64, NULL, &service->count[i],
                             reterr));
        OK(cairn_list_state(service->tasks[i], "visits", CAIRN_STRING, &expiring,
                            &service->visits[i], reterr));
        OK(cairn_operator_list_state(service->tasks[i], "positions", CAIRN_SPLIT, CAIRN_INT64,
                                     &service->positions[i], reterr));
    }
    OK(cairn_job_start(service->job, reterr));
}

static void check_service(struct service *service, uint32_t parallelism)
{
    size_t positions = 0;
    for (uint32_t i = 0; i < parallelism; i++) {
        size_t size = cairn_operator_list_size(service->positions[i]);
        ck_assert(size == 3 / parallelism || size == 3 / parallelism + 1);
        positions += size;
    }
    ck_assert_uint_eq(positions, 3);
    for (int64_t i = 0; i < KEYS; i++) {
        char key[32], ns[32];
        int64_t n = -1;
        int size = snprintf(key, sizeof key, "key-%" PRId64, i);
        int subtask = cairn_subtask_of_key(key, (size_t)size, parallelism, 128);
        cairn_task *task = service->tasks[subtask];
        ck_assert_int_eq(cairn_task_set_key(task, key, (size_t)size), 0);
        if (i % 4 == 0) {
            size = snprintf(ns, sizeof ns, "window %" PRId64, i % 8);
            ck_assert_int_eq(cairn_task_set_namespace(task, ns, (size_t)size), 0);
        }
        OK(cairn_value_get_int64(service->count[subtask], &n, reterr));
        ck_assert_int_eq(n, i * i);
        ck_assert_int_eq(cairn_list_load(service->visits[subtask], NULL), i % 3);
    }
}

/* Formats times parallelism of the service; the savepoint has 2. */
START_TEST(a_job_starts_from_it)
{
    struct service service = {0};
    uint32_t parallelism = (uint32_t)_i / 2 + 1;
    commit(fill(2, 128), (cairn_savepoint_format)(_i % 2), "base");
    start_service(&service, "base", parallelism);
    check_service(&service, parallelism);
    cairn_job_close(service.job);
    for (uint32_t i = 0; i < parallelism; i++)
        cairn_task_close(service.tasks[i]);
}
END_TEST

/* A checkpoint is a base like any other; neither it nor its job is changed. */
START_TEST(a_checkpoint_can_be_taken_over)
{
    struct service service = {0};
    uint8_t number[8];
    commit(fill(2, 128), CAIRN_NATIVE, "base");
    start_service(&service, "base", 1);
    ck_assert_int_eq(cairn_task_set_key(service.tasks[0], "key-1", 5), 0);
    OK(cairn_value_put_int64(service.count[0], 77, reterr));
    OK(cairn_task_checkpoint(service.tasks[0], NULL, NULL, reterr));
    CRN_AUTO_FREE char *before = crn_test_stored_entries(store, "service");
    cairn_snapshot *checkpoint = open_snapshot("service");
    cairn_writer *writer = open_writer(checkpoint);
    cairn_encode_int64(78, number);
    cairn_entry entry = entry_of("key-1", "", "", number, 8);
    OK(cairn_writer_put(writer, "op", "count", &entry, -1, reterr));
    commit(writer, (cairn_savepoint_format)_i, "made");
    CRN_AUTO_FREE char *after = crn_test_stored_entries(store, "service");
    CRN_AUTO_FREE char *made = crn_test_stored_entries(store, "made");
    ck_assert_str_eq(before, after);
    ck_assert_str_ne(before, made);
    ck_assert_uint_eq(strlen(before), strlen(made)); /* one value of many */
    cairn_snapshot_close(checkpoint);
    cairn_job_close(service.job);
    cairn_task_close(service.tasks[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer");
    TCase *tcase = tcase_create("writer");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, from_nothing_everything_is_there, 0, 2);
    tcase_add_test(tcase, formats_convert_into_each_other);
    tcase_add_loop_test(tcase, edits_change_what_they_say, 0, 4);
    tcase_add_loop_test(tcase, a_name_can_be_used_again, 0, 4);
    tcase_add_loop_test(tcase, operators_come_and_go, 0, 2);
    tcase_add_loop_test(tcase, keys_get_new_groups, 0, 2);
    tcase_add_loop_test(tcase, a_job_starts_from_it, 0, 6);
    tcase_add_loop_test(tcase, a_checkpoint_can_be_taken_over, 0, 2);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
