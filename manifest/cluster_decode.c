/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to posts and mails, with every rule checked (P8, P11). What was parsed is packed again
 * and compared, so that a message has one spelling: no field twice, none out of order, no default
 * written out. Fields that this version does not know are skipped, as in a record, and come last in
 * that spelling.
 *
 * The key says who speaks to whom; a message that is found under another key than its own is
 * damage.
 */
#include "cluster.pb-c.h"
#include "manifest/cluster_internal.h"
#include "manifest/internal.h"

#include <string.h>

/* What the conversion works with. */
struct source {
    const char *what; /* "post", "mail" */
    const char *object;
    cairn_error **reterr;
};

static int broken(const struct source *source, const char *rule, const char *why)
{
    return crn_err_fail(source->reterr, CAIRN_ECORRUPT, source->object, "%s '%s': %s (rule %s)",
                        source->what, source->object, why, rule);
}

/* Compares what is packed with what was read, without keeping it. */
struct comparison {
    ProtobufCBuffer base;
    const uint8_t *at;
    size_t left;
    bool differs;
};

static void compare(ProtobufCBuffer *base, size_t size, const uint8_t *data)
{
    struct comparison *c = (struct comparison *)base;
    c->differs |= size > c->left || (size > 0 && memcmp(c->at, data, size) != 0);
    if (c->differs)
        return;
    c->at += size;
    c->left -= size;
}

static bool is_one_spelling(const ProtobufCMessage *message, const struct crn_frame *frame)
{
    struct comparison c = {
        .base = {.append = compare}, .at = frame->payload, .left = frame->payload_size};
    if (protobuf_c_message_get_packed_size(message) != frame->payload_size)
        return false;
    (void)protobuf_c_message_pack_to_buffer(message, &c.base);
    return !c.differs && c.left == 0;
}

/* The message in an object's frame; to be freed with the budget's allocator. */
static int parse(const struct source *source, const ProtobufCMessageDescriptor *descriptor,
                 ProtobufCAllocator *allocator, const struct crn_frame *frame,
                 ProtobufCMessage **ret)
{
    const struct crn_budget *budget = allocator->allocator_data;
    if (frame->incompatible & ~(uint32_t)CRN_FRAME_LZ4)
        return broken(source, "M7", "it has a feature bit that no message has");
    *ret = protobuf_c_message_unpack(descriptor, allocator, frame->payload_size, frame->payload);
    if (*ret == NULL && budget->is_out_of_memory)
        return crn_err_nomem(source->reterr);
    if (*ret == NULL)
        return crn_err_fail(source->reterr, CAIRN_ECORRUPT, source->object,
                            "'%s' does not hold a %s", source->object, source->what);
    return is_one_spelling(*ret, frame) ? 0 : broken(source, "M7", "it is spelled otherwise");
}

/* A copy of what protobuf-c has; an empty text is NULL if that is what it means. */
static int copy_text(const struct source *source, char **to, const char *from, bool is_optional)
{
    if (is_optional && from[0] == '\0')
        return 0;
    *to = strdup(from);
    return *to != NULL ? 0 : crn_err_nomem(source->reterr);
}

static int copy_uuid(const struct source *source, uint8_t to[16], const ProtobufCBinaryData *from)
{
    if (from->len != 16)
        return broken(source, "M1", "a uuid is not 16 bytes long");
    memcpy(to, from->data, 16);
    return 0;
}

/* --- posts --- */

static int convert_plan(const struct source *source, struct crn_plan *to,
                        const Cairn__Pb__Plan *from)
{
    to->restored_id = from->restored_id;
    if (from->restored_uuid.len != 0) {
        CRN_TRY(copy_uuid(source, to->restored_uuid, &from->restored_uuid));
        if (crn_uuid_is_zero(to->restored_uuid))
            return broken(source, "L1", "restored_uuid is all zero");
    }
    to->is_stop = from->is_stop != 0;
    to->checkpoint_mode = from->checkpoint_mode;
    to->unaligned = from->unaligned != 0;
    to->aligned_timeout_ms = from->aligned_timeout_ms;
    return copy_text(source, &to->source_location, from->source_location, true);
}

static int convert_trigger(const struct source *source, struct crn_trigger *to,
                           const Cairn__Pb__Trigger *from)
{
    to->id = from->id;
    to->is_full = from->is_full != 0;
    to->trigger_time_ms = from->trigger_time_ms;
    to->floor_id = from->floor_id;
    to->is_savepoint = from->is_savepoint != 0;
    to->format = from->format;
    to->stop = from->stop != 0;
    to->drain = from->drain != 0;
    CRN_TRY(copy_text(source, &to->target, from->target, true));
    return copy_text(source, &to->directory, from->directory, true);
}

static int convert_members(const struct source *source, struct crn_post *to,
                           const Cairn__Pb__Post *from)
{
    if (from->n_members == 0)
        return 0;
    to->members = calloc(from->n_members, sizeof *to->members);
    if (to->members == NULL)
        return crn_err_nomem(source->reterr);
    to->member_count = from->n_members;
    for (size_t i = 0; i < from->n_members; i++) {
        to->members[i].index = from->members[i]->index;
        CRN_TRY(copy_uuid(source, to->members[i].worker, &from->members[i]->worker));
    }
    return 0;
}

static int convert_post(const struct source *source, struct crn_post *to,
                        const Cairn__Pb__Post *from)
{
    to->epoch = from->epoch;
    to->number = from->number;
    to->kind = (enum crn_post_kind)from->kind;
    to->id = from->id;
    to->subsumed_id = from->subsumed_id;
    to->code = from->code;
    if ((from->plan != NULL) != (from->kind == CRN_POST_PLAN) ||
        (from->trigger != NULL) != (from->kind == CRN_POST_TRIGGER))
        return broken(source, "M4", "it has what its kind cannot have, or lacks what it must");
    CRN_TRY(copy_uuid(source, to->uuid, &from->uuid));
    if (from->plan != NULL)
        CRN_TRY(convert_plan(source, &to->plan, from->plan));
    if (from->trigger != NULL)
        CRN_TRY(convert_trigger(source, &to->trigger, from->trigger));
    CRN_TRY(convert_members(source, to, from));
    return copy_text(source, &to->text, from->text, false);
}

static int check_post_key(const struct source *source, const struct crn_post *post)
{
    const struct crn_key_info key = crn_key_parse(source->object);
    return key.type == CRN_KEY_POST && key.epoch == post->epoch && key.number == post->number
               ? 0
               : broken(source, "M8", "its key is another message's");
}

static int read_post(const struct source *source, const struct crn_frame *frame, size_t size,
                     struct crn_post *post)
{
    struct crn_budget budget = crn_budget_of(frame->payload_size, size);
    ProtobufCAllocator allocator = {
        .alloc = crn_budget_alloc, .free = crn_budget_free, .allocator_data = &budget};
    ProtobufCMessage *message = NULL;
    int r = parse(source, &cairn__pb__post__descriptor, &allocator, frame, &message);
    if (r == 0)
        r = convert_post(source, post, (const Cairn__Pb__Post *)message);
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, &allocator);
    CRN_TRY(r);
    CRN_TRY(crn_post_check(post, source->object, source->reterr));
    return check_post_key(source, post);
}

int crn_post_decode(const char *object, const void *data, size_t size, struct crn_post *ret,
                    cairn_error **reterr)
{
    const struct source source = {.what = "post", .object = object, .reterr = reterr};
    CRN_AUTO_FRAME struct crn_frame frame = {0};
    CRN_AUTO_POST struct crn_post post = {0};
    if (size > CRN_LIMIT_POST)
        return broken(&source, "M7", "it is larger than the limit");
    CRN_TRY(crn_frame_read(object, data, size, &frame, reterr));
    CRN_TRY(read_post(&source, &frame, size, &post));
    *ret = post;
    post = (struct crn_post){0};
    return 0;
}

/* --- mails --- */

static int convert_join(const struct source *source, struct crn_mail *to,
                        const Cairn__Pb__Join *from)
{
    to->pid = from->pid;
    CRN_TRY(copy_text(source, &to->name, from->name, false));
    CRN_TRY(copy_text(source, &to->host, from->host, false));
    if (from->n_subtasks == 0)
        return 0;
    to->subtasks = calloc(from->n_subtasks, sizeof *to->subtasks);
    if (to->subtasks == NULL)
        return crn_err_nomem(source->reterr);
    to->subtask_count = from->n_subtasks;
    for (size_t i = 0; i < from->n_subtasks; i++) {
        const Cairn__Pb__JoinedSubtask *subtask = from->subtasks[i];
        to->subtasks[i].subtask = subtask->subtask;
        to->subtasks[i].parallelism = subtask->parallelism;
        to->subtasks[i].max_parallelism = subtask->max_parallelism;
        to->subtasks[i].key_type = subtask->key_type;
        to->subtasks[i].namespace_type = subtask->namespace_type;
        CRN_TRY(copy_text(source, &to->subtasks[i].uid, subtask->uid, false));
        CRN_TRY(copy_text(source, &to->subtasks[i].name, subtask->name, false));
    }
    return 0;
}

static int convert_mail(const struct source *source, struct crn_mail *to,
                        const Cairn__Pb__Mail *from)
{
    to->epoch = from->epoch;
    to->number = from->number;
    to->kind = (enum crn_mail_kind)from->kind;
    to->seen = from->seen;
    to->id = from->id;
    to->code = from->code;
    if ((from->join != NULL) != (from->kind == CRN_MAIL_JOIN))
        return broken(source, "M4", "it has what its kind cannot have, or lacks what it must");
    CRN_TRY(copy_uuid(source, to->worker, &from->worker));
    if (from->join != NULL)
        CRN_TRY(convert_join(source, to, from->join));
    if (from->record.len != 0)
        CRN_TRY(crn_record_decode_part(source->object, from->record.data, from->record.len,
                                       &to->record, source->reterr));
    return copy_text(source, &to->text, from->text, false);
}

static int check_mail_key(const struct source *source, const struct crn_mail *mail)
{
    const struct crn_key_info key = crn_key_parse(source->object);
    return key.type == CRN_KEY_MAIL && key.epoch == mail->epoch && key.number == mail->number &&
                   memcmp(key.worker, mail->worker, sizeof key.worker) == 0
               ? 0
               : broken(source, "M8", "its key is another message's");
}

static int read_mail(const struct source *source, const struct crn_frame *frame, size_t size,
                     struct crn_mail *mail)
{
    struct crn_budget budget = crn_budget_of(frame->payload_size, size);
    ProtobufCAllocator allocator = {
        .alloc = crn_budget_alloc, .free = crn_budget_free, .allocator_data = &budget};
    ProtobufCMessage *message = NULL;
    int r = parse(source, &cairn__pb__mail__descriptor, &allocator, frame, &message);
    if (r == 0)
        r = convert_mail(source, mail, (const Cairn__Pb__Mail *)message);
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, &allocator);
    CRN_TRY(r);
    CRN_TRY(crn_mail_check(mail, source->object, source->reterr));
    return check_mail_key(source, mail);
}

int crn_mail_decode(const char *object, const void *data, size_t size, struct crn_mail *ret,
                    cairn_error **reterr)
{
    const struct source source = {.what = "mail", .object = object, .reterr = reterr};
    CRN_AUTO_FRAME struct crn_frame frame = {0};
    CRN_AUTO_MAIL struct crn_mail mail = {0};
    CRN_TRY(crn_frame_read(object, data, size, &frame, reterr));
    CRN_TRY(read_mail(&source, &frame, size, &mail));
    *ret = mail;
    mail = (struct crn_mail){0};
    return 0;
}
