/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure decisions around a job's log: what a key is, which files are new, what a taken id means,
 * how far the log may be cut, what may be deleted (P4, P5, P6, P7, P11). Small cases are tried
 * exhaustively, large ones at random against a slow and obvious answer. The cases named M01 to M04
 * are mistakes that other systems made about the identity of files.
 */
#include "manifest/cluster.h"
#include "tests/support/records.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- names --- */

START_TEST(keys_are_read_as_they_are_written)
{
    static const uint64_t numbers[] = {1, 9, 10, 99, 4294967296u, UINT64_MAX};
    char key[CRN_KEY_MAX];
    for (size_t i = 0; i < CRN_COUNT(numbers); i++) {
        crn_key_manifest(key, numbers[i]);
        struct crn_key_info info = crn_key_parse(key);
        ck_assert_int_eq(info.type, CRN_KEY_MANIFEST);
        ck_assert_uint_eq(info.id, numbers[i]);
        for (int shared = 0; shared < 2; shared++) {
            crn_key_object(key, shared != 0, numbers[i], numbers[5 - i], numbers[i] - 1,
                           "000012.sst");
            info = crn_key_parse(key);
            ck_assert_int_eq(info.type, CRN_KEY_OBJECT);
            ck_assert_uint_eq(info.epoch, numbers[i]);
            ck_assert_uint_eq(info.id, numbers[5 - i]);
            ck_assert_uint_eq(info.number, numbers[i] - 1);
            ck_assert_int_eq(info.shared, shared != 0);
        }
    }
}
END_TEST

static const struct spelling {
    bool shared;
    const char *name;
    const char *key;
} spellings[] = {
    {true, "000012.sst", "shared/e3-c17-12.sst"},
    {true, "000012.blob", "shared/e3-c17-12.blob"},
    {true, "noextension", "shared/e3-c17-12"},
    {true, "ends.", "shared/e3-c17-12"},
    {true, "x.tar.gz", "shared/e3-c17-12.gz"},
    {true, "x.S/T", "shared/e3-c17-12"},
    {true, "x.12345678901234567", "shared/e3-c17-12"},
    {true, "", "shared/e3-c17-12"},
    {true, CRN_PACK_NAME, "shared/e3-c17-12.pack"},
    {false, "CURRENT", "chk-17/e3-c17-12-CURRENT"},
    {false, "MANIFEST-000005", "chk-17/e3-c17-12-MANIFEST-000005"},
    {false, CRN_PACK_NAME, "chk-17/e3-c17-12-files.pack"},
    {false, "operator-state", "chk-17/e3-c17-12-operator-state"},
    {false, "", "chk-17/e3-c17-12"},
    {false, "a/b c\xc3\xa9", "chk-17/e3-c17-12-a_b_c__"},
    {false, "0123456789012345678901234567890123456789012345678901234567890123456789",
     "chk-17/e3-c17-12-0123456789012345678901234567890123456789012345678901234567890123"},
};

START_TEST(object_names_stay_readable)
{
    char key[CRN_KEY_MAX];
    const struct spelling *spelling = &spellings[_i];
    crn_key_object(key, spelling->shared, 3, 17, 12, spelling->name);
    ck_assert_str_eq(key, spelling->key);
    ck_assert_int_eq(crn_key_parse(key).type, CRN_KEY_OBJECT);
    ck_assert_int_eq(crn_key_parse(key).pack, strcmp(spelling->name, CRN_PACK_NAME) == 0);
}
END_TEST

START_TEST(longest_key_fits)
{
    char key[CRN_KEY_MAX], name[300];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    crn_key_object(key, false, UINT64_MAX, UINT64_MAX, UINT64_MAX, name);
    const struct crn_key_info info = crn_key_parse(key);
    ck_assert_int_eq(info.type, CRN_KEY_OBJECT);
    ck_assert_uint_eq(info.number, UINT64_MAX);
}
END_TEST

static const char *const foreign_keys[] = {
    "",
    "MANIFEST",
    "MANIFEST-chk",
    "MANIFEST-chk0",
    "MANIFEST-chk01",
    "MANIFEST-chk+1",
    "MANIFEST-chk-1",
    "MANIFEST-chk 1",
    "MANIFEST-chk1 ",
    "MANIFEST-chk1.tmp",
    "MANIFEST-chk1/",
    "MANIFEST-chk1\n",
    "MANIFEST-chk18446744073709551616",
    "MANIFEST-chk99999999999999999999999",
    "manifest-chk1",
    "/MANIFEST-chk1",
    "./MANIFEST-chk1",
    "shared",
    "shared/",
    "shared/x",
    "shared/e1-c1",
    "shared/e1-c1-",
    "shared/e1-c1-1.",
    "shared/e1-c1-1.SST",
    "shared/e1-c1-1.s.t",
    "shared/e1-c1-1.sst.tmp",
    "shared/e1-c1-1.sst/",
    "shared/e1-c1-1-CURRENT",
    "shared/e1-c1-1/x",
    "shared/e01-c1-1.sst",
    "shared/e1-c01-1.sst",
    "shared/e1-c1-01.sst",
    "shared/e0-c1-1.sst",
    "shared/e1-c0-1.sst",
    "shared/e1-c1-18446744073709551616",
    "shared/../chk-1/e1-c1-1-CURRENT",
    "shared//e1-c1-1.sst",
    "shared/e1-c1-1.12345678901234567",
    "Shared/e1-c1-1.sst",
    "chk-1",
    "chk-1/",
    "chk-1/e1-c2-1-CURRENT",
    "chk-01/e1-c1-1-CURRENT",
    "chk-1/e1-c1-1-",
    "chk-1/e1-c1-1.sst",
    "chk-1/e1-c1-1-a/b",
    "chk-1/e1-c1-1-a b",
    "chk-1/e1-c1-1-\xc3\xa9",
    "chk-1/e1-c1-1-x\n",
    "chk-1//e1-c1-1-x",
    "chk-1/e1-c1-1-12345678901234567890123456789012345678901234567890123456789012345",
    "CLAIMED1",
    "claimed",
    "chk-1/CLAIMED",
    "DISPOSING/",
    "./DISPOSING",
    "cluster/post-1",
    "cluster/e0/post-1",
    "cluster/e1/post-0",
    "cluster/e01/post-1",
    "cluster/e1/post-01",
    "cluster/e1/post-",
    "cluster/e1/post-1 ",
    "cluster/e1/post-1.json",
    "cluster/e1/posts-1",
    "cluster/e1//post-1",
    "cluster//e1/post-1",
    "Cluster/e1/post-1",
    "cluster/e18446744073709551616/post-1",
    "cluster/e1/post-18446744073709551616",
    "cluster/e1/mail-1",
    "cluster/e1/mail-00112233445566778899aabbccddeeff",
    "cluster/e1/mail-00112233445566778899aabbccddeeff-",
    "cluster/e1/mail-00112233445566778899aabbccddeeff-0",
    "cluster/e1/mail-00112233445566778899aabbccddeef-1",
    "cluster/e1/mail-00112233445566778899aabbccddeeff0-1",
    "cluster/e1/mail-00112233445566778899AABBCCDDEEFF-1",
    "cluster/e1/mail-00112233445566778899aabbccddeefg-1",
    "cluster/e1/mail-00000000000000000000000000000000-1",
    "cluster/e0/mail-00112233445566778899aabbccddeeff-1",
};

START_TEST(what_is_not_ours_is_foreign)
{
    ck_assert_msg(crn_key_parse(foreign_keys[_i]).type == CRN_KEY_FOREIGN, "%s", foreign_keys[_i]);
    ck_assert_int_eq(crn_log_classify(foreign_keys[_i], 9, 1, 1, NULL, 0), CAIRN_OBJECT_FOREIGN);
}
END_TEST

/* Of whoever made them: neither a collection nor a reader of a job touches them. */
START_TEST(marks_are_known_and_left_alone)
{
    static const char *const marks[] = {CRN_MARK_CLAIMED, CRN_MARK_DISPOSING};
    for (size_t i = 0; i < CRN_COUNT(marks); i++) {
        ck_assert_int_eq(crn_key_parse(marks[i]).type, CRN_KEY_MARK);
        ck_assert_int_eq(crn_log_classify(marks[i], 9, 1, 1, NULL, 0), CAIRN_OBJECT_FOREIGN);
    }
}
END_TEST

static void check_message_key(uint64_t epoch, const uint8_t worker[16], uint64_t number)
{
    char key[CRN_KEY_MAX], prefix[CRN_KEY_MAX];
    crn_key_post(key, epoch, number);
    struct crn_key_info info = crn_key_parse(key);
    ck_assert_int_eq(info.type, CRN_KEY_POST);
    ck_assert_uint_eq(info.epoch, epoch);
    ck_assert_uint_eq(info.number, number);
    crn_key_mail(key, epoch, worker, number);
    crn_key_mails(prefix, epoch);
    ck_assert_int_eq(strncmp(key, prefix, strlen(prefix)), 0);
    info = crn_key_parse(key);
    ck_assert_int_eq(info.type, CRN_KEY_MAIL);
    ck_assert_uint_eq(info.epoch, epoch);
    ck_assert_uint_eq(info.number, number);
    ck_assert_mem_eq(info.worker, worker, 16);
}

START_TEST(keys_of_messages_say_who_speaks)
{
    const uint64_t numbers[] = {1, 9, 10, 4711, UINT64_MAX};
    uint8_t worker[16] = {0xff, 0, 0x0a, [15] = 0x90};
    for (size_t i = 0; i < CRN_COUNT(numbers); i++)
        for (size_t j = 0; j < CRN_COUNT(numbers); j++)
            check_message_key(numbers[i], worker, numbers[j]);
}
END_TEST

/* Messages of epochs 1 to 6 as a log of epoch 4 sees them: the posts of the epoch before are still
 * read by those who have to learn there that they were replaced. */
START_TEST(messages_die_with_their_epoch)
{
    const uint8_t worker[16] = {1};
    for (uint64_t epoch = 1; epoch <= 6; epoch++) {
        char key[CRN_KEY_MAX];
        crn_key_post(key, epoch, 3);
        ck_assert_int_eq(crn_log_classify(key, 9, 4, 2, NULL, 0),
                         epoch < 3 ? CAIRN_OBJECT_DEAD : CAIRN_OBJECT_CLUSTER);
        ck_assert_int_eq(crn_log_classify(key, 0, 0, 0, NULL, 0), CAIRN_OBJECT_CLUSTER);
        crn_key_mail(key, epoch, worker, 3);
        ck_assert_int_eq(crn_log_classify(key, 9, 4, 2, NULL, 0),
                         epoch < 4 ? CAIRN_OBJECT_DEAD : CAIRN_OBJECT_CLUSTER);
        ck_assert_int_eq(crn_log_classify(key, 0, 0, 0, NULL, 0), CAIRN_OBJECT_CLUSTER);
    }
    ck_assert_int_eq(crn_log_classify("cluster/e18446744073709551615/post-1", 9, 4, 2, NULL, 0),
                     CAIRN_OBJECT_CLUSTER);
    ck_assert_int_eq(crn_log_classify("cluster/e1/post-1", 9, UINT64_MAX, 2, NULL, 0),
                     CAIRN_OBJECT_DEAD);
}
END_TEST

/* Whatever is taken for ours is spelled as we would spell it. */
START_TEST(there_is_one_spelling)
{
    static const char *const seeds[] = {"MANIFEST-chk12", "shared/e1-c20-30.sst",
                                        "chk-20/e1-c20-30-CURRENT", "cluster/e2/post-30",
                                        "cluster/e1/mail-00112233445566778899aabbccddeeff-20"};
    static const char alphabet[] = "0129ecs-./kT";
    uint64_t state = crn_test_seed();
    size_t ours = 0;
    for (int i = 0; i < 200000; i++) {
        char key[64], again[CRN_KEY_MAX];
        strcpy(key, seeds[crn_test_random(&state) % CRN_COUNT(seeds)]);
        for (uint64_t n = 1 + crn_test_random(&state) % 3; n > 0; n--)
            key[crn_test_random(&state) % strlen(key)] =
                alphabet[crn_test_random(&state) % (sizeof(alphabet) - 1)];
        const struct crn_key_info info = crn_key_parse(key);
        if (info.type == CRN_KEY_FOREIGN)
            continue;
        ours++;
        char rest = '\0'; /* what may follow */
        if (info.type == CRN_KEY_MANIFEST)
            crn_key_manifest(again, info.id);
        else if (info.type == CRN_KEY_POST)
            crn_key_post(again, info.epoch, info.number);
        else if (info.type == CRN_KEY_MAIL)
            crn_key_mail(again, info.epoch, info.worker, info.number);
        else
            crn_key_object(again, info.shared, info.epoch, info.id, info.number, "");
        if (info.type == CRN_KEY_OBJECT)
            rest = info.shared ? '.' : '-';
        const size_t n = strlen(again);
        ck_assert_msg(strncmp(key, again, n) == 0 && (key[n] == '\0' || key[n] == rest), "%s", key);
    }
    ck_assert_uint_gt(ours, 1000);
}
END_TEST

/* --- diff --- */

/* A table; the same three numbers make the same file. */
static struct crn_file *add_file(struct crn_subtask *subtask, uint64_t number, uint64_t size,
                                 uint64_t sequence)
{
    struct crn_file *file = crn_test_add_table(subtask, number, size, 1, 1);
    file->info.crc32c = (uint32_t)(size * 31 + sequence);
    file->info.sequence_first = sequence;
    file->info.sequence_last = sequence + 5;
    return file;
}

static void free_files(struct crn_subtask *subtask)
{
    for (size_t i = 0; i < subtask->file_count; i++)
        crn_file_done(&subtask->files[i]);
    free(subtask->files);
    *subtask = (struct crn_subtask){0};
}
#define AUTO_FILES CRN_CLEANUP(free_files)

/* Is the only captured file known? */
static bool is_known(const struct crn_subtask *base, const struct crn_subtask *captured)
{
    const struct crn_file *found = captured->files; /* anything but the answer */
    ck_assert_uint_eq(captured->file_count, 1);
    ck_assert_int_eq(crn_diff_tables(base, captured->files, 1, &found), 0);
    ck_assert(found == NULL || found == &base->files[0]);
    return found != NULL;
}

START_TEST(same_file_is_not_uploaded_again)
{
    AUTO_FILES struct crn_subtask base = {0}, now = {0};
    (void)add_file(&base, 42, 1000, 7);
    struct crn_file *file = add_file(&now, 42, 1000, 7);
    ck_assert(is_known(&base, &now));
    file->info.level = 5; /* moved to another level, not rewritten */
    ck_assert(is_known(&base, &now));
    file->info.has_crc32c = 0; /* only one side knows it */
    ck_assert(is_known(&base, &now));
    file->info.role = CAIRN_FILE_DATABASE;
    ck_assert(!is_known(&base, &now));
    file->info.role = CAIRN_FILE_TABLE;
    base.files[0].info.role = CAIRN_FILE_DATABASE;
    ck_assert(!is_known(&base, &now));
}
END_TEST

START_TEST(m01_retry_with_same_name_and_size)
{
    AUTO_FILES struct crn_subtask base = {0}, now = {0};
    (void)add_file(&base, 42, 1000, 7);
    struct crn_file *file = add_file(&now, 42, 1000, 7);
    file->info.crc32c ^= 1; /* other bytes */
    ck_assert(!is_known(&base, &now));
    file->info.crc32c ^= 1;
    file->info.sequence_first--;
    ck_assert(!is_known(&base, &now));
    file->info.sequence_first++;
    file->info.sequence_last++;
    ck_assert(!is_known(&base, &now));
    file->info.sequence_last--;
    file->info.size++;
    ck_assert(!is_known(&base, &now));
    file->info.size--;
    ck_assert(is_known(&base, &now));
}
END_TEST

START_TEST(m02_name_of_another_file)
{
    AUTO_FILES struct crn_subtask base = {0}, now = {0};
    (void)add_file(&base, 42, 1000, 7);
    struct crn_file *file = add_file(&now, 42, 1000, 7);
    ck_assert_int_eq(crn_record_set_text(&file->info.name, "000042.blob"), 0);
    ck_assert(!is_known(&base, &now));
    ck_assert_int_eq(crn_record_set_text(&file->info.name, "000042.sst"), 0);
    ck_assert_int_eq(
        crn_record_set_bytes(&file->info.smallest, &file->info.smallest_size, "\x01\x02kez", 5), 0);
    ck_assert(!is_known(&base, &now));
    ck_assert_int_eq(
        crn_record_set_bytes(&file->info.smallest, &file->info.smallest_size, "\x01\x02key", 5), 0);
    ck_assert(is_known(&base, &now));
    ck_assert_int_eq(crn_record_set_bytes(&file->info.largest, &file->info.largest_size, "\x7f", 1),
                     0);
    ck_assert(!is_known(&base, &now));
}
END_TEST

/* The answer depends on nothing but the base that is given: an empty one knows no file. */
START_TEST(m03_nothing_is_known_after_a_restart_from_nothing)
{
    AUTO_FILES struct crn_subtask base = {0}, empty = {0}, now = {0};
    (void)add_file(&base, 42, 1000, 7);
    (void)add_file(&now, 42, 1000, 7);
    ck_assert(is_known(&base, &now));
    ck_assert(!is_known(NULL, &now));
    ck_assert(!is_known(&empty, &now));
    ck_assert(is_known(&base, &now));
}
END_TEST

/* Fifty rounds of compaction: files vanish, their numbers come back with other contents. The base
 * is always the last round, so a number of an earlier one means nothing. */
START_TEST(m04_numbers_come_back_after_compaction)
{
    uint64_t state = crn_test_seed();
    struct crn_subtask base = {0};
    uint64_t content = 100;
    for (int round = 0; round < 50; round++) {
        struct crn_subtask now = {0};
        for (uint64_t number = 1; number <= 20; number++) {
            const struct crn_file *old = NULL;
            for (size_t i = 0; i < base.file_count; i++)
                if (base.files[i].info.number == number)
                    old = &base.files[i];
            const uint64_t choice = crn_test_random(&state) % 4;
            if (choice == 0)
                continue; /* compacted away */
            const uint64_t sequence =
                old != NULL && choice != 1 ? old->info.sequence_first : content++;
            (void)add_file(&now, number, 1000, sequence);
        }
        CRN_AUTO_FREE const struct crn_file **found = calloc(now.file_count + 1, sizeof(*found));
        ck_assert_int_eq(crn_diff_tables(&base, now.files, now.file_count, found), 0);
        for (size_t i = 0; i < now.file_count; i++) {
            bool was_there = false;
            for (size_t j = 0; j < base.file_count; j++)
                was_there = was_there ||
                            base.files[j].info.sequence_first == now.files[i].info.sequence_first;
            ck_assert((found[i] != NULL) == was_there);
        }
        free_files(&base);
        base = now;
    }
    free_files(&base);
}
END_TEST

static bool looks_same(const struct crn_file *a, const struct crn_file *b)
{
    return a->info.role == CAIRN_FILE_TABLE && b->info.role == CAIRN_FILE_TABLE &&
           a->info.number == b->info.number && a->info.size == b->info.size &&
           a->info.sequence_first == b->info.sequence_first &&
           (!a->info.has_crc32c || !b->info.has_crc32c || a->info.crc32c == b->info.crc32c);
}

static void add_random_files(struct crn_subtask *subtask, uint64_t *state)
{
    for (uint64_t n = crn_test_random(state) % 12; n > 0; n--) {
        struct crn_file *file =
            add_file(subtask, 1 + crn_test_random(state) % 8, 1 + crn_test_random(state) % 2,
                     1 + crn_test_random(state) % 2);
        file->info.has_crc32c = crn_test_random(state) % 3 > 0;
        if (crn_test_random(state) % 8 == 0)
            file->info.crc32c ^= 1;
        if (crn_test_random(state) % 8 == 0)
            file->info.role = CAIRN_FILE_DATABASE;
    }
}

/* Against a search through all pairs. Bases are unordered and may even have a number twice, which
 * makes it useless. */
START_TEST(diff_agrees_with_a_search)
{
    uint64_t state = crn_test_seed();
    for (int round = 0; round < 3000; round++) {
        AUTO_FILES struct crn_subtask base = {0}, now = {0};
        const struct crn_file *found[16];
        add_random_files(&base, &state);
        add_random_files(&now, &state);
        ck_assert_int_eq(crn_diff_tables(&base, now.files, now.file_count, found), 0);
        for (size_t i = 0; i < now.file_count; i++) {
            const struct crn_file *expected = NULL;
            size_t with_number = 0;
            for (size_t j = 0; j < base.file_count; j++) {
                const struct crn_file *file = &base.files[j];
                with_number += file->info.role == CAIRN_FILE_TABLE &&
                               file->info.number == now.files[i].info.number;
                if (looks_same(file, &now.files[i]))
                    expected = file;
            }
            ck_assert_ptr_eq(found[i], with_number == 1 ? expected : NULL);
        }
    }
}
END_TEST

/* --- the log --- */

START_TEST(collisions_mean_what_they_should)
{
    for (uint64_t epoch = 1; epoch <= 3; epoch++)
        for (int kind = CAIRN_RECORD_CHECKPOINT; kind <= CAIRN_RECORD_FENCE; kind++)
            for (int same_uuid = 0; same_uuid < 2; same_uuid++)
                for (uint64_t id = 6; id <= 7; id++) {
                    struct crn_record mine = {.info = {.id = 7, .epoch = 2, .uuid = {1}}};
                    struct crn_record found = {
                        .info = {.id = id, .epoch = epoch, .kind = (cairn_record_kind)kind}};
                    memcpy(found.info.uuid, mine.info.uuid, 16);
                    found.info.uuid[15] = same_uuid ? 0 : 1;
                    const enum crn_collision expected = id != 7      ? CRN_COLLISION_STALE
                                                        : same_uuid  ? CRN_COLLISION_MINE
                                                        : epoch == 3 ? CRN_COLLISION_FENCED
                                                        : epoch == 2 && kind == CAIRN_RECORD_ABORTED
                                                            ? CRN_COLLISION_ABORTED
                                                            : CRN_COLLISION_STALE;
                    ck_assert_int_eq(crn_log_judge_collision(&mine, &found), expected);
                }
}
END_TEST

/* Every set of complete checkpoints among ids 1 to 8, every old start, every retention, and id 9 a
 * checkpoint or not. */
START_TEST(next_start_keeps_what_it_must)
{
    for (unsigned set = 0; set < 256; set++)
        for (uint64_t old_start = 1; old_start <= 9; old_start++)
            for (uint32_t retained = 0; retained <= 10; retained++)
                for (uint64_t new_id = 0; new_id <= 9; new_id += 9) {
                    uint64_t all[9];
                    size_t count = 0;
                    for (uint64_t id = 1; id <= 8; id++)
                        if ((set >> (id - 1) & 1) != 0 && id >= old_start)
                            all[count++] = id;
                    const uint64_t start =
                        crn_log_next_start(all, count, old_start, new_id, retained);
                    if (new_id != 0)
                        all[count++] = new_id;
                    const size_t wanted = retained > 0 ? retained : 1;
                    size_t kept = 0;
                    for (size_t i = 0; i < count; i++)
                        kept += all[i] >= start;
                    ck_assert_uint_ge(start, old_start);
                    ck_assert_uint_eq(kept, count < wanted ? count : wanted);
                    ck_assert(kept == 0 ? start == old_start : start == all[count - kept]);
                }
}
END_TEST

START_TEST(next_start_ignores_what_is_gone)
{
    const uint64_t ids[] = {2, 5};
    ck_assert_uint_eq(crn_log_next_start(ids, 2, 7, 0, 1), 7);
    ck_assert_uint_eq(crn_log_next_start(ids, 2, 4, 0, 2), 4);
    ck_assert_uint_eq(crn_log_next_start(NULL, 0, 1, 0, 1), 1);
    ck_assert_uint_eq(crn_log_next_start(NULL, 0, 1, 3, UINT32_MAX), 3);
}
END_TEST

/* Only when no record above the old begin can be, or might be, a checkpoint. */
START_TEST(a_log_without_checkpoints_begins_at_its_newest_record)
{
    ck_assert_uint_eq(crn_log_next_start_without(0, 0, 0, 3, 9), 9);
    ck_assert_uint_eq(crn_log_next_start_without(0, 0, 0, 9, 9), 9);
    ck_assert_uint_eq(crn_log_next_start_without(1, 0, 0, 3, 9), 3);
    ck_assert_uint_eq(crn_log_next_start_without(0, 1, 0, 3, 9), 3);
    ck_assert_uint_eq(crn_log_next_start_without(2, 2, 0, 1, 9), 1);
}
END_TEST

/* But not above the savepoint that the next start goes on from. */
START_TEST(a_log_keeps_what_the_job_was_stopped_with)
{
    ck_assert_uint_eq(crn_log_next_start_without(0, 0, 5, 3, 9), 5);
    ck_assert_uint_eq(crn_log_next_start_without(0, 0, 2, 3, 9), 3);
    ck_assert_uint_eq(crn_log_next_start_without(1, 0, 5, 3, 9), 3);
    ck_assert_uint_eq(crn_log_next_start_without(0, 1, 5, 3, 9), 3);
}
END_TEST

START_TEST(history_is_the_last_ids)
{
    struct crn_record *head = NULL;
    for (uint64_t id = 1; id <= 100; id++) {
        struct crn_record *next = id % 3 == 0 ? crn_test_aborted() : crn_test_full();
        while (next->history_count > 0)
            free((void *)(uintptr_t)next->history[--next->history_count].info.reason);
        next->info.id = id;
        next->info.log_start = id;
        next->has_previous_hash = false;
        for (size_t i = 0; i < (next->operator_count > 0 ? 2 : 0); i++) {
            struct crn_file *file = &next->operators[0].subtasks[0].files[i];
            char key[CRN_KEY_MAX];
            file->info.checkpoint_id = id;
            crn_key_object(key, true, 1, id, i, "x.sst");
            if (file->info.object != NULL)
                ck_assert_int_eq(crn_record_set_text(&file->info.object, key), 0);
        }
        ck_assert_int_eq(crn_log_extend_history(next, head), 0);
        crn_record_finish(next);
        ck_assert_int_eq(crn_record_validate(next, NULL), 0);
        const size_t expected = id - 1 < CRN_LIMIT_HISTORY ? id - 1 : CRN_LIMIT_HISTORY;
        ck_assert_uint_eq(next->history_count, expected);
        for (size_t i = 0; i < expected; i++) {
            const cairn_record_info *info = &next->history[i].info;
            const bool is_aborted = info->id % 3 == 0;
            ck_assert_uint_eq(info->id, id - expected + i);
            ck_assert_int_eq(info->state, is_aborted ? CAIRN_STATE_ABORTED : CAIRN_STATE_SUBSUMED);
            ck_assert_uint_eq(info->full_bytes, is_aborted ? 0 : 4096 + 16);
            ck_assert_int_eq(info->reason[0] != '\0', is_aborted);
        }
        crn_record_free(head);
        head = next;
    }
    crn_record_free(head);
}
END_TEST

START_TEST(history_says_where_savepoints_and_sources_were)
{
    CRN_AUTO_RECORD struct crn_record *pointer = crn_test_savepoint();
    CRN_AUTO_RECORD struct crn_record *claim = crn_test_claim();
    CRN_AUTO_RECORD struct crn_record *behind_pointer = crn_record_new();
    CRN_AUTO_RECORD struct crn_record *behind_claim = crn_record_new();
    ck_assert_int_eq(crn_log_extend_history(behind_pointer, pointer), 0);
    ck_assert_uint_eq(behind_pointer->history_count, 3);
    const cairn_record_info *info = &behind_pointer->history[2].info;
    ck_assert_uint_eq(info->id, 6);
    ck_assert_int_eq(info->state, CAIRN_STATE_SAVEPOINT);
    ck_assert_int_eq(info->format, CAIRN_NATIVE);
    ck_assert_str_eq(info->location, pointer->info.location);
    info = &behind_pointer->history[1].info; /* as the pointer remembered it */
    ck_assert_int_eq(info->state, CAIRN_STATE_SAVEPOINT);
    ck_assert_str_eq(info->location, "/mnt/elsewhere");
    ck_assert_int_eq(crn_log_extend_history(behind_claim, claim), 0);
    ck_assert_str_eq(behind_claim->history[0].info.source_location, claim->info.source_location);
    ck_assert_str_eq(behind_claim->history[0].info.location, "");
}
END_TEST

/* Every key of ids 1 to 6 with a log from 3 to 4. */
START_TEST(only_dead_things_are_called_dead)
{
    const char *live[] = {"chk-3/e1-c3-1-x", "shared/e1-c1-1.sst", "shared/e1-c4-1.sst"};
    for (uint64_t id = 1; id <= 6; id++)
        for (uint64_t number = 1; number <= 2; number++)
            for (int shared = 0; shared < 2; shared++) {
                char key[CRN_KEY_MAX];
                crn_key_object(key, shared != 0, 1, id, number, shared ? "x.sst" : "x");
                bool is_live = false;
                for (size_t i = 0; i < CRN_COUNT(live); i++)
                    is_live = is_live || strcmp(live[i], key) == 0;
                const cairn_object_status expected = is_live  ? CAIRN_OBJECT_LIVE
                                                     : id > 4 ? CAIRN_OBJECT_UNRESOLVED
                                                              : CAIRN_OBJECT_DEAD;
                ck_assert_int_eq(crn_log_classify(key, 4, 1, 3, live, CRN_COUNT(live)), expected);
                ck_assert_int_eq(crn_log_classify(key, 0, 0, 0, NULL, 0), CAIRN_OBJECT_UNRESOLVED);
                /* Its writer has been fenced. */
                ck_assert_int_eq(crn_log_classify(key, 4, 2, 3, live, CRN_COUNT(live)),
                                 is_live ? CAIRN_OBJECT_LIVE : CAIRN_OBJECT_DEAD);
            }
    for (uint64_t id = 1; id <= 6; id++) {
        char key[CRN_KEY_MAX];
        crn_key_manifest(key, id);
        ck_assert_int_eq(crn_log_classify(key, 4, 2, 3, live, CRN_COUNT(live)),
                         id < 3 ? CAIRN_OBJECT_DEAD : CAIRN_OBJECT_MANIFEST);
    }
}
END_TEST

START_TEST(live_objects_are_all_that_records_name)
{
    uint64_t state = crn_test_seed();
    for (int round = 0; round < 50; round++) {
        struct crn_record *records[3];
        const char **live;
        size_t count;
        for (size_t i = 0; i < 3; i++)
            records[i] = crn_test_random_record(&state);
        const struct crn_record *const set[] = {records[0], records[1], records[2], records[1]};
        ck_assert_int_eq(crn_log_live_objects(set, CRN_COUNT(set), &live, &count), 0);
        for (size_t i = 1; i < count; i++)
            ck_assert_int_lt(strcmp(live[i - 1], live[i]), 0);
        size_t named = 0;
        for (size_t r = 0; r < 3; r++)
            for (size_t i = 0; i < records[r]->operator_count; i++)
                for (size_t j = 0; j < records[r]->operators[i].subtask_count; j++) {
                    const struct crn_subtask *subtask = &records[r]->operators[i].subtasks[j];
                    for (size_t k = 0; k < subtask->file_count; k++) {
                        const char *object = subtask->files[k].info.object;
                        if (object == NULL)
                            continue;
                        named++;
                        ck_assert_int_eq(crn_log_classify(object, 0, 0, 0, live, count),
                                         CAIRN_OBJECT_LIVE);
                    }
                }
        ck_assert_uint_le(count, named);
        free(live);
        for (size_t i = 0; i < 3; i++)
            crn_record_free(records[i]);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("manifest_log");
    TCase *names = tcase_create("names");
    tcase_set_timeout(names, 30);
    tcase_add_test(names, keys_of_messages_say_who_speaks);
    tcase_add_test(names, messages_die_with_their_epoch);
    tcase_add_test(names, keys_are_read_as_they_are_written);
    tcase_add_loop_test(names, object_names_stay_readable, 0, (int)CRN_COUNT(spellings));
    tcase_add_test(names, longest_key_fits);
    tcase_add_test(names, marks_are_known_and_left_alone);
    tcase_add_loop_test(names, what_is_not_ours_is_foreign, 0, (int)CRN_COUNT(foreign_keys));
    tcase_add_test(names, there_is_one_spelling);
    suite_add_tcase(s, names);

    TCase *diff = tcase_create("diff");
    tcase_set_timeout(diff, 30);
    tcase_add_test(diff, same_file_is_not_uploaded_again);
    tcase_add_test(diff, m01_retry_with_same_name_and_size);
    tcase_add_test(diff, m02_name_of_another_file);
    tcase_add_test(diff, m03_nothing_is_known_after_a_restart_from_nothing);
    tcase_add_test(diff, m04_numbers_come_back_after_compaction);
    tcase_add_test(diff, diff_agrees_with_a_search);
    suite_add_tcase(s, diff);

    TCase *log = tcase_create("log");
    tcase_set_timeout(log, 30);
    tcase_add_test(log, collisions_mean_what_they_should);
    tcase_add_test(log, next_start_keeps_what_it_must);
    tcase_add_test(log, next_start_ignores_what_is_gone);
    tcase_add_test(log, a_log_without_checkpoints_begins_at_its_newest_record);
    tcase_add_test(log, a_log_keeps_what_the_job_was_stopped_with);
    tcase_add_test(log, history_is_the_last_ids);
    tcase_add_test(log, history_says_where_savepoints_and_sources_were);
    tcase_add_test(log, only_dead_things_are_called_dead);
    tcase_add_test(log, live_objects_are_all_that_records_name);
    suite_add_tcase(s, log);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
