/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching files: large ones in ranges, slices of one object together, and what an earlier fetch
 * has left. Over a memory store that wants ranges, behind one that makes the k-th get fail, for
 * every k: either every file is there with the right bytes, or the error names the object and no
 * file has a name that it should not have (P8). How much is asked of the store is counted.
 */
#include "tests/support/fetch_kit.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/transfer/kept.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- ranges ---- */

START_TEST(a_large_object_comes_in_ranges)
{
    static const size_t sizes[] = {
        0, 1, RANGE, 2 * RANGE - 1, 2 * RANGE, 2 * RANGE + 1, 7 * RANGE + 9};
    static const uint64_t gets[] = {1, 1, 1, 1, 2, 3, 8};
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        kit_teardown();
        kit_setup();
        kit_add_file(sizes[i]);
        kit_count_gets();
        kit_expect_all((uint32_t)_i, NULL);
        ck_assert_uint_eq(crn_fault_store_calls(kit_store), gets[i]);
    }
}
END_TEST

START_TEST(a_store_that_does_not_ask_for_ranges_is_read_whole)
{
    cairn_store *memory;
    cairn_store_close(kit_store);
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    kit_open_store(memory, false);
    kit_add_file(7 * RANGE + 9);
    kit_count_gets();
    kit_expect_all(4, NULL);
    ck_assert_uint_eq(crn_fault_store_calls(kit_store), 1);
}
END_TEST

START_TEST(many_files_by_many_threads)
{
    for (size_t i = 0; i < FILES_MAX; i++)
        kit_add_file((i * 7919) % (5 * RANGE));
    for (int round = 0; round < 20; round++)
        kit_expect_all((uint32_t)_i, round % 2 == 0 ? NULL : kit_in_root("kept"));
}
END_TEST

/* The object's size is asked for first, so nothing is written for what cannot be right. */
START_TEST(an_object_of_another_size_is_named)
{
    static const size_t sizes[] = {0, RANGE, 4 * RANGE - 1, 4 * RANGE + 1};
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        kit_teardown();
        kit_setup();
        uint8_t *data = kit_make_file(4 * RANGE) != NULL ? calloc(1, 5 * RANGE) : NULL;
        ck_assert_ptr_nonnull(data);
        memcpy(data, kit_contents[0], 4 * RANGE);
        kit_put(kit_objects[0], data, sizes[i]);
        free(data);
        kit_count_gets();
        ck_assert_int_eq(kit_fetch(2, kit_in_root("kept"), &error), CAIRN_ECORRUPT);
        ck_assert_str_eq(cairn_error_object(error), "job/shared/e1-c1-1.sst");
        ck_assert_uint_eq(crn_fault_store_calls(kit_store), 0);
        ck_assert_uint_eq(kit_check_directory("to"), 0);
    }
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const char *key = "job/shared/e1-c1-1.sst";
    ck_assert_int_eq(kit_store->ops->remove(kit_store, &key, 1, NULL), 0);
    ck_assert_int_eq(kit_fetch(2, kit_in_root("kept"), &error), CAIRN_EMISSING);
}
END_TEST

/* ---- the k-th get ---- */

static const struct {
    enum crn_fault_mode mode;
    int code, expected;
    bool and_after;
} faults[] = {
    {CRN_FAULT_BEFORE, CAIRN_EIO, CAIRN_EIO, false},
    {CRN_FAULT_SHORT, CAIRN_EIO, CAIRN_EIO, false},
    {CRN_FAULT_SHORT, CAIRN_EUNAVAIL, 0, false},
    {CRN_FAULT_BEFORE, CAIRN_EUNAVAIL, CAIRN_EUNAVAIL, true},
    {CRN_FAULT_BEFORE, CAIRN_ENOTFOUND, CAIRN_EMISSING, false},
    {CRN_FAULT_FLIP, 0, CAIRN_ECORRUPT, false},
};

/* With one thread what has come before the failure is not asked for again. What was damaged on its
 * way cannot be told from what came before it, of a large object. */
static void check_next_start(size_t fault, uint64_t k, uint64_t gets, uint32_t threads)
{
    kit_count_gets();
    kit_expect_all(threads, kit_in_root("kept"));
    uint64_t calls = crn_fault_store_calls(kit_store);
    ck_assert_uint_le(calls, gets);
    if (threads == 1 && faults[fault].mode != CRN_FAULT_FLIP)
        ck_assert_uint_eq(calls, gets - (k - 1));
    kit_count_gets();
    kit_expect_all(threads, kit_in_root("kept"));
    ck_assert_uint_eq(crn_fault_store_calls(kit_store), 0);
}

START_TEST(a_get_that_fails_fails_the_fetch_and_is_made_up_for)
{
    const size_t fault = (size_t)_i / 2;
    const uint32_t threads = _i % 2 == 0 ? 1 : 4;
    uint64_t gets = kit_add_mixture();
    /* A store that stays away is asked four times each time, with pauses. */
    for (uint64_t k = 1; k <= gets; k += faults[fault].and_after ? gets - 1 : 1) {
        cairn_error *error = NULL;
        struct crn_fault_plan plan = {.ops = CRN_FAULT_GET,
                                      .mode = faults[fault].mode,
                                      .at = k,
                                      .code = faults[fault].code,
                                      .and_after = faults[fault].and_after};
        ck_assert_int_eq(crn_file_remove_tree(kit_in_root("kept"), NULL), 0);
        crn_fault_store_arm(kit_store, &plan);
        int r = kit_fetch(threads, kit_in_root("kept"), &error);
        ck_assert_msg(r == faults[fault].expected, "k = %d: %s: %s", (int)k, cairn_error_name(r),
                      cairn_error_message(error));
        ck_assert(crn_fault_store_fired(kit_store));
        ck_assert_int_eq(
            strncmp(r < 0 ? cairn_error_object(error) : "job/shared/", "job/shared/", 11), 0);
        size_t there = kit_check_directory("to");
        ck_assert(r < 0 ? there < kit_count : there == kit_count);
        cairn_error_free(error);
        if (r < 0)
            check_next_start(fault, k, gets, threads);
    }
}
END_TEST

/* ---- what is kept ---- */

static void flip_in(const char *path, uint64_t at)
{
    uint8_t byte;
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, (long)at, SEEK_SET), 0);
    ck_assert_uint_eq(fread(&byte, 1, 1, file), 1);
    byte ^= 4;
    ck_assert_int_eq(fseek(file, (long)at, SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(&byte, 1, 1, file), 1);
    ck_assert_int_eq(fclose(file), 0);
}

/* Whatever has become of what was kept: the files are right, and are asked for again at most. The
 * restored file is another name of the kept one, so it has to go first. */
START_TEST(kept_files_are_not_trusted)
{
    char *kept = NULL;
    kit_add_file(1000);
    kit_add_file(3 * RANGE);
    kit_expect_all(1, kit_in_root("kept"));
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(crn_kept_path(kit_in_root("kept"), &kit_files[i], "", &kept, NULL), 0);
        struct stat stat_buffer;
        ck_assert_int_eq(stat(kept, &stat_buffer), 0);
        ck_assert_uint_eq(stat_buffer.st_nlink, 2); /* takes no space of its own */
        for (int harm = 0; harm < 4; harm++) {
            ck_assert_int_eq(crn_file_remove_tree(kit_in_root("to"), NULL), 0);
            if (harm == 0)
                flip_in(kept, 999);
            else if (harm == 1)
                ck_assert_int_eq(truncate(kept, 999), 0);
            else
                ck_assert_int_eq(unlink(kept), 0);
            if (harm == 3)
                ck_assert_int_eq(symlink("/dev/null", kept), 0);
            kit_count_gets();
            kit_expect_all(1, kit_in_root("kept"));
            ck_assert_uint_eq(crn_fault_store_calls(kit_store), i == 0 ? 1 : 3);
        }
        free(CRN_TAKE(kept));
    }
}
END_TEST

/* A large object is cut short after two of its ranges; then its file is harmed. */
static void cut_short(char **ret_part)
{
    struct crn_fault_plan plan = {
        .ops = CRN_FAULT_GET, .mode = CRN_FAULT_BEFORE, .at = 3, .code = CAIRN_EIO};
    crn_fault_store_arm(kit_store, &plan);
    ck_assert_int_eq(kit_fetch(1, kit_in_root("kept"), NULL), CAIRN_EIO);
    ck_assert_uint_eq(kit_check_directory("to"), 0);
    ck_assert_int_eq(
        crn_kept_path(kit_in_root("kept"), &kit_files[0], CRN_KEPT_PARTIAL, ret_part, NULL), 0);
}

START_TEST(half_an_object_is_gone_on_with)
{
    static const uint64_t gets[] = {2, 2 + 4, 3, 4, 4, 4, 4};
    const char victim[] = "somebody else's";
    char path[300];
    char *part = NULL;
    uint64_t size = 4 * RANGE - 7;
    (void)snprintf(path, sizeof path, "%s/victim", kit_root);
    ck_assert_int_eq(crn_file_write_new(path, victim, strlen(victim), false, NULL), 0);
    kit_add_file(size);
    cut_short(&part);
    switch (_i) {
    case 1: /* a range that is there has lost its bytes: found by the sum in the end, and then all
             * come again */
        flip_in(part, RANGE + 3);
        break;
    case 2: /* a range is not marked: it comes again */
        flip_in(part, size + 8 + 1);
        break;
    case 3: /* of another size, as if the rest had never reached the disk */
        ck_assert_int_eq(truncate(part, (off_t)size), 0);
        break;
    case 4:
        ck_assert_int_eq(truncate(part, 0), 0);
        break;
    case 5: /* a size of ranges that cannot be */
        flip_in(part, size + 7);
        break;
    case 6: /* somebody else's */
        ck_assert_int_eq(unlink(part), 0);
        ck_assert_int_eq(symlink(path, part), 0);
        break;
    default:
        break;
    }
    kit_count_gets();
    kit_expect_all(1, kit_in_root("kept"));
    ck_assert_uint_eq(crn_fault_store_calls(kit_store), gets[_i]);
    uint8_t *data;
    size_t found;
    ck_assert_int_eq(crn_file_read_all(path, 100, &data, &found, NULL), 0);
    ck_assert_str_eq((const char *)data, victim);
    free(data);
    free(part);
}
END_TEST

START_TEST(what_is_of_no_use_is_removed)
{
    struct crn_record record = {0};
    struct crn_subtask subtask = {.files = kit_files, .file_count = 1};
    struct crn_operator op = {.subtasks = &subtask, .subtask_count = 1};
    record.operators = &op;
    record.operator_count = 1;
    kit_add_file(4 * RANGE);
    kit_add_file(500);
    kit_expect_all(2, kit_in_root("kept"));
    ck_assert_int_eq(crn_file_write_new(kit_in_root("kept/.part"), "x", 1, false, NULL), 0);
    ck_assert_int_eq(crn_file_write_new(kit_in_root("kept/x.partial"), "x", 1, false, NULL), 0);
    ck_assert_int_eq(crn_file_make_dirs(kit_in_root("kept/d/e"), NULL), 0);
    ck_assert_int_eq(crn_kept_prune(kit_in_root("kept"), &record, NULL), 0);
    char **found;
    size_t count;
    char name[CRN_KEPT_NAME_MAX];
    ck_assert(crn_kept_name(&kit_files[0], name));
    ck_assert_int_eq(crn_file_list_dir(kit_in_root("kept"), &found, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(found[0], name);
    crn_file_free_names(found, count);
    ck_assert_int_eq(crn_kept_prune(kit_in_root("kept"), NULL, NULL), 0);
    ck_assert_int_eq(rmdir(kit_in_root("kept")), 0);
    ck_assert_int_eq(crn_kept_prune(kit_in_root("kept"), &record, NULL), 0);
    ck_assert_uint_eq(kit_check_directory("to"), 2);
}
END_TEST

/* P8: the same bytes of another object do not stand for it. */
START_TEST(a_kept_file_stands_for_its_object_only)
{
    kit_add_file(700);
    kit_expect_all(1, kit_in_root("kept"));
    kit_files[0].info.object = "shared/e1-c1-77.sst";
    ck_assert_int_eq(kit_fetch(1, kit_in_root("kept"), NULL), CAIRN_EMISSING);
}
END_TEST

/* Two fetches of the same large object at once: both are right, whoever gets the kept file. */
struct fetcher {
    pthread_t thread;
    char name[8];
    const char *kept;
    int result;
};

static void *fetch_beside_others(void *arg)
{
    struct fetcher *fetcher = arg;
    struct crn_fetch_request request = {.store = kit_store,
                                        .job = "job",
                                        .files = kit_wanted,
                                        .count = kit_count,
                                        .directory = fetcher->name[0] != 0 ? fetcher->kept : NULL,
                                        .threads = 2,
                                        .kept = fetcher->kept};
    char directory[300];
    (void)snprintf(directory, sizeof directory, "%s/%s", kit_root, fetcher->name);
    request.directory = directory;
    fetcher->result = crn_fetch(&request, NULL, NULL);
    return NULL;
}

START_TEST(two_fetches_share_what_is_kept)
{
    struct fetcher fetchers[3];
    char kept[300];
    (void)snprintf(kept, sizeof kept, "%s/kept", kit_root);
    kit_add_file(9 * RANGE);
    kit_add_file(5 * RANGE);
    kit_add_file(50);
    for (int round = 0; round < 20; round++) {
        ck_assert_int_eq(crn_file_remove_tree(kept, NULL), 0);
        for (size_t i = 0; i < CRN_COUNT(fetchers); i++) {
            fetchers[i] = (struct fetcher){.kept = kept};
            (void)snprintf(fetchers[i].name, sizeof fetchers[i].name, "to%zu", i);
            ck_assert_int_eq(crn_file_make_dirs(kit_in_root(fetchers[i].name), NULL), 0);
            ck_assert_int_eq(crn_thread_start(&fetchers[i].thread, "fetcher", fetch_beside_others,
                                              &fetchers[i], NULL),
                             0);
        }
        for (size_t i = 0; i < CRN_COUNT(fetchers); i++) {
            ck_assert_int_eq(pthread_join(fetchers[i].thread, NULL), 0);
            ck_assert_int_eq(fetchers[i].result, 0);
            ck_assert_uint_eq(kit_check_directory(fetchers[i].name), kit_count);
            ck_assert_int_eq(crn_file_remove_tree(kit_in_root(fetchers[i].name), NULL), 0);
        }
    }
}
END_TEST

/* SIGKILL at the k-th get, for every k, and begun again: over a directory that is copied from. */
START_TEST(a_killed_fetch_is_gone_on_with)
{
    cairn_store *posix;
    cairn_store_close(kit_store);
    ck_assert_int_eq(
        crn_posix_store_open(kit_in_root("store"), CRN_TRANSFER_COPY, true, &posix, NULL), 0);
    kit_open_store(posix, true);
    uint64_t gets = kit_add_mixture();
    for (uint64_t k = 1; k <= gets; k++) {
        struct crn_fault_plan plan = {.ops = CRN_FAULT_GET, .mode = CRN_FAULT_KILL, .at = k};
        int status;
        ck_assert_int_eq(crn_file_remove_tree(kit_in_root("kept"), NULL), 0);
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            crn_fault_store_arm(kit_store, &plan);
            (void)kit_fetch(1, kit_in_root("kept"), NULL);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        kit_count_gets();
        kit_expect_all(1, kit_in_root("kept"));
        ck_assert_uint_eq(crn_fault_store_calls(kit_store), gets - (k - 1));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch");
    TCase *tcase = tcase_create("fetch");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, kit_setup, kit_teardown);
    tcase_add_loop_test(tcase, a_large_object_comes_in_ranges, 1, 9);
    tcase_add_test(tcase, a_store_that_does_not_ask_for_ranges_is_read_whole);
    tcase_add_loop_test(tcase, many_files_by_many_threads, 1, 9);
    tcase_add_test(tcase, an_object_of_another_size_is_named);
    tcase_add_loop_test(tcase, a_get_that_fails_fails_the_fetch_and_is_made_up_for, 0,
                        2 * (int)CRN_COUNT(faults));
    tcase_add_test(tcase, kept_files_are_not_trusted);
    tcase_add_loop_test(tcase, half_an_object_is_gone_on_with, 0, 7);
    tcase_add_test(tcase, what_is_of_no_use_is_removed);
    tcase_add_test(tcase, a_kept_file_stands_for_its_object_only);
    tcase_add_test(tcase, two_fetches_share_what_is_kept);
    tcase_add_test(tcase, a_killed_fetch_is_gone_on_with);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
