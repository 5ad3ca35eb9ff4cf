/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of manifests (P8, P10, P11). Proves that every field survives a round trip and that
 * encoding is deterministic (random records); that damage is always noticed and never taken for a
 * newer version (every truncation, every flipped bit); that a newer version is told from damage,
 * and what may be ignored is (frames written by hand); that hostile sizes cost no memory (decode
 * bombs); and that what was once written stays readable (golden files).
 */
#include "manifest/internal.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"
#include "tests/support/tap.h"

#include <dirent.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define GOLDEN_DIRECTORY CRN_TEST_SOURCE_ROOT "/tests/golden/"

static void encode(const struct crn_record *record, struct cairn_buffer *out)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = crn_record_encode(record, out, &error);
    ck_assert_msg(r == 0, "encode: %s", cairn_error_message(error));
}

/* The code, and that the error names the object and exists only on failure. */
static int decode(const void *data, size_t size, struct crn_record **ret_record)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    const int r = crn_record_decode("orders/MANIFEST-chk1", data, size, &record, &error);
    ck_assert_int_eq(cairn_error_code(error), r);
    ck_assert((record != NULL) == (r == 0));
    if (r != 0)
        ck_assert_str_eq(cairn_error_object(error), "orders/MANIFEST-chk1");
    if (ret_record != NULL)
        *ret_record = CRN_TAKE(record);
    return r;
}

static int decode_frame(const struct crn_test_frame *frame)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    crn_test_frame_put(frame, &bytes);
    return decode(bytes.data, bytes.size, NULL);
}

static void check_round_trip(const struct crn_record *record)
{
    CRN_AUTO_BUFFER struct cairn_buffer first = {0}, second = {0}, third = {0};
    CRN_AUTO_RECORD struct crn_record *back = NULL;
    encode(record, &first);
    encode(record, &second);
    ck_assert_uint_eq(first.size, second.size);
    ck_assert_mem_eq(first.data, second.data, first.size);

    ck_assert_int_eq(decode(first.data, first.size, &back), 0);
    const char *difference = crn_test_record_difference(record, back);
    ck_assert_msg(difference == NULL, "%s of record %" PRIu64, difference, record->info.id);
    ck_assert_uint_eq(back->info.manifest_bytes, first.size);
    encode(back, &third);
    ck_assert_uint_eq(first.size, third.size);
    ck_assert_mem_eq(first.data, third.data, first.size);
}

START_TEST(fixed_records_survive)
{
    struct crn_record *records[] = {
        crn_test_fence(),
        crn_test_aborted(),
        crn_test_savepoint(),
        crn_test_full(),
        crn_test_checkpoint(),
        crn_test_packed_checkpoint(),
        crn_test_canonical_savepoint(),
        crn_test_native_savepoint(),
        crn_test_canonical_checkpoint(),
        crn_test_claim(),
    };
    for (size_t i = 0; i < CRN_COUNT(records); i++) {
        check_round_trip(records[i]);
        crn_record_free(records[i]);
    }
}
END_TEST

START_TEST(random_records_survive)
{
    uint64_t state = crn_test_seed();
    for (int i = 0; i < 1500; i++) {
        CRN_AUTO_RECORD struct crn_record *record = crn_test_random_record(&state);
        check_round_trip(record);
    }
}
END_TEST

START_TEST(sums_follow_from_the_files)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_checkpoint();
    ck_assert_str_eq(record->operators[0].info.uid, "alerts");
    ck_assert_uint_eq(record->info.file_count, 11);
    ck_assert_uint_eq(record->info.new_file_count, 9);
    ck_assert_uint_eq(record->info.full_bytes, 2 * (64000 + 32000 + 20000 + 16 + 10));
    ck_assert_uint_eq(record->info.new_bytes, 2 * (32000 + 20000 + 16 + 10));
    ck_assert_uint_eq(record->info.barrier_max_us, 151);
    ck_assert_uint_eq(record->operators[1].subtasks[1].info.index, 1);
    ck_assert_uint_eq(record->operators[1].subtasks[1].info.full_bytes, 64000 + 52026);
}
END_TEST

START_TEST(sums_of_hostile_sizes_stop_at_the_top)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_full();
    struct crn_subtask *subtask = &record->operators[0].subtasks[0];
    for (uint64_t i = 20; i < 23; i++)
        (void)crn_test_add_table(subtask, i, INT64_MAX, 1, 1);
    crn_record_finish(record);
    ck_assert_uint_eq(record->info.full_bytes, UINT64_MAX);
    check_round_trip(record);
}
END_TEST

START_TEST(free_texts_are_made_fit)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_aborted();
    char text[CRN_REASON_MAX + 10];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    text[0] = '\n';
    text[1] = (char)0xff;
    memcpy(text + CRN_REASON_MAX - 1, "\xc3\xa9", 2); /* one character across the limit */
    ck_assert_int_eq(crn_record_set_text(&record->info.reason, text), 0);
    ck_assert_int_eq(crn_record_set_text(&record->info.host, "\xe2\x82"), 0);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_encode(record, &bytes, NULL), CAIRN_ECORRUPT);
    crn_record_finish(record);
    ck_assert_uint_eq(strlen(record->info.reason), CRN_REASON_MAX - 1);
    ck_assert_mem_eq(record->info.reason, "??xx", 4);
    ck_assert_str_eq(record->info.host, "??");
    check_round_trip(record);
}
END_TEST

/* --- damage --- */

static struct crn_record *small_record(int i)
{
    return i == 0 ? crn_test_fence() : crn_test_checkpoint();
}

START_TEST(every_truncation_is_damage)
{
    CRN_AUTO_RECORD struct crn_record *record = small_record(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    encode(record, &bytes);
    for (size_t n = 0; n < bytes.size; n++) {
        CRN_AUTO_FREE uint8_t *exact = malloc(n + (n == 0));
        memcpy(exact, bytes.data, n);
        ck_assert_int_eq(decode(exact, n, NULL), CAIRN_ECORRUPT);
    }
    ck_assert_int_eq(crn_buf_append_u8(&bytes, 0), 0);
    ck_assert_int_eq(decode(bytes.data, bytes.size, NULL), CAIRN_ECORRUPT);
}
END_TEST

START_TEST(every_flipped_bit_is_damage)
{
    CRN_AUTO_RECORD struct crn_record *record = small_record(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    encode(record, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(decode(bytes.data, bytes.size, NULL), CAIRN_ECORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    ck_assert_int_eq(decode(bytes.data, bytes.size, NULL), 0);
}
END_TEST

/* Somebody with a hash function: the checksum is right, the rest is not. What is accepted all the
 * same must be a record that we could have written. */
START_TEST(sealed_damage_never_crashes)
{
    CRN_AUTO_RECORD struct crn_record *record = small_record(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0}, again = {0};
    encode(record, &bytes);
    crn_test_frame_payload(bytes.data, bytes.size, &payload);
    const struct crn_test_frame plain = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&plain, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        CRN_AUTO_RECORD struct crn_record *back = NULL;
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        crn_test_frame_seal(bytes.data, bytes.size);
        const int r = decode(bytes.data, bytes.size, &back);
        ck_assert(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION);
        if (r == 0)
            encode(back, &again);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
END_TEST

START_TEST(what_is_no_manifest_is_called_so)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_record *record = NULL;
    ck_assert_int_eq(crn_record_decode("a/b", "{\"json\": 1}", 11, &record, &error),
                     CAIRN_ECORRUPT);
    ck_assert_str_eq(cairn_error_message(error), "'a/b' is not a Cairn manifest");
}
END_TEST

/* --- versions and features --- */

START_TEST(newer_is_told_from_damaged)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_fence();
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0};
    encode(record, &bytes);
    crn_test_frame_payload(bytes.data, bytes.size, &payload);
    const struct crn_test_frame good = crn_test_frame_of(payload.data, payload.size);
    ck_assert_int_eq(decode_frame(&good), 0);

    struct crn_test_frame frame = good;
    frame.version = 2;
    ck_assert_int_eq(decode_frame(&frame), CAIRN_EVERSION);
    frame.header_size = 7; /* what a newer header means is not for us to say */
    ck_assert_int_eq(decode_frame(&frame), CAIRN_EVERSION);
    frame = good;
    frame.version = 0;
    ck_assert_int_eq(decode_frame(&frame), CAIRN_ECORRUPT);
    for (uint32_t bit = 1; bit < 32; bit++) {
        frame = good;
        frame.incompatible = 1u << bit;
        ck_assert_int_eq(decode_frame(&frame),
                         frame.incompatible == CRN_FRAME_SLICES ? CAIRN_ECORRUPT : CAIRN_EVERSION);
    }
    for (uint32_t bit = 0; bit < 32; bit++) {
        frame = good;
        frame.compatible = 1u << bit;
        ck_assert_int_eq(decode_frame(&frame), 0);
    }
    frame = good;
    frame.header_size = 56; /* fields behind the known ones */
    ck_assert_int_eq(decode_frame(&frame), 0);
}
END_TEST

/* A reader that knows nothing of packs must not take one for a file (P10): the bit is there with
 * the first slice, and never without. */
START_TEST(slices_are_announced)
{
    for (int i = 0; i < 2; i++) {
        CRN_AUTO_RECORD struct crn_record *record =
            i == 0 ? crn_test_packed_checkpoint() : crn_test_checkpoint();
        CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0};
        encode(record, &bytes);
        ck_assert_int_eq((bytes.data[16] & CRN_FRAME_SLICES) != 0, i == 0);
        crn_test_frame_payload(bytes.data, bytes.size, &payload);
        struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
        frame.incompatible = i == 0 ? CRN_FRAME_SLICES : 0;
        ck_assert_int_eq(decode_frame(&frame), 0);
        frame.incompatible ^= CRN_FRAME_SLICES;
        ck_assert_int_eq(decode_frame(&frame), CAIRN_ECORRUPT);
    }
}
END_TEST

START_TEST(lengths_must_fit_exactly)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_fence();
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0};
    encode(record, &bytes);
    crn_test_frame_payload(bytes.data, bytes.size, &payload);
    const struct crn_test_frame good = crn_test_frame_of(payload.data, payload.size);
    static const int64_t offsets[] = {-1, 1, 8, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < CRN_COUNT(offsets); i++) {
        struct crn_test_frame frame = good;
        frame.stored_size += (uint64_t)offsets[i];
        ck_assert_int_eq(decode_frame(&frame), CAIRN_ECORRUPT);
        frame = good;
        frame.raw_size += (uint64_t)offsets[i];
        ck_assert_int_eq(decode_frame(&frame), CAIRN_ECORRUPT);
    }
    static const uint32_t sizes[] = {0, 39, 48, UINT32_MAX};
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        crn_test_frame_put(&good, &bytes);
        for (size_t j = 0; j < 4; j++)
            bytes.data[20 + j] = (uint8_t)(sizes[i] >> (8 * j));
        crn_test_frame_seal(bytes.data, bytes.size);
        ck_assert_int_eq(decode(bytes.data, bytes.size, NULL), CAIRN_ECORRUPT);
    }
    struct crn_test_frame empty = crn_test_frame_of("", 0); /* a record without any field */
    ck_assert_int_eq(decode_frame(&empty), CAIRN_ECORRUPT);
}
END_TEST

/* --- bombs --- */

static long peak_kib(void)
{
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

static int decode_packed(const struct cairn_buffer *raw, uint64_t claimed)
{
    const int bound = LZ4_compressBound((int)raw->size);
    CRN_AUTO_FREE char *packed = malloc((size_t)bound);
    const int n = LZ4_compress_default((const char *)raw->data, packed, (int)raw->size, bound);
    struct crn_test_frame frame = crn_test_frame_of(packed, (size_t)n);
    frame.incompatible = CRN_FRAME_LZ4;
    frame.raw_size = claimed;
    return decode_frame(&frame);
}

START_TEST(packed_length_is_not_believed)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_checkpoint();
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0};
    encode(record, &bytes);
    crn_test_frame_payload(bytes.data, bytes.size, &payload);
    ck_assert_int_eq(decode_packed(&payload, payload.size), 0);
    const uint64_t claims[] = {0,
                               1,
                               payload.size - 1,
                               payload.size + 1,
                               CRN_LIMIT_MANIFEST,
                               (uint64_t)CRN_LIMIT_MANIFEST + 1,
                               UINT64_MAX};
    const long before = peak_kib();
    for (size_t i = 0; i < CRN_COUNT(claims); i++)
        ck_assert_int_eq(decode_packed(&payload, claims[i]), CAIRN_ECORRUPT);
    ck_assert_int_lt(peak_kib() - before, 64 * 1024);
}
END_TEST

/* Millions of empty messages, two or three bytes each, packed to almost nothing. Unpacked they
 * would be some gigabytes of structs. */
START_TEST(empty_messages_do_not_multiply)
{
    CRN_AUTO_BUFFER struct cairn_buffer raw = {0}, files = {0}, op = {0}, inner = {0};
    const size_t count = 8000000;
    ck_assert_int_eq(crn_buf_reserve(&inner, 3 * count), 0);
    for (size_t i = 0; i < count; i++)
        crn_test_pb_bytes(_i == 0 ? &raw : &inner, _i == 0 ? 17 : 11, NULL, 0);
    if (_i != 0) { /* files of a subtask of an operator of a checkpoint */
        crn_test_pb_message(&op, 8, &inner);
        crn_test_pb_message(&files, 3, &op);
        crn_test_pb_message(&raw, 16, &files);
    }
    const long before = peak_kib();
    ck_assert_int_eq(decode_packed(&raw, raw.size), CAIRN_ECORRUPT);
    ck_assert_int_lt(peak_kib() - before, 400 * 1024);
}
END_TEST

/* --- size --- */

static double seconds(void)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double time_of(size_t files)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_many_files(files);
    CRN_AUTO_RECORD struct crn_record *back = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    const double start = seconds();
    encode(record, &bytes);
    ck_assert_int_eq(decode(bytes.data, bytes.size, &back), 0);
    const double end = seconds();
    ck_assert_uint_eq(back->info.file_count, files);
    ck_assert_ptr_null(crn_test_record_difference(record, back));
    return end - start;
}

/* Linear: ten times the files may take thirty times as long, not a hundred times. */
START_TEST(many_files_cost_linear_time)
{
    const double few = time_of(20000);
    const double many = time_of(200000);
    printf("# 200,000 files there and back: %.0f ms\n", many * 1000);
    ck_assert_double_lt(many, 30 * few + 0.5);
}
END_TEST

/* --- golden files --- */

static void read_golden(const char *name, struct cairn_buffer *out)
{
    char path[512];
    (void)snprintf(path, sizeof(path), GOLDEN_DIRECTORY "%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    uint8_t piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
        ck_assert_int_eq(crn_buf_append(out, piece, n), 0);
    ck_assert_int_eq(ferror(file), 0);
    (void)fclose(file);
}

/* What was written stays readable, and says the same. The bytes of a packed payload may depend on
 * the version of liblz4, what is in it may not. */
static void check_good(const char *name, const struct cairn_buffer *golden, bool is_canonical)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer again = {0}, old_payload = {0}, new_payload = {0};
    ck_assert_msg(decode(golden->data, golden->size, &record) == 0, "%s", name);
    encode(record, &again);
    crn_test_frame_payload(golden->data, golden->size, &old_payload);
    crn_test_frame_payload(again.data, again.size, &new_payload);
    const bool is_packed = golden->data[16] == CRN_FRAME_LZ4;
    const struct cairn_buffer *a = is_packed ? &old_payload : golden;
    const struct cairn_buffer *b = is_packed ? &new_payload : &again;
    const bool is_same = a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
    ck_assert_msg(is_same == is_canonical, "%s", name);
}

/* What was written before a savepoint said where it is, is a pointer to somewhere; and whatever can
 * be restored says so by its state. */
START_TEST(savepoints_are_told_from_pointers)
{
    CRN_AUTO_RECORD struct crn_record *pointer = crn_test_savepoint();
    CRN_AUTO_RECORD struct crn_record *whole = crn_test_canonical_savepoint();
    ck_assert(!crn_record_is_restorable(pointer));
    ck_assert_int_eq(pointer->info.state, CAIRN_STATE_SAVEPOINT);
    ck_assert_uint_eq(pointer->info.is_full, 0);
    ck_assert(crn_record_is_restorable(whole));
    ck_assert_int_eq(whole->info.state, CAIRN_STATE_COMPLETE);
    ck_assert_uint_eq(whole->info.is_full, 1);
    ck_assert_uint_eq(whole->info.new_bytes, whole->info.full_bytes);

    CRN_AUTO_RECORD struct crn_record *early = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    read_golden("tolerated-early-savepoint", &bytes);
    ck_assert_int_eq(decode(bytes.data, bytes.size, &early), 0);
    ck_assert(!crn_record_is_restorable(early));
    ck_assert_int_eq(early->info.state, CAIRN_STATE_SAVEPOINT);
    ck_assert_str_eq(early->info.location, "?");
}
END_TEST

/* The copy is complete, and outlives what it was made of. */
START_TEST(operators_are_copied_whole)
{
    struct crn_record *original = crn_test_canonical_savepoint();
    CRN_AUTO_RECORD struct crn_record *expected = crn_test_canonical_savepoint();
    CRN_AUTO_RECORD struct crn_record *copy = crn_test_canonical_savepoint();
    struct crn_operator *op = crn_record_add_operator(copy);
    ck_assert_int_eq(crn_operator_copy(op, &original->operators[0]), 0);
    crn_record_free(original);
    const struct crn_operator first = copy->operators[0];
    copy->operators[0] = copy->operators[1];
    copy->operators[1] = first;
    copy->operator_count = 1;
    const char *difference = crn_test_record_difference(expected, copy);
    ck_assert_msg(difference == NULL, "%s", difference);
    copy->operator_count = 2; /* so that both are released */
}
END_TEST

START_TEST(golden_files_keep_their_verdict)
{
    DIR *directory = opendir(GOLDEN_DIRECTORY);
    ck_assert_ptr_nonnull(directory);
    size_t good = 0, tolerated = 0, bad = 0, unsupported = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (name[0] == '.')
            continue;
        CRN_AUTO_BUFFER struct cairn_buffer golden = {0};
        read_golden(name, &golden);
        if (strncmp(name, "good-", 5) == 0) {
            check_good(name, &golden, true);
            good++;
        } else if (strncmp(name, "tolerated-", 10) == 0) {
            check_good(name, &golden, false);
            tolerated++;
        } else if (strncmp(name, "bad-", 4) == 0) {
            ck_assert_msg(decode(golden.data, golden.size, NULL) == CAIRN_ECORRUPT, "%s", name);
            bad++;
        } else if (strncmp(name, "unsupported-", 12) == 0) {
            ck_assert_msg(decode(golden.data, golden.size, NULL) == CAIRN_EVERSION, "%s", name);
            unsupported++;
        } else {
            ck_abort_msg("no verdict in the name '%s'", name);
        }
    }
    (void)closedir(directory);
    ck_assert_uint_ge(good, 7);
    ck_assert_uint_ge(tolerated, 4);
    ck_assert_uint_ge(bad, 15);
    ck_assert_uint_ge(unsupported, 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("manifest");
    TCase *codec = tcase_create("codec");
    tcase_set_timeout(codec, 60);
    tcase_add_test(codec, fixed_records_survive);
    tcase_add_test(codec, random_records_survive);
    tcase_add_test(codec, sums_follow_from_the_files);
    tcase_add_test(codec, sums_of_hostile_sizes_stop_at_the_top);
    tcase_add_test(codec, free_texts_are_made_fit);
    tcase_add_test(codec, many_files_cost_linear_time);
    tcase_add_test(codec, savepoints_are_told_from_pointers);
    tcase_add_test(codec, operators_are_copied_whole);
    tcase_add_test(codec, golden_files_keep_their_verdict);
    suite_add_tcase(s, codec);

    TCase *hostile = tcase_create("hostile");
    tcase_set_timeout(hostile, 60);
    tcase_add_loop_test(hostile, every_truncation_is_damage, 0, 2);
    tcase_add_loop_test(hostile, every_flipped_bit_is_damage, 0, 2);
    tcase_add_loop_test(hostile, sealed_damage_never_crashes, 0, 2);
    tcase_add_test(hostile, what_is_no_manifest_is_called_so);
    tcase_add_test(hostile, newer_is_told_from_damaged);
    tcase_add_test(hostile, slices_are_announced);
    tcase_add_test(hostile, lengths_must_fit_exactly);
    tcase_add_test(hostile, packed_length_is_not_believed);
    tcase_add_loop_test(hostile, empty_messages_do_not_multiply, 0, 2);
    suite_add_tcase(s, hostile);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
