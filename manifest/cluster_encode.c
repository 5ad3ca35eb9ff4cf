/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From posts and mails to bytes: protobuf messages that borrow what they can from the structs are
 * packed and framed, as a record is. The same message gives the same bytes every time, so a post
 * whose outcome was not learnt can be made again.
 *
 * What people or stores chose freely is made to fit here (texts, codes), once; the rest is the
 * caller's to have right.
 */
#include "cluster.pb-c.h"
#include "manifest/cluster_internal.h"
#include "manifest/internal.h"

#include <stdint.h>
#include <string.h>

/* protobuf-c has one struct for reading and writing, so its pointers are not const; packing only
 * reads. */
static char *text(const char *borrowed)
{
    return (char *)(uintptr_t)(borrowed != NULL ? borrowed : "");
}

static ProtobufCBinaryData bytes(const void *borrowed, size_t size)
{
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)borrowed};
}

/* A clean copy that fits; NULL: out of memory. */
static char *clean(const char *given, size_t max_size)
{
    char *copy = strdup(given != NULL ? given : "");
    if (copy != NULL)
        crn_record_make_clean(copy, max_size);
    return copy;
}

static int known_code(int code)
{
    return code < 0 && strcmp(cairn_error_name(code), "CAIRN_E?") == 0 ? CAIRN_EIO : code;
}

static int write_frame(const ProtobufCMessage *message, size_t limit, const char *what,
                       struct cairn_buffer *out, cairn_error **reterr)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    const size_t overhead = CRN_FRAME_HEADER_SIZE + CRN_FRAME_CHECKSUM_SIZE;
    if (size > limit - overhead)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a %s of %zu bytes is larger than the limit of %zu", what, size, limit);
    CRN_AUTO_FREE uint8_t *payload = malloc(size + 1);
    if (payload == NULL)
        return crn_err_nomem(reterr);
    (void)protobuf_c_message_pack(message, payload);
    crn_buf_clear(out);
    return crn_frame_write(payload, size, 0, out, reterr);
}

/* --- posts --- */

static void fill_plan(Cairn__Pb__Plan *to, const struct crn_plan *from)
{
    cairn__pb__plan__init(to);
    to->restored_id = from->restored_id;
    if (from->restored_id != 0)
        to->restored_uuid = bytes(from->restored_uuid, sizeof from->restored_uuid);
    to->source_location = text(from->source_location);
    to->is_stop = from->is_stop;
    to->checkpoint_mode = from->checkpoint_mode;
    to->unaligned = from->unaligned;
    to->aligned_timeout_ms = from->aligned_timeout_ms;
}

static void fill_trigger(Cairn__Pb__Trigger *to, const struct crn_trigger *from)
{
    cairn__pb__trigger__init(to);
    to->id = from->id;
    to->is_full = from->is_full;
    to->trigger_time_ms = from->trigger_time_ms;
    to->floor_id = from->floor_id;
    to->is_savepoint = from->is_savepoint;
    to->target = text(from->target);
    to->directory = text(from->directory);
    to->format = from->format;
    to->stop = from->stop;
    to->drain = from->drain;
}

static void fill_members(Cairn__Pb__Member *members, Cairn__Pb__Member **pointers,
                         const struct crn_post *post)
{
    for (size_t i = 0; i < post->member_count; i++) {
        cairn__pb__member__init(&members[i]);
        members[i].worker = bytes(post->members[i].worker, sizeof post->members[i].worker);
        members[i].index = post->members[i].index;
        pointers[i] = &members[i];
    }
}

static int encode_post(const struct crn_post *post, struct cairn_buffer *out, cairn_error **reterr)
{
    CRN_AUTO_FREE Cairn__Pb__Member *members = calloc(post->member_count + 1, sizeof *members);
    CRN_AUTO_FREE Cairn__Pb__Member **pointers = calloc(post->member_count + 1, sizeof(*pointers));
    if (members == NULL || pointers == NULL)
        return crn_err_nomem(reterr);
    Cairn__Pb__Post message;
    Cairn__Pb__Plan plan;
    Cairn__Pb__Trigger trigger;
    cairn__pb__post__init(&message);
    message.epoch = post->epoch;
    message.number = post->number;
    message.uuid = bytes(post->uuid, sizeof post->uuid);
    message.kind = post->kind;
    if (post->kind == CRN_POST_PLAN) {
        fill_plan(&plan, &post->plan);
        message.plan = &plan;
    }
    fill_members(members, pointers, post);
    message.n_members = post->member_count;
    message.members = pointers;
    if (post->kind == CRN_POST_TRIGGER) {
        fill_trigger(&trigger, &post->trigger);
        message.trigger = &trigger;
    }
    message.id = post->id;
    message.subsumed_id = post->subsumed_id;
    message.code = post->code;
    message.text = text(post->text);
    return write_frame(&message.base, CRN_LIMIT_POST, "post", out, reterr);
}

int crn_post_encode(const struct crn_post *post, struct cairn_buffer *out, cairn_error **reterr)
{
    struct crn_post fitting = *post;
    CRN_AUTO_FREE char *words = clean(post->text, CRN_MESSAGE_TEXT_MAX);
    if (words == NULL)
        return crn_err_nomem(reterr);
    fitting.text = words;
    fitting.code = known_code(post->code);
    CRN_TRY(crn_post_check(&fitting, NULL, reterr));
    return encode_post(&fitting, out, reterr);
}

/* --- mails --- */

static void fill_subtasks(Cairn__Pb__JoinedSubtask *subtasks, Cairn__Pb__JoinedSubtask **pointers,
                          const struct crn_mail *mail)
{
    for (size_t i = 0; i < mail->subtask_count; i++) {
        const struct crn_joined_subtask *from = &mail->subtasks[i];
        Cairn__Pb__JoinedSubtask *to = &subtasks[i];
        cairn__pb__joined_subtask__init(to);
        to->uid = text(from->uid);
        to->name = text(from->name);
        to->subtask = from->subtask;
        to->parallelism = from->parallelism;
        to->max_parallelism = from->max_parallelism;
        to->key_type = from->key_type;
        to->namespace_type = from->namespace_type;
        pointers[i] = to;
    }
}

static int encode_record(const struct crn_mail *mail, struct cairn_buffer *out,
                         cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (mail->record == NULL)
        return 0;
    const int r = crn_record_encode_part(mail->record, out, &error);
    if (r == CAIRN_ECORRUPT) /* here it is the caller's */
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "%s", cairn_error_message(error));
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

static int encode_mail(const struct crn_mail *mail, struct cairn_buffer *out, cairn_error **reterr)
{
    const size_t count = mail->subtask_count;
    CRN_AUTO_FREE Cairn__Pb__JoinedSubtask *subtasks = calloc(count + 1, sizeof *subtasks);
    CRN_AUTO_FREE Cairn__Pb__JoinedSubtask **pointers = calloc(count + 1, sizeof(*pointers));
    CRN_AUTO_BUFFER struct cairn_buffer record = {0};
    if (subtasks == NULL || pointers == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(encode_record(mail, &record, reterr));
    Cairn__Pb__Mail message;
    Cairn__Pb__Join join;
    cairn__pb__mail__init(&message);
    message.epoch = mail->epoch;
    message.worker = bytes(mail->worker, sizeof mail->worker);
    message.number = mail->number;
    message.kind = mail->kind;
    message.seen = mail->seen;
    if (mail->kind == CRN_MAIL_JOIN) {
        cairn__pb__join__init(&join);
        join.name = text(mail->name);
        join.host = text(mail->host);
        join.pid = mail->pid;
        fill_subtasks(subtasks, pointers, mail);
        join.n_subtasks = count;
        join.subtasks = pointers;
        message.join = &join;
    }
    message.id = mail->id;
    message.record = bytes(record.data, record.size);
    message.code = mail->code;
    message.text = text(mail->text);
    return write_frame(&message.base, CRN_LIMIT_MAIL, "mail", out, reterr);
}

int crn_mail_encode(const struct crn_mail *mail, struct cairn_buffer *out, cairn_error **reterr)
{
    struct crn_mail fitting = *mail;
    CRN_AUTO_FREE char *words = clean(mail->text, CRN_MESSAGE_TEXT_MAX);
    CRN_AUTO_FREE char *name = clean(mail->name, CRN_WORKER_NAME_MAX);
    CRN_AUTO_FREE char *host = clean(mail->host, CRN_HOST_MAX);
    if (words == NULL || name == NULL || host == NULL)
        return crn_err_nomem(reterr);
    fitting.text = words;
    fitting.name = name;
    fitting.host = host;
    fitting.code = known_code(mail->code);
    CRN_TRY(crn_mail_check(&fitting, NULL, reterr));
    return encode_mail(&fitting, out, reterr);
}
