/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules for a record as a whole and for its history; rules.c has those for operators and what
 * is below them. One function per rule of docs/format.md, in its order. A record is checked before
 * it is written, so that a defect of ours fails one attempt instead of a restore, and again after
 * it is read, so that everything behind may trust it (P8, P11). The order matters in one way: a
 * rule may rely on those above it.
 */
#include "base/text.h"
#include "manifest/internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int crn_rule_broken(const struct crn_rule_scope *scope, const char *rule, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    char op[320] = "", subtask[32] = "", file[320] = "";
    if (scope->op != NULL)
        (void)snprintf(op, sizeof(op),
                       "operator '%s': ", scope->op->info.uid != NULL ? scope->op->info.uid : "");
    if (scope->subtask != NULL)
        (void)snprintf(subtask, sizeof(subtask), "subtask %" PRIu32 ": ",
                       scope->subtask->info.index);
    if (scope->file != NULL)
        (void)snprintf(file, sizeof(file),
                       "file '%s': ", scope->file->info.name != NULL ? scope->file->info.name : "");
    return crn_err_fail(scope->reterr, CAIRN_ECORRUPT, NULL,
                        "record %" PRIu64 ": %s%s%s%s (rule %s)", scope->record->info.id, op,
                        subtask, file, what, rule);
}

int crn_rules_run(const crn_rule_fn *rules, size_t count, const struct crn_rule_scope *scope)
{
    for (size_t i = 0; i < count; i++)
        CRN_TRY(rules[i](scope));
    return 0;
}

static bool is_clean(const char *text, size_t max_size)
{
    if (text == NULL)
        return true;
    const size_t n = strnlen(text, max_size + 1);
    return n <= max_size && crn_text_is_clean(text, n);
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool is_kind(cairn_record_kind kind)
{
    return kind >= CAIRN_RECORD_CHECKPOINT && kind <= CAIRN_RECORD_FENCE;
}

static bool is_empty(const char *text)
{
    return text == NULL || text[0] == '\0';
}

/* Format and location, which only savepoints have. */
static bool is_place_right(const cairn_record_info *info)
{
    if (info->kind != CAIRN_RECORD_SAVEPOINT)
        return info->format == 0 && is_empty(info->location);
    return (info->format == CAIRN_CANONICAL || info->format == CAIRN_NATIVE) &&
           is_clean(info->location, CRN_LOCATION_MAX);
}

static bool is_reason_right(const cairn_record_info *info)
{
    const bool is_fitting = info->kind == CAIRN_RECORD_ABORTED
                                ? !is_empty(info->reason)
                                : is_empty(info->reason) || info->kind == CAIRN_RECORD_FENCE;
    return is_fitting && is_clean(info->reason, CRN_REASON_MAX);
}

static int rule_r1(const struct crn_rule_scope *s)
{
    return s->record->info.id >= 1 ? 0 : crn_rule_broken(s, "R1", "the id is 0");
}

static int rule_r2(const struct crn_rule_scope *s)
{
    return is_kind(s->record->info.kind)
               ? 0
               : crn_rule_broken(s, "R2", "unknown kind %d", (int)s->record->info.kind);
}

static int rule_r3(const struct crn_rule_scope *s)
{
    return !is_zero(s->record->info.uuid, sizeof(s->record->info.uuid))
               ? 0
               : crn_rule_broken(s, "R3", "the uuid is all zero");
}

static int rule_r4(const struct crn_rule_scope *s)
{
    return s->record->info.epoch >= 1 ? 0 : crn_rule_broken(s, "R4", "the epoch is 0");
}

static int rule_r5(const struct crn_rule_scope *s)
{
    const cairn_record_info *info = &s->record->info;
    return info->log_start >= 1 && info->log_start <= info->id
               ? 0
               : crn_rule_broken(s, "R5", "log_start is %" PRIu64, info->log_start);
}

static int rule_r6(const struct crn_rule_scope *s)
{
    const bool has_previous = s->record->info.id > s->record->info.log_start;
    if (s->record->has_previous_hash == has_previous)
        return 0;
    return crn_rule_broken(s, "R6", "%s previous_hash, but log_start is %" PRIu64,
                           has_previous ? "no" : "a", s->record->info.log_start);
}

static int rule_r7(const struct crn_rule_scope *s)
{
    return crn_text_is_job_name(s->record->job)
               ? 0
               : crn_rule_broken(s, "R7", "the job's name is not valid");
}

static int rule_r8(const struct crn_rule_scope *s)
{
    return s->record->info.restored_id < s->record->info.id
               ? 0
               : crn_rule_broken(s, "R8", "restored_id is %" PRIu64, s->record->info.restored_id);
}

static int rule_r9(const struct crn_rule_scope *s)
{
    if (!is_clean(s->record->info.host, CRN_HOST_MAX))
        return crn_rule_broken(s, "R9", "host is too long or not clean text");
    if (!is_clean(s->record->info.library_version, CRN_LIBRARY_VERSION_MAX))
        return crn_rule_broken(s, "R9", "library_version is too long or not clean text");
    return 0;
}

static int rule_r10(const struct crn_rule_scope *s)
{
    return is_reason_right(&s->record->info)
               ? 0
               : crn_rule_broken(s, "R10",
                                 "the reason does not fit the kind, is too long or not "
                                 "clean text");
}

static int rule_r11(const struct crn_rule_scope *s)
{
    const struct crn_record *record = s->record;
    const bool has_content = record->operator_count > 0 || record->info.base_id != 0;
    return crn_record_is_restorable(record) || !has_content
               ? 0
               : crn_rule_broken(s, "R11",
                                 "only a checkpoint, or a savepoint in its own directory, has "
                                 "operators and a base_id");
}

static int rule_r12(const struct crn_rule_scope *s)
{
    const cairn_record_info *info = &s->record->info;
    return info->base_id < info->id && (info->is_full == 0 || info->base_id == 0)
               ? 0
               : crn_rule_broken(s, "R12", "base_id is %" PRIu64 ", is_full %d", info->base_id,
                                 info->is_full != 0);
}

static int rule_r13_place(const struct crn_rule_scope *s)
{
    return is_place_right(&s->record->info)
               ? 0
               : crn_rule_broken(s, "R13",
                                 "format or location does not fit the kind, or is not valid");
}

/* A savepoint is alone in its directory and needs nobody (P9). */
static int rule_r13(const struct crn_rule_scope *s)
{
    const struct crn_record *record = s->record;
    CRN_TRY(rule_r13_place(s));
    if (record->info.kind != CAIRN_RECORD_SAVEPOINT || !crn_record_is_restorable(record))
        return 0;
    return record->info.base_id == 0 && record->info.log_start == record->info.id &&
                   record->history_count == 0
               ? 0
               : crn_rule_broken(s, "R13",
                                 "a savepoint in its own directory has a base or a past: base_id "
                                 "%" PRIu64 ", log_start %" PRIu64 ", %zu entries of history",
                                 record->info.base_id, record->info.log_start,
                                 record->history_count);
}

static int rule_r14(const struct crn_rule_scope *s)
{
    const cairn_record_info *info = &s->record->info;
    const bool has_uuid = !is_zero(info->source_uuid, sizeof(info->source_uuid));
    if (info->source_id == 0)
        return is_empty(info->source_location) && is_empty(info->source_job) && !has_uuid &&
                       info->source_mode == 0
                   ? 0
                   : crn_rule_broken(s, "R14", "it has parts of a source, but no source_id");
    return has_uuid && crn_text_is_job_name(info->source_job) &&
                   is_clean(info->source_location, CRN_LOCATION_MAX) &&
                   info->source_mode >= CAIRN_NO_CLAIM && info->source_mode <= CAIRN_LEGACY
               ? 0
               : crn_rule_broken(s, "R14",
                                 "the uuid, job, location or mode of its source is not "
                                 "valid");
}

static int rule_h1(const struct crn_rule_scope *s)
{
    const struct crn_record *record = s->record;
    if (record->history_count > CRN_LIMIT_HISTORY)
        return crn_rule_broken(s, "H1", "%zu entries of history, at most %u", record->history_count,
                               CRN_LIMIT_HISTORY);
    uint64_t last = 0;
    for (size_t i = 0; i < record->history_count; i++) {
        const uint64_t id = record->history[i].info.id;
        if (id <= last || id >= record->info.id)
            return crn_rule_broken(s, "H1", "history has id %" PRIu64 " after %" PRIu64, id, last);
        last = id;
    }
    return 0;
}

static int rule_h2(const struct crn_rule_scope *s)
{
    for (size_t i = 0; i < s->record->history_count; i++) {
        const cairn_record_info *info = &s->record->history[i].info;
        if (!is_kind(info->kind) || info->epoch < 1 || info->epoch > s->record->info.epoch)
            return crn_rule_broken(s, "H2",
                                   "history has id %" PRIu64 " with kind %d, epoch %" PRIu64,
                                   info->id, (int)info->kind, info->epoch);
    }
    return 0;
}

static int rule_h3(const struct crn_rule_scope *s)
{
    for (size_t i = 0; i < s->record->history_count; i++)
        if (!is_reason_right(&s->record->history[i].info))
            return crn_rule_broken(s, "H3", "the reason of id %" PRIu64 " in history is not valid",
                                   s->record->history[i].info.id);
    return 0;
}

static int rule_h4(const struct crn_rule_scope *s)
{
    for (size_t i = 0; i < s->record->history_count; i++) {
        const cairn_record_info *info = &s->record->history[i].info;
        if (!is_place_right(info) || !is_clean(info->source_location, CRN_LOCATION_MAX))
            return crn_rule_broken(s, "H4",
                                   "format or a location of id %" PRIu64 " in history is not valid",
                                   info->id);
    }
    return 0;
}

/* What places a record in a log, a part has not. */
static int rule_a1(const struct crn_rule_scope *s)
{
    const struct crn_record *record = s->record;
    const cairn_record_info *info = &record->info;
    const bool is_placed = !is_zero(info->uuid, sizeof(info->uuid)) || info->log_start != 0 ||
                           record->has_previous_hash || record->ids_ahead != 0 ||
                           record->history_count > 0 || info->restored_id != 0 ||
                           info->source_id != 0;
    if (is_placed || !is_empty(info->reason) || !is_empty(info->location))
        return crn_rule_broken(s, "A1", "a part has fields of a whole record");
    if (!crn_record_is_restorable(record))
        return crn_rule_broken(s, "A1", "a part of kind %d", (int)info->kind);
    return is_empty(record->job) ? 0 : rule_r7(s);
}

/* Operators stand in the order of their uids' bytes, each once. */
static int rule_o1(const struct crn_rule_scope *s)
{
    const struct crn_record *record = s->record;
    if (record->operator_count > CRN_LIMIT_OPERATORS)
        return crn_rule_broken(s, "O1", "%zu operators, at most %u", record->operator_count,
                               CRN_LIMIT_OPERATORS);
    for (size_t i = 0; i < record->operator_count; i++) {
        const char *uid = record->operators[i].info.uid;
        if (!crn_text_is_name(uid))
            return crn_rule_broken(s, "O1", "the uid of operator %zu is not a valid name", i);
        if (i > 0 && strcmp(record->operators[i - 1].info.uid, uid) >= 0)
            return crn_rule_broken(s, "O1", "operator '%s' is there twice or out of order", uid);
    }
    return 0;
}

static int check_operators(struct crn_rule_scope *scope)
{
    const struct crn_record *record = scope->record;
    for (size_t i = 0; i < record->operator_count; i++) {
        scope->op = &record->operators[i];
        CRN_TRY(crn_rules_operator(scope));
    }
    return crn_rules_slices(record, scope->reterr);
}

int crn_record_validate_part(const struct crn_record *record, cairn_error **reterr)
{
    static const crn_rule_fn rules[] = {
        rule_r1, rule_r2, rule_a1, rule_r4, rule_r9, rule_r12, rule_r13_place, rule_r14, rule_o1,
    };
    struct crn_rule_scope scope = {.record = record, .is_part = true, .reterr = reterr};
    CRN_TRY(crn_rules_run(rules, CRN_COUNT(rules), &scope));
    return check_operators(&scope);
}

int crn_record_validate(const struct crn_record *record, cairn_error **reterr)
{
    static const crn_rule_fn rules[] = {
        rule_r1, rule_r2, rule_r3,  rule_r4,  rule_r5,  rule_r6,  rule_r7,
        rule_r8, rule_r9, rule_r10, rule_r11, rule_r12, rule_r13, rule_r14,
        rule_h1, rule_h2, rule_h3,  rule_h4,  rule_o1,
    };
    struct crn_rule_scope scope = {.record = record, .reterr = reterr};
    CRN_TRY(crn_rules_run(rules, CRN_COUNT(rules), &scope));
    return check_operators(&scope);
}
