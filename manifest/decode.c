/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to a record. The frame is opened, protobuf-c parses the payload, the parsed messages'
 * strings move over into the record, and every rule is checked (P8, P11). Fields that this version
 * does not know are skipped: a writer that adds one which must not be overlooked says so in the
 * frame.
 */
#include "cairn.pb-c.h"
#include "manifest/internal.h"
#include <string.h>

#define LOCATION_UNKNOWN "?"

/* What the conversion works with. */
struct source {
    const char *object;
    bool is_part;
    cairn_error **reterr;
};

static int broken(const struct source *source, const char *rule, const char *what)
{
    return crn_err_fail(source->reterr, CAIRN_ECORRUPT, source->object,
                        "manifest '%s': %s (rule %s)", source->object, what, rule);
}

/* The parsed string changes hands. An empty one may be protobuf-c's static one, so it is not taken.
 */
static int take_text(const char **to, char **from)
{
    if (*from == NULL || (*from)[0] == '\0') {
        *to = strdup("");
        return *to != NULL ? 0 : CAIRN_ENOMEM;
    }
    *to = CRN_TAKE(*from);
    return 0;
}

static void take_bytes(const uint8_t **to, size_t *to_size, ProtobufCBinaryData *from)
{
    *to = CRN_TAKE(from->data);
    *to_size = from->len;
    from->len = 0;
}

/* 0 and the 16 bytes; else nothing is copied. */
static int copy_16(uint8_t to[16], const ProtobufCBinaryData *from)
{
    if (from->len != 16)
        return CAIRN_ECORRUPT;
    memcpy(to, from->data, 16);
    return 0;
}

static int convert_file(const struct source *source, struct crn_file *to, Cairn__Pb__File *from)
{
    cairn_file_info *info = &to->info;
    info->role = (cairn_file_role)from->role;
    info->size = from->size;
    info->has_crc32c = from->has_crc32c != 0;
    info->crc32c = from->crc32c;
    info->checkpoint_id = from->checkpoint_id;
    info->epoch = from->epoch;
    to->state = from->state;
    info->number = from->number;
    info->level = from->level;
    info->sequence_first = from->sequence_first;
    info->sequence_last = from->sequence_last;
    take_bytes(&info->smallest, &info->smallest_size, &from->smallest);
    take_bytes(&info->largest, &info->largest_size, &from->largest);
    info->key_group_first = from->key_group_first;
    info->key_group_last = from->key_group_last;
    info->entry_count = from->entry_count;
    info->object_offset = from->object_offset;
    info->object_size = from->object_size;
    if (from->xxh3.len != 0) {
        if (copy_16(info->xxh3, &from->xxh3) < 0)
            return broken(source, "W2", "an xxh3 is not 16 bytes long");
        info->has_xxh3 = 1;
    }
    if (from->identity.len != 0) {
        if (copy_16(info->identity, &from->identity) < 0)
            return broken(source, "W2", "an identity is not 16 bytes long");
        info->has_identity = 1;
    }
    if (take_text(&info->name, &from->name) < 0)
        return crn_err_nomem(source->reterr);
    const bool is_inlined = from->object[0] == '\0';
    if (!is_inlined && take_text(&info->object, &from->object) < 0)
        return crn_err_nomem(source->reterr);
    if (from->inlined.len != (is_inlined ? from->size : 0))
        return broken(source, "W3", "the inlined bytes of a file are not as many as its size says");
    to->inlined = from->inlined.len > 0 ? CRN_TAKE(from->inlined.data) : NULL;
    return 0;
}

static int convert_subtask(const struct source *source, struct crn_subtask *to,
                           Cairn__Pb__Subtask *from)
{
    cairn_subtask_info *info = &to->info;
    info->index = from->index;
    info->key_group_first = from->key_group_first;
    info->key_group_last = from->key_group_last;
    info->sequence = from->sequence;
    info->barrier_us = from->barrier_us;
    info->flush_us = from->flush_us;
    info->capture_us = from->capture_us;
    info->upload_us = from->upload_us;
    info->start_delay_us = from->start_delay_us;
    info->align_us = from->align_us;
    info->in_flight_bytes = from->in_flight_bytes;
    info->is_finished = from->is_finished != 0;
    if (copy_16(info->generation, &from->generation) < 0)
        return broken(source, "W2", "a generation is not 16 bytes long");
    if (take_text(&info->backend, &from->backend) < 0)
        return crn_err_nomem(source->reterr);
    for (size_t i = 0; i < from->n_files; i++) {
        struct crn_file *file = crn_subtask_add_file(to);
        if (file == NULL)
            return crn_err_nomem(source->reterr);
        CRN_TRY(convert_file(source, file, from->files[i]));
    }
    return 0;
}

static int convert_schemas(const struct source *source, cairn_state_info *to,
                           Cairn__Pb__State *from)
{
    if (from->n_schemas == 0)
        return 0;
    cairn_schema_info *schemas = calloc(from->n_schemas, sizeof(*schemas));
    if (schemas == NULL)
        return crn_err_nomem(source->reterr);
    to->schemas = schemas;
    to->schema_count = from->n_schemas;
    for (size_t i = 0; i < from->n_schemas; i++) {
        Cairn__Pb__Schema *schema = from->schemas[i];
        schemas[i].tag = schema->tag;
        schemas[i].version = schema->version;
        take_bytes(&schemas[i].bytes, &schemas[i].size, &schema->bytes);
        if (take_text(&schemas[i].name, &schema->name) < 0)
            return crn_err_nomem(source->reterr);
    }
    return 0;
}

static int convert_states(const struct source *source, struct crn_operator *to,
                          Cairn__Pb__Operator *from)
{
    for (size_t i = 0; i < from->n_states; i++) {
        cairn_state_info *state = crn_operator_add_state(to);
        if (state == NULL || take_text(&state->name, &from->states[i]->name) < 0)
            return crn_err_nomem(source->reterr);
        state->kind = (cairn_state_kind)from->states[i]->kind;
        state->value_type = (cairn_type)from->states[i]->value_type;
        state->map_key_type = (cairn_type)from->states[i]->map_key_type;
        state->ttl_ms = from->states[i]->ttl_ms;
        CRN_TRY(convert_schemas(source, state, from->states[i]));
    }
    return 0;
}

static int convert_operator(const struct source *source, struct crn_operator *to,
                            Cairn__Pb__Operator *from)
{
    if (take_text(&to->info.uid, &from->uid) < 0 || take_text(&to->info.name, &from->name) < 0)
        return crn_err_nomem(source->reterr);
    to->info.parallelism = from->parallelism;
    to->info.max_parallelism = from->max_parallelism;
    to->info.key_type = (cairn_type)from->key_type;
    to->info.namespace_type = (cairn_type)from->namespace_type;
    CRN_TRY(convert_states(source, to, from));
    for (size_t i = 0; i < from->n_subtasks; i++) {
        struct crn_subtask *subtask = crn_operator_add_subtask(to);
        if (subtask == NULL)
            return crn_err_nomem(source->reterr);
        CRN_TRY(convert_subtask(source, subtask, from->subtasks[i]));
    }
    return 0;
}

static int convert_checkpoint(const struct source *source, struct crn_record *to,
                              Cairn__Pb__Checkpoint *from)
{
    if ((from != NULL) != crn_record_is_restorable(to))
        return broken(source, "W1", "the part of a checkpoint does not fit the record's kind");
    if (from == NULL)
        return 0;
    to->info.is_full = from->is_full != 0;
    to->info.base_id = from->base_id;
    for (size_t i = 0; i < from->n_operators; i++) {
        struct crn_operator *op = crn_record_add_operator(to);
        if (op == NULL)
            return crn_err_nomem(source->reterr);
        CRN_TRY(convert_operator(source, op, from->operators[i]));
    }
    return 0;
}

static int convert_history(const struct source *source, struct crn_record *to,
                           Cairn__Pb__History *from)
{
    struct crn_history *entry = crn_record_add_history(to);
    if (entry == NULL || take_text(&entry->info.reason, &from->reason) < 0 ||
        take_text(&entry->info.location, &from->location) < 0 ||
        take_text(&entry->info.source_location, &from->source_location) < 0)
        return crn_err_nomem(source->reterr);
    cairn_record_info *info = &entry->info;
    info->id = from->id;
    info->kind = (cairn_record_kind)from->kind;
    info->state = crn_history_state_of(info->kind);
    info->format = (cairn_savepoint_format)from->format;
    info->epoch = from->epoch;
    info->trigger_time_ms = from->trigger_time_ms;
    info->commit_time_ms = from->commit_time_ms;
    info->duration_us = from->duration_us;
    info->barrier_max_us = from->barrier_max_us;
    info->full_bytes = from->full_bytes;
    info->new_bytes = from->new_bytes;
    info->file_count = from->file_count;
    info->new_file_count = from->new_file_count;
    info->is_full = from->is_full != 0;
    info->requests = from->requests;
    info->sent_bytes = from->sent_bytes;
    return 0;
}

/* A savepoint that says neither what it holds nor where it is was written before there was a place
 * to say it: a pointer to somewhere. */
static int convert_savepoint(const struct source *source, struct crn_record *to,
                             Cairn__Pb__Record *from)
{
    const bool is_savepoint = to->info.kind == CAIRN_RECORD_SAVEPOINT;
    const bool is_early = is_savepoint && from->savepoint == NULL && from->checkpoint == NULL;
    if (!is_early && (from->savepoint != NULL) != is_savepoint)
        return broken(source, "W4", "the part of a savepoint does not fit the record's kind");
    if (from->savepoint != NULL) {
        to->info.format = (cairn_savepoint_format)from->savepoint->format;
        to->info.is_stop = from->savepoint->is_stop != 0;
    }
    const int r = from->savepoint != NULL
                      ? take_text(&to->info.location, &from->savepoint->location)
                      : crn_record_set_text(&to->info.location, is_early ? LOCATION_UNKNOWN : "");
    return r < 0 ? crn_err_nomem(source->reterr) : 0;
}

static int convert_source(const struct source *source, cairn_record_info *to,
                          Cairn__Pb__Source *from)
{
    if (from == NULL)
        return crn_record_set_text(&to->source_location, "") < 0 ||
                       crn_record_set_text(&to->source_job, "") < 0
                   ? crn_err_nomem(source->reterr)
                   : 0;
    if (from->id == 0)
        return broken(source, "W5", "the source has no id");
    if (copy_16(to->source_uuid, &from->uuid) < 0)
        return broken(source, "W2", "the source's uuid is not 16 bytes long");
    to->source_id = from->id;
    to->source_mode = (cairn_claim_mode)from->mode;
    if (take_text(&to->source_location, &from->location) < 0 ||
        take_text(&to->source_job, &from->job) < 0)
        return crn_err_nomem(source->reterr);
    return 0;
}

static int convert_record(const struct source *source, struct crn_record *to,
                          Cairn__Pb__Record *from)
{
    cairn_record_info *info = &to->info;
    const char *job = NULL;
    info->id = from->id;
    info->kind = (cairn_record_kind)from->kind;
    info->epoch = from->epoch;
    info->log_start = from->log_start;
    info->trigger_time_ms = from->trigger_time_ms;
    info->commit_time_ms = from->commit_time_ms;
    info->duration_us = from->duration_us;
    info->pid = from->pid;
    info->restored_id = from->restored_id;
    to->ids_ahead = from->ids_ahead;
    info->requests = from->requests;
    info->sent_bytes = from->sent_bytes;
    if (copy_16(info->uuid, &from->uuid) < 0)
        return broken(source, "W2", "the uuid is not 16 bytes long");
    if (from->previous_hash.len != 0) {
        if (copy_16(to->previous_hash.bytes, &from->previous_hash) < 0)
            return broken(source, "W2", "previous_hash is not 16 bytes long");
        to->has_previous_hash = true;
    }
    if (take_text(&job, &from->job) < 0)
        return crn_err_nomem(source->reterr);
    to->job = (char *)(uintptr_t)job;
    if (take_text(&info->host, &from->host) < 0 ||
        take_text(&info->library_version, &from->library_version) < 0 ||
        take_text(&info->reason, &from->reason) < 0)
        return crn_err_nomem(source->reterr);
    CRN_TRY(convert_savepoint(source, to, from));
    CRN_TRY(convert_source(source, info, from->source));
    for (size_t i = 0; i < from->n_history; i++)
        CRN_TRY(convert_history(source, to, from->history[i]));
    return convert_checkpoint(source, to, from->checkpoint);
}

/* Tables know their state by name too, once the index is known to be right. */
static int name_states(struct crn_record *record)
{
    for (size_t i = 0; i < record->operator_count; i++) {
        const struct crn_operator *op = &record->operators[i];
        for (size_t j = 0; j < op->subtask_count; j++) {
            struct crn_subtask *subtask = &op->subtasks[j];
            for (size_t k = 0; k < subtask->file_count; k++) {
                struct crn_file *file = &subtask->files[k];
                if (file->info.role == CAIRN_FILE_TABLE)
                    CRN_TRY(crn_record_set_text(&file->info.state, op->states[file->state].name));
            }
        }
    }
    return 0;
}

static int check(const struct source *source, const struct crn_record *record)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = source->is_part ? crn_record_validate_part(record, &error)
                                  : crn_record_validate(record, &error);
    if (r == CAIRN_ECORRUPT)
        return crn_err_fail(source->reterr, r, source->object, "manifest '%s': %s", source->object,
                            cairn_error_message(error));
    return r < 0 ? crn_err_move(source->reterr, &error, r) : 0;
}

static int parse(const struct source *source, const struct crn_frame *frame, size_t object_size,
                 struct crn_record *record)
{
    struct crn_budget budget = crn_budget_of(frame->payload_size, object_size);
    ProtobufCAllocator allocator = {
        .alloc = crn_budget_alloc, .free = crn_budget_free, .allocator_data = &budget};
    Cairn__Pb__Record *message =
        cairn__pb__record__unpack(&allocator, frame->payload_size, frame->payload);
    if (message == NULL && budget.is_out_of_memory)
        return crn_err_nomem(source->reterr);
    if (message == NULL)
        return crn_err_fail(source->reterr, CAIRN_ECORRUPT, source->object,
                            "manifest '%s' does not hold a record", source->object);
    const int r = convert_record(source, record, message);
    cairn__pb__record__free_unpacked(message, &allocator);
    if (r == 0 && crn_record_has_slices(record) != ((frame->incompatible & CRN_FRAME_SLICES) != 0))
        return broken(source, "W6", "the feature bit of slices does not fit the files");
    return r;
}

static int decode(const char *object, bool is_part, const void *data, size_t size,
                  struct crn_record **ret_record, cairn_error **reterr)
{
    const struct source source = {.object = object, .is_part = is_part, .reterr = reterr};
    CRN_AUTO_FRAME struct crn_frame frame = {0};
    CRN_TRY(crn_frame_read(object, data, size, &frame, reterr));
    CRN_AUTO_RECORD struct crn_record *record = crn_record_new();
    if (record == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(parse(&source, &frame, size, record));
    CRN_TRY(check(&source, record));
    if (name_states(record) < 0)
        return crn_err_nomem(reterr);
    crn_record_finish(record);
    record->info.manifest_bytes = size;
    *ret_record = CRN_TAKE(record);
    return 0;
}

int crn_record_decode(const char *object, const void *data, size_t size,
                      struct crn_record **ret_record, cairn_error **reterr)
{
    return decode(object, false, data, size, ret_record, reterr);
}

int crn_record_decode_part(const char *object, const void *data, size_t size,
                           struct crn_record **ret_record, cairn_error **reterr)
{
    return decode(object, true, data, size, ret_record, reterr);
}
