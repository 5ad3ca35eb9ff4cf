/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a record to bytes. A tree of protobuf messages that borrow every string from the record is
 * laid out in a few arrays of exactly the right size, packed, and framed. The same record gives the
 * same bytes every time: operators and subtasks have their order by the rules, and protobuf-c
 * writes fields by number.
 */
#include "cairn.pb-c.h"
#include "manifest/internal.h"
#include <stdint.h>

/* Messages of one kind, and the array of pointers that their parents' fields point into. */
struct messages {
    void *items;
    void **pointers;
    size_t used;
};

struct tree {
    Cairn__Pb__Record record;
    Cairn__Pb__Checkpoint checkpoint;
    Cairn__Pb__Savepoint savepoint;
    Cairn__Pb__Source source;
    struct messages operators, states, schemas, subtasks, files, history;
};

static int reserve(struct messages *messages, size_t count, size_t message_size)
{
    messages->items = calloc(count + 1, message_size);
    messages->pointers = calloc(count + 1, sizeof(*messages->pointers));
    return messages->items != NULL && messages->pointers != NULL ? 0 : CAIRN_ENOMEM;
}

static void release(struct messages *messages)
{
    free(messages->items);
    free(messages->pointers);
}

static void tree_done(struct tree *tree)
{
    release(&tree->operators);
    release(&tree->states);
    release(&tree->schemas);
    release(&tree->subtasks);
    release(&tree->files);
    release(&tree->history);
}

static int tree_reserve(struct tree *tree, const struct crn_record *record)
{
    size_t states = 0, schemas = 0, subtasks = 0, files = 0;
    for (size_t i = 0; i < record->operator_count; i++) {
        const struct crn_operator *op = &record->operators[i];
        states += op->state_count;
        subtasks += op->subtask_count;
        for (size_t j = 0; j < op->state_count; j++)
            schemas += op->states[j].schema_count;
        for (size_t j = 0; j < op->subtask_count; j++)
            files += op->subtasks[j].file_count;
    }
    CRN_TRY(reserve(&tree->operators, record->operator_count, sizeof(Cairn__Pb__Operator)));
    CRN_TRY(reserve(&tree->states, states, sizeof(Cairn__Pb__State)));
    CRN_TRY(reserve(&tree->schemas, schemas, sizeof(Cairn__Pb__Schema)));
    CRN_TRY(reserve(&tree->subtasks, subtasks, sizeof(Cairn__Pb__Subtask)));
    CRN_TRY(reserve(&tree->files, files, sizeof(Cairn__Pb__File)));
    return reserve(&tree->history, record->history_count, sizeof(Cairn__Pb__History));
}

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

static void fill_file(Cairn__Pb__File *to, const struct crn_file *from)
{
    const cairn_file_info *info = &from->info;
    cairn__pb__file__init(to);
    to->role = info->role;
    to->name = text(info->name);
    to->object = text(info->object);
    if (from->inlined != NULL)
        to->inlined = bytes(from->inlined, info->size);
    to->size = info->size;
    if (info->has_xxh3)
        to->xxh3 = bytes(info->xxh3, sizeof(info->xxh3));
    to->has_crc32c = info->has_crc32c != 0;
    to->crc32c = info->has_crc32c ? info->crc32c : 0;
    to->checkpoint_id = info->checkpoint_id;
    to->epoch = info->epoch;
    to->state = from->state;
    to->number = info->number;
    to->level = info->level;
    to->sequence_first = info->sequence_first;
    to->sequence_last = info->sequence_last;
    to->smallest = bytes(info->smallest, info->smallest_size);
    to->largest = bytes(info->largest, info->largest_size);
    to->key_group_first = info->key_group_first;
    to->key_group_last = info->key_group_last;
    to->entry_count = info->entry_count;
    if (info->has_identity)
        to->identity = bytes(info->identity, sizeof(info->identity));
    to->object_offset = info->object_offset;
    to->object_size = info->object_size;
}

static void fill_subtask(Cairn__Pb__Subtask *to, const struct crn_subtask *from, struct tree *tree)
{
    const cairn_subtask_info *info = &from->info;
    cairn__pb__subtask__init(to);
    to->index = info->index;
    to->key_group_first = info->key_group_first;
    to->key_group_last = info->key_group_last;
    to->backend = text(info->backend);
    to->generation = bytes(info->generation, sizeof(info->generation));
    to->sequence = info->sequence;
    to->barrier_us = info->barrier_us;
    to->flush_us = info->flush_us;
    to->capture_us = info->capture_us;
    to->upload_us = info->upload_us;
    to->start_delay_us = info->start_delay_us;
    to->align_us = info->align_us;
    to->in_flight_bytes = info->in_flight_bytes;
    to->is_finished = info->is_finished;
    to->n_files = from->file_count;
    to->files = (Cairn__Pb__File **)(tree->files.pointers + tree->files.used);
    for (size_t i = 0; i < from->file_count; i++) {
        Cairn__Pb__File *file = (Cairn__Pb__File *)tree->files.items + tree->files.used++;
        fill_file(file, &from->files[i]);
        to->files[i] = file;
    }
}

static void fill_schemas(Cairn__Pb__State *to, const cairn_state_info *from, struct tree *tree)
{
    to->n_schemas = from->schema_count;
    to->schemas = (Cairn__Pb__Schema **)(tree->schemas.pointers + tree->schemas.used);
    for (size_t i = 0; i < from->schema_count; i++) {
        const cairn_schema_info *info = &from->schemas[i];
        Cairn__Pb__Schema *schema = (Cairn__Pb__Schema *)tree->schemas.items + tree->schemas.used++;
        cairn__pb__schema__init(schema);
        schema->tag = info->tag;
        schema->name = text(info->name);
        schema->version = info->version;
        schema->bytes = bytes(info->bytes, info->size);
        to->schemas[i] = schema;
    }
}

static void fill_states(Cairn__Pb__Operator *to, const struct crn_operator *from, struct tree *tree)
{
    to->n_states = from->state_count;
    to->states = (Cairn__Pb__State **)(tree->states.pointers + tree->states.used);
    for (size_t i = 0; i < from->state_count; i++) {
        const cairn_state_info *info = &from->states[i];
        Cairn__Pb__State *state = (Cairn__Pb__State *)tree->states.items + tree->states.used++;
        cairn__pb__state__init(state);
        state->name = text(info->name);
        state->kind = info->kind;
        state->value_type = info->value_type;
        state->map_key_type = info->map_key_type;
        state->ttl_ms = info->ttl_ms;
        fill_schemas(state, info, tree);
        to->states[i] = state;
    }
}

static void fill_operator(Cairn__Pb__Operator *to, const struct crn_operator *from,
                          struct tree *tree)
{
    cairn__pb__operator__init(to);
    to->uid = text(from->info.uid);
    to->name = text(from->info.name);
    to->parallelism = from->info.parallelism;
    to->max_parallelism = from->info.max_parallelism;
    to->key_type = from->info.key_type;
    to->namespace_type = from->info.namespace_type;
    fill_states(to, from, tree);
    to->n_subtasks = from->subtask_count;
    to->subtasks = (Cairn__Pb__Subtask **)(tree->subtasks.pointers + tree->subtasks.used);
    for (size_t i = 0; i < from->subtask_count; i++) {
        Cairn__Pb__Subtask *subtask =
            (Cairn__Pb__Subtask *)tree->subtasks.items + tree->subtasks.used++;
        fill_subtask(subtask, &from->subtasks[i], tree);
        to->subtasks[i] = subtask;
    }
}

static void fill_checkpoint(struct tree *tree, const struct crn_record *record)
{
    Cairn__Pb__Checkpoint *to = &tree->checkpoint;
    cairn__pb__checkpoint__init(to);
    to->is_full = record->info.is_full != 0;
    to->base_id = record->info.base_id;
    to->n_operators = record->operator_count;
    to->operators = (Cairn__Pb__Operator **)tree->operators.pointers;
    for (size_t i = 0; i < record->operator_count; i++) {
        Cairn__Pb__Operator *op = (Cairn__Pb__Operator *)tree->operators.items + i;
        fill_operator(op, &record->operators[i], tree);
        to->operators[i] = op;
    }
    tree->record.checkpoint = to;
}

static void fill_history(Cairn__Pb__History *to, const cairn_record_info *from)
{
    cairn__pb__history__init(to);
    to->id = from->id;
    to->kind = (Cairn__Pb__Kind)from->kind;
    to->epoch = from->epoch;
    to->trigger_time_ms = from->trigger_time_ms;
    to->commit_time_ms = from->commit_time_ms;
    to->duration_us = from->duration_us;
    to->barrier_max_us = from->barrier_max_us;
    to->full_bytes = from->full_bytes;
    to->new_bytes = from->new_bytes;
    to->file_count = from->file_count;
    to->new_file_count = from->new_file_count;
    to->is_full = from->is_full != 0;
    to->reason = text(from->reason);
    to->format = from->format;
    to->location = text(from->location);
    to->source_location = text(from->source_location);
    to->requests = from->requests;
    to->sent_bytes = from->sent_bytes;
}

static void fill_savepoint(struct tree *tree, const cairn_record_info *info)
{
    cairn__pb__savepoint__init(&tree->savepoint);
    tree->savepoint.format = info->format;
    tree->savepoint.is_stop = info->is_stop;
    tree->savepoint.location = text(info->location);
    tree->record.savepoint = &tree->savepoint;
}

static void fill_source(struct tree *tree, const cairn_record_info *info)
{
    Cairn__Pb__Source *to = &tree->source;
    cairn__pb__source__init(to);
    to->location = text(info->source_location);
    to->job = text(info->source_job);
    to->id = info->source_id;
    to->uuid = bytes(info->source_uuid, sizeof(info->source_uuid));
    to->mode = info->source_mode;
    tree->record.source = to;
}

static void fill_record(struct tree *tree, const struct crn_record *record)
{
    const cairn_record_info *info = &record->info;
    Cairn__Pb__Record *to = &tree->record;
    cairn__pb__record__init(to);
    to->id = info->id;
    to->kind = (Cairn__Pb__Kind)info->kind;
    to->uuid = bytes(info->uuid, sizeof(info->uuid));
    to->epoch = info->epoch;
    to->log_start = info->log_start;
    if (record->has_previous_hash)
        to->previous_hash = bytes(record->previous_hash.bytes, sizeof(record->previous_hash.bytes));
    to->job = text(record->job);
    to->trigger_time_ms = info->trigger_time_ms;
    to->commit_time_ms = info->commit_time_ms;
    to->duration_us = info->duration_us;
    to->host = text(info->host);
    to->pid = info->pid;
    to->library_version = text(info->library_version);
    to->reason = text(info->reason);
    to->restored_id = info->restored_id;
    to->n_history = record->history_count;
    to->history = (Cairn__Pb__History **)tree->history.pointers;
    for (size_t i = 0; i < record->history_count; i++) {
        to->history[i] = (Cairn__Pb__History *)tree->history.items + i;
        fill_history(to->history[i], &record->history[i].info);
    }
    if (crn_record_is_restorable(record))
        fill_checkpoint(tree, record);
    if (info->kind == CAIRN_RECORD_SAVEPOINT)
        fill_savepoint(tree, info);
    if (info->source_id != 0)
        fill_source(tree, info);
    to->ids_ahead = record->ids_ahead;
    to->requests = info->requests;
    to->sent_bytes = info->sent_bytes;
}

static int encode(const struct crn_record *record, struct cairn_buffer *out, cairn_error **reterr)
{
    struct tree tree CRN_CLEANUP(tree_done) = {0};
    if (tree_reserve(&tree, record) < 0)
        return crn_err_nomem(reterr);
    fill_record(&tree, record);

    const size_t size = cairn__pb__record__get_packed_size(&tree.record);
    if (size > CRN_LIMIT_MANIFEST)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "manifest of %zu bytes is larger than the limit of %u", size,
                            CRN_LIMIT_MANIFEST);
    CRN_AUTO_FREE uint8_t *payload = malloc(size + 1);
    if (payload == NULL)
        return crn_err_nomem(reterr);
    (void)cairn__pb__record__pack(&tree.record, payload);
    crn_buf_clear(out);
    const uint32_t incompatible = crn_record_has_slices(record) ? CRN_FRAME_SLICES : 0;
    return crn_frame_write(payload, size, incompatible, out, reterr);
}

int crn_record_encode(const struct crn_record *record, struct cairn_buffer *out,
                      cairn_error **reterr)
{
    CRN_TRY(crn_record_validate(record, reterr));
    return encode(record, out, reterr);
}

int crn_record_encode_part(const struct crn_record *record, struct cairn_buffer *out,
                           cairn_error **reterr)
{
    CRN_TRY(crn_record_validate_part(record, reterr));
    return encode(record, out, reterr);
}
