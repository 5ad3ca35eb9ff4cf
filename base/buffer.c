/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Growing byte buffers, and a reader over bytes that nobody trusts.
 *
 * A buffer that holds anything has room for one byte more than its size, and that byte is zero:
 * text in it can be handed to C as it stands. An append that fails leaves the buffer as it was.
 *
 * The reader never looks at a byte that it did not first prove to be inside (P11), and it moves
 * only when a read succeeded; so a caller may try one form after another at the same position.
 */

#include "base/buffer.h"
#include "base/error.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SMALLEST_CAPACITY 64

void crn_buf_done(struct cairn_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct cairn_buffer){0};
}

int crn_buf_reserve(struct cairn_buffer *buffer, size_t extra)
{
    size_t needed;
    if (__builtin_add_overflow(buffer->size, extra, &needed) ||
        __builtin_add_overflow(needed, (size_t)1, &needed))
        return CAIRN_ENOMEM;
    if (needed <= buffer->capacity)
        return 0;
    size_t capacity = buffer->capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : buffer->capacity;
    while (capacity < needed && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    if (capacity < needed)
        capacity = needed;
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return CAIRN_ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int crn_buf_append(struct cairn_buffer *buffer, const void *data, size_t n)
{
    CRN_TRY(crn_buf_reserve(buffer, n));
    if (n > 0)
        memcpy(buffer->data + buffer->size, data, n);
    buffer->size += n;
    buffer->data[buffer->size] = 0;
    return 0;
}

int cairn_buffer_append(cairn_buffer *buffer, const void *data, size_t n)
{
    return buffer == NULL ? CAIRN_EINVAL : crn_buf_append(buffer, data, n);
}

int crn_buf_append_u8(struct cairn_buffer *buffer, uint8_t value)
{
    return crn_buf_append(buffer, &value, 1);
}

int crn_buf_append_be16(struct cairn_buffer *buffer, uint16_t value)
{
    uint16_t big_endian = htobe16(value);
    return crn_buf_append(buffer, &big_endian, sizeof(big_endian));
}

int crn_buf_append_be64(struct cairn_buffer *buffer, uint64_t value)
{
    uint64_t big_endian = htobe64(value);
    return crn_buf_append(buffer, &big_endian, sizeof(big_endian));
}

int crn_buf_append_varint(struct cairn_buffer *buffer, uint64_t value)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    return crn_buf_append(buffer, bytes, n);
}

int crn_buf_printf(struct cairn_buffer *buffer, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    int r = n < 0 ? CAIRN_ENOMEM : crn_buf_reserve(buffer, (size_t)n);
    if (r == 0) {
        (void)vsnprintf((char *)buffer->data + buffer->size, (size_t)n + 1, format, again);
        buffer->size += (size_t)n;
    }
    va_end(again);
    return r;
}

char *crn_buf_take_text(struct cairn_buffer *buffer)
{
    if (crn_buf_append(buffer, NULL, 0) < 0)
        return NULL;
    char *text = (char *)buffer->data;
    *buffer = (struct cairn_buffer){0};
    return text;
}

bool crn_read_bytes(struct crn_reader *reader, size_t n, const uint8_t **ret)
{
    if (n > crn_reader_left(reader))
        return false;
    *ret = reader->data + reader->position;
    reader->position += n;
    return true;
}

bool crn_read_u8(struct crn_reader *reader, uint8_t *ret)
{
    const uint8_t *p;
    if (!crn_read_bytes(reader, 1, &p))
        return false;
    *ret = *p;
    return true;
}

bool crn_read_le32(struct crn_reader *reader, uint32_t *ret)
{
    const uint8_t *p;
    if (!crn_read_bytes(reader, 4, &p))
        return false;
    *ret = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return true;
}

bool crn_read_be16(struct crn_reader *reader, uint16_t *ret)
{
    const uint8_t *p;
    if (!crn_read_bytes(reader, 2, &p))
        return false;
    *ret = (uint16_t)(p[0] << 8 | p[1]);
    return true;
}

bool crn_read_be64(struct crn_reader *reader, uint64_t *ret)
{
    const uint8_t *p;
    if (!crn_read_bytes(reader, 8, &p))
        return false;
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    *ret = value;
    return true;
}

/* One number has one form: a final zero byte (as in 80 00) is refused, or two different encodings
 * could stand for the same record and their checksums would differ. */
bool crn_read_varint(struct crn_reader *reader, uint64_t *ret)
{
    uint64_t value = 0;
    size_t left = crn_reader_left(reader);
    for (size_t i = 0; i < 10 && i < left; i++) {
        uint8_t byte = reader->data[reader->position + i];
        if (i == 9 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (byte == 0 && i > 0)
            return false;
        reader->position += i + 1;
        *ret = value;
        return true;
    }
    return false;
}

int crn_str_printf(char **ret, cairn_error **reterr, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return crn_err_nomem(reterr);
    *ret = text;
    return 0;
}

char *crn_str_dup_n(const void *data, size_t n)
{
    char *text = n < SIZE_MAX ? malloc(n + 1) : NULL;
    if (text == NULL)
        return NULL;
    if (n > 0)
        memcpy(text, data, n);
    text[n] = 0;
    return text;
}
