/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks (P8, P11): what is written is read, in lines that a person can read; anything else, every
 * truncation and every changed bit, is told from a mark; a later version is told from damage. The
 * bytes here are those of docs/format.md.
 */
#include "base/hash.h"
#include "manifest/marks.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <string.h>

static const char claim_text[] = "cairn-mark 1\n"
                                 "kind CLAIMED\n"
                                 "id 42\n"
                                 "uuid 000102030405060708090a0b0c0d0e0f\n"
                                 "of savepoint\n"
                                 "job orders\n"
                                 "location file:///var/lib/orders\n"
                                 "fence-id 3\n"
                                 "fence-epoch 2\n"
                                 "fence-uuid a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\n"
                                 "time 1700000000000\n"
                                 "host node-1\n"
                                 "pid 4711\n";

static void claim(struct crn_mark *ret)
{
    *ret = (struct crn_mark){.kind = CRN_MARK_CLAIM,
                             .id = 42,
                             .job = strdup("orders"),
                             .location = strdup("file:///var/lib/orders"),
                             .fence_id = 3,
                             .fence_epoch = 2,
                             .time_ms = 1700000000000,
                             .host = strdup("node-1"),
                             .pid = 4711};
    for (uint8_t i = 0; i < 16; i++) {
        ret->uuid[i] = i;
        ret->fence_uuid[i] = (uint8_t)(0xa0 + i);
    }
}

static int decode_at(const char *key, const void *data, size_t size, struct crn_mark *ret)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = crn_mark_decode(key, data, size, ret, &error);
    ck_assert_int_eq(cairn_error_code(error), r);
    if (r < 0)
        ck_assert_str_eq(cairn_error_object(error), key);
    return r;
}

static int decode(const void *data, size_t size, struct crn_mark *ret)
{
    return decode_at("s/CLAIMED", data, size, ret);
}

/* Lines with a right checksum behind them. */
static int decode_lines(const char *lines)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_MARK struct crn_mark mark = {0};
    ck_assert_int_eq(crn_buf_printf(&bytes, "%schecksum %016" PRIx64 "\n", lines,
                                    crn_hash64_of(lines, strlen(lines))),
                     0);
    return decode(bytes.data, bytes.size, &mark);
}

START_TEST(a_claim_is_lines_of_text)
{
    CRN_AUTO_MARK struct crn_mark mark = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    claim(&mark);
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    ck_assert_mem_eq(bytes.data, claim_text, sizeof(claim_text) - 1);
    ck_assert_int_eq(decode(bytes.data, bytes.size, &back), 0);
    ck_assert_int_eq(back.kind, CRN_MARK_CLAIM);
    ck_assert_uint_eq(back.id, 42);
    ck_assert_mem_eq(back.uuid, mark.uuid, 16);
    ck_assert_str_eq(back.job, "orders");
    ck_assert_str_eq(back.location, "file:///var/lib/orders");
    ck_assert_uint_eq(back.fence_id, 3);
    ck_assert_uint_eq(back.fence_epoch, 2);
    ck_assert_mem_eq(back.fence_uuid, mark.fence_uuid, 16);
    ck_assert_int_eq(back.time_ms, 1700000000000);
    ck_assert_str_eq(back.host, "node-1");
    ck_assert_uint_eq(back.pid, 4711);
    ck_assert(!back.of_job);
    ck_assert_str_eq(crn_mark_key(back.kind), "CLAIMED");
    mark.of_job = true;
    crn_mark_done(&back);
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    ck_assert_int_eq(decode(bytes.data, bytes.size, &back), 0);
    ck_assert(back.of_job);
}
END_TEST

START_TEST(a_disposal_names_no_job)
{
    CRN_AUTO_MARK struct crn_mark mark = {.kind = CRN_MARK_DISPOSAL, .id = UINT64_MAX};
    CRN_AUTO_MARK struct crn_mark back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    mark.uuid[15] = 1;
    mark.time_ms = -5;
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    ck_assert_int_eq(decode_at("DISPOSING", bytes.data, bytes.size, &back), 0);
    ck_assert_int_eq(back.kind, CRN_MARK_DISPOSAL);
    ck_assert_uint_eq(back.id, UINT64_MAX);
    ck_assert_int_eq(back.time_ms, 0);
    ck_assert_str_eq(back.host, "");
    ck_assert_ptr_null(back.job);
    ck_assert_str_eq(crn_mark_key(back.kind), "DISPOSING");
}
END_TEST

/* A claim without a job, or a disposal with one, would be neither. */
START_TEST(a_mark_stands_at_the_key_of_its_kind)
{
    CRN_AUTO_MARK struct crn_mark mark = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    claim(&mark);
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    ck_assert_int_eq(decode_at("s/DISPOSING", bytes.data, bytes.size, &back), CAIRN_ECORRUPT);
    ck_assert_int_eq(decode_at("s/CLAIMED/x", bytes.data, bytes.size, &back), CAIRN_ECORRUPT);
    mark.kind = CRN_MARK_DISPOSAL;
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    ck_assert_int_eq(decode(bytes.data, bytes.size, &back), CAIRN_ECORRUPT);
    ck_assert_int_eq(decode_at("s/DISPOSING", bytes.data, bytes.size, &back), 0);
}
END_TEST

START_TEST(damage_is_noticed)
{
    CRN_AUTO_MARK struct crn_mark mark = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    claim(&mark);
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    for (size_t n = 0; n < bytes.size; n++) {
        CRN_AUTO_FREE char *exact = crn_str_dup_n(bytes.data, n);
        ck_assert_int_eq(decode(exact, n, &back), CAIRN_ECORRUPT);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(decode(bytes.data, bytes.size, &back), CAIRN_ECORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    ck_assert_int_eq(decode(bytes.data, bytes.size, &back), 0);
}
END_TEST

/* Somebody with a hash function, and a text editor. */
START_TEST(only_one_spelling_is_a_mark)
{
    static const char *const changes[][2] = {
        {"id 42", "id 042"},
        {"of savepoint", "of something"},
        {"id 42", "id 0"},
        {"id 42", "id +2"},
        {"id 42", "id 99999999999999999999"},
        {"id 42\n", "id 42 \n"},
        {"id 42\n", "id 42\nid 42\n"},
        {"uuid 00", "uuid 0x"},
        {"uuid 000102030405060708090a0b0c0d0e0f", "uuid 000102030405060708090A0B0C0D0E0F"},
        {"uuid 000102030405060708090a0b0c0d0e0f", "uuid 00000000000000000000000000000000"},
        {"uuid 000102030405060708090a0b0c0d0e0f", "uuid 000102030405060708090a0b0c0d0e"},
        {"job orders", "job ../orders"},
        {"job orders", "job "},
        {"job orders\n", ""},
        {"kind CLAIMED", "kind DISPOSING"},
        {"kind CLAIMED", "kind TAKEN"},
        {"fence-id 3", "fence-id 0"},
        {"fence-epoch 2", "fence-epoch 0"},
        {"time 1700000000000", "time -1"},
        {"host node-1", "host \x1b[2J"},
        {"host node-1", "host \xff"},
        {"pid 4711\n", "pid 4711\nmore 1\n"},
        {"pid 4711\n", "pid 4711"},
    };
    ck_assert_int_eq(decode_lines(claim_text), 0);
    for (size_t i = 0; i < CRN_COUNT(changes); i++) {
        CRN_AUTO_BUFFER struct cairn_buffer text = {0};
        const char *at = strstr(claim_text, changes[i][0]);
        ck_assert_ptr_nonnull(at);
        ck_assert_int_eq(crn_buf_printf(&text, "%.*s%s%s", (int)(at - claim_text), claim_text,
                                        changes[i][1], at + strlen(changes[i][0])),
                         0);
        ck_assert_msg(decode_lines((const char *)text.data) == CAIRN_ECORRUPT, "case %zu", i);
    }
    ck_assert_int_eq(decode_lines(""), CAIRN_ECORRUPT);
    ck_assert_int_eq(decode_lines("cairn-mark 0\n"), CAIRN_ECORRUPT);
    ck_assert_int_eq(decode_lines("cairn-mark 2\nin a new way\n"), CAIRN_EVERSION);
}
END_TEST

START_TEST(texts_are_made_fit)
{
    CRN_AUTO_MARK struct crn_mark mark = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    claim(&mark);
    free(mark.location);
    free(mark.host);
    mark.location = malloc(10001);
    memset(mark.location, 'x', 10000);
    mark.location[10000] = '\0';
    mark.host = strdup("a\nb\xff");
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), 0);
    ck_assert_uint_le(bytes.size, CRN_LIMIT_MARK);
    ck_assert_int_eq(decode(bytes.data, bytes.size, &back), 0);
    ck_assert_uint_eq(strlen(back.location), 4096);
    ck_assert_str_eq(back.host, "a?b?");
}
END_TEST

START_TEST(what_cannot_be_is_not_written)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), CAIRN_EINVAL);
    claim(&mark);
    mark.id = 0;
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), CAIRN_EINVAL);
    mark.id = 1;
    mark.job[0] = '.';
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), CAIRN_EINVAL);
    mark.job[0] = 'o';
    mark.fence_epoch = 0;
    ck_assert_int_eq(crn_mark_encode(&mark, &bytes, NULL), CAIRN_EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("marks");
    TCase *marks = tcase_create("marks");
    tcase_set_timeout(marks, 30);
    tcase_add_test(marks, a_claim_is_lines_of_text);
    tcase_add_test(marks, a_disposal_names_no_job);
    tcase_add_test(marks, a_mark_stands_at_the_key_of_its_kind);
    tcase_add_test(marks, damage_is_noticed);
    tcase_add_test(marks, only_one_spelling_is_a_mark);
    tcase_add_test(marks, texts_are_made_fit);
    tcase_add_test(marks, what_cannot_be_is_not_written);
    suite_add_tcase(suite, marks);
    return crn_test_run(suite);
}
