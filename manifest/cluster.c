/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of posts and mails (docs/format.md, M, L and N), and their release. A message is
 * checked before it is written and again after it is read, like a record (P11). What does not
 * belong to its kind must not be set, so that there is one spelling of everything that can be said,
 * and nobody comes to rely on a field that others ignore.
 */
#include "manifest/cluster_internal.h"

#include "base/text.h"
#include "manifest/internal.h"

#include <string.h>

void crn_post_done(struct crn_post *post)
{
    free(post->plan.source_location);
    free(post->members);
    free(post->trigger.target);
    free(post->trigger.directory);
    free(post->text);
    *post = (struct crn_post){0};
}

void crn_mail_done(struct crn_mail *mail)
{
    for (size_t i = 0; i < mail->subtask_count; i++) {
        free(mail->subtasks[i].uid);
        free(mail->subtasks[i].name);
    }
    free(mail->subtasks);
    free(mail->name);
    free(mail->host);
    crn_record_free(mail->record);
    free(mail->text);
    *mail = (struct crn_mail){0};
}

bool crn_uuid_is_zero(const uint8_t uuid[16])
{
    static const uint8_t zeros[16];
    return memcmp(uuid, zeros, sizeof zeros) == 0;
}

/* Where the check stands. */
struct scope {
    const char *what;   /* "post", "mail" */
    const char *object; /* NULL: it is to be written */
    char key[CRN_KEY_MAX];
    cairn_error **reterr;
};

static int broken(const struct scope *s, const char *rule, const char *why)
{
    const char *object = s->object != NULL ? s->object : s->key;
    return crn_err_fail(s->reterr, s->object != NULL ? CAIRN_ECORRUPT : CAIRN_EINVAL, object,
                        "%s '%s': %s (rule %s)", s->what, object, why, rule);
}

static bool is_empty(const char *text)
{
    return text == NULL || text[0] == '\0';
}

static bool is_clean(const char *text, size_t max_size)
{
    if (text == NULL)
        return true;
    const size_t n = strnlen(text, max_size + 1);
    return n <= max_size && crn_text_is_clean(text, n);
}

static bool is_error_code(int code)
{
    return code < 0 && cairn_error_class_of(code) != CAIRN_CLASS_NONE &&
           strcmp(cairn_error_name(code), "CAIRN_E?") != 0;
}

/* --- what belongs to a kind --- */

enum part {
    PLAN = 1 << 0,
    MEMBERS = 1 << 1,
    TRIGGER = 1 << 2,
    ID = 1 << 3,
    SUBSUMED = 1 << 4,
    CODE = 1 << 5,
    TEXT = 1 << 6,
    JOIN = 1 << 7,
    RECORD = 1 << 8
};

/* Parts that must be there, and parts that may; and the numbers that it may have. */
struct shape {
    unsigned must, may;
    uint64_t first, last;
};

static const struct shape post_shapes[] = {
    [CRN_POST_PLAN] = {0, PLAN, 1, 1},
    [CRN_POST_START] = {0, MEMBERS, 2, 2},
    [CRN_POST_TRIGGER] = {TRIGGER, TRIGGER, 3, UINT64_MAX},
    [CRN_POST_COMPLETE] = {ID, ID | SUBSUMED, 3, UINT64_MAX},
    [CRN_POST_ABORTED] = {ID, ID | TEXT, 3, UINT64_MAX},
    [CRN_POST_SAVEPOINT] = {ID, ID, 3, UINT64_MAX},
    [CRN_POST_STOPPED] = {ID, ID | TEXT, 3, UINT64_MAX},
    [CRN_POST_INDEPENDENT] = {ID, ID, 3, UINT64_MAX},
    [CRN_POST_ENDED] = {CODE, CODE | TEXT, 2, UINT64_MAX},
    [CRN_POST_REPLACED] = {0, TEXT, 2, UINT64_MAX},
};

static const struct shape mail_shapes[] = {
    [CRN_MAIL_JOIN] = {0, JOIN, 1, 1},
    [CRN_MAIL_ALIVE] = {0, 0, 2, UINT64_MAX},
    [CRN_MAIL_ACK] = {ID, ID | RECORD, 2, UINT64_MAX},
    [CRN_MAIL_DECLINE] = {ID | CODE, ID | CODE | TEXT, 2, UINT64_MAX},
    [CRN_MAIL_LEAVE] = {0, CODE | TEXT, 2, UINT64_MAX},
};

static unsigned set(unsigned part, bool is_set)
{
    return is_set ? part : 0;
}

static bool has_plan(const struct crn_plan *plan)
{
    return plan->restored_id != 0 || !crn_uuid_is_zero(plan->restored_uuid) ||
           !is_empty(plan->source_location) || plan->is_stop || plan->checkpoint_mode != 0 ||
           plan->unaligned || plan->aligned_timeout_ms != 0;
}

static bool has_savepoint(const struct crn_trigger *trigger)
{
    return trigger->is_savepoint || !is_empty(trigger->target) || !is_empty(trigger->directory) ||
           trigger->format != 0 || trigger->stop || trigger->drain;
}

static bool has_trigger(const struct crn_trigger *trigger)
{
    return trigger->id != 0 || trigger->is_full || trigger->trigger_time_ms != 0 ||
           trigger->floor_id != 0 || has_savepoint(trigger);
}

static unsigned parts_of_post(const struct crn_post *post)
{
    return set(PLAN, has_plan(&post->plan)) | set(MEMBERS, post->member_count > 0) |
           set(TRIGGER, has_trigger(&post->trigger)) | set(ID, post->id != 0) |
           set(SUBSUMED, post->subsumed_id != 0) | set(CODE, post->code != 0) |
           set(TEXT, !is_empty(post->text));
}

static unsigned parts_of_mail(const struct crn_mail *mail)
{
    const bool joins =
        !is_empty(mail->name) || !is_empty(mail->host) || mail->pid != 0 || mail->subtask_count > 0;
    return set(JOIN, joins) | set(ID, mail->id != 0) | set(RECORD, mail->record != NULL) |
           set(CODE, mail->code != 0) | set(TEXT, !is_empty(mail->text));
}

static int check_shape(const struct scope *s, const struct shape *shape, unsigned parts,
                       uint64_t number)
{
    if (number < shape->first || number > shape->last)
        return broken(s, "M3", "its kind cannot have this number");
    if ((parts & ~shape->may) != 0)
        return broken(s, "M4", "it has what its kind cannot have");
    if ((shape->must & ~parts) != 0)
        return broken(s, "M4", "it lacks what its kind must have");
    return 0;
}

/* --- posts --- */

static int check_plan(const struct scope *s, const struct crn_plan *plan)
{
    const bool is_restored = plan->restored_id != 0;
    if (is_restored == crn_uuid_is_zero(plan->restored_uuid) ||
        (!is_restored && (plan->is_stop || !is_empty(plan->source_location))))
        return broken(s, "L1", "it does not fit together what is restored");
    if (!is_clean(plan->source_location, CRN_LOCATION_MAX))
        return broken(s, "L1", "source_location is too long or not clean text");
    if (plan->checkpoint_mode > CAIRN_AT_LEAST_ONCE)
        return broken(s, "L2", "checkpoint_mode is not known");
    return 0;
}

static int by_worker(const void *a, const void *b)
{
    return memcmp(((const struct crn_member *)a)->worker, ((const struct crn_member *)b)->worker,
                  16);
}

static int check_members(const struct scope *s, const struct crn_post *post)
{
    const size_t count = post->member_count;
    if (count > CRN_LIMIT_WORKERS)
        return broken(s, "L3", "more members than a job can have");
    CRN_AUTO_FREE struct crn_member *sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return crn_err_nomem(s->reterr);
    for (size_t i = 0; i < count; i++) {
        if (post->members[i].index != i || crn_uuid_is_zero(post->members[i].worker))
            return broken(s, "L3", "a member's index or worker is not possible");
        sorted[i] = post->members[i];
    }
    qsort(sorted, count, sizeof *sorted, by_worker);
    for (size_t i = 1; i < count; i++)
        if (by_worker(&sorted[i - 1], &sorted[i]) == 0)
            return broken(s, "L3", "a member is there twice");
    return 0;
}

/* The name of a directory in a store: one segment. */
static bool is_directory(const char *name)
{
    return crn_text_is_name(name) && name[0] != '.' && strchr(name, '/') == NULL;
}

static int check_trigger(const struct scope *s, const struct crn_trigger *trigger)
{
    if (trigger->id == 0 || trigger->floor_id >= trigger->id)
        return broken(s, "L4", "the id is 0 or not above floor_id");
    if (!trigger->is_savepoint)
        return has_savepoint(trigger) ? broken(s, "L5", "a checkpoint has fields of a savepoint")
                                      : 0;
    if (!is_clean(trigger->target, CRN_LOCATION_MAX) || trigger->directory == NULL ||
        !is_directory(trigger->directory))
        return broken(s, "L5", "the savepoint's target or directory is not valid");
    if (trigger->format > CAIRN_NATIVE)
        return broken(s, "L5", "the savepoint's format is not known");
    return trigger->drain && !trigger->stop ? broken(s, "L5", "it drains but does not stop") : 0;
}

int crn_post_check(const struct crn_post *post, const char *object, cairn_error **reterr)
{
    struct scope s = {.what = "post", .object = object, .reterr = reterr};
    crn_key_post(s.key, post->epoch, post->number);
    if (post->epoch == 0 || post->number == 0)
        return broken(&s, "M1", "the epoch or the number is 0");
    if (crn_uuid_is_zero(post->uuid))
        return broken(&s, "M1", "the uuid is all zero");
    if (post->kind < CRN_POST_PLAN || post->kind > CRN_POST_REPLACED)
        return broken(&s, "M2", "its kind is not known");
    CRN_TRY(check_shape(&s, &post_shapes[post->kind], parts_of_post(post), post->number));
    if (!is_clean(post->text, CRN_MESSAGE_TEXT_MAX))
        return broken(&s, "M5", "its text is too long or not clean");
    if (post->code != 0 && !is_error_code(post->code))
        return broken(&s, "M6", "its code is not known");
    if (post->subsumed_id != 0 && post->subsumed_id >= post->id)
        return broken(&s, "L6", "the subsumed id is not below the id");
    CRN_TRY(check_plan(&s, &post->plan));
    CRN_TRY(check_members(&s, post));
    return post->kind == CRN_POST_TRIGGER ? check_trigger(&s, &post->trigger) : 0;
}

/* --- mails --- */

static bool is_subtask(const struct crn_joined_subtask *subtask)
{
    return subtask->uid != NULL && crn_text_is_name(subtask->uid) &&
           (is_empty(subtask->name) || crn_text_is_name(subtask->name)) &&
           subtask->subtask < subtask->parallelism &&
           subtask->parallelism <= subtask->max_parallelism &&
           subtask->max_parallelism <= CRN_MAX_KEY_GROUPS &&
           crn_type_is_plain((cairn_type)subtask->key_type) &&
           crn_type_is_plain((cairn_type)subtask->namespace_type);
}

static int by_subtask(const void *a, const void *b)
{
    const struct crn_joined_subtask *x = *(const struct crn_joined_subtask *const *)a;
    const struct crn_joined_subtask *y = *(const struct crn_joined_subtask *const *)b;
    const int order = strcmp(x->uid, y->uid);
    return order != 0 ? order : (x->subtask > y->subtask) - (x->subtask < y->subtask);
}

static int check_subtasks(const struct scope *s, const struct crn_mail *mail)
{
    const size_t count = mail->subtask_count;
    if (count > CRN_LIMIT_JOINED)
        return broken(s, "N2", "more subtasks than a worker can have");
    CRN_AUTO_FREE const struct crn_joined_subtask **sorted = calloc(count + 1, sizeof(*sorted));
    if (sorted == NULL)
        return crn_err_nomem(s->reterr);
    for (size_t i = 0; i < count; i++) {
        if (!is_subtask(&mail->subtasks[i]))
            return broken(s, "N2", "a subtask that joins is not possible");
        sorted[i] = &mail->subtasks[i];
    }
    qsort(sorted, count, sizeof(*sorted), by_subtask);
    for (size_t i = 1; i < count; i++)
        if (by_subtask(&sorted[i - 1], &sorted[i]) == 0)
            return broken(s, "N2", "a subtask joins twice");
    return 0;
}

static int check_record(const struct scope *s, const struct crn_mail *mail)
{
    if (mail->kind != CRN_MAIL_ACK)
        return 0;
    return mail->record != NULL &&
                   (mail->record->info.id == mail->id && mail->record->info.epoch == mail->epoch)
               ? 0
               : broken(s, "N3", "its record is missing, or of another id or epoch");
}

int crn_mail_check(const struct crn_mail *mail, const char *object, cairn_error **reterr)
{
    struct scope s = {.what = "mail", .object = object, .reterr = reterr};
    crn_key_mail(s.key, mail->epoch, mail->worker, mail->number);
    if (mail->epoch == 0 || mail->number == 0)
        return broken(&s, "M1", "the epoch or the number is 0");
    if (crn_uuid_is_zero(mail->worker))
        return broken(&s, "M1", "the worker is all zero");
    if (mail->kind < CRN_MAIL_JOIN || mail->kind > CRN_MAIL_LEAVE)
        return broken(&s, "M2", "its kind is not known");
    CRN_TRY(check_shape(&s, &mail_shapes[mail->kind], parts_of_mail(mail), mail->number));
    if (!is_clean(mail->text, CRN_MESSAGE_TEXT_MAX))
        return broken(&s, "M5", "its text is too long or not clean");
    if (mail->code != 0 && !is_error_code(mail->code))
        return broken(&s, "M6", "its code is not known");
    if (!is_clean(mail->name, CRN_WORKER_NAME_MAX) || !is_clean(mail->host, CRN_HOST_MAX))
        return broken(&s, "N1", "the worker's name or host is too long or not clean text");
    CRN_TRY(check_subtasks(&s, mail));
    return check_record(&s, mail);
}
