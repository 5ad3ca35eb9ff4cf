/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of posts and mails (P8, P10, P11). Proves that every field survives a round trip, in the
 * bytes that a second encoder gives too (fixed and random messages); that damage is always noticed
 * (every truncation, every flipped bit), and what is sealed all the same is a message that we could
 * have written, in the one spelling that it has; that a newer version is told from damage; that
 * hostile sizes cost no memory; and that what was once written stays readable (golden files).
 */
#include "base/file.h"
#include "manifest/internal.h"
#include "tests/support/messages.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define GOLDEN_DIRECTORY CRN_TEST_SOURCE_ROOT "/tests/golden-cluster/"

/* Either a post or a mail, so that every test can be run over both. */
struct message {
    bool is_mail;
    struct crn_post post;
    struct crn_mail mail;
};
#define AUTO_MESSAGE CRN_CLEANUP(message_done)

static void message_done(struct message *message)
{
    crn_post_done(&message->post);
    crn_mail_done(&message->mail);
}

static void key_of(const struct message *message, char key[CRN_KEY_MAX])
{
    const struct crn_mail *mail = &message->mail;
    if (message->is_mail)
        crn_key_mail(key, mail->epoch, mail->worker, mail->number);
    else
        crn_key_post(key, message->post.epoch, message->post.number);
}

static int encode(const struct message *message, struct cairn_buffer *out, cairn_error **reterr)
{
    return message->is_mail ? crn_mail_encode(&message->mail, out, reterr)
                            : crn_post_encode(&message->post, out, reterr);
}

static void must_encode(const struct message *message, struct cairn_buffer *out)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = encode(message, out, &error);
    ck_assert_msg(r == 0, "encode: %s", cairn_error_message(error));
}

/* The code, and that the error names the object, and that only success fills the message. */
static int decode(const char *key, bool is_mail, const void *data, size_t size, struct message *ret)
{
    static const struct message nothing;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    AUTO_MESSAGE struct message message = {0};
    const int r = is_mail ? crn_mail_decode(key, data, size, &message.mail, &error)
                          : crn_post_decode(key, data, size, &message.post, &error);
    ck_assert_int_eq(cairn_error_code(error), r);
    if (r != 0) {
        ck_assert_str_eq(cairn_error_object(error), key);
        ck_assert_msg(strstr(cairn_error_message(error), key) != NULL, "%s",
                      cairn_error_message(error));
        /* It is called what it should have been. */
        ck_assert(is_mail || strstr(cairn_error_message(error), "manifest") == NULL);
        ck_assert(memcmp(&message, &nothing, sizeof message) == 0);
    }
    if (ret != NULL) {
        *ret = message;
        ret->is_mail = is_mail;
        message = nothing;
    }
    return r;
}

static const char *difference(const struct message *a, const struct message *b)
{
    return a->is_mail ? crn_test_mail_difference(&a->mail, &b->mail)
                      : crn_test_post_difference(&a->post, &b->post);
}

/* As the second encoder has it, given the same bytes of a record. */
static void payload_of(const struct message *message, struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer record = {0};
    if (message->is_mail && message->mail.record != NULL)
        ck_assert_int_eq(crn_record_encode_part(message->mail.record, &record, NULL), 0);
    if (message->is_mail)
        crn_test_mail_payload(&message->mail, &record, out);
    else
        crn_test_post_payload(&message->post, out);
}

static void check_round_trip(const struct message *message)
{
    CRN_AUTO_BUFFER struct cairn_buffer first = {0}, again = {0}, payload = {0}, expected = {0};
    AUTO_MESSAGE struct message back = {0};
    char key[CRN_KEY_MAX];
    key_of(message, key);
    must_encode(message, &first);
    must_encode(message, &again);
    ck_assert_uint_eq(first.size, again.size);
    ck_assert_mem_eq(first.data, again.data, first.size);
    crn_test_frame_payload(first.data, first.size, &payload);
    payload_of(message, &expected);
    ck_assert_uint_eq(payload.size, expected.size);
    ck_assert_mem_eq(payload.data, expected.data, payload.size);

    ck_assert_int_eq(decode(key, message->is_mail, first.data, first.size, &back), 0);
    const char *field = difference(message, &back);
    ck_assert_msg(field == NULL, "%s of '%s'", field, key);
    must_encode(&back, &again);
    ck_assert_uint_eq(first.size, again.size);
    ck_assert_mem_eq(first.data, again.data, first.size);
}

#define POSTS ((int)CRN_POST_REPLACED + 1) /* one more: a savepoint's trigger */
#define MAILS ((int)CRN_MAIL_LEAVE)

/* The i-th of the fixed ones. */
static struct message fixed(int i)
{
    struct message message = {.is_mail = i >= POSTS};
    if (message.is_mail)
        message.mail = crn_test_mail((enum crn_mail_kind)(i - POSTS + 1));
    else if (i == POSTS - 1)
        message.post = crn_test_savepoint_post();
    else
        message.post = crn_test_post((enum crn_post_kind)(i + 1));
    return message;
}

START_TEST(fixed_messages_survive)
{
    AUTO_MESSAGE struct message message = fixed(_i);
    check_round_trip(&message);
}
END_TEST

START_TEST(random_messages_survive)
{
    uint64_t state = crn_test_seed();
    for (int i = 0; i < 4000; i++) {
        AUTO_MESSAGE struct message message = {.is_mail = i % 2 == 1};
        if (message.is_mail)
            message.mail = crn_test_random_mail(&state);
        else
            message.post = crn_test_random_post(&state);
        check_round_trip(&message);
    }
}
END_TEST

START_TEST(texts_that_may_be_missing_are_read_back_empty)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    AUTO_MESSAGE struct message post = {.post = crn_test_post(CRN_POST_PLAN)}, read_post = {0};
    AUTO_MESSAGE struct message mail = {true, .mail = crn_test_mail(CRN_MAIL_JOIN)},
                                read_mail = {0};
    char key[CRN_KEY_MAX];
    free(CRN_TAKE(post.post.plan.source_location));
    key_of(&post, key);
    must_encode(&post, &bytes);
    ck_assert_int_eq(decode(key, false, bytes.data, bytes.size, &read_post), 0);
    ck_assert_ptr_null(read_post.post.plan.source_location); /* that has a meaning */
    ck_assert_str_eq(read_post.post.text, "");

    free(CRN_TAKE(mail.mail.name));
    free(CRN_TAKE(mail.mail.host));
    free(CRN_TAKE(mail.mail.subtasks[0].name));
    key_of(&mail, key);
    must_encode(&mail, &bytes);
    ck_assert_int_eq(decode(key, true, bytes.data, bytes.size, &read_mail), 0);
    ck_assert_str_eq(read_mail.mail.name, "");
    ck_assert_str_eq(read_mail.mail.host, "");
    ck_assert_str_eq(read_mail.mail.text, "");
    ck_assert_str_eq(read_mail.mail.subtasks[0].name, "");
}
END_TEST

static char *long_text(size_t size)
{
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    text[0] = '\n';
    return text;
}

/* What a store or a person chose is made fit; the sender's own struct stays as it is. */
START_TEST(free_texts_and_foreign_codes_are_made_fit)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    AUTO_MESSAGE struct message join = {true, .mail = crn_test_mail(CRN_MAIL_JOIN)}, back = {0};
    AUTO_MESSAGE struct message ended = {.post = crn_test_post(CRN_POST_ENDED)}, end = {0};
    char key[CRN_KEY_MAX];
    free(join.mail.name);
    free(join.mail.host);
    join.mail.name = long_text(300);
    join.mail.host = long_text(256);
    key_of(&join, key);
    must_encode(&join, &bytes);
    ck_assert_int_eq(join.mail.name[0], '\n');
    ck_assert_int_eq(decode(key, true, bytes.data, bytes.size, &back), 0);
    ck_assert_uint_eq(strlen(back.mail.name), 255);
    ck_assert_uint_eq(strlen(back.mail.host), 255);
    ck_assert_int_eq(back.mail.name[0], '?');

    free(ended.post.text);
    ended.post.text = long_text(5000);
    ended.post.code = -777;
    key_of(&ended, key);
    must_encode(&ended, &bytes);
    ck_assert_int_eq(decode(key, false, bytes.data, bytes.size, &end), 0);
    ck_assert_uint_eq(strlen(end.post.text), 4096);
    ck_assert_int_eq(end.post.code, CAIRN_EIO);
    ck_assert_int_eq(ended.post.code, -777);
}
END_TEST

START_TEST(the_largest_start_fits)
{
    AUTO_MESSAGE struct message start = {.post = crn_test_post(CRN_POST_START)};
    free(start.post.members);
    start.post.member_count = CRN_LIMIT_WORKERS;
    start.post.members = calloc(CRN_LIMIT_WORKERS, sizeof *start.post.members);
    for (uint32_t i = 0; i < CRN_LIMIT_WORKERS; i++) {
        memcpy(start.post.members[i].worker, &(uint32_t){i + 1}, 4);
        start.post.members[i].index = i;
    }
    check_round_trip(&start);
}
END_TEST

/* --- damage --- */

START_TEST(every_truncation_is_damage)
{
    AUTO_MESSAGE struct message message = fixed(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char key[CRN_KEY_MAX];
    key_of(&message, key);
    must_encode(&message, &bytes);
    for (size_t n = 0; n < bytes.size; n++) {
        CRN_AUTO_FREE uint8_t *exact = malloc(n + (n == 0));
        memcpy(exact, bytes.data, n);
        ck_assert_int_eq(decode(key, message.is_mail, exact, n, NULL), CAIRN_ECORRUPT);
    }
    ck_assert_int_eq(crn_buf_append_u8(&bytes, 0), 0);
    ck_assert_int_eq(decode(key, message.is_mail, bytes.data, bytes.size, NULL), CAIRN_ECORRUPT);
}
END_TEST

START_TEST(every_flipped_bit_is_damage)
{
    AUTO_MESSAGE struct message message = fixed(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char key[CRN_KEY_MAX];
    key_of(&message, key);
    must_encode(&message, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(decode(key, message.is_mail, bytes.data, bytes.size, NULL),
                         CAIRN_ECORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    ck_assert_int_eq(decode(key, message.is_mail, bytes.data, bytes.size, NULL), 0);
}
END_TEST

/* Encoded again, it has the payload that was read: there is one spelling. It is shorter if fields
 * were skipped that are not known; a record within it is spelled by its own format. */
static void check_spelling(const struct message *message, const struct cairn_buffer *payload)
{
    CRN_AUTO_BUFFER struct cairn_buffer again = {0}, second = {0};
    must_encode(message, &again);
    crn_test_frame_payload(again.data, again.size, &second);
    ck_assert_uint_le(second.size, payload->size + (message->mail.record != NULL ? 64 : 0));
    if (second.size == payload->size && message->mail.record == NULL)
        ck_assert_mem_eq(second.data, payload->data, second.size);
}

/* Somebody with a hash function: the checksum is right, the rest is not. */
START_TEST(sealed_damage_never_crashes)
{
    AUTO_MESSAGE struct message message = fixed(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0};
    char key[CRN_KEY_MAX];
    key_of(&message, key);
    payload_of(&message, &payload);
    for (size_t bit = 0; bit < payload.size * 8; bit++) {
        AUTO_MESSAGE struct message back = {0};
        payload.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
        crn_test_frame_put(&frame, &bytes);
        const int r = decode(key, message.is_mail, bytes.data, bytes.size, &back);
        ck_assert(r == 0 || r == CAIRN_ECORRUPT ||
                  (r == CAIRN_EVERSION && message.mail.record != NULL));
        if (r == 0)
            check_spelling(&back, &payload);
        payload.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
END_TEST

START_TEST(newer_is_told_from_damaged)
{
    AUTO_MESSAGE struct message message = fixed(_i);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, payload = {0};
    char key[CRN_KEY_MAX];
    key_of(&message, key);
    payload_of(&message, &payload);
    struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    frame.version = 2;
    crn_test_frame_put(&frame, &bytes);
    ck_assert_int_eq(decode(key, message.is_mail, bytes.data, bytes.size, NULL), CAIRN_EVERSION);
    frame.version = 1;
    frame.incompatible = 2;
    crn_test_frame_put(&frame, &bytes);
    ck_assert_int_eq(decode(key, message.is_mail, bytes.data, bytes.size, NULL), CAIRN_EVERSION);
    frame.incompatible = CRN_FRAME_SLICES; /* known, but of no message */
    crn_test_frame_put(&frame, &bytes);
    ck_assert_int_eq(decode(key, message.is_mail, bytes.data, bytes.size, NULL), CAIRN_ECORRUPT);
}
END_TEST

/* --- hostile sizes --- */

/* Many empty messages of two bytes each, which packing makes almost nothing. */
static int decode_bomb(bool is_mail, size_t count)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0}, bytes = {0}, join = {0};
    AUTO_MESSAGE struct message message = {.is_mail = is_mail};
    char key[CRN_KEY_MAX];
    if (is_mail)
        message.mail = crn_test_mail(CRN_MAIL_JOIN);
    else
        message.post = crn_test_post(CRN_POST_START);
    key_of(&message, key);
    struct cairn_buffer *to = is_mail ? &join : &payload;
    for (size_t i = 0; i < count; i++)
        crn_test_pb_bytes(to, is_mail ? 4 : 6, "", 0);
    if (is_mail)
        crn_test_pb_message(&payload, 6, &join);
    ck_assert_int_eq(crn_frame_write(payload.data, payload.size, 0, &bytes, NULL), 0);
    ck_assert_uint_lt(bytes.size, payload.size / 100);
    return decode(key, is_mail, bytes.data, bytes.size, NULL);
}

START_TEST(bombs_cost_no_memory)
{
    /* 100 million messages would take some ten GB. */
    const struct rlimit limit = {(rlim_t)3 << 30, (rlim_t)3 << 30};
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
#endif
    (void)limit;
    ck_assert_int_eq(decode_bomb(false, 20000000), CAIRN_ECORRUPT);
    ck_assert_int_eq(decode_bomb(true, 20000000), CAIRN_ECORRUPT);
}
END_TEST

START_TEST(what_is_too_large_is_refused)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_buf_reserve(&bytes, CRN_LIMIT_POST + 1), 0);
    memset(bytes.data, 0, CRN_LIMIT_POST + 1);
    ck_assert_int_eq(decode("cluster/e7/post-1", false, bytes.data, CRN_LIMIT_POST + 1, NULL),
                     CAIRN_ECORRUPT);
}
END_TEST

/* --- golden files --- */

static void check_golden(const char *name)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    CRN_AUTO_FREE char *path = NULL, *key = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer again = {0};
    AUTO_MESSAGE struct message message = {0};
    size_t size = 0;
    ck_assert_int_eq(crn_str_printf(&path, NULL, GOLDEN_DIRECTORY "%s", name), 0);
    ck_assert_int_eq(crn_file_read_all(path, CRN_LIMIT_POST, &data, &size, NULL), 0);
    ck_assert_ptr_nonnull(strchr(name, '@'));
    key = crn_test_text(strchr(name, '@') + 1);
    for (char *at = key; *at != '\0'; at++)
        if (*at == '@')
            *at = '/';
    const int r = decode(key, strstr(key, "/mail-") != NULL, data, size, &message);
    const int expected = strncmp(name, "bad-", 4) == 0            ? CAIRN_ECORRUPT
                         : strncmp(name, "unsupported-", 12) == 0 ? CAIRN_EVERSION
                                                                  : 0;
    ck_assert_msg(r == expected, "%s: %s", name, cairn_error_name(r));
    if (strncmp(name, "good-", 5) != 0)
        return;
    must_encode(&message, &again);
    ck_assert_msg(again.size == size && memcmp(again.data, data, size) == 0,
                  "%s is written otherwise now", name);
}

START_TEST(golden_files_stay_readable)
{
    char **names = NULL;
    size_t count = 0, good = 0;
    ck_assert_int_eq(crn_file_list_dir(GOLDEN_DIRECTORY, &names, &count, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        check_golden(names[i]);
        good += strncmp(names[i], "good-", 5) == 0;
    }
    crn_file_free_names(names, count);
    ck_assert_uint_ge(good, (size_t)(POSTS + MAILS));
    ck_assert_uint_ge(count, good + 6);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_messages");
    TCase *c = tcase_create("bytes");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, fixed_messages_survive, 0, POSTS + MAILS);
    tcase_add_test(c, random_messages_survive);
    tcase_add_test(c, texts_that_may_be_missing_are_read_back_empty);
    tcase_add_test(c, free_texts_and_foreign_codes_are_made_fit);
    tcase_add_test(c, the_largest_start_fits);
    tcase_add_loop_test(c, every_truncation_is_damage, 0, POSTS + MAILS);
    tcase_add_loop_test(c, every_flipped_bit_is_damage, 0, POSTS + MAILS);
    tcase_add_loop_test(c, sealed_damage_never_crashes, 0, POSTS + MAILS);
    tcase_add_loop_test(c, newer_is_told_from_damaged, 0, POSTS + MAILS);
    tcase_add_test(c, bombs_cost_no_memory);
    tcase_add_test(c, what_is_too_large_is_refused);
    tcase_add_test(c, golden_files_stay_readable);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
