/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Avro's binary encoding: reading and writing its parts, and the walk that proves that bytes are a
 * value of a schema.
 *
 * The bytes come from a store and are not trusted (P11): every length is compared with what is
 * left, depth is limited, and so is the number of steps, since items without bytes (null, or a
 * record of such) could be counted for ever. Text is not checked to be UTF-8, here as elsewhere.
 */

#include "engine/serializers/avro.h"
#include <endian.h>
#include <string.h>

#define STEPS_MIN ((uint64_t)1 << 20)
#define STEPS_PER_BYTE 64u

void crn_avro_cursor_init(struct crn_avro_cursor *cursor, const void *data, size_t size)
{
    *cursor = (struct crn_avro_cursor){
        .in = {.data = size > 0 ? data : (const uint8_t *)"", .size = size},
        .steps_left = STEPS_MIN + STEPS_PER_BYTE * (uint64_t)size,
    };
}

bool crn_avro_enter(struct crn_avro_cursor *cursor)
{
    if (cursor->steps_left == 0 || cursor->depth >= CRN_AVRO_DEPTH_MAX)
        return false;
    cursor->steps_left--;
    cursor->depth++;
    return true;
}

bool crn_avro_read_long(struct crn_avro_cursor *cursor, int64_t *ret)
{
    uint64_t folded;
    if (!crn_read_varint(&cursor->in, &folded))
        return false;
    *ret = (int64_t)(folded >> 1) ^ -(int64_t)(folded & 1);
    return true;
}

bool crn_avro_read_index(struct crn_avro_cursor *cursor, size_t count, size_t *ret)
{
    int64_t index;
    if (!crn_avro_read_long(cursor, &index) || index < 0 || (uint64_t)index >= count)
        return false;
    *ret = (size_t)index;
    return true;
}

bool crn_avro_read_fixed(struct crn_avro_cursor *cursor, size_t size, const uint8_t **ret)
{
    return size <= crn_reader_left(&cursor->in) && crn_read_bytes(&cursor->in, size, ret);
}

bool crn_avro_read_bytes(struct crn_avro_cursor *cursor, const uint8_t **ret, size_t *ret_size)
{
    int64_t size;
    if (!crn_avro_read_long(cursor, &size) || size < 0)
        return false;
    *ret_size = (size_t)size;
    return crn_avro_read_fixed(cursor, (size_t)size, ret);
}

bool crn_avro_read_block(struct crn_avro_cursor *cursor, uint64_t *ret_count)
{
    int64_t count, size;
    if (!crn_avro_read_long(cursor, &count) || count == INT64_MIN)
        return false;
    /* A negative count is followed by the block's size, for those who skip it unread. */
    if (count < 0 && (!crn_avro_read_long(cursor, &size) || size < 0))
        return false;
    *ret_count = (uint64_t)(count < 0 ? -count : count);
    return true;
}

static bool skip_items(struct crn_avro_cursor *cursor, const struct crn_avro_node *node)
{
    uint64_t count;
    const uint8_t *key;
    size_t key_size;
    do {
        if (!crn_avro_read_block(cursor, &count))
            return false;
        for (uint64_t i = 0; i < count; i++)
            if ((node->kind == CRN_AVRO_MAP && !crn_avro_read_bytes(cursor, &key, &key_size)) ||
                !crn_avro_skip(cursor, node->items))
                return false;
    } while (count > 0);
    return true;
}

static bool skip_number(struct crn_avro_cursor *cursor, enum crn_avro_kind kind)
{
    int64_t value;
    const uint8_t *bytes;
    switch ((unsigned)kind) {
    case CRN_AVRO_BOOLEAN:
        return crn_avro_read_fixed(cursor, 1, &bytes) && bytes[0] <= 1;
    case CRN_AVRO_INT:
        return crn_avro_read_long(cursor, &value) && value >= INT32_MIN && value <= INT32_MAX;
    case CRN_AVRO_LONG:
        return crn_avro_read_long(cursor, &value);
    case CRN_AVRO_FLOAT:
        return crn_avro_read_fixed(cursor, sizeof(float), &bytes);
    case CRN_AVRO_DOUBLE:
        return crn_avro_read_fixed(cursor, sizeof(double), &bytes);
    default:
        return true; /* null has no bytes */
    }
}

static bool skip_inside(struct crn_avro_cursor *cursor, const struct crn_avro_node *node)
{
    const uint8_t *bytes;
    size_t size;
    switch (node->kind) {
    case CRN_AVRO_RECORD:
        for (size_t i = 0; i < node->count; i++)
            if (!crn_avro_skip(cursor, node->fields[i].type))
                return false;
        return true;
    case CRN_AVRO_UNION:
        return crn_avro_read_index(cursor, node->count, &size) &&
               crn_avro_skip(cursor, node->branches[size]);
    case CRN_AVRO_ENUM:
        return crn_avro_read_index(cursor, node->count, &size);
    case CRN_AVRO_FIXED:
        return crn_avro_read_fixed(cursor, node->size, &bytes);
    case CRN_AVRO_ARRAY:
    case CRN_AVRO_MAP:
        return skip_items(cursor, node);
    case CRN_AVRO_BYTES:
    case CRN_AVRO_STRING:
        return crn_avro_read_bytes(cursor, &bytes, &size);
    default:
        return skip_number(cursor, node->kind);
    }
}

bool crn_avro_skip(struct crn_avro_cursor *cursor, const struct crn_avro_node *node)
{
    if (!crn_avro_enter(cursor))
        return false;
    bool r = skip_inside(cursor, node);
    crn_avro_leave(cursor);
    return r;
}

bool crn_avro_is_value(const struct crn_avro_schema *schema, const void *data, size_t size)
{
    struct crn_avro_cursor cursor;
    crn_avro_cursor_init(&cursor, data, size);
    return crn_avro_skip(&cursor, schema->root) && crn_reader_left(&cursor.in) == 0;
}

int crn_avro_append_long(struct cairn_buffer *out, int64_t value)
{
    const uint64_t twice = (uint64_t)value << 1;
    return crn_buf_append_varint(out, value < 0 ? ~twice : twice);
}

int crn_avro_append_bytes(struct cairn_buffer *out, const void *data, size_t size)
{
    CRN_TRY(crn_avro_append_long(out, (int64_t)size));
    return crn_buf_append(out, data, size);
}

int crn_avro_append_float(struct cairn_buffer *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bits = htole32(bits);
    return crn_buf_append(out, &bits, sizeof(bits));
}

int crn_avro_append_double(struct cairn_buffer *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bits = htole64(bits);
    return crn_buf_append(out, &bits, sizeof(bits));
}

float crn_avro_float(const uint8_t *bytes)
{
    uint32_t bits;
    float value;
    memcpy(&bits, bytes, sizeof(bits));
    bits = le32toh(bits);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

double crn_avro_double(const uint8_t *bytes)
{
    uint64_t bits;
    double value;
    memcpy(&bits, bytes, sizeof(bits));
    bits = le64toh(bits);
    memcpy(&value, &bits, sizeof(value));
    return value;
}
