/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A RocksDB database that is built of loaded entries (backends/state/state.h: build()).
 *
 * Proves: after loads in several threads and any order, with small tables, under each way of
 * compaction, the database has exactly an oracle's entries (P2): when it is opened, when it was
 * written to, compacted, restored from a checkpoint, and put together anew by assemble(). Its
 * tables' sums are those of the files, also in the first checkpoint (P8). Empty states, no states,
 * hundreds of states and huge values are right. Loads that are out of order, overlap, were given up
 * or met a full disk make no database; what was given up leaves no file.
 */
#include "base/hash.h"
#include "base/thread.h"
#include "tests/support/state.h"

#include <signal.h>
#include <sys/resource.h>

#define GROUPS 128u
#define PER_GROUP 40u
#define VALUE_BYTES 600u /* a load is more than is written between two looks at the size */

static const cairn_state_info infos[] = {
    {.name = "value", .kind = CAIRN_KIND_VALUE},
    {.name = "list", .kind = CAIRN_KIND_LIST},
    {.name = "empty", .kind = CAIRN_KIND_MAP},
};
#define STATES CRN_COUNT(infos)
#define FILLED 2u /* of them: the first ones have entries */
static const atomic_bool never = false;

static struct crn_state_config config_at(const char *directory, const char *extra_options)
{
    return (struct crn_state_config){.directory = directory,
                                     .extra_options = extra_options,
                                     .states = infos,
                                     .state_count = STATES,
                                     .max_parallelism = GROUPS,
                                     .key_group_last = GROUPS - 1};
}

static struct crn_state_db *begin_build(const struct place *place, const char *extra_options)
{
    const struct crn_state_config config = config_at(place->db, extra_options);
    struct crn_state_db *db = NULL;
    ck_ok(crn_rocksdb_backend.build(&config, &db, reterr));
    return db;
}

static struct crn_state_db *open_built(const char *directory, const char *extra_options)
{
    struct crn_state_config config = config_at(directory, extra_options);
    config.restored = true;
    return open_db(&config);
}

/* ---- entries by number, the same each time ---- */

static size_t key_of(size_t i, uint8_t key[8])
{
    key[0] = (uint8_t)(i / PER_GROUP);
    return 1 + (size_t)snprintf((char *)key + 1, 7, "%04zu", i % PER_GROUP);
}

static void value_of(size_t state, size_t i, uint8_t value[VALUE_BYTES])
{
    for (size_t k = 0; k < VALUE_BYTES; k++) /* does not shrink much */
        value[k] = (uint8_t)((i + 1) * 0x9e3779b97f4a7c15u * (k + 1 + state) >> 56);
}

static void load_groups(struct crn_state_db *db, struct crn_state *state, size_t state_number,
                        uint32_t first, uint32_t last)
{
    struct crn_state_load *load = NULL;
    uint8_t key[8], value[VALUE_BYTES];
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    for (size_t i = first * PER_GROUP; i < (last + 1) * PER_GROUP; i++) {
        size_t size = key_of(i, key);
        value_of(state_number, i, value);
        ck_ok(db->ops->load_put(load, key, size, value, sizeof(value), reterr));
    }
    ck_ok(db->ops->load_end(load, true, reterr));
}

/* ck_assert tells the parent about each success, which is too slow for inner loops. */
static void must(bool ok, const char *what)
{
    if (!ok)
        ck_abort_msg("%s", what);
}

/* Of the key groups first..last: by iteration, and by get. `suffix` follows each value. */
static void assert_groups(struct crn_state_db *db, size_t state_number, uint32_t first,
                          uint32_t last, const char *suffix)
{
    struct crn_state *state = open_state(db, &infos[state_number]);
    struct crn_state_iterator *iterator = NULL;
    struct crn_pin pin = {0};
    const uint8_t *key, *value;
    size_t key_size, value_size;
    uint8_t wanted_key[8], wanted[VALUE_BYTES + 8];
    size_t wanted_size = VALUE_BYTES + strlen(suffix);
    ck_ok(db->ops->iterate(db, state, "", 0, &iterator, reterr));
    for (size_t i = first * PER_GROUP; i < (last + 1) * PER_GROUP; i++) {
        size_t size = key_of(i, wanted_key);
        value_of(state_number, i, wanted);
        memcpy(wanted + VALUE_BYTES, suffix, strlen(suffix));
        must(db->ops->next(iterator, &key, &key_size, &value, &value_size, NULL) == 1 &&
                 key_size == size && memcmp(key, wanted_key, size) == 0 &&
                 value_size == wanted_size && memcmp(value, wanted, wanted_size) == 0,
             "iteration differs");
        must(db->ops->get(db, state, wanted_key, size, &pin, NULL) == 1 &&
                 pin.size == wanted_size && memcmp(pin.data, wanted, wanted_size) == 0,
             "get differs");
    }
    ck_assert_int_eq(ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)),
                     0);
    db->ops->end(iterator);
    db->ops->unpin(&pin);
}

static void assert_all(struct crn_state_db *db, const char *list_suffix)
{
    assert_groups(db, 0, 0, GROUPS - 1, "");
    assert_groups(db, 1, 0, GROUPS - 1, list_suffix);
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[2]), ""), 0);
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), "zz"), 0);
}

struct part {
    struct crn_state_db *db;
    struct crn_state *state;
    size_t state_number;
    uint32_t first, last;
    pthread_t thread;
};

static void *load_part(void *arg)
{
    struct part *part = arg;
    load_groups(part->db, part->state, part->state_number, part->first, part->last);
    return NULL;
}

/* In threads, the last key groups first. */
static void build_all(const struct place *place, const char *extra_options)
{
    struct crn_state_db *db = begin_build(place, extra_options);
    struct crn_state *states[STATES]; /* opened by one thread */
    struct part parts[FILLED * 4];
    for (size_t s = 0; s < STATES; s++)
        states[s] = open_state(db, &infos[s]);
    for (size_t i = 0; i < CRN_COUNT(parts); i++) {
        uint32_t quarter = 3 - (uint32_t)i / FILLED;
        parts[i] = (struct part){.db = db,
                                 .state = states[i % FILLED],
                                 .state_number = i % FILLED,
                                 .first = quarter * GROUPS / 4,
                                 .last = (quarter + 1) * GROUPS / 4 - 1};
        ck_ok(crn_thread_start(&parts[i].thread, "build", load_part, &parts[i], reterr));
    }
    for (size_t i = 0; i < CRN_COUNT(parts); i++)
        ck_assert_int_eq(pthread_join(parts[i].thread, NULL), 0);
    ck_ok(crn_rocksdb_backend.build_end(db, reterr));
}

/* ---- checkpoints ---- */

static void take_checkpoint(const struct place *place, struct crn_state_db *db,
                            struct crn_capture *ret)
{
    struct crn_barrier barrier;
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    ck_ok(db->ops->capture(db, &barrier, place->capture, &never, ret, reterr));
    db->ops->release(db);
}

static size_t assert_sums(const struct place *place, const struct crn_capture *capture)
{
    size_t tables = 0;
    for (size_t i = 0; i < capture->count; i++) {
        const cairn_file_info *info = &capture->files[i].info;
        char path[700];
        uint8_t *data;
        size_t size;
        if (info->role != CAIRN_FILE_TABLE)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", place->capture, info->name);
        ck_ok(crn_file_read_all(path, SIZE_MAX, &data, &size, reterr));
        ck_assert(info->has_crc32c);
        ck_assert_uint_eq(info->crc32c, crn_crc32c(0, data, size));
        ck_assert_uint_eq(info->size, size);
        free(data);
        tables++;
    }
    return tables;
}

/* As a rescale does it: half of the key groups, out of the checkpoint's tables. */
static void assert_assembles(const struct place *place, const struct crn_capture *capture,
                             const char *extra_options)
{
    char directory[400];
    const cairn_file_info *tables[256];
    struct crn_assembly_source source = {
        .directory = place->capture, .tables = tables, .key_group_last = GROUPS - 1};
    struct crn_assembly assembly = {.directory = directory,
                                    .max_parallelism = GROUPS,
                                    .key_group_last = GROUPS / 2 - 1,
                                    .sources = &source,
                                    .source_count = 1};
    const uint8_t end[] = {GROUPS / 2};
    const struct crn_state_range keep = {.first = (const uint8_t *)"", .end = end, .end_size = 1};
    for (size_t i = 0; i < capture->count; i++)
        if (capture->files[i].info.role == CAIRN_FILE_TABLE) {
            ck_assert_uint_lt(source.table_count, CRN_COUNT(tables));
            tables[source.table_count++] = &capture->files[i].info;
        }
    snprintf(directory, sizeof(directory), "%s/half", place->root);
    ck_ok(crn_file_make_dirs(directory, reterr));
    ck_ok(crn_rocksdb_assemble(&assembly, reterr));
    ck_assert(!source.must_load);
    struct crn_state_db *db = open_built(directory, extra_options);
    ck_ok(db->ops->clip(db, &keep, reterr));
    for (size_t s = 0; s < FILLED; s++)
        assert_groups(db, s, 0, GROUPS / 2 - 1, "");
    db->ops->close(db);
    free(assembly.tables);
}

static void append_to_lists(struct crn_state_db *db)
{
    struct crn_state *list = open_state(db, &infos[1]);
    uint8_t key[8];
    for (size_t i = 0; i < GROUPS * PER_GROUP; i++) {
        size_t size = key_of(i, key);
        must(db->ops->append(db, list, key, size, "more", 4, NULL) == 0, "append");
    }
}

/* How tables are kept: on which level, and how many. */
static const char *const shapes[] = {
    NULL,
    "target_file_size_base=20000",
    "target_file_size_base=20000;level_compaction_dynamic_level_bytes=true",
    "target_file_size_base=20000;num_levels=3",
    "target_file_size_base=20000;compaction_style=kCompactionStyleUniversal;num_levels=1;disable_"
    "auto_compactions=true",
    "target_file_size_base=20000;compaction_style=kCompactionStyleUniversal",
};

START_TEST(built_is_what_was_loaded)
{
    const char *options = shapes[_i];
    struct place place = place_new();
    struct crn_capture capture;
    build_all(&place, options);

    struct crn_state_db *db = open_built(place.db, options);
    assert_all(db, "");
    take_checkpoint(&place, db, &capture);
    ck_assert_uint_ge(assert_sums(&place, &capture), FILLED * (options ? 8 : 4));
    assert_assembles(&place, &capture, options);
    crn_capture_done(&capture);
    ck_ok(crn_file_remove_tree(place.capture, reterr));

    append_to_lists(db); /* operands above loaded values */
    assert_all(db, "more");
    for (size_t s = 0; s < STATES; s++)
        compact(db, open_state(db, &infos[s]));
    assert_all(db, "more");
    put(db, open_state(db, &infos[2]), "\x05key", "value");
    put(db, open_state(db, &infos[0]),
        "\x05"
        "0000",
        "over");
    assert_value(db, open_state(db, &infos[0]),
                 "\x05"
                 "0000",
                 "over");
    remove_key(db, open_state(db, &infos[0]),
               "\x05"
               "0000");
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), ""), GROUPS * PER_GROUP - 1);

    take_checkpoint(&place, db, &capture);
    ck_assert_uint_ge(assert_sums(&place, &capture), 3);
    crn_capture_done(&capture);
    db->ops->close(db);
    db = open_built(place.capture, options);
    assert_groups(db, 1, 0, GROUPS - 1, "more");
    ck_assert_uint_eq(count_entries(db, open_state(db, &infos[0]), ""), GROUPS * PER_GROUP - 1);
    assert_value(db, open_state(db, &infos[2]), "\x05key", "value");
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(extremes)
{
    struct place place = place_new();
    struct crn_state_load *load = NULL;
    char key[16];

    ck_ok(crn_rocksdb_backend.build_end(begin_build(&place, NULL), reterr)); /* nothing at all */
    struct crn_state_config none = {.directory = place.db, .restored = true};
    struct crn_state_db *db = open_db(&none);
    put(db, open_state(db, &infos[0]), "k", "v");
    db->ops->close(db);
    ck_ok(crn_file_remove_tree(place.db, reterr));
    ck_ok(crn_file_make_dirs(place.db, reterr));

    enum { MANY = 300, HUGE = 24 << 20 };
    cairn_state_info many[MANY];
    char *huge = malloc(HUGE), names[MANY][16];
    ck_assert_ptr_nonnull(huge);
    for (size_t i = 0; i < HUGE; i++)
        huge[i] = (char)(i * 0x9e3779b97f4a7c15u >> 40);
    db = begin_build(&place, NULL);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "state-%zu", i);
        many[i] = (cairn_state_info){.name = names[i], .kind = CAIRN_KIND_VALUE};
        struct crn_state *state = open_state(db, &many[i]);
        ck_assert_ptr_eq(state, open_state(db, &many[i]));
        if (i % 2)
            continue;
        snprintf(key, sizeof(key), "%zu", i);
        ck_ok(db->ops->load_begin(db, state, &load, reterr));
        ck_ok(db->ops->load_put(load, "", 0, "", 0, reterr)); /* no key, and nothing in it */
        ck_ok(db->ops->load_put(load, key, strlen(key), key, strlen(key), reterr));
        if (i == 0)
            ck_ok(db->ops->load_put(load, "huge", 4, huge, HUGE, reterr));
        ck_ok(db->ops->load_end(load, true, reterr));
    }
    ck_ok(crn_rocksdb_backend.build_end(db, reterr));
    struct crn_state_config config = {
        .directory = place.db, .restored = true, .states = many, .state_count = MANY};
    db = open_db(&config);
    for (size_t i = 0; i < MANY; i++) {
        struct crn_state *state = open_state(db, &many[i]);
        ck_assert_uint_eq(count_entries(db, state, ""), i % 2 ? 0 : i == 0 ? 3 : 2);
        snprintf(key, sizeof(key), "%zu", i);
        assert_value(db, state, key, i % 2 ? NULL : key);
    }
    struct crn_pin pin = {0};
    ck_assert_int_eq(ck_ok(db->ops->get(db, open_state(db, &many[0]), "huge", 4, &pin, reterr)), 1);
    ck_assert_uint_eq(pin.size, HUGE);
    ck_assert(memcmp(pin.data, huge, HUGE) == 0);
    db->ops->unpin(&pin);
    db->ops->close(db);
    free(huge);
    place_remove(&place);
}
END_TEST

static size_t count_files(const char *directory)
{
    char **names = NULL;
    size_t count = 0;
    ck_ok(crn_file_list_dir(directory, &names, &count, reterr));
    crn_file_free_names(names, count);
    return count;
}

static struct crn_state_load *load_keys(struct crn_state_db *db, struct crn_state *state,
                                        const char *first, const char *last)
{
    struct crn_state_load *load = NULL;
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    ck_ok(db->ops->load_put(load, first, strlen(first), "v", 1, reterr));
    if (strcmp(first, last) != 0)
        ck_ok(db->ops->load_put(load, last, strlen(last), "v", 1, reterr));
    return load;
}

START_TEST(what_is_refused)
{
    static const struct {
        const char *a_first, *a_last, *b_first, *b_last;
        bool fits;
    } pairs[] = {
        {"b", "d", "a", "b", false},   {"b", "d", "d", "e", false}, {"b", "d", "c", "c", false},
        {"b", "d", "a", "e", false},   {"b", "d", "b", "d", false}, {"b", "b", "b", "b", false},
        {"b", "d", "a", "az", true},   {"b", "d", "da", "e", true}, {"b", "ba", "bb", "bc", true},
        {"b", "ba", "ba", "c", false},
    };
    for (size_t i = 0; i < CRN_COUNT(pairs); i++) {
        struct place place = place_new();
        struct crn_state_db *db = begin_build(&place, NULL);
        struct crn_state *state = open_state(db, &infos[0]), *other = open_state(db, &infos[1]);
        struct crn_state_load *loads[] = {
            load_keys(db, state, pairs[i].a_first, pairs[i].a_last),
            load_keys(db, state, pairs[i].b_first, pairs[i].b_last),
            load_keys(db, other, pairs[i].b_first, pairs[i].b_last), /* may overlap: not the same */
            load_keys(db, state, "a", "z")};                         /* given up */
        for (size_t k = 0; k < CRN_COUNT(loads); k++)
            ck_ok(db->ops->load_end(loads[k], k < 3, reterr));
        ck_assert_uint_eq(count_files(place.db), 3);
        if (pairs[i].fits)
            ck_ok(crn_rocksdb_backend.build_end(db, reterr));
        else
            ck_fails(crn_rocksdb_backend.build_end(db, reterr), CAIRN_EINVAL,
                     "loads of state 'value'");
        ck_assert_uint_eq(count_files(place.db), pairs[i].fits ? 5 : 3); /* CURRENT, MANIFEST */
        place_remove(&place);
    }

    struct place place = place_new();
    struct crn_state_db *db = begin_build(&place, NULL);
    const char *const later[] = {"k1", "k2"}; /* below the last one, and the same */
    for (size_t i = 0; i < CRN_COUNT(later); i++) {
        struct crn_state_load *load = load_keys(db, open_state(db, &infos[0]), "k2", "k2");
        ck_fails(db->ops->load_put(load, later[i], 2, "x", 1, reterr), CAIRN_EINVAL, "'value'");
        ck_fails(db->ops->load_put(load, "k3", 2, "x", 1, reterr), CAIRN_EINVAL, "failed before");
        ck_fails(db->ops->load_end(load, true, reterr), CAIRN_EINVAL, "failed before");
        ck_assert_uint_eq(count_files(place.db), 0);
    }
    db->ops->close(db); /* gives up */
    const struct crn_state_config bad = config_at(place.db, "merge_operator=x");
    ck_ok(crn_rocksdb_backend.build(&bad, &db, reterr));
    struct crn_state_load *load = NULL;
    ck_fails(db->ops->load_begin(db, open_state(db, &infos[0]), &load, reterr), CAIRN_EINVAL,
             "merge_operator");
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* A limit on the size of files does what a full disk does. */
START_TEST(write_errors)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    uint8_t key[8], value[VALUE_BYTES];
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (rlim_t limit = 0; limit < (rlim_t)300000; limit += 60000) {
        const struct rlimit low = {limit, RLIM_INFINITY};
        struct place place = place_new();
        struct crn_state_db *db = begin_build(&place, NULL);
        struct crn_state_load *load = NULL;
        cairn_error *error = NULL;
        int r = 0;
        ck_ok(db->ops->load_begin(db, open_state(db, &infos[0]), &load, reterr));
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
        for (size_t i = 0; i < GROUPS * PER_GROUP && r == 0; i++) {
            size_t size = key_of(i, key);
            value_of(0, i, value);
            r = db->ops->load_put(load, key, size, value, sizeof(value), &error);
        }
        int end = db->ops->load_end(load, true, r < 0 ? NULL : &error);
        if (end == 0) /* so little was written that nothing of it went wrong: then its MANIFEST */
            end = crn_rocksdb_backend.build_end(CRN_TAKE(db), &error);
        else
            db->ops->close(db);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        ck_assert_int_lt(end, 0);
        ck_assert_int_eq(cairn_error_code(error), CAIRN_EIO);
        cairn_error_free(error);
        char current[400];
        snprintf(current, sizeof(current), "%s/CURRENT", place.db);
        ck_assert_int_ne(access(current, F_OK), 0);
        place_remove(&place);
    }
    struct place place = place_new(); /* an empty database's MANIFEST, too */
    const struct rlimit low = {10, RLIM_INFINITY};
    struct crn_state_db *db = begin_build(&place, NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    ck_fails(crn_rocksdb_backend.build_end(db, reterr), CAIRN_EIO, "MANIFEST");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    place_remove(&place);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("state_build");
    TCase *c = tcase_create("builds");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, built_is_what_was_loaded, 0, CRN_COUNT(shapes));
    tcase_add_test(c, extremes);
    tcase_add_test(c, what_is_refused);
    tcase_add_test(c, write_errors);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
