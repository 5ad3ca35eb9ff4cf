/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Posts and mails for tests, and a second, independent encoder for them, which has the format from
 * docs/format.md and writes what the first would refuse.
 */
#include "tests/support/messages.h"

#include "tests/support/payload.h"
#include "tests/support/records.h"

#include <stdio.h>
#include <string.h>

#define EPOCH 7u

char *crn_test_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (memory == NULL)
        abort();
    return memory;
}

static void fill(uint8_t uuid[16], uint8_t first)
{
    for (unsigned i = 0; i < 16; i++)
        uuid[i] = (uint8_t)(first + i);
}

/* --- fixed ones --- */

static struct crn_plan fixed_plan(void)
{
    struct crn_plan plan = {
        .restored_id = 21,
        .source_location = crn_test_text("s3://backup/orders/savepoint-orders-21"),
        .is_stop = true,
        .checkpoint_mode = CAIRN_EXACTLY_ONCE,
        .unaligned = true,
        .aligned_timeout_ms = 250,
    };
    fill(plan.restored_uuid, 0x40);
    return plan;
}

static struct crn_member *fixed_members(void)
{
    struct crn_member *members = zeroed(2, sizeof *members);
    for (uint32_t i = 0; i < 2; i++) {
        fill(members[i].worker, (uint8_t)(0x90 - 0x10 * i));
        members[i].index = i;
    }
    return members;
}

struct crn_post crn_test_post(enum crn_post_kind kind)
{
    struct crn_post post = {.kind = kind, .epoch = EPOCH, .number = 3};
    fill(post.uuid, 0x10);
    switch (kind) {
    case CRN_POST_PLAN:
        post.number = 1;
        post.plan = fixed_plan();
        break;
    case CRN_POST_START:
        post.number = 2;
        post.members = fixed_members();
        post.member_count = 2;
        break;
    case CRN_POST_TRIGGER:
        post.trigger =
            (struct crn_trigger){.id = 42, .trigger_time_ms = 1767225600000, .floor_id = 40};
        break;
    case CRN_POST_COMPLETE:
        post.subsumed_id = 39;
        post.id = 42;
        break;
    case CRN_POST_ABORTED:
        post.text = crn_test_text("timed out");
        post.id = 42;
        break;
    case CRN_POST_STOPPED:
        post.text = crn_test_text("/backup/savepoint-orders-42");
        post.id = 42;
        break;
    case CRN_POST_SAVEPOINT:
    case CRN_POST_INDEPENDENT:
        post.id = 42;
        break;
    case CRN_POST_ENDED:
        post.number = 2;
        post.code = CAIRN_ECLOSED;
        post.text = crn_test_text("the job was closed");
        break;
    case CRN_POST_REPLACED:
        post.number = 2;
        post.text = crn_test_text("replaced by host 'b', process 4711");
        break;
    }
    return post;
}

struct crn_post crn_test_savepoint_post(void)
{
    struct crn_post post = crn_test_post(CRN_POST_TRIGGER);
    post.trigger.is_savepoint = true;
    post.trigger.target = crn_test_text("file:///backup");
    post.trigger.directory = crn_test_text("savepoint-orders-42");
    post.trigger.format = CAIRN_NATIVE;
    post.trigger.stop = true;
    post.trigger.drain = true;
    return post;
}

static void fix_join(struct crn_mail *mail)
{
    static const struct crn_joined_subtask subtasks[] = {
        {NULL, NULL, 1, 2, 128, CAIRN_STRING, CAIRN_BYTES},
        {NULL, NULL, 0, 1, 128, CAIRN_INT64, CAIRN_INT64},
    };
    mail->number = 1;
    mail->name = crn_test_text("west-1");
    mail->host = crn_test_text("w1.example");
    mail->pid = 4711;
    mail->subtask_count = 2;
    mail->subtasks = zeroed(2, sizeof *mail->subtasks);
    memcpy(mail->subtasks, subtasks, sizeof subtasks);
    mail->subtasks[0].uid = crn_test_text("count");
    mail->subtasks[0].name = crn_test_text("count by word");
    mail->subtasks[1].uid = crn_test_text("alerts");
    mail->subtasks[1].name = crn_test_text("");
}

static bool keep_second(const struct crn_subtask *subtask, uint64_t *state)
{
    (void)state;
    return subtask->info.index == 1;
}

static void make_part(struct crn_record *record,
                      bool (*keep)(const struct crn_subtask *, uint64_t *), uint64_t *state);

struct crn_mail crn_test_mail(enum crn_mail_kind kind)
{
    struct crn_mail mail = {.kind = kind, .epoch = EPOCH, .number = 2, .seen = 3};
    fill(mail.worker, 0xa0);
    switch (kind) {
    case CRN_MAIL_JOIN:
        fix_join(&mail);
        mail.seen = 1;
        break;
    case CRN_MAIL_ACK:
        mail.record = crn_test_checkpoint();
        make_part(mail.record, keep_second, NULL);
        mail.epoch = mail.record->info.epoch;
        mail.id = mail.record->info.id;
        break;
    case CRN_MAIL_DECLINE:
        mail.id = 42;
        mail.code = CAIRN_ENOSPC;
        mail.text = crn_test_text("no space left on '/var/tmp'");
        break;
    case CRN_MAIL_LEAVE:
        mail.code = CAIRN_EFAILED;
        mail.text = crn_test_text("the job has failed");
        break;
    case CRN_MAIL_ALIVE:
        break;
    }
    return mail;
}

/* --- parts --- */

static bool keep_by_chance(const struct crn_subtask *subtask, uint64_t *state)
{
    (void)subtask;
    return state == NULL || crn_test_random(state) % 2 == 0;
}

static void thin_out(struct crn_operator *op, bool (*keep)(const struct crn_subtask *, uint64_t *),
                     uint64_t *state)
{
    size_t kept = 0;
    for (size_t i = 0; i < op->subtask_count; i++) {
        const bool is_last_chance = kept == 0 && i + 1 == op->subtask_count;
        if (is_last_chance || keep(&op->subtasks[i], state)) {
            op->subtasks[kept++] = op->subtasks[i];
            continue;
        }
        crn_subtask_done(&op->subtasks[i]);
    }
    op->subtask_count = kept;
}

static void empty(const char **text)
{
    if (crn_record_set_text(text, "") < 0)
        abort();
}

static void make_part(struct crn_record *record,
                      bool (*keep)(const struct crn_subtask *, uint64_t *), uint64_t *state)
{
    cairn_record_info *info = &record->info;
    struct crn_history none = {0};
    for (size_t i = 0; i < record->operator_count; i++)
        thin_out(&record->operators[i], keep, state);
    for (size_t i = 0; i < record->history_count; i++) {
        struct crn_history *entry = &record->history[i];
        free((char *)(uintptr_t)entry->info.reason);
        free((char *)(uintptr_t)entry->info.location);
        free((char *)(uintptr_t)entry->info.source_location);
        *entry = none;
    }
    record->history_count = 0;
    record->has_previous_hash = false;
    record->ids_ahead = 0;
    memset(&record->previous_hash, 0, sizeof record->previous_hash);
    memset(info->uuid, 0, sizeof info->uuid);
    memset(info->source_uuid, 0, sizeof info->source_uuid);
    info->log_start = info->restored_id = info->source_id = 0;
    info->source_mode = (cairn_claim_mode)0;
    empty(&info->reason);
    empty(&info->source_location);
    empty(&info->source_job);
    crn_record_finish(record);
}

void crn_test_make_part(struct crn_record *record, uint64_t *state)
{
    make_part(record, keep_by_chance, state);
}

/* --- random ones --- */

static uint64_t below(uint64_t *state, uint64_t n)
{
    return crn_test_random(state) % n;
}

/* Small ones are as likely as large ones. */
static uint64_t any_number(uint64_t *state)
{
    return crn_test_random(state) >> below(state, 64);
}

static uint64_t from_one(uint64_t *state)
{
    const uint64_t n = any_number(state);
    return n != 0 ? n : 1;
}

static bool coin(uint64_t *state)
{
    return below(state, 2) == 0;
}

static char *any_text(uint64_t *state, bool may_be_empty)
{
    static const char *const words[] = {"", "x", "a b", "w\xc3\xb6rd", "s3://b/c?x=y&z=%20", "42"};
    char text[64];
    const size_t first =
        may_be_empty ? below(state, CRN_COUNT(words)) : 1 + below(state, CRN_COUNT(words) - 1);
    (void)snprintf(text, sizeof text, "%s%s", words[first], words[below(state, CRN_COUNT(words))]);
    return crn_test_text(text);
}

static void any_uuid(uint64_t *state, uint8_t uuid[16])
{
    const uint64_t halves[2] = {from_one(state), any_number(state)};
    memcpy(uuid, halves, 16);
}

static void any_plan(uint64_t *state, struct crn_plan *plan)
{
    plan->checkpoint_mode = (uint32_t)below(state, 2);
    plan->unaligned = coin(state);
    plan->aligned_timeout_ms = any_number(state);
    if (coin(state))
        return;
    plan->restored_id = from_one(state);
    any_uuid(state, plan->restored_uuid);
    plan->is_stop = coin(state);
    if (coin(state))
        plan->source_location = any_text(state, false);
}

static void any_members(uint64_t *state, struct crn_post *post)
{
    post->member_count = below(state, 20);
    post->members = zeroed(post->member_count, sizeof *post->members);
    for (size_t i = 0; i < post->member_count; i++) {
        any_uuid(state, post->members[i].worker);
        post->members[i].worker[15] = (uint8_t)(i + 1); /* no two alike */
        post->members[i].index = (uint32_t)i;
    }
}

static void any_trigger(uint64_t *state, struct crn_trigger *trigger)
{
    trigger->id = from_one(state);
    trigger->floor_id = below(state, trigger->id);
    trigger->is_full = coin(state);
    trigger->trigger_time_ms = (int64_t)any_number(state);
    trigger->is_savepoint = coin(state);
    if (!trigger->is_savepoint)
        return;
    if (coin(state))
        trigger->target = any_text(state, false);
    trigger->directory = crn_test_text(coin(state) ? "savepoint-\xc3\xb6-1" : "s");
    trigger->format = (uint32_t)below(state, 2);
    trigger->stop = coin(state);
    trigger->drain = trigger->stop && coin(state);
}

struct crn_post crn_test_random_post(uint64_t *state)
{
    struct crn_post post = {.kind = (enum crn_post_kind)(1 + below(state, CRN_POST_REPLACED)),
                            .epoch = from_one(state),
                            .number = 3 + any_number(state) / 2};
    any_uuid(state, post.uuid);
    if (post.kind == CRN_POST_PLAN) {
        post.number = 1;
        any_plan(state, &post.plan);
    } else if (post.kind == CRN_POST_START) {
        post.number = 2;
        any_members(state, &post);
    } else if (post.kind == CRN_POST_TRIGGER) {
        any_trigger(state, &post.trigger);
    } else if (post.kind != CRN_POST_ENDED && post.kind != CRN_POST_REPLACED) {
        post.id = from_one(state);
        if (post.kind == CRN_POST_COMPLETE)
            post.subsumed_id = below(state, post.id);
    }
    if (post.kind == CRN_POST_ENDED)
        post.code = coin(state) ? CAIRN_EFENCED : CAIRN_EINTERNAL;
    if (post.kind == CRN_POST_ENDED || post.kind == CRN_POST_REPLACED ||
        post.kind == CRN_POST_ABORTED || post.kind == CRN_POST_STOPPED)
        post.text = coin(state) ? any_text(state, true) : NULL;
    return post;
}

static void any_join(uint64_t *state, struct crn_mail *mail)
{
    static const uint32_t types[] = {CAIRN_BYTES, CAIRN_INT64, CAIRN_DOUBLE, CAIRN_STRING};
    mail->number = 1;
    mail->name = coin(state) ? any_text(state, true) : NULL;
    mail->host = any_text(state, true);
    mail->pid = any_number(state);
    mail->subtask_count = below(state, 12);
    mail->subtasks = zeroed(mail->subtask_count, sizeof *mail->subtasks);
    for (uint32_t i = 0; i < mail->subtask_count; i++) {
        struct crn_joined_subtask *subtask = &mail->subtasks[i];
        char uid[32];
        (void)snprintf(uid, sizeof uid, "op-%u", i % 5);
        subtask->uid = crn_test_text(uid);
        subtask->name = coin(state) ? any_text(state, true) : NULL;
        subtask->subtask = i;
        subtask->parallelism = i + 1 + (uint32_t)below(state, 1000);
        subtask->max_parallelism = subtask->parallelism + (uint32_t)below(state, 30000);
        subtask->key_type = types[below(state, 4)];
        subtask->namespace_type = types[below(state, 4)];
    }
}

static void any_ack(uint64_t *state, struct crn_mail *mail)
{
    do {
        crn_record_free(mail->record);
        mail->record = crn_test_random_record(state);
    } while (!crn_record_is_restorable(mail->record));
    crn_test_make_part(mail->record, state);
    mail->id = mail->record->info.id;
    mail->epoch = mail->record->info.epoch;
}

struct crn_mail crn_test_random_mail(uint64_t *state)
{
    struct crn_mail mail = {.kind = (enum crn_mail_kind)(1 + below(state, CRN_MAIL_LEAVE)),
                            .epoch = from_one(state),
                            .number = 2 + any_number(state) / 2,
                            .seen = any_number(state)};
    any_uuid(state, mail.worker);
    if (mail.kind == CRN_MAIL_JOIN)
        any_join(state, &mail);
    else if (mail.kind == CRN_MAIL_ACK)
        any_ack(state, &mail);
    if (mail.kind == CRN_MAIL_DECLINE)
        mail.id = from_one(state);
    if (mail.kind == CRN_MAIL_DECLINE || (mail.kind == CRN_MAIL_LEAVE && coin(state)))
        mail.code = CAIRN_EIO;
    if (mail.kind == CRN_MAIL_DECLINE || mail.kind == CRN_MAIL_LEAVE)
        mail.text = coin(state) ? any_text(state, true) : NULL;
    return mail;
}

/* --- comparing --- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

#define SAME(field)                                                                                \
    do {                                                                                           \
        if (a->field != b->field)                                                                  \
            return #field;                                                                         \
    } while (0)
#define SAME_TEXT(field)                                                                           \
    do {                                                                                           \
        if (!same_text(a->field, b->field))                                                        \
            return #field;                                                                         \
    } while (0)
#define SAME_UUID(field)                                                                           \
    do {                                                                                           \
        if (memcmp(a->field, b->field, 16) != 0)                                                   \
            return #field;                                                                         \
    } while (0)

static const char *plan_difference(const struct crn_plan *a, const struct crn_plan *b)
{
    SAME(restored_id);
    SAME_UUID(restored_uuid);
    SAME_TEXT(source_location);
    SAME(is_stop);
    SAME(checkpoint_mode);
    SAME(unaligned);
    SAME(aligned_timeout_ms);
    return NULL;
}

static const char *trigger_difference(const struct crn_trigger *a, const struct crn_trigger *b)
{
    SAME(id);
    SAME(is_full);
    SAME(trigger_time_ms);
    SAME(floor_id);
    SAME(is_savepoint);
    SAME_TEXT(target);
    SAME_TEXT(directory);
    SAME(format);
    SAME(stop);
    SAME(drain);
    return NULL;
}

const char *crn_test_post_difference(const struct crn_post *a, const struct crn_post *b)
{
    SAME(kind);
    SAME(epoch);
    SAME(number);
    SAME_UUID(uuid);
    SAME(member_count);
    for (size_t i = 0; i < a->member_count; i++) {
        SAME(members[i].index);
        SAME_UUID(members[i].worker);
    }
    SAME(id);
    SAME(subsumed_id);
    SAME(code);
    SAME_TEXT(text);
    const char *difference = plan_difference(&a->plan, &b->plan);
    return difference != NULL ? difference : trigger_difference(&a->trigger, &b->trigger);
}

static const char *joined_difference(const struct crn_joined_subtask *a,
                                     const struct crn_joined_subtask *b)
{
    SAME_TEXT(uid);
    SAME_TEXT(name);
    SAME(subtask);
    SAME(parallelism);
    SAME(max_parallelism);
    SAME(key_type);
    SAME(namespace_type);
    return NULL;
}

const char *crn_test_mail_difference(const struct crn_mail *a, const struct crn_mail *b)
{
    const char *difference = NULL;
    SAME(kind);
    SAME(epoch);
    SAME(number);
    SAME_UUID(worker);
    SAME(seen);
    SAME_TEXT(name);
    SAME_TEXT(host);
    SAME(pid);
    SAME(subtask_count);
    for (size_t i = 0; i < a->subtask_count && difference == NULL; i++)
        difference = joined_difference(&a->subtasks[i], &b->subtasks[i]);
    SAME(id);
    SAME(code);
    SAME_TEXT(text);
    if ((a->record == NULL) != (b->record == NULL))
        return "record";
    if (a->record != NULL && difference == NULL)
        difference = crn_test_record_difference(a->record, b->record);
    return difference;
}

/* --- the second encoder --- */

static void number(struct cairn_buffer *out, uint32_t field, uint64_t value)
{
    if (value != 0)
        crn_test_pb_number(out, field, value);
}

static void text(struct cairn_buffer *out, uint32_t field, const char *value)
{
    if (value != NULL && value[0] != '\0')
        crn_test_pb_bytes(out, field, value, strlen(value));
}

static void plan_payload(const struct crn_plan *plan, struct cairn_buffer *out)
{
    static const uint8_t zeros[16];
    number(out, 1, plan->restored_id);
    if (memcmp(plan->restored_uuid, zeros, 16) != 0)
        crn_test_pb_bytes(out, 2, plan->restored_uuid, 16);
    text(out, 3, plan->source_location);
    number(out, 4, plan->is_stop);
    number(out, 5, plan->checkpoint_mode);
    number(out, 6, plan->unaligned);
    number(out, 7, plan->aligned_timeout_ms);
}

static void trigger_payload(const struct crn_trigger *trigger, struct cairn_buffer *out)
{
    number(out, 1, trigger->id);
    number(out, 2, trigger->is_full);
    number(out, 3, (uint64_t)trigger->trigger_time_ms);
    number(out, 4, trigger->floor_id);
    number(out, 5, trigger->is_savepoint);
    text(out, 6, trigger->target);
    text(out, 7, trigger->directory);
    number(out, 8, trigger->format);
    number(out, 9, trigger->stop);
    number(out, 10, trigger->drain);
}

void crn_test_post_payload(const struct crn_post *post, struct cairn_buffer *out)
{
    number(out, 1, post->epoch);
    number(out, 2, post->number);
    crn_test_pb_bytes(out, 3, post->uuid, 16);
    number(out, 4, post->kind);
    CRN_AUTO_BUFFER struct cairn_buffer inner = {0};
    plan_payload(&post->plan, &inner);
    if (post->kind == CRN_POST_PLAN || inner.size > 0)
        crn_test_pb_message(out, 5, &inner);
    for (size_t i = 0; i < post->member_count; i++) {
        crn_buf_clear(&inner);
        crn_test_pb_bytes(&inner, 1, post->members[i].worker, 16);
        number(&inner, 2, post->members[i].index);
        crn_test_pb_message(out, 6, &inner);
    }
    crn_buf_clear(&inner);
    trigger_payload(&post->trigger, &inner);
    if (post->kind == CRN_POST_TRIGGER || inner.size > 0)
        crn_test_pb_message(out, 7, &inner);
    number(out, 8, post->id);
    number(out, 9, post->subsumed_id);
    number(out, 10, (uint64_t)(int64_t)post->code);
    text(out, 11, post->text);
}

static void join_payload(const struct crn_mail *mail, struct cairn_buffer *out)
{
    text(out, 1, mail->name);
    text(out, 2, mail->host);
    number(out, 3, mail->pid);
    for (size_t i = 0; i < mail->subtask_count; i++) {
        const struct crn_joined_subtask *subtask = &mail->subtasks[i];
        CRN_AUTO_BUFFER struct cairn_buffer inner = {0};
        text(&inner, 1, subtask->uid);
        text(&inner, 2, subtask->name);
        number(&inner, 3, subtask->subtask);
        number(&inner, 4, subtask->parallelism);
        number(&inner, 5, subtask->max_parallelism);
        number(&inner, 6, subtask->key_type);
        number(&inner, 7, subtask->namespace_type);
        crn_test_pb_message(out, 4, &inner);
    }
}

void crn_test_mail_payload(const struct crn_mail *mail, const struct cairn_buffer *record,
                           struct cairn_buffer *out)
{
    number(out, 1, mail->epoch);
    crn_test_pb_bytes(out, 2, mail->worker, 16);
    number(out, 3, mail->number);
    number(out, 4, mail->kind);
    number(out, 5, mail->seen);
    CRN_AUTO_BUFFER struct cairn_buffer join = {0};
    join_payload(mail, &join);
    if (mail->kind == CRN_MAIL_JOIN || join.size > 0)
        crn_test_pb_message(out, 6, &join);
    number(out, 7, mail->id);
    if (record->size > 0)
        crn_test_pb_bytes(out, 8, record->data, record->size);
    number(out, 9, (uint64_t)(int64_t)mail->code);
    text(out, 10, mail->text);
}
