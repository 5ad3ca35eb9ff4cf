/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Are two records the same? Field by field, so that a field which the codec forgets is found by
 * name.
 */
#include "tests/support/records.h"

#include <string.h>

#define SAME(field)                                                                                \
    do {                                                                                           \
        if (a->field != b->field)                                                                  \
            return #field;                                                                         \
    } while (0)
#define SAME_TEXT(field)                                                                           \
    do {                                                                                           \
        if (differ_text(a->field, b->field))                                                       \
            return #field;                                                                         \
    } while (0)
#define SAME_ARRAY(field)                                                                          \
    do {                                                                                           \
        if (memcmp(a->field, b->field, sizeof(a->field)) != 0)                                     \
            return #field;                                                                         \
    } while (0)
#define SAME_BYTES(field, size)                                                                    \
    do {                                                                                           \
        if (a->size != b->size ||                                                                  \
            (a->size > 0 && memcmp(a->field, b->field, (size_t)a->size) != 0))                     \
            return #field;                                                                         \
    } while (0)
#define SAME_ALL(array, count, difference)                                                         \
    do {                                                                                           \
        SAME(count);                                                                               \
        for (size_t i = 0; i < a->count; i++) {                                                    \
            const char *inner = difference(&a->array[i], &b->array[i]);                            \
            if (inner != NULL)                                                                     \
                return inner;                                                                      \
        }                                                                                          \
    } while (0)

/* A text that was never set is the empty one, but for an object's key: see manifest.h. */
static bool differ_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

static const char *summary_difference(const cairn_record_info *a, const cairn_record_info *b)
{
    SAME(id);
    SAME(kind);
    SAME(state);
    SAME(epoch);
    SAME(trigger_time_ms);
    SAME(commit_time_ms);
    SAME(duration_us);
    SAME(barrier_max_us);
    SAME(full_bytes);
    SAME(new_bytes);
    SAME(file_count);
    SAME(new_file_count);
    SAME(requests);
    SAME(sent_bytes);
    SAME(is_full);
    SAME_TEXT(reason);
    SAME(format);
    SAME_TEXT(location);
    SAME_TEXT(source_location);
    return NULL;
}

static const char *history_difference(const struct crn_history *a, const struct crn_history *b)
{
    return summary_difference(&a->info, &b->info);
}

static const char *schema_difference(const cairn_schema_info *a, const cairn_schema_info *b)
{
    SAME(tag);
    SAME_TEXT(name);
    SAME(version);
    SAME_BYTES(bytes, size);
    return NULL;
}

static const char *state_difference(const cairn_state_info *a, const cairn_state_info *b)
{
    SAME_TEXT(name);
    SAME(kind);
    SAME(value_type);
    SAME(map_key_type);
    SAME(ttl_ms);
    SAME_ALL(schemas, schema_count, schema_difference);
    return NULL;
}

/* The name of a table's state is derived from its index; builders may leave it out. */
static const char *file_difference(const struct crn_file *a, const struct crn_file *b)
{
    SAME(info.role);
    SAME_TEXT(info.name);
    SAME_TEXT(info.object);
    if ((a->info.object == NULL) != (b->info.object == NULL))
        return "info.object";
    SAME(info.size);
    SAME(info.has_xxh3);
    SAME_ARRAY(info.xxh3);
    SAME(info.has_crc32c);
    SAME(info.crc32c);
    SAME(info.checkpoint_id);
    SAME(info.epoch);
    SAME(state);
    SAME(info.number);
    SAME(info.level);
    SAME(info.sequence_first);
    SAME(info.sequence_last);
    SAME_BYTES(info.smallest, info.smallest_size);
    SAME_BYTES(info.largest, info.largest_size);
    SAME(info.key_group_first);
    SAME(info.key_group_last);
    SAME(info.entry_count);
    SAME(info.has_identity);
    SAME_ARRAY(info.identity);
    SAME(info.object_offset);
    SAME(info.object_size);
    if (a->info.object == NULL)
        SAME_BYTES(inlined, info.size);
    return NULL;
}

static const char *subtask_difference(const struct crn_subtask *a, const struct crn_subtask *b)
{
    SAME(info.index);
    SAME(info.key_group_first);
    SAME(info.key_group_last);
    SAME_TEXT(info.backend);
    SAME_ARRAY(info.generation);
    SAME(info.sequence);
    SAME(info.barrier_us);
    SAME(info.start_delay_us);
    SAME(info.align_us);
    SAME(info.in_flight_bytes);
    SAME(info.is_finished);
    SAME(info.flush_us);
    SAME(info.capture_us);
    SAME(info.upload_us);
    SAME(info.full_bytes);
    SAME(info.new_bytes);
    SAME(info.file_count);
    SAME_ALL(files, file_count, file_difference);
    return NULL;
}

static const char *operator_difference(const struct crn_operator *a, const struct crn_operator *b)
{
    SAME_TEXT(info.uid);
    SAME_TEXT(info.name);
    SAME(info.parallelism);
    SAME(info.max_parallelism);
    SAME(info.key_type);
    SAME(info.namespace_type);
    SAME(info.state_count);
    SAME(info.subtask_count);
    SAME_ALL(states, state_count, state_difference);
    SAME_ALL(subtasks, subtask_count, subtask_difference);
    return NULL;
}

const char *crn_test_record_difference(const struct crn_record *a, const struct crn_record *b)
{
    const char *in = summary_difference(&a->info, &b->info);
    if (in != NULL)
        return in;
    SAME(info.log_start);
    SAME(info.base_id);
    SAME(info.restored_id);
    SAME(ids_ahead);
    SAME_ARRAY(info.uuid);
    SAME_TEXT(info.source_job);
    SAME(info.source_id);
    SAME_ARRAY(info.source_uuid);
    SAME(info.source_mode);
    SAME_TEXT(info.host);
    SAME(info.pid);
    SAME_TEXT(info.library_version);
    SAME_TEXT(job);
    SAME(has_previous_hash);
    SAME_ARRAY(previous_hash.bytes);
    SAME_ALL(operators, operator_count, operator_difference);
    SAME_ALL(history, history_count, history_difference);
    return NULL;
}
