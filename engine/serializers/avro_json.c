/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Avro values as JSON. This is Avro's own JSON encoding (a union's value is null, or an object with
 * one member that names the branch) with two differences: bytes and fixed are "hex:00ff", and a
 * float that is no number is a string. json.c has the reasons.
 *
 * Defaults of fields, which stand in schemas, are written in another way: a union's default is that
 * of its first branch without a name, and bytes are text whose characters are the bytes.
 */

#include "engine/serializers/avro.h"
#include "backends/state/values.h"
#include "engine/serializers/json.h"
#include "manifest/manifest.h"
#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * From JSON
 * ------------------------------------------------------------------------------------------ */

struct encoder {
    bool is_default;
    unsigned depth;
    uint32_t default_steps; /* defaults within defaults may lead round in a circle, or multiply */
    struct cairn_buffer *out;
    cairn_error **reterr;
};

static int encode(struct encoder *encoder, const struct crn_avro_node *node,
                  struct json_object *json);

static int misfit(const struct encoder *encoder, const struct crn_avro_node *node)
{
    return crn_err_fail(encoder->reterr, CAIRN_EINVAL, NULL, "not a value of the Avro type %s",
                        crn_avro_node_name(node));
}

/* Text whose characters up to U+00FF stand for bytes. */
static int append_latin1(struct json_object *json, struct cairn_buffer *out)
{
    if (!json_object_is_type(json, json_type_string))
        return CAIRN_EINVAL;
    const uint8_t *text = (const uint8_t *)json_object_get_string(json);
    size_t size = (size_t)json_object_get_string_len(json);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = text[i];
        if (byte >= 0x80) {
            if ((byte & 0xfe) != 0xc2 || i + 1 == size)
                return CAIRN_EINVAL;
            byte = (uint8_t)(byte << 6 | (text[++i] & 0x3f));
        }
        CRN_TRY(crn_buf_append_u8(out, byte));
    }
    return 0;
}

static int encode_bytes(struct encoder *encoder, const struct crn_avro_node *node,
                        struct json_object *json)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    int r = encoder->is_default ? append_latin1(json, &bytes) : crn_json_to_bytes(json, &bytes);
    if (r == CAIRN_EINVAL || (r == 0 && node->kind == CRN_AVRO_FIXED && bytes.size != node->size))
        return misfit(encoder, node);
    if (r == 0)
        r = node->kind == CRN_AVRO_FIXED
                ? crn_buf_append(encoder->out, bytes.data, bytes.size)
                : crn_avro_append_bytes(encoder->out, bytes.data, bytes.size);
    return r < 0 ? crn_err_nomem(encoder->reterr) : 0;
}

static int encode_string(struct encoder *encoder, const struct crn_avro_node *node,
                         struct json_object *json)
{
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    if (!json_object_is_type(json, json_type_string))
        return misfit(encoder, node);
    int r = encoder->is_default ? crn_buf_append(&text, json_object_get_string(json),
                                                 (size_t)json_object_get_string_len(json))
                                : crn_json_to_text(json, &text);
    if (r == CAIRN_EINVAL)
        return misfit(encoder, node);
    if (r == 0)
        r = crn_avro_append_bytes(encoder->out, text.data, text.size);
    return r < 0 ? crn_err_nomem(encoder->reterr) : 0;
}

static int encode_number(struct encoder *encoder, const struct crn_avro_node *node,
                         struct json_object *json)
{
    int64_t integer;
    double number;
    int r;
    if (node->kind == CRN_AVRO_BOOLEAN) {
        if (!json_object_is_type(json, json_type_boolean))
            return misfit(encoder, node);
        r = crn_buf_append_u8(encoder->out, json_object_get_boolean(json) ? 1 : 0);
    } else if (node->kind == CRN_AVRO_INT || node->kind == CRN_AVRO_LONG) {
        if (!crn_json_to_int64(json, &integer) ||
            (node->kind == CRN_AVRO_INT && (integer < INT32_MIN || integer > INT32_MAX)))
            return misfit(encoder, node);
        r = crn_avro_append_long(encoder->out, integer);
    } else {
        if (!crn_json_to_double(json, &number) ||
            (node->kind == CRN_AVRO_FLOAT && isfinite(number) && !isfinite((float)number)))
            return misfit(encoder, node);
        r = node->kind == CRN_AVRO_FLOAT ? crn_avro_append_float(encoder->out, (float)number)
                                         : crn_avro_append_double(encoder->out, number);
    }
    return r < 0 ? crn_err_nomem(encoder->reterr) : 0;
}

static int fail_unknown(const struct encoder *encoder, const struct crn_avro_node *node,
                        struct json_object *json)
{
    const char *unknown = "";
    json_object_object_foreach(json, name, value)
    {
        size_t i = 0;
        (void)value;
        while (i < node->count && strcmp(node->fields[i].name, name) != 0)
            i++;
        if (i == node->count)
            unknown = name;
    }
    return crn_err_fail(encoder->reterr, CAIRN_EINVAL, NULL, "field '%s' is not in schema %s",
                        unknown, node->full_name);
}

static int encode_record(struct encoder *encoder, const struct crn_avro_node *node,
                         struct json_object *json)
{
    size_t used = 0;
    if (!json_object_is_type(json, json_type_object))
        return misfit(encoder, node);
    for (size_t i = 0; i < node->count; i++) {
        const struct crn_avro_field *field = &node->fields[i];
        struct json_object *value = field->fallback;
        bool is_default = encoder->is_default;
        bool is_given = json_object_object_get_ex(json, field->name, &value);
        if (!is_given && !field->has_fallback)
            return crn_err_fail(encoder->reterr, CAIRN_EINVAL, NULL,
                                "there is no field '%s' of %s, and it has no default", field->name,
                                node->full_name);
        used += is_given;
        if (!is_given)
            value = field->fallback;
        encoder->is_default = is_default || !is_given;
        int r = encode(encoder, field->type, value);
        encoder->is_default = is_default;
        if (r < 0) {
            crn_err_prefix(encoder->reterr, "field '%s'", field->name);
            return r;
        }
    }
    if (used != (size_t)json_object_object_length(json))
        return fail_unknown(encoder, node, json);
    return 0;
}

static int encode_key(struct encoder *encoder, const char *key)
{
    static const struct crn_avro_node text = {.kind = CRN_AVRO_STRING};
    CRN_AUTO_JSON struct json_object *json = json_object_new_string(key);
    if (json == NULL)
        return crn_err_nomem(encoder->reterr);
    return encode_string(encoder, &text, json);
}

static int encode_items(struct encoder *encoder, const struct crn_avro_node *node,
                        struct json_object *json)
{
    bool is_map = node->kind == CRN_AVRO_MAP;
    if (!json_object_is_type(json, is_map ? json_type_object : json_type_array))
        return misfit(encoder, node);
    size_t count =
        is_map ? (size_t)json_object_object_length(json) : json_object_array_length(json);
    if (count > 0 && crn_avro_append_long(encoder->out, (int64_t)count) < 0)
        return crn_err_nomem(encoder->reterr);
    if (is_map) {
        json_object_object_foreach(json, key, value)
        {
            CRN_TRY(encode_key(encoder, key));
            CRN_TRY(encode(encoder, node->items, value));
        }
    } else {
        for (size_t i = 0; i < count; i++)
            CRN_TRY(encode(encoder, node->items, json_object_array_get_idx(json, i)));
    }
    return crn_avro_append_long(encoder->out, 0) < 0 ? crn_err_nomem(encoder->reterr) : 0;
}

static int encode_union(struct encoder *encoder, const struct crn_avro_node *node,
                        struct json_object *json)
{
    size_t branch = 0;
    if (!encoder->is_default) {
        const char *name = "null";
        if (json != NULL) {
            if (!json_object_is_type(json, json_type_object) ||
                json_object_object_length(json) != 1)
                return misfit(encoder, node);
            struct json_object_iterator member = json_object_iter_begin(json);
            name = json_object_iter_peek_name(&member);
            json = json_object_iter_peek_value(&member);
        }
        while (branch < node->count && strcmp(crn_avro_node_name(node->branches[branch]), name))
            branch++;
        if (branch == node->count)
            return crn_err_fail(encoder->reterr, CAIRN_EINVAL, NULL,
                                "the Avro union has no branch '%s'", name);
    }
    if (crn_avro_append_long(encoder->out, (int64_t)branch) < 0)
        return crn_err_nomem(encoder->reterr);
    return encode(encoder, node->branches[branch], json);
}

static int encode_inside(struct encoder *encoder, const struct crn_avro_node *node,
                         struct json_object *json)
{
    const char *symbol;
    int index;
    switch (node->kind) {
    case CRN_AVRO_NULL:
        return json == NULL ? 0 : misfit(encoder, node);
    case CRN_AVRO_BYTES:
    case CRN_AVRO_FIXED:
        return encode_bytes(encoder, node, json);
    case CRN_AVRO_STRING:
        return encode_string(encoder, node, json);
    case CRN_AVRO_RECORD:
        return encode_record(encoder, node, json);
    case CRN_AVRO_ENUM:
        symbol = json_object_is_type(json, json_type_string) ? json_object_get_string(json) : "";
        index = crn_avro_find_symbol(node, symbol);
        if (index < 0)
            return misfit(encoder, node);
        return crn_avro_append_long(encoder->out, index) < 0 ? crn_err_nomem(encoder->reterr) : 0;
    case CRN_AVRO_ARRAY:
    case CRN_AVRO_MAP:
        return encode_items(encoder, node, json);
    case CRN_AVRO_UNION:
        return encode_union(encoder, node, json);
    default:
        return encode_number(encoder, node, json);
    }
}

static int encode(struct encoder *encoder, const struct crn_avro_node *node,
                  struct json_object *json)
{
    encoder->default_steps += encoder->is_default;
    if (++encoder->depth > CRN_AVRO_DEPTH_MAX || encoder->default_steps > CRN_LIMIT_SCHEMA ||
        encoder->out->size > CRN_VALUE_SIZE_MAX)
        return crn_err_fail(encoder->reterr, CAIRN_EINVAL, NULL,
                            "an Avro value is nested deeper than %u, or it or a default is too "
                            "large",
                            CRN_AVRO_DEPTH_MAX);
    int r = encode_inside(encoder, node, json);
    encoder->depth--;
    return r;
}

int crn_avro_encode_json(const struct crn_avro_node *node, struct json_object *json,
                         bool is_default, struct cairn_buffer *out, cairn_error **reterr)
{
    struct encoder encoder = {.is_default = is_default, .out = out, .reterr = reterr};
    return encode(&encoder, node, json);
}

/* ------------------------------------------------------------------------------------------ *
 * To JSON. All of the value was walked before, so what fails here is memory.
 * ------------------------------------------------------------------------------------------ */

static int decode(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                  struct json_object **ret);

static int decode_record(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                         struct json_object *object)
{
    for (size_t i = 0; i < node->count; i++) {
        struct json_object *value = NULL;
        CRN_TRY(decode(cursor, node->fields[i].type, &value));
        CRN_TRY(crn_json_put(object, node->fields[i].name, value));
    }
    return 0;
}

static int decode_entry(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                        struct json_object *map)
{
    const uint8_t *key;
    size_t size;
    struct json_object *value = NULL;
    if (!crn_avro_read_bytes(cursor, &key, &size))
        return CAIRN_ECORRUPT;
    bool is_text = memchr(key, 0, size) == NULL; /* names of members end at a zero byte */
    CRN_AUTO_JSON struct json_object *name =
        is_text ? crn_json_of_text(key, size) : crn_json_of_bytes(key, size);
    if (name == NULL)
        return CAIRN_ENOMEM;
    CRN_TRY(decode(cursor, node->items, &value));
    return crn_json_put(map, json_object_get_string(name), value);
}

static int decode_items(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                        struct json_object *into)
{
    uint64_t count;
    do {
        if (!crn_avro_read_block(cursor, &count))
            return CAIRN_ECORRUPT;
        for (uint64_t i = 0; i < count; i++) {
            struct json_object *value = NULL;
            if (node->kind == CRN_AVRO_MAP) {
                CRN_TRY(decode_entry(cursor, node, into));
                continue;
            }
            CRN_TRY(decode(cursor, node->items, &value));
            CRN_TRY(crn_json_push(into, value));
        }
    } while (count > 0);
    return 0;
}

static int decode_union(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                        struct json_object **ret)
{
    size_t i;
    struct json_object *value = NULL;
    if (!crn_avro_read_index(cursor, node->count, &i))
        return CAIRN_ECORRUPT;
    CRN_TRY(decode(cursor, node->branches[i], &value));
    if (node->branches[i]->kind == CRN_AVRO_NULL)
        return 0;
    CRN_AUTO_JSON struct json_object *object = json_object_new_object();
    if (object == NULL) {
        json_object_put(value);
        return CAIRN_ENOMEM;
    }
    CRN_TRY(crn_json_put(object, crn_avro_node_name(node->branches[i]), value));
    *ret = CRN_TAKE(object);
    return 0;
}

static int decode_scalar(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                         struct json_object **ret)
{
    int64_t integer;
    const uint8_t *bytes;
    size_t size = node->kind == CRN_AVRO_FIXED ? node->size : sizeof(float);
    bool ok;
    switch (node->kind) {
    case CRN_AVRO_NULL:
        return 0;
    case CRN_AVRO_BOOLEAN:
        if ((ok = crn_avro_read_fixed(cursor, 1, &bytes)))
            *ret = json_object_new_boolean(bytes[0]);
        break;
    case CRN_AVRO_INT:
    case CRN_AVRO_LONG:
        if ((ok = crn_avro_read_long(cursor, &integer)))
            *ret = json_object_new_int64(integer);
        break;
    case CRN_AVRO_FLOAT:
        if ((ok = crn_avro_read_fixed(cursor, size, &bytes)))
            *ret = crn_json_of_double((double)crn_avro_float(bytes));
        break;
    case CRN_AVRO_DOUBLE:
        if ((ok = crn_avro_read_fixed(cursor, sizeof(double), &bytes)))
            *ret = crn_json_of_double(crn_avro_double(bytes));
        break;
    case CRN_AVRO_FIXED:
        if ((ok = crn_avro_read_fixed(cursor, size, &bytes)))
            *ret = crn_json_of_bytes(bytes, size);
        break;
    case CRN_AVRO_ENUM:
        if ((ok = crn_avro_read_index(cursor, node->count, &size)))
            *ret = json_object_new_string(node->symbols[size]);
        break;
    default:
        if ((ok = crn_avro_read_bytes(cursor, &bytes, &size)))
            *ret = node->kind == CRN_AVRO_STRING ? crn_json_of_text(bytes, size)
                                                 : crn_json_of_bytes(bytes, size);
        break;
    }
    return !ok ? CAIRN_ECORRUPT : *ret == NULL ? CAIRN_ENOMEM : 0;
}

static int decode(struct crn_avro_cursor *cursor, const struct crn_avro_node *node,
                  struct json_object **ret)
{
    if (node->kind == CRN_AVRO_UNION)
        return decode_union(cursor, node, ret);
    if (node->kind != CRN_AVRO_RECORD && node->kind != CRN_AVRO_MAP && node->kind != CRN_AVRO_ARRAY)
        return decode_scalar(cursor, node, ret);
    CRN_AUTO_JSON struct json_object *into =
        node->kind == CRN_AVRO_ARRAY ? json_object_new_array() : json_object_new_object();
    if (into == NULL)
        return CAIRN_ENOMEM;
    CRN_TRY(node->kind == CRN_AVRO_RECORD ? decode_record(cursor, node, into)
                                          : decode_items(cursor, node, into));
    *ret = CRN_TAKE(into);
    return 0;
}

int crn_avro_decode_json(const struct crn_avro_schema *schema, const void *data, size_t size,
                         struct json_object **ret, cairn_error **reterr)
{
    struct crn_avro_cursor cursor;
    if (!crn_avro_is_value(schema, data, size))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "%zu bytes are no value of the schema",
                            size);
    crn_avro_cursor_init(&cursor, data, size);
    return decode(&cursor, schema->root, ret) < 0 ? crn_err_nomem(reterr) : 0;
}
