/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves of the state backend in memory what engine tests take for granted: a capture holds exactly
 * what was there at its barrier (P2) while the writer goes on, tables stay the same files from
 * capture to capture (P4) but come and go, numbers are never used twice, a restore goes on from
 * there, and the same calls give the same bytes. What it answers to reads and writes is
 * test_keyed_model.c's.
 */

#include "tests/support/fake_state.h"
#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/thread.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ROUNDS 12

struct run {
    char root[64];
    struct crn_state_db *db;
    struct crn_state *state;
    int captures;
};

static void open_run(struct run *run, const char *directory)
{
    struct crn_state_config config = {.directory = directory, .restored = run->captures > 0};
    cairn_state_info info = {.name = "s", .kind = CAIRN_KIND_VALUE};
    MUST(crn_fake_state_open(&config, &run->db, ERR));
    MUST(run->db->ops->open_state(run->db, &info, &run->state, ERR));
}

static void start(struct run *run)
{
    char directory[96];
    *run = (struct run){.root = "/tmp/cairn-fake-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(run->root));
    (void)snprintf(directory, sizeof(directory), "%s/db", run->root);
    MUST(crn_file_make_dirs(directory, ERR));
    open_run(run, directory);
}

static void stop(struct run *run)
{
    run->db->ops->close(run->db);
    MUST(crn_file_remove_tree(run->root, ERR));
}

static void put(struct run *run, int key, int value)
{
    MUST(run->db->ops->put(run->db, run->state, &key, sizeof(key), &value, sizeof(value), ERR));
}

/* -1: absent. */
static int get(struct run *run, int key)
{
    struct crn_pin pin = {0};
    int value = -1;
    if (MUST(run->db->ops->get(run->db, run->state, &key, sizeof(key), &pin, ERR)) == 1)
        memcpy(&value, pin.data, sizeof(value));
    run->db->ops->unpin(&pin);
    return value;
}

static void capture_directory(const struct run *run, int n, char out[96])
{
    (void)snprintf(out, 96, "%s/capture-%d", run->root, n);
}

static struct crn_capture capture(struct run *run, const struct crn_barrier *barrier)
{
    struct crn_capture capture = {0};
    atomic_bool cancelled = false;
    char directory[96];
    capture_directory(run, ++run->captures, directory);
    MUST(run->db->ops->capture(run->db, barrier, directory, &cancelled, &capture, ERR));
    return capture;
}

/* Some writes and a capture, with one write between barrier and capture. */
static struct crn_capture one_round(struct run *run, int round)
{
    struct crn_barrier barrier;
    for (int i = 0; i < 20; i++)
        put(run, (round * 7 + i * 3) % 50, round);
    int gone = round % 50;
    MUST(run->db->ops->remove(run->db, run->state, &gone, sizeof(gone), ERR));
    MUST(run->db->ops->barrier(run->db, &barrier, ERR));
    put(run, 1000, round);
    struct crn_capture captured = capture(run, &barrier);
    for (size_t i = 0; i < captured.count; i++)
        if (captured.files[i].info.role == CAIRN_FILE_TABLE)
            ck_assert_uint_le(captured.files[i].info.sequence_last, barrier.sequence);
    run->db->ops->release(run->db);
    return captured;
}

static const cairn_file_info *find(const struct crn_capture *capture, const char *name)
{
    for (size_t i = 0; i < capture->count; i++)
        if (strcmp(capture->files[i].info.name, name) == 0)
            return &capture->files[i].info;
    return NULL;
}

static void check_file(const struct run *run, const cairn_file_info *info)
{
    char directory[96], path[256];
    uint8_t *data;
    size_t size;
    capture_directory(run, run->captures, directory);
    (void)snprintf(path, sizeof(path), "%s/%s", directory, info->name);
    MUST(crn_file_read_all(path, (size_t)1 << 24, &data, &size, ERR));
    ck_assert_uint_eq(size, info->size);
    if (info->role == CAIRN_FILE_TABLE) {
        ck_assert_uint_eq(info->has_crc32c, 1);
        ck_assert_uint_eq(crn_crc32c(0, data, size), info->crc32c);
        ck_assert_str_eq(info->state, "s");
        ck_assert_int_le(memcmp(info->smallest, info->largest, sizeof(int)), 0);
    }
    free(data);
}

START_TEST(files_come_and_go)
{
    struct run run;
    struct crn_capture before = {0};
    int shared = 0, gone = 0;
    uint64_t highest = 0;
    start(&run);
    for (int round = 1; round <= ROUNDS; round++) {
        struct crn_capture now = one_round(&run, round);
        uint64_t highest_now = highest;
        for (size_t i = 0; i < now.count; i++) {
            const cairn_file_info *info = &now.files[i].info, *old = find(&before, info->name);
            check_file(&run, info);
            if (info->role != CAIRN_FILE_TABLE)
                continue;
            shared += old != NULL;
            ck_assert(old != NULL ? old->crc32c == info->crc32c && old->size == info->size
                                  : info->number > highest);
            highest_now = info->number > highest_now ? info->number : highest_now;
        }
        for (size_t i = 0; i < before.count; i++)
            gone += find(&now, before.files[i].info.name) == NULL;
        highest = highest_now;
        ck_assert_ptr_nonnull(find(&now, "CURRENT"));
        crn_capture_done(&before);
        before = now;
    }
    ck_assert_int_gt(shared, ROUNDS);
    ck_assert_int_gt(gone, 4);

    /* What the last capture holds, and numbers that go on. */
    char directory[96];
    capture_directory(&run, run.captures, directory);
    run.db->ops->close(run.db);
    open_run(&run, directory);
    ck_assert_int_eq(get(&run, 1000), ROUNDS - 1);
    ck_assert_int_eq(get(&run, ROUNDS), -1);
    ck_assert_int_eq(get(&run, (ROUNDS * 7 + 3) % 50), ROUNDS);
    struct crn_capture after = one_round(&run, ROUNDS + 1);
    for (size_t i = 0; i < after.count; i++)
        ck_assert(find(&before, after.files[i].info.name) != NULL ||
                  after.files[i].info.role != CAIRN_FILE_TABLE ||
                  after.files[i].info.number > highest);
    crn_capture_done(&before);
    crn_capture_done(&after);
    stop(&run);
}
END_TEST

START_TEST(same_calls_same_bytes)
{
    struct run runs[2];
    start(&runs[0]);
    start(&runs[1]);
    for (int round = 1; round <= ROUNDS; round++) {
        struct crn_capture a = one_round(&runs[0], round), b = one_round(&runs[1], round);
        ck_assert_uint_eq(a.count, b.count);
        for (size_t i = 0; i < a.count; i++) {
            ck_assert_str_eq(a.files[i].info.name, b.files[i].info.name);
            ck_assert_uint_eq(a.files[i].info.size, b.files[i].info.size);
            ck_assert_uint_eq(a.files[i].info.crc32c, b.files[i].info.crc32c);
        }
        crn_capture_done(&a);
        crn_capture_done(&b);
    }
    stop(&runs[0]);
    stop(&runs[1]);
}
END_TEST

START_TEST(canceled_and_damaged)
{
    struct run run;
    struct crn_barrier barrier;
    struct crn_capture none = {0};
    atomic_bool cancelled = true;
    char directory[96], path[256];
    start(&run);
    put(&run, 1, 1);
    MUST(run.db->ops->barrier(run.db, &barrier, ERR));
    (void)snprintf(directory, sizeof(directory), "%s/canceled", run.root);
    MUST_FAIL(CAIRN_ECANCELED, "canceled",
              run.db->ops->capture(run.db, &barrier, directory, &cancelled, &none, ERR));
    ck_assert_ptr_null(none.files);
    run.db->ops->release(run.db);

    /* What the canceled one would have held is in the next. */
    MUST(run.db->ops->barrier(run.db, &barrier, ERR));
    struct crn_capture captured = capture(&run, &barrier);
    capture_directory(&run, run.captures, directory);
    (void)snprintf(path, sizeof(path), "%s/%s", directory, captured.files[0].info.name);
    run.db->ops->close(run.db);
    open_run(&run, directory);
    ck_assert_int_eq(get(&run, 1), 1);

    struct crn_state_config config = {.directory = directory, .restored = true};
    struct crn_state_db *db;
    uint64_t size;
    MUST(crn_file_size(path, &size, ERR));
    ck_assert_int_eq(truncate(path, (off_t)size - 1), 0);
    MUST_FAIL(CAIRN_ECORRUPT, "not a file of the fake", crn_fake_state_open(&config, &db, ERR));
    crn_capture_done(&captured);
    stop(&run);
}
END_TEST

struct background {
    struct run *run;
    struct crn_barrier barrier;
};

static void *capture_in_background(void *arg)
{
    struct background *background = arg;
    struct crn_state_stats stats;
    struct crn_capture captured = capture(background->run, &background->barrier);
    background->run->db->ops->stats(background->run->db, &stats);
    background->run->db->ops->release(background->run->db);
    crn_capture_done(&captured);
    return NULL;
}

/* For TSan: the writer writes and reads while a capture is taken. */
START_TEST(writer_goes_on)
{
    struct run run;
    char directory[96];
    start(&run);
    for (int round = 1; round <= ROUNDS; round++) {
        struct background background = {.run = &run};
        pthread_t thread;
        for (int key = 0; key < 300; key++)
            put(&run, key, round);
        MUST(run.db->ops->barrier(run.db, &background.barrier, ERR));
        MUST(crn_thread_start(&thread, "capture", capture_in_background, &background, ERR));
        char name[16];
        struct crn_state *another;
        (void)snprintf(name, sizeof(name), "s%d", round);
        cairn_state_info info = {.name = name, .kind = CAIRN_KIND_VALUE};
        MUST(run.db->ops->open_state(run.db, &info, &another, ERR));
        for (int key = 0; key < 300; key++) {
            put(&run, key, -round);
            ck_assert_int_eq(get(&run, key), -round);
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    capture_directory(&run, run.captures, directory);
    run.db->ops->close(run.db);
    open_run(&run, directory);
    for (int key = 0; key < 300; key++)
        ck_assert_int_eq(get(&run, key), ROUNDS);
    stop(&run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fake-state");
    TCase *tcase = tcase_create("fake state");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, files_come_and_go);
    tcase_add_test(tcase, same_calls_same_bytes);
    tcase_add_test(tcase, canceled_and_damaged);
    tcase_add_test(tcase, writer_goes_on);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
