/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves what engine/savepoint/directory.h promises of a savepoint's directory and of intents, over
 * a memory store with every fault that a store may have:
 *   - a name is a job's name, tells jobs and ids apart, and does not cut a character in two;
 *   - publish creates the manifest once, settles lost replies, and refuses what it finds;
 *   - a withdrawal never leaves a manifest without its objects, wherever it fails (P1);
 *   - an intent settles exactly what its id and epoch put, nothing of a whole savepoint, and is an
 *     error when damaged (P6, P11).
 */
#include "base/text.h"
#include "cairn/inspect.h"
#include "engine/log/joblog.h"
#include "engine/savepoint/directory.h"
#include "tests/support/stores.h"

#include <stdio.h>
#include <string.h>

static cairn_store *store; /* a fault store around a memory store */

static void setup(void)
{
    cairn_store *memory = NULL;
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    ck_assert_int_eq(crn_fault_store_open(memory, &store, NULL), 0);
}

static void teardown(void)
{
    cairn_store_close(store);
}

static void arm(unsigned ops, enum crn_fault_mode mode, uint64_t at, bool and_after, int code)
{
    crn_fault_store_arm(
        store, &(struct crn_fault_plan){
                   .ops = ops, .mode = mode, .at = at, .and_after = and_after, .code = code});
}

static void disarm(void)
{
    arm(0, CRN_FAULT_NEVER, 0, false, 0);
}

static bool has(const char *key)
{
    cairn_object_stat stat;
    return store->ops->stat(store, key, &stat, NULL) == 0;
}

static char *name_of(const char *job, uint64_t id)
{
    char *name = NULL;
    ck_assert_int_eq(crn_savepoint_name(job, id, &name, NULL), 0);
    ck_assert(crn_text_is_job_name(name));
    return name;
}

START_TEST(test_names_are_job_names_and_differ)
{
    char longest[129], other[129], accents[129];
    memset(longest, 'j', 128);
    longest[128] = 0;
    memcpy(other, longest, sizeof other);
    other[127] = 'k'; /* differs where the name is cut */
    accents[0] = 'x'; /* so that characters of two bytes straddle every even length */
    for (int i = 1; i < 127; i += 2)
        memcpy(accents + i, "\xc3\xa9", 2);
    accents[127] = 0;
    char *names[] = {name_of("orders", 1),         name_of("orders", 11), name_of("orders-1", 1),
                     name_of(longest, UINT64_MAX), name_of(longest, 1),   name_of(other, 1),
                     name_of(accents, UINT64_MAX)};
    ck_assert_str_eq(names[0], "savepoint-orders-1");
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(names[i], names[j]);
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        free(names[i]);
}
END_TEST

START_TEST(test_anything_below_the_name_is_in_the_way)
{
    ck_assert_int_eq(crn_savepoint_check_absent(store, "savepoint-a-1", NULL), 0);
    stores_put_text(store, "savepoint-a-11/note", "of another one");
    ck_assert_int_eq(crn_savepoint_check_absent(store, "savepoint-a-1", NULL), 0);
    stores_put_text(store, "savepoint-a-1/deep/note", "the user's");
    ck_assert_int_eq(crn_savepoint_check_absent(store, "savepoint-a-1", NULL), CAIRN_EEXIST);
    arm(CRN_FAULT_LIST, CRN_FAULT_BEFORE, 1, false, CAIRN_EACCES);
    ck_assert_int_eq(crn_savepoint_check_absent(store, "savepoint-a-2", NULL), CAIRN_EACCES);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Publishing and withdrawing
 * ------------------------------------------------------------------------------------------ */

#define DIR "savepoint-a-7"

static struct crn_record *new_record(uint8_t uuid)
{
    struct crn_record *record = crn_record_new();
    ck_assert_ptr_nonnull(record);
    record->info.id = 7;
    record->info.kind = CAIRN_RECORD_SAVEPOINT;
    record->info.epoch = 2;
    record->info.log_start = 7;
    memset(record->info.uuid, uuid, sizeof record->info.uuid);
    record->job = crn_str_dup_n("a", 1);
    crn_record_finish(record);
    return record;
}

START_TEST(test_publish_settles_lost_replies_and_refuses_another)
{
    struct crn_record *mine = new_record(1), *other = new_record(2);
    arm(CRN_FAULT_CREATE, CRN_FAULT_LOST_REPLY, 1, false, 0);
    ck_assert_int_eq(crn_savepoint_publish(store, DIR, mine, NULL), 0);
    disarm();
    ck_assert(has(DIR "/MANIFEST-chk7"));
    /* Again, as after an outcome that was not known: the same. */
    ck_assert_int_eq(crn_savepoint_publish(store, DIR, mine, NULL), 0);
    ck_assert_int_eq(crn_savepoint_publish(store, DIR, other, NULL), CAIRN_EEXIST);
    struct crn_record *found = NULL;
    ck_assert_int_eq(crn_joblog_read_record(store, DIR, 7, &found, NULL, NULL, NULL), 0);
    ck_assert_mem_eq(found->info.uuid, mine->info.uuid, 16);
    crn_record_free(found);
    crn_record_free(mine);
    crn_record_free(other);
}
END_TEST

START_TEST(test_publish_flushes_before_it_creates)
{
    struct crn_record *record = new_record(1);
    arm(CRN_FAULT_FLUSH, CRN_FAULT_BEFORE, 1, true, CAIRN_EIO);
    ck_assert_int_eq(crn_savepoint_publish(store, DIR, record, NULL), CAIRN_EIO);
    ck_assert(!has(DIR "/MANIFEST-chk7"));
    crn_record_free(record);
}
END_TEST

START_TEST(test_publish_never_guesses)
{
    struct crn_record *record = new_record(1);
    arm(CRN_FAULT_CREATE | CRN_FAULT_GET, CRN_FAULT_LOST_REPLY, 1, true, CAIRN_EUNKNOWN);
    ck_assert_int_eq(crn_savepoint_publish(store, DIR, record, NULL), CAIRN_EUNKNOWN);
    /* Nothing happened and the store says so. */
    arm(CRN_FAULT_CREATE, CRN_FAULT_BEFORE, 1, true, CAIRN_EUNAVAIL);
    ck_assert_int_eq(crn_savepoint_publish(store, "savepoint-a-8", record, NULL), CAIRN_EUNAVAIL);
    ck_assert(!has("savepoint-a-8/MANIFEST-chk7"));
    crn_record_free(record);
}
END_TEST

/* Wherever it fails, what is left is whole or has no manifest; another try takes it all. */
START_TEST(test_withdrawal_takes_the_manifest_first)
{
    char a[] = "chk-7/e2-c7-1-a", b[] = "chk-7/e2-c7-2-b", never[] = "chk-7/e2-c7-3-never-put";
    char *keys[] = {a, b, never};
    static const enum crn_fault_mode modes[] = {CRN_FAULT_BEFORE, CRN_FAULT_SHORT,
                                                CRN_FAULT_LOST_REPLY};
    for (size_t m = 0; m < CRN_COUNT(modes); m++)
        for (uint64_t at = 1;; at++) {
            struct crn_record *record = new_record(1);
            disarm();
            stores_put_text(store, DIR "/chk-7/e2-c7-1-a", "a");
            stores_put_text(store, DIR "/chk-7/e2-c7-2-b", "b");
            stores_put_text(store, DIR "/note", "the user's");
            ck_assert_int_eq(crn_savepoint_publish(store, DIR, record, NULL), 0);
            crn_record_free(record);
            arm(CRN_FAULT_ANY, modes[m], at, false, CAIRN_EACCES);
            int r = crn_savepoint_withdraw(store, DIR, 7, keys, 3, NULL);
            bool fired = crn_fault_store_fired(store);
            disarm();
            ck_assert_int_eq(r < 0, fired);
            bool whole = has(DIR "/chk-7/e2-c7-1-a") && has(DIR "/chk-7/e2-c7-2-b");
            ck_assert(whole || !has(DIR "/MANIFEST-chk7"));
            ck_assert_int_eq(crn_savepoint_withdraw(store, DIR, 7, keys, 3, NULL), 0);
            char *left = stores_list(store, "");
            ck_assert_str_eq(left, DIR "/note\n");
            free(left);
            if (!fired)
                break;
        }
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Intents
 * ------------------------------------------------------------------------------------------ */

static char *put_intent(const char *location, const char *name)
{
    char *key = NULL;
    ck_assert_int_eq(crn_intent_put(store, "a", 2, 7, 41, location, name, &key, NULL), 0);
    return key;
}

START_TEST(test_intents_are_told_by_their_keys)
{
    char *key = put_intent("", DIR);
    ck_assert_str_eq(key, "chk-7/e2-c7-41-savepoint-intent");
    ck_assert(crn_intent_is(key));
    ck_assert(has("a/chk-7/e2-c7-41-savepoint-intent"));
    ck_assert(!crn_intent_is("chk-7/e2-c7-41-CURRENT"));
    ck_assert(!crn_intent_is("chk-7/e2-c7-41-x-savepoint-intent"));
    ck_assert(!crn_intent_is("chk-7/e2-c8-41-savepoint-intent"));
    ck_assert(!crn_intent_is("MANIFEST-chk7"));
    ck_assert(!crn_intent_is("savepoint-intent"));
    free(key);
}
END_TEST

START_TEST(test_settling_removes_what_this_id_and_epoch_put)
{
    char *key = put_intent("", DIR);
    uint64_t removed = 99;
    stores_put_text(store, DIR "/chk-7/e2-c7-1-a", "a");
    stores_put_text(store, DIR "/chk-7/e2-c7-2-b", "b");
    stores_put_text(store, DIR "/chk-7/e3-c7-3-c", "of another epoch");
    stores_put_text(store, DIR "/note", "the user's");
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    ck_assert_uint_eq(removed, 2);
    char *left = stores_list(store, "savepoint");
    ck_assert_str_eq(left, DIR "/chk-7/e3-c7-3-c\n" DIR "/note\n");
    free(left);
    ck_assert(has("a/chk-7/e2-c7-41-savepoint-intent")); /* the caller's to remove */
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    ck_assert_uint_eq(removed, 0);
    stores_remove(store, "a/chk-7/e2-c7-41-savepoint-intent");
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    free(key);
}
END_TEST

START_TEST(test_settling_leaves_a_whole_savepoint_alone)
{
    char *key = put_intent("", DIR);
    uint64_t removed = 99;
    struct crn_record *record = new_record(1);
    stores_put_text(store, DIR "/chk-7/e2-c7-1-a", "a");
    ck_assert_int_eq(crn_savepoint_publish(store, DIR, record, NULL), 0);
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    ck_assert_uint_eq(removed, 0);
    ck_assert(has(DIR "/chk-7/e2-c7-1-a"));
    crn_record_free(record);
    free(key);
}
END_TEST

START_TEST(test_settling_that_fails_is_to_be_repeated)
{
    char *key = put_intent("", DIR);
    for (uint64_t at = 1;; at++) {
        uint64_t removed;
        disarm();
        stores_put_text(store, DIR "/chk-7/e2-c7-1-a", "a");
        stores_put_text(store, DIR "/chk-7/e2-c7-2-b", "b");
        arm(CRN_FAULT_ANY, CRN_FAULT_BEFORE, at, true, CAIRN_EUNAVAIL);
        int r = crn_intent_settle(store, "a", key, &removed, NULL);
        bool fired = crn_fault_store_fired(store);
        disarm();
        ck_assert_int_eq(r, fired ? CAIRN_EUNAVAIL : 0);
        ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
        ck_assert(!has(DIR "/chk-7/e2-c7-1-a") && !has(DIR "/chk-7/e2-c7-2-b"));
        if (!fired)
            break;
    }
    free(key);
}
END_TEST

START_TEST(test_an_intent_may_be_in_another_store)
{
    char *path = stores_path("elsewhere");
    char *key = put_intent(path, DIR);
    uint64_t removed = 99;
    /* The target is gone with all that was in it. */
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    ck_assert_uint_eq(removed, 0);
    cairn_store *target = NULL;
    ck_assert_int_eq(cairn_store_open(path, &target, NULL), 0);
    stores_put_text(target, DIR "/chk-7/e2-c7-1-a", "a");
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    ck_assert_uint_eq(removed, 1);
    stores_expect_missing(target, DIR "/chk-7/e2-c7-1-a");
    /* The target lies within what looks like a job's directory. */
    stores_put_text(target, "MANIFEST-chk1", "whatever");
    stores_put_text(target, DIR "/chk-7/e2-c7-1-a", "a");
    ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), 0);
    ck_assert_uint_eq(removed, 1);
    cairn_store_close(target);
    free(key);
    free(path);
}
END_TEST

/* Every bit and every length: an error, or (for what lies behind a damage) nothing removed. */
START_TEST(test_a_damaged_intent_removes_nothing)
{
    char *key = put_intent("", DIR);
    const char *full = "a/chk-7/e2-c7-41-savepoint-intent";
    struct cairn_buffer bytes = {0};
    uint64_t removed;
    ck_assert_int_eq(crn_store_get_bytes(store, full, 4096, &bytes, NULL), 0);
    stores_put_text(store, DIR "/chk-7/e2-c7-1-a", "a");
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        stores_remove(store, full);
        stores_put(store, full, bytes.data, bytes.size);
        ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), CAIRN_ECORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        stores_remove(store, full);
        stores_put(store, full, bytes.data, size);
        ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), CAIRN_ECORRUPT);
    }
    ck_assert(has(DIR "/chk-7/e2-c7-1-a"));
    crn_buf_done(&bytes);
    free(key);
}
END_TEST

/* Well-formed, but it names what a savepoint's directory cannot be. */
START_TEST(test_an_intent_cannot_name_a_job_or_leave_the_store)
{
    static const char *const names[] = {"a", "../a", "x/y", "", ".hidden"};
    stores_put_text(store, "a/chk-7/e2-c7-1-CURRENT", "live");
    for (size_t i = 0; i < CRN_COUNT(names); i++) {
        char *key = put_intent("", names[i]);
        uint64_t removed;
        ck_assert_int_eq(crn_intent_settle(store, "a", key, &removed, NULL), CAIRN_ECORRUPT);
        stores_remove(store, "a/chk-7/e2-c7-41-savepoint-intent");
        free(key);
    }
    ck_assert(has("a/chk-7/e2-c7-1-CURRENT"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("savepoint_directory");
    TCase *tcase = tcase_create("directory");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_names_are_job_names_and_differ);
    tcase_add_test(tcase, test_anything_below_the_name_is_in_the_way);
    tcase_add_test(tcase, test_publish_settles_lost_replies_and_refuses_another);
    tcase_add_test(tcase, test_publish_flushes_before_it_creates);
    tcase_add_test(tcase, test_publish_never_guesses);
    tcase_add_test(tcase, test_withdrawal_takes_the_manifest_first);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("intents");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, stores_make_dir, stores_drop_dir);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_intents_are_told_by_their_keys);
    tcase_add_test(tcase, test_settling_removes_what_this_id_and_epoch_put);
    tcase_add_test(tcase, test_settling_leaves_a_whole_savepoint_alone);
    tcase_add_test(tcase, test_settling_that_fails_is_to_be_repeated);
    tcase_add_test(tcase, test_an_intent_may_be_in_another_store);
    tcase_add_test(tcase, test_a_damaged_intent_removes_nothing);
    tcase_add_test(tcase, test_an_intent_cannot_name_a_job_or_leave_the_store);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
