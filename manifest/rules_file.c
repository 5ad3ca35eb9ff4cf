/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules for one file of a subtask (docs/format.md, F). They are what keeps a manifest from
 * naming anything outside its job (P9), from being accepted without a means to verify what it names
 * (P8), and from holding a write behind the barrier (P2).
 */
#include "base/text.h"
#include "manifest/internal.h"
#include <inttypes.h>
#include <string.h>

static bool is_table(const struct crn_rule_scope *s)
{
    return s->file->info.role == CAIRN_FILE_TABLE;
}

static int rule_f1(const struct crn_rule_scope *s)
{
    const cairn_file_role role = s->file->info.role;
    return role >= CAIRN_FILE_TABLE && role <= CAIRN_FILE_IN_FLIGHT
               ? 0
               : crn_rule_broken(s, "F1", "unknown role %d", (int)role);
}

/* A restore makes a path of it. */
static int rule_f2(const struct crn_rule_scope *s)
{
    const char *name = s->file->info.name;
    return crn_text_is_name(name) && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
                   strcmp(name, "..") != 0
               ? 0
               : crn_rule_broken(s, "F2", "the name is not safe as a file name");
}

static int rule_f3(const struct crn_rule_scope *s)
{
    return s->file->info.size <= INT64_MAX
               ? 0
               : crn_rule_broken(s, "F3", "size %" PRIu64 " is not possible", s->file->info.size);
}

static int rule_f4(const struct crn_rule_scope *s)
{
    const struct crn_file *file = s->file;
    if (file->info.object != NULL)
        return file->inlined == NULL
                   ? 0
                   : crn_rule_broken(s, "F4", "it is inlined and an object as well");
    if (file->info.role == CAIRN_FILE_TABLE)
        return crn_rule_broken(s, "F4", "a table is inlined");
    if (file->info.size > CRN_LIMIT_INLINE)
        return crn_rule_broken(s, "F4", "%" PRIu64 " bytes inlined, at most %u", file->info.size,
                               CRN_LIMIT_INLINE);
    return file->info.size == 0 || file->inlined != NULL
               ? 0
               : crn_rule_broken(s, "F4", "it is neither an object nor inlined");
}

static int rule_f5(const struct crn_rule_scope *s)
{
    const struct crn_file *file = s->file;
    if (!file->info.has_xxh3 && !file->info.has_crc32c)
        return crn_rule_broken(s, "F5", "it has no checksum");
    if (file->info.object != NULL)
        return 0;
    if (file->info.has_xxh3) {
        const struct crn_hash128 hash = crn_hash128_of(file->inlined, file->info.size);
        if (memcmp(hash.bytes, file->info.xxh3, sizeof(hash.bytes)) != 0)
            return crn_rule_broken(s, "F5", "the inlined bytes do not match their xxh3");
    }
    if (file->info.has_crc32c && crn_crc32c(0, file->inlined, file->info.size) != file->info.crc32c)
        return crn_rule_broken(s, "F5", "the inlined bytes do not match their crc32c");
    return 0;
}

static int rule_f6(const struct crn_rule_scope *s)
{
    const cairn_file_info *file = &s->file->info;
    const cairn_record_info *record = &s->record->info;
    const bool is_new = file->checkpoint_id == record->id;
    return file->checkpoint_id >= 1 && file->checkpoint_id <= record->id && file->epoch >= 1 &&
                   (is_new ? file->epoch == record->epoch : file->epoch <= record->epoch)
               ? 0
               : crn_rule_broken(s, "F6", "checkpoint_id is %" PRIu64 ", epoch %" PRIu64,
                                 file->checkpoint_id, file->epoch);
}

static int rule_f7(const struct crn_rule_scope *s)
{
    const uint64_t id = s->file->info.checkpoint_id;
    if (id == s->record->info.id || (is_table(s) && id <= s->record->info.base_id))
        return 0;
    return crn_rule_broken(s, "F7", "checkpoint_id is %" PRIu64 ", but base_id %" PRIu64, id,
                           s->record->info.base_id);
}

static int rule_f8(const struct crn_rule_scope *s)
{
    const cairn_file_info *file = &s->file->info;
    if (file->object == NULL)
        return 0;
    const bool is_shared = is_table(s) && s->record->info.kind == CAIRN_RECORD_CHECKPOINT;
    const struct crn_key_info key = crn_key_parse(file->object);
    return key.type == CRN_KEY_OBJECT && key.shared == is_shared && key.id == file->checkpoint_id &&
                   key.epoch == file->epoch
               ? 0
               : crn_rule_broken(s, "F8", "the object's key does not fit");
}

static int rule_f9(const struct crn_rule_scope *s)
{
    const cairn_file_info *info = &s->file->info;
    const bool has_table_fields = s->file->state != 0 || info->number != 0 || info->level != 0 ||
                                  info->sequence_first != 0 || info->sequence_last != 0 ||
                                  info->smallest_size != 0 || info->largest_size != 0;
    return is_table(s) || !has_table_fields
               ? 0
               : crn_rule_broken(s, "F9", "it has fields that only a table has");
}

static int rule_f10(const struct crn_rule_scope *s)
{
    if (!is_table(s))
        return 0;
    const struct crn_operator *op = s->op;
    const uint32_t state = s->file->state;
    if (state >= op->state_count || !crn_state_kind_is_keyed(op->states[state].kind))
        return crn_rule_broken(s, "F10", "%" PRIu32 " is not the index of a keyed state", state);
    const char *name = s->file->info.state;
    if (name != NULL && strcmp(name, op->states[state].name) != 0)
        return crn_rule_broken(s, "F10", "state %" PRIu32 " is not '%s'", state, name);
    return 0;
}

static int rule_f11(const struct crn_rule_scope *s)
{
    const cairn_file_info *info = &s->file->info;
    return !is_table(s) || (info->sequence_first <= info->sequence_last &&
                            info->sequence_last <= s->subtask->info.sequence)
               ? 0
               : crn_rule_broken(
                     s, "F11",
                     "sequence numbers %" PRIu64 " to %" PRIu64 ", the barrier is at %" PRIu64,
                     info->sequence_first, info->sequence_last, s->subtask->info.sequence);
}

static int rule_f12(const struct crn_rule_scope *s)
{
    const cairn_file_info *info = &s->file->info;
    const size_t common =
        info->smallest_size < info->largest_size ? info->smallest_size : info->largest_size;
    const int order = common > 0 ? memcmp(info->smallest, info->largest, common) : 0;
    return order < 0 || (order == 0 && info->smallest_size <= info->largest_size)
               ? 0
               : crn_rule_broken(s, "F12", "its smallest key is above its largest");
}

static int rule_f13(const struct crn_rule_scope *s)
{
    const cairn_file_info *info = &s->file->info;
    const cairn_subtask_info *subtask = &s->subtask->info;
    if (info->role != CAIRN_FILE_CANONICAL)
        return info->key_group_first == 0 && info->key_group_last == 0 && info->entry_count == 0 &&
                       !info->has_identity
                   ? 0
                   : crn_rule_broken(s, "F13", "it has fields that only a canonical file has");
    return info->key_group_first <= info->key_group_last &&
                   info->key_group_first >= subtask->key_group_first &&
                   info->key_group_last <= subtask->key_group_last
               ? 0
               : crn_rule_broken(
                     s, "F13", "key groups %" PRIu32 " to %" PRIu32 " are not within the subtask's",
                     info->key_group_first, info->key_group_last);
}

/* Whether it is one shows in the key as well, so that a file of its own and a slice are never taken
 * for each other. */
static int rule_f14(const struct crn_rule_scope *s)
{
    const cairn_file_info *info = &s->file->info;
    const bool is_in_pack = info->object != NULL && crn_key_parse(info->object).pack;
    if (is_in_pack != (info->object_size != 0))
        return crn_rule_broken(s, "F14", "it is in a pack or has the size of one, not both");
    if (!is_in_pack)
        return info->object_offset == 0
                   ? 0
                   : crn_rule_broken(s, "F14", "it has an offset, but an object of its own");
    return info->size > 0 && info->object_size <= INT64_MAX && info->size <= info->object_size &&
                   info->object_offset <= info->object_size - info->size
               ? 0
               : crn_rule_broken(
                     s, "F14", "%" PRIu64 " bytes at %" PRIu64 " are not in an object of %" PRIu64,
                     info->size, info->object_offset, info->object_size);
}

int crn_rules_file(const struct crn_rule_scope *scope)
{
    static const crn_rule_fn rules[] = {rule_f1,  rule_f2,  rule_f3,  rule_f4, rule_f5,
                                        rule_f6,  rule_f7,  rule_f8,  rule_f9, rule_f10,
                                        rule_f11, rule_f12, rule_f13, rule_f14};
    return crn_rules_run(rules, CRN_COUNT(rules), scope);
}
