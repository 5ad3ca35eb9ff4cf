/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk load of the RocksDB backend (backends/state/state.h).
 *
 * Proves: loaded entries are there all at once, in several tables, from several threads, or not at
 * all; a load that would change what is there, or what a snapshot or a checkpoint in flight must
 * not see, is refused and leaves the database as it was, and so does a disk that takes no more.
 * What a checkpoint after a load captures has the right checksums and passes the proof (P2, P8).
 */
#include "base/hash.h"
#include "tests/support/state.h"

#include <signal.h>
#include <sys/resource.h>

static const cairn_state_info value_info = {.name = "value", .kind = CAIRN_KIND_VALUE};
static const cairn_state_info list_info = {.name = "list", .kind = CAIRN_KIND_LIST};
static const atomic_bool never = false;

#define LOADED 3000u

static size_t load_key(size_t i, char out[16])
{
    return (size_t)snprintf(out, 16, "k%06zu", i);
}

static struct crn_state_load *begin_load(struct crn_state_db *db, struct crn_state *state)
{
    struct crn_state_load *load = NULL;
    ck_ok(db->ops->load_begin(db, state, &load, reterr));
    return load;
}

static int put_range(struct crn_state_db *db, struct crn_state_load *load, size_t first, size_t end,
                     cairn_error **reterr)
{
    char key[16];
    uint64_t value[25];
    for (size_t i = first; i < end; i++) {
        for (size_t k = 0; k < CRN_COUNT(value); k++)
            value[k] = (i + 1) * 0x9e3779b97f4a7c15u * (k + 1); /* does not shrink */
        CRN_TRY(db->ops->load_put(load, key, load_key(i, key), value, sizeof(value), reterr));
    }
    return 0;
}

static void load_range(struct crn_state_db *db, struct crn_state *state, size_t first, size_t end)
{
    struct crn_state_load *load = begin_load(db, state);
    ck_ok(put_range(db, load, first, end, reterr));
    ck_assert_uint_eq(count_entries(db, state, "k"), 0); /* nothing as yet */
    ck_ok(db->ops->load_end(load, true, reterr));
}

static void assert_loaded(struct crn_state_db *db, struct crn_state *state, size_t first,
                          size_t end)
{
    struct crn_pin pin = {0};
    char key[16];
    uint64_t value;
    for (size_t i = first; i < end; i++) {
        ck_assert_int_eq(ck_ok(db->ops->get(db, state, key, load_key(i, key), &pin, reterr)), 1);
        ck_assert_uint_eq(pin.size, 200);
        memcpy(&value, pin.data, sizeof(value));
        ck_assert_uint_eq(value, (i + 1) * 0x9e3779b97f4a7c15u);
    }
    db->ops->unpin(&pin);
    ck_assert_uint_eq(count_entries(db, state, "k"), end - first);
}

static size_t count_files(const char *directory, const char *prefix)
{
    char **names = NULL;
    size_t count = 0, found = 0;
    ck_ok(crn_file_list_dir(directory, &names, &count, reterr));
    for (size_t i = 0; i < count; i++)
        found += strncmp(names[i], prefix, strlen(prefix)) == 0;
    crn_file_free_names(names, count);
    return found;
}

/* A checkpoint now: the tables' sums are those of the files, the proof holds, and all is in it. */
static void assert_capture(const struct place *place, struct crn_state_db *db, size_t tables_min,
                           const cairn_state_info *infos, size_t count)
{
    struct crn_barrier barrier;
    struct crn_capture capture;
    size_t tables = 0;
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    ck_ok(db->ops->capture(db, &barrier, place->capture, &never, &capture, reterr));
    db->ops->release(db);
    for (size_t i = 0; i < capture.count; i++) {
        const cairn_file_info *info = &capture.files[i].info;
        char path[700];
        uint8_t *data;
        size_t size;
        if (info->role != CAIRN_FILE_TABLE)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", place->capture, info->name);
        ck_ok(crn_file_read_all(path, SIZE_MAX, &data, &size, reterr));
        ck_assert(info->has_crc32c);
        ck_assert_uint_eq(info->crc32c, crn_crc32c(0, data, size));
        ck_assert_uint_le(info->sequence_last, barrier.sequence);
        free(data);
        tables++;
    }
    crn_capture_done(&capture);
    ck_assert_uint_ge(tables, tables_min);
    struct crn_state_config config = {.directory = place->capture,
                                      .restored = true,
                                      .read_only = true,
                                      .states = infos,
                                      .state_count = count};
    struct crn_state_db *copy = open_db(&config);
    assert_loaded(copy, open_state(copy, &infos[0]), 0, LOADED);
    copy->ops->close(copy);
    ck_ok(crn_file_remove_tree(place->capture, reterr));
}

START_TEST(load_and_checkpoint)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db,
                                      .extra_options = "target_file_size_base=65536"};
    const cairn_state_info infos[] = {value_info, list_info};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    load_range(db, state, 0, LOADED);
    ck_assert_uint_eq(count_files(place.db, "load-"), 0);
    ck_assert_uint_ge(count_files(place.db, "0"), 2); /* several tables */
    assert_loaded(db, state, 0, LOADED);
    assert_capture(&place, db, 2, infos, 1);

    /* And the database goes on: others may write around it, and over it. */
    put(db, state, "a", "1");
    put(db, state, "z", "1");
    ck_ok(db->ops->append(db, open_state(db, &list_info), "k", 1, "x", 1, reterr));
    assert_capture(&place, db, 3, infos, 2);
    compact(db, state);
    assert_capture(&place, db, 1, infos, 2);
    put(db, state, "k000000", "over");
    assert_value(db, state, "k000000", "over");
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

struct loading {
    struct crn_state_db *db;
    struct crn_state *state;
    size_t first, end;
    int result;
};

static void *load_thread(void *arg)
{
    struct loading *l = arg;
    struct crn_state_load *load = NULL;
    l->result = l->db->ops->load_begin(l->db, l->state, &load, NULL);
    if (l->result == 0)
        l->result = put_range(l->db, load, l->first, l->end, NULL);
    int r = l->db->ops->load_end(load, l->result == 0, NULL);
    l->result = l->result < 0 ? l->result : r;
    return NULL;
}

/* Ranges in the middle of what is there already, in files and in memtables. */
START_TEST(loads_in_threads)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    const cairn_state_info other_info = {.name = "other", .kind = CAIRN_KIND_VALUE};
    const cairn_state_info infos[] = {value_info, other_info};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info), *other = open_state(db, &other_info);
    put(db, state, "a", "1");
    put(db, state, "z", "1");
    flush_all(db);
    put(db, state, "b", "1");
    put(db, state, "y", "1");
    struct loading loads[] = {{db, state, 0, 1000, 0},
                              {db, state, 1000, 1001, 0},
                              {db, state, 1001, LOADED, 0},
                              {db, other, 0, LOADED, 0}};
    pthread_t threads[CRN_COUNT(loads)];
    for (size_t i = 0; i < CRN_COUNT(loads); i++)
        ck_ok(crn_thread_start(&threads[i], "load", load_thread, &loads[i], reterr));
    for (size_t i = 0; i < CRN_COUNT(loads); i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(loads[i].result, 0);
    }
    assert_loaded(db, state, 0, LOADED);
    assert_loaded(db, other, 0, LOADED);
    ck_assert_uint_eq(count_entries(db, state, ""), LOADED + 4);
    assert_capture(&place, db, 5, infos, 2);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

START_TEST(loads_are_refused)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    struct crn_state_snapshot *snapshot = NULL;

    struct crn_state_load *load = begin_load(db, state);
    ck_ok(db->ops->load_put(load, "k2", 2, "x", 1, reterr));
    ck_fails(db->ops->load_put(load, "k1", 2, "x", 1, reterr), CAIRN_EINVAL, "'value'");
    ck_fails(db->ops->load_put(load, "k3", 2, "x", 1, reterr), CAIRN_EINVAL, "failed before");
    ck_fails(db->ops->load_end(load, true, reterr), CAIRN_EINVAL, "failed before");

    load = begin_load(db, state); /* forgotten */
    ck_ok(put_range(db, load, 0, 10, reterr));
    ck_ok(db->ops->load_end(load, false, reterr));
    load = begin_load(db, state); /* nothing to load */
    ck_ok(db->ops->load_end(load, true, reterr));

    for (unsigned int flushed = 0; flushed < 2; flushed++) { /* keys that are there */
        put(db, state, "k000005", "mine");
        if (flushed)
            flush_all(db);
        load = begin_load(db, state);
        ck_ok(put_range(db, load, 0, 10, reterr));
        ck_fails(db->ops->load_end(load, true, reterr), CAIRN_EINVAL, "bulk load");
        assert_value(db, state, "k000005", "mine");
        ck_assert_uint_eq(count_entries(db, state, ""), 1);
    }

    ck_ok(db->ops->snapshot(db, &snapshot, reterr)); /* must not see them later */
    load = begin_load(db, state);
    ck_ok(put_range(db, load, 10, 20, reterr));
    ck_fails(db->ops->load_end(load, true, reterr), CAIRN_EINVAL, "bulk load");
    db->ops->release_snapshot(snapshot);

    struct crn_barrier barrier; /* nor the checkpoint that is being taken */
    ck_ok(db->ops->barrier(db, &barrier, reterr));
    load = begin_load(db, state);
    ck_ok(put_range(db, load, 10, 20, reterr));
    ck_fails(db->ops->load_end(load, true, reterr), CAIRN_EBUSY, "captured");
    db->ops->release(db);

    ck_assert_uint_eq(count_files(place.db, "load-"), 0);
    ck_assert_uint_eq(count_entries(db, state, ""), 1);
    put(db, state, "l", "2");
    flush_all(db);
    load = begin_load(db, state);
    ck_ok(put_range(db, load, 10, 20, reterr));
    ck_ok(db->ops->load_end(load, true, reterr));
    ck_assert_uint_eq(count_entries(db, state, ""), 12);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

/* A limit on the size of files does what a full disk does. */
START_TEST(write_errors)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    const cairn_state_info infos[] = {value_info};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &value_info);
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (rlim_t limit = 0; limit < (rlim_t)300000; limit += 60000) {
        const struct rlimit low = {limit, RLIM_INFINITY};
        cairn_error *error = NULL;
        struct crn_state_load *load = begin_load(db, state);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
        int r = put_range(db, load, 0, LOADED, &error);
        int end = db->ops->load_end(load, true, r < 0 ? NULL : &error);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        ck_assert_int_lt(end, 0);
        ck_assert_int_eq(cairn_error_code(error), CAIRN_EIO);
        ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "bulk load of state 'value'"));
        cairn_error_free(error);
        ck_assert_uint_eq(count_files(place.db, "load-"), 0);
        ck_assert_uint_eq(count_entries(db, state, ""), 0);
    }
    load_range(db, state, 0, LOADED);
    assert_capture(&place, db, 1, infos, 1);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("state_load");
    TCase *c = tcase_create("loads");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, load_and_checkpoint);
    tcase_add_test(c, loads_in_threads);
    tcase_add_test(c, loads_are_refused);
    tcase_add_test(c, write_errors);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
