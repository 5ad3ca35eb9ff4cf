/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Struct serializers: schemas of named, typed fields, and what may become of them.
 *
 * A schema's bytes are in docs/format.md. They are written in one way only, so that equal schemas
 * have equal bytes, and every rule that the constructor keeps is checked again when they are read
 * (P11): a schema that was parsed is as good as one that was made. Fields are matched by name, so
 * order and number may change; a type may not, since no reading of the old bytes is certainly what
 * was meant.
 */

#include "engine/serializers/struct.h"
#include "base/text.h"
#include "engine/types.h"
#include <string.h>

#define NUMBER_SIZE 8u

static bool is_number(cairn_type type)
{
    return type == CAIRN_INT64 || type == CAIRN_DOUBLE;
}

/* ------------------------------------------------------------------------------------------ *
 * Schemas
 * ------------------------------------------------------------------------------------------ */

void crn_struct_schema_done(struct crn_struct_schema *schema)
{
    free(schema->fields);
    free(schema->names);
    free(schema->fallbacks);
    *schema = (struct crn_struct_schema){0};
}

static int find_among(const struct crn_struct_schema *schema, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return (int)i;
    return -1;
}

int crn_struct_schema_find(const struct crn_struct_schema *schema, const char *name)
{
    return find_among(schema, schema->count, name);
}

/* Reads one field's parts. Names and defaults go into the schema's two pools, which are as large
 * as the whole schema and so never move. */
static bool parse_field(struct crn_reader *reader, struct crn_struct_schema *schema, size_t i,
                        size_t *names_used, size_t *fallbacks_used)
{
    struct crn_struct_field *field = &schema->fields[i];
    uint64_t name_size, fallback_size;
    const uint8_t *name, *fallback;
    uint8_t type;
    if (!crn_read_varint(reader, &name_size) || name_size > 255 ||
        !crn_read_bytes(reader, (size_t)name_size, &name) || !crn_read_u8(reader, &type) ||
        !crn_read_varint(reader, &fallback_size) || fallback_size > crn_reader_left(reader) ||
        !crn_read_bytes(reader, (size_t)fallback_size, &fallback))
        return false;
    if (type > CAIRN_STRING || (is_number((cairn_type)type) && fallback_size != NUMBER_SIZE))
        return false;
    char *text = schema->names + *names_used;
    memcpy(text, name, (size_t)name_size);
    text[name_size] = 0;
    if (strlen(text) != name_size || !crn_text_is_name(text) || find_among(schema, i, text) >= 0)
        return false;
    *names_used += (size_t)name_size + 1;
    field->name = text;
    field->type = (cairn_type)type;
    field->fallback = schema->fallbacks + *fallbacks_used;
    field->fallback_size = (size_t)fallback_size;
    memcpy(schema->fallbacks + *fallbacks_used, fallback, (size_t)fallback_size);
    *fallbacks_used += (size_t)fallback_size;
    return true;
}

int crn_struct_schema_parse(const void *bytes, size_t size, struct crn_struct_schema *ret,
                            cairn_error **reterr)
{
    struct crn_reader reader = {.data = bytes, .size = size};
    struct crn_struct_schema schema = {0};
    size_t names_used = 0, fallbacks_used = 0;
    uint64_t count;
    if (crn_schema_check_size(size, NULL) < 0 || !crn_read_varint(&reader, &count) || count < 1 ||
        count > CRN_STRUCT_FIELDS_MAX)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "%zu bytes are no schema of 1 to %u fields", size,
                            CRN_STRUCT_FIELDS_MAX);
    schema.fields = calloc((size_t)count, sizeof(*schema.fields));
    schema.names = malloc(size + 1);
    schema.fallbacks = malloc(size + 1);
    if (schema.fields == NULL || schema.names == NULL || schema.fallbacks == NULL) {
        crn_struct_schema_done(&schema);
        return crn_err_nomem(reterr);
    }
    while (schema.count < count &&
           parse_field(&reader, &schema, schema.count, &names_used, &fallbacks_used))
        schema.count++;
    if (schema.count < count || crn_reader_left(&reader) > 0) {
        int r = crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                             "a schema of %zu bytes is damaged at field %zu", size, schema.count);
        crn_struct_schema_done(&schema);
        return r;
    }
    *ret = schema;
    return 0;
}

/* "user {id int64, name string}" */
static int describe(const char *name, const struct crn_struct_schema *schema,
                    struct cairn_buffer *out)
{
    size_t limit = out->size + CRN_SCHEMA_SHOWN;
    CRN_TRY(crn_buf_printf(out, "%s {", name));
    for (size_t i = 0; i < schema->count; i++) {
        if (out->size > limit)
            return crn_buf_printf(out, ", and %zu more}", schema->count - i);
        CRN_TRY(crn_buf_printf(out, "%s%s %s", crn_comma(i == 0), schema->fields[i].name,
                               crn_type_name(schema->fields[i].type)));
    }
    return crn_buf_printf(out, "}");
}

/* ------------------------------------------------------------------------------------------ *
 * The serializer
 * ------------------------------------------------------------------------------------------ */

/* What changes, field by field; in the way is a changed type alone. */
static int compare_fields(const struct crn_struct_schema *from, const struct crn_struct_schema *to,
                          cairn_compatibility *ret, struct cairn_buffer *why)
{
    bool moved = from->count != to->count;
    *ret = CAIRN_INCOMPATIBLE;
    for (size_t i = 0; i < to->count; i++) {
        int j = crn_struct_schema_find(from, to->fields[i].name);
        moved = moved || j != (int)i;
        if (j >= 0 && from->fields[j].type != to->fields[i].type)
            return crn_buf_printf(why, ": field '%s' was %s and would be %s", to->fields[i].name,
                                  crn_type_name(from->fields[j].type),
                                  crn_type_name(to->fields[i].type));
    }
    *ret = moved ? CAIRN_COMPATIBLE_AFTER_MIGRATION : CAIRN_COMPATIBLE_AS_IS;
    return 0;
}

static int compare(const cairn_serializer *serializer, const cairn_schema_info *stored,
                   cairn_compatibility *ret, struct cairn_buffer *why, cairn_error **reterr)
{
    const struct crn_struct_schema *to =
        &((const struct crn_struct_serializer *)serializer)->schema;
    struct crn_struct_schema from;
    CRN_TRY(crn_struct_schema_parse(stored->bytes, stored->size, &from, reterr));
    int r = crn_buf_printf(why, "stored as ");
    if (r == 0)
        r = describe(stored->name, &from, why);
    if (r == 0)
        r = crn_buf_printf(why, ", given as ");
    if (r == 0)
        r = describe(serializer->schema.name, to, why);
    if (r == 0)
        r = compare_fields(&from, to, ret, why);
    crn_struct_schema_done(&from);
    return r < 0 ? crn_err_nomem(reterr) : 0;
}

static bool is_value(const cairn_serializer *serializer, const void *data, size_t size)
{
    return crn_struct_split(&((const struct crn_struct_serializer *)serializer)->schema, data, size,
                            NULL);
}

static void free_struct(cairn_serializer *serializer)
{
    struct crn_struct_serializer *self = (struct crn_struct_serializer *)serializer;
    crn_struct_schema_done(&self->schema);
    free(self);
}

static const struct crn_serializer_ops struct_ops = {
    .compare = compare,
    .converter = crn_struct_converter,
    .is_value = is_value,
    .free = free_struct,
};

int crn_struct_of_schema(const cairn_schema_info *schema, cairn_serializer **ret,
                         cairn_error **reterr)
{
    struct crn_struct_serializer *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return crn_err_nomem(reterr);
    if (schema->name == NULL || !crn_text_is_name(schema->name)) {
        free(self);
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "a struct's name is not clean text");
    }
    int r = crn_struct_schema_parse(schema->bytes, schema->size, &self->schema, reterr);
    if (r == 0)
        r = crn_serializer_init(&self->base, &struct_ops, CAIRN_STRUCT, schema, reterr);
    if (r < 0) {
        crn_struct_schema_done(&self->schema);
        free(self);
        return r;
    }
    *ret = &self->base;
    return 0;
}

/* The rules for one field that the caller gave; the messages are what parsing has no words for. */
static int check_field(const cairn_field *fields, size_t i, cairn_error **reterr)
{
    const cairn_field *field = &fields[i];
    if (field->name == NULL || !crn_text_is_name(field->name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the name of field %zu is not 1 to 255 bytes of UTF-8 without control "
                            "characters",
                            i);
    for (size_t j = 0; j < i; j++)
        if (strcmp(fields[j].name, field->name) == 0)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "there are two fields '%s'",
                                field->name);
    if ((unsigned)field->type > CAIRN_STRING)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "field '%s' is neither bytes, int64, double nor string", field->name);
    if (field->default_data == NULL)
        return field->default_size == 0 ? 0
                                        : crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                                       "field '%s': a default of %zu bytes is NULL",
                                                       field->name, field->default_size);
    if (!crn_type_fits(field->type, field->default_size))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "field '%s': the default of a number has 8 bytes, not %zu", field->name,
                            field->default_size);
    return 0;
}

static int append_field(struct cairn_buffer *out, const cairn_field *field)
{
    uint8_t zero[NUMBER_SIZE];
    const void *fallback = field->default_data;
    size_t size = field->default_size;
    if (fallback == NULL && is_number(field->type)) {
        if (field->type == CAIRN_INT64)
            cairn_encode_int64(0, zero);
        else
            cairn_encode_double(0, zero);
        fallback = zero;
        size = sizeof(zero);
    }
    size_t name_size = strlen(field->name);
    CRN_TRY(crn_buf_append_varint(out, name_size));
    CRN_TRY(crn_buf_append(out, field->name, name_size));
    CRN_TRY(crn_buf_append_u8(out, (uint8_t)field->type));
    CRN_TRY(crn_buf_append_varint(out, size));
    return crn_buf_append(out, fallback, size);
}

int cairn_struct_serializer(const char *name, const cairn_field *fields, size_t count,
                            cairn_serializer **ret_serializer, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (fields == NULL || ret_serializer == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the fields, or the place for the serializer, are NULL");
    if (!crn_text_is_name(name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a struct's name has 1 to 255 bytes of UTF-8 without control "
                            "characters");
    if (count < 1 || count > CRN_STRUCT_FIELDS_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a struct has 1 to %u fields, not %zu",
                            CRN_STRUCT_FIELDS_MAX, count);
    if (crn_buf_append_varint(&bytes, count) < 0)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < count; i++) {
        CRN_TRY(check_field(fields, i, reterr));
        CRN_TRY(crn_schema_check_size(fields[i].default_size, reterr));
        if (append_field(&bytes, &fields[i]) < 0)
            return crn_err_nomem(reterr);
        CRN_TRY(crn_schema_check_size(bytes.size, reterr));
    }
    const cairn_schema_info info = {.name = name, .bytes = bytes.data, .size = bytes.size};
    return crn_struct_of_schema(&info, ret_serializer, reterr);
}
