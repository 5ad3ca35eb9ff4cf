/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Documents for programs. Field names are those of the structs in cairn/inspect.h, and they stay: a
 * field may be added, never renamed. 64-bit integers are numbers; sums and uuids are hexadecimal
 * strings; times are Unix milliseconds. Text that is not UTF-8 has its bad bytes replaced, so that
 * a document is always valid.
 */

#include "tools/cli/cli.h"
#include <string.h>

static struct json_object *require(struct json_object *object)
{
    if (!object)
        cli_out_of_memory();
    return object;
}

struct json_object *cli_json_object(void)
{
    return require(json_object_new_object());
}

struct json_object *cli_json_array(void)
{
    return require(json_object_new_array());
}

void cli_json_put(struct json_object *object, const char *name, struct json_object *value)
{
    if (json_object_object_add(object, name, value) != 0)
        cli_out_of_memory();
}

void cli_json_push(struct json_object *array, struct json_object *value)
{
    if (json_object_array_add(array, value) != 0)
        cli_out_of_memory();
}

void cli_json_put_u64(struct json_object *object, const char *name, uint64_t value)
{
    cli_json_put(object, name, require(json_object_new_uint64(value)));
}

void cli_json_put_i64(struct json_object *object, const char *name, int64_t value)
{
    cli_json_put(object, name, require(json_object_new_int64(value)));
}

void cli_json_put_bool(struct json_object *object, const char *name, bool value)
{
    cli_json_put(object, name, require(json_object_new_boolean(value)));
}

struct json_object *cli_json_text(const char *text, size_t size)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    if (cli_text_is_utf8(text, size))
        return require(json_object_new_string_len(text, (int)size));
    CLI_AUTO_FREE char *clean = cli_alloc(size * 3 + 1);
    size_t used = 0;
    for (size_t i = 0, n; i < size; i += n) {
        n = cli_text_character(text + i, size - i);
        const char *piece = n ? text + i : replacement;
        size_t piece_size = n ? n : sizeof(replacement) - 1;
        memcpy(clean + used, piece, piece_size);
        used += piece_size;
        n = n ? n : 1;
    }
    return require(json_object_new_string_len(clean, (int)used));
}

void cli_json_put_text(struct json_object *object, const char *name, const char *text)
{
    cli_json_put(object, name, text ? cli_json_text(text, strlen(text)) : NULL);
}

struct json_object *cli_json_hex(const void *data, size_t size)
{
    CLI_AUTO_FREE char *hex = cli_text_hex(data, size);
    return require(json_object_new_string(hex + 2)); /* without 0x */
}

struct json_object *cli_json_amount(uint64_t count, uint64_t bytes)
{
    struct json_object *amount = cli_json_object();
    cli_json_put_u64(amount, "count", count);
    cli_json_put_u64(amount, "bytes", bytes);
    return amount;
}

struct json_object *cli_json_record(const cairn_record_info *record)
{
    struct json_object *o = cli_json_object();
    cli_json_put_u64(o, "id", record->id);
    cli_json_put_text(o, "kind", cli_kind_name(record->kind));
    cli_json_put_text(o, "state", cli_record_state_name(record->state));
    cli_json_put_u64(o, "epoch", record->epoch);
    cli_json_put_i64(o, "trigger_time_ms", record->trigger_time_ms);
    cli_json_put_i64(o, "commit_time_ms", record->commit_time_ms);
    cli_json_put_u64(o, "duration_us", record->duration_us);
    cli_json_put_u64(o, "barrier_max_us", record->barrier_max_us);
    cli_json_put_u64(o, "full_bytes", record->full_bytes);
    cli_json_put_u64(o, "new_bytes", record->new_bytes);
    cli_json_put_u64(o, "file_count", record->file_count);
    cli_json_put_u64(o, "new_file_count", record->new_file_count);
    cli_json_put_u64(o, "requests", record->requests);
    cli_json_put_u64(o, "sent_bytes", record->sent_bytes);
    cli_json_put_bool(o, "is_full", record->is_full);
    cli_json_put_text(o, "reason", record->reason);
    if (record->kind == CAIRN_RECORD_SAVEPOINT) {
        cli_json_put_text(o, "format", cli_format_name(record->format));
        cli_json_put_text(o, "location", record->location);
        if (cli_record_is_stored(record))
            cli_json_put_bool(o, "stop", record->is_stop);
    }
    if (*record->source_location)
        cli_json_put_text(o, "source_location", record->source_location);
    if (!cli_record_is_stored(record))
        return o;
    cli_json_put_u64(o, "log_start", record->log_start);
    cli_json_put_u64(o, "base_id", record->base_id);
    cli_json_put_u64(o, "restored_id", record->restored_id);
    cli_json_put(o, "uuid", cli_json_hex(record->uuid, sizeof(record->uuid)));
    cli_json_put_text(o, "host", record->host);
    cli_json_put_u64(o, "pid", record->pid);
    cli_json_put_text(o, "library_version", record->library_version);
    cli_json_put_u64(o, "manifest_bytes", record->manifest_bytes);
    cli_json_put_u64(o, "exclusive_bytes", record->exclusive_bytes);
    if (record->source_id == 0)
        return o;
    cli_json_put_text(o, "source_job", record->source_job);
    cli_json_put_u64(o, "source_id", record->source_id);
    cli_json_put(o, "source_uuid", cli_json_hex(record->source_uuid, sizeof(record->source_uuid)));
    cli_json_put_text(o, "source_mode", cli_claim_name(record->source_mode));
    cli_json_put_bool(o, "source_needed", record->source_needed);
    return o;
}

/* A table's first or last key: the bytes, and what they mean if they can be taken apart. */
static struct json_object *composite_json(const uint8_t *data, size_t size,
                                          const cairn_operator_info *op,
                                          const cairn_state_info *state)
{
    struct json_object *o = cli_json_object();
    struct cli_composite parts;
    cli_json_put(o, "hex", cli_json_hex(data, size));
    if (!op || !cli_composite_split(data, size, op->max_parallelism, &parts))
        return o;
    cli_json_put_u64(o, "key_group", parts.key_group);
    cli_json_put(o, "key", cli_typed_json(op->key_type, parts.key, parts.key_size));
    cli_json_put(o, "namespace", cli_typed_json(op->namespace_type, parts.ns, parts.ns_size));
    if (state && cli_state_has_map_key(state->kind))
        cli_json_put(o, "map_key",
                     cli_typed_json(state->map_key_type, parts.map_key, parts.map_key_size));
    return o;
}

struct json_object *cli_json_file(const cairn_file_info *file, const cairn_operator_info *op,
                                  const cairn_state_info *state)
{
    struct json_object *o = cli_json_object();
    cli_json_put_text(o, "role", cli_role_name(file->role));
    cli_json_put_text(o, "name", file->name);
    cli_json_put_text(o, "object", file->object);
    if (file->object_size > 0) {
        cli_json_put_u64(o, "object_offset", file->object_offset);
        cli_json_put_u64(o, "object_size", file->object_size);
    }
    cli_json_put_u64(o, "size", file->size);
    cli_json_put(o, "xxh3", file->has_xxh3 ? cli_json_hex(file->xxh3, sizeof(file->xxh3)) : NULL);
    if (file->has_crc32c)
        cli_json_put_u64(o, "crc32c", file->crc32c);
    else
        cli_json_put(o, "crc32c", NULL);
    cli_json_put_u64(o, "checkpoint_id", file->checkpoint_id);
    cli_json_put_u64(o, "epoch", file->epoch);
    if (file->role != CAIRN_FILE_TABLE)
        return o;
    cli_json_put_text(o, "state", file->state);
    cli_json_put_u64(o, "number", file->number);
    cli_json_put_u64(o, "level", file->level);
    cli_json_put_u64(o, "sequence_first", file->sequence_first);
    cli_json_put_u64(o, "sequence_last", file->sequence_last);
    cli_json_put(o, "smallest", composite_json(file->smallest, file->smallest_size, op, state));
    cli_json_put(o, "largest", composite_json(file->largest, file->largest_size, op, state));
    return o;
}

void cli_json_print(struct json_object *document)
{
    if (cli_caveat_text())
        cli_json_put_text(document, "store_caveat", cli_caveat_text());
    puts(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
                                                      JSON_C_TO_STRING_SPACED |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(document);
}

void cli_json_print_jobs(struct json_object *documents, bool several)
{
    struct json_object *document = several ? cli_json_object() : NULL;
    if (several) {
        cli_json_put(document, "jobs", documents);
        cli_json_print(document);
        return;
    }
    if (json_object_array_length(documents) > 0)
        cli_json_print(json_object_get(json_object_array_get_idx(documents, 0)));
    json_object_put(documents);
}
