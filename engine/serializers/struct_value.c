/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values of structs: their bytes (docs/format.md), the struct in memory that builds them and takes
 * them apart, and conversion from one schema to another.
 *
 * A value is its fields in the schema's order, without names or tags of its own, so taking one
 * apart is a walk over it that proves every length first (P11); what is left over makes it no
 * value. A struct that was filled by decode() keeps a copy of the value and points into it: getters
 * copy nothing, and a field that is set gets bytes of its own.
 */

#include "engine/serializers/struct.h"
#include <string.h>

#define NUMBER_SIZE 8u

struct slot {
    struct crn_struct_slot now; /* into the schema, the decoded value, number or own */
    uint8_t number[NUMBER_SIZE];
    struct cairn_buffer own;
};

struct cairn_struct {
    cairn_serializer *serializer;
    const struct crn_struct_schema *schema;
    struct cairn_buffer decoded; /* the value that decode() got */
    struct cairn_buffer encoded;
    struct crn_struct_slot *parts; /* scratch of decode() */
    struct slot slots[];
};

bool crn_struct_split(const struct crn_struct_schema *schema, const void *data, size_t size,
                      struct crn_struct_slot *slots)
{
    struct crn_reader reader = {.data = data, .size = size};
    for (size_t i = 0; i < schema->count; i++) {
        uint64_t n = NUMBER_SIZE;
        cairn_type type = schema->fields[i].type;
        const uint8_t *bytes;
        if (type != CAIRN_INT64 && type != CAIRN_DOUBLE && !crn_read_varint(&reader, &n))
            return false;
        if (n > crn_reader_left(&reader) || !crn_read_bytes(&reader, (size_t)n, &bytes))
            return false;
        if (slots != NULL)
            slots[i] = (struct crn_struct_slot){n > 0 ? bytes : (const uint8_t *)"", (size_t)n};
    }
    return crn_reader_left(&reader) == 0;
}

int crn_struct_append_field(struct cairn_buffer *out, cairn_type type, const uint8_t *data,
                            size_t size)
{
    if (type != CAIRN_INT64 && type != CAIRN_DOUBLE)
        CRN_TRY(crn_buf_append_varint(out, size));
    return crn_buf_append(out, data, size);
}

/* ------------------------------------------------------------------------------------------ *
 * Conversion
 * ------------------------------------------------------------------------------------------ */

struct struct_converter {
    struct crn_converter base;
    cairn_serializer *to;
    struct crn_struct_schema from;
    struct crn_struct_slot *parts; /* of a value of `from` */
    int *source;                   /* of each field of `to`: its index in `from`, or -1 */
};

static int convert(struct crn_converter *base, const void *data, size_t size,
                   struct cairn_buffer *out, cairn_error **reterr)
{
    struct struct_converter *self = (struct struct_converter *)base;
    const struct crn_struct_schema *to = &((struct crn_struct_serializer *)self->to)->schema;
    if (!crn_struct_split(&self->from, data, size, self->parts))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "%zu bytes are no value of the schema that they were written under",
                            size);
    for (size_t i = 0; i < to->count; i++) {
        const struct crn_struct_field *field = &to->fields[i];
        struct crn_struct_slot part = {field->fallback, field->fallback_size};
        if (self->source[i] >= 0)
            part = self->parts[self->source[i]];
        if (crn_struct_append_field(out, field->type, part.data, part.size) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

static void free_converter(struct crn_converter *base)
{
    struct struct_converter *self = (struct struct_converter *)base;
    cairn_serializer_release(self->to);
    crn_struct_schema_done(&self->from);
    free(self->parts);
    free(self->source);
    free(self);
}

int crn_struct_converter(const cairn_serializer *to, const cairn_schema_info *from,
                         struct crn_converter **ret, cairn_error **reterr)
{
    const struct crn_struct_schema *schema = &((const struct crn_struct_serializer *)to)->schema;
    struct struct_converter *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return crn_err_nomem(reterr);
    self->base = (struct crn_converter){convert, free_converter};
    self->to = crn_serializer_retain(to);
    int r = crn_struct_schema_parse(from->bytes, from->size, &self->from, reterr);
    if (r == 0) {
        self->parts = calloc(self->from.count, sizeof(*self->parts));
        self->source = calloc(schema->count, sizeof(*self->source));
        if (self->parts == NULL || self->source == NULL)
            r = crn_err_nomem(reterr);
    }
    for (size_t i = 0; r == 0 && i < schema->count; i++) {
        int j = self->source[i] = crn_struct_schema_find(&self->from, schema->fields[i].name);
        if (j >= 0 && self->from.fields[j].type != schema->fields[i].type)
            r = crn_err_fail(reterr, CAIRN_EMISMATCH, NULL, "field '%s' has changed its type",
                             schema->fields[i].name);
    }
    if (r < 0) {
        free_converter(&self->base);
        return r;
    }
    *ret = &self->base;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * A struct in memory
 * ------------------------------------------------------------------------------------------ */

int cairn_struct_new(const cairn_serializer *serializer, cairn_struct **ret_struct,
                     cairn_error **reterr)
{
    if (serializer == NULL || ret_struct == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the serializer, or the place for the struct, is NULL");
    if (serializer->type != CAIRN_STRUCT)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "serializer '%s' is not one of structs",
                            serializer->schema.name);
    const struct crn_struct_schema *schema =
        &((const struct crn_struct_serializer *)serializer)->schema;
    cairn_struct *record = calloc(1, sizeof(*record) + schema->count * sizeof(record->slots[0]));
    struct crn_struct_slot *parts = calloc(schema->count, sizeof(*parts));
    if (record == NULL || parts == NULL) {
        free(record);
        free(parts);
        return crn_err_nomem(reterr);
    }
    record->serializer = crn_serializer_retain(serializer);
    record->schema = schema;
    record->parts = parts;
    cairn_struct_reset(record);
    *ret_struct = record;
    return 0;
}

void cairn_struct_free(cairn_struct *record)
{
    if (record == NULL)
        return;
    for (size_t i = 0; i < record->schema->count; i++)
        crn_buf_done(&record->slots[i].own);
    crn_buf_done(&record->decoded);
    crn_buf_done(&record->encoded);
    free(record->parts);
    cairn_serializer_release(record->serializer);
    free(record);
}

void cairn_struct_reset(cairn_struct *record)
{
    for (size_t i = 0; record != NULL && i < record->schema->count; i++) {
        const struct crn_struct_field *field = &record->schema->fields[i];
        record->slots[i].now = (struct crn_struct_slot){field->fallback, field->fallback_size};
    }
}

int cairn_struct_field(const cairn_struct *record, const char *name)
{
    if (record == NULL || name == NULL)
        return CAIRN_EINVAL;
    int i = crn_struct_schema_find(record->schema, name);
    return i >= 0 ? i : CAIRN_ENOTFOUND;
}

static bool has_field(const cairn_struct *record, int field, cairn_type type)
{
    return record != NULL && field >= 0 && (size_t)field < record->schema->count &&
           record->schema->fields[field].type == type;
}

static bool has_bytes(const cairn_struct *record, int field)
{
    return has_field(record, field, CAIRN_BYTES) || has_field(record, field, CAIRN_STRING);
}

static int set_number(cairn_struct *record, int field, const uint8_t bytes[NUMBER_SIZE])
{
    struct slot *slot = &record->slots[field];
    memcpy(slot->number, bytes, NUMBER_SIZE);
    slot->now = (struct crn_struct_slot){slot->number, NUMBER_SIZE};
    return 0;
}

int cairn_struct_set_int64(cairn_struct *record, int field, int64_t value)
{
    uint8_t bytes[NUMBER_SIZE];
    if (!has_field(record, field, CAIRN_INT64))
        return CAIRN_EINVAL;
    cairn_encode_int64(value, bytes);
    return set_number(record, field, bytes);
}

int cairn_struct_set_double(cairn_struct *record, int field, double value)
{
    uint8_t bytes[NUMBER_SIZE];
    if (!has_field(record, field, CAIRN_DOUBLE))
        return CAIRN_EINVAL;
    cairn_encode_double(value, bytes);
    return set_number(record, field, bytes);
}

int cairn_struct_set_bytes(cairn_struct *record, int field, const void *data, size_t size)
{
    if (!has_bytes(record, field) || (data == NULL && size > 0))
        return CAIRN_EINVAL;
    struct slot *slot = &record->slots[field];
    /* The bytes may be the field's own, as a getter gave them. */
    uintptr_t first = (uintptr_t)slot->own.data;
    if ((uintptr_t)data >= first && (uintptr_t)data - first < slot->own.capacity) {
        struct cairn_buffer copy = {0};
        CRN_TRY(crn_buf_append(&copy, data, size));
        crn_buf_done(&slot->own);
        slot->own = copy;
    } else {
        CRN_TRY(crn_buf_reserve(&slot->own, size));
        crn_buf_clear(&slot->own);
        CRN_TRY(crn_buf_append(&slot->own, data, size));
    }
    slot->now = (struct crn_struct_slot){slot->own.data, size};
    return 0;
}

int cairn_struct_get_int64(const cairn_struct *record, int field, int64_t *ret_value)
{
    if (!has_field(record, field, CAIRN_INT64) || ret_value == NULL)
        return CAIRN_EINVAL;
    *ret_value = cairn_decode_int64(record->slots[field].now.data);
    return 0;
}

int cairn_struct_get_double(const cairn_struct *record, int field, double *ret_value)
{
    if (!has_field(record, field, CAIRN_DOUBLE) || ret_value == NULL)
        return CAIRN_EINVAL;
    *ret_value = cairn_decode_double(record->slots[field].now.data);
    return 0;
}

int cairn_struct_get_bytes(const cairn_struct *record, int field, const void **ret_data,
                           size_t *ret_size)
{
    if (!has_bytes(record, field) || ret_data == NULL || ret_size == NULL)
        return CAIRN_EINVAL;
    *ret_data = record->slots[field].now.data;
    *ret_size = record->slots[field].now.size;
    return 0;
}

int cairn_struct_encode(cairn_struct *record, const void **ret_data, size_t *ret_size,
                        cairn_error **reterr)
{
    if (record == NULL || ret_data == NULL || ret_size == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the struct, or its place, is NULL");
    crn_buf_clear(&record->encoded);
    for (size_t i = 0; i < record->schema->count; i++)
        if (crn_struct_append_field(&record->encoded, record->schema->fields[i].type,
                                    record->slots[i].now.data, record->slots[i].now.size) < 0)
            return crn_err_nomem(reterr);
    *ret_data = record->encoded.data;
    *ret_size = record->encoded.size;
    return 0;
}

int cairn_struct_decode(cairn_struct *record, const void *data, size_t size, cairn_error **reterr)
{
    if (record == NULL || (data == NULL && size > 0))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the struct, or the value, is NULL");
    struct cairn_buffer copy = {0}; /* the value may be what encode() gave, or point into it */
    if ((uintptr_t)data - (uintptr_t)record->decoded.data < record->decoded.capacity)
        copy = record->decoded, record->decoded = (struct cairn_buffer){0};
    crn_buf_clear(&record->decoded);
    int r = crn_buf_append(&record->decoded, data, size);
    crn_buf_done(&copy);
    if (r < 0) {
        cairn_struct_reset(record);
        return crn_err_nomem(reterr);
    }
    if (!crn_struct_split(record->schema, record->decoded.data, size, record->parts)) {
        cairn_struct_reset(record);
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "%zu bytes are no value of struct '%s'",
                            size, record->serializer->schema.name);
    }
    for (size_t i = 0; i < record->schema->count; i++)
        record->slots[i].now = record->parts[i];
    return 0;
}
