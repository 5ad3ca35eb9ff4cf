/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the bytes of records in flight (P8, P10, P11): what is stored comes back; golden files
 * keep their verdict, and the examples of docs/format.md are the golden file and a barrier; a file
 * that is cut anywhere, or has any bit turned over, is an error; nothing grows over its bound. And
 * that dealing out to another parallelism gives each record to one subtask, in its order. Method:
 * files in tests/golden-in-flight, every cut and every bit of a small file, and random records.
 */
#include "engine/gate/in_flight.h"

#include "base/error.h"
#include "base/file.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

#define GOLDEN CRN_TEST_SOURCE_ROOT "/tests/golden-in-flight"
#define AUTO_IN_FLIGHT CRN_CLEANUP(crn_in_flight_done)

static void load(const char *path, uint8_t **ret, size_t *ret_size)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (crn_file_read_all(path, 1 << 24, ret, ret_size, &error) < 0)
        ck_abort_msg("%s", cairn_error_message(error));
}

/* A few records of odd sizes and channels. */
static void fill(struct crn_in_flight *records)
{
    static const char text[] =
        "a record that is somewhat longer than the others, and then some more of "
        "it, so that its length takes two bytes as a varint: that is all of it";
    ck_assert_int_eq(crn_in_flight_append(records, 0, "order 17", 8, 1000), 0);
    ck_assert_int_eq(crn_in_flight_append(records, 65535, "", 0, 1000), 0);
    ck_assert_int_eq(crn_in_flight_append(records, 127, text, sizeof text, 1000), 0);
    ck_assert_int_eq(crn_in_flight_append(records, 128, NULL, 0, 1000), 0);
}

static void check_same(const struct crn_in_flight *a, const struct crn_in_flight *b)
{
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_uint_eq(a->bytes.size, b->bytes.size);
    ck_assert_mem_eq(a->bytes.data, b->bytes.data, a->bytes.size);
}

START_TEST(what_is_stored_comes_back)
{
    AUTO_IN_FLIGHT struct crn_in_flight records = {0}, again = {0};
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    uint32_t channel = 0;
    const void *data = NULL;
    size_t size = 0, position = 0;
    fill(&records);
    ck_assert_int_eq(crn_in_flight_seal(&records, &sealed, NULL), 0);
    ck_assert_int_eq(crn_in_flight_unseal(sealed.data, sealed.size, &again, NULL), 0);
    check_same(&records, &again);
    ck_assert(crn_in_flight_next(&again.bytes, &position, &channel, &data, &size));
    ck_assert_uint_eq(channel, 0);
    ck_assert_uint_eq(size, 8);
    ck_assert_mem_eq(data, "order 17", 8);
    ck_assert(crn_in_flight_next(&again.bytes, &position, &channel, &data, &size));
    ck_assert_uint_eq(channel, 65535);
    ck_assert_uint_eq(size, 0);
    ck_assert(crn_in_flight_next(&again.bytes, &position, &channel, &data, &size));
    ck_assert(crn_in_flight_next(&again.bytes, &position, &channel, &data, &size));
    ck_assert(!crn_in_flight_next(&again.bytes, &position, &channel, &data, &size));
}
END_TEST

/* Lengths count; what does not fit changes nothing, and something smaller may still. */
START_TEST(bounds_hold)
{
    AUTO_IN_FLIGHT struct crn_in_flight records = {0};
    ck_assert_int_eq(crn_in_flight_append(&records, 1, "1234567", 7, 9), 0);
    ck_assert_uint_eq(records.bytes.size, 9);
    ck_assert_int_eq(crn_in_flight_append(&records, 1, "", 0, 10), CAIRN_ENOSPC);
    ck_assert_int_eq(crn_in_flight_append(&records, 1, "", 0, 3), CAIRN_ENOSPC);
    ck_assert_int_eq(crn_in_flight_append(&records, 1, "", SIZE_MAX, UINT32_MAX), CAIRN_ENOSPC);
    ck_assert_uint_eq(records.bytes.size, 9);
    ck_assert_uint_eq(records.count, 1);
    ck_assert_int_eq(crn_in_flight_append(&records, 1, "", 0, 11), 0);
    ck_assert_uint_eq(records.count, 2);
}
END_TEST

START_TEST(every_cut_is_an_error)
{
    AUTO_IN_FLIGHT struct crn_in_flight records = {0}, again = {0};
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    fill(&records);
    ck_assert_int_eq(crn_in_flight_seal(&records, &sealed, NULL), 0);
    for (size_t n = 0; n < sealed.size; n++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_FREE uint8_t *cut = malloc(n + 1); /* of its own: a sanitizer sees a read behind */
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, sealed.data, n);
        if (crn_in_flight_unseal(cut, n, &again, &error) != CAIRN_ECORRUPT || error == NULL)
            ck_abort_msg("cut to %zu bytes, and taken", n);
    }
    ck_assert_uint_eq(again.count + again.bytes.size, 0);
}
END_TEST

START_TEST(every_flipped_bit_is_an_error)
{
    AUTO_IN_FLIGHT struct crn_in_flight records = {0}, again = {0};
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    fill(&records);
    ck_assert_int_eq(crn_in_flight_seal(&records, &sealed, NULL), 0);
    for (size_t bit = 0; bit < 8 * sealed.size; bit++) {
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = crn_in_flight_unseal(sealed.data, sealed.size, &again, NULL);
        if (r != CAIRN_ECORRUPT && (r != CAIRN_EVERSION || bit / 8 != 4))
            ck_abort_msg("bit %zu turned over: %s", bit, cairn_error_name(r));
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_eq(again.count + again.bytes.size, 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Golden files and the document
 * ------------------------------------------------------------------------------------------ */

START_TEST(golden_files_keep_their_verdict)
{
    CRN_AUTO_ERROR cairn_error *list_error = NULL;
    char **names;
    size_t count, good = 0;
    ck_assert_int_eq(crn_file_list_dir(GOLDEN, &names, &count, &list_error), 0);
    for (size_t i = 0; i < count; i++) {
        AUTO_IN_FLIGHT struct crn_in_flight records = {0};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_AUTO_FREE uint8_t *data = NULL;
        size_t size;
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", GOLDEN, names[i]);
        load(path, &data, &size);
        int r = crn_in_flight_unseal(data, size, &records, &error);
        int wanted = strncmp(names[i], "bad-", 4) == 0            ? CAIRN_ECORRUPT
                     : strncmp(names[i], "unsupported-", 12) == 0 ? CAIRN_EVERSION
                                                                  : 0;
        if (r != wanted)
            ck_abort_msg("%s: %s", names[i], cairn_error_name(r));
        if (r == 0) {
            CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
            ck_assert_int_eq(crn_in_flight_seal(&records, &sealed, NULL), 0);
            ck_assert_uint_eq(sealed.size, size);
            ck_assert_mem_eq(sealed.data, data, size);
            good++;
        }
    }
    crn_file_free_names(names, count);
    ck_assert_uint_ge(good, 1);
    ck_assert_uint_ge(count, 12);
}
END_TEST

/* The hex block behind a mark in docs/format.md; '#' starts a comment. */
static void read_block(const char *mark, struct cairn_buffer *out)
{
    CRN_AUTO_FREE uint8_t *document = NULL;
    size_t size;
    unsigned byte;
    int n;
    load(CRN_TEST_SOURCE_ROOT "/docs/format.md", &document, &size);
    const char *at = strstr((const char *)document, mark);
    ck_assert_msg(at != NULL, "no '%s' in docs/format.md", mark);
    at = strstr(at, "```\n");
    ck_assert_ptr_nonnull(at);
    for (at += 4; strncmp(at, "```", 3) != 0; at++) {
        if (*at == '#')
            at += strcspn(at, "\n");
        else if (sscanf(at, "%2x%n", &byte, &n) == 1 && n >= 2 && *at != ' ' && *at != '\n') {
            ck_assert_int_eq(crn_buf_append_u8(out, (uint8_t)byte), 0);
            at++;
        }
    }
}

START_TEST(examples_of_the_document)
{
    CRN_AUTO_BUFFER struct cairn_buffer block = {0}, barrier = {0};
    CRN_AUTO_FREE uint8_t *golden = NULL;
    size_t size;
    cairn_barrier got;
    read_block("<!-- hex records in flight -->", &block);
    load(GOLDEN "/good-example", &golden, &size);
    ck_assert_uint_eq(block.size, size);
    ck_assert_mem_eq(block.data, golden, size);
    read_block("<!-- hex barrier -->", &barrier);
    ck_assert_int_eq(cairn_barrier_decode(barrier.data, barrier.size, &got), 0);
    ck_assert_uint_eq(got.checkpoint_id, 17);
    ck_assert_int_eq(got.trigger_time_ms, 1767225600000);
    ck_assert_uint_eq(got.flags, CAIRN_BARRIER_SAVEPOINT);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Dealing out
 * ------------------------------------------------------------------------------------------ */

#define STORED 3u
#define RECORDS 500u
#define MAX_PARALLELISM 16u

static int key_of(void *context, const void *record, size_t size, const void **ret_key,
                  size_t *ret_key_size)
{
    (void)context;
    *ret_key = record;
    *ret_key_size = size / 2;
    return 0;
}

/* Each record is a text that says where it came from. */
static void fill_stored(struct crn_in_flight *stored)
{
    for (unsigned s = 0; s < STORED; s++)
        for (unsigned i = 0; i < RECORDS; i++) {
            char text[32];
            int n = snprintf(text, sizeof text, "%u.%u.%06u", s, i % 5, i);
            ck_assert_int_eq(crn_in_flight_append(&stored[s], i % 5, text, (size_t)n, UINT32_MAX),
                             0);
        }
}

START_TEST(each_record_goes_to_one_subtask)
{
    uint32_t parallelism = 1 + (uint32_t)_i / 2;
    struct crn_in_flight stored[STORED] = {{{0}, 0}};
    unsigned total = 0;
    fill_stored(stored);
    for (uint32_t subtask = 0; subtask < parallelism; subtask++) {
        AUTO_IN_FLIGHT struct crn_in_flight got = {0};
        struct crn_dealing dealing = {
            .partitioning = _i % 2 == 0 ? CAIRN_PARTITION_ANY : CAIRN_PARTITION_BY_KEY,
            .key_of = key_of,
            .subtask = subtask,
            .parallelism = parallelism,
            .max_parallelism = MAX_PARALLELISM,
        };
        for (unsigned s = 0; s < STORED; s++)
            ck_assert_int_eq(crn_in_flight_deal(&dealing, &stored[s], &got, NULL), 0);
        int last[STORED][5];
        memset(last, -1, sizeof last);
        uint32_t channel;
        const void *data;
        size_t position = 0, size;
        while (crn_in_flight_next(&got.bytes, &position, &channel, &data, &size)) {
            unsigned from, in, number;
            ck_assert_int_eq(sscanf(data, "%u.%u.%6u", &from, &in, &number), 3);
            ck_assert_uint_eq(channel, in);
            ck_assert_int_gt((int)number, last[from][in]);
            last[from][in] = (int)number;
            if (_i % 2 == 1)
                ck_assert_int_eq(cairn_subtask_of_key(data, size / 2, parallelism, MAX_PARALLELISM),
                                 (int)subtask);
            total++;
        }
        if (_i % 2 == 0)
            ck_assert_uint_le(got.count, (STORED * RECORDS + parallelism - 1) / parallelism);
    }
    ck_assert_uint_eq(total, STORED * RECORDS); /* and none twice: each fits one subtask only */
    for (unsigned s = 0; s < STORED; s++)
        crn_in_flight_done(&stored[s]);
}
END_TEST

static Suite *in_flight_suite(void)
{
    Suite *suite = suite_create("in_flight");
    TCase *tcase = tcase_create("in_flight");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, what_is_stored_comes_back);
    tcase_add_test(tcase, bounds_hold);
    tcase_add_test(tcase, every_cut_is_an_error);
    tcase_add_test(tcase, every_flipped_bit_is_an_error);
    tcase_add_test(tcase, golden_files_keep_their_verdict);
    tcase_add_test(tcase, examples_of_the_document);
    tcase_add_loop_test(tcase, each_record_goes_to_one_subtask, 0, 8);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(in_flight_suite());
}
