/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a job's log, without the log: every decision that ends in "this id is mine", "stop"
 * or "delete" is taken here, from values, so that tests can ask all questions of small cases (P5,
 * P6, P7). The effects are the engine's.
 */
#include "manifest/internal.h"
#include <string.h>

enum crn_collision crn_log_judge_collision(const struct crn_record *mine,
                                           const struct crn_record *found)
{
    if (found->info.id != mine->info.id)
        return CRN_COLLISION_STALE;
    if (memcmp(found->info.uuid, mine->info.uuid, sizeof mine->info.uuid) == 0)
        return CRN_COLLISION_MINE;
    if (found->info.epoch > mine->info.epoch)
        return CRN_COLLISION_FENCED;
    if (found->info.epoch == mine->info.epoch && found->info.kind == CAIRN_RECORD_ABORTED)
        return CRN_COLLISION_ABORTED;
    return CRN_COLLISION_STALE;
}

/*
 * log_start moves up only to an id that is a complete checkpoint: one that is in the log already,
 * or the record itself, which takes effect together with its log_start. So at no moment, whatever
 * crashes, does the newest complete checkpoint lie below log_start. It never moves down: what was
 * below may be deleted already.
 *
 * A log that has no checkpoint has nothing to keep: it begins at its newest record, whatever that
 * is. Else a service that never gets to its first checkpoint would grow it with every start. But
 * the pointer to a savepoint that the job was stopped with is what the next start goes on from, as
 * a checkpoint is: it stays until a checkpoint above it is complete.
 */
uint64_t crn_log_next_start(const uint64_t *ids, size_t count, uint64_t old_start,
                            uint64_t new_checkpoint_id, uint32_t num_retained)
{
    size_t keep = num_retained > 0 ? num_retained : 1;
    uint64_t start = 0;
    if (new_checkpoint_id != 0) {
        start = new_checkpoint_id;
        keep--;
    }
    if (keep > count)
        keep = count;
    if (keep > 0)
        start = ids[count - keep];
    return start > old_start ? start : old_start;
}

uint64_t crn_log_next_start_without(size_t checkpoint_count, size_t unreadable_count,
                                    uint64_t stop_id, uint64_t old_start, uint64_t id)
{
    if (checkpoint_count > 0 || unreadable_count > 0)
        return old_start;
    return stop_id == 0 ? id : stop_id > old_start ? stop_id : old_start;
}

static int set_text_or_empty(const char **field, const char *text)
{
    return crn_record_set_text(field, text != NULL ? text : "");
}

static int copy_history(struct crn_record *record, const cairn_record_info *from)
{
    struct crn_history *entry = crn_record_add_history(record);
    if (entry == NULL)
        return CAIRN_ENOMEM;
    entry->info = (cairn_record_info){
        .id = from->id,
        .kind = from->kind,
        .state = crn_history_state_of(from->kind),
        .epoch = from->epoch,
        .trigger_time_ms = from->trigger_time_ms,
        .commit_time_ms = from->commit_time_ms,
        .duration_us = from->duration_us,
        .barrier_max_us = from->barrier_max_us,
        .full_bytes = from->full_bytes,
        .new_bytes = from->new_bytes,
        .file_count = from->file_count,
        .new_file_count = from->new_file_count,
        .is_full = from->is_full,
        .requests = from->requests,
        .sent_bytes = from->sent_bytes,
        .format = from->format,
    };
    CRN_TRY(set_text_or_empty(&entry->info.reason, from->reason));
    CRN_TRY(set_text_or_empty(&entry->info.location, from->location));
    return set_text_or_empty(&entry->info.source_location, from->source_location);
}

int crn_log_extend_history(struct crn_record *record, const struct crn_record *head)
{
    if (head == NULL)
        return 0;
    const size_t old = head->history_count;
    const size_t skip = old >= CRN_LIMIT_HISTORY ? old - CRN_LIMIT_HISTORY + 1 : 0;
    for (size_t i = skip; i < old; i++)
        CRN_TRY(copy_history(record, &head->history[i].info));
    return copy_history(record, &head->info);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The caller looked at the store before it read the log, and only the record of an id may bring its
 * objects into the log. So an object of a resolved id that nothing live references can never be
 * referenced again; one of an id above the head may be on its way into a checkpoint. Not if its
 * writer has been fenced, though: that one resolves ids in order, and the fence has the next. */
cairn_object_status crn_log_classify(const char *key, uint64_t head_id, uint64_t epoch,
                                     uint64_t log_start, const char *const *live_sorted,
                                     size_t live_count)
{
    const struct crn_key_info info = crn_key_parse(key);
    switch (info.type) {
    case CRN_KEY_FOREIGN:
    case CRN_KEY_MARK: /* of whoever is claiming or disposing: theirs to remove */
        return CAIRN_OBJECT_FOREIGN;
    case CRN_KEY_MANIFEST:
        return info.id < log_start ? CAIRN_OBJECT_DEAD : CAIRN_OBJECT_MANIFEST;
    case CRN_KEY_POST:
        return epoch > 0 && info.epoch < epoch - 1 ? CAIRN_OBJECT_DEAD : CAIRN_OBJECT_CLUSTER;
    case CRN_KEY_MAIL:
        return info.epoch < epoch ? CAIRN_OBJECT_DEAD : CAIRN_OBJECT_CLUSTER;
    case CRN_KEY_OBJECT:
        break;
    }
    if (live_count > 0 && bsearch(&key, live_sorted, live_count, sizeof(key), by_text) != NULL)
        return CAIRN_OBJECT_LIVE;
    return info.id > head_id && info.epoch >= epoch ? CAIRN_OBJECT_UNRESOLVED : CAIRN_OBJECT_DEAD;
}

/* Calls for every file that is an object of its own; `live` NULL only counts. */
static size_t collect(const struct crn_record *record, const char **live)
{
    size_t count = 0;
    for (size_t i = 0; i < record->operator_count; i++) {
        const struct crn_operator *op = &record->operators[i];
        for (size_t j = 0; j < op->subtask_count; j++) {
            const struct crn_subtask *subtask = &op->subtasks[j];
            for (size_t k = 0; k < subtask->file_count; k++) {
                const char *object = subtask->files[k].info.object;
                if (object == NULL)
                    continue;
                if (live != NULL)
                    live[count] = object;
                count++;
            }
        }
    }
    return count;
}

int crn_log_live_objects(const struct crn_record *const *records, size_t count,
                         const char ***ret_live, size_t *ret_count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += collect(records[i], NULL);
    const char **live = calloc(total > 0 ? total : 1, sizeof(*live));
    if (live == NULL)
        return CAIRN_ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += collect(records[i], live + n);
    qsort(live, total, sizeof(*live), by_text);
    size_t unique = 0;
    for (size_t i = 0; i < total; i++)
        if (unique == 0 || strcmp(live[unique - 1], live[i]) != 0)
            live[unique++] = live[i];
    *ret_live = live;
    *ret_count = unique;
    return 0;
}
