/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every rule of docs/format.md for what processes tell one another is enforced, and by its own
 * name: a message that keeps all of them is broken in one place at a time, and must be refused
 * before it is written, and after it was written by the second encoder, which knows no rules (P11).
 * The last test compares the list here with the document's.
 */
#include "manifest/internal.h"
#include "tests/support/messages.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"
#include "tests/support/tap.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SAVEPOINT_TRIGGER 0 /* in place of a kind */

static void set(char **field, const char *text)
{
    free(*field);
    *field = crn_test_text(text);
}

static void set_long(char **field, size_t size)
{
    free(*field);
    *field = malloc(size + 1);
    memset(*field, 'x', size);
    (*field)[size] = '\0';
}

static void expect(const char *rule, int code, int r, const cairn_error *error)
{
    char mark[16];
    (void)snprintf(mark, sizeof mark, "(rule %s)", rule);
    ck_assert_msg(r == code, "%s instead of rule %s", cairn_error_name(r), rule);
    ck_assert_int_eq(cairn_error_code(error), code);
    ck_assert_msg(strstr(cairn_error_message(error), mark) != NULL, "%s instead of rule %s",
                  cairn_error_message(error), rule);
}

/* --- posts --- */

#define BREAK(name, what)                                                                          \
    static void name(struct crn_post *p)                                                           \
    {                                                                                              \
        what;                                                                                      \
    }
BREAK(epoch_0, p->epoch = 0)
BREAK(number_0, p->number = 0)
BREAK(uuid_0, memset(p->uuid, 0, 16))
BREAK(kind_0, p->kind = (enum crn_post_kind)0)
BREAK(kind_11, p->kind = (enum crn_post_kind)11)
BREAK(number_1, p->number = 1)
BREAK(number_2, p->number = 2)
BREAK(number_3, p->number = 3)
BREAK(with_plan, p->plan.restored_id = 1)
BREAK(with_trigger, p->trigger.drain = true)
BREAK(with_id, p->id = 7)
BREAK(without_id, p->id = 0)
BREAK(with_subsumed, p->subsumed_id = 1)
BREAK(with_code, p->code = CAIRN_EIO)
BREAK(without_code, p->code = 0)
BREAK(with_text, set(&p->text, "x"))
BREAK(code_above, p->code = 1)
BREAK(plan_without_uuid, memset(p->plan.restored_uuid, 0, 16))
BREAK(plan_uuid_only, p->plan.restored_id = 0; p->plan.is_stop = false;
      set(&p->plan.source_location, ""))
BREAK(plan_stop_only, p->plan.restored_id = 0; memset(p->plan.restored_uuid, 0, 16);
      set(&p->plan.source_location, ""))
BREAK(plan_source_only, p->plan.restored_id = 0; memset(p->plan.restored_uuid, 0, 16);
      p->plan.is_stop = false)
BREAK(plan_long_source, set_long(&p->plan.source_location, 4097))
BREAK(plan_unclean_source, set(&p->plan.source_location, "a\nb"))
BREAK(plan_mode, p->plan.checkpoint_mode = 2)
BREAK(members_twice, memcpy(p->members[1].worker, p->members[0].worker, 16))
BREAK(members_order, p->members[0].index = 1; p->members[1].index = 0)
BREAK(members_gap, p->members[1].index = 2)
BREAK(members_nobody, memset(p->members[1].worker, 0, 16))
BREAK(trigger_id_0, p->trigger.id = 0)
BREAK(trigger_floor, p->trigger.floor_id = p->trigger.id)
BREAK(trigger_target, set(&p->trigger.target, "x"))
BREAK(trigger_directory, set(&p->trigger.directory, "x"))
BREAK(trigger_format, p->trigger.format = 1)
BREAK(trigger_stop, p->trigger.stop = true)
BREAK(savepoint_directory_none, set(&p->trigger.directory, ""))
BREAK(savepoint_directory_up, set(&p->trigger.directory, "../x"))
BREAK(savepoint_directory_hidden, set(&p->trigger.directory, ".x"))
BREAK(savepoint_directory_deep, set(&p->trigger.directory, "a/b"))
BREAK(savepoint_directory_unclean, set(&p->trigger.directory, "a\x7f"))
BREAK(savepoint_directory_long, set_long(&p->trigger.directory, 256))
BREAK(savepoint_target_long, set_long(&p->trigger.target, 4097))
BREAK(savepoint_target_unclean, set(&p->trigger.target, "\xff"))
BREAK(savepoint_format, p->trigger.format = 2)
BREAK(savepoint_drain, p->trigger.stop = false)
BREAK(subsumed_above, p->subsumed_id = p->id)

static const struct broken_post {
    const char *rule;
    int kind;
    void (*damage)(struct crn_post *post);
} broken_posts[] = {
    {"M1", CRN_POST_TRIGGER, epoch_0},
    {"M1", CRN_POST_TRIGGER, number_0},
    {"M1", CRN_POST_TRIGGER, uuid_0},
    {"M2", CRN_POST_REPLACED, kind_0},
    {"M2", CRN_POST_REPLACED, kind_11},
    {"M3", CRN_POST_PLAN, number_2},
    {"M3", CRN_POST_START, number_1},
    {"M3", CRN_POST_START, number_3},
    {"M3", CRN_POST_TRIGGER, number_2},
    {"M3", CRN_POST_COMPLETE, number_2},
    {"M3", CRN_POST_ABORTED, number_2},
    {"M3", CRN_POST_SAVEPOINT, number_2},
    {"M3", CRN_POST_STOPPED, number_2},
    {"M3", CRN_POST_INDEPENDENT, number_2},
    {"M3", CRN_POST_ENDED, number_1},
    {"M3", CRN_POST_REPLACED, number_1},
    {"M4", CRN_POST_START, with_plan},
    {"M4", CRN_POST_REPLACED, with_trigger},
    {"M4", CRN_POST_TRIGGER, with_id},
    {"M4", CRN_POST_PLAN, with_id},
    {"M4", CRN_POST_SAVEPOINT, with_subsumed},
    {"M4", CRN_POST_ABORTED, with_code},
    {"M4", CRN_POST_COMPLETE, with_text},
    {"M4", CRN_POST_PLAN, with_text},
    {"M4", CRN_POST_COMPLETE, without_id},
    {"M4", CRN_POST_ABORTED, without_id},
    {"M4", CRN_POST_SAVEPOINT, without_id},
    {"M4", CRN_POST_STOPPED, without_id},
    {"M4", CRN_POST_INDEPENDENT, without_id},
    {"M4", CRN_POST_ENDED, without_code},
    {"M6", CRN_POST_ENDED, code_above},
    {"L1", CRN_POST_PLAN, plan_without_uuid},
    {"L1", CRN_POST_PLAN, plan_uuid_only},
    {"L1", CRN_POST_PLAN, plan_stop_only},
    {"L1", CRN_POST_PLAN, plan_source_only},
    {"L1", CRN_POST_PLAN, plan_long_source},
    {"L1", CRN_POST_PLAN, plan_unclean_source},
    {"L2", CRN_POST_PLAN, plan_mode},
    {"L3", CRN_POST_START, members_twice},
    {"L3", CRN_POST_START, members_order},
    {"L3", CRN_POST_START, members_gap},
    {"L3", CRN_POST_START, members_nobody},
    {"L4", CRN_POST_TRIGGER, trigger_id_0},
    {"L4", CRN_POST_TRIGGER, trigger_floor},
    {"L5", CRN_POST_TRIGGER, trigger_target},
    {"L5", CRN_POST_TRIGGER, trigger_directory},
    {"L5", CRN_POST_TRIGGER, trigger_format},
    {"L5", CRN_POST_TRIGGER, trigger_stop},
    {"L5", SAVEPOINT_TRIGGER, savepoint_directory_none},
    {"L5", SAVEPOINT_TRIGGER, savepoint_directory_up},
    {"L5", SAVEPOINT_TRIGGER, savepoint_directory_hidden},
    {"L5", SAVEPOINT_TRIGGER, savepoint_directory_deep},
    {"L5", SAVEPOINT_TRIGGER, savepoint_directory_unclean},
    {"L5", SAVEPOINT_TRIGGER, savepoint_directory_long},
    {"L5", SAVEPOINT_TRIGGER, savepoint_target_long},
    {"L5", SAVEPOINT_TRIGGER, savepoint_target_unclean},
    {"L5", SAVEPOINT_TRIGGER, savepoint_format},
    {"L5", SAVEPOINT_TRIGGER, savepoint_drain},
    {"L6", CRN_POST_COMPLETE, subsumed_above},
};

static int decode_post(const struct crn_post *post, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0}, bytes = {0};
    CRN_AUTO_POST struct crn_post back = {0};
    char key[CRN_KEY_MAX];
    crn_test_post_payload(post, &payload);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, &bytes);
    crn_key_post(key, post->epoch, post->number);
    return crn_post_decode(key, bytes.data, bytes.size, &back, reterr);
}

START_TEST(each_rule_of_posts_is_enforced_by_its_name)
{
    const struct broken_post *broken = &broken_posts[_i];
    CRN_AUTO_ERROR cairn_error *written = NULL, *read = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_POST struct crn_post post = broken->kind == SAVEPOINT_TRIGGER
                                             ? crn_test_savepoint_post()
                                             : crn_test_post((enum crn_post_kind)broken->kind);
    ck_assert_int_eq(decode_post(&post, NULL), 0);
    broken->damage(&post);
    int r = crn_post_encode(&post, &bytes, &written);
    expect(broken->rule, CAIRN_EINVAL, r, written);
    r = decode_post(&post, &read);
    expect(broken->rule, CAIRN_ECORRUPT, r, read);
}
END_TEST

/* --- mails --- */

#define BREAK_MAIL(name, what)                                                                     \
    static void name(struct crn_mail *m)                                                           \
    {                                                                                              \
        what;                                                                                      \
    }
BREAK_MAIL(mail_epoch_0, m->epoch = 0)
BREAK_MAIL(mail_number_0, m->number = 0)
BREAK_MAIL(mail_worker_0, memset(m->worker, 0, 16))
BREAK_MAIL(mail_kind_0, m->kind = (enum crn_mail_kind)0)
BREAK_MAIL(mail_kind_6, m->kind = (enum crn_mail_kind)6)
BREAK_MAIL(mail_number_1, m->number = 1)
BREAK_MAIL(mail_number_2, m->number = 2)
BREAK_MAIL(mail_with_id, m->id = 1)
BREAK_MAIL(mail_without_id, m->id = 0)
BREAK_MAIL(mail_with_code, m->code = CAIRN_EIO)
BREAK_MAIL(mail_without_code, m->code = 0)
BREAK_MAIL(mail_with_text, set(&m->text, "x"))
BREAK_MAIL(mail_with_join, m->pid = 1)
BREAK_MAIL(mail_with_record, m->record = crn_test_checkpoint())
BREAK_MAIL(mail_code_above, m->code = 1)
BREAK_MAIL(join_no_uid, set(&m->subtasks[0].uid, ""))
BREAK_MAIL(join_unclean_uid, set(&m->subtasks[0].uid, "a\tb"))
BREAK_MAIL(join_long_uid, set_long(&m->subtasks[0].uid, 256))
BREAK_MAIL(join_long_name, set_long(&m->subtasks[0].name, 256))
BREAK_MAIL(join_subtask, m->subtasks[0].subtask = m->subtasks[0].parallelism)
BREAK_MAIL(join_parallelism, m->subtasks[0].parallelism = 129)
BREAK_MAIL(join_max_parallelism, m->subtasks[0].max_parallelism = 32769)
BREAK_MAIL(join_key_type, m->subtasks[0].key_type = 99)
BREAK_MAIL(join_struct_key, m->subtasks[0].key_type = CAIRN_STRUCT)
BREAK_MAIL(join_namespace_type, m->subtasks[0].namespace_type = 99)
BREAK_MAIL(join_twice, set(&m->subtasks[1].uid, "count"); m->subtasks[1].subtask = 1;
           m->subtasks[1].parallelism = 2)
BREAK_MAIL(ack_other_id, m->id++)
BREAK_MAIL(ack_other_epoch, m->epoch++)
BREAK_MAIL(ack_without_record, crn_record_free(CRN_TAKE(m->record)))

static const struct broken_mail {
    const char *rule;
    enum crn_mail_kind kind;
    void (*damage)(struct crn_mail *mail);
} broken_mails[] = {
    {"M1", CRN_MAIL_ALIVE, mail_epoch_0},        {"M1", CRN_MAIL_ALIVE, mail_number_0},
    {"M1", CRN_MAIL_ALIVE, mail_worker_0},       {"M2", CRN_MAIL_ALIVE, mail_kind_0},
    {"M2", CRN_MAIL_ALIVE, mail_kind_6},         {"M3", CRN_MAIL_JOIN, mail_number_2},
    {"M3", CRN_MAIL_ALIVE, mail_number_1},       {"M3", CRN_MAIL_ACK, mail_number_1},
    {"M3", CRN_MAIL_DECLINE, mail_number_1},     {"M3", CRN_MAIL_LEAVE, mail_number_1},
    {"M4", CRN_MAIL_JOIN, mail_with_id},         {"M4", CRN_MAIL_LEAVE, mail_with_id},
    {"M4", CRN_MAIL_ALIVE, mail_with_code},      {"M4", CRN_MAIL_ACK, mail_with_text},
    {"M4", CRN_MAIL_ALIVE, mail_with_join},      {"M4", CRN_MAIL_ACK, mail_without_id},
    {"M4", CRN_MAIL_DECLINE, mail_without_id},   {"M4", CRN_MAIL_DECLINE, mail_without_code},
    {"M4", CRN_MAIL_ALIVE, mail_with_record},    {"M6", CRN_MAIL_LEAVE, mail_code_above},
    {"N2", CRN_MAIL_JOIN, join_no_uid},          {"N2", CRN_MAIL_JOIN, join_unclean_uid},
    {"N2", CRN_MAIL_JOIN, join_long_uid},        {"N2", CRN_MAIL_JOIN, join_long_name},
    {"N2", CRN_MAIL_JOIN, join_subtask},         {"N2", CRN_MAIL_JOIN, join_parallelism},
    {"N2", CRN_MAIL_JOIN, join_max_parallelism}, {"N2", CRN_MAIL_JOIN, join_key_type},
    {"N2", CRN_MAIL_JOIN, join_struct_key},      {"N2", CRN_MAIL_JOIN, join_namespace_type},
    {"N2", CRN_MAIL_JOIN, join_twice},           {"N3", CRN_MAIL_ACK, ack_other_id},
    {"N3", CRN_MAIL_ACK, ack_other_epoch},       {"N3", CRN_MAIL_ACK, ack_without_record},
};

static int decode_mail(const struct crn_mail *mail, const struct cairn_buffer *record,
                       cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0}, bytes = {0};
    CRN_AUTO_MAIL struct crn_mail back = {0};
    char key[CRN_KEY_MAX];
    crn_test_mail_payload(mail, record, &payload);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, &bytes);
    crn_key_mail(key, mail->epoch, mail->worker, mail->number);
    return crn_mail_decode(key, bytes.data, bytes.size, &back, reterr);
}

START_TEST(each_rule_of_mails_is_enforced_by_its_name)
{
    const struct broken_mail *broken = &broken_mails[_i];
    CRN_AUTO_ERROR cairn_error *written = NULL, *read = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0}, record = {0};
    CRN_AUTO_MAIL struct crn_mail mail = crn_test_mail(broken->kind);
    CRN_AUTO_RECORD struct crn_record *part = crn_test_mail(CRN_MAIL_ACK).record;
    broken->damage(&mail);
    if (mail.record != NULL)
        ck_assert_int_eq(crn_record_encode_part(part, &record, NULL), 0);
    int r = crn_mail_encode(&mail, &bytes, &written);
    expect(broken->rule, CAIRN_EINVAL, r, written);
    r = decode_mail(&mail, &record, &read);
    expect(broken->rule, CAIRN_ECORRUPT, r, read);
}
END_TEST

/* --- what is made fit when it is written must be so when it is read --- */

START_TEST(free_texts_are_checked_when_they_are_read)
{
    static const struct cairn_buffer none;
    static const char *const unclean[] = {"a\nb", "\xff", "\xc0\x80"};
    for (size_t i = 0; i < CRN_COUNT(unclean) + 1; i++) {
        CRN_AUTO_ERROR cairn_error *text = NULL, *name = NULL, *host = NULL;
        CRN_AUTO_POST struct crn_post post = crn_test_post(CRN_POST_ENDED);
        CRN_AUTO_MAIL struct crn_mail named = crn_test_mail(CRN_MAIL_JOIN);
        CRN_AUTO_MAIL struct crn_mail hosted = crn_test_mail(CRN_MAIL_JOIN);
        if (i < CRN_COUNT(unclean)) {
            set(&post.text, unclean[i]);
            set(&named.name, unclean[i]);
            set(&hosted.host, unclean[i]);
        } else {
            set_long(&post.text, 4097);
            set_long(&named.name, 256);
            set_long(&hosted.host, 256);
        }
        int r = decode_post(&post, &text);
        expect("M5", CAIRN_ECORRUPT, r, text);
        r = decode_mail(&named, &none, &name);
        expect("N1", CAIRN_ECORRUPT, r, name);
        r = decode_mail(&hosted, &none, &host);
        expect("N1", CAIRN_ECORRUPT, r, host);
    }
}
END_TEST

START_TEST(codes_are_checked_when_they_are_read)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_POST struct crn_post post = crn_test_post(CRN_POST_ENDED);
    post.code = -777;
    const int r = decode_post(&post, &error);
    expect("M6", CAIRN_ECORRUPT, r, error);
}
END_TEST

/* --- the wire --- */

static int decode_payload(const char *key, const struct cairn_buffer *payload, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_POST struct crn_post post = {0};
    const struct crn_test_frame frame = crn_test_frame_of(payload->data, payload->size);
    crn_test_frame_put(&frame, &bytes);
    return crn_post_decode(key, bytes.data, bytes.size, &post, reterr);
}

/* 1 to 4, with a uuid of some length. */
static void put_head(struct cairn_buffer *out, size_t uuid_size)
{
    crn_test_pb_number(out, 1, 7);
    crn_test_pb_number(out, 2, 3);
    crn_test_pb_bytes(out, 3, "0123456789abcdef0", uuid_size);
    crn_test_pb_number(out, 4, CRN_POST_SAVEPOINT);
}

START_TEST(there_is_one_spelling)
{
    for (int i = 0; i < 8; i++) {
        CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        if (i == 1)
            crn_test_pb_number(&payload, 1000, 1); /* unknown ones come last */
        if (i == 2)
            crn_test_pb_number(&payload, 4, CRN_POST_ENDED);
        put_head(&payload, 16);
        if (i == 3)
            crn_test_pb_bytes(&payload, 5, "", 0);
        if (i == 4)
            ck_assert_int_eq(crn_buf_append(&payload, "\x40\xaa\x00", 3), 0); /* a long 42 */
        else
            crn_test_pb_number(&payload, 8, 42);
        if (i == 5)
            crn_test_pb_number(&payload, 9, 0);
        if (i == 6)
            crn_test_pb_bytes(&payload, 11, "\0x", 2);
        if (i == 7)
            crn_test_pb_number(&payload, 1000, 1);
        const int r = decode_payload("cluster/e7/post-3", &payload, &error);
        if (i == 0 || i == 7)
            ck_assert_int_eq(r, 0);
        else
            expect(i == 3 ? "M4" : "M7", CAIRN_ECORRUPT, r, error);
    }
}
END_TEST

START_TEST(uuids_have_16_bytes)
{
    for (size_t size = 0; size <= 17; size++) {
        CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        put_head(&payload, size);
        crn_test_pb_number(&payload, 8, 42);
        const int r = decode_payload("cluster/e7/post-3", &payload, &error);
        if (size == 16)
            ck_assert_int_eq(r, 0);
        else
            expect(size == 0 ? "M7" : "M1", CAIRN_ECORRUPT, r, error); /* none is left out */
    }
}
END_TEST

START_TEST(a_message_stands_under_its_own_key)
{
    static const char *const keys[] = {
        "cluster/e7/post-4",
        "cluster/e8/post-3",
        "cluster/e7/mail-000102030405060708090a0b0c0d0e0f-3",
        "post-3",
        "MANIFEST-chk3",
        "",
    };
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    put_head(&payload, 16);
    crn_test_pb_number(&payload, 8, 42);
    ck_assert_int_eq(decode_payload("cluster/e7/post-3", &payload, NULL), 0);
    for (size_t i = 0; i < CRN_COUNT(keys); i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        const int r = decode_payload(keys[i], &payload, &error);
        expect("M8", CAIRN_ECORRUPT, r, error);
    }
    CRN_AUTO_MAIL struct crn_mail mail = crn_test_mail(CRN_MAIL_ALIVE), back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char key[CRN_KEY_MAX];
    ck_assert_int_eq(crn_mail_encode(&mail, &bytes, NULL), 0);
    mail.worker[15] ^= 1;
    crn_key_mail(key, mail.epoch, mail.worker, mail.number);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = crn_mail_decode(key, bytes.data, bytes.size, &back, &error);
    expect("M8", CAIRN_ECORRUPT, r, error);
}
END_TEST

/* --- parts of records --- */

#define BREAK_PART(name, what)                                                                     \
    static void name(struct crn_record *r)                                                         \
    {                                                                                              \
        what;                                                                                      \
    }
static void give(const char **field, const char *text)
{
    ck_assert_int_eq(crn_record_set_text(field, text), 0);
}
BREAK_PART(part_uuid, r->info.uuid[3] = 1)
BREAK_PART(part_log_start, r->info.log_start = 1)
BREAK_PART(part_previous, r->has_previous_hash = true)
BREAK_PART(part_ahead, r->ids_ahead = 1)
BREAK_PART(part_history, ck_assert_ptr_nonnull(crn_record_add_history(r)))
BREAK_PART(part_restored, r->info.restored_id = 1)
BREAK_PART(part_reason, give(&r->info.reason, "x"))
BREAK_PART(part_kind, r->info.kind = CAIRN_RECORD_FENCE)
BREAK_PART(part_location, r->info.kind = CAIRN_RECORD_SAVEPOINT; give(&r->info.location, "x"))
BREAK_PART(part_order, struct crn_subtask one = r->operators[1].subtasks[0];
           r->operators[1].subtasks[0] = r->operators[1].subtasks[1];
           r->operators[1].subtasks[1] = one)
BREAK_PART(part_twice, r->operators[1].subtasks[1].info.index = 0)
BREAK_PART(part_beyond, r->operators[1].subtasks[1].info.index = 2)
BREAK_PART(part_job, r->job = crn_test_text("a/b"))
BREAK_PART(part_id, r->info.id = 0)
BREAK_PART(part_no_epoch, r->info.epoch = 0)
BREAK_PART(part_base, r->info.base_id = r->info.id)
BREAK_PART(part_range, r->operators[0].subtasks[0].info.key_group_last--)

static const struct broken_part {
    const char *rule;
    void (*damage)(struct crn_record *record);
} broken_parts[] = {
    {"A1", part_uuid},     {"A1", part_log_start}, {"A1", part_previous}, {"A1", part_ahead},
    {"A1", part_history},  {"A1", part_restored},  {"A1", part_reason},   {"A1", part_kind},
    {"A1", part_location}, {"A2", part_order},     {"A2", part_twice},    {"A2", part_beyond},
    {"R7", part_job},      {"R1", part_id},        {"R4", part_no_epoch}, {"R12", part_base},
    {"T1", part_range},
};

/* Both subtasks of both operators, and nothing of a log. */
static struct crn_record *whole_part(void)
{
    struct crn_record *record = crn_test_checkpoint();
    crn_test_make_part(record, NULL);
    free(CRN_TAKE(record->job));
    return record;
}

START_TEST(each_rule_of_parts_is_enforced_by_its_name)
{
    const struct broken_part *broken = &broken_parts[_i];
    CRN_AUTO_RECORD struct crn_record *part = whole_part();
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_validate_part(part, NULL), 0);
    broken->damage(part);
    const int r = crn_record_encode_part(part, &bytes, &error);
    expect(broken->rule, CAIRN_ECORRUPT, r, error);
}
END_TEST

START_TEST(an_operator_of_a_part_has_subtasks)
{
    CRN_AUTO_RECORD struct crn_record *part = whole_part();
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_operator *op = &part->operators[0];
    while (op->subtask_count > 0)
        crn_subtask_done(&op->subtasks[--op->subtask_count]);
    const int r = crn_record_validate_part(part, &error);
    expect("A2", CAIRN_ECORRUPT, r, error);
}
END_TEST

/* Neither is ever taken for the other: a part is no record of a log, and has no subtask too few. */
START_TEST(a_part_is_no_record_and_a_record_no_part)
{
    CRN_AUTO_RECORD struct crn_record *part = whole_part(), *whole = crn_test_checkpoint();
    CRN_AUTO_RECORD struct crn_record *some = crn_test_checkpoint(), *back = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_encode_part(part, &bytes, NULL), 0);
    ck_assert_int_eq(crn_record_decode("x", bytes.data, bytes.size, &back, NULL), CAIRN_ECORRUPT);
    ck_assert_int_eq(crn_record_decode_part("x", bytes.data, bytes.size, &back, NULL), 0);
    ck_assert_int_eq(crn_record_encode(whole, &bytes, NULL), 0);
    crn_record_free(CRN_TAKE(back));
    ck_assert_int_eq(crn_record_decode_part("x", bytes.data, bytes.size, &back, NULL),
                     CAIRN_ECORRUPT);
    ck_assert_int_eq(crn_record_encode(part, &bytes, NULL), CAIRN_ECORRUPT);
    ck_assert_int_eq(crn_record_encode_part(whole, &bytes, NULL), CAIRN_ECORRUPT);
    struct crn_operator *op = &some->operators[0];
    crn_subtask_done(&op->subtasks[--op->subtask_count]);
    ck_assert_int_eq(crn_record_validate(some, NULL), CAIRN_ECORRUPT);
}
END_TEST

/* --- the document --- */

static bool is_tested(const char *rule)
{
    static const char *const elsewhere[] = {"M5", "M7", "M8", "N1"};
    for (size_t i = 0; i < CRN_COUNT(elsewhere); i++)
        if (strcmp(elsewhere[i], rule) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(broken_posts); i++)
        if (strcmp(broken_posts[i].rule, rule) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(broken_mails); i++)
        if (strcmp(broken_mails[i].rule, rule) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(broken_parts); i++)
        if (strcmp(broken_parts[i].rule, rule) == 0)
            return true;
    return false;
}

START_TEST(rules_of_the_document_are_those_tested)
{
    FILE *file = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    ck_assert_ptr_nonnull(file);
    char line[1024], rule[8];
    unsigned count = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "| %7[A-Z0-9] |", rule) != 1 || strchr("ALMN", rule[0]) == NULL ||
            !isdigit((unsigned char)rule[1]))
            continue;
        ck_assert_msg(is_tested(rule), "rule %s has no test", rule);
        count++;
    }
    (void)fclose(file);
    ck_assert_uint_eq(count, 8 + 6 + 3 + 2); /* M, L, N, A */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_rules");
    TCase *c = tcase_create("rules");
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, each_rule_of_posts_is_enforced_by_its_name, 0,
                        (int)CRN_COUNT(broken_posts));
    tcase_add_loop_test(c, each_rule_of_mails_is_enforced_by_its_name, 0,
                        (int)CRN_COUNT(broken_mails));
    tcase_add_test(c, free_texts_are_checked_when_they_are_read);
    tcase_add_test(c, codes_are_checked_when_they_are_read);
    tcase_add_test(c, there_is_one_spelling);
    tcase_add_test(c, uuids_have_16_bytes);
    tcase_add_test(c, a_message_stands_under_its_own_key);
    tcase_add_loop_test(c, each_rule_of_parts_is_enforced_by_its_name, 0,
                        (int)CRN_COUNT(broken_parts));
    tcase_add_test(c, an_operator_of_a_part_has_subtasks);
    tcase_add_test(c, a_part_is_no_record_and_a_record_no_part);
    tcase_add_test(c, rules_of_the_document_are_those_tested);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
